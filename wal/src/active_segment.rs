//! The segment a log writes to, and the way its bytes get there.

use std::io;
use std::sync::Arc;

use crate::batch::BatchSeed;
use crate::lsn::Lsn;
use crate::mapping::Mapping;
use crate::segment::SegmentHeader;
use crate::storage::{BLOCK_SIZE, Buffer, File};

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
    /// What the checksums of its batches begin with.
    pub(crate) seed: BatchSeed,
    pub(crate) file: Arc<dyn File>,
    /// Offset at which the next batch may begin.
    pub(crate) offset: u64,
    /// Offset up to which this log has written every byte, padding included; buffered only.
    filled_through: u64,
    /// Where bytes are put into blocks that were written.
    mapping: Mapping,
}

impl ActiveSegment {
    /// One whose first batch is written to this offset, the beginning of a block.
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn File>, offset: u64) -> ActiveSegment {
        let seed = BatchSeed::new(header.store, header.number);
        ActiveSegment { header, seed, file, offset, filled_through: 0, mapping: Mapping::default() }
    }

    /// Position at which the next batch may begin.
    pub(crate) fn lsn(&self) -> Lsn {
        self.header.first_lsn.after(self.offset)
    }

    /// Moves to the next multiple of `alignment` behind `lsn`.
    pub(crate) fn move_behind(&mut self, lsn: Lsn, alignment: u64) {
        self.offset = (lsn.0 - self.header.first_lsn.0).next_multiple_of(alignment);
    }

    /// Hands a batch of a buffered log to the kernel. It lies in a block that the kernel has, or goes on from there, and is padded then.
    pub(crate) fn write_cached(&mut self, batch: &mut Buffer) -> io::Result<()> {
        let block_end = (self.offset + batch.len() as u64).next_multiple_of(BLOCK_SIZE as u64);
        // A block is written whole the first time: after a failed sync and a restart the page cache may still show
        // bytes there that the device never got and recovery never saw.
        if block_end > self.filled_through {
            batch.resize((block_end - self.offset) as usize);
            self.filled_through = block_end;
        } else if self.mapping.put(&*self.file, batch, self.offset) {
            return Ok(());
        }
        self.file.write_at(batch, self.offset)
    }
}
