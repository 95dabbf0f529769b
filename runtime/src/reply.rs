//! The way back: one slot for one answer, used again and again by the thread that asks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use crate::rest::Rest;
use crate::slot::Slot;
use crate::spin::Spin;
use crate::sync::Arc;
use crate::timeline::Timeline;

/// Slots that a thread keeps for what it waits for itself; with more requests under way at once it allocates the others.
const THREAD_SLOT_COUNT_MAX: usize = 64;

/// How long a waiter sleeps before it asks whether to go on.
const PARK_INTERVAL: Duration = Duration::from_millis(100);

/// The responder was dropped without an answer: nobody will ever answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was dropped without an answer")
    }
}

impl std::error::Error for Abandoned {}

/// Why a wait ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The responder was dropped: nobody will ever answer.
    Abandoned,
    /// The caller no longer wanted to wait; an answer that still comes is dropped.
    GaveUp,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Abandoned => Abandoned.fmt(f),
            Unanswered::GaveUp => f.write_str("the wait was given up before an answer came"),
        }
    }
}

impl std::error::Error for Unanswered {}

/// The slots of one thread: a request takes one, a finished wait gives it back.
///
/// Once warm, a request and its wait allocate nothing. A pool stays on its thread, because that is the one which its
/// responders unpark; keep it in a `thread_local!`.
///
/// A wait looks for the answer before it sleeps. Where a look was in vain because the answer came [late](Responder::send_late), the
/// next waits of the pool sleep at once, until one gets an answer that is not late; after some, one looks again, since what they
/// wait for may have become faster.
///
/// ```
/// let pool = strata_runtime::ReplyPool::new();
/// let (pending, responder) = pool.request();
/// std::thread::spawn(move || responder.send(42));
/// assert_eq!(pool.wait(pending), Ok(42));
/// ```
pub struct ReplyPool<T> {
    free: RefCell<Vec<Arc<Slot<T>>>>,
    spin: Spin,
    /// Of its waits, from a look in vain for an answer that came late.
    rest: Rest,
    /// Of the last wait for a request that has one.
    timeline: Cell<Option<Timeline>>,
    one_thread: PhantomData<*const ()>,
}

impl<T> ReplyPool<T> {
    /// An empty pool whose waits look for at most [`SPIN_BUDGET_MAX`](crate::SPIN_BUDGET_MAX) before they sleep.
    pub fn new() -> ReplyPool<T> {
        ReplyPool::with_spin(Spin::default())
    }

    /// An empty pool whose waits look for as long as `spin` says before they sleep.
    pub fn with_spin(spin: Spin) -> ReplyPool<T> {
        let free = RefCell::new(Vec::with_capacity(THREAD_SLOT_COUNT_MAX));
        ReplyPool { free, spin, rest: Rest::default(), timeline: Cell::new(None), one_thread: PhantomData }
    }

    /// Both ends of a new request.
    #[inline]
    pub fn request(&self) -> (Pending<T>, Responder<T>) {
        let pooled = self.free.borrow_mut().pop();
        let slot = pooled.unwrap_or_else(|| Arc::new(Slot::for_thread()));
        let responder = Responder::of(&slot);
        (Pending { slot, one_thread: PhantomData }, responder)
    }

    /// Waits for the answer: looks for a moment, then sleeps.
    ///
    /// # Errors
    /// [`Abandoned`] when the responder was dropped.
    #[inline]
    pub fn wait(&self, pending: Pending<T>) -> Result<T, Abandoned> {
        self.wait_while(pending, || true).map_err(|unanswered| {
            assert!(unanswered == Unanswered::Abandoned, "a wait without a condition is never given up");
            Abandoned
        })
    }

    /// Like [`wait`](Self::wait), but asks before it first sleeps, and about every 100 ms of sleep, whether to go on.
    ///
    /// # Errors
    /// [`Unanswered::Abandoned`] when the responder was dropped, [`Unanswered::GaveUp`] when `keep_waiting` said no.
    #[inline]
    pub fn wait_while(&self, pending: Pending<T>, keep_waiting: impl Fn() -> bool) -> Result<T, Unanswered> {
        self.wait_by(pending, self.spin, || keep_waiting().then_some(PARK_INTERVAL))
    }

    /// Like [`wait_while`](Self::wait_while), but gives up at `deadline` too.
    ///
    /// # Errors
    /// As [`wait_while`](Self::wait_while).
    pub fn wait_until(
        &self,
        pending: Pending<T>,
        deadline: Instant,
        keep_waiting: impl Fn() -> bool,
    ) -> Result<T, Unanswered> {
        let left = || deadline.saturating_duration_since(Instant::now());
        self.wait_by(pending, self.spin.at_most(left()), || {
            let left = left();
            (!left.is_zero() && keep_waiting()).then(|| left.min(PARK_INTERVAL))
        })
    }

    /// Waits; before each sleep `nap` tells how long it may be, or that the waiter has given up.
    #[inline]
    fn wait_by(
        &self,
        pending: Pending<T>,
        spin: Spin,
        nap: impl Fn() -> Option<Duration>,
    ) -> Result<T, Unanswered> {
        let slot = pending.slot;
        let rests = self.rest.is_on();
        let has_come = if rests { slot.is_settled() } else { spin.until(|| slot.is_settled()) };
        if !has_come && !slot.park_by(nap) {
            return Err(Unanswered::GaveUp);
        }
        let (answer, is_late) = slot.take();
        if slot.is_timed() {
            self.keep_timeline(&slot);
        }
        if !is_late {
            self.rest.end();
        } else if rests {
            self.rest.pass();
        } else if !has_come {
            self.rest.begin();
        }
        self.recycle(slot);
        answer.ok_or(Unanswered::Abandoned)
    }

    #[cold]
    #[inline(never)]
    fn keep_timeline(&self, slot: &Slot<T>) {
        self.timeline.set(slot.take_timeline());
    }

    /// The timeline of the last request that was waited for and has one; none a second time.
    pub fn take_timeline(&self) -> Option<Timeline> {
        self.timeline.take()
    }

    /// Keeps a settled slot for the next request.
    #[inline]
    fn recycle(&self, slot: Arc<Slot<T>>) {
        let mut free = self.free.borrow_mut();
        if free.len() < THREAD_SLOT_COUNT_MAX {
            slot.reset();
            free.push(slot);
        }
    }
}

impl<T> Default for ReplyPool<T> {
    fn default() -> Self {
        ReplyPool::new()
    }
}

impl<T> fmt::Debug for ReplyPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyPool").field("free_count", &self.free.borrow().len()).finish_non_exhaustive()
    }
}

/// The waiting end of a request; hand it to [`ReplyPool::wait`] on the same thread.
///
/// Dropping it abandons the request: an answer that still comes is dropped.
#[must_use = "an answer that nobody waits for is dropped"]
pub struct Pending<T> {
    slot: Arc<Slot<T>>,
    one_thread: PhantomData<*const ()>,
}

impl<T> Pending<T> {
    /// Whether a wait would return at once.
    pub fn is_settled(&self) -> bool {
        self.slot.is_settled()
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("is_settled", &self.is_settled()).finish_non_exhaustive()
    }
}

/// The answering end of a request; it travels inside the message.
///
/// Dropping it without an answer tells the waiter so.
#[must_use = "dropping a responder tells the waiter that nobody will answer"]
pub struct Responder<T> {
    /// Taken by the answer: after its one swap the slot may already serve another request.
    slot: Option<Arc<Slot<T>>>,
}

impl<T> Responder<T> {
    /// The one of the request that a slot serves now.
    #[inline]
    pub(crate) fn of(slot: &Arc<Slot<T>>) -> Responder<T> {
        Responder { slot: Some(slot.clone()) }
    }

    /// Begins the [timeline](Timeline) of the request: it is sent now. Without one the other marks do nothing.
    pub fn mark_sent(&mut self) {
        self.slot().begin_timeline();
    }

    /// Notes in the timeline that the request was taken by who answers it.
    pub fn mark_taken(&mut self) {
        self.slot().mark(|timeline| &mut timeline.taken);
    }

    /// Notes in the timeline that the answer is known and cannot be given yet.
    #[inline]
    pub fn mark_withheld(&mut self) {
        self.slot().mark(|timeline| &mut timeline.withheld);
    }

    /// By a mutable reference, so that two threads with the same responder cannot touch its slot at once.
    #[inline]
    fn slot(&mut self) -> &Slot<T> {
        self.slot.as_ref().expect("a responder has its slot until it answers")
    }

    /// Answers, and wakes the waiter if it sleeps.
    #[inline]
    pub fn send(self, answer: T) {
        self.settle(answer, false);
    }

    /// Answers after something that may be slower than threads are, as a disk: a waiter who has looked for it in vain does not look for
    /// the next ones.
    #[inline]
    pub fn send_late(self, answer: T) {
        self.settle(answer, true);
    }

    #[inline]
    fn settle(mut self, answer: T, is_late: bool) {
        let slot = self.slot.take().expect("a responder answers once, and is consumed by it");
        slot.answer(answer, is_late);
    }
}

impl<T> Drop for Responder<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.abandon();
        }
    }
}

impl<T> fmt::Debug for Responder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::spin::SPIN_BUDGET_MAX;

    #[test]
    fn an_answer_reaches_the_one_who_asked() {
        let pool = ReplyPool::new();
        let (pending, responder) = pool.request();
        responder.send("draft");
        assert!(pending.is_settled());
        assert_eq!(pool.wait(pending), Ok("draft"));
    }

    #[test]
    fn a_responder_that_is_dropped_tells_the_waiter() {
        let pool = ReplyPool::<u64>::new();
        let (pending, responder) = pool.request();
        drop(responder);
        assert_eq!(pool.wait(pending), Err(Abandoned));
    }

    #[test]
    fn a_slot_is_used_again_after_an_answer_and_after_an_abandonment() {
        let pool = ReplyPool::new();
        let (pending, responder) = pool.request();
        let first = Arc::as_ptr(&pending.slot);
        responder.send(1);
        pool.wait(pending).unwrap();

        let (pending, responder) = pool.request();
        assert_eq!(Arc::as_ptr(&pending.slot), first);
        drop(responder);
        pool.wait(pending).unwrap_err();

        let (pending, responder) = pool.request();
        assert_eq!(Arc::as_ptr(&pending.slot), first);
        responder.send(2);
        assert_eq!(pool.wait(pending), Ok(2));
    }

    #[test]
    fn a_timeline_is_that_of_one_request_and_tells_what_it_passed() {
        let pool = ReplyPool::new();
        let (pending, mut responder) = pool.request();
        let before = Instant::now();
        responder.mark_sent();
        responder.mark_taken();
        responder.mark_withheld();
        responder.send(1);
        pool.wait(pending).unwrap();
        let timeline = pool.take_timeline().unwrap();
        let stations = [timeline.taken, timeline.withheld, timeline.answered].map(Option::unwrap);
        assert!(before <= timeline.sent && timeline.sent <= stations[0] && stations.is_sorted());
        assert!(stations[2] <= Instant::now());
        assert_eq!(pool.take_timeline(), None, "it is told once");

        let (pending, mut responder) = pool.request();
        responder.mark_taken();
        responder.mark_withheld();
        responder.send(2);
        pool.wait(pending).unwrap();
        assert_eq!(pool.take_timeline(), None, "nobody has begun one, in the same slot");
    }

    #[test]
    fn the_timeline_of_a_request_that_is_abandoned_does_not_stay_in_its_slot() {
        let pool = ReplyPool::new();
        let (pending, mut responder) = pool.request();
        responder.mark_sent();
        drop(responder);
        pool.wait(pending).unwrap_err();
        assert_eq!(pool.take_timeline().unwrap().answered, None);
        let (pending, responder) = pool.request();
        responder.send(2);
        pool.wait(pending).unwrap();
        assert_eq!(pool.take_timeline(), None);
    }

    #[test]
    fn answers_may_come_in_another_order_than_the_requests() {
        let pool = ReplyPool::new();
        let requests: Vec<_> = (0..200).map(|_| pool.request()).collect();
        let (pendings, responders): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        for (number, responder) in responders.into_iter().enumerate().rev() {
            responder.send(number);
        }
        for (number, pending) in pendings.into_iter().enumerate() {
            assert_eq!(pool.wait(pending), Ok(number));
        }
        assert_eq!(pool.free.borrow().len(), THREAD_SLOT_COUNT_MAX);
    }

    #[test]
    fn who_looks_in_vain_for_what_comes_late_sleeps_at_once_for_some_waits() {
        let pool = ReplyPool::new();
        let answered_after = |pause: Duration, send: fn(Responder<u32>, u32)| {
            let (pending, responder) = pool.request();
            let sender = std::thread::spawn(move || {
                let start = Instant::now();
                while start.elapsed() < pause {
                    std::thread::yield_now();
                }
                send(responder, 7);
            });
            assert_eq!(pool.wait(pending), Ok(7));
            sender.join().unwrap();
        };
        let long = SPIN_BUDGET_MAX * 10;
        answered_after(Duration::ZERO, Responder::send);
        answered_after(long, Responder::send);
        assert!(!pool.rest.is_on(), "it was asleep, and is not any more");
        answered_after(long, Responder::send_late);
        for _ in 0..Rest::WAIT_COUNT {
            assert!(pool.rest.is_on());
            answered_after(Duration::ZERO, Responder::send_late);
        }
        assert!(!pool.rest.is_on(), "it looks again");
        answered_after(long, Responder::send_late);
        answered_after(Duration::ZERO, Responder::send);
        assert!(!pool.rest.is_on(), "this one was not late, so the next is looked for");
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_the_answer_to_nobody() {
        let pool = ReplyPool::new();
        let (pending, responder) = pool.request();
        assert_eq!(pool.wait_while(pending, || false), Err(Unanswered::GaveUp));

        let count = Arc::new(std::sync::Mutex::new(0));
        responder.send(DropCounter(count.clone()));
        assert_eq!(*count.lock().unwrap(), 1);
        assert!(pool.free.borrow().is_empty(), "a slot with a responder at large is not used again");
    }

    #[test]
    fn a_wait_ends_at_its_deadline_or_with_the_answer() {
        let pool = ReplyPool::new();
        let (pending, _responder) = pool.request();
        let deadline = Instant::now() + Duration::from_millis(2);
        assert_eq!(pool.wait_until(pending, deadline, || true), Err(Unanswered::GaveUp));
        assert!(Instant::now() >= deadline);
        let (pending, responder) = pool.request();
        responder.send(7);
        assert_eq!(
            pool.wait_until(pending, Instant::now(), || true),
            Ok(7),
            "an answer that is there is taken"
        );
    }

    /// A wait looked for its whole budget before it asked for the first time how long it might: callers with a timeout of 20 us were
    /// told after 500.
    #[test]
    fn a_wait_looks_no_longer_than_to_its_deadline() {
        let pool = ReplyPool::<u64>::new();
        let shortest = |timeout: Duration| {
            let waited = (0..200).map(|_| {
                let (pending, _responder) = pool.request();
                let start = Instant::now();
                assert_eq!(pool.wait_until(pending, start + timeout, || true), Err(Unanswered::GaveUp));
                start.elapsed()
            });
            waited.min().unwrap()
        };
        // The shortest of many: now and then another thread has the CPU for longer.
        for timeout in [Duration::ZERO, SPIN_BUDGET_MAX / 25] {
            let waited = shortest(timeout);
            assert!((timeout..SPIN_BUDGET_MAX / 2).contains(&waited), "{waited:?} of {timeout:?}");
        }
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_dropped_once() {
        let pool = ReplyPool::new();
        let count = Arc::new(std::sync::Mutex::new(0));

        let (pending, responder) = pool.request();
        drop(pending);
        responder.send(DropCounter(count.clone()));
        assert_eq!(*count.lock().unwrap(), 1);

        let (pending, responder) = pool.request();
        responder.send(DropCounter(count.clone()));
        assert_eq!(*count.lock().unwrap(), 1);
        drop(pending);
        assert_eq!(*count.lock().unwrap(), 2);
    }

    #[derive(Debug)]
    struct DropCounter(Arc<std::sync::Mutex<u32>>);

    impl PartialEq for DropCounter {
        fn eq(&self, other: &DropCounter) -> bool {
            Arc::ptr_eq(&self.0, &other.0)
        }
    }

    impl Drop for DropCounter {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
}
