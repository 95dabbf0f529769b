//! Everything at once: random histories of a whole store against a model of plain maps and lists.
//!
//! A history writes to every primitive of three runs, in single writes, batches, transactions and
//! closures, while time passes, snapshots are held, the disk fails, the process dies, the power goes, and the store is
//! opened with another number of shards. Every answer
//! is compared with the model's at once, and everything that can be read every 50 steps and after every reopening.
//!
//! 10,000 steps by default, `STRATA_STEPS` for more. A failure prints the seed and the last steps of its history;
//! `STRATA_SEED` begins with that history again.

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod chance;
mod comparison;
mod document;
mod ending;
mod history;
mod journal;
mod patch;
mod place;
mod question;
mod read;
mod request;
mod shipped;
mod state;
mod step;
mod transaction;
mod world;
mod write;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use support::{number, seed};
use world::World;

/// Long enough for snapshots and restarts to meet, short enough that a failure can be read.
const STEPS_PER_HISTORY: u64 = 250;
/// A history waits for its store most of the time.
const THREADS: u64 = 4;

#[test]
fn every_answer_of_a_store_is_that_of_plain_maps_and_lists() {
    let (seed, steps) = (seed(), number("STRATA_STEPS", 10_000));
    let (histories, begun, started) = (steps.div_ceil(STEPS_PER_HISTORY), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        let live = || {
            loop {
                let history = begun.fetch_add(1, Ordering::Relaxed);
                if history >= histories {
                    break;
                }
                World::new(seed.wrapping_add(history)).live(STEPS_PER_HISTORY);
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(live)).collect();
        let failed = threads.into_iter().filter_map(|thread| thread.join().err()).count();
        assert_eq!(failed, 0, "histories went wrong; each is told above with its STRATA_SEED");
    });
    let took = started.elapsed();
    println!("{steps} steps in {histories} histories, {:.0} a second", steps as f64 / took.as_secs_f64());
}
