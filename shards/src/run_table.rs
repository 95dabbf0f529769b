//! The runs of one shard.

use std::collections::BTreeSet;

use strata_primitives::{RunId, RunState, SplitMap, Timestamp};

use crate::run::Run;

/// The runs that a shard owns: by id, in order of id, and in order of their next deadline.
#[derive(Debug)]
pub(crate) struct RunTable {
    runs: SplitMap<RunId, Box<Run>>,
    /// Every id in order, so that a query pages through runs without sorting them.
    order: BTreeSet<RunId>,
    /// Runs with a key that expires, by the first such deadline.
    deadlines: BTreeSet<(Timestamp, RunId)>,
    hash_seed: usize,
}

impl RunTable {
    /// An empty table. The seed keeps chosen ids and keys from colliding on purpose.
    pub(crate) fn new(hash_seed: usize) -> RunTable {
        RunTable {
            runs: SplitMap::new(hash_seed),
            order: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            hash_seed,
        }
    }

    /// How many runs there are, deleted ones not counted.
    pub(crate) fn count(&self) -> usize {
        self.runs.values().filter(|run| run.state.exists()).count()
    }

    pub(crate) fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id).map(|run| &**run)
    }

    pub(crate) fn get_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&id).map(|run| &mut **run)
    }

    /// A state for a run that has never been written to; it is not in the table.
    pub(crate) fn blank(&self, id: RunId) -> RunState {
        RunState::new(id, self.hash_seed)
    }

    /// The run, entered as a blank one if it was not there.
    pub(crate) fn get_or_insert(&mut self, id: RunId) -> &mut Run {
        self.runs.get_or_insert_with(id, || {
            self.order.insert(id);
            Box::new(Run::new(RunState::new(id, self.hash_seed)))
        })
    }

    /// Enters a run that was recovered.
    pub(crate) fn insert(&mut self, run: Run) {
        let id = run.state.id();
        self.order.insert(id);
        self.runs.insert(id, Box::new(run));
        self.refresh_deadline(id);
    }

    /// Takes out a run whose only commit was taken back.
    pub(crate) fn remove(&mut self, id: RunId) {
        if let Some(run) = self.runs.remove(&id) {
            self.order.remove(&id);
            if let Some(deadline) = run.deadline {
                self.deadlines.remove(&(deadline, id));
            }
        }
    }

    /// Brings the expiry order up to date with a run that has just changed.
    pub(crate) fn refresh_deadline(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let deadline = if run.state.exists() { run.state.next_deadline() } else { None };
        if deadline == run.deadline {
            return;
        }
        if let Some(old) = std::mem::replace(&mut run.deadline, deadline) {
            self.deadlines.remove(&(old, id));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, id));
        }
    }

    /// The first deadline of any run.
    pub(crate) fn first_deadline(&self) -> Option<(Timestamp, RunId)> {
        self.deadlines.first().copied()
    }

    /// All runs, in no order.
    pub(crate) fn into_states(self) -> impl Iterator<Item = RunState> {
        self.runs.into_values().map(|run| run.state)
    }

    /// Runs in order of id, from the first one behind `after`.
    pub(crate) fn iter_after(&self, after: Option<RunId>) -> impl Iterator<Item = &Run> {
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.order.range((start, std::ops::Bound::Unbounded)).filter_map(|id| self.get(*id))
    }
}
