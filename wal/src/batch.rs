//! A batch: the records of one group commit behind one header, and the chain that links it to the last one.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "STRATABA"
//!      8     4  CRC-32 of bytes 12..64, seeded
//!     12     4  CRC-32 of bytes 64..length, seeded
//!     16     8  LSN: where the batch lies in the log
//!     24     8  segment number
//!     32     8  chain
//!     40     8  durable through: LSN known durable when the batch was sealed
//!     48     4  length in bytes, header and records, without padding
//!     52     4  record count
//!     56     8  reserved, 0
//!     64        records, each framed as in `frame`
//! ```
//!
//! The seed of both checksums is the CRC-32 of the store id and the segment number (8 bytes), so a block of
//! another store or an older file is no batch here; the LSN catches a write that went astray. The chain is a
//! hash over all batches before this one: a lost batch is noticed even where the next one looks perfect.

use crate::little_endian::{put_u32, put_u64, u32_at, u64_at};
use crate::lsn::Lsn;
use crate::store_id::StoreId;

/// First eight bytes of a batch.
pub(crate) const BATCH_MAGIC: [u8; 8] = *b"STRATABA";

/// Bytes in front of the first record.
pub(crate) const BATCH_HEADER_SIZE: usize = 64;

/// What the header of a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) body_crc32: u32,
    pub(crate) lsn: Lsn,
    pub(crate) segment: u64,
    pub(crate) chain: u64,
    pub(crate) durable_through: Lsn,
    /// Header and records in bytes.
    pub(crate) length: u32,
    pub(crate) record_count: u32,
}

/// The place a batch is read from or written to; everything its checksums depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSeed(u32);

impl BatchSeed {
    pub(crate) fn new(store: StoreId, segment: u64) -> BatchSeed {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&store.0);
        hasher.update(&segment.to_le_bytes());
        BatchSeed(hasher.finalize())
    }

    /// Checksum of the records of a batch.
    pub(crate) fn crc32(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }
}

impl BatchHeader {
    /// Writes the header into the first bytes of `batch`, as drawn above.
    pub(crate) fn encode_into(&self, seed: BatchSeed, batch: &mut [u8]) {
        assert!(self.durable_through <= self.lsn, "a batch cannot know more durable than lies before it");
        let header = &mut batch[..BATCH_HEADER_SIZE];
        header[0..8].copy_from_slice(&BATCH_MAGIC);
        put_u32(header, 12, self.body_crc32);
        put_u64(header, 16, self.lsn.0);
        put_u64(header, 24, self.segment);
        put_u64(header, 32, self.chain);
        put_u64(header, 40, self.durable_through.0);
        put_u32(header, 48, self.length);
        put_u32(header, 52, self.record_count);
        put_u64(header, 56, 0);
        let checksum = seed.crc32(&header[12..]);
        put_u32(header, 8, checksum);
    }

    /// Reads the header at the start of `bytes`, which lie at `lsn`; `room` is what the segment holds from there.
    ///
    /// The length is compared with `room` here, after the checksum and before anybody uses it.
    pub(crate) fn decode(
        seed: BatchSeed,
        bytes: &[u8],
        lsn: Lsn,
        segment: u64,
        room: u64,
    ) -> Result<BatchHeader, String> {
        if bytes.len() < BATCH_HEADER_SIZE || bytes[0..8] != BATCH_MAGIC {
            return Err("no batch begins here".into());
        }
        let (stored, computed) = (u32_at(bytes, 8), seed.crc32(&bytes[12..BATCH_HEADER_SIZE]));
        if stored != computed {
            return Err(format!("batch header checksum: stored {stored:#010x}, computed {computed:#010x}"));
        }
        let header = BatchHeader {
            body_crc32: u32_at(bytes, 12),
            lsn: Lsn(u64_at(bytes, 16)),
            segment: u64_at(bytes, 24),
            chain: u64_at(bytes, 32),
            durable_through: Lsn(u64_at(bytes, 40)),
            length: u32_at(bytes, 48),
            record_count: u32_at(bytes, 52),
        };
        if header.lsn != lsn || header.segment != segment {
            return Err(format!(
                "a batch of segment {} at LSN {} lies in segment {segment} at LSN {lsn}",
                header.segment, header.lsn
            ));
        }
        let length = u64::from(header.length);
        if length < BATCH_HEADER_SIZE as u64 || length > room || header.durable_through > lsn {
            return Err(format!("a batch of {length} bytes does not fit the {room} bytes behind LSN {lsn}"));
        }
        Ok(header)
    }
}

/// The chain after a batch: `previous` mixed with the checksum of its records and its position.
pub(crate) fn next_chain(previous: u64, body_crc32: u32, lsn: Lsn) -> u64 {
    mix64(mix64(previous) ^ (u64::from(body_crc32) << 32) ^ lsn.0)
}

/// The chain that the first batch of a segment continues: the last batch's, bound to this segment.
pub(crate) fn enter_segment(previous: u64, chain_seed: u64) -> u64 {
    mix64(previous ^ chain_seed)
}

/// Every bit of the input changes half of the output (the finalizer of SplitMix64, Steele et al. 2014).
fn mix64(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

const _: () = assert!(BATCH_HEADER_SIZE == 8 + 4 + 4 + 8 + 8 + 8 + 8 + 4 + 4 + 8);

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId(*b"0123456789abcdef");

    fn header() -> BatchHeader {
        BatchHeader {
            body_crc32: 0x0403_0201,
            lsn: Lsn(0x2000),
            segment: 2,
            chain: 0x1817_1615_1413_1211,
            durable_through: Lsn(0x1000),
            length: 96,
            record_count: 1,
        }
    }

    fn encoded() -> [u8; BATCH_HEADER_SIZE] {
        let mut bytes = [0xff; BATCH_HEADER_SIZE];
        header().encode_into(BatchSeed::new(STORE, 2), &mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<BatchHeader, String> {
        BatchHeader::decode(BatchSeed::new(STORE, 2), bytes, Lsn(0x2000), 2, 96)
    }

    #[test]
    fn a_batch_header_has_exactly_these_bytes() {
        let mut golden = Vec::new();
        golden.extend_from_slice(b"STRATABA");
        golden.extend_from_slice(&[0x2c, 0xc9, 0xb9, 0x83]); // header checksum
        golden.extend_from_slice(&[1, 2, 3, 4]); // checksum of the records
        golden.extend_from_slice(&[0, 0x20, 0, 0, 0, 0, 0, 0]); // LSN
        golden.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]); // segment number
        golden.extend_from_slice(&[0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]); // chain
        golden.extend_from_slice(&[0, 0x10, 0, 0, 0, 0, 0, 0]); // durable through
        golden.extend_from_slice(&[96, 0, 0, 0, 1, 0, 0, 0]); // length, record count
        golden.extend_from_slice(&[0; 8]);
        assert_eq!(encoded()[..], golden[..]);
        assert_eq!(decode(&golden), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed() {
        for bit in 0..BATCH_HEADER_SIZE * 8 {
            let mut damaged = encoded();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit} was flipped unnoticed");
        }
    }

    #[test]
    fn a_batch_of_another_place_store_or_segment_is_none_of_ours() {
        let bytes = encoded();
        let seed = BatchSeed::new(STORE, 2);
        assert!(BatchHeader::decode(seed, &bytes, Lsn(0x3000), 2, 96).is_err());
        assert!(BatchHeader::decode(BatchSeed::new(STORE, 3), &bytes, Lsn(0x2000), 3, 96).is_err());
        assert!(
            BatchHeader::decode(BatchSeed::new(StoreId([0; 16]), 2), &bytes, Lsn(0x2000), 2, 96).is_err()
        );
        assert!(BatchHeader::decode(seed, &bytes, Lsn(0x2000), 2, 95).unwrap_err().contains("does not fit"));
        assert!(BatchHeader::decode(seed, &bytes[..63], Lsn(0x2000), 2, 96).is_err());
    }

    #[test]
    fn the_chain_has_exactly_these_values() {
        assert_eq!(next_chain(0, 0, Lsn(4096)), 0xf060_4180_5d06_b780);
        assert_eq!(next_chain(1, 0xffff_ffff, Lsn(4096)), 0x18ad_0d1c_9912_2330);
        assert_eq!(enter_segment(7, 9), 0x255c_6046_f62f_be29);
    }

    #[test]
    fn the_chain_depends_on_everything_before_it() {
        let chain = next_chain(1, 2, Lsn(3));
        assert_ne!(chain, next_chain(2, 2, Lsn(3)));
        assert_ne!(chain, next_chain(1, 3, Lsn(3)));
        assert_ne!(chain, next_chain(1, 2, Lsn(4)));
    }
}
