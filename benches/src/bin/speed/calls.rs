//! Calls that carry 64 puts: how many puts a second one shard takes.

use std::path::Path;

use strata::{Durability, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::bare_map::BareMap;
use strata_benches::clients::{Seats, alone, together};
use strata_benches::figure::{Figure, Goal, Setting};
use strata_benches::placement::Placement;
use strata_benches::raw_log::{KernelLog, RawLog};
use strata_benches::report::Report;
use strata_benches::timing::{Rounds, rate, time};
use strata_benches::workload::{CALL_SIZE, KEY_SIZE, Store, VALUE_SIZE, keys, mode_name, value};

/// Different keys of a client's run.
const KEY_COUNT: usize = 16 * 1024;
/// Bytes that one put adds to a log: key, value, and about this much around them.
const RECORD_OVERHEAD: usize = 24;
/// Size of the plain files that limits are written to.
const FILE_SIZE: u64 = 64 << 20;

/// How a call is made of 64 puts.
#[derive(Clone, Copy)]
enum Call {
    PutMany,
    Batch,
}

/// Measures `put_many` of 64 keys and `commit` of a batch of 64 puts, by 1, 2 and 4 clients.
pub(crate) fn measure(arguments: &Arguments, durability: Durability, report: &mut Report) {
    let mode = mode_name(durability);
    let calls_a_round = match durability {
        Durability::Strict => arguments.pick(1000, 20),
        _ => arguments.pick(4000, 50),
    };
    for (call, clients) in
        [(Call::PutMany, 1), (Call::PutMany, 2), (Call::PutMany, 4), (Call::Batch, 1), (Call::Batch, 2)]
    {
        let name = match call {
            Call::PutMany => "put_many",
            Call::Batch => "batch",
        };
        let question = format!("put_{mode}_calls_of_{CALL_SIZE}_{name}/{clients}");
        if !arguments.wants(&question) {
            continue;
        }
        let store = Store::create(&arguments.dir, durability, 1).expect("a new store opens");
        let mut runs: Vec<RunHandle> =
            (0..clients).map(|_| store.run().expect("a new store takes a run")).collect();
        let placement = Placement::apart();
        let mut bare = BareCalls::new(&arguments.dir, durability);
        let calls = calls_a_round / clients;
        let (mut own, mut limit) = (Rounds::new(), Rounds::new());
        round(&placement, &mut runs, call, KEY_COUNT / CALL_SIZE);
        for _ in 0..arguments.pick(9, 2) {
            own.push(round(&placement, &mut runs, call, calls));
            limit.push(alone(&placement, || bare.round(calls * clients)));
        }
        let setting =
            Setting { mode, value_size: VALUE_SIZE, batch_size: CALL_SIZE, clients, shards: 1, placement };
        let figure = Figure::new(question, "puts/s", own).with(&setting).against(bare.name(), &limit);
        report.add(&match durability {
            Durability::InMemory => figure.goal(Goal::AtLeast(1e6)),
            Durability::Buffered => figure.goal(Goal::AtLeast(0.6e6)),
            Durability::Strict => figure,
        });
    }
}

/// Puts a second of all clients together, each on a run of its own on the one shard.
fn round(placement: &Placement, runs: &mut [RunHandle], call: Call, calls: usize) -> f64 {
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let count = runs.len() * calls * CALL_SIZE;
    let elapsed = together(Seats::Apart(placement), runs, |_, run| {
        for keys in keys.chunks_exact(CALL_SIZE).cycle().take(calls) {
            match call {
                Call::PutMany => put_many(run, keys, &value),
                Call::Batch => put_batch(run, keys, &value),
            }
        }
    });
    rate(count, elapsed)
}

fn put_many(run: &RunHandle, keys: &[String], value: &str) {
    run.put_many(keys.iter().map(|key| (key, value))).expect("a call is taken");
}

fn put_batch(run: &RunHandle, keys: &[String], value: &str) {
    let mut batch = run.batch();
    for key in keys {
        batch.put(key, value).expect("a small put is within the limits");
    }
    run.commit(batch).expect("a call is taken");
}

/// What 64 puts cost without an engine, on one thread.
struct BareCalls {
    map: BareMap,
    keys: Vec<String>,
    value: String,
    log: BareLog,
    _directory: tempfile::TempDir,
}

enum BareLog {
    None,
    Kernel(KernelLog),
    Durable(RawLog),
}

impl BareCalls {
    fn new(dir: &Path, durability: Durability) -> BareCalls {
        let directory = tempfile::tempdir_in(dir).expect("there is a place for a plain file");
        let log = match durability {
            Durability::InMemory => BareLog::None,
            Durability::Buffered => BareLog::Kernel(
                KernelLog::create(directory.path(), "kernel", FILE_SIZE).expect("a file can be made"),
            ),
            Durability::Strict => BareLog::Durable(
                RawLog::create(directory.path(), "raw", FILE_SIZE).expect("a file can be made"),
            ),
        };
        let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
        let mut map = BareMap::new();
        keys.iter().for_each(|key| map.put(key, &value));
        BareCalls { map, keys, value, log, _directory: directory }
    }

    fn name(&self) -> &'static str {
        match self.log {
            BareLog::None => "bare FxHashMap",
            BareLog::Kernel(_) => "bare FxHashMap + one pwrite per 64",
            BareLog::Durable(_) => "bare FxHashMap + one durable append per 64",
        }
    }

    fn round(&mut self, calls: usize) -> f64 {
        let BareCalls { map, keys, value, log, .. } = self;
        let bytes = vec![0x5a; CALL_SIZE * (KEY_SIZE + VALUE_SIZE + RECORD_OVERHEAD)];
        let elapsed = time(|| {
            for keys in keys.chunks_exact(CALL_SIZE).cycle().take(calls) {
                keys.iter().for_each(|key| map.put(key, value));
                match log {
                    BareLog::None => {}
                    BareLog::Kernel(log) => log.append(&bytes).expect("a plain file can be written"),
                    BareLog::Durable(log) => log.append(&bytes).expect("a plain file can be written"),
                }
            }
        });
        rate(calls * CALL_SIZE, elapsed)
    }
}
