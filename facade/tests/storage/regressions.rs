//! What once went wrong, each with its story, so that it does not come back.

use std::cell::RefCell;
use std::time::Duration;

use strata::{
    Cause, Database, Durability, EntityRef, ErrorKind, Limits, OperationId, Options, Reads, RunSpec,
    RunStatus, ShardState, Version, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::{TestClock, eventually, open_on, options, script, sim_path};

/// One id sent with a second, different write was acknowledged with the receipt of the first: `put("b")` answered a
/// commit and b was not there. An id now answers for its own write only, in memory and after recovery.
#[test]
fn an_operation_id_answers_for_its_own_write_and_refuses_another() {
    let disk = SimDisk::new(51);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let once = run.with_operation_id(OperationId([1; 16]));
    let first = once.put("a", 1).unwrap();
    let refuse = |once: &strata::RunHandle| {
        let mut batch = once.batch();
        batch.put("a", 1).unwrap().put("b", 2).unwrap();
        let refusals = [
            once.put("b", 1).unwrap_err(),
            once.put("a", 2).unwrap_err(),
            once.append("a", 1).unwrap_err(),
            once.delete("a").unwrap_err(),
            once.delete_run().unwrap_err(),
            once.commit(batch).unwrap_err(),
        ];
        for error in refusals {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.message().contains("belongs to another write"), "{error}");
        }
        assert_eq!(once.put("a", 1).unwrap(), first, "the write itself is answered again");
        assert_eq!(once.info().unwrap().version, first.version, "nothing else was written");
    };
    refuse(&once);
    drop(database);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    refuse(&database.run(run.id()).with_operation_id(OperationId([1; 16])));
}

/// A run that asked for a log in an in-memory database panicked its shard, and with it every run that lived there.
#[test]
fn a_run_that_asks_for_a_log_is_refused_by_an_in_memory_database() {
    let database = Database::in_memory().unwrap();
    let survivor = database.create_run(RunSpec::named("survivor")).unwrap();
    for asked in [Durability::Buffered, Durability::Strict] {
        let spec = RunSpec { durability: Some(asked), ..RunSpec::named("asks") };
        let error = database.create_run(spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    survivor.put("still", "here").unwrap();
}

/// A shard that panicked while it closed waited for a second message that never came, and `close` waited for it.
#[test]
fn a_panic_while_closing_is_told_and_does_not_hang() {
    let disk = SimDisk::new(52);
    let slow = Options { sync_interval: Duration::from_secs(3600), ..options(Durability::Buffered, 1) };
    let database = open_on(&disk, slow).unwrap();
    let run = script::begin(&database, "run").unwrap();
    script::steps(&run, 1..=3);
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Panic));
    assert_eq!(database.close().unwrap_err().kind(), ErrorKind::Closed);
    disk.set_faults(Faults::none());
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    assert!(!database.recovery().was_clean);
    assert_eq!(script::expect_whole(&database, "run"), 4);
}

thread_local! {
    static KEPT: RefCell<Option<Database>> = const { RefCell::new(None) };
}

/// A database kept in a thread-local was dropped after the thread's reply slots, and the process was aborted.
#[test]
fn a_database_in_a_thread_local_ends_with_its_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept.strata");
    let theirs = path.clone();
    let thread = std::thread::spawn(move || {
        KEPT.with(|kept| *kept.borrow_mut() = None);
        let database = Database::open(&theirs, options(Durability::Buffered, 1)).unwrap();
        database.create_run(RunSpec::named("run")).unwrap().put("a", 1).unwrap();
        KEPT.with(|kept| *kept.borrow_mut() = Some(database));
    });
    thread.join().unwrap();
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    assert!(database.recovery().was_clean, "it was closed in order");
}

/// Cleaning tried more deletions than a commit may hold, was refused for its size, and never cleaned anything again.
#[test]
fn expired_keys_are_cleaned_within_the_smallest_limits() {
    let clock = TestClock::at(1_000_000);
    let limits = Limits { transaction_mutations_max: 3, ..Limits::default() };
    let options = Options { limits, ..options(Durability::InMemory, 1) };
    let database = Database::start(None, options, clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for number in 0..20 {
        run.put_with_ttl(&format!("key-{number}"), number, Duration::from_secs(1)).unwrap();
    }
    clock.advance(Duration::from_secs(2));
    eventually("all of them are cleaned", || {
        clock.advance(Duration::from_secs(1));
        run.info().unwrap().kv_count == 0
    });
    assert_eq!(database.stats().unwrap().shards[0].expired, 20);
}

/// A run without a name could not be taken up after a crash: beginning made a new one, and making it active was no
/// change to a run that was active already.
#[test]
fn an_orphaned_run_without_a_name_is_taken_up_by_its_id() {
    let disk = SimDisk::new(53);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let id = database.create_run(RunSpec::default()).unwrap().id();
    let after = disk.kill();
    drop(database);
    let database = open_on(&after, options(Durability::Strict, 1)).unwrap();
    let run = database.run(id);
    assert!(run.info().unwrap().orphaned);
    assert_eq!(run.resume().unwrap().unwrap().version, Version(2));
    assert!(!run.info().unwrap().orphaned);
    assert_eq!(run.resume().unwrap(), None, "it is active in this boot already");
    run.end(RunStatus::Completed).unwrap();
    assert_eq!(run.resume().unwrap_err().kind(), ErrorKind::RunClosed);
}

/// A key inside a cause was not limited: one of a gigabyte broke an assertion of the log.
#[test]
fn a_key_in_a_cause_has_the_limits_of_a_key() {
    let database = Database::in_memory().unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let entity = EntityRef::kv(run.id(), "k".repeat(1025));
    let because = run.with_cause(Cause::Entity { entity, version: Version(1) });
    assert_eq!(because.put("a", 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// `sync` of a run that is never logged answered that all was durable.
#[test]
fn sync_of_a_run_that_lives_in_memory_is_refused() {
    let disk = SimDisk::new(54);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let spec = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("light") };
    let run = database.create_run(spec).unwrap();
    assert_eq!(run.sync().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(
        database.run(strata::RunId::from_bytes([9; 16])).sync().unwrap_err().kind(),
        ErrorKind::NotFound
    );
    database.sync().unwrap();
}

/// After a failed buffered write the next sync stayed due for ever, and the shard span on it.
#[test]
fn a_shard_with_a_failed_log_sleeps() {
    let disk = SimDisk::new(55);
    let slow = Options { sync_interval: Duration::from_millis(1), ..options(Durability::Buffered, 1) };
    let database = open_on(&disk, slow).unwrap();
    let run = script::begin(&database, "run").unwrap();
    disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
    eventually("the log has failed", || {
        run.put("a", 1).is_err_and(|error| error.kind() == ErrorKind::LogFailed)
    });
    let message = run.put("a", 1).unwrap_err().message().to_string();
    assert!(message.contains("nothing was written") && message.contains("restart_shard(0)"), "{message}");
    let before = disk.points();
    assert!(run.info().unwrap().version >= Version(1), "reads are served");
    assert_eq!(disk.points(), before, "a failed log touches the disk no more");
}

/// On a full disk the cleaning of one expired key stalled, was refused, and began again at once: the shard never
/// slept, filled and freed the disk in a loop, and every read waited for a failed preparation.
#[test]
fn cleaning_on_a_full_disk_waits_before_it_tries_again() {
    let disk = SimDisk::new(56);
    let clock = TestClock::at(1_000_000);
    let storage = std::sync::Arc::new(disk.clone());
    let path = Some(sim_path());
    let database =
        Database::start(path, options(Durability::Buffered, 1), clock.clock(), Some(storage)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    // Its deletion takes more room than the smallest put that will be refused.
    let lease = "lease".repeat(200);
    run.put_with_ttl(&lease, 1, Duration::from_secs(1)).unwrap();
    disk.set_capacity(Some(600 << 10));
    let mut size = 64 << 10;
    while size > 16 {
        match run.put("filling", "x".repeat(size)) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                size /= 2;
            }
        }
    }
    let before = disk.points();
    clock.advance(Duration::from_secs(2));
    // Nobody calls; the shard looks at its clock within a second, and tries to clean. What is to be seen is that it
    // does not go on, so there is no event to wait for.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(run.get(&lease).unwrap(), None, "an expired key is hidden whatever the disk does");
    let calls = disk.points() - before;
    assert!(calls <= 60, "the clock stands still, so there is no second attempt; {calls} calls of the disk");
}

/// One stopped shard made the counters of all others unreadable.
#[test]
fn the_counters_of_a_stopped_shard_say_so_and_the_others_are_told() {
    let disk = SimDisk::new(57);
    let database = open_on(&disk, options(Durability::Strict, 2)).unwrap();
    let run = script::begin(&database, "run").unwrap();
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Panic));
    assert_eq!(script::step(&run, 1).unwrap_err().kind(), ErrorKind::Closed);
    let stopped = database.shard_of(run.id());
    for shard in database.stats().unwrap().shards {
        let expected = if shard.shard == stopped { ShardState::Closed } else { ShardState::Serving };
        assert_eq!(shard.state, expected);
    }
}

/// A transition sent again with its operation id read its own result, stepped on from there, and was refused as
/// another write under the same id: "give each write an id of its own", which would have made it happen twice. It is
/// told now that it happened, as a transaction is, and its receipt can be asked for.
#[test]
fn a_transition_that_is_sent_again_is_told_that_it_happened() {
    let disk = SimDisk::new(53);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.cell_init("balance", 100).unwrap();
    let id = OperationId([3; 16]);
    let pay = |run: &strata::RunHandle| {
        let left = |value: &strata::Value| Ok((value.as_int().unwrap_or(0) - 30).into());
        run.with_operation_id(id).cell_transition("balance", left)
    };
    let (left, first) = pay(&run).unwrap();
    assert_eq!(left, 70.into());
    let expect_once = |run: &strata::RunHandle| {
        let again = pay(run).unwrap_err();
        assert_eq!(
            (again.kind(), again.entity()),
            (ErrorKind::AlreadyExists, Some(&EntityRef::run(run.id())))
        );
        assert_eq!(run.receipt(id).unwrap().unwrap().commit, first);
        assert_eq!(run.cell_read("balance").unwrap().unwrap().value, 70.into());
    };
    expect_once(&run);
    database.close().unwrap();
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    expect_once(&database.run(script::id_of("run")));
}
