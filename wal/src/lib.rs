//! Bytes in, durable bytes out.
//!
//! A store's log in this order: positions and formats (`lsn` to `manifest`), the directory that names the
//! segments, the live log and how long it takes (`durations`), recovery, the images that let it begin later (`image_file` and
//! its two sides), what they make unnecessary (`truncation`), single records of it, however old (`history`), what becomes of
//! those that no recovery needs (`history_file`, `compaction`), copies (`copy`), other logs in the place of those there are
//! (`resharding`), histories that leave a store and come into another one (`archive_file` and its two sides), and what is left of one that is
//! damaged (`salvage`). Under them lies the I/O seam: `storage`, `buffer`, then its two sides, `disk` and `sim`.
#![deny(unsafe_code)]

pub mod storage;

pub mod buffer;

mod blocking;
pub mod disk;
mod uring;

#[cfg(any(test, feature = "simulation"))]
pub mod sim;

pub mod durations;
pub mod error;
mod little_endian;
pub mod lsn;
pub mod store_id;

mod batch;
mod frame;
pub mod manifest;
pub mod segment;

mod creation;
pub mod directory;
pub mod prepare;
mod slots;

mod active_segment;
pub mod log;
mod mapping;
mod open_batch;
pub mod options;
mod supply;
mod syncing;

mod read_ahead;
mod reader;
pub mod recovery;
pub mod report;
pub mod scan;
pub mod source;
mod tail;
pub mod verify;

pub mod image_file;
pub mod image_reader;
pub mod image_writer;
pub mod truncation;

pub mod archive_file;
pub mod archive_reader;
pub mod archive_writer;

pub mod compaction;
pub mod copy;
pub mod history;
pub mod history_file;
pub mod resharding;
pub mod salvage;

pub use archive_file::{ArchiveSummary, ArchivedState};
pub use archive_reader::{ArchiveReader, Archived};
pub use archive_writer::ArchiveWriter;
pub use compaction::Compacted;
pub use copy::{CopiedFile, NeededFiles, StoreSource};
pub use directory::StoreDirectory;
pub use durations::{Durations, Sizes};
pub use error::{AppendError, LogFailed, WalError};
pub use frame::RECORD_BODY_SIZE_MAX;
pub use history::LogHistory;
pub use history_file::GroupId;
pub use image_file::{FileKind, ImageCursor, ImageHeader, ImagePlace, NamedImage};
pub use image_reader::ImageReader;
pub use image_writer::ImageWriter;
pub use log::{Appended, Log, LogStatistics};
pub use lsn::Lsn;
pub use manifest::LOG_COUNT_MAX;
pub use options::{LogMode, LogOptions};
pub use prepare::{PreparedSegment, SegmentRequest};
pub use recovery::{recover, scan};
pub use report::{Cut, LogEnd, LogRecovery, LogSummary, ManifestSummary, SegmentSummary};
pub use salvage::{Gap, LogRemains, StoreRemains};
pub use scan::RecordRef;
pub use source::LogSource;
pub use store_id::StoreId;
pub use truncation::PutAway;
pub use verify::VerifiedLog;
