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

    /// Hands a batch of a buffered log to the kernel. One that ends in a block which this log has written is put there; any other is padded
    /// to the end of a block and written.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::storage::{Access, Storage};
    use crate::store_id::StoreId;

    /// What lies behind the end of a recovered log in the page cache may never have been on the device: here it is all ones.
    #[test]
    fn a_block_is_written_whole_the_first_time_and_filled_from_then_on() {
        const BLOCK: usize = BLOCK_SIZE;
        for disk in [Disk::new(), Disk::portable()] {
            let dir = tempfile::tempdir_in("/dev/shm").unwrap();
            let file = disk.open(&dir.path().join("segment"), Access::Create).unwrap();
            let mut expected = vec![0xff; 6 * BLOCK];
            file.write_at(&expected, 0).unwrap();
            let header = SegmentHeader {
                store: StoreId([0; 16]),
                log: 0,
                log_count: 1,
                number: 1,
                size: expected.len() as u64,
                first_lsn: Lsn::ZERO,
                chain_seed: 0,
                unsynced_bytes_max: 0,
                created_micros: 0,
            };
            let mut segment = ActiveSegment::new(header, Arc::clone(&file), BLOCK as u64);
            // The first of a block, in it, beyond it by two, up to its end, and the first of another.
            let ends = [BLOCK + 100, BLOCK + 150, 3 * BLOCK + 7, 4 * BLOCK, 4 * BLOCK + 1];
            let mut filled = 0;
            for (number, end) in ends.into_iter().enumerate() {
                let (from, mut batch) = (segment.offset as usize, Buffer::default());
                batch.extend_from_slice(&vec![number as u8 + 1; end - from]);
                segment.write_cached(&mut batch).unwrap();
                segment.move_behind(Lsn(end as u64), 1);
                expected[from..end].fill(number as u8 + 1);
                if end > filled {
                    expected[end..end.next_multiple_of(BLOCK)].fill(0);
                }
                let mut found = vec![0; expected.len()];
                file.read_at(&mut found, 0).unwrap();
                assert!(found == expected, "batch {number}");
                assert_eq!(
                    batch.len() > end - from,
                    end > filled && end % BLOCK > 0,
                    "padded only where it begins a block"
                );
                filled = end.next_multiple_of(BLOCK);
            }
        }
    }
}
