//! Durations that a store is opened with.

use std::time::Duration;

use strata::{Database, Durability, Options, RunSpec, Writes};

use crate::support::versions::{disk, file};
use crate::support::{TestClock, options};

/// An interval of so many microseconds that they do not fit 64 bits was taken for half a second, and a checkpoint was made that often.
#[test]
fn an_interval_of_any_length_is_waited_for() {
    for long in
        [Duration::MAX, Duration::from_secs(18_446_744_073_710), Duration::from_secs(u64::MAX / 1_000)]
    {
        let (disk, clock) = (disk(1), TestClock::at(1_000_000_000));
        let calm = options(Durability::Buffered, 1);
        let options = Options { checkpoint_interval: long, checkpoint_log_size: 1 << 30, ..calm };
        let storage = Some(std::sync::Arc::new(disk) as _);
        let database = Database::start(Some(file("store")), options, clock.clock(), storage).unwrap();
        let run = database.begin_run(RunSpec::named("run")).unwrap();
        for number in 0..100 {
            clock.advance(Duration::from_secs(60));
            run.put("key", number).unwrap();
        }
        // One that is under way comes before it.
        drop(database.checkpoint().unwrap());
        assert_eq!(database.stats().unwrap().shards[0].images, 1, "{long:?}");
        database.close().unwrap();
    }
}
