//! When the deadlines of what is looked at are judged.

use std::sync::Arc;
use std::time::Duration;

use strata::{Database, Durability, Options, Reads, RunHandle, RunSpec, Timestamp, Version, Writes};
use strata_wal::sim::SimDisk;

use crate::support::versions::{disk, file};
use crate::support::{TestClock, options};

const START: u64 = 1_000_000_000;

fn calm() -> Options {
    Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(START + seconds * 1_000_000)
}

fn start(disk: &SimDisk, clock: &TestClock) -> Database {
    Database::start(Some(file("store")), calm(), clock.clock(), Some(Arc::new(disk.clone()))).unwrap()
}

/// A store that is only read, so that nobody deletes what has expired, with a key that was to go 10 s behind the last commit; it is 100 s later.
fn with_an_expired_key(disk: &SimDisk) -> (Database, RunHandle, Version) {
    let clock = TestClock::at(START);
    let database = start(disk, &clock);
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    let put = run.put_with_ttl("key", 1, Duration::from_secs(10)).unwrap();
    let id = run.id();
    database.close().unwrap();
    clock.advance(Duration::from_secs(100));
    let storage = Some(Arc::new(disk.clone()) as _);
    let reader = Database::start_to_read(file("store"), calm(), clock.clock(), storage).unwrap();
    let run = reader.run(id);
    (reader, run, put.version)
}

fn has_key(view: &impl Reads) -> bool {
    view.get("key").unwrap().is_some()
}

/// The newest version was judged by the clock, and once another commit had come by its own time: it showed less, and then more.
#[test]
fn the_newest_version_is_judged_at_its_own_time_like_every_other() {
    let disk = disk(1);
    let (_reader, run, version) = with_an_expired_key(&disk);
    assert!(!has_key(&run), "now it has expired");
    let was = run.at(version).unwrap();
    assert!(has_key(&was) && has_key(&was.detach().unwrap()), "at its commit it had not");
    let snapshot = run.snapshot().unwrap();
    assert!(!has_key(&snapshot) && !has_key(&snapshot.detach().unwrap()), "a snapshot is of now");
}

/// It was judged by the time of the commit that is the newest one by then.
#[test]
fn a_view_at_a_time_is_judged_at_that_time() {
    let first = disk(2);
    let clock = TestClock::at(START);
    let database = start(&first, &clock);
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put_with_ttl("key", 1, Duration::from_secs(10)).unwrap();
    clock.advance(Duration::from_secs(100));
    run.put("other", 1).unwrap();
    for (seconds, is_there) in [(0, true), (9, true), (10, false), (99, false), (100, false), (1_000, false)]
    {
        let was = run.at_time(at(seconds)).unwrap();
        assert_eq!((has_key(&was), has_key(&was.detach().unwrap())), (is_there, is_there), "{seconds} s");
    }

    let second = disk(3);
    let (_reader, run, version) = with_an_expired_key(&second);
    for (seconds, is_there) in [(0, true), (9, true), (10, false), (99, false)] {
        let was = run.at_time(at(seconds)).unwrap();
        assert_eq!((was.version(), has_key(&was)), (version, is_there), "{seconds} s, of the newest version");
    }
}

#[test]
fn a_time_to_come_is_now() {
    let disk = disk(4);
    let clock = TestClock::at(START);
    let database = start(&disk, &clock);
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put_with_ttl("key", 1, Duration::from_secs(10)).unwrap();
    assert!(has_key(&run.at_time(at(1_000)).unwrap()));
    assert!(has_key(&run.at_time(Timestamp(u64::MAX)).unwrap()));
}
