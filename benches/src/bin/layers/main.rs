//! What does each layer of a put cost, and where does the time of a call go?
//!
//! Keys of 32 bytes, values of 128, one shard, one client on another CPU.
//!
//! | name | what is timed |
//! |---|---|
//! | A0 | a put into a bare FxHashMap of boxed keys and boxed values, on the client's own thread |
//! | A1 | a put on the shard itself, 1,024 of a commit: a closure makes them there, or they come ready, and the shard only does them |
//! | B | a put through the facade: in calls of 64, and one put a call, each waited for |
//!
//! Each is a time a put, in rounds that take turns, all in memory, over the same keys; of one put a call it is the p50 of a
//! round. The tax of the engine is A1 over A0, that of the facade B over A1, each round by round. Beside them one put a call in a store that measures layers: what that costs.
//!
//! Then such stores tell how long requests lay in the queue, in the shard, in the log and in the reply: gets by message, and puts in
//! each durability mode, one a call. Every round is a new store.
#![forbid(unsafe_code)]

mod tax;
mod times;

use std::path::Path;
use std::process::ExitCode;

use strata::{Durability, Options, RunHandle, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::report::Report;
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, keys, value};

/// Bytes of a key.
const KEY_SIZE: usize = 32;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("layers", &arguments);
    tax::measure(&arguments, &mut report);
    times::measure(&arguments, &mut report);
    report.end()
}

/// What is put.
struct Load {
    /// `KEY_SIZE` bytes each.
    keys: Vec<String>,
    value: String,
}

impl Load {
    fn of(key_count: usize) -> Load {
        let keys: Vec<String> = keys(key_count).iter().map(|key| format!("travel/to/oslo//{key}")).collect();
        assert!(keys.iter().all(|key| key.len() == KEY_SIZE), "keys have the size that is told");
        Load { keys, value: value(VALUE_SIZE) }
    }

    fn key(&self, index: usize) -> &str {
        &self.keys[index % self.keys.len()]
    }

    /// Puts one key and waits for the answer.
    fn put(&self, run: &RunHandle, index: usize) {
        run.put(self.key(index), self.value.as_str()).expect("a put is taken");
    }

    /// Puts every key, in calls of 64.
    fn put_all(&self, run: &RunHandle) {
        for keys in self.keys.chunks(CALL_SIZE) {
            run.put_many(keys.iter().map(|key| (key, self.value.as_str()))).expect("a call is taken");
        }
    }

    /// A new store of one shard, which measures layers if asked to, and a run in it that has every key.
    fn store(&self, dir: &Path, durability: Durability, measure_layers: bool) -> (Store, RunHandle) {
        let options = Options { durability, shards: Some(1), measure_layers, ..Options::default() };
        let store = Store::with(dir, options).expect("a new store opens");
        let run = store.run().expect("a new store takes a run");
        self.put_all(&run);
        (store, run)
    }
}
