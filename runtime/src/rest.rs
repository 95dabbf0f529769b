//! How long a waiter that has looked in vain does not look.

use std::cell::Cell;

/// The rest of one waiter: for some waits it sleeps at once. The one behind them looks again, since what it waits for may have become
/// faster.
#[derive(Debug, Default)]
pub(crate) struct Rest(Cell<u8>);

impl Rest {
    /// The waits of a rest.
    pub(crate) const WAIT_COUNT: u8 = 16;

    /// The next waits sleep at once.
    #[inline]
    pub(crate) fn begin(&self) {
        self.0.set(Self::WAIT_COUNT);
    }

    /// The next wait looks.
    #[inline]
    pub(crate) fn end(&self) {
        self.0.set(0);
    }

    /// Whether the next wait sleeps at once.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.0.get() > 0
    }

    /// Counts a wait that slept at once, if there is a rest.
    #[inline]
    pub(crate) fn pass(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_ends_behind_its_last_wait_or_when_it_is_told_to() {
        let rest = Rest::default();
        rest.pass();
        assert!(!rest.is_on(), "nobody has begun one");
        rest.begin();
        for _ in 0..Rest::WAIT_COUNT {
            assert!(rest.is_on());
            rest.pass();
        }
        assert!(!rest.is_on());
        rest.begin();
        rest.pass();
        rest.begin();
        (1..Rest::WAIT_COUNT).for_each(|_| rest.pass());
        assert!(rest.is_on(), "it began anew");
        rest.end();
        assert!(!rest.is_on());
    }
}
