//! As many clients as shards, who make their own work.

use strata::{Durability, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::clients::{Seats, together};
use strata_benches::figure::Setting;
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::rate;
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, keys, value};

use crate::speed_up::{self, Question, Round, bare_maps};

/// Different keys of a run.
const KEY_COUNT: usize = 16 * 1024;

/// Measures disjoint runs with one client thread a shard, in calls of 64 puts.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    let question = Question {
        name: "put_in_memory_disjoint_runs_client_threads".to_string(),
        unit: "puts/s",
        limit: "bare FxHashMaps",
        least: |_| None,
    };
    if !arguments.wants(&question.name) {
        return;
    }
    let calls = arguments.pick(3000, 100);
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let most = arguments.shards.iter().copied().max().unwrap_or(1);
    let store = Store::create(&arguments.dir, Durability::InMemory, most).expect("a new store opens");
    let mut runs: Vec<RunHandle> =
        (0..most).map(|shard| store.run_on(shard).expect("a new store takes a run")).collect();
    put_all(&mut runs, &keys, &value, KEY_COUNT / CALL_SIZE);
    let round = |shards: usize| {
        let setting = Setting {
            mode: "in_memory",
            value_size: VALUE_SIZE,
            batch_size: CALL_SIZE,
            clients: shards,
            shards,
            placement: Placement::anywhere(),
        };
        let own = put_all(&mut runs[..shards], &keys, &value, calls);
        Round { own, limit: bare_maps(shards, &keys, &value, calls * CALL_SIZE), setting }
    };
    speed_up::measure(arguments, &question, arguments.pick(15, 2), round, report);
}

/// Puts a second of all clients together.
fn put_all(runs: &mut [RunHandle], keys: &[String], value: &str, calls: usize) -> f64 {
    let count = runs.len() * calls * CALL_SIZE;
    let elapsed = together(Seats::Anywhere, runs, |_, run| {
        for keys in keys.chunks_exact(CALL_SIZE).cycle().take(calls) {
            run.put_many(keys.iter().map(|key| (key, value))).expect("a call is taken");
        }
    });
    rate(count, elapsed)
}
