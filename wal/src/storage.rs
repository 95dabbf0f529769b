//! The I/O seam: everything this crate asks of a file system, and nothing more.
//!
//! Two implementations stand behind it: [`Disk`](crate::disk::Disk) is the machine's own, and
//! `sim::SimDisk` (tests and the `simulation` feature) forgets what was not synced, tears, reorders,
//! fails and fills up by one seed. What the log proves on the second it promises on the first.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

pub use crate::buffer::{BLOCK_SIZE, Buffer};

/// A file system as the log sees it. Paths are whole; no call depends on a current directory of ours.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Creates the directory `path` and its missing parents; an existing one is fine.
    ///
    /// The new names are durable once their parents are synced ([`sync_dir`](Self::sync_dir)).
    ///
    /// # Errors
    /// `NotADirectory` when `path` or one of its parents is a file.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// What lies in `dir`, sorted by name.
    fn entries(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// The names of what lies in `dir`, in any order. It may cost less than to ask for sizes too.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.entries(dir)?.into_iter().map(|entry| entry.name).collect())
    }

    /// Opens the file `path`.
    ///
    /// # Errors
    /// `NotFound` and `AlreadyExists` as [`Access`] says; `Unsupported` when direct access was asked
    /// and this file system has none, so that the caller may ask for buffered access instead.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;

    /// Gives the file `from` the name `to`, atomically, replacing a file of that name.
    ///
    /// Durable once the parent directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file. Durable once the parent directory is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable: files and directories created, renamed and removed there.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Tries to become the only owner of `path`, creating the file when it is absent.
    ///
    /// The winner writes `owner` into the file, for the next one who asks; the lock itself is held by
    /// the kernel and dies with the process, so text left behind by a dead owner locks nobody out.
    fn lock(&self, path: &Path, owner: &str) -> io::Result<Lock>;

    /// Tries to share `path` with other readers; an exclusive owner keeps them out. Writes nothing.
    ///
    /// # Errors
    /// `NotFound` when there is no such file: a reader creates nothing.
    fn lock_shared(&self, path: &Path) -> io::Result<Lock>;

    /// A queue for one shard, used by one thread, made for `depth` operations in flight (at least one).
    fn queue(&self, depth: u32) -> io::Result<Box<dyn Queue>>;

    /// Which fast ways exist for files in `dir`, which must be writable. Leaves nothing behind.
    ///
    /// Only writers need to ask.
    fn probe(&self, dir: &Path) -> io::Result<Capabilities>;
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of the path; what is not UTF-8 is replaced by U+FFFD.
    pub name: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Must exist; read only.
    Read,
    /// Must exist; read only, through the page cache, which comes to hold no more of it than is read: somebody writes it meanwhile.
    ReadLive,
    /// Must exist; read only, past the page cache, in whole aligned blocks.
    ReadDirect,
    /// Must exist; read and write through the page cache.
    Write,
    /// Must exist; read and write past the page cache, in whole aligned blocks.
    Direct,
    /// Must not exist; read and write through the page cache.
    Create,
}

impl Access {
    /// Whether the file bypasses the page cache.
    pub fn is_direct(self) -> bool {
        matches!(self, Access::ReadDirect | Access::Direct)
    }

    /// Whether the file may be written.
    pub fn is_write(self) -> bool {
        matches!(self, Access::Write | Access::Direct | Access::Create)
    }
}

/// The answer to a request for a lock.
#[derive(Debug)]
pub enum Lock {
    /// The lock is ours until the guard is dropped.
    Held(LockGuard),
    /// Somebody else has it.
    Owned {
        /// What the owner wrote about itself; empty when it has not got round to it, or only reads.
        owner: String,
    },
}

/// Holds a lock until it is dropped.
pub struct LockGuard(Box<dyn Any + Send + Sync>);

impl LockGuard {
    /// A guard around whatever releases the lock when it is dropped.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("LockGuard").field(&(*self.0).type_id()).finish()
    }
}

/// The fast ways a directory offers; `Err` says why one is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Files can be read and written past the page cache.
    pub direct: Result<(), String>,
    /// Writes and syncs run in the background.
    pub ring: Result<(), String>,
}

/// An open file. A queue recognizes the files of its own storage by their type.
pub trait File: Any + Send + Sync + fmt::Debug {
    /// Fills `buffer` from `offset`; returns fewer bytes only where the file ends first.
    ///
    /// # Panics
    /// If the file is direct and address or length of `buffer`, or `offset`, is not a multiple of
    /// [`BLOCK_SIZE`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. The kernel has them afterwards; the device after a sync.
    ///
    /// After an error any part of them may have been written.
    ///
    /// # Panics
    /// If the file is direct and `bytes` or `offset` is not aligned to [`BLOCK_SIZE`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes content and size durable (fdatasync).
    ///
    /// After an error nothing is known of what was not yet durable, and a second sync proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Makes the page cache forget what the device has, if it does: it keeps a file in pieces as large as what was read or written
    /// at once, and may write a whole piece where a byte of it is changed as memory.
    fn forget_cached(&self);

    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Cuts or extends (with zeros) the file to `size` bytes.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// The kernel's handle; `None` on the simulated disk.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// The same where what is in the file may be changed as memory, too (mmap(2)): on a file system that needs no room for what it has
    /// already. It was opened to be written through the page cache then.
    fn mappable(&self) -> Option<BorrowedFd<'_>>;
}

/// Background I/O of one shard. It owns every buffer from submission to completion.
///
/// Operations complete in any order. Interrupted and short ones are continued inside; an error that
/// is reported is final. Dropping the queue waits for what is in flight.
pub trait Queue: Send {
    /// Writes the whole `buffer` at `offset`; its bytes, **and no others**, are durable at completion.
    ///
    /// # Panics
    /// If `buffer` is empty, or its length or `offset` is not a multiple of [`BLOCK_SIZE`].
    fn write_durable(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64);

    /// Makes everything written to `file` before this call durable at completion (fdatasync).
    fn sync(&mut self, token: u64, file: &Arc<dyn File>);

    /// Fills the whole `buffer` from `offset`; nobody may write there before the completion. Then its length says how many bytes there
    /// were: fewer only where the file ends first. After an error neither length nor content says anything.
    ///
    /// # Panics
    /// If `buffer` is empty, or its length or `offset` is not a multiple of [`BLOCK_SIZE`].
    fn read(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64);

    /// The next completion, if one waits; never blocks.
    fn reap(&mut self) -> Option<Completion>;

    /// The next completion; blocks until there is one.
    ///
    /// # Panics
    /// If nothing is in flight.
    fn wait(&mut self) -> Completion;

    /// Operations submitted whose completion has not been taken.
    fn in_flight(&self) -> usize;

    /// Readable while a completion waits to be taken; `None` when [`reap`](Self::reap) finds one as
    /// soon as anything is in flight, so that nobody needs to sleep on it.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}

/// The end of one background operation.
#[derive(Debug)]
pub struct Completion {
    /// What the submitter called the operation.
    pub token: u64,
    /// The buffer of a write or a read, given back; `None` for a sync.
    pub buffer: Option<Buffer>,
    /// How it went; an error is final.
    pub result: io::Result<()>,
}
