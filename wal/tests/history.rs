//! Records are found by their position, however old they are, until what held them is removed.

mod store;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use store::{Random, STORE, Store, body, kind_of, options};
use strata_wal::sim::SimDisk;
use strata_wal::{GroupId, LogHistory, LogMode, Lsn, NamedImage, WalError};

/// A log with records at these positions, most of which were put away.
fn grown(mode: LogMode) -> (SimDisk, Store, Vec<Lsn>) {
    let disk = SimDisk::new(1);
    let mut store = Store::open(&disk, &options(mode)).unwrap();
    let mut places = Vec::new();
    for round in 0..4 {
        for _ in 0..150 {
            let index = places.len() as u64;
            places.push(store.append(0, kind_of(index), &body(index)).unwrap().lsn);
            store.turn(0).unwrap();
        }
        store.logs[0].flush().unwrap();
        put_away(&mut store, Lsn::ZERO, round == 0);
    }
    (disk, store, places)
}

/// Names an image of the log as it is, and puts away what it makes unnecessary.
fn put_away(store: &mut Store, kept_from: Lsn, is_first: bool) {
    let through = store.logs[0].sealed_end();
    let number = store.directory.next_image(0);
    let source = store.directory.log_source(0);
    source.create_image(number, through.lsn, 1).unwrap().finish().unwrap();
    let before = source.images().next().map(|image| image.number);
    assert_eq!(before.is_none(), is_first);
    let image = NamedImage { number, through: through.lsn, chain: through.chain };
    store.directory.name_image(0, image, before, through.lsn).unwrap();
    store.directory.put_away(0, number, &BTreeSet::new(), kept_from).unwrap();
}

fn history(store: &Store, mode: LogMode) -> LogHistory {
    LogHistory::new(&store.directory.log_source(0), mode).unwrap()
}

fn assert_held(history: &mut LogHistory, places: &[Lsn], index: usize) {
    let record = history.record(GroupId::default(), 0, places[index]).unwrap().expect("the record is there");
    assert_eq!((record.lsn, record.kind), (places[index], kind_of(index as u64)));
    assert!(record.body == body(index as u64), "record {index} is another one");
}

fn names(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|file| file.starts_with(Path::new(STORE).join(dir))).collect()
}

#[test]
fn every_record_is_found_by_its_position_in_any_order() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let (disk, store, places) = grown(mode);
        assert!(names(&disk, "DATA").len() > 2 && !names(&disk, "WAL").is_empty());
        let mut history = history(&store, mode);
        (0..places.len()).for_each(|index| assert_held(&mut history, &places, index));
        (0..places.len()).rev().for_each(|index| assert_held(&mut history, &places, index));
        let mut random = Random(5);
        for _ in 0..500 {
            assert_held(&mut history, &places, random.below(places.len() as u64) as usize);
        }
    }
}

#[test]
fn a_segment_whose_header_is_damaged_costs_its_own_records_alone() {
    let (disk, store, places) = grown(LogMode::Buffered);
    for damaged in names(&disk, "DATA") {
        disk.flip(&damaged, 20, 1);
        let size = disk.bytes(&damaged).len() as u64;
        let mut history = history(&store, LogMode::Buffered);
        let mut lost = Vec::new();
        for (index, place) in places.iter().enumerate() {
            match history.record(GroupId::default(), 0, *place).map(drop) {
                Ok(()) => assert_held(&mut history, &places, index),
                Err(WalError::Corrupt { file, .. }) => {
                    assert_eq!(file, damaged);
                    lost.push(place.0);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(lost.last().unwrap() - lost[0] < size, "{} of {}: {damaged:?}", lost.len(), places.len());
        disk.flip(&damaged, 20, 1);
    }
}

#[test]
fn a_record_whose_segment_is_removed_is_not_there_and_later_ones_are() {
    let (disk, mut store, places) = grown(LogMode::Buffered);
    let before = names(&disk, "DATA").len();
    let mut old = history(&store, LogMode::Buffered);
    put_away(&mut store, places[300], false);
    let kept = names(&disk, "DATA");
    assert!(!kept.is_empty() && kept.len() < before, "{before} segments, then {kept:?}");
    for mut history in
        [history(&store, LogMode::Buffered), std::mem::replace(&mut old, history(&store, LogMode::Buffered))]
    {
        assert_eq!(history.record(GroupId::default(), 0, places[0]).unwrap(), None);
        (300..places.len()).for_each(|index| assert_held(&mut history, &places, index));
        assert_eq!(history.record(GroupId::default(), 0, Lsn(1 << 60)).unwrap(), None);
    }
    // What needs no history goes without passing through it.
    let newest = *places.last().unwrap();
    put_away(&mut store, Lsn(u64::MAX), false);
    assert_eq!(names(&disk, "DATA"), Vec::<PathBuf>::new());
    let index = places.len() - 1;
    assert_eq!(
        history(&store, LogMode::Buffered).record(GroupId::default(), 0, newest).unwrap().unwrap().body,
        body(index as u64)
    );
}

#[test]
fn a_place_without_a_whole_record_is_damage_with_file_and_offset() {
    let (disk, store, places) = grown(LogMode::Buffered);
    let oldest = names(&disk, "DATA")[0].clone();
    // Record 15 is larger than what is read at once; the first segment begins at position 0.
    for (index, at) in [(3, 20), (15, 50_000)] {
        disk.flip(&oldest, places[index].0 + at, 1);
        match history(&store, LogMode::Buffered).record(GroupId::default(), 0, places[index]) {
            Err(WalError::Corrupt { file, offset, reason }) => {
                assert_eq!((file, offset), (oldest.clone(), places[index].0));
                assert!(reason.contains("checksum"), "{reason}");
            }
            other => panic!("record {index}: {other:?}"),
        }
    }
    let inside =
        history(&store, LogMode::Buffered).record(GroupId::default(), 0, places[200].after(8)).unwrap_err();
    assert!(matches!(inside, WalError::Corrupt { .. }), "{inside}");
    // A length that was damaged is not believed: the file ends before it does.
    disk.flip(&oldest, places[5].0 + 3, 5);
    let long = history(&store, LogMode::Buffered).record(GroupId::default(), 0, places[5]).unwrap_err();
    assert!(long.to_string().contains("does not fit its segment"), "{long}");
}
