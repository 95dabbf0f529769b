//! A run as its shard keeps it: the state, where its newest record stands, who may see it.

use std::sync::Arc;

use strata_primitives::{Durability, RunId, RunState, Stamp, Timestamp};
use strata_wal::{Log, Lsn};

use crate::base::{Base, Origin};
use crate::image_directory::RunEntry;
use crate::record::{KIND_RUN_CREATE, KIND_RUN_DELETE, RecordPlace};
use crate::retained::{Retained, RunImage};
use crate::trail::Trail;

/// What must have happened to the log before something may be told to anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// The log must be with the kernel up to here.
    pub(crate) written: Lsn,
    /// The log must be durable up to here.
    pub(crate) durable: Lsn,
}

impl Need {
    /// Of two needs, the one that covers both.
    pub(crate) fn max(self, other: Need) -> Need {
        Need { written: self.written.max(other.written), durable: self.durable.max(other.durable) }
    }

    /// Whether a log that has come this far meets the need.
    pub(crate) fn is_met(&self, progress: &Progress) -> bool {
        self.written <= progress.written && self.durable <= progress.durable
    }
}

/// How far the log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// With the kernel up to here.
    pub(crate) written: Lsn,
    /// On stable storage up to here.
    pub(crate) durable: Lsn,
}

impl Progress {
    /// How far a log has come.
    pub(crate) fn of(log: &Log) -> Progress {
        Progress { written: log.written_through(), durable: log.durable_through() }
    }

    /// The progress of a shard that waits for nothing: it has no log, or the log has failed and
    /// whatever had not arrived was taken back.
    pub(crate) const EVERYTHING: Progress = Progress { written: Lsn(u64::MAX), durable: Lsn(u64::MAX) };
}

/// What runs take, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// About how much memory.
    pub(crate) memory: usize,
    /// Large values that are not in memory.
    pub(crate) elsewhere: usize,
}

impl Counted {
    /// Counts a run anew.
    pub(crate) fn count(&mut self, run: &mut Run) {
        self.leave(run);
        run.counted = Counted { memory: run.state.memory(), elsewhere: run.state.elsewhere() };
        self.memory += run.counted.memory;
        self.elsewhere += run.counted.elsewhere;
    }

    /// Counts a run no more.
    pub(crate) fn leave(&mut self, run: &Run) {
        self.memory -= run.counted.memory;
        self.elsewhere -= run.counted.elsewhere;
    }
}

/// One run of a shard.
#[derive(Debug)]
pub(crate) struct Run {
    /// What the run remembers, with every commit applied, told or not.
    pub(crate) state: RunState,
    /// The run's newest record.
    pub(crate) place: RecordPlace,
    /// The commit that record holds: the newest of the run, unless its present life is not logged.
    pub(crate) logged: Stamp,
    /// What else it knows of its records.
    pub(crate) trail: Trail,
    /// Where its newest image lies, if it has one.
    pub(crate) image: Option<RunImage>,
    /// What is kept of its history.
    pub(crate) retained: Retained,
    /// What it began as, while it is a fork that needs it.
    pub(crate) origin: Option<Origin>,
    /// The same in memory, where others find it.
    pub(crate) base: Option<Arc<Base>>,
    /// What the run chose at its creation; `None` follows the store.
    pub(crate) durability: Option<Durability>,
    /// What a reader of `state` waits for: every commit of the run has reached its own promise.
    pub(crate) need: Need,
    /// The deadline under which the run stands in the table's expiry order.
    pub(crate) deadline: Option<Timestamp>,
    /// The turn of the shard in which it was last read or written.
    pub(crate) used: u64,
    /// What it is counted with.
    pub(crate) counted: Counted,
    /// Where it stands among the resident runs of the table.
    pub(crate) place_among_resident: usize,
}

impl Run {
    pub(crate) fn new(state: RunState) -> Run {
        Run {
            state,
            place: RecordPlace::default(),
            logged: Stamp::default(),
            trail: Trail::default(),
            image: None,
            retained: Retained::default(),
            origin: None,
            base: None,
            durability: None,
            need: Need::default(),
            deadline: None,
            used: 0,
            counted: Counted::default(),
            place_among_resident: 0,
        }
    }

    /// A fork that has no commit of its own yet, or a run that is imported and has none since.
    ///
    /// # Panics
    /// If what it begins as is not made.
    pub(crate) fn forked(id: RunId, base: Arc<Base>) -> Run {
        let began = base.state().expect("what a fork begins as is made before it");
        let state =
            if base.origin.archive().is_some() && began.id() == id { began.adopt() } else { began.fork(id) };
        let origin = base.origin;
        Run { place: origin.record, origin: Some(origin), base: Some(base), ..Run::new(state) }
    }

    /// What is known of it without its content, which this image has.
    pub(crate) fn as_in(&self, image: RunImage) -> RunEntry {
        RunEntry {
            run: self.state.id(),
            image,
            summary: self.state.summary(),
            trail: self.trail.clone(),
            retained: self.retained.clone(),
            origin: self.origin,
            erasures: Arc::clone(self.state.erasures()),
        }
    }

    /// The same of one that is made of its records: as if the newest image there is were of the newest one.
    pub(crate) fn as_made(&self) -> RunEntry {
        let (stamp, record, history_size) = (self.logged, self.place, self.trail.size);
        self.as_in(RunImage { stamp, record, history_size, ..self.image.unwrap_or_default() })
    }

    /// Takes note of the record of the commit that was just applied.
    pub(crate) fn pass(&mut self, place: RecordPlace, kind: u8, stamp: Stamp, size: usize) {
        self.trail.pass(self.logged.version, stamp.version, place, size);
        // What it was goes with it. A life in memory left nothing, and what is in front of that had ended.
        let is_behind_gap = kind == KIND_RUN_CREATE && stamp.version > self.logged.version.next();
        if kind == KIND_RUN_DELETE || is_behind_gap {
            self.retained.floor = stamp.version;
        }
        (self.place, self.logged) = (place, stamp);
    }
}
