//! What a run remembers, and how it takes a commit back.
use super::*;
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::fingerprint::Fingerprint;
use crate::limits::Limits;
use crate::retention::Retention;
use crate::value::Value;
use crate::version::{Commit, Durability};

fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(version * 10) }
}

fn meta() -> RunMeta {
    RunMeta { created: Timestamp(10), ..RunMeta::plain() }
}

fn create() -> Mutation {
    Mutation::RunCreate { meta: Box::new(meta()), previous: Version(0) }
}

fn put(key: &str) -> Mutation {
    Mutation::KvPut { key: key.into(), value: Encoded::from_int(1), deadline: None, previous: Version(0) }
}

fn append(sequence: u64) -> Mutation {
    let (kind, payload) = ("k".into(), Encoded::from_int(1));
    Mutation::EventAppend { sequence, kind, payload, salt: [0; 16], hash: [0; 32] }
}

fn trace(number: u8, parent: Option<u8>) -> Mutation {
    let id = |number| TraceId::from_bytes([number; 16]);
    let trace = Trace {
        id: id(number),
        parent: parent.map(id),
        kind: "step".into(),
        tags: Arc::default(),
        body: Encoded::from_int(1),
        began: Timestamp(5),
        ended: None,
        stamp: Stamp::default(),
        recorded: Stamp::default(),
    };
    Mutation::TraceRecord { trace: Box::new(trace) }
}

fn end(number: u8) -> Mutation {
    let id = TraceId::from_bytes([number; 16]);
    Mutation::TraceEnd { id, ended: Timestamp(9), body: Encoded::from_int(2), previous: Version(1) }
}

fn erase(entity: EntityRef) -> Mutation {
    let (from, through) = (Version(1), Version(2));
    Mutation::Erase { entity: Box::new(entity), from, through, reason: "why".into() }
}

fn created() -> RunState {
    let mut state = RunState::new(RunId::from_bytes([1; 16]), 7);
    let _ = state.apply(create(), stamp(1));
    state.commit(stamp(1));
    state
}

#[test]
fn a_new_run_is_missing_until_it_is_created() {
    let state = RunState::new(RunId::from_bytes([1; 16]), 7);
    assert_eq!((state.exists(), state.info()), (false, None));
    assert_eq!((state.version(), state.timestamp()), (Version::NEVER, Timestamp(0)));
    let state = created();
    assert!(state.exists());
    assert_eq!(
        (state.id(), state.version(), state.timestamp()),
        (RunId::from_bytes([1; 16]), Version(1), Timestamp(10))
    );
}

fn cell(name: &str, value: i64) -> Mutation {
    let (name, value, previous) = (name.into(), Encoded::from_int(value), Version(1));
    Mutation::CellSet { name, value, deadline: None, previous }
}

fn document(write: JsonWrite) -> Mutation {
    Mutation::JsonWrite { name: "d".into(), write, previous: Version(1) }
}

#[test]
fn every_mutation_is_taken_back_completely() {
    let previous = Version(1);
    let mutations = vec![
        put("a"),
        Mutation::KvPut {
            key: "a".into(),
            value: Encoded::from_int(2),
            deadline: Some(Timestamp(99)),
            previous,
        },
        Mutation::KvDeadline { key: "a".into(), deadline: None, previous },
        Mutation::KvDelete { key: "a".into(), previous },
        Mutation::KvDelete { key: "missing".into(), previous },
        append(0),
        append(1),
        Mutation::EventErased { sequence: 2, kind: "k".into(), digest: [1; 32], hash: [2; 32] },
        Mutation::EventRetention { retention: Some(Retention::KeepLast(2)), previous },
        Mutation::EventTrim { before: 2 },
        append(3),
        Mutation::EventTrim { before: 4 },
        append(4),
        trace(1, None),
        trace(2, Some(1)),
        end(1),
        Mutation::TraceRetention { retention: Some(Retention::KeepLast(2)), previous },
        trace(3, Some(1)),
        Mutation::TraceTrim { before: 1 },
        trace(4, Some(1)),
        Mutation::TraceTrim { before: 4 },
        trace(1, Some(9)),
        Mutation::RunBegin { boot: 2, previous },
        Mutation::RunStatus { status: RunStatus::Paused, previous },
        Mutation::RunTags { tags: vec!["t".into()], previous },
        Mutation::RunMetadata { metadata: Encoded::from_int(2), previous },
        Mutation::RunRetention { retention: Some(Retention::KeepLast(2)), previous },
        put("b"),
        cell("a", 1),
        cell("a", 2),
        Mutation::CellDelete { name: "a".into(), previous },
        cell("b", 1),
        document(JsonWrite::Put { value: Encoded::from_int(1) }),
        document(JsonWrite::Put { value: Encoded::from_int(2) }),
        Mutation::JsonDestroy { name: "d".into(), previous },
        document(JsonWrite::Put { value: Encoded::from_int(3) }),
        erase(EntityRef::kv(RunId::from_bytes([1; 16]), "b")),
        erase(EntityRef::cell(RunId::from_bytes([1; 16]), "b")),
        erase(EntityRef::json(RunId::from_bytes([1; 16]), "d")),
        erase(EntityRef::event(RunId::from_bytes([1; 16]), 0)),
        erase(EntityRef::event(RunId::from_bytes([1; 16]), 4)),
        erase(EntityRef::trace(RunId::from_bytes([1; 16]), TraceId::from_bytes([1; 16]))),
        Mutation::RunDelete { previous },
        create(),
    ];
    // Those of a fork and an import are the first ones of a run that begins as another, or as it was elsewhere.
    for row in Mutation::table().iter().filter(|row| !["run_fork", "run_import"].contains(&row.name)) {
        assert!(mutations.iter().any(|mutation| mutation.tag() == row.tag), "{} is among them", row.name);
    }
    let mut state = created();
    state.ensure_order(OrderIndex::Keys(KeyKind::Kv));
    let mut replaced = Vec::new();
    for mutation in mutations {
        assert_eq!(state.check(&mutation), Ok(()));
        replaced.push(state.apply(mutation, stamp(2)));
    }
    let before = Stamp { version: state.version(), timestamp: state.timestamp() };
    state.commit(stamp(2));
    assert!(!state.same_state(&created()));
    state.restore_stamp(before);
    replaced.into_iter().rev().for_each(|replaced| state.revert(replaced));
    assert!(state.same_state(&created()));
}

#[test]
fn an_imported_run_is_there_when_a_commit_says_so_with_what_it_answered_and_takes_back_as_others_do() {
    let elsewhere = created();
    let mut run = elsewhere.adopt();
    assert_eq!((run.id(), run.exists(), run.version()), (elsewhere.id(), false, Version(1)));
    let import = |version: u64, imported: u64| {
        let meta =
            RunMeta { imported: Some(Version(imported)), since: Version(imported + 1), ..RunMeta::plain() };
        Mutation::RunImport { version: Version(version), floor: Version::NEVER, meta: Box::new(meta) }
    };
    assert!(run.check(&import(2, 2)).unwrap_err().contains("begins as another"));
    assert!(run.check(&import(1, 2)).unwrap_err().contains("begins as another"));
    assert!(elsewhere.check(&import(1, 1)).unwrap_err().contains("that exists"));
    assert_eq!(run.check(&import(1, 1)), Ok(()));
    let replaced = run.apply(import(1, 1), stamp(2));
    assert!(run.exists() && run.meta().unwrap().imported == Some(Version(1)));
    run.revert(replaced);
    assert!(!run.exists());
}

#[test]
fn a_fork_is_there_when_its_first_commit_says_so_and_takes_back_as_others_do() {
    let parent = created();
    let mut fork = parent.fork(RunId::from_bytes([2; 16]));
    assert_eq!((fork.exists(), fork.version(), fork.kv_count()), (false, Version(1), 0));
    let point = ForkPoint { run: parent.id(), version: Version(1) };
    let creation = Mutation::RunFork { point, meta: Box::new(RunMeta::plain()) };
    let elsewhere = ForkPoint { run: parent.id(), version: Version(2) };
    let other = Mutation::RunFork { point: elsewhere, meta: Box::new(RunMeta::plain()) };
    assert!(fork.check(&other).unwrap_err().contains("begins as another"));
    assert!(parent.check(&creation).unwrap_err().contains("that exists"));
    assert!(fork.check(&create()).unwrap_err().contains("is a fork"));
    assert_eq!(fork.check(&creation), Ok(()));
    let replaced = fork.apply(creation, stamp(2));
    fork.commit(stamp(2));
    assert_eq!(fork.info().and_then(|info| info.forked_from), Some(point));
    let mut again = fork.fork(RunId::from_bytes([3; 16]));
    assert_eq!(again.fork_point(), Some(ForkPoint { run: fork.id(), version: Version(2) }));
    let _ = again.apply(put("a"), stamp(3));
    fork.restore_stamp(Stamp { version: Version(1), timestamp: Timestamp(10) });
    fork.revert(replaced);
    assert_eq!((fork.exists(), fork.fork_point(), again.kv_count()), (false, Some(point), 1));
}

#[test]
fn a_deleted_run_keeps_its_version_numbers() {
    let mut state = created();
    let _ = state.apply(put("a"), stamp(2));
    let _ = state.apply(append(0), stamp(2));
    state.commit(stamp(2));
    assert_eq!((state.kv_count(), state.event_count()), (1, 1));
    let _ = state.apply(Mutation::RunDelete { previous: Version(1) }, stamp(3));
    state.commit(stamp(3));
    assert_eq!(
        (state.exists(), state.version(), state.kv_count(), state.event_count()),
        (false, Version(3), 0, 0)
    );
    let _ = state.apply(create(), stamp(4));
    state.commit(stamp(4));
    let info = state.info().unwrap();
    assert_eq!((info.version, info.kv_count, info.event_count), (Version(4), 0, 0));
}

#[test]
fn mutations_from_a_file_that_contradict_the_run_are_named() {
    let missing = RunState::new(RunId::from_bytes([1; 16]), 7);
    assert_eq!(missing.check(&create()), Ok(()));
    assert_eq!(missing.check(&put("a")), Err("kv_put in a run that does not exist".into()));
    let state = created();
    assert_eq!(state.check(&create()), Err("it creates a run that exists".into()));
    assert_eq!(state.check(&append(2)), Err("event 2 follows 0 events".into()));
    let trim = Mutation::EventTrim { before: 1 };
    assert_eq!(state.check(&trim), Err("it removes events below 1, and there are 0 to 0".into()));
    let deadline = Mutation::KvDeadline { key: "a".into(), deadline: None, previous: Version(0) };
    assert_eq!(state.check(&deadline), Err("it gives a deadline to the missing key \"a\"".into()));
    assert_eq!((state.check(&append(0)), state.check(&put("a"))), (Ok(()), Ok(())));
}

#[test]
fn traces_from_a_file_that_contradict_the_run_are_named() {
    let (one, two) = (TraceId::from_bytes([1; 16]), TraceId::from_bytes([2; 16]));
    let mut state = created();
    assert_eq!(state.check(&end(1)), Err(format!("it ends the missing trace {one}")));
    assert_eq!(
        state.check(&trace(2, Some(1))),
        Err(format!("it records the trace {two} below the missing trace {one}"))
    );
    assert!(state.check(&trace(1, Some(1))).is_err(), "nothing is its own parent");
    let _ = state.apply(trace(1, None), stamp(2));
    assert_eq!(state.check(&trace(1, None)), Err(format!("it records the trace {one} a second time")));
    assert_eq!((state.check(&trace(2, Some(1))), state.check(&end(1))), (Ok(()), Ok(())));
    let _ = state.apply(end(1), stamp(3));
    assert_eq!(state.check(&end(1)), Err(format!("it ends the trace {one}, which has ended at 9")));
}

#[test]
fn a_trace_is_stamped_by_the_commits_that_wrote_it() {
    let mut state = created();
    let _ = state.apply(trace(1, None), stamp(2));
    let _ = state.apply(end(1), stamp(3));
    let trace = state.content().traces.get(0).unwrap();
    assert_eq!((trace.recorded, trace.stamp, trace.ended), (stamp(2), stamp(3), Some(Timestamp(9))));
    assert_eq!((state.trace_count(), state.content().traces.size()), (1, trace.size()));
}

#[test]
fn receipts_are_remembered_and_forgotten() {
    let mut state = created();
    let id = OperationId([5; 16]);
    let commit = Commit { version: Version(1), timestamp: Timestamp(1), durability: Durability::Strict };
    let receipt = Receipt { commit, effects: vec![Effect::Integer(3)], fingerprint: Fingerprint([1; 8]) };
    state.remember(id, receipt.clone());
    assert_eq!(state.receipt(&id), Some(&receipt));
    state.forget(&id);
    assert_eq!(state.receipt(&id), None);
}

#[test]
#[should_panic(expected = "versions of a run grow")]
fn a_version_is_used_once() {
    created().commit(stamp(1));
}

#[test]
#[should_panic(expected = "events are appended in order")]
fn a_gap_between_events_stops_the_run() {
    let _ = created().apply(append(1), stamp(2));
}

#[test]
#[should_panic(expected = "kv_put does not describe a run")]
fn only_descriptions_describe() {
    described(Some(&meta()), put("a"), Version(2));
}

/// Pictures and version chains were bounded by what of a document was counted: the path to what a write replaced, whatever hung there.
#[test]
fn what_a_write_takes_out_of_a_document_is_counted_in_what_it_replaced() {
    let text = |length| {
        let value = Value::from("x".repeat(length));
        Encoded::from_value(&value, &Limits::default(), || EntityRef::json(created().id(), "d")).unwrap()
    };
    let mut state = created();
    let before = state.apply(document(JsonWrite::Put { value: text(100_000) }), stamp(2)).size();
    let replaced = state.apply(document(JsonWrite::Put { value: text(10) }), stamp(3)).size();
    let again = state.apply(document(JsonWrite::Put { value: text(100_000) }), stamp(4)).size();
    let destroy = Mutation::JsonDestroy { name: "d".into(), previous: Version(4) };
    let destroyed = state.apply(destroy, stamp(5)).size();
    assert!(before < 10_000 && again < 10_000, "{before}, {again}");
    assert!(replaced > 100_000 && destroyed > 100_000, "{replaced}, {destroyed}");

    // Small values take many times what their encoding does.
    let value = Value::Array((0..10_000).map(Value::from).collect());
    let value = Encoded::from_value(&value, &Limits::default(), || EntityRef::json(state.id(), "d")).unwrap();
    let empty = state.memory();
    let _ = state.apply(document(JsonWrite::Put { value }), stamp(6));
    let taken = state.memory() - empty;
    let replaced = state.apply(document(JsonWrite::Put { value: text(10) }), stamp(7)).size();
    assert!(taken > 1_000_000 && replaced.abs_diff(taken) < 10_000, "{replaced} of {taken}");
}
