//! RocksDB: a column family of keys and one of events, in a database with optimistic transactions.

use std::path::Path;

use rocksdb::{
    ColumnFamily, DBRawIteratorWithThreadMode, IteratorMode, OptimisticTransactionDB,
    OptimisticTransactionOptions, Options, WriteBatchWithTransaction, WriteOptions,
};

use crate::engine::{Engine, Promise, Session, Store, seen};

type Entries<'a> = DBRawIteratorWithThreadMode<'a, OptimisticTransactionDB>;

/// The engine.
pub(crate) struct RocksDb;

impl Engine for RocksDb {
    fn name(&self) -> &'static str {
        "RocksDB"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        Some(match promise {
            Promise::Nothing => "`disable_wal(true)`",
            Promise::Kernel => "the default",
            Promise::Disk => "`set_sync(true)`",
        })
    }

    fn open(&self, dir: &Path, promise: Promise, _clients: usize) -> Box<dyn Store> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let database = OptimisticTransactionDB::open_cf(&options, dir, ["keys", "events"]);
        Box::new(Open { database: database.expect("RocksDB opens"), promise })
    }
}

struct Open {
    database: OptimisticTransactionDB,
    promise: Promise,
}

impl Open {
    fn family(&self, name: &str) -> &ColumnFamily {
        self.database.cf_handle(name).expect("it was opened with it")
    }
}

impl Store for Open {
    fn session(&self, _number: usize) -> Box<dyn Session + '_> {
        let mut settings = WriteOptions::default();
        settings.disable_wal(self.promise == Promise::Nothing);
        settings.set_sync(self.promise == Promise::Disk);
        let (keys, events) = (self.family("keys"), self.family("events"));
        Box::new(Client { database: &self.database, keys, events, settings })
    }

    fn compact(&mut self) {
        self.database.compact_range_cf(self.family("keys"), None::<&[u8]>, None::<&[u8]>);
    }
}

struct Client<'a> {
    database: &'a OptimisticTransactionDB,
    keys: &'a ColumnFamily,
    events: &'a ColumnFamily,
    settings: WriteOptions,
}

impl Client<'_> {
    fn write(&self, batch: WriteBatchWithTransaction<true>) {
        self.database.write_opt(batch, &self.settings).expect("RocksDB writes");
    }
}

impl Session for Client<'_> {
    fn put(&mut self, keys: &[&str], value: &str) {
        match keys {
            [key] => {
                let put = self.database.put_cf_opt(self.keys, key, value, &self.settings);
                put.expect("RocksDB puts");
            }
            keys => {
                let mut batch = WriteBatchWithTransaction::default();
                keys.iter().for_each(|key| batch.put_cf(self.keys, key, value));
                self.write(batch);
            }
        }
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        match keys {
            [key] => {
                let found = self.database.get_pinned_cf(self.keys, key).expect("RocksDB gets");
                found.map_or(0, |found| seen(&found))
            }
            keys => {
                let picture = self.database.snapshot();
                let found =
                    keys.iter().map(|key| picture.get_pinned_cf(self.keys, key).expect("RocksDB gets"));
                found.map(|found| found.map_or(0, |found| seen(&found))).sum()
            }
        }
    }

    fn append(&mut self, count: usize, payload: &str) {
        let number = |key: &[u8]| key.try_into().map_or(0, u64::from_be_bytes);
        let last = self.database.iterator_cf(self.events, IteratorMode::End).next();
        let next = last.map_or(0, |entry| number(&entry.expect("RocksDB reads").0) + 1);
        let mut batch = WriteBatchWithTransaction::default();
        for sequence in next..next + count as u64 {
            batch.put_cf(self.events, sequence.to_be_bytes(), payload);
        }
        self.write(batch);
    }

    fn last(&mut self, count: usize) -> usize {
        let mut newest = self.database.raw_iterator_cf(self.events);
        newest.seek_to_last();
        see_each(newest, count, Entries::prev)
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        let optimistic = OptimisticTransactionOptions::default();
        let transaction = self.database.transaction_opt(&self.settings, &optimistic);
        for key in [from, to] {
            let found = transaction.get_for_update_cf(self.keys, key, true).expect("RocksDB gets");
            std::hint::black_box(found);
        }
        for key in [from, to] {
            transaction.put_cf(self.keys, key, value).expect("RocksDB puts");
        }
        transaction.commit().expect("RocksDB commits");
    }

    fn scan(&mut self, count: usize) -> usize {
        let mut entries = self.database.raw_iterator_cf(self.keys);
        entries.seek_to_first();
        see_each(entries, count, Entries::next)
    }
}

/// Looks at so many values from where the iterator stands.
fn see_each(mut entries: Entries<'_>, count: usize, step: fn(&mut Entries<'_>)) -> usize {
    let mut sum = 0;
    for _ in 0..count {
        let Some(value) = entries.value() else { break };
        sum += seen(value);
        step(&mut entries);
    }
    sum
}
