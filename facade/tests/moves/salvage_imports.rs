//! Salvage of runs that lived before under the same id: of what old directories say of them only what is of the present life counts.
//!
//! A run that nobody writes to keeps the image file that it lies in, and that file the directory which it was made with. Directories were
//! read the newest first, and each overwrote what newer ones had said a run began as: so runs that had been deleted and imported again
//! were lost from the dump of a whole store, or shown without what an earlier life had erased.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::options;
use crate::support::versions::{disk, file, open_at};
use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, ErrorKind, Options, Reads, Retention,
    RunHandle, RunId, RunSpec, SalvageOutcome, Value, Writes, salvage_from,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

/// What a store keeps: with the first the log reaches back to every import, with the second it does not.
const RETENTIONS: [Retention; 2] = [Retention::KeepAll, Retention::KeepLast(1)];

/// A store that makes a checkpoint by itself only for what is large.
fn open(disk: &SimDisk, retention: Retention) -> Database {
    open_at(
        disk,
        "store",
        Options { checkpoint_log_size: 256 << 10, retention, ..options(Durability::Buffered, 1) },
    )
}

/// How a run comes out of a salvage.
#[derive(Debug)]
struct Found {
    outcome: SalvageOutcome,
    version: u64,
    lines: String,
    damage_count: usize,
}

/// `None` when nothing tells that it was there.
fn salvaged(disk: &SimDisk, id: RunId) -> Option<Found> {
    let scratch = tempfile::tempdir().unwrap();
    let into = scratch.path().join("dump");
    let report = salvage_from(Path::new("/agent/store"), Some(Arc::new(disk.clone())), &into).unwrap();
    let run = report.runs.iter().find(|run| run.id == id)?;
    let lines = run.file.as_ref().map(|file| std::fs::read_to_string(into.join(file)).unwrap());
    Some(Found {
        outcome: run.outcome,
        version: run.version.0,
        lines: lines.unwrap_or_default(),
        damage_count: report.damage.len(),
    })
}

/// The lines of a run of a store that was closed, all of which is there at this version.
fn whole(disk: &SimDisk, id: RunId, version: u64) -> String {
    let found = salvaged(disk, id).unwrap();
    assert_eq!(
        (found.outcome, found.version, found.damage_count),
        (SalvageOutcome::Whole, version, 0),
        "{found:?}"
    );
    found.lines
}

fn text(run: &dyn Reads, key: &str) -> Option<String> {
    run.get(key).unwrap().and_then(|found| found.value.as_str().map(str::to_string))
}

fn version_of(run: &RunHandle) -> u64 {
    run.info().unwrap().version.0
}

/// A run that keeps an image file, with whatever its directory says of the others. Where checkpoints fall otherwise than they mostly do it
/// may be merged all the same: what is expected is the same then.
fn keep_an_image(database: &Database) {
    let quiet = database.create_run(RunSpec::named("quiet")).unwrap();
    // More than a segment has, and all that is written later: so it is seldom merged.
    for number in 0..24 {
        quiet.put(&format!("large/{number}"), Value::Bytes(vec![7; 100_000])).unwrap();
        // In a batch of its own, so that no segment is larger than the others.
        database.sync().unwrap();
    }
    drop(database.checkpoint().unwrap());
}

/// Until directories behind the one that is kept have been named and replaced, and the log is no longer than it has to be.
fn go_on(database: &Database, run: &RunHandle) {
    for number in 0..3 {
        run.put("own", number).unwrap();
        drop(database.checkpoint().unwrap());
    }
    database.compact(Compaction::WalOnly).unwrap();
}

fn erase(run: &RunHandle, key: &str) {
    run.erase(&EntityRef::kv(run.id(), key), ErasedVersions::All, "asked for").unwrap().unwrap();
}

fn images(disk: &SimDisk) -> BTreeSet<PathBuf> {
    disk.files().into_iter().filter(|file| file.starts_with("/agent/store/SNAPSHOTS")).collect()
}

/// A run that came back from its archive.
fn import_one(database: &Database) -> RunHandle {
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "IMPORTED").unwrap();
    run.export(file("run.arc")).unwrap();
    run.delete_run().unwrap();
    database.import(file("run.arc")).unwrap()
}

/// The run of the same id, once the other is deleted for good.
fn begin_anew(database: &Database, run: RunHandle) -> RunHandle {
    run.delete_run().unwrap();
    drop(database.checkpoint().unwrap());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "ANEW").unwrap();
    go_on(database, &run);
    run
}

#[test]
fn a_dump_shows_what_an_import_brought_back_whatever_an_earlier_life_erased() {
    for (is_kept, retention) in
        RETENTIONS.into_iter().flat_map(|retention| [(false, retention), (true, retention)])
    {
        let disk = disk(1);
        let database = open(&disk, retention);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("first", "BROUGHT-BACK").unwrap();
        run.export(file("run.arc")).unwrap();
        erase(&run, "first");
        if is_kept {
            keep_an_image(&database);
        }
        run.delete_run().unwrap();
        let run = database.import(file("run.arc")).unwrap();
        if is_kept {
            go_on(&database, &run);
        }
        assert_eq!(text(&run, "first").unwrap(), "BROUGHT-BACK");
        let (id, version) = (run.id(), version_of(&run));
        database.close().unwrap();
        let lines = whole(&disk, id, version);
        assert!(lines.contains("BROUGHT-BACK"), "{lines}");
    }
}

#[test]
fn a_dump_shows_a_fork_that_was_imported_over_its_archive() {
    for retention in RETENTIONS {
        let disk = disk(2);
        let database = open(&disk, retention);
        let parent = database.create_run(RunSpec::named("parent")).unwrap();
        parent.put("key", "PARENTS").unwrap();
        let fork = parent.fork().unwrap();
        fork.put("key", "FORKS").unwrap();
        keep_an_image(&database);
        fork.export(file("fork.arc")).unwrap();
        fork.delete_run().unwrap();
        let fork = database.import(file("fork.arc")).unwrap();
        go_on(&database, &fork);
        assert_eq!(text(&fork, "key").unwrap(), "FORKS");
        let (id, version) = (fork.id(), version_of(&fork));
        database.close().unwrap();
        let lines = whole(&disk, id, version);
        assert!(lines.contains("FORKS") && !lines.contains("PARENTS"), "{lines}");
    }
}

#[test]
fn a_dump_shows_a_run_that_was_imported_twice() {
    for retention in RETENTIONS {
        let disk = disk(3);
        let database = open(&disk, retention);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("key", "ONE").unwrap();
        run.export(file("one.arc")).unwrap();
        run.put("key", "TWO").unwrap();
        run.export(file("two.arc")).unwrap();
        run.delete_run().unwrap();
        let run = database.import(file("one.arc")).unwrap();
        keep_an_image(&database);
        run.delete_run().unwrap();
        let run = database.import(file("two.arc")).unwrap();
        go_on(&database, &run);
        assert_eq!(text(&run, "key").unwrap(), "TWO");
        let (id, version) = (run.id(), version_of(&run));
        database.close().unwrap();
        let lines = whole(&disk, id, version);
        assert!(lines.contains("TWO"), "{lines}");
    }
}

#[test]
fn a_dump_shows_a_run_that_began_anew_behind_an_import_and_its_forks() {
    for retention in RETENTIONS {
        let disk = disk(4);
        let database = open(&disk, retention);
        let run = import_one(&database);
        keep_an_image(&database);
        let run = begin_anew(&database, run);
        let fork = run.fork().unwrap();
        go_on(&database, &fork);
        go_on(&database, &run);
        assert_eq!([text(&run, "key").unwrap(), text(&fork, "key").unwrap()], ["ANEW"; 2]);
        let known = [&run, &fork].map(|run| (run.id(), version_of(run)));
        database.close().unwrap();
        for (id, version) in known {
            let lines = whole(&disk, id, version);
            assert!(lines.contains("ANEW") && !lines.contains("IMPORTED"), "{lines}");
        }
    }
}

/// An image tells itself whether it is over what its run began as. The salvage went by the directory alone, which names that as long as any
/// fork or older version needs it: so a run that had begun anew, and that the store still opened, was lost with an archive it needed no more.
#[test]
fn a_run_that_began_anew_is_salvaged_without_the_archive_of_its_earlier_life() {
    for retention in RETENTIONS {
        let disk = disk(8);
        let database = open(&disk, retention);
        let run = import_one(&database);
        disk.remove(&file("run.arc")).unwrap();
        let fork = run.fork().unwrap();
        fork.put("own", 1).unwrap();
        drop(database.checkpoint().unwrap());
        let run = begin_anew(&database, run);
        let ((id, version), fork) = ((run.id(), version_of(&run)), fork.id());
        database.close().unwrap();
        let lines = whole(&disk, id, version);
        let is_archive = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "arc");
        let archives: Vec<PathBuf> = disk.files().into_iter().filter(is_archive).collect();
        assert_eq!(archives.len(), 1, "the fork needs what it began as");
        disk.remove(&archives[0]).unwrap();
        let found = salvaged(&disk, id).unwrap();
        assert_eq!((found.outcome, found.version), (SalvageOutcome::Whole, version), "{found:?}");
        assert!(found.lines == lines && lines.contains("ANEW"), "{found:?}");
        let found = salvaged(&disk, fork).unwrap();
        assert_eq!(found.outcome, SalvageOutcome::Lost, "{found:?}");
        let database = open(&disk, retention);
        assert_eq!(text(&database.run(id), "key").unwrap(), "ANEW");
        assert_eq!(database.run(fork).get("key").unwrap_err().kind(), ErrorKind::Corrupt);
        database.close().unwrap();
    }
}

/// An import that a crash took back is told by the directory that it left, which counts where MANIFEST is gone.
#[test]
fn an_import_that_a_crash_took_back_does_not_hide_the_run() {
    for retention in RETENTIONS {
        let disk = disk(5);
        let database = open(&disk, retention);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        let id = run.id();
        run.put("key", "BEFORE").unwrap();
        run.export(file("run.arc")).unwrap();
        keep_an_image(&database);
        go_on(&database, &run);
        database.sync().unwrap();
        let before = disk.kill();
        drop(database);
        let (taken_back, before) = (before.kill(), before.kill());
        let database = open(&taken_back, retention);
        database.run(id).delete_run().unwrap();
        let run = database.import(file("run.arc")).unwrap();
        go_on(&database, &run);
        database.sync().unwrap();
        let taken_back = taken_back.kill();
        drop(database);
        let left = images(&taken_back).pop_last().unwrap();
        let database = open(&before, retention);
        let run = database.run(id);
        run.put("key", "GOES-ON").unwrap();
        let version = version_of(&run);
        database.sync().unwrap();
        let goes_on = before.kill();
        drop(database);
        assert!(!images(&goes_on).contains(&left));
        goes_on.set_bytes(&left, &taken_back.bytes(&left));
        goes_on.remove(Path::new("/agent/store/MANIFEST")).unwrap();
        let found = salvaged(&goes_on, id).unwrap();
        assert_eq!(found.version, version, "{found:?}");
        assert!(found.lines.contains("GOES-ON"), "{found:?}");
    }
}

#[test]
fn a_dump_does_not_show_what_is_erased_of_an_imported_run_and_its_forks() {
    for retention in RETENTIONS {
        let disk = disk(6);
        let database = open(&disk, retention);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("key", "SECRET").unwrap();
        run.put("kept", "PUBLIC").unwrap();
        run.export(file("one.arc")).unwrap();
        run.delete_run().unwrap();
        let run = database.import(file("one.arc")).unwrap();
        let fork = run.fork().unwrap();
        fork.put("own", 1).unwrap();
        erase(&run, "key");
        go_on(&database, &run);
        database.sync().unwrap();
        let killed = disk.kill();
        for id in [run.id(), fork.id()] {
            let found = salvaged(&killed, id).unwrap();
            assert_eq!(found.outcome, SalvageOutcome::Whole, "{found:?}");
            assert!(!found.lines.contains("SECRET"), "{found:?}");
        }
    }
}

#[test]
fn with_any_file_gone_a_dump_does_not_show_what_an_imported_run_has_erased() {
    for retention in RETENTIONS {
        let disk = disk(7);
        let database = open(&disk, retention);
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("first", "BROUGHT-BACK").unwrap();
        run.put("second", "SECRET").unwrap();
        run.export(file("run.arc")).unwrap();
        erase(&run, "first");
        run.delete_run().unwrap();
        let run = database.import(file("run.arc")).unwrap();
        keep_an_image(&database);
        erase(&run, "second");
        go_on(&database, &run);
        let (id, version) = (run.id(), version_of(&run));
        database.close().unwrap();
        let lines = whole(&disk, id, version);
        assert!(lines.contains("BROUGHT-BACK") && !lines.contains("SECRET"), "{lines}");
        let files: Vec<PathBuf> =
            disk.files().into_iter().filter(|file| file.starts_with("/agent/store")).collect();
        let mut shown_count = 0;
        for gone in &files {
            let damaged = disk.kill();
            damaged.remove(gone).unwrap();
            let Some(found) = salvaged(&damaged, id) else { continue };
            let story = format!("without {}: {found:?}", gone.display());
            assert!(!found.lines.contains("SECRET"), "{story}");
            shown_count += u32::from(found.lines.contains("BROUGHT-BACK"));
        }
        assert!(shown_count > 1, "it is shown {shown_count} times of {} files", files.len());
    }
}
