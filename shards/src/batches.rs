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
    /// Whether they have to wait for stable storage, now that all are done.
    is_late: bool,
    reply: Reply,
}

impl Batches {
    pub(crate) fn new(batches: Vec<(RunId, Vec<Operation>)>, reply: Reply) -> Batches {
        let results = Vec::with_capacity(batches.len());
        Batches { rest: batches.into_iter(), results, is_late: false, reply }
    }

    /// Takes note of what came of the next one.
    pub(crate) fn record(&mut self, result: Result<Written, Error>, need: Need) {
        self.results.push((result.map(receipt_of), need));
    }

    /// Whether all have come as far as they were promised.
    fn is_told(&self, progress: &Progress) -> bool {
        self.results.iter().all(|(_, need)| need.is_met(progress))
    }

    /// All are done, with the log here: takes note of what the answer has to wait for.
    fn note_done(&mut self, progress: &Progress) {
        if !self.is_told(progress) {
            self.reply.mark_withheld();
        }
        self.is_late = self.results.iter().any(|(_, need)| need.durable > progress.durable);
    }

    fn answer(self) {
        let Self { results, is_late, reply, .. } = self;
        let answer = Ok(Answer::Batches(results.into_iter().map(|(result, _)| result).collect()));
        if is_late { reply.send_late(answer) } else { reply.send(answer) }
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
        batches.note_done(&self.progress);
        self.done_batches.push(*batches);
        self.answer_batches();
    }

    /// Answers the batches that are done and have come as far as they were promised.
    pub(crate) fn answer_batches(&mut self) {
        let Self { done_batches, progress, .. } = self;
        done_batches.extract_if(.., |batches| batches.is_told(progress)).for_each(Batches::answer);
    }

    /// Goes on behind a batch whose run cannot be loaded.
    pub(crate) fn refuse_batch(&mut self, mut batches: Box<Batches>, error: Error) {
        batches.rest.next();
        batches.record(Err(error), Need::default());
        self.advance(batches);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use strata_runtime::reply::{ReplyPool, Unanswered};
    use strata_runtime::{SPIN_BUDGET_MAX, Spin};
    use strata_wal::Lsn;

    use super::*;

    /// Whether who has waited for batches that needed so much of the log looks for his next answer before he sleeps.
    fn looks_after(need: Need) -> bool {
        let replies = ReplyPool::with_spin(Spin::new(SPIN_BUDGET_MAX));
        let (pending, reply) = replies.request();
        let mut batches = Batches::new(Vec::new(), reply);
        batches.record(Ok(Written::nothing()), need);
        batches.note_done(&Progress { written: Lsn(40), durable: Lsn(40) });
        let disk = std::thread::spawn(move || {
            let began = Instant::now();
            while began.elapsed() < SPIN_BUDGET_MAX * 10 {
                std::thread::yield_now();
            }
            batches.answer();
        });
        assert!(matches!(replies.wait(pending), Ok(Ok(Answer::Batches(_)))));
        disk.join().unwrap();
        // The shortest of many: now and then another thread has the CPU for longer.
        let asleep_after = (0..200).map(|_| {
            let (pending, _reply) = replies.request();
            let began = Instant::now();
            assert!(matches!(replies.wait_while(pending, || false), Err(Unanswered::GaveUp)));
            began.elapsed()
        });
        asleep_after.min() >= Some(SPIN_BUDGET_MAX)
    }

    #[test]
    fn who_waits_for_batches_that_wait_for_the_disk_does_not_look_for_the_next_in_vain() {
        assert!(!looks_after(Need { written: Lsn(50), durable: Lsn(50) }));
        assert!(looks_after(Need { written: Lsn(50), durable: Lsn(40) }), "the kernel alone is fast");
        assert!(looks_after(Need::default()), "it waits for nothing");
    }
}
