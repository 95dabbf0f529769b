//! A run that is led once more through its commits is at each of them what it was, and a picture that is detached stays what it was.

use strata::{
    Compaction, EntityRef, ErasedVersions, ErrorKind, Reads, Replay, ReplayReport, Retention, RunHandle,
    RunSpec, Snapshot, Value, Version, Writes,
};

use crate::support::contents::of_run;
use crate::support::versions::{all_of, change, disk, file, keep_all, open_at, versions};
use crate::support::{Dice, number, one_run, seed};

/// Every version that a replay comes by is as it is looked at.
fn expect_replay(run: &RunHandle, mut replay: Replay, story: &str) {
    let known = versions(run);
    let mut at = replay.view().version();
    assert_eq!(all_of(run, replay.view()), known[&at.0], "{story}: it begins with version {at}");
    while let Some(commit) = replay.step().unwrap_or_else(|error| panic!("{story}: behind {at}: {error}")) {
        assert_eq!(commit.version, at.next(), "{story}");
        at = commit.version;
        assert_eq!(replay.view().stamp().timestamp, commit.timestamp);
        assert_eq!(all_of(run, replay.view()), known[&at.0], "{story}: version {at}");
        // Of an imported run the older versions are those of runs with other ids.
        let (was, is) = (run.at(at).unwrap().detach().unwrap(), replay.view());
        assert_eq!(was.digest().unwrap().content, is.digest().unwrap().content, "{story}: version {at}");
        if was.run_id() == is.run_id() {
            assert_eq!(was.digest().unwrap(), is.digest().unwrap(), "{story}: version {at}");
        }
    }
    assert_eq!(at, run.info().unwrap().version, "{story}");
}

#[test]
fn every_version_is_come_by_as_it_was() {
    let seed = seed();
    for case in 0..number("STRATA_CASES", 2) {
        let mut dice = Dice::new(seed.wrapping_add(case));
        let disk = disk(dice.roll());
        let database = open_at(&disk, "store", keep_all(1));
        let run = database.create_run(RunSpec::named("run")).unwrap();
        let mut runs = vec![run];
        for _ in 0..3 {
            for run in &runs {
                (0..10 + dice.below(30)).for_each(|_| change(run, &mut dice));
            }
            let forked = &runs[dice.below(runs.len() as u64) as usize];
            let newest = forked.info().unwrap().version.0;
            let fork = forked.fork_at(Version(1 + dice.below(newest))).unwrap();
            runs.push(fork);
        }
        for run in &runs {
            expect_replay(run, run.replay().unwrap(), &format!("case {case} of {seed}, {}", run.id()));
        }
        database.compact(Compaction::Full).unwrap();
        let run = &runs[dice.below(runs.len() as u64) as usize];
        let story = format!("case {case} of {seed}, {}, compacted", run.id());
        expect_replay(run, run.replay().unwrap(), &story);
        let newest = run.info().unwrap().version;
        let from = Version(1 + dice.below(newest.0));
        expect_replay(run, run.replay_range(from, newest).unwrap(), &story);
        let until = run.replay_until(from).unwrap();
        assert_eq!(all_of(run, &until), all_of(run, &run.at(from).unwrap()), "{story}: until {from}");
        run.export(file("run.arc")).unwrap();
        let into = open_at(&disk, "other", keep_all(1));
        let imported = into.import(file("run.arc")).unwrap();
        (0..10).for_each(|_| change(&imported, &mut dice));
        expect_replay(&imported, imported.replay().unwrap(), &format!("{story}, imported"));
    }
}

#[test]
fn a_run_has_one_digest_wherever_it_is() {
    let mut dice = Dice::new(seed());
    let disk = disk(dice.roll());
    let database = open_at(&disk, "store", keep_all(2));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..60).for_each(|_| change(&run, &mut dice));
    let digest = |run: &RunHandle| run.snapshot().unwrap().detach().unwrap().digest().unwrap();
    let known = digest(&run);
    run.export(file("run.arc")).unwrap();
    let disk = disk.kill();
    drop(database);
    let database = open_at(&disk, "store", keep_all(2));
    assert_eq!(digest(&database.run(run.id())), known, "recovered");
    database.close().unwrap();
    let database = open_at(&disk, "store", keep_all(3));
    assert_eq!(digest(&database.run(run.id())), known, "given another number of shards");
    database.compact(Compaction::Full).unwrap();
    assert_eq!(digest(&database.run(run.id())), known, "compacted");
    let other = open_at(&disk, "other", keep_all(1));
    let imported = other.import(file("run.arc")).unwrap();
    assert_eq!(digest(&imported).content, known.content, "imported");
    assert_eq!(digest(&imported.fork().unwrap()).content, known.content, "forked");
    imported.put("one more", 1).unwrap();
    assert_ne!(digest(&imported).content, known.content);
}

#[test]
fn what_was_erased_does_not_come_by() {
    let disk = disk(3);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "secret").unwrap();
    run.append("note", "secret").unwrap();
    run.json_create("document", Value::from([("text", "secret".into())])).unwrap();
    run.json_set("document", "/more", 1).unwrap();
    run.put("key", "told").unwrap();
    let key = EntityRef::kv(run.id(), "key");
    run.erase(&key, ErasedVersions::At(Version(2)), "asked to").unwrap();
    run.erase(&EntityRef::event(run.id(), 0), ErasedVersions::All, "asked to").unwrap();
    run.erase(&EntityRef::json(run.id(), "document"), ErasedVersions::All, "asked to").unwrap();
    run.put("key", "last").unwrap();
    expect_replay(&run, run.replay().unwrap(), "erased");
    let mut replay = run.replay().unwrap();
    while let Some(commit) = replay.step().unwrap() {
        let shown = format!("{commit:?} {}", of_run(replay.view()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn a_replay_passes_an_erasure_of_what_it_was_forked_from_and_imported_with() {
    let disk = disk(51);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    run.erase(&EntityRef::kv(run.id(), "key"), ErasedVersions::All, "asked to").unwrap();
    run.put("key", 2).unwrap();
    let fork = run.fork().unwrap();
    fork.put("key", 3).unwrap();
    let newest = fork.info().unwrap().version;
    let reached = |run: &RunHandle| {
        let mut replay = run.replay_range(Version(1), newest)?;
        while replay.step()?.is_some() {}
        Ok::<_, strata::Error>(replay.view().version())
    };
    assert_eq!(reached(&fork).unwrap(), newest, "the fork");
    fork.export(file("fork.arc")).unwrap();
    let into = open_at(&disk, "other", keep_all(1));
    let imported = into.import(file("fork.arc")).unwrap();
    assert_eq!(imported.at(Version(3)).unwrap().version(), Version(3));
    assert_eq!(reached(&imported).unwrap(), newest, "imported");
}

#[test]
fn a_replay_ends_where_it_is_to_and_refuses_what_is_not_there() {
    let disk = disk(4);
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..1_200).for_each(|number| _ = run.put("key", number).unwrap());
    let mut replay = run.replay_range(Version(10), Version(1_100)).unwrap();
    let mut count = 0;
    while replay.step().unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, replay.view().version()), (1_090, Version(1_100)));
    assert_eq!(replay.view().get("key").unwrap().unwrap().value.as_int(), Some(1_098));
    let kind = |outcome: strata::Result<Replay>| outcome.map(drop).unwrap_err().kind();
    assert_eq!(kind(run.replay_range(Version(5), Version(4))), ErrorKind::InvalidArgument);
    assert_eq!(kind(run.replay_range(Version(5), Version(2_000))), ErrorKind::VersionNotFound);
    assert_eq!(kind(run.replay_range(Version(0), Version(9))), ErrorKind::VersionNotFound);
    run.set_retention(Retention::KeepLast(1)).unwrap();
    database.compact(Compaction::Full).unwrap();
    assert_eq!(kind(run.replay_range(Version(5), Version(9))), ErrorKind::HistoryTrimmed);
    assert!(run.replay().unwrap().step().unwrap().is_none(), "one version is all there is");
}

/// The snapshot of a run that is written to, and the same detached now and later.
fn expect_detached(
    run: &RunHandle,
    snapshot: &Snapshot,
    dice: &mut Dice,
    change: impl Fn(&RunHandle, &mut Dice),
) {
    let was = of_run(snapshot);
    let early = snapshot.detach().unwrap();
    for _ in 0..30 {
        change(run, dice);
        assert_eq!(of_run(&snapshot.detach().unwrap()), was);
    }
    assert_eq!(of_run(&early), was);
    assert_eq!(of_run(snapshot), was);
}

#[test]
fn a_detached_picture_stays_what_it_was() {
    let mut dice = Dice::new(seed());
    let disk = disk(dice.roll());
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    for _ in 0..6 {
        (0..20).for_each(|_| change(&run, &mut dice));
        let snapshot = run.snapshot().unwrap();
        expect_detached(&run, &snapshot, &mut dice, change);
        let newest = run.info().unwrap().version;
        let past = run.at(Version(1 + dice.below(newest.0))).unwrap();
        expect_detached(&run, &past, &mut dice, change);
        let fork = run.fork().unwrap();
        let snapshot = fork.snapshot().unwrap();
        expect_detached(&fork, &snapshot, &mut dice, change);
    }
}

#[test]
fn a_detached_picture_outlives_its_run_and_its_store() {
    let (database, run) = one_run();
    run.put("key", 1).unwrap();
    let snapshot = run.snapshot().unwrap();
    let view = snapshot.detach().unwrap();
    run.delete_run().unwrap();
    let after = snapshot.detach().unwrap();
    drop(snapshot);
    database.close().unwrap();
    for view in [view, after] {
        assert_eq!(view.get("key").unwrap().unwrap().value.as_int(), Some(1));
        assert_eq!((view.version(), view.run_id()), (Version(2), run.id()));
    }
}

#[test]
fn nothing_is_written_through_a_picture_and_limits_hold_in_it() {
    let (database, run) = one_run();
    run.put("key", 1).unwrap();
    let view = run.snapshot().unwrap().detach().unwrap();
    let write = strata::Operation::KvDelete { key: "key".into() };
    assert_eq!(view.ask(write).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(view.get(&"k".repeat(5_000)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let receipt = view.receipt(strata::OperationId([7; 16]));
    assert_eq!(receipt.unwrap_err().kind(), ErrorKind::Unsupported, "none are in it");
    drop(database);
}

#[test]
fn a_replay_comes_to_what_the_run_is() {
    let mut dice = Dice::new(seed());
    let disk = disk(dice.roll());
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..60).for_each(|_| change(&run, &mut dice));
    let fork = run.fork().unwrap();
    (0..30).for_each(|_| change(&fork, &mut dice));
    for run in [&run, &fork] {
        let newest = run.info().unwrap().version;
        let report = run.verify_replay().unwrap();
        let commits = newest.0 - 1;
        assert_eq!(report, ReplayReport { from: Version(1), through: newest, commits, parting: None });
    }
    let (_memory, run) = one_run();
    run.put("key", 1).unwrap();
    assert_eq!(run.verify_replay().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_version_that_is_given_up_or_was_never_there_is_told_as_when_it_is_looked_at() {
    let disk = disk(seed());
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..5).for_each(|number| assert!(run.put("key", number).is_ok()));
    run.export(file("archive")).unwrap();
    run.delete_run().unwrap();
    database.import(file("archive")).unwrap();
    run.put("key", 9).unwrap();
    // The numbers of the deletion and of the import: no commit of the run has the first.
    let newest = run.info().unwrap().version;
    let key = EntityRef::kv(run.id(), "key");
    let expect = |version: u64, kind: Option<ErrorKind>| {
        let at = run.at(Version(version)).map(drop).map_err(|error| error.kind());
        assert_eq!(at, kind.map_or(Ok(()), Err), "version {version}");
        let until = run.replay_until(Version(version)).map(|view| view.version().0);
        assert_eq!(until.map_err(|error| error.kind()), kind.map_or(Ok(version), Err), "version {version}");
    };
    for version in [0, 7, newest.0 + 1] {
        expect(version, Some(ErrorKind::VersionNotFound));
        let explained = run.explain_change(&key, Version(version), 0);
        assert_eq!(explained.unwrap_err().kind(), ErrorKind::VersionNotFound, "version {version}");
        let range = run.replay_range(Version(1), Version(version));
        assert!(range.is_err(), "version {version}");
    }
    for version in [1, 6, 8, newest.0] {
        expect(version, None);
    }
    assert_eq!(run.explain_change(&key, Version(8), 0).unwrap().unwrap().commit.version, Version(6));
    run.set_retention(Some(Retention::KeepLast(1))).unwrap();
    database.compact(Compaction::Full).unwrap();
    expect(6, Some(ErrorKind::HistoryTrimmed));
    expect(0, Some(ErrorKind::VersionNotFound));
}
