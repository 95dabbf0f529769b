//! What is left of a store that may be damaged anywhere: found by the names and headers of its files, whatever MANIFEST says, and
//! read on behind what does not hold.
//!
//! Nothing is repaired and nothing written. A batch counts when its place, its store, its segment and both its sums are right; a
//! chain that breaks tells that something is missing before it, and does not make what follows wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use crate::batch::{BATCH_HEADER_SIZE, BatchHeader, BatchSeed};
use crate::creation::{manifest_path, read_manifest};
use crate::directory::{is_read_only_place, lock_path, take_lock};
use crate::error::WalError;
use crate::history::{HistoryFiles, open_whole};
use crate::history_file::{HistoryFile, SortedRecord, records};
use crate::image_file::{FileKind, ImageHeader, history_dir, images_dir};
use crate::little_endian::u64_at;
use crate::lsn::Lsn;
use crate::manifest::{BadSlot, LogEntry, MANIFEST_FORMAT_VERSION, Manifest, SLOT_SIZE};
use crate::reader::{SegmentReader, WINDOW_SIZE};
use crate::scan::{RecordRef, Visitor, first_content, scan_from};
use crate::segment::{SEGMENT_HEADER_SIZE, SegmentHeader, parse_segment_name, segments_dir};
use crate::source::{LiveSegment, LogSource, SegmentRanges};
use crate::storage::{Access, BLOCK_SIZE, Buffer, Capabilities, File, LockGuard, Storage};
use crate::store_id::StoreId;
use crate::tail::look_at;

/// A store, as far as its files tell which one it is. Keeps writers out while it lasts, where the lock file can be had.
#[derive(Debug)]
pub struct StoreRemains {
    id: StoreId,
    logs: Vec<LogSource>,
    has_manifest: bool,
    damage: Vec<WalError>,
    _lock: Option<LockGuard>,
}

/// What was read of a log.
#[derive(Debug, Default)]
pub struct LogRemains {
    /// Segments that could be opened, those of the history among them.
    pub segments: u64,
    /// Records of batches that are whole.
    pub records: u64,
    /// Where something is missing or damaged, in order.
    pub gaps: Vec<Gap>,
    /// The numbers of segments that cannot be opened: who looks for single records looks past them.
    pub unreadable: BTreeSet<u64>,
    /// Damage that costs nothing: headers that were put together again from what follows them.
    pub mended: Vec<WalError>,
    /// Behind the last batch that is whole.
    pub end: Lsn,
}

/// A part of a log in which records may be missing.
#[derive(Debug)]
pub struct Gap {
    /// Where it begins.
    pub from: Lsn,
    /// Where the next batch lies; as far as a position can be where none does.
    pub to: Lsn,
    /// What was found there.
    pub damage: WalError,
}

impl StoreRemains {
    /// Looks what is at `path`.
    ///
    /// # Errors
    /// [`WalError::MissingStore`] when nothing there belongs to a store, [`WalError::NotADirectory`], [`WalError::AlreadyOpen`] while
    /// somebody writes it, [`WalError::NewerFormat`] when MANIFEST is, [`WalError::Corrupt`] when no file tells which store it is.
    pub fn open(storage: Arc<dyn Storage>, path: &Path) -> Result<StoreRemains, WalError> {
        let entries = match storage.entries(path) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(WalError::NotADirectory { path: path.to_path_buf() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(|error| WalError::io(path, "list", error))?,
        };
        let is_known = |name: &str| ["MANIFEST", "WAL", "SNAPSHOTS", "DATA"].contains(&name);
        if !entries.iter().any(|entry| is_known(&entry.name)) {
            return Err(WalError::MissingStore { path: path.to_path_buf() });
        }
        let lock = match storage.lock_shared(&lock_path(path)) {
            Err(error) if is_read_only_place(&error) => None,
            answer => Some(take_lock(answer, path)?),
        };
        let mut damage = Vec::new();
        let manifest = read_what_holds(&*storage, path, &mut damage)?;
        let files = find_files(&*storage, path, &mut damage);
        let id = match &manifest {
            Some(manifest) => manifest.store,
            None => most_named(&*storage, &files).ok_or_else(|| {
                WalError::corrupt(
                    &manifest_path(path),
                    0,
                    "neither it nor any other file tells which store this is",
                )
            })?,
        };
        let numbers: BTreeSet<u32> = match &manifest {
            // Files of other logs are remains.
            Some(manifest) => manifest.log_numbers().collect(),
            None => files.iter().map(|(log, _)| *log).collect(),
        };
        let missing = || Err("the store is only looked at".to_string());
        let logs = numbers.into_iter().enumerate().map(|(index, log)| {
            let entry = manifest.as_ref().map(|manifest| manifest.entry(log).clone());
            LogSource {
                storage: Arc::clone(&storage),
                store_path: path.to_path_buf(),
                store: id,
                log,
                index: index as u32,
                // Every segment that lies there is looked at.
                entry: LogEntry { newest_segment: u64::MAX, ..entry.unwrap_or_default() },
                is_clean: false,
                is_newest_slot: false,
                capabilities: Capabilities { direct: missing(), ring: missing() },
                fallback_warning: Arc::new(Once::new()),
                ranges: SegmentRanges::default(),
                is_salvaged: true,
            }
        });
        Ok(StoreRemains { id, logs: logs.collect(), has_manifest: manifest.is_some(), damage, _lock: lock })
    }

    /// Identity of the store.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// Its logs, in the order of their numbers: those that MANIFEST names or, without it, all that files are named after. Then some of
    /// them may have been replaced by others, whose numbers are greater.
    pub fn logs(&self) -> &[LogSource] {
        &self.logs
    }

    /// Whether one of the slots of MANIFEST is whole, so that it tells which images count.
    pub fn has_manifest(&self) -> bool {
        self.has_manifest
    }

    /// What is damaged of MANIFEST, and directories that cannot be listed.
    pub fn damage(&self) -> &[WalError] {
        &self.damage
    }
}

impl LogSource {
    /// The numbers of the images that lie there, the newest first. A directory that is missing holds none.
    pub fn image_numbers(&self) -> Vec<u64> {
        let entries = self.storage.entries(&images_dir(&self.store_path)).unwrap_or_default();
        let names = entries.iter().filter_map(|entry| FileKind::Image.parse_name(&entry.name));
        let mut numbers: Vec<u64> =
            names.filter(|(log, _)| *log == self.log).map(|(_, number)| number).collect();
        numbers.sort_unstable();
        numbers.reverse();
        numbers
    }

    /// Reads every batch of the log that is whole, from its oldest segment on, and hands every record to `visit`, with
    /// the number of the log that it was appended to. Behind damage the
    /// next batch is looked for in steps of eight bytes, then in the next segment.
    ///
    /// # Panics
    /// If the source is not that of [`StoreRemains`].
    pub fn read_remains(&self, visit: &mut dyn FnMut(u32, RecordRef<'_>)) -> LogRemains {
        assert!(self.is_salvaged, "a log that is whole is read by `scan`");
        let remains = LogRemains::default();
        let mut reading = Reading { source: self, remains, chain: None, open: None, suspected: None };
        let files = HistoryFiles::list(self).unwrap_or_else(|error| {
            reading.begin_gap(error);
            HistoryFiles::default()
        });
        if let Some(number) = files.sorted {
            reading.read_sorted(number, visit);
        }
        let numbers = files.segments;
        let mut expected: Option<(u64, Lsn)> = None;
        for number in numbers {
            let segment = match open_whole(self, number) {
                Ok(Some(segment))
                    if segment.header.first_lsn.0.checked_add(segment.header.size).is_some() =>
                {
                    segment
                }
                Ok(None) => continue,
                other => {
                    let path = segments_dir(&self.store_path);
                    let reason = format!("segment {number} says it lies behind the last position there is");
                    let error = other.err().unwrap_or_else(|| WalError::corrupt(&path, 0, reason));
                    reading.begin_gap(error);
                    reading.remains.unreadable.insert(number);
                    expected = None;
                    continue;
                }
            };
            let (header, oldest) = (&segment.header, self.entry.oldest_segment);
            if reading.remains.segments == 0 && (1..number).contains(&oldest) {
                let reason = format!("segments before it are missing, from {oldest} on");
                reading.begin_gap(WalError::corrupt(&segment.path, 0, reason));
            }
            if let Some((before, end)) =
                expected.filter(|(before, end)| (before + 1, *end) != (number, header.first_lsn))
            {
                let reason = format!(
                    "what comes before it, behind segment {before} at LSN {end}, is missing or was cut"
                );
                reading.begin_gap(WalError::corrupt(&segment.path, 0, reason));
            }
            expected = Some((number, header.end_lsn()));
            if reading.remains.segments == 0 && reading.remains.end == Lsn::ZERO && header.chain_seed != 0 {
                // A log that nothing was written to ends where it begins.
                reading.remains.end = header.first_lsn.after(SEGMENT_HEADER_SIZE);
            }
            reading.remains.segments += 1;
            reading.read_segment(&segment, &mut |record| {
                visit(self.log, record);
                Ok(())
            });
        }
        reading.finish()
    }
}

/// A log that is being read.
struct Reading<'a> {
    source: &'a LogSource,
    remains: LogRemains,
    /// The chain behind the last batch, unless something may be missing behind it.
    chain: Option<u64>,
    /// A gap whose end is not found yet: where it begins, and why.
    open: Option<(Lsn, WalError)>,
    /// The same where nothing may be missing: the next batch tells.
    suspected: Option<(Lsn, WalError)>,
}

impl Reading<'_> {
    /// Something is missing behind the last batch. Of several things the first is told.
    fn begin_gap(&mut self, damage: WalError) {
        self.chain = None;
        let suspected = self.suspected.take();
        self.open.get_or_insert(suspected.unwrap_or((self.remains.end, damage)));
    }

    /// A batch was found again.
    fn end_gap(&mut self, to: Lsn) {
        self.remains.gaps.extend(self.open.take().map(|(from, damage)| Gap { from, to, damage }));
    }

    /// Reads what was sorted of the log, slice by slice.
    fn read_sorted(&mut self, number: u64, visit: &mut dyn FnMut(u32, RecordRef<'_>)) {
        let file = match HistoryFile::open(self.source, FileKind::History, number) {
            Ok(file) => file,
            Err(error) => return self.begin_gap(error),
        };
        for index in 0..file.page_count() {
            let slices = file.page(index).unwrap_or_else(|error| {
                self.begin_gap(error);
                Vec::new()
            });
            for entry in slices {
                let slice = file.slice(entry).unwrap_or_else(|error| {
                    self.begin_gap(error);
                    Vec::new()
                });
                for SortedRecord { key, kind, body } in records(&slice).filter_map(Result::ok) {
                    self.remains.records += 1;
                    visit(key.log, RecordRef { lsn: key.lsn, kind, body });
                }
            }
        }
    }

    fn read_segment(&mut self, segment: &LiveSegment, visit: &mut Visitor<'_>) {
        self.read_batches(segment, visit);
        let (header, size) = (&segment.header, segment.file.size().unwrap_or_default());
        if size < header.size {
            // What is cut may have been zeros: then the next segment continues the chain.
            let reason = format!("the file ends there, its header says {} bytes", header.size);
            self.suspected.get_or_insert((self.remains.end, WalError::corrupt(&segment.path, size, reason)));
        }
    }

    fn read_batches(&mut self, segment: &LiveSegment, visit: &mut Visitor<'_>) {
        let (header, path) = (&segment.header, &segment.path);
        let mut offset = SEGMENT_HEADER_SIZE;
        // The seed of a header that was put together again is not known.
        let mut chain = self.chain.filter(|_| header.chain_seed != 0);
        if header.chain_seed == 0 {
            let reason = "the header of the segment is damaged; its batches tell their places themselves";
            self.remains.mended.push(WalError::corrupt(path, 0, reason));
        }
        loop {
            let begin = header.first_lsn.after(offset);
            let scanned = scan_from(self.source, segment, begin, chain, visit);
            let (end, stop) = match scanned {
                Ok(scan) => {
                    let summary = &scan.summaries[0];
                    if summary.batches > 0 {
                        self.suspected = None;
                        self.end_gap(begin);
                        self.remains.records += summary.records;
                        (self.remains.end, self.chain) = (scan.end_lsn, Some(scan.chain));
                    }
                    (scan.end_offset, WalError::corrupt(path, scan.stop.offset, scan.stop.reason))
                }
                // A batch whose sums are right and whose records are not, or a device that refuses to read.
                Err(error @ WalError::Corrupt { offset: at, .. }) => (at.max(offset) + 8, error),
                Err(error) => (offset + WINDOW_SIZE as u64, error),
            };
            let next = first_content(&segment.file, header.size, end)
                .and_then(|content| content.map_or(Ok(None), |at| self.find_batch(segment, at - at % 8)));
            match next {
                Ok(Some(at)) => {
                    self.begin_gap(stop);
                    (offset, chain) = (at, None);
                }
                Ok(None) => {
                    // Where a batch found no room the rest of its segment has only zeros, and so has what was never written.
                    if !matches!(first_content(&segment.file, header.size, end), Ok(None)) {
                        self.begin_gap(stop);
                    }
                    return;
                }
                Err(error) => {
                    self.begin_gap(WalError::io(path, "read", error));
                    return;
                }
            }
        }
    }

    /// The offset of the first whole batch at `from` or behind it.
    fn find_batch(&self, segment: &LiveSegment, from: u64) -> io::Result<Option<u64>> {
        let header = &segment.header;
        let seed = BatchSeed::new(self.source.store, header.number);
        let (mut reader, mut batches) = (segment.reader(), segment.reader());
        let mut offset = from.max(SEGMENT_HEADER_SIZE);
        while offset < header.size {
            let piece = WINDOW_SIZE - (offset as usize % BLOCK_SIZE);
            let bytes = reader.bytes(offset, piece)?;
            if bytes.is_empty() {
                break; // the file has shrunk under us
            }
            let mut candidates = Vec::new();
            look_at(bytes, &mut candidates);
            let size = bytes.len() as u64;
            for candidate in candidates {
                let at = offset + candidate as u64;
                if is_batch(&mut batches, seed, header, at)? {
                    return Ok(Some(at));
                }
            }
            offset += size;
        }
        Ok(None)
    }

    fn finish(mut self) -> LogRemains {
        let (entry, end) = (&self.source.entry, self.remains.end);
        if entry.durable_through > end && self.open.is_none() {
            let reason = format!(
                "records of log {} up to LSN {} were durable, only those up to LSN {end} are there",
                self.source.log, entry.durable_through
            );
            self.begin_gap(WalError::corrupt(&segments_dir(&self.source.store_path), 0, reason));
        }
        self.open = self.open.take().or(self.suspected.take());
        self.end_gap(Lsn(u64::MAX));
        self.remains
    }
}

/// Whether a whole batch lies at an offset.
fn is_batch(
    reader: &mut SegmentReader,
    seed: BatchSeed,
    header: &SegmentHeader,
    offset: u64,
) -> io::Result<bool> {
    let (lsn, room) = (header.first_lsn.after(offset), header.size - offset);
    let head = reader.bytes(offset, BATCH_HEADER_SIZE)?;
    let Ok(batch) = BatchHeader::decode(seed, head, lsn, header.number, room) else { return Ok(false) };
    let bytes = reader.bytes(offset, batch.length as usize)?;
    Ok(bytes.len() == batch.length as usize && seed.crc32(&bytes[BATCH_HEADER_SIZE..]) == batch.body_crc32)
}

/// The header of a segment that has lost it, from what its first batch says of its place; `None` where that does not hold either, or
/// nobody asked for that.
pub(crate) fn rebuild_header(
    source: &LogSource,
    file: &dyn File,
    size: u64,
    number: u64,
) -> io::Result<Option<SegmentHeader>> {
    if !source.is_salvaged {
        return Ok(None);
    }
    let mut block = Buffer::default();
    block.resize(BLOCK_SIZE);
    let read = file.read_at(&mut block, SEGMENT_HEADER_SIZE)?;
    if read < BATCH_HEADER_SIZE {
        return Ok(None);
    }
    let lsn = Lsn(u64_at(&block, 16));
    let room = size.saturating_sub(SEGMENT_HEADER_SIZE);
    let batch = BatchHeader::decode(BatchSeed::new(source.store, number), &block[..read], lsn, number, room);
    let first_lsn = batch.ok().and_then(|batch| batch.lsn.0.checked_sub(SEGMENT_HEADER_SIZE));
    Ok(first_lsn.map(|first_lsn| SegmentHeader {
        store: source.store,
        log: source.log,
        log_count: 0,
        number,
        size,
        first_lsn: Lsn(first_lsn),
        chain_seed: 0,
        unsynced_bytes_max: 0,
        created_micros: 0,
    }))
}

/// The newer slot of MANIFEST that is whole, if one is.
fn read_what_holds(
    storage: &dyn Storage,
    store: &Path,
    damage: &mut Vec<WalError>,
) -> Result<Option<Manifest>, WalError> {
    let path = manifest_path(store);
    let bytes = match read_manifest(storage, store) {
        Ok(bytes) => bytes,
        Err(error) => {
            damage.push(match error {
                WalError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    WalError::corrupt(&path, 0, "it is missing")
                }
                error => error,
            });
            return Ok(None);
        }
    };
    let mut newest: Option<Manifest> = None;
    for slot in 0..2 {
        let begin = (slot * SLOT_SIZE).min(bytes.len());
        let reason = match Manifest::decode(&bytes[begin..(begin + SLOT_SIZE).min(bytes.len())]) {
            Ok(found) => {
                if newest.as_ref().is_none_or(|newest| newest.generation < found.generation) {
                    newest = Some(found);
                }
                continue;
            }
            Err(BadSlot::Newer(found)) => {
                let supported = MANIFEST_FORMAT_VERSION;
                return Err(WalError::NewerFormat { path, found, supported });
            }
            Err(BadSlot::UnknownCodec(found)) => return Err(WalError::UnknownCodec { path, found }),
            Err(BadSlot::Foreign) => "it does not begin like a slot".to_string(),
            Err(BadSlot::Damaged(reason)) => reason,
        };
        damage.push(WalError::corrupt(&path, begin as u64, format!("slot {slot}: {reason}")));
    }
    Ok(newest)
}

/// Segments and images by their names, each with the log it is of.
fn find_files(storage: &dyn Storage, store: &Path, damage: &mut Vec<WalError>) -> Vec<(u32, PathBuf)> {
    let mut files = Vec::new();
    for dir in [segments_dir(store), history_dir(store), images_dir(store)] {
        let entries = match storage.entries(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                damage.push(WalError::io(&dir, "list", error));
                continue;
            }
            Ok(entries) => entries,
        };
        let logs = entries.iter().filter_map(|entry| {
            let (log, _) =
                parse_segment_name(&entry.name).or_else(|| FileKind::Image.parse_name(&entry.name))?;
            Some((log, dir.join(&entry.name)))
        });
        files.extend(logs);
    }
    files
}

/// The store that most of these files are of, by their headers.
fn most_named(storage: &dyn Storage, files: &[(u32, PathBuf)]) -> Option<StoreId> {
    let mut counts: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    for (_, path) in files {
        let mut block = Buffer::default();
        block.resize(BLOCK_SIZE);
        let read = storage.open(path, Access::Read).and_then(|file| file.read_at(&mut block, 0));
        let block = &block[..read.unwrap_or_default()];
        let of_segment = SegmentHeader::decode(block).ok().map(|header| header.store);
        let id = of_segment
            .or_else(|| ImageHeader::decode(FileKind::Image, block).ok().map(|header| header.store));
        *counts.entry(id.map_or([0; 16], |id| id.0)).or_default() += usize::from(id.is_some());
    }
    let most = counts.into_iter().filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count);
    most.map(|(id, _)| StoreId(id))
}
