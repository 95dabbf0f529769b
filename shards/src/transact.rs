//! How a shard serves the steps of a transaction, and commits it.

use strata_primitives::{CommitReads, Error, ErrorKind, Operation, RunId};

use crate::commit::Step;
use crate::message::{Answer, CallOptions, Reply};
use crate::rewrite::Rewrite;
use crate::run::Need;
use crate::shard::Shard;
use crate::stage::{Decision, Operations, Written, refuse_repeated};
use crate::transaction::{Asked, Purpose, Transaction, TransactionId, TransactionStep};

impl Shard {
    /// Serves one step, once what the snapshot shows may be told.
    pub(crate) fn step(&mut self, run: RunId, mut step: TransactionStep, reply: Reply) {
        let is_newest = |version| self.runs.get(run).is_some_and(|run| run.state.version() == version);
        match step.begins.take() {
            Some(purpose @ Purpose::Past { version, .. }) if !is_newest(version) => {
                return self.begin_past(run, version, purpose, step, reply);
            }
            Some(purpose) => {
                if purpose == Purpose::Snapshot {
                    self.runs.windows.note_read(run);
                }
                if let Err(error) = self.begin(run, step.id, purpose) {
                    return reply.send(Err(error));
                }
            }
            None => {}
        }
        let need = self.transactions.get_mut(step.id).map_or(Need::default(), |transaction| transaction.need);
        let answer = self.advance_transaction(run, step).map(|asked| match asked {
            Some(Ok(outcome)) => Answer::Outcome(self.boot.tell_orphaned(outcome)),
            Some(Err(refusal)) => Answer::Refused(refusal),
            None => Answer::Done,
        });
        self.withheld.answer(reply, answer, need, &self.progress);
    }

    /// Checks what the transaction read, decides its writes anew on the run as it is, and commits them.
    pub(crate) fn commit_transaction(
        &mut self,
        run: RunId,
        id: Option<TransactionId>,
        writes: Vec<Operation>,
        options: Option<&CallOptions>,
    ) -> Step {
        let writes = writes.into_iter().map(|operation| Rewrite { operation, revealed: None });
        let decision = match id.map(|id| self.transactions.remove(id)) {
            None => {
                // It had read nothing.
                let reads = self.setup.record_reads.then(CommitReads::default);
                self.stage(run, Operations::Again { writes: writes.collect(), reads }, options)
            }
            Some(None) => return Step::Done(Err(lost()), Need::default()),
            Some(Some(mut transaction)) => {
                transaction.writes.extend(writes);
                let decision = self.decide_transaction(&mut transaction, options);
                // Before the commit is applied: it has nobody to keep the past for, unless others look at it.
                self.end(transaction);
                decision
            }
        };
        self.carry_out(run, decision)
    }

    /// Ends a transaction that is not to commit, or a snapshot.
    pub(crate) fn release(&mut self, id: TransactionId) {
        if let Some(transaction) = self.transactions.remove(id) {
            self.end(transaction);
        }
    }

    fn begin(&mut self, run_id: RunId, id: TransactionId, purpose: Purpose) -> Result<(), Error> {
        self.transactions.admit()?;
        let (snapshot, began, need) = match self.runs.get_mut(run_id) {
            Some(run) => {
                run.used = self.turn_number;
                let began = purpose.judges_at(run.state.timestamp(), self.now);
                (Some(run.state.open_snapshot()), began, run.need)
            }
            None => (None, self.now, Need::default()),
        };
        let staged = self.transactions.context(purpose);
        let (boot, past, writes, failure) = (self.boot.number, None, Vec::new(), None);
        let transaction =
            Transaction { run: run_id, snapshot, past, began, boot, need, staged, writes, failure };
        self.transactions.insert(id, transaction);
        Ok(())
    }

    fn advance_transaction(&mut self, run: RunId, step: TransactionStep) -> Result<Option<Asked>, Error> {
        let TransactionStep { id, writes, ask, .. } = step;
        let past = self.transactions.get_mut(id).ok_or_else(lost)?.past;
        if let Some(version) = past {
            let state = self.pasts.state_mut((run, version));
            ask.iter().filter_map(Operation::needs_order).for_each(|index| state.ensure_order(index));
            let transaction = self.transactions.get_mut(id).ok_or_else(lost)?;
            return transaction.advance(state, &self.setup.limits, writes, ask);
        }
        self.order_for(run, writes.iter().chain(&ask));
        let transaction = self.transactions.get_mut(id).ok_or_else(lost)?;
        match self.runs.get(run).filter(|_| transaction.snapshot.is_some()) {
            Some(run) => transaction.advance(&run.state, &self.setup.limits, writes, ask),
            // It began when there was no run, and goes on seeing none.
            None => transaction.advance(&self.runs.blank(run), &self.setup.limits, writes, ask),
        }
    }

    fn decide_transaction(
        &mut self,
        transaction: &mut Transaction,
        options: Option<&CallOptions>,
    ) -> Result<Decision, Error> {
        if let Some(failure) = &transaction.failure {
            return Err(failure.clone());
        }
        let writes = std::mem::take(&mut transaction.writes);
        if writes.is_empty() {
            return Ok(Decision::Answered(Written::nothing()));
        }
        let mut reads = None;
        if let Some(run) = self.runs.get(transaction.run) {
            refuse_repeated(&run.state, options)?;
            transaction.check_reads(&run.state, self.now.max(run.state.timestamp()))?;
            reads = self.setup.record_reads.then(|| transaction.reads(&run.state));
        }
        self.stage(transaction.run, Operations::Again { writes, reads }, options)
    }

    fn end(&mut self, transaction: Transaction) {
        let Transaction { run, snapshot, past, staged, .. } = transaction;
        self.transactions.recycle(staged);
        past.into_iter().for_each(|version| self.leave_past((run, version)));
        let has_more = snapshot.is_some_and(|snapshot| self.runs.close_snapshot(run, snapshot));
        self.untidy.extend(has_more.then_some(run));
    }
}

pub(crate) fn lost() -> Error {
    let message =
        "the transaction is not known: it has ended, or its shard has been restarted since it began";
    Error::new(ErrorKind::Closed, message)
}
