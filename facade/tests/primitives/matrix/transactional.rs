//! Invariant 3: everything is transactional. Every primitive joins the same transaction, whichever form it has.

use strata::{Error, ErrorKind, Reads, Result, RunHandle, Value, Version, Writes};

use super::in_memory;
use super::rows::{Row, Surface};

pub(crate) fn check(row: impl Row) {
    a_transaction_shows_its_own_writes_and_commits_them_together(row);
    a_closure_shows_its_own_writes_and_commits_them_together(row);
    what_fails_leaves_nothing(row);
    what_was_read_must_be_unchanged(row);
    a_snapshot_stays_as_it_is(row);
}

/// What was there before: nothing of the row.
fn run_without_things() -> (strata::Database, RunHandle) {
    let (database, run) = in_memory();
    run.set_tags(["empty"]).unwrap();
    (database, run)
}

fn a_transaction_shows_its_own_writes_and_commits_them_together(row: impl Row) {
    let (_database, run) = run_without_things();
    let done = run.transaction(|tx| {
        let last = write_and_look(row, tx, Version::PENDING)?;
        assert_eq!(row.read(&run, 0)?, None, "nobody else sees it yet");
        Ok::<_, Error>(last)
    });
    let done = done.unwrap();
    expect_committed_once(row, &run, done.value, done.receipt.commit.unwrap().version);
}

fn a_closure_shows_its_own_writes_and_commits_them_together(row: impl Row) {
    let (_database, run) = run_without_things();
    let done = run.execute(move |run| write_and_look(row, run, Version(3))).unwrap();
    expect_committed_once(row, &run, done.value, done.receipt.commit.unwrap().version);
}

/// Writes a thing and what is beside it, and sees both. Returns what the thing holds in the end.
fn write_and_look<S: Surface>(row: impl Row, run: &S, own_version: Version) -> Result<Value> {
    let mut last = Value::Int(10);
    row.create(run, 0, last.clone())?;
    let own = row.read(run, 0)?.unwrap();
    assert_eq!((&own.value, own.version), (&last, own_version), "its own write");
    if let Some(evolved) = row.evolve(run, 0, 20.into()) {
        evolved?;
        last = Value::Int(20);
        assert_eq!(row.read(run, 0)?.unwrap().value, last);
    }
    for count in row.counts(run)? {
        assert_eq!((count.value, count.version), (1, own_version));
    }
    run.put("beside", 1)?;
    Ok(last)
}

fn expect_committed_once(row: impl Row, run: &RunHandle, last: Value, version: Version) {
    assert_eq!(version, Version(3), "one commit");
    let read = row.read(run, 0).unwrap().unwrap();
    assert_eq!((read.value, read.version), (last, version));
    assert_eq!(run.get("beside").unwrap().unwrap().version, version);
}

fn what_fails_leaves_nothing(row: impl Row) {
    let (_database, run) = run_without_things();
    let given_up = || Err::<(), _>(Error::new(ErrorKind::Io, "given up"));
    let in_transaction = run.transaction(|tx| row.create(tx, 0, 1.into()).and_then(|_| given_up()));
    assert_eq!(in_transaction.unwrap_err().kind(), ErrorKind::Io);
    let in_closure = run.execute(move |run| row.create(run, 0, 1.into()).and_then(|_| given_up()));
    assert_eq!(in_closure.unwrap_err().kind(), ErrorKind::Io);
    let dropped = run.begin();
    row.create(&dropped, 0, 1.into()).unwrap();
    drop(dropped);

    let mut batch = run.batch();
    row.create_in(&mut batch, 0, 1.into()).unwrap();
    batch.cell_cas("missing", Version(1), 1).unwrap();
    let error = run.commit(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().starts_with("operation 1 of a batch of 2"), "{error}");

    assert_eq!(row.read(&run, 0).unwrap(), None);
    assert!(row.counts(&run).unwrap().iter().all(|count| (count.value, count.version) == (0, Version(2))));
    let mut batch = run.batch();
    row.create_in(&mut batch, 0, 1.into()).unwrap();
    batch.set_tags(["full"]).unwrap();
    let commit = run.commit(batch).unwrap().commit.unwrap();
    assert_eq!(row.read(&run, 0).unwrap().unwrap().version, commit.version, "all of a batch is one commit");
}

fn what_was_read_must_be_unchanged<R: Row>(row: R) {
    let (_database, run) = run_without_things();
    let by_name = run.begin();
    row.read(&by_name, 0).unwrap();
    row.create(&by_name, 5, 1.into()).unwrap();
    row.create(&run, 0, 1.into()).unwrap();
    assert_eq!(by_name.commit().unwrap_err().kind(), ErrorKind::Conflict, "it was not there");

    let by_count = run.begin();
    row.counts(&by_count).unwrap();
    row.create(&by_count, 5, 1.into()).unwrap();
    row.create(&run, 1, 2.into()).unwrap();
    assert_eq!(by_count.commit().unwrap_err().kind(), ErrorKind::Conflict, "there was one less");

    if !R::IS_THE_RUN {
        let beside = run.begin();
        row.counts(&beside).unwrap();
        row.create(&beside, 5, 1.into()).unwrap();
        run.set_tags(["changed"]).unwrap();
        assert!(beside.commit().is_ok(), "the version that a count is true at is not what was read");
    }

    let before = row.counts(&run).unwrap();
    let tx = run.begin();
    assert_eq!(row.counts(&tx).unwrap(), before);
    run.put("unrelated", 1).unwrap();
    assert_eq!(row.counts(&tx).unwrap(), before, "a transaction reads one version");
    assert_eq!(tx.commit().unwrap().commit, None, "one that only reads makes no commit");
}

fn a_snapshot_stays_as_it_is(row: impl Row) {
    let (_database, run) = run_without_things();
    let empty = run.snapshot().unwrap();
    row.create(&run, 0, 1.into()).unwrap();
    let one = run.snapshot().unwrap();
    let before = (row.read(&one, 0).unwrap(), row.counts(&one).unwrap());
    if let Some(evolved) = row.evolve(&run, 0, 2.into()) {
        evolved.unwrap();
    }
    row.create(&run, 1, 3.into()).unwrap();
    assert_eq!(row.read(&empty, 0).unwrap(), None);
    assert!(row.counts(&empty).unwrap().iter().all(|count| (count.value, count.version) == (0, Version(2))));
    assert_eq!((row.read(&one, 0).unwrap(), row.counts(&one).unwrap()), before);
    assert_eq!(before.0.unwrap().value, 1.into());
}
