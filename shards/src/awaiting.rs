//! What is asked of a run, as calls that a task awaits.
//!
//! Nothing here waits: a full mailbox is an answer, and so is whatever is published. A call that is dropped before its answer
//! has come is as one whose answer was lost: what was sent takes effect all the same.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use strata_primitives::{Error, Limits, Operation, Outcome, RunId};
use strata_runtime::{Awaited, TaskReplyPool};

use crate::engine::{Engine, abandoned_error, forked_error, unsent_error};
use crate::execute::Shipped;
use crate::message::{Answer, BatchReceipt, Control, Message, Reply, SentOptions};
use crate::reader::Reader;
use crate::reading::Published;
use crate::transaction::TransactionStep;

thread_local! {
    /// Reply slots of tasks, given to the thread that has taken the answer.
    static REPLIES: TaskReplyPool<Result<Answer, Error>> = TaskReplyPool::new();
}

impl Engine {
    /// Does one operation on one run.
    pub async fn await_operate(
        &self,
        run: RunId,
        operation: Operation,
        options: SentOptions,
    ) -> Result<Outcome, Error> {
        let message = |reply| Message::Operate { run, operation, options, reply };
        Ok(self.await_answer(self.shard_of(run), message).await?.into_outcome())
    }

    /// Answers a read: at once, where what it looks at is as published.
    ///
    /// # Panics
    /// If it is a write.
    pub async fn await_read(
        &self,
        run: RunId,
        reader: &Arc<Reader>,
        operation: Operation,
        limits: &Limits,
    ) -> Result<Outcome, Error> {
        match self.read_published(run, reader, operation, limits)? {
            Published::Answered(outcome) => Ok(outcome),
            Published::NotKnown(operation) => self.await_operate(run, operation, None).await,
        }
    }

    /// Takes a snapshot one step further, and answers what that asks.
    ///
    /// # Errors
    /// What is refused, and whatever keeps the step from being taken.
    ///
    /// # Panics
    /// If it asks nothing.
    pub async fn await_step(&self, run: RunId, step: TransactionStep) -> Result<Outcome, Error> {
        let message = |reply| Message::Step { run, step: Box::new(step), reply };
        let answer = self.await_answer(self.shard_of(run), message).await?.into_step();
        answer.expect("what was asked is answered")
    }

    /// Does several operations on one run, all or nothing.
    pub async fn await_commit(
        &self,
        run: RunId,
        operations: Vec<Operation>,
        options: SentOptions,
    ) -> Result<BatchReceipt, Error> {
        let message = |reply| Message::Batch { run, operations, options, reply };
        Ok(self.await_answer(self.shard_of(run), message).await?.into_receipt())
    }

    /// Runs a closure alone on a run, and commits what it wrote.
    pub async fn await_execute(
        &self,
        run: RunId,
        shipped: Shipped,
        options: SentOptions,
    ) -> Result<BatchReceipt, Error> {
        let message = |reply| Message::Execute { run, shipped, options, reply };
        Ok(self.await_answer(self.shard_of(run), message).await?.into_receipt())
    }

    /// Makes every commit of `run` durable that was acknowledged before the call.
    pub async fn await_sync_run(&self, run: RunId) -> Result<(), Error> {
        let message = |reply| Message::Control(Control::Sync(Some(run)), reply);
        self.await_answer(self.shard_of(run), message).await.map(drop)
    }

    /// Sends one message to one shard at the first poll, and awaits the answer.
    async fn await_answer(
        &self,
        shard: usize,
        message: impl FnOnce(Reply) -> Message,
    ) -> Result<Answer, Error> {
        self.send_for_task(shard, message)?.await
    }

    fn send_for_task(
        &self,
        shard: usize,
        message: impl FnOnce(Reply) -> Message,
    ) -> Result<Asked<'_>, Error> {
        self.refuse_on_shard_thread()?;
        if !self.is_own_process() {
            return Err(forked_error());
        }
        // A thread that is ending has lost its pool already.
        let (awaited, mut reply) =
            REPLIES.try_with(TaskReplyPool::request).unwrap_or_else(|_| TaskReplyPool::new().request());
        if self.layers.is_some() {
            reply.mark_sent();
        }
        match self.shards[shard].try_send(message(reply)) {
            Ok(()) => Ok(Asked { engine: self, shard, awaited: Some(awaited) }),
            Err(error) => Err(unsent_error(shard, Duration::ZERO, &error)),
        }
    }
}

/// A message that was sent, until it is answered.
struct Asked<'e> {
    engine: &'e Engine,
    shard: usize,
    /// Taken by the answer.
    awaited: Option<Awaited<Result<Answer, Error>>>,
}

impl Future for Asked<'_> {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // In a child of fork(2) nobody would ever answer.
        if !self.engine.is_own_process() {
            return Poll::Ready(Err(forked_error()));
        }
        let awaited = self.awaited.as_mut().expect("an answer is taken once");
        let Poll::Ready(answer) = Pin::new(awaited).poll(context) else { return Poll::Pending };
        if let Some(mut awaited) = self.awaited.take() {
            self.engine.note_received(self.shard, || awaited.take_timeline());
            let _ = REPLIES.try_with(|replies| replies.recycle(awaited));
        }
        Poll::Ready(answer.unwrap_or_else(|_| Err(abandoned_error(self.shard))))
    }
}
