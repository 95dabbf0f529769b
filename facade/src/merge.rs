//! Taking over into a run what was done in another.

use std::sync::Arc;

use strata_primitives::diff::DiffPlace;
use strata_primitives::merge::{MergePlan, Resolution, Strategies, plan};
use strata_primitives::{Cause, Commit, EntityRef, Error, ErrorKind, Operation, Version};

use crate::Result;
use crate::conflict::Conflict;
use crate::handle::RunHandle;
use crate::lineage::Lineage;
use crate::planned::Planned;
use crate::reads::Reads;
use crate::view::View;

/// What is to be merged into a run, and what becomes of conflicts.
///
/// ```
/// use strata::{Database, EntryStrategy, Merge, RunSpec, Strategies, Strategy};
///
/// # fn main() -> Result<(), strata::Error> {
/// let database = Database::in_memory()?;
/// let run = database.begin_run(RunSpec::named("trip"))?;
/// let fork = run.fork()?;
/// let strategies = Strategies { keys: Strategy::Theirs, events: EntryStrategy::Append, ..Strategies::default() };
/// let merge = Merge { strategies, ..Merge::of(&fork) };
/// assert!(merge.base.is_none());
/// # database.close()
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Merge<'a> {
    /// The run whose changes are taken over, as it is when the merge begins.
    pub theirs: &'a RunHandle,
    /// What both began as. Without it that is the newest version that both have in common, as
    /// [`common_ancestor`](Lineage::common_ancestor) tells. Whoever has merged the same run before says here at which version of it.
    pub base: Option<&'a View>,
    /// What becomes of what both have changed, each in its own way.
    pub strategies: Strategies,
}

/// What a merge has done, or would do.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeReport {
    /// The commit, if there is one: none in a preview, where nothing is to be changed, and where a conflict is open.
    pub commit: Option<Commit>,
    /// The version that both began as.
    pub base: Version,
    /// The version of the other run that was looked at. Once that is merged, the next merge of it begins there; while a conflict is open
    /// nothing of it is.
    pub theirs: Version,
    /// Where the run is changed, in the order of the places; nowhere while a conflict is open.
    pub changes: Vec<DiffPlace>,
    /// What both have changed, each in its own way, with what becomes of it.
    pub conflicts: Vec<MergeConflict>,
}

/// Something that both runs have changed, each in its own way.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeConflict {
    /// What it is, with what the three hold.
    pub conflict: Conflict,
    /// What becomes of it.
    pub resolution: Resolution,
}

impl<'a> Merge<'a> {
    /// All that a run has changed since both had a version in common; nothing is merged if there are conflicts.
    pub fn of(theirs: &'a RunHandle) -> Merge<'a> {
        Merge { theirs, base: None, strategies: Strategies::default() }
    }
}

impl MergeReport {
    /// Whether a conflict is left that no strategy decides. Then nothing is merged.
    pub fn is_open(&self) -> bool {
        self.conflicts.iter().any(|conflict| conflict.resolution == Resolution::Open)
    }
}

impl RunHandle {
    /// What [`merge`](Self::merge) would do to the run as it is. Nothing is written.
    ///
    /// # Errors
    /// Those of `merge`, but for what a write answers.
    pub fn preview_merge(&self, merge: &Merge<'_>) -> Result<MergeReport> {
        let ours = self.snapshot()?.detach()?;
        self.plan_merge(merge, &ours).map(|(_, report)| report)
    }

    /// Takes over into this run what another one has done since both had a version in common, as one commit, or nothing if a conflict is
    /// left open: the report says which.
    ///
    /// What theirs alone has changed is taken over: keys and cells with their deadlines, documents place by place, events and traces. What
    /// this run alone has changed stays, and what both have made the same. For what both have changed, each in its own way, the
    /// [strategies](Merge::strategies) say what becomes of it. Two places of a document are apart unless one lies in the other; who puts an item
    /// into an array or takes one out changes all of it; the order of members is no conflict. When both runs have events, or traces, that
    /// the other has not, theirs come behind those of this run as one block, or nothing is merged. An event that was merged before is known by
    /// its salt and a trace by its id, and not taken over again; where this run does not keep all of its own since the base that cannot be known, and
    /// is a conflict. Keys and places have no such mark: whoever merges a run again without saying [from where](Merge::base) takes over
    /// once more what this run has changed back since.
    ///
    /// What the runs say of themselves, tags, metadata, status and retention, is not merged, nor is what was erased in one of them;
    /// what is taken over is written by this run, so an [erasure](Self::erase) in the other does not reach it. Versions, times
    /// and hashes are those of the commit. Its cause is the newest commit of theirs, unless the handle [has one](Self::with_cause).
    ///
    /// When others write the same things meanwhile it is decided again by what they left, up to 100 times.
    ///
    /// # Errors
    /// `InvalidArgument` when no version is known that both have in common, for more changes than a
    /// [transaction](Self::transaction) holds, and for what is of another store and breaks a limit of this one; those of [`at`](Self::at) for the base, so `Unsupported` for runs in memory, which have to say
    /// their [base](Merge::base); `Unsupported`, naming the thing, where theirs has written something that was erased since, a trace below one that this run
    /// has not, or an effect before which it has not all of that name, or which it had and does not keep; `Conflict`
    /// when others were faster each time; whatever a write answers.
    ///
    /// ```
    /// use strata::{Database, Merge, Options, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let fork = run.fork()?;
    /// fork.put("hotel", "harbour")?;
    /// run.put("city", "Bergen")?;
    /// let report = run.merge(&Merge::of(&fork))?;
    /// assert!(report.conflicts.is_empty());
    /// assert_eq!(run.get("hotel")?.unwrap().version, report.commit.unwrap().version);
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn merge(&self, merge: &Merge<'_>) -> Result<MergeReport> {
        let (commit, report) = self.commit_planned(|ours| {
            let (operations, report) = self.plan_merge(merge, ours)?;
            let cause = Cause::Commit { run: merge.theirs.id(), version: report.theirs };
            Ok(Planned { operations, cause, told: report })
        })?;
        Ok(MergeReport { commit, ..report })
    }

    /// What it comes to for a picture of this run; whatever else is looked at is so behind that.
    fn plan_merge(&self, merge: &Merge<'_>, ours: &View) -> Result<(Vec<Operation>, MergeReport)> {
        let common;
        let base = match merge.base {
            Some(base) => base,
            None => {
                common = self.common_with(merge.theirs)?;
                &common
            }
        };
        let theirs = merge.theirs.snapshot()?.detach()?;
        let planned = plan(base.seen(), ours.seen(), theirs.seen(), merge.strategies)?;
        let MergePlan { operations, changes, conflicts } = planned;
        // Another store may have other limits.
        if !Arc::ptr_eq(self.engine(), merge.theirs.engine()) {
            let limits = self.limits();
            operations
                .iter()
                .try_for_each(|operation| operation.check_encoded_elsewhere(self.id(), limits))?;
        }
        let conflicts = conflicts.into_iter().map(|found| {
            let conflict = Conflict::decode(ours.run_id(), found.conflict)?;
            Ok(MergeConflict { conflict, resolution: found.resolution })
        });
        let conflicts = conflicts.collect::<Result<_>>()?;
        let (base, theirs) = (base.version(), theirs.version());
        Ok((operations, MergeReport { commit: None, base, theirs, changes, conflicts }))
    }

    /// The newest version that is known to be of both, as theirs had it.
    fn common_with(&self, theirs: &RunHandle) -> Result<View> {
        let refuse = |message: String| {
            Err(Error::new(ErrorKind::InvalidArgument, message).with_entity(EntityRef::run(theirs.id())))
        };
        let (own, other) = (self.id(), theirs.id());
        if !Arc::ptr_eq(self.engine(), theirs.engine()) {
            return refuse(format!("run {other} is of another store: say what it and run {own} began as"));
        }
        match Lineage::of(self.engine())?.common_ancestor(own, other) {
            // What the one does not keep any more the other may: a fork keeps what it began as.
            Some(point) => match theirs.view_at(point.version) {
                Err(error) if error.kind() == ErrorKind::HistoryTrimmed => self.view_at(point.version),
                found => found,
            },
            None => refuse(format!(
                "no version is known that runs {own} and {other} have in common: say what they began as"
            )),
        }
    }
}
