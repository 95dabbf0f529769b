//! More data than memory: runs leave and come back, and nobody notices but by the clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use strata::{
    Database, Durability, EntityRef, ErrorKind, KvScan, Limits, Options, Reads, RunHandle, RunSpec,
    RunStatus, ShardStats, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::contents::{contents, of_run};
use crate::support::hooked::{Hooks, open_hooked};
use crate::support::{Dice, TestClock, eventually, open_on, options, script, seed, sim_path};

const BUDGET: u64 = 256 << 10;

fn small() -> Options {
    Options { memory_budget: BUDGET, checkpoint_log_size: 32 << 10, ..options(Durability::Buffered, 1) }
}

fn stats(database: &Database) -> ShardStats {
    database.stats().unwrap().shards.remove(0)
}

/// Runs that take several times the budget.
fn filled(database: &Database, count: usize) -> Vec<RunHandle> {
    let names = (0..count).map(|number| format!("run{number}"));
    let runs: Vec<RunHandle> = names.map(|name| script::begin(database, &name).unwrap()).collect();
    for run in &runs {
        script::steps(run, 1..=20);
    }
    runs
}

#[test]
fn a_store_larger_than_its_budget_serves_every_run_and_stays_within_it() {
    let mut dice = Dice::new(seed());
    let disk = SimDisk::new(dice.roll());
    let database = open_on(&disk, small()).unwrap();
    let runs = filled(&database, 60);
    let mut steps = vec![20_u64; runs.len()];
    for _ in 0..600 {
        // Most calls go to few runs.
        let most = if dice.below(5) == 0 { runs.len() as u64 } else { 8 };
        let run = dice.below(most) as usize;
        match dice.below(4) {
            0 => {
                steps[run] += 1;
                script::step(&runs[run], steps[run]).unwrap();
            }
            1 => assert_eq!(runs[run].info().unwrap().version, Version(steps[run] + 1)),
            2 => assert_eq!(runs[run].get("steps").unwrap().unwrap().value.as_int(), Some(steps[run] as i64)),
            _ => drop(runs[run].transaction(|tx| tx.get("left").map(drop)).unwrap()),
        }
    }
    database.checkpoint().unwrap();
    eventually("what has no room has left", || stats(&database).memory <= BUDGET);
    let seen = stats(&database);
    assert!(seen.evictions > 60 && seen.loads > 60, "{} left, {} came back", seen.evictions, seen.loads);
    assert!(seen.resident_runs < 40 && seen.resident_runs + seen.cold_runs == 60, "{seen:?}");
    let held = contents(&database);
    drop(database);
    let roomy = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    assert_eq!(contents(&roomy), held);
    for (number, steps) in steps.iter().enumerate() {
        assert_eq!(
            roomy.run(script::id_of(&format!("run{number}"))).info().unwrap().version,
            Version(steps + 1)
        );
    }
    assert_eq!(stats(&roomy).evictions, 0);
}

/// The runs that were read most left memory first: who reads without a message was not counted among those who use a run.
#[test]
fn a_run_that_is_read_without_messages_stays_in_memory() {
    let database = open_on(&SimDisk::new(4), small()).unwrap();
    let runs = filled(&database, 60);
    database.checkpoint().unwrap();
    let asked = || {
        let before = stats(&database).reads;
        assert_eq!(runs[0].get("steps").unwrap().unwrap().value.as_int(), Some(20));
        stats(&database).reads - before
    };
    eventually("it is published", || asked() == 0);
    let before = stats(&database).evictions;
    let mut messages = 0;
    for run in runs[1..].iter().cycle().take(500) {
        messages += asked();
        drop(run.get("steps").unwrap());
    }
    assert!(stats(&database).evictions > before + 200, "others come and go");
    assert_eq!(messages, 0);
}

#[test]
fn writers_wait_for_the_image_that_is_being_written_when_memory_is_full() {
    let (disk, hooks) = (SimDisk::new(seed()), Hooks::default());
    let (go_on, held) = channel();
    let is_image = |path: &Path| path.parent().is_some_and(|dir| dir.ends_with("SNAPSHOTS"));
    hooks.before(is_image, move || held.recv().unwrap());
    let database = open_hooked(&disk, &hooks, small());
    let written = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..60 {
                let run = script::begin(&database, &format!("run{number}")).unwrap();
                script::steps(&run, 1..=20);
                written.store(number + 1, Ordering::SeqCst);
            }
        });
        let mut before = (0, Instant::now());
        while before.1.elapsed() < Duration::from_millis(500) {
            let now = written.load(Ordering::SeqCst);
            before = if now == before.0 && now > 0 { before } else { (now, Instant::now()) };
            std::thread::sleep(Duration::from_millis(5));
        }
        go_on.send(()).unwrap();
        assert!(before.0 < 60, "everything was taken, and nothing could leave");
    });
    assert_eq!(written.load(Ordering::SeqCst), 60);
    let seen = stats(&database);
    assert!(seen.memory_waits.count() > 0 && seen.evictions > 0, "{seen:?}");
}

#[test]
fn a_run_that_somebody_looks_at_or_that_lives_in_memory_stays() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, small()).unwrap();
    let looked_at = script::begin(&database, "looked-at").unwrap();
    script::steps(&looked_at, 1..=20);
    let light = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("light") };
    let light = database.begin_run(light).unwrap();
    light.put("key", "x".repeat(100_000)).unwrap();
    let (snapshot, before) = (looked_at.snapshot().unwrap(), of_run(&looked_at));
    let runs = filled(&database, 40);
    script::step(&looked_at, 21).unwrap();
    for _ in 0..3 {
        database.checkpoint().unwrap();
        runs.iter().for_each(|run| drop(run.info().unwrap()));
    }
    assert!(stats(&database).evictions > 40);
    assert_eq!(of_run(&snapshot), before);
    assert_eq!(light.get("key").unwrap().unwrap().value.as_str().unwrap().len(), 100_000);
    drop(snapshot);
    // An older version needs no run in memory, and its run may leave while it is looked at.
    let past = looked_at.at(Version(21)).unwrap();
    runs.iter().for_each(|run| drop(run.info().unwrap()));
    assert_eq!(of_run(&past), before);
}

#[test]
fn a_run_stays_while_a_snapshot_shows_a_picture_that_it_has_published() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, small()).unwrap();
    let begin = |kind: &str| {
        let runs = (0..4).map(|number| script::begin(&database, &format!("{kind}{number}")).unwrap());
        runs.collect::<Vec<_>>()
    };
    let (kept, others) = (begin("kept"), begin("other"));
    kept.iter().chain(&others).for_each(|run| script::steps(run, 1..=20));
    let mut snapshots = Vec::new();
    eventually("pictures of the runs are kept", || {
        snapshots = kept.iter().map(|run| run.snapshot().unwrap()).collect();
        stats(&database).pinned == 4
    });
    let runs = filled(&database, 40);
    for _ in 0..3 {
        database.checkpoint().unwrap();
        runs.iter().for_each(|run| drop(run.info().unwrap()));
    }
    let loads_of = |runs: &[RunHandle]| {
        let before = stats(&database).loads;
        runs.iter().for_each(|run| assert!(script::step(run, 21).is_ok()));
        stats(&database).loads - before
    };
    assert_eq!(loads_of(&kept), 0);
    assert_eq!(loads_of(&others), 4, "what nobody keeps has left");
    snapshots.iter().for_each(|snapshot| assert_eq!(snapshot.version(), Version(21)));
}

#[test]
fn a_run_that_has_grown_too_large_takes_only_what_makes_it_no_larger() {
    let limits = Limits { run_size_max: 20_000, ..Limits::default() };
    let options = Options { limits, ..options(Durability::InMemory, 1) };
    let database = Database::in_memory_with(options).unwrap();
    let run = database.begin_run(RunSpec::named("grows")).unwrap();
    let put = |number: usize| run.put(&format!("key{number}"), "x".repeat(1_000));
    let error = (0..100).find_map(|number| put(number).err()).expect("it grows beyond the limit");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.entity(), Some(&EntityRef::run(run.id())));
    assert!(error.message().contains("run_size_max") && error.message().contains("20000"), "{error}");
    let version = run.info().unwrap().version;
    assert!((10..20).contains(&version.0), "{version}");
    assert!(run.append("step", 1).is_err() && run.cell_set("cell", 1).is_err());
    assert!(run.json_create("document", 1).is_err());
    assert!(run.transaction(|tx| tx.put("key0", "x".repeat(900)).map(drop)).is_err());
    assert!(run.set_tags(["large"]).is_ok() && run.update_status(RunStatus::Paused).is_ok());
    run.resume().unwrap();
    run.delete_prefix("key1").unwrap();
    put(200).unwrap();
}

/// What a run takes was counted at its commits alone, so one that had grown by the order of its keys took one commit more, of any size.
#[test]
fn a_run_that_has_grown_by_its_order_takes_nothing_that_makes_it_larger() {
    let limits = Limits { run_size_max: 60_000, ..Limits::default() };
    let options = Options { limits, ..options(Durability::InMemory, 1) };
    let database = Database::in_memory_with(options).unwrap();
    let run = database.begin_run(RunSpec::named("listed")).unwrap();
    let memory = || database.stats().unwrap().shards[0].memory;
    let count = (0..).find(|number| {
        run.put(&format!("key{number}"), 1).unwrap();
        memory() > 55_000
    });
    assert!(count.unwrap() > 100);
    run.list(&KvScan::default()).unwrap();
    assert!(memory() > 60_000, "{}", memory());
    assert!(run.put("large", vec![1; 1_000_000]).is_err());
}

#[test]
fn a_run_that_has_left_is_listed_expires_and_is_followed() {
    let (disk, clock) = (SimDisk::new(3), TestClock::at(1_750_000_000_000_000));
    let storage = Some(Arc::new(disk) as _);
    let database = Database::start(Some(sim_path()), small(), clock.clock(), storage).unwrap();
    let run = database.begin_run(RunSpec { tags: vec!["t".into()], ..RunSpec::named("rests") }).unwrap();
    run.put_with_ttl("key", 1, Duration::from_secs(60)).unwrap();
    let mut follower = run.subscribe_events(0).unwrap();
    let runs = filled(&database, 40);
    let is_cold = || {
        database.checkpoint().unwrap();
        runs.iter().for_each(|run| drop(run.info().unwrap()));
        stats(&database).cold_runs > 20
    };
    eventually("most runs have left", is_cold);
    let loads = stats(&database).loads;
    let all = database.runs(&strata::RunFilter::default(), None, 100).unwrap().runs;
    assert_eq!((all.len(), stats(&database).loads), (41, loads), "no run is loaded to be listed");
    clock.advance(Duration::from_secs(61));
    eventually("the key is cleaned", || run.info().unwrap().kv_count == 0);
    run.append("step", 1).unwrap();
    let news = follower.next(Duration::from_secs(5)).unwrap().expect("an event was appended");
    assert_eq!(news.kind, "step");
}
