//! Reading all of a log that there is, to see that it is whole.

use crate::error::WalError;
use crate::history::{HistoryFiles, open_whole};
use crate::history_file::HistoryFile;
use crate::image_file::FileKind;
use crate::lsn::Lsn;
use crate::scan::{RecordRef, first_content, scan_segment};
use crate::segment::SegmentHeader;
use crate::source::{LiveSegment, LogSource};

/// What was read of a log.
#[derive(Debug, Default)]
pub struct VerifiedLog {
    /// Segments, those of the history among them that are not sorted.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// In each segment, the first batch that does not continue the one before, or holds a record that is refused.
    pub damage: Vec<WalError>,
}

/// Where a log is read on, and its chain there.
pub(crate) type Position = (Lsn, u64);

impl LogSource {
    /// Reads every batch of the log from its oldest segment, those that were put away among them, up to `through` or further,
    /// and before them those that were sorted, and hands every record to `visit`, with the number of the log that it was written to. Whoever writes the log has written up to there, and puts nothing away meanwhile.
    /// Behind damage the next segment is read.
    ///
    /// # Errors
    /// [`WalError::Io`].
    pub fn verify(
        &self,
        through: Lsn,
        visit: &mut dyn FnMut(u32, RecordRef<'_>) -> Result<(), String>,
    ) -> Result<VerifiedLog, WalError> {
        let mut verified = VerifiedLog::default();
        // Where the log is to be read on; unknown before the first segment, and behind damage.
        let mut position: Option<Position> = None;
        let mut before: Option<SegmentHeader> = None;
        let files = HistoryFiles::list(self)?;
        if let Some(number) = files.sorted {
            let read =
                HistoryFile::open(self, FileKind::History, number).and_then(|file| file.read_all(visit));
            match read {
                Ok(records) => verified.records += records,
                Err(damage @ WalError::Corrupt { .. }) => verified.damage.push(damage),
                Err(error) => return Err(error),
            }
        }
        for number in files.segments {
            let segment = match open_whole(self, number) {
                Ok(Some(segment)) => segment,
                Ok(None) => continue,
                Err(damage @ WalError::Corrupt { .. }) => {
                    verified.damage.push(damage);
                    (position, before) = (None, None);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(before) = before.replace(segment.header.clone())
                && (before.number + 1, before.end_lsn()) != (number, segment.header.first_lsn)
            {
                let reason = format!("segment {} comes before it", before.number);
                verified.damage.push(WalError::corrupt(&segment.path, 0, reason));
                position = None;
            }
            if segment.header.first_lsn >= through && through > Lsn::ZERO {
                break;
            }
            verified.segments += 1;
            match self.verify_segment(&segment, position, through, &mut |record| visit(self.log(), record)) {
                Ok((end, records)) => {
                    verified.records += records;
                    position = end;
                }
                Err(damage @ WalError::Corrupt { .. }) => {
                    verified.damage.push(damage);
                    position = None;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(verified)
    }

    /// Reads one segment, and says where it leaves the log, if that is known, and how many records it has.
    pub(crate) fn verify_segment(
        &self,
        segment: &LiveSegment,
        position: Option<Position>,
        through: Lsn,
        visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
    ) -> Result<(Option<Position>, u64), WalError> {
        let scan = scan_segment(self, segment, position, visit)?;
        let wanted = through.min(segment.header.end_lsn());
        let content = first_content(&segment.file, segment.header.size, scan.end_offset);
        let content = content.map_err(|error| WalError::io(&segment.path, "read", error))?;
        // A segment that a larger record had no room in, or that was larger than was wanted, was passed over. Had it been begun, the
        // next one would not continue what came before.
        if content.is_none() && scan.summaries[0].batches == 0 && segment.header.end_lsn() <= through {
            return Ok((position, 0));
        }
        // Where a batch found no room, the rest of its segment has only zeros. Behind `through` anything may lie.
        let is_read = scan.end_lsn >= wanted || (content.is_none() && scan.summaries[0].batches > 0);
        if !is_read && (segment.header.first_lsn < through || scan.summaries[0].batches > 0) {
            let offset = content.unwrap_or(scan.end_offset);
            return Err(WalError::corrupt(&segment.path, offset, scan.stop.reason));
        }
        Ok((Some((scan.end_lsn, scan.chain)), scan.summaries[0].records))
    }
}
