//! What several of these tests share: chance from a seed, a scripted run whose every state is known,
//! a model of any run, and processes of their own.
#![allow(dead_code, reason = "each test binary uses its own part of this module")]

pub(crate) mod contents;
pub(crate) mod counted;
pub(crate) mod gate;
pub(crate) mod held;
pub(crate) mod history;
pub(crate) mod hooked;
pub(crate) mod model;
pub(crate) mod process;
pub(crate) mod script;
pub(crate) mod serial;
pub(crate) mod small_disk;
pub(crate) mod sweep;
pub(crate) mod tasks;
pub(crate) mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strata::{Clock, Database, Durability, Options, Result, Retention, RunHandle, RunSpec};
use strata_wal::sim::SimDisk;

/// A generator of numbers, so that one seed tells the whole story (splitmix64: Steele, Lea, Flood,
/// "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.roll() % count
    }
}

/// Whether a file is a segment of a log.
pub(crate) fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// The seed of this test run: `STRATA_SEED`, or another one every time. It is printed, and shows
/// when a test fails.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("STRATA_SEED").ok().map(|text| text.parse().expect("STRATA_SEED is a number"));
    let seed = given.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64 % 1_000_000_007)
    });
    println!("STRATA_SEED={seed}");
    seed
}

/// A number from the environment, or its default.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// A clock that stands still until somebody moves it.
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn at(micros: u64) -> TestClock {
        TestClock(Arc::new(AtomicU64::new(micros)))
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::Manual(Arc::clone(&self.0))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, micros: u64) {
        self.0.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Options for a test: few threads, none pinned.
pub(crate) fn options(durability: Durability, shards: usize) -> Options {
    Options { durability, shards: Some(shards), pin: false, ..Options::default() }
}

/// The same for a store that makes a checkpoint every few commits, has no room for many runs, and gives up most of its history
/// where it is buffered.
pub(crate) fn busy_options(durability: Durability, shards: usize) -> Options {
    let checkpoint_interval = Duration::from_micros(1); // no pause between two of them either
    let retention = match durability {
        Durability::Strict => Retention::KeepAll,
        Durability::Buffered | Durability::InMemory => Retention::KeepLast(3),
    };
    let (checkpoint_log_size, memory_budget) = (4 << 10, 16 << 10);
    Options {
        checkpoint_log_size,
        checkpoint_interval,
        memory_budget,
        retention,
        ..options(durability, shards)
    }
}

/// A database in memory, of one shard, with a run in it.
pub(crate) fn one_run() -> (Database, RunHandle) {
    one_run_with(options(Durability::InMemory, 1))
}

/// The same with options.
pub(crate) fn one_run_with(options: Options) -> (Database, RunHandle) {
    let database = Database::in_memory_with(options).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}

/// A database in memory on a clock that stands still, with a run in it.
pub(crate) fn one_run_on(clock: &TestClock) -> (Database, RunHandle) {
    let options = options(Durability::InMemory, 1);
    let database = Database::start(None, options, clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (database, run)
}

/// How many transactions and snapshots are open.
pub(crate) fn open_count(database: &Database) -> u64 {
    database.stats().unwrap().shards.iter().map(|shard| shard.transactions + shard.pinned).sum()
}

/// Where the store lies on a simulated disk.
pub(crate) fn sim_path() -> PathBuf {
    PathBuf::from("/agent/strata.db")
}

/// Opens the store on a simulated disk, at a time that stands still.
pub(crate) fn open_on(disk: &SimDisk, options: Options) -> Result<Database> {
    let clock = TestClock::at(1_750_000_000_000_000);
    Database::start(Some(sim_path()), options, clock.clock(), Some(Arc::new(disk.clone())))
}

/// Waits until something is so; a test that waits in vain fails.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// Makes the newest image of every log unreadable.
pub(crate) fn damage_newest_image(disk: &SimDisk) {
    let images =
        disk.files().into_iter().filter(|file| file.extension().is_some_and(|suffix| suffix == "img"));
    // By the log in front of the number; a later one is greater.
    let of_log = |image: &PathBuf| image.file_name().map(|name| name.as_encoded_bytes()[..3].to_vec());
    let newest: BTreeMap<_, _> = images.map(|image| (of_log(&image), image)).collect();
    newest.values().for_each(|image| disk.flip(image, 20, 1));
}
