//! The batch that is being filled.

use std::time::Instant;

use crate::batch::{BATCH_HEADER_SIZE, BatchHeader, BatchSeed, next_chain};
use crate::frame::{encode_frame, frame_size};
use crate::lsn::Lsn;
use crate::storage::Buffer;

/// Records staged in memory, laid out as they will lie in the file.
#[derive(Debug, Default)]
pub(crate) struct OpenBatch {
    buffer: Buffer,
    /// Where the batch will lie; fixed when it is opened.
    first_lsn: Lsn,
    record_count: u32,
    /// Bytes it may grow to; 0 while no batch is open.
    size_max: usize,
    /// When it was opened, for its first record.
    opened_at: Option<Instant>,
}

impl OpenBatch {
    /// Whether nothing is staged.
    pub(crate) fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Whether a frame of `size` bytes fits.
    pub(crate) fn fits(&self, size: usize) -> bool {
        self.buffer.len() + size <= self.size_max
    }

    /// Opens a batch at `first_lsn` in `buffer`, whose old content is forgotten.
    pub(crate) fn open(&mut self, first_lsn: Lsn, size_max: usize, mut buffer: Buffer) {
        debug_assert!(self.is_empty(), "an open batch is closed first");
        buffer.clear();
        buffer.resize(BATCH_HEADER_SIZE);
        let opened_at = Some(Instant::now());
        *self = OpenBatch { buffer, first_lsn, record_count: 0, size_max, opened_at };
    }

    /// Stages one record that [`fits`](Self::fits); returns where it begins and ends.
    pub(crate) fn push(&mut self, kind: u8, body: &[u8]) -> (Lsn, Lsn) {
        let lsn = self.first_lsn.after(self.buffer.len() as u64);
        encode_frame(&mut self.buffer, kind, body);
        self.record_count += 1;
        (lsn, lsn.after(frame_size(body.len()) as u64))
    }

    /// Completes the header and closes the batch. `previous` is the chain it continues.
    pub(crate) fn seal(
        &mut self,
        seed: BatchSeed,
        segment: u64,
        previous: u64,
        durable_through: Lsn,
    ) -> SealedBatch {
        let mut buffer = std::mem::take(&mut self.buffer);
        let body_crc32 = seed.crc32(&buffer[BATCH_HEADER_SIZE..]);
        let chain = next_chain(previous, body_crc32, self.first_lsn);
        let header = BatchHeader {
            body_crc32,
            lsn: self.first_lsn,
            segment,
            chain,
            durable_through,
            length: u32::try_from(buffer.len()).expect("a batch is shorter than 4 GiB"),
            record_count: self.record_count,
        };
        header.encode_into(seed, &mut buffer);
        let OpenBatch { first_lsn, record_count, opened_at, .. } = std::mem::take(self);
        let opened_at = opened_at.expect("a batch is opened before it is sealed");
        let end_lsn = first_lsn.after(buffer.len() as u64);
        SealedBatch { end_lsn, buffer, first_lsn, chain, record_count, opened_at }
    }
}

/// A batch ready to be written.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    pub(crate) buffer: Buffer,
    pub(crate) first_lsn: Lsn,
    pub(crate) end_lsn: Lsn,
    pub(crate) chain: u64,
    pub(crate) record_count: u32,
    pub(crate) opened_at: Instant,
}
