//! Transactions: one picture of the run, own writes over it, all or nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use strata::{
    BatchReceipt, Condition, Database, Direction, Durability, Effect, EntityRef, Error, ErrorKind, KvScan,
    Reads, RunHandle, RunSpec, RunStatus, StagedWrite, Timestamp, Transaction, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::{TestClock, one_run, one_run_on, open_count, open_on, options};

const OK: std::result::Result<(), Error> = Ok(());

fn int(reader: &impl Reads, key: &str) -> Option<i64> {
    reader.get(key).unwrap().map(|found| found.value.as_int().unwrap())
}

#[test]
fn what_a_transaction_writes_is_one_commit() {
    let (database, run) = one_run();
    run.put_many([("left", 300), ("spent", 0)]).unwrap();
    let done = run
        .transaction(|tx| {
            let left = int(tx, "left").unwrap();
            tx.put("left", left - 120)?;
            tx.put("spent", 120)?;
            tx.append("booked", "hotel")?;
            tx.cell_init("state", "booked")?;
            Ok::<_, Error>(left - 120)
        })
        .unwrap();
    let commit = done.receipt.commit.unwrap();
    assert_eq!((done.value, commit.version, done.receipt.effects.len()), (180, Version(3), 4));
    for key in ["left", "spent"] {
        assert_eq!(run.get(key).unwrap().unwrap().version, commit.version);
    }
    assert_eq!(run.event_head().unwrap().unwrap().version, commit.version);
    assert_eq!(run.cell_read("state").unwrap().unwrap().timestamp, commit.timestamp);
    assert_eq!(open_count(&database), 0);
}

#[test]
fn a_transaction_reads_its_own_writes() {
    let (_database, run) = one_run();
    run.put_many([("a", 1), ("p/1", 1), ("p/2", 2)]).unwrap();
    run.append("step", "old").unwrap();
    let tx = run.begin();
    tx.put("a", 2).unwrap();
    tx.delete("p/1").unwrap();
    tx.put("p/3", 3).unwrap();
    tx.cell_set("cell", "mine").unwrap();
    tx.append("step", "new").unwrap();
    tx.set_tags(["mine"]).unwrap();

    let own = tx.get("a").unwrap().unwrap();
    assert_eq!((own.value, own.version), (Value::Int(2), Version::PENDING));
    assert_eq!(tx.list(&KvScan::prefix("p/")).unwrap().keys, ["p/2", "p/3"]);
    assert_eq!((tx.count("").unwrap().value, tx.count("p/").unwrap().value), (3, 2));
    assert_eq!(tx.cell_read("cell").unwrap().unwrap().value.as_str(), Some("mine"));
    assert_eq!(tx.increment("a", 5).unwrap().0, 7);
    assert_eq!(int(&tx, "a"), Some(7));
    assert_eq!(tx.event_count().unwrap().value, 2);
    let head = tx.event_head_of("step").unwrap().unwrap();
    assert_eq!((head.sequence, head.payload.as_str(), head.version), (1, Some("new"), Version::PENDING));
    assert!(tx.verify_chain().unwrap().valid);
    let info = tx.info().unwrap();
    assert_eq!((info.tags, info.event_count, info.kv_count, info.cell_count), (vec!["mine".into()], 2, 3, 1));
    assert_eq!(tx.delete_prefix("").unwrap().0, 3);
    assert_eq!((tx.get("a").unwrap(), tx.exists("p/3").unwrap().value), (None, false));

    assert_eq!((int(&run, "a"), run.count("").unwrap().value), (Some(1), 3), "nobody else sees any of it");
    tx.commit().unwrap();
    assert_eq!((run.count("").unwrap().value, run.event_count().unwrap().value), (0, 2));
    assert!(run.verify_chain().unwrap().valid);
}

#[test]
fn a_conditional_write_may_build_on_an_own_one() {
    let (_database, run) = one_run();
    let tx = run.begin();
    tx.put("k", 1).unwrap();
    let own = tx.get("k").unwrap().unwrap().version;
    tx.put_if("k", 2, Condition::Version(own)).unwrap();
    tx.cell_init("c", 1).unwrap();
    tx.cell_transition("c", |value| Ok(Value::Int(value.as_int().unwrap() + 1))).unwrap();
    assert_eq!(tx.put_if("k", 3, Condition::Absent).unwrap_err().kind(), ErrorKind::Conflict);
    tx.commit().unwrap();
    assert_eq!(int(&run, "k"), Some(2));
    assert_eq!(run.cell_read("c").unwrap().unwrap().value, Value::Int(2));
}

#[test]
fn every_read_sees_the_picture_of_the_first_one() {
    let (_database, run) = one_run();
    run.put("a", 1).unwrap();
    let tx = run.begin();
    run.put("a", 2).unwrap();
    assert_eq!(int(&tx, "a"), Some(2), "the picture is taken at the first read, not at the begin");
    run.put("a", 3).unwrap();
    run.put("b", 3).unwrap();
    run.append("step", 3).unwrap();
    run.set_tags(["three"]).unwrap();
    assert_eq!((int(&tx, "a"), int(&tx, "b")), (Some(2), None));
    assert_eq!((tx.event_count().unwrap().value, tx.event_head().unwrap()), (0, None));
    assert_eq!(tx.events(0, 9, Direction::Forward).unwrap().events, []);
    let (info, page) = (tx.info().unwrap(), tx.list_values(&KvScan::default()).unwrap());
    assert_eq!((info.version, info.tags.len(), info.kv_count), (Version(3), 0, 1));
    assert_eq!((page.version, page.items.len()), (Version(3), 1));
    assert_eq!(tx.commit().unwrap(), BatchReceipt { commit: None, effects: Vec::new() });
}

#[test]
fn a_transaction_that_only_reads_makes_no_commit_and_never_conflicts() {
    let disk = SimDisk::new(61);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("a", 1).unwrap();
    let before = database.stats().unwrap();
    let mut tries = 0;
    let done = run
        .transaction(|tx| {
            tries += 1;
            let seen = int(tx, "a");
            run.put("a", 2)?;
            tx.count("")?;
            tx.event_count()?;
            Ok::<_, Error>((seen, int(tx, "a")))
        })
        .unwrap();
    assert_eq!((tries, done.value, done.receipt.commit), (1, (Some(1), Some(1)), None));
    let after = database.stats().unwrap();
    assert_eq!(
        (after.appends(), after.commits()),
        (before.appends() + 1, before.commits() + 1),
        "the rival's"
    );
    assert_eq!(open_count(&database), 0);
}

#[test]
fn a_transaction_that_changes_nothing_is_validated_and_makes_no_commit() {
    let (database, run) = one_run();
    let mut tries = 0;
    let done = run
        .transaction(|tx| {
            tries += 1;
            let found = tx.delete("a")?;
            if tries == 1 {
                run.put("a", 1)?;
                run.put("b", 1)?;
            } else {
                run.put("b", 2)?;
            }
            Ok::<_, Error>((found.is_some(), tx.delete("a")?.is_some()))
        })
        .unwrap();
    assert_eq!((tries, done.value), (2, (true, false)), "nothing to delete was no longer true");
    assert!(done.receipt.commit.is_some());
    let done = run.transaction(|tx| tx.delete("a")).unwrap();
    assert_eq!(
        (done.value, done.receipt.commit, done.receipt.effects),
        (None, None, vec![Effect::Existed(false)])
    );
    assert_eq!((run.info().unwrap().version, open_count(&database)), (Version(5), 0));
}

#[test]
fn a_conflict_runs_the_closure_again_on_a_new_picture() {
    let (database, run) = one_run();
    run.put("n", 1).unwrap();
    let mut seen = Vec::new();
    run.transaction(|tx| {
        seen.push(int(tx, "n").unwrap());
        if seen.len() < 4 {
            run.increment("n", 10)?;
        }
        tx.put("copy", seen[seen.len() - 1])?;
        tx.append("try", seen.len() as i64)
    })
    .unwrap();
    assert_eq!(seen, [1, 11, 21, 31]);
    assert_eq!((int(&run, "copy"), run.event_count().unwrap().value), (Some(31), 1), "one try took effect");
    assert_eq!(open_count(&database), 0);
}

#[test]
fn a_conflict_is_told_after_a_hundred_tries() {
    let (database, run) = one_run();
    run.put("n", 0).unwrap();
    let mut tries = 0;
    let error = run
        .transaction(|tx| {
            tries += 1;
            tx.get("n")?;
            run.increment("n", 1)?;
            tx.put("own", tries)
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&EntityRef::kv(run.id(), "n"))));
    assert_eq!((tries, int(&run, "own"), open_count(&database)), (100, None, 0));
}

#[test]
fn an_error_of_the_closure_drops_everything_and_is_returned() {
    #[derive(Debug, PartialEq)]
    enum Own {
        Poor(i64),
        Store(ErrorKind),
    }
    impl From<Error> for Own {
        fn from(error: Error) -> Own {
            Own::Store(error.kind())
        }
    }
    let (database, run) = one_run();
    let poor = run.transaction(|tx| {
        tx.put("a", 1)?;
        tx.increment("n", 1)?;
        tx.append("step", 1)?;
        Err::<(), _>(Own::Poor(7))
    });
    assert_eq!(poor.unwrap_err(), Own::Poor(7));
    let store = run.transaction(|tx| Ok::<_, Own>(tx.put("", 1)?));
    assert_eq!(store.unwrap_err(), Own::Store(ErrorKind::InvalidArgument));
    expect_untouched(&database, &run);
}

#[test]
fn a_transaction_that_is_not_committed_leaves_nothing() {
    let (database, run) = one_run();
    let write = |tx: &Transaction| {
        tx.put("a", 1).unwrap();
        assert_eq!(tx.increment("n", 1).unwrap().0, 1);
        tx.append("step", 1).unwrap();
    };
    let dropped = run.begin();
    write(&dropped);
    assert_eq!(open_count(&database), 1);
    drop(dropped);
    let rolled_back = run.begin();
    write(&rolled_back);
    rolled_back.rollback();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        run.transaction(|tx| {
            write(tx);
            if true {
                panic!("the agent stumbled");
            }
            OK
        })
    }));
    assert!(panicked.is_err());
    drop(run.begin());
    expect_untouched(&database, &run);
    assert_eq!(run.append("step", 1).unwrap().sequence, 0, "no sequence was burnt");
}

fn expect_untouched(database: &Database, run: &RunHandle) {
    let info = run.info().unwrap();
    assert_eq!((info.version, info.kv_count, info.event_count), (Version(1), 0, 0));
    assert_eq!(open_count(database), 0);
}

#[test]
fn a_staged_write_is_found_among_the_effects() {
    let (_database, run) = one_run();
    run.append("old", 0).unwrap();
    let done = run
        .transaction(|tx| {
            let put = tx.put("a", 1)?;
            let one = tx.append("step", 1)?;
            assert!(tx.put_if("a", 9, Condition::Absent).is_err(), "refused, so it takes no place");
            let (sum, added) = tx.increment("n", 4)?;
            assert_eq!(tx.delete("none")?, None);
            let many = tx.append_many([("step", 2), ("step", 3)])?.unwrap();
            assert_eq!(tx.append_many(Vec::<(&str, i64)>::new())?, None);
            let deleted = tx.delete("a")?.unwrap();
            Ok::<_, Error>((put, one, added, sum, many, deleted))
        })
        .unwrap();
    let (put, one, added, sum, many, deleted) = done.value;
    let effect = |write: StagedWrite| done.receipt.effects[write.index];
    assert_eq!(
        (effect(put), effect(added), effect(deleted)),
        (Effect::None, Effect::Integer(sum), Effect::Existed(true))
    );
    assert_eq!((done.sequence_of(one), done.sequence_of(many)), (1, 2));
    assert_eq!(run.event(done.sequence_of(many) + 1).unwrap().unwrap().payload, Value::Int(3));
    assert!(catch_unwind(AssertUnwindSafe(|| done.sequence_of(put))).is_err(), "a put is no append");
}

#[test]
fn a_refused_read_or_write_leaves_the_transaction_as_it_was() {
    let (_database, run) = one_run();
    run.cell_init("lock", "theirs").unwrap();
    let tx = run.begin();
    tx.put("a", 1).unwrap();
    // The put travels with this refusal, and stays staged.
    assert_eq!(tx.cell_init("lock", "mine").unwrap_err().kind(), ErrorKind::AlreadyExists);
    tx.cell_set("lock", "mine").unwrap();
    tx.put("b", 2).unwrap();
    assert_eq!(tx.get("").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!((int(&tx, "a"), int(&tx, "b")), (Some(1), Some(2)));
    assert_eq!(tx.commit().unwrap().effects.len(), 3);
    assert_eq!(run.cell_read("lock").unwrap().unwrap().value.as_str(), Some("mine"));
}

#[test]
fn a_refusal_of_a_waiting_write_is_told_later_and_ends_the_transaction() {
    let clock = TestClock::at(1_000_000);
    let (database, run) = one_run_on(&clock);
    let tx = run.begin();
    tx.put("a", 1).unwrap();
    tx.put_until("late", 1, Timestamp(1)).unwrap();
    let error = tx.get("a").unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::InvalidArgument, Some(&EntityRef::kv(run.id(), "late")))
    );
    assert!(error.message().starts_with("write 1 of the transaction: "), "{error}");
    tx.put("b", 1).unwrap();
    assert_eq!(tx.get("b").unwrap_err().message(), error.message(), "it has ended");
    assert_eq!(tx.commit().unwrap_err().message(), error.message());
    let tx = run.begin();
    tx.put("a", 1).unwrap();
    tx.put_until("late", 1, Timestamp(1)).unwrap();
    assert_eq!(tx.commit().unwrap_err().message(), error.message());
    expect_untouched(&database, &run);
}

#[test]
fn a_transaction_committed_on_a_shards_thread_is_refused_and_not_left_open() {
    let (database, run) = one_run();
    let tx = run.begin();
    tx.increment("n", 1).unwrap();
    let refused = run.execute(move |_| Ok::<_, Error>(tx.commit().unwrap_err().kind())).unwrap().value;
    assert_eq!(refused, ErrorKind::Unsupported);
    expect_untouched(&database, &run);
}

#[test]
fn a_time_to_live_counts_from_the_commit() {
    let clock = TestClock::at(1_000_000);
    let (_database, run) = one_run_on(&clock);
    let tx = run.begin();
    tx.put_with_ttl("k", 1, Duration::from_micros(100)).unwrap();
    assert_eq!(tx.ttl("k").unwrap().unwrap().value, Some(Duration::from_micros(100)));
    clock.advance(Duration::from_micros(60));
    assert_eq!(
        tx.ttl("k").unwrap().unwrap().value,
        Some(Duration::from_micros(100)),
        "time stands still within"
    );
    tx.commit().unwrap();
    assert_eq!(run.ttl("k").unwrap().unwrap().value, Some(Duration::from_micros(100)));
    let tx = run.begin();
    tx.update_status(RunStatus::Paused).unwrap();
    tx.commit().unwrap();
    assert_eq!(run.info().unwrap().status, RunStatus::Paused);
}
