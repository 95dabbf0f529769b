//! The queue under a mailbox: bounded, many push, one pops, and nobody ever waits in it.
//!
//! A ring of places, each with a sequence number that says whose turn it is there (the scheme of D. Vyukov's bounded
//! queue, 1024cores.net). Pushes are numbered from zero; the message of push `p` stands in place `p mod place_count`:
//!
//! ```text
//! sequence == p         push p may write here
//! sequence == p + 1     the message of push p is here, for the consumer
//! sequence <  p         whoever is to be push p finds the ring full
//! ```
//!
//! A producer claims its number by the one exchange of the tail, writes, and publishes with the sequence. Popping
//! message `p` opens the place of push `p + capacity`. That is the place just emptied when the capacity is a power of
//! two; otherwise one that was emptied before, and so any capacity is exact although places are counted in powers of
//! two. There are at least two places, because with one "here is `p`" and "free for `p + 1`" would be the same number.
//!
//! This file holds unsafe code, and this is why it is sound. A place is written by the one producer that claimed a
//! number whose turn it is there, and by nobody else until the consumer has opened it again; it is read by the one
//! consumer, once, after the message was published. [`Consumer`] cannot be cloned, and used by one thread at a time
//! only. Publishing and opening are Release stores which the other side reads with Acquire, so each touch of a place
//! comes before the next for every thread. What is never popped is dropped with the ring, when neither end is left:
//! it stands between head and tail, and all of it was published, because a push ends before its handle goes.
//! `loom-tests/tests/ring.rs` walks all that, and fails when any of the four orderings is taken away.
#![expect(unsafe_code, reason = "a message changes hands by a number, which the compiler cannot follow")]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::RefUnwindSafe;
use std::sync::atomic::Ordering;

use crate::sync::{Arc, AtomicUsize, Site, UnsafeCell, ordering};

/// Both ends of a ring that holds up to `capacity` messages.
///
/// # Panics
/// If `capacity` is zero.
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let ring = Arc::new(Ring::new(capacity));
    (Producer { ring: ring.clone() }, Consumer { ring, one_thread: PhantomData })
}

/// The end that pushes; clone it for every thread that does.
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
}

impl<T> Producer<T> {
    /// Puts a message behind the others.
    ///
    /// # Errors
    /// The message comes back when the ring is full.
    #[inline]
    pub fn push(&self, message: T) -> Result<(), T> {
        let ring = &*self.ring;
        // Relaxed: a guess, which the exchange confirms.
        let mut number = ring.tail.0.load(Ordering::Relaxed);
        loop {
            let place = ring.place(number);
            // Acquire pairs with the Release in `pop`: the message that was here has been taken out.
            let sequence = place.sequence.load(ordering(Site::Claim, Ordering::Acquire));
            match sequence.wrapping_sub(number) as isize {
                0 => {
                    // Relaxed: numbers are handed out here, messages are not.
                    let (next, relaxed) = (number.wrapping_add(1), Ordering::Relaxed);
                    match ring.tail.0.compare_exchange(number, next, relaxed, relaxed) {
                        Ok(_) => break,
                        Err(newer) => number = newer,
                    }
                }
                ..0 => return Err(message),
                // Another producer was faster. It moved the tail before it published, so this load sees more.
                _ => number = ring.tail.0.load(Ordering::Relaxed),
            }
        }
        let place = ring.place(number);
        place.message.with_mut(|there| {
            // SAFETY: the place is open for push `number`, and the exchange made this the only such push. The consumer
            // stays away until the sequence below, and has taken out what was there before it opened the place.
            unsafe { (*there).write(message) };
        });
        // Release pairs with the Acquire in `pop`: who sees the sequence sees the message.
        place.sequence.store(number.wrapping_add(1), ordering(Site::Publish, Ordering::Release));
        Ok(())
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Producer { ring: self.ring.clone() }
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

/// The end that pops; there is one, used by one thread at a time.
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    // It may move to another thread, but two may not pop at once.
    one_thread: PhantomData<Cell<()>>,
}

impl<T> Consumer<T> {
    /// Takes the oldest message, if it has been published.
    #[inline]
    pub fn pop(&self) -> Option<T> {
        let ring = &*self.ring;
        // Relaxed: the head is changed here only.
        let number = ring.head.0.load(Ordering::Relaxed);
        let place = ring.place(number);
        // Acquire pairs with the Release in `push`: the message is there.
        let sequence = place.sequence.load(ordering(Site::Receive, Ordering::Acquire));
        if sequence != number.wrapping_add(1) {
            return None;
        }
        let message = place.message.with_mut(|there| {
            // SAFETY: the sequence says that push `number` wrote here and is done, and the head that nothing was taken
            // since. Nobody else pops; the head moves on below, so that this message is read once.
            unsafe { (*there).assume_init_read() }
        });
        ring.head.0.store(number.wrapping_add(1), Ordering::Relaxed);
        // Release pairs with the Acquire in `push`: the place is empty before it is open. The message that was in the
        // opened place last is this one or an older one.
        let opened = number.wrapping_add(ring.capacity);
        ring.place(opened).sequence.store(opened, ordering(Site::Open, Ordering::Release));
        Some(message)
    }

    /// Whether [`pop`](Self::pop) would find nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // Relaxed: a look that takes nothing.
        let number = self.ring.head.0.load(Ordering::Relaxed);
        self.ring.place(number).sequence.load(Ordering::Relaxed) != number.wrapping_add(1)
    }

    /// How many messages were pushed and not popped; a push that is under way may count already.
    pub fn len(&self) -> usize {
        let tail = self.ring.tail.0.load(Ordering::Relaxed);
        // The tail that was read may be older than a message which has been popped.
        let count = tail.wrapping_sub(self.ring.head.0.load(Ordering::Relaxed)) as isize;
        count.max(0) as usize
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// On lines of its own: producers and consumer do not slow each other by what only one side changes. Two lines of 64
/// bytes, because CPUs fetch them in pairs.
#[repr(align(128))]
struct Apart<T>(T);

struct Place<T> {
    sequence: AtomicUsize,
    message: UnsafeCell<MaybeUninit<T>>,
}

struct Ring<T> {
    /// The number of the next push.
    tail: Apart<AtomicUsize>,
    /// The number of the next message to be popped; changed by the consumer only.
    head: Apart<AtomicUsize>,
    capacity: usize,
    /// The number of places, a power of two, less one.
    mask: usize,
    places: Box<[Place<T>]>,
}

// SAFETY: a message is reached by one thread at a time, as the head of this file argues; it moves from a producer's
// thread to the consumer's, for which `T: Send` is enough. Everything else in a ring is `Sync`.
unsafe impl<T: Send> Sync for Ring<T> {}

// Nothing panics between two steps of a push or of a pop, so a ring is whole wherever a panic is caught.
impl<T> RefUnwindSafe for Ring<T> {}

impl<T> Ring<T> {
    fn new(capacity: usize) -> Ring<T> {
        assert!(capacity > 0, "a ring has room for at least one message");
        let place_count = capacity.next_power_of_two().max(2);
        let place = |index: usize| {
            // Places beyond the capacity wait for the first pops to open them.
            let sequence = if index < capacity { index } else { index.wrapping_sub(place_count) };
            Place { sequence: AtomicUsize::new(sequence), message: UnsafeCell::new(MaybeUninit::uninit()) }
        };
        Ring {
            tail: Apart(AtomicUsize::new(0)),
            head: Apart(AtomicUsize::new(0)),
            capacity,
            mask: place_count - 1,
            places: (0..place_count).map(place).collect(),
        }
    }

    #[inline]
    fn place(&self, number: usize) -> &Place<T> {
        &self.places[number & self.mask]
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut number = self.head.0.load(Ordering::Relaxed);
        while number != tail {
            self.place(number).message.with_mut(|there| {
                // SAFETY: no end is left, so every push below the tail has written its message, and none from the head
                // on was taken.
                unsafe { (*there).assume_init_drop() };
            });
            number = number.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn any_capacity_is_exact_round_after_round() {
        for capacity in 1..=9 {
            let (producer, consumer) = ring(capacity);
            for round in 0..5 {
                for index in 0..capacity {
                    assert_eq!((consumer.len(), consumer.is_empty()), (index, index == 0));
                    producer.push(round * 10 + index).unwrap();
                }
                assert_eq!(producer.push(99), Err(99), "capacity {capacity}, round {round}");
                for index in 0..capacity {
                    assert_eq!(consumer.pop(), Some(round * 10 + index));
                }
                assert_eq!(consumer.pop(), None);
            }
        }
    }

    #[test]
    fn a_ring_behaves_like_a_bounded_deque() {
        for capacity in [1, 2, 3, 5, 8] {
            let (producer, consumer) = ring(capacity);
            let mut model = VecDeque::new();
            let mut random = 7u32;
            for number in 0..2_000 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if random >> 31 == 0 {
                    let is_full = model.len() == capacity;
                    assert_eq!(producer.push(number).is_err(), is_full);
                    if !is_full {
                        model.push_back(number);
                    }
                } else {
                    assert_eq!(consumer.pop(), model.pop_front());
                }
                assert_eq!(consumer.len(), model.len());
            }
        }
    }

    #[test]
    fn messages_that_nobody_takes_are_dropped_with_the_ring() {
        let counted = std::sync::Arc::new(());
        let (producer, consumer) = ring(3);
        for _ in 0..2 {
            producer.push(counted.clone()).unwrap();
            drop(consumer.pop());
        }
        for _ in 0..3 {
            producer.push(counted.clone()).unwrap();
        }
        drop(consumer);
        assert_eq!(std::sync::Arc::strong_count(&counted), 4);
        drop(producer);
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    }

    #[test]
    fn producers_on_many_threads_keep_each_their_order() {
        const PRODUCER_COUNT: usize = 3;
        const MESSAGE_COUNT: usize = 20_000;
        for capacity in [1, 3, 64] {
            let (producer, consumer) = ring(capacity);
            std::thread::scope(|scope| {
                for index in 0..PRODUCER_COUNT {
                    let producer = producer.clone();
                    scope.spawn(move || {
                        for number in 0..MESSAGE_COUNT {
                            let mut message = Box::new((index, number));
                            while let Err(refused) = producer.push(message) {
                                message = refused;
                                std::thread::yield_now();
                            }
                        }
                    });
                }
                let mut next = [0; PRODUCER_COUNT];
                while next.iter().sum::<usize>() < PRODUCER_COUNT * MESSAGE_COUNT {
                    let Some(message) = consumer.pop() else {
                        std::thread::yield_now();
                        continue;
                    };
                    let (index, number) = *message;
                    assert_eq!(number, next[index]);
                    next[index] += 1;
                }
                assert!(consumer.is_empty());
            });
        }
    }
}
