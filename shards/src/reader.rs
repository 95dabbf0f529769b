//! Who reads a run again and again, as he and its shard know of each other.

use std::panic::RefUnwindSafe;
use std::sync::atomic::{AtomicU8, Ordering};

use strata_runtime::Board;

use crate::picture::Picture;

/// Where one handle reads a run without a message, once its shard knows of it.
#[derive(Debug, Default)]
pub struct Reader {
    pub(crate) board: Board<Picture>,
    standing: AtomicU8,
}

// What is published is never changed in place, so a panic of who reads it leaves nothing half done.
impl RefUnwindSafe for Reader {}

/// How far a reader has come.
#[repr(u8)]
enum Standing {
    /// It has read nothing by message yet, or its shard has forgotten it.
    New = 0,
    /// It has read once: who reads once only is not worth a window.
    Seen = 1,
    /// Its shard knows it, or will when it has served what was sent.
    Attended = 2,
}

impl Reader {
    /// Notes a read by message. Whether its shard is to be told of it.
    pub(crate) fn note_asked(&self) -> bool {
        // Relaxed: nothing is read for what it says. Of several who note at once one steps on; told twice, the shard would wait for it
        // to be dropped twice.
        let step = |from: Standing, to: Standing| {
            let (from, to) = (from as u8, to as u8);
            self.standing.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let standing = self.standing.load(Ordering::Relaxed);
        if standing == Standing::New as u8 {
            step(Standing::New, Standing::Seen);
            return false;
        }
        standing == Standing::Seen as u8 && step(Standing::Seen, Standing::Attended)
    }

    /// The shard could not be told.
    pub(crate) fn note_untold(&self) {
        self.standing.store(Standing::Seen as u8, Ordering::Relaxed);
    }

    /// Its shard knows it no more.
    pub(crate) fn forget(&self) {
        self.board.withdraw();
        self.standing.store(Standing::New as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// One that had read the standing before another stepped on set it back, and the shard was told twice: it then waited for ever for the
    /// reader to be dropped.
    #[test]
    fn of_threads_that_share_a_reader_one_tells_the_shard() {
        const ROUNDS: usize = 100_000;
        let readers: Vec<Reader> = (0..ROUNDS).map(|_| Reader::default()).collect();
        let begun = AtomicUsize::new(0);
        let tell = || {
            let told = readers.iter().enumerate().map(|(round, reader)| {
                // Both begin a round together, or nearly so where one of them has no CPU.
                begun.fetch_add(1, Ordering::SeqCst);
                (0..2_000)
                    .take_while(|_| begun.load(Ordering::SeqCst) < 2 * (round + 1))
                    .for_each(|_| std::hint::spin_loop());
                (0..4).filter(|_| reader.note_asked()).count()
            });
            told.collect::<Vec<_>>()
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(tell);
            (tell(), other.join().unwrap())
        });
        assert!(one.iter().zip(&other).all(|(one, other)| one + other == 1));
    }
}
