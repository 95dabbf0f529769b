//! Keys and values, as an application sees them.

use std::time::Duration;

use strata::{
    Cause, Condition, Database, Direction, Durability, Effect, EntityRef, ErrorKind, KvScan, OperationId,
    Reads, RunHandle, RunSpec, RunStatus, Timestamp, Value, Version, Writes,
};

use crate::support::{TestClock, eventually, options, script};

fn store() -> (Database, RunHandle) {
    let database = Database::in_memory().unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}

#[test]
fn a_put_is_read_with_the_commit_that_wrote_it() {
    let (_database, run) = store();
    assert_eq!(run.get("plan").unwrap(), None);
    let first = run.put("plan", "draft").unwrap();
    assert_eq!((first.version, first.durability), (Version(2), Durability::InMemory));
    let second = run.put("plan", "draft").unwrap();
    assert_eq!(second.version, Version(3), "a put of an equal value is a commit too");
    let read = run.get("plan").unwrap().unwrap();
    assert_eq!(
        (read.value, read.version, read.timestamp),
        (Value::from("draft"), Version(3), second.timestamp)
    );
}

#[test]
fn every_kind_of_value_comes_back_exactly_and_after_reopening() {
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Int(i64::MIN),
        Value::Float(f64::NAN),
        Value::Float(-0.0),
        Value::Float(1e-300),
        Value::from("text with \0 and ключ"),
        Value::from(vec![0u8, 255, 10]),
        Value::Array(vec![Value::Int(1), Value::Array(vec![]), Value::Null]),
        Value::Object(vec![("z".into(), Value::Int(1)), ("a".into(), Value::Object(vec![]))]),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let check = |run: &RunHandle| {
        for (place, value) in values.iter().enumerate() {
            assert_eq!(&run.get(&place.to_string()).unwrap().unwrap().value, value);
        }
    };
    for (place, value) in values.iter().enumerate() {
        run.put(&place.to_string(), value.clone()).unwrap();
    }
    check(&run);
    database.close().unwrap();
    check(&Database::open(&path, options(Durability::Buffered, 1)).unwrap().run(script::id_of("run")));
}

#[test]
fn what_changes_nothing_makes_no_commit() {
    let (_database, run) = store();
    run.put("plan", 1).unwrap();
    let before = run.info().unwrap().version;
    assert_eq!(run.delete("missing").unwrap(), None);
    assert_eq!(run.delete_prefix("missing").unwrap(), (0, None));
    assert_eq!(run.put_many(Vec::<(&str, i64)>::new()).unwrap(), None);
    assert_eq!(run.clear_deadline("plan").unwrap(), None);
    assert_eq!(run.set_deadline("missing", Timestamp(u64::MAX)).unwrap(), None);
    let receipt = run.commit(run.batch()).unwrap();
    assert_eq!((receipt.commit, receipt.effects.len()), (None, 0));
    assert!(run.put_if("plan", 2, Condition::Absent).is_err());
    assert_eq!(run.info().unwrap().version, before);
}

#[test]
fn many_keys_are_put_at_once_and_read_at_one_version() {
    let (_database, run) = store();
    let commit = run.put_many([("a", 1), ("b", 2), ("c", 3)]).unwrap().unwrap();
    let read = run.get_many(&["c", "missing", "a"]).unwrap();
    assert_eq!(read.version, commit.version);
    let values: Vec<_> =
        read.value.iter().map(|found| found.as_ref().and_then(|v| v.value.as_int())).collect();
    assert_eq!(values, [Some(3), None, Some(1)]);
    assert!(
        read.value.iter().flatten().all(|found| found.version == commit.version),
        "one commit wrote them"
    );
}

#[test]
fn a_condition_that_does_not_hold_names_key_and_versions() {
    let (_database, run) = store();
    let first = run.put_if("lock", "a", Condition::Absent).unwrap();
    let error = run.put_if("lock", "b", Condition::Absent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.entity(), Some(&EntityRef::kv(run.id(), "lock")));
    let second = run.put_if("lock", "b", Condition::Version(first.version)).unwrap();
    let error = run.put_if("lock", "c", Condition::Version(first.version)).unwrap_err();
    assert!(error.message().contains("2") && error.message().contains("3"), "both versions: {error}");
    assert_eq!(run.get("lock").unwrap().unwrap().version, second.version);
    assert_eq!(
        run.put_if("other", 1, Condition::Version(Version(9))).unwrap_err().kind(),
        ErrorKind::Conflict
    );
}

#[test]
fn increments_count_from_nothing_and_refuse_overflow_and_other_kinds() {
    let (_database, run) = store();
    assert_eq!(run.increment("n", 5).unwrap().0, 5);
    assert_eq!(run.increment("n", -7).unwrap().0, -2);
    run.put("n", i64::MAX).unwrap();
    let error = run.increment("n", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(run.get("n").unwrap().unwrap().value, Value::Int(i64::MAX), "a refused sum changes nothing");
    run.put("word", "seven").unwrap();
    assert_eq!(run.increment("word", 1).unwrap_err().kind(), ErrorKind::WrongType);
    run.put("float", 1.0).unwrap();
    assert_eq!(run.increment("float", 1).unwrap_err().kind(), ErrorKind::WrongType);
}

#[test]
fn keys_are_listed_in_order_in_pages_both_ways() {
    let (_database, run) = store();
    let keys: Vec<String> = (0..25).map(|number| format!("k/{number:02}")).collect();
    // Put in another order than they are listed.
    for key in keys.iter().rev() {
        run.put(key, key.as_str()).unwrap();
    }
    run.put("j", 0).unwrap();
    run.put("l", 0).unwrap();
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut scan = KvScan { limit: 7, direction, ..KvScan::prefix("k/") };
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let page = run.list_values(&scan).unwrap();
            assert_eq!(page.version, run.info().unwrap().version);
            assert!(page.items.iter().all(|(key, read)| read.value == Value::from(key.as_str())));
            assert_eq!(
                page.items.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(),
                run.list(&scan).unwrap().keys,
                "both lists agree"
            );
            found.extend(page.items.into_iter().map(|(key, _)| key));
            pages += 1;
            scan.start_after = page.next;
            if scan.start_after.is_none() {
                break;
            }
        }
        if direction == Direction::Reverse {
            found.reverse();
        }
        assert_eq!((pages, &found), (4, &keys), "{direction:?}");
    }
    assert_eq!(run.count("k/1").unwrap().value, 10);
    assert_eq!(run.count("").unwrap().value, 27);
}

#[test]
fn a_deleted_prefix_takes_its_keys_and_no_others() {
    let (_database, run) = store();
    run.put_many([("a/1", 1), ("a/2", 2), ("a", 3), ("b/1", 4)]).unwrap();
    let (count, commit) = run.delete_prefix("a/").unwrap();
    assert_eq!((count, commit.unwrap().version), (2, Version(3)));
    assert_eq!(run.list(&KvScan::default()).unwrap().keys, ["a", "b/1"]);
    assert_eq!(run.delete("a").unwrap().unwrap().version, Version(4));
    assert!(!run.exists("a").unwrap().value);
    assert_eq!(run.delete_prefix("").unwrap().0, 1);
    assert_eq!(run.count("").unwrap().value, 0);
}

#[test]
fn a_batch_sees_its_own_writes_and_happens_at_once_or_not_at_all() {
    let (database, run) = store();
    let mut batch = run.batch();
    batch.put("n", 1).unwrap().increment("n", 4).unwrap().append("a", 1).unwrap().append("a", 2).unwrap();
    batch.delete("n").unwrap().increment("n", 2).unwrap().delete_prefix("zzz").unwrap();
    let receipt = run.commit(batch).unwrap();
    assert_eq!(receipt.commit.unwrap().version, Version(2), "one commit for all of it");
    assert_eq!(receipt.effects[1], Effect::Integer(5));
    assert_eq!(receipt.effects[3], Effect::Sequence { first: 1, count: 1 });
    assert_eq!(receipt.effects[5], Effect::Integer(2), "after its own delete it counts from 0");
    assert_eq!(receipt.effects[6], Effect::Count(0));

    let mut batch = run.batch();
    batch.append("a", 3).unwrap().put("m", 1).unwrap().increment("n", i64::MAX).unwrap();
    let error = run.commit(batch).unwrap_err();
    assert!(error.message().contains("operation 2"), "the failing operation is named: {error}");
    assert_eq!(run.info().unwrap().version, Version(2));
    assert_eq!(
        (run.get("m").unwrap(), run.event_count().unwrap().value),
        (None, 2),
        "an aborted batch burns nothing"
    );
    let other = database.create_run(RunSpec::named("other")).unwrap();
    assert_eq!(run.commit(other.batch()).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn batches_of_many_runs_are_each_atomic_on_their_own() {
    let database = Database::in_memory_with(options(Durability::InMemory, 3)).unwrap();
    let runs: Vec<_> =
        (0..20).map(|number| database.create_run(RunSpec::named(format!("run-{number}"))).unwrap()).collect();
    let batches = runs.iter().enumerate().map(|(place, run)| {
        let mut batch = run.batch();
        batch.put("place", place as i64).unwrap();
        if place % 5 == 0 {
            batch.put_if("place", 0, Condition::Absent).unwrap();
        }
        batch
    });
    let receipts = database.commit_all(batches.collect()).unwrap();
    assert_eq!(receipts.len(), 20);
    for (place, (run, receipt)) in runs.iter().zip(receipts).enumerate() {
        let read = run.get("place").unwrap();
        if place % 5 == 0 {
            assert_eq!((receipt.unwrap_err().kind(), read), (ErrorKind::Conflict, None), "run {place}");
        } else {
            assert_eq!(receipt.unwrap().commit.unwrap().version, Version(2));
            assert_eq!(read.unwrap().value, Value::Int(place as i64));
        }
    }
    assert!(database.commit_all(Vec::new()).unwrap().is_empty());
}

#[test]
fn a_deadline_hides_a_key_then_the_cleaner_deletes_it() {
    let clock = TestClock::at(1_000_000);
    let database = Database::start(None, options(Durability::InMemory, 1), clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put_with_ttl("lease", 1, Duration::from_secs(10)).unwrap();
    run.put_until("until", 1, Timestamp(clock.now() + 20_000_000)).unwrap();
    run.put("plan", 1).unwrap();
    assert_eq!(run.ttl("lease").unwrap().unwrap().value, Some(Duration::from_secs(10)));
    assert_eq!(run.ttl("plan").unwrap().unwrap().value, None);
    assert_eq!(run.ttl("missing").unwrap(), None);
    clock.advance(Duration::from_secs(4));
    assert_eq!(run.ttl("lease").unwrap().unwrap().value, Some(Duration::from_secs(6)));

    clock.advance(Duration::from_secs(6));
    assert_eq!(run.get("lease").unwrap(), None, "a key is gone at its deadline");
    assert_eq!(run.list(&KvScan::default()).unwrap().keys, ["plan", "until"]);
    assert_eq!(run.count("").unwrap().value, 2);
    assert!(!run.exists("lease").unwrap().value);
    eventually("the cleaner has deleted it", || run.info().unwrap().kv_count == 2);
    assert_eq!(database.stats().unwrap().shards[0].expired, 1);
    assert_eq!(run.info().unwrap().version, Version(5), "the cleaner's delete is an ordinary commit");
}

#[test]
fn a_put_clears_a_deadline_and_an_increment_keeps_it() {
    let clock = TestClock::at(1_000_000);
    let database = Database::start(None, options(Durability::InMemory, 1), clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let ttl = |key: &str| run.ttl(key).unwrap().unwrap().value;
    run.put_with_ttl("n", 1, Duration::from_secs(5)).unwrap();
    run.increment("n", 1).unwrap();
    assert_eq!(ttl("n"), Some(Duration::from_secs(5)));
    assert!(run.clear_deadline("n").unwrap().is_some());
    assert_eq!(ttl("n"), None);
    assert!(run.set_deadline("n", Timestamp(clock.now() + 1_000)).unwrap().is_some());
    assert_eq!(ttl("n"), Some(Duration::from_millis(1)));
    run.put("n", 7).unwrap();
    assert_eq!(ttl("n"), None);
    run.put_with_ttl("n", 7, Duration::from_secs(1)).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(run.increment("n", 2).unwrap().0, 2, "an expired number counts from 0");
    assert_eq!(ttl("n"), None);
    run.put_with_ttl("gone", 1, Duration::from_secs(1)).unwrap();
    clock.advance(Duration::from_secs(2));
    assert!(run.put_if("gone", 2, Condition::Absent).is_ok(), "an expired key is absent");
    let refused = [
        run.put_with_ttl("n", 1, Duration::ZERO).unwrap_err(),
        run.put_until("n", 1, Timestamp(clock.now())).unwrap_err(),
        run.set_deadline("n", Timestamp(1)).unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::InvalidArgument), "{refused:?}");
}

#[test]
fn deadlines_hold_across_a_reopening_on_a_later_clock() {
    let dir = tempfile::tempdir().unwrap();
    let path = Some(dir.path().join("strata.db"));
    let clock = TestClock::at(1_750_000_000_000_000);
    let open =
        || Database::start(path.clone(), options(Durability::Buffered, 1), clock.clock(), None).unwrap();
    let database = open();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put_with_ttl("short", 1, Duration::from_secs(10)).unwrap();
    run.put_with_ttl("long", 1, Duration::from_secs(100)).unwrap();
    database.close().unwrap();

    clock.advance(Duration::from_secs(50));
    let database = open();
    let run = database.run(script::id_of("run"));
    assert_eq!(run.get("short").unwrap(), None);
    assert_eq!(run.ttl("long").unwrap().unwrap().value, Some(Duration::from_secs(50)));
    eventually("the cleaner has deleted it", || run.info().unwrap().kv_count == 1);
    let version = run.info().unwrap().version;
    database.close().unwrap();

    let database = open();
    let info = database.run(script::id_of("run")).info().unwrap();
    assert_eq!((info.kv_count, info.version), (1, version), "the cleaner's commit is in the log, once");
}

#[test]
fn time_never_runs_backwards_inside_a_run() {
    let clock = TestClock::at(5_000_000);
    let database = Database::start(None, options(Durability::InMemory, 1), clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let first = run.put("a", 1).unwrap();
    clock.set(1_000_000);
    let second = run.put("b", 1).unwrap();
    assert_eq!(second.timestamp, first.timestamp, "the clock went back, the run did not");
    assert_eq!(run.put_until("c", 1, Timestamp(4_000_000)).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_resent_operation_is_answered_with_its_first_receipt_even_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let open = || Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let database = open();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let with_id = |run: &RunHandle, number| run.with_operation_id(OperationId([number; 16]));
    let increment = with_id(&run, 1).increment("n", 3).unwrap();
    let deleted = with_id(&run, 2).delete_prefix("n").unwrap();
    let put = with_id(&run, 3).put("n", 9).unwrap();
    assert_eq!(with_id(&run, 1).increment("n", 3).unwrap(), increment);
    database.close().unwrap();

    let database = open();
    let run = database.run(script::id_of("run"));
    assert_eq!(
        with_id(&run, 1).increment("n", 3).unwrap(),
        increment,
        "the same receipt, though the key has changed"
    );
    assert_eq!(with_id(&run, 2).delete_prefix("n").unwrap(), deleted);
    assert_eq!(with_id(&run, 3).put("n", 9).unwrap(), put);
    assert_eq!(run.get("n").unwrap().unwrap().value, Value::Int(9));
    assert_eq!(run.info().unwrap().version, Version(4), "nothing happened twice");
    let other = with_id(&run, 3).increment("n", 1).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::InvalidArgument, "an id belongs to one write: {other}");
}

#[test]
fn causes_are_taken_with_any_write() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path().join("strata.db"), options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let first = run.with_cause(Cause::Note("the user asked".into())).put("a", 1).unwrap();
    let because = run.with_cause(Cause::Commit { run: run.id(), version: first.version });
    because.append("step", 1).unwrap();
    let entity = EntityRef::kv(run.id(), "a");
    let because = run.with_cause(Cause::Entity { entity, version: first.version });
    let mut batch = run.batch();
    batch.put("b", 2).unwrap();
    because.commit(batch).unwrap();
    database.close().unwrap();
    let database = Database::open(dir.path().join("strata.db"), options(Durability::Buffered, 1)).unwrap();
    let run = database.run(script::id_of("run"));
    assert_eq!((run.info().unwrap().version, run.count("").unwrap().value), (Version(4), 2));
}

#[test]
fn a_batch_holds_every_write_of_a_run() {
    let clock = TestClock::at(1_000_000);
    let database = Database::start(None, options(Durability::InMemory, 1), clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("lease", 1).unwrap();
    run.put_with_ttl("kept", 1, Duration::from_secs(9)).unwrap();
    let later = Timestamp(clock.now() + 5_000_000);
    let mut batch = run.batch();
    batch.put_until("until", 1, later).unwrap().set_deadline("lease", later).unwrap();
    batch.clear_deadline("kept").unwrap().set_tags(["done"]).unwrap().set_metadata(7).unwrap();
    batch.append("end", 1).unwrap().update_status(RunStatus::Completed).unwrap();
    let commit = run.commit(batch).unwrap().commit.unwrap();
    let ttl = |key: &str| run.ttl(key).unwrap().unwrap().value;
    let five = Some(Duration::from_secs(5));
    assert_eq!([ttl("until"), ttl("lease"), ttl("kept")], [five, five, None]);
    let info = run.info().unwrap();
    assert_eq!((info.version, info.status, info.event_count), (commit.version, RunStatus::Completed, 1));
    assert_eq!((info.tags, info.metadata), (vec!["done".to_string()], Value::Int(7)));

    let mut late = run.batch();
    late.put("late", 1).unwrap();
    assert_eq!(run.commit(late).unwrap_err().kind(), ErrorKind::RunClosed);
}
