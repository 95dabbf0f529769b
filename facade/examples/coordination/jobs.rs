//! Jobs that are claimed, kept and done, each in one commit.
//!
//! One cell for each job is the whole protocol:
//!
//! ```text
//! absent, or its lease ran out    the job is open
//! with a deadline                 it is claimed; the version of the cell is the holder's token
//! without a deadline              it is done; the cell holds the result
//! ```
//!
//! A lease lets others go on when its holder is gone (Gray and Cheriton, "Leases", SOSP 1989). It cannot tell whether
//! the holder is gone or only slow, so a result comes with the token, and an old token is refused (Kleppmann, "How to
//! do distributed locking", 2016). Each commit also appends an event: the run tells its own story.

use std::time::Duration;

use strata::{Batch, Deadline, ErrorKind, RunHandle, Value, Version, Writes};

/// How long a claim holds unless it is renewed: many times what a short job takes.
pub(crate) const LEASE: Duration = Duration::from_millis(200);

/// A job that somebody holds, or believes to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) job: u32,
    pub(crate) worker: u32,
    /// The commit that last claimed or renewed it.
    pub(crate) token: Version,
}

/// Claims a job; `None` if somebody holds it, or has done it.
pub(crate) fn claim(run: &RunHandle, worker: u32, job: u32) -> strata::Result<Option<Claim>> {
    let mut batch = run.batch();
    batch
        .cell_init_expiring(&cell(job), held_by(worker), Deadline::In(LEASE))?
        .append("claimed", told(worker, job, []))?;
    let token = commit_unless(run, batch, ErrorKind::AlreadyExists)?;
    Ok(token.map(|token| Claim { job, worker, token }))
}

impl Claim {
    /// Holds the job for another lease, under another token; `None` if it is lost.
    pub(crate) fn renew(self, run: &RunHandle) -> strata::Result<Option<Claim>> {
        let Claim { job, worker, token } = self;
        let mut batch = run.batch();
        batch
            .cell_cas_expiring(&cell(job), token, held_by(worker), Deadline::In(LEASE))?
            .append("renewed", told(worker, job, [("token", number(token))]))?;
        let token = commit_unless(run, batch, ErrorKind::Conflict)?;
        Ok(token.map(|token| Claim { token, ..self }))
    }

    /// Hands in the result. Whether it was taken: it is refused once the job is not this claim's any more.
    pub(crate) fn finish(self, run: &RunHandle, result: i64) -> strata::Result<bool> {
        let Claim { job, worker, token } = self;
        let mut batch = run.batch();
        batch
            .cell_cas(&cell(job), token, result)?
            .append("done", told(worker, job, [("token", number(token)), ("result", result.into())]))?;
        if commit_unless(run, batch, ErrorKind::Conflict)?.is_some() {
            return Ok(true);
        }
        run.append("refused", told(worker, job, [("token", number(token))]))?;
        Ok(false)
    }
}

/// The cell of a job.
pub(crate) fn cell(job: u32) -> String {
    format!("job/{job}")
}

/// Commits a batch and returns its version; `None` for the one kind of refusal that is part of the protocol.
fn commit_unless(run: &RunHandle, batch: Batch, refusal: ErrorKind) -> strata::Result<Option<Version>> {
    match run.commit(batch) {
        Ok(receipt) => Ok(receipt.commit.map(|commit| commit.version)),
        Err(error) if error.kind() == refusal => Ok(None),
        Err(error) => Err(error),
    }
}

fn held_by(worker: u32) -> Value {
    Value::from([("worker", worker.into())])
}

/// What an event tells: who, which job, and more.
fn told<const N: usize>(worker: u32, job: u32, more: [(&str, Value); N]) -> Value {
    let known = [("worker", worker.into()), ("job", job.into())];
    Value::Object(known.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect())
}

fn number(version: Version) -> Value {
    Value::Int(version.0 as i64)
}
