//! Which runs were forked from which.

use std::collections::{BTreeMap, BTreeSet};

use strata_primitives::{ForkPoint, RunId, Version};
use strata_shards::RunOrigin;

use crate::Result;
use crate::database::Database;

/// A picture of which runs of a store were forked from which, that its holder looks into without the store. Runs that were made after
/// [`lineage`](Database::lineage) was called are not in it.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    runs: BTreeMap<RunId, RunOrigin>,
    /// Of each run its forks, in the order of the versions that they began as, those of one version by id.
    forks: BTreeMap<RunId, BTreeSet<(Version, RunId)>>,
}

/// A run in a tree of forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkNode {
    /// The run.
    pub run: RunId,
    /// How many forks it is away from the run at the top, which is at 0.
    pub depth: usize,
    /// The version that it was forked at; of the run at the top its newest one, or of one that is not here the newest that was forked.
    pub version: Version,
    /// Whether it is there: it is not, once it was deleted, and is in the tree for what was forked from it.
    pub exists: bool,
}

impl Database {
    /// Which runs were forked from which. No run is loaded for that, and every run of the store is looked at, 2,048 in a turn of a shard;
    /// each shard's part is true at moments of its own.
    ///
    /// # Errors
    /// `Closed` when the database has stopped.
    ///
    /// ```
    /// use strata::{Database, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let (one, other) = (run.fork()?, run.fork()?);
    /// one.put("city", "Bergen")?;
    /// let lineage = database.lineage()?;
    /// assert_eq!(lineage.forks(run.id()).count(), 2);
    /// let common = lineage.common_ancestor(one.id(), other.id()).unwrap();
    /// assert_eq!((common.run, common.version), (run.id(), run.info()?.version));
    /// # database.close()
    /// # }
    /// ```
    pub fn lineage(&self) -> Result<Lineage> {
        let mut lineage = Lineage::default();
        for origin in self.engine().origins()? {
            lineage.runs.insert(origin.run, origin);
            if let Some(ForkPoint { run, version }) = origin.forked_from {
                lineage.forks.entry(run).or_default().insert((version, origin.run));
            }
        }
        Ok(lineage)
    }
}

impl Lineage {
    /// The version of another run that this one was forked at; `None` for one that is no fork, or unknown here. An imported run keeps
    /// what it was forked from, which need not be in the store.
    pub fn parent(&self, run: RunId) -> Option<ForkPoint> {
        self.runs.get(&run)?.forked_from
    }

    /// Whether a run was there. One that was deleted is not, nor is one of another store.
    pub fn exists(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|origin| origin.exists)
    }

    /// The runs that were forked from this one, with the version each was forked at, in the order of these; among them those that were
    /// deleted and from which others were forked that need what they began with.
    pub fn forks(&self, run: RunId) -> impl Iterator<Item = (RunId, Version)> {
        self.forks.get(&run).into_iter().flatten().map(|(version, fork)| (*fork, *version))
    }

    /// What this run was forked from, what that was forked from, and so on: of each run the newest version that the run has in common
    /// with it. The nearest comes first.
    pub fn ancestors(&self, run: RunId) -> Vec<ForkPoint> {
        let (mut ancestors, mut seen) = (Vec::new(), BTreeSet::from([run]));
        let mut next = self.parent(run);
        // What files of other stores say need not be so; a run that comes by twice ends it.
        while let Some(point) = next.filter(|point| seen.insert(point.run)) {
            ancestors.push(point);
            next = self.parent(point.run);
        }
        ancestors
    }

    /// The newest version that two runs have in common, and the run that wrote it; `None` when they have none, or one of them is unknown
    /// here. Of a run and one that descends from it that is the version which was forked, of a run and itself its newest one.
    pub fn common_ancestor(&self, one: RunId, other: RunId) -> Option<ForkPoint> {
        let line = |run| {
            let version = self.runs.get(&run)?.version;
            Some([ForkPoint { run, version }].into_iter().chain(self.ancestors(run)))
        };
        let theirs: BTreeMap<RunId, Version> = line(other)?.map(|point| (point.run, point.version)).collect();
        line(one)?.find_map(|ForkPoint { run, version }| {
            let version = version.min(*theirs.get(&run)?);
            Some(ForkPoint { run, version })
        })
    }

    /// A run and everything that descends from it, depth first: each is followed by everything below it. Empty when nothing is
    /// known of it.
    pub fn tree(&self, run: RunId) -> Vec<ForkNode> {
        let (mut nodes, mut seen) = (Vec::new(), BTreeSet::new());
        let newest = self.runs.get(&run).map(|origin| origin.version);
        let forked = self.forks(run).last().map(|(_, version)| version);
        let mut left: Vec<_> = newest.or(forked).map(|version| (run, 0, version)).into_iter().collect();
        while let Some((run, depth, version)) = left.pop() {
            if seen.insert(run) {
                nodes.push(ForkNode { run, depth, version, exists: self.exists(run) });
                let forks: Vec<_> = self.forks(run).collect();
                left.extend(forks.into_iter().rev().map(|(fork, version)| (fork, depth + 1, version)));
            }
        }
        nodes
    }
}
