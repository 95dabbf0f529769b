//! Commits that are sent one behind the other, and answered later.

use std::collections::VecDeque;
use std::sync::Arc;

use strata_primitives::{Error, ErrorKind};
use strata_shards::{BatchReceipt, Engine, Sent};

use crate::Result;
use crate::batch::Batch;
use crate::handle::RunHandle;

/// Commits under way: a thread sends batches to one run or to many and does not wait, and takes the answers in the order in
/// which it has sent.
///
/// Each batch is a commit of its own. Batches of one run take effect in the order in which they are sent; of different runs
/// nothing is promised. One that is refused stops none of those behind it: they were sent already.
///
/// A pipeline stays on its thread. Up to 64 commits under way allocate nothing for that; more do. Dropping it drops
/// the answers that were not taken: what was sent takes effect all the same.
///
/// ```
/// use strata::{Database, Pipeline, Reads, RunSpec};
///
/// # fn main() -> Result<(), strata::Error> {
/// let database = Database::in_memory()?;
/// let runs = [database.begin_run(RunSpec::named("a"))?, database.begin_run(RunSpec::named("b"))?];
/// let mut pipeline = Pipeline::new(16);
/// for number in 0..100 {
///     if pipeline.is_full() {
///         pipeline.receive().unwrap()?;
///     }
///     let run = &runs[number % 2];
///     let mut batch = run.batch();
///     batch.append("step", number as i64)?;
///     pipeline.send(run, batch)?;
/// }
/// while let Some(receipt) = pipeline.receive() {
///     assert!(receipt?.commit.is_some());
/// }
/// assert_eq!(runs[0].event_count()?.value, 50);
/// # database.close()
/// # }
/// ```
#[derive(Debug)]
pub struct Pipeline {
    depth: usize,
    /// Oldest first, each with what serves it.
    sent: VecDeque<(Arc<Engine>, Sent)>,
}

impl Pipeline {
    /// An empty one that has at most `depth` batches under way, and room for one at least. More than the
    /// [mailbox](crate::Options::mailbox_capacity) of a shard has room for are no faster.
    pub fn new(depth: usize) -> Pipeline {
        Pipeline { depth: depth.max(1), sent: VecDeque::new() }
    }

    /// Sends a batch to the run of `handle`, with what that says of its writes. It waits for nothing but room in the shard's
    /// mailbox, as every call does. A [timeout](RunHandle::with_timeout) of the handle counts from here on.
    ///
    /// # Errors
    /// Nothing was sent, and what is under way stays so: `Busy` when the pipeline is full, or the mailbox stays so;
    /// `InvalidArgument` for a batch of another run, `Closed`, `Unsupported` on a shard's thread.
    pub fn send(&mut self, handle: &RunHandle, batch: Batch) -> Result<()> {
        if self.is_full() {
            let message = format!("{} batches are under way: take an answer first", self.sent.len());
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let (operations, options) = handle.unpack(batch)?;
        let sent = handle.caller().send_commit(handle.id(), operations, options)?;
        self.sent.push_back((Arc::clone(handle.engine()), sent));
        Ok(())
    }

    /// Waits for the answer to the oldest batch whose answer was not taken yet: what [`commit`](RunHandle::commit) would have
    /// answered. `None` when nothing is under way.
    pub fn receive(&mut self) -> Option<Result<BatchReceipt>> {
        let (engine, sent) = self.sent.pop_front()?;
        Some(engine.receive(sent))
    }

    /// The same if the answer is there: it does not wait.
    pub fn try_receive(&mut self) -> Option<Result<BatchReceipt>> {
        let (engine, oldest) = self.sent.front()?;
        if engine.is_answered(oldest) { self.receive() } else { None }
    }

    /// How many answers were not taken yet.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether all answers were taken.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether an answer has to be taken before another batch is sent.
    pub fn is_full(&self) -> bool {
        self.sent.len() >= self.depth
    }
}
