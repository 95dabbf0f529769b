//! What a transaction learns beside its reads is validated like a read. Each of these once committed on what was no
//! longer so.

use std::time::Duration;

use strata::{
    Database, Direction, Durability, EntityRef, Error, ErrorKind, NewTrace, Reads, RunHandle, RunSpec,
    RunStatus, Timestamp, TraceContent, TraceFilter, Transaction, Value, Writes, new_trace, parse_json,
};

use crate::support::{one_run, options, script};

#[track_caller]
fn expect_conflict(tx: Transaction, entity: &EntityRef) {
    let error = tx.commit().unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(entity)), "{error}");
}

/// A closure that was refused a write knows why, and may go another way: "the lock is taken, so I wait for it". The
/// lock was given back before the commit, and nobody noticed.
#[test]
fn a_refused_write_is_a_read_of_what_refused_it() {
    type Refused = fn(&Transaction) -> Error;
    type Rival = fn(&RunHandle);
    let cases: [(Refused, Rival, &str); 5] = [
        (|tx| tx.put_if("k", 1, strata::Condition::Absent).unwrap_err(), |run| done(run.delete("k")), "k"),
        (|tx| tx.increment("text", 1).unwrap_err(), |run| done(run.put("text", 1)), "text"),
        (|tx| tx.increment("most", 1).unwrap_err(), |run| done(run.put("most", 1)), "most"),
        (|tx| tx.cell_init("lock", 1).unwrap_err(), |run| done(run.cell_delete("lock")), "lock"),
        (
            |tx| tx.cell_cas("lock", strata::Version(1), 1).unwrap_err(),
            |run| done(run.cell_set("lock", 2)),
            "lock",
        ),
    ];
    for (refused, rival, name) in cases {
        let (_database, run) = one_run();
        run.put_many([("k", Value::Int(1)), ("text", "t".into()), ("most", Value::Int(i64::MAX))]).unwrap();
        run.cell_init("lock", 1).unwrap();
        let entity =
            if name == "lock" { EntityRef::cell(run.id(), name) } else { EntityRef::kv(run.id(), name) };

        let tx = run.begin();
        let error = refused(&tx);
        tx.put("own", format!("went another way: {error}")).unwrap();
        rival(&run);
        expect_conflict(tx, &entity);

        let tx = run.begin();
        tx.put("own", "nothing was refused").unwrap();
        tx.commit().expect("the run takes writes");
    }
}

#[test]
fn a_refused_write_of_a_document_or_a_trace_is_a_read_of_it() {
    let (_database, run) = one_run();
    run.json_create("doc", Value::Object(vec![("n".into(), Value::Int(1))])).unwrap();
    let tx = run.begin();
    assert_eq!(tx.json_create("doc", 2).unwrap_err().kind(), ErrorKind::AlreadyExists);
    tx.put("own", "it is there").unwrap();
    run.json_destroy("doc").unwrap();
    expect_conflict(tx, &EntityRef::json(run.id(), "doc"));

    let tx = run.begin();
    assert_eq!(tx.json_set("doc", "/n", 2).unwrap_err().kind(), ErrorKind::NotFound);
    tx.put("own", "it is gone").unwrap();
    run.json_create("doc", 1).unwrap();
    expect_conflict(tx, &EntityRef::json(run.id(), "doc"));

    let thought = || new_trace(TraceContent::Thought { text: "why".into(), confidence: None });
    let parent = thought();
    let tx = run.begin();
    let child = NewTrace { parent: Some(parent.id), ..thought() };
    assert_eq!(tx.trace_record(child).unwrap_err().kind(), ErrorKind::NotFound);
    tx.put("own", "there is no parent").unwrap();
    run.trace_record(parent.clone()).unwrap();
    expect_conflict(tx, &EntityRef::trace(run.id(), parent.id));
}

#[test]
fn what_an_own_write_leaves_of_a_document_is_the_runs_own() {
    type Change = fn(&Transaction);
    let changes: [Change; 3] = [
        |tx| done(tx.json_append("doc", "/list", 9).unwrap()),
        |tx| done(tx.json_merge("doc", "", Value::Object(vec![("new".into(), Value::Int(1))])).unwrap()),
        |tx| done(tx.json_delete("doc", "/list/0").unwrap()),
    ];
    for change in changes {
        let (_database, run) = one_run();
        let list = Value::Array(vec![Value::Int(1), Value::Int(2)]);
        run.json_create("doc", Value::Object(vec![("list".into(), list)])).unwrap();
        let tx = run.begin();
        change(&tx);
        let seen = tx.json_get("doc", "/list").unwrap().unwrap().value;
        tx.put("copy", seen).unwrap();
        run.json_set("doc", "/list/1", 7).unwrap();
        expect_conflict(tx, &EntityRef::json(run.id(), "doc"));
    }
}

#[test]
fn a_refusal_about_the_parent_of_a_trace_tells_that_its_id_is_free() {
    let (_database, run) = one_run();
    let thought = || new_trace(TraceContent::Thought { text: "why".into(), confidence: None });
    let (missing, new) = (thought(), thought());
    let tx = run.begin();
    let child = NewTrace { parent: Some(missing.id), ..new.clone() };
    assert_eq!(tx.trace_record(child).unwrap_err().kind(), ErrorKind::NotFound);
    tx.put("own", "the parent is missing").unwrap();
    run.trace_record(new.clone()).unwrap();
    expect_conflict(tx, &EntityRef::trace(run.id(), new.id));
}

/// A list looks at 4,096 traces, so one more that its filter leaves out pushes another out of sight.
#[test]
fn a_list_that_looked_at_as_many_traces_as_it_may_rests_on_those_it_left_out() {
    for (thought_count, is_conflict) in [(4_094, false), (4_095, true)] {
        let (_database, run) = one_run();
        let error = TraceContent::Error { kind: "e".into(), message: "m".into(), recoverable: true };
        run.trace_record(new_trace(error)).unwrap();
        let thought = || new_trace(TraceContent::Thought { text: "why".into(), confidence: None });
        for _ in 0..thought_count {
            run.trace_record(thought()).unwrap();
        }
        let filter = TraceFilter { kind: Some("error".into()), ..TraceFilter::default() };
        let tx = run.begin();
        let page = tx.trace_list(&filter, None, 10, Direction::Reverse).unwrap();
        assert_eq!((page.traces.len(), page.next), (1, None));
        tx.put("own", "the first trace is an error").unwrap();
        let pushes = thought();
        run.trace_record(pushes.clone()).unwrap();
        let seen_alone = run.trace_list(&filter, None, 10, Direction::Reverse).unwrap().traces.len();
        assert_eq!(seen_alone, usize::from(!is_conflict), "what it would be told now");
        if is_conflict {
            expect_conflict(tx, &EntityRef::trace(run.id(), pushes.id));
        } else {
            tx.commit().unwrap();
        }
    }
}

/// Beside an own write of a member whose name is an index or `-` lies another place once an array stands there.
#[test]
fn an_own_member_that_an_array_would_have_elsewhere_rests_on_the_object_around_it() {
    type Own = fn(&Transaction);
    let cases: [(&str, Own, &str); 2] = [
        (r#"{"a": {}}"#, |tx| done(tx.json_set("doc", "/a/-", 1)), "/a/-"),
        (
            r#"{"a": {"0": 1}}"#,
            |tx| done(tx.json_patch("doc", &json(r#"[{"op": "remove", "path": "/a/0"}]"#))),
            "/a/0",
        ),
    ];
    for (document, own, path) in cases {
        let (_database, run) = one_run();
        run.json_create("doc", json(document)).unwrap();
        let tx = run.begin();
        own(&tx);
        let seen = tx.json_get("doc", path).unwrap().is_some();
        tx.put("own", seen).unwrap();
        run.json_set("doc", "/a", json("[7, 8]")).unwrap();
        expect_conflict(tx, &EntityRef::json(run.id(), "doc"));
    }
}

#[test]
fn a_refusal_for_the_status_of_the_run_is_a_read_of_it() {
    let (_database, run) = one_run();
    run.update_status(RunStatus::Paused).unwrap();
    let tx = run.begin();
    assert_eq!(tx.increment("n", 1).unwrap_err().kind(), ErrorKind::RunClosed);
    tx.set_metadata("it was paused").unwrap();
    run.resume().unwrap();
    expect_conflict(tx, &EntityRef::run(run.id()));
}

#[test]
fn a_refusal_for_another_reason_tells_that_the_run_takes_writes() {
    let (_database, run) = one_run();
    run.put("word", "text").unwrap();
    let refused = |tx: &Transaction| {
        assert_eq!(tx.increment("word", 1).unwrap_err().kind(), ErrorKind::WrongType);
        tx.set_metadata("the run was active").unwrap();
    };
    let tx = run.begin();
    refused(&tx);
    run.put("other", 1).unwrap();
    run.set_tags(["more"]).unwrap();
    tx.commit().unwrap();
    let tx = run.begin();
    refused(&tx);
    run.update_status(RunStatus::Paused).unwrap();
    expect_conflict(tx, &EntityRef::run(run.id()));
}

#[test]
fn a_status_that_was_already_so_is_a_read_of_it() {
    for (mine, theirs) in [(RunStatus::Active, RunStatus::Paused), (RunStatus::Paused, RunStatus::Paused)] {
        let (_database, run) = one_run();
        let tx = run.begin();
        let told = tx.update_status(mine).unwrap();
        assert_eq!(told.is_none(), mine == RunStatus::Active, "a receipt tells that there was a change");
        tx.set_tags(["mine"]).unwrap();
        run.update_status(theirs).unwrap();
        expect_conflict(tx, &EntityRef::run(run.id()));
    }
}

/// The staged deadline hid the key from the read set, and with it the value, which was still the run's.
#[test]
fn a_value_below_a_staged_deadline_is_the_runs_own() {
    type Touch = fn(&Transaction);
    let touches: [Touch; 2] = [
        |tx| done(tx.set_deadline("k", Timestamp(u64::MAX)).unwrap()),
        |tx| done(tx.clear_deadline("k").unwrap()),
    ];
    for touch in touches {
        let (_database, run) = one_run();
        run.put_with_ttl("k", 1, Duration::from_secs(1_000_000)).unwrap();
        let tx = run.begin();
        touch(&tx);
        let seen = tx.get("k").unwrap().unwrap().value;
        tx.put("copy", seen).unwrap();
        run.put_with_ttl("k", 2, Duration::from_secs(1_000_000)).unwrap();
        expect_conflict(tx, &EntityRef::kv(run.id(), "k"));
    }
}

#[test]
fn a_deadline_that_was_not_there_is_a_read_of_it() {
    let (_database, run) = one_run();
    run.put("k", 1).unwrap();
    let tx = run.begin();
    assert_eq!(tx.clear_deadline("k").unwrap(), None, "there is none to clear");
    tx.put("own", 1).unwrap();
    run.set_deadline("k", Timestamp(u64::MAX)).unwrap();
    expect_conflict(tx, &EntityRef::kv(run.id(), "k"));
}

#[test]
fn the_deadline_that_an_increment_keeps_is_the_runs_own() {
    let (_database, run) = one_run();
    run.put("k", 1).unwrap();
    let tx = run.begin();
    tx.increment("k", 1).unwrap();
    assert_eq!(tx.ttl("k").unwrap().unwrap().value, None);
    run.set_deadline("k", Timestamp(u64::MAX)).unwrap();
    expect_conflict(tx, &EntityRef::kv(run.id(), "k"));
}

/// A transaction found its own event at sequence 0, and committed it as number 1.
#[test]
fn the_place_of_an_own_event_holds_only_while_nobody_else_appends() {
    let (_database, run) = one_run();
    let tx = run.begin();
    tx.append("step", "mine").unwrap();
    assert_eq!(tx.event(0).unwrap().unwrap().payload.as_str(), Some("mine"));
    run.append("step", "theirs").unwrap();
    expect_conflict(tx, &EntityRef::event(run.id(), 0));
}

/// A transaction that had been told "there is no such run" read the run once somebody had created it, each time as it
/// then was, durable or not; and its writes went there.
#[test]
fn a_transaction_that_saw_no_run_sees_none_to_its_end() {
    let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let run = database.run(script::id_of("run"));
    let tx = run.begin();
    assert_eq!(tx.get("k").unwrap_err().kind(), ErrorKind::NotFound);
    database.create_run(RunSpec::named("run")).unwrap();
    run.put("k", 1).unwrap();
    assert_eq!(tx.get("k").unwrap_err().kind(), ErrorKind::NotFound, "it sees one state");
    assert_eq!(tx.info().unwrap_err().kind(), ErrorKind::NotFound);
    tx.put("k", "there was no run").unwrap();
    expect_conflict(tx, &EntityRef::run(run.id()));
    assert_eq!(run.get("k").unwrap().unwrap().value, Value::Int(1));
}

#[test]
fn a_transaction_that_saw_a_deleted_run_conflicts_with_its_creation() {
    let (database, run) = one_run();
    run.delete_run().unwrap();
    let tx = run.begin();
    assert_eq!(tx.get("k").unwrap_err().kind(), ErrorKind::NotFound);
    database.create_run(RunSpec::named("run")).unwrap();
    tx.put("k", "there was no run").unwrap();
    expect_conflict(tx, &EntityRef::run(run.id()));
}

fn json(text: &str) -> Value {
    parse_json(text).unwrap()
}

fn done<T>(_: T) {}
