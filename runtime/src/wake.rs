//! How a thread sleeps without missing what comes meanwhile.
//!
//! A sender pushes, then looks at the word; a sleeper marks the word, then looks for work once more. Between its two
//! steps each side has a full fence, so that at least one of them sees the other (the store-buffering shape of
//! Dekker's algorithm): either the sender finds the sleeper and signals, or the sleeper finds the message and stays.
//! An owner that goes for good does the same steps: either it finds the message and drops it, or the sender does.
//! `loom-tests/tests/wake.rs` walks it, and fails when either fence is taken away.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::sync::{AtomicU32, Signal, Site, fence, ordering};

/// What the word says about its owner.
#[repr(u32)]
enum State {
    /// It runs, and will look for work before it sleeps.
    Awake = 0,
    /// It sleeps or is about to; whoever changes this raises the signal.
    Asleep = 1,
    /// It runs, and must not sleep before it has looked at everything once more.
    Nudged = 2,
    /// It is gone for good, and will look at nothing any more.
    Closed = 3,
}

const AWAKE: u32 = State::Awake as u32;
const ASLEEP: u32 = State::Asleep as u32;
const NUDGED: u32 = State::Nudged as u32;
const CLOSED: u32 = State::Closed as u32;

/// One thread's bed: it alone calls [`sleep`](Self::sleep), anybody may wake it.
#[derive(Debug)]
pub struct WakeWord {
    state: AtomicU32,
    signal: Signal,
}

impl WakeWord {
    /// A word whose owner is awake.
    ///
    /// # Errors
    /// When the process has no descriptor left for the eventfd.
    pub fn new() -> io::Result<WakeWord> {
        Ok(WakeWord { state: AtomicU32::new(AWAKE), signal: Signal::new()? })
    }

    /// Wakes the owner if it sleeps; called after the work it should find has been pushed.
    ///
    /// False if the owner is gone: it has not seen the work, or not all, and will not. Costs a fence and a load while
    /// the owner is awake, a system call when it sleeps.
    #[inline]
    #[must_use = "work for an owner that is gone must be dropped"]
    pub fn wake(&self) -> bool {
        // Pairs with the fences in `sleep` and `close`: the push comes before the load below for every thread.
        fence(Site::FenceAfterPush);
        match self.state.load(Ordering::Relaxed) {
            ASLEEP => self.rouse(),
            CLOSED => return false,
            _ => {}
        }
        true
    }

    /// Wakes the owner, or keeps it from its next sleep: for work that [`sleep`](Self::sleep) does not look for.
    pub fn nudge(&self) {
        // Release, and Acquire in `sleep`: who is nudged sees what was done before the nudge. One word has one order
        // of changes, so either `sleep` finds the nudge or this step finds the sleeper; no fence is needed.
        let release = ordering(Site::Nudge, Ordering::Release);
        let nudge = |state| (state != CLOSED).then_some(NUDGED);
        if self.state.fetch_update(release, Ordering::Relaxed, nudge) == Ok(ASLEEP) {
            self.signal.raise();
        }
    }

    /// Says that the owner is gone; called by the owner, before it drops the work that it will not do.
    ///
    /// Either the owner then finds a sender's work, or that sender's [`wake`](Self::wake) tells it to drop the work
    /// itself.
    pub fn close(&self) {
        self.state.store(CLOSED, Ordering::Relaxed);
        // Pairs with the fence in `wake`: the mark comes before the last look for work for every thread.
        fence(Site::FenceBeforeDrain);
    }

    /// Whether the owner is gone; if not, it may go at any moment.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Relaxed: a hint that spares a push. `wake` decides.
        self.state.load(Ordering::Relaxed) == CLOSED
    }

    /// Sleeps until woken, until `io` is readable or until the timeout; returns at once if `has_work` or if nudged.
    ///
    /// It may also return for no reason (a signal handler ran, an earlier wake came late): the caller looks at
    /// everything and sleeps again. Only the owner of the word may call this.
    #[inline(never)]
    pub fn sleep(
        &self,
        has_work: impl FnOnce() -> bool,
        io: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) {
        if self.fall_asleep() {
            // Pairs with the fence in `wake`: the mark comes before the look for every thread.
            fence(Site::FenceBeforeRecheck);
            if !has_work() {
                self.signal.wait(io, timeout);
            }
        }
        // Acquire pairs with the swap in `nudge`. A signal raised from here on ends the next sleep early, no more.
        self.state.swap(AWAKE, Ordering::Acquire);
    }

    /// Marks the word; false if a nudge is waiting there.
    fn fall_asleep(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Of several senders that found the owner asleep, one makes the system call.
    #[cold]
    #[inline(never)]
    fn rouse(&self) {
        // Relaxed: the message is published by the queue, and the signal orders itself. A nudge must not be undone,
        // hence the exchange; who loses it has nothing left to do.
        if self.state.compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.signal.raise();
        }
    }
}
