//! Large values stay on disk until somebody reads them: they are what they were, whoever asks, and memory has room for others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strata::{
    Compaction, Database, Direction, Durability, EntityRef, ErasedVersions, ErrorKind, KvScan, Namespace,
    NewTrace, Options, Reads, Retention, RunHandle, RunId, RunSpec, ShardStats, Timestamp, TraceContent,
    TraceEnd, TraceId, Value, Writes,
};
use strata_wal::sim::SimDisk;

use crate::support::contents::{contents, inherited, of_run};
use crate::support::{Dice, busy_options, eventually, open_on, options, seed, sweep};

/// What a value has that is large, bytes.
const LARGE: usize = 100 << 10;

/// A text of its own that is large, and begins with this.
fn large(name: &str) -> String {
    format!("{name}:").repeat(LARGE / (name.len() + 1) + 1)
}

fn calm() -> Options {
    Options { checkpoint_log_size: 1 << 30, ..options(Durability::Buffered, 1) }
}

fn tight(memory_budget: u64) -> Options {
    Options { memory_budget, checkpoint_log_size: 64 << 10, ..options(Durability::Buffered, 1) }
}

fn stats(database: &Database) -> ShardStats {
    database.stats().unwrap().shards.remove(0)
}

fn trace(number: u8, text: &str) -> NewTrace {
    let content = TraceContent::Thought { text: text.into(), confidence: None };
    NewTrace { tags: vec!["tag".into()], ..NewTrace::new(TraceId::from_bytes([number; 16]), content) }
}

/// One of everything, large and small; of keys one whose deadline was moved later.
fn fill(run: &RunHandle, round: u8) {
    for (size, text) in [("large", large(&format!("round{round}"))), ("small", format!("round{round}"))] {
        let text = text.as_str();
        run.put(&format!("key-{size}"), text).unwrap();
        run.put_until(&format!("kept-{size}"), text, Timestamp(u64::MAX / 2)).unwrap();
        run.clear_deadline(&format!("kept-{size}")).unwrap();
        run.put(&format!("key-{size}-{round}"), text).unwrap();
        run.cell_set(&format!("cell-{size}"), text).unwrap();
        run.append(&format!("event-{size}"), text).unwrap();
        let document = format!("document-{size}");
        match run.json_get(&document, "").unwrap() {
            None => run.json_create(&document, text).unwrap(),
            Some(_) => run.json_set(&document, "", text).unwrap(),
        };
    }
    run.trace_record(trace(3 * round, &large("thought"))).unwrap();
    run.trace_record(trace(3 * round + 1, "thought")).unwrap();
    let open = trace(3 * round + 2, &large("span"));
    let (span, _) = run.trace_begin(open).unwrap();
    if round.is_multiple_of(2) {
        run.trace_end(span, TraceEnd::default()).unwrap();
    }
}

/// How many bytes of values one round leaves on disk at least: two keys, of which one goes on, a cell, an event, two traces.
const ROUND: u64 = 3 * LARGE as u64;

fn begun(database: &Database, name: &str) -> RunHandle {
    database.begin_run(RunSpec::named(name)).unwrap()
}

/// Has all of them leave memory and come back with what they leave on disk.
fn reopened(disk: &SimDisk, database: Database, options: Options) -> Database {
    database.close().unwrap();
    open_on(disk, options).unwrap()
}

fn again(database: &Database, run: &RunHandle) -> RunHandle {
    database.run(run.id())
}

#[test]
fn large_values_of_every_primitive_are_the_same_whoever_reads_them() {
    let disk = SimDisk::new(seed());
    let database = open_on(&disk, calm()).unwrap();
    let run = begun(&database, "run");
    (1..=4).for_each(|round| fill(&run, round));
    let (before, at) = (of_run(&run), run.info().unwrap().version);
    database.checkpoint().unwrap();
    let database = reopened(&disk, database, calm());
    let run = again(&database, &run);
    expect_same(&of_run(&run), &before);
    let seen = stats(&database);
    assert!(seen.values_on_disk >= 4 * ROUND && seen.memory < LARGE as u64 * 12, "{seen:?}");
    assert!(seen.value_reads >= 12 && seen.value_bytes_read >= 12 * LARGE as u64, "{seen:?}");
    assert_eq!((seen.value_reads_on_shard, seen.value_read_failures), (0, 0));

    // Every surface, and what was there when it began stays for it.
    let snapshot = run.snapshot().unwrap();
    let view = run.at(at).unwrap();
    expect_same(&of_run(&view), &before);
    let fork = run.fork().unwrap();
    expect_same(&inherited(&fork), &inherited(&run));
    let text = run.transaction(|tx| tx.get("key-large")).unwrap().value.unwrap().value;
    assert_eq!(text.as_str(), Some(&*large("round4")));
    let text = run.execute(|scope| scope.get("key-large")).unwrap().value.unwrap().value;
    assert_eq!(text.as_str(), Some(&*large("round4")));
    assert_eq!(stats(&database).value_reads_on_shard, 1);
    let mut events = run.subscribe_events(0).unwrap();
    for round in 1..=4 {
        let event = events.next(Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(event.payload.as_str(), Some(&*large(&format!("round{round}"))));
        assert_eq!(events.next(Duration::from_secs(60)).unwrap().unwrap().payload.as_str().unwrap().len(), 6);
    }
    let refused = run.increment("key-large", 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongType);
    assert!(refused.message().contains("string"), "{refused}");

    // Images of it are written while they hold what earlier ones have.
    for round in 5..=8 {
        fill(&run, round);
        database.compact(Compaction::Full).unwrap();
        expect_same(&of_run(&snapshot), &before);
        expect_same(&of_run(&view), &before);
    }
    let (held, forked) = (of_run(&run), of_run(&fork));
    drop((snapshot, view));
    for _ in 0..2 {
        database.compact(Compaction::Full).unwrap();
        expect_same(&of_run(&run), &held);
        expect_same(&of_run(&fork), &forked);
    }
    let database = reopened(&disk, database, calm());
    assert_eq!((of_run(&again(&database, &run)), of_run(&again(&database, &fork))), (held, forked));
    expect_same(&of_run(&again(&database, &run).at(at).unwrap()), &before);
    assert!(database.verify(|_| {}).unwrap().damage.is_empty());
}

#[test]
fn a_run_with_far_more_than_the_budget_is_written_and_read_while_others_are_served() {
    const BUDGET: u64 = 2 << 20;
    let disk = SimDisk::new(seed());
    let database = open_on(&disk, tight(BUDGET)).unwrap();
    let (big, small) = (begun(&database, "big"), begun(&database, "small"));
    small.put("key", "value").unwrap();
    let is_done = AtomicBool::new(false);
    let small_reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut count = 0_u64;
            while !is_done.load(Ordering::SeqCst) {
                assert_eq!(small.get("key").unwrap().unwrap().value.as_str(), Some("value"));
                count += 1;
            }
            count
        });
        for number in 0..120 {
            big.put(&format!("key{number}"), large(&number.to_string())).unwrap();
            big.append("event", large(&format!("event{number}"))).unwrap();
        }
        for number in (0..120).rev() {
            let found = big.get(&format!("key{number}")).unwrap().unwrap().value;
            assert_eq!(found.as_str(), Some(&*large(&number.to_string())));
            let event = big.event(number).unwrap().unwrap();
            assert_eq!(event.payload.as_str(), Some(&*large(&format!("event{number}"))));
        }
        is_done.store(true, Ordering::SeqCst);
        reader.join().unwrap()
    });
    // Whatever the machine does beside: it has waited for none of the many values.
    assert!(small_reads > 24, "{small_reads}");
    database.checkpoint().unwrap();
    eventually("large values have left memory", || {
        big.exists("key0").unwrap();
        stats(&database).memory <= BUDGET
    });
    let seen = stats(&database);
    assert!(seen.values_on_disk + seen.memory > 8 * BUDGET || seen.resident_runs < 2, "{seen:?}");
    assert!(big.verify_chain().unwrap().valid);
    assert_eq!(big.list(&KvScan::default()).unwrap().keys.len(), 120);
    assert_eq!(big.events(0, 1_000, Direction::Forward).unwrap().events.len(), 120);
    assert!(stats(&database).memory <= BUDGET);
    assert_eq!(stats(&database).value_reads_on_shard, 0);
}

#[test]
fn what_nobody_has_asked_for_is_loaded_while_all_of_it_would_fit_into_memory() {
    const BUDGET: u64 = 4 << 20;
    let disk = SimDisk::new(seed());
    let database = open_on(&disk, calm()).unwrap();
    for number in 0..20 {
        let run = begun(&database, &format!("run{number}"));
        for key in 0..8 {
            run.put(&format!("key{key}"), large("value")).unwrap();
        }
    }
    database.checkpoint().unwrap();
    let database = reopened(&disk, database, Options { memory_budget: BUDGET, ..calm() });
    let mut before = 0;
    eventually("no more is loaded", || {
        std::thread::sleep(Duration::from_millis(100));
        let loads = stats(&database).loads;
        std::mem::replace(&mut before, loads) == loads && loads > 0
    });
    let seen = stats(&database);
    assert!(seen.values_on_disk + seen.memory < BUDGET + 10 * LARGE as u64, "{seen:?}");
}

/// That two texts are the same, and where they are not.
fn expect_same(found: &str, expected: &str) {
    for (found, expected) in found.lines().zip(expected.lines()) {
        let shown =
            |line: &str| format!("{} bytes: {}", line.len(), line.chars().take(200).collect::<String>());
        assert!(found == expected, "{} is not {}", shown(found), shown(expected));
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// Bytes of all files.
fn size_of(disk: &SimDisk) -> usize {
    disk.files().iter().map(|path| disk.bytes(path).len()).sum()
}

#[test]
fn what_is_overwritten_or_deleted_leaves_the_disk_while_its_run_stays_in_memory() {
    let disk = SimDisk::new(seed());
    let options = || Options { retention: Retention::KeepLast(1), ..calm() };
    let database = open_on(&disk, options()).unwrap();
    let run = begun(&database, "run");
    for number in 0..20 {
        run.put(&format!("key{number}"), large("value")).unwrap();
    }
    database.checkpoint().unwrap();
    let database = reopened(&disk, database, options());
    let run = again(&database, &run);
    assert_eq!(run.get("key3").unwrap().unwrap().value.as_str(), Some(&*large("value")));
    assert!(stats(&database).values_on_disk >= 19 * LARGE as u64);
    for number in 0..20 {
        match number % 2 {
            0 => drop(run.delete(&format!("key{number}")).unwrap()),
            _ => drop(run.put(&format!("key{number}"), "small").unwrap()),
        }
    }
    assert_eq!(stats(&database).values_on_disk, 0);
    database.compact(Compaction::Full).unwrap();
    database.compact(Compaction::Full).unwrap();
    assert!(size_of(&disk) < 4 * LARGE + (1 << 20), "{} bytes are left", size_of(&disk));
    assert_eq!(run.get("key3").unwrap().unwrap().value.as_str(), Some("small"));
}

#[test]
fn damage_to_a_value_on_disk_is_told_of_that_value_only() {
    let disk = SimDisk::new(seed());
    let database = open_on(&disk, calm()).unwrap();
    let run = begun(&database, "run");
    for name in ["one", "two", "three"] {
        run.put(name, large(name)).unwrap();
    }
    database.checkpoint().unwrap();
    let database = reopened(&disk, database, calm());
    let run = again(&database, &run);
    assert_eq!(run.get("one").unwrap().unwrap().value.as_str(), Some(&*large("one")));
    let image = disk.files().into_iter().find(|path| {
        let bytes = disk.bytes(path);
        path.parent().is_some_and(|dir| dir.ends_with("SNAPSHOTS")) && find(&bytes, "two:two:two").is_some()
    });
    let image = image.unwrap();
    let place = find(&disk.bytes(&image), "two:two:two").unwrap() as u64;
    disk.flip(&image, place + 5_000, 3);
    let refused = run.get("two").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(
        refused.message().contains(&image.file_name().unwrap().to_string_lossy().into_owned()),
        "{refused}"
    );
    for name in ["one", "three"] {
        assert_eq!(run.get(name).unwrap().unwrap().value.as_str(), Some(&*large(name)));
    }
    assert!(run.exists("two").unwrap().value);
    assert_eq!(stats(&database).value_read_failures, 1);
    // It can be replaced, and then images are made again.
    assert_eq!(database.checkpoint().err().map(|error| error.kind()), None, "nothing has changed");
    run.put("four", 4).unwrap();
    assert!(database.checkpoint().is_err());
    run.put("two", large("other")).unwrap();
    eventually("a checkpoint is made", || database.checkpoint().is_ok());
    let database = reopened(&disk, database, calm());
    assert_eq!(again(&database, &run).get("two").unwrap().unwrap().value.as_str(), Some(&*large("other")));
}

#[test]
fn a_run_with_a_damaged_value_is_made_again_of_the_image_before_and_the_log_while_it_is_served() {
    for images in [1, 2] {
        let disk = SimDisk::new(seed());
        let database = open_on(&disk, calm()).unwrap();
        let (run, other) = (begun(&database, "run"), begun(&database, "other"));
        fill(&run, 1);
        run.put("two", large("two")).unwrap();
        for number in 0..images {
            run.put("small", number).unwrap();
            database.checkpoint().unwrap();
        }
        let database = reopened(&disk, database, calm());
        let (run, other) = (again(&database, &run), again(&database, &other));
        let (before, at) = (of_run(&run), run.info().unwrap().version);
        let newest =
            disk.files().into_iter().filter(|path| path.parent().unwrap().ends_with("SNAPSHOTS")).max();
        let newest = newest.unwrap();
        let place = find(&disk.bytes(&newest), "two:two:two").unwrap() as u64;
        disk.flip(&newest, place + 5_000, 3);
        assert_eq!(run.get("two").unwrap_err().kind(), ErrorKind::Corrupt);
        // Nobody has to do anything about it but to go on writing.
        run.put_until("two-small", 2, Timestamp(u64::MAX / 2)).unwrap();
        other.put("small", 3).unwrap();
        assert_eq!(database.checkpoint().unwrap_err().kind(), ErrorKind::Corrupt);
        eventually("the value is there again", || run.get("two").is_ok());
        database.checkpoint().unwrap();
        for _ in 0..2 {
            assert_eq!(run.get("two").unwrap().unwrap().value.as_str(), Some(&*large("two")));
            assert_eq!(run.get("two-small").unwrap().unwrap().value.as_int(), Some(2));
            expect_same(&of_run(&run.at(at).unwrap()), &before);
            run.put("small", "later").unwrap();
            database.compact(Compaction::Full).unwrap();
        }
        let held = of_run(&run);
        let database = reopened(&disk, database, calm());
        expect_same(&of_run(&again(&database, &run)), &held);
        assert!(database.verify(|_| {}).unwrap().damage.is_empty());
    }
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|part| part == text.as_bytes())
}

#[test]
fn what_is_erased_of_large_values_is_nowhere_after_a_compaction() {
    let disk = SimDisk::new(seed());
    let database = open_on(&disk, calm()).unwrap();
    let run = begun(&database, "run");
    (1..=2).for_each(|round| fill(&run, round));
    run.put("secret", large("secret-key")).unwrap();
    run.cell_set("secret", large("secret-cell")).unwrap();
    let sequence = run.append("secret", large("secret-event")).unwrap().sequence;
    let (id, _) = run.trace_record(trace(99, &large("secret-trace"))).unwrap();
    database.checkpoint().unwrap();
    let database = reopened(&disk, database, calm());
    let run = again(&database, &run);
    let (fork, snapshot) = (run.fork().unwrap(), run.snapshot().unwrap());
    assert_eq!(fork.get("secret").unwrap().unwrap().value.as_str(), Some(&*large("secret-key")));
    let id_of = run.id();
    for entity in [
        EntityRef::kv(id_of, "secret"),
        EntityRef::cell(id_of, "secret"),
        EntityRef::event(id_of, sequence),
        EntityRef::trace(id_of, id),
    ] {
        run.erase(&entity, ErasedVersions::All, "asked to").unwrap();
    }
    for surface in [&run as &dyn Reads, &fork, &snapshot] {
        assert_eq!(surface.get("secret").unwrap().unwrap().value, Value::Erased);
        assert_eq!(surface.event(sequence).unwrap().unwrap().payload, Value::Erased);
        let chain = surface.verify_chain().unwrap();
        assert_eq!((chain.valid, chain.erased), (true, 1));
    }
    let before = of_run(&run);
    database.compact(Compaction::Full).unwrap();
    let left = disk.files().into_iter().filter(|path| find(&disk.bytes(path), "secret-").is_some());
    assert_eq!(left.count(), 0);
    expect_same(&of_run(&run), &before);
    drop(snapshot);
    let database = reopened(&disk, database, calm());
    expect_same(&of_run(&again(&database, &run)), &before);
}

#[test]
fn copies_archives_and_other_shards_have_large_values_as_they_were() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name);
    let open =
        |name: &str, shards| Database::open(place(name), options(Durability::Buffered, shards)).unwrap();
    let database = open("store", 2);
    let run = begun(&database, "run");
    (1..=3).for_each(|round| fill(&run, round));
    let at = run.info().unwrap().version;
    let old = of_run(&run);
    let fork = run.fork().unwrap();
    let forked = inherited(&fork);
    database.checkpoint().unwrap();
    database.close().unwrap();
    let database = open("store", 2);
    let run = again(&database, &run);
    fill(&run, 4);
    let (held, all) = (of_run(&run), contents(&database));
    database.backup(place("copy")).unwrap();
    expect_same(&contents(&open("copy", 2)), &all);
    run.export(place("run.arc")).unwrap();
    let other = open("other", 1);
    other.import(place("run.arc")).unwrap();
    let imported = again(&other, &run);
    expect_same(&inherited(&imported), &inherited(&run));
    expect_same(&of_run(&imported.at(at).unwrap()), &of_run(&run.at(at).unwrap()));
    other.close().unwrap();
    expect_same(&inherited(&again(&open("other", 1), &run)), &inherited(&run));
    database.close().unwrap();
    for shards in [1, 3] {
        let database = open("store", shards);
        expect_same(&contents(&database), &all);
        expect_same(&of_run(&again(&database, &run)), &held);
        expect_same(&of_run(&again(&database, &run).at(at).unwrap()), &old);
        expect_same(&inherited(&again(&database, &fork)), &forked);
        database.close().unwrap();
    }
    let report = strata::salvage(place("copy"), place("dump")).unwrap();
    assert!(report.damage.is_empty() && report.runs.iter().all(|run| run.version == run.known), "{report:?}");
}

/// Writes large values over each other, which leave memory and come back, and reads them. For each key what was acknowledged last, and
/// what was tried since.
fn work(database: &Database, story: &str) -> Vec<(String, String, Vec<String>)> {
    let mut all = Vec::new();
    for name in ["a", "b"] {
        let Ok(run) = database.begin_run(RunSpec::named(name)) else { continue };
        for key in ["x", "y"] {
            let (mut kept, mut tried) = (None, Vec::new());
            for round in 0..3 {
                let text = large(&format!("{name}{key}{round}"));
                match run.put(key, text.as_str()) {
                    Ok(_) => (kept, tried) = (Some(text), Vec::new()),
                    Err(_) => tried.push(text),
                }
                if round == 1 {
                    let _ = database.checkpoint();
                }
                // A read may fail for the device, and never shows another value.
                if let Ok(found) = run.get(key) {
                    let found = found.and_then(|found| found.value.as_str().map(str::to_string));
                    let is_right = found == kept || found.is_some_and(|found| tried.contains(&found));
                    assert!(is_right, "{story}");
                }
            }
            let _ = run.put("small", key);
            all.extend(kept.map(|kept| (format!("{name}/{key}"), kept, tried)));
        }
    }
    let _ = database.compact(Compaction::Full);
    all
}

#[test]
fn a_fault_at_any_point_costs_no_large_value() {
    let mut dice = Dice::new(seed());
    let options = || busy_options(Durability::Strict, 1);
    let whole = SimDisk::new(dice.roll());
    let database = open_on(&whole, options()).unwrap();
    assert_eq!(work(&database, "without a fault").len(), 4);
    assert!(stats(&database).loads > 0);
    let count = whole.points();
    database.close().unwrap();
    for fault in sweep::faults(count, 12, &sweep::KINDS, &mut dice) {
        let story = fault.to_string();
        let disk = SimDisk::new(dice.roll());
        fault.arm(&disk);
        let Ok(database) = open_on(&disk, options()) else { continue };
        let acknowledged = work(&database, &story);
        let after = disk.power_cycle(dice.roll());
        drop(database);
        let database = open_on(&after, options()).unwrap_or_else(|error| panic!("{error}: {story}"));
        let check = || {
            for (place, kept, tried) in &acknowledged {
                let (name, key) = place.split_once('/').unwrap();
                let run = database.run(RunId::named(&Namespace::default(), name));
                let found = run.get(key).unwrap_or_else(|error| panic!("{error}: {story}"));
                let found = found.unwrap_or_else(|| panic!("{place} is lost: {story}"));
                let found = found.value.as_str().unwrap();
                assert!(found == kept || tried.iter().any(|tried| tried == found), "{place}: {story}");
            }
        };
        check();
        database.compact(Compaction::Full).unwrap_or_else(|error| panic!("{error}: {story}"));
        check();
        assert!(database.verify(|_| {}).unwrap().damage.is_empty(), "{story}");
    }
}
