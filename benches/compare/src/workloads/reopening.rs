//! From opening a store to the answer of the first read.

use std::time::Instant;

use strata_benches::timing::Rounds;
use strata_benches::workload::{VALUE_SIZE, keys};

use super::points::values;
use crate::command::Command;
use crate::engine::{Ability, Engine, Promise};
use crate::row::{Row, Unit};

/// Keys that the commits are about.
const KEY_COUNT: usize = 10_000;

/// Reopening after many commits and after more, each of one put. Not everybody's commits are still there: who does not
/// find them has no row.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    let sizes = [(100_000, "100,000 commits"), (1_000_000, "a million commits")];
    for (count, name) in sizes {
        let question = format!("reopening to the first read, after {name}");
        if !command.wants(&question) {
            continue;
        }
        let able = command.engines().filter(|engine| engine.can(Ability::Reopening));
        let count = command.pick(count, count / 100);
        let answers = able.filter_map(|engine| Some((engine, reopen(command, engine, count)?))).collect();
        tell(Row { question, unit: Unit::Milliseconds, answers });
    }
}

/// Milliseconds of each opening; `None` when what was written is not there.
fn reopen(command: &Command, engine: &'static dyn Engine, count: usize) -> Option<Rounds> {
    // What outlives the process is what a later one opens; redb and sled keep on closing what they promise nothing for.
    let promise = match engine.settings(Promise::Kernel) {
        Some(_) => Promise::Kernel,
        None => Promise::Nothing,
    };
    let directory = tempfile::tempdir_in(&command.dir).expect("there is a place for a store");
    let (keys, values) = (keys(KEY_COUNT), values());
    {
        let store = engine.open(directory.path(), promise, 1);
        let mut session = store.session(0);
        (0..count)
            .for_each(|made| session.put(&[keys[made % keys.len()].as_str()], &values[made % values.len()]));
    }
    let mut rounds = Rounds::new();
    for _ in 0..command.pick(5, 2) {
        let start = Instant::now();
        let store = engine.open(directory.path(), promise, 1);
        let found = store.session(0).get(&[keys[0].as_str()]);
        let elapsed = start.elapsed();
        if found != VALUE_SIZE {
            return None;
        }
        rounds.push(elapsed.as_secs_f64() * 1e3);
    }
    Some(rounds)
}
