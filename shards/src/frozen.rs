//! A run at one version in the hands of whoever asked for it: read on his own thread, and led on by commits that are replayed.

use strata_primitives::{
    EntityRef, Error, ErrorKind, Limits, Mutation, Operation, Outcome, RunId, RunState, Stamp, Timestamp,
};

use crate::boot::Boot;
use crate::history_query::LoggedCommit;
use crate::message::{Answer, Reply};
use crate::picture::{Pin, answer};
use crate::record::{Record, RecordHead, RecordPlace};
use crate::replay::apply;
use crate::run::Run;
use crate::shard::Shard;
use crate::transact::lost;
use crate::transaction::{TransactionId, given_up};

/// A run as a snapshot shows it. It shares everything with the run until either changes, and nothing that becomes of the run changes it.
#[derive(Debug)]
pub struct Frozen {
    run: Box<Run>,
    /// When deadlines are judged.
    now: Timestamp,
    boot: Boot,
    erasure_mark: u64,
}

impl Frozen {
    /// The run as somebody keeps it, who judges deadlines at `now`.
    pub(crate) fn of_pin(pin: &Pin, now: Timestamp) -> Result<Frozen, Error> {
        let (state, boot, erasure_mark) = pin.share()?;
        Ok(Frozen { run: Box::new(Run::new(state)), now, boot, erasure_mark })
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.run.state.id()
    }

    /// The newest commit that it shows.
    pub fn stamp(&self) -> Stamp {
        self.run.state.view().stamp()
    }

    /// When deadlines are judged.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What was erased last on the shard when it was made: two pictures of one shard are of the same erasures where this is the same.
    pub fn erasure_mark(&self) -> u64 {
        self.erasure_mark
    }

    /// All of it.
    pub fn state(&self) -> &RunState {
        &self.run.state
    }

    /// Answers a read.
    ///
    /// # Errors
    /// Whatever the read is refused with, and `Unsupported` for receipts, which are not in it.
    ///
    /// # Panics
    /// If it is a write.
    pub fn read(&self, operation: Operation, limits: &Limits) -> Result<Outcome, Error> {
        if let Operation::RunReceipt { .. } = operation {
            let message = "a picture that is detached has no receipts: ask the run, or the snapshot";
            return Err(
                Error::new(ErrorKind::Unsupported, message).with_entity(EntityRef::run(self.run_id()))
            );
        }
        answer(&self.run.state, self.boot, operation, self.now, limits)
    }

    /// Leads it on by the next commit of its run: afterwards it is what that left.
    ///
    /// # Errors
    /// `Corrupt` when it does not follow from what came before.
    pub fn replay(&mut self, commit: LoggedCommit) -> Result<(), Error> {
        let LoggedCommit { run, stamp, durability, cause, mutations, .. } = commit;
        // What a run inherited that was imported is shown as its own.
        let shown = self.run_id();
        let begins_as = match mutations.first() {
            Some(Mutation::RunFork { point, .. }) => point.run,
            _ => run,
        };
        let state = &mut self.run.state;
        state.rename(begins_as);
        match mutations.first() {
            // It goes on as what it began as was.
            Some(Mutation::RunFork { .. }) => *self.run = Run::new(state.fork(run)),
            Some(Mutation::RunImport { .. }) => *self.run = Run::new(state.adopt()),
            _ => {}
        }
        let head = RecordHead {
            run,
            version: stamp.version,
            timestamp: stamp.timestamp,
            durability,
            previous: RecordPlace::default(),
            milestone: None,
            cause,
            operation: None,
            reads: None,
        };
        let record = Record { head, mutations, size: 0 };
        apply(&mut self.run, RecordPlace::default(), record)
            .map_err(|reason| Error::new(ErrorKind::Corrupt, reason).with_entity(EntityRef::run(run)))?;
        if begins_as != shown {
            self.run.state.rename(shown);
        }
        self.now = stamp.timestamp;
        Ok(())
    }
}

impl Shard {
    /// Hands over what a snapshot shows.
    pub(crate) fn freeze(&mut self, run: RunId, id: TransactionId, reply: Reply) {
        let need = self.transactions.get_mut(id).map(|transaction| transaction.need).unwrap_or_default();
        let answer = self.frozen(run, id).map(|frozen| Answer::Frozen(Box::new(frozen)));
        self.withheld.answer(reply, answer, need, &self.progress);
    }

    fn frozen(&mut self, run: RunId, id: TransactionId) -> Result<Frozen, Error> {
        let transaction = self.transactions.get_mut(id).ok_or_else(lost)?;
        if let Some(failure) = &transaction.failure {
            return Err(failure.clone());
        }
        let state = match (transaction.past, &transaction.snapshot) {
            (Some(version), _) => self.pasts.state_mut((run, version)).share(),
            (None, Some(snapshot)) => {
                let live = self.runs.get(run).ok_or_else(lost)?;
                live.state.share_at(snapshot).ok_or_else(|| given_up(snapshot.stamp().version))?
            }
            (None, None) => self.runs.blank(run),
        };
        let (now, boot, erasure_mark) = (transaction.began, self.boot, self.erasure_mark);
        Ok(Frozen { run: Box::new(Run::new(state)), now, boot, erasure_mark })
    }
}
