//! Reading all of a log that there is, to see that it is whole.

use crate::error::WalError;
use crate::history::{all_segment_numbers, open_anywhere};
use crate::lsn::Lsn;
use crate::scan::{RecordRef, Scan, first_content, scan_history};
use crate::segment::SEGMENT_HEADER_SIZE;
use crate::source::{LiveSegment, LogSource};
use crate::storage::Access;

/// What was read of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifiedLog {
    /// Segments, those of the history among them.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of batches.
    pub bytes: u64,
}

/// Where the log cannot be read on: in the segment of the last batch, if anything was written behind it, or where the next
/// segment begins.
fn damage_behind(segments: &[LiveSegment], scan: &Scan, through: Lsn) -> Result<WalError, WalError> {
    let last = &segments[scan.last_segment];
    let content = first_content(&last.file, last.header.size, scan.end_offset)
        .map_err(|error| WalError::io(&last.path, "read", error))?;
    let (file, offset) = match (content, segments.get(scan.last_segment + 1)) {
        (None, Some(next)) => (&next.path, SEGMENT_HEADER_SIZE),
        (content, _) => (&last.path, content.unwrap_or(scan.end_offset)),
    };
    let reason = format!("{}; the log reaches from LSN {} to {through}", scan.stop.reason, scan.end_lsn);
    Ok(WalError::corrupt(file, offset, reason))
}

impl LogSource {
    /// Reads every batch of the log from its oldest segment, those that were put away among them, up to `through` or further,
    /// and hands every record to `visit`. Whoever writes the log has written up to there, and puts nothing away meanwhile.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] where a batch does not continue the one before, or a record is refused; [`WalError::Io`].
    pub fn verify(
        &self,
        through: Lsn,
        visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
    ) -> Result<VerifiedLog, WalError> {
        let mut segments: Vec<LiveSegment> = Vec::new();
        for number in all_segment_numbers(self)? {
            let Some(segment) = open_anywhere(self, number, Access::ReadDirect)? else { continue };
            if let Some(before) = segments.last()
                && (before.header.number + 1, before.header.end_lsn()) != (number, segment.header.first_lsn)
            {
                let reason = format!("segment {} comes before it", before.header.number);
                return Err(WalError::corrupt(&segment.path, 0, reason));
            }
            segments.push(segment);
        }
        let scan = scan_history(self, &segments, visit)?;
        if scan.end_lsn < through {
            return Err(damage_behind(&segments, &scan, through)?);
        }
        let records = scan.summaries.iter().map(|summary| summary.records).sum();
        Ok(VerifiedLog { segments: segments.len() as u64, records, bytes: scan.bytes })
    }
}
