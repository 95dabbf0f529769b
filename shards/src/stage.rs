//! How a write is decided: its operations become mutations, and those one encoded record.

use strata_primitives::{
    Answer as Validated, Cause, Commit, Context, Draft, Durability, Effect, EntityRef, Error, ErrorKind,
    Fingerprint, Limits, Mutation, Operation, OperationId, RunId, RunState, Stamp, validate,
};

use crate::commit::{Staged, Step};
use crate::message::CallOptions;
use crate::record::{self, IdentifiedWrite, RecordHead, RecordPlace};
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
}

/// What a write did: its commit, if anything changed, and what each operation revealed.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) commit: Option<Commit>,
    pub(crate) effects: Effects,
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
        if self.log.as_ref().is_some_and(|log| log.has_failed()) {
            return Err(self.refused_by_log());
        }
        self.order_keys_for(run_id, &operations);
        let blank;
        let (state, place, chosen) = match self.runs.get(run_id) {
            Some(run) => (&run.state, run.place, run.durability),
            None => {
                blank = self.runs.blank(run_id);
                (&blank, RecordPlace::default(), None)
            }
        };
        let identity = identify(&operations, options);
        if let Some(written) = answered_before(state, identity)? {
            return Ok(Decision::Answered(written));
        }
        let context = Context { now: self.now.max(state.timestamp()), boot: self.boot.number };
        let mut draft = Draft::with_buffer(state.view(), std::mem::take(&mut self.spare_mutations));
        let effects = validate_all(operations, &mut draft, &context, &self.setup.limits)?;
        let mutations = draft.into_mutations();
        if mutations.is_empty() {
            self.spare_mutations = mutations;
            return Ok(Decision::Answered(Written { commit: None, effects }));
        }
        let chosen = match mutations.first() {
            Some(Mutation::RunCreate { meta, .. }) => meta.durability,
            _ => chosen,
        };
        let durability = self.setup.promise(chosen, options.and_then(|options| options.durability))?;
        let stamp = Stamp { version: state.version().next(), timestamp: context.now };
        let (kind, body) = (record::kind_of(&mutations), std::mem::take(&mut self.spare_body));
        let mut staged = Staged { run: run_id, kind, body, mutations, effects, stamp, durability, identity };
        if durability > Durability::InMemory {
            staged.encode(place, options.and_then(|options| options.cause.clone()));
        }
        Ok(Decision::Commit(staged))
    }

    /// Deletes some keys of a run whose deadline has passed, as an ordinary commit.
    pub(crate) fn expire(&mut self, run: RunId) -> Step {
        let options = CallOptions { cause: Some(Cause::Expired), ..CallOptions::default() };
        self.write(run, Operations::One(Operation::Expire { limit: EXPIRE_COUNT_MAX }), Some(&options))
    }

    fn order_keys_for(&mut self, run: RunId, operations: &Operations) {
        let operations = match operations {
            Operations::One(operation) => std::slice::from_ref(operation),
            Operations::Many(operations) => operations,
        };
        for keys in operations.iter().filter_map(Operation::needs_order) {
            if let Some(run) = self.runs.get_mut(run) {
                run.state.ensure_order(keys);
            }
        }
    }
}

impl Staged {
    /// Writes the record of the commit into `body`.
    fn encode(&mut self, previous: RecordPlace, cause: Option<Cause>) {
        let operation = self.identity.map(|(id, fingerprint)| {
            let effects = self.effects.as_slice().to_vec();
            IdentifiedWrite { id, fingerprint, effects }
        });
        let head = RecordHead {
            run: self.run,
            version: self.stamp.version,
            timestamp: self.stamp.timestamp,
            durability: self.durability,
            previous,
            cause,
            operation,
        };
        self.body.clear();
        record::encode(&head, &self.mutations, &mut self.body);
    }
}

/// The id that the caller gave to this write, with what the write is.
fn identify(operations: &Operations, options: Option<&CallOptions>) -> Option<(OperationId, Fingerprint)> {
    let id = options?.operation_id?;
    let operations = match operations {
        Operations::One(operation) => std::slice::from_ref(operation),
        Operations::Many(operations) => operations,
    };
    Some((id, Fingerprint::of(operations)))
}

/// What a write with this id was answered, if it happened before.
fn answered_before(
    state: &RunState,
    identity: Option<(OperationId, Fingerprint)>,
) -> Result<Option<Written>, Error> {
    let Some((id, fingerprint)) = identity else { return Ok(None) };
    let Some(receipt) = state.receipt(&id) else { return Ok(None) };
    if receipt.fingerprint != fingerprint {
        let message = format!("operation id {id} belongs to another write: give each write an id of its own");
        let error = Error::new(ErrorKind::InvalidArgument, message);
        return Err(error.with_entity(EntityRef::run(state.id())));
    }
    let effects = Effects::Many(receipt.effects.clone());
    Ok(Some(Written { commit: Some(receipt.commit), effects }))
}

fn validate_all(
    operations: Operations,
    draft: &mut Draft<'_>,
    context: &Context,
    limits: &Limits,
) -> Result<Effects, Error> {
    let operations = match operations {
        Operations::One(operation) => {
            return validate(operation, draft, context, limits)
                .map(|validated| Effects::One(effect_of(validated)));
        }
        Operations::Many(operations) => operations,
    };
    let (count, count_max) = (operations.len(), limits.transaction_mutations_max);
    if count > count_max {
        let message =
            format!("transaction_mutations_max is {count_max}, the batch has {count} operations: split it");
        let error = Error::new(ErrorKind::InvalidArgument, message);
        return Err(error.with_entity(EntityRef::run(draft.run_id())));
    }
    let mut effects = Vec::with_capacity(count);
    for (index, operation) in operations.into_iter().enumerate() {
        let validated = validate(operation, draft, context, limits)
            .map_err(|error| error.with_context(&format!("operation {index} of a batch of {count}")))?;
        effects.push(effect_of(validated));
    }
    Ok(Effects::Many(effects))
}

fn effect_of(validated: Validated) -> Effect {
    match validated {
        Validated::Write(effect) => effect,
        Validated::Read(_) => unreachable!("the facade puts only writes into a batch"),
    }
}
