//! Forking a run: one commit of a new run, which shares everything with the one it begins as.

use std::sync::Arc;

use strata_primitives::{
    Durability, EntityRef, Error, ErrorKind, ForkPoint, Mutation, RunId, RunMeta, RunStatus, Stamp, Version,
};

use crate::base::{Base, Origin};
use crate::commit::{Staged, Step};
use crate::message::{Reply, SentOptions};
use crate::run::{Need, Run};
use crate::shard::{Shard, Then};

/// A fork that is wanted.
#[derive(Debug)]
pub struct ForkRequest {
    /// The run that is forked.
    pub(crate) run: RunId,
    /// Which version of it; `None` is the newest.
    pub(crate) version: Option<Version>,
    /// The id that the fork gets.
    pub(crate) fork: RunId,
    /// What the caller said about it.
    pub(crate) options: SentOptions,
    /// What it begins as, once that is made.
    pub(crate) base: Option<Arc<Base>>,
    /// Where the answer goes.
    pub(crate) reply: Reply,
}

impl Shard {
    /// Forks a run, now or once the version that is wanted is made.
    pub(crate) fn fork(&mut self, mut request: Box<ForkRequest>) {
        let need = self.need_of(request.run);
        if self.runs.contains(request.fork) {
            let error = Error::new(ErrorKind::AlreadyExists, "the id of the fork belongs to another run");
            let error = error.with_entity(EntityRef::run(request.fork));
            return self.withheld.answer(request.reply, Err(error), need, &self.progress);
        }
        let base = match request.base.take() {
            Some(base) => Ok(Some(base)),
            None => self.base_of(request.run, request.version),
        };
        match base {
            Ok(Some(base)) => {
                let staged = self.stage_fork(&request, &base, need);
                let step = match staged {
                    Ok(staged) => self.commit(staged),
                    Err(error) => {
                        self.runs.abandon_fork(request.fork);
                        Step::Done(Err(error.with_entity(EntityRef::run(request.run))), need)
                    }
                };
                self.carry(step, Then::Batch(request.reply));
            }
            Ok(None) => self.await_past_for(request),
            Err(error) => {
                let error = error.with_entity(EntityRef::run(request.run));
                self.withheld.answer(request.reply, Err(error), need, &self.progress);
            }
        }
    }

    /// What a fork of a version begins as; `None` where it is to be made first.
    fn base_of(&mut self, id: RunId, version: Option<Version>) -> Result<Option<Arc<Base>>, Error> {
        let missing = || Error::new(ErrorKind::NotFound, "the run does not exist: create or begin it first");
        let run = self.runs.get(id).ok_or_else(missing)?;
        let newest = run.state.version();
        if version.is_some_and(|version| version != newest) {
            return Ok(None);
        }
        if !run.state.exists() {
            return Err(missing());
        }
        let origin = Origin { point: ForkPoint { run: id, version: newest }, record: run.place };
        let base = self.bases.at(origin);
        if base.state().is_none() {
            base.fill_from_live(run.state.share());
        }
        Ok(Some(base))
    }

    fn stage_fork(&mut self, request: &ForkRequest, base: &Arc<Base>, need: Need) -> Result<Staged, Error> {
        self.check_takes_commits("fork")?;
        let was = base.state().expect("a fork waits until what it begins as is made");
        let Some(meta) = was.meta().cloned() else {
            return Err(Error::new(ErrorKind::NotFound, "the run did not exist at this version"));
        };
        let options = request.options.as_deref();
        let durability =
            self.setup.promise(meta.durability, options.and_then(|options| options.durability))?;
        let stamp = Stamp { version: was.version().next(), timestamp: self.now.max(was.timestamp()) };
        let RunMeta { retention, event_retention, trace_retention, .. } = meta;
        let meta = RunMeta {
            name: None,
            parent: Some(request.run),
            status: RunStatus::Active,
            created: stamp.timestamp,
            begun_in_boot: self.boot.number,
            retention: None,
            event_retention: None,
            trace_retention: None,
            forked_from: None,
            imported: None,
            since: Version::NEVER,
            gaps: Vec::new(),
            ..meta
        };
        let mut mutations = std::mem::take(&mut self.spare_mutations);
        mutations.push(Mutation::RunFork { point: base.origin.point, meta: Box::new(meta) });
        if retention.is_some() {
            mutations.push(Mutation::RunRetention { retention, previous: stamp.version });
        }
        if event_retention.is_some() {
            let (retention, previous) = (event_retention, stamp.version);
            mutations.push(Mutation::EventRetention { retention, previous });
        }
        if trace_retention.is_some() {
            let (retention, previous) = (trace_retention, stamp.version);
            mutations.push(Mutation::TraceRetention { retention, previous });
        }
        let run = Box::new(Run { need, ..Run::forked(request.fork, Arc::clone(base)) });
        let (cause, body) =
            (options.and_then(|options| options.cause.clone()), std::mem::take(&mut self.spare_body));
        let staged = Staged::first(run, mutations, stamp, durability, cause, body);
        if durability > Durability::InMemory {
            // From here on, however long the log has it wait.
            self.runs.forks.enter_origin(request.fork, base.origin);
        }
        Ok(staged)
    }
}
