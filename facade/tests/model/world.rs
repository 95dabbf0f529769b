//! A store beside the model of its runs: what is asked of the one is decided by the other, and compared at once.

use std::sync::Arc;

use strata::{
    Commit, Database, Durability, Effect, Error, ErrorKind, Namespace, OperationId, Result, RunHandle, RunId,
    RunSpec, RunStatus, Snapshot, Stamp, Timestamp, Version,
};
use strata_wal::sim::SimDisk;

use crate::answer::Eye;
use crate::chance::Chance;
use crate::journal::Journal;
use crate::read::Read;
use crate::request::{Answered, Request};
use crate::state::{At, Refusal, State};
use crate::support::{TestClock, busy_options, sim_path};

pub(crate) const NAMES: [&str; 3] = ["red", "green", "blue"];
const SHARDS: usize = 2;
const DAWN: u64 = 1_750_000_000_000_000;

/// The store and everything that is known of it.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) journal: Journal,
    pub(crate) disk: SimDisk,
    pub(crate) durability: Durability,
    pub(crate) clock: TestClock,
    pub(crate) database: Option<Database>,
    pub(crate) runs: Vec<Run>,
    /// How many shards the store has.
    pub(crate) shards: usize,
    pub(crate) boot: u64,
    pub(crate) unclean_through: u64,
    pub(crate) snapshots: Vec<Held>,
    pub(crate) sent: Vec<Sent>,
    /// The disk fails at some call from now on.
    pub(crate) is_failing: bool,
}

/// One run at every version that recovery may lead back to.
pub(crate) struct Run {
    pub(crate) id: RunId,
    /// Consecutive versions; the last one is the present.
    pub(crate) states: Vec<State>,
    /// The newest version that a power cut cannot take.
    pub(crate) durable: u64,
    /// What a write of unknown outcome may have led to.
    pub(crate) maybe: Vec<State>,
}

/// A snapshot that is held open, with the model's copy.
pub(crate) struct Held {
    pub(crate) run: usize,
    pub(crate) snapshot: Snapshot,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
}

/// A write that was sent with an operation id, to be sent again.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) run: usize,
    pub(crate) id: OperationId,
    pub(crate) request: Request,
    pub(crate) strict: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut chance = Chance::new(seed);
        let durability = if chance.one_in(2) { Durability::Strict } else { Durability::Buffered };
        let (disk, clock) = (SimDisk::new(chance.roll()), TestClock::at(DAWN));
        let database = open(&disk, &clock, durability, SHARDS).expect("an empty disk takes a store");
        let run = |name: &&str| {
            let id = RunId::named(&Namespace::default(), name);
            Run { id, states: vec![State::missing(id)], durable: 0, maybe: Vec::new() }
        };
        World {
            chance,
            journal: Journal::new(seed, durability),
            disk,
            durability,
            clock,
            database: Some(database),
            runs: NAMES.iter().map(run).collect(),
            boot: 1,
            shards: SHARDS,
            unclean_through: 0,
            snapshots: Vec::new(),
            sent: Vec::new(),
            is_failing: false,
        }
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("a store is open between its ends")
    }

    pub(crate) fn handle(&self, run: usize) -> RunHandle {
        self.database().run(self.runs[run].id)
    }

    pub(crate) fn state(&self, run: usize) -> &State {
        self.runs[run].states.last().expect("a run has a present")
    }

    pub(crate) fn now(&self, run: usize) -> Timestamp {
        Timestamp(self.clock.now()).max(self.state(run).stamp.timestamp)
    }

    pub(crate) fn eye(&self, now: Timestamp) -> Eye {
        Eye { now, unclean_through: self.unclean_through }
    }

    /// The next commit of a run.
    pub(crate) fn next(&self, run: usize) -> At {
        let version = Version(self.state(run).version() + 1);
        At { stamp: Stamp { version, timestamp: self.now(run) }, boot: self.boot }
    }

    /// Takes note that a run is at a version: the cleaner may have made a commit of its own.
    pub(crate) fn align(&mut self, run: usize, version: u64) {
        if version == self.state(run).version() + 1 {
            let now = self.now(run);
            assert!(self.state(run).has_expired(now), "version {version} is nobody's commit");
            let cleaned = self.cleaned(run);
            self.runs[run].states.push(cleaned);
        }
        assert_eq!(version, self.state(run).version(), "the version of {}", NAMES[run]);
    }

    /// The run as the cleaner would leave it.
    pub(crate) fn cleaned(&self, run: usize) -> State {
        let mut cleaned = self.state(run).clone();
        cleaned.clean(self.next(run).stamp);
        cleaned
    }

    /// Waits until the cleaner has been there, or has told by staying away that it waits for a later time.
    pub(crate) fn settle(&mut self, run: usize) {
        // A turn of a shard takes no more than 256 messages, and cleans at its end: after two of them it has had its
        // chance. On a busy host, where client and shard take turns on one CPU, turns are that long.
        for _ in 0..520 {
            if !self.state(run).has_expired(self.now(run)) {
                return;
            }
            let info = self.database().get_run(self.runs[run].id).expect("a run can be asked for");
            self.align(run, info.expect("a run with keys exists").version.0);
        }
    }

    /// Asks for something, and compares what becomes of it.
    pub(crate) fn submit(&mut self, run: usize, request: &Request, id: Option<OperationId>, strict: bool) {
        let handle = self.handle(run);
        let handle = id.map_or(handle.clone(), |id| handle.with_operation_id(id));
        let handle = if strict { handle.with_durability(Durability::Strict) } else { handle };
        let durability = if strict { Durability::Strict } else { self.durability };
        self.hear(run, request, request.send(&handle), id, durability);
    }

    /// Compares the answer to a request with what had to become of it.
    pub(crate) fn hear(
        &mut self,
        run: usize,
        request: &Request,
        answered: Result<Answered>,
        id: Option<OperationId>,
        durability: Durability,
    ) {
        if let Some((commit, effects)) = id.and_then(|id| self.state(run).receipt(id)).cloned() {
            return match answered {
                Ok(answered) => request.expect(&answered, Some(commit), &effects),
                Err(error) => assert!(self.is_excused(&error), "sent again: {error:?}"),
            };
        }
        if let Ok(Answered { commit: Some(commit), .. }) = &answered {
            self.align(run, commit.version.0 - 1);
        }
        let mut next = self.state(run).clone();
        let at = self.next(run);
        let decided = next.apply_all(request.writes(), at);
        match (answered, decided) {
            (Ok(answered), Ok((changed, effects))) => {
                let Stamp { version, timestamp } = at.stamp;
                let commit = changed.then_some(Commit { version, timestamp, durability });
                request.expect(&answered, commit, &effects);
                if let Some(commit) = commit {
                    self.commit(run, next, commit, id, effects);
                }
            }
            (Err(error), decided) if self.is_excused(&error) => {
                if let (ErrorKind::LogFailed, Ok((true, effects))) = (error.kind(), decided) {
                    self.leave_open(run, request, id, effects, durability);
                }
            }
            (Err(error), Err(refusal)) if is_refusal(&error, &refusal) => {}
            (Err(error), decided) if self.state(run).has_expired(self.now(run)) => {
                // The cleaner has been there before the answer, whose commit would have had the number behind.
                let mut cleaned = self.cleaned(run);
                self.runs[run].states.push(cleaned.clone());
                match cleaned.apply_all(request.writes(), self.next(run)) {
                    Err(refusal) => expect_refusal(&error, &refusal),
                    Ok(_) => panic!("{request:?} was to be done: {error:?}, or refused: {decided:?}"),
                }
            }
            (Err(error), Err(refusal)) => expect_refusal(&error, &refusal),
            (Ok(answered), Err(refusal)) => panic!("{refusal:?} was due, it is {:?}", answered.commit),
            (Err(error), Ok(_)) => panic!("{request:?} was to be done: {error:?}"),
        }
    }

    /// Whether a failing disk explains an error.
    pub(crate) fn is_excused(&self, error: &Error) -> bool {
        self.is_failing && matches!(error.kind(), ErrorKind::LogFailed | ErrorKind::Full | ErrorKind::Io)
    }

    /// The outcome of a write is unknown: both are kept.
    fn leave_open(
        &mut self,
        run: usize,
        request: &Request,
        id: Option<OperationId>,
        effects: Vec<Effect>,
        durability: Durability,
    ) {
        if !self.runs[run].maybe.is_empty() {
            return;
        }
        let (at, mut state) = (self.next(run), self.state(run).clone());
        let _ = state.apply_all(request.writes(), at);
        if let Some(id) = id {
            let Stamp { version, timestamp } = at.stamp;
            state.receipts.insert(id.0, (Commit { version, timestamp, durability }, effects));
        }
        self.runs[run].maybe.push(state);
    }

    /// Takes note of a commit.
    pub(crate) fn commit(
        &mut self,
        run: usize,
        mut next: State,
        commit: Commit,
        id: Option<OperationId>,
        effects: Vec<Effect>,
    ) {
        if let Some(id) = id {
            next.receipts.insert(id.0, (commit, effects));
        }
        self.runs[run].states.push(next);
        if commit.durability == Durability::Strict {
            self.shard_durable(run);
        }
    }

    /// A strict commit makes the whole log before it durable, whichever runs are in it.
    pub(crate) fn shard_durable(&mut self, run: usize) {
        let shard = self.database().shard_of(self.runs[run].id);
        for other in 0..self.runs.len() {
            if self.database().shard_of(self.runs[other].id) == shard {
                self.runs[other].durable = self.state(other).version();
            }
        }
    }

    pub(crate) fn all_durable(&mut self) {
        for run in 0..self.runs.len() {
            self.runs[run].durable = self.state(run).version();
        }
    }

    /// Creates a run, or is told that it is there.
    pub(crate) fn create(&mut self, run: usize) {
        let created = self.database().create_run(RunSpec::named(NAMES[run]));
        match created {
            Ok(_) => {
                assert!(self.state(run).meta.is_none(), "{} was there already", NAMES[run]);
                let (at, mut next) = (self.next(run), self.state(run).clone());
                next.create(NAMES[run], at);
                let Stamp { version, timestamp } = at.stamp;
                let commit = Commit { version, timestamp, durability: self.durability };
                self.commit(run, next, commit, None, Vec::new());
            }
            Err(error) => {
                assert!(self.state(run).meta.is_some(), "{} was to be created: {error:?}", NAMES[run]);
                expect_refusal(&error, &self.state(run).of_run(ErrorKind::AlreadyExists));
            }
        }
    }

    /// Begins a run: takes it up again where it is unfinished, or creates it.
    pub(crate) fn begin(&mut self, run: usize) {
        self.settle(run);
        let begun = self.database().begin_run(RunSpec::named(NAMES[run])).map(drop);
        let (at, mut next) = (self.next(run), self.state(run).clone());
        let changed = match &mut next.meta {
            None => {
                next.create(NAMES[run], at);
                true
            }
            Some(meta) if !meta.status.is_finished() => {
                let is_begun = meta.status == RunStatus::Active && meta.boot == self.boot;
                (meta.status, meta.boot) = (RunStatus::Active, self.boot);
                !is_begun
            }
            Some(_) => {
                let error = begun.expect_err("a run that has finished is not begun again");
                return expect_refusal(&error, &next.of_run(ErrorKind::RunClosed));
            }
        };
        begun.expect("a run that has not finished is begun");
        if changed {
            let Stamp { version, timestamp } = at.stamp;
            next.stamp = at.stamp;
            let commit = Commit { version, timestamp, durability: self.durability };
            self.commit(run, next, commit, None, Vec::new());
        }
    }

    /// Deletes a run, or is told that it is not there.
    pub(crate) fn destroy(&mut self, run: usize) {
        match self.handle(run).delete_run() {
            Ok(commit) => {
                self.align(run, commit.version.0 - 1);
                let (at, mut next) = (self.next(run), self.state(run).clone());
                next.destroy(at.stamp);
                assert_eq!((commit.version, commit.timestamp), (at.stamp.version, at.stamp.timestamp));
                self.commit(run, next, commit, None, Vec::new());
            }
            Err(error) => expect_refusal(&error, &self.state(run).of_run(ErrorKind::NotFound)),
        }
    }

    /// Asks a run for something, and compares the answer.
    pub(crate) fn look(&mut self, run: usize, read: &Read) {
        let eye = self.eye(self.now(run));
        let (found, due) = (read.ask(&self.handle(run)), self.state(run).answer(read, eye));
        match (found, due) {
            (Ok(found), Ok(due)) => {
                if found != due && self.state(run).has_expired(eye.now) {
                    // The cleaner has been there before the answer.
                    let version = self.state(run).version() + 1;
                    self.align(run, version);
                }
                let due = self.state(run).answer(read, eye).expect("cleaning leaves a run there");
                assert_eq!(found, due, "{} is asked for {read:?}", NAMES[run]);
            }
            (Err(error), Err(refusal)) => expect_refusal(&error, &refusal),
            (found, due) => panic!("{read:?}: {found:?}, it should be {due:?}"),
        }
    }
}

pub(crate) fn open(
    disk: &SimDisk,
    clock: &TestClock,
    durability: Durability,
    shards: usize,
) -> Result<Database> {
    let storage = Arc::new(disk.clone());
    Database::start(Some(sim_path()), busy_options(durability, shards), clock.clock(), Some(storage))
}

fn is_refusal(error: &Error, refusal: &Refusal) -> bool {
    (error.kind(), error.entity()) == (refusal.kind, Some(&refusal.entity))
}

pub(crate) fn expect_refusal(error: &Error, refusal: &Refusal) {
    let found = (error.kind(), error.entity());
    assert_eq!(found, (refusal.kind, Some(&refusal.entity)), "the refusal: {error}");
}
