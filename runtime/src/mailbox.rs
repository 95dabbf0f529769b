//! The way in: a bounded queue of messages for one thread, and the word that wakes it.
//!
//! The queue is a [`ring`](crate::ring) in which nobody waits: a shard waits for messages and I/O in one place, and
//! that place is the [`WakeWord`].
//!
//! Messages must not stay in the ring when the owner goes: senders are handles that wait for replies to those very
//! messages. So the owner marks its word and empties the ring, and a sender that finds the mark after its push empties
//! it as well: whoever comes last leaves nothing behind. The right to pop is the owner's alone, until it leaves that
//! right under a lock to all who find the mark.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::ring::{Consumer, Producer, ring};
use crate::spin::{Habit, Spin};
use crate::sync::{Arc, Mutex};
use crate::wake::WakeWord;

/// Tries that only give up the CPU before a sender that met a full mailbox starts to sleep between tries.
const YIELDS_BEFORE_NAP: u32 = 16;

/// What a sender sleeps between two tries: a few turns of a busy shard.
const NAP: Duration = Duration::from_micros(50);

/// Makes a mailbox of `capacity` messages and its first sender.
///
/// ```
/// let (sender, mailbox) = strata_runtime::mailbox(2)?;
/// sender.try_send("plan").unwrap();
/// assert_eq!(mailbox.receive(), Some("plan"));
/// assert_eq!(mailbox.receive(), None);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// When the process has no descriptor left for the wake word.
///
/// # Panics
/// If `capacity` is zero: such a mailbox would be full for ever.
pub fn mailbox<T>(capacity: usize) -> io::Result<(Sender<T>, Mailbox<T>)> {
    assert!(capacity > 0, "a mailbox has room for at least one message");
    let shared = Arc::new(Shared { word: WakeWord::new()?, left: Mutex::new(None) });
    let (producer, consumer) = ring(capacity);
    Ok((
        Sender { producer, shared: shared.clone() },
        Mailbox { consumer: Some(consumer), habit: Habit::default(), shared },
    ))
}

/// Why a message was not sent; the message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// The mailbox is full; nothing happened, and a later try may succeed.
    Full(T),
    /// The mailbox is gone; no later try will succeed.
    Closed(T),
}

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_message(self) -> T {
        match self {
            SendError::Full(message) | SendError::Closed(message) => message,
        }
    }

    /// Whether a later try may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, SendError::Full(_))
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "the mailbox is full" } else { "the mailbox is closed" })
    }
}

impl<T> std::error::Error for SendError<T> {}

/// The sending end; clone it for every thread that sends.
#[derive(Debug)]
pub struct Sender<T> {
    producer: Producer<T>,
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Puts `message` into the mailbox and wakes its owner if it sleeps.
    ///
    /// A mailbox that closes at the same moment may take the message and drop it.
    ///
    /// # Errors
    /// The message comes back when the mailbox is full or closed.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        if self.shared.word.is_closed() {
            return Err(SendError::Closed(message));
        }
        self.producer.push(message).map_err(SendError::Full)?;
        if !self.shared.word.wake() {
            self.shared.drain();
        }
        Ok(())
    }

    /// Like [`try_send`](Self::try_send), but waits up to `patience` for room.
    ///
    /// # Errors
    /// [`SendError::Full`] when the patience has run out, [`SendError::Closed`] at once.
    pub fn send(&self, message: T, patience: Duration) -> Result<(), SendError<T>> {
        match self.try_send(message) {
            Err(SendError::Full(message)) if !patience.is_zero() => self.send_patiently(message, patience),
            outcome => outcome,
        }
    }

    /// Keeps the owner from its next sleep, or ends the one it is in: for work that did not come through the mailbox.
    pub fn wake(&self) {
        self.shared.word.nudge();
    }

    #[cold]
    fn send_patiently(&self, mut message: T, patience: Duration) -> Result<(), SendError<T>> {
        let start = Instant::now();
        let mut tries = 0u32;
        loop {
            if tries < YIELDS_BEFORE_NAP {
                std::thread::yield_now();
            } else {
                std::thread::sleep(NAP);
            }
            tries = tries.saturating_add(1);
            message = match self.try_send(message) {
                Err(SendError::Full(message)) => message,
                outcome => return outcome,
            };
            if start.elapsed() >= patience {
                return Err(SendError::Full(message));
            }
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { producer: self.producer.clone(), shared: self.shared.clone() }
    }
}

/// The receiving end, owned by one thread.
///
/// Dropping it closes the mailbox: messages still queued are dropped, and with each its
/// [`Responder`](crate::Responder), so that whoever waits for a reply is told.
#[derive(Debug)]
pub struct Mailbox<T> {
    /// Left behind by `drop` only. It makes the mailbox one thread's: two may not pop, nor sleep on one word.
    consumer: Option<Consumer<T>>,
    habit: Habit,
    shared: Arc<Shared<T>>,
}

impl<T> Mailbox<T> {
    /// Takes the oldest message, if there is one. Never waits for a message.
    #[inline]
    pub fn receive(&self) -> Option<T> {
        self.consumer().pop()
    }

    /// Whether no message waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.consumer().is_empty()
    }

    /// The number of messages that wait.
    pub fn len(&self) -> usize {
        self.consumer().len()
    }

    /// Looks for a message until one comes or the budget is spent; tells whether one came.
    #[inline]
    pub fn spin(&self, spin: Spin) -> bool {
        self.habit.until(spin, || !self.is_empty())
    }

    /// Sleeps until a message comes, a sender calls [`wake`](Sender::wake), `io` is readable or the timeout is over.
    ///
    /// Returns at once when a message waits, and now and then for no reason: look at everything, then sleep again.
    pub fn sleep(&self, io: Option<BorrowedFd<'_>>, timeout: Option<Duration>) {
        self.shared.word.sleep(|| !self.is_empty(), io, timeout);
    }
    #[inline]
    fn consumer(&self) -> &Consumer<T> {
        self.consumer.as_ref().expect("the consumer goes with the mailbox")
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        self.shared.close(self.consumer.take());
    }
}

/// What senders and owner meet in, beside the ring.
#[derive(Debug)]
struct Shared<T> {
    word: WakeWord,
    /// The right to pop, once the owner is gone.
    left: Mutex<Option<Consumer<T>>>,
}

impl<T> Shared<T> {
    /// For the owner, when it goes: leaves the right to pop, marks the word, and drops what is queued.
    fn close(&self, consumer: Option<Consumer<T>>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = consumer;
        // Under the lock: a sender that has read the mark cannot have had the lock before, since its read would then
        // come before the mark. So it finds the right to pop, and sees all that the owner popped.
        self.word.close();
        drop(left);
        self.drain();
    }

    /// Drops what is queued, once the owner is gone; ends, because no new message is accepted.
    #[cold]
    fn drain(&self) {
        // Without the lock while a message is dropped: dropping may send to other mailboxes that close.
        while let Some(message) = self.pop_left() {
            drop(message);
        }
    }

    fn pop_left(&self) -> Option<T> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.as_ref().expect("who finds the mark finds the right to pop").pop()
    }
}
