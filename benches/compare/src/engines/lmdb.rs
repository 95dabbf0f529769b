//! LMDB through heed: a database of keys and one of events in one environment; a transaction for each call.
//!
//! Opening a map of a file is unsafe, because another process could change the file below it, and so are flags with which a
//! power cut may damage it. Here each environment lies in a folder that was made for it and that nobody else knows, it is
//! opened once, and it is thrown away after the measurement.
#![expect(unsafe_code, reason = "heed opens a map of a file")]

use std::path::Path;

use heed::types::{Bytes, Str, U64};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, byteorder::BigEndian};

use crate::engine::{Engine, Promise, Session, Store, seen};

/// The most an environment may grow to; only what is used is taken.
const MAP_SIZE: usize = 16 << 30;

/// The engine.
pub(crate) struct Lmdb;

impl Engine for Lmdb {
    fn name(&self) -> &'static str {
        "LMDB"
    }

    fn settings(&self, promise: Promise) -> Option<&'static str> {
        Some(match promise {
            // What is in the map is the kernel's: less than that it does not have.
            Promise::Nothing | Promise::Kernel => "`NO_SYNC`, `WRITE_MAP` (a power cut may damage it)",
            Promise::Disk => "the default flags",
        })
    }

    fn open(&self, dir: &Path, promise: Promise, _clients: usize) -> Box<dyn Store> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_SIZE).max_dbs(2).max_readers(128);
        if promise != Promise::Disk {
            // SAFETY: the environment is never read after a power cut.
            unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP) };
        }
        // SAFETY: nobody else knows the folder, and it is opened once in this process.
        let env = unsafe { options.open(dir) }.expect("LMDB opens");
        let transaction = env.write_txn().expect("LMDB begins");
        let made = env.create_databases_and_commit(transaction, |maker, transaction| {
            let keys = maker.create_database(transaction, Some("keys"))?;
            let events = maker.create_database(transaction, Some("events"))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((keys, events)))
        });
        let (keys, events) = made.expect("LMDB makes databases").unwrap_commit();
        Box::new(Open { env, keys, events })
    }
}

struct Open {
    env: Env,
    keys: Database<'static, Str, Bytes>,
    events: Database<'static, U64<BigEndian>, Bytes>,
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
        let mut transaction = self.open.env.write_txn().expect("LMDB begins");
        for key in keys {
            self.open.keys.put(&mut transaction, key, value.as_bytes()).expect("LMDB puts");
        }
        transaction.commit().expect("LMDB commits");
    }

    fn get(&mut self, keys: &[&str]) -> usize {
        let transaction = self.open.env.read_txn().expect("LMDB begins");
        let found = keys.iter().map(|key| self.open.keys.get(&transaction, key).expect("LMDB gets"));
        found.map(|found| found.map_or(0, seen)).sum()
    }

    fn append(&mut self, count: usize, payload: &str) {
        let mut transaction = self.open.env.write_txn().expect("LMDB begins");
        let last = self.open.events.last(&transaction).expect("LMDB reads");
        let next = last.map_or(0, |(sequence, _)| sequence + 1);
        for sequence in next..next + count as u64 {
            self.open.events.put(&mut transaction, &sequence, payload.as_bytes()).expect("LMDB puts");
        }
        transaction.commit().expect("LMDB commits");
    }

    fn last(&mut self, count: usize) -> usize {
        let transaction = self.open.env.read_txn().expect("LMDB begins");
        let newest = self.open.events.rev_iter(&transaction).expect("LMDB scans").take(count);
        newest.map(|entry| seen(entry.expect("LMDB scans").1)).sum()
    }

    fn transact(&mut self, from: &str, to: &str, value: &str) {
        let keys = &self.open.keys;
        let mut transaction = self.open.env.write_txn().expect("LMDB begins");
        for key in [from, to] {
            std::hint::black_box(keys.get(&transaction, key).expect("LMDB gets").map(seen));
        }
        for key in [from, to] {
            keys.put(&mut transaction, key, value.as_bytes()).expect("LMDB puts");
        }
        transaction.commit().expect("LMDB commits");
    }

    fn scan(&mut self, count: usize) -> usize {
        let transaction = self.open.env.read_txn().expect("LMDB begins");
        let first = self.open.keys.iter(&transaction).expect("LMDB scans").take(count);
        first.map(|entry| seen(entry.expect("LMDB scans").1)).sum()
    }
}
