//! What a request costs once its pool is warm: no allocation, on either side.
//!
//! One test alone in its process, because the counter sees every thread. The only unsafe code is the allocator that
//! counts; it hands every call to the system's as it came.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "implementing a global allocator is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use strata_runtime::{ReplyPool, Responder, mailbox};

static ALLOCATION_COUNT: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATION_COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`, which are the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
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
    (0..100).for_each(ask);

    let before = ALLOCATION_COUNT.load(Ordering::Relaxed);
    (0..REQUEST_COUNT).for_each(ask);
    let allocation_count = ALLOCATION_COUNT.load(Ordering::Relaxed) - before;

    assert!(before > 0, "the counter counts");
    sender.try_send(None).unwrap();
    server.join().unwrap();
    assert_eq!(allocation_count, 0, "in {REQUEST_COUNT} requests");
}
