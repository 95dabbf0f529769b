//! Dumps what is provably good of a store that may be damaged anywhere, without changing it.
//!
//! ```text
//! cargo run --release --example salvage -- STORE INTO
//! ```
//!
//! The store must not be open for writing. Every run is dumped at the newest version that is proven, as lines of JSON in a file of its own;
//! `report.json` says of each how far that is and why it goes no further. What the lines mean stands in `docs/recovery.md`. The exit
//! status is 1 when the store is damaged: then the dump is there all the same.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

#[path = "../show/command.rs"]
mod command;

use std::path::PathBuf;
use std::process::ExitCode;

use strata::{Damage, SalvageOutcome, SalvageReport, SalvagedRun, salvage};

use crate::command::{Words, start};

const USAGE: &str = "\
usage: cargo run --release --example salvage -- STORE INTO

  STORE  the directory of a store that nobody has open to write it
  INTO   a directory that is missing or empty, outside of the store";

/// So many runs, and so many damaged places, are told here; the report has all of them.
const SHOWN_MAX: usize = 20;

struct Arguments {
    store: PathBuf,
    into: PathBuf,
}

fn main() -> ExitCode {
    start(USAGE, parse, run)
}

fn parse(words: Words) -> Result<Option<Arguments>, String> {
    let (mut store, mut into) = (None, None);
    for word in words {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            option if option.starts_with('-') => return Err(format!("{option} is not an option")),
            path if store.is_none() => store = Some(path.into()),
            path if into.is_none() => into = Some(path.into()),
            path => return Err(format!("one store and one directory at a time: {path} is one too many")),
        }
    }
    let (store, into) = (store.ok_or("STORE is missing")?, into.ok_or("INTO is missing")?);
    Ok(Some(Arguments { store, into }))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let report = salvage(&arguments.store, &arguments.into).map_err(|error| error.to_string())?;
    say!("Store {}, {}", arguments.store.display(), report.store);
    say!("  {} segments with {} whole records were read", report.segments, report.records);
    say!("  {}", counts(&report));
    tell(
        report.runs.iter().filter(|run| run.stopped.is_some()),
        "runs of which something is lost",
        line_of_run,
    );
    let doubted = |run: &&SalvagedRun| run.doubt.is_some();
    tell(report.runs.iter().filter(doubted), "runs that may have had later commits", line_of_run);
    tell(report.damage.iter(), "damaged places", line_of_damage);
    say!("\nThe dump is in {}.", arguments.into.display());
    match report.damage.len() {
        0 => Ok(()),
        count => Err(format!("{count} places of the store are damaged; what is proven is in the dump")),
    }
}

fn counts(report: &SalvageReport) -> String {
    use SalvageOutcome::{Deleted, Lost, Partial, Whole};
    let count = |outcome| report.runs.iter().filter(|run| run.outcome == outcome).count();
    let counts = [Whole, Partial, Deleted, Lost].map(|outcome| format!("{} {outcome}", count(outcome)));
    format!("{} runs: {}", report.runs.len(), counts.join(", "))
}

fn tell<T>(things: impl Iterator<Item = T>, what: &str, line: impl Fn(T) -> String) {
    let things: Vec<T> = things.collect();
    if things.is_empty() {
        return;
    }
    let count = things.len();
    say!("\n{count} {what}:");
    for thing in things.into_iter().take(SHOWN_MAX) {
        say!("  {}", line(thing));
    }
    if count > SHOWN_MAX {
        say!("  and {} more, all of them in report.json", count - SHOWN_MAX);
    }
}

fn line_of_run(run: &SalvagedRun) -> String {
    let name = run.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let why = run.stopped.as_ref().or(run.doubt.as_ref()).map(line_of_damage).unwrap_or_default();
    format!("{}{name}: {}, version {} of {}: {why}", run.id, run.outcome, run.version, run.known)
}

fn line_of_damage(damage: &Damage) -> String {
    format!("{} at offset {}: {}", damage.file.display(), damage.offset, damage.reason)
}
