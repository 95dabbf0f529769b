//! A fault at every I/O call of a mixed workload and of the recovery after it: what was promised is there, nothing
//! else is, and recovering again changes nothing.

mod store;

use std::path::Path;

use store::{Oracle, Store, body, kind_of, options, read_only, sweep, work};
use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::{AppendError, LogMode, LogOptions, WalError};

const RECORD_COUNT: u64 = 90;

const KINDS: [FaultKind; 4] = [FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn, FaultKind::PowerCut];

fn faults(at: u64) -> impl Iterator<Item = (FaultKind, bool, Faults)> {
    KINDS.into_iter().flat_map(move |kind| {
        [(kind, false, Faults::once(at, kind)), (kind, true, Faults::forever(at, kind))]
    })
}

/// Runs the workload on a disk with these faults; whatever happens, the oracle knows what was promised.
fn run(disk: &SimDisk, mode: LogMode) -> Oracle {
    let mut oracle = Oracle::new();
    if let Ok(mut store) = Store::open(disk, &options(mode)) {
        let worked = work(&mut store, &mut oracle, RECORD_COUNT);
        if worked.is_ok() {
            let logs = store.logs.iter().map(|log| log.appended_through()).collect();
            if store.close().is_ok() {
                oracle.durable = logs;
            }
        }
    }
    oracle
}

fn count_points(mode: LogMode) -> u64 {
    let disk = SimDisk::new(3);
    run(&disk, mode);
    disk.points()
}

fn reopened(disk: &SimDisk, mode: LogMode, oracle: &Oracle, story: &str) -> Store {
    let store = Store::open(disk, &options(mode)).unwrap_or_else(|error| panic!("{story}: {error}"));
    oracle.check(&store.found, &oracle.durable, story);
    store
}

fn every_fault_is_survived(mode: LogMode) {
    let points = count_points(mode);
    for at in sweep(points, 5) {
        for (kind, is_forever, plan) in faults(at + 1) {
            let story = format!("{mode:?}, {kind:?} at point {} of {points}, for ever: {is_forever}", at + 1);
            let disk = SimDisk::new(3);
            disk.set_faults(plan);
            let oracle = run(&disk, mode);

            let after_power_loss = disk.power_cycle(at);
            let first = reopened(&after_power_loss, mode, &oracle, &format!("{story}, power loss"));
            let found = first.found.clone();
            drop(first);
            let again = reopened(&after_power_loss.kill(), mode, &oracle, &format!("{story}, again"));
            assert!(again.found == found, "{story}: recovering twice gives the same");
            assert!(again.reports.iter().all(|report| report.cut.is_none()), "{story}: a tail is cut once");

            if kind != FaultKind::PowerCut {
                reopened(&disk.kill(), mode, &oracle, &format!("{story}, kill"));
            }
        }
    }
}

#[test]
fn every_fault_in_a_buffered_workload_is_survived() {
    every_fault_is_survived(LogMode::Buffered);
}

#[test]
fn every_fault_in_a_direct_workload_is_survived() {
    every_fault_is_survived(LogMode::Direct);
}

/// The workload crashes in the middle; then recovery meets a fault at every one of its own calls.
fn every_fault_in_recovery_is_survived(mode: LogMode) {
    let points = count_points(mode);
    for crash in sweep(points, 2) {
        let disk = SimDisk::new(3);
        disk.set_faults(Faults::once(crash + 1, FaultKind::PowerCut));
        let oracle = run(&disk, mode);
        let crashed = disk.power_cycle(crash);
        drop(Store::open(&crashed, &options(mode)));
        let recovery_points = crashed.points();
        for at in sweep(recovery_points, 5) {
            for (kind, is_forever, plan) in faults(at + 1) {
                let story = format!(
                    "{mode:?}, power cut at {}, then {kind:?} at {} in recovery, for ever: {is_forever}",
                    crash + 1,
                    at + 1
                );
                let crashed = disk.power_cycle(crash);
                crashed.set_faults(plan);
                let opened = Store::open(&crashed, &options(mode));
                let is_refused =
                    matches!(opened, Err(WalError::Corrupt { .. } | WalError::ForeignDirectory { .. }));
                assert!(!is_refused, "{story}: a failing call is no damage: {:?}", opened.err());
                drop(opened);
                reopened(&crashed.power_cycle(at), mode, &oracle, &format!("{story}, power loss"));
                if kind != FaultKind::PowerCut {
                    reopened(&crashed.kill(), mode, &oracle, &format!("{story}, kill"));
                }
            }
        }
    }
}

#[test]
fn every_fault_in_the_recovery_of_a_buffered_log_is_survived() {
    every_fault_in_recovery_is_survived(LogMode::Buffered);
}

#[test]
fn every_fault_in_the_recovery_of_a_direct_log_is_survived() {
    every_fault_in_recovery_is_survived(LogMode::Direct);
}

#[test]
fn a_killed_process_loses_nothing_that_the_kernel_had() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        for count in sweep(RECORD_COUNT, 12) {
            let disk = SimDisk::new(count);
            let mut oracle = Oracle::new();
            let mut store = Store::open(&disk, &options(mode)).unwrap();
            work(&mut store, &mut oracle, count).unwrap();
            let after = Store::open(&disk.kill(), &options(mode)).unwrap();
            oracle.check(&after.found, &oracle.written, &format!("{mode:?}, killed after {count} records"));
        }
    }
}

#[test]
fn a_record_whose_sync_was_asked_for_survives_power_loss_with_everything_before_it() {
    for seed in sweep(1_000, 20) {
        let disk = SimDisk::new(seed);
        let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
        let mut oracle = Oracle::new();
        work(&mut store, &mut oracle, 40).unwrap();
        let index = oracle.ends[0].len() as u64;
        let strict = store.append(0, kind_of(index), &body(index)).unwrap();
        oracle.ends[0].push(strict.end);
        store.logs[0].request_sync();
        while store.logs[0].durable_through() < strict.end {
            store.turn(0).unwrap();
        }
        oracle.note(&store);

        let after = Store::open(&disk.power_cycle(seed), &options(LogMode::Buffered)).unwrap();

        assert!(after.found[0].len() as u64 > index, "seed {seed}: the record or one before it is lost");
        oracle.check(&after.found, &oracle.durable, &format!("seed {seed}"));
    }
}

#[test]
fn a_sync_makes_the_segment_before_durable_as_well() {
    let lazy = LogOptions { unsynced_bytes_max: u64::MAX, ..options(LogMode::Buffered) };
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &lazy).unwrap();
    let mut count = 0;
    while store.logs[0].statistics().segments == 0 {
        store.append(0, 1, &[7; 5000]).unwrap();
        store.turn(0).unwrap();
        count += 1;
    }
    assert_eq!(store.logs[0].statistics().syncs, 0, "the first segment is wholly unsynced");
    store.logs[0].request_sync();
    while store.logs[0].durable_through() < store.logs[0].appended_through() {
        store.turn(0).unwrap();
    }
    for seed in 0..8 {
        let after = Store::open(&disk.power_cycle(seed), &lazy).unwrap();
        assert_eq!(after.found[0].len(), count, "seed {seed}");
    }
}

#[test]
fn the_workload_reaches_the_second_segment() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let disk = SimDisk::new(3);
        let oracle = run(&disk, mode);
        let (found, reports) = read_only(&disk.kill()).unwrap();
        oracle.check(&found, &oracle.durable, "no fault");
        assert!(reports.iter().any(|report| report.segments.len() > 1 && report.segments[1].batches > 0));
    }
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    store.append(0, 1, b"unsure").unwrap();
    disk.set_faults(Faults::forever(disk.points() + 2, FaultKind::Error)); // after the write
    store.logs[0].request_sync();
    while store.turn(0).is_ok() {}
    let syncs = disk.syncs();
    disk.set_faults(Faults::none());

    assert!(store.logs[0].has_failed());
    assert_eq!(store.logs[0].append(1, b"more"), Err(AppendError::Failed));
    assert!(store.logs[0].submit().is_err());
    assert!(store.logs[0].reap().is_err());
    assert!(store.logs[0].flush().is_err());
    assert_eq!(store.logs[0].segment_request(), None);
    assert_eq!(disk.syncs(), syncs, "nothing was synced after the failure");
    assert_eq!(store.logs[0].durable_through(), strata_wal::Lsn::ZERO);
    assert_eq!(store.logs[0].statistics().failures, 1);
    store.append(1, 1, b"the other log goes on").unwrap();
}

#[test]
fn a_full_disk_refuses_records_and_takes_them_again_when_space_returns() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let disk = SimDisk::new(1);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        let used: usize = disk.files().iter().map(|file| disk.bytes(file).len()).sum();
        disk.set_capacity(Some(used as u64 + 100_000));
        let mut accepted = Vec::new();
        let refusal = loop {
            match store.append(0, 1, &[7; 3000]) {
                Ok(appended) => accepted.push(appended.end),
                Err(error) => break error,
            }
        };
        assert_eq!(refusal, AppendError::Full);
        assert!(accepted.len() > 50, "the first segment was filled before anything was refused");
        let unnamed = disk.files().iter().filter(|file| file.ends_with("000-0000000002.seg")).count();
        assert_eq!(unnamed, 0, "a refused preparation leaves nothing behind");
        assert_eq!(store.append(0, 1, &[7; 3000]), Err(AppendError::Full), "and it is asked for again");
        store.logs[0].flush().unwrap();

        disk.set_capacity(None);
        let appended = loop {
            match store.append(0, 1, &[7; 3000]) {
                Err(AppendError::Full) => {}
                other => break other.unwrap(),
            }
        };
        assert!(appended.lsn > *accepted.last().unwrap());
        store.close().unwrap();
        let (found, _) = read_only(&disk.kill()).unwrap();
        assert_eq!(found[0].len(), accepted.len() + 1);
    }
}

#[test]
fn a_failed_creation_is_taken_up_where_nothing_was_promised() {
    let disk = SimDisk::new(1);
    drop(Store::open(&disk, &options(LogMode::Buffered)).unwrap());
    for at in 1..=disk.points() {
        let disk = SimDisk::new(1);
        disk.set_faults(Faults::once(at, FaultKind::PowerCut));
        assert!(Store::open(&disk, &options(LogMode::Buffered)).is_err(), "point {at}");
        for seed in 0..8 {
            let after = disk.power_cycle(seed);
            let opened = Store::open(&after, &options(LogMode::Buffered));
            let store = opened.unwrap_or_else(|error| panic!("point {at}, seed {seed}: {error}"));
            assert!(store.found.iter().all(|records| records.is_empty()));
            assert!(after.files().iter().any(|file| file == &Path::new(store::STORE).join("MANIFEST")));
        }
    }
}
