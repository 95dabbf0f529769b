//! A store that is opened with another number of shards, on a simulated disk that fails at every point of that, in every way: it has
//! the shards it had or the new ones, and with any number of them everything that was ever acknowledged.
//!
//! By default a sample of the points is tried, another one every time; `STRATA_SWEEP=full` tries all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, ErrorKind, Options, Reads, Retention, RunId,
    RunSpec, Version, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::contents::inherited;
use crate::support::{
    Dice, busy_options, damage_newest_image, open_on, options, script, seed, sim_path, sweep,
};

/// What runs are, and were, by their ids and versions.
type Known = BTreeMap<(RunId, u64), String>;

fn keep_all(durability: Durability, shards: usize) -> Options {
    Options { retention: Retention::KeepAll, ..busy_options(durability, shards) }
}

/// Some runs, one of them forked twice, with history in every place where it can lie. A strict store is not closed: what it was told
/// is on the device.
fn grow(disk: &SimDisk, durability: Durability) -> (SimDisk, Known) {
    let (database, mut known) = (open_on(disk, keep_all(durability, 2)).unwrap(), Known::new());
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(database.create_run(RunSpec::named(name)).unwrap().id());
    }
    for round in 0..4_i64 {
        for (place, id) in ids.clone().into_iter().enumerate() {
            let run = database.run(id);
            for number in 0..6 {
                run.put(&format!("key/{}", number % 4), round * 100 + number + place as i64).unwrap();
                run.append("step", number).unwrap();
                known.insert((id, run.info().unwrap().version.0), inherited(&run));
            }
        }
        match round {
            0 => _ = database.compact(Compaction::Full).unwrap(),
            1 => {
                let run = database.run(ids[0]);
                let version = run.info().unwrap().version.0;
                ids.push(run.fork().unwrap().id());
                ids.push(run.fork_at(Version(version - 3)).unwrap().id());
                drop(database.checkpoint().unwrap());
            }
            2 => _ = database.compact(Compaction::WalOnly).unwrap(),
            _ => {}
        }
    }
    if durability == Durability::Buffered {
        database.close().unwrap();
        return (disk.kill(), known);
    }
    let grown = disk.kill();
    drop(database);
    (grown, known)
}

fn compare(database: &Database, known: &Known, story: &str) {
    for ((run, version), was) in known {
        let past = database.run(*run).at(Version(*version));
        let past = past.unwrap_or_else(|error| panic!("run {run} at {version}: {error}: {story}"));
        assert_eq!(&inherited(&past), was, "run {run} at {version}: {story}");
    }
}

/// The logs that there are files of, by their numbers.
fn logs(disk: &SimDisk) -> Vec<String> {
    let is_of_log = |path: &PathBuf| path.parent().is_some_and(|parent| parent != sim_path());
    let files = disk.files().into_iter().filter(is_of_log);
    let mut logs: Vec<String> =
        files.map(|path| path.file_name().unwrap().to_string_lossy()[..3].to_string()).collect();
    logs.dedup();
    logs.sort();
    logs.dedup();
    logs
}

fn sweep(durability: Durability, kinds: &[FaultKind]) {
    let mut dice = Dice::new(seed());
    let (base_seed, count) = (dice.roll(), 1 + 2 * dice.below(3) as usize);
    let whole = SimDisk::new(base_seed);
    let (grown, known) = grow(&whole, durability);
    let disk = grown.kill();
    let before = disk.points();
    let database = open_on(&disk, keep_all(durability, count)).unwrap();
    let through = disk.points() - before;
    compare(&database, &known, "without faults");
    assert_eq!(logs(&disk).len(), count);
    drop(database);
    for fault in sweep::faults(through, 25, kinds, &mut dice) {
        let story = format!("{durability:?}, 2 to {count}, {fault}");
        let disk = grown.kill();
        fault.arm(&disk);
        let opened = open_on(&disk, keep_all(durability, count));
        if let Err(error) = &opened {
            let expected = [ErrorKind::Io, ErrorKind::Full, ErrorKind::LogFailed, ErrorKind::Closed];
            assert!(expected.contains(&error.kind()), "no damage is told of: {error:?}: {story}");
        }
        let after = if fault.cuts_power() { disk.power_cycle(dice.roll()) } else { disk.kill() };
        drop(opened);
        // With the number it has, the one it was to get, and another.
        let shards = [None, Some(2), Some(count), Some(4)][dice.below(4) as usize];
        let is_damaged = dice.below(3) == 0;
        let story = format!("{story}, then with {shards:?}, the newest images damaged: {is_damaged}");
        if is_damaged {
            damage_newest_image(&after);
        }
        let again = Options { shards, ..options(durability, 1) };
        let database = open_on(&after, Options { retention: Retention::KeepAll, ..again });
        let database = database.unwrap_or_else(|error| panic!("it opens again: {error}: {story}"));
        compare(&database, &known, &story);
        assert_eq!(logs(&after).len(), database.shard_count(), "nothing else is left: {story}");
        if is_damaged {
            // It is done with what is left, damage too.
            database.compact(Compaction::Full).unwrap_or_else(|error| panic!("{error:?}: {story}"));
            compare(&database, &known, &story);
        }
        let damage = database.verify(|_| {}).unwrap().damage;
        assert!(damage.is_empty(), "{damage:?}: {story}");
        database.create_run(RunSpec::named("later")).unwrap().put("and", "goes on").unwrap();
    }
}

#[test]
fn a_fault_at_any_point_leaves_a_buffered_store_the_shards_it_had_or_the_new_ones() {
    sweep(Durability::Buffered, &[FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn]);
}

#[test]
fn a_fault_at_any_point_leaves_a_strict_store_the_shards_it_had_or_the_new_ones() {
    sweep(Durability::Strict, &[FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn]);
}

#[test]
fn a_power_cut_at_any_point_leaves_the_shards_there_were_or_the_new_ones() {
    for durability in [Durability::Buffered, Durability::Strict] {
        sweep(durability, &[FaultKind::PowerCut]);
    }
}

/// What an opening cannot remove of the logs that were replaced stayed until the next one, and with it what was erased meanwhile, behind a
/// compaction that said that it is gone.
#[test]
fn what_is_erased_is_not_left_in_files_of_logs_that_were_replaced() {
    let whole = SimDisk::new(7);
    let database = open_on(&whole, keep_all(Durability::Buffered, 2)).unwrap();
    let run = database.create_run(RunSpec::named("a")).unwrap().id();
    database.run(run).put("key", "secret").unwrap();
    database.close().unwrap();
    let grown = whole.kill();
    let disk = grown.kill();
    let database = open_on(&disk, keep_all(Durability::Buffered, 3)).unwrap();
    let through = disk.points();
    drop(database);
    let mut met = 0;
    for point in through - 20..=through {
        let disk = grown.kill();
        disk.set_faults(Faults::once(point, FaultKind::Error));
        let Ok(database) = open_on(&disk, keep_all(Durability::Buffered, 3)) else { continue };
        disk.set_faults(Faults::none());
        met += usize::from(logs(&disk).len() > 3);
        database.run(run).erase(&EntityRef::kv(run, "key"), ErasedVersions::All, "because").unwrap();
        database.compact(Compaction::Full).unwrap();
        let holds = |path: &PathBuf| disk.bytes(path).windows(6).any(|part| part == b"secret");
        let holding: Vec<_> = disk.files().into_iter().filter(holds).collect();
        assert!(holding.is_empty(), "fault at {point} of {through}: {holding:?}");
    }
    assert!(met > 0, "some file of a log that was replaced could not be removed");
}

/// A torn tail was cut from a log that was then replaced, and the report of the opening knew of the new logs alone: nothing was cut.
#[test]
fn what_is_cut_from_logs_that_are_replaced_is_in_the_report_of_the_opening() {
    let mut met = 0;
    for seed in 0..10 {
        let crashed = script::cut_off(seed, 1..=20, 21..=40);
        let found = |shards| {
            let database = open_on(&crashed.kill(), options(Durability::Buffered, shards)).unwrap();
            let recovery = database.recovery();
            assert_eq!((recovery.was_clean, recovery.shards.len()), (false, shards));
            assert_eq!(recovery.replaced.len(), usize::from(shards != 1));
            (recovery.records(), recovery.bytes_cut())
        };
        let (_, cut) = found(1);
        met += usize::from(cut > 0);
        assert_eq!(found(3), found(1), "seed {seed}");
    }
    assert!(met > 0, "some tail is torn");
}

/// A run that was not touched keeps its image, and a damaged one was met when it was copied: then the image before it, of which the run
/// could have been rebuilt, was gone. The store could not be given other shards, and with those it had the run was lost.
#[test]
fn a_run_whose_newest_image_is_damaged_moves_as_the_one_before_leads_to_it() {
    let calm = |shards| Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, shards) };
    let whole = SimDisk::new(9);
    let database = open_on(&whole, calm(2)).unwrap();
    let runs = ["a", "b", "c", "d"].map(|name| database.create_run(RunSpec::named(name)).unwrap().id());
    for value in ["before", "after"] {
        runs.iter().for_each(|run| _ = database.run(*run).put("key", value).unwrap());
        drop(database.checkpoint().unwrap());
    }
    database.close().unwrap();
    let grown = whole.kill();
    let image = |log, number| sim_path().join(format!("SNAPSHOTS/00{log}-000000000{number}.img"));
    let first_slice = 4096 + 60;
    (0..2).for_each(|log| grown.flip(&image(log, 2), first_slice, 1));
    let disk = grown.kill();
    let database = open_on(&disk, calm(3)).unwrap();
    for run in runs {
        assert_eq!(database.run(run).get("key").unwrap().unwrap().value.as_str(), Some("after"));
        assert_eq!(
            database.run(run).at(Version(2)).unwrap().get("key").unwrap().unwrap().value.as_str(),
            Some("before")
        );
    }
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
    drop(database);
    // Where the one before is damaged too nothing is changed, and the others are served.
    let grown = grown.kill();
    grown.flip(&image(0, 1), first_slice, 1);
    let before = grown.files();
    let refused = open_on(&grown, calm(3)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    assert_eq!(grown.files(), before);
    let database = open_on(&grown, calm(2)).unwrap();
    let read = runs.map(|run| database.run(run).get("key"));
    assert_eq!(read.iter().filter(|read| read.is_err()).count(), 1);
}

#[test]
fn a_store_whose_only_images_are_damaged_is_given_other_shards() {
    let calm = |shards| Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, shards) };
    let whole = SimDisk::new(10);
    let database = open_on(&whole, calm(2)).unwrap();
    let runs = ["a", "b", "c", "d"].map(|name| database.create_run(RunSpec::named(name)).unwrap().id());
    drop(database.checkpoint().unwrap());
    runs.iter().for_each(|run| _ = database.run(*run).put("key", "behind").unwrap());
    database.close().unwrap();
    let disk = whole.kill();
    damage_newest_image(&disk);
    let database = open_on(&disk, calm(3)).unwrap();
    for run in runs {
        assert_eq!(database.run(run).get("key").unwrap().unwrap().value.as_str(), Some("behind"));
    }
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}
