//! Snapshots: a run as it was, for as long as somebody looks at it.

use std::time::Duration;

use strata::{
    Database, Direction, Durability, EntityRef, Error, ErrorKind, KvScan, Limits, Options, Reads, RunHandle,
    RunSpec, RunStatus, Value, Version, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::{
    TestClock, eventually, one_run, one_run_on, one_run_with, open_count, open_on, options, script,
};

/// Everything that can be read of a run, as text.
fn picture(reader: &impl Reads) -> String {
    let scan = KvScan { limit: 2, ..KvScan::default() };
    let first = reader.list_values(&scan).unwrap();
    let second = reader.list_values(&KvScan { start_after: first.next.clone(), ..scan.clone() }).unwrap();
    let reverse = reader.list(&KvScan { direction: Direction::Reverse, ..KvScan::prefix("p/") }).unwrap();
    let keys = ["a", "n", "p/1", "p/2", "new"].map(|key| reader.get(key).unwrap());
    let counts =
        (reader.count("").unwrap(), reader.count("p/").unwrap(), reader.event_count_of("x").unwrap());
    let events = (reader.events(0, 9, Direction::Forward).unwrap(), reader.last_events(1).unwrap());
    let heads = (reader.event_head().unwrap(), reader.event_head_of("x").unwrap(), reader.event(1).unwrap());
    let cells = (reader.cell_read("cell").unwrap(), reader.cell_list(&KvScan::default()).unwrap());
    let about = (reader.info().unwrap(), reader.verify_chain().unwrap());
    let stat = reader.stat(&EntityRef::run(reader.run_id())).unwrap();
    format!(
        "{first:?} {second:?} {reverse:?} {keys:?} {counts:?} {events:?} {heads:?} {cells:?} {about:?} {stat:?}"
    )
}

fn furnish(run: &RunHandle) {
    run.put_many([("a", 1), ("p/1", 1), ("p/2", 2)]).unwrap();
    run.cell_init("cell", "idle").unwrap();
    run.append_many([("x", 0), ("y", 1)]).unwrap();
}

#[test]
fn commits_behind_a_snapshot_do_not_change_it() {
    let (database, run) = one_run();
    furnish(&run);
    let expected = picture(&run);
    let snapshot = run.snapshot().unwrap();
    let changes: [fn(&RunHandle); 9] = [
        |run| done(run.put("a", 2)),
        |run| done(run.put("new", 2)),
        |run| done(run.delete_prefix("p/")),
        |run| done(run.put("p/1", "again")),
        |run| done(run.cell_set("cell", "busy")),
        |run| done(run.append_many([("x", 2), ("z", 3)])),
        |run| done(run.set_tags(["t"])),
        |run| done(run.update_status(RunStatus::Completed)),
        |run| done(run.delete_run()),
    ];
    for change in changes {
        change(&run);
        assert_eq!(picture(&snapshot), expected);
    }
    let again = database.create_run(RunSpec::named("run")).unwrap();
    furnish(&again);
    assert_eq!(picture(&snapshot), expected, "also of a run that was deleted and created again");
    assert_ne!(picture(&again), expected);
    drop(snapshot);
    assert_eq!(open_count(&database), 0);
}

#[test]
fn several_snapshots_show_a_version_each() {
    let (database, run) = one_run();
    let mut kept = Vec::new();
    for number in 0..20 {
        run.put("n", number).unwrap();
        if number % 3 == 0 {
            run.append("x", number).unwrap();
        }
        kept.push((run.snapshot().unwrap(), run.info().unwrap(), picture(&run)));
    }
    // Closed from the middle, so that what only they needed is forgotten and the rest is not.
    for place in [10, 3, 0, 16] {
        drop(kept.remove(place));
        for (snapshot, info, picture_then) in &kept {
            assert_eq!((snapshot.version(), snapshot.stamp().timestamp), (info.version, info.timestamp));
            assert_eq!(&picture(snapshot), picture_then);
        }
    }
    assert_eq!(open_count(&database), 16);
    drop(kept);
    assert_eq!(open_count(&database), 0);
}

#[test]
fn a_snapshot_reads_at_the_time_it_was_taken() {
    let clock = TestClock::at(1_000_000);
    let (_database, run) = one_run_on(&clock);
    run.put_with_ttl("k", 1, Duration::from_micros(50)).unwrap();
    let snapshot = run.snapshot().unwrap();
    clock.advance(Duration::from_secs(9));
    eventually("the key has been cleaned away", || run.info().unwrap().kv_count == 0);
    assert_eq!(snapshot.get("k").unwrap().unwrap().value, Value::Int(1));
    assert_eq!(snapshot.ttl("k").unwrap().unwrap().value, Some(Duration::from_micros(50)));
    assert_eq!((snapshot.count("").unwrap().value, run.count("").unwrap().value), (1, 0));
}

#[test]
fn a_snapshot_of_a_run_that_does_not_exist_is_not_found() {
    let (database, run) = one_run();
    run.delete_run().unwrap();
    for run in [run, database.run(script::id_of("never"))] {
        let error = run.snapshot().unwrap_err();
        assert_eq!((error.kind(), error.entity()), (ErrorKind::NotFound, Some(&EntityRef::run(run.id()))));
    }
    assert_eq!(open_count(&database), 0);
}

#[test]
fn a_snapshot_moves_between_threads_and_is_read_by_several() {
    let (_database, run) = one_run();
    run.put("a", 1).unwrap();
    let snapshot = run.snapshot().unwrap();
    run.put("a", 2).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(snapshot.get("a").unwrap().unwrap().value, Value::Int(1)));
        }
    });
    std::thread::spawn(move || assert_eq!(snapshot.version(), Version(2))).join().unwrap();
}

fn small() -> Options {
    let limits = Limits { snapshot_size_max: 10_000, ..Limits::default() };
    Options { limits, ..options(Durability::InMemory, 1) }
}

#[test]
fn the_oldest_snapshot_is_given_up_when_too_much_was_replaced() {
    let (database, run) = one_run_with(small());
    let fill = |number: u8| run.put(&format!("big-{number}"), "x".repeat(4_000)).map(drop).unwrap();
    (0..3).for_each(fill);
    let old = run.snapshot().unwrap();
    let tx = run.begin();
    assert!(tx.get("big-0").unwrap().is_some());
    // Of a thing that is replaced again and again only what a snapshot shows is kept.
    [0, 1, 0, 1, 0, 1].into_iter().for_each(fill);
    let young = run.snapshot().unwrap();
    assert!(old.get("big-0").unwrap().is_some(), "what was replaced still fits");
    fill(2);
    let error = old.get("big-0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
    assert!(error.message().contains("snapshot_size_max"), "{error}");
    assert!(young.get("big-2").unwrap().is_some(), "the young one needs less");
    assert_eq!(tx.get("other").unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    let tx_writes = run.begin();
    tx_writes.get("other").unwrap();
    tx.put("own", 1).unwrap();
    let error = tx.commit().unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::Conflict, Some(&EntityRef::run(run.id()))),
        "{error}"
    );
    tx_writes.put("own", 2).unwrap();
    tx_writes.commit().expect("a transaction behind the trimming goes on");
    drop((old, young));
    assert_eq!(open_count(&database), 0);
}

/// A deleted run that a snapshot still showed was kept whole, whatever its size.
#[test]
fn deleted_content_counts_as_kept_for_a_snapshot() {
    let (database, run) = one_run_with(small());
    run.put("a", 1).unwrap();
    let before = run.snapshot().unwrap();
    run.delete_run().unwrap();
    assert!(before.get("a").unwrap().is_some(), "a small life is kept");
    database.create_run(RunSpec::named("run")).unwrap();
    run.append("big", "x".repeat(12_000)).unwrap();
    let large = run.snapshot().unwrap();
    run.delete_run().unwrap();
    assert_eq!(before.get("a").unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(large.event(0).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
}

#[test]
fn what_is_open_ends_with_its_shard() {
    let disk = SimDisk::new(81);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("a", 1).unwrap();
    let snapshot = run.snapshot().unwrap();
    let (read, unread) = (run.begin(), run.begin());
    read.get("a").unwrap();
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Error));
    assert_eq!(run.put("a", 2).unwrap_err().kind(), ErrorKind::LogFailed);

    // What they show was visible before the log failed, so it is served on.
    assert_eq!(snapshot.get("a").unwrap().unwrap().value, Value::Int(1));
    assert_eq!(read.get("a").unwrap().unwrap().value, Value::Int(1));
    let late = run.begin();
    assert_eq!(late.get("a").unwrap().unwrap().value, Value::Int(1));
    late.put("a", 3).unwrap();
    assert_eq!(late.commit().unwrap_err().kind(), ErrorKind::LogFailed);
    assert_eq!(run.execute(|run| run.put("a", 3)).unwrap_err().kind(), ErrorKind::LogFailed);

    disk.set_faults(Faults::none());
    database.restart_shard(0).unwrap();
    assert_eq!(snapshot.get("a").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(read.get("a").unwrap_err().kind(), ErrorKind::Closed);
    read.put("a", 4).unwrap();
    assert_eq!(read.commit().unwrap_err().kind(), ErrorKind::Closed);
    unread.put("a", 5).unwrap();
    unread.commit().expect("one that had read nothing has nothing to lose");
    drop(snapshot);
    assert_eq!(open_count(&database), 0);
    let (snapshot, tx) = (run.snapshot().unwrap(), run.begin());
    tx.get("a").unwrap();
    tx.put("a", 6).unwrap();
    database.close().unwrap();
    assert_eq!(snapshot.get("a").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(tx.commit().unwrap_err().kind(), ErrorKind::Closed);
}

/// What a rival does to the run.
type Doing = fn(&RunHandle);

#[test]
fn what_becomes_of_the_run_meanwhile_is_told_at_the_commit() {
    let cases: [(Doing, ErrorKind); 4] = [
        (|run| done(run.update_status(RunStatus::Paused)), ErrorKind::RunClosed),
        (|run| done(run.archive()), ErrorKind::RunClosed),
        (|run| done(run.delete_run()), ErrorKind::NotFound),
        (|run| done(run.end(RunStatus::Failed)), ErrorKind::RunClosed),
    ];
    for (rival, kind) in cases {
        let (database, run) = one_run();
        let (blind, told) = (run.begin(), run.begin());
        blind.put("a", 1).unwrap();
        assert_eq!(told.increment("n", 1).unwrap().0, 1);
        rival(&run);
        assert_eq!(blind.commit().unwrap_err().kind(), kind);
        // What it was told holds no longer once all of the run is gone.
        let of_told = if kind == ErrorKind::NotFound { ErrorKind::Conflict } else { kind };
        assert_eq!(told.commit().unwrap_err().kind(), of_told);
        let error: Error = run.transaction(|tx| tx.put("a", 1)).unwrap_err();
        assert_eq!((error.kind(), open_count(&database)), (kind, 0));
    }
    let (database, run) = one_run();
    run.put("a", 1).unwrap();
    let tx = run.begin();
    tx.get("a").unwrap();
    tx.put("b", 1).unwrap();
    run.delete_run().unwrap();
    database.create_run(RunSpec::named("run")).unwrap();
    run.put("a", 1).unwrap();
    let error = tx.commit().unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&EntityRef::run(run.id()))));
    assert_eq!(run.get("b").unwrap(), None);
}

#[test]
fn a_transaction_on_a_run_that_does_not_exist_is_not_found() {
    let (database, _) = one_run();
    let run = database.run(script::id_of("never"));
    assert_eq!(run.transaction(|tx| tx.put("a", 1)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(run.transaction(|tx| tx.get("a")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(run.execute(|run| run.get("a")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(run.execute(|run| run.put("a", 1)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(open_count(&database), 0);
}

fn done<T>(result: strata::Result<T>) {
    result.unwrap();
}

/// A document that was replaced counted as two kilobytes of what is kept for snapshots, whatever its size: one open
/// snapshot kept a hundred documents of megabytes under a limit of 64 MiB.
#[test]
fn documents_that_are_replaced_count_in_what_is_kept_for_snapshots() {
    let limits = Limits { snapshot_size_max: 1 << 20, ..Limits::default() };
    let options = Options { limits, shards: Some(1), ..Options::default() };
    let database = Database::in_memory_with(options).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    let large = || Value::from([("text", "x".repeat(300_000).into()), ("n", 1.into())]);
    type Change = fn(&RunHandle, Value);
    let changes: [(Change, bool); 5] = [
        (|run, large| done(run.json_set("doc", "", large)), true),
        (|run, large| done(run.json_set("doc", "/text", large)), true),
        (
            |run, large| {
                run.json_destroy("doc").unwrap();
                run.json_create("doc", large).unwrap();
            },
            true,
        ),
        (
            |run, large| {
                run.json_delete("doc", "/text").unwrap();
                run.json_set("doc", "/text", large).unwrap();
            },
            true,
        ),
        (|run, _| done(run.json_set("doc", "/n", 2)), false),
    ];
    for (change, gives_up) in changes {
        run.json_destroy("doc").unwrap();
        run.json_create("doc", large()).unwrap();
        let snapshot = run.snapshot().unwrap();
        // Each is looked at, so each is kept.
        let watch = |_| {
            change(&run, large());
            run.snapshot().unwrap()
        };
        let _watched: Vec<_> = (0..10).map(watch).collect();
        let read = snapshot.json_get("doc", "/n");
        assert_eq!(read.is_err_and(|error| error.kind() == ErrorKind::HistoryTrimmed), gives_up);
    }
}
