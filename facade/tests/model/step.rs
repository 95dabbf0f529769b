//! The steps of an agent: how a plain list of traces is written and read.

use strata::{
    Direction, Effect, EntityRef, ErrorKind, NewTrace, Stamp, Timestamp, Trace, TraceContent, TraceEnd,
};
use strata::{TraceFilter, TraceId, TracePage, TraceTree, Usage, Value};

use crate::state::{At, Decided, Done, Refusal, State};
use crate::write::Write;

const BLIND: Done = Done { changed: true, effect: Effect::None };

impl State {
    pub(crate) fn trace(&self, id: TraceId) -> Option<&Trace> {
        self.traces.iter().find(|trace| trace.id == id)
    }

    pub(crate) fn decide_trace(&mut self, write: &Write, at: At) -> Decided {
        match write {
            Write::Record(new) => self.add_trace(new, false, at),
            Write::Begin(new) => self.add_trace(new, true, at),
            Write::End { id, end } => self.end_trace(*id, end, at),
            other => unreachable!("{other:?} is about no trace"),
        }
    }

    fn add_trace(&mut self, new: &NewTrace, is_span: bool, at: At) -> Decided {
        if self.trace(new.id).is_some() {
            return Err(self.of_trace(new.id, ErrorKind::AlreadyExists));
        }
        if let Some(parent) = new.parent.filter(|parent| self.trace(*parent).is_none()) {
            return Err(self.of_trace(parent, ErrorKind::NotFound));
        }
        let now = at.stamp.timestamp;
        let took = new.duration.map_or(0, |took| took.as_micros() as u64);
        let (began, ended) = match (is_span, new.began) {
            (true, began) => (began.unwrap_or(now), None),
            (false, None) => (Timestamp(now.0.saturating_sub(took)), Some(now)),
            (false, Some(began)) => (began, Some(Timestamp(began.0 + took))),
        };
        let mut tags: Vec<String> = Vec::new();
        new.tags.iter().for_each(|tag| {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        });
        self.traces.push(Trace {
            id: new.id,
            parent: new.parent,
            content: new.content.clone(),
            tags,
            metadata: new.metadata.clone(),
            usage: new.usage.clone(),
            began,
            ended,
            recorded: at.stamp,
            version: at.stamp.version,
            timestamp: at.stamp.timestamp,
        });
        Ok(BLIND)
    }

    fn end_trace(&mut self, id: TraceId, end: &TraceEnd, at: At) -> Decided {
        let refused = self.of_trace(id, ErrorKind::InvalidArgument);
        let Some(trace) = self.traces.iter_mut().find(|trace| trace.id == id) else {
            return Err(Refusal { kind: ErrorKind::NotFound, ..refused });
        };
        if trace.ended.is_some() || !take_end(&mut trace.content, end) {
            return Err(refused);
        }
        let Usage { input_tokens, output_tokens, .. } = &mut trace.usage;
        *input_tokens = end.input_tokens.or(*input_tokens);
        *output_tokens = end.output_tokens.or(*output_tokens);
        trace.ended = Some(at.stamp.timestamp.max(trace.began));
        Stamp { version: trace.version, timestamp: trace.timestamp } = at.stamp;
        Ok(BLIND)
    }

    fn of_trace(&self, id: TraceId, kind: ErrorKind) -> Refusal {
        Refusal { kind, entity: EntityRef::trace(self.id, id) }
    }

    pub(crate) fn list_traces(
        &self,
        filter: &TraceFilter,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) -> TracePage {
        let is_candidate = |(place, trace): &(u64, &Trace)| {
            let recorded = trace.recorded.timestamp;
            filter.parent.is_none_or(|parent| trace.parent == Some(parent))
                && filter.from.is_none_or(|from| recorded >= from)
                && filter.to.is_none_or(|to| recorded < to)
                && start.is_none_or(|start| match direction {
                    Direction::Forward => *place >= start,
                    Direction::Reverse => *place <= start,
                })
        };
        let mut candidates: Vec<_> = (0..).zip(&self.traces).filter(is_candidate).collect();
        if direction == Direction::Reverse {
            candidates.reverse();
        }
        let (mut traces, mut next) = (Vec::new(), None);
        for (place, trace) in candidates {
            if !is_wanted(filter, trace) {
                continue;
            }
            if traces.len() == limit {
                next = Some(place);
                break;
            }
            traces.push(trace.clone());
        }
        let Stamp { version, timestamp } = self.stamp;
        TracePage { traces, next, version, timestamp }
    }

    pub(crate) fn trace_tree(&self, id: TraceId, limit: usize) -> TraceTree {
        let mut chosen: Vec<&Trace> = Vec::new();
        let mut is_cut = false;
        for trace in &self.traces {
            let is_below = |parent| chosen.iter().any(|above| above.id == parent);
            if trace.id != id && !trace.parent.is_some_and(is_below) {
                continue;
            }
            if chosen.len() == limit {
                is_cut = true;
                break;
            }
            chosen.push(trace);
        }
        let mut nodes = Vec::new();
        arrange(&chosen, id, 0, &mut nodes);
        let Stamp { version, timestamp } = self.stamp;
        TraceTree { nodes, is_cut, version, timestamp }
    }
}

fn arrange(chosen: &[&Trace], id: TraceId, depth: usize, nodes: &mut Vec<(usize, Trace)>) {
    nodes.extend(chosen.iter().filter(|trace| trace.id == id).map(|trace| (depth, (*trace).clone())));
    for child in chosen.iter().filter(|trace| trace.parent == Some(id)) {
        arrange(chosen, child.id, depth + 1, nodes);
    }
}

fn is_wanted(filter: &TraceFilter, trace: &Trace) -> bool {
    filter.kind.as_ref().is_none_or(|kind| trace.content.kind() == kind)
        && filter.tag.as_ref().is_none_or(|tag| trace.tags.contains(tag))
        && filter.is_open.is_none_or(|is_open| trace.ended.is_none() == is_open)
}

/// Adds the end of a span to what it was begun with; `false` where there is no place for it.
fn take_end(content: &mut TraceContent, end: &TraceEnd) -> bool {
    match content {
        TraceContent::ToolCall { result, error, .. } => {
            *result = end.result.clone().or(result.take());
            *error = end.error.clone().or(error.take());
        }
        TraceContent::Query { result_count, .. } => match &end.result {
            _ if end.error.is_some() => return false,
            None => {}
            Some(Value::Int(count)) if *count >= 0 => *result_count = Some(*count as u64),
            Some(_) => return false,
        },
        TraceContent::Custom { content, .. } => {
            if end.result.is_none() && end.error.is_none() {
                return true;
            }
            if content.is_null() {
                *content = Value::Object(Vec::new());
            }
            let Value::Object(members) = content else { return false };
            set_member(members, "result", end.result.clone());
            set_member(members, "error", end.error.clone().map(Value::String));
        }
        _ => return end.result.is_none() && end.error.is_none(),
    }
    true
}

fn set_member(members: &mut Vec<(String, Value)>, name: &str, value: Option<Value>) {
    let Some(value) = value else { return };
    match members.iter_mut().find(|(own, _)| own == name) {
        Some((_, held)) => *held = value,
        None => members.push((name.to_owned(), value)),
    }
}
