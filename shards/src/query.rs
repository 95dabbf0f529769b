//! Queries over the runs of one shard.

use strata_primitives::{ForkPoint, RunFilter, RunId, RunMeta, Version};

use crate::message::{OriginPage, ParentLife, RunOrigin, RunPage};
use crate::record::{KIND_RUN_CREATE, KIND_RUN_DELETE, Record, kind_of};
use crate::run::Need;
use crate::run_table::Held;
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

    /// From here on versions are known to be of its present life, if that was begun here. A deletion that is logged gives up all that was
    /// before; of one in memory alone the run itself knows.
    fn lives_since(&self) -> Version {
        match self {
            Held::Resident(run) => run.retained.floor.max(run.state.ended().next()),
            Held::Cold(cold) => cold.entry.retained.floor,
        }
    }

    /// The newest commit behind its image that ended a life, or began one, while these are not applied.
    fn begun_behind_image(&self) -> Version {
        let Held::Cold(cold) = self else { return Version::NEVER };
        let is_one =
            |record: &Record| matches!(kind_of(&record.mutations), KIND_RUN_CREATE | KIND_RUN_DELETE);
        let newest = cold.tail.iter().rev().find(|(_, record)| is_one(record));
        newest.map_or(Version::NEVER, |(_, record)| record.head.version)
    }

    /// Whether a fork of this run at this version is known to be one of its present life, or of the only one that it ever had.
    fn is_parent_of(&self, fork: &Held, version: Version) -> bool {
        match (self.meta(), fork.meta()) {
            (Some(RunMeta { imported: Some(imported), .. }), _) => version >= imported.by,
            _ if self.id().is_fresh() => true,
            (None, _) => false,
            _ if version < self.begun_behind_image() => false,
            (Some(_), _) if version >= self.lives_since() => true,
            // What retention has given up of the present life: a fork that was made of the run itself, and later.
            (Some(meta), Some(fork)) => fork.parent == Some(self.id()) && fork.created > meta.created,
            (Some(_), None) => false,
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
            (None, Some(parent)) if parent.is_parent_of(fork, point.version) => ParentLife::Present,
            (None, _) => ParentLife::Unknown,
        }
    }
}
