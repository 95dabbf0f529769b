//! Single records of a log, by their position: in the segments that recovery needs, in those that were put away, and in the
//! file that such ones were sorted into. That one may have records of logs too that the store had before.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::WalError;
use crate::frame::{FRAME_HEADER_SIZE, FrameHead, decode_frame, frame_size};
use crate::history_file::{GroupId, HistoryFile, RecordKey};
use crate::image_file::{FileKind, history_dir};
use crate::lsn::Lsn;
use crate::options::LogMode;
use crate::reader::SegmentReader;
use crate::scan::RecordRef;
use crate::segment::{parse_segment_name, segment_name, segment_path, segments_dir};
use crate::source::{LiveSegment, LogSource, open_segment_file};
use crate::storage::Access;

/// Bytes read at once: who looks for a few records in many reads little of each segment.
const WINDOW_SIZE: usize = 64 << 10;
/// How many segments are kept open.
const OPEN_MAX: usize = 8;

/// Reads records of one log as far back as its segments go.
///
/// Only what has been written is there to be read: the caller asks for no position that the log has not handed to the
/// kernel. Segments that come after the source was made are not looked for.
pub struct LogHistory {
    source: LogSource,
    /// Segments of a log in direct mode are not read through the page cache while they are written past it.
    live_access: Access,
    /// The files that were there when it was made, or when it last missed one.
    files: HistoryFiles,
    /// That of the sorted ones.
    sorted: Option<HistoryFile>,
    /// Where and why there is a file of sorted ones of which nobody knows what is in it.
    damage: Option<(PathBuf, u64, String)>,
    /// Those that were looked at last, the newest at the end.
    open: Vec<OpenSegment>,
}

struct OpenSegment {
    number: u64,
    first: Lsn,
    end: Lsn,
    path: PathBuf,
    reader: SegmentReader,
}

impl LogHistory {
    /// Looks which segments of the log there are.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn new(source: &LogSource, mode: LogMode) -> Result<LogHistory, WalError> {
        let mut history = LogHistory {
            live_access: if mode == LogMode::Direct { Access::ReadDirect } else { Access::ReadLive },
            source: source.clone(),
            files: HistoryFiles::default(),
            sorted: None,
            damage: None,
            open: Vec::new(),
        };
        history.look()?;
        Ok(history)
    }

    /// The same, for whom these segments are not there.
    #[must_use]
    pub fn without(mut self, numbers: &BTreeSet<u64>) -> LogHistory {
        self.files.segments.retain(|number| !numbers.contains(number));
        self
    }

    /// The record of a group that was appended to the log with number `log`, at `lsn`; `None` when it is no longer there.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when there is no whole record at this place, [`WalError::Io`].
    pub fn record(&mut self, group: GroupId, log: u32, lsn: Lsn) -> Result<Option<RecordRef<'_>>, WalError> {
        let is_missed =
            !self.is_sorted(log, lsn) && (self.is_foreign(log) || self.segment_of(lsn)?.is_none());
        if is_missed && HistoryFiles::list(&self.source)?.sorted != self.files.sorted {
            // It was sorted into a file meanwhile.
            self.look()?;
        }
        if !self.is_sorted(log, lsn) {
            if self.damage.is_some()
                && (self.is_foreign(log) || self.segment_of(lsn)?.is_none())
                && let Some((file, offset, reason)) = &self.damage
            {
                return Err(WalError::corrupt(file, *offset, reason.clone()));
            }
            return if self.is_foreign(log) { Ok(None) } else { self.record_in_segment(lsn) };
        }
        let key = RecordKey { group, log, lsn };
        self.sorted.as_mut().map_or(Ok(None), |sorted| sorted.record(key))
    }

    /// Whether a record at this place has been sorted into a file, if it is still there.
    fn is_sorted(&self, log: u32, lsn: Lsn) -> bool {
        self.sorted.as_ref().is_some_and(|sorted| self.is_foreign(log) || lsn < sorted.through())
    }

    /// Whether this is a log that the store had before: its records came here sorted.
    fn is_foreign(&self, log: u32) -> bool {
        log != self.source.log
    }

    /// Looks which files there are.
    fn look(&mut self) -> Result<(), WalError> {
        (self.files, self.sorted, self.damage) = match HistoryFiles::open(&self.source) {
            // Of a damaged store what cannot be opened is not there.
            Err(_) if self.source.is_salvaged => (HistoryFiles::list(&self.source)?, None, None),
            // Segments have what was not sorted.
            Err(WalError::Corrupt { file, offset, reason }) => {
                (HistoryFiles::list(&self.source)?, None, Some((file, offset, reason)))
            }
            opened => opened.map(|(files, sorted)| (files, sorted, None))?,
        };
        Ok(())
    }

    fn record_in_segment(&mut self, lsn: Lsn) -> Result<Option<RecordRef<'_>>, WalError> {
        let Some(segment) = self.segment_of(lsn)? else { return Ok(None) };
        let offset = lsn.0 - segment.first.0;
        let OpenSegment { path, reader, .. } = segment;
        let read_error = |error| WalError::io(path, "read", error);
        let corrupt = |reason| WalError::corrupt(path, offset, reason);
        reader.look_back_from(offset).map_err(read_error)?;
        let head = FrameHead::decode(reader.bytes(offset, FRAME_HEADER_SIZE).map_err(read_error)?);
        let head = head.map_err(corrupt)?;
        let size = frame_size(head.body_size);
        if size > WINDOW_SIZE {
            check_in_pieces(reader, offset, head).map_err(read_error)?.map_err(corrupt)?;
        }
        let frame = decode_frame(reader.bytes(offset, size).map_err(read_error)?).map_err(corrupt)?;
        Ok(Some(RecordRef { lsn, kind: frame.kind, body: frame.body }))
    }

    /// For whoever reads the record of a group at `lsn` of a log, and finds that it is not what it should be.
    pub fn corrupt(&mut self, group: GroupId, log: u32, lsn: Lsn, reason: String) -> WalError {
        if let Some(sorted) = self.sorted.as_ref().filter(|_| self.is_sorted(log, lsn)) {
            return sorted.corrupt(RecordKey { group, log, lsn }, reason);
        }
        let segment = if self.is_foreign(log) { Ok(None) } else { self.segment_of(lsn) };
        match segment {
            Ok(Some(segment)) => WalError::corrupt(&segment.path, lsn.0 - segment.first.0, reason),
            Ok(None) => WalError::corrupt(&self.source.store_path, lsn.0, reason),
            Err(error) => error,
        }
    }

    /// The segment that holds a position.
    fn segment_of(&mut self, lsn: Lsn) -> Result<Option<&mut OpenSegment>, WalError> {
        let is_inside = |segment: &OpenSegment| (segment.first..segment.end).contains(&lsn);
        if let Some(at) = self.open.iter().position(is_inside) {
            return Ok(self.open.get_mut(at));
        }
        let found = match self.find(lsn) {
            // Which positions it has is not known: another one may have this.
            Err(damage @ WalError::Corrupt { .. }) => Some(self.find_one_by_one(lsn, damage)?),
            found => found?,
        };
        let Some(segment) = found else { return Ok(None) };
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(segment);
        Ok(self.open.last_mut())
    }

    /// Opens the segment that holds a position.
    fn find(&self, lsn: Lsn) -> Result<Option<OpenSegment>, WalError> {
        if let Some(number) = self.number_of(lsn)?
            && let Some(segment) = self.open(number)?
            && (segment.first..segment.end).contains(&lsn)
        {
            return Ok(Some(segment));
        }
        // What was known of the segments may not be so any more.
        self.source.ranges.forget(self.source.log);
        let number = self.number_of(lsn)?;
        number.map_or(Ok(None), |number| self.open(number))
    }

    /// The number of the segment that holds a position.
    fn number_of(&self, lsn: Lsn) -> Result<Option<u64>, WalError> {
        // Segments with greater numbers hold later positions.
        let (mut low, mut high) = (0, self.files.segments.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let number = self.files.segments[middle];
            match self.range_of(number)? {
                Some(range) if lsn < range.start => high = middle,
                Some(range) if lsn < range.end => return Ok(Some(number)),
                // Retention removes the oldest ones first.
                Some(_) | None => low = middle + 1,
            }
        }
        Ok(None)
    }

    /// Which positions a segment holds; `None` when it was removed.
    fn range_of(&self, number: u64) -> Result<Option<Range<Lsn>>, WalError> {
        if let Some(range) = self.source.ranges.get(self.source.log, number) {
            return Ok(Some(range));
        }
        Ok(self.open(number)?.map(|segment| {
            let range = segment.first..segment.end;
            self.source.ranges.note(self.source.log, number, range.clone());
            range
        }))
    }

    /// The same where a segment is damaged, which may be the one: then that is the answer.
    fn find_one_by_one(&self, lsn: Lsn, damage: WalError) -> Result<OpenSegment, WalError> {
        for number in &self.files.segments {
            match self.open(*number) {
                Ok(Some(segment)) if (segment.first..segment.end).contains(&lsn) => return Ok(segment),
                Ok(_) | Err(WalError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(damage)
    }

    /// A segment; `None` when it was removed.
    fn open(&self, number: u64) -> Result<Option<OpenSegment>, WalError> {
        // Whoever looks for a record knows that it is there, so what else the page cache shows does not matter.
        let opened = open_anywhere(&self.source, number, [self.live_access, Access::Read])?;
        Ok(opened.map(|LiveSegment { header, path, file }| {
            let reader = SegmentReader::with_window(file, header.size, WINDOW_SIZE);
            OpenSegment { number, first: header.first_lsn, end: header.end_lsn(), path, reader }
        }))
    }
}

/// Opens a segment to read it as a whole, wherever it is at the moment: past the page cache, which may still show behind the
/// end of a log what a failed sync left there. `None` when it was removed.
pub(crate) fn open_whole(source: &LogSource, number: u64) -> Result<Option<LiveSegment>, WalError> {
    open_anywhere(source, number, [Access::ReadDirect; 2])
}

/// The same, in one way where it is live and in another where it was put away.
fn open_anywhere(
    source: &LogSource,
    number: u64,
    [live_access, retired_access]: [Access; 2],
) -> Result<Option<LiveSegment>, WalError> {
    let LogSource { store_path, log, .. } = source;
    let live = segment_path(store_path, *log, number);
    let retired = history_dir(store_path).join(segment_name(*log, number));
    // A segment is renamed from the one to the other place, so one that is missed there is found here.
    for (path, access) in [(live, live_access), (retired, retired_access)] {
        match open_segment_file(source, &path, number, access) {
            Ok((header, file)) => return Ok(Some(LiveSegment { header, path, file })),
            Err(WalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl std::fmt::Debug for LogHistory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open: Vec<u64> = self.open.iter().map(|segment| segment.number).collect();
        formatter
            .debug_struct("LogHistory")
            .field("source", &self.source)
            .field("open", &open)
            .finish_non_exhaustive()
    }
}

/// The files that hold the records of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistoryFiles {
    /// The number of the file of sorted ones.
    pub(crate) sorted: Option<u64>,
    /// The numbers of the segments whose records are not in that, those of the history among them, in order.
    pub(crate) segments: Vec<u64>,
}

impl HistoryFiles {
    /// Looks which there are, and opens the file of sorted ones.
    pub(crate) fn open(source: &LogSource) -> Result<(HistoryFiles, Option<HistoryFile>), WalError> {
        loop {
            let files = HistoryFiles::list(source)?;
            let Some(number) = files.sorted else { return Ok((files, None)) };
            match HistoryFile::open(source, FileKind::History, number) {
                Ok(sorted) => return Ok((files, Some(sorted))),
                // It went between the two looks, and another one took its place, or none.
                Err(_) if HistoryFiles::list(source)?.sorted != Some(number) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks which there are.
    pub(crate) fn list(source: &LogSource) -> Result<HistoryFiles, WalError> {
        let history = history_dir(&source.store_path);
        // A file of sorted records has its name before the segments lose theirs, so it is looked for behind them.
        let mut segments = BTreeSet::new();
        for dir in [segments_dir(&source.store_path), history.clone()] {
            // Behind the newest one there may be one under preparation.
            let numbers = numbers_in(source, &dir, parse_segment_name)?;
            segments.extend(numbers.into_iter().filter(|number| *number <= source.entry.newest_segment));
        }
        let sorted = numbers_in(source, &history, |name| FileKind::History.parse_name(name))?;
        let sorted = sorted.into_iter().max();
        segments.retain(|number| Some(*number) > sorted);
        Ok(HistoryFiles { sorted, segments: segments.into_iter().collect() })
    }
}

/// The numbers of the files of a log in a directory, which may be missing, with names of a kind.
pub(crate) fn numbers_in(
    source: &LogSource,
    dir: &Path,
    parse: impl Fn(&str) -> Option<(u32, u64)>,
) -> Result<Vec<u64>, WalError> {
    let names = match source.storage.names(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || source.is_salvaged => return Ok(Vec::new()),
        names => names.map_err(|error| WalError::io(dir, "list", error))?,
    };
    let numbers = names.iter().filter_map(|name| parse(name));
    Ok(numbers.filter(|(log, _)| *log == source.log).map(|(_, number)| number).collect())
}

/// Compares the sum of a body that is larger than a window, before its length is believed.
fn check_in_pieces(
    reader: &mut SegmentReader,
    offset: u64,
    mut head: FrameHead,
) -> io::Result<Result<(), String>> {
    let begin = offset + FRAME_HEADER_SIZE as u64;
    let (mut at, end) = (begin, begin + head.body_size as u64);
    while at < end {
        let piece = reader.bytes(at, WINDOW_SIZE.min((end - at) as usize))?;
        if piece.is_empty() {
            return Ok(Err(format!("a record of {} bytes does not fit its segment", head.body_size)));
        }
        head.update(piece);
        at += piece.len() as u64;
    }
    Ok(head.check())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::directory::StoreDirectory;
    use crate::sim::SimDisk;

    #[test]
    fn what_a_look_tells_of_the_segments_is_known_to_the_next() {
        let disk = Arc::new(SimDisk::new(1));
        let directory = StoreDirectory::open(disk, Path::new("/store"), None, 2, 2).unwrap();
        let (source, other) = (directory.log_source(0), directory.log_source(1));
        let number = source.entry.newest_segment;
        assert_eq!(directory.log_source(0).ranges.get(0, number), None);
        let mut history = LogHistory::new(&source, LogMode::Buffered).unwrap();
        let first = source.entry.newest_first_lsn;
        assert_eq!(history.segment_of(first).unwrap().unwrap().number, number);
        let known = directory.log_source(0).ranges.get(0, number).expect("who looks next knows it");
        assert_eq!(known.start, first);
        assert_eq!(
            directory.log_source(1).ranges.get(1, number),
            None,
            "of another log nothing was looked at"
        );
        // What is nowhere may be where nobody has looked since.
        other.ranges.note(1, number, known.clone());
        assert!(history.segment_of(known.end).unwrap().is_none());
        assert_eq!(directory.log_source(0).ranges.get(1, number), Some(known), "another log is another");
    }
}
