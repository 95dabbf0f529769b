//! What a transaction has to find unchanged when it commits, and what it does not.

use std::time::Duration;

use strata::{
    BatchReceipt, Condition, Direction, EntityRef, Error, ErrorKind, KvScan, OperationId, Reads, Result,
    RunHandle, RunId, RunStatus, Timestamp, TraceContent, TraceFilter, Transaction, Version, Writes,
    new_trace,
};

use crate::support::{TestClock, one_run, one_run_on};

type Look = fn(&Transaction);
type Rival = fn(&RunHandle);

/// Begins a transaction that looks and then writes a key of its own; a rival commits before it does.
fn meet(look: Look, rival: Rival) -> Result<BatchReceipt> {
    let (_database, run) = one_run();
    furnish(&run);
    let tx = run.begin();
    look(&tx);
    rival(&run);
    tx.put("own", 1).unwrap();
    tx.commit()
}

/// Keys `a`, `n` and `p/1`, `p/3`, `p/5`; a cell; events x, y, x.
fn furnish(run: &RunHandle) {
    run.put_many([("a", 1), ("n", 5), ("p/1", 1), ("p/3", 3), ("p/5", 5)]).unwrap();
    run.cell_init("cell", "idle").unwrap();
    run.append_many([("x", 0), ("y", 1), ("x", 2)]).unwrap();
}

#[track_caller]
fn expect_conflict(look: Look, rival: Rival, named: fn(RunId) -> EntityRef) {
    let run = RunId::named(&strata::Namespace::default(), "run");
    let error = meet(look, rival).expect_err("what was read has changed");
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&named(run))), "{error}");
}

#[track_caller]
fn expect_commit(look: Look, rival: Rival) {
    meet(look, rival).expect("nothing that was read has changed");
}

fn done<T>(_: T) {}

fn key(name: &str) -> impl Fn(RunId) -> EntityRef {
    move |run| EntityRef::kv(run, name)
}

fn page(prefix: &str, limit: usize) -> KvScan {
    KvScan { limit, ..KvScan::prefix(prefix) }
}

#[test]
fn a_conflict_names_the_thing_and_both_of_its_versions() {
    let (_database, run) = one_run();
    run.put("a", 1).unwrap();
    let tx = run.begin();
    tx.get("a").unwrap();
    tx.get("gone").unwrap();
    tx.put("own", 1).unwrap();
    run.put("a", 2).unwrap();
    let error = tx.commit().unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&EntityRef::kv(run.id(), "a"))));
    assert_eq!(error.message(), "expected version 2, found version 3");
    assert_eq!(run.get("own").unwrap(), None, "nothing of it was written");

    let tx = run.begin();
    tx.get("gone").unwrap();
    tx.put("own", 1).unwrap();
    run.put("gone", 2).unwrap();
    let error = tx.commit().unwrap_err();
    assert_eq!(error.message(), "expected no value, found version 4");
}

#[test]
fn a_key_that_was_read_conflicts_however_it_was_read_and_changed() {
    let a = |run| key("a")(run);
    let looks: [Look; 5] = [
        |tx| done(tx.get("a").unwrap()),
        |tx| done(tx.exists("a").unwrap()),
        |tx| done(tx.ttl("a").unwrap()),
        |tx| done(tx.get_many(&["n", "a"]).unwrap()),
        |tx| done(tx.stat(&EntityRef::kv(tx.run_id(), "a")).unwrap()),
    ];
    let rivals: [Rival; 5] = [
        |run| done(run.put("a", 1).unwrap()),
        |run| done(run.delete("a").unwrap()),
        |run| done(run.delete_prefix("a").unwrap()),
        |run| done(run.increment("a", 0).unwrap()),
        |run| done(run.set_deadline("a", Timestamp(u64::MAX)).unwrap()),
    ];
    for look in looks {
        for rival in rivals {
            expect_conflict(look, rival, a);
        }
        expect_commit(look, |run| done(run.put("b", 1).unwrap()));
    }
}

#[test]
fn a_key_that_was_missed_conflicts_once_it_is_there() {
    let looks: [Look; 4] = [
        |tx| done(tx.get("z").unwrap()),
        |tx| done(tx.exists("z").unwrap()),
        |tx| done(tx.ttl("z").unwrap()),
        |tx| done(tx.stat(&EntityRef::kv(tx.run_id(), "z")).unwrap()),
    ];
    for look in looks {
        expect_conflict(look, |run| done(run.put("z", 1).unwrap()), |run| key("z")(run));
        expect_commit(look, |run| {
            run.put("z", 1).unwrap();
            run.delete("z").unwrap();
        });
    }
}

#[test]
fn a_cell_that_was_read_conflicts_as_a_key_does() {
    let cell = |run| EntityRef::cell(run, "cell");
    let looks: [Look; 3] = [
        |tx| done(tx.cell_read("cell").unwrap()),
        |tx| done(tx.cell_ttl("cell").unwrap()),
        |tx| done(tx.cell_list(&KvScan::default()).unwrap()),
    ];
    for look in looks {
        expect_conflict(look, |run| done(run.cell_set("cell", "idle").unwrap()), cell);
        expect_conflict(look, |run| done(run.cell_delete("cell").unwrap()), cell);
        expect_commit(look, |run| done(run.put("cell", "a key of this name").unwrap()));
    }
    expect_conflict(
        looks[2],
        |run| done(run.cell_init("new", 1).unwrap()),
        |run| EntityRef::cell(run, "new"),
    );
}

#[test]
fn a_list_of_values_conflicts_with_every_change_within_it() {
    let look: Look = |tx| done(tx.list_values(&page("p/", 10)).unwrap());
    expect_conflict(look, |run| done(run.put("p/3", 3).unwrap()), |run| key("p/3")(run));
    expect_conflict(look, |run| done(run.delete("p/1").unwrap()), |run| key("p/1")(run));
    expect_conflict(look, |run| done(run.put("p/2", 2).unwrap()), |run| key("p/2")(run));
    expect_conflict(look, |run| done(run.put("p/9", 2).unwrap()), |run| key("p/9")(run));
    expect_commit(look, |run| done(run.put("q", 2).unwrap()));
    expect_commit(look, |run| done(run.put("o", 2).unwrap()));
}

#[test]
fn a_list_of_keys_and_a_count_conflict_with_keys_that_come_and_go_only() {
    let looks: [Look; 2] = [|tx| done(tx.list(&page("p/", 10)).unwrap()), |tx| done(tx.count("p/").unwrap())];
    for look in looks {
        expect_commit(look, |run| done(run.put("p/3", 4).unwrap()));
        expect_commit(look, |run| {
            run.delete("p/3").unwrap();
            run.put("p/3", 4).unwrap();
        });
        expect_conflict(look, |run| done(run.delete("p/1").unwrap()), |run| key("p/1")(run));
        expect_conflict(look, |run| done(run.put("p/2", 2).unwrap()), |run| key("p/2")(run));
        expect_commit(look, |run| done(run.put("q", 2).unwrap()));
    }
    let whole: Look = |tx| done(tx.count("").unwrap());
    expect_conflict(whole, |run| done(run.put("z", 2).unwrap()), |run| key("z")(run));
    expect_commit(whole, |run| done(run.put("a", 2).unwrap()));
}

#[test]
fn a_page_conflicts_within_what_it_walked_and_not_behind_it() {
    let forward: Look = |tx| done(tx.list_values(&page("p/", 2)).unwrap());
    expect_conflict(forward, |run| done(run.put("p/2", 2).unwrap()), |run| key("p/2")(run));
    expect_commit(forward, |run| done(run.put("p/7", 2).unwrap()));
    let behind: Look = |tx| {
        done(tx.list_values(&KvScan { start_after: Some("p/1".into()), ..page("p/", 10) }).unwrap());
    };
    expect_commit(behind, |run| done(run.put("p/1", 2).unwrap()));
    expect_conflict(behind, |run| done(run.put("p/3", 2).unwrap()), |run| key("p/3")(run));
    let reverse: Look = |tx| {
        done(tx.list_values(&KvScan { direction: Direction::Reverse, ..page("p/", 1) }).unwrap());
    };
    expect_commit(reverse, |run| done(run.put("p/1", 2).unwrap()));
    expect_conflict(reverse, |run| done(run.put("p/9", 2).unwrap()), |run| key("p/9")(run));
    let empty: Look = |tx| done(tx.list(&page("none/", 2)).unwrap());
    expect_conflict(empty, |run| done(run.put("none/1", 2).unwrap()), |run| key("none/1")(run));
}

#[test]
fn the_end_of_the_events_conflicts_with_an_append() {
    let looks: [Look; 9] = [
        |tx| done(tx.event_count().unwrap()),
        |tx| done(tx.event_head().unwrap()),
        |tx| done(tx.event(3).unwrap()),
        |tx| done(tx.last_events(1).unwrap()),
        |tx| done(tx.verify_chain().unwrap()),
        |tx| done(tx.events(0, 10, Direction::Forward).unwrap()),
        |tx| done(tx.events(1, 2, Direction::Forward).unwrap()),
        |tx| done(tx.events(9, 1, Direction::Reverse).unwrap()),
        |tx| done(tx.stat(&EntityRef::event(tx.run_id(), 3)).unwrap()),
    ];
    for look in looks {
        expect_conflict(look, |run| done(run.append("y", 1).unwrap()), |run| EntityRef::event(run, 3));
        expect_commit(look, |run| done(run.put("a", 1).unwrap()));
    }
}

#[test]
fn what_was_read_before_the_end_of_the_events_never_conflicts() {
    let looks: [Look; 5] = [
        |tx| done(tx.event(2).unwrap()),
        |tx| done(tx.events(0, 2, Direction::Forward).unwrap()),
        |tx| done(tx.events(2, 10, Direction::Reverse).unwrap()),
        |tx| done(tx.events_by_type("x", 2, 10, Direction::Reverse).unwrap()),
        |tx| done(tx.stat(&EntityRef::event(tx.run_id(), 0)).unwrap()),
    ];
    for look in looks {
        expect_commit(look, |run| done(run.append("x", 1).unwrap()));
    }
}

#[test]
fn the_end_of_one_type_conflicts_with_that_type_only() {
    let looks: [Look; 4] = [
        |tx| done(tx.event_count_of("x").unwrap()),
        |tx| done(tx.event_head_of("x").unwrap()),
        |tx| done(tx.events_by_type("x", 0, 10, Direction::Forward).unwrap()),
        |tx| done(tx.events_by_type("x", 9, 1, Direction::Reverse).unwrap()),
    ];
    for look in looks {
        let both: Rival = |run| done(run.append_many([("y", 1), ("x", 1)]).unwrap());
        expect_conflict(look, both, |run| EntityRef::event(run, 4));
        expect_commit(look, |run| done(run.append("y", 1).unwrap()));
    }
}

#[test]
fn what_is_known_of_the_run_conflicts_with_what_changes_it() {
    let looks: [Look; 2] =
        [|tx| done(tx.info().unwrap()), |tx| done(tx.stat(&EntityRef::run(tx.run_id())).unwrap())];
    for look in looks {
        expect_conflict(look, |run| done(run.set_tags(["t"]).unwrap()), EntityRef::run);
        expect_conflict(look, |run| done(run.put("new", 1).unwrap()), EntityRef::run);
        expect_conflict(look, |run| done(run.append("x", 1).unwrap()), EntityRef::run);
        expect_commit(look, |run| done(run.put("a", 2).unwrap()));
    }
}

#[test]
fn a_receipt_that_was_missed_conflicts_once_it_is_there() {
    let look: Look = |tx| assert_eq!(tx.receipt(OperationId([7; 16])).unwrap(), None);
    let once: Rival = |run| done(run.with_operation_id(OperationId([7; 16])).put("a", 2).unwrap());
    expect_conflict(look, once, EntityRef::run);
    expect_commit(look, |run| done(run.put("a", 2).unwrap()));
}

#[test]
fn a_write_that_reveals_something_conflicts_when_it_would_reveal_something_else() {
    let increment: Look = |tx| assert_eq!(tx.increment("n", 1).unwrap().0, 6);
    expect_conflict(increment, |run| done(run.increment("n", 1).unwrap()), |run| key("n")(run));
    expect_conflict(increment, |run| done(run.put("n", 5).unwrap()), |run| key("n")(run));
    let delete: Look = |tx| assert!(tx.delete("a").unwrap().is_some());
    expect_conflict(delete, |run| done(run.delete("a").unwrap()), |run| key("a")(run));
    expect_commit(delete, |run| done(run.put("a", 5).unwrap()));
    let miss: Look = |tx| assert!(tx.delete("z").unwrap().is_none());
    expect_conflict(miss, |run| done(run.put("z", 1).unwrap()), |run| key("z")(run));
    let prefix: Look = |tx| assert_eq!(tx.delete_prefix("p/").unwrap().0, 3);
    expect_conflict(prefix, |run| done(run.put("p/4", 1).unwrap()), |run| key("p/4")(run));
    expect_commit(prefix, |run| done(run.put("p/3", 5).unwrap()));
    let absent: Look = |tx| done(tx.put_if("z", 1, Condition::Absent).unwrap());
    expect_conflict(absent, |run| done(run.put("z", 1).unwrap()), |run| key("z")(run));
    let init: Look = |tx| done(tx.cell_init("new", 1).unwrap());
    expect_conflict(init, |run| done(run.cell_init("new", 1).unwrap()), |run| EntityRef::cell(run, "new"));
    let gone: Look = |tx| assert!(tx.cell_delete("cell").unwrap().is_some());
    expect_conflict(gone, |run| done(run.cell_delete("cell").unwrap()), |run| EntityRef::cell(run, "cell"));
    let pause: Look = |tx| assert!(tx.update_status(RunStatus::Active).unwrap().is_none());
    expect_commit(pause, |run| done(run.put("a", 1).unwrap()));
}

#[test]
fn a_conditional_write_is_decided_by_what_the_commit_finds() {
    let (_database, run) = one_run();
    let version = run.put("a", 1).unwrap().version;
    let tx = run.begin();
    tx.put_if("a", 2, Condition::Version(version)).unwrap();
    run.put("a", 3).unwrap();
    let error = tx.commit().unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&EntityRef::kv(run.id(), "a"))));
    assert_eq!(error.message(), "expected version 2, found version 3");
}

#[test]
fn blind_writes_conflict_with_nothing() {
    let (_database, run) = one_run();
    furnish(&run);
    let tx = run.begin();
    tx.get("n").unwrap();
    tx.put("a", "mine").unwrap();
    tx.cell_set("cell", "mine").unwrap();
    let event = tx.append("x", "mine").unwrap();
    tx.set_tags(["mine"]).unwrap();
    run.put("a", "theirs").unwrap();
    run.cell_set("cell", "theirs").unwrap();
    run.append("x", "theirs").unwrap();
    run.set_tags(["theirs"]).unwrap();
    let receipt = tx.commit().unwrap();
    assert_eq!(run.get("a").unwrap().unwrap().value.as_str(), Some("mine"), "the last one stays");
    assert_eq!(run.cell_read("cell").unwrap().unwrap().value.as_str(), Some("mine"));
    assert_eq!(run.info().unwrap().tags, ["mine"]);
    assert_eq!(receipt.effects[event.index], strata::Effect::Sequence { first: 4, count: 1 });
}

/// A transaction reads at its start; what has expired by its commit has changed.
#[test]
fn an_expiry_between_begin_and_commit_is_a_change() {
    let looks: [(Look, bool); 8] = [
        (|tx| assert!(tx.get("k").unwrap().is_some()), true),
        (|tx| assert!(tx.exists("k").unwrap().value), true),
        (|tx| assert_eq!(tx.count("").unwrap().value, 2), true),
        (|tx| assert_eq!(tx.list(&KvScan::default()).unwrap().keys.len(), 2), true),
        (|tx| assert!(tx.delete("k").unwrap().is_some()), true),
        (|tx| assert_eq!(tx.increment("k", 1).unwrap().0, 8), true),
        (|tx| assert!(tx.get("keeps").unwrap().is_some()), false),
        (|tx| assert!(tx.get("other").unwrap().is_none()), false),
    ];
    for (number, (look, conflicts)) in looks.into_iter().enumerate() {
        let clock = TestClock::at(1_000_000);
        let (_database, run) = one_run_on(&clock);
        let seen = run.put_with_ttl("k", 7, Duration::from_micros(50)).unwrap().version;
        run.put("keeps", 1).unwrap();
        let tx = run.begin();
        look(&tx);
        clock.advance(Duration::from_micros(50));
        tx.put("own", 1).unwrap();
        let committed: std::result::Result<_, Error> = tx.commit();
        assert_eq!(committed.is_err(), conflicts, "look {number}: {committed:?}");
        if let Err(error) = committed {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            // Whether the cleaner has come by is chance; the key is gone either way.
            let message = format!("expected version {seen}, found no value");
            let is_named = error.entity() == Some(&EntityRef::kv(run.id(), "k"));
            assert!(is_named && error.message() == message, "look {number}: {error}");
        }
    }
}

#[test]
fn what_had_expired_before_the_begin_is_absent_and_stays_so() {
    let clock = TestClock::at(1_000_000);
    let (_database, run) = one_run_on(&clock);
    run.put_with_ttl("k", 7, Duration::from_micros(50)).unwrap();
    clock.advance(Duration::from_micros(50));
    let tx = run.begin();
    assert_eq!(tx.get("k").unwrap(), None);
    clock.advance(Duration::from_secs(3));
    tx.put("own", 1).unwrap();
    assert!(tx.commit().unwrap().commit.is_some_and(|commit| commit.version > Version(2)));
}

#[test]
fn an_own_trace_that_its_commit_records_too_late_for_a_filter_is_a_change() {
    let clock = TestClock::at(1_000_000);
    let (_database, run) = one_run_on(&clock);
    let thought = TraceContent::Thought { text: "t".into(), confidence: None };
    for (pause, kind) in [(10, None), (500, Some(ErrorKind::Conflict))] {
        clock.advance(Duration::from_millis(1));
        let tx = run.begin();
        tx.trace_record(new_trace(thought.clone())).unwrap();
        let to = Some(Timestamp(clock.now() + 50));
        let filter = TraceFilter { from: Some(Timestamp(clock.now())), to, ..TraceFilter::default() };
        assert_eq!(tx.trace_list(&filter, None, 9, Direction::Forward).unwrap().traces.len(), 1);
        clock.advance(Duration::from_micros(pause));
        assert_eq!(tx.commit().err().map(|error| error.kind()), kind, "a pause of {pause} us");
    }
}
