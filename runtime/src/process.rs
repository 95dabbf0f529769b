//! Which process this is, told apart from the one that it was forked from, for the price of a load.
//!
//! A process that fork(2) makes has the memory of its parent and one thread: what shares state with other threads must not be
//! used in it. `getpid(2)` tells, and is a system call; this file has a page of memory that the kernel empties in the child
//! (`MADV_WIPEONFORK`, madvise(2), Linux 4.14). Here is unsafe code, and this is why it is sound: the page is mapped once, read and
//! written, belongs to nobody else and is never unmapped, so a reference to it lives as long as the process. It is
//! only used as an atomic number, for which every content is valid, that of a new or an emptied page too.
#![expect(unsafe_code, reason = "a page is mapped, and used as a number")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// What one page has at least, bytes.
const PAGE_SIZE: usize = 4096;

/// A number that another process of the same lineage does not have: not the parent, not a child.
///
/// ```
/// assert_eq!(strata_runtime::process_number(), strata_runtime::process_number());
/// ```
#[inline]
pub fn process_number() -> u64 {
    static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
    match PAGE.get_or_init(page_of_this_process) {
        // Relaxed: a thread of this process has written it, or is about to write the same one.
        Some(page) => match page.load(Ordering::Relaxed) {
            0 => begin(page),
            number => number,
        },
        None => u64::from(std::process::id()),
    }
}

/// Takes the next number: the first one of a lineage, or one more than that of the parent. Nobody else of the
/// lineage meets its siblings, so they may have the same.
#[cold]
fn begin(page: &AtomicU64) -> u64 {
    static LATEST: AtomicU64 = AtomicU64::new(0);
    let next = LATEST.fetch_add(1, Ordering::Relaxed) + 1;
    match page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => next,
        Err(taken) => taken,
    }
}

/// A page that is empty in a process that is forked from this one; none where the kernel knows no such thing.
fn page_of_this_process() -> Option<&'static AtomicU64> {
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: without an address of ours to map at, the kernel chooses one that nothing else has.
    let page = unsafe { mmap_anonymous(std::ptr::null_mut(), PAGE_SIZE, protection, flags) }.ok()?;
    // SAFETY: the advice concerns this page alone, which was just mapped, and changes nothing in this process.
    unsafe { madvise(page, PAGE_SIZE, Advice::LinuxWipeOnFork) }.ok()?;
    // SAFETY: the page is aligned and large enough, readable and writable, never unmapped, and reached as this number alone.
    Some(unsafe { AtomicU64::from_ptr(page.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_of_a_process_have_one_number() {
        let threads = [(); 8].map(|()| std::thread::spawn(process_number));
        let numbers = threads.map(|thread| thread.join().unwrap());
        assert!(numbers.iter().all(|number| *number == process_number()), "{numbers:?}");
    }
}
