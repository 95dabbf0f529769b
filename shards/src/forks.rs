//! Which versions of which runs are needed because others were forked from them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use strata_primitives::{ForkPoint, RunId, Version};

use crate::base::Origin;

/// The forks of a shard that need what they began as.
///
/// A fork needs it from the moment it is wanted and as long as it is there; one that was deleted, as long as somebody else needs a version of it.
#[derive(Debug, Default)]
pub(crate) struct Forks {
    /// Of each run the versions that forks began as, with how many did.
    needed: FxHashMap<RunId, BTreeMap<Version, usize>>,
    points: FxHashMap<RunId, ForkPoint>,
    /// Those that began as an archive has it, with its number: these need nothing of another run, but the archive.
    archived: FxHashMap<RunId, (ForkPoint, u64)>,
}

impl Forks {
    /// A fork needs what it began as, or is about to.
    fn enter(&mut self, fork: RunId, point: ForkPoint) {
        if let Entry::Vacant(vacant) = self.points.entry(fork) {
            vacant.insert(point);
            *self.needed.entry(point.run).or_default().entry(point.version).or_default() += 1;
        }
    }

    /// The same of an origin: what an archive has needs nothing of a run. One that is not there yet needs it from now on, until it
    /// is entered or leaves.
    pub(crate) fn enter_origin(&mut self, fork: RunId, origin: Origin) {
        match origin.archive() {
            Some(archive) => drop(self.archived.entry(fork).or_insert((origin.point, archive))),
            None => self.enter(fork, origin.point),
        }
    }

    /// The archives that are needed.
    pub(crate) fn archives(&self) -> BTreeSet<u64> {
        self.archived.values().map(|(_, archive)| *archive).collect()
    }

    /// Whether a fork needs a version of the run.
    pub(crate) fn is_any_of(&self, run: RunId) -> bool {
        self.needed.contains_key(&run) || self.archived.values().any(|(point, _)| point.run == run)
    }

    /// A fork needs nothing any more.
    pub(crate) fn leave(&mut self, fork: RunId) {
        self.archived.remove(&fork);
        let Some(ForkPoint { run, version }) = self.points.remove(&fork) else { return };
        let versions = self.needed.get_mut(&run).expect("what a fork needs is counted");
        let count = versions.get_mut(&version).expect("what a fork needs is counted");
        *count -= 1;
        if *count == 0 {
            versions.remove(&version);
        }
        if versions.is_empty() {
            self.needed.remove(&run);
        }
    }

    /// The versions of a run that forks need, the oldest first.
    pub(crate) fn versions(&self, run: RunId) -> Vec<Version> {
        self.needed.get(&run).map_or_else(Vec::new, |versions| versions.keys().copied().collect())
    }

    /// The versions of all runs that forks need.
    pub(crate) fn all(&self) -> Vec<ForkPoint> {
        let of_run = |(run, versions): (&RunId, &BTreeMap<Version, usize>)| {
            let run = *run;
            versions.keys().map(|version| ForkPoint { run, version: *version }).collect::<Vec<_>>()
        };
        self.needed.iter().flat_map(of_run).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_needed_until_the_last_fork_of_it_leaves() {
        let id = |number: u8| RunId::from_bytes([number; 16]);
        let at = |run, version| ForkPoint { run: id(run), version: Version(version) };
        let mut forks = Forks::default();
        [(2, at(1, 7)), (3, at(1, 5)), (4, at(1, 5)), (4, at(1, 5)), (5, at(2, 9))]
            .into_iter()
            .for_each(|(fork, point)| forks.enter(id(fork), point));
        forks.enter(id(4), at(1, 2));
        let oldest =
            |forks: &Forks| [1, 2, 3].map(|run| forks.versions(id(run)).first().map(|first| first.0));
        assert_eq!(oldest(&forks), [Some(5), Some(9), None]);
        let versions: Vec<u64> = forks.versions(id(1)).iter().map(|version| version.0).collect();
        assert_eq!((versions, forks.all().len()), (vec![5, 7], 3));
        forks.leave(id(4));
        assert_eq!(oldest(&forks), [Some(5), Some(9), None]);
        [3, 3, 5, 9].into_iter().for_each(|fork| forks.leave(id(fork)));
        assert_eq!(oldest(&forks), [Some(7), None, None]);
        forks.leave(id(2));
        assert_eq!((oldest(&forks), forks.needed.len()), ([None, None, None], 0));
    }
}
