//! A picture of a run at one version.

use std::sync::Arc;

use strata_primitives::{EntityRef, Error, ErrorKind, Limits, Operation, Outcome, RunId, Stamp, Version};
use strata_shards::{Purpose, TransactionId, TransactionStep};

use crate::Result;
use crate::handle::RunHandle;
use crate::reads::{Reads, request, unexpected};
use crate::view::View;

/// A picture of a run as it was when [`snapshot`](RunHandle::snapshot) was called, or at an older version that
/// [`at`](RunHandle::at) was asked for; later commits do not change it. Deadlines are judged by the time at which it
/// was opened, those of an older version by the time of its commit.
///
/// Dropping it lets the run forget what it kept for it. It is not durable: it ends with the store and with its shard.
///
/// # Errors
/// Any read may answer `HistoryTrimmed` when commits behind the snapshot have replaced more than
/// [`snapshot_size_max`](Limits::snapshot_size_max), and `Closed` when its shard has been restarted. What `at` made does not
/// depend on later commits, and is never trimmed.
#[derive(Debug)]
pub struct Snapshot {
    handle: RunHandle,
    id: TransactionId,
    stamp: Stamp,
}

impl Snapshot {
    pub(crate) fn open(handle: &RunHandle, purpose: Purpose) -> Result<Snapshot> {
        match Snapshot::open_any(handle, purpose)? {
            (snapshot, true) => Ok(snapshot),
            (_, false) => {
                let message = format!("run {} does not exist: create or begin it first", handle.id());
                Err(Error::new(ErrorKind::NotFound, message).with_entity(EntityRef::run(handle.id())))
            }
        }
    }

    /// The same, also where the run does not exist; whether it does. Which version it shows is known where it does.
    pub(crate) fn open_any(handle: &RunHandle, purpose: Purpose) -> Result<(Snapshot, bool)> {
        let id = TransactionId::fresh();
        let step =
            TransactionStep { id, begins: Some(purpose), writes: Vec::new(), ask: Some(Operation::RunGet) };
        // Made before the question is sent, so that dropping it closes what was opened whatever is answered.
        let mut snapshot = Snapshot { handle: handle.clone(), id, stamp: Stamp::default() };
        match handle.engine().step(handle.id(), step)?.expect("what was asked is answered")? {
            Outcome::Run(Some(info)) => {
                snapshot.stamp = Stamp { version: info.version, timestamp: info.timestamp };
                Ok((snapshot, true))
            }
            Outcome::Run(None) => Ok((snapshot, false)),
            other => unexpected(&other),
        }
    }

    /// The newest commit that it shows.
    pub fn version(&self) -> Version {
        self.stamp.version
    }

    /// The version and the time it shows the run at.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

impl Snapshot {
    /// The same picture in the hands of the caller: it is read on his own thread, and depends neither on the snapshot nor on the store.
    ///
    /// It costs what has changed in the run since the snapshot was opened, and shares everything with the run until either changes.
    /// What it has alone then is counted in no budget. What is erased later is still in it.
    ///
    /// # Errors
    /// `HistoryTrimmed` when the snapshot was given up, `Closed`.
    ///
    /// ```
    /// use strata::{Database, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let view = run.snapshot()?.detach()?;
    /// run.put("city", "Bergen")?;
    /// database.close()?;
    /// assert_eq!(view.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn detach(&self) -> Result<View> {
        let frozen = self.handle.engine().freeze(self.handle.id(), self.id)?;
        Ok(View::new(frozen, Arc::clone(&self.handle.limits)))
    }
}

impl Reads for Snapshot {
    fn run_id(&self) -> RunId {
        self.handle.id()
    }

    fn limits(&self) -> &Limits {
        self.handle.limits()
    }

    fn ask(&self, operation: Operation) -> Result<Outcome> {
        request(self).check_read(&operation)?;
        let step = TransactionStep { id: self.id, begins: None, writes: Vec::new(), ask: Some(operation) };
        self.handle.engine().step(self.run_id(), step)?.expect("what was asked is answered")
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.handle.engine().release(self.handle.id(), self.id);
    }
}
