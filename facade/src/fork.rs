//! Forking a run.

use strata_primitives::Version;

use crate::Result;
use crate::handle::RunHandle;
use crate::runs::id_beside;

impl RunHandle {
    /// A new run that begins as this one is: with every key, cell, document, event and trace, each at its version, and with its
    /// namespace, tags, metadata, durability and what it says of retention. From then on neither sees what becomes of the other.
    ///
    /// Forking is one commit of one record, however large the run is: the fork shares everything with it until either changes
    /// it. The fork has a fresh id beside that of this run, this run as its parent, and no name; it is active, whatever the
    /// status of this run. Its commits are numbered on from here, so that the versions of what it begins with keep their
    /// meaning, and older ones are still found by [`at`](Self::at), as those of the run that was forked. What was written with an operation id is not remembered in it.
    ///
    /// This run may go on, be finished, or be deleted: what the fork began as is kept for as long as it needs it, on disk the
    /// records of this run from there on.
    ///
    /// # Errors
    /// `NotFound` when the run does not exist, `InvalidArgument` for a handle with an operation id, whatever a write answers.
    ///
    /// ```
    /// use strata::{Database, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let other = run.fork()?;
    /// other.put("city", "Bergen")?;
    /// assert_eq!(run.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// assert_eq!(other.get("city")?.unwrap().value.as_str(), Some("Bergen"));
    /// # database.close()
    /// # }
    /// ```
    pub fn fork(&self) -> Result<RunHandle> {
        self.fork_of(None)
    }

    /// The same of the run as its commit `version` left it, which is made first as [`at`](Self::at) makes it, unless it is the
    /// newest, somebody looks at it, or another fork of it is in memory.
    ///
    /// A version that this run itself began with is one of the run that it was forked from, and so is the fork.
    ///
    /// # Errors
    /// Those of [`fork`](Self::fork) and of [`at`](Self::at): `VersionNotFound`, `HistoryTrimmed`, `Unsupported` for what lives in
    /// memory, `Busy` when 64 older versions are looked at or being made on its shard, `Corrupt`, `Io`.
    pub fn fork_at(&self, version: Version) -> Result<RunHandle> {
        self.fork_of(Some(version))
    }

    fn fork_of(&self, version: Option<Version>) -> Result<RunHandle> {
        self.refuse_operation_id("a fork takes no operation id: it is a run of its own each time")?;
        let options = self.sent_options()?;
        let fork = id_beside(self.id());
        self.caller().fork(self.id(), version, fork, options)?;
        Ok(self.of_other(fork))
    }
}
