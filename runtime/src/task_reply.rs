//! The way back to a task: a slot whose answer is awaited, on whatever thread the task is polled.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::reply::{Abandoned, Responder};
use crate::slot::Slot;
use crate::sync::Arc;
use crate::timeline::Timeline;

/// Slots that a thread keeps for its tasks, of which it has more at once than it could wait for itself; with more requests under way it
/// allocates the others.
const TASK_SLOT_COUNT_MAX: usize = 256;

/// The slots for requests of tasks: a request takes one from the pool of the thread that makes it, and whoever has its
/// answer gives it to the pool of his own.
///
/// Once warm, a request and its answer allocate nothing. Keep a pool in a `thread_local!`.
///
/// ```
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
/// use strata_runtime::TaskReplyPool;
///
/// let pool = TaskReplyPool::new();
/// let (mut awaited, responder) = pool.request();
/// let mut context = Context::from_waker(Waker::noop());
/// assert_eq!(pin!(&mut awaited).poll(&mut context), Poll::Pending);
/// responder.send(42);
/// assert_eq!(pin!(&mut awaited).poll(&mut context), Poll::Ready(Ok(42)));
/// pool.recycle(awaited);
/// ```
pub struct TaskReplyPool<T> {
    /// The one that was given back first is used first: its responder has let go of it by then.
    free: RefCell<VecDeque<Arc<Slot<T>>>>,
}

impl<T> TaskReplyPool<T> {
    /// An empty pool.
    pub fn new() -> TaskReplyPool<T> {
        TaskReplyPool { free: RefCell::new(VecDeque::new()) }
    }

    /// Both ends of a new request.
    pub fn request(&self) -> (Awaited<T>, Responder<T>) {
        let slot = self.free_slot().unwrap_or_else(|| Arc::new(Slot::for_task()));
        let responder = Responder::of(&slot);
        (Awaited { slot, is_taken: false }, responder)
    }

    /// Keeps the slot of a request whose answer was taken for the next one. Another one is let go.
    pub fn recycle(&self, awaited: Awaited<T>) {
        if !awaited.is_taken {
            return;
        }
        let mut free = self.free.borrow_mut();
        if free.len() < TASK_SLOT_COUNT_MAX {
            free.push_back(Arc::clone(&awaited.slot));
        }
    }

    fn free_slot(&self) -> Option<Arc<Slot<T>>> {
        let mut free = self.free.borrow_mut();
        let mut slot = free.pop_front()?;
        if Slot::reset_alone(&mut slot) {
            return Some(slot);
        }
        // Its responder is about to leave.
        free.push_back(slot);
        None
    }
}

impl<T> Default for TaskReplyPool<T> {
    fn default() -> Self {
        TaskReplyPool::new()
    }
}

impl<T> fmt::Debug for TaskReplyPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskReplyPool").field("free_count", &self.free.borrow().len()).finish()
    }
}

/// The waiting end of a request of a task: the answer, or [`Abandoned`] when the responder was dropped.
///
/// The waker of the last poll is woken once, when the answer is there. Dropping it abandons the request: nobody is woken,
/// and an answer that still comes is dropped.
///
/// # Panics
/// If it is polled again behind its answer.
#[must_use = "an answer that nobody awaits is dropped"]
pub struct Awaited<T> {
    slot: Arc<Slot<T>>,
    is_taken: bool,
}

impl<T> Awaited<T> {
    /// The [timeline](Timeline) of a request whose answer was taken, if it has one; none a second time.
    pub fn take_timeline(&mut self) -> Option<Timeline> {
        if self.is_taken { self.slot.take_timeline() } else { None }
    }
}

impl<T> Future for Awaited<T> {
    type Output = Result<T, Abandoned>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.is_taken, "an answer is taken once");
        if !self.slot.watch(context.waker()) {
            return Poll::Pending;
        }
        self.is_taken = true;
        Poll::Ready(self.slot.take().0.ok_or(Abandoned))
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        if !self.is_taken {
            self.slot.withdraw();
        }
    }
}

impl<T> fmt::Debug for Awaited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited").field("is_settled", &self.slot.is_settled()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Counter {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn counter() -> (std::sync::Arc<Counter>, Waker) {
        let counter = std::sync::Arc::new(Counter::default());
        (counter.clone(), Waker::from(counter))
    }

    fn poll<T>(awaited: &mut Awaited<T>, waker: &Waker) -> Poll<Result<T, Abandoned>> {
        pin!(awaited).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn an_answer_wakes_the_waker_of_the_last_poll_once() {
        let pool = TaskReplyPool::new();
        let ((first, first_waker), (second, second_waker)) = (counter(), counter());
        let (mut awaited, responder) = pool.request();
        assert!(poll(&mut awaited, &first_waker).is_pending());
        assert!(poll(&mut awaited, &second_waker).is_pending());
        assert!(poll(&mut awaited, &second_waker).is_pending());
        responder.send(7);
        assert_eq!((first.count(), second.count()), (0, 1));
        assert_eq!(poll(&mut awaited, &first_waker), Poll::Ready(Ok(7)));
        drop((awaited, first_waker, second_waker));
        assert_eq!((std::sync::Arc::strong_count(&first), std::sync::Arc::strong_count(&second)), (1, 1));
    }

    #[test]
    fn an_answer_that_is_there_wakes_nobody() {
        let pool = TaskReplyPool::new();
        let (woken, waker) = counter();
        let (mut awaited, responder) = pool.request();
        responder.send(7);
        assert_eq!(poll(&mut awaited, &waker), Poll::Ready(Ok(7)));
        let (mut awaited, responder) = pool.request();
        drop(responder);
        assert_eq!(poll(&mut awaited, &waker), Poll::Ready(Err(Abandoned)));
        assert_eq!(woken.count(), 0);
    }

    #[test]
    fn a_responder_that_is_dropped_wakes_and_tells_the_task() {
        let pool = TaskReplyPool::<u32>::new();
        let (woken, waker) = counter();
        let (mut awaited, responder) = pool.request();
        assert!(poll(&mut awaited, &waker).is_pending());
        drop(responder);
        assert_eq!((woken.count(), poll(&mut awaited, &waker)), (1, Poll::Ready(Err(Abandoned))));
    }

    #[test]
    fn a_timeline_is_told_behind_its_answer_and_does_not_stay_in_the_slot() {
        let pool = TaskReplyPool::new();
        let (mut awaited, mut responder) = pool.request();
        responder.mark_sent();
        responder.mark_taken();
        responder.send(7);
        assert_eq!(awaited.take_timeline(), None, "its answer was not taken");
        assert_eq!(poll(&mut awaited, Waker::noop()), Poll::Ready(Ok(7)));
        let timeline = awaited.take_timeline().unwrap();
        assert!(timeline.taken.is_some() && timeline.withheld.is_none() && timeline.answered.is_some());

        let (mut awaited, mut responder) = pool.request();
        responder.mark_sent();
        responder.send(8);
        assert_eq!(poll(&mut awaited, Waker::noop()), Poll::Ready(Ok(8)));
        let first = Arc::as_ptr(&awaited.slot);
        pool.recycle(awaited);
        let (mut awaited, responder) = pool.request();
        assert_eq!(Arc::as_ptr(&awaited.slot), first);
        responder.send(9);
        assert_eq!(poll(&mut awaited, Waker::noop()), Poll::Ready(Ok(9)));
        assert_eq!(awaited.take_timeline(), None, "nobody had asked for that of the one before");
    }

    #[test]
    fn who_is_dropped_is_not_woken_and_keeps_no_waker_behind() {
        let pool = TaskReplyPool::new();
        let (woken, waker) = counter();
        let (mut awaited, responder) = pool.request();
        assert!(poll(&mut awaited, &waker).is_pending());
        drop((awaited, waker));
        assert_eq!(std::sync::Arc::strong_count(&woken), 1);
        responder.send(7);
        assert_eq!(woken.count(), 0);
    }

    #[test]
    fn a_slot_is_used_again_once_its_responder_has_let_go() {
        let pool = TaskReplyPool::new();
        let (mut awaited, responder) = pool.request();
        let first = Arc::as_ptr(&awaited.slot);
        let held = Arc::clone(&awaited.slot);
        responder.send(1);
        assert_eq!(poll(&mut awaited, Waker::noop()), Poll::Ready(Ok(1)));
        pool.recycle(awaited);
        let (other, _responder) = pool.request();
        assert_ne!(Arc::as_ptr(&other.slot), first, "somebody still has it");
        drop(held);
        let (awaited, _responder) = pool.request();
        assert_eq!(Arc::as_ptr(&awaited.slot), first);
        pool.recycle(awaited);
        assert!(pool.free.borrow().is_empty(), "a slot with a responder at large is not used again");
    }

    #[test]
    fn a_waker_that_panics_does_not_harm_who_answers() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: std::sync::Arc<Self>) {
                panic!("a waker of the test panics");
            }
        }
        let pool = TaskReplyPool::new();
        let waker = Waker::from(std::sync::Arc::new(Panics));
        let (mut awaited, responder) = pool.request();
        assert!(poll(&mut awaited, &waker).is_pending());
        responder.send(7);
        assert_eq!(poll(&mut awaited, &waker), Poll::Ready(Ok(7)));
    }
}
