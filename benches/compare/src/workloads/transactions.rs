//! Two reads and two writes that are one.

use strata_benches::workload::keys;

use super::points::values;
use crate::bout::{Bout, Contestant};
use crate::command::Command;
use crate::engine::{Ability, Promise};
use crate::row::Row;

const KEY_COUNT: usize = 1000;

/// Transactions without durability and on disk.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    let (keys, values) = (keys(KEY_COUNT), values());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (promise, name) in [(Promise::Nothing, "without durability"), (Promise::Disk, "on disk")] {
        let question = format!("transaction of 2 reads and 2 writes, {name}");
        if !command.wants(&question) {
            continue;
        }
        let able = command.engines().filter(|engine| engine.can(Ability::Transactions));
        let contestants: Vec<Contestant> = able
            .filter(|engine| engine.settings(promise).is_some())
            .map(|engine| Contestant::open(command, engine, promise, 1))
            .collect();
        contestants
            .iter()
            .for_each(|contestant| contestant.with(0, |session| session.put(&keys, &values[2])));
        let bout = Bout { clients: 1, call_size: 1, promise };
        tell(bout.ask(command, question, &contestants, |session, _, made| {
            // Every key is written by two calls, one behind the other, and finds another value each time.
            session.transact(keys[made % KEY_COUNT], keys[(made + 1) % KEY_COUNT], &values[made % 2]);
        }));
    }
}
