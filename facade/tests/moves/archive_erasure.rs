//! What is erased leaves the disk also where runs began as an archive has them.

use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, Options, Reads, RunSpec, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::options;
use crate::support::versions::{disk, file, open_at};

fn calm() -> Options {
    Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) }
}

/// The files of the store that hold a text.
fn files_with(disk: &SimDisk, text: &str) -> Vec<String> {
    let files = disk.files().into_iter().filter(|path| path.starts_with("/agent/store"));
    let with = files.filter(|path| disk.bytes(path).windows(text.len()).any(|part| part == text.as_bytes()));
    with.map(|path| path.display().to_string()).collect()
}

fn compacted(database: &Database) {
    // As often as anything could still go.
    (0..3).for_each(|_| _ = database.compact(Compaction::Full).unwrap());
}

/// Of an archive that several runs began with only what the last of them inherits was taken out: a fork of version 3 kept what was
/// erased of version 4 on disk, in the archive of its parent.
#[test]
fn what_is_erased_leaves_an_archive_whatever_was_forked_from_older_versions_of_it() {
    for is_forked in [false, true] {
        let disk = disk(1);
        let database = open_at(&disk, "store", calm());
        let run = database.create_run(RunSpec::default()).unwrap();
        let id = run.id();
        run.put("first", "SECRET-ONE").unwrap();
        run.put("kept", "PUBLIC").unwrap();
        run.append("step", "SECRET-TWO").unwrap();
        run.export(file("run.arc")).unwrap();
        run.delete_run().unwrap();
        let run = database.import(file("run.arc")).unwrap();
        let _fork = is_forked.then(|| run.fork_at(Version(3)).unwrap());
        run.erase(&EntityRef::kv(id, "first"), ErasedVersions::All, "asked for").unwrap().unwrap();
        run.erase(&EntityRef::event(id, 0), ErasedVersions::All, "asked for").unwrap().unwrap();
        compacted(&database);
        assert_eq!(run.event(0).unwrap().unwrap().payload, strata::Value::Erased);
        let archives =
            |text| files_with(&disk, text).into_iter().filter(|file| file.ends_with(".arc")).count();
        assert_eq!(archives("SECRET-ONE"), 0, "forked: {is_forked}");
        assert_eq!(archives("SECRET-TWO"), 0, "forked: {is_forked}");
    }
}

/// The same where the run itself is deleted and only a fork of an older version needs the archive.
#[test]
fn what_is_erased_leaves_the_archive_of_a_deleted_run_that_a_fork_needs() {
    let disk = disk(1);
    let database = open_at(&disk, "store", calm());
    let run = database.create_run(RunSpec::default()).unwrap();
    run.put("kept", "PUBLIC").unwrap();
    run.append("step", "SECRET-TWO").unwrap();
    run.export(file("run.arc")).unwrap();
    run.delete_run().unwrap();
    let run = database.import(file("run.arc")).unwrap();
    let fork = run.fork_at(Version(2)).unwrap();
    run.erase(&EntityRef::event(run.id(), 0), ErasedVersions::All, "asked for").unwrap().unwrap();
    run.delete_run().unwrap();
    compacted(&database);
    assert_eq!(fork.get("kept").unwrap().unwrap().value.as_str(), Some("PUBLIC"));
    assert_eq!(files_with(&disk, "SECRET-TWO"), [""; 0]);
}

/// The records of a deleted life were kept for the run that was imported under its id.
#[test]
fn a_deleted_life_leaves_the_disk_also_where_an_older_archive_of_the_run_is_imported() {
    for is_imported in [false, true] {
        let disk = disk(2);
        let database = open_at(&disk, "store", calm());
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("kept", "PUBLIC").unwrap();
        run.export(file("run.arc")).unwrap();
        run.put("later", "SECRET-OF-THE-DELETED-LIFE").unwrap();
        run.delete_run().unwrap();
        if is_imported {
            let run = database.import(file("run.arc")).unwrap();
            assert!(run.get("later").unwrap().is_none());
            run.put("own", 1).unwrap();
        }
        compacted(&database);
        let left = files_with(&disk, "SECRET-OF-THE-DELETED-LIFE");
        assert_eq!(left, [""; 0], "imported: {is_imported}");
    }
}

/// An imported run does not descend from the run that its deleted life was forked from; what that had copied was kept for it.
#[test]
fn what_a_fork_copied_is_erased_also_of_a_life_that_was_deleted_before_its_archive_was_imported() {
    let disk = disk(3);
    let database = open_at(&disk, "store", calm());
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.json_create("note", strata::Value::from([("a", strata::Value::from("SECRET-COPIED"))])).unwrap();
    let fork = run.fork().unwrap();
    let copy = r#"[{"op": "copy", "from": "/a", "path": "/b"}]"#;
    fork.json_patch("note", &strata::parse_json(copy).unwrap()).unwrap();
    run.erase(&EntityRef::json(run.id(), "note"), ErasedVersions::All, "asked for").unwrap().unwrap();
    fork.export(file("fork.arc")).unwrap();
    fork.delete_run().unwrap();
    database.import(file("fork.arc")).unwrap();
    compacted(&database);
    assert_eq!(files_with(&disk, "SECRET-COPIED"), [""; 0]);
}
