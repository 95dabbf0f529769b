//! What forks began as: a run at one version, which all forks of it share in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use strata_primitives::{Error, ErrorKind, ForkPoint, RunId, RunState, Version};

use crate::record::RecordPlace;
use crate::retained::RunImage;

/// The version of a run that a fork began as, and the record of its commit: the one before the first of the fork's own. A run that was
/// imported began as it was itself in its archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) point: ForkPoint,
    pub(crate) record: RecordPlace,
}

impl Origin {
    /// The archive from which it is made, if that is one.
    pub(crate) fn archive(&self) -> Option<u64> {
        self.record.archive()
    }

    /// What of a log has to stay for it: what is made from an archive needs nothing there.
    pub(crate) fn in_log(self) -> Option<Origin> {
        self.archive().is_none().then_some(self)
    }

    /// Whether this run was imported with it: then it is the run's own, where that of a fork is its parent's.
    pub(crate) fn is_import_of(&self, run: RunId) -> bool {
        self.point.run == run
    }

    /// The first version of its own of a run with this origin, if it is a fork: what it began as is another's. `NEVER` of one that is not.
    pub(crate) fn first_own(origin: Option<Origin>, run: RunId) -> Version {
        let forked = origin.filter(|origin| !origin.is_import_of(run));
        forked.map_or(Version::NEVER, |origin| origin.point.version.next())
    }

    /// The oldest version of which all is kept of what its archive has, for a run with this floor: what a fork began as is kept for it
    /// as a whole, from the first version on that came with the archive.
    pub(crate) fn floor_in_archive(&self, run: RunId, floor: Version) -> Version {
        if self.is_import_of(run) { floor } else { Version::NEVER }
    }
}

/// A run at the version that some forks began as. It is made once, by whoever needs it first, and stays as long as one of the
/// forks is in memory or on its way.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) origin: Origin,
    made: OnceLock<Made>,
}

#[derive(Debug)]
struct Made {
    state: RunState,
    is_of_live_run: bool,
}

impl Base {
    pub(crate) fn new(origin: Origin) -> Base {
        Base { origin, made: OnceLock::new() }
    }

    /// The run, if it is made.
    pub(crate) fn state(&self) -> Option<&RunState> {
        self.made.get().map(|made| &made.state)
    }

    /// Whether it shares what it holds with the run as that was in memory when it was forked.
    pub(crate) fn is_of_live_run(&self) -> bool {
        self.made.get().is_some_and(|made| made.is_of_live_run)
    }

    /// The run is made, if it was not.
    ///
    /// # Panics
    /// If it is not what the forks began as.
    pub(crate) fn fill(&self, state: RunState) {
        self.fill_with(Made { state, is_of_live_run: false });
    }

    /// The same with the run that is in memory.
    pub(crate) fn fill_from_live(&self, state: RunState) {
        self.fill_with(Made { state, is_of_live_run: true });
    }

    fn fill_with(&self, made: Made) {
        let ForkPoint { run, version } = self.origin.point;
        let is_as_begun = made.state.id() == run && made.state.version() == version;
        assert!(is_as_begun, "it is made as the forks began");
        // Whoever was faster made the same.
        let _ = self.made.set(made);
    }
}

/// What the forks of a shard began as that are in memory, or on their way there.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    /// One version of a run may have come with several archives.
    by_point: BTreeMap<(ForkPoint, Option<u64>), Weak<Base>>,
    /// How many there were when those that are gone were last taken out.
    swept_count: usize,
}

/// So few are not worth sweeping.
const FEW_BASES: usize = 64;

impl Bases {
    /// The one at this point, if it is made.
    pub(crate) fn made(&self, point: ForkPoint, archive: Option<u64>) -> Option<Arc<Base>> {
        self.by_point.get(&(point, archive))?.upgrade().filter(|base| base.state().is_some())
    }

    /// Those at some points are handed out no more.
    pub(crate) fn forget(&mut self, is_one: impl Fn(ForkPoint) -> bool) {
        self.by_point.retain(|(point, _), _| !is_one(*point));
    }

    /// The one at this point, made or not.
    pub(crate) fn at(&mut self, origin: Origin) -> Arc<Base> {
        let key = (origin.point, origin.archive());
        if let Some(base) = self.by_point.get(&key).and_then(Weak::upgrade) {
            return base;
        }
        if self.by_point.len() >= FEW_BASES.max(2 * self.swept_count) {
            self.by_point.retain(|_, base| base.strong_count() > 0);
            self.swept_count = self.by_point.len();
        }
        let base = Arc::new(Base::new(origin));
        self.by_point.insert(key, Arc::downgrade(&base));
        base
    }

    /// Takes in one that was made elsewhere.
    pub(crate) fn enter(&mut self, base: &Arc<Base>) {
        self.by_point.insert((base.origin.point, base.origin.archive()), Arc::downgrade(base));
    }
}

/// What is known of a run that others were forked from.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    /// Its images, the newest first.
    pub(crate) images: Vec<RunImage>,
    /// The oldest version of which all is kept.
    pub(crate) floor: Version,
    pub(crate) origin: Option<Origin>,
    /// The run as it is, where it is in memory.
    pub(crate) live: Option<&'a RunState>,
}

/// How a base is made: of the first of these, and those behind it over the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    pub(crate) ancestors: Vec<Ancestor>,
}

/// One of the runs that a fork descends from.
#[derive(Clone, Debug)]
pub(crate) struct Ancestor {
    pub(crate) base: Arc<Base>,
    /// Images of the run at the version of the base or before it, the newest first.
    pub(crate) images: Vec<RunImage>,
    pub(crate) floor: Version,
}

impl Lineage {
    /// The way to what a run began as, from the nearest of its ancestors that is made, or is no fork.
    ///
    /// # Errors
    /// `Corrupt` when one of them is not known, or began behind its own fork.
    pub(crate) fn of<'a>(
        origin: Option<Origin>,
        bases: &mut Bases,
        mut known: impl FnMut(RunId) -> Option<Known<'a>>,
    ) -> Result<Lineage, Error> {
        let (mut ancestors, mut next): (Vec<Ancestor>, _) = (Vec::new(), origin);
        while let Some(origin) = next {
            let ForkPoint { run, version } = origin.point;
            // Versions grow from a run to its forks, so this ends whatever a file says.
            let child = ancestors.last().map(|ancestor| ancestor.base.origin.point);
            let is_before = child.is_none_or(|child| version < child.version);
            if origin.archive().is_some() {
                let (images, floor) = (Vec::new(), Version::NEVER);
                ancestors.push(Ancestor { base: bases.at(origin), images, floor });
                break;
            }
            let Some(Known { images, floor, origin: before, live }) = known(run).filter(|_| is_before) else {
                let message =
                    format!("run {run}, of which another was forked at version {version}, is not there");
                return Err(Error::new(ErrorKind::Corrupt, message));
            };
            let base = bases.at(origin);
            // A run that has not changed since is what its fork began as.
            if let Some(live) = live.filter(|live| live.version() == version && base.state().is_none()) {
                base.fill_from_live(live.share());
            }
            next = before.filter(|_| base.state().is_none());
            let images = images.into_iter().filter(|image| image.stamp.version <= version).collect();
            ancestors.push(Ancestor { base, images, floor });
        }
        ancestors.reverse();
        Ok(Lineage { ancestors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(run: u8, version: u64) -> Origin {
        let point = ForkPoint { run: RunId::from_bytes([run; 16]), version: Version(version) };
        Origin { point, record: RecordPlace::default() }
    }

    fn state(run: u8, version: u64) -> RunState {
        let mut state = RunState::new(RunId::from_bytes([run; 16]), 1);
        let timestamp = strata_primitives::Timestamp(1);
        state.commit(strata_primitives::Stamp { version: Version(version), timestamp });
        state
    }

    #[test]
    fn a_base_is_shared_while_somebody_has_it() {
        let mut bases = Bases::default();
        let base = bases.at(origin(1, 3));
        base.fill(state(1, 3));
        assert!(Arc::ptr_eq(&base, &bases.at(origin(1, 3))) && !Arc::ptr_eq(&base, &bases.at(origin(1, 4))));
        drop(base);
        assert!(bases.at(origin(1, 3)).state().is_none(), "it is made anew");
        for version in 0..10_000 {
            bases.at(origin(2, version));
        }
        assert!(bases.by_point.len() <= FEW_BASES, "{} are remembered", bases.by_point.len());
    }

    #[test]
    fn a_lineage_begins_with_the_nearest_ancestor_that_is_made() {
        let mut bases = Bases::default();
        let known = |run: RunId| {
            let number = run.as_bytes()[0];
            let origin = (number < 5).then(|| origin(number + 1, 100 - 10 * u64::from(number)));
            (number <= 5).then(|| Known { images: Vec::new(), floor: Version::NEVER, origin, live: None })
        };
        let of = |bases: &mut Bases| {
            let lineage = Lineage::of(Some(origin(1, 100)), bases, known).unwrap();
            let runs = lineage.ancestors.iter().map(|ancestor| ancestor.base.origin.point.run.as_bytes()[0]);
            runs.collect::<Vec<_>>()
        };
        assert_eq!(of(&mut bases), [5, 4, 3, 2, 1]);
        let base = bases.at(origin(3, 80));
        base.fill(state(3, 80));
        assert_eq!(of(&mut bases), [3, 2, 1]);
        assert!(Lineage::of(None, &mut bases, known).unwrap().ancestors.is_empty());
    }

    #[test]
    fn ancestors_that_are_not_there_or_go_round_are_refused() {
        let mut bases = Bases::default();
        let of_itself = |_| {
            Some(Known { images: Vec::new(), floor: Version::NEVER, origin: Some(origin(1, 5)), live: None })
        };
        let refused = Lineage::of(Some(origin(1, 5)), &mut bases, of_itself).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        assert_eq!(
            Lineage::of(Some(origin(1, 5)), &mut bases, |_| None).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
}
