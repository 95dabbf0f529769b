//! What is awaited is answered as what is waited for: the same words, the same answers, the same errors.

use std::collections::BTreeSet;
use std::time::Duration;

use pollster::block_on;
use strata::{
    AsyncReads, AsyncRunHandle, AsyncWrites, Condition, Deadline, Direction, EntityRef, Error, ErrorKind,
    KvScan, NewTrace, OperationId, Reads, Retention, RunHandle, RunStatus, Timestamp, TraceContent, TraceEnd,
    TraceFilter, TraceId, Value, Version, Writes,
};

use crate::support::{TestClock, one_run_on};

const NOW: u64 = 1_750_000_000_000_000;

/// The same call of both, which is answered the same.
macro_rules! same {
    ($run:ident, $twin:ident, $method:ident($($argument:expr),*)) => {{
        let waited = format!("{:?}", $run.$method($($argument),*));
        let awaited = format!("{:?}", block_on($twin.$method($($argument),*)));
        assert_eq!(waited, awaited, "{}", stringify!($method($($argument),*)));
        waited
    }};
}

fn thought(id: u8, text: &str) -> NewTrace {
    let content = TraceContent::Thought { text: text.into(), confidence: None };
    NewTrace::new(TraceId::from_bytes([id; 16]), content)
}

fn call(id: u8) -> NewTrace {
    let (name, arguments) = ("search".into(), Value::Int(1));
    let content = TraceContent::ToolCall { name, arguments, result: None, error: None };
    NewTrace::new(TraceId::from_bytes([id; 16]), content)
}

/// Every write, where it succeeds and where it is refused. Events have salts of their own, so no two runs have the same hashes.
fn write_everything(run: &RunHandle, twin: &AsyncRunHandle) {
    let later = Timestamp(NOW + 3_600_000_000);
    same!(run, twin, put("a", 1));
    same!(run, twin, put("", 1));
    same!(run, twin, put_with_ttl("ttl", "x", Duration::from_secs(60)));
    same!(run, twin, put_until("until", true, later));
    same!(run, twin, put_many([("a", 2), ("b", 3)]));
    same!(run, twin, put_many(Vec::<(String, Value)>::new()));
    same!(run, twin, put_if("a", 4, Condition::Absent));
    same!(run, twin, put_if("new", 4, Condition::Absent));
    same!(run, twin, delete("b"));
    same!(run, twin, delete("b"));
    same!(run, twin, increment("a", 5));
    same!(run, twin, increment("ttl", 5));
    same!(run, twin, set_deadline("a", later));
    same!(run, twin, set_deadline("none", later));
    same!(run, twin, clear_deadline("a"));
    same!(run, twin, delete_prefix("n"));
    same!(run, twin, append("step", 1));
    same!(run, twin, append("", 1));
    same!(run, twin, append_many([("step", 2), ("other", 3)]));
    same!(run, twin, append_many(Vec::<(String, Value)>::new()));
    same!(run, twin, cell_init("cell", 1));
    same!(run, twin, cell_init("cell", 1));
    same!(run, twin, cell_init_expiring("lease", 1, Deadline::At(later)));
    same!(run, twin, cell_set("cell", 2));
    same!(run, twin, cell_set_expiring("cell", 2, Deadline::In(Duration::from_secs(9))));
    same!(run, twin, cell_cas("cell", Version(1), 2));
    same!(run, twin, cell_cas_expiring("cell", Version(1), 2, Deadline::None));
    same!(run, twin, cell_delete("cell"));
    same!(run, twin, cell_delete("cell"));
    let plan = || Value::from([("list", Value::Array(vec![Value::Int(1)])), ("at", Value::Int(1))]);
    same!(run, twin, json_create("plan", plan()));
    same!(run, twin, json_create("plan", plan()));
    same!(run, twin, json_set("plan", "/at", 2));
    same!(run, twin, json_set("plan", "no pointer", 2));
    same!(run, twin, json_cas("plan", Version(1), "/at", 2));
    same!(run, twin, json_append("plan", "/list", 2));
    same!(run, twin, json_merge("plan", "", Value::from([("more", Value::Int(1))])));
    same!(run, twin, json_patch("plan", &Value::Array(Vec::new())));
    same!(run, twin, json_patch("plan", &Value::Int(1)));
    same!(run, twin, json_delete("plan", "/more"));
    same!(run, twin, json_delete("plan", "/more"));
    same!(run, twin, json_create("gone", 1));
    same!(run, twin, json_destroy("gone"));
    same!(run, twin, trace_record(thought(1, "hm")));
    same!(run, twin, trace_record(thought(1, "hm")));
    same!(run, twin, trace_begin(call(2)));
    same!(run, twin, trace_end(TraceId::from_bytes([2; 16]), TraceEnd::default()));
    same!(run, twin, trace_end(TraceId::from_bytes([3; 16]), TraceEnd::default()));
    same!(run, twin, set_tags(["a", "b"]));
    same!(run, twin, set_metadata(Value::Int(7)));
    same!(run, twin, set_retention(Retention::KeepAll));
    same!(run, twin, set_event_retention(Retention::KeepLast(2)));
    same!(run, twin, set_trace_retention(Retention::KeepLast(0)));
    same!(run, twin, update_status(RunStatus::Paused));
    same!(run, twin, put("a", 1));
    same!(run, twin, resume());
    same!(run, twin, resume());
    same!(run, twin, end(RunStatus::Active));
}

/// Every read, of what is there and of what is not.
fn read_everything(run: &impl Reads, twin: &impl AsyncReads) {
    same!(run, twin, get("a"));
    same!(run, twin, get("none"));
    same!(run, twin, get(""));
    same!(run, twin, get_encoded("a"));
    same!(run, twin, get_encoded("none"));
    same!(run, twin, get_many(&["a", "none", "ttl"]));
    same!(run, twin, exists("a"));
    same!(run, twin, ttl("ttl"));
    same!(run, twin, ttl("none"));
    same!(run, twin, list(&KvScan::default()));
    same!(run, twin, list_values(&KvScan { limit: 1, ..KvScan::default() }));
    same!(run, twin, count(""));
    same!(run, twin, event(0));
    same!(run, twin, event(2));
    same!(run, twin, events(0, 10, Direction::Forward));
    same!(run, twin, last_events(1));
    same!(run, twin, events_by_type("step", 0, 10, Direction::Forward));
    same!(run, twin, first_event());
    same!(run, twin, event_count());
    same!(run, twin, event_count_of("step"));
    same!(run, twin, event_head());
    same!(run, twin, event_head_of("step"));
    same!(run, twin, verify_chain());
    same!(run, twin, cell_read("lease"));
    same!(run, twin, cell_read("none"));
    same!(run, twin, cell_ttl("lease"));
    same!(run, twin, cell_list(&KvScan::default()));
    same!(run, twin, json_get("plan", "/at"));
    same!(run, twin, json_get("plan", "no pointer"));
    same!(run, twin, json_query("plan", "$.list[*]"));
    same!(run, twin, json_query("plan", "no path"));
    same!(run, twin, json_query("none", "$"));
    same!(run, twin, json_list(&KvScan::default()));
    let id = TraceId::from_bytes([1; 16]);
    same!(run, twin, trace_get(id));
    same!(run, twin, trace_list(&TraceFilter::default(), None, 10, Direction::Forward));
    same!(run, twin, trace_children(id, None, 10));
    same!(run, twin, trace_tree(id, 10));
    same!(run, twin, first_trace());
    same!(run, twin, trace_count(None));
    same!(run, twin, info());
    same!(run, twin, receipt(OperationId([7; 16])));
    same!(run, twin, stat(&EntityRef::kv(run.run_id(), "a")));
}

#[test]
fn what_is_awaited_is_written_and_read_as_what_is_waited_for() {
    let clock = TestClock::at(NOW);
    let ((database, run), (twins_database, twin)) = (one_run_on(&clock), one_run_on(&clock));
    let once = |run: &RunHandle| run.with_operation_id(OperationId([7; 16]));
    let (first, second) = (once(&run), once(&twin).to_async());
    let repeated = [same!(first, second, put("once", 1)), same!(first, second, put("once", 1))];
    assert_eq!(repeated[0], repeated[1], "what the handle says of its writes goes with them");
    write_everything(&run, &twin.to_async());
    // By message at first, and from what is published once it was asked for often enough.
    for _ in 0..4 {
        read_everything(&run, &run.to_async());
        read_everything(&twin, &twin.to_async());
    }
    let (run, twin) = (run, twin.to_async());
    same!(run, twin, end(RunStatus::Completed));
    same!(run, twin, put("a", 1));
    same!(run, twin, archive());
    same!(run, twin, sync());
    same!(run, twin, delete_run());
    same!(run, twin, get("a"));
    same!(run, twin, put("a", 1));
    same!(run, twin, info());
    database.close().unwrap();
    twins_database.close().unwrap();
    same!(run, twin, put_if("a", 1, Condition::Absent));
    same!(run, twin, get("a"));
}

#[test]
fn batches_and_closures_are_awaited_as_they_are_waited_for() {
    let clock = TestClock::at(NOW);
    let ((_database, run), (_twins_database, twin)) = (one_run_on(&clock), one_run_on(&clock));
    let (twin, stranger) = (twin.to_async(), run.of_another());
    let batch = |handle: &RunHandle| {
        let mut batch = handle.batch();
        batch.put("a", 1).unwrap().increment("n", 2).unwrap().append("step", 3).unwrap();
        batch
    };
    same!(run, twin, commit(batch(&run)));
    same!(run, twin, commit(batch(&stranger)));
    let count =
        |scope: &strata::Scope<'_, '_, '_>| Ok::<_, Error>((scope.increment("n", 1)?.0, scope.get("a")?));
    same!(run, twin, execute(count));
    same!(run, twin, execute(|scope| scope.delete("none")));
    same!(run, twin, execute(|scope| scope.put("", 1)));
    let refused =
        same!(run, twin, execute(|_| -> Result<(), Error> { panic!("a closure of the test panics") }));
    assert!(refused.contains("panicked"), "{refused}");
    same!(run, twin, get("n"));
}

#[test]
fn an_awaited_snapshot_is_read_as_another_whatever_is_committed_behind_it() {
    let (_database, run) = one_run_on(&TestClock::at(NOW));
    let twin = run.to_async();
    run.with_operation_id(OperationId([7; 16])).put("a", 1).unwrap();
    run.put_with_ttl("ttl", "x", Duration::from_secs(60)).unwrap();
    run.append_many([("step", 1), ("step", 2), ("other", 3)]).unwrap();
    run.cell_init("lease", 1).unwrap();
    run.json_create(
        "plan",
        Value::from([("list", Value::Array(vec![Value::Int(1)])), ("at", Value::Int(1))]),
    )
    .unwrap();
    run.trace_record(thought(1, "hm")).unwrap();
    // Opened by the shard at first, and of what is published once it was asked for often enough.
    for round in 0..20 {
        let (waited, awaited) = (run.snapshot().unwrap(), block_on(twin.snapshot()).unwrap());
        assert_eq!(waited.stamp(), awaited.stamp());
        assert_eq!(awaited.version(), run.info().unwrap().version);
        let before = format!("{:?}", waited.get("a"));
        run.put("a", round).unwrap();
        read_everything(&waited, &awaited);
        assert_eq!(format!("{:?}", block_on(awaited.get("a"))), before);
        let (waited, awaited) = (run.at(awaited.version()), block_on(twin.at(awaited.version())));
        assert_eq!(format!("{:?}", waited.map(drop)), format!("{:?}", awaited.map(drop)));
        (0..round).for_each(|_| drop(run.event_count()));
    }
    run.delete_run().unwrap();
    let (waited, awaited) = (run.snapshot().unwrap_err(), block_on(twin.snapshot()).unwrap_err());
    assert_eq!(format!("{waited:?}"), format!("{awaited:?}"));
}

trait Another {
    fn of_another(&self) -> RunHandle;
}

impl Another for RunHandle {
    fn of_another(&self) -> RunHandle {
        self.fork().unwrap()
    }
}

#[test]
fn a_call_inside_of_a_shard_is_refused_as_one_that_waits() {
    let (_database, run) = one_run_on(&TestClock::at(NOW));
    let inside = run.to_async();
    let kinds = run.execute(move |_| {
        let kinds = [block_on(inside.put("a", 1)).unwrap_err(), block_on(inside.get("a")).unwrap_err()];
        Ok::<_, Error>(kinds.map(|error| error.kind()))
    });
    assert_eq!(kinds.unwrap().value, [ErrorKind::Unsupported; 2]);
}

/// What has no twin, each for a reason that its trait tells.
const WITHOUT_TWIN: [&str; 6] =
    ["cell_transition", "effect_get", "effects", "look_up", "visit_last_events", "visit_values"];

#[test]
fn every_method_of_the_surface_has_a_twin_or_a_reason() {
    let names = |file: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let methods = text.lines().filter_map(|line| line.strip_prefix("    fn "));
        methods.map(|line| line.split(['(', '<']).next().unwrap().to_owned()).collect()
    };
    for (waiting, awaiting) in [("reads.rs", "async_reads.rs"), ("writes.rs", "async_writes.rs")] {
        let (waiting, awaiting) = (names(waiting), names(awaiting));
        let missing: Vec<_> = waiting.difference(&awaiting).collect();
        assert!(missing.iter().all(|name| WITHOUT_TWIN.contains(&name.as_str())), "{missing:?}");
        assert!(awaiting.difference(&waiting).all(|name| name == "look_up_now"));
        assert!(waiting.len() > 30, "{waiting:?}");
    }
}
