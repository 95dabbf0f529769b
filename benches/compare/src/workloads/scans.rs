//! Keys in their order, with their values.

use strata_benches::workload::{VALUE_SIZE, keys, value};

use crate::bout::{Bout, Contestant};
use crate::command::Command;
use crate::engine::Ability;
use crate::engine::Promise;
use crate::row::Row;

/// Keys of a scan.
const SCAN_COUNT: usize = 1000;
/// Keys there are.
const KEY_COUNT: usize = 10_000;

/// The first thousand keys.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    let question = format!("scan of {SCAN_COUNT} of {KEY_COUNT} keys in their order");
    if !command.wants(&question) {
        return;
    }
    let able = command.engines().filter(|engine| engine.can(Ability::Scan));
    let contestants: Vec<Contestant> =
        able.map(|engine| Contestant::open(command, engine, engine.least(), 1)).collect();
    let (keys, value) = (keys(KEY_COUNT), value(VALUE_SIZE));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    contestants.iter().for_each(|contestant| {
        contestant.with(0, |session| keys.chunks(SCAN_COUNT).for_each(|keys| session.put(keys, &value)));
    });
    let bout = Bout { clients: 1, call_size: SCAN_COUNT, promise: Promise::Nothing };
    tell(bout.ask(command, question, &contestants, |session, _, _| {
        assert_eq!(session.scan(SCAN_COUNT), SCAN_COUNT * VALUE_SIZE, "what was put is found");
    }));
}
