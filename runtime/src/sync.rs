//! The one switch between the machine and the model checker.
//!
//! Everything that two threads share is built from the names below. In an ordinary build they are the standard
//! library, an eventfd and arc-swap; under `cfg(loom)` they are loom's stand-ins, so that the models in
//! `loom-tests` walk the very code that ships.

#[cfg(loom)]
#[path = "sync/modelled.rs"]
mod backend;
#[cfg(not(loom))]
#[path = "sync/real.rs"]
mod backend;

#[cfg(loom)]
pub use backend::weakened;
pub(crate) use backend::{
    Arc, AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex, Signal, SwapCell, UnsafeCell, Waiter, fence,
    is_modelled, ordering,
};

/// A place whose ordering carries the proof of a protocol, and which a model's control may therefore take away.
///
/// An ordinary build has no such choice: the name only says at the call which argument the ordering belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The full fence of a sender, between its push and its look at the wake word.
    FenceAfterPush,
    /// The full fence of a sleeper, between marking the wake word and its last look for work.
    FenceBeforeRecheck,
    /// The full fence of a closing owner, between marking the wake word and emptying the queue.
    FenceBeforeDrain,
    /// The step of a nudge, which publishes what the owner should look at.
    Nudge,
    /// The responder's one swap, which publishes the value.
    Answer,
    /// The waiter's load, which takes the value over.
    Take,
    /// The exchange of a task that waits, which hands its waker to the responder.
    Watch,
    /// A producer's look at a place of the ring, which takes over the emptied place.
    Claim,
    /// A producer's store, which publishes its message.
    Publish,
    /// The consumer's look at a place of the ring, which takes the message over.
    Receive,
    /// The consumer's store, which hands an emptied place back.
    Open,
}
