//! Ten thousand looks at older versions: each is what was there when it was the newest.

use std::collections::BTreeMap;

use strata::{
    Compaction, Database, Digest, Durability, Options, Reads, Retention, RunHandle, RunId, RunSpec, Version,
};

use crate::support::versions::{all_of, change, disk, open_at};
use crate::support::{Dice, busy_options, number, options, seed};

/// Versions of each run.
const VERSIONS: u64 = 420;
const RUNS: usize = 5;

/// What a version was when it was the newest: what it comes to, and of some all that is told of it.
type Known = BTreeMap<u64, (Digest, Option<String>)>;

fn note(run: &RunHandle, known: &mut Known) {
    let view = run.snapshot().unwrap().detach().unwrap();
    let version = view.version().0;
    let text = version.is_multiple_of(10).then(|| all_of(run, &view));
    known.insert(version, (view.digest().unwrap(), text));
}

/// Changes a run, one commit after the other, so that each version is noted.
fn live(run: &RunHandle, known: &mut Known, dice: &mut Dice) {
    let before = run.info().unwrap().version;
    change(run, dice);
    if run.info().unwrap().version > before {
        note(run, known);
    }
}

/// Looks at every version that was noted; how many there are.
fn compare(database: &Database, noted: &BTreeMap<RunId, Known>, story: &str) -> u64 {
    let mut count = 0;
    for (id, known) in noted {
        let run = database.run(*id);
        for (version, (digest, text)) in known {
            let story = format!("version {version} of {id}, {story}");
            let past = run.at(Version(*version)).unwrap_or_else(|error| panic!("{story}: {error}"));
            assert_eq!(past.detach().unwrap().digest().unwrap(), *digest, "{story}");
            if let Some(text) = text {
                assert_eq!(all_of(&run, &past), *text, "{story}");
            }
            count += 1;
        }
    }
    count
}

#[test]
fn ten_thousand_versions_are_what_they_were_live_evicted_compacted_reopened_and_killed() {
    for case in 0..number("STRATA_CASES", 1) {
        let mut dice = Dice::new(seed().wrapping_add(case));
        let mut disk = disk(dice.roll());
        let keep = |busy: bool| {
            let chosen = if busy { busy_options } else { options };
            Options { retention: Retention::KeepAll, ..chosen(Durability::Buffered, 1) }
        };
        let mut database = open_at(&disk, "store", keep(true));
        let mut noted = BTreeMap::new();
        let mut runs: Vec<RunHandle> = Vec::new();
        for number in 0..RUNS {
            // Some begin as another one is.
            let run = match runs.first().filter(|_| number % 2 == 1) {
                Some(parent) => parent.fork().unwrap(),
                None => database.create_run(RunSpec::named(format!("run-{number}"))).unwrap(),
            };
            note(&run, noted.entry(run.id()).or_default());
            runs.push(run);
            while noted.values().map(Known::len).max().unwrap() < VERSIONS as usize * (number + 1) / RUNS {
                runs.iter().for_each(|run| live(run, noted.get_mut(&run.id()).unwrap(), &mut dice));
            }
        }
        for run in &runs {
            let known = noted.get_mut(&run.id()).unwrap();
            while known.len() < VERSIONS as usize {
                live(run, known, &mut dice);
            }
        }
        let mut count = compare(&database, &noted, "live");
        // The store has room for few of them, so those that are asked for have been away.
        database.checkpoint().unwrap();
        count += compare(&database, &noted, "behind a checkpoint");
        database.compact(Compaction::Full).unwrap();
        count += compare(&database, &noted, "compacted");
        database.close().unwrap();
        database = open_at(&disk, "store", keep(false));
        count += compare(&database, &noted, "reopened");
        runs = runs.iter().map(|run| database.run(run.id())).collect();
        for run in &runs {
            (0..10).for_each(|_| live(run, noted.get_mut(&run.id()).unwrap(), &mut dice));
        }
        disk = disk.kill();
        drop(database);
        database = open_at(&disk, "store", keep(true));
        count += compare(&database, &noted, "killed");
        assert!(count >= 10_000, "{count} comparisons");
        let evicted: u64 = database.stats().unwrap().shards.iter().map(|shard| shard.evictions).sum();
        assert!(evicted > 0, "some had left memory");
    }
}
