//! What does looking back at one thing cost in a run of a thousand commits, and what in one of a million?
//!
//! Eight commits at equal distances change one key, the others some hundred keys and the event log. Its history and its explanation are
//! asked for when the store has just been opened and the run was read once, and again and again behind that. One shard, one client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use strata::{Cause, Database, EntityRef, Options, Prior, Reads, RunHandle, RunId, RunSpec, Version, Writes};
use strata_benches::arguments::Arguments;
use strata_benches::figure::{Figure, Goal};
use strata_benches::report::Report;
use strata_benches::timing::{Latencies, Rounds};

/// Commits that change the key.
const CHANGE_COUNT: usize = 8;
/// Calls of which the median is taken.
const CALL_COUNT: usize = 1_000;

/// What is asked, and the rounds of the answers: first of the short run, then of the long one.
struct Question {
    name: &'static str,
    ask: fn(&RunHandle),
    first: [Rounds; 2],
    again: [Rounds; 2],
}

fn main() -> ExitCode {
    match measure() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("explaining: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::read();
    let mut report = Report::begin("explaining", &arguments);
    let scratch = tempfile::tempdir_in(&arguments.dir)?;
    let counts = [1_000, arguments.pick(1_000_000, 20_000)];
    let paths = ["short", "long"].map(|name| scratch.path().join(name));
    let mut runs = Vec::new();
    for (path, count) in paths.iter().zip(counts) {
        runs.push(fill(path, count)?);
    }
    let new = |name, ask| Question { name, ask, first: Default::default(), again: Default::default() };
    let mut questions = [new("history_of_8_changes", history), new("explanation", explain)];
    for _ in 0..arguments.pick(9, 2) {
        for question in &mut questions {
            for (which, path) in paths.iter().enumerate() {
                let database = open(path)?;
                let run = database.run(runs[which]);
                run.get("explained")?;
                let began = Instant::now();
                (question.ask)(&run);
                question.first[which].push(began.elapsed().as_nanos() as f64 / 1e3);
                let latencies = Latencies::of(arguments.pick(CALL_COUNT, 50), |_| (question.ask)(&run));
                question.again[which].push(latencies.median());
                database.close()?;
            }
        }
    }
    for Question { name, first, again, .. } in questions {
        for (rounds, when) in [(again, "warm"), (first, "first")] {
            let [short, long] = rounds;
            let figure = Figure::new(format!("{name}_among_a_million_commits_{when}"), "us", long);
            let figure = figure.against("among a thousand", &short).note("commits", counts[1]);
            report.add(&figure.goal(Goal::RatioAtMost(2.0)));
        }
    }
    Ok(report.end())
}

fn open(path: &Path) -> Result<Database, strata::Error> {
    Database::open(path, Options { shards: Some(1), ..Options::default() })
}

/// A run with so many commits.
fn fill(path: &Path, count: usize) -> Result<RunId, Box<dyn Error>> {
    let database = open(path)?;
    let run = database.create_run(RunSpec::default())?;
    for number in 0..count - 1 {
        if number % (count / CHANGE_COUNT) == 0 {
            let cause = Cause::Commit { run: run.id(), version: Version(number as u64 + 1) };
            run.with_cause(cause).put("explained", number as i64)?;
        } else if number % 10 == 9 {
            run.append("step", number as i64)?;
        } else {
            run.put(&format!("key/{}", number % 100), number as i64)?;
        }
    }
    let id = run.id();
    database.close()?;
    Ok(id)
}

fn history(run: &RunHandle) {
    let found = run.history(&EntityRef::kv(run.id(), "explained"), CHANGE_COUNT, None);
    assert!(found.is_ok_and(|found| found.commits.len() == CHANGE_COUNT));
}

fn explain(run: &RunHandle) {
    let found = run.explain(&EntityRef::kv(run.id(), "explained"), 1);
    let found = found.ok().flatten().expect("it was changed");
    assert!(matches!(found.before, Prior::Changed(_)) && found.causes.len() == 1 && found.events.len() == 1);
}
