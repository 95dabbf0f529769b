//! What a run should hold: a plain model of it, and the same operations on a real one.

use std::collections::BTreeMap;

use strata::{Batch, Database, Direction, KvScan, Reads, RunHandle, RunStatus, Value, Writes};

use super::script;

/// One operation on one run.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put(u8, u16),
    Delete(u8),
    DeletePrefix(u8),
    Increment(u8, i8),
    Append(u8, u16),
    Batch(Vec<Op>),
    Tags(Vec<u8>),
    Pause,
    Resume,
    DeleteRun,
}

/// What one run holds at one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) exists: bool,
    /// The boot it was last begun in.
    pub(crate) boot: u64,
    pub(crate) paused: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) keys: BTreeMap<String, (Value, u64)>,
    pub(crate) events: Vec<(String, Value, u64)>,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Commit,
    Nothing,
    Refused,
}

impl State {
    /// A run that has just been created.
    pub(crate) fn created(boot: u64) -> State {
        State { exists: true, boot, ..State::default() }
    }

    /// What `op` makes of the state as commit `version` of boot `boot`.
    pub(crate) fn apply(&mut self, op: &Op, version: u64, boot: u64) -> Decided {
        let is_welcome = match op {
            Op::Tags(_) | Op::Resume | Op::Pause | Op::DeleteRun => true,
            Op::Batch(ops) => ops.is_empty(),
            _ => false,
        };
        if self.paused && !is_welcome {
            return Decided::Refused;
        }
        let Op::Batch(ops) = op else { return self.apply_one(op, version, boot) };
        let (mut decided, before) = (Decided::Nothing, self.clone());
        for op in ops {
            match self.apply_one(op, version, boot) {
                Decided::Nothing => {}
                Decided::Commit => decided = Decided::Commit,
                Decided::Refused => {
                    *self = before;
                    return Decided::Refused;
                }
            }
        }
        decided
    }

    fn apply_one(&mut self, op: &Op, version: u64, boot: u64) -> Decided {
        let mut changes = true;
        match op {
            Op::Put(key, value) => drop(self.keys.insert(key_of(*key), (value_of(*value), version))),
            Op::Delete(key) => changes = self.keys.remove(&key_of(*key)).is_some(),
            Op::DeletePrefix(prefix) => {
                let count = self.keys.len();
                self.keys.retain(|key, _| !key.starts_with(&prefix_of(*prefix)));
                changes = self.keys.len() < count;
            }
            Op::Increment(key, by) => {
                let sum = match self.keys.get(&key_of(*key)) {
                    None => i64::from(*by),
                    Some((Value::Int(number), _)) => number + i64::from(*by),
                    Some(_) => return Decided::Refused,
                };
                self.keys.insert(key_of(*key), (Value::Int(sum), version));
            }
            Op::Append(kind, payload) => self.events.push((kind_of(*kind), value_of(*payload), version)),
            Op::Tags(tags) => {
                self.tags.clear();
                for tag in tags.iter().map(|tag| format!("tag-{tag}")) {
                    if !self.tags.contains(&tag) {
                        self.tags.push(tag);
                    }
                }
            }
            Op::Pause => changes = !std::mem::replace(&mut self.paused, true),
            Op::Resume => {
                // A run that was begun in an earlier boot is begun again.
                changes = self.paused || self.boot != boot;
                (self.paused, self.boot) = (false, boot);
            }
            Op::DeleteRun => *self = State::default(),
            Op::Batch(_) => unreachable!("batches hold single operations"),
        }
        if changes { Decided::Commit } else { Decided::Nothing }
    }
}

pub(crate) fn perform(run: &RunHandle, op: &Op) -> strata::Result<()> {
    match op {
        Op::Put(key, value) => run.put(&key_of(*key), value_of(*value)).map(drop_commit),
        Op::Delete(key) => run.delete(&key_of(*key)).map(drop_commit),
        Op::DeletePrefix(prefix) => run.delete_prefix(&prefix_of(*prefix)).map(drop_commit),
        Op::Increment(key, by) => run.increment(&key_of(*key), (*by).into()).map(drop_commit),
        Op::Append(kind, payload) => run.append(&kind_of(*kind), value_of(*payload)).map(drop_commit),
        Op::Batch(ops) => {
            let mut batch = run.batch();
            ops.iter().try_for_each(|op| add(&mut batch, op))?;
            run.commit(batch).map(drop_commit)
        }
        Op::Tags(tags) => run.set_tags(tags.iter().map(|tag| format!("tag-{tag}"))).map(drop_commit),
        Op::Pause => run.update_status(RunStatus::Paused).map(drop_commit),
        Op::Resume => run.update_status(RunStatus::Active).map(drop_commit),
        Op::DeleteRun => run.delete_run().map(drop_commit),
    }
}

fn add(batch: &mut Batch, op: &Op) -> strata::Result<()> {
    match op {
        Op::Put(key, value) => batch.put(&key_of(*key), value_of(*value))?,
        Op::Delete(key) => batch.delete(&key_of(*key))?,
        Op::DeletePrefix(prefix) => batch.delete_prefix(&prefix_of(*prefix))?,
        Op::Increment(key, by) => batch.increment(&key_of(*key), (*by).into())?,
        Op::Append(kind, payload) => batch.append(&kind_of(*kind), value_of(*payload))?,
        other => unreachable!("{other:?} is no part of a batch"),
    };
    Ok(())
}

fn drop_commit<T>(_: T) {}

fn key_of(key: u8) -> String {
    format!("{}/{key}", key % 3)
}

fn prefix_of(prefix: u8) -> String {
    format!("{prefix}/")
}

fn kind_of(kind: u8) -> String {
    format!("kind-{kind}")
}

/// Small numbers, and now and then something as large as a few blocks.
fn value_of(value: u16) -> Value {
    match value % 16 {
        0 => Value::Bytes(vec![value as u8; 9_000 + usize::from(value)]),
        1..=3 => Value::String(format!("text {value}")),
        _ => Value::Int(value.into()),
    }
}

/// Everything that can be read of a run, and its version if it exists.
pub(crate) fn observe(database: &Database, name: &str) -> (Option<usize>, State) {
    let handle = database.run(script::id_of(name));
    let Some(info) = database.get_run(handle.id()).unwrap() else { return (None, State::default()) };
    let items = handle.list_values(&KvScan::default()).unwrap().items;
    let events = handle.events(0, 10_000, Direction::Forward).unwrap().events;
    assert!(handle.verify_chain().unwrap().valid, "the chain of {} holds", name);
    assert!(events.iter().enumerate().all(|(place, event)| event.sequence == place as u64), "no gap");
    let state = State {
        exists: true,
        boot: info.begun_in_boot,
        paused: info.status == RunStatus::Paused,
        tags: info.tags,
        keys: items.into_iter().map(|(key, read)| (key, (read.value, read.version.0))).collect(),
        events: events.into_iter().map(|event| (event.kind, event.payload, event.version.0)).collect(),
    };
    (Some(info.version.0 as usize), state)
}
