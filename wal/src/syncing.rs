//! Which bytes of a buffered log still wait for a sync, and the sync that is under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lsn::Lsn;
use crate::options::LogOptions;
use crate::storage::File;

/// A buffered log's debt to the device.
#[derive(Debug, Default)]
pub(crate) struct Syncing {
    /// Files written since the last sync of them began: more than one after a segment is full, because a sync
    /// covers one file only and a record is durable when everything before it is.
    unsynced_files: Vec<Arc<dyn File>>,
    unsynced_bytes: u64,
    /// When the first of these bytes was written.
    unsynced_since: Option<Instant>,
    /// Somebody waits for everything up to here.
    requested_through: Lsn,
    round: Option<Round>,
}

/// A sync of several files at once.
#[derive(Debug)]
struct Round {
    /// What is durable when all of them are.
    through: Lsn,
    remaining: usize,
    begun_at: Instant,
}

impl Syncing {
    /// Notes a write that the kernel has taken by now.
    pub(crate) fn wrote(&mut self, file: &Arc<dyn File>, bytes: u64, now: Instant) {
        if !self.unsynced_files.last().is_some_and(|last| Arc::ptr_eq(last, file)) {
            self.unsynced_files.push(Arc::clone(file));
        }
        self.unsynced_bytes += bytes;
        self.unsynced_since.get_or_insert(now);
    }

    /// Notes that everything up to `through` is waited for.
    pub(crate) fn request(&mut self, through: Lsn) {
        self.requested_through = through;
    }

    /// Whether a sync must start now: asked for, or by bytes, or by time; one at a time. `now` is asked where it matters.
    pub(crate) fn is_due(
        &self,
        durable_through: Lsn,
        options: &LogOptions,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let (None, Some(since)) = (&self.round, self.unsynced_since) else { return false };
        self.requested_through > durable_through
            || self.unsynced_bytes >= options.unsynced_bytes_max
            || now().saturating_duration_since(since) >= options.sync_interval
    }

    /// Time until [`is_due`](Self::is_due) by interval; `None` while nothing waits or a sync is under way.
    pub(crate) fn due_in(&self, options: &LogOptions, now: Instant) -> Option<Duration> {
        let (None, Some(since)) = (&self.round, self.unsynced_since) else { return None };
        Some(options.sync_interval.saturating_sub(now.saturating_duration_since(since)))
    }

    /// Begins a round that makes everything up to `through` durable; returns the files to sync.
    pub(crate) fn start(&mut self, through: Lsn) -> Vec<Arc<dyn File>> {
        let files = std::mem::take(&mut self.unsynced_files);
        assert!(self.round.is_none() && !files.is_empty(), "one sync at a time, of something");
        self.round = Some(Round { through, remaining: files.len(), begun_at: Instant::now() });
        self.unsynced_bytes = 0;
        self.unsynced_since = None;
        files
    }

    /// One file of the round is done; after the last, what is durable now, and when the round began.
    pub(crate) fn complete_one(&mut self) -> Option<(Lsn, Instant)> {
        let round = self.round.as_mut().expect("a sync is under way");
        round.remaining -= 1;
        if round.remaining > 0 {
            return None;
        }
        self.round.take().map(|round| (round.through, round.begun_at))
    }
}
