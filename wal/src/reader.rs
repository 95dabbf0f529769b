//! Reading a segment in large pieces.

use std::io;
use std::sync::Arc;

use crate::storage::{BLOCK_SIZE, Buffer, File};

/// Bytes read at once.
pub(crate) const WINDOW_SIZE: usize = 1024 * 1024;

/// A window that moves over one file. Every read is aligned, so the file may be direct.
pub(crate) struct SegmentReader {
    file: Arc<dyn File>,
    size: u64,
    window: Buffer,
    start: u64,
    filled: usize,
}

impl SegmentReader {
    /// Reads a file of `size` bytes.
    pub(crate) fn new(file: Arc<dyn File>, size: u64) -> SegmentReader {
        SegmentReader { file, size, window: Buffer::default(), start: 0, filled: 0 }
    }

    /// The `length` bytes at `offset`; fewer only where the file ends.
    ///
    /// `length` is bounded by the caller: by the window, or by what a checked header says of this segment.
    pub(crate) fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let length = (length as u64).min(self.size.saturating_sub(offset)) as usize;
        let is_inside = offset >= self.start && offset + length as u64 <= self.start + self.filled as u64;
        if !is_inside {
            self.move_to(offset, length)?;
        }
        let from = ((offset - self.start) as usize).min(self.filled);
        Ok(&self.window[from..(from + length).min(self.filled)])
    }

    fn move_to(&mut self, offset: u64, length: usize) -> io::Result<()> {
        self.start = offset - offset % BLOCK_SIZE as u64;
        self.filled = 0;
        let needed = ((offset - self.start) as usize + length).max(WINDOW_SIZE) as u64;
        let rest = self.size.saturating_sub(self.start);
        let wanted = (needed.min(rest) as usize).next_multiple_of(BLOCK_SIZE);
        if self.window.len() < wanted {
            self.window.resize(wanted);
        }
        self.filled = self.file.read_at(&mut self.window[..wanted], self.start)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;
    use crate::storage::{Access, Storage};
    use std::path::Path;

    fn reader(content: &[u8]) -> SegmentReader {
        let disk = SimDisk::new(1);
        let file = disk.open(Path::new("/file"), Access::Create).unwrap();
        file.write_at(content, 0).unwrap();
        SegmentReader::new(file, content.len() as u64)
    }

    #[test]
    fn any_piece_of_a_file_can_be_read_in_any_order() {
        let content: Vec<u8> = (0..3 * WINDOW_SIZE + 100).map(|index| (index / 7) as u8).collect();
        let mut reader = reader(&content);
        for (offset, length) in
            [(0, 64), (WINDOW_SIZE - 10, 20), (5, 2 * WINDOW_SIZE), (3 * WINDOW_SIZE, 100), (1, 1)]
        {
            assert_eq!(reader.bytes(offset as u64, length).unwrap(), &content[offset..offset + length]);
        }
    }

    #[test]
    fn reading_behind_the_end_gives_what_there_is() {
        let mut reader = reader(&[7; 5000]);
        assert_eq!(reader.bytes(4990, 64).unwrap(), &[7; 10]);
        assert_eq!(reader.bytes(5000, 64).unwrap(), &[0; 0]);
        assert_eq!(reader.bytes(1 << 40, 64).unwrap(), &[0; 0]);
    }
}
