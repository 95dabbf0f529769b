//! Keys that are read and written by one client.

use strata_benches::workload::{CALL_SIZE, VALUE_SIZE, keys, value};

use crate::bout::{Bout, Contestant};
use crate::command::Command;
use crate::engine::{Ability, Promise};
use crate::row::Row;

/// Keys that fit the caches.
const FEW: usize = 1000;
/// Keys of a call that fills a store.
const FILL_SIZE: usize = 1000;

/// Gets of few keys and of many, and puts of few without the disk.
pub(crate) fn ask(command: &Command, tell: &mut dyn FnMut(Row)) {
    let many = command.pick(1_000_000, 20_000);
    for (count, name) in [(FEW, "1,000 keys"), (many, "a million keys")] {
        gets(command, count, name, tell);
    }
    for (promise, name) in
        [(Promise::Nothing, "without durability"), (Promise::Kernel, "handed to the kernel")]
    {
        puts(command, promise, name, tell);
    }
}

fn gets(command: &Command, count: usize, name: &str, tell: &mut dyn FnMut(Row)) {
    let questions = [1, CALL_SIZE].map(|size| (format!("get of {name}, {size} a call"), size));
    if !questions.iter().any(|(question, _)| command.wants(question)) {
        return;
    }
    let readers = command.engines().filter(|engine| engine.can(Ability::Get));
    let contestants: Vec<Contestant> =
        readers.map(|engine| Contestant::open(command, engine, engine.least(), 1)).collect();
    let (keys, value) = (keys(count), value(VALUE_SIZE));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for contestant in &contestants {
        contestant.with(0, |session| keys.chunks(FILL_SIZE).for_each(|keys| session.put(keys, &value)));
    }
    for (question, size) in questions.into_iter().filter(|(question, _)| command.wants(question)) {
        let bout = Bout { clients: 1, call_size: size, promise: Promise::Nothing };
        tell(bout.ask(command, question, &contestants, |session, _, made| {
            let found = session.get(of_call(&keys, size, made));
            assert_eq!(found, size * VALUE_SIZE, "what was put is found");
        }));
    }
}

fn puts(command: &Command, promise: Promise, name: &str, tell: &mut dyn FnMut(Row)) {
    let (keys, values) = (keys(FEW), values());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for size in [1, CALL_SIZE] {
        let question = format!("put {name}, {size} a call");
        if !command.wants(&question) {
            continue;
        }
        let writers = command.engines().filter(|engine| engine.settings(promise).is_some());
        let contestants: Vec<Contestant> =
            writers.map(|engine| Contestant::open(command, engine, promise, 1)).collect();
        let bout = Bout { clients: 1, call_size: size, promise };
        tell(bout.ask(command, question, &contestants, |session, _, made| {
            session.put(of_call(&keys, size, made), &values[made % values.len()]);
        }));
    }
}

/// Values that take turns, so that no put finds what it brings: SQLite would write nothing then. As many as no number of
/// calls after which a key comes again is a multiple of.
pub(super) fn values() -> [String; 11] {
    let value = value(VALUE_SIZE);
    std::array::from_fn(|number| format!("{number:02}{}", &value[2..]))
}

/// The keys of call `made`: the next ones, and from the beginning again.
pub(super) fn of_call<'a>(keys: &'a [&'a str], size: usize, made: usize) -> &'a [&'a str] {
    let start = made * size % (keys.len() - size + 1);
    &keys[start..start + size]
}
