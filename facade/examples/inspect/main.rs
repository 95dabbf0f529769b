//! Looks into a store without changing it: its segments, records and runs, and what recovery would find.
//!
//! ```text
//! cargo run --release --example inspect -- STORE
//! ```
//!
//! The store must not be open elsewhere. Every log is read from end to end and every checksum is checked; a torn
//! tail is told, not cut. Damage below what was proven durable is told with file and offset, and makes the exit
//! status non-zero. Read in this order: `contents`, `tables`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

#[path = "../show/command.rs"]
mod command;
mod contents;
mod date;
#[path = "../show/figures.rs"]
mod figures;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use strata_wal::disk::Disk;
use strata_wal::{StoreDirectory, WalError};

use crate::command::{Words, start};
use crate::contents::Contents;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo run --release --example inspect -- STORE [--runs N] [--records N]

  STORE        the directory of a store that is not open elsewhere
  --runs N     list at most N runs (20)
  --records N  list the latest N records of each log (10)";

struct Arguments {
    store: PathBuf,
    run_count_max: usize,
    record_count_max: usize,
}

fn main() -> ExitCode {
    start(USAGE, parse, inspect)
}

fn parse(mut words: Words) -> std::result::Result<Option<Arguments>, String> {
    let mut store = None;
    let (mut run_count_max, mut record_count_max) = (20, 10);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--runs" => run_count_max = words.number(&word)?,
            "--records" => record_count_max = words.number(&word)?,
            option if option.starts_with('-') => return Err(format!("{option} is not an option")),
            path if store.is_none() => store = Some(path.into()),
            path => return Err(format!("one store at a time: {path} is a second one")),
        }
    }
    let store = store.ok_or("STORE is missing")?;
    Ok(Some(Arguments { store, run_count_max, record_count_max }))
}

fn inspect(arguments: &Arguments) -> Result<()> {
    let directory = open(&arguments.store)?;
    let manifest = directory.describe();
    say!("Store {}\n", arguments.store.display());
    tables::print_manifest(&manifest);
    let mut contents = Contents::new(arguments.record_count_max);
    let mut damaged = 0;
    for log in &manifest.logs {
        let found = contents.read(&directory.log_source(log.log));
        tables::print_log(log, &found);
        damaged += u64::from(found.is_err());
    }
    tables::print_runs(&contents.runs(&manifest), arguments.run_count_max);
    if !contents.unread.is_empty() {
        say!("\n  and {} forks of older versions, which are not put together here", contents.unread.len());
    }
    tables::print_records(&contents);
    match damaged {
        0 => Ok(()),
        logs => Err(format!(
            "{} of {} logs are damaged below what was proven durable; restore the store from a copy",
            logs,
            manifest.logs.len()
        )
        .into()),
    }
}

fn open(store: &Path) -> Result<StoreDirectory> {
    StoreDirectory::open_read_only(Arc::new(Disk::new()), store, None).map_err(|error| {
        let advice = match &error {
            WalError::AlreadyOpen { .. } => "; close it first, or inspect a copy of a closed store",
            WalError::MissingStore { .. } => "; `agent -- DIR --store PATH` makes one",
            _ => "",
        };
        format!("{error}{advice}").into()
    })
}
