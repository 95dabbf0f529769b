//! What a log tells of its batches, of how long they waited, and of its syncs.

mod store;

use std::time::Duration;

use store::{Store, options};
use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::{Log, LogMode};

/// Long against what a simulated disk takes, and nothing in a test.
const MOMENT: Duration = Duration::from_millis(5);

fn append(log: &mut Log, count: usize) {
    for _ in 0..count {
        log.append(1, &[7; 100]).unwrap();
    }
}

#[test]
fn the_records_and_bytes_of_each_batch_are_counted() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let mut store = Store::open(&SimDisk::new(1), &options(mode)).unwrap();
        let log = &mut store.logs[0];
        for records in [1, 3, 9] {
            append(log, records);
            log.submit().unwrap();
            log.flush().unwrap();
        }
        let found = log.statistics();
        assert_eq!((found.batches, found.appends), (3, 13), "{mode:?}");
        let records = &found.batch_records;
        let quantiles = [0.33, 0.66, 1.0].map(|quantile| records.quantile(quantile));
        assert_eq!((records.count(), quantiles), (3, [1, 3, 9]), "{mode:?}");
        // A header of 64 bytes, and 9 beside each record's 100, in steps of 8.
        let bytes = &found.batch_bytes;
        let (first, last) = (bytes.quantile(0.33), bytes.max());
        assert_eq!(bytes.count(), 3);
        assert!(
            (165..=192).contains(&first) && (8 * 100..=found.bytes).contains(&last),
            "{mode:?}: {bytes:?}"
        );
    }
}

#[test]
fn a_batch_waits_from_its_first_record_on_until_it_is_where_its_log_takes_it() {
    let mut store = Store::open(&SimDisk::new(1), &options(LogMode::Buffered)).unwrap();
    let log = &mut store.logs[0];
    append(log, 1);
    std::thread::sleep(MOMENT);
    append(log, 1);
    log.submit().unwrap();
    let waited = log.statistics().waits.max();
    assert!(log.statistics().waits.count() == 1 && waited >= MOMENT, "from the first of them: {waited:?}");
    std::thread::sleep(MOMENT);
    log.flush().unwrap();
    assert_eq!(log.statistics().waits.max(), waited, "a buffered batch does not wait for the sync");

    let mut store = Store::open(&SimDisk::new(1), &options(LogMode::Direct)).unwrap();
    let log = &mut store.logs[0];
    append(log, 1);
    log.submit().unwrap();
    assert_eq!(log.statistics().waits.count(), 0, "it is under way");
    std::thread::sleep(MOMENT);
    log.flush().unwrap();
    assert_eq!(log.statistics().waits.count(), 1);
    assert!(log.statistics().waits.max() >= MOMENT, "a direct one waits for the device");
}

#[test]
fn a_sync_takes_from_its_beginning_until_everything_is_on_the_device() {
    let mut store = Store::open(&SimDisk::new(1), &options(LogMode::Buffered)).unwrap();
    let log = &mut store.logs[0];
    append(log, 1);
    log.submit().unwrap();
    std::thread::sleep(MOMENT);
    assert_eq!(log.statistics().sync_times.count(), 0, "nobody has asked for one");
    log.request_sync();
    log.submit().unwrap();
    assert_eq!((log.statistics().syncs, log.statistics().sync_times.count()), (1, 0), "it is under way");
    std::thread::sleep(MOMENT);
    log.flush().unwrap();
    assert_eq!(log.statistics().sync_times.count(), 1);
    assert!(log.statistics().sync_times.max() >= MOMENT);

    let mut store = Store::open(&SimDisk::new(1), &options(LogMode::Direct)).unwrap();
    let log = &mut store.logs[0];
    append(log, 1);
    std::thread::sleep(4 * MOMENT);
    log.submit().unwrap();
    log.flush().unwrap();
    let found = log.statistics();
    assert_eq!((found.syncs, found.sync_times.count()), (1, 1), "a durable write is one");
    assert!(found.sync_times.max() < 4 * MOMENT, "it begins with the write: {:?}", found.sync_times);
    assert!(found.waits.max() >= 4 * MOMENT, "the record has waited before: {:?}", found.waits);
}

#[test]
fn what_failed_is_in_no_distribution() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let disk = SimDisk::new(1);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        let log = &mut store.logs[0];
        append(log, 1);
        disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
        let failed = log.flush();
        assert!(failed.is_err(), "{mode:?}");
        let found = log.statistics();
        assert_eq!((found.batches, found.failures), (1, 1), "{mode:?}");
        assert_eq!((found.batch_records.count(), found.waits.count(), found.sync_times.count()), (1, 0, 0));
    }
}
