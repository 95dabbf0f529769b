//! Batches of many runs that came in one call: each is done in its turn, and all are answered together.

use strata_primitives::{Error, Operation, RunId};

use crate::commit::Step;
use crate::message::{Answer, BatchReceipt, Reply};
use crate::residency::Parked;
use crate::run::{Need, Progress};
use crate::shard::{Shard, Then, receipt_of};
use crate::stage::{Operations, Written};

/// Batches of many runs, some of them done.
#[derive(Debug)]
pub(crate) struct Batches {
    rest: std::vec::IntoIter<(RunId, Vec<Operation>)>,
    /// What came of those that are done, and what each waits for.
    results: Vec<(Result<BatchReceipt, Error>, Need)>,
    reply: Reply,
}

impl Batches {
    pub(crate) fn new(batches: Vec<(RunId, Vec<Operation>)>, reply: Reply) -> Batches {
        let results = Vec::with_capacity(batches.len());
        Batches { rest: batches.into_iter(), results, reply }
    }

    /// Takes note of what came of the next one.
    pub(crate) fn record(&mut self, result: Result<Written, Error>, need: Need) {
        self.results.push((result.map(receipt_of), need));
    }

    /// Whether all have come as far as they were promised.
    fn is_told(&self, progress: &Progress) -> bool {
        self.results.iter().all(|(_, need)| need.is_met(progress))
    }

    /// The log has failed: what has not come as far as it was promised was taken back.
    pub(crate) fn fail_unseen(&mut self, progress: &Progress, failure: &Error) {
        for (result, need) in &mut self.results {
            if !std::mem::take(need).is_met(progress) {
                *result = Err(failure.clone());
            }
        }
    }
}

impl Shard {
    /// Does the rest of many batches, as far as the log allows.
    pub(crate) fn advance(&mut self, mut batches: Box<Batches>) {
        while let Some((run, _)) = batches.rest.as_slice().first() {
            let run = *run;
            if self.is_cold(run) {
                return self.park(run, Parked::Batches(batches));
            }
            let (_, operations) = batches.rest.next().expect("it was just looked at");
            match self.write(run, Operations::Many(operations), None) {
                Step::Done(result, need) => batches.record(result, need),
                stalled @ Step::Stalled(_) => return self.carry(stalled, Then::Batches(batches)),
            }
        }
        if !batches.is_told(&self.progress) {
            batches.reply.mark_withheld();
        }
        self.done_batches.push(*batches);
        self.answer_batches();
    }

    /// Answers the batches that are done and have come as far as they were promised.
    pub(crate) fn answer_batches(&mut self) {
        let Self { done_batches, progress, .. } = self;
        for batches in done_batches.extract_if(.., |batches| batches.is_told(progress)) {
            let results = batches.results.into_iter().map(|(result, _)| result).collect();
            batches.reply.send(Ok(Answer::Batches(results)));
        }
    }

    /// Goes on behind a batch whose run cannot be loaded.
    pub(crate) fn refuse_batch(&mut self, mut batches: Box<Batches>, error: Error) {
        batches.rest.next();
        batches.record(Err(error), Need::default());
        self.advance(batches);
    }
}
