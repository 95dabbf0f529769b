//! Nobody sees what a crash could take back.

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use strata::{
    Condition, Database, Durability, EntityRef, ErrorKind, KvScan, OperationId, Options, Reads, RunFilter,
    RunSpec, RunStatus, ShardState, Value, Version, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::gate::{Gate, Opener, open_gated, under_way};
use crate::support::{eventually, open_on, options, script, sim_path};

/// How many pictures of runs were published.
fn publications(database: &Database) -> u64 {
    database.stats().unwrap().shards.iter().map(|shard| shard.publications).sum()
}

#[test]
fn a_read_after_log_failed_serves_the_last_visible_version() {
    for durability in [Durability::Strict, Durability::Buffered] {
        let disk = SimDisk::new(11);
        let database = open_on(&disk, options(durability, 1)).unwrap();
        let run = database.create_run(RunSpec::named("run")).unwrap();
        let other = database.create_run(RunSpec::named("other")).unwrap();
        let first = run.put("plan", "seen").unwrap();
        run.append("step", 1).unwrap();

        disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
        let strict = run.with_durability(Durability::Strict);
        // Each key several times, so that taking back in the wrong order would show.
        let mut batch = strict.batch();
        batch.put("plan", "never seen").unwrap().delete("plan").unwrap().put("plan", "nor this").unwrap();
        batch.increment("n", 1).unwrap().increment("n", 1).unwrap().append("step", 2).unwrap();
        let error = strict.commit(batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LogFailed, "{durability:?}: {error}");

        let read = run.get("plan").unwrap().expect("reads go on");
        assert_eq!((read.value.as_str(), read.version), (Some("seen"), first.version), "{durability:?}");
        let info = run.info().unwrap();
        assert_eq!((info.version, info.event_count, info.kv_count), (Version(3), 1, 1), "{durability:?}");
        assert_eq!(run.list(&KvScan::default()).unwrap().keys, ["plan"], "{durability:?}");
        assert!(run.verify_chain().unwrap().valid);
        for refused in
            [run.put("plan", "later"), other.put("plan", "later"), run.append("step", 2).map(|a| a.commit)]
        {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::LogFailed, "{durability:?}");
        }
        assert_eq!(database.sync().unwrap_err().kind(), ErrorKind::LogFailed);
        assert_eq!(database.stats().unwrap().shards[0].state, ShardState::LogFailed);
        assert_eq!(run.get("plan").unwrap().unwrap().version, first.version);
        disk.set_faults(Faults::none());
        assert_eq!(
            run.put("plan", "later").unwrap_err().kind(),
            ErrorKind::LogFailed,
            "a sync is never retried"
        );
        assert_eq!(database.close().unwrap_err().kind(), ErrorKind::LogFailed, "{durability:?}");
    }
}

#[test]
fn a_run_created_by_a_commit_that_failed_does_not_exist() {
    let disk = SimDisk::new(12);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
    let error = database.create_run(RunSpec::named("run")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LogFailed);
    assert_eq!(database.get_run(script::id_of("run")).unwrap(), None);
    let run = database.run(script::id_of("run"));
    assert_eq!(run.get("plan").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_restarted_shard_serves_what_its_failed_log_holds() {
    let disk = SimDisk::new(13);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let run = script::begin(&database, "run").unwrap();
    script::steps(&run, 1..=9);
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Torn));
    assert_eq!(script::step(&run, 10).unwrap_err().kind(), ErrorKind::LogFailed);

    let recovery = database.restart_shard(0).unwrap();

    assert_eq!(recovery.runs, 1);
    let version = script::expect_whole(&database, "run");
    assert!(
        version == 10 || version == 11,
        "ten commits were acknowledged, one is unknown, {version} are there"
    );
    script::step(&run, 10).expect("the unknown step can be sent again");
    script::step(&run, 11).expect("a restarted shard takes writes");
    assert_eq!(script::expect_whole(&database, "run"), 12);
    database.close().expect("a restarted store closes in order");
    assert_eq!(script::expect_whole(&open_on(&disk, options(Durability::Strict, 1)).unwrap(), "run"), 12);
}

#[test]
fn a_strict_commit_is_seen_by_nobody_before_it_is_durable() {
    for durability in [Durability::Strict, Durability::Buffered] {
        let disk = SimDisk::new(14);
        let gate = Arc::new(Gate::new());
        let database = open_gated(&disk, &gate, durability);
        let run = database.create_run(RunSpec::named("run")).unwrap().with_durability(Durability::Strict);
        let other = database.create_run(RunSpec::named("other")).unwrap();
        let before = run.put("plan", "old").unwrap().version;
        other.put("plan", "other").unwrap();
        gate.close();
        std::thread::scope(|scope| {
            let _opener = Opener(&gate);
            let write = under_way(scope, &database, || run.put("plan", "new").unwrap().version);
            let read = under_way(scope, &database, || run.get("plan").unwrap().unwrap().version);
            let count = under_way(scope, &database, || run.count("").unwrap().version);
            let history = under_way(scope, &database, || {
                run.history(&EntityRef::kv(run.id(), "plan"), 1, None).unwrap().commits[0].version
            });
            let log = under_way(scope, &database, || run.commits(before, 9).unwrap().commits[0].version);
            let conflict =
                under_way(scope, &database, || run.put_if("plan", 1, Condition::Absent).unwrap_err());
            assert_eq!(
                other.get("plan").unwrap().unwrap().value,
                Value::from("other"),
                "other runs are served"
            );
            for waiting in [&write, &read, &count, &history, &log] {
                assert_eq!(
                    waiting.try_recv(),
                    Err(TryRecvError::Empty),
                    "{durability:?}: nobody has heard of it"
                );
            }
            assert!(conflict.try_recv().is_err(), "{durability:?}: a conflict tells of the new version too");
            assert_eq!(publications(&database), 0, "{durability:?}: nor is it published");
            gate.open();
            for answered in [write, read, count, history, log] {
                assert_eq!(answered.recv(), Ok(before.next()), "{durability:?}");
            }
            assert_eq!(conflict.recv().unwrap().kind(), ErrorKind::Conflict);
        });
        eventually("what is durable is published", || {
            assert_eq!(run.get("plan").unwrap().unwrap().value.as_str(), Some("new"));
            publications(&database) > 0
        });
    }
}

#[test]
fn a_buffered_commit_behind_a_strict_one_of_its_run_is_told_after_it() {
    let disk = SimDisk::new(15);
    let gate = Arc::new(Gate::new());
    let database = open_gated(&disk, &gate, Durability::Buffered);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let other = database.create_run(RunSpec::named("other")).unwrap();
    let (strict, id) = (run.with_durability(Durability::Strict), OperationId([7; 16]));
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let first = under_way(scope, &database, || strict.with_operation_id(id).put("plan", 1).unwrap());
        let again = under_way(scope, &database, || strict.with_operation_id(id).put("plan", 1).unwrap());
        let second = under_way(scope, &database, || run.put("note", 2).unwrap());
        assert_eq!(other.put("plan", 3).unwrap().durability, Durability::Buffered, "other runs do not wait");
        for waiting in [&first, &again, &second] {
            assert_eq!(waiting.try_recv(), Err(TryRecvError::Empty), "commit 3 is not told before commit 2");
        }
        gate.open();
        let first = first.recv().unwrap();
        assert_eq!((first.version, first.durability), (Version(2), Durability::Strict));
        assert_eq!(again.recv(), Ok(first), "the write sent again is the same commit");
        let second = second.recv().unwrap();
        assert_eq!((second.version, second.durability), (Version(3), Durability::Buffered));
    });
}

#[test]
fn a_query_tells_nothing_of_a_change_that_is_not_durable() {
    let disk = SimDisk::new(16);
    let gate = Arc::new(Gate::new());
    let database = open_gated(&disk, &gate, Durability::Strict);
    let ended = database.create_run(RunSpec::named("ended")).unwrap();
    let deleted = database.create_run(RunSpec::named("deleted")).unwrap();
    let active = RunFilter { status: Some(RunStatus::Active), ..RunFilter::default() };
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let _end = under_way(scope, &database, || ended.end(RunStatus::Completed).map(drop));
        let _delete = under_way(scope, &database, || deleted.delete_run().map(drop));
        let asked = under_way(scope, &database, || database.runs(&active, None, 10).unwrap().runs.len());
        let told = asked.try_recv();
        assert_eq!(
            told,
            Err(TryRecvError::Empty),
            "that a run is missing tells of a commit that may be taken back"
        );
        gate.open();
        assert_eq!(asked.recv(), Ok(0));
    });
}

#[test]
fn what_a_power_cut_took_back_was_seen_by_nobody() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let gate = Arc::new(Gate::new());
        let database = open_gated(&disk, &gate, Durability::Strict);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("plan", "old").unwrap();
        gate.close();
        let after = std::thread::scope(|scope| {
            let opener = Opener(&gate);
            let write = under_way(scope, &database, || run.put("plan", "new"));
            let more = under_way(scope, &database, || run.delete("plan"));
            let most = under_way(scope, &database, || run.increment("plan", 1));
            let read = under_way(scope, &database, || run.get("plan"));
            let after = disk.power_cycle(seed);
            drop(opener);
            // No call may tell of what was under way: its write never completed.
            assert_eq!(write.recv().unwrap().unwrap_err().kind(), ErrorKind::LogFailed);
            assert_eq!(more.recv().unwrap().unwrap_err().kind(), ErrorKind::LogFailed);
            assert_eq!(most.recv().unwrap().unwrap_err().kind(), ErrorKind::LogFailed);
            let read_now = run.get("plan").unwrap().expect("three commits were taken back");
            assert_eq!((read_now.value, read_now.version), (Value::from("old"), Version(2)));
            match read.recv().unwrap() {
                Ok(read) => assert_eq!(read.unwrap().value, Value::from("old")),
                Err(error) => assert_eq!(error.kind(), ErrorKind::LogFailed),
            }
            after
        });
        drop(database);
        let database = open_on(&after, options(Durability::Strict, 1)).unwrap();
        let found =
            database.run(script::id_of("run")).get("plan").unwrap().expect("the old value was durable");
        assert!([Value::from("old"), Value::from("new")].contains(&found.value));
    }
}

#[test]
fn a_strict_commit_in_a_buffered_log_survives_power_loss_with_its_whole_prefix() {
    let mut lost_without = 0;
    for seed in 0..15 {
        for strict in [true, false] {
            let disk = SimDisk::new(seed);
            // No sync of its own within the test.
            let slow =
                Options { sync_interval: Duration::from_secs(3600), ..options(Durability::Buffered, 1) };
            let database = open_on(&disk, slow).unwrap();
            for name in ["first", "second"] {
                let run = script::begin(&database, name).unwrap();
                // Enough to begin further segments: a prefix spans files.
                script::steps(&run, 1..=30);
            }
            let last = script::begin(&database, "last").unwrap();
            let last = if strict { last.with_durability(Durability::Strict) } else { last };
            let commit = script::step(&last, 1).unwrap();
            assert_eq!(commit.durability, if strict { Durability::Strict } else { Durability::Buffered });
            let second = disk.bytes(&sim_path().join("WAL/000-0000000002.seg"));
            assert!(second[4096..].iter().any(|byte| *byte != 0), "the prefix lies in two segments");

            let after = disk.power_cycle(seed ^ 0x5eed);
            drop(database);

            let database = open_on(&after, options(Durability::Buffered, 1)).unwrap();
            let found = ["first", "second", "last"].map(|name| script::expect_whole(&database, name));
            if strict {
                assert_eq!(found, [31, 31, 2], "seed {seed}");
            } else {
                lost_without += u64::from(found != [31, 31, 2]);
            }
        }
    }
    assert!(lost_without > 0, "a disk that never forgets would prove nothing");
}
