//! Opening reads directories and the tail of the log; a run is loaded when it is touched, and damage costs that run alone.

use std::fs;
use std::path::{Path, PathBuf};

use strata::{Database, Durability, ErrorKind, Reads, RunFilter, RunSpec, RunStatus, Value, Writes};
use strata_wal::sim::SimDisk;

use crate::support::contents::{contents, copy};
use crate::support::{eventually, open_on, options, script};

fn open(path: &Path) -> Database {
    Database::open(path, options(Durability::Buffered, 1)).unwrap()
}

fn name(number: u64) -> String {
    format!("run-{number}")
}

fn image(path: &Path, number: u64) -> PathBuf {
    path.join(format!("SNAPSHOTS/000-{number:010}.img"))
}

/// A store of `count` runs with one key of a kilobyte each, all in one image, closed.
fn many_runs(path: &Path, count: u64) {
    fill(open(path), count);
}

/// A disk with such a store.
fn disk_with_runs(count: u64) -> SimDisk {
    let disk = SimDisk::new(count);
    fill(open_sim(&disk), count);
    disk
}

fn open_sim(disk: &SimDisk) -> Database {
    open_on(disk, options(Durability::Buffered, 1)).unwrap()
}

fn fill(database: Database, count: u64) {
    for number in 0..count {
        let tags = vec![if number % 10 == 0 { "tenth".to_owned() } else { "other".to_owned() }];
        let run = database.create_run(RunSpec { tags, ..RunSpec::named(name(number)) }).unwrap();
        run.put("value", "x".repeat(1_000)).unwrap();
        run.put("number", number as i64).unwrap();
    }
    database.checkpoint().unwrap();
    database.close().unwrap();
}

fn number_of(run: &impl Reads) -> strata::Result<Option<Value>> {
    Ok(run.get("number")?.map(|read| read.value))
}

#[test]
fn queries_and_single_runs_are_served_while_the_rest_is_still_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    many_runs(&path, 5_000);
    let database = open(&path);
    let filter = RunFilter { tag: Some("tenth".to_owned()), ..RunFilter::default() };
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = database.runs(&filter, after, 1_000).unwrap();
        found.extend(page.runs);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 500);
    let last = database.run(script::id_of(&name(4_999)));
    assert_eq!(number_of(&last).unwrap(), Some(Value::from(4_999)));
    let stats = &database.stats().unwrap().shards[0];
    assert!(stats.cold_runs > 0, "5,000 runs were loaded before one query was answered");
    assert_eq!(stats.runs, 5_000);
    eventually("idle time has loaded the rest", || database.stats().unwrap().shards[0].cold_runs == 0);
    for info in &found {
        assert_eq!(database.get_run(info.id).unwrap().as_ref(), Some(info), "what the summary told is true");
    }
}

#[test]
fn every_kind_of_call_waits_for_its_run_and_comes_in_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    many_runs(&path, 400);
    let database = open(&path);
    let run = |number| database.run(script::id_of(&name(number)));
    // From several threads, so that many calls wait at once, and those of one thread keep their order.
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let run = &run;
            scope.spawn(move || {
                for number in (thread * 100..thread * 100 + 100).rev() {
                    let run = run(number);
                    assert_eq!(run.increment("number", 1).unwrap().0, number as i64 + 1);
                    assert_eq!(number_of(&run).unwrap(), Some(Value::from(number as i64 + 1)));
                }
            });
        }
    });
    database.close().unwrap();

    let database = open(&path);
    let run = |number| database.run(script::id_of(&name(number)));
    let batch = |number| {
        let mut batch = run(number).batch();
        batch.put("batch", 1).unwrap();
        batch
    };
    let receipts = database.commit_all((300..320).map(batch).collect()).unwrap();
    assert!(receipts.iter().all(Result::is_ok), "{receipts:?}");
    assert_eq!(run(7).snapshot().unwrap().get("number").unwrap().unwrap().value, Value::from(8));
    let doubled = run(8).transaction(|tx| {
        let Some(Value::Int(number)) = number_of(tx)? else { panic!("it is there") };
        tx.put("number", number * 2)?;
        Ok::<_, strata::Error>(number * 2)
    });
    assert_eq!(doubled.unwrap().value, 18);
    run(9).execute(|scope| scope.put("executed", true).map(|_| ())).unwrap();
    assert!(run(10).subscribe_events(0).is_ok());
    run(11).sync().unwrap();
    run(12).end(RunStatus::Completed).unwrap();
    run(13).delete_run().unwrap();
    drop(database);
    let database = open(&path);
    assert_eq!(database.get_run(script::id_of(&name(13))).unwrap(), None);
    assert_eq!(database.run(script::id_of(&name(8))).get("number").unwrap().unwrap().value, Value::from(18));
    assert_eq!(database.run(script::id_of(&name(310))).get("batch").unwrap().unwrap().value, Value::from(1));
    assert_eq!(database.runs(&RunFilter::default(), None, 1_000).unwrap().runs.len(), 399);
}

/// The newest image of a run that has changed since the image before: the log behind that one leads to it.
#[test]
fn a_run_whose_newest_image_is_damaged_is_rebuilt_from_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = open(&path);
    for round in 0..3 {
        for name in ["a", "b"] {
            let run = script::begin(&database, name).unwrap();
            script::steps(&run, 20 * round + 1..=20 * round + 20);
        }
        script::begin(&database, &format!("born-{round}")).unwrap();
        database.checkpoint().unwrap();
    }
    let held = contents(&database);
    database.close().unwrap();
    let whole = fs::read(image(&path, 3)).unwrap();
    for place in (4_200..whole.len() - 2_000).step_by(whole.len() / 20) {
        let damaged = dir.path().join("damaged.db");
        let _ = fs::remove_dir_all(&damaged);
        copy(&path, &damaged);
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(image(&damaged, 3), &bytes).unwrap();
        // What is rebuilt is written anew: afterwards the damage is nobody's any more.
        for opening in 0..2 {
            let database = open(&damaged);
            assert_eq!(contents(&database), held, "damaged at {place}, opening {opening}");
            assert_eq!(database.stats().unwrap().shards[0].load_failures, 0);
            let other = database.create_run(RunSpec::named("other")).unwrap();
            database.checkpoint().unwrap();
            other.delete_run().unwrap();
            database.close().unwrap();
        }
    }
}

/// Where the log no longer leads to a run, its damage is its own.
#[test]
fn damage_in_the_only_image_of_a_run_is_told_when_it_is_touched_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    many_runs(&path, 50);
    let database = open(&path);
    let busy = database.create_run(RunSpec::named("busy")).unwrap();
    for round in 0..3 {
        busy.put("round", round).unwrap();
        database.checkpoint().unwrap();
    }
    database.close().unwrap();
    // The first slice of the first image: it belongs to the run with the lowest id.
    let oldest =
        fs::read_dir(path.join("SNAPSHOTS")).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = fs::read(&oldest).unwrap();
    bytes[4_200] ^= 1;
    fs::write(&oldest, &bytes).unwrap();

    let database = open(&path);
    let mut damaged = Vec::new();
    for number in 0..50 {
        match number_of(&database.run(script::id_of(&name(number)))) {
            Ok(found) => assert_eq!(found, Some(Value::from(number as i64))),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.message().contains(".img"), "it names the file: {error}");
                damaged.push(number);
            }
        }
    }
    let [damaged] = damaged[..] else { panic!("one run is damaged: {damaged:?}") };
    let of_damaged = database.run(script::id_of(&name(damaged)));
    assert_eq!(of_damaged.put("a", 1).unwrap_err().kind(), ErrorKind::Corrupt, "and stays so");
    let mut batch = of_damaged.batch();
    batch.put("a", 1).unwrap();
    let busy = database.run(busy.id());
    let mut other = busy.batch();
    other.put("round", 9).unwrap();
    let receipts = database.commit_all(vec![batch, other]).unwrap();
    assert_eq!(receipts[0].as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(receipts[1].is_ok());
    assert_eq!(database.runs(&RunFilter::default(), None, 100).unwrap().runs.len(), 51, "it is listed");
    database.checkpoint().unwrap();
    database.close().unwrap();
    let database = open(&path);
    assert_eq!(database.run(busy.id()).get("round").unwrap().unwrap().value, Value::from(9));
    assert_eq!(number_of(&database.run(of_damaged.id())).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_store_that_is_closed_before_its_runs_are_loaded_closes_and_keeps_all_of_them() {
    let disk = disk_with_runs(300);
    let database = open_sim(&disk);
    for number in 0..300 {
        let run = database.run(script::id_of(&name(number)));
        run.put("more", "y".repeat(8_000)).unwrap();
    }
    let killed = disk.kill();
    let held = contents(&database);
    drop(database);
    for _ in 0..3 {
        open_sim(&killed).close().unwrap();
    }
    assert_eq!(contents(&open_sim(&killed)), held);
}

/// The runs that recovery found to have changed are loaded first; those with lower ids were left out of the rest.
#[test]
fn idle_time_loads_all_runs_wherever_those_lie_that_have_changed() {
    let disk = disk_with_runs(100);
    let highest = (0..100).map(|number| script::id_of(&name(number))).max().unwrap();
    let database = open_sim(&disk);
    database.run(highest).put("more", 1).unwrap();
    let killed = disk.kill();
    drop(database);
    let database = open_sim(&killed);
    eventually("everything is loaded", || database.stats().unwrap().shards[0].cold_runs == 0);
    assert_eq!(database.run(highest).get("more").unwrap().unwrap().value, Value::from(1));
}
