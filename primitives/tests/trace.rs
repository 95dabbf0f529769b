//! Traces, through the public face of the crate.
mod support;

use std::time::Duration;
use strata_primitives::operation::TRACE_SCAN_MAX;
use strata_primitives::*;
use support::{Driver, run_id, trace_id as id};

fn thought(number: u64, parent: Option<u64>) -> NewTrace {
    let content = TraceContent::Thought { text: "t".into(), confidence: None };
    NewTrace { parent: parent.map(id), ..NewTrace::new(id(number), content) }
}

fn step(number: u64, parent: Option<u64>) -> NewTrace {
    let content = TraceContent::Custom { kind: "step".into(), content: Value::Null };
    NewTrace { content, ..thought(number, parent) }
}

fn record(trace: NewTrace) -> Operation {
    Operation::TraceRecord { trace: Box::new(trace) }
}

fn begin(trace: NewTrace) -> Operation {
    Operation::TraceBegin { trace: Box::new(trace) }
}

fn end(number: u64) -> Operation {
    let end = TraceEnd { result: Some(Value::Int(9)), ..TraceEnd::default() };
    Operation::TraceEnd { id: id(number), end: Box::new(end) }
}

fn list(filter: TraceFilter, start: Option<u64>, limit: usize, direction: Direction) -> Operation {
    Operation::TraceList { filter: Box::new(filter), start, limit, direction }
}

fn tree(number: u64, limit: usize) -> Operation {
    Operation::TraceTree { id: id(number), limit }
}

fn children_of(number: u64) -> TraceFilter {
    TraceFilter { parent: Some(id(number)), ..TraceFilter::default() }
}

fn of_kind(kind: &str) -> TraceFilter {
    TraceFilter { kind: Some(kind.into()), ..TraceFilter::default() }
}

fn page_of(outcome: Outcome) -> (Vec<u64>, Option<u64>) {
    match outcome {
        Outcome::Traces(page) => (page.traces.iter().map(number_of).collect(), page.next),
        other => panic!("{other:?} is not a page of traces"),
    }
}

fn number_of(trace: &Trace) -> u64 {
    (0..20_000).find(|number| id(*number) == trace.id).expect("ids are made from numbers")
}

fn get(driver: &mut Driver, number: u64) -> Option<Trace> {
    match driver.read(Operation::TraceGet { id: id(number) }) {
        Outcome::Trace(trace) => trace.map(|trace| *trace),
        other => panic!("{other:?} is not a trace"),
    }
}

fn count(driver: &mut Driver, kind: Option<&str>) -> u64 {
    match driver.read(Operation::TraceCount { kind: kind.map(Into::into) }) {
        Outcome::Count(count) => count.value,
        other => panic!("{other:?} is not a count"),
    }
}

/// Ten traces, a microsecond apart: the even ones thoughts, the odd ones open steps below the one before; those
/// from 5 on are tagged `late`.
fn ten() -> Driver {
    let mut driver = Driver::created();
    for number in 0..10 {
        driver.now += 1;
        let tags = if number < 5 { vec![] } else { vec!["late".into()] };
        let operation = match number % 2 {
            0 => record(NewTrace { tags, ..thought(number, None) }),
            _ => begin(NewTrace { tags, ..step(number, Some(number - 1)) }),
        };
        assert_eq!(driver.write(operation), (true, Effect::None));
    }
    driver
}

#[test]
fn a_recorded_trace_is_read_with_everything_it_was_written_with() {
    let mut driver = Driver::created();
    let new = NewTrace {
        tags: vec!["a".into(), "a".into()],
        metadata: 5.into(),
        usage: Usage { model: Some("m".into()), input_tokens: Some(3), output_tokens: None },
        duration: Some(Duration::from_micros(200)),
        ..thought(1, None)
    };
    driver.write(record(new.clone()));
    let trace = get(&mut driver, 1).unwrap();
    let stamp = Stamp { version: Version(2), timestamp: Timestamp(1_000) };
    assert_eq!((trace.recorded, trace.stamp, trace.parent, &*trace.kind), (stamp, stamp, None, "thought"));
    assert_eq!((trace.began, trace.ended), (Timestamp(800), Some(Timestamp(1_000))));
    assert_eq!(trace.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["a"]);
    assert_eq!(trace.parts().unwrap(), (new.content, new.usage, new.metadata));
    assert_eq!(get(&mut driver, 2), None);
}

#[test]
fn a_span_is_open_until_a_later_commit_ends_it() {
    let mut driver = Driver::created();
    driver.write(begin(step(1, None)));
    let open = get(&mut driver, 1).unwrap();
    assert!(open.is_open());
    driver.now = 1_500;
    assert_eq!(driver.write(end(1)), (true, Effect::None));
    let ended = get(&mut driver, 1).unwrap();
    assert_eq!((ended.duration(), ended.recorded), (Some(Duration::from_micros(500)), open.recorded));
    assert_eq!(ended.stamp, Stamp { version: Version(3), timestamp: Timestamp(1_500) });
    let content = Value::from([("result", Value::Int(9))]);
    assert_eq!(ended.content().unwrap(), TraceContent::Custom { kind: "step".into(), content });
}

#[test]
fn what_cannot_be_recorded_or_ended_is_refused_with_what_it_is_about() {
    let mut driver = ten();
    let version = driver.state.version();
    for (operation, kind, about, message) in [
        (
            record(thought(3, None)),
            ErrorKind::AlreadyExists,
            3,
            "the trace is there since version 5: give each an id of its own".to_owned(),
        ),
        (
            begin(step(50, Some(60))),
            ErrorKind::NotFound,
            60,
            format!("the parent of the trace {} is not in the run: record it first", id(50)),
        ),
        (end(50), ErrorKind::NotFound, 50, "the trace is not in the run: begin it before it ends".to_owned()),
        (
            end(2),
            ErrorKind::InvalidArgument,
            2,
            format!("the trace {} has ended at 1003, and ends only once", id(2)),
        ),
        (
            record(thought(50, Some(50))),
            ErrorKind::InvalidArgument,
            50,
            format!("the trace {} cannot be its own parent", id(50)),
        ),
    ] {
        let error = driver.refusal(operation);
        assert_eq!((error.kind(), error.message()), (kind, &*message));
        assert_eq!(error.entity(), Some(&EntityRef::trace(run_id(), id(about))));
    }
    assert_eq!((driver.state.version(), count(&mut driver, None)), (version, 10));
}

#[test]
fn a_span_that_takes_no_result_is_ended_without_one() {
    let mut driver = Driver::created();
    driver.write(begin(thought(1, None)));
    let error = driver.refusal(end(1));
    assert_eq!(error.entity(), Some(&EntityRef::trace(run_id(), id(1))));
    assert!(error.message().contains("ends without result"), "{error}");
    driver.write(Operation::TraceEnd { id: id(1), end: Box::default() });
    assert!(!get(&mut driver, 1).unwrap().is_open());
}

#[test]
fn pages_run_in_both_directions_and_say_where_to_go_on() {
    let mut driver = ten();
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let any = TraceFilter::default;
    let late = || TraceFilter { tag: Some("late".into()), ..any() };
    let open = |is_open| TraceFilter { is_open: Some(is_open), ..any() };
    let between = |from, to| TraceFilter { from: Some(Timestamp(from)), to: Some(Timestamp(to)), ..any() };
    for (operation, expected) in [
        (list(any(), None, 3, forward), (vec![0, 1, 2], Some(3))),
        (list(any(), Some(8), 2, forward), (vec![8, 9], None)),
        (list(any(), Some(10), 3, forward), (vec![], None)),
        (list(any(), Some(u64::MAX), 3, forward), (vec![], None)),
        (list(any(), None, 3, reverse), (vec![9, 8, 7], Some(6))),
        (list(any(), Some(1), 3, reverse), (vec![1, 0], None)),
        (list(any(), Some(u64::MAX), 1, reverse), (vec![9], Some(8))),
        (list(of_kind("step"), None, 2, forward), (vec![1, 3], Some(5))),
        (list(of_kind("step"), Some(7), 2, forward), (vec![7, 9], None)),
        (list(of_kind("step"), Some(4), 9, forward), (vec![5, 7, 9], None)),
        (list(of_kind("thought"), None, 2, reverse), (vec![8, 6], Some(4))),
        (list(of_kind("thought"), Some(1), 1, reverse), (vec![0], None)),
        (list(of_kind("none"), None, 2, reverse), (vec![], None)),
        (list(late(), None, 9, forward), (vec![5, 6, 7, 8, 9], None)),
        (list(open(true), Some(5), 9, reverse), (vec![5, 3, 1], None)),
        (list(open(false), None, 9, forward), (vec![0, 2, 4, 6, 8], None)),
        (list(children_of(4), None, 9, forward), (vec![5], None)),
        (list(children_of(4), Some(6), 9, forward), (vec![], None)),
        (list(children_of(4), Some(4), 9, reverse), (vec![], None)),
        (list(children_of(5), None, 9, forward), (vec![], None)),
        (list(between(1_003, 1_006), None, 9, forward), (vec![2, 3, 4], None)),
        (list(between(1_003, 1_006), None, 2, reverse), (vec![4, 3], Some(2))),
        (list(between(1_003, 1_006), Some(3), 9, reverse), (vec![3, 2], None)),
        (list(between(1_006, 1_003), None, 9, reverse), (vec![], None)),
        (list(between(2_000, 3_000), None, 9, forward), (vec![], None)),
    ] {
        let question = format!("{operation:?}");
        assert_eq!(page_of(driver.read(operation)), expected, "{question}");
    }
    let Outcome::Traces(page) = driver.read(list(any(), None, 1, forward)) else { panic!("a page") };
    assert_eq!((page.version, page.timestamp), (Version(11), Timestamp(1_010)));
}

#[test]
fn one_page_looks_at_so_many_traces_and_says_where_it_stopped() {
    let mut driver = Driver::created();
    let many = TRACE_SCAN_MAX as u64 + 10;
    driver.batch((0..many).map(|number| record(thought(number, None))).collect()).unwrap();
    driver.write(record(step(many, None)));
    let scan = TRACE_SCAN_MAX as u64;
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    assert_eq!(page_of(driver.read(list(of_kind("step"), None, 5, forward))), (vec![], Some(scan)));
    assert_eq!(page_of(driver.read(list(of_kind("step"), Some(scan), 5, forward))), (vec![many], None));
    let back = many - scan;
    assert_eq!(page_of(driver.read(list(of_kind("step"), None, 5, reverse))), (vec![many], Some(back)));
    assert_eq!(page_of(driver.read(list(of_kind("step"), Some(back), 5, reverse))), (vec![], None));
}

#[test]
fn a_tree_is_everything_below_a_trace_in_commit_order() {
    let mut driver = Driver::created();
    for (number, parent) in [(0, None), (1, Some(0)), (2, None), (3, Some(1)), (4, Some(0)), (5, Some(2))] {
        driver.write(record(thought(number, parent)));
    }
    assert_eq!(page_of(driver.read(tree(0, 9))), (vec![0, 1, 3, 4], None));
    assert_eq!(page_of(driver.read(tree(0, 4))), (vec![0, 1, 3, 4], None));
    assert_eq!(page_of(driver.read(tree(0, 2))), (vec![0, 1], Some(3)));
    assert_eq!(page_of(driver.read(tree(5, 9))), (vec![5], None));
    assert_eq!(page_of(driver.read(tree(9, 9))), (vec![], None));
    let Outcome::Traces(page) = driver.read(tree(0, 9)) else { panic!("a tree") };
    let depths: Vec<_> = TraceTree::new(page.traces).nodes().iter().map(|node| node.depth).collect();
    assert_eq!(depths, [0, 1, 2, 1]);
}

#[test]
fn traces_are_counted_measured_and_addressed() {
    let mut driver = ten();
    assert_eq!((count(&mut driver, None), count(&mut driver, Some("step"))), (10, 5));
    assert_eq!(count(&mut driver, Some("none")), 0);
    let sizes: u64 = (0..10).map(|number| get(&mut driver, number).unwrap().size()).sum();
    let info = driver.info().unwrap();
    assert_eq!((info.trace_count, info.size), (10, sizes));
    driver.write(end(1));
    let sizes: u64 = (0..10).map(|number| get(&mut driver, number).unwrap().size()).sum();
    assert_eq!(driver.info().unwrap().size, sizes);
    let entity = |number| EntityRef::trace(run_id(), id(number));
    let stat = |number| Operation::EntityStat { entity: Box::new(entity(number)) };
    let trace = get(&mut driver, 1).unwrap();
    let (version, timestamp) = (trace.stamp.version, trace.stamp.timestamp);
    let expected = Versioned { value: trace.size(), version, timestamp };
    assert_eq!(driver.read(stat(1)), Outcome::Stat(Some(expected)));
    assert_eq!(driver.read(stat(50)), Outcome::Stat(None));
    let view = driver.state.view();
    let version_of = |number| view.version_of(&entity(number), view.stamp().timestamp);
    assert_eq!((version_of(1), version_of(50)), (version, Version::NEVER));
    driver.batch(vec![Operation::RunDelete, Operation::RunCreate { spec: Box::default() }]).unwrap();
    assert_eq!((count(&mut driver, None), driver.info().unwrap().size), (0, 0));
}

#[test]
fn traces_staged_before_are_read_like_those_of_the_run() {
    let mut driver = ten();
    driver.now += 1;
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let any = TraceFilter::default;
    let open = || TraceFilter { is_open: Some(true), ..any() };
    let now = TraceFilter { from: Some(Timestamp(driver.now)), ..any() };
    let (stamp, answers) = driver
        .batch(vec![
            begin(step(20, Some(8))),
            record(thought(21, Some(20))),
            end(20),
            end(9),
            Operation::TraceGet { id: id(20) },
            list(any(), Some(8), 9, forward),
            list(any(), None, 3, reverse),
            list(open(), Some(5), 9, forward),
            list(children_of(8), None, 1, forward),
            list(children_of(8), Some(10), 9, forward),
            list(now, None, 9, forward),
            tree(8, 9),
            Operation::TraceCount { kind: Some("step".into()) },
            Operation::RunGet,
        ])
        .unwrap();
    let stamp = stamp.expect("there was something to commit");
    let mut outcomes = answers.into_iter().skip(4).map(|answer| match answer {
        Answer::Read(outcome) => outcome,
        other => panic!("{other:?} is not a read"),
    });
    let mut next = || outcomes.next().unwrap();
    let Outcome::Trace(Some(trace)) = next() else { panic!("the trace is there") };
    assert_eq!((trace.recorded, trace.stamp, trace.is_open()), (stamp, stamp, false));
    assert_eq!(page_of(next()), (vec![8, 9, 20, 21], None));
    assert_eq!(page_of(next()), (vec![21, 20, 9], Some(8)));
    assert_eq!(page_of(next()), (vec![5, 7], None));
    assert_eq!(page_of(next()), (vec![9], Some(10)));
    assert_eq!(page_of(next()), (vec![20], None));
    assert_eq!(page_of(next()), (vec![20, 21], None));
    assert_eq!(page_of(next()), (vec![8, 9, 20, 21], None));
    let Outcome::Count(count) = next() else { panic!("a count") };
    assert_eq!((count.value, count.version), (6, stamp.version));
    let Outcome::Run(Some(info)) = next() else { panic!("the run is there") };
    let committed = driver.info().unwrap();
    assert_eq!((info.trace_count, info.size), (committed.trace_count, committed.size));
    assert_eq!(*trace, get(&mut driver, 20).unwrap(), "what was read is what was committed");
}

#[test]
fn a_refused_operation_takes_no_staged_trace_with_it() {
    let driver = ten();
    let context = driver.context();
    let mut draft = Draft::new(driver.state.view());
    let mut take = |operation| validate(operation, &mut draft, &context, &driver.limits);
    take(begin(step(20, None))).unwrap();
    let refused = take(begin(step(20, None))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    take(record(thought(21, Some(22)))).unwrap_err();
    take(record(thought(21, Some(20)))).unwrap();
    take(end(20)).unwrap();
    let again = take(end(20)).unwrap_err();
    assert_eq!(
        (again.kind(), again.entity()),
        (ErrorKind::InvalidArgument, Some(&EntityRef::trace(run_id(), id(20))))
    );
    assert_eq!(draft.mutations().len(), 3);
    let [.., Mutation::TraceEnd { previous, .. }] = draft.mutations() else { panic!("an end") };
    assert_eq!(*previous, Version::NEVER, "the run does not hold it yet");
}

#[test]
fn a_batch_that_begins_the_run_anew_hides_its_traces() {
    let mut driver = ten();
    let (_, answers) = driver
        .batch(vec![
            Operation::RunDelete,
            Operation::RunCreate { spec: Box::default() },
            record(thought(3, None)),
            tree(3, 9),
            Operation::TraceCount { kind: None },
        ])
        .unwrap();
    let [.., Answer::Read(found), Answer::Read(Outcome::Count(count))] = &answers[..] else {
        panic!("reads")
    };
    assert_eq!((page_of(found.clone()), count.value), ((vec![3], None), 1));
}

#[test]
fn a_run_that_takes_no_writes_takes_no_traces() {
    let mut driver = ten();
    driver.write(Operation::RunUpdateStatus { status: RunStatus::Completed });
    for operation in [record(thought(20, None)), begin(step(20, None)), end(1)] {
        assert_eq!(driver.refusal(operation).kind(), ErrorKind::RunClosed);
    }
    assert_eq!(count(&mut driver, None), 10);
}
