//! The memory that forks share: what they began as.

use std::collections::BTreeMap;

use strata_primitives::{ForkPoint, RunId, Version};

use crate::base::Base;

/// What the forks in memory began as, and about how many bytes that takes.
///
/// What was shared with a run in memory is counted there, and here once that run has left; of several versions of a run the newest
/// then, as the others share most of it.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    bases: BTreeMap<ForkPoint, Shared>,
    counted: usize,
}

#[derive(Debug)]
struct Shared {
    forks: usize,
    memory: usize,
    is_counted: bool,
}

impl SharedMemory {
    /// About how many bytes all of it takes that are counted nowhere else.
    pub(crate) fn counted(&self) -> usize {
        self.counted
    }

    /// A fork is in memory that began as this; whether the run that it was forked from is too.
    pub(crate) fn enter(&mut self, base: &Base, is_parent_resident: bool) {
        let memory = base.state().map_or(0, |state| match state.fork_point() {
            Some(over) if self.bases.contains_key(&over) => state.memory(),
            // What it is over is counted with it where it is not known by itself.
            _ => state.share().memory(),
        });
        let is_elsewhere = is_parent_resident && base.is_of_live_run();
        let shared = self.bases.entry(base.origin.point).or_insert_with(|| {
            self.counted += if is_elsewhere { 0 } else { memory };
            Shared { forks: 0, memory, is_counted: !is_elsewhere }
        });
        shared.forks += 1;
    }

    /// A fork that began as this has left memory.
    pub(crate) fn leave(&mut self, base: &Base) {
        let point = base.origin.point;
        let shared = self.bases.get_mut(&point).expect("what a fork in memory began as is known");
        shared.forks -= 1;
        if shared.forks == 0 {
            let Shared { memory, is_counted, .. } = self.bases.remove(&point).expect("it was just looked at");
            self.counted -= if is_counted { memory } else { 0 };
        }
    }

    /// A run has left memory, of which forks may have been made.
    pub(crate) fn lose(&mut self, run: RunId) {
        let of_run = |version| ForkPoint { run, version };
        let versions = of_run(Version::NEVER)..=of_run(Version::PENDING);
        if let Some((_, shared)) = self.bases.range_mut(versions).next_back()
            && !shared.is_counted
        {
            shared.is_counted = true;
            self.counted += shared.memory;
        }
    }
}

#[cfg(test)]
mod tests {
    use strata_primitives::{RunState, Stamp, Timestamp};

    use super::*;
    use crate::base::Origin;
    use crate::record::RecordPlace;

    fn base(version: u64, is_of_live_run: bool) -> Base {
        let run = RunId::from_bytes([1; 16]);
        let mut state = RunState::new(run, 1);
        state.commit(Stamp { version: Version(version), timestamp: Timestamp(1) });
        let point = ForkPoint { run, version: Version(version) };
        let base = Base::new(Origin { point, record: RecordPlace::default() });
        if is_of_live_run {
            base.fill_from_live(state)
        } else {
            base.fill(state)
        };
        base
    }

    #[test]
    fn what_forks_share_is_counted_once_and_with_the_run_while_that_is_in_memory() {
        let (older, newer, made) = (base(3, true), base(5, true), base(7, false));
        let each = older.state().unwrap().memory();
        assert!(each > 0);
        let mut shared = SharedMemory::default();
        [&older, &older, &newer].into_iter().for_each(|base| shared.enter(base, true));
        assert_eq!(shared.counted(), 0);
        shared.lose(RunId::from_bytes([1; 16]));
        assert_eq!(shared.counted(), each, "the newest has most of the other");
        [&made, &made].into_iter().for_each(|base| shared.enter(base, true));
        assert_eq!(shared.counted(), 2 * each, "one that was made has nothing of the run in memory");
        [&older, &newer, &made].into_iter().for_each(|base| shared.leave(base));
        assert_eq!(shared.counted(), each);
        [&older, &made].into_iter().for_each(|base| shared.leave(base));
        assert_eq!((shared.counted(), shared.bases.len()), (0, 0));
        shared.enter(&older, false);
        assert_eq!(shared.counted(), each);
    }
}
