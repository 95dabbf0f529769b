//! Events, through the public face of the crate.
mod support;

use strata_primitives::event::event_hash;
use strata_primitives::*;
use support::{Driver, append};

fn sequences(driver: &mut Driver, operation: Operation) -> (Vec<u64>, Option<u64>) {
    match driver.read(operation) {
        Outcome::Events(page) => (page.events.iter().map(|event| event.sequence).collect(), page.next),
        other => panic!("{other:?} is not a page of events"),
    }
}

fn range(start: Option<u64>, limit: usize, direction: Direction) -> Operation {
    Operation::EventRange { start, limit, direction }
}

fn by_type(kind: &str, start: Option<u64>, limit: usize, direction: Direction) -> Operation {
    Operation::EventByType { kind: kind.into(), start, limit, direction }
}

fn len(driver: &mut Driver, kind: Option<&str>) -> u64 {
    match driver.read(Operation::EventLen { kind: kind.map(Into::into) }) {
        Outcome::Count(count) => count.value,
        other => panic!("{other:?} is not a count"),
    }
}

fn head(driver: &mut Driver, kind: Option<&str>) -> Option<u64> {
    match driver.read(Operation::EventHead { kind: kind.map(Into::into) }) {
        Outcome::Event(event) => event.map(|event| event.sequence),
        other => panic!("{other:?} is not an event"),
    }
}

/// Ten events: the even ones of type `even`, the others of type `odd`.
fn ten() -> Driver {
    let mut driver = Driver::created();
    for number in 0..10 {
        let (_, effect) = driver.write(append(if number % 2 == 0 { "even" } else { "odd" }, number));
        assert_eq!(effect, Effect::Sequence { first: number as u64, count: 1 });
    }
    driver
}

#[test]
fn an_event_is_read_with_everything_it_was_written_with() {
    let mut driver = ten();
    let Outcome::Event(Some(event)) = driver.read(Operation::EventRead { sequence: 3 }) else {
        panic!("event 3 is there")
    };
    assert_eq!((event.sequence, &*event.kind, event.payload.as_int()), (3, "odd", Some(3)));
    assert_eq!((event.version, event.timestamp), (Version(5), Timestamp(1_000)));
    assert_eq!(driver.read(Operation::EventRead { sequence: 10 }), Outcome::Event(None));
    assert_eq!(driver.read(Operation::EventRead { sequence: u64::MAX }), Outcome::Event(None));
}

#[test]
fn every_event_is_hashed_onto_the_one_before() {
    let mut driver = ten();
    let Outcome::Events(page) = driver.read(range(None, 100, Direction::Forward)) else { panic!("a page") };
    let mut previous = [0; 32];
    for event in &page.events {
        let hash =
            event_hash(&previous, event.sequence, &event.kind, event.timestamp, &event.payload, &[3; 16]);
        assert_eq!(event.hash, hash, "event {}", event.sequence);
        previous = hash;
    }
    let Outcome::Chain(report) = driver.read(Operation::EventVerifyChain) else { panic!("a report") };
    assert_eq!((report.valid, report.length, report.first_invalid, report.erased), (true, 10, None, 0));
    assert_eq!(report.version, Version(11));
}

#[test]
fn a_changed_event_breaks_the_chain_where_it_was_changed() {
    let mut driver = ten();
    let stamp = Stamp { version: Version(12), timestamp: Timestamp(1_000) };
    for sequence in [10, 11] {
        let payload = Encoded::from_int(1);
        let _ = driver.state.apply(
            Mutation::EventAppend { sequence, kind: "odd".into(), payload, salt: [0; 16], hash: [1; 32] },
            stamp,
        );
    }
    driver.state.commit(stamp);
    let Outcome::Chain(report) = driver.read(Operation::EventVerifyChain) else { panic!("a report") };
    assert_eq!((report.valid, report.length, report.first_invalid), (false, 12, Some(10)));
}

#[test]
fn ranges_run_in_both_directions_and_say_where_to_go_on() {
    let mut driver = ten();
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    for (operation, expected) in [
        (range(None, 3, forward), (vec![0, 1, 2], Some(3))),
        (range(Some(8), 3, forward), (vec![8, 9], None)),
        (range(Some(10), 3, forward), (vec![], None)),
        (range(Some(u64::MAX), 3, forward), (vec![], None)),
        (range(None, 3, reverse), (vec![9, 8, 7], Some(6))),
        (range(Some(1), 3, reverse), (vec![1, 0], None)),
        (range(Some(u64::MAX), 1, reverse), (vec![9], Some(8))),
        (by_type("odd", None, 2, forward), (vec![1, 3], Some(5))),
        (by_type("odd", Some(5), 9, forward), (vec![5, 7, 9], None)),
        (by_type("odd", Some(6), 1, forward), (vec![7], Some(9))),
        (by_type("even", None, 2, reverse), (vec![8, 6], Some(4))),
        (by_type("even", Some(5), 9, reverse), (vec![4, 2, 0], None)),
        (by_type("odd", Some(0), 9, reverse), (vec![], None)),
        (by_type("odd", Some(u64::MAX), 1, reverse), (vec![9], Some(7))),
        (by_type("none", None, 2, reverse), (vec![], None)),
        (by_type("none", None, 2, forward), (vec![], None)),
    ] {
        let question = format!("{operation:?}");
        assert_eq!(sequences(&mut driver, operation), expected, "{question}");
    }
    let mut empty = Driver::created();
    assert_eq!(sequences(&mut empty, range(None, 3, reverse)), (vec![], None));
    assert_eq!(sequences(&mut empty, range(None, 3, forward)), (vec![], None));
}

#[test]
fn length_and_head_are_known_for_all_and_per_type() {
    let mut driver = ten();
    assert_eq!(
        (len(&mut driver, None), len(&mut driver, Some("odd")), len(&mut driver, Some("x"))),
        (10, 5, 0)
    );
    assert_eq!(
        (head(&mut driver, None), head(&mut driver, Some("even")), head(&mut driver, Some("x"))),
        (Some(9), Some(8), None)
    );
    assert_eq!((head(&mut Driver::created(), None), len(&mut Driver::created(), None)), (None, 0));
}

#[test]
fn an_empty_append_changes_nothing_and_a_list_of_events_is_one_commit() {
    let mut driver = Driver::created();
    let many = |count| Operation::EventAppendMany {
        events: vec![NewEvent { kind: "k".into(), payload: Encoded::from_int(1), salt: [0; 16] }; count],
    };
    assert_eq!(driver.write(many(0)), (false, Effect::Sequence { first: 0, count: 0 }));
    assert_eq!(driver.write(many(3)), (true, Effect::Sequence { first: 0, count: 3 }));
    assert_eq!(driver.write(many(2)), (true, Effect::Sequence { first: 3, count: 2 }));
    assert_eq!(driver.state.version(), Version(3));
}

#[test]
fn an_aborted_batch_burns_no_sequence() {
    let mut driver = Driver::created();
    driver.batch(vec![append("k", 1), Operation::KvIncrement { key: "\0".into(), by: 1 }]).unwrap_err();
    assert_eq!(driver.write(append("k", 1)).1, Effect::Sequence { first: 0, count: 1 });
}
