//! A picture of a run at one version.

use std::sync::Arc;

use strata_primitives::{
    EventRef, FindKey, KeyKind, KeyRef, Limits, Operation, Outcome, RunId, Stamp, Timestamp, Version,
    Versioned,
};
use strata_shards::{Engine, Pin, Purpose, Sight, TransactionId, TransactionStep};

use crate::Result;
use crate::answers::{not_found, unexpected};
use crate::handle::RunHandle;
use crate::kv::KvScan;
use crate::reads::{Reads, request};
use crate::seeing::{self, Sees};
use crate::view::View;

/// A picture of a run as it was when [`snapshot`](RunHandle::snapshot) was called, or at an older version that
/// [`at`](RunHandle::at) was asked for; later commits do not change it. Deadlines are judged by the time at which it
/// was opened, those of an older version by the time of its commit.
///
/// Dropping it lets the run forget what it kept for it. It is not durable: it ends with the store and with its shard.
///
/// # Errors
/// Any read may answer `HistoryTrimmed` when commits behind the snapshot have replaced more than
/// [`snapshot_size_max`](Limits::snapshot_size_max), and `Closed` when its shard has been restarted. What `at` made does not
/// depend on later commits, and is never trimmed.
#[derive(Debug)]
pub struct Snapshot {
    handle: RunHandle,
    source: Source,
    stamp: Stamp,
    /// Whether a task has it, which must not wait when it drops it.
    is_awaited: bool,
}

/// How a question is answered.
pub(crate) enum Route {
    /// It is, without a message.
    Answered(Outcome),
    /// By a step that is to be sent.
    Step(TransactionStep),
    /// By the run itself, as it is.
    Receipt(Operation),
}

/// Where a snapshot is read.
#[derive(Debug)]
enum Source {
    /// By messages to the shard, which has opened it under this name.
    Shard(TransactionId),
    /// In a picture that the shard has published, on the thread of the reader.
    Pinned(Arc<Pin>, Timestamp),
}

impl Snapshot {
    pub(crate) fn open(handle: &RunHandle, purpose: Purpose) -> Result<Snapshot> {
        match Snapshot::published(handle, purpose)? {
            Some(snapshot) => Ok(snapshot),
            None => Snapshot::existing(Snapshot::open_by_asking(handle, purpose)?),
        }
    }

    /// One of a run that exists.
    pub(crate) fn existing((snapshot, exists): (Snapshot, bool)) -> Result<Snapshot> {
        if exists {
            return Ok(snapshot);
        }
        Err(not_found(snapshot.handle.id()))
    }

    /// One that the shard opens, also where the run does not exist; whether it does. Which version it shows is known where it does.
    pub(crate) fn open_by_asking(handle: &RunHandle, purpose: Purpose) -> Result<(Snapshot, bool)> {
        let (mut snapshot, step) = Snapshot::asked_for(handle, purpose);
        let outcome = handle.caller().step(handle.id(), step)?.expect("what was asked is answered")?;
        let exists = snapshot.note_opened(&outcome);
        Ok((snapshot, exists))
    }

    /// One that the shard has published, if it has.
    #[inline]
    pub(crate) fn published(handle: &RunHandle, purpose: Purpose) -> Result<Option<Snapshot>> {
        if purpose != Purpose::Snapshot {
            return Ok(None);
        }
        let Some((pin, now)) = handle.engine().pin(handle.reader())? else { return Ok(None) };
        let stamp = pin.stamp();
        let source = Source::Pinned(pin, now);
        Ok(Some(Snapshot { handle: handle.clone(), source, stamp, is_awaited: false }))
    }

    /// One that the shard is to open, and what to send for that. It is made before that is sent, so that dropping it closes what was
    /// opened whatever is answered.
    pub(crate) fn asked_for(handle: &RunHandle, purpose: Purpose) -> (Snapshot, TransactionStep) {
        handle.engine().note_asked(handle.id(), handle.reader());
        let id = TransactionId::fresh();
        let step =
            TransactionStep { id, begins: Some(purpose), writes: Vec::new(), ask: Some(Operation::RunGet) };
        let (source, stamp) = (Source::Shard(id), Stamp::default());
        (Snapshot { handle: handle.clone(), source, stamp, is_awaited: false }, step)
    }

    /// Notes which version the shard opened, as it answered to that; whether the run exists.
    pub(crate) fn note_opened(&mut self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Run(Some(info)) => {
                self.stamp = Stamp { version: info.version, timestamp: info.timestamp };
                true
            }
            Outcome::Run(None) => false,
            other => unexpected(other),
        }
    }

    /// The same snapshot in the hands of a task: nothing that is done with it waits.
    pub(crate) fn awaited(self) -> Snapshot {
        let mut awaited = self;
        awaited.is_awaited = true;
        awaited
    }

    pub(crate) fn handle(&self) -> &RunHandle {
        &self.handle
    }

    /// How a question is answered.
    pub(crate) fn route(&self, operation: Operation) -> Result<Route> {
        request(self).check_read(&operation)?;
        match &self.source {
            Source::Shard(id) => {
                let step =
                    TransactionStep { id: *id, begins: None, writes: Vec::new(), ask: Some(operation) };
                Ok(Route::Step(step))
            }
            // What is published has no receipts; those of later commits are not the snapshot's.
            Source::Pinned(..) if matches!(operation, Operation::RunReceipt { .. }) => {
                Ok(Route::Receipt(operation))
            }
            Source::Pinned(pin, now) => {
                self.handle.engine().read_pin(pin, *now, operation, self.limits()).map(Route::Answered)
            }
        }
    }

    /// Of a receipt, whether it is of a commit that the snapshot shows.
    pub(crate) fn shown_receipt(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Receipt(receipt) => {
                Outcome::Receipt(receipt.filter(|receipt| receipt.commit.version <= self.stamp.version))
            }
            other => unexpected(&other),
        }
    }

    /// The newest commit that it shows.
    pub fn version(&self) -> Version {
        self.stamp.version
    }

    /// The version and the time it shows the run at.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

impl Snapshot {
    /// The same picture in the hands of the caller: it is read on his own thread, and depends neither on the snapshot nor on the store.
    ///
    /// It costs what has changed in the run since the snapshot was opened, and shares everything with the run until either changes.
    /// What it has alone then is counted in no budget. What is erased later is still in it.
    ///
    /// # Errors
    /// `HistoryTrimmed` when the snapshot was given up, `Closed`.
    ///
    /// ```
    /// use strata::{Database, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let view = run.snapshot()?.detach()?;
    /// run.put("city", "Bergen")?;
    /// database.close()?;
    /// assert_eq!(view.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn detach(&self) -> Result<View> {
        let frozen = match &self.source {
            Source::Shard(id) => self.handle.caller().freeze(self.handle.id(), *id)?,
            Source::Pinned(pin, now) => self.handle.engine().freeze_pin(pin, *now)?,
        };
        Ok(View::new(frozen, Arc::clone(&self.handle.limits)))
    }
}

impl Reads for Snapshot {
    fn run_id(&self) -> RunId {
        self.handle.id()
    }

    fn limits(&self) -> &Limits {
        self.handle.limits()
    }

    fn ask(&self, operation: Operation) -> Result<Outcome> {
        let caller = self.handle.caller();
        match self.route(operation)? {
            Route::Answered(outcome) => Ok(outcome),
            Route::Step(step) => caller.step(self.run_id(), step)?.expect("what was asked is answered"),
            Route::Receipt(operation) => {
                Ok(self.shown_receipt(caller.operate(self.run_id(), operation, None)?))
            }
        }
    }

    fn visit_last_events(&self, limit: usize, visit: &mut dyn FnMut(EventRef<'_>)) -> Result<Versioned<u64>> {
        seeing::visit_last_events(self, limit, visit)
    }

    fn visit_values(&self, scan: &KvScan, visit: &mut dyn FnMut(KeyRef<'_>)) -> Result<Versioned<u64>> {
        seeing::visit_values(self, scan, visit)
    }

    fn look_up(&self, kind: KeyKind, name: &str, found: &mut FindKey<'_>) -> Result<()> {
        seeing::look_up(self, kind, name, found)
    }
}

impl Sees for Snapshot {
    #[inline]
    fn sight(&self) -> Option<(&Engine, Sight<'_>)> {
        match &self.source {
            Source::Shard(_) => None,
            Source::Pinned(pin, now) => Some((self.handle.engine(), Sight::Kept(pin, *now))),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Source::Shard(id) = self.source {
            self.handle.engine().release(self.handle.id(), id, !self.is_awaited);
        }
    }
}
