//! What the agent means to do: a list of tool calls, made once from the names of the files in a folder.
//!
//! The same folder gives the same plan. It is kept in the store with the first step, so that an agent that
//! comes back after a crash follows the plan it had made, whatever has happened to the folder since.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use strata::Value;

/// Build output, version control and stores are no reading matter.
const SKIPPED_FOLDERS: [&str; 2] = ["target", ".git"];
const SKIPPED_ENDING: &str = ".db";
/// The walk stops here: a survey of a whole disk would plan for minutes.
const ENTRY_COUNT_MAX: usize = 100_000;
const EXTENSION_COUNT_MAX: usize = 5;
const TERMS: [&str; 4] = ["error", "license", "test", "todo"];
/// Every plan has this many steps beside its list and read steps, at most.
const FIXED_STEP_COUNT_MAX: usize = 2 + EXTENSION_COUNT_MAX + TERMS.len();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Plan,   // makes the plan itself: step 0
    List,   // the names in one folder
    Read,   // one file
    Count,  // lines of all planned files with one extension
    Search, // one term in all planned files
    Answer, // sums up the notes: the last step
}

const TOOLS: [(Tool, &str); 6] = [
    (Tool::Plan, "plan"),
    (Tool::List, "list"),
    (Tool::Read, "read"),
    (Tool::Count, "count"),
    (Tool::Search, "search"),
    (Tool::Answer, "answer"),
];

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        TOOLS.iter().find(|(tool, _)| *tool == self).expect("every tool has a row").1
    }

    fn named(name: &str) -> Option<Tool> {
        TOOLS.iter().find(|(_, row)| *row == name).map(|(tool, _)| *tool)
    }
}

/// One step: a tool and what it is used on (a path below the folder, an extension, a term).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub tool: Tool,
    pub subject: String,
}

pub(crate) struct Plan {
    pub calls: Vec<Call>,
}

impl Plan {
    /// Plans a survey of `root` in at most `step_count_max` steps; a larger folder is sampled evenly.
    pub(crate) fn survey(root: &Path, step_count_max: usize) -> io::Result<Plan> {
        let places = walk(root)?;
        let room = step_count_max.saturating_sub(FIXED_STEP_COUNT_MAX).max(1);
        let mut calls = vec![Call { tool: Tool::Plan, subject: ".".to_owned() }];
        calls.extend(sample(places, room));
        calls.extend(
            extensions(&calls)
                .into_iter()
                .map(|subject| Call { tool: Tool::Count, subject })
                .collect::<Vec<_>>(),
        );
        calls.extend(TERMS.map(|term| Call { tool: Tool::Search, subject: term.to_owned() }));
        calls.push(Call { tool: Tool::Answer, subject: ".".to_owned() });
        Ok(Plan { calls })
    }

    pub(crate) fn step_count(&self) -> u64 {
        self.calls.len() as u64
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().filter(|call| call.tool == Tool::Read).map(|call| call.subject.as_str())
    }

    pub(crate) fn count_of(&self, tool: Tool) -> u64 {
        self.calls.iter().filter(|call| call.tool == tool).count() as u64
    }

    pub(crate) fn to_value(&self) -> Value {
        let call = |call: &Call| Value::from(format!("{} {}", call.tool.name(), call.subject));
        Value::Array(self.calls.iter().map(call).collect())
    }

    /// The plan a store holds; `None` when `value` is not one.
    pub(crate) fn from_value(value: &Value) -> Option<Plan> {
        let Value::Array(items) = value else { return None };
        let call = |item: &Value| {
            let (tool, subject) = item.as_str()?.split_once(' ')?;
            Some(Call { tool: Tool::named(tool)?, subject: subject.to_owned() })
        };
        Some(Plan { calls: items.iter().map(call).collect::<Option<_>>()? })
    }
}

/// The last part of a file name behind its dot, or `-` for a name without one.
pub(crate) fn extension(path: &str) -> &str {
    Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or("-")
}

/// Every folder and file below `root`, sorted: each folder is followed by its files, then by its folders.
/// Links are not followed. A folder that may not be read is listed, and its step will say why.
fn walk(root: &Path) -> io::Result<Vec<Call>> {
    fs::read_dir(root)?;
    let mut places = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let subject = if folder.is_empty() { ".".to_owned() } else { folder.clone() };
        places.push(Call { tool: Tool::List, subject });
        let (files, mut below) = names(&root.join(&folder), &folder);
        places.extend(files.into_iter().map(|subject| Call { tool: Tool::Read, subject }));
        below.reverse();
        folders.append(&mut below);
        if places.len() >= ENTRY_COUNT_MAX {
            break;
        }
    }
    Ok(places)
}

/// Files and folders directly below `path`, as sorted paths that begin with `prefix`.
fn names(path: &Path, prefix: &str) -> (Vec<String>, Vec<String>) {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path).into_iter().flatten().flatten().take(ENTRY_COUNT_MAX) {
        let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
        let subject = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if kind.is_file() {
            files.push(subject);
        } else if kind.is_dir()
            && !SKIPPED_FOLDERS.contains(&name.as_str())
            && !name.ends_with(SKIPPED_ENDING)
        {
            folders.push(subject);
        }
    }
    files.sort();
    folders.sort();
    (files, folders)
}

/// `keep` of the calls, evenly spread; the first is always among them.
fn sample(calls: Vec<Call>, keep: usize) -> Vec<Call> {
    if calls.len() <= keep {
        return calls;
    }
    (0..keep).map(|index| calls[index * calls.len() / keep].clone()).collect()
}

/// The most frequent extensions among the files to read; equals in order of their names.
fn extensions(calls: &[Call]) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for call in calls.iter().filter(|call| call.tool == Tool::Read) {
        *counts.entry(extension(&call.subject)).or_default() += 1;
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ranked.into_iter().take(EXTENSION_COUNT_MAX).map(|(name, _)| name.to_owned()).collect()
}
