//! Copies of a store: made while it is written, opened elsewhere, and the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strata::{Clock, Database, Durability, ErrorKind, Options, Reads, Retention, RunSpec, Version, Writes};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::contents::{contents, of_run};
use crate::support::{busy_options, eventually, open_on, options, script, sweep};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn copy_path() -> PathBuf {
    PathBuf::from("/agent/copy.db")
}

fn open_copy(disk: &SimDisk, options: Options) -> strata::Result<Database> {
    Database::start(Some(copy_path()), options, Clock::System, Some(Arc::new(disk.clone())))
}

fn fill(database: &Database, last: u64) {
    for name in NAMES {
        let run = script::begin(database, name).unwrap();
        script::steps(&run, run.info().unwrap().version.0..=last);
    }
}

#[test]
fn a_copy_holds_what_the_store_held_with_every_version_of_it() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let disk = SimDisk::new(3);
        let all = Options { retention: Retention::KeepAll, ..busy_options(durability, 2) };
        let database = open_on(&disk, all.clone()).unwrap();
        fill(&database, 60);
        let held = contents(&database);
        let past: Vec<String> = (1..=61)
            .map(|version| of_run(&database.run(script::id_of("a")).at(Version(version)).unwrap()))
            .collect();
        let size = database.backup(copy_path()).unwrap();
        fill(&database, 70);
        assert!(size > 100_000, "{size} bytes");

        let copied = open_copy(&disk, all).unwrap();
        assert!(copied.recovery().was_clean && copied.recovery().bytes_cut() == 0);
        assert_eq!(contents(&copied), held);
        for (version, past) in (1..).zip(past) {
            assert_eq!(
                of_run(&copied.run(script::id_of("a")).at(Version(version)).unwrap()),
                past,
                "{version}"
            );
        }
        // It goes on by itself, and so does the store.
        fill(&copied, 90);
        copied.checkpoint().unwrap();
        copied.close().unwrap();
        let copied = open_copy(&disk, options(durability, 2)).unwrap();
        NAMES.iter().for_each(|name| assert_eq!(script::expect_whole(&copied, name), 91));
        NAMES.iter().for_each(|name| assert_eq!(script::expect_whole(&database, name), 71));
    }
}

#[test]
fn a_copy_that_is_made_while_writers_write_holds_all_that_was_acknowledged_before() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let database = Database::open(&path, busy_options(Durability::Buffered, 2)).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in NAMES {
            let run = script::begin(&database, name).unwrap();
            let is_over = &is_over;
            scope.spawn(move || {
                for number in 1.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    script::step(&run, number).unwrap();
                }
            });
        }
        for copy in 0..6 {
            let before = NAMES.map(|name| script::version_of(&database, name));
            let to = scratch.path().join(format!("copy{copy}.db"));
            database.backup(&to).unwrap();
            let after = NAMES.map(|name| script::version_of(&database, name));
            let copied = Database::open(&to, options(Durability::Buffered, 2)).unwrap();
            for (run, name) in NAMES.into_iter().enumerate() {
                let found = script::expect_whole(&copied, name);
                assert!((before[run]..=after[run]).contains(&found), "{name} is at {found}");
                let copy = copied.run(script::id_of(name));
                // What is kept of its past was copied too, and what is written to the copy comes behind it.
                for version in found.saturating_sub(2).max(1)..=found {
                    assert_eq!(copy.at(Version(version)).unwrap().info().unwrap().version, Version(version));
                }
                script::step(&copy, found).unwrap();
                assert_eq!(copy.at(Version(found)).unwrap().info().unwrap().version, Version(found));
            }
            let report = copied.verify(|_| {}).unwrap();
            assert!(report.damage.is_empty(), "{:?}", report.damage);
            copied.close().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    database.close().unwrap();
}

#[test]
fn while_a_checkpoint_is_held_its_files_stay_and_when_it_is_dropped_they_go() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let database = Database::open(&path, busy_options(Durability::Buffered, 1)).unwrap();
    fill(&database, 60);
    let held = database.checkpoint().unwrap();
    let files: Vec<(PathBuf, Vec<u8>)> =
        held.files().unwrap().into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    assert!(files.len() >= 2, "an image and a segment: {files:?}");
    fill(&database, 200);
    let later = database.checkpoint().unwrap();
    assert!(later.id() > held.id() && later.time >= held.time);
    for (file, bytes) in &files {
        let now = fs::read(file).unwrap_or_else(|error| panic!("{} is gone: {error}", file.display()));
        let is_live = file.parent().unwrap().ends_with("WAL");
        assert!(is_live || now == *bytes, "{} has changed", file.display());
    }
    let to = scratch.path().join("copy.db");
    held.copy_to(&to).unwrap();
    drop((held, later));
    eventually("the files of the first checkpoint are gone", || {
        let run = database.run(script::id_of("a"));
        script::step(&run, run.info().unwrap().version.0).unwrap();
        database.checkpoint().unwrap();
        files.iter().any(|(file, _)| !file.exists())
    });
    let copied = Database::open(&to, options(Durability::Buffered, 1)).unwrap();
    NAMES.iter().for_each(|name| assert_eq!(script::expect_whole(&copied, name), 61));
}

#[test]
fn a_copy_that_was_interrupted_anywhere_is_no_store_and_the_store_is_as_it_was() {
    let work = |disk: &SimDisk| {
        let database = open_on(disk, options(Durability::Buffered, 1)).unwrap();
        fill(&database, 20);
        database.checkpoint().unwrap();
        database
    };
    let disk = SimDisk::new(3);
    let database = work(&disk);
    let first = disk.points();
    database.backup(copy_path()).unwrap();
    let count = disk.points() - first;
    drop(database);
    let step = if sweep::is_full() { 1 } else { 3 };
    for point in (1..=count).step_by(step) {
        for kind in [FaultKind::Error, FaultKind::NoSpace, FaultKind::PowerCut] {
            let disk = SimDisk::new(3 + point);
            let database = work(&disk);
            disk.set_faults(Faults::once(disk.points() + point, kind));
            let copied = database.backup(copy_path());
            let after = if kind == FaultKind::PowerCut {
                let after = disk.power_cycle(point);
                drop(database);
                after
            } else {
                disk.set_faults(Faults::none());
                let error = copied.as_ref().err().map(strata::Error::kind);
                assert!(
                    matches!(error, None | Some(ErrorKind::Io | ErrorKind::Full | ErrorKind::LogFailed)),
                    "{copied:?}"
                );
                drop(database);
                disk.kill()
            };
            let story = format!("{kind:?} at {point} of {count}");
            let store = open_on(&after, options(Durability::Buffered, 1)).unwrap();
            NAMES.iter().for_each(|name| assert_eq!(script::expect_whole(&store, name), 21, "{story}"));
            drop(store);
            match open_copy(&after, options(Durability::Buffered, 1)) {
                Ok(opened) => {
                    let is_new = opened.recovery().created;
                    // Before anything of the copy had its name, there is nothing; behind that all is there, or it is refused.
                    if !is_new {
                        NAMES
                            .iter()
                            .for_each(|name| assert_eq!(script::expect_whole(&opened, name), 21, "{story}"));
                    }
                    assert!(!is_new || copied.is_err(), "{story}: a copy that was made is there");
                }
                Err(error) => {
                    assert!(copied.is_err(), "{story}: {error}");
                    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{story}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_copy_is_made_where_nothing_is_and_of_what_is_on_disk() {
    let scratch = tempfile::tempdir().unwrap();
    let database =
        Database::open(scratch.path().join("strata.db"), options(Durability::Buffered, 1)).unwrap();
    database.begin_run(RunSpec::named("run")).unwrap().put("key", 1).unwrap();
    let taken = scratch.path().join("taken");
    fs::create_dir(&taken).unwrap();
    database.backup(&taken).unwrap();
    let error = database.backup(&taken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("is not empty"), "{error}");
    let copied = Database::open(Path::new(&taken), options(Durability::Buffered, 1)).unwrap();
    assert_eq!(copied.run(script::id_of("run")).get("key").unwrap().unwrap().value.as_int(), Some(1));
    let memory = Database::in_memory().unwrap();
    assert_eq!(memory.backup(scratch.path().join("none")).unwrap_err().kind(), ErrorKind::Unsupported);
}
