//! The event log of a run, as an application sees it.

use std::collections::HashSet;

use strata::{
    Database, Direction, Durability, ErrorKind, Event, EventPage, OperationId, Reads, RunHandle, RunSpec,
    Value, Version, Writes,
};

use crate::support::{TestClock, options, script};

fn store() -> (Database, RunHandle) {
    let database = Database::in_memory().unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}

/// Events 0..count; every third is a `thought`, the others are `call`s.
fn fill(run: &RunHandle, count: i64) {
    for number in 0..count {
        let kind = if number % 3 == 0 { "thought" } else { "call" };
        let appended = run.append(kind, number).unwrap();
        assert_eq!((appended.sequence, appended.commit.version), (number as u64, Version(number as u64 + 2)));
    }
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

#[test]
fn events_are_numbered_without_gaps_and_read_back_whole() {
    let (_database, run) = store();
    assert_eq!(run.event_head().unwrap(), None);
    assert_eq!(run.event_count().unwrap().value, 0);
    let payload = Value::from([("tool", "search".into()), ("hits", 3.into())]);
    let appended = run.append("call", payload.clone()).unwrap();
    let event = run.event(0).unwrap().unwrap();
    assert_eq!((event.sequence, event.kind.as_str(), &event.payload), (0, "call", &payload));
    assert_eq!((event.version, event.timestamp), (appended.commit.version, appended.commit.timestamp));
    assert_eq!(run.event(1).unwrap(), None);
    assert_eq!(run.event(u64::MAX).unwrap(), None);
}

#[test]
fn several_events_are_appended_in_one_commit() {
    let (_database, run) = store();
    run.append("first", 0).unwrap();
    let many = run.append_many([("a", 1), ("b", 2), ("a", 3)]).unwrap().unwrap();
    assert_eq!((many.sequence, many.count, many.commit.version), (1, 3, Version(3)));
    assert_eq!(run.append_many(Vec::<(&str, i64)>::new()).unwrap(), None);
    let page = run.events(0, 10, Direction::Forward).unwrap();
    assert_eq!(sequences(&page.events), [0, 1, 2, 3]);
    assert!(page.events[1..].iter().all(|event| event.version == Version(3)));
    assert_eq!(page.version, Version(3));
}

#[test]
fn pages_run_in_both_directions_and_name_where_the_next_begins() {
    let (_database, run) = store();
    fill(&run, 600);
    let page = run.events(0, 250, Direction::Forward).unwrap();
    assert_eq!((page.events.len(), page.next), (250, Some(250)));
    let page = run.events(500, 250, Direction::Forward).unwrap();
    assert_eq!((page.events.len(), page.next), (100, None));
    let page = run.events(10, 4, Direction::Reverse).unwrap();
    assert_eq!((sequences(&page.events), page.next), (vec![10, 9, 8, 7], Some(6)));
    let page = run.events(2, 10, Direction::Reverse).unwrap();
    assert_eq!((sequences(&page.events), page.next), (vec![2, 1, 0], None));
    let page = run.last_events(3).unwrap();
    assert_eq!((sequences(&page.events), page.next), (vec![599, 598, 597], Some(596)));
    assert!(run.events(600, 10, Direction::Forward).unwrap().events.is_empty());
    assert_eq!(run.events(0, 0, Direction::Forward).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn walking_all_pages_meets_every_event_once() {
    let (_database, run) = store();
    fill(&run, 100);
    type Page<'a> = &'a dyn Fn(u64, Direction) -> strata::Result<EventPage>;
    let all: Page<'_> = &|start, direction| run.events(start, 7, direction);
    let calls: Page<'_> = &|start, direction| run.events_by_type("call", start, 7, direction);
    for (pages, expected) in [(all, 100), (calls, 66)] {
        for (first, direction) in [(0, Direction::Forward), (u64::MAX, Direction::Reverse)] {
            let mut seen = Vec::new();
            let mut next = Some(first);
            while let Some(start) = next {
                let page = pages(start, direction).unwrap();
                seen.extend(sequences(&page.events));
                next = page.next;
            }
            assert_eq!(seen.iter().collect::<HashSet<_>>().len(), expected, "none twice");
            assert_eq!(seen.len(), expected);
            assert!(seen.is_sorted() || seen.iter().rev().is_sorted(), "in order");
        }
    }
}

#[test]
fn a_type_has_its_own_count_head_and_pages() {
    let (_database, run) = store();
    fill(&run, 10);
    assert_eq!(run.event_count().unwrap().value, 10);
    assert_eq!(run.event_count_of("thought").unwrap().value, 4);
    assert_eq!(run.event_count_of("missing").unwrap().value, 0);
    assert_eq!(run.event_head().unwrap().unwrap().sequence, 9);
    assert_eq!(run.event_head_of("call").unwrap().unwrap().sequence, 8);
    assert_eq!(run.event_head_of("missing").unwrap(), None);
    let page = run.events_by_type("thought", 1, 2, Direction::Forward).unwrap();
    assert_eq!((sequences(&page.events), page.next), (vec![3, 6], Some(9)));
    let page = run.events_by_type("thought", 8, 5, Direction::Reverse).unwrap();
    assert_eq!((sequences(&page.events), page.next), (vec![6, 3, 0], None));
    let page = run.events_by_type("missing", 0, 5, Direction::Forward).unwrap();
    assert!(page.events.is_empty() && page.next.is_none());
}

#[test]
fn an_aborted_batch_burns_no_sequence() {
    let (_database, run) = store();
    run.append("a", 0).unwrap();
    let mut batch = run.batch();
    batch
        .append("a", 1)
        .unwrap()
        .append("a", 2)
        .unwrap()
        .put("n", "word")
        .unwrap()
        .increment("n", 1)
        .unwrap();
    assert_eq!(run.commit(batch).unwrap_err().kind(), ErrorKind::WrongType);
    assert_eq!(run.append("a", 3).unwrap().sequence, 1);
    assert!(run.verify_chain().unwrap().valid);
}

#[test]
fn the_chain_links_every_event_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    fill(&run, 300);
    run.append("same", 1).unwrap();
    run.append("same", 1).unwrap();
    let before = run.events(0, 1000, Direction::Forward).unwrap().events;
    let hashes: HashSet<_> = before.iter().map(|event| event.hash).collect();
    assert_eq!(hashes.len(), 302, "equal events hash differently");
    let report = run.verify_chain().unwrap();
    assert_eq!((report.valid, report.length, report.first_invalid, report.erased), (true, 302, None, 0));
    database.close().unwrap();

    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = database.run(script::id_of("run"));
    assert_eq!(run.events(0, 1000, Direction::Forward).unwrap().events, before, "hashes and times come back");
    assert!(run.verify_chain().unwrap().valid);
    assert_eq!(run.append("after", 1).unwrap().sequence, 302, "the numbering goes on");
    assert!(run.verify_chain().unwrap().valid, "the chain goes on across a reopening");
    assert_eq!(run.event_count_of("call").unwrap().value, 200, "the types are known again");
}

#[test]
fn the_events_of_one_run_know_nothing_of_another() {
    let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let runs = ["a", "b"].map(|name| database.create_run(RunSpec::named(name)).unwrap());
    runs[0].append("x", 1).unwrap();
    assert_eq!(runs[1].append("x", 1).unwrap().sequence, 0);
    assert_eq!(runs[1].event_count().unwrap().value, 1);
}

#[test]
fn a_resent_append_is_one_event_after_a_reopening_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let id = OperationId(*b"pay order 120 EU");
    let database = Database::open(&path, options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let first = run.with_operation_id(id).append("pay", 120).unwrap();
    let many = run.with_operation_id(OperationId([9; 16]));
    let three = many.append_many([("a", 1), ("b", 2), ("c", 3)]).unwrap();
    database.close().unwrap();

    let database = Database::open(&path, options(Durability::Strict, 1)).unwrap();
    let run = database.run(script::id_of("run"));
    assert_eq!(run.with_operation_id(id).append("pay", 120).unwrap(), first);
    let many = run.with_operation_id(OperationId([9; 16]));
    assert_eq!(many.append_many([("a", 1), ("b", 2), ("c", 3)]).unwrap(), three);
    assert_eq!(run.event_count().unwrap().value, 4);
}

#[test]
fn events_carry_the_time_of_their_commit() {
    let clock = TestClock::at(7_000_000);
    let database = Database::start(None, options(Durability::InMemory, 1), clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.append("a", 1).unwrap();
    clock.set(9_000_000);
    run.append("a", 2).unwrap();
    let times: Vec<_> = run.last_events(2).unwrap().events.iter().map(|event| event.timestamp.0).collect();
    assert_eq!(times, [9_000_000, 7_000_000]);
}
