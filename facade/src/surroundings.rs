//! What happened in a run around one of its commits: its events, and the trace that it was made in.

use std::ops::Range;

use strata_primitives::{
    Direction, EntityRef, ErrorKind, EventPage, Operation, Outcome, StoredEvent, Trace as StoredTrace,
    TraceFilter, TraceId, TracePage, Version,
};

use crate::Result;
use crate::answers::unexpected;
use crate::events::Event;
use crate::reads::Reads;
use crate::traces::Trace;
use crate::view::View;

/// Most events of one commit that are told of it.
const EVENTS_MAX: usize = 32;
/// Traces recorded last that are looked at, and then those above the last one, for one that was open.
const TRACES_MAX: u64 = 64;

/// What happened in a run around one of its commits, as far as the run still has it.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The event in front of the commit, and the first of those that it appended.
    pub(crate) events: Vec<Event>,
    /// Whether it appended more.
    pub(crate) has_more_events: bool,
    /// The innermost trace that it was made in.
    pub(crate) span: Option<Trace>,
}

impl Surroundings {
    /// What a picture of the run that is not older than the commit shows of it. The trace that is explained is not one that it was
    /// made in.
    pub(crate) fn of(view: &View, explained: &EntityRef, version: Version) -> Result<Surroundings> {
        let (events, has_more_events) = events_around(view, version)?;
        Ok(Surroundings { events, has_more_events, span: span_around(view, explained, version)? })
    }
}

fn events_around(view: &View, version: Version) -> Result<(Vec<Event>, bool)> {
    let (first, end) = (view.first_event()?.value, view.event_count()?.value);
    let own = first_place(first..end, |place| Ok(event_at(view, place)?.version >= version))?;
    let start = own.saturating_sub(1).max(first);
    let in_front = (own - start) as usize;
    let limit = in_front + EVENTS_MAX + 1;
    let page = Operation::EventRange { start: Some(start), limit, direction: Direction::Forward };
    let found = match view.ask(page)? {
        Outcome::Events(EventPage { events, .. }) => events,
        other => unexpected(&other),
    };
    let around: Vec<_> = found.into_iter().take_while(|event| event.version <= version).collect();
    let has_more = around.len() == limit;
    let told = around.into_iter().take(limit - 1);
    Ok((told.map(Event::decode).collect::<Result<_>>()?, has_more))
}

fn span_around(view: &View, explained: &EntityRef, version: Version) -> Result<Option<Trace>> {
    let (first, end) = (view.first_trace()?.value, view.trace_count(None)?.value);
    let end = first_place(first..end, |place| Ok(trace_at(view, place)?.recorded.version > version))?;
    let is_around = |trace: &StoredTrace| {
        let is_explained = matches!(explained, EntityRef::Trace { id, .. } if *id == trace.id);
        let was_open = trace.ended.is_none() || trace.stamp.version > version;
        !is_explained && (trace.recorded.version == version || was_open)
    };
    let mut parent = None;
    for place in (end.saturating_sub(TRACES_MAX).max(first)..end).rev() {
        let trace = trace_at(view, place)?;
        if is_around(&trace) {
            return Trace::decode(trace).map(Some);
        }
        if place + 1 == end {
            parent = trace.parent;
        }
    }
    for _ in 0..TRACES_MAX {
        let Some(trace) = parent.map(|id| trace_of(view, id)).transpose()?.flatten() else { break };
        if is_around(&trace) {
            return Trace::decode(trace).map(Some);
        }
        parent = trace.parent;
    }
    Ok(None)
}

/// The first of these places at which it is so, where it is at all behind that; their end if at none.
fn first_place(places: Range<u64>, mut is_so: impl FnMut(u64) -> Result<bool>) -> Result<u64> {
    let (mut low, mut high) = (places.start, places.end);
    while low < high {
        let middle = low + (high - low) / 2;
        match is_so(middle)? {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Ok(low)
}

/// The event at a place between the first and the last; its payload is not read.
fn event_at(view: &View, sequence: u64) -> Result<StoredEvent> {
    match view.ask(Operation::EventRead { sequence })? {
        Outcome::Event(Some(event)) => Ok(*event),
        other => unexpected(&other),
    }
}

/// The trace at a place between the first and the last; its content is not read.
fn trace_at(view: &View, place: u64) -> Result<StoredTrace> {
    let (filter, direction) = (Box::new(TraceFilter::default()), Direction::Forward);
    match view.ask(Operation::TraceList { filter, start: Some(place), limit: 1, direction })? {
        Outcome::Traces(TracePage { traces, .. }) => {
            Ok(traces.into_iter().next().expect("between the first and the last place there is a trace"))
        }
        other => unexpected(&other),
    }
}

/// One trace; nothing where it is not there, or not any more.
fn trace_of(view: &View, id: TraceId) -> Result<Option<StoredTrace>> {
    match view.ask(Operation::TraceGet { id }) {
        Ok(Outcome::Trace(found)) => Ok(found.map(|trace| *trace)),
        Err(error) if error.kind() == ErrorKind::HistoryTrimmed => Ok(None),
        Err(error) => Err(error),
        Ok(other) => unexpected(&other),
    }
}
