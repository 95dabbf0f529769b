//! What may be part of a transaction, and what it may be asked.

use strata::{EntityRef, ErasedVersions, ErrorKind, Operation, Reads, RunSpec, Version, Writes};

use crate::support::{one_run, open_count};

#[test]
fn what_joins_no_transaction_is_refused() {
    let (database, run) = one_run();
    let spec = Box::new(RunSpec::named("run"));
    let alone = [
        Operation::RunCreate { spec: spec.clone() },
        Operation::RunBegin { spec },
        Operation::RunDelete,
        Operation::Expire { limit: 1 },
        Operation::RunErase {
            entity: Box::new(EntityRef::kv(run.id(), "key")),
            versions: ErasedVersions::All,
            reason: "because".into(),
        },
    ];
    let mut known: Vec<_> = alone.iter().map(Operation::name).collect();
    let mut stated: Vec<_> = Operation::table().iter().filter(|row| !row.joins).map(|row| row.name).collect();
    known.sort_unstable();
    stated.sort_unstable();
    assert_eq!(known, stated, "each operation that stands alone is tried here");
    for operation in alone {
        let tx = run.begin();
        let error = tx.write(operation.clone()).unwrap_err();
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Unsupported, Some(&EntityRef::run(run.id()))));
        assert!(error.message().starts_with(operation.name()), "{error}");
        let error = run.execute(move |run| run.write(operation).map(drop)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert_eq!((run.info().unwrap().version, open_count(&database)), (Version(1), 0));
}

/// A write that was asked panicked, changed a snapshot, or was forgotten at the commit.
#[test]
fn what_writes_is_not_asked_and_what_reads_is_not_written() {
    let (database, run) = one_run();
    let write = || Operation::KvIncrement { key: "n".into(), by: 1 };
    let read = || Operation::KvGet { key: "n".into() };
    let (tx, snapshot) = (run.begin(), run.snapshot().unwrap());
    let mut refusals = vec![
        run.ask(write()).unwrap_err(),
        tx.ask(write()).unwrap_err(),
        snapshot.ask(write()).unwrap_err(),
        run.write(read()).map(drop).unwrap_err(),
        tx.write(read()).map(drop).unwrap_err(),
        run.write_events(write()).map(drop).unwrap_err(),
        tx.write_events(write()).map(drop).unwrap_err(),
    ];
    refusals.push(run.execute(move |run| run.ask(write()).map(drop)).unwrap_err());
    refusals.push(run.execute(move |run| run.write(read()).map(drop)).unwrap_err());
    refusals.push(run.execute(move |run| run.write_events(write()).map(drop)).unwrap_err());
    for error in refusals {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    drop((tx, snapshot));
    assert_eq!((run.info().unwrap().version, open_count(&database)), (Version(1), 0));
}
