//! What a request costs once its pool is warm: no allocation, on either side.
//!
//! One test alone in its process, because the counter sees every thread.
#![cfg(not(loom))]

mod counting;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use strata_runtime::{ReplyPool, Responder, TaskReplyPool, mailbox};

use crate::counting::allocation_count;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_warm_request_and_its_reply_allocate_nothing() {
    const REQUEST_COUNT: u64 = 10_000;
    let (sender, mailbox) = mailbox::<Option<(u64, Responder<u64>)>>(16).unwrap();
    let server = strata_runtime::spawn("server", None, move || {
        loop {
            match mailbox.receive() {
                Some(Some((question, responder))) => responder.send(question + 1),
                Some(None) => return,
                None => mailbox.sleep(None, None),
            }
        }
    });
    let server = server.unwrap();
    let pool = ReplyPool::new();
    let ask = |question| {
        let (pending, responder) = pool.request();
        sender.try_send(Some((question, responder))).unwrap();
        assert_eq!(pool.wait(pending), Ok(question + 1));
    };
    let tasks = TaskReplyPool::new();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let ask_of_a_task = |question| {
        let (mut awaited, responder) = tasks.request();
        sender.try_send(Some((question, responder))).unwrap();
        loop {
            match pin!(&mut awaited).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => break assert_eq!(answer, Ok(question + 1)),
                Poll::Pending => std::thread::park(),
            }
        }
        tasks.recycle(awaited);
    };
    // As many slots as there ever are responders that are about to leave.
    let held: Vec<_> = (0..64).map(|_| tasks.request()).collect();
    for (mut awaited, responder) in held {
        responder.send(0);
        assert!(pin!(&mut awaited).poll(&mut Context::from_waker(&waker)).is_ready());
        tasks.recycle(awaited);
    }
    (0..100).for_each(ask);
    (0..100).for_each(ask_of_a_task);

    let before = allocation_count();
    (0..REQUEST_COUNT).for_each(ask);
    let of_threads = allocation_count() - before;
    (0..REQUEST_COUNT).for_each(ask_of_a_task);
    let of_tasks = allocation_count() - before - of_threads;

    assert!(before > 0, "the counter counts");
    sender.try_send(None).unwrap();
    server.join().unwrap();
    assert_eq!((of_threads, of_tasks), (0, 0), "in {REQUEST_COUNT} requests each");
}
