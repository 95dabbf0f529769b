//! Answers that wait for the log.
//!
//! A reply implies that whoever hears of it will see what it tells, and that the promise it names
//! holds. So an answer waits here until the log has come as far as everything it saw.

use std::collections::VecDeque;

use strata_primitives::Error;

use crate::message::{Answer, Reply};
use crate::run::{Need, Progress};

/// The answers that a shard knows and may not give yet.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    /// Waiting for the kernel only: the end of the turn frees them all.
    written: Vec<Entry>,
    /// Waiting for stable storage, in order of the position they wait for.
    durable: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    need: Need,
    reply: Reply,
    answer: Result<Answer, Error>,
}

impl Withheld {
    /// Gives the answer now if the log has come far enough, else keeps it until it has.
    pub(crate) fn answer(
        &mut self,
        reply: Reply,
        answer: Result<Answer, Error>,
        need: Need,
        progress: &Progress,
    ) {
        if need.is_met(progress) {
            return reply.send(answer);
        }
        let mut entry = Entry { need, reply, answer };
        entry.reply.mark_withheld();
        if need.durable <= progress.durable {
            self.written.push(entry);
        } else {
            // Nearly always the newest position, so the search looks at the back first.
            let place = match self.durable.back() {
                Some(last) if last.need.durable > need.durable => {
                    self.durable.partition_point(|other| other.need.durable <= need.durable)
                }
                _ => self.durable.len(),
            };
            self.durable.insert(place, entry);
        }
    }

    /// Gives every answer that the log has caught up with.
    pub(crate) fn release(&mut self, progress: &Progress) {
        if !self.written.is_empty() {
            for entry in self.written.extract_if(.., |entry| entry.need.is_met(progress)) {
                entry.reply.send(entry.answer);
            }
        }
        while self.durable.front().is_some_and(|entry| entry.need.is_met(progress)) {
            let entry = self.durable.pop_front().expect("the front was just looked at");
            entry.reply.send_late(entry.answer);
        }
    }

    /// Answers all that wait with the failure of the log: what they would have told was taken back.
    pub(crate) fn fail(&mut self, failure: &Error) {
        for entry in self.written.drain(..).chain(self.durable.drain(..)) {
            entry.reply.send(Err(failure.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use strata_primitives::ErrorKind;
    use strata_runtime::reply::ReplyPool;
    use strata_wal::Lsn;

    use super::*;

    fn progress(written: u64, durable: u64) -> Progress {
        Progress { written: Lsn(written), durable: Lsn(durable) }
    }

    fn need(written: u64, durable: u64) -> Need {
        Need { written: Lsn(written), durable: Lsn(durable) }
    }

    #[test]
    fn an_answer_waits_until_the_log_has_come_far_enough() {
        let replies = ReplyPool::new();
        let mut withheld = Withheld::default();
        let (pending, reply) = replies.request();
        withheld.answer(reply, Ok(Answer::Done), need(100, 50), &progress(40, 40));
        withheld.release(&progress(100, 40));
        assert!(!pending.is_settled(), "written, not yet durable");
        withheld.release(&progress(100, 50));
        assert!(matches!(replies.wait(pending), Ok(Ok(Answer::Done))));
    }

    #[test]
    fn an_answer_to_an_older_position_does_not_wait_for_a_newer_one() {
        let replies = ReplyPool::new();
        let mut withheld = Withheld::default();
        let now = progress(300, 0);
        let (newer, reply) = replies.request();
        withheld.answer(reply, Ok(Answer::Done), need(0, 200), &now);
        let (older, reply) = replies.request();
        withheld.answer(reply, Ok(Answer::Done), need(0, 100), &now);
        withheld.release(&progress(300, 100));
        assert!(older.is_settled());
        assert!(!newer.is_settled());
    }

    #[test]
    fn a_failed_log_is_told_to_everybody_who_waits() {
        let replies = ReplyPool::new();
        let mut withheld = Withheld::default();
        let (written, reply) = replies.request();
        withheld.answer(reply, Ok(Answer::Done), need(10, 0), &progress(0, 0));
        let (durable, reply) = replies.request();
        withheld.answer(reply, Ok(Answer::Done), need(0, 10), &progress(0, 0));
        withheld.fail(&Error::new(ErrorKind::LogFailed, "the disk is gone"));
        for pending in [written, durable] {
            let answer = replies.wait(pending).unwrap();
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::LogFailed);
        }
    }
}
