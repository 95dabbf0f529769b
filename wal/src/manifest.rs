//! MANIFEST: the one file that says what the store consists of, in two slots written in turn.
//!
//! An update writes the older slot and syncs, so a crash in the middle leaves the newer one; then it writes the
//! other slot, so that damage to either costs nothing. The valid slot of the highest generation counts; when both
//! are damaged the store is, too.

use std::ops::Range;

use crate::image_file::NamedImage;
use crate::little_endian::{put_u32, put_u64, u32_at, u64_at};
use crate::lsn::Lsn;
use crate::store_id::StoreId;

/// First eight bytes of a slot.
pub(crate) const MANIFEST_MAGIC: [u8; 8] = *b"STRATAMF";

/// Version of MANIFEST; a newer one is refused. A store of version 1 names no images: its first update makes it one of
/// version 2.
pub const MANIFEST_FORMAT_VERSION: u32 = 2;

/// Bytes of one slot.
pub(crate) const SLOT_SIZE: usize = 16 * 1024;

/// Bytes of the file: two slots.
pub(crate) const MANIFEST_SIZE: usize = 2 * SLOT_SIZE;

/// Most logs (shards) one store can have.
pub const LOG_COUNT_MAX: u32 = 128;

const HEADER_SIZE: usize = 88;
const ENTRY_SIZE_V1: usize = 72;
const ENTRY_SIZE: usize = 120;

/// What one slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Counts the updates; the greater one of two valid slots counts.
    pub(crate) generation: u64,
    pub(crate) store: StoreId,
    pub(crate) created_micros: u64,
    /// Number of the last boot, the one running now once it has begun; 0 before the first.
    pub(crate) boot: u64,
    /// Number of the last boot known not to have closed cleanly; 0 for none.
    pub(crate) unclean_through: u64,
    /// Whether the last boot closed the store; then every log ends exactly where its entry says.
    pub(crate) is_clean: bool,
    /// Number of the first log; the others follow it. More than 0 where the store had other logs before.
    pub(crate) first_log: u32,
    pub(crate) logs: Vec<LogEntry>,
    /// Typed sections as they were read, kept for whoever knows them.
    pub(crate) sections: Vec<u8>,
}

/// What MANIFEST knows of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) oldest_segment: u64,
    pub(crate) newest_segment: u64,
    pub(crate) oldest_first_lsn: Lsn,
    /// Chain at the start of the oldest segment; 0 where an image stands for what came before it.
    pub(crate) oldest_chain: u64,
    pub(crate) newest_first_lsn: Lsn,
    pub(crate) newest_size: u64,
    /// Proof: everything below was on stable storage when the slot was written.
    pub(crate) durable_through: Lsn,
    pub(crate) end_lsn: Lsn,
    pub(crate) end_chain: u64,
    /// The images to begin with instead of the first record, the newest first. The log reaches back to the older one.
    pub(crate) images: [Option<NamedImage>; 2],
}

/// Why a slot cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadSlot {
    /// Not a slot of ours at all.
    Foreign,
    /// Written whole, by a newer library.
    Newer(u32),
    /// Written whole, with a codec for records that is not known.
    UnknownCodec(u32),
    /// Torn or damaged.
    Damaged(String),
}

impl Manifest {
    /// Writes one slot.
    ///
    /// ```text
    /// offset  size  field
    ///      0     8  magic "STRATAMF"
    ///      8     4  CRC-32 of bytes 12..16384
    ///     12     4  format version, 2
    ///     16     8  generation
    ///     24    16  store id
    ///     40     8  created, microseconds since the epoch
    ///     48     8  boot: number of the last boot
    ///     56     8  unclean through: last boot known not to have closed cleanly, 0 for none
    ///     64     4  codec of records, 0 = as they are
    ///     68     4  flags: bit 0 = closed cleanly
    ///     72     4  log count, n
    ///     76     4  length of the sections in bytes, s
    ///     80     4  number of the first log
    ///     84     4  reserved, 0
    ///     88  120n  one entry a log, all fields u64: oldest segment, newest segment, oldest first LSN, oldest
    ///               chain, newest first LSN, newest size, durable through, end LSN, end chain; then the newest
    ///               image and the one before, each: number (0 none), through, chain there
    ///            s  sections: tag (4 bytes), length (4 bytes), content, zeros to a multiple of 8
    ///               zeros up to 16384
    /// ```
    /// An entry of version 1 has 72 bytes and no images.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let entries_end = HEADER_SIZE + self.logs.len() * ENTRY_SIZE;
        assert!(entries_end + self.sections.len() <= SLOT_SIZE, "logs and sections fit one slot");
        let mut slot = vec![0; SLOT_SIZE];
        slot[0..8].copy_from_slice(&MANIFEST_MAGIC);
        put_u32(&mut slot, 12, MANIFEST_FORMAT_VERSION);
        put_u64(&mut slot, 16, self.generation);
        slot[24..40].copy_from_slice(&self.store.0);
        put_u64(&mut slot, 40, self.created_micros);
        put_u64(&mut slot, 48, self.boot);
        put_u64(&mut slot, 56, self.unclean_through);
        put_u32(&mut slot, 68, u32::from(self.is_clean));
        put_u32(&mut slot, 72, self.logs.len() as u32);
        put_u32(&mut slot, 76, self.sections.len() as u32);
        put_u32(&mut slot, 80, self.first_log);
        for (index, entry) in self.logs.iter().enumerate() {
            entry.encode_into(&mut slot[HEADER_SIZE + index * ENTRY_SIZE..][..ENTRY_SIZE]);
        }
        slot[entries_end..entries_end + self.sections.len()].copy_from_slice(&self.sections);
        let checksum = crc32fast::hash(&slot[12..]);
        put_u32(&mut slot, 8, checksum);
        slot
    }

    /// The numbers of its logs.
    pub(crate) fn log_numbers(&self) -> Range<u32> {
        self.first_log..self.first_log + self.logs.len() as u32
    }

    /// Where the log with this number stands among its logs.
    ///
    /// # Panics
    /// If it is none of them.
    pub(crate) fn index_of(&self, log: u32) -> usize {
        assert!(self.log_numbers().contains(&log), "log {log} is one of {:?}", self.log_numbers());
        (log - self.first_log) as usize
    }

    /// What it knows of the log with this number.
    pub(crate) fn entry(&self, log: u32) -> &LogEntry {
        &self.logs[self.index_of(log)]
    }

    /// The same, to change it.
    pub(crate) fn entry_mut(&mut self, log: u32) -> &mut LogEntry {
        let index = self.index_of(log);
        &mut self.logs[index]
    }

    /// Reads one slot; nothing in it is believed before its checksum.
    pub(crate) fn decode(slot: &[u8]) -> Result<Manifest, BadSlot> {
        let damaged = |reason: String| Err(BadSlot::Damaged(reason));
        if slot.len() < 8 || slot[0..8] != MANIFEST_MAGIC {
            return Err(BadSlot::Foreign);
        }
        if slot.len() != SLOT_SIZE {
            return damaged(format!("{} bytes are no slot", slot.len()));
        }
        let (stored, computed) = (u32_at(slot, 8), crc32fast::hash(&slot[12..]));
        if stored != computed {
            return damaged(format!("slot checksum: stored {stored:#010x}, computed {computed:#010x}"));
        }
        let version = u32_at(slot, 12);
        if version > MANIFEST_FORMAT_VERSION {
            return Err(BadSlot::Newer(version));
        }
        let (codec, flags) = (u32_at(slot, 64), u32_at(slot, 68));
        let log_count = u32_at(slot, 72);
        if codec != 0 {
            return Err(BadSlot::UnknownCodec(codec));
        }
        if version == 0 || flags > 1 || !(1..=LOG_COUNT_MAX).contains(&log_count) {
            return damaged(format!("version {version}, flags {flags:#x}, {log_count} logs"));
        }
        let first_log = u32_at(slot, 80);
        if first_log.checked_add(log_count).is_none() {
            return damaged(format!("{log_count} logs from number {first_log} on"));
        }
        let entry_size = if version == 1 { ENTRY_SIZE_V1 } else { ENTRY_SIZE };
        let entries_end = HEADER_SIZE + log_count as usize * entry_size;
        let sections_size = u32_at(slot, 76) as usize;
        if sections_size > SLOT_SIZE - entries_end {
            return damaged(format!("sections of {sections_size} bytes do not fit the slot"));
        }
        let logs: Vec<LogEntry> =
            slot[HEADER_SIZE..entries_end].chunks_exact(entry_size).map(LogEntry::decode).collect();
        if let Some(index) = logs.iter().position(|entry| !entry.is_plausible()) {
            return damaged(format!("the entry of log {index} contradicts itself: {:?}", logs[index]));
        }
        Ok(Manifest {
            generation: u64_at(slot, 16),
            store: StoreId(slot[24..40].try_into().expect("sixteen bytes")),
            created_micros: u64_at(slot, 40),
            boot: u64_at(slot, 48),
            unclean_through: u64_at(slot, 56),
            is_clean: flags & 1 == 1,
            first_log,
            logs,
            sections: slot[entries_end..entries_end + sections_size].to_vec(),
        })
    }
}

impl LogEntry {
    fn encode_into(&self, bytes: &mut [u8]) {
        let [newest, before] = self.images.map(|image| {
            let NamedImage { number, through, chain } = image.unwrap_or_default();
            [number, through.0, chain]
        });
        let fields = [
            self.oldest_segment,
            self.newest_segment,
            self.oldest_first_lsn.0,
            self.oldest_chain,
            self.newest_first_lsn.0,
            self.newest_size,
            self.durable_through.0,
            self.end_lsn.0,
            self.end_chain,
        ];
        for (index, field) in fields.into_iter().chain(newest).chain(before).enumerate() {
            put_u64(bytes, index * 8, field);
        }
    }

    /// Reads an entry of the present version or, by its length, of version 1.
    fn decode(bytes: &[u8]) -> LogEntry {
        let field = |index: usize| u64_at(bytes, index * 8);
        let image = |index: usize| {
            let (number, through, chain) = (field(index), Lsn(field(index + 1)), field(index + 2));
            (number > 0).then_some(NamedImage { number, through, chain })
        };
        LogEntry {
            oldest_segment: field(0),
            newest_segment: field(1),
            oldest_first_lsn: Lsn(field(2)),
            oldest_chain: field(3),
            newest_first_lsn: Lsn(field(4)),
            newest_size: field(5),
            durable_through: Lsn(field(6)),
            end_lsn: Lsn(field(7)),
            end_chain: field(8),
            images: if bytes.len() == ENTRY_SIZE { [image(9), image(12)] } else { [None; 2] },
        }
    }

    fn is_plausible(&self) -> bool {
        let images_follow = match self.images {
            [Some(newest), Some(before)] => before.number < newest.number && before.through <= newest.through,
            [before, after] => before.is_some() || after.is_none(),
        };
        // The log is read on from the older image, or from its beginning.
        let first_needed = self.images[1].map_or(self.oldest_first_lsn, |image| image.through);
        1 <= self.oldest_segment
            && self.oldest_segment <= self.newest_segment
            && self.oldest_first_lsn <= self.newest_first_lsn
            && self.newest_first_lsn.0.checked_add(self.newest_size).is_some()
            && images_follow
            && self.oldest_first_lsn <= first_needed
    }
}

const _: () = assert!(HEADER_SIZE + LOG_COUNT_MAX as usize * ENTRY_SIZE <= SLOT_SIZE);

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            generation: 0x11,
            store: StoreId(*b"0123456789abcdef"),
            created_micros: 0x22,
            boot: 0x33,
            unclean_through: 0x32,
            is_clean: true,
            first_log: 0x77,
            logs: vec![LogEntry {
                oldest_segment: 1,
                newest_segment: 2,
                oldest_first_lsn: Lsn(0),
                oldest_chain: 0x44,
                newest_first_lsn: Lsn(0x4_0000),
                newest_size: 0x8_0000,
                durable_through: Lsn(0x2000),
                end_lsn: Lsn(0x3000),
                end_chain: 0x55,
                images: [
                    Some(NamedImage { number: 7, through: Lsn(0x2800), chain: 0x66 }),
                    Some(NamedImage { number: 5, through: Lsn(0x1800), chain: 0x77 }),
                ],
            }],
            sections: vec![9, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        }
    }

    /// A slot of either version; the checksum is computed here.
    fn golden(version: u8, images: &[u64]) -> Vec<u8> {
        let mut golden = Vec::new();
        golden.extend_from_slice(b"STRATAMF");
        golden.extend_from_slice(&[0; 4]); // checksum, below
        golden.extend_from_slice(&[version, 0, 0, 0]); // version
        golden.extend_from_slice(&[0x11, 0, 0, 0, 0, 0, 0, 0]); // generation
        golden.extend_from_slice(b"0123456789abcdef");
        golden.extend_from_slice(&[0x22, 0, 0, 0, 0, 0, 0, 0]); // created
        golden.extend_from_slice(&[0x33, 0, 0, 0, 0, 0, 0, 0]); // boot
        golden.extend_from_slice(&[0x32, 0, 0, 0, 0, 0, 0, 0]); // unclean through
        golden.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]); // codec, flags
        golden.extend_from_slice(&[1, 0, 0, 0, 16, 0, 0, 0]); // log count, section bytes
        golden.extend_from_slice(&[0x77, 0, 0, 0, 0, 0, 0, 0]); // first log, reserved
        golden.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]); // oldest segment
        golden.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]); // newest segment
        golden.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0]); // oldest first LSN
        golden.extend_from_slice(&[0x44, 0, 0, 0, 0, 0, 0, 0]); // oldest chain
        golden.extend_from_slice(&[0, 0, 4, 0, 0, 0, 0, 0]); // newest first LSN
        golden.extend_from_slice(&[0, 0, 8, 0, 0, 0, 0, 0]); // newest size
        golden.extend_from_slice(&[0, 0x20, 0, 0, 0, 0, 0, 0]); // durable through
        golden.extend_from_slice(&[0, 0x30, 0, 0, 0, 0, 0, 0]); // end LSN
        golden.extend_from_slice(&[0x55, 0, 0, 0, 0, 0, 0, 0]); // end chain
        images.iter().for_each(|field| golden.extend_from_slice(&field.to_le_bytes()));
        golden.extend_from_slice(&[9, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]); // a section
        golden.resize(SLOT_SIZE, 0);
        let checksum = crc32fast::hash(&golden[12..]);
        golden[8..12].copy_from_slice(&checksum.to_le_bytes());
        golden
    }

    #[test]
    fn a_slot_has_exactly_these_bytes() {
        let golden = golden(2, &[7, 0x2800, 0x66, 5, 0x1800, 0x77]);
        assert_eq!(manifest().encode(), golden);
        assert_eq!(Manifest::decode(&golden), Ok(manifest()));
    }

    #[test]
    fn a_slot_of_version_1_is_read_as_one_that_names_no_image() {
        let mut expected = manifest();
        expected.logs[0].images = [None; 2];
        assert_eq!(Manifest::decode(&golden(1, &[])), Ok(expected.clone()));
        assert_eq!(expected.encode(), golden(2, &[0; 6]), "what is written is of the present version");
    }

    #[test]
    fn images_that_contradict_each_other_or_the_log_are_damage() {
        let cases: [[u64; 6]; 4] = [
            [5, 0x2800, 0, 7, 0x1800, 0], // the newest has the lower number
            [7, 0x1800, 0, 5, 0x2800, 0], // and stands for less
            [0, 0, 0, 5, 0x1800, 0],      // the older one alone
            [0, 0, 0, 0, 0, 0],           // none: right, and the control of this test
        ];
        for (index, images) in cases.iter().enumerate() {
            assert_eq!(Manifest::decode(&golden(2, images)).is_ok(), index == 3, "{images:?}");
        }
        let mut behind = manifest();
        (behind.logs[0].oldest_first_lsn, behind.logs[0].newest_first_lsn) = (Lsn(0x4_0000), Lsn(0x4_0000));
        assert!(Manifest::decode(&behind.encode()).is_err(), "the log begins behind the older image");
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_noticed() {
        let slot = manifest().encode();
        for bit in (0..HEADER_SIZE * 8).chain((HEADER_SIZE * 8..SLOT_SIZE * 8).step_by(61)) {
            let mut damaged = slot.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&damaged).is_err(), "bit {bit} was flipped unnoticed");
        }
    }

    #[test]
    fn a_newer_version_or_codec_is_named_only_when_the_slot_is_whole() {
        let mut slot = manifest().encode();
        put_u32(&mut slot, 12, 7);
        assert!(matches!(Manifest::decode(&slot), Err(BadSlot::Damaged(_))));
        let checksum = crc32fast::hash(&slot[12..]);
        put_u32(&mut slot, 8, checksum);
        assert_eq!(Manifest::decode(&slot), Err(BadSlot::Newer(7)));
        put_u32(&mut slot, 12, MANIFEST_FORMAT_VERSION);
        put_u32(&mut slot, 64, 5);
        let checksum = crc32fast::hash(&slot[12..]);
        put_u32(&mut slot, 8, checksum);
        assert_eq!(Manifest::decode(&slot), Err(BadSlot::UnknownCodec(5)));
    }

    #[test]
    fn logs_whose_numbers_run_out_are_damage() {
        let mut last = manifest();
        last.first_log = u32::MAX - 1;
        assert_eq!(Manifest::decode(&last.encode()), Ok(last.clone()));
        last.first_log = u32::MAX;
        assert!(matches!(Manifest::decode(&last.encode()), Err(BadSlot::Damaged(_))));
    }

    #[test]
    fn what_never_was_a_slot_is_foreign() {
        assert_eq!(Manifest::decode(b"hello"), Err(BadSlot::Foreign));
        assert_eq!(Manifest::decode(&[0; SLOT_SIZE]), Err(BadSlot::Foreign));
        assert!(matches!(Manifest::decode(&manifest().encode()[..100]), Err(BadSlot::Damaged(_))));
    }

    #[test]
    fn the_largest_store_fits_one_slot() {
        let mut largest = manifest();
        largest.logs = vec![largest.logs[0].clone(); LOG_COUNT_MAX as usize];
        assert_eq!(Manifest::decode(&largest.encode()), Ok(largest));
    }
}
