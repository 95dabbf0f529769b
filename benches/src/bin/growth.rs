//! What does a map cost that grows without a pause, and how long is the longest pause of one that does not?
//!
//! [`SplitMap`] against the plain hash map with the same hash, both with entries of the size of a run's: a shared text
//! for a key, 48 bytes for what it holds. Each is grown to a million entries, every insertion timed on its own; then
//! all keys are read and written again, and a thousand of them over and over. Rounds of the two take turns.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use rustc_hash::FxSeededState;
use strata_benches::arguments::Arguments;
use strata_benches::figure::{Figure, Goal};
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds, time};
use strata_primitives::SplitMap;

const ENTRY_COUNT: usize = 1_000_000;
const HOT_COUNT: usize = 1_000;
const SEED: usize = 0x5eed;

/// As large as what a run keeps under a key.
type Held = [u64; 6];

/// A map under its own name for every call that is measured.
trait Map {
    fn put(&mut self, key: &Arc<str>, held: Held);
    fn find(&self, key: &str) -> Option<&Held>;
}

impl Map for SplitMap<Arc<str>, Held> {
    fn put(&mut self, key: &Arc<str>, held: Held) {
        self.insert(Arc::clone(key), held);
    }

    fn find(&self, key: &str) -> Option<&Held> {
        self.get(key)
    }
}

impl Map for HashMap<Arc<str>, Held, FxSeededState> {
    fn put(&mut self, key: &Arc<str>, held: Held) {
        self.insert(Arc::clone(key), held);
    }

    fn find(&self, key: &str) -> Option<&Held> {
        self.get(key)
    }
}

/// What one map answered, one number a round each.
#[derive(Default)]
struct Answers {
    longest: Rounds,
    p999: Rounds,
    grow: Rounds,
    get_cold: Rounds,
    put_cold: Rounds,
    get_hot: Rounds,
    put_hot: Rounds,
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("growth", &arguments);
    let count = arguments.pick(ENTRY_COUNT, 20_000);
    let keys: Vec<Arc<str>> = (0..count).map(|number| format!("key/{number:08}").into()).collect();
    let order = shuffled(count);
    let (mut split, mut plain) = (Answers::default(), Answers::default());
    for _ in 0..arguments.pick(7, 2) {
        measure(&mut SplitMap::new(SEED), &keys, &order, &mut split);
        measure(&mut HashMap::with_hasher(FxSeededState::with_seed(SEED)), &keys, &order, &mut plain);
    }
    let add = |report: &mut Report, question: &str, unit, ours: &Rounds, theirs: &Rounds| {
        report.add(&Figure::new(question, unit, ours.clone()).against("a plain hash map", theirs));
    };
    let longest =
        Figure::new("longest_insertion", "us", split.longest).against("a plain hash map", &plain.longest);
    report.add(&longest.goal(Goal::AtMost(1_000.0)));
    add(&mut report, "insertion_p999", "us", &split.p999, &plain.p999);
    add(&mut report, "insertion_mean", "ns", &split.grow, &plain.grow);
    add(&mut report, "get_of_all", "ns", &split.get_cold, &plain.get_cold);
    add(&mut report, "put_of_all", "ns", &split.put_cold, &plain.put_cold);
    add(&mut report, "get_of_1000", "ns", &split.get_hot, &plain.get_hot);
    add(&mut report, "put_of_1000", "ns", &split.put_hot, &plain.put_hot);
    report.end()
}

fn measure(map: &mut impl Map, keys: &[Arc<str>], order: &[usize], answers: &mut Answers) {
    let grown = time(|| {
        let latencies = Latencies::of(keys.len(), |index| map.put(&keys[order[index]], [index as u64; 6]));
        answers.longest.push(latencies.percentile(1.0));
        answers.p999.push(latencies.percentile(0.999));
    });
    answers.grow.push(grown.as_nanos() as f64 / keys.len() as f64);
    let (count, hot) = (keys.len(), |index: usize| &keys[order[index % HOT_COUNT]]);
    let mut sum = 0;
    let mut look = |map: &_, key: &str| sum += Map::find(map, key).map_or(0, |held| held[0]);
    answers.get_cold.push(mean(count, |index| look(&*map, &keys[order[index]])));
    answers.get_hot.push(mean(count, |index| look(&*map, hot(index))));
    answers.put_cold.push(mean(count, |index| map.put(&keys[order[index]], [1; 6])));
    answers.put_hot.push(mean(count, |index| map.put(hot(index), [2; 6])));
    black_box(sum);
}

/// Nanoseconds of one call.
fn mean(count: usize, call: impl FnMut(usize)) -> f64 {
    time(|| (0..count).for_each(call)).as_nanos() as f64 / count as f64
}

/// The numbers below `count` in an order that is no order, the same each time.
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 1_u64;
    for index in (1..count).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(index, (state >> 33) as usize % (index + 1));
    }
    order
}
