//! A file of the history: records that no recovery needs, sorted so that those of one group lie together.
//!
//! It has the form of an image file. Its number is that of the last segment whose records were sorted into it: of that segment
//! and those before it nothing else counts any more, and no file of the history with a smaller number.
//!
//! ```text
//! slice  [16] group, then records of it, in order of their places:
//!        u32 log, u8 kind, 3 zeros, u64 LSN, u32 size of the body, u32 0, the body, zeros up to a multiple of 8
//! page   one entry for each slice, in order: [16] group, u32 log, u32 0 and u64 LSN of the first record,
//!        u64 offset and u64 size of the slice
//! root   the last page, if there is one: one entry for each page in front of it, as that of its first slice is, with offset and
//!        size of the page
//! ```
//! Groups come in order of their bytes. So the records of a group are found in one place, and one of them by two entries, however many
//! there are of others: a sorted table with an index of its blocks, as in log-structured merge trees (O'Neil et al., "The log-structured
//! merge-tree", 1996; Chang et al., "Bigtable", OSDI 2006).

use std::path::Path;
use std::sync::Arc;

use crate::error::WalError;
use crate::image_file::{FileKind, ImageHeader, ImagePlace};
use crate::image_reader::ImageReader;
use crate::image_writer::ImageWriter;
use crate::little_endian::{u32_at, u64_at};
use crate::lsn::Lsn;
use crate::scan::RecordRef;
use crate::source::LogSource;
use crate::storage::Storage;

/// Whose records lie together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub [u8; 16]);

/// Where a record has its place among all that are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordKey {
    pub(crate) group: GroupId,
    /// Number of the log it was appended to: this one, or one that the store had before.
    pub(crate) log: u32,
    pub(crate) lsn: Lsn,
}

/// A slice is handed over when it has this many bytes.
const SLICE_SIZE: usize = 16 << 10;
/// A page is handed over when it has this many bytes.
const PAGE_SIZE: usize = 64 << 10;
const GROUP_SIZE: usize = 16;
const RECORD_HEADER_SIZE: usize = 24;
const ENTRY_SIZE: usize = 48;

/// A record and its place among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SortedRecord<'a> {
    pub(crate) key: RecordKey,
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
}

/// A file of the history that is being written, record by record in their order.
pub(crate) struct HistoryWriter {
    writer: ImageWriter,
    slice: Vec<u8>,
    /// The first record of the slice, and the last one there is.
    first: RecordKey,
    last: Option<RecordKey>,
    page: Vec<u8>,
    root: Vec<u8>,
    pub(crate) record_count: u64,
}

impl HistoryWriter {
    pub(crate) fn create(
        storage: Arc<dyn Storage>,
        store: &Path,
        header: &ImageHeader,
    ) -> Result<HistoryWriter, WalError> {
        let writer = ImageWriter::create(storage, store, header)?;
        let (slice, page, root) = (Vec::new(), Vec::new(), Vec::new());
        Ok(HistoryWriter {
            writer,
            slice,
            first: RecordKey::default(),
            last: None,
            page,
            root,
            record_count: 0,
        })
    }

    /// Adds the next record.
    ///
    /// # Panics
    /// If it does not come behind the one before.
    pub(crate) fn add(&mut self, record: &SortedRecord<'_>) -> Result<(), WalError> {
        let SortedRecord { key, kind, body } = *record;
        assert!(self.last.is_none_or(|last| last < key), "records are sorted before they are written");
        let is_another = self.last.is_some_and(|last| last.group != key.group);
        if is_another || self.slice.len() >= SLICE_SIZE {
            self.hand_over_slice()?;
        }
        if self.slice.is_empty() {
            self.first = key;
            self.slice.extend_from_slice(&key.group.0);
        }
        let size = u32::try_from(body.len()).expect("bodies are bounded by RECORD_BODY_SIZE_MAX");
        self.slice.extend_from_slice(&key.log.to_le_bytes());
        self.slice.extend_from_slice(&[kind, 0, 0, 0]);
        self.slice.extend_from_slice(&key.lsn.0.to_le_bytes());
        self.slice.extend_from_slice(&size.to_le_bytes());
        self.slice.extend_from_slice(&[0; 4]);
        self.slice.extend_from_slice(body);
        self.slice.resize(self.slice.len().next_multiple_of(8), 0);
        self.last = Some(key);
        self.record_count += 1;
        Ok(())
    }

    fn hand_over_slice(&mut self) -> Result<(), WalError> {
        let place = self.writer.append(&self.slice)?;
        self.slice.clear();
        IndexEntry { first: self.first, place }.encode(&mut self.page);
        if self.page.len() >= PAGE_SIZE { self.hand_over_page() } else { Ok(()) }
    }

    fn hand_over_page(&mut self) -> Result<(), WalError> {
        let IndexEntry { first, .. } = IndexEntry::decode(&self.page);
        let place = self.writer.append_page(&self.page)?;
        self.page.clear();
        IndexEntry { first, place }.encode(&mut self.root);
        Ok(())
    }

    /// Ends the file and makes it durable. It is to be given its name.
    pub(crate) fn end(mut self) -> Result<ImageWriter, WalError> {
        if !self.slice.is_empty() {
            self.hand_over_slice()?;
        }
        if !self.page.is_empty() {
            self.hand_over_page()?;
        }
        if !self.root.is_empty() {
            self.writer.append_page(&self.root)?;
        }
        self.writer.end()?;
        Ok(self.writer)
    }
}

/// A file of the history, to find records in it. Its root is in memory: 48 bytes for 1,366 slices, some 20 MiB of records
/// unless the runs are small.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    reader: ImageReader,
    root: Vec<IndexEntry>,
    /// The page and the slice that were looked at last: who reads one record of a group reads the next one too.
    latest_page: Option<(usize, Vec<IndexEntry>)>,
    latest_slice: Option<(ImagePlace, Vec<u8>)>,
}

/// Where a slice or a page begins, and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexEntry {
    first: RecordKey,
    pub(crate) place: ImagePlace,
}

impl HistoryFile {
    /// Opens a file of the history of a log, or a part of one.
    ///
    /// # Errors
    /// Those of [`ImageReader::open`]; `Corrupt` for a root that is none.
    pub(crate) fn open(source: &LogSource, kind: FileKind, number: u64) -> Result<HistoryFile, WalError> {
        let file = (kind, source.log, number);
        let reader = ImageReader::open(&*source.storage, &source.store_path, source.store, file)?;
        let root = match reader.last_page()? {
            Some((place, page)) => entries(&reader, place, &page)?,
            None => Vec::new(),
        };
        Ok(HistoryFile { reader, root, latest_page: None, latest_slice: None })
    }

    /// Every record below this position that is needed is in it.
    pub(crate) fn through(&self) -> Lsn {
        self.reader.header().through
    }

    /// How many pages it has, beside the root.
    pub(crate) fn page_count(&self) -> usize {
        self.root.len()
    }

    /// The slices that a page tells of, in order.
    ///
    /// # Errors
    /// `Corrupt` when the page is damaged, `Io`.
    pub(crate) fn page(&self, index: usize) -> Result<Vec<IndexEntry>, WalError> {
        let IndexEntry { first, place } = self.root[index];
        let slices = entries(&self.reader, place, &self.reader.page(place)?)?;
        match slices.first() {
            Some(slice) if slice.first == first => Ok(slices),
            _ => Err(self.reader.corrupt(place.offset, "the page does not begin as the root says")),
        }
    }

    /// The record with this key.
    ///
    /// # Errors
    /// `Corrupt` when the page or the slice that would lead to it is damaged, `Io`.
    pub(crate) fn record(&mut self, key: RecordKey) -> Result<Option<RecordRef<'_>>, WalError> {
        let Some(index) = last_begun(&self.root, key) else { return Ok(None) };
        let page = match self.latest_page.take() {
            Some((latest, page)) if latest == index => page,
            _ => self.page(index)?,
        };
        let found = last_begun(&page, key).map(|index| page[index]);
        self.latest_page = Some((index, page));
        let Some(entry) = found.filter(|entry| entry.first.group == key.group) else { return Ok(None) };
        if self.latest_slice.as_ref().is_none_or(|(latest, _)| *latest != entry.place) {
            self.latest_slice = Some((entry.place, self.slice(entry)?));
        }
        let (_, slice) = self.latest_slice.as_ref().expect("it was just read");
        let found = records(slice).find(|record| record.as_ref().map_or(true, |record| record.key == key));
        let found = found.transpose().map_err(|reason| self.corrupt(key, reason))?;
        Ok(found.map(|SortedRecord { key, kind, body }| RecordRef { lsn: key.lsn, kind, body }))
    }

    /// The bytes of a slice, whose records [`records`] tells.
    pub(crate) fn slice(&self, IndexEntry { first, place }: IndexEntry) -> Result<Vec<u8>, WalError> {
        let mut bytes = Vec::new();
        self.reader.slices(place, |slice| {
            bytes.extend_from_slice(slice);
            true
        })?;
        match records(&bytes).next() {
            Some(Ok(record)) if record.key == first => Ok(bytes),
            _ => Err(self.reader.corrupt(place.offset, "the slice does not begin as its page says")),
        }
    }

    /// Reads everything, and hands every record to `visit`.
    ///
    /// # Errors
    /// The first thing that is not as it was written, or that `visit` refuses.
    pub(crate) fn read_all(
        &self,
        visit: &mut dyn FnMut(u32, RecordRef<'_>) -> Result<(), String>,
    ) -> Result<u64, WalError> {
        self.reader.read_all(|_, _| {})?;
        let mut count = 0;
        for index in 0..self.page_count() {
            for entry in self.page(index)? {
                for record in records(&self.slice(entry)?) {
                    let taken = record.and_then(|SortedRecord { key, kind, body }| {
                        visit(key.log, RecordRef { lsn: key.lsn, kind, body })
                    });
                    taken.map_err(|reason| self.reader.corrupt(entry.place.offset, reason))?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// For whoever reads the record with this key, and finds that it is not what it should be.
    pub(crate) fn corrupt(&self, key: RecordKey, reason: impl Into<String>) -> WalError {
        let entry = last_begun(&self.root, key).and_then(|index| match self.page(index) {
            Ok(page) => last_begun(&page, key).map(|index| page[index]),
            Err(_) => Some(self.root[index]),
        });
        self.reader.corrupt(entry.map_or(0, |entry| entry.place.offset), reason)
    }
}

/// The entries of a page.
fn entries(reader: &ImageReader, place: ImagePlace, page: &[u8]) -> Result<Vec<IndexEntry>, WalError> {
    let entries = page.chunks_exact(ENTRY_SIZE);
    if !entries.remainder().is_empty() {
        return Err(reader.corrupt(place.offset, "a page of the index of its records is cut"));
    }
    let entries: Vec<IndexEntry> = entries.map(IndexEntry::decode).collect();
    if !entries.is_sorted_by(|before, after| before.first < after.first) {
        return Err(reader.corrupt(place.offset, "the index of its records is not in their order"));
    }
    Ok(entries)
}

/// The last of them that does not begin behind a key.
fn last_begun(entries: &[IndexEntry], key: RecordKey) -> Option<usize> {
    entries.partition_point(|entry| entry.first <= key).checked_sub(1)
}

impl IndexEntry {
    fn encode(&self, page: &mut Vec<u8>) {
        let IndexEntry { first: RecordKey { group, log, lsn }, place: ImagePlace { offset, size } } = self;
        page.extend_from_slice(&group.0);
        page.extend_from_slice(&log.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        [lsn.0, *offset, *size].into_iter().for_each(|field| page.extend_from_slice(&field.to_le_bytes()));
    }

    /// Reads an entry of a page.
    fn decode(bytes: &[u8]) -> IndexEntry {
        let (log, lsn) = (u32_at(bytes, 16), Lsn(u64_at(bytes, 24)));
        IndexEntry {
            first: RecordKey { group: group_of(bytes), log, lsn },
            place: ImagePlace { offset: u64_at(bytes, 32), size: u64_at(bytes, 40) },
        }
    }
}

/// The records of a slice, in order, up to the first thing that is none.
pub(crate) fn records(slice: &[u8]) -> Records<'_> {
    Records { group: slice.first_chunk().map(|group| GroupId(*group)), slice, at: GROUP_SIZE }
}

/// See [`records`].
#[derive(Debug)]
pub(crate) struct Records<'a> {
    group: Option<GroupId>,
    slice: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<SortedRecord<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.group?;
        let rest = self.slice.get(self.at..).filter(|rest| !rest.is_empty())?;
        let record = take_record(group, rest);
        match &record {
            Ok(record) => self.at += whole_size(record.body.len()),
            Err(_) => self.group = None,
        }
        Some(record)
    }
}

/// Bytes that a record with such a body takes in a slice.
pub(crate) fn whole_size(body_size: usize) -> usize {
    (RECORD_HEADER_SIZE + body_size).next_multiple_of(8)
}

/// The record at this offset of a slice.
pub(crate) fn take_record_at(slice: &[u8], at: usize) -> Result<SortedRecord<'_>, String> {
    let group = slice.first_chunk().ok_or("a slice has no group")?;
    take_record(GroupId(*group), slice.get(at..).unwrap_or_default())
}

/// The first record of `bytes`, which lie in a slice of this group.
fn take_record(group: GroupId, bytes: &[u8]) -> Result<SortedRecord<'_>, String> {
    let Some((header, rest)) = bytes.split_at_checked(RECORD_HEADER_SIZE) else {
        return Err(format!("{} bytes are too few for a record", bytes.len()));
    };
    let size = u32_at(header, 16) as usize;
    let Some(body) = rest.get(..size) else {
        return Err(format!("a record of {size} bytes does not fit the {} left", rest.len()));
    };
    let key = RecordKey { group, log: u32_at(header, 0), lsn: Lsn(u64_at(header, 8)) };
    Ok(SortedRecord { key, kind: header[4], body })
}

fn group_of(bytes: &[u8]) -> GroupId {
    GroupId(bytes[..GROUP_SIZE].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::StoreDirectory;
    use crate::sim::SimDisk;
    use crate::storage::Access;
    use crate::store_id::StoreId;

    const STORE: &str = "/store";

    fn key(group: u8, lsn: u64) -> RecordKey {
        RecordKey { group: GroupId([group; 16]), log: 2, lsn: Lsn(lsn) }
    }

    fn header() -> ImageHeader {
        let (store, through) = (StoreId([7; 16]), Lsn(1 << 20));
        ImageHeader { kind: FileKind::History, store, log: 2, number: 5, through, created_micros: 9 }
    }

    #[test]
    fn a_slice_and_an_entry_have_the_bytes_that_are_drawn() {
        let disk = SimDisk::new(1);
        disk.create_dir(Path::new(STORE)).unwrap();
        let mut writer = HistoryWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header()).unwrap();
        writer.add(&SortedRecord { key: key(3, 0x0102), kind: 4, body: b"body" }).unwrap();
        let mut golden = vec![3; 16];
        golden.extend_from_slice(&[2, 0, 0, 0, 4, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0, b'b', b'o', b'd', b'y', 0, 0, 0, 0]);
        assert_eq!(writer.slice, golden);
        writer.hand_over_slice().unwrap();
        let mut golden = vec![3; 16];
        golden.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(&[0, 16, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(writer.page, golden);
        assert_eq!(golden.len(), ENTRY_SIZE);
        writer.hand_over_page().unwrap();
        // A frame behind the slice: 64 bytes, its entry and the link to no page before it in one of 80.
        golden[32..].copy_from_slice(&[64, 16, 0, 0, 0, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(writer.root, golden);
    }

    #[test]
    fn every_record_is_found_among_many_pages_and_a_damaged_page_costs_its_own_alone() {
        let disk = SimDisk::new(1);
        let directory = StoreDirectory::open(Arc::new(disk.clone()), Path::new(STORE), None, 1, 1).unwrap();
        let source = directory.log_source(0);
        let header = ImageHeader { store: source.store, log: 0, ..header() };
        let mut writer = HistoryWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header).unwrap();
        let key = |number: u64, lsn| {
            let group = GroupId(u128::from(number).to_be_bytes());
            RecordKey { group, log: 0, lsn: Lsn(lsn) }
        };
        // A group has a slice of its own.
        let groups = 1..3_000_u64;
        for number in groups.clone() {
            for lsn in [8 * number, 80_000] {
                let body = number.to_le_bytes();
                writer.add(&SortedRecord { key: key(number, lsn), kind: 1, body: &body }).unwrap();
            }
        }
        writer.end().unwrap().name().unwrap();
        let open = || HistoryFile::open(&source, FileKind::History, 5).unwrap();
        let mut file = open();
        assert_eq!(file.page_count(), 3);
        for number in groups.clone().rev().chain(groups.clone()) {
            let record = file.record(key(number, 80_000)).unwrap().expect("it was written");
            assert_eq!((record.lsn, record.body), (Lsn(80_000), &number.to_le_bytes()[..]));
            for absent in [8 * number - 8, 8 * number + 8, 80_008] {
                assert!(file.record(key(number, absent)).unwrap().is_none(), "{number} {absent}");
            }
        }
        for absent in [key(0, 8), key(3_000, 8)] {
            assert!(file.record(absent).unwrap().is_none());
        }
        // One bit in the middle of the second page.
        let IndexEntry { place, .. } = file.root[1];
        let written = disk.open(&FileKind::History.path(Path::new(STORE), 0, 5), Access::Write).unwrap();
        let (at, mut byte) = (place.offset + place.size / 2, [0]);
        written.read_at(&mut byte, at).unwrap();
        written.write_at(&[byte[0] ^ 1], at).unwrap();
        let mut file = open();
        let damaged = groups.filter(|number| file.record(key(*number, 8 * number)).is_err());
        let damaged: Vec<u64> = damaged.collect();
        assert_eq!(damaged, (1_367..=2_732).collect::<Vec<_>>());
        let error = file.record(key(2_000, 80_000)).unwrap_err();
        assert!(matches!(error, WalError::Corrupt { offset, .. } if offset == place.offset), "{error}");
    }

    #[test]
    fn a_damaged_slice_ends_with_a_reason_and_never_panics() {
        let mut slice = vec![3; GROUP_SIZE];
        slice.extend_from_slice(&[0; RECORD_HEADER_SIZE]);
        for length in 0..=slice.len() {
            let read: Vec<_> = records(&slice[..length]).collect();
            let is_cut = length > GROUP_SIZE && length < slice.len();
            assert_eq!(read.iter().any(Result::is_err), is_cut, "cut to {length}");
        }
        slice[GROUP_SIZE + 16..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let reason = records(&slice).next().unwrap().unwrap_err();
        assert_eq!(reason, "a record of 4294967295 bytes does not fit the 0 left");
        assert_eq!(records(&slice).count(), 1, "nothing comes behind it");
    }

    #[test]
    #[should_panic(expected = "records are sorted before they are written")]
    fn a_record_in_front_of_another_is_refused() {
        let disk = SimDisk::new(1);
        disk.create_dir(Path::new(STORE)).unwrap();
        let mut writer = HistoryWriter::create(Arc::new(disk.clone()), Path::new(STORE), &header()).unwrap();
        assert!(disk.open(&FileKind::History.path(Path::new(STORE), 2, 5), Access::Read).is_err());
        for lsn in [16, 8] {
            let _ = writer.add(&SortedRecord { key: key(1, lsn), kind: 1, body: b"" });
        }
    }
}
