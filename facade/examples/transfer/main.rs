//! Threads move money between the accounts of one run, and nobody ever sees a sum that is wrong.
//!
//! ```text
//! cargo run --release --example transfer -- [--threads N] [--transfers N] [--mode memory|buffered|strict]
//! ```
//!
//! A transfer reads two accounts, writes both and appends an event, as one commit. All threads work on the same few
//! accounts, first by `transaction`, which runs a closure again when another commit came between, then by `execute`,
//! which sends the closure to the run's shard, where it never has to. Meanwhile an observer adds all accounts up
//! inside transactions of its own. At the end the events must explain every balance; anything else is an error and a
//! non-zero exit. Read in this order: `bank`, `contest`, `audit`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

mod audit;
mod bank;
#[path = "../show/command.rs"]
mod command;
mod contest;
#[path = "../show/figures.rs"]
mod figures;

use std::path::Path;
use std::process::ExitCode;

use strata::{Database, Durability, Options, RunSpec};

use crate::audit::audit;
use crate::bank::{ACCOUNTS, OPENING, SUM};
use crate::command::{Words, start};
use crate::contest::{Form, Played, play};
use crate::figures::{count, counted, rate, time};

/// Errors cross threads here, so they can be sent.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USAGE: &str = "\
usage: cargo run --release --example transfer -- [--threads N] [--transfers N] [--mode MODE]

  --threads N     how many threads move money at once, 1 to 64 (4)
  --transfers N   how many transfers all of them ask for together (2,000)
  --mode MODE     memory, buffered or strict: what a commit is promised (buffered)";

struct Arguments {
    threads: u64,
    transfers: u64,
    durability: Durability,
}

fn main() -> ExitCode {
    start(USAGE, parse, demonstrate)
}

fn parse(mut words: Words) -> std::result::Result<Option<Arguments>, String> {
    let mut arguments = Arguments { threads: 4, transfers: 2_000, durability: Durability::Buffered };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--threads" => arguments.threads = words.number(&word)?,
            "--transfers" => arguments.transfers = words.number(&word)?,
            "--mode" => arguments.durability = mode(&words.value(&word)?)?,
            other => return Err(format!("{other} is not an option")),
        }
    }
    match arguments.threads {
        1..=64 => Ok(Some(arguments)),
        threads => Err(format!("--threads {threads} is not within 1 to 64")),
    }
}

fn mode(name: &str) -> std::result::Result<Durability, String> {
    match name {
        "memory" => Ok(Durability::InMemory),
        "buffered" => Ok(Durability::Buffered),
        "strict" => Ok(Durability::Strict),
        other => Err(format!("{other:?} is not a mode: memory, buffered or strict")),
    }
}

fn demonstrate(arguments: &Arguments) -> Result<()> {
    let place = tempfile::tempdir()?;
    let database = open(place.path(), arguments.durability)?;
    say!(
        "{} for {} between {ACCOUNTS} accounts of {}, {}\n",
        counted(arguments.threads, "thread asks", "threads ask"),
        counted(arguments.transfers, "transfer", "transfers"),
        count(OPENING as u64),
        arguments.durability
    );
    let mut played = Vec::new();
    for form in [Form::Transaction, Form::Execute] {
        let run = database.begin_run(RunSpec::named(form.name()))?;
        let opened = bank::open_accounts(&run)?;
        let result = play(&run, form, arguments.threads, arguments.transfers)?;
        audit(&run, opened, result.moved)?;
        played.push(result);
    }
    print_table(&played);
    say!("\nIn both");
    say!("  sum        {}, in every observation and at the end", count(SUM as u64));
    say!("  commits    one for each transfer made, with one event in it");
    say!("  events     explain every balance, from the first to the last");
    say!("  chain      valid");
    Ok(database.close()?)
}

fn open(place: &Path, durability: Durability) -> Result<Database> {
    let options = Options { durability, ..Options::default() };
    Ok(match durability {
        Durability::InMemory => Database::in_memory_with(options)?,
        _ => Database::open(place.join("bank.db"), options)?,
    })
}

fn print_table(played: &[Played]) {
    let row = |name: &str, cell: &dyn Fn(&Played) -> String| {
        let cells: String = played.iter().map(|played| format!("{:>14}", cell(played))).collect();
        say!("  {name:<26}{cells}");
    };
    row("", &|played| played.form.name().to_owned());
    row("transfers made", &|played| count(played.moved));
    row("refused for lack of money", &|played| count(played.refused));
    row("closures that ran", &|played| count(played.closures));
    row("closures that ran again", &|played| count(played.closures - played.moved - played.refused));
    row("sums observed", &|played| count(played.observed));
    row("time", &|played| time(played.elapsed));
    row("pace", &|played| rate(played.moved + played.refused, played.elapsed));
}
