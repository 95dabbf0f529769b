//! Transactions of one run.

use std::cell::RefCell;

use strata_primitives::{Effect, Error, ErrorKind, Limits, Operation, Outcome, RunId};
use strata_shards::{BatchReceipt, Purpose, TransactionId, TransactionStep};

use crate::Result;
use crate::answers::unexpected;
use crate::handle::RunHandle;
use crate::reads::{Reads, request};
use crate::writes::Writes;

/// A transaction under way: reads and writes of one run that take effect together, or not at all.
///
/// Its picture of the run is taken at its first read. Writes that reveal nothing (`put`, `append`, `cell_set` and the
/// like) wait in the transaction and travel with its next read or its commit; so a refusal of one, as by a run that
/// was closed, may be told by a later call, and ends the transaction. A refusal of what a call itself asks leaves
/// everything as it was, and counts as a read of what caused it; one because the commit has grown too large, or the
/// transaction has read too much, ends the transaction. So does a write that is not answered within the
/// [timeout](RunHandle::with_timeout) of its handle, since the shard may have it; a read may be asked again.
///
/// Dropping it without a commit leaves nothing behind. One thread at a time uses it.
///
/// # Errors
/// Any read may answer `HistoryTrimmed` when commits behind its picture have replaced more than
/// [`snapshot_size_max`](Limits::snapshot_size_max), `Closed` when its shard has been restarted, and `InvalidArgument`
/// when it has read more than [`transaction_reads_size_max`](Limits::transaction_reads_size_max).
#[derive(Debug)]
pub struct Transaction {
    handle: RunHandle,
    id: TransactionId,
    progress: RefCell<Progress>,
}

/// How far a transaction has come.
#[derive(Debug, Default)]
struct Progress {
    /// Whether the shard knows of it.
    has_begun: bool,
    /// Writes that were not sent yet.
    unsent: Vec<Operation>,
    /// What all writes so far take, bytes.
    write_size: usize,
    /// Writes so far, sent or not.
    write_count: usize,
    /// Why it has to end.
    failure: Option<Error>,
}

/// The place of a write among those of its transaction: its effect is `receipt.effects[index]` once that is
/// committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedWrite {
    /// Counted from 0.
    pub index: usize,
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Transacted<T> {
    /// What its closure returned.
    pub value: T,
    /// Its commit, if it changed anything, and what each of its writes revealed, in order.
    pub receipt: BatchReceipt,
    /// How often its closure ran: once, and once more for each conflict.
    pub attempts: u32,
}

impl<T> Transacted<T> {
    /// The sequence of the first event of an append.
    ///
    /// # Panics
    /// If `write` is not an append of this transaction.
    pub fn sequence_of(&self, write: StagedWrite) -> u64 {
        match self.receipt.effects.get(write.index) {
            Some(Effect::Sequence { first, .. }) => *first,
            other => panic!("write {} of the transaction is no append: {other:?}", write.index),
        }
    }
}

impl Transaction {
    pub(crate) fn new(handle: RunHandle) -> Transaction {
        Transaction { handle, id: TransactionId::fresh(), progress: RefCell::default() }
    }

    /// Commits what was written, if nothing that was read has changed. One that only read makes no commit.
    ///
    /// # Errors
    /// `Conflict` names the thing that changed and both of its versions; nothing is written then, and beginning anew
    /// may succeed. Otherwise whatever one of the writes answers.
    pub fn commit(mut self) -> Result<BatchReceipt> {
        let Progress { has_begun, unsent, write_count, failure, .. } = self.progress.get_mut();
        if let Some(failure) = failure {
            return Err(failure.clone());
        }
        if *write_count == 0 {
            // What it read was one version, and true when it began: nothing has to be checked.
            return Ok(BatchReceipt { commit: None, effects: Vec::new() });
        }
        let options = self.handle.sent_options()?;
        let id = has_begun.then_some(self.id);
        let unsent = std::mem::take(unsent);
        let outcome = self.handle.caller().commit_transaction(self.handle.id(), id, unsent, options);
        // A commit that has reached the shard ends the transaction there, whatever comes of it.
        *has_begun &= outcome.as_ref().is_err_and(has_not_arrived);
        outcome
    }

    /// Ends the transaction without a commit, as dropping it does.
    pub fn rollback(self) {}

    /// Sends what waits, and asks.
    fn step(&self, ask: Operation) -> Result<Outcome> {
        let mut progress = self.progress.borrow_mut();
        if let Some(failure) = &progress.failure {
            return Err(failure.clone());
        }
        let had_begun = std::mem::replace(&mut progress.has_begun, true);
        let begins = if had_begun { None } else { Some(Purpose::Transaction) };
        let writes = std::mem::take(&mut progress.unsent);
        let (has_writes, asks_write) = (!writes.is_empty(), ask.is_write());
        let step = TransactionStep { id: self.id, begins, writes, ask: Some(ask) };
        match self.handle.caller().step(self.handle.id(), step) {
            Ok(answer) => answer.expect("what was asked is answered"),
            Err(error) => {
                if has_not_arrived(&error) {
                    progress.has_begun = had_begun;
                }
                match error.kind() {
                    // The step is on its way, and the shard stages its writes, of whose effects nobody here knows.
                    ErrorKind::TimedOut if has_writes || asks_write => {
                        progress.failure = Some(over_for_lateness());
                    }
                    // What waited has gone with the step that was not taken; and what has grown or read too much has
                    // ended.
                    kind if has_writes || kind == ErrorKind::InvalidArgument => {
                        progress.failure = Some(error.clone());
                    }
                    _ => {}
                }
                Err(error)
            }
        }
    }
}

/// What everything answers that is asked of a transaction after a step with a write was not answered in time.
fn over_for_lateness() -> Error {
    let message = "the transaction is over and has changed nothing: a step with a write was not answered within its \
                   timeout; begin anew";
    Error::new(ErrorKind::TimedOut, message)
}

/// Whether the shard knows nothing of what was to be sent: its mailbox was full, or the caller is on a shard's thread.
fn has_not_arrived(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unsupported)
}

impl Reads for Transaction {
    fn run_id(&self) -> RunId {
        self.handle.id()
    }

    fn limits(&self) -> &Limits {
        self.handle.limits()
    }

    fn ask(&self, operation: Operation) -> Result<Outcome> {
        request(self).check_read(&operation)?;
        self.step(operation)
    }
}

impl Writes for Transaction {
    type Receipt = StagedWrite;
    type Appended = StagedWrite;

    fn write(&self, operation: Operation) -> Result<(Option<StagedWrite>, Effect)> {
        request(self).check_write(&operation)?;
        operation.check_joins(self.run_id())?;
        let Progress { write_count: index, write_size, .. } = *self.progress.borrow();
        let write_size = write_size + operation.size();
        self.limits().check_operations(self.run_id(), index + 1, "transaction")?;
        self.limits().check_operations_size(self.run_id(), write_size, "transaction")?;
        if operation.is_blind() {
            let mut progress = self.progress.borrow_mut();
            progress.unsent.push(operation);
            (progress.write_count, progress.write_size) = (index + 1, write_size);
            return Ok((Some(StagedWrite { index }), Effect::None));
        }
        let (has_changed, effect) = match self.step(operation)? {
            Outcome::Staged { has_changed, effect } => (has_changed, effect),
            other => unexpected(&other),
        };
        let mut progress = self.progress.borrow_mut();
        (progress.write_count, progress.write_size) = (index + 1, write_size);
        Ok((has_changed.then_some(StagedWrite { index }), effect))
    }

    fn write_events(&self, operation: Operation) -> Result<Option<StagedWrite>> {
        request(self).expect_append(&operation)?;
        Ok(self.write(operation)?.0)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.progress.get_mut().has_begun {
            self.handle.engine().release(self.handle.id(), self.id, true);
        }
    }
}
