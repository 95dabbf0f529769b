//! Where a shard gets its time from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use strata_primitives::Timestamp;

/// The time that a shard stamps commits with, in microseconds since the Unix epoch.
///
/// It is read for each message and stored with each commit, so replay never asks for it again.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// A clock that moves only when its owner stores a new value; for tests of expiry.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The current time. A system clock set before 1970 reads as 1970.
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
            }
            // Relaxed: the value itself is all that is communicated.
            Clock::Manual(micros) => Timestamp(micros.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_set() {
        let micros = Arc::new(AtomicU64::new(7));
        let clock = Clock::Manual(Arc::clone(&micros));
        assert_eq!(clock.now(), Timestamp(7));
        micros.store(9, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(9));
    }

    #[test]
    fn the_system_clock_counts_microseconds_since_1970() {
        let year_2020 = 1_577_836_800_000_000;
        assert!(Clock::System.now() > Timestamp(year_2020));
    }
}
