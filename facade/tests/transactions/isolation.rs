//! Runs are strictly serializable, whoever meets whom.
//!
//! Clients run transactions on one run at once, and every read and write of theirs is recorded. In general one then
//! looks for cycles among the dependencies of transactions (Adya, "Weak Consistency", 1999; Elle, Kingsbury and
//! Alvaro, VLDB 2020), because nobody knows in which order a database took them. Here the order is given: commits of
//! a run are numbered, and reads name versions. So the checker replays the commits in the order of their numbers into
//! plain maps, and each transaction has to have read exactly the state just before its own commit, a read-only one
//! that at the version it names; and who began after another had returned has to stand behind it. That is strict
//! serializability with the order as its witness, and it costs one pass. Which anomaly a wrong read is follows from
//! whether all reads were true at one version at all, and from what was read and written.
//!
//! The controls run the same plans with reads of which the commit knows nothing. If the checker found nothing there,
//! it would prove nothing here.

use std::collections::BTreeMap;

use strata::{Database, Durability, RunHandle, RunSpec};

use crate::support::history::{History, Plan, Source, run_clients};
use crate::support::serial::{Anomaly, anomalies};
use crate::support::{Dice, open_count, options, seed};

/// Steps of each client.
const STEPS: u64 = 60;

fn appends(dice: &mut Dice, number: i64) -> Plan {
    let first = dice.below(3);
    match dice.below(8) {
        0 => Plan::Audit,
        1..=3 => Plan::Append { lists: vec![], number },
        4..=5 => Plan::Append { lists: vec![first], number },
        _ => Plan::Append { lists: vec![first, (first + 1) % 3], number },
    }
}

fn counters(dice: &mut Dice, _: i64) -> Plan {
    Plan::Count { counter: dice.below(2) }
}

fn skews(dice: &mut Dice, number: i64) -> Plan {
    Plan::Skew { writes_left: dice.below(2) == 0, number }
}

fn inserts(dice: &mut Dice, number: i64) -> Plan {
    match dice.below(6) {
        0 => Plan::Audit,
        roll => Plan::Insert { key: format!("set/{}", number % 1_000_003), by_list: roll < 3 },
    }
}

fn transfers(dice: &mut Dice, _: i64) -> Plan {
    match dice.below(3) {
        0 => Plan::Audit,
        _ => Plan::Transfer { amount: dice.below(9) as i64 - 4 },
    }
}

/// A database whose files, if it has any, end with it.
fn store(durability: Durability) -> (Option<tempfile::TempDir>, Database, RunHandle) {
    let options = options(durability, 1);
    let (dir, database) = if durability == Durability::InMemory {
        (None, Database::in_memory_with(options).unwrap())
    } else {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path().join("strata.db"), options).unwrap();
        (Some(dir), database)
    };
    let run = database.create_run(RunSpec::named("run")).unwrap();
    (dir, database, run)
}

/// The plans with validated reads, in memory and buffered: no anomaly, and conflicts enough to mean something.
fn expect_serializable(name: &str, plan: fn(&mut Dice, i64) -> Plan) {
    let seed = seed();
    let (mut tries, mut conflicts) = (0, 0);
    for durability in [Durability::InMemory, Durability::Buffered] {
        let (_dir, database, run) = store(durability);
        let history = run_clients(&run, seed, STEPS, Source::Transaction, plan);
        let found = anomalies(&history, &run);
        assert!(found.is_empty(), "{name}, {durability:?}, seed {seed}: {:#?}", &found[..found.len().min(3)]);
        assert_eq!(open_count(&database), 0);
        tries += history.tries;
        conflicts += history.conflicts;
    }
    println!("{name}: {conflicts} conflicts in {tries} tries");
    assert!(
        conflicts * 10 >= tries,
        "{name}, seed {seed}: {conflicts} conflicts in {tries} tries prove little"
    );
}

/// The same plans with reads that nobody validates: the anomaly shows within a few histories.
fn expect_anomaly(name: &str, source: Source, plan: fn(&mut Dice, i64) -> Plan, expected: Anomaly) {
    let seed = seed();
    for round in 0..20 {
        let (_dir, _database, run) = store(Durability::InMemory);
        let history: History = run_clients(&run, seed + round, STEPS, source, plan);
        let mut kinds: BTreeMap<Anomaly, u64> = BTreeMap::new();
        for (kind, _) in anomalies(&history, &run) {
            *kinds.entry(kind).or_default() += 1;
        }
        println!("{name}: {kinds:?}");
        assert!(!kinds.contains_key(&Anomaly::Gap) && !kinds.contains_key(&Anomaly::FinalState));
        if kinds.contains_key(&expected) {
            return;
        }
    }
    panic!("{name}, seed {seed}: {expected:?} went unnoticed, or never happened");
}

#[test]
fn lists_that_are_appended_to_are_serializable() {
    expect_serializable("appends", appends);
}

#[test]
fn counters_that_are_read_and_written_are_serializable() {
    expect_serializable("counters", counters);
}

#[test]
fn writes_that_depend_on_two_keys_are_serializable() {
    expect_serializable("skews", skews);
}

#[test]
fn inserts_into_a_range_that_was_looked_at_are_serializable() {
    expect_serializable("inserts", inserts);
}

#[test]
fn transfers_keep_their_invariant_inside_every_closure() {
    expect_serializable("transfers", transfers);
}

#[test]
fn counters_read_outside_their_transaction_lose_updates() {
    expect_anomaly("counters", Source::Snapshot, counters, Anomaly::LostUpdate);
}

#[test]
fn lists_read_outside_their_transaction_lose_updates_and_miss_events() {
    expect_anomaly("appends", Source::Snapshot, appends, Anomaly::LostUpdate);
    expect_anomaly("appends", Source::Snapshot, appends, Anomaly::Phantom);
}

#[test]
fn two_keys_read_outside_their_transaction_are_skewed() {
    expect_anomaly("skews", Source::Snapshot, skews, Anomaly::WriteSkew);
}

#[test]
fn a_range_read_outside_its_transaction_has_phantoms() {
    expect_anomaly("inserts", Source::Snapshot, inserts, Anomaly::Phantom);
}

#[test]
fn reads_of_the_run_itself_are_not_repeatable() {
    expect_anomaly("transfers", Source::Run, transfers, Anomaly::NonRepeatableRead);
}

/// Each kind of disorder that no broken read brings about is made by hand.
#[test]
fn a_history_that_was_tampered_with_is_noticed() {
    let (_dir, _database, run) = store(Durability::InMemory);
    let sound = || run_clients(&run, seed(), 10, Source::Transaction, |_, _| Plan::Count { counter: 0 });
    let mut history = sound();
    assert!(anomalies(&history, &run).is_empty());
    let kinds =
        |history: &History| -> BTreeMap<Anomaly, String> { anomalies(history, &run).into_iter().collect() };
    for done in &mut history.transactions {
        (done.begun, done.ended) = (u64::MAX - done.ended, u64::MAX - done.begun);
    }
    assert!(kinds(&history).contains_key(&Anomaly::RealTime), "time ran backwards");
    let newest = history.transactions.iter().map(|done| done.version).max().unwrap();
    history.transactions.retain(|done| done.version != newest - 3);
    assert!(kinds(&history).contains_key(&Anomaly::Gap), "a commit is missing");
    history.transactions.retain(|done| done.version != newest);
    assert!(kinds(&history).contains_key(&Anomaly::FinalState), "the last commit is missing");
    let other = history.transactions.iter_mut().find(|done| done.version == newest - 1).unwrap();
    (other.writes, other.version) = (Vec::new(), newest - 6);
    assert!(kinds(&history).contains_key(&Anomaly::OtherVersion), "it does not name what it saw");
}
