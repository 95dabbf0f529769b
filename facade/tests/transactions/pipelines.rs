//! Commits that are sent one behind the other and answered later.

use std::time::Duration;

use strata::{Batch, Condition, Database, Durability, ErrorKind, Pipeline, Reads, RunHandle, RunSpec};

use crate::support::held::HeldShard;
use crate::support::{one_run, options};

fn batch(run: &RunHandle, fill: impl FnOnce(&mut Batch)) -> Batch {
    let mut batch = run.batch();
    fill(&mut batch);
    batch
}

fn adding(run: &RunHandle) -> Batch {
    batch(run, |batch| {
        batch.increment("n", 1).unwrap();
    })
}

#[test]
fn answers_come_in_the_order_of_sending_with_an_error_in_the_middle() {
    let (_database, run) = one_run();
    let mut pipeline = Pipeline::new(8);
    pipeline
        .send(
            &run,
            batch(&run, |batch| {
                batch.put("a", 1).unwrap();
            }),
        )
        .unwrap();
    let refused = batch(&run, |batch| {
        batch.put("b", 1).unwrap().put_if("a", 2, Condition::Absent).unwrap();
    });
    pipeline.send(&run, refused).unwrap();
    pipeline.send(&run, adding(&run)).unwrap();
    pipeline.send(&run, run.batch()).unwrap();
    assert_eq!(pipeline.len(), 4);
    let versions: Vec<_> = std::iter::from_fn(|| pipeline.receive())
        .map(|answer| answer.map(|receipt| receipt.commit.map(|commit| commit.version.0)))
        .collect();
    let [Ok(Some(first)), Err(error), Ok(Some(third)), Ok(None)] = &versions[..] else {
        panic!("{versions:?}")
    };
    assert_eq!((error.kind(), first + 1), (ErrorKind::Conflict, *third));
    assert!(!run.exists("b").unwrap().value, "what is refused is refused as a whole");
    assert!(pipeline.is_empty() && pipeline.receive().is_none());
}

#[test]
fn no_more_than_its_depth_is_under_way() {
    let (_database, run) = one_run();
    let mut pipeline = Pipeline::new(2);
    let held = HeldShard::of(&run);
    (0..2).for_each(|_| pipeline.send(&run, adding(&run)).unwrap());
    assert!(pipeline.is_full() && pipeline.try_receive().is_none());
    let refused = pipeline.send(&run, adding(&run)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    held.let_go();
    let receipt = pipeline.receive().unwrap().unwrap();
    assert_eq!(receipt.effects.len(), 1);
    pipeline.send(&run, adding(&run)).unwrap();
    while let Some(answer) = pipeline.receive() {
        answer.unwrap();
    }
    assert_eq!(run.get("n").unwrap().unwrap().value.as_int(), Some(3), "nothing came of the refused one");
    assert!(!Pipeline::new(0).is_full(), "there is room for one at least");
}

#[test]
fn one_pipeline_serves_many_runs_and_stores() {
    let stores: Vec<_> =
        (0..2).map(|_| Database::in_memory_with(options(Durability::InMemory, 2)).unwrap()).collect();
    let runs: Vec<_> = (0..10)
        .map(|number| stores[number % 2].create_run(RunSpec::named(format!("run-{number}"))).unwrap())
        .collect();
    let mut pipeline = Pipeline::new(100);
    let mut received = 0;
    for number in 0..1_000 {
        if pipeline.is_full() {
            pipeline.receive().unwrap().unwrap();
            received += 1;
        }
        let run = &runs[number % 10];
        let step = batch(run, |batch| {
            batch.append("step", number as i64).unwrap();
        });
        pipeline.send(run, step).unwrap();
    }
    received += std::iter::from_fn(|| pipeline.receive()).map(Result::unwrap).count();
    assert_eq!(received, 1_000);
    for (number, run) in runs.iter().enumerate() {
        let events = run.events(0, 1_000, strata::Direction::Forward).unwrap().events;
        let payloads: Vec<_> = events.iter().map(|event| event.payload.as_int().unwrap()).collect();
        let expected: Vec<_> = (0..100).map(|round| round * 10 + number as i64).collect();
        assert_eq!(payloads, expected, "batches of one run take effect in their order");
    }
    stores.into_iter().for_each(|store| store.close().unwrap());
    let closed = pipeline.send(&runs[0], adding(&runs[0]));
    assert_eq!((closed.unwrap_err().kind(), pipeline.len()), (ErrorKind::Closed, 0));
}

#[test]
fn a_pipeline_that_is_dropped_leaves_what_it_has_sent_to_take_effect() {
    let (_database, run) = one_run();
    let held = HeldShard::of(&run);
    let mut pipeline = Pipeline::new(100);
    (0..100).for_each(|_| pipeline.send(&run, adding(&run)).unwrap());
    drop(pipeline);
    held.let_go();
    assert_eq!(run.get("n").unwrap().unwrap().value.as_int(), Some(100));
}

#[test]
fn a_timeout_counts_from_the_sending() {
    let (_database, run) = one_run();
    let (hasty, held) = (run.with_timeout(Duration::from_millis(20)), HeldShard::of(&run));
    let mut pipeline = Pipeline::new(8);
    (0..8).for_each(|_| pipeline.send(&hasty, adding(&run)).unwrap());
    let started = std::time::Instant::now();
    for _ in 0..8 {
        assert_eq!(pipeline.receive().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    }
    assert!(started.elapsed() < Duration::from_secs(60), "they have waited together");
    held.let_go();
    assert_eq!(run.get("n").unwrap().unwrap().value.as_int(), Some(8));
}

#[test]
fn a_batch_of_another_run_is_not_sent() {
    let (_database, run) = one_run();
    let other = run.fork().unwrap();
    let mut pipeline = Pipeline::new(8);
    let refused = pipeline.send(&run, adding(&other)).unwrap_err();
    assert_eq!((refused.kind(), pipeline.len()), (ErrorKind::InvalidArgument, 0));
    let inside = run.clone();
    let kind = run.execute(move |_| {
        Ok::<_, strata::Error>(Pipeline::new(1).send(&inside, inside.batch()).unwrap_err().kind())
    });
    assert_eq!(kind.unwrap().value, ErrorKind::Unsupported);
}
