//! A store of every format that was ever released opens for ever, and shows what it showed then.
//!
//! `golden/format-N/` holds a store written by the library of that format, and what it held, as text.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use strata::{
    Cause, Database, Durability, NewTrace, OperationId, Options, Reads, RunSpec, RunStatus, TraceContent,
    TraceEnd, TraceId, Value, Writes, parse_json,
};
use support::TestClock;
use support::contents::{contents, copy};

/// The newest format: what [`a_store_of_the_newest_format_is_written`] writes.
const NEWEST: u32 = 1;

/// The time of the first commit, microseconds since the epoch.
const BEGAN: u64 = 1_790_000_000_000_000;

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}"))
}

fn open(path: &Path, clock: &TestClock) -> Database {
    let options =
        Options { shards: None, pin: false, durability: Durability::Buffered, ..Options::default() };
    Database::start(Some(path.to_path_buf()), options, clock.clock(), None).unwrap()
}

fn object(text: &str) -> Value {
    parse_json(text).unwrap()
}

/// Something of every primitive, changed and taken away again, in runs of every status.
fn fill(database: &Database, clock: &TestClock) {
    let second = std::time::Duration::from_secs(1);
    let spec = RunSpec {
        tags: vec!["golden".to_owned()],
        metadata: object(r#"{"by":"hand"}"#),
        ..RunSpec::named("everything")
    };
    let run = database.create_run(spec).unwrap();
    for number in 0..40 {
        run.put(&format!("key/{number:02}"), number).unwrap();
    }
    clock.advance(second);
    run.put_with_ttl("lease", "held", 3_600 * second).unwrap();
    run.delete("key/07").unwrap();
    run.with_cause(Cause::Note("counted".into())).increment("key/08", 5).unwrap();
    for number in 0..5 {
        run.append("step", object(&format!(r#"{{"number":{number},"done":false}}"#))).unwrap();
        run.append("note", "seen").unwrap();
    }
    run.cell_init("phase", "begun").unwrap();
    run.cell_set("phase", "under way").unwrap();
    run.json_create("plan", object(r#"{"goal":"keep","steps":[1,2,3]}"#)).unwrap();
    run.json_set("plan", "/steps/1", "two").unwrap();
    run.json_append("plan", "/steps", Value::Null).unwrap();
    clock.advance(second);
    let trace = |number, parent, text: &str| NewTrace {
        parent,
        ..NewTrace::new(
            TraceId::from_bytes([number; 16]),
            TraceContent::Thought { text: text.to_owned(), confidence: None },
        )
    };
    let (outer, _) = run.trace_begin(trace(1, None, "how to keep it")).unwrap();
    run.trace_record(trace(2, Some(outer), "by opening it again")).unwrap();
    clock.advance(second);
    run.trace_end(outer, TraceEnd::default()).unwrap();
    let id = OperationId([9; 16]);
    run.with_operation_id(id).put("once", true).unwrap();
    run.with_durability(Durability::Strict).put("strict", 2.5).unwrap();

    let parent = Some(run.id());
    let child = database.create_run(RunSpec { parent, ..RunSpec::named("child") }).unwrap();
    child.put("a", vec![0_u8, 255]).unwrap();
    child.end(RunStatus::Completed).unwrap();
    let deleted = database.create_run(RunSpec::named("deleted")).unwrap();
    deleted.put("gone", 1).unwrap();
    deleted.delete_run().unwrap();
    for number in 0..20 {
        let small = database.create_run(RunSpec::named(format!("small-{number}"))).unwrap();
        small.put("number", number).unwrap();
    }
}

#[test]
fn a_store_of_every_format_opens_with_what_it_held_and_goes_on() {
    for format in 1..=NEWEST {
        let expected = fs::read_to_string(golden(format).join("contents.txt")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strata.db");
        copy(&golden(format).join("store"), &path);
        let clock = TestClock::at(BEGAN + 3_000_000);
        for opening in 1..=3 {
            let database = open(&path, &clock);
            assert_eq!(contents(&database), expected, "format {format}, opening {opening}");
            database.close().unwrap();
        }
        let database = open(&path, &clock);
        database.begin_run(RunSpec::named("everything")).unwrap().put("more", 1).unwrap();
        drop(database);
        let database = open(&path, &clock);
        let run = database.begin_run(RunSpec::named("everything")).unwrap();
        assert_eq!(run.get("more").unwrap().unwrap().value, Value::from(1));
    }
}

/// With `STRATA_GOLDEN=write` it becomes the golden store of the newest format. It is kept as it was once that format is
/// released.
#[test]
fn a_store_of_the_newest_format_shows_what_it_held_when_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let target = match std::env::var("STRATA_GOLDEN").is_ok_and(|wish| wish == "write") {
        true => golden(NEWEST),
        false => dir.path().to_path_buf(),
    };
    let path = target.join("store");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&target).unwrap();
    let clock = TestClock::at(BEGAN);
    let options = Options { shards: Some(2), pin: false, ..Options::default() };
    let database = Database::start(Some(path.clone()), options, clock.clock(), None).unwrap();
    fill(&database, &clock);
    let held = contents(&database);
    database.close().unwrap();
    fs::remove_file(path.join("LOCK")).unwrap();
    fs::write(target.join("contents.txt"), &held).unwrap();
    let copied = dir.path().join("copy");
    copy(&path, &copied);
    assert_eq!(contents(&open(&copied, &clock)), held);
}
