//! What can be asked of a run: one table for embedding, network and every other surface.
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::id::{OperationId, RunId};
use crate::json::{PatchOperation, Pointer};
use crate::new_trace::NewTrace;
use crate::run_meta::{RunSpec, RunStatus};
use crate::trace_end::TraceEnd;
use crate::trace_filter::TraceFilter;
use crate::trace_id::TraceId;
use crate::value::Value;
use crate::version::{Timestamp, Version};
use std::sync::Arc;
use std::time::Duration;

/// One thing asked of one run. Keys and values move through it into the run without being copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named for what they are; each variant says what it asks")]
pub enum Operation {
    /// The value of a key.
    KvGet { key: Arc<str> },
    /// The values of several keys at one version.
    KvGetMany { keys: Vec<Arc<str>> },
    /// Whether a key is there.
    KvExists { key: Arc<str> },
    /// The deadline of a key.
    KvTtl { key: Arc<str> },
    /// A page of keys in order, with or without values, behind `start_after`.
    KvList {
        prefix: Arc<str>,
        start_after: Option<Arc<str>>,
        limit: usize,
        direction: Direction,
        values: bool,
    },
    /// How many keys begin with a prefix.
    KvCount { prefix: Arc<str> },
    /// Sets a key; without a deadline an earlier one is cleared.
    KvPut { key: Arc<str>, value: Encoded, deadline: Deadline },
    /// Sets several keys at once.
    KvPutMany { entries: Vec<PutEntry> },
    /// Sets a key if it is as expected, else `Conflict`.
    KvPutIf { key: Arc<str>, value: Encoded, deadline: Deadline, condition: Condition },
    /// Deletes a key; reveals whether it was there.
    KvDelete { key: Arc<str> },
    /// Deletes every key with a prefix; reveals how many.
    KvDeletePrefix { prefix: Arc<str> },
    /// Adds to a whole number; a missing key counts from 0. Keeps the deadline; reveals the sum.
    KvIncrement { key: Arc<str>, by: i64 },
    /// Gives a key a deadline; reveals whether the key was there.
    KvSetDeadline { key: Arc<str>, deadline: Deadline },
    /// Takes a key's deadline away; reveals whether the key was there.
    KvClearDeadline { key: Arc<str> },
    /// Deletes up to `limit` expired keys and cells. The cleaner's own, never a caller's.
    Expire { limit: usize },
    /// Appends an event; reveals its sequence.
    EventAppend { kind: Arc<str>, payload: Encoded, salt: [u8; 16] },
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
    CellInit { name: Arc<str>, value: Encoded, deadline: Deadline },
    /// The value of a cell.
    CellRead { name: Arc<str> },
    /// The deadline of a cell.
    CellTtl { name: Arc<str> },
    /// Sets a cell; without a deadline an earlier one is cleared.
    CellSet { name: Arc<str>, value: Encoded, deadline: Deadline },
    /// Sets a cell if it was last written by the commit named, else `Conflict`.
    CellCas { name: Arc<str>, value: Encoded, deadline: Deadline, expected: Version },
    /// Deletes a cell; reveals whether it was there.
    CellDelete { name: Arc<str> },
    /// A page of cells in order of their names, with their values.
    CellList { prefix: Arc<str>, start_after: Option<Arc<str>>, limit: usize, direction: Direction },
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
    /// A page of the traces that a filter wants, in commit order, from the place `start` on, which is included; without
    /// it from the end `direction` begins at. It looks at no more than [`TRACE_SCAN_MAX`] traces, so a page may be short,
    /// or empty, and still say where the next one begins.
    TraceList { filter: Box<TraceFilter>, start: Option<u64>, limit: usize, direction: Direction },
    /// A trace and everything below it, in commit order; the first `limit` of them.
    TraceTree { id: TraceId, limit: usize },
    /// How many traces there are, or how many of a kind.
    TraceCount { kind: Option<Arc<str>> },
    /// Creates a document; `AlreadyExists` if it is there.
    JsonCreate { name: Arc<str>, value: Encoded },
    /// What is at a place of a document.
    JsonGet { name: Arc<str>, path: Pointer },
    /// Puts a value at a place of a document; what is around it must be there.
    JsonSet { name: Arc<str>, path: Pointer, value: Encoded },
    /// The same if the document was last written by the commit named, else `Conflict`.
    JsonCas { name: Arc<str>, path: Pointer, value: Encoded, expected: Version },
    /// Takes out what is at a place of a document; reveals whether something was.
    JsonDelete { name: Arc<str>, path: Pointer },
    /// Applies a JSON Patch (RFC 6902), all of it or nothing.
    JsonPatch { name: Arc<str>, patch: Vec<PatchOperation> },
    /// Applies a JSON Merge Patch (RFC 7396) at a place.
    JsonMerge { name: Arc<str>, path: Pointer, patch: Value },
    /// Puts a value behind the last item of an array.
    JsonAppend { name: Arc<str>, path: Pointer, value: Encoded },
    /// A page of the names of documents, in order.
    JsonList { prefix: Arc<str>, start_after: Option<Arc<str>>, limit: usize, direction: Direction },
    /// Deletes a document; reveals whether it was there.
    JsonDestroy { name: Arc<str> },
}

/// How many traces one [`TraceList`](Operation::TraceList) looks at: what a filter leaves out takes time too.
pub const TRACE_SCAN_MAX: usize = 4_096;

/// The two kinds of things that a run finds by a key and replaces as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Keys and values.
    Kv,
    /// State cells.
    Cell,
}

/// An index of names in order: built at the first walk that needs it, and kept from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderIndex {
    /// Of keys or cells.
    Keys(KeyKind),
    /// Of documents.
    Documents,
}

impl KeyKind {
    /// The address of one of them.
    pub fn entity(self, run: RunId, key: &Arc<str>) -> EntityRef {
        match self {
            Self::Kv => EntityRef::kv(run, Arc::clone(key)),
            Self::Cell => EntityRef::cell(run, Arc::clone(key)),
        }
    }
}

/// One key to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutEntry {
    /// The key.
    pub key: Arc<str>,
    /// Its new value.
    pub value: Encoded,
    /// When it expires.
    pub deadline: Deadline,
}

/// One event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The type of the event.
    pub kind: Arc<str>,
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

/// When a key expires, as the caller says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deadline {
    /// Never.
    #[default]
    None,
    /// This long after the commit.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl Deadline {
    /// The absolute deadline, which is what is stored.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not after `now`, or beyond the end of time.
    pub fn resolve(self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        match self {
            Self::None => Ok(None),
            Self::In(ttl) if ttl.as_micros() == 0 => {
                refuse(format!("a time to live of {ttl:?} is already over"))
            }
            Self::In(ttl) => {
                match u64::try_from(ttl.as_micros()).ok().and_then(|micros| now.0.checked_add(micros)) {
                    Some(deadline) => Ok(Some(Timestamp(deadline))),
                    None => refuse(format!("a time to live of {ttl:?} ends beyond the last timestamp")),
                }
            }
            Self::At(deadline) if deadline <= now => {
                refuse(format!("the deadline {deadline} is not after the present {now}"))
            }
            Self::At(deadline) => Ok(Some(deadline)),
        }
    }
}

/// What an operation needs of the run's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: the run may be missing.
    Any,
    /// The run is there, in any status.
    Existing,
    /// The run is there and active.
    Active,
}

/// One line of the table of operations.
#[derive(Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// The name on every surface.
    pub name: &'static str,
    /// The number in the log and on the wire. Never changes, never reused; row `n` has tag `n + 1`.
    pub tag: u8,
    /// Whether it may change anything.
    pub write: bool,
    /// What it needs of the run's status.
    pub access: Access,
    /// Whether it may be part of a transaction, a batch or a shipped closure. What may not stands alone.
    pub joins: bool,
    /// The tags of the mutations it may produce.
    pub mutations: &'static [u8],
}

const fn read(tag: u8, name: &'static str) -> OperationRow {
    OperationRow { name, tag, write: false, access: Access::Existing, joins: true, mutations: &[] }
}

const fn write(tag: u8, name: &'static str, access: Access, mutations: &'static [u8]) -> OperationRow {
    OperationRow { name, tag, write: true, access, joins: true, mutations }
}

/// What begins or ends a run, or is the engine's own: it is a commit of its own.
const fn alone(tag: u8, name: &'static str, access: Access, mutations: &'static [u8]) -> OperationRow {
    OperationRow { joins: false, ..write(tag, name, access, mutations) }
}

static TABLE: [OperationRow; 56] = [
    read(1, "kv_get"),
    read(2, "kv_get_many"),
    read(3, "kv_exists"),
    read(4, "kv_ttl"),
    read(5, "kv_list"),
    read(6, "kv_count"),
    write(7, "kv_put", Access::Active, &[1]),
    write(8, "kv_put_many", Access::Active, &[1]),
    write(9, "kv_put_if", Access::Active, &[1]),
    write(10, "kv_delete", Access::Active, &[2]),
    write(11, "kv_delete_prefix", Access::Active, &[2]),
    write(12, "kv_increment", Access::Active, &[1]),
    write(13, "kv_set_deadline", Access::Active, &[3]),
    write(14, "kv_clear_deadline", Access::Active, &[3]),
    // Expiry goes on in a run that takes no writes: its deadlines were accepted while it did.
    alone(15, "expire", Access::Existing, &[2, 12]),
    write(16, "event_append", Access::Active, &[4]),
    write(17, "event_append_many", Access::Active, &[4]),
    read(18, "event_read"),
    read(19, "event_range"),
    read(20, "event_by_type"),
    read(21, "event_len"),
    read(22, "event_head"),
    read(23, "event_verify_chain"),
    alone(24, "run_create", Access::Any, &[5]),
    alone(25, "run_begin", Access::Any, &[5, 6]),
    OperationRow { access: Access::Any, ..read(26, "run_get") },
    write(27, "run_update_status", Access::Existing, &[6, 7]),
    write(28, "run_set_tags", Access::Existing, &[8]),
    write(29, "run_set_metadata", Access::Existing, &[9]),
    alone(30, "run_delete", Access::Existing, &[10]),
    read(31, "run_receipt"),
    write(32, "cell_init", Access::Active, &[11]),
    read(33, "cell_read"),
    read(34, "cell_ttl"),
    write(35, "cell_set", Access::Active, &[11]),
    write(36, "cell_cas", Access::Active, &[11]),
    write(37, "cell_delete", Access::Active, &[12]),
    read(38, "cell_list"),
    read(39, "entity_stat"),
    write(40, "trace_record", Access::Active, &[13]),
    write(41, "trace_begin", Access::Active, &[13]),
    write(42, "trace_end", Access::Active, &[14]),
    read(43, "trace_get"),
    read(44, "trace_list"),
    read(45, "trace_tree"),
    read(46, "trace_count"),
    write(47, "json_create", Access::Active, &[15]),
    read(48, "json_get"),
    write(49, "json_set", Access::Active, &[15]),
    write(50, "json_cas", Access::Active, &[15]),
    write(51, "json_delete", Access::Active, &[15]),
    write(52, "json_patch", Access::Active, &[15]),
    write(53, "json_merge", Access::Active, &[15]),
    write(54, "json_append", Access::Active, &[15]),
    read(55, "json_list"),
    write(56, "json_destroy", Access::Active, &[16]),
];

/// The mutations that the operation with this tag may produce.
pub fn mutations_of(tag: u8) -> &'static [u8] {
    TABLE.iter().find(|row| row.tag == tag).map_or(&[], |row| row.mutations)
}

impl Operation {
    /// Every operation there is, by ascending tag.
    pub fn table() -> &'static [OperationRow] {
        &TABLE
    }

    /// This operation's line in the table.
    pub fn row(&self) -> &'static OperationRow {
        &TABLE[usize::from(self.tag()) - 1]
    }

    /// The name on every surface.
    pub fn name(&self) -> &'static str {
        self.row().name
    }

    /// Whether it may change anything.
    pub fn is_write(&self) -> bool {
        self.row().write
    }

    /// Whether it is a write that reveals nothing, and that no key, cell or event of the run decides about.
    pub fn is_blind(&self) -> bool {
        match self {
            Self::KvPut { .. }
            | Self::CellSet { .. }
            | Self::EventAppend { .. }
            | Self::RunSetTags { .. }
            | Self::RunSetMetadata { .. } => true,
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
            | Self::KvClearDeadline { key } => EntityRef::kv(run, Arc::clone(key)),
            Self::CellInit { name, .. }
            | Self::CellRead { name }
            | Self::CellTtl { name }
            | Self::CellSet { name, .. }
            | Self::CellCas { name, .. }
            | Self::CellDelete { name } => EntityRef::cell(run, Arc::clone(name)),
            Self::JsonCreate { name, .. }
            | Self::JsonGet { name, .. }
            | Self::JsonSet { name, .. }
            | Self::JsonCas { name, .. }
            | Self::JsonDelete { name, .. }
            | Self::JsonPatch { name, .. }
            | Self::JsonMerge { name, .. }
            | Self::JsonAppend { name, .. }
            | Self::JsonDestroy { name } => EntityRef::json(run, Arc::clone(name)),
            Self::EventRead { sequence } => EntityRef::event(run, *sequence),
            Self::EntityStat { entity } => (**entity).clone(),
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

    /// The number in the log and on the wire.
    pub fn tag(&self) -> u8 {
        match self {
            Self::KvGet { .. } => 1,
            Self::KvGetMany { .. } => 2,
            Self::KvExists { .. } => 3,
            Self::KvTtl { .. } => 4,
            Self::KvList { .. } => 5,
            Self::KvCount { .. } => 6,
            Self::KvPut { .. } => 7,
            Self::KvPutMany { .. } => 8,
            Self::KvPutIf { .. } => 9,
            Self::KvDelete { .. } => 10,
            Self::KvDeletePrefix { .. } => 11,
            Self::KvIncrement { .. } => 12,
            Self::KvSetDeadline { .. } => 13,
            Self::KvClearDeadline { .. } => 14,
            Self::Expire { .. } => 15,
            Self::EventAppend { .. } => 16,
            Self::EventAppendMany { .. } => 17,
            Self::EventRead { .. } => 18,
            Self::EventRange { .. } => 19,
            Self::EventByType { .. } => 20,
            Self::EventLen { .. } => 21,
            Self::EventHead { .. } => 22,
            Self::EventVerifyChain => 23,
            Self::RunCreate { .. } => 24,
            Self::RunBegin { .. } => 25,
            Self::RunGet => 26,
            Self::RunUpdateStatus { .. } => 27,
            Self::RunSetTags { .. } => 28,
            Self::RunSetMetadata { .. } => 29,
            Self::RunDelete => 30,
            Self::RunReceipt { .. } => 31,
            Self::CellInit { .. } => 32,
            Self::CellRead { .. } => 33,
            Self::CellTtl { .. } => 34,
            Self::CellSet { .. } => 35,
            Self::CellCas { .. } => 36,
            Self::CellDelete { .. } => 37,
            Self::CellList { .. } => 38,
            Self::EntityStat { .. } => 39,
            Self::TraceRecord { .. } => 40,
            Self::TraceBegin { .. } => 41,
            Self::TraceEnd { .. } => 42,
            Self::TraceGet { .. } => 43,
            Self::TraceList { .. } => 44,
            Self::TraceTree { .. } => 45,
            Self::TraceCount { .. } => 46,
            Self::JsonCreate { .. } => 47,
            Self::JsonGet { .. } => 48,
            Self::JsonSet { .. } => 49,
            Self::JsonCas { .. } => 50,
            Self::JsonDelete { .. } => 51,
            Self::JsonPatch { .. } => 52,
            Self::JsonMerge { .. } => 53,
            Self::JsonAppend { .. } => 54,
            Self::JsonList { .. } => 55,
            Self::JsonDestroy { .. } => 56,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::Mutation;

    #[test]
    fn row_n_has_tag_n_plus_one_and_names_are_distinct() {
        for (index, row) in Operation::table().iter().enumerate() {
            assert_eq!(usize::from(row.tag), index + 1, "{}", row.name);
        }
        let mut names: Vec<_> = Operation::table().iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Operation::table().len());
    }

    #[test]
    fn every_write_names_its_mutations_and_every_mutation_has_a_writer() {
        for row in Operation::table() {
            assert_eq!(row.write, !row.mutations.is_empty(), "{}", row.name);
            assert_eq!(mutations_of(row.tag), row.mutations);
            for tag in row.mutations {
                assert!(Mutation::table().iter().any(|mutation| mutation.tag == *tag), "{}", row.name);
            }
        }
        for mutation in Mutation::table() {
            let has_writer = Operation::table().iter().any(|row| row.mutations.contains(&mutation.tag));
            assert!(has_writer, "{}", mutation.name);
        }
        assert!(mutations_of(0).is_empty());
    }

    #[test]
    fn deadlines_resolve_to_a_time_in_the_future_or_not_at_all() {
        let now = Timestamp(1_000);
        assert_eq!(Deadline::None.resolve(now).unwrap(), None);
        assert_eq!(Deadline::In(Duration::from_micros(1)).resolve(now).unwrap(), Some(Timestamp(1_001)));
        assert_eq!(Deadline::At(Timestamp(1_001)).resolve(now).unwrap(), Some(Timestamp(1_001)));
        for refused in [
            Deadline::In(Duration::ZERO),
            Deadline::In(Duration::from_nanos(999)),
            Deadline::In(Duration::from_micros(u64::MAX)),
            Deadline::In(Duration::MAX),
            Deadline::At(now),
            Deadline::At(Timestamp(0)),
        ] {
            assert_eq!(refused.resolve(now).unwrap_err().kind(), ErrorKind::InvalidArgument, "{refused:?}");
        }
    }

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
