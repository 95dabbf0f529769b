//! Events that a run does not keep: exactly those go, and whoever asks for them is told so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use strata::{
    Compaction, Database, Direction, Durability, EntityRef, ErasedVersions, Error, ErrorKind, Event, Limits,
    Options, Reads, Retention, RunHandle, RunSpec, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::contents::of_run;
use crate::support::{
    Dice, TestClock, busy_options, one_run, one_run_on, one_run_with, open_on, options, seed,
};

fn append(run: &impl Writes, numbers: std::ops::Range<i64>) {
    run.append_many(numbers.map(|number| ("step", number))).unwrap();
}

fn kept(run: &dyn Reads) -> Vec<u64> {
    let page = run.events(0, 1_000_000, Direction::Forward).unwrap();
    page.events.iter().map(|event| event.sequence).collect()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, earliest: u64) {
    let error = answer.expect_err("it is not kept any more");
    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
    assert!(error.message().ends_with(&format!("the earliest is {earliest}")), "{error}");
}

/// Every file of a store.
fn bytes_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for path in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => bytes.extend(bytes_of(&path)),
            // It may have been removed meanwhile.
            false => bytes.extend(std::fs::read(path).unwrap_or_default()),
        }
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn behind_every_append_the_last_so_many_events_are_there() {
    let (database, run) = one_run();
    append(&run, 0..4);
    assert_eq!(run.info().unwrap().event_retention, None);
    run.set_event_retention(Retention::KeepLast(3)).unwrap();
    assert_eq!(
        (kept(&run), run.info().unwrap().event_retention),
        (vec![1, 2, 3], Some(Retention::KeepLast(3)))
    );
    for count in 5..20 {
        run.append("step", count as i64).unwrap();
        assert_eq!(
            (kept(&run), run.event_count().unwrap().value),
            (vec![count - 3, count - 2, count - 1], count)
        );
        assert_eq!(run.first_event().unwrap().value, count - 3);
    }
    append(&run, 0..50);
    assert_eq!(kept(&run), [66, 67, 68]);
    run.set_event_retention(Retention::KeepLast(2)).unwrap();
    assert_eq!(kept(&run), [67, 68]);
    // What is gone does not come back.
    for all in [Some(Retention::KeepAll), None] {
        run.set_event_retention(all).unwrap();
        run.append("step", 1).unwrap();
    }
    assert_eq!(kept(&run), [67, 68, 69, 70]);
    let nothing = run.set_event_retention(Retention::KeepLast(0)).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::InvalidArgument);
    database.close().unwrap();
}

#[test]
fn behind_every_append_the_events_are_there_that_are_not_older_than_that() {
    let clock = TestClock::at(1_000_000);
    let (database, run) = one_run_on(&clock);
    run.set_event_retention(Retention::KeepFor(Duration::from_micros(10))).unwrap();
    for number in 0..5 {
        clock.set(1_000_000 + number * 4);
        run.append("step", number as i64).unwrap();
    }
    // At 16 those of 8, 12 and 16, and of 4: it is 12 old.
    assert_eq!(kept(&run), [2, 3, 4]);
    clock.set(1_000_018);
    run.append("step", 5).unwrap();
    assert_eq!(kept(&run), [2, 3, 4, 5], "10 old is not older than 10");
    clock.set(2_000_000);
    assert_eq!(kept(&run), [2, 3, 4, 5], "nothing goes by itself");
    run.put("other", 1).unwrap();
    assert_eq!(kept(&run), [2, 3, 4, 5], "nor with a commit about something else");
    run.append("step", 6).unwrap();
    assert_eq!(kept(&run), [6]);
    clock.set(3_000_000);
    run.set_event_retention(Retention::KeepFor(Duration::ZERO)).unwrap();
    assert_eq!((kept(&run), run.event_head().unwrap(), run.first_event().unwrap().value), (vec![], None, 7));
    assert!(run.verify_chain().unwrap().valid);
    run.append("step", 7).unwrap();
    run.append("step", 8).unwrap();
    assert_eq!(kept(&run), [7, 8], "both are of one time");
    database.close().unwrap();
}

#[test]
fn what_was_removed_is_refused_with_the_earliest_and_never_a_neighbour() {
    let (database, run) = one_run();
    for number in 0..10_u64 {
        run.append(if number % 2 == 0 { "even" } else { "odd" }, number as i64).unwrap();
    }
    run.append("rare", 10).unwrap();
    run.set_event_retention(Retention::KeepLast(4)).unwrap();
    for sequence in 0..7 {
        refused(run.event(sequence), 7);
        let entity = EntityRef::event(run.id(), sequence);
        refused(run.stat(&entity), 7);
        refused(run.events(sequence, 5, Direction::Reverse), 7);
        refused(run.events_by_type("even", sequence, 5, Direction::Reverse), 7);
    }
    for sequence in 1..7 {
        refused(run.events(sequence, 5, Direction::Forward), 7);
        refused(run.events_by_type("even", sequence, 5, Direction::Forward), 7);
    }
    assert_eq!((kept(&run), run.event(11).unwrap()), (vec![7, 8, 9, 10], None));
    let sequences =
        |page: strata::EventPage| (Vec::from_iter(page.events.iter().map(|event| event.sequence)), page.next);
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    assert_eq!(sequences(run.events(0, 3, forward).unwrap()), (vec![7, 8, 9], Some(10)));
    assert_eq!(sequences(run.last_events(100).unwrap()), (vec![10, 9, 8, 7], None));
    assert_eq!(sequences(run.events(8, 1, reverse).unwrap()), (vec![8], Some(7)));
    assert_eq!(sequences(run.events_by_type("even", 0, 9, forward).unwrap()), (vec![8], None));
    assert_eq!(sequences(run.events_by_type("odd", 9, 1, reverse).unwrap()), (vec![9], Some(7)));
    let counts = ["even", "odd", "rare", "none"].map(|kind| run.event_count_of(kind).unwrap().value);
    assert_eq!((counts, run.event_count().unwrap().value), ([5, 5, 1, 0], 11), "all that ever were");
    run.set_event_retention(Retention::KeepLast(1)).unwrap();
    assert_eq!(run.event_head_of("even").unwrap(), None, "the newest that is there");
    assert_eq!(run.event_count_of("even").unwrap().value, 5);
    let info = run.info().unwrap();
    assert_eq!((info.event_count, info.size), (11, "rare".len() as u64 + 9));
    database.close().unwrap();
}

#[test]
fn what_is_left_comes_back_after_every_way_of_closing_and_its_chain_verifies() {
    let mut dice = Dice::new(seed());
    for options in [options(Durability::Strict, 1), busy_options(Durability::Buffered, 2)] {
        let disk = SimDisk::new(dice.roll());
        let (mut chain, mut known) = (BTreeMap::<u64, [u8; 32]>::new(), String::new());
        for round in 0..6 {
            let database = open_on(&disk, options.clone()).unwrap();
            let run = database.begin_run(RunSpec::named("run")).unwrap();
            if round == 0 {
                run.set_event_retention(Retention::KeepLast(70)).unwrap();
            } else {
                run.resume().unwrap();
                let found = of_run(&run);
                let essence = |text: &str| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(essence(&found).len(), essence(&known).len());
            }
            for number in 0..dice.below(200) as i64 {
                let event = run.append(if number % 3 == 0 { "third" } else { "step" }, number).unwrap();
                let Event { hash, .. } = run.event(event.sequence).unwrap().unwrap();
                chain.insert(event.sequence, hash);
            }
            if dice.below(2) == 0 {
                drop(database.checkpoint().unwrap());
                append(&run, 0..dice.below(9) as i64 + 1);
            }
            let (count, first) = (run.event_count().unwrap().value, run.first_event().unwrap().value);
            assert_eq!(first, count.saturating_sub(70));
            for event in run.events(0, 1_000, Direction::Forward).unwrap().events {
                assert!(chain.get(&event.sequence).is_none_or(|hash| *hash == event.hash));
            }
            let report = run.verify_chain().unwrap();
            assert_eq!((report.valid, report.first, report.length), (true, first, count));
            known = of_run(&run);
            assert!(database.verify(|_| {}).unwrap().damage.is_empty());
            match round % 2 {
                0 => database.close().unwrap(),
                _ => drop(database),
            }
        }
    }
}

#[test]
fn snapshots_transactions_forks_and_older_versions_see_what_was_there() {
    let disk = SimDisk::new(seed());
    let all = Options { retention: Retention::KeepAll, ..options(Durability::Buffered, 1) };
    let database = open_on(&disk, all.clone()).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    append(&run, 0..200);
    run.append("rare", 1).unwrap();
    let (before, was) = (run.info().unwrap().version, of_run(&run));
    let (snapshot, tx, fork) = (run.snapshot().unwrap(), run.begin(), run.fork().unwrap());
    assert_eq!(tx.event(0).unwrap().unwrap().payload, Value::Int(0));
    run.set_event_retention(Retention::KeepLast(5)).unwrap();
    append(&run, 0..100);
    assert_eq!(kept(&run), [296, 297, 298, 299, 300]);
    for _ in 0..2 {
        assert_eq!(of_run(&snapshot), was);
        assert_eq!(of_run(&run.at(before).unwrap()), was);
        assert_eq!(kept(&tx).len(), 201);
        assert_eq!((kept(&fork).len(), fork.verify_chain().unwrap().first), (201, 0));
        assert_eq!(snapshot.event_head_of("rare").unwrap().unwrap().sequence, 200);
        run.append("step", 9).unwrap();
        drop(database.checkpoint().unwrap());
    }
    let between = run.at(Version(before.0 + 2)).unwrap();
    assert_eq!(kept(&between), [296, 297, 298, 299, 300]);
    refused(between.event(295), 296);
    // What it has read is not there any more.
    tx.put("seen", 1).unwrap();
    let conflict = tx.commit().unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict, "{conflict}");
    drop((snapshot, between));
    database.close().unwrap();
    let database = open_on(&disk, all).unwrap();
    let (run, fork) = (database.run(run.id()), database.run(fork.id()));
    assert_eq!((of_run(&run.at(before).unwrap()), kept(&fork).len()), (was, 201));
    database.close().unwrap();
}

#[test]
fn a_fork_keeps_what_its_parent_says_and_removes_what_it_inherited_for_itself() {
    let disk = SimDisk::new(seed());
    for options in [options(Durability::Strict, 1), busy_options(Durability::Buffered, 1)] {
        let database = open_on(&disk, options.clone()).unwrap();
        let run = database.create_run(RunSpec::default()).unwrap();
        append(&run, 0..100);
        run.set_event_retention(Retention::KeepLast(80)).unwrap();
        let (fork, beyond) = (run.fork().unwrap(), run.fork().unwrap());
        assert_eq!(fork.info().unwrap().event_retention, Some(Retention::KeepLast(80)));
        append(&fork, 0..30);
        assert_eq!(
            (kept(&fork).len(), fork.first_event().unwrap().value),
            (80, 50),
            "some of what it inherited"
        );
        append(&beyond, 0..150);
        assert_eq!(beyond.first_event().unwrap().value, 170, "all of what it inherited, and some of its own");
        let deeper = beyond.fork().unwrap();
        deeper.append("deep", 1).unwrap();
        assert_eq!(kept(&run), Vec::from_iter(20..100));
        run.delete_run().unwrap();
        let runs = [&fork, &beyond, &deeper].map(|run| (run.id(), of_run(run)));
        drop(database.checkpoint().unwrap());
        database.close().unwrap();
        let database = open_on(&disk, options).unwrap();
        for (id, was) in runs {
            let run = database.run(id);
            assert_eq!(of_run(&run), was);
            run.append("step", 1).unwrap();
            assert_eq!((kept(&run).len(), run.verify_chain().unwrap().valid), (80, true));
        }
        database.close().unwrap();
    }
}

#[test]
fn one_commit_removes_what_it_appends_and_some_thousands_more() {
    let (database, run) = one_run();
    append(&run, 0..20_000);
    run.set_event_retention(Retention::KeepLast(10)).unwrap();
    assert_eq!(run.first_event().unwrap().value, 4_096);
    run.append("step", 1).unwrap();
    assert_eq!(run.first_event().unwrap().value, 8_193);
    run.set_event_retention(Retention::KeepLast(10)).unwrap();
    assert_eq!(run.first_event().unwrap().value, 12_289, "setting it again goes on");
    append(&run, 0..30_000);
    assert_eq!(run.first_event().unwrap().value, 46_385);
    append(&run, 0..1);
    assert_eq!((run.first_event().unwrap().value, run.event_count().unwrap().value), (49_992, 50_002));
    assert!(run.verify_chain().unwrap().valid);
    database.close().unwrap();
}

#[test]
fn a_follower_that_is_behind_what_was_removed_is_told_so() {
    let (database, run) = one_run();
    append(&run, 0..10);
    let second = Duration::from_secs(1);
    let (mut early, mut late) = (run.subscribe_events(0).unwrap(), run.subscribe_events(9).unwrap());
    run.set_event_retention(Retention::KeepLast(3)).unwrap();
    refused(early.next(second), 7);
    refused(early.next(second), 7);
    refused(run.subscribe_events(0).map(drop), 7);
    refused(run.subscribe_events(6).map(drop), 7);
    assert_eq!(late.next(second).unwrap().unwrap().sequence, 9);
    let mut follower = run.subscribe_events(run.first_event().unwrap().value).unwrap();
    for sequence in 7..10 {
        assert_eq!(follower.next(second).unwrap().unwrap().sequence, sequence);
    }
    assert_eq!(follower.next(Duration::ZERO).unwrap(), None);
    // More at once than are kept: it has waited for the first of them.
    append(&run, 0..5);
    refused(follower.next(second), 12);
    refused(late.next(second), 12);
    let mut commits = run.subscribe_commits(run.info().unwrap().version).unwrap();
    run.append("step", 1).unwrap();
    match commits.next(second).unwrap().unwrap() {
        strata::Notice::Commit(notice) => assert_eq!(notice.changes, [EntityRef::event(run.id(), 15)]),
        other => panic!("{other:?}"),
    }
    database.close().unwrap();
}

#[test]
fn batches_transactions_and_closures_remove_what_their_commit_makes_superfluous() {
    let (database, run) = one_run();
    let mut batch = run.batch();
    batch.set_event_retention(Retention::KeepLast(2)).unwrap();
    for number in 0..5 {
        batch.append("step", number).unwrap();
    }
    run.commit(batch).unwrap();
    assert_eq!(kept(&run), [3, 4]);
    run.transaction(|tx| {
        (0..3).try_for_each(|number| tx.append("step", number).map(drop))?;
        assert_eq!(kept(tx), [3, 4, 5, 6, 7], "they go with the commit");
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(kept(&run), [6, 7]);
    run.execute(|state| {
        state.append("step", 1)?;
        assert_eq!(kept(state), [6, 7, 8]);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(kept(&run), [7, 8]);
    // A transaction that has seen an event which others have removed since begins anew.
    let mut attempts = 0;
    run.transaction(|tx| {
        attempts += 1;
        let first = tx.first_event()?.value;
        assert!(tx.event(first)?.is_some());
        if attempts == 1 {
            run.append("step", 2).unwrap();
        }
        tx.put("first", first as i64).map(drop)
    })
    .unwrap();
    assert_eq!((attempts, run.get("first").unwrap().unwrap().value), (2, Value::Int(8)));
    run.set_event_retention(None).unwrap();
    run.end(strata::RunStatus::Completed).unwrap();
    run.set_event_retention(Retention::KeepLast(1)).unwrap();
    assert_eq!(kept(&run), [9], "whatever the status");
    database.close().unwrap();
}

/// A run in a directory that gives up what it does not keep, and its events too.
fn brief(path: &Path) -> (Database, RunHandle) {
    let options = Options {
        retention: Retention::KeepLast(1),
        checkpoint_log_size: 64 << 10,
        checkpoint_interval: Duration::from_millis(1),
        ..options(Durability::Buffered, 1)
    };
    let database = Database::open(path, options).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    (database, run)
}

#[test]
fn what_a_run_does_not_keep_leaves_the_disk_with_its_history() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let (database, run) = brief(&path);
    for number in 0..200 {
        run.append("step", format!("payload {number:04} {}", "x".repeat(5_000))).unwrap();
    }
    drop(database.checkpoint().unwrap());
    let size_before = bytes_of(&path).len();
    run.set_event_retention(Retention::KeepLast(3)).unwrap();
    for _ in 0..3 {
        run.put("turn", 1).unwrap();
        drop(database.checkpoint().unwrap());
    }
    database.compact(Compaction::Full).unwrap();
    database.close().unwrap();
    let bytes = bytes_of(&path);
    assert!(size_before > 1_000_000 && bytes.len() < 400_000, "{size_before} and {}", bytes.len());
    let found = Vec::from_iter((0..200).filter(|number| holds(&bytes, &format!("payload {number:04}"))));
    assert_eq!(found, [197, 198, 199]);
}

#[test]
fn a_run_that_keeps_its_last_events_stays_small_however_many_come() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let (database, run) = brief(&path);
    run.set_event_retention(Retention::KeepLast(1_000)).unwrap();
    let (mut memory_max, mut disk_max) = (0, 0);
    for round in 0..1_000 {
        append(&run, 0..1_000);
        memory_max = memory_max.max(database.stats().unwrap().shards[0].memory);
        if round % 50 == 49 {
            disk_max = disk_max.max(bytes_of(&path).len());
        }
    }
    let (count, first) = (run.event_count().unwrap().value, run.first_event().unwrap().value);
    assert_eq!((count, first), (1_000_000, 999_000));
    assert!(memory_max < 1 << 20, "{memory_max} bytes of memory");
    assert!(disk_max < 64 << 20, "{disk_max} bytes on disk");
    assert!(run.verify_chain().unwrap().valid);
    database.close().unwrap();
}

#[test]
fn a_run_as_large_as_it_may_be_goes_on_when_it_keeps_less() {
    let limits = Limits { run_size_max: 200 << 10, ..Limits::default() };
    let (database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
    let payload = || "x".repeat(1 << 10);
    let full = (0..1_000).find_map(|_| run.append("step", payload()).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::InvalidArgument, "{full}");
    run.set_event_retention(Retention::KeepLast(50)).unwrap();
    for _ in 0..1_000 {
        run.append("step", payload()).unwrap();
    }
    assert_eq!(kept(&run).len(), 50);
    database.close().unwrap();
}

/// It was refused for events that were older than what it keeps, and nothing but an append would have removed them.
#[test]
fn a_run_that_is_full_of_what_it_does_not_keep_takes_the_next_event() {
    let (limits, clock) = (Limits { run_size_max: 200 << 10, ..Limits::default() }, TestClock::at(1_000_000));
    let options = Options { limits, ..options(Durability::InMemory, 1) };
    let database = Database::start(None, options, clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::default()).unwrap();
    run.set_event_retention(Retention::KeepFor(Duration::from_secs(1))).unwrap();
    let append = || run.append("step", "x".repeat(1 << 10));
    let full = (0..1_000).find_map(|_| append().err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::InvalidArgument, "{full}");
    clock.advance(Duration::from_secs(2));
    assert_eq!(run.put("other", 1).unwrap_err().kind(), ErrorKind::InvalidArgument, "this removes nothing");
    let count = run.event_count().unwrap().value;
    append().unwrap();
    assert_eq!(kept(&run), [count]);
    run.put("other", 1).unwrap();
    database.close().unwrap();
}

#[test]
fn an_event_that_was_removed_is_erased_from_the_versions_that_show_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.append_many((0..20).map(|number| ("step", format!("secret {number:02}")))).unwrap();
    drop(database.checkpoint().unwrap());
    let shown = run.info().unwrap().version;
    let (snapshot, fork) = (run.snapshot().unwrap(), run.fork().unwrap());
    run.set_event_retention(Retention::KeepLast(4)).unwrap();
    run.append_many((20..30).map(|number| ("step", format!("secret {number:02}")))).unwrap();
    drop(database.checkpoint().unwrap());
    let erase = |run: &RunHandle, sequence, versions| {
        run.erase(&EntityRef::event(run.id(), sequence), versions, "asked for")
    };
    assert!(erase(&run, 7, ErasedVersions::All).unwrap().is_some());
    assert!(erase(&run, 7, ErasedVersions::All).unwrap().is_none(), "it is erased");
    // This one was removed by the commit that appended it.
    assert!(erase(&run, 21, ErasedVersions::All).unwrap().is_some());
    assert!(erase(&run, 27, ErasedVersions::All).unwrap().is_some(), "and this one is there");
    let inherited = erase(&fork, 3, ErasedVersions::All).unwrap_err();
    assert_eq!(inherited.kind(), ErrorKind::InvalidArgument, "{inherited}");
    for reads in [&run.at(shown).unwrap() as &dyn Reads, &snapshot, &fork] {
        assert_eq!(reads.event(7).unwrap().unwrap().payload, Value::Erased);
        assert_eq!(reads.event(6).unwrap().unwrap().payload, Value::from("secret 06"));
        let chain = reads.verify_chain().unwrap();
        assert_eq!((chain.valid, chain.erased), (true, 1));
    }
    fork.set_event_retention(Retention::KeepLast(2)).unwrap();
    let inherited = erase(&fork, 3, ErasedVersions::All).unwrap_err();
    assert_eq!(inherited.kind(), ErrorKind::InvalidArgument, "{inherited}");
    drop(snapshot);
    database.compact(Compaction::Full).unwrap();
    let was = run.at(shown).unwrap();
    assert_eq!(was.event(7).unwrap().unwrap().payload, Value::Erased);
    assert!(was.verify_chain().unwrap().valid);
    drop(was);
    database.close().unwrap();
    let bytes = bytes_of(&path);
    let gone = Vec::from_iter((0..30).filter(|number| !holds(&bytes, &format!("secret {number:02}"))));
    assert_eq!(gone, [7, 21, 27], "the history of the others is kept");
}

#[test]
fn a_run_travels_with_what_it_keeps() {
    let scratch = tempfile::tempdir().unwrap();
    let [path, other, file] = ["a.db", "b.db", "run.arc"].map(|name| scratch.path().join(name));
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    append(&run, 0..50);
    run.set_event_retention(Retention::KeepLast(20)).unwrap();
    append(&run, 0..5);
    run.export(&file).unwrap();
    let known = |run: &RunHandle| (1..4).map(|version| of_run(&run.at(Version(version)).unwrap())).collect();
    let was: Vec<String> = known(&run);
    database.close().unwrap();
    let database = Database::open(&other, options(Durability::Buffered, 2)).unwrap();
    let run = database.import(&file).unwrap();
    assert_eq!((kept(&run), known(&run)), (Vec::from_iter(35..55), was.clone()));
    append(&run, 0..30);
    let fork = run.fork().unwrap();
    append(&fork, 0..1);
    database.close().unwrap();
    let database = Database::open(&other, options(Durability::Buffered, 3)).unwrap();
    let (run, fork) = (database.run(run.id()), database.run(fork.id()));
    assert_eq!((kept(&run), known(&run)), (Vec::from_iter(65..85), was));
    assert_eq!((kept(&fork), fork.verify_chain().unwrap().valid), (Vec::from_iter(66..86), true));
    database.close().unwrap();
}
