//! Deleting keys whose deadline has passed.
//!
//! Readers judge a deadline themselves, so cleaning only gives memory back. It is an ordinary commit with the cause
//! `Expired`, made when the shard has nothing else to do, and now and then when it always has.

use std::time::Duration;

use strata_primitives::{Effect, Error, RunId, Timestamp};
use strata_wal::Log;

use crate::commit::Step;
use crate::shard::{Shard, Then};
use crate::stage::Written;

/// After a cleaning that was refused, the next attempt waits this long.
const CLEANING_PAUSE_REFUSED: Duration = Duration::from_secs(1);
/// How many runs are looked at for one that can be cleaned.
const DUE_MAX: usize = 16;
/// Between two cleanings of a shard that has messages to serve.
const CLEANING_PAUSE_BUSY: Duration = Duration::from_millis(10);

impl Shard {
    /// Commits the deletion of keys whose deadline has passed, for one run. A busy shard does so now and then.
    pub(crate) fn clean(&mut self, is_busy: bool) -> bool {
        let Some((deadline, _)) = self.first_to_clean() else { return false };
        if deadline > self.now {
            return false;
        }
        let due = self.runs.due(self.now, DUE_MAX);
        // One that is cold is cleaned when it is back, and keeps nobody waiting; the others are asked for when it is done.
        let first_cold = due.iter().copied().find(|run| self.is_cold(*run));
        first_cold.into_iter().for_each(|run| self.load(run));
        let Some(run) = due.into_iter().find(|run| !self.is_cold(*run)) else { return false };
        let step = self.expire(run);
        if is_busy {
            self.pause_cleaning(CLEANING_PAUSE_BUSY);
        }
        let has_progress = !matches!(step, Step::Done(Err(_), _));
        self.carry(step, Then::Cleaned);
        has_progress
    }

    /// Takes note of what a cleaning came to, at once or after the log had stalled.
    pub(crate) fn cleaned(&mut self, outcome: Result<Written, Error>) {
        match outcome {
            Ok(Written { commit: Some(_), effects }) => {
                self.stats.expired += deleted_count(effects.as_slice())
            }
            // Refused, or nothing of it fits into a commit: trying again at once would come to the same.
            _ => self.pause_cleaning(CLEANING_PAUSE_REFUSED),
        }
    }

    fn pause_cleaning(&mut self, pause: Duration) {
        self.cleaning_from = Timestamp(self.now.0.saturating_add(pause.as_micros() as u64));
    }

    /// The run whose keys are to be cleaned next, and from when on.
    pub(crate) fn first_to_clean(&self) -> Option<(Timestamp, RunId)> {
        // Before the boot has begun MANIFEST may still say "closed in order", so nothing is written.
        let is_quiet = self.setup.is_read_only || self.setup.is_quiet;
        if self.boot.number == 0 || is_quiet || self.log.as_ref().is_some_and(Log::has_failed) {
            return None;
        }
        self.runs.first_deadline().map(|(deadline, run)| (deadline.max(self.cleaning_from), run))
    }
}

fn deleted_count(effects: &[Effect]) -> u64 {
    let counts = effects.iter().map(|effect| match effect {
        Effect::Count(count) => *count,
        _ => 0,
    });
    counts.sum()
}
