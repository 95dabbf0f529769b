//! The reply slot of a task: watched, answered and dropped from both ends, with one waker after another.
#![cfg(loom)]
#![forbid(unsafe_code)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};
use loom::thread;
use strata_loom_tests::{RACES, assert_fails_without, explore, explore_bounded};
use strata_runtime::sync::Site;
use strata_runtime::{Abandoned, Awaited, TaskReplyPool};

/// What a thread waits on that has nothing to do but one task.
struct Token {
    is_raised: Mutex<bool>,
    changed: Condvar,
    wake_count: AtomicUsize,
}

impl Token {
    fn new() -> (Arc<Token>, Waker) {
        let token =
            Token { is_raised: Mutex::new(false), changed: Condvar::new(), wake_count: AtomicUsize::new(0) };
        let token = Arc::new(token);
        (token.clone(), Waker::from(token))
    }

    fn wait(&self) {
        let mut is_raised = self.is_raised.lock().unwrap();
        while !*is_raised {
            is_raised = self.changed.wait(is_raised).unwrap();
        }
        *is_raised = false;
    }

    fn wake_count(&self) -> usize {
        self.wake_count.load(Ordering::SeqCst)
    }
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        self.wake_count.fetch_add(1, Ordering::SeqCst);
        *self.is_raised.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

fn poll<T>(awaited: &mut Awaited<T>, waker: &Waker) -> Poll<Result<T, Abandoned>> {
    pin!(awaited).poll(&mut Context::from_waker(waker))
}

/// Polls to the end; a wake-up that is lost shows as a deadlock. Who was woken was woken once.
fn finish<T>(awaited: &mut Awaited<T>) -> Result<T, Abandoned> {
    let (token, waker) = Token::new();
    let answer = loop {
        match poll(awaited, &waker) {
            Poll::Ready(answer) => break answer,
            Poll::Pending => token.wait(),
        }
    };
    assert!(token.wake_count() <= 1);
    answer
}

/// A value that tells how often it was dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn answered() {
    let pool = TaskReplyPool::new();
    let (mut awaited, responder) = pool.request();
    let thread = thread::spawn(move || responder.send(7));
    assert_eq!(finish(&mut awaited), Ok(7));
    thread.join().unwrap();
}

fn abandoned_by_the_responder() {
    let pool = TaskReplyPool::<u32>::new();
    let (mut awaited, responder) = pool.request();
    let thread = thread::spawn(move || drop(responder));
    assert_eq!(finish(&mut awaited), Err(Abandoned));
    thread.join().unwrap();
}

/// Another waker comes at every poll, as where a task moves from one executor to another.
fn polled_with_one_waker_after_another() {
    let pool = TaskReplyPool::new();
    let (mut awaited, responder) = pool.request();
    let thread = thread::spawn(move || responder.send(7));
    let (token, waker) = Token::new();
    let first = poll(&mut awaited, &waker);
    match first {
        Poll::Ready(answer) => assert_eq!(answer, Ok(7)),
        Poll::Pending => assert_eq!(finish(&mut awaited), Ok(7)),
    }
    thread.join().unwrap();
    assert!(token.wake_count() <= 1);
    drop((awaited, waker));
    assert_eq!(Arc::strong_count(&token), 1, "no waker is left behind");
}

fn dropped_when_it_was_polled() {
    let pool = TaskReplyPool::new();
    let (mut awaited, responder) = pool.request();
    let drop_count = Arc::new(AtomicUsize::new(0));
    let value = Counted(drop_count.clone());
    let thread = thread::spawn(move || responder.send(value));
    let (token, waker) = Token::new();
    drop(poll(&mut awaited, &waker));
    drop(awaited);
    thread.join().unwrap();
    drop(waker);
    assert_eq!((drop_count.load(Ordering::SeqCst), Arc::strong_count(&token)), (1, 1));
}

/// Whoever looks again before he is woken may have the answer while its responder is about to wake him.
fn answered_twice_through_one_pool() {
    let pool = TaskReplyPool::new();
    let threads = [1, 2].map(|number| {
        let (mut awaited, responder) = pool.request();
        let thread = thread::spawn(move || responder.send(number));
        let (_token, waker) = Token::new();
        match poll(&mut awaited, &waker) {
            Poll::Ready(answer) => assert_eq!(answer, Ok(number)),
            Poll::Pending => assert_eq!(finish(&mut awaited), Ok(number)),
        }
        pool.recycle(awaited);
        thread
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A task that is polled here and there: the answer comes from a third thread.
fn polled_on_two_threads() {
    let pool = TaskReplyPool::new();
    let (mut awaited, responder) = pool.request();
    let answering = thread::spawn(move || responder.send(7));
    let (_token, waker) = Token::new();
    if let Poll::Ready(answer) = poll(&mut awaited, &waker) {
        assert_eq!(answer, Ok(7));
    } else {
        let polling = thread::spawn(move || assert_eq!(finish(&mut awaited), Ok(7)));
        polling.join().unwrap();
    }
    answering.join().unwrap();
}

#[test]
fn an_answer_always_arrives_and_wakes_once() {
    explore("task reply: answer", answered);
    explore("task reply: abandoned by the responder", abandoned_by_the_responder);
}

#[test]
fn the_waker_of_the_last_poll_is_woken_wherever_that_was() {
    explore("task reply: one waker after another", polled_with_one_waker_after_another);
    explore_bounded("task reply: polled on two threads (3 preemptions)", 3, polled_on_two_threads);
}

#[test]
fn a_task_that_is_dropped_leaves_neither_answer_nor_waker_behind() {
    explore("task reply: dropped when it was polled", dropped_when_it_was_polled);
}

#[test]
fn a_slot_serves_its_next_request_only_when_its_responder_has_left() {
    explore_bounded(
        "task reply: two answers through one pool (3 preemptions)",
        3,
        answered_twice_through_one_pool,
    );
}

#[test]
fn the_waker_is_torn_where_its_registration_publishes_nothing() {
    assert_fails_without(Site::Watch, "task reply: answered", RACES, answered);
    assert_fails_without(
        Site::Watch,
        "task reply: one waker after another",
        RACES,
        polled_with_one_waker_after_another,
    );
    assert_fails_without(Site::Watch, "task reply: dropped", RACES, dropped_when_it_was_polled);
}

#[test]
fn the_value_is_torn_without_the_orderings_of_the_answer() {
    assert_fails_without(Site::Answer, "task reply: answered", RACES, answered);
    assert_fails_without(Site::Take, "task reply: answered", RACES, answered);
}
