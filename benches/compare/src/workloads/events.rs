//! Events that are appended, handed to the kernel, and the newest of them.

use strata_benches::workload::{CALL_SIZE, VALUE_SIZE, value};

use crate::bout::{Bout, Contestant};
use crate::command::Command;
use crate::engine::{Ability, Engine, Promise};
use crate::row::Row;

/// Events of a look at the newest.
const LAST_COUNT: usize = 100;
/// Events there are when the newest are read.
const EVENT_COUNT: usize = 10_000;

/// Appends of one and of many, and the newest.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    let value = value(VALUE_SIZE);
    for size in [1, CALL_SIZE] {
        let question = format!("append of events, handed to the kernel, {size} a call");
        if !command.wants(&question) {
            continue;
        }
        let keeps = |engine: &&'static dyn Engine| engine.settings(Promise::Kernel).is_some();
        let writers = command.engines().filter(|engine| engine.can(Ability::Events)).filter(keeps);
        let contestants: Vec<Contestant> =
            writers.map(|engine| Contestant::open(command, engine, Promise::Kernel, 1)).collect();
        let bout = Bout { clients: 1, call_size: size, promise: Promise::Kernel };
        tell(bout.ask(command, question, &contestants, |session, _, _| session.append(size, &value)));
    }
    let question = format!("last {LAST_COUNT} of {EVENT_COUNT} events");
    if !command.wants(&question) {
        return;
    }
    let readers = command.engines().filter(|engine| engine.can(Ability::Events));
    let contestants: Vec<Contestant> =
        readers.map(|engine| Contestant::open(command, engine, engine.least(), 1)).collect();
    for contestant in &contestants {
        contestant.with(0, |session| (0..10).for_each(|_| session.append(EVENT_COUNT / 10, &value)));
    }
    let bout = Bout { clients: 1, call_size: LAST_COUNT, promise: Promise::Nothing };
    tell(bout.ask(command, question, &contestants, |session, _, _| {
        assert_eq!(session.last(LAST_COUNT), LAST_COUNT * VALUE_SIZE, "what was appended is found");
    }));
}
