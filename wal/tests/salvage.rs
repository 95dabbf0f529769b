//! What is left of a damaged store is found: every batch that is whole, and for every record that is missing a gap that says so.

mod store;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{LOG_COUNT, Oracle, Random, Records, STORE, Store, options, read_only, work};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;
use strata_wal::{GroupId, LogHistory, LogMode, LogRemains, Lsn, StoreRemains, WalError};

/// A closed store with several segments a log, and its records.
fn grown(mode: LogMode) -> (SimDisk, Vec<Records>) {
    let disk = SimDisk::new(5);
    let mut store = Store::open(&disk, &options(mode)).unwrap();
    work(&mut store, &mut Oracle::new(), 300).unwrap();
    store.close().unwrap();
    let disk = disk.kill();
    let found = read_only(&disk).unwrap().0;
    assert!(segments(&disk, 0).len() > 2 && found.len() == LOG_COUNT as usize);
    (disk, found)
}

fn file(name: &str) -> PathBuf {
    Path::new(STORE).join(name)
}

fn segments(disk: &SimDisk, log: u32) -> Vec<PathBuf> {
    let prefix = file("WAL").join(format!("{log:03}-"));
    let is_of_log = |path: &PathBuf| path.to_string_lossy().starts_with(&*prefix.to_string_lossy());
    disk.files().into_iter().filter(is_of_log).collect()
}

fn open(disk: &SimDisk) -> Result<StoreRemains, WalError> {
    StoreRemains::open(Arc::new(disk.clone()), Path::new(STORE))
}

fn read(disk: &SimDisk, log: u32) -> (Records, LogRemains) {
    let mut records = Records::new();
    let remains = open(disk).unwrap().logs()[log as usize]
        .read_remains(&mut |_, record| records.push((record.lsn, record.kind, record.body.to_vec())));
    (records, remains)
}

/// The places of the records that are missing: each lies in a gap, and what is there is what was written, in order.
#[track_caller]
fn missing(disk: &SimDisk, log: u32, written: &Records, story: &str) -> Vec<Lsn> {
    let (found, remains) = read(disk, log);
    let mut rest = written.iter();
    for record in &found {
        assert!(rest.any(|written| written == record), "record at {} is invented: {story}", record.0);
    }
    assert_eq!(remains.records, found.len() as u64, "{story}");
    let there: BTreeSet<Lsn> = found.iter().map(|(lsn, _, _)| *lsn).collect();
    let missing: Vec<Lsn> =
        written.iter().map(|(lsn, _, _)| *lsn).filter(|lsn| !there.contains(lsn)).collect();
    for lsn in &missing {
        let is_told = remains.gaps.iter().any(|gap| gap.from <= *lsn && *lsn < gap.to);
        assert!(is_told, "the record at {lsn} is missing from {:?}: {story}", remains.gaps);
    }
    missing
}

fn first_lsn(disk: &SimDisk, segment: &Path) -> u64 {
    u64::from_le_bytes(disk.bytes(segment)[56..64].try_into().unwrap())
}

#[test]
fn behind_a_flipped_bit_every_other_batch_is_found() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let (disk, records) = grown(mode);
        let mut random = Random(3);
        let mut cost = 0;
        for segment in segments(&disk, 0) {
            let (whole, first) = (disk.bytes(&segment), first_lsn(&disk, &segment));
            let end = whole.iter().rposition(|byte| *byte != 0).unwrap() as u64;
            for _ in 0..40 {
                let at = 4_096 + random.below(end.saturating_sub(4_096).max(1));
                disk.flip(&segment, at, random.below(8) as u8);
                let story = format!("{mode:?}: {} at {at}", segment.display());
                let missing = missing(&disk, 0, &records[0], &story);
                // One batch, of one or some records; the largest has 60,000 bytes and what fills a batch behind it.
                let near = missing.iter().all(|lsn| lsn.0.abs_diff(first + at) < 80_000);
                assert!(near && missing.len() < 40, "{missing:?} for LSN {}: {story}", first + at);
                assert!(missing.is_sorted(), "{story}");
                cost += missing.len();
                disk.set_bytes(&segment, &whole);
            }
        }
        assert!(cost > 0, "nothing was hit");
        assert_eq!(missing(&disk, 0, &records[0], "mended"), []);
    }
}

#[test]
fn a_segment_that_is_missing_or_cut_costs_what_it_held() {
    let (disk, records) = grown(LogMode::Buffered);
    for segment in segments(&disk, 0) {
        let (whole, first) = (disk.bytes(&segment), first_lsn(&disk, &segment));
        let is_inside = |lsn: &Lsn| (first..first + whole.len() as u64).contains(&lsn.0);
        let inside: Vec<Lsn> = records[0].iter().map(|(lsn, _, _)| *lsn).filter(is_inside).collect();
        disk.remove(&segment).unwrap();
        assert_eq!(missing(&disk, 0, &records[0], "removed"), inside, "{}", segment.display());
        let middle = whole.len() / 2 + 5;
        disk.set_bytes(&segment, &whole[..middle]);
        let lost = missing(&disk, 0, &records[0], "cut");
        assert!(lost.len() <= inside.len(), "{}", segment.display());
        assert!(lost.iter().all(|lsn| lsn.0 + 80_000 > first + middle as u64), "{}", segment.display());
        disk.set_bytes(&segment, &whole);
    }
}

#[test]
fn a_segment_without_its_header_is_placed_by_its_first_batch() {
    let (disk, records) = grown(LogMode::Buffered);
    for segment in segments(&disk, 0) {
        disk.flip(&segment, 60, 3);
        let (found, remains) = read(&disk, 0);
        assert!(found == records[0] && remains.gaps.is_empty(), "{:?}", remains.gaps);
        assert!(remains.mended[0].to_string().contains(&*segment.to_string_lossy()), "{:?}", remains.mended);
        let store = open(&disk).unwrap();
        let mut history = LogHistory::new(&store.logs()[0], LogMode::Buffered).unwrap();
        for (lsn, kind, body) in &records[0] {
            let record = history.record(GroupId::default(), 0, *lsn).unwrap().expect("the record is there");
            assert_eq!((record.kind, record.body), (*kind, &body[..]));
        }
        disk.flip(&segment, 60, 3);
    }
}

#[test]
fn records_are_found_past_a_segment_that_tells_nothing() {
    let (disk, records) = grown(LogMode::Buffered);
    let all = segments(&disk, 0);
    let segment = &all[all.len() / 2];
    let mut bytes = disk.bytes(segment);
    let end = first_lsn(&disk, segment) + bytes.len() as u64;
    bytes[..8_192].fill(0);
    disk.set_bytes(segment, &bytes);
    let remains = read(&disk, 0).1;
    assert_eq!(remains.unreadable.len(), 1);
    let store = open(&disk).unwrap();
    let history = LogHistory::new(&store.logs()[0], LogMode::Buffered).unwrap();
    let mut history = history.without(&remains.unreadable);
    for (lsn, _, body) in
        records[0].iter().filter(|(lsn, _, _)| lsn.0 < end - bytes.len() as u64 || lsn.0 >= end)
    {
        assert_eq!(
            history.record(GroupId::default(), 0, *lsn).unwrap().expect("the record is there").body,
            &body[..]
        );
    }
}

#[test]
fn a_batch_that_only_a_value_holds_is_no_batch() {
    let (disk, _) = grown(LogMode::Buffered);
    let segment = disk.bytes(&segments(&disk, 0)[0]);
    // Somebody keeps a piece of the log itself in a record, and the batch of that record is damaged.
    let inner = segment[4_096..12_288].to_vec();
    let disk = SimDisk::new(6);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    store.append(0, 1, b"before").unwrap();
    store.turn(0).unwrap();
    store.append(0, 1, &inner).unwrap();
    store.turn(0).unwrap();
    store.append(0, 1, b"behind").unwrap();
    store.turn(0).unwrap();
    store.close().unwrap();
    let disk = disk.kill();
    let records = read_only(&disk).unwrap().0;
    let damaged = records[0][1].0.0 + 5; // its size
    disk.flip(&segments(&disk, 0)[0], damaged, 0);
    let found: Vec<Vec<u8>> = read(&disk, 0).0.into_iter().map(|(_, _, body)| body).collect();
    assert_eq!(found, [b"before", b"behind"]);
}

#[test]
fn a_store_is_known_without_manifest_and_files_of_another_are_left_out() {
    let (disk, records) = grown(LogMode::Buffered);
    let id = open(&disk).unwrap().id();
    disk.flip(&file("MANIFEST"), 30, 0);
    assert_eq!((open(&disk).unwrap().damage().len(), open(&disk).unwrap().has_manifest()), (1, true));
    disk.flip(&file("MANIFEST"), 16_384 + 30, 0);
    let other = grown(LogMode::Buffered).0;
    let foreign = other.bytes(&segments(&other, 0)[0]);
    disk.set_bytes(&file("WAL/000-0000000077.seg"), &foreign);
    let store = open(&disk).unwrap();
    assert_eq!((store.id(), store.has_manifest(), store.damage().len()), (id, false, 2));
    drop(store);
    for log in 0..LOG_COUNT {
        let (found, remains) = read(&disk, log);
        assert!(found == records[log as usize], "log {log}");
        assert_eq!(remains.unreadable.len(), usize::from(log == 0), "log {log}");
    }
    disk.files().iter().for_each(|file| disk.set_bytes(file, b"nothing"));
    assert!(matches!(open(&disk), Err(WalError::Corrupt { .. })));
    assert!(matches!(open(&SimDisk::new(1)), Err(WalError::MissingStore { .. })));
}

#[test]
fn a_store_that_is_written_is_left_alone() {
    let disk = SimDisk::new(5);
    let store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    assert!(matches!(open(&disk), Err(WalError::AlreadyOpen { .. })));
    store.close().unwrap();
    let (one, other) = (open(&disk).unwrap(), open(&disk).unwrap());
    assert!(Store::open(&disk, &options(LogMode::Buffered)).is_err(), "no writer while it lasts");
    drop((one, other));
    Store::open(&disk, &options(LogMode::Buffered)).unwrap();
}

#[test]
fn an_image_that_lacks_its_end_is_read_from_its_beginning() {
    let disk = SimDisk::new(5);
    let store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    let mut image = store.directory.log_source(0).create_image(1, Lsn(4_096), 1).unwrap();
    let place = image.append(b"slice").unwrap();
    image.append_page(b"one").unwrap();
    image.append(&[7; 5_000]).unwrap();
    image.append_page(b"two").unwrap();
    image.finish().unwrap();
    store.close().unwrap();
    let disk = disk.kill();
    let path = file("SNAPSHOTS/000-0000000001.img");
    let whole = disk.bytes(&path);
    for (cut, pages) in [(0, 2), (1, 2), (48, 2), (49, 1), (whole.len() - 4_100, 0)] {
        disk.set_bytes(&path, &whole[..whole.len() - cut]);
        let store = open(&disk).unwrap();
        let source = &store.logs()[0];
        assert_eq!(source.image_numbers(), [1]);
        let image = source.open_image(1).unwrap();
        let (found, damage) = image.pages_left();
        let expected: [&[u8]; 2] = [b"one", b"two"];
        assert!(found == expected[..pages], "{pages} pages without {cut} bytes: {found:?}");
        assert_eq!(damage.is_empty(), cut == 0, "{cut}: {damage:?}");
        let mut slices = Vec::new();
        let read = image.slices(place, |slice| {
            slices.push(slice.to_vec());
            true
        });
        assert_eq!(read.is_ok(), pages > 0, "{cut}");
        assert_eq!(slices.len(), usize::from(pages > 0), "{cut}");
    }
}
