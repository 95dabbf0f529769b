//! Futures of a handle: when they ask, when they are answered, and what becomes of those that are dropped.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pollster::block_on;
use strata::{
    AsyncReads, AsyncRunHandle, AsyncWrites, Database, Durability, ErrorKind, OperationId, Options, Reads,
    RunSpec, Writes,
};

use crate::support::held::HeldShard;
use crate::support::tasks::{Woken, join_all, poll_once};
use crate::support::{eventually, one_run, one_run_with, open_count, options};

fn int(run: &impl Reads, key: &str) -> Option<i64> {
    run.get(key).unwrap().and_then(|found| found.value.as_int())
}

#[test]
fn nothing_is_sent_before_the_first_poll() {
    let (_database, run) = one_run();
    let twin = run.to_async();
    let unpolled = twin.put("a", 1);
    assert_eq!(int(&run, "a"), None);
    block_on(unpolled).unwrap();
    assert_eq!(int(&run, "a"), Some(1));
    drop(twin.put("a", 2));
    assert_eq!(int(&run, "a"), Some(1));
}

#[test]
fn what_is_published_is_answered_at_the_first_poll() {
    let (database, run) = one_run();
    run.put("a", 1).unwrap();
    let twin = run.to_async();
    let messages = || database.stats().unwrap().shards[0].reads;
    eventually("the run is published", || {
        let before = messages();
        block_on(twin.event_count()).unwrap();
        messages() == before
    });
    let held = HeldShard::of(&run);
    assert!(poll_once(pin!(twin.count(""))).is_ready());
    let Poll::Ready(found) = poll_once(pin!(twin.get("a"))) else { panic!("it has asked the shard") };
    assert_eq!(found.unwrap().unwrap().value.as_int(), Some(1));
    assert!(poll_once(pin!(twin.get_encoded("none"))).is_ready());
    assert!(poll_once(pin!(twin.put("a", 2))).is_pending(), "a write asks");
    held.let_go();
}

#[test]
fn an_answer_wakes_its_task_once() {
    let (_database, run) = one_run();
    let held = HeldShard::of(&run);
    let (twin, (woken, waker)) = (run.to_async(), Woken::new());
    let mut writing = pin!(twin.put("a", 1));
    let mut context = Context::from_waker(&waker);
    (0..3).for_each(|_| assert!(writing.as_mut().poll(&mut context).is_pending()));
    assert_eq!(woken.count(), 0);
    held.let_go();
    eventually("the task is woken", || woken.count() > 0);
    assert!(writing.as_mut().poll(&mut context).is_ready());
    run.info().unwrap();
    assert_eq!(woken.count(), 1);
}

#[test]
fn a_full_mailbox_is_told_at_once_and_nothing_has_happened() {
    let (_database, run) = one_run_with(Options { mailbox_capacity: 4, ..options(Durability::InMemory, 1) });
    let (twin, held) = (run.to_async(), HeldShard::of(&run));
    let mut sent: Vec<_> = (0..4).map(|_| Box::pin(twin.increment("n", 1))).collect();
    assert!(sent.iter_mut().all(|writing| poll_once(writing.as_mut()).is_pending()));
    let started = Instant::now();
    for _ in 0..10 {
        let Poll::Ready(refused) = poll_once(pin!(twin.increment("n", 1))) else { panic!("it waits") };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
        let Poll::Ready(refused) = poll_once(pin!(twin.get("n"))) else { panic!("it waits") };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
    }
    assert!(started.elapsed() < Duration::from_secs(4), "who waits for room gives up later");
    let hasty = run.with_timeout(Duration::from_millis(5));
    assert_eq!(hasty.increment("n", 1).unwrap_err().kind(), ErrorKind::Busy, "and so is who waits a moment");
    held.let_go();
    assert!(join_all(sent).iter().all(Result::is_ok));
    assert_eq!(int(&run, "n"), Some(4));
}

#[test]
fn a_future_that_is_dropped_wakes_nobody_and_its_write_takes_effect() {
    let (_database, run) = one_run();
    let once = run.with_operation_id(OperationId([7; 16]));
    let (twin, (woken, waker)) = (once.to_async(), Woken::new());
    let held = HeldShard::of(&run);
    {
        let mut writing = pin!(twin.append("pay", 120));
        assert!(writing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&woken), 1, "nothing of the task is left behind");
    held.let_go();
    assert_eq!(block_on(twin.append("pay", 120)).unwrap().sequence, 0, "it has happened, and happens once");
    assert_eq!((run.event_count().unwrap().value, woken.count()), (1, 0));
}

#[test]
fn a_thousand_futures_are_awaited_at_once() {
    let (_database, run) = one_run();
    let twin = run.to_async();
    let sums = join_all((0..1_000).map(|_| twin.increment("n", 1)));
    let mut sums: Vec<i64> = sums.into_iter().map(|sum| sum.unwrap().0).collect();
    assert!(sums.is_sorted(), "they take effect in the order of their first polls");
    sums.dedup();
    assert_eq!((sums.len(), int(&run, "n")), (1_000, Some(1_000)));
}

#[test]
fn a_future_is_polled_on_one_thread_and_finished_on_another() {
    let (_database, run) = one_run();
    let held = HeldShard::of(&run);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let twin = run.to_async();
            let mut task = Box::pin(async move { twin.increment("n", 1).await });
            assert!(poll_once(task.as_mut()).is_pending());
            task
        })
        .collect();
    let threads: Vec<_> = tasks.into_iter().map(|task| std::thread::spawn(move || block_on(task))).collect();
    held.let_go();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap().is_ok()));
    assert_eq!(int(&run, "n"), Some(64));
}

#[test]
fn many_threads_await_one_run_each_with_its_own_answers() {
    let (_database, run) = one_run_with(options(Durability::InMemory, 2));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let twin = run.to_async();
            scope.spawn(move || {
                let key = format!("key/{number}");
                for round in 1..=500 {
                    let (sum, _) = block_on(twin.increment(&key, 1)).unwrap();
                    let found = block_on(twin.get(&key)).unwrap().unwrap();
                    assert_eq!((sum, found.value.as_int()), (round, Some(round)));
                }
            });
        }
    });
}

#[test]
fn what_is_awaited_while_the_store_closes_is_answered_or_told() {
    for _ in 0..20 {
        let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
        let run = database.create_run(RunSpec::named("run")).unwrap();
        let task = |twin: AsyncRunHandle| async move {
            loop {
                match twin.increment("n", 1).await {
                    Ok(_) => {}
                    Err(error) => return error.kind(),
                }
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let task = task(run.to_async());
                std::thread::spawn(move || block_on(task))
            })
            .collect();
        eventually("they are at it", || int(&run, "n").is_some_and(|sum| sum > 2));
        database.close().unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), ErrorKind::Closed);
        }
    }
}

#[test]
fn a_snapshot_of_a_task_is_dropped_without_a_wait() {
    let (database, run) = one_run_with(Options { mailbox_capacity: 4, ..options(Durability::InMemory, 1) });
    let twin = run.to_async();
    let snapshots: Vec<_> = (0..2).map(|_| block_on(twin.snapshot()).unwrap()).collect();
    assert_eq!(open_count(&database), 2);
    let held = HeldShard::of(&run);
    let mut sent: Vec<_> = (0..8).map(|_| Box::pin(twin.increment("n", 1))).collect();
    sent.retain_mut(|writing| poll_once(writing.as_mut()).is_pending());
    let started = Instant::now();
    drop(snapshots);
    assert!(started.elapsed() < Duration::from_secs(4), "who waits for room gives up later");
    held.let_go();
    assert_eq!((join_all(sent).len(), open_count(&database)), (4, 2), "the shard could not be told");
}

#[test]
fn a_snapshot_that_is_dropped_on_its_way_is_let_go_of() {
    let (database, run) = one_run();
    let twin = run.to_async();
    let held = HeldShard::of(&run);
    assert!(poll_once(pin!(twin.snapshot())).is_pending());
    held.let_go();
    run.info().unwrap();
    assert_eq!(open_count(&database), 0);
}
