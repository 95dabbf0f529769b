//! What others do at the wrong moment of a compaction costs neither them nor the store anything.

mod support;

use std::sync::{Arc, Mutex};
use std::thread;

use strata::{
    Checkpoint, Compaction, Database, Durability, ErrorKind, Options, Reads, Retention, RunId, RunSpec,
    Version, Writes,
};
use strata_wal::sim::SimDisk;
use support::contents::of_run;
use support::hooked::{Hooks, open_hooked};
use support::{options, sim_path};

fn keep_last(count: u64) -> Options {
    Options {
        retention: Retention::KeepLast(count),
        checkpoint_log_size: 1 << 30,
        ..options(Durability::Buffered, 1)
    }
}

/// Puts so many numbers, one a commit, and notes what the run is after each.
fn put(database: &Database, run: RunId, count: i64, known: &mut Vec<String>) {
    let run = database.run(run);
    for number in 0..count {
        run.put(&format!("key/{}", number % 7), known.len() as i64).unwrap();
        known.push(of_run(&run));
    }
}

/// A checkpoint that is made while a compaction has begun is whole as long as it is held: the compaction sorted the history without
/// the records that the younger images need no more, and gave it its name, before it was refused. The copy of the held checkpoint then
/// had a floor below which its versions could not be made.
#[test]
fn a_checkpoint_that_is_held_since_a_compaction_began_keeps_its_history() {
    let (disk, hooks) = (SimDisk::new(1), Hooks::default());
    let database = open_hooked(&disk, &hooks, keep_last(50));
    let run = database.create_run(RunSpec::named("run")).unwrap().id();
    let known = Arc::new(Mutex::new(vec![String::new(), of_run(&database.run(run))]));
    put(&database, run, 150, &mut known.lock().unwrap());
    drop(database.checkpoint().unwrap());
    put(&database, run, 50, &mut known.lock().unwrap());
    let held: Arc<Mutex<Option<Checkpoint>>> = Arc::default();
    let compacting = thread::current().id();
    let act = {
        let (database, known, held) = (Arc::downgrade(&database), Arc::clone(&known), Arc::clone(&held));
        move || {
            let database = database.upgrade().unwrap();
            *held.lock().unwrap() = Some(database.checkpoint().unwrap());
            put(&database, run, 200, &mut known.lock().unwrap());
        }
    };
    hooks.before_opening(move |path| is_image(path) && thread::current().id() == compacting, act);
    assert_eq!(database.compact(Compaction::Full).unwrap_err().kind(), ErrorKind::Busy);
    let held = held.lock().unwrap().take().unwrap();
    let copy = sim_path().with_file_name("copy.db");
    held.copy_to(&copy).unwrap();
    let clock = strata::Clock::System;
    let copied = Database::start(Some(copy), keep_last(50), clock, Some(Arc::new(disk.clone()))).unwrap();
    let (copied, known) = (copied.run(run), known.lock().unwrap());
    for version in 152..=201 {
        assert_eq!(
            of_run(&copied.at(Version(version)).unwrap()),
            known[version as usize],
            "version {version}"
        );
    }
    drop(held);
    database.compact(Compaction::Full).unwrap();
    assert_eq!(of_run(&database.run(run).at(Version(352)).unwrap()), known[352]);
}

fn is_image(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "img")
}
