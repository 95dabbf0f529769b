//! Pages that begin behind the last entry there is.
mod support;

use strata_primitives::*;
use support::transaction::*;
use support::{Driver, append};

/// The page is empty, and asked for again it is refused: what it begins with came and went.
#[test]
fn a_page_that_begins_behind_the_last_rests_on_that_place_being_there() {
    let keep = |driver: &mut Driver| {
        driver.write(Operation::RunSetTraceRetention { retention: Some(Retention::KeepLast(1)) });
        driver.write(Operation::RunSetEventRetention { retention: Some(Retention::KeepLast(1)) });
    };
    let of_traces = traces(of_kind("s"), Some(5), 9, Direction::Forward);
    let events = |number| Operation::EventByType {
        kind: "k".into(),
        start: Some(number),
        limit: 9,
        direction: Direction::Forward,
    };
    let traces_come =
        vec![begin("s", 8, None), begin("s", 9, None), begin("s", 10, None), begin("t", 11, None)];
    let events_come = (0..5).map(|_| append("l", 1)).collect();
    let mut unseen = Vec::new();
    for (read, come) in [(of_traces, traces_come), (events(5), events_come)] {
        let mut driver = driver();
        keep(&mut driver);
        let transaction = Transaction::begin(&mut driver, vec![read.clone()]);
        driver.now = COMMITTED;
        driver.batch(come).unwrap();
        let again = driver.try_one(read.clone()).map(drop);
        if transaction.validate(&driver).is_ok() && again.is_err() {
            unseen.push((read, again));
        }
    }
    assert!(unseen.is_empty(), "{unseen:?}");
}
