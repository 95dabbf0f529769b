//! A salvage dumps what is proven, and nothing else: of a whole store exactly what it answers, of a damaged one only what runs were at some
//! version, and every run that the damage does not touch.
//!
//! By default a sample of the damage is tried, another one every time; `STRATA_SWEEP=full` tries much more.

mod dump;
pub(crate) mod grown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata::{
    Damage, Database, Durability, ErrorKind, KvScan, Options, Reads, Retention, RunId, RunSpec,
    SalvageOutcome, SalvageReport, SalvagedRun, Value, Writes, salvage_from,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use crate::support::{Dice, TestClock, eventually, is_segment, open_on, options, seed, sim_path, sweep};

use dump::dumped;
use grown::{Ending, Grown, SHARDS, grow, log_of};

/// Salvages the store, and compares every run with what it was at the version that is told.
fn salvaged(grown: &Grown, story: &str) -> SalvageReport {
    let scratch = tempfile::tempdir().unwrap();
    let into = scratch.path().join("dump");
    let before = bytes_of(&grown.disk);
    let report = salvage_from(&sim_path(), Some(Arc::new(grown.disk.clone())), &into)
        .unwrap_or_else(|error| panic!("{error}: {story}"));
    assert!(bytes_of(&grown.disk) == before, "the store has changed: {story}");
    for run in &report.runs {
        let known = grown.runs.get(&run.id).unwrap_or_else(|| panic!("run {} is invented: {story}", run.id));
        let what = format!("run {} at {}: {story}", run.id, run.version);
        assert!(run.version <= run.known && run.known.0 <= known.newest(), "{what}");
        assert_eq!(run.stopped.is_some(), run.version < run.known, "{what}: {run:?}");
        match run.outcome {
            SalvageOutcome::Whole | SalvageOutcome::Partial => {
                assert_eq!(run.outcome == SalvageOutcome::Whole, run.version == run.known, "{what}");
                let file = into.join(run.file.as_ref().unwrap());
                assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count() as u64, run.lines);
                let was = known.versions.get(&run.version.0);
                assert_eq!(Some(&dumped(&file)), was, "{what}");
            }
            SalvageOutcome::Deleted => assert!(known.deleted.contains(&run.version.0), "{what}"),
            SalvageOutcome::Lost => assert_eq!((run.version.0, &run.file), (0, &None), "{what}"),
        }
    }
    let files = std::fs::read_dir(&into).unwrap().count();
    assert_eq!(files, 1 + report.runs.iter().filter(|run| run.file.is_some()).count(), "{story}");
    report
}

fn bytes_of(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files().into_iter().map(|file| (file.clone(), disk.bytes(&file))).collect()
}

fn found(report: &SalvageReport, run: RunId) -> Option<&SalvagedRun> {
    report.runs.iter().find(|found| found.id == run)
}

/// These runs are as they were last.
fn expect_newest<'a>(
    grown: &Grown,
    report: &SalvageReport,
    runs: impl IntoIterator<Item = &'a RunId>,
    story: &str,
) {
    for run in runs {
        let known = &grown.runs[run];
        let found = found(report, *run).unwrap_or_else(|| panic!("run {run} is not told of: {story}"));
        let outcome = if known.is_deleted() { SalvageOutcome::Deleted } else { SalvageOutcome::Whole };
        assert_eq!(
            (found.outcome, found.version.0),
            (outcome, known.newest()),
            "run {run}: {found:?}: {story}"
        );
    }
}

fn stores(steps: u64) -> impl Iterator<Item = Grown> {
    stores_of(seed(), steps)
}

fn stores_of(seed: u64, steps: u64) -> impl Iterator<Item = Grown> {
    let mut dice = Dice::new(seed);
    let durabilities = [Durability::Strict, Durability::Buffered];
    durabilities.into_iter().flat_map(move |durability| {
        let seeds = [0, 1, 1].map(|checkpoints| dice.roll() & !1 | checkpoints);
        [Ending::Closed, Ending::Killed, Ending::PowerCut]
            .into_iter()
            .zip(seeds)
            .map(move |(ending, seed)| grow(seed, durability, ending, steps))
    })
}

#[test]
fn a_whole_store_is_dumped_as_it_answers() {
    let mut data_count = 0;
    for grown in stores(400) {
        let story = &grown.story;
        let report = salvaged(&grown, story);
        let is_cut = story.contains("PowerCut") && story.contains("Buffered");
        if !is_cut {
            expect_newest(&grown, &report, grown.runs.keys(), story);
            assert_eq!(report.runs.len(), grown.runs.len(), "{story}");
        }
        if story.contains("Closed") {
            assert_eq!(report.damage, [], "{story}");
            assert!(report.runs.iter().all(|run| run.doubt.is_none() && run.is_confirmed), "{story}");
            for dir in ["WAL", "SNAPSHOTS"] {
                assert!(files_in(&grown.disk, dir).len() >= SHARDS, "{dir}: {story}");
            }
            data_count += files_in(&grown.disk, "DATA").len();
            let has = |outcome| report.runs.iter().any(|run| run.outcome == outcome);
            assert!(has(SalvageOutcome::Whole), "{story}");
        }
    }
    assert!(data_count >= SHARDS, "some of them have history: {data_count}");
}

fn files_in(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|file| file.starts_with(sim_path().join(dir))).collect()
}

/// Damages a file, and says how.
fn damage(disk: &SimDisk, file: &Path, dice: &mut Dice) -> String {
    let mut bytes = disk.bytes(file);
    // Where something is written: behind it a segment has zeros.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |at| at + 1);
    let at = match dice.below(4) {
        0 => dice.below(end.min(4_096) as u64) as usize,
        _ => dice.below(end as u64) as usize,
    };
    // Of an empty file nothing can be damaged: a kill may leave one that was just begun.
    let kind = if bytes.is_empty() { 4 } else { dice.below(5) };
    let what = ["flipped a bit", "flipped a bit", "zeroed a block", "cut", "removed"][kind as usize];
    match kind {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => {
            let block = at / 4_096 * 4_096;
            let until = (block + 4_096).min(bytes.len());
            bytes[block..until].fill(0);
        }
        3 => bytes.truncate(at),
        _ => {
            disk.remove(file).unwrap();
            return format!("{what} {}", file.display());
        }
    }
    disk.set_bytes(file, &bytes);
    format!("{what} {} at {at}", file.display())
}

fn mend(disk: &SimDisk, whole: &BTreeMap<PathBuf, Vec<u8>>) {
    for (file, bytes) in whole {
        if !disk.files().contains(file) || disk.bytes(file) != *bytes {
            disk.set_bytes(file, bytes);
        }
    }
}

/// The runs that are whole although this file is damaged.
fn untouched(
    grown: &Grown,
    file: &Path,
    holders: &BTreeMap<PathBuf, std::collections::BTreeSet<RunId>>,
) -> Vec<RunId> {
    let (log, keeps_all) = (log_of(file), grown.retention == Retention::KeepAll);
    let is_in = |dir: &str| file.starts_with(sim_path().join(dir));
    let is_archive = file.extension().is_some_and(|extension| extension == "arc");
    let is_untouched = |run: &RunId| {
        let of_log = u32::from(run.placement()) % SHARDS as u32;
        match log {
            // MANIFEST and LOCK.
            None => true,
            Some(log) if log != of_log => true,
            // What an image shows the log leads to as well, where all of that is kept.
            Some(_) if is_in("SNAPSHOTS") => {
                keeps_all && grown.line_of(*run).iter().all(|run| !is_trimmed(grown, *run))
            }
            // What was put away is in the images, but for what forks and imported runs began as.
            Some(_) if is_in("DATA") && !is_archive && grown.runs[run].parent.is_none() => true,
            Some(_) => grown.line_of(*run).iter().all(|run| !holders[file].contains(run)),
        }
    };
    grown.runs.keys().filter(|run| is_untouched(run)).copied().collect()
}

/// Whether a run that keeps all otherwise gave up some of its history by itself.
fn is_trimmed(grown: &Grown, run: RunId) -> bool {
    let known = &grown.runs[&run];
    !known.deleted.is_empty() || known.versions.values().any(|version| version.contains("Some(\"last 2\")"))
}

/// What the store answers where it still opens is salvaged.
fn expect_what_opens(grown: &Grown, report: &SalvageReport, story: &str) {
    let (options, storage) = (options(Durability::Buffered, SHARDS), Arc::new(grown.disk.clone()));
    let clock = TestClock::at(1_760_000_000_000_000).clock();
    let Ok(reader) = Database::start_to_read(sim_path(), options, clock, Some(storage)) else { return };
    for id in grown.runs.keys() {
        let run = reader.run(*id);
        // A description alone does not need the run's image.
        let is_read = run.list_values(&KvScan::default()).is_ok() && run.event_count().is_ok();
        if let (true, Ok(info)) = (is_read, run.info()) {
            let found = found(report, *id).unwrap_or_else(|| panic!("run {id} is not told of: {story}"));
            assert!(found.version >= info.version, "run {id} opens at {}: {found:?}: {story}", info.version);
        }
    }
    reader.close().unwrap();
}

/// Of a store whose end MANIFEST knows, every run that is not as it was last says so, or that it may be.
fn expect_told(grown: &Grown, report: &SalvageReport, story: &str) {
    for (id, known) in &grown.runs {
        let found = found(report, *id);
        let is_newest = found.is_some_and(|found| found.version.0 == known.newest());
        let is_told = found.is_some_and(|found| found.stopped.is_some() || found.doubt.is_some());
        assert!(
            is_newest || is_told || found.is_none(),
            "run {id} of {}: {found:?}: {story}",
            known.newest()
        );
        assert!(is_newest || !report.damage.is_empty(), "run {id} of {}: {found:?}: {story}", known.newest());
    }
}

fn tries(sample: u64, full: u64) -> u64 {
    if sweep::is_full() { full } else { sample }
}

#[test]
fn damage_to_one_file_costs_no_run_that_has_nothing_in_it_and_nothing_is_invented() {
    let mut dice = Dice::new(seed());
    let (mut partial, mut lost) = (0, 0);
    // Of some handfuls of stores none has a run that can be lost in part.
    for _ in 0..6 {
        for grown in stores_of(dice.roll(), tries(250, 400)) {
            if grown.story.contains("PowerCut") && grown.story.contains("Buffered") {
                continue; // what was not lost with the power is not known exactly
            }
            let (whole, holders) = (bytes_of(&grown.disk), grown.holders());
            for file in whole.keys() {
                let is_live = file.starts_with(sim_path().join("WAL"));
                for _ in 0..tries(if is_live { 5 } else { 1 }, 40) {
                    let story = format!("{}: {}", grown.story, damage(&grown.disk, file, &mut dice));
                    let report = salvaged(&grown, &story);
                    expect_newest(&grown, &report, &untouched(&grown, file, &holders), &story);
                    expect_what_opens(&grown, &report, &story);
                    if grown.story.contains("Closed") && !file.ends_with("MANIFEST") {
                        expect_told(&grown, &report, &story);
                    }
                    partial +=
                        report.runs.iter().filter(|run| run.outcome == SalvageOutcome::Partial).count();
                    lost += report.runs.iter().filter(|run| run.outcome == SalvageOutcome::Lost).count();
                    mend(&grown.disk, &whole);
                }
            }
        }
        if partial > 0 && lost > 0 {
            break;
        }
    }
    println!("{partial} runs were partial, {lost} were lost");
    assert!(partial > 0 && lost > 0, "{partial} runs were partial, {lost} were lost");
}

#[test]
fn damage_to_many_files_at_once_invents_nothing() {
    let mut dice = Dice::new(seed());
    for grown in stores(250) {
        let whole = bytes_of(&grown.disk);
        let files: Vec<&PathBuf> = whole.keys().filter(|file| !file.ends_with("LOCK")).collect();
        for _ in 0..tries(10, 400) {
            let mut story = grown.story.clone();
            for _ in 0..2 + dice.below(6) {
                let file = files[dice.below(files.len() as u64) as usize];
                if grown.disk.files().contains(file) && !grown.disk.bytes(file).is_empty() {
                    story += &format!(", {}", damage(&grown.disk, file, &mut dice));
                }
            }
            salvaged(&grown, &story);
            mend(&grown.disk, &whole);
        }
    }
}

#[test]
fn a_store_without_manifest_is_read_by_the_headers_of_its_files() {
    for grown in stores(300) {
        if grown.story.contains("PowerCut") && grown.story.contains("Buffered") {
            continue;
        }
        let manifest = sim_path().join("MANIFEST");
        for is_there in [true, false] {
            match is_there {
                true => grown.disk.set_bytes(&manifest, &[0xab; 32_768]),
                false => grown.disk.remove(&manifest).unwrap(),
            }
            let story = format!("{}, MANIFEST {is_there}", grown.story);
            let report = salvaged(&grown, &story);
            expect_newest(&grown, &report, grown.runs.keys(), &story);
            assert!(report.damage.iter().any(|damage| damage.file == manifest), "{:?}", report.damage);
        }
    }
}

/// A checkpoint that was finished, and the crash came before MANIFEST named its image and took back the commits it shows.
#[test]
fn a_log_that_nothing_was_written_to_is_whole() {
    let disk = SimDisk::new(seed());
    let options = |shards| Options { shards: Some(shards), ..Options::default() };
    let expect_whole = |runs: usize, story: &str| {
        let scratch = tempfile::tempdir().unwrap();
        let into = scratch.path().join("dump");
        let report = salvage_from(&sim_path(), Some(Arc::new(disk.clone())), &into).unwrap();
        assert_eq!((report.damage, report.runs.len()), (vec![], runs), "{story}");
    };
    open_on(&disk, options(2)).unwrap().close().unwrap();
    expect_whole(0, "nothing was ever written");
    let database = open_on(&disk, options(2)).unwrap();
    database.create_run(RunSpec::named("one")).unwrap().put("key", 1).unwrap();
    database.close().unwrap();
    expect_whole(1, "one of two logs has all there is");
    open_on(&disk, options(3)).unwrap().close().unwrap();
    expect_whole(1, "moved to other logs");
}

#[test]
fn an_image_that_a_crash_left_behind_counts_for_nothing() {
    let options = || options(Durability::Strict, 1);
    let open = |disk: &SimDisk, micros: u64| {
        let clock = TestClock::at(1_750_000_000_000_000 + micros).clock();
        Database::start(Some(sim_path()), options(), clock, Some(Arc::new(disk.clone()))).unwrap()
    };
    let disk = SimDisk::new(seed());
    let database = open(&disk, 0);
    let id = database.create_run(RunSpec::named("run")).unwrap().id();
    let before = disk.kill();
    drop(database);
    let (taken_back, disk) = (before.kill(), before.kill());
    let database = open(&taken_back, 10);
    for number in 0..3 {
        database.run(id).put("key", format!("taken back {number}")).unwrap();
    }
    drop(database.checkpoint().unwrap());
    let taken_back = taken_back.kill();
    drop(database);
    let image = files_in(&taken_back, "SNAPSHOTS").pop().unwrap();
    for commits in [0, 1, 3, 6] {
        let disk = disk.kill();
        let database = open(&disk, 1_000);
        for number in 0..commits {
            database.run(id).put("key", number as i64).unwrap();
        }
        let disk = disk.kill();
        drop(database);
        disk.create_dir(image.parent().unwrap()).unwrap();
        disk.set_bytes(&image, &taken_back.bytes(&image));
        for has_manifest in [true, false] {
            if !has_manifest {
                disk.remove(&sim_path().join("MANIFEST")).unwrap();
            }
            let scratch = tempfile::tempdir().unwrap();
            let report =
                salvage_from(&sim_path(), Some(Arc::new(disk.clone())), &scratch.path().join("dump"))
                    .unwrap();
            let [run] = &report.runs[..] else { panic!("{report:?}") };
            let lines = std::fs::read_to_string(scratch.path().join("dump").join(run.file.as_ref().unwrap()))
                .unwrap();
            assert!(!lines.contains("taken back"), "{commits} commits, MANIFEST {has_manifest}: {lines}");
            assert_eq!(run.version.0, 1 + commits, "MANIFEST {has_manifest}: {run:?}");
        }
    }
}

#[test]
fn in_place_of_a_damaged_image_the_one_before_it_and_the_log_are_taken() {
    let disk = SimDisk::new(seed());
    let options = Options { retention: Retention::KeepLast(1), ..options(Durability::Buffered, 1) };
    let database = open_on(&disk, options).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for round in 0..5 {
        for number in 0..40 {
            run.put(&format!("key/{number}"), Value::Bytes(vec![round; 20_000])).unwrap();
        }
        drop(database.checkpoint().unwrap());
    }
    let first = sim_path().join("WAL/000-0000000001.seg");
    eventually("the first segment is put away", || {
        // Each checkpoint is held until it is dropped, so it is a later one that puts things away.
        run.put("key/0", 1).unwrap();
        drop(database.checkpoint().unwrap());
        !disk.files().contains(&first)
    });
    let newest_version = run.info().unwrap().version.0;
    let disk = disk.kill();
    drop(database);
    let version = |disk: &SimDisk| {
        let scratch = tempfile::tempdir().unwrap();
        let report = salvage_from(&sim_path(), Some(Arc::new(disk.clone())), &scratch.path().join("dump"));
        let [run] = &report.unwrap().runs[..] else { panic!("there is one run") };
        (run.outcome, run.version.0)
    };
    let images = files_in(&disk, "SNAPSHOTS");
    let newest = images.last().unwrap();
    let whole = disk.bytes(newest);
    for at in (0..whole.len()).step_by(whole.len() / 25) {
        disk.flip(newest, at as u64, 4);
        assert_eq!(version(&disk), (SalvageOutcome::Whole, newest_version), "a bit at {at}");
        disk.set_bytes(newest, &whole);
    }
    disk.remove(newest).unwrap();
    assert_eq!(version(&disk), (SalvageOutcome::Whole, newest_version));
    images.iter().filter(|image| *image != newest).for_each(|image| disk.remove(image).unwrap());
    assert_eq!(version(&disk), (SalvageOutcome::Lost, 0), "the log alone does not reach back far enough");
}

#[test]
fn what_is_lost_is_told_with_file_offset_and_reason() {
    let mut dice = Dice::new(seed());
    // The last thing that was done may have been to compact: then no segment begins with a batch that has records. And where the log alone
    // does not reach back to the beginning of a run, that is stopped before.
    let found = (0..20).find(|_| {
        let grown = grow(dice.roll(), Durability::Strict, Ending::Closed, 300);
        let has_records = |file: &PathBuf| {
            let bytes = grown.disk.bytes(file);
            is_segment(file) && bytes[4_096 + 52..4_096 + 56] != [0; 4]
        };
        let mut segments = files_in(&grown.disk, "WAL").into_iter().chain(files_in(&grown.disk, "DATA"));
        let Some(segment) = segments.find(has_records) else { return false };
        let log = log_of(&segment).unwrap();
        for file in files_in(&grown.disk, "SNAPSHOTS").into_iter().filter(|file| log_of(file) == Some(log)) {
            grown.disk.remove(&file).unwrap();
        }
        let before = salvaged(&grown, &grown.story);
        let mut bytes = grown.disk.bytes(&segment);
        bytes[4_096 + 80] ^= 1;
        grown.disk.set_bytes(&segment, &bytes);
        let report = salvaged(&grown, &grown.story);
        let told = |damage: &Damage| damage.file == segment && damage.reason.contains("checksum");
        let is_told = report.damage.iter().any(|damage| told(damage) && damage.offset >= 4_096);
        assert!(is_told, "{:?}: {}", report.damage, grown.story);
        let mut has_touched = false;
        for run in before.runs.iter().filter(|run| run.stopped.is_none()) {
            let Some(now) = found(&report, run.id) else { continue };
            // What is lost with the batch may have been the newest commit of its run: then only a doubt can be told.
            let is_told = now.stopped.iter().chain(&now.doubt).any(told);
            assert!(now.version == run.version || is_told, "{now:?}: {}", grown.story);
            has_touched |= is_told;
        }
        has_touched
    });
    assert!(found.is_some(), "some store ends otherwise");
}

#[test]
fn a_dump_is_made_only_in_a_new_directory_outside_of_the_store_and_of_a_store_that_nobody_writes() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, into) = (scratch.path().join("strata.db"), scratch.path().join("dump"));
    let refused = |into: &Path| strata::salvage(&path, into).unwrap_err().kind();
    assert_eq!(refused(&into), ErrorKind::NotFound);
    let database = strata::Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    assert_eq!(refused(&into), ErrorKind::AlreadyOpen);
    assert!(!into.exists(), "nothing is made for a store that cannot be read");
    database.close().unwrap();
    for inside in [path.join("dump"), path.join("WAL/deeper/dump"), path.clone()] {
        assert_eq!(refused(&inside), ErrorKind::InvalidArgument, "{}", inside.display());
    }
    assert_eq!(refused(&scratch.path().join("missing/../strata.db/dump")), ErrorKind::InvalidArgument);
    let reader = strata::Database::open_read_only(&path, options(Durability::Buffered, 1)).unwrap();
    let report = strata::salvage(&path, &into).unwrap();
    assert!(report.runs.is_empty() && report.damage.is_empty(), "{report:?}");
    reader.close().unwrap();
    assert_eq!(refused(&into), ErrorKind::InvalidArgument, "a second dump does not mix with the first");
    std::fs::remove_file(path.join("LOCK")).unwrap();
    strata::salvage(&path, scratch.path().join("second")).unwrap();
    assert!(!path.join("LOCK").exists(), "nothing is written to the store");
}
