//! Queries over the runs of one shard.

use strata_primitives::{ForkPoint, RunFilter, RunId, RunMeta, Version};

use crate::held::Held;
use crate::message::{OriginPage, ParentLife, RunOrigin, RunPage};
use crate::run::Need;
use crate::shard::Shard;

/// A query looks at no more runs than this in one turn; the page it answers says where it stopped.
const EXAMINED_MAX: usize = 2048;

impl Held {
    /// Its newest commit.
    pub(crate) fn version(&self) -> Version {
        match self {
            Held::Resident(run) => run.state.version(),
            Held::Cold(cold) => cold.entry.summary.stamp.version,
        }
    }

    /// What it was forked from, also in another store. Of one that was deleted that is known while it is needed.
    pub(crate) fn forked_from(&self) -> Option<ForkPoint> {
        let origin = || self.origin().filter(|origin| !origin.is_import_of(self.id()));
        self.meta().map_or_else(|| origin().map(|origin| origin.point), |meta| meta.forked_from)
    }

    fn meta(&self) -> Option<&RunMeta> {
        match self {
            Held::Resident(run) => run.state.meta(),
            Held::Cold(cold) => cold.entry.summary.meta.as_deref(),
        }
    }

    /// Whether this version, which it wrote here, is one of its present life, or of the only one that it ever had.
    fn is_of_its_life(&self, version: Version) -> bool {
        match self.meta() {
            Some(meta) => version >= meta.since,
            // Whoever has no name is not begun anew, but may have been imported.
            None => {
                self.id().is_fresh() && self.origin().is_none_or(|origin| !origin.is_import_of(self.id()))
            }
        }
    }
}

impl Shard {
    /// One page of the runs that match, and what the log must reach before it may be told.
    pub(crate) fn query(
        &mut self,
        filter: &RunFilter,
        after: Option<RunId>,
        limit: usize,
    ) -> (RunPage, Need) {
        let mut page = RunPage::default();
        let mut need = Need::default();
        let mut last_seen = after;
        for (examined, held) in self.runs.iter_after(after).enumerate() {
            if page.runs.len() == limit || examined == EXAMINED_MAX {
                page.next = last_seen;
                break;
            }
            last_seen = Some(held.id());
            // A run that is left out tells something too: that it is no longer active, or is deleted.
            need = need.max(held.need());
            let Some(mut info) = held.info() else { continue };
            info.orphaned = self.boot.is_orphaned(&info);
            if filter.matches(&info) {
                page.runs.push(info);
            }
        }
        (page, need)
    }

    /// One page of what runs began as, and what the log must reach before it may be told.
    pub(crate) fn origins(&mut self, after: Option<RunId>) -> (OriginPage, Need) {
        let mut page = OriginPage::default();
        let mut need = Need::default();
        for held in self.runs.iter_after(after) {
            if page.origins.len() == EXAMINED_MAX {
                page.next = page.origins.last().map(|origin| origin.run);
                break;
            }
            need = need.max(held.need());
            let (run, version) = (held.id(), held.version());
            let (forked_from, exists) = (held.forked_from(), held.exists());
            let parent_life = forked_from.map_or(ParentLife::Unknown, |point| self.parent_life(held, point));
            page.origins.push(RunOrigin { run, version, forked_from, parent_life, exists });
        }
        (page, need)
    }

    fn parent_life(&self, fork: &Held, point: ForkPoint) -> ParentLife {
        if fork.meta().is_some_and(|meta| meta.imported.is_some()) {
            return ParentLife::Elsewhere;
        }
        // A family is in one shard.
        let parent = self.runs.held(point.run);
        let archive_of = |held: &Held| held.origin().and_then(|origin| origin.archive());
        // One that was begun anew keeps the archive for its forks. One without an image is as it came.
        let is_import = |held: &Held| held.exists() && held.meta().is_none_or(|meta| meta.imported.is_some());
        match (archive_of(fork), parent) {
            (Some(archive), Some(parent)) if is_import(parent) && archive_of(parent) == Some(archive) => {
                ParentLife::Present
            }
            (Some(archive), _) => ParentLife::Archived(archive),
            (None, Some(parent)) if parent.is_of_its_life(point.version) => ParentLife::Present,
            (None, _) => ParentLife::Unknown,
        }
    }
}
