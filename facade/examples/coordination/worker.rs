//! What a worker does with its days.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use strata::{Reads, RunHandle};

use crate::Result;
use crate::jobs::{Claim, LEASE, cell, claim};

/// How long a part of a job takes.
const PART: Duration = Duration::from_millis(10);
/// Every so many jobs there is one that takes longer than its lease.
const LONG_EVERY: u32 = 5;
/// Between two looks for something to do.
const LOOK: Duration = Duration::from_millis(5);
/// Nothing here takes this long; who waits longer waits for something that will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Works until all jobs are done. Every second worker stops in the midst of its first job, holding the lease, and
/// wakes when another has taken the job over: it hands in its result all the same, which must be refused.
pub(crate) fn work(run: &RunHandle, worker: u32, jobs: u32, start: &Barrier) -> Result<()> {
    let first = claim(run, worker, worker);
    // Everybody holds a job before anybody goes on, so that no worker has to look for one to stop in.
    start.wait();
    let first = first?.ok_or("the first job of a worker is its own")?;
    if stops(worker) {
        stop(run, first)?;
    } else {
        do_job(run, first)?;
    }
    let patience = Instant::now() + PATIENCE;
    while run.event_count_of("done")?.value < u64::from(jobs) {
        for job in 1..=jobs {
            if let Some(claim) = claim(run, worker, job)? {
                do_job(run, claim)?;
            }
        }
        pause(LOOK, patience, "every job is done")?;
    }
    Ok(())
}

/// Whether this worker stops once, as a process does that is suspended or cut off.
pub(crate) fn stops(worker: u32) -> bool {
    worker.is_multiple_of(2)
}

/// What the job is to find out.
pub(crate) fn result_of(job: u32) -> i64 {
    i64::from(job) * i64::from(job)
}

fn do_job(run: &RunHandle, mut claim: Claim) -> Result<()> {
    // A long job is three parts of half a lease each, with a renewal between them.
    let (parts, part) = if claim.job.is_multiple_of(LONG_EVERY) { (3, LEASE / 2) } else { (1, PART) };
    for number in 1..=parts {
        thread::sleep(part);
        if number < parts {
            match claim.renew(run)? {
                Some(renewed) => claim = renewed,
                None => return Ok(()), // too slow: somebody else holds the job, or soon will
            }
        }
    }
    claim.finish(run, result_of(claim.job))?;
    Ok(())
}

/// Says nothing until another holds the job or has done it, and then hands in a result.
fn stop(run: &RunHandle, claim: Claim) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    while run.cell_read(&cell(claim.job))?.is_none_or(|found| found.version == claim.token) {
        pause(LOOK, patience, "another takes the job over")?;
    }
    if claim.finish(run, result_of(claim.job))? {
        return Err(format!("job {} took a result with the old token {}", claim.job, claim.token).into());
    }
    Ok(())
}

fn pause(time: Duration, patience: Instant, until: &str) -> Result<()> {
    if Instant::now() > patience {
        return Err(format!("waited {} s until {until}", PATIENCE.as_secs()).into());
    }
    thread::sleep(time);
    Ok(())
}
