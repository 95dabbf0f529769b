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
    let value = value(VALUE_SIZE);
    let map = Mutex::new(BareMap::new());
    let put = |_| {
        run.put("plan", value.as_str()).expect("a put is taken");
    };
    let bare_put = |_| map.lock().unwrap_or_else(PoisonError::into_inner).put("plan", &value);
    measure_calls(arguments, &question, put, bare_put, report);
}

fn measure_gets(arguments: &Arguments, run: &RunHandle, report: &mut Report) {
    let question = Question {
        name: "get_in_memory_one_run_client_threads".to_string(),
        unit: "gets/s",
        limit: "one FxHashMap that nobody writes",
        one: ONE_CLIENT,
        least: |_| None,
    };
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let mut map = BareMap::new();
    for key in &keys {
        run.put(key, value.as_str()).expect("a put is taken");
        map.put(key, &value);
    }
    let key = |index: usize| keys[index % KEY_COUNT].as_str();
    let get = |index| drop(black_box(run.get(key(index)).expect("a get is answered")));
    let bare_get = |index| drop(black_box(map.get(key(index))));
    measure_calls(arguments, &question, get, bare_get, report);
}

/// Asks a question if it is wanted: `own` is one call on the run, `bare` one on its limit.
fn measure_calls(
    arguments: &Arguments,
    question: &Question,
    own: impl Fn(usize) + Sync,
    bare: impl Fn(usize) + Sync,
    report: &mut Report,
) {
    if !arguments.wants(&question.name) {
        return;
    }
    let round = |clients: usize| Round {
        own: each_calls(clients, arguments, &own),
        limit: each_calls(clients, arguments, &bare),
        setting: setting(clients),
    };
    speed_up::measure(arguments, question, arguments.pick(15, 2), round, report);
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
