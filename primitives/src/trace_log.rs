//! All traces of a run in commit order, and where each one and the children of each one are.
use crate::chunks::{Ascending, CHUNK_COUNT_MAX, Chunks};
use crate::encoded::Encoded;
use crate::entry_log::{EntryLog, PLACE_MAX, Trimmed};
use crate::erasure::Erasure;
use crate::split_map::SplitMap;
use crate::trace::Trace;
use crate::trace_id::TraceId;
use crate::version::{Timestamp, Version};
use std::ops::Range;
use std::sync::Arc;

/// The traces of a run. A place is a trace's number in commit order: 0, 1, 2 ... without gaps, but for those that were removed at the
/// front because the run does not keep them.
///
/// Commit order is the order of time too, since the time of a run never decreases, so time needs no index. A clone shares all
/// traces until either is changed.
#[derive(Debug, Clone)]
pub struct TraceLog {
    traces: Chunks<Trace>,
    removed: RemovedTraces,
    /// How much memory what was removed has taken, since this is in memory.
    released: usize,
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
    /// How many there ever were, and how many of these were removed.
    count: u64,
    removed: u64,
}

/// What is left of the traces that were removed: the first commit that recorded one of them, and the last that wrote one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RemovedTraces {
    pub(crate) from: Version,
    pub(crate) through: Version,
}

impl TraceLog {
    /// A log without traces; the seed keeps chosen ids from colliding.
    pub fn new(hash_seed: usize) -> Self {
        Self {
            traces: Chunks::new(),
            removed: RemovedTraces::default(),
            released: 0,
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

    /// What is left of those in front of the first.
    pub(crate) fn removed(&self) -> &RemovedTraces {
        &self.removed
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

    /// How many traces of this kind there ever were.
    pub fn kind_count(&self, kind: &str) -> u64 {
        self.kinds.get(kind).map_or(0, |of_kind| of_kind.count)
    }

    /// The place of the first trace recorded at `time` or later; the end of the log if there is none.
    pub fn first_at_or_after(&self, time: Timestamp) -> u64 {
        self.traces.partition_point(|trace| trace.recorded.timestamp < time)
    }

    /// How many traces there ever were when the commit `version` was made.
    pub fn count_at(&self, version: Version) -> u64 {
        self.traces.partition_point(|trace| trace.recorded.version <= version)
    }

    /// The traces at these places with their places, ascending; reversed, descending. There are none beyond the end.
    pub fn range(&self, places: Range<u64>) -> impl DoubleEndedIterator<Item = (u64, &Trace)> {
        let end = places.end.min(self.end());
        (places.start.max(self.first())..end).filter_map(|place| Some((place, self.get(place)?)))
    }

    /// How many traces of a kind were removed, of each kind with any; those in one of `count` parts of all kinds.
    pub(crate) fn removed_of_kinds(
        &self,
        part: usize,
        count: usize,
    ) -> impl Iterator<Item = (&Arc<str>, u64)> + use<'_> {
        let kinds = self.kinds.part(part, count).map(|(kind, of_kind)| (kind, of_kind.removed));
        kinds.filter(|(_, removed)| *removed > 0)
    }

    /// How many traces of each kind were removed, of those of which some were.
    pub(crate) fn removed_kinds(&self) -> impl Iterator<Item = (&str, u64)> {
        let kinds = self.kinds.values().map(|of_kind| (&*of_kind.kind, of_kind.removed));
        kinds.filter(|(_, removed)| *removed > 0)
    }

    /// In how many parts kinds lie.
    pub(crate) fn kind_part_count(&self) -> usize {
        self.kinds.part_count()
    }

    /// Adds the newest trace and returns its place. Its parent is expected to be there already, or to have been removed.
    ///
    /// # Panics
    /// If its id is taken, or it was recorded before the one before it: both are checked before anything is applied.
    pub fn append(&mut self, mut trace: Trace) -> u64 {
        let place = self.end();
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
            removed: 0,
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

    /// Puts the marker in the place of the body of a trace, if an erasure covers that; its place, and what it was.
    pub(crate) fn redact(&mut self, id: &TraceId, erasure: &Erasure) -> Option<(u64, Trace)> {
        let place = self.place_of(id)?;
        let trace = self.get(place).filter(|trace| erasure.covers_trace(trace) && !trace.body.is_erased())?;
        let erased = Trace { body: Encoded::erased(), ..trace.clone() };
        Some((place, self.replace(place, erased)))
    }

    /// Takes over from an image that all traces below `first` were removed, and what is left of them. Those that were there are
    /// removed before; which of them a fork had ended by then is not known here.
    pub(crate) fn load_removed(&mut self, first: u64, removed: RemovedTraces) -> Result<(), String> {
        let RemovedTraces { from, through } = removed;
        let is_fitting = match first {
            0 => removed == RemovedTraces::default(),
            first if first == self.first() => from == self.removed.from && through >= self.removed.through,
            first => first > self.end() && Version::NEVER < from && from <= through,
        };
        if !is_fitting || first < self.first() || first > PLACE_MAX {
            let message =
                format!("traces begin with {first}, and there are {} to {}", self.first(), self.end());
            return Err(message);
        }
        if first > self.end() {
            self.traces = Chunks::behind(first);
        }
        self.removed = removed;
        Ok(())
    }

    /// Takes over from an image how many traces of a kind were removed; fewer are known of those it began with.
    pub(crate) fn load_removed_of_kind(&mut self, kind: Arc<str>, removed: u64) -> Result<(), String> {
        let (text, first) = (Arc::clone(&kind), self.first());
        let of_kind = self.kinds.get_or_insert_with(kind, || OfKind { kind: text, count: 0, removed: 0 });
        let left = of_kind.count - of_kind.removed;
        let is_known = of_kind.removed == removed;
        if removed == 0 || removed > first || (!is_known && left > 0) {
            let message =
                format!("{removed} traces of kind {:?} do not fit the traces that are there", of_kind.kind);
            return Err(message);
        }
        (of_kind.count, of_kind.removed) = (removed + left, removed);
        Ok(())
    }

    /// Refuses what was taken over of kinds unless they are together all that were removed.
    pub(crate) fn check_removed_of_kinds(&self) -> Result<(), String> {
        let of_kinds = self.kinds.values().map(|of_kind| of_kind.removed).fold(0, u64::saturating_add);
        match of_kinds == self.first() {
            true => Ok(()),
            false => Err(format!("{} traces were removed, of all kinds {of_kinds}", self.first())),
        }
    }

    /// The list of the children of a trace without the first of them, which is removed.
    fn drop_first_child(&mut self, parent: &TraceId) {
        let children = self.by_parent.get_mut(parent).expect("a child is found by its parent");
        children.drop_front(1);
        if children.len() == 0 {
            self.by_parent.remove(parent);
        }
    }

    /// The places at which there are traces.
    pub(crate) fn places(&self) -> Range<u64> {
        self.traces.first()..self.traces.end()
    }

    /// The places at which both have a trace that may be another, or in another state, ascending; what they share is not looked at.
    pub(crate) fn places_apart<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + use<'a> {
        self.traces.places_apart(&other.traces)
    }

    /// Whether two logs hold the same traces. For tests: it reads everything.
    pub fn is_same(&self, other: &Self) -> bool {
        // How many children were removed is not remembered.
        let are_same_children = |(parent, children): (&TraceId, &Chunks<u64>)| {
            other.by_parent.get(parent).is_some_and(|others| others.iter().eq(children.iter()))
        };
        self.traces == other.traces
            && self.removed == other.removed
            && self.by_id == other.by_id
            && self.by_parent.len() == other.by_parent.len()
            && self.by_parent.iter().all(are_same_children)
            && self.kinds == other.kinds
            && self.size == other.size
    }
}

impl EntryLog for TraceLog {
    type Entry = Trace;
    type Anchor = RemovedTraces;

    fn first(&self) -> u64 {
        self.traces.first()
    }

    fn end(&self) -> u64 {
        self.traces.end()
    }

    fn released(&self) -> usize {
        self.released
    }

    fn memory_of(trace: &Trace) -> usize {
        trace.memory()
    }

    fn version_of(trace: &Trace) -> Version {
        trace.stamp.version
    }

    fn trim(&mut self, before: u64) -> Trimmed<Trace, RemovedTraces> {
        assert!(self.first() < before && before <= self.end(), "only traces that are there are removed");
        let entries = self.traces.take_front(before - self.first());
        let trimmed = Trimmed { entries, before: self.removed };
        for trace in &trimmed.entries {
            self.size -= trace.size();
            self.elsewhere -= trace.body.elsewhere();
            self.released += trace.memory();
            self.by_id.remove(&trace.id);
            trace.parent.iter().for_each(|parent| self.drop_first_child(parent));
            self.kinds.get_mut(&trace.kind).expect("every kind is counted").removed += 1;
            let RemovedTraces { from, through } = &mut self.removed;
            if *from == Version::NEVER {
                *from = trace.recorded.version;
            }
            *through = trace.stamp.version.max(*through);
        }
        trimmed
    }

    fn untrim(&mut self, trimmed: Trimmed<Trace, RemovedTraces>) {
        let Trimmed { entries, before } = trimmed;
        let first = self.first() - entries.len() as u64;
        for (trace, place) in entries.iter().rev().zip((first..self.first()).rev()) {
            self.size += trace.size();
            self.elsewhere += trace.body.elsewhere();
            self.released -= trace.memory();
            self.by_id.insert(trace.id, place);
            if let Some(parent) = trace.parent {
                // Room in front for all that may come back; how many were removed is not remembered.
                let children = self.by_parent.get_or_insert_with(parent, || Chunks::behind(PLACE_MAX));
                children.put_back_front(vec![place]);
            }
            self.kinds.get_mut(&trace.kind).expect("a kind stays when its traces are removed").removed -= 1;
        }
        self.traces.put_back_front(entries);
        self.removed = before;
    }

    fn drop_front(&mut self, count: u64) {
        self.traces.drop_front(count);
    }
}

#[cfg(test)]
#[path = "trace_log_tests.rs"]
mod tests;
