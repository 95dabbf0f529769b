//! A program of effects on a simulated disk that fails at every point of its work, in every way: what was acknowledged is returned and not
//! called again, nothing is there twice, and nothing is there that was not called.
//!
//! By default a sample of the points is tried, another one every time; `STRATA_SWEEP=full` tries all.

use std::cell::{Cell, RefCell};

use strata::{Compaction, Database, Durability, Reads, Result, RunHandle, RunSpec, Value};
use strata_wal::sim::{FaultKind, SimDisk};

use crate::support::{Dice, busy_options, open_on, seed, sweep};

const EFFECTS: usize = 30;

/// What the world and the program know of each effect.
struct Ledger {
    /// How often each was called.
    called: RefCell<[i64; EFFECTS]>,
    /// What it was last said to have come to.
    told: RefCell<[Option<Value>; EFFECTS]>,
    /// Whether what was told may be taken back, once.
    may_lose: Cell<bool>,
}

impl Ledger {
    fn new() -> Ledger {
        let told = RefCell::new([const { None }; EFFECTS]);
        Ledger { called: RefCell::new([0; EFFECTS]), told, may_lose: Cell::new(false) }
    }

    fn calls(&self) -> i64 {
        self.called.borrow().iter().sum()
    }
}

/// Executes the program from its beginning; every tenth effect is behind a checkpoint or a compaction, which may fail.
fn execute(database: &Database, run: &RunHandle, ledger: &Ledger, story: &str) -> Result<()> {
    let execution = run.begin_execution();
    for place in 0..EFFECTS {
        if place % 10 == 5 {
            let _ = database.compact(if place == 5 { Compaction::WalOnly } else { Compaction::Full });
        }
        let name = ["search", "think", "write"][place % 3];
        let performed = execution.effect(name, place as i64, || {
            let mut called = ledger.called.borrow_mut();
            called[place] += 1;
            // So that it is seen which of several calls was recorded.
            Ok::<_, strata::Error>(called[place] * 1000 + place as i64)
        })?;
        let told = ledger.told.borrow_mut()[place].replace(performed.value.clone());
        if !ledger.may_lose.get() {
            let is_same = told.is_none_or(|told| told == performed.value);
            assert!(is_same, "effect {place} is what it was told to be: {story}");
        }
        let called = ledger.called.borrow()[place];
        let result = performed.value.as_int().unwrap();
        let was_called = result % 1000 == place as i64 && (1..=called).contains(&(result / 1000));
        assert!(was_called, "effect {place} came to {result} in {called} calls: {story}");
    }
    Ok(())
}

fn begin(database: &Database) -> Result<RunHandle> {
    database.begin_run(RunSpec::named("run"))
}

/// What was told is recorded, once, and was called as often at least.
fn compare(database: &Database, ledger: &Ledger, story: &str) {
    let run = begin(database).unwrap_or_else(|error| panic!("{error}: {story}"));
    let recorded = run.effects(None, 1000).unwrap().effects;
    let mut places: Vec<_> =
        recorded.iter().map(|effect| effect.value.input.as_int().unwrap() as usize).collect();
    let count = places.len();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), count, "none is there twice: {story}");
    assert!(places.into_iter().eq(0..count), "they are there in their order: {story}");
    for (place, told) in ledger.told.borrow().iter().enumerate() {
        let found = recorded.get(place).map(|effect| &effect.value.result);
        assert!(told.is_none() || found == told.as_ref() || ledger.may_lose.get(), "effect {place}: {story}");
        assert!(found.is_none() || ledger.called.borrow()[place] > 0, "effect {place} was called: {story}");
    }
}

fn sweep(durability: Durability, kinds: &[FaultKind]) {
    let mut dice = Dice::new(seed());
    let whole = SimDisk::new(dice.roll());
    let (database, ledger) = (open_on(&whole, busy_options(durability, 1)).unwrap(), Ledger::new());
    execute(&database, &begin(&database).unwrap(), &ledger, "without faults").unwrap();
    compare(&database, &ledger, "without faults");
    assert_eq!(ledger.calls(), EFFECTS as i64);
    drop(database);
    for fault in sweep::faults(whole.points(), 60, kinds, &mut dice) {
        let story = format!("{durability:?}, {fault}");
        let disk = SimDisk::new(dice.roll());
        fault.arm(&disk);
        let ledger = Ledger::new();
        let opened = open_on(&disk, busy_options(durability, 1));
        let work = |database: &Database| execute(database, &begin(database)?, &ledger, &story);
        let has_ended = opened.as_ref().is_ok_and(|database| work(database).is_ok());
        let loses_power = fault.cuts_power() || (durability == Durability::Strict && dice.below(2) == 0);
        let after = if loses_power { disk.power_cycle(dice.roll()) } else { disk.kill() };
        let may_lose = durability == Durability::Buffered && sweep::log_has_lost(&after);
        ledger.may_lose.set(may_lose);
        drop(opened);
        let database = open_on(&after, busy_options(durability, 1));
        let database = database.unwrap_or_else(|error| panic!("it opens again: {error}: {story}"));
        compare(&database, &ledger, &story);
        // It goes on, with one call at most that is made again; and then with none.
        let calls = ledger.calls();
        work(&database).unwrap_or_else(|error| panic!("{error}: {story}"));
        if !may_lose {
            let again = ledger.calls() - EFFECTS as i64;
            assert!((0..=1).contains(&again), "{again} effects were called again: {story}");
            assert!(!has_ended || ledger.calls() == calls, "nothing of what had ended is called: {story}");
        }
        ledger.may_lose.set(false);
        let calls = ledger.calls();
        let fork = begin(&database).unwrap().fork().unwrap();
        execute(&database, &fork, &ledger, &story).unwrap();
        work(&database).unwrap();
        assert_eq!(ledger.calls(), calls, "nothing is called again: {story}");
        compare(&database, &ledger, &story);
    }
}

#[test]
fn a_fault_at_any_point_has_no_recorded_effect_called_again() {
    for durability in [Durability::Buffered, Durability::Strict] {
        sweep(durability, &[FaultKind::Error, FaultKind::NoSpace, FaultKind::Torn]);
    }
}

#[test]
fn a_power_cut_at_any_point_has_no_effect_of_a_strict_store_called_again() {
    sweep(Durability::Strict, &[FaultKind::PowerCut]);
}
