//! The steps of recorded trials: what is compared, and what a run has of it.

use serde_json::Value as Json;
use strata::{Batch, Direction, Event, Reads, Trace, TraceContent, TraceFilter, Value, Version, new_trace};

use crate::Result;
use crate::recorded::{Message, Recorded};
use crate::tool_calls::{Answer, ToolCall};
use crate::values::from_json;

/// What is one step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Call,    // a tool call with its answer, a trace: what was done
    Message, // a message, an event: what was said
}

/// All trials of a task, in the order of the file.
pub(crate) struct Task<'a> {
    pub name: String,
    pub unit: Unit,
    pub trials: Vec<Trial<'a>>,
}

pub(crate) struct Trial<'a> {
    pub recorded: &'a Recorded,
    pub steps: Vec<Step<'a>>,
}

/// One step as the file has it.
pub(crate) struct Step<'a> {
    message: Option<&'a Message>,
    calls: &'a [ToolCall], // with a message those that it answers, else one
}

/// One step as a run has it.
pub(crate) enum Stored {
    Call(Box<Trace>),
    Message(Event),
}

impl Unit {
    /// How many steps a run has.
    pub(crate) fn count(self, run: &impl Reads) -> Result<u64> {
        let count = if self == Unit::Call { run.trace_count(None) } else { run.event_count() };
        Ok(count?.value)
    }
}

/// The trials of a file by task, in the order in which tasks appear.
pub(crate) fn tasks(recorded: &[Recorded], unit: Unit) -> Result<Vec<Task<'_>>> {
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for recorded in recorded {
        if recorded.task.is_null() {
            return Err(
                format!("run {} has no `task_id`: trials of one task are compared", recorded.name).into()
            );
        }
        let name = recorded.task.to_string();
        let trial = Trial { recorded, steps: steps(recorded, unit) };
        match tasks.iter_mut().find(|task| task.name == name) {
            Some(task) => task.trials.push(trial),
            None => tasks.push(Task { name, unit, trials: vec![trial] }),
        }
    }
    Ok(tasks)
}

fn steps(recorded: &Recorded, unit: Unit) -> Vec<Step<'_>> {
    match unit {
        Unit::Call => recorded.calls.chunks(1).map(|calls| Step { message: None, calls }).collect(),
        Unit::Message => {
            let of = |(place, message)| {
                let first = recorded.calls.partition_point(|call| call.place < place);
                let behind = recorded.calls.partition_point(|call| call.place <= place);
                Step { message: Some(message), calls: &recorded.calls[first..behind] }
            };
            recorded.messages.iter().enumerate().map(of).collect()
        }
    }
}

impl Trial<'_> {
    /// How many steps both begin with.
    pub(crate) fn common_count(&self, other: &Trial<'_>) -> usize {
        self.steps.iter().zip(&other.steps).take_while(|(one, other)| one.is_same(other)).count()
    }
}

impl Step<'_> {
    fn is_same(&self, other: &Step<'_>) -> bool {
        match (self.message, other.message) {
            (Some(one), Some(other)) => one.value == other.value,
            _ => self.calls[0].content == other.calls[0].content,
        }
    }

    /// Adds what a run has of this step to one commit. `is_there` tells which documents the run has.
    pub(crate) fn write(&self, batch: &mut Batch, is_there: impl Fn(&str) -> Result<bool>) -> Result<()> {
        if let Some(message) = self.message {
            batch.append(&message.kind, message.value.clone())?;
        }
        for call in self.calls {
            batch.trace_record(new_trace(call.content.clone()))?;
            if let Some((document, value)) = shown(call)? {
                match is_there(document)? {
                    true => batch.json_set(document, "", value)?,
                    false => batch.json_create(document, value)?,
                };
            }
        }
        Ok(())
    }
}

/// The reservation that a call was answered with: a document of its own.
fn shown(call: &ToolCall) -> Result<Option<(&str, Value)>> {
    let Answer::Result(answer) = &call.answer else { return Ok(None) };
    let name = answer.get("reservation_id").and_then(Json::as_str);
    Ok(name.map(|name| Ok::<_, String>((name, from_json(answer)?))).transpose()?)
}

impl Stored {
    /// The step in this place of a run; `None` behind the last one.
    pub(crate) fn read(run: &impl Reads, unit: Unit, place: u64) -> Result<Option<Stored>> {
        Ok(match unit {
            Unit::Call => {
                let page = run.trace_list(&TraceFilter::default(), Some(place), 1, Direction::Forward)?;
                page.traces.into_iter().next().map(|trace| Stored::Call(Box::new(trace)))
            }
            Unit::Message => run.event(place)?.map(Stored::Message),
        })
    }

    /// Whether this is the step of a file. Its time is not compared: no two trials have one in common.
    pub(crate) fn is(&self, step: &Step<'_>) -> bool {
        match self {
            Stored::Call(trace) => step.message.is_none() && trace.content == step.calls[0].content,
            Stored::Message(event) => step.message.is_some_and(|message| event.payload == message.value),
        }
    }

    /// The commit that it is.
    pub(crate) fn version(&self) -> Version {
        match self {
            Stored::Call(trace) => trace.recorded.version,
            Stored::Message(event) => event.version,
        }
    }

    fn name(&self) -> &str {
        match self {
            Stored::Call(trace) => match &trace.content {
                TraceContent::ToolCall { name, .. } => name,
                other => other.kind(),
            },
            Stored::Message(event) => &event.kind,
        }
    }

    /// What two trials do in the place where they part.
    pub(crate) fn tell_apart(one: Option<Stored>, other: Option<Stored>) -> String {
        match (&one, &other) {
            (Some(Stored::Call(one)), Some(Stored::Call(other))) if arguments(one) == arguments(other) => {
                format!("{}, another answer", arguments(one).map_or("-", |(name, _)| name))
            }
            (Some(one), Some(other)) if one.name() == other.name() => match one {
                Stored::Call(_) => format!("{}, other arguments", one.name()),
                Stored::Message(_) => format!("{}, other words", one.name()),
            },
            _ => {
                let name = |step: &Option<Stored>| step.as_ref().map_or("the end", Stored::name).to_owned();
                format!("{} | {}", name(&one), name(&other))
            }
        }
    }
}

fn arguments(trace: &Trace) -> Option<(&str, &Value)> {
    match &trace.content {
        TraceContent::ToolCall { name, arguments, .. } => Some((name, arguments)),
        _ => None,
    }
}
