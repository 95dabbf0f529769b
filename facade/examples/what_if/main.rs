//! What if the agent had chosen otherwise? A run is forked in front of a decision, and the better outcome is merged.
//!
//! ```text
//! cargo run --example what_if
//! ```
//!
//! An agent plans a trip and takes the plane. The fork begins as the run was before it decided that, takes the night
//! train, and goes on by itself. Both ends are compared, with each other and with what both began as; what was done in the
//! fork is merged into the run, and taken back again. Read in this order: `traveller`, which is the agent; this file;
//! `tell`, which puts differences into words.

#[macro_use]
#[path = "../show/say.rs"]
mod say;

mod tell;
mod traveller;

use strata::{
    Database, Direction, EntryStrategy, Merge, Options, Reads, RunHandle, RunStatus, Strategies, Strategy,
    TraceContent, TraceFilter, Version, View, Writes,
};

use crate::tell::Names;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let place = tempfile::tempdir()?;
    let database = Database::open(place.path().join("what-if.db"), Options::default())?;
    let run = traveller::begin(&database)?;
    traveller::go_on(&run, "plane")?;

    let front = in_front_of_decision(&run)?;
    let fork = run.fork_at(front)?;
    traveller::go_on(&fork, "night train")?;
    fork.end(RunStatus::Completed)?;
    let names = Names { run: run.id(), fork: fork.id() };
    say!("\nTwo ways it could have gone");
    tell::tree(&database, &names)?;

    let [base, ours, theirs] = [run.at(front)?.detach()?, view(&run)?, view(&fork)?];
    say!("\nWhat differs: the run | the fork");
    tell::differences(&ours, &theirs)?;
    say!("\nWhat each has done since version {front}");
    tell::three_way(&base, &ours, &theirs)?;

    // Both have decided something, so nothing can be merged before somebody says whose decisions count.
    let merge = Merge::of(&fork);
    let preview = run.preview_merge(&merge)?;
    say!("\nA merge finds {} conflicts, at the base: the run | the fork", preview.conflicts.len());
    tell::conflicts(&preview.conflicts);
    if run.merge(&merge)?.commit.is_some() {
        return Err("a merge with open conflicts has changed something".into());
    }

    let strategies = Strategies {
        keys: Strategy::Theirs,
        documents: Strategy::Theirs,
        events: EntryStrategy::Append,
        traces: EntryStrategy::Append,
        ..Strategies::default()
    };
    let report = run.merge(&Merge { strategies, ..merge })?;
    let merged = report.commit.ok_or("the merge has changed nothing")?.version;
    say!("\nWith strategies it is commit {merged}, which changes {} things", report.changes.len());
    tell::conflicts(&report.conflicts);
    tell_run(&run)?;

    run.revert(Version(merged.0 - 1))?;
    say!("\nReverted to version {}: events stay, they have happened", merged.0 - 1);
    tell_run(&run)?;

    run.revert(merged)?;
    run.end(RunStatus::Completed)?;
    say!("\nAnd to version {merged} again, because a revert is a commit like others. Its plan, newest first");
    tell::history(&run, &names)?;
    say!("\nIn the end");
    tell::tree(&database, &names)?;
    Ok(database.close()?)
}

/// The version of a run in front of its first decision, with what was decided printed.
fn in_front_of_decision(run: &RunHandle) -> Result<Version> {
    let decisions = TraceFilter { kind: Some("decision".to_owned()), ..TraceFilter::default() };
    let traces = run.trace_list(&decisions, None, 10, Direction::Forward)?.traces;
    say!("The run has decided");
    for trace in &traces {
        if let TraceContent::Decision { question, chosen, reasoning, .. } = &trace.content {
            let because = reasoning.as_deref().unwrap_or("nobody knows why");
            say!("  commit {:<4} {question}: {chosen}, {because}", trace.recorded.version);
        }
    }
    let first = traces.first().ok_or("the run has decided nothing")?;
    Ok(Version(first.recorded.version.0 - 1))
}

fn tell_run(run: &RunHandle) -> Result<()> {
    say!("  {}", tell::outcome(run)?);
    for key in ["insurance", "breakfast"] {
        say!("  {key:<12} {}", if run.exists(key)?.value { "is there" } else { "is not there" });
    }
    say!("  {} events, {} traces", run.event_count()?.value, run.trace_count(None)?.value);
    Ok(())
}

/// A run as it is, in our hands.
fn view(run: &RunHandle) -> Result<View> {
    Ok(run.snapshot()?.detach()?)
}
