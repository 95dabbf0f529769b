//! What a model shares between threads: loom's stand-ins, and the smallest queue and signal that behave as the real
//! ones do.

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64};

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Condvar, Mutex, MutexGuard};

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

/// The bounded queue under a mailbox.
///
/// The numbers of messages ever pushed and popped stand outside the lock, as the ends of a ring do: a look at the
/// queue is two loads and orders nothing else. Behind the lock it would order everything, and hide a missing fence.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    messages: Mutex<VecDeque<T>>,
    pushed_count: AtomicUsize,
    popped_count: AtomicUsize,
    capacity: usize,
}

impl<T> Queue<T> {
    pub(crate) fn bounded(capacity: usize) -> Queue<T> {
        Queue {
            messages: Mutex::new(VecDeque::new()),
            pushed_count: AtomicUsize::new(0),
            popped_count: AtomicUsize::new(0),
            capacity,
        }
    }

    pub(crate) fn push(&self, message: T) -> Result<(), T> {
        let mut messages = self.lock();
        if messages.len() == self.capacity {
            return Err(message);
        }
        messages.push_back(message);
        drop(messages);
        self.pushed_count.fetch_add(1, Ordering::Release);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let message = self.lock().pop_front()?;
        self.popped_count.fetch_add(1, Ordering::Release);
        Some(message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        // A message may be popped before it is counted as pushed.
        let popped_count = self.popped_count.load(Ordering::Acquire);
        self.pushed_count.load(Ordering::Acquire).saturating_sub(popped_count)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.messages.lock().expect("no thread of a model panics with the lock")
    }
}
