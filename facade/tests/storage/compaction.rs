//! Compaction gives back what nothing needs, and nobody who reads the store notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use strata::{
    Clock, CompactReport, Compaction, Database, Durability, ErrorKind, Notice, Options, Reads, Retention,
    RunHandle, RunSpec, Version, Writes,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use crate::support::contents::{contents, inherited, of_run};
use crate::support::{
    Dice, busy_options, damage_newest_image, eventually, open_on, options, script, seed, sim_path,
};

/// Keeps as little as can be, and makes no checkpoint by itself.
fn keep_one() -> Options {
    Options {
        retention: Retention::KeepLast(1),
        checkpoint_log_size: 1 << 30,
        ..options(Durability::Buffered, 1)
    }
}

/// How many bytes all files have that can become less.
fn size_of_all(disk: &SimDisk) -> usize {
    ["WAL", "SNAPSHOTS", "DATA"].map(|dir| size_of(disk, dir)).iter().sum()
}

/// How many bytes the files of one of the store's directories have.
fn size_of(disk: &SimDisk, dir: &str) -> usize {
    let entries = disk.entries(&sim_path().join(dir)).unwrap_or_default();
    entries.iter().map(|entry| entry.size as usize).sum()
}

/// Puts 4 KB under each of ten keys, so many times.
fn overwrite(run: &RunHandle, rounds: i64) {
    for round in 0..rounds {
        for number in 0..10 {
            run.put(&format!("key/{number}"), "x".repeat(4_000) + &round.to_string()).unwrap();
        }
    }
}

#[test]
fn a_run_that_keeps_everything_does_not_keep_what_others_wrote() {
    let disk = SimDisk::new(1);
    let database = open_on(&disk, keep_one()).unwrap();
    let keeper = database
        .create_run(RunSpec { retention: Some(Retention::KeepAll), ..RunSpec::named("keeper") })
        .unwrap();
    let busy = database.create_run(RunSpec::named("busy")).unwrap();
    let mut known = vec![of_run(&keeper)];
    for number in 0..40 {
        keeper.put("number", number).unwrap();
        known.push(of_run(&keeper));
        overwrite(&busy, 5);
    }
    let put_away = database.compact(Compaction::WalOnly).unwrap();
    assert!(put_away.versions > 1_000, "{put_away:?}");
    let (history, log) = (size_of(&disk, "DATA"), size_of(&disk, "WAL"));
    assert!(history > 6 << 20, "{history} bytes hold what both wrote");
    assert!(log <= 1 << 20, "{log} bytes of log behind a checkpoint");
    let full = database.compact(Compaction::Full).unwrap();
    let history = size_of(&disk, "DATA");
    assert!(history < 32 << 10, "{history} bytes for 41 small records");
    assert!(full.reclaimed > 6 << 20 && full.segments > 3, "{full:?}");
    assert_eq!(full.versions, 0, "no version went that was still there");
    let check = |database: &Database| {
        let keeper = database.run(keeper.id());
        for (version, known) in (1..).zip(&known) {
            assert_eq!(of_run(&keeper.at(Version(version)).unwrap()), *known, "version {version}");
        }
        assert_eq!(database.run(busy.id()).count("key/").unwrap().value, 10);
    };
    check(&database);
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
    drop(database);
    let disk = disk.power_cycle(1);
    let database = open_on(&disk, keep_one()).unwrap();
    check(&database);
    database.run(keeper.id()).delete_run().unwrap();
    database.compact(Compaction::Full).unwrap();
    assert_eq!(size_of(&disk, "DATA"), 0, "nobody keeps anything");
}

#[test]
fn an_old_fork_keeps_what_it_began_as_and_not_what_came_after() {
    let disk = SimDisk::new(2);
    let small = || Options { retention: Retention::KeepLast(1), ..busy_options(Durability::Buffered, 1) };
    let database = open_on(&disk, small()).unwrap();
    let run = database.create_run(RunSpec::named("parent")).unwrap();
    overwrite(&run, 2);
    run.append("step", 1).unwrap();
    let (first, first_was) = (run.fork().unwrap(), inherited(&run));
    overwrite(&run, 120);
    // However far behind the store's own checkpoints are.
    drop(database.checkpoint().unwrap());
    overwrite(&run, 2);
    let (second, second_was) = (run.fork().unwrap(), inherited(&run));
    overwrite(&run, 120);
    let before = size_of_all(&disk);
    database.compact(Compaction::Full).unwrap();
    let after = size_of_all(&disk);
    let parts = ["WAL", "SNAPSHOTS", "DATA"].map(|dir| size_of(&disk, dir));
    assert!(before > 5 << 20 && after < 700 << 10, "{before} bytes became {parts:?}");
    drop(database);
    let disk = disk.power_cycle(3);
    let database = open_on(&disk, small()).unwrap();
    for (fork, was) in [(&first, &first_was), (&second, &second_was)] {
        assert_eq!(inherited(&database.run(fork.id())), *was);
    }
    database.run(first.id()).delete_run().unwrap();
    database.run(second.id()).delete_run().unwrap();
    database.compact(Compaction::Full).unwrap();
    assert!(size_of_all(&disk) < 900 << 10, "{} bytes", size_of_all(&disk));
}

#[test]
fn views_forks_followers_and_writers_do_not_notice() {
    let mut dice = Dice::new(seed());
    for durability in [Durability::Buffered, Durability::Strict] {
        let disk = SimDisk::new(dice.roll());
        let all = Options { retention: Retention::KeepAll, ..busy_options(durability, 2) };
        let database = open_on(&disk, all.clone()).unwrap();
        let runs: Vec<RunHandle> = ["a", "b"].map(|name| script::begin(&database, name).unwrap()).into();
        let mut known = vec![of_run(&runs[0])];
        for number in 1..=60 {
            runs.iter().for_each(|run| _ = script::step(run, number).unwrap());
            known.push(of_run(&runs[0]));
        }
        let forked = 1 + dice.below(60);
        let fork = runs[0].fork_at(Version(forked)).unwrap();
        let fork_was = inherited(&fork);
        let (view, snapshot) = (runs[0].at(Version(17)).unwrap(), runs[0].snapshot().unwrap());
        let (viewed, seen) = (of_run(&view), of_run(&snapshot));
        let mut follower = runs[1].subscribe_commits(Version(61)).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut dice = Dice::new(9);
                let began = Instant::now();
                while !is_over.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(60) {
                    let version = 1 + dice.below(known.len() as u64);
                    let past = runs[0].at(Version(version)).unwrap();
                    assert_eq!(of_run(&past), known[version as usize - 1], "version {version}");
                }
            });
            for round in 0..6 {
                let compaction = if round % 3 == 0 { Compaction::WalOnly } else { Compaction::Full };
                for number in 61 + round * 10..=70 + round * 10 {
                    script::step(&runs[1], number).unwrap();
                }
                database.compact(compaction).unwrap();
                assert_eq!((of_run(&view), of_run(&snapshot)), (viewed.clone(), seen.clone()));
                assert_eq!(inherited(&fork), fork_was);
            }
            is_over.store(true, Ordering::Relaxed);
            reading.join().unwrap();
        });
        let mut followed = Vec::new();
        while let Some(notice) = follower.next(Duration::from_millis(200)).unwrap() {
            let Notice::Commit(commit) = notice else { panic!("{notice:?}") };
            followed.push(commit.stamp.version.0);
        }
        let newest = runs[1].info().unwrap().version.0;
        assert_eq!(followed, (62..=newest).collect::<Vec<_>>(), "each commit was told, in order");
        drop((view, snapshot));
        let held = contents(&database);
        drop(database);
        let database = open_on(&disk, all).unwrap();
        assert_eq!(contents(&database), held);
        assert_eq!(inherited(&database.run(fork.id())), fork_was);
        for (version, known) in (1..).zip(&known) {
            assert_eq!(of_run(&database.run(runs[0].id()).at(Version(version)).unwrap()), *known);
        }
    }
}

#[test]
fn what_retention_released_is_counted_and_gone() {
    let disk = SimDisk::new(4);
    let database = open_on(&disk, keep_one()).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.set_retention(Retention::KeepLast(10)).unwrap();
    (0..98).for_each(|number| _ = run.put("number", number).unwrap());
    let report = database.compact(Compaction::Full).unwrap();
    assert_eq!(report.versions, 90, "of 100 the last 10 are kept");
    assert_eq!(run.at(Version(90)).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(run.at(Version(91)).unwrap().get("number").unwrap().unwrap().value.as_int(), Some(88));
    let CompactReport { versions, .. } = database.compact(Compaction::Full).unwrap();
    assert_eq!(versions, 0);
    // What a fork inherits is not its own, and was counted as if it had gone with the fork's first commits.
    let fork = run.fork().unwrap();
    fork.set_retention(Retention::KeepLast(2)).unwrap();
    (0..3).for_each(|number| _ = fork.put("number", number).unwrap());
    assert_eq!(fork.info().unwrap().version, Version(105));
    assert_eq!(database.compact(Compaction::Full).unwrap().versions, 3, "of its five the last 2 are kept");
}

/// After the newest image was found to be damaged, the first compaction was refused for that, though it makes two others.
#[test]
fn a_store_that_was_opened_with_an_older_image_is_compacted() {
    let disk = SimDisk::new(7);
    let database = open_on(&disk, keep_one()).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for _ in 0..2 {
        overwrite(&run, 3);
        drop(database.checkpoint().unwrap());
    }
    let held = contents(&database);
    drop(database);
    damage_newest_image(&disk);
    let database = open_on(&disk, keep_one()).unwrap();
    database.compact(Compaction::Full).unwrap();
    assert_eq!(contents(&database), held);
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}

#[test]
fn a_compaction_is_refused_where_it_could_not_do_what_it_says() {
    let disk = SimDisk::new(5);
    let database = open_on(&disk, keep_one()).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    overwrite(&run, 3);
    let held = database.checkpoint().unwrap();
    let refused = database.compact(Compaction::Full).unwrap_err();
    assert_eq!((refused.kind(), refused.message().contains("held")), (ErrorKind::Busy, true));
    drop(held);
    database.compact(Compaction::Full).unwrap();
    database.close().unwrap();
    let storage = Arc::new(disk.clone());
    let read_only = Database::start_to_read(sim_path(), keep_one(), Clock::System, Some(storage)).unwrap();
    assert_eq!(read_only.compact(Compaction::WalOnly).unwrap_err().kind(), ErrorKind::Unsupported);
    let memory = Database::in_memory().unwrap();
    assert_eq!(memory.compact(Compaction::Full).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn what_a_held_checkpoint_kept_goes_when_it_is_let_go() {
    let disk = SimDisk::new(6);
    let database = open_on(&disk, keep_one()).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    overwrite(&run, 10);
    let held = database.checkpoint().unwrap();
    for _ in 0..10 {
        overwrite(&run, 10);
        drop(database.checkpoint().unwrap());
    }
    let kept = size_of_all(&disk);
    drop(held);
    eventually("what was kept is gone, without another checkpoint", || size_of_all(&disk) < kept / 2);
}
