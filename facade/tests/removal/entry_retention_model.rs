//! Random histories of runs that remove events and traces, against plain lists: forks, snapshots, older versions, erasures, large payloads and
//! whatever a store does meanwhile.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use strata::{
    Compaction, Database, Direction, Durability, EntityRef, ErasedVersions, ErrorKind, NewTrace, Options,
    Reads, Retention, RunHandle, RunSpec, Snapshot, TraceContent, TraceEnd, TraceFilter, TraceId, Value,
    Version, Writes,
};

use crate::support::{Dice, number, options, seed};

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

/// The end of a trace as the run that gave it knows it, and those that inherited it from that.
#[derive(Clone)]
struct End {
    by: u64,
    number: u64,
    is_erased: Rc<Cell<bool>>,
}

/// A trace, with the end that this run knows of.
#[derive(Clone)]
struct PlainTrace {
    id: TraceId,
    parent: Option<TraceId>,
    kind: &'static str,
    number: u64,
    text: Rc<str>,
    ended: Option<End>,
    is_erased: Rc<Cell<bool>>,
}

impl PlainTrace {
    /// What it was at a version, whether it was open, and what is told of it.
    fn at(&self, version: u64) -> (TraceId, Option<TraceId>, bool, TraceContent) {
        let ended = self.ended.as_ref().filter(|end| end.by <= version);
        let result = ended.map(|end| ("result".to_owned(), Value::from(token(end.number))));
        let members = [("text".to_owned(), Value::from(&*self.text))].into_iter().chain(result);
        let kind = self.kind.to_owned();
        let content = match self.is_erased.get() || ended.is_some_and(|end| end.is_erased.get()) {
            true => TraceContent::Erased { kind },
            false => TraceContent::Custom { kind, content: Value::Object(members.collect()) },
        };
        (self.id, self.parent, ended.is_none(), content)
    }
}

fn token(number: u64) -> String {
    format!("token-{number:06};")
}

/// Which events and which traces a run had at a version.
#[derive(Debug, Clone, Copy, PartialEq)]
struct There {
    version: u64,
    first: u64,
    end: u64,
    first_trace: u64,
    trace_end: u64,
}

struct Run {
    handle: RunHandle,
    events: Vec<Plain>,
    /// How many of them it began with.
    inherited: u64,
    first: u64,
    kept: Option<u64>,
    traces: Vec<PlainTrace>,
    inherited_traces: u64,
    /// The version that it began as.
    began: u64,
    first_trace: u64,
    kept_traces: Option<u64>,
    versions: BTreeMap<u64, There>,
}

impl Run {
    fn there(&self) -> There {
        *self.versions.last_key_value().unwrap().1
    }

    /// What its newest commit left.
    fn note(&mut self) {
        let version = self.handle.info().unwrap().version.0;
        let (end, trace_end) = (self.events.len() as u64, self.traces.len() as u64);
        let there = There { version, first: self.first, end, first_trace: self.first_trace, trace_end };
        self.versions.insert(version, there);
    }

    fn trim(&mut self) {
        let kept = self.kept.unwrap_or(u64::MAX);
        self.first = self.first.max((self.events.len() as u64).saturating_sub(kept));
    }

    fn trim_traces(&mut self) {
        let kept = self.kept_traces.unwrap_or(u64::MAX);
        self.first_trace = self.first_trace.max((self.traces.len() as u64).saturating_sub(kept));
    }

    /// The places of the traces that are there.
    fn trace_places(&self) -> std::ops::Range<usize> {
        self.first_trace as usize..self.traces.len()
    }

    fn check_traces(&self, reads: &dyn Reads, there: There, dice: &mut Dice) {
        let There { version, first_trace: first, trace_end: end, .. } = there;
        assert_eq!(
            (reads.first_trace().unwrap().value, reads.trace_count(None).unwrap().value),
            (first, end)
        );
        let all = &self.traces[..end as usize];
        let kept = &all[first as usize..];
        let list = |filter: &TraceFilter| {
            let page = reads.trace_list(filter, None, 100_000, Direction::Forward).unwrap();
            let found = page.traces.into_iter();
            Vec::from_iter(found.map(|found| (found.id, found.parent, found.ended.is_none(), found.content)))
        };
        let expected = Vec::from_iter(kept.iter().map(|trace| trace.at(version)));
        let found = list(&TraceFilter::default());
        if let Some(place) =
            (0..found.len().max(kept.len())).find(|place| found.get(*place) != expected.get(*place))
        {
            let shown = |trace: Option<&_>| format!("{trace:?}").chars().take(300).collect::<String>();
            let (found, expected) = (shown(found.get(place)), shown(expected.get(place)));
            let there = there.first_trace + place as u64;
            panic!("trace {there} of {} at {version}: {found}, not {expected}", self.handle.id());
        }
        for kind in KINDS {
            let is_of = |trace: &&PlainTrace| trace.kind == kind;
            let count = reads.trace_count(Some(kind)).unwrap().value;
            assert_eq!(count, all.iter().filter(is_of).count() as u64);
            let wanted = TraceFilter { kind: Some(kind.into()), ..TraceFilter::default() };
            assert_eq!(list(&wanted).len(), kept.iter().filter(is_of).count());
        }
        if let Some(PlainTrace { id, .. }) = all.get(dice.below(end + 1) as usize) {
            let newest = kept.iter().rposition(|trace| trace.id == *id);
            match reads.trace_get(*id) {
                Ok(found) => assert_eq!(found.unwrap().content, kept[newest.unwrap()].at(version).3),
                Err(error) => {
                    assert!(newest.is_none() && error.kind() == ErrorKind::HistoryTrimmed, "{error}");
                }
            }
            let children = TraceFilter { parent: Some(*id), ..TraceFilter::default() };
            let expected = expected.iter().filter(|(_, parent, ..)| *parent == Some(*id));
            assert!(list(&children).iter().eq(expected));
            if let Some(root) = newest {
                let mut below = vec![*id];
                for trace in &kept[root + 1..] {
                    below.extend(trace.parent.filter(|parent| below.contains(parent)).map(|_| trace.id));
                }
                assert_eq!(reads.trace_tree(*id, 100_000).unwrap().nodes.len(), below.len());
            }
        }
        let (start, direction) = (dice.below(end + 1), Direction::Reverse);
        match reads.trace_list(&TraceFilter::default(), Some(start), 3, direction) {
            Ok(page) => {
                assert!(start >= first);
                let expected = kept[..(end.min(start + 1) - first) as usize].iter().rev().take(3);
                assert!(page.traces.iter().map(|trace| trace.id).eq(expected.map(|trace| trace.id)));
            }
            Err(error) => assert!(error.kind() == ErrorKind::HistoryTrimmed && start < first, "{error}"),
        }
    }

    fn check(&self, reads: &dyn Reads, there: There, dice: &mut Dice) {
        self.check_traces(reads, there, dice);
        let There { first, end, .. } = there;
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
            let text: Rc<str> = format!("{}{}", token(self.number), "x".repeat(size)).into();
            let kind = KINDS[self.dice.below(3) as usize];
            events.push(Plain { kind, number: self.number, text, is_erased: Rc::default() });
        }
        let run = &mut self.runs[at];
        run.handle.append_many(events.iter().map(|event| (event.kind, Value::from(&*event.text)))).unwrap();
        run.events.extend(events);
        run.trim();
        run.note();
    }

    fn text(&mut self, is_large: bool) -> (u64, Rc<str>) {
        self.number += 1;
        let size = if is_large && self.dice.below(8) == 0 { LARGE } else { self.dice.below(60) as usize };
        (self.number, format!("{}{}", token(self.number), "x".repeat(size)).into())
    }

    fn begin_traces(&mut self, at: usize) {
        let count_max = if self.dice.below(6) == 0 { 120 } else { 5 };
        let count = 1 + self.dice.below(count_max);
        let mut batch = self.runs[at].handle.batch();
        for _ in 0..count {
            let (number, text) = self.text(count < 10);
            let (run, dice) = (&self.runs[at], &mut self.dice);
            let mut id = TraceId::from_bytes(u128::from(number).to_be_bytes());
            // Sometimes one that was given before, to a trace that is gone.
            if let Some(gone) = run.traces.get(dice.below(run.first_trace + 1) as usize)
                && dice.below(5) == 0
                && !run.traces[run.trace_places()].iter().any(|trace| trace.id == gone.id)
            {
                id = gone.id;
            }
            let parent = run.traces.get(dice.below(2 * run.traces.len() as u64 + 1) as usize);
            let is_there = |id| run.traces[run.trace_places()].iter().any(|trace| trace.id == id);
            let parent = parent
                .map(|parent| parent.id)
                .filter(|parent| *parent != id && (run.first_trace > 0 || is_there(*parent)));
            let kind = KINDS[dice.below(3) as usize];
            let content = Value::from([("text", Value::from(&*text))]);
            let content = TraceContent::Custom { kind: kind.into(), content };
            batch.trace_begin(NewTrace { parent, ..NewTrace::new(id, content) }).unwrap();
            let plain = PlainTrace { id, parent, kind, number, text, ended: None, is_erased: Rc::default() };
            self.runs[at].traces.push(plain);
        }
        let run = &mut self.runs[at];
        run.handle.commit(batch).unwrap();
        run.trim_traces();
        run.note();
    }

    fn end_trace(&mut self, at: usize) {
        let (number, text) = (self.number + 1, token(self.number + 1));
        let run = &mut self.runs[at];
        let places = run.trace_places();
        if places.is_empty() {
            return;
        }
        let place = places.start + self.dice.below(places.len() as u64) as usize;
        let (id, is_open) = (run.traces[place].id, run.traces[place].ended.is_none());
        let ended = run.handle.trace_end(id, TraceEnd { result: Some(text.into()), ..TraceEnd::default() });
        assert_eq!(ended.is_ok(), is_open);
        if is_open {
            self.number = number;
            let version = run.handle.info().unwrap().version.0;
            run.traces[place].ended = Some(End { by: version, number, is_erased: Rc::default() });
            run.note();
        }
    }

    fn erase_trace(&mut self, at: usize) {
        let run = &mut self.runs[at];
        let count = run.traces.len() as u64 - run.inherited_traces;
        if count == 0 {
            return;
        }
        let place = run.inherited_traces + self.dice.below(count);
        let id = run.traces[place as usize].id;
        let newest = run.traces.iter().rposition(|trace| trace.id == id).unwrap() as u64;
        if run.first_trace <= newest && newest < run.inherited_traces {
            return;
        }
        let entity = EntityRef::trace(run.handle.id(), id);
        if run.handle.erase(&entity, ErasedVersions::All, "asked for").unwrap().is_some() {
            run.note();
        }
        // All that this run has written under the id, also the end of one that it had inherited.
        for (place, trace) in run.traces.iter().enumerate().filter(|(_, trace)| trace.id == id) {
            if place as u64 >= run.inherited_traces {
                trace.is_erased.set(true);
            }
            let own_end = trace.ended.iter().filter(|end| end.by > run.began);
            own_end.for_each(|end| end.is_erased.set(true));
        }
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
        let info = handle.info().unwrap();
        let [kept, kept_traces] = [info.event_retention, info.trace_retention].map(|said| match said {
            Some(Retention::KeepLast(count)) => Some(count),
            _ => None,
        });
        let was = |trace: &PlainTrace| {
            let ended = trace.ended.clone().filter(|end| end.by <= there.version);
            PlainTrace { ended, ..trace.clone() }
        };
        let mut fork = Run {
            handle,
            events: run.events[..there.end as usize].to_vec(),
            inherited: there.end,
            first: there.first,
            kept,
            traces: run.traces[..there.trace_end as usize].iter().map(was).collect(),
            inherited_traces: there.trace_end,
            began: there.version,
            first_trace: there.first_trace,
            kept_traces,
            versions: BTreeMap::new(),
        };
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
        match self.dice.below(38) {
            24..31 => self.begin_traces(at),
            31..34 => self.end_trace(at),
            34 => self.erase_trace(at),
            35..37 => {
                let kept = Some(1 + self.dice.below(50)).filter(|_| self.dice.below(5) > 0);
                let run = &mut self.runs[at];
                run.handle.set_trace_retention(kept.map(Retention::KeepLast)).unwrap();
                run.kept_traces = kept;
                run.trim_traces();
                run.note();
            }
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
            let mut run = Run {
                handle,
                events: Vec::new(),
                inherited: 0,
                first: 0,
                kept: None,
                traces: Vec::new(),
                inherited_traces: 0,
                began: 0,
                first_trace: 0,
                kept_traces: None,
                versions: BTreeMap::new(),
            };
            run.note();
            run
        });
        let (runs, snapshots) = (runs.collect(), Vec::new());
        let dice = Dice::new(dice.roll());
        let mut world =
            World { path: &path, options, database: Some(database), runs, snapshots, dice, number: 0 };
        (0..number("STRATA_STEPS", 220)).for_each(|_| world.step());
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
        for trace in runs.iter().flat_map(|run| &run.traces) {
            let is_erased = trace.is_erased.get();
            assert_eq!(found.contains(&trace.number), !is_erased, "token {} of a trace", trace.number);
            if let Some(end) = &trace.ended {
                let is_there = !is_erased && !end.is_erased.get();
                assert_eq!(found.contains(&end.number), is_there, "token {} of an end", end.number);
            }
        }
    }
}
