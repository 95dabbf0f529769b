//! What a request costs once its pool is warm: no allocation, on either side.
//!
//! One test alone in its process, because the counter sees every thread.
#![cfg(not(loom))]

mod counting;

use strata_runtime::{ReplyPool, Responder, mailbox};

use crate::counting::allocation_count;

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
    (0..100).for_each(ask);

    let before = allocation_count();
    (0..REQUEST_COUNT).for_each(ask);
    let allocation_count = allocation_count() - before;

    assert!(before > 0, "the counter counts");
    sender.try_send(None).unwrap();
    server.join().unwrap();
    assert_eq!(allocation_count, 0, "in {REQUEST_COUNT} requests");
}
