//! What the history of a run tells: its commits, what became of each thing, and which version a time belongs to. Whoever followed the
//! run while it was written knows it too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use strata::{
    Cause, ChangeEffect, CommitNotice, CommitSubscription, Compaction, Database, Durability, EntityRef,
    ErasedVersions, ErrorKind, Notice, Options, PastCommit, Reads, Retention, RunHandle, RunId, RunSpec,
    Timestamp, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::versions::{change, disk, file, keep_all, open_at};
use crate::support::{Dice, TestClock, number, options, seed};

/// A run, and all that it was followed doing.
struct Followed {
    run: RunHandle,
    subscription: CommitSubscription,
    known: Vec<Known>,
}

/// A commit as its followers were told of it.
#[derive(Clone, Debug)]
struct Known {
    run: RunId,
    notice: CommitNotice,
}

impl Followed {
    fn new(run: RunHandle, known: Vec<Known>) -> Followed {
        let newest = run.info().unwrap().version;
        let subscription = run.subscribe_commits(newest).unwrap();
        Followed { run, subscription, known }
    }

    /// Changes something so many times, some of it with a cause.
    fn write(&mut self, clock: &TestClock, dice: &mut Dice, count: u64) {
        for number in 0..count {
            clock.advance(Duration::from_micros(dice.below(3)));
            match dice.below(4) {
                0 => change(&self.run.with_cause(Cause::Note(format!("{number}"))), dice),
                _ => change(&self.run, dice),
            }
            self.listen();
        }
    }

    fn listen(&mut self) {
        let newest = self.run.info().unwrap().version;
        while self.known.last().is_some_and(|known| known.notice.stamp.version < newest) {
            let notice = self.subscription.next(Duration::from_secs(60)).unwrap();
            let Some(Notice::Commit(notice)) = notice else { panic!("{notice:?}") };
            self.known.push(Known { run: self.run.id(), notice });
        }
    }

    /// As it is in another store, or in this one opened again.
    fn again(self, database: &Database) -> Followed {
        Followed::new(database.run(self.run.id()), self.known)
    }

    fn fork(&self, at: Option<Version>) -> Followed {
        let fork = at.map_or_else(|| self.run.fork(), |version| self.run.fork_at(version)).unwrap();
        let begun = fork.info().unwrap();
        let stamp = strata::Stamp { version: begun.version, timestamp: begun.timestamp };
        let notice = CommitNotice { stamp, changes: vec![EntityRef::run(fork.id())], cause: None };
        let inherited = self.known.iter().filter(|known| known.notice.stamp.version < begun.version);
        let own = Known { run: fork.id(), notice };
        Followed::new(fork, inherited.cloned().chain([own]).collect())
    }
}

/// All commits of a run, in pages of chosen sizes.
fn commits_of(run: &RunHandle, dice: &mut Dice) -> Vec<PastCommit> {
    let (mut all, mut behind) = (Vec::new(), Some(Version::NEVER));
    while let Some(from) = behind {
        let page = run.commits(from, 1 + dice.below(40) as usize).unwrap();
        all.extend(page.commits);
        behind = page.next;
    }
    all
}

fn expect_commits(followed: &Followed, dice: &mut Dice, story: &str) {
    let found = commits_of(&followed.run, dice);
    assert_eq!(found.len(), followed.known.len(), "{story}");
    for (found, Known { run, notice }) in found.iter().zip(&followed.known) {
        assert_eq!((found.run, found.version), (*run, notice.stamp.version), "{story}");
        assert_eq!((found.timestamp, &found.cause), (notice.stamp.timestamp, &notice.cause), "{story}");
        // Followers are not told what a commit made superfluous.
        let told = found.changes.iter().filter(|change| {
            !matches!(change.effect, ChangeEffect::EventsRemoved { .. } | ChangeEffect::TracesRemoved { .. })
        });
        let mut changed: Vec<_> = told.map(|change| change.entity.clone()).collect();
        changed.dedup();
        let known: Vec<_> = notice.changes.iter().map(|entity| entity.in_run(*run)).collect();
        assert_eq!(changed, known, "{story}: commit {}", found.version);
    }
}

/// What is told of a thing is what the commits did to it, from wherever it is asked for.
fn expect_histories(followed: &Followed, dice: &mut Dice, story: &str) {
    let (run, all) = (&followed.run, commits_of(&followed.run, dice));
    let mut of_things: BTreeMap<EntityRef, Vec<PastCommit>> = BTreeMap::new();
    for commit in &all {
        for change in &commit.changes {
            // These do not say what was before, and are not met on the way back.
            if matches!(
                change.effect,
                ChangeEffect::Erased { .. }
                    | ChangeEffect::EventsRemoved { .. }
                    | ChangeEffect::TracesRemoved { .. }
            ) {
                continue;
            }
            let of_thing = of_things.entry(change.entity.in_run(run.id())).or_default();
            match of_thing.last_mut().filter(|last| last.version == commit.version) {
                Some(last) => last.changes.push(change.clone()),
                None => of_thing.push(PastCommit { changes: vec![change.clone()], ..commit.clone() }),
            }
        }
    }
    of_things.insert(EntityRef::kv(run.id(), "never there"), Vec::new());
    for (entity, mut expected) in of_things {
        let newest = all.last().unwrap().version;
        let before = Some(Version(1 + dice.below(newest.0 + 1))).filter(|_| dice.below(2) == 0);
        expected.retain(|commit| before.is_none_or(|before| commit.version < before));
        expected.reverse();
        let (mut found, mut next) = (Vec::new(), Some(before));
        while let Some(before) = next {
            let page = run.history(&entity, 1 + dice.below(4) as usize, before).unwrap();
            assert!(page.trimmed.is_none(), "{story}");
            found.extend(page.commits);
            next = page.next.map(Some);
        }
        assert_eq!(found, expected, "{story}: {entity} before {before:?}");
    }
}

/// Every time is that of the newest commit which is not later.
fn expect_times(followed: &Followed, dice: &mut Dice, story: &str) {
    let stamps: Vec<_> = followed.known.iter().map(|known| known.notice.stamp).collect();
    for _ in 0..12 {
        let time = stamps[dice.below(stamps.len() as u64) as usize].timestamp;
        let time = Timestamp(time.0 - dice.below(2));
        let expected = stamps.iter().rfind(|stamp| stamp.timestamp <= time).map(|stamp| stamp.version);
        match (followed.run.at_time(time), expected) {
            (Ok(found), Some(expected)) => assert_eq!(found.version(), expected, "{story}"),
            (found, expected) => {
                assert_eq!(found.map(drop).unwrap_err().kind(), ErrorKind::VersionNotFound, "{story}");
                assert_eq!(expected, None, "{story}");
            }
        }
    }
}

fn expect_all(followed: &[Followed], dice: &mut Dice, story: &str) {
    for followed in followed {
        expect_commits(followed, dice, story);
        expect_histories(followed, dice, story);
        expect_times(followed, dice, story);
    }
}

fn open(disk: &SimDisk, name: &str, clock: &TestClock, options: Options) -> Database {
    Database::start(Some(file(name)), options, clock.clock(), Some(Arc::new(disk.clone()))).unwrap()
}

#[test]
fn commits_things_and_times_are_told_as_they_were_followed() {
    let seed = seed();
    for case in 0..number("STRATA_CASES", 2) {
        let mut dice = Dice::new(seed.wrapping_add(case));
        let clock = TestClock::at(1_750_000_000_000_000);
        let disk = disk(dice.roll());
        let mut database = open(&disk, "store", &clock, keep_all(1));
        let run = database.create_run(RunSpec::named("run")).unwrap();
        let began = run.info().unwrap();
        let stamp = strata::Stamp { version: began.version, timestamp: began.timestamp };
        let notice = CommitNotice { stamp, changes: vec![EntityRef::run(run.id())], cause: None };
        let known = vec![Known { run: run.id(), notice }];
        let mut all = vec![Followed::new(run, known)];
        let mut story = format!("case {case} of {seed}");
        for phase in 0..4 {
            let count = 20 + dice.below(60);
            all.iter_mut().for_each(|followed| followed.write(&clock, &mut dice, count));
            let forked = &all[dice.below(all.len() as u64) as usize];
            let newest = forked.known.last().unwrap().notice.stamp.version.0;
            let at = Some(Version(1 + dice.below(newest))).filter(|_| dice.below(2) == 0);
            story += &format!(", fork of {} at {at:?}", forked.run.id());
            let fork = forked.fork(at);
            all.push(fork);
            match phase {
                0 => expect_all(&all, &mut dice, &format!("{story}, as it is")),
                1 => drop(database.compact(Compaction::Full).unwrap()),
                2 => drop(database.compact(Compaction::WalOnly).unwrap()),
                _ => {}
            }
            if dice.below(2) == 0 {
                story += ", opened again";
                all.iter_mut().for_each(Followed::listen);
                database.close().unwrap();
                database = open(&disk, "store", &clock, keep_all(1));
                all = all.into_iter().map(|followed| followed.again(&database)).collect();
            }
        }
        expect_all(&all, &mut dice, &story);
        let into = open(&disk, "other", &clock, keep_all(2));
        let exported = all.swap_remove(dice.below(all.len() as u64) as usize);
        exported.run.export(file("run.arc")).unwrap();
        drop(into.import(file("run.arc")).unwrap());
        let mut imported = exported.again(&into);
        let begun = imported.run.info().unwrap();
        let stamp = strata::Stamp { version: begun.version, timestamp: begun.timestamp };
        let notice = CommitNotice { stamp, changes: vec![EntityRef::run(begun.id)], cause: None };
        imported.known.push(Known { run: begun.id, notice });
        imported.write(&clock, &mut dice, 30);
        expect_commits(&imported, &mut dice, &format!("{story}, imported"));
        expect_times(&imported, &mut dice, &format!("{story}, imported"));
    }
}

fn versions_of(commits: &[PastCommit]) -> Vec<u64> {
    commits.iter().map(|commit| commit.version.0).collect()
}

fn store(disk: &SimDisk, retention: Retention) -> Database {
    open(disk, "store", &TestClock::at(1_750_000_000_000_000), Options { retention, ..keep_all(1) })
}

#[test]
fn what_is_erased_is_told_nowhere() {
    let disk = disk(7);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "secret one").unwrap();
    run.append("note", "secret two").unwrap();
    run.json_create("note", Value::from([("text", "secret three".into())])).unwrap();
    run.cell_set("cell", "secret four").unwrap();
    let fork = run.fork().unwrap();
    fork.put("key", "secret five").unwrap();
    fork.json_set("note", "/more", "kept").unwrap();
    run.put("key", "kept").unwrap();
    for entity in
        [EntityRef::event(run.id(), 0), EntityRef::json(run.id(), "note"), EntityRef::cell(run.id(), "cell")]
    {
        run.erase(&entity, ErasedVersions::All, "asked to").unwrap();
    }
    run.erase(&EntityRef::kv(run.id(), "key"), ErasedVersions::At(Version(2)), "asked to").unwrap();
    fork.erase(&EntityRef::kv(fork.id(), "key"), ErasedVersions::All, "asked to").unwrap();
    run.export(file("run.arc")).unwrap();
    fork.export(file("fork.arc")).unwrap();
    let expect_none = |database: &Database, runs: [RunId; 2]| {
        for run in runs.map(|id| database.run(id)) {
            let all = run.commits(Version::NEVER, 1_000).unwrap().commits;
            let text = format!("{all:?}");
            assert!(!text.contains("secret"), "{text}");
            assert!(text.matches(": Erased").count() >= 4, "{text}");
            for entity in all.iter().flat_map(|commit| &commit.changes).map(|change| &change.entity) {
                let text = format!("{:?}", run.history(&entity.in_run(run.id()), 100, None).unwrap());
                assert!(!text.contains("secret"), "{entity}: {text}");
            }
        }
        let kept = database.run(runs[0]).history(&EntityRef::kv(runs[0], "key"), 1, None).unwrap();
        assert!(format!("{kept:?}").contains("kept"), "{kept:?}");
    };
    expect_none(&database, [run.id(), fork.id()]);
    database.compact(Compaction::Full).unwrap();
    expect_none(&database, [run.id(), fork.id()]);
}

#[test]
fn what_a_fork_made_of_what_is_erased_is_told_nowhere() {
    let disk = disk(15);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.json_create("note", Value::from([("text", "secret".into())])).unwrap();
    let fork = run.fork().unwrap();
    let copy = r#"[{"op": "copy", "from": "/text", "path": "/again"}]"#;
    fork.json_patch("note", &strata::parse_json(copy).unwrap()).unwrap();
    fork.json_set("note", "", Value::from([("text", "kept".into())])).unwrap();
    fork.json_set("note", "/more", "kept").unwrap();
    run.erase(&EntityRef::json(run.id(), "note"), ErasedVersions::All, "asked to").unwrap();
    for limit in 1..6 {
        let (mut told, mut before) = (String::new(), Some(None));
        while let Some(from) = before {
            let page = fork.history(&EntityRef::json(fork.id(), "note"), limit, from).unwrap();
            told += &format!("{:?}", page.commits);
            before = page.next.map(Some);
        }
        let (mut behind, all) = (Some(Version::NEVER), fork.info().unwrap().version);
        while let Some(from) = behind {
            let page = fork.commits(from, limit).unwrap();
            told += &format!("{:?}", page.commits);
            behind = page.next.filter(|next| *next < all);
        }
        assert!(!told.contains("secret"), "{limit} at once: {told}");
        assert!(told.contains("kept"), "{told}");
    }
}

#[test]
fn what_is_erased_of_an_imported_run_is_not_told_of_it() {
    let disk = disk(8);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "told by one").unwrap();
    let fork = run.fork().unwrap();
    fork.put("other", 1).unwrap();
    fork.export(file("fork.arc")).unwrap();
    fork.delete_run().unwrap();
    let fork = database.import(file("fork.arc")).unwrap();
    fork.erase(&EntityRef::kv(fork.id(), "key"), ErasedVersions::All, "asked to").unwrap();
    let told = |run: &RunHandle| format!("{:?}", run.commits(Version::NEVER, 100).unwrap()).contains("told");
    assert_eq!((told(&run), told(&fork)), (true, false));
    let of_key = |run: &RunHandle| {
        format!("{:?}", run.history(&EntityRef::kv(run.id(), "key"), 100, None).unwrap()).contains("told")
    };
    assert_eq!((of_key(&run), of_key(&fork)), (true, false));
}

#[test]
fn what_is_no_longer_kept_is_said_to_be() {
    let disk = disk(9);
    let database = store(&disk, Retention::KeepLast(3));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("still", "there").unwrap();
    let early = run.info().unwrap().timestamp;
    for number in 0..200 {
        run.put("key", number).unwrap();
    }
    database.compact(Compaction::Full).unwrap();
    let newest = run.info().unwrap().version;
    let earliest = run.preview_retention(None).unwrap().earliest;
    assert!(earliest > Version(100), "{earliest}");
    let error = run.commits(Version(earliest.0 - 1), 10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
    let kept = run.commits(earliest, 1_000).unwrap();
    assert_eq!(versions_of(&kept.commits), (earliest.0 + 1..=newest.0).collect::<Vec<_>>());
    let history = run.history(&EntityRef::kv(run.id(), "key"), 1_000, None).unwrap();
    assert_eq!(history.trimmed, Some(earliest));
    let found = versions_of(&history.commits);
    assert!(found.starts_with(&(earliest.0 + 1..=newest.0).rev().collect::<Vec<_>>()), "{found:?}");
    let still = run.history(&EntityRef::kv(run.id(), "still"), 1_000, None).unwrap();
    assert_eq!((still.commits, still.next, still.trimmed), (Vec::new(), None, Some(earliest)));
    assert_eq!(run.at_time(Timestamp(early.0)).unwrap().version(), newest, "the clock stands still");
    let error = run.at_time(Timestamp(early.0 - 1)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
}

#[test]
fn a_thing_is_followed_into_its_earlier_lives() {
    let disk = disk(10);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let key = EntityRef::kv(run.id(), "key");
    let history = |before: Option<Version>| {
        let page = run.history(&key, 10, before).unwrap();
        (versions_of(&page.commits), page.next)
    };
    run.put("key", 1).unwrap();
    run.put("other", 1).unwrap();
    run.put("key", 2).unwrap();
    run.delete("key").unwrap();
    run.put("other", 2).unwrap();
    assert_eq!(history(None), (vec![5, 4, 2], Some(Version(2))), "it is searched for where it is not there");
    run.put("key", 3).unwrap();
    assert_eq!(history(None), (vec![7], Some(Version(7))));
    assert_eq!(history(Some(Version(7))), (vec![5, 4, 2], Some(Version(2))));
    assert_eq!(history(Some(Version(2))), (vec![], None));
    run.delete_run().unwrap();
    database.create_run(RunSpec::named("run")).unwrap().put("key", 4).unwrap();
    let newest = run.info().unwrap().version;
    let (found, next) = history(None);
    assert_eq!(found, [newest.0]);
    assert_eq!(history(next).0.first(), Some(&8), "with it the run went");
    let error = run.history(&EntityRef::kv(RunId::from_bytes([1; 16]), "key"), 1, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[test]
fn what_cannot_be_told_is_refused() {
    let disk = disk(11);
    let database = store(&disk, Retention::KeepAll);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let kind = |outcome: strata::Result<()>| outcome.unwrap_err().kind();
    assert_eq!(kind(run.commits(Version(2), 10).map(drop)), ErrorKind::VersionNotFound);
    assert_eq!(versions_of(&run.commits(Version(1), 10).unwrap().commits), [0; 0]);
    assert_eq!(kind(run.commits(Version(1), 0).map(drop)), ErrorKind::InvalidArgument);
    assert_eq!(kind(run.history(&EntityRef::run(run.id()), 0, None).map(drop)), ErrorKind::InvalidArgument);
    let missing = database.run(RunId::from_bytes([9; 16]));
    assert_eq!(kind(missing.commits(Version::NEVER, 1).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(missing.at_time(Timestamp(1)).map(drop)), ErrorKind::NotFound);
    let in_memory = Database::in_memory().unwrap();
    let run = in_memory.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(kind(run.commits(Version::NEVER, 1).map(drop)), ErrorKind::Unsupported);
    let now = run.info().unwrap().timestamp;
    assert_eq!(run.at_time(now).unwrap().version(), Version(1), "the newest version is there");
    assert_eq!(kind(run.at_time(Timestamp(now.0 - 1)).map(drop)), ErrorKind::Unsupported);
}

#[test]
fn times_are_found_as_far_back_as_versions_are_kept() {
    let (disk, clock) = (disk(12), TestClock::at(1_750_000_000_000_000));
    let options = Options { retention: Retention::KeepLast(5), ..keep_all(1) };
    let database = open(&disk, "store", &clock, options);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let mut times = BTreeMap::new();
    let mut write = |run: &RunHandle, count: i64| {
        for number in 0..count {
            clock.advance(Duration::from_millis(1));
            let commit = run.put("key", number).unwrap();
            times.insert(commit.timestamp, commit.version);
        }
    };
    write(&run, 30);
    let fork = run.fork().unwrap();
    write(&fork, 30);
    database.compact(Compaction::Full).unwrap();
    for (of, through) in [(&fork, Version(61)), (&fork, Version(31))] {
        write(of, 2);
        let earliest = of.preview_retention(None).unwrap().earliest;
        assert!(earliest > through || earliest > Version(50), "{earliest}");
    }
    let mut found = Vec::new();
    for (time, version) in times {
        match fork.at_time(time) {
            Ok(at) => {
                assert_eq!(at.version(), version);
                found.push(version);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
                // The store goes on making checkpoints.
                let earliest = fork.preview_retention(None).unwrap().earliest;
                assert!(version < earliest, "{version}, and {earliest} is kept: {error}");
            }
        }
    }
    let (earliest, newest) = (fork.preview_retention(None).unwrap().earliest, fork.info().unwrap().version);
    for version in (earliest.0..=newest.0).map(Version) {
        assert!(found.contains(&version), "{version} of {earliest} to {newest}");
    }
}

#[test]
fn an_archive_has_the_first_commit_too_also_when_it_is_made_of_another() {
    let (disk, clock) = (disk(13), TestClock::at(1_750_000_000_000_000));
    let calm = Options { retention: Retention::KeepAll, ..options(Durability::Buffered, 1) };
    let database = open(&disk, "store", &clock, calm);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    drop(database.checkpoint().unwrap());
    run.put("key", 1).unwrap();
    let all = run.commits(Version::NEVER, 100).unwrap().commits;
    assert_eq!(versions_of(&all), [1, 2]);
    run.export(file("first.arc")).unwrap();
    let second = open(&disk, "second", &clock, keep_all(1));
    let imported = second.import(file("first.arc")).unwrap();
    imported.export(file("second.arc")).unwrap();
    let third = open(&disk, "third", &clock, keep_all(1));
    let again = third.import(file("second.arc")).unwrap();
    for run in [&imported, &again] {
        let found = run.commits(Version::NEVER, 100).unwrap().commits;
        assert_eq!(found[..2], all);
    }
}

#[test]
fn the_time_of_the_oldest_version_is_known_by_its_image() {
    let (disk, clock) = (disk(14), TestClock::at(1_750_000_000_000_000));
    let last = Options { retention: Retention::KeepLast(1), ..options(Durability::Buffered, 1) };
    let database = open(&disk, "store", &clock, last);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let write = |number: i64| {
        clock.advance(Duration::from_millis(1));
        run.put("key", number).unwrap()
    };
    (0..10).for_each(|number| _ = write(number));
    let oldest = run.info().unwrap();
    database.compact(Compaction::Full).unwrap();
    write(10);
    assert_eq!(run.at_time(oldest.timestamp).unwrap().version(), oldest.version);
    let before = run.at_time(Timestamp(oldest.timestamp.0 - 1)).map(drop).unwrap_err();
    assert_eq!(before.kind(), ErrorKind::HistoryTrimmed, "{before}");
    assert_eq!(versions_of(&run.commits(oldest.version, 10).unwrap().commits), [oldest.version.0 + 1]);
}

/// In front of what an archive keeps, the history of a thing began at its newest change again: it never came to an end.
#[test]
fn a_page_of_what_an_archive_has_begins_where_it_is_asked_to() {
    let disk = disk(27);
    let database = store(&disk, Retention::KeepLast(2));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (0..6).for_each(|number| _ = run.put("key", number).unwrap());
    (0..2).for_each(|_| drop(database.checkpoint().unwrap()));
    run.export(file("run.arc")).unwrap();
    run.delete_run().unwrap();
    let imported = database.import(file("run.arc")).unwrap();
    for run in [&imported, &imported.fork().unwrap()] {
        let (mut versions, mut before) = (Vec::new(), Some(None));
        while let Some(from) = before.filter(|_| versions.len() < 20) {
            let page = run.history(&EntityRef::kv(run.id(), "key"), 1, from).unwrap();
            versions.extend(versions_of(&page.commits));
            before = page.next.map(Some);
        }
        assert!(versions.is_sorted_by(|newer, older| newer > older), "{versions:?}");
        assert_eq!(versions.first(), Some(&7));
        let in_front = run.history(&EntityRef::kv(run.id(), "key"), 1, Version(3)).unwrap();
        assert_eq!((in_front.commits.len(), in_front.trimmed.is_some()), (0, true), "{in_front:?}");
    }
}

/// The record of the oldest version that is kept was not needed, and said to be lost.
#[test]
fn of_a_thing_that_is_not_there_a_run_that_keeps_its_newest_commit_alone_tells_that() {
    let disk = disk(9);
    let database = open_at(&disk, "store", options(Durability::Buffered, 1));
    let spec = RunSpec { retention: Some(Retention::KeepLast(1)), ..RunSpec::named("run") };
    let run = database.begin_run(spec).unwrap();
    (0..10).for_each(|number| _ = run.put("key", number).unwrap());
    run.delete("key").unwrap();
    database.compact(Compaction::Full).unwrap();
    for key in ["key", "never"] {
        let told = run.history(&EntityRef::kv(run.id(), key), 10, None).unwrap();
        assert_eq!((told.commits.len(), told.trimmed), (0, Some(run.info().unwrap().version)), "{key}");
    }
}
