//! Telling what would be given up of the history of a run, before it is.

use strata_primitives::{Error, Retention, RunId, RunMeta, Stamp, Version};
use strata_wal::ImagePlace;

use crate::base::Origin;
use crate::reaches::{Reach, earliest};
use crate::report::RetentionPreview;
use crate::retained::{Keeping, RunImage};
use crate::run::Need;
use crate::shard::Shard;

impl RetentionPreview {
    /// For a run with these parts, and the oldest version of it of which all would be kept.
    pub(crate) fn of(mut reaches: Vec<Reach>, floor_then: Version) -> RetentionPreview {
        let earliest_now = earliest(&reaches);
        let run = reaches[0].run;
        // What a run was imported with is given up like what it has committed since.
        reaches.iter_mut().filter(|reach| reach.run == run).for_each(|reach| reach.floor = floor_then);
        RetentionPreview { earliest: earliest_now, earliest_then: earliest(&reaches) }
    }
}

impl Shard {
    /// The parts of the versions of a run, what the log must reach before they can be read, and the oldest version of which the next
    /// checkpoint would keep all if it kept this much.
    pub(crate) fn reaches_then(
        &self,
        id: RunId,
        retention: Option<Retention>,
    ) -> Result<(Vec<Reach>, Need, Version), Error> {
        retention.map_or(Ok(()), Retention::check)?;
        let run = self.loggable(id)?;
        let newest = RunImage {
            file: 0,
            place: ImagePlace::default(),
            stamp: Stamp { version: run.state.version(), timestamp: run.state.timestamp() },
            record: run.place,
            history_size: run.trail.size,
        };
        let retention = retention.unwrap_or(self.setup.retention);
        let across_gaps = |meta: &RunMeta| meta.across_gaps(retention, newest.stamp.version);
        let keeping = Keeping::Policy(run.state.meta().map_or(retention, across_gaps));
        let begin = Origin::first_own(run.origin, id);
        let then = run.retained.follow(&newest, run.image.as_ref(), keeping, &[], begin, self.now);
        let (reaches, need) = self.reaches(id, Version::NEVER.next())?;
        Ok((reaches, need, then.floor))
    }
}
