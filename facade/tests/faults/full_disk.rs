//! A full disk refuses writes, loses nothing, and takes them again once there is space.

use std::path::PathBuf;
use std::time::Duration;

use strata::{Database, Durability, ErrorKind, Options, Reads, ShardState, Value};
use strata_wal::sim::SimDisk;

use crate::support::{eventually, open_on, options, script};

#[test]
fn a_full_disk_refuses_writes_and_serves_again_when_there_is_space() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let disk = SimDisk::new(41);
        let database = open_on(&disk, options(durability, 1)).unwrap();
        let run = script::begin(&database, "run").unwrap();
        script::steps(&run, 1..=3);
        // Room for the segments there are and hardly more.
        disk.set_capacity(Some(900 << 10));
        let steps = fill(&database, "run", 3);

        let error = script::step(&run, steps + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{durability:?}: {error}");
        assert!(error.message().contains("space"), "the message says what to do: {error}");
        assert_eq!(script::expect_whole(&database, "run"), steps + 1, "{durability:?}: nothing happened");
        assert_eq!(run.get("left").unwrap().unwrap().value, Value::Int(steps as i64), "reads are served");
        database.sync().expect("what was acknowledged can be made durable");
        assert_eq!(
            database.stats().unwrap().shards[0].state,
            ShardState::Serving,
            "a full disk is no failed log"
        );

        disk.set_capacity(None);
        eventually("writes are taken again", || match script::step(&run, steps + 1) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                false
            }
        });
        script::steps(&run, steps + 2..=steps + 20);
        let after = disk.kill();
        drop(database);
        let database = open_on(&after, options(durability, 1)).unwrap();
        assert_eq!(script::expect_whole(&database, "run"), steps + 21, "{durability:?}");
    }
}

#[test]
fn a_store_on_a_full_disk_closes_in_order_and_opens_again() {
    let disk = SimDisk::new(42);
    let slow = Options { sync_interval: Duration::from_secs(3600), ..options(Durability::Buffered, 1) };
    let database = open_on(&disk, slow).unwrap();
    script::begin(&database, "run").unwrap();
    disk.set_capacity(Some(900 << 10));
    let steps = fill(&database, "run", 0);
    database.close().expect("closing needs no new space");

    let database = open_on(&disk, options(Durability::Buffered, 1)).expect("opening needs no new space");
    assert!(database.recovery().was_clean);
    assert_eq!(script::expect_whole(&database, "run"), steps + 1);
}

#[test]
fn a_store_cannot_be_created_on_a_full_disk_and_can_be_later() {
    let disk = SimDisk::new(43);
    disk.set_capacity(Some(100 << 10));
    let error = open_on(&disk, options(Durability::Buffered, 2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    disk.set_capacity(None);
    let database =
        open_on(&disk, options(Durability::Buffered, 2)).expect("an unfinished creation is created in");
    script::steps(&script::begin(&database, "run").unwrap(), 1..=3);
}

/// Takes steps until the disk is full; returns how many the run has.
fn fill(database: &Database, name: &str, taken: u64) -> u64 {
    let run = database.run(script::id_of(name));
    for number in taken + 1..100_000 {
        match script::step(&run, number) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Full => return number - 1,
            Err(error) => panic!("a full disk answers Full: {error:?}"),
        }
    }
    unreachable!("the disk is small");
}

#[test]
fn without_room_for_other_shards_a_store_keeps_those_it_has() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let disk = SimDisk::new(43);
        let open = |shards| open_on(&disk, Options { shards, ..options(durability, 1) });
        let database = open(Some(2)).unwrap();
        for name in ["a", "b", "c"] {
            script::steps(&script::begin(&database, name).unwrap(), 1..=60);
        }
        database.close().unwrap();
        // Once they have their images there is little more.
        let database = open(None).unwrap();
        drop(database.checkpoint().unwrap());
        database.close().unwrap();
        let used: usize = disk.files().iter().map(|file| disk.bytes(file).len()).sum();
        for room in [0, 100 << 10, 700 << 10] {
            disk.set_capacity(Some(used as u64 + room));
            let refused = open(Some(8)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Full, "{durability:?}, {room} bytes: {refused}");
            let of_new =
                |file: &PathBuf| (2..10).any(|log| file.to_string_lossy().contains(&format!("/{log:03}-")));
            let left = disk.files().into_iter().find(of_new);
            assert_eq!(left, None, "what was written for them is gone");
            let database = open(Some(2)).expect("opening with the shards it has needs no new space");
            for name in ["a", "b", "c"] {
                assert_eq!(script::expect_whole(&database, name), 61, "{durability:?}, {room} bytes");
            }
            database.close().unwrap();
        }
        disk.set_capacity(None);
        let database = open(Some(8)).unwrap();
        assert_eq!((database.shard_count(), script::expect_whole(&database, "b")), (8, 61));
    }
}
