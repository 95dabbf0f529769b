//! What others do at the wrong moment of a compaction costs neither them nor the store anything.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use strata::{
    Checkpoint, Compaction, Database, Durability, ErrorKind, Options, Reads, Retention, RunHandle, RunId,
    RunSpec, Version, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::contents::{inherited, of_run};
use crate::support::gate::{messages, settled_messages};
use crate::support::hooked::{Hooks, open_hooked};
use crate::support::{Dice, TestClock, busy_options, eventually, open_on, options, seed, sim_path};

fn keep_last(count: u64) -> Options {
    Options {
        retention: Retention::KeepLast(count),
        checkpoint_log_size: 1 << 30,
        ..options(Durability::Buffered, 1)
    }
}

/// Puts so many numbers, one a commit, and notes what the run is after each.
fn put(database: &Database, run: RunId, count: i64, known: &mut Vec<String>) {
    let run = database.run(run);
    for number in 0..count {
        run.put(&format!("key/{}", number % 7), known.len() as i64).unwrap();
        known.push(of_run(&run));
    }
}

/// A checkpoint that is made while a compaction has begun is whole as long as it is held: the compaction sorted the history without
/// the records that the younger images need no more, and gave it its name, before it was refused. The copy of the held checkpoint then
/// had a floor below which its versions could not be made.
#[test]
fn a_checkpoint_that_is_held_since_a_compaction_began_keeps_its_history() {
    let (disk, hooks) = (SimDisk::new(1), Hooks::default());
    let database = open_hooked(&disk, &hooks, keep_last(50));
    let run = database.create_run(RunSpec::named("run")).unwrap().id();
    let known = Arc::new(Mutex::new(vec![String::new(), of_run(&database.run(run))]));
    put(&database, run, 150, &mut known.lock().unwrap());
    drop(database.checkpoint().unwrap());
    put(&database, run, 50, &mut known.lock().unwrap());
    let held: Arc<Mutex<Option<Checkpoint>>> = Arc::default();
    let compacting = thread::current().id();
    let act = {
        let (database, known, held) = (Arc::downgrade(&database), Arc::clone(&known), Arc::clone(&held));
        move || {
            let database = database.upgrade().unwrap();
            *held.lock().unwrap() = Some(database.checkpoint().unwrap());
            put(&database, run, 200, &mut known.lock().unwrap());
        }
    };
    hooks.before(move |path| is_image(path) && thread::current().id() == compacting, act);
    assert_eq!(database.compact(Compaction::Full).unwrap_err().kind(), ErrorKind::Busy);
    let held = held.lock().unwrap().take().unwrap();
    let copy = sim_path().with_file_name("copy.db");
    held.copy_to(&copy).unwrap();
    let clock = strata::Clock::System;
    let copied = Database::start(Some(copy), keep_last(50), clock, Some(Arc::new(disk.clone()))).unwrap();
    let (copied, known) = (copied.run(run), known.lock().unwrap());
    for version in 152..=201 {
        assert_eq!(
            of_run(&copied.at(Version(version)).unwrap()),
            known[version as usize],
            "version {version}"
        );
    }
    drop(held);
    database.compact(Compaction::Full).unwrap();
    assert_eq!(of_run(&database.run(run).at(Version(352)).unwrap()), known[352]);
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "img")
}

/// A fork that was deleted between the two images of a compaction is in the older one, so what it began as has to stay as long as
/// that may be begun with. The compaction asked the shard alone, which had forgotten the fork with the younger image.
#[test]
fn what_a_fork_began_as_stays_while_the_image_to_fall_back_to_has_the_fork() {
    let (disk, hooks) = (SimDisk::new(2), Hooks::default());
    let database = open_hooked(&disk, &hooks, keep_last(1));
    let run = database.create_run(RunSpec::named("parent")).unwrap().id();
    let mut known = Vec::new();
    put(&database, run, 20, &mut known);
    let fork = database.run(run).fork().unwrap().id();
    put(&database, run, 20, &mut known);
    let deleting = {
        let database = Arc::downgrade(&database);
        move || _ = database.upgrade().unwrap().run(fork).delete_run().unwrap()
    };
    // The first image is whole, and the second one not begun.
    let storage = disk.clone();
    hooks.before(move |path| is_image(path) && !storage.files().iter().any(|file| file == path), deleting);
    database.compact(Compaction::Full).unwrap();
    let disk = disk.kill();
    drop(database);
    let newest = disk.files().into_iter().filter(|path| is_image(path)).max().unwrap();
    disk.flip(&newest, 20, 1);
    let database = open_on(&disk, keep_last(1)).unwrap();
    assert_eq!(database.run(fork).info().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(of_run(&database.run(run)), *known.last().unwrap());
    drop(database.checkpoint().unwrap());
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}

/// A shard that had told what its forks need waited for the others, and made two checkpoints meanwhile. What a fork began as that
/// was made before those lay below the floor of both images, and the compaction knew nothing of it: its records went.
#[test]
fn a_fork_that_is_made_while_another_shard_is_waited_for_keeps_what_it_began_as() {
    let options = || Options { retention: Retention::KeepLast(1), ..busy_options(Durability::Buffered, 2) };
    let (disk, hooks) = (SimDisk::new(3), Hooks::default());
    let database = open_hooked(&disk, &hooks, options());
    let on_shard = |shard: usize| loop {
        let run = database.create_run(RunSpec::default()).unwrap().id();
        if database.shard_of(run) == shard {
            break run;
        }
    };
    let (here, there) = (on_shard(0), on_shard(1));
    // So much that the next checkpoint is due at once.
    let write = |run: RunHandle| {
        (0..200_i64).for_each(|number| _ = run.put("much", "x".repeat(999) + &number.to_string()).unwrap())
    };
    write(database.run(here));
    drop(database.checkpoint().unwrap());
    let begun = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let nth_image = |log: u32, nth| {
        let begun = Arc::clone(&begun[log as usize]);
        move |path: &Path| is_new_image(path, log) && begun.fetch_add(1, Ordering::Relaxed) + 1 == nth
    };
    let (forked, served) = (Arc::new(Mutex::new(None)), settled_messages(&database));
    // The other shard is at its third image when this one has made both of the compaction.
    let has_begun = Arc::new(AtomicBool::new(false));
    let meanwhile = {
        let (database, forked) = (Arc::downgrade(&database), Arc::clone(&forked));
        let has_begun = Arc::clone(&has_begun);
        move || {
            let database = database.upgrade().unwrap();
            has_begun.store(true, Ordering::Relaxed);
            let mut asked = 0;
            eventually("two checkpoints are made, and the shard is asked what its forks need", || {
                asked += 1;
                messages(&database) >= served + asked + 3
            });
            let run = database.run(here);
            (0..5).for_each(|number| _ = run.put("few", number).unwrap());
            *forked.lock().unwrap() = Some((run.fork().unwrap().id(), inherited(&run)));
            let images = || database.stats().unwrap().shards[0].images;
            let there_were = images();
            eventually("there are other images", || {
                write(database.run(here));
                images() > there_were + 3
            });
        }
    };
    hooks.before(nth_image(1, 3), meanwhile);
    let (first, begun_there) = (Arc::downgrade(&database), Arc::clone(&begun[1]));
    hooks.before(nth_image(0, 2), move || {
        let database = first.upgrade().unwrap();
        // What is written before would make an image of its own, and the third one would be the compaction's.
        eventually("the other shard is at its second image", || begun_there.load(Ordering::Relaxed) >= 2);
        eventually("the other shard is at its third image", || {
            write(database.run(there));
            has_begun.load(Ordering::Relaxed)
        });
    });
    database.compact(Compaction::Full).unwrap();
    let (fork, was) = forked.lock().unwrap().take().expect("a third image was written meanwhile");
    let disk = disk.kill();
    drop(database);
    let database = open_on(&disk, options()).unwrap();
    assert_eq!(inherited(&database.run(fork)), was);
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}

/// While a compaction ran, checkpoints found that nobody needed the sorted file any more and removed it, between the moment when it was
/// found and that when it was opened. It was said to be missing, as if it were damaged.
#[test]
fn a_sorted_file_that_goes_before_it_is_read_is_no_damage() {
    let (disk, hooks) = (SimDisk::new(4), Hooks::default());
    let database = open_hooked(&disk, &hooks, keep_last(1));
    let keeper = database
        .create_run(RunSpec { retention: Some(Retention::KeepAll), ..RunSpec::named("keeper") })
        .unwrap()
        .id();
    let other = database.create_run(RunSpec::named("other")).unwrap().id();
    put(&database, keeper, 20, &mut Vec::new());
    database.compact(Compaction::Full).unwrap();
    let sorted = |disk: &SimDisk| disk.files().into_iter().find(|path| is_sorted(path));
    assert!(sorted(&disk).is_some());
    let (compacting, weak, storage) = (thread::current().id(), Arc::downgrade(&database), disk.clone());
    let meanwhile = move || {
        let database = weak.upgrade().unwrap();
        database.run(keeper).delete_run().unwrap();
        for _ in 0..3 {
            put(&database, other, 1, &mut Vec::new());
            drop(database.checkpoint().unwrap());
        }
        eventually("the file is gone", || sorted(&storage).is_none());
    };
    hooks.before(move |path| is_sorted(path) && thread::current().id() == compacting, meanwhile);
    database.compact(Compaction::Full).unwrap();
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}

fn is_sorted(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "his")
}

/// Whether it is an image of a log that is being written.
fn is_new_image(path: &Path, log: u32) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.parent().is_some_and(|dir| dir.ends_with("SNAPSHOTS"))
        && name.starts_with(&format!("{log:03}-"))
        && name.ends_with(".tmp")
}

/// Tells those who go on until it is over, the unhappy end included.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A log that fails under a compaction costs its shard what was under way, and the compaction no more than its answer: the shard is
/// restarted, keys expire, and runs in memory go on.
#[test]
fn restarts_and_expiry_meet_compactions_and_lose_nothing() {
    let mut dice = Dice::new(seed());
    let clock = TestClock::at(1_750_000_000_000_000);
    let disk = SimDisk::new(dice.roll());
    let options = || Options { retention: Retention::KeepLast(2), ..busy_options(Durability::Strict, 2) };
    let open = || {
        let storage = Arc::new(disk.clone());
        Database::start(Some(sim_path()), options(), clock.clock(), Some(storage)).unwrap()
    };
    let database = open();
    let runs: Vec<RunId> = (0..6).map(|_| database.create_run(RunSpec::default()).unwrap().id()).collect();
    let spec = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("in-memory") };
    let in_memory = database.create_run(spec).unwrap().id();
    let (is_over, compacted) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut known = vec![0_i64; runs.len()];
    // What was written when the store could not go on: it may be there or not.
    let mut unanswered = None;
    let mut restarts = 0;
    // Unless MANIFEST could not be written.
    let restart = |run| database.restart_shard(database.shard_of(run)).is_ok();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                for kind in [Compaction::Full, Compaction::WalOnly] {
                    compacted.fetch_add(u64::from(database.compact(kind).is_ok()), Ordering::SeqCst);
                }
            }
        });
        let _over = Over(&is_over);
        for round in 0..400 {
            let at = dice.below(runs.len() as u64) as usize;
            let run = database.run(runs[at]);
            if round % 40 == 39 {
                disk.set_faults(Faults::once(disk.points() + 1 + dice.below(3), FaultKind::Error));
            }
            clock.advance(Duration::from_millis(1));
            let ttl = Duration::from_millis(3);
            let outcome = run.put("number", round).and_then(|_| run.put_with_ttl("fleeting", round, ttl));
            match outcome {
                Ok(_) => known[at] = round,
                Err(error) if error.kind() == ErrorKind::LogFailed => {
                    if !restart(runs[at]) {
                        unanswered = Some((runs[at], round));
                        break;
                    }
                    restarts += 1;
                    let found = run.get("number").unwrap().map_or(0, |found| found.value.as_int().unwrap());
                    assert!(found == known[at] || found == round, "{found}, and it was {}", known[at]);
                    known[at] = found;
                }
                // MANIFEST could not be written, which ends what needs it.
                Err(_) => {
                    unanswered = Some((runs[at], round));
                    break;
                }
            }
            disk.set_faults(Faults::none());
            // Its shard may have been restarted, and it with it; or it has failed over what another one wrote.
            match database.run(in_memory).put("number", round).map_err(|error| error.kind()) {
                Ok(_) | Err(ErrorKind::NotFound) => {}
                Err(ErrorKind::LogFailed) => restarts += usize::from(restart(in_memory)),
                Err(kind) => panic!("{kind}"),
            }
        }
    });
    disk.set_faults(Faults::none());
    println!("{restarts} restarts, {} compactions", compacted.load(Ordering::SeqCst));
    let check = |database: &Database| {
        clock.advance(Duration::from_secs(1));
        for (id, known) in runs.iter().zip(&known) {
            let run = database.run(*id);
            let found = run.get("number").unwrap().map_or(0, |found| found.value.as_int().unwrap());
            assert!(found == *known || unanswered == Some((*id, found)), "{found}, and it was {known}");
            assert_eq!(run.get("fleeting").unwrap(), None);
        }
    };
    let closed = database.close();
    assert!(closed.is_ok() || restarts > 0 || unanswered.is_some(), "{closed:?}");
    let database = open();
    check(&database);
    database.compact(Compaction::Full).unwrap();
    check(&database);
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}
