//! redb: a table of keys and a table of events; a transaction for each call.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::engine::{Engine, Promise, Session, Store, seen};

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// The engine.
pub(crate) struct Redb;

impl Engine for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        match promise {
            Promise::Nothing => Some("`Durability::None`"),
            Promise::Kernel => None,
            Promise::Disk => Some("`Durability::Immediate`"),
        }
    }

    fn open(&self, dir: &Path, promise: Promise, _clients: usize) -> Box<dyn Store> {
        let database = Database::create(dir.join("redb")).expect("redb opens");
        let durability = match promise {
            Promise::Nothing => Durability::None,
            _ => Durability::Immediate,
        };
        let open = Open { database, durability };
        open.write(|transaction| {
            transaction.open_table(KEYS).expect("redb makes a table");
            transaction.open_table(EVENTS).expect("redb makes a table");
        });
        Box::new(open)
    }
}

struct Open {
    database: Database,
    durability: Durability,
}

impl Open {
    fn write(&self, body: impl FnOnce(&redb::WriteTransaction)) {
        let mut transaction = self.database.begin_write().expect("redb begins");
        transaction.set_durability(self.durability).expect("redb takes a durability");
        body(&transaction);
        transaction.commit().expect("redb commits");
    }
}

impl Store for Open {
    fn session(&self, _number: usize) -> Box<dyn Session + '_> {
        Box::new(Client { open: self })
    }

    fn compact(&mut self) {
        while self.database.compact().expect("redb compacts") {}
    }
}

struct Client<'a> {
    open: &'a Open,
}

impl Session for Client<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        self.open.write(|transaction| {
            let mut table = transaction.open_table(KEYS).expect("redb has a table");
            for key in keys {
                table.insert(*key, value.as_bytes()).expect("redb puts");
            }
        });
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        let transaction = self.open.database.begin_read().expect("redb begins");
        let table = transaction.open_table(KEYS).expect("redb has a table");
        let found = keys.iter().map(|key| table.get(*key).expect("redb gets"));
        found.map(|found| found.map_or(0, |found| seen(found.value()))).sum()
    }

    fn append(&mut self, count: usize, payload: &str) {
        self.open.write(|transaction| {
            let mut table = transaction.open_table(EVENTS).expect("redb has a table");
            let next = table.last().expect("redb reads").map_or(0, |(sequence, _)| sequence.value() + 1);
            for sequence in next..next + count as u64 {
                table.insert(sequence, payload.as_bytes()).expect("redb puts");
            }
        });
    }

    fn last(&mut self, count: usize) -> usize {
        let transaction = self.open.database.begin_read().expect("redb begins");
        let table = transaction.open_table(EVENTS).expect("redb has a table");
        let newest = table.iter().expect("redb scans").rev().take(count);
        newest.map(|entry| seen(entry.expect("redb scans").1.value())).sum()
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        self.open.write(|transaction| {
            let mut table = transaction.open_table(KEYS).expect("redb has a table");
            for key in [from, to] {
                std::hint::black_box(table.get(key).expect("redb gets").map(|found| seen(found.value())));
            }
            for key in [from, to] {
                table.insert(key, value.as_bytes()).expect("redb puts");
            }
        });
    }

    fn scan(&mut self, count: usize) -> usize {
        let transaction = self.open.database.begin_read().expect("redb begins");
        let table = transaction.open_table(KEYS).expect("redb has a table");
        let first = table.iter().expect("redb scans").take(count);
        first.map(|entry| seen(entry.expect("redb scans").1.value())).sum()
    }
}
