//! Preparing a segment ahead of need, so that no shard's turn waits for space.
//!
//! A segment is created, filled with zeros, given its header and synced, and its name is synced, before
//! MANIFEST names it: from then on a missing or damaged one is damage, and a full disk is met here, where
//! nothing is lost by it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::WalError;
use crate::lsn::Lsn;
use crate::segment::{SEGMENT_HEADER_SIZE, SegmentHeader, segment_path};
use crate::storage::{Access, File, Storage};

/// Bytes of zeros written at once.
const FILL_SIZE: usize = 1024 * 1024;

/// What a log needs next; `StoreDirectory::prepare_segment` answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRequest {
    /// Number of the log.
    pub log: u32,
    /// Number of the segment: one more than the log's newest.
    pub number: u64,
    /// Position of its first byte.
    pub first_lsn: Lsn,
    /// Size in bytes.
    pub size: u64,
    /// How the log will write it.
    pub access: Access,
    /// Goes into the segment's header.
    pub unsynced_bytes_max: u64,
    /// What the log knows to be durable: MANIFEST keeps it as proof.
    pub durable_through: Lsn,
}

/// A segment on stable storage, named by MANIFEST, open for the log that asked for it.
#[derive(Debug)]
pub struct PreparedSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn File>,
}

/// Creates the file of a segment, durable but for its name, which is the caller's to sync.
///
/// On an error the file is removed again.
pub(crate) fn create_segment(
    storage: &dyn Storage,
    store: &Path,
    header: &SegmentHeader,
) -> Result<(), WalError> {
    let path = segment_path(store, header.log, header.number);
    let file = create_anew(storage, &path)?;
    let filled = fill(&*file, header).and_then(|()| file.sync());
    filled.map_err(|error| {
        // What stays behind when this fails too is empty and unnamed: the next recovery removes it.
        let _ = storage.remove(&path);
        WalError::io(&path, "prepare", error)
    })
}

/// Opens a segment for the log that writes it from now on. The page cache forgets it: zeros were written in large pieces, and recovery
/// may have read it. All of it that counts is on the device by now.
pub(crate) fn open_to_write(
    storage: &dyn Storage,
    path: &Path,
    access: Access,
) -> Result<Arc<dyn File>, WalError> {
    let file = storage.open(path, access).map_err(|error| WalError::io(path, "open", error))?;
    file.forget_cached();
    Ok(file)
}

/// Creates a file in place of one of the same name that an unfinished preparation left behind.
pub(crate) fn create_anew(storage: &dyn Storage, path: &Path) -> Result<Arc<dyn File>, WalError> {
    let created = match storage.open(path, Access::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            storage.remove(path).map_err(|error| WalError::io(path, "remove", error))?;
            storage.open(path, Access::Create)
        }
        other => other,
    };
    created.map_err(|error| WalError::io(path, "create", error))
}

/// Real zeros, not a hole: a later write then changes data only and never waits for the file system's journal.
fn fill(file: &dyn File, header: &SegmentHeader) -> io::Result<()> {
    write_zeros(file, SEGMENT_HEADER_SIZE, header.size)?;
    file.write_at(&header.encode(), 0)
}

/// Writes zeros from one offset of a file to another.
pub(crate) fn write_zeros(file: &dyn File, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; FILL_SIZE.min(to.saturating_sub(from) as usize)];
    while from < to {
        let size = (to - from).min(zeros.len() as u64);
        file.write_at(&zeros[..size as usize], from)?;
        from += size;
    }
    Ok(())
}
