//! What is erased shows a marker wherever it was seen, at once, and is nowhere on disk once the store was compacted.

use std::sync::Arc;

use strata::{
    Compaction, Condition, Database, Durability, EntityRef, ErasedVersions, Error, ErrorKind, KvScan,
    NewTrace, Options, Reads, Retention, RunHandle, RunSpec, RunStatus, TraceContent, TraceEnd, TraceId,
    Value, Version, Writes, salvage_from,
};
use strata_wal::sim::SimDisk;

use crate::support::{Dice, busy_options, one_run, open_on, options, seed, sim_path, sweep};

/// Texts that nothing else on a disk looks like.
struct Secrets {
    dice: Dice,
    told: Vec<String>,
}

impl Secrets {
    fn new(dice: &mut Dice) -> Secrets {
        Secrets { dice: Dice::new(dice.roll()), told: Vec::new() }
    }

    fn tell(&mut self) -> String {
        let secret = format!("secret-{:016x}{:016x}", self.dice.roll(), self.dice.roll());
        self.told.push(secret.clone());
        secret
    }
}

/// The files that hold a text.
fn files_with(disk: &SimDisk, text: &str) -> Vec<String> {
    let has_it = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    let files = disk
        .files()
        .into_iter()
        .filter(|path| has_it(&disk.bytes(path)) || has_it(&disk.durable_bytes(path)));
    files.map(|path| path.display().to_string()).collect()
}

fn expect_gone(disk: &SimDisk, secrets: &Secrets, story: &str) {
    for secret in &secrets.told {
        assert_eq!(files_with(disk, secret), [""; 0], "{secret} is still there: {story}");
    }
}

/// What is still on disk, and erased, is not told by a salvage either.
fn expect_no_salvage_of(disk: &SimDisk, secrets: &Secrets, story: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let into = scratch.path().join("dump");
    let report = salvage_from(&sim_path(), Some(Arc::new(disk.clone())), &into).unwrap();
    assert!(report.runs.iter().all(|run| run.version == run.known), "{report:?}, {story}");
    for run in report.runs.iter().filter_map(|run| run.file.as_ref()) {
        let text = std::fs::read_to_string(into.join(run)).unwrap();
        for secret in &secrets.told {
            assert!(!text.contains(secret), "{secret} is told: {story}");
        }
    }
}

fn id(number: u8) -> TraceId {
    TraceId::from_bytes([number; 16])
}

fn call(number: u8, text: &str) -> NewTrace {
    let (name, arguments) = ("ask".to_string(), Value::from(text));
    let content = TraceContent::ToolCall { name, arguments, result: None, error: None };
    NewTrace { tags: vec!["tag".into()], ..NewTrace::new(id(number), content) }
}

fn ended(text: &str) -> TraceEnd {
    TraceEnd { result: Some(text.into()), ..TraceEnd::default() }
}

/// The options of a store that keeps all, and makes a checkpoint when it is told.
fn calm() -> Options {
    Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) }
}

/// One thing of each primitive, with a secret in each version of it.
fn fill(run: &RunHandle, secrets: &mut Secrets) {
    for _ in 0..2 {
        run.put("key", secrets.tell()).unwrap();
        run.cell_set("cell", secrets.tell()).unwrap();
        run.append("kind", secrets.tell()).unwrap();
    }
    run.trace_begin(call(1, &secrets.tell())).unwrap();
    run.trace_record(NewTrace { parent: Some(id(1)), ..call(2, "child") }).unwrap();
    run.trace_end(id(1), ended(&secrets.tell())).unwrap();
    run.json_create("document", Value::from([("a", Value::from(secrets.tell()))])).unwrap();
    run.json_set("document", "/b", secrets.tell()).unwrap();
    run.put("other", 1).unwrap();
}

/// The things that [`fill`] has filled.
fn filled(run: &RunHandle) -> [EntityRef; 6] {
    let run = run.id();
    [
        EntityRef::kv(run, "key"),
        EntityRef::cell(run, "cell"),
        EntityRef::event(run, 0),
        EntityRef::event(run, 1),
        EntityRef::trace(run, id(1)),
        EntityRef::json(run, "document"),
    ]
}

fn erase_all(run: &RunHandle, from: &RunHandle) {
    for entity in filled(from) {
        let commit = run.erase(&entity, ErasedVersions::All, "because").unwrap();
        assert!(commit.is_some(), "{entity} was there");
        assert_eq!(run.erase(&entity, ErasedVersions::All, "again").unwrap(), None, "{entity} is erased");
    }
}

/// Whether all that a surface shows of these things, if it shows it, is the marker; and what stays is there.
fn expect_erased(surface: &impl Reads, story: &str) {
    for value in [surface.get("key").unwrap(), surface.cell_read("cell").unwrap()].into_iter().flatten() {
        assert_eq!(value.value, Value::Erased, "{story}");
    }
    for (key, found) in surface.list_values(&KvScan::default()).unwrap().items {
        assert_eq!(found.value == Value::Erased, ["key", "kept"].contains(&key.as_str()), "{key}, {story}");
    }
    let (len, chain) = (surface.event_count().unwrap().value, surface.verify_chain().unwrap());
    assert_eq!((chain.valid, chain.length, chain.erased), (true, len, len.min(2)), "{story}");
    for sequence in 0..len.min(2) {
        let event = surface.event(sequence).unwrap().unwrap();
        assert_eq!((event.kind.as_str(), event.payload), ("kind", Value::Erased), "{story}");
    }
    if let Some(trace) = surface.trace_get(id(1)).unwrap() {
        assert_eq!(trace.content, TraceContent::Erased { kind: "tool_call".into() }, "{story}");
        assert_eq!((&*trace.tags[0], trace.metadata), ("tag", Value::Null));
        assert!(trace.ended.is_none() || surface.trace_get(id(2)).unwrap().unwrap().parent == Some(id(1)));
    }
    if let Some(document) = surface.json_get("document", "").unwrap() {
        assert_eq!(document.value, Value::Erased, "{story}");
        assert_eq!(surface.json_get("document", "/a").unwrap(), None);
        assert_eq!(surface.json_query("document", "$").unwrap().unwrap().value, [], "{story}");
    }
}

/// The commits of everything that a surface shows.
fn stamps(surface: &impl Reads, run: &RunHandle) -> Vec<Option<Version>> {
    filled(run).iter().map(|entity| surface.stat(entity).unwrap().map(|found| found.version)).collect()
}

#[test]
fn every_primitive_shows_the_marker_in_every_version_and_the_disk_forgets() {
    let mut dice = Dice::new(seed());
    for has_checkpoints in [false, true] {
        let (disk, mut secrets) = (SimDisk::new(dice.roll()), Secrets::new(&mut dice));
        let database = open_on(&disk, calm()).unwrap();
        let run = database.create_run(RunSpec::named("run")).unwrap();
        fill(&run, &mut secrets);
        if has_checkpoints {
            database.checkpoint().unwrap();
        }
        let before: Vec<_> = (1..=run.info().unwrap().version.0)
            .map(|version| stamps(&run.at(Version(version)).unwrap(), &run))
            .collect();
        let (snapshot, old) = (run.snapshot().unwrap(), run.at(Version(5)).unwrap());
        erase_all(&run, &run);
        let check = |database: &Database, story: &str| {
            let run = database.run(run.id());
            expect_erased(&run, story);
            for (version, before) in (1..).zip(&before) {
                let view = run.at(Version(version)).unwrap();
                expect_erased(&view, &format!("version {version}, {story}"));
                assert_eq!(stamps(&view, &run), *before, "version {version}, {story}");
            }
            assert_eq!(run.get("other").unwrap().unwrap().value, Value::Int(1));
        };
        expect_erased(&snapshot, "a snapshot");
        expect_erased(&old, "a view");
        check(&database, "at once");
        drop((snapshot, old));
        let control: usize = secrets.told.iter().map(|secret| files_with(&disk, secret).len()).sum();
        assert!(control >= secrets.told.len(), "what is looked for is found: {control}");
        let disk = if has_checkpoints { disk.kill() } else { database.close().map(|()| disk).unwrap() };
        let database = open_on(&disk, calm()).unwrap();
        check(&database, "reopened");
        database.compact(Compaction::Full).unwrap();
        expect_gone(&disk, &secrets, "compacted");
        check(&database, "compacted");
        let disk = disk.kill();
        let database = open_on(&disk, calm()).unwrap();
        check(&database, "compacted and reopened");
        assert!(database.verify(|_| {}).unwrap().damage.is_empty());
        // And life goes on.
        let run = database.run(run.id());
        run.put("key", "new").unwrap();
        assert_eq!(run.json_set("document", "/a", 1).unwrap_err().kind(), ErrorKind::WrongType);
        run.json_set("document", "", 1).unwrap();
        run.append("kind", "new").unwrap();
        assert_eq!(run.get("key").unwrap().unwrap().value.as_str(), Some("new"));
        assert_eq!(run.verify_chain().unwrap().erased, 2);
        database.compact(Compaction::Full).unwrap();
        assert_eq!(
            run.at(Version(3)).unwrap().get("key").unwrap().map(|value| value.value),
            Some(Value::Erased).filter(|_| before[2][0].is_some())
        );
        database.close().unwrap();
    }
}

#[test]
fn whoever_inherited_what_is_erased_shows_the_marker_in_memory_and_when_it_comes_back() {
    let mut dice = Dice::new(seed());
    for (kills, deletes) in [(false, false), (true, false), (false, true), (true, true)] {
        let story = format!("kills: {kills}, deletes: {deletes}");
        let (disk, mut secrets) = (SimDisk::new(dice.roll()), Secrets::new(&mut dice));
        let database = open_on(&disk, calm()).unwrap();
        let run = database.create_run(RunSpec::named("run")).unwrap();
        fill(&run, &mut secrets);
        run.trace_begin(call(3, &secrets.tell())).unwrap();
        run.put_with_ttl("kept", secrets.tell(), std::time::Duration::from_secs(1)).unwrap();
        database.checkpoint().unwrap();
        let point = run.info().unwrap().version;
        let child = run.fork().unwrap();
        child.put("own", "child").unwrap();
        // What it does with what it inherited is the parent's as well.
        child.clear_deadline("kept").unwrap();
        child.trace_end(id(3), ended("own")).unwrap();
        let copy = Value::from(vec![Value::from([
            ("op", "copy".into()),
            ("from", "/a".into()),
            ("path", "/c".into()),
        ])]);
        child.json_patch("document", &copy).unwrap();
        database.checkpoint().unwrap();
        let grandchild = child.fork().unwrap();
        grandchild.put("own", "grandchild").unwrap();
        let apart = run.fork_at(Version(3)).unwrap();
        run.put("key", "new").unwrap();
        database.checkpoint().unwrap();
        let inherited = grandchild.at(Version(point.0)).unwrap();
        let more = [EntityRef::trace(run.id(), id(3)), EntityRef::kv(run.id(), "kept")];
        for entity in [EntityRef::kv(child.id(), "key"), EntityRef::trace(child.id(), id(3))] {
            let refused = child.erase(&entity, ErasedVersions::All, "no").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
            assert!(refused.message().contains(&run.id().to_string()), "{refused}");
        }
        // A key that it overwrote is erased in all that the parent wrote of it.
        for entity in filled(&run).iter().chain(&more) {
            run.erase(entity, ErasedVersions::All, "because").unwrap().unwrap();
        }
        expect_erased(&inherited, "a view of a fork");
        let check = |database: &Database, stage: &str| {
            let story = format!("{stage}, {story}");
            for (fork, own) in [(&child, "child"), (&grandchild, "grandchild"), (&apart, "")] {
                let fork = database.run(fork.id());
                expect_erased(&fork, &format!("{own}, {story}"));
                if own.is_empty() {
                    continue;
                }
                assert_eq!(fork.get("own").unwrap().unwrap().value.as_str(), Some(own), "{story}");
                assert_eq!(fork.get("kept").unwrap().unwrap().value, Value::Erased, "{story}");
                let ended = fork.trace_get(id(3)).unwrap().unwrap();
                assert!(
                    ended.ended.is_some() && matches!(ended.content, TraceContent::Erased { .. }),
                    "{story}"
                );
                for version in 1..=fork.info().unwrap().version.0 {
                    let view = fork.at(Version(version));
                    match view {
                        // What a deleted run was is there for its forks alone.
                        Err(error) if deletes && stage != "at once" && version < point.0 => {
                            assert_eq!(error.kind(), ErrorKind::HistoryTrimmed, "{version}, {story}");
                        }
                        view => expect_erased(&view.unwrap(), &format!("{own} {version}, {story}")),
                    }
                }
            }
        };
        check(&database, "at once");
        drop(inherited);
        if deletes {
            run.delete_run().unwrap();
        }
        let reopen = |database: Database, disk: SimDisk| {
            let disk = if kills { disk.kill() } else { database.close().map(|()| disk.clone()).unwrap() };
            expect_no_salvage_of(&disk, &secrets, &story);
            (open_on(&disk, calm()).unwrap(), disk)
        };
        let (database, disk) = reopen(database, disk);
        check(&database, "reopened");
        // None of the forks is in memory when their images are copied.
        let (database, disk) = reopen(database, disk);
        database.compact(Compaction::Full).unwrap();
        expect_gone(&disk, &secrets, &story);
        check(&database, "compacted");
        let (database, disk) = reopen(database, disk);
        check(&database, "compacted and reopened");
        assert!(database.verify(|_| {}).unwrap().damage.is_empty(), "{story}");
        database.compact(Compaction::Full).unwrap();
        let (database, _) = reopen(database, disk);
        check(&database, "compacted again");
        database.close().unwrap();
    }
}

// Below the floor of a run that keeps little, an old image is all that a fork is made from.
#[test]
fn an_old_image_that_only_a_fork_needs_is_written_anew_without_what_is_erased() {
    let mut dice = Dice::new(seed());
    let (disk, mut secrets) = (SimDisk::new(dice.roll()), Secrets::new(&mut dice));
    let keep_one = || Options { retention: Retention::KeepLast(1), ..calm() };
    let database = open_on(&disk, keep_one()).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    fill(&run, &mut secrets);
    (0..20).for_each(|number| assert_eq!(run.append("small", number).unwrap().count, 1));
    database.checkpoint().unwrap();
    let fork = run.fork().unwrap();
    for round in 0..50 {
        run.put("key", format!("{round}")).unwrap();
        run.put("other", 1).unwrap();
    }
    run.append("small", 20).unwrap();
    database.checkpoint().unwrap();
    database.checkpoint().unwrap();
    assert_eq!(run.at(Version(9)).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    for entity in
        filled(&run).into_iter().chain((2..=10).map(|sequence| EntityRef::event(run.id(), sequence)))
    {
        run.erase(&entity, ErasedVersions::All, "because").unwrap().unwrap();
    }
    let check = |database: &Database| {
        for surface in [database.run(fork.id()), database.run(run.id())] {
            assert_eq!(surface.get("key").unwrap().unwrap().value, Value::Erased);
            assert_eq!(surface.verify_chain().unwrap().erased, 11);
            assert_eq!(surface.event(11).unwrap().unwrap().payload, Value::Int(9));
            assert_eq!(surface.json_get("document", "").unwrap().unwrap().value, Value::Erased);
        }
    };
    check(&database);
    let disk = disk.kill();
    let database = open_on(&disk, keep_one()).unwrap();
    database.compact(Compaction::Full).unwrap();
    expect_gone(&disk, &secrets, "compacted");
    check(&database);
    let disk = disk.kill();
    let database = open_on(&disk, keep_one()).unwrap();
    check(&database);
    database.compact(Compaction::Full).unwrap();
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
    database.close().unwrap();
    check(&open_on(&disk, keep_one()).unwrap());
}

#[test]
fn a_run_is_erased_in_every_status() {
    for status in RunStatus::ALL {
        let (database, run) = one_run();
        run.put("key", "secret").unwrap();
        run.update_status(status).unwrap();
        run.erase(&EntityRef::kv(run.id(), "key"), ErasedVersions::All, "because").unwrap().unwrap();
        assert_eq!(run.get("key").unwrap().unwrap().value, Value::Erased, "{status}");
        database.close().unwrap();
    }
}

// What a life in memory erases is forgotten with it: a fork of an earlier life showed the marker until the store was opened again.
#[test]
fn a_life_in_memory_erases_nothing_that_earlier_lives_have_logged() {
    let disk = SimDisk::new(5);
    let database = open_on(&disk, calm()).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("key", "logged").unwrap();
    let fork = run.fork().unwrap().id();
    run.delete_run().unwrap();
    let in_memory = RunSpec { durability: Some(Durability::InMemory), ..RunSpec::named("run") };
    let run = database.create_run(in_memory).unwrap();
    run.put("key", "in memory").unwrap();
    let own = run.fork().unwrap();
    run.erase(&EntityRef::kv(run.id(), "key"), ErasedVersions::All, "because").unwrap().unwrap();
    assert_eq!(run.get("key").unwrap().unwrap().value, Value::Erased);
    assert_eq!(own.get("key").unwrap().unwrap().value, Value::Erased);
    let shown = |database: &Database| database.run(fork).get("key").unwrap().unwrap().value;
    assert_eq!(shown(&database), "logged".into());
    database.compact(Compaction::Full).unwrap();
    let database = open_on(&disk.kill(), calm()).unwrap();
    assert_eq!(shown(&database), "logged".into());
    // A life that is logged erases that as well.
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.erase(&EntityRef::kv(run.id(), "key"), ErasedVersions::All, "because").unwrap().unwrap();
    assert_eq!(shown(&database), Value::Erased);
}

#[test]
fn single_versions_of_keys_cells_and_events_are_erased() {
    let disk = SimDisk::new(7);
    let database = open_on(&disk, calm()).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let (key, cell) = (EntityRef::kv(run.id(), "key"), EntityRef::cell(run.id(), "cell"));
    for number in 0..3 {
        run.put("key", format!("key-secret-{number}")).unwrap(); // 2, 4, 6
        run.cell_set("cell", format!("cell-secret-{number}")).unwrap(); // 3, 5, 7
    }
    let deadline = strata::Timestamp(u64::MAX >> 2);
    run.set_deadline("key", deadline).unwrap(); // 8
    run.append("kind", "event-secret").unwrap(); // 9
    let at = |version| ErasedVersions::At(Version(version));
    let refused = |entity: &EntityRef, versions| {
        let error = run.erase(entity, versions, "no").unwrap_err();
        assert_eq!(error.entity(), Some(entity), "{error}");
        error.kind()
    };
    assert_eq!(refused(&key, at(3)), ErrorKind::VersionNotFound);
    assert_eq!(refused(&key, at(99)), ErrorKind::VersionNotFound);
    assert_eq!(refused(&key, at(8)), ErrorKind::InvalidArgument, "it has moved the deadline only");
    assert_eq!(refused(&EntityRef::event(run.id(), 0), at(8)), ErrorKind::VersionNotFound);
    assert_eq!(refused(&EntityRef::event(run.id(), 1), ErasedVersions::All), ErrorKind::NotFound);
    assert_eq!(refused(&EntityRef::run(run.id()), ErasedVersions::All), ErrorKind::InvalidArgument);
    assert_eq!(refused(&EntityRef::json(run.id(), "d"), at(2)), ErrorKind::Unsupported);
    assert_eq!(
        refused(&EntityRef::trace(run.id(), id(1)), ErasedVersions::Through(Version(2))),
        ErrorKind::Unsupported
    );
    run.erase(&key, at(4), "one").unwrap().unwrap();
    run.erase(&cell, ErasedVersions::Through(Version(5)), "two").unwrap().unwrap();
    let check = |database: &Database, last: &Value| {
        let run = database.run(run.id());
        let shown = |version: u64| {
            let view = run.at(Version(version)).unwrap();
            let of = |found: Option<strata::Versioned<Value>>| found.map(|found| found.value);
            (of(view.get("key").unwrap()), of(view.cell_read("cell").unwrap()))
        };
        let text = |text: &str| Some(Value::from(text));
        assert_eq!(shown(3), (text("key-secret-0"), Some(Value::Erased)));
        assert_eq!(shown(5), (Some(Value::Erased), Some(Value::Erased)));
        assert_eq!(shown(7), (Some(last.clone()), text("cell-secret-2")));
        assert_eq!(shown(8), (Some(last.clone()), text("cell-secret-2")));
        assert_eq!(run.get("key").unwrap().unwrap().value, *last);
    };
    check(&database, &"key-secret-2".into());
    database.compact(Compaction::Full).unwrap();
    check(&database, &"key-secret-2".into());
    for (secret, is_there) in [("key-secret-0", true), ("key-secret-1", false), ("cell-secret-1", false)] {
        assert_eq!(!files_with(&disk, secret).is_empty(), is_there, "{secret}");
    }
    // The deadline was moved behind it, and the value went along.
    run.erase(&key, at(6), "three").unwrap().unwrap();
    check(&database, &Value::Erased);
    run.clear_deadline("key").unwrap();
    database.compact(Compaction::Full).unwrap();
    let disk = disk.kill();
    let database = open_on(&disk, calm()).unwrap();
    check(&database, &Value::Erased);
    assert_eq!(files_with(&disk, "key-secret-2"), [""; 0]);
}

#[test]
fn nobody_writes_a_marker() {
    let (_database, run) = one_run();
    let all = [
        run.put("a", Value::Erased).map(drop),
        run.put("a", vec![Value::Erased]).map(drop),
        run.put_if("a", Value::Erased, Condition::Absent).map(drop),
        run.cell_set("a", Value::Erased).map(drop),
        run.append("a", Value::Erased).map(drop),
        run.json_create("a", Value::Erased).map(drop),
        run.json_create("a", Value::from([("a", Value::Erased)])).map(drop),
        run.trace_record(NewTrace::new(id(1), TraceContent::Erased { kind: "error".into() })).map(drop),
        run.trace_record(NewTrace { metadata: Value::Erased, ..call(1, "a") }).map(drop),
        run.set_metadata(Value::Erased).map(drop),
        strata::to_json(&Value::Erased).map(drop),
        run.erase(&EntityRef::kv(run.id(), "a"), ErasedVersions::All, "x".repeat(1_025)).map(drop),
    ];
    for (index, answer) in all.into_iter().enumerate() {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::InvalidArgument, "{index}");
    }
    assert_eq!(run.info().unwrap().version, Version(1));
}

#[test]
fn a_transaction_that_has_read_what_is_erased_conflicts() {
    let (_database, run) = one_run();
    run.put("key", "secret").unwrap();
    run.append("kind", "secret").unwrap();
    let readers: [fn(&strata::Transaction); 3] = [
        |tx| drop(tx.get("key").unwrap()),
        |tx| drop(tx.event(0).unwrap()),
        |tx| drop(tx.list(&KvScan::default()).unwrap()),
    ];
    for (number, read) in readers.into_iter().enumerate() {
        let (reads, blind) = (run.begin(), run.begin());
        read(&reads);
        reads.put("derived", "from it").unwrap();
        blind.put("blind", 1).unwrap();
        let entity = if number == 1 { EntityRef::event(run.id(), 0) } else { EntityRef::kv(run.id(), "key") };
        run.erase(&entity, ErasedVersions::All, "because").unwrap().unwrap();
        let (key, event) =
            (reads.get("key").unwrap().unwrap().value, reads.event(0).unwrap().unwrap().payload);
        assert_eq!(if number == 1 { event } else { key }, Value::Erased, "{number}");
        assert_eq!(reads.commit().unwrap_err().kind(), ErrorKind::Conflict, "{number}");
        blind.commit().unwrap();
        run.put("key", "secret again").unwrap();
    }
    assert_eq!(run.get("derived").unwrap(), None);
    let entity = EntityRef::kv(run.id(), "key");
    let inside = run.transaction(|tx| {
        let operation = strata::Operation::RunErase {
            entity: Box::new(entity.clone()),
            versions: ErasedVersions::All,
            reason: "no".into(),
        };
        tx.write(operation).map(drop)
    });
    assert_eq!(inside.map(drop).map_err(|error: Error| error.kind()), Err(ErrorKind::Unsupported));
}

/// Writes, erases and compacts; tells how far it came: whether the erasure was acknowledged, and the compaction.
fn work(database: &Database, secrets: &mut Secrets) -> (bool, bool) {
    let mut steps = || -> strata::Result<RunHandle> {
        let run = database.create_run(RunSpec::named("run"))?;
        for _ in 0..3 {
            run.put("key", secrets.tell())?;
            run.append("kind", secrets.tell())?;
        }
        let fork = run.fork_at(Version(4))?;
        fork.put("own", 1)?;
        run.put("other", "x".repeat(9_000))?;
        Ok(run)
    };
    let Ok(run) = steps() else { return (false, false) };
    let entities = [
        EntityRef::kv(run.id(), "key"),
        EntityRef::event(run.id(), 0),
        EntityRef::event(run.id(), 1),
        EntityRef::event(run.id(), 2),
    ];
    let is_erased = entities.iter().all(|entity| run.erase(entity, ErasedVersions::All, "because").is_ok());
    (is_erased, is_erased && database.compact(Compaction::Full).is_ok())
}

#[test]
fn a_fault_at_any_point_loses_no_erasure_and_what_is_compacted_is_gone() {
    let mut dice = Dice::new(seed());
    let options = || Options { retention: Retention::KeepAll, ..busy_options(Durability::Strict, 1) };
    let whole = SimDisk::new(dice.roll());
    let database = open_on(&whole, options()).unwrap();
    assert_eq!(work(&database, &mut Secrets::new(&mut dice)), (true, true));
    let count = whole.points();
    database.close().unwrap();
    for fault in sweep::faults(count, 12, &sweep::KINDS, &mut dice) {
        let story = fault.to_string();
        let (disk, mut secrets) = (SimDisk::new(dice.roll()), Secrets::new(&mut dice));
        fault.arm(&disk);
        let Ok(database) = open_on(&disk, options()) else { continue };
        let (is_erased, is_compacted) = work(&database, &mut secrets);
        if is_compacted {
            expect_gone(&disk, &secrets, &story);
        }
        let after = disk.power_cycle(dice.roll());
        drop(database);
        let database = open_on(&after, options()).unwrap_or_else(|error| panic!("{error}: {story}"));
        let check = |database: &Database| {
            let runs = database.runs(&Default::default(), None, 10).unwrap().runs;
            for info in runs.iter().filter(|_| is_erased) {
                let run = database.run(info.id);
                for version in 2..=run.info().unwrap().version.0 {
                    let view = run.at(Version(version)).unwrap();
                    if let Some(found) = view.get("key").unwrap() {
                        assert_eq!(found.value, Value::Erased, "version {version}: {story}");
                    }
                    let chain = view.verify_chain().unwrap();
                    assert_eq!((chain.valid, chain.erased), (true, chain.length), "{story}");
                }
            }
        };
        check(&database);
        database.compact(Compaction::Full).unwrap_or_else(|error| panic!("{error}: {story}"));
        check(&database);
        if is_erased {
            expect_gone(&after, &secrets, &story);
        }
        assert!(database.verify(|_| {}).unwrap().damage.is_empty(), "{story}");
    }
}
