//! Reads without messages: what a shard has published of a run, and when it is not read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strata::{
    Database, Direction, Durability, EntityRef, ErasedVersions, Error, ErrorKind, KvScan, Limits,
    OperationId, Options, Reads, RunHandle, RunSpec, Stamp, Value, Versioned, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::{
    TestClock, busy_options, eventually, one_run, one_run_on, one_run_with, open_on, options,
};

/// How many reads the shards have answered by message.
fn reads(database: &Database) -> u64 {
    database.stats().unwrap().shards.iter().map(|shard| shard.reads).sum()
}

fn publications(database: &Database) -> u64 {
    database.stats().unwrap().shards.iter().map(|shard| shard.publications).sum()
}

/// Asks until the run, as it is, is published for this handle.
pub(super) fn warm(database: &Database, run: &RunHandle) {
    eventually("the run is published", || reads_of(database, || drop(run.event_count())) == 0);
}

/// How many reads of those that `body` does go by message.
pub(super) fn reads_of(database: &Database, body: impl FnOnce()) -> u64 {
    let before = reads(database);
    body();
    reads(database) - before
}

pub(super) fn text(run: &impl Reads, key: &str) -> Option<String> {
    run.get(key).unwrap().map(|found| found.value.as_str().unwrap().to_owned())
}

#[test]
fn a_handle_that_reads_again_and_again_sends_no_message() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    run.append("said", 1).unwrap();
    run.cell_init("state", 7).unwrap();
    run.json_create("plan", 5).unwrap();
    warm(&database, &run);
    let sent = reads_of(&database, || {
        for _ in 0..100 {
            assert_eq!(text(&run, "city").as_deref(), Some("Oslo"));
            assert_eq!(run.get("none").unwrap(), None);
            assert_eq!(run.cell_read("state").unwrap().unwrap().value, Value::Int(7));
            assert_eq!(run.json_get("plan", "").unwrap().unwrap().value, Value::Int(5));
            assert_eq!(run.event(0).unwrap().unwrap().sequence, 0);
            assert_eq!(run.event_count().unwrap().value, 1);
            assert_eq!(run.last_events(5).unwrap().events.len(), 1);
            assert_eq!(run.clone().info().unwrap().version, run.event_count().unwrap().version);
            assert_eq!(
                run.snapshot().unwrap().get_encoded("city").unwrap().unwrap().value.as_str(),
                Some("Oslo")
            );
        }
    });
    assert_eq!(sent, 0);
}

#[test]
fn a_handle_that_reads_once_is_worth_no_publication() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    for _ in 0..10 {
        assert_eq!(text(&database.run(run.id()), "city").as_deref(), Some("Oslo"));
    }
    assert_eq!(publications(&database), 0);
}

#[test]
fn what_was_written_is_read_by_whoever_was_told_of_it() {
    let (database, run) = one_run();
    let reader = database.run(run.id());
    for number in 0..500 {
        let commit = run.put("number", number).unwrap();
        run.cell_set("cell", number).unwrap();
        let found = reader.get("number").unwrap().unwrap();
        assert_eq!((found.value, found.version), (Value::Int(number), commit.version));
        assert_eq!(reader.cell_read("cell").unwrap().unwrap().value, Value::Int(number));
        assert!(reader.event_count().unwrap().version > commit.version);
        if number % 3 == 0 {
            run.delete("number").unwrap();
            assert_eq!(reader.get("number").unwrap(), None);
        }
    }
    assert!(publications(&database) > 100, "a part of it was published");
}

/// Each writer has a key of its own and looks whether others show less than he was told, while they write.
#[test]
fn nobody_reads_less_than_he_was_told_while_others_write() {
    let (_database, run) = one_run_with(options(Durability::InMemory, 1));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (run, is_over) = (run.clone(), &is_over);
            scope.spawn(move || {
                let key = format!("number/{writer}");
                for number in 1..=3_000 {
                    run.put(&key, number).unwrap();
                    assert_eq!(run.get(&key).unwrap().unwrap().value, Value::Int(number));
                }
                is_over.store(true, Ordering::Relaxed);
            });
        }
        let mut newest = [0, 0];
        while !is_over.load(Ordering::Relaxed) {
            for (writer, newest) in newest.iter_mut().enumerate() {
                let found = run.get(&format!("number/{writer}")).unwrap();
                let number = found.map_or(0, |found| found.value.as_int().unwrap());
                assert!(number >= *newest, "{number} behind {newest}");
                *newest = number;
            }
        }
    });
}

#[test]
fn what_has_not_changed_is_read_without_a_message_while_other_things_change() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    run.append("said", 1).unwrap();
    warm(&database, &run);
    run.put("other", 1).unwrap();
    run.append("said", 2).unwrap();
    let sent = reads_of(&database, || {
        assert_eq!(text(&run, "city").as_deref(), Some("Oslo"));
        assert_eq!(run.event(0).unwrap().unwrap().payload, Value::Int(1));
    });
    assert_eq!(sent, 0);
    assert_eq!(run.event(1).unwrap().unwrap().payload, Value::Int(2));
    assert_eq!(run.event_count().unwrap().value, 2);
    assert_eq!(run.get("other").unwrap().unwrap().value, Value::Int(1));
}

#[test]
fn deadlines_pass_for_who_reads_without_a_message() {
    let clock = TestClock::at(1_000_000);
    let (database, run) = one_run_on(&clock);
    run.put_with_ttl("lease", "mine", Duration::from_secs(1)).unwrap();
    warm(&database, &run);
    assert_eq!(text(&run, "lease").as_deref(), Some("mine"));
    let snapshot = run.snapshot().unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(text(&run, "lease"), None);
    assert_eq!(text(&snapshot, "lease").as_deref(), Some("mine"), "as of when it was opened");
    // A clock that is set back does not bring back what a later commit has seen pass.
    run.put("other", 1).unwrap();
    clock.set(1_000_001);
    assert_eq!(text(&run, "lease"), None);
}

#[test]
fn a_snapshot_that_is_published_is_what_it_was_and_tells_receipts_of_its_commits() {
    let (database, run) = one_run();
    let (first, second) = (OperationId([1; 16]), OperationId([2; 16]));
    run.with_operation_id(first).put("city", "Oslo").unwrap();
    warm(&database, &run);
    let snapshot = run.snapshot().unwrap();
    assert_eq!(database.stats().unwrap().shards[0].pinned, 1);
    run.with_operation_id(second).put("city", "Bergen").unwrap();
    run.append("moved", 1).unwrap();
    assert_eq!(
        (text(&snapshot, "city").as_deref(), snapshot.event_count().unwrap().value),
        (Some("Oslo"), 0)
    );
    assert_eq!(snapshot.list(&KvScan::default()).unwrap().keys, ["city"]);
    assert!(snapshot.receipt(first).unwrap().is_some() && snapshot.receipt(second).unwrap().is_none());
    assert_eq!(text(&snapshot.detach().unwrap(), "city").as_deref(), Some("Oslo"));
    assert_eq!(text(&run, "city").as_deref(), Some("Bergen"));
    drop(snapshot);
    assert_eq!(database.stats().unwrap().shards[0].pinned, 0);
}

#[test]
fn what_is_erased_is_gone_from_what_is_published_and_from_snapshots_of_it_in_forks_too() {
    for on_disk in [false, true] {
        let disk = SimDisk::new(7);
        let database = match on_disk {
            false => Database::in_memory_with(options(Durability::InMemory, 1)).unwrap(),
            true => open_on(&disk, options(Durability::Strict, 1)).unwrap(),
        };
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("name", "Ada").unwrap();
        run.put("city", "Oslo").unwrap();
        let fork = run.fork().unwrap();
        fork.put("city", "Bergen").unwrap();
        [&run, &fork].iter().for_each(|run| warm(&database, run));
        let snapshots = [&run, &fork].map(|run| run.snapshot().unwrap());
        assert_eq!(database.stats().unwrap().shards[0].pinned, 2);
        run.erase(&EntityRef::kv(run.id(), "name"), ErasedVersions::All, "asked for").unwrap();
        for reads in [&run, &fork] as [&dyn Reads; 2] {
            assert_eq!(reads.get("name").unwrap().unwrap().value, Value::Erased);
        }
        for (snapshot, city) in snapshots.iter().zip(["Oslo", "Bergen"]) {
            assert_eq!(snapshot.get("name").unwrap().unwrap().value, Value::Erased);
            assert_eq!(snapshot.detach().unwrap().get("name").unwrap().unwrap().value, Value::Erased);
            assert_eq!(text(snapshot, "city").as_deref(), Some(city));
        }
    }
}

#[test]
fn a_snapshot_for_which_too_much_is_kept_is_given_up() {
    let limits = Limits { snapshot_size_max: 100_000, ..Limits::default() };
    let (database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
    run.put("city", "Oslo").unwrap();
    warm(&database, &run);
    let snapshot = run.snapshot().unwrap();
    for number in 0..20 {
        run.put("large", vec![number; 10_000]).unwrap();
    }
    let error = snapshot.get("city").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{error}");
    assert_eq!(snapshot.detach().unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    assert_eq!(text(&run, "city").as_deref(), Some("Oslo"));
}

#[test]
fn what_nobody_keeps_does_not_hold_what_the_run_has_replaced() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    warm(&database, &run);
    let memory = || database.stats().unwrap().shards[0].memory;
    let before = memory();
    for _ in 0..50 {
        run.put("large", vec![1; 100_000]).unwrap();
    }
    assert!(memory() < before + 2_000_000, "{} bytes, {before} before", memory());
    assert_eq!(text(&run, "city").as_deref(), Some("Oslo"));
}

#[test]
fn what_a_snapshot_keeps_stays_published_however_much_the_run_has_replaced() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    warm(&database, &run);
    let _snapshot = run.snapshot().unwrap();
    for _ in 0..50 {
        run.put("large", vec![1; 100_000]).unwrap();
    }
    let sent = reads_of(&database, || assert_eq!(text(&run, "city").as_deref(), Some("Oslo")));
    assert_eq!(sent, 0);
}

#[test]
fn a_run_that_was_deleted_and_begun_anew_is_read_as_it_is() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    warm(&database, &run);
    let snapshot = run.snapshot().unwrap();
    run.delete_run().unwrap();
    assert_eq!(run.get("city").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(run.snapshot().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(text(&snapshot, "city").as_deref(), Some("Oslo"));
    database.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(run.get("city").unwrap(), None);
    run.put("city", "Bergen").unwrap();
    warm(&database, &run);
    assert_eq!(
        (text(&run, "city").as_deref(), text(&snapshot, "city").as_deref()),
        (Some("Bergen"), Some("Oslo"))
    );
}

#[test]
fn what_is_published_ends_with_the_store_and_with_its_shard() {
    let (disk, closed) = (SimDisk::new(9), ErrorKind::Closed);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("city", "Oslo").unwrap();
    warm(&database, &run);
    let snapshot = run.snapshot().unwrap();
    disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
    assert_eq!(run.put("city", "Bergen").unwrap_err().kind(), ErrorKind::LogFailed);
    disk.set_faults(Faults::none());
    assert_eq!(text(&run, "city").as_deref(), Some("Oslo"), "reads go on at what was visible");
    assert_eq!(text(&snapshot, "city").as_deref(), Some("Oslo"));
    database.restart_shard(0).unwrap();
    assert_eq!(snapshot.get("city").unwrap_err().kind(), closed);
    let found = text(&run, "city");
    warm(&database, &run);
    let snapshot = run.snapshot().unwrap();
    assert_eq!(
        (text(&run, "city"), text(&snapshot, "city")),
        (found.clone(), found),
        "it is published again"
    );
    database.close().unwrap();
    for error in
        [run.get("city").unwrap_err(), snapshot.get("city").unwrap_err(), run.snapshot().unwrap_err()]
    {
        assert_eq!(error.kind(), closed, "{error}");
    }
}

#[test]
fn a_closure_on_a_shard_does_not_read_what_is_published_either() {
    let (database, run) = one_run();
    run.put("city", "Oslo").unwrap();
    warm(&database, &run);
    let (outer, snapshot) = (run.clone(), run.snapshot().unwrap());
    let refused = run.execute(move |_| {
        let of_each = [&outer as &dyn Reads, &snapshot].map(|reader| {
            [
                reader.get("city").unwrap_err(),
                reader.info().unwrap_err(),
                reader.visit_last_events(1, &mut |_| {}).unwrap_err(),
                reader.visit_values(&KvScan::default(), &mut |_| {}).unwrap_err(),
            ]
            .map(|error| error.kind())
        });
        let pictures = [outer.snapshot().unwrap_err(), snapshot.detach().unwrap_err()];
        Ok::<_, Error>((of_each, pictures.map(|error| error.kind())))
    });
    let unsupported = ErrorKind::Unsupported;
    assert_eq!(refused.unwrap().value, ([[unsupported; 4]; 2], [unsupported; 2]));
}

#[test]
fn a_run_that_leaves_memory_is_read_as_before_and_one_that_is_kept_stays() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, busy_options(Durability::Strict, 1)).unwrap();
    let runs: Vec<_> = (0..20)
        .map(|number| {
            let run = database.create_run(RunSpec::named(format!("run-{number}"))).unwrap();
            run.put("number", number).unwrap();
            run
        })
        .collect();
    let snapshots: Vec<_> = runs.iter().map(|run| run.snapshot().unwrap()).collect();
    for round in 0..5 {
        for (number, run) in runs.iter().enumerate() {
            assert_eq!(run.get("number").unwrap().unwrap().value, Value::Int(number as i64));
            run.put("round", round).unwrap();
            assert_eq!(run.get("round").unwrap().unwrap().value, Value::Int(round));
        }
    }
    for (number, snapshot) in snapshots.iter().enumerate() {
        assert_eq!(snapshot.get("number").unwrap().unwrap().value, Value::Int(number as i64));
        assert_eq!(snapshot.get("round").unwrap(), None);
    }
    drop(snapshots);
    let stats = database.stats().unwrap();
    assert!(stats.shards[0].evictions > 0 && stats.shards[0].publications > 0, "{stats:?}");
}

/// An event as these tests compare it: its sequence, its type, the number in it.
type Told = (u64, String, Option<i64>);

/// What a reader is handed of the newest events.
fn visited(run: &dyn Reads, limit: usize) -> (Vec<Told>, strata::Versioned<u64>) {
    let mut events = Vec::new();
    let seen = run.visit_last_events(limit, &mut |event| {
        events.push((event.sequence, event.kind.to_owned(), event.payload.as_int()));
    });
    (events, seen.unwrap())
}

#[test]
fn the_newest_events_are_visited_where_they_lie_as_they_are_listed() {
    let (database, run) = one_run();
    let check = |run: &dyn Reads| {
        for limit in [1, 3, 64, 1_000] {
            // First, as who lists them asks for what has changed, and it is published anew.
            let (events, seen) = visited(run, limit);
            let page = run.last_events(limit).unwrap();
            let listed =
                page.events.iter().map(|event| (event.sequence, event.kind.clone(), event.payload.as_int()));
            assert_eq!(events, listed.collect::<Vec<_>>());
            assert_eq!((seen.value, seen.version), (events.len() as u64, page.version));
        }
    };
    check(&run);
    for number in 0..200 {
        run.append(if number % 3 == 0 { "third" } else { "said" }, number).unwrap();
    }
    warm(&database, &run);
    let snapshot = run.snapshot().unwrap();
    assert_eq!(reads_of(&database, || drop(visited(&run, 100))), 0);
    check(&run);
    run.set_event_retention(strata::Retention::KeepLast(90)).unwrap();
    run.append("said", 200).unwrap();
    check(&run);
    check(&snapshot);
    assert_eq!(visited(&run, 1_000).0.len(), 90);
    assert_eq!(visited(&snapshot, 1_000).0.len(), 200);
    run.transaction(|tx| {
        check(tx);
        Ok::<_, Error>(())
    })
    .unwrap();
    check(&snapshot.detach().unwrap());
    for reader in [&run as &dyn Reads, &snapshot] {
        assert_eq!(reader.visit_last_events(0, &mut |_| {}).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

/// What a reader is handed of a range, and what the same range is listed as.
fn check_values(run: &dyn Reads, scan: &KvScan) {
    let mut visited = Vec::new();
    let seen = run
        .visit_values(scan, &mut |found| {
            let Stamp { version, timestamp } = found.stamp;
            let value = found.value.to_value().unwrap();
            visited.push((found.key.to_owned(), Versioned { value, version, timestamp }));
        })
        .unwrap();
    let page = run.list_values(scan).unwrap();
    assert_eq!(visited, page.items, "{scan:?}");
    assert_eq!((seen.value, seen.version), (page.items.len() as u64, page.version));
}

#[test]
fn values_are_visited_where_they_lie_as_they_are_listed() {
    let clock = TestClock::at(1_000_000);
    let (database, run) = one_run_on(&clock);
    let scans = || {
        let prefixes = ["", "key/1", "key/19", "none"].map(str::to_owned);
        let with_ends = prefixes.into_iter().flat_map(|prefix| {
            [None, Some("key/150".to_owned())].map(|start_after| (prefix.clone(), start_after))
        });
        with_ends.flat_map(|(prefix, start_after)| {
            [(1, Direction::Forward), (64, Direction::Reverse), (1_000, Direction::Forward)].map(
                |(limit, direction)| KvScan {
                    prefix: prefix.clone(),
                    start_after: start_after.clone(),
                    limit,
                    direction,
                },
            )
        })
    };
    let check = |run: &dyn Reads| scans().for_each(|scan| check_values(run, &scan));
    check(&run);
    for number in 0..200 {
        run.put(&format!("key/{number}"), number).unwrap();
    }
    run.put_with_ttl("key/13", 13, Duration::from_secs(1)).unwrap();
    check(&run);
    warm(&database, &run);
    let snapshot = run.snapshot().unwrap();
    let all = KvScan::default();
    assert_eq!(reads_of(&database, || _ = run.visit_values(&all, &mut |_| {}).unwrap()), 0);
    clock.advance(Duration::from_secs(2));
    check(&run);
    check(&snapshot);
    run.delete("key/7").unwrap();
    run.put("key/8", "eight").unwrap();
    for reader in [&run as &dyn Reads, &snapshot, &run.snapshot().unwrap(), &snapshot.detach().unwrap()] {
        check(reader);
        let none = KvScan { limit: 0, ..KvScan::default() };
        assert_eq!(reader.visit_values(&none, &mut |_| {}).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    run.transaction(|tx| {
        tx.put("key/17", "own")?;
        check(tx);
        Ok::<_, Error>(())
    })
    .unwrap();
}
