//! Clients who share one run, on one shard.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use strata::{Durability, Reads, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::bare_map::BareMap;
use strata_benches::clients::{Seats, together};
use strata_benches::figure::Setting;
use strata_benches::placement::Placement;
use strata_benches::report::Report;
use strata_benches::timing::rate;
use strata_benches::workload::{Store, VALUE_SIZE, keys, value};

use crate::speed_up::{self, Question, Round};

/// Keys that are read.
const KEY_COUNT: usize = 1000;
/// Calls of a client in a round.
const CALLS: usize = 50_000;
/// The unit of a speed-up by clients.
const ONE_CLIENT: &str = "x one client";

/// Measures as many clients as `--shards` says: all put one key, and all get the keys of one run.
pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    let store = Store::create(&arguments.dir, Durability::InMemory, 1).expect("a new store opens");
    let run = store.run().expect("a new store takes a run");
    measure_puts(arguments, &run, report);
    measure_gets(arguments, &run, report);
}

fn measure_puts(arguments: &Arguments, run: &RunHandle, report: &mut Report) {
    let question = Question {
        name: "put_in_memory_one_key_client_threads".to_string(),
        unit: "puts/s",
        limit: "one FxHashMap behind a mutex",
        one: ONE_CLIENT,
        least: |clients| (clients == 4).then_some(0.25),
    };
    if !arguments.wants(&question.name) {
        return;
    }
    let value = value(VALUE_SIZE);
    let map = Mutex::new(BareMap::new());
    let round = |clients: usize| {
        let own = each_calls(clients, arguments, |_| {
            run.put("plan", value.as_str()).expect("a put is taken");
        });
        let limit = each_calls(clients, arguments, |_| {
            map.lock().unwrap_or_else(PoisonError::into_inner).put("plan", &value);
        });
        Round { own, limit, setting: setting(clients) }
    };
    speed_up::measure(arguments, &question, arguments.pick(15, 2), round, report);
}

fn measure_gets(arguments: &Arguments, run: &RunHandle, report: &mut Report) {
    let question = Question {
        name: "get_in_memory_one_run_client_threads".to_string(),
        unit: "gets/s",
        limit: "one FxHashMap that nobody writes",
        one: ONE_CLIENT,
        least: |_| None,
    };
    if !arguments.wants(&question.name) {
        return;
    }
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let mut map = BareMap::new();
    for key in &keys {
        run.put(key, value.as_str()).expect("a put is taken");
        map.put(key, &value);
    }
    let round = |clients: usize| {
        let own = each_calls(clients, arguments, |index| {
            drop(black_box(run.get(&keys[index % KEY_COUNT]).expect("a get is answered")));
        });
        let limit = each_calls(clients, arguments, |index| {
            drop(black_box(map.get(&keys[index % KEY_COUNT])));
        });
        Round { own, limit, setting: setting(clients) }
    };
    speed_up::measure(arguments, &question, arguments.pick(15, 2), round, report);
}

/// Calls a second of all clients together.
fn each_calls(clients: usize, arguments: &Arguments, call: impl Fn(usize) + Sync) -> f64 {
    let calls = arguments.pick(CALLS, 2000);
    let elapsed = together(Seats::Anywhere, &mut vec![(); clients], |_, ()| (0..calls).for_each(&call));
    rate(clients * calls, elapsed)
}

fn setting(clients: usize) -> Setting {
    Setting {
        mode: "in_memory",
        value_size: VALUE_SIZE,
        batch_size: 1,
        clients,
        shards: 1,
        placement: Placement::anywhere(),
    }
}
