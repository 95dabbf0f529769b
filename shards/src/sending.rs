//! What is sent to a run now, and whose answer is waited for later.

use std::time::{Duration, Instant};

use strata_primitives::{Error, Operation, RunId};
use strata_runtime::reply::Pending;

use crate::calls::Caller;
use crate::engine::{Engine, PATIENCE, deadline_in, forked_error, timed_out_error, with_replies};
use crate::message::{Answer, BatchReceipt, Message, SentOptions};

/// A commit that was sent; the thread that did so waits for its answer, or drops it.
#[derive(Debug)]
pub struct Sent {
    shard: usize,
    pending: Pending<Result<Answer, Error>>,
    /// When the wait ends, and how long it was to be.
    deadline: Option<(Instant, Duration)>,
}

impl Caller<'_> {
    /// Sends several operations on one run, all or nothing, and waits for room in the mailbox at most.
    pub fn send_commit(
        &self,
        run: RunId,
        operations: Vec<Operation>,
        options: SentOptions,
    ) -> Result<Sent, Error> {
        let Caller { engine, timeout } = *self;
        engine.refuse_on_shard_thread()?;
        // Who waits for the answer at once is told by the wait; this one would believe that it was sent.
        if !engine.is_own_process() {
            return Err(forked_error());
        }
        let (shard, deadline) =
            (engine.shard_of(run), timeout.map(|timeout| (deadline_in(timeout), timeout)));
        let patience = timeout.map_or(PATIENCE, |timeout| timeout.min(PATIENCE));
        let message = |reply| Message::Batch { run, operations, options, reply };
        let pending = with_replies(|replies| engine.send(replies, shard, patience, message))?;
        Ok(Sent { shard, pending, deadline })
    }
}

impl Engine {
    /// Whether [`receive`](Self::receive) would not wait: the answer is there, or can never come.
    pub fn is_answered(&self, sent: &Sent) -> bool {
        sent.pending.is_settled() || !self.is_own_process()
    }

    /// Waits for the answer to what was sent: until the timeout of its caller, counted from there.
    pub fn receive(&self, Sent { shard, pending, deadline }: Sent) -> Result<BatchReceipt, Error> {
        self.refuse_on_shard_thread()?;
        let answer = with_replies(|replies| match deadline {
            None => self.wait(replies, shard, pending),
            Some((deadline, timeout)) => self
                .wait_until(replies, shard, pending, deadline)?
                .ok_or_else(|| timed_out_error(shard, timeout)),
        });
        answer.map(Answer::into_receipt)
    }
}
