//! What is told of the history of runs that were imported, where their archives begin late or end before their own commits begin.

use std::time::Duration;

use crate::support::versions::{disk, file, open_at, open_with};
use crate::support::{TestClock, options};
use strata::{
    Compaction, Database, Durability, EntityRef, ErrorKind, Options, Reads, Retention, RunHandle, RunSpec,
    Timestamp, Version, Writes,
};
use strata_wal::sim::SimDisk;

/// Checkpoints are made when a test asks for them.
fn calm() -> Options {
    Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) }
}

/// An imported run of which versions 8 to 11 came along, forks of it: one of version 10 and one of that; and the time of its version 3.
fn imported_late(disk: &SimDisk) -> (Database, [RunHandle; 3], Timestamp) {
    let database = open_at(disk, "store", calm());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.set_retention(Retention::KeepLast(4)).unwrap();
    let mut times = Vec::new();
    (0..9).for_each(|number| times.push(run.put("key", number).unwrap().timestamp));
    (0..2).for_each(|_| drop(database.checkpoint().unwrap()));
    assert_eq!(run.export(file("run.arc")).unwrap().earliest, Version(8));
    run.delete_run().unwrap();
    let run = database.import(file("run.arc")).unwrap();
    run.set_retention(Retention::KeepAll).unwrap();
    let fork = run.fork_at(Version(10)).unwrap();
    fork.put("own", 1).unwrap();
    let second = fork.fork().unwrap();
    second.put("own", 2).unwrap();
    (database, [run, fork, second], times[0])
}

/// The oldest version that can be looked at.
fn earliest_of(run: &RunHandle) -> Version {
    let newest = run.info().unwrap().version.0;
    (1..=newest).map(Version).find(|version| run.at(*version).is_ok()).unwrap()
}

/// Asserts what an imported run of which versions before 8 did not come along says of them.
fn expect_begins_late(run: &RunHandle, time: Timestamp) {
    assert_eq!(earliest_of(run), Version(8));
    assert_eq!(run.preview_retention(None).unwrap().earliest, Version(8));
    let refused = run.at(Version(5)).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::HistoryTrimmed);
    assert!(refused.to_string().contains("the earliest is 8"), "{refused}");
    assert_eq!(run.at_time(time).map(drop).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    for behind in 0..8 {
        let refused = run.commits(Version(behind), 20).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::HistoryTrimmed, "behind {behind}");
    }
    let first = run.commits(Version(8), 20).unwrap().commits[0].version;
    assert_eq!(first, Version(9));
    let history = run.history(&EntityRef::kv(run.id(), "key"), 20, None).unwrap();
    let versions: Vec<u64> = history.commits.iter().map(|commit| commit.version.0).collect();
    assert_eq!((versions.last(), history.trimmed), (Some(&8), Some(Version(8))));
    let mut replay = run.replay().unwrap();
    while replay.step().unwrap().is_some() {}
    assert_eq!(replay.view().version(), run.info().unwrap().version);
    assert_eq!(run.replay_until(Version(9)).unwrap().version(), Version(9));
}

/// A fork of an imported run said nothing of what its archive had not: `commits` began with the first version there is as if none had
/// been before, `history` as if that had made the thing, and a replay asked for version 1.
#[test]
fn forks_of_an_imported_run_tell_that_its_archive_begins_late_as_the_run_does() {
    let disk = disk(1);
    let (database, runs, time) = imported_late(&disk);
    runs.iter().for_each(|run| expect_begins_late(run, time));
    drop(database.checkpoint().unwrap());
    let ids = runs.map(|run| run.id());
    database.close().unwrap();
    let database = open_at(&disk, "store", calm());
    ids.iter().rev().for_each(|id| expect_begins_late(&database.run(*id), time));
    // What its forks began as is kept for them.
    database.run(ids[0]).delete_run().unwrap();
    drop(database.checkpoint().unwrap());
    ids[1..].iter().for_each(|id| expect_begins_late(&database.run(*id), time));
}

#[test]
fn an_archive_of_such_a_fork_begins_where_the_one_before_did() {
    let disk = disk(2);
    let (_database, [_, fork, _], time) = imported_late(&disk);
    assert_eq!(fork.export(file("fork.arc")).unwrap().earliest, Version(8));
    let other = open_at(&disk, "other", calm());
    expect_begins_late(&other.import(file("fork.arc")).unwrap(), time);
}

/// The preview counted only what a run had committed since it was imported, so it said that nothing would go, and then it went.
#[test]
fn the_preview_of_an_imported_run_tells_what_a_checkpoint_gives_up() {
    let disk = disk(3);
    let database = open_at(&disk, "store", calm());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..9).for_each(|number| _ = run.put("key", number).unwrap());
    run.export(file("run.arc")).unwrap();
    database.close().unwrap();
    let database = open_at(&disk, "other", calm());
    let run = database.import(file("run.arc")).unwrap();
    let fork = run.fork_at(Version(9)).unwrap();
    let preview = run.preview_retention(Retention::KeepLast(4)).unwrap();
    run.set_retention(Retention::KeepLast(5)).unwrap();
    drop(database.checkpoint().unwrap());
    assert_eq!((earliest_of(&run).0, run.info().unwrap().version.0), (8, 12));
    assert_eq!((preview.earliest.0, preview.earliest_then.0), (1, 8));
    let history = run.history(&EntityRef::kv(run.id(), "key"), 20, None).unwrap();
    let versions: Vec<u64> = history.commits.iter().map(|commit| commit.version.0).collect();
    assert_eq!((versions, history.trimmed), (vec![10, 9, 8], Some(Version(8))));
    let kept = run.preview_retention(Retention::KeepLast(5)).unwrap();
    assert_eq!((kept.earliest.0, kept.earliest_then.0, kept.versions()), (8, 8, 0));
    // What a fork of it began as is kept for that.
    assert_eq!(
        (earliest_of(&fork), fork.preview_retention(None).unwrap().earliest),
        (Version(1), Version(1))
    );
}

#[test]
fn keeping_as_many_commits_as_there_are_gives_up_none_of_those_that_were_imported() {
    let disk = disk(4);
    let database = open_at(&disk, "store", calm());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..3).for_each(|number| _ = run.put("key", number).unwrap());
    run.export(file("run.arc")).unwrap();
    run.delete_run().unwrap();
    let other = open_at(&disk, "other", calm());
    let run = other.import(file("run.arc")).unwrap();
    run.set_retention(Retention::KeepLast(6)).unwrap();
    drop(other.checkpoint().unwrap());
    assert_eq!((earliest_of(&run), run.info().unwrap().version), (Version(1), Version(6)));
    let history = run.history(&EntityRef::kv(run.id(), "key"), 20, None).unwrap();
    assert_eq!((history.commits.len(), history.trimmed), (3, None));
}

/// It was said that such a commit had been made while the run lived in memory, and that the earliest version was one that was not there.
#[test]
fn a_version_of_a_life_that_had_ended_before_the_import_is_told_to_be_one_of_that() {
    let disk = disk(5);
    let database = open_at(&disk, "store", calm());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    run.export(file("run.arc")).unwrap();
    (0..9).for_each(|number| _ = run.put("key", number).unwrap());
    run.delete_run().unwrap();
    let run = database.import(file("run.arc")).unwrap();
    let refused = run.at(Version(7)).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::VersionNotFound);
    assert!(refused.to_string().contains("in a life that had ended when it was imported"), "{refused}");
    assert!(run.at(Version(2)).is_ok());
    run.set_retention(Retention::KeepLast(1)).unwrap();
    drop(database.checkpoint().unwrap());
    let newest = run.info().unwrap().version;
    let refused = run.at(Version(2)).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::HistoryTrimmed);
    assert!(refused.to_string().contains(&format!("the earliest is {newest}")), "{refused}");
    assert!(run.at(newest).is_ok());
}

/// A run of which version 1 and 2 came along, imported by version 13 behind a life that had come to 12, with 14 and 15 behind that.
fn imported_behind_a_life(disk: &SimDisk, kept: Retention) -> (Database, RunHandle) {
    let database = open_at(disk, "store", calm());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    run.export(file("run.arc")).unwrap();
    (0..9).for_each(|number| _ = run.put("key", number).unwrap());
    assert_eq!(run.delete_run().unwrap().version, Version(12));
    let run = database.import(file("run.arc")).unwrap();
    run.set_retention(kept).unwrap();
    assert_eq!(run.put("key", 7).unwrap().version, Version(15));
    (database, run)
}

/// The numbers of commits of the life before were counted, so fewer were kept than was said, and where the floor stood among them the
/// run could not be replayed.
#[test]
fn of_a_run_that_was_imported_behind_a_deleted_life_as_many_commits_are_kept_as_is_said() {
    let there = [1, 2, 13, 14, 15];
    for count in 1..=6 {
        let disk = disk(20 + count);
        let (database, run) = imported_behind_a_life(&disk, Retention::KeepLast(count));
        let kept = &there[5_usize.saturating_sub(count as usize)..];
        let preview = run.preview_retention(Retention::KeepLast(count)).unwrap();
        assert_eq!((preview.earliest.0, preview.earliest_then.0), (1, kept[0]), "{count}");
        let expect = |run: &RunHandle| {
            let readable: Vec<u64> = (1..=15).filter(|version| run.at(Version(*version)).is_ok()).collect();
            assert_eq!(readable, kept, "{count}");
            assert_eq!(run.preview_retention(None).unwrap().earliest.0, kept[0], "{count}");
            let mut replay = run.replay().unwrap();
            while replay.step().unwrap().is_some() {}
            assert_eq!(replay.view().version(), Version(15), "{count}");
        };
        drop(database.checkpoint().unwrap());
        expect(&run);
        // So it is told by what is on disk.
        (0..2).for_each(|_| drop(database.checkpoint().unwrap()));
        let id = run.id();
        database.close().unwrap();
        let database = open_at(&disk, "store", calm());
        expect(&database.run(id));
        drop(database.checkpoint().unwrap());
        expect(&database.run(id));
    }
}

/// The versions that can be looked at.
fn there(run: &RunHandle) -> Vec<u64> {
    let newest = run.info().unwrap().version.0;
    (1..=newest).filter(|version| run.at(Version(*version)).is_ok()).collect()
}

/// The versions that a replay shows.
fn replayed(run: &RunHandle) -> Vec<u64> {
    let mut replay = run.replay().unwrap();
    let mut shown = vec![replay.view().version().0];
    while let Some(commit) = replay.step().unwrap() {
        shown.push(commit.version.0);
    }
    shown
}

/// An export wrote what lay in front of a run that had given up its commits, of which nothing was told in the store; and what an archive
/// left out there was taken for what was in front of it.
#[test]
fn an_archive_begins_where_all_is_told_and_has_no_holes() {
    let disk = disk(8);
    let clock = TestClock::at(1_750_000_000_000_000);
    let database = open_with(&disk, "store", calm(), clock.clock());
    let top = database.create_run(RunSpec::named("top")).unwrap();
    let grow = |run: &RunHandle| {
        for number in 0..3 {
            clock.advance(Duration::from_secs(1));
            run.put("key", number).unwrap();
        }
    };
    grow(&top);
    let middle = top.fork().unwrap();
    grow(&middle);
    let leaf = middle.fork().unwrap();
    grow(&leaf);
    let trimmed = middle.fork().unwrap();
    grow(&trimmed);
    middle.delete_run().unwrap();
    assert_eq!(there(&leaf), [4, 8, 9, 10, 11, 12], "two that were forked, and its own");
    trimmed.set_retention(Retention::KeepLast(2)).unwrap();
    database.checkpoint().unwrap();
    clock.advance(Duration::from_secs(1));
    trimmed.set_retention(Retention::KeepAll).unwrap();
    grow(&trimmed);
    let other = open_with(&disk, "other", calm(), clock.clock());
    for (name, run, earliest) in [("leaf.arc", leaf, 8), ("trimmed.arc", trimmed, 12)] {
        assert_eq!(run.preview_retention(None).unwrap().earliest, Version(earliest));
        let newest = run.info().unwrap().version.0;
        let kept: Vec<u64> = (earliest..=newest).collect();
        let times = run.commits(Version(earliest), 100).unwrap().commits;
        let report = run.export(file(name)).unwrap();
        assert_eq!((report.earliest, report.versions), (Version(earliest), kept.len() as u64));
        clock.advance(Duration::from_secs(1));
        let imported = other.import(file(name)).unwrap();
        assert_eq!(imported.preview_retention(None).unwrap().earliest, Version(earliest));
        assert_eq!(there(&imported)[..kept.len()], kept);
        assert_eq!(replayed(&imported)[..kept.len()], kept);
        for commit in times {
            assert_eq!(imported.at_time(commit.timestamp).unwrap().version(), commit.version);
        }
    }
}

/// The record of the first commit of a fork went where that was all that it had, and nothing led from what it began as to what it is.
#[test]
fn a_fork_that_keeps_all_of_its_own_commits_is_told_from_the_first_version_that_it_inherited_on() {
    let database = open_at(&disk(11), "store", options(Durability::Buffered, 1));
    let parent = database.begin_run(RunSpec::named("parent")).unwrap();
    (0..3).for_each(|number| _ = parent.put("key", number).unwrap());
    let fork = parent.fork().unwrap();
    fork.set_retention(Retention::KeepLast(2)).unwrap();
    database.compact(Compaction::Full).unwrap();
    let all: Vec<u64> = (1..=6).collect();
    assert_eq!((there(&fork), replayed(&fork)), (all.clone(), all));
    assert_eq!(fork.commits(Version(4), 100).unwrap().commits.len(), 2);
}

/// Of two stretches of numbers that no commit has the description told of one.
#[test]
fn of_a_run_that_was_imported_twice_behind_deleted_lives_as_many_commits_are_kept_as_is_said() {
    let disk = disk(13);
    let open = || open_at(&disk, "store", calm());
    let database = open();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 2).unwrap();
    run.export(file("1.arc")).unwrap();
    (3..=6).for_each(|number| _ = run.put("key", number).unwrap());
    run.delete_run().unwrap();
    assert_eq!(database.import_reported(file("1.arc")).unwrap().version, Version(8));
    run.export(file("2.arc")).unwrap();
    run.put("key", 9).unwrap();
    run.delete_run().unwrap();
    assert_eq!(database.import_reported(file("2.arc")).unwrap().version, Version(11));
    run.set_retention(Retention::KeepLast(4)).unwrap();
    database.checkpoint().unwrap();
    // A fork has the same numbers, and what comes of it elsewhere too.
    run.fork().unwrap().export(file("fork.arc")).unwrap();
    database.close().unwrap();
    let database = open();
    let run = database.run(run.id());
    assert_eq!(
        (there(&run), earliest_of(&run), replayed(&run)),
        (vec![2, 8, 11, 12], Version(2), vec![2, 8, 11, 12])
    );
    let other = open_at(&disk, "other", calm());
    let fork = other.import(file("fork.arc")).unwrap();
    // 2, 8, 11 and 12, the fork and its import.
    for (count, first) in [(6, 2), (5, 8), (4, 11), (3, 12)] {
        assert_eq!(
            fork.preview_retention(Some(Retention::KeepLast(count))).unwrap().earliest_then,
            Version(first)
        );
    }
}

/// What its description says of its life and of numbers that no commit has is in the digest of a run.
#[test]
fn runs_of_second_lives_and_their_forks_are_the_same_live_replayed_recovered_moved_and_compacted() {
    let mut disk = disk(3);
    let calm = |shards| Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, shards) };
    let database = open_at(&disk, "store", calm(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.export(file("run.arc")).unwrap();
    (0..4).for_each(|number| _ = run.put("key", number).unwrap());
    run.delete_run().unwrap();
    database.import(file("run.arc")).unwrap();
    let fork = run.fork().unwrap();
    fork.put("own", 1).unwrap();
    let again = database.create_run(RunSpec::named("again")).unwrap();
    again.delete_run().unwrap();
    let again = database.create_run(RunSpec::named("again")).unwrap();
    let runs = [run.id(), fork.id(), again.id(), again.fork().unwrap().id()];
    let digest = |run: RunHandle| run.snapshot().unwrap().detach().unwrap().digest().unwrap();
    let live = |database: &Database| runs.map(|id| digest(database.run(id)));
    let replayed = |database: &Database| {
        runs.map(|id| {
            let mut replay = database.run(id).replay().unwrap();
            while replay.step().unwrap().is_some() {}
            replay.view().digest().unwrap()
        })
    };
    let known = live(&database);
    assert_eq!(replayed(&database), known);
    disk = disk.kill();
    drop(database);
    for shards in [1, 2, 3, 1] {
        let database = open_at(&disk, "store", calm(shards));
        assert_eq!((live(&database), replayed(&database)), (known, known), "{shards}");
        database.compact(Compaction::Full).unwrap();
        assert_eq!(replayed(&database), known, "{shards}, compacted");
        database.close().unwrap();
    }
    let database = open_at(&disk, "store", calm(2));
    database.run(fork.id()).export(file("fork.arc")).unwrap();
    let other = open_at(&disk, "other", calm(2));
    let imported = other.import(file("fork.arc")).unwrap();
    let (imported, known) = (imported.id(), digest(imported));
    other.close().unwrap();
    let other = open_at(&disk, "other", calm(3));
    assert_eq!(digest(other.run(imported)), known);
}
