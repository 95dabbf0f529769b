//! Large values that are on disk: a comparison reads none where something else tells, and says when one cannot be read.
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use strata_primitives::diff::*;
use strata_primitives::*;
use support::world::{World, image_of};
use support::{encoded, run_id, trace_id};

fn text(name: &str) -> Encoded {
    encoded(format!("{name}:").repeat(LARGE_VALUE_SIZE / name.len()))
}

fn put(key: &str, value: Encoded) -> Operation {
    Operation::KvPut { key: key.into(), value, deadline: Deadline::None }
}

/// A run with large values of every primitive that is compared by value.
fn filled(id: RunId) -> World {
    let mut world = World::under(id);
    let content = TraceContent::Thought { text: "t".repeat(LARGE_VALUE_SIZE), confidence: None };
    let trace = NewTrace { began: Some(Timestamp(5)), ..NewTrace::new(trace_id(1), content) };
    let (name, value, deadline): (Key, _, _) = ("cell".into(), text("cell"), Deadline::None);
    world
        .write(vec![
            Operation::RunCreate { spec: Box::default() },
            put("key", text("key")),
            put("small", encoded(1)),
            Operation::CellSet { name, value, deadline },
            Operation::EventAppend { kind: "k".into(), payload: text("event"), salt: [7; 16] },
            Operation::TraceRecord { trace: Box::new(trace) },
        ])
        .unwrap();
    world
}

/// The run of its image, without its large values; each read of one is counted, and fails where there are none left.
fn left(state: &RunState, reads: &Arc<AtomicUsize>, is_readable: bool) -> RunState {
    let image = Arc::new(image_of(state));
    let mut load = ImageLoad::flat(state.id(), 3);
    let leave = |range: std::ops::Range<usize>| {
        let (image, reads) = (Arc::clone(&image), Arc::clone(reads));
        Some(ReadValue::new(move || {
            reads.fetch_add(1, Ordering::Relaxed);
            match is_readable {
                true => Ok(Encoded::from_canonical(&image[range.clone()])),
                false => Err(Error::new(ErrorKind::Io, "the device is gone")),
            }
        }))
    };
    load.take_leaving(&image, leave).unwrap();
    load.finish().unwrap()
}

#[test]
fn nothing_is_read_of_what_is_shared_or_was_written_by_the_same_commit_of_the_same_run() {
    let (mut world, reads) = (filled(run_id()), Arc::default());
    let before = left(&world.state, &reads, false);
    world.now += 10;
    world.write(vec![put("small", encoded(2)), Operation::KvDelete { key: "none".into() }]).unwrap();
    // The same values: here, on disk, and in another file on disk; of a fork too.
    let fork = world.fork(RunId::from_bytes([8; 16])).unwrap();
    let fork_left = left(&fork.state, &reads, false);
    for after in [&world.state, &left(&world.state, &reads, false), &fork.state, &fork_left] {
        let found = diff(&before, after, None, 100).unwrap().differences;
        assert!(
            matches!(&found[..], [Difference::Key(key)] if &*key.key == "small"),
            "{} found",
            found.len()
        );
    }
    // A value whose deadline alone was moved was not written again.
    let deadline = Deadline::At(Timestamp(9_000));
    world.write(vec![Operation::KvSetDeadline { key: "key".into(), deadline }]).unwrap();
    let found = diff(&before, &left(&world.state, &reads, false), None, 1).unwrap().differences;
    assert!(matches!(&found[..], [Difference::Key(key)] if &*key.key == "key"), "{} found", found.len());
    let operations = operations(&before, &left(&world.state, &reads, false), Timestamp(1_010)).unwrap();
    assert!(
        matches!(&operations[..], [Operation::KvSetDeadline { .. }, Operation::KvPut { key, .. }] if &**key == "small"),
        "{} operations",
        operations.len()
    );
    assert_eq!(reads.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_to_be_put_is_read() {
    let (mut world, reads) = (filled(run_id()), Arc::default());
    let before = world.state.share();
    world.write(vec![put("key", text("another"))]).unwrap();
    let is_put =
        |operation: &Operation| matches!(operation, Operation::KvPut { value, .. } if !value.is_unread());
    let operations_of = |after: &RunState| operations(&before, after, Timestamp(1_010));
    assert!(operations_of(&left(&world.state, &reads, true)).unwrap().iter().all(is_put));
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    let error = operations_of(&left(&world.state, &reads, false)).unwrap_err();
    assert_eq!(error.to_string(), format!("io: the device is gone (kv:{}/key)", run_id()));
}

#[test]
fn values_of_runs_that_have_nothing_in_common_are_read_where_size_and_kind_are_the_same() {
    let (one, other) = (filled(run_id()), filled(RunId::from_bytes([8; 16])));
    let (reads, none) = (Arc::default(), Arc::default());
    let (one, other) = (left(&one.state, &reads, true), left(&other.state, &none, true));
    let found = diff(&one, &other, None, 100).unwrap().differences;
    assert_eq!(found, [], "they hold the same");
    // A key, a cell, and a trace; events are told by their hashes.
    assert_eq!((reads.load(Ordering::Relaxed), none.load(Ordering::Relaxed)), (3, 3));
}

#[test]
fn values_of_another_size_or_hash_are_not_read_to_be_different() {
    let (one, mut other) = (filled(run_id()), filled(RunId::from_bytes([8; 16])));
    let turned = |name: &str| encoded(format!(":{name}").repeat(LARGE_VALUE_SIZE / name.len()));
    let (name, value, deadline): (Key, _, _) = ("cell".into(), text("longer"), Deadline::None);
    other.write(vec![put("key", turned("key")), Operation::CellSet { name, value, deadline }]).unwrap();
    let reads = Arc::default();
    let (one, other) = (left(&one.state, &reads, false), left(&other.state, &reads, false));
    let found = diff(&one, &other, None, 2).unwrap().differences;
    assert!(matches!(&found[..], [Difference::Key(_), Difference::Cell(_)]), "{} found", found.len());
    assert_eq!(reads.load(Ordering::Relaxed), 0);
}

/// A store and its copy: a commit of one number and time wrote another value in each.
#[test]
fn what_two_commits_of_one_number_and_time_wrote_differs_and_is_not_read_for_that() {
    let turned = |name: &str| {
        encoded(format!("{name}:").repeat(LARGE_VALUE_SIZE / name.len()).replacen(name, "yek", 1))
    };
    let (mut here, mut there) = (filled(run_id()), filled(run_id()));
    here.write(vec![put("key", text("key"))]).unwrap();
    there.write(vec![put("key", turned("key"))]).unwrap();
    let reads = Arc::default();
    let there = left(&there.state, &reads, false);
    for (before, after) in [(&here.state, &there), (&there, &here.state)] {
        let found = diff(before, after, None, 100).unwrap().differences;
        assert!(matches!(&found[..], [Difference::Key(key)] if &*key.key == "key"), "{} found", found.len());
    }
    assert_eq!(reads.load(Ordering::Relaxed), 0);
}

#[test]
fn a_deadline_alone_is_moved_only_where_the_value_is_the_same() {
    let (mut here, mut there) = (filled(run_id()), filled(run_id()));
    let deadline = Deadline::At(Timestamp(9_000));
    here.write(vec![put("key", text("key"))]).unwrap();
    there.write(vec![put("key", text("yek"))]).unwrap();
    here.write(vec![Operation::KvSetDeadline { key: "key".into(), deadline }]).unwrap();
    let there = left(&there.state, &Arc::default(), true);
    let operations = operations(&here.state, &there, Timestamp(1_010)).unwrap();
    assert!(
        matches!(&operations[..], [Operation::KvPut { value, .. }] if *value == text("yek")),
        "{operations:?}"
    );
}

#[test]
fn no_page_of_no_differences_is_made() {
    let one = filled(run_id());
    let error = diff(&one.state, &one.state, None, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_that_names_its_thing() {
    let (one, other) = (filled(run_id()), filled(RunId::from_bytes([8; 16])));
    let reads = Arc::default();
    let (one, broken) = (left(&one.state, &reads, true), left(&other.state, &reads, false));
    let error = diff(&one, &broken, None, 100).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "the device is gone"));
    assert_eq!(error.entity(), Some(&EntityRef::kv(other.state.id(), "key")));
}
