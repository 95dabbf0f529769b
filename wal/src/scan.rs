//! Reading a log from its oldest segment to the last batch that continues the chain.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::batch::{BATCH_HEADER_SIZE, BATCH_MAGIC, BatchHeader, BatchSeed, enter_segment, next_chain};
use crate::error::WalError;
use crate::frame::decode_frame;
use crate::image_file::NamedImage;
use crate::lsn::Lsn;
use crate::reader::{SegmentReader, WINDOW_SIZE};
use crate::report::SegmentSummary;
use crate::segment::SEGMENT_HEADER_SIZE;
use crate::source::{LiveSegment, LogSource};
use crate::storage::{Access, BLOCK_SIZE, File, Storage};

/// One record, as it is handed out in log order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Position of the record.
    pub lsn: Lsn,
    /// The kind it was appended with.
    pub kind: u8,
    /// Its body.
    pub body: &'a [u8],
}

/// Takes records in order; a reason refuses the log at that record.
pub(crate) type Visitor<'a> = dyn FnMut(RecordRef<'_>) -> Result<(), String> + 'a;

/// What reading the log gave.
pub(crate) struct Scan {
    pub(crate) summaries: Vec<SegmentSummary>,
    pub(crate) bytes: u64,
    /// Index of the segment that holds the last accepted batch; 0 when there is none.
    pub(crate) last_segment: usize,
    /// Offset right behind the last accepted batch in that segment.
    pub(crate) end_offset: u64,
    pub(crate) end_lsn: Lsn,
    pub(crate) chain: u64,
    /// Greatest position an accepted batch knew to be durable.
    pub(crate) durable_through: Lsn,
    /// Why there is no further batch.
    pub(crate) stop: Stop,
}

/// The place at which the log could not be read on.
pub(crate) struct Stop {
    pub(crate) segment: usize,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

/// Hands every record of every batch that continues the chain to `visit`, from the first one or from where an image ends. Who reads
/// ahead needs a log that nobody writes meanwhile.
pub(crate) fn scan_segments(
    source: &LogSource,
    segments: &[LiveSegment],
    from: Option<&NamedImage>,
    reads_ahead: bool,
    visit: &mut Visitor<'_>,
) -> Result<Scan, WalError> {
    let mut scanner = Scanner::new(source, segments, from);
    if reads_ahead {
        scanner.storage_ahead = Some(&source.storage);
        scanner.reader = scanner.reader_of(scanner.scan.last_segment);
    }
    scanner.run(visit)
}

/// The same of one segment: on from a position and its chain, or from its first batch, whatever came before that.
pub(crate) fn scan_segment(
    source: &LogSource,
    segment: &LiveSegment,
    position: Option<(Lsn, u64)>,
    visit: &mut Visitor<'_>,
) -> Result<Scan, WalError> {
    let (through, chain) = position.unwrap_or((segment.header.first_lsn, 0));
    scan_from(source, segment, through, position.map(|_| chain), visit)
}

/// The same from a position at which a batch may lie; without the chain there the first one is taken as it is.
pub(crate) fn scan_from(
    source: &LogSource,
    segment: &LiveSegment,
    through: Lsn,
    chain: Option<u64>,
    visit: &mut Visitor<'_>,
) -> Result<Scan, WalError> {
    let through = through.max(segment.header.first_lsn);
    let begin = NamedImage { number: 0, through, chain: chain.unwrap_or_default() };
    let mut scanner = Scanner::new(source, std::slice::from_ref(segment), Some(&begin));
    scanner.is_begin_unknown = chain.is_none();
    scanner.run(visit)
}

/// Where the first batch behind an image ends that reaches to `until`, or further, and the chain there. The log has been written
/// as far as that.
pub(crate) fn position_behind(
    source: &LogSource,
    segments: &[LiveSegment],
    image: &NamedImage,
    until: Lsn,
) -> Result<(Lsn, u64), WalError> {
    let mut scanner = Scanner::new(source, segments, Some(image));
    while scanner.scan.end_lsn < until {
        match scanner.next_batch()? {
            Ok(batch) => scanner.take(&batch, &mut |_| Ok(()))?,
            Err(Stop { segment, offset, reason }) => {
                let reason = format!("{reason}; the log reaches to LSN {until}");
                return Err(WalError::corrupt(&segments[segment].path, offset, reason));
            }
        }
    }
    Ok((scanner.scan.end_lsn, scanner.scan.chain))
}

/// Offset of the first byte at `offset` or behind it that is not zero, of a file of `size` bytes.
pub(crate) fn first_content(file: &Arc<dyn File>, size: u64, mut offset: u64) -> io::Result<Option<u64>> {
    let mut reader = SegmentReader::new(Arc::clone(file), size);
    while offset < size {
        let bytes = reader.bytes(offset, WINDOW_SIZE)?;
        if bytes.is_empty() {
            break; // the file has shrunk under us
        }
        if let Some(index) = bytes.iter().position(|&byte| byte != 0) {
            return Ok(Some(offset + index as u64));
        }
        offset += bytes.len() as u64;
    }
    Ok(None)
}

/// The same of a segment behind its header block.
pub(crate) fn first_content_of(storage: &dyn Storage, path: &Path) -> Result<Option<u64>, WalError> {
    let read_error = |error| WalError::io(path, "read", error);
    let file = storage.open(path, Access::Read).map_err(read_error)?;
    let size = file.size().map_err(read_error)?;
    first_content(&file, size, SEGMENT_HEADER_SIZE).map_err(read_error)
}

/// A batch whose header, records and chain were checked.
struct Accepted {
    segment: usize,
    offset: u64,
    header: BatchHeader,
}

/// Why no batch was accepted at a place.
struct Refusal {
    looks_like_batch: bool,
    reason: String,
}

struct Scanner<'a> {
    segments: &'a [LiveSegment],
    seeds: Vec<BatchSeed>,
    /// Reads the segment of the last accepted batch.
    reader: SegmentReader,
    /// What its readers read ahead with, if they do.
    storage_ahead: Option<&'a Arc<dyn Storage>>,
    scan: Scan,
    /// What came before is not known: the first batch is taken as it is.
    is_begin_unknown: bool,
}

impl<'a> Scanner<'a> {
    fn new(source: &LogSource, segments: &'a [LiveSegment], from: Option<&NamedImage>) -> Scanner<'a> {
        let (end_lsn, chain) = from
            .map_or((source.entry.oldest_first_lsn, source.entry.oldest_chain), |image| {
                (image.through, image.chain)
            });
        // A batch that ends where a segment does lies in that segment.
        let behind = segments.partition_point(|segment| segment.header.first_lsn < end_lsn);
        let last_segment = behind.saturating_sub(1);
        let begins = segments[last_segment].header.first_lsn;
        let end_offset = end_lsn.0.saturating_sub(begins.0).max(SEGMENT_HEADER_SIZE);
        let summaries = segments.iter().enumerate().map(|(index, segment)| SegmentSummary {
            number: segment.header.number,
            file: segment.path.clone(),
            size: segment.header.size,
            first_lsn: segment.header.first_lsn,
            batches: 0,
            records: 0,
            end_offset: if index == last_segment { end_offset } else { SEGMENT_HEADER_SIZE },
        });
        Scanner {
            segments,
            seeds: segments
                .iter()
                .map(|segment| BatchSeed::new(source.store, segment.header.number))
                .collect(),
            reader: segments[last_segment].reader(),
            storage_ahead: None,
            scan: Scan {
                summaries: summaries.collect(),
                bytes: 0,
                last_segment,
                end_offset,
                end_lsn,
                chain,
                durable_through: Lsn::ZERO,
                stop: Stop { segment: last_segment, offset: end_offset, reason: String::new() },
            },
            is_begin_unknown: false,
        }
    }

    /// Hands out every batch there is.
    fn run(mut self, visit: &mut Visitor<'_>) -> Result<Scan, WalError> {
        loop {
            match self.next_batch()? {
                Ok(batch) => self.take(&batch, visit)?,
                Err(stop) => return Ok(Scan { stop, ..self.scan }),
            }
        }
    }

    /// Finds the batch that continues the chain: right behind the last one, on the next block (a batch that
    /// follows a sync begins there), or first in a later segment. The chain proves that none was skipped.
    ///
    /// Of the places where none was found the first that looks like a batch is the one to tell of.
    fn next_batch(&mut self) -> Result<Result<Accepted, Stop>, WalError> {
        let (last, offset) = (self.scan.last_segment, self.scan.end_offset);
        let block = offset.next_multiple_of(BLOCK_SIZE as u64);
        let mut stop: Option<(bool, Stop)> = None;
        let later = (last + 1..self.segments.len()).map(|segment| (segment, SEGMENT_HEADER_SIZE));
        for (segment, offset) in [(last, offset), (last, block)].into_iter().chain(later) {
            let refusal = match self.try_batch(segment, offset)? {
                Ok(header) => return Ok(Ok(Accepted { segment, offset, header })),
                Err(refusal) => refusal,
            };
            if stop.as_ref().is_none_or(|(looks_like_batch, _)| refusal.looks_like_batch && !looks_like_batch)
            {
                stop = Some((refusal.looks_like_batch, Stop { segment, offset, reason: refusal.reason }));
            }
        }
        Ok(Err(stop.expect("at least one place was tried").1))
    }

    fn try_batch(&mut self, segment: usize, offset: u64) -> Result<Result<BatchHeader, Refusal>, WalError> {
        if segment == self.scan.last_segment {
            return self.check_batch(segment, offset, None);
        }
        let mut reader = self.reader_of(segment);
        let checked = self.check_batch(segment, offset, Some(&mut reader));
        if matches!(checked, Ok(Ok(_))) {
            self.reader = reader;
        }
        checked
    }

    fn reader_of(&self, segment: usize) -> SegmentReader {
        let reader = self.segments[segment].reader();
        match self.storage_ahead {
            Some(storage) => reader.reading_ahead(storage),
            None => reader,
        }
    }

    /// Checks header, records and chain of the batch at a place, read through `other` or the scanner's own reader.
    fn check_batch(
        &mut self,
        segment: usize,
        offset: u64,
        other: Option<&mut SegmentReader>,
    ) -> Result<Result<BatchHeader, Refusal>, WalError> {
        let live = &self.segments[segment];
        let seed = self.seeds[segment];
        let reader = other.unwrap_or(&mut self.reader);
        let read_error = |error| WalError::io(&live.path, "read", error);
        let room = live.header.size.saturating_sub(offset);
        let lsn = live.header.first_lsn.after(offset);
        let head = reader.bytes(offset, BATCH_HEADER_SIZE).map_err(read_error)?;
        let header = match BatchHeader::decode(seed, head, lsn, live.header.number, room) {
            Ok(header) => header,
            Err(reason) => {
                return Ok(Err(Refusal { looks_like_batch: head.starts_with(&BATCH_MAGIC), reason }));
            }
        };
        let refuse = |reason| Ok(Err(Refusal { looks_like_batch: true, reason }));
        let batch = reader.bytes(offset, header.length as usize).map_err(read_error)?;
        if batch.len() != header.length as usize {
            return refuse(format!("the file ends inside the batch, after {} bytes", batch.len()));
        }
        let computed = seed.crc32(&batch[BATCH_HEADER_SIZE..]);
        if computed != header.body_crc32 {
            let stored = header.body_crc32;
            return refuse(format!("batch checksum: stored {stored:#010x}, computed {computed:#010x}"));
        }
        // Right behind the header lies the first batch of a segment: the chain enters it there.
        let is_first = offset == SEGMENT_HEADER_SIZE;
        let previous =
            if is_first { enter_segment(self.scan.chain, live.header.chain_seed) } else { self.scan.chain };
        let chain = next_chain(previous, computed, lsn);
        if chain != header.chain && !self.is_begin_unknown {
            return refuse(format!(
                "the batch does not continue the log: chain {:#018x}, expected {chain:#018x}",
                header.chain
            ));
        }
        Ok(Ok(header))
    }

    /// Hands out the records of an accepted batch and moves behind it.
    fn take(&mut self, batch: &Accepted, visit: &mut Visitor<'_>) -> Result<(), WalError> {
        let live = &self.segments[batch.segment];
        let corrupt = |at: usize, reason| WalError::corrupt(&live.path, batch.offset + at as u64, reason);
        let bytes = self.reader.bytes(batch.offset, batch.header.length as usize);
        let bytes = bytes.map_err(|error| WalError::io(&live.path, "read", error))?;
        let mut at = BATCH_HEADER_SIZE;
        for _ in 0..batch.header.record_count {
            let frame = decode_frame(&bytes[at..]).map_err(|reason| corrupt(at, reason))?;
            let lsn = batch.header.lsn.after(at as u64);
            visit(RecordRef { lsn, kind: frame.kind, body: frame.body })
                .map_err(|reason| corrupt(at, reason))?;
            at += frame.size;
        }
        if at != bytes.len() {
            let reason = format!("{} records do not fill the batch", batch.header.record_count);
            return Err(corrupt(at, reason));
        }
        self.advance(batch);
        Ok(())
    }

    fn advance(&mut self, batch: &Accepted) {
        self.is_begin_unknown = false;
        let (header, scan) = (&batch.header, &mut self.scan);
        let length = u64::from(header.length);
        let summary = &mut scan.summaries[batch.segment];
        summary.batches += 1;
        summary.records += u64::from(header.record_count);
        summary.end_offset = batch.offset + length;
        scan.bytes += length;
        scan.last_segment = batch.segment;
        scan.end_offset = summary.end_offset;
        scan.end_lsn = header.lsn.after(length);
        scan.chain = header.chain;
        scan.durable_through = scan.durable_through.max(header.durable_through);
    }
}
