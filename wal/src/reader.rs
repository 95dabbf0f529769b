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
    /// Who reads what lies behind the window, for who goes from the beginning to the end.
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

    /// The same, but the next piece is read while one is looked at, from the second on: most readers never leave the first, and reading
    /// ahead costs a queue.
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
        // More than a piece is read at once.
        let is_piece = length <= self.window_size;
        let is_next = is_piece && self.filled > 0 && (self.start..=self.end()).contains(&offset);
        if is_next && self.slide(offset, length) {
            return Ok(());
        }
        self.start = offset - offset % BLOCK_SIZE as u64;
        self.filled = 0;
        let wanted = self.piece_size_at(self.start, (offset - self.start) as usize + length);
        if self.window.len() < wanted {
            self.window.resize(wanted);
        }
        self.filled = self.file.read_at(&mut self.window[..wanted], self.start)?;
        if is_next {
            self.order_next();
        }
        Ok(())
    }

    /// Moves the window over what was read ahead, if that is there. Whether it shows what is wanted then.
    fn slide(&mut self, offset: u64, length: usize) -> bool {
        let Some(ahead) = &mut self.ahead else { return false };
        let end = self.start + self.filled as u64;
        // What the device has against the piece it says again to who reads it.
        let Some(piece) = ahead.take(end).filter(|piece| !piece.is_empty()) else { return false };
        let first = offset - offset % BLOCK_SIZE as u64;
        self.window.copy_within((first - self.start) as usize..self.filled, 0);
        self.window.resize((end - first) as usize);
        self.window.extend_from_slice(piece);
        (self.start, self.filled) = (first, self.window.len());
        self.order_next();
        offset + length as u64 <= self.end()
    }

    /// Orders what lies behind the window.
    fn order_next(&mut self) {
        let end = self.end();
        let size = self.piece_size_at(end, 0);
        let Some(ahead) = self.ahead.as_mut().filter(|_| size > 0 && end.is_multiple_of(BLOCK_SIZE as u64))
        else {
            return;
        };
        if ahead.order(&self.file, end, size).is_err() {
            self.ahead = None; // the kernel has no queue for us: each piece is waited for
        }
    }

    /// The bytes to read at once at a block: whole ones, as many as are needed at least, as far as the file goes.
    fn piece_size_at(&self, start: u64, needed: usize) -> usize {
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
    use crate::disk::Disk;
    use crate::sim::{Dice, FaultKind, Faults, SimDisk};
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

    /// Numbers that differ from block to block, of a file that ends inside one.
    fn numbers() -> Vec<u8> {
        let mut numbers: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        numbers.truncate(numbers.len() - 1000);
        numbers
    }

    /// A disk whose one file, "/file", holds them.
    fn disk_of_numbers() -> (SimDisk, Arc<dyn Storage>, Vec<u8>) {
        let (disk, content) = (SimDisk::new(1), numbers());
        disk.open(Path::new("/file"), Access::Create).unwrap().write_at(&content, 0).unwrap();
        (disk.clone(), Arc::new(disk), content)
    }

    fn reader_ahead(storage: &Arc<dyn Storage>, path: &Path, size: u64) -> SegmentReader {
        let file = storage.open(path, Access::ReadDirect);
        let file = file.or_else(|_| storage.open(path, Access::Read)).unwrap();
        SegmentReader::with_window(file, size, 16 << 10).reading_ahead(storage)
    }

    #[test]
    fn a_reader_that_reads_ahead_reads_what_any_other_would() {
        let dir = tempfile::tempdir().unwrap();
        let content = numbers();
        for (number, disk) in
            [Disk::new(), Disk::without_ring(), Disk::without_direct()].into_iter().enumerate()
        {
            let storage: Arc<dyn Storage> = Arc::new(disk);
            for seed in 0..12 {
                let mut dice = Dice::new(seed);
                let path = dir.path().join(format!("{number}-{seed}"));
                let mut size = BLOCK_SIZE + dice.below(content.len() - BLOCK_SIZE);
                if seed % 3 == 0 {
                    size -= size % BLOCK_SIZE;
                }
                let writer = storage.open(&path, Access::Create).unwrap();
                writer.write_at(&content[..size], 0).unwrap();
                // Some are shorter than they are said to be, and some are cut meanwhile.
                let said = if seed % 5 == 4 { size + 10_000 } else { size };
                let mut reader = reader_ahead(&storage, &path, said as u64);
                let (mut at, mut left) = (0, size);
                for step in 0..200 {
                    match dice.below(30) {
                        0 => at = dice.below(said + 20_000),
                        1 => at = at.saturating_sub(dice.below(30_000)),
                        2 => at = at.next_multiple_of(BLOCK_SIZE),
                        _ => {}
                    }
                    if seed % 4 == 3 && step == 100 {
                        left = dice.below(size);
                        writer.truncate(left as u64).unwrap();
                    }
                    let is_large = dice.below(10) == 0;
                    let length = dice.below(if is_large { 90_000 } else { 6000 });
                    let found = reader.bytes(at as u64, length).unwrap();
                    let there = |size: usize| &content[at.min(size)..size.min(at + length)];
                    // What was read before the cut may be shown still.
                    assert!(
                        there(size).starts_with(found) && found.starts_with(there(left)),
                        "disk {number}, seed {seed}, step {step}: {} of {length} bytes at {at} of {left}",
                        found.len()
                    );
                    at += found.len();
                }
            }
        }
    }

    #[test]
    fn a_piece_that_was_ordered_before_a_leap_is_not_taken_for_another() {
        let (disk, storage, content) = disk_of_numbers();
        let mut reader = reader_ahead(&storage, Path::new("/file"), content.len() as u64);
        // On, so that a piece is ordered; a leap, and on from there.
        for at in [0, 16 << 10, 200_000, 215_000, 230_000, 245_000] {
            assert_eq!(reader.bytes(at as u64, 3000).unwrap(), &content[at..at + 3000], "at {at}");
        }
        assert_eq!(disk.queues(), 1);
    }

    #[test]
    fn what_cannot_be_read_ahead_is_read_when_it_is_wanted() {
        let (disk, storage, content) = disk_of_numbers();
        let reader = || {
            let mut reader = reader_ahead(&storage, Path::new("/file"), content.len() as u64);
            reader.bytes(0, 10).unwrap();
            reader
        };
        // The window behind the first one is read, a queue made, and what follows ordered: no queue, a piece that fails.
        for point in [2, 3] {
            let mut reader = reader();
            disk.set_faults(Faults::once(disk.points() + point, FaultKind::Error));
            for at in (16 << 10..100_000).step_by(1 << 10) {
                assert_eq!(reader.bytes(at, 10).unwrap(), &content[at as usize..at as usize + 10]);
            }
        }
        // What is not wanted fails nobody.
        let mut reader = reader();
        disk.set_faults(Faults::forever(disk.points() + 3, FaultKind::Error));
        assert_eq!(reader.bytes(16 << 10, 10).unwrap(), &content[16 << 10..][..10]);
        assert_eq!(reader.bytes(20 << 10, 10).unwrap(), &content[20 << 10..][..10]);
        assert!(reader.bytes(32 << 10, 10).is_err());
    }

    #[test]
    fn a_reader_that_goes_back_from_the_end_of_its_window_moves_it() {
        let content: Vec<u8> = vec![1; 2 * WINDOW_SIZE];
        let mut reader = reader(&content);
        reader.bytes(0, 1).unwrap();
        let end = reader.end();
        reader.look_back_from(end).unwrap();
        assert!((reader.start..reader.end()).contains(&end));
    }

    #[test]
    fn reading_behind_the_end_gives_what_there_is() {
        let mut reader = reader(&[7; 5000]);
        assert_eq!(reader.bytes(4990, 64).unwrap(), &[7; 10]);
        assert_eq!(reader.bytes(5000, 64).unwrap(), &[0; 0]);
        assert_eq!(reader.bytes(1 << 40, 64).unwrap(), &[0; 0]);
    }
}
