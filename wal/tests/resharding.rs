//! Logs that take the place of others: they have numbers of their own, begin with what was sorted for them, and are there in one step.

mod store;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{LOG_COUNT, STORE, Store, options};
use strata_wal::sim::SimDisk;
use strata_wal::{
    GroupId, LogHistory, LogMode, LogSource, Lsn, NamedImage, RecordRef, StoreDirectory, WalError, recover,
};

const RECORDS: u64 = 300;

fn open(disk: &SimDisk) -> StoreDirectory {
    StoreDirectory::open(Arc::new(disk.clone()), Path::new(STORE), None, LOG_COUNT, 1).unwrap()
}

/// Which group a record is of, by its body.
fn group_of(record: RecordRef<'_>) -> Result<Option<GroupId>, String> {
    Ok((record.body[0] != 9).then(|| GroupId([record.body[0]; 16])))
}

/// A store that was closed with an image of each of its logs, and where the records of each stand.
fn closed(disk: &SimDisk) -> Vec<Vec<(Vec<u8>, Lsn)>> {
    let mut store = Store::open(disk, &options(LogMode::Buffered)).unwrap();
    let mut places = vec![Vec::new(); LOG_COUNT as usize];
    for number in 0..RECORDS {
        for (log, places) in places.iter_mut().enumerate() {
            let body = [vec![(number % 10) as u8, log as u8], vec![7; 1_000 + number as usize]].concat();
            let lsn = store.append(log, 1, &body).unwrap().lsn;
            places.push((body, lsn));
        }
    }
    for log in 0..LOG_COUNT {
        store.logs[log as usize].flush().unwrap();
        let through = store.logs[log as usize].sealed_end();
        let number = store.directory.next_image(log);
        let mut writer = store.directory.log_source(log).create_image(number, through.lsn, 1).unwrap();
        writer.append_page(b"all").unwrap();
        writer.finish().unwrap();
        let image = NamedImage { number, through: through.lsn, chain: through.chain };
        let durable = store.logs[log as usize].durable_through();
        store.directory.name_image(log, image, None, durable).unwrap();
    }
    store.close().unwrap();
    places
}

fn write_images(log: &LogSource) {
    for number in LogSource::FIRST_IMAGES {
        let mut writer = log.create_image(number, LogSource::FIRST_LSN, 1).unwrap();
        writer.append_page(b"all").unwrap();
        writer.finish().unwrap();
    }
}

#[test]
fn records_of_logs_that_were_replaced_are_found_where_they_stood() {
    let disk = SimDisk::new(1);
    let places = closed(&disk);
    let mut directory = open(&disk);
    let logs = directory.new_logs(3).unwrap();
    assert_eq!(logs.iter().map(LogSource::log).collect::<Vec<_>>(), [2, 3, 4]);
    let place = |group: GroupId| usize::from(group.0[0] % 3);
    let kept = directory.sort_history(&logs, 1, None, &mut group_of, &place).unwrap();
    // Of ten groups of each log nine are kept: 0, 3, 6 in the first, and so on.
    assert_eq!(kept, [2 * 3 * RECORDS / 10; 3]);
    logs.iter().for_each(write_images);
    directory.take_logs(&logs).unwrap();
    assert_eq!(directory.logs(), 2..5);

    let ends: Vec<_> = directory.logs().map(|log| directory.log_source(log)).collect();
    let ends = ends.iter().map(|source| {
        let newest = source.images().next().unwrap();
        let mut none = |_: RecordRef<'_>| Err("nothing is in it".to_string());
        recover(source, options(LogMode::Buffered), Some(&newest), &mut none).unwrap().1.end
    });
    let ends: Vec<_> = ends.collect();
    directory.begin_boot(&ends).unwrap();
    let files = disk.files();
    let is_old = |file: &Path| ["000-", "001-"].iter().any(|old| file.to_string_lossy().contains(old));
    assert!(!files.iter().any(|file| is_old(file)), "{files:?}");
    for (log, places) in (0..).zip(&places) {
        for (body, lsn) in places {
            let group = GroupId([body[0]; 16]);
            let number = 2 + place(group) as u32;
            let mut history = LogHistory::new(&directory.log_source(number), LogMode::Buffered).unwrap();
            let found = history.record(group, log, *lsn).unwrap();
            assert_eq!(found.map(|record| record.body.to_vec()), (body[0] != 9).then(|| body.clone()));
        }
    }
}

#[test]
fn a_store_that_is_not_closed_or_imaged_gets_no_other_logs() {
    let disk = SimDisk::new(2);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    assert!(matches!(store.directory.new_logs(3), Err(WalError::Corrupt { .. })), "it is not closed");
    store.append(0, 1, b"record").unwrap();
    store.close().unwrap();
    assert!(matches!(open(&disk).new_logs(3), Err(WalError::Corrupt { .. })), "a record is in no image");
}

#[test]
fn logs_without_their_images_are_not_taken_and_what_was_written_for_them_goes() {
    let disk = SimDisk::new(3);
    closed(&disk);
    let mut directory = open(&disk);
    let before = disk.files();
    let logs = directory.new_logs(3).unwrap();
    directory.sort_history(&logs, 1, None, &mut group_of, &|_| 0).unwrap();
    logs[..2].iter().for_each(write_images);
    assert!(matches!(directory.take_logs(&logs), Err(WalError::Corrupt { .. })));
    assert_eq!((directory.logs(), directory.log_count()), (0..LOG_COUNT, LOG_COUNT));
    assert!(directory.remove_foreign().unwrap() > 5);
    assert_eq!(disk.files(), before);
}

// Memory was shared out among the old logs, so that each wrote files of its share, and all were opened at once to be merged: of 63 logs
// of 64 MiB more than a process may have open.
#[test]
fn the_files_that_are_merged_are_no_more_for_many_logs() {
    let disk = SimDisk::new(4);
    closed(&disk);
    let directory = open(&disk);
    let logs = directory.new_logs(3).unwrap();
    let (size, is_part) = (64 << 10, |file: &PathBuf| file.extension().is_some_and(|kind| kind == "part"));
    let (sorted, parts) = (Cell::new(0), Cell::new(0));
    let mut keep = |record: RecordRef<'_>| {
        sorted.set(sorted.get() + record.body.len());
        group_of(record)
    };
    let place = |_| {
        parts.set(parts.get().max(disk.files().iter().filter(|file| is_part(file)).count()));
        0
    };
    directory.sort_history(&logs, 1, Some(size), &mut keep, &place).unwrap();
    assert!((2..=sorted.get() / size).contains(&parts.get()), "{} parts of {}", parts.get(), sorted.get());
    assert!(!disk.files().iter().any(is_part), "and they are removed");
}
