//! Threads that patch the document at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strata::{RunHandle, Writes};

use crate::Result;
use crate::trip::{SPENT, TRIP, nights_of, number, raise};

/// Who patches, and how often.
pub(crate) struct Contest<'a> {
    pub(crate) run: &'a RunHandle,
    pub(crate) threads: u64,
    pub(crate) patches: u64,
}

/// What one part came to.
pub(crate) struct Played {
    pub(crate) name: &'static str,
    pub(crate) patches: u64,
    pub(crate) found: u64,
    pub(crate) closures: u64,
    pub(crate) elapsed: Duration,
}

impl Played {
    /// Closures that ran once more because another commit came between.
    pub(crate) fn conflicts(&self) -> u64 {
        self.closures - self.patches
    }
}

impl Contest<'_> {
    /// Every thread patches a place of its own.
    pub(crate) fn play_beside(&self) -> Result<Played> {
        self.play("sibling places", (0..self.threads).map(nights_of).collect())
    }

    /// All threads patch the same place.
    pub(crate) fn play_together(&self) -> Result<Played> {
        self.play("one place", vec![SPENT.to_owned(); self.threads as usize])
    }

    /// A thread for each of `places`; what they leave there is counted from the document.
    fn play(&self, name: &'static str, places: Vec<String>) -> Result<Played> {
        let closures = &AtomicU64::new(0); // the joins order what it counts
        let started = Instant::now();
        thread::scope(|scope| {
            let threads: Vec<_> =
                places.iter().map(|path| scope.spawn(move || self.patch(path, closures))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no patching thread panics"))
        })?;
        let (elapsed, closures) = (started.elapsed(), closures.load(Ordering::Relaxed));
        let places = BTreeSet::from_iter(places);
        let found = places.iter().map(|path| number(self.run, path)).sum::<Result<i64>>()? as u64;
        let patches = self.threads * self.patches;
        if found != patches {
            return Err(format!("{patches} patches of {name} were acknowledged, {found} are there").into());
        }
        Ok(Played { name, patches, found, closures, elapsed })
    }

    /// Raises the number at one place, each time in a transaction that reads it and patches it.
    fn patch(&self, path: &str, closures: &AtomicU64) -> Result<()> {
        for _ in 0..self.patches {
            self.run.transaction(|tx| -> Result<()> {
                closures.fetch_add(1, Ordering::Relaxed);
                let found = number(tx, path)?;
                tx.json_patch(TRIP, &raise(path, found))?;
                Ok(())
            })?;
        }
        Ok(())
    }
}
