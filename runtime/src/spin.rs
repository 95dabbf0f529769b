//! How long a thread looks before it sleeps.
//!
//! A sleeper costs 13 to 14 us to wake whatever the primitive, and more, up to a hundred, where the CPU has to leave its halt first;
//! a reply from an awake neighbour takes under one. A look that is shorter than a wake-up ends before the other side, if
//! that has slept once, can answer. Then both sleep at every call, and never find out of it. So who waits for an answer looks for
//! longer than a wake-up and a fast disk take together: it is there when the other side is awake, and the next call finds both so.
//!
//! Who waits to be asked looks for less, as it may wait for long: a waiter that has looked in vain some times
//! sleeps at once for some waits ([`Habit`]).
//!
//! With more threads than CPUs, the one that looks may hold the CPU which the one it waits for needs. So a look that has
//! not ended soon gives up the CPU between two glances: where nobody else wants it that is a system call, and otherwise
//! whoever has work gets on with it.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::rest::Rest;
use crate::sync;

/// The longest look before sleeping, and the default one.
pub const SPIN_BUDGET_MAX: Duration = Duration::from_micros(500);

/// For so long a look keeps its CPU: an answer from an awake neighbour is there by then.
const KEEPS_CPU: Duration = Duration::from_micros(2);

/// Glances between two readings of the clock, which cost more than a glance.
const GLANCES_PER_READING: u32 = 32;

/// After so many looks in vain a waiter that looks by habit rests, and then looks once more.
const VAIN_MAX: u8 = 3;

/// The default that a bench has put in the place of ours: [`REPLACED`], perhaps [`STUBBORN`], and the budget in
/// nanoseconds; zero where none has. The standard library's, not the model's: it orders nothing.
static REPLACEMENT: AtomicU64 = AtomicU64::new(0);
const REPLACED: u64 = 1 << 63;
const STUBBORN: u64 = 1 << 62;

/// A bounded wait for something that another thread is about to do.
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
    keeps_cpu: Duration,
}

impl Spin {
    /// A look of at most `budget`, cut to [`SPIN_BUDGET_MAX`], which gives up the CPU now and then.
    pub fn new(budget: Duration) -> Spin {
        Spin { budget: budget.min(SPIN_BUDGET_MAX), keeps_cpu: KEEPS_CPU }
    }

    /// The same without ever giving up the CPU: what benches hold the others against.
    #[doc(hidden)]
    pub fn stubborn(budget: Duration) -> Spin {
        Spin { keeps_cpu: Duration::MAX, ..Spin::new(budget) }
    }

    /// Makes `spin` what [`default`](Spin::default) returns in this process, or with `None` what it was: for benches
    /// that hold one way of waiting against another. Shards take notice at their next look, threads that call at their
    /// first call.
    #[doc(hidden)]
    pub fn replace_default(spin: Option<Spin>) {
        let packed = spin.map_or(0, |spin| {
            let stubborn = if spin.keeps_cpu == Duration::MAX { STUBBORN } else { 0 };
            REPLACED | stubborn | spin.budget.as_nanos() as u64
        });
        REPLACEMENT.store(packed, Ordering::Relaxed);
    }

    /// The same, or a look of `budget` where that is shorter.
    pub fn at_most(self, budget: Duration) -> Spin {
        Spin { budget: self.budget.min(budget), ..self }
    }

    /// The longest this wait takes while nobody else has the CPU, give or take one reading of the clock.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Looks at `condition` until it holds or the budget is spent; tells whether it held.
    #[inline]
    pub fn until(&self, mut condition: impl FnMut() -> bool) -> bool {
        condition() || self.look(condition, std::thread::yield_now)
    }

    /// As [`until`](Self::until), after the first glance; `give_way` lets other threads have the CPU. Never inlined, so that
    /// instructions that wait can be told from others.
    #[inline(never)]
    fn look(&self, mut condition: impl FnMut() -> bool, give_way: impl FnMut()) -> bool {
        // A model has no time to pass; looking again would only repeat interleavings.
        if self.budget.is_zero() || sync::is_modelled() {
            return false;
        }
        // The clock is read for the first time when the first glances were in vain: most waits end before.
        let mut start = None;
        loop {
            for _ in 0..GLANCES_PER_READING {
                std::hint::spin_loop();
                if condition() {
                    return true;
                }
            }
            let start = *start.get_or_insert_with(Instant::now);
            let elapsed = start.elapsed();
            // Before the budget is looked at: who lost the CPU meanwhile gives way once all the same.
            if elapsed >= self.keeps_cpu {
                return self.look_politely(start, condition, give_way);
            }
            if elapsed >= self.budget {
                return false;
            }
        }
    }

    /// The rest of a look that began at `start`: one glance each time this thread has the CPU again.
    #[cold]
    fn look_politely(
        &self,
        start: Instant,
        mut condition: impl FnMut() -> bool,
        mut give_way: impl FnMut(),
    ) -> bool {
        loop {
            give_way();
            if condition() {
                return true;
            }
            if start.elapsed() >= self.budget {
                return false;
            }
        }
    }
}

/// What one waiter has learned of its looks: whether they end in vain.
///
/// Who is asked seldom would look each time for nothing, and keep from the CPU who has work. So after some looks in vain it sleeps at
/// once for some waits, and then tries again: it may be asked more often by now.
#[derive(Debug, Default)]
pub struct Habit {
    vain_count: Cell<u8>,
    rest: Rest,
}

impl Habit {
    /// As [`Spin::until`], unless the last looks were in vain: then it glances once.
    #[inline]
    pub fn until(&self, spin: Spin, mut condition: impl FnMut() -> bool) -> bool {
        condition() || self.look(spin, || spin.look(condition, std::thread::yield_now))
    }

    /// The rest of a wait whose first glance was in vain; `look` tells whether it found something.
    fn look(&self, spin: Spin, look: impl FnOnce() -> bool) -> bool {
        if spin.keeps_cpu == Duration::MAX {
            return look();
        }
        if self.rest.is_on() {
            self.rest.pass();
            return false;
        }
        let has_found = look();
        let vain_count = if has_found { 0 } else { self.vain_count.get() + 1 };
        if vain_count < VAIN_MAX {
            self.vain_count.set(vain_count);
        } else {
            // One more in vain is enough the next time.
            self.vain_count.set(VAIN_MAX - 1);
            self.rest.begin();
        }
        has_found
    }
}

impl Default for Spin {
    /// The full budget, or none on a machine with a single CPU, where nobody could answer meanwhile.
    fn default() -> Spin {
        static DEFAULT: OnceLock<Spin> = OnceLock::new();
        let replacement = REPLACEMENT.load(Ordering::Relaxed);
        if replacement != 0 {
            let budget = Duration::from_nanos(replacement & !(REPLACED | STUBBORN));
            return if replacement & STUBBORN == 0 { Spin::new(budget) } else { Spin::stubborn(budget) };
        }
        *DEFAULT.get_or_init(|| {
            // Not `available_parallelism`: it tells the CPUs of the calling thread, and a pinned one has a single
            // CPU.
            let online = std::fs::read_to_string("/sys/devices/system/cpu/online");
            let is_single = online.is_ok_and(|cpus| is_single(&cpus));
            Spin::new(if is_single { Duration::ZERO } else { SPIN_BUDGET_MAX })
        })
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
    fn a_bench_may_replace_the_default_and_put_it_back() {
        let ours = Spin::default();
        for spin in [Spin::new(Duration::ZERO), Spin::stubborn(SPIN_BUDGET_MAX)] {
            Spin::replace_default(Some(spin));
            assert_eq!(Spin::default(), spin);
        }
        Spin::replace_default(None);
        assert_eq!(Spin::default(), ours);
    }

    #[test]
    fn a_condition_that_never_holds_ends_with_the_budget() {
        for spin in [Spin::new(SPIN_BUDGET_MAX), Spin::stubborn(SPIN_BUDGET_MAX)] {
            let start = Instant::now();
            assert!(!spin.until(|| false));
            assert!(start.elapsed() >= SPIN_BUDGET_MAX);
        }
    }

    #[test]
    fn a_condition_that_comes_to_hold_ends_the_wait() {
        let mut glances = 0;
        assert!(Spin::new(SPIN_BUDGET_MAX).until(|| {
            glances += 1;
            glances == 10
        }));
        assert_eq!(glances, 10);
    }

    /// A look that keeps its CPU keeps it from the very thread it waits for, until the kernel takes it away after
    /// milliseconds: 16 clients of one shard on two busy CPUs made a third of the calls.
    #[test]
    fn a_look_gives_way_before_it_ends() {
        let gave_way = std::cell::Cell::new(false);
        let found = Spin::new(SPIN_BUDGET_MAX).look(|| gave_way.get(), || gave_way.set(true));
        assert!(found, "what happens while the others have the CPU is seen");
        assert!(!Spin::stubborn(SPIN_BUDGET_MAX).look(|| false, || panic!("a stubborn look keeps its CPU")));
    }

    #[test]
    fn who_has_looked_in_vain_rests_and_tries_again() {
        let (habit, looks) = (Habit::default(), Cell::new(0));
        let wait = |has_come: bool| {
            habit.look(Spin::new(SPIN_BUDGET_MAX), || {
                looks.set(looks.get() + 1);
                has_come
            })
        };
        (0..VAIN_MAX + Rest::WAIT_COUNT).for_each(|_| assert!(!wait(false)));
        assert_eq!(looks.get(), VAIN_MAX, "it has rested");
        (0..=Rest::WAIT_COUNT).for_each(|_| assert!(!wait(false)));
        assert_eq!(looks.get(), VAIN_MAX + 1, "one more in vain is enough");
        assert!((0..100).all(|_| wait(true)), "what it waits for has become fast");
    }

    #[test]
    fn an_empty_budget_looks_exactly_once() {
        let mut glances = 0;
        assert!(!Spin::new(Duration::ZERO).until(|| {
            glances += 1;
            false
        }));
        assert_eq!(glances, 1);
    }
}
