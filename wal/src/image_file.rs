//! An image file: copies of what a log's records led to, so that recovery begins there and not at the first record.
//!
//! A file holds slices, whatever they mean, then one directory that says which slice is what, then its end:
//!
//! ```text
//! header     one block, drawn at ImageHeader::encode
//! slices     frames of kind 1, each a record frame with its own checksum
//! directory  one frame of kind 2
//! end        one frame of kind 3: u64 count of the frames before it, u64 offset and u64 size of the directory's frame,
//!            u32 CRC-32 of the checksums of all frames before it, in order, u32 0
//! ```
//! It is written under another name and synced before it gets its own, so a file of that name is whole or damaged, never
//! unfinished. Its name is `<log>-<number>.img`, decimal, padded to three and ten digits.

use std::path::{Path, PathBuf};

use crate::frame::frame_size;
use crate::little_endian::{put_u32, put_u64, u32_at, u64_at};
use crate::lsn::Lsn;
use crate::segment::checksum_without_field;
use crate::storage::BLOCK_SIZE;
use crate::store_id::StoreId;

const IMAGE_MAGIC: [u8; 8] = *b"STRATAIM";

/// Version of image files; a newer one is refused.
pub const IMAGE_FORMAT_VERSION: u32 = 1;

/// Kinds of the frames in an image file.
pub(crate) const SLICE: u8 = 1;
pub(crate) const DIRECTORY: u8 = 2;
pub(crate) const END: u8 = 3;

/// Bytes of the body of the last frame.
pub(crate) const END_BODY_SIZE: usize = 32;
/// Bytes of the last frame.
pub(crate) const END_SIZE: u64 = frame_size(END_BODY_SIZE) as u64;

/// What the header block of an image file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// The store it belongs to.
    pub store: StoreId,
    /// Index of the log whose records it stands for.
    pub log: u32,
    /// Number of the image of its log; the first one is 1.
    pub number: u64,
    /// Every record below this position is in it.
    pub through: Lsn,
    /// Microseconds since the epoch at which it was begun.
    pub created_micros: u64,
}

/// Where the frame of a slice lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagePlace {
    /// Offset of the frame in bytes.
    pub offset: u64,
    /// Size of the frame in bytes.
    pub size: u64,
}

/// What the last frame of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageEnd {
    pub(crate) frame_count: u64,
    pub(crate) directory: ImagePlace,
    pub(crate) checksum: u32,
}

/// Why a block is not the header of the image that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadImage {
    /// Written by a newer library.
    Newer(u32),
    /// Damaged, or never a header.
    Damaged(String),
}

impl ImageHeader {
    /// Writes the header block.
    ///
    /// ```text
    /// offset  size  field
    ///      0     8  magic "STRATAIM"
    ///      8     4  format version, 1
    ///     12     4  CRC-32 of the whole block with these four bytes zero
    ///     16    16  store id
    ///     32     4  log index
    ///     36     4  codec of slices, 0 = as they are
    ///     40     8  image number, from 1
    ///     48     8  through: every record below this LSN is in the image
    ///     56     8  created, microseconds since the epoch
    ///     64  4032  zeros
    /// ```
    pub(crate) fn encode(&self) -> [u8; BLOCK_SIZE] {
        let mut block = [0; BLOCK_SIZE];
        block[0..8].copy_from_slice(&IMAGE_MAGIC);
        put_u32(&mut block, 8, IMAGE_FORMAT_VERSION);
        block[16..32].copy_from_slice(&self.store.0);
        put_u32(&mut block, 32, self.log);
        put_u64(&mut block, 40, self.number);
        put_u64(&mut block, 48, self.through.0);
        put_u64(&mut block, 56, self.created_micros);
        let checksum = checksum_without_field(&block);
        put_u32(&mut block, 12, checksum);
        block
    }

    /// Reads a header block; nothing in it is believed before its checksum.
    pub(crate) fn decode(block: &[u8]) -> Result<ImageHeader, BadImage> {
        let damaged = |reason: String| Err(BadImage::Damaged(reason));
        if block.len() != BLOCK_SIZE || block[0..8] != IMAGE_MAGIC {
            return damaged("no header of an image".into());
        }
        let (stored, computed) = (u32_at(block, 12), checksum_without_field(block));
        if stored != computed {
            return damaged(format!("header checksum: stored {stored:#010x}, computed {computed:#010x}"));
        }
        let (version, codec) = (u32_at(block, 8), u32_at(block, 36));
        if version > IMAGE_FORMAT_VERSION {
            return Err(BadImage::Newer(version));
        }
        if version == 0 || codec != 0 {
            return damaged(format!("version {version}, codec {codec} make no image"));
        }
        Ok(ImageHeader {
            store: StoreId(block[16..32].try_into().expect("sixteen bytes")),
            log: u32_at(block, 32),
            number: u64_at(block, 40),
            through: Lsn(u64_at(block, 48)),
            created_micros: u64_at(block, 56),
        })
    }
}

impl ImageEnd {
    pub(crate) fn encode(&self) -> [u8; END_BODY_SIZE] {
        let mut body = [0; END_BODY_SIZE];
        put_u64(&mut body, 0, self.frame_count);
        put_u64(&mut body, 8, self.directory.offset);
        put_u64(&mut body, 16, self.directory.size);
        put_u32(&mut body, 24, self.checksum);
        body
    }

    pub(crate) fn decode(body: &[u8]) -> Result<ImageEnd, String> {
        if body.len() != END_BODY_SIZE || u32_at(body, 28) != 0 {
            return Err(format!("{} bytes are no end of an image", body.len()));
        }
        let directory = ImagePlace { offset: u64_at(body, 8), size: u64_at(body, 16) };
        Ok(ImageEnd { frame_count: u64_at(body, 0), directory, checksum: u32_at(body, 24) })
    }
}

/// The directory of a store that holds its images.
pub(crate) fn images_dir(store: &Path) -> PathBuf {
    store.join("SNAPSHOTS")
}

/// The file of image `number` of log `log`.
pub(crate) fn image_path(store: &Path, log: u32, number: u64) -> PathBuf {
    images_dir(store).join(format!("{log:03}-{number:010}.img"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ImageHeader {
        ImageHeader {
            store: StoreId(*b"0123456789abcdef"),
            log: 3,
            number: 0x0102_0304_0506_0708,
            through: Lsn(0x1122_3344_5566_7788),
            created_micros: 0x0005_0000_0000_0001,
        }
    }

    #[test]
    fn an_image_header_has_exactly_these_bytes() {
        let mut golden = Vec::new();
        golden.extend_from_slice(b"STRATAIM");
        golden.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]); // version; checksum, compared below
        golden.extend_from_slice(b"0123456789abcdef");
        golden.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0]); // log, codec
        golden.extend_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]); // number
        golden.extend_from_slice(&[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]); // through
        golden.extend_from_slice(&[1, 0, 0, 0, 0, 0, 5, 0]); // created
        golden.resize(BLOCK_SIZE, 0);
        let checksum = crc32fast::hash(&golden);
        golden[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(header().encode()[..], golden[..]);
        assert_eq!(ImageHeader::decode(&golden), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed_and_a_newer_version_is_named() {
        let block = header().encode();
        for bit in 0..BLOCK_SIZE * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(ImageHeader::decode(&damaged).is_err(), "bit {bit} was flipped unnoticed");
        }
        let mut newer = block;
        put_u32(&mut newer, 8, 2);
        let sum = checksum_without_field(&newer);
        put_u32(&mut newer, 12, sum);
        assert_eq!(ImageHeader::decode(&newer), Err(BadImage::Newer(2)));
    }

    #[test]
    fn an_end_has_exactly_these_bytes() {
        let end =
            ImageEnd { frame_count: 5, directory: ImagePlace { offset: 6, size: 7 }, checksum: 0x0403_0201 };
        let golden =
            [5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0];
        assert_eq!(end.encode(), golden);
        assert_eq!(ImageEnd::decode(&golden), Ok(end));
        assert!(ImageEnd::decode(&golden[1..]).is_err());
        assert_eq!(image_path(Path::new("/s"), 2, 17), Path::new("/s/SNAPSHOTS/002-0000000017.img"));
    }
}
