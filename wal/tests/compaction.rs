//! The history of a log is sorted into one file, whatever fails meanwhile, and nobody who reads it notices.

mod store;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{LOG_COUNT, Random, STORE, Store, body, kind_of, options, sweep};
use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::{GroupId, LogHistory, LogMode, Lsn, NamedImage, StoreDirectory, WalError, recover};

/// Appends this many records, and puts away all segments that are full.
fn grow(store: &mut Store, places: &mut Vec<Lsn>, count: u64) -> Result<(), String> {
    for _ in 0..count {
        let index = places.len() as u64;
        places.push(store.append(0, kind_of(index), &body(index)).map_err(|error| error.to_string())?.lsn);
        store.turn(0).map_err(|failed| failed.reason)?;
    }
    store.logs[0].flush().map_err(|failed| failed.reason)?;
    put_away(store, Lsn::ZERO).map_err(|error| error.to_string())
}

/// Names an image of the log as it is, and puts away what that makes unnecessary.
fn put_away(store: &mut Store, kept_from: Lsn) -> Result<(), WalError> {
    let through = store.logs[0].sealed_end();
    let number = store.directory.next_image(0);
    let source = store.directory.log_source(0);
    source.create_image(number, through.lsn, 1)?.finish()?;
    let before = source.images().next().map(|image| image.number);
    let image = NamedImage { number, through: through.lsn, chain: through.chain };
    store.directory.name_image(0, image, before, through.lsn)?;
    store.directory.put_away(0, number, &BTreeSet::new(), kept_from).map(drop)
}

fn group(index: u64) -> GroupId {
    GroupId([(index % 7) as u8; 16])
}

/// How many records are kept, and how many are not.
#[derive(Debug)]
struct Told {
    kept: u64,
    dropped: u64,
}

/// Sorts the history; of the records that `is_kept` knows.
fn compact(
    store: &Store,
    places: &[Lsn],
    sorted_size: Option<usize>,
    is_kept: impl Fn(u64) -> bool,
) -> Result<Told, WalError> {
    let compacted = store.directory.log_source(0).compact_history(
        1,
        sorted_size,
        &mut |record| {
            let index = places.iter().position(|place| *place == record.lsn).ok_or("nobody appended this")?;
            assert!(record.body == body(index as u64), "record {index} is another one");
            Ok(is_kept(index as u64).then(|| group(index as u64)))
        },
        &mut |_| Ok(None),
    )?;
    let told = Told { kept: compacted.kept, dropped: compacted.dropped };
    store.directory.take_compacted(0, compacted)?;
    Ok(told)
}

fn grown(disk: &SimDisk, rounds: usize) -> (Store, Vec<Lsn>) {
    let mut store = Store::open(disk, &options(LogMode::Buffered)).unwrap();
    let mut places = Vec::new();
    (0..rounds).for_each(|_| grow(&mut store, &mut places, 150).unwrap());
    (store, places)
}

fn history(store: &Store) -> LogHistory {
    LogHistory::new(&store.directory.log_source(0), LogMode::Buffered).unwrap()
}

/// Which records are there; each that is, is the right one.
fn held(history: &mut LogHistory, places: &[Lsn]) -> BTreeSet<u64> {
    let is_held = |index: &u64| {
        let record = history.record(group(*index), 0, places[*index as usize]).unwrap();
        assert!(record.is_none_or(|record| record.body == body(*index) && record.kind == kind_of(*index)));
        record.is_some()
    };
    (0..places.len() as u64).filter(is_held).collect()
}

fn names(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|file| file.starts_with(Path::new(STORE).join(dir))).collect()
}

#[test]
fn what_is_sorted_is_found_as_before_and_what_nobody_needs_is_gone() {
    // In memory, in some parts, and in so many that they are merged on the way.
    for sorted_size in [None, Some(20_000), Some(1)] {
        let disk = SimDisk::new(1);
        let (mut store, mut places) = grown(&disk, 4);
        let all: BTreeSet<u64> = (0..places.len() as u64).collect();
        let mut old = history(&store);
        assert_eq!(held(&mut old, &places), all);
        let first = compact(&store, &places, sorted_size, |_| true).unwrap();
        assert_eq!((names(&disk, "DATA").len(), first.dropped), (1, 0));
        assert!(first.kept > 200, "{first:?}");
        // Who had opened the history before goes on reading it, and finds what was sorted meanwhile.
        assert_eq!((held(&mut old, &places), held(&mut history(&store), &places)), (all.clone(), all));
        (0..3).for_each(|_| grow(&mut store, &mut places, 150).unwrap());
        let is_kept = |index: u64| index.is_multiple_of(3) || index > 400;
        let second = compact(&store, &places, sorted_size, is_kept).unwrap();
        assert_eq!(names(&disk, "DATA").len(), 1);
        let sorted = second.kept + second.dropped;
        assert!(sorted > first.kept && second.dropped > 100, "{second:?}");
        let expected: BTreeSet<u64> =
            (0..places.len() as u64).filter(|index| *index >= sorted || is_kept(*index)).collect();
        assert!(held(&mut old, &places).is_superset(&expected), "it may still read the file that was there");
        assert!(held(&mut history(&store), &places) == expected, "what is kept is found");
        let verified = store.directory.log_source(0).verify(Lsn::ZERO, &mut |_, _| Ok(())).unwrap();
        assert_eq!((verified.records, verified.damage.len()), (expected.len() as u64, 0));
        // The same once more is the same file.
        let before = disk.bytes(&names(&disk, "DATA")[0]);
        let third = compact(&store, &places, sorted_size, is_kept).unwrap();
        assert_eq!((third.kept, third.dropped), (second.kept, 0));
        assert!(disk.bytes(&names(&disk, "DATA")[0]) == before, "compaction is deterministic");
        compact(&store, &places, sorted_size, |_| false).unwrap();
        assert_eq!(names(&disk, "DATA"), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_sorted_file_goes_when_nothing_in_it_is_kept() {
    let disk = SimDisk::new(1);
    let (mut store, mut places) = grown(&disk, 4);
    compact(&store, &places, None, |_| true).unwrap();
    grow(&mut store, &mut places, 150).unwrap();
    put_away(&mut store, places[20]).unwrap();
    assert!(names(&disk, "DATA")[0].to_str().unwrap().ends_with(".his"), "some of it may be needed");
    put_away(&mut store, Lsn(u64::MAX)).unwrap();
    assert_eq!(names(&disk, "DATA"), Vec::<PathBuf>::new());
}

#[test]
fn a_sorted_file_whose_header_is_damaged_stays_and_keeps_nothing_else() {
    let disk = SimDisk::new(1);
    let (mut store, mut places) = grown(&disk, 4);
    compact(&store, &places, None, |_| true).unwrap();
    let sorted = names(&disk, "DATA");
    disk.flip(&sorted[0], 20, 1);
    (0..3).for_each(|_| grow(&mut store, &mut places, 150).unwrap());
    assert!(names(&disk, "DATA").len() > 1, "segments are put away beside it");
    put_away(&mut store, Lsn(u64::MAX)).unwrap();
    assert_eq!(names(&disk, "DATA"), sorted, "and go when nobody needs them");
    let mut history = history(&store);
    let told = history.record(group(0), 0, places[0]).map(drop).unwrap_err();
    assert!(matches!(told, WalError::Corrupt { .. }), "{told}");
    let newest = places.len() as u64 - 1;
    let found = history.record(group(newest), 0, places[newest as usize]).unwrap();
    assert!(found.is_some_and(|record| record.body == body(newest)), "what was not sorted is found");
}

#[test]
fn a_log_begins_a_segment_when_it_is_asked_to_and_is_read_over_it() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let disk = SimDisk::new(1);
        let mut store = Store::open(&disk, &options(mode)).unwrap();
        store.logs[0].begin_segment().unwrap();
        assert_eq!(store.logs[0].appended_through(), Lsn::ZERO, "there is nothing before");
        let mut expected = Vec::new();
        for index in 0..20 {
            let appended = store.append(0, kind_of(index), &body(index)).unwrap();
            expected.push((appended.lsn, kind_of(index), body(index)));
            if index % 5 == 4 {
                while store.logs[0].begin_segment().is_err() {
                    store.turn(0).unwrap();
                    store.logs[0].wait();
                }
                let sealed = store.logs[0].sealed_end().lsn;
                assert!(sealed > appended.end);
                assert_eq!(
                    (sealed.0 - 64) % 4096,
                    0,
                    "the batch without records is the first of its segment"
                );
            }
        }
        store.logs[0].flush().unwrap();
        assert_eq!(store.logs[0].durable_through(), store.logs[0].appended_through());
        drop(store);
        let reopened = Store::open(&disk.power_cycle(3), &options(mode)).unwrap();
        assert_eq!(reopened.found[0], expected);
        reopened.close().unwrap();
    }
}

#[test]
fn damage_in_a_sorted_file_is_told_with_its_place_and_sorted_no_further() {
    let disk = SimDisk::new(1);
    let (mut store, mut places) = grown(&disk, 4);
    compact(&store, &places, None, |_| true).unwrap();
    grow(&mut store, &mut places, 300).unwrap();
    let file = names(&disk, "DATA")[0].clone();
    assert_eq!(file, Path::new(STORE).join("DATA").join(file.file_name().unwrap()));
    disk.flip(&file, 4096 + 100, 1);
    let damaged = history(&store).record(group(0), 0, places[0]).unwrap_err();
    assert!(
        matches!(&damaged, WalError::Corrupt { file: told, offset: 4096, .. } if *told == file),
        "{damaged}"
    );
    let last = places.len() as u64 - 1;
    assert!(history(&store).record(group(last), 0, places[last as usize]).unwrap().is_some());
    let before = disk.files();
    let refused = compact(&store, &places, None, |_| true).unwrap_err();
    assert!(matches!(refused, WalError::Corrupt { .. }), "{refused}");
    assert_eq!(disk.files(), before, "nothing has changed");
    let verified = store.directory.log_source(0).verify(Lsn::ZERO, &mut |_, _| Ok(())).unwrap();
    assert_eq!(verified.damage.len(), 1, "{:?}", verified.damage);
}

/// Compacts, appends, compacts again and drops something, on a disk with these faults. Where the records lie, and how many of them
/// are durable.
fn run(disk: &SimDisk) -> (Vec<Lsn>, u64) {
    let (mut places, mut durable) = (Vec::new(), 0);
    let Ok(mut store) = Store::open(disk, &options(LogMode::Buffered)) else { return (places, durable) };
    for is_kept in [|_| true, |index: u64| index.is_multiple_of(2)] {
        let grown = grow(&mut store, &mut places, 250);
        if store.logs[0].durable_through() == store.logs[0].appended_through() {
            durable = places.len() as u64;
        }
        if grown.is_err() {
            break;
        }
        let _ = compact(&store, &places, Some(15_000), is_kept);
    }
    (places, durable)
}

/// Opens the store again, with its newest images.
fn reopen(disk: &SimDisk) -> Result<Store, WalError> {
    let mut directory = StoreDirectory::open(Arc::new(disk.clone()), Path::new(STORE), None, LOG_COUNT, 1)?;
    let (mut logs, mut reports) = (Vec::new(), Vec::new());
    for log in 0..LOG_COUNT {
        let source = directory.log_source(log);
        let image = source.images().next();
        let (log, report) = recover(&source, options(LogMode::Buffered), image.as_ref(), &mut |_| Ok(()))?;
        logs.push(log);
        reports.push(report);
    }
    let ends: Vec<_> = reports.iter().map(|report| report.end).collect();
    directory.begin_boot(&ends)?;
    Ok(Store { directory, logs, found: Vec::new(), reports })
}

/// After a failed sync the page cache shows what the device never got, as long as it likes. Recovery reads past it, and the log went
/// on in another segment; a segment that was put away was read through it again, and said to be damaged.
#[test]
fn what_a_failed_sync_left_in_memory_is_no_damage_of_a_segment_that_was_put_away() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (mut store, mut places) = grown(&disk, 1);
        for index in 0..20 {
            store.append(0, kind_of(index), &body(index)).unwrap();
            store.turn(0).unwrap();
        }
        disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
        store.logs[0].flush().unwrap_err();
        let disk = disk.kill();
        drop(store);
        let mut store = reopen(&disk).unwrap();
        while store.logs[0].begin_segment().is_err() {
            store.turn(0).unwrap();
            store.logs[0].wait();
        }
        let kept = store.logs[0].sealed_end().lsn;
        (0..2).for_each(|_| grow(&mut store, &mut places, 1).unwrap());
        let through = store.logs[0].sealed_end().lsn;
        let verified = store.directory.log_source(0).verify(through, &mut |_, _| Ok(())).unwrap();
        assert!(verified.damage.is_empty(), "seed {seed}: {:?}", verified.damage);
        let compacted =
            store
                .directory
                .log_source(0)
                .compact_history(1, None, &mut |_| Ok(Some(group(0))), &mut |_| Ok(None));
        compacted.unwrap_or_else(|error| panic!("seed {seed}, a segment up to {kept}: {error}"));
    }
}

#[test]
fn whatever_fails_while_history_is_sorted_nothing_that_is_kept_is_lost() {
    let quiet = SimDisk::new(5);
    run(&quiet);
    let mut random = Random(77);
    for point in sweep(quiet.points(), 40) {
        for kind in [FaultKind::Error, FaultKind::NoSpace, FaultKind::PowerCut] {
            let disk = SimDisk::new(5);
            disk.set_faults(Faults::once(point + 1, kind));
            let (places, durable) = run(&disk);
            let disk = if kind == FaultKind::Error { disk.kill() } else { disk.power_cycle(random.next()) };
            let story = format!("{kind:?} at I/O {}", point + 1);
            let store = reopen(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
            let held = held(&mut history(&store), &places[..durable as usize]);
            let missing = (0..durable).find(|index| index % 2 == 0 && !held.contains(index));
            assert_eq!(missing, None, "{story}: of {durable}");
            // It is done with whatever was left.
            compact(&store, &places, Some(15_000), |index| index % 2 == 0)
                .unwrap_or_else(|error| panic!("{story}: {error}"));
            assert!(names(&disk, "DATA").len() <= 1, "{story}: {:?}", names(&disk, "DATA"));
            let verified = store.directory.log_source(0).verify(Lsn::ZERO, &mut |_, _| Ok(())).unwrap();
            assert!(verified.damage.is_empty(), "{story}: {:?}", verified.damage);
        }
    }
}
