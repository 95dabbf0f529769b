//! An erasure and all who look at what it erased: the run itself, older versions of it, and runs that were forked from it.

use std::collections::BTreeMap;

use strata_primitives::{Erasure, ForkPoint, RunId, Version};

use crate::base::Origin;
use crate::image_directory::RunEntry;
use crate::run::Need;
use crate::run_table::Taken;
use crate::shard::Shard;

impl Shard {
    /// What a commit has erased in its run is erased wherever its shard knows somebody who inherited it, or looks at it. What it
    /// gives back takes that back.
    ///
    /// Whoever reads the marker waits like the reader of the run: until the erasure is as safe as its caller was promised.
    pub(crate) fn spread_erasures(&mut self, run: RunId, count: usize, need: Need) -> Vec<Taken> {
        let held = self.runs.get(run).expect("a run that has just erased something is in the table");
        let (erasures, logged) = (held.state.erasures(), held.logged.version);
        let new = erasures[erasures.len() - count..].iter();
        let new: Vec<Erasure> = new.filter_map(|erasure| of_its_life(erasure, logged)).collect();
        let taken = new.iter().flat_map(|erasure| self.runs.redact_descendants(run, erasure, need)).collect();
        let runs = &self.runs;
        self.pasts.redact(&new, need, |of| runs.inherited_through(of, run));
        self.transactions.wait_for(need, |of| of == run || runs.inherited_through(of, run).is_some());
        self.runs.windows.erase(need, run, new, self.erasure_mark);
        self.runs.release_erasures(&self.progress);
        let runs = &self.runs;
        // What is made from now on is made without it.
        self.bases.forget(|point| point.run == run || runs.inherited_through(point.run, run).is_some());
        taken
    }
}

/// What of it is spread. A life in memory erases nothing of earlier lives, the last commit of which was `logged`: that it did would
/// be forgotten with it, and their forks would show it again.
fn of_its_life(erasure: &Erasure, logged: Version) -> Option<Erasure> {
    if erasure.by <= logged {
        return Some(erasure.clone());
    }
    let from = erasure.from.max(logged.next());
    (from <= erasure.through).then(|| Erasure { from, ..erasure.clone() })
}

/// What is known of the erasures of runs: their own, and what they began as.
pub(crate) trait Descent {
    /// What a run erased itself, and the version of another one that it began as.
    fn erased(&self, run: RunId) -> Option<(&[Erasure], Option<Origin>)>;
}

/// All erasures that show in a run: its own, and those of the runs that it descends from, as far as it inherits what they cover.
pub(crate) fn erasures_of(runs: &impl Descent, run: RunId) -> Vec<Erasure> {
    let Some((own, mut next)) = runs.erased(run) else { return Vec::new() };
    let mut all = own.to_vec();
    let mut through = Version::PENDING;
    while let Some(Origin { point: ForkPoint { run, version }, .. }) = next {
        // Versions grow from a run to its forks, so this ends whatever a file says.
        if version >= through {
            break;
        }
        through = version;
        let Some((inherited, before)) = runs.erased(run) else { break };
        all.extend(inherited.iter().filter_map(|erasure| erasure.within(through)));
        next = before;
    }
    all
}

/// The runs of one directory.
pub(crate) struct Entries<'a>(BTreeMap<RunId, &'a RunEntry>);

impl<'a> Entries<'a> {
    pub(crate) fn new(entries: &'a [RunEntry]) -> Self {
        Entries(entries.iter().map(|entry| (entry.run, entry)).collect())
    }
}

impl Descent for Entries<'_> {
    fn erased(&self, run: RunId) -> Option<(&[Erasure], Option<Origin>)> {
        let entry = self.0.get(&run)?;
        Some((&entry.erasures, entry.origin))
    }
}
