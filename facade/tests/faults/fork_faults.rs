//! A family of forks on a simulated disk that fails at every point of its work, in every way: whatever fork was acknowledged is
//! there with what it began as, while its parent is overwritten, imaged, put away, sorted and deleted, and whichever image recovery
//! begins with.
//!
//! By default a sample of the points is tried, another one every time; `STRATA_SWEEP=full` tries all.

use std::collections::BTreeMap;
use std::path::Path;

use strata::{
    Compaction, Database, Durability, ErrorKind, KvScan, Merge, Reads, Result, RunHandle, RunId, RunSpec,
    Strategies, Strategy, Version, Writes,
};
use strata_wal::sim::{FaultKind, SimDisk};

use crate::support::{Dice, busy_options, damage_newest_image, open_on, seed, sweep};

/// What a run holds, with the commit that it is at.
type Held = (u64, BTreeMap<String, i64>);

/// What a workload knows of one of its runs.
#[derive(Debug)]
struct Told {
    id: RunId,
    /// What it began as.
    began: BTreeMap<String, i64>,
    /// What it was at its newest acknowledged commit; a run that was deleted is none.
    now: Option<Held>,
    /// What it is if the commit happened of which nothing is known.
    or_else: Option<Option<Held>>,
    /// What it was before.
    earlier: Vec<Option<Held>>,
}

/// Runs by the order in which they came.
#[derive(Debug, Default)]
struct Ledger(Vec<Told>);

impl Ledger {
    fn enter(&mut self, run: &RunHandle, now: Held) -> usize {
        let (id, began, earlier) = (run.id(), now.1.clone(), vec![None]);
        self.0.push(Told { id, began, now: Some(now), or_else: None, earlier });
        self.0.len() - 1
    }

    /// Takes note of a commit to a run that leaves it so.
    fn note<T>(&mut self, place: usize, then: Option<Held>, answer: Result<T>) -> Result<()> {
        let told = &mut self.0[place];
        match answer {
            Ok(_) => {
                told.earlier.push(std::mem::replace(&mut told.now, then));
                Ok(())
            }
            Err(error) => {
                told.or_else = Some(then);
                Err(error)
            }
        }
    }

    fn held(&self, place: usize) -> Held {
        self.0[place].now.clone().expect("the workload leaves deleted runs alone")
    }

    /// Puts so many keys, one a commit.
    fn put(&mut self, database: &Database, place: usize, count: i64) -> Result<()> {
        let run = database.run(self.0[place].id);
        for number in 0..count {
            let (version, mut map) = self.held(place);
            let (key, value) = (format!("key/{}", number % 7), number * 100 + place as i64);
            map.insert(key.clone(), value);
            self.note(place, Some((version + 1, map)), run.put(&key, value))?;
        }
        Ok(())
    }

    fn fork(&mut self, database: &Database, place: usize) -> Result<usize> {
        let fork = database.run(self.0[place].id).fork()?;
        let (version, map) = self.held(place);
        Ok(self.enter(&fork, (version + 1, map)))
    }

    /// Takes over into a run what was done in a fork of it.
    fn merge(&mut self, database: &Database, place: usize, fork: usize) -> Result<()> {
        let ((version, mut map), (_, theirs), base) =
            (self.held(place), self.held(fork), &self.0[fork].began);
        let before = map.clone();
        for key in base.keys().chain(theirs.keys()).filter(|key| base.get(*key) != theirs.get(*key)) {
            match theirs.get(key) {
                Some(value) => drop(map.insert(key.clone(), *value)),
                None => drop(map.remove(key)),
            }
        }
        let version = if map == before { version } else { version + 1 };
        let theirs = database.run(self.0[fork].id);
        let strategies = Strategies { keys: Strategy::Theirs, ..Strategies::default() };
        let answer = database.run(self.0[place].id).merge(&Merge { strategies, ..Merge::of(&theirs) });
        self.note(place, Some((version, map)), answer)
    }

    /// Makes a run again what it was.
    fn revert(&mut self, database: &Database, place: usize, then: Held) -> Result<()> {
        let (version, map) = self.held(place);
        let version = if map == then.1 { version } else { version + 1 };
        let answer = database.run(self.0[place].id).revert(Version(then.0));
        self.note(place, Some((version, then.1)), answer)
    }

    fn delete(&mut self, database: &Database, place: usize) -> Result<()> {
        let answer = database.run(self.0[place].id).delete_run();
        self.note(place, None, answer)
    }
}

/// The fork of a version that is not the newest any more, which holds `then`.
fn fork_at(database: &Database, ledger: &mut Ledger, place: usize, then: Held) -> Result<usize> {
    let fork = database.run(ledger.0[place].id).fork_at(Version(then.0))?;
    Ok(ledger.enter(&fork, (then.0 + 1, then.1)))
}

/// One that fails costs nothing, and what comes behind it goes on.
fn compact(database: &Database, compaction: Compaction) {
    if let Err(error) = database.compact(compaction) {
        let expected = [ErrorKind::Io, ErrorKind::Full, ErrorKind::LogFailed, ErrorKind::Closed];
        assert!(expected.contains(&error.kind()), "a disk that fails is not mistaken for damage: {error:?}");
    }
}

/// Goes on until something fails that is no compaction.
fn work(database: &Database, ledger: &mut Ledger) -> Result<()> {
    let root = database.create_run(RunSpec::named("root"))?;
    let root = ledger.enter(&root, (1, BTreeMap::new()));
    ledger.put(database, root, 20)?;
    let first = ledger.fork(database, root)?;
    ledger.put(database, root, 20)?;
    drop(database.checkpoint()?);
    ledger.put(database, first, 10)?;
    let before = ledger.held(root);
    ledger.put(database, root, 2)?;
    let older = fork_at(database, ledger, root, before.clone())?;
    ledger.revert(database, root, before)?;
    ledger.merge(database, root, first)?;
    let second = ledger.fork(database, first)?;
    ledger.put(database, root, 30)?;
    compact(database, Compaction::WalOnly);
    ledger.put(database, older, 10)?;
    ledger.delete(database, first)?;
    ledger.put(database, second, 10)?;
    ledger.merge(database, root, older)?;
    ledger.merge(database, older, second)?;
    ledger.put(database, root, 30)?;
    compact(database, Compaction::Full);
    ledger.delete(database, root)?;
    let third = ledger.fork(database, second)?;
    ledger.put(database, third, 10)?;
    ledger.merge(database, second, third)?;
    drop(database.checkpoint()?);
    ledger.put(database, second, 30)?;
    ledger.delete(database, older)?;
    compact(database, Compaction::Full);
    ledger.put(database, third, 30)?;
    Ok(())
}

fn read(run: &RunHandle) -> Result<Option<Held>> {
    let info = match run.info() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        info => info?,
    };
    let values = run.list_values(&KvScan::default())?.items;
    let map = values.into_iter().map(|(key, value)| (key, value.value.as_int().unwrap_or(-1)));
    Ok(Some((info.version.0, map.collect())))
}

/// Every run is what it was told to be, or, where a failed sync may have lost what was told, what it was once.
fn compare(database: &Database, ledger: &Ledger, may_lose: bool, story: &str) {
    for (place, told) in ledger.0.iter().enumerate() {
        let found =
            read(&database.run(told.id)).unwrap_or_else(|error| panic!("run {place}: {error}: {story}"));
        let was_once = may_lose && told.earlier.contains(&found);
        let is_expected = found == told.now || told.or_else.as_ref() == Some(&found) || was_once;
        assert!(is_expected, "run {place} is {found:?}, and was told to be {told:?}: {story}");
    }
}

/// Whether it is a file of the history or an image that was never finished.
fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp" || extension == "part")
}

fn sweep(durability: Durability, kinds: &[FaultKind]) {
    let mut dice = Dice::new(seed());
    let whole = SimDisk::new(dice.roll());
    let (database, mut ledger) = (open_on(&whole, busy_options(durability, 1)).unwrap(), Ledger::default());
    work(&database, &mut ledger).unwrap();
    compare(&database, &ledger, false, "without faults");
    drop(database);
    for fault in sweep::faults(whole.points(), 60, kinds, &mut dice) {
        let story = format!("{durability:?}, {fault}");
        let disk = SimDisk::new(dice.roll());
        fault.arm(&disk);
        let mut ledger = Ledger::default();
        let opened = open_on(&disk, busy_options(durability, 1));
        let stopped = opened.as_ref().is_ok_and(|database| work(database, &mut ledger).is_err());
        let loses_power = fault.cuts_power() || (durability == Durability::Strict && dice.below(2) == 0);
        let after = if loses_power { disk.power_cycle(dice.roll()) } else { disk.kill() };
        let may_lose = durability == Durability::Buffered && sweep::log_has_lost(&after);
        drop(opened);
        let is_damaged = dice.below(3) == 0;
        let story = format!("{story}, the newest image damaged: {is_damaged}");
        if is_damaged {
            damage_newest_image(&after);
        }
        let database = open_on(&after, busy_options(durability, 1));
        let database = database.unwrap_or_else(|error| panic!("it opens again: {error}: {story}"));
        compare(&database, &ledger, may_lose, &story);
        if !stopped {
            // And goes on.
            let there = ledger.0.iter().position(|told| told.now.is_some());
            there.into_iter().for_each(|place| ledger.put(&database, place, 3).unwrap());
        }
        if is_damaged || dice.below(3) == 0 {
            // It is done with whatever was left, damage and remains.
            database.compact(Compaction::Full).unwrap_or_else(|error| panic!("{error:?}: {story}"));
            compare(&database, &ledger, may_lose, &story);
            let remains = after.files().into_iter().find(|file| is_unfinished(file));
            assert_eq!(remains, None, "{story}");
        }
        let damage = database.verify(|_| {}).unwrap().damage;
        assert!(damage.is_empty(), "{damage:?}: {story}");
    }
}

#[test]
fn a_fault_at_any_point_costs_no_fork_anything_that_was_promised() {
    for durability in [Durability::Buffered, Durability::Strict] {
        sweep(durability, &[FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn]);
    }
}

#[test]
fn a_power_cut_at_any_point_costs_no_fork_of_a_strict_store_anything() {
    sweep(Durability::Strict, &[FaultKind::PowerCut]);
}
