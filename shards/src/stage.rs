//! How a write is decided: its operations become mutations, and those one encoded record.

use strata_primitives::{
    Answer as Validated, Cause, Commit, CommitReads, Context, Draft, Durability, Effect, EntityRef, Error,
    ErrorKind, Fingerprint, Limits, Mutation, Operation, OperationId, OrderIndex, Receipt, RunId, RunState,
    Stamp, trim_entries, validate,
};

use crate::commit::{Staged, Step};
use crate::execute::{Ending, Executed, Shipped};
use crate::message::CallOptions;
use crate::record::{self, IdentifiedWrite, RecordHead};
use crate::rewrite::{Rewrite, decide_again};
use crate::run::Run;
use crate::shard::Shard;

/// Most expired keys that one cleaning commit deletes.
const EXPIRE_COUNT_MAX: usize = 64;

/// The operations of one atomic write.
#[derive(Debug)]
pub(crate) enum Operations {
    /// A single one.
    One(Operation),
    /// A batch, in order.
    Many(Vec<Operation>),
    /// What a transaction wrote, in order, and what it had read, where that is kept.
    Again { writes: Vec<Rewrite>, reads: Option<CommitReads> },
    /// Whatever the closure writes.
    Shipped(Shipped),
}

/// What a write did: its commit, if anything changed, and what each operation revealed.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) commit: Option<Commit>,
    pub(crate) effects: Effects,
}

impl Written {
    /// What a transaction did that has nothing to write, or a closure of which nothing is to be written.
    pub(crate) fn nothing() -> Written {
        Written { commit: None, effects: Effects::Many(Vec::new()) }
    }
}

/// What the operations of one write revealed. A single one needs no allocation.
#[derive(Clone, Debug)]
pub(crate) enum Effects {
    One(Effect),
    Many(Vec<Effect>),
}

impl Effects {
    pub(crate) fn as_slice(&self) -> &[Effect] {
        match self {
            Effects::One(effect) => std::slice::from_ref(effect),
            Effects::Many(effects) => effects,
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Effect> {
        match self {
            Effects::One(effect) => vec![effect],
            Effects::Many(effects) => effects,
        }
    }
}

/// What a write comes to before the log is asked.
pub(crate) enum Decision {
    Commit(Staged),
    /// Nothing is to be committed: nothing changes, or the write happened before.
    Answered(Written),
}

impl Shard {
    /// Validates the operations on a draft of the run and encodes what they change. Changes nothing.
    pub(crate) fn stage(
        &mut self,
        run_id: RunId,
        operations: Operations,
        options: Option<&CallOptions>,
    ) -> Result<Decision, Error> {
        self.check_takes_commits("write")?;
        self.order_for(run_id, operations.known());
        let blank;
        let run = match self.runs.get(run_id) {
            Some(run) => run,
            None => {
                blank = Run::new(self.runs.blank(run_id));
                &blank
            }
        };
        let state = &run.state;
        let identity = identify(&operations, options);
        if let Some(written) = answered_before(state, identity, &operations)? {
            return Ok(Decision::Answered(written));
        }
        let context = Context { now: self.now.max(state.timestamp()), boot: self.boot.number };
        let limits = &self.setup.limits;
        let mut draft = Draft::with_buffer(state.view(), std::mem::take(&mut self.spare_mutations));
        let (mut kept_reads, mut ending) = (None, Ending::Commit);
        let effects = match operations {
            Operations::One(operation) => Effects::One(decide(operation, &mut draft, &context, limits)?),
            Operations::Many(operations) => decide_batch(operations, &mut draft, &context, limits)?,
            Operations::Again { writes, reads } => {
                kept_reads = reads;
                Effects::Many(decide_again(writes, &mut draft, &context, limits)?)
            }
            Operations::Shipped(shipped) => {
                let Executed { ended, walked, is_over_budget } =
                    shipped.run(&mut draft, &context, self.boot, self.erasure_mark, &self.setup);
                self.stats.overruns += u64::from(is_over_budget);
                // The keys it walked were sorted for it; the next turn gives the run an index for the next closure.
                self.walked.extend(walked.into_iter().map(|keys| (run_id, keys)));
                let (wanted, effects) = ended?;
                ending = wanted;
                if ending == Ending::Discard {
                    return Ok(Decision::Answered(Written::nothing()));
                }
                Effects::Many(effects)
            }
        };
        trim_entries(&mut draft, &context, &self.setup.entry_retention);
        let mutations = draft.into_mutations();
        if mutations.is_empty() {
            self.spare_mutations = mutations;
            return Ok(Decision::Answered(Written { commit: None, effects }));
        }
        // What it took when it was counted last is no less than what it takes without what this one removes.
        let is_small = (1..=limits.run_size_max).contains(&run.counted.memory);
        if !is_small && mutations.iter().any(Mutation::adds_content) {
            limits.check_run_size(run_id, state.memory_without_removed(&mutations))?;
        }
        let chosen = match mutations.first() {
            Some(Mutation::RunCreate { meta, .. }) => meta.durability,
            _ => run.durability,
        };
        let durability = self.setup.promise(chosen, options.and_then(|options| options.durability))?;
        if ending == Ending::Check {
            self.spare_mutations = mutations;
            return Ok(Decision::Answered(Written::nothing()));
        }
        let stamp = Stamp { version: state.version().next(), timestamp: context.now };
        let (kind, body) = (record::kind_of(&mutations), std::mem::take(&mut self.spare_body));
        let cause = options.and_then(|options| options.cause.clone());
        let mut staged = Staged {
            run: run_id,
            kind,
            body,
            mutations,
            effects,
            stamp,
            durability,
            identity,
            cause,
            forked: None,
        };
        staged.encode_if_logged(run, kept_reads);
        Ok(Decision::Commit(staged))
    }

    /// Refuses a `call` that would commit something, where nothing can be.
    pub(crate) fn check_takes_commits(&self, call: &str) -> Result<(), Error> {
        if self.setup.is_read_only {
            return Err(self.setup.no_log(call));
        }
        match self.log.as_ref().is_some_and(|log| log.has_failed()) {
            true => Err(self.refused_by_log()),
            false => Ok(()),
        }
    }

    /// Deletes some keys of a run whose deadline has passed, as an ordinary commit.
    pub(crate) fn expire(&mut self, run: RunId) -> Step {
        let options = CallOptions { cause: Some(Cause::Expired), ..CallOptions::default() };
        self.write(run, Operations::One(Operation::Expire { limit: EXPIRE_COUNT_MAX }), Some(&options))
    }

    /// Builds the ordered indexes that these operations walk on.
    pub(crate) fn order_for<'a>(&mut self, run: RunId, operations: impl IntoIterator<Item = &'a Operation>) {
        for index in operations.into_iter().filter_map(Operation::needs_order) {
            self.order(run, index);
        }
    }

    /// Builds an index of a run in order, if there is none.
    pub(crate) fn order(&mut self, run: RunId, index: OrderIndex) {
        // One that has left memory since it was walked will be sorted when it is walked again.
        self.runs.keep_in_order(run, index);
    }
}

impl Operations {
    /// The operations that are known before the run is looked at.
    fn known(&self) -> impl Iterator<Item = &Operation> {
        let (listed, again): (&[Operation], &[Rewrite]) = match self {
            Operations::One(operation) => (std::slice::from_ref(operation), &[]),
            Operations::Many(operations) => (operations, &[]),
            Operations::Again { writes, .. } => (&[], writes),
            Operations::Shipped(_) => (&[], &[]),
        };
        listed.iter().chain(again.iter().map(|write| &write.operation))
    }
}

impl Staged {
    /// The commit with which a run is there that begins as another one was, and its record in `body`.
    pub(crate) fn first(
        run: Box<Run>,
        mutations: Vec<Mutation>,
        stamp: Stamp,
        durability: Durability,
        cause: Option<Cause>,
        body: Vec<u8>,
    ) -> Staged {
        let mut staged = Staged {
            run: run.state.id(),
            kind: record::kind_of(&mutations),
            body,
            mutations,
            effects: Effects::Many(Vec::new()),
            stamp,
            durability,
            identity: None,
            cause,
            forked: None,
        };
        staged.encode_if_logged(&run, None);
        Staged { forked: Some(run), ..staged }
    }

    /// Writes the record of the commit into `body`, if it gets one.
    fn encode_if_logged(&mut self, run: &Run, reads: Option<CommitReads>) {
        if self.durability == Durability::InMemory {
            return;
        }
        let operation = self.identity.map(|(id, fingerprint)| {
            let effects = self.effects.as_slice().to_vec();
            IdentifiedWrite { id, fingerprint, effects }
        });
        let head = RecordHead {
            run: self.run,
            version: self.stamp.version,
            timestamp: self.stamp.timestamp,
            durability: self.durability,
            previous: run.place,
            milestone: run.trail.milestone(run.logged.version, self.stamp.version),
            cause: self.cause.clone(),
            operation,
            reads,
        };
        self.body.clear();
        record::encode(&head, &self.mutations, &mut self.body);
    }
}

/// The id that the caller gave to this write, with what the write is. A closure may write something else each time it
/// runs, so a transaction is told from other writes only by being one.
fn identify(operations: &Operations, options: Option<&CallOptions>) -> Option<(OperationId, Fingerprint)> {
    let id = options?.operation_id?;
    let operations = match operations {
        Operations::One(operation) => std::slice::from_ref(operation),
        Operations::Many(operations) => operations,
        Operations::Again { .. } | Operations::Shipped(_) => &[],
    };
    Some((id, Fingerprint::of(operations)))
}

/// What a write with this id was answered, if it happened before.
fn answered_before(
    state: &RunState,
    identity: Option<(OperationId, Fingerprint)>,
    operations: &Operations,
) -> Result<Option<Written>, Error> {
    let Some((id, fingerprint)) = identity else { return Ok(None) };
    let Some(receipt) = state.receipt(&id) else { return Ok(None) };
    if matches!(operations, Operations::Again { .. } | Operations::Shipped(_)) {
        return Err(repeated(state.id(), id, receipt));
    }
    if receipt.fingerprint != fingerprint {
        return Err(of_another_write(state.id(), id));
    }
    let effects = Effects::Many(receipt.effects.clone());
    Ok(Some(Written { commit: Some(receipt.commit), effects }))
}

/// Refuses a transaction that has been committed before, whatever has become of what it read.
pub(crate) fn refuse_repeated(state: &RunState, options: Option<&CallOptions>) -> Result<(), Error> {
    let Some(id) = options.and_then(|options| options.operation_id) else { return Ok(()) };
    state.receipt(&id).map_or(Ok(()), |receipt| Err(repeated(state.id(), id, receipt)))
}

/// The refusal of a transaction under an operation id that the run knows already. Its closure has a value to return,
/// and that of the first time is gone.
pub fn repeated(run: RunId, id: OperationId, receipt: &Receipt) -> Error {
    if receipt.fingerprint != Fingerprint::of(&[]) {
        return of_another_write(run, id);
    }
    let version = receipt.commit.version;
    let message = format!("the transaction {id} is commit {version}: its receipt can be asked for");
    Error::new(ErrorKind::AlreadyExists, message).with_entity(EntityRef::run(run))
}

fn of_another_write(run: RunId, id: OperationId) -> Error {
    let message = format!("operation id {id} belongs to another write: give each write an id of its own");
    Error::new(ErrorKind::InvalidArgument, message).with_entity(EntityRef::run(run))
}

pub(crate) fn decide(
    operation: Operation,
    draft: &mut Draft<'_>,
    context: &Context,
    limits: &Limits,
) -> Result<Effect, Error> {
    match validate(operation, draft, context, limits)? {
        Validated::Write(effect) => Ok(effect),
        Validated::Read(_) => unreachable!("the facade sends only writes to be committed"),
    }
}

fn decide_batch(
    operations: Vec<Operation>,
    draft: &mut Draft<'_>,
    context: &Context,
    limits: &Limits,
) -> Result<Effects, Error> {
    let count = operations.len();
    limits.check_operations(draft.run_id(), count, "batch")?;
    let mut effects = Vec::with_capacity(count);
    for (index, operation) in operations.into_iter().enumerate() {
        let effect = decide(operation, draft, context, limits)
            .map_err(|error| error.with_context(&format!("operation {index} of a batch of {count}")))?;
        effects.push(effect);
    }
    Ok(Effects::Many(effects))
}
