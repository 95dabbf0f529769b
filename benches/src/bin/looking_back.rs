//! What does it cost to compare, to merge and to replay runs, and what does a long conversation take on disk?
//!
//! A thousand keys among a million are changed, in a run between two versions of it and in a fork, and the two are compared; a fork is
//! merged; a run is replayed that is alone in its store, and one among a thousand; 500 steps each add a message of 1 KiB. One
//! shard, one client.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use strata::{
    Compaction, Database, Durability, Limits, Merge, Options, Reads, RunHandle, RunSpec, TraceContent,
    Version, View, Writes, new_trace,
};
use strata_benches::arguments::Arguments;
use strata_benches::figure::{Figure, Goal};
use strata_benches::large_run::{fill, key, space};
use strata_benches::report::Report;
use strata_benches::timing::Rounds;

/// Keys that are changed.
const CHANGED: u64 = 1_000;

fn main() -> ExitCode {
    match measure() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("looking_back: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::read();
    let mut report = Report::begin("looking_back", &arguments);
    if arguments.wants("diff") || arguments.wants("merge") {
        comparing(&arguments, &mut report)?;
    }
    if arguments.wants("replay") {
        replaying(&arguments, &mut report)?;
    }
    if arguments.wants("five_hundred_steps") {
        steps(&arguments, &mut report)?;
    }
    Ok(report.end())
}

fn one_shard() -> Options {
    // Both sides of a comparison are in memory, a million keys each.
    let limits = Limits { run_size_max: 4 << 30, snapshot_size_max: 4 << 30, ..Limits::default() };
    Options { shards: Some(1), limits, memory_budget: 8 << 30, ..Options::default() }
}

/// A thousand changed keys among a million: told between two versions, and between a run and its fork, and merged.
fn comparing(arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let key_count = arguments.pick(1_000_000, 50_000);
    let database = Database::in_memory_with(one_shard())?;
    let run = database.create_run(RunSpec::default())?;
    fill(&run, key_count, 32)?;
    let (mut of_versions, mut of_fork, mut merged) = (Rounds::new(), Rounds::new(), Rounds::new());
    for round in 0..arguments.pick(9, 1) {
        let base = view(&run)?;
        change(&run, key_count, round * 2)?;
        let fork = run.fork()?;
        let began = view(&fork)?;
        of_versions.push(differing(&base, &view(&run)?, CHANGED)?);
        change(&fork, key_count, round * 2 + 1)?;
        // The fork says of itself that it is one.
        of_fork.push(differing(&view(&run)?, &view(&fork)?, CHANGED + 1)?);
        let merge = Merge { base: Some(&began), ..Merge::of(&fork) };
        let started = Instant::now();
        let done = run.merge(&merge)?;
        merged.push(started.elapsed().as_nanos() as f64 / 1e6);
        assert_eq!(done.changes.len() as u64, CHANGED);
        fork.delete_run()?;
    }
    database.close()?;
    let figure = |question: &str, rounds| Figure::new(question, "ms", rounds);
    report.add(&figure("diff_of_two_versions", of_versions).goal(Goal::AtMost(10.0)));
    report.add(&figure("diff_of_run_and_fork", of_fork).goal(Goal::AtMost(10.0)));
    report.add(&figure("merge_of_a_fork", merged));
    Ok(())
}

/// Milliseconds until all that differs is told.
fn differing(before: &View, after: &View, count: u64) -> Result<f64, Box<dyn Error>> {
    let started = Instant::now();
    let page = before.diff(after, None, 10_000)?;
    let took = started.elapsed().as_nanos() as f64 / 1e6;
    assert_eq!(page.differences.len() as u64, count);
    Ok(took)
}

fn view(run: &RunHandle) -> Result<View, strata::Error> {
    run.snapshot()?.detach()
}

/// Changes a thousand keys that lie all over the run.
fn change(run: &RunHandle, key_count: u64, round: u64) -> Result<(), Box<dyn Error>> {
    let keys = (0..CHANGED).map(|number| number * (key_count / CHANGED) + round % (key_count / CHANGED));
    run.put_many(keys.map(|number| (key(number), round as i64)))?;
    Ok(())
}

/// A run of some thousand commits replayed from first to last, alone in its store and as one of a thousand that were written in turn:
/// before its records are sorted by a compaction, when one of it stands among a thousand of others, and behind that.
fn replaying(arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let (commits, runs) = (arguments.pick(2_000, 200), arguments.pick(1_000, 50));
    let mut alone = [Rounds::new(), Rounds::new()];
    let mut among = [Rounds::new(), Rounds::new()];
    for (count, rounds) in [(1, &mut alone), (runs, &mut among)] {
        let scratch = tempfile::tempdir_in(&arguments.dir)?;
        let path = scratch.path().join("strata.db");
        let options = Options { durability: Durability::Buffered, ..one_shard() };
        let database = Database::open(&path, options.clone())?;
        let all =
            (0..count).map(|_| database.create_run(RunSpec::default())).collect::<Result<Vec<_>, _>>()?;
        for commit in 0..commits {
            for run in &all {
                run.put(&key(commit % 50), commit as i64)?;
            }
        }
        drop(database.checkpoint()?);
        database.close()?;
        for (is_compacted, rounds) in [false, true].into_iter().zip(rounds) {
            let database = Database::open(&path, options.clone())?;
            if is_compacted {
                database.compact(Compaction::Full)?;
            }
            let run = database.run(all[all.len() / 2].id());
            for _ in 0..arguments.pick(9, 1) {
                let started = Instant::now();
                let view = run.replay_until(Version(commits + 1))?;
                rounds.push(started.elapsed().as_nanos() as f64 / 1e6);
                assert_eq!(view.version(), Version(commits + 1));
            }
            database.close()?;
        }
    }
    let [scattered, sorted] = among;
    let figure = |question: &str, rounds| Figure::new(question, "ms", rounds);
    let name = "alone in its store";
    report.add(&figure("replay_of_one_run_in_a_thousand", scattered).against(name, &alone[0]));
    let figure = figure("replay_of_one_run_in_a_thousand_compacted", sorted).against(name, &alone[1]);
    report.add(&figure.goal(Goal::RatioAtMost(1.3)));
    Ok(())
}

/// What 500 steps take on disk, each with a message of 1 KiB and what the agent thought, once the store is compacted and closed.
fn steps(arguments: &Arguments, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir_in(&arguments.dir)?;
    let path = scratch.path().join("strata.db");
    let options = Options { durability: Durability::Buffered, ..one_shard() };
    let database = Database::open(&path, options.clone())?;
    let run = database.create_run(RunSpec::named("conversation"))?;
    let mut versions = Vec::new();
    for step in 0..500_u64 {
        let mut batch = run.batch();
        batch.append("message", message(step))?.put("step", step as i64)?;
        let thought = TraceContent::Thought { text: format!("step {step}"), confidence: None };
        batch.trace_record(new_trace(thought))?;
        versions.push(run.commit(batch)?.commit.expect("a step changes something").version);
    }
    database.compact(Compaction::Full)?;
    database.close()?;
    let bytes = space(&path)?;
    let database = Database::open(&path, options)?;
    let run = database.run(run.id());
    for (step, version) in versions.into_iter().enumerate() {
        let fork = run.fork_at(version)?;
        assert_eq!(fork.event_count()?.value, step as u64 + 1);
        let newest = run.at(version)?.event_head()?.expect("a step has a message");
        assert_eq!(newest.payload.as_str(), Some(&*message(step as u64)));
        fork.delete_run()?;
    }
    database.close()?;
    let mut rounds = Rounds::new();
    rounds.push(bytes as f64 / 1e6);
    report.add(&Figure::new("five_hundred_steps", "MB", rounds).goal(Goal::AtMost(2.0)));
    Ok(())
}

/// 1 KiB that no other step has.
fn message(step: u64) -> String {
    let mut text = String::new();
    let mut state = step + 1;
    while text.len() < 1_024 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text += &format!("{:016x}", state ^ (state >> 29));
    }
    text
}
