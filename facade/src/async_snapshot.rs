//! A picture of a run at one version, for tasks.

use strata_primitives::{FindKey, KeyKind, Limits, Operation, Outcome, RunId, Stamp, Version};
use strata_shards::Purpose;

use crate::Result;
use crate::async_handle::AsyncRunHandle;
use crate::async_reads::AsyncReads;
use crate::reads::Reads;
use crate::seeing::look_up_now;
use crate::snapshot::{Route, Snapshot};

/// A [`Snapshot`] whose reads are futures.
///
/// Opening one of a run that is published, and reading it, asks nobody. Dropping it never waits: where the mailbox of the shard is
/// full at that moment the shard keeps what it shows until [`snapshot_size_max`](Limits::snapshot_size_max) is
/// reached.
///
/// ```
/// use strata::{AsyncReads, AsyncWrites, Database, RunSpec, Writes};
///
/// # fn main() -> Result<(), strata::Error> {
/// let database = Database::in_memory()?;
/// let run = database.begin_run(RunSpec::named("trip"))?;
/// let oslo = run.put("city", "Oslo")?;
/// let run = run.to_async();
/// pollster::block_on(async {
///     let before = run.snapshot().await?;
///     run.put("city", "Bergen").await?;
///     assert_eq!(before.version(), oslo.version);
///     assert_eq!(before.get("city").await?.unwrap().value.as_str(), Some("Oslo"));
///     Ok::<_, strata::Error>(())
/// })?;
/// # database.close()
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncSnapshot {
    snapshot: Snapshot,
}

impl AsyncRunHandle {
    /// As [`RunHandle::snapshot`](crate::RunHandle::snapshot).
    ///
    /// # Errors
    /// Those of [`RunHandle::snapshot`](crate::RunHandle::snapshot).
    pub async fn snapshot(&self) -> Result<AsyncSnapshot> {
        AsyncSnapshot::open(self, Purpose::Snapshot).await
    }

    /// As [`RunHandle::at`](crate::RunHandle::at). A future that is dropped leaves the version to be made, and given up then.
    ///
    /// # Errors
    /// Those of [`RunHandle::at`](crate::RunHandle::at).
    pub async fn at(&self, version: Version) -> Result<AsyncSnapshot> {
        AsyncSnapshot::open(self, Purpose::Past { version, judged_at: None }).await
    }
}

impl AsyncSnapshot {
    async fn open(run: &AsyncRunHandle, purpose: Purpose) -> Result<AsyncSnapshot> {
        let handle = run.handle();
        if let Some(snapshot) = Snapshot::published(handle, purpose)? {
            return Ok(AsyncSnapshot { snapshot: snapshot.awaited() });
        }
        let (snapshot, step) = Snapshot::asked_for(handle, purpose);
        let mut snapshot = snapshot.awaited();
        let outcome = handle.engine().await_step(handle.id(), step).await?;
        let exists = snapshot.note_opened(&outcome);
        Ok(AsyncSnapshot { snapshot: Snapshot::existing((snapshot, exists))? })
    }

    /// The newest commit that it shows.
    pub fn version(&self) -> Version {
        self.snapshot.version()
    }

    /// The version and the time it shows the run at.
    pub fn stamp(&self) -> Stamp {
        self.snapshot.stamp()
    }
}

impl AsyncReads for AsyncSnapshot {
    fn run_id(&self) -> RunId {
        self.snapshot.run_id()
    }

    fn limits(&self) -> &Limits {
        self.snapshot.limits()
    }

    async fn ask(&self, operation: Operation) -> Result<Outcome> {
        let (engine, run) = (self.snapshot.handle().engine(), self.run_id());
        match self.snapshot.route(operation)? {
            Route::Answered(outcome) => Ok(outcome),
            Route::Step(step) => engine.await_step(run, step).await,
            Route::Receipt(operation) => {
                let outcome = engine.await_operate(run, operation, None).await?;
                Ok(self.snapshot.shown_receipt(outcome))
            }
        }
    }

    fn look_up_now(&self, kind: KeyKind, name: &str, found: &mut FindKey<'_>) -> Result<bool> {
        look_up_now(&self.snapshot, kind, name, found)
    }
}
