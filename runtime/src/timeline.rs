//! When a request passed the stations of its way.

use std::time::Instant;

/// When one request passed the stations of its way, for those whose sender wants to know. It travels in the reply slot, so
/// that a message is no larger for it, and nobody reads a clock for a request that has none.
///
/// ```
/// let pool = strata_runtime::ReplyPool::new();
/// let (pending, mut responder) = pool.request();
/// responder.mark_sent();
/// responder.mark_taken();
/// responder.send(42);
/// assert_eq!(pool.wait(pending), Ok(42));
/// let timeline = pool.take_timeline().unwrap();
/// assert!(timeline.sent <= timeline.taken.unwrap() && timeline.taken <= timeline.answered);
/// assert_eq!(timeline.withheld, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Its sender was about to send it.
    pub sent: Instant,
    /// Who answers had taken it.
    pub taken: Option<Instant>,
    /// The answer was known and could not be given yet.
    pub withheld: Option<Instant>,
    /// The answer was given.
    pub answered: Option<Instant>,
}

impl Timeline {
    /// That of a request that is sent now.
    pub(crate) fn begin() -> Timeline {
        Timeline { sent: Instant::now(), taken: None, withheld: None, answered: None }
    }
}
