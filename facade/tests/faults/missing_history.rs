//! Stores without a file of their history: what is kept is lost then, and nobody is told that it was given up.

use std::path::PathBuf;

use crate::support::options;
use crate::support::versions::{disk, file, open_at};
use strata::{
    Compaction, Database, Durability, EntityRef, ErrorKind, Options, Retention, RunHandle, RunSpec, Writes,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

fn open(disk: &SimDisk) -> Database {
    // Checkpoints are made when a test asks for them.
    open_at(disk, "store", Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) })
}

/// A run whose key was last changed by its oldest version, all records behind which were in files that are gone.
fn without_history(disk: &SimDisk) -> (Database, RunHandle) {
    let database = open(disk);
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    let put = |count: i64| (0..count).for_each(|number| _ = run.put("other", number).unwrap());
    put(39);
    let oldest = run.put("key", 1).unwrap().version;
    put(50);
    run.set_retention(Retention::KeepLast(52)).unwrap();
    database.checkpoint().unwrap();
    assert_eq!(run.preview_retention(None).unwrap().earliest, oldest);
    run.set_retention(Retention::KeepAll).unwrap();
    database.compact(Compaction::WalOnly).unwrap();
    put(1);
    database.compact(Compaction::Full).unwrap();
    let history = run.history(&EntityRef::kv(run.id(), "key"), 10, None).unwrap();
    assert_eq!((history.commits[0].version, history.trimmed), (oldest, None));
    database.close().unwrap();
    let is_history = |file: &PathBuf| file.parent().is_some_and(|parent| parent.ends_with("DATA"));
    let files: Vec<_> = disk.files().into_iter().filter(is_history).collect();
    assert!(!files.is_empty());
    files.iter().for_each(|file| disk.remove(file).unwrap());
    let database = open(disk);
    let run = database.run(run.id());
    (database, run)
}

#[test]
fn the_history_of_a_thing_that_is_missing_is_not_told_to_be_given_up() {
    let (_database, run) = without_history(&disk(7));
    let told = run.history(&EntityRef::kv(run.id(), "key"), 10, None);
    assert_eq!(told.expect_err("the commits behind the oldest are kept").kind(), ErrorKind::Corrupt);
}

#[test]
fn a_run_whose_history_is_missing_is_not_exported() {
    let (_database, run) = without_history(&disk(8));
    assert_eq!(run.export(file("run.arc")).unwrap_err().kind(), ErrorKind::Corrupt);
}
