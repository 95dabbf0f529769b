//! Writing recorded runs into a store, one durability mode and one way of calling at a time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strata::{Database, Durability, Options, RunHandle, RunSpec, RunStatus, Value, Writes};

use crate::Result;
use crate::progress::Progress;
use crate::recorded::Recorded;
use crate::values::from_json;

/// How many messages one call carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Message, // one call a message, as a live agent writes
    Run,     // one atomic call for all messages of a run
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

/// Writes every run: created, its messages appended, its end recorded. Returns the time this took.
pub(crate) fn import(database: &Database, runs: &[Recorded], way: Way) -> Result<Duration> {
    let mut progress = Progress::new(way.to_string(), runs.len() as u64);
    let started = Instant::now();
    for run in runs {
        import_run(database, run, way.call)?;
        progress.advance(run.messages.len() as u64);
    }
    if way.is_logged() {
        database.sync()?; // so that the time of Buffered, too, ends on stable storage
    }
    Ok(started.elapsed())
}

fn import_run(database: &Database, recorded: &Recorded, call: Call) -> Result<()> {
    let run = database.create_run(RunSpec {
        name: Some(recorded.name.clone()),
        tags: vec![if recorded.is_solved() { "solved" } else { "unsolved" }.to_owned()],
        metadata: metadata(recorded)?,
        ..RunSpec::default()
    })?;
    run.put("info", from_json(&recorded.info)?)?;
    append(&run, recorded, call)?;
    run.end(status(recorded))?;
    Ok(())
}

fn append(run: &RunHandle, recorded: &Recorded, call: Call) -> Result<()> {
    match call {
        Call::Message => {
            for message in &recorded.messages {
                run.append(&message.kind, message.value.clone())?;
            }
        }
        Call::Run => {
            run.append_many(recorded.messages.iter().map(|message| (&message.kind, message.value.clone())))?;
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
