//! As many clients as shards, who make their own work.

use strata::{Durability, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::clients::{Seats, together};
use strata_benches::figure::Setting;
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::rate;
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, keys, value};

use crate::speed_up::{self, ONE_SHARD, Question, Round, bare_maps};

/// Different keys of a run.
const KEY_COUNT: usize = 16 * 1024;

/// Measures disjoint runs with one client thread a shard, in calls of 64 puts and in calls of one.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    let name = "put_in_memory_disjoint_runs_client_threads";
    measure_calls_of(CALL_SIZE, name.to_string(), arguments, report);
    measure_calls_of(1, format!("{name}_one_a_call"), arguments, report);
}

fn measure_calls_of(call_size: usize, name: String, arguments: &Arguments, report: &mut Report) {
    let question =
        Question { name, unit: "puts/s", limit: "bare FxHashMaps", one: ONE_SHARD, least: |_| None };
    if !arguments.wants(&question.name) {
        return;
    }
    let puts = arguments.pick(192 * 1024, 6400);
    let calls = if call_size == 1 { puts / 2 } else { puts / call_size };
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let most = arguments.shards.iter().copied().max().unwrap_or(1);
    let store = Store::create(&arguments.dir, Durability::InMemory, most).expect("a new store opens");
    let mut runs: Vec<RunHandle> =
        (0..most).map(|shard| store.run_on(shard).expect("a new store takes a run")).collect();
    put_all(&mut runs, &keys, &value, CALL_SIZE, KEY_COUNT / CALL_SIZE);
    let round = |shards: usize| {
        let setting = Setting {
            mode: "in_memory",
            value_size: VALUE_SIZE,
            batch_size: call_size,
            clients: shards,
            shards,
            placement: Placement::anywhere(),
        };
        let own = put_all(&mut runs[..shards], &keys, &value, call_size, calls);
        Round { own, limit: bare_maps(shards, &keys, &value, calls * call_size), setting }
    };
    speed_up::measure(arguments, &question, arguments.pick(15, 2), round, report);
}

/// Puts a second of all clients together, who make `calls` calls each.
fn put_all(runs: &mut [RunHandle], keys: &[String], value: &str, call_size: usize, calls: usize) -> f64 {
    let count = runs.len() * calls * call_size;
    let elapsed = together(Seats::Anywhere, runs, |_, run| {
        for keys in keys.chunks_exact(call_size).cycle().take(calls) {
            match keys {
                [key] => run.put(key, value).map(drop),
                keys => run.put_many(keys.iter().map(|key| (key, value))).map(drop),
            }
            .expect("a call is taken");
        }
    });
    rate(count, elapsed)
}
