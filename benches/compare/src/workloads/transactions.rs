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
        let in_closure = format!("the same in a closure, {name}");
        if ![&question, &in_closure].into_iter().any(|question| command.wants(question)) {
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
        // Every key is written by two calls, one behind the other, and finds another value each time.
        let of_call =
            |made: usize| (keys[made % KEY_COUNT], keys[(made + 1) % KEY_COUNT], &*values[made % 2]);
        if command.wants(&question) {
            tell(bout.ask(command, question, &contestants, |session, _, made| {
                let (from, to, value) = of_call(made);
                session.transact(from, to, value);
            }));
        }
        if command.wants(&in_closure) {
            tell(bout.ask(command, in_closure, &contestants, |session, _, made| {
                let (from, to, value) = of_call(made);
                session.execute(from, to, value);
            }));
        }
    }
}
