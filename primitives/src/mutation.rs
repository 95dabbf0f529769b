//! What the log holds: unconditional changes with absolute results, and their bytes.
//!
//! Every mutation is one tag byte, the version its target had before, and its fields, little-endian. What is added
//! under a number or an id of its own has no version before:
//!
//! ```text
//!  1 kv_put       u64 previous, u64 deadline (0 none), key, value
//!  2 kv_delete    u64 previous, key
//!  3 kv_deadline  u64 previous, u64 deadline (0 none), key
//!  4 event_append u64 sequence, [16] salt, [32] hash, kind, payload
//!  5 run_create   u64 previous, meta
//!  6 run_begin    u64 previous, u64 boot
//!  7 run_status   u64 previous, u8 status
//!  8 run_tags     u64 previous, u32 count, tags
//!  9 run_metadata u64 previous, metadata
//! 10 run_delete   u64 previous
//! 11 cell_set     u64 previous, u64 deadline (0 none), name, value
//! 12 cell_delete  u64 previous, name
//! 13 trace_record trace
//! 14 trace_end    u64 previous, [16] id, u64 ended, body
//! 15 json_write   u64 previous, name, write
//! 16 json_destroy u64 previous, name
//! 17 run_retention u64 previous, u8 1 and retention, or u8 0
//! 18 run_fork     u64 version of the run that is forked, [16] that run, meta
//! 19 erase        u64 from, u64 through, entity, reason
//! 20 event_erased u64 sequence, [32] digest, [32] hash, kind
//! 21 run_import   u64 version of the newest commit that is imported, u64 floor, whole meta
//! 22 event_retention u64 previous, u8 1 and retention, or u8 0
//! 23 event_trim   u64 before
//! 24 trace_retention u64 previous, u8 1 and retention, or u8 0
//! 25 trace_trim   u64 before
//! ```
//! A key, name, value, kind, payload, tag, metadata or body is a `u32` size and its bytes. `meta` is an optional name
//! (u8, then text), three texts of namespace, an optional parent (u8, then 16 bytes), tags, metadata, u8 status,
//! u64 created, u64 boot, u8 durability (0 none). A `trace` is drawn at [`Trace::encode`], a `write` above
//! [`JsonWrite`], an `entity` at [`EntityRef::encode`], a `retention` is u8 1 (all), u8 2 and u64 commits, or u8 3 and u64 microseconds. Tags are never changed or reused.
use crate::codec::{self, DecodeError, put_option, take_option};
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::fork::ForkPoint;
use crate::id::RunId;
use crate::json::JsonWrite;
use crate::key::Key;
use crate::retention::Retention;
use crate::run_meta::{RunMeta, decode_metadata, decode_tags, encode_tags};
use crate::run_status::RunStatus;
use crate::trace::Trace;
use crate::trace_id::TraceId;
use crate::version::{Timestamp, Version};
use crate::width::Width;
use std::sync::Arc;

/// One unconditional change of one run. `previous` is the version the changed thing had, 0 if it was not there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named for what they are; each variant says what it does")]
pub enum Mutation {
    /// A key has this value and deadline.
    KvPut { key: Key, value: Encoded, deadline: Option<Timestamp>, previous: Version },
    /// A key is gone.
    KvDelete { key: Key, previous: Version },
    /// A key has this deadline; its value stays.
    KvDeadline { key: Key, deadline: Option<Timestamp>, previous: Version },
    /// The event with this sequence happened.
    EventAppend { sequence: u64, kind: Key, payload: Encoded, salt: [u8; 16], hash: [u8; 32] },
    /// The run is there, with this description.
    RunCreate { meta: Box<RunMeta>, previous: Version },
    /// The run is active in this boot of the store.
    RunBegin { boot: u64, previous: Version },
    /// The run has this status.
    RunStatus { status: RunStatus, previous: Version },
    /// The run has these tags.
    RunTags { tags: Vec<String>, previous: Version },
    /// The run has this metadata.
    RunMetadata { metadata: Encoded, previous: Version },
    /// The run and everything in it is gone.
    RunDelete { previous: Version },
    /// A cell has this value and deadline.
    CellSet { name: Key, value: Encoded, deadline: Option<Timestamp>, previous: Version },
    /// A cell is gone.
    CellDelete { name: Key, previous: Version },
    /// A document is changed in one place, or is there as a whole.
    JsonWrite { name: Key, write: JsonWrite, previous: Version },
    /// A document is gone.
    JsonDestroy { name: Key, previous: Version },
    /// A trace is there. Its stamps are those of the commit.
    TraceRecord { trace: Box<Trace> },
    /// A trace ended, and this is its body since.
    TraceEnd { id: TraceId, ended: Timestamp, body: Encoded, previous: Version },
    /// The run keeps this much of its history, or as much as the store says.
    RunRetention { retention: Option<Retention>, previous: Version },
    /// The run, which holds what another one held, is there with this description.
    RunFork { point: ForkPoint, meta: Box<RunMeta> },
    /// What these commits wrote of a thing is gone: a marker stands in its place.
    Erase { entity: Box<EntityRef>, from: Version, through: Version, reason: Arc<str> },
    /// The event with this sequence happened, and its payload was erased: what is left of an
    /// [`EventAppend`](Self::EventAppend) in a record that was rewritten.
    EventErased { sequence: u64, kind: Key, digest: [u8; 32], hash: [u8; 32] },
    /// The run, which holds what it held elsewhere behind its commit `version`, is there with this description. Of its commits
    /// before that, those from `floor` on came with it.
    RunImport { version: Version, floor: Version, meta: Box<RunMeta> },
    /// The run keeps these of its events, or all.
    EventRetention { retention: Option<Retention>, previous: Version },
    /// The events below this sequence are removed.
    EventTrim { before: u64 },
    /// The run keeps these of its traces, or as many as the store says.
    TraceRetention { retention: Option<Retention>, previous: Version },
    /// The traces below this place are removed.
    TraceTrim { before: u64 },
}

/// What a mutation tells of the thing before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// This commit changed it last.
    At(Version),
    /// It was not there; in an earlier life of the run, or in that which the run began as, it may have been.
    Absent,
    /// It was never there.
    Nothing,
    /// Nothing.
    Unknown,
}

/// One line of the table of mutations.
#[derive(Debug, PartialEq, Eq)]
pub struct MutationRow {
    /// The name, as tools print it.
    pub name: &'static str,
    /// The number in the log. Never changes, never reused; row `n` has tag `n + 1`.
    pub tag: u8,
}

const KV_PUT: u8 = 1;
const KV_DELETE: u8 = 2;
const KV_DEADLINE: u8 = 3;
const EVENT_APPEND: u8 = 4;
const RUN_CREATE: u8 = 5;
const RUN_BEGIN: u8 = 6;
const RUN_STATUS: u8 = 7;
const RUN_TAGS: u8 = 8;
const RUN_METADATA: u8 = 9;
const RUN_DELETE: u8 = 10;
const CELL_SET: u8 = 11;
const CELL_DELETE: u8 = 12;
const TRACE_RECORD: u8 = 13;
const TRACE_END: u8 = 14;
const JSON_WRITE: u8 = 15;
const JSON_DESTROY: u8 = 16;
const RUN_RETENTION: u8 = 17;
const RUN_FORK: u8 = 18;
const ERASE: u8 = 19;
const EVENT_ERASED: u8 = 20;
const RUN_IMPORT: u8 = 21;
const EVENT_RETENTION: u8 = 22;
const EVENT_TRIM: u8 = 23;
const TRACE_RETENTION: u8 = 24;
const TRACE_TRIM: u8 = 25;

static TABLE: [MutationRow; 25] = [
    MutationRow { name: "kv_put", tag: KV_PUT },
    MutationRow { name: "kv_delete", tag: KV_DELETE },
    MutationRow { name: "kv_deadline", tag: KV_DEADLINE },
    MutationRow { name: "event_append", tag: EVENT_APPEND },
    MutationRow { name: "run_create", tag: RUN_CREATE },
    MutationRow { name: "run_begin", tag: RUN_BEGIN },
    MutationRow { name: "run_status", tag: RUN_STATUS },
    MutationRow { name: "run_tags", tag: RUN_TAGS },
    MutationRow { name: "run_metadata", tag: RUN_METADATA },
    MutationRow { name: "run_delete", tag: RUN_DELETE },
    MutationRow { name: "cell_set", tag: CELL_SET },
    MutationRow { name: "cell_delete", tag: CELL_DELETE },
    MutationRow { name: "trace_record", tag: TRACE_RECORD },
    MutationRow { name: "trace_end", tag: TRACE_END },
    MutationRow { name: "json_write", tag: JSON_WRITE },
    MutationRow { name: "json_destroy", tag: JSON_DESTROY },
    MutationRow { name: "run_retention", tag: RUN_RETENTION },
    MutationRow { name: "run_fork", tag: RUN_FORK },
    MutationRow { name: "erase", tag: ERASE },
    MutationRow { name: "event_erased", tag: EVENT_ERASED },
    MutationRow { name: "run_import", tag: RUN_IMPORT },
    MutationRow { name: "event_retention", tag: EVENT_RETENTION },
    MutationRow { name: "event_trim", tag: EVENT_TRIM },
    MutationRow { name: "trace_retention", tag: TRACE_RETENTION },
    MutationRow { name: "trace_trim", tag: TRACE_TRIM },
];

impl Mutation {
    /// Every mutation there is, by ascending tag.
    pub fn table() -> &'static [MutationRow] {
        &TABLE
    }

    /// The number in the log.
    pub fn tag(&self) -> u8 {
        match self {
            Self::KvPut { .. } => KV_PUT,
            Self::KvDelete { .. } => KV_DELETE,
            Self::KvDeadline { .. } => KV_DEADLINE,
            Self::EventAppend { .. } => EVENT_APPEND,
            Self::RunCreate { .. } => RUN_CREATE,
            Self::RunBegin { .. } => RUN_BEGIN,
            Self::RunStatus { .. } => RUN_STATUS,
            Self::RunTags { .. } => RUN_TAGS,
            Self::RunMetadata { .. } => RUN_METADATA,
            Self::RunDelete { .. } => RUN_DELETE,
            Self::CellSet { .. } => CELL_SET,
            Self::CellDelete { .. } => CELL_DELETE,
            Self::TraceRecord { .. } => TRACE_RECORD,
            Self::TraceEnd { .. } => TRACE_END,
            Self::JsonWrite { .. } => JSON_WRITE,
            Self::JsonDestroy { .. } => JSON_DESTROY,
            Self::RunRetention { .. } => RUN_RETENTION,
            Self::RunFork { .. } => RUN_FORK,
            Self::Erase { .. } => ERASE,
            Self::EventErased { .. } => EVENT_ERASED,
            Self::RunImport { .. } => RUN_IMPORT,
            Self::EventRetention { .. } => EVENT_RETENTION,
            Self::EventTrim { .. } => EVENT_TRIM,
            Self::TraceRetention { .. } => TRACE_RETENTION,
            Self::TraceTrim { .. } => TRACE_TRIM,
        }
    }

    /// The name, as tools print it.
    pub fn name(&self) -> &'static str {
        TABLE[usize::from(self.tag()) - 1].name
    }

    /// The thing that it changes.
    pub fn entity(&self, run: RunId) -> EntityRef {
        match self {
            Self::KvPut { key, .. } | Self::KvDelete { key, .. } | Self::KvDeadline { key, .. } => {
                EntityRef::kv(run, key.clone())
            }
            Self::CellSet { name, .. } | Self::CellDelete { name, .. } => EntityRef::cell(run, name.clone()),
            Self::EventAppend { sequence, .. } | Self::EventErased { sequence, .. } => {
                EntityRef::event(run, *sequence)
            }
            Self::Erase { entity, .. } => (**entity).clone(),
            Self::TraceRecord { trace } => EntityRef::trace(run, trace.id),
            Self::TraceEnd { id, .. } => EntityRef::trace(run, *id),
            Self::JsonWrite { name, .. } | Self::JsonDestroy { name, .. } => {
                EntityRef::json(run, name.clone())
            }
            Self::RunCreate { .. }
            | Self::RunBegin { .. }
            | Self::RunStatus { .. }
            | Self::RunTags { .. }
            | Self::RunMetadata { .. }
            | Self::RunRetention { .. }
            | Self::RunFork { .. }
            | Self::RunImport { .. }
            | Self::EventRetention { .. }
            | Self::EventTrim { .. }
            | Self::TraceRetention { .. }
            | Self::TraceTrim { .. }
            | Self::RunDelete { .. } => EntityRef::run(run),
        }
    }

    /// What it tells of the thing before it.
    pub fn before(&self) -> Before {
        match self {
            Self::KvPut { previous, .. }
            | Self::KvDelete { previous, .. }
            | Self::KvDeadline { previous, .. }
            | Self::CellSet { previous, .. }
            | Self::CellDelete { previous, .. }
            | Self::JsonWrite { previous, .. }
            | Self::JsonDestroy { previous, .. }
            | Self::TraceEnd { previous, .. }
            | Self::RunCreate { previous, .. }
            | Self::RunBegin { previous, .. }
            | Self::RunStatus { previous, .. }
            | Self::RunTags { previous, .. }
            | Self::RunMetadata { previous, .. }
            | Self::RunRetention { previous, .. }
            | Self::EventRetention { previous, .. }
            | Self::TraceRetention { previous, .. }
            | Self::RunDelete { previous } => match *previous {
                Version::NEVER => Before::Absent,
                previous => Before::At(previous),
            },
            // The id of a trace that was removed may be given again.
            Self::RunFork { .. } | Self::RunImport { .. } | Self::TraceRecord { .. } => Before::Absent,
            Self::EventAppend { .. } | Self::EventErased { .. } => Before::Nothing,
            Self::Erase { .. } | Self::EventTrim { .. } | Self::TraceTrim { .. } => Before::Unknown,
        }
    }

    /// Whether a run may take more memory with it, its description aside.
    pub fn adds_content(&self) -> bool {
        match self {
            Self::KvPut { .. }
            | Self::CellSet { .. }
            | Self::EventAppend { .. }
            | Self::TraceRecord { .. }
            | Self::TraceEnd { .. } => true,
            Self::JsonWrite { write, .. } => !matches!(write, JsonWrite::Remove { .. }),
            _ => false,
        }
    }

    /// The size of the encoding in bytes; for mutations of the run itself, an encoding is made to find out.
    pub fn encoded_size(&self) -> usize {
        match self {
            Self::KvPut { key, value, .. } | Self::CellSet { name: key, value, .. } => {
                1 + 8 + 8 + 4 + key.len() + 4 + value.len()
            }
            Self::KvDelete { key, .. }
            | Self::CellDelete { name: key, .. }
            | Self::JsonDestroy { name: key, .. } => 1 + 8 + 4 + key.len(),
            Self::KvDeadline { key, .. } => 1 + 8 + 8 + 4 + key.len(),
            Self::EventAppend { kind, payload, .. } => 1 + 8 + 16 + 32 + 4 + kind.len() + 4 + payload.len(),
            Self::EventErased { kind, .. } => 1 + 8 + 32 + 32 + 4 + kind.len(),
            Self::EventTrim { .. } | Self::TraceTrim { .. } => 1 + 8,
            Self::TraceRecord { trace } => 1 + trace.encoded_size(),
            Self::JsonWrite { name, write, .. } => 1 + 8 + 4 + name.len() + write.encoded_size(),
            Self::TraceEnd { body, .. } => 1 + 8 + 16 + 8 + 4 + body.len(),
            of_run => {
                let mut bytes = Vec::new();
                of_run.encode(&mut bytes);
                bytes.len()
            }
        }
    }

    /// Appends the encoding, as drawn at the top of this file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_u8(out, self.tag());
        match self {
            Self::KvPut { key, value, deadline, previous }
            | Self::CellSet { name: key, value, deadline, previous } => {
                codec::put_u64(out, previous.0);
                put_deadline(out, *deadline);
                codec::put_str(out, key);
                codec::put_bytes(out, value.as_bytes());
            }
            Self::JsonWrite { name, write, previous } => {
                codec::put_u64(out, previous.0);
                codec::put_str(out, name);
                write.encode(out);
            }
            Self::KvDelete { key, previous }
            | Self::CellDelete { name: key, previous }
            | Self::JsonDestroy { name: key, previous } => {
                codec::put_u64(out, previous.0);
                codec::put_str(out, key);
            }
            Self::KvDeadline { key, deadline, previous } => {
                codec::put_u64(out, previous.0);
                put_deadline(out, *deadline);
                codec::put_str(out, key);
            }
            Self::EventAppend { sequence, kind, payload, salt, hash } => {
                codec::put_u64(out, *sequence);
                out.extend_from_slice(salt);
                out.extend_from_slice(hash);
                codec::put_str(out, kind);
                codec::put_bytes(out, payload.as_bytes());
            }
            Self::EventErased { sequence, kind, digest, hash } => {
                codec::put_u64(out, *sequence);
                out.extend_from_slice(digest);
                out.extend_from_slice(hash);
                codec::put_str(out, kind);
            }
            Self::Erase { entity, from, through, reason } => {
                codec::put_u64(out, from.0);
                codec::put_u64(out, through.0);
                entity.encode(out);
                codec::put_str(out, reason);
            }
            Self::RunCreate { meta, previous } => {
                codec::put_u64(out, previous.0);
                meta.encode(Width::Fixed, out);
            }
            Self::RunBegin { boot, previous } => {
                codec::put_u64(out, previous.0);
                codec::put_u64(out, *boot);
            }
            Self::RunStatus { status, previous } => {
                codec::put_u64(out, previous.0);
                codec::put_u8(out, status.code());
            }
            Self::RunTags { tags, previous } => {
                codec::put_u64(out, previous.0);
                encode_tags(tags, Width::Fixed, out);
            }
            Self::RunMetadata { metadata, previous } => {
                codec::put_u64(out, previous.0);
                codec::put_bytes(out, metadata.as_bytes());
            }
            Self::EventTrim { before } | Self::TraceTrim { before } => codec::put_u64(out, *before),
            Self::RunRetention { retention, previous }
            | Self::EventRetention { retention, previous }
            | Self::TraceRetention { retention, previous } => {
                codec::put_u64(out, previous.0);
                put_option(out, *retention, |out, retention| retention.encode(Width::Fixed, out));
            }
            Self::RunFork { point, meta } => {
                codec::put_u64(out, point.version.0);
                out.extend_from_slice(point.run.as_bytes());
                meta.encode(Width::Fixed, out);
            }
            Self::RunImport { version, floor, meta } => {
                codec::put_u64(out, version.0);
                codec::put_u64(out, floor.0);
                meta.encode_whole(Width::Fixed, out);
            }
            Self::RunDelete { previous } => codec::put_u64(out, previous.0),
            Self::TraceRecord { trace } => trace.encode(out),
            Self::TraceEnd { id, ended, body, previous } => {
                codec::put_u64(out, previous.0);
                out.extend_from_slice(id.as_bytes());
                codec::put_u64(out, ended.0);
                codec::put_bytes(out, body.as_bytes());
            }
        }
    }

    /// Takes one mutation from the front of `input`. Nothing in `input` can make this panic.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let tag = codec::take_u8(input)?;
        match tag {
            EVENT_APPEND => return take_event(input),
            EVENT_ERASED => return take_erased_event(input),
            ERASE => return take_erase(input),
            EVENT_TRIM => return Ok(Self::EventTrim { before: codec::take_u64(input)? }),
            TRACE_TRIM => return Ok(Self::TraceTrim { before: codec::take_u64(input)? }),
            TRACE_RECORD => return Ok(Self::TraceRecord { trace: Box::new(Trace::decode(input)?) }),
            _ => {}
        }
        let previous = Version(codec::take_u64(input)?);
        Ok(match tag {
            KV_PUT => {
                let deadline = take_deadline(input)?;
                let value = take_encoded_under(codec::take_str(input)?, input)?;
                Self::KvPut { key: value.key().clone(), value, deadline, previous }
            }
            KV_DELETE => Self::KvDelete { key: codec::take_str(input)?.into(), previous },
            KV_DEADLINE => {
                let deadline = take_deadline(input)?;
                Self::KvDeadline { key: codec::take_str(input)?.into(), deadline, previous }
            }
            RUN_CREATE => Self::RunCreate { meta: Box::new(RunMeta::decode(Width::Fixed, input)?), previous },
            RUN_BEGIN => Self::RunBegin { boot: codec::take_u64(input)?, previous },
            RUN_STATUS => Self::RunStatus { status: RunStatus::decode(input)?, previous },
            RUN_TAGS => Self::RunTags { tags: decode_tags(Width::Fixed, input)?, previous },
            RUN_METADATA => Self::RunMetadata { metadata: decode_metadata(Width::Fixed, input)?, previous },
            RUN_DELETE => Self::RunDelete { previous },
            CELL_SET => {
                let deadline = take_deadline(input)?;
                let value = take_encoded_under(codec::take_str(input)?, input)?;
                Self::CellSet { name: value.key().clone(), value, deadline, previous }
            }
            CELL_DELETE => Self::CellDelete { name: codec::take_str(input)?.into(), previous },
            JSON_WRITE => {
                let name = codec::take_str(input)?.into();
                Self::JsonWrite { name, write: JsonWrite::decode(input)?, previous }
            }
            JSON_DESTROY => Self::JsonDestroy { name: codec::take_str(input)?.into(), previous },
            TRACE_END => {
                let id = TraceId::from_bytes(codec::take_array(input)?);
                let ended = Timestamp(codec::take_u64(input)?);
                Self::TraceEnd { id, ended, body: take_encoded(input)?, previous }
            }
            RUN_RETENTION => Self::RunRetention {
                retention: take_option(input, |input| Retention::decode(Width::Fixed, input))?,
                previous,
            },
            EVENT_RETENTION => Self::EventRetention {
                retention: take_option(input, |input| Retention::decode(Width::Fixed, input))?,
                previous,
            },
            TRACE_RETENTION => Self::TraceRetention {
                retention: take_option(input, |input| Retention::decode(Width::Fixed, input))?,
                previous,
            },
            RUN_FORK => {
                let point =
                    ForkPoint { run: RunId::from_bytes(codec::take_array(input)?), version: previous };
                Self::RunFork { point, meta: Box::new(RunMeta::decode(Width::Fixed, input)?) }
            }
            RUN_IMPORT => {
                let floor = Version(codec::take_u64(input)?);
                Self::RunImport {
                    version: previous,
                    floor,
                    meta: Box::new(RunMeta::decode_whole(Width::Fixed, input)?),
                }
            }
            tag => return Err(DecodeError::UnknownTag { what: "mutation", tag }),
        })
    }
}

fn take_event(input: &mut &[u8]) -> Result<Mutation, DecodeError> {
    let sequence = codec::take_u64(input)?;
    let (salt, hash) = (codec::take_array(input)?, codec::take_array(input)?);
    let payload = take_encoded_under(codec::take_str(input)?, input)?;
    Ok(Mutation::EventAppend { sequence, salt, hash, kind: payload.key().clone(), payload })
}

fn take_erased_event(input: &mut &[u8]) -> Result<Mutation, DecodeError> {
    Ok(Mutation::EventErased {
        sequence: codec::take_u64(input)?,
        digest: codec::take_array(input)?,
        hash: codec::take_array(input)?,
        kind: codec::take_str(input)?.into(),
    })
}

fn take_erase(input: &mut &[u8]) -> Result<Mutation, DecodeError> {
    Ok(Mutation::Erase {
        from: Version(codec::take_u64(input)?),
        through: Version(codec::take_u64(input)?),
        entity: Box::new(EntityRef::decode(input)?),
        reason: codec::take_str(input)?.into(),
    })
}

/// A value is stored as it came and decoded by who asks for it.
fn take_encoded(input: &mut &[u8]) -> Result<Encoded, DecodeError> {
    take_encoded_under("", input)
}

/// The same of a value under a key, in one allocation with that.
fn take_encoded_under(key: &str, input: &mut &[u8]) -> Result<Encoded, DecodeError> {
    Ok(Encoded::from_canonical_under(key, codec::take_bytes(input)?))
}

/// Deadlines lie in the future of a commit, so 0 is free to say "none".
fn put_deadline(out: &mut Vec<u8>, deadline: Option<Timestamp>) {
    codec::put_u64(out, deadline.map_or(0, |deadline| deadline.0));
}

fn take_deadline(input: &mut &[u8]) -> Result<Option<Timestamp>, DecodeError> {
    Ok(Some(codec::take_u64(input)?).filter(|micros| *micros != 0).map(Timestamp))
}

#[cfg(test)]
#[path = "mutation_tests.rs"]
mod tests;
