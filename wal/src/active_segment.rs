//! The segment a log writes to, and the way its bytes get there.

use std::sync::Arc;

use crate::lsn::Lsn;
use crate::segment::SegmentHeader;
use crate::storage::File;

/// How sealed batches reach the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteWay {
    /// Past the page cache, in the background, durable at completion.
    Queued,
    /// To the kernel and synced at once, by the calling thread.
    Synced,
    /// To the kernel; a sync follows.
    Cached,
}

/// The segment that batches are written to.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn File>,
    /// Offset at which the next batch may begin.
    pub(crate) offset: u64,
    /// Offset up to which this log has written every byte, padding included; buffered only.
    pub(crate) filled_through: u64,
}

impl ActiveSegment {
    /// Position at which the next batch may begin.
    pub(crate) fn lsn(&self) -> Lsn {
        self.header.first_lsn.after(self.offset)
    }

    /// Moves to the next multiple of `alignment` behind `lsn`.
    pub(crate) fn move_behind(&mut self, lsn: Lsn, alignment: u64) {
        self.offset = (lsn.0 - self.header.first_lsn.0).next_multiple_of(alignment);
    }
}
