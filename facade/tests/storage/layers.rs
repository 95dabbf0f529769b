//! Where the time of requests goes, in a store that measures it: queue, shard, log and reply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strata::{
    AsyncWrites, Database, Durability, Durations, Error, ErrorKind, LayerTimes, Options, Pipeline, Reads,
    RunHandle, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::gate::{Gate, Opener, open_gated_with, under_way};
use crate::support::held::HeldShard;
use crate::support::tasks::join_all;
use crate::support::{eventually, open_on, options, script};

/// Long against what a call takes that waits for nothing.
const MOMENT: Duration = Duration::from_millis(200);

fn measured(durability: Durability) -> Options {
    Options { measure_layers: true, ..options(durability, 1) }
}

fn open(durability: Durability) -> Database {
    match durability {
        Durability::InMemory => Database::in_memory_with(measured(durability)).unwrap(),
        _ => open_on(&SimDisk::new(1), measured(durability)).unwrap(),
    }
}

fn of(database: &Database) -> LayerTimes {
    database.stats().unwrap().shards.remove(0).layers.expect("the store measures them")
}

fn all(layers: &LayerTimes) -> [&Durations; 4] {
    [&layers.queue, &layers.shard, &layers.log, &layers.reply]
}

fn counts(database: &Database) -> [u64; 4] {
    all(&of(database)).map(Durations::count)
}

/// Lets a moment pass.
fn pass() {
    let started = Instant::now();
    eventually("a moment has passed", || started.elapsed() >= MOMENT);
}

/// Sends a put and does not wait.
fn send(pipeline: &mut Pipeline, run: &RunHandle) {
    let mut batch = run.batch();
    batch.put("key", 1).unwrap();
    pipeline.send(run, batch).unwrap();
}

#[test]
fn the_layers_of_a_call_take_together_no_more_than_its_caller_measured() {
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
        for _ in 0..20 {
            let database = open(durability);
            let started = Instant::now();
            script::begin(&database, "run").unwrap();
            let took = started.elapsed();
            let layers = of(&database);
            let waits = u64::from(durability != Durability::InMemory);
            assert_eq!(all(&layers).map(Durations::count), [1, 1, waits, 1], "{durability}: it was one call");
            // Each is known to two digits.
            let together: Duration = all(&layers).map(Durations::max).iter().sum();
            assert!(together <= took + took / 50, "{durability}: {layers:?} of {took:?}");
            assert!(together > Duration::ZERO);
        }
    }
}

#[test]
fn a_store_that_is_not_asked_to_measure_layers_has_none() {
    for durability in [Durability::InMemory, Durability::Strict] {
        let not_asked = Options { measure_layers: false, ..measured(durability) };
        let database = match durability {
            Durability::InMemory => Database::in_memory_with(not_asked).unwrap(),
            _ => open_on(&SimDisk::new(1), not_asked).unwrap(),
        };
        // The slots of this thread have served a store that measures.
        let other = open(Durability::InMemory);
        script::begin(&other, "other").unwrap();
        script::begin(&database, "run").unwrap().put("key", 1).unwrap();
        assert_eq!(database.stats().unwrap().shards[0].layers, None);
        assert_eq!(counts(&other), [1, 1, 0, 1], "what another store is asked is not counted here");
    }
}

#[test]
fn each_request_for_a_run_is_counted_once_and_what_is_no_request_not_at_all() {
    let database = open(Durability::InMemory);
    let run = script::begin(&database, "run").unwrap();
    let mut before = counts(&database)[0];
    let mut expect = |what: &str, more: u64| {
        let [queue, shard, log, reply] = counts(&database);
        assert_eq!([queue - before, shard - before, log, reply - before], [more, more, 0, more], "{what}");
        before = queue;
    };
    run.put("key", 1).unwrap();
    run.put_many([("a", 1), ("b", 2)]).unwrap();
    expect("two writes", 2);
    assert_eq!(run.cell_cas("none", strata::Version(7), 1).unwrap_err().kind(), ErrorKind::Conflict);
    expect("a refusal", 1);
    let mut batch = run.batch();
    batch.put("key", 2).unwrap();
    database.commit_all(vec![batch]).unwrap().remove(0).unwrap();
    expect("batches of one shard", 1);
    run.execute(|scope| scope.put("key", 3).map(drop)).unwrap();
    expect("a closure", 1);
    let transaction = run.begin();
    transaction.get("key").unwrap();
    transaction.put("key", 4).unwrap();
    transaction.commit().unwrap();
    expect("the read and the commit of a transaction", 2);
    let task = run.to_async();
    join_all([task.put("task", 1)]).remove(0).unwrap();
    expect("an awaited write", 1);
    let mut pipeline = Pipeline::new(1);
    send(&mut pipeline, &run);
    pipeline.receive().unwrap().unwrap();
    expect("a write in a pipeline", 1);
    database.run(run.id()).get("key").unwrap();
    expect("a read of who has read nothing yet", 1);
    let reader = database.run(run.id());
    eventually("what it reads is published", || {
        let asked = counts(&database)[0];
        reader.get("key").unwrap();
        counts(&database)[0] == asked
    });
    before = counts(&database)[0];
    reader.get("key").unwrap();
    database.stats().unwrap();
    let published = counts(&database)[0];
    assert_eq!(published, before, "what is published is read without a request, and counters are none");
}

#[test]
fn the_log_is_where_a_slow_disk_shows() {
    let gate = Arc::new(Gate::new());
    let database = open_gated_with(&SimDisk::new(1), &gate, measured(Durability::Strict));
    let _opener = Opener(&gate);
    let run = script::begin(&database, "run").unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let put = under_way(scope, &database, || run.put("key", 1).unwrap());
        pass();
        gate.open();
        put.recv().unwrap();
    });
    let layers = of(&database);
    assert_eq!(layers.log.count(), 2);
    assert!(layers.log.max() >= MOMENT, "{layers:?}");
    assert!(all(&layers).iter().filter(|times| times.max() >= MOMENT).count() == 1, "{layers:?}");
}

#[test]
fn the_queue_is_where_a_busy_shard_shows() {
    let database = open(Durability::Buffered);
    let run = script::begin(&database, "run").unwrap();
    let held = HeldShard::of(&run);
    let mut pipeline = Pipeline::new(1);
    send(&mut pipeline, &run);
    pass();
    held.let_go();
    pipeline.receive().unwrap().unwrap();
    let layers = of(&database);
    assert!(layers.queue.max() >= MOMENT, "{layers:?}");
    assert!(layers.shard.max() >= MOMENT, "the closure that kept it busy was there: {layers:?}");
    assert!(layers.queue.quantile(0.5) < MOMENT && layers.shard.quantile(0.5) < MOMENT, "{layers:?}");
    assert!(layers.log.max() < MOMENT, "{layers:?}");
}

#[test]
fn the_shard_is_where_a_long_closure_shows() {
    let database = open(Durability::InMemory);
    let run = script::begin(&database, "run").unwrap();
    run.execute(|_| {
        pass();
        Ok::<_, Error>(())
    })
    .unwrap();
    let layers = of(&database);
    assert!(layers.shard.max() >= MOMENT && layers.shard.quantile(0.5) < MOMENT, "{layers:?}");
    assert!(layers.queue.max() < MOMENT && layers.reply.max() < MOMENT, "{layers:?}");
}

#[test]
fn the_reply_is_where_a_caller_shows_who_looks_late() {
    let database = open(Durability::InMemory);
    let run = script::begin(&database, "run").unwrap();
    let mut pipeline = Pipeline::new(1);
    send(&mut pipeline, &run);
    // Answered behind it.
    run.put("other", 1).unwrap();
    pass();
    pipeline.receive().unwrap().unwrap();
    let layers = of(&database);
    assert!(layers.reply.max() >= MOMENT && layers.reply.quantile(0.5) < MOMENT, "{layers:?}");
    assert!(layers.queue.max() < MOMENT && layers.shard.max() < MOMENT, "{layers:?}");
}

#[test]
fn a_request_whose_caller_has_given_up_is_in_no_layer() {
    let database = open(Durability::InMemory);
    let run = script::begin(&database, "run").unwrap();
    let held = HeldShard::of(&run);
    let impatient = run.with_timeout(Duration::from_millis(1));
    assert_eq!(impatient.put("key", 1).unwrap_err().kind(), ErrorKind::TimedOut);
    held.let_go();
    assert_eq!(run.get("key").unwrap().map(|found| found.value), Some(1.into()), "it took effect");
    assert_eq!(counts(&database), [3, 3, 0, 3], "the run, the closure and the read");
}

#[test]
fn a_shard_that_is_restarted_measures_anew() {
    let disk = SimDisk::new(1);
    let database = open_on(&disk, measured(Durability::Strict)).unwrap();
    let run = script::begin(&database, "run").unwrap();
    disk.set_faults(Faults::once(disk.points() + 1, FaultKind::Error));
    assert_eq!(run.put("key", 1).unwrap_err().kind(), ErrorKind::LogFailed);
    assert_eq!(counts(&database), [2, 2, 2, 2], "the answer waited for the log in vain");
    database.restart_shard(0).unwrap();
    assert_eq!(counts(&database), [0; 4]);
    run.put("key", 2).unwrap();
    assert_eq!(counts(&database), [1; 4]);
}
