//! The agent's run as a file that `import_runs` reads: a list of runs, each with its messages.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use strata::{Reads, RunHandle};

use crate::Result;
use crate::check::events;
use crate::values::{text, to_json};

/// Writes the run to `file` and returns the number of messages and of bytes.
pub(crate) fn write(run: &RunHandle, root: &Path, file: &Path) -> Result<(u64, u64)> {
    let name = root.file_name().map_or_else(|| ".".into(), |name| name.to_string_lossy());
    let mut messages = vec![json!({
        "role": "system",
        "content": format!("You survey the folder {name}. List, read, count and search; note what you find; answer."),
    })];
    for event in events(run)? {
        let (tool, subject) = (text(&event.payload, "tool"), text(&event.payload, "subject"));
        let result = event.payload.get("result").map_or(Json::Null, to_json);
        messages.push(call(event.sequence, tool, subject));
        messages.push(json!({
            "role": "tool",
            "tool_call_id": format!("step_{}", event.sequence),
            "name": tool,
            "content": result.to_string(),
        }));
    }
    let steps = run.event_count()?.value;
    let recorded = json!([{
        "task_id": 0,
        "reward": 1.0,
        "info": { "task": { "instruction": format!("survey {name}") }, "steps": steps },
        "traj": messages,
        "trial": 0,
    }]);
    let text = serde_json::to_string_pretty(&recorded)? + "\n";
    fs::write(file, &text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok((messages.len() as u64, text.len() as u64))
}

fn call(step: u64, tool: &str, subject: &str) -> Json {
    let arguments = json!({ "subject": subject }).to_string();
    json!({
        "role": "assistant",
        "content": null,
        "tool_calls": [{
            "id": format!("step_{step}"),
            "type": "function",
            "function": { "name": tool, "arguments": arguments },
        }],
    })
}
