//! Strata: a run for each client.

use std::path::Path;

use strata::{
    Compaction, Database, Durability, Error, KvScan, Options, Reads, Retention, RunHandle, RunSpec, Writes,
};

use crate::engine::{Engine, Promise, Session, Store, seen};

/// The engine of this project.
pub(crate) struct Strata;

impl Engine for Strata {
    fn name(&self) -> &'static str {
        "strata"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        Some(match promise {
            Promise::Nothing => "`InMemory`",
            Promise::Kernel => "`Buffered`, in the kernel at each call, on disk within `sync_interval`",
            Promise::Disk => "`Strict`",
        })
    }

    fn open(&self, dir: &Path, promise: Promise, clients: usize) -> Box<dyn Store> {
        // A shard for each of two clients; many clients of one disk share its shard, and with it one sync.
        let shards = if clients == 2 { 2 } else { 1 };
        let durability = match promise {
            Promise::Nothing => Durability::InMemory,
            Promise::Kernel => Durability::Buffered,
            Promise::Disk => Durability::Strict,
        };
        let options = Options { durability, shards: Some(shards), ..Options::default() };
        let database = match durability {
            Durability::InMemory => Database::in_memory_with(options),
            _ => Database::open(dir, options),
        };
        let database = database.expect("strata opens");
        let runs = (0..clients).map(|number| run(&database, number, shards)).collect();
        Box::new(Open { runs, database: Some(database) })
    }
}

/// The run of client `number`: named, so that it is found again, on the shard that is this client's.
fn run(database: &Database, number: usize, shards: usize) -> RunHandle {
    for attempt in 0.. {
        let spec = RunSpec::named(format!("client-{number}-{attempt}"));
        let run = database.begin_run(spec).expect("strata begins a run");
        if database.shard_of(run.id()) == number % shards {
            return run;
        }
    }
    unreachable!("some name is placed on every shard")
}

struct Open {
    runs: Vec<RunHandle>,
    database: Option<Database>,
}

impl Store for Open {
    fn session(&self, number: usize) -> Box<dyn Session + '_> {
        Box::new(Client { run: &self.runs[number] })
    }

    fn compact(&mut self) {
        for run in &self.runs {
            run.set_retention(Retention::KeepLast(1)).expect("strata keeps less");
        }
        let database = self.database.as_ref().expect("a store is open until it is dropped");
        database.compact(Compaction::Full).expect("strata compacts");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let database = self.database.take().expect("a store is closed once");
        database.close().expect("strata closes");
    }
}

struct Client<'a> {
    run: &'a RunHandle,
}

impl Session for Client<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        match keys {
            [key] => drop(self.run.put(key, value).expect("strata puts")),
            keys => drop(self.run.put_many(keys.iter().map(|key| (*key, value))).expect("strata puts")),
        }
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        match keys {
            [key] => found(self.run, key),
            // One picture for all of them, as the read transactions of others are.
            keys => {
                let snapshot = self.run.snapshot().expect("strata takes snapshots");
                keys.iter().map(|key| found(&snapshot, key)).sum()
            }
        }
    }

    fn append(&mut self, count: usize, payload: &str) {
        match count {
            1 => drop(self.run.append("step", payload).expect("strata appends")),
            count => {
                let events = (0..count).map(|_| ("step", payload));
                self.run.append_many(events).expect("strata appends");
            }
        }
    }

    fn last(&mut self, count: usize) -> usize {
        let mut sum = 0;
        let visited = self.run.visit_last_events(count, &mut |event| {
            sum += event.payload.as_str().map_or(0, |text| seen(text.as_bytes()));
        });
        assert_eq!(visited.expect("strata reads events").value, count as u64);
        sum
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        let moved = self.run.transaction(|tx| {
            std::hint::black_box((tx.get(from)?, tx.get(to)?));
            tx.put(from, value)?;
            tx.put(to, value)?;
            Ok::<_, Error>(())
        });
        moved.expect("strata commits");
    }

    fn execute(&mut self, from: &str, to: &str, value: &str) {
        let [from, to, value] = [from, to, value].map(str::to_owned);
        let moved = self.run.execute(move |run| {
            std::hint::black_box((run.get(&from)?, run.get(&to)?));
            run.put(&from, value.as_str())?;
            run.put(&to, value)?;
            Ok::<_, Error>(())
        });
        moved.expect("strata commits");
    }

    fn scan(&mut self, count: usize) -> usize {
        let scan = KvScan { limit: count, ..KvScan::default() };
        let mut sum = 0;
        let visited = self.run.visit_values(&scan, &mut |found| {
            sum += found.value.as_str().map_or(0, |text| seen(text.as_bytes()));
        });
        assert_eq!(visited.expect("strata scans").value, count as u64);
        sum
    }
}

/// Looks at what a key holds, where it lies.
fn found(reads: &impl Reads, key: &str) -> usize {
    let found = reads.get_encoded(key).expect("strata gets");
    found.map_or(0, |found| found.value.as_str().map_or(0, |text| seen(text.as_bytes())))
}
