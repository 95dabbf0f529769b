//! Workers share jobs through leases; some stop half-way, and yet every job is done exactly once.
//!
//! ```text
//! cargo run --release --example coordination -- [--workers N] [--jobs N]
//! ```
//!
//! A worker claims a job by a cell that expires. The version of that cell is its token, which it presents with the
//! result. Every second worker stops once while it holds a lease; the lease runs out, another takes the job over, and
//! when the first one wakes, its late result is refused for its old token. The table is the run's own events; that
//! they may follow each other as they do is checked, and anything else is an error and a non-zero exit. Read in this
//! order: `jobs`, `worker`, `story`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

#[path = "../show/command.rs"]
mod command;
#[path = "../show/figures.rs"]
mod figures;
mod jobs;
mod story;
mod worker;

use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;

use strata::{Database, Options, Reads, RunHandle, RunSpec};

use crate::command::{Words, start};
use crate::figures::{count, counted};
use crate::jobs::LEASE;

/// Errors cross threads here, so they can be sent.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USAGE: &str = "\
usage: cargo run --release --example coordination -- [--workers N] [--jobs N]

  --workers N   how many workers, 2 to 64; every second one stops once (4)
  --jobs N      how many jobs, at least one a worker (12)";

struct Arguments {
    workers: u32,
    jobs: u32,
}

fn main() -> ExitCode {
    start(USAGE, parse, demonstrate)
}

fn parse(mut words: Words) -> std::result::Result<Option<Arguments>, String> {
    let mut arguments = Arguments { workers: 4, jobs: 12 };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--workers" => arguments.workers = words.number(&word)?,
            "--jobs" => arguments.jobs = words.number(&word)?,
            other => return Err(format!("{other} is not an option")),
        }
    }
    match arguments {
        Arguments { workers, .. } if !(2..=64).contains(&workers) => {
            Err(format!("--workers {workers} is not within 2 to 64"))
        }
        Arguments { workers, jobs } if jobs < workers => {
            Err(format!("--jobs {jobs} is less than one a worker: there are {workers}"))
        }
        arguments => Ok(Some(arguments)),
    }
}

fn demonstrate(arguments: &Arguments) -> Result<()> {
    let Arguments { workers, jobs } = *arguments;
    let place = tempfile::tempdir()?;
    let database = Database::open(place.path().join("jobs.db"), Options::default())?;
    let run = database.begin_run(RunSpec::named("jobs"))?;
    say!(
        "{workers} workers share {}, each claim a lease of {} ms\n",
        counted(jobs.into(), "job", "jobs"),
        LEASE.as_millis()
    );

    share(&run, workers, jobs)?;

    let end = run.snapshot()?;
    let counts = story::retell(&end)?;
    story::check_results(&end, jobs)?;
    let stopped = (1..=workers).filter(|&worker| worker::stops(worker)).count() as u64;
    if counts.done != u64::from(jobs) || counts.claimed_again < stopped || counts.refused < stopped {
        return Err(format!("{jobs} jobs and {stopped} stopped workers came to {counts:?}").into());
    }
    if !end.verify_chain()?.valid {
        return Err("the chain of events is broken".into());
    }
    say!("\n  done            {} of {jobs} jobs, each exactly once and with its result", count(counts.done));
    say!("  claimed again   {}, when a lease had run out", counted(counts.claimed_again, "job", "jobs"));
    say!("  refused         {} with an old token", counted(counts.refused, "late result", "late results"));
    say!("  renewed         {} by workers that needed longer", counted(counts.renewed, "lease", "leases"));
    drop(end);
    Ok(database.close()?)
}

/// Lets the workers do the jobs, each on a thread of its own.
fn share(run: &RunHandle, workers: u32, jobs: u32) -> Result<()> {
    let start = &Barrier::new(workers as usize);
    thread::scope(|scope| {
        let workers: Vec<_> =
            (1..=workers).map(|worker| scope.spawn(move || worker::work(run, worker, jobs, start))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })
}
