//! Trials of one task are a tree: where the next one does something else it becomes a fork, and any two are compared.
//!
//! ```text
//! cargo run --release --example trials -- FILE [--tasks N|all] [--words]
//! ```
//!
//! FILE is a JSON list of recorded runs `{task_id, trial, reward, traj}`, as the example `import_runs` reads it. A step is
//! a tool call: with `--words` it is a message instead, which hardly ever is the same in two trials. The first trial of a
//! task is a run. Each further one is compared with what is there, step by step, and becomes a fork of the trial that it
//! has the most steps in common with, of the version behind the last of these; only what follows is written. At its
//! end it says how it came out. Then any two trials of a task are compared by `View::diff`, which has to tell the step that
//! the file says. Read in this order: `steps`, `family`, `pairs`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

#[path = "../show/command.rs"]
mod command;
mod family;
#[path = "../show/figures.rs"]
mod figures;
mod pairs;
#[path = "../import_runs/recorded.rs"]
#[expect(dead_code, reason = "the example import_runs uses the rest")]
mod recorded;
#[path = "../import_runs/reservations.rs"]
#[expect(dead_code, reason = "the example import_runs uses the rest")]
mod reservations;
mod steps;
#[path = "../import_runs/tool_calls.rs"]
mod tool_calls;
#[path = "../show/values.rs"]
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use strata::{Compaction, Database, Options};

use crate::command::{Words, start};
use crate::family::{Family, Sharing};
use crate::figures::{count, counted, share, size, time};
use crate::reservations::Reservations;
use crate::steps::{Task, Unit};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo run --release --example trials -- FILE [--tasks N|all] [--words]

  FILE       a JSON list of recorded runs, several trials of each task
  --tasks N  how many tasks to show, or all of them (5)
  --words    compare what was said, message by message, instead of which tools were called";

struct Arguments {
    file: PathBuf,
    shown: usize,
    unit: Unit,
}

fn main() -> ExitCode {
    start(USAGE, parse, demonstrate)
}

fn parse(mut words: Words) -> std::result::Result<Option<Arguments>, String> {
    let (mut file, mut shown, mut unit) = (None, 5, Unit::Call);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--words" => unit = Unit::Message,
            "--tasks" => {
                shown = match words.value(&word)?.as_str() {
                    "all" => usize::MAX,
                    number => {
                        number.parse().map_err(|_| format!("{number:?} is not a number and not `all`"))?
                    }
                }
            }
            option if option.starts_with('-') => return Err(format!("{option} is not an option")),
            name if file.is_none() => file = Some(name.into()),
            name => return Err(format!("one file at a time: {name} is a second one")),
        }
    }
    Ok(Some(Arguments { file: file.ok_or("FILE is missing")?, shown, unit }))
}

/// A store, and what it came to.
struct Written {
    database: Database,
    families: Vec<Family>,
}

fn demonstrate(arguments: &Arguments) -> Result<()> {
    let Arguments { file, shown, unit } = arguments;
    let recorded = recorded::read(file, &Reservations::default())?;
    let tasks = steps::tasks(&recorded, *unit)?;
    let place = tempfile::tempdir()?;
    let (shared, apart) = (place.path().join("shared.db"), place.path().join("apart.db"));

    let started = Instant::now();
    let Written { database, families } = write(&shared, &tasks, Sharing::Forks)?;
    let (lineage, mut pair_count) = (database.lineage()?, 0);
    for (index, (task, family)) in tasks.iter().zip(&families).enumerate() {
        let pairs = family.pairs(task)?;
        pair_count += pairs.len() as u64;
        if index < *shown {
            family.show(&database, &lineage, task)?;
            pairs::show(&pairs);
        }
    }
    if tasks.len() > *shown {
        say!("... and {}; --tasks all shows them\n", counted((tasks.len() - shown) as u64, "task", "tasks"));
    }
    let elapsed = started.elapsed();
    let shared = sizes(database, &shared)?;
    let apart = sizes(write(&apart, &tasks, Sharing::Nothing)?.database, &apart)?;

    let sum = |part: fn(&Family) -> u64| families.iter().map(part).sum::<u64>();
    let (steps, written) = (sum(Family::step_count), sum(Family::written_count));
    let (trials, forks) = (recorded.len() as u64, (recorded.len() - tasks.len()) as u64);
    say!("Together, written, compared and shown in {}", time(elapsed));
    say!("  tasks    {:>9}   {} pairs of trials compared", count(tasks.len() as u64), count(pair_count));
    say!("  trials   {:>9}   {} of them forks", count(trials), count(forks));
    say!(
        "  steps    {:>9}   {} of them written, {} shared",
        count(steps),
        count(written),
        share(steps - written, steps)
    );
    for (name, shared, apart) in [
        ("log", shared.log, apart.log),
        ("images", shared.images, apart.images),
        ("history", shared.history, apart.history),
    ] {
        let apart = format!("{} without forks", size(apart));
        say!("  {name:<8} {:>9}   {apart}", size(shared));
    }
    Ok(())
}

fn write(store: &Path, tasks: &[Task<'_>], sharing: Sharing) -> Result<Written> {
    let database = Database::open(store, Options::default())?;
    let families =
        tasks.iter().map(|task| Family::write(&database, task, sharing)).collect::<Result<Vec<_>>>()?;
    Ok(Written { database, families })
}

/// How many bytes a store takes.
struct Sizes {
    log: u64,     // bytes of records as they were written
    images: u64,  // bytes of the runs as they are, which the store opens with
    history: u64, // bytes of what they were before
}

/// Puts the log away and closes the store.
fn sizes(database: Database, store: &Path) -> Result<Sizes> {
    let log =
        database.stats()?.shards.iter().filter_map(|shard| shard.log.as_ref()).map(|log| log.bytes).sum();
    database.compact(Compaction::Full)?;
    database.close()?;
    Ok(Sizes { log, images: size_of(&store.join("SNAPSHOTS"))?, history: size_of(&store.join("DATA"))? })
}

fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        size += entry?.metadata()?.len();
    }
    Ok(size)
}
