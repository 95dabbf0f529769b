//! How a write becomes a commit: staged, logged, applied, in that order.
//!
//! Nothing touches a run's state before its record is in the log, so a refusal, a full disk or a
//! panic on the way leaves the run as it was.

use std::collections::VecDeque;

use strata_primitives::{
    Answer as Validated, Cause, Commit, Context, Draft, Durability, Effect, Error, ErrorKind, Mutation,
    Operation, OperationId, Receipt, Replaced, RunId, Stamp, Version, validate,
};
use strata_wal::AppendError;

use crate::message::CallOptions;
use crate::record::{self, RecordHead, RecordPlace};
use crate::run::{Need, Progress};
use crate::shard::Shard;

/// A commit that has been decided and encoded, and is not in the log yet.
#[derive(Debug)]
pub(crate) struct Staged {
    run: RunId,
    kind: u8,
    body: Vec<u8>,
    mutations: Vec<Mutation>,
    effects: Effects,
    stamp: Stamp,
    durability: Durability,
    operation_id: Option<OperationId>,
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

/// How far one attempt at a write came.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is decided; the answer may be given once the need is met.
    Done(Result<Written, Error>, Need),
    /// The log cannot take it at the moment; nothing has happened yet.
    Stalled(Staged),
}

/// A commit whose promise has not been reached: what it takes to take it back.
#[derive(Debug)]
struct Unconfirmed {
    run: RunId,
    need: Need,
    before: Stamp,
    place_before: RecordPlace,
    replaced_count: usize,
    operation_id: Option<OperationId>,
}

/// The commits that nobody may see yet, oldest first, each with what it replaced.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    commits: VecDeque<Unconfirmed>,
    replaced: VecDeque<Replaced>,
}

impl Unseen {
    /// Forgets how to take back what has reached its promise.
    pub(crate) fn release(&mut self, progress: &Progress) {
        while self.commits.front().is_some_and(|commit| commit.need.is_met(progress)) {
            let commit = self.commits.pop_front().expect("the front was just looked at");
            self.replaced.drain(..commit.replaced_count);
        }
    }
}

impl Shard {
    /// Decides one atomic write and carries it as far as the log allows.
    pub(crate) fn write(
        &mut self,
        run: RunId,
        operations: Operations,
        options: Option<&CallOptions>,
    ) -> Step {
        match self.stage(run, operations, options) {
            Ok(Decision::Commit(staged)) => self.commit(staged),
            Ok(Decision::Unchanged(written)) => Step::Done(Ok(written), self.need_of(run)),
            // A refusal tells of the state that caused it, so it waits like a read.
            Err(error) => Step::Done(Err(error), self.need_of(run)),
        }
    }

    /// Puts a staged commit into the log and applies it; or hands it back when the log is stalled.
    pub(crate) fn commit(&mut self, mut staged: Staged) -> Step {
        let mut need = Need::default();
        let mut place = RecordPlace::default();
        if staged.durability > Durability::InMemory {
            let log = self.log.as_mut().expect("a store without a log keeps every run in memory");
            match log.append(staged.kind, &staged.body) {
                Ok(appended) => {
                    place = RecordPlace { log: self.index, lsn: appended.lsn };
                    if staged.durability == Durability::Strict {
                        log.request_sync();
                        need.durable = appended.end;
                    } else {
                        need.written = appended.end;
                    }
                }
                Err(AppendError::Stalled) => return Step::Stalled(staged),
                Err(AppendError::Full) => return Step::Done(Err(full()), self.need_of(staged.run)),
                Err(AppendError::Failed) => return Step::Done(Err(self.log_failed()), Need::default()),
            }
        }
        let need = self.apply(&mut staged, place, need);
        let commit = Commit {
            version: staged.stamp.version,
            timestamp: staged.stamp.timestamp,
            durability: staged.durability,
        };
        let Staged { body, mutations, effects, .. } = staged;
        self.recycle(body, mutations);
        Step::Done(Ok(Written { commit: Some(commit), effects }), need)
    }

    /// Applies what the log holds, and remembers how to take it back until it may be seen.
    fn apply(&mut self, staged: &mut Staged, place: RecordPlace, need: Need) -> Need {
        let run = self.runs.get_or_insert(staged.run);
        let before = Stamp { version: run.state.version(), timestamp: run.state.timestamp() };
        let need = run.need.max(need);
        let keeps_undo = !need.is_met(&self.progress);
        let replaced_count = staged.mutations.len();
        for mutation in staged.mutations.drain(..) {
            let replaced = run.state.apply(mutation, staged.stamp);
            if keeps_undo {
                self.unseen.replaced.push_back(replaced);
            }
        }
        run.state.commit(staged.stamp);
        if let Some(id) = staged.operation_id {
            let commit = Commit {
                version: staged.stamp.version,
                timestamp: staged.stamp.timestamp,
                durability: staged.durability,
            };
            run.state.remember(id, Receipt { commit, effects: staged.effects.clone().into_vec() });
        }
        if keeps_undo {
            self.unseen.commits.push_back(Unconfirmed {
                run: staged.run,
                need,
                before,
                place_before: run.place,
                replaced_count,
                operation_id: staged.operation_id,
            });
        }
        if place != RecordPlace::default() {
            run.place = place;
        }
        run.need = need;
        if let Some(meta) = run.state.meta() {
            run.durability = meta.durability;
        }
        self.stats.commits += 1;
        self.stats.mutations += replaced_count as u64;
        self.runs.refresh_deadline(staged.run);
        need
    }

    /// Takes back, newest first, every commit that has not reached its promise.
    pub(crate) fn take_back_unseen(&mut self) {
        while let Some(commit) = self.unseen.commits.pop_back() {
            let first = self.unseen.replaced.len() - commit.replaced_count;
            if commit.need.is_met(&self.progress) {
                self.unseen.replaced.truncate(first);
                continue;
            }
            let run = self.runs.get_mut(commit.run).expect("a run with an unseen commit is in the table");
            for replaced in self.unseen.replaced.drain(first..).rev() {
                run.state.revert(replaced);
            }
            run.state.restore_stamp(commit.before);
            if let Some(id) = commit.operation_id {
                run.state.forget(&id);
            }
            run.place = commit.place_before;
            if commit.before.version == Version(0) {
                self.runs.remove(commit.run);
            } else {
                self.runs.refresh_deadline(commit.run);
            }
        }
    }

    /// Validates the operations on a draft of the run and encodes what they change.
    fn stage(
        &mut self,
        run_id: RunId,
        operations: Operations,
        options: Option<&CallOptions>,
    ) -> Result<Decision, Error> {
        if self.log.as_ref().is_some_and(|log| log.has_failed()) {
            return Err(self.log_failed());
        }
        if operations.needs_order()
            && let Some(run) = self.runs.get_mut(run_id)
        {
            run.state.ensure_order();
        }
        let blank;
        let (state, place, durability) = match self.runs.get(run_id) {
            Some(run) => (&run.state, run.place, run.durability),
            None => {
                blank = self.runs.blank(run_id);
                (&blank, RecordPlace::default(), None)
            }
        };
        if let Some(receipt) = options.and_then(|o| o.operation_id.as_ref()).and_then(|id| state.receipt(id))
        {
            let effects = Effects::Many(receipt.effects.clone());
            return Ok(Decision::Unchanged(Written { commit: Some(receipt.commit), effects }));
        }
        let context = Context { now: self.now.max(state.timestamp()), boot: self.boot };
        let mut draft = Draft::with_buffer(state, std::mem::take(&mut self.spare_mutations));
        let effects = validate_all(operations, &mut draft, &context, &self.setup.limits)?;
        let mutations = draft.into_mutations();
        if mutations.is_empty() {
            self.spare_mutations = mutations;
            return Ok(Decision::Unchanged(Written { commit: None, effects }));
        }
        let chosen = match mutations.first() {
            Some(Mutation::RunCreate { meta, .. }) => meta.durability,
            _ => durability,
        };
        let durability = self.setup.promise(chosen, options.and_then(|options| options.durability))?;
        let stamp = Stamp { version: Version(state.version().0 + 1), timestamp: context.now };
        let operation_id = options.and_then(|options| options.operation_id);
        let mut body = std::mem::take(&mut self.spare_body);
        body.clear();
        if durability > Durability::InMemory {
            let head = RecordHead {
                run: run_id,
                version: stamp.version,
                timestamp: stamp.timestamp,
                durability,
                previous: place,
                cause: options.and_then(|options| options.cause.clone()),
                operation: operation_id.map(|id| (id, effects.clone().into_vec())),
            };
            record::encode(&head, &mutations, &mut body);
        }
        let kind = record::kind_of(&mutations);
        let staged = Staged { run: run_id, kind, body, mutations, effects, stamp, durability, operation_id };
        Ok(Decision::Commit(staged))
    }

    /// Deletes some keys of a run whose deadline has passed, as an ordinary commit.
    pub(crate) fn expire(&mut self, run: RunId) -> Step {
        let options = CallOptions { cause: Some(Cause::Expired), ..CallOptions::default() };
        self.write(run, Operations::One(Operation::KvExpire { limit: EXPIRE_COUNT_MAX }), Some(&options))
    }

    /// Keeps the buffers of a finished commit for the next one.
    fn recycle(&mut self, body: Vec<u8>, mutations: Vec<Mutation>) {
        if body.capacity() <= SPARE_BODY_SIZE_MAX {
            self.spare_body = body;
        }
        if mutations.capacity() <= SPARE_MUTATIONS_MAX {
            self.spare_mutations = mutations;
        }
    }

    fn need_of(&self, run: RunId) -> Need {
        self.runs.get(run).map_or_else(Need::default, |run| run.need)
    }

    pub(crate) fn log_failed(&self) -> Error {
        let message = format!(
            "shard {} could not write its log; whether this write survives is unknown until the store is reopened",
            self.index
        );
        Error::new(ErrorKind::LogFailed, message)
    }
}

/// Most expired keys that one cleaning commit deletes.
const EXPIRE_COUNT_MAX: usize = 64;
/// A larger encoding buffer is given back instead of kept; bytes.
const SPARE_BODY_SIZE_MAX: usize = 1 << 20;
/// A longer mutation list is given back instead of kept.
const SPARE_MUTATIONS_MAX: usize = 4096;

/// The operations of one atomic write.
#[derive(Debug)]
pub(crate) enum Operations {
    /// A single one.
    One(Operation),
    /// A batch, in order.
    Many(Vec<Operation>),
}

impl Operations {
    fn needs_order(&self) -> bool {
        match self {
            Operations::One(operation) => operation.needs_order(),
            Operations::Many(operations) => operations.iter().any(Operation::needs_order),
        }
    }
}

enum Decision {
    Commit(Staged),
    Unchanged(Written),
}

fn validate_all(
    operations: Operations,
    draft: &mut Draft<'_>,
    context: &Context,
    limits: &strata_primitives::Limits,
) -> Result<Effects, Error> {
    match operations {
        Operations::One(operation) => {
            Ok(Effects::One(effect_of(validate(operation, draft, context, limits)?)))
        }
        Operations::Many(operations) => {
            let (count, count_max) = (operations.len(), limits.transaction_mutations_max);
            if count > count_max {
                let message =
                    format!("transaction_mutations_max is {count_max}, the batch has {count} operations");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            let mut effects = Vec::with_capacity(count);
            for (index, operation) in operations.into_iter().enumerate() {
                let validated = validate(operation, draft, context, limits).map_err(|error| {
                    error.with_context(&format!("operation {index} of a batch of {count}"))
                })?;
                effects.push(effect_of(validated));
            }
            Ok(Effects::Many(effects))
        }
    }
}

fn effect_of(validated: Validated) -> Effect {
    match validated {
        Validated::Write(effect) => effect,
        Validated::Read(_) => unreachable!("the facade puts only writes into a batch"),
    }
}

fn full() -> Error {
    let message = "no space to extend the log; nothing was written, and writes resume once there is space";
    Error::new(ErrorKind::Full, message)
}
