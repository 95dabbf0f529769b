//! How a database is opened.

use std::time::Duration;

use strata_primitives::{Durability, Limits, Retention};

/// How a database is opened. Every field has a default that is right for most:
///
/// | field | default |
/// |---|---|
/// | `durability` | `Buffered` |
/// | `shards` | `None` |
/// | `sync_interval` | 50 ms |
/// | `mailbox_capacity` | 1024 messages |
/// | `execute_budget` | 1 ms |
/// | `checkpoint_log_size` | 4 MiB |
/// | `checkpoint_interval` | 5 min |
/// | `memory_budget` | 1 GiB |
/// | `retention` | keep all |
/// | `event_retention` | keep all |
/// | `trace_retention` | keep all |
/// | `record_reads` | `false` |
/// | `measure_layers` | `false` |
/// | `pin` | `true` |
/// | `io_uring` | `true` |
/// | `limits` | `Limits::default()` |
///
/// ```
/// use strata::{Durability, Options};
///
/// let options = Options { durability: Durability::Strict, ..Options::default() };
/// assert_eq!(options.mailbox_capacity, 1024);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// What a write is promised unless its run or its call asks for more.
    pub durability: Durability,
    /// How many shards, 1 to 128. `None` takes what the store has; a new store gets one shard less
    /// than there are CPUs, and at least one. Another number than the store has gives it that one, before anybody is
    /// served: all of its images and history are copied, in one atomic step.
    pub shards: Option<usize>,
    /// How long a `Buffered` commit may wait until it is on stable storage.
    pub sync_interval: Duration,
    /// Messages that may wait for one shard, 1 to 65,536. A caller that finds the mailbox full waits up to 5 s
    /// for room, then gets `Busy`.
    pub mailbox_capacity: usize,
    /// A closure given to [`RunHandle::execute`](crate::RunHandle::execute) that holds its shard longer than this is
    /// counted in the shard's `overruns` and told to `tracing` as a warning; it is not stopped.
    pub execute_budget: Duration,
    /// Whether each shard's thread stays on one CPU. Shards of all stores of a process share its
    /// CPUs; when they outnumber them, none is pinned.
    pub pin: bool,
    /// Whether to use io_uring and direct I/O where the kernel and the file system have them.
    /// Without them the log is written with `pwrite` and `fdatasync`.
    pub io_uring: bool,
    /// A shard writes an image of what has changed when its log has grown by half as many bytes as its images have, but by
    /// no fewer than this and no more than 256 MiB. It serves meanwhile. So recovery reads a short log, and the store stays
    /// small.
    pub checkpoint_log_size: u64,
    /// However little was written, an image is made so long after the last one. Closing makes one too, if there is more
    /// than 1 MiB of log behind the last.
    pub checkpoint_interval: Duration,
    /// How much memory runs may take before those leave it that were not used for longest; each shard has its part of it.
    /// They stay on disk, and one that is asked for comes back, while others are served. A run that is written to stays
    /// until a checkpoint has its image, and one that lives in memory for ever, so an in-memory database takes no notice.
    /// It bounds what runs take, which is most, and not the process.
    pub memory_budget: u64,
    /// How much of its history a run keeps that does not say so itself, see
    /// [`set_retention`](crate::Writes::set_retention). Not stored: it is what the store is opened with.
    pub retention: Retention,
    /// Which of its events a run keeps that does not say so itself, see
    /// [`set_event_retention`](crate::Writes::set_event_retention). Not stored either: it holds for what is appended from now on.
    pub event_retention: Retention,
    /// Which of its traces, see [`set_trace_retention`](crate::Writes::set_trace_retention).
    pub trace_retention: Retention,
    /// Whether the commit of a [transaction](crate::RunHandle::transaction) keeps what that had read, as
    /// [`PastCommit::reads`](crate::PastCommit::reads): names and versions, 1,000 places and 64 KiB at most. A single write, a batch and
    /// a closure that is [executed](crate::RunHandle::execute) keep nothing: they saw the run as the commit before theirs left it. Not stored: it holds for what is committed from now on.
    pub record_reads: bool,
    /// Whether each request that reads or writes a run by message tells how long it lay in the queue, in the shard, in the log and in
    /// the reply, as [`ShardStats::layers`](crate::ShardStats::layers). Without it no clock is read for that.
    pub measure_layers: bool,
    /// What is refused for its size.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            durability: Durability::Buffered,
            shards: None,
            sync_interval: Duration::from_millis(50),
            mailbox_capacity: 1024,
            execute_budget: Duration::from_millis(1),
            pin: true,
            io_uring: true,
            checkpoint_log_size: 4 << 20,
            checkpoint_interval: Duration::from_secs(300),
            memory_budget: 1 << 30,
            retention: Retention::KeepAll,
            event_retention: Retention::KeepAll,
            trace_retention: Retention::KeepAll,
            record_reads: false,
            measure_layers: false,
            limits: Limits::default(),
        }
    }
}
