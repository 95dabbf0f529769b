//! Closures that run on the shard of their run.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strata::{
    Cause, Database, Direction, Durability, Effect, EntityRef, Error, ErrorKind, KvScan, Limits, Options,
    Reads, RunHandle, RunSpec, RunStatus, Scope, ShardState, Value, Version, Writes,
};

use crate::support::{eventually, one_run, one_run_with, open_count, options};

fn int(reader: &impl Reads, key: &str) -> i64 {
    reader.get(key).unwrap().and_then(|found| found.value.as_int()).unwrap_or(0)
}

#[test]
fn what_a_closure_writes_is_one_commit_with_its_result() {
    let (_database, run) = one_run();
    run.put("job/1", "translate").unwrap();
    let done = run
        .execute(|run| {
            let job = run.get("job/1")?.unwrap();
            let deleted = run.delete("job/1")?.unwrap();
            let event = run.append("taken", job.value.clone())?;
            run.cell_set("worker", "w1")?;
            Ok::<_, Error>((job.value, deleted, event))
        })
        .unwrap();
    let (job, deleted, event) = &done.value;
    assert_eq!((job.as_str(), deleted.index, event.index), (Some("translate"), 0, 1));
    assert_eq!((done.receipt.effects[0], done.sequence_of(*event)), (Effect::Existed(true), 0));
    let commit = done.receipt.commit.unwrap();
    assert_eq!(commit.version, Version(3));
    assert_eq!(run.event_head().unwrap().unwrap().version, commit.version);
    assert_eq!(run.cell_read("worker").unwrap().unwrap().version, commit.version);
}

#[test]
fn a_closure_reads_the_run_with_its_own_writes_over_it() {
    let (_database, run) = one_run();
    run.put_many([("a", 1), ("b", 2)]).unwrap();
    run.execute(|run| {
        assert_eq!(int(run, "a"), 1);
        run.put("c", 3)?;
        run.delete("a")?;
        run.append("x", 1)?;
        run.set_tags(["t"])?;
        let own = run.get("c")?.unwrap();
        assert_eq!(own.version, Version(3), "that of the commit to come");
        let page = run.list_values(&KvScan::default())?;
        let keys: Vec<_> = page.items.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!((keys, run.count("")?.value, run.event_count()?.value), (vec!["b", "c"], 2, 1));
        let info = run.info()?;
        assert_eq!((info.tags, info.kv_count, info.orphaned), (vec!["t".to_string()], 2, false));
        assert_eq!(run.event_head()?.unwrap().version, own.version);
        assert!(run.verify_chain()?.valid);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(run.get("c").unwrap().unwrap().version, Version(3));
}

#[test]
fn an_error_of_a_closure_drops_all_it_wrote_and_is_returned() {
    #[derive(Debug, PartialEq)]
    enum Own {
        Poor,
        Store(ErrorKind),
    }
    impl From<Error> for Own {
        fn from(error: Error) -> Own {
            Own::Store(error.kind())
        }
    }
    let (_database, run) = one_run();
    let poor = run.execute(|run| {
        run.put("a", 1)?;
        run.append("x", 1)?;
        Err::<(), _>(Own::Poor)
    });
    assert_eq!(poor.unwrap_err(), Own::Poor);
    let refused = run.execute(|run| Ok::<_, Own>(run.cell_cas("none", Version(4), 1)?));
    assert_eq!(refused.unwrap_err(), Own::Store(ErrorKind::Conflict));
    expect_untouched(&run);
}

fn expect_untouched(run: &RunHandle) {
    let info = run.info().unwrap();
    assert_eq!((info.version, info.kv_count, info.event_count), (Version(1), 0, 0));
}

#[test]
fn a_panic_of_a_closure_writes_nothing_and_leaves_the_shard_serving() {
    /// A payload that panics once more when it is dropped.
    struct Twice;
    impl Drop for Twice {
        fn drop(&mut self) {
            panic!("and again");
        }
    }
    let (database, run) = one_run();
    let panics: [(fn(), &str); 4] = [
        (|| panic!("the plan is empty"), "the plan is empty"),
        (|| panic!("{} steps", 3), "3 steps"),
        (|| panic_any(7), "it did not say why"),
        (|| panic_any(Twice), "it did not say why"),
    ];
    for (panic, said) in panics {
        let error = run
            .execute(move |run| {
                run.put("a", 1)?;
                run.append("x", 1)?;
                panic();
                Ok::<_, Error>(())
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert!(error.message().ends_with(said), "{error}");
        expect_untouched(&run);
    }
    assert_eq!(database.stats().unwrap().shards[0].state, ShardState::Serving);
    assert_eq!(run.execute(|run| run.put("a", 1)).unwrap().receipt.commit.unwrap().version, Version(2));
}

#[test]
fn a_closure_that_takes_too_long_is_counted_and_not_stopped() {
    let options = Options { execute_budget: Duration::from_millis(5), ..options(Durability::InMemory, 1) };
    let (database, run) = one_run_with(options);
    let overruns = || database.stats().unwrap().shards[0].overruns;
    let dawdle = || {
        let started = Instant::now();
        while started.elapsed() <= Duration::from_millis(5) {
            std::hint::spin_loop();
        }
    };
    run.execute(move |run| {
        dawdle();
        run.put("a", 1)
    })
    .unwrap();
    assert_eq!((overruns(), int(&run, "a")), (1, 1));
    let failed = run.execute(move |_| {
        dawdle();
        Err::<(), _>(Error::new(ErrorKind::NotFound, "none"))
    });
    assert_eq!((failed.unwrap_err().kind(), overruns()), (ErrorKind::NotFound, 2));
    let panicked = run.execute(move |_| -> strata::Result<()> {
        dawdle();
        panic!("too late")
    });
    assert_eq!((panicked.unwrap_err().kind(), overruns()), (ErrorKind::Panicked, 3));
}

#[test]
fn a_call_to_a_database_inside_a_closure_is_refused() {
    let (database, run) = one_run();
    let (other, other_run) = one_run();
    let tx = run.begin();
    tx.put("waits", 1).unwrap();
    let (inner, kept) = (run.clone(), database);
    let done = run
        .execute(move |scope| {
            scope.put("a", 1)?;
            let calls: [Option<Error>; 8] = [
                inner.get("a").err(),
                inner.put("a", 2).err(),
                inner.snapshot().err(),
                inner.transaction(|tx| tx.put("a", 3)).err(),
                inner.execute(|run| run.put("a", 4)).err(),
                tx.get("a").err(),
                other_run.get("a").err(),
                kept.stats().err(),
            ];
            for error in calls {
                assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Unsupported));
            }
            // The waiting write went with the refused step, so the transaction cannot be committed without it.
            Ok::<_, Error>((tx, kept))
        })
        .unwrap();
    assert_eq!(int(&run, "a"), 1);
    let (tx, database) = done.value;
    assert_eq!(tx.commit().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!((open_count(&database), open_count(&other), int(&run, "waits")), (0, 0, 0));
}

#[test]
fn handles_dropped_inside_a_closure_are_released() {
    let (database, run) = one_run();
    run.put("a", 1).unwrap();
    let (snapshot, tx, clone) = (run.snapshot().unwrap(), run.begin(), run.clone());
    tx.get("a").unwrap();
    assert_eq!(open_count(&database), 2);
    run.execute(move |run| {
        drop((snapshot, tx, clone));
        run.put("a", 2)
    })
    .unwrap();
    assert_eq!((open_count(&database), int(&run, "a")), (0, 2));
}

#[test]
fn a_full_mailbox_does_not_hold_up_a_drop_inside_a_closure() {
    let options = Options { mailbox_capacity: 1, ..options(Durability::InMemory, 1) };
    let (database, run) = one_run_with(options);
    let snapshot = run.snapshot().unwrap();
    let waiting = Arc::new(AtomicU64::new(0));
    thread::scope(|scope| {
        let seen = Arc::clone(&waiting);
        let closure = scope.spawn(|| {
            run.execute(move |run| {
                eventually("others ask meanwhile", || seen.load(Ordering::SeqCst) == 3);
                drop(snapshot);
                run.put("a", 1)
            })
        });
        for _ in 0..3 {
            scope.spawn(|| {
                waiting.fetch_add(1, Ordering::SeqCst);
                run.get("a")
            });
        }
        closure.join().unwrap().unwrap();
    });
    assert_eq!(int(&run, "a"), 1);
    assert!(open_count(&database) <= 1, "where there was no room, the shard keeps it");
}

#[test]
fn closures_of_many_threads_never_conflict() {
    let (_database, run) = one_run();
    let (threads, times) = (4, 200);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..times {
                    let run_counts = run.execute(|run| {
                        let next = int(run, "n") + 1;
                        run.put("n", next)?;
                        Ok::<_, Error>(next)
                    });
                    run_counts.unwrap();
                }
            });
        }
    });
    assert_eq!(int(&run, "n"), threads * times);
    assert_eq!(run.info().unwrap().version, Version(1 + (threads * times) as u64), "each ran once");
}

#[test]
fn a_walk_in_order_sees_own_writes_with_and_without_the_index() {
    let (_database, run) = one_run();
    for key in ["p/3", "p/1", "p/2", "q"] {
        run.put(key, 1).unwrap();
    }
    let walk = |run: &Scope<'_, '_, '_>| {
        let reverse = KvScan { direction: Direction::Reverse, ..KvScan::prefix("p/") };
        Ok::<_, Error>((
            run.list(&KvScan::prefix("p/"))?.keys,
            run.list(&reverse)?.keys,
            run.count("p/")?.value,
        ))
    };
    for round in 0..3 {
        let key = format!("p/0{round}");
        let done = run
            .execute(move |run| {
                run.put(&key, 1)?;
                walk(run)
            })
            .unwrap();
        let (forward, mut reverse, count) = done.value;
        reverse.reverse();
        assert_eq!((&forward, forward.len() as u64), (&reverse, count));
        assert!(forward.is_sorted() && forward.contains(&format!("p/0{round}")));
    }
}

#[test]
fn limits_and_states_hold_inside_a_closure() {
    let limits = Limits { transaction_mutations_max: 2, ..Limits::default() };
    let (database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
    let done = run.execute(|run| {
        run.put("a", 1)?;
        run.put("b", 1)?;
        let refused = run.put("c", 1).unwrap_err();
        assert_eq!(run.put("", 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
        Ok::<_, Error>(refused.kind())
    });
    let done = done.unwrap();
    assert_eq!(
        (done.value, done.receipt.effects.len()),
        (ErrorKind::InvalidArgument, 2),
        "the rest is committed"
    );
    let idle = run.execute(|run| (0..3).try_for_each(|_| run.delete("missing").map(drop)));
    assert!(
        idle.unwrap_err().message().contains("the closure has 3 operations"),
        "also what changes nothing"
    );
    run.update_status(RunStatus::Paused).unwrap();
    let error = run.execute(|run| run.put("a", 2)).unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::RunClosed, Some(&EntityRef::run(run.id()))));
    run.execute(|run| run.set_tags(["paused"])).unwrap();
    let why = run.with_cause(Cause::Note("x".repeat(9_000)));
    assert_eq!(why.execute(|run| run.set_tags(["long"])).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(database.stats().unwrap().shards[0].state, ShardState::Serving);
}

#[test]
fn a_closure_that_only_reads_makes_no_commit() {
    let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let commits = database.stats().unwrap().commits();
    let done = run.execute(|run| run.count("")).unwrap();
    assert_eq!((done.value.value, done.receipt.commit, done.receipt.effects), (0, None, vec![]));
    assert_eq!(database.stats().unwrap().commits(), commits);
    assert_eq!(run.execute(|_| Ok::<_, Error>(Value::Null)).unwrap().value, Value::Null);
}
