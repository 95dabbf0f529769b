//! Exports and imports on a simulated disk that fails at every point of them, in every way: an archive is whole or not there, a run is
//! imported or not, and nothing is left of what was not.
//!
//! By default a sample of the points is tried, another one every time; `STRATA_SWEEP=full` tries all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata::{
    Clock, Compaction, Database, Durability, ErrorKind, Options, Result, RunId, RunSpec, Version, Writes,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use crate::support::contents::inherited;
use crate::support::{Dice, busy_options, seed, sweep};

fn options(durability: Durability) -> Options {
    Options { retention: strata::Retention::KeepAll, ..busy_options(durability, 1) }
}

fn open_at(disk: &SimDisk, name: &str, durability: Durability) -> Result<Database> {
    let path = Path::new("/agent").join(name);
    Database::start(Some(path), options(durability), Clock::System, Some(Arc::new(disk.clone())))
}

fn archive() -> PathBuf {
    Path::new("/agent").join("run.arc")
}

/// A disk with a store that has a run, and what the run was at each version.
fn prepared(seed: u64, durability: Durability) -> (SimDisk, Database, RunId, Vec<String>) {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new("/agent")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let database = open_at(&disk, "from", durability).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for number in 0..24 {
        match number % 4 {
            0 => drop(run.append("step", number).unwrap()),
            _ => drop(run.put(&format!("key/{}", number % 7), number).unwrap()),
        }
    }
    let known = (1..=25).map(|version| inherited(&run.at(Version(version)).unwrap())).collect();
    (disk, database, run.id(), known)
}

fn expect_versions(database: &Database, run: RunId, known: &[String], story: &str) {
    for (version, known) in (1..).zip(known) {
        let was = database.run(run).at(Version(version)).unwrap_or_else(|error| panic!("{error}: {story}"));
        assert_eq!(inherited(&was), *known, "version {version}: {story}");
    }
}

/// Tries points of `work`, which is given a disk that may fail, and then looks at it with `check`.
fn sweep(
    work: fn(&Database, &SimDisk, Durability) -> bool,
    check: fn(&SimDisk, bool, RunId, &[String], Durability, &str),
) {
    let mut dice = Dice::new(seed());
    for durability in [Durability::Strict, Durability::Buffered] {
        let (disk, database, _, _) = prepared(dice.roll(), durability);
        let start = disk.points();
        assert!(work(&database, &disk, durability), "it succeeds where nothing fails");
        let count = disk.points() - start;
        drop(database);
        for fault in sweep::faults(count, 40, &sweep::KINDS, &mut dice) {
            if fault.cuts_power() && durability == Durability::Buffered {
                continue;
            }
            let loses_power = fault.cuts_power() || (durability == Durability::Strict && dice.below(2) == 0);
            let story = format!("{durability:?}, {fault}");
            let (disk, database, run, known) = prepared(dice.roll(), durability);
            fault.arm(&disk);
            let succeeded = work(&database, &disk, durability);
            let after = if loses_power { disk.power_cycle(dice.roll()) } else { disk.kill() };
            drop(database);
            check(&after, succeeded, run, &known, durability, &story);
        }
    }
}

#[test]
fn a_fault_at_any_point_leaves_an_archive_whole_and_a_run_imported_or_not() {
    sweep(export, check_export);
    sweep(import, check_import);
}

fn export(database: &Database, _: &SimDisk, _: Durability) -> bool {
    let run = database.runs(&strata::RunFilter::default(), None, 1);
    run.is_ok_and(|page| {
        page.runs.first().is_some_and(|info| database.run(info.id).export(archive()).is_ok())
    })
}

fn check_export(
    disk: &SimDisk,
    succeeded: bool,
    run: RunId,
    known: &[String],
    durability: Durability,
    story: &str,
) {
    let is_there = disk.files().contains(&archive());
    assert!(is_there || !succeeded, "{story}");
    let database = open_at(disk, "from", durability).unwrap_or_else(|error| panic!("{error}: {story}"));
    expect_versions(&database, run, known, story);
    if !is_there {
        database.run(run).export(archive()).unwrap_or_else(|error| panic!("{error}: {story}"));
    }
    let into = open_at(disk, "to", durability).unwrap();
    into.import(archive()).unwrap_or_else(|error| panic!("{error}: {story}"));
    expect_versions(&into, run, known, story);
}

/// Whether the run was imported, changed, imaged, forked and put away.
fn import(database: &Database, disk: &SimDisk, durability: Durability) -> bool {
    let id = RunId::named(&strata::Namespace::default(), "run");
    if !disk.files().contains(&archive()) && database.run(id).export(archive()).is_err() {
        return false;
    }
    let work = || {
        let into = open_at(disk, "to", durability)?;
        let run = into.import(archive())?;
        // From here on it is there.
        let rest = || {
            run.put("own", 1)?;
            drop(into.checkpoint()?);
            let fork = run.fork_at(Version(9))?;
            fork.put("own", 2)?;
            into.compact(Compaction::Full)?;
            into.close()?;
            let into = open_at(disk, "to", durability)?;
            into.run(id).put("own", 3)?;
            into.close()
        };
        let _ = rest();
        Ok::<_, strata::Error>(())
    };
    work().is_ok()
}

fn check_import(
    disk: &SimDisk,
    succeeded: bool,
    run: RunId,
    known: &[String],
    durability: Durability,
    story: &str,
) {
    let source = open_at(disk, "from", durability).unwrap_or_else(|error| panic!("{error}: {story}"));
    if !disk.files().contains(&archive()) {
        source.run(run).export(archive()).unwrap_or_else(|error| panic!("{error}: {story}"));
    }
    let into = open_at(disk, "to", durability).unwrap_or_else(|error| panic!("{error}: {story}"));
    let archives = || {
        let entries = disk.entries(Path::new("/agent/to/DATA")).unwrap_or_default();
        entries
            .into_iter()
            .filter(|entry| entry.name.ends_with(".arc") || entry.name.ends_with(".new"))
            .count()
    };
    let is_there = into.get_run(run).unwrap().is_some();
    assert!(is_there || !succeeded || durability == Durability::Buffered, "it was promised: {story}");
    assert_eq!(archives(), usize::from(is_there), "{:?}: {story}", disk.files());
    if !is_there {
        into.import(archive()).unwrap_or_else(|error| panic!("{error}: {story}"));
    }
    expect_versions(&into, run, known, story);
    for info in into.runs(&strata::RunFilter::default(), None, 10).unwrap().runs {
        if info.id != run {
            let was = into.run(info.id).at(Version(9)).unwrap_or_else(|error| panic!("{error}: {story}"));
            assert_eq!(inherited(&was), known[8], "{story}");
        }
    }
    into.compact(Compaction::Full).unwrap_or_else(|error| panic!("{error}: {story}"));
    let damage = into.verify(|_| {}).unwrap().damage;
    assert!(damage.is_empty(), "{damage:?}: {story}");
    assert_eq!(into.import(archive()).map(drop).unwrap_err().kind(), ErrorKind::AlreadyExists, "{story}");
}
