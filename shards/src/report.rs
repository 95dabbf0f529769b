//! What a store tells about itself: what recovery found, and what its shards have done.

use std::path::Path;
use std::time::Duration;

use strata_primitives::{RunId, Version};
use strata_wal::{Durations, LogRecovery, LogStatistics, Lsn, Sizes};

use crate::layers::LayerTimes;

/// What opening a store found and did.
#[derive(Clone, Debug)]
pub struct RecoveryReport {
    /// The store did not exist before.
    pub created: bool,
    /// The number of this opening, counted from 1.
    pub boot: u64,
    /// The store was closed in order the last time, or is new.
    pub was_clean: bool,
    /// What each shard found; empty for an in-memory database.
    pub shards: Vec<ShardRecovery>,
    /// What those found that the store had until it was given another number of shards by this opening; otherwise empty.
    pub replaced: Vec<ShardRecovery>,
    /// How long it took to open.
    pub elapsed: Duration,
}

impl RecoveryReport {
    /// Tells that the store at `path` is open.
    pub(crate) fn tell(&self, path: &Path) {
        let RecoveryReport { created, boot, was_clean, .. } = *self;
        let (shards, records, bytes_cut) = (self.shards.len(), self.records(), self.bytes_cut());
        let (path, took_micros) = (path.display(), self.elapsed.as_micros() as u64);
        tracing::info!(target: "strata", %path, shards, boot, created, was_clean, records, bytes_cut, took_micros, "the store is open");
    }

    /// Records replayed by all shards, replaced ones too.
    pub fn records(&self) -> u64 {
        self.logs().map(|log| log.records).sum()
    }

    /// Bytes that were cut from the ends of logs, replaced ones too, because they had never been acknowledged as durable.
    pub fn bytes_cut(&self) -> u64 {
        self.logs().filter_map(|log| log.cut.as_ref()).map(|cut| cut.bytes).sum()
    }

    fn logs(&self) -> impl Iterator<Item = &LogRecovery> {
        self.replaced.iter().chain(&self.shards).map(|shard| &shard.log)
    }
}

/// What one shard found in its log.
#[derive(Clone, Debug)]
pub struct ShardRecovery {
    /// The shard.
    pub shard: usize,
    /// Runs it holds now, deleted ones not counted.
    pub runs: u64,
    /// What its log held.
    pub log: LogRecovery,
}

/// The image of one shard that a checkpoint made, or found to be of today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardCheckpoint {
    /// The shard.
    pub shard: usize,
    /// The number of its image.
    pub image: u64,
    /// Recovery reads the log from here on.
    pub through: Lsn,
}

/// What a compaction gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// By how many bytes the files of the store have become smaller together; 0 if what was written meanwhile took more.
    pub reclaimed: u64,
    /// Segments of logs that are gone, those that were in the history among them.
    pub segments: u64,
    /// Versions of runs that can be looked at no more, because retention has released them since the last checkpoint before.
    pub versions: u64,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The run.
    pub run: RunId,
    /// The newest version in the archive.
    pub version: Version,
    /// The oldest one.
    pub earliest: Version,
    /// How many there are.
    pub versions: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of all of it but its end, where it stands too.
    pub digest: [u8; 32],
    /// How long it took.
    pub elapsed: Duration,
}

/// What an import brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// The run.
    pub run: RunId,
    /// The commit that imported it, the first one of its new life.
    pub version: Version,
    /// The newest version in the archive.
    pub imported: Version,
    /// The oldest one.
    pub earliest: Version,
    /// The size of the archive in bytes.
    pub bytes: u64,
    /// BLAKE3 of all of it but its end, where it stands too.
    pub digest: [u8; 32],
    /// How long it took.
    pub elapsed: Duration,
}

/// What a run would give up of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPreview {
    /// The oldest version that can be looked at.
    pub earliest: Version,
    /// The oldest one once a checkpoint has been made.
    pub earliest_then: Version,
}

impl RetentionPreview {
    /// How many versions would go.
    pub fn versions(&self) -> u64 {
        self.earliest_then.0 - self.earliest.0
    }
}

/// Whether a shard serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ShardState {
    /// It serves reads and writes.
    #[default]
    Serving,
    /// A write of its log failed: it serves reads at the last visible version only.
    LogFailed,
    /// It panicked, or a restart was refused: it answers `Closed` until it is restarted. Its counters are gone.
    Closed,
}

/// What one shard has done since it began to serve.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    /// The shard.
    pub shard: usize,
    /// Whether it serves.
    pub state: ShardState,
    /// Runs it holds, deleted ones not counted.
    pub runs: u64,
    /// Messages taken from the mailbox.
    pub messages: u64,
    /// Single reads answered.
    pub reads: u64,
    /// Commits made.
    pub commits: u64,
    /// Mutations in those commits.
    pub mutations: u64,
    /// Keys deleted because their deadline passed.
    pub expired: u64,
    /// Transactions and snapshots under way, but for [`pinned`](Self::pinned) ones.
    pub transactions: u64,
    /// Pictures of runs that it has published, so that they are read without a message.
    pub publications: u64,
    /// Such pictures that snapshots show.
    pub pinned: u64,
    /// Older versions of runs that somebody looks at.
    pub past_views: u64,
    /// Subscriptions to its runs.
    pub followers: u64,
    /// Closures that held the shard longer than `execute_budget`.
    pub overruns: u64,
    /// How long its turns took, by its own clock: from the first message, or whatever else there was to do, to the log.
    pub turns: Durations,
    /// Runs, deleted ones counted, whose content is on disk and not in memory.
    pub cold_runs: u64,
    /// Runs, deleted ones counted, that are in memory.
    pub resident_runs: u64,
    /// About how many bytes of memory runs take, with what is known of those that are not in memory.
    pub memory: u64,
    /// Bytes of large values, of runs that are in memory, which stay in an image until somebody reads them; of a fork with those that it
    /// began with.
    pub values_on_disk: u64,
    /// Such values that were read.
    pub value_reads: u64,
    /// How many bytes they have together.
    pub value_bytes_read: u64,
    /// Of these reads, those for closures that ran on the shard, which waited for them.
    pub value_reads_on_shard: u64,
    /// Those that failed.
    pub value_read_failures: u64,
    /// How long messages waited each time that memory was full of what no image had yet.
    pub memory_waits: Durations,
    /// Runs that left memory to make room.
    pub evictions: u64,
    /// Runs that were brought into memory.
    pub loads: u64,
    /// How long each of these took, from when it was asked for until the shard had it.
    pub load_times: Durations,
    /// Runs that could not be, for damage.
    pub load_failures: u64,
    /// Images written.
    pub images: u64,
    /// How many bytes the file of each of these has.
    pub image_bytes: Sizes,
    /// How long the shard was at each of these: from its first slice until all of it was handed to the thread that writes it.
    pub image_times: Durations,
    /// How long the checkpoint of each of these took, from its beginning until MANIFEST named the image.
    pub checkpoint_times: Durations,
    /// Images that could not be written; the log has everything all the same.
    pub image_failures: u64,
    /// The log's own counters; `None` for an in-memory database.
    pub log: Option<LogStatistics>,
    /// Where the time of its requests went; `None` unless that is measured.
    pub layers: Option<LayerTimes>,
}

impl ShardStats {
    pub(crate) fn new(index: u32) -> ShardStats {
        ShardStats { shard: index as usize, ..ShardStats::default() }
    }
}
