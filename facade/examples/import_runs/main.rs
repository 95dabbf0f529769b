//! Records real agent runs in every durability mode, opens the stores again and compares every message.
//!
//! ```text
//! cargo run --release --example import_runs -- FILE
//! ```
//!
//! FILE is a JSON list of runs `{task_id, trial, reward, info, traj}`; `traj` is the conversation. Every message
//! becomes an event of its run; task, trial and reward become its metadata, and reward 1 its status Completed.
//! Each mode writes twice, into a store of its own: a call for each message, as a live agent does, and one atomic
//! call for all messages of a run. Read in this order: `recorded`, `import`, `compare`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

mod compare;
#[path = "../show/figures.rs"]
mod figures;
mod import;
mod progress;
mod recorded;
#[path = "../show/values.rs"]
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use strata::{Database, Durability};

use crate::compare::compare;
use crate::figures::{count, counted, per_second, rate, size, time};
use crate::import::{Call, Way, import};
use crate::recorded::Recorded;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo run --release --example import_runs -- FILE [--store FOLDER]

  FILE            a JSON list of recorded runs; `agent --record FILE` writes one
  --store FOLDER  keep the stores in this folder, to look into them with the example `inspect`";

fn main() -> ExitCode {
    let (file, folder) = match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("error: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match demonstrate(&file, folder.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Arguments = (PathBuf, Option<PathBuf>);

fn parse(mut words: impl Iterator<Item = String>) -> std::result::Result<Option<Arguments>, String> {
    let (mut file, mut folder) = (None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--store" => folder = Some(words.next().ok_or("--store needs a folder")?.into()),
            option if option.starts_with('-') => return Err(format!("{option} is not an option")),
            name if file.is_none() => file = Some(name.into()),
            name => return Err(format!("one file at a time: {name} is a second one")),
        }
    }
    file.map(|file| Some((file, folder))).ok_or("FILE is missing".to_owned())
}

/// What one way of importing cost.
struct Measured {
    way: Way,
    write: Duration,
    log_size: Option<u64>, // bytes; none in memory
    reopen: Option<Duration>,
    compared: u64,
}

fn demonstrate(file: &Path, folder: Option<&Path>) -> Result<()> {
    let runs = recorded::read(file)?;
    let events: u64 = runs.iter().map(|run| run.messages.len() as u64).sum();
    let bytes: u64 = runs.iter().map(Recorded::size).sum();
    say!("Recorded runs of {}\n", file.display());
    say!(
        "  runs    {:>9}   {} solved",
        count(runs.len() as u64),
        runs.iter().filter(|run| run.is_solved()).count()
    );
    say!("  events  {:>9}   one for each message", count(events));
    say!(
        "  bytes   {:>9}   of JSON in the messages, {} on average\n",
        size(bytes),
        size(bytes / events.max(1))
    );

    let temporary = tempfile::tempdir()?;
    let below = folder.unwrap_or(temporary.path());
    let mut measured = Vec::new();
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
        for call in [Call::Message, Call::Run] {
            let way = Way { durability, call };
            measured.push(measure(way, &runs, below).map_err(|error| format!("{way}: {error}"))?);
        }
    }
    print_table(&measured, events, bytes);
    if folder.is_some() {
        say!(
            "\nLook into one: cargo run --release --example inspect -- {}",
            measured[2].way.store(below).display()
        );
    }
    Ok(())
}

fn measure(way: Way, runs: &[Recorded], folder: &Path) -> Result<Measured> {
    let store = way.store(folder);
    if way.is_logged() && store.exists() {
        return Err(format!("{} is there already: name a fresh folder with --store", store.display()).into());
    }
    if way.is_logged() {
        std::fs::create_dir_all(folder)?;
    }
    let database = way.open(&store)?;
    let write = import(&database, runs, way)?;
    let log_size = log_size(&database)?;
    let (database, reopen) = reopen(database, way, &store)?;
    let compared = compare(&database, runs)?;
    database.close()?;
    Ok(Measured { way, write, log_size, reopen, compared })
}

/// Closes the store and opens it from its log; one in memory has nothing to be opened from.
fn reopen(database: Database, way: Way, store: &Path) -> Result<(Database, Option<Duration>)> {
    if !way.is_logged() {
        return Ok((database, None));
    }
    database.close()?;
    let started = Instant::now();
    Ok((way.open(store)?, Some(started.elapsed())))
}

fn log_size(database: &Database) -> Result<Option<u64>> {
    let stats = database.stats()?;
    let sizes = stats.shards.iter().map(|shard| shard.log.as_ref().map(|log| log.bytes));
    Ok(sizes.sum())
}

fn print_table(measured: &[Measured], events: u64, bytes: u64) {
    say!(
        "  {:<9} {:<8} {:>10} {:>12} {:>7} {:>12} {:>7} {:>9}  compared with the file",
        "mode",
        "a call a",
        "time",
        "events",
        "ratio",
        "log",
        "ratio",
        "reopened"
    );
    let slowest = measured.iter().map(|way| way.write).max().unwrap_or_default();
    for row in measured {
        let call = if row.way.call == Call::Message { "message" } else { "run" };
        let faster = per_second(events, row.write) / per_second(events, slowest);
        let (log, log_ratio) = row.log_size.map_or(("-".to_owned(), "-".to_owned()), |log| {
            (size(log), format!("{:.2} x", log as f64 / bytes.max(1) as f64))
        });
        say!(
            "  {:<9} {call:<8} {:>10} {:>12} {:>7} {log:>12} {log_ratio:>7} {:>9}  {}",
            format!("{:?}", row.way.durability),
            time(row.write),
            rate(events, row.write),
            format!("{faster:.1} x"),
            row.reopen.map_or("-".to_owned(), time),
            counted(row.compared, "equal message", "equal messages"),
        );
    }
    say!("\n  time includes the sync at the end; ratios are to the slowest row and to the bytes of JSON");
}
