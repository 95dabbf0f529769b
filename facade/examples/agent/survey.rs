//! The agent at work: one run in the store, one atomic batch for each step of its plan.
//!
//! A batch holds the event of the step and the agent's note about it, so that neither can be there without the
//! other. Where to go on is therefore never guessed: the next step is the number of events.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use strata::{
    Batch, Database, Durability, Effect, Namespace, OperationId, Options, Reads, RunHandle, RunSpec, Value,
};

use crate::Result;
use crate::plan::{Call, Plan, Tool};
use crate::tools::{self, Finding};
use crate::values::integer;

pub(crate) const NOTES: &str = "note/";
const PLAN: &str = "plan";
const PAGE_COUNT: usize = 1_000;

/// What the agent is asked: which folder, in how many steps, under which name.
pub(crate) struct Brief {
    pub name: String,
    pub root: PathBuf,
    pub step_count_max: usize,
}

/// Opens the agent's store: nothing is acknowledged before it is on stable storage.
pub(crate) fn open(store: &Path) -> Result<Database> {
    Ok(Database::open(store, Options { durability: Durability::Strict, ..Options::default() })?)
}

/// What the store answered for one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub step: u64,
    pub sequence: u64,
    pub version: u64,
    pub fingerprint: u64,
}

pub(crate) struct Agent {
    pub run: RunHandle,
    pub plan: Plan,
    root: PathBuf,
}

impl Agent {
    /// Begins the run of this brief, or resumes it with the plan it had.
    pub(crate) fn begin(database: &Database, brief: &Brief) -> Result<Agent> {
        let root = brief.root.display().to_string();
        let run = database.begin_run(RunSpec {
            name: Some(brief.name.clone()),
            namespace: Namespace { agent: "surveyor".to_owned(), ..Namespace::default() },
            tags: vec!["survey".to_owned()],
            metadata: Value::from([("root", Value::from(root))]),
            ..RunSpec::default()
        })?;
        let plan = match run.get(PLAN)? {
            Some(stored) => {
                Plan::from_value(&stored.value).ok_or("the stored plan is not a list of tool calls")?
            }
            None => Plan::survey(&brief.root, brief.step_count_max)?,
        };
        Ok(Agent { run, plan, root: brief.root.clone() })
    }

    /// The step to take next: everything below it is in the store.
    pub(crate) fn next_step(&self) -> Result<u64> {
        Ok(self.run.event_count()?.value)
    }

    /// Takes one step: uses the tool and commits what it found.
    pub(crate) fn take(&self, step: u64) -> Result<Receipt> {
        let call = &self.plan.calls[step as usize];
        let finding = self.use_tool(call)?;
        let payload = Value::from([
            ("step", Value::Int(step as i64)),
            ("tool", Value::from(call.tool.name())),
            ("subject", Value::from(call.subject.as_str())),
            ("result", finding.result.clone()),
        ]);
        let fingerprint = fingerprint(&payload);
        let batch = self.batch(step, call.tool, payload, &finding)?;
        // Sent again after a crash, the same id gets its first receipt back: the step cannot be doubled.
        let receipt = self.run.with_operation_id(operation_id(step)).commit(batch)?;
        let commit = receipt.commit.ok_or("a step that changes nothing cannot be")?;
        let sequence = receipt.effects.iter().find_map(|effect| match effect {
            Effect::Sequence { first, .. } => Some(*first),
            _ => None,
        });
        let sequence = sequence.ok_or("the store told no sequence for the event of a step")?;
        Ok(Receipt { step, sequence, version: commit.version.0, fingerprint })
    }

    fn batch(&self, step: u64, tool: Tool, payload: Value, finding: &Finding) -> Result<Batch> {
        let note = Value::from([
            ("step", Value::Int(step as i64)),
            ("text", Value::from(finding.note.as_str())),
            ("lines", Value::Int(finding.lines)),
            ("bytes", Value::Int(finding.bytes)),
        ]);
        let mut batch = self.run.batch();
        batch.append(&event_kind(tool), payload)?;
        batch.put(&note_key(step), note)?;
        if tool == Tool::Plan {
            batch.put(PLAN, self.plan.to_value())?;
        }
        Ok(batch)
    }

    fn use_tool(&self, call: &Call) -> Result<Finding> {
        let (root, subject) = (self.root.as_path(), call.subject.as_str());
        Ok(match call.tool {
            Tool::Plan => self.describe_plan(),
            Tool::List => tools::list(root, subject),
            Tool::Read => tools::read(root, subject),
            Tool::Count => tools::count(root, self.plan.files(), subject),
            Tool::Search => tools::search(root, self.plan.files(), subject),
            Tool::Answer => self.answer()?,
        })
    }

    fn describe_plan(&self) -> Finding {
        let [folders, files, steps] =
            [self.plan.count_of(Tool::List), self.plan.count_of(Tool::Read), self.plan.step_count()]
                .map(|count| Value::Int(count as i64));
        let note = format!("folders {folders}, files {files}, steps {steps}");
        let result = Value::from([("folders", folders), ("files", files), ("steps", steps)]);
        Finding { result, note, lines: 0, bytes: 0 }
    }

    /// Answers from memory alone: the notes in the store, those from before a crash among them.
    fn answer(&self) -> Result<Finding> {
        let (mut lines, mut bytes) = (0, 0);
        each_note(&self.run, |_, note, _| {
            lines += integer(note, "lines").unwrap_or(0);
            bytes += integer(note, "bytes").unwrap_or(0);
        })?;
        let files = self.plan.count_of(Tool::Read) as i64;
        let result = Value::from([
            ("files", Value::Int(files)),
            ("lines", Value::Int(lines)),
            ("bytes", Value::Int(bytes)),
        ]);
        Ok(Finding {
            result,
            note: format!("files {files}, lines {lines}, bytes {bytes}"),
            lines: 0,
            bytes: 0,
        })
    }
}

/// Visits every note with its key and the version that wrote it, in the order of the steps.
pub(crate) fn each_note(run: &RunHandle, mut visit: impl FnMut(&str, &Value, u64)) -> Result<()> {
    let mut scan =
        strata::KvScan { prefix: NOTES.to_owned(), limit: PAGE_COUNT, ..strata::KvScan::default() };
    loop {
        let page = run.list_values(&scan)?;
        for (key, note) in &page.items {
            visit(key, &note.value, note.version.0);
        }
        match page.next {
            Some(next) => scan.start_after = Some(next),
            None => return Ok(()),
        }
    }
}

pub(crate) fn note_key(step: u64) -> String {
    format!("{NOTES}{step:06}")
}

pub(crate) fn event_kind(tool: Tool) -> String {
    format!("step.{}", tool.name())
}

/// Tells two payloads apart, in this process and in its child: the hasher has no random key.
pub(crate) fn fingerprint(payload: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.to_string().hash(&mut hasher);
    hasher.finish()
}

fn operation_id(step: u64) -> OperationId {
    let mut id = *b"survey..00000000";
    id[8..].copy_from_slice(&step.to_be_bytes());
    OperationId(id)
}
