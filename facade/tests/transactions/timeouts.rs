//! Calls that wait for their answer only so long.

use std::time::{Duration, Instant};

use strata::{Error, ErrorKind, OperationId, Reads, Writes};

use crate::support::held::HeldShard;
use crate::support::{one_run, open_count};

const SHORT: Duration = Duration::from_millis(20);
/// Nobody waits so long.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_call_that_is_not_answered_in_time_is_told_and_its_write_takes_effect_all_the_same() {
    let (database, run) = one_run();
    let hasty = run.with_timeout(SHORT);
    assert!(hasty.put("city", "Oslo").is_ok(), "an answer in time is one");
    let held = HeldShard::of(&run);
    let started = Instant::now();
    let late = hasty.put("city", "Bergen").unwrap_err();
    assert!((SHORT..LONG / 2).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!(late.message().contains("20ms") && late.message().contains("may still take effect"), "{late}");
    assert_eq!(hasty.event_count().unwrap_err().kind(), ErrorKind::TimedOut, "a read is no other");
    held.let_go();
    assert_eq!(run.get("city").unwrap().unwrap().value.as_str(), Some("Bergen"));
    database.close().unwrap();
}

#[test]
fn every_call_of_a_hasty_handle_is_told() {
    let (database, run) = one_run();
    let hasty = run.with_timeout(SHORT);
    let snapshot = hasty.snapshot().unwrap();
    let held = HeldShard::of(&run);
    let mut batch = hasty.batch();
    batch.put("key", 1).unwrap();
    let kinds = [
        hasty.get("key").map(drop),
        hasty.info().map(drop),
        hasty.append("step", 1).map(drop),
        hasty.commit(batch).map(drop),
        hasty.sync(),
        hasty.transaction(|tx| tx.put("key", 2)).map(drop),
        hasty.transaction(|tx| tx.get("key")).map(drop),
        hasty.execute(|scope| scope.put("key", 3)).map(drop),
        hasty.snapshot().map(drop),
        snapshot.get("key").map(drop),
        snapshot.detach().map(drop),
        hasty.subscribe_events(0).map(drop),
        hasty.fork().map(drop),
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        assert_eq!(kind.unwrap_err().kind(), ErrorKind::TimedOut, "call {number}");
    }
    held.let_go();
    // All of it was sent, and happened in its order; what nobody has waited for is not left open.
    assert_eq!(run.get("key").unwrap().unwrap().value.as_int(), Some(3));
    drop(snapshot);
    run.info().unwrap();
    assert_eq!(open_count(&database), 0);
    database.close().unwrap();
}

/// The step was sent, and the shard staged its write when it came to it: who handled the answer and went on committed an
/// increment that he took for failed, and whose place in the commit another write had by his count.
#[test]
fn a_transaction_whose_write_was_not_answered_in_time_cannot_be_committed() {
    let (database, run) = one_run();
    run.put("seen", 1).unwrap();
    for has_begun in [false, true] {
        let transaction = run.with_timeout(SHORT).begin();
        if has_begun {
            run.get("seen").unwrap();
            transaction.get("seen").unwrap();
        }
        let held = HeldShard::of(&run);
        assert_eq!(transaction.increment("count", 1).unwrap_err().kind(), ErrorKind::TimedOut);
        held.let_go();
        let over = transaction.increment("count", 1).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::TimedOut);
        assert!(over.message().contains("the transaction is over and has changed nothing"), "{over}");
        assert_eq!(transaction.get("count").unwrap_err().message(), over.message());
        transaction.append("step", 1).unwrap();
        assert_eq!(transaction.commit().unwrap_err().message(), over.message());
        assert_eq!((run.get("count").unwrap(), run.event_count().unwrap().value), (None, 0));
    }
    run.info().unwrap();
    assert_eq!(open_count(&database), 0);
    database.close().unwrap();
}

#[test]
fn a_write_that_waits_is_lost_with_the_read_that_was_to_bring_it_and_was_late() {
    let (database, run) = one_run();
    let transaction = run.with_timeout(SHORT).begin();
    transaction.put("city", "Oslo").unwrap();
    let held = HeldShard::of(&run);
    assert_eq!(transaction.get("count").unwrap_err().kind(), ErrorKind::TimedOut);
    held.let_go();
    let over = transaction.commit().unwrap_err();
    assert!(over.message().contains("the transaction is over and has changed nothing"), "{over}");
    assert_eq!(run.get("city").unwrap(), None);
    database.close().unwrap();
}

#[test]
fn a_transaction_may_ask_again_what_it_was_not_told_in_time() {
    let (database, run) = one_run();
    run.put("count", 7).unwrap();
    let done = run.with_timeout(SHORT).transaction(|transaction| {
        let held = HeldShard::of(&run);
        assert_eq!(transaction.get("count").unwrap_err().kind(), ErrorKind::TimedOut);
        held.let_go();
        let count = transaction.get("count")?.unwrap().value.as_int().unwrap();
        transaction.put("count", count + 1)?;
        let write = transaction.append("step", 1)?;
        Ok::<_, Error>(write)
    });
    let done = done.unwrap();
    assert_eq!(done.sequence_of(done.value), 0);
    assert_eq!(run.get("count").unwrap().unwrap().value.as_int(), Some(8));
    database.close().unwrap();
}

#[test]
fn what_a_closure_returns_to_nobody_is_dropped_and_its_writes_are_a_commit() {
    let (database, run) = one_run();
    let held = HeldShard::of(&run);
    let told = std::sync::Arc::new(());
    let returned = std::sync::Arc::clone(&told);
    let late = run.with_timeout(SHORT).execute(move |scope| {
        scope.put("key", 1)?;
        Ok::<_, Error>(returned)
    });
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    held.let_go();
    assert_eq!(run.get("key").unwrap().unwrap().value.as_int(), Some(1));
    assert_eq!(std::sync::Arc::strong_count(&told), 1);
    database.close().unwrap();
}

#[test]
fn a_write_that_was_not_answered_in_time_happens_once_when_it_is_sent_again_with_its_id() {
    let (database, run) = one_run();
    let once = run.with_operation_id(OperationId([7; 16]));
    let held = HeldShard::of(&run);
    assert_eq!(once.with_timeout(SHORT).append("pay", 120).unwrap_err().kind(), ErrorKind::TimedOut);
    held.let_go();
    assert_eq!(once.append("pay", 120).unwrap().sequence, 0);
    assert_eq!(run.event_count().unwrap().value, 1);
    database.close().unwrap();
}

#[test]
fn a_timeout_beyond_the_end_of_the_clock_is_one() {
    let (database, run) = one_run();
    let patient = run.with_timeout(Duration::MAX);
    patient.put("key", 1).unwrap();
    let at_once = run.with_timeout(Duration::ZERO);
    let held = HeldShard::of(&run);
    assert_eq!(at_once.put("key", 2).unwrap_err().kind(), ErrorKind::TimedOut);
    held.let_go();
    assert_eq!(patient.get("key").unwrap().unwrap().value.as_int(), Some(2));
    database.close().unwrap();
}
