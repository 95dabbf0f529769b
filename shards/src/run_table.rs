//! The runs of one shard.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use strata_primitives::{
    Erasure, ForkPoint, OrderIndex, Redacted, RunId, RunState, Snapshot, SplitMap, Timestamp, Version,
};
use strata_wal::Lsn;

use crate::base::{Base, Origin};
use crate::cold_run::ColdRun;
use crate::erasing::{Descent, erasures_of};
use crate::forks::Forks;
use crate::held::Held;
use crate::image_directory::RunEntry;
use crate::record::Record;
use crate::run::{Counted, Need, Run};
use crate::shared_memory::SharedMemory;
use crate::windows::Windows;

/// The runs that a shard owns: by id, in order of id, and in order of their next deadline.
///
/// A run is resident, or cold: then its content is in an image. Whoever looks at the content of a run sees to it that it is
/// resident.
#[derive(Debug)]
pub(crate) struct RunTable {
    runs: SplitMap<RunId, Held>,
    /// How many of them are cold.
    cold_count: usize,
    /// Those that are not, in no order.
    resident: Vec<RunId>,
    /// What all of them take, in memory and elsewhere.
    taken: Counted,
    /// Cold runs that have commits behind their image, and were not yet tried to be loaded.
    behind: BTreeSet<RunId>,
    /// Those that could not be loaded.
    incomplete: BTreeSet<RunId>,
    /// Every id in order, so that a query pages through runs without sorting them.
    order: BTreeSet<RunId>,
    /// Runs with a key that expires, by the first such deadline.
    deadlines: BTreeSet<(Timestamp, RunId)>,
    pub(crate) forks: Forks,
    /// What is published of them.
    pub(crate) windows: Windows,
    shared: SharedMemory,
    hash_seed: usize,
}

/// What is known of a cold run takes about so many bytes.
const COLD_SIZE: usize = 768;

/// What an erasure took out of a run that had inherited it.
#[derive(Debug)]
pub(crate) struct Taken {
    run: RunId,
    redacted: Redacted,
}

impl RunTable {
    /// An empty table. The seed keeps chosen ids and keys from colliding on purpose.
    pub(crate) fn new(hash_seed: usize) -> RunTable {
        RunTable {
            runs: SplitMap::unshared(hash_seed),
            cold_count: 0,
            resident: Vec::new(),
            taken: Counted::default(),
            behind: BTreeSet::new(),
            incomplete: BTreeSet::new(),
            order: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            forks: Forks::default(),
            windows: Windows::default(),
            shared: SharedMemory::default(),
            hash_seed,
        }
    }

    /// How many runs there are, deleted ones not counted.
    pub(crate) fn count(&self) -> usize {
        self.runs.values().filter(|run| run.exists()).count()
    }

    /// How many runs are cold.
    pub(crate) fn cold_count(&self) -> usize {
        self.cold_count
    }

    /// How many runs are in memory, and about how many bytes all take, with what is known of those that are not.
    pub(crate) fn residents(&self) -> (usize, usize) {
        (self.resident.len(), self.taken.memory + self.shared.counted() + self.windows.size())
    }

    /// How many bytes of large values of runs in memory are not.
    pub(crate) fn elsewhere(&self) -> usize {
        self.taken.elsewhere
    }

    /// A resident run by its place among them.
    pub(crate) fn resident_at(&self, place: usize) -> Option<&Run> {
        self.get(*self.resident.get(place)?)
    }

    /// Keeps names of a resident run in order from now on.
    pub(crate) fn keep_in_order(&mut self, id: RunId, index: OrderIndex) {
        if let Some(Held::Resident(run)) = self.runs.get_mut(&id)
            && !run.state.has_order(index)
        {
            run.state.ensure_order(index);
            self.taken.count(run);
        }
    }

    /// Closes a snapshot of a run; one that is cold had given it up before. Whether there is more to
    /// [forget](Self::forget_past) of what was kept for it.
    pub(crate) fn close_snapshot(&mut self, id: RunId, snapshot: Snapshot) -> bool {
        self.change_kept(id, |state| state.close_snapshot(snapshot))
    }

    /// Forgets what was kept for snapshots of a run that are closed, `count_max` things at most. Whether there may be more.
    pub(crate) fn forget_past(&mut self, id: RunId, count_max: usize) -> bool {
        self.change_kept(id, |state| state.forget_past(count_max))
    }

    fn change_kept(&mut self, id: RunId, change: impl FnOnce(&mut RunState) -> bool) -> bool {
        let Some(Held::Resident(run)) = self.runs.get_mut(&id) else { return false };
        let has_more = change(&mut run.state);
        self.taken.count(run);
        has_more
    }

    /// Puts what is known of a run without its content into its place. The run, to be dropped.
    ///
    /// # Panics
    /// If the run is not resident, or has no image as it is.
    pub(crate) fn make_cold(&mut self, id: RunId) -> Box<Run> {
        let run = self.get(id).expect("only a run of the table leaves memory");
        let image = run.image.filter(|image| image.stamp.version == run.state.version());
        let entry = run.as_in(image.expect("a run leaves memory when an image has all of it"));
        self.put_cold(entry)
    }

    /// Puts this into the place of a run. The run, to be dropped.
    pub(crate) fn put_cold(&mut self, entry: RunEntry) -> Box<Run> {
        let id = entry.run;
        self.windows.leave(id);
        let held = self.runs.get_mut(&id).expect("only a run of the table leaves memory");
        let run = held.run();
        let cold = Box::new(ColdRun { deadline: run.deadline, ..ColdRun::new(entry) });
        self.taken.leave(run);
        self.taken.memory += COLD_SIZE;
        let place = run.place_among_resident;
        let Held::Resident(run) = std::mem::replace(held, Held::Cold(cold)) else {
            unreachable!("it was just looked at")
        };
        self.cold_count += 1;
        self.leave_residents(place);
        if let Some(base) = &run.base {
            self.shared.leave(base);
        }
        self.shared.lose(id);
        run
    }

    fn leave_residents(&mut self, place: usize) {
        self.resident.swap_remove(place);
        if let Some(moved) = self.resident.get(place).copied()
            && let Some(Held::Resident(run)) = self.runs.get_mut(&moved)
        {
            run.place_among_resident = place;
        }
    }

    /// A cold run that has commits behind its image and is not being loaded: of those not even a summary is known.
    pub(crate) fn next_behind(&self) -> Option<RunId> {
        let is_waiting =
            |id: &RunId| matches!(self.runs.get(id), Some(Held::Cold(cold)) if cold.loading.is_none());
        self.behind.iter().copied().find(is_waiting)
    }

    /// A cold run that could not be loaded and has commits behind its image.
    pub(crate) fn first_incomplete(&self) -> Option<RunId> {
        self.incomplete.first().copied()
    }

    /// Whether there are runs with commits behind their image.
    pub(crate) fn is_any_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// A resident run.
    ///
    /// # Panics
    /// If the run is cold.
    pub(crate) fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id).map(Held::run)
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// If the run is cold.
    pub(crate) fn get_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&id).map(Held::run_mut)
    }

    /// A run as it is held.
    pub(crate) fn held_mut(&mut self, id: RunId) -> Option<&mut Held> {
        self.runs.get_mut(&id)
    }

    /// A run that is cold.
    pub(crate) fn cold_mut(&mut self, id: RunId) -> Option<&mut ColdRun> {
        if self.cold_count == 0 {
            return None;
        }
        match self.runs.get_mut(&id) {
            Some(Held::Cold(cold)) => Some(cold),
            _ => None,
        }
    }

    /// Whether there is a run of this id, or was.
    pub(crate) fn contains(&self, id: RunId) -> bool {
        self.runs.contains_key(&id)
    }

    /// A run as it is held.
    pub(crate) fn held(&self, id: RunId) -> Option<&Held> {
        self.runs.get(&id)
    }

    /// Enters a fork whose first commit is about to be applied; what it began as is needed from now on, if it is logged.
    pub(crate) fn insert_fork(&mut self, mut run: Box<Run>, is_logged: bool) {
        let id = run.state.id();
        self.remove(id);
        self.redact_inherited(&mut run);
        if let Some(origin) = run.origin.filter(|_| is_logged) {
            self.forks.enter_origin(id, origin);
        }
        run.place_among_resident = self.resident.len();
        self.resident.push(id);
        self.order.insert(id);
        self.enter_base(&run);
        let before = self.runs.insert(id, Held::Resident(run));
        assert!(
            before.is_none(),
            "the id of a fork is new, and what was deleted of an imported run is taken out before"
        );
    }

    /// A fork that was expected does not come.
    pub(crate) fn abandon_fork(&mut self, fork: RunId) {
        if !self.contains(fork) {
            self.forks.leave(fork);
        }
    }

    /// Changes a run by a commit; it is entered as a blank one if it was not there. What it takes and when it expires next is known
    /// behind it.
    ///
    /// # Panics
    /// If the run is cold.
    pub(crate) fn change<T>(&mut self, id: RunId, change: impl FnOnce(&mut Run) -> T) -> T {
        let Self { runs, order, resident, hash_seed, taken, deadlines, .. } = self;
        let held = runs.get_or_insert_with(id, || {
            order.insert(id);
            let mut run = Run::new(RunState::new(id, *hash_seed));
            run.place_among_resident = resident.len();
            resident.push(id);
            Held::Resident(Box::new(run))
        });
        let run = held.run_mut();
        let changed = change(run);
        count_anew(taken, deadlines, run);
        changed
    }

    /// What a run that was deleted held in memory of what it began as. What was forked from it is its forks' alone from now on.
    pub(crate) fn release_base(&mut self, id: RunId) -> Option<Arc<Base>> {
        let Some(Held::Resident(run)) = self.runs.get_mut(&id) else { return None };
        if run.state.exists() {
            return None;
        }
        let base = run.base.take();
        self.shared.lose(id);
        base.iter().for_each(|base| self.shared.leave(base));
        base
    }

    /// The newest version that is known of a run, without commits that are kept for when it is loaded.
    pub(crate) fn known_version(&self, id: RunId) -> Version {
        match self.runs.get(&id) {
            Some(Held::Resident(run)) => run.state.version(),
            Some(Held::Cold(cold)) => cold.entry.summary.stamp.version,
            None => Version::NEVER,
        }
    }

    /// A run needs no more what it began as: it was deleted, and nobody needs a version of it.
    pub(crate) fn release_origin(&mut self, id: RunId) {
        self.forks.leave(id);
        match self.runs.get_mut(&id) {
            Some(Held::Resident(run)) => run.origin = None,
            Some(Held::Cold(cold)) => cold.entry.origin = None,
            None => {}
        }
    }

    /// Older versions of a run than this one are given up.
    pub(crate) fn raise_floor(&mut self, id: RunId, floor: Version) {
        let retained = match self.runs.get_mut(&id) {
            Some(Held::Resident(run)) => &mut run.retained,
            Some(Held::Cold(cold)) => &mut cold.entry.retained,
            None => return,
        };
        retained.floor = retained.floor.max(floor);
    }

    /// A state for a run that has never been written to; it is not in the table.
    pub(crate) fn blank(&self, id: RunId) -> RunState {
        RunState::new(id, self.hash_seed)
    }

    /// Enters a run whose content is in an image.
    pub(crate) fn insert_cold(&mut self, cold: ColdRun) {
        let id = cold.entry.run;
        self.order.insert(id);
        if let Some(origin) = cold.entry.origin {
            self.forks.enter_origin(id, origin);
        }
        if let Some(deadline) = cold.deadline {
            self.deadlines.insert((deadline, id));
        }
        self.cold_count += 1;
        self.taken.memory += COLD_SIZE;
        self.runs.insert(id, Held::Cold(Box::new(cold)));
    }

    /// Keeps a commit behind the image of a cold run for when that is loaded.
    pub(crate) fn put_behind(&mut self, id: RunId, lsn: Lsn, record: Record) {
        let cold = self.cold_mut(id).expect("a commit is put behind the image of a cold run");
        let erased = |mutation| Erasure::of(mutation, record.head.version);
        // Runs that were forked from it are loaded before it is, perhaps.
        for erasure in record.mutations.iter().filter_map(erased) {
            Arc::make_mut(&mut cold.entry.erasures).push(erasure);
        }
        Arc::make_mut(&mut cold.tail).push((lsn, record));
        self.behind.insert(id);
    }

    /// Puts a run that was loaded in this turn into the place of the cold one.
    pub(crate) fn make_resident(&mut self, mut run: Box<Run>, turn: u64) {
        let id = run.state.id();
        let Some(Held::Cold(cold)) = self.runs.get_mut(&id) else { return };
        run.deadline = cold.deadline;
        // Its image may have been moved since it was asked for.
        run.image = run.image.map(|_| cold.entry.image);
        run.origin = cold.entry.origin;
        run.retained.take_over(std::mem::take(&mut cold.entry.retained));
        (run.place_among_resident, run.used) = (self.resident.len(), turn);
        self.redact_inherited(&mut run);
        self.enter_base(&run);
        self.runs.insert(id, Held::Resident(run));
        self.resident.push(id);
        self.cold_count -= 1;
        self.taken.memory -= COLD_SIZE;
        self.behind.remove(&id);
        self.incomplete.remove(&id);
        self.note_change(id);
    }

    /// What was erased in the runs that it descends from is not there in one that comes into memory.
    fn redact_inherited(&self, run: &mut Run) {
        let Some(Origin { point, .. }) = run.origin else { return };
        for erasure in erasures_of(self, point.run) {
            let redacted = erasure.within(point.version).map(|erasure| run.state.redact(&erasure));
            if redacted.is_some_and(|redacted| !redacted.is_empty()) {
                run.need = run.need.max(self.need_of_line(point.run));
            }
        }
    }

    /// What a reader waits for of a run and of all that it descends from.
    pub(crate) fn need_of_line(&self, id: RunId) -> Need {
        let (mut need, mut through) = (Need::default(), Version::PENDING);
        let mut next = self.runs.get(&id);
        while let Some(held) = next {
            need = need.max(held.need());
            let origin = held.origin().filter(|origin| origin.point.version < through);
            through = origin.map_or(through, |origin| origin.point.version);
            next = origin.and_then(|origin| self.runs.get(&origin.point.run));
        }
        need
    }

    /// Up to which version a run inherits what another one was; nothing where it does not descend from it.
    pub(crate) fn inherited_through(&self, id: RunId, ancestor: RunId) -> Option<Version> {
        let mut through = Version::PENDING;
        let mut next = self.runs.get(&id)?.origin();
        while let Some(Origin { point: ForkPoint { run, version }, .. }) = next {
            if version >= through {
                return None;
            }
            if run == ancestor {
                return Some(version);
            }
            (through, next) = (version, self.runs.get(&run)?.origin());
        }
        None
    }

    /// Takes what was erased in a run out of all in memory that inherited it.
    pub(crate) fn redact_descendants(
        &mut self,
        ancestor: RunId,
        erasure: &Erasure,
        need: Need,
    ) -> Vec<Taken> {
        let mut taken = Vec::new();
        for place in 0..self.resident.len() {
            let id = self.resident[place];
            let within = self.inherited_through(id, ancestor).and_then(|through| erasure.within(through));
            let (Some(erasure), Some(Held::Resident(run))) = (within, self.runs.get_mut(&id)) else {
                continue;
            };
            let redacted = run.state.redact(&erasure);
            if !redacted.is_empty() {
                run.need = run.need.max(need);
                taken.push(Taken { run: id, redacted });
                self.note_change(id);
            }
        }
        taken
    }

    /// Takes back a [`redact_descendants`](Self::redact_descendants).
    pub(crate) fn restore_descendants(&mut self, taken: Vec<Taken>) {
        for Taken { run: id, redacted } in taken.into_iter().rev() {
            if let Some(Held::Resident(run)) = self.runs.get_mut(&id) {
                run.state.restore(redacted);
                self.note_change(id);
            }
        }
    }

    /// Counts what a run that comes into memory began as.
    fn enter_base(&mut self, run: &Run) {
        if let Some(base) = &run.base {
            let is_parent_resident = matches!(self.runs.get(&base.origin.point.run), Some(Held::Resident(_)));
            self.shared.enter(base, is_parent_resident);
        }
    }

    /// Notes that a cold run could not be loaded: nobody waits for it any more, and it is not cleaned.
    pub(crate) fn note_failure(&mut self, id: RunId) {
        self.behind.remove(&id);
        let Some(cold) = self.cold_mut(id) else { return };
        let (deadline, has_tail) = (cold.deadline.take(), !cold.tail.is_empty());
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if has_tail {
            self.incomplete.insert(id);
        }
    }

    /// Takes out a run whose only commit was taken back, or one that was deleted, where another life of it begins.
    pub(crate) fn remove(&mut self, id: RunId) {
        self.windows.leave(id);
        let deadline = match self.runs.remove(&id) {
            None => return,
            Some(Held::Resident(run)) => {
                self.taken.leave(&run);
                run.base.iter().for_each(|base| self.shared.leave(base));
                self.leave_residents(run.place_among_resident);
                run.deadline
            }
            Some(Held::Cold(cold)) => {
                (self.cold_count, self.taken.memory) = (self.cold_count - 1, self.taken.memory - COLD_SIZE);
                self.behind.remove(&id);
                self.incomplete.remove(&id);
                cold.deadline
            }
        };
        self.order.remove(&id);
        self.forks.leave(id);
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// Brings the expiry order, and what is known of memory, up to date with a resident run that has just changed.
    pub(crate) fn note_change(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id).map(Held::run_mut) {
            count_anew(&mut self.taken, &mut self.deadlines, run);
        }
    }

    /// The first deadline of any run.
    pub(crate) fn first_deadline(&self) -> Option<(Timestamp, RunId)> {
        self.deadlines.first().copied()
    }

    /// Runs with a key whose deadline is not after `now`, by the first such deadline.
    pub(crate) fn due(&self, now: Timestamp, count_max: usize) -> Vec<RunId> {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        due.take(count_max).map(|(_, id)| *id).collect()
    }

    /// Runs in order of id, from the first one behind `after`.
    pub(crate) fn iter_after(&self, after: Option<RunId>) -> impl Iterator<Item = &Held> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.order.range((start, Bound::Unbounded)).filter_map(|id| self.runs.get(id))
    }
}

/// Brings what runs take, and the order in which they expire, up to date with one that has just changed.
fn count_anew(taken: &mut Counted, deadlines: &mut BTreeSet<(Timestamp, RunId)>, run: &mut Run) {
    taken.count(run);
    let deadline = if run.state.exists() { run.state.next_deadline() } else { None };
    if deadline == run.deadline {
        return;
    }
    let id = run.state.id();
    if let Some(old) = std::mem::replace(&mut run.deadline, deadline) {
        deadlines.remove(&(old, id));
    }
    if let Some(new) = deadline {
        deadlines.insert((new, id));
    }
}

impl Descent for RunTable {
    fn erased(&self, run: RunId) -> Option<(&[Erasure], Option<Origin>)> {
        let held = self.runs.get(&run)?;
        let erasures = match held {
            // Those of a life in memory reach nobody who is made of what was logged.
            Held::Resident(run) => {
                let erasures = run.state.erasures();
                &erasures[..erasures.partition_point(|erasure| erasure.by <= run.logged.version)]
            }
            Held::Cold(cold) => &cold.entry.erasures,
        };
        Some((erasures, held.origin()))
    }
}
