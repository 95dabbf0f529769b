//! Single records of a log, by their position: in the segments that recovery needs, and in those that were put away.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::WalError;
use crate::frame::{FRAME_HEADER_SIZE, FrameHead, decode_frame, frame_size};
use crate::lsn::Lsn;
use crate::options::LogMode;
use crate::reader::SegmentReader;
use crate::scan::RecordRef;
use crate::segment::{parse_segment_name, segment_name, segment_path, segments_dir};
use crate::source::{LiveSegment, LogSource, open_segment_file};
use crate::storage::Access;
use crate::truncation::history_dir;

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
    /// The numbers of the segments that were there when it was made.
    numbers: Vec<u64>,
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
        Ok(LogHistory {
            live_access: if mode == LogMode::Direct { Access::ReadDirect } else { Access::Read },
            source: source.clone(),
            numbers: all_segment_numbers(source)?,
            open: Vec::new(),
        })
    }

    /// The record at `lsn`; `None` when its segment is no longer there.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when there is no whole record at this place, [`WalError::Io`].
    pub fn record(&mut self, lsn: Lsn) -> Result<Option<RecordRef<'_>>, WalError> {
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

    /// For whoever reads the record at `lsn`, and finds that it is not what it should be.
    pub fn corrupt(&mut self, lsn: Lsn, reason: String) -> WalError {
        match self.segment_of(lsn) {
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
        // Segments with greater numbers hold later positions.
        let (mut low, mut high) = (0, self.numbers.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(segment) = self.open(self.numbers[middle])? else {
                // Retention removes the oldest ones first.
                low = middle + 1;
                continue;
            };
            if lsn < segment.first {
                high = middle;
            } else if lsn >= segment.end {
                low = middle + 1;
            } else {
                if self.open.len() == OPEN_MAX {
                    self.open.remove(0);
                }
                self.open.push(segment);
                return Ok(self.open.last_mut());
            }
        }
        Ok(None)
    }

    /// A segment; `None` when it was removed.
    fn open(&self, number: u64) -> Result<Option<OpenSegment>, WalError> {
        let opened = open_anywhere(&self.source, number, self.live_access)?;
        Ok(opened.map(|LiveSegment { header, path, file }| {
            let reader = SegmentReader::with_window(file, header.size, WINDOW_SIZE);
            OpenSegment { number, first: header.first_lsn, end: header.end_lsn(), path, reader }
        }))
    }
}

/// Opens a segment to read it, wherever it is at the moment; `None` when it was removed.
pub(crate) fn open_anywhere(
    source: &LogSource,
    number: u64,
    live_access: Access,
) -> Result<Option<LiveSegment>, WalError> {
    let LogSource { store_path, log, .. } = source;
    let live = segment_path(store_path, *log, number);
    let retired = history_dir(store_path).join(segment_name(*log, number));
    // A segment is renamed from the one to the other place, so one that is missed there is found here.
    for (path, access) in [(live, live_access), (retired, Access::Read)] {
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

/// The numbers of the segments of a log, those of the history among them, in order.
pub(crate) fn all_segment_numbers(source: &LogSource) -> Result<Vec<u64>, WalError> {
    let mut numbers = BTreeSet::new();
    for dir in [history_dir(&source.store_path), segments_dir(&source.store_path)] {
        numbers.extend(numbers_in(source, &dir)?);
    }
    Ok(numbers.into_iter().collect())
}

fn numbers_in(source: &LogSource, dir: &Path) -> Result<Vec<u64>, WalError> {
    let entries = match source.storage.entries(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| WalError::io(dir, "list", error))?,
    };
    let of_log = entries.iter().filter_map(|entry| parse_segment_name(&entry.name));
    // Behind the newest one there may be one under preparation.
    let is_named = |(log, number): &(u32, u64)| *log == source.log && *number <= source.entry.newest_segment;
    Ok(of_log.filter(is_named).map(|(_, number)| number).collect())
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
