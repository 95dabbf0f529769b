//! What is counted: one kind of call on one store.
//!
//! Each call finds the shard asleep: between two of them the client rests, so that no turn of the shard is left to
//! chance. A turn that finds nothing to do follows each call and is counted with it.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use strata::Durability::{self, Buffered, InMemory, Strict};
use strata::{Error, KvScan, Options, Reads, RunHandle, Writes};
use strata_benches::workload::{CALL_SIZE, Store, VALUE_SIZE, keys, value};

/// Keys of a run, and of the scan: what fits the caches, although that changes no count.
const KEY_COUNT: usize = 1000;
/// Events of a run before the first is counted.
const EVENT_COUNT: usize = 1000;
/// Events of one look at the newest.
const LAST_COUNT: usize = 100;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(3600);
/// How long a shard takes to come to rest below valgrind, and some more.
const REST: Duration = Duration::from_micros(200);

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    GetMany,
    Put,
    PutMany,
    Append,
    AppendMany,
    LastEvents,
    Snapshot,
    Transaction,
    Execute,
    Scan,
    Visit,
}

/// One kind of call on one kind of store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// The call and the mode of the store.
    pub(crate) name: &'static str,
    durability: Durability,
    call: Call,
    /// Calls that are counted; as many warm up.
    pub(crate) count: usize,
}

/// All questions. Where another mode would only repeat what a single put or get of it tells, there is one.
pub(crate) const QUESTIONS: [Question; 20] = [
    Question { name: "get_in_memory", durability: InMemory, call: Call::Get, count: 2000 },
    Question { name: "get_buffered", durability: Buffered, call: Call::Get, count: 2000 },
    Question { name: "get_strict", durability: Strict, call: Call::Get, count: 2000 },
    Question { name: "put_in_memory", durability: InMemory, call: Call::Put, count: 2000 },
    Question { name: "put_buffered", durability: Buffered, call: Call::Put, count: 2000 },
    Question { name: "put_strict", durability: Strict, call: Call::Put, count: 500 },
    Question { name: "get_64_in_memory", durability: InMemory, call: Call::GetMany, count: 200 },
    Question { name: "put_64_in_memory", durability: InMemory, call: Call::PutMany, count: 200 },
    Question { name: "put_64_buffered", durability: Buffered, call: Call::PutMany, count: 200 },
    Question { name: "append_in_memory", durability: InMemory, call: Call::Append, count: 2000 },
    Question { name: "append_buffered", durability: Buffered, call: Call::Append, count: 2000 },
    Question { name: "append_64_in_memory", durability: InMemory, call: Call::AppendMany, count: 200 },
    Question { name: "append_64_buffered", durability: Buffered, call: Call::AppendMany, count: 200 },
    Question { name: "last_100_events_in_memory", durability: InMemory, call: Call::LastEvents, count: 200 },
    Question { name: "snapshot_in_memory", durability: InMemory, call: Call::Snapshot, count: 2000 },
    Question {
        name: "transaction_of_4_in_memory",
        durability: InMemory,
        call: Call::Transaction,
        count: 1000,
    },
    Question {
        name: "transaction_of_4_buffered",
        durability: Buffered,
        call: Call::Transaction,
        count: 1000,
    },
    Question { name: "execute_of_4_in_memory", durability: InMemory, call: Call::Execute, count: 1000 },
    Question { name: "scan_1000_in_memory", durability: InMemory, call: Call::Scan, count: 50 },
    Question { name: "visit_1000_in_memory", durability: InMemory, call: Call::Visit, count: 50 },
];

impl Question {
    /// Makes `count` calls on a store of its own.
    ///
    /// # Panics
    /// If a store cannot be made in `dir`, or refuses a call.
    pub(crate) fn ask(&self, dir: &Path, count: usize) {
        // Whether a disk has direct I/O and a ring is up to the machine, and the counts are to be those of any.
        // And what happens now and then, by the clock or by the size of the log, is no part of a call.
        let options = Options {
            durability: self.durability,
            shards: Some(1),
            pin: false,
            io_uring: false,
            sync_interval: LONG,
            checkpoint_interval: LONG,
            checkpoint_log_size: u64::MAX,
            ..Options::default()
        };
        let store = Store::with(dir, options).expect("a new store opens");
        let run = store.run().expect("a new store takes a run");
        let work = Work { run, keys: keys(KEY_COUNT), value: value(VALUE_SIZE) };
        work.prepare();
        for index in 0..count {
            work.call(self.call, index);
            settle();
        }
        store.close().expect("a store closes");
    }
}

/// Lets the shard come to rest, so that each call finds it asleep and no turn of it is left to chance.
#[inline(never)]
fn settle() {
    std::thread::sleep(REST);
}

/// What the calls are made with.
struct Work {
    run: RunHandle,
    keys: Vec<String>,
    value: String,
}

impl Work {
    fn prepare(&self) {
        let pairs = self.keys.iter().map(|key| (key, self.value.as_str()));
        self.run.put_many(pairs).expect("puts are taken");
        let events = (0..EVENT_COUNT).map(|_| ("step", self.value.as_str()));
        self.run.append_many(events).expect("events are taken");
    }

    fn key(&self, index: usize) -> &str {
        &self.keys[index % KEY_COUNT]
    }

    /// The keys of call `index` of those that carry many.
    fn keys(&self, index: usize) -> &[String] {
        let start = index * CALL_SIZE % (KEY_COUNT - CALL_SIZE);
        &self.keys[start..start + CALL_SIZE]
    }

    fn call(&self, call: Call, index: usize) {
        let (run, value) = (&self.run, self.value.as_str());
        match call {
            Call::Get => drop(black_box(run.get(self.key(index)).expect("a get is answered"))),
            Call::GetMany => {
                let keys: Vec<&str> = self.keys(index).iter().map(String::as_str).collect();
                drop(black_box(run.get_many(&keys).expect("gets are answered")));
            }
            Call::Put => drop(run.put(self.key(index), value).expect("a put is taken")),
            Call::PutMany => {
                let pairs = self.keys(index).iter().map(|key| (key, value));
                run.put_many(pairs).expect("puts are taken");
            }
            Call::Append => drop(run.append("step", value).expect("an event is taken")),
            Call::AppendMany => {
                let events = (0..CALL_SIZE).map(|_| ("step", value));
                run.append_many(events).expect("events are taken");
            }
            Call::LastEvents => {
                let visited = run.visit_last_events(LAST_COUNT, &mut |event| {
                    black_box(event.payload.len());
                });
                visited.expect("events are answered");
            }
            Call::Snapshot => drop(run.snapshot().expect("a snapshot opens")),
            Call::Transaction => self.transaction(index),
            Call::Execute => self.execute(index),
            Call::Scan => {
                let scan = KvScan { limit: KEY_COUNT, ..KvScan::default() };
                drop(black_box(run.list_values(&scan).expect("a scan is answered")));
            }
            Call::Visit => {
                let scan = KvScan { limit: KEY_COUNT, ..KvScan::default() };
                let visited = run.visit_values(&scan, &mut |found| {
                    black_box(found.value.len());
                });
                visited.expect("a scan is answered");
            }
        }
    }

    /// Two reads and two writes.
    fn transaction(&self, index: usize) {
        let (from, to) = (self.key(index), self.key(index + 1));
        let moved = self.run.transaction(|tx| {
            let (_, second) = (tx.get(from)?, tx.get(to)?);
            tx.put(from, self.value.as_str())?;
            tx.put(to, second.map(|second| second.value))?;
            Ok::<_, Error>(())
        });
        moved.expect("a transaction commits");
    }

    /// The same in a closure that travels.
    fn execute(&self, index: usize) {
        let (from, to) = (self.key(index).to_owned(), self.key(index + 1).to_owned());
        let value = self.value.clone();
        let moved = self.run.execute(move |run| {
            let (_, second) = (run.get(&from)?, run.get(&to)?);
            run.put(&from, value)?;
            run.put(&to, second.map(|second| second.value))?;
            Ok::<_, Error>(())
        });
        moved.expect("a closure runs");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_means_one_question() {
        let names: BTreeSet<&str> = QUESTIONS.iter().map(|question| question.name).collect();
        assert_eq!(names.len(), QUESTIONS.len());
    }
}
