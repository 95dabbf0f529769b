//! The whole database on a simulated disk that fails at every point of its work, in every way.
//!
//! A mixed workload runs while one I/O call (or every one from there on) fails; then the process
//! dies, or the power does, and what the reopened store holds is compared with what was acknowledged.
//! By default a sample of the points is tried, another one every time; `STRATA_SWEEP=full` tries all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use strata::{
    Compaction, Database, Durability, Error, ErrorKind, KvScan, Options, Reads, Result, RunHandle, ShardState,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::sweep::{self, Fault};
use crate::support::{Dice, busy_options, eventually, open_on, script, seed};

const RUNS: [&str; 4] = ["plan", "search", "notes", "late"];
const ROUNDS: u64 = 14;

#[test]
fn a_fault_at_any_point_of_a_buffered_store_costs_nothing_that_was_promised() {
    sweep_workload(Durability::Buffered);
}

#[test]
fn a_fault_at_any_point_of_a_strict_store_costs_nothing_that_was_promised() {
    sweep_workload(Durability::Strict);
}

#[test]
fn a_fault_at_any_point_of_reopening_costs_nothing_and_the_next_open_succeeds() {
    watch_for_panics();
    let mut dice = Dice::new(seed());
    for durability in [Durability::Buffered, Durability::Strict] {
        let (disk, ledger) = crashed_store(durability, dice.roll());
        // The same seed cuts the power of the same moment in the same way, as often as wanted.
        let crash = dice.roll();
        let opened = disk.power_cycle(crash);
        drop(open_on(&opened, busy_options(durability, 2)).expect("a store without faults opens"));
        let count = opened.points();
        for fault in sweep::faults(count, 8, &sweep::KINDS, &mut dice) {
            let story = format!("{durability:?}, reopening, {fault}");
            let reopened = disk.power_cycle(crash);
            fault.arm(&reopened);
            let seen = open_with_fault(&reopened, durability, fault, &ledger, &story);
            let after = if dice.below(2) == 0 || fault.cuts_power() {
                reopened.power_cycle(dice.roll())
            } else {
                reopened.kill()
            };
            let found = reopen_and_compare(&after, durability, &ledger, Promise::Durable, &story);
            for (seen, found) in seen.iter().zip(found) {
                assert!(found >= *seen, "what recovery served is durable: {story}");
            }
        }
    }
    expect_no_panics("reopening");
}

/// What a workload was told about each run; versions, 0 for a run that does not exist.
#[derive(Clone, Debug, Default)]
struct Ledger {
    acknowledged: [u64; RUNS.len()],
    durable: [u64; RUNS.len()],
    /// The newest version that may exist: one above for an outcome that is unknown.
    possible: [u64; RUNS.len()],
    log_failed: bool,
}

/// Which acknowledgement a crash must respect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    Acknowledged,
    Durable,
}

fn sweep_workload(durability: Durability) {
    watch_for_panics();
    let mut dice = Dice::new(seed());
    let whole = SimDisk::new(dice.roll());
    let (database, ledger) = work(&whole, busy_options(durability, 2));
    drop(database);
    assert!(
        ledger.acknowledged.iter().all(|version| *version > ROUNDS),
        "without faults all is taken: {ledger:?}"
    );
    for fault in sweep::faults(whole.points(), 90, &sweep::KINDS, &mut dice) {
        one_fault(durability, fault, &mut dice, &format!("{durability:?}, {fault}"));
    }
    expect_no_panics("the workload");
}

/// One workload with one fault, one crash, one comparison.
fn one_fault(durability: Durability, fault: Fault, dice: &mut Dice, story: &str) {
    let disk = SimDisk::new(dice.roll());
    fault.arm(&disk);
    let (database, mut ledger) = work(&disk, options_for(durability, fault.kind));
    // What already failed becomes known; nothing fails from here on.
    if !fault.cuts_power() {
        disk.set_faults(Faults::none());
    }
    if let Some(database) = &database {
        settle(database, &mut ledger);
        check_while_open(database, durability, fault.kind, &mut ledger, story);
    }
    let (after, promise) = match dice.below(3) {
        0 if !fault.cuts_power() => {
            // A failed sync may have lost what only the kernel had; a kill loses nothing else.
            let after = disk.kill();
            drop(database);
            let has_lost = durability == Durability::Buffered && sweep::log_has_lost(&after);
            let promise = if has_lost { Promise::Durable } else { Promise::Acknowledged };
            (after, promise)
        }
        1 => {
            let promise = match database.map(Database::close) {
                Some(Ok(())) => Promise::Acknowledged,
                _ => Promise::Durable,
            };
            (disk.power_cycle(dice.roll()), promise)
        }
        _ => {
            let after = disk.power_cycle(dice.roll());
            drop(database);
            (after, Promise::Durable)
        }
    };
    reopen_and_compare(&after, durability, &ledger, promise, story);
}

/// Without power no run is read that has left memory, so none leaves.
fn options_for(durability: Durability, kind: FaultKind) -> Options {
    match kind {
        FaultKind::PowerCut => roomy_options(durability),
        _ => busy_options(durability, 2),
    }
}

fn roomy_options(durability: Durability) -> Options {
    Options { memory_budget: 1 << 30, ..busy_options(durability, 2) }
}

/// Some work of every kind; whatever fails is recorded, and the rest goes on.
fn work(disk: &SimDisk, options: Options) -> (Option<Database>, Ledger) {
    let mut ledger = Ledger::default();
    // Soon enough for several syncs on the way.
    let options = Options { sync_interval: Duration::from_millis(1), ..options };
    let database = match open_on(disk, options) {
        Ok(database) => database,
        Err(error) => {
            let expected = matches!(error.kind(), ErrorKind::Io | ErrorKind::Full | ErrorKind::LogFailed);
            assert!(expected, "a disk that fails is not mistaken for anything else: {error:?}");
            return (None, ledger);
        }
    };
    for round in 0..ROUNDS {
        for run in 0..RUNS.len() {
            // The last run is created half-way.
            if run < 3 || round >= ROUNDS / 2 {
                let count = if run == 3 { 3 } else { 1 };
                (0..count).for_each(|_| advance(&database, run, round % 4 == 2, &mut ledger));
            }
        }
        if round % 5 == 3 && database.sync().is_ok() {
            ledger.durable = ledger.acknowledged;
        }
        if round % 5 == 4 {
            advance_all(&database, &mut ledger);
        }
        if round % 6 == 5 {
            compact(&database, if round == 5 { Compaction::WalOnly } else { Compaction::Full });
        }
    }
    (Some(database), ledger)
}

/// One that fails costs nothing.
fn compact(database: &Database, compaction: Compaction) {
    if let Err(error) = database.compact(compaction) {
        let expected = [ErrorKind::Io, ErrorKind::Full, ErrorKind::LogFailed];
        assert!(expected.contains(&error.kind()), "a disk that fails is not mistaken for damage: {error:?}");
    }
}

/// The next commit of one run: its creation, or its next step.
fn advance(database: &Database, run: usize, strict: bool, ledger: &mut Ledger) {
    let version = ledger.acknowledged[run];
    let outcome = if version == 0 {
        // It is there from this answer on, even where a look at it would fail: it may have left memory.
        script::begin(database, RUNS[run]).map(|_| Durability::Buffered)
    } else {
        let handle = database.run(script::id_of(RUNS[run]));
        let handle = if strict { handle.with_durability(Durability::Strict) } else { handle };
        script::step(&handle, version).map(|commit| commit.durability)
    };
    record(database, run, outcome, ledger);
}

/// The next commit of every run there is, in one call.
fn advance_all(database: &Database, ledger: &mut Ledger) {
    let runs: Vec<usize> = (0..RUNS.len()).filter(|run| ledger.acknowledged[*run] > 0).collect();
    let next = |run: &usize| {
        let handle = database.run(script::id_of(RUNS[*run]));
        script::batch(&handle, ledger.acknowledged[*run]).expect("a step is within the limits")
    };
    let receipts = database.commit_all(runs.iter().map(next).collect()).expect("batches are sent");
    for (run, receipt) in runs.into_iter().zip(receipts) {
        let outcome = receipt.map(|receipt| receipt.commit.expect("a step changes something").durability);
        record(database, run, outcome, ledger);
    }
}

fn record(database: &Database, run: usize, outcome: Result<Durability>, ledger: &mut Ledger) {
    let version = ledger.acknowledged[run] + 1;
    match outcome {
        Ok(durability) => {
            assert_eq!(ledger.possible[run].max(version), version, "a failed log takes nothing more");
            ledger.acknowledged[run] = version;
            ledger.possible[run] = version;
            if durability == Durability::Strict {
                // The whole log before it is durable, whichever run it belongs to.
                let shard = database.shard_of(script::id_of(RUNS[run]));
                for (other, name) in RUNS.into_iter().enumerate() {
                    if database.shard_of(script::id_of(name)) == shard {
                        ledger.durable[other] = ledger.acknowledged[other];
                    }
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::LogFailed => {
            ledger.possible[run] = version;
            ledger.log_failed = true;
        }
        // No segment could be had, for want of space or because its preparation failed: nothing happened.
        Err(error) => {
            let nothing_happened = matches!(error.kind(), ErrorKind::Full | ErrorKind::Io);
            assert!(nothing_happened, "nothing else goes wrong: {error:?}");
        }
    }
}

/// Learns of failures that no call has told yet.
fn settle(database: &Database, ledger: &mut Ledger) {
    for _ in 0..3 {
        let stats = database.stats().expect("shards answer whatever their disk does");
        ledger.log_failed |= stats.shards.iter().any(|shard| shard.state == ShardState::LogFailed);
    }
}

/// Reads go on at what was acknowledged; a full disk that has space again takes writes again.
fn check_while_open(
    database: &Database,
    durability: Durability,
    kind: FaultKind,
    ledger: &mut Ledger,
    story: &str,
) {
    for (run, name) in RUNS.iter().enumerate() {
        let visible = script::expect_whole(database, name);
        assert_eq!(visible, ledger.acknowledged[run], "run {name} is visible as acknowledged: {story}");
    }
    if kind == FaultKind::NoSpace && !ledger.log_failed {
        for run in 0..RUNS.len() {
            let before = ledger.acknowledged[run];
            // The first write may still hear of the old refusal; it asks for space again.
            for _ in 0..3 {
                advance(database, run, durability == Durability::Strict, ledger);
            }
            settle(database, ledger);
            let served = ledger.acknowledged[run] > before || ledger.log_failed;
            assert!(served, "service resumes when space returns: {story}");
        }
    }
}

fn open_with_fault(
    disk: &SimDisk,
    durability: Durability,
    fault: Fault,
    ledger: &Ledger,
    story: &str,
) -> [u64; RUNS.len()] {
    match open_on(disk, roomy_options(durability)) {
        Ok(database) => {
            // A run is read from its image when it is first asked for, and its large values when they are: the fault may wait for that.
            let is_io = |error: &Error| error.kind() == ErrorKind::Io;
            for run in RUNS.map(|name| database.run(script::id_of(name))) {
                let read = run.list_values(&KvScan::default()).map(drop);
                let is_expected = |error: &Error| is_io(error) || error.kind() == ErrorKind::NotFound;
                assert!(read.as_ref().err().is_none_or(is_expected), "{read:?}: {story}");
            }
            disk.set_faults(Faults::none());
            let found = RUNS.map(|name| {
                if fault.cuts_power() {
                    // Without power nothing is read any more.
                    let info = database.get_run(script::id_of(name));
                    return info.ok().flatten().map_or(0, |info| info.version.0);
                }
                // One that is on its way may still meet the fault.
                let list = || database.run(script::id_of(name)).list_values(&KvScan::default());
                eventually("it is read again", || list().err().filter(is_io).is_none());
                script::expect_whole(&database, name)
            });
            for (run, found) in
                found.iter().enumerate().filter(|(_, found)| !fault.cuts_power() || **found > 0)
            {
                expect_in_range(run, *found, ledger, Promise::Durable, story);
            }
            found
        }
        Err(error) => {
            let expected = matches!(error.kind(), ErrorKind::Io | ErrorKind::Full | ErrorKind::LogFailed);
            assert!(expected, "a disk that fails is not mistaken for damage: {error:?}: {story}");
            [0; RUNS.len()]
        }
    }
}

/// Opens what a crash left, compares, writes on, closes, and opens once more.
fn reopen_and_compare(
    disk: &SimDisk,
    durability: Durability,
    ledger: &Ledger,
    promise: Promise,
    story: &str,
) -> [u64; RUNS.len()] {
    let database =
        open_on(disk, busy_options(durability, 2)).unwrap_or_else(|error| panic!("{error:?}: {story}"));
    let found = compare(&database, ledger, promise, story);
    for (run, name) in RUNS.iter().enumerate() {
        let handle = script::begin(&database, name).unwrap_or_else(|error| panic!("{error:?}: {story}"));
        take_step(&handle, found[run].max(1), story);
    }
    database.close().unwrap_or_else(|error| panic!("{error:?}: {story}"));
    let database =
        open_on(disk, busy_options(durability, 2)).unwrap_or_else(|error| panic!("{error:?}: {story}"));
    assert!(database.recovery().was_clean, "a closed store is clean: {story}");
    assert_eq!(database.recovery().bytes_cut(), 0, "a closed store has no torn tail: {story}");
    for (run, name) in RUNS.iter().enumerate() {
        assert_eq!(script::expect_whole(&database, name), found[run].max(1) + 1, "run {name}: {story}");
    }
    found
}

fn take_step(run: &RunHandle, number: u64, story: &str) {
    script::step(run, number)
        .unwrap_or_else(|error| panic!("a recovered store takes writes: {error:?}: {story}"));
}

fn compare(database: &Database, ledger: &Ledger, promise: Promise, story: &str) -> [u64; RUNS.len()] {
    let mut found = [0; RUNS.len()];
    for (run, name) in RUNS.iter().enumerate() {
        found[run] = script::expect_whole(database, name);
        expect_in_range(run, found[run], ledger, promise, story);
    }
    found
}

fn expect_in_range(run: usize, found: u64, ledger: &Ledger, promise: Promise, story: &str) {
    let least = match promise {
        Promise::Acknowledged => ledger.acknowledged[run],
        Promise::Durable => ledger.durable[run],
    };
    let range = least..=ledger.possible[run];
    assert!(range.contains(&found), "run {} is at {found} of {range:?}: {story}", RUNS[run]);
}

/// A store in the middle of its work, whose disk is about to lose power.
fn crashed_store(durability: Durability, seed: u64) -> (SimDisk, Ledger) {
    let disk = SimDisk::new(seed);
    let (database, mut ledger) = work(&disk, busy_options(durability, 2));
    let database = database.expect("a disk without faults serves");
    for run in 0..RUNS.len() {
        advance(&database, run, false, &mut ledger);
    }
    let crashed = disk.clone();
    let _ = disk.kill(); // from here on nothing of this process reaches the disk
    drop(database);
    (crashed, ledger)
}

static PANICS: AtomicU64 = AtomicU64::new(0);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Counts panics of the store's own threads, which it would survive in silence.
fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("strata-")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
                *LAST_PANIC.lock().unwrap() = info.to_string();
            }
            report(info);
        }));
    });
}

fn expect_no_panics(where_from: &str) {
    let count = PANICS.load(Ordering::SeqCst);
    assert_eq!(count, 0, "{where_from} panicked: {}", LAST_PANIC.lock().unwrap());
}
