//! Reading everything: a store that is whole says so, and of one that is not every damaged place is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata::{
    Clock, Compaction, Database, Durability, EntityRef, Error, ErrorKind, Options, Reads, Retention, RunId,
    RunSpec, VerifyReport, Version, Writes,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use crate::support::versions::{disk, open_at};
use crate::support::{busy_options, open_on, options, script, sim_path};

/// A store with images, segments and history, and the files that belong to it.
fn grown(durability: Durability) -> (SimDisk, Vec<PathBuf>) {
    let disk = SimDisk::new(3);
    let all = Options { retention: Retention::KeepAll, ..busy_options(durability, 2) };
    let database = open_on(&disk, all).unwrap();
    for name in ["a", "b", "c"] {
        script::steps(&script::begin(&database, name).unwrap(), 1..=80);
    }
    let files = database.checkpoint().unwrap().files().unwrap();
    database.close().unwrap();
    (disk, files)
}

fn verified(disk: &SimDisk) -> VerifyReport {
    let storage = Some(Arc::new(disk.clone()) as _);
    let reader =
        Database::start_to_read(sim_path(), options(Durability::Buffered, 2), Clock::System, storage);
    reader.unwrap().verify(|_| {}).unwrap()
}

#[test]
fn all_that_was_written_is_read_and_found_whole_while_writers_write() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let (disk, _) = grown(durability);
        let database = open_on(&disk, busy_options(durability, 2)).unwrap();
        let run = database.run(script::id_of("a"));
        let (mut calls, mut last) = (0, None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..300 {
                    run.put("key", number).unwrap();
                }
            });
            for _ in 0..5 {
                let report = database.verify(|progress| {
                    calls += 1;
                    last = Some(progress);
                });
                let report = report.unwrap();
                assert!(report.damage.is_empty(), "{durability:?}: {:?}", report.damage);
                assert!(report.records >= 243 && report.images >= 3 && report.segments > 4, "{report:?}");
            }
        });
        let last = last.unwrap();
        assert!(calls > 10 && last.logs == (2, 2) && last.images.0 == last.images.1, "{calls}: {last:?}");
    }
}

#[test]
fn every_damaged_place_is_told_with_its_file_and_the_rest_is_read() {
    let (disk, files) = grown(Durability::Buffered);
    let whole = verified(&disk);
    assert!(whole.damage.is_empty(), "{:?}", whole.damage);
    let mut seen = 0;
    assert!(
        ["DATA", "WAL", "SNAPSHOTS"].iter().all(|dir| files.iter().any(|file| is_in(file, dir))),
        "{files:?}"
    );
    for file in &files {
        // A file may have been put away since.
        let put_away = sim_path().join("DATA").join(file_name(file));
        let file = if disk.files().contains(file) { file } else { &put_away };
        let step = if is_in(file, "SNAPSHOTS") { 25 } else { 40 };
        let bytes = disk.bytes(file);
        // Where something is written: behind it a segment has zeros.
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        for place in (4_096..end).step_by(end / step) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            disk.set_bytes(file, &damaged);
            let storage = Some(Arc::new(disk.clone()) as _);
            let open =
                Database::start_to_read(sim_path(), options(Durability::Buffered, 2), Clock::System, storage);
            // What recovery reads itself refuses the store; all else is found by reading everything.
            match open {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
                Ok(reader) => {
                    let report = reader.verify(|_| {}).unwrap();
                    if !may_be_between_batches(&bytes, place) {
                        let told = |damage: &strata::Error| damage.to_string().contains(file_name(file));
                        let is_told = !report.damage.is_empty() && report.damage.iter().all(told);
                        assert!(is_told, "{} at {place}: {:?}", file.display(), report.damage);
                        seen += 1;
                    }
                }
            }
            disk.set_bytes(file, &bytes);
        }
    }
    assert!(seen > 100, "{seen} places were found");
    assert!(verified(&disk).damage.is_empty());
}

/// Whether a byte may lie where nothing was written: after a sync the next batch begins on a fresh block. It may be one of the last of a
/// batch, too, if that ends with zeros.
fn may_be_between_batches(bytes: &[u8], place: usize) -> bool {
    let next_block = place / 4_096 * 4_096 + 4_096;
    bytes[place..next_block.min(bytes.len())].iter().all(|byte| *byte == 0)
}

fn is_in(file: &Path, dir: &str) -> bool {
    file.starts_with(sim_path().join(dir))
}

fn file_name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

#[test]
fn what_is_in_memory_alone_has_nothing_to_be_read() {
    let error = Database::in_memory().unwrap().verify(|_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// A store that keeps all, the records of which lie in the history, in segments as they were written and, where it is sorted, in one
/// file; and the files of the history.
fn with_history(disk: &SimDisk, is_sorted: bool) -> (RunId, RunId, Vec<PathBuf>) {
    let calm = Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) };
    let database = open_at(disk, "store", calm);
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    (0..50).for_each(|number| _ = run.put("key", number).unwrap());
    let fork = run.fork_at(Version(30)).unwrap();
    fork.put("own", 1).unwrap();
    database.checkpoint().unwrap();
    run.put("other", 1).unwrap();
    let kind = if is_sorted { Compaction::Full } else { Compaction::WalOnly };
    database.compact(kind).unwrap();
    run.put("other", 2).unwrap();
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
    let ids = (run.id(), fork.id());
    database.close().unwrap();
    let is_history = |file: &PathBuf| file.parent().is_some_and(|parent| parent.ends_with("DATA"));
    (ids.0, ids.1, disk.files().into_iter().filter(is_history).collect())
}

/// What was kept in it was said to be given up, by a store that keeps all, and nobody who verified was told.
#[test]
fn a_history_that_is_missing_is_damage_wherever_it_is_asked_for() {
    for is_sorted in [false, true] {
        let disk = disk(71);
        let (run, fork, history) = with_history(&disk, is_sorted);
        assert!(!history.is_empty());
        history.iter().for_each(|file| disk.remove(file).unwrap());
        let database = open_at(&disk, "store", options(Durability::Buffered, 1));
        let (run, fork) = (database.run(run), database.run(fork));
        let corrupt = |what: &str, outcome: Result<(), Error>| {
            let error = outcome.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        };
        corrupt("at", run.at(Version(20)).map(drop));
        corrupt("at, in a fork", fork.at(Version(20)).map(drop));
        corrupt("fork", run.fork_at(Version(20)).map(drop));
        corrupt("commits", run.commits(Version(10), 10).map(drop));
        corrupt("history", run.history(&EntityRef::kv(run.id(), "key"), 100, None).map(drop));
        corrupt("replay", run.replay_until(Version(20)).map(drop));
        assert_eq!(run.get("other").unwrap().unwrap().value.as_int(), Some(2), "what is now is there");
        let damage = database.verify(|_| {}).unwrap().damage;
        assert!(!damage.is_empty() && damage.iter().all(|error| error.kind() == ErrorKind::Corrupt));
        assert!(
            damage.iter().any(|error| error.to_string().contains("are kept, and a record is missing")),
            "{damage:?}"
        );
    }
}
