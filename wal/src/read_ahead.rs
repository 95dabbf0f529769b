//! Reading the next piece of a file while the last one is worked on.

use std::io;
use std::sync::Arc;

use crate::storage::{Buffer, File, Queue, Storage};

/// One piece of a file, read in the background, for who goes through it from its beginning to its end.
pub(crate) struct ReadAhead {
    storage: Arc<dyn Storage>,
    queue: Option<Box<dyn Queue>>, // made for the first piece
    /// Where the piece that is being read begins.
    ordered: Option<u64>,
    /// The memory of the last piece.
    piece: Buffer,
}

impl ReadAhead {
    /// Reads nothing yet.
    pub(crate) fn new(storage: Arc<dyn Storage>) -> ReadAhead {
        ReadAhead { storage, queue: None, ordered: None, piece: Buffer::default() }
    }

    /// Begins to read `size` bytes at `offset`, both whole blocks, in place of what was ordered before.
    ///
    /// # Errors
    /// When there is no queue to be had.
    pub(crate) fn order(&mut self, file: &Arc<dyn File>, offset: u64, size: usize) -> io::Result<()> {
        let _ = self.finish(); // what nobody has asked for
        let mut piece = std::mem::take(&mut self.piece);
        piece.resize(size);
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(self.storage.queue(1)?),
        };
        queue.read(offset, file, piece, offset);
        self.ordered = Some(offset);
        Ok(())
    }

    /// The piece at `offset`, if that was ordered and could be read; waits for it. It is shorter than ordered only where the file ends.
    pub(crate) fn take(&mut self, offset: u64) -> Option<&[u8]> {
        if self.ordered != Some(offset) {
            return None;
        }
        self.finish().ok().map(|()| &*self.piece)
    }

    /// Waits for what was ordered.
    fn finish(&mut self) -> io::Result<()> {
        let Some(ordered) = self.ordered.take() else { return Ok(()) };
        let queue = self.queue.as_mut().expect("what was ordered is in a queue");
        let completion = queue.wait();
        assert!(completion.token == ordered, "one piece is read at a time");
        self.piece = completion.buffer.expect("a read gives its buffer back");
        completion.result
    }
}
