//! Reading a segment in large pieces.

use std::io;
use std::sync::Arc;

use crate::storage::{BLOCK_SIZE, Buffer, File};

/// Bytes read at once, unless a reader is made for less.
pub(crate) const WINDOW_SIZE: usize = 1024 * 1024;

/// Bytes read at once behind a leap back.
const WINDOW_MIN: usize = 2 * BLOCK_SIZE;

/// A window that moves over one file. Every read is aligned, so the file may be direct.
pub(crate) struct SegmentReader {
    file: Arc<dyn File>,
    size: u64,
    window: Buffer,
    window_size: usize,
    /// What that grows to.
    window_max: usize,
    start: u64,
    filled: usize,
}

impl SegmentReader {
    /// Reads a file of `size` bytes.
    pub(crate) fn new(file: Arc<dyn File>, size: u64) -> SegmentReader {
        SegmentReader::with_window(file, size, WINDOW_SIZE)
    }

    /// The same, in pieces of `window_size` bytes, some blocks.
    pub(crate) fn with_window(file: Arc<dyn File>, size: u64, window_size: usize) -> SegmentReader {
        let (window, window_max) = (Buffer::default(), window_size);
        SegmentReader { file, size, window, window_size, window_max, start: 0, filled: 0 }
    }

    /// Moves the window, unless it shows the byte at `offset`, to where it shows what lies before that: for who goes back. It is small behind
    /// a leap, and grows while it is moved to what lies just before it.
    pub(crate) fn look_back_from(&mut self, offset: u64) -> io::Result<()> {
        let is_inside = offset >= self.start && offset < self.start + self.filled as u64;
        if is_inside || offset >= self.size {
            return Ok(());
        }
        let is_next = offset < self.start && self.start - offset <= self.window_size as u64;
        let grown = if is_next { self.window_size * 2 } else { WINDOW_MIN };
        self.window_size = grown.min(self.window_max);
        // The window begins with a block, and shows a whole one from here on.
        let before = (self.window_size - 2 * BLOCK_SIZE) as u64;
        self.move_to(offset.saturating_sub(before), 0)
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
        let needed = ((offset - self.start) as usize + length).max(self.window_size) as u64;
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
    fn a_reader_that_goes_back_reads_what_lies_before_at_once() {
        let content: Vec<u8> = (0..100_000).map(|index| (index / 7) as u8).collect();
        let disk = SimDisk::new(1);
        let file = disk.open(Path::new("/file"), Access::Create).unwrap();
        file.write_at(&content, 0).unwrap();
        let mut reader = SegmentReader::with_window(file, content.len() as u64, 16 << 10);
        let mut moves = 0;
        for offset in (0..99_900_u64).rev().step_by(100) {
            let before = reader.start;
            reader.look_back_from(offset).unwrap();
            moves += u64::from(reader.start != before);
            let at = offset as usize;
            assert_eq!(reader.bytes(offset, 64).unwrap(), &content[at..at + 64], "at {offset}");
        }
        assert!(moves <= 100_000 / (8 << 10) + 2, "the window was moved {moves} times");
        // A leap reads little.
        reader.look_back_from(50_000).unwrap();
        assert_eq!((reader.filled, reader.start), (WINDOW_MIN, 50_000 - 50_000 % BLOCK_SIZE as u64));
        reader.look_back_from(1 << 40).unwrap();
        assert!(reader.bytes(1 << 40, 8).unwrap().is_empty());
    }

    #[test]
    fn reading_behind_the_end_gives_what_there_is() {
        let mut reader = reader(&[7; 5000]);
        assert_eq!(reader.bytes(4990, 64).unwrap(), &[7; 10]);
        assert_eq!(reader.bytes(5000, 64).unwrap(), &[0; 0]);
        assert_eq!(reader.bytes(1 << 40, 64).unwrap(), &[0; 0]);
    }
}
