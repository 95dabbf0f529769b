//! What has become of the traces that somebody saw at an older version.
//!
//! Traces are only ever added and ended, so everything that can have changed is behind the count of that version or
//! among the replaced ones: what has not changed is not looked at again.
use crate::operation::TRACE_SCAN_MAX;
use crate::trace::Trace;
use crate::trace_filter::TraceFilter;
use crate::trace_id::TraceId;
use crate::traces::Traces;
use crate::version::Version;
use rustc_hash::FxHashMap;
use std::ops::Range;

/// The traces of one run at two versions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceChanges<'a> {
    was: Traces<'a>,
    is: Traces<'a>,
}

/// A trace that is not as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangedTrace {
    pub(crate) id: TraceId,
    pub(crate) seen: Version,
    pub(crate) found: Version,
}

impl<'a> TraceChanges<'a> {
    pub(crate) fn new(was: Traces<'a>, is: Traces<'a>) -> Self {
        Self { was, is }
    }

    /// Whether one trace was recorded or ended.
    pub(crate) fn of(&self, id: &TraceId) -> Option<ChangedTrace> {
        let version = |trace: Option<&Trace>| trace.map_or(Version::NEVER, |trace| trace.stamp.version);
        let (seen, found) = (version(self.was.find(id)), version(self.is.find(id)));
        (seen != found).then_some(ChangedTrace { id: *id, seen, found })
    }

    /// The first change at these places of a trace that the filter wants, or wanted.
    pub(crate) fn wanted(&self, filter: &TraceFilter, places: &Range<u64>) -> Option<ChangedTrace> {
        let is_wanted = |trace: Option<&Trace>| trace.is_some_and(|trace| filter.matches(trace));
        let place = self
            .places(places)
            .find(|place| is_wanted(self.was.get(*place)) || is_wanted(self.is.get(*place)))?;
        self.of(&self.is.get(place)?.id)
    }

    /// The first new trace, if a list that looked at `looked` of these places and would have seen new ones has to look at
    /// more than one list does: then it ends before it has passed all that it passed.
    pub(crate) fn beyond_one_list(&self, places: &Range<u64>, looked: u64) -> Option<ChangedTrace> {
        let (was, is) = (self.was.count(), self.is.count());
        let is_beyond = places.end == u64::MAX && looked + (is - was) > TRACE_SCAN_MAX as u64;
        let first = self.is.get(was).filter(|_| is_beyond)?;
        self.of(&first.id)
    }

    /// The first change before the place `end` of the root, or of a trace below it.
    pub(crate) fn below(&self, root: &TraceId, end: u64) -> Option<ChangedTrace> {
        let mut lineage =
            Lineage { traces: self.is, root: self.is.place_of(root)?, known: FxHashMap::default() };
        let place = self.places(&(lineage.root..end)).find(|place| lineage.reaches_root(*place))?;
        self.of(&self.is.get(place)?.id)
    }

    /// The places among `places` at which anything has changed.
    fn places(&self, places: &Range<u64>) -> impl Iterator<Item = u64> {
        let places = places.clone();
        let added = self.was.count().max(places.start)..self.is.count().min(places.end);
        let ended = self.was.replaced().filter(move |place| places.contains(place));
        ended.chain(added)
    }
}

/// Who stands below a root. Each trace is looked at once, however many lines pass through it.
struct Lineage<'a> {
    traces: Traces<'a>,
    root: u64,
    known: FxHashMap<u64, bool>,
}

impl Lineage<'_> {
    fn reaches_root(&mut self, place: u64) -> bool {
        let mut passed = Vec::new();
        let mut ahead = Some(place);
        let answer = loop {
            match ahead {
                Some(place) if place == self.root => break true,
                Some(place) if place > self.root => match self.known.get(&place) {
                    Some(known) => break *known,
                    None => passed.push(place),
                },
                // Parents come before their children, so nothing before the root is below it.
                _ => break false,
            }
            ahead = passed.last().and_then(|place| self.parent_of(*place));
        };
        self.known.extend(passed.into_iter().map(|place| (place, answer)));
        answer
    }

    /// The place of a parent comes before that of its child. Insisting on it bounds the walk, whatever was recovered.
    fn parent_of(&self, place: u64) -> Option<u64> {
        let parent = self.traces.get(place)?.parent?;
        self.traces.place_of(&parent).filter(|parent| *parent < place)
    }
}
