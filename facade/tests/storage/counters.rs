//! What shards tell of what they have done: each counter moves with what it counts, and with nothing else.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strata::{Database, Durability, ErrorKind, Options, Reads, ShardStats, Writes};
use strata_wal::sim::SimDisk;

use crate::support::gate::{Gate, Opener, open_gated, under_way};
use crate::support::{eventually, open_on, options, script};

/// Long against what a simulated disk takes, and nothing in a test.
const MOMENT: Duration = Duration::from_millis(200);

fn of(database: &Database) -> ShardStats {
    database.stats().unwrap().shards.remove(0)
}

#[test]
fn every_image_and_its_checkpoint_are_counted_with_size_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = script::begin(&database, "run").unwrap();
    for round in 0..3 {
        script::steps(&run, 10 * round + 1..=10 * round + 10);
        drop(database.checkpoint().unwrap());
        drop(database.checkpoint().unwrap()); // nothing has changed: there is no further image
        let stats = of(&database);
        let counts = [stats.image_bytes.count(), stats.image_times.count(), stats.checkpoint_times.count()];
        assert_eq!((stats.images, counts), (round + 1, [round + 1; 3]));
        assert!(stats.image_times.max() <= stats.checkpoint_times.max() + Duration::from_millis(1));
    }
    let bytes = of(&database).image_bytes;
    let largest = sizes(&path.join("SNAPSHOTS")).into_iter().max().unwrap();
    assert!(bytes.max().abs_diff(largest) <= largest / 64, "{bytes:?}, and a file of {largest}");
}

/// Of the files that are not removed while one looks, as an older image is.
fn sizes(dir: &Path) -> Vec<u64> {
    let entries = fs::read_dir(dir).unwrap().filter_map(|entry| entry.unwrap().metadata().ok());
    entries.map(|file| file.len()).collect()
}

#[test]
fn a_checkpoint_that_fails_is_counted_as_that_alone() {
    let disk = SimDisk::new(1);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    script::steps(&script::begin(&database, "run").unwrap(), 1..=10);
    disk.set_capacity(Some(0));
    assert_eq!(database.checkpoint().unwrap_err().kind(), ErrorKind::Full);
    let stats = of(&database);
    let counts = [stats.image_bytes.count(), stats.image_times.count(), stats.checkpoint_times.count()];
    assert_eq!((stats.image_failures, stats.images, counts), (1, 0, [0; 3]));
}

#[test]
fn a_checkpoint_takes_as_long_as_it_waits_for_the_device() {
    let gate = Arc::new(Gate::new());
    let database = open_gated(&SimDisk::new(1), &gate, Durability::Buffered);
    let _opener = Opener(&gate);
    let run = script::begin(&database, "run").unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        // Behind the gate: what is durable already waits for no device.
        script::steps(&run, 1..=3);
        let asked = under_way(scope, &database, || drop(database.checkpoint().unwrap()));
        std::thread::sleep(MOMENT);
        gate.open();
        asked.recv().unwrap();
    });
    let stats = of(&database);
    assert!(stats.checkpoint_times.max() >= MOMENT, "{:?}", stats.checkpoint_times);
    assert!(stats.image_times.max() < MOMENT, "it served meanwhile: {:?}", stats.image_times);
}

#[test]
fn a_commit_waits_as_long_as_the_device_takes() {
    let gate = Arc::new(Gate::new());
    let database = open_gated(&SimDisk::new(1), &gate, Durability::Strict);
    let _opener = Opener(&gate);
    let run = script::begin(&database, "run").unwrap();
    let before = of(&database).log.unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let put = under_way(scope, &database, || run.put("key", 1).unwrap());
        std::thread::sleep(MOMENT);
        gate.open();
        put.recv().unwrap();
    });
    let after = of(&database).log.unwrap();
    assert_eq!(after.batch_records.count(), before.batch_records.count() + 1);
    assert_eq!(after.waits.count(), before.waits.count() + 1);
    assert!(after.waits.max() >= MOMENT && after.sync_times.max() >= MOMENT, "{after:?}");
}

#[test]
fn runs_that_come_into_memory_and_leave_it_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let names: Vec<String> = (0..8).map(|number| format!("run-{number}")).collect();
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    for name in &names {
        script::steps(&script::begin(&database, name).unwrap(), 1..=10);
    }
    let stats = of(&database);
    assert_eq!((stats.loads, stats.load_times.count(), stats.evictions), (0, 0, 0), "all began in memory");
    drop(database.checkpoint().unwrap());
    database.close().unwrap();

    // Room for some of the eight, and nothing is loaded ahead of need.
    let small = Options { memory_budget: 300 << 10, ..options(Durability::Buffered, 1) };
    let database = Database::open(&path, small).unwrap();
    for name in names.iter().chain(&names) {
        assert!(database.run(script::id_of(name)).get("left").unwrap().is_some());
    }
    eventually("no run is on its way", || {
        let stats = of(&database);
        stats.loads + stats.cold_runs == 8 + stats.evictions
    });
    let stats = of(&database);
    assert!(stats.evictions > 0 && stats.loads > 8, "{stats:?}");
    assert_eq!(stats.load_times.count(), stats.loads);
    assert!(stats.load_times.max() > Duration::ZERO, "reading a run takes some time: {:?}", stats.load_times);
    assert_eq!(stats.resident_runs, stats.loads - stats.evictions);
}
