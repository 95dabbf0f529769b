//! Giving a store other logs than it has: with the numbers behind those of the logs there are, and in one step.
//!
//! Whatever is written before that step is named after logs that the store does not have, and is removed by whoever opens it next.
//! After it the same is true of the files of the logs before. So a crash leaves either the one or the other, whole.
//!
//! A new log begins with an image that stands for nothing of it, and with the records that its runs keep, sorted into one file under
//! the places they had.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::compaction::{Compacted, Keep, Merge, SORTED_SIZE, Sorter, header};
use crate::creation::manifest_path;
use crate::directory::StoreDirectory;
use crate::error::WalError;
use crate::history::{HistoryFiles, open_whole};
use crate::history_file::{GroupId, HistoryWriter, SortedRecord};
use crate::image_file::{ImageHeader, NamedImage, history_dir, images_dir};
use crate::lsn::Lsn;
use crate::manifest::LogEntry;
use crate::prepare::create_segment;
use crate::scan::RecordRef;
use crate::segment::{
    SEGMENT_HEADER_SIZE, SEGMENT_SIZE_MIN, SegmentHeader, parse_numbered_name, parse_segment_name,
    segments_dir,
};
use crate::source::LogSource;

/// The number of the sorted file that a log begins with. It stands for the segment of this number, which there never was.
const SORTED_NUMBER: u64 = 1;
/// Where the first segment of a log begins that others were before: behind the header of the one that there never was.
const BEGIN: Lsn = Lsn(SEGMENT_HEADER_SIZE);

impl LogSource {
    /// The images that a log begins with which takes the place of others, the newest first.
    pub const FIRST_IMAGES: [u64; 2] = [2, 1];

    /// The position they stand for, where such a log begins.
    pub const FIRST_LSN: Lsn = BEGIN;
}

impl StoreDirectory {
    /// The logs that may take the place of those there are. Nothing of them is there yet: whoever wants them writes [the images they
    /// begin with](LogSource::FIRST_IMAGES), [sorts the history](Self::sort_history) into them, and has them [taken](Self::take_logs).
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when MANIFEST does not say that the store is closed and that the newest image of each log stands for all of it:
    /// then records would be left behind. [`WalError::Unsupported`] when there are no numbers left.
    pub fn new_logs(&self, count: u32) -> Result<Vec<LogSource>, WalError> {
        let manifest = &self.slots.current;
        let is_imaged = |log: &LogEntry| log.images[0].is_some_and(|image| image.through == log.end_lsn);
        if !manifest.is_clean || !manifest.logs.iter().all(is_imaged) {
            let reason = "the store is to be closed, and each log to end where its newest image does";
            return Err(WalError::corrupt(&manifest_path(&self.path), 0, reason));
        }
        let first = manifest.log_numbers().end;
        if first.checked_add(count).is_none() {
            let reason = format!("{count} logs have no numbers behind {first}");
            return Err(WalError::Unsupported { reason });
        }
        let image = |number| Some(NamedImage { number, through: BEGIN, chain: 0 });
        let entry = LogEntry {
            oldest_segment: SORTED_NUMBER + 1,
            newest_segment: SORTED_NUMBER + 1,
            oldest_first_lsn: BEGIN,
            oldest_chain: 0,
            newest_first_lsn: BEGIN,
            newest_size: SEGMENT_SIZE_MIN,
            durable_through: BEGIN,
            end_lsn: BEGIN,
            end_chain: 0,
            images: LogSource::FIRST_IMAGES.map(image),
        };
        let template = self.log_source(self.logs().start);
        let new = |index| LogSource { log: first + index, index, entry: entry.clone(), ..template.clone() };
        Ok((0..count).map(new).collect())
    }

    /// Sorts the records of all logs there are into files of these [new ones](Self::new_logs): each of a group of which `place` tells
    /// into which, if `keep` says that it is kept. It is asked once for each. Returns how many are kept, by new log.
    ///
    /// It takes some 64 MiB of memory and 1 MiB for each log, or `sorted_size` in place of the former, and on disk as much as the new files and as the segments again.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when something that is to be sorted is damaged, or `keep` refuses a record; [`WalError::NoSpace`],
    /// [`WalError::Io`].
    pub fn sort_history(
        &self,
        to: &[LogSource],
        created_micros: u64,
        sorted_size: Option<usize>,
        keep: &mut Keep<'_>,
        place: &dyn Fn(GroupId) -> usize,
    ) -> Result<Vec<u64>, WalError> {
        let from: Vec<LogSource> = self.logs().map(|log| self.log_source(log)).collect();
        // One for all of them: with a share of the memory each there would be more files to merge the more logs there are.
        let mut sorter = Sorter::new(&from[0], created_micros, sorted_size.unwrap_or(SORTED_SIZE));
        let mut sorted = Vec::new();
        for source in &from {
            source.remove_leftovers()?;
            let (files, before) = HistoryFiles::open(source)?;
            let (mut position, mut counted) = (None, Compacted::default());
            for number in files.segments {
                // One that is gone was not needed any more.
                let Some(segment) = open_whole(source, number)? else {
                    position = None;
                    continue;
                };
                let until = (position, source.entry.end_lsn);
                position = source.read_segment(&segment, until, &mut sorter, &mut counted, keep)?;
            }
            sorted.extend(before);
        }
        let mut merge = Merge::of(sorter, sorted)?;
        let mut writers: Vec<Option<HistoryWriter>> = to.iter().map(|_| None).collect();
        while let Some((input, record)) = merge.next()? {
            let SortedRecord { key, kind, body } = record;
            if let Some(file) = input {
                let asked = keep(RecordRef { lsn: key.lsn, kind, body });
                if asked.map_err(|reason| file.corrupt(key, reason))?.is_none() {
                    continue;
                }
            }
            let index = place(key.group);
            let writer = match &mut writers[index] {
                Some(writer) => writer,
                none => none.insert(create_sorted(&to[index], created_micros)?),
            };
            writer.add(&record)?;
        }
        let mut kept = Vec::new();
        for writer in writers {
            kept.push(writer.as_ref().map_or(0, |writer| writer.record_count));
            if let Some(writer) = writer {
                writer.end()?.name()?;
            }
        }
        Ok(kept)
    }

    /// Has these [new logs](Self::new_logs) take the place of those there are, in one step. Their images are there, and their sorted
    /// records. What is left of the logs before is [removed](Self::remove_foreign) afterwards.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when an image of one cannot be opened; [`WalError::NoSpace`], [`WalError::Io`]: nothing has changed. A
    /// failed update of MANIFEST is final ([`WalError::Failed`] from then on): what its slot holds is unknown.
    pub fn take_logs(&mut self, logs: &[LogSource]) -> Result<(), WalError> {
        self.check_writable()?;
        let mut next = self.slots.current.clone();
        for source in logs {
            for number in LogSource::FIRST_IMAGES {
                source.open_image(number)?;
            }
            let header = SegmentHeader {
                store: source.store,
                log: source.log,
                log_count: logs.len() as u32,
                number: source.entry.newest_segment,
                size: source.entry.newest_size,
                first_lsn: source.entry.newest_first_lsn,
                chain_seed: rand::random(),
                unsynced_bytes_max: 0,
                created_micros: next.created_micros,
            };
            create_segment(&*self.storage, &self.path, &header)?;
        }
        self.sync_dir(&segments_dir(&self.path))?;
        next.first_log = logs.first().expect("a store has a log").log;
        next.logs = logs.iter().map(|source| source.entry.clone()).collect();
        self.write(next)?;
        self.begun_images = vec![0; logs.len()];
        Ok(())
    }

    /// Removes the files of logs that the store does not have: those that were replaced, and those that were to replace others
    /// when something failed. Returns how many.
    ///
    /// # Errors
    /// [`WalError::Io`]. What is left over costs space and nothing else; the next boot tries again. [`WalError::Failed`] when an update
    /// of MANIFEST has failed: nobody knows which logs it names.
    pub fn remove_foreign(&self) -> Result<u64, WalError> {
        self.check_writable()?;
        self.remove_files(self.foreign_files()?)
    }

    /// The files of logs that the store does not have, by their directories.
    pub(crate) fn foreign_files(&self) -> Result<Vec<(PathBuf, Vec<PathBuf>)>, WalError> {
        let (own, mut files) = (self.logs(), Vec::new());
        for dir in [images_dir(&self.path), history_dir(&self.path), segments_dir(&self.path)] {
            let entries = match self.storage.entries(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|error| WalError::io(&dir, "list", error))?,
            };
            let is_foreign = |name: &str| log_of(name).is_some_and(|log| !own.contains(&log));
            let foreign = entries.iter().filter(|entry| is_foreign(&entry.name));
            let paths = foreign.map(|entry| dir.join(&entry.name)).collect();
            files.push((dir, paths));
        }
        Ok(files)
    }

    /// Removes files, by their directories. How many.
    pub(crate) fn remove_files(&self, files: Vec<(PathBuf, Vec<PathBuf>)>) -> Result<u64, WalError> {
        files.into_iter().map(|(dir, paths)| self.remove_all(&dir, &paths)).sum()
    }
}

/// The log that a file is of, by its name, finished or not.
fn log_of(name: &str) -> Option<u32> {
    let stem = ["img", "his", "arc", "tmp", "part", "new"].iter().find_map(|kind| name.strip_suffix(kind));
    let numbered = || parse_numbered_name(stem?.strip_suffix('.')?);
    parse_segment_name(name).or_else(numbered).map(|(log, _)| log)
}

/// Begins the sorted file of a new log.
fn create_sorted(source: &LogSource, created_micros: u64) -> Result<HistoryWriter, WalError> {
    let (number, through) = (SORTED_NUMBER, BEGIN);
    let header = ImageHeader { number, through, ..header(source, created_micros) };
    HistoryWriter::create(Arc::clone(&source.storage), &source.store_path, &header)
}
