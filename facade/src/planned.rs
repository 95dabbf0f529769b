//! Commits that are decided on a picture of a run, and made if nothing of it has changed since.

use strata_primitives::{
    Cause, Commit, Deadline, EntityRef, Error, ErrorKind, Operation, Timestamp, Version, conflict,
};

use crate::Result;
use crate::handle::RunHandle;
use crate::reads::Reads;
use crate::retry::Backoff;
use crate::scope::Scope;
use crate::view::View;
use crate::writes::Writes;

/// What is to be done, and why.
pub(crate) struct Planned<T> {
    pub(crate) operations: Vec<Operation>,
    /// Of the commit, unless its handle has one.
    pub(crate) cause: Cause,
    /// What its planner wants to know again.
    pub(crate) told: T,
}

/// What operations were decided by.
#[derive(Debug)]
struct Ground {
    /// When the run was created: a run that was begun anew is another one.
    created: Timestamp,
    /// What had been erased.
    erasure_mark: u64,
    /// The things they write, each with the version that it had; `NEVER` where it was not there.
    things: Vec<(EntityRef, Version)>,
    /// How many events there were, if some are appended, and how many traces, if some are recorded.
    events: Option<u64>,
    traces: Option<u64>,
    /// The earliest deadline that they set.
    deadline: Option<Timestamp>,
}

impl RunHandle {
    /// Decides what is to be done on a picture of the run as it is, and does it as one commit. When what it writes has changed meanwhile, or
    /// something was erased, it is decided once more, as a transaction is after a conflict: whatever else it is decided on is to be looked at
    /// behind the picture, each time anew. None without operations.
    pub(crate) fn commit_planned<T>(
        &self,
        mut plan: impl FnMut(&View) -> Result<Planned<T>>,
    ) -> Result<(Option<Commit>, T)> {
        let mut backoff = Backoff::default();
        loop {
            self.refuse_done(self)?;
            let picture = self.snapshot()?.detach()?;
            let Planned { operations, cause, told } = plan(&picture)?;
            if operations.is_empty() {
                return Ok((None, told));
            }
            let ground = Ground::of(&operations, &picture)?;
            let done = self.caused_by(cause).execute(move |scope| {
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
        let (run, created) = (picture.run_id(), picture.info()?.created);
        let (erasure_mark, things, deadline) = (picture.erasure_mark(), Vec::new(), None);
        let mut ground = Ground { created, erasure_mark, things, events: None, traces: None, deadline };
        if operations.iter().any(|operation| matches!(operation, Operation::EventAppend { .. })) {
            ground.events = Some(picture.event_count()?.value);
        }
        let records = |operation: &Operation| {
            matches!(operation, Operation::TraceRecord { .. } | Operation::TraceBegin { .. })
        };
        if operations.iter().any(records) {
            ground.traces = Some(picture.trace_count(None)?.value);
        }
        for operation in operations {
            if let Some(set) = deadline_of(operation) {
                ground.deadline = Some(ground.deadline.map_or(set, |earliest| earliest.min(set)));
            }
            match operation {
                // How many there are tells.
                Operation::EventAppend { .. }
                | Operation::TraceRecord { .. }
                | Operation::TraceBegin { .. } => {}
                // Of blind writes the last one stays.
                Operation::RunSetTags { .. } | Operation::RunSetMetadata { .. } => {}
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
        Ok(ground)
    }

    /// Refuses where the run is not as the picture was.
    fn check(&self, scope: &Scope<'_, '_, '_>) -> Result<()> {
        let changed = |message: &str| {
            let error = Error::new(ErrorKind::Conflict, message);
            Err(error.with_entity(EntityRef::run(scope.run_id())))
        };
        if scope.info().ok().map(|info| info.created) != Some(self.created) {
            return changed("the run was deleted or begun anew meanwhile");
        }
        if scope.erasure_mark() != self.erasure_mark {
            return changed("something was erased meanwhile");
        }
        for (entity, seen) in &self.things {
            match version_of(scope, entity) {
                Ok(found) if found == *seen => {}
                Ok(found) => return Err(conflict(entity.clone(), *seen, found)),
                // It was removed meanwhile.
                Err(_) => return changed("a trace was removed meanwhile"),
            }
        }
        let is_more = |known: Option<u64>, found: u64| known.is_some_and(|known| known != found);
        if is_more(self.events, scope.event_count()?.value) {
            return changed("events were appended meanwhile");
        }
        if is_more(self.traces, scope.trace_count(None)?.value) {
            return changed("traces were recorded meanwhile");
        }
        match self.deadline {
            Some(deadline) if deadline <= scope.now() => {
                changed("a deadline that is to be set has passed meanwhile")
            }
            _ => Ok(()),
        }
    }
}

fn deadline_of(operation: &Operation) -> Option<Timestamp> {
    match operation {
        Operation::KvPut { deadline: Deadline::At(deadline), .. }
        | Operation::CellSet { deadline: Deadline::At(deadline), .. }
        | Operation::KvSetDeadline { deadline: Deadline::At(deadline), .. } => Some(*deadline),
        _ => None,
    }
}

fn version_of(reads: &impl Reads, entity: &EntityRef) -> Result<Version> {
    Ok(reads.stat(entity)?.map_or(Version::NEVER, |found| found.version))
}
