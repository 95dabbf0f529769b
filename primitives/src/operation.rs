//! What can be asked of a run: one table for embedding, network and every other surface.
use crate::deadline::Deadline;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::erasure::ErasedVersions;
use crate::error::{Error, ErrorKind};
use crate::id::{OperationId, RunId};
use crate::json::{PatchOperation, Pointer};
use crate::key::Key;
use crate::key_kind::{KeyKind, OrderIndex};
use crate::new_trace::NewTrace;
use crate::retention::Retention;
use crate::run_meta::RunSpec;
use crate::run_status::RunStatus;
use crate::trace_end::TraceEnd;
use crate::trace_filter::TraceFilter;
use crate::trace_id::TraceId;
use crate::value::Value;
use crate::version::Version;
use std::sync::Arc;

/// One thing asked of one run. Keys and values move through it into the run without being copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named for what they are; each variant says what it asks")]
pub enum Operation {
    /// The value of a key.
    KvGet { key: Key },
    /// The values of several keys at one version.
    KvGetMany { keys: Vec<Key> },
    /// Whether a key is there.
    KvExists { key: Key },
    /// The deadline of a key.
    KvTtl { key: Key },
    /// A page of keys in order, with or without values, behind `start_after`.
    KvList { prefix: Key, start_after: Option<Key>, limit: usize, direction: Direction, values: bool },
    /// How many keys begin with a prefix.
    KvCount { prefix: Key },
    /// Sets a key; without a deadline an earlier one is cleared.
    KvPut { key: Key, value: Encoded, deadline: Deadline },
    /// Sets several keys at once.
    KvPutMany { entries: Vec<PutEntry> },
    /// Sets a key if it was last written by the commit named, or is missing where that is `NEVER`; else `Conflict`.
    KvPutIf { key: Key, value: Encoded, deadline: Deadline, expected: Version },
    /// Deletes a key; reveals whether it was there.
    KvDelete { key: Key },
    /// Deletes every key with a prefix; reveals how many.
    KvDeletePrefix { prefix: Key },
    /// Adds to a whole number; a missing key counts from 0. Keeps the deadline; reveals the sum.
    KvIncrement { key: Key, by: i64 },
    /// Gives a key a deadline; reveals whether the key was there.
    KvSetDeadline { key: Key, deadline: Deadline },
    /// Takes a key's deadline away; reveals whether the key was there.
    KvClearDeadline { key: Key },
    /// Deletes up to `limit` expired keys and cells. The cleaner's own, never a caller's.
    Expire { limit: usize },
    /// Appends an event; reveals its sequence.
    EventAppend { kind: Key, payload: Encoded, salt: [u8; 16] },
    /// Appends several events; reveals the first sequence.
    EventAppendMany { events: Vec<NewEvent> },
    /// One event.
    EventRead { sequence: u64 },
    /// A page of events from `start` on, which is included; without it from the end `direction` begins at.
    EventRange { start: Option<u64>, limit: usize, direction: Direction },
    /// The same, of one type only.
    EventByType { kind: Arc<str>, start: Option<u64>, limit: usize, direction: Direction },
    /// How many events there are, or how many of a type.
    EventLen { kind: Option<Arc<str>> },
    /// The newest event, or the newest of a type.
    EventHead { kind: Option<Arc<str>> },
    /// Recomputes the hash of every event.
    EventVerifyChain,
    /// Creates the run; `AlreadyExists` if it is there.
    RunCreate { spec: Box<RunSpec> },
    /// Resumes the run if it is there and unfinished, else creates it; reveals whether it was there.
    RunBegin { spec: Box<RunSpec> },
    /// What is known about the run.
    RunGet,
    /// Moves the run to another status.
    RunUpdateStatus { status: RunStatus },
    /// Replaces the run's tags.
    RunSetTags { tags: Vec<String> },
    /// Replaces the run's metadata.
    RunSetMetadata { metadata: Value },
    /// Deletes the run and everything in it; leaves a tombstone that keeps its version numbers.
    RunDelete,
    /// What the write with an operation id was first answered.
    RunReceipt { id: OperationId },
    /// Creates a cell; `AlreadyExists` if it is there.
    CellInit { name: Key, value: Encoded, deadline: Deadline },
    /// The value of a cell.
    CellRead { name: Key },
    /// The deadline of a cell.
    CellTtl { name: Key },
    /// Sets a cell; without a deadline an earlier one is cleared.
    CellSet { name: Key, value: Encoded, deadline: Deadline },
    /// Sets a cell if it was last written by the commit named, else `Conflict`.
    CellCas { name: Key, value: Encoded, deadline: Deadline, expected: Version },
    /// Deletes a cell; reveals whether it was there.
    CellDelete { name: Key },
    /// A page of cells in order of their names, with their values.
    CellList { prefix: Key, start_after: Option<Key>, limit: usize, direction: Direction },
    /// Whether one thing is there, its version and its size.
    EntityStat { entity: Box<EntityRef> },
    /// Records a step that is over; `AlreadyExists` if its id is taken, `NotFound` if its parent is missing.
    TraceRecord { trace: Box<NewTrace> },
    /// Records a step that begins: a span, which is open until it ends.
    TraceBegin { trace: Box<NewTrace> },
    /// Ends a span; `NotFound` if it is missing, `InvalidArgument` if it has ended.
    TraceEnd { id: TraceId, end: Box<TraceEnd> },
    /// One trace.
    TraceGet { id: TraceId },
    /// A page of the traces that a filter wants, in commit order, from the place `start` on, which is included;
    /// without it from the end `direction` begins at. It looks at no more than [`TRACE_SCAN_MAX`] traces, so a page
    /// may be short, or empty, and still say where the next one begins.
    TraceList { filter: Box<TraceFilter>, start: Option<u64>, limit: usize, direction: Direction },
    /// A trace and everything below it, in commit order; the first `limit` of them.
    TraceTree { id: TraceId, limit: usize },
    /// How many traces there ever were, or how many of a kind.
    TraceCount { kind: Option<Arc<str>> },
    /// Creates a document; `AlreadyExists` if it is there.
    JsonCreate { name: Key, value: Encoded },
    /// What is at a place of a document.
    JsonGet { name: Key, path: Pointer },
    /// Puts a value at a place of a document; what is around it must be there.
    JsonSet { name: Key, path: Pointer, value: Encoded },
    /// The same if the document was last written by the commit named, else `Conflict`.
    JsonCas { name: Key, path: Pointer, value: Encoded, expected: Version },
    /// Takes out what is at a place of a document; reveals whether something was.
    JsonDelete { name: Key, path: Pointer },
    /// Applies a JSON Patch (RFC 6902), all of it or nothing.
    JsonPatch { name: Key, patch: Vec<PatchOperation> },
    /// Applies a JSON Merge Patch (RFC 7396) at a place.
    JsonMerge { name: Key, path: Pointer, patch: Value },
    /// Puts a value behind the last item of an array.
    JsonAppend { name: Key, path: Pointer, value: Encoded },
    /// A page of the names of documents, in order.
    JsonList { prefix: Key, start_after: Option<Key>, limit: usize, direction: Direction },
    /// Deletes a document; reveals whether it was there.
    JsonDestroy { name: Key },
    /// Replaces what the run says of the history that is kept of it.
    RunSetRetention { retention: Option<Retention> },
    /// Erases what the run has written of one thing.
    RunErase { entity: Box<EntityRef>, versions: ErasedVersions, reason: Arc<str> },
    /// Replaces what the run says of the events that it keeps, and removes those that it does not.
    RunSetEventRetention { retention: Option<Retention> },
    /// The sequence of the first event that is there; how many there ever were if none is.
    EventFirst,
    /// Replaces what the run says of the traces that it keeps, and removes those that it does not.
    RunSetTraceRetention { retention: Option<Retention> },
    /// The place of the first trace that is there; how many there ever were if none is.
    TraceFirst,
}

/// How many traces one [`TraceList`](Operation::TraceList) looks at: what a filter leaves out takes time too.
pub const TRACE_SCAN_MAX: usize = 4_096;

/// One key to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutEntry {
    /// The key.
    pub key: Key,
    /// Its new value.
    pub value: Encoded,
    /// When it expires.
    pub deadline: Deadline,
}

/// One event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The type of the event.
    pub kind: Key,
    /// What happened.
    pub payload: Encoded,
    /// Random bytes, so that the hash of an erased payload cannot be guessed.
    pub salt: [u8; 16],
}

/// Which way a page runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    #[default]
    Forward,
    /// Descending.
    Reverse,
}

/// What must hold for a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The key is not there.
    Absent,
    /// The key was last written by this commit.
    Version(Version),
}

impl Condition {
    /// The version that meets it. A version of 0 names no commit: it asks for absence.
    pub fn expected(self) -> Version {
        match self {
            Self::Absent => Version::NEVER,
            Self::Version(version) => version,
        }
    }
}

impl Operation {
    /// Whether it is a write that reveals nothing, and that no key, cell or event of the run decides about.
    pub fn is_blind(&self) -> bool {
        match self {
            Self::KvPut { .. }
            | Self::CellSet { .. }
            | Self::EventAppend { .. }
            | Self::RunSetTags { .. }
            | Self::RunSetMetadata { .. }
            | Self::RunSetRetention { .. }
            | Self::RunSetEventRetention { .. }
            | Self::RunSetTraceRetention { .. } => true,
            Self::KvPutMany { entries } => !entries.is_empty(),
            Self::EventAppendMany { events } => !events.is_empty(),
            _ => false,
        }
    }

    /// The thing it is about: the run, where it is about several.
    pub fn entity(&self, run: RunId) -> EntityRef {
        match self {
            Self::KvGet { key }
            | Self::KvExists { key }
            | Self::KvTtl { key }
            | Self::KvPut { key, .. }
            | Self::KvPutIf { key, .. }
            | Self::KvDelete { key }
            | Self::KvIncrement { key, .. }
            | Self::KvSetDeadline { key, .. }
            | Self::KvClearDeadline { key } => EntityRef::kv(run, key.clone()),
            Self::CellInit { name, .. }
            | Self::CellRead { name }
            | Self::CellTtl { name }
            | Self::CellSet { name, .. }
            | Self::CellCas { name, .. }
            | Self::CellDelete { name } => EntityRef::cell(run, name.clone()),
            Self::JsonCreate { name, .. }
            | Self::JsonGet { name, .. }
            | Self::JsonSet { name, .. }
            | Self::JsonCas { name, .. }
            | Self::JsonDelete { name, .. }
            | Self::JsonPatch { name, .. }
            | Self::JsonMerge { name, .. }
            | Self::JsonAppend { name, .. }
            | Self::JsonDestroy { name } => EntityRef::json(run, name.clone()),
            Self::EventRead { sequence } => EntityRef::event(run, *sequence),
            Self::EntityStat { entity } | Self::RunErase { entity, .. } => (**entity).clone(),
            Self::TraceRecord { trace } | Self::TraceBegin { trace } => EntityRef::trace(run, trace.id),
            Self::TraceEnd { id, .. } | Self::TraceGet { id } | Self::TraceTree { id, .. } => {
                EntityRef::trace(run, *id)
            }
            _ => EntityRef::run(run),
        }
    }

    /// Refuses what cannot be part of a transaction.
    ///
    /// # Errors
    /// `Unsupported` names the operation.
    pub fn check_joins(&self, run: RunId) -> Result<(), Error> {
        if self.row().joins {
            return Ok(());
        }
        let message =
            format!("{} is a commit of its own and joins no transaction: call it outside", self.name());
        Err(Error::new(ErrorKind::Unsupported, message).with_entity(EntityRef::run(run)))
    }

    /// The read of what is under a key, or in a cell.
    pub fn read_of(kind: KeyKind, name: &str) -> Self {
        match kind {
            KeyKind::Kv => Self::KvGet { key: name.into() },
            KeyKind::Cell => Self::CellRead { name: name.into() },
        }
    }

    /// What it walks in order, so that [`RunState::ensure_order`](crate::RunState::ensure_order) should come
    /// before it.
    pub fn needs_order(&self) -> Option<OrderIndex> {
        match self {
            Self::KvList { .. } | Self::KvDeletePrefix { .. } => Some(OrderIndex::Keys(KeyKind::Kv)),
            Self::KvCount { prefix } if !prefix.is_empty() => Some(OrderIndex::Keys(KeyKind::Kv)),
            Self::CellList { .. } => Some(OrderIndex::Keys(KeyKind::Cell)),
            Self::JsonList { .. } => Some(OrderIndex::Documents),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_walks_in_key_order_need_the_ordered_index() {
        assert!(Operation::KvDeletePrefix { prefix: "".into() }.needs_order().is_some());
        assert!(Operation::KvCount { prefix: "a".into() }.needs_order().is_some());
        assert!(
            Operation::KvCount { prefix: "".into() }.needs_order().is_none(),
            "a whole count needs no walk"
        );
        assert!(Operation::RunGet.needs_order().is_none());
        assert_eq!((Operation::RunGet.name(), Operation::RunGet.is_write()), ("run_get", false));
    }
}
