//! A handle to one run, for tasks.

use strata_primitives::{Commit, Effect, Error, FindKey, KeyKind, Limits, Operation, Outcome, RunId};
use strata_shards::{BatchReceipt, Ending};

use crate::Result;
use crate::answers::{always, appended_of, written_of};
use crate::async_reads::{AsyncReads, request};
use crate::async_writes::AsyncWrites;
use crate::batch::Batch;
use crate::events::Appended;
use crate::handle::RunHandle;
use crate::scope::{Scope, pack, unpacked};
use crate::seeing::look_up_now;
use crate::transaction::Transacted;

/// A handle to one run whose calls are futures: cheap to clone, usable from any thread and in any executor.
///
/// What it reads and writes are the methods of [`AsyncReads`] and [`AsyncWrites`]. It says of its writes what the handle
/// said that it was made of, but for the [timeout](RunHandle::with_timeout): whoever awaits drops the future when he
/// has waited enough. Transactions, subscriptions and what looks into the history wait for shards, as opening a database does: inside an
/// executor they belong on a thread for blocking work.
///
/// ```
/// use strata::{AsyncReads, AsyncRunHandle, AsyncWrites, Database, Error, RunSpec};
///
/// async fn book(run: AsyncRunHandle) -> Result<i64, Error> {
///     let (nights, _) = run.increment("nights", 2).await?;
///     run.append("booked", "hotel").await?;
///     assert_eq!(run.get("nights").await?.unwrap().value.as_int(), Some(nights));
///     Ok(nights)
/// }
///
/// # fn main() -> Result<(), Error> {
/// let database = Database::in_memory()?;
/// let run = database.begin_run(RunSpec::named("trip"))?;
/// let nights = pollster::block_on(book(run.to_async()))?; // or any other executor
/// assert_eq!(nights, 2);
/// # database.close()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AsyncRunHandle {
    handle: RunHandle,
}

impl RunHandle {
    /// The same handle for tasks. It costs as much as a clone.
    pub fn to_async(&self) -> AsyncRunHandle {
        AsyncRunHandle { handle: self.clone() }
    }
}

impl AsyncRunHandle {
    /// The run.
    pub fn id(&self) -> RunId {
        self.handle.id()
    }

    /// The handle that it was made of, whose calls wait.
    pub fn handle(&self) -> &RunHandle {
        &self.handle
    }

    /// As [`RunHandle::commit`].
    ///
    /// # Errors
    /// Those of [`RunHandle::commit`].
    pub async fn commit(&self, batch: Batch) -> Result<BatchReceipt> {
        let (operations, options) = self.handle.unpack(batch)?;
        self.handle.engine().await_commit(self.id(), operations, options).await
    }

    /// As [`RunHandle::execute`]. A future that is dropped leaves the closure on its way: it runs all the same, and what it
    /// returns is dropped on the shard.
    ///
    /// # Errors
    /// Those of [`RunHandle::execute`].
    pub async fn execute<T, E>(
        &self,
        body: impl FnOnce(&Scope<'_, '_, '_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<Transacted<T>, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (shipped, result) = pack(body, Ending::Commit);
        let options = self.handle.sent_options()?;
        unpacked(self.handle.engine().await_execute(self.id(), shipped, options).await, &result)
    }

    /// As [`RunHandle::sync`].
    ///
    /// # Errors
    /// Those of [`RunHandle::sync`].
    pub async fn sync(&self) -> Result<()> {
        self.handle.engine().await_sync_run(self.id()).await
    }

    /// As [`RunHandle::delete_run`].
    ///
    /// # Errors
    /// Those of [`RunHandle::delete_run`].
    pub async fn delete_run(&self) -> Result<Commit> {
        Ok(always(self.write(Operation::RunDelete).await?))
    }
}

impl AsyncReads for AsyncRunHandle {
    fn run_id(&self) -> RunId {
        self.id()
    }

    fn limits(&self) -> &Limits {
        &self.handle.limits
    }

    async fn ask(&self, operation: Operation) -> Result<Outcome> {
        request(self).check_read(&operation)?;
        let RunHandle { limits, .. } = &self.handle;
        self.handle.engine().await_read(self.id(), self.handle.reader(), operation, limits).await
    }

    fn look_up_now(&self, kind: KeyKind, name: &str, found: &mut FindKey<'_>) -> Result<bool> {
        look_up_now(&self.handle, kind, name, found)
    }
}

impl AsyncWrites for AsyncRunHandle {
    type Receipt = Commit;
    type Appended = Appended;

    async fn write(&self, operation: Operation) -> Result<(Option<Commit>, Effect)> {
        request(self).check_write(&operation)?;
        let options = self.handle.sent_options()?;
        Ok(written_of(self.handle.engine().await_operate(self.id(), operation, options).await?))
    }

    async fn write_events(&self, operation: Operation) -> Result<Option<Appended>> {
        request(self).expect_append(&operation)?;
        Ok(appended_of(self.write(operation).await?))
    }
}
