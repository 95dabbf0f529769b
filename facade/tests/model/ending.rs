//! How a store ends and comes back: closed, killed, without power, with a log that failed.

use strata::{Durability, ErrorKind, Reads, RunSpec, ShardState};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::comparison::Comparison;
use crate::state::State;
use crate::world::{NAMES, World, open};

/// What an ending leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    /// Everything that was acknowledged.
    Everything,
    /// What was made durable, and perhaps more.
    Durable,
}

impl World {
    /// Closes in order.
    pub(crate) fn close(&mut self) {
        self.snapshots.clear();
        self.foresee_cleaning();
        self.database
            .take()
            .expect("a store is open between its ends")
            .close()
            .expect("a sound store closes");
        self.reopen(Kept::Everything, true);
    }

    /// The process dies; the kernel has everything.
    pub(crate) fn kill(&mut self) {
        let after = self.disk.kill();
        self.end(after);
        self.reopen(Kept::Everything, false);
    }

    pub(crate) fn cut_power(&mut self) {
        let after = self.disk.power_cycle(self.chance.roll());
        self.end(after);
        let kept = if self.durability == Durability::Strict { Kept::Everything } else { Kept::Durable };
        self.reopen(kept, false);
    }

    /// One call of the disk fails, or all from there on; then the store is restarted in one way or another.
    pub(crate) fn fail_log(&mut self) {
        let at = self.disk.points() + 1 + self.chance.below(6);
        let kind = if self.chance.one_in(3) { FaultKind::Torn } else { FaultKind::Error };
        let faults = if self.chance.one_in(2) { Faults::forever(at, kind) } else { Faults::once(at, kind) };
        self.journal.detail(&faults);
        (0..NAMES.len()).for_each(|run| self.settle(run));
        self.disk.set_faults(faults);
        self.is_failing = true;
        for _ in 0..4 + self.chance.below(12) {
            let run = self.chance.below(3) as usize;
            self.write_something(run);
        }
        // Runs that have left memory are read from the disk.
        self.disk.set_faults(Faults::none());
        for (run, name) in NAMES.into_iter().enumerate() {
            let wrong = self.difference(run);
            assert_eq!(wrong, None, "reads go on at what was visible in {name}");
        }
        self.is_failing = false;
        if self.chance.one_in(3) && self.restart_failed() {
            return;
        }
        let after =
            if self.chance.one_in(2) { self.disk.kill() } else { self.disk.power_cycle(self.chance.roll()) };
        self.end(after);
        // What only the kernel had may be lost to the failed sync.
        self.reopen(Kept::Durable, false);
    }

    /// Recovers the shards whose log has failed, while the store is open; `false` when none has.
    fn restart_failed(&mut self) -> bool {
        let stats = self.database().stats().expect("shards answer whatever their disk does");
        let failed: Vec<bool> =
            stats.shards.iter().map(|shard| shard.state == ShardState::LogFailed).collect();
        if !failed.contains(&true) {
            return false;
        }
        self.snapshots.clear();
        self.jump(20_000);
        for shard in (0..failed.len()).filter(|shard| failed[*shard]) {
            match self.database().restart_shard(shard) {
                Ok(_) => {}
                // The failure was of MANIFEST, which only opening the store anew brings back.
                Err(error) if error.kind() == ErrorKind::LogFailed => return false,
                Err(error) => panic!("a failed shard is restarted: {error}"),
            }
        }
        for run in 0..NAMES.len() {
            if failed[self.database().shard_of(self.runs[run].id)] {
                self.recover(run, Kept::Durable);
            }
        }
        true
    }

    /// The old world is over before its last threads notice.
    fn end(&mut self, after: SimDisk) {
        self.foresee_cleaning();
        self.snapshots.clear();
        drop(self.database.take());
        self.disk = after;
    }

    /// The cleaner may come after the last answer: nobody has seen it then.
    fn foresee_cleaning(&mut self) {
        for run in 0..NAMES.len() {
            if self.state(run).has_expired(self.now(run)) {
                let cleaned = self.cleaned(run);
                self.runs[run].maybe.push(cleaned);
            }
        }
    }

    fn reopen(&mut self, kept: Kept, was_closed: bool) {
        // Later than everything so far, so that a time tells which boot a commit is of.
        let by = self.chance.below(60_000);
        self.jump(1 + by);
        let before = self.shards;
        if self.chance.one_in(4) {
            self.shards = 1 + self.chance.below(4) as usize;
            self.journal.detail(&format!("{} shards", self.shards));
        }
        let database = open(&self.disk, &self.clock, self.durability, self.shards);
        let database = database.unwrap_or_else(|error| panic!("a store opens again: {error:?}"));
        if !was_closed {
            self.unclean_through = self.boot;
        }
        // Giving it other shards takes a boot of its own, which is closed.
        self.boot += if self.shards == before { 1 } else { 2 };
        let found = (database.recovery().boot, database.recovery().was_clean);
        assert_eq!(found, (self.boot, was_closed), "the boot, and whether the last one was closed");
        self.database = Some(database);
        for run in 0..NAMES.len() {
            self.recover(run, kept);
        }
    }

    /// Finds out where recovery has brought a run, and goes on from there.
    fn recover(&mut self, run: usize, kept: Kept) {
        let newest = self.state(run).version();
        let least = if kept == Kept::Everything { newest } else { self.runs[run].durable };
        let Some(info) =
            self.database().get_run(self.runs[run].id).expect("a store that opened can be asked")
        else {
            return self.recover_missing(run, least);
        };
        let is_cleaned_since = info.timestamp.0 == self.clock.now();
        let version = info.version.0 - u64::from(is_cleaned_since);
        self.journal.detail(&format!("{} is at {version} of {least}..={newest}", NAMES[run]));
        assert!(version >= least, "{} is at {version}, and {least} was promised", NAMES[run]);
        let mut wrong = Vec::new();
        for state in self.candidates(run, version) {
            self.adopt(run, state);
            self.align(run, info.version.0);
            self.settle(run);
            match self.difference(run) {
                None => return,
                Some(difference) => wrong.push(difference),
            }
        }
        panic!("{} at {version} of {least}..={newest} is nothing that it was: {wrong:#?}", NAMES[run]);
    }

    /// A run that does not exist tells its version when it is created.
    fn recover_missing(&mut self, run: usize, least: u64) {
        let name = NAMES[run];
        self.database().create_run(RunSpec::named(name)).expect("a run that is not there is created");
        let version = self.handle(run).info().expect("a run that was created is there").version.0 - 1;
        assert!(version >= least, "{name} was at {version}, and {least} was promised");
        let missing = self.candidates(run, version).into_iter().find(|state| state.meta.is_none());
        self.adopt(run, missing.unwrap_or_else(|| panic!("{name} was there at {version}")));
        let (at, mut next) = (self.next(run), self.state(run).clone());
        next.create(name, at);
        self.runs[run].states.push(next);
        if self.durability == Durability::Strict {
            self.shard_durable(run);
        }
    }

    /// What a run may have been at a version, as far as is known.
    fn candidates(&mut self, run: usize, version: u64) -> Vec<State> {
        let known = &mut self.runs[run];
        let states = known.states.iter().cloned().chain(known.maybe.drain(..));
        states.filter(|state| state.version() == version).collect()
    }

    /// Goes on from a state; what recovery serves it has made durable.
    fn adopt(&mut self, run: usize, state: State) {
        self.runs[run].durable = state.version();
        self.runs[run].states = vec![state];
    }

    /// What is not as it should be of a run.
    pub(crate) fn difference(&mut self, run: usize) -> Option<String> {
        self.settle(run);
        let state = self.state(run).clone();
        let mut places = Vec::new();
        for name in state.documents.keys() {
            for _ in 0..4 {
                places.push((name.clone(), self.chance.path(&state, name)));
            }
        }
        let (handle, eye) = (self.handle(run), self.eye(self.now(run)));
        Comparison { run: &handle, state: &state, eye }.whole(&places).err()
    }
}
