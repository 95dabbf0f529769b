//! The life of a run, from its own handle.

use rand::RngCore;
use strata_primitives::{
    Commit, EntityRef, Error, ErrorKind, Operation, Outcome, RunId, RunInfo, RunSpec, RunStatus, Timestamp,
    Value,
};
use strata_shards::Clock;

use crate::Result;
use crate::handle::RunHandle;
use crate::kv::committed;

/// Status, tags and metadata.
impl RunHandle {
    /// What is known of the run.
    ///
    /// # Errors
    /// `NotFound` when the run was never created or is deleted.
    pub fn info(&self) -> Result<RunInfo> {
        match self.ask(Operation::RunGet)? {
            Outcome::Run(Some(info)) => Ok(*info),
            Outcome::Run(None) => {
                let message = format!("run {} does not exist: create or begin it first", self.id());
                Err(Error::new(ErrorKind::NotFound, message).with_entity(EntityRef::run(self.id())))
            }
            other => unreachable!("a question for a run was answered with {other:?}"),
        }
    }

    /// Ends the run as `Completed`, `Failed` or `Cancelled`.
    ///
    /// # Errors
    /// `InvalidArgument` for a status that is no end, or that the run cannot go to from its own.
    pub fn end(&self, status: RunStatus) -> Result<Option<Commit>> {
        if !matches!(status, RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled) {
            let message = format!("a run ends as completed, failed or cancelled, not as {status:?}");
            return Err(
                Error::new(ErrorKind::InvalidArgument, message).with_entity(EntityRef::run(self.id()))
            );
        }
        self.update_status(status)
    }

    /// Moves the run to another status; `None` if it has that status already.
    ///
    /// # Errors
    /// `InvalidArgument` for a status that cannot follow the present one.
    pub fn update_status(&self, status: RunStatus) -> Result<Option<Commit>> {
        Ok(self.write(Operation::RunUpdateStatus { status })?.0)
    }

    /// Takes up a paused or orphaned run: it is active, and begun in this opening of the database.
    /// `None` if it is so already.
    ///
    /// # Errors
    /// `RunClosed` for a run that has finished.
    pub fn resume(&self) -> Result<Option<Commit>> {
        self.update_status(RunStatus::Active)
    }

    /// Archives the run: nothing can be written to it any more.
    ///
    /// # Errors
    /// As [`update_status`](Self::update_status).
    pub fn archive(&self) -> Result<Option<Commit>> {
        self.update_status(RunStatus::Archived)
    }

    /// Replaces the run's tags, whatever its status.
    pub fn set_tags<T: Into<String>>(&self, tags: impl IntoIterator<Item = T>) -> Result<Option<Commit>> {
        let tags = tags.into_iter().map(Into::into).collect();
        Ok(self.write(Operation::RunSetTags { tags })?.0)
    }

    /// Replaces the run's metadata, whatever its status.
    pub fn set_metadata(&self, metadata: impl Into<Value>) -> Result<Option<Commit>> {
        Ok(self.write(Operation::RunSetMetadata { metadata: metadata.into() })?.0)
    }

    /// Deletes the run and all it holds, but not runs that name it as parent. A run created again
    /// under its name goes on with its version numbers.
    pub fn delete_run(&self) -> Result<Commit> {
        Ok(committed(self.write(Operation::RunDelete)?.0))
    }
}

/// The id of the run that a spec speaks of: derived from its name, or fresh.
pub(crate) fn id_of(spec: &RunSpec) -> RunId {
    match &spec.name {
        Some(name) => RunId::named(&spec.namespace, name),
        None => {
            let mut random = [0; 10];
            rand::rng().fill_bytes(&mut random);
            let Timestamp(now) = Clock::System.now();
            RunId::fresh(now, random)
        }
    }
}
