//! Exports and imports at the wrong moment of something else.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use strata::{Compaction, Durability, ErrorKind, Options, Retention, RunSpec, Writes};
use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::storage::{Access, Storage};

use crate::support::contents::inherited;
use crate::support::hooked::{Hooks, open_hooked};
use crate::support::versions::{change, disk, expect_versions, file, keep_all, open_at, versions};
use crate::support::{Dice, open_on, options, seed};

fn calm() -> Options {
    Options {
        retention: Retention::KeepAll,
        checkpoint_log_size: 1 << 30,
        ..options(Durability::Buffered, 1)
    }
}

fn is_image(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".img")
}

/// A disk with an archive of a run of 30 versions.
fn prepared(seed: u64) -> (SimDisk, BTreeMap<u64, String>) {
    let (disk, mut dice) = (disk(seed), Dice::new(seed));
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..30).for_each(|_| change(&run, &mut dice));
    run.export(file("run.arc")).unwrap();
    let known = versions(&run);
    (disk, known)
}
#[test]
fn a_run_that_is_deleted_while_it_is_exported_is_not_there() {
    let (disk, hooks) = (disk(2), Hooks::default());
    let from = open_hooked(&disk, &hooks, calm());
    for round in 0..20 {
        let run = from.create_run(RunSpec::named(format!("run-{round}"))).unwrap();
        run.put("key", 1).unwrap();
        let (weak, id) = (Arc::downgrade(&from), run.id());
        let delete = move || {
            weak.upgrade().unwrap().run(id).delete_run().unwrap();
        };
        hooks.before(|path| path.to_string_lossy().contains("SNAPSHOTS/"), delete);
        let path = file(&format!("{round}.arc"));
        match run.export(&path) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
                assert!(!disk.files().contains(&path));
            }
            // Its image was there before it was deleted.
            Ok(_) => drop(open_at(&disk, &format!("to-{round}"), calm()).import(&path).unwrap()),
        }
    }
}

/// A closure that imported something while another import was under way waited for that, and that for the shard of the closure.
#[test]
fn an_import_on_the_thread_of_a_shard_is_refused_also_while_another_is_under_way() {
    let (disk, _) = prepared(7);
    let into = Arc::new(open_at(&disk, "to", calm()));
    let run = into.create_run(RunSpec::named("host")).unwrap();
    let (done, answer) = mpsc::channel();
    std::thread::spawn(move || {
        run.execute(move |_| {
            let other = Arc::clone(&into);
            std::thread::spawn(move || other.import(file("run.arc")).map(drop));
            std::thread::sleep(Duration::from_millis(200));
            let refused = into.import(file("run.arc")).map(drop);
            let _ = done.send(refused.map_err(|error| error.kind()));
            Ok::<_, strata::Error>(())
        })
    });
    let refused = answer.recv_timeout(Duration::from_secs(20));
    assert_eq!(refused, Ok(Err(ErrorKind::Unsupported)), "nobody waits for itself");
}

/// The image that was made first behind an import over a deleted run was damaged, and the one before it had the deletion: the run was
/// lost, though the log has all of it.
#[test]
fn in_place_of_the_first_image_of_an_imported_run_its_import_is_taken() {
    let (disk, known) = prepared(6);
    let into = open_at(&disk, "to", calm());
    into.import(file("run.arc")).unwrap().delete_run().unwrap();
    let run = into.import(file("run.arc")).unwrap();
    run.put("own", 1).unwrap();
    drop(into.checkpoint().unwrap());
    let (id, then) = (run.id(), inherited(&run));
    drop((run, into));
    let newest = disk
        .files()
        .into_iter()
        .filter(|path| is_image(path) && path.starts_with("/agent/to"))
        .max()
        .unwrap();
    let mut bytes = disk.bytes(&newest);
    bytes[4096 + 40] ^= 1;
    disk.remove(&newest).unwrap();
    disk.open(&newest, Access::Create).unwrap().write_at(&bytes, 0).unwrap();
    let into = open_at(&disk, "to", calm());
    assert_eq!(inherited(&into.run(id)), then);
    expect_versions(&into.run(id), &known, "rebuilt");
    drop(into.checkpoint().unwrap());
    expect_versions(&into.run(id), &known, "imaged again");
}

/// A removal that failed once was never tried again before the store was opened anew.
#[test]
fn an_archive_that_could_not_be_removed_is_removed_with_a_later_image() {
    let prepare = || {
        let (disk, _) = prepared(5);
        let into = open_at(&disk, "to", calm());
        let run = into.import(file("run.arc")).unwrap();
        run.put("key", 1).unwrap();
        drop(into.checkpoint().unwrap());
        run.delete_run().unwrap();
        (disk, into)
    };
    let go_on = |into: &strata::Database| {
        for number in 0..3 {
            into.create_run(RunSpec::default())?.put("key", number)?;
            drop(into.checkpoint()?);
        }
        Ok::<_, strata::Error>(())
    };
    let (disk, into) = prepare();
    let start = disk.points();
    go_on(&into).unwrap();
    into.close().unwrap();
    let count = disk.points() - start;
    for point in 1..=count {
        let (disk, into) = prepare();
        disk.set_faults(Faults::once(disk.points() + point, FaultKind::Error));
        let _ = go_on(&into);
        // Where the log has failed nothing goes on.
        if go_on(&into).is_ok() && into.compact(Compaction::WalOnly).is_ok() {
            let data = disk.entries(Path::new("/agent/to/DATA")).unwrap();
            let archives: Vec<_> = data.iter().filter(|entry| entry.name.ends_with(".arc")).collect();
            assert!(archives.is_empty(), "{archives:?} after a fault at {point} of {count}");
        }
    }
}

#[test]
fn a_run_lived_in_memory_between_two_imports() {
    let (disk, known) = prepared(3);
    let into = open_at(&disk, "to", calm());
    let run = into.import(file("run.arc")).unwrap();
    run.delete_run().unwrap();
    let spec = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("run") };
    let again = into.create_run(spec).unwrap();
    assert_eq!(again.id(), run.id());
    for number in 0..10 {
        again.put("key", number).unwrap();
    }
    drop(into.checkpoint().unwrap());
    again.delete_run().unwrap();
    let imported = into.import(file("run.arc")).unwrap();
    expect_versions(&imported, &known, "imported");
    drop(into);
    let into = open_at(&disk, "to", calm());
    expect_versions(&into.run(imported.id()), &known, "opened again");
}

#[test]
fn a_checkpoint_that_saw_the_deleted_run_says_nothing_of_the_imported_one() {
    let (disk, known) = prepared(1);
    let hooks = Hooks::default();
    // Images take their time, and others than those of the run take longer now and then: an import waits for all of them.
    let mut dice = Dice::new(seed());
    for _ in 0..5_000 {
        let pause = Duration::from_millis(dice.below(12));
        let is_meant = |path: &Path| path.to_string_lossy().contains("SNAPSHOTS/");
        hooks.before(is_meant, move || std::thread::sleep(pause));
    }
    let into = open_hooked(&disk, &hooks, Options { shards: Some(3), ..calm() });
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = into.compact(Compaction::Full);
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for round in 0..25 {
                let run = loop {
                    match into.import(file("run.arc")) {
                        Ok(run) => break run,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}"),
                    }
                };
                run.put("own", round).unwrap();
                std::thread::sleep(Duration::from_millis(30));
                expect_versions(&run, &known, &format!("round {round}"));
                run.delete_run().unwrap();
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
    let run = into.import(file("run.arc")).unwrap().id();
    let then = inherited(&into.run(run));
    drop(into);
    let into = open_on(&disk.kill(), Options { shards: Some(3), ..calm() }).unwrap();
    assert_eq!(inherited(&into.run(run)), then);
    expect_versions(&into.run(run), &known, "opened again");
    assert!(into.verify(|_| {}).unwrap().damage.is_empty());
}
