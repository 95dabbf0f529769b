//! What a transaction had read is kept with its commit, where the store is opened to do so.

use std::ops::Bound;

use strata::{
    Cause, CommitReads, Compaction, Condition, Database, Direction, EntityRef, ErasedVersions, Error, KvScan,
    Options, PastCommit, ReadPlace, Reads, RunHandle, RunSpec, TraceContent, TraceFilter, Transacted,
    Transaction, Value, Version, Writes, new_trace,
};
use strata_wal::sim::SimDisk;

use crate::support::versions::{disk, file, keep_all, open_at};
use crate::support::{Dice, seed};

fn recording(disk: &SimDisk, name: &str) -> Database {
    open_at(disk, name, Options { record_reads: true, ..keep_all(1) })
}

/// Commits what `body` writes, and a key with it, in one transaction.
fn commit(run: &RunHandle, body: impl Fn(&Transaction) -> Result<(), Error>) -> Version {
    let done: Transacted<()> = run
        .transaction(|tx| {
            body(tx)?;
            tx.put("written", 1).map(drop)
        })
        .unwrap();
    done.receipt.commit.unwrap().version
}

fn commit_at(run: &RunHandle, version: Version) -> PastCommit {
    run.commits(Version(version.0 - 1), 1).unwrap().commits.remove(0)
}

fn reads_of(run: &RunHandle, version: Version) -> Vec<ReadPlace> {
    let reads = commit_at(run, version).reads.expect("they are kept");
    assert!(!reads.is_cut);
    reads.places
}

fn prefix(prefix: &str) -> KvScan {
    KvScan { prefix: prefix.into(), ..KvScan::default() }
}

fn key(key: &str, version: u64) -> ReadPlace {
    ReadPlace::Key { key: key.into(), version: Version(version) }
}

#[test]
fn what_a_transaction_had_read_goes_wherever_its_commit_goes() {
    let disk = disk(60);
    let database = recording(&disk, "store");
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("a/1", 1).unwrap();
    run.cell_set("cell", 1).unwrap();
    run.json_create("plan", Value::from([("at", 1.into()), ("to", 2.into())])).unwrap();
    run.json_set("plan", "/to", 3).unwrap();
    run.append_many([("step", 1), ("other", 2)]).unwrap();
    let thought = new_trace(TraceContent::Thought { text: "so".into(), confidence: None });
    run.trace_record(thought.clone()).unwrap();
    let of_keys = commit(&run, |tx| {
        tx.get("a/1")?;
        tx.get("absent")?;
        tx.get("a/1")?;
        tx.put("own", 1)?;
        tx.get("own")?;
        tx.list(&prefix("a/"))?;
        tx.increment("count", 1).map(drop)
    });
    let of_others = commit(&run, |tx| {
        tx.cell_read("cell")?;
        tx.json_get("plan", "/at")?;
        tx.json_get("plan", "/to")?;
        tx.json_get("plan", "/nothing")?;
        tx.json_list(&prefix(""))?;
        tx.event(1)?;
        tx.event_count_of("step")?;
        tx.trace_get(thought.id)?;
        tx.trace_list(
            &TraceFilter { tag: Some("t".into()), ..TraceFilter::default() },
            None,
            9,
            Direction::Forward,
        )?;
        tx.info().map(drop)
    });
    let within_a = ReadPlace::Keys { from: Bound::Included("a/".into()), to: Bound::Excluded("a0".into()) };
    let keys = vec![key("a/1", 2), key("absent", 0), within_a, key("count", 0)];
    let at = |path: &str, version| ReadPlace::Document {
        name: "plan".into(),
        path: path.into(),
        version: Version(version),
    };
    let others = vec![
        ReadPlace::Cell { name: "cell".into(), version: Version(3) },
        at("/at", 4),
        at("/to", 5),
        at("/nothing", 0),
        ReadPlace::Documents { from: Bound::Included(String::new()), to: Bound::Unbounded },
        ReadPlace::EventsFrom { sequence: 1 },
        ReadPlace::NoEventsFrom { kind: Some("step".into()), sequence: 2 },
        ReadPlace::Trace { id: thought.id, version: Version(7) },
        ReadPlace::Traces { kind: None, tag: Some("t".into()), parent: None },
        ReadPlace::Run { version: of_keys },
    ];
    let expect = |run: &RunHandle, what: &str| {
        assert_eq!(reads_of(run, of_keys), keys, "{what}");
        assert_eq!(reads_of(run, of_others), others, "{what}");
        let why = run.explain_change(&EntityRef::kv(run.id(), "written"), of_keys, 0).unwrap().unwrap();
        assert_eq!(why.commit.reads.as_ref().map(|reads| &reads.places), Some(&keys), "{what}");
        let text = why.to_string();
        assert!(
            text.contains("had read: key \"a/1\", version 2; key \"absent\", not there; keys from"),
            "{text}"
        );
    };
    expect(&run, "as it is");
    expect(&run.fork().unwrap(), "in a fork");
    database.close().unwrap();
    // It is not asked of the store any more, and what is there stays.
    let database = open_at(&disk, "store", keep_all(1));
    let run = database.run(run.id());
    expect(&run, "opened again");
    let version = commit(&run, |tx| tx.get("a/1").map(drop));
    assert_eq!(commit_at(&run, version).reads, None);
    database.compact(Compaction::Full).unwrap();
    expect(&run, "compacted");
    let newest = run.snapshot().unwrap();
    let replayed = run.replay_until(newest.version()).unwrap();
    assert_eq!(replayed.digest().unwrap(), newest.detach().unwrap().digest().unwrap());
    run.export(file("run.arc")).unwrap();
    let into = open_at(&disk, "other", keep_all(2));
    let imported = into.import(file("run.arc")).unwrap();
    expect(&imported, "imported");
    expect(&imported.fork().unwrap(), "in a fork of what is imported");
    database.close().unwrap();
    let resharded = open_at(&disk, "store", keep_all(2));
    expect(&resharded.run(run.id()), "placed anew");
}

#[test]
fn reads_are_kept_of_transactions_alone_and_only_where_that_is_asked_for() {
    let disk = disk(61);
    let database = recording(&disk, "store");
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let reads = |run: &RunHandle, version| commit_at(run, version).reads;
    let blind = commit(&run, |_| Ok(()));
    assert_eq!(reads(&run, blind), Some(CommitReads::default()), "it had read nothing");
    let single = run.put_if("single", 1, Condition::Absent).unwrap();
    let mut batch = run.batch();
    batch.increment("count", 1).unwrap();
    let batch = run.commit(batch).unwrap().commit.unwrap();
    let executed = run.execute(|run| {
        let found = run.get("single")?;
        run.put("executed", found.is_some()).map(drop)
    });
    let executed = executed.map_err(|error: Error| error).unwrap().receipt.commit.unwrap();
    for commit in [single, batch, executed] {
        assert_eq!(reads(&run, commit.version), None, "{commit:?}");
    }
    let by_hand = run.begin();
    by_hand.get("single").unwrap();
    by_hand.put("by hand", 1).unwrap();
    let by_hand = by_hand.commit().unwrap().commit.unwrap();
    assert_eq!(reads_of(&run, by_hand.version), [key("single", single.version.0)]);
    let other = open_at(&disk, "other", keep_all(1));
    let run = other.create_run(RunSpec::named("run")).unwrap();
    let version = commit(&run, |tx| tx.get("absent").map(drop));
    assert_eq!(reads(&run, version), None);
}

#[test]
fn of_very_many_reads_the_first_are_kept_and_it_is_said_that_there_were_more() {
    let disk = disk(62);
    let database = recording(&disk, "store");
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let reads = |version| commit_at(&run, version).reads.unwrap();
    let get_all = |count: usize, name: fn(usize) -> String| {
        let version = commit(&run, |tx| (0..count).try_for_each(|number| tx.get(&name(number)).map(drop)));
        let CommitReads { places, is_cut } = reads(version);
        for (number, place) in places.iter().enumerate() {
            assert_eq!(*place, key(&name(number), 0));
        }
        (places.len(), is_cut)
    };
    let short: fn(usize) -> String = |number| format!("{number}");
    assert_eq!([1_000, 1_001].map(|count| get_all(count, short)), [(1_000, false), (1_000, true)]);
    // Each takes its name and 13 bytes.
    let long: fn(usize) -> String = |number| format!("{number:01011}");
    assert_eq!([64, 65].map(|count| get_all(count, long)), [(64, false), (64, true)]);
}

#[test]
fn words_of_a_document_leave_what_was_read_when_it_is_erased() {
    let disk = disk(63);
    let database = recording(&disk, "store");
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.json_create("people", Value::from([("secret name", 1.into())])).unwrap();
    run.json_create("places", Value::from([("Oslo", 1.into())])).unwrap();
    let fork = run.fork().unwrap();
    let look = |tx: &Transaction| {
        tx.json_get("people", "/secret name")?;
        tx.json_get("places", "/Oslo").map(drop)
    };
    let (of_run, of_fork) = (commit(&run, look), commit(&fork, look));
    let told = |run: &RunHandle, version| {
        let all = format!("{:?}", run.commits(Version::NEVER, 100).unwrap());
        let one = run.explain_change(&EntityRef::kv(run.id(), "written"), version, 0).unwrap().unwrap();
        let all = format!("{all} {one:?} {one}");
        (all.contains("secret"), all.contains("/Oslo"))
    };
    assert_eq!(told(&run, of_run), (true, true));
    run.erase(&EntityRef::json(run.id(), "people"), ErasedVersions::All, "asked to").unwrap();
    let expect_none = |runs: [&RunHandle; 2], what: &str| {
        assert_eq!(told(runs[0], of_run), (false, true), "{what}");
        assert_eq!(told(runs[1], of_fork), (false, true), "{what}, of the fork");
        let document = |name: &str, path: &str, version| ReadPlace::Document {
            name: name.into(),
            path: path.into(),
            version: Version(version),
        };
        let expected = [document("people", "", 2), document("places", "/Oslo", 3)];
        assert_eq!(reads_of(runs[0], of_run), expected, "{what}");
    };
    expect_none([&run, &fork], "as it is");
    for (run, name) in [(&run, "run.arc"), (&fork, "fork.arc")] {
        run.export(file(name)).unwrap();
    }
    database.compact(Compaction::Full).unwrap();
    expect_none([&run, &fork], "compacted");
    let files = disk.files();
    assert!(files.len() > 3);
    for path in files {
        let bytes = disk.bytes(&path);
        let is_there = bytes.windows(6).any(|window| window == b"secret");
        assert!(!is_there, "{}", path.display());
    }
    let into = open_at(&disk, "other", keep_all(1));
    let [run, fork] = ["run.arc", "fork.arc"].map(|name| into.import(file(name)).unwrap());
    expect_none([&run, &fork], "imported");
}

/// Transactions are as if one came after the other, so what each had read is what the commits in front of it say.
#[test]
fn what_transactions_had_read_is_what_the_commits_in_front_of_them_had_left() {
    let disk = disk(64);
    let database = recording(&disk, "store");
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let seed = seed();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let run = run.with_cause(Cause::Note(format!("thread {thread}")));
            scope.spawn(move || {
                let mut dice = Dice::new(seed.wrapping_add(thread));
                for _ in 0..40 {
                    let names: Vec<_> = (0..3).map(|_| format!("name/{}", dice.below(6))).collect();
                    run.transaction(|tx| {
                        tx.get(&names[0])?;
                        tx.cell_read(&names[1])?;
                        match names[0] < names[1] {
                            // A deletion alone would rest on its being there, at whatever version.
                            true => drop((tx.get(&names[2])?, tx.delete(&names[2])?)),
                            false => tx.put(&names[2], 1).map(drop)?,
                        }
                        tx.cell_set(&names[0], 1).map(drop)
                    })
                    .unwrap();
                }
            });
        }
    });
    let all = run.commits(Version(1), 10_000).unwrap().commits;
    assert_eq!(all.len(), 120);
    for commit in all {
        let places = commit.reads.expect("they are kept").places;
        assert!((2..=3).contains(&places.len()), "{places:?}");
        for place in places {
            let entity = place.entity(run.id()).unwrap();
            let in_front = run.explain_change(&entity, Version(commit.version.0 - 1), 0).unwrap();
            let is_deletion = |why: &strata::Explanation| {
                matches!(why.commit.changes.last().unwrap().effect, strata::ChangeEffect::Deleted)
            };
            let left = in_front.filter(|why| !is_deletion(why));
            let left = left.map_or(Version::NEVER, |why| why.commit.version);
            assert_eq!(place.version(), Some(left), "{entity} read by commit {}", commit.version);
        }
    }
}
