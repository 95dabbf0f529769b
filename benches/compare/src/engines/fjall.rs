//! fjall: a keyspace of keys and one of events in a database with transactions of a single writer.

use std::path::Path;

use fjall::{KeyspaceCreateOptions, PersistMode, Readable, SingleWriterTxDatabase, SingleWriterTxKeyspace};

use crate::engine::{Engine, Promise, Session, Store, seen};

/// The engine.
pub(crate) struct Fjall;

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        Some(match promise {
            Promise::Nothing => "`manual_journal_persist(true)`",
            Promise::Kernel => "the default, `PersistMode::Buffer`",
            Promise::Disk => "`PersistMode::SyncData` after each call",
        })
    }

    fn open(&self, dir: &Path, promise: Promise, _clients: usize) -> Box<dyn Store> {
        let builder = SingleWriterTxDatabase::builder(dir);
        let builder = builder.manual_journal_persist(promise != Promise::Kernel);
        let database = builder.open().expect("fjall opens");
        let keyspace =
            |name| database.keyspace(name, KeyspaceCreateOptions::default).expect("fjall has a keyspace");
        let (keys, events) = (keyspace("keys"), keyspace("events"));
        let mode = match promise {
            Promise::Nothing => None,
            Promise::Kernel => Some(PersistMode::Buffer),
            Promise::Disk => Some(PersistMode::SyncData),
        };
        Box::new(Open { keys, events, database, mode })
    }
}

struct Open {
    keys: SingleWriterTxKeyspace,
    events: SingleWriterTxKeyspace,
    database: SingleWriterTxDatabase,
    mode: Option<PersistMode>,
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
        let Open { database, mode, .. } = self.open;
        // Writes that are no transaction go past the lock of those that are one.
        let keyspace = self.open.keys.inner();
        match (keys, mode) {
            ([key], None | Some(PersistMode::Buffer)) => keyspace.insert(*key, value).expect("fjall puts"),
            ([key], Some(mode)) => {
                keyspace.insert(*key, value).expect("fjall puts");
                database.persist(*mode).expect("fjall persists");
            }
            (keys, mode) => {
                let mut batch = database.inner().batch().durability(*mode);
                keys.iter().for_each(|key| batch.insert(keyspace, *key, value));
                batch.commit().expect("fjall puts");
            }
        }
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        match keys {
            [key] => self.open.keys.inner().get(key).expect("fjall gets").map_or(0, |found| seen(&found)),
            keys => {
                let picture = self.open.database.read_tx();
                let found = keys.iter().map(|key| picture.get(&self.open.keys, key).expect("fjall gets"));
                found.map(|found| found.map_or(0, |found| seen(&found))).sum()
            }
        }
    }

    fn append(&mut self, count: usize, payload: &str) {
        let Open { database, events, mode, .. } = self.open;
        let events = events.inner();
        let number = |key: &[u8]| key.try_into().map_or(0, u64::from_be_bytes);
        let last = events.last_key_value();
        let next = last.map_or(0, |entry| number(&entry.key().expect("fjall reads")) + 1);
        let mut batch = database.inner().batch().durability(*mode);
        for sequence in next..next + count as u64 {
            batch.insert(events, sequence.to_be_bytes(), payload);
        }
        batch.commit().expect("fjall puts");
    }

    fn last(&mut self, count: usize) -> usize {
        let newest = self.open.events.inner().iter().rev().take(count);
        newest.map(|entry| seen(&entry.value().expect("fjall scans"))).sum()
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        let Open { database, keys, mode, .. } = self.open;
        let mut transaction = database.write_tx().durability(*mode);
        for key in [from, to] {
            std::hint::black_box(transaction.get(keys, key).expect("fjall gets"));
        }
        [from, to].into_iter().for_each(|key| transaction.insert(keys, key, value));
        transaction.commit().expect("fjall commits");
    }

    fn scan(&mut self, count: usize) -> usize {
        let first = self.open.keys.inner().iter().take(count);
        first.map(|entry| seen(&entry.value().expect("fjall scans"))).sum()
    }
}
