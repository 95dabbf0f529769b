//! The live log: what is staged, written, durable; segments; stalls; statistics.

mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{LOG_COUNT, Oracle, STORE, Store, body, options, read_only, sweep, work};
use strata_wal::disk::Disk;
use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::storage::Storage;
use strata_wal::{AppendError, LogEnd, LogMode, LogOptions, Lsn, StoreDirectory, WalError, recover};

const MODES: [LogMode; 2] = [LogMode::Buffered, LogMode::Direct];

#[test]
fn records_come_back_in_order_with_kind_position_and_body() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        let mut positions = Vec::new();
        for index in 0..20 {
            positions.push(store.append(0, index as u8, &body(index)).unwrap());
            if index % 3 == 0 {
                store.turn(0).unwrap();
            }
        }
        store.close().unwrap();
        let store = Store::open(&disk, &options(mode)).unwrap();
        assert_eq!(store.found[0].len(), 20);
        for (index, (record, appended)) in store.found[0].iter().zip(&positions).enumerate() {
            assert_eq!((record.0, record.1), (appended.lsn, index as u8));
            assert!(record.2 == body(index as u64));
        }
        assert_eq!(store.logs[0].durable_through(), positions[19].end);
        assert_eq!(store.reports[0].records, 20);
    }
}

#[test]
fn a_log_longer_than_what_is_read_at_once_comes_back_whole() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        let sizes = [100, 9000, 70_000, 24, 300_000]; // small batches, and some that lie over the edge of a piece
        let body = |index: usize| vec![index as u8 + 1; sizes[index % sizes.len()]];
        for index in 0..150 {
            store.append(0, index as u8, &body(index)).unwrap();
            store.turn(0).unwrap();
        }
        let disk = disk.kill();
        let store = Store::open(&disk, &options(mode)).unwrap();
        let segments = &store.reports[0].segments;
        // One for each log, and one for each segment of more than a piece.
        let long = segments.iter().filter(|segment| segment.end_offset > 1 << 20).count() as u64;
        assert_eq!((long > 1, disk.queues()), (true, 2 + long), "{segments:?}");
        assert_eq!(store.found[0].len(), 150);
        for (index, record) in store.found[0].iter().enumerate() {
            assert_eq!(record.1, index as u8);
            assert!(record.2 == body(index), "record {index}");
        }
        let disk = disk.kill();
        let without_ring = Store::open(&disk, &LogOptions { ring: false, ..options(mode) }).unwrap();
        assert!(without_ring.found == store.found);
        assert_eq!(disk.queues(), 0);
    }
}

#[test]
fn positions_tell_staged_from_written_from_durable() {
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    let log = &mut store.logs[0];
    assert!(log.is_idle());
    let appended = log.append(1, b"plan").unwrap();
    assert_eq!((appended.lsn, appended.end), (Lsn(4096 + 64), Lsn(4096 + 64 + 24)));
    assert_eq!(log.appended_through(), appended.end);
    assert_eq!((log.written_through(), log.durable_through()), (Lsn::ZERO, Lsn::ZERO));
    assert!(!log.is_idle());
    log.submit().unwrap();
    assert_eq!((log.written_through(), log.durable_through()), (appended.end, Lsn::ZERO));
    assert!(log.sync_due(Instant::now()).is_some_and(|due| due > Duration::from_secs(3000)));
    log.flush().unwrap();
    assert_eq!(log.durable_through(), appended.end);
    assert_eq!(log.sync_due(Instant::now()), None);
    assert!(log.is_idle());
    let next = log.append(1, b"next").unwrap();
    assert_eq!(next.lsn, Lsn(8192 + 64), "what follows a sync begins on a fresh block");
}

#[test]
fn a_buffered_log_syncs_by_time_by_bytes_and_by_request_only() {
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    let syncs = disk.syncs();
    for _ in 0..10 {
        store.append(0, 1, &[1; 100]).unwrap();
        store.turn(0).unwrap();
    }
    assert_eq!(disk.syncs(), syncs, "ten small turns are not yet worth a sync");
    for _ in 0..20 {
        store.append(0, 1, &[1; 1000]).unwrap();
        store.turn(0).unwrap();
    }
    assert_eq!(disk.syncs(), syncs + 1, "more than 16 KiB are");
    store.logs[1].append(1, b"x").unwrap();
    store.logs[1].request_sync();
    store.logs[1].submit().unwrap();
    assert_eq!(disk.syncs(), syncs + 2);
    drop(store);

    let eager = LogOptions { sync_interval: Duration::ZERO, ..options(LogMode::Buffered) };
    let mut store = Store::open(&disk.kill(), &eager).unwrap();
    let appended = store.append(0, 1, b"soon").unwrap();
    while store.logs[0].durable_through() < appended.end {
        store.turn(0).unwrap();
    }
    assert_eq!(store.logs[0].statistics().syncs, 1);
}

#[test]
fn a_direct_log_fills_one_batch_while_another_is_written_and_then_stalls() {
    let disk = (0..64).map(SimDisk::new).find_map(|disk| {
        let mut store = Store::open(&disk, &options(LogMode::Direct)).unwrap();
        store.logs[0].append(1, b"first").unwrap();
        store.logs[0].submit().unwrap();
        (!store.logs[0].is_idle()).then_some(store)
    });
    let mut store = disk.expect("a queue holds what was submitted until it is reaped");
    let log = &mut store.logs[0];
    let mut staged = 0;
    let refusal = loop {
        match log.append(1, &[2; 1000]) {
            Ok(_) => staged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((refusal, staged), (AppendError::Stalled, 8), "a batch holds 8 KiB");
    assert_eq!(log.statistics().writes, 1, "the batch waits for the one in flight");
    assert!(log.reap().unwrap());
    log.append(1, &[2; 1000]).unwrap();
    assert_eq!(log.statistics().writes, 2);
    log.flush().unwrap();
    assert_eq!(log.durable_through(), log.appended_through());
    assert_eq!(log.written_through(), log.durable_through());
}

#[test]
fn a_log_runs_over_many_segments_and_recovers_from_all_of_them() {
    for mode in MODES {
        let disk = SimDisk::new(2);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        for index in 0..400 {
            store.append(0, 1, &[index as u8; 5000]).unwrap();
            store.turn(0).unwrap();
        }
        let statistics = store.logs[0].statistics();
        assert_eq!((statistics.appends, statistics.failures), (400, 0));
        assert!(statistics.segments >= 2 && statistics.bytes > 2_000_000 && statistics.batches > 100);
        let found = disk.kill();
        let store = Store::open(&found, &options(mode)).unwrap();
        let segments = &store.reports[0].segments;
        assert!(segments.len() >= 3 && segments[1].size == 2 * segments[0].size);
        assert!(store.found[0].len() >= if mode == LogMode::Buffered { 400 } else { 398 });
        assert!(store.found[0].iter().enumerate().all(|(index, record)| record.2 == [index as u8; 5000]));
    }
}

#[test]
fn a_record_larger_than_any_segment_gets_one_that_holds_it() {
    for mode in MODES {
        let disk = SimDisk::new(2);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        let large = vec![7; 3_000_000];
        store.append(0, 1, b"before").unwrap();
        let appended = store.append(0, 2, &large).unwrap();
        store.append(0, 3, b"after").unwrap();
        store.logs[0].flush().unwrap();
        assert!(appended.end.0 - appended.lsn.0 >= 3_000_000);
        let store = Store::open(&disk.kill(), &options(mode)).unwrap();
        let kinds: Vec<u8> = store.found[0].iter().map(|record| record.1).collect();
        assert_eq!(kinds, [1, 2, 3]);
        assert!(store.found[0][1].2 == large);
    }
}

#[test]
fn a_spare_too_small_for_a_record_is_passed_over() {
    let disk = SimDisk::new(2);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    while store.directory.describe().logs[0].newest_segment < 2 {
        store.append(0, 1, &[1; 5000]).unwrap();
        store.turn(0).unwrap();
    }
    store.append(0, 2, &vec![2; 2_000_000]).unwrap();
    store.append(0, 3, b"after").unwrap();
    store.close().unwrap();
    let store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    let batches: Vec<u64> = store.reports[0].segments.iter().map(|segment| segment.batches).collect();
    assert!(batches.len() == 3 && batches[1] == 0 && batches[2] > 0, "{batches:?}");
    assert_eq!(store.found[0].last().unwrap().1, 3);
}

#[test]
fn one_segment_is_asked_for_once_and_ahead_of_need() {
    let disk = SimDisk::new(2);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    let log = &mut store.logs[0];
    assert_eq!(log.segment_request(), None, "a small store stays small");
    while log.written_through() < Lsn(140_000) {
        log.append(1, &[1; 5000]).unwrap();
        log.submit().unwrap();
    }
    let request = log.segment_request().unwrap();
    assert_eq!((request.log, request.number, request.first_lsn, request.size), (0, 2, Lsn(262_144), 524_288));
    assert_eq!(log.segment_request(), None);
    let stalled = loop {
        match log.append(1, &[1; 5000]) {
            Ok(_) => log.submit().unwrap(),
            Err(error) => break error,
        }
    };
    assert_eq!(stalled, AppendError::Stalled);
    assert_eq!(log.segment_request(), None, "the first request is still on its way");
    log.offer_segment(store.directory.prepare_segment(&request));
    let appended = store.logs[0].append(1, &[1; 5000]).unwrap();
    assert_eq!(appended.lsn, Lsn(262_144 + 4096 + 64));
}

#[test]
fn without_direct_io_or_ring_a_direct_log_is_durable_all_the_same() {
    for (has_direct, ring) in [(false, true), (true, false)] {
        for seed in sweep(100, 4) {
            let disk = SimDisk::new(seed);
            disk.set_direct(has_direct);
            let options = LogOptions { ring, ..options(LogMode::Direct) };
            let mut store = Store::open(&disk, &options).unwrap();
            let mut oracle = Oracle::new();
            work(&mut store, &mut oracle, 40).unwrap();
            for log in 0..LOG_COUNT as usize {
                store.turn(log).unwrap();
                assert_eq!(store.logs[log].durable_through(), store.logs[log].appended_through());
                assert!(store.logs[log].io_descriptor().is_none());
            }
            oracle.note(&store);
            let store = Store::open(&disk.power_cycle(seed), &options).unwrap();
            oracle.check(&store.found, &oracle.durable, "the slow way");
        }
    }
}

#[test]
fn a_buffered_log_without_a_ring_syncs_itself() {
    let disk = SimDisk::new(1);
    let options = LogOptions { ring: false, ..options(LogMode::Buffered) };
    let mut store = Store::open(&disk, &options).unwrap();
    let appended = store.append(0, 1, b"plan").unwrap();
    store.logs[0].request_sync();
    store.logs[0].submit().unwrap();
    assert_eq!(store.logs[0].durable_through(), appended.end);
    store.close().unwrap();
    assert_eq!(read_only(&disk).unwrap().0[0].len(), 1);
}

#[test]
fn a_record_that_its_reader_refuses_is_damage_at_its_place() {
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    store.append(0, 1, b"fine").unwrap();
    let bad = store.append(0, 9, b"odd").unwrap();
    store.close().unwrap();
    let directory = StoreDirectory::open(Arc::new(disk), Path::new(STORE), None, 1, 0).unwrap();
    let recovered = recover(&directory.log_source(0), options(LogMode::Buffered), None, &mut |record| {
        if record.kind == 9 { Err("unknown kind 9".into()) } else { Ok(()) }
    });
    match recovered.unwrap_err() {
        WalError::Corrupt { offset, reason, .. } => {
            assert_eq!((offset, reason.as_str()), (bad.lsn.0, "unknown kind 9"))
        }
        other => panic!("{other}"),
    }
}

#[test]
#[should_panic(expected = "records are at most")]
fn a_body_of_more_than_a_gibibyte_is_our_own_mistake() {
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    let _ = store.logs[0].append(1, &vec![0; strata_wal::RECORD_BODY_SIZE_MAX + 1]);
}

#[test]
fn a_real_disk_keeps_what_it_was_given() {
    for mode in MODES {
        for ring in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("strata.db");
            let options = LogOptions { ring, ..options(mode) };
            for boot in 0..3_u64 {
                let mut directory = StoreDirectory::open(disk(), &path, None, 1, 7).unwrap();
                let mut count = 0;
                let recovered = recover(&directory.log_source(0), options.clone(), None, &mut |record| {
                    assert!(record.body == body(count));
                    count += 1;
                    Ok(())
                });
                let (mut log, report) = recovered.unwrap();
                assert_eq!((count, report.cut), (boot * 50, None));
                assert_eq!(directory.begin_boot(&[report.end]).unwrap(), boot + 1);
                for index in count..count + 50 {
                    while log.append(0, &body(index)) == Err(AppendError::Stalled) {
                        match log.segment_request() {
                            Some(request) => log.offer_segment(directory.prepare_segment(&request)),
                            None => log.flush().unwrap(),
                        }
                    }
                    log.submit().unwrap();
                    log.reap().unwrap();
                }
                let end: LogEnd = log.close().unwrap();
                if boot != 1 {
                    directory.close(&[end]).unwrap();
                }
            }
        }
    }
}

fn disk() -> Arc<dyn Storage> {
    Arc::new(Disk::new())
}

/// Without direct reads recovery took bytes for durable that a failed sync had left in the page cache, marked clean:
/// its own sync had nothing to do, and a power cut then took what had been served.
#[test]
fn what_is_recovered_is_durable_even_where_nothing_can_be_read_past_the_page_cache() {
    for seed in 0..24 {
        let disk = SimDisk::new(seed);
        disk.set_direct(false);
        let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
        for index in 0..4 {
            store.append(0, 1, &body(index)).unwrap();
        }
        // The write of the turn succeeds, the sync behind it fails.
        disk.set_faults(Faults::once(disk.points() + 2, FaultKind::Error));
        store.logs[0].request_sync();
        while store.turn(0).is_ok() && !store.logs[0].has_failed() {}
        drop(store);

        let recovered = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
        let served = recovered.found[0].clone();
        let after = Store::open(&disk.power_cycle(seed), &options(LogMode::Buffered)).unwrap();
        assert_eq!(after.found[0], served, "seed {seed}: what was served is there after the power is");
    }
}

/// Batches of one record each, which are put into blocks of a mapped segment or written there; a sync leaves a block unfinished every
/// now and then.
#[test]
fn what_a_buffered_log_hands_to_the_kernel_is_there_without_a_close() {
    for disk in [Disk::new(), Disk::without_map(), Disk::without_ring(), Disk::portable()] {
        let dir = tempfile::tempdir().unwrap();
        let (storage, path) = (Arc::new(disk) as Arc<dyn Storage>, dir.path().join("store"));
        let options = LogOptions { unsynced_bytes_max: 40_000, ..options(LogMode::Buffered) };
        let mut store = Store::open_on(Arc::clone(&storage), &path, &options).unwrap();
        let bodies: Vec<Vec<u8>> =
            (0..6_000u64).map(|index| index.to_le_bytes().repeat(10 + index as usize % 20)).collect();
        for body in &bodies {
            store.append(0, 1, body).unwrap();
            store.turn(0).unwrap();
        }
        assert!(store.logs[0].statistics().segments > 0, "the log went on in another segment");
        drop(store);
        let store = Store::open_on(storage, &path, &options).unwrap();
        let found = store.found[0].iter().map(|(_, _, body)| body);
        assert!(found.eq(&bodies), "{:?}", store.reports[0]);
    }
}

/// Bytes that this thread has made dirty, of all files that lie on a device.
fn dirtied() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    written.parse().unwrap()
}

/// The page cache had a prepared segment in pieces of up to 1 MiB, as its zeros were written, and wrote a whole one at each sync of a
/// record that was stored there: the blocks around it too, which were durable.
#[test]
fn a_sync_of_a_few_records_writes_a_few_blocks() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("store");
    let median_of = |fill: u64| {
        let mut store = Store::open_on(disk(), &path, &options(LogMode::Buffered)).unwrap();
        for _ in 0..fill {
            store.append(0, 1, &[7; 60_000]).unwrap();
            store.turn(0).unwrap();
        }
        store.logs[0].flush().unwrap();
        let mut rounds = [(); 101].map(|()| {
            let before = dirtied();
            for _ in 0..3 {
                store.append(0, 1, &[5; 200]).unwrap();
                store.turn(0).unwrap();
            }
            store.logs[0].flush().unwrap();
            dirtied() - before
        });
        rounds.sort_unstable();
        rounds[50]
    };
    // Segments of the smallest size, large ones, and one that recovery has read.
    for fill in [0, 400, 0] {
        let median = median_of(fill);
        assert!(median <= 16 * 4096, "a sync wrote {median} bytes for three records of 200");
    }
}
