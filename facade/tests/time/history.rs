//! Older versions of a run: each is exactly what it was, until it is given up, and then that is said.

use std::time::Duration;

use strata::{
    Compaction, Database, Durability, Error, ErrorKind, Options, Reads, Retention, RunHandle, RunSpec,
    RunStatus, Snapshot, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::contents::of_run;
use crate::support::{
    Dice, TestClock, busy_options, damage_newest_image, eventually, number, open_on, options, script, seed,
    sim_path,
};

/// What a run was at each version, by its number less one.
type Known = Vec<String>;

/// Takes these steps, and notes what each left.
fn note_steps(run: &RunHandle, numbers: std::ops::RangeInclusive<u64>, known: &mut Known) {
    if known.is_empty() {
        known.push(of_run(run));
    }
    for number in numbers {
        script::step(run, number).unwrap();
        known.push(of_run(run));
    }
}

fn assert_was(run: &RunHandle, version: u64, known: &Known) {
    let past = run.at(Version(version)).unwrap_or_else(|error| panic!("version {version}: {error}"));
    assert_eq!(past.version(), Version(version));
    assert_eq!(of_run(&past), known[version as usize - 1], "version {version}");
}

fn refused(answer: Result<Snapshot, Error>) -> (ErrorKind, String) {
    let error = answer.expect_err("it is refused");
    (error.kind(), error.message().to_string())
}

#[test]
fn every_version_is_what_it_was_whatever_checkpoints_compactions_and_recovery_did_meanwhile() {
    let mut dice = Dice::new(seed());
    for durability in [Durability::Buffered, Durability::Strict] {
        let mut disk = SimDisk::new(dice.roll());
        let (mut known, mut others) = (Known::new(), Known::new());
        for round in 0..4 {
            let chosen = if round % 2 == 0 { busy_options } else { options };
            let all = Options { retention: Retention::KeepAll, ..chosen(durability, 1) };
            let database = open_on(&disk, all).unwrap();
            let (run, other) =
                (script::begin(&database, "a").unwrap(), script::begin(&database, "b").unwrap());
            for part in 0..3 {
                let first = (round * 3 + part) * 10 + 1;
                note_steps(&run, first..=first + 9, &mut known);
                note_steps(&other, first..=first + 9, &mut others);
                match dice.below(4) {
                    0 => drop(database.checkpoint().unwrap()),
                    1 => _ = database.compact(Compaction::WalOnly).unwrap(),
                    2 => _ = database.compact(Compaction::Full).unwrap(),
                    _ => {}
                }
                for _ in 0..6 {
                    assert_was(&run, 1 + dice.below(known.len() as u64), &known);
                    assert_was(&other, 1 + dice.below(others.len() as u64), &others);
                }
            }
            match dice.below(4) {
                0 => database.close().unwrap(),
                1 => drop(database),
                damage => {
                    disk = disk.kill();
                    drop(database);
                    if damage == 2 {
                        damage_newest_image(&disk);
                    }
                }
            }
        }
        let database = open_on(&disk, options(durability, 1)).unwrap();
        let run = database.run(script::id_of("a"));
        (1..=known.len() as u64).for_each(|version| assert_was(&run, version, &known));
    }
}

#[test]
fn a_version_that_is_no_longer_kept_says_so_and_every_kept_one_is_what_it_was() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = script::begin(&database, "a").unwrap();
    run.set_retention(Retention::KeepAll).unwrap();
    let mut known = vec!["not known".to_string(), of_run(&run)];
    let put = |known: &mut Known| {
        run.put(&format!("key{}", known.len() % 7), known.len() as i64).unwrap();
        known.push(of_run(&run));
    };
    (0..40).for_each(|_| put(&mut known));
    database.checkpoint().unwrap();
    (0..40).for_each(|_| put(&mut known));
    (2..=82).for_each(|version| assert_was(&run, version, &known));

    let preview = |run: &RunHandle, retention| {
        let preview = run.preview_retention(retention).unwrap();
        (preview.earliest.0, preview.earliest_then.0, preview.versions())
    };
    assert_eq!(preview(&run, Retention::KeepLast(30)), (1, 53, 52), "of the 82 versions there are");
    assert_eq!(preview(&run, Retention::KeepAll), (1, 1, 0));
    run.set_retention(Retention::KeepLast(30)).unwrap();
    known.push(of_run(&run));
    (2..=83).for_each(|version| assert_was(&run, version, &known));
    database.checkpoint().unwrap();
    let trimmed = "version 53 of the run is no longer kept: the earliest is 54";
    let check = |run: &RunHandle| {
        (54..=83).for_each(|version| assert_was(run, version, &known));
        for version in 1..54 {
            assert_eq!(refused(run.at(Version(version))).0, ErrorKind::HistoryTrimmed, "version {version}");
        }
        assert_eq!(refused(run.at(Version(53))).1, trimmed);
        assert_eq!(
            refused(run.at(Version(84))),
            (ErrorKind::VersionNotFound, "the run has versions 1 to 83, not 84".into())
        );
        assert_eq!(refused(run.at(Version(0))).0, ErrorKind::VersionNotFound);
    };
    check(&run);
    drop(database);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.run(run.id());
    check(&run);
    assert_eq!(preview(&run, Retention::KeepLast(1)), (54, 83, 29));
    assert_eq!(preview(&run, Retention::KeepLast(50)), (54, 54, 0));
    assert_eq!(run.preview_retention(Retention::KeepLast(0)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    // What was given up does not come back.
    run.set_retention(Retention::KeepAll).unwrap();
    database.checkpoint().unwrap();
    assert_was(&run, 54, &known);
    assert_eq!(refused(run.at(Version(53))).1, trimmed);
}

#[test]
fn what_is_younger_than_the_duration_is_kept() {
    let (disk, clock) = (SimDisk::new(3), TestClock::at(1_750_000_000_000_000));
    let open = || {
        let options = Options {
            retention: Retention::KeepFor(Duration::from_secs(60)),
            ..options(Durability::Buffered, 1)
        };
        Database::start(Some(sim_path()), options, clock.clock(), Some(std::sync::Arc::new(disk.clone())))
            .unwrap()
    };
    let database = open();
    let run = script::begin(&database, "a").unwrap();
    let mut known = Known::new();
    for round in 0..20 {
        note_steps(&run, round * 5 + 1..=round * 5 + 5, &mut known);
        database.checkpoint().unwrap();
        clock.advance(Duration::from_secs(10));
    }
    // The newest is 10 s old, those of 6 rounds before are 70 s old.
    let newest = known.len() as u64;
    for version in newest - 30..=newest {
        assert_was(&run, version, &known);
    }
    let floor = (1..=newest).find(|version| run.at(Version(*version)).is_ok()).unwrap();
    assert!((newest - 75..=newest - 30).contains(&floor), "the floor is {floor} of {newest}");
    for version in 1..floor {
        assert_eq!(refused(run.at(Version(version))).0, ErrorKind::HistoryTrimmed);
    }
    // A run that rests gives up its past too.
    clock.advance(Duration::from_secs(100));
    script::begin(&database, "b").unwrap();
    database.checkpoint().unwrap();
    assert_eq!(refused(run.at(Version(newest - 1))).0, ErrorKind::HistoryTrimmed);
    assert_was(&run, newest, &known);
}

#[test]
fn what_nothing_keeps_leaves_the_disk() {
    let disk = SimDisk::new(3);
    let small = || Options { retention: Retention::KeepLast(1), ..busy_options(Durability::Buffered, 1) };
    let database = open_on(&disk, small()).unwrap();
    let runs: Vec<RunHandle> = ["a", "b"].map(|name| script::begin(&database, name).unwrap()).into();
    let deleted = database.begin_run(RunSpec::named("deleted")).unwrap();
    deleted.put("key", 1).unwrap();
    deleted.delete_run().unwrap();
    for number in 1..=200 {
        for run in &runs {
            script::step(run, number).unwrap();
        }
    }
    let in_history = || disk.files().iter().filter(|file| file.starts_with(sim_path().join("DATA"))).count();
    let live = || disk.files().iter().filter(|file| file.starts_with(sim_path().join("WAL"))).count();
    eventually("no segment is kept that nobody needs", || {
        database.checkpoint().unwrap();
        in_history() == 0 && live() <= 3
    });
    // One run that keeps everything keeps what came since.
    let keeper = database
        .begin_run(RunSpec { retention: Some(Retention::KeepAll), ..RunSpec::named("keeper") })
        .unwrap();
    let first = keeper.put("key", 1).unwrap();
    for number in 201..=400 {
        for run in &runs {
            script::step(run, number).unwrap();
        }
    }
    keeper.put("key", 2).unwrap();
    eventually("segments are put away for it", || {
        database.checkpoint().unwrap();
        keeper.put("key", 3).unwrap();
        in_history() > 2
    });
    assert_eq!(keeper.at(first.version).unwrap().get("key").unwrap().unwrap().value.as_int(), Some(1));
    // Until it goes.
    keeper.delete_run().unwrap();
    eventually("what only it kept is gone", || {
        database.checkpoint().unwrap();
        runs[0].put("again", 1).unwrap();
        in_history() == 0
    });
}

#[test]
fn a_kept_version_is_made_although_the_records_at_and_before_its_image_are_gone() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, busy_options(Durability::Buffered, 1)).unwrap();
    let last = RunSpec { retention: Some(Retention::KeepLast(1)), ..RunSpec::named("rests") };
    let (run, busy) = (database.begin_run(last).unwrap(), script::begin(&database, "a").unwrap());
    let hundred = database
        .begin_run(RunSpec { retention: Some(Retention::KeepLast(100)), ..RunSpec::named("hundred") });
    let hundred = hundred.unwrap();
    for number in 2..=30 {
        run.put("n", number).unwrap();
    }
    let has = |name: &str| disk.files().iter().any(|file| file.ends_with(name));
    let mut number = 1;
    eventually("the first segments are gone", || {
        (0..50).for_each(|_| {
            script::step(&busy, number).unwrap();
            hundred.put("n", number as i64 + 1).unwrap();
            number += 1;
        });
        database.checkpoint().unwrap();
        number > 530 && !has("000-0000000001.seg") && !has("000-0000000002.seg")
    });
    // From here on all is kept; what was given up is the past of commit 30, or of this one.
    run.set_retention(Retention::KeepAll).unwrap();
    run.put("n", 32).unwrap();
    run.put("n", 33).unwrap();
    let earliest = run.preview_retention(None).unwrap().earliest.0;
    assert!(earliest == 30 || earliest == 31, "{earliest}");
    let value = |run: &RunHandle, version| {
        run.at(Version(version)).unwrap().get("n").unwrap().unwrap().value.as_int()
    };
    for version in earliest..=33 {
        let held = if version == 31 { 30 } else { version };
        assert_eq!(value(&run, version), Some(held as i64), "version {version}");
    }
    // Its milestones name records that are gone.
    let newest = hundred.info().unwrap().version.0;
    let earliest = hundred.preview_retention(Retention::KeepAll).unwrap().earliest.0;
    assert!(newest - 99 >= earliest && earliest > 64, "{earliest} to {newest}");
    for version in earliest..=newest {
        assert_eq!(value(&hundred, version), Some(version as i64));
    }
    // Deleted and made again, it has the versions of its new life.
    run.delete_run().unwrap();
    database.begin_run(RunSpec { retention: Some(Retention::KeepAll), ..RunSpec::named("rests") }).unwrap();
    run.put("n", 36).unwrap();
    eventually("the record of the deletion is gone", || {
        (0..50).for_each(|_| {
            script::step(&busy, number).unwrap();
            number += 1;
        });
        database.checkpoint().unwrap();
        number > 1_000
    });
    run.put("n", 37).unwrap();
    assert_eq!((value(&run, 36), value(&run, 37)), (Some(36), Some(37)));
}

#[test]
fn versions_are_asked_for_while_commits_wait_for_the_disk() {
    let disk = SimDisk::new(3);
    let all = Options { retention: Retention::KeepAll, ..busy_options(Durability::Strict, 1) };
    let database = open_on(&disk, all).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put("n", 2).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let writer = run.clone();
            scope.spawn(move || {
                for _ in 0..150 {
                    writer.increment("n", 1).unwrap();
                }
            });
        }
        let mut dice = Dice::new(seed());
        for _ in 0..150 {
            let newest = run.info().unwrap().version.0;
            let version = 2 + dice.below(newest - 1);
            let past = run.at(Version(version)).unwrap();
            assert_eq!(past.get("n").unwrap().unwrap().value.as_int(), Some(version as i64));
        }
    });
}

#[test]
fn a_damaged_image_is_made_up_for_by_older_ones_and_the_log() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = script::begin(&database, "a").unwrap();
    let mut known = Known::new();
    note_steps(&run, 1..=30, &mut known);
    database.checkpoint().unwrap();
    note_steps(&run, 31..=60, &mut known);
    drop(database);
    let image = disk.files().into_iter().find(|file| file.ends_with("000-0000000001.img")).unwrap();
    // In the first slice, behind the first block.
    disk.flip(&image, 4_200, 1);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.run(run.id());
    for version in [1, 30, 31, 32, 61] {
        assert_was(&run, version, &known);
    }
}

#[test]
fn a_life_in_memory_has_no_history_and_leaves_that_of_other_lives() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.begin_run(RunSpec::named("lives")).unwrap();
    run.put("key", 1).unwrap();
    run.delete_run().unwrap();
    let light = || RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("lives") };
    database.begin_run(light()).unwrap();
    run.put("key", 2).unwrap();
    let (kind, message) = refused(run.at(Version(4)));
    assert_eq!(kind, ErrorKind::Unsupported, "{message}");
    assert_eq!(
        run.at(Version(5)).unwrap().get("key").unwrap().unwrap().value.as_int(),
        Some(2),
        "the newest is there"
    );
    run.delete_run().unwrap();
    database.begin_run(RunSpec::named("lives")).unwrap();
    run.put("key", 3).unwrap();
    let value = |version| {
        run.at(Version(version)).unwrap().get("key").unwrap().map(|read| read.value.as_int().unwrap())
    };
    assert_eq!((value(7), value(8)), (None, Some(3)));
    for version in [2, 3, 5] {
        let (kind, message) = refused(run.at(Version(version)));
        assert_eq!(kind, ErrorKind::HistoryTrimmed, "{version}: {message}");
        assert!(message.contains("the earliest is 7"), "{message}");
    }

    let memory = Database::in_memory().unwrap();
    let run = memory.begin_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    assert_eq!(refused(run.at(Version(1))).0, ErrorKind::Unsupported);
    assert_eq!(refused(memory.run(script::id_of("none")).at(Version(1))).0, ErrorKind::NotFound);
}

#[test]
fn older_versions_are_shared_and_their_number_is_bounded() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = script::begin(&database, "a").unwrap();
    script::steps(&run, 1..=70);
    let views = || database.stats().unwrap().shards[0].past_views;
    let mut open: Vec<Snapshot> = (1..=64).map(|version| run.at(Version(version)).unwrap()).collect();
    open.extend((1..=64).map(|version| run.at(Version(version)).unwrap()));
    assert_eq!(views(), 64);
    let (kind, message) = refused(run.at(Version(65)));
    assert_eq!(
        (kind, &*message),
        (ErrorKind::Busy, "64 older versions are looked at on the shard: close some first")
    );
    open.drain(..64);
    assert_eq!((views(), open[0].version()), (64, Version(1)));
    open.remove(0);
    assert_eq!((views(), run.at(Version(65)).unwrap().version()), (63, Version(65)));
    drop(open);
    assert_eq!(views(), 0);
}

#[test]
fn an_older_version_shows_deadlines_as_they_were_judged_then() {
    let (disk, clock) = (SimDisk::new(3), TestClock::at(1_750_000_000_000_000));
    let options = options(Durability::Buffered, 1);
    let storage = Some(std::sync::Arc::new(disk) as _);
    let database = Database::start(Some(sim_path()), options, clock.clock(), storage).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    let put = run.put_with_ttl("key", 1, Duration::from_secs(5)).unwrap();
    clock.advance(Duration::from_secs(10));
    let later = run.put("other", 1).unwrap();
    run.update_status(RunStatus::Completed).unwrap();
    assert_eq!(run.at(put.version).unwrap().get("key").unwrap().unwrap().value.as_int(), Some(1));
    assert_eq!(run.at(later.version).unwrap().get("key").unwrap(), None);
    assert_eq!(run.at(later.version).unwrap().info().unwrap().status, RunStatus::Active);
}

#[test]
fn many_versions_are_made_while_the_run_changes_and_checkpoints_go_on() {
    let disk = SimDisk::new(3);
    let rounds = number("STRATA_STEPS", 60) * 5;
    let database = open_on(
        &disk,
        Options { retention: Retention::KeepLast(50), ..busy_options(Durability::Buffered, 1) },
    )
    .unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put("n", 2).unwrap();
    let mut dice = Dice::new(seed());
    let (mut shown, mut trimmed) = (0, 0);
    std::thread::scope(|scope| {
        let writer = run.clone();
        scope.spawn(move || {
            for n in 3..rounds as i64 + 3 {
                writer.put("n", n).unwrap();
            }
        });
        for _ in 0..rounds {
            let newest = run.info().unwrap().version.0;
            let version = newest - dice.below(newest.min(100));
            match run.at(Version(version)) {
                Ok(past) => {
                    let held = past.get("n").unwrap().map(|read| read.value.as_int().unwrap());
                    assert_eq!(held, (version > 1).then_some(version as i64));
                    shown += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
                    assert!(version + 50 <= run.info().unwrap().version.0, "{error}");
                    trimmed += 1;
                }
            }
        }
    });
    assert!(shown > 0, "{shown} were shown, {trimmed} were trimmed");
}

/// What was not logged was counted as kept, and the run could not be replayed from a version that it never had.
#[test]
fn the_earliest_version_behind_a_life_in_memory_is_there_whatever_is_kept() {
    for count in 1..=9 {
        let disk = SimDisk::new(3);
        let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
        let run = database.begin_run(RunSpec::named("lives")).unwrap();
        run.put("key", 1).unwrap();
        run.delete_run().unwrap();
        let light = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("lives") };
        database.begin_run(light).unwrap();
        run.put("key", 2).unwrap();
        run.delete_run().unwrap();
        let retention = Some(Retention::KeepLast(count));
        database.begin_run(RunSpec { retention, ..RunSpec::named("lives") }).unwrap();
        assert_eq!(run.put("key", 3).unwrap().version, Version(8));
        let expect = |run: &RunHandle, earliest: u64| {
            assert_eq!(run.preview_retention(None).unwrap().earliest, Version(earliest), "{count}");
            let readable: Vec<u64> = (1..=8).filter(|version| run.at(Version(*version)).is_ok()).collect();
            assert_eq!(readable, (earliest..=8).collect::<Vec<_>>(), "{count}");
            let mut replay = run.replay().unwrap();
            while replay.step().unwrap().is_some() {}
            assert_eq!(replay.view().version(), Version(8), "{count}");
        };
        expect(&run, 7);
        let id = run.id();
        // So it is told by the log, and by an image.
        let database = open_on(&disk.kill(), options(Durability::Buffered, 1)).unwrap();
        expect(&database.run(id), 7);
        drop(database.checkpoint().unwrap());
        expect(&database.run(id), if count == 1 { 8 } else { 7 });
    }
}

#[test]
fn of_the_first_version_the_state_is_kept_and_its_commit_may_have_gone() {
    let options = Options { retention: Retention::KeepLast(3), ..options(Durability::Buffered, 1) };
    let database = open_on(&SimDisk::new(seed()), options).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    // An image of version 1, the oldest one that is kept then.
    drop(database.checkpoint().unwrap());
    (0..2).for_each(|number| assert!(run.put("key", number).is_ok()));
    database.compact(Compaction::Full).unwrap();
    assert_eq!(run.preview_retention(None).unwrap().earliest, Version(1));
    assert_eq!(run.at(Version(1)).unwrap().get("key").unwrap(), None);
    assert_eq!(run.commits(Version::NEVER, 10).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(run.commits(Version(1), 10).unwrap().commits.len(), 2);
    let mut replay = run.replay().unwrap();
    while replay.step().unwrap().is_some() {}
    assert_eq!(replay.view().version(), Version(3));
    database.close().unwrap();
}
