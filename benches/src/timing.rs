//! From many measured times to the few numbers that are told.

use std::time::{Duration, Instant};

/// How long each of many calls took, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    nanos: Vec<u64>,
}

impl Latencies {
    /// Calls `call` for each number below `count` and times every call.
    ///
    /// The clock is read once a call, so a time includes one reading, about 25 ns.
    pub fn of(count: usize, mut call: impl FnMut(usize)) -> Latencies {
        let mut nanos = Vec::with_capacity(count);
        let mut before = Instant::now();
        for index in 0..count {
            call(index);
            let after = Instant::now();
            nanos.push((after - before).as_nanos() as u64);
            before = after;
        }
        nanos.sort_unstable();
        Latencies { nanos }
    }

    /// The time that `share` (0 to 1) of the calls did not exceed, in microseconds.
    ///
    /// # Panics
    /// If nothing was timed.
    pub fn percentile(&self, share: f64) -> f64 {
        let last = self.nanos.len() - 1;
        self.nanos[(last as f64 * share).round() as usize] as f64 / 1000.0
    }

    /// The time that half of the calls did not exceed, in microseconds.
    pub fn median(&self) -> f64 {
        self.percentile(0.5)
    }

    /// The mean time of a call, in microseconds.
    ///
    /// # Panics
    /// If nothing was timed.
    pub fn mean(&self) -> f64 {
        assert!(!self.nanos.is_empty(), "something was timed");
        self.nanos.iter().sum::<u64>() as f64 / self.nanos.len() as f64 / 1000.0
    }
}

/// How long one call of `body` takes.
pub fn time(body: impl FnOnce()) -> Duration {
    let start = Instant::now();
    body();
    start.elapsed()
}

/// How many a second `count` in `elapsed` are.
pub fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// One number of several rounds: the middle one, and how far they lie apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds {
    values: Vec<f64>,
}

impl Rounds {
    /// No rounds yet.
    pub fn new() -> Rounds {
        Rounds::default()
    }

    /// Adds the number of one more round.
    pub fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The numbers, in the order of the rounds.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// How many rounds there were.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The number of the middle round; the mean of the middle two when their count is even.
    ///
    /// # Panics
    /// If there was no round.
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
    }

    /// The lowest number.
    pub fn low(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The highest number.
    pub fn high(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Round by round, how large these numbers are next to those of `other`.
    ///
    /// What a neighbour on the machine does to one round it does to both numbers of it, so this is
    /// steadier than the ratio of the medians.
    ///
    /// # Panics
    /// If the rounds are not equally many.
    pub fn ratio_to(&self, other: &Rounds) -> Rounds {
        assert_eq!(self.count(), other.count(), "both numbers are measured in every round");
        Rounds { values: self.values.iter().zip(&other.values).map(|(own, other)| own / other).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: &[f64]) -> Rounds {
        Rounds { values: values.to_vec() }
    }

    #[test]
    fn the_median_is_the_middle_round_whatever_their_order() {
        assert_eq!(rounds(&[9.0, 1.0, 5.0]).median(), 5.0);
        assert_eq!(rounds(&[9.0, 1.0, 5.0, 6.0]).median(), 5.5);
        assert_eq!((rounds(&[9.0, 1.0, 5.0]).low(), rounds(&[9.0, 1.0, 5.0]).high()), (1.0, 9.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratio = rounds(&[2.0, 40.0, 6.0]).ratio_to(&rounds(&[1.0, 20.0, 2.0]));
        assert_eq!(ratio, rounds(&[2.0, 2.0, 3.0]));
    }

    #[test]
    fn percentiles_come_from_the_sorted_times() {
        let latencies = Latencies { nanos: (1..=101).map(|micros| micros * 1000).collect() };
        assert_eq!(latencies.median(), 51.0);
        assert_eq!(latencies.percentile(0.99), 100.0);
        assert_eq!(latencies.percentile(1.0), 101.0);
    }

    #[test]
    fn every_call_is_timed_once() {
        let mut calls = Vec::new();
        let latencies = Latencies::of(3, |index| calls.push(index));
        assert_eq!(calls, [0, 1, 2]);
        assert_eq!(latencies.nanos.len(), 3);
    }
}
