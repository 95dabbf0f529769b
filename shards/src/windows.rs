//! The windows of a shard: what it publishes of runs, for those who read without asking.
//!
//! A window is opened by a reader who has asked by message before. Publishing costs the shard about as much as answering, and more at
//! the writes that follow, which copy what they change of what is shared; so it is done once so many reads have come by message, as
//! who rents skis buys them when he has paid their price (Karlin, Manasse, Rudolph and Sleator, "Competitive snoopy caching",
//! Algorithmica 1988). What is published stays until so much has changed since that keeping it costs too much.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use strata_primitives::{Erasure, Mutation, RunId, RunState, Timestamp, Version};

use crate::boot::Boot;
use crate::picture::Picture;
use crate::reader::Reader;
use crate::run::{Need, Progress};
use crate::unseen_erasure::UnseenErasure;
use crate::window::{LET_GO_HERE_MAX, WINDOW_SIZE, Window};

/// Reads by message before what they ask for is published, counted from the publication before. A build for tests publishes at
/// once, so that tests read what is published.
const PATIENCE: u32 = if cfg!(debug_assertions) { 1 } else { 8 };

/// How many windows are looked at at once for what nobody looks at any more.
const LOOKED_AT_MAX: usize = 8;

/// All windows of a shard.
#[derive(Debug)]
pub(crate) struct Windows {
    by_run: FxHashMap<RunId, Window>,
    /// Their runs, in no order.
    watched: Vec<RunId>,
    /// The one that is looked at next.
    next: usize,
    /// Runs that are to be published when everybody may see them.
    due: Vec<RunId>,
    /// In the order in which they were made. Those behind one that is not shown yet stay when they are, for their marks.
    unseen_erasures: VecDeque<UnseenErasure>,
    /// How many erasures there have been.
    erasure_count: u64,
    /// About what all pictures together do not share with their runs, bytes.
    size: usize,
    /// What nobody keeps any more and takes its time to be dropped.
    let_go: Vec<Arc<RunState>>,
    /// How often something was published.
    pub(crate) publication_count: u64,
    /// Reads by message before what they ask for is published.
    patience: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Windows::new(PATIENCE)
    }
}

impl Windows {
    fn new(patience: u32) -> Windows {
        Windows {
            by_run: FxHashMap::default(),
            watched: Vec::new(),
            next: 0,
            due: Vec::new(),
            unseen_erasures: VecDeque::new(),
            erasure_count: 0,
            size: 0,
            let_go: Vec::new(),
            publication_count: 0,
            patience,
        }
    }

    /// Opens a window for a reader.
    pub(crate) fn attend(&mut self, run: RunId, reader: Arc<Reader>) {
        let window = self.by_run.entry(run).or_insert_with(|| {
            self.watched.push(run);
            Window::at(self.watched.len() - 1)
        });
        window.attend(reader);
    }

    /// Notes a read by message.
    #[inline]
    pub(crate) fn note_read(&mut self, run: RunId) {
        if self.by_run.is_empty() {
            return;
        }
        let Some(window) = self.by_run.get_mut(&run) else { return };
        if window.note_read() == self.patience {
            self.due.push(run);
        }
    }

    /// Whether a run is due.
    pub(crate) fn is_any_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The runs that are due. Those that cannot be published yet are to be given [back](Self::put_off).
    pub(crate) fn take_due(&mut self) -> Vec<RunId> {
        std::mem::take(&mut self.due)
    }

    /// Keeps a run due until everybody may see it.
    pub(crate) fn put_off(&mut self, run: RunId) {
        self.due.push(run);
    }

    /// Waits for as many reads again before a run that is not there, or not in memory.
    pub(crate) fn pass_over(&mut self, run: RunId) {
        self.by_run.entry(run).and_modify(Window::pass_over);
    }

    /// Publishes a run as it is now.
    pub(crate) fn publish(&mut self, state: &RunState, boot: Boot, erasure_mark: u64) {
        let erasure_count = self.erasure_count;
        let is_published = self.change(state.id(), |window, let_go| {
            let picture = Picture::new(state.share(), boot, erasure_mark);
            window.publish(picture, state.timestamp(), erasure_count, let_go);
        });
        self.publication_count += u64::from(is_published);
    }

    /// Says of what a commit changes, before anybody is told of it, that it is no longer as published. Whether anybody looks at
    /// the run.
    #[inline]
    pub(crate) fn mark(&mut self, run: RunId, mutations: &[Mutation], time: Timestamp) -> bool {
        if self.by_run.is_empty() {
            return false;
        }
        let Some(window) = self.by_run.get_mut(&run) else { return false };
        window.mark(mutations, time);
        true
    }

    /// Notes that a commit has taken so many bytes out of a run that pictures may still hold. What has become too much is given up.
    pub(crate) fn note_taken(&mut self, run: RunId, taken: usize, kept_size_max: usize) {
        self.change(run, |window, let_go| window.note_taken(taken, kept_size_max, let_go));
    }

    /// Gives back what nobody looks at any more, of a few windows.
    pub(crate) fn tidy(&mut self) {
        for _ in 0..LOOKED_AT_MAX.min(self.watched.len()) {
            if self.next >= self.watched.len() {
                self.next = 0;
            }
            let count = self.watched.len();
            self.change(self.watched[self.next], Window::tidy);
            // Another one has come to the place of one that is over.
            self.next += usize::from(self.watched.len() == count);
        }
    }

    /// Takes away what is published of a run that leaves memory or the table, and forgets who reads it: they ask again.
    pub(crate) fn leave(&mut self, run: RunId) {
        self.change(run, Window::leave);
    }

    /// Changes the window of a run, if it has one, and counts what it holds anew; one that is over is removed. Whether there was one.
    fn change(&mut self, run: RunId, change: impl FnOnce(&mut Window, &mut Vec<Arc<RunState>>)) -> bool {
        let Some(window) = self.by_run.get_mut(&run) else { return false };
        let before = window.size();
        change(window, &mut self.let_go);
        self.size = self.size - before + window.size();
        if window.is_over() {
            self.remove(run);
        }
        true
    }

    fn remove(&mut self, run: RunId) {
        let window = self.by_run.remove(&run).expect("only a window that is there is removed");
        self.watched.swap_remove(window.place);
        if let Some(moved) = self.watched.get(window.place) {
            self.by_run.get_mut(moved).expect("what is watched has a window").place = window.place;
        }
    }

    /// What nobody keeps any more, and is to be dropped where nobody waits for that.
    pub(crate) fn take_let_go(&mut self) -> impl Iterator<Item = Arc<RunState>> {
        self.let_go.drain(..)
    }

    /// Whether somebody keeps a picture of a run.
    pub(crate) fn is_kept(&self, run: RunId) -> bool {
        self.by_run.get(&run).is_some_and(Window::is_kept)
    }

    /// Whether somebody has read what is published of a run since this was asked the last time.
    pub(crate) fn take_was_read(&self, run: RunId) -> bool {
        self.by_run.get(&run).is_some_and(Window::take_was_read)
    }

    /// About what they take, with what all pictures together do not share with their runs, bytes.
    pub(crate) fn size(&self) -> usize {
        self.size + self.watched.len() * WINDOW_SIZE
    }

    /// Whether pictures hold enough to look now and then, with nothing else to do, for what of it nobody looks at any more.
    pub(crate) fn holds_much(&self) -> bool {
        self.size > LET_GO_HERE_MAX
    }

    /// How many pictures somebody keeps.
    pub(crate) fn kept_count(&self) -> usize {
        self.by_run.values().map(Window::kept_count).sum()
    }

    /// Notes an erasure. Nothing is published any more that was before it; pictures that somebody keeps show it once it is as safe as
    /// its caller was promised.
    pub(crate) fn erase(&mut self, need: Need, run: RunId, erasures: Vec<Erasure>, mark: u64) {
        self.by_run.values_mut().for_each(Window::withdraw);
        self.erasure_count += 1;
        if self.by_run.values().any(Window::holds_pictures) {
            let (number, is_shown) = (self.erasure_count, false);
            self.unseen_erasures.push_back(UnseenErasure { need, run, erasures, mark, number, is_shown });
        }
    }

    /// Whether erasures are to be shown in pictures, or were before one in front of them.
    pub(crate) fn has_unseen_erasures(&self) -> bool {
        !self.unseen_erasures.is_empty()
    }

    /// Shows the erasures in pictures that are safe by now, each for itself: one in front may wait for the disk, and one behind it for
    /// the kernel alone. `inherits` tells up to which version a run is what another one was.
    pub(crate) fn release(
        &mut self,
        progress: &Progress,
        inherits: impl Fn(RunId, RunId) -> Option<Version>,
    ) {
        let mut are_all_shown = true;
        for unseen in &mut self.unseen_erasures {
            let is_safe = unseen.is_shown || unseen.need.is_met(progress);
            are_all_shown &= is_safe;
            // A mark says that everything up to it is erased.
            if is_safe && (are_all_shown || !unseen.is_shown) {
                for (run, window) in self.by_run.iter().filter(|(_, window)| window.holds_pictures()) {
                    window.redact(&unseen.in_run(*run, &inherits), are_all_shown.then_some(unseen));
                }
                (unseen.is_shown, unseen.erasures) = (true, Vec::new());
            }
        }
        while self.unseen_erasures.pop_front_if(|unseen| unseen.is_shown).is_some() {}
    }

    /// The log has failed: what was not safe is taken back.
    pub(crate) fn forget_unseen(&mut self) {
        self.unseen_erasures.clear();
    }
}

/// A shard that ends leaves nothing to be read.
impl Drop for Windows {
    fn drop(&mut self) {
        self.by_run.values_mut().for_each(Window::end);
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
