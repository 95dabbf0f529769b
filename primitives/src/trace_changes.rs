//! What has become of the traces that somebody saw at an older version.
//!
//! Traces are only ever added, ended, and removed at the front, so everything that can have changed is behind the count of that
//! version, among the replaced ones or in front of the first: what has not changed is not looked at again.
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

    /// Whether one trace was recorded, ended or removed. Of one that is not there it is told whether it may have been removed, so this
    /// changes with the first that is.
    pub(crate) fn of(&self, id: &TraceId) -> Option<ChangedTrace> {
        let version = |trace: Option<&Trace>| trace.map_or(Version::NEVER, |trace| trace.stamp.version);
        let (seen, found) = (version(self.was.find(id)), version(self.is.find(id)));
        let (was_whole, is_whole) = (self.was.first() == 0, self.is.first() == 0);
        match (seen, found) {
            (Version::NEVER, Version::NEVER) if was_whole && !is_whole => {
                Some(ChangedTrace { id: *id, seen, found: self.is.removed().through })
            }
            _ => (seen != found).then_some(ChangedTrace { id: *id, seen, found }),
        }
    }

    /// Whether more was recorded since, of one kind or of any, whether it is still there or not.
    pub(crate) fn is_recounted(&self, kind: Option<&str>) -> bool {
        let count = |traces: &Traces<'_>| kind.map_or(traces.count(), |kind| traces.kind_count(kind));
        count(&self.was) != count(&self.is)
    }

    /// Whether the trace at a place, or one behind it, was removed.
    pub(crate) fn is_removed(&self, place: u64) -> bool {
        self.is.first() > place
    }

    /// Whether any was removed since.
    pub(crate) fn is_any_removed(&self) -> bool {
        self.is.first() != self.was.first()
    }

    /// The first change at these places of a trace that the filter wants, or wanted.
    pub(crate) fn wanted(&self, filter: &TraceFilter, places: &Range<u64>) -> Option<ChangedTrace> {
        let is_wanted = |trace: Option<&Trace>| trace.is_some_and(|trace| filter.matches(trace));
        let place = self
            .places(places)
            .find(|place| is_wanted(self.was.get(*place)) || is_wanted(self.is.get(*place)))?;
        self.of(&self.was.get(place).or_else(|| self.is.get(place))?.id)
    }

    /// The first new trace, if a list that looked at `looked` of these places and would have seen new ones has to look at
    /// more than one list does: then it ends before it has passed all that it passed.
    pub(crate) fn beyond_one_list(&self, places: &Range<u64>, looked: u64) -> Option<ChangedTrace> {
        // Those that came and were removed again are not looked at.
        let (was, is) = (self.was.count().max(self.is.first()), self.is.count());
        let is_beyond = places.end == u64::MAX && looked + (is - was) > TRACE_SCAN_MAX as u64;
        let first = self.is.get(was).filter(|_| is_beyond)?;
        self.of(&first.id)
    }

    /// The first change before the place `end` of the root, or of a trace below it.
    pub(crate) fn below(&self, root: &TraceId, end: u64) -> Option<ChangedTrace> {
        if self.was.place_of(root) != self.is.place_of(root) {
            // Of one that is there all is there that is below it.
            return self.of(root);
        }
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
