//! The past of forks, of what became of their parents, and of runs that had more than one life.

use std::sync::Arc;
use std::time::Duration;

use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, ErrorKind, NewTrace, Options, Reads,
    Retention, RunHandle, RunSpec, Timestamp, TraceContent, TraceId, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::versions::{all_of, disk, file, keep_all, open_at};
use crate::support::{TestClock, options};

fn versions_of(run: &RunHandle, entity: &EntityRef) -> Vec<u64> {
    let (mut all, mut before) = (Vec::new(), None);
    for _ in 0..1_000 {
        let page = run.history(entity, 100, before).unwrap();
        all.extend(page.commits.iter().map(|commit| commit.version.0));
        let Some(next) = page.next else { return all };
        before = Some(next);
    }
    panic!("it does not end: {all:?}");
}

fn write(clock: &TestClock, run: &RunHandle, count: i64) {
    for number in 0..count {
        clock.advance(Duration::from_millis(1));
        run.put("key", number).unwrap();
    }
}

/// A fork of version 6 of a run that has given up all versions but the newest since.
fn fork_of_what_is_given_up(disk: &SimDisk, clock: &TestClock) -> (Database, RunHandle) {
    let options = Options { retention: Retention::KeepLast(1), ..options(Durability::Buffered, 1) };
    let storage = Some(Arc::new(disk.clone()) as Arc<dyn strata_wal::storage::Storage>);
    let database = Database::start(Some(file("store")), options, clock.clock(), storage).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    write(clock, &run, 5);
    clock.advance(Duration::from_millis(1));
    let fork = run.fork().unwrap();
    fork.set_retention(Retention::KeepAll).unwrap();
    write(clock, &run, 50);
    write(clock, &fork, 3);
    drop(database.checkpoint().unwrap());
    database.compact(Compaction::Full).unwrap();
    write(clock, &run, 1);
    assert!(run.preview_retention(None).unwrap().earliest > Version(20));
    (database, fork)
}

/// A fork of version 2 of a run that was deleted since.
fn fork_of_what_is_deleted(disk: &SimDisk) -> (Database, RunHandle) {
    let database = open_at(disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    let fork = run.fork().unwrap();
    fork.put("key", 3).unwrap();
    run.delete_run().unwrap();
    database.compact(Compaction::Full).unwrap();
    (database, fork)
}

#[test]
fn a_replay_that_begins_behind_a_document_that_was_put_anew_shows_it() {
    let disk = disk(34);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.json_create("note", Value::from([("text", "secret".into())])).unwrap();
    let fork = run.fork().unwrap();
    let anew = fork.json_set("note", "", Value::from([("new", 1.into())])).unwrap();
    fork.json_set("note", "/more", 2).unwrap();
    run.erase(&EntityRef::json(run.id(), "note"), ErasedVersions::All, "asked to").unwrap();
    let newest = fork.info().unwrap().version;
    for from in [Version(2), anew.version] {
        let mut replay = fork.replay_range(from, newest).unwrap();
        while let Some(commit) = replay.step().unwrap() {
            let at = fork.at(commit.version).unwrap();
            assert_eq!(all_of(&fork, replay.view()), all_of(&fork, &at), "from {from}: {commit:?}");
        }
    }
}

#[test]
fn the_time_of_the_version_that_a_fork_began_as_is_found_whatever_became_of_its_parent() {
    let clock = TestClock::at(1_750_000_000_000_000);
    let first = disk(31);
    let (_database, fork) = fork_of_what_is_given_up(&first, &clock);
    let began = fork.at(Version(6)).expect("it is there").stamp();
    let given_up = [began.timestamp, Timestamp(began.timestamp.0 + 1)]
        .map(|time| fork.at_time(time).map(|found| found.version()).map_err(|error| error.to_string()));
    let second = disk(32);
    let (_database, fork) = fork_of_what_is_deleted(&second);
    let began = fork.at(Version(2)).expect("it is there").stamp();
    let deleted =
        fork.at_time(began.timestamp).map(|found| found.version()).map_err(|error| error.to_string());
    assert_eq!((given_up, deleted), ([Ok(Version(6)), Ok(Version(6))], Ok(Version(2))));
}

#[test]
fn a_fork_is_replayed_whatever_became_of_its_parent() {
    let clock = TestClock::at(1_750_000_000_000_000);
    let first = disk(33);
    let (_database, fork) = fork_of_what_is_given_up(&first, &clock);
    let newest = fork.info().unwrap().version;
    let made = fork.replay_range(Version(6), newest).and_then(|mut replay| replay.step());
    assert_eq!(made.unwrap().unwrap().version, Version(7), "from there on it is replayed");
    let begins = |fork: &RunHandle| {
        fork.replay().map(|replay| replay.view().version()).map_err(|error| error.to_string())
    };
    let given_up = begins(&fork);
    let second = disk(34);
    let (_database, fork) = fork_of_what_is_deleted(&second);
    assert_eq!((given_up, begins(&fork)), (Ok(Version(6)), Ok(Version(2))));
}

#[test]
fn a_run_that_was_deleted_and_created_anew_is_replayed() {
    let disk = disk(39);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    run.delete_run().unwrap();
    database.create_run(RunSpec::named("run")).unwrap();
    let newest = run.put("key", 2).unwrap().version;
    assert_eq!(run.replay_until(newest).map(|view| view.version()).unwrap(), newest);
    let mut replay = run.replay().unwrap();
    while replay.step().unwrap().is_some() {}
    assert_eq!(replay.view().version(), newest);
}

#[test]
fn a_page_of_the_history_of_a_thing_is_bounded_in_bytes_as_that_of_commits_is() {
    let disk = disk(37);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for number in 0..32 {
        run.put("key", Value::from(vec![Value::from("x".repeat(1 << 20)), number.into()])).unwrap();
    }
    assert!(run.commits(Version::NEVER, 1_000).unwrap().commits.len() < 8);
    let page = run.history(&EntityRef::kv(run.id(), "key"), 1_000, None).unwrap();
    assert!(page.commits.len() < 8, "{} MiB in one page", page.commits.len());
}

#[test]
fn the_time_in_front_of_a_fork_is_found_where_that_has_given_up_no_commit() {
    let (disk, clock) = (disk(41), TestClock::at(1_750_000_000_000_000));
    let options = Options { retention: Retention::KeepLast(1), ..options(Durability::Buffered, 1) };
    let storage = Some(Arc::new(disk.clone()) as Arc<dyn strata_wal::storage::Storage>);
    let database = Database::start(Some(file("store")), options, clock.clock(), storage).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    write(&clock, &run, 5);
    let before = clock.now();
    clock.advance(Duration::from_millis(1));
    let fork = run.fork().unwrap();
    for _ in 0..2 {
        write(&clock, &run, 1);
        drop(database.checkpoint().unwrap());
        database.compact(Compaction::Full).unwrap();
    }
    assert_eq!(fork.at(Version(6)).unwrap().stamp().timestamp.0, before);
    assert_eq!(fork.at_time(Timestamp(before)).unwrap().version(), Version(6));
}

#[test]
fn the_history_of_a_trace_goes_on_with_the_one_that_had_its_id_before() {
    let disk = disk(35);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let thought = |number: u8| {
        let content = TraceContent::Thought { text: format!("thought {number}"), confidence: None };
        NewTrace::new(TraceId::from_bytes([number; 16]), content)
    };
    let first = run.trace_record(thought(1)).unwrap().1.version;
    run.trace_record(thought(2)).unwrap();
    run.set_trace_retention(Retention::KeepLast(1)).unwrap();
    let again = run.trace_record(thought(1)).unwrap().1.version;
    let found = versions_of(&run, &EntityRef::trace(run.id(), TraceId::from_bytes([1; 16])));
    assert_eq!(found, [again.0, first.0]);
}

#[test]
fn the_end_of_a_run_is_told_of_whatever_is_asked_for_behind_it() {
    let disk = disk(38);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    run.delete_run().unwrap();
    database.create_run(RunSpec::named("run")).unwrap();
    for key in ["key", "other"] {
        let key = EntityRef::kv(run.id(), key);
        assert_eq!(versions_of(&run, &key), [3]);
        let trimmed = run.history(&key, 100, None).unwrap().trimmed;
        assert_eq!(trimmed, Some(Version(3)), "it took the history of the life that it ended");
    }
}

/// What a fork had given up of its own hid nothing in front of that: `at` told inherited versions that came before the earliest one.
#[test]
fn in_front_of_what_a_fork_has_given_up_nothing_is_told() {
    let disk = disk(44);
    let calm = Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) };
    let database = open_at(&disk, "store", calm);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..4).for_each(|number| _ = run.put("key", number).unwrap());
    let fork = run.fork().unwrap();
    fork.set_retention(Retention::KeepLast(3)).unwrap();
    (0..4).for_each(|number| _ = fork.put("key", number).unwrap());
    let readable = |run: &RunHandle| {
        let newest = run.info().unwrap().version.0;
        (1..=newest).filter(|version| run.at(Version(*version)).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(readable(&fork), (1..=11).collect::<Vec<_>>());
    drop(database.checkpoint().unwrap());
    assert_eq!(readable(&fork), [5, 9, 10, 11], "and what it began as, which is kept for it");
    let refused = fork.at(Version(3)).map(drop).unwrap_err();
    assert!(refused.to_string().contains("the earliest is 9"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(fork.fork_at(Version(4)).map(drop).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(readable(&run), [1, 2, 3, 4, 5], "which keeps all");
}
