//! What one thread publishes for others to read without asking it, and the marks with which it says what is no longer so.
//!
//! The owner publishes a picture of its state, which never changes, and goes on. What it changes then it marks on the publication
//! **before** it answers whoever asked for the change. A reader takes the picture and looks whether his thing is marked: if not,
//! what the picture shows is what he would be answered; if it is, he asks the owner. So nobody who was told of a change reads what
//! was before it: the mark comes before the answer, and the answer, by whatever way, before his look.
//!
//! A mark stands for all things that fall on its bit, as in the filter of Bloom ("Space/time trade-offs in hash coding with
//! allowable errors", CACM 1970) with one hash: to ask in vain costs a message, never a wrong answer.
//!
//! `loom-tests/tests/board.rs` walks it, and fails where a change is answered before it is marked.

use std::fmt;
use std::sync::atomic::{self, Ordering};

use crate::published::Published;
use crate::sync::{Arc, AtomicBool, AtomicU64};

/// Words of marks of one publication: with a thousand things changed since, one look in nine is in vain.
const MARK_WORDS: usize = if cfg!(loom) { 1 } else { 128 };

/// Where one thread publishes and all others read.
///
/// ```
/// use std::sync::Arc;
/// use strata_runtime::{Board, Publication};
///
/// let board = Board::new();
/// assert_eq!(board.read(|_| ()), None, "nothing is published");
/// let publication = Arc::new(Publication::new("draft", 7));
/// board.publish(Arc::clone(&publication));
/// assert_eq!(board.read(|seen| (*seen.shown(), seen.is_marked(3))), Some(("draft", false)));
/// publication.mark(3);
/// assert_eq!(board.read(|seen| seen.is_marked(3)), Some(true));
/// ```
pub struct Board<T> {
    published: Published<Publication<T>>,
}

impl<T> Board<T> {
    /// A board on which nothing stands.
    pub fn new() -> Board<T> {
        Board { published: Published::new(None) }
    }

    /// Publishes what is true now in the place of what was there. The owner keeps it too, to mark what it changes.
    pub fn publish(&self, publication: Arc<Publication<T>>) {
        self.published.set(Some(publication));
    }

    /// Takes away what is published. Readers that have begun may still hold it when this returns, and are counted in its [`Arc`].
    pub fn withdraw(&self) {
        self.published.set(None);
    }

    /// Hands what is published to `read`; `None` when nothing is.
    #[inline]
    pub fn read<R>(&self, read: impl FnOnce(&Publication<T>) -> R) -> Option<R> {
        self.published.read(|publication| {
            publication.map(|publication| {
                publication.note_read();
                read(publication)
            })
        })
    }
}

impl<T> Default for Board<T> {
    fn default() -> Self {
        Board::new()
    }
}

impl<T> fmt::Debug for Board<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("published", &self.published).finish()
    }
}

/// A picture, and what has changed since.
pub struct Publication<T> {
    shown: T,
    /// When the newest change was made, by a clock of the owner's.
    time: AtomicU64,
    /// Whether something was marked.
    is_old: AtomicBool,
    /// Somebody has read since the owner looked. Not among what the models walk: nothing but a guess hangs on it.
    was_read: atomic::AtomicBool,
    marks: [AtomicU64; MARK_WORDS],
}

// All orderings are relaxed: who was told of a change was told behind its marks, by a way that puts the two in order, and to others
// the change may as well come later. Only the owner writes, so that a load and a store do for it.
impl<T> Publication<T> {
    /// What shows `shown`, which nothing has changed yet; `time` is what [`time`](Self::time) begins at.
    pub fn new(shown: T, time: u64) -> Publication<T> {
        let marks = std::array::from_fn(|_| AtomicU64::new(0));
        let (time, is_old) = (AtomicU64::new(time), AtomicBool::new(false));
        Publication { shown, time, is_old, was_read: atomic::AtomicBool::new(false), marks }
    }

    /// The picture.
    #[inline]
    pub fn shown(&self) -> &T {
        &self.shown
    }

    /// For the owner, before it answers: the thing of this hash is no longer as shown.
    #[inline]
    pub fn mark(&self, hash: u64) {
        let (word, bit) = place_of(hash);
        let marks = &self.marks[word];
        marks.store(marks.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
        self.mark_some();
    }

    /// For the owner, before it answers: something is no longer as shown, which is not among the things that are marked singly.
    #[inline]
    pub fn mark_some(&self) {
        self.is_old.store(true, Ordering::Relaxed);
    }

    /// For the owner: when a change was made.
    #[inline]
    pub fn pass(&self, time: u64) {
        self.time.store(time, Ordering::Relaxed);
    }

    /// When the newest change was made that was [told](Self::pass).
    #[inline]
    pub fn time(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    /// Whether the thing of this hash may be another than is shown.
    #[inline]
    pub fn is_marked(&self, hash: u64) -> bool {
        let (word, bit) = place_of(hash);
        self.marks[word].load(Ordering::Relaxed) & bit != 0
    }

    /// Whether everything is as shown.
    #[inline]
    pub fn is_newest(&self) -> bool {
        !self.is_old.load(Ordering::Relaxed)
    }

    #[inline]
    fn note_read(&self) {
        // Stored only where it is not there yet, so that all readers have the line in their caches.
        if !self.was_read.load(Ordering::Relaxed) {
            self.was_read.store(true, Ordering::Relaxed);
        }
    }

    /// For the owner: whether somebody has read since it asked the last time, or may be about to.
    pub fn take_was_read(&self) -> bool {
        let was_read = self.was_read.load(Ordering::Relaxed);
        if was_read {
            self.was_read.store(false, Ordering::Relaxed);
        }
        was_read
    }
}

impl<T> fmt::Debug for Publication<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication").field("is_newest", &self.is_newest()).finish_non_exhaustive()
    }
}

/// Where the mark of a hash stands: by its highest bits, which are the best mixed ones of a hash that is a product.
#[inline]
fn place_of(hash: u64) -> (usize, u64) {
    let place = (hash >> 51) as usize % (64 * MARK_WORDS);
    (place / 64, 1 << (place % 64))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_told_from_what_is_not() {
        let publication = Publication::new(1, 5);
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..100).for_each(|number| publication.mark(hash(number)));
        assert!((0..100).all(|number| publication.is_marked(hash(number))));
        let in_vain = (1_000..2_000).filter(|number| publication.is_marked(hash(*number))).count();
        assert!(in_vain < 50, "{in_vain} of 1000 looks are in vain");
        assert!(!publication.is_newest());
    }

    #[test]
    fn a_new_publication_begins_without_marks_and_the_old_one_keeps_its_own() {
        let board = Board::new();
        let [first, second] =
            [("first", 5), ("second", 10)].map(|(shown, time)| Arc::new(Publication::new(shown, time)));
        board.publish(Arc::clone(&first));
        first.mark(0);
        first.pass(9);
        board.publish(Arc::clone(&second));
        assert_eq!(
            board.read(|seen| (*seen.shown(), seen.is_newest(), seen.time())),
            Some(("second", true, 10))
        );
        second.mark_some();
        assert_eq!(board.read(Publication::is_newest), Some(false));
        assert_eq!((first.is_marked(0), second.is_marked(0), first.time()), (true, false, 9));
    }

    #[test]
    fn that_somebody_has_read_is_told_once() {
        let board = Board::new();
        let publication = Arc::new(Publication::new(1, 0));
        board.publish(Arc::clone(&publication));
        assert!(!publication.take_was_read());
        board.read(|_| ());
        board.read(|_| ());
        assert_eq!([publication.take_was_read(), publication.take_was_read()], [true, false]);
        board.read(|_| ());
        assert!(publication.take_was_read());
    }

    #[test]
    fn what_is_withdrawn_is_dropped_by_who_holds_it_last() {
        let board = Board::new();
        board.publish(Arc::new(Publication::new(Arc::new(1), 0)));
        let shown = board.read(|seen| seen.shown().clone()).unwrap();
        board.withdraw();
        assert_eq!(board.read(|_| ()), None);
        assert_eq!(Arc::strong_count(&shown), 1);
    }
}
