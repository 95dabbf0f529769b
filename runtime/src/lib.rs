//! Pinned threads, and how requests reach them and replies come back.
//!
//! Nothing here knows what is said: a message is a `T` that is moved in, a reply is a `T` that is moved out.
//! Read in this order: `mailbox` (the way in), `ring` (its queue), `reply` (the way back), `task_reply` (the same to a
//! task), `slot` (where both change hands), `timeline` (when they did), `wake` (how a thread sleeps without
//! missing either), `spin` (how long it looks before it sleeps), `rest` (how long it does not look), `pinned` (where it
//! runs), `published` and `board` (what is read without asking), `process` (which process this is). `sync` is the one place
//! that knows whether these run on the machine or inside a model checker.
#![deny(unsafe_code)]

pub mod board;
pub mod mailbox;
pub mod pinned;
pub mod process;
pub mod published;
pub mod reply;
mod rest;
#[doc(hidden)]
pub mod ring;
mod slot;
pub mod spin;
#[doc(hidden)]
pub mod sync;
pub mod task_reply;
pub mod timeline;
pub mod wake;

pub use board::{Board, Publication};
pub use mailbox::{Mailbox, SendError, Sender, mailbox};
pub use pinned::{Cpu, Placement, is_shard_thread, spawn};
pub use process::process_number;
pub use published::Published;
pub use reply::{Abandoned, Pending, ReplyPool, Responder, Unanswered};
pub use spin::{Habit, SPIN_BUDGET_MAX, Spin};
pub use task_reply::{Awaited, TaskReplyPool};
pub use timeline::Timeline;
pub use wake::WakeWord;
