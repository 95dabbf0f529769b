//! How long a thread looks before it sleeps.
//!
//! A sleeper costs 13 to 14 us to wake whatever the primitive; a reply from an awake neighbour takes under one. So a
//! short look pays. A long one does not: with more threads than CPUs, the one that spins holds the CPU which the one
//! it waits for needs.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::sync;

/// The longest look before sleeping, and the default one.
pub const SPIN_BUDGET_MAX: Duration = Duration::from_micros(5);

/// Looks between two readings of the clock, which cost more than a look.
const LOOKS_PER_READING: u32 = 32;

/// A bounded busy wait.
///
/// ```
/// use strata_runtime::Spin;
///
/// assert!(Spin::default().until(|| true));
/// assert!(!Spin::new(std::time::Duration::ZERO).until(|| false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spin {
    budget: Duration,
}

impl Spin {
    /// A wait of at most `budget`, cut to [`SPIN_BUDGET_MAX`].
    pub fn new(budget: Duration) -> Spin {
        Spin { budget: budget.min(SPIN_BUDGET_MAX) }
    }

    /// The longest this wait takes, give or take one reading of the clock.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Looks at `condition` until it holds or the budget is spent; tells whether it held.
    #[inline]
    pub fn until(&self, mut condition: impl FnMut() -> bool) -> bool {
        condition() || self.look(condition)
    }

    /// The wait behind a first look in vain; never inlined, so that instructions that wait can be told from others.
    #[inline(never)]
    fn look(&self, mut condition: impl FnMut() -> bool) -> bool {
        // A model has no time to pass; looking again would only repeat interleavings.
        if self.budget.is_zero() || sync::is_modelled() {
            return false;
        }
        // The clock is read for the first time when the first looks were in vain: most waits end before.
        let mut start = None;
        loop {
            for _ in 0..LOOKS_PER_READING {
                std::hint::spin_loop();
                if condition() {
                    return true;
                }
            }
            if start.get_or_insert_with(Instant::now).elapsed() >= self.budget {
                return false;
            }
        }
    }
}

impl Default for Spin {
    /// The full budget, or none on a machine with a single CPU, where nobody could answer meanwhile.
    fn default() -> Spin {
        static BUDGET: OnceLock<Duration> = OnceLock::new();
        let budget = *BUDGET.get_or_init(|| {
            // Not `available_parallelism`: it tells the CPUs of the calling thread, and a pinned one has a single
            // CPU.
            let online = std::fs::read_to_string("/sys/devices/system/cpu/online");
            if online.is_ok_and(|cpus| is_single(&cpus)) { Duration::ZERO } else { SPIN_BUDGET_MAX }
        });
        Spin { budget }
    }
}

/// Whether a list of CPUs such as `0-3,8`, as the kernel's sysfs writes it, names just one.
fn is_single(cpus: &str) -> bool {
    !cpus.contains(['-', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_tells_whether_there_is_only_one() {
        assert!(is_single("0\n"));
        assert!(!is_single("0-1\n"));
        assert!(!is_single("0,2\n"));
    }

    #[test]
    fn a_budget_is_cut_to_the_maximum() {
        assert_eq!(Spin::new(Duration::from_secs(1)).budget(), SPIN_BUDGET_MAX);
        assert_eq!(Spin::new(Duration::from_micros(2)).budget(), Duration::from_micros(2));
        assert!(Spin::default().budget() <= SPIN_BUDGET_MAX);
    }

    #[test]
    fn a_condition_that_never_holds_ends_with_the_budget() {
        let start = Instant::now();
        assert!(!Spin::new(SPIN_BUDGET_MAX).until(|| false));
        assert!(start.elapsed() >= SPIN_BUDGET_MAX);
    }

    #[test]
    fn a_condition_that_comes_to_hold_ends_the_wait() {
        let mut looks = 0;
        assert!(Spin::new(SPIN_BUDGET_MAX).until(|| {
            looks += 1;
            looks == 10
        }));
        assert_eq!(looks, 10);
    }

    #[test]
    fn an_empty_budget_looks_exactly_once() {
        let mut looks = 0;
        assert!(!Spin::new(Duration::ZERO).until(|| {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);
    }
}
