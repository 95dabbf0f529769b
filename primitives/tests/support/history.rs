//! Random histories of a run, and every read there is of what they leave.
use super::{append, encoded, list, put, run_id, trace_id};
use proptest::prelude::*;
use std::time::Duration;
use strata_primitives::*;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// One commit; what is refused is left out of it.
    Commit {
        pause: u64,
        steps: Vec<Change>,
    },
    /// Several commits that are taken back.
    TakenBack {
        commits: Vec<Vec<Change>>,
    },
    Open,
    Close {
        snapshot: usize,
    },
    Order,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Put { key: u8, value: i64, ttl: Option<u64> },
    Delete { key: u8 },
    DeletePrefix,
    SetDeadline { key: u8, ttl: u64 },
    Expire,
    CellSet { name: u8, value: i64 },
    CellDelete { name: u8 },
    Append { kind: u8, payload: i64 },
    KeepEvents { retention: Option<Retention> },
    KeepTraces { retention: Option<Retention> },
    Record { id: u8, parent: Option<u8>, is_open: bool },
    End { id: u8, result: i64 },
    Document { name: u8, path: u8, value: i64, how: How },
    Tags { tag: u8 },
    Pause,
    Begin,
    DeleteRun,
    Recreate,
}

/// What is done to a document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    Create,
    Set,
    Delete,
    Append,
    Merge,
    Destroy,
}

/// Places in a document, some of them inside others.
const PATHS: [&str; 6] = ["", "/a", "/a/x", "/b", "/list", "/list/0"];

fn pointer(path: &str) -> Pointer {
    Pointer::parse(path, 8).unwrap()
}

fn document(value: i64) -> Value {
    let inner = Value::from([("x", Value::Int(value))]);
    Value::from([("a", inner), ("b", Value::Int(value)), ("list", Value::Array(vec![Value::Int(1)]))])
}

fn change_document(name: Key, path: Pointer, value: i64, how: How) -> Operation {
    let number = Encoded::from_int(value);
    match how {
        How::Create => Operation::JsonCreate { name, value: encoded(document(value)) },
        How::Set if path.is_root() => Operation::JsonSet { name, path, value: encoded(document(value)) },
        How::Set => Operation::JsonSet { name, path, value: number },
        How::Delete => Operation::JsonDelete { name, path },
        How::Append => Operation::JsonAppend { name, path: pointer("/list"), value: number },
        How::Merge => Operation::JsonMerge { name, path, patch: Value::from([("m", Value::Int(value))]) },
        How::Destroy => Operation::JsonDestroy { name },
    }
}

pub(crate) fn name(key: u8) -> String {
    format!("{}/{}", key / 3, key % 3)
}

impl Change {
    pub(crate) fn operations(&self, now: u64) -> Vec<Operation> {
        let at = |ttl: u64| Deadline::At(Timestamp(now + ttl));
        let create = || Operation::RunCreate { spec: Box::default() };
        vec![match *self {
            Self::Put { key, value, ttl } => put(&name(key), value, ttl.map_or(Deadline::None, at)),
            Self::Delete { key } => Operation::KvDelete { key: name(key).into() },
            Self::DeletePrefix => Operation::KvDeletePrefix { prefix: "1/".into() },
            Self::SetDeadline { key, ttl } => {
                Operation::KvSetDeadline { key: name(key).into(), deadline: at(ttl) }
            }
            Self::Expire => Operation::Expire { limit: 2 },
            Self::CellSet { name: cell, value } => {
                let (value, deadline) = (Encoded::from_int(value), Deadline::None);
                Operation::CellSet { name: name(cell).into(), value, deadline }
            }
            Self::CellDelete { name: cell } => Operation::CellDelete { name: name(cell).into() },
            Self::Append { kind, payload } => append(&format!("kind{kind}"), payload),
            Self::KeepEvents { retention } => Operation::RunSetEventRetention { retention },
            Self::KeepTraces { retention } => Operation::RunSetTraceRetention { retention },
            Self::Record { id, parent, is_open } => {
                let content = TraceContent::Custom { kind: format!("kind{}", id % 2), content: Value::Null };
                let parent = parent.map(|parent| trace_id(parent.into()));
                let new = NewTrace { parent, ..NewTrace::new(trace_id(id.into()), content) };
                match (Box::new(new), is_open) {
                    (trace, true) => Operation::TraceBegin { trace },
                    (trace, false) => Operation::TraceRecord { trace },
                }
            }
            Self::End { id, result } => {
                let end = TraceEnd { result: Some(result.into()), ..TraceEnd::default() };
                Operation::TraceEnd { id: trace_id(id.into()), end: Box::new(end) }
            }
            Self::Document { name: document, path, value, how } => {
                change_document(name(document).into(), pointer(PATHS[usize::from(path)]), value, how)
            }
            Self::Tags { tag } => Operation::RunSetTags { tags: vec![format!("tag{tag}")] },
            Self::Pause => Operation::RunUpdateStatus { status: RunStatus::Paused },
            Self::Begin => Operation::RunBegin { spec: Box::default() },
            Self::DeleteRun => Operation::RunDelete,
            Self::Recreate => return vec![Operation::RunDelete, create()],
        }]
    }
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let key = || 0..6u8;
    let id = || 0..12u8;
    prop_oneof![
        4 => (key(), any::<i64>(), proptest::option::of(1..30u64))
            .prop_map(|(key, value, ttl)| Change::Put { key, value, ttl }),
        2 => key().prop_map(|key| Change::Delete { key }),
        1 => Just(Change::DeletePrefix),
        1 => (key(), 1..30u64).prop_map(|(key, ttl)| Change::SetDeadline { key, ttl }),
        1 => Just(Change::Expire),
        2 => (key(), any::<i64>()).prop_map(|(name, value)| Change::CellSet { name, value }),
        1 => key().prop_map(|name| Change::CellDelete { name }),
        3 => (0..2u8, any::<i64>()).prop_map(|(kind, payload)| Change::Append { kind, payload }),
        1 => proptest::option::of(retention()).prop_map(|retention| Change::KeepEvents { retention }),
        1 => proptest::option::of(retention()).prop_map(|retention| Change::KeepTraces { retention }),
        5 => (id(), proptest::option::of(id()), any::<bool>())
            .prop_map(|(id, parent, is_open)| Change::Record { id, parent, is_open }),
        4 => (id(), any::<i64>()).prop_map(|(id, result)| Change::End { id, result }),
        5 => (0..2u8, 0..6u8, any::<i64>(), how())
            .prop_map(|(name, path, value, how)| Change::Document { name, path, value, how }),
        1 => (0..3u8).prop_map(|tag| Change::Tags { tag }),
        1 => Just(Change::Pause),
        2 => Just(Change::Begin),
        1 => Just(Change::DeleteRun),
        1 => Just(Change::Recreate),
    ]
}

pub(crate) fn retention() -> impl Strategy<Value = Retention> {
    prop_oneof![
        1 => Just(Retention::KeepAll),
        3 => (1..6u64).prop_map(Retention::KeepLast),
        3 => (0..60u64).prop_map(|micros| Retention::KeepFor(Duration::from_micros(micros))),
    ]
}

fn how() -> impl Strategy<Value = How> {
    use How::{Append, Create, Delete, Destroy, Merge, Set};
    proptest::sample::select(vec![Create, Create, Set, Set, Set, Delete, Append, Merge, Destroy])
}

pub(crate) fn history() -> impl Strategy<Value = Vec<Step>> {
    let changes = || proptest::collection::vec(change(), 1..5);
    let step = prop_oneof![
        8 => (0..20u64, changes()).prop_map(|(pause, steps)| Step::Commit { pause, steps }),
        2 => proptest::collection::vec(changes(), 1..4).prop_map(|commits| Step::TakenBack { commits }),
        4 => Just(Step::Open),
        3 => any::<usize>().prop_map(|snapshot| Step::Close { snapshot }),
        1 => Just(Step::Order),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What these changes come to as one commit of `state` at `now`; what is refused is left out of it.
pub(crate) fn decide(state: &RunState, changes: &[Change], now: u64) -> Vec<Mutation> {
    let context = Context { now: Timestamp(now), boot: 1 };
    let mut draft = Draft::new(state.view());
    for operation in changes.iter().flat_map(|change| change.operations(now)) {
        let _ = validate(operation, &mut draft, &context, &Limits::default());
    }
    trim_entries(&mut draft, &context, &EntryRetention::default());
    draft.into_mutations()
}

/// Every read there is, of things that are there and of others.
pub(crate) fn reads() -> Vec<Operation> {
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let mut reads =
        vec![Operation::RunGet, Operation::EventVerifyChain, Operation::KvCount { prefix: "".into() }];
    for direction in [forward, reverse] {
        reads.push(list("", None, 100, direction));
        reads.push(list("1/", None, 2, direction));
        let (prefix, start_after) = ("".into(), None);
        reads.push(Operation::KvList { prefix, start_after, limit: 3, direction, values: false });
        reads.push(Operation::CellList { prefix: "".into(), start_after: None, limit: 3, direction });
        reads.push(Operation::JsonList { prefix: "".into(), start_after: None, limit: 1, direction });
        reads.push(Operation::EventRange { start: None, limit: 100, direction });
        reads.push(Operation::EventRange { start: Some(4), limit: 2, direction });
        reads.push(Operation::EventByType { kind: "kind0".into(), start: Some(2), limit: 2, direction });
        reads.push(Operation::EventByType { kind: "kind1".into(), start: None, limit: 2, direction });
        for filter in [
            TraceFilter::default(),
            TraceFilter { is_open: Some(true), ..TraceFilter::default() },
            TraceFilter { parent: Some(trace_id(1)), ..TraceFilter::default() },
            TraceFilter { kind: Some("kind1".into()), ..TraceFilter::default() },
        ] {
            for (start, limit) in [(None, 5), (Some(0), 2), (Some(3), 2)] {
                let filter = Box::new(filter.clone());
                reads.push(Operation::TraceList { filter, start, limit, direction });
            }
        }
    }
    for kind in [None, Some("kind0".into())] {
        reads.push(Operation::EventLen { kind: kind.clone() });
        reads.push(Operation::EventHead { kind: kind.clone() });
        reads.push(Operation::TraceCount { kind: kind.clone() });
        reads.push(Operation::TraceCount { kind: kind.map(|_| "kind1".into()) });
    }
    for key in (0..6).map(name) {
        reads.push(Operation::KvGet { key: key.as_str().into() });
        reads.push(Operation::KvTtl { key: key.as_str().into() });
        reads.push(Operation::CellRead { name: key.as_str().into() });
        reads.push(Operation::EntityStat { entity: Box::new(EntityRef::kv(run_id(), key)) });
    }
    for id in (0..12).map(trace_id) {
        reads.push(Operation::TraceGet { id });
        reads.push(Operation::TraceTree { id, limit: 4 });
        reads.push(Operation::EntityStat { entity: Box::new(EntityRef::trace(run_id(), id)) });
    }
    for document in (0..2).map(name) {
        let name: Key = document.as_str().into();
        reads.extend(PATHS.map(|path| Operation::JsonGet { name: name.clone(), path: pointer(path) }));
        reads.push(Operation::EntityStat { entity: Box::new(EntityRef::json(run_id(), name)) });
    }
    reads.push(Operation::KvCount { prefix: "1/".into() });
    reads.extend((0..9).map(|sequence| Operation::EventRead { sequence }));
    reads.extend([Operation::EventFirst, Operation::TraceFirst]);
    reads
}
