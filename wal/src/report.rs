//! What recovery found, did and dropped.

use std::path::PathBuf;
use std::time::Duration;

use crate::image_file::NamedImage;
use crate::lsn::Lsn;
use crate::store_id::StoreId;

/// Where a log ends: what MANIFEST remembers of it after a clean close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// Number of the log.
    pub log: u32,
    /// Position right behind the last record; 0 when there is none.
    pub lsn: Lsn,
    /// Chain of the last batch.
    pub chain: u64,
}

/// What the recovery (or read-only scan) of one log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecovery {
    /// Number of the log.
    pub log: u32,
    /// The image it began with; `None` when it began with the first record.
    pub image: Option<u64>,
    /// The segments MANIFEST names, in order.
    pub segments: Vec<SegmentSummary>,
    /// Batches accepted.
    pub batches: u64,
    /// Records handed to the visitor.
    pub records: u64,
    /// Bytes of the accepted batches, headers included, padding not.
    pub bytes: u64,
    /// Where the log ends now.
    pub end: LogEnd,
    /// Everything below was proven durable before this recovery, by MANIFEST or by a batch.
    pub durable_through: Lsn,
    /// The torn tail, if there was one.
    pub cut: Option<Cut>,
    /// Segments whose preparation a crash interrupted: removed by recovery, only named by a scan.
    pub leftovers: Vec<PathBuf>,
    /// How long it took.
    pub elapsed: Duration,
}

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its number in the log.
    pub number: u64,
    /// Its file.
    pub file: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Position of its first byte.
    pub first_lsn: Lsn,
    /// Batches accepted from it.
    pub batches: u64,
    /// Records accepted from it.
    pub records: u64,
    /// Offset in the file right behind the last accepted batch.
    pub end_offset: u64,
}

/// A torn tail: what a crash left half-written and nobody was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Number of the segment in which it begins.
    pub segment: u64,
    /// File of that segment.
    pub file: PathBuf,
    /// Offset in the file at which it begins.
    pub offset: u64,
    /// Bytes from the first to the last that were not zero, over all segments.
    pub bytes: u64,
    /// Position at which it begins: the end of the last record kept.
    pub from: Lsn,
    /// Position right behind the last byte that was dropped.
    pub to: Lsn,
    /// Why the log could not be read on.
    pub reason: String,
}

/// What MANIFEST says, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSummary {
    /// Version of its format.
    pub format_version: u32,
    /// Identity of the store.
    pub store: StoreId,
    /// Microseconds since the epoch at which the store was created.
    pub created_micros: u64,
    /// Count of updates.
    pub generation: u64,
    /// Number of the last boot.
    pub boot: u64,
    /// Last boot known not to have closed cleanly; 0 for none.
    pub unclean_through: u64,
    /// Whether the last boot closed the store.
    pub is_clean: bool,
    /// Why one of the two slots could not be read, if so.
    pub damaged_slot: Option<String>,
    /// What is known of each log.
    pub logs: Vec<LogSummary>,
}

/// What MANIFEST says of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSummary {
    /// Number of the log.
    pub log: u32,
    /// Number of its oldest segment.
    pub oldest_segment: u64,
    /// Number of its newest segment.
    pub newest_segment: u64,
    /// Everything below is proven durable.
    pub durable_through: Lsn,
    /// Where it ended; meaningful when the store was closed.
    pub end: LogEnd,
    /// The images that recovery may begin with, the newest first.
    pub images: Vec<NamedImage>,
}
