//! What an ordinary build shares between threads: the standard library, an eventfd and arc-swap.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
pub(crate) use std::sync::{Arc, Mutex};

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::Site;

/// Whether this build runs inside a model.
pub(crate) const fn is_modelled() -> bool {
    false
}

/// A sequentially consistent fence.
#[inline(always)]
pub(crate) fn fence(_site: Site) {
    std::sync::atomic::fence(Ordering::SeqCst);
}

/// The ordering that `site` asked for.
#[inline(always)]
pub(crate) const fn ordering(_site: Site, intended: Ordering) -> Ordering {
    intended
}

/// The standard cell, reached through a closure as loom's is.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// Who waits for an answer: a thread that is parked and unparked.
#[derive(Debug)]
pub(crate) struct Waiter {
    thread: Thread,
}

impl Waiter {
    /// The calling thread.
    pub(crate) fn current() -> Waiter {
        Waiter { thread: std::thread::current() }
    }

    /// Sleeps until unparked, for `timeout` at most; only the thread itself may ask for it.
    pub(crate) fn park(&self, timeout: Duration) {
        debug_assert!(self.thread.id() == std::thread::current().id(), "a thread parks only itself");
        std::thread::park_timeout(timeout);
    }

    /// Ends the sleep, or the next one.
    #[cold]
    #[inline(never)]
    pub(crate) fn unpark(&self) {
        self.thread.unpark();
    }
}

/// What a sleeping thread waits on: an eventfd, so that one `ppoll(2)` serves messages and I/O alike.
#[derive(Debug)]
pub(crate) struct Signal {
    eventfd: OwnedFd,
}

impl Signal {
    pub(crate) fn new() -> io::Result<Signal> {
        Ok(Signal { eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Ends the wait that is going on, or the next one.
    pub(crate) fn raise(&self) {
        match rustix::io::write(&self.eventfd, &1u64.to_ne_bytes()) {
            // EAGAIN: the counter is at its maximum, so the signal is up already (eventfd(2)).
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => panic!("an eventfd of our own refused a write: {error}"),
        }
    }

    /// Waits for a signal, for `io` to become readable, for the timeout or for an interruption, and lowers the
    /// signal.
    pub(crate) fn wait(&self, io: Option<BorrowedFd<'_>>, timeout: Option<Duration>) {
        let timeout = timeout.map(to_timespec);
        let own = PollFd::from_borrowed_fd(self.eventfd.as_fd(), PollFlags::IN);
        let is_raised = match io {
            None => {
                let mut fds = [own];
                poll(&mut fds, timeout.as_ref()).is_ok() && !fds[0].revents().is_empty()
            }
            Some(io) => {
                let mut fds = [own, PollFd::from_borrowed_fd(io, PollFlags::IN)];
                poll(&mut fds, timeout.as_ref()).is_ok() && !fds[0].revents().is_empty()
            }
        };
        if is_raised {
            // A failure here only means that the next wait ends at once.
            let _ = rustix::io::read(&self.eventfd, &mut [0u8; 8]);
        }
    }
}

/// Longer than any clock can count means as long as the clock can count.
fn to_timespec(timeout: Duration) -> Timespec {
    Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}

/// A shared value that is replaced while others read it.
pub(crate) struct SwapCell<T>(ArcSwapOption<T>);

impl<T> SwapCell<T> {
    pub(crate) fn new(value: Option<Arc<T>>) -> SwapCell<T> {
        SwapCell(ArcSwapOption::new(value))
    }

    #[inline]
    pub(crate) fn read<R>(&self, read: impl FnOnce(Option<&Arc<T>>) -> R) -> R {
        read(self.0.load().as_ref())
    }

    pub(crate) fn set(&self, value: Option<Arc<T>>) {
        self.0.store(value);
    }
}
