//! Work made beforehand: while a round lasts, only shards work.

use strata::{Batch, Durability, RunHandle};
use strata_benches::arguments::Arguments;
use strata_benches::clients::{Seats, together};
use strata_benches::figure::Setting;
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::rate;
use strata_benches::workload::{Store, VALUE_SIZE, keys, mode_name, value};

use crate::speed_up::{self, ONE_SHARD, Question, Round, bare_maps};

/// Puts of one batch, which is one message and one commit.
const BATCH_SIZE: usize = 4096;
/// Different keys of a run.
const KEY_COUNT: usize = 4 * BATCH_SIZE;
/// Clients of a shard: while one batch is served, the next waits.
const CLIENTS_A_SHARD: usize = 2;
/// Rounds before the first that counts; the segments of a log have their full size afterwards.
const WARM_UP_ROUNDS: usize = 4;

/// Measures disjoint runs with the load on the shards.
pub(crate) fn measure(arguments: &Arguments, durability: Durability, report: &mut Report) {
    let mode = mode_name(durability);
    let question = Question {
        name: format!("put_{mode}_disjoint_runs_load_on_shards"),
        unit: "puts/s",
        limit: "bare FxHashMaps",
        one: ONE_SHARD,
        least: |shards| match shards {
            2 => Some(1.8),
            4 => Some(3.2),
            8 => Some(6.0),
            _ => None,
        },
    };
    if !arguments.wants(&question.name) {
        return;
    }
    let batches = arguments.pick(60, 4);
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let most = arguments.shards.iter().copied().max().unwrap_or(1);
    let store = Store::create(&arguments.dir, durability, most).expect("a new store opens");
    let loads: Vec<Load> = (0..most).map(|shard| Load::new(&store, shard, &keys, &value)).collect();
    for _ in 0..arguments.pick(WARM_UP_ROUNDS, 1) {
        put_all(&loads, batches);
    }
    let round = |shards: usize| {
        let setting = Setting {
            mode,
            value_size: VALUE_SIZE,
            batch_size: BATCH_SIZE,
            clients: shards * CLIENTS_A_SHARD,
            shards,
            placement: Placement::anywhere(),
        };
        let own = put_all(&loads[..shards], batches);
        let limit = bare_maps(shards, &keys, &value, batches * BATCH_SIZE);
        Round { own, limit, setting }
    };
    speed_up::measure(arguments, &question, arguments.pick(15, 2), round, report);
}

/// The run of one shard, and batches that put every key of it once.
struct Load {
    run: RunHandle,
    batches: Vec<Batch>,
}

impl Load {
    fn new(store: &Store, shard: usize, keys: &[String], value: &str) -> Load {
        let run = store.run_on(shard).expect("a new store takes a run");
        let batches = keys.chunks_exact(BATCH_SIZE).map(|keys| batch_of(&run, keys, value)).collect();
        Load { run, batches }
    }

    /// What one client hands over in a round.
    fn part(&self, count: usize) -> (RunHandle, Vec<Batch>) {
        (self.run.clone(), self.batches.iter().cycle().take(count).cloned().collect())
    }
}

/// Puts a second of all shards; each takes `count` batches.
fn put_all(loads: &[Load], count: usize) -> f64 {
    let each = count / CLIENTS_A_SHARD;
    let mut clients: Vec<(RunHandle, Vec<Batch>)> =
        loads.iter().flat_map(|load| (0..CLIENTS_A_SHARD).map(|_| load.part(each))).collect();
    let put_count = clients.len() * each * BATCH_SIZE;
    let elapsed = together(Seats::Anywhere, &mut clients, |_, (run, batches)| {
        for batch in batches.drain(..) {
            run.commit(batch).expect("a batch is taken");
        }
    });
    rate(put_count, elapsed)
}

fn batch_of(run: &RunHandle, keys: &[String], value: &str) -> Batch {
    let mut batch = run.batch();
    for key in keys {
        batch.put(key, value).expect("a small put is within the limits");
    }
    batch
}
