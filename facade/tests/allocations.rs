//! What a warm call allocates, on the caller's thread and on the shard's together.
//!
//! One test alone in its process, because the counter sees every thread. docs/performance.md says what each
//! allocation is for.

#[path = "../../runtime/tests/counting/mod.rs"]
mod counting;

use std::cell::RefCell;
use std::task::Poll;

use pollster::block_on;
use strata::{AsyncReads, AsyncWrites, Database, Error, Options, Pipeline, Reads, RunSpec, Writes};

use crate::counting::allocation_count;

/// Allocations of one call, once everything is warm.
fn of_one_call(call: impl Fn(usize)) -> f64 {
    const CALL_COUNT: usize = 2_000;
    (0..500).for_each(&call);
    let before = allocation_count();
    (0..CALL_COUNT).for_each(&call);
    let count = allocation_count() - before;
    assert!(before > 0, "the counter counts");
    count as f64 / CALL_COUNT as f64
}

/// The same of a call that is awaited.
async fn of_one_awaited_call(call: impl AsyncFn(usize)) -> f64 {
    const CALL_COUNT: usize = 2_000;
    for index in 0..500 {
        call(index).await;
    }
    let before = allocation_count();
    for index in 0..CALL_COUNT {
        call(index).await;
    }
    (allocation_count() - before) as f64 / CALL_COUNT as f64
}

#[test]
fn warm_calls_allocate_what_the_documents_say() {
    let database = Database::in_memory_with(Options { shards: Some(1), ..Options::default() }).unwrap();
    let run = database.begin_run(RunSpec::named("warm")).unwrap();
    let keys: Vec<String> = (0..16).map(|number| format!("key/{number}")).collect();
    let key = |index: usize| keys[index % keys.len()].as_str();
    run.put_many(keys.iter().map(|key| (key, 1))).unwrap();
    let (twin, pipeline) = (run.to_async(), RefCell::new(Pipeline::new(16)));
    // As many reply slots as there ever are answers that are about to wake somebody.
    let many: Vec<_> = (0..16).map(|number| Box::pin(twin.put(key(number), 1))).collect();
    block_on(async {
        let mut many = many;
        std::future::poll_fn(|context| {
            many.retain_mut(|put| put.as_mut().poll(context).is_pending());
            if many.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    let found = [
        ("get", of_one_call(|index| drop(run.get(key(index)).unwrap()))),
        ("put", of_one_call(|index| assert!(run.put(key(index), index as i64).is_ok()))),
        ("append", of_one_call(|_| assert!(run.append("step", 7).is_ok()))),
        (
            "transaction",
            of_one_call(|index| {
                let done = run.transaction(|tx| {
                    let sum = tx.get(key(index))?.zip(tx.get(key(index + 1))?);
                    tx.put(key(index), 1)?;
                    tx.put(key(index + 1), 2)?;
                    Ok::<_, Error>(sum.is_some())
                });
                assert!(done.unwrap().value);
            }),
        ),
        (
            "execute",
            of_one_call(|index| {
                let number = index % 15;
                let done = run.execute(move |run| {
                    let names = [["key/0", "key/1"], ["key/2", "key/3"]][number % 2];
                    let sum = run.get(names[0])?.zip(run.get(names[1])?);
                    run.put(names[0], 1)?;
                    run.put(names[1], 2)?;
                    Ok::<_, Error>(sum.is_some())
                });
                assert!(done.unwrap().value);
            }),
        ),
        // What pollster allocates to be woken is not of the call: so its waker is there already, and all are awaited inside.
        (
            "awaited get",
            block_on(of_one_awaited_call(async |index| drop(twin.get(key(index)).await.unwrap()))),
        ),
        (
            "awaited put",
            block_on(of_one_awaited_call(async |index| {
                assert!(twin.put(key(index), index as i64).await.is_ok());
            })),
        ),
        (
            "put in a pipeline",
            of_one_call(|index| {
                let mut batch = run.batch();
                batch.put(key(index), index as i64).unwrap();
                let mut pipeline = pipeline.borrow_mut();
                pipeline.send(&run, batch).unwrap();
                assert!(pipeline.receive().unwrap().is_ok());
            }),
        ),
        ("snapshot", of_one_call(|_| drop(run.snapshot().unwrap()))),
    ];
    for (call, count) in found {
        let count = (count * 100.0).round() / 100.0;
        assert_eq!(count, documented(call), "{call}: all are {found:?}");
    }
}

/// What docs/performance.md says of a call.
fn documented(call: &str) -> f64 {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");
    let page = std::fs::read_to_string(page).unwrap();
    let row = page.lines().find(|line| line.starts_with(&format!("| {call} | ")));
    let row = row.unwrap_or_else(|| panic!("docs/performance.md says nothing of {call}"));
    row.split('|').nth(2).and_then(|count| count.trim().parse().ok()).unwrap()
}
