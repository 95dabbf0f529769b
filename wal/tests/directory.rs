//! Opening, refusing, counting boots, closing.

mod store;

use std::path::Path;
use std::sync::Arc;

use store::{LOG_COUNT, Oracle, STORE, Store, body, kind_of, options, read_only, work};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;
use strata_wal::{LogMode, StoreDirectory, WalError};

fn open(disk: &SimDisk, wanted: Option<u32>) -> Result<StoreDirectory, WalError> {
    StoreDirectory::open(Arc::new(disk.clone()), Path::new(STORE), wanted, 3, 42)
}

fn manifest() -> std::path::PathBuf {
    Path::new(STORE).join("MANIFEST")
}

#[test]
fn segments_that_were_prepared_and_not_begun_are_given_back_at_the_close() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let disk = SimDisk::new(1);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        // Until a segment is there that no record has reached.
        let mut count = 0;
        let newest = |store: &Store| store.directory.describe().logs[0].newest_segment;
        let begins = |number: u64| {
            let file = Path::new(STORE).join(format!("WAL/000-{number:010}.seg"));
            u64::from_le_bytes(disk.bytes(&file)[56..64].try_into().unwrap())
        };
        while newest(&store) == 1 || begins(newest(&store)) < store.logs[0].sealed_end().lsn.0 {
            store.append(0, kind_of(count), &body(count)).unwrap();
            store.turn(0).unwrap();
            store.logs[0].flush().unwrap();
            count += 1;
        }
        let segments =
            || disk.files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "seg"));
        let before = segments().count();
        let named: Vec<u64> = store.directory.describe().logs.iter().map(|log| log.newest_segment).collect();
        store.close().unwrap();
        assert!(
            segments().count() < before,
            "{mode:?}: {before} segments, then {:?}",
            segments().collect::<Vec<_>>()
        );

        let mut store = Store::open(&disk, &options(mode)).unwrap();
        let kept: Vec<u64> = store.directory.describe().logs.iter().map(|log| log.newest_segment).collect();
        assert!(kept.iter().sum::<u64>() < named.iter().sum::<u64>(), "{mode:?}: {named:?}, then {kept:?}");
        assert_eq!(store.found[0].len() as u64, count);
        for index in count..count + 80 {
            store.append(0, kind_of(index), &body(index)).unwrap();
            store.turn(0).unwrap();
        }
        store.logs[0].flush().unwrap();
        let killed = disk.kill();
        drop(store);
        assert_eq!(Store::open(&killed, &options(mode)).unwrap().found[0].len() as u64, count + 80);
    }
}

#[test]
fn a_store_is_created_where_there_is_nothing_and_its_parents_with_it() {
    let disk = SimDisk::new(1);
    let directory = open(&disk, None).unwrap();
    assert!(directory.was_created());
    assert_eq!((directory.log_count(), directory.boot(), directory.unclean_through()), (3, 0, 0));
    let summary = directory.describe();
    assert_eq!((summary.created_micros, summary.is_clean, summary.damaged_slot), (42, true, None));
    assert_eq!(summary.store, directory.id());
    drop(directory);
    for seed in 0..8 {
        let after = disk.power_cycle(seed);
        assert!(!open(&after, None).unwrap().was_created(), "seed {seed}: the creation was durable");
    }
}

#[test]
fn a_second_opener_is_told_who_owns_the_store() {
    let disk = SimDisk::new(1);
    let owner = open(&disk, None).unwrap();
    let refusal = open(&disk, None).unwrap_err();
    assert!(matches!(&refusal, WalError::AlreadyOpen { owner } if owner.contains("process")), "{refusal}");
    assert!(matches!(read_only(&disk), Err(WalError::AlreadyOpen { .. })));
    drop(owner);
    open(&disk, None).unwrap();
}

#[test]
fn a_store_that_is_there_has_the_logs_it_has_and_who_only_reads_is_refused_with_others() {
    let disk = SimDisk::new(1);
    assert_eq!(open(&disk, Some(2)).unwrap().log_count(), 2);
    assert_eq!(open(&disk, None).unwrap().log_count(), 2);
    assert_eq!(open(&disk, Some(2)).unwrap().log_count(), 2);
    assert_eq!(open(&disk, Some(4)).unwrap().log_count(), 2);
    let refusal = StoreDirectory::open_read_only(Arc::new(disk), Path::new(STORE), Some(4)).unwrap_err();
    assert!(
        matches!(&refusal, WalError::Unsupported { reason } if reason.contains('2') && reason.contains('4'))
    );
    for count in [0, 129, u32::MAX] {
        let disk = SimDisk::new(1);
        assert!(matches!(open(&disk, Some(count)), Err(WalError::Unsupported { .. })));
        assert!(disk.files().is_empty(), "nothing is created for a count that cannot be");
    }
}

#[test]
fn a_foreign_directory_is_refused_and_not_touched() {
    for (name, content) in
        [("notes.txt", &b"mine"[..]), ("MANIFEST", b"{\"name\": \"another project\"}"), ("LOCK2", b"")]
    {
        let disk = SimDisk::new(1);
        disk.create_dir(Path::new(STORE)).unwrap();
        disk.set_bytes(&Path::new(STORE).join(name), content);
        let files = disk.files();
        match open(&disk, None).unwrap_err() {
            WalError::ForeignDirectory { path, found } => {
                assert_eq!((path.as_path(), found.as_str()), (Path::new(STORE), name));
            }
            other => panic!("{other}"),
        }
        assert_eq!(disk.files(), files);
        assert_eq!(disk.writes(), 0);
    }
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("/data")).unwrap();
    disk.set_bytes(Path::new(STORE), b"a file");
    assert!(matches!(open(&disk, None), Err(WalError::NotADirectory { .. })));
    let inside = Path::new(STORE).join("deeper/store");
    let opened = StoreDirectory::open(Arc::new(disk.clone()), &inside, None, 1, 0);
    assert!(matches!(opened, Err(WalError::NotADirectory { .. })), "{opened:?}");
    assert_eq!(disk.bytes(Path::new(STORE)), b"a file");
}

#[test]
fn a_newer_format_is_refused_by_name_before_anything_is_written() {
    let disk = SimDisk::new(1);
    drop(open(&disk, None).unwrap());
    let mut bytes = disk.bytes(&manifest());
    bytes[12..16].copy_from_slice(&9_u32.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[12..16384]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    disk.set_bytes(&manifest(), &bytes);
    let writes = disk.writes();
    let refusal = open(&disk, None).unwrap_err();
    assert!(matches!(refusal, WalError::NewerFormat { found: 9, supported: 2, .. }), "{refusal}");
    assert_eq!(disk.writes(), writes);
}

#[test]
fn boots_are_counted_and_one_that_did_not_close_is_remembered() {
    let disk = SimDisk::new(1);
    let options = options(LogMode::Buffered);
    for boot in 1..=2 {
        let store = Store::open(&disk, &options).unwrap();
        assert_eq!((store.directory.boot(), store.directory.unclean_through()), (boot, 0));
        store.close().unwrap();
    }
    drop(Store::open(&disk, &options).unwrap()); // boot 3 is not closed
    let store = Store::open(&disk, &options).unwrap();
    assert_eq!((store.directory.boot(), store.directory.unclean_through()), (4, 3));
    store.close().unwrap();
    let store = Store::open(&disk, &options).unwrap();
    assert_eq!((store.directory.boot(), store.directory.unclean_through()), (5, 3));
    let summary = store.directory.describe();
    assert_eq!((summary.boot, summary.unclean_through, summary.is_clean), (5, 3, false));
}

#[test]
fn a_boot_that_an_older_manifest_does_not_know_counts_as_one_that_did_not_close() {
    let disk = SimDisk::new(1);
    Store::open(&disk, &options(LogMode::Buffered)).unwrap().close().unwrap();
    let older = disk.bytes(&manifest());
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap(); // boot 2
    work(&mut store, &mut Oracle::new(), 5).unwrap();
    store.logs.iter_mut().for_each(|log| log.flush().unwrap());
    let disk = disk.kill();
    disk.set_bytes(&manifest(), &older);
    let store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    assert_eq!((store.directory.boot(), store.directory.unclean_through()), (3, 2));
    assert_eq!(store.found.iter().map(Vec::len).sum::<usize>(), 5);
}

#[test]
fn either_slot_of_the_manifest_may_be_lost() {
    for slot in 0..2 {
        let disk = SimDisk::new(1);
        let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
        work(&mut store, &mut Oracle::new(), 100).unwrap();
        store.close().unwrap();
        disk.flip(&manifest(), slot * 16384 + 100, 1);
        let store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
        assert_eq!((store.directory.boot(), store.directory.unclean_through()), (2, 0));
        assert_eq!(store.found.iter().map(Vec::len).sum::<usize>(), 100);
    }
}

#[test]
fn a_read_only_open_creates_nothing_writes_nothing_and_sees_everything() {
    let disk = SimDisk::new(1);
    assert!(matches!(read_only(&disk), Err(WalError::MissingStore { .. })));
    assert!(disk.files().is_empty());
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    let mut oracle = Oracle::new();
    work(&mut store, &mut oracle, 30).unwrap();
    store.close().unwrap();
    let (writes, syncs) = (disk.writes(), disk.syncs());
    let (found, reports) = read_only(&disk).unwrap();
    assert_eq!((disk.writes(), disk.syncs()), (writes, syncs));
    assert_eq!(found.iter().map(Vec::len).sum::<usize>(), 30);
    assert_eq!(reports.iter().map(|report| report.records).sum::<u64>(), 30);
    let mut directory =
        StoreDirectory::open_read_only(Arc::new(disk.clone()), Path::new(STORE), None).unwrap();
    assert_eq!(directory.log_count(), LOG_COUNT);
    let ends: Vec<_> = reports.iter().map(|report| report.end).collect();
    assert!(matches!(directory.begin_boot(&ends), Err(WalError::Unsupported { .. })));
}

#[test]
fn opening_a_closed_store_syncs_its_manifest_and_nothing_else() {
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    work(&mut store, &mut Oracle::new(), 30).unwrap();
    store.close().unwrap();
    let syncs = disk.syncs();
    let store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    assert_eq!(disk.syncs(), syncs + 2, "one a slot");
    assert!(
        store.reports.iter().all(|report| report.cut.is_none() && report.durable_through == report.end.lsn)
    );
}
