//! Records real agent runs in every durability mode, opens the stores again and compares everything with the files.
//!
//! ```text
//! cargo run --release --example import_runs -- FILE [--reservations FILE] [--store FOLDER]
//! ```
//!
//! FILE is a JSON list of runs `{task_id, trial, reward, info, traj}`; `traj` is the conversation. Every message
//! becomes an event of its run, every tool call in it a trace with its arguments and its answer; task, trial and
//! reward become its metadata, and reward 1 its status Completed. The reservations are the JSON documents the tools
//! work on: a run of their own holds all of them, each recorded run takes copies of those it names, because all began
//! in the same world, and its calls change them there as the recording says.
//!
//! Each mode writes twice, into a store of its own: a call for each message, as a live agent does, and one atomic
//! call for everything of a run. A message, its trace and its change of a document are one commit in both. Read in
//! this order: `recorded`, `tool_calls`, `reservations`, `import`, `compare`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

#[path = "../show/command.rs"]
mod command;
mod compare;
#[path = "../show/figures.rs"]
mod figures;
mod import;
mod progress;
mod recorded;
mod reservations;
mod tool_calls;
#[path = "../show/values.rs"]
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use strata::{Database, Durability};

use crate::command::{Words, start};
use crate::compare::{Equal, compare};
use crate::figures::{count, counted, per_second, rate, size, time};
use crate::import::{Call, Source, Way, import};
use crate::recorded::Recorded;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo run --release --example import_runs -- FILE [--reservations FILE] [--store FOLDER]

  FILE                 a JSON list of recorded runs; `agent --record FILE` writes one
  --reservations FILE  a JSON object of the documents that the tools of these runs work on
  --store FOLDER       keep the stores in this folder, to look into them with the example `inspect`";

fn main() -> ExitCode {
    start(USAGE, parse, demonstrate)
}

struct Arguments {
    file: PathBuf,
    reservations: Option<PathBuf>,
    store: Option<PathBuf>,
}

fn parse(mut words: Words) -> std::result::Result<Option<Arguments>, String> {
    let (mut file, mut reservations, mut store) = (None, None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--reservations" => reservations = Some(words.value(&word)?.into()),
            "--store" => store = Some(words.value(&word)?.into()),
            option if option.starts_with('-') => return Err(format!("{option} is not an option")),
            name if file.is_none() => file = Some(name.into()),
            name => return Err(format!("one file at a time: {name} is a second one")),
        }
    }
    let file = file.ok_or("FILE is missing")?;
    Ok(Some(Arguments { file, reservations, store }))
}

/// What one way of importing cost.
struct Measured {
    way: Way,
    write: Duration,
    log_size: Option<u64>, // bytes; none in memory
    reopen: Option<Duration>,
    equal: Equal,
}

fn demonstrate(arguments: &Arguments) -> Result<()> {
    let Arguments { file, reservations, store } = arguments;
    let reservations = reservations.as_deref().map(reservations::read).transpose()?.unwrap_or_default();
    let source = Source { runs: recorded::read(file, &reservations)?, reservations };
    say!("Recorded runs of {}\n", file.display());
    let total = describe(&source);
    let temporary = tempfile::tempdir()?;
    let below = store.as_deref().unwrap_or(temporary.path());
    let mut measured = Vec::new();
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Strict] {
        for call in [Call::Message, Call::Run] {
            let way = Way { durability, call };
            measured.push(measure(way, &source, below).map_err(|error| format!("{way}: {error}"))?);
        }
    }
    print_table(&measured, total);
    if store.is_some() {
        say!(
            "\nLook into one: cargo run --release --example inspect -- {}",
            measured[2].way.store(below).display()
        );
    }
    Ok(())
}

/// How much there is.
#[derive(Clone, Copy)]
struct Total {
    writes: u64,
    size: u64, // bytes of JSON
}

/// Tells what the files hold.
fn describe(Source { runs, reservations }: &Source) -> Total {
    let sum = |part: fn(&Recorded) -> u64| runs.iter().map(part).sum::<u64>();
    let (events, traces) = (sum(|run| run.messages.len() as u64), sum(|run| run.calls.len() as u64));
    let (held, taken) = (reservations.values.len() as u64, sum(|run| run.documents.len() as u64));
    let (failed, changes) = (sum(Recorded::failed_count), sum(Recorded::write_count));
    let (message_size, solved) = (sum(Recorded::size), sum(|run| u64::from(run.is_solved())));
    let size_of_all = message_size + reservations.size;
    say!("  runs       {:>9}   {} solved", count(runs.len() as u64), count(solved));
    say!("  events     {:>9}   one for each message", count(events));
    say!("  traces     {:>9}   one for each tool call, {} of them failed", count(traces), count(failed));
    if held > 0 {
        say!("  documents  {:>9}   reservations, and {} that the runs work on", count(held), count(taken));
        say!("  changes    {:>9}   of documents by tool calls: taken, booked, patched", count(changes));
    }
    let average = size(message_size / events.max(1));
    say!("  bytes      {:>9}   of JSON, {average} in an average message\n", size(size_of_all));
    Total { writes: events + traces + held + changes, size: size_of_all }
}

fn measure(way: Way, source: &Source, folder: &Path) -> Result<Measured> {
    let store = way.store(folder);
    if way.is_logged() && store.exists() {
        return Err(format!("{} is there already: name a fresh folder with --store", store.display()).into());
    }
    if way.is_logged() {
        std::fs::create_dir_all(folder)?;
    }
    let database = way.open(&store)?;
    let write = import(&database, source, way)?;
    let log_size = log_size(&database)?;
    let (database, reopen) = reopen(database, way, &store)?;
    let equal = compare(&database, source)?;
    database.close()?;
    Ok(Measured { way, write, log_size, reopen, equal })
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

fn print_table(measured: &[Measured], total: Total) {
    say!(
        "  {:<9} {:<8} {:>10} {:>12} {:>7} {:>12} {:>7} {:>9}  compared with the file",
        "mode",
        "a call a",
        "time",
        "writes",
        "ratio",
        "log",
        "ratio",
        "reopened"
    );
    let slowest = measured.iter().map(|way| way.write).max().unwrap_or_default();
    for row in measured {
        let call = if row.way.call == Call::Message { "message" } else { "run" };
        let faster = per_second(total.writes, row.write) / per_second(total.writes, slowest);
        let (log, log_ratio) = row.log_size.map_or(("-".to_owned(), "-".to_owned()), |log| {
            (size(log), format!("{:.2} x", log as f64 / total.size.max(1) as f64))
        });
        say!(
            "  {:<9} {call:<8} {:>10} {:>12} {:>7} {log:>12} {log_ratio:>7} {:>9}  {}",
            format!("{:?}", row.way.durability),
            time(row.write),
            rate(total.writes, row.write),
            format!("{faster:.1} x"),
            row.reopen.map_or("-".to_owned(), time),
            say_equal(&row.equal),
        );
    }
    say!("\n  writes are events, traces, documents and changes of them; time includes the sync at the end;");
    say!("  ratios are to the slowest row and to the bytes of JSON, of which a trace holds a part once more");
}

fn say_equal(equal: &Equal) -> String {
    let messages = counted(equal.messages, "equal message", "equal messages");
    let traces = counted(equal.traces, "trace", "traces");
    format!("{messages}, {traces}, {}", counted(equal.documents, "document", "documents"))
}
