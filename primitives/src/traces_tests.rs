//! What a reader sees of the traces of a run, whatever was recorded and ended since.
use super::*;
use crate::past::{Keeper, Past};

fn id(number: u64) -> TraceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    TraceId::from_bytes(bytes)
}

fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(version * 10) }
}

/// An open span, recorded by the commit with the number behind its own.
fn span(number: u64, parent: Option<u64>) -> Trace {
    Trace {
        id: id(number),
        parent: parent.map(id),
        kind: if number.is_multiple_of(2) { "even".into() } else { "odd".into() },
        tags: std::sync::Arc::default(),
        body: Encoded::from_int(number as i64),
        began: Timestamp(0),
        ended: None,
        stamp: stamp(number + 1),
        recorded: stamp(number + 1),
    }
}

/// Traces 0, 1, 2 ... with these parents.
fn log(parents: &[Option<u64>]) -> TraceLog {
    let mut log = TraceLog::new(1);
    for (parent, number) in parents.iter().zip(0..) {
        log.append(span(number, *parent));
    }
    log
}

fn end(log: &mut TraceLog, past: &mut Past, place: u64, version: u64) {
    let body = Encoded::from_canonical(b"a longer body");
    let ended = log.get(place).unwrap().with_end(Timestamp(99), body, stamp(version));
    let was = log.replace(place, ended);
    let keeper = Keeper { by: Version(version), newest_watched: Version(version - 1) };
    past.traces.keep(&place, keeper, 0, || (place, was.clone()));
}

fn tree(traces: TracesOver<'_>, root: u64) -> Vec<u64> {
    traces.tree(&id(root)).collect()
}

#[test]
fn an_older_version_shows_what_was_there_as_it_was() {
    let mut log = log(&[None, Some(0), Some(0), Some(1)]);
    let mut past = Past::new(1);
    let size_of_two = span(0, None).size() + span(1, None).size();
    end(&mut log, &mut past, 1, 5);
    end(&mut log, &mut past, 3, 6);
    let old = Traces::at(&log, &past.traces, Version(2));
    assert_eq!((old.count(), old.size()), (2, size_of_two));
    assert_eq!((old.get(1), old.get(2)), (Some(&span(1, Some(0))), None));
    assert_eq!((old.place_of(&id(1)), old.place_of(&id(2)), old.find(&id(3))), (Some(1), None, None));
    assert_eq!((old.children(&id(0)).to_vec(), old.children(&id(1)).len()), (vec![1], 0));
    assert_eq!((old.kind_count("even"), old.kind_count("odd")), (1, 1));
    assert_eq!((old.first_at_or_after(Timestamp(11)), old.first_at_or_after(Timestamp(21))), (1, 2));
    assert_eq!(old.replaced().collect::<Vec<_>>(), [1]);
    let between = Traces::at(&log, &past.traces, Version(5));
    assert!(!between.get(1).unwrap().is_open() && between.get(3).unwrap().is_open());
    let present = Traces::present(&log);
    assert_eq!((present.count(), present.size(), present.kind_count("odd")), (4, log.size(), 2));
    assert!(!present.get(3).unwrap().is_open());
}

#[test]
fn staged_traces_follow_those_of_the_run() {
    let log = log(&[None, Some(0)]);
    let base = Traces::present(&log);
    let mut staged = StagedTraces::default();
    staged.record(&span(6, Some(0)), stamp(9));
    staged.record(&span(7, Some(6)), stamp(9));
    staged.end(Some(base), &id(1), Timestamp(90), &Encoded::from_int(-1), stamp(9));
    staged.end(Some(base), &id(7), Timestamp(90), &Encoded::from_int(-1), stamp(9));
    let over = TracesOver::new(Some(base), Some(&staged));
    assert_eq!((over.base_count(), over.count(), over.kind_count("odd")), (2, 4, 2));
    assert_eq!(
        (over.place_of(&id(1)), over.place_of(&id(7)), over.place_of(&id(2))),
        (Some(1), Some(3), None)
    );
    assert_eq!((over.get(3).unwrap().recorded, over.get(4)), (stamp(9), None));
    let is_open = |number| over.find(&id(number)).unwrap().is_open();
    assert_eq!([0, 1, 6, 7].map(is_open), [true, false, true, false]);
    let is_staged = |number| over.is_staged(&id(number));
    assert_eq!([0, 1, 6, 7, 8].map(is_staged), [false, true, true, true, false]);
    assert_eq!((over.base_version(&id(1)), over.base_version(&id(7))), (Version(2), Version::NEVER));
    let children = over.children(&id(0));
    assert_eq!([0, 1, 2].map(|index| children.get(index)), [Some(1), Some(2), None]);
    assert_eq!((children.count_below(1), children.count_below(2), children.count_below(3)), (0, 1, 2));
    assert_eq!((tree(over, 0), tree(over, 6)), (vec![0, 1, 2, 3], vec![2, 3]));
    let first = |micros| over.first_at_or_after(Timestamp(micros));
    assert_eq!((first(20), first(21), first(90), first(91)), (1, 2, 2, 4));
    let sizes: u64 = (0..4).filter_map(|place| over.get(place)).map(Trace::size).sum();
    assert_eq!(over.size(), sizes);
}

#[test]
fn a_staged_deletion_leaves_only_what_is_staged_behind_it() {
    let mut staged = StagedTraces::default();
    staged.record(&span(6, None), stamp(9));
    let over = TracesOver::new(None, Some(&staged));
    assert_eq!((over.count(), over.place_of(&id(6)), over.get(0).is_some()), (1, Some(0), true));
    assert_eq!((tree(over, 6), tree(over, 0)), (vec![0], vec![]));
    let nothing = TracesOver::new(None, None);
    assert_eq!((nothing.count(), nothing.size(), nothing.find(&id(0))), (0, 0, None));
}

#[test]
fn a_tree_holds_everything_below_and_nothing_beside() {
    let log = log(&[None, Some(0), None, Some(1), Some(0), Some(3), Some(2)]);
    let over = TracesOver::new(Some(Traces::present(&log)), None);
    assert_eq!(tree(over, 0), [0, 1, 3, 4, 5]);
    assert_eq!((tree(over, 6), tree(over, 7)), (vec![6], vec![]));
}

#[test]
fn the_first_traces_of_a_large_tree_are_found_without_the_rest() {
    let log = log(&[&[None][..], &[Some(0); 10_000][..]].concat());
    let over = TracesOver::new(Some(Traces::present(&log)), None);
    let mut walk = over.tree(&id(0));
    assert_eq!(walk.by_ref().take(3).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(walk.ahead.len() <= 4, "{} places ahead", walk.ahead.len());
}

#[test]
fn parents_in_a_circle_do_not_trap_a_walk() {
    let log = log(&[Some(1), Some(0), Some(2)]);
    let over = TracesOver::new(Some(Traces::present(&log)), None);
    assert_eq!((tree(over, 0), tree(over, 1), tree(over, 2)), (vec![0, 1], vec![1], vec![2]));
}
