//! Archives: a run goes into a file with its history, and comes back from it as it was, in this store or in another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata::{
    Clock, Compaction, Database, Durability, EntityRef, ErasedVersions, ErrorKind, OperationId, Options,
    Reads, Retention, RunHandle, RunSpec, RunStatus, Version, Writes,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::{Access, Storage};

use crate::support::contents::{inherited, of_run};
use crate::support::versions::{
    all_of, change, disk, expect_versions, file, is_gone, keep_all, open_at, versions,
};
use crate::support::{Dice, busy_options, number, options, seed, sweep};

#[test]
fn a_run_comes_back_with_every_version_in_any_store() {
    let (disk, mut dice) = (disk(1), Dice::new(seed()));
    let from = open_at(&disk, "from", keep_all(2));
    let spec = RunSpec { tags: vec!["red".into()], metadata: 7.into(), ..RunSpec::named("trip") };
    let run = from.create_run(spec).unwrap();
    (0..100).for_each(|_| change(&run, &mut dice));
    let fork = run.fork().unwrap();
    (0..25).for_each(|_| change(&fork, &mut dice));
    (0..25).for_each(|_| change(&run, &mut dice));
    for (index, run) in [&run, &fork].into_iter().enumerate() {
        let known = versions(run);
        let path = file(&format!("{index}.arc"));
        let exported = run.export(&path).unwrap();
        assert_eq!(exported.versions, known.len() as u64, "{exported:?}");
        assert_eq!((exported.earliest, exported.version), (Version(1), run.info().unwrap().version));
        let head = inherited(run);
        for shards in [1, 8] {
            let to = format!("to-{shards}");
            let into = open_at(&disk, &to, keep_all(shards));
            let report = into.import_reported(&path).unwrap();
            assert_eq!((report.imported, report.digest), (exported.version, exported.digest));
            assert_eq!(report.version, exported.version.next());
            let imported = into.run(run.id());
            let check = |imported: &RunHandle, story: &str| {
                expect_versions(imported, &known, story);
                let old = imported.fork_at(Version(60)).unwrap();
                let was = imported.at(Version(60)).unwrap();
                assert_eq!(inherited(&old), inherited(&was), "{story}");
            };
            assert_eq!(inherited(&imported), head);
            let (info, was) = (imported.info().unwrap(), run.info().unwrap());
            assert_eq!(
                (info.name, info.tags, info.status, info.created, info.parent, info.forked_from),
                (was.name, was.tags, was.status, was.created, was.parent, was.forked_from)
            );
            assert!(!info.orphaned && info.begun_in_boot == into.recovery().boot);
            check(&imported, "imported");
            let fork = imported.fork().unwrap();
            (0..60).for_each(|_| change(&imported, &mut dice));
            (0..20).for_each(|_| change(&fork, &mut dice));
            let (then, forked) = (inherited(&imported), inherited(&fork));
            into.checkpoint().unwrap();
            check(&imported, "with an image");
            drop(into);
            let into = open_at(&disk, &to, keep_all(shards));
            let (imported, fork) = (into.run(run.id()), into.run(fork.id()));
            assert_eq!((inherited(&imported), inherited(&fork)), (then.clone(), forked.clone()));
            check(&imported, "opened again");
            into.compact(Compaction::Full).unwrap();
            check(&imported, "compacted");
            assert!(into.verify(|_| {}).unwrap().damage.is_empty());
            let refused = into.import(&path).map(drop).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
            into.close().unwrap();
            let into = open_at(&disk, &to, keep_all(shards));
            let imported = into.run(run.id());
            assert_eq!(inherited(&imported), then);
            check(&imported, "closed");
            // What was imported goes on into a third store, with what came since.
            let (again, known) = (file(&format!("{to}-{index}.arc")), versions(&imported));
            let exported = imported.export(&again).unwrap();
            assert_eq!(exported.versions, known.len() as u64);
            let third = open_at(&disk, &format!("third-{shards}-{index}"), keep_all(3));
            let imported = third.import(&again).unwrap();
            expect_versions(&imported, &known, "imported again");
            assert_eq!(inherited(&imported), then);
        }
    }
}

#[test]
fn what_is_no_longer_kept_is_not_exported_and_what_is_comes_back() {
    let (disk, mut dice) = (disk(2), Dice::new(seed()));
    // None makes checkpoints by itself.
    let asked = |shards| Options { retention: Retention::KeepAll, ..options(Durability::Buffered, shards) };
    let database = open_at(&disk, "from", asked(1));
    let spec = RunSpec { retention: Some(Retention::KeepLast(10)), ..RunSpec::named("short") };
    let run = database.create_run(spec).unwrap();
    for _ in 0..6 {
        (0..15).for_each(|_| change(&run, &mut dice));
        database.checkpoint().unwrap();
    }
    database.compact(Compaction::Full).unwrap();
    let known = versions(&run);
    let exported = run.export(file("short.arc")).unwrap();
    assert_eq!(
        (exported.versions, exported.earliest.0),
        (known.len() as u64, *known.first_key_value().unwrap().0)
    );
    assert!(exported.versions < 40, "{exported:?}");
    let into = open_at(&disk, "to", asked(2));
    let imported = into.import(file("short.arc")).unwrap();
    expect_versions(&imported, &known, "imported");
    assert_eq!(imported.info().unwrap().retention, Some(Retention::KeepLast(10)));
    let preview = imported.preview_retention(Some(Retention::KeepAll)).unwrap();
    assert_eq!(preview.earliest, exported.earliest);
    // Its retention counts on, also for what came with it.
    (0..30).for_each(|_| change(&imported, &mut dice));
    let newest = imported.info().unwrap().version.0;
    into.checkpoint().unwrap();
    let refused = imported.at(exported.version).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::HistoryTrimmed);
    assert!(imported.at(Version(newest - 9)).is_ok());
    let fork = imported.fork().unwrap();
    assert_eq!(inherited(&fork), inherited(&imported));
}

#[test]
fn a_deleted_run_is_there_for_its_forks_and_then_its_archive_goes() {
    let (disk, mut dice) = (disk(3), Dice::new(seed()));
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("parent")).unwrap();
    (0..30).for_each(|_| change(&run, &mut dice));
    run.export(file("run.arc")).unwrap();
    let (known, was) = (versions(&run), inherited(&run.at(Version(9)).unwrap()));
    let was_before = inherited(&run.at(Version(5)).unwrap());
    database.close().unwrap();
    let into = open_at(&disk, "to", keep_all(1));
    let archives = |disk: &SimDisk| {
        let data = disk.entries(Path::new("/agent/to/DATA")).unwrap_or_default();
        data.iter().filter(|entry| entry.name.ends_with(".arc")).count()
    };
    let imported = into.import(file("run.arc")).unwrap();
    let old = imported.fork_at(Version(9)).unwrap();
    imported.put("own", 1).unwrap();
    let (own, own_was) = (imported.fork().unwrap(), inherited(&imported));
    imported.put("own", 2).unwrap();
    imported.delete_run().unwrap();
    let check = |into: &Database| {
        assert_eq!(inherited(&into.run(old.id())), was);
        assert_eq!(inherited(&into.run(own.id())), own_was);
        assert_eq!(inherited(&into.run(old.id()).at(Version(5)).unwrap()), was_before);
    };
    check(&into);
    assert_eq!(into.import(file("run.arc")).map(drop).unwrap_err().kind(), ErrorKind::AlreadyExists);
    into.compact(Compaction::Full).unwrap();
    check(&into);
    drop(into);
    let disk = disk.power_cycle(5);
    let into = open_at(&disk, "to", keep_all(1));
    check(&into);
    assert_eq!(archives(&disk), 1);
    into.run(old.id()).delete_run().unwrap();
    into.run(own.id()).delete_run().unwrap();
    (0..3).for_each(|_| assert!(into.compact(Compaction::Full).is_ok()));
    assert_eq!(archives(&disk), 0, "nobody needs it any more");
    // The id is free again, and the versions go on behind those of the deleted one.
    let again = into.import_reported(file("run.arc")).unwrap();
    assert!(again.version.0 > again.imported.0 + 3, "{again:?}");
    expect_versions(&into.run(again.run), &known, "imported again");
    drop(into);
    let into = open_at(&disk, "to", keep_all(1));
    expect_versions(&into.run(again.run), &known, "opened again");
    into.run(again.run).delete_run().unwrap();
    into.import(file("run.arc")).unwrap();
    into.compact(Compaction::Full).unwrap();
    expect_versions(&into.run(again.run), &known, "imported for the third time");
    assert!(into.verify(|_| {}).unwrap().damage.is_empty());
}

#[test]
fn a_run_that_begins_anew_under_its_name_has_nothing_of_what_was_imported() {
    let (disk, mut dice) = (disk(4), Dice::new(seed()));
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("again")).unwrap();
    (0..30).for_each(|_| change(&run, &mut dice));
    run.export(file("run.arc")).unwrap();
    let into = open_at(&disk, "to", keep_all(1));
    let imported = into.import(file("run.arc")).unwrap();
    let (fork, was) = (imported.fork_at(Version(20)).unwrap(), inherited(&run.at(Version(20)).unwrap()));
    imported.delete_run().unwrap();
    let anew = into.create_run(RunSpec::named("again")).unwrap();
    (0..30).for_each(|_| change(&anew, &mut dice));
    let begun = anew.info().unwrap().version.0 - 20;
    let known: BTreeMap<u64, String> = versions(&anew).split_off(&begun);
    for story in ["imaged", "opened again", "compacted"] {
        into.checkpoint().unwrap();
        for (version, known) in &known {
            assert_eq!(of_run(&into.run(anew.id()).at(Version(*version)).unwrap()), *known, "{story}");
        }
        assert_eq!(inherited(&into.run(fork.id())), was, "{story}");
        let compacted = into.compact(Compaction::Full);
        assert!(compacted.is_ok(), "{compacted:?}: {story}");
    }
    let path = file("anew.arc");
    let exported = into.run(anew.id()).export(&path).unwrap();
    let third = open_at(&disk, "third", keep_all(1));
    expect_versions(&third.import(&path).unwrap(), &versions(&into.run(anew.id())), "exported");
    assert!(exported.versions >= 20);
}

#[test]
fn what_is_erased_in_a_run_leaves_its_archives() {
    let disk = disk(5);
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("secret")).unwrap();
    let id = run.id();
    run.put("before", "SECRET-ONE").unwrap();
    run.put("kept", "PUBLIC").unwrap();
    run.append("step", "SECRET-TWO").unwrap();
    run.erase(&EntityRef::kv(id, "before"), ErasedVersions::All, "asked for").unwrap();
    run.export(file("run.arc")).unwrap();
    let has = |path: &Path, text: &str| {
        disk.bytes(path).windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(!has(&file("run.arc"), "SECRET-ONE"), "it was erased before");
    assert!(has(&file("run.arc"), "SECRET-TWO") && has(&file("run.arc"), "PUBLIC"));
    let into = open_at(&disk, "to", keep_all(1));
    let imported = into.import(file("run.arc")).unwrap();
    let fork = imported.fork_at(Version(5)).unwrap();
    imported.erase(&EntityRef::event(id, 0), ErasedVersions::All, "asked for").unwrap();
    let check = |into: &Database, story: &str| {
        let of = [
            into.run(id).event(0),
            into.run(fork.id()).event(0),
            into.run(id).at(Version(4)).unwrap().event(0),
        ];
        for event in of {
            assert!(event.unwrap().unwrap().payload.is_erased(), "{story}");
        }
        assert!(into.run(id).verify_chain().unwrap().valid, "{story}");
        assert_eq!(
            into.run(fork.id()).get("kept").unwrap().unwrap().value.as_str(),
            Some("PUBLIC"),
            "{story}"
        );
    };
    check(&into, "erased");
    into.checkpoint().unwrap();
    drop(into);
    let into = open_at(&disk, "to", keep_all(1));
    check(&into, "opened again");
    into.compact(Compaction::Full).unwrap();
    check(&into, "compacted");
    let left: Vec<_> = disk.files().into_iter().filter(|file| file.starts_with("/agent/to")).collect();
    let left: Vec<_> = left.into_iter().filter(|file| has(file, "SECRET")).collect();
    assert_eq!(left, [] as [PathBuf; 0]);
    assert!(into.verify(|_| {}).unwrap().damage.is_empty());
    into.run(id).export(file("again.arc")).unwrap();
    assert!(!has(&file("again.arc"), "SECRET"));
}

#[test]
fn a_write_that_is_sent_again_behind_an_import_is_answered_as_before() {
    let disk = disk(6);
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("identified")).unwrap();
    let id = OperationId([9; 16]);
    let first = run.with_operation_id(id).append("step", 1).unwrap();
    run.set_deadline("never", strata::Timestamp(u64::MAX / 2)).ok();
    run.update_status(RunStatus::Paused).unwrap();
    run.export(file("run.arc")).unwrap();
    let into = open_at(&disk, "to", keep_all(1));
    into.import(file("run.arc")).unwrap();
    let check = |into: &Database, story: &str| {
        let run = into.run(run.id());
        assert_eq!(run.info().unwrap().status, RunStatus::Paused, "{story}");
        assert_eq!(run.receipt(id).unwrap().unwrap().commit.version, Version(2), "{story}");
        assert_eq!(run.at(Version(2)).unwrap().receipt(id).unwrap().unwrap().commit.version, Version(2));
    };
    check(&into, "imported");
    drop(into);
    let into = open_at(&disk, "to", keep_all(1));
    check(&into, "read from the log");
    into.checkpoint().unwrap();
    drop(into);
    let into = open_at(&disk, "to", keep_all(1));
    check(&into, "read from an image");
    let run = into.run(run.id());
    run.update_status(RunStatus::Active).unwrap();
    assert_eq!(run.with_operation_id(id).append("step", 1).unwrap(), first);
    assert_eq!(run.event_count().unwrap().value, 1);
}

#[test]
fn a_damaged_archive_is_refused_and_changes_nothing() {
    let (disk, mut dice) = (disk(7), Dice::new(seed()));
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("whole")).unwrap();
    (0..40).for_each(|_| change(&run, &mut dice));
    run.export(file("run.arc")).unwrap();
    let whole = disk.bytes(&file("run.arc"));
    let into = open_at(&disk, "to", keep_all(1));
    let write = |bytes: &[u8]| {
        let _ = disk.remove(&file("damaged.arc"));
        disk.open(&file("damaged.arc"), Access::Create).unwrap().write_at(bytes, 0).unwrap();
    };
    let step = if sweep::is_full() { 1 } else { 67 };
    let damaged = (dice.below(step) as usize..whole.len()).step_by(step as usize).flat_map(|at| {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        [(at, flipped), (at, whole[..at].to_vec())]
    });
    for (at, bytes) in damaged {
        write(&bytes);
        let error = into.import(file("damaged.arc")).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "at {at}: {error:?}");
        assert!(error.message().contains("damaged.arc is corrupt at offset"), "{error:?}");
    }
    let mut longer = whole.clone();
    longer.extend_from_slice(&[0; 8]);
    write(&longer);
    assert_eq!(into.import(file("damaged.arc")).map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(into.import(file("missing.arc")).map(drop).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(into.get_run(run.id()).unwrap(), None);
    let data = disk.entries(Path::new("/agent/to/DATA")).unwrap_or_default();
    assert!(data.is_empty(), "{data:?}");
    write(&whole);
    let imported = into.import(file("damaged.arc")).unwrap();
    assert_eq!(inherited(&imported), inherited(&run));
}

#[test]
fn what_cannot_be_exported_or_imported_is_refused() {
    let disk = disk(8);
    let database = open_at(&disk, "from", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.export(file("run.arc")).unwrap();
    let refused = |run: &RunHandle, name: &str| run.export(file(name)).map(drop).unwrap_err().kind();
    assert_eq!(refused(&run, "run.arc"), ErrorKind::Unsupported, "it is there already");
    assert_eq!(refused(&run, "missing/run.arc"), ErrorKind::Io);
    let spec = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("memory") };
    assert_eq!(refused(&database.create_run(spec).unwrap(), "other.arc"), ErrorKind::Unsupported);
    let deleted = database.create_run(RunSpec::named("deleted")).unwrap();
    deleted.delete_run().unwrap();
    assert_eq!(refused(&deleted, "other.arc"), ErrorKind::NotFound);
    let memory = Database::in_memory().unwrap();
    let in_memory = memory.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(refused(&in_memory, "other.arc"), ErrorKind::Unsupported);
    assert_eq!(memory.import(file("run.arc")).map(drop).unwrap_err().kind(), ErrorKind::Unsupported);
    let left = disk.files().into_iter().filter(|path| path.parent() == Some(Path::new("/agent")));
    assert_eq!(left.collect::<Vec<_>>(), [file("run.arc")]);
    drop(database);
    let options = keep_all(1);
    let reader =
        Database::start_to_read(file("from"), options, Clock::System, Some(Arc::new(disk.clone()))).unwrap();
    assert_eq!(reader.import(file("run.arc")).map(drop).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_store_that_is_only_read_exports_what_its_files_hold() {
    let (disk, mut dice) = (disk(9), Dice::new(seed()));
    let never = || Options { checkpoint_log_size: 1 << 30, ..keep_all(1) };
    let database = open_at(&disk, "from", never());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..40).for_each(|_| change(&run, &mut dice));
    database.checkpoint().unwrap();
    (0..40).for_each(|_| change(&run, &mut dice));
    let fork = run.fork().unwrap();
    (0..20).for_each(|_| change(&fork, &mut dice));
    let known = [versions(&run), versions(&fork)];
    database.sync().unwrap();
    drop(database);
    let before: Vec<_> = disk.files();
    let reader =
        Database::start_to_read(file("from"), never(), Clock::System, Some(Arc::new(disk.clone()))).unwrap();
    for (id, name) in [(run.id(), "run.arc"), (fork.id(), "fork.arc")] {
        reader.run(id).export(file(name)).unwrap();
    }
    drop(reader);
    assert_eq!(disk.files().len(), before.len() + 2, "and writes nothing else");
    let into = open_at(&disk, "to", keep_all(1));
    for (known, name) in known.iter().zip(["run.arc", "fork.arc"]) {
        expect_versions(&into.import(file(name)).unwrap(), known, name);
    }
}

#[test]
fn an_export_while_writers_write_has_all_that_was_acknowledged_before() {
    let scratch = tempfile::tempdir().unwrap();
    let database = Database::open(scratch.path().join("from"), keep_all(2)).unwrap();
    let into = Database::open(scratch.path().join("to"), keep_all(1)).unwrap();
    let runs: Vec<_> = ["a", "b"].map(|name| database.create_run(RunSpec::named(name)).unwrap()).into();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for run in &runs {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut dice = Dice::new(1);
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    change(run, &mut dice);
                }
            });
        }
        for round in 0..5 {
            let before = runs[0].info().unwrap().version;
            let path = scratch.path().join(format!("{round}.arc"));
            let exported = runs[0].export(&path).unwrap();
            assert!(exported.version >= before && exported.versions == exported.version.0, "{exported:?}");
            let imported = into.import(&path).unwrap();
            let was = runs[0].at(exported.version).unwrap();
            assert_eq!(inherited(&imported), inherited(&was));
            let middle = Version(exported.version.0 / 2 + 1);
            let (left, right) = (imported.at(middle).unwrap(), runs[0].at(middle).unwrap());
            assert_eq!(of_run(&left), of_run(&right));
            drop((left, right));
            imported.delete_run().unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A random member of a random family goes from store to store, and every version that it had is there each time.
#[test]
fn random_histories_come_back_from_their_archives() {
    let mut dice = Dice::new(seed());
    for round in 0..number("STRATA_CASES", 6) {
        let (disk, mut story) = (disk(dice.roll()), format!("round {round}:"));
        let retention =
            if round % 2 == 0 { Retention::KeepAll } else { Retention::KeepLast(1 + dice.below(30)) };
        let durability = if dice.below(2) == 0 { Durability::Strict } else { Durability::Buffered };
        let options = |shards| Options { retention, ..busy_options(durability, shards) };
        let mut database = open_at(&disk, "0", options(1));
        let mut run = database.create_run(RunSpec::named("root")).unwrap();
        for hop in 1..=number("STRATA_HOPS", 4) {
            for _ in 0..number("STRATA_STEPS", 60) {
                match dice.below(50) {
                    0..=40 => change(&run, &mut dice),
                    41..=43 => {
                        story += " fork;";
                        run = run.fork().unwrap();
                    }
                    44..=45 => {
                        let newest = run.info().unwrap().version.0;
                        if let Ok(fork) = run.fork_at(Version(1 + dice.below(newest))) {
                            story += " fork at;";
                            run = fork;
                        }
                    }
                    46 => drop(database.compact(Compaction::Full).unwrap()),
                    47 => {
                        let keep =
                            if dice.below(2) == 0 { Retention::KeepAll } else { Retention::KeepLast(9) };
                        run.set_retention(Some(keep)).unwrap();
                    }
                    48 if retention == Retention::KeepAll => {
                        let key = EntityRef::kv(run.id(), format!("name/{}", dice.below(9)));
                        let _ = run.erase(&key, ErasedVersions::All, "asked for");
                    }
                    _ => {
                        let id = run.id();
                        drop((run, database));
                        database =
                            open_at(&disk, &(hop - 1).to_string(), Options { shards: None, ..options(1) });
                        run = database.run(id);
                    }
                }
            }
            // Nothing is given up between the looks at it.
            database.checkpoint().unwrap();
            let path = file(&format!("{hop}.arc"));
            let exported = run.export(&path).unwrap_or_else(|error| panic!("{error}: {story}"));
            assert_eq!(exported.earliest, run.preview_retention(None).unwrap().earliest, "{story}");
            let known = versions(&run);
            let (id, then) = (run.id(), inherited(&run));
            drop((run, database));
            let shards = 1 + dice.below(4) as usize;
            story += &format!(" to {shards} shards;");
            database = open_at(
                &disk,
                &hop.to_string(),
                Options { retention: Retention::KeepAll, ..options(shards) },
            );
            run = database.import(&path).unwrap_or_else(|error| panic!("{error}: {story}"));
            assert_eq!(run.id(), id);
            assert_eq!(inherited(&run), then, "{story}");
            for (version, was) in &known {
                match run.at(Version(*version)) {
                    Ok(found) => assert_eq!(all_of(&run, &found), *was, "version {version}: {story}"),
                    // A checkpoint of the new store may have given up more by then.
                    Err(error) => {
                        let keeps_all =
                            run.info().unwrap().retention.is_none() && retention == Retention::KeepAll;
                        // What the runs in front began as stays behind where one of them has given up commits.
                        let is_in_it = Version(*version) >= exported.earliest;
                        let may_be_gone = is_gone(error.kind()) && !(keeps_all && is_in_it);
                        assert!(may_be_gone, "version {version}: {error:?}: {story}");
                    }
                }
            }
            assert!(exported.versions >= 1 && database.verify(|_| {}).unwrap().damage.is_empty(), "{story}");
        }
    }
}

#[test]
fn backups_and_salvage_have_what_was_imported() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let mut dice = Dice::new(seed());
    let database = Database::open(path("from"), keep_all(1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..60).for_each(|_| change(&run, &mut dice));
    run.export(path("run.arc")).unwrap();
    let into = Database::open(path("to"), keep_all(2)).unwrap();
    let imported = into.import(path("run.arc")).unwrap();
    imported.put("own", "text").unwrap();
    let report = into.verify(|_| {}).unwrap();
    assert_eq!((report.archives, report.damage.len()), (1, 0));
    let (known, then) = (versions(&imported), inherited(&imported));
    into.backup(path("copy")).unwrap();
    let copy = Database::open(path("copy"), keep_all(2)).unwrap();
    expect_versions(&copy.run(run.id()), &known, "copied");
    assert_eq!(inherited(&copy.run(run.id())), then);
    assert_eq!(copy.verify(|_| {}).unwrap().archives, 1);
    copy.close().unwrap();
    imported.put("own", "later").unwrap();
    into.close().unwrap();
    let dumped = strata::salvage(path("to"), path("dump")).unwrap();
    let dumped = dumped.runs.iter().find(|dumped| dumped.id == run.id()).unwrap();
    assert_eq!(dumped.outcome, strata::SalvageOutcome::Whole, "{dumped:?}");
    let lines = std::fs::read_to_string(path("dump").join(dumped.file.as_ref().unwrap())).unwrap();
    assert!(lines.contains("later") && lines.lines().count() > 10, "{lines}");
    // A damaged archive costs the run that is made over it, and is told.
    let data = std::fs::read_dir(path("to").join("DATA")).unwrap().map(|entry| entry.unwrap().path());
    let archive = data.into_iter().find(|path| path.extension().is_some_and(|end| end == "arc")).unwrap();
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let into = Database::open(path("to"), keep_all(2)).unwrap();
    let damage = into.verify(|_| {}).unwrap().damage;
    assert!(damage.iter().any(|damage| damage.message().contains(".arc is corrupt at offset")), "{damage:?}");
}

#[test]
fn an_archive_has_a_state_every_so_many_commits_and_the_last_one() {
    let disk = disk(10);
    let database =
        open_at(&disk, "from", Options { memory_budget: 1 << 30, ..options(Durability::Buffered, 1) });
    let run = database.create_run(RunSpec::named("long")).unwrap();
    for number in 0..10_200 {
        run.put("step", number).unwrap();
    }
    run.export(file("long.arc")).unwrap();
    let reader = strata_wal::ArchiveReader::open(&disk, &file("long.arc")).unwrap();
    let states: Vec<_> = reader.states().iter().map(|state| (state.number, state.through)).collect();
    assert_eq!(states, [(1, 10_001), (10_001, 10_201), (10_201, 10_201)]);
    let into = open_at(&disk, "to", options(Durability::Buffered, 1));
    let imported = into.import(file("long.arc")).unwrap();
    for version in [2, 9_999, 10_000, 10_001, 10_002, 10_201] {
        let was = imported.at(Version(version)).unwrap();
        assert_eq!(was.get("step").unwrap().unwrap().value.as_int(), Some(version as i64 - 2));
    }
}
