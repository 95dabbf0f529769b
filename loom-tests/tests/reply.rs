//! The reply slot: put, take and abandon from both ends, asleep and awake.
#![cfg(loom)]
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use strata_loom_tests::{RACES, assert_fails_without, explore, explore_bounded};
use strata_runtime::sync::Site;
use strata_runtime::{Abandoned, ReplyPool, Unanswered};

/// A value that tells how often it was dropped.
struct Counted(std::sync::Arc<AtomicUsize>);

impl Counted {
    fn new() -> (Counted, std::sync::Arc<AtomicUsize>) {
        let drop_count = std::sync::Arc::new(AtomicUsize::new(0));
        (Counted(drop_count.clone()), drop_count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn answered() {
    let pool = ReplyPool::new();
    let (pending, responder) = pool.request();
    let (value, drop_count) = Counted::new();
    let thread = thread::spawn(move || responder.send(value));
    let answer = pool.wait(pending).expect("the responder answers");
    assert_eq!(drop_count.load(Ordering::SeqCst), 0);
    drop(answer);
    thread.join().unwrap();
    assert_eq!(drop_count.load(Ordering::SeqCst), 1);
}

/// The first responder may still be about to unpark when its slot serves the second.
fn answered_twice_through_one_slot() {
    let pool = ReplyPool::new();
    let threads = [1, 2].map(|number| {
        let (pending, responder) = pool.request();
        let thread = thread::spawn(move || responder.send(number));
        assert_eq!(pool.wait(pending), Ok(number));
        thread
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

fn abandoned_by_the_responder() {
    let pool = ReplyPool::<u32>::new();
    let (pending, responder) = pool.request();
    let thread = thread::spawn(move || drop(responder));
    assert_eq!(pool.wait(pending), Err(Abandoned));
    thread.join().unwrap();
}

fn abandoned_then_answered_through_one_slot() {
    let pool = ReplyPool::new();
    let (pending, responder) = pool.request();
    let first = thread::spawn(move || drop(responder));
    assert_eq!(pool.wait(pending), Err(Abandoned));
    let (pending, responder) = pool.request();
    let second = thread::spawn(move || responder.send(2));
    assert_eq!(pool.wait(pending), Ok(2));
    first.join().unwrap();
    second.join().unwrap();
}

fn abandoned_by_the_waiter() {
    let pool = ReplyPool::new();
    let (pending, responder) = pool.request();
    let (value, drop_count) = Counted::new();
    let thread = thread::spawn(move || responder.send(value));
    drop(pending);
    thread.join().unwrap();
    assert_eq!(drop_count.load(Ordering::SeqCst), 1);
}

fn abandoned_by_both() {
    let pool = ReplyPool::<u32>::new();
    let (pending, responder) = pool.request();
    let thread = thread::spawn(move || drop(responder));
    drop(pending);
    thread.join().unwrap();
}

fn given_up() {
    let pool = ReplyPool::new();
    let (pending, responder) = pool.request();
    let (value, drop_count) = Counted::new();
    let thread = thread::spawn(move || responder.send(value));
    match pool.wait_while(pending, || false) {
        Ok(answer) => drop(answer),
        Err(unanswered) => assert_eq!(unanswered, Unanswered::GaveUp),
    }
    thread.join().unwrap();
    assert_eq!(drop_count.load(Ordering::SeqCst), 1);
}

/// A wait that was given up leaves its responder at large; the next request must not meet it.
fn given_up_then_answered() {
    let pool = ReplyPool::new();
    let (pending, responder) = pool.request();
    let first = thread::spawn(move || responder.send(1));
    let _ = pool.wait_while(pending, || false);
    let (pending, responder) = pool.request();
    let second = thread::spawn(move || responder.send(2));
    assert_eq!(pool.wait(pending), Ok(2));
    first.join().unwrap();
    second.join().unwrap();
}

/// The slot's next request has no timeline, or one of its own.
fn timed_then_untimed_through_one_slot() {
    let pool = ReplyPool::new();
    let (pending, mut responder) = pool.request();
    responder.mark_sent();
    let first = thread::spawn(move || {
        responder.mark_taken();
        responder.mark_withheld();
        responder.send(1);
    });
    assert_eq!(pool.wait(pending), Ok(1));
    let timeline = pool.take_timeline().expect("it was timed");
    assert!(timeline.taken.is_some() && timeline.withheld.is_some() && timeline.answered.is_some());
    let (pending, responder) = pool.request();
    let second = thread::spawn(move || responder.send(2));
    assert_eq!(pool.wait(pending), Ok(2));
    assert_eq!(pool.take_timeline(), None);
    first.join().unwrap();
    second.join().unwrap();
}

#[test]
fn a_timeline_is_touched_by_one_end_at_a_time_and_stays_with_its_request() {
    explore_bounded("reply: timed, then untimed (3 preemptions)", 3, timed_then_untimed_through_one_slot);
}

#[test]
fn an_answer_always_arrives_and_is_dropped_once() {
    explore("reply: answer", answered);
}

#[test]
fn a_slot_serves_its_next_request_while_the_last_responder_leaves() {
    explore("reply: two answers through one slot", answered_twice_through_one_slot);
    explore_bounded(
        "reply: abandonment, then answer (3 preemptions)",
        3,
        abandoned_then_answered_through_one_slot,
    );
}

#[test]
fn a_dropped_responder_always_ends_the_wait() {
    explore("reply: abandoned by the responder", abandoned_by_the_responder);
}

#[test]
fn an_answer_to_nobody_is_dropped_once() {
    explore("reply: abandoned by the waiter", abandoned_by_the_waiter);
    explore("reply: abandoned by both", abandoned_by_both);
}

#[test]
fn a_wait_given_up_leaves_nothing_behind() {
    explore("reply: given up", given_up);
    explore_bounded("reply: given up, then answer (3 preemptions)", 3, given_up_then_answered);
}

#[test]
fn the_value_is_torn_without_the_release_of_the_answer() {
    assert_fails_without(Site::Answer, "reply: answered", RACES, answered);
    assert_fails_without(
        Site::Answer,
        "reply: answered twice through one slot",
        RACES,
        answered_twice_through_one_slot,
    );
    assert_fails_without(Site::Answer, "reply: given up", RACES, given_up);
}

#[test]
fn the_value_is_torn_without_the_acquire_of_the_waiter() {
    assert_fails_without(Site::Take, "reply: answered", RACES, answered);
    assert_fails_without(
        Site::Take,
        "reply: answered twice through one slot",
        RACES,
        answered_twice_through_one_slot,
    );
    assert_fails_without(Site::Take, "reply: given up", RACES, given_up);
}
