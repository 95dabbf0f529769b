//! A handle to one run.

use std::fmt;
use std::sync::Arc;

use strata_primitives::{
    Cause, Commit, Durability, Effect, Error, ErrorKind, Limits, Operation, OperationId, Outcome, RunId,
};
use strata_shards::message::{CallOptions, SentOptions};
use strata_shards::{BatchReceipt, Engine};

use crate::Result;
use crate::batch::Batch;

/// A handle to one run: cheap to clone, usable from any thread.
///
/// Every call is one message to the run's shard and waits for the answer. Calls of one thread take
/// effect in order.
///
/// # Errors
/// Beside what each call names, any call may answer `NotFound` (the run was never created or is
/// deleted), `Busy` (the shard's mailbox stayed full), `Closed` (the database or the shard has
/// stopped); any write `InvalidArgument` (a limit), `RunClosed` (the run is not active), `Full` (no
/// space; nothing happened) and `LogFailed` (outcome unknown until reopened).
#[derive(Clone)]
pub struct RunHandle {
    engine: Arc<Engine>,
    pub(crate) limits: Arc<Limits>,
    id: RunId,
    options: CallOptions,
}

impl RunHandle {
    pub(crate) fn new(engine: Arc<Engine>, limits: Arc<Limits>, id: RunId) -> RunHandle {
        RunHandle { engine, limits, id, options: CallOptions::default() }
    }

    /// The run.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// A handle whose writes are promised at least this much. It can only be raised: asking for less
    /// than the run has is refused at the write.
    pub fn with_durability(&self, durability: Durability) -> RunHandle {
        let mut handle = self.clone();
        handle.options.durability = Some(durability);
        handle
    }

    /// A handle whose writes carry this id: use it for one write, and again to send that write again.
    /// After an unknown outcome it then answers with its first receipt and does not happen twice.
    /// Another write with the same id is refused with `InvalidArgument`. A write that changed nothing
    /// made no commit and leaves no receipt; a run remembers its latest 65,536.
    ///
    /// ```
    /// # use strata::{Database, OperationId, RunSpec};
    /// # let database = Database::in_memory()?;
    /// # let run = database.begin_run(RunSpec::named("r"))?;
    /// let payment = run.with_operation_id(OperationId([7; 16]));
    /// let first = payment.append("pay", 120)?;
    /// assert_eq!(payment.append("pay", 120)?, first);
    /// assert_eq!(run.event_count()?.value, 1);
    /// # Ok::<(), strata::Error>(())
    /// ```
    pub fn with_operation_id(&self, id: OperationId) -> RunHandle {
        let mut handle = self.clone();
        handle.options.operation_id = Some(id);
        handle
    }

    /// A handle whose writes store why they are made.
    pub fn with_cause(&self, cause: Cause) -> RunHandle {
        let mut handle = self.clone();
        handle.options.cause = Some(cause);
        handle
    }

    /// An empty batch for this run.
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.limits), self.id)
    }

    /// Commits a batch: all of its operations or none. An empty batch makes no commit.
    ///
    /// # Errors
    /// The first operation that fails, with its place in the batch and its entity;
    /// `InvalidArgument` for a batch of another run.
    pub fn commit(&self, batch: Batch) -> Result<BatchReceipt> {
        if batch.run() != self.id {
            let message = format!("a batch of run {} cannot be committed to run {}", batch.run(), self.id);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let options = self.sent_options()?;
        self.engine.commit(self.id, batch.into_operations(), options)
    }

    /// Makes every commit of this run durable that was acknowledged before the call.
    ///
    /// # Errors
    /// `LogFailed` when the log has failed, `Unsupported` for an in-memory database or run.
    pub fn sync(&self) -> Result<()> {
        self.engine.sync_run(self.id)
    }

    /// Asks something of the run that changes nothing.
    pub(crate) fn ask(&self, operation: Operation) -> Result<Outcome> {
        operation.check(self.id, &self.limits)?;
        self.engine.operate(self.id, operation, None)
    }

    /// Writes, and tells what was committed and revealed.
    pub(crate) fn write(&self, operation: Operation) -> Result<(Option<Commit>, Effect)> {
        operation.check(self.id, &self.limits)?;
        match self.engine.operate(self.id, operation, self.sent_options()?)? {
            Outcome::Written { commit, effect } => Ok((commit, effect)),
            other => unreachable!("a write was answered with {other:?}"),
        }
    }

    fn sent_options(&self) -> Result<SentOptions> {
        if self.options.is_empty() {
            return Ok(None);
        }
        if let Some(cause) = &self.options.cause {
            cause.check(&self.limits)?;
        }
        Ok(Some(Box::new(self.options.clone())))
    }
}

impl fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHandle")
            .field("id", &self.id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
