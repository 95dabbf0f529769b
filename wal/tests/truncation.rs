//! Images stand for the beginning of a log: it is read on from either of the two, its old segments are history, and
//! whatever fails in between, nothing is lost.

mod store;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{LOG_COUNT, Oracle, Records, STORE, Store, kind_of, options, sweep, work};
use strata_wal::sim::{FaultKind, Faults, SimDisk};
use strata_wal::{LogMode, Lsn, NamedImage, StoreDirectory, WalError, recover};

/// Records appended between two rounds of images.
const ROUND: u64 = 90;
const ROUNDS: usize = 5;

/// What one log holds: how many records its image stands for, and those behind.
type Held = (u64, Records);

/// Opens the store with the `nth` newest image of every log, or with its beginning where there is no such image.
fn open(disk: &SimDisk, mode: LogMode, nth: usize) -> Result<(Store, Vec<Held>), WalError> {
    let mut directory = StoreDirectory::open(Arc::new(disk.clone()), Path::new(STORE), None, LOG_COUNT, 1)?;
    let (mut logs, mut held, mut reports) = (Vec::new(), Vec::new(), Vec::new());
    for log in 0..LOG_COUNT {
        let source = directory.log_source(log);
        let image = source.images().nth(nth).or_else(|| source.images().nth(1));
        let count = image.map_or(Ok(0), |image| stands_for(&source.open_image(image.number)?))?;
        let mut records = Records::new();
        let (log, report) = recover(&source, options(mode), image.as_ref(), &mut |record| {
            records.push((record.lsn, record.kind, record.body.to_vec()));
            Ok(())
        })?;
        assert_eq!(report.image, image.map(|image| image.number));
        logs.push(log);
        held.push((count, records));
        reports.push(report);
    }
    let ends: Vec<_> = reports.iter().map(|report| report.end).collect();
    directory.begin_boot(&ends)?;
    Ok((Store { directory, logs, found: Vec::new(), reports }, held))
}

/// The image of these tests: the number of records it stands for.
fn stands_for(image: &strata_wal::ImageReader) -> Result<u64, WalError> {
    Ok(u64::from_le_bytes(image.pages()?[0][..].try_into().unwrap()))
}

/// Writes an image of one log, names it, and puts away what it makes unnecessary.
fn make_image(store: &mut Store, log: usize, ends: &[Lsn]) -> Result<(), WalError> {
    let failed = |failed: strata_wal::LogFailed| WalError::Failed { reason: failed.reason };
    let through = store.logs[log].sealed_end();
    store.logs[log].flush().map_err(failed)?;
    let number = store.directory.next_image(log as u32);
    let source = store.directory.log_source(log as u32);
    let mut writer = source.create_image(number, through.lsn, 1)?;
    let count = ends.iter().filter(|end| **end <= through.lsn).count() as u64;
    writer.append_page(&count.to_le_bytes())?;
    writer.finish()?;
    let image = NamedImage { number, through: through.lsn, chain: through.chain };
    let before = source.images().next().map(|image| image.number);
    let durable = store.logs[log].durable_through();
    store.directory.name_image(log as u32, image, before, durable)?;
    store.directory.put_away(log as u32, number, &BTreeSet::new(), Lsn::ZERO).map(drop)
}

/// Rounds of records and images on a disk with these faults; the oracle knows what was promised.
fn run(disk: &SimDisk, mode: LogMode) -> Oracle {
    let mut oracle = Oracle::new();
    let Ok((mut store, _)) = open(disk, mode, 0) else { return oracle };
    for _ in 0..ROUNDS {
        if work(&mut store, &mut oracle, ROUND).is_err() {
            break;
        }
        for log in 0..LOG_COUNT as usize {
            // A failed image is no failure of the log.
            let _ = make_image(&mut store, log, &oracle.ends[log]);
            oracle.note(&store);
        }
    }
    oracle
}

fn check(held: &[Held], oracle: &Oracle, promised: &[Lsn], story: &str) {
    for (log, (count, records)) in held.iter().enumerate() {
        for (index, (_, kind, body)) in (*count..).zip(records) {
            assert_eq!(*kind, kind_of(index), "{story}: kind of record {index} of log {log}");
            assert!(*body == store::body(index), "{story}: record {index} of log {log} is another one");
        }
        let total = *count as usize + records.len();
        let needed = oracle.ends[log].iter().filter(|end| **end <= promised[log]).count();
        assert!(
            (needed..=oracle.ends[log].len()).contains(&total),
            "{story}: log {log} holds {total} records, {needed} were promised"
        );
    }
}

fn names(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|file| file.starts_with(Path::new(STORE).join(dir))).collect()
}

#[test]
fn the_log_is_read_on_from_either_image_and_its_old_segments_are_history() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let disk = SimDisk::new(3);
        let oracle = run(&disk, mode);
        let all: Vec<Lsn> = vec![Lsn(u64::MAX); LOG_COUNT as usize];
        for nth in 0..2 {
            let (store, held) = open(&disk.kill(), mode, nth).unwrap();
            check(&held, &oracle, &all, &format!("{mode:?}, image {nth}"));
            for (log, (count, records)) in held.iter().enumerate() {
                assert!(*count > 0 && records.len() < 2 * ROUND as usize, "{count} and {}", records.len());
                let segments = &store.reports[log].segments;
                let newest_older = store.directory.describe().logs[log].images[1].through;
                assert!(segments[0].first_lsn > Lsn::ZERO, "the first segment is none of the log any more");
                assert!(newest_older.0 < segments[0].first_lsn.0 + segments[0].size);
            }
        }
        assert_eq!(names(&disk, "SNAPSHOTS").len(), 2 * LOG_COUNT as usize, "two images of every log");
        let (live, history) = (names(&disk, "WAL"), names(&disk, "DATA"));
        assert!(
            history.len() >= LOG_COUNT as usize && history[0].ends_with("000-0000000001.seg"),
            "{history:?}"
        );
        assert!(live.len() < history.len() + live.len() && !live.is_empty());
        // Nothing that was put away is needed.
        let without = disk.kill();
        for file in history {
            strata_wal::storage::Storage::remove(&without, &file).unwrap();
        }
        let (_, held) = open(&without, mode, 1).unwrap();
        check(&held, &oracle, &all, &format!("{mode:?}, without history"));
    }
}

#[test]
fn with_a_damaged_newest_image_the_one_before_is_read_on_from() {
    let disk = SimDisk::new(5);
    let oracle = run(&disk, LogMode::Buffered);
    let newest = names(&disk, "SNAPSHOTS").into_iter().find(|name| name.ends_with("000-0000000005.img"));
    disk.flip(&newest.unwrap(), 4_114, 1);
    let disk = disk.kill();
    let refused = open(&disk, LogMode::Buffered, 0).err().expect("the image is damaged");
    assert!(matches!(refused, WalError::Corrupt { .. }), "{refused}");
    let (mut store, held) = open(&disk, LogMode::Buffered, 1).unwrap();
    check(&held, &oracle, &oracle.durable, "the image before");
    // The next image falls back to the one that was used, not to the damaged one.
    let source = store.directory.log_source(0);
    let [_, before] = source.images().collect::<Vec<_>>()[..] else { panic!("two images are named") };
    let number = store.directory.next_image(0);
    assert_eq!(number, 6);
    let end = store.logs[0].sealed_end();
    let mut writer = source.create_image(number, end.lsn, 1).unwrap();
    writer.append_page(&(oracle.ends[0].len() as u64).to_le_bytes()).unwrap();
    writer.finish().unwrap();
    let image = NamedImage { number, through: end.lsn, chain: end.chain };
    store.directory.name_image(0, image, Some(before.number), end.lsn).unwrap();
    assert_eq!(store.directory.describe().logs[0].images, [image, before]);
    assert_eq!(
        store.directory.put_away(0, number, &BTreeSet::new(), Lsn::ZERO).unwrap().images,
        1,
        "the damaged one goes"
    );
}

#[test]
fn whatever_fails_while_images_are_made_nothing_is_lost() {
    for mode in [LogMode::Buffered, LogMode::Direct] {
        let points = {
            let disk = SimDisk::new(3);
            run(&disk, mode);
            disk.points()
        };
        for at in sweep(points, 6) {
            for kind in [FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn, FaultKind::PowerCut] {
                for plan in [Faults::once(at + 1, kind), Faults::forever(at + 1, kind)] {
                    let story = format!("{mode:?}, {kind:?} at point {} of {points}, {plan:?}", at + 1);
                    let disk = SimDisk::new(3);
                    disk.set_faults(plan);
                    let oracle = run(&disk, mode);
                    let mut after = vec![disk.power_cycle(at)];
                    if kind != FaultKind::PowerCut {
                        after.push(disk.kill());
                    }
                    for disk in after {
                        for nth in 0..2 {
                            let opened = open(&disk.kill(), mode, nth);
                            let (mut store, held) = opened.unwrap_or_else(|error| panic!("{story}: {error}"));
                            check(&held, &oracle, &oracle.durable, &story);
                            // Put away what was left lying about, and open once more.
                            for log in 0..LOG_COUNT {
                                store.directory.put_away(log, 1, &BTreeSet::new(), Lsn::ZERO).unwrap();
                            }
                            store.logs.clear();
                        }
                    }
                }
            }
        }
    }
}

/// An image that was finished while an older one was put away was removed with it.
#[test]
fn an_image_that_is_finished_and_not_named_yet_is_not_put_away() {
    let disk = SimDisk::new(3);
    run(&disk, LogMode::Buffered);
    let (mut store, _) = open(&disk.kill(), LogMode::Buffered, 0).unwrap();
    let number = store.directory.next_image(0);
    let writer = store.directory.log_source(0).create_image(number, store.logs[0].sealed_end().lsn, 1);
    writer.unwrap().finish().unwrap();
    assert_eq!(store.directory.put_away(0, number, &BTreeSet::new(), Lsn::ZERO).unwrap().images, 0);
    store.directory.log_source(0).open_image(number).expect("it is still there");
}

/// The order to remove what an image made unnecessary came when there were newer ones, and took away what they refer to.
#[test]
fn what_came_behind_an_image_is_not_put_away_for_it() {
    let disk = SimDisk::new(3);
    run(&disk, LogMode::Buffered);
    let (store, _) = open(&disk.kill(), LogMode::Buffered, 0).unwrap();
    let source = store.directory.log_source(0);
    assert_eq!(source.images().map(|image| image.number).collect::<Vec<_>>(), [5, 4]);
    source.create_image(3, Lsn::ZERO, 1).unwrap().finish().unwrap();
    let put_away = |image, kept: &[u64]| {
        store.directory.put_away(0, image, &kept.iter().copied().collect(), Lsn::ZERO).unwrap().images
    };
    assert_eq!(put_away(2, &[1, 2]), 0, "3 came behind 2");
    assert_eq!(put_away(5, &[3, 4, 5]), 0, "5 or 4 refers to it");
    assert_eq!(put_away(5, &[4, 5]), 1);
}

/// An image that was still being written when its shard was replaced is not named over a newer one.
#[test]
fn an_image_that_does_not_follow_those_that_are_named_is_refused() {
    let disk = SimDisk::new(3);
    run(&disk, LogMode::Buffered);
    let (mut store, _) = open(&disk.kill(), LogMode::Buffered, 0).unwrap();
    let end = store.logs[0].sealed_end();
    let image = |number| NamedImage { number, through: end.lsn, chain: end.chain };
    for (number, before) in [(4, Some(4)), (5, Some(4)), (6, Some(3)), (6, None)] {
        let refused = store.directory.name_image(0, image(number), before, end.lsn).unwrap_err();
        assert!(refused.to_string().contains("does not follow"), "{refused}");
    }
    store.directory.name_image(0, image(6), Some(5), end.lsn).unwrap();
}
