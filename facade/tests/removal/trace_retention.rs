//! Traces that a run does not keep: exactly those go, and whoever asks for them is told so. What is alike for events and traces is
//! tested with both in `entry_retention.rs` and `entry_retention_model.rs`.

use std::path::Path;
use std::time::Duration;

use strata::{
    Compaction, Database, Direction, Durability, EntityRef, ErasedVersions, Error, ErrorKind, Limits,
    NewTrace, Options, Reads, Retention, RunHandle, RunSpec, TraceContent, TraceEnd, TraceFilter, TraceId,
    Value, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::contents::of_run;
use crate::support::{TestClock, busy_options, one_run, one_run_on, open_on, options, seed};

fn id(number: u64) -> TraceId {
    TraceId::from_bytes((u128::from(number) << 8 | 0x5a).to_be_bytes())
}

fn step(number: u64, parent: Option<u64>, text: &str) -> NewTrace {
    let content = TraceContent::Custom { kind: "step".into(), content: Value::from([("text", text.into())]) };
    NewTrace { parent: parent.map(id), ..NewTrace::new(id(number), content) }
}

fn record(run: &impl Writes, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| _ = run.trace_record(step(number, None, "done")).unwrap());
}

/// Many in one commit.
fn record_at_once(run: &RunHandle, numbers: std::ops::Range<u64>) {
    let mut batch = run.batch();
    numbers.for_each(|number| _ = batch.trace_record(step(number, None, "done")).unwrap());
    run.commit(batch).unwrap();
}

fn any() -> TraceFilter {
    TraceFilter::default()
}

fn number_of(id: TraceId) -> u64 {
    (u128::from_be_bytes(*id.as_bytes()) >> 8) as u64
}

fn found(run: &dyn Reads, filter: &TraceFilter) -> Vec<u64> {
    let page = run.trace_list(filter, None, 10_000, Direction::Forward).unwrap();
    page.traces.iter().map(|trace| number_of(trace.id)).collect()
}

fn kept(run: &dyn Reads) -> Vec<u64> {
    found(run, &any())
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, earliest: u64) {
    let error = answer.expect_err("it is not kept any more");
    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
    assert!(error.message().ends_with(&format!("the earliest is {earliest}")), "{error}");
}

#[test]
fn behind_every_record_the_last_so_many_traces_are_there() {
    let (database, run) = one_run();
    record(&run, 0..4);
    assert_eq!(run.info().unwrap().trace_retention, None);
    run.set_trace_retention(Retention::KeepLast(3)).unwrap();
    let said = run.info().unwrap().trace_retention;
    assert_eq!((kept(&run), said), (vec![1, 2, 3], Some(Retention::KeepLast(3))));
    for number in 4..20 {
        match number % 2 {
            0 => drop(run.trace_begin(step(number, None, "begun")).unwrap()),
            _ => drop(run.trace_record(step(number, Some(number - 1), "done")).unwrap()),
        }
        assert_eq!(kept(&run), [number - 2, number - 1, number]);
        let counts = (run.first_trace().unwrap().value, run.trace_count(None).unwrap().value);
        assert_eq!((counts, run.info().unwrap().trace_count), ((number - 2, number + 1), number + 1));
    }
    record_at_once(&run, 20..70);
    assert_eq!(kept(&run), [67, 68, 69]);
    // What is gone does not come back, and events are none of this.
    for all in [Some(Retention::KeepAll), None] {
        run.set_trace_retention(all).unwrap();
        run.append("step", 1).unwrap();
    }
    record(&run, 70..72);
    assert_eq!((kept(&run), run.first_event().unwrap().value), (vec![67, 68, 69, 70, 71], 0));
    let nothing = run.set_trace_retention(Retention::KeepLast(0)).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::InvalidArgument);
    database.close().unwrap();
}

#[test]
fn behind_every_record_the_traces_are_there_that_are_not_older_than_that() {
    let clock = TestClock::at(1_000_000);
    let (database, run) = one_run_on(&clock);
    run.set_trace_retention(Retention::KeepFor(Duration::from_micros(10))).unwrap();
    for number in 0..5 {
        clock.set(1_000_000 + number * 4);
        run.trace_begin(step(number, None, "begun")).unwrap();
    }
    assert_eq!(kept(&run), [2, 3, 4]);
    clock.set(1_000_018);
    run.trace_begin(step(5, None, "begun")).unwrap();
    assert_eq!(kept(&run), [2, 3, 4, 5], "10 old is not older than 10");
    clock.set(2_000_000);
    run.trace_end(id(2), TraceEnd::default()).unwrap();
    run.append("step", 1).unwrap();
    assert_eq!(kept(&run), [2, 3, 4, 5], "nothing goes by itself, nor with a commit that records none");
    record(&run, 6..7);
    assert_eq!(kept(&run), [6], "a span is as old as its beginning");
    clock.set(3_000_000);
    run.set_trace_retention(Retention::KeepFor(Duration::ZERO)).unwrap();
    assert_eq!((kept(&run), run.first_trace().unwrap().value), (vec![], 7));
    record_at_once(&run, 7..9);
    assert_eq!(kept(&run), [7, 8], "both are of one time");
    database.close().unwrap();
}

#[test]
fn what_was_removed_of_traces_is_refused_with_the_earliest_and_never_a_neighbour() {
    let (database, run) = one_run();
    run.trace_begin(step(0, None, "outer")).unwrap();
    for number in 1..8 {
        let kind = if number % 2 == 0 { "even" } else { "odd" };
        let content = TraceContent::Custom { kind: kind.into(), content: Value::Null };
        let tags = vec![format!("tag{number}")];
        let trace = NewTrace { parent: Some(id(0)), tags, ..NewTrace::new(id(number), content) };
        run.trace_begin(trace).unwrap();
    }
    run.trace_record(step(8, Some(7), "inner")).unwrap();
    let unknown = step(20, Some(30), "below what never was");
    assert_eq!(run.trace_record(unknown.clone()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(run.trace_get(id(30)).unwrap(), None);
    run.set_trace_retention(Retention::KeepLast(4)).unwrap();
    // Whether one was removed or never was is not known any more.
    for number in (0..5).chain([30]) {
        refused(run.trace_get(id(number)), 5);
        refused(run.stat(&EntityRef::trace(run.id(), id(number))), 5);
        refused(run.trace_tree(id(number), 9), 5);
        refused(run.trace_end(id(number), TraceEnd::default()), 5);
    }
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    for place in 0..5 {
        refused(run.trace_list(&any(), Some(place), 9, reverse), 5);
        if place > 0 {
            refused(run.trace_list(&any(), Some(place), 9, forward), 5);
            refused(run.trace_children(id(0), Some(place), 9), 5);
        }
    }
    // A page from the beginning has what is there of what it asks for.
    let of_kind = |kind: &str| TraceFilter { kind: Some(kind.into()), ..any() };
    let tagged = |number: u64| TraceFilter { tag: Some(format!("tag{number}")), ..any() };
    let below = |number| TraceFilter { parent: Some(id(number)), ..any() };
    let open = TraceFilter { is_open: Some(true), ..any() };
    assert_eq!((kept(&run), found(&run, &of_kind("odd"))), (vec![5, 6, 7, 8], vec![5, 7]));
    assert_eq!((found(&run, &tagged(4)), found(&run, &tagged(6))), (vec![], vec![6]));
    assert_eq!((found(&run, &below(0)), found(&run, &open)), (vec![5, 6, 7], vec![5, 6, 7]));
    let page = |start, limit, direction| {
        let page = run.trace_list(&any(), start, limit, direction).unwrap();
        (Vec::from_iter(page.traces.iter().map(|trace| number_of(trace.id))), page.next)
    };
    assert_eq!(page(Some(0), 2, forward), (vec![5, 6], Some(7)));
    assert_eq!(page(Some(7), 9, forward), (vec![7, 8], None));
    assert_eq!(page(Some(6), 1, reverse), (vec![6], Some(5)));
    assert_eq!(page(Some(99), 9, forward), (vec![], None));
    let counts = [None, Some("even"), Some("odd"), Some("step"), Some("none")];
    assert_eq!(
        counts.map(|kind| run.trace_count(kind).unwrap().value),
        [9, 3, 4, 2, 0],
        "all that ever were"
    );
    // Where a trace is there, all below it is; its parent is told though that is gone.
    let tree = run.trace_tree(id(7), 9).unwrap();
    assert_eq!(
        tree.nodes.iter().map(|(depth, trace)| (*depth, number_of(trace.id))).collect::<Vec<_>>(),
        [(0, 7), (1, 8)]
    );
    assert_eq!(run.trace_get(id(7)).unwrap().unwrap().parent, Some(id(0)));
    // Work goes on below what is gone, and below what may be.
    run.trace_record(step(9, Some(0), "goes on")).unwrap();
    run.trace_record(unknown).unwrap();
    assert_eq!((kept(&run), found(&run, &below(0))), (vec![7, 8, 9, 20], vec![7, 9]));
    run.trace_end(id(7), TraceEnd::default()).unwrap();
    let taken = run.trace_record(step(8, None, "again")).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    run.trace_begin(step(0, None, "another")).unwrap();
    assert_eq!(run.trace_get(id(0)).unwrap().unwrap().content, step(0, None, "another").content);
    assert_eq!(kept(&run), [8, 9, 20, 0]);
    assert_eq!(found(&run, &below(0)), [9], "it names an id");
    assert_eq!(run.trace_tree(id(0), 9).unwrap().nodes.len(), 1, "what was there before is not below it");
    database.close().unwrap();
}

#[test]
fn traces_that_were_removed_are_where_they_were_seen() {
    let disk = SimDisk::new(seed());
    let all = Options { retention: Retention::KeepAll, ..options(Durability::Buffered, 1) };
    let database = open_on(&disk, all.clone()).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.trace_begin(step(0, None, "outer")).unwrap();
    (1..200).for_each(|number| _ = run.trace_begin(step(number, Some(number - 1), "begun")).unwrap());
    let (before, was) = (run.info().unwrap().version, of_run(&run));
    let (snapshot, tx, fork) = (run.snapshot().unwrap(), run.begin(), run.fork().unwrap());
    assert_eq!(tx.trace_tree(id(0), 1_000).unwrap().nodes.len(), 200);
    run.trace_end(id(3), TraceEnd::default()).unwrap();
    run.trace_end(id(198), TraceEnd::default()).unwrap();
    run.set_trace_retention(Retention::KeepLast(5)).unwrap();
    record(&run, 200..203);
    run.trace_end(id(199), TraceEnd::default()).unwrap();
    assert_eq!(kept(&run), [198, 199, 200, 201, 202]);
    for number in 203..205 {
        assert_eq!(of_run(&snapshot), was);
        assert_eq!(of_run(&run.at(before).unwrap()), was);
        assert_eq!((kept(&tx).len(), kept(&fork).len()), (200, 200));
        assert_eq!(snapshot.trace_tree(id(0), 1_000).unwrap().nodes.len(), 200);
        assert!(snapshot.trace_get(id(3)).unwrap().unwrap().ended.is_none());
        record(&run, number..number + 1);
        drop(database.checkpoint().unwrap());
    }
    let between = run.at(strata::Version(before.0 + 3)).unwrap();
    assert_eq!(kept(&between), [195, 196, 197, 198, 199]);
    refused(between.trace_get(id(194)), 195);
    tx.put("seen", 1).unwrap();
    let conflict = tx.commit().unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict, "{conflict}");
    drop((snapshot, between));
    database.close().unwrap();
    let database = open_on(&disk, all).unwrap();
    let (run, fork) = (database.run(run.id()), database.run(fork.id()));
    assert_eq!((of_run(&run.at(before).unwrap()), kept(&fork).len()), (was, 200));
    database.close().unwrap();
}

#[test]
fn a_fork_removes_traces_that_it_inherited_and_has_ended() {
    let disk = SimDisk::new(seed());
    for options in [options(Durability::Strict, 1), busy_options(Durability::Buffered, 1)] {
        let database = open_on(&disk, options.clone()).unwrap();
        let run = database.create_run(RunSpec::default()).unwrap();
        (0..100).for_each(|number| _ = run.trace_begin(step(number, None, "begun")).unwrap());
        run.set_trace_retention(Retention::KeepLast(80)).unwrap();
        let (fork, beyond, small) = (run.fork().unwrap(), run.fork().unwrap(), run.fork().unwrap());
        assert_eq!(fork.info().unwrap().trace_retention, Some(Retention::KeepLast(80)));
        let large = TraceEnd { result: Some("x".repeat(100_000).into()), ..TraceEnd::default() };
        for number in [20, 49, 60] {
            fork.trace_end(id(number), large.clone()).unwrap();
        }
        record(&fork, 100..130);
        assert_eq!((kept(&fork), fork.first_trace().unwrap().value), (Vec::from_iter(50..130), 50));
        beyond.trace_end(id(99), TraceEnd::default()).unwrap();
        record(&beyond, 100..250);
        assert_eq!(beyond.first_trace().unwrap().value, 170, "all of what it inherited, and some of its own");
        small.trace_end(id(20), TraceEnd::default()).unwrap();
        record(&small, 100..101);
        let deeper = beyond.fork().unwrap();
        record(&deeper, 250..251);
        assert_eq!(kept(&run), Vec::from_iter(20..100));
        run.delete_run().unwrap();
        let runs = [&fork, &beyond, &small, &deeper].map(|run| (run.id(), of_run(run)));
        drop(database.checkpoint().unwrap());
        database.close().unwrap();
        let database = open_on(&disk, options).unwrap();
        for (id, was) in runs {
            let run = database.run(id);
            assert_eq!(of_run(&run), was);
            record(&run, 900..901);
            assert_eq!(kept(&run).len(), 80);
        }
        assert!(database.verify(|_| {}).unwrap().damage.is_empty());
        database.close().unwrap();
    }
}

#[test]
fn one_commit_removes_the_traces_it_records_and_some_thousands_more() {
    let (database, run) = one_run();
    (0..10).for_each(|part| record_at_once(&run, part * 2_000..(part + 1) * 2_000));
    run.set_trace_retention(Retention::KeepLast(10)).unwrap();
    assert_eq!(run.first_trace().unwrap().value, 4_096);
    record(&run, 20_000..20_001);
    assert_eq!(run.first_trace().unwrap().value, 8_193);
    run.set_trace_retention(Retention::KeepLast(10)).unwrap();
    assert_eq!(run.first_trace().unwrap().value, 12_289, "setting it again goes on");
    record_at_once(&run, 20_001..23_001);
    assert_eq!(run.first_trace().unwrap().value, 19_385);
    record(&run, 23_001..23_002);
    assert_eq!((run.first_trace().unwrap().value, kept(&run)), (22_992, Vec::from_iter(22_992..23_002)));
    let mut commits = run.subscribe_commits(run.info().unwrap().version).unwrap();
    record(&run, 23_002..23_003);
    match commits.next(Duration::from_secs(1)).unwrap().unwrap() {
        strata::Notice::Commit(notice) => {
            assert_eq!(notice.changes, [EntityRef::trace(run.id(), id(23_002))], "what went is not told");
        }
        other => panic!("{other:?}"),
    }
    database.close().unwrap();
}

/// As with events: nothing but a record removes.
#[test]
fn a_run_that_is_full_of_traces_it_does_not_keep_takes_the_next_one() {
    let (limits, clock) = (Limits { run_size_max: 200 << 10, ..Limits::default() }, TestClock::at(1_000_000));
    let options = Options { limits, ..options(Durability::InMemory, 1) };
    let database = Database::start(None, options, clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::default()).unwrap();
    run.set_trace_retention(Retention::KeepFor(Duration::from_secs(1))).unwrap();
    let record = |number| run.trace_record(step(number, None, &"x".repeat(1 << 10)));
    let full = (0..1_000).find_map(|number| record(number).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::InvalidArgument, "{full}");
    clock.advance(Duration::from_secs(2));
    assert_eq!(run.put("other", 1).unwrap_err().kind(), ErrorKind::InvalidArgument, "this removes nothing");
    record(1_000).unwrap();
    assert_eq!(kept(&run), [1_000]);
    // Events and traces that go with one commit both make room.
    run.set_event_retention(Retention::KeepFor(Duration::from_secs(1))).unwrap();
    for number in 0.. {
        let mut batch = run.batch();
        batch.append("step", "x".repeat(1 << 10)).unwrap();
        batch.trace_record(step(2_000 + number, None, &"x".repeat(1 << 10))).unwrap();
        if run.commit(batch).is_err() {
            break;
        }
    }
    clock.advance(Duration::from_secs(2));
    let mut batch = run.batch();
    batch.append("step", "x".repeat(80 << 10)).unwrap();
    batch.trace_record(step(5_000, None, &"x".repeat(80 << 10))).unwrap();
    run.commit(batch).unwrap();
    assert_eq!((kept(&run), run.events(0, 9, Direction::Forward).unwrap().events.len()), (vec![5_000], 1));
    database.close().unwrap();
}

#[test]
fn a_trace_that_was_removed_is_erased_from_the_versions_that_show_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    let begin = |run: &RunHandle, number: u64, secret: u64| {
        run.trace_begin(step(number, None, &format!("secret {secret:02}"))).unwrap();
    };
    (0..20).for_each(|number| begin(&run, number, number));
    let shown = run.info().unwrap().version;
    let result =
        |secret: u64| TraceEnd { result: Some(format!("secret {secret:02}").into()), ..TraceEnd::default() };
    run.trace_end(id(7), result(47)).unwrap();
    drop(database.checkpoint().unwrap());
    let (snapshot, fork) = (run.snapshot().unwrap(), run.fork().unwrap());
    fork.trace_end(id(8), result(48)).unwrap();
    run.set_trace_retention(Retention::KeepLast(4)).unwrap();
    (20..30).for_each(|number| begin(&run, number, number));
    drop(database.checkpoint().unwrap());
    let erase = |run: &RunHandle, number| {
        run.erase(&EntityRef::trace(run.id(), id(number)), ErasedVersions::All, "asked for")
    };
    assert!(erase(&run, 7).unwrap().is_some());
    assert!(erase(&run, 7).unwrap().is_none(), "it is erased");
    assert!(erase(&run, 8).unwrap().is_some(), "and what the fork has made of it");
    assert!(erase(&run, 22).unwrap().is_some());
    assert!(erase(&run, 27).unwrap().is_some(), "this one is there");
    // Another one under an id that was given before: both go.
    begin(&run, 5, 35);
    assert!(erase(&run, 5).unwrap().is_some());
    let inherited = erase(&fork, 3).unwrap_err();
    assert_eq!(inherited.kind(), ErrorKind::InvalidArgument, "{inherited}");
    let content = |reads: &dyn Reads, number| reads.trace_get(id(number)).unwrap().unwrap().content;
    for reads in [&run.at(shown).unwrap() as &dyn Reads, &snapshot, &fork] {
        for number in [5, 7, 8] {
            assert_eq!(content(reads, number), TraceContent::Erased { kind: "step".into() }, "{number}");
        }
        assert_eq!(content(reads, 6), step(6, None, "secret 06").content);
    }
    assert_eq!(content(&run, 5), TraceContent::Erased { kind: "step".into() });
    fork.set_trace_retention(Retention::KeepLast(2)).unwrap();
    let inherited = erase(&fork, 3).unwrap_err();
    assert_eq!(inherited.kind(), ErrorKind::InvalidArgument, "{inherited}");
    drop(snapshot);
    database.compact(Compaction::Full).unwrap();
    assert_eq!(content(&run.at(shown).unwrap(), 7), TraceContent::Erased { kind: "step".into() });
    database.close().unwrap();
    let bytes = bytes_of(&path);
    let is_gone = |number: &u64| {
        let secret = format!("secret {number:02}");
        !bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
    };
    let secrets = (0..30).chain([35, 47, 48]);
    assert_eq!(Vec::from_iter(secrets.filter(is_gone)), [5, 7, 8, 22, 27, 35, 47, 48]);
}

/// Every file of a store.
fn bytes_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for path in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => bytes.extend(bytes_of(&path)),
            false => bytes.extend(std::fs::read(path).unwrap_or_default()),
        }
    }
    bytes
}

#[test]
fn a_run_that_keeps_its_last_traces_stays_small_and_travels_with_them() {
    let scratch = tempfile::tempdir().unwrap();
    let [path, other, file] = ["a.db", "b.db", "run.arc"].map(|name| scratch.path().join(name));
    let options = Options {
        retention: Retention::KeepLast(1),
        checkpoint_log_size: 64 << 10,
        checkpoint_interval: Duration::from_millis(1),
        ..options(Durability::Buffered, 1)
    };
    let database = Database::open(&path, options.clone()).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.set_trace_retention(Retention::KeepLast(1_000)).unwrap();
    let mut memory_max = 0;
    for round in 0..100 {
        record_at_once(&run, round * 1_000..(round + 1) * 1_000);
        memory_max = memory_max.max(database.stats().unwrap().shards[0].memory);
    }
    assert_eq!((run.first_trace().unwrap().value, run.trace_count(None).unwrap().value), (99_000, 100_000));
    assert!(memory_max < 2 << 20, "{memory_max} bytes of memory");
    run.put("turn", 1).unwrap();
    database.compact(Compaction::Full).unwrap();
    assert!(bytes_of(&path).len() < 4 << 20, "{} bytes on disk", bytes_of(&path).len());
    run.export(&file).unwrap();
    let was = of_run(&run);
    database.close().unwrap();
    let database = Database::open(&other, options.clone()).unwrap();
    let run = database.import(&file).unwrap();
    let traces =
        |text: &str| text.lines().filter(|line| line.contains("race")).collect::<Vec<_>>().join("\n");
    assert_eq!(traces(&of_run(&run)), traces(&was));
    record(&run, 200_000..200_030);
    let fork = run.fork().unwrap();
    record(&fork, 300_000..300_001);
    database.close().unwrap();
    let database = Database::open(&other, options).unwrap();
    let (run, fork) = (database.run(run.id()), database.run(fork.id()));
    assert_eq!((run.first_trace().unwrap().value, fork.first_trace().unwrap().value), (99_030, 99_031));
    assert_eq!((kept(&run).len(), kept(&fork).len()), (1_000, 1_000));
    database.close().unwrap();
}

/// How many events, and how many traces, are there.
fn counts(run: &RunHandle) -> (u64, u64) {
    let events = run.event_count().unwrap().value - run.first_event().unwrap().value;
    (events, run.trace_count(None).unwrap().value - run.first_trace().unwrap().value)
}

fn add(run: &RunHandle, number: u64) {
    run.append("step", number as i64).unwrap();
    record(run, number..number + 1);
}

#[test]
fn a_run_keeps_what_the_store_says_unless_it_says_so_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let [path, other, file] = ["a.db", "b.db", "run.arc"].map(|name| scratch.path().join(name));
    let saying = |events, traces| Options {
        event_retention: events,
        trace_retention: traces,
        ..options(Durability::Buffered, 1)
    };
    let (all, last) = (Retention::KeepAll, Retention::KeepLast);
    let database = Database::open(&path, saying(last(3), last(2))).unwrap();
    let run = database.begin_run(RunSpec::named("plain")).unwrap();
    let spec =
        RunSpec { event_retention: Some(last(5)), trace_retention: Some(all), ..RunSpec::named("own") };
    let own = database.begin_run(spec.clone()).unwrap();
    (0..10).for_each(|number| [&run, &own].into_iter().for_each(|run| add(run, number)));
    assert_eq!((counts(&run), counts(&own)), ((3, 2), (5, 10)));
    let said = |run: &RunHandle| {
        let info = run.info().unwrap();
        (info.event_retention, info.trace_retention)
    };
    assert_eq!((said(&run), said(&own)), ((None, None), (Some(last(5)), Some(all))));
    // A run that is there is resumed as it is.
    let again = RunSpec { event_retention: Some(last(1)), ..RunSpec::named("own") };
    assert_eq!(said(&database.begin_run(again).unwrap()), (Some(last(5)), Some(all)));
    // Forks say what their parent says, and nothing where that says nothing.
    let forks = [run.fork().unwrap(), own.fork().unwrap()];
    assert_eq!(forks.each_ref().map(said), [said(&run), said(&own)]);
    forks.iter().for_each(|fork| add(fork, 10));
    assert_eq!(forks.each_ref().map(counts), [(3, 2), (5, 11)]);
    // It says so no more: the store does.
    own.set_event_retention(None).unwrap();
    own.set_trace_retention(None).unwrap();
    assert_eq!((counts(&own), said(&own)), ((3, 2), (None, None)));
    run.export(&file).unwrap();
    database.close().unwrap();

    // What the store is opened with counts from the next one on that is added; nothing comes back, and who only reads removes nothing.
    let database = Database::open(&path, saying(last(1), all)).unwrap();
    let run = database.begin_run(RunSpec::named("plain")).unwrap();
    assert_eq!(counts(&run), (3, 2));
    add(&run, 11);
    assert_eq!(counts(&run), (1, 3));
    let snapshot = run.snapshot().unwrap();
    assert_eq!(snapshot.first_event().unwrap().value, 10);
    drop(snapshot);
    database.close().unwrap();
    let database = Database::open_read_only(&path, saying(last(1), last(1))).unwrap();
    assert_eq!(counts(&database.run(run.id())), (1, 3));
    database.close().unwrap();

    // What is imported says what it said.
    let database = Database::open(&other, saying(last(2), last(1))).unwrap();
    let run = database.import(&file).unwrap();
    assert_eq!((counts(&run), said(&run)), ((3, 2), (None, None)));
    add(&run, 12);
    assert_eq!(counts(&run), (2, 1));
    database.close().unwrap();

    for (events, traces) in [(last(0), all), (all, last(0)), (all, Retention::KeepFor(Duration::MAX))] {
        let error = Database::in_memory_with(saying(events, traces)).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let database = Database::in_memory().unwrap();
    for (event_retention, trace_retention) in [(Some(last(0)), None), (None, Some(last(0)))] {
        let spec = RunSpec { event_retention, trace_retention, ..RunSpec::default() };
        assert_eq!(database.create_run(spec).map(drop).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    database.close().unwrap();
}
