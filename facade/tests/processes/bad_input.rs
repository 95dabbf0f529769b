//! Bad input: each a clear error of the right kind that says what to do, nothing created or lost.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strata::{
    Cause, Database, Direction, Durability, Error, ErrorKind, KvScan, Limits, Namespace, Options, Reads,
    RunHandle, RunSpec, Value, Writes,
};

use crate::support::{options, process, script};

/// A run on which nothing may happen; checked when it goes.
struct Untouched {
    database: Database,
    run: RunHandle,
}

impl Untouched {
    fn new(limits: Limits) -> Untouched {
        let settings = Options { limits, ..options(Durability::InMemory, 1) };
        let database = Database::in_memory_with(settings).unwrap();
        let run = database.create_run(RunSpec::named("run")).unwrap();
        run.put("kept", 1).unwrap();
        Untouched { database, run }
    }

    /// The error is `InvalidArgument` and says every word.
    fn refused<T: std::fmt::Debug>(&self, answer: strata::Result<T>, words: &[&str]) {
        let error = answer.expect_err("it is beyond a limit");
        expect_error(&error, ErrorKind::InvalidArgument, words);
        let info = self.run.info().unwrap();
        assert_eq!((info.version.0, info.kv_count, info.event_count), (2, 1, 0), "nothing happened: {error}");
        assert_eq!(self.database.stats().unwrap().shards[0].runs, 1, "no run came into being: {error}");
    }
}

fn expect_error(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "the message says {word:?}: {error}");
    }
}

#[test]
fn keys_and_event_types_beyond_their_rules_are_refused_by_every_call() {
    let store = Untouched::new(Limits::default());
    let run = &store.run;
    let (long, huge) = ("k".repeat(1025), "k".repeat(10 << 20));
    let cases: [(&str, &[&str]); 5] = [
        (&long, &["key_size_max", "1024", "1025"]),
        (&huge, &["key_size_max", "1024", "10485760"]),
        ("", &["empty"]),
        ("a\0b", &["NUL"]),
        ("_strata/x", &["reserved", "_strata/"]),
    ];
    for (key, words) in cases {
        store.refused(run.get(key), words);
        store.refused(run.get_many(&["fine", key]), words);
        store.refused(run.exists(key), words);
        store.refused(run.ttl(key), words);
        store.refused(run.put(key, 1), words);
        store.refused(run.put_with_ttl(key, 1, Duration::from_secs(1)), words);
        store.refused(run.put_many([("fine", 1), (key, 2)]), words);
        store.refused(run.put_if(key, 1, strata::Condition::Absent), words);
        store.refused(run.delete(key), words);
        store.refused(run.increment(key, 1), words);
        store.refused(run.set_deadline(key, strata::Timestamp(u64::MAX)), words);
        store.refused(run.clear_deadline(key), words);
        store.refused(run.append(key, 1), words);
        store.refused(run.append_many([("fine", 1), (key, 2)]), words);
        store.refused(run.events_by_type(key, 0, 10, Direction::Forward), words);
        store.refused(run.event_count_of(key), words);
        store.refused(run.batch().put(key, 1).map(|batch| batch.len()), words);
        store.refused(run.batch().append(key, 1).map(|batch| batch.len()), words);
        store.refused(run.set_tags([key]), words);
    }
    store.refused(run.count(&long), &["1025"]);
    store.refused(run.list(&KvScan::prefix("a\0")), &["NUL"]);
    store.refused(run.list(&KvScan { limit: 0, ..KvScan::default() }), &["0"]);
    let longest = "k".repeat(1024);
    run.put(&longest, 1).unwrap();
    assert_eq!(run.get(&longest).unwrap().unwrap().value, Value::Int(1), "the limit itself is allowed");
}

#[test]
fn values_beyond_their_limits_are_refused_before_they_are_sent() {
    let store = Untouched::new(Limits::default());
    let run = &store.run;
    let size_max = Limits::default().value_size_max;
    let over: [Value; 2] = ["x".repeat(size_max + 1).into(), vec![0u8; size_max + 1].into()];
    for value in over {
        store.refused(run.put("k", value.clone()), &["value_size_max", "16777216"]);
        store.refused(run.append("k", value), &["value_size_max"]);
    }
    store.refused(run.put("k", nested(129)), &["depth_max", "128"]);
    store.refused(run.append("k", nested(1_000)), &["depth_max", "128"]);
    store.refused(run.set_metadata(nested(129)), &["depth_max"]);
    let many = Value::Array(vec![Value::Null; 1_000_001]);
    store.refused(run.put("k", many), &["items_max", "1000000", "1000001"]);
    let twice = Value::Object(vec![("a".into(), Value::Null), ("a".into(), Value::Null)]);
    store.refused(run.put("k", twice), &["a"]);
    let fine: [Value; 3] =
        [vec![0u8; size_max].into(), nested(128), Value::Array(vec![Value::Null; 1_000_000])];
    for value in fine {
        run.put("k", value.clone()).expect("the limit itself is allowed");
        assert!(run.get("k").unwrap().unwrap().value == value, "and comes back");
    }
}

/// An array in an array, `depth` times.
fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Int(1), |inner, _| Value::Array(vec![inner]))
}

#[test]
fn transactions_beyond_their_limits_are_refused_whole() {
    let store = Untouched::new(Limits::default());
    let many = (0..100_001).map(|number| (format!("k{number}"), 1));
    store.refused(store.run.put_many(many), &["transaction_mutations_max", "100000"]);
    let large = (0..5).map(|number| (format!("k{number}"), vec![0u8; 14 << 20]));
    store.refused(store.run.put_many(large), &["transaction_size_max", "67108864"]);

    // One byte decides: the largest value that a small limit takes, and the next.
    let store = Untouched::new(Limits { transaction_size_max: 10_000, ..Limits::default() });
    let put = |size: usize| {
        let run = store.database.create_run(RunSpec::default()).unwrap();
        let refused = run.put("k", vec![0u8; size]).err();
        assert_eq!(run.info().unwrap().version.0, if refused.is_some() { 1 } else { 2 });
        refused
    };
    let largest = (0..10_001).collect::<Vec<_>>().partition_point(|size| put(*size).is_none());
    assert!((9_000..=10_000).contains(&largest), "the limit counts encoded bytes: {largest}");
    expect_error(&put(largest).unwrap(), ErrorKind::InvalidArgument, &["transaction_size_max", "10000"]);
}

#[test]
fn a_transaction_too_large_for_the_log_is_refused_on_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let limits = Limits { transaction_size_max: 100_000, transaction_mutations_max: 50, ..Limits::default() };
    let settings = || Options { limits: limits.clone(), ..options(Durability::Buffered, 1) };
    let database = Database::open(&path, settings()).unwrap();
    let run = script::begin(&database, "run").unwrap();
    script::step(&run, 1).unwrap();
    let large = run.put_many((0..10).map(|number| (format!("k{number}"), vec![0u8; 10_001])));
    expect_error(&large.unwrap_err(), ErrorKind::InvalidArgument, &["100000"]);
    let many = run.put_many((0..51).map(|number| (format!("k{number}"), 1)));
    expect_error(&many.unwrap_err(), ErrorKind::InvalidArgument, &["transaction_mutations_max", "50"]);
    assert_eq!(script::expect_whole(&database, "run"), 2);
    database.close().unwrap();
    assert_eq!(script::expect_whole(&Database::open(&path, settings()).unwrap(), "run"), 2);
}

#[test]
fn runs_beyond_their_limits_are_not_created() {
    let store = Untouched::new(Limits::default());
    let database = &store.database;
    let refused = |spec: RunSpec, words: &[&str]| {
        store.refused(database.create_run(spec.clone()), words);
        store.refused(database.begin_run(spec), words);
    };
    refused(RunSpec::named("n".repeat(129)), &["run_name_size_max", "128", "129"]);
    refused(RunSpec::named(""), &["empty"]);
    refused(RunSpec::named("a/b"), &["'/'"]);
    refused(RunSpec::named("ключ"), &["'к'"]);
    for namespace in [
        Namespace::new("é".repeat(129), "", ""),
        Namespace::new("", "é".repeat(129), ""),
        Namespace::new("", "", "é".repeat(129)),
    ] {
        refused(RunSpec { namespace, ..RunSpec::default() }, &["namespace_chars_max", "128", "129"]);
    }
    let tags = |count: usize| (0..count).map(|number| format!("tag-{number}")).collect();
    refused(RunSpec { tags: tags(65), ..RunSpec::default() }, &["tag_count_max", "64", "65"]);
    let metadata = Value::from("m".repeat((64 << 10) + 1));
    refused(
        RunSpec { metadata: metadata.clone(), ..RunSpec::default() },
        &["metadata_size_max", "65536", "65537"],
    );
    store.refused(store.run.set_metadata(metadata), &["metadata_size_max", "65536", "65537"]);
    store.refused(store.run.set_tags(tags(65)), &["tag_count_max"]);
    let own_parent = RunSpec { parent: Some(script::id_of("own")), ..RunSpec::named("own") };
    refused(own_parent, &["parent"]);
    let cause = Cause::Note("c".repeat(1025));
    store.refused(store.run.with_cause(cause).put("k", 1), &["cause_size_max", "1024", "1025"]);
    let fine = RunSpec {
        namespace: Namespace::new("é".repeat(128), "", ""),
        tags: tags(64),
        metadata: Value::from("m".repeat(64 << 10)),
        ..RunSpec::named("n".repeat(128))
    };
    assert!(database.create_run(fine).is_ok(), "the limits themselves are allowed");
}

#[test]
fn options_out_of_range_open_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let fine = || options(Durability::Buffered, 1);
    let cases: [(Options, &[&str]); 5] = [
        (Options { shards: Some(0), ..fine() }, &["shards", "0"]),
        (Options { shards: Some(100_000), ..fine() }, &["shards", "100000"]),
        (Options { mailbox_capacity: 0, ..fine() }, &["mailbox"]),
        (Options { sync_interval: Duration::ZERO, ..fine() }, &["interval", "Strict"]),
        (Options { durability: Durability::InMemory, ..fine() }, &["in-memory"]),
    ];
    for (options, words) in cases {
        let error = Database::open(&path, options).unwrap_err();
        expect_error(&error, ErrorKind::InvalidArgument, words);
        assert!(!path.exists(), "a refused open creates nothing: {error}");
    }
    Database::open(&path, options(Durability::Buffered, 2)).unwrap().close().unwrap();
    let before = picture(&path);
    let error = Database::open_read_only(&path, options(Durability::Buffered, 3)).unwrap_err();
    expect_error(&error, ErrorKind::Unsupported, &["2", "3"]);
    assert_eq!(picture(&path), before, "a store that is only read keeps the shards it has");
}

#[test]
fn a_path_that_is_a_file_or_lies_under_one_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    fs::write(&file, "not a store").unwrap();
    for path in [file.clone(), file.join("strata.db"), file.join("a/b/c")] {
        let error = Database::open(&path, Options::default()).unwrap_err();
        expect_error(&error, ErrorKind::InvalidArgument, &["notes.txt", "not a directory"]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a store");
    assert_eq!(picture(dir.path()).len(), 1);
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let foreign: [&[(&str, &str)]; 4] = [
        &[("notes.txt", "mine")],
        &[("MANIFEST", "of another program")],
        &[("WAL/000-0000000001.seg", "of another program"), ("README", "mine")],
        &[("LOCK", ""), ("data.mdb", "of another database")],
    ];
    for files in foreign {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        let before = picture(dir.path());
        let error = Database::open(dir.path(), Options::default()).unwrap_err();
        let path = dir.path().to_str().unwrap();
        expect_error(&error, ErrorKind::InvalidArgument, &[path, "is not a store"]);
        assert_eq!(picture(dir.path()), before, "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_by_name_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    Database::open(&path, Options::default()).unwrap().close().unwrap();
    let manifest = path.join("MANIFEST");
    let mut bytes = fs::read(&manifest).unwrap();
    // Each slot: magic (8), CRC-32 of the rest (4), format version (4); docs/format.md.
    for slot in bytes.chunks_exact_mut(16 << 10) {
        slot[12..16].copy_from_slice(&99u32.to_le_bytes());
        let checksum = crc32(&slot[12..]);
        slot[8..12].copy_from_slice(&checksum.to_le_bytes());
    }
    fs::write(&manifest, bytes).unwrap();
    let before = picture(&path);
    let error = Database::open(&path, Options::default()).unwrap_err();
    expect_error(&error, ErrorKind::Unsupported, &["MANIFEST", "99", "up to 2"]);
    assert_eq!(picture(&path), before);
}

#[test]
fn a_damaged_store_is_refused_by_file_and_left_alone() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 4] = [
        ("MANIFEST", |path| fs::write(path.join("MANIFEST"), [0xff; 32 << 10]).unwrap()),
        ("MANIFEST", |path| fs::write(path.join("MANIFEST"), []).unwrap()),
        ("000-0000000001.seg", |path| fs::remove_file(path.join("WAL/000-0000000001.seg")).unwrap()),
        ("000-0000000001.seg", |path| {
            let file = path.join("WAL/000-0000000001.seg");
            let mut bytes = fs::read(&file).unwrap();
            bytes[4096 + 70] ^= 1;
            fs::write(&file, bytes).unwrap();
        }),
    ];
    for (name, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strata.db");
        let database = Database::open(&path, options(Durability::Strict, 1)).unwrap();
        script::steps(&script::begin(&database, "run").unwrap(), 1..=5);
        database.close().unwrap();
        damage(&path);
        let before = picture(&path);
        let error = Database::open(&path, Options::default()).unwrap_err();
        expect_error(&error, ErrorKind::Corrupt, &[name, "offset"]);
        assert_eq!(picture(&path), before, "damage is for people to look at: {error}");
    }
}

#[test]
fn a_second_opener_is_told_who_owns_the_store() {
    let name = "bad_input::a_second_opener_is_told_who_owns_the_store";
    let owned = "STRATA_OWNED_STORE";
    if process::is_child(name) {
        let path = std::env::var_os(owned).expect("the parent names its store");
        let owner = std::env::var("STRATA_OWNER").unwrap();
        let error = Database::open(path, Options::default()).unwrap_err();
        return expect_error(&error, ErrorKind::AlreadyOpen, &["process", &owner]);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("strata.db");
    let database = Database::open(&path, options(Durability::Buffered, 1)).unwrap();
    let run = script::begin(&database, "run").unwrap();
    script::steps(&run, 1..=3);
    let owner = std::process::id().to_string();

    let error = Database::open(&path, Options::default()).unwrap_err();
    expect_error(&error, ErrorKind::AlreadyOpen, &["process", &owner]);
    let mut command = process::command(name);
    command.env(owned, &path).env("STRATA_OWNER", owner);
    process::expect_passed(name, &command.output().unwrap());

    script::steps(&run, 4..=6);
    assert_eq!(script::expect_whole(&database, "run"), 7, "the owner has lost nothing");
    database.close().unwrap();
    assert_eq!(script::expect_whole(&Database::open(&path, Options::default()).unwrap(), "run"), 7);
}

#[test]
fn a_directory_without_rights_is_an_io_error_that_names_it() {
    let name = "bad_input::a_directory_without_rights_is_an_io_error_that_names_it";
    let forbidden = "STRATA_FORBIDDEN_DIR";
    if process::is_child(name) {
        let dir = PathBuf::from(std::env::var_os(forbidden).expect("the parent names the directory"));
        for path in [dir.clone(), dir.join("strata.db")] {
            let error = Database::open(&path, Options::default()).unwrap_err();
            expect_error(&error, ErrorKind::Io, &[dir.to_str().unwrap(), "ermission denied"]);
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may do anything, so the child is nobody, with a copy of this binary it may read.
    let binary = dir.path().join("bad_input");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = process::command_of(&binary, name);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534).current_dir(dir.path());
    }
    process::expect_passed(name, &command.env(forbidden, &closed).output().unwrap());
    assert!(picture(&closed).is_empty(), "nothing was created");
}

/// Every file below a directory with its content; the owner's note in LOCK is not part of a store.
fn picture(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.file_name().is_some_and(|name| name != "LOCK") {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    files
}

/// CRC-32 (IEEE 802.3), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
