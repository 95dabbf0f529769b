//! A damaged length never becomes an allocation.
//!
//! A counting allocator would need unsafe code. So the process forbids itself to grow (`RLIMIT_AS`, setrlimit(2)) and
//! then reads damaged stores: an allocation by a damaged length would end it.

mod store;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};
use store::{STORE, Store, options, read_only};
use strata_wal::sim::SimDisk;
use strata_wal::{LogMode, StoreRemains};

/// Far above what these stores need, far below what a length with a flipped high bit asks for.
const ADDRESS_SPACE_MAX: u64 = 768 << 20;
const CHILD: &str = "STRATA_TEST_ALLOCATION_CHILD";

#[test]
fn a_damaged_length_never_becomes_an_allocation() {
    if std::env::var_os(CHILD).is_some() {
        return read_damaged_stores();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["a_damaged_length_never_becomes_an_allocation", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "the child ended with {}: {told}", child.status);
    assert!(told.contains("stores were read"), "the child did its work: {told}");
}

fn read_damaged_stores() {
    let limit = Rlimit { current: Some(ADDRESS_SPACE_MAX), maximum: Some(ADDRESS_SPACE_MAX) };
    setrlimit(Resource::As, limit).unwrap();
    // The control: what a flipped bit would ask for is refused here.
    assert!(Vec::<u8>::new().try_reserve_exact(1 << 30).is_err(), "the limit holds");

    let disk = SimDisk::new(7);
    let mut store = Store::open(&disk, &options(LogMode::Buffered)).unwrap();
    for index in 0..6u8 {
        store.append(0, 1, &[index; 300]).unwrap();
        store.turn(0).unwrap();
    }
    store.close().unwrap();
    let segment = file("WAL/000-0000000001.seg");
    let batches =
        disk.bytes(&segment)[4096..].windows(8).position(|bytes| bytes == b"STRATABA").unwrap() + 4096;
    // The header of the segment, the first batch with the frame behind it, and both slots of MANIFEST.
    let places = [
        (segment.clone(), 0, 96),
        (segment, batches, 64 + 16),
        (file("MANIFEST"), 0, 232),
        (file("MANIFEST"), 16384, 232),
    ];
    let mut count = 0;
    for (path, start, size) in places {
        for offset in start..start + size {
            for bit in 0..8 {
                let damaged = disk.kill();
                damaged.flip(&path, offset as u64, bit);
                // Refused or read: either is right, and neither may ask for memory by what it read.
                let _ = read_only(&damaged);
                read_remains(&damaged);
                let _ = Store::open(&damaged, &options(LogMode::Buffered));
                count += 1;
            }
        }
    }
    println!("{count} stores were read");
}

fn read_remains(disk: &SimDisk) {
    let Ok(store) = StoreRemains::open(Arc::new(disk.clone()), Path::new(STORE)) else { return };
    store.logs().iter().for_each(|source| drop(source.read_remains(&mut |_, _| {})));
}

fn file(name: &str) -> PathBuf {
    Path::new(STORE).join(name)
}
