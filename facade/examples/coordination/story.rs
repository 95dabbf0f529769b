//! What the run tells of its jobs, checked step by step and printed.

use std::collections::BTreeMap;

use strata::{Direction, Event, Reads, Value, Version};

use crate::Result;
use crate::jobs::cell;
use crate::worker::result_of;

const PAGE: usize = 1_000;

/// What has become of one job so far.
#[derive(Debug, Default)]
struct Job {
    claims: u64,
    /// Who claimed or renewed it last, and with which commit.
    holder: Option<(u32, Version)>,
    is_done: bool,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) done: u64,
    pub(crate) claimed_again: u64,
    pub(crate) renewed: u64,
    pub(crate) refused: u64,
}

/// One event of the run, read.
struct Step {
    worker: u32,
    job: u32,
    /// The token that the worker presented; a claim needs none.
    token: Option<Version>,
}

/// Prints the events from the first to the last, and checks that each may follow the ones before: only the latest
/// holder of a job renews it and has it done, once.
pub(crate) fn retell(run: &impl Reads) -> Result<Counts> {
    let (mut jobs, mut counts) = (BTreeMap::new(), Counts::default());
    let mut begin = None;
    say!("  {:>11} {:>7}  {:<9} {:>4}  {:<12} note", "time", "worker", "step", "job", "token");
    let mut next = Some(0);
    while let Some(start) = next {
        let page = run.events(start, PAGE, Direction::Forward)?;
        for event in &page.events {
            let step = read(event).ok_or(format!("event {} tells nothing of a job", event.sequence))?;
            let note = follow(jobs.entry(step.job).or_default(), event, &step, &mut counts)?;
            let since = event.timestamp.0 - begin.get_or_insert(event.timestamp).0;
            print(since, event, &step, &note);
        }
        next = page.next;
    }
    Ok(counts)
}

/// Every job must be done, its cell must hold its result, and no deadline.
pub(crate) fn check_results(run: &impl Reads, jobs: u32) -> Result<()> {
    for job in 1..=jobs {
        let name = cell(job);
        let held = run.cell_read(&name)?.ok_or(format!("job {job} is not done"))?.value;
        if held != Value::Int(result_of(job)) {
            return Err(format!("the result of job {job} is {held}, not {}", result_of(job)).into());
        }
        if run.cell_ttl(&name)?.is_none_or(|ttl| ttl.value.is_some()) {
            return Err(format!("the result of job {job} expires").into());
        }
    }
    Ok(())
}

fn read(event: &Event) -> Option<Step> {
    let number = |name| event.payload.get(name).and_then(Value::as_int);
    let token = number("token").and_then(|token| u64::try_from(token).ok()).map(Version);
    Some(Step { worker: number("worker")?.try_into().ok()?, job: number("job")?.try_into().ok()?, token })
}

/// Takes one step of a job, or refuses it; returns what is worth a note.
fn follow(job: &mut Job, event: &Event, step: &Step, counts: &mut Counts) -> Result<String> {
    let presented = step.token.map(|token| (step.worker, token));
    let holds = presented.is_some() && presented == job.holder;
    let mut note = String::new();
    match event.kind.as_str() {
        "claimed" if !job.is_done => {
            if let Some((before, _)) = job.holder {
                note = format!("the lease of worker {before} ran out");
            }
            counts.claimed_again += u64::from(job.claims == 1);
            job.claims += 1;
            job.holder = Some((step.worker, event.version));
        }
        "renewed" if !job.is_done && holds => {
            counts.renewed += 1;
            job.holder = Some((step.worker, event.version));
        }
        "done" if !job.is_done && holds => {
            counts.done += 1;
            job.is_done = true;
            note = format!("result {}", event.payload.get("result").unwrap_or(&Value::Null));
        }
        "refused" if !(job.is_done && holds) => {
            counts.refused += 1;
            note = match job.holder {
                Some((holder, token)) if !holds => format!("worker {holder} has token {token}"),
                _ => "its lease ran out".to_owned(),
            };
        }
        _ => return Err(format!("event {} cannot follow: {event:?} after {job:?}", event.sequence).into()),
    }
    Ok(note)
}

fn print(since: u64, event: &Event, step: &Step, note: &str) {
    let after = format!("+{:.1} ms", since as f64 / 1e3);
    let token = match (step.token, event.kind.as_str()) {
        (None, _) => event.version.to_string(),
        (Some(old), "renewed") => format!("{old}, now {}", event.version),
        (Some(token), _) => token.to_string(),
    };
    let (worker, kind, job) = (step.worker, &event.kind, step.job);
    let line = format!("  {after:>11} {worker:>7}  {kind:<9} {job:>4}  {token:<12} {note}");
    say!("{}", line.trim_end());
}
