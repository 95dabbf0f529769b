//! SurrealKV: an LSM tree whose commits are awaited on a runtime of its own; keys and events have a letter before them.

use std::path::Path;

use surrealkv::{Durability, LSMIterator, Mode, Transaction, Tree, TreeBuilder};
use tokio::runtime::{Builder, Runtime};

use crate::engine::{Engine, Promise, Session, Store, seen};

/// Threads of the runtime, beside the one that waits.
const WORKER_COUNT: usize = 2;

/// The engine.
pub(crate) struct SurrealKv;

impl Engine for SurrealKv {
    fn name(&self) -> &'static str {
        "SurrealKV"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        match promise {
            Promise::Nothing => None,
            Promise::Kernel => Some("`Durability::Eventual`"),
            Promise::Disk => Some("`Durability::Immediate`, `with_wal_preallocation(true)`"),
        }
    }

    fn open(&self, dir: &Path, promise: Promise, _clients: usize) -> Box<dyn Store> {
        let runtime = Builder::new_multi_thread().worker_threads(WORKER_COUNT).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let options = surrealkv::Options::new().with_path(dir.to_path_buf());
        let options = options.with_wal_preallocation(promise == Promise::Disk);
        let tree = runtime.block_on(async { TreeBuilder::with_options(options).build() });
        let durability = match promise {
            Promise::Disk => Durability::Immediate,
            _ => Durability::Eventual,
        };
        Box::new(Open { tree: tree.expect("SurrealKV opens"), runtime, durability })
    }
}

struct Open {
    tree: Tree,
    runtime: Runtime,
    durability: Durability,
}

impl Store for Open {
    fn session(&self, _number: usize) -> Box<dyn Session + '_> {
        Box::new(Client { open: self })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.runtime.block_on(self.tree.close()).expect("SurrealKV closes");
    }
}

struct Client<'a> {
    open: &'a Open,
}

impl Client<'_> {
    fn begin(&self, mode: Mode) -> Transaction {
        let transaction = self.open.tree.begin_with_mode(mode).expect("SurrealKV begins");
        transaction.with_durability(self.open.durability)
    }

    fn commit(&self, mut transaction: Transaction) {
        self.open.runtime.block_on(transaction.commit()).expect("SurrealKV commits");
    }
}

impl Session for Client<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        let mut transaction = self.begin(Mode::WriteOnly);
        for key in keys {
            transaction.set(key.as_bytes(), value.as_bytes()).expect("SurrealKV puts");
        }
        self.commit(transaction);
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        let transaction = self.begin(Mode::ReadOnly);
        let found = keys.iter().map(|key| transaction.get(key.as_bytes()).expect("SurrealKV gets"));
        found.map(|found| found.map_or(0, |found| seen(&found))).sum()
    }

    fn append(&mut self, count: usize, payload: &str) {
        let mut transaction = self.begin(Mode::ReadWrite);
        let next = {
            let mut events = transaction.range(event(0), event(u64::MAX)).expect("SurrealKV scans");
            match events.seek_last().expect("SurrealKV scans") {
                true => sequence(events.key().user_key()) + 1,
                false => 0,
            }
        };
        for sequence in next..next + count as u64 {
            transaction.set(event(sequence), payload.as_bytes()).expect("SurrealKV puts");
        }
        self.commit(transaction);
    }

    fn last(&mut self, count: usize) -> usize {
        let transaction = self.begin(Mode::ReadOnly);
        let mut events = transaction.range(event(0), event(u64::MAX)).expect("SurrealKV scans");
        events.seek_last().expect("SurrealKV scans");
        let mut bytes = 0;
        for _ in 0..count {
            if !events.valid() {
                break;
            }
            bytes += seen(events.value().expect("SurrealKV scans").as_ref());
            events.prev().expect("SurrealKV scans");
        }
        bytes
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        let mut transaction = self.begin(Mode::ReadWrite);
        for key in [from, to] {
            std::hint::black_box(transaction.get_for_update(key.as_bytes()).expect("SurrealKV gets"));
        }
        for key in [from, to] {
            transaction.set(key.as_bytes(), value.as_bytes()).expect("SurrealKV puts");
        }
        self.commit(transaction);
    }

    fn scan(&mut self, count: usize) -> usize {
        let transaction = self.begin(Mode::ReadOnly);
        // Keys begin with "key", events with a letter behind it.
        let mut keys = transaction.range(b"key".as_slice(), b"kez".as_slice()).expect("SurrealKV scans");
        keys.seek_first().expect("SurrealKV scans");
        let mut bytes = 0;
        for _ in 0..count {
            if !keys.valid() {
                break;
            }
            bytes += seen(keys.value().expect("SurrealKV scans").as_ref());
            keys.next().expect("SurrealKV scans");
        }
        bytes
    }
}

/// The key of an event: a letter and its number, in the order of numbers.
fn event(sequence: u64) -> Vec<u8> {
    let mut key = vec![b'z'];
    key.extend(sequence.to_be_bytes());
    key
}

fn sequence(key: &[u8]) -> u64 {
    key[1..].try_into().map_or(0, u64::from_be_bytes)
}
