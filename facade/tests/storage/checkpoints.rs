//! Checkpoints: recovery begins with images, and what they make unnecessary may be lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strata::{
    Database, Durability, ErrorKind, Options, Reads, RunSpec, RunStatus, ShardCheckpoint, Value, Version,
    Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::contents::{contents, copy};
use crate::support::gate::{Gate, Opener, open_gated};
use crate::support::{TestClock, eventually, open_on, options, script, sim_path};

/// Runs of a store whose every state is known.
const NAMES: [&str; 3] = ["a", "b", "c"];

fn small(shards: usize) -> Options {
    let checkpoint_interval = Duration::from_millis(1);
    Options { checkpoint_log_size: 64 << 10, checkpoint_interval, ..options(Durability::Buffered, shards) }
}

fn fill(database: &Database, numbers: std::ops::RangeInclusive<u64>) {
    for name in NAMES {
        let run = match numbers.start() {
            1 => script::begin(database, name).unwrap(),
            _ => database.run(script::id_of(name)),
        };
        script::steps(&run, numbers.clone());
    }
}

fn files(store: &Path, dir: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(store.join(dir)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What recovery read from the logs, and the image each shard began with.
fn recovered(database: &Database) -> (u64, Vec<Option<u64>>) {
    let recovery = database.recovery();
    (recovery.records(), recovery.shards.iter().map(|shard| shard.log.image).collect())
}

fn images_written(database: &Database) -> u64 {
    database.stats().unwrap().shards.iter().map(|shard| shard.images).sum()
}

#[test]
fn recovery_begins_with_the_image_and_reads_only_what_came_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    fill(&database, 1..=40);
    let [ShardCheckpoint { shard: 0, image: 1, through }] = database.checkpoint().unwrap().shards[..] else {
        panic!("one shard makes its first image")
    };
    assert!(through.0 > 4096);
    let again = database.checkpoint().unwrap();
    assert_eq!((again.shards[0].image, again.shards[0].through), (1, through), "nothing has changed");
    let held = contents(&database);
    database.close().unwrap();

    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    assert_eq!(recovered(&database), (0, vec![Some(1)]));
    assert_eq!(contents(&database), held);
    fill(&database, 41..=44);
    let written = database.stats().unwrap().commits();
    let held = contents(&database);
    drop(database);
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    assert_eq!(recovered(&database), (written, vec![Some(1)]), "only what was written since");
    assert_eq!(contents(&database), held);
    for name in NAMES {
        script::expect_whole(&database, name);
    }
}

#[test]
fn what_checkpoints_make_unnecessary_may_be_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, small(2)).unwrap();
    for round in 0..6 {
        fill(&database, 60 * round + 1..=60 * round + 60);
        database.checkpoint().unwrap();
    }
    let held = contents(&database);
    database.close().unwrap();
    assert!(files(&path, "DATA").len() > 2, "old segments are history: {:?}", files(&path, "DATA"));
    let images = files(&path, "SNAPSHOTS");
    // The files of a set grow like the bits of a counter, and two sets share most of them.
    assert!((2..=8).contains(&images.len()), "two sets of images at most: {images:?}");
    fs::remove_dir_all(path.join("DATA")).unwrap();
    let database = Database::open(&path, small(2)).unwrap();
    assert_eq!((contents(&database), recovered(&database).0), (held, 0));
}

#[test]
fn with_a_damaged_newest_image_recovery_begins_with_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    for round in 0..3 {
        fill(&database, 20 * round + 1..=20 * round + 20);
        database.checkpoint().unwrap();
    }
    let held = contents(&database);
    database.close().unwrap();
    let newest = path.join("SNAPSHOTS/000-0000000003.img");
    let whole = fs::read(&newest).unwrap();
    // Each place at which the file is cut or changed, and once it is gone.
    for place in (0..whole.len()).step_by(whole.len() / 12).chain([whole.len() - 1]) {
        let damaged = dir.path().join("damaged.db");
        let _ = fs::remove_dir_all(&damaged);
        copy(&path, &damaged);
        let newest = damaged.join("SNAPSHOTS/000-0000000003.img");
        let mut bytes = whole.clone();
        match place % 3 {
            0 => fs::write(&newest, &whole[..place]).unwrap(),
            1 => fs::remove_file(&newest).unwrap(),
            _ => {
                bytes[place] ^= 0x10;
                fs::write(&newest, &bytes).unwrap();
            }
        }
        let database = Database::open(&damaged, options(Durability::Buffered, 1)).unwrap();
        assert_eq!(contents(&database), held, "damaged at {place}");
        let (_, image) = recovered(&database);
        assert!(image == [Some(2)] || bytes == whole || image == [Some(3)], "{image:?}");
        // The next checkpoint has two whole images again.
        script::steps(&database.run(script::id_of("a")), 61..=62);
        database.checkpoint().unwrap();
        let held = contents(&database);
        database.close().unwrap();
        let database = Database::open(&damaged, options(Durability::Buffered, 1)).unwrap();
        assert_eq!((contents(&database), recovered(&database).0), (held, 0));
    }
    // Both gone: the log no longer reaches back to its beginning, and that is told.
    for file in files(&path, "SNAPSHOTS") {
        fs::remove_file(file).unwrap();
    }
    let refused = Database::open(&path, options(Durability::Buffered, 1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
}

#[test]
fn a_shard_makes_checkpoints_when_its_log_has_grown_when_time_has_passed_and_when_it_closes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, small(1)).unwrap();
    fill(&database, 1..=200);
    eventually("the log has grown", || images_written(&database) >= 2);
    database.close().unwrap();

    let interval = Duration::from_secs(60);
    let clock = TestClock::at(4_000_000_000_000_000);
    let patient = Options { checkpoint_interval: interval, ..options(Durability::Buffered, 1) };
    let database = Database::start(Some(path.clone()), patient, clock.clock(), None).unwrap();
    script::steps(&database.run(script::id_of("a")), 201..=201);
    // Each question is a turn of the shard, in which it looks at the clock.
    assert!((0..100).all(|_| images_written(&database) == 0), "it is not time yet");
    clock.advance(interval);
    eventually("time has passed", || images_written(&database) == 1);
    clock.advance(10 * interval);
    assert!((0..100).all(|_| images_written(&database) == 1), "nothing is written without a change");
    database.close().unwrap();

    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = database.run(script::id_of("a"));
    let value = vec![7_u8; 100_000];
    for number in 0..12 {
        run.put(&format!("large-{number}"), value.clone()).unwrap();
    }
    database.close().unwrap();
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    assert_eq!(recovered(&database).0, 0, "the close made an image of 1.2 MB of log");
    assert_eq!(database.run(script::id_of("a")).get("large-7").unwrap().unwrap().value, value.into());
}

#[test]
fn a_run_that_lives_in_memory_leaves_no_image_but_of_its_logged_past() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let in_memory = |name: &str| RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named(name) };
    let logged = database.create_run(RunSpec::named("both")).unwrap();
    logged.put("a", 1).unwrap();
    logged.end(RunStatus::Completed).unwrap();
    let deleted = logged.delete_run().unwrap();
    let both = database.create_run(in_memory("both")).unwrap();
    both.put("a", 2).unwrap();
    database.create_run(in_memory("memory")).unwrap().put("a", 3).unwrap();
    for round in 0..2 {
        database.create_run(RunSpec::named(format!("other-{round}"))).unwrap();
        database.checkpoint().unwrap();
    }
    assert_eq!(both.get("a").unwrap().unwrap().value, 2.into());
    drop(database);
    let database = open_on(&disk.kill(), options(Durability::Buffered, 1)).unwrap();
    assert_eq!(recovered(&database), (0, vec![Some(2)]));
    let again = database.create_run(RunSpec::named("both")).unwrap();
    assert_eq!(
        again.info().unwrap().version,
        Version(deleted.version.0 + 1),
        "numbers go on behind the deletion"
    );
    assert_eq!(database.create_run(RunSpec::named("memory")).unwrap().info().unwrap().version, Version(1));
}

#[test]
fn checkpoints_are_refused_where_there_is_nothing_to_write_them_to() {
    let database = Database::in_memory().unwrap();
    assert_eq!(database.checkpoint().unwrap_err().kind(), ErrorKind::Unsupported);
    for options in [
        Options { checkpoint_log_size: 0, ..Options::default() },
        Options { checkpoint_interval: Duration::ZERO, ..Options::default() },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let refused = Database::open(dir.path().join("strata.db"), options).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
}

/// The shard goes on while its runs are written, and what comes meanwhile is in the image or behind it.
#[test]
fn writes_go_on_while_images_are_made_and_none_is_lost_by_a_kill() {
    let disk = SimDisk::new(9);
    let options = Options { checkpoint_log_size: 16 << 10, ..options(Durability::Buffered, 2) };
    let database = open_on(&disk, options.clone()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in NAMES {
            let (database, is_over) = (&database, &is_over);
            scope.spawn(move || {
                let run = script::begin(database, name).unwrap();
                // Until there were images enough, and not for ever where none are made.
                for step in 1..=20_000 {
                    script::step(&run, step).unwrap();
                    if step >= 400 && is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for _ in 0..2_000 {
            database.checkpoint().unwrap();
            if images_written(&database) > 20 {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(images_written(&database) > 20);
    let held = contents(&database);
    let killed = disk.kill();
    drop(database);
    let database = open_on(&killed, options).unwrap();
    assert_eq!(contents(&database), held);
    for name in NAMES {
        script::expect_whole(&database, name);
    }
    eventually("segments are put away", || {
        database.run(script::id_of("a")).put("again", 1).unwrap();
        database.checkpoint().unwrap();
        killed.files().iter().any(|file| file.starts_with(sim_path().join("DATA")))
    });
}

#[test]
fn a_checkpoint_that_finds_no_space_leaves_everything_as_it_was() {
    let disk = SimDisk::new(4);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    fill(&database, 1..=30);
    database.checkpoint().unwrap();
    fill(&database, 31..=40);
    let used: u64 = disk.files().iter().map(|file| disk.bytes(file).len() as u64).sum();
    disk.set_capacity(Some(used + 1_000));
    assert_eq!(database.checkpoint().unwrap_err().kind(), ErrorKind::Full);
    let stats = database.stats().unwrap();
    assert_eq!((stats.shards[0].images, stats.shards[0].image_failures), (1, 1));
    fill(&database, 41..=42);
    disk.set_capacity(None);
    assert_eq!(database.checkpoint().unwrap().shards[0].image, 3, "a number is used once");
    let held = contents(&database);
    let killed = disk.kill();
    drop(database);
    let database = open_on(&killed, options(Durability::Buffered, 1)).unwrap();
    assert_eq!((contents(&database), recovered(&database)), (held, (0, vec![Some(3)])));
}

/// A run of some megabytes takes many turns, and changes between them.
#[test]
fn the_image_of_a_large_run_that_changes_meanwhile_shows_it_at_one_version() {
    let disk = SimDisk::new(11);
    let options = options(Durability::Buffered, 1);
    let database = open_on(&disk, options.clone()).unwrap();
    let run = database.create_run(RunSpec::named("large")).unwrap();
    let fill = "x".repeat(700);
    for number in 0..3_000 {
        run.put(&format!("{number:04}"), format!("{fill}{number}")).unwrap();
    }
    run.json_create("doc", Value::from([("list", Value::Array(vec![]))])).unwrap();
    for round in 0..8_i64 {
        std::thread::scope(|scope| {
            let checkpoint = scope.spawn(|| database.checkpoint().unwrap());
            for number in 0.. {
                let key = format!("{:04}", (number * 61 + round) % 3_500);
                let mut batch = run.batch();
                batch.append("step", number).unwrap().put(&key, number).unwrap();
                batch.json_append("doc", "/list", number).unwrap();
                batch.put(&format!("new-{round}-{number}"), 1).unwrap();
                run.commit(batch).unwrap();
                run.delete(&key).unwrap();
                if checkpoint.is_finished() {
                    break;
                }
            }
        });
    }
    let (held, killed) = (contents(&database), disk.kill());
    drop(database);
    let database = open_on(&killed, options).unwrap();
    assert_eq!(recovered(&database).1, [Some(8)], "no image was found to be damaged");
    assert_eq!(contents(&database), held);
}

/// Were it named before, a power loss would leave an image of commits that the log has lost.
#[test]
fn an_image_is_not_named_before_the_log_is_durable_as_far_as_it_reaches() {
    let (disk, gate) = (SimDisk::new(5), Arc::new(Gate::new()));
    let database = open_gated(&disk, &gate, Durability::Buffered);
    let run = script::begin(&database, "a").unwrap();
    run.sync().unwrap();
    let files = || disk.files().into_iter().filter(|file| file.starts_with(sim_path().join("SNAPSHOTS")));
    std::thread::scope(|scope| {
        gate.close();
        let opener = Opener(&gate);
        script::steps(&run, 1..=20);
        let checkpoint = scope.spawn(|| database.checkpoint());
        eventually("the image is begun", || files().count() == 1);
        std::thread::sleep(Duration::from_millis(100));
        assert!(files().all(|file| file.extension().unwrap() == "tmp"), "{:?}", files().collect::<Vec<_>>());
        drop(opener);
        assert_eq!(checkpoint.join().unwrap().unwrap().shards[0].image, 1);
    });
    assert!(files().all(|file| file.extension().unwrap() == "img"));
}
