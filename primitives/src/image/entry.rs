//! One thing in an image, and its bytes.
//!
//! An entry is a tag byte and its fields, little-endian; *stamp* is u64 version, u64 time:
//!
//! ```text
//! 1 head      stamp of the run, u64 version of the description, option of the description, whole
//! 2 key       stamp, u64 deadline (0 none), key, value
//! 3 cell      stamp, u64 deadline (0 none), name, value
//! 4 document  stamp, name, tree
//! 5 event     stamp, [16] salt, [32] hash, kind, payload
//! 6 trace     stamp, stamp of its creation, trace
//! 7 receipt   [16] id, stamp, u8 durability, [8] fingerprint, u32 count, effects
//! 8 end       u64 count of the entries before it
//! 9 removed   u8 1 key, 2 cell or 3 document; name
//! 10 ended    stamp, [16] id, u64 ended, body
//! 11 erasure  u64 from, u64 through, u64 by, entity, option of [32] hash, reason
//! 12 event_erased  stamp, [32] digest, [32] hash, kind
//! 13 kept_key  u64 version that wrote the value, and as 2
//! 14 deadline  stamp, u64 deadline (0 none), key
//! 15 gap       u32 size, that many zeros
//! 16 events_begin  u64 first, [32] hash of the event before it, u64 from, u64 through, u64 sequence of the next event entry
//! 17 events_removed  u64 count, kind
//! 18 traces_begin  u64 first, u64 from, u64 through, u64 place of the next trace entry
//! 19 traces_removed  u64 count, kind
//! 20 ended_trace   u64 version that recorded it, and as 10
//! ```
//! Of a fork there is only what it has changed of what it began with: keys, cells and documents that it put, those that it
//! removed, and behind all traces the ends that it gave to traces it began with.
//! A kept key is one whose deadline was moved by another commit than wrote its value; where a fork began with the value there is
//! only the deadline. A gap says nothing, is not counted, and may stand behind the end.
//! Events begin with those of sequence 0, unless an `events_begin` says with which: that stands in front of them in the image of a run
//! that has removed some, or of a fork. `from` and `through` are the commits that appended the first and the last of those
//! removed; behind it stands for each type how many of it were. So it is with traces, in the image of a run that has removed some: `through`
//! is the last commit that wrote one of those.
//! The head comes first, the end last; events and traces come in their order, receipts oldest first. A run that is missing
//! has no description. An entry for a key, a cell or a document, or that it is removed, may stand twice, and is the same both times. Descriptions,
//! values, kinds, traces and effects have the bytes they have in the log; a `tree` is drawn at
//! [`Document::encode_tree`](crate::Document). Tags are never changed or reused.
use crate::codec::{self, DecodeError, put_option, take_option};
use crate::effect::Effect;
use crate::encoded::{self, Encoded};
use crate::erasure::Erasure;
use crate::fingerprint::Fingerprint;
use crate::id::OperationId;
use crate::json::Document;
use crate::key::Key;
use crate::receipt::Receipt;
use crate::run_meta::RunMeta;
use crate::trace::Trace;
use crate::trace_id::TraceId;
use crate::unread::LARGE_VALUE_SIZE;
use crate::version::{Commit, Durability, Stamp, Timestamp, Version};
use crate::width::Width;
use std::ops::Range;
use std::sync::Arc;

/// One thing that a run remembers, with the commit that wrote it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields are named for what they are; each variant says what it is")]
pub enum ImageEntry {
    /// The run itself: the commit it is at, its description, and the commit that wrote that.
    Head { stamp: Stamp, meta_version: Version, meta: Option<Box<RunMeta>> },
    /// A key.
    Key { stamp: Stamp, deadline: Option<Timestamp>, key: Key, value: Encoded },
    /// A cell.
    Cell { stamp: Stamp, deadline: Option<Timestamp>, name: Key, value: Encoded },
    /// A document.
    Document { stamp: Stamp, name: Key, document: Document },
    /// The next event.
    Event { stamp: Stamp, salt: [u8; 16], hash: [u8; 32], kind: Key, payload: Encoded },
    /// The next trace, with its stamps.
    Trace { trace: Box<Trace> },
    /// Something that a fork began with and has no more.
    Removed { what: Removed, name: Key },
    /// A trace that a fork began with, and ended; `NEVER` where an older image does not tell which commit had recorded it.
    Ended { stamp: Stamp, recorded: Version, id: TraceId, ended: Timestamp, body: Encoded },
    /// What a write with an operation id was answered.
    Receipt { id: OperationId, receipt: Receipt },
    /// Something that was erased by a commit of the run.
    Erasure { erasure: Box<Erasure> },
    /// The next event, the payload of which is erased.
    EventErased { stamp: Stamp, digest: [u8; 32], hash: [u8; 32], kind: Key },
    /// A key, the value of which is of an earlier commit than its deadline.
    KeptKey { written: Version, stamp: Stamp, deadline: Option<Timestamp>, key: Key, value: Encoded },
    /// Of a key that a fork began with, the deadline that it gave it.
    Deadline { stamp: Stamp, deadline: Option<Timestamp>, key: Key },
    /// Which event is the first that is there, and what is left of those before it; and which one the next entry of an event is.
    EventsBegin { first: u64, hash: [u8; 32], from: Version, through: Version, next: u64 },
    /// So many events of a type were removed.
    EventsRemoved { kind: Arc<str>, count: u64 },
    /// Which trace is the first that is there, and what is left of those before it; and which one the next entry of a trace is.
    TracesBegin { first: u64, from: Version, through: Version, next: u64 },
    /// So many traces of a kind were removed.
    TracesRemoved { kind: Arc<str>, count: u64 },
    /// Room that nothing fills.
    Gap { size: u32 },
    /// So many entries came before.
    End { count: u64 },
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// A key.
    Key,
    /// A cell.
    Cell,
    /// A document.
    Document,
}

const HEAD: u8 = 1;
const KEY: u8 = 2;
const CELL: u8 = 3;
const DOCUMENT: u8 = 4;
const EVENT: u8 = 5;
const TRACE: u8 = 6;
const RECEIPT: u8 = 7;
const END: u8 = 8;
const REMOVED: u8 = 9;
const ENDED: u8 = 10;
const ERASURE: u8 = 11;
const EVENT_ERASED: u8 = 12;
const KEPT_KEY: u8 = 13;
const DEADLINE: u8 = 14;
const GAP: u8 = 15;
const EVENTS_BEGIN: u8 = 16;
const EVENTS_REMOVED: u8 = 17;
const TRACES_BEGIN: u8 = 18;
const TRACES_REMOVED: u8 = 19;
const ENDED_TRACE: u8 = 20;

/// What a gap takes beside its zeros, bytes.
pub const GAP_HEAD_SIZE: usize = 1 + 4;

impl ImageEntry {
    /// Appends the encoding, as drawn at the top of this file.
    ///
    /// # Panics
    /// If it has a value that is unread.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!(!self.value().is_some_and(|(value, _)| value.is_unread()), "what is encoded is here");
        self.encode_head(out);
    }

    /// The value that it shows, and how many bytes of its encoding stand behind that.
    pub(super) fn value(&self) -> Option<(&Encoded, usize)> {
        match self {
            Self::Key { value, .. } | Self::Cell { value, .. } | Self::KeptKey { value, .. } => {
                Some((value, 0))
            }
            Self::Event { payload, .. } => Some((payload, 0)),
            Self::Ended { body, .. } => Some((body, 0)),
            Self::Trace { trace } => Some((&trace.body, trace.encoded_size_behind_body())),
            _ => None,
        }
    }

    /// The same, if it is large and nothing but a read needs it: the body of an open span is needed when that ends.
    pub(super) fn large_value(&mut self) -> Option<(&mut Encoded, usize, Option<&[u8; 16]>)> {
        let found = match self {
            Self::Key { value, .. } | Self::Cell { value, .. } | Self::KeptKey { value, .. } => {
                (value, 0, None)
            }
            Self::Event { payload, salt, .. } => (payload, 0, Some(&*salt)),
            Self::Ended { body, .. } => (body, 0, None),
            Self::Trace { trace } if !trace.is_open() => {
                let behind = trace.encoded_size_behind_body();
                (&mut trace.body, behind, None)
            }
            _ => return None,
        };
        Some(found).filter(|(value, ..)| value.len() >= LARGE_VALUE_SIZE)
    }

    /// Where the value lies that may be left unread, if it has one and its encoding ends at `end`.
    pub fn large_value_at(&mut self, end: usize) -> Option<Range<usize>> {
        let (value, behind, _) = self.large_value()?;
        Some(end - behind - value.len()..end - behind)
    }

    /// Appends the encoding without the bytes of a value that is unread.
    pub(super) fn encode_head(&self, out: &mut Vec<u8>) {
        match self {
            Self::Head { stamp, meta_version, meta } => {
                codec::put_u8(out, HEAD);
                stamp.encode(out);
                codec::put_u64(out, meta_version.0);
                put_option(out, meta.as_ref(), |out, meta| meta.encode_whole(Width::Fixed, out));
            }
            Self::Key { stamp, deadline, key, value } => put_key(out, KEY, *stamp, *deadline, key, value),
            Self::Cell { stamp, deadline, name, value } => put_key(out, CELL, *stamp, *deadline, name, value),
            Self::Document { stamp, name, document } => {
                codec::put_u8(out, DOCUMENT);
                stamp.encode(out);
                codec::put_str(out, name);
                document.encode_tree(out);
            }
            Self::Event { stamp, salt, hash, kind, payload } => {
                codec::put_u8(out, EVENT);
                stamp.encode(out);
                out.extend_from_slice(salt);
                out.extend_from_slice(hash);
                codec::put_str(out, kind);
                payload.put(out);
            }
            Self::Trace { trace } => {
                codec::put_u8(out, TRACE);
                trace.stamp.encode(out);
                trace.recorded.encode(out);
                trace.encode_head(out);
            }
            Self::Removed { what, name } => {
                codec::put_u8(out, REMOVED);
                codec::put_u8(out, what.code());
                codec::put_str(out, name);
            }
            Self::Ended { stamp, recorded, id, ended, body } => {
                match *recorded {
                    Version::NEVER => codec::put_u8(out, ENDED),
                    Version(recorded) => {
                        codec::put_u8(out, ENDED_TRACE);
                        codec::put_u64(out, recorded);
                    }
                }
                stamp.encode(out);
                out.extend_from_slice(id.as_bytes());
                codec::put_u64(out, ended.0);
                body.put(out);
            }
            Self::Receipt { id, receipt } => {
                codec::put_u8(out, RECEIPT);
                let Receipt { commit, effects, fingerprint } = receipt;
                out.extend_from_slice(&id.0);
                Stamp { version: commit.version, timestamp: commit.timestamp }.encode(out);
                codec::put_u8(out, commit.durability.code());
                out.extend_from_slice(&fingerprint.0);
                codec::put_u32(out, codec::size_u32(effects.len()));
                effects.iter().for_each(|effect| effect.encode(out));
            }
            Self::Erasure { erasure } => {
                codec::put_u8(out, ERASURE);
                erasure.encode(out);
            }
            Self::EventErased { stamp, digest, hash, kind } => {
                codec::put_u8(out, EVENT_ERASED);
                stamp.encode(out);
                out.extend_from_slice(digest);
                out.extend_from_slice(hash);
                codec::put_str(out, kind);
            }
            Self::KeptKey { written, stamp, deadline, key, value } => {
                codec::put_u8(out, KEPT_KEY);
                codec::put_u64(out, written.0);
                put_key_fields(out, *stamp, *deadline, key);
                value.put(out);
            }
            Self::Deadline { stamp, deadline, key } => {
                codec::put_u8(out, DEADLINE);
                put_key_fields(out, *stamp, *deadline, key);
            }
            Self::EventsBegin { first, hash, from, through, next } => {
                codec::put_u8(out, EVENTS_BEGIN);
                codec::put_u64(out, *first);
                out.extend_from_slice(hash);
                [from.0, through.0, *next].into_iter().for_each(|number| codec::put_u64(out, number));
            }
            Self::EventsRemoved { kind, count } => {
                codec::put_u8(out, EVENTS_REMOVED);
                codec::put_u64(out, *count);
                codec::put_str(out, kind);
            }
            Self::TracesBegin { first, from, through, next } => {
                codec::put_u8(out, TRACES_BEGIN);
                [*first, from.0, through.0, *next].into_iter().for_each(|number| codec::put_u64(out, number));
            }
            Self::TracesRemoved { kind, count } => {
                codec::put_u8(out, TRACES_REMOVED);
                codec::put_u64(out, *count);
                codec::put_str(out, kind);
            }
            Self::Gap { size } => {
                codec::put_u8(out, GAP);
                codec::put_u32(out, *size);
                out.resize(out.len() + *size as usize, 0);
            }
            Self::End { count } => {
                codec::put_u8(out, END);
                codec::put_u64(out, *count);
            }
        }
    }

    /// Takes one entry from the front of `input`. Nothing in `input` can make this panic.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(match codec::take_u8(input)? {
            HEAD => Self::Head {
                stamp: Stamp::decode(input)?,
                meta_version: Version(codec::take_u64(input)?),
                meta: take_option(input, |input| RunMeta::decode_whole(Width::Fixed, input).map(Box::new))?,
            },
            KEY => {
                let (stamp, deadline, key, value) = take_key(input)?;
                Self::Key { stamp, deadline, key, value }
            }
            CELL => {
                let (stamp, deadline, name, value) = take_key(input)?;
                Self::Cell { stamp, deadline, name, value }
            }
            DOCUMENT => Self::Document {
                stamp: Stamp::decode(input)?,
                name: codec::take_str(input)?.into(),
                document: Document::decode_tree(input)?,
            },
            EVENT => {
                let stamp = Stamp::decode(input)?;
                let (salt, hash) = (codec::take_array(input)?, codec::take_array(input)?);
                let kind = codec::take_str(input)?;
                let payload = Encoded::from_canonical_under(kind, codec::take_bytes(input)?);
                Self::Event { stamp, salt, hash, kind: payload.key().clone(), payload }
            }
            TRACE => {
                let (stamp, recorded) = (Stamp::decode(input)?, Stamp::decode(input)?);
                Self::Trace { trace: Box::new(Trace { stamp, recorded, ..Trace::decode(input)? }) }
            }
            RECEIPT => {
                let id = OperationId(codec::take_array(input)?);
                Self::Receipt { id, receipt: take_receipt(input)? }
            }
            ERASURE => Self::Erasure { erasure: Box::new(Erasure::decode(input)?) },
            EVENT_ERASED => Self::EventErased {
                stamp: Stamp::decode(input)?,
                digest: codec::take_array(input)?,
                hash: codec::take_array(input)?,
                kind: codec::take_str(input)?.into(),
            },
            KEPT_KEY => {
                let written = Version(codec::take_u64(input)?);
                let (stamp, deadline, key, value) = take_key(input)?;
                Self::KeptKey { written, stamp, deadline, key, value }
            }
            DEADLINE => {
                let (stamp, deadline, key) = take_key_fields(input)?;
                Self::Deadline { stamp, deadline, key: key.into() }
            }
            EVENTS_BEGIN => Self::EventsBegin {
                first: codec::take_u64(input)?,
                hash: codec::take_array(input)?,
                from: Version(codec::take_u64(input)?),
                through: Version(codec::take_u64(input)?),
                next: codec::take_u64(input)?,
            },
            EVENTS_REMOVED => {
                let count = codec::take_u64(input)?;
                Self::EventsRemoved { kind: codec::take_str(input)?.into(), count }
            }
            TRACES_BEGIN => Self::TracesBegin {
                first: codec::take_u64(input)?,
                from: Version(codec::take_u64(input)?),
                through: Version(codec::take_u64(input)?),
                next: codec::take_u64(input)?,
            },
            TRACES_REMOVED => {
                let count = codec::take_u64(input)?;
                Self::TracesRemoved { kind: codec::take_str(input)?.into(), count }
            }
            GAP => {
                let zeros = codec::take_bytes(input)?;
                if zeros.iter().any(|byte| *byte != 0) {
                    return Err(DecodeError::Contradiction { what: "a gap that is filled" });
                }
                Self::Gap { size: codec::size_u32(zeros.len()) }
            }
            END => Self::End { count: codec::take_u64(input)? },
            REMOVED => Self::Removed { what: Removed::decode(input)?, name: codec::take_str(input)?.into() },
            ENDED => take_ended(input, Version::NEVER)?,
            ENDED_TRACE => match Version(codec::take_u64(input)?) {
                Version::NEVER => {
                    return Err(DecodeError::Contradiction { what: "a trace that nobody recorded" });
                }
                recorded => take_ended(input, recorded)?,
            },
            tag => return Err(DecodeError::UnknownTag { what: "image entry", tag }),
        })
    }
}

impl Removed {
    fn code(self) -> u8 {
        match self {
            Self::Key => 1,
            Self::Cell => 2,
            Self::Document => 3,
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        match codec::take_u8(input)? {
            1 => Ok(Self::Key),
            2 => Ok(Self::Cell),
            3 => Ok(Self::Document),
            tag => Err(DecodeError::UnknownTag { what: "removed thing", tag }),
        }
    }
}

fn put_key(
    out: &mut Vec<u8>,
    tag: u8,
    stamp: Stamp,
    deadline: Option<Timestamp>,
    key: &str,
    value: &Encoded,
) {
    codec::put_u8(out, tag);
    put_key_fields(out, stamp, deadline, key);
    value.put(out);
}

fn put_key_fields(out: &mut Vec<u8>, stamp: Stamp, deadline: Option<Timestamp>, key: &str) {
    stamp.encode(out);
    codec::put_u64(out, deadline.map_or(0, |deadline| deadline.0));
    codec::put_str(out, key);
}

type KeyFields = (Stamp, Option<Timestamp>, Key, Encoded);

fn take_key(input: &mut &[u8]) -> Result<KeyFields, DecodeError> {
    let (stamp, deadline, key) = take_key_fields(input)?;
    let value = Encoded::from_canonical_under(key, codec::take_bytes(input)?);
    Ok((stamp, deadline, value.key().clone(), value))
}

fn take_key_fields<'a>(input: &mut &'a [u8]) -> Result<(Stamp, Option<Timestamp>, &'a str), DecodeError> {
    let stamp = Stamp::decode(input)?;
    let deadline = Some(codec::take_u64(input)?).filter(|micros| *micros != 0).map(Timestamp);
    Ok((stamp, deadline, codec::take_str(input)?))
}

fn take_ended(input: &mut &[u8], recorded: Version) -> Result<ImageEntry, DecodeError> {
    Ok(ImageEntry::Ended {
        stamp: Stamp::decode(input)?,
        recorded,
        id: TraceId::from_bytes(codec::take_array(input)?),
        ended: Timestamp(codec::take_u64(input)?),
        body: Encoded::from_canonical(codec::take_bytes(input)?),
    })
}

fn take_receipt(input: &mut &[u8]) -> Result<Receipt, DecodeError> {
    let Stamp { version, timestamp } = Stamp::decode(input)?;
    let tag = codec::take_u8(input)?;
    let durability = Durability::from_code(tag).ok_or(DecodeError::UnknownTag { what: "durability", tag })?;
    let fingerprint = Fingerprint(codec::take_array(input)?);
    let effects = encoded::take_items(input, Effect::decode)?;
    Ok(Receipt { commit: Commit { version, timestamp, durability }, effects, fingerprint })
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
