//! Decisions about traces.
use super::trace_walk::TraceWalk;
use super::{Answer, Decision};
use crate::effect::Effect;
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::mutation::Mutation;
use crate::new_trace::NewTrace;
use crate::operation::{Direction, TRACE_SCAN_MAX};
use crate::outcome::TracePage;
use crate::place::Place;
use crate::trace::Trace;
use crate::trace_end::TraceEnd;
use crate::trace_filter::TraceFilter;
use crate::trace_id::TraceId;
use crate::traces::{Children, TracesOver};
use crate::version::{Timestamp, Versioned};
use std::ops::Range;

impl Decision<'_, '_> {
    pub(super) fn record_trace(&mut self, new: NewTrace) -> Result<Answer, Error> {
        let id = new.id;
        let trace = new.into_record(self.now, self.limits);
        self.stage_trace(trace.map_err(|error| self.of_trace(id, error))?)
    }

    pub(super) fn begin_trace(&mut self, new: NewTrace) -> Result<Answer, Error> {
        let id = new.id;
        let span = new.into_span(self.now, self.limits);
        self.stage_trace(span.map_err(|error| self.of_trace(id, error))?)
    }

    pub(super) fn end_trace(&mut self, id: TraceId, end: TraceEnd) -> Result<Answer, Error> {
        let Some(trace) = self.draft.traces().find(&id) else {
            self.check_whole(&id)?;
            let message = "the trace is not in the run: begin it before it ends".to_owned();
            return Err(self.of_trace(id, Error::new(ErrorKind::NotFound, message)));
        };
        let ended = trace.end(end, self.now, self.limits);
        let (ended, body) = ended.map_err(|error| self.of_trace(id, error))?;
        let previous = self.draft.traces().base_version(&id);
        self.draft.stage(Mutation::TraceEnd { id, ended, body, previous }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    /// One trace. Which were removed is not remembered, so of one that is not there it may be that it was.
    pub(super) fn one_trace(&mut self, id: &TraceId) -> Result<Option<&Trace>, Error> {
        self.look_at_trace(id);
        if self.draft.traces().place_of(id).is_none() {
            self.check_whole(id)?;
        }
        Ok(self.draft.traces().find(id))
    }

    /// The place of the first trace that is there.
    pub(super) fn first_trace(&mut self) -> Versioned<u64> {
        let all = self.draft.traces();
        let (first, base_count) = (all.first(), all.base_count());
        self.draft.record(Place::TracesKept { from: first });
        if first == base_count {
            self.look_at_traces(&TraceFilter::default(), base_count..u64::MAX, None);
        }
        self.at_present(first)
    }

    pub(super) fn list_traces(
        &mut self,
        filter: &TraceFilter,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) -> Result<TracePage, Error> {
        let start = self.begin_of_trace_page(start, direction)?;
        let all = self.draft.traces();
        let candidates = Candidates::new(all, filter).narrowed(start, direction);
        let limit = limit.min(self.limits.items_max);
        let (mut traces, mut next, mut last, mut looked) = (Vec::new(), None, None, 0);
        let (base_count, own, mut kept) = (all.base_count(), all.base_count()..all.count(), start);
        let mut keep = |place: Option<u64>| kept = kept.into_iter().chain(place).min();
        for step in 0..candidates.len() {
            let place = candidates.place(step, direction);
            if step == TRACE_SCAN_MAX as u64 {
                next = place;
                // Without the first that it passed it would have come further.
                keep(candidates.place(0, direction));
                keep(place);
                break;
            }
            (last, looked) = (place, step + 1);
            let trace = place.and_then(|place| all.get(place)).filter(|trace| filter.matches(trace));
            if trace.is_some() && traces.len() == limit {
                next = place;
                keep(place);
                break;
            }
            if let Some(trace) = trace {
                traces.push(trace.clone());
                keep(place);
            }
        }
        let walk = TraceWalk { start, direction, looked, last, next, base_count };
        self.look_at_walk(filter, &walk);
        if let Some(from) = kept.filter(|place| !own.contains(place)) {
            self.draft.record(Place::TracesKept { from });
        }
        Ok(self.page_of_traces(traces, next))
    }

    pub(super) fn trace_tree(&mut self, id: &TraceId, limit: usize) -> Result<TracePage, Error> {
        let limit = limit.min(self.limits.items_max);
        let all = self.draft.traces();
        let (root, base_count) = (all.place_of(id), all.base_count());
        let mut walk = all.tree(id);
        let places = Vec::from_iter(walk.by_ref().take(limit));
        let next = walk.next();
        let traces = places.iter().filter_map(|place| all.get(*place)).cloned().collect();
        match root {
            None => {
                self.look_at_trace(id);
                self.check_whole(id)?;
            }
            Some(root) if root < base_count => {
                let last = places.last().copied();
                let direction = Direction::Forward;
                let walk = TraceWalk { start: None, direction, looked: 0, last, next, base_count };
                self.draft.record(Place::Tree { root: *id, end: walk.places().end });
            }
            // Nobody else can have recorded anything below what is the transaction's own.
            Some(_) => {}
        }
        Ok(self.page_of_traces(traces, next))
    }

    pub(super) fn trace_count(&mut self, kind: Option<&str>) -> Versioned<u64> {
        let traces = self.draft.traces();
        let newer = traces.base_count()..u64::MAX;
        let count = kind.map_or_else(|| traces.count(), |kind| traces.kind_count(kind));
        let filter = TraceFilter { kind: kind.map(str::to_owned), ..TraceFilter::default() };
        self.look_at_traces(&filter, newer, None);
        self.at_present(count)
    }

    fn stage_trace(&mut self, trace: Trace) -> Result<Answer, Error> {
        let traces = self.draft.traces();
        if let Some(held) = traces.find(&trace.id) {
            let message = format!(
                "the trace is there since version {}: give each an id of its own",
                held.recorded.version
            );
            return Err(self.of_trace(trace.id, Error::new(ErrorKind::AlreadyExists, message)));
        }
        // Where traces were removed, a parent that is not there may have been one of them: what goes on below it is recorded.
        let is_missing = |parent: &TraceId| traces.first() == 0 && traces.place_of(parent).is_none();
        if let Some(parent) = trace.parent.filter(is_missing) {
            // That it is refused for its parent tells that its id is free.
            self.look_at_trace(&trace.id);
            let message = format!("the parent of the trace {} is not in the run: record it first", trace.id);
            return Err(self.of_trace(parent, Error::new(ErrorKind::NotFound, message)));
        }
        self.draft.stage(Mutation::TraceRecord { trace: Box::new(trace) }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    /// Refuses an id that is not there where traces were removed.
    fn check_whole(&self, id: &TraceId) -> Result<(), Error> {
        match self.draft.traces().first() {
            0 => Ok(()),
            first => {
                let message = format!(
                    "the run does not keep the trace any more, or never had it: the earliest is {first}"
                );
                Err(self.of_trace(*id, Error::new(ErrorKind::HistoryTrimmed, message)))
            }
        }
    }

    /// Where a page begins that is asked for from `start` on: an ascending one from 0 on with the first trace that is there.
    fn begin_of_trace_page(&self, start: Option<u64>, direction: Direction) -> Result<Option<u64>, Error> {
        let first = self.draft.traces().first();
        match (start, direction) {
            (None, _) | (Some(0), Direction::Forward) => Ok(None),
            (Some(start), _) if start >= first => Ok(Some(start)),
            (Some(start), _) => {
                let message =
                    format!("the run does not keep trace {start} any more: the earliest is {first}");
                let entity = EntityRef::run(self.draft.run_id());
                Err(Error::new(ErrorKind::HistoryTrimmed, message).with_entity(entity))
            }
        }
    }

    fn page_of_traces(&self, traces: Vec<Trace>, next: Option<u64>) -> TracePage {
        let Versioned { version, timestamp, .. } = self.at_present(());
        TracePage { traces, next, version, timestamp }
    }

    /// Records that a trace was read, unless what was read is the transaction's own.
    pub(super) fn look_at_trace(&mut self, id: &TraceId) {
        if self.draft.is_recording() && !self.draft.traces().is_staged(id) {
            self.draft.record(Place::Trace { id: *id });
        }
    }

    /// Records what a list depends on.
    fn look_at_walk(&mut self, filter: &TraceFilter, walk: &TraceWalk) {
        let all = self.draft.traces();
        if walk.begins_among_own() && all.count() > walk.base_count {
            // Which place is which of the transaction's own moves when others record, whatever that is.
            self.look_at_traces(&TraceFilter::default(), walk.base_count..u64::MAX, None);
        }
        let TraceFilter { from, to, .. } = *filter;
        if from.or(to).is_some()
            && let Some(own) = self.draft.traces().get(walk.base_count)
        {
            let place = Place::OwnTraces { first: own.id, from, to };
            self.draft.record(place);
        }
        self.look_at_traces(filter, walk.places(), Some(walk.looked));
    }

    fn look_at_traces(&mut self, filter: &TraceFilter, places: Range<u64>, looked: Option<u64>) {
        if self.draft.is_recording() {
            self.draft.record(Place::Traces { filter: Box::new(filter.clone()), places, looked });
        }
    }

    #[cold]
    fn of_trace(&self, id: TraceId, error: Error) -> Error {
        error.with_entity(EntityRef::trace(self.draft.run_id(), id))
    }
}

/// The traces that a filter can want by its times and its parent, which are found without looking at others.
struct Candidates<'d> {
    /// The children of the parent asked for; without one, all traces by their places.
    children: Option<Children<'d>>,
    indexes: Range<u64>,
}

impl<'d> Candidates<'d> {
    fn new(traces: TracesOver<'d>, filter: &TraceFilter) -> Self {
        let place_at = |time: Timestamp| traces.first_at_or_after(time);
        let places =
            filter.from.map_or(traces.first(), place_at)..filter.to.map_or_else(|| traces.count(), place_at);
        let children = filter.parent.map(|parent| traces.children(&parent));
        let mut candidates = Self { children, indexes: places.clone() };
        candidates.indexes = candidates.index_of(places.start)..candidates.index_of(places.end);
        candidates
    }

    /// Those from the place `start` on.
    fn narrowed(mut self, start: Option<u64>, direction: Direction) -> Self {
        match (start, direction) {
            (None, _) => {}
            (Some(start), Direction::Forward) => {
                self.indexes.start = self.index_of(start).max(self.indexes.start);
            }
            (Some(start), Direction::Reverse) => {
                self.indexes.end = self.index_of(start.saturating_add(1)).min(self.indexes.end);
            }
        }
        self
    }

    /// The index of the first candidate at `place` or behind it.
    fn index_of(&self, place: u64) -> u64 {
        self.children.map_or(place, |children| children.count_below(place))
    }

    fn len(&self) -> u64 {
        self.indexes.end.saturating_sub(self.indexes.start)
    }

    /// The place of the candidate that a walk comes to after so many steps.
    fn place(&self, step: u64, direction: Direction) -> Option<u64> {
        let index = match direction {
            Direction::Forward => self.indexes.start + step,
            Direction::Reverse => self.indexes.end - 1 - step,
        };
        self.children.map_or(Some(index), |children| children.get(index))
    }
}
