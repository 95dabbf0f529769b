//! How long after the beginning of `open` is the first read answered, and what does that depend on?
//!
//! A store of 1,000 runs is filled by single commits and closed: opening it, against its age in commits. Then a checkpoint is
//! made and so many bytes of log are written behind it; a copy taken meanwhile, as a killed process would leave it, is
//! opened: against the bytes of log. The run that is read is one that nobody has touched since the checkpoint, and one that
//! the log behind it has.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use strata::{Database, Options, Reads, RunHandle, RunId, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::copies::copy_store;
use strata_benches::figure::{Figure, Goal};
use strata_benches::report::Report;
use strata_benches::timing::{Rounds, time};
use strata_benches::workload::{Store, keys, value};

const RUN_COUNT: usize = 1_000;
const VALUE_SIZE: usize = 128;
const MIB: u64 = 1 << 20;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let mut report = Report::begin("opening", &arguments);
    for commits in arguments.pick(vec![10_000, 100_000, 1_000_000], vec![10_000]) {
        against_age(&arguments, commits, &mut report);
    }
    for mib in arguments.pick(vec![0, 1, 4, 16, 64], vec![1]) {
        against_log(&arguments, mib, &mut report);
    }
    report.end()
}

fn options() -> Options {
    Options { shards: Some(1), checkpoint_log_size: u64::MAX, ..Options::default() }
}

/// A store whose runs have `commits` commits together, each of another key of its run.
fn fill(store: &Store, commits: usize) -> Vec<RunHandle> {
    let runs: Vec<_> = (0..RUN_COUNT).map(|_| store.run().expect("a new store takes a run")).collect();
    store.put_each(&runs, &keys(commits / RUN_COUNT), &value(VALUE_SIZE));
    runs
}

/// Milliseconds until the run is read.
fn first_read(path: &Path, run: RunId) -> f64 {
    let mut database = None;
    let elapsed = time(|| {
        let opened = Database::open(path, options()).expect("the store opens");
        let read = opened.run(run).count("").expect("the run is there");
        assert!(read.value > 0);
        database = Some(opened);
    });
    database.map(Database::close).expect("it was just opened").expect("it closes");
    elapsed.as_secs_f64() * 1000.0
}

fn against_age(arguments: &Arguments, commits: usize, report: &mut Report) {
    let store = Store::with(&arguments.dir, options()).expect("a new store opens");
    let runs: Vec<_> = fill(&store, commits).iter().map(RunHandle::id).collect();
    let mut checkpoint = Rounds::new();
    checkpoint.push(time(|| drop(store.database.checkpoint())).as_secs_f64() * 1000.0);
    let directory = store.close().expect("the store closes").expect("it has a directory");
    let mut own = Rounds::new();
    for round in 0..arguments.pick(11, 2) {
        own.push(first_read(directory.path(), runs[round * 7 % runs.len()]));
    }
    let figure = Figure::new(format!("closed_first_read/{commits} commits"), "ms", own);
    report.add(&figure.goal(Goal::AtMost(50.0)).note("checkpoint_ms", checkpoint.median()));
}

fn against_log(arguments: &Arguments, mib: u64, report: &mut Report) {
    let store = Store::with(&arguments.dir, options()).expect("a new store opens");
    let runs = fill(&store, arguments.pick(1_000_000, 10_000));
    store.database.checkpoint().expect("there is space");
    let log_size = || {
        let stats = store.database.stats().expect("it is open");
        stats.shards[0].log.as_ref().map_or(0, |log| log.bytes)
    };
    let (before, value) = (log_size(), value(VALUE_SIZE));
    for number in 0.. {
        if log_size() - before >= mib * MIB {
            break;
        }
        // A tenth of the runs are at work.
        let run = &runs[number % (RUN_COUNT / 10)];
        for key in 0..100 {
            run.put(&format!("new/{number}/{key}"), value.as_str()).expect("an open store takes a put");
        }
    }
    store.database.sync().expect("an open store syncs");
    let (mut untouched, mut touched) = (Rounds::new(), Rounds::new());
    for _ in 0..arguments.pick(5, 1) {
        for (run, rounds) in [(RUN_COUNT - 1, &mut untouched), (0, &mut touched)] {
            let copy = tempfile::tempdir_in(&arguments.dir).expect("there is a place for a copy");
            let source = store.path().expect("a buffered store has a directory");
            copy_store(source, copy.path()).expect("a store can be copied");
            rounds.push(first_read(copy.path(), runs[run].id()));
        }
    }
    report.add(&Figure::new(format!("crashed_first_read/{mib} MiB of log"), "ms", untouched));
    report.add(&Figure::new(format!("crashed_first_read_of_a_changed_run/{mib} MiB of log"), "ms", touched));
}
