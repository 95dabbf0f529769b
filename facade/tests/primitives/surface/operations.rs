//! The table of operations against the surfaces: what is reachable, what joins, what a closed run refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strata::{
    Condition, Database, Deadline, EntityRef, ErasedVersions, Error, ErrorKind, Operation, Reads, Retention,
    RunHandle, RunId, RunSpec, RunStatus, Timestamp, TraceEnd, Value, Version, Writes,
};
use strata_primitives::{Access, OperationRow};

use super::relay::Relay;
use super::traces::{call, id, thought};
use super::{NOW, describing, documents, events, keys, new_run, questions, traces};

/// What nobody asks for: the store does it by itself.
const OF_THE_STORE: [&str; 1] = ["expire"];

/// What is asked of the database, which knows the id of the run to be.
const OF_THE_DATABASE: [&str; 2] = ["run_create", "run_begin"];

/// What is asked of a handle only: the end of the run, or of something in it.
const OF_A_HANDLE: [&str; 2] = ["run_delete", "run_erase"];

/// What the suite asked and wrote on a surface that notes it.
fn noted() -> (Vec<Operation>, Vec<Operation>) {
    type Suite = fn(&Relay<'_>);
    let suites: [Suite; 8] = [
        |relay| keys::suite(relay),
        |relay| keys::deadlines(relay),
        |relay| keys::cells(relay),
        |relay| events::suite(relay),
        |relay| documents::suite(relay),
        |relay| traces::suite(relay),
        |relay| describing::suite(relay),
        |relay| drop(questions::answers(relay)),
    ];
    let (mut asked, mut written) = (Vec::new(), Vec::new());
    for suite in suites {
        let (_database, run) = new_run();
        let relay = Relay::to(&run);
        suite(&relay);
        asked.extend(relay.asked());
        written.extend(relay.written());
    }
    (asked, written)
}

/// One operation of each row, within its limits, as the surface makes it.
fn one_of_each() -> BTreeMap<&'static str, Operation> {
    let (database, run) = new_run();
    let (asked, written) = noted();
    let spec = || Box::new(RunSpec::named("run"));
    let others = [
        Operation::Expire { limit: 1 },
        Operation::RunCreate { spec: spec() },
        Operation::RunBegin { spec: spec() },
        Operation::RunDelete,
        Operation::RunErase {
            entity: Box::new(EntityRef::kv(run.id(), "a")),
            versions: ErasedVersions::All,
            reason: "because".into(),
        },
    ];
    let all = asked.into_iter().chain(written).chain(others);
    let within = all.filter(|operation| operation.check(run.id(), run.limits()).is_ok());
    let mut each = BTreeMap::new();
    for operation in within {
        each.entry(operation.name()).or_insert(operation);
    }
    assert_eq!(each.len(), Operation::table().len(), "the suite has an operation of each row");
    database.close().unwrap();
    each
}

fn names(operations: &[Operation]) -> BTreeSet<&'static str> {
    operations.iter().map(Operation::name).collect()
}

fn rows(is_wanted: impl Fn(&OperationRow) -> bool) -> BTreeSet<&'static str> {
    Operation::table().iter().filter(|row| is_wanted(row)).map(|row| row.name).collect()
}

#[test]
fn every_operation_is_reached_through_a_surface() {
    let (asked, written) = noted();
    let elsewhere = [&OF_THE_STORE[..], &OF_THE_DATABASE, &OF_A_HANDLE].concat();
    assert_eq!(names(&asked), rows(|row| !row.write), "every read by a method of `Reads`");
    let writes = rows(|row| row.write && !elsewhere.contains(&row.name));
    assert_eq!(names(&written), writes, "every write by a method of `Writes`");
    assert!(asked.iter().all(|operation| !operation.is_write()), "`Reads` asks reads");
    assert!(written.iter().all(Operation::is_write), "`Writes` writes writes");

    let database = Database::in_memory().unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(database.begin_run(RunSpec::named("run")).unwrap().id(), run.id());
    assert_eq!(run.delete_run().unwrap().version, Version(2));
    assert_eq!(database.get_run(run.id()).unwrap(), None);
}

#[test]
fn every_write_that_joins_can_be_part_of_a_batch() {
    let (_database, run) = new_run();
    let mut batch = run.batch();
    add_one_of_each(&mut batch).unwrap();
    assert_eq!(names(batch.operations()), rows(|row| row.write && row.joins));
    let (count, receipt) = (batch.len(), run.commit(batch).unwrap());
    assert_eq!((receipt.effects.len(), receipt.commit.unwrap().version), (count, Version(2)));
}

/// One of every write, in an order in which all of them can be done.
fn add_one_of_each(batch: &mut strata::Batch) -> strata::Result<()> {
    let later = Timestamp(NOW + 1);
    batch.put("a", 1)?.put_many([("b", 1)])?.put_if("c", 1, Condition::Absent)?.increment("a", 1)?;
    batch.put_with_ttl("d", 1, Duration::from_secs(1))?.put_until("e", 1, later)?;
    batch.set_deadline("a", later)?.clear_deadline("a")?.delete("b")?.delete_prefix("c")?;
    batch.append("k", 1)?.append_many([("k", 1)])?;
    batch.cell_init("a", 1)?.cell_set("a", 2)?.cell_cas("a", Version(2), 3)?.cell_delete("a")?;
    batch.cell_init_expiring("b", 1, Deadline::At(later))?.cell_set_expiring("b", 1, Deadline::None)?;
    batch.cell_cas_expiring("b", Version(2), 1, Deadline::None)?;
    batch.json_create("d", Value::from([("list", Value::from(vec![Value::Int(1)]))]))?;
    batch.json_set("d", "/a", 1)?.json_cas("d", Version(2), "/b", 1)?.json_append("d", "/list", 2)?;
    batch.json_merge("d", "", Value::from([("c", 1.into())]))?.json_patch("d", &Value::Array(vec![]))?;
    batch.json_delete("d", "/a")?.json_destroy("d")?;
    batch.trace_begin(call(1))?.trace_record(thought(2, Some(1)))?.trace_end(id(1), TraceEnd::default())?;
    batch.set_tags(["t"])?.set_metadata(1)?.set_retention(Retention::KeepLast(1))?;
    batch.set_event_retention(Retention::KeepLast(9))?.set_trace_retention(Retention::KeepLast(9))?;
    batch.update_status(RunStatus::Paused).map(drop)
}

#[test]
fn every_operation_takes_part_in_a_transaction_or_says_that_it_cannot() {
    for (name, operation) in one_of_each() {
        let (_database, run) = new_run();
        questions::fill(&run);
        run.resume().unwrap();
        let (by_transaction, by_closure) = (operation.clone(), operation.clone());
        let answers = [
            run.transaction(|tx| put_through(tx, by_transaction.clone())).map(drop),
            run.execute(move |run| put_through(run, by_closure)).map(drop),
        ];
        for answer in answers {
            let error = answer.err();
            if operation.row().joins {
                let kind = error.as_ref().map(Error::kind);
                let takes_part =
                    !matches!(kind, Some(ErrorKind::Unsupported | ErrorKind::Closed | ErrorKind::Panicked));
                assert!(takes_part, "{name} joins, and is {error:?}");
            } else {
                let error = error.expect("what does not join is refused");
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
                assert_eq!(error.entity(), Some(&EntityRef::run(run.id())));
                assert!(error.message().starts_with(name), "{error}");
            }
        }
        if !operation.is_write() {
            let asked = run.ask(operation.clone()).unwrap();
            assert_eq!(run.snapshot().unwrap().ask(operation).unwrap(), asked, "{name} of a snapshot");
        }
    }
}

/// Asks what is a read and writes what is a write.
fn put_through<W: Writes>(surface: &W, operation: Operation) -> strata::Result<()> {
    if operation.is_write() { surface.write(operation).map(drop) } else { surface.ask(operation).map(drop) }
}

// `ask` and `write` are public, so that others can implement the traits. Given the wrong operation, a handle wrote
// what it was asked, a snapshot showed a write that nobody had made, a transaction lost it, and a read that was
// written took the thread with it.
#[test]
fn what_is_asked_never_writes_and_what_is_written_is_a_write() {
    let each = one_of_each();
    let (_database, run) = new_run();
    let before = run.info().unwrap();
    for operation in each.into_values() {
        let is_write = operation.is_write();
        let answers = if is_write { asked(&run, &operation) } else { written(&run, &operation) };
        for (surface, answer) in answers {
            let error = answer.expect_err(surface);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{surface}: {error}");
            assert_eq!(error.entity(), Some(&EntityRef::run(run.id())));
            assert!(error.message().starts_with(operation.name()), "{error}");
        }
    }
    let increment = || Operation::KvIncrement { key: "a".into(), by: 1 };
    let appended = [
        run.write_events(increment()).map(drop),
        run.transaction(|tx| tx.write_events(increment()).map(drop)).map(drop),
        run.execute(move |run| run.write_events(increment()).map(drop)).map(drop),
    ];
    for answer in appended {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::InvalidArgument, "it appends nothing");
    }
    for operation in [Operation::Expire { limit: 1 }, Operation::RunBegin { spec: Box::default() }] {
        assert_eq!(run.write(operation).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(run.info().unwrap(), before, "nothing has happened");
}

type Answers = Vec<(&'static str, strata::Result<()>)>;

fn asked(run: &RunHandle, operation: &Operation) -> Answers {
    let (by_transaction, by_closure) = (operation.clone(), operation.clone());
    let snapshot = run.snapshot().unwrap();
    let answers = vec![
        ("a handle", run.ask(operation.clone()).map(drop)),
        ("a snapshot", snapshot.ask(operation.clone()).map(drop)),
        ("a transaction", run.transaction(|tx| tx.ask(by_transaction.clone()).map(drop)).map(drop)),
        ("a closure", run.execute(move |run| run.ask(by_closure).map(drop)).map(drop)),
    ];
    assert_eq!(snapshot.info().unwrap(), run.info().unwrap(), "a snapshot shows what was committed");
    answers
}

fn written(run: &RunHandle, operation: &Operation) -> Answers {
    let (by_transaction, by_closure) = (operation.clone(), operation.clone());
    vec![
        ("a handle", run.write(operation.clone()).map(drop)),
        ("a transaction", run.transaction(|tx| tx.write(by_transaction.clone()).map(drop)).map(drop)),
        ("a closure", run.execute(move |run| run.write(by_closure).map(drop)).map(drop)),
    ]
}

#[test]
fn a_run_that_is_not_active_refuses_every_write_that_needs_it_to_be() {
    let each = one_of_each();
    for status in RunStatus::ALL.into_iter().filter(|status| *status != RunStatus::Active) {
        let (_database, run) = new_run();
        run.update_status(status).unwrap();
        let before = run.info().unwrap().version;
        for (name, operation) in &each {
            match operation.row().access {
                Access::Active => expect_closed(&run, status, operation),
                _ if !operation.is_write() => drop(run.ask(operation.clone()).unwrap()),
                _ => assert!(
                    !name.starts_with("kv") && !name.starts_with("event"),
                    "{name} needs a run at work"
                ),
            }
        }
        assert_eq!(run.info().unwrap().version, before, "{status}: nothing was written");
        for name in [
            "run_set_tags",
            "run_set_metadata",
            "run_set_retention",
            "run_set_event_retention",
            "run_set_trace_retention",
            "run_erase",
        ] {
            let (commit, _) = run.write(each[name].clone()).unwrap();
            commit.unwrap_or_else(|| panic!("{name} is allowed on a run that is {status}"));
        }
        run.delete_run().unwrap();
    }
}

fn expect_closed(run: &RunHandle, status: RunStatus, operation: &Operation) {
    let (by_transaction, by_closure) = (operation.clone(), operation.clone());
    let answers = [
        run.write(operation.clone()).map(drop),
        run.transaction(|tx| tx.write(by_transaction.clone()).map(drop)).map(drop),
        run.execute(move |run| run.write(by_closure).map(drop)).map(drop),
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RunClosed, "{}: {error}", operation.name());
        assert_eq!(error.entity(), Some(&EntityRef::run(run.id())));
        assert!(error.message().contains(status.name()), "{error}");
    }
}

#[test]
fn a_run_that_was_never_created_answers_nothing_but_that() {
    let database = Database::in_memory().unwrap();
    let run = database.run(RunId::named(&Default::default(), "run"));
    for (name, operation) in one_of_each() {
        if operation.row().access == Access::Any {
            continue;
        }
        if !OF_THE_STORE.contains(&name) {
            let error = put_through(&run, operation.clone()).unwrap_err();
            assert_eq!(
                (error.kind(), error.entity()),
                (ErrorKind::NotFound, Some(&EntityRef::run(run.id()))),
                "{name}"
            );
        }
        if operation.row().joins {
            let in_transaction = run.transaction(|tx| put_through(tx, operation.clone())).map(drop);
            assert_eq!(in_transaction.unwrap_err().kind(), ErrorKind::NotFound, "{name}");
        }
    }
    let all = run.execute(|run| Ok::<_, Error>(run.info().is_err())).unwrap();
    assert!(all.value && all.receipt.commit.is_none());
    assert_eq!(database.get_run(run.id()).unwrap(), None, "no call has brought it into being");
}
