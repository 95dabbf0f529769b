//! Commits that are decided on a picture of a run, and made if nothing of it has changed since.

use strata_primitives::{
    Commit, Deadline, EntityRef, Error, ErrorKind, Operation, Timestamp, Version, conflict,
};

use crate::Result;
use crate::handle::RunHandle;
use crate::reads::Reads;
use crate::retry::Backoff;
use crate::scope::Scope;
use crate::view::View;
use crate::writes::Writes;

/// What operations were decided by.
#[derive(Debug, Default)]
struct Ground {
    /// The things they write, each with the version that it had; `NEVER` where it was not there.
    things: Vec<(EntityRef, Version)>,
    /// How many events and how many traces there were, if some are added or ended.
    counts: Option<[u64; 2]>,
    /// The earliest deadline that they set.
    deadline: Option<Timestamp>,
}

impl RunHandle {
    /// Decides what is to be done on a picture of the run as it is, and does it as one commit. When what it writes has changed meanwhile, it
    /// is decided once more, as a transaction is after a conflict. None without operations.
    pub(crate) fn commit_planned<T>(
        &self,
        mut plan: impl FnMut(&View) -> Result<(Vec<Operation>, T)>,
    ) -> Result<(Option<Commit>, T)> {
        let mut backoff = Backoff::default();
        loop {
            self.refuse_done(self)?;
            let picture = self.snapshot()?.detach()?;
            let (operations, told) = plan(&picture)?;
            if operations.is_empty() {
                return Ok((None, told));
            }
            let ground = Ground::of(&operations, &picture)?;
            let done = self.execute(move |scope| {
                ground.check(scope)?;
                operations.into_iter().try_for_each(|operation| scope.write(operation).map(drop))
            });
            match done {
                Ok(done) => return Ok((done.receipt.commit, told)),
                Err(error) => backoff.after(error)?,
            }
        }
    }
}

impl Ground {
    fn of(operations: &[Operation], picture: &View) -> Result<Ground> {
        let run = picture.run_id();
        let mut ground = Ground::default();
        let mut counts = false;
        for operation in operations {
            let deadline = match operation {
                Operation::KvPut { deadline, .. }
                | Operation::CellSet { deadline, .. }
                | Operation::KvSetDeadline { deadline, .. } => *deadline,
                _ => Deadline::None,
            };
            if let Deadline::At(deadline) = deadline {
                ground.deadline = Some(ground.deadline.map_or(deadline, |earliest| earliest.min(deadline)));
            }
            match operation {
                Operation::EventAppend { .. }
                | Operation::TraceRecord { .. }
                | Operation::TraceBegin { .. } => counts = true,
                operation => {
                    let entity = operation.entity(run);
                    // Of a document there may be many in a row.
                    if ground.things.last().is_none_or(|(last, _)| *last != entity) {
                        let version = version_of(picture, &entity)?;
                        ground.things.push((entity, version));
                    }
                }
            }
        }
        if counts {
            ground.counts = Some(counts_of(picture)?);
        }
        Ok(ground)
    }

    /// Refuses where the run is not as the picture was.
    fn check(&self, scope: &Scope<'_, '_, '_>) -> Result<()> {
        for (entity, seen) in &self.things {
            let found = version_of(scope, entity)?;
            if found != *seen {
                return Err(conflict(entity.clone(), *seen, found));
            }
        }
        let changed = |message: &str| {
            let error = Error::new(ErrorKind::Conflict, message);
            Err(error.with_entity(EntityRef::run(scope.run_id())))
        };
        if self.counts.is_some() && self.counts != Some(counts_of(scope)?) {
            return changed("events or traces were added meanwhile");
        }
        match self.deadline {
            Some(deadline) if deadline <= scope.now() => {
                changed("a deadline that is to be set has passed meanwhile")
            }
            _ => Ok(()),
        }
    }
}

fn version_of(reads: &impl Reads, entity: &EntityRef) -> Result<Version> {
    Ok(reads.stat(entity)?.map_or(Version::NEVER, |found| found.version))
}

fn counts_of(reads: &impl Reads) -> Result<[u64; 2]> {
    Ok([reads.event_count()?.value, reads.trace_count(None)?.value])
}
