//! What a shard publishes of one run, who reads there, and the pictures that somebody keeps.

use std::sync::Arc;

use strata_primitives::{Erasure, Error, ErrorKind, Mutation, RunState, Timestamp};
use strata_runtime::Publication;

use crate::picture::{Picture, Pin, Reach, reach_of};
use crate::reader::Reader;
use crate::transaction::given_up;
use crate::unseen_erasure::UnseenErasure;

/// A publication that nobody keeps may hold so much that the run does not share any more, bytes: what is dropped with it at once
/// takes its thread a fraction of a millisecond.
pub(crate) const STALE_SIZE_MAX: usize = 1 << 20;

/// A picture that holds more than this is let go elsewhere, bytes: to wake who does it takes as long as to free some hundred values.
pub(crate) const LET_GO_HERE_MAX: usize = 64 << 10;

/// A window takes about so many bytes, with what is published in it.
pub(crate) const WINDOW_SIZE: usize =
    size_of::<Window>() + size_of::<Publication<Picture>>() + size_of::<RunState>() + size_of::<Pin>();

/// How many readers of a window are looked at at once, for whether they are somebody's.
pub(crate) const READERS_LOOKED_AT_MAX: usize = 8;

/// What is published of one run, and what of it somebody keeps.
#[derive(Debug, Default)]
pub(crate) struct Window {
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
    pub(crate) place: usize,
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

impl Window {
    /// One that nobody reads in yet, of the run at this place among those that are watched.
    pub(crate) fn at(place: usize) -> Window {
        Window { place, ..Window::default() }
    }

    /// Shows a reader what is published, and what will be.
    pub(crate) fn attend(&mut self, reader: Arc<Reader>) {
        if self.readers.len() >= self.reader_count_max {
            self.forget_readers();
        }
        if let Some(publication) = &self.publication {
            reader.board.publish(Arc::clone(publication));
        }
        self.readers.push(reader);
    }

    /// How many readers it knows, whether or not somebody has them.
    #[cfg(test)]
    pub(crate) fn reader_count(&self) -> usize {
        self.readers.len()
    }

    /// Counts a read by message; how many there were since the last publication.
    pub(crate) fn note_read(&mut self) -> u32 {
        self.asked += 1;
        self.asked
    }

    /// Counts them from the beginning.
    pub(crate) fn pass_over(&mut self) {
        self.asked = 0;
    }

    /// Publishes a picture that has so many erasures.
    pub(crate) fn publish(
        &mut self,
        picture: Picture,
        time: Timestamp,
        erasure_count: u64,
        let_go: &mut Vec<Arc<RunState>>,
    ) {
        // What was published stays until the new one is there: who finds nothing asks, and whoever asks is published for again.
        self.forget_readers();
        self.asked = 0;
        let pin = Arc::clone(picture.pin());
        self.kept.push(Kept { pin, size: 0, sorted_size: 0, erasure_count });
        let publication = Arc::new(Publication::new(picture, time.0));
        self.readers.iter().for_each(|reader| reader.board.publish(Arc::clone(&publication)));
        self.publication = Some(publication);
        self.forget_unused(let_go);
    }

    /// Whether somebody has read what is published since this was asked the last time.
    pub(crate) fn take_was_read(&self) -> bool {
        self.publication.as_ref().is_some_and(|publication| publication.take_was_read())
    }

    /// Takes away what is published, and forgets who reads it: they ask again.
    pub(crate) fn leave(&mut self, let_go: &mut Vec<Arc<RunState>>) {
        self.withdraw();
        self.readers.drain(..).for_each(|reader| reader.forget());
        self.forget_unused(let_go);
    }

    /// A commit has taken so many bytes out of the run that pictures may still hold. What has become too much is given up.
    pub(crate) fn note_taken(&mut self, taken: usize, kept_size_max: usize, let_go: &mut Vec<Arc<RunState>>) {
        self.kept.iter_mut().for_each(|kept| kept.size += taken);
        self.settle(let_go);
        while self.size() > kept_size_max {
            self.give_up_oldest(let_go);
        }
    }

    /// Counts what the names in pictures take as they were sorted there, and gives back what nobody looks at any more.
    pub(crate) fn tidy(&mut self, let_go: &mut Vec<Arc<RunState>>) {
        self.kept.iter_mut().for_each(|kept| kept.sorted_size = kept.pin.sorted_memory());
        self.settle(let_go);
    }

    /// Whether there are pictures that somebody may look at.
    pub(crate) fn holds_pictures(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Shows erasures in all pictures. Those that are older than `newest` have all that was erased up to its mark then; one that was made
    /// later has a newer mark.
    pub(crate) fn redact(&self, shown: &[Erasure], newest: Option<&UnseenErasure>) {
        for kept in &self.kept {
            let newest = newest.filter(|newest| kept.erasure_count < newest.number);
            kept.pin.redact(shown, newest.map(|newest| newest.mark));
        }
    }

    /// The shard ends: nobody reads anything any more.
    pub(crate) fn end(&mut self) {
        self.readers.iter().for_each(|reader| reader.forget());
        self.kept.iter().for_each(|kept| kept.pin.end(ended()));
    }

    /// Nothing is read without a message from now on.
    pub(crate) fn withdraw(&mut self) {
        if self.publication.take().is_some() {
            self.readers.iter().for_each(|reader| reader.board.withdraw());
        }
    }

    /// Says of what a commit changes that it is no longer as published.
    pub(crate) fn mark(&mut self, mutations: &[Mutation], time: Timestamp) {
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
    pub(crate) fn size(&self) -> usize {
        let sorted: usize = self.kept.iter().map(|kept| kept.sorted_size).sum();
        self.kept.first().map_or(0, |oldest| oldest.size) + sorted
    }

    /// Holders of the picture at a place that are not somebody who keeps it.
    fn own_count(&self, place: usize) -> usize {
        let is_published = self.publication.is_some() && place + 1 == self.kept.len();
        1 + usize::from(is_published)
    }

    /// How many pictures somebody keeps, or is about to.
    pub(crate) fn kept_count(&self) -> usize {
        let is_kept = |place: &usize| Arc::strong_count(&self.kept[*place].pin) > self.own_count(*place);
        (0..self.kept.len()).filter(is_kept).count()
    }

    /// Whether somebody keeps one.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept_count() > 0
    }

    /// Whether nobody reads in it, and nobody keeps anything.
    pub(crate) fn is_over(&self) -> bool {
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
        self.reader_count_max = READERS_LOOKED_AT_MAX.max(2 * self.readers.len());
    }

    /// Forgets, of a few readers, those that are nobody's any more.
    fn look_at_readers(&mut self) {
        for _ in 0..READERS_LOOKED_AT_MAX.min(self.readers.len()) {
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

    /// Takes the oldest picture from who keeps it.
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
