//! Where the time of requests goes: queue, shard, log and reply.
//!
//! A request carries its own times, and whoever receives its answer adds them up here, so that a shard has none of that work.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use strata_runtime::Timeline;
use strata_wal::Durations;

/// How long requests to one shard lay in each layer that they pass.
///
/// Those are counted that read or write a run as it is: calls of one operation, batches, steps and commits of transactions,
/// closures. What is read from what the shard has published is no request. Each is counted when its answer is received,
/// refusals too, so that one whose caller has given up is not; then it is counted in all layers that it has passed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerTimes {
    /// From when the caller sent it, which may have had to wait for room, until the shard took it from its mailbox.
    pub queue: Durations,
    /// From there until its answer was known: what it does, and what it waited for on the way, as a run that was not in memory or a
    /// log that had no room.
    pub shard: Durations,
    /// From there until the log had come as far as the answer promises, for those whose answer had to wait: writes in a store on disk,
    /// and reads that saw one which was on its way.
    pub log: Durations,
    /// From when the shard answered until the caller had the answer: a caller that looks for it later, as one with a pipeline or
    /// a task does, is in here.
    pub reply: Durations,
}

impl LayerTimes {
    /// Adds one request that was received at `received`; one that was not timed all the way is left out.
    fn record(&mut self, timeline: &Timeline, received: Instant) {
        let &Timeline { sent, taken: Some(taken), withheld, answered: Some(answered) } = timeline else {
            return;
        };
        self.queue.record_between(sent, taken);
        self.shard.record_between(taken, withheld.unwrap_or(answered));
        if let Some(withheld) = withheld {
            self.log.record_between(withheld, answered);
        }
        self.reply.record_between(answered, received);
    }
}

/// The times of every shard of a store. Callers meet here only where they are measured.
#[derive(Debug)]
pub(crate) struct Layers {
    shards: Vec<Mutex<LayerTimes>>,
}

impl Layers {
    /// Those of so many shards.
    pub(crate) fn of(shard_count: usize) -> Layers {
        Layers { shards: (0..shard_count).map(|_| Mutex::default()).collect() }
    }

    /// Adds a request to one shard whose answer is received now, if it was timed.
    #[cold]
    #[inline(never)]
    pub(crate) fn record(&self, shard: usize, timeline: impl FnOnce() -> Option<Timeline>) {
        let received = Instant::now();
        if let Some(timeline) = timeline() {
            self.lock(shard).record(&timeline, received);
        }
    }

    /// The times of one shard so far.
    pub(crate) fn of_shard(&self, shard: usize) -> LayerTimes {
        self.lock(shard).clone()
    }

    /// The shard begins to serve anew.
    pub(crate) fn begin(&self, shard: usize) {
        *self.lock(shard) = LayerTimes::default();
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, LayerTimes> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn maxima(times: &LayerTimes) -> [u128; 4] {
        [&times.queue, &times.shard, &times.log, &times.reply].map(|times| times.max().as_micros())
    }

    #[test]
    fn each_layer_ends_where_the_next_begins() {
        let sent = Instant::now();
        let at = |after| Some(sent + micros(after));
        let mut times = LayerTimes::default();
        let timeline = Timeline { sent, taken: at(1), withheld: None, answered: at(3) };
        times.record(&timeline, sent + micros(7));
        assert_eq!(maxima(&times), [1, 2, 0, 4]);
        assert_eq!(times.log.count(), 0, "its answer did not wait for the log");

        let timeline = Timeline { sent, taken: at(10), withheld: at(30), answered: at(70) };
        times.record(&timeline, sent + micros(150));
        assert_eq!(maxima(&times), [10, 20, 40, 80]);
        assert_eq!(
            [times.queue.count(), times.shard.count(), times.log.count(), times.reply.count()],
            [2, 2, 1, 2]
        );
    }

    #[test]
    fn what_was_not_timed_all_the_way_is_in_no_layer() {
        let sent = Instant::now();
        let mut times = LayerTimes::default();
        times.record(&Timeline { sent, taken: None, withheld: None, answered: Some(sent) }, sent);
        times.record(&Timeline { sent, taken: Some(sent), withheld: None, answered: None }, sent);
        assert_eq!(times, LayerTimes::default());
    }
}
