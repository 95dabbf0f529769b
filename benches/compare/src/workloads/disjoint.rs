//! Clients that share nothing: each has a run, or keys, of its own.

use strata_benches::workload::{CALL_SIZE, keys};

use super::points::{of_call, values};
use crate::bout::{Bout, Contestant};
use crate::command::Command;
use crate::engine::Promise;
use crate::row::Row;

/// Keys of each client.
const KEY_COUNT: usize = 16_384;

/// Puts without durability, of one client and of two.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    let (keys, values) = (keys(2 * KEY_COUNT), values());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (clients, name) in [(1, "1 thread"), (2, "2 threads")] {
        let question = format!("put to disjoint runs, {name}, {CALL_SIZE} a call");
        if !command.wants(&question) {
            continue;
        }
        let writers = command.engines().filter(|engine| engine.settings(Promise::Nothing).is_some());
        let contestants: Vec<Contestant> =
            writers.map(|engine| Contestant::open(command, engine, Promise::Nothing, clients)).collect();
        let bout = Bout { clients, call_size: CALL_SIZE, promise: Promise::Nothing };
        tell(bout.ask(command, question, &contestants, |session, client, made| {
            let own = &keys[client * KEY_COUNT..(client + 1) * KEY_COUNT];
            session.put(of_call(own, CALL_SIZE, made), &values[made % values.len()]);
        }));
    }
}
