//! A run whose value is damaged in its only image is made again of the log while it is served, but not under anybody who waits for it
//! or looks at it.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use strata::{
    AsyncReads, Database, Durability, ErrorKind, Options, Reads, RunHandle, RunId, RunSpec, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::gate::{Gate, Opener, open_gated_with, under_way};
use crate::support::hooked::{Hooks, open_hooked};
use crate::support::tasks::poll_once;
use crate::support::{eventually, open_on, options, seed};

fn calm() -> Options {
    Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) }
}

/// A store with an image of two runs.
fn imaged(disk: &SimDisk) -> [RunId; 2] {
    let database = open_on(disk, calm()).unwrap();
    let [run, other] = ["run", "other"].map(|name| database.begin_run(RunSpec::named(name)).unwrap());
    run.put("two", "two:".repeat(25 << 10)).unwrap();
    other.put("small", 1).unwrap();
    database.checkpoint().unwrap();
    database.close().unwrap();
    [run.id(), other.id()]
}

/// Both in memory; the first has left a large value in the image, which is damaged there: no checkpoint can write it before it is made
/// again. The second has something for the next checkpoint.
fn damaged(disk: &SimDisk, database: &Database, ids: [RunId; 2]) -> [RunHandle; 2] {
    let [run, other] = ids.map(|id| database.run(id));
    run.info().unwrap();
    let mut images = disk.files().into_iter().filter(|path| path.parent().unwrap().ends_with("SNAPSHOTS"));
    let find = |bytes: &[u8]| bytes.windows(11).position(|part| part == b"two:two:two");
    let found = images.find_map(|path| find(&disk.bytes(&path)).map(|place| (path, place as u64)));
    let (image, place) = found.unwrap();
    disk.flip(&image, place + 5_000, 3);
    assert!(run.get("two").is_err());
    other.put("small", 2).unwrap();
    [run, other]
}

/// Fails over the damage, so that the run would be made again, and returns when that would be done.
fn fail_over(database: &Database, other: &RunHandle) {
    assert_eq!(database.checkpoint().unwrap_err().kind(), ErrorKind::Corrupt);
    // Who makes runs does one thing after the other, and this comes behind.
    assert_eq!(other.at(Version(2)).unwrap().get("small").unwrap().unwrap().value.as_int(), Some(1));
}

fn expect_mended(database: &Database, run: &RunHandle) {
    eventually("the value is there again", || {
        let _ = database.checkpoint();
        run.get("two").is_ok()
    });
}

/// What a run is made again of is in the log before it is durable, and whoever reads the one that was made would not wait for that.
#[test]
fn a_run_is_not_made_again_while_a_commit_of_it_is_not_durable() {
    let (disk, gate) = (SimDisk::new(seed()), Arc::new(Gate::new()));
    let ids = imaged(&disk);
    let database = open_gated_with(&disk, &gate, calm());
    let [run, other] = damaged(&disk, &database, ids);
    let (strict, twin) = (run.with_durability(Durability::Strict), run.to_async());
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let write = under_way(scope, &database, || strict.put("small", 1).unwrap().version);
        fail_over(&database, &other);
        let mut read = pin!(twin.get("small"));
        assert!(poll_once(read.as_mut()).is_pending());
        other.info().unwrap();
        assert!(poll_once(read.as_mut()).is_pending(), "nobody has heard of it");
        gate.open();
        write.recv().unwrap();
        assert_eq!(pollster::block_on(read).unwrap().unwrap().value.as_int(), Some(1));
    });
    expect_mended(&database, &run);
}

#[test]
fn a_run_is_not_made_again_while_somebody_looks_at_it() {
    let disk = SimDisk::new(seed());
    let ids = imaged(&disk);
    let database = open_on(&disk, calm()).unwrap();
    let [run, other] = damaged(&disk, &database, ids);
    let snapshot = database.run(run.id()).snapshot().unwrap();
    run.put("small", 1).unwrap();
    fail_over(&database, &other);
    assert!(run.get("two").is_err());
    assert!(snapshot.get("small").unwrap().is_none() && snapshot.exists("two").unwrap().value);
    drop(snapshot);
    expect_mended(&database, &run);
}

#[test]
fn a_run_that_changes_or_is_looked_at_while_it_is_made_again_stays_as_it_is() {
    for is_changed in [true, false] {
        let (disk, hooks) = (SimDisk::new(seed()), Hooks::default());
        let ids = imaged(&disk);
        let database = open_hooked(&disk, &hooks, calm());
        let [run, other] = damaged(&disk, &database, ids);
        run.put("small", 1).unwrap();
        let (told, snapshot) = channel();
        let (weak, id) = (Arc::downgrade(&database), run.id());
        let makes_runs = |_: &Path| thread::current().name() == Some("strata-loader-0");
        hooks.before(makes_runs, move || {
            let run = weak.upgrade().unwrap().run(id);
            if is_changed {
                run.put("small", 2).unwrap();
            } else {
                told.send(run.snapshot().unwrap()).unwrap();
            }
        });
        fail_over(&database, &other);
        let now = 1 + i64::from(is_changed);
        assert!(run.get("two").is_err());
        assert_eq!(run.get("small").unwrap().unwrap().value.as_int(), Some(now));
        if let Ok(snapshot) = snapshot.recv() {
            run.put("small", 3).unwrap();
            assert_eq!(snapshot.get("small").unwrap().unwrap().value.as_int(), Some(now));
        }
        expect_mended(&database, &run);
    }
}
