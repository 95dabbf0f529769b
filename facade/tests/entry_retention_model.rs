//! Random histories of runs that remove events, against plain lists: forks, snapshots, older versions, erasures, large payloads and
//! whatever a store does meanwhile.

mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use strata::{
    Compaction, Database, Direction, Durability, EntityRef, ErasedVersions, ErrorKind, Options, Reads,
    Retention, RunHandle, RunSpec, Snapshot, Value, Version, Writes,
};
use support::{Dice, number, options, seed};

const RUN_COUNT_MAX: usize = 6;
const LARGE: usize = 70_000;
const KINDS: [&str; 3] = ["k0", "k1", "k2"];

/// An event, as all who have inherited it know it.
#[derive(Clone)]
struct Plain {
    kind: &'static str,
    number: u64,
    text: Rc<str>,
    is_erased: Rc<Cell<bool>>,
}

/// Which events a run had at a version, if that is its own.
#[derive(Debug, Clone, Copy, PartialEq)]
struct There {
    first: u64,
    end: u64,
}

struct Run {
    handle: RunHandle,
    events: Vec<Plain>,
    /// How many of them it began with.
    inherited: u64,
    first: u64,
    kept: Option<u64>,
    versions: BTreeMap<u64, There>,
}

impl Run {
    fn there(&self) -> There {
        There { first: self.first, end: self.events.len() as u64 }
    }

    /// What its newest commit left.
    fn note(&mut self) {
        let version = self.handle.info().unwrap().version;
        self.versions.insert(version.0, self.there());
    }

    fn trim(&mut self) {
        let kept = self.kept.unwrap_or(u64::MAX);
        self.first = self.first.max((self.events.len() as u64).saturating_sub(kept));
    }

    fn check(&self, reads: &dyn Reads, there: There, dice: &mut Dice) {
        let There { first, end } = there;
        assert_eq!(reads.event_count().unwrap().value, end);
        assert_eq!(reads.first_event().unwrap().value, first);
        let page = reads.events(0, 100_000, Direction::Forward).unwrap();
        let sequences: Vec<u64> = page.events.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, Vec::from_iter(first..end));
        for event in &page.events {
            let plain = &self.events[event.sequence as usize];
            let expected = if plain.is_erased.get() { Value::Erased } else { Value::from(&*plain.text) };
            assert!(event.payload == expected, "event {} of {}", event.sequence, self.handle.id());
            assert_eq!(&*event.kind, plain.kind);
        }
        for kind in KINDS {
            let is_of = |sequence: &u64| self.events[*sequence as usize].kind == kind;
            assert_eq!(reads.event_count_of(kind).unwrap().value, (0..end).filter(is_of).count() as u64);
            let newest = reads.event_head_of(kind).unwrap().map(|event| event.sequence);
            assert_eq!(newest, (first..end).rev().find(is_of));
            let start = dice.below(end + 1);
            let (limit, direction) = (1 + dice.below(9) as usize, Direction::Reverse);
            match reads.events_by_type(kind, start, limit, direction) {
                Ok(page) => {
                    assert!(start >= first);
                    let expected = Vec::from_iter((first..end.min(start + 1)).rev().filter(is_of));
                    let found = Vec::from_iter(page.events.iter().map(|event| event.sequence));
                    assert_eq!(found, expected[..found.len()]);
                    assert_eq!(page.next, expected.get(limit).copied());
                }
                Err(error) => assert!(error.kind() == ErrorKind::HistoryTrimmed && start < first, "{error}"),
            }
        }
        if let Some(removed) = first.checked_sub(1) {
            assert_eq!(reads.event(removed).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
        }
        let chain = reads.verify_chain().unwrap();
        assert_eq!((chain.valid, chain.first, chain.length), (true, first, end));
    }
}

struct World<'a> {
    path: &'a Path,
    options: Options,
    database: Option<Database>,
    runs: Vec<Run>,
    snapshots: Vec<(usize, Snapshot, There)>,
    dice: Dice,
    number: u64,
}

impl World<'_> {
    fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    fn append(&mut self, at: usize) {
        let count_max = if self.dice.below(6) == 0 { 150 } else { 6 };
        let count = 1 + self.dice.below(count_max);
        let mut events = Vec::new();
        for _ in 0..count {
            self.number += 1;
            let size =
                if count < 10 && self.dice.below(8) == 0 { LARGE } else { self.dice.below(60) as usize };
            let text: Rc<str> = format!("token-{:06};{}", self.number, "x".repeat(size)).into();
            let kind = KINDS[self.dice.below(3) as usize];
            events.push(Plain { kind, number: self.number, text, is_erased: Rc::default() });
        }
        let run = &mut self.runs[at];
        run.handle.append_many(events.iter().map(|event| (event.kind, Value::from(&*event.text)))).unwrap();
        run.events.extend(events);
        run.trim();
        run.note();
    }

    fn fork(&mut self, at: usize) {
        if self.runs.len() == RUN_COUNT_MAX {
            return;
        }
        let run = &self.runs[at];
        let place = self.dice.below(run.versions.len() as u64) as usize;
        let (version, there) =
            run.versions.iter().nth(place).map(|(version, there)| (*version, *there)).unwrap();
        let is_newest = place + 1 == run.versions.len();
        let handle = match is_newest {
            true => run.handle.fork().unwrap(),
            false => run.handle.fork_at(Version(version)).unwrap(),
        };
        let kept = match handle.info().unwrap().event_retention {
            Some(Retention::KeepLast(count)) => Some(count),
            _ => None,
        };
        let events = run.events[..there.end as usize].to_vec();
        let (inherited, first) = (there.end, there.first);
        let mut fork = Run { handle, events, inherited, first, kept, versions: BTreeMap::new() };
        fork.note();
        self.runs.push(fork);
    }

    fn erase(&mut self, at: usize) {
        let run = &mut self.runs[at];
        let count = run.events.len() as u64 - run.inherited;
        if count == 0 {
            return;
        }
        let sequence = run.inherited + self.dice.below(count);
        let entity = EntityRef::event(run.handle.id(), sequence);
        if run.handle.erase(&entity, ErasedVersions::All, "asked for").unwrap().is_some() {
            run.note();
        }
        run.events[sequence as usize].is_erased.set(true);
    }

    fn reopen(&mut self) {
        self.snapshots.clear();
        let database = self.database.take().unwrap();
        match self.dice.below(2) {
            0 => database.close().unwrap(),
            _ => drop(database),
        }
        let database = Database::open(self.path, self.options.clone()).unwrap();
        for run in &mut self.runs {
            run.handle = database.run(run.handle.id());
        }
        self.database = Some(database);
    }

    fn step(&mut self) {
        let at = self.dice.below(self.runs.len() as u64) as usize;
        match self.dice.below(24) {
            0..9 => self.append(at),
            9..11 => {
                let kept = Some(1 + self.dice.below(70)).filter(|_| self.dice.below(5) > 0);
                let run = &mut self.runs[at];
                run.handle.set_event_retention(kept.map(Retention::KeepLast)).unwrap();
                run.kept = kept;
                run.trim();
                run.note();
            }
            11 => self.fork(at),
            12 if self.snapshots.len() < 5 => {
                let run = &self.runs[at];
                self.snapshots.push((at, run.handle.snapshot().unwrap(), run.there()));
            }
            12..14 if !self.snapshots.is_empty() => {
                let place = self.dice.below(self.snapshots.len() as u64) as usize;
                self.snapshots.swap_remove(place);
            }
            14..16 => self.erase(at),
            16..18 => drop(self.database().checkpoint().unwrap()),
            18 => drop(self.database().compact(Compaction::Full).unwrap()),
            19 => self.reopen(),
            20..22 => {
                let run = &self.runs[at];
                let place = self.dice.below(run.versions.len() as u64) as usize;
                let (version, there) = run.versions.iter().nth(place).unwrap();
                let was = run.handle.at(Version(*version)).unwrap();
                run.check(&was, *there, &mut self.dice);
            }
            _ => {
                let Self { runs, snapshots, dice, .. } = self;
                snapshots.iter().for_each(|(at, snapshot, there)| runs[*at].check(snapshot, *there, dice));
                runs[at].check(&runs[at].handle, runs[at].there(), dice);
            }
        }
    }
}

/// The numbers of the tokens in all files of a store.
fn tokens(path: &Path, found: &mut BTreeSet<u64>) {
    for path in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            tokens(&path, found);
            continue;
        }
        let bytes = std::fs::read(path).unwrap_or_default();
        let places =
            bytes.windows(6).enumerate().filter(|(_, part)| *part == b"token-").map(|(place, _)| place + 6);
        let numbers = places
            .filter_map(|place| std::str::from_utf8(bytes.get(place..place + 6)?).ok()?.parse::<u64>().ok());
        found.extend(numbers);
    }
}

#[test]
fn runs_that_remove_entries_are_plain_lists_whatever_happens_meanwhile() {
    let mut dice = Dice::new(seed());
    for _ in 0..number("STRATA_ROUNDS", 4) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("strata.db");
        let options = Options {
            retention: Retention::KeepAll,
            memory_budget: 100 << 10,
            checkpoint_log_size: 64 << 10,
            ..options(Durability::Buffered, 1)
        };
        let database = Database::open(&path, options.clone()).unwrap();
        let runs = (0..2).map(|_| {
            let handle = database.create_run(RunSpec::default()).unwrap();
            let (events, versions) = (Vec::new(), BTreeMap::new());
            let mut run = Run { handle, events, inherited: 0, first: 0, kept: None, versions };
            run.note();
            run
        });
        let (runs, snapshots) = (runs.collect(), Vec::new());
        let dice = Dice::new(dice.roll());
        let mut world =
            World { path: &path, options, database: Some(database), runs, snapshots, dice, number: 0 };
        (0..number("STRATA_STEPS", 150)).for_each(|_| world.step());
        world.snapshots.clear();
        let World { runs, dice, database, .. } = &mut world;
        runs.iter().for_each(|run| run.check(&run.handle, run.there(), dice));
        let database = database.take().unwrap();
        database.compact(Compaction::Full).unwrap();
        for run in runs.iter() {
            for (version, there) in &run.versions {
                run.check(&run.handle.at(Version(*version)).unwrap(), *there, dice);
            }
        }
        database.close().unwrap();
        let mut found = BTreeSet::new();
        tokens(&path, &mut found);
        for plain in runs.iter().flat_map(|run| &run.events) {
            assert_eq!(found.contains(&plain.number), !plain.is_erased.get(), "token {}", plain.number);
        }
    }
}
