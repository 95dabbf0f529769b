//! The machine's own file system.
//!
//! Everything here is a thin, safe wrapper around system calls; what is worth knowing is which ones:
//! `O_DIRECT` past the page cache, `fdatasync` for contents, `fsync` for directories, `flock` for
//! ownership, and a ring (`uring.rs`) for what is done in the background, or `pwrite`, `pread` and
//! `fdatasync` on the caller's thread where there is none.

use std::fs;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, FsWord, OFlags, fadvise, fstatfs};
use rustix::io::Errno;

use crate::blocking::BlockingQueue;
use crate::storage::{
    Access, BLOCK_SIZE, Buffer, Capabilities, DirEntry, File, Lock, LockGuard, Queue, Storage,
};
use crate::uring::UringQueue;

/// A lock file that is let go when dropped.
///
/// Closing alone would not do: flock(2) belongs to the open file description, which a child made by fork(2) shares
/// and keeps open. For the same reason the child, which drops its copy, must not let go.
struct HeldLock {
    file: fs::File,
    process: u32,
}

impl HeldLock {
    fn new(file: fs::File) -> HeldLock {
        HeldLock { file, process: std::process::id() }
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            // A lock that cannot be let go is let go when the file is closed, right after this.
            let _ = self.file.unlock();
        }
    }
}

/// More than this is not read of what an owner wrote about itself, in bytes.
const OWNER_SIZE_MAX: u64 = 4096;

/// The file systems known to change a file where it lies, so that no store to what was written before finds them without room: ext2 to
/// ext4, XFS where files share no blocks, and tmpfs (statfs(2)). Others write what has changed to a new place.
const CHANGED_IN_PLACE: [FsWord; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

/// The real storage.
///
/// ```
/// use strata_wal::disk::Disk;
/// use strata_wal::storage::{Access, Storage};
///
/// let dir = tempfile::tempdir()?;
/// let disk = Disk::new();
/// let file = disk.open(&dir.path().join("plan"), Access::Create)?;
/// file.write_at(b"draft", 0)?;
/// file.sync()?;
/// disk.sync_dir(dir.path())?; // now the name is durable too
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Disk {
    direct: bool,
    ring: bool,
    map: bool,
    has_warned: AtomicBool, // of a ring that could not be had; once is enough
}

impl Disk {
    /// Uses whatever the machine offers.
    pub fn new() -> Self {
        Self { direct: true, ring: true, map: true, has_warned: AtomicBool::new(false) }
    }

    /// Does background I/O on the caller's thread, as on a machine without io_uring.
    pub fn without_ring() -> Self {
        Self { ring: false, ..Self::new() }
    }

    /// Goes through the page cache always, as on a file system without `O_DIRECT`.
    pub fn without_direct() -> Self {
        Self { direct: false, ..Self::new() }
    }

    /// Writes everything with system calls, as on a file system whose files are not changed as memory.
    pub fn without_map() -> Self {
        Self { map: false, ..Self::new() }
    }

    /// Neither ring nor direct I/O nor mapped files: what every POSIX system has.
    pub fn portable() -> Self {
        Self { direct: false, ring: false, map: false, ..Self::new() }
    }

    fn fall_back(&self, error: &io::Error) -> Box<dyn Queue> {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "strata", %error, "io_uring cannot be used, writes and syncs block their shard");
        }
        Box::new(BlockingQueue::default())
    }

    fn probe_direct(&self, dir: &Path) -> Result<(), String> {
        if !self.direct {
            return Err("direct I/O is turned off".to_owned());
        }
        let file = scratch_file(dir).map_err(|error| format!("a direct file cannot be opened: {error}"))?;
        let mut block = Buffer::default();
        block.resize(BLOCK_SIZE);
        match file.write_all_at(&block, BLOCK_SIZE as u64) {
            // It opened the file and took the block as it is, and has no room: it will where a log has its segments.
            Err(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => Ok(()),
            written => written.map_err(|error| {
                format!("a block of {BLOCK_SIZE} bytes cannot be written directly: {error}")
            }),
        }
    }

    fn probe_ring(&self) -> Result<(), String> {
        if !self.ring {
            return Err("io_uring is turned off".to_owned());
        }
        UringQueue::probe().map_err(|error| format!("io_uring cannot be used: {error}"))
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Storage for Disk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path).map_err(|error| match error.kind() {
            // Something is there, and it is no directory.
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        })
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed meanwhile
                metadata => metadata?,
            };
            let is_dir = metadata.is_dir();
            let size = if is_dir { 0 } else { metadata.len() };
            entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), size, is_dir });
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        if access.is_direct() && !self.direct {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "direct I/O is turned off"));
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).write(access.is_write()).create_new(access == Access::Create);
        if access.is_direct() {
            options.custom_flags(OFlags::DIRECT.bits() as i32);
        }
        let file = options.open(path).map_err(|error| match error.raw_os_error() {
            // open(2): EINVAL is how a file system says that it knows no O_DIRECT.
            Some(code) if access.is_direct() && code == Errno::INVAL.raw_os_error() => {
                io::Error::new(io::ErrorKind::Unsupported, "this file system has no direct I/O")
            }
            _ => error,
        })?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if access == Access::ReadLive {
            let _ = fadvise(&file, 0, None, Advice::Random);
        }
        let is_mapped = self.map && access.is_write() && !access.is_direct();
        Ok(Arc::new(DiskFile { file, access, is_mapped }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, owner: &str) -> io::Result<Lock> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                // Overwritten in place and cut afterwards, so that a full disk keeps nobody from
                // opening the store that they want to make smaller.
                file.write_all_at(owner.as_bytes(), 0)?;
                file.set_len(owner.len() as u64)?;
                Ok(Lock::Held(LockGuard::new(HeldLock::new(file))))
            }
            Err(refused) => owned_by(file, refused),
        }
    }

    fn lock_shared(&self, path: &Path) -> io::Result<Lock> {
        let file = fs::File::open(path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Lock::Held(LockGuard::new(HeldLock::new(file)))),
            Err(refused) => owned_by(file, refused),
        }
    }

    fn queue(&self, depth: u32) -> io::Result<Box<dyn Queue>> {
        assert!(depth > 0, "a queue holds at least one operation");
        if !self.ring {
            return Ok(Box::new(BlockingQueue::default()));
        }
        Ok(match UringQueue::new(depth) {
            Ok(queue) => Box::new(queue),
            Err(error) => self.fall_back(&error),
        })
    }

    fn probe(&self, dir: &Path) -> io::Result<Capabilities> {
        if !fs::metadata(dir)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Capabilities { direct: self.probe_direct(dir), ring: self.probe_ring() })
    }
}

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    access: Access,
    is_mapped: bool,
}

impl DiskFile {
    fn expect_aligned(&self, bytes: &[u8], offset: u64) {
        let is_aligned = (bytes.as_ptr() as usize).is_multiple_of(BLOCK_SIZE)
            && bytes.len().is_multiple_of(BLOCK_SIZE)
            && offset.is_multiple_of(BLOCK_SIZE as u64);
        assert!(is_aligned || !self.access.is_direct(), "direct I/O is done in whole aligned blocks");
    }
}

impl File for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.expect_aligned(buffer, offset);
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(size) => filled += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // A direct read that ends inside a block has met the end of the file, and going on from
            // there would not be aligned.
            if self.access.is_direct() && !filled.is_multiple_of(BLOCK_SIZE) {
                break;
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.expect_aligned(bytes, offset);
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn forget_cached(&self) {
        // Advice: what it is not taken for stays.
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn mappable(&self) -> Option<BorrowedFd<'_>> {
        let is_known = || fstatfs(&self.file).is_ok_and(|found| CHANGED_IN_PLACE.contains(&found.f_type));
        (self.is_mapped && is_known()).then(|| self.file.as_fd())
    }
}

/// A direct file without a name, so that not even a crash leaves it behind.
fn scratch_file(dir: &Path) -> io::Result<fs::File> {
    // open(2): these three are how a file system or a kernel says that it knows no nameless files.
    const NO_TMPFILE: [Errno; 3] = [Errno::OPNOTSUPP, Errno::ISDIR, Errno::NOENT];
    let flags = OFlags::DIRECT | OFlags::TMPFILE;
    let opened = fs::OpenOptions::new().read(true).write(true).custom_flags(flags.bits() as i32).open(dir);
    match opened {
        Err(error) if Errno::from_io_error(&error).is_some_and(|errno| NO_TMPFILE.contains(&errno)) => {
            named_scratch_file(dir)
        }
        opened => opened,
    }
}

/// A direct file whose name is removed at once.
fn named_scratch_file(dir: &Path) -> io::Result<fs::File> {
    let path = dir.join(format!(".probe-{}-{:016x}", std::process::id(), rand::random::<u64>()));
    let flags = OFlags::DIRECT.bits() as i32;
    let opened =
        fs::OpenOptions::new().read(true).write(true).create_new(true).custom_flags(flags).open(&path);
    let _ = fs::remove_file(&path); // open(2) may create the file and then refuse O_DIRECT
    opened
}

/// Somebody else holds the lock: what they say about themselves.
fn owned_by(file: fs::File, refused: fs::TryLockError) -> io::Result<Lock> {
    match refused {
        fs::TryLockError::WouldBlock => {
            let mut owner = Vec::new();
            file.take(OWNER_SIZE_MAX).read_to_end(&mut owner)?;
            Ok(Lock::Owned { owner: String::from_utf8_lossy(&owner).into_owned() })
        }
        fs::TryLockError::Error(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_cannot_be_had_is_replaced_by_a_queue_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new();
        let file = disk.open(&dir.path().join("file"), Access::Create).unwrap();
        let mut queue = disk.fall_back(&io::ErrorKind::PermissionDenied.into());
        assert!(disk.has_warned.load(Ordering::Relaxed));
        queue.sync(5, &file);
        assert_eq!(queue.wait().token, 5);
    }

    #[test]
    fn a_scratch_file_with_a_name_loses_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let _file = named_scratch_file(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_what_is_written_through_the_page_cache_of_a_known_file_system_is_mapped() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let (disk, path) = (Disk::new(), dir.path().join("file"));
        let is_mapped =
            |disk: &Disk, path: &Path, access| disk.open(path, access).unwrap().mappable().is_some();
        assert!(is_mapped(&disk, &path, Access::Create));
        assert!(is_mapped(&disk, &path, Access::Write));
        assert!(!is_mapped(&disk, &path, Access::Read));
        for disk in [Disk::without_map(), Disk::portable()] {
            assert!(!is_mapped(&disk, &path, Access::Write));
        }
        if let Ok(direct) = disk.open(&path, Access::Direct) {
            assert!(direct.mappable().is_none());
        }
        let of_proc = Path::new("/proc/self/comm");
        assert!(!is_mapped(&disk, of_proc, Access::Write), "proc(5) is not on the list");
    }
}
