//! What a handle says about a transaction: its durability, its cause, its operation id.

use std::cell::Cell;

use strata::{Cause, Durability, Effect, EntityRef, Error, ErrorKind, OperationId, Reads, RunSpec, Writes};
use strata_wal::sim::SimDisk;

use crate::support::{one_run, open_count, open_on, options, script, sim_path};

const ID: OperationId = OperationId([9; 16]);

#[test]
fn a_transaction_has_the_durability_of_its_handle() {
    let disk = SimDisk::new(71);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let done = run.transaction(|tx| tx.put("a", 1)).unwrap();
    assert_eq!(done.receipt.commit.unwrap().durability, Durability::Buffered);
    let strict = run.with_durability(Durability::Strict);
    let done = strict.transaction(|tx| tx.put("a", 2)).unwrap();
    assert_eq!(done.receipt.commit.unwrap().durability, Durability::Strict);
    let done = strict.execute(|run| run.put("b", 3)).unwrap();
    assert_eq!(done.receipt.commit.unwrap().durability, Durability::Strict);
    let weaker = run.with_durability(Durability::InMemory);
    for error in [
        weaker.transaction(|tx| tx.put("a", 4)).unwrap_err(),
        weaker.execute(|run| run.put("a", 4)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.message().contains("can only be raised"), "{error}");
    }
    let after = disk.power_cycle(3);
    drop(database);
    let database = open_on(&after, options(Durability::Buffered, 1)).unwrap();
    let run = database.run(script::id_of("run"));
    let values = ["a", "b"].map(|key| run.get(key).unwrap().and_then(|found| found.value.as_int()));
    assert_eq!(values, [Some(2), Some(3)], "power may fail behind a strict commit");
}

#[test]
fn the_cause_of_a_transaction_is_stored_with_its_commit() {
    let disk = SimDisk::new(72);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let why = run.with_cause(Cause::Note("the budget was cut".into()));
    why.transaction(|tx| {
        tx.get("a")?;
        tx.put("a", 1)
    })
    .unwrap();
    why.execute(|run| run.put("a", 2)).unwrap();
    let segment = disk.bytes(&sim_path().join("WAL/000-0000000001.seg"));
    let found = segment.windows(18).filter(|bytes| *bytes == b"the budget was cut").count();
    assert_eq!(found, 2);
    let long = run.with_cause(Cause::Note("x".repeat(5_000)));
    assert_eq!(long.transaction(|tx| tx.put("a", 3)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(open_count(&database), 0);
}

#[test]
fn a_transaction_with_an_operation_id_happens_once_after_reopening_too() {
    let disk = SimDisk::new(73);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let once = run.with_operation_id(ID);
    let pay = |tx: &strata::Transaction| {
        tx.get("a")?;
        tx.append("pay", 120)?;
        tx.increment("paid", 120)
    };
    assert_eq!(run.receipt(ID).unwrap(), None);
    let first = once.transaction(pay).unwrap();
    let expect_refused = |once: &strata::RunHandle| {
        let ran = Cell::new(false);
        let again = once.transaction(|tx| {
            ran.set(true);
            pay(tx)
        });
        let by_hand = once.begin();
        pay(&by_hand).unwrap();
        let closure = once.execute(|run| run.append("pay", 120));
        for error in [again.unwrap_err(), by_hand.commit().unwrap_err(), closure.unwrap_err()] {
            assert_eq!(
                (error.kind(), error.entity()),
                (ErrorKind::AlreadyExists, Some(&EntityRef::run(once.id())))
            );
        }
        assert!(!ran.get(), "the closure would see its own effects");
        let receipt = once.receipt(ID).unwrap().unwrap();
        assert_eq!(Some(receipt.commit), first.receipt.commit);
        let expected = [Effect::Sequence { first: 0, count: 1 }, Effect::Integer(120)];
        assert_eq!(
            (receipt.effects.as_slice(), first.receipt.effects.as_slice()),
            (&expected[..], &expected[..])
        );
        assert_eq!(once.event_count().unwrap().value, 1);
    };
    expect_refused(&once);
    assert_eq!(open_count(&database), 0);
    drop(database);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    expect_refused(&database.run(run.id()).with_operation_id(ID));
}

#[test]
fn an_executed_closure_with_an_operation_id_happens_once_after_reopening_too() {
    let disk = SimDisk::new(74);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    let first = run.with_operation_id(ID).execute(|run| run.increment("n", 1)).unwrap();
    drop(database);
    let database = open_on(&disk, options(Durability::Buffered, 1)).unwrap();
    let once = database.run(run.id()).with_operation_id(ID);
    let error = once.execute(|run| run.increment("n", 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    let receipt = once.receipt(ID).unwrap().unwrap();
    assert_eq!((Some(receipt.commit), receipt.effects), (first.receipt.commit, vec![Effect::Integer(1)]));
}

/// A transaction under the id of a put was told that it had been committed: it never was.
#[test]
fn an_id_of_another_write_is_refused_as_such() {
    let (_database, run) = one_run();
    let once = run.with_operation_id(ID);
    once.put("a", 1).unwrap();
    let by_hand = once.begin();
    by_hand.put("a", 2).unwrap();
    let refused = [
        once.transaction(|tx| tx.put("a", 2)).unwrap_err(),
        once.execute(|run| run.put("a", 2)).unwrap_err(),
        by_hand.commit().unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.message().contains("belongs to another write"), "{error}");
    }
    let other = run.with_operation_id(OperationId([8; 16]));
    other.transaction(|tx| tx.put("b", 1)).unwrap();
    assert_eq!(other.put("b", 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// The second try of a conflict ran although the first sender's twin had been committed meanwhile: its closure saw
/// its own effects, and its error was returned in place of "it has happened".
#[test]
fn a_twin_that_was_faster_is_told_before_the_closure_runs_again() {
    let (_database, run) = one_run();
    run.put("left", 100).unwrap();
    let once = run.with_operation_id(ID);
    let spend = |tx: &strata::Transaction| {
        let left = tx.get("left")?.unwrap().value.as_int().unwrap();
        if left < 100 {
            return Err(Error::new(ErrorKind::NotFound, "nothing is left"));
        }
        tx.put("left", left - 100)
    };
    let mut tries = 0;
    let error = once
        .transaction(|tx| {
            tries += 1;
            let spent = spend(tx);
            if tries == 1 {
                once.transaction(spend).unwrap();
            }
            spent
        })
        .unwrap_err();
    assert_eq!((error.kind(), tries), (ErrorKind::AlreadyExists, 1), "{error}");
}

#[test]
fn a_transaction_that_changes_nothing_leaves_no_receipt() {
    let (_database, run) = one_run();
    let once = run.with_operation_id(ID);
    for _ in 0..2 {
        assert_eq!(once.transaction(|tx| tx.delete("none")).unwrap().receipt.commit, None);
        assert_eq!(once.execute(|run| run.delete("none")).unwrap().receipt.commit, None);
    }
    assert_eq!(run.receipt(ID).unwrap(), None);
}
