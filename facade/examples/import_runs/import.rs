//! Writing recorded runs into a store, one durability mode and one way of calling at a time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strata::{
    Batch, Database, Durability, Options, Reads, RunHandle, RunSpec, RunStatus, Value, Writes, new_trace,
};

use crate::Result;
use crate::progress::Progress;
use crate::recorded::Recorded;
use crate::reservations::{Reservations, WORLD, Write};
use crate::tool_calls::ToolCall;
use crate::values::from_json;

/// How many messages one call carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Message, // one atomic call a message, with its trace and its documents, as a live agent writes
    Run,     // one atomic call for everything of a run
}

#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub durability: Durability,
    pub call: Call,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = if self.call == Call::Message { "message" } else { "run" };
        write!(formatter, "{:?}, a call a {call}", self.durability)
    }
}

impl Way {
    /// Where this way keeps its store below `folder`.
    pub(crate) fn store(&self, folder: &Path) -> PathBuf {
        let call = if self.call == Call::Message { "message" } else { "run" };
        folder.join(format!("{:?}-{call}.db", self.durability).to_lowercase())
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.durability != Durability::InMemory
    }

    pub(crate) fn open(&self, store: &Path) -> Result<Database> {
        let options = Options { durability: self.durability, ..Options::default() };
        let opened = if self.is_logged() { Database::open(store, options) } else { Database::in_memory() };
        Ok(opened?)
    }
}

/// Everything that is written.
pub(crate) struct Source {
    pub(crate) runs: Vec<Recorded>,
    pub(crate) reservations: Reservations,
}

/// Writes every run: created, its messages, traces and documents, and its end. Returns the time this took.
pub(crate) fn import(database: &Database, source: &Source, way: Way) -> Result<Duration> {
    let mut progress = Progress::new(way.to_string(), source.runs.len() as u64);
    let started = Instant::now();
    let world = if source.reservations.values.is_empty() {
        None
    } else {
        Some(import_world(database, &source.reservations, way.call)?)
    };
    for run in &source.runs {
        import_run(database, run, world.as_ref(), way.call)?;
        progress.advance(run.messages.len() as u64);
    }
    if way.is_logged() {
        database.sync()?; // so that the time of Buffered, too, ends on stable storage
    }
    Ok(started.elapsed())
}

/// A run with every document as it is before the others begin.
fn import_world(database: &Database, reservations: &Reservations, call: Call) -> Result<RunHandle> {
    let run = database.create_run(RunSpec { name: Some(WORLD.to_owned()), ..RunSpec::default() })?;
    let mut all = run.batch();
    for (document, value) in &reservations.values {
        match call {
            Call::Message => drop(run.json_create(document, value.clone())?),
            Call::Run => drop(all.json_create(document, value.clone())?),
        }
    }
    run.commit(all)?;
    run.end(RunStatus::Completed)?;
    Ok(run)
}

fn import_run(database: &Database, recorded: &Recorded, world: Option<&RunHandle>, call: Call) -> Result<()> {
    let run = database.create_run(RunSpec {
        name: Some(recorded.name.clone()),
        tags: vec![if recorded.is_solved() { "solved" } else { "unsolved" }.to_owned()],
        metadata: metadata(recorded)?,
        ..RunSpec::default()
    })?;
    run.put("info", from_json(&recorded.info)?)?;
    let (mut batch, mut calls) = (run.batch(), recorded.calls.iter().peekable());
    for (place, message) in recorded.messages.iter().enumerate() {
        batch.append(&message.kind, message.value.clone())?;
        while let Some(call) = calls.next_if(|call| call.place == place) {
            add_call(&mut batch, call, world)?;
        }
        if call == Call::Message {
            run.commit(std::mem::replace(&mut batch, run.batch()))?;
        }
    }
    run.commit(batch)?; // one without operations makes no commit
    run.end(status(recorded))?;
    Ok(())
}

/// The trace of a call and what it does to documents.
fn add_call(batch: &mut Batch, call: &ToolCall, world: Option<&RunHandle>) -> Result<()> {
    batch.trace_record(new_trace(call.content.clone()))?;
    for write in &call.writes {
        match write {
            Write::Take { document } => {
                let world = world.ok_or("there is no world to take documents from")?;
                let found = world.json_get(document, "")?.ok_or(format!("{document} is not there"))?;
                batch.json_create(document, found.value)?;
            }
            Write::Create { document, value } => {
                batch.json_create(document, value.clone())?;
            }
            Write::Patch { document, patch } => {
                batch.json_patch(document, patch)?;
            }
        }
    }
    Ok(())
}

/// Task, trial and reward as the file has them.
pub(crate) fn metadata(recorded: &Recorded) -> Result<Value> {
    Ok(Value::from([
        ("task", from_json(&recorded.task)?),
        ("trial", from_json(&recorded.trial)?),
        ("reward", from_json(&recorded.reward)?),
    ]))
}

pub(crate) fn status(recorded: &Recorded) -> RunStatus {
    if recorded.is_solved() { RunStatus::Completed } else { RunStatus::Failed }
}
