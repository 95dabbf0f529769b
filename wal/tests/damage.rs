//! Damage of every kind: each gives a recovered prefix with a report, or a refusal that names file and offset.

mod store;

use std::path::{Path, PathBuf};

use store::{LOG_COUNT, Oracle, Records, STORE, Store, options, read_only, sweep, work};
use strata_wal::sim::SimDisk;
use strata_wal::{LogMode, Lsn, WalError};

const SEGMENT: &str = "WAL/000-0000000001.seg";

fn file(name: &str) -> PathBuf {
    Path::new(STORE).join(name)
}

/// A store with two segments in its first log, at the moment its process has ended.
struct Base {
    disk: SimDisk,
    oracle: Oracle,
    found: Vec<Records>,
    /// Ends of the logs: offsets in the last segment of each.
    last: Vec<(PathBuf, u64)>,
}

/// Closed by its owner: every record is proven durable.
fn closed(mode: LogMode) -> Base {
    base(mode, true)
}

/// Left by a dead process: durable, but proven only as far as a later batch says so.
fn left(mode: LogMode) -> Base {
    base(mode, false)
}

fn base(mode: LogMode, is_closed: bool) -> Base {
    let disk = SimDisk::new(5);
    let mut oracle = Oracle::new();
    let mut store = Store::open(&disk, &options(mode)).unwrap();
    work(&mut store, &mut oracle, 100).unwrap();
    for log in &mut store.logs {
        log.flush().unwrap();
    }
    if is_closed {
        store.close().unwrap();
    }
    let (found, reports) = read_only(&disk.kill()).unwrap();
    let last = reports.iter().map(|report| {
        let last = report.segments.iter().rfind(|segment| segment.batches > 0).unwrap();
        (last.file.clone(), last.end_offset)
    });
    assert!(reports.iter().any(|report| report.segments.len() > 1), "more than one segment is needed");
    Base { last: last.collect(), disk, oracle, found }
}

impl Base {
    fn copy(&self) -> SimDisk {
        self.disk.kill()
    }

    /// Opens a damaged copy: a prefix of at least `promised` records a log, or a refusal that names a file of the
    /// store. Returns what was found. Recovering what was recovered finds the same.
    fn judge(&self, damaged: &SimDisk, promised: &[usize], story: &str) -> Option<Vec<Records>> {
        let store = match Store::open(damaged, &options(LogMode::Buffered)) {
            Ok(store) => store,
            Err(WalError::Corrupt { file, reason, .. }) => {
                assert!(file.starts_with(STORE) && !reason.is_empty(), "{story}: {}", file.display());
                return None;
            }
            Err(other) => panic!("{story}: {other}"),
        };
        self.oracle.check(&store.found, &[Lsn::ZERO; LOG_COUNT as usize], story);
        for (log, records) in store.found.iter().enumerate() {
            assert!(records.len() >= promised[log], "{story}: log {log} lost records without a refusal");
            let is_shorter = records.len() < self.found[log].len();
            let is_reported = store.reports[log].cut.is_some() || self.is_tail_zero(damaged, &store, log);
            assert!(!is_shorter || is_reported, "{story}: log {log} was cut without a report");
        }
        let again = Store::open(&damaged.kill(), &options(LogMode::Buffered)).unwrap();
        assert!(again.found == store.found, "{story}: recovering twice gives the same");
        Some(again.found)
    }

    /// Nothing is left behind the end that a report could tell of.
    fn is_tail_zero(&self, disk: &SimDisk, store: &Store, log: usize) -> bool {
        let report = &store.reports[log];
        let last = report.segments.iter().rfind(|segment| segment.batches > 0).unwrap_or(&report.segments[0]);
        disk.bytes(&last.file)[last.end_offset as usize..].iter().all(|&byte| byte == 0)
    }

    fn all(&self) -> Vec<usize> {
        self.found.iter().map(Vec::len).collect()
    }
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_8_kib_gives_a_prefix_or_a_refusal() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        for base in [closed(mode), left(mode)] {
            let (path, end) = base.last[0].clone();
            let content = base.disk.bytes(&path);
            let from = end.saturating_sub(8192).max(4096);
            for at in sweep(end - from, 8) {
                let cut = (from + at) as usize;
                let zeroed = base.copy();
                let mut bytes = content.clone();
                bytes[cut..].fill(0);
                zeroed.set_bytes(&path, &bytes);
                base.judge(&zeroed, &[0, base.found[1].len()], &format!("{mode:?}, zeros from {cut}"));

                let garbage = base.copy();
                bytes[cut..].fill(0xee);
                garbage.set_bytes(&path, &bytes);
                base.judge(&garbage, &[0, base.found[1].len()], &format!("{mode:?}, garbage from {cut}"));

                let short = base.copy();
                short.set_bytes(&path, &content[..cut]);
                let found = base.judge(&short, &[0, 0], &format!("{mode:?}, truncated at {cut}"));
                assert!(found.is_none(), "sizes are synced before use: a shorter file is damage");
            }
        }
    }
}

#[test]
fn a_closed_log_refuses_to_lose_its_last_byte() {
    let base = closed(LogMode::Buffered);
    let (path, end) = base.last[0].clone();
    let damaged = base.copy();
    damaged.flip(&path, end - 8, 0);
    match Store::open(&damaged, &options(LogMode::Buffered)).err().unwrap() {
        WalError::Corrupt { file, offset, reason } => {
            assert_eq!(file, path);
            assert!(offset < end && reason.contains("were durable"), "{offset}: {reason}");
        }
        other => panic!("{other}"),
    }
    assert!(read_only(&damaged.kill()).is_err(), "and so does a scan");
}

#[test]
fn every_flipped_bit_of_every_header_is_refused_or_harmless() {
    for (base, is_closed) in [(closed(LogMode::Buffered), true), (left(LogMode::Direct), false)] {
        let batches = batch_offsets(&base.disk.bytes(&file(SEGMENT)));
        let mut headers = vec![(file("MANIFEST"), 0, 88 + 144), (file("MANIFEST"), 16384, 88 + 144)];
        headers.extend((0..2).map(|number| (file(&format!("WAL/000-000000000{}.seg", number + 1)), 0, 96)));
        headers.extend(batches.iter().map(|&offset| (file(SEGMENT), offset, 64 + 16)));
        let bits: u64 = headers.iter().map(|header| header.2 * 8).sum();
        let promised = if is_closed { base.all() } else { vec![0; 2] };
        for bit in sweep(bits, 40) {
            let (path, offset) = place(&headers, bit);
            let damaged = base.copy();
            damaged.flip(&path, offset, (bit % 8) as u8);
            let story = format!("{} at {offset}, bit {}", path.display(), bit % 8);
            let found = base.judge(&damaged, &promised, &story);
            let is_manifest = path.ends_with("MANIFEST");
            if is_manifest {
                assert!(found.as_ref() == Some(&base.found), "{story}: the other slot has what is needed");
            } else if is_closed {
                assert!(found.is_none(), "{story}: was opened");
            }
        }
    }
}

fn batch_offsets(segment: &[u8]) -> Vec<u64> {
    (4096..segment.len())
        .step_by(8)
        .filter(|&at| segment[at..].starts_with(b"STRATABA"))
        .map(|at| at as u64)
        .collect()
}

fn place(headers: &[(PathBuf, u64, u64)], mut bit: u64) -> (PathBuf, u64) {
    for (path, offset, size) in headers {
        if bit < size * 8 {
            return (path.clone(), offset + bit / 8);
        }
        bit -= size * 8;
    }
    unreachable!("the bit lies in one of the headers")
}

#[test]
fn a_batch_damaged_below_proven_ones_is_refused_at_its_place() {
    let base = left(LogMode::Direct);
    let offset = batch_offsets(&base.disk.bytes(&file(SEGMENT)))[1];
    let damaged = base.copy();
    damaged.flip(&file(SEGMENT), offset + 70, 3);
    match Store::open(&damaged, &options(LogMode::Direct)).err().unwrap() {
        WalError::Corrupt { file: path, offset: at, .. } => assert_eq!((path, at), (file(SEGMENT), offset)),
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_duplicated_zeroed_or_swapped_segment_is_refused_by_name() {
    let (first, second, other) = (SEGMENT, "WAL/000-0000000002.seg", "WAL/001-0000000001.seg");
    for base in [closed(LogMode::Buffered), left(LogMode::Buffered)] {
        for name in [first, second, other] {
            let missing = base.copy();
            strata_wal::storage::Storage::remove(&missing, &file(name)).unwrap();
            refused_at(&missing, name, "missing");

            let zeroed = base.copy();
            zeroed.set_bytes(&file(name), &vec![0; base.disk.bytes(&file(name)).len()]);
            refused_at(&zeroed, name, "zeroed");

            let empty = base.copy();
            empty.set_bytes(&file(name), &[]);
            refused_at(&empty, name, "emptied");
        }
        for (from, to) in [(first, second), (second, first), (other, first)] {
            let duplicated = base.copy();
            duplicated.set_bytes(&file(to), &base.disk.bytes(&file(from)));
            refused_at(&duplicated, to, "duplicated");
        }
        let swapped = base.copy();
        swapped.set_bytes(&file(first), &base.disk.bytes(&file(second)));
        swapped.set_bytes(&file(second), &base.disk.bytes(&file(first)));
        refused_at(&swapped, first, "swapped");
    }
}

fn refused_at(disk: &SimDisk, name: &str, story: &str) {
    match Store::open(disk, &options(LogMode::Buffered)).err() {
        Some(WalError::Corrupt { file: path, .. }) => assert_eq!(path, file(name), "{story}"),
        other => panic!("{name} {story}: {other:?}"),
    }
}

#[test]
fn a_segment_of_another_store_is_refused() {
    let base = closed(LogMode::Buffered);
    let foreign = closed(LogMode::Buffered);
    let mixed = base.copy();
    mixed.set_bytes(&file(SEGMENT), &foreign.disk.bytes(&file(SEGMENT)));
    refused_at(&mixed, SEGMENT, "of another store");
}

#[test]
fn a_lost_segments_directory_is_refused() {
    let base = closed(LogMode::Buffered);
    let emptied = base.copy();
    for path in emptied.files().iter().filter(|path| path.starts_with(file("WAL"))) {
        strata_wal::storage::Storage::remove(&emptied, path).unwrap();
    }
    assert!(matches!(Store::open(&emptied, &options(LogMode::Buffered)), Err(WalError::Corrupt { .. })));
}

#[test]
fn records_without_a_manifest_are_never_taken_for_an_unfinished_creation() {
    let base = left(LogMode::Buffered);
    let lost = base.copy();
    strata_wal::storage::Storage::remove(&lost, &file("MANIFEST")).unwrap();
    refused_at(&lost, "MANIFEST", "missing");
    let zeroed = base.copy();
    zeroed.set_bytes(&file("MANIFEST"), &[0; 32768]);
    refused_at(&zeroed, "MANIFEST", "zeroed");
}

#[test]
fn an_unfinished_preparation_is_removed_and_one_in_use_is_refused() {
    let base = left(LogMode::Buffered);
    let name = "WAL/000-0000000009.seg";
    let unfinished = base.copy();
    unfinished.set_bytes(&file(name), &[0; 10_000]);
    let store = Store::open(&unfinished, &options(LogMode::Buffered)).unwrap();
    assert_eq!(store.reports[0].leftovers, [file(name)]);
    assert!(!unfinished.files().contains(&file(name)));

    let used = base.copy();
    used.set_bytes(&file(name), &base.disk.bytes(&file(SEGMENT)));
    refused_at(&used, name, "in use");
}

#[test]
fn an_older_manifest_never_costs_a_record() {
    // Both slots go back to the creation: the log has grown since, and says so.
    let disk = SimDisk::new(5);
    drop(Store::open(&disk, &options(LogMode::Buffered)).unwrap());
    let mut old = disk.bytes(&file("MANIFEST"));
    let first_slot = old[..16384].to_vec();
    old[16384..].copy_from_slice(&first_slot);
    let mut oracle = Oracle::new();
    let mut store = Store::open(&disk.kill(), &options(LogMode::Buffered)).unwrap();
    let disk = disk.kill();
    drop(store);
    store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    work(&mut store, &mut oracle, 20).unwrap();
    store.logs.iter_mut().for_each(|log| log.flush().unwrap());
    oracle.note(&store);
    let boot = store.directory.boot();
    let rolled_back = disk.kill();
    rolled_back.set_bytes(&file("MANIFEST"), &old);

    let store = Store::open(&rolled_back, &options(LogMode::Buffered)).unwrap();

    oracle.check(&store.found, &oracle.durable, "an older MANIFEST");
    assert!(boot > 1 && store.directory.unclean_through() > 0, "the lost boot did not close the store");
}
