//! What is kept can be made where a fork of an older version is there. Once the image that the oldest version is made from was dropped then,
//! though a compaction had left no records in front of it: versions and forks of them were lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::versions::disk;
use crate::support::{TestClock, options};
use strata::{
    Compaction, Database, Durability, Options, Reads, Retention, RunHandle, RunSpec, Version, Writes,
};
use strata_wal::sim::SimDisk;

fn open(disk: &SimDisk, clock: &TestClock, retention: Retention) -> Database {
    let options = Options { checkpoint_log_size: 1 << 30, retention, ..options(Durability::Buffered, 1) };
    let path = Path::new("/agent/store");
    Database::start(Some(path.into()), options, clock.clock(), Some(Arc::new(disk.clone()))).unwrap()
}

fn compacted(database: &Database) {
    database.compact(Compaction::Full).unwrap();
}

fn put(run: &RunHandle, clock: &TestClock, count: u64) {
    for number in 0..count {
        clock.advance(Duration::from_millis(10));
        run.put("key", number as i64).unwrap();
    }
}

/// Every version from this one on can be looked at.
fn expect_all_from(run: &RunHandle, first: u64, story: &str) {
    for version in first..=run.info().unwrap().version.0 {
        let found = run.at(Version(version)).map(|was| was.version());
        assert_eq!(found.map_err(|error| error.to_string()), Ok(Version(version)), "{story}");
    }
}

#[test]
fn a_run_that_was_created_anew_keeps_all_though_a_fork_of_its_first_life_is_there() {
    for is_forked in [false, true] {
        let (disk, clock) = (disk(1), TestClock::at(1_750_000_000_000_000));
        let database = open(&disk, &clock, Retention::KeepAll);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        put(&run, &clock, 2);
        let _fork = is_forked.then(|| run.fork().unwrap());
        put(&run, &clock, 3);
        let deleted = run.delete_run().unwrap().version.0;
        compacted(&database);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        put(&run, &clock, 5);
        expect_all_from(&run, deleted + 1, &format!("forked: {is_forked}, no image yet"));
        _ = database.checkpoint().unwrap();
        expect_all_from(&run, deleted + 1, &format!("forked: {is_forked}"));
    }
}

#[test]
fn what_a_run_keeps_from_now_on_is_kept_though_a_fork_of_an_older_version_is_there() {
    for is_forked in [false, true] {
        let (disk, clock) = (disk(2), TestClock::at(1_750_000_000_000_000));
        let database = open(&disk, &clock, Retention::KeepLast(1));
        let run = database.create_run(RunSpec::named("run")).unwrap();
        put(&run, &clock, 2);
        let _fork = is_forked.then(|| run.fork().unwrap());
        put(&run, &clock, 3);
        compacted(&database);
        let from = run.info().unwrap().version.0;
        run.set_retention(Retention::KeepAll).unwrap();
        put(&run, &clock, 5);
        expect_all_from(&run, from, &format!("forked: {is_forked}, no image yet"));
        _ = database.checkpoint().unwrap();
        expect_all_from(&run, from, &format!("forked: {is_forked}"));
    }
}

#[test]
fn what_is_younger_than_asked_is_kept_though_a_fork_of_an_older_version_is_there() {
    for is_forked in [false, true] {
        let (disk, clock) = (disk(3), TestClock::at(1_750_000_000_000_000));
        let database = open(&disk, &clock, Retention::KeepFor(Duration::from_secs(60)));
        let run = database.create_run(RunSpec::named("run")).unwrap();
        put(&run, &clock, 20);
        let fork = is_forked.then(|| run.fork().unwrap());
        _ = database.checkpoint().unwrap();
        put(&run, &clock, 3);
        _ = database.checkpoint().unwrap();
        put(&run, &clock, 1);
        _ = database.checkpoint().unwrap();
        // It is left alone for long, and all but its newest version is given up.
        clock.advance(Duration::from_secs(600));
        let other = database.create_run(RunSpec::named("other")).unwrap();
        for _ in 0..2 {
            put(&other, &clock, 1);
            compacted(&database);
        }
        let from = run.info().unwrap().version.0;
        put(&run, &clock, 5);
        expect_all_from(&run, from, &format!("forked: {is_forked}, no image yet"));
        _ = database.checkpoint().unwrap();
        expect_all_from(&run, from, &format!("forked: {is_forked}"));
        drop(fork);
    }
}

/// Not only versions that are looked at: a fork of one of them was lost as a whole.
#[test]
fn a_second_fork_of_a_run_that_keeps_its_newest_version_alone_comes_back() {
    for is_forked in [false, true] {
        let (disk, clock) = (disk(5), TestClock::at(1_750_000_000_000_000));
        let database = open(&disk, &clock, Retention::KeepLast(1));
        let run = database.create_run(RunSpec::named("run")).unwrap();
        (0..50).for_each(|number| _ = run.put(&format!("k{number}"), "x".repeat(100)).unwrap());
        let _fork = is_forked.then(|| run.fork().unwrap());
        _ = database.checkpoint().unwrap();
        put(&run, &clock, 3);
        compacted(&database);
        put(&run, &clock, 1);
        let fork = run.fork().unwrap();
        fork.put("own", "only here").unwrap();
        let id = fork.id();
        put(&run, &clock, 3);
        compacted(&database);
        database.close().unwrap();
        let database = open(&disk, &clock, Retention::KeepLast(1));
        let found = database.run(id).get("own").map(|found| found.map(|found| found.value));
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found, Ok(Some("only here".into())), "forked: {is_forked}");
    }
}
