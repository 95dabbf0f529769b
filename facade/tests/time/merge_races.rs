//! Merges and reverts while others write.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::versions::{call, disk, now, open_at, thought};
use crate::support::{options, seed};
use strata::{Durability, EntityRef, Merge, Reads, Retention, RunSpec, TraceEnd, Value, Writes, new_trace};

#[test]
fn tags_are_reverted_while_others_write_other_things() {
    let disk = disk(seed());
    let database = open_at(&disk, "store", options(Durability::Buffered, 1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.set_tags(["one"]).unwrap();
    let version = run.info().unwrap().version;
    let stop = AtomicBool::new(false);
    let failed = std::thread::scope(|threads| {
        for thread in 0..8 {
            let (run, stop) = (&run, &stop);
            threads.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    run.put(&format!("noise/{thread}"), 1).unwrap();
                }
            });
        }
        let mut failed = Vec::new();
        for _ in 0..60 {
            run.set_tags(["two"]).unwrap();
            failed.extend(run.revert_entity(&EntityRef::run(run.id()), version).err());
        }
        stop.store(true, Ordering::Relaxed);
        failed
    });
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_merge_of_an_event_ends_while_others_append() {
    let disk = disk(seed());
    let database = open_at(&disk, "store", options(Durability::Buffered, 1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let stop = AtomicBool::new(false);
    let bad = std::thread::scope(|threads| {
        for _ in 0..8 {
            let (run, stop) = (&run, &stop);
            threads.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    run.trace_record(new_trace(thought("noise"))).unwrap();
                }
            });
        }
        let mut bad = 0;
        for _ in 0..30 {
            let base = now(&run);
            let fork = run.fork().unwrap();
            fork.append("e", 1).unwrap();
            bad += u32::from(run.merge(&Merge { base: Some(&base), ..Merge::of(&fork) }).is_err());
        }
        stop.store(true, Ordering::Relaxed);
        bad
    });
    assert_eq!(bad, 0, "merges of one event failed, though nobody but they appends events");
}

#[test]
fn a_span_that_goes_while_its_end_is_merged_is_decided_again() {
    let disk = disk(seed());
    let database = open_at(&disk, "store", options(Durability::Buffered, 1));
    let mut bad = Vec::new();
    for _ in 0..400 {
        let run = database.create_run(RunSpec::default()).unwrap();
        run.set_trace_retention(Retention::KeepLast(3)).unwrap();
        let (span, _) = run.trace_begin(new_trace(call("t"))).unwrap();
        let base = now(&run);
        let fork = run.fork().unwrap();
        fork.trace_end(span, TraceEnd::default()).unwrap();
        for key in 0..50 {
            fork.put(&format!("k{key}"), 1).unwrap();
        }
        std::thread::scope(|threads| {
            threads.spawn(|| {
                (0..4).for_each(|_| {
                    run.trace_record(new_trace(thought("x"))).unwrap();
                })
            });
            if let Err(error) = run.merge(&Merge { base: Some(&base), ..Merge::of(&fork) }) {
                bad.push(error.to_string());
            }
        });
    }
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn one_fork_that_many_merge_at_once_is_merged_once() {
    let disk = disk(seed());
    let database = open_at(&disk, "store", options(Durability::Buffered, 1));
    for _ in 0..50 {
        let run = database.create_run(RunSpec::default()).unwrap();
        run.json_create("doc", Value::Object(vec![])).unwrap();
        let base = now(&run);
        let fork = run.fork().unwrap();
        fork.append("e", 1).unwrap();
        fork.put("k", 1).unwrap();
        fork.json_set("doc", "/a", 1).unwrap();
        fork.trace_record(new_trace(thought("x"))).unwrap();
        std::thread::scope(|threads| {
            for _ in 0..6 {
                threads.spawn(|| run.merge(&Merge { base: Some(&base), ..Merge::of(&fork) }).unwrap());
            }
        });
        assert_eq!((run.event_count().unwrap().value, run.trace_count(None).unwrap().value), (1, 1));
        assert_eq!(run.info().unwrap().version.0, 3);
    }
}
