//! Opening a log after whatever happened: what is whole is kept, a torn tail is cut, damage is refused.
//!
//! Everything is accepted that continues the chain. Behind the last such batch either nothing was promised, and
//! what lies there is cut, or something was: MANIFEST or a batch knows a greater position to be durable. Then
//! records are missing that somebody was told are safe, and the log is refused.

use std::path::PathBuf;
use std::time::Instant;

use crate::active_segment::{ActiveSegment, WriteWay};
use crate::error::WalError;
use crate::image_file::NamedImage;
use crate::log::{Log, LogStart};
use crate::lsn::Lsn;
use crate::options::{LogMode, LogOptions};
use crate::prepare::{PreparedSegment, open_to_write, write_zeros};
use crate::report::{Cut, LogEnd, LogRecovery};
use crate::scan::{RecordRef, Scan, first_content_of, scan_segments};
use crate::segment::SEGMENT_HEADER_SIZE;
use crate::segment::{parse_segment_name, segments_dir};
use crate::source::{LiveSegment, LogSource, open_segments};
use crate::storage::{Access, BLOCK_SIZE, File};
use crate::supply::SegmentSupply;
use crate::tail::{Tail, inspect_tail};

/// Bytes read and written again at once.
const REWRITE_SIZE: usize = 256 * 1024;

/// Operations a log has in flight at most: one write, or one sync of a few segments.
const QUEUE_DEPTH: u32 = 8;

/// Recovers a log and leaves it ready to append.
///
/// `visit` gets every record in order, from the first one or from where the image `from` ends; a reason from it refuses
/// the log at that record. A torn tail is cut: zeroed and synced. Everything that is kept is synced before it is handed over as durable. What was dropped is in the
/// report. Recovering again gives the same.
///
/// # Errors
/// [`WalError::Corrupt`], with file and offset, when anything below the greatest position proven durable cannot be
/// read, or when a segment that MANIFEST names is missing or not the one it should be; nothing was written then.
///
/// # Panics
/// If `from` is no image that the source names, or is absent where the source names two.
pub fn recover(
    source: &LogSource,
    options: LogOptions,
    from: Option<&NamedImage>,
    visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<(Log, LogRecovery), WalError> {
    let reads_ahead = options.ring && source.capabilities.ring.is_ok();
    let (survey, mut report) = examine(source, from, reads_ahead, visit)?;
    remove_leftovers(source, &report.leftovers)?;
    repair(source, &survey)?;
    if let Some(Cut { segment, offset, bytes, from, to, reason, .. }) = &report.cut {
        let log = source.log;
        tracing::warn!(target: "strata", log, segment, offset, bytes, %from, %to, error = %reason, "a torn tail is cut");
    }
    let log = start_log(source, options, &survey, report.end)?;
    report.elapsed = survey.started.elapsed();
    Ok((log, report))
}

/// Reads a log as [`recover`] does, and repairs nothing.
///
/// # Errors
/// As [`recover`].
///
/// # Panics
/// As [`recover`].
pub fn scan(
    source: &LogSource,
    from: Option<&NamedImage>,
    visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<LogRecovery, WalError> {
    examine(source, from, false, visit).map(|(_, report)| report)
}

/// What was found, before anything is changed.
struct Survey {
    started: Instant,
    segments: Vec<LiveSegment>,
    scan: Scan,
    tail: Tail,
}

fn examine(
    source: &LogSource,
    from: Option<&NamedImage>,
    reads_ahead: bool,
    visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<(Survey, LogRecovery), WalError> {
    match from {
        Some(image) => assert!(source.images().any(|named| named == *image), "MANIFEST names the image"),
        None => assert!(source.images().count() < 2, "the log is whole where no two images stand for it"),
    }
    let started = Instant::now();
    let segments = open_segments(source)?;
    let leftovers = find_leftovers(source)?;
    let scan = scan_segments(source, &segments, from, reads_ahead, visit)?;
    let end = LogEnd { log: source.log, lsn: scan.end_lsn, chain: scan.chain };
    // Both slots of MANIFEST are whole and the log ends where they say: behind it nothing was ever written.
    let ends_as_closed = source.is_clean && source.is_newest_slot && end.lsn == source.entry.end_lsn;
    let tail = if ends_as_closed { Tail::default() } else { inspect_tail(source, &segments, &scan)? };
    let durable_through = check_proof(source, &segments, &scan, &tail)?;
    let report = LogRecovery {
        log: source.log,
        image: from.map(|image| image.number),
        segments: scan.summaries.clone(),
        batches: scan.summaries.iter().map(|summary| summary.batches).sum(),
        records: scan.summaries.iter().map(|summary| summary.records).sum(),
        bytes: scan.bytes,
        end,
        durable_through,
        cut: describe_cut(&segments, &scan, &tail),
        leftovers,
        elapsed: started.elapsed(),
    };
    Ok((Survey { started, segments, scan, tail }, report))
}

/// Refuses a log that ends before what is proven durable; returns that position otherwise.
fn check_proof(
    source: &LogSource,
    segments: &[LiveSegment],
    scan: &Scan,
    tail: &Tail,
) -> Result<Lsn, WalError> {
    let entry = &source.entry;
    let closed_at = if source.is_clean { entry.end_lsn } else { Lsn::ZERO };
    let proofs = [entry.durable_through, closed_at, scan.durable_through, tail.durable_through];
    let proven = proofs.into_iter().max().unwrap_or_default();
    let file = &segments[scan.stop.segment].path;
    if scan.end_lsn < proven {
        let reason = format!(
            "{}; records up to LSN {proven} were durable, only those up to LSN {} can be read",
            scan.stop.reason, scan.end_lsn
        );
        return Err(WalError::corrupt(file, scan.stop.offset, reason));
    }
    if source.is_clean && scan.end_lsn == entry.end_lsn && scan.chain != entry.end_chain {
        let reason =
            format!("the log ends with chain {:#018x}, MANIFEST says {:#018x}", scan.chain, entry.end_chain);
        return Err(WalError::corrupt(&segments[scan.last_segment].path, scan.end_offset, reason));
    }
    Ok(proven)
}

fn describe_cut(segments: &[LiveSegment], scan: &Scan, tail: &Tail) -> Option<Cut> {
    if tail.dirty.is_empty() {
        return None;
    }
    let segment = &segments[scan.last_segment];
    Some(Cut {
        segment: segment.header.number,
        file: segment.path.clone(),
        offset: scan.end_offset,
        bytes: tail.size(),
        from: scan.end_lsn,
        to: tail.to,
        reason: scan.stop.reason.clone(),
    })
}

/// Segments of this log above the newest one that MANIFEST names: a crash interrupted their preparation. One that
/// holds anything was in use, so MANIFEST is older than the log.
fn find_leftovers(source: &LogSource) -> Result<Vec<PathBuf>, WalError> {
    let dir = segments_dir(&source.store_path);
    let mut leftovers = Vec::new();
    for entry in source.storage.entries(&dir).map_err(|error| WalError::io(&dir, "list", error))? {
        match parse_segment_name(&entry.name) {
            Some((log, number)) if log == source.log && number > source.entry.newest_segment => {}
            _ => continue,
        }
        let path = dir.join(&entry.name);
        if let Some(offset) = first_content_of(&*source.storage, &path)? {
            return Err(WalError::corrupt(
                &path,
                offset,
                "the segment is in use, and MANIFEST does not name it",
            ));
        }
        leftovers.push(path);
    }
    Ok(leftovers)
}

fn remove_leftovers(source: &LogSource, leftovers: &[PathBuf]) -> Result<(), WalError> {
    if leftovers.is_empty() {
        return Ok(());
    }
    for path in leftovers {
        source.storage.remove(path).map_err(|error| WalError::io(path, "remove", error))?;
    }
    let dir = segments_dir(&source.store_path);
    source.storage.sync_dir(&dir).map_err(|error| WalError::io(&dir, "sync", error))
}

/// Zeroes the torn tail, and syncs it and everything that was not yet proven durable.
fn repair(source: &LogSource, survey: &Survey) -> Result<(), WalError> {
    for (index, segment) in survey.segments.iter().enumerate() {
        let summary = &survey.scan.summaries[index];
        let dirty = survey.tail.dirty.iter().find(|(dirty, _)| *dirty == index);
        let has_unproven = summary.batches > 0
            && segment.header.first_lsn.after(summary.end_offset) > source.entry.durable_through;
        if dirty.is_none() && !has_unproven {
            continue;
        }
        let opened = source.storage.open(&segment.path, Access::Write);
        let file = opened.map_err(|error| WalError::io(&segment.path, "open", error))?;
        if let Some((_, range)) = dirty {
            // Whole blocks: after a failed sync the page cache may still show bytes that the device never got,
            // and a write beside them would carry them there.
            let block = BLOCK_SIZE as u64;
            let from = (range.start - range.start % block).max(summary.end_offset);
            let zeroed = write_zeros(&*file, from, range.end.next_multiple_of(block));
            zeroed.map_err(|error| WalError::io(&segment.path, "zero the torn tail of", error))?;
        }
        if has_unproven && source.capabilities.direct.is_err() {
            let proven = source.entry.durable_through.0.saturating_sub(segment.header.first_lsn.0);
            rewrite(&*file, proven.max(SEGMENT_HEADER_SIZE), summary.end_offset)
                .map_err(|error| WalError::io(&segment.path, "rewrite", error))?;
        }
        file.sync().map_err(|error| WalError::io(&segment.path, "sync", error))?;
    }
    Ok(())
}

/// Writes what is there once more, so that the sync behind it covers it.
///
/// Where files cannot be read past the page cache, recovery may have seen bytes that a failed sync left there marked
/// clean: a sync alone would not carry them to the device (Rebello et al., USENIX ATC 2020).
fn rewrite(file: &dyn File, from: u64, to: u64) -> std::io::Result<()> {
    let mut offset = from - from % BLOCK_SIZE as u64;
    let mut bytes = vec![0; REWRITE_SIZE];
    while offset < to {
        let size = bytes.len().min((to - offset) as usize);
        let read = file.read_at(&mut bytes[..size], offset)?;
        if read == 0 {
            break; // the file has shrunk under us
        }
        file.write_at(&bytes[..read], offset)?;
        offset += read as u64;
    }
    Ok(())
}

fn start_log(source: &LogSource, options: LogOptions, survey: &Survey, end: LogEnd) -> Result<Log, WalError> {
    let way = choose_way(source, &options);
    let access = if way == WriteWay::Queued { Access::Direct } else { Access::Write };
    let active = &survey.segments[survey.scan.last_segment];
    let mut supply = SegmentSupply::new(access, options.unsynced_bytes_max, &active.header);
    for spare in &survey.segments[survey.scan.last_segment + 1..] {
        let file = open_to_write(&*source.storage, &spare.path, access)?;
        supply.add(PreparedSegment { header: spare.header.clone(), file });
    }
    let is_queue_needed = way == WriteWay::Queued || (way == WriteWay::Cached && options.ring);
    let queue = is_queue_needed.then(|| source.storage.queue(QUEUE_DEPTH)).transpose();
    let queue = queue.map_err(|error| WalError::io(&source.store_path, "make an I/O queue for", error))?;
    // Everything before is synced, so the first batch begins on a fresh block.
    let offset = survey.scan.end_offset.next_multiple_of(BLOCK_SIZE as u64);
    let file = open_to_write(&*source.storage, &active.path, access)?;
    let active = ActiveSegment::new(active.header.clone(), file, offset);
    Ok(Log::new(LogStart { options, way, queue, active, supply, end }))
}

/// Direct mode needs direct I/O and the ring; what is missing costs the calling thread its wait, said once a store.
fn choose_way(source: &LogSource, options: &LogOptions) -> WriteWay {
    if options.mode == LogMode::Buffered {
        return WriteWay::Cached;
    }
    if !options.ring {
        return WriteWay::Synced;
    }
    let capabilities = &source.capabilities;
    match capabilities.direct.as_ref().and(capabilities.ring.as_ref()) {
        Ok(()) => WriteWay::Queued,
        Err(reason) => {
            source.fallback_warning.call_once(|| {
                tracing::warn!(target: "strata", error = %reason, "durable writes wait for the device: no background direct I/O here");
            });
            WriteWay::Synced
        }
    }
}
