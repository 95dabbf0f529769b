//! Random transactions beside random commits: what a read set accepts would have been read at the commit too.
mod support;

use proptest::prelude::*;
use strata_primitives::*;
use support::history::{Change, change, history, reads};
use support::transaction::Transaction;
use support::{Driver, run_id};

/// Runs `operations` one after the other, as a transaction that commits at once would, and answers each.
fn answers(view: RunView<'_>, operations: &[Operation], now: u64) -> Vec<Result<Answer, ()>> {
    let context = Context { now: Timestamp(now), boot: 1 };
    let mut draft = Draft::resume(view, Staged::recording());
    let mut answer = |operation: &Operation| {
        let answer = validate(operation.clone(), &mut draft, &context, &Limits::default());
        // Why it is refused may change: a run that takes no writes any more says that first.
        answer.map(masked).map_err(drop)
    };
    operations.iter().map(&mut answer).collect()
}

/// An answer without what tells only when it was given.
fn masked(answer: Answer) -> Answer {
    let never = (Version::NEVER, Timestamp(0));
    let Answer::Read(mut outcome) = answer else { return answer };
    match &mut outcome {
        Outcome::Values { version, timestamp, .. } => (*version, *timestamp) = never,
        Outcome::Flag(flag) => (flag.version, flag.timestamp) = never,
        Outcome::Count(count) => (count.version, count.timestamp) = never,
        Outcome::Value(Some(value)) => mask(value.version, &mut value.timestamp),
        Outcome::Stat(Some(size)) => mask(size.version, &mut size.timestamp),
        Outcome::Ttl(Some(ttl)) => {
            mask(ttl.version, &mut ttl.timestamp);
            ttl.value.iter_mut().for_each(|ttl| ttl.remaining = Default::default());
        }
        Outcome::Page(page) => {
            (page.version, page.timestamp) = never;
            page.items.iter_mut().for_each(mask_item);
        }
        Outcome::Events(page) => (page.version, page.timestamp) = never,
        Outcome::Chain(report) => (report.version, report.timestamp) = never,
        Outcome::Trace(Some(trace)) => mask_trace(trace),
        Outcome::Traces(page) => {
            (page.version, page.timestamp) = never;
            page.traces.iter_mut().for_each(mask_trace);
            // A place among the transaction's own traces is provisional.
            page.next = page.next.map(|_| 0);
        }
        Outcome::Run(Some(info)) => (info.version, info.timestamp) = never,
        _ => {}
    }
    Answer::Read(outcome)
}

/// What the transaction wrote itself has the time of its commit.
fn mask(version: Version, timestamp: &mut Timestamp) {
    if version == Version::PENDING {
        *timestamp = Timestamp(0);
    }
}

/// Of keys without values only their presence is read.
fn mask_item(item: &mut KvItem) {
    match item.value {
        Some(_) => mask(item.version, &mut item.timestamp),
        None => (item.version, item.timestamp) = (Version::NEVER, Timestamp(0)),
    }
}

fn mask_trace(trace: &mut Trace) {
    mask(trace.stamp.version, &mut trace.stamp.timestamp);
    if trace.stamp.version == Version::PENDING {
        trace.ended = trace.ended.map(|_| Timestamp(0));
    }
    if trace.recorded.version == Version::PENDING {
        (trace.recorded.timestamp, trace.began) = (Timestamp(0), Timestamp(0));
    }
}

fn is_for_a_transaction(operation: &Operation) -> bool {
    // The sequence of an own event is provisional, and its hash with it.
    operation.row().joins && !matches!(operation, Operation::EventAppend { .. })
}

/// A run after a random history, on its own clock.
fn run_after(history: Vec<support::history::Step>) -> Driver {
    let mut driver = Driver::created();
    for step in history {
        if let support::history::Step::Commit { pause, steps } = step {
            driver.now += pause;
            commit(&mut driver, &steps);
        }
    }
    if !driver.state.exists() {
        driver.write(Operation::RunCreate { spec: Box::default() });
    }
    driver
}

/// What is refused is left out.
fn commit(driver: &mut Driver, changes: &[Change]) {
    let now = driver.now;
    for operation in changes.iter().flat_map(|change| change.operations(now)) {
        let _ = driver.try_one(operation);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_a_read_set_accepts_would_be_read_again(
        history in history(),
        own in proptest::collection::vec(change(), 0..3),
        others in proptest::collection::vec(change(), 0..3),
        pause in 0..20u64,
    ) {
        let mut driver = run_after(history);
        let began = driver.now;
        let own: Vec<_> = own.iter().flat_map(|change| change.operations(began)).filter(is_for_a_transaction).collect();
        let transactions: Vec<_> = reads()
            .into_iter()
            .map(|read| {
                let operations = [&own[..], &[read]].concat();
                let expected = answers(driver.state.view(), &operations, began);
                let transaction = Transaction::begin(&mut driver, operations.clone());
                (operations, expected, transaction)
            })
            .collect();
        driver.now += pause;
        commit(&mut driver, &others);
        let mut accepted = 0;
        for (operations, expected, Transaction { snapshot, staged }) in transactions {
            let interval = Interval { began: Timestamp(began), now: Timestamp(driver.now) };
            let verdict = staged.reads().unwrap().validate(&driver.state, &snapshot, interval);
            let found = answers(driver.state.view(), &operations, driver.now);
            // A write that succeeded and is refused at the commit refuses the whole transaction there.
            let is_refused = found.iter().zip(&expected).any(|(found, expected)| found.is_err() && expected.is_ok());
            if verdict.is_ok() && !is_refused {
                prop_assert_eq!(found, expected, "{:?}", operations);
                accepted += 1;
            }
            driver.state.close_snapshot(snapshot);
        }
        prop_assert!(accepted > 0 || !others.is_empty() || pause > 0 || !own.is_empty());
        prop_assert_eq!(driver.state.kept_size(), 0);
        prop_assert_eq!(driver.state.id(), run_id());
    }
}
