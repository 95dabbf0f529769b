//! A store of which one file is missing: it refuses to open, or tells of what it has lost that it is damaged, and never that it was given up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use strata::{Database, Durability, ErrorKind, KvScan, Reads, RunId, Version};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use crate::salvage::grown::{Ending, SHARDS, grow};
use crate::support::{Dice, TestClock, number, options, seed, sim_path};

/// What every version of every run holds, or why that is not told.
type Answers = BTreeMap<(RunId, u64), Result<String, ErrorKind>>;

fn read_only(disk: &SimDisk) -> strata::Result<Database> {
    let clock = TestClock::at(1_750_000_300_000_000);
    let storage = Some(Arc::new(disk.clone()) as _);
    Database::start_to_read(sim_path(), options(Durability::Buffered, SHARDS), clock.clock(), storage)
}

fn answers(database: &Database, runs: &BTreeMap<RunId, u64>) -> Answers {
    let version = |run: RunId, version: u64| {
        let view = database.run(run).at(Version(version))?;
        let events = view.events(view.first_event()?.value, 1_000, strata::Direction::Forward)?;
        Ok(format!("{:?} {events:?}", view.list_values(&KvScan::default())?))
    };
    let all = runs.iter().flat_map(|(run, newest)| (1..=*newest).map(|version| (*run, version)));
    all.map(|at| (at, version(at.0, at.1).map_err(|error: strata::Error| error.kind()))).collect()
}

/// The disk again, without a file of it.
fn without(disk: &SimDisk, missing: Option<&PathBuf>) -> SimDisk {
    let copy = SimDisk::new(1);
    for dir in ["", "WAL", "SNAPSHOTS", "DATA"] {
        let dir = sim_path().join(dir);
        let dirs: Vec<_> = dir.ancestors().collect();
        for dir in dirs.into_iter().rev().filter(|dir| dir.parent().is_some()) {
            let _ = copy.create_dir(dir);
            copy.sync_dir(dir.parent().unwrap()).unwrap();
        }
    }
    let files = disk.files().into_iter().filter(|file| Some(file) != missing);
    files.for_each(|file| copy.set_bytes(&file, &disk.bytes(&file)));
    copy
}

#[test]
fn what_a_missing_file_costs_is_told_to_be_damage_by_who_opens_or_verifies() {
    let mut dice = Dice::new(seed());
    let (mut damaged, mut refused) = (0, 0);
    for _ in 0..number("STRATA_ROUNDS", 3) {
        let grown = grow(dice.roll(), Durability::Buffered, Ending::Closed, 250);
        let runs: BTreeMap<RunId, u64> =
            grown.runs.iter().map(|(run, known)| (*run, known.newest())).collect();
        let whole = answers(&read_only(&without(&grown.disk, None)).unwrap(), &runs);
        for file in grown.disk.files().iter().filter(|file| !file.ends_with("LOCK")) {
            let disk = without(&grown.disk, Some(file));
            let Ok(reader) = read_only(&disk) else {
                refused += 1;
                continue;
            };
            let story = format!("{}: {}", file.display(), grown.story);
            let mut has_changed = false;
            for (at, answer) in answers(&reader, &runs) {
                match (&whole[&at], answer) {
                    (was, is) if *was == is => {}
                    (_, Err(ErrorKind::Corrupt)) => has_changed = true,
                    // The image before the newest tells of it, which had not given it up.
                    (Err(ErrorKind::HistoryTrimmed), _) => has_changed = true,
                    (was, is) => panic!("{at:?} was {was:?} and is {is:?} without {story}"),
                }
            }
            let damage = reader.verify(|_| {}).unwrap().damage;
            assert!(!has_changed || !damage.is_empty(), "nobody is told of what has changed without {story}");
            damaged += u64::from(has_changed);
        }
    }
    assert!(damaged > 0 && refused > 0, "{damaged} {refused}");
}
