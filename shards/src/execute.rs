//! Closures that travel to a shard and run there alone.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use strata_primitives::{
    Answer as Validated, Context, Draft, Effect, Error, ErrorKind, Limits, Operation, OrderIndex, Outcome,
    RunId, Timestamp, validate,
};

use crate::boot::Boot;
use crate::rewrite::Told;
use crate::setup::Setup;

/// What a closure is given: the run as it is, and its own writes over it.
///
/// Nothing happens to the run before the closure has returned; then all of its writes are one commit.
#[derive(Debug)]
pub struct Turn<'t, 's> {
    draft: &'t mut Draft<'s>,
    context: Context,
    boot: Boot,
    erasure_mark: u64,
    limits: &'t Limits,
    effects: Vec<Effect>,
    /// Keys that were walked in order: the run keeps an index for the next time.
    walked: Vec<OrderIndex>,
}

impl<'t> Turn<'t, '_> {
    /// The run.
    pub fn run_id(&self) -> RunId {
        self.draft.run_id()
    }

    /// What is refused for its size.
    pub fn limits(&self) -> &'t Limits {
        self.limits
    }

    /// The time of the commit that the closure makes.
    pub fn now(&self) -> Timestamp {
        self.context.now
    }

    /// What was erased last on the shard, as [`Frozen::erasure_mark`](crate::Frozen::erasure_mark) tells it.
    pub fn erasure_mark(&self) -> u64 {
        self.erasure_mark
    }

    /// Answers a read from the run with the closure's own writes over it.
    pub fn read(&mut self, operation: Operation) -> Result<Outcome, Error> {
        self.note_walk(&operation);
        match validate(operation, self.draft, &self.context, self.limits)? {
            Validated::Read(outcome) => Ok(self.boot.tell_orphaned(outcome)),
            Validated::Write(_) => unreachable!("a read has no effect"),
        }
    }

    /// Stages a write and tells which one of the closure it is, whether it changes anything, and what it reveals.
    pub fn write(&mut self, operation: Operation) -> Result<(usize, bool, Effect), Error> {
        operation.check_joins(self.run_id())?;
        self.limits.check_operations(self.run_id(), self.effects.len() + 1, "closure")?;
        self.note_walk(&operation);
        let Told { effect, has_changed } = Told::of(operation, self.draft, &self.context, self.limits)?;
        self.effects.push(effect);
        Ok((self.effects.len() - 1, has_changed, effect))
    }

    fn note_walk(&mut self, operation: &Operation) {
        if let Some(keys) = operation.needs_order()
            && !self.walked.contains(&keys)
        {
            self.walked.push(keys);
        }
    }
}

/// What becomes of what a closure wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// One commit.
    Commit,
    /// Nothing, but it is refused where a commit of it would be: for the size of its run, for one.
    Check,
    /// Nothing.
    Discard,
}

/// A closure on its way to a shard. It tells what becomes of what it wrote.
pub struct Shipped(Box<dyn FnOnce(&mut Turn<'_, '_>) -> Ending + Send>);

/// What came of a closure.
pub(crate) struct Executed {
    /// What becomes of its writes, and what each of them revealed; `Panicked` when what it had staged is to be dropped.
    pub(crate) ended: Result<(Ending, Vec<Effect>), Error>,
    /// Keys that it walked in order without an index.
    pub(crate) walked: Vec<OrderIndex>,
    /// Whether it held the shard longer than it should have.
    pub(crate) is_over_budget: bool,
}

impl Shipped {
    /// Packs a closure.
    pub fn new(closure: impl FnOnce(&mut Turn<'_, '_>) -> Ending + Send + 'static) -> Shipped {
        Shipped(Box::new(closure))
    }

    /// Runs the closure on a draft.
    pub(crate) fn run(
        self,
        draft: &mut Draft<'_>,
        context: &Context,
        boot: Boot,
        erasure_mark: u64,
        setup: &Setup,
    ) -> Executed {
        let (effects, walked, limits) = (Vec::new(), Vec::new(), &setup.limits);
        let mut turn = Turn { draft, context: *context, boot, erasure_mark, limits, effects, walked };
        let started = Instant::now();
        // The draft may be left half changed by a panic, and is dropped then; nothing else is reached from here.
        let ended = catch_unwind(AssertUnwindSafe(|| (self.0)(&mut turn)));
        let Turn { effects, walked, draft, .. } = turn;
        let is_over_budget = is_over_budget(draft.run_id(), started.elapsed(), setup);
        let ended = ended.map(|ending| (ending, effects)).map_err(panicked);
        Executed { ended, walked, is_over_budget }
    }
}

impl fmt::Debug for Shipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shipped(..)")
    }
}

fn is_over_budget(run: RunId, took: Duration, setup: &Setup) -> bool {
    let is_over = took > setup.execute_budget;
    if is_over {
        let took_micros = took.as_micros() as u64;
        tracing::warn!(target: "strata", %run, took_micros, "a closure held its shard longer than execute_budget");
    }
    is_over
}

fn panicked(panic: Box<dyn Any + Send>) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let said = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("it did not say why");
    let message = format!("the closure panicked, and nothing was written: {said}");
    // What it panicked with is the caller's too, and may panic once more when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    Error::new(ErrorKind::Panicked, message)
}
