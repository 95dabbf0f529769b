//! What a model shares between threads: loom's stand-ins, and the smallest signal that behaves as the real one does.

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
pub(crate) use loom::sync::{Arc, Mutex};

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loom::sync::Condvar;

use super::Site;

thread_local! {
    /// The site whose ordering is taken away; loom runs all threads of a model on the one that called it.
    static WEAKENED: Cell<Option<Site>> = const { Cell::new(None) };
}

/// Runs `model` with the ordering of `site` taken away: it must fail, or the model proves nothing about `site`.
pub fn weakened<R>(site: Site, model: impl FnOnce() -> R) -> R {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            WEAKENED.set(None);
        }
    }
    let _restore = Restore;
    WEAKENED.set(Some(site));
    model()
}

/// Whether this build runs inside a model.
pub(crate) const fn is_modelled() -> bool {
    true
}

/// A sequentially consistent fence, or nothing at a weakened site.
pub(crate) fn fence(site: Site) {
    if WEAKENED.get() != Some(site) {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// The ordering that `site` asked for, or none at a weakened site.
pub(crate) fn ordering(site: Site, intended: Ordering) -> Ordering {
    if WEAKENED.get() == Some(site) { Ordering::Relaxed } else { intended }
}

/// A number that several threads look at before one of them changes it.
///
/// To find the orders worth trying, loom 0.7 remembers the last access of an atomic only. A thread that loads and then
/// stores hides by its own load the loads of others before it, and what they would have seen after the store is never
/// tried: a ring of one producer would have a single interleaving. So each load here first stores to a cell beside the
/// number that nobody ever reads. It orders nothing, being relaxed, and loom tries the loads in each order.
#[derive(Debug)]
pub(crate) struct AtomicUsize {
    number: loom::sync::atomic::AtomicUsize,
    looks: loom::sync::atomic::AtomicUsize,
}

impl AtomicUsize {
    pub(crate) fn new(number: usize) -> AtomicUsize {
        let looks = loom::sync::atomic::AtomicUsize::new(0);
        AtomicUsize { number: loom::sync::atomic::AtomicUsize::new(number), looks }
    }

    pub(crate) fn load(&self, order: Ordering) -> usize {
        self.looks.store(0, Ordering::Relaxed);
        self.number.load(order)
    }

    pub(crate) fn store(&self, number: usize, order: Ordering) {
        self.number.store(number, order);
    }

    pub(crate) fn compare_exchange(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.number.compare_exchange(current, new, success, failure)
    }
}

/// Who waits for an answer: a token under a lock.
///
/// Loom's own unpark also ends a join, and hands over all that its caller has seen; this one does neither. There is
/// no time either: a lost wake-up shows as a deadlock and is not healed by a timeout.
#[derive(Debug)]
pub(crate) struct Waiter {
    token: Signal,
}

impl Waiter {
    pub(crate) fn current() -> Waiter {
        Waiter { token: Signal::new().expect("a model has descriptors") }
    }

    pub(crate) fn park(&self, _timeout: Duration) {
        self.token.wait(None, None);
    }

    pub(crate) fn unpark(&self) {
        self.token.raise();
    }
}

/// What a sleeping thread waits on; descriptors and timeouts never wake a model.
#[derive(Debug)]
pub(crate) struct Signal {
    is_raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(crate) fn new() -> io::Result<Signal> {
        Ok(Signal { is_raised: Mutex::new(false), changed: Condvar::new() })
    }

    pub(crate) fn raise(&self) {
        *self.is_raised.lock().expect("no thread of a model panics with the lock") = true;
        self.changed.notify_one();
    }

    pub(crate) fn wait(&self, _io: Option<BorrowedFd<'_>>, _timeout: Option<Duration>) {
        let mut is_raised = self.is_raised.lock().expect("no thread of a model panics with the lock");
        while !*is_raised {
            is_raised = self.changed.wait(is_raised).expect("no thread of a model panics with the lock");
        }
        *is_raised = false;
    }
}

/// A shared value that is replaced while others read it, which a mutex does for arc-swap.
pub(crate) struct SwapCell<T>(Mutex<Option<Arc<T>>>);

impl<T> SwapCell<T> {
    pub(crate) fn new(value: Option<Arc<T>>) -> SwapCell<T> {
        SwapCell(Mutex::new(value))
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(Option<&Arc<T>>) -> R) -> R {
        // Held no longer than to take it: a reader of the real one keeps nobody from replacing it either.
        let value = self.0.lock().expect("no thread of a model panics with the lock").clone();
        read(value.as_ref())
    }

    pub(crate) fn set(&self, value: Option<Arc<T>>) {
        *self.0.lock().expect("no thread of a model panics with the lock") = value;
    }
}
