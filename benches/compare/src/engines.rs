//! Every engine and every limit, in the order of columns.

mod bare_log;
mod bare_maps;
mod fjall;
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod sqlite;
mod strata;
mod surrealkv;

use crate::engine::Engine;

/// Every engine and every limit; strata is the first.
pub const ENGINES: &[&dyn Engine] = &[
    &strata::Strata,
    &surrealkv::SurrealKv,
    &redb::Redb,
    &fjall::Fjall,
    #[cfg(feature = "rocksdb")]
    &rocksdb::RocksDb,
    &lmdb::Lmdb,
    &sqlite::Sqlite,
    &sled::Sled,
    &bare_maps::Plain,
    &bare_maps::Sharded,
    &bare_maps::LockFree,
    &bare_log::BareLog,
];
