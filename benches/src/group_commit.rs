//! The limit of many durable writers on one log: whoever comes first writes for all who wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::raw_log::RawLog;

/// A bare group commit: callers stage their records in one buffer, one of them writes it while the
/// next buffer fills (DeWitt et al., "Implementation Techniques for Main Memory Database Systems",
/// SIGMOD 1984). It keeps no state and knows no record.
pub struct GroupCommit {
    waiting: Mutex<Waiting>,
    written: Condvar,
    log: Mutex<RawLog>, // held by the leader of the moment
}

#[derive(Debug, Default)]
struct Waiting {
    staged: Vec<u8>,
    spare: Vec<u8>,
    staged_batch: u64,  // the batch that `staged` will be
    durable_batch: u64, // every batch up to this one is durable
    has_leader: bool,
}

impl GroupCommit {
    /// A group commit on `log`.
    pub fn new(log: RawLog) -> GroupCommit {
        let waiting = Waiting { staged_batch: 1, ..Waiting::default() };
        GroupCommit { waiting: Mutex::new(waiting), written: Condvar::new(), log: Mutex::new(log) }
    }

    /// Returns once `record` is durable.
    ///
    /// # Panics
    /// If the log cannot be written.
    pub fn commit(&self, record: &[u8]) {
        let mut waiting = lock(&self.waiting);
        waiting.staged.extend_from_slice(record);
        let batch = waiting.staged_batch;
        while waiting.durable_batch < batch {
            if waiting.has_leader {
                waiting = self.written.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            } else {
                waiting = self.lead(waiting);
            }
        }
    }

    /// Writes what is staged, for everybody who staged it.
    fn lead<'a>(&'a self, mut waiting: MutexGuard<'a, Waiting>) -> MutexGuard<'a, Waiting> {
        waiting.has_leader = true;
        let batch = waiting.staged_batch;
        waiting.staged_batch += 1;
        let spare = std::mem::take(&mut waiting.spare);
        let mut staged = std::mem::replace(&mut waiting.staged, spare);
        drop(waiting);
        lock(&self.log).append(&staged).expect("the log of a bench can be written");
        staged.clear();
        let mut waiting = lock(&self.waiting);
        waiting.spare = staged;
        waiting.durable_batch = batch;
        waiting.has_leader = false;
        self.written.notify_all();
        waiting
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_of_every_thread_returns() {
        let dir = tempfile::tempdir().unwrap();
        let group = GroupCommit::new(RawLog::create(dir.path(), "raw", 1 << 20).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| group.commit(&[7; 200])));
            }
        });
        let waiting = lock(&group.waiting);
        assert!(waiting.staged.is_empty() && !waiting.has_leader);
        assert_eq!(waiting.durable_batch + 1, waiting.staged_batch);
        assert!((50..=200).contains(&waiting.durable_batch));
    }
}
