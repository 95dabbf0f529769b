//! Threads patch one JSON document: beside each other without a conflict, on one place without a loss.
//!
//! ```text
//! cargo run --release --example document -- [--threads N] [--patches N]
//! ```
//!
//! First every thread patches a stay of its own in one trip: places beside each other never conflict. Then all patch
//! the same sum in transactions: who comes late reads again. Between the two the document is looked at from all
//! sides. Anything lost is an error and a non-zero exit. Read in this order: `trip`, `contest`, `tour`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

#[path = "../show/command.rs"]
mod command;
mod contest;
#[path = "../show/figures.rs"]
mod figures;
mod tour;
mod trip;

use std::process::ExitCode;

use strata::{Database, Options, RunSpec, Writes};

use crate::command::{Words, start};
use crate::contest::{Contest, Played};
use crate::figures::{count, counted, rate, time};
use crate::trip::{TRIP, trip};

/// Errors cross threads here, so they can be sent.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USAGE: &str = "\
usage: cargo run --release --example document -- [--threads N] [--patches N]

  --threads N   how many threads patch the document at once, 1 to 64 (2)
  --patches N   how many patches each of them makes in each part (2,000)";

struct Arguments {
    threads: u64,
    patches: u64,
}

fn main() -> ExitCode {
    start(USAGE, parse, demonstrate)
}

fn parse(mut words: Words) -> std::result::Result<Option<Arguments>, String> {
    let mut arguments = Arguments { threads: 2, patches: 2_000 };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--threads" => arguments.threads = words.number(&word)?,
            "--patches" => arguments.patches = words.number(&word)?,
            other => return Err(format!("{other} is not an option")),
        }
    }
    match arguments.threads {
        1..=64 => Ok(Some(arguments)),
        threads => Err(format!("--threads {threads} is not within 1 to 64")),
    }
}

fn demonstrate(arguments: &Arguments) -> Result<()> {
    let place = tempfile::tempdir()?;
    let database = Database::open(place.path().join("document.db"), Options::default())?;
    let run = database.begin_run(RunSpec::named("trip-to-norway"))?;
    let Arguments { threads, patches } = *arguments;
    let created = run.json_create(TRIP, trip(threads))?;
    let before = run.snapshot()?;
    say!(
        "One document with {}, created by commit {}; {} {} each, twice\n",
        counted(threads, "stay", "stays"),
        created.version,
        counted(threads, "thread makes", "threads make"),
        counted(patches, "patch", "patches")
    );

    let contest = Contest { run: &run, threads, patches };
    let beside = contest.play_beside()?;
    if beside.conflicts() > 0 {
        return Err(format!("{} conflicts between places beside each other", beside.conflicts()).into());
    }
    let together = contest.play_together()?;
    print_table(&[beside, together]);

    tour::look_around(&run, &before, created.version)?;
    drop(before);
    Ok(database.close()?)
}

fn print_table(played: &[Played]) {
    let row = |name: &str, cell: &dyn Fn(&Played) -> String| {
        let cells: String = played.iter().map(|played| format!("{:>16}", cell(played))).collect();
        say!("  {name:<26}{cells}");
    };
    row("", &|played| played.name.to_owned());
    row("patches committed", &|played| count(played.patches));
    row("found in the document", &|played| count(played.found));
    row("closures that ran", &|played| count(played.closures));
    row("conflicts, tried again", &|played| count(played.conflicts()));
    row("time", &|played| time(played.elapsed));
    row("pace", &|played| rate(played.patches, played.elapsed));
}
