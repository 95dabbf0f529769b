//! What lies behind the last batch of a log: nothing, a torn tail, or the proof that records are missing.

use std::ops::Range;

use crate::batch::{BATCH_HEADER_SIZE, BATCH_MAGIC, BatchHeader, BatchSeed};
use crate::error::WalError;
use crate::frame::FRAME_ALIGNMENT;
use crate::lsn::Lsn;
use crate::reader::{SegmentReader, WINDOW_SIZE};
use crate::scan::Scan;
use crate::segment::SEGMENT_HEADER_SIZE;
use crate::source::{LiveSegment, LogSource};
use crate::storage::BLOCK_SIZE;

/// Everything behind the last accepted batch.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// By segment, the offsets that are not zero; empty when the log simply ends.
    pub(crate) dirty: Vec<(usize, Range<u64>)>,
    /// Position right behind the last byte that is not zero.
    pub(crate) to: Lsn,
    /// Greatest position that a batch in here knew to be durable.
    pub(crate) durable_through: Lsn,
}

impl Tail {
    /// Bytes from the first to the last that are not zero, over all segments.
    pub(crate) fn size(&self) -> u64 {
        self.dirty.iter().map(|(_, range)| range.end - range.start).sum()
    }
}

/// Looks at the rest of the last segment and at all later ones, in steps of eight bytes.
///
/// A header with a right checksum at its right place was written by this log, whatever became of its records:
/// what it says of durability is proof.
pub(crate) fn inspect_tail(
    source: &LogSource,
    segments: &[LiveSegment],
    scan: &Scan,
) -> Result<Tail, WalError> {
    let mut tail = Tail::default();
    for (index, segment) in segments.iter().enumerate().skip(scan.last_segment) {
        let from = if index == scan.last_segment { scan.end_offset } else { SEGMENT_HEADER_SIZE };
        let mut inspection = Inspection {
            segment,
            seed: BatchSeed::new(source.store, segment.header.number),
            reader: segment.reader(),
            dirty: None,
            durable_through: Lsn::ZERO,
        };
        inspection.run(from).map_err(|error| WalError::io(&segment.path, "read", error))?;
        tail.durable_through = tail.durable_through.max(inspection.durable_through);
        if let Some(range) = inspection.dirty {
            tail.to = segment.header.first_lsn.after(range.end);
            tail.dirty.push((index, range));
        }
    }
    Ok(tail)
}

struct Inspection<'a> {
    segment: &'a LiveSegment,
    seed: BatchSeed,
    reader: SegmentReader,
    dirty: Option<Range<u64>>,
    durable_through: Lsn,
}

impl Inspection<'_> {
    fn run(&mut self, from: u64) -> std::io::Result<()> {
        let mut offset = from;
        while offset < self.segment.header.size {
            // Up to the next window boundary, so that blocks stay aligned after the first piece.
            let piece = WINDOW_SIZE - (offset as usize % BLOCK_SIZE);
            let bytes = self.reader.bytes(offset, piece)?;
            if bytes.is_empty() {
                break; // the file has shrunk under us
            }
            let size = bytes.len() as u64;
            let mut candidates = Vec::new();
            let range = look_at(bytes, &mut candidates);
            self.mark(range.start as u64 + offset..range.end as u64 + offset);
            for candidate in candidates {
                self.look_for_proof(offset + candidate as u64)?;
            }
            offset += size;
        }
        Ok(())
    }

    fn mark(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            let start = self.dirty.as_ref().map_or(range.start, |dirty| dirty.start);
            self.dirty = Some(start..range.end);
        }
    }

    fn look_for_proof(&mut self, offset: u64) -> std::io::Result<()> {
        let header = &self.segment.header;
        let bytes = self.reader.bytes(offset, BATCH_HEADER_SIZE)?;
        let (lsn, room) = (header.first_lsn.after(offset), header.size - offset);
        if let Ok(batch) = BatchHeader::decode(self.seed, bytes, lsn, header.number, room) {
            self.durable_through = self.durable_through.max(batch.durable_through);
        }
        Ok(())
    }
}

/// The part of `bytes` that is not zero, and every place in it where a batch might begin.
pub(crate) fn look_at(bytes: &[u8], candidates: &mut Vec<usize>) -> Range<usize> {
    const ZERO: [u8; BLOCK_SIZE] = [0; BLOCK_SIZE];
    let mut range = 0..0;
    for (index, block) in bytes.chunks(BLOCK_SIZE).enumerate() {
        if block == &ZERO[..block.len()] {
            continue;
        }
        let start = index * BLOCK_SIZE;
        let is_set = |byte: &u8| *byte != 0;
        if range.is_empty() {
            range.start = start + block.iter().position(is_set).expect("the block is not zero");
        }
        range.end = start + block.iter().rposition(is_set).expect("the block is not zero") + 1;
        let steps = block.chunks(FRAME_ALIGNMENT).enumerate();
        candidates.extend(
            steps.filter(|(_, bytes)| **bytes == BATCH_MAGIC).map(|(step, _)| start + step * FRAME_ALIGNMENT),
        );
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_is_found_from_its_first_byte_to_its_last() {
        let mut bytes = vec![0; 3 * BLOCK_SIZE];
        assert!(look_at(&bytes, &mut Vec::new()).is_empty());
        bytes[100] = 1;
        bytes[2 * BLOCK_SIZE + 7] = 1;
        assert_eq!(look_at(&bytes, &mut Vec::new()), 100..2 * BLOCK_SIZE + 8);
    }

    #[test]
    fn every_aligned_place_that_begins_like_a_batch_is_a_candidate() {
        let mut bytes = vec![0; 2 * BLOCK_SIZE];
        for at in [0, 4096 - 8, 4096 + 16] {
            bytes[at..at + 8].copy_from_slice(&BATCH_MAGIC);
        }
        bytes[100..108].copy_from_slice(&BATCH_MAGIC); // not aligned
        let mut candidates = Vec::new();
        look_at(&bytes, &mut candidates);
        assert_eq!(candidates, [0, 4088, 4112]);
    }
}
