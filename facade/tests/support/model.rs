//! What a run should hold: a plain model of it, and the same operations on a real one.

use std::collections::BTreeMap;

use strata::{
    Batch, Database, Direction, KvScan, NewTrace, Reads, RunHandle, RunStatus, TraceContent, TraceEnd,
    TraceFilter, TraceId, Value, Writes,
};

use super::script;

/// One operation on one run.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put(u8, u16),
    Delete(u8),
    DeletePrefix(u8),
    Increment(u8, i8),
    Append(u8, u16),
    CellInit(u8, u16),
    CellSet(u8, u16),
    CellDelete(u8),
    JsonCreate(u8),
    JsonSet(u8, u8, u16),
    JsonAppend(u8, u16),
    JsonDestroy(u8),
    TraceBegin(u8),
    TraceEnd(u8),
    Batch(Vec<Op>),
    Transaction(Vec<Op>),
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
    pub(crate) cells: BTreeMap<String, (Value, u64)>,
    pub(crate) documents: BTreeMap<String, (Value, u64)>,
    /// Spans with the version that last wrote them, and whether they are open.
    pub(crate) traces: Vec<(TraceId, u64, bool)>,
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
            Op::Batch(ops) | Op::Transaction(ops) => ops.is_empty(),
            _ => false,
        };
        if self.paused && !is_welcome {
            return Decided::Refused;
        }
        let (Op::Batch(ops) | Op::Transaction(ops)) = op else { return self.apply_one(op, version, boot) };
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
            Op::CellInit(cell, _) if self.cells.contains_key(&cell_of(*cell)) => return Decided::Refused,
            Op::CellInit(cell, value) | Op::CellSet(cell, value) => {
                self.cells.insert(cell_of(*cell), (value_of(*value), version));
            }
            Op::CellDelete(cell) => changes = self.cells.remove(&cell_of(*cell)).is_some(),
            Op::TraceBegin(_) | Op::TraceEnd(_) => return self.apply_trace(op, version),
            Op::Batch(_) | Op::Transaction(_) => unreachable!("batches hold single operations"),
            document => return self.apply_json(document, version),
        }
        if changes { Decided::Commit } else { Decided::Nothing }
    }

    fn apply_json(&mut self, op: &Op, version: u64) -> Decided {
        match op {
            Op::JsonCreate(name) if self.documents.contains_key(&document_of(*name)) => {
                return Decided::Refused;
            }
            Op::JsonCreate(name) => {
                self.documents.insert(document_of(*name), (fresh_document(), version));
                return Decided::Commit;
            }
            Op::JsonDestroy(name) => {
                let existed = self.documents.remove(&document_of(*name)).is_some();
                return if existed { Decided::Commit } else { Decided::Nothing };
            }
            _ => {}
        }
        let (Op::JsonSet(name, ..) | Op::JsonAppend(name, _)) = op else {
            unreachable!("{op:?} is of no document")
        };
        let Some((Value::Object(members), written)) = self.documents.get_mut(&document_of(*name)) else {
            return Decided::Refused;
        };
        match op {
            Op::JsonSet(_, member, value) => {
                let (member, value) = (member_of(*member), Value::from(*value));
                match members.iter_mut().find(|(name, _)| *name == member) {
                    Some((_, held)) => *held = value,
                    None => members.push((member, value)),
                }
            }
            Op::JsonAppend(_, value) => match &mut members[0].1 {
                Value::Array(list) => list.push(Value::from(*value)),
                other => unreachable!("the list of a document is {other:?}"),
            },
            _ => {}
        }
        *written = version;
        Decided::Commit
    }

    fn apply_trace(&mut self, op: &Op, version: u64) -> Decided {
        let (Op::TraceBegin(number) | Op::TraceEnd(number)) = op else {
            unreachable!("{op:?} is of no trace")
        };
        let id = trace_of(*number);
        match (op, self.traces.iter_mut().find(|(held, ..)| *held == id)) {
            (Op::TraceBegin(_), None) => self.traces.push((id, version, true)),
            (Op::TraceEnd(_), Some((_, written, is_open @ true))) => (*written, *is_open) = (version, false),
            _ => return Decided::Refused,
        }
        Decided::Commit
    }
}

pub(crate) fn perform(run: &RunHandle, op: &Op) -> strata::Result<()> {
    match op {
        Op::Batch(ops) => {
            let mut batch = run.batch();
            ops.iter().try_for_each(|op| add(&mut batch, op))?;
            run.commit(batch).map(drop_commit)
        }
        Op::Transaction(ops) => {
            run.transaction(|tx| ops.iter().try_for_each(|op| perform_one(tx, op))).map(drop_commit)
        }
        Op::Resume => run.update_status(RunStatus::Active).map(drop_commit),
        Op::DeleteRun => run.delete_run().map(drop_commit),
        op => perform_one(run, op),
    }
}

fn perform_one<W: Writes>(run: &W, op: &Op) -> strata::Result<()> {
    match op {
        Op::Put(key, value) => run.put(&key_of(*key), value_of(*value)).map(drop_commit),
        Op::Delete(key) => run.delete(&key_of(*key)).map(drop_commit),
        Op::DeletePrefix(prefix) => run.delete_prefix(&prefix_of(*prefix)).map(drop_commit),
        Op::Increment(key, by) => run.increment(&key_of(*key), (*by).into()).map(drop_commit),
        Op::Append(kind, payload) => run.append(&kind_of(*kind), value_of(*payload)).map(drop_commit),
        Op::Tags(tags) => run.set_tags(tags.iter().map(|tag| format!("tag-{tag}"))).map(drop_commit),
        Op::Pause => run.update_status(RunStatus::Paused).map(drop_commit),
        Op::CellInit(cell, value) => run.cell_init(&cell_of(*cell), value_of(*value)).map(drop_commit),
        Op::CellSet(cell, value) => run.cell_set(&cell_of(*cell), value_of(*value)).map(drop_commit),
        Op::CellDelete(cell) => run.cell_delete(&cell_of(*cell)).map(drop_commit),
        Op::JsonCreate(name) => run.json_create(&document_of(*name), fresh_document()).map(drop_commit),
        Op::JsonSet(name, member, value) => {
            let path = format!("/{}", member_of(*member));
            run.json_set(&document_of(*name), &path, *value).map(drop_commit)
        }
        Op::JsonAppend(name, value) => run.json_append(&document_of(*name), "/list", *value).map(drop_commit),
        Op::JsonDestroy(name) => run.json_destroy(&document_of(*name)).map(drop_commit),
        Op::TraceBegin(number) => run.trace_begin(span_of(*number)).map(drop_commit),
        Op::TraceEnd(number) => run.trace_end(trace_of(*number), end_of(*number)).map(drop_commit),
        other => unreachable!("{other:?} is no single write"),
    }
}

fn add(batch: &mut Batch, op: &Op) -> strata::Result<()> {
    match op {
        Op::Put(key, value) => batch.put(&key_of(*key), value_of(*value))?,
        Op::Delete(key) => batch.delete(&key_of(*key))?,
        Op::DeletePrefix(prefix) => batch.delete_prefix(&prefix_of(*prefix))?,
        Op::Increment(key, by) => batch.increment(&key_of(*key), (*by).into())?,
        Op::Append(kind, payload) => batch.append(&kind_of(*kind), value_of(*payload))?,
        Op::CellInit(cell, value) => batch.cell_init(&cell_of(*cell), value_of(*value))?,
        Op::CellSet(cell, value) => batch.cell_set(&cell_of(*cell), value_of(*value))?,
        Op::CellDelete(cell) => batch.cell_delete(&cell_of(*cell))?,
        Op::JsonCreate(name) => batch.json_create(&document_of(*name), fresh_document())?,
        Op::JsonSet(name, member, value) => {
            batch.json_set(&document_of(*name), &format!("/{}", member_of(*member)), *value)?
        }
        Op::JsonAppend(name, value) => batch.json_append(&document_of(*name), "/list", *value)?,
        Op::JsonDestroy(name) => batch.json_destroy(&document_of(*name))?,
        Op::TraceBegin(number) => batch.trace_begin(span_of(*number))?,
        Op::TraceEnd(number) => batch.trace_end(trace_of(*number), end_of(*number))?,
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

fn cell_of(cell: u8) -> String {
    format!("cell-{cell}")
}

fn document_of(name: u8) -> String {
    format!("document-{name}")
}

fn member_of(member: u8) -> String {
    format!("member-{member}")
}

fn fresh_document() -> Value {
    Value::from([("list", Value::Array(Vec::new()))])
}

fn trace_of(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16])
}

fn span_of(number: u8) -> NewTrace {
    let content = TraceContent::Custom { kind: "work".into(), content: Value::Null };
    NewTrace::new(trace_of(number), content)
}

fn end_of(number: u8) -> TraceEnd {
    TraceEnd { result: Some(number.into()), ..TraceEnd::default() }
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
    let cells = handle.cell_list(&KvScan::default()).unwrap().items;
    let traces = handle.trace_list(&TraceFilter::default(), None, 10_000, Direction::Forward).unwrap().traces;
    let documents = handle.json_list(&KvScan::default()).unwrap().keys.into_iter().map(|name| {
        let read = handle.json_get(&name, "").unwrap().expect("a document that is listed is there");
        (name, (read.value, read.version.0))
    });
    assert!(handle.verify_chain().unwrap().valid, "the chain of {} holds", name);
    assert!(events.iter().enumerate().all(|(place, event)| event.sequence == place as u64), "no gap");
    let state = State {
        exists: true,
        boot: info.begun_in_boot,
        paused: info.status == RunStatus::Paused,
        tags: info.tags,
        keys: items.into_iter().map(|(key, read)| (key, (read.value, read.version.0))).collect(),
        events: events.into_iter().map(|event| (event.kind, event.payload, event.version.0)).collect(),
        cells: cells.into_iter().map(|(cell, read)| (cell, (read.value, read.version.0))).collect(),
        documents: documents.collect(),
        traces: traces.into_iter().map(|trace| (trace.id, trace.version.0, trace.ended.is_none())).collect(),
    };
    (Some(info.version.0 as usize), state)
}
