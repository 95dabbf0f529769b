//! Reads never write: no append, no sync, no write of any kind, counted on both sides of the log.

use std::time::Duration;

use strata::{
    Database, Direction, Durability, KvScan, Namespace, Options, Reads, RunFilter, RunHandle, RunId, RunSpec,
    Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::counted::Counted;
use crate::support::{open_on, options, script};

#[test]
fn every_read_leaves_the_log_and_the_disk_alone() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let disk = SimDisk::new(3);
        let settings = Options { sync_interval: Duration::from_secs(3600), ..options(durability, 2) };
        let database = open_on(&disk, settings).unwrap();
        let run = script::begin(&database, "run").unwrap();
        // Little enough that no further segment is prepared while reads are counted.
        script::steps(&run, 1..=9);
        run.put_with_ttl("lease", 1, Duration::from_secs(60)).unwrap();
        database.sync().unwrap();
        let before = Counted::of(&database, &disk);

        for _ in 0..20 {
            read_everything(&database, &run);
        }

        let after = Counted::of(&database, &disk);
        assert_eq!(
            after.quiet(),
            before.quiet(),
            "{durability:?}: appends, batches, syncs, commits, and the disk's calls"
        );
        // Most of them without a message.
        assert!(after.reads > before.reads, "the reads were served: {} to {}", before.reads, after.reads);

        run.put("plan", 1).unwrap();
        assert_ne!(Counted::of(&database, &disk).quiet(), before.quiet(), "a write is counted");
    }
}

#[test]
fn reads_of_a_run_that_does_not_exist_create_nothing() {
    let disk = SimDisk::new(4);
    let database = open_on(&disk, options(Durability::Strict, 2)).unwrap();
    let before = Counted::of(&database, &disk);
    let run = database.run(RunId::named(&Namespace::default(), "nobody"));
    assert!(run.get("plan").is_err() && run.event_count().is_err() && run.list(&KvScan::default()).is_err());
    assert_eq!(database.get_run(run.id()).unwrap(), None);
    assert!(database.runs(&RunFilter::default(), None, 10).unwrap().runs.is_empty());
    let after = Counted::of(&database, &disk);
    assert_eq!((after.appends, after.commits), (before.appends, before.commits));
    assert_eq!(after.runs, 0, "no run has come into being");
}

/// Every read there is, 25 of them by message to one shard; a query asks every shard besides.
fn read_everything(database: &Database, run: &RunHandle) {
    assert_eq!(run.get("left").unwrap().unwrap().value.as_int(), Some(9));
    assert_eq!(run.get("missing").unwrap(), None);
    assert_eq!(run.get_many(&["left", "missing"]).unwrap().value.len(), 2);
    assert!(run.exists("left").unwrap().value);
    assert!(!run.exists("missing").unwrap().value);
    assert!(run.ttl("lease").unwrap().unwrap().value.is_some());
    assert!(run.ttl("left").unwrap().unwrap().value.is_none());
    let scan = KvScan { limit: 2, ..KvScan::default() };
    assert_eq!(run.list(&scan).unwrap().keys.len(), 2);
    assert_eq!(run.list(&KvScan { direction: Direction::Reverse, ..scan.clone() }).unwrap().keys.len(), 2);
    assert_eq!(run.list_values(&scan).unwrap().items.len(), 2);
    assert!(run.count("").unwrap().value > 3);
    assert_eq!(run.count("le").unwrap().value, 2);
    assert_eq!(run.event(7).unwrap().unwrap().sequence, 7);
    assert_eq!(run.event(1_000).unwrap(), None);
    assert_eq!(run.events(0, 10, Direction::Forward).unwrap().events.len(), 9);
    assert_eq!(run.last_events(3).unwrap().events.len(), 3);
    assert_eq!(run.events_by_type("step", 0, 5, Direction::Forward).unwrap().events.len(), 5);
    assert_eq!(run.event_count().unwrap().value, 9);
    assert_eq!(run.event_count_of("step").unwrap().value, 9);
    assert_eq!(run.event_head().unwrap().unwrap().sequence, 8);
    assert_eq!(run.event_head_of("step").unwrap().unwrap().sequence, 8);
    assert_eq!(run.first_event().unwrap().value, 0);
    assert!(run.verify_chain().unwrap().valid);
    assert_eq!(run.info().unwrap().event_count, 9);
    assert!(database.get_run(run.id()).unwrap().is_some());
    assert_eq!(database.runs(&RunFilter::default(), None, 10).unwrap().runs.len(), 1);
    // Beginning a run that is active in this boot changes nothing either.
    assert_eq!(database.begin_run(RunSpec::named("run")).unwrap().id(), run.id());
}
