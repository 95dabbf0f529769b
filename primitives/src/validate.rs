//! Decides: from an operation, a draft and the time to mutations and what the caller learns.
mod cell;
mod erase;
mod event;
mod json;
mod keys;
mod kv;
mod run;
mod stat;
mod trace;
mod trace_walk;
mod trim;

use crate::draft::Draft;
use crate::effect::Effect;
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::json::Pointer;
use crate::key_kind::KeyKind;
use crate::key_range::KeyRange;
use crate::limits::Limits;
use crate::operation::Operation;
use crate::operation_table::Access;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::run_status::RunStatus;
use crate::version::{Timestamp, Versioned};
use json::At;
use keys::Page;
pub use trim::trim_entries;

/// Everything validation knows of the world outside the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The time of the commit to come; for writes never before the run's last one.
    pub now: Timestamp,
    /// The number of this boot of the store.
    pub boot: u64,
}

/// What validation decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The operation only reads; this is its outcome.
    Read(Outcome),
    /// The mutations are staged in the draft; this is what the caller learns besides its receipt.
    Write(Effect),
}

/// Decides what `operation` does to the run as `draft` shows it, and stages it there. A refused operation stages
/// nothing.
///
/// # Errors
/// `InvalidArgument` for a broken limit, `NotFound` for a missing run, `RunClosed` for a write to a run that takes
/// none, and what each operation adds.
///
/// # Panics
/// If a write is given a time before the run's last commit.
pub fn validate(
    operation: Operation,
    draft: &mut Draft<'_>,
    context: &Context,
    limits: &Limits,
) -> Result<Answer, Error> {
    operation.check(draft.run_id(), limits)?;
    if let Err(refusal) = admit(&operation, draft) {
        draft.record(Place::Status);
        return Err(refusal);
    }
    let now = context.now.max(draft.view().stamp().timestamp);
    assert!(now == context.now || !operation.is_write(), "the time of a run never decreases");
    if !operation.is_blind() {
        draft.catch_up(now);
    }
    let staged_before = draft.mutations().len();
    let mut decision = Decision { draft, now, boot: context.boot, limits };
    let answer = decision.decide(operation);
    if let Err(refusal) = &answer {
        // First, or it would take for the transaction's own what the refused operation has left half staged.
        decision.draft.truncate(staged_before, now);
        decision.look_at_refusal(refusal);
    }
    answer
}

/// Refuses what the run's status does not allow.
fn admit(operation: &Operation, draft: &Draft<'_>) -> Result<(), Error> {
    let row = operation.row();
    let entity = || EntityRef::run(draft.run_id());
    match (row.access, draft.meta().map(|meta| meta.status)) {
        (Access::Any, _) | (Access::Existing, Some(_)) | (Access::Active, Some(RunStatus::Active)) => Ok(()),
        (_, None) => {
            let message = format!("the run does not exist: create or begin it before {}", row.name);
            Err(Error::new(ErrorKind::NotFound, message).with_entity(entity()))
        }
        (Access::Active, Some(RunStatus::Paused)) => {
            let message = format!("the run is paused: begin it again before {}", row.name);
            Err(Error::new(ErrorKind::RunClosed, message).with_entity(entity()))
        }
        (Access::Active, Some(status)) => {
            let message = format!("the run is {status} and takes no writes: {} needs another run", row.name);
            Err(Error::new(ErrorKind::RunClosed, message).with_entity(entity()))
        }
    }
}

/// One decision in the making.
struct Decision<'d, 's> {
    draft: &'d mut Draft<'s>,
    now: Timestamp,
    boot: u64,
    limits: &'d Limits,
}

impl Decision<'_, '_> {
    fn decide(&mut self, operation: Operation) -> Result<Answer, Error> {
        match operation {
            Operation::KvPut { key, value, deadline } => self.put(key, value, deadline),
            Operation::KvPutMany { entries } => self.put_many(entries),
            Operation::KvPutIf { key, value, deadline, expected } => {
                self.put_if(key, value, deadline, expected)
            }
            Operation::KvDelete { key } => self.delete_key(KeyKind::Kv, key),
            Operation::KvDeletePrefix { prefix } => self.delete_prefix(&prefix),
            Operation::KvIncrement { key, by } => self.increment(key, by),
            Operation::KvSetDeadline { key, deadline } => self.set_deadline(key, deadline),
            Operation::KvClearDeadline { key } => self.clear_deadline(key),
            Operation::Expire { limit } => self.expire(limit),
            Operation::EventAppend { kind, payload, salt } => self.append(kind, payload, salt),
            Operation::EventAppendMany { events } => self.append_many(events),
            Operation::RunCreate { spec } => self.create(*spec),
            Operation::RunBegin { spec } => self.begin(*spec),
            Operation::RunUpdateStatus { status } => self.update_status(status),
            Operation::RunSetTags { tags } => self.set_tags(tags),
            Operation::RunSetMetadata { metadata } => self.set_metadata(&metadata),
            Operation::RunSetRetention { retention } => self.set_retention(retention),
            Operation::RunSetEventRetention { retention } => self.set_event_retention(retention),
            Operation::RunSetTraceRetention { retention } => self.set_trace_retention(retention),
            Operation::RunErase { entity, versions, reason } => self.erase(*entity, versions, reason),
            Operation::RunDelete => self.delete_run(),
            Operation::CellInit { name, value, deadline } => self.cell_init(name, value, deadline),
            Operation::CellSet { name, value, deadline } => self.cell_set(name, value, deadline),
            Operation::CellCas { name, value, deadline, expected } => {
                self.cell_cas(name, value, deadline, expected)
            }
            Operation::CellDelete { name } => self.delete_key(KeyKind::Cell, name),
            Operation::TraceRecord { trace } => self.record_trace(*trace),
            Operation::TraceBegin { trace } => self.begin_trace(*trace),
            Operation::TraceEnd { id, end } => self.end_trace(id, *end),
            Operation::JsonCreate { name, value } => self.json_create(name, value),
            Operation::JsonSet { name, path, value } => self.json_set(At { name: &name, path: &path }, value),
            Operation::JsonCas { name, path, value, expected } => {
                self.json_cas(At { name: &name, path: &path }, value, expected)
            }
            Operation::JsonDelete { name, path } => self.json_delete(At { name: &name, path: &path }),
            Operation::JsonPatch { name, patch } => self.json_patch(&name, &patch),
            Operation::JsonMerge { name, path, patch } => {
                self.json_merge(At { name: &name, path: &path }, &patch)
            }
            Operation::JsonAppend { name, path, value } => {
                self.json_append(At { name: &name, path: &path }, value)
            }
            Operation::JsonDestroy { name } => self.json_destroy(name),
            read => {
                let outcome = self.read(&read)?;
                self.draft.record_life();
                Ok(Answer::Read(outcome))
            }
        }
    }

    fn read(&mut self, operation: &Operation) -> Result<Outcome, Error> {
        Ok(match operation {
            Operation::KvGet { key } => Outcome::Value(self.get(KeyKind::Kv, key)),
            Operation::KvGetMany { keys } => self.get_many(keys),
            Operation::KvExists { key } => Outcome::Flag(self.exists(KeyKind::Kv, key)),
            Operation::KvTtl { key } => Outcome::Ttl(self.ttl(KeyKind::Kv, key)),
            Operation::KvList { prefix, start_after, limit, direction, values } => {
                let range = KeyRange { prefix, start_after: start_after.as_deref(), direction: *direction };
                self.list(KeyKind::Kv, &Page { range, limit: *limit, values: *values })
            }
            Operation::KvCount { prefix } => Outcome::Count(self.count(prefix)),
            Operation::EventRead { sequence } => Outcome::Event(self.one_event(*sequence)?.map(Box::new)),
            Operation::EventRange { start, limit, direction } => self.range(*start, *limit, *direction)?,
            Operation::EventByType { kind, start, limit, direction } => {
                self.by_type(kind, *start, *limit, *direction)?
            }
            Operation::EventFirst => Outcome::Count(self.first_event()),
            Operation::EventLen { kind } => Outcome::Count(self.event_len(kind.as_deref())),
            Operation::EventHead { kind } => Outcome::Event(self.head(kind.as_deref()).map(Box::new)),
            Operation::EventVerifyChain => Outcome::Chain(self.verify_chain()),
            Operation::RunGet => Outcome::Run(self.info().map(Box::new)),
            Operation::RunReceipt { id } => Outcome::Receipt(self.receipt(id).map(Box::new)),
            Operation::CellRead { name } => Outcome::Value(self.get(KeyKind::Cell, name)),
            Operation::CellTtl { name } => Outcome::Ttl(self.ttl(KeyKind::Cell, name)),
            Operation::CellList { prefix, start_after, limit, direction } => {
                let range = KeyRange { prefix, start_after: start_after.as_deref(), direction: *direction };
                self.list(KeyKind::Cell, &Page { range, limit: *limit, values: true })
            }
            Operation::JsonGet { name, path } => Outcome::Value(self.json_get(&At { name, path })),
            Operation::JsonList { prefix, start_after, limit, direction } => {
                let range = KeyRange { prefix, start_after: start_after.as_deref(), direction: *direction };
                self.json_list(&range, *limit)
            }
            Operation::EntityStat { entity } => Outcome::Stat(self.stat(entity)?),
            Operation::TraceGet { id } => Outcome::Trace(self.one_trace(id)?.cloned().map(Box::new)),
            Operation::TraceList { filter, start, limit, direction } => {
                Outcome::Traces(self.list_traces(filter, *start, *limit, *direction)?)
            }
            Operation::TraceTree { id, limit } => Outcome::Traces(self.trace_tree(id, *limit)?),
            Operation::TraceFirst => Outcome::Count(self.first_trace()),
            Operation::TraceCount { kind } => Outcome::Count(self.trace_count(kind.as_deref())),
            write => unreachable!("{} is a write", write.name()),
        })
    }

    fn expire(&mut self, limit: usize) -> Result<Answer, Error> {
        let keys = self.expire_keys(KeyKind::Kv, limit);
        let cells = self.expire_keys(KeyKind::Cell, limit.saturating_sub(keys as usize));
        Ok(Answer::Write(Effect::Count(keys + cells)))
    }

    /// A refusal tells what is there as a read does, and the transaction may go on with what it learnt.
    fn look_at_refusal(&mut self, refusal: &Error) {
        self.draft.record(Place::Status);
        match refusal.entity() {
            Some(EntityRef::Kv { key, .. }) => self.look_at(KeyKind::Kv, key),
            Some(EntityRef::Cell { name, .. }) => self.look_at(KeyKind::Cell, name),
            Some(EntityRef::Trace { id, .. }) => self.look_at_trace(id),
            Some(EntityRef::Json { name, .. }) => self.look_at_region(&At { name, path: &Pointer::root() }),
            // Of the run itself a refusal tells its status only. Events are appended whatever is there, one that was removed does
            // not come back, and a commit that has grown too large ends its transaction.
            Some(EntityRef::Run { .. } | EntityRef::Event { .. }) | None => {}
        }
    }

    /// Something that is true at the draft's version.
    fn at_present<T>(&self, value: T) -> Versioned<T> {
        let stamp = self.draft.stamp(self.now);
        Versioned { value, version: stamp.version, timestamp: stamp.timestamp }
    }
}
