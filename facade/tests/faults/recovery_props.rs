//! Recovery over random histories: deterministic, idempotent, prefix-consistent per run.
//!
//! A history is written to a simulated disk next to a plain model of each run; then the process or
//! the power is lost at its end, once or in the middle as well. A failure prints the shrunken history.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use strata::{Database, Durability, ErrorKind, Reads, RunSpec};
use strata_wal::sim::SimDisk;

use crate::support::model::{Decided, Op, State, observe, perform};
use crate::support::{busy_options, is_segment, number, open_on, script};

const RUNS: [&str; 3] = ["red", "green", "blue"];
const SHARDS: usize = 2;

/// One step of a history.
#[derive(Clone, Debug)]
enum Act {
    Write { run: usize, op: Op, strict: bool },
    Sync,
    Close,
    Kill,
    PowerCut(u64),
}

/// One run as the model knows it: its state at every version, and what it was promised.
#[derive(Clone, Debug)]
struct Model {
    states: Vec<State>,
    durable: usize,
}

fn simple_op() -> impl Strategy<Value = Op> {
    let key = 0..6u8;
    prop_oneof![
        6 => (key.clone(), any::<u16>()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => key.clone().prop_map(Op::Delete),
        1 => (0..3u8).prop_map(Op::DeletePrefix),
        3 => (key, any::<i8>()).prop_map(|(key, by)| Op::Increment(key, by)),
        4 => (0..3u8, any::<u16>()).prop_map(|(kind, payload)| Op::Append(kind, payload)),
        3 => cell_op(),
        4 => json_op(),
        2 => (0..12u8).prop_map(Op::TraceBegin),
        2 => (0..12u8).prop_map(Op::TraceEnd),
    ]
}

fn cell_op() -> impl Strategy<Value = Op> {
    let cell = 0..3u8;
    prop_oneof![
        2 => (cell.clone(), any::<u16>()).prop_map(|(cell, value)| Op::CellInit(cell, value)),
        2 => (cell.clone(), any::<u16>()).prop_map(|(cell, value)| Op::CellSet(cell, value)),
        1 => cell.prop_map(Op::CellDelete),
    ]
}

fn json_op() -> impl Strategy<Value = Op> {
    let name = 0..2u8;
    prop_oneof![
        2 => name.clone().prop_map(Op::JsonCreate),
        3 => (name.clone(), 0..3u8, any::<u16>()).prop_map(|(name, member, value)| Op::JsonSet(name, member, value)),
        4 => (name.clone(), any::<u16>()).prop_map(|(name, value)| Op::JsonAppend(name, value)),
        1 => name.prop_map(Op::JsonDestroy),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => simple_op(),
        3 => prop::collection::vec(simple_op(), 0..6).prop_map(Op::Batch),
        3 => prop::collection::vec(simple_op(), 0..6).prop_map(Op::Transaction),
        1 => prop::collection::vec(0..4u8, 0..3).prop_map(Op::Tags),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => Just(Op::DeleteRun),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        30 => (0..RUNS.len(), op(), prop::bool::weighted(0.15))
            .prop_map(|(run, op, strict)| Act::Write { run, op, strict }),
        2 => Just(Act::Sync),
        1 => Just(Act::Close),
        1 => Just(Act::Kill),
        1 => any::<u64>().prop_map(Act::PowerCut),
    ]
}

fn config() -> ProptestConfig {
    let cases = number("STRATA_CASES", 48) as u32;
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_recovered_of_each_run_is_a_prefix_that_holds_every_promise(
        acts in prop::collection::vec(act(), 1..70),
        strict_store in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut story = Story::new(seed, strict_store);
        for act in &acts {
            story.act(act);
        }
        story.act(&Act::PowerCut(seed));
    }

    #[test]
    fn the_same_image_is_always_recovered_to_the_same_state_and_the_same_bytes(
        acts in prop::collection::vec(act(), 1..60),
        strict_store in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut story = Story::new(seed, strict_store);
        for act in &acts {
            story.act(act);
        }
        let crashed = story.disk.clone();
        let database = story.database.take();
        let first = recovered(&crashed.power_cycle(seed), story.durability);
        let second = recovered(&crashed.power_cycle(seed), story.durability);
        drop(database);
        prop_assert_eq!(&first.states, &second.states, "deterministic");
        expect_same_bytes(&first.bytes, &second.bytes);
        // The process dies right after it has recovered; then the power goes, after all that recovery kept was
        // synced.
        for again in [first.disk.kill(), first.disk.power_cycle(!seed)] {
            let third = recovered(&again, story.durability);
            prop_assert_eq!(&first.states, &third.states, "idempotent");
            prop_assert_eq!(third.bytes_cut, 0, "nothing is left to cut");
            expect_same_bytes(&first.bytes, &third.bytes);
        }
    }
}

/// A store, its disk, and what the model says of it.
struct Story {
    disk: SimDisk,
    durability: Durability,
    database: Option<Database>,
    models: Vec<Model>,
}

impl Story {
    fn new(seed: u64, strict: bool) -> Story {
        let durability = if strict { Durability::Strict } else { Durability::Buffered };
        let disk = SimDisk::new(seed);
        let database = Some(open_on(&disk, busy_options(durability, SHARDS)).unwrap());
        let models = vec![Model { states: vec![State::default()], durable: 0 }; RUNS.len()];
        Story { disk, durability, database, models }
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("a story's store is open between acts")
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Write { run, op, strict } => self.write(*run, op, *strict),
            Act::Sync => {
                self.database().sync().unwrap();
                self.all_durable();
            }
            Act::Close => {
                self.database.take().unwrap().close().unwrap();
                self.all_durable();
                self.reopen(true);
            }
            Act::Kill => {
                let after = self.disk.kill();
                self.end(after);
                self.reopen(true);
            }
            Act::PowerCut(seed) => {
                let after = self.disk.power_cycle(*seed);
                self.end(after);
                self.reopen(false);
            }
        }
    }

    /// The old world is over before its last threads notice.
    fn end(&mut self, after: SimDisk) {
        drop(self.database.take());
        self.disk = after;
    }

    /// Opens and compares; `whole` when nothing acknowledged may be missing.
    fn reopen(&mut self, whole: bool) {
        self.database = Some(open_on(&self.disk, busy_options(self.durability, SHARDS)).unwrap());
        let boot = self.database().recovery().boot;
        for (run, name) in RUNS.into_iter().enumerate() {
            let (version, state) = observe(self.database(), name);
            // A run that does not exist tells its version when it is created.
            let version = version.unwrap_or_else(|| {
                let created = self.database().create_run(RunSpec::named(name)).unwrap();
                created.info().unwrap().version.0 as usize - 1
            });
            let model = &mut self.models[run];
            let newest = model.states.len() - 1;
            let least = if whole { newest } else { model.durable };
            assert!((least..=newest).contains(&version), "{} is at {version} of {least}..={newest}", name);
            assert_eq!(state, model.states[version], "{} at {version}", name);
            // What recovery serves it has made durable.
            model.states.truncate(version + 1);
            model.durable = version;
            if !state.exists {
                model.states.push(State::created(boot));
            }
        }
        if self.durability == Durability::Strict {
            self.all_durable();
        }
    }

    fn all_durable(&mut self) {
        self.models.iter_mut().for_each(|model| model.durable = model.states.len() - 1);
    }

    fn write(&mut self, run: usize, op: &Op, strict: bool) {
        let newest = self.models[run].states.last().expect("a run has a state from the start").clone();
        let version = self.models[run].states.len() as u64;
        let boot = self.database().recovery().boot;
        let mut next = newest.clone();
        let decided = if newest.exists {
            next.apply(op, version, boot)
        } else {
            next = State::created(boot);
            Decided::Commit
        };
        let handle = self.database().run(script::id_of(RUNS[run]));
        let handle = if strict { handle.with_durability(Durability::Strict) } else { handle };
        let written = if newest.exists {
            perform(&handle, op)
        } else {
            self.database().create_run(RunSpec::named(RUNS[run])).map(|_| ())
        };
        match written {
            Ok(()) => assert_ne!(decided, Decided::Refused, "{op:?} was to be refused"),
            Err(error) => {
                let refusals = [
                    ErrorKind::RunClosed,
                    ErrorKind::WrongType,
                    ErrorKind::InvalidArgument,
                    ErrorKind::AlreadyExists,
                    ErrorKind::NotFound,
                ];
                let is_refusal = refusals.contains(&error.kind());
                assert!(decided == Decided::Refused && is_refusal, "{op:?}: {error:?}");
            }
        }
        if decided == Decided::Commit {
            self.models[run].states.push(next);
            // A creation is sent without a call's own durability.
            if self.durability == Durability::Strict || (strict && newest.exists) {
                self.shard_durable(run);
            }
        }
    }

    /// A strict commit makes the whole log before it durable.
    fn shard_durable(&mut self, run: usize) {
        let shard = self.database().shard_of(script::id_of(RUNS[run]));
        for (other, name) in RUNS.into_iter().enumerate() {
            if self.database().shard_of(script::id_of(name)) == shard {
                self.models[other].durable = self.models[other].states.len() - 1;
            }
        }
    }
}

/// What one recovery made of an image.
struct Recovered {
    disk: SimDisk,
    states: Vec<(Option<usize>, State)>,
    bytes: BTreeMap<PathBuf, Vec<u8>>,
    bytes_cut: u64,
}

fn recovered(disk: &SimDisk, durability: Durability) -> Recovered {
    let database = open_on(disk, busy_options(durability, SHARDS)).unwrap();
    let states = RUNS.iter().map(|name| observe(&database, name)).collect();
    let segments = disk.files().into_iter().filter(|file| is_segment(file));
    let bytes = segments.map(|file| (file.clone(), disk.bytes(&file))).collect();
    let bytes_cut = database.recovery().bytes_cut();
    // The process ends here, without a close.
    let disk_after = disk.kill();
    drop(database);
    Recovered { disk: disk_after, states, bytes, bytes_cut }
}

/// Segments that both know are equal; one that only one of them has was prepared ahead and is empty.
fn expect_same_bytes(first: &BTreeMap<PathBuf, Vec<u8>>, second: &BTreeMap<PathBuf, Vec<u8>>) {
    for (file, bytes) in first.iter().chain(second) {
        match (first.get(file), second.get(file)) {
            (Some(one), Some(other)) => {
                assert!(one == other || is_empty(one) && is_empty(other), "{}", file.display())
            }
            _ => assert!(is_empty(bytes), "{} is in one of them only, and not empty", file.display()),
        }
    }
}

fn is_empty(segment: &[u8]) -> bool {
    segment.iter().skip(4096).all(|byte| *byte == 0)
}
