//! Runs in memory that have left large values in an image file in which their image is not any more.
//!
//! As long as such a value may be read the file stays open, and takes space, though it was removed. So the run is loaded once more
//! from where its image is now, while it is served, and takes the place of the one that is there: nobody waits for that.

use std::collections::VecDeque;
use std::sync::Arc;

use strata_primitives::{Error, RunId};

use crate::loader::Dropped;
use crate::run::Run;
use crate::run_table::Held;
use crate::shard::Shard;

/// The displaced runs of a shard.
#[derive(Debug, Default)]
pub(crate) struct Displaced {
    waiting: VecDeque<RunId>,
    /// The one that is being loaded, and the request for it.
    loading: Option<(u64, RunId)>,
}

impl Displaced {
    /// Whether one is being loaded.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Whether this was asked for here.
    pub(crate) fn is_asked(&self, request: u64) -> bool {
        self.loading.is_some_and(|(asked, _)| asked == request)
    }
}

/// How many runs are looked at in one turn.
const LOOKED_AT_MAX: usize = 4;

impl Shard {
    /// Takes note of a resident run whose image may lie in another file now.
    pub(crate) fn note_displaced(&mut self, id: RunId) {
        let Some(Held::Resident(run)) = self.runs.held_mut(id) else { return };
        if run.is_displaced() && !run.waits_to_move {
            run.waits_to_move = true;
            self.displaced.waiting.push_back(id);
        }
    }

    /// Asks for the next displaced run of which an image has everything. Whether there was one.
    pub(crate) fn load_displaced(&mut self) -> bool {
        if self.displaced.loading.is_some() || self.is_stalled() {
            return false;
        }
        for _ in 0..LOOKED_AT_MAX.min(self.displaced.waiting.len()) {
            let Some(id) = self.displaced.waiting.pop_front() else { break };
            // One that left meanwhile comes back from where its image is.
            let Some(Held::Resident(run)) = self.runs.held(id) else { continue };
            if !run.waits_to_move {
                continue;
            }
            if !self.can_leave(run) {
                self.displaced.waiting.push_back(id);
                continue;
            }
            let entry = run.as_cold();
            self.displaced.loading = Some((self.request_load(entry, Arc::default()), id));
            return true;
        }
        false
    }

    /// Puts a displaced run that was loaded once more in the place of the one that is there, unless that has changed or somebody
    /// looks at it.
    pub(crate) fn take_in_displaced(&mut self, outcome: Result<Box<Run>, Error>) {
        let Some((_, id)) = self.displaced.loading.take() else { return };
        let Some(Held::Resident(run)) = self.runs.held_mut(id) else { return };
        run.waits_to_move = false;
        let (used, version) = (run.used, run.state.version());
        let can_leave = self.runs.held(id).is_some_and(|held| match held {
            Held::Resident(run) => self.can_leave(run),
            Held::Cold(_) => false,
        });
        match outcome {
            Ok(loaded) if can_leave && loaded.state.version() == version => {
                let before = self.runs.make_cold(id);
                self.runs.make_resident(loaded, used);
                self.waiting.drop_elsewhere(Dropped::Run(before));
            }
            Err(error) => {
                tracing::warn!(target: "strata", shard = self.index, run = %id, %error, "a run cannot be loaded from where its image was moved");
                return;
            }
            Ok(_) => {}
        }
        // Its image may have been moved again.
        self.note_displaced(id);
    }
}
