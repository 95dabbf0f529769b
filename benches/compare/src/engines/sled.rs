//! sled: a tree of keys and a tree of events.

use std::path::Path;

use sled::transaction::ConflictableTransactionError;
use sled::{Batch, Config, Tree};

use crate::engine::{Ability, Engine, Promise, Session, Store, seen};

/// The engine.
pub(crate) struct Sled;

impl Engine for Sled {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        // `flush` ends with sync_file_range(2), which writes out no metadata and no cache of the disk: less than the others
        // promise on disk, and more than the kernel.
        (promise == Promise::Nothing).then_some("`flush_every_ms(None)`")
    }

    fn can(&self, ability: Ability) -> bool {
        // With a store that has made transactions open, everybody in the process is slowed to a third and less, which is
        // seen with two engines alone; what sled would reach (30 to 60 thousand a second) is not worth that.
        ability != Ability::Transactions
    }

    fn open(&self, dir: &Path, _promise: Promise, _clients: usize) -> Box<dyn Store> {
        let database = Config::new().path(dir).flush_every_ms(None).open().expect("sled opens");
        let keys = database.open_tree("keys").expect("sled has a tree");
        let events = database.open_tree("events").expect("sled has a tree");
        Box::new(Open { keys, events })
    }
}

struct Open {
    keys: Tree,
    events: Tree,
}

impl Store for Open {
    fn session(&self, _number: usize) -> Box<dyn Session + '_> {
        Box::new(Client { open: self })
    }
}

struct Client<'a> {
    open: &'a Open,
}

impl Session for Client<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        let tree = &self.open.keys;
        match keys {
            [key] => drop(tree.insert(key, value.as_bytes()).expect("sled puts")),
            keys => {
                let mut batch = Batch::default();
                keys.iter().for_each(|key| batch.insert(*key, value.as_bytes()));
                tree.apply_batch(batch).expect("sled puts");
            }
        }
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        let found = keys.iter().map(|key| self.open.keys.get(key).expect("sled gets"));
        found.map(|found| found.map_or(0, |found| seen(&found))).sum()
    }

    fn append(&mut self, count: usize, payload: &str) {
        let tree = &self.open.events;
        let last = tree.last().expect("sled reads");
        let number = |key: &[u8]| key.try_into().map_or(0, u64::from_be_bytes);
        let next = last.map_or(0, |(sequence, _)| number(&sequence) + 1);
        let mut batch = Batch::default();
        for sequence in next..next + count as u64 {
            batch.insert(&sequence.to_be_bytes(), payload.as_bytes());
        }
        tree.apply_batch(batch).expect("sled puts");
    }

    fn last(&mut self, count: usize) -> usize {
        self.open.events.iter().rev().take(count).map(|entry| seen(&entry.expect("sled scans").1)).sum()
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        let moved = self.open.keys.transaction(|tree| {
            std::hint::black_box((tree.get(from)?, tree.get(to)?));
            tree.insert(from, value)?;
            tree.insert(to, value)?;
            Ok::<_, ConflictableTransactionError<()>>(())
        });
        moved.expect("sled commits");
    }

    fn scan(&mut self, count: usize) -> usize {
        self.open.keys.iter().take(count).map(|entry| seen(&entry.expect("sled scans").1)).sum()
    }
}
