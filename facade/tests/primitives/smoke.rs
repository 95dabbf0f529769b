//! The whole engine once around, on the real disk.

use strata::{Condition, Database, Durability, ErrorKind, Options, Reads, RunSpec, RunStatus, Writes};

fn options(durability: Durability) -> Options {
    Options { durability, shards: Some(2), ..Options::default() }
}

#[test]
fn what_was_written_is_there_after_reopening() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.strata");
        let database = Database::open(&path, options(durability)).unwrap();
        assert!(database.recovery().created);
        let run = database.begin_run(RunSpec::named("trip")).unwrap();
        let commit = run.put("goal", "oslo").unwrap();
        assert_eq!(commit.durability, durability);
        assert_eq!(commit.version.0, 2, "the creation of the run is its commit 1");
        for number in 0..100 {
            assert_eq!(run.append("step", number).unwrap().sequence, number as u64);
        }
        let mut batch = run.batch();
        batch.increment("n", 4).unwrap().increment("n", 5).unwrap().delete("goal").unwrap();
        run.commit(batch).unwrap();
        let before = run.info().unwrap();
        database.close().unwrap();

        let database = Database::open(&path, options(durability)).unwrap();
        assert!(database.recovery().was_clean);
        assert_eq!(database.recovery().boot, 2);
        let run = database.begin_run(RunSpec::named("trip")).unwrap();
        assert_eq!(run.get("n").unwrap().unwrap().value.as_int(), Some(9));
        assert_eq!(run.get("goal").unwrap(), None);
        assert_eq!(run.event_count().unwrap().value, 100);
        assert!(run.verify_chain().unwrap().valid);
        assert_eq!(run.info().unwrap().version.0, before.version.0 + 1, "resuming is a commit");
        run.end(RunStatus::Completed).unwrap();
        assert_eq!(run.put("late", 1).unwrap_err().kind(), ErrorKind::RunClosed);
        database.close().unwrap();
    }
}

#[test]
fn a_failed_condition_aborts_its_whole_batch() {
    let database = Database::in_memory().unwrap();
    let run = database.begin_run(RunSpec::named("order")).unwrap();
    run.put("status", "open").unwrap();
    let mut batch = run.batch();
    batch.put("other", 1).unwrap().put_if("status", "paid", Condition::Absent).unwrap();
    let error = run.commit(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("operation 1"), "{error}");
    assert_eq!(run.get("other").unwrap(), None);
}
