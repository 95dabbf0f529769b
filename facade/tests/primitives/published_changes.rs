//! Reads without messages, change by change: whatever a commit changes is read as it is, by who reads what is published too.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use strata::{
    Database, Direction, Durability, EntityRef, ErasedVersions, Error, ErrorKind, KvScan, NewTrace, Pipeline,
    Reads, Retention, RunHandle, RunSpec, RunStatus, Timestamp, TraceContent, TraceEnd, TraceId, Value,
    Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use super::published_reads::{reads_of, text, warm};
use crate::support::gate::{Gate, Opener, open_gated, under_way};
use crate::support::held::HeldShard;
use crate::support::{TestClock, eventually, one_run, one_run_on, open_on, options};

const KEEP_ONE: Retention = Retention::KeepLast(1);

fn trace(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16])
}

fn thought(number: u8) -> NewTrace {
    NewTrace::new(trace(number), TraceContent::Thought { text: "hm".to_owned(), confidence: None })
}

/// Some of everything.
fn fill(run: &RunHandle) {
    run.put("city", "Oslo").unwrap();
    run.put_with_ttl("lease", 1, Duration::from_secs(60)).unwrap();
    run.cell_init("state", 7).unwrap();
    run.json_create("plan", Value::from([("steps", Value::from(5))])).unwrap();
    run.append("said", 1).unwrap();
    run.append("said", 2).unwrap();
    run.trace_record(thought(1)).unwrap();
    run.trace_begin(thought(2)).unwrap();
    run.trace_record(thought(3)).unwrap();
}

type Write = fn(&Database, &RunHandle) -> Result<(), Error>;

/// All that a commit may do to a run.
const WRITES: [(&str, Write); 23] = [
    ("put", |_, run| run.put("city", "Bergen").map(drop)),
    ("delete", |_, run| run.delete("city").map(drop)),
    ("set_deadline", |_, run| run.set_deadline("city", Timestamp(2_000_000)).map(drop)),
    ("clear_deadline", |_, run| run.clear_deadline("lease").map(drop)),
    ("cell_set", |_, run| run.cell_set("state", 8).map(drop)),
    ("cell_delete", |_, run| run.cell_delete("state").map(drop)),
    ("json_set", |_, run| run.json_set("plan", "/steps", 6).map(drop)),
    ("json_destroy", |_, run| run.json_destroy("plan").map(drop)),
    ("append", |_, run| run.append("said", 3).map(drop)),
    ("trace_record", |_, run| run.trace_record(thought(4)).map(drop)),
    ("trace_end", |_, run| run.trace_end(trace(2), TraceEnd::default()).map(drop)),
    ("set_retention", |_, run| run.set_retention(KEEP_ONE).map(drop)),
    ("set_event_retention", |_, run| run.set_event_retention(KEEP_ONE).map(drop)),
    ("set_trace_retention", |_, run| run.set_trace_retention(KEEP_ONE).map(drop)),
    ("keeping more events", |_, run| run.set_event_retention(Retention::KeepLast(9)).map(drop)),
    ("keeping more traces", |_, run| run.set_trace_retention(Retention::KeepLast(9)).map(drop)),
    ("update_status", |_, run| run.update_status(RunStatus::Paused).map(drop)),
    ("set_tags", |_, run| run.set_tags(["tag"]).map(drop)),
    ("set_metadata", |_, run| run.set_metadata(7).map(drop)),
    ("erasing a key", |_, run| {
        run.erase(&EntityRef::kv(run.id(), "city"), ErasedVersions::All, "asked for").map(drop)
    }),
    ("erasing an event", |_, run| {
        run.erase(&EntityRef::event(run.id(), 0), ErasedVersions::All, "asked for").map(drop)
    }),
    ("deleting it", |_, run| run.delete_run().map(drop)),
    ("deleting it and beginning it anew", |database, run| {
        run.delete_run()?;
        database.create_run(RunSpec::named("run")).map(drop)
    }),
];

fn told<T: Debug>(answer: Result<T, Error>) -> String {
    format!("{answer:?}")
}

/// What of a run a read tells.
type Read = fn(&RunHandle) -> String;

const READS: [(&str, Read); 27] = [
    ("get", |run| told(run.get("city"))),
    ("ttl", |run| told(run.ttl("city"))),
    ("ttl of what has one", |run| told(run.ttl("lease"))),
    ("list", |run| told(run.list(&KvScan::default()))),
    ("list_values", |run| told(run.list_values(&KvScan::default()))),
    ("count", |run| told(run.count(""))),
    ("visit_values", |run| {
        let mut keys = Vec::new();
        let seen = run.visit_values(&KvScan::default(), &mut |found| keys.push(found.key.to_owned()));
        told(seen.map(|seen| (seen, keys)))
    }),
    ("cell_read", |run| told(run.cell_read("state"))),
    ("cell_ttl", |run| told(run.cell_ttl("state"))),
    ("json_get", |run| told(run.json_get("plan", "/steps"))),
    ("json_list", |run| told(run.json_list(&KvScan::default()))),
    ("event", |run| told(run.event(0))),
    ("an event that comes next", |run| told(run.event(2))),
    ("events", |run| told(run.events(0, 10, Direction::Forward))),
    ("last_events", |run| told(run.last_events(10))),
    ("visit_last_events", |run| {
        let mut payloads = Vec::new();
        let seen = run.visit_last_events(10, &mut |event| payloads.push(event.payload.as_int()));
        told(seen.map(|seen| (seen, payloads)))
    }),
    ("trace_get", |run| told(run.trace_get(trace(1)))),
    ("trace_get of a span", |run| told(run.trace_get(trace(2)))),
    ("trace_get of one that comes next", |run| told(run.trace_get(trace(4)))),
    ("trace_count", |run| told(run.trace_count(None))),
    ("info", |run| told(run.info())),
    ("stat of a key", |run| told(run.stat(&EntityRef::kv(run.id(), "city")))),
    ("stat of a cell", |run| told(run.stat(&EntityRef::cell(run.id(), "state")))),
    ("stat of an event", |run| told(run.stat(&EntityRef::event(run.id(), 0)))),
    ("stat of a trace", |run| told(run.stat(&EntityRef::trace(run.id(), trace(1))))),
    ("stat of the run", |run| told(run.stat(&EntityRef::run(run.id())))),
    ("info of a snapshot", |run| told(run.snapshot().and_then(|snapshot| snapshot.info()))),
];

/// Each read is asked of a run that is published as it was before, so that none goes by message for what another one found changed.
#[test]
fn whatever_a_commit_changes_is_read_as_who_asks_for_the_first_time_reads_it() {
    for (change, write) in WRITES {
        for (question, read) in READS {
            let (database, run) = one_run_on(&TestClock::at(1_000_000));
            fill(&run);
            warm(&database, &run);
            eventually("it is published with what the read needs", || {
                reads_of(&database, || drop(read(&run))) == 0
            });
            write(&database, &run).unwrap();
            let found = read(&run);
            assert_eq!(found, read(&database.run(run.id())), "{question} behind {change}");
        }
    }
}

#[test]
fn who_takes_up_a_run_is_seen_by_who_reads_what_is_published() {
    let disk = SimDisk::new(4);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let id = database.begin_run(RunSpec::named("run")).unwrap().id();
    let after = disk.power_cycle(4);
    drop(database);
    let database = open_on(&after, options(Durability::Strict, 1)).unwrap();
    let run = database.run(id);
    eventually("the run is published", || reads_of(&database, || drop(run.info())) == 0);
    assert!(run.info().unwrap().orphaned);
    database.begin_run(RunSpec::named("run")).unwrap();
    assert!(!run.info().unwrap().orphaned);
}

#[test]
fn keys_are_listed_by_their_shard_until_it_has_published_them_in_order() {
    let all = KvScan::default();
    let list: Read = |run| told(run.list(&KvScan::default()));
    let visit: Read = |run| told(run.visit_values(&KvScan::default(), &mut |_| {}));
    for read in [list, visit] {
        let (database, run) = one_run();
        fill(&run);
        warm(&database, &run);
        assert_eq!(reads_of(&database, || drop(read(&run))), 1, "nobody has asked for their order yet");
        eventually("they are published in order", || reads_of(&database, || drop(read(&run))) == 0);
        assert_eq!(run.list(&all).unwrap().keys, ["city", "lease"]);
    }
}

/// The cleaner of a shard that has messages to serve waits a while, by its clock, before it cleans again: so what expires meanwhile is
/// still in the run.
#[test]
fn a_clock_that_is_set_back_brings_back_nothing_that_has_expired_and_is_not_cleaned_yet() {
    let (second, millis) = (Duration::from_secs(1), Duration::from_millis(1));
    let clock = TestClock::at(1_000_000);
    let (database, run) = one_run_on(&clock);
    let expired = || database.stats().unwrap().shards[0].expired;
    run.put_with_ttl("first", 1, second).unwrap();
    run.put_with_ttl("second", 1, second + 5 * millis).unwrap();
    let held = HeldShard::of(&run);
    clock.advance(second);
    let (mut pipeline, mut batch) = (Pipeline::new(1), run.batch());
    batch.put("other", 1).unwrap();
    pipeline.send(&run, batch).unwrap();
    held.let_go();
    pipeline.receive().unwrap().unwrap();
    eventually("the first key is cleaned", || expired() == 1);
    warm(&database, &run);
    assert!(run.get("second").unwrap().is_some());
    clock.advance(5 * millis);
    run.put("other", 2).unwrap();
    clock.set(1_500_000);
    assert_eq!(reads_of(&database, || assert_eq!(run.get("second").unwrap(), None)), 0);
    warm(&database, &run);
    assert_eq!(reads_of(&database, || assert_eq!(run.get("second").unwrap(), None)), 0, "published anew");
    assert_eq!(expired(), 1, "it is there still");
}

/// A run whose picture a snapshot shows, and that snapshot.
fn pinned(database: &Database) -> (RunHandle, strata::Snapshot) {
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("name", "Ada").unwrap();
    warm(database, &run);
    let snapshot = run.snapshot().unwrap();
    assert_eq!(database.stats().unwrap().shards[0].pinned, 1);
    (run, snapshot)
}

fn erase(run: &RunHandle) -> Result<(), Error> {
    run.erase(&EntityRef::kv(run.id(), "name"), ErasedVersions::All, "asked for").map(drop)
}

#[test]
fn an_erasure_shows_in_a_snapshot_once_it_is_durable() {
    let gate = Arc::new(Gate::new());
    let database = open_gated(&SimDisk::new(5), &gate, Durability::Strict);
    let (run, snapshot) = pinned(&database);
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let erased = under_way(scope, &database, || erase(&run));
        assert_eq!(text(&snapshot, "name").as_deref(), Some("Ada"), "a crash could take it back");
        gate.open();
        erased.recv().unwrap().unwrap();
        assert_eq!(snapshot.get("name").unwrap().unwrap().value, Value::Erased);
    });
}

#[test]
fn an_erasure_that_a_failed_log_takes_back_shows_in_no_snapshot() {
    let disk = SimDisk::new(6);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let (run, snapshot) = pinned(&database);
    disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
    assert_eq!(erase(&run).unwrap_err().kind(), ErrorKind::LogFailed);
    for _ in 0..10 {
        assert_eq!(database.run(run.id()).get("name").unwrap().unwrap().value, Value::from("Ada"));
        assert_eq!(text(&snapshot, "name").as_deref(), Some("Ada"));
    }
}
