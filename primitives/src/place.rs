//! One place of a run that a transaction has looked at.
use crate::id::OperationId;
use crate::json::Pointer;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::key_range::KeyBounds;
use crate::trace_filter::TraceFilter;
use crate::trace_id::TraceId;
use crate::version::Timestamp;
use std::ops::{Bound, Range};
use std::sync::Arc;

/// One place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// What a key holds, or that it is not there; only the latter if no more was asked for.
    Key { kind: KeyKind, key: Key, presence_only: bool },
    /// Which keys lie between two bounds; and what they hold, unless only their presence was asked for.
    Range { kind: KeyKind, bounds: KeyBounds, presence_only: bool },
    /// That no event, or none of a type, stands at `from` or behind it.
    EventsFrom { kind: Option<Arc<str>>, from: u64 },
    /// That no event from `from` on was removed.
    EventsKept { from: u64 },
    /// That no trace from this place on was removed.
    TracesKept { from: u64 },
    /// What is at a place of a document, or that nothing is.
    Region { name: Key, path: Pointer },
    /// Which documents lie between two bounds.
    Documents { bounds: KeyBounds },
    /// A trace, or that it is not there.
    Trace { id: TraceId },
    /// The traces at these places that a filter wants. The places end with `u64::MAX` where newer ones would have
    /// been seen too; then so many were looked at, and no more of the new ones may come than one list looks at. Where it is not said
    /// how many, it is how many of a kind there ever were.
    Traces { filter: Box<TraceFilter>, places: Range<u64>, looked: Option<u64> },
    /// Whether the transaction's own traces, of which this is the first, lie between these times: the commit records
    /// them, and their time is that of the commit.
    OwnTraces { first: TraceId, from: Option<Timestamp>, to: Option<Timestamp> },
    /// A trace that is there, and everything below it before the place `end`.
    Tree { root: TraceId, end: u64 },
    /// Anything that never changes while the run lives, such as that something was removed.
    Life,
    /// What is known about the run; with writes of the transaction's own over it, which count more or less as others write
    /// the same keys or not.
    Run { has_own: bool },
    /// Which writes the run takes: what is refused for another reason has told that it takes them.
    Status,
    /// What the write with an operation id was answered.
    Receipt { id: OperationId },
}

impl Place {
    /// Every trace there is or comes.
    pub(crate) fn all_traces() -> Self {
        Self::Traces { filter: Box::default(), places: 0..u64::MAX, looked: None }
    }

    /// What remembering it takes, about, bytes.
    pub(crate) fn size(&self) -> usize {
        let text = |bound: &Bound<String>| match bound {
            Bound::Included(text) | Bound::Excluded(text) => text.len(),
            Bound::Unbounded => 0,
        };
        let held = match self {
            Place::Key { key, .. } => key.len(),
            Place::Range { bounds, .. } | Place::Documents { bounds } => {
                text(&bounds.lower) + text(&bounds.upper)
            }
            Place::EventsFrom { kind, .. } => kind.as_ref().map_or(0, |kind| kind.len()),
            Place::Region { name, path } => name.len() + path.as_str().len(),
            Place::Traces { filter, .. } => size_of::<TraceFilter>() + filter.text_size(),
            Place::Trace { .. } | Place::OwnTraces { .. } | Place::Tree { .. } => 0,
            Place::EventsKept { .. } | Place::TracesKept { .. } => 0,
            Place::Life | Place::Run { .. } | Place::Status | Place::Receipt { .. } => 0,
        };
        size_of::<Place>() + held
    }
}
