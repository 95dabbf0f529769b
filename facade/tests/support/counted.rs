//! Counters on both sides of the log, to see that something was not written.

use strata::Database;
use strata_wal::sim::SimDisk;

/// What a store and its disk have done.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) appends: u64,
    pub(crate) syncs: u64,
    pub(crate) batches: u64,
    pub(crate) commits: u64,
    pub(crate) points: u64,
    pub(crate) disk_writes: u64,
    pub(crate) disk_syncs: u64,
    pub(crate) reads: u64,
    pub(crate) runs: u64,
}

impl Counted {
    pub(crate) fn of(database: &Database, disk: &SimDisk) -> Counted {
        let stats = database.stats().unwrap();
        Counted {
            appends: stats.appends(),
            syncs: stats.syncs(),
            batches: stats.shards.iter().filter_map(|shard| shard.log.as_ref()).map(|log| log.batches).sum(),
            commits: stats.commits(),
            points: disk.points(),
            disk_writes: disk.writes(),
            disk_syncs: disk.syncs(),
            reads: stats.shards.iter().map(|shard| shard.reads).sum(),
            runs: stats.shards.iter().map(|shard| shard.runs).sum(),
        }
    }

    /// What reads must not move.
    pub(crate) fn quiet(&self) -> [u64; 7] {
        [self.appends, self.syncs, self.batches, self.commits, self.points, self.disk_writes, self.disk_syncs]
    }
}
