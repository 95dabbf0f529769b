//! An agent surveys a folder, is killed half-way, and goes on exactly where it was.
//!
//! ```text
//! cargo run --example agent -- [DIR]
//! ```
//!
//! The agent works in a process of its own: it plans, lists, reads, counts and searches the real files of DIR, and
//! records every step as one atomic batch, an event and a note, under Strict durability. Half-way this process
//! kills it with SIGKILL, opens the store again, shows what recovery found, and finishes the run. At the end every
//! step must be there once, and every acknowledged one unchanged; anything else is an error and a non-zero exit.
//! Read in this order: `plan`, `tools`, `survey`, `process`, `check`.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

mod check;
#[path = "../show/figures.rs"]
mod figures;
mod plan;
mod process;
mod recording;
mod survey;
mod timeline;
mod tools;
#[path = "../show/values.rs"]
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use strata::{Database, RunId, RunStatus, Writes};

use crate::check::check;
use crate::figures::{count, counted, rate, share, size, time};
use crate::plan::{Plan, Tool};
use crate::process::{WORK, Worker};
use crate::survey::{Agent, Brief, Receipt};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo run --example agent -- [DIR] [--store PATH] [--record FILE] [--steps N] [--kill-after N] [--all]

  DIR             the folder to survey; this repository when absent
  --store PATH    keep the store here, to look into it with the example `inspect`
  --record FILE   write the run as a file for the example `import_runs`
  --steps N       plan at most about N steps; a larger folder is sampled (1,000)
  --kill-after N  kill the agent after N acknowledged steps (about half of them)
  --all           print every step of the timeline";

const STEP_COUNT_MAX: usize = 1_000;
/// How many steps the agent may be ahead of what has been read from it.
const AHEAD_COUNT_MAX: u64 = 8;

struct Arguments {
    root: PathBuf,
    store: Option<PathBuf>,
    record: Option<PathBuf>,
    step_count_max: usize,
    kill_after: Option<u64>,
    is_whole: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let outcome = match arguments.peek().map(String::as_str) {
        Some(WORK) => process::work(arguments.skip(1)),
        Some("--help" | "-h") => {
            say!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => match parse(arguments) {
            Ok(arguments) => demonstrate(&arguments),
            Err(reason) => {
                eprintln!("error: {reason}\n\n{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> std::result::Result<Arguments, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut arguments = Arguments {
        root: root.canonicalize().unwrap_or(root),
        store: None,
        record: None,
        step_count_max: STEP_COUNT_MAX,
        kill_after: None,
        is_whole: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
        match word.as_str() {
            "--store" => arguments.store = Some(value()?.into()),
            "--record" => arguments.record = Some(value()?.into()),
            "--steps" => arguments.step_count_max = number(value()?)? as usize,
            "--kill-after" => arguments.kill_after = Some(number(value()?)?),
            "--all" => arguments.is_whole = true,
            option if option.starts_with('-') => return Err(format!("{option} is not an option")),
            folder => arguments.root = folder.into(),
        }
    }
    Ok(arguments)
}

/// The whole story: work, kill, reopen, go on, check.
fn demonstrate(arguments: &Arguments) -> Result<()> {
    std::fs::read_dir(&arguments.root).map_err(|error| {
        format!("cannot list {}: {error}; name a folder that you may read", arguments.root.display())
    })?;
    let temporary = tempfile::tempdir()?;
    let store = arguments.store.clone().unwrap_or_else(|| temporary.path().join("agent.db"));
    let brief =
        Brief { name: run_name()?, root: arguments.root.clone(), step_count_max: arguments.step_count_max };

    say!("An agent surveys {}\n", arguments.root.display());
    say!("  store      {}", store.display());
    say!("  promise    Strict: a step counts once its event and its note are on stable storage, together\n");

    say!("1. It works in a process of its own, and is killed");
    let killed = work_and_kill(&store, &brief, arguments.kill_after)?;

    say!("\n2. The store is opened again");
    let database = survey::open(&store)?;
    tell_recovery(&database, killed.run)?;
    let agent = Agent::begin(&database, &brief)?;
    let held = check(&agent.run, &agent.plan, &killed.acknowledged)?;
    tell_held(held, killed.acknowledged.len() as u64);

    say!("\n3. It goes on where it was");
    let mut acknowledged = killed.acknowledged;
    go_on(&agent, held, &mut acknowledged)?;
    agent.run.end(RunStatus::Completed)?;

    say!("\n4. Timeline of run {}", brief.name);
    timeline::print(&agent.run, held, arguments.is_whole)?;

    say!("\n5. Check");
    let steps = check(&agent.run, &agent.plan, &acknowledged)?;
    if steps != agent.plan.step_count() {
        return Err(format!("{} steps were planned, the store holds {steps}", agent.plan.step_count()).into());
    }
    tell_check(&agent.plan, acknowledged.len() as u64);
    if let Some(file) = &arguments.record {
        let (messages, bytes) = recording::write(&agent.run, &arguments.root, file)?;
        say!(
            "  recorded   {} in {} ({})",
            counted(messages, "message", "messages"),
            file.display(),
            size(bytes)
        );
    }
    database.close()?;
    if arguments.store.is_some() {
        say!("\nLook into it: cargo run --release --example inspect -- {}", store.display());
    }
    Ok(())
}

struct Killed {
    run: RunId,
    acknowledged: Vec<Receipt>,
}

fn work_and_kill(store: &Path, brief: &Brief, kill_after: Option<u64>) -> Result<Killed> {
    let started = Instant::now();
    let mut worker = Worker::start(store, brief)?;
    let (run, step_count) = worker.announcement()?;
    say!("  plan       {}", counted(step_count, "step", "steps"));
    let after = kill_after.unwrap_or_else(|| about_half(step_count));
    if after == 0 || after + 1 >= step_count {
        let last = step_count.saturating_sub(2);
        return Err(format!("--kill-after {after} is not inside this plan: choose 1..={last}").into());
    }
    worker.allow(AHEAD_COUNT_MAX.min(step_count - after - 1) as usize)?;
    let working = Instant::now();
    let mut acknowledged = Vec::new();
    while (acknowledged.len() as u64) < after {
        acknowledged.push(worker.acknowledged()?);
        worker.allow(1)?;
    }
    // Anywhere within the next few steps: before, in the midst of, or behind a commit.
    let step_time = working.elapsed() / after as u32;
    std::thread::sleep(Duration::from_nanos(rand::random_range(0..=3 * step_time.as_nanos() as u64)));
    acknowledged.extend(worker.kill()?);
    let (number, lifetime) = (acknowledged.len() as u64, started.elapsed());
    let part = share(number, step_count);
    say!("  killed     SIGKILL after {} acknowledged steps ({part}), {} old", count(number), time(lifetime));
    say!("  pace       {} a step: tool, event and note, on stable storage", time(step_time));
    Ok(Killed { run, acknowledged })
}

/// About half of the plan, a different number each time.
fn about_half(step_count: u64) -> u64 {
    let spread = step_count / 8;
    (step_count / 2 - spread + rand::random_range(0..=2 * spread)).max(1)
}

fn tell_recovery(database: &Database, run: RunId) -> Result<()> {
    let report = database.recovery();
    let closed = if report.was_clean { "closed cleanly" } else { "not closed cleanly" };
    say!("  recovery   {} for boot {}; the boot before was {closed}", time(report.elapsed), report.boot);
    for shard in report.shards.iter().filter(|shard| shard.log.records > 0) {
        let log = &shard.log;
        let (records, batches) =
            (counted(log.records, "record", "records"), counted(log.batches, "batch", "batches"));
        say!("  shard {:<4} {records} in {batches}, {}, {}", shard.shard, size(log.bytes), time(log.elapsed));
        match &log.cut {
            None => say!("             no torn tail: the log ends with a whole batch"),
            Some(cut) => say!(
                "             torn tail cut: {} at offset {}: {}",
                size(cut.bytes),
                cut.offset,
                cut.reason
            ),
        }
    }
    let info = database.get_run(run)?.ok_or("the run itself is lost")?;
    let state = if info.orphaned { "orphaned: its process ended without a word" } else { "not orphaned" };
    say!("  run        version {}, {:?}, {state}", info.version, info.status);
    Ok(())
}

fn tell_held(held: u64, acknowledged: u64) {
    let silent = match held - acknowledged {
        0 => "and no other".to_owned(),
        more => format!("and {more} more, durable before the word of it got out"),
    };
    say!("  held       all {} acknowledged steps, {silent}", count(acknowledged));
}

fn go_on(agent: &Agent, held: u64, acknowledged: &mut Vec<Receipt>) -> Result<()> {
    // Nobody knows whether the last step was acknowledged, so it is sent again under its operation id.
    let last =
        held.checked_sub(1).ok_or("nothing is held, though the agent was killed after its first step")?;
    let resent = agent.take(last)?;
    if agent.next_step()? != held || resent.sequence != last {
        return Err(format!("step {last} was sent again and is there twice").into());
    }
    say!(
        "  resent     step {last} under its operation id: first receipt (version {}), not doubled",
        resent.version
    );
    let started = Instant::now();
    for step in agent.next_step()?..agent.plan.step_count() {
        acknowledged.push(agent.take(step)?);
    }
    let (rest, elapsed) = (agent.plan.step_count() - held, started.elapsed());
    say!("  finished   {} steps in {}, {}", count(rest), time(elapsed), rate(rest, elapsed));
    Ok(())
}

fn tell_check(plan: &Plan, acknowledged: u64) {
    let steps = count(plan.step_count());
    say!("  steps      {steps} of {steps} there, each once and in order");
    say!("  notes      {steps} of {steps}, each written by the commit of its event");
    say!("  acks       {} of {} unchanged", count(acknowledged), count(acknowledged));
    say!("  chain      {steps} hashes valid");
    let tools = [Tool::List, Tool::Read, Tool::Count, Tool::Search];
    let used = tools.map(|tool| format!("{} {}", tool.name(), count(plan.count_of(tool))));
    say!("  tools      {}", used.join(", "));
}

/// Names are free once used, so each start has its own.
fn run_name() -> Result<String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(format!("survey-{seconds}-{}", std::process::id()))
}
