//! Every limit exceeded by one, through every operation it guards.
use super::*;
use crate::deadline::Deadline;
use crate::id::Namespace;
use crate::new_trace::NewTrace;
use crate::operation::{Direction, NewEvent, PutEntry};
use crate::trace_content::TraceContent;
use crate::trace_end::TraceEnd;
use crate::trace_filter::TraceFilter;
use crate::version::Version;
use std::time::Duration;

fn run() -> RunId {
    RunId::from_bytes([1; 16])
}

fn limits() -> Limits {
    Limits { key_size_max: 4, value_size_max: 8, items_max: 2, metadata_size_max: 8, ..Limits::default() }
}

fn refusal(operation: Operation) -> Error {
    let error = operation.check(run(), &limits()).expect_err(operation.name());
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.entity().expect("a refusal names the entity").run_id(), run());
    error
}

/// Who keeps an error for long kept the refused value in memory beside the key that the error names.
#[test]
fn a_refusal_of_a_value_from_elsewhere_names_its_key_without_the_value() {
    let text = Value::Array(vec![Value::Array(vec![])]);
    let deep = Encoded::from_value_under("k", &text, &Limits::default(), || EntityRef::run(run())).unwrap();
    let (key, value, deadline) = (deep.key().clone(), deep, Deadline::None);
    assert!(!key.value().is_empty());
    let limits = Limits { depth_max: 1, ..Limits::default() };
    for operation in [
        Operation::KvPut { key: key.clone(), value: value.clone(), deadline },
        Operation::KvPutMany { entries: vec![PutEntry { key: key.clone(), value: value.clone(), deadline }] },
        Operation::CellInit { name: key.clone(), value: value.clone(), deadline },
        Operation::JsonCreate { name: key, value },
    ] {
        let error = operation.check_encoded_elsewhere(run(), &limits).expect_err(operation.name());
        let named = error.entity().unwrap();
        let (EntityRef::Kv { key, .. }
        | EntityRef::Cell { name: key, .. }
        | EntityRef::Json { name: key, .. }) = named
        else {
            panic!("{named}")
        };
        assert_eq!((key.as_str(), key.value()), ("k", &b""[..]), "{}", operation.name());
    }
}

fn value(size: usize) -> Encoded {
    let text = Value::String("v".repeat(size));
    Encoded::from_value(&text, &Limits::default(), || EntityRef::run(run())).unwrap()
}

fn of_key(key: &str) -> Vec<Operation> {
    let key: Key = key.into();
    let deadline = Deadline::None;
    vec![
        Operation::KvGet { key: key.clone() },
        Operation::KvGetMany { keys: vec![key.clone()] },
        Operation::KvExists { key: key.clone() },
        Operation::KvTtl { key: key.clone() },
        Operation::KvPut { key: key.clone(), value: value(8), deadline },
        Operation::KvPutMany { entries: vec![PutEntry { key: key.clone(), value: value(8), deadline }] },
        Operation::KvPutIf { key: key.clone(), value: value(8), deadline, expected: Version::NEVER },
        Operation::KvDelete { key: key.clone() },
        Operation::KvIncrement { key: key.clone(), by: 1 },
        Operation::KvSetDeadline { key: key.clone(), deadline },
        Operation::KvClearDeadline { key },
    ]
}

#[test]
fn every_operation_on_a_key_refuses_a_bad_key() {
    for operation in of_key("four") {
        assert!(operation.check(run(), &limits()).is_ok(), "{}", operation.name());
    }
    for (key, entity) in [("", EntityRef::kv(run(), "")), ("a\0", EntityRef::kv(run(), "a\0"))] {
        for operation in of_key(key) {
            assert_eq!(refusal(operation).entity(), Some(&entity));
        }
    }
    for operation in of_key("five5") {
        let error = refusal(operation);
        assert_eq!(error.message(), "key_size_max is 4 bytes, the key has 5");
        assert_eq!(error.entity(), Some(&EntityRef::run(run())), "a huge key is not repeated");
    }
}

#[test]
fn values_that_are_too_large_are_refused_with_their_key() {
    let error = refusal(Operation::KvPut { key: "k".into(), value: value(9), deadline: Deadline::None });
    assert_eq!(error.message(), "value_size_max is 8 bytes, the value has 9");
    assert_eq!(error.entity(), Some(&EntityRef::kv(run(), "k")));
    let event = || NewEvent { kind: "k".into(), payload: value(9), salt: [0; 16] };
    let NewEvent { kind, payload, salt } = event();
    assert!(refusal(Operation::EventAppend { kind, payload, salt }).message().contains("value_size_max"));
    assert!(refusal(Operation::EventAppendMany { events: vec![event()] }).message().contains("9"));
}

#[test]
fn lists_in_requests_are_bounded() {
    let entry = PutEntry { key: "k".into(), value: value(1), deadline: Deadline::None };
    let event = NewEvent { kind: "k".into(), payload: value(1), salt: [0; 16] };
    for operation in [
        Operation::KvGetMany { keys: vec!["k".into(); 3] },
        Operation::KvPutMany { entries: vec![entry; 3] },
        Operation::EventAppendMany { events: vec![event; 3] },
    ] {
        assert!(refusal(operation).message().starts_with("items_max is 2 items"));
    }
}

#[test]
fn pages_hold_at_least_one_item_and_prefixes_fit_a_key() {
    let list = |prefix: &str, start: Option<&str>, limit| Operation::KvList {
        prefix: prefix.into(),
        start_after: start.map(Key::from),
        limit,
        direction: Direction::Forward,
        values: false,
    };
    let by_type = |kind: &str, limit| Operation::EventByType {
        kind: kind.into(),
        start: None,
        limit,
        direction: Direction::Forward,
    };
    let traces = |filter: TraceFilter, limit| Operation::TraceList {
        filter: Box::new(filter),
        start: None,
        limit,
        direction: Direction::Forward,
    };
    assert!(list("", Some("a"), 1).check(run(), &limits()).is_ok());
    for operation in [
        list("", None, 0),
        list("five5", None, 1),
        list("", Some("five5"), 1),
        Operation::KvCount { prefix: "five5".into() },
        Operation::KvDeletePrefix { prefix: "\0".into() },
        Operation::Expire { limit: 0 },
        Operation::EventRange { start: None, limit: 0, direction: Direction::Reverse },
        by_type("k", 0),
        by_type("", 1),
        Operation::EventLen { kind: Some("".into()) },
        Operation::EventHead { kind: Some("five5".into()) },
        Operation::TraceCount { kind: Some("five5".into()) },
        Operation::TraceTree { id: TraceId::from_bytes([2; 16]), limit: 0 },
        traces(TraceFilter::default(), 0),
        traces(TraceFilter { tag: Some("".into()), ..TraceFilter::default() }, 1),
    ] {
        refusal(operation);
    }
}

#[test]
fn traces_are_checked_by_their_own_rules_and_named() {
    let id = TraceId::from_bytes([2; 16]);
    let thought = |text: &str| TraceContent::Thought { text: text.into(), confidence: None };
    let new = |text: &str| Box::new(NewTrace::new(id, thought(text)));
    let timed = Box::new(NewTrace { duration: Some(Duration::ZERO), ..*new("") });
    let end = TraceEnd { error: Some("012345678".into()), ..TraceEnd::default() };
    for operation in [
        Operation::TraceRecord { trace: new("0123") },
        Operation::TraceBegin { trace: new("0123") },
        Operation::TraceBegin { trace: timed },
        Operation::TraceEnd { id, end: Box::new(end) },
    ] {
        assert_eq!(refusal(operation).entity(), Some(&EntityRef::trace(run(), id)));
    }
    let of_trace = Operation::EntityStat { entity: Box::new(EntityRef::trace(run(), id)) };
    for fine in [Operation::TraceGet { id }, Operation::TraceCount { kind: None }, of_trace] {
        assert!(fine.check(run(), &limits()).is_ok(), "{}", fine.name());
    }
}

#[test]
fn descriptions_of_runs_are_checked_part_by_part() {
    let big: Value = "012345678".into();
    let specs = [
        RunSpec { name: Some("a b".into()), ..RunSpec::default() },
        RunSpec { namespace: Namespace::new("n".repeat(129), "", ""), ..RunSpec::default() },
        RunSpec { tags: vec!["".into()], ..RunSpec::default() },
        RunSpec { parent: Some(run()), ..RunSpec::default() },
        RunSpec { metadata: big.clone(), ..RunSpec::default() },
    ];
    for spec in specs {
        refusal(Operation::RunCreate { spec: Box::new(spec.clone()) });
        refusal(Operation::RunBegin { spec: Box::new(spec) });
    }
    refusal(Operation::RunSetTags { tags: vec!["t".into(); 65] });
    let error = refusal(Operation::RunSetMetadata { metadata: big });
    assert_eq!(error.message(), "metadata: value_size_max is 8 bytes, the value has 9");
    for fine in [
        Operation::RunCreate { spec: Box::new(RunSpec::named("nightly")) },
        Operation::EventRead { sequence: u64::MAX },
        Operation::EventLen { kind: None },
        Operation::RunGet,
    ] {
        assert!(fine.check(run(), &limits()).is_ok(), "{}", fine.name());
    }
}
