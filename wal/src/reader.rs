//! Reading a segment in large pieces.

use std::io;
use std::sync::Arc;

use crate::read_ahead::ReadAhead;
use crate::storage::{BLOCK_SIZE, Buffer, File, Storage};

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
    /// What lies behind the window, for who reads from the beginning to the end.
    ahead: Option<ReadAhead>,
}

impl SegmentReader {
    /// Reads a file of `size` bytes.
    pub(crate) fn new(file: Arc<dyn File>, size: u64) -> SegmentReader {
        SegmentReader::with_window(file, size, WINDOW_SIZE)
    }

    /// The same, in pieces of `window_size` bytes, some blocks.
    pub(crate) fn with_window(file: Arc<dyn File>, size: u64, window_size: usize) -> SegmentReader {
        let (window, window_max) = (Buffer::default(), window_size);
        SegmentReader { file, size, window, window_size, window_max, start: 0, filled: 0, ahead: None }
    }

    /// Reads what lies behind the window while that is looked at, once it has moved on to what lies behind it.
    pub(crate) fn reading_ahead(mut self, storage: &Arc<dyn Storage>) -> SegmentReader {
        self.ahead = Some(ReadAhead::new(Arc::clone(storage)));
        self
    }

    /// Moves the window, unless it shows the byte at `offset`, to where it shows what lies before that: for who goes back. It is small behind
    /// a leap, and grows while it is moved to what lies just before it.
    pub(crate) fn look_back_from(&mut self, offset: u64) -> io::Result<()> {
        let is_inside = offset >= self.start && offset < self.end();
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
        let is_inside = offset >= self.start && offset + length as u64 <= self.end();
        if !is_inside {
            self.move_to(offset, length)?;
        }
        let from = ((offset - self.start) as usize).min(self.filled);
        Ok(&self.window[from..(from + length).min(self.filled)])
    }

    fn move_to(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let goes_on = self.filled > 0 && (self.start..=self.end()).contains(&offset);
        if goes_on && self.slide(offset, length)? {
            return Ok(());
        }
        self.start = offset - offset % BLOCK_SIZE as u64;
        self.filled = 0;
        let wanted = self.piece_at(self.start, (offset - self.start) as usize + length);
        if self.window.len() < wanted {
            self.window.resize(wanted);
        }
        self.filled = self.file.read_at(&mut self.window[..wanted], self.start)?;
        if goes_on {
            self.order_next();
        }
        Ok(())
    }

    /// Moves the window over what was read ahead; tells whether it shows what is wanted then.
    fn slide(&mut self, offset: u64, length: usize) -> io::Result<bool> {
        while self.end() < offset + length as u64 {
            let end = self.end();
            let Some(ahead) = &mut self.ahead else { return Ok(false) };
            let Some(piece) = ahead.take(end)?.filter(|piece| !piece.is_empty()) else { return Ok(false) };
            let first = offset - offset % BLOCK_SIZE as u64;
            self.window.copy_within((first - self.start) as usize..self.filled, 0);
            self.window.resize((end - first) as usize);
            self.window.extend_from_slice(piece);
            (self.start, self.filled) = (first, self.window.len());
            self.order_next();
        }
        Ok(true)
    }

    /// Orders what lies behind the window.
    fn order_next(&mut self) {
        let end = self.end();
        let size = self.piece_at(end, 0);
        let Some(ahead) = self.ahead.as_mut().filter(|_| size > 0 && end.is_multiple_of(BLOCK_SIZE as u64))
        else {
            return;
        };
        if ahead.order(&self.file, end, size).is_err() {
            self.ahead = None; // the kernel has no queue for us: each piece is waited for
        }
    }

    /// The bytes to read at once at a block: whole ones, as many as are needed at least, as far as the file goes.
    fn piece_at(&self, start: u64, needed: usize) -> usize {
        let rest = self.size.saturating_sub(start);
        (needed.max(self.window_size) as u64).min(rest).next_multiple_of(BLOCK_SIZE as u64) as usize
    }

    /// Offset of the first byte behind the window.
    fn end(&self) -> u64 {
        self.start + self.filled as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{FaultKind, Faults, SimDisk};
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
    fn a_reader_that_goes_on_finds_what_was_read_ahead() {
        let content: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        let content = &content[..content.len() - 1000]; // the file ends inside a block
        let disk = SimDisk::new(1);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        disk.open(Path::new("/file"), Access::Create).unwrap().write_at(content, 0).unwrap();
        for access in [Access::Read, Access::ReadDirect] {
            let file = disk.open(Path::new("/file"), access).unwrap();
            let reader = SegmentReader::with_window(file, content.len() as u64, 16 << 10);
            let mut reader = reader.reading_ahead(&storage);
            // Pieces within a window, over the edge of one, and larger than some.
            let (mut offset, mut slides) = (0, 0);
            for length in [100, 5000, 24, 70_000, 3000].into_iter().cycle() {
                let before = reader.start;
                let wanted = &content[offset..content.len().min(offset + length)];
                assert_eq!(reader.bytes(offset as u64, length).unwrap(), wanted, "at {offset}");
                slides += usize::from(
                    reader.start != before
                        && reader.ahead.as_ref().is_some_and(|ahead| ahead.ordered().is_some()),
                );
                offset += wanted.len();
                if wanted.is_empty() {
                    break;
                }
            }
            assert!(slides > 20, "{slides} windows were moved on with a piece on order");
            // A leap is read as ever.
            assert_eq!(reader.bytes(40, 60).unwrap(), &content[40..100]);
            assert_eq!(reader.bytes(700_000, 60).unwrap(), &content[700_000..700_060]);
        }
    }

    #[test]
    fn an_error_of_a_piece_read_ahead_is_told_when_that_is_wanted() {
        let disk = SimDisk::new(1);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        disk.open(Path::new("/file"), Access::Create).unwrap().write_at(&[7; 100_000], 0).unwrap();
        let reader_of_it = || {
            let file = disk.open(Path::new("/file"), Access::Read).unwrap();
            SegmentReader::with_window(file, 100_000, 16 << 10).reading_ahead(&storage)
        };
        // The window behind the first one is read, a queue made, and what follows ordered.
        let mut reader = reader_of_it();
        reader.bytes(0, 10).unwrap();
        disk.set_faults(Faults::once(disk.points() + 3, FaultKind::Error));
        assert_eq!(reader.bytes(16 << 10, 10).unwrap(), [7; 10]);
        assert_eq!(reader.bytes(20 << 10, 10).unwrap(), [7; 10], "nobody has asked for the piece");
        assert!(reader.bytes(32 << 10, 10).is_err());
        assert_eq!(reader.bytes(32 << 10, 10).unwrap(), [7; 10], "the device is well again");
        // Without a queue each piece is waited for.
        let mut reader = reader_of_it();
        reader.bytes(0, 10).unwrap();
        disk.set_faults(Faults::once(disk.points() + 2, FaultKind::Error));
        for at in (16 << 10..100_000).step_by(1 << 10) {
            assert_eq!(reader.bytes(at, 10).unwrap(), [7; 10]);
        }
        assert!(reader.ahead.is_none());
    }

    #[test]
    fn reading_behind_the_end_gives_what_there_is() {
        let mut reader = reader(&[7; 5000]);
        assert_eq!(reader.bytes(4990, 64).unwrap(), &[7; 10]);
        assert_eq!(reader.bytes(5000, 64).unwrap(), &[0; 0]);
        assert_eq!(reader.bytes(1 << 40, 64).unwrap(), &[0; 0]);
    }
}
