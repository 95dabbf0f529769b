//! Image files that were removed take no space for long: nobody keeps one open.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, Options, Reads, Retention, RunHandle,
    RunSpec, ShardStats, Timestamp, Value, Writes,
};

use crate::support::{eventually, options};

/// What a value has that is large, bytes.
const LARGE: usize = 100 << 10;

fn calm() -> Options {
    Options {
        checkpoint_log_size: 1 << 30,
        retention: Retention::KeepLast(1),
        ..options(Durability::Buffered, 1)
    }
}

/// The image that the store was opened with.
const FIRST: &str = "SNAPSHOTS/000-0000000001.img";

/// The files of a directory that this process has open.
fn open_files(directory: &Path) -> Vec<String> {
    let directory = directory.canonicalize().unwrap();
    let open =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    open.filter_map(|path| Some(path.strip_prefix(&directory).ok()?.to_string_lossy().into_owned())).collect()
}

/// How many of them were removed.
fn held_count(directory: &Path) -> usize {
    open_files(directory).iter().filter(|path| path.ends_with(" (deleted)")).count()
}

/// Whether the image that the store was opened with is removed, and is not open.
fn is_first_gone(directory: &Path) -> bool {
    !directory.join(FIRST).exists() && !open_files(directory).iter().any(|path| path.starts_with(FIRST))
}

fn stats(database: &Database) -> ShardStats {
    database.stats().unwrap().shards.remove(0)
}

/// A store with a run whose large values are on disk.
fn with_values_on_disk(directory: &Path) -> (Database, RunHandle) {
    let database = Database::open(directory, calm()).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    for number in 0..10 {
        run.put(&format!("key{number}"), "v".repeat(LARGE)).unwrap();
    }
    database.checkpoint().unwrap();
    database.close().unwrap();
    let database = Database::open(directory, calm()).unwrap();
    let run = database.run(run.id());
    assert!(run.exists("key0").unwrap().value);
    assert!(stats(&database).values_on_disk > 9 * LARGE as u64);
    (database, run)
}

fn change(database: &Database, run: &RunHandle, number: i64) {
    run.put("small", number).unwrap();
    database.checkpoint().unwrap();
}

#[test]
fn a_run_that_stays_in_memory_follows_its_image_into_other_files() {
    let directory = tempfile::tempdir().unwrap();
    let (database, run) = with_values_on_disk(directory.path());
    for number in 0..6 {
        change(&database, &run, number);
    }
    eventually("no removed file is open", || {
        run.exists("small").unwrap();
        is_first_gone(directory.path()) && held_count(directory.path()) == 0
    });
    let seen = stats(&database);
    assert!(seen.values_on_disk > 9 * LARGE as u64 && seen.evictions == 0, "{seen:?}");
    assert_eq!(run.get("key3").unwrap().unwrap().value.as_str().unwrap().len(), LARGE);
}

#[test]
fn forks_in_memory_keep_no_removed_file_open_for_long() {
    let directory = tempfile::tempdir().unwrap();
    let (database, run) = with_values_on_disk(directory.path());
    let mut forks = Vec::new();
    for number in 0..20 {
        change(&database, &run, number);
        forks.push(run.fork().unwrap());
    }
    // One of them has what the run has not any more.
    run.delete("key0").unwrap();
    change(&database, &run, 20);
    change(&database, &run, 21);
    eventually("hardly a removed file is open", || {
        run.exists("small").unwrap();
        is_first_gone(directory.path()) && held_count(directory.path()) <= 2
    });
    for (number, fork) in forks.iter().enumerate() {
        assert_eq!(fork.get("small").unwrap().unwrap().value.as_int(), Some(number as i64));
        assert_eq!(fork.get("key0").unwrap().unwrap().value.as_str().unwrap().len(), LARGE);
    }
}

#[test]
fn forks_share_the_memory_of_a_run_whose_image_moves() {
    let directory = tempfile::tempdir().unwrap();
    let (database, run) = with_values_on_disk(directory.path());
    for number in 0..2_000 {
        run.put(&format!("little{number}"), "v".repeat(1_000)).unwrap();
    }
    let mut forks = Vec::new();
    for number in 0..10 {
        change(&database, &run, number);
        forks.push(run.fork().unwrap());
    }
    eventually("its first image is gone", || is_first_gone(directory.path()));
    let seen = stats(&database);
    assert!(seen.memory < 6 << 20, "{} bytes for 2 MB that all share", seen.memory);
    assert_eq!(seen.evictions, 0);
}

#[test]
fn a_run_follows_its_image_also_when_something_was_erased_or_nothing_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (database, run) = with_values_on_disk(directory.path());
    let snapshot = run.snapshot().unwrap();
    for name in ["key0", "key7"] {
        run.erase(&EntityRef::kv(run.id(), name), ErasedVersions::All, "asked to").unwrap();
    }
    for _ in 0..3 {
        database.compact(Compaction::Full).unwrap();
        eventually("no removed file is open", || {
            run.exists("small").unwrap();
            held_count(directory.path()) == 0
        });
        for number in 0..10 {
            for found in [run.get(&format!("key{number}")), snapshot.get(&format!("key{number}"))] {
                let found = found.unwrap().unwrap().value;
                match number {
                    0 | 7 => assert_eq!(found, Value::Erased),
                    _ => assert_eq!(found.as_str().unwrap().len(), LARGE),
                }
            }
        }
    }
    let seen = stats(&database);
    assert!(seen.values_on_disk > 7 * LARGE as u64 && seen.loads <= 1, "{seen:?}");
}

#[test]
fn a_run_that_is_written_to_at_every_moment_follows_its_image() {
    let directory = tempfile::tempdir().unwrap();
    let (database, run) = with_values_on_disk(directory.path());
    let (is_done, mut most) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !is_done.load(Ordering::Relaxed) {
                run.put("small", number).unwrap();
                number += 1;
            }
        });
        for _ in 0..20 {
            database.checkpoint().unwrap();
            most = most.max(held_count(directory.path()));
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert!(most <= 3, "{most} removed files were open at once");
    eventually("no removed file is open", || held_count(directory.path()) == 0);
}

#[test]
fn a_fork_follows_its_image_that_is_copied_without_what_was_erased_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let (database, run) = with_values_on_disk(directory.path());
    run.put("secret", "small").unwrap();
    let fork = run.fork().unwrap();
    fork.put_until("key0", "w".repeat(LARGE), Timestamp(u64::MAX / 2)).unwrap();
    fork.put_until("key1", "w".repeat(LARGE), Timestamp(u64::MAX / 2)).unwrap();
    fork.append("event", "w".repeat(LARGE)).unwrap();
    database.checkpoint().unwrap();
    database.close().unwrap();
    let database = Database::open(directory.path(), calm()).unwrap();
    let (run, fork) = (database.run(run.id()), database.run(fork.id()));
    assert!(run.exists("key0").unwrap().value && fork.exists("key0").unwrap().value);
    run.erase(&EntityRef::kv(run.id(), "secret"), ErasedVersions::All, "asked to").unwrap();
    for _ in 0..2 {
        database.compact(Compaction::Full).unwrap();
        eventually("no removed file is open", || {
            fork.exists("small").unwrap();
            held_count(directory.path()) == 0
        });
        for key in ["key0", "key1"] {
            assert_eq!(fork.get(key).unwrap().unwrap().value.as_str(), Some(&*"w".repeat(LARGE)));
        }
        assert_eq!(fork.event(0).unwrap().unwrap().payload.as_str(), Some(&*"w".repeat(LARGE)));
    }
    for reads in [&run, &fork] {
        assert_eq!(reads.get("secret").unwrap().unwrap().value, Value::Erased);
        assert_eq!(reads.get("key5").unwrap().unwrap().value.as_str(), Some(&*"v".repeat(LARGE)));
    }
    assert!(stats(&database).values_on_disk > 10 * LARGE as u64);
}
