//! The windows of a shard: what it publishes of runs, for those who read without asking.
//!
//! A window is opened by a reader who has asked by message before. Publishing costs the shard about as much as answering, and more at
//! the writes that follow, which copy what they change of what is shared; so it is done once so many reads have come by message, as
//! who rents skis buys them when he has paid their price (Karlin, Manasse, Rudolph and Sleator, "Competitive snoopy caching",
//! Algorithmica 1988). What is published stays until so much has changed since that keeping it costs too much.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use strata_primitives::{Erasure, Error, ErrorKind, Mutation, RunId, RunState, Timestamp, Version};
use strata_runtime::Publication;

use crate::boot::Boot;
use crate::picture::{Picture, Pin, Reach, reach_of};
use crate::reader::Reader;
use crate::run::{Need, Progress};
use crate::transaction::given_up;
use crate::unseen_erasure::UnseenErasure;

/// Reads by message before what they ask for is published, counted from the publication before. A build for tests publishes at
/// once, so that tests read what is published.
const PATIENCE: u32 = if cfg!(debug_assertions) { 1 } else { 8 };

/// A publication that nobody keeps may hold so much that the run does not share any more, bytes: what is dropped with it at once
/// takes its thread a fraction of a millisecond.
const STALE_SIZE_MAX: usize = 1 << 20;

/// A picture that holds more than this is let go elsewhere, bytes: to wake who does it takes as long as to free some hundred values.
const LET_GO_HERE_MAX: usize = 64 << 10;

/// A window takes about so many bytes, with what is published in it.
const WINDOW_SIZE: usize =
    size_of::<Window>() + size_of::<Publication<Picture>>() + size_of::<RunState>() + size_of::<Pin>();

/// How many windows are looked at at once for what nobody looks at any more, and how many readers of each.
const LOOKED_AT_MAX: usize = 8;

/// What is published of one run, and what of it somebody keeps.
#[derive(Debug, Default)]
struct Window {
    /// Some of them are looked at now and then, and forgotten when nobody reads there any more.
    readers: Vec<Arc<Reader>>,
    /// The one that is looked at next.
    next_reader: usize,
    /// So many they may become before all of them are looked at.
    reader_count_max: usize,
    publication: Option<Arc<Publication<Picture>>>,
    /// Pictures that somebody may look at, oldest first; the last is that of the publication, while there is one.
    kept: Vec<Kept>,
    /// Reads by message since the last publication.
    asked: u32,
    /// Its run's place among those that are watched.
    place: usize,
}

#[derive(Debug)]
struct Kept {
    pin: Arc<Pin>,
    /// About what the run does not share with it any more, bytes.
    size: usize,
    /// What its names take as they were sorted in it, when that was looked at last, bytes.
    sorted_size: usize,
    /// How many erasures there had been when it was made: it has those, or waits for them.
    erasure_count: u64,
}

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
            Window { place: self.watched.len() - 1, ..Window::default() }
        });
        if window.readers.len() >= window.reader_count_max {
            window.forget_readers();
        }
        if let Some(publication) = &window.publication {
            reader.board.publish(Arc::clone(publication));
        }
        window.readers.push(reader);
    }

    /// Notes a read by message.
    #[inline]
    pub(crate) fn note_read(&mut self, run: RunId) {
        if self.by_run.is_empty() {
            return;
        }
        let Some(window) = self.by_run.get_mut(&run) else { return };
        window.asked += 1;
        if window.asked == self.patience {
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
        self.by_run.entry(run).and_modify(|window| window.asked = 0);
    }

    /// Publishes a run as it is now.
    pub(crate) fn publish(&mut self, state: &RunState, boot: Boot, erasure_mark: u64) {
        let erasure_count = self.erasure_count;
        let is_published = self.change(state.id(), |window, let_go| {
            // What was published stays until the new one is there: who finds nothing asks, and whoever asks is published for again.
            window.forget_readers();
            window.asked = 0;
            let picture = Picture::new(state.share(), boot, erasure_mark);
            let pin = Arc::clone(picture.pin());
            window.kept.push(Kept { pin, size: 0, sorted_size: 0, erasure_count });
            let publication = Arc::new(Publication::new(picture, state.timestamp().0));
            window.readers.iter().for_each(|reader| reader.board.publish(Arc::clone(&publication)));
            window.publication = Some(publication);
            window.forget_unused(let_go);
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
        self.change(run, |window, let_go| {
            window.kept.iter_mut().for_each(|kept| kept.size += taken);
            window.settle(let_go);
            while window.size() > kept_size_max {
                window.give_up_oldest(let_go);
            }
        });
    }

    /// Gives back what nobody looks at any more, of a few windows.
    pub(crate) fn tidy(&mut self) {
        for _ in 0..LOOKED_AT_MAX.min(self.watched.len()) {
            if self.next >= self.watched.len() {
                self.next = 0;
            }
            let count = self.watched.len();
            self.change(self.watched[self.next], |window, let_go| {
                window.kept.iter_mut().for_each(|kept| kept.sorted_size = kept.pin.sorted_memory());
                window.settle(let_go);
            });
            // Another one has come to the place of one that is over.
            self.next += usize::from(self.watched.len() == count);
        }
    }

    /// Takes away what is published of a run that leaves memory or the table, and forgets who reads it: they ask again.
    pub(crate) fn leave(&mut self, run: RunId) {
        self.change(run, |window, let_go| {
            window.withdraw();
            window.readers.drain(..).for_each(|reader| reader.forget());
            window.forget_unused(let_go);
        });
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
        let publication = self.by_run.get(&run).and_then(|window| window.publication.as_ref());
        publication.is_some_and(|publication| publication.take_was_read())
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
        if self.by_run.values().any(|window| !window.kept.is_empty()) {
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
                for (run, window) in self.by_run.iter().filter(|(_, window)| !window.kept.is_empty()) {
                    let shown = unseen.in_run(*run, &inherits);
                    for kept in &window.kept {
                        // A picture that was made later has a newer mark.
                        let is_marked = are_all_shown && kept.erasure_count < unseen.number;
                        kept.pin.redact(&shown, is_marked.then_some(unseen.mark));
                    }
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
        for window in self.by_run.values_mut() {
            window.readers.iter().for_each(|reader| reader.forget());
            window.kept.iter().for_each(|kept| kept.pin.end(ended()));
        }
    }
}

impl Window {
    /// Nothing is read without a message from now on.
    fn withdraw(&mut self) {
        if self.publication.take().is_some() {
            self.readers.iter().for_each(|reader| reader.board.withdraw());
        }
    }

    fn mark(&mut self, mutations: &[Mutation], time: Timestamp) {
        let Some(publication) = &self.publication else { return };
        publication.pass(time.0);
        for mutation in mutations {
            match reach_of(mutation) {
                Reach::Thing(mark) => publication.mark(mark),
                Reach::Whole | Reach::Event(_) => publication.mark_some(),
                Reach::Beyond => return self.withdraw(),
            }
        }
    }

    /// About what the pictures do not share with the run: the oldest one has what all others have, but for what was sorted in them.
    fn size(&self) -> usize {
        let sorted: usize = self.kept.iter().map(|kept| kept.sorted_size).sum();
        self.kept.first().map_or(0, |oldest| oldest.size) + sorted
    }

    /// Holders of the picture at a place that are not somebody who keeps it.
    fn own_count(&self, place: usize) -> usize {
        let is_published = self.publication.is_some() && place + 1 == self.kept.len();
        1 + usize::from(is_published)
    }

    /// How many pictures somebody keeps, or is about to.
    fn kept_count(&self) -> usize {
        let is_kept = |place: &usize| Arc::strong_count(&self.kept[*place].pin) > self.own_count(*place);
        (0..self.kept.len()).filter(is_kept).count()
    }

    fn is_kept(&self) -> bool {
        self.kept_count() > 0
    }

    /// Whether nobody reads in it, and nobody keeps anything.
    fn is_over(&self) -> bool {
        self.readers.is_empty() && self.kept.is_empty()
    }

    /// Gives up what nobody looks at, and what is published where it has become too much to be kept for nobody.
    fn settle(&mut self, let_go: &mut Vec<Arc<RunState>>) {
        self.look_at_readers();
        // What an older picture holds, which nobody keeps any more, is not held against what is published.
        self.forget_unused(let_go);
        let is_stale = self.size() > STALE_SIZE_MAX;
        if self.readers.is_empty() || (is_stale && !self.is_kept()) {
            self.withdraw();
            self.forget_unused(let_go);
        }
    }

    /// Forgets all readers that are nobody's any more. Next time there are twice as many: each is looked at a few times, however many
    /// there are.
    fn forget_readers(&mut self) {
        self.readers.retain(|reader| Arc::strong_count(reader) > 1);
        self.reader_count_max = LOOKED_AT_MAX.max(2 * self.readers.len());
    }

    /// Forgets, of a few readers, those that are nobody's any more.
    fn look_at_readers(&mut self) {
        for _ in 0..LOOKED_AT_MAX.min(self.readers.len()) {
            if self.next_reader >= self.readers.len() {
                self.next_reader = 0;
            }
            if Arc::strong_count(&self.readers[self.next_reader]) > 1 {
                self.next_reader += 1;
            } else {
                self.readers.swap_remove(self.next_reader);
            }
        }
    }

    /// Forgets pictures that nobody can look at any more.
    fn forget_unused(&mut self, let_go: &mut Vec<Arc<RunState>>) {
        let published = self.publication.as_ref().map(|publication| Arc::clone(publication.shown().pin()));
        let is_published = |kept: &Kept| published.as_ref().is_some_and(|pin| Arc::ptr_eq(pin, &kept.pin));
        let is_unused = |kept: &mut Kept| !is_published(kept) && Arc::strong_count(&kept.pin) == 1;
        self.kept.extract_if(.., is_unused).for_each(|kept| kept.let_go(let_go));
    }

    fn give_up_oldest(&mut self, let_go: &mut Vec<Arc<RunState>>) {
        if self.kept.len() == 1 {
            self.withdraw();
        }
        let oldest = self.kept.remove(0);
        let pin = Arc::clone(&oldest.pin);
        oldest.let_go(let_go);
        pin.end(given_up(pin.stamp().version));
    }
}

impl Kept {
    /// What it shows, where that is too much to be dropped here.
    fn let_go(self, let_go: &mut Vec<Arc<RunState>>) {
        if self.size > LET_GO_HERE_MAX {
            let_go.extend(self.pin.state());
        }
    }
}

fn ended() -> Error {
    let message = "the snapshot has ended with its shard: the store was closed, or the shard restarted since it was opened";
    Error::new(ErrorKind::Closed, message)
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
