//! The life of a run, the index of runs, and what durability its writes are promised.

use std::collections::BTreeSet;
use std::sync::Arc;

use strata::{
    Database, Durability, EntityRef, ErrorKind, KvScan, Namespace, Reads, Retention, RunFilter, RunId,
    RunSpec, RunStatus, Timestamp, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::{TestClock, open_on, options, script, sim_path};

fn in_memory() -> Database {
    Database::in_memory_with(options(Durability::InMemory, 2)).unwrap()
}

#[test]
fn a_created_run_is_what_its_spec_says() {
    let database = in_memory();
    let parent = database.create_run(RunSpec::named("parent")).unwrap();
    let spec = RunSpec {
        name: Some("child".into()),
        namespace: Namespace::new("acme", "support", "triage"),
        parent: Some(parent.id()),
        tags: vec!["red".into(), "blue".into(), "red".into()],
        metadata: Value::from([("task", 7.into())]),
        durability: None,
        retention: Some(Retention::KeepLast(3)),
        event_retention: Some(Retention::KeepLast(4)),
        trace_retention: Some(Retention::KeepLast(5)),
    };
    let run = database.create_run(spec.clone()).unwrap();
    let info = run.info().unwrap();
    assert_eq!(run.id(), RunId::named(&spec.namespace, "child"), "a name needs no directory");
    assert_eq!((info.id, info.name, info.namespace), (run.id(), spec.name.clone(), spec.namespace.clone()));
    assert_eq!((info.parent, info.metadata), (Some(parent.id()), spec.metadata.clone()));
    assert_eq!(info.retention, spec.retention);
    assert_eq!((info.event_retention, info.trace_retention), (spec.event_retention, spec.trace_retention));
    assert_eq!(info.tags, ["red", "blue"], "a repeated tag counts once");
    assert_eq!((info.status, info.version, info.orphaned), (RunStatus::Active, Version(1), false));
    assert_eq!((info.kv_count, info.event_count, info.created), (0, 0, info.timestamp));
    let error = database.create_run(spec).unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::AlreadyExists, Some(&EntityRef::run(run.id()))));
    let same_name = RunSpec::named("child");
    assert_ne!(database.create_run(same_name).unwrap().id(), run.id(), "another namespace is another run");
}

#[test]
fn a_run_without_a_name_is_always_new() {
    let database = in_memory();
    let ids: BTreeSet<RunId> =
        (0..50).map(|_| database.begin_run(RunSpec::default()).unwrap().id()).collect();
    assert_eq!(ids.len(), 50);
    assert_eq!(database.runs(&RunFilter::default(), None, 100).unwrap().runs.len(), 50);
}

#[test]
fn beginning_resumes_what_is_unfinished_and_refuses_what_is_not() {
    let database = in_memory();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put("plan", 1).unwrap();
    assert_eq!(
        database.begin_run(RunSpec::named("run")).unwrap().get("plan").unwrap().unwrap().value,
        Value::Int(1)
    );
    assert_eq!(run.info().unwrap().version, Version(2), "an active run is begun already");
    run.update_status(RunStatus::Paused).unwrap();
    assert_eq!(run.put("plan", 2).unwrap_err().kind(), ErrorKind::RunClosed);
    database.begin_run(RunSpec::named("run")).unwrap();
    assert_eq!((run.info().unwrap().status, run.info().unwrap().version), (RunStatus::Active, Version(4)));
    run.end(RunStatus::Completed).unwrap();
    let error = database.begin_run(RunSpec::named("run")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RunClosed);
    assert!(error.message().contains("completed"), "the status is named: {error}");
}

#[test]
fn a_run_moves_only_along_the_arrows_of_its_life() {
    use RunStatus::{Active, Archived, Cancelled, Completed, Failed, Paused};
    let allowed = |from: RunStatus| match from {
        Active => vec![Completed, Failed, Cancelled, Paused, Archived],
        Paused => vec![Active, Cancelled, Archived],
        Completed | Failed | Cancelled => vec![Archived],
        Archived => vec![],
    };
    let database = in_memory();
    for from in RunStatus::ALL {
        for to in RunStatus::ALL {
            let run = database.create_run(RunSpec::default()).unwrap();
            if from != Active {
                run.update_status(from).unwrap().expect("every status can be reached from active");
            }
            let before = run.info().unwrap().version;
            let moved = run.update_status(to);
            if from == to {
                assert_eq!(moved.unwrap(), None, "staying {from} is no commit");
            } else if allowed(from).contains(&to) {
                assert_eq!(moved.unwrap().unwrap().version, before.next(), "{from} to {to}");
                assert_eq!(run.info().unwrap().status, to);
                continue;
            } else {
                let error = moved.unwrap_err();
                let kind = if from.is_finished() { ErrorKind::RunClosed } else { ErrorKind::InvalidArgument };
                assert_eq!((error.kind(), error.entity()), (kind, Some(&EntityRef::run(run.id()))));
                assert_eq!(error.message(), format!("the run is {from} and cannot become {to}"));
            }
            assert_eq!((run.info().unwrap().status, run.info().unwrap().version), (from, before));
        }
    }
}

#[test]
fn a_run_that_is_not_active_can_be_read_and_described_but_not_written() {
    let database = in_memory();
    for status in RunStatus::ALL.into_iter().filter(|status| *status != RunStatus::Active) {
        let run = database.create_run(RunSpec::default()).unwrap();
        run.put("plan", 1).unwrap();
        run.update_status(status).unwrap();
        let refused = [
            run.put("plan", 2).map(drop),
            run.delete("plan").map(drop),
            run.increment("n", 1).map(drop),
            run.append("step", 1).map(drop),
            run.delete_prefix("").map(drop),
        ];
        for error in refused {
            let error = error.unwrap_err();
            assert_eq!(
                (error.kind(), error.entity()),
                (ErrorKind::RunClosed, Some(&EntityRef::run(run.id())))
            );
        }
        assert_eq!(run.get("plan").unwrap().unwrap().value, Value::Int(1), "{status}");
        run.set_tags(["kept"]).unwrap().expect("tags are allowed on all");
        run.set_metadata(Value::from([("note", "kept".into())]))
            .unwrap()
            .expect("metadata is allowed on all");
        assert_eq!(run.info().unwrap().tags, ["kept"]);
        run.delete_run().unwrap();
        assert_eq!(run.info().unwrap_err().kind(), ErrorKind::NotFound);
    }
    let run = database.create_run(RunSpec::default()).unwrap();
    assert_eq!(
        run.end(RunStatus::Paused).unwrap_err().kind(),
        ErrorKind::InvalidArgument,
        "a pause is no end"
    );
    assert_eq!(run.end(RunStatus::Active).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_deleted_run_is_gone_and_a_new_one_of_its_name_numbers_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let open = || Database::open(&path, options(Durability::Buffered, 2)).unwrap();
    let database = open();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let child = database.create_run(RunSpec { parent: Some(run.id()), ..RunSpec::named("child") }).unwrap();
    run.put("plan", 1).unwrap();
    run.append("step", 1).unwrap();
    assert_eq!(run.delete_run().unwrap().version, Version(4));
    let expect_gone = |database: Database| {
        let run = database.run(script::id_of("run"));
        assert_eq!(run.get("plan").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(run.put("plan", 1).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(database.get_run(run.id()).unwrap(), None);
        assert_eq!(run.delete_run().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            database.runs(&RunFilter::default(), None, 9).unwrap().runs.len(),
            1,
            "its child lives on"
        );
        database.close().unwrap();
    };
    expect_gone(database);
    expect_gone(open());
    let database = open();
    assert!(database.get_run(child.id()).unwrap().is_some());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(run.info().unwrap().version, Version(5), "versions go on where the deleted run ended");
    assert_eq!((run.get("plan").unwrap(), run.event_count().unwrap().value), (None, 0));
    assert_eq!(run.append("step", 1).unwrap().sequence, 0);
}

#[test]
fn runs_are_found_by_every_condition_in_pages_over_all_shards() {
    let clock = TestClock::at(1_000_000);
    let database = Database::start(None, options(Durability::InMemory, 3), clock.clock(), None).unwrap();
    let parent = database.create_run(RunSpec::named("parent")).unwrap();
    for number in 0..60_i64 {
        clock.set(2_000_000 + number as u64);
        let spec = RunSpec {
            namespace: Namespace::new(if number % 2 == 0 { "even" } else { "odd" }, "", ""),
            parent: (number % 3 == 0).then_some(parent.id()),
            tags: vec![format!("tag-{}", number % 4)],
            metadata: Value::from([("number", (number % 5).into())]),
            ..RunSpec::default()
        };
        let run = database.create_run(spec).unwrap();
        if number % 6 == 1 {
            run.end(RunStatus::Failed).unwrap();
        }
    }
    let any = RunFilter::default;
    let count = |filter: &RunFilter| {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = database.runs(filter, after, 7).unwrap();
            assert!(page.runs.len() <= 7);
            found.extend(page.runs.iter().map(|info| info.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(
            found.is_sorted() && found.iter().collect::<BTreeSet<_>>().len() == found.len(),
            "in order, once each"
        );
        found.len()
    };
    assert_eq!(count(&any()), 61);
    assert_eq!(count(&RunFilter { status: Some(RunStatus::Failed), ..any() }), 10);
    assert_eq!(count(&RunFilter { tag: Some("tag-3".into()), ..any() }), 15);
    assert_eq!(count(&RunFilter { parent: Some(parent.id()), ..any() }), 20);
    assert_eq!(count(&RunFilter { namespace: Some(Namespace::new("odd", "", "")), ..any() }), 30);
    assert_eq!(count(&RunFilter { metadata: Some(("number".into(), Value::Int(4))), ..any() }), 12);
    assert_eq!(count(&RunFilter { created_from: Some(Timestamp(2_000_050)), ..any() }), 10);
    assert_eq!(count(&RunFilter { created_to: Some(Timestamp(2_000_000)), ..any() }), 1);
    let both = RunFilter { status: Some(RunStatus::Failed), tag: Some("tag-3".into()), ..any() };
    assert_eq!(count(&both), 5);
    assert_eq!(count(&RunFilter { orphaned: Some(true), ..any() }), 0);
    assert_eq!(database.runs(&any(), None, 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn active_runs_of_a_boot_that_crashed_are_orphaned_until_begun_again() {
    let disk = SimDisk::new(31);
    let database = open_on(&disk, options(Durability::Strict, 2)).unwrap();
    for name in ["active", "resumed", "paused", "done"] {
        database.create_run(RunSpec::named(name)).unwrap().put("plan", 1).unwrap();
    }
    database.run(script::id_of("paused")).update_status(RunStatus::Paused).unwrap();
    database.run(script::id_of("done")).end(RunStatus::Completed).unwrap();
    assert!(orphans(&database).is_empty(), "nobody is orphaned while the boot lasts");
    let disk_after = disk.kill();
    drop(database);

    let database = open_on(&disk_after, options(Durability::Strict, 2)).unwrap();
    assert!(!database.recovery().was_clean);
    assert_eq!(orphans(&database), ["active", "resumed"]);
    let version = script::version_of(&database, "active");
    assert!(database.run(script::id_of("active")).info().unwrap().orphaned);
    assert_eq!(script::version_of(&database, "active"), version, "being orphaned is derived, never written");
    database.begin_run(RunSpec::named("resumed")).unwrap();
    assert_eq!(orphans(&database), ["active"]);
    database.create_run(RunSpec::named("new")).unwrap();
    database.close().unwrap();

    let database = open_on(&disk_after, options(Durability::Strict, 2)).unwrap();
    assert_eq!(orphans(&database), ["active"], "a clean close orphans nobody, and forgets no orphan");
    database.begin_run(RunSpec::named("active")).unwrap();
    assert!(orphans(&database).is_empty());
}

fn orphans(database: &Database) -> Vec<String> {
    let filter = RunFilter { orphaned: Some(true), ..RunFilter::default() };
    let page = database.runs(&filter, None, 100).unwrap();
    let mut names: Vec<_> = page.runs.into_iter().map(|info| info.name.unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn durability_can_be_raised_by_run_and_by_call_and_never_lowered() {
    let disk = SimDisk::new(32);
    let database = open_on(&disk, options(Durability::Buffered, 2)).unwrap();
    let with = |name: &str, durability| RunSpec { durability, ..RunSpec::named(name) };
    let plain = database.create_run(with("plain", None)).unwrap();
    assert_eq!(plain.put("a", 1).unwrap().durability, Durability::Buffered);
    assert_eq!(plain.with_durability(Durability::Strict).put("a", 1).unwrap().durability, Durability::Strict);
    let lower = plain.with_durability(Durability::InMemory).put("a", 1).unwrap_err();
    assert_eq!(lower.kind(), ErrorKind::InvalidArgument, "{lower}");

    let strict = database.create_run(with("strict", Some(Durability::Strict))).unwrap();
    assert_eq!(strict.put("a", 1).unwrap().durability, Durability::Strict);
    assert_eq!(strict.info().unwrap().durability, Some(Durability::Strict));
    let lower = strict.with_durability(Durability::Buffered).put("a", 1).unwrap_err();
    assert_eq!(lower.kind(), ErrorKind::InvalidArgument, "{lower}");

    let memory = database.create_run(with("memory", Some(Durability::InMemory))).unwrap();
    assert_eq!(memory.put("a", 1).unwrap().durability, Durability::InMemory);
    let raised = memory.with_durability(Durability::Strict).put("a", 1).unwrap_err();
    assert_eq!(raised.kind(), ErrorKind::Unsupported, "a run in memory is never logged: {raised}");
    database.close().unwrap();

    let database = open_on(&disk, options(Durability::Strict, 2)).unwrap();
    assert_eq!(database.get_run(memory.id()).unwrap(), None, "what lives in memory is gone");
    let plain = database.run(plain.id());
    assert_eq!(
        plain.put("a", 1).unwrap().durability,
        Durability::Strict,
        "the store's own mode may be raised too"
    );
    assert_eq!(database.run(strict.id()).put("a", 1).unwrap().durability, Durability::Strict);
}

#[test]
fn a_run_in_memory_leaves_the_log_alone() {
    let disk = SimDisk::new(33);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let spec = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("memory") };
    let run = database.begin_run(spec.clone()).unwrap();
    script::steps(&run, 1..=20);
    assert_eq!(script::expect_whole(&database, "memory"), 21);
    assert_eq!(database.stats().unwrap().appends(), 0);
    database.close().unwrap();
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    assert_eq!(database.begin_run(spec).unwrap().info().unwrap().version, Version(1));
}

#[test]
fn an_in_memory_database_promises_memory_and_nothing_more() {
    let database = Database::in_memory_with(options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    assert_eq!(run.put("a", 1).unwrap().durability, Durability::InMemory);
    assert_eq!(
        run.with_durability(Durability::Strict).put("a", 1).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(database.sync().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(run.sync().unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(database.recovery().created && database.recovery().was_clean);
    assert!(run.list(&KvScan::default()).is_ok());
}

#[test]
fn sync_makes_what_was_acknowledged_durable() {
    for by_run in [false, true] {
        let disk = SimDisk::new(34);
        let slow = std::time::Duration::from_secs(3600);
        let settings = strata::Options { sync_interval: slow, ..options(Durability::Buffered, 1) };
        let storage = Arc::new(disk.clone());
        let clock = TestClock::at(1_750_000_000_000_000).clock();
        let database = Database::start(Some(sim_path()), settings, clock, Some(storage)).unwrap();
        let run = script::begin(&database, "run").unwrap();
        script::steps(&run, 1..=30);
        if by_run {
            run.sync().unwrap()
        } else {
            database.sync().unwrap()
        }
        for seed in 0..10 {
            let after = disk.power_cycle(seed);
            let reopened = open_on(&after, options(Durability::Buffered, 1)).unwrap();
            assert_eq!(script::expect_whole(&reopened, "run"), 31, "seed {seed}");
        }
    }
}
