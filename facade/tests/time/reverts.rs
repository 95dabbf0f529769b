//! Making a run again what it was.

use std::time::Duration;

use crate::support::contents::inherited;
use crate::support::versions::{change, disk, keep_all, now, open_at, open_with};
use crate::support::{Dice, TestClock, one_run, options, seed};
use strata::{
    Cause, Database, Difference, Direction, Durability, EntityRef, ErasedVersions, ErrorKind, Options, Reads,
    Retention, RunHandle, RunSpec, RunStatus, Value, Version, View, Writes,
};
use strata_wal::sim::SimDisk;

fn story(disk: &SimDisk) -> (Database, RunHandle) {
    let database = open_at(disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}

fn at(run: &RunHandle, version: Version) -> View {
    run.at(version).unwrap().detach().unwrap()
}

/// What two views differ in that a revert undoes.
fn undone(one: &View, other: &View) -> Vec<Difference> {
    let found = one.diff(other, None, 10_000).unwrap().differences;
    let is_undone = |found: &Difference| match found {
        Difference::Run(found) => {
            matches!(found.field(), strata::RunField::Tags | strata::RunField::Metadata)
        }
        Difference::Key(_) | Difference::Cell(_) | Difference::Document(_) => true,
        _ => false,
    };
    found.into_iter().filter(is_undone).collect()
}

#[test]
fn any_version_comes_back_as_one_commit_and_nothing_of_the_history_goes() {
    let disk = disk(seed());
    let mut dice = Dice::new(seed());
    let (database, run) = story(&disk);
    for round in 0..30 {
        (0..10).for_each(|_| change(&run, &mut dice));
        let before = now(&run);
        let version = Version(2 + dice.below(before.version().0 - 1));
        let was = at(&run, version);
        let differs = !undone(&was, &before).is_empty();
        let commit = run.revert(version).unwrap();
        let after = now(&run);
        assert_eq!(undone(&after, &was), [], "round {round}, to {version}");
        assert_eq!(commit.map(|commit| commit.version), differs.then(|| before.version().next()));
        let events = |view: &View| (view.event_count().unwrap().value, view.trace_count(None).unwrap().value);
        assert_eq!(events(&after), events(&before), "what happened stays");
        assert_eq!(inherited(&at(&run, before.version())), inherited(&before), "and can be looked at");
        if differs {
            let told = run.commits(before.version(), 1).unwrap().commits.remove(0);
            assert_eq!(told.cause, Some(Cause::Commit { run: run.id(), version }));
            // Which is undone in its turn.
            run.revert(before.version()).unwrap();
            assert_eq!(undone(&now(&run), &before), []);
        }
        assert_eq!(run.revert(now(&run).version()).unwrap(), None, "nothing has changed since");
    }
    let digest = now(&run).digest().unwrap();
    database.close().unwrap();
    let database = open_at(&disk, "store", keep_all(1));
    assert_eq!(now(&database.run(run.id())).digest().unwrap(), digest);
}

#[test]
fn one_thing_comes_back_and_all_others_stay() {
    let disk = disk(seed());
    let (database, run) = story(&disk);
    let write = |word: &str| {
        run.put("key", word).unwrap();
        run.cell_set("cell", word).unwrap();
        match run.json_get("doc", "").unwrap() {
            Some(_) => drop(run.json_set("doc", "/at", word).unwrap()),
            None => drop(run.json_create("doc", Value::from([("at", Value::from(word))])).unwrap()),
        }
        run.set_tags([word]).unwrap();
        run.append("said", word).unwrap()
    };
    let first = write("first");
    write("second");
    let entities = [
        EntityRef::kv(run.id(), "key"),
        EntityRef::cell(run.id(), "cell"),
        EntityRef::json(run.id(), "doc"),
        EntityRef::run(run.id()),
    ];
    for (number, entity) in entities.iter().enumerate() {
        let before = now(&run);
        assert!(run.revert_entity(entity, first.commit.version).unwrap().is_some());
        let found = before.diff(&now(&run), None, 100).unwrap().differences;
        assert_eq!(found.len(), 1, "{entity}: {found:?}");
        assert_eq!(undone(&now(&run), &at(&run, first.commit.version)).len(), 3 - number);
    }
    let missing = EntityRef::kv(run.id(), "key");
    run.revert_entity(&missing, Version(1)).unwrap();
    assert_eq!(run.get("key").unwrap(), None, "it was not there then");

    for entity in
        [EntityRef::event(run.id(), 0), EntityRef::trace(run.id(), strata::TraceId::from_bytes([1; 16]))]
    {
        let error = run.revert_entity(&entity, Version(1)).unwrap_err();
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Unsupported, Some(&entity)));
    }
    let other = database.create_run(RunSpec::named("other")).unwrap();
    let error = run.revert_entity(&EntityRef::kv(other.id(), "key"), Version(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_version_that_is_not_there_or_a_run_that_takes_no_writes_is_refused() {
    let disk = disk(seed());
    let (database, run) = story(&disk);
    for value in 0..20 {
        run.put("key", value).unwrap();
    }
    assert_eq!(run.revert(Version(99)).unwrap_err().kind(), ErrorKind::VersionNotFound);
    run.set_retention(Retention::KeepLast(5)).unwrap();
    database.checkpoint().unwrap();
    assert_eq!(run.revert(Version(3)).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    let fork = run.fork().unwrap();
    fork.put("key", "else").unwrap();
    let began = run.info().unwrap().version;
    fork.revert(began).unwrap();
    assert_eq!(
        fork.get("key").unwrap().unwrap().value,
        Value::Int(19),
        "what a fork began as is a version of it"
    );
    run.end(RunStatus::Completed).unwrap();
    assert_eq!(run.revert(Version(began.0 - 2)).unwrap_err().kind(), ErrorKind::RunClosed);
    let (_database, in_memory) = one_run();
    in_memory.put("key", 1).unwrap();
    assert_eq!(in_memory.revert(Version(1)).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn what_was_erased_or_has_expired_does_not_come_back() {
    let disk = disk(seed());
    let clock = TestClock::at(1_000_000_000);
    let database = open_with(&disk, "store", options(Durability::Buffered, 1), clock.clock());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("secret", "word").unwrap();
    run.put_with_ttl("short", 1, Duration::from_secs(10)).unwrap();
    let then = run.put_with_ttl("long", 1, Duration::from_secs(1_000)).unwrap().version;
    run.put("secret", "other").unwrap();
    run.delete("short").unwrap();
    run.delete("long").unwrap();
    clock.advance(Duration::from_secs(60));
    run.erase(&EntityRef::kv(run.id(), "secret"), ErasedVersions::Through(then), "asked for").unwrap();
    let error = run.revert(then).unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::Unsupported, Some(&EntityRef::kv(run.id(), "secret")))
    );
    for key in ["short", "long"] {
        run.revert_entity(&EntityRef::kv(run.id(), key), then).unwrap();
    }
    assert_eq!(run.get("short").unwrap(), None);
    assert_eq!(run.ttl("long").unwrap().unwrap().value, Some(Duration::from_secs(940)));
}

#[test]
fn one_thing_is_reverted_without_a_look_at_any_other() {
    let disk = disk(seed());
    let (database, run) = story(&disk);
    let large = Value::Bytes(vec![1; 300_000]);
    run.put("key", "then").unwrap();
    run.put("large", large.clone()).unwrap();
    let then = run.info().unwrap().version;
    run.put("key", "now").unwrap();
    // The same, by another commit, so that only reading tells.
    run.put("large", large).unwrap();
    database.checkpoint().unwrap();
    let id = run.id();
    database.close().unwrap();
    // An image made meanwhile would read the large value too: without a reason there is none.
    let quiet = Options { retention: Retention::KeepAll, ..options(Durability::Buffered, 1) };
    let database = open_at(&disk, "store", quiet);
    let run = database.run(id);
    let reads = || database.stats().unwrap().shards[0].value_reads;
    assert!(run.revert_entity(&EntityRef::kv(run.id(), "key"), then).unwrap().is_some());
    assert_eq!(run.get("key").unwrap().unwrap().value, Value::from("then"));
    assert_eq!(reads(), 0);
    assert_eq!(run.revert(then).unwrap(), None, "both values are the same");
    assert!(reads() > 0, "and were read for that");
}

#[test]
fn what_is_erased_then_and_now_is_taken_for_the_same() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let then = run.put("secret", "word").unwrap().version;
    run.put("secret", "other").unwrap();
    let secret = EntityRef::kv(run.id(), "secret");
    run.erase(&secret, ErasedVersions::All, "asked for").unwrap();
    assert_eq!(run.revert(then).unwrap(), None);
    run.put("secret", "new").unwrap();
    assert_eq!(run.revert_entity(&secret, then).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn whoever_writes_meanwhile_loses_nothing_to_a_revert_of_something_else() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let then = run.put("key", "then").unwrap().version;
    let key = EntityRef::kv(run.id(), "key");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..300 {
                run.increment("count", 1).unwrap();
            }
        });
        threads.spawn(|| {
            for round in 0..30 {
                run.put("key", round).unwrap();
                run.revert_entity(&key, then).unwrap();
                assert_eq!(run.get("key").unwrap().unwrap().value, Value::from("then"));
            }
        });
    });
    assert_eq!(run.get("count").unwrap().unwrap().value, Value::Int(300));
    assert_eq!(run.events(0, 10, Direction::Forward).unwrap().events.len(), 0);
}
