//! The files of archives in a store: one that nothing refers to goes, and one that is lost costs its own run alone.

use std::path::Path;
use std::sync::Arc;

use strata::{Clock, Database, ErrorKind, Reads, RunHandle, RunSpec, Writes};
use strata_wal::sim::SimDisk;
use strata_wal::storage::{Access, Storage};

use crate::support::versions::{disk, file, keep_all, open_at};

/// A run of one store in another one.
fn imported(disk: &SimDisk) -> (Database, RunHandle) {
    let from = open_at(disk, "from", keep_all(1));
    let run = from.create_run(RunSpec::named("run")).unwrap();
    run.put("key", 1).unwrap();
    run.export(file("run.arc")).unwrap();
    let into = open_at(disk, "to", keep_all(1));
    let run = into.import(file("run.arc")).unwrap();
    (into, run)
}

#[test]
fn an_archive_that_nothing_refers_to_is_removed_when_the_store_is_opened() {
    let disk = disk(11);
    let (into, run) = imported(&disk);
    into.close().unwrap();
    let left = |disk: &SimDisk| {
        let data = disk.entries(Path::new("/agent/to/DATA")).unwrap();
        data.into_iter().map(|entry| entry.name).filter(|name| !name.ends_with(".seg")).collect::<Vec<_>>()
    };
    let needed = left(&disk);
    for name in ["000-0000000007.arc", "000-0000000008.new"] {
        let path = Path::new("/agent/to/DATA").join(name);
        disk.open(&path, Access::Create).unwrap().write_at(&disk.bytes(&file("run.arc")), 0).unwrap();
    }
    let reader =
        Database::start_to_read(file("to"), keep_all(1), Clock::System, Some(Arc::new(disk.clone())))
            .unwrap();
    drop(reader);
    assert_eq!(left(&disk).len(), needed.len() + 2, "who only reads removes nothing");
    let into = open_at(&disk, "to", keep_all(1));
    assert_eq!(left(&disk), needed);
    assert_eq!(into.run(run.id()).get("key").unwrap().unwrap().value.as_int(), Some(1));
}

/// In the log behind the newest image, and in that image: as it was imported, and changed since.
#[test]
fn an_archive_that_is_lost_costs_its_own_run_alone() {
    for is_imaged in [false, true] {
        let disk = disk(12);
        let (into, run) = imported(&disk);
        run.put("key", 3).unwrap();
        let other = into.create_run(RunSpec::named("other")).unwrap();
        other.put("key", 2).unwrap();
        if is_imaged {
            into.checkpoint().unwrap();
        }
        let lost = disk.kill();
        drop(into);
        let archive = lost.files().into_iter().find(|path| path.starts_with("/agent/to/DATA")).unwrap();
        lost.remove(&archive).unwrap();
        let open = |shards| {
            Database::start(Some(file("to")), keep_all(shards), Clock::System, Some(Arc::new(lost.clone())))
        };
        let refused = open(3).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "nothing is moved without it: {refused}");
        let into = open(1).unwrap_or_else(|error| panic!("{error}: imaged: {is_imaged}"));
        assert_eq!(into.run(other.id()).get("key").unwrap().unwrap().value.as_int(), Some(2));
        let error = into.run(run.id()).get("key").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}
