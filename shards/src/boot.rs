//! The opening of a store that a shard serves.

use strata_primitives::{Outcome, RunInfo, RunStatus};

/// One opening of a store, counted by MANIFEST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// Its number, counted from 1; 0 before the store has told its shards.
    pub number: u64,
    /// The last boot that did not close in order; 0 for none.
    pub unclean_through: u64,
}

impl Boot {
    /// Whether the run is active although the boot that last began it did not end in order.
    pub(crate) fn is_orphaned(&self, info: &RunInfo) -> bool {
        info.status == RunStatus::Active && info.begun_in_boot <= self.unclean_through
    }

    /// The same outcome; a run in it says whether it is orphaned.
    pub(crate) fn tell_orphaned(&self, mut outcome: Outcome) -> Outcome {
        if let Outcome::Run(Some(info)) = &mut outcome {
            info.orphaned = self.is_orphaned(info);
        }
        outcome
    }
}
