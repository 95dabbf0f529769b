//! A store that is opened with another number of shards: it answers as before, keeps what it kept, and goes on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strata::{
    Cause, Compaction, Database, Deadline, Direction, Durability, EntityRef, ErasedVersions, ErrorKind,
    NewTrace, Options, Reads, Retention, RunFilter, RunHandle, RunId, RunSpec, RunStatus, TraceContent,
    TraceId, Value, Version, Writes, salvage,
};
use strata_wal::sim::SimDisk;
use strata_wal::storage::Storage;

use crate::support::contents::{copy, inherited, of_run};
use crate::support::versions::{change, disk, expect_versions, file, keep_all, open_at, versions};
use crate::support::{Dice, TestClock, eventually, options, script, seed};

const NOW: u64 = 1_750_000_000_000_000;
/// The tests wait for nothing that does not come.
const SOON: Duration = Duration::from_secs(30);

fn open(path: &Path, shards: impl Into<Option<usize>>) -> Database {
    let options = Options { shards: shards.into(), ..options(Durability::Buffered, 1) };
    Database::start(Some(path.to_path_buf()), options, TestClock::at(NOW).clock(), None).unwrap()
}

/// A store of two shards with a bit of everything, that knows of `ids`, and has its history in all places where it can lie.
fn grow(path: &Path) -> (Database, Vec<RunId>) {
    let database = open(path, 2);
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let run = script::begin(&database, name).unwrap();
        script::steps(&run, 1..=40);
        ids.push(run.id());
    }
    database.compact(Compaction::Full).unwrap();
    let named = ids.clone();
    let run = |place: usize| database.run(named[place]);
    script::steps(&run(0), 41..=120);
    script::steps(&run(1), 41..=90);
    run(1).with_cause(Cause::Note("because".into())).put("why", 1).unwrap();
    run(2).set_tags(["red"]).unwrap();
    run(2).set_metadata(Value::from([("who", "nobody".into())])).unwrap();
    run(3).end(RunStatus::Failed).unwrap();
    run(4).set_retention(Retention::KeepLast(7)).unwrap();
    run(4).put_with_ttl("later", 1, Duration::from_secs(3_600)).unwrap();
    run(4).cell_set_expiring("soon", 1, Deadline::In(Duration::from_secs(7_200))).unwrap();
    let forks = [run(0).fork().unwrap(), run(0).fork_at(Version(33)).unwrap(), run(1).fork().unwrap()];
    let deeper = forks[0].fork().unwrap();
    for fork in forks.iter().chain([&deeper]) {
        for number in 0..30_i64 {
            fork.put(&format!("own/{}", number % 9), number).unwrap();
            fork.append("own", number).unwrap();
        }
    }
    drop(database.checkpoint().unwrap());
    run(1).delete_run().unwrap();
    run(5).delete_run().unwrap();
    script::begin(&database, "f").unwrap().put("again", 1).unwrap();
    let child = RunSpec { parent: Some(ids[0]), ..RunSpec::named("child") };
    ids.push(database.create_run(child).unwrap().id());
    ids.extend(forks.iter().chain([&deeper]).map(RunHandle::id));
    deeper.put("last", 1).unwrap();
    database.compact(Compaction::WalOnly).unwrap();
    run(0).put("behind", 1).unwrap();
    drop(database.checkpoint().unwrap());
    (database, ids)
}

/// What a set of questions is answered, over every primitive, at every version or each of so many, as text.
fn answers(database: &Database, ids: &[RunId], step: usize) -> String {
    let mut text = String::new();
    let filters = [
        RunFilter::default(),
        RunFilter { status: Some(RunStatus::Failed), ..RunFilter::default() },
        RunFilter { tag: Some("red".into()), ..RunFilter::default() },
        RunFilter { parent: Some(ids[0]), ..RunFilter::default() },
        RunFilter { metadata: Some(("who".into(), "nobody".into())), ..RunFilter::default() },
    ];
    for filter in filters {
        writeln!(text, "{:?}", database.runs(&filter, None, 100).unwrap()).unwrap();
    }
    for id in ids {
        let run = database.run(*id);
        let Ok(info) = run.info() else {
            writeln!(text, "{id}: {:?} {:?}", run.get("left"), run.at(Version(3)).map(drop)).unwrap();
            continue;
        };
        writeln!(text, "{info:?}").unwrap();
        ask(&run, &mut text);
        for version in (1..=info.version.0).step_by(step) {
            match run.at(Version(version)) {
                Ok(was) => ask(&was, &mut text),
                Err(error) => writeln!(text, "{version}: {:?} {}", error.kind(), error.message()).unwrap(),
            }
        }
        for number in [1, 17, 40, 120] {
            writeln!(text, "{:?}", run.receipt(script::operation_id(number)).unwrap()).unwrap();
        }
        follow(&run, info.version, &mut text);
    }
    text
}

/// Asks of a run, or of what it was.
fn ask(run: &dyn Reads, text: &mut String) {
    *text += &of_run(run);
    writeln!(text, "{:?}", run.json_query("diary", "$.pages[-1]").unwrap()).unwrap();
    writeln!(text, "{:?}", run.event_head().unwrap()).unwrap();
    writeln!(
        text,
        "{:?} {:?}",
        run.event_count_of("step").unwrap(),
        run.events_by_type("own", 0, 5, Direction::Forward)
    )
    .unwrap();
    writeln!(text, "{:?}", run.trace_count(Some("thought")).unwrap()).unwrap();
    let first = run.trace_list(&Default::default(), None, 1, Direction::Forward).unwrap().traces;
    if let Some(trace) = first.first() {
        writeln!(text, "{:?}", run.trace_tree(trace.id, 10).unwrap()).unwrap();
    }
    writeln!(text, "{:?} {:?}", run.cell_ttl("soon").unwrap(), run.ttl("later").unwrap()).unwrap();
}

/// Follows the commits of a run from its last few on, and its events from the first that it keeps.
fn follow(run: &RunHandle, newest: Version, text: &mut String) {
    if let Ok(mut commits) = run.subscribe_commits(newest) {
        writeln!(text, "{:?}", commits.next(Duration::ZERO).unwrap()).unwrap();
    }
    let first = run.first_event().unwrap().value;
    let mut events = run.subscribe_events(first).unwrap();
    for _ in 0..(run.event_count().unwrap().value - first).min(20) {
        writeln!(text, "{:?}", events.next(SOON).unwrap()).unwrap();
    }
}

fn assert_same(found: &str, expected: &str, story: &str) {
    let first = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "{story}: {first:#?}");
}

#[test]
fn whatever_is_asked_is_answered_as_before_after_moving_from_2_shards_to_1_and_to_8() {
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("strata.db"), dir.path().join("backup.db"));
    let (database, ids) = grow(&path);
    let (expected, some) = (answers(&database, &ids, 1), answers(&database, &ids, 13));
    assert!(expected.len() > 100_000, "there is something to compare");
    database.backup(&backup).unwrap();
    database.close().unwrap();
    // A closed copy and a backup, each on its own way.
    for (name, from, ways) in [("copy", &path, [1, 8, 2]), ("other", &backup, [8, 30, 1])] {
        let moved = dir.path().join(name);
        copy(from, &moved);
        for count in ways {
            let database = open(&moved, count);
            assert_eq!(database.shard_count(), count);
            assert!(database.recovery().was_clean && !database.recovery().created);
            let (step, expected) = if name == "copy" { (1, &expected) } else { (13, &some) };
            assert_same(&answers(&database, &ids, step), expected, &format!("{name} on {count}"));
            assert!(database.verify(|_| {}).unwrap().damage.is_empty());
            database.close().unwrap();
            let database = open(&moved, None);
            let again = dir.path().join(format!("{name} of {count}"));
            database.backup(&again).unwrap();
            assert_same(
                &answers(&open(&again, None), &ids, 13),
                &some,
                &format!("a backup of {name} on {count}"),
            );
            assert_eq!(database.shard_count(), count, "it stays what it was opened with");
            database.compact(Compaction::Full).unwrap();
            assert_same(&answers(&database, &ids, 13), &some, &format!("{name} on {count}, compacted"));
        }
    }
}

#[test]
fn the_family_of_a_run_is_placed_together_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut dice) = (dir.path().join("strata.db"), Dice::new(seed()));
    let (database, ids) = grow(&path);
    database.close().unwrap();
    let mut done = 120;
    for count in [5, 1, 8] {
        let database = open(&path, count);
        for id in &ids {
            let run = database.run(*id);
            let Ok(info) = run.info() else { continue };
            if let Some(point) = info.forked_from {
                assert_eq!(database.shard_of(*id), database.shard_of(point.run));
            }
            if info.status == RunStatus::Active {
                run.put("more", count as i64).unwrap();
                run.fork().unwrap().put("more", 1).unwrap();
            }
        }
        assert_eq!(script::version_of(&database, "c"), database.run(ids[2]).info().unwrap().version.0);
        let run = database.run(ids[0]);
        let (now, was) = (run.info().unwrap().version.0, of_run(&run));
        done += 1;
        run.put("then", done).unwrap();
        if dice.below(2) == 0 {
            drop(database.checkpoint().unwrap());
        }
        assert_eq!(of_run(&run.at(Version(now)).unwrap()), was, "what lies across logs is one history");
        // A shard that panics over one closure comes back from its log, whatever its number is.
        let panicked = run.execute(|_| -> strata::Result<()> { panic!("on purpose") });
        assert!(panicked.is_err());
        assert_eq!(of_run(&run.at(Version(now)).unwrap()), was);
    }
}

/// The files of a directory of the store and their sizes.
fn files(path: &Path, dir: &str) -> BTreeMap<PathBuf, u64> {
    let Ok(entries) = fs::read_dir(path.join(dir)) else { return BTreeMap::new() };
    let size = |entry: &fs::DirEntry| entry.metadata().unwrap().len();
    entries.map(Result::unwrap).map(|entry| (entry.path(), size(&entry))).collect()
}

#[test]
fn history_that_came_from_other_logs_goes_when_nobody_needs_it_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let (database, ids) = grow(&path);
    database.close().unwrap();
    let database = open(&path, 1);
    assert!(!files(&path, "DATA").is_empty());
    let came_with = files(&path, "DATA").values().sum::<u64>();
    let page = database.runs(&RunFilter::default(), None, 100).unwrap();
    // One keeps what it has: after a compaction nothing but that is left.
    let (kept, others): (Vec<_>, Vec<_>) = page.runs.iter().map(|run| run.id).partition(|id| *id == ids[2]);
    for id in others {
        database.run(id).delete_run().unwrap();
    }
    database.compact(Compaction::Full).unwrap();
    let left = files(&path, "DATA").values().sum::<u64>();
    assert!(0 < left && left < came_with / 2, "{left} of {came_with} bytes");
    let run = database.run(kept[0]);
    script::expect_whole_at(&run.at(Version(23)).unwrap(), "c", 23);
    // And without one where nobody needs any of it.
    run.set_retention(Retention::KeepLast(1)).unwrap();
    eventually("all that came from other logs is gone", || {
        run.put("and", "on").unwrap();
        drop(database.checkpoint().unwrap());
        files(&path, "DATA").is_empty()
    });
    assert_eq!(run.at(Version(23)).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
}

#[test]
fn nothing_is_left_of_the_logs_that_were_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    grow(&path).0.close().unwrap();
    for (count, first) in [(3, 2), (1, 5), (1, 5), (2, 6)] {
        open(&path, count).close().unwrap();
        for file in ["WAL", "SNAPSHOTS", "DATA"].into_iter().flat_map(|dir| files(&path, dir).into_keys()) {
            let log: usize = file.file_name().unwrap().to_string_lossy()[..3].parse().unwrap();
            assert!((first..first + count).contains(&log), "{} on {count} shards", file.display());
        }
    }
}

#[test]
fn a_store_whose_shards_were_replaced_is_only_read_and_salvaged_like_another() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("strata.db"), dir.path().join("moved.db"));
    let (database, ids) = grow(&path);
    let expected = answers(&database, &ids, 7);
    database.close().unwrap();
    copy(&path, &moved);
    open(&moved, 3).close().unwrap();
    let to_read = |shards| Options { shards, ..options(Durability::Buffered, 1) };
    let refused = Database::open_read_only(&moved, to_read(Some(2))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    let clock = TestClock::at(NOW).clock();
    let reader = Database::start_to_read(moved.clone(), to_read(Some(3)), clock, None).unwrap();
    assert_same(&answers(&reader, &ids, 7), &expected, "only read");
    reader.close().unwrap();

    let dumped = |store: &Path, name: &str| {
        let into = dir.path().join(name);
        let report = salvage(store, &into).unwrap();
        let runs = report.runs.iter().map(|run| {
            let text = run.file.as_ref().map(|file| fs::read_to_string(into.join(file)).unwrap());
            (run.id, (run.outcome, run.version, text))
        });
        let runs: BTreeMap<_, _> = runs.collect();
        assert_eq!(runs.len(), report.runs.len(), "each run is told of once");
        runs
    };
    let whole = dumped(&path, "whole");
    assert!(dumped(&moved, "moved") == whole);
    fs::remove_file(moved.join("MANIFEST")).unwrap();
    let told =
        |dumped: BTreeMap<RunId, _>| dumped.into_iter().map(|(run, (_, version, text))| (run, version, text));
    assert!(
        told(dumped(&moved, "blind")).eq(told(whole.clone())),
        "the names of files tell which logs there are"
    );
    // As a crash may leave it, with both at once.
    copy(&path, &moved);
    fs::remove_file(moved.join("MANIFEST")).unwrap();
    assert!(told(dumped(&moved, "both")).eq(told(whole)));
}

#[test]
fn a_run_whose_every_version_lies_in_other_logs_is_forked_at_any_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = open(&path, 2);
    let run = script::begin(&database, "a").unwrap();
    script::steps(&run, 1..=150);
    database.close().unwrap();
    for count in [1, 4, 3] {
        let database = open(&path, count);
        let run = database.run(run.id());
        for version in [2, 64, 65, 128, 151] {
            let fork = run.fork_at(Version(version)).unwrap();
            script::expect_whole_at(&fork.at(Version(version)).unwrap(), "a", version);
            let thought = TraceContent::Thought { text: "own".into(), confidence: None };
            fork.trace_record(NewTrace::new(TraceId::from_bytes([9; 16]), thought)).unwrap();
        }
        // Its next milestones name earlier ones of other logs.
        let next = script::version_of(&database, "a");
        script::steps(&run, next..=next + 69);
        for version in 1..=next + 70 {
            script::expect_whole_at(&run.at(Version(version)).unwrap(), "a", version);
        }
    }
}

#[test]
fn archives_move_with_the_runs_that_began_with_them() {
    let (disk, mut dice) = (disk(seed()), Dice::new(seed()));
    let from = open_at(&disk, "from", keep_all(3));
    let run = from.create_run(RunSpec::named("trip")).unwrap();
    (0..60).for_each(|_| change(&run, &mut dice));
    run.put("key", "secret").unwrap();
    run.export(file("trip.arc")).unwrap();
    let mut known = versions(&run);
    from.close().unwrap();
    let mut into = open_at(&disk, "to", keep_all(2));
    let run = into.import(file("trip.arc")).unwrap().id();
    (0..20).for_each(|_| change(&into.run(run), &mut dice));
    let fork = into.run(run).fork_at(Version(30)).unwrap().id();
    into.run(fork).put("own", 1).unwrap();
    let imported = known.clone();
    known = versions(&into.run(run));
    assert!(imported.iter().all(|(version, was)| known[version] == *was));
    let archives = |disk: &SimDisk| {
        let names = disk.entries(Path::new("/agent/to/DATA")).unwrap().into_iter().map(|entry| entry.name);
        names.filter(|name| name.ends_with(".arc") || name.ends_with(".new")).collect::<Vec<_>>()
    };
    for (index, shards) in [1, 8, 3].into_iter().enumerate() {
        let is_killed = index == 1;
        if is_killed {
            drop(into)
        } else {
            into.close().unwrap()
        }
        into = open_at(&disk, "to", keep_all(shards));
        let story = format!("{shards} shards");
        expect_versions(&into.run(run), &known, &story);
        assert_eq!(
            inherited(&into.run(fork).at(Version(30)).unwrap()),
            inherited(&into.run(run).at(Version(30)).unwrap())
        );
        assert_eq!(archives(&disk).len(), 1, "{:?}: {story}", archives(&disk));
        into.compact(Compaction::Full).unwrap();
        expect_versions(&into.run(run), &known, &story);
        assert!(into.verify(|_| {}).unwrap().damage.is_empty(), "{story}");
        (0..5).for_each(|_| change(&into.run(run), &mut dice));
        known.extend(versions(&into.run(run)));
        // It goes out again, and comes in elsewhere.
        let path = file(&format!("again-{shards}.arc"));
        into.run(run).export(&path).unwrap();
        let third = open_at(&disk, &format!("third-{shards}"), keep_all(2));
        expect_versions(&third.import(&path).unwrap(), &known, &story);
    }
    let erased = EntityRef::kv(run, "key");
    into.run(run).erase(&erased, ErasedVersions::All, "because").unwrap();
    into.close().unwrap();
    let into = open_at(&disk, "to", keep_all(2));
    into.compact(Compaction::Full).unwrap();
    let holds = |path: &Path| disk.bytes(path).windows(6).any(|part| part == b"secret");
    let holding: Vec<_> =
        disk.files().into_iter().filter(|path| path.starts_with("/agent/to") && holds(path)).collect();
    assert!(holding.is_empty(), "{holding:?}");
    into.run(run).delete_run().unwrap();
    into.run(fork).delete_run().unwrap();
    // A shard makes no image where nothing has changed, and these may be placed on the other one.
    eventually("the archive has gone", || {
        into.create_run(RunSpec::default()).unwrap().put("key", 1).unwrap();
        drop(into.checkpoint().unwrap());
        archives(&disk).is_empty()
    });
}

/// Nothing is appended to a log that others were before: its first image, a copy of theirs, counted as new.
#[test]
fn what_was_erased_before_a_move_is_nowhere_after_a_compaction_behind_it() {
    let disk = disk(13);
    let keep_last = |shards| Options { retention: Retention::KeepLast(3), ..keep_all(shards) };
    let database = open_at(&disk, "to", keep_last(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "secret").unwrap();
    database.checkpoint().unwrap();
    run.erase(&EntityRef::kv(run.id(), "key"), ErasedVersions::All, "because").unwrap();
    // What is kept begins with the image in which it is.
    run.put("other", 1).unwrap();
    database.checkpoint().unwrap();
    database.close().unwrap();
    let database = open_at(&disk, "to", keep_last(3));
    database.compact(Compaction::Full).unwrap();
    let holds = |path: &PathBuf| disk.bytes(path).windows(6).any(|part| part == b"secret");
    let holding: Vec<_> = disk.files().into_iter().filter(holds).collect();
    assert!(holding.is_empty(), "{holding:?}");
    assert_eq!(database.run(run.id()).get("key").unwrap().unwrap().value, Value::Erased);
}

/// The history of a log that was replaced has the record of the import, under a position of that log: verify looked for an archive that had
/// gone with the run.
#[test]
fn the_archive_of_a_run_that_has_moved_and_was_deleted_is_not_missed() {
    let disk = disk(seed());
    let from = open_at(&disk, "from", keep_all(1));
    let run = from.create_run(RunSpec::named("trip")).unwrap();
    run.export(file("trip.arc")).unwrap();
    let into = open_at(&disk, "to", keep_all(1));
    // Each shard goes on with the history of some.
    for _ in 0..16 {
        let other = into.create_run(RunSpec::default()).unwrap();
        (0..3).for_each(|number| _ = other.put("key", "long ".repeat(2_000 + number)).unwrap());
    }
    let run = into.import(file("trip.arc")).unwrap();
    (0..20).for_each(|number| _ = run.put("key", number).unwrap());
    into.close().unwrap();
    let into = open_at(&disk, "to", keep_all(2));
    into.run(run.id()).delete_run().unwrap();
    eventually("the archive has gone", || {
        into.create_run(RunSpec::default()).unwrap().put("key", 1).unwrap();
        drop(into.checkpoint().unwrap());
        let entries = disk.entries(Path::new("/agent/to/DATA")).unwrap();
        !entries.iter().any(|entry| entry.name.ends_with(".arc"))
    });
    let damage = into.verify(|_| {}).unwrap().damage;
    assert!(damage.is_empty(), "{damage:?}");
}
