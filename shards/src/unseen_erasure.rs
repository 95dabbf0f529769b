//! An erasure that pictures do not show yet.

use strata_primitives::{Erasure, RunId, Version};

use crate::run::Need;

/// An erasure that is shown in pictures once it is as safe as its caller was promised.
#[derive(Debug)]
pub(crate) struct UnseenErasure {
    pub(crate) need: Need,
    pub(crate) run: RunId,
    /// What is to be shown; nothing once it was.
    pub(crate) erasures: Vec<Erasure>,
    /// What pictures are marked with that have all that was erased up to it.
    pub(crate) mark: u64,
    /// Which erasure of its shard it is, counted from 1.
    pub(crate) number: u64,
    pub(crate) is_shown: bool,
}

impl UnseenErasure {
    /// What of it a picture of a run shows; `inherits` tells up to which version a run is what another one was.
    pub(crate) fn in_run(
        &self,
        run: RunId,
        inherits: impl Fn(RunId, RunId) -> Option<Version>,
    ) -> Vec<Erasure> {
        let through = if run == self.run { Some(Version::PENDING) } else { inherits(run, self.run) };
        let within = |through| self.erasures.iter().filter_map(move |erasure| erasure.within(through));
        through.into_iter().flat_map(within).collect()
    }
}
