//! A disk in memory that behaves as badly as a real one may, by one seed.
//!
//! * A write is in the kernel at once and on the medium after a sync. A sync covers its file, and only
//!   what was written before it was submitted; a durable write covers its own range and no other.
//! * Names (created, renamed, removed; directories too) are on the medium after their directory was
//!   synced.
//! * [`SimDisk::power_cycle`] lets every unsynced change survive, vanish or tear at 512-byte sectors;
//!   [`SimDisk::kill`] ends the process alone.
//! * Every call that can fail is a numbered point, and [`Faults`] names the points that fail.
//!
//! The same seed and the same calls give the same bytes.

mod dice;
mod faults;
mod file;
mod inode;
mod queue;
mod tree;
mod world;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

#[cfg(test)]
pub(crate) use self::dice::Dice;
pub use self::faults::{Fault, FaultKind, Faults};
use self::file::SimFile;
use self::queue::SimQueue;
use self::tree::Node;
use self::world::{Holders, World};
use crate::storage::{Access, Capabilities, DirEntry, File, Lock, LockGuard, Queue, Storage};

/// A simulated disk. A clone is the same disk, seen by the same process.
///
/// ```
/// use std::path::Path;
/// use strata_wal::sim::SimDisk;
/// use strata_wal::storage::{Access, Storage};
///
/// let disk = SimDisk::new(1);
/// let file = disk.open(Path::new("/plan"), Access::Create)?;
/// file.write_at(b"draft", 0)?;
/// file.sync()?;
/// disk.sync_dir(Path::new("/"))?;
/// file.write_at(b"final", 0)?; // never synced: it may survive, or not, or in part
///
/// let after = disk.power_cycle(7);
/// assert_eq!(after.bytes(Path::new("/plan")).len(), 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl SimDisk {
    /// An empty disk whose chances are decided by `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with(World::new(seed))
    }

    /// Calls counted so far: every call of a storage, a file or a queue that can fail. What only
    /// looks at the queue (`reap`, `in_flight`, `descriptor`) and drops are not counted.
    ///
    /// A disk that comes from [`kill`](Self::kill) or [`power_cycle`](Self::power_cycle) counts from 0
    /// and has no failures planned.
    pub fn points(&self) -> u64 {
        self.world().points
    }

    /// Replaces the plan of failures; its points are counted as [`points`](Self::points) counts.
    pub fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// Limits what all files together may hold, in bytes; `None` is no limit.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.world().capacity = capacity;
    }

    /// Whether files can be opened past the page cache; they can at first.
    pub fn set_direct(&self, has_direct: bool) {
        self.world().has_direct = has_direct;
    }

    /// The process dies: what the kernel has stays, locks are released, and what a queue had in
    /// flight happens or not. Every later call on this disk and its files fails; the world goes on
    /// in the disk returned, without power if this one had none. Calling it again tells another story
    /// from the same moment.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        Self::with(self.world().kill())
    }

    /// Power is lost and comes back: every unsynced write, every operation in flight survives, is
    /// lost, or is torn at 512-byte sectors, unsynced names survive or not, all by `seed`.
    ///
    /// Every later call on this disk and its files fails; the world goes on in the disk returned.
    /// Calling it again, with another seed, tells another story from the same moment.
    #[must_use]
    pub fn power_cycle(&self, seed: u64) -> SimDisk {
        Self::with(self.world().power_cycle(seed))
    }

    /// Flips one bit of a file, in the kernel and on the medium. Beyond its end nothing happens.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn flip(&self, path: &Path, offset: u64, bit: u8) {
        let (mut world, inode) = self.file_at(path);
        world.inode(inode).flip(offset as usize, bit);
    }

    /// What a reader would see of a file.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let (mut world, inode) = self.file_at(path);
        world.inode(inode).cache().to_vec()
    }

    /// What would be left of a file if every unsynced change were lost.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn durable_bytes(&self, path: &Path) -> Vec<u8> {
        let (mut world, inode) = self.file_at(path);
        world.inode(inode).medium().to_vec()
    }

    /// Puts a file there, content and name durable; one of that name is replaced.
    ///
    /// # Panics
    /// If its directory does not exist.
    pub fn set_bytes(&self, path: &Path, bytes: &[u8]) {
        let mut world = self.world();
        let inode = match world.tree.file(path) {
            Ok(inode) => inode,
            Err(_) => world.create(path).expect("a file is put into a directory that exists"),
        };
        world.inode(inode).set(bytes);
        world.tree.settle(path);
    }

    /// Every file, in the order of paths.
    pub fn files(&self) -> Vec<PathBuf> {
        self.world().tree.files().map(|(path, _)| path.to_owned()).collect()
    }

    /// The files of which a failed sync has dropped a write, since they were created or [put there](Self::set_bytes).
    pub fn lost_files(&self) -> Vec<PathBuf> {
        let world = self.world();
        let has_lost = |inode: &u64| world.inodes[inode].has_lost();
        world.tree.files().filter(|(_, inode)| has_lost(inode)).map(|(path, _)| path.to_owned()).collect()
    }

    /// Writes asked for so far, of files and queues.
    pub fn writes(&self) -> u64 {
        self.world().writes
    }

    /// Syncs asked for so far, of files, directories and queues. A durable write counts as a write.
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// Queues made so far.
    pub fn queues(&self) -> u64 {
        self.world().queues
    }

    fn with(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// A planned panic must not take the disk with it, so a poisoned lock is opened all the same.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_at(&self, path: &Path) -> (MutexGuard<'_, World>, u64) {
        let world = self.world();
        match world.tree.file(path) {
            Ok(inode) => (world, inode),
            Err(error) => panic!("no file {}: {error}", path.display()),
        }
    }

    /// Begins a call: counts the point and says how it is to fail.
    ///
    /// # Panics
    /// If that is what is planned.
    fn enter(&self, needs_space: impl FnOnce(&World) -> bool) -> (MutexGuard<'_, World>, Option<FaultKind>) {
        let mut world = self.world();
        let needs_space = needs_space(&world);
        let strike = world.point(needs_space);
        if strike == Some(FaultKind::Panic) {
            let point = world.points;
            drop(world);
            panic!("panic planned for I/O point {point}");
        }
        (world, strike)
    }

    /// Begins a call that either happens or does not.
    fn pass(&self, needs_space: impl FnOnce(&World) -> bool) -> io::Result<MutexGuard<'_, World>> {
        match self.enter(needs_space) {
            (world, None) => Ok(world),
            (_, Some(kind)) => Err(failure(kind)),
        }
    }

    fn lock_file(&self, path: &Path, owner: Option<&str>) -> io::Result<Lock> {
        let creates = owner.is_some();
        let mut world = self.pass(|world| creates && world.tree.node(path).is_none())?;
        let inode = match world.tree.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && creates => world.create(path)?,
            found => found?,
        };
        let held = world.locks.get(&inode).filter(|holders| !holders.ids.is_empty());
        if held.is_some_and(|holders| creates || holders.is_exclusive) {
            let owner = String::from_utf8_lossy(world.inode(inode).cache()).into_owned();
            return Ok(Lock::Owned { owner });
        }
        if let Some(owner) = owner {
            world.inode(inode).write(0, owner.as_bytes());
            world.inode(inode).resize(owner.len());
        }
        let id = world.next_id();
        let holders = world.locks.entry(inode).or_insert_with(Holders::default);
        holders.is_exclusive = creates;
        holders.ids.insert(id);
        drop(world);
        Ok(Lock::Held(LockGuard::new(SimLock { disk: self.clone(), inode, id })))
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.world();
        let files = world.tree.files().count();
        formatter.debug_struct("SimDisk").field("points", &world.points).field("files", &files).finish()
    }
}

impl Storage for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(|world| world.tree.node(path).is_none())?.tree.create_dir(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let world = self.pass(|_| false)?;
        let entry = |(path, node): (&Path, Node)| DirEntry {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            size: match node {
                Node::File(inode) => world.inodes[&inode].cache().len() as u64,
                Node::Dir => 0,
            },
            is_dir: node == Node::Dir,
        };
        Ok(world.tree.entries(dir)?.into_iter().map(entry).collect())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let mut world = self.pass(|_| access == Access::Create)?;
        let inode = if access == Access::Create {
            world.expect_room(0, 1)?; // a new file needs an inode, if no content yet
            world.create(path)?
        } else {
            world.tree.file(path)?
        };
        if access.is_direct() && !world.has_direct {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "direct I/O is turned off"));
        }
        drop(world);
        Ok(Arc::new(SimFile::new(self.clone(), path, inode, access)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(|_| true)?.tree.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass(|_| false)?.tree.unlink(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.pass(|_| false)?;
        world.syncs += 1;
        world.tree.sync_dir(dir)
    }

    fn lock(&self, path: &Path, owner: &str) -> io::Result<Lock> {
        self.lock_file(path, Some(owner))
    }

    fn lock_shared(&self, path: &Path) -> io::Result<Lock> {
        self.lock_file(path, None)
    }

    fn queue(&self, depth: u32) -> io::Result<Box<dyn Queue>> {
        assert!(depth > 0, "a queue holds at least one operation");
        self.pass(|_| false)?.queues += 1;
        Ok(Box::new(SimQueue::new(self.clone())))
    }

    fn probe(&self, dir: &Path) -> io::Result<Capabilities> {
        let world = self.pass(|_| false)?;
        world.tree.entries(dir)?;
        let direct = if world.has_direct { Ok(()) } else { Err("direct I/O is turned off".to_owned()) };
        Ok(Capabilities { direct, ring: Ok(()) })
    }
}

/// What the caller hears of a planned failure.
fn failure(kind: FaultKind) -> io::Error {
    match kind {
        FaultKind::NoSpace => Errno::NOSPC.into(),
        FaultKind::Error | FaultKind::Torn | FaultKind::Panic | FaultKind::PowerCut => Errno::IO.into(),
    }
}

/// Gives a lock back when it is dropped.
struct SimLock {
    disk: SimDisk,
    inode: u64,
    id: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Some(holders) = self.disk.world().locks.get_mut(&self.inode) {
            holders.ids.remove(&self.id);
        }
    }
}
