//! An allocator that counts what is asked of it, for tests that are alone in their process.
//!
//! The only unsafe code is that every call is handed to the system's allocator as it came, which keeps the promises
//! of `GlobalAlloc`.
#![expect(unsafe_code, reason = "implementing a global allocator is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static ALLOCATION_COUNT: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATION_COUNT.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(taken(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`, which are the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATION_COUNT.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(taken(size), Ordering::Relaxed);
        LIVE_BYTES.fetch_sub(taken(layout.size()), Ordering::Relaxed);
        // SAFETY: the pointer came from the system's allocator, with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(taken(layout.size()), Ordering::Relaxed);
        // SAFETY: the pointer came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What the system's allocator takes for so many bytes: a header of eight, rounded up to sixteen, and never less than 32
/// (glibc, malloc.c).
fn taken(size: usize) -> u64 {
    ((size + 8).next_multiple_of(16)).max(32) as u64
}

/// Bytes that are allocated at the moment.
#[allow(dead_code, reason = "only some count them")]
pub(crate) fn live_bytes() -> u64 {
    LIVE_BYTES.load(Ordering::Relaxed)
}

/// Allocations of the whole process so far, grown ones included.
#[allow(dead_code, reason = "only some count them")]
pub(crate) fn allocation_count() -> u64 {
    ALLOCATION_COUNT.load(Ordering::Relaxed)
}
