//! How long things took and how large they were, as distributions.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// A distribution of durations from a nanosecond to a minute, each known to two digits: a histogram with buckets that grow
/// with what they hold (Tene, HdrHistogram). Adding one allocates nothing and takes some nanoseconds.
#[derive(Clone, PartialEq)]
pub struct Durations(Histogram<u32>);

/// A distribution of sizes or counts up to 2^30, each known to two digits, in the same way.
#[derive(Clone, PartialEq)]
pub struct Sizes(Histogram<u32>);

/// Longer durations count as this long, nanoseconds.
const LONGEST: u64 = 60_000_000_000;
/// Larger sizes count as this large.
const LARGEST: u64 = 1 << 30;

impl Durations {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that the share `quantile` of all do not exceed, 0.999 for one in a thousand above it; zero when there
    /// are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(quantile))
    }

    /// The longest one; zero when there are none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// Adds one, in nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.min(LONGEST));
    }

    /// Adds one that began at `since` and ends at `now`.
    pub fn record_between(&mut self, since: Instant, now: Instant) {
        self.record(now.saturating_duration_since(since).as_nanos() as u64);
    }
}

impl Sizes {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The size that the share `quantile` of all do not exceed; 0 when there are none.
    pub fn quantile(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// The largest one; 0 when there are none.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// Adds one.
    pub fn record(&mut self, size: u64) {
        self.0.saturating_record(size.min(LARGEST));
    }
}

impl Default for Sizes {
    fn default() -> Sizes {
        let histogram = Histogram::new_with_bounds(1, LARGEST, 2);
        Sizes(histogram.expect("the bounds are a thousand apart and the digits are few"))
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| self.quantile(quantile));
        write!(formatter, "{} sizes: p50 {median}, p99 {p99}, p99.9 {p999}, max {}", self.count(), self.max())
    }
}

impl Default for Durations {
    fn default() -> Durations {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 2);
        Durations(histogram.expect("the bounds are a thousand apart and the digits are few"))
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| self.quantile(quantile));
        write!(
            formatter,
            "{} durations: p50 {median:?}, p99 {p99:?}, p99.9 {p999:?}, max {:?}",
            self.count(),
            self.max()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_known_to_two_digits() {
        let mut durations = Durations::default();
        assert_eq!(
            (durations.count(), durations.quantile(0.5), durations.max()),
            (0, Duration::ZERO, Duration::ZERO)
        );
        (1..=1_000).for_each(|nanos| durations.record(nanos));
        durations.record(u64::MAX);
        let near = |quantile: f64, nanos: f64| {
            let found = durations.quantile(quantile).as_nanos() as f64;
            assert!((found / nanos - 1.0).abs() < 0.01, "{found} for {nanos}");
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(1.0, 60e9);
        assert_eq!(durations.count(), 1_001);
    }

    #[test]
    fn a_size_is_known_to_two_digits_and_larger_ones_count_as_the_largest() {
        let mut sizes = Sizes::default();
        assert_eq!((sizes.count(), sizes.quantile(0.5), sizes.max()), (0, 0, 0));
        [1, 100, 4_096, u64::MAX].into_iter().for_each(|size| sizes.record(size));
        assert_eq!((sizes.count(), sizes.quantile(0.25), sizes.quantile(0.5)), (4, 1, 100));
        assert!((4_096..4_140).contains(&sizes.quantile(0.75)), "{sizes:?}");
        assert!(sizes.max() >= LARGEST, "{sizes:?}");
    }

    #[test]
    fn what_lies_between_two_instants_is_a_duration_and_never_negative() {
        let (mut durations, now) = (Durations::default(), Instant::now());
        durations.record_between(now, now + Duration::from_nanos(77));
        durations.record_between(now + Duration::from_secs(1), now);
        assert_eq!((durations.quantile(0.5), durations.max()), (Duration::ZERO, Duration::from_nanos(77)));
    }
}
