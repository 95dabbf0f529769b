//! An image file: copies of what a log's records led to, so that recovery begins there and not at the first record.
//!
//! Files of the history have the same form, and so have those that are sorted into one (`history_file`).
//!
//! A file holds slices, whatever they mean, and between them pages of a directory that says which slices are what:
//!
//! ```text
//! header  one block, drawn at ImageHeader::encode
//! slices  frames of kind 1, each a record frame with its own checksum
//! pages   frames of kind 2, anywhere among the slices: u64 offset and u64 size of the frame of the page before (0, 0 for
//!         the first), then the page
//! end     one frame of kind 3: u64 count of the frames before it, u64 offset and u64 size of the frame of the last page,
//!         u32 CRC-32 of the checksums of all frames before it, in order, u32 0
//! ```
//! It is written under another name and synced before it gets its own, so a file of that name is whole or damaged, never
//! unfinished. Its name is `<log>-<number>.img`, decimal, padded to three and ten digits.

use std::path::{Path, PathBuf};

use crate::frame::frame_size;
use crate::little_endian::{put_u32, put_u64, u32_at, u64_at};
use crate::lsn::Lsn;
use crate::segment::{checksum_without_field, parse_numbered_name};
use crate::storage::BLOCK_SIZE;
use crate::store_id::StoreId;

/// What is in a file of this form, and so where it lies and how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Images of runs, with their directory: `SNAPSHOTS/<log>-<number>.img`.
    Image,
    /// Records that no recovery needs, sorted: `DATA/<log>-<number>.his`.
    History,
    /// Some of those, on their way into such a file: `DATA/<log>-<number>.part`.
    HistoryPart,
    /// A history that came from elsewhere (`archive_file`): `DATA/<log>-<number>.arc`.
    Archive,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            FileKind::Image => *b"STRATAIM",
            FileKind::History => *b"STRATAHI",
            FileKind::HistoryPart => *b"STRATAHP",
            FileKind::Archive => *b"STRATAAR",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            FileKind::Image => "img",
            FileKind::History => "his",
            FileKind::HistoryPart => "part",
            FileKind::Archive => "arc",
        }
    }

    /// The directory of a store that holds such files.
    pub(crate) fn dir(self, store: &Path) -> PathBuf {
        match self {
            FileKind::Image => images_dir(store),
            FileKind::History | FileKind::HistoryPart | FileKind::Archive => history_dir(store),
        }
    }

    /// File `number` of log `log`.
    pub(crate) fn path(self, store: &Path, log: u32, number: u64) -> PathBuf {
        self.dir(store).join(format!("{log:03}-{number:010}.{}", self.extension()))
    }

    /// The log and number in the name of such a file; `None` for any other name.
    pub(crate) fn parse_name(self, name: &str) -> Option<(u32, u64)> {
        parse_numbered_name(name.strip_suffix(self.extension())?.strip_suffix('.')?)
    }
}

/// Version of image files; a newer one is refused.
pub const IMAGE_FORMAT_VERSION: u32 = 1;

/// Kinds of the frames in an image file.
pub(crate) const SLICE: u8 = 1;
pub(crate) const PAGE: u8 = 2;
pub(crate) const END: u8 = 3;

/// Bytes of the body of the last frame.
pub(crate) const END_BODY_SIZE: usize = 32;
/// Bytes of the last frame.
pub(crate) const END_SIZE: u64 = frame_size(END_BODY_SIZE) as u64;

/// Bytes in front of a page that say where the one before lies.
pub(crate) const PAGE_LINK_SIZE: usize = 16;

/// What the header block of an image file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// What is in the file.
    pub kind: FileKind,
    /// The store it belongs to.
    pub store: StoreId,
    /// Number of the log whose records it stands for.
    pub log: u32,
    /// Its number among those of its kind and log; the first one is 1.
    pub number: u64,
    /// Every record below this position is in it, or no longer needed.
    pub through: Lsn,
    /// Microseconds since the epoch at which it was begun.
    pub created_micros: u64,
}

/// An image that stands for all records of its log up to a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamedImage {
    /// Its number in its log, from 1.
    pub number: u64,
    /// Every record below is in it: the log is read on from here. The end of a batch, or of an empty log.
    pub through: Lsn,
    /// Chain of the batch that ends there.
    pub chain: u64,
}

/// Where frames lie in an image file: one, or several one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImagePlace {
    /// Offset of the first frame in bytes.
    pub offset: u64,
    /// Size of all of them in bytes; 0 for nothing.
    pub size: u64,
}

impl ImagePlace {
    /// This place and the one right behind it.
    ///
    /// # Panics
    /// If the other one does not begin where this one ends.
    pub fn and(self, next: ImagePlace) -> ImagePlace {
        if self.size == 0 {
            return next;
        }
        assert_eq!(self.offset + self.size, next.offset, "places of one thing follow each other");
        ImagePlace { offset: self.offset, size: self.size + next.size }
    }
}

/// Where the next frame of an image file will lie: whoever has the image written knows places before it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageCursor {
    next: u64,
}

impl ImageCursor {
    /// At the first frame of a file.
    pub fn new() -> ImageCursor {
        ImageCursor { next: BLOCK_SIZE as u64 }
    }

    /// The place of a slice of this many bytes.
    pub fn slice(&mut self, size: usize) -> ImagePlace {
        self.frames(frame_size(size) as u64)
    }

    /// The place of a page of this many bytes.
    pub fn page(&mut self, size: usize) -> ImagePlace {
        self.frames(frame_size(PAGE_LINK_SIZE + size) as u64)
    }

    /// The place of frames that are this large together.
    pub fn frames(&mut self, size: u64) -> ImagePlace {
        let place = ImagePlace { offset: self.next, size };
        self.next += size;
        place
    }

    /// How large the file is up to here, in bytes.
    pub fn offset(&self) -> u64 {
        self.next
    }
}

impl Default for ImageCursor {
    fn default() -> ImageCursor {
        ImageCursor::new()
    }
}

/// What the last frame of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageEnd {
    pub(crate) frame_count: u64,
    pub(crate) last_page: ImagePlace,
    pub(crate) checksum: u32,
}

/// Why a block is not the header of the image that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadImage {
    /// Written by a newer library.
    Newer(u32),
    /// Its slices and pages are written with a codec that is not known.
    UnknownCodec(u32),
    /// Damaged, or never a header.
    Damaged(String),
}

impl ImageHeader {
    /// Writes the header block.
    ///
    /// ```text
    /// offset  size  field
    ///      0     8  magic "STRATAIM", "STRATAHI", "STRATAHP" or "STRATAAR"
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
        block[0..8].copy_from_slice(&self.kind.magic());
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
    pub(crate) fn decode(kind: FileKind, block: &[u8]) -> Result<ImageHeader, BadImage> {
        let damaged = |reason: String| Err(BadImage::Damaged(reason));
        if block.len() != BLOCK_SIZE || block[0..8] != kind.magic() {
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
        if codec != 0 {
            return Err(BadImage::UnknownCodec(codec));
        }
        if version == 0 {
            return damaged("version 0 makes no image".to_string());
        }
        Ok(ImageHeader {
            kind,
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
        put_u64(&mut body, 8, self.last_page.offset);
        put_u64(&mut body, 16, self.last_page.size);
        put_u32(&mut body, 24, self.checksum);
        body
    }

    pub(crate) fn decode(body: &[u8]) -> Result<ImageEnd, String> {
        if body.len() != END_BODY_SIZE || u32_at(body, 28) != 0 {
            return Err(format!("{} bytes are no end of an image", body.len()));
        }
        let last_page = ImagePlace { offset: u64_at(body, 8), size: u64_at(body, 16) };
        Ok(ImageEnd { frame_count: u64_at(body, 0), last_page, checksum: u32_at(body, 24) })
    }
}

/// The directory of a store that holds its images.
pub(crate) fn images_dir(store: &Path) -> PathBuf {
    store.join("SNAPSHOTS")
}

/// The directory of a store that holds its history: what no recovery needs.
pub(crate) fn history_dir(store: &Path) -> PathBuf {
    store.join("DATA")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ImageHeader {
        ImageHeader {
            kind: FileKind::Image,
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
        assert_eq!(ImageHeader::decode(FileKind::Image, &golden), Ok(header()));
        let history = ImageHeader { kind: FileKind::History, ..header() }.encode();
        assert_eq!(history[..8], *b"STRATAHI");
        assert!(
            ImageHeader::decode(FileKind::Image, &history).is_err(),
            "a file of one kind is none of another"
        );
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed_and_a_newer_version_or_codec_is_named() {
        let block = header().encode();
        for bit in 0..BLOCK_SIZE * 8 {
            let mut damaged = block;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                ImageHeader::decode(FileKind::Image, &damaged).is_err(),
                "bit {bit} was flipped unnoticed"
            );
        }
        let mut newer = block;
        put_u32(&mut newer, 8, 2);
        let sum = checksum_without_field(&newer);
        put_u32(&mut newer, 12, sum);
        assert_eq!(ImageHeader::decode(FileKind::Image, &newer), Err(BadImage::Newer(2)));
        put_u32(&mut newer, 8, IMAGE_FORMAT_VERSION);
        put_u32(&mut newer, 36, 5);
        let sum = checksum_without_field(&newer);
        put_u32(&mut newer, 12, sum);
        assert_eq!(ImageHeader::decode(FileKind::Image, &newer), Err(BadImage::UnknownCodec(5)));
    }

    #[test]
    fn an_end_has_exactly_these_bytes() {
        let end =
            ImageEnd { frame_count: 5, last_page: ImagePlace { offset: 6, size: 7 }, checksum: 0x0403_0201 };
        let golden =
            [5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0];
        assert_eq!(end.encode(), golden);
        assert_eq!(ImageEnd::decode(&golden), Ok(end));
        assert!(ImageEnd::decode(&golden[1..]).is_err());
    }

    #[test]
    fn names_say_log_and_number_and_other_names_do_not() {
        let names = [
            (FileKind::Image, "SNAPSHOTS/002-0000000017.img"),
            (FileKind::History, "DATA/002-0000000017.his"),
            (FileKind::HistoryPart, "DATA/002-0000000017.part"),
        ];
        for (kind, name) in names {
            assert_eq!(kind.path(Path::new("/s"), 2, 17), Path::new("/s").join(name));
            assert_eq!(kind.parse_name(name.split_once('/').unwrap().1), Some((2, 17)));
        }
        for name in ["002-0000000017.tmp", "2-17.img", "002-0000000017.seg", "002-0000000017img"] {
            assert_eq!(FileKind::Image.parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_cursor_tells_places_one_behind_the_other() {
        let mut cursor = ImageCursor::new();
        let (slice, page) = (cursor.slice(1), cursor.page(8));
        assert_eq!(slice, ImagePlace { offset: 4_096, size: 24 });
        assert_eq!(page, ImagePlace { offset: 4_120, size: 40 });
        assert_eq!(ImagePlace::default().and(slice).and(page), ImagePlace { offset: 4_096, size: 64 });
        assert_eq!((cursor.frames(100).offset, cursor.offset()), (4_160, 4_260));
    }
}
