//! How many records a second does a shard replay when a store is opened that was not closed?
//!
//! A `Buffered` store is filled with small records, one put each. Its directory is copied while the
//! store is open, as a killed process would leave it, and the copy is synced and opened; a round is
//! one copy. The limit beside it reads the same bytes past the page cache and inserts the same keys
//! and values into a bare FxHashMap, on one thread per shard.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use strata::{Database, Options, RunHandle};
use strata_benches::arguments::Arguments;
use strata_benches::bare_map::BareMap;
use strata_benches::clients::{Seats, together};
use strata_benches::copies::copy_store;
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::{Rounds, rate, time};
use strata_benches::workload::{Store, keys, value};
use strata_wal::disk::Disk;
use strata_wal::storage::{Access, Buffer, Storage};

/// Bytes of a value: a small record.
const SMALL_VALUE_SIZE: usize = 32;
/// Runs of a shard; each key of each is written once.
const RUN_COUNT: usize = 1000;
/// Bytes of one read of the limit.
const READ_SIZE: usize = 1 << 20;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("recovery", &arguments);
    let shard_counts = if arguments.shards.is_empty() { vec![1, 2] } else { arguments.shards.clone() };
    for shards in shard_counts {
        measure(&arguments, shards, &mut report);
    }
    report.end()
}

fn measure(arguments: &Arguments, shards: usize, report: &mut Report) {
    let records = arguments.pick(1_000_000, 20_000);
    let keys = keys(records / RUN_COUNT);
    // Nothing but the log: what images save is the question of `opening`.
    let options = Options { shards: Some(shards), checkpoint_log_size: u64::MAX, ..Options::default() };
    let store = Store::with(&arguments.dir, options).expect("a new store opens");
    fill(&store, shards, &keys);
    let placement = Placement::apart();
    let source = store.path().expect("a buffered store has a directory");
    let (mut own, mut limit, mut log_time) = (Rounds::new(), Rounds::new(), Rounds::new());
    let mut replayed = 0;
    let mut bytes = 0;
    for _ in 0..arguments.pick(5, 2) {
        let copy = tempfile::tempdir_in(&arguments.dir).expect("there is a place for a copy");
        copy_store(source, copy.path()).expect("a store can be copied");
        let wal = copy.path().join("WAL");
        limit.push(rate(records, bare_recovery(&wal, shards, &keys)));
        let mut database = None;
        let elapsed = time(|| {
            let options = Options { shards: Some(shards), ..Options::default() };
            database = Some(Database::open(copy.path(), options).expect("a copy of an open store recovers"));
        });
        let database = database.expect("it was just opened");
        let found = database.recovery();
        assert!(!found.was_clean, "a copy of an open store was not closed");
        assert!(found.records() >= (records * shards) as u64, "no acknowledged record is missing");
        replayed = found.records();
        bytes = found.shards.iter().map(|shard| shard.log.bytes).sum();
        let slowest = found.shards.iter().map(|shard| shard.log.elapsed).max().unwrap_or_default();
        log_time.push(slowest.as_secs_f64() * 1000.0);
        own.push(rate(replayed as usize / shards, elapsed));
        database.close().expect("a recovered store closes");
    }
    let setting = Setting {
        mode: "buffered",
        value_size: SMALL_VALUE_SIZE,
        batch_size: 1,
        clients: 0,
        shards,
        placement,
    };
    let figure = Figure::new(format!("recovery_records_a_shard/{shards}"), "records/s", own)
        .with(&setting)
        .against("reading the bytes + bare FxHashMap inserts", &limit)
        .goal(Goal::AtLeast(500e3))
        .note("records", replayed)
        .note("bytes", bytes)
        .note("runs_a_shard", RUN_COUNT)
        .note("slowest_shard_ms", log_time.median());
    report.add(&figure);
}

/// Puts every key once into every run of every shard, each put a commit of its own.
fn fill(store: &Store, shards: usize, keys: &[String]) {
    let runs: Vec<RunHandle> = (0..shards * RUN_COUNT)
        .map(|index| store.run_on(index % shards).expect("a new store takes a run"))
        .collect();
    store.put_each(&runs, keys, &value(SMALL_VALUE_SIZE));
    store.database.sync().expect("an open store syncs");
}

/// The time it takes to read the log and to insert what it holds, one thread per shard.
fn bare_recovery(wal: &Path, shards: usize, keys: &[String]) -> Duration {
    let value = value(SMALL_VALUE_SIZE);
    let names: Vec<_> = Disk::new().entries(wal).expect("a store has a log").into_iter().collect();
    let mut logs: Vec<Vec<_>> = vec![Vec::new(); shards];
    for entry in names {
        // The name of a segment begins with the number of its log.
        let log: usize = entry.name.split('-').next().and_then(|log| log.parse().ok()).unwrap_or(0);
        logs[log % shards].push(wal.join(entry.name));
    }
    together(Seats::Anywhere, &mut logs, |_, segments| {
        segments.iter().for_each(|segment| read_through(segment));
        let mut maps: Vec<BareMap> = (0..RUN_COUNT).map(|_| BareMap::new()).collect();
        for key in keys {
            maps.iter_mut().for_each(|map| map.put(key, &value));
        }
    })
}

fn read_through(path: &Path) {
    let disk = Disk::new();
    let direct = disk.open(path, Access::ReadDirect);
    let file = direct.or_else(|_| disk.open(path, Access::Read)).expect("a segment can be read");
    let mut buffer = Buffer::with_capacity(READ_SIZE);
    buffer.resize(READ_SIZE);
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut buffer, offset).expect("a segment can be read");
        if read == 0 {
            return;
        }
        offset += read as u64;
    }
}
