//! A file of recorded runs, as its values: a list of `{task_id, trial, reward, info, traj}`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;
use strata::Value;

use crate::Result;
use crate::reservations::Reservations;
use crate::tool_calls::{self, Answer, ToolCall};
use crate::values::from_json;

/// One recorded run. `task`, `trial`, `reward` and `info` are null where the file does not tell.
pub(crate) struct Recorded {
    pub name: String,
    pub task: Json,
    pub trial: Json,
    pub reward: Json,
    pub info: Json,
    pub messages: Vec<Message>,
    pub calls: Vec<ToolCall>,
    /// Its documents as its last answers show them.
    pub documents: BTreeMap<String, Json>,
}

/// One message: as the file has it, and as the store will.
pub(crate) struct Message {
    pub kind: String,
    pub json: Json,
    pub value: Value,
    pub size: u64, // bytes of its JSON text
}

impl Recorded {
    /// A reward of 1 or more says that the task was solved.
    pub(crate) fn is_solved(&self) -> bool {
        self.reward.as_f64().is_some_and(|reward| reward >= 1.0)
    }

    /// How many of its calls were answered with an error.
    pub(crate) fn failed_count(&self) -> u64 {
        self.calls.iter().filter(|call| matches!(call.answer, Answer::Error(_))).count() as u64
    }

    /// How many writes its calls make to its documents.
    pub(crate) fn write_count(&self) -> u64 {
        self.calls.iter().map(|call| call.writes.len() as u64).sum()
    }

    pub(crate) fn size(&self) -> u64 {
        self.messages.iter().map(|message| message.size).sum()
    }
}

/// Reads all runs of `file`, which work on `reservations`.
pub(crate) fn read(file: &Path, reservations: &Reservations) -> Result<Vec<Recorded>> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!(
            "cannot read {name}: {error}; name a JSON file of recorded runs, `agent --record FILE` writes one"
        )
    })?;
    let json: Json = serde_json::from_str(&text).map_err(|error| format!("{name} is not JSON: {error}"))?;
    let Json::Array(runs) = json else {
        return Err(format!(
            "{name} holds no list: a list of runs, each with its messages in `traj`, is expected"
        )
        .into());
    };
    let mut recorded = Vec::with_capacity(runs.len());
    for (index, run) in runs.into_iter().enumerate() {
        let run =
            run_of(index, run, reservations).map_err(|reason| format!("run {index} of {name}: {reason}"))?;
        recorded.push(run);
    }
    if recorded.is_empty() {
        return Err(format!("{name} holds no runs: its list is empty").into());
    }
    Ok(recorded)
}

fn run_of(index: usize, mut run: Json, reservations: &Reservations) -> std::result::Result<Recorded, String> {
    let mut take = |name: &str| run.get_mut(name).map_or(Json::Null, Json::take);
    let Json::Array(messages) = take("traj") else {
        return Err("its messages are missing: a list called `traj` is expected".to_owned());
    };
    let (task, trial, reward, info) = (take("task_id"), take("trial"), take("reward"), take("info"));
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(place, json)| message_of(json).map_err(|reason| format!("message {place}: {reason}")))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let mut calls = tool_calls::of(&messages)?;
    let documents = reservations.follow(&mut calls)?;
    let name = match (task.as_u64(), trial.as_u64()) {
        (Some(task), Some(trial)) => format!("{index:04}-task-{task}-trial-{trial}"),
        _ => format!("{index:04}"),
    };
    Ok(Recorded { name, task, trial, reward, info, messages, calls, documents })
}

fn message_of(json: Json) -> std::result::Result<Message, String> {
    let role = json.get("role").and_then(Json::as_str).ok_or("a message with a `role` is expected")?;
    let kind = format!("message.{role}");
    let (value, size) = (from_json(&json)?, json.to_string().len() as u64);
    Ok(Message { kind, json, value, size })
}
