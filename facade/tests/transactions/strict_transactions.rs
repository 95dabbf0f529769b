//! Transactions, snapshots and closures tell nobody what a crash could take back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Barrier};

use strata::{Database, Durability, Error, ErrorKind, Reads, RunSpec, Value, Version, Writes};
use strata_wal::sim::SimDisk;

use crate::support::gate::{Gate, Opener, messages, open_gated, settled_messages, under_way};
use crate::support::{eventually, open_count, open_on, options, script};

fn int(reader: &impl Reads, key: &str) -> i64 {
    reader.get(key).unwrap().and_then(|found| found.value.as_int()).unwrap_or(0)
}

#[test]
fn what_a_transaction_or_snapshot_sees_is_told_once_it_is_durable() {
    let (disk, gate) = (SimDisk::new(91), Arc::new(Gate::new()));
    let database = open_gated(&disk, &gate, Durability::Strict);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("a", 1).unwrap();
    let early = run.begin();
    assert_eq!(int(&early, "a"), 1);
    gate.close();
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let write = under_way(scope, &database, || run.put("a", 2).unwrap());
        let read = under_way(scope, &database, || run.transaction(|tx| tx.get("a")).unwrap().value);
        let snapshot = under_way(scope, &database, || run.snapshot().unwrap().version());
        let closure = under_way(scope, &database, || run.execute(|run| run.get("a")).unwrap().value);
        assert_eq!(int(&early, "a"), 1, "an older picture is served on");
        assert_eq!(write.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(read.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(snapshot.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(closure.try_recv(), Err(TryRecvError::Empty));
        gate.open();
        let commit = write.recv().unwrap();
        for found in [read.recv().unwrap(), closure.recv().unwrap()] {
            assert_eq!(
                found.map(|found| (found.value, found.version)),
                Some((Value::Int(2), commit.version))
            );
        }
        assert_eq!(snapshot.recv(), Ok(commit.version));
    });
}

#[test]
fn what_was_taken_back_ends_whoever_saw_it() {
    let (disk, gate) = (SimDisk::new(92), Arc::new(Gate::new()));
    let database = open_gated(&disk, &gate, Durability::Strict);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("a", 1).unwrap();
    let early = run.begin();
    early.get("a").unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let opener = Opener(&gate);
        let _write = under_way(scope, &database, || run.put("a", 2).map(drop));
        let seen = under_way(scope, &database, || {
            let tx = run.begin();
            let first = tx.get("a").map(drop);
            let second = tx.get("a").map(drop);
            [first, second, tx.commit().map(drop)].map(|result| result.map_err(|error| error.kind()))
        });
        let snapshot = under_way(scope, &database, || run.snapshot().map(drop));
        // Its own error tells of the state that is taken back.
        let closure = under_way(scope, &database, || {
            run.execute(|run| {
                let seen = run.get("a")?.unwrap().value;
                Err::<(), _>(Error::new(ErrorKind::NotFound, format!("a is {seen}")))
            })
        });
        let _after = disk.power_cycle(5);
        drop(opener);
        let failed = Err(ErrorKind::LogFailed);
        assert_eq!(
            seen.recv(),
            Ok([failed, failed, Ok(())]),
            "reads are refused; there was nothing to commit"
        );
        assert_eq!(snapshot.recv().unwrap().unwrap_err().kind(), ErrorKind::LogFailed);
        assert_eq!(closure.recv().unwrap().unwrap_err().kind(), ErrorKind::LogFailed);
        assert_eq!(int(&early, "a"), 1);
        assert_eq!(run.snapshot().unwrap().version(), Version(2), "what is left can be looked at");
    });
    drop(early);
    assert_eq!(open_count(&database), 0);
}

/// A conflict is answered once the rival commit can be seen, so that the next try does not meet it again: otherwise
/// all tries would be spent while one sync is under way.
#[test]
fn a_conflict_in_strict_mode_does_not_burn_its_retries_within_one_sync() {
    let (disk, gate) = (SimDisk::new(93), Arc::new(Gate::new()));
    let database = open_gated(&disk, &gate, Durability::Strict);
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("n", 0).unwrap();
    let (tries, read, wait) = (AtomicU64::new(0), Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        let _opener = Opener(&gate);
        let (read, wait, tries, run) = (&read, &wait, &tries, &run);
        let transaction = scope.spawn(move || {
            run.transaction(|tx| {
                // Counted before the first read, which would itself wait for the sync.
                let is_first = tries.fetch_add(1, Ordering::SeqCst) == 0;
                let seen = int(tx, "n");
                if is_first {
                    read.wait();
                    wait.wait();
                }
                tx.put("n", seen + 1)
            })
        });
        read.wait();
        gate.close();
        let rival = under_way(scope, &database, || run.increment("n", 10).map(drop));
        let served = settled_messages(&database);
        wait.wait();
        let mut asked = 0;
        eventually("the commit has been refused", || {
            asked += 1;
            messages(&database) > served + asked
        });
        for _ in 0..500 {
            messages(&database);
        }
        assert_eq!(tries.load(Ordering::SeqCst), 1, "nobody tries again while the rival's sync is under way");
        gate.open();
        rival.recv().unwrap().unwrap();
        transaction.join().unwrap().unwrap();
    });
    assert_eq!((tries.load(Ordering::SeqCst), int(&run, "n")), (2, 11));
}

/// The same on a real disk: four clients on one key, and each of them runs its closure at most once for every sync.
#[test]
fn strict_rivals_on_a_real_disk_run_once_for_each_sync_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path().join("strata.db"), options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("n", 0).unwrap();
    let (clients, times) = (4, 10);
    let syncs_before = database.stats().unwrap().syncs();
    let tries = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for _ in 0..times {
                    run.transaction(|tx| {
                        tries.fetch_add(1, Ordering::Relaxed);
                        let seen = int(tx, "n");
                        tx.put("n", seen + 1)
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(int(&run, "n"), clients * times);
    let (tries, syncs) = (tries.load(Ordering::Relaxed), database.stats().unwrap().syncs() - syncs_before);
    assert!(syncs >= (clients * times) as u64, "each of these commits waits for the one before it");
    assert!(tries <= clients as u64 * (syncs + 1), "{tries} tries within {syncs} syncs");
}

#[test]
fn a_strict_closure_or_transaction_is_durable_when_it_is_answered() {
    for seed in 0..5 {
        let disk = SimDisk::new(seed);
        let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
        let run = database.create_run(RunSpec::named("run")).unwrap();
        for number in 1..=seed as i64 {
            let done = run.execute(move |run| run.increment("n", number)).unwrap();
            assert_eq!(done.receipt.commit.unwrap().durability, Durability::Strict);
        }
        run.transaction(|tx| tx.append("x", int(tx, "n"))).unwrap();
        let after = disk.power_cycle(seed);
        drop(database);
        let after = open_on(&after, options(Durability::Strict, 1)).unwrap();
        let head = after.run(script::id_of("run")).event_head().unwrap().unwrap();
        assert_eq!(head.payload, Value::Int((seed * (seed + 1) / 2) as i64));
    }
}
