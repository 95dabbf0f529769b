//! How long things took, as a distribution.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// A distribution of durations from a microsecond to a minute, each known to two digits: a histogram with buckets that grow
/// with what they hold (Tene, HdrHistogram).
#[derive(Clone)]
pub struct Durations(Histogram<u32>);

/// Longer durations count as this long, microseconds.
const LONGEST: u64 = 60_000_000;

impl Durations {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that the share `quantile` of all do not exceed, 0.999 for one in a thousand above it; zero when there
    /// are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    /// The longest one; zero when there are none.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Adds one, in microseconds.
    pub fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros.min(LONGEST));
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
        (1..=1_000).for_each(|micros| durations.record(micros));
        durations.record(u64::MAX);
        let near = |quantile: f64, micros: f64| {
            let found = durations.quantile(quantile).as_micros() as f64;
            assert!((found / micros - 1.0).abs() < 0.01, "{found} for {micros}");
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(1.0, 60_000_000.0);
        assert_eq!(durations.count(), 1_001);
    }
}
