//! What does a store serve that is four times as large as the memory it may take, and does it keep to that?
//!
//! A child of this process fills runs until they take four times `memory_budget`, and then reads and writes keys of them,
//! four of five times in a tenth of the runs. The parent looks at the memory of the child from outside. At the end the child
//! reads one key of each of many runs that have left memory. Buffered, one shard, one client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use strata::{Database, Durability, Options, Reads, RunHandle, RunSpec, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::figure::{Figure, Goal};
use strata_benches::report::Report;
use strata_benches::timing::Rounds;

/// Says to the child how much memory runs may take, in MiB.
const BUDGET: &str = "STRATA_BENCH_BUDGET";
/// Keys of a run, and bytes of a value.
const KEY_COUNT: u64 = 500;
const VALUE_SIZE: usize = 100;
/// How many cold runs are read at the end.
const COLD_READS: usize = 400;

fn main() -> ExitCode {
    let outcome = match std::env::var(BUDGET) {
        Ok(budget) => budget.parse().map_err(Into::into).and_then(child),
        Err(_) => parent(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("beyond_memory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parent() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::read();
    let mut report = Report::begin("beyond_memory", &arguments);
    let budget: u64 = arguments.pick(128, 16);
    let names =
        ["operations", "operation_p50", "operation_p99", "cold_read_p50", "cold_read_p99", "memory_said"];
    let mut rounds: Vec<Rounds> = names.iter().map(|_| Rounds::new()).collect();
    let mut resident = Rounds::new();
    for _ in 0..arguments.pick(3, 1) {
        let mut child = Command::new(std::env::current_exe()?)
            .env(BUDGET, budget.to_string())
            .env("TMPDIR", &arguments.dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut largest = 0;
        while child.try_wait()?.is_none() {
            largest = largest.max(resident_size(child.id()));
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut said = String::new();
        child.stdout.take().expect("it was asked for").read_to_string(&mut said)?;
        let figures: Vec<f64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        if figures.len() != names.len() {
            return Err(format!("the child said {said:?}").into());
        }
        figures.iter().zip(&mut rounds).for_each(|(figure, rounds)| rounds.push(*figure));
        resident.push(largest as f64 / (1 << 20) as f64);
    }
    let bound = 1.3 * budget as f64 + 64.0;
    report.add(&Figure::new("resident", "MiB", resident).goal(Goal::AtMost(bound)));
    for (name, rounds) in names.into_iter().zip(rounds) {
        let unit = match name {
            "operations" => "/s",
            "memory_said" => "MiB",
            _ => "us",
        };
        report.add(&Figure::new(name, unit, rounds));
    }
    Ok(report.end())
}

/// Bytes of a process that are in memory, as the kernel counts them.
fn resident_size(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn child(budget: u64) -> Result<ExitCode, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let options = Options {
        durability: Durability::Buffered,
        shards: Some(1),
        memory_budget: budget << 20,
        ..Options::default()
    };
    let database = Database::open(dir.path().join("strata.db"), options)?;
    let (mut runs, mut total) = (Vec::new(), 0);
    while total < 4 * (budget << 20) {
        let run = database.create_run(RunSpec::default())?;
        fill(&run)?;
        // What a run of these takes, of which one is enough to know all.
        let first: u64 = database.stats()?.shards[0].memory;
        total = if runs.is_empty() { first } else { total / runs.len() as u64 * (runs.len() as u64 + 1) };
        runs.push(run);
    }
    let mut operations = Vec::new();
    let (mut dice, started) = (0x9e37_79b9_7f4a_7c15_u64, Instant::now());
    let mut draw = |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    let few = runs.len() as u64 / 10;
    while started.elapsed() < Duration::from_secs(10) {
        let run = &runs[if draw(5) < 4 { draw(few) } else { draw(runs.len() as u64) } as usize];
        let key = format!("key/{}", draw(KEY_COUNT));
        let began = Instant::now();
        match draw(10) {
            0..7 => assert!(run.get(&key)?.is_some()),
            _ => drop(run.put(&key, "w".repeat(VALUE_SIZE)).map(|commit| commit.version)?),
        }
        operations.push(began.elapsed());
    }
    let count = operations.len() as f64 / started.elapsed().as_secs_f64();
    let memory = database.stats()?.shards[0].memory;
    // The runs that were filled first and are not among the few have left memory.
    let mut cold = Vec::new();
    for run in runs[few as usize..].iter().step_by(runs.len().div_ceil(COLD_READS)) {
        let loads = database.stats()?.shards[0].loads;
        let began = Instant::now();
        assert!(run.get("key/0")?.is_some());
        let took = began.elapsed();
        if database.stats()?.shards[0].loads > loads {
            cold.push(took);
        }
    }
    let quantile = |times: &mut Vec<Duration>, part: f64| {
        times.sort_unstable();
        times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6
    };
    println!(
        "{count} {} {} {} {} {}",
        quantile(&mut operations, 0.5),
        quantile(&mut operations, 0.99),
        quantile(&mut cold, 0.5),
        quantile(&mut cold, 0.99),
        memory as f64 / (1 << 20) as f64
    );
    database.close()?;
    Ok(ExitCode::SUCCESS)
}

fn fill(run: &RunHandle) -> Result<(), Box<dyn Error>> {
    run.put_many((0..KEY_COUNT).map(|key| (format!("key/{key}"), "v".repeat(VALUE_SIZE))))?;
    Ok(())
}
