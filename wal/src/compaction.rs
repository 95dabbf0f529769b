//! Sorting the history of a log: the records of the segments that no recovery needs go into one file, those of one group
//! together, and what is not needed any more stays behind.
//!
//! An external merge sort (Knuth, The Art of Computer Programming 3, 5.4): what is read is sorted in memory piece by piece, each
//! piece is written to a file of its own, and those are merged with the file that an earlier call left. Nothing that is there
//! is touched: the owner of the directory gives the new file its name, and removes what it stands for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;
use std::vec;

use crate::error::WalError;
use crate::history::{HistoryFiles, numbers_in, open_whole};
use crate::history_file::{
    GroupId, HistoryFile, HistoryWriter, IndexEntry, RecordKey, SortedRecord, take_record_at, whole_size,
};
use crate::image_file::{FileKind, ImageHeader, history_dir};
use crate::image_writer::ImageWriter;
use crate::lsn::Lsn;
use crate::scan::RecordRef;
use crate::segment::parse_numbered_name;
use crate::source::{LiveSegment, LogSource};
use crate::verify::Position;

/// Tells to which group a record belongs, if it is kept.
pub type Keep<'a> = dyn FnMut(RecordRef<'_>) -> Result<Option<GroupId>, String> + 'a;

/// Gives another body to a record that is kept, if it is to have one. It is asked once for each, those of a group in order.
pub type Rewrite<'a> = dyn FnMut(RecordRef<'_>) -> Result<Option<Vec<u8>>, String> + 'a;

/// What is to become of the history of a log. Nothing does, and nothing is left behind, where it is dropped.
#[derive(Debug, Default)]
pub struct Compacted {
    /// The newest segment that was sorted; 0 when there was nothing.
    pub(crate) through: u64,
    /// The file, whole and durable and without its name; none when no record is kept.
    pub(crate) file: Option<ImageWriter>,
    /// Records that are in the file.
    pub kept: u64,
    /// Records that are in it no longer.
    pub dropped: u64,
}

/// About how many bytes are sorted in memory at a time.
pub(crate) const SORTED_SIZE: usize = 64 << 20;

impl LogSource {
    /// Sorts the records of the segments that no recovery needs, and those that were sorted before, into one file. `keep` says
    /// which are needed; it is asked once for each, and `rewrite` whether one of those stays as it is. Whoever calls this sees to it
    /// that it is called once at a time for a log, and has the file [take the place](crate::StoreDirectory::take_compacted) of what
    /// it stands for.
    ///
    /// It takes some 64 MiB of memory, and on disk as much as the new file and as the segments again.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when something that is to be sorted is damaged, or `keep` refuses a record; [`WalError::NoSpace`],
    /// [`WalError::Io`]. Nothing has changed.
    pub fn compact_history(
        &self,
        created_micros: u64,
        sorted_size: Option<usize>,
        keep: &mut Keep<'_>,
        rewrite: &mut Rewrite<'_>,
    ) -> Result<Compacted, WalError> {
        self.remove_leftovers()?;
        let (files, before) = HistoryFiles::open(self)?;
        let mut through =
            (files.sorted.unwrap_or(0), before.as_ref().map_or(Lsn::ZERO, HistoryFile::through));
        let mut sorter = Sorter::new(self, created_micros, sorted_size.unwrap_or(SORTED_SIZE));
        let mut compacted = Compacted::default();
        let mut position = None;
        for number in files.segments.into_iter().filter(|number| *number < self.entry.oldest_segment) {
            // One that is gone was not needed any more.
            let Some(segment) = open_whole(self, number)? else {
                position = None;
                continue;
            };
            through = (number, segment.header.end_lsn());
            let end = segment.header.end_lsn();
            position = self.read_segment(&segment, (position, end), &mut sorter, &mut compacted, keep)?;
        }
        compacted.through = through.0;
        if through.0 == 0 {
            return Ok(compacted);
        }
        let mut merge = Merge::of(sorter, before)?;
        let header = ImageHeader { number: through.0, through: through.1, ..header(self, created_micros) };
        let mut writer = HistoryWriter::create(Arc::clone(&self.storage), &self.store_path, &header)?;
        while let Some((input, record)) = merge.next()? {
            let kept = match input {
                // What comes from a segment was asked for when it was read.
                Some(file) => {
                    let SortedRecord { key, kind, body } = record;
                    let asked = keep(RecordRef { lsn: key.lsn, kind, body });
                    asked.map_err(|reason| file.corrupt(key, reason))?.is_some()
                }
                None => true,
            };
            if !kept {
                compacted.dropped += 1;
                continue;
            }
            let SortedRecord { key, kind, body } = record;
            let rewritten = rewrite(RecordRef { lsn: key.lsn, kind, body });
            let refused = |reason| match input {
                Some(file) => file.corrupt(key, reason),
                None => WalError::Failed { reason },
            };
            let body = rewritten.map_err(refused)?;
            writer.add(&SortedRecord { body: body.as_deref().unwrap_or(record.body), ..record })?;
        }
        compacted.kept = writer.record_count;
        if compacted.kept > 0 {
            compacted.file = Some(writer.end()?);
        }
        // Whoever had something taken out counts on what was sorted being gone.
        merge.parts.remove()?;
        Ok(compacted)
    }

    /// Hands what is kept of a segment, up to where the log ends, to the sorter, and tells where it leaves the log.
    pub(crate) fn read_segment(
        &self,
        segment: &LiveSegment,
        (position, end): (Option<Position>, Lsn),
        sorter: &mut Sorter,
        compacted: &mut Compacted,
        keep: &mut Keep<'_>,
    ) -> Result<Option<Position>, WalError> {
        let mut failed = None;
        let (behind, _) = self.verify_segment(segment, position, end, &mut |record| {
            match keep(record)? {
                None => compacted.dropped += 1,
                // The first failure is told in the end.
                Some(_) if failed.is_some() => {}
                Some(group) => failed = sorter.add(self.log, group, record).err(),
            }
            Ok(())
        })?;
        failed.map_or(Ok(behind), Err)
    }

    /// Removes what a call that was interrupted left behind.
    pub(crate) fn remove_leftovers(&self) -> Result<(), WalError> {
        let dir = history_dir(&self.store_path);
        self.storage.create_dir(&dir).map_err(|error| WalError::io(&dir, "create", error))?;
        for extension in ["part", "tmp"] {
            let parse = |name: &str| parse_numbered_name(name.strip_suffix(extension)?.strip_suffix('.')?);
            for number in numbers_in(self, &dir, parse)? {
                let path = dir.join(format!("{:03}-{number:010}.{extension}", self.log));
                self.storage.remove(&path).map_err(|error| WalError::io(&path, "remove", error))?;
            }
        }
        Ok(())
    }
}

/// The header of a file that holds nothing yet.
pub(crate) fn header(source: &LogSource, created_micros: u64) -> ImageHeader {
    let (kind, store, log, through) = (FileKind::History, source.store, source.log, Lsn::ZERO);
    ImageHeader { kind, store, log, number: 0, through, created_micros }
}

/// Takes records in any order, and has them sorted. What finds no room in memory goes into files that are named after `source`.
pub(crate) struct Sorter {
    created_micros: u64,
    sorted_size: usize,
    pending: Pending,
    parts: Parts,
}

/// Records in memory.
#[derive(Default)]
struct Pending {
    bodies: Vec<u8>,
    records: Vec<(RecordKey, u8, Range<usize>)>,
    next: usize,
}

/// Files of sorted records, by their numbers, which are removed in the end.
struct Parts {
    source: LogSource,
    numbers: Vec<u64>,
}

/// More parts than these are merged into one: each is open when all are merged.
const PARTS_MAX: usize = 256;

impl Parts {
    fn of(source: LogSource) -> Parts {
        Parts { source, numbers: Vec::new() }
    }

    fn remove(&mut self) -> Result<(), WalError> {
        let numbers = std::mem::take(&mut self.numbers);
        self.remove_files(&numbers)
    }

    fn remove_files(&self, numbers: &[u64]) -> Result<(), WalError> {
        numbers.iter().try_for_each(|number| {
            let path = FileKind::HistoryPart.path(&self.source.store_path, self.source.log, *number);
            self.source.storage.remove(&path).map_err(|error| WalError::io(&path, "remove", error))
        })
    }

    /// The next part.
    fn create(&mut self, created_micros: u64) -> Result<HistoryWriter, WalError> {
        let (source, kind) = (&self.source, FileKind::HistoryPart);
        let number = self.numbers.last().map_or(1, |last| last + 1);
        let header = ImageHeader { kind, number, ..header(source, created_micros) };
        let writer = HistoryWriter::create(Arc::clone(&source.storage), &source.store_path, &header)?;
        self.numbers.push(number);
        Ok(writer)
    }

    fn open(&self) -> Result<Vec<Input>, WalError> {
        let open = |number: &u64| {
            let file = HistoryFile::open(&self.source, FileKind::HistoryPart, *number)?;
            Ok(Input::File { cursor: Box::new(FileCursor::new(file)?), is_asked_for: true })
        };
        self.numbers.iter().map(open).collect()
    }

    /// Has one part take the place of all.
    fn merge(&mut self, created_micros: u64) -> Result<(), WalError> {
        let mut merge = Merge::of_inputs(self.open()?, Parts::of(self.source.clone()));
        let mut writer = self.create(created_micros)?;
        while let Some((_, record)) = merge.next()? {
            writer.add(&record)?;
        }
        writer.end()?.name()?;
        drop(merge);
        let merged = self.numbers.len() - 1;
        let merged: Vec<u64> = self.numbers.drain(..merged).collect();
        self.remove_files(&merged)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // What stays is removed before the next time.
        let _ = self.remove();
    }
}

impl Sorter {
    pub(crate) fn new(source: &LogSource, created_micros: u64, sorted_size: usize) -> Sorter {
        let parts = Parts::of(source.clone());
        Sorter { created_micros, sorted_size, pending: Pending::default(), parts }
    }

    fn add(&mut self, log: u32, group: GroupId, record: RecordRef<'_>) -> Result<(), WalError> {
        let RecordRef { lsn, kind, body } = record;
        let begin = self.pending.bodies.len();
        self.pending.bodies.extend_from_slice(body);
        let place = begin..self.pending.bodies.len();
        self.pending.records.push((RecordKey { group, log, lsn }, kind, place));
        // What is known of a record beside its body counts as well.
        let size = self.pending.bodies.len()
            + self.pending.records.len() * size_of::<(RecordKey, u8, Range<usize>)>();
        if size >= self.sorted_size {
            self.write_part()?;
        }
        Ok(())
    }

    fn write_part(&mut self) -> Result<(), WalError> {
        if self.parts.numbers.len() == PARTS_MAX {
            self.parts.merge(self.created_micros)?;
        }
        let mut writer = self.parts.create(self.created_micros)?;
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort();
        while let Some(record) = pending.current() {
            writer.add(&record)?;
            pending.next += 1;
        }
        writer.end()?.name()
    }

    /// All records, with those that were sorted before.
    fn into_inputs(
        mut self,
        before: impl IntoIterator<Item = HistoryFile>,
    ) -> Result<(Vec<Input>, Parts), WalError> {
        self.pending.sort();
        let mut inputs = vec![Input::Memory(self.pending)];
        inputs.extend(self.parts.open()?);
        for file in before {
            inputs.push(Input::File { cursor: Box::new(FileCursor::new(file)?), is_asked_for: false });
        }
        Ok((inputs, self.parts))
    }
}

impl Pending {
    fn sort(&mut self) {
        self.records.sort_unstable_by_key(|(key, _, _)| *key);
    }

    fn current(&self) -> Option<SortedRecord<'_>> {
        let (key, kind, place) = self.records.get(self.next)?;
        Some(SortedRecord { key: *key, kind: *kind, body: &self.bodies[place.clone()] })
    }
}

/// A file of sorted records that is read from its beginning to its end.
struct FileCursor {
    file: HistoryFile,
    /// How many pages were read, and what the last of them tells that is still to come.
    pages_read: usize,
    slices: vec::IntoIter<IndexEntry>,
    /// The slice that is read, and how far it is.
    slice: Vec<u8>,
    at: usize,
    key: Option<RecordKey>,
}

impl FileCursor {
    fn new(file: HistoryFile) -> Result<FileCursor, WalError> {
        let (slices, slice) = (Vec::new().into_iter(), Vec::new());
        let mut cursor = FileCursor { file, pages_read: 0, slices, slice, at: 0, key: None };
        cursor.find()?;
        Ok(cursor)
    }

    /// Finds the record at this place, or the first one of the next slice.
    fn find(&mut self) -> Result<(), WalError> {
        while self.at >= self.slice.len() {
            if let Some(entry) = self.slices.next() {
                (self.slice, self.at) = (self.file.slice(entry)?, 16);
            } else if self.pages_read < self.file.page_count() {
                self.slices = self.file.page(self.pages_read)?.into_iter();
                self.pages_read += 1;
            } else {
                self.key = None;
                return Ok(());
            }
        }
        let before = self.key;
        let key = take_record_at(&self.slice, self.at).map(|record| record.key);
        let key = key.and_then(|key| match before < Some(key) {
            true => Ok(key),
            false => Err("records are not in their order".to_string()),
        });
        self.key = Some(key.map_err(|reason| self.file.corrupt(before.unwrap_or_default(), reason))?);
        Ok(())
    }

    fn advance(&mut self) -> Result<(), WalError> {
        let record = self.current().expect("what was found is there");
        self.at += whole_size(record.body.len());
        self.find()
    }

    fn current(&self) -> Option<SortedRecord<'_>> {
        self.key?;
        take_record_at(&self.slice, self.at).ok()
    }
}

enum Input {
    Memory(Pending),
    File { cursor: Box<FileCursor>, is_asked_for: bool },
}

impl Input {
    fn current(&self) -> Option<SortedRecord<'_>> {
        match self {
            Input::Memory(pending) => pending.current(),
            Input::File { cursor, .. } => cursor.current(),
        }
    }

    fn key(&self) -> Option<RecordKey> {
        self.current().map(|record| record.key)
    }

    fn advance(&mut self) -> Result<(), WalError> {
        match self {
            Input::Memory(pending) => {
                pending.next += 1;
                Ok(())
            }
            Input::File { cursor, .. } => cursor.advance(),
        }
    }
}

/// The records of all inputs in their order.
pub(crate) struct Merge {
    heads: BinaryHeap<Reverse<(RecordKey, usize)>>,
    inputs: Vec<Input>,
    /// The input whose record was handed out last: it stands still until the next one is wanted.
    last: Option<(usize, RecordKey)>,
    parts: Parts,
}

impl Merge {
    /// What was taken, and what was sorted before.
    pub(crate) fn of(
        sorter: Sorter,
        before: impl IntoIterator<Item = HistoryFile>,
    ) -> Result<Merge, WalError> {
        let (inputs, parts) = sorter.into_inputs(before)?;
        Ok(Merge::of_inputs(inputs, parts))
    }

    fn of_inputs(inputs: Vec<Input>, parts: Parts) -> Merge {
        let heads = inputs.iter().enumerate().filter_map(|(at, input)| Some(Reverse((input.key()?, at))));
        Merge { heads: heads.collect(), inputs, last: None, parts }
    }

    /// The next record, and its file if nobody was asked yet whether it is kept.
    pub(crate) fn next(&mut self) -> Result<Option<(Option<&HistoryFile>, SortedRecord<'_>)>, WalError> {
        let before = self.last.take();
        if let Some((at, _)) = before {
            self.inputs[at].advance()?;
            self.heads.extend(self.inputs[at].key().map(|key| Reverse((key, at))));
        }
        let Some(Reverse((key, at))) = self.heads.pop() else { return Ok(None) };
        self.last = Some((at, key));
        let input = &self.inputs[at];
        if before.is_some_and(|(_, before)| before == key) {
            // Each input is in order, but files may say what they like of where their records were.
            let reason = format!("two records of one group have LSN {}", key.lsn);
            return Err(match input {
                Input::File { cursor, .. } => cursor.file.corrupt(key, reason),
                Input::Memory(_) => WalError::corrupt(&history_dir(&self.parts.source.store_path), 0, reason),
            });
        }
        let file = match input {
            Input::File { cursor, is_asked_for: false } => Some(&cursor.file),
            _ => None,
        };
        Ok(Some((file, input.current().expect("an input stands in the heap with a record"))))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::directory::StoreDirectory;
    use crate::sim::SimDisk;

    const STORE: &str = "/store.db";

    #[test]
    fn a_file_that_has_a_record_of_a_later_segment_is_damaged() {
        let disk = SimDisk::new(1);
        let directory =
            StoreDirectory::open(Arc::new(disk), Path::new(STORE), None, 1, 1).expect("a store is made");
        let (source, group) = (directory.log_source(0), GroupId([3; 16]));
        let header = ImageHeader { number: 4, through: Lsn(1 << 20), ..header(&source, 1) };
        let mut writer =
            HistoryWriter::create(Arc::clone(&source.storage), &source.store_path, &header).unwrap();
        for lsn in [8, 16] {
            let key = RecordKey { group, log: 0, lsn: Lsn(lsn) };
            writer.add(&SortedRecord { key, kind: 1, body: b"sorted" }).unwrap();
        }
        writer.end().unwrap().name().unwrap();
        let mut sorter = Sorter::new(&source, 1, SORTED_SIZE);
        sorter.add(0, group, RecordRef { lsn: Lsn(16), kind: 1, body: b"again" }).unwrap();
        let before = HistoryFile::open(&source, FileKind::History, 4).unwrap();
        let mut merge = Merge::of(sorter, [before]).unwrap();
        let mut found = Vec::new();
        let refused = loop {
            match merge.next() {
                Ok(record) => found.push(record.expect("it ends with the damage").1.key.lsn.0),
                Err(refused) => break refused,
            }
        };
        assert_eq!(found, [8, 16]);
        assert!(refused.to_string().ends_with("two records of one group have LSN 16"), "{refused}");
    }
}
