//! Everything that a run can be asked, of one that holds something of everything.

use std::fmt::Debug;
use std::time::Duration;

use strata::{
    Deadline, Direction, EntityRef, KvScan, OperationId, Reads, RunHandle, RunStatus, TraceEnd, TraceFilter,
    Value, Writes,
};

use super::traces::{call, id, thought};

const REMEMBERED: OperationId = OperationId([7; 16]);

/// Writes what the questions are about.
pub(crate) fn fill(run: &RunHandle) {
    run.put_many([("a", 1), ("b/1", 2), ("b/2", 3)]).unwrap();
    run.put_with_ttl("lease", 1, Duration::from_secs(9)).unwrap();
    run.with_operation_id(REMEMBERED).increment("a", 1).unwrap();
    run.append_many([("call", 1), ("thought", 2), ("call", 3)]).unwrap();
    run.cell_init("cell", 1).unwrap();
    run.cell_set_expiring("held", 2, Deadline::In(Duration::from_secs(9))).unwrap();
    run.json_create("trip", Value::from([("stays", Value::from(vec![Value::Int(2)]))])).unwrap();
    run.json_append("trip", "/stays", 3).unwrap();
    run.trace_begin(call(1)).unwrap();
    run.trace_record(thought(2, Some(1))).unwrap();
    run.trace_end(id(1), TraceEnd { result: Some(1.into()), ..TraceEnd::default() }).unwrap();
    run.set_tags(["x"]).unwrap();
    run.update_status(RunStatus::Paused).unwrap();
}

/// Every question and its answer, errors included, to be compared as text.
pub(crate) fn answers<R: Reads>(run: &R) -> Vec<String> {
    let mut answers = Vec::new();
    ask_of_keys(run, &mut answers);
    ask_of_events(run, &mut answers);
    ask_of_the_rest(run, &mut answers);
    answers
}

fn note(answers: &mut Vec<String>, question: &str, answer: impl Debug) {
    answers.push(format!("{question}: {answer:?}"));
}

fn scans() -> [KvScan; 3] {
    let first = KvScan { limit: 2, ..KvScan::default() };
    let reverse = KvScan { direction: Direction::Reverse, start_after: Some("b/2".into()), ..first.clone() };
    [first, reverse, KvScan { prefix: "b/".into(), ..KvScan::default() }]
}

fn ask_of_keys<R: Reads>(run: &R, answers: &mut Vec<String>) {
    for key in ["a", "lease", "cell", "held", "missing", ""] {
        note(answers, "get", run.get(key));
        note(answers, "exists", run.exists(key));
        note(answers, "ttl", run.ttl(key));
        note(answers, "count", run.count(key));
        note(answers, "cell_read", run.cell_read(key));
        note(answers, "cell_ttl", run.cell_ttl(key));
    }
    note(answers, "get_many", run.get_many(&["a", "missing", "b/1"]));
    for scan in scans() {
        note(answers, "list", run.list(&scan));
        note(answers, "list_values", run.list_values(&scan));
        note(answers, "cell_list", run.cell_list(&scan));
        note(answers, "json_list", run.json_list(&scan));
    }
}

fn ask_of_events<R: Reads>(run: &R, answers: &mut Vec<String>) {
    for sequence in [0, 2, 3] {
        note(answers, "event", run.event(sequence));
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        note(answers, "events", run.events(1, 2, direction));
        note(answers, "events_by_type", run.events_by_type("call", 1, 1, direction));
    }
    note(answers, "last_events", run.last_events(2));
    note(answers, "event_count", run.event_count());
    note(answers, "first_event", run.first_event());
    note(answers, "event_head", run.event_head());
    for kind in ["call", "missing", ""] {
        note(answers, "event_count_of", run.event_count_of(kind));
        note(answers, "event_head_of", run.event_head_of(kind));
    }
    note(answers, "verify_chain", run.verify_chain());
}

fn ask_of_the_rest<R: Reads>(run: &R, answers: &mut Vec<String>) {
    for path in ["", "/stays/1", "/missing", "no pointer"] {
        note(answers, "json_get", run.json_get("trip", path));
    }
    note(answers, "json_query", run.json_query("trip", "$.stays[*]"));
    note(answers, "json_query", run.json_query("trip", "no path"));
    for number in [1, 2, 9] {
        note(answers, "trace_get", run.trace_get(id(number)));
        note(answers, "trace_children", run.trace_children(id(number), None, 9));
        note(answers, "trace_tree", run.trace_tree(id(number), 9));
    }
    let slow = TraceFilter { tag: Some("slow".into()), ..TraceFilter::default() };
    note(answers, "trace_list", run.trace_list(&slow, None, 1, Direction::Reverse));
    note(answers, "first_trace", run.first_trace());
    note(answers, "trace_count", run.trace_count(None));
    note(answers, "trace_count", run.trace_count(Some("thought")));
    note(answers, "info", run.info());
    note(answers, "receipt", run.receipt(REMEMBERED));
    note(answers, "receipt", run.receipt(OperationId([8; 16])));
    let of = run.run_id();
    let things = [
        EntityRef::kv(of, "a"),
        EntityRef::event(of, 1),
        EntityRef::cell(of, "cell"),
        EntityRef::json(of, "trip"),
        EntityRef::trace(of, id(1)),
        EntityRef::run(of),
        EntityRef::kv(of, "missing"),
    ];
    things.iter().for_each(|thing| note(answers, "stat", run.stat(thing)));
}
