//! What a fork wrote itself stays when what it did not inherit, or inherits no more, is erased.

use strata::{
    Compaction, Database, Durability, EntityRef, ErasedVersions, Options, Reads, Retention, RunHandle,
    RunSpec, Value, Version, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::{open_on, options};

fn document(run: &RunHandle, version: u64) -> Option<Value> {
    run.at(Version(version)).unwrap().json_get("document", "").unwrap().map(|found| found.value)
}

fn with(name: &str) -> Value {
    Value::from([(name, Value::from(1))])
}

/// A run that erases its document, and a fork that wrote in another document of the same name.
fn families(database: &Database) -> Vec<(&'static str, RunHandle, RunHandle)> {
    let root = || {
        let root = database.create_run(RunSpec::default()).unwrap();
        root.put("key", 1).unwrap();
        root
    };
    let before = root();
    let child = before.fork().unwrap();
    before.json_create("document", with("root")).unwrap();
    child.json_create("document", with("child")).unwrap();
    let of_before = child.fork().unwrap();

    let over = root();
    over.json_create("document", with("root")).unwrap();
    let child = over.fork().unwrap();
    child.json_set("document", "", with("child")).unwrap();
    let of_over = child.fork().unwrap();

    let above = root();
    above.json_create("document", with("root")).unwrap();
    let between = above.fork().unwrap();
    let of_between = between.fork().unwrap();
    between.json_set("document", "/between", 2).unwrap();
    vec![
        ("it was not there yet", before, of_before),
        ("another one has taken its place", over, of_over),
        ("it is that of the run above", between, of_between),
    ]
}

/// Whoever was forked from a run of which something was erased under the name of a document lost what it wrote in its own one:
/// the first compaction took every write for one in what was erased.
#[test]
fn a_fork_keeps_what_it_wrote_in_a_document_of_which_nothing_was_erased() {
    let calm = || Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) };
    let disk = SimDisk::new(11);
    let database = open_on(&disk, calm()).unwrap();
    let families = families(&database);
    let mut known = Vec::new();
    for (story, run, fork) in &families {
        fork.json_set("document", "/own", 3).unwrap();
        fork.json_set("document", "/more", 4).unwrap();
        run.erase(&EntityRef::json(run.id(), "document"), ErasedVersions::All, "because").unwrap().unwrap();
        let shown: Vec<_> =
            (1..=fork.info().unwrap().version.0).map(|version| document(fork, version)).collect();
        assert!(shown.last().is_some_and(|newest| *newest != Some(Value::Erased)), "{story}");
        known.push(shown);
    }
    database.compact(Compaction::Full).unwrap();
    for ((story, _, fork), known) in families.iter().zip(known) {
        for (version, shown) in (1..).zip(known) {
            assert_eq!(document(fork, version), shown, "version {version}, {story}");
        }
    }
}

/// A fork of which the first commits are not kept copied a part of what it inherited: the record of that was left as it was.
#[test]
fn what_a_fork_copied_is_gone_also_where_its_first_commits_are() {
    for count in 2..6 {
        let keep_few = || Options {
            retention: Retention::KeepLast(count),
            checkpoint_log_size: 1 << 30,
            ..options(Durability::Buffered, 1)
        };
        let disk = SimDisk::new(12);
        let database = open_on(&disk, keep_few()).unwrap();
        let run = database.create_run(RunSpec::default()).unwrap();
        run.json_create("document", Value::from([("a", Value::from("a secret of the root"))])).unwrap();
        run.json_create("kept", with("a")).unwrap();
        let fork = run.fork().unwrap();
        for round in 0..3 {
            (0..20).for_each(|number| _ = fork.put("key", round * 20 + number).unwrap());
            fork.json_set("kept", "", with("own")).unwrap();
            drop(database.checkpoint().unwrap());
        }
        let copy = [("op", "copy".into()), ("from", "/a".into()), ("path", "/b".into())];
        fork.json_patch("document", &Value::from(vec![Value::from(copy)])).unwrap();
        fork.json_set("kept", "/b", 2).unwrap();
        for name in ["document", "kept"] {
            run.erase(&EntityRef::json(run.id(), name), ErasedVersions::All, "because").unwrap().unwrap();
        }
        let kept = fork.json_get("kept", "").unwrap();
        database.compact(Compaction::Full).unwrap();
        for file in disk.files() {
            let has_it = disk.bytes(&file).windows(8).any(|part| part == b"a secret");
            assert!(!has_it, "{} of the last {count}", file.display());
        }
        let newest = fork.info().unwrap().version;
        assert_eq!(fork.at(newest).unwrap().json_get("kept", "").unwrap(), kept, "the last {count}");
        assert_eq!(document(&fork, newest.0), Some(Value::Erased), "the last {count}");
        assert!(database.verify(|_| {}).unwrap().damage.is_empty());
    }
}
