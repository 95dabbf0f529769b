//! What does a fork cost, and what is it to read in one?
//!
//! Runs of 10 keys, of 10 thousand and of a million are forked again and again; keys at random are read in a run and in forks of
//! it; and ten thousand forks are made of a run of 100 MB. One shard, one client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use strata::{Database, Durability, Options, Reads, RunHandle, RunSpec, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::figure::{Figure, Goal};
use strata_benches::large_run::{fill, key, space};
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds};

fn main() -> ExitCode {
    match measure() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("forks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::read();
    let mut report = Report::begin("forks", &arguments);
    for (name, count) in
        [("10", 10), ("10_thousand", 10_000), ("a_million", arguments.pick(1_000_000, 50_000))]
    {
        for durability in [Durability::InMemory, Durability::Buffered] {
            let mode = if durability == Durability::InMemory { "in_memory" } else { "buffered" };
            let question = format!("fork_of_{name}_keys_{mode}");
            if !arguments.wants(&question) {
                continue;
            }
            let (mut rounds, mut gets) = (Rounds::new(), Rounds::new());
            for _ in 0..arguments.pick(5, 1) {
                let (fork, get) = forking(&arguments.dir, durability, count)?;
                rounds.push(fork);
                gets.push(get);
            }
            let figure = Figure::new(question, "us", rounds).against("a get before it", &gets);
            let goal = Goal::AtMost(20.0);
            report.add(&if durability == Durability::InMemory { figure.goal(goal) } else { figure });
        }
    }
    if arguments.wants("get_in_a_fork") {
        reading(&arguments, &mut report)?;
    }
    if arguments.wants("ten_thousand_forks") {
        ten_thousand(&arguments, &mut report)?;
    }
    Ok(report.end())
}

/// The median of many forks of a run that is changed between any two of them, and of a get before each, in microseconds.
fn forking(dir: &Path, durability: Durability, key_count: u64) -> Result<(f64, f64), Box<dyn Error>> {
    let scratch = tempfile::tempdir_in(dir)?;
    let options = Options { durability, shards: Some(1), ..Options::default() };
    let database = match durability {
        Durability::InMemory => Database::in_memory_with(options)?,
        _ => Database::open(scratch.path().join("strata.db"), options)?,
    };
    let run = database.create_run(RunSpec::default())?;
    fill(&run, key_count, 32)?;
    if durability != Durability::InMemory {
        // Not while all of it is being imaged.
        drop(database.checkpoint()?);
    }
    let (mut forks, mut latencies, mut gets) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..500_u64 {
        run.put(&key(number % key_count), number as i64)?;
        // The put has copied what the last fork shares, for so long that client and shard may have begun to sleep.
        (0..9).try_for_each(|_| run.get(&key(0)).map(drop))?;
        let began = Instant::now();
        run.get(&key(0))?;
        gets.push(began.elapsed().as_nanos() as f64 / 1e3);
        let began = Instant::now();
        forks.push(run.fork()?);
        latencies.push(began.elapsed().as_nanos() as f64 / 1e3);
    }
    database.close()?;
    let median = |mut latencies: Vec<f64>| {
        latencies.sort_by(f64::total_cmp);
        latencies[latencies.len() / 2]
    };
    Ok((median(latencies), median(gets)))
}

/// Gets of keys at random in a run and in a fork of it that has changed some of its own, in turn.
fn reading(arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let key_count = arguments.pick(1_000_000, 50_000);
    let database = Database::in_memory_with(Options { shards: Some(1), ..Options::default() })?;
    let run = database.create_run(RunSpec::default())?;
    fill(&run, key_count, 32)?;
    let fork = run.fork()?;
    for number in 0..1_000 {
        fork.put(&key(number * 7 % key_count), 1)?;
    }
    let (mut of_run, mut of_fork) = (Rounds::new(), Rounds::new());
    for round in 0..arguments.pick(7, 1) {
        for (run, rounds) in [(&run, &mut of_run), (&fork, &mut of_fork)] {
            let latencies = Latencies::of(arguments.pick(100_000, 5_000), |number| {
                let number = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15 + round) % key_count;
                assert!(run.get(&key(number)).is_ok_and(|found| found.is_some()));
            });
            rounds.push(latencies.median());
        }
    }
    let figure = Figure::new("get_in_a_fork", "us", of_fork).against("in its parent", &of_run);
    report.add(&figure.goal(Goal::RatioAtMost(1.5)));
    database.close()?;
    Ok(())
}

/// What ten thousand forks of a run of 100 MB add to memory, and, once they are imaged and the store is closed, on disk.
fn ten_thousand(arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let (key_count, fork_count) = (arguments.pick(100_000, 2_000), arguments.pick(10_000, 500));
    let fork_all = |run: &RunHandle| (0..fork_count).map(|_| run.fork()).collect::<Result<Vec<_>, _>>();
    let write_all = |forks: &[RunHandle]| {
        forks.iter().enumerate().try_for_each(|(number, fork)| fork.put("own", number as i64).map(drop))
    };
    let database = Database::in_memory_with(Options { shards: Some(1), ..Options::default() })?;
    let run = database.create_run(RunSpec::default())?;
    fill(&run, key_count, 1_000)?;
    let before = resident_size();
    let forks = fork_all(&run)?;
    let memory = resident_size().saturating_sub(before);
    write_all(&forks)?;
    let memory_written = resident_size().saturating_sub(before);
    database.close()?;

    let scratch = tempfile::tempdir_in(&arguments.dir)?;
    let path = scratch.path().join("strata.db");
    let options = Options { durability: Durability::Buffered, shards: Some(1), ..Options::default() };
    let database = Database::open(&path, options.clone())?;
    let run = database.create_run(RunSpec::default())?;
    fill(&run, key_count, 1_000)?;
    let settle = |database: Database| -> Result<(), strata::Error> {
        // Another run changes, so that the image of the large one stays where it is.
        let other = database.begin_run(RunSpec::named("other"))?;
        for number in 0..5 {
            other.put("settled", number)?;
            drop(database.checkpoint()?);
        }
        database.close()
    };
    settle(database)?;
    let images = path.join("SNAPSHOTS");
    let before = space(&images)?;
    let database = Database::open(&path, options.clone())?;
    let run = database.run(run.id());
    let logged = |database: &Database| {
        database.stats().map(|stats| stats.shards[0].log.as_ref().map_or(0, |log| log.bytes))
    };
    let forks = fork_all(&run)?;
    let fork_log = logged(&database)?;
    settle(database)?;
    // Segments have their size from the beginning, so of the log what was written counts.
    let fork_space = space(&images)?.saturating_sub(before) + fork_log;
    let database = Database::open(&path, options)?;
    write_all(&forks.iter().map(|fork| database.run(fork.id())).collect::<Vec<_>>())?;
    let all_log = logged(&database)? + fork_log;
    settle(database)?;
    let space = space(&images)?.saturating_sub(before) + all_log;
    let mut add = |question: &str, bytes: u64, goal: Option<f64>| {
        let mut rounds = Rounds::new();
        rounds.push(bytes as f64 / 1e6);
        let figure = Figure::new(question, "MB", rounds);
        report.add(&match goal {
            Some(most) => figure.goal(Goal::AtMost(most)),
            None => figure,
        });
    };
    add("ten_thousand_forks_memory", memory, Some(50.0));
    add("ten_thousand_forks_with_a_key_each_memory", memory_written, None);
    add("ten_thousand_forks_log", fork_log, None);
    add("ten_thousand_forks_disk", fork_space, Some(10.0));
    add("ten_thousand_forks_with_a_key_each_disk", space, None);
    Ok(())
}

/// Bytes of this process that are in memory, as the kernel counts them.
fn resident_size() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}
