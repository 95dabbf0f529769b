//! A store of random work with everything in it, what each of its runs was at every version, and which file holds what.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strata::{
    Compaction, Database, Durability, NewTrace, Options, Reads, Retention, RunHandle, RunId, RunSpec,
    RunStatus, TraceContent, TraceEnd, TraceFilter, Value, Version, Writes, new_trace,
};
use strata_shards::record;
use strata_wal::StoreRemains;
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use super::dump::answered;
use crate::support::{Dice, TestClock, busy_options, options, sim_path};

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Closed,
    Killed,
    PowerCut,
}

/// What a run was.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By version, all that could be read.
    pub(crate) versions: BTreeMap<u64, String>,
    /// The versions at which it was deleted.
    pub(crate) deleted: BTreeSet<u64>,
    pub(crate) parent: Option<RunId>,
    is_imported: bool,
    is_open: bool,
}

impl Known {
    pub(crate) fn newest(&self) -> u64 {
        let newest = |versions: Option<&u64>| versions.copied().unwrap_or_default();
        newest(self.versions.keys().last()).max(newest(self.deleted.last()))
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.contains(&self.newest())
    }
}

pub(crate) struct Grown {
    pub(crate) disk: SimDisk,
    pub(crate) runs: BTreeMap<RunId, Known>,
    pub(crate) retention: Retention,
    pub(crate) story: String,
}

pub(crate) const SHARDS: usize = 2;

struct Growing {
    clock: TestClock,
    database: Database,
    dice: Dice,
    runs: BTreeMap<RunId, Known>,
    /// Archives of runs that were deleted then.
    archives: Vec<(RunId, PathBuf)>,
    checkpoints_until: u64, // steps
}

/// Grows a store of one seed.
pub(crate) fn grow(seed: u64, durability: Durability, ending: Ending, steps: u64) -> Grown {
    let disk = SimDisk::new(seed);
    let clock = TestClock::at(1_750_000_000_000_000);
    // Every other one makes few checkpoints, and none from its middle on, so that much of it is in the log alone.
    let busy = busy_options(durability, SHARDS);
    let options = match seed % 2 {
        0 => Options { checkpoint_log_size: 64 << 10, ..busy },
        _ => Options { retention: busy.retention, ..options(durability, SHARDS) },
    };
    let retention = options.retention;
    let storage = Some(Arc::new(disk.clone()) as _);
    let database = Database::start(Some(sim_path()), options, clock.clock(), storage).unwrap();
    let checkpoints_until = if seed.is_multiple_of(2) { steps } else { steps / 2 };
    let (dice, runs, archives) = (Dice::new(seed), BTreeMap::new(), Vec::new());
    let mut growing = Growing { clock, database, dice, runs, archives, checkpoints_until };
    for step in 0..steps {
        growing.step(step);
    }
    let Growing { database, runs, archives, .. } = growing;
    // What the store has imported is its own.
    archives.iter().for_each(|(_, path)| disk.remove(path).unwrap());
    let story = format!("seed {seed}, {durability:?}, {ending:?}, {steps} steps");
    let disk = match ending {
        Ending::Closed => {
            database.close().unwrap();
            disk.kill()
        }
        Ending::Killed | Ending::PowerCut => {
            if durability == Durability::Strict || ending == Ending::Killed {
                database.sync().unwrap();
            }
            let after = if ending == Ending::Killed { disk.kill() } else { disk.power_cycle(seed ^ 5) };
            drop(database);
            after
        }
    };
    Grown { disk, runs, retention, story }
}

impl Growing {
    fn step(&mut self, step: u64) {
        self.clock.advance(Duration::from_secs(1));
        let open: Vec<RunId> =
            self.runs.iter().filter(|(_, known)| known.is_open).map(|(run, _)| *run).collect();
        if open.len() < 3 || self.dice.below(40) == 0 {
            return self.create(step);
        }
        let id = open[self.dice.below(open.len() as u64) as usize];
        let run = self.database.run(id);
        match self.dice.below(60) {
            0 => self.delete(&run, step),
            1 => {
                run.end(RunStatus::Completed).unwrap();
                self.note(&run);
                self.runs.get_mut(&id).unwrap().is_open = false;
            }
            2 if step < self.checkpoints_until => drop(self.database.checkpoint().unwrap()),
            7 if step < self.checkpoints_until => {
                let compaction = if step.is_multiple_of(2) { Compaction::Full } else { Compaction::WalOnly };
                self.database.compact(compaction).unwrap();
            }
            3 | 4 => self.fork(&run),
            // A deleted run of the id is put away first, which takes two checkpoints.
            8 | 9 if step < self.checkpoints_until => self.import(step),
            5 => {
                run.set_tags(["a", "b"]).unwrap();
                self.note(&run);
                run.set_metadata(Value::from([("$bytes", Value::Bytes(vec![1, step as u8]))])).unwrap();
                self.note(&run);
            }
            6 => {
                run.set_retention(Retention::KeepLast(2)).unwrap();
                self.note(&run);
            }
            _ => {
                self.change(&run);
                self.note(&run);
            }
        }
    }

    fn create(&mut self, step: u64) {
        if self.dice.below(4) == 0 {
            // Nothing of this one is ever on disk.
            let spec = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::default() };
            self.database.create_run(spec).unwrap().put("only", "in memory").unwrap();
        }
        // A name whose run was deleted goes on with its versions.
        let name = format!("run-{}", self.dice.below(6));
        let spec = match self.dice.below(3) {
            0 => {
                RunSpec { tags: vec!["free".into()], metadata: Value::Int(step as i64), ..RunSpec::default() }
            }
            _ => RunSpec { namespace: strata::Namespace::new("t", "", "agent"), ..RunSpec::named(name) },
        };
        // One of this name may have finished.
        if let Ok(run) = self.database.create_run(spec) {
            self.note(&run);
        }
    }

    fn fork(&mut self, run: &RunHandle) {
        let known: Vec<u64> = self.runs[&run.id()].versions.keys().copied().collect();
        let version = known[self.dice.below(known.len() as u64) as usize];
        let forked = match self.dice.below(2) {
            0 => run.fork(),
            // It may be trimmed.
            _ => run.fork_at(Version(version)),
        };
        if let Ok(fork) = forked {
            self.note(&fork);
            self.runs.get_mut(&fork.id()).unwrap().parent = Some(run.id());
        }
    }

    fn delete(&mut self, run: &RunHandle, step: u64) {
        if self.dice.below(2) == 0 {
            self.export(run, step);
        }
        let version = run.delete_run().unwrap().version.0;
        let known = self.runs.get_mut(&run.id()).unwrap();
        known.deleted.insert(version);
        known.is_open = false;
    }

    fn export(&mut self, run: &RunHandle, step: u64) {
        let path = sim_path().with_file_name(format!("{step}.arc"));
        run.export(&path).unwrap();
        self.archives.push((run.id(), path));
    }

    /// Imports a run, now and then several times and in place of one that began anew.
    fn import(&mut self, step: u64) {
        let Some(last) = (self.archives.len() as u64).checked_sub(1) else { return };
        let (id, path) = self.archives[self.dice.below(last + 1) as usize].clone();
        let run = self.database.run(id);
        if self.runs[&id].is_open {
            self.delete(&run, step);
        }
        // Forks of the deleted run may be there, or it has ended.
        if self.database.import(&path).is_ok() {
            self.note(&run);
            self.runs.get_mut(&id).unwrap().is_imported = true;
        }
    }

    fn note(&mut self, run: &RunHandle) {
        let version = run.info().unwrap().version.0;
        let known = self.runs.entry(run.id()).or_default();
        known.versions.insert(version, answered(run, self.clock.now()));
        known.is_open = true;
    }

    fn change(&mut self, run: &RunHandle) {
        let (name, value) = (format!("name/{}", self.dice.below(9)), self.dice.below(1_000) as i64);
        match self.dice.below(14) {
            0 | 1 => drop(run.put(&name, some_value(value)).unwrap()),
            2..=4 => drop(run.put(&name, Value::Bytes(vec![value as u8; 20_000])).unwrap()),
            5 => drop(run.put_with_ttl(&name, value, Duration::from_secs(30 * 86_400)).unwrap()),
            6 => drop(run.delete(&name).unwrap()),
            7 => drop(run.append("step", some_value(value)).unwrap()),
            8 => drop(run.append_many([("many", value), ("step", -value)]).unwrap()),
            9 => drop(run.cell_set(&name, some_value(value)).unwrap()),
            10 | 11 => match run.json_get(&name, "").unwrap().is_some() {
                true if value % 4 == 0 => drop(run.json_destroy(&name).unwrap()),
                true => drop(run.json_set(&name, "/at", value).unwrap()),
                false => drop(run.json_create(&name, Value::from([("at", 0.into())])).unwrap()),
            },
            12 => {
                let content =
                    TraceContent::Thought { text: format!("thought {value}"), confidence: Some(0.5) };
                let trace =
                    NewTrace { tags: vec!["plan".into()], metadata: some_json(value), ..new_trace(content) };
                run.trace_begin(trace).unwrap();
            }
            _ => {
                let filter = TraceFilter { is_open: Some(true), ..TraceFilter::default() };
                let open = run.trace_list(&filter, None, 100, strata::Direction::Forward).unwrap().traces;
                if let Some(trace) = open.get(value as usize % open.len().max(1)) {
                    run.trace_end(trace.id, TraceEnd::default()).unwrap();
                }
            }
        }
    }
}

/// Values of every kind, those that JSON lacks and those that look like a tag among them.
fn some_value(number: i64) -> Value {
    match number % 9 {
        0 => Value::Null,
        1 => Value::Int(i64::MIN + number),
        2 => Value::Float([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, 1e-300][number as usize % 5]),
        3 => Value::Bytes(vec![number as u8; number as usize % 7]),
        4 => Value::from([("$bytes", Value::from("00"))]),
        5 => Value::from([("$object", Value::from([("$int", Value::Bytes(vec![7]))]))]),
        6 => Value::Array(vec![Value::Bool(true), Value::Int(i64::MAX), Value::from("a\u{1}\"\u{10ffff}")]),
        7 => Value::from([("z", Value::Int(1)), ("a", Value::Float(-2.5)), ("$int", Value::from("9"))]),
        _ => some_json(number),
    }
}

fn some_json(number: i64) -> Value {
    Value::from([("number", Value::Int(number)), ("list", Value::Array(vec![Value::Int(1 << 60)]))])
}

impl Grown {
    /// By file of a log, the runs of whose records it holds some.
    pub(crate) fn holders(&self) -> BTreeMap<PathBuf, BTreeSet<RunId>> {
        let mut holders = BTreeMap::new();
        let store = StoreRemains::open(Arc::new(self.disk.clone()), &sim_path()).unwrap();
        for source in store.logs() {
            let mut segments: Vec<(u64, u64, PathBuf)> = Vec::new();
            for file in self.disk.files().into_iter().filter(|file| log_of(file) == Some(source.log())) {
                let bytes = self.disk.bytes(&file);
                if bytes.is_empty() {
                    // It was about to be prepared when the store ended.
                    continue;
                }
                let field = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
                match file.extension().and_then(OsStr::to_str) {
                    Some("seg") => segments.push((field(56), field(56) + field(48), file.clone())),
                    // What is sorted counts, and not the segments that it came from.
                    Some("his") => segments.insert(0, (0, field(48), file.clone())),
                    Some("arc") => {
                        let imported = self.runs.iter().filter(|(_, known)| known.is_imported);
                        holders.insert(file, imported.map(|(run, _)| *run).collect());
                        continue;
                    }
                    _ => continue,
                }
                holders.insert(file, BTreeSet::new());
            }
            source.read_remains(&mut |_, found| {
                let run = record::decode_head(found.body).unwrap().run;
                let holds = |segment: &&(u64, u64, PathBuf)| (segment.0..segment.1).contains(&found.lsn.0);
                let (_, _, file) = segments.iter().find(holds).unwrap();
                holders.get_mut(file).unwrap().insert(run);
            });
        }
        holders
    }

    /// A run and those it descends from.
    pub(crate) fn line_of(&self, run: RunId) -> BTreeSet<RunId> {
        let mut line = BTreeSet::from([run]);
        let mut next = self.runs[&run].parent;
        while let Some(parent) = next {
            line.insert(parent);
            next = self.runs[&parent].parent;
        }
        line
    }
}

/// The log that a file belongs to, by its name.
pub(crate) fn log_of(file: &Path) -> Option<u32> {
    file.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}
