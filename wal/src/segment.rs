//! A segment: one preallocated file of a shard's log, and the block that says whose it is.
//!
//! A segment is a header of one block and then zeros, all of it synced before the first batch is written.
//! Its name is `<log>-<number>.seg`, decimal, padded to three and ten digits.

use std::path::{Path, PathBuf};

use crate::little_endian::{put_u32, put_u64, u32_at, u64_at};
use crate::lsn::Lsn;
use crate::storage::BLOCK_SIZE;
use crate::store_id::StoreId;

/// First eight bytes of a segment.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"STRATASG";

/// Version of segment, batch and frame; a newer one is refused.
pub const SEGMENT_FORMAT_VERSION: u32 = 1;

/// Bytes of the header block; the first batch lies right behind it.
pub const SEGMENT_HEADER_SIZE: u64 = BLOCK_SIZE as u64;

/// Size of the first segment of a log in bytes.
pub const SEGMENT_SIZE_MIN: u64 = 256 * 1024;

/// Size in bytes at which segments stop doubling; only one very large commit makes a larger one.
pub const SEGMENT_SIZE_MAX: u64 = 64 * 1024 * 1024;

/// What the header block of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store it belongs to.
    pub store: StoreId,
    /// Number of the log.
    pub log: u32,
    /// Count of logs in the store when the segment was made.
    pub log_count: u32,
    /// Number of the segment in its log; the first one is 1.
    pub number: u64,
    /// Size of the file in bytes, a multiple of 4 KiB.
    pub size: u64,
    /// Position of the first byte of the file.
    pub first_lsn: Lsn,
    /// Random; mixed into the chain at the first batch of the segment.
    pub chain_seed: u64,
    /// Unsynced bytes at which the log starts a sync by itself.
    pub unsynced_bytes_max: u64,
    /// Microseconds since the epoch at which the segment was prepared.
    pub created_micros: u64,
}

/// Why a block is not the header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Written by a newer library.
    Newer(u32),
    /// Its records are written with a codec that is not known.
    UnknownCodec(u32),
    /// Damaged, or never a header.
    Damaged(String),
}

impl SegmentHeader {
    /// Writes the header block.
    ///
    /// ```text
    /// offset  size  field
    ///      0     8  magic "STRATASG"
    ///      8     4  format version, 1
    ///     12     4  CRC-32 of the whole block with these four bytes zero
    ///     16    16  store id
    ///     32     4  log number
    ///     36     4  log count
    ///     40     8  segment number, from 1
    ///     48     8  size of the file in bytes
    ///     56     8  first LSN
    ///     64     8  chain seed
    ///     72     8  unsynced bytes max
    ///     80     4  flags, 0
    ///     84     4  reserved, 0
    ///     88     8  created, microseconds since the epoch
    ///     96  4000  zeros
    /// ```
    pub(crate) fn encode(&self) -> [u8; BLOCK_SIZE] {
        let mut block = [0; BLOCK_SIZE];
        block[0..8].copy_from_slice(&SEGMENT_MAGIC);
        put_u32(&mut block, 8, SEGMENT_FORMAT_VERSION);
        block[16..32].copy_from_slice(&self.store.0);
        put_u32(&mut block, 32, self.log);
        put_u32(&mut block, 36, self.log_count);
        put_u64(&mut block, 40, self.number);
        put_u64(&mut block, 48, self.size);
        put_u64(&mut block, 56, self.first_lsn.0);
        put_u64(&mut block, 64, self.chain_seed);
        put_u64(&mut block, 72, self.unsynced_bytes_max);
        put_u64(&mut block, 88, self.created_micros);
        let checksum = crc32fast::hash(&block);
        put_u32(&mut block, 12, checksum);
        block
    }

    /// Reads a header block; nothing in it is believed before its checksum.
    pub(crate) fn decode(block: &[u8]) -> Result<SegmentHeader, BadHeader> {
        let damaged = |reason: String| Err(BadHeader::Damaged(reason));
        if block.len() != BLOCK_SIZE || block[0..8] != SEGMENT_MAGIC {
            return damaged("no segment header".into());
        }
        let stored = u32_at(block, 12);
        let computed = checksum_without_field(block);
        if stored != computed {
            return damaged(format!("header checksum: stored {stored:#010x}, computed {computed:#010x}"));
        }
        let version = u32_at(block, 8);
        if version > SEGMENT_FORMAT_VERSION {
            return Err(BadHeader::Newer(version));
        }
        let (flags, codec) = (u32_at(block, 80), u32_at(block, 84));
        if codec != 0 {
            return Err(BadHeader::UnknownCodec(codec));
        }
        let size = u64_at(block, 48);
        if version == 0 || flags != 0 || !size.is_multiple_of(SEGMENT_HEADER_SIZE) {
            return damaged(format!("version {version}, flags {flags:#x}, size {size} make no segment"));
        }
        Ok(SegmentHeader {
            store: StoreId(block[16..32].try_into().expect("sixteen bytes")),
            log: u32_at(block, 32),
            log_count: u32_at(block, 36),
            number: u64_at(block, 40),
            size,
            first_lsn: Lsn(u64_at(block, 56)),
            chain_seed: u64_at(block, 64),
            unsynced_bytes_max: u64_at(block, 72),
            created_micros: u64_at(block, 88),
        })
    }

    /// Position right behind the last byte of the segment: the next segment's first LSN.
    pub(crate) fn end_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0.saturating_add(self.size))
    }
}

/// The directory of a store that holds its segments.
pub(crate) fn segments_dir(store: &Path) -> PathBuf {
    store.join("WAL")
}

/// The file of segment `number` of log `log`.
pub(crate) fn segment_path(store: &Path, log: u32, number: u64) -> PathBuf {
    segments_dir(store).join(segment_name(log, number))
}

/// The name of its file, wherever that lies.
pub(crate) fn segment_name(log: u32, number: u64) -> String {
    format!("{log:03}-{number:010}.seg")
}

/// The log and number in a segment's file name; `None` for any other name.
pub(crate) fn parse_segment_name(name: &str) -> Option<(u32, u64)> {
    parse_numbered_name(name.strip_suffix(".seg")?)
}

/// The log and number in `<log>-<number>`, padded as in the names of segments.
pub(crate) fn parse_numbered_name(name: &str) -> Option<(u32, u64)> {
    let (log, number) = name.split_once('-')?;
    let is_padded =
        |text: &str, digits| text.len() >= digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_padded(log, 3) || !is_padded(number, 10) {
        return None;
    }
    Some((log.parse().ok()?, number.parse().ok()?))
}

/// Size in bytes of the segment that follows one of `previous` bytes and must hold `needed` bytes of batches. It is at
/// most `size_max` if that is enough.
pub(crate) fn next_segment_size(previous: u64, needed: u64, size_max: u64) -> u64 {
    let size_max = size_max.clamp(SEGMENT_SIZE_MIN, SEGMENT_SIZE_MAX);
    // The greatest power of two that is not above it.
    let doubled = previous.saturating_mul(2).clamp(SEGMENT_SIZE_MIN, 1 << size_max.ilog2());
    doubled.max((needed + SEGMENT_HEADER_SIZE).next_power_of_two())
}

/// The checksum of a header block, whose own four bytes at 12 count as zero.
pub(crate) fn checksum_without_field(block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..12]);
    hasher.update(&[0; 4]);
    hasher.update(&block[16..]);
    hasher.finalize()
}

const _: () = assert!(SEGMENT_SIZE_MIN.is_power_of_two() && SEGMENT_SIZE_MAX.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            store: StoreId(*b"0123456789abcdef"),
            log: 3,
            log_count: 4,
            number: 0x0102_0304_0506_0708,
            size: 262_144,
            first_lsn: Lsn(0x1122_3344_5566_7788),
            chain_seed: 0xa1a2_a3a4_a5a6_a7a8,
            unsynced_bytes_max: 1 << 20,
            created_micros: 0x0005_0000_0000_0001,
        }
    }

    #[test]
    fn a_segment_header_has_exactly_these_bytes() {
        let mut golden = Vec::new();
        golden.extend_from_slice(b"STRATASG");
        golden.extend_from_slice(&[1, 0, 0, 0]); // version
        golden.extend_from_slice(&[0x74, 0x7e, 0x0e, 0xe5]); // checksum
        golden.extend_from_slice(b"0123456789abcdef");
        golden.extend_from_slice(&[3, 0, 0, 0, 4, 0, 0, 0]); // log, log count
        golden.extend_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]); // number
        golden.extend_from_slice(&[0, 0, 4, 0, 0, 0, 0, 0]); // size
        golden.extend_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]); // first LSN
        golden.extend_from_slice(&[0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3, 0xa2, 0xa1]); // chain seed
        golden.extend_from_slice(&[0, 0, 0x10, 0, 0, 0, 0, 0]); // unsynced bytes max
        golden.extend_from_slice(&[0; 8]); // flags, reserved
        golden.extend_from_slice(&[1, 0, 0, 0, 0, 0, 5, 0]); // created
        golden.resize(BLOCK_SIZE, 0);
        assert_eq!(header().encode()[..], golden[..]);
        assert_eq!(SegmentHeader::decode(&golden), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_the_header_block_is_noticed() {
        let block = header().encode();
        for bit in 0..BLOCK_SIZE * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&damaged).is_err(), "bit {bit} was flipped unnoticed");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut block = header().encode();
        put_u32(&mut block, 8, 2);
        let checksum = checksum_without_field(&block);
        put_u32(&mut block, 12, checksum);
        assert_eq!(SegmentHeader::decode(&block), Err(BadHeader::Newer(2)));
        put_u32(&mut block, 8, SEGMENT_FORMAT_VERSION);
        put_u32(&mut block, 84, 5);
        let checksum = checksum_without_field(&block);
        put_u32(&mut block, 12, checksum);
        assert_eq!(SegmentHeader::decode(&block), Err(BadHeader::UnknownCodec(5)));
    }

    #[test]
    fn names_say_log_and_number_and_other_names_do_not() {
        let path = segment_path(Path::new("/store"), 2, 17);
        assert_eq!(path, Path::new("/store/WAL/002-0000000017.seg"));
        assert_eq!(parse_segment_name("002-0000000017.seg"), Some((2, 17)));
        for name in [
            "2-17.seg",
            "002-0000000017",
            "002-00000000x7.seg",
            "-.seg",
            "LOCK",
            "999999999999-0000000001.seg",
        ] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
    }

    #[test]
    fn sizes_double_to_a_limit_that_only_a_large_commit_passes() {
        let size = |previous, needed| next_segment_size(previous, needed, u64::MAX);
        assert_eq!(size(0, 0), SEGMENT_SIZE_MIN);
        assert_eq!(size(SEGMENT_SIZE_MIN, 0), 2 * SEGMENT_SIZE_MIN);
        assert_eq!(size(SEGMENT_SIZE_MAX, 1000), SEGMENT_SIZE_MAX);
        assert_eq!(size(SEGMENT_SIZE_MIN, SEGMENT_SIZE_MAX), 2 * SEGMENT_SIZE_MAX);
        assert_eq!(next_segment_size(SEGMENT_SIZE_MAX, 0, 5 << 20), 4 << 20);
        assert_eq!(next_segment_size(SEGMENT_SIZE_MIN, 0, 0), SEGMENT_SIZE_MIN);
    }
}
