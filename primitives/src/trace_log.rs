//! All traces of a run in commit order, and where each one and the children of each one are.
use crate::chunks::{Ascending, CHUNK_COUNT_MAX, Chunks};
use crate::split_map::SplitMap;
use crate::trace::Trace;
use crate::trace_id::TraceId;
use crate::version::{Timestamp, Version};
use std::ops::Range;
use std::sync::Arc;

/// The traces of a run. A place is a trace's number in commit order: 0, 1, 2 ... without gaps.
///
/// Commit order is the order of time too, since the time of a run never decreases, so time needs no index. A clone shares all
/// traces until either is changed.
#[derive(Debug, Clone)]
pub struct TraceLog {
    traces: Chunks<Trace>,
    by_id: SplitMap<TraceId, u64>,
    by_parent: SplitMap<TraceId, Chunks<u64>>,
    kinds: SplitMap<Arc<str>, OfKind>,
    size: u64,
    /// What bodies do not take in memory because it is elsewhere, bytes.
    elsewhere: usize,
}

/// The traces of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfKind {
    /// The text that all of them share.
    kind: Arc<str>,
    count: u64,
}

impl TraceLog {
    /// A log without traces; the seed keeps chosen ids from colliding.
    pub fn new(hash_seed: usize) -> Self {
        Self {
            traces: Chunks::new(),
            by_id: SplitMap::new(hash_seed),
            by_parent: SplitMap::new(hash_seed),
            kinds: SplitMap::new(hash_seed),
            size: 0,
            elsewhere: 0,
        }
    }

    /// How many traces there are.
    pub fn len(&self) -> u64 {
        self.traces.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What traces take together, bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes of bodies are elsewhere.
    pub(crate) fn elsewhere(&self) -> usize {
        self.elsewhere
    }

    /// About how many bytes were shared when it was cloned and are its own since, traces that were replaced aside.
    pub(crate) fn copied(&self) -> usize {
        let maps = self.by_id.copied() + self.by_parent.copied() + self.kinds.copied();
        maps + usize::from(self.by_id.copied() > 0) * CHUNK_COUNT_MAX * size_of::<Trace>()
    }

    /// The trace at a place.
    pub fn get(&self, place: u64) -> Option<&Trace> {
        self.traces.get(place)
    }

    /// Where the trace with this id is, if it is there.
    pub fn place_of(&self, id: &TraceId) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// The places of the direct children of a trace, ascending.
    pub(crate) fn children(&self, id: &TraceId) -> Ascending<'_> {
        Ascending::all(self.by_parent.get(id))
    }

    /// How many traces are of this kind.
    pub fn kind_count(&self, kind: &str) -> u64 {
        self.kinds.get(kind).map_or(0, |of_kind| of_kind.count)
    }

    /// The place of the first trace recorded at `time` or later; the end of the log if there is none.
    pub fn first_at_or_after(&self, time: Timestamp) -> u64 {
        self.traces.partition_point(|trace| trace.recorded.timestamp < time)
    }

    /// How many traces the commit `version` left.
    pub fn count_at(&self, version: Version) -> u64 {
        self.traces.partition_point(|trace| trace.recorded.version <= version)
    }

    /// The traces at these places with their places, ascending; reversed, descending. There are none beyond the end.
    pub fn range(&self, places: Range<u64>) -> impl DoubleEndedIterator<Item = (u64, &Trace)> {
        let end = places.end.min(self.len());
        (places.start..end).filter_map(|place| Some((place, self.get(place)?)))
    }

    /// Adds the newest trace and returns its place. Its parent is expected to be there already.
    ///
    /// # Panics
    /// If its id is taken, or it was recorded before the one before it: both are checked before anything is applied.
    pub fn append(&mut self, mut trace: Trace) -> u64 {
        let place = self.len();
        let before = self.traces.last().map_or(Timestamp(0), |last| last.recorded.timestamp);
        assert!(trace.recorded.timestamp >= before, "the time of a run never decreases");
        let earlier = self.by_id.insert(trace.id, place);
        assert!(earlier.is_none(), "an id is given to one trace of a run");
        if let Some(parent) = trace.parent {
            self.by_parent.get_or_insert_with(parent, Chunks::new).push(place);
        }
        let of_kind = self.kinds.get_or_insert_with(Arc::clone(&trace.kind), || OfKind {
            kind: Arc::clone(&trace.kind),
            count: 0,
        });
        trace.kind = Arc::clone(&of_kind.kind);
        of_kind.count += 1;
        self.size += trace.size();
        self.elsewhere += trace.body.elsewhere();
        self.traces.push(trace);
        place
    }

    /// Takes the newest trace back.
    ///
    /// # Panics
    /// If there is none.
    pub fn take_back(&mut self) {
        let trace = self.traces.pop().expect("a trace was appended");
        self.size -= trace.size();
        self.elsewhere -= trace.body.elsewhere();
        self.by_id.remove(&trace.id);
        if let Some(parent) = trace.parent {
            let children = self.by_parent.get_mut(&parent).expect("a child is found by its parent");
            children.pop();
            if children.len() == 0 {
                self.by_parent.remove(&parent);
            }
        }
        let OfKind { count, .. } = self.kinds.get_mut(&trace.kind).expect("every kind is counted");
        *count -= 1;
        if *count == 0 {
            self.kinds.remove(&trace.kind);
        }
    }

    /// Puts another state of the same trace in its place, and returns the state it had: the end of a span, or the
    /// undoing of it.
    ///
    /// # Panics
    /// If there is no trace at `place`, or it differs in what never changes: its id, parent, kind and creation.
    pub fn replace(&mut self, place: u64, mut trace: Trace) -> Trace {
        let held = self.traces.get_mut(place).expect("only a trace that is there is replaced");
        let (id, parent, kind, recorded) = (held.id, held.parent, &held.kind, held.recorded);
        let is_same = (id, parent, kind, recorded) == (trace.id, trace.parent, &trace.kind, trace.recorded);
        assert!(is_same, "a trace keeps its id, parent, kind and creation");
        trace.kind = Arc::clone(kind);
        self.size = self.size - held.size() + trace.size();
        self.elsewhere = self.elsewhere - held.body.elsewhere() + trace.body.elsewhere();
        std::mem::replace(held, trace)
    }

    /// Whether two logs hold the same traces. For tests: it reads everything.
    pub fn is_same(&self, other: &Self) -> bool {
        self.traces == other.traces
            && self.by_id == other.by_id
            && self.by_parent == other.by_parent
            && self.kinds == other.kinds
            && self.size == other.size
    }
}

#[cfg(test)]
#[path = "trace_log_tests.rs"]
mod tests;
