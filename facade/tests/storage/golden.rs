//! A store of every format that was ever released opens for ever, and shows what it showed then.
//!
//! `golden/format-N/` holds a store written by the library of that format, and what it held, as text.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use strata::{
    Cause, Compaction, Database, Durability, EntityRef, ErasedVersions, NewTrace, OperationId, Options,
    Reads, Retention, RunFilter, RunSpec, RunStatus, TraceContent, TraceEnd, TraceId, Value, Version, Writes,
    parse_json,
};

use crate::support::TestClock;
use crate::support::contents::{contents, copy};
use crate::support::versions::versions;

/// The newest format: what [`a_store_of_the_newest_format_is_written`] writes.
const NEWEST: u32 = 2;

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

/// What came with format 2: what was forked, trimmed, erased, imported, put away and sorted, in logs that took the place of others.
fn fill_more(path: &Path, clock: &TestClock) -> Database {
    let second = std::time::Duration::from_secs(1);
    let database = open(path, clock);
    let run = database.begin_run(RunSpec::named("everything")).unwrap();
    let (fork, old) = (run.fork().unwrap(), run.fork_at(Version(9)).unwrap());
    fork.put("own", "fork").unwrap();
    fork.fork().unwrap().append("own", "deeper").unwrap();
    old.json_create("own", object(r#"{"from":9}"#)).unwrap();
    let spec = RunSpec { retention: Some(Retention::KeepLast(2)), ..RunSpec::named("brief") };
    let brief = database.create_run(spec).unwrap();
    (0..9).for_each(|number| _ = brief.put("number", number).unwrap());
    (0..9).for_each(|number| _ = brief.append("step", number).unwrap());
    brief.set_event_retention(Retention::KeepLast(4)).unwrap();
    let thought = |number: u8| NewTrace {
        parent: number.checked_sub(1).map(|before| TraceId::from_bytes([before; 16])),
        ..NewTrace::new(
            TraceId::from_bytes([number; 16]),
            TraceContent::Thought { text: format!("number {number}"), confidence: None },
        )
    };
    brief.set_trace_retention(Retention::KeepLast(3)).unwrap();
    (0..7).for_each(|number| _ = brief.trace_begin(thought(number)).unwrap());
    brief.trace_end(TraceId::from_bytes([5; 16]), TraceEnd::default()).unwrap();
    let forgetful = brief.fork().unwrap();
    forgetful.trace_end(TraceId::from_bytes([6; 16]), TraceEnd::default()).unwrap();
    (7..9).for_each(|number| _ = forgetful.trace_record(thought(number)).unwrap());
    (0..3).for_each(|number| _ = forgetful.append("other", number).unwrap());
    run.put("told", "in confidence").unwrap();
    run.erase(&EntityRef::kv(run.id(), "told"), ErasedVersions::All, "asked for").unwrap();
    clock.advance(second);
    database.compact(Compaction::WalOnly).unwrap();
    run.put("key/01", "put away").unwrap();
    database.compact(Compaction::Full).unwrap();
    run.put("key/02", "sorted").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = open(&elsewhere.path().join("strata.db"), clock);
    let travelled = other.create_run(RunSpec::named("travelled")).unwrap();
    (0..9).for_each(|number| assert_eq!(travelled.append("mile", number).unwrap().count, 1));
    travelled.export(elsewhere.path().join("travelled.arc")).unwrap();
    database.import(elsewhere.path().join("travelled.arc")).unwrap().put("arrived", true).unwrap();
    database.close().unwrap();
    // Other logs take the place of those there are.
    let options = Options { shards: Some(3), pin: false, ..Options::default() };
    let database = Database::start(Some(path.to_path_buf()), options, clock.clock(), None).unwrap();
    let run = database.begin_run(RunSpec::named("everything")).unwrap();
    run.put("key/03", "moved").unwrap();
    drop(database.checkpoint().unwrap());
    run.put("key/04", "behind the image").unwrap();
    database
}

/// The sum of a text (Fowler, Noll, Vo: FNV-1a, 64 bits).
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What a store holds, and the sum of what it held: of every version that can be looked at of every run.
fn held(database: &Database) -> String {
    let mut text = contents(database);
    for info in database.runs(&RunFilter::default(), None, 1_000).unwrap().runs {
        for (version, was) in versions(&database.run(info.id)) {
            writeln!(text, "{} at {version}: {:016x}", info.id, fnv(&was)).unwrap();
        }
    }
    text
}

#[test]
fn a_store_of_every_format_opens_with_what_it_held_and_goes_on() {
    for format in 1..=NEWEST {
        let expected = fs::read_to_string(golden(format).join("contents.txt")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strata.db");
        copy(&golden(format).join("store"), &path);
        let seconds = if format == 1 { 3 } else { 4 };
        let clock = TestClock::at(BEGAN + seconds * 1_000_000);
        for opening in 1..=3 {
            let database = open(&path, &clock);
            let found = if format == 1 { contents(&database) } else { held(&database) };
            assert!(found == expected, "format {format}, opening {opening}: {found}");
            assert!(database.verify(|_| {}).unwrap().damage.is_empty());
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
    database.close().unwrap();
    let database = fill_more(&path, &clock);
    let known = held(&database);
    database.close().unwrap();
    fs::remove_file(path.join("LOCK")).unwrap();
    fs::write(target.join("contents.txt"), &known).unwrap();
    let copied = dir.path().join("copy");
    copy(&path, &copied);
    assert!(held(&open(&copied, &clock)) == known);
}
