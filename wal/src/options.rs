//! How one log writes.

use std::time::Duration;

/// When a log's records become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogMode {
    /// Every batch goes past the page cache and is durable when it completes.
    Direct,
    /// Every batch goes to the kernel at the end of the turn; a sync follows within `sync_interval`.
    Buffered,
}

/// How one log writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// When records become durable.
    pub mode: LogMode,
    /// Buffered only: longest time from a write to the start of the sync that covers it.
    pub sync_interval: Duration,
    /// Buffered only: unsynced bytes at which a sync starts whatever the time.
    pub unsynced_bytes_max: u64,
    /// Size at which a batch is closed; one larger record makes one larger batch. Bytes.
    pub batch_size_max: usize,
    /// Whether writes, syncs and what recovery reads ahead run in the background; else the calling thread waits for them.
    pub ring: bool,
}

impl Default for LogOptions {
    /// Buffered, a sync every 50 ms or 1 MiB, batches of 256 KiB, in the background.
    fn default() -> LogOptions {
        LogOptions {
            mode: LogMode::Buffered,
            sync_interval: Duration::from_millis(50),
            unsynced_bytes_max: 1024 * 1024,
            batch_size_max: 256 * 1024,
            ring: true,
        }
    }
}
