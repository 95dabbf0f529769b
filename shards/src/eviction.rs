//! Runs leave memory when it is full: it is a cache of runs.
//!
//! Of a few resident runs, drawn at random, the one leaves that was not used for longest (sampled least recently used, as
//! Redis does it: redis.io, "Key eviction"). A run leaves whose newest image has all of it and that nobody is looking at;
//! where there is none, a checkpoint makes some.

use std::time::Instant;

use strata_primitives::{Durability, RunId};

use crate::loader::Dropped;
use crate::run::Run;
use crate::shard::Shard;

/// How many runs are drawn for one that leaves.
const DRAWN: usize = 8;
/// How often runs are drawn in vain before a checkpoint is wanted.
const DRAWS_MAX: usize = 8;
/// How many runs leave in one turn in which few came.
const LEAVING_MIN: usize = 16;

/// What a shard knows of the memory it may use.
#[derive(Debug)]
pub(crate) struct Budget {
    /// [Room](room_for_runs) for runs, bytes; `None` where nothing can leave memory.
    size: Option<usize>,
    /// A state of a generator of numbers (xorshift: Marsaglia, "Xorshift RNGs", 2003), never 0.
    dice: u64,
    /// No run can leave before a checkpoint has been made.
    pub(crate) wants_checkpoint: bool,
    /// Since when messages wait for that.
    short_since: Option<Instant>,
}

/// What is on its way in, out, or into an image is not counted, and has its room in an eighth of the budget.
pub(crate) fn room_for_runs(memory_budget: usize) -> usize {
    memory_budget - memory_budget / 8
}

impl Budget {
    pub(crate) fn new(size: Option<usize>) -> Budget {
        Budget {
            size: size.map(room_for_runs),
            dice: 0x9e37_79b9_7f4a_7c15,
            wants_checkpoint: false,
            short_since: None,
        }
    }

    /// Whether messages wait for the checkpoint that is under way.
    pub(crate) fn is_short(&self) -> bool {
        self.short_since.is_some()
    }

    fn draw(&mut self, below: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice % below as u64) as usize
    }
}

impl Shard {
    /// Has runs leave until the rest fits, after a turn in which no more than `came` may have come. Whether any did.
    pub(crate) fn evict(&mut self, came: usize) -> bool {
        self.budget.wants_checkpoint = false;
        let Some(size) = self.budget.size else { return false };
        if self.runs.residents().1 <= size || self.is_stalled() {
            return false;
        }
        let (mut left, mut draws, left_max) = (0, 0, LEAVING_MIN.max(2 * came));
        while left < left_max && draws < DRAWS_MAX && self.runs.residents().1 > size {
            draws += 1;
            let Some(run) = self.draw_coldest() else { continue };
            let run = self.runs.make_cold(run);
            self.waiting.drop_elsewhere(Dropped::Run(run));
            self.stats.evictions += 1;
            (left, draws) = (left + 1, 0);
        }
        self.budget.wants_checkpoint = left == 0;
        left > 0
    }

    /// Whether messages have to wait for the checkpoint that is under way: memory is full, and what has come since it began cannot leave
    /// before it is done. What could not leave when it began, whatever the reason, is no reason to wait.
    pub(crate) fn is_short_of_memory(&mut self) -> bool {
        let budget = self.setup.memory_budget;
        let used_then = self.checkpoints.used_when_begun().filter(|_| self.budget.size.is_some());
        let most = used_then.map(|used| budget.max(used + budget / 8));
        let is_short = most.is_some_and(|most| self.runs.residents().1 > most);
        match (self.budget.short_since, is_short) {
            (None, true) => self.budget.short_since = Some(Instant::now()),
            (Some(since), false) => {
                self.budget.short_since = None;
                self.stats.memory_waits.record_between(since, Instant::now());
            }
            _ => {}
        }
        is_short
    }

    /// Whether there is room for runs that nobody has asked for. Large values count for that as if they were in memory: they are read
    /// when a run is loaded.
    pub(crate) fn has_spare_memory(&self) -> bool {
        let used = self.runs.residents().1 + self.runs.elsewhere();
        self.budget.size.is_none_or(|size| used < size - size / 4)
    }

    /// Of some runs that can leave, the one that was not used for longest.
    fn draw_coldest(&mut self) -> Option<RunId> {
        let (count, _) = self.runs.residents();
        let mut coldest: Option<(u64, RunId)> = None;
        for _ in 0..DRAWN.min(count) {
            let place = self.budget.draw(count);
            let Some(id) = self.runs.resident_at(place).map(|run| run.state.id()) else { continue };
            let used = self.runs.note_readers(id, self.turn_number);
            if let Some(used) = used
                && coldest.is_none_or(|(least, _)| used < least)
                && self.runs.get(id).is_some_and(|run| self.can_leave(run))
            {
                coldest = Some((used, id));
            }
        }
        coldest.map(|(_, run)| run)
    }

    /// Whether an image has all of a run, everybody may see it, and nobody does.
    fn can_leave(&self, run: &Run) -> bool {
        let is_imaged = run.image.is_some_and(|image| image.stamp.version == run.state.version());
        is_imaged && self.can_be_exchanged(run)
    }

    /// Whether everybody may see all of a run that is on disk, and nobody looks at it.
    pub(crate) fn can_be_exchanged(&self, run: &Run) -> bool {
        let lives_in_memory = run.durability == Some(Durability::InMemory);
        let is_looked_at = run.state.is_looked_at() || self.runs.windows.is_kept(run.state.id());
        !lives_in_memory && !is_looked_at && run.need.is_met(&self.progress)
    }
}
