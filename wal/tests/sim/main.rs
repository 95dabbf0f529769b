//! The simulated disk: each thing it may do to us is done for some seed, and nothing else ever is.

mod calls;
mod faults;
mod power;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use strata_wal::sim::{Fault, FaultKind, Faults, SimDisk};
use strata_wal::storage::{Access, BLOCK_SIZE, Buffer, File, Lock, Queue, Storage};

const SEEDS: u64 = 200;

fn path(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<Errno> {
    Errno::from_io_error(&result.unwrap_err())
}

fn blocks(byte: u8, count: usize) -> Buffer {
    let mut buffer = Buffer::default();
    buffer.extend_from_slice(&vec![byte; count * BLOCK_SIZE]);
    buffer
}

/// A disk with one file of zeros, all of it durable.
fn disk_with(name: &str, size: usize) -> (SimDisk, Arc<dyn File>) {
    disk_of(1, name, size)
}

fn disk_of(seed: u64, name: &str, size: usize) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(seed);
    disk.set_bytes(&path(name), &vec![0; size]);
    let file = disk.open(&path(name), Access::Write).unwrap();
    (disk, file)
}

/// What a file may hold after a power cut, over all seeds.
fn futures(disk: &SimDisk, name: &str) -> BTreeSet<Vec<u8>> {
    (0..SEEDS).map(|seed| disk.power_cycle(seed).bytes(&path(name))).collect()
}
