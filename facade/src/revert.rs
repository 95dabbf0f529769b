//! Making a run again what it was.

use strata_primitives::{Cause, Commit, EntityRef, Version, merge};

use crate::Result;
use crate::handle::RunHandle;
use crate::planned::Planned;
use crate::view::View;

impl RunHandle {
    /// Makes the run hold again what its commit `version` left: its keys, cells and documents, each place of these that has changed
    /// since, and its tags and metadata. That is a new commit, so nothing of the history goes, and it can be reverted in its turn; `None`
    /// where nothing has changed.
    ///
    /// Events and traces stay: they tell what happened, and it has. So do status and retention. Deadlines are those of then, so what would
    /// have expired by now is not there. The cause of the commit is the commit `version`, unless the handle [has one](Self::with_cause).
    ///
    /// When others write the same things meanwhile it is decided again by what they left, up to 100 times.
    ///
    /// # Errors
    /// Those of [`at`](Self::at) and of a write; `Unsupported`, naming the thing, where the run held something then that was erased since; a
    /// thing that holds an erased value now too is taken for the same. `InvalidArgument` for more changes than a [transaction](Self::transaction) holds, `Conflict` when others were faster each time.
    ///
    /// ```
    /// use strata::{Database, Options, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// let oslo = run.put("city", "Oslo")?;
    /// run.put("city", "Bergen")?;
    /// run.revert(oslo.version)?;
    /// assert_eq!(run.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// assert_eq!(run.info()?.version.0, 4);
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn revert(&self, version: Version) -> Result<Option<Commit>> {
        self.revert_to(version, None)
    }

    /// The same for one key, cell or document; for the run itself that is its tags and metadata.
    ///
    /// # Errors
    /// As [`revert`](Self::revert). `Unsupported` for an event or a trace, `InvalidArgument` for a thing of another run.
    pub fn revert_entity(&self, entity: &EntityRef, version: Version) -> Result<Option<Commit>> {
        self.check_own(entity)?;
        self.revert_to(version, Some(entity))
    }

    fn revert_to(&self, version: Version, only: Option<&EntityRef>) -> Result<Option<Commit>> {
        let plan = |is: &View| {
            // Each time anew: something of it may have been erased.
            let was = self.view_at(version)?;
            let operations = merge::revert(is.seen(), was.seen(), only)?;
            let cause = Cause::Commit { run: self.id(), version };
            Ok(Planned { operations, cause, told: () })
        };
        Ok(self.commit_planned(plan)?.0)
    }

    /// The run at a version, in the hands of the caller.
    pub(crate) fn view_at(&self, version: Version) -> Result<View> {
        self.at(version)?.detach()
    }
}
