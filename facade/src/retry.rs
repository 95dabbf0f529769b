//! How often and when a conflict is tried again.

use std::time::Duration;

use rand::Rng;
use strata_primitives::{Error, ErrorKind};

use crate::Result;

/// Tries after a conflict: each waits longer than the one before, by chance, so that rivals do not meet again.
///
/// "Full jitter", which does least work under contention (Brooker, AWS Architecture Blog, 2015).
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    conflicts: u32,
}

/// Conflicts after which the last one is told to the caller.
pub(crate) const ATTEMPTS_MAX: u32 = 100;
/// The longest first wait. The shard answers a conflict when the rival commit can be seen, so the second try may
/// follow at once.
const WAIT_FIRST: Duration = Duration::from_micros(2);
/// The longest wait of all.
const WAIT_MAX: Duration = Duration::from_millis(5);

impl Backoff {
    /// How many attempts were made, the present one included.
    pub(crate) fn attempts(&self) -> u32 {
        self.conflicts + 1
    }

    /// Waits, if `error` is a conflict that is worth another try; else it is the result.
    pub(crate) fn after(&mut self, error: Error) -> Result<()> {
        self.conflicts += 1;
        if error.kind() != ErrorKind::Conflict || self.conflicts >= ATTEMPTS_MAX {
            return Err(error);
        }
        let longest = WAIT_FIRST.saturating_mul(1 << self.conflicts.min(20)).min(WAIT_MAX);
        let wait = rand::rng().random_range(Duration::ZERO..=longest);
        if self.conflicts > 1 {
            std::thread::sleep(wait);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_tried_again_a_bounded_number_of_times() {
        let mut backoff = Backoff::default();
        let conflict = || Error::new(ErrorKind::Conflict, "expected version 1, found version 2");
        for _ in 1..ATTEMPTS_MAX {
            assert!(backoff.after(conflict()).is_ok());
        }
        assert_eq!(backoff.after(conflict()).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn what_is_no_conflict_is_not_tried_again() {
        let error = Backoff::default().after(Error::new(ErrorKind::RunClosed, "the run is archived"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::RunClosed);
    }
}
