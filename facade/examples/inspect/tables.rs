//! What was found, as aligned tables.

use strata::{RunInfo, RunStatus};
use strata_wal::{LogRecovery, LogSummary, ManifestSummary};

use crate::contents::{Contents, RecordLine};
use crate::date::date;
use crate::figures::{count, counted, fit, share, size, time};

pub(crate) fn print_manifest(manifest: &ManifestSummary) {
    let ended = match (manifest.is_clean, manifest.boot) {
        (_, 0) => "never begun",
        (true, _) => "the last one was closed cleanly",
        (false, _) => "the last one was not closed",
    };
    say!("  identity   {}", manifest.store);
    say!("  created    {} UTC", date(manifest.created_micros));
    say!("  MANIFEST   format {}, update {}", manifest.format_version, count(manifest.generation));
    say!("  boots      {}, {ended}", count(manifest.boot));
    say!("  logs       {}, one a shard", manifest.logs.len());
    if let Some(reason) = &manifest.damaged_slot {
        say!("  finding    one of the two slots of MANIFEST cannot be read, the other serves: {reason}");
    }
}

pub(crate) fn print_log(summary: &LogSummary, found: &Result<LogRecovery, String>) {
    say!("\nLog {}", summary.log);
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            say!(
                "  segments   {} to {}, as MANIFEST names them",
                summary.oldest_segment,
                summary.newest_segment
            );
            say!("  durable    proven through LSN {}", summary.durable_through);
            say!("  finding    DAMAGED: {error}");
            return;
        }
    };
    say!(
        "  {:>9}  {:<24} {:>10} {:>12} {:>9} {:>9} {:>6}",
        "segment",
        "file",
        "size",
        "first LSN",
        "batches",
        "records",
        "used"
    );
    for segment in &found.segments {
        let name = segment.file.file_name().unwrap_or_default().to_string_lossy();
        say!(
            "  {:>9}  {name:<24} {:>10} {:>12} {:>9} {:>9} {:>6}",
            segment.number,
            size(segment.size),
            segment.first_lsn.0,
            count(segment.batches),
            count(segment.records),
            share(segment.end_offset, segment.size),
        );
    }
    let per_batch = found.records as f64 / found.batches.max(1) as f64;
    say!(
        "  records    {} in {} batches ({per_batch:.1} a batch), {}",
        count(found.records),
        count(found.batches),
        size(found.bytes)
    );
    say!("  durable    proven through LSN {} of {}", found.durable_through.0, found.end.lsn.0);
    for image in &summary.images {
        say!("  image      {} stands for the log through LSN {}", image.number, image.through);
    }
    say!("  read       in {}", time(found.elapsed));
    print_findings(found);
}

fn print_findings(found: &LogRecovery) {
    match &found.cut {
        None => say!("  finding    whole: it ends with a whole batch"),
        Some(cut) => {
            let file = cut.file.file_name().unwrap_or_default().to_string_lossy();
            say!(
                "  finding    torn tail: {} at offset {} of {file}: {}",
                size(cut.bytes),
                cut.offset,
                cut.reason
            );
            say!(
                "             the next open cuts it, LSN {} to {}; nothing in it was ever proven durable",
                cut.from,
                cut.to
            );
        }
    }
    for leftover in &found.leftovers {
        say!("  finding    left over from a crash, the next open removes it: {}", leftover.display());
    }
}

pub(crate) fn print_runs(runs: &[RunInfo], limit: usize) {
    say!("\nRuns");
    let mut statuses = RunStatus::ALL.map(|status| (status, 0));
    for run in runs {
        statuses.iter_mut().filter(|(status, _)| *status == run.status).for_each(|(_, runs)| *runs += 1);
    }
    let by_status: Vec<_> = statuses
        .iter()
        .filter(|(_, runs)| *runs > 0)
        .map(|(status, runs)| format!("{} {status}", count(*runs)))
        .collect();
    let orphans = runs.iter().filter(|run| run.orphaned).count();
    say!("  {}: {}; {orphans} orphaned", counted(runs.len() as u64, "run", "runs"), by_status.join(", "));
    if !runs.is_empty() {
        say!(
            "  {:<36}  {:<24} {:<10} {:>8} {:>7} {:>7}  changed (UTC)",
            "id",
            "name",
            "status",
            "version",
            "keys",
            "events"
        );
    }
    for run in runs.iter().take(limit) {
        let status = if run.orphaned { "orphaned".to_owned() } else { run.status.to_string() };
        say!(
            "  {:<36}  {:<24} {status:<10} {:>8} {:>7} {:>7}  {}",
            run.id.to_string(),
            fit(run.name.as_deref().unwrap_or("-"), 24),
            count(run.version.0),
            count(run.kv_count),
            count(run.event_count),
            date(run.timestamp.0),
        );
    }
    tell_rest(runs.len(), limit, "--runs");
}

pub(crate) fn print_records(contents: &Contents) {
    say!("\nRecords");
    let kinds: Vec<_> =
        contents.kinds.iter().map(|(kind, records)| format!("{} {kind}", count(*records))).collect();
    let total: u64 = contents.kinds.values().sum();
    say!(
        "  {}: {}; {} mutations",
        counted(total, "record", "records"),
        kinds.join(", "),
        count(contents.mutations)
    );
    if !contents.latest.is_empty() {
        say!("  the latest of each log:");
        say!(
            "  {:>3} {:>12}  {:<10} {:<36} {:>8} {:>10} {:>9}  time (UTC)",
            "log",
            "LSN",
            "kind",
            "run",
            "version",
            "mutations",
            "size"
        );
    }
    contents.latest.iter().for_each(print_record);
}

fn print_record(record: &RecordLine) {
    say!(
        "  {:>3} {:>12}  {:<10} {:<36} {:>8} {:>10} {:>9}  {}",
        record.log,
        record.lsn,
        record.kind,
        record.run.to_string(),
        count(record.version),
        count(record.mutation_count as u64),
        size(record.size),
        date(record.timestamp),
    );
}

fn tell_rest(length: usize, limit: usize, option: &str) {
    if length > limit {
        say!("  ... {} more; {option} N shows more", count((length - limit) as u64));
    }
}
