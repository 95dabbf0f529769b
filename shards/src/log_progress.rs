//! How the log moves, and what happens when it cannot.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use strata_primitives::{Error, ErrorKind};
use strata_wal::{Log, LogEnd, PreparedSegment, WalError};

use crate::maintenance::Errand;
use crate::run::Progress;
use crate::shard::{Maintained, Shard};

impl Shard {
    /// Submits what the turn staged, takes completions, and gives the answers they free.
    pub(crate) fn move_log(&mut self, maintained: Option<&Maintained>) -> bool {
        if self.log.is_none() {
            return false;
        }
        let mut moved = self.take_segment(maintained);
        moved |= self.submit_and_reap();
        self.refresh_progress();
        self.release_seen();
        moved
    }

    /// Gives the answers that the log has caught up with.
    fn release_seen(&mut self) {
        self.unseen.release(&self.progress);
        // Whoever is told of an erasure finds it in every picture.
        self.runs.release_erasures(&self.progress);
        self.withheld.release(&self.progress);
        self.answer_batches();
    }

    /// Blocks until a stalled log can go on: a write completes, or a segment arrives.
    pub(crate) fn wait_for_log(&mut self, maintained: Option<&Maintained>) {
        let Some(log) = &mut self.log else { return };
        if log.is_in_flight() {
            // The batch that is full goes out with the next turn, while the one behind it fills.
            return log.wait();
        }
        let Some(maintained) = maintained else { return };
        match maintained.segments.recv_timeout(SEGMENT_PATIENCE) {
            Ok(prepared) => self.offer_segment(prepared),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.offer_segment(Err(nobody_prepares())),
        }
    }

    pub(crate) fn refresh_progress(&mut self) {
        self.progress = match &self.log {
            Some(log) if !self.has_taken_back => Progress::of(log),
            _ => Progress::EVERYTHING,
        };
    }

    /// Brings everything to stable storage and ends the log. The shard serves nothing afterwards.
    pub(crate) fn finish(&mut self, maintained: Option<&Maintained>) -> Result<Option<LogEnd>, Error> {
        self.serve_parked(maintained);
        self.pasts.refuse(&Error::new(ErrorKind::Closed, "the store is closing: no older version is made"));
        self.histories.refuse(&Error::new(ErrorKind::Closed, "the store is closing: no history is read"));
        self.checkpoint_at_close(maintained);
        let Some(log) = &mut self.log else { return Ok(None) };
        if log.flush().is_err() {
            self.fail();
            return Err(self.outcome_unknown());
        }
        self.refresh_progress();
        self.release_seen();
        let log = self.log.take().expect("the log was just flushed");
        log.close().map(Some).map_err(|error| Error::new(ErrorKind::LogFailed, error.to_string()))
    }

    fn submit_and_reap(&mut self) -> bool {
        let Some(log) = &mut self.log else { return false };
        let outcome = log.submit().and_then(|()| log.reap()).and_then(|reaped| {
            if reaped {
                log.submit()?;
            }
            Ok(reaped)
        });
        match outcome {
            Ok(reaped) => reaped,
            Err(_) => self.fail(),
        }
    }

    /// Fetches a segment that was prepared, and asks for the next one when it is time.
    fn take_segment(&mut self, maintained: Option<&Maintained>) -> bool {
        let Some(maintained) = maintained else { return false };
        let is_awaited = self.log.as_ref().is_some_and(Log::awaits_segment);
        let prepared = if is_awaited { maintained.segments.try_recv().ok() } else { None };
        let has_arrived = prepared.is_some();
        if let Some(prepared) = prepared {
            self.offer_segment(prepared);
        }
        if let Some(request) = self.log.as_mut().and_then(Log::segment_request)
            && maintained.errands.send(Errand::Prepare { shard: self.index, request }).is_err()
        {
            self.offer_segment(Err(nobody_prepares()));
        }
        has_arrived
    }

    /// Hands a segment to the log, or remembers why there is none, for the writes that are refused for it.
    fn offer_segment(&mut self, prepared: Result<PreparedSegment, WalError>) {
        let log = self.log.as_mut().expect("only a shard with a log asks for segments");
        // Told when it begins and when it ends, not for each write that is refused.
        match (&prepared, &self.no_segment) {
            (Err(error), None) => {
                tracing::warn!(target: "strata", shard = self.index, %error, "no segment can be prepared: writes that need one are refused");
            }
            (Ok(_), Some(_)) => {
                tracing::info!(target: "strata", shard = self.index, "segments can be prepared again");
            }
            _ => {}
        }
        self.no_segment = prepared.as_ref().err().map(|error| {
            let (kind, advice) = match error {
                WalError::NoSpace { .. } => (ErrorKind::Full, "writes resume once there is space"),
                WalError::Failed { .. } => (ErrorKind::Io, "reopen the store"),
                _ => (ErrorKind::Io, "the next write tries again"),
            };
            Error::new(kind, format!("nothing was written, for want of a segment: {error}; {advice}"))
        });
        log.offer_segment(prepared);
    }

    /// Why a write that fits no segment was refused.
    pub(crate) fn no_room(&self) -> Error {
        let unknown = || Error::new(ErrorKind::Full, "nothing was written: no segment could be prepared");
        self.no_segment.clone().unwrap_or_else(unknown)
    }

    /// What a write is told that was under way when the log failed.
    pub(crate) fn outcome_unknown(&self) -> Error {
        let advice = "whether this write survives is unknown until the store is reopened";
        self.log_failed(advice)
    }

    /// What a write is told that came after the log had failed.
    pub(crate) fn refused_by_log(&self) -> Error {
        self.log_failed("nothing was written, and nothing can be until the store is reopened")
    }

    /// What a sync is told when the log has failed.
    pub(crate) fn sync_refused(&self) -> Error {
        self.log_failed("what was not durable before may be lost: reopen the store to see")
    }

    fn log_failed(&self, advice: &str) -> Error {
        let reason =
            self.log.as_ref().and_then(Log::failure).map_or("its log has failed", |failed| &failed.reason);
        let index = self.index;
        let message =
            format!("shard {index}: {reason}; {advice}, or restart_shard({index}) has recovered the shard");
        Error::new(ErrorKind::LogFailed, message)
    }

    /// The log has failed: what nobody has seen is taken back, so that reads go on at what was
    /// visible, and everybody who waits is told. Returns whether this was news.
    fn fail(&mut self) -> bool {
        if self.has_taken_back {
            return false;
        }
        let log = self.log.as_ref().expect("only a log fails");
        assert!(log.has_failed(), "only a failed log takes commits back");
        self.progress = Progress::of(log);
        self.release_seen();
        let failure = self.outcome_unknown();
        // A snapshot of what is taken back now shows what never was.
        self.refuse_checkpoints(&failure);
        self.take_back_unseen();
        self.runs.windows.forget_unseen();
        self.followers.forget_unseen(&self.progress);
        self.transactions.fail_unseen(&self.progress, &failure);
        self.pasts.fail_unseen(&self.progress, &failure);
        self.histories.fail_unseen(&self.progress, &failure);
        let progress = self.progress;
        self.unfinished_batches().for_each(|batches| batches.fail_unseen(&progress, &failure));
        self.answer_batches();
        self.withheld.fail(&failure);
        self.has_taken_back = true;
        self.progress = Progress::EVERYTHING;
        true
    }
}

/// How long a stalled shard waits for a segment before it looks at its mailbox again.
const SEGMENT_PATIENCE: Duration = Duration::from_millis(5);

/// Without the maintenance thread no segment comes any more: writes that need one are refused.
fn nobody_prepares() -> WalError {
    WalError::Failed { reason: "the maintenance thread has ended".to_string() }
}
