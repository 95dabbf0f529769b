//! What transactions write to documents: beside each other, over each other, and over their own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use strata::{
    Condition, Database, Durability, EntityRef, Error, ErrorKind, Reads, RunHandle, RunSpec, TraceContent,
    TraceEnd, Transaction, Value, Version, Writes, new_trace, parse_json,
};

use crate::support::options;

const DOCUMENT: &str = r#"{"o": {"x": 1, "y": 2}, "a": [{"k": 1}, {"k": 2}, {"k": 3}], "n": 0, "m": 0}"#;

fn json(text: &str) -> Value {
    parse_json(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn with_document() -> (Database, RunHandle) {
    let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let run = database.begin_run(RunSpec::named("documents")).unwrap();
    run.json_create("doc", json(DOCUMENT)).unwrap();
    (database, run)
}

fn text(run: &impl Reads, path: &str) -> String {
    run.json_get("doc", path).unwrap().map_or("nothing".to_owned(), |found| found.value.to_string())
}

/// What became of a transaction with another commit between its writes and its own.
struct Raced {
    run: RunHandle,
    error: Option<Error>,
    _database: Database,
}

/// Lets A do something in a transaction, then B, and A commit.
#[track_caller]
fn race<T, U>(
    a: impl FnOnce(&Transaction) -> strata::Result<T>,
    b: impl FnOnce(&RunHandle) -> strata::Result<U>,
) -> Raced {
    let (database, run) = with_document();
    let tx = run.begin();
    a(&tx).unwrap();
    b(&run).unwrap();
    Raced { error: tx.commit().err(), run, _database: database }
}

impl Raced {
    /// A has committed.
    #[track_caller]
    fn is_done(&self) -> &Raced {
        assert!(self.error.is_none(), "{}", self.error.as_ref().unwrap());
        self
    }

    /// A has met a conflict that names the document and two versions, which differ.
    #[track_caller]
    fn is_conflict_about(&self, document: &str) {
        let error = self.error.as_ref().expect("a conflict");
        let entity = EntityRef::json(self.run.id(), document);
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&entity)), "{error}");
        let versions = error.message().strip_prefix("expected ").and_then(|rest| rest.split_once(", found "));
        let (expected, found) = versions.unwrap_or_else(|| panic!("{error} does not name two versions"));
        assert_ne!(expected, found);
    }

    #[track_caller]
    fn is_as_expected(&self, is_conflict: bool) {
        match is_conflict {
            true => self.is_conflict_about("doc"),
            false => assert!(self.is_done().error.is_none()),
        }
    }
}

#[test]
fn blind_writes_beside_each_other_both_survive() {
    let raced = race(|a| a.json_set("doc", "/o/x", "A"), |b| b.json_set("doc", "/o/y", "B"));
    assert_eq!(text(&raced.is_done().run, "/o"), r#"{"x": "A", "y": "B"}"#);
}

#[test]
fn of_blind_writes_that_overlap_the_last_to_commit_stays() {
    // What A sets, what B sets, and what is in "/o" in the end.
    let cases = [
        (("/o/x", r#""A""#), ("/o/x", r#""B""#), r#"{"x": "A", "y": 2}"#),
        (("/o", r#"{"A": 1}"#), ("/o/x", r#""B""#), r#"{"A": 1}"#),
        (("/o/x", r#""A""#), ("/o", r#"{"B": 1}"#), r#"{"B": 1, "x": "A"}"#),
        (("/o/new", r#""A""#), ("/o/new", r#""B""#), r#"{"x": 1, "y": 2, "new": "A"}"#),
        (("", r#"{"o": "A"}"#), ("/o/x", r#""B""#), r#""A""#),
        (("/o/x", r#""A""#), ("", r#"{"o": {"B": 1}}"#), r#"{"B": 1, "x": "A"}"#),
    ];
    for ((a_path, a_value), (b_path, b_value), expected) in cases {
        let raced =
            race(|a| a.json_set("doc", a_path, json(a_value)), |b| b.json_set("doc", b_path, json(b_value)));
        assert_eq!(text(&raced.is_done().run, "/o"), expected, "{a_path} over {b_path}");
    }
}

#[test]
fn appends_of_two_writers_both_survive_in_order_of_commits() {
    let raced = race(|a| a.json_append("doc", "/a", "A"), |b| b.json_append("doc", "/a", "B"));
    let run = &raced.is_done().run;
    assert_eq!((text(run, "/a/3"), text(run, "/a/4")), (r#""B""#.to_owned(), r#""A""#.to_owned()));
}

#[test]
fn a_write_whose_ground_was_removed_is_a_conflict() {
    let removals: [fn(&RunHandle) -> strata::Result<()>; 4] = [
        |b| b.json_delete("doc", "/o").map(drop),
        |b| b.json_set("doc", "/o", 5).map(drop),
        |b| b.json_set("doc", "", json("[]")).map(drop),
        |b| b.json_destroy("doc").map(drop),
    ];
    for removal in removals {
        race(|a| a.json_set("doc", "/o/x", "A"), removal).is_conflict_about("doc");
    }
    race(|a| a.json_append("doc", "/a", "A"), |b| b.json_set("doc", "/a", "no array"))
        .is_conflict_about("doc");
    race(|a| a.json_delete("doc", "/o/x"), |b| b.json_delete("doc", "/o/x")).is_conflict_about("doc");
}

#[test]
fn a_document_that_both_create_is_created_once() {
    let raced = race(|a| a.json_create("new", "A"), |b| b.json_create("new", "B"));
    raced.is_conflict_about("new");
    assert_eq!(raced.error.unwrap().message(), "expected no value, found version 3");
    assert_eq!(raced.run.json_get("new", "").unwrap().unwrap().value.as_str(), Some("B"));
}

#[test]
fn a_test_in_a_patch_is_a_read() {
    let patch =
        json(r#"[{"op": "test", "path": "/o/x", "value": 1}, {"op": "replace", "path": "/n", "value": 9}]"#);
    for (path, is_conflict) in [("/o/x", true), ("/o", true), ("/o/y", false), ("/m", false), ("/n", false)] {
        let raced = race(|a| a.json_patch("doc", &patch), |b| b.json_set("doc", path, json(r#"{"x": 1}"#)));
        raced.is_as_expected(is_conflict);
    }
    // What a patch has put there itself is not read of others.
    let own =
        json(r#"[{"op": "add", "path": "/o/x", "value": 5}, {"op": "test", "path": "/o/x", "value": 5}]"#);
    race(|a| a.json_patch("doc", &own), |b| b.json_set("doc", "/o/x", "B")).is_done();
}

/// Something that A does, or asks.
type Act = fn(&Transaction) -> strata::Result<()>;

/// Story: what a transaction had written was taken to be its own whatever its path meant by then. Behind a removal in
/// an array, the path of the item removed is that of the next item: it was read, and a commit in between that
/// changed it went unnoticed. A copy was taken for the transaction's own too, though it holds what others wrote.
#[test]
fn what_is_read_through_own_writes_is_still_a_read_of_what_is_below() {
    let first_gone: Act = |a| a.json_delete("doc", "/a/0").map(drop);
    let appended: Act = |a| a.json_append("doc", "/a", "A").map(drop);
    let copied: Act =
        |a| a.json_patch("doc", &json(r#"[{"op": "copy", "from": "/o/x", "path": "/n"}]"#)).map(drop);
    let put_and_gone: Act = |a| {
        let patch = r#"[{"op": "add", "path": "/a/0", "value": 5}, {"op": "remove", "path": "/a/0"}]"#;
        a.json_patch("doc", &json(patch)).map(drop)
    };
    let replaced: Act = |a| a.json_set("doc", "/a", json("[1, 2]")).map(drop);
    let replaced_and_gone: Act = |a| {
        a.json_set("doc", "/a", json("[1, 2]"))?;
        a.json_delete("doc", "/a/0").map(drop)
    };
    let member_gone: Act = |a| a.json_delete("doc", "/o/x").map(drop);
    // What A does first, what it reads then, where B writes, and whether A conflicts.
    let cases: [(Act, &str, &str, bool); 12] = [
        (first_gone, "/a/0/k", "/a/1/k", true),
        (first_gone, "/a/1/k", "/a/2/k", true),
        (first_gone, "/a/0/k", "/o/x", false),
        (appended, "/a/3", "/a/-", true),
        (copied, "/n", "/o/x", true),
        (copied, "/n", "/o/y", false),
        (copied, "/n", "/n", false),
        (put_and_gone, "/a/0/k", "/a/0/k", true),
        (replaced, "/a/0", "/a/0/k", false),
        (replaced_and_gone, "/a/0", "/a/0/k", false),
        (member_gone, "/o/x", "/o/x", true), // to remove something tells that it was there
        (member_gone, "/o/x", "/o/y", false),
    ];
    for (act, read, path, is_conflict) in cases {
        let raced = race(
            |a| {
                act(a)?;
                a.json_get("doc", read)
            },
            |b| b.json_set("doc", path, 9),
        );
        assert_eq!(raced.error.is_some(), is_conflict, "{read}, {path}");
        raced.is_as_expected(is_conflict);
    }
}

/// Story: a write that is refused tells its closure what is there, and so does a merge that finds nothing to change.
/// A closure that went on with that could be committed although it was no longer so.
#[test]
fn what_a_refused_or_idle_write_tells_is_a_read() {
    let asks: [fn(&Transaction); 5] = [
        |a| assert!(a.json_create("doc", 1).is_err()),
        |a| assert!(a.json_set("doc", "/n/x", 1).is_err()),
        |a| assert!(a.json_cas("doc", Version(1), "/n", 1).is_err()),
        |a| assert!(a.json_patch("doc", &json(r#"[{"op": "test", "path": "/n", "value": 1}]"#)).is_err()),
        |a| assert!(a.json_merge("doc", "", json(r#"{"n": 0}"#)).unwrap().is_none()),
    ];
    for ask in asks {
        let asked = |a: &Transaction| {
            ask(a);
            a.put("asked", true)
        };
        let replaced = |b: &RunHandle| {
            b.json_destroy("doc")?;
            b.json_create("doc", json(r#"{"n": {"x": 1}}"#))
        };
        race(asked, replaced).is_conflict_about("doc");
        race(asked, |b| b.put("beside", true)).is_done();
    }
}

#[test]
fn a_refused_write_of_any_kind_is_a_read() {
    let trace = new_trace(TraceContent::Thought { text: "once".into(), confidence: None });
    let end = TraceEnd { result: None, error: None, ..TraceEnd::default() };
    let (trace, end) = (&trace, &end);
    let asks: [&dyn Fn(&Transaction) -> bool; 4] = [
        &|a| a.put_if("key", 1, Condition::Absent).is_err(),
        &|a| a.increment("key", 1).is_err(),
        &|a| a.cell_init("cell", 1).is_err(),
        &|a| a.trace_end(trace.id, end.clone()).is_err(),
    ];
    for (number, ask) in asks.into_iter().enumerate() {
        let (_database, run) = with_document();
        run.put("key", "no number").unwrap();
        run.cell_init("cell", 0).unwrap();
        let tx = run.begin();
        assert!(ask(&tx), "{number}");
        tx.put("asked", true).unwrap();
        run.delete("key").unwrap();
        run.cell_delete("cell").unwrap();
        run.trace_begin(trace.clone()).unwrap();
        assert_eq!(tx.commit().unwrap_err().kind(), ErrorKind::Conflict, "{number}");
    }
}

#[test]
fn a_compare_and_set_in_a_transaction_counts_its_own_pending_writes() {
    let (_database, run) = with_document();
    let done = run.transaction(|tx| -> strata::Result<_> {
        let read = tx.json_get("doc", "")?.unwrap().version;
        tx.json_cas("doc", read, "/n", 1)?;
        let pending = tx.json_get("doc", "/n")?.unwrap().version;
        assert_eq!(pending, Version::PENDING);
        let stale = tx.json_cas("doc", read, "/n", 2).unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Conflict);
        tx.json_cas("doc", pending, "/n", 3)?;
        Ok(read)
    });
    let committed = done.unwrap().receipt.commit.unwrap();
    let found = run.json_get("doc", "/n").unwrap().unwrap();
    assert_eq!((found.value, found.version), (Value::Int(3), committed.version));
}

#[test]
fn a_compare_and_set_conflicts_with_any_write_to_its_document() {
    let raced = race(
        |a| {
            let read = a.json_get("doc", "/n")?.unwrap().version;
            a.json_cas("doc", read, "/n", 1)
        },
        |b| b.json_set("doc", "/m", 1),
    );
    raced.is_conflict_about("doc");
}

#[test]
fn overlapping_operations_of_one_transaction_apply_in_order() {
    let (_database, run) = with_document();
    let tx = run.begin();
    tx.json_set("doc", "/o/x", json(r#"{"in": 1}"#)).unwrap();
    tx.json_set("doc", "/o/x/in", 2).unwrap();
    tx.json_merge("doc", "/o", json(r#"{"x": {"also": 3}, "y": null}"#)).unwrap();
    assert_eq!(text(&tx, "/o"), r#"{"x": {"in": 2, "also": 3}}"#);
    tx.json_delete("doc", "/a/0").unwrap();
    tx.json_append("doc", "/a", "last").unwrap();
    tx.json_set("doc", "/a/0", "first").unwrap();
    tx.json_set("doc", "/o/x", "end").unwrap();
    tx.json_destroy("doc").unwrap();
    assert_eq!(text(&tx, ""), "nothing");
    tx.json_create("doc", json(r#"{"a": [1]}"#)).unwrap();
    tx.json_append("doc", "/a", 2).unwrap();
    let commit = tx.commit().unwrap().commit.unwrap();
    let found = run.json_get("doc", "").unwrap().unwrap();
    assert_eq!((found.value.to_string().as_str(), found.version), (r#"{"a": [1, 2]}"#, commit.version));
}

/// Two threads that each add 1 to a number of the document, many times; returns how often a closure ran.
fn count_up(run: &RunHandle, paths: [&'static str; 2], times: u64) -> u64 {
    let closures = &AtomicU64::new(0);
    thread::scope(|scope| {
        for path in paths {
            scope.spawn(move || {
                for _ in 0..times {
                    let counted = run.transaction(|tx| -> strata::Result<()> {
                        closures.fetch_add(1, Ordering::Relaxed);
                        let found = tx.json_get("doc", path)?.unwrap().value.as_int().unwrap();
                        tx.json_set("doc", path, found + 1)?;
                        Ok(())
                    });
                    counted.unwrap();
                }
            });
        }
    });
    closures.load(Ordering::Relaxed)
}

#[test]
fn threads_on_sibling_places_lose_nothing_and_never_run_again() {
    let (_database, run) = with_document();
    assert_eq!(count_up(&run, ["/n", "/m"], 300), 600, "each closure ran once");
    assert_eq!((text(&run, "/n"), text(&run, "/m")), ("300".to_owned(), "300".to_owned()));
    assert_eq!(count_up(&run, ["/a/0/k", "/a/2/k"], 300), 600, "items of one array are siblings too");
    assert_eq!(text(&run, "/a"), r#"[{"k": 301}, {"k": 2}, {"k": 303}]"#);
}

#[test]
fn threads_on_the_same_place_run_again_and_lose_nothing() {
    let (_database, run) = with_document();
    let mut closures = 0;
    let mut times = 0;
    // As often as it takes for the two to meet, which on one core may be a while.
    while closures == times && times < 100_000 {
        closures += count_up(&run, ["/n", "/n"], 200);
        times += 400;
    }
    assert!(closures > times, "two writers of one place meet in {times} transactions");
    assert_eq!(text(&run, "/n"), times.to_string());
}
