//! Where one answer changes hands, and how its waiter is woken.
//!
//! This file holds unsafe code, and this is why it is sound. A slot is shared by exactly one waiting end
//! ([`Pending`](crate::Pending) or [`Awaited`](crate::Awaited)) and one [`Responder`](crate::Responder), through an
//! `Arc`, so its memory outlives both. Neither end can be cloned, and both are consumed by what they do.
//!
//! **The value** is touched by the responder alone until the one swap with which it publishes an answer (Release), and by
//! the waiting end alone once it has seen that answer (Acquire). A value that nobody takes is an ordinary `Option` inside the
//! slot and is dropped with it, once, by whoever lets go last. The timeline goes the same way: the responder's until its swap,
//! from the thread that asks on, then the waiting end's, which leaves none behind.
//!
//! **Who is woken** is the thread that a slot was made for, which never changes, or a task. The waker of a task belongs
//! to the waiting end in every state but `Parked`. It goes over to the responder with the exchange to `Parked`
//! (Release), and comes back with the exchange from there, which fails once the responder has swapped. A responder
//! whose swap finds `Parked` (Acquire) takes the waker out.
//!
//! **A slot serves its next request** once its answer was taken. The responder of the last one may be about to unpark the
//! thread, which every request of the slot has in common. About to take a waker it must not be: the slot of a task is reset
//! by who has it alone.
#![expect(
    unsafe_code,
    reason = "value and waker change hands by an atomic state, which the compiler cannot follow"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sync::{Arc, AtomicU32, Site, UnsafeCell, Waiter, ordering};
use crate::timeline::Timeline;

/// The life of one request, as its slot tells it.
#[repr(u32)]
enum State {
    /// Nothing has come; the waiter is awake or elsewhere, and will look.
    Waiting = 0,
    /// Nothing has come; the waiter sleeps or is about to, and the responder must wake it.
    Parked = 1,
    /// The value is in the slot. Set once, by the responder.
    Answered = 2,
    /// The responder was dropped: the waiter is told, never left hanging. Set once, by the responder.
    Abandoned = 3,
    /// As `Answered`, and the responder had to wait for something that may be slower than threads are.
    AnsweredLate = 4,
}

const WAITING: u32 = State::Waiting as u32;
const PARKED: u32 = State::Parked as u32;
const ANSWERED: u32 = State::Answered as u32;
const ABANDONED: u32 = State::Abandoned as u32;
const ANSWERED_LATE: u32 = State::AnsweredLate as u32;

fn is_outcome(state: u32) -> bool {
    matches!(state, ANSWERED | ABANDONED | ANSWERED_LATE)
}

/// One request at a time, and its answer.
pub(crate) struct Slot<T> {
    state: AtomicU32,
    value: UnsafeCell<Option<T>>,
    /// None for a request that nobody times.
    timeline: UnsafeCell<Option<Timeline>>,
    sleeper: Sleeper,
}

/// Who waits.
enum Sleeper {
    /// The thread of a pool, which is the only one that waits.
    Thread(Waiter),
    /// A task, with the waker that it was polled with last.
    Task(UnsafeCell<Option<Waker>>),
}

// SAFETY: value, timeline and waker are reached by one thread at a time, as the head of this file argues; the value moves from
// the responder's thread to the waiter's, for which `T: Send` is enough, and timelines and wakers are `Send`. Everything else in
// a slot is `Sync`.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// One whose waiter is the calling thread.
    pub(crate) fn for_thread() -> Slot<T> {
        Slot::new(Sleeper::Thread(Waiter::current()))
    }

    /// One whose waiter is a task, on whatever thread that is polled.
    pub(crate) fn for_task() -> Slot<T> {
        Slot::new(Sleeper::Task(UnsafeCell::new(None)))
    }

    fn new(sleeper: Sleeper) -> Slot<T> {
        let (value, timeline) = (UnsafeCell::new(None), UnsafeCell::new(None));
        Slot { state: AtomicU32::new(WAITING), value, timeline, sleeper }
    }

    /// For the responder, before it answers: begins the timeline of the request.
    pub(crate) fn begin_timeline(&self) {
        // SAFETY: the responder has not swapped, and the waiting end touches the timeline in no state before.
        self.timeline.with_mut(|timeline| unsafe { *timeline = Some(Timeline::begin()) });
    }

    /// For the responder, before it answers: notes that a station is passed now, if the request has a timeline.
    #[inline]
    pub(crate) fn mark(&self, station: fn(&mut Timeline) -> &mut Option<Instant>) {
        if self.is_timed() {
            self.mark_now(station);
        }
    }

    #[cold]
    #[inline(never)]
    fn mark_now(&self, station: fn(&mut Timeline) -> &mut Option<Instant>) {
        self.timeline.with_mut(|timeline| {
            // SAFETY: as in `begin_timeline`. The reference ends here.
            if let Some(timeline) = unsafe { &mut *timeline } {
                *station(timeline) = Some(Instant::now());
            }
        });
    }

    /// For whoever may touch the timeline: whether there is one.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        // SAFETY: as in `begin_timeline` for the responder, as in `take_timeline` for the waiting end.
        self.timeline.with_mut(|timeline| unsafe { (*timeline).is_some() })
    }

    /// For the waiting end, behind `take`: the timeline of the request, if it has one. The slot has none afterwards.
    #[cold]
    #[inline(never)]
    pub(crate) fn take_timeline(&self) -> Option<Timeline> {
        // SAFETY: as in `take`: the responder made its last touch before its swap, and this thread has seen that.
        self.timeline.with_mut(|timeline| unsafe { (*timeline).take() })
    }

    /// For the responder, once: publishes the answer.
    #[inline]
    pub(crate) fn answer(&self, answer: T, is_late: bool) {
        self.value.with_mut(|value| {
            // SAFETY: the state is Waiting or Parked until the swap below, and the waiter touches the value in
            // neither; the only responder is this one.
            unsafe { *value = Some(answer) }
        });
        self.mark(|timeline| &mut timeline.answered);
        self.settle(if is_late { ANSWERED_LATE } else { ANSWERED });
    }

    /// For the responder, once: says that nobody will answer.
    #[cold]
    pub(crate) fn abandon(&self) {
        self.settle(ABANDONED);
    }

    #[inline]
    fn settle(&self, outcome: u32) {
        // Release pairs with the Acquire in `is_settled` and `take`: who sees the outcome sees the value. Acquire pairs with
        // the Release in `watch`: who finds a parked task sees its waker.
        let before = self.state.swap(outcome, ordering(Site::Answer, Ordering::AcqRel));
        debug_assert!(before == WAITING || before == PARKED, "a request is settled once");
        if before == PARKED {
            self.wake();
        }
    }

    /// For the responder whose swap has found the waiter parked.
    #[inline]
    fn wake(&self) {
        match &self.sleeper {
            // The waiter may be gone, or have used the slot again: then it finds a token it did not need.
            Sleeper::Thread(waiter) => waiter.unpark(),
            Sleeper::Task(waker) => {
                // SAFETY: the exchange to Parked has given the waker to the responder, and no exchange takes it back
                // behind the swap that found it so.
                wake(waker.with_mut(|waker| unsafe { (*waker).take() }));
            }
        }
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        is_outcome(self.state.load(ordering(Site::Take, Ordering::Acquire)))
    }

    /// For the waiting thread: sleeps until the request is settled, or until `nap` gives no more time; tells which.
    #[cold]
    #[inline(never)]
    pub(crate) fn park_by(&self, nap: impl Fn() -> Option<Duration>) -> bool {
        let Sleeper::Thread(waiter) = &self.sleeper else { unreachable!("a task does not park a thread") };
        // Relaxed: the mark carries no data. An exchange, because a plain store could wipe out an answer. When it
        // fails the answer has come, and the load below sees it.
        let _ = self.state.compare_exchange(WAITING, PARKED, Ordering::Relaxed, Ordering::Relaxed);
        while !self.is_settled() {
            let Some(nap) = nap() else { return false };
            waiter.park(nap);
        }
        true
    }

    /// For the waiting task: has the responder wake `waker`, and no other that it was told before; or tells that the request is
    /// settled.
    pub(crate) fn watch(&self, waker: &Waker) -> bool {
        if self.is_settled() || !self.unpark() {
            return true;
        }
        let known = self.waker();
        known.with_mut(|known| {
            // SAFETY: the state is Waiting, or the responder has swapped when it was: the waker is the waiting end's. The
            // reference ends here.
            match unsafe { &mut *known } {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        });
        // Release pairs with the Acquire of the responder's swap. A failure means that the answer came meanwhile: the
        // responder found nobody to wake, and has not seen the waker.
        let told = ordering(Site::Watch, Ordering::Release);
        let is_parked = self.state.compare_exchange(WAITING, PARKED, told, Ordering::Relaxed).is_ok();
        if !is_parked {
            self.forget_waker();
        }
        !is_parked
    }

    /// For the waiting task, which is polled no more: the responder wakes nobody from now on, unless it is about to.
    pub(crate) fn withdraw(&self) {
        if !self.is_settled() && self.unpark() {
            self.forget_waker();
        }
    }

    /// For the waiting task: takes its waker back. It cannot once the responder has swapped.
    fn unpark(&self) -> bool {
        // Relaxed: what comes back is what this end has given, and the responder has only the swap. Whoever finds that
        // failed looks at the state again.
        let exchanged = self.state.compare_exchange(PARKED, WAITING, Ordering::Relaxed, Ordering::Relaxed);
        matches!(exchanged, Ok(_) | Err(WAITING))
    }

    /// For the waiting task, while its waker is its own.
    fn forget_waker(&self) {
        // SAFETY: as in `watch`: the state is Waiting, or the responder found it so. What is dropped may run code of others,
        // which no longer finds it here.
        drop(self.waker().with_mut(|waker| unsafe { (*waker).take() }));
    }

    fn waker(&self) -> &UnsafeCell<Option<Waker>> {
        match &self.sleeper {
            Sleeper::Task(waker) => waker,
            Sleeper::Thread(_) => unreachable!("a thread has no waker"),
        }
    }

    /// For the waiter, once the request is settled: the answer, or none if it was abandoned; and whether it is late.
    #[inline]
    pub(crate) fn take(&self) -> (Option<T>, bool) {
        let state = self.state.load(ordering(Site::Take, Ordering::Acquire));
        assert!(is_outcome(state), "an answer is taken once the request is settled");
        let answer = self.value.with_mut(|value| {
            // SAFETY: the responder made its last touch of the value before the swap that stored this state
            // (Release), and this thread saw it (Acquire); the pending that leads here is consumed.
            unsafe { (*value).take() }
        });
        (answer, state == ANSWERED_LATE)
    }

    /// For the waiting thread, after `take`: makes the slot ready for another request.
    #[inline]
    pub(crate) fn reset(&self) {
        // Relaxed: the next responder reaches another thread through something that publishes this.
        self.state.store(WAITING, Ordering::Relaxed);
    }

    /// For whoever finds the slot of a task in a pool, its answer taken: makes it ready for another request, once the last
    /// responder has let go of it.
    pub(crate) fn reset_alone(slot: &mut Arc<Slot<T>>) -> bool {
        let Some(alone) = Arc::get_mut(slot) else { return false };
        if alone.is_timed() {
            alone.take_timeline();
        }
        alone.reset();
        true
    }
}

/// A waker is the caller's code, and this may be a thread that others depend on: who panics in it harms himself alone.
#[cold]
#[inline(never)]
fn wake(waker: Option<Waker>) {
    let Some(waker) = waker else { return };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        // It may panic once more when it is dropped.
        std::mem::forget(panic);
    }
}
