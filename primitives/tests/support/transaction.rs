//! A transaction that reads, a commit of somebody else, and whether the one refuses the other.
use super::{Driver, append, put, run_id, trace_id};
use strata_primitives::*;

pub(crate) const NONE: Deadline = Deadline::None;
pub(crate) const BEGAN: u64 = 1_000;
pub(crate) const COMMITTED: u64 = 1_500;

pub(crate) fn kv(key: &str) -> EntityRef {
    EntityRef::kv(run_id(), key)
}

pub(crate) fn cell(name: &str) -> EntityRef {
    EntityRef::cell(run_id(), name)
}

pub(crate) fn event(sequence: u64) -> EntityRef {
    EntityRef::event(run_id(), sequence)
}

pub(crate) fn trace(number: u64) -> EntityRef {
    EntityRef::trace(run_id(), trace_id(number))
}

pub(crate) fn get(key: &str) -> Operation {
    Operation::KvGet { key: key.into() }
}

pub(crate) fn delete(key: &str) -> Operation {
    Operation::KvDelete { key: key.into() }
}

pub(crate) fn count(prefix: &str) -> Operation {
    Operation::KvCount { prefix: prefix.into() }
}

pub(crate) fn keys_only(prefix: &str) -> Operation {
    let (start_after, direction) = (None, Direction::Forward);
    Operation::KvList { prefix: prefix.into(), start_after, limit: 100, direction, values: false }
}

pub(crate) fn read_cell(name: &str) -> Operation {
    Operation::CellRead { name: name.into() }
}

pub(crate) fn set_cell(name: &str, value: i64) -> Operation {
    Operation::CellSet { name: name.into(), value: Encoded::from_int(value), deadline: NONE }
}

pub(crate) fn range(start: Option<u64>, limit: usize, direction: Direction) -> Operation {
    Operation::EventRange { start, limit, direction }
}

pub(crate) fn by_type(kind: &str, limit: usize, direction: Direction) -> Operation {
    Operation::EventByType { kind: kind.into(), start: None, limit, direction }
}

pub(crate) fn len(kind: Option<&str>) -> Operation {
    Operation::EventLen { kind: kind.map(Into::into) }
}

pub(crate) fn begin(kind: &str, number: u64, parent: Option<u64>) -> Operation {
    let content = TraceContent::Custom { kind: kind.into(), content: Value::Null };
    let parent = parent.map(trace_id);
    let tags = vec![format!("tag{number}")];
    let new = NewTrace { parent, tags, ..NewTrace::new(trace_id(number), content) };
    Operation::TraceBegin { trace: Box::new(new) }
}

pub(crate) fn end(number: u64) -> Operation {
    Operation::TraceEnd { id: trace_id(number), end: Box::default() }
}

pub(crate) fn get_trace(number: u64) -> Operation {
    Operation::TraceGet { id: trace_id(number) }
}

pub(crate) fn tree(number: u64, limit: usize) -> Operation {
    Operation::TraceTree { id: trace_id(number), limit }
}

pub(crate) fn traces(
    filter: TraceFilter,
    start: Option<u64>,
    limit: usize,
    direction: Direction,
) -> Operation {
    Operation::TraceList { filter: Box::new(filter), start, limit, direction }
}

pub(crate) fn traces_where(filter: TraceFilter) -> Operation {
    traces(filter, None, 100, Direction::Forward)
}

pub(crate) fn any() -> TraceFilter {
    TraceFilter::default()
}

pub(crate) fn of_kind(kind: &str) -> TraceFilter {
    TraceFilter { kind: Some(kind.into()), ..any() }
}

pub(crate) fn stat(entity: EntityRef) -> Operation {
    Operation::EntityStat { entity: Box::new(entity) }
}

/// Version 2 wrote all of it: keys, one of them with a deadline, a cell, two events and three open spans, of which
/// the second stands below the first.
pub(crate) fn driver() -> Driver {
    let mut driver = Driver::created();
    let mut operations: Vec<_> = ["a", "p/1", "p/2", "p/3"].iter().map(|key| put(key, 1, NONE)).collect();
    operations.push(put("brief", 1, Deadline::At(Timestamp(2_000))));
    operations.extend([set_cell("x", 1), append("k", 1), append("l", 2)]);
    operations.extend([begin("s", 1, None), begin("t", 2, Some(1)), begin("s", 3, None)]);
    driver.batch(operations).unwrap();
    driver
}

/// A transaction that has done something and not committed.
pub(crate) struct Transaction {
    pub(crate) snapshot: Snapshot,
    pub(crate) staged: Staged,
}

impl Transaction {
    pub(crate) fn begin(driver: &mut Driver, operations: Vec<Operation>) -> Self {
        let snapshot = driver.state.open_snapshot();
        let context = driver.context();
        let mut draft = Draft::resume(driver.state.view_at(&snapshot).unwrap(), Staged::recording());
        for operation in operations {
            let _ = validate(operation, &mut draft, &context, &driver.limits);
        }
        Self { snapshot, staged: draft.into_staged() }
    }

    pub(crate) fn validate(&self, driver: &Driver) -> Result<(), Error> {
        let interval = Interval { began: Timestamp(BEGAN), now: Timestamp(driver.now) };
        self.staged.reads().expect("it records").validate(&driver.state, &self.snapshot, interval)
    }
}

/// Whether a commit of `between` refuses a transaction that did `operations` before it.
pub(crate) fn verdict(operations: Vec<Operation>, between: Vec<Operation>) -> Result<(), Error> {
    verdict_in(driver(), operations, between)
}

/// The same in another run than that of [`driver`].
pub(crate) fn verdict_in(
    mut driver: Driver,
    operations: Vec<Operation>,
    between: Vec<Operation>,
) -> Result<(), Error> {
    let transaction = Transaction::begin(&mut driver, operations);
    assert!(transaction.validate(&driver).is_ok(), "nothing has changed yet");
    driver.now = COMMITTED;
    driver.batch(between).unwrap();
    transaction.validate(&driver)
}

#[track_caller]
pub(crate) fn changed(read: Operation, between: Operation, entity: EntityRef, seen: u64, found: u64) {
    let question = format!("{read:?} and then {between:?}");
    let error = verdict(vec![read], vec![between]).expect_err(&question);
    let say = |version: u64| match version {
        0 => "no value".to_owned(),
        version => format!("version {version}"),
    };
    let message = format!("expected {}, found {}", say(seen), say(found));
    assert_eq!(
        (error.kind(), error.entity(), error.message()),
        (ErrorKind::Conflict, Some(&entity), &*message),
        "{question}"
    );
}

#[track_caller]
pub(crate) fn unchanged(read: Operation, between: Operation) {
    let question = format!("{read:?} and then {between:?}");
    assert_eq!(verdict(vec![read], vec![between]).map_err(|error| error.to_string()), Ok(()), "{question}");
}
