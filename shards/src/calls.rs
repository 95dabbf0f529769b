//! What is asked of a run, as calls that wait for the answer.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strata_primitives::{Error, Operation, Outcome, Retention, RunId, Stamp, Timestamp, Version};
use strata_runtime::pinned::is_shard_thread;

use crate::engine::{Engine, PATIENCE};
use crate::execute::Shipped;
use crate::fork::ForkRequest;
use crate::frozen::Frozen;
use crate::history_query::{CommitPage, HistoryQuery, HistoryRequest};
use crate::message::{Answer, BatchReceipt, Control, Message, Reply, SentOptions};
use crate::report::RetentionPreview;
use crate::subscription::{News, NewsFrom, SubscriptionId};
use crate::transaction::{TransactionId, TransactionStep};

/// Who asks something of a run, and how long he waits for the answer.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'e> {
    pub(crate) engine: &'e Engine,
    /// `None` as long as it takes.
    pub(crate) timeout: Option<Duration>,
}

impl Engine {
    /// One who waits for each answer so long, and is told `TimedOut` then; without a timeout as long as it takes.
    #[inline]
    pub fn caller(&self, timeout: Option<Duration>) -> Caller<'_> {
        Caller { engine: self, timeout }
    }

    /// Ends a transaction that is not to commit, or a snapshot, without waiting for the answer; `is_patient` for room in the
    /// mailbox at most. If that stays full, the shard keeps what the snapshot shows until `snapshot_size_max` is reached.
    pub fn release(&self, run: RunId, id: TransactionId, is_patient: bool) {
        self.tell(run, Message::Release(id), is_patient);
    }

    /// What happened in a followed run; `None` when nothing did before the deadline.
    pub fn follow(
        &self,
        run: RunId,
        id: SubscriptionId,
        from: NewsFrom,
        deadline: Instant,
    ) -> Result<Option<News>, Error> {
        let message = |reply| Message::Follow { id, from, reply };
        match self.ask_until(self.shard_of(run), deadline, message)? {
            None => Ok(None),
            Some(Answer::News(news)) => Ok(Some(*news)),
            Some(other) => unreachable!("a follower was answered with {other:?}"),
        }
    }

    /// Ends a subscription, without waiting for the shard.
    pub fn unsubscribe(&self, run: RunId, id: SubscriptionId) {
        self.tell(run, Message::Unsubscribe(id), true);
    }

    /// Sends what needs no answer.
    fn tell(&self, run: RunId, message: Message, is_patient: bool) {
        // A shard's own thread must not wait for room in its own mailbox.
        let patience = if is_patient && !is_shard_thread() { PATIENCE } else { Duration::ZERO };
        if self.is_own_process() {
            let _ = self.shards[self.shard_of(run)].send(message, patience);
        }
    }
}

impl Caller<'_> {
    /// Does one operation on one run.
    pub fn operate(&self, run: RunId, operation: Operation, options: SentOptions) -> Result<Outcome, Error> {
        let message = |reply| Message::Operate { run, operation, options, reply };
        Ok(self.ask(self.engine.shard_of(run), message)?.into_outcome())
    }

    /// Does several operations on one run, all or nothing.
    pub fn commit(
        &self,
        run: RunId,
        operations: Vec<Operation>,
        options: SentOptions,
    ) -> Result<BatchReceipt, Error> {
        self.ask_receipt(run, |reply| Message::Batch { run, operations, options, reply })
    }

    /// Takes a transaction or a snapshot one step further. The answer is there when something was asked; where that
    /// was refused, the step was taken all the same.
    ///
    /// # Errors
    /// The step was not taken: it could not be sent, or the transaction is over.
    pub fn step(&self, run: RunId, step: TransactionStep) -> Result<Option<Result<Outcome, Error>>, Error> {
        let message = |reply| Message::Step { run, step: Box::new(step), reply };
        Ok(self.ask(self.engine.shard_of(run), message)?.into_step())
    }

    /// Commits a transaction, with what was written since its last step; one that took no step has no id yet.
    pub fn commit_transaction(
        &self,
        run: RunId,
        id: Option<TransactionId>,
        writes: Vec<Operation>,
        options: SentOptions,
    ) -> Result<BatchReceipt, Error> {
        self.ask_receipt(run, |reply| Message::Commit { run, id, writes, options, reply })
    }

    /// Runs a closure alone on a run, and commits what it wrote.
    pub fn execute(&self, run: RunId, shipped: Shipped, options: SentOptions) -> Result<BatchReceipt, Error> {
        self.ask_receipt(run, |reply| Message::Execute { run, shipped, options, reply })
    }

    /// Begins to follow a run.
    pub fn subscribe(&self, run: RunId, id: SubscriptionId, from: NewsFrom) -> Result<(), Error> {
        self.ask(self.engine.shard_of(run), |reply| Message::Subscribe { run, id, from, reply }).map(drop)
    }

    /// Makes `fork`, a new run that begins as `run` is, or was at a version.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` when there is a run of that id, those of looking at an older version, and those of a commit.
    ///
    /// # Panics
    /// If the id of the fork does not have the placement of the run.
    pub fn fork(
        &self,
        run: RunId,
        version: Option<Version>,
        fork: RunId,
        options: SentOptions,
    ) -> Result<BatchReceipt, Error> {
        assert_eq!(
            self.engine.shard_of(run),
            self.engine.shard_of(fork),
            "a fork lives beside the run that it began as"
        );
        self.ask_receipt(run, |reply| {
            Message::Fork(Box::new(ForkRequest { run, version, fork, options, base: None, reply }))
        })
    }

    /// What a snapshot shows, to be read without the shard.
    ///
    /// # Errors
    /// `HistoryTrimmed` when the snapshot was given up, `Closed` when it is not known.
    pub fn freeze(&self, run: RunId, id: TransactionId) -> Result<Frozen, Error> {
        match self.ask(self.engine.shard_of(run), |reply| Message::Freeze { run, id, reply })? {
            Answer::Frozen(frozen) => Ok(*frozen),
            other => unreachable!("a question for what a snapshot shows was answered with {other:?}"),
        }
    }

    /// The newest commit of a run that is not later than a time.
    ///
    /// # Errors
    /// `VersionNotFound` when there is none, `NotFound`, `HistoryTrimmed`, `Unsupported` for what lives in memory, `Corrupt`, `Io`.
    pub fn stamp_at(&self, run: RunId, time: Timestamp) -> Result<Stamp, Error> {
        match self.query_history(run, HistoryQuery::At(time))? {
            Answer::Stamp(stamp) => Ok(stamp),
            other => unreachable!("a time was answered with {other:?}"),
        }
    }

    /// One page of commits of a run.
    ///
    /// # Errors
    /// Those of [`stamp_at`](Self::stamp_at).
    ///
    /// # Panics
    /// If it is not commits that are asked for.
    pub fn commits(&self, run: RunId, query: HistoryQuery) -> Result<CommitPage, Error> {
        match self.query_history(run, query)? {
            Answer::Commits(page) => Ok(*page),
            other => unreachable!("a question for commits was answered with {other:?}"),
        }
    }

    /// Makes every commit of `run` durable that was acknowledged before the call.
    pub fn sync_run(&self, run: RunId) -> Result<(), Error> {
        let message = |reply| Message::Control(Control::Sync(Some(run)), reply);
        self.ask(self.engine.shard_of(run), message).map(drop)
    }

    /// What the next checkpoint would give up of the history of a run if it kept this much.
    pub fn preview_retention(
        &self,
        run: RunId,
        retention: Option<Retention>,
    ) -> Result<RetentionPreview, Error> {
        match self.query_history(run, HistoryQuery::Kept(retention))? {
            Answer::Retention(preview) => Ok(preview),
            other => unreachable!("a question for what would go was answered with {other:?}"),
        }
    }

    fn query_history(&self, run: RunId, query: HistoryQuery) -> Result<Answer, Error> {
        self.ask(self.engine.shard_of(run), |reply| {
            Message::History(Box::new(HistoryRequest { run, query, reply }))
        })
    }

    fn ask_receipt(&self, run: RunId, message: impl FnOnce(Reply) -> Message) -> Result<BatchReceipt, Error> {
        Ok(self.ask(self.engine.shard_of(run), message)?.into_receipt())
    }

    /// Sends one message to one shard and waits for the answer.
    #[inline]
    fn ask(&self, shard: usize, message: impl FnOnce(Reply) -> Message) -> Result<Answer, Error> {
        match self.timeout {
            None => self.engine.ask(shard, message),
            Some(timeout) => self.engine.ask_within(shard, timeout, message),
        }
    }
}

/// Ranges of ids that threads have taken.
static RANGES: AtomicU64 = AtomicU64::new(0);

/// Ids that one thread gives out before it takes another range.
const IDS_OF_A_RANGE: u64 = 1 << 20;

thread_local! {
    /// The next id of this thread, so that threads do not meet over a counter.
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
}

/// A number that nobody else in this process gets.
pub(crate) fn fresh_id() -> u64 {
    let mut id = NEXT_ID.get();
    if id.is_multiple_of(IDS_OF_A_RANGE) {
        // Relaxed: the number itself is all that is communicated.
        id = RANGES.fetch_add(1, Ordering::Relaxed) * IDS_OF_A_RANGE;
    }
    NEXT_ID.set(id + 1);
    id
}

impl TransactionId {
    /// An id that no other transaction or snapshot of this process has.
    pub fn fresh() -> TransactionId {
        TransactionId(fresh_id())
    }
}

impl SubscriptionId {
    /// An id that no other subscription of this process has.
    pub fn fresh() -> SubscriptionId {
        SubscriptionId(fresh_id())
    }
}
