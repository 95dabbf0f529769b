//! The run as a closure sees it that runs on the run's own shard.

use std::cell::RefCell;
use std::sync::mpsc;

use strata_primitives::{Effect, Error, Limits, Operation, Outcome, RunId, Timestamp};
use strata_shards::{BatchReceipt, Ending, Shipped, Turn};

use crate::Result;
use crate::reads::{Reads, request};
use crate::transaction::{StagedWrite, Transacted};
use crate::writes::Writes;

/// The run inside [`execute`](crate::RunHandle::execute): as it is, with the closure's own writes over it.
#[derive(Debug)]
pub struct Scope<'c, 't, 's> {
    turn: RefCell<&'c mut Turn<'t, 's>>,
    run: RunId,
    limits: &'t Limits,
}

impl<'c, 't, 's> Scope<'c, 't, 's> {
    fn new(turn: &'c mut Turn<'t, 's>) -> Self {
        let (run, limits) = (turn.run_id(), turn.limits());
        Scope { turn: RefCell::new(turn), run, limits }
    }
}

impl Scope<'_, '_, '_> {
    pub(crate) fn erasure_mark(&self) -> u64 {
        self.turn.borrow().erasure_mark()
    }

    /// The time of the commit that it may make.
    pub(crate) fn now(&self) -> Timestamp {
        self.turn.borrow().now()
    }
}

impl Reads for Scope<'_, '_, '_> {
    fn run_id(&self) -> RunId {
        self.run
    }

    fn limits(&self) -> &Limits {
        self.limits
    }

    fn ask(&self, operation: Operation) -> Result<Outcome> {
        // Its limits are checked with the decision, on this thread.
        request(self).expect_read(&operation)?;
        self.turn.borrow_mut().read(operation)
    }
}

impl Writes for Scope<'_, '_, '_> {
    type Receipt = StagedWrite;
    type Appended = StagedWrite;

    fn write(&self, operation: Operation) -> Result<(Option<StagedWrite>, Effect)> {
        request(self).expect_write(&operation)?;
        let (index, has_changed, effect) = self.turn.borrow_mut().write(operation)?;
        Ok((has_changed.then_some(StagedWrite { index }), effect))
    }

    fn write_events(&self, operation: Operation) -> Result<Option<StagedWrite>> {
        request(self).expect_append(&operation)?;
        Ok(self.write(operation)?.0)
    }
}

/// Packs a closure for its shard; its result comes out at the other end.
pub(crate) fn pack<T, E>(
    body: impl FnOnce(&Scope<'_, '_, '_>) -> std::result::Result<T, E> + Send + 'static,
    ending: Ending,
) -> (Shipped, mpsc::Receiver<std::result::Result<T, E>>)
where
    T: Send + 'static,
    E: Send + 'static,
{
    let (sender, result) = mpsc::sync_channel(1);
    let shipped = Shipped::new(move |turn| {
        let result = body(&Scope::new(turn));
        let ending = if result.is_ok() { ending } else { Ending::Discard };
        // The place is there and free, unless the caller has given up waiting: then nobody wants it.
        let _ = sender.send(result);
        ending
    });
    (shipped, result)
}

/// What came of a packed closure. What it makes of what it saw is told only with the shard's word that it may be seen.
pub(crate) fn unpacked<T, E: From<Error>>(
    receipt: Result<BatchReceipt>,
    result: &mpsc::Receiver<std::result::Result<T, E>>,
) -> std::result::Result<Transacted<T>, E> {
    match (receipt, result.try_recv()) {
        (Ok(receipt), Ok(value)) => value.map(|value| Transacted { value, receipt, attempts: 1 }),
        (Err(error), _) => Err(error.into()),
        (Ok(_), Err(_)) => unreachable!("a closure that was answered has returned"),
    }
}
