//! What a batch knew to be durable is proof of it, also where MANIFEST knows nothing.
//!
//! MANIFEST learns what is durable when a segment is prepared or the store closes. In between only the batches
//! themselves tell, and a batch behind the damage has to be heard as well.

mod store;

use std::path::{Path, PathBuf};

use store::{STORE, Store, body, options};
use strata_wal::sim::SimDisk;
use strata_wal::{LogMode, Lsn, WalError};

const BATCH_COUNT: u64 = 4;

fn segment() -> PathBuf {
    Path::new(STORE).join("WAL/000-0000000001.seg")
}

/// Four durable batches of one record each, left by a dead process; MANIFEST knows of none of them.
fn left() -> (SimDisk, Vec<u64>) {
    let disk = SimDisk::new(11);
    let mut store = Store::open(&disk, &options(LogMode::Direct)).unwrap();
    for index in 0..BATCH_COUNT {
        store.logs[0].append(1, &body(index)).unwrap();
        store.logs[0].flush().unwrap();
    }
    assert_eq!(store.directory.describe().logs[0].durable_through, Lsn::ZERO, "MANIFEST knows nothing");
    let bytes = disk.bytes(&segment());
    let offsets: Vec<u64> = (4096..bytes.len())
        .step_by(8)
        .filter(|&at| bytes[at..].starts_with(b"STRATABA"))
        .map(|at| at as u64)
        .collect();
    assert_eq!(offsets.len() as u64, BATCH_COUNT);
    (disk, offsets)
}

#[test]
fn damage_below_what_only_a_later_batch_knows_durable_is_refused() {
    let (disk, offsets) = left();
    for &offset in &offsets[..offsets.len() - 1] {
        // In the header, in the frame, in the record.
        for at in [offset + 50, offset + 66, offset + 85] {
            let damaged = disk.kill();
            damaged.flip(&segment(), at, 3);
            match Store::open(&damaged, &options(LogMode::Direct)).err() {
                Some(WalError::Corrupt { file, offset: named, .. }) => {
                    assert_eq!((file, named), (segment(), offset), "damaged at {at}");
                }
                other => panic!("damaged at {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn damage_in_the_last_batch_that_nobody_vouches_for_is_a_torn_tail() {
    let (disk, offsets) = left();
    let damaged = disk.kill();
    damaged.flip(&segment(), offsets[offsets.len() - 1] + 66, 3);
    let store = Store::open(&damaged, &options(LogMode::Direct)).unwrap();
    assert_eq!(store.found[0].len() as u64, BATCH_COUNT - 1);
    let cut = store.reports[0].cut.as_ref().expect("what was dropped is reported");
    assert_eq!((cut.file.clone(), cut.offset <= offsets[offsets.len() - 1]), (segment(), true));
}
