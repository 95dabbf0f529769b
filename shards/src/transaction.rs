//! Transactions that are under way: what each one sees, has read, and would write.
//!
//! A transaction lives on the shard of its run. Its reads come as messages and see one snapshot with the
//! transaction's own writes staged over it; what they looked at is remembered. At the commit what was read has to be
//! unchanged, and the writes are decided anew, on the run as it then is: optimistic concurrency control (Kung and
//! Robinson, TODS 1981) whose write phase is the ordinary path of a batch.

use rustc_hash::FxHashMap;
use strata_primitives::{
    Answer as Validated, CommitReads, Context, Draft, EntityRef, Error, ErrorKind, Interval, Limits,
    Operation, Outcome, RunId, RunState, Snapshot, Staged, Timestamp, Version, conflict, validate,
};

use crate::rewrite::{Revealed, Rewrite, Told};
use crate::run::{Need, Progress};

/// The name of a transaction or a snapshot in its store, given by the caller that begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub u64);

/// What is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A transaction: what it reads is remembered.
    Transaction,
    /// A snapshot, which only reads and has nothing to commit.
    Snapshot,
    /// The same of a version.
    Past {
        /// The version.
        version: Version,
        /// When its deadlines are judged; without it, at the time of its commit.
        judged_at: Option<Timestamp>,
    },
}

impl Purpose {
    /// When deadlines are judged, by who begins now to look at a run as it was at `timestamp`: neither in front of that, nor in time to
    /// come.
    pub(crate) fn judges_at(self, timestamp: Timestamp, now: Timestamp) -> Timestamp {
        match self {
            Purpose::Transaction | Purpose::Snapshot => now.max(timestamp),
            Purpose::Past { judged_at, .. } => judged_at.map_or(timestamp, |at| at.min(now).max(timestamp)),
        }
    }
}

/// One step of a transaction: writes that reveal nothing, in order, and then what is asked.
#[derive(Debug)]
pub struct TransactionStep {
    /// The transaction.
    pub id: TransactionId,
    /// Set in the first step: it begins the transaction.
    pub begins: Option<Purpose>,
    /// What was written since the last step.
    pub writes: Vec<Operation>,
    /// What is to be answered; without it, the step only begins or stages.
    pub ask: Option<Operation>,
}

/// What a step asked, answered or refused.
pub(crate) type Asked = Result<Outcome, Error>;

/// One transaction or snapshot that is under way.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) run: RunId,
    /// `None` when the run did not exist.
    pub(crate) snapshot: Option<Snapshot>,
    /// The older version that it looks at; then it has no snapshot.
    pub(crate) past: Option<Version>,
    /// When deadlines are judged: of the newest version, when the snapshot was taken.
    pub(crate) began: Timestamp,
    pub(crate) boot: u64,
    /// What the log must reach before anything of the snapshot may be told.
    pub(crate) need: Need,
    pub(crate) staged: Staged,
    /// What was written so far, in order, each with what it revealed.
    pub(crate) writes: Vec<Rewrite>,
    /// Why nothing more can come of it.
    pub(crate) failure: Option<Error>,
}

impl Transaction {
    /// Stages the writes of a step over the snapshot of `state`, and answers what is asked from there.
    pub(crate) fn advance(
        &mut self,
        state: &RunState,
        limits: &Limits,
        writes: Vec<Operation>,
        ask: Option<Operation>,
    ) -> Result<Option<Asked>, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let view = match &self.snapshot {
            Some(snapshot) => state.view_at(snapshot).ok_or_else(|| given_up(snapshot.stamp().version))?,
            None => state.view(),
        };
        let context = Context { now: self.began, boot: self.boot };
        let mut draft = Draft::resume(view, std::mem::take(&mut self.staged));
        let outcome = self.stage_on(&mut draft, &context, limits, writes, ask);
        let is_full = draft.is_full();
        self.staged = draft.into_staged();
        let reads = self.staged.reads().map_or(Ok(()), |reads| reads.check_size(limits));
        match (reads.map_err(|error| error.with_entity(EntityRef::run(self.run))), outcome) {
            // Its commit could not be judged.
            (Err(failure), _) | (Ok(()), Err(failure)) => Err(self.end_with(failure)),
            // How full a commit is depends on all of it, and nothing is remembered of that.
            (Ok(()), Ok(Some(Err(refusal)))) if is_full => Err(self.end_with(refusal)),
            (Ok(()), outcome) => outcome,
        }
    }

    /// Nothing more comes of it, and what it holds is given back.
    fn end_with(&mut self, failure: Error) -> Error {
        self.staged.clear();
        self.writes = Vec::new();
        self.failure = Some(failure.clone());
        failure
    }

    fn stage_on(
        &mut self,
        draft: &mut Draft<'_>,
        context: &Context,
        limits: &Limits,
        writes: Vec<Operation>,
        ask: Option<Operation>,
    ) -> Result<Option<Asked>, Error> {
        for write in writes {
            // Its caller went on without an answer, so the whole transaction fails with it.
            let number = self.writes.len();
            let staged = self.stage_write(draft, context, limits, write);
            staged.map_err(|error| error.with_context(&format!("write {number} of the transaction")))?;
        }
        Ok(ask.map(|ask| self.answer(draft, context, limits, ask)))
    }

    /// A refusal of what is asked leaves everything as it was, so the transaction goes on.
    fn answer(&mut self, draft: &mut Draft<'_>, context: &Context, limits: &Limits, ask: Operation) -> Asked {
        if ask.is_write() {
            let Told { effect, has_changed } = self.stage_write(draft, context, limits, ask)?;
            return Ok(Outcome::Staged { has_changed, effect });
        }
        match validate(ask, draft, context, limits)? {
            Validated::Read(outcome) => Ok(outcome),
            Validated::Write(_) => unreachable!("a read has no effect"),
        }
    }

    fn stage_write(
        &mut self,
        draft: &mut Draft<'_>,
        context: &Context,
        limits: &Limits,
        operation: Operation,
    ) -> Result<Told, Error> {
        operation.check_joins(self.run)?;
        let told = Told::of(operation.clone(), draft, context, limits)?;
        let seen = draft.view().version_of(&operation.entity(self.run), self.began);
        self.writes.push(Rewrite { operation, revealed: Some(Revealed { told, seen }) });
        Ok(told)
    }

    /// What it has read, as its commit keeps it.
    pub(crate) fn reads(&self, state: &RunState) -> CommitReads {
        let view = self.snapshot.as_ref().and_then(|snapshot| state.view_at(snapshot));
        let read = view.zip(self.staged.reads());
        read.map_or_else(CommitReads::default, |(view, reads)| CommitReads::of(reads, &view, self.began))
    }

    /// Refuses if what was read has changed, by commits or by time.
    pub(crate) fn check_reads(&self, state: &RunState, now: Timestamp) -> Result<(), Error> {
        match (&self.snapshot, self.staged.reads()) {
            (Some(snapshot), Some(reads)) => {
                reads.validate(state, snapshot, Interval { began: self.began, now })
            }
            // Whatever it asked, it was told that there was no run.
            (None, _) if state.exists() => {
                Err(conflict(EntityRef::run(self.run), Version::NEVER, state.version()))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn given_up(version: Version) -> Error {
    let message = format!(
        "version {version} is no longer kept: commits behind it have replaced more than snapshot_size_max"
    );
    Error::new(ErrorKind::HistoryTrimmed, message)
}

/// The transactions of one shard.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    under_way: FxHashMap<TransactionId, Transaction>,
    /// What finished transactions staged into, emptied: the next ones use the memory again.
    spare: Vec<Staged>,
}

/// Most transactions and snapshots of one shard at a time.
const UNDER_WAY_MAX: usize = 65_536;
/// Emptied contexts that are kept for the next transactions.
const SPARE_MAX: usize = 64;

impl Transactions {
    /// Whether one more may begin.
    ///
    /// # Errors
    /// `Busy` when too many are under way.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        if self.under_way.len() < UNDER_WAY_MAX {
            return Ok(());
        }
        let message =
            format!("{UNDER_WAY_MAX} transactions and snapshots are open on the shard: close some first");
        Err(Error::new(ErrorKind::Busy, message))
    }

    /// A context to stage into.
    pub(crate) fn context(&mut self, purpose: Purpose) -> Staged {
        match purpose {
            Purpose::Transaction => self.spare.pop().unwrap_or_else(Staged::recording),
            Purpose::Snapshot | Purpose::Past { .. } => Staged::default(),
        }
    }

    pub(crate) fn insert(&mut self, id: TransactionId, transaction: Transaction) {
        self.under_way.insert(id, transaction);
    }

    pub(crate) fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction> {
        self.under_way.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: TransactionId) -> Option<Transaction> {
        self.under_way.remove(&id)
    }

    /// Keeps the context of a finished transaction for the next one.
    pub(crate) fn recycle(&mut self, mut staged: Staged) {
        if staged.is_recording() && self.spare.len() < SPARE_MAX {
            staged.clear();
            self.spare.push(staged);
        }
    }

    /// Whoever looks at one of these runs waits for this before more of it is told.
    pub(crate) fn wait_for(&mut self, need: Need, is_one: impl Fn(RunId) -> bool) {
        for transaction in self.under_way.values_mut().filter(|transaction| is_one(transaction.run)) {
            transaction.need = transaction.need.max(need);
        }
    }

    /// How many transactions and snapshots are under way.
    pub(crate) fn count(&self) -> usize {
        self.under_way.len()
    }

    /// The log has failed: whoever saw what was taken back is told so from now on.
    pub(crate) fn fail_unseen(&mut self, progress: &Progress, failure: &Error) {
        for transaction in self.under_way.values_mut() {
            if !transaction.need.is_met(progress) {
                transaction.failure = Some(failure.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use strata_primitives::Namespace;

    use super::*;

    fn begun(run: RunId) -> Transaction {
        let (writes, staged) = (Vec::new(), Staged::default());
        let (began, need) = (Timestamp(1), Need::default());
        Transaction { run, snapshot: None, past: None, began, boot: 1, need, staged, writes, failure: None }
    }

    #[test]
    fn a_shard_has_a_bounded_number_of_transactions_under_way() {
        let run = RunId::named(&Namespace::default(), "run");
        let mut transactions = Transactions::default();
        for number in 0..UNDER_WAY_MAX as u64 {
            transactions.admit().expect("there is room");
            transactions.insert(TransactionId(number), begun(run));
        }
        let error = transactions.admit().unwrap_err();
        assert_eq!((error.kind(), transactions.count()), (ErrorKind::Busy, 65_536));
        transactions.remove(TransactionId(7)).expect("it is under way");
        transactions.admit().expect("one has ended");
    }

    #[test]
    fn the_contexts_of_finished_transactions_are_kept_up_to_a_bound() {
        let mut transactions = Transactions::default();
        (0..SPARE_MAX * 2).for_each(|_| transactions.recycle(Staged::recording()));
        transactions.recycle(Staged::default());
        assert_eq!(transactions.spare.len(), SPARE_MAX);
        assert!(transactions.context(Purpose::Transaction).is_recording());
        assert!(!transactions.context(Purpose::Snapshot).is_recording());
        assert_eq!(transactions.spare.len(), SPARE_MAX - 1);
    }
}
