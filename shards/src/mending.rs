//! A run in memory that has left a value in an image which is damaged there, so that no checkpoint can write it.
//!
//! What a recovery would make of it is made while it is served: the run of the image before, and the log behind that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strata_primitives::{Error, RunId};

use crate::calls::fresh_id;
use crate::held::Held;
use crate::loader::Dropped;
use crate::run::Run;
use crate::run_table::RunTable;
use crate::shard::Shard;

/// The run of a shard that is made again.
#[derive(Debug, Default)]
pub(crate) struct Mending {
    /// The request for it, and when that was made.
    asked: Option<(u64, Instant)>,
    /// None is made before this.
    not_before: Option<Instant>,
}

/// After one the next waits this often as long as it took, ...
const PAUSE_PARTS: u32 = 10;
/// ... and at least this long where it could not be made: what is on disk does not get better.
const PAUSE_FAILED: Duration = Duration::from_secs(60);

impl Mending {
    /// Whether one is being made.
    pub(crate) fn is_under_way(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether this was asked for here.
    pub(crate) fn is_asked(&self, request: u64) -> bool {
        self.asked.is_some_and(|(asked, _)| asked == request)
    }

    fn is_ready(&self) -> bool {
        self.asked.is_none() && self.not_before.is_none_or(|not_before| Instant::now() >= not_before)
    }
}

impl Shard {
    /// Has a run made again of what is on disk, unless that cannot have all of it now: the next checkpoint fails over it again then.
    pub(crate) fn mend(&mut self, id: RunId) {
        let Some(Held::Resident(run)) = self.runs.held(id) else { return };
        if !self.mending.is_ready() || run.image.is_none() || !self.can_be_exchanged(run) {
            return;
        }
        let (request, entry) = (fresh_id(), run.as_made());
        self.mending.asked = Some((request, Instant::now()));
        self.request_load(request, entry, Arc::default());
    }

    /// Puts the run in the place of the one that is there, unless that has changed meanwhile or somebody looks at it. Why it could not
    /// be made was told.
    pub(crate) fn take_in_mended(&mut self, outcome: Result<Box<Run>, Error>) {
        let Some((_, asked_at)) = self.mending.asked.take() else { return };
        let (now, pause) = (Instant::now(), PAUSE_PARTS * asked_at.elapsed());
        self.mending.not_before = Some(now + if outcome.is_ok() { pause } else { pause.max(PAUSE_FAILED) });
        let Ok(made) = outcome else { return };
        let Some(Held::Resident(run)) = self.runs.held(made.state.id()) else { return };
        let is_same = run.place == made.place && run.state.version() == made.state.version();
        if is_same && self.can_be_exchanged(run) {
            self.checkpoints.note_rebuilt(made.image.is_none());
            let before = self.runs.exchange(made);
            self.waiting.drop_elsewhere(Dropped::Run(before));
        }
    }
}

impl RunTable {
    /// Puts a run that was made again of what is on disk, in the same version, in the place of the one that is there, which is to be
    /// dropped.
    ///
    /// # Panics
    /// If there is none.
    fn exchange(&mut self, made: Box<Run>) -> Box<Run> {
        let run = self.get(made.state.id()).expect("only a run of the table is made again");
        let (entry, used) = (run.as_made(), run.used);
        let before = self.put_cold(entry);
        self.make_resident(made, used);
        before
    }
}
