//! Writes that are on the disk when they return.

use strata_benches::workload::{CALL_SIZE, keys};

use super::points::{of_call, values};
use crate::bout::{Bout, Contestant};
use crate::command::Command;
use crate::engine::Promise;
use crate::row::Row;

/// Writers at the same time.
const WRITER_COUNT: usize = 16;
/// Keys of each writer: two writers of one key are a conflict to some, and wait for each other with others.
const KEY_COUNT: usize = 1000;

/// One writer, and sixteen that may share a sync; each has a run, or keys, of its own.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    let (keys, values) = (keys(WRITER_COUNT * KEY_COUNT), values());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (clients, name) in [(1, "1 writer"), (WRITER_COUNT, "16 writers")] {
        for size in [1, CALL_SIZE] {
            let question = format!("put on disk, {name}, {size} a call");
            if !command.wants(&question) {
                continue;
            }
            let writers = command.engines().filter(|engine| engine.settings(Promise::Disk).is_some());
            let contestants: Vec<Contestant> =
                writers.map(|engine| Contestant::open(command, engine, Promise::Disk, clients)).collect();
            let bout = Bout { clients, call_size: size, promise: Promise::Disk };
            tell(bout.ask(command, question, &contestants, |session, client, made| {
                let own = &keys[client * KEY_COUNT..(client + 1) * KEY_COUNT];
                session.put(of_call(own, size, made), &values[made % values.len()]);
            }));
        }
    }
}
