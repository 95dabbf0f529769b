//! A store that is only read: everything is there, and nothing is touched.

use std::path::PathBuf;
use std::sync::Arc;

use strata::{
    Clock, Database, Durability, Error, ErrorKind, Options, Reads, RunFilter, RunSpec, RunStatus, Version,
    Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::contents::{contents, of_run};
use crate::support::{busy_options, open_on, options, script, sim_path};

fn open_to_read(disk: &SimDisk, options: Options) -> Result<Database, Error> {
    Database::start_to_read(sim_path(), options, Clock::System, Some(Arc::new(disk.clone())))
}

/// The files of a disk with their content, the lock left out.
fn files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.files().into_iter().filter(|file| !file.ends_with("LOCK"));
    names.map(|file| (file.clone(), disk.bytes(&file))).collect()
}

#[test]
fn everything_is_read_and_nothing_is_written() {
    for durability in [Durability::Buffered, Durability::Strict] {
        let disk = SimDisk::new(3);
        let database = open_on(&disk, busy_options(durability, 2)).unwrap();
        for name in ["a", "b", "c"] {
            script::steps(&script::begin(&database, name).unwrap(), 1..=40);
        }
        let past = of_run(&database.run(script::id_of("a")).at(Version(40)).unwrap());
        let held = contents(&database);
        drop(database);
        let before = files(&disk);
        for small in [options(durability, 2), busy_options(durability, 2)] {
            let reader = open_to_read(&disk, small).unwrap();
            assert_eq!(contents(&reader), held);
            let run = reader.run(script::id_of("a"));
            assert_eq!(of_run(&run.at(Version(40)).unwrap()), past);
            assert_eq!(of_run(&run.snapshot().unwrap()), of_run(&run));
            assert!(run.transaction(|tx| tx.get("left").map(|read| read.is_some())).unwrap().value);
            reader.close().unwrap();
        }
        assert!(files(&disk) == before, "{durability:?}: not a byte has changed");
    }
}

#[test]
fn every_write_is_refused_and_says_why() {
    let disk = SimDisk::new(3);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    database.begin_run(RunSpec::named("run")).unwrap().put("key", 1).unwrap();
    database.close().unwrap();
    let reader = open_to_read(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = reader.run(script::id_of("run"));
    let mut batch = run.batch();
    batch.put("key", 2).unwrap();
    let refusals = [
        run.put("key", 2).err(),
        run.delete("none").err(),
        run.commit(batch).err(),
        run.transaction(|tx| tx.put("key", 2).map(drop)).err(),
        run.execute(|run| run.put("key", 2).map(drop)).err(),
        run.update_status(RunStatus::Paused).err(),
        run.delete_run().err(),
        reader.create_run(RunSpec::named("new")).err(),
        reader.begin_run(RunSpec::named("run")).err(),
        reader.sync().err(),
        run.sync().err(),
        reader.checkpoint().err(),
        reader.backup("/agent/copy.db").err(),
    ];
    for (index, refusal) in refusals.into_iter().enumerate() {
        let error = refusal.unwrap_or_else(|| panic!("write {index} is refused"));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{index}: {error}");
        assert!(error.message().contains("was opened to be read"), "{index}: {error}");
    }
    assert_eq!(run.get("key").unwrap().unwrap().value.as_int(), Some(1));
    assert_eq!(reader.runs(&RunFilter::default(), None, 9).unwrap().runs.len(), 1);
}

#[test]
fn readers_share_a_store_and_keep_writers_out() {
    let disk = SimDisk::new(3);
    let missing = open_to_read(&disk, options(Durability::Buffered, 1)).unwrap_err();
    assert_eq!(
        (missing.kind(), disk.files().len()),
        (ErrorKind::NotFound, 0),
        "nothing is created: {missing}"
    );
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let refused = open_to_read(&disk, options(Durability::Buffered, 1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyOpen, "{refused}");
    database.close().unwrap();
    let one = open_to_read(&disk, options(Durability::Buffered, 1)).unwrap();
    let other = open_to_read(&disk, Options { shards: None, ..options(Durability::Buffered, 1) }).unwrap();
    let refused = open_on(&disk, options(Durability::Buffered, 1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyOpen, "{refused}");
    one.close().unwrap();
    drop(other);
    open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let other_count = open_to_read(&disk, options(Durability::Buffered, 3)).unwrap_err();
    assert_eq!(other_count.kind(), ErrorKind::Unsupported, "{other_count}");
}

#[test]
fn what_a_crash_left_is_read_up_to_where_it_is_whole_and_stays_as_it_is() {
    for seed in 0..20 {
        let crashed = script::cut_off(seed, 1..=20, 21..=40);
        let before = files(&crashed);
        let reader = open_to_read(&crashed, options(Durability::Buffered, 1)).unwrap();
        let found = script::expect_whole(&reader, "a");
        assert!((21..=41).contains(&found), "{found}");
        let cut = reader.recovery().bytes_cut();
        drop(reader);
        assert!(files(&crashed) == before, "nothing is repaired");
        let database = open_on(&crashed, options(Durability::Buffered, 1)).unwrap();
        assert_eq!((script::expect_whole(&database, "a"), database.recovery().bytes_cut()), (found, cut));
    }
}
