//! Which runs were forked from which.

use std::collections::{BTreeMap, BTreeSet};

use strata_primitives::{ForkPoint, RunId, Version};
use strata_shards::{Engine, ParentLife, RunOrigin};

use crate::Result;
use crate::database::Database;

/// A picture of which runs of a store were forked from which, that its holder looks into without the store. Runs that were made after
/// [`lineage`](Database::lineage) was called are not in it.
///
/// An id may have had several lives: a run was deleted, and begun anew under its name or imported; and in another store there may be a
/// run of the same name. Versions of two of them have nothing in common. A fork is one of the run which is there where the commit that
/// began or imported that comes no later than the version that was forked; or where both came with one archive. Of a run that was
/// deleted it is known where that has no name, as forks have none, and was not imported. All others, forks that were imported among
/// them, are told as forks of a run that is not there.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    runs: BTreeMap<RunId, RunOrigin>,
    /// Of each run its forks, in the order of the versions that they began as, those of one version by id: those of the run that is there,
    /// and those of one of that id which is not.
    forks: BTreeMap<(RunId, bool), BTreeSet<(Version, RunId)>>,
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
        Lineage::of(self.engine())
    }
}

impl Lineage {
    pub(crate) fn of(engine: &Engine) -> Result<Lineage> {
        let runs = engine.origins()?.into_iter().map(|origin| (origin.run, origin)).collect();
        let mut lineage = Lineage { runs, ..Lineage::default() };
        for origin in lineage.runs.values() {
            if let Some(ForkPoint { run, version }) = origin.forked_from {
                let is_there = origin.parent_life == ParentLife::Present && lineage.exists(run);
                lineage.forks.entry((run, is_there)).or_default().insert((version, origin.run));
            }
        }
        Ok(lineage)
    }

    /// The version of another run that this one was forked at; `None` for one that is no fork, or unknown here. An imported run keeps
    /// what it was forked from, which need not be in the store. Whether it is the life of that run which is there, [`tree`](Self::tree) tells.
    pub fn parent(&self, run: RunId) -> Option<ForkPoint> {
        self.runs.get(&run)?.forked_from
    }

    /// Whether a run was there. One that was deleted is not, nor is one of another store.
    pub fn exists(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|origin| origin.exists)
    }

    /// The runs that were forked from this one, with the version each was forked at, in the order of these; among them those that were
    /// deleted and from which others were forked that need what they began with. Of a run that is there those of its present life; of one
    /// that is not all that name it.
    pub fn forks(&self, run: RunId) -> impl Iterator<Item = (RunId, Version)> {
        self.forks_of(run, self.exists(run))
    }

    fn forks_of(&self, run: RunId, is_there: bool) -> impl Iterator<Item = (RunId, Version)> {
        self.forks.get(&(run, is_there)).into_iter().flatten().map(|(version, fork)| (*fork, *version))
    }

    /// What this run was forked from, what that was forked from, and so on: of each run the newest version that the run has in common
    /// with it. The nearest comes first. It ends with the first of which it is not known that it is there, or was in its only life.
    pub fn ancestors(&self, run: RunId) -> Vec<ForkPoint> {
        self.line(run).into_iter().map(|(point, _)| point).collect()
    }

    /// The same, each with which life of it that was.
    fn line(&self, run: RunId) -> Vec<(ForkPoint, ParentLife)> {
        let (mut line, mut seen) = (Vec::new(), BTreeSet::from([run]));
        let parent =
            |run| self.runs.get(&run).and_then(|origin| Some((origin.forked_from?, origin.parent_life)));
        let mut next = parent(run);
        // What files of other stores say need not be so; a run that comes by twice ends it.
        while let Some((point, life)) = next.filter(|(point, _)| seen.insert(point.run)) {
            line.push((point, life));
            next = if life == ParentLife::Present { parent(point.run) } else { None };
        }
        line
    }

    /// The newest version that two runs have in common, and the run that wrote it; `None` when they have none, when none is known to be of
    /// one life of a run, or one of them is unknown here. Of a run and one that descends from it that is the version which was forked, of a
    /// run and itself its newest one.
    ///
    /// It is not known of an imported fork and anything that does not descend from it; nor of a fork of a run with a name that was deleted
    /// or begun anew since. Of the latter two forks of one version have that in common, and those that began as one archive has it.
    pub fn common_ancestor(&self, one: RunId, other: RunId) -> Option<ForkPoint> {
        let line = |run| {
            let version = self.runs.get(&run)?.version;
            let itself = (ForkPoint { run, version }, ParentLife::Present);
            Some([itself].into_iter().chain(self.line(run)))
        };
        let theirs: BTreeMap<_, _> =
            line(other)?.map(|(point, life)| ((point.run, life), point.version)).collect();
        let (version, theirs, run, life) = line(one)?.find_map(|(point, life)| {
            Some((point.version, *theirs.get(&(point.run, life))?, point.run, life))
        })?;
        let is_known = match life {
            ParentLife::Present | ParentLife::Archived(_) => true,
            // A run gives no number to two commits, whatever its lives.
            ParentLife::Unknown => version == theirs,
            ParentLife::Elsewhere => false,
        };
        is_known.then_some(ForkPoint { run, version: version.min(theirs) })
    }

    /// A run and everything that descends from it, depth first: each is followed by everything below it. Behind those of a run that is there
    /// come those of one of that id which is not, under a top of its own. Empty when nothing is known of it.
    pub fn tree(&self, run: RunId) -> Vec<ForkNode> {
        let (mut nodes, mut seen) = (Vec::new(), BTreeSet::new());
        let forked = self.forks_of(run, false).last().map(|(_, version)| version);
        let newest = self.runs.get(&run).map(|origin| origin.version);
        let (there, gone) = match self.exists(run) {
            true => (newest, forked),
            false => (None, newest.or(forked)),
        };
        let top = |version: Option<Version>, exists| version.map(|version| (run, 0, version, exists));
        let mut left: Vec<_> = top(gone, false).into_iter().chain(top(there, true)).collect();
        while let Some((run, depth, version, exists)) = left.pop() {
            if seen.insert((run, exists)) {
                nodes.push(ForkNode { run, depth, version, exists });
                let below = |(fork, version)| (fork, depth + 1, version, self.exists(fork));
                let forks: Vec<_> = self.forks_of(run, exists).map(below).collect();
                left.extend(forks.into_iter().rev());
            }
        }
        nodes
    }
}
