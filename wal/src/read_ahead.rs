//! Reading the next piece of a file while the last one is worked on.

use std::io;
use std::sync::Arc;

use crate::storage::{Buffer, File, Queue, Storage};

/// One piece of a file, read in the background, for who goes through it from its beginning to its end.
pub(crate) struct ReadAhead {
    storage: Arc<dyn Storage>,
    queue: Option<Box<dyn Queue>>, // made when the first piece is ordered: most readers stop before
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
        self.forget();
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

    /// The piece at `offset`, if that was ordered; waits for it. It is shorter than ordered only where the file ends.
    pub(crate) fn take(&mut self, offset: u64) -> io::Result<Option<&[u8]>> {
        if self.ordered != Some(offset) {
            return Ok(None);
        }
        self.finish()?;
        Ok(Some(&self.piece))
    }

    /// Where the piece that is being read begins.
    #[cfg(test)]
    pub(crate) fn ordered(&self) -> Option<u64> {
        self.ordered
    }

    /// Gives up what was ordered: what it met is nobody's concern.
    fn forget(&mut self) {
        let _ = self.finish();
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(queue) = self.queue.as_mut().filter(|_| self.ordered.take().is_some()) else {
            return Ok(());
        };
        let completion = queue.wait();
        self.piece = completion.buffer.expect("a read gives its buffer back");
        completion.result
    }
}
