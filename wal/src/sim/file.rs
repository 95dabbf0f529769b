//! An open file of the simulated disk.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::faults::FaultKind;
use super::inode::torn_prefix;
use super::world::World;
use super::{SimDisk, failure};
use crate::storage::{Access, BLOCK_SIZE, File};

pub(super) struct SimFile {
    disk: SimDisk,
    path: PathBuf, // the name it was opened by, for messages
    inode: u64,
    access: Access,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, path: &Path, inode: u64, access: Access) -> Self {
        Self { disk, path: path.to_owned(), inode, access }
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    fn size_in(&self, world: &World) -> usize {
        world.inodes[&self.inode].cache().len()
    }

    fn expect_aligned(&self, bytes: &[u8], offset: u64) {
        let is_aligned = (bytes.as_ptr() as usize).is_multiple_of(BLOCK_SIZE)
            && bytes.len().is_multiple_of(BLOCK_SIZE)
            && offset.is_multiple_of(BLOCK_SIZE as u64);
        assert!(is_aligned || !self.access.is_direct(), "direct I/O is done in whole aligned blocks");
    }

    /// Refuses writes to a file that was opened for reading.
    pub(super) fn expect_writable(&self) -> io::Result<()> {
        if self.access.is_write() { Ok(()) } else { Err(Errno::BADF.into()) }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SimFile")
            .field("inode", &self.inode)
            .field("path", &self.path)
            .field("access", &self.access)
            .finish()
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.expect_aligned(buffer, offset);
        let mut world = self.disk.pass(|_| false)?;
        let inode = world.inode(self.inode);
        let start = (offset as usize).min(inode.cache().len());
        let size = buffer.len().min(inode.cache().len() - start);
        if self.access.is_direct() {
            inode.read_direct(start, &mut buffer[..size]);
        } else {
            buffer[..size].copy_from_slice(&inode.cache()[start..start + size]);
        }
        Ok(size)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.expect_aligned(bytes, offset);
        let (offset, end) = (offset as usize, offset as usize + bytes.len());
        let (mut world, strike) = self.disk.enter(|world| end > self.size_in(world));
        self.expect_writable()?;
        world.writes += 1;
        match strike {
            None => {
                world.expect_room(self.size_in(&world), end)?;
                world.inode(self.inode).write(offset, bytes);
                Ok(())
            }
            Some(kind) => {
                if kind == FaultKind::Torn {
                    let prefix = torn_prefix(offset, bytes, &mut world.dice);
                    world.inode(self.inode).write(offset, prefix);
                }
                Err(failure(kind))
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        let (mut world, strike) = self.disk.enter(|_| false);
        world.syncs += 1;
        let world = &mut *world;
        let inode = world.inodes.get_mut(&self.inode).expect("an open file keeps its content");
        let through = inode.clock();
        match strike {
            None => inode.sync(through),
            Some(FaultKind::Error | FaultKind::Torn) => inode.fail_sync(through, &mut world.dice),
            Some(_) => {}
        }
        strike.map_or(Ok(()), |kind| Err(failure(kind)))
    }

    fn forget_cached(&self) {}

    fn size(&self) -> io::Result<u64> {
        let world = self.disk.pass(|_| false)?;
        Ok(self.size_in(&world) as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut world = self.disk.pass(|world| size as usize > self.size_in(world))?;
        self.expect_writable()?;
        world.expect_room(self.size_in(&world), size as usize)?;
        world.inode(self.inode).resize(size as usize);
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn mappable(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
