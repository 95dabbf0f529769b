//! From differences to the operations that make the one state of the other.
use super::common_commits::{CommonCommits, Written};
use super::difference::{
    Difference, DocumentChange, KeyDifference, LogDifference, Parting, RunDifference, TraceDifference,
};
use super::find_all;
use crate::deadline::Deadline;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::entry::is_expired;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Seal};
use crate::id::RunId;
use crate::json::PlaceDifference;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::new_trace::NewTrace;
use crate::operation::Operation;
use crate::run_state::RunState;
use crate::run_status::RunStatus;
use crate::trace::Trace;
use crate::trace_content::TraceContent;
use crate::trace_end::TraceEnd;
use crate::value::Value;
use crate::version::Timestamp;
use std::time::Duration;

/// The operations that make of the run `before` what `after` is, as one commit at `now`, in the order in which they are done.
///
/// Keys and cells are put with their deadlines, or deleted; those that have expired by `now` are deleted. Of documents the places
/// that differ are written. Events are appended, and traces recorded or begun, as far as `after` only goes on where `before` ends; a
/// span of `before` is ended as it ended in `after`, at the time of the commit. Tags, metadata, retentions and status are
/// those of `after`; name, namespace, parent and durability stay what they are, as does everything that tells how a run came to
/// be. Versions and times of commits are those of the new commit, so the hashes of events are too; and a retention of events by
/// time keeps what it keeps at `now`.
///
/// # Errors
/// `Unsupported`, naming the thing, where no operation leads there: what is erased in one of both, events or traces that part,
/// or are not kept by one, a span that ended in another way, a run that does not exist, or is closed, or a status that does not follow. Those of
/// reading a value.
pub fn operations(before: &RunState, after: &RunState, now: Timestamp) -> Result<Vec<Operation>, Error> {
    let mut plan = OperationPlan::new(before, after, now);
    for difference in find_all(before.into(), after.into())? {
        plan.take(difference)?;
    }
    let is_open =
        plan.opening.is_some() || before.meta().is_some_and(|meta| meta.status == RunStatus::Active);
    if !plan.operations.is_empty() && !is_open {
        return Err(unsupported("the run takes no writes: begin it first", EntityRef::run(before.id())));
    }
    Ok(plan.into_operations())
}

/// Operations in the making that do to one state what is told of another.
pub(crate) struct OperationPlan<'a> {
    after: &'a RunState,
    /// Those of both states.
    commits: CommonCommits,
    now: Timestamp,
    /// What makes the run take writes.
    opening: Option<Operation>,
    operations: Vec<Operation>,
    /// What a run takes whatever its status, and what ends that it takes writes.
    closing: Vec<Operation>,
}

impl<'a> OperationPlan<'a> {
    pub(crate) fn new(before: &'a RunState, after: &'a RunState, now: Timestamp) -> Self {
        let commits = CommonCommits::of(before.into(), after.into());
        Self { after, commits, now, opening: None, operations: Vec::new(), closing: Vec::new() }
    }

    pub(crate) fn into_operations(self) -> Vec<Operation> {
        self.opening.into_iter().chain(self.operations).chain(self.closing).collect()
    }

    /// Takes what differs, from what was to what is to be.
    pub(crate) fn take(&mut self, difference: Difference) -> Result<(), Error> {
        match difference {
            Difference::Run(difference) => self.take_run(difference),
            Difference::Key(difference) => self.take_key(difference, KeyKind::Kv),
            Difference::Cell(difference) => self.take_key(difference, KeyKind::Cell),
            Difference::Document(difference) => self.take_document(difference.name, difference.change),
            Difference::EventErased(event) => {
                Err(erased("an event", EntityRef::event(self.run(), event.sequence)))
            }
            Difference::Events(difference) => self.take_events(&difference),
            Difference::Trace(difference) => self.take_trace(&difference),
            Difference::Traces(difference) => self.take_traces(&difference),
        }
    }

    fn run(&self) -> RunId {
        self.after.id()
    }

    fn take_run(&mut self, difference: RunDifference) -> Result<(), Error> {
        match difference {
            RunDifference::Existence { .. } => Err(unsupported(
                "only one of both states is that of a run that exists",
                EntityRef::run(self.run()),
            )),
            RunDifference::Name { .. }
            | RunDifference::Namespace { .. }
            | RunDifference::Parent { .. }
            | RunDifference::Durability { .. } => Ok(()),
            RunDifference::Status { before, after } if !before.can_become(after) => {
                let message = format!("no run that is {before} becomes {after}");
                Err(unsupported(message, EntityRef::run(self.run())))
            }
            RunDifference::Status { after: RunStatus::Active, .. } => {
                self.opening = Some(Operation::RunUpdateStatus { status: RunStatus::Active });
                Ok(())
            }
            RunDifference::Status { after: status, .. } => {
                self.closing.push(Operation::RunUpdateStatus { status });
                Ok(())
            }
            RunDifference::Tags { after: tags, .. } => {
                self.closing.push(Operation::RunSetTags { tags });
                Ok(())
            }
            RunDifference::Metadata { after, .. } => {
                self.closing.push(Operation::RunSetMetadata { metadata: after });
                Ok(())
            }
            RunDifference::Retention { after: retention, .. } => {
                self.closing.push(Operation::RunSetRetention { retention });
                Ok(())
            }
            RunDifference::EventRetention { after: retention, .. } => {
                self.closing.push(Operation::RunSetEventRetention { retention });
                Ok(())
            }
            RunDifference::TraceRetention { after: retention, .. } => {
                self.closing.push(Operation::RunSetTraceRetention { retention });
                Ok(())
            }
        }
    }

    pub(crate) fn take_key(&mut self, difference: KeyDifference, kind: KeyKind) -> Result<(), Error> {
        let KeyDifference { key, before, after } = difference;
        let (before, after) =
            [before, after].map(|state| state.filter(|state| !is_expired(state.deadline, self.now))).into();
        let Some(after) = after else {
            self.operations.push(match kind {
                KeyKind::Kv => Operation::KvDelete { key },
                KeyKind::Cell => Operation::CellDelete { name: key },
            });
            return Ok(());
        };
        let is_same_value = before.is_some_and(|before| {
            let [before, after] =
                [&before, &after].map(|state| Written::new(&state.value, state.written, state.stamp));
            self.commits.is_known_same(before, after) == Some(true)
        });
        self.operations.push(match (kind, after.deadline) {
            // The value stays, also one that is erased.
            (KeyKind::Kv, None) if is_same_value => Operation::KvClearDeadline { key },
            (KeyKind::Kv, Some(deadline)) if is_same_value => {
                Operation::KvSetDeadline { key, deadline: Deadline::At(deadline) }
            }
            (KeyKind::Kv, deadline) => {
                let value = written(&after.value, || kind.entity(self.run(), &key))?;
                Operation::KvPut { key, value, deadline: deadline.map_or(Deadline::None, Deadline::At) }
            }
            (KeyKind::Cell, deadline) => {
                let value = written(&after.value, || kind.entity(self.run(), &key))?;
                Operation::CellSet {
                    name: key,
                    value,
                    deadline: deadline.map_or(Deadline::None, Deadline::At),
                }
            }
        });
        Ok(())
    }

    pub(crate) fn take_document(&mut self, name: Key, change: DocumentChange) -> Result<(), Error> {
        let entity = || EntityRef::json(self.after.id(), name.clone());
        match change {
            DocumentChange::Added(value) => {
                let value = written(&value, entity)?;
                self.operations.push(Operation::JsonCreate { name, value });
            }
            DocumentChange::Removed(_) => self.operations.push(Operation::JsonDestroy { name }),
            DocumentChange::Changed(places) => {
                let (gone, there): (Vec<_>, Vec<_>) =
                    places.into_iter().partition(|place| place.after.is_none());
                // What goes goes first, so that the document is at no moment larger than before or behind; last items first, so that those
                // before them keep their places.
                let gone = gone.into_iter().rev().map(|place| place.path);
                self.operations.extend(gone.map(|path| Operation::JsonDelete { name: name.clone(), path }));
                for PlaceDifference { path, after, .. } in there {
                    let value = written(&after.expect("it is there"), entity)?;
                    self.operations.push(Operation::JsonSet { name: name.clone(), path, value });
                }
            }
        }
        Ok(())
    }

    fn take_events(&mut self, difference: &LogDifference) -> Result<(), Error> {
        tail(difference, "events", self.run())?.try_for_each(|sequence| self.append_event(sequence))
    }

    /// Takes an event that is there.
    pub(crate) fn append_event(&mut self, sequence: u64) -> Result<(), Error> {
        let entity = || EntityRef::event(self.after.id(), sequence);
        let event = self.after.content().events.get(sequence);
        let Event { kind, payload, seal, .. } = event.expect("an event that is taken is there");
        let Seal::Salt(salt) = *seal else { return Err(erased("an event", entity())) };
        let (kind, payload) = (kind.clone(), written(payload, entity)?);
        self.operations.push(Operation::EventAppend { kind, payload, salt });
        Ok(())
    }

    fn take_trace(&mut self, difference: &TraceDifference) -> Result<(), Error> {
        let TraceDifference { before, after, .. } = difference;
        let entity = EntityRef::trace(self.run(), after.id);
        if before.body.is_erased() || after.body.is_erased() {
            return Err(erased("a trace", entity));
        }
        let end = match (before.ended, after.ended) {
            (None, Some(_)) => end_of(before, after)?,
            _ => None,
        };
        let message = "no end of the trace as it was makes it what it is";
        let end = end.ok_or_else(|| unsupported(message, entity))?;
        self.operations.push(Operation::TraceEnd { id: after.id, end: Box::new(end) });
        Ok(())
    }

    fn take_traces(&mut self, difference: &LogDifference) -> Result<(), Error> {
        tail(difference, "traces", self.run())?.try_for_each(|place| self.record_trace(place))
    }

    /// Takes a trace that is there.
    pub(crate) fn record_trace(&mut self, place: u64) -> Result<(), Error> {
        let trace = self.after.content().traces.get(place).expect("a trace that is taken is there");
        if trace.body.is_erased() {
            return Err(erased("a trace", EntityRef::trace(self.run(), trace.id)));
        }
        let is_open = trace.is_open();
        let trace = Box::new(new_trace(trace)?);
        self.operations.push(match is_open {
            true => Operation::TraceBegin { trace },
            false => Operation::TraceRecord { trace },
        });
        Ok(())
    }
}

/// What is to be appended, if nothing else is to be done.
fn tail(difference: &LogDifference, what: &str, run: RunId) -> Result<std::ops::Range<u64>, Error> {
    let LogDifference { parting, before, after } = difference;
    if before.start != after.start {
        let message =
            format!("one state keeps its {what} from {} on, the other from {} on", before.start, after.start);
        return Err(unsupported(message, EntityRef::run(run)));
    }
    match *parting {
        Parting::At(place) if place == before.end => Ok(place..after.end),
        Parting::At(place) => {
            let end = before.end;
            let message = format!("{what} part at {place}, and those up to {end} cannot be taken back");
            Err(unsupported(message, EntityRef::run(run)))
        }
        Parting::Removed => {
            Err(unsupported(format!("{what} part among those that are not kept"), EntityRef::run(run)))
        }
    }
}

/// The same step, to be recorded or begun.
fn new_trace(trace: &Trace) -> Result<NewTrace, Error> {
    let (content, usage, metadata) = trace.parts()?;
    let took = trace.ended.map(|ended| Duration::from_micros(ended.0.saturating_sub(trace.began.0)));
    let tags = trace.tags.iter().map(|tag| tag.to_string()).collect();
    let (id, parent, began) = (trace.id, trace.parent, Some(trace.began));
    Ok(NewTrace { id, parent, content, tags, metadata, usage, began, duration: took })
}

/// The end that makes of an open span what it was when it had ended, if there is one.
pub(crate) fn end_of(open: &Trace, ended: &Trace) -> Result<Option<TraceEnd>, Error> {
    let (mut content, mut usage, metadata) = open.parts()?;
    let (content_then, usage_then, metadata_then) = ended.parts()?;
    let (result, error) = match &content_then {
        TraceContent::ToolCall { result, error, .. } => (result.clone(), error.clone()),
        TraceContent::Query { result_count, .. } => {
            (result_count.and_then(|count| i64::try_from(count).ok()).map(Value::Int), None)
        }
        TraceContent::Custom { content, .. } => {
            let error = content.get("error").and_then(Value::as_str).map(str::to_owned);
            (content.get("result").cloned(), error)
        }
        _ => (None, None),
    };
    let (input_tokens, output_tokens) = (usage_then.input_tokens, usage_then.output_tokens);
    let end = TraceEnd { result, error, input_tokens, output_tokens };
    let is_taken = end.clone().fold_into(&mut content, &mut usage).is_ok();
    let is_same = (content, usage, metadata) == (content_then, usage_then, metadata_then);
    Ok((is_taken && is_same).then_some(end))
}

/// A value that is to be written: its bytes are needed.
fn written(value: &Encoded, entity: impl Fn() -> EntityRef) -> Result<Encoded, Error> {
    match value.is_erased() {
        true => Err(erased("a value", entity())),
        false => value.read().map_err(|error| error.with_entity(entity())),
    }
}

fn erased(what: &str, entity: EntityRef) -> Error {
    unsupported(
        format!("{what} is erased in one of both states, and nothing is written that is erased"),
        entity,
    )
}

#[cold]
fn unsupported(message: impl Into<String>, entity: EntityRef) -> Error {
    Error::new(ErrorKind::Unsupported, message).with_entity(entity)
}
