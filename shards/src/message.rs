//! What is said to a shard, and what it answers.

use std::sync::Arc;

use strata_primitives::{
    Cause, Commit, Durability, Effect, Error, ForkPoint, Operation, OperationId, Outcome, RunFilter, RunId,
    RunInfo, Stamp, Version,
};
use strata_runtime::reply::Responder;
use strata_wal::LogEnd;

use crate::boot::Boot;
use crate::checkpoint_kind::CheckpointKind;
use crate::execute::Shipped;
use crate::fork::ForkRequest;
use crate::frozen::Frozen;
use crate::history_query::{CommitPage, HistoryRequest};
use crate::import::ImportRequest;
use crate::reader::Reader;
use crate::report::{RetentionPreview, ShardCheckpoint, ShardRecovery, ShardStats};
use crate::subscription::{News, NewsFrom, SubscriptionId};
use crate::transaction::{TransactionId, TransactionStep};

/// What a caller may say about a write beside the write itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions {
    /// Raises the durability of this write above that of its run and store.
    pub durability: Option<Durability>,
    /// Makes a resent write answer with its first receipt instead of happening again.
    pub operation_id: Option<OperationId>,
    /// Why this is written; stored with the commit.
    pub cause: Option<Cause>,
}

impl CallOptions {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.durability.is_none() && self.operation_id.is_none() && self.cause.is_none()
    }
}

/// Call options as they travel: absent for nearly every call, so one word in the message.
pub type SentOptions = Option<Box<CallOptions>>;

/// What an atomic batch did.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchReceipt {
    /// The one commit of the batch; `None` when nothing changed.
    pub commit: Option<Commit>,
    /// What each operation revealed, in the order of the batch.
    pub effects: Vec<Effect>,
}

/// One page of a query over runs.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    /// The runs that match, ordered by id.
    pub runs: Vec<RunInfo>,
    /// Where the next page starts (exclusive); `None` at the end.
    pub next: Option<RunId>,
}

/// What a run began as. A run that was deleted is told as long as others need what they began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOrigin {
    /// The run.
    pub run: RunId,
    /// Its newest commit.
    pub version: Version,
    /// The version of another run that it was forked at, if it is a fork.
    pub forked_from: Option<ForkPoint>,
    /// Which life of that run this was, if it is a fork.
    pub parent_life: ParentLife,
    /// Whether it is there: it is not, once it was deleted.
    pub exists: bool,
}

/// Which life of a run it was that another was forked from. A run that is deleted and begun anew, or imported, has another one; versions
/// of two lives have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParentLife {
    /// The one that the run has, or the only one that it had before it was deleted.
    Present,
    /// One that came with this archive and has ended.
    Archived(u64),
    /// One that ended, or it is not known to be the present one.
    Unknown,
    /// That of a run of another store: the fork was imported.
    Elsewhere,
}

/// One page of what the runs of a shard began as.
#[derive(Clone, Debug, Default)]
pub struct OriginPage {
    /// The runs, ordered by id.
    pub origins: Vec<RunOrigin>,
    /// Where the next page starts (exclusive); `None` at the end.
    pub next: Option<RunId>,
}

/// What a shard answers. One type for every request, so that one pool of reply slots serves all.
#[derive(Debug)]
pub enum Answer {
    /// To one operation.
    Outcome(Outcome),
    /// To a batch of one run.
    Batch(Box<BatchReceipt>),
    /// To batches of many runs: one result each, in the order asked.
    Batches(Vec<Result<BatchReceipt, Error>>),
    /// To a step of a transaction: what was asked is refused, and the transaction goes on.
    Refused(Error),
    /// To a query over runs.
    Runs(Box<RunPage>),
    /// To who asked what runs began as.
    Origins(Box<OriginPage>),
    /// To who follows a run.
    News(Box<News>),
    /// To a question about the shard itself.
    Stats(Box<ShardStats>),
    /// To a restart.
    Recovery(Box<ShardRecovery>),
    /// To who asked what a run would give up.
    Retention(RetentionPreview),
    /// To who asked for what a snapshot shows.
    Frozen(Box<Frozen>),
    /// To who asked which commit a time belongs to.
    Stamp(Stamp),
    /// To who asked for commits of a run.
    Commits(Box<CommitPage>),
    /// To who asked for a checkpoint.
    Checkpoint(ShardCheckpoint),
    /// To who waited until a shard had settled.
    Forked(Vec<ForkPoint>),
    /// To what has nothing more to tell.
    Done,
    /// To a close; `None` from a shard without a log.
    Closed(Option<LogEnd>),
}

impl Answer {
    /// What one operation is answered; anything else is our mistake.
    pub(crate) fn into_outcome(self) -> Outcome {
        match self {
            Answer::Outcome(outcome) => outcome,
            other => unreachable!("an operation was answered with {other:?}"),
        }
    }

    /// What a step is answered: where something was asked, that or why it is refused; anything else is our mistake.
    pub(crate) fn into_step(self) -> Option<Result<Outcome, Error>> {
        match self {
            Answer::Outcome(outcome) => Some(Ok(outcome)),
            Answer::Refused(refusal) => Some(Err(refusal)),
            Answer::Done => None,
            other => unreachable!("a step was answered with {other:?}"),
        }
    }

    /// What a commit is answered; anything else is our mistake.
    pub(crate) fn into_receipt(self) -> BatchReceipt {
        match self {
            Answer::Batch(receipt) => *receipt,
            other => unreachable!("a commit was answered with {other:?}"),
        }
    }
}

/// A reply slot as the shard sees it.
pub type Reply = Responder<Result<Answer, Error>>;

/// What is asked of a shard.
#[derive(Debug)]
pub enum Message {
    /// One operation on one run.
    Operate {
        /// The run.
        run: RunId,
        /// The operation.
        operation: Operation,
        /// What the caller said about it.
        options: SentOptions,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Several operations on one run, all or nothing.
    Batch {
        /// The run.
        run: RunId,
        /// The operations, in order.
        operations: Vec<Operation>,
        /// What the caller said about them.
        options: SentOptions,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Batches of several runs, each all or nothing.
    Batches {
        /// The batches, in order.
        batches: Vec<(RunId, Vec<Operation>)>,
        /// Where the answer goes.
        reply: Reply,
    },
    /// One step of a transaction or of a snapshot.
    Step {
        /// The run.
        run: RunId,
        /// What to stage and to answer.
        step: Box<TransactionStep>,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Commit a transaction with what it wrote since its last step.
    Commit {
        /// The run.
        run: RunId,
        /// The transaction; `None` when no step of it was sent.
        id: Option<TransactionId>,
        /// The writes, in order.
        writes: Vec<Operation>,
        /// What the caller said about it.
        options: SentOptions,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Publish the run for a reader that asks again and again.
    Attend {
        /// The run.
        run: RunId,
        /// Where it reads.
        reader: Arc<Reader>,
    },
    /// Hand over what a snapshot shows.
    Freeze {
        /// The run.
        run: RunId,
        /// The snapshot.
        id: TransactionId,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Make a new run that begins as another one is, or was.
    Fork(Box<ForkRequest>),
    /// Look into the history of a run.
    History(Box<HistoryRequest>),
    /// Make a run that begins as an archive of the store has it.
    Import(Box<ImportRequest>),
    /// End a transaction that is not to commit, or a snapshot. Nobody waits for it.
    Release(TransactionId),
    /// Run a closure alone on a run, and commit what it writes.
    Execute {
        /// The run.
        run: RunId,
        /// The closure.
        shipped: Shipped,
        /// What the caller said about it.
        options: SentOptions,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Begin to follow a run.
    Subscribe {
        /// The run.
        run: RunId,
        /// The subscription.
        id: SubscriptionId,
        /// Where it begins.
        from: NewsFrom,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Tell what happened in a run that is followed, once there is something.
    Follow {
        /// The subscription.
        id: SubscriptionId,
        /// What is wanted next; what came before has arrived.
        from: NewsFrom,
        /// Where the answer goes.
        reply: Reply,
    },
    /// End a subscription. Nobody waits for it.
    Unsubscribe(SubscriptionId),
    /// One page of the runs of this shard.
    Query {
        /// Which runs.
        filter: Box<RunFilter>,
        /// Runs with an id up to this one were seen already.
        after: Option<RunId>,
        /// The most runs to answer.
        limit: usize,
        /// Where the answer goes.
        reply: Reply,
    },
    /// One page of what the runs of this shard began as.
    Lineage {
        /// Runs with an id up to this one were seen already.
        after: Option<RunId>,
        /// Where the answer goes.
        reply: Reply,
    },
    /// What is asked of the shard itself.
    Control(Control, Reply),
}

impl Message {
    /// Notes that a request was taken from the mailbox, if it reads or writes a run as it is: the way of these is timed. All others
    /// wait for what is no part of it: news, files, an image.
    #[cold]
    #[inline(never)]
    pub(crate) fn mark_taken(&mut self) {
        match self {
            Message::Operate { reply, .. }
            | Message::Batch { reply, .. }
            | Message::Batches { reply, .. }
            | Message::Step { reply, .. }
            | Message::Commit { reply, .. }
            | Message::Execute { reply, .. } => reply.mark_taken(),
            _ => {}
        }
    }

    /// Where the answer goes, if one is expected.
    pub(crate) fn into_reply(self) -> Option<Reply> {
        match self {
            Message::Operate { reply, .. }
            | Message::Batch { reply, .. }
            | Message::Batches { reply, .. }
            | Message::Step { reply, .. }
            | Message::Commit { reply, .. }
            | Message::Freeze { reply, .. }
            | Message::Execute { reply, .. }
            | Message::Subscribe { reply, .. }
            | Message::Follow { reply, .. }
            | Message::Query { reply, .. }
            | Message::Lineage { reply, .. }
            | Message::Control(_, reply) => Some(reply),
            Message::Fork(request) => Some(request.reply),
            Message::History(request) => Some(request.reply),
            Message::Import(request) => Some(request.reply),
            Message::Attend { .. } | Message::Release(_) | Message::Unsubscribe(_) => None,
        }
    }
}

/// What is asked of the shard itself.
#[derive(Debug)]
pub enum Control {
    /// Begin to serve, in this boot of the store.
    Start(Boot),
    /// Make everything appended so far durable, as asked for a run or for all.
    Sync(Option<RunId>),
    /// Write an image of what has changed.
    Checkpoint(CheckpointKind),
    /// Tell which versions forks need, once what images make unnecessary is put away.
    Settle,
    /// Tell the counters.
    Stats,
    /// Recover a shard that stopped, from its log.
    Restart,
    /// Stop after what was sent before.
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small_enough_that_its_place_in_the_mailbox_is_two_cache_lines() {
        let (operation, message) = (size_of::<Operation>(), size_of::<Message>());
        assert!(operation <= 64 && message <= 96, "an operation has {operation} bytes, a message {message}");
    }
}
