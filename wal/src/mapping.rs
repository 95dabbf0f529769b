//! Bytes put into a block of a file that the kernel has already, without a system call.
//!
//! The bytes go where the page cache has the block: the kernel has them as it has what write(2) took, and they survive the process.
//! What a file system may refuse it has to say before that, since no error can be told of a store to memory, which is
//! answered with SIGBUS: the block is written whole first, with write(2), and then touched once in a way that can
//! fail (`MADV_POPULATE_WRITE`, madvise(2), Linux 5.14). SQLite writes to its file of shared memory before it is mapped for the same
//! reason (`unixShmMap`, os_unix.c).
//!
//! Here is unsafe code, and this is why it is sound. A window is memory that the kernel chose for this mapping alone, and it is
//! unmapped once, when its only owner is dropped. No reference to it is ever made: bytes are copied to it through a pointer, from memory of
//! ours that does not overlap it, into a block that lies in the window. Nobody reads it in this process; the kernel does, of
//! whose sight of it the language says nothing.
#![expect(unsafe_code, reason = "a part of a file is mapped, and bytes are copied there")]

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::storage::{BLOCK_SIZE, File};

/// Mapped at once, bytes. To map and unmap takes some microseconds; what is mapped counts as memory of the process.
const WINDOW_SIZE: u64 = 256 << 10;

/// Where a log puts bytes into one file without a system call.
#[derive(Debug, Default)]
pub(crate) enum Mapping {
    /// Nothing was put yet.
    #[default]
    Unasked,
    /// There is a window, and in it the block that was touched last, against which the kernel had nothing at that moment.
    Open { window: Window, touched: u64 },
    /// The kernel had something against a block: everything is written to this file with system calls from now on.
    Refused,
}

/// A part of a file, as memory.
#[derive(Debug)]
pub(crate) struct Window {
    memory: NonNull<u8>,
    /// Where in the file it begins.
    start: u64,
}

// SAFETY: memory of the process is the same for all of its threads, and only the owner of a window uses it.
unsafe impl Send for Window {}

impl Mapping {
    /// Puts `bytes` into a block of `file`, always the same one, that was written whole before. Returns whether it did: else they are to be
    /// written.
    ///
    /// # Panics
    /// If they do not lie within one block.
    pub(crate) fn put(&mut self, file: &dyn File, bytes: &[u8], offset: u64) -> bool {
        let block = offset - offset % BLOCK_SIZE as u64;
        assert!(offset - block + bytes.len() as u64 <= BLOCK_SIZE as u64, "bytes are put into one block");
        if !matches!(self, Mapping::Open { touched, .. } if *touched == block) {
            *self = std::mem::take(self).touch(file, block);
        }
        let Mapping::Open { window, .. } = self else { return false };
        window.copy(bytes, (offset - window.start) as usize);
        true
    }

    /// Makes a block ready to be changed, if the kernel has nothing against it.
    #[cold]
    fn touch(self, file: &dyn File, block: u64) -> Mapping {
        let start = block - block % WINDOW_SIZE;
        let window = match self {
            Mapping::Refused => None,
            Mapping::Open { window, .. } if window.start == start => Some(window),
            Mapping::Open { .. } | Mapping::Unasked => {
                file.mappable().and_then(|file| Window::open(file, start))
            }
        };
        match window.filter(|window| window.touch((block - start) as usize)) {
            Some(window) => Mapping::Open { window, touched: block },
            None => Mapping::Refused,
        }
    }
}

impl Window {
    fn open(file: BorrowedFd<'_>, start: u64) -> Option<Window> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: without an address of ours to map at, the kernel chooses one that nothing else has.
        let memory =
            unsafe { mmap(std::ptr::null_mut(), WINDOW_SIZE as usize, protection, flags, file, start) };
        let window = Window { memory: NonNull::new(memory.ok()?.cast())?, start };
        // A page that is missing is read, and none beside it: a piece of several pages is written back as a whole.
        window.advise(0, WINDOW_SIZE as usize, Advice::Random).then_some(window)
    }

    /// Whether a block can be written to: the kernel says so, or why not, where a store would end the process.
    fn touch(&self, place: usize) -> bool {
        self.advise(place, BLOCK_SIZE, Advice::LinuxPopulateWrite)
    }

    /// Whether the kernel took the advice, which is one that changes no byte.
    fn advise(&self, place: usize, size: usize, advice: Advice) -> bool {
        // SAFETY: `at` has made sure that so many bytes lie in the window, and they stay as they are.
        unsafe { madvise(self.at(place, size), size, advice) }.is_ok()
    }

    fn copy(&self, bytes: &[u8], place: usize) {
        let to = self.at(place, bytes.len()).cast();
        // SAFETY: `at` has made sure that so many bytes lie in the window, which no memory of ours overlaps.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Where `size` bytes lie.
    fn at(&self, place: usize, size: usize) -> *mut c_void {
        assert!(place + size <= WINDOW_SIZE as usize, "a place lies in its window");
        // SAFETY: it does.
        unsafe { self.memory.add(place) }.as_ptr().cast()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, nobody has a pointer to it any more, and it is unmapped once.
        let unmapped = unsafe { munmap(self.memory.as_ptr().cast(), WINDOW_SIZE as usize) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::disk::Disk;
    use crate::storage::{Access, Storage};

    const BLOCK: u64 = BLOCK_SIZE as u64;

    /// In memory: where else the tests run may be a file system that maps nothing.
    fn dir() -> TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn file(disk: &Disk, dir: &TempDir, size: u64) -> Arc<dyn File> {
        let file = disk.open(&dir.path().join("segment"), Access::Create).unwrap();
        file.write_at(&vec![0; size as usize], 0).unwrap();
        file
    }

    #[test]
    fn what_is_put_into_blocks_is_what_the_file_has_and_nothing_else_is_touched() {
        let dir = dir();
        let size = 2 * WINDOW_SIZE + BLOCK;
        let file = file(&Disk::new(), &dir, size);
        let (mut mapping, mut expected) = (Mapping::default(), vec![0; size as usize]);
        // In the middle, up to the end of a block, across windows and back, in the last block of a file that ends within a window.
        let places = [7, BLOCK - 40, WINDOW_SIZE - 90, WINDOW_SIZE + 5, 100, 2 * WINDOW_SIZE + 11];
        for (number, offset) in places.into_iter().enumerate() {
            let bytes = [number as u8 + 1; 40];
            assert!(mapping.put(&*file, &bytes, offset));
            expected[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let mut found = vec![1; size as usize];
        assert_eq!(file.read_at(&mut found, 0).unwrap(), found.len());
        assert!(found == expected);
    }

    #[test]
    fn a_block_that_the_file_has_not_is_refused_for_good_and_costs_nobody_his_process() {
        let dir = dir();
        let file = file(&Disk::new(), &dir, BLOCK);
        let mut mapping = Mapping::default();
        assert!(mapping.put(&*file, b"plan", 0));
        assert!(!mapping.put(&*file, b"plan", 3 * BLOCK), "a store there would be answered with SIGBUS");
        assert!(!mapping.put(&*file, b"plan", 0));
        assert_eq!(file.size().unwrap(), BLOCK);
    }

    #[test]
    fn a_disk_that_maps_nothing_has_everything_written() {
        let dir = dir();
        let file = file(&Disk::portable(), &dir, BLOCK);
        assert!(!Mapping::default().put(&*file, b"plan", 0));
    }

    #[test]
    #[should_panic(expected = "bytes are put into one block")]
    fn bytes_beyond_their_block_are_a_mistake_of_ours() {
        let dir = dir();
        let file = file(&Disk::new(), &dir, 2 * BLOCK);
        Mapping::default().put(&*file, &[1; 2], BLOCK - 1);
    }
}
