//! What a transaction had read, as its commit keeps it: names and versions, and no values.
use crate::codec::{self, DecodeError, put_option, take_option};
use crate::entity::EntityRef;
use crate::id::{OperationId, RunId};
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::key_range::KeyBounds;
use crate::place::Place;
use crate::read_set::ReadSet;
use crate::trace_filter::TraceFilter;
use crate::trace_id::TraceId;
use crate::version::{Timestamp, Version};
use crate::view::RunView;
use foldhash::HashSet;
use std::fmt;
use std::ops::Bound;

/// Most places that are kept of what one transaction had read.
pub const COMMIT_READS_COUNT_MAX: usize = 1_000;

/// Bytes that they take together, encoded.
pub const COMMIT_READS_SIZE_MAX: usize = 64 << 10;

const IS_CUT: u8 = 1;

const TAG_KEY: u8 = 1;
const TAG_CELL: u8 = 2;
const TAG_DOCUMENT: u8 = 3;
const TAG_TRACE: u8 = 4;
const TAG_RUN: u8 = 5;
const TAG_RECEIPT: u8 = 6;
const TAG_KEYS: u8 = 7;
const TAG_CELLS: u8 = 8;
const TAG_DOCUMENTS: u8 = 9;
const TAG_EVENTS_FROM: u8 = 10;
const TAG_NO_EVENTS_FROM: u8 = 11;
const TAG_TRACES: u8 = 12;
const TAG_TRACE_TREE: u8 = 13;
const TAG_TRACES_FROM: u8 = 14;

/// What a transaction had read when it was committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitReads {
    /// The places that it had looked at, in the order in which it first did, each once. What it read of its own writes is none.
    pub places: Vec<ReadPlace>,
    /// Whether it had looked at more: 1,000 places are kept, and 64 KiB of them.
    pub is_cut: bool,
}

/// A place of a run that a transaction had read, and of a single thing the version that it had then: [`Version::NEVER`] where it was
/// not there. Where a transaction had asked for no more than whether a key is there, as a deletion does, the key may have been written again before the
/// commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadPlace {
    /// A key, or whether it is there.
    Key {
        /// The key.
        key: Key,
        /// The version it had.
        version: Version,
    },
    /// A cell, or whether it is there.
    Cell {
        /// Its name.
        name: Key,
        /// The version it had.
        version: Version,
    },
    /// A place of a document.
    Document {
        /// The name of the document.
        name: Key,
        /// The place, a JSON Pointer (RFC 6901). It has words of the document in it: once something of that was erased it is that of
        /// all of it, which is empty.
        path: String,
        /// The version of that place.
        version: Version,
    },
    /// A trace.
    Trace {
        /// Its id.
        id: TraceId,
        /// The version it had.
        version: Version,
    },
    /// What is known of the run.
    Run {
        /// The newest commit of the run.
        version: Version,
    },
    /// What the write with an operation id was answered.
    Receipt {
        /// The operation id.
        id: OperationId,
    },
    /// Which keys lie between two bounds, or their values too.
    Keys {
        /// Where they begin.
        from: Bound<String>,
        /// Where they end.
        to: Bound<String>,
    },
    /// Which cells do.
    Cells {
        /// Where they begin.
        from: Bound<String>,
        /// Where they end.
        to: Bound<String>,
    },
    /// Which documents do.
    Documents {
        /// Where they begin.
        from: Bound<String>,
        /// Where they end.
        to: Bound<String>,
    },
    /// Some of the events from this one on, which never change.
    EventsFrom {
        /// The first of them.
        sequence: u64,
    },
    /// That no event, or none of a type, stood at a place or behind it.
    NoEventsFrom {
        /// The type.
        kind: Option<String>,
        /// The place.
        sequence: u64,
    },
    /// The traces of a kind, with a tag or below a parent, or any.
    Traces {
        /// The kind.
        kind: Option<String>,
        /// The tag.
        tag: Option<String>,
        /// The parent.
        parent: Option<TraceId>,
    },
    /// A trace and everything below it.
    TraceTree {
        /// That trace.
        root: TraceId,
    },
    /// Some of the traces from this one on, in commit order.
    TracesFrom {
        /// The place of the first of them.
        place: u64,
    },
}

impl CommitReads {
    /// What is kept of what was read of `view`, where deadlines were judged at `began`.
    pub fn of(reads: &ReadSet, view: &RunView<'_>, began: Timestamp) -> Self {
        let (mut kept, mut known, mut size) = (Self::default(), HashSet::<Vec<u8>>::default(), 0);
        for place in reads.places().filter_map(|place| ReadPlace::of(place, view, began)) {
            let mut encoded = Vec::new();
            place.encode(&mut encoded);
            if known.contains(&encoded) {
                continue;
            }
            size += encoded.len();
            if kept.places.len() == COMMIT_READS_COUNT_MAX || size > COMMIT_READS_SIZE_MAX {
                kept.is_cut = true;
                break;
            }
            known.insert(encoded);
            kept.places.push(place);
        }
        kept
    }

    /// The same without the paths in those documents; nothing where it stays as it is.
    pub(crate) fn without_paths(&self, is_one: impl Fn(&Key) -> bool) -> Option<Self> {
        let mut without = self.clone();
        let mut is_changed = false;
        for place in &mut without.places {
            if let ReadPlace::Document { name, path, .. } = place
                && !path.is_empty()
                && is_one(name)
            {
                path.clear();
                is_changed = true;
            }
        }
        is_changed.then_some(without)
    }

    /// Appends the encoding: whether it is cut, then the places, to the end.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_u8(out, if self.is_cut { IS_CUT } else { 0 });
        self.places.iter().for_each(|place| place.encode(out));
    }

    /// Reads all of `input`. Nothing in it can make this panic.
    pub fn decode(mut input: &[u8]) -> Result<Self, DecodeError> {
        let is_cut = match codec::take_u8(&mut input)? {
            0 => false,
            IS_CUT => true,
            tag => return Err(DecodeError::UnknownTag { what: "reads", tag }),
        };
        // Every place takes bytes, so this ends with the input, and no count is believed.
        let mut places = Vec::new();
        while !input.is_empty() {
            places.push(ReadPlace::decode(&mut input)?);
        }
        Ok(Self { places, is_cut })
    }
}

impl ReadPlace {
    /// The thing that was read, where it is a single one of the run.
    pub fn entity(&self, run: RunId) -> Option<EntityRef> {
        Some(match self {
            Self::Key { key, .. } => EntityRef::kv(run, key.clone()),
            Self::Cell { name, .. } => EntityRef::cell(run, name.clone()),
            Self::Document { name, .. } => EntityRef::json(run, name.clone()),
            Self::Trace { id, .. } => EntityRef::trace(run, *id),
            Self::Run { .. } => EntityRef::run(run),
            _ => return None,
        })
    }

    /// The version that a single thing had.
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Key { version, .. }
            | Self::Cell { version, .. }
            | Self::Document { version, .. }
            | Self::Trace { version, .. }
            | Self::Run { version } => Some(*version),
            _ => None,
        }
    }

    fn of(place: &Place, view: &RunView<'_>, began: Timestamp) -> Option<Self> {
        let version_of = |entity: EntityRef| view.version_of(&entity, began);
        Some(match place {
            Place::Key { kind, key, .. } => {
                let (key, version) = (key.clone(), version_of(kind.entity(view.id(), key)));
                match kind {
                    KeyKind::Kv => Self::Key { key, version },
                    KeyKind::Cell => Self::Cell { name: key, version },
                }
            }
            Place::Range { kind, bounds, .. } => {
                let KeyBounds { lower: from, upper: to } = bounds.clone();
                match kind {
                    KeyKind::Kv => Self::Keys { from, to },
                    KeyKind::Cell => Self::Cells { from, to },
                }
            }
            Place::Documents { bounds } => {
                let KeyBounds { lower: from, upper: to } = bounds.clone();
                Self::Documents { from, to }
            }
            Place::Region { name, path } => {
                let region = view.documents().get(name).and_then(|entry| entry.value.region(path));
                let version = region.map_or(Version::NEVER, |stamp| stamp.version);
                Self::Document { name: name.clone(), path: path.to_string(), version }
            }
            Place::EventsFrom { kind, from } => {
                let kind = kind.as_ref().map(|kind| kind.to_string());
                Self::NoEventsFrom { kind, sequence: *from }
            }
            Place::EventsKept { from } => Self::EventsFrom { sequence: *from },
            Place::TracesKept { from } => Self::TracesFrom { place: *from },
            Place::Trace { id } => {
                Self::Trace { id: *id, version: version_of(EntityRef::trace(view.id(), *id)) }
            }
            Place::Traces { filter, .. } => {
                let TraceFilter { kind, tag, parent, .. } = filter.as_ref();
                Self::Traces { kind: kind.clone(), tag: tag.clone(), parent: *parent }
            }
            Place::Tree { root, .. } => Self::TraceTree { root: *root },
            Place::Run { .. } | Place::Status => Self::Run { version: view.stamp().version },
            Place::Receipt { id } => Self::Receipt { id: *id },
            // Its own traces, and that something was read of this life of the run.
            Place::OwnTraces { .. } | Place::Life => return None,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Key { key: name, version } | Self::Cell { name, version } => {
                let is_key = matches!(self, Self::Key { .. });
                codec::put_u8(out, if is_key { TAG_KEY } else { TAG_CELL });
                codec::put_str(out, name);
                codec::put_u64(out, version.0);
            }
            Self::Document { name, path, version } => {
                codec::put_u8(out, TAG_DOCUMENT);
                codec::put_str(out, name);
                codec::put_str(out, path);
                codec::put_u64(out, version.0);
            }
            Self::Trace { id, version } => {
                codec::put_u8(out, TAG_TRACE);
                out.extend_from_slice(id.as_bytes());
                codec::put_u64(out, version.0);
            }
            Self::Run { version } => {
                codec::put_u8(out, TAG_RUN);
                codec::put_u64(out, version.0);
            }
            Self::Receipt { id } => {
                codec::put_u8(out, TAG_RECEIPT);
                out.extend_from_slice(&id.0);
            }
            Self::Keys { from, to } => put_bounds(out, TAG_KEYS, [from, to]),
            Self::Cells { from, to } => put_bounds(out, TAG_CELLS, [from, to]),
            Self::Documents { from, to } => put_bounds(out, TAG_DOCUMENTS, [from, to]),
            Self::EventsFrom { sequence } => {
                codec::put_u8(out, TAG_EVENTS_FROM);
                codec::put_u64(out, *sequence);
            }
            Self::NoEventsFrom { kind, sequence } => {
                codec::put_u8(out, TAG_NO_EVENTS_FROM);
                put_option(out, kind.as_ref(), |out, kind| codec::put_str(out, kind));
                codec::put_u64(out, *sequence);
            }
            Self::Traces { kind, tag, parent } => {
                codec::put_u8(out, TAG_TRACES);
                put_option(out, kind.as_ref(), |out, kind| codec::put_str(out, kind));
                put_option(out, tag.as_ref(), |out, tag| codec::put_str(out, tag));
                put_option(out, *parent, |out, parent| out.extend_from_slice(parent.as_bytes()));
            }
            Self::TraceTree { root } => {
                codec::put_u8(out, TAG_TRACE_TREE);
                out.extend_from_slice(root.as_bytes());
            }
            Self::TracesFrom { place } => {
                codec::put_u8(out, TAG_TRACES_FROM);
                codec::put_u64(out, *place);
            }
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let take_version = |input: &mut &[u8]| codec::take_u64(input).map(Version);
        let take_id = |input: &mut &[u8]| codec::take_array(input).map(TraceId::from_bytes);
        let take_text = |input: &mut &[u8]| codec::take_str(input).map(str::to_owned);
        Ok(match codec::take_u8(input)? {
            TAG_KEY => Self::Key { key: codec::take_str(input)?.into(), version: take_version(input)? },
            TAG_CELL => Self::Cell { name: codec::take_str(input)?.into(), version: take_version(input)? },
            TAG_DOCUMENT => Self::Document {
                name: codec::take_str(input)?.into(),
                path: take_text(input)?,
                version: take_version(input)?,
            },
            TAG_TRACE => Self::Trace { id: take_id(input)?, version: take_version(input)? },
            TAG_RUN => Self::Run { version: take_version(input)? },
            TAG_RECEIPT => Self::Receipt { id: OperationId(codec::take_array(input)?) },
            TAG_KEYS => Self::Keys { from: take_bound(input)?, to: take_bound(input)? },
            TAG_CELLS => Self::Cells { from: take_bound(input)?, to: take_bound(input)? },
            TAG_DOCUMENTS => Self::Documents { from: take_bound(input)?, to: take_bound(input)? },
            TAG_EVENTS_FROM => Self::EventsFrom { sequence: codec::take_u64(input)? },
            TAG_NO_EVENTS_FROM => Self::NoEventsFrom {
                kind: take_option(input, |input| take_text(input))?,
                sequence: codec::take_u64(input)?,
            },
            TAG_TRACES => Self::Traces {
                kind: take_option(input, |input| take_text(input))?,
                tag: take_option(input, |input| take_text(input))?,
                parent: take_option(input, |input| take_id(input))?,
            },
            TAG_TRACE_TREE => Self::TraceTree { root: take_id(input)? },
            TAG_TRACES_FROM => Self::TracesFrom { place: codec::take_u64(input)? },
            tag => return Err(DecodeError::UnknownTag { what: "place that was read", tag }),
        })
    }
}

/// Each bound is 0 for none, 1 for one that is included or 2 for one that is not, and then the text.
fn put_bounds(out: &mut Vec<u8>, tag: u8, bounds: [&Bound<String>; 2]) {
    codec::put_u8(out, tag);
    for bound in bounds {
        match bound {
            Bound::Unbounded => codec::put_u8(out, 0),
            Bound::Included(text) => {
                codec::put_u8(out, 1);
                codec::put_str(out, text);
            }
            Bound::Excluded(text) => {
                codec::put_u8(out, 2);
                codec::put_str(out, text);
            }
        }
    }
}

fn take_bound(input: &mut &[u8]) -> Result<Bound<String>, DecodeError> {
    match codec::take_u8(input)? {
        0 => Ok(Bound::Unbounded),
        1 => Ok(Bound::Included(codec::take_str(input)?.to_owned())),
        2 => Ok(Bound::Excluded(codec::take_str(input)?.to_owned())),
        tag => Err(DecodeError::UnknownTag { what: "bound", tag }),
    }
}

/// What it is, and the version of a single thing.
impl fmt::Display for ReadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { key, .. } => write!(f, "key {key:?}"),
            Self::Cell { name, .. } => write!(f, "cell {name:?}"),
            Self::Document { name, path, .. } if path.is_empty() => write!(f, "document {name:?}"),
            Self::Document { name, path, .. } => write!(f, "document {name:?} at {path:?}"),
            Self::Trace { id, .. } => write!(f, "trace {id}"),
            Self::Run { .. } => f.write_str("the run"),
            Self::Receipt { id } => write!(f, "the receipt of {id}"),
            Self::Keys { from, to } => write_range(f, "keys", from, to),
            Self::Cells { from, to } => write_range(f, "cells", from, to),
            Self::Documents { from, to } => write_range(f, "names of documents", from, to),
            Self::EventsFrom { sequence } => write!(f, "events from {sequence} on"),
            Self::NoEventsFrom { kind: None, sequence } => write!(f, "no event from {sequence} on"),
            Self::NoEventsFrom { kind: Some(kind), sequence } => {
                write!(f, "no event of type {kind:?} from {sequence} on")
            }
            Self::Traces { kind, tag, parent } => {
                f.write_str("traces")?;
                kind.iter().try_for_each(|kind| write!(f, " of kind {kind:?}"))?;
                tag.iter().try_for_each(|tag| write!(f, " with tag {tag:?}"))?;
                parent.iter().try_for_each(|parent| write!(f, " below {parent}"))
            }
            Self::TraceTree { root } => write!(f, "trace {root} and all below it"),
            Self::TracesFrom { place } => write!(f, "traces from {place} on"),
        }?;
        match self.version() {
            None => Ok(()),
            Some(Version::NEVER) => f.write_str(", not there"),
            Some(version) => write!(f, ", version {version}"),
        }
    }
}

fn write_range(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    from: &Bound<String>,
    to: &Bound<String>,
) -> fmt::Result {
    f.write_str(what)?;
    match from {
        Bound::Included(from) if from.is_empty() => {}
        Bound::Included(from) => write!(f, " from {from:?} on")?,
        Bound::Excluded(from) => write!(f, " behind {from:?}")?,
        Bound::Unbounded => {}
    }
    match to {
        Bound::Included(to) => write!(f, " up to {to:?}"),
        Bound::Excluded(to) => write!(f, " below {to:?}"),
        Bound::Unbounded => Ok(()),
    }
}

#[cfg(test)]
#[path = "commit_reads_tests.rs"]
mod tests;
