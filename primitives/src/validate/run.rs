//! Decisions about the run itself.
use super::{Answer, Decision};
use crate::check::encode_metadata;
use crate::effect::Effect;
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::id::OperationId;
use crate::mutation::Mutation;
use crate::place::Place;
use crate::receipt::Receipt;
use crate::retention::Retention;
use crate::run_meta::{RunInfo, RunMeta, RunSpec};
use crate::run_status::RunStatus;
use crate::value::Value;
use crate::version::Version;

impl Decision<'_, '_> {
    pub(super) fn create(&mut self, spec: RunSpec) -> Result<Answer, Error> {
        if self.draft.meta().is_some() {
            let message = "the run exists: begin it, or choose another name".to_owned();
            return Err(self.about_run(ErrorKind::AlreadyExists, message));
        }
        self.stage_create(spec)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn begin(&mut self, spec: RunSpec) -> Result<Answer, Error> {
        let known = self.draft.meta().map(|meta| (meta.status, meta.begun_in_boot));
        match known {
            None => self.stage_create(spec)?,
            Some((RunStatus::Active, boot)) if boot == self.boot => {}
            Some((RunStatus::Active | RunStatus::Paused, _)) => self.stage_begin()?,
            Some((status, _)) => {
                let message = format!("the run is {status} and cannot be begun again: choose another name");
                return Err(self.about_run(ErrorKind::RunClosed, message));
            }
        }
        Ok(Answer::Write(Effect::Existed(known.is_some())))
    }

    pub(super) fn update_status(&mut self, next: RunStatus) -> Result<Answer, Error> {
        let current = self.status();
        let is_begun = self.draft.meta().is_some_and(|meta| meta.begun_in_boot == self.boot);
        if current == next && (next != RunStatus::Active || is_begun) {
            return Ok(Answer::Write(Effect::None));
        }
        if current != next && !current.can_become(next) {
            let kind = if current.is_finished() { ErrorKind::RunClosed } else { ErrorKind::InvalidArgument };
            return Err(self.about_run(kind, format!("the run is {current} and cannot become {next}")));
        }
        if next == RunStatus::Active {
            // Whoever takes a run up again begins it in this boot, or it would count as orphaned.
            self.stage_begin()?;
        } else {
            let previous = self.draft.meta_version();
            self.draft.stage(Mutation::RunStatus { status: next, previous }, self.limits)?;
        }
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn set_tags(&mut self, tags: Vec<String>) -> Result<Answer, Error> {
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::RunTags { tags: each_once(tags), previous }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn set_metadata(&mut self, metadata: &Value) -> Result<Answer, Error> {
        let metadata = encode_metadata(metadata, self.draft.run_id(), self.limits)?;
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::RunMetadata { metadata, previous }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn set_retention(&mut self, retention: Option<Retention>) -> Result<Answer, Error> {
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::RunRetention { retention, previous }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    /// What is not kept any more goes when the whole commit is known: see [`trim_entries`](super::trim_entries).
    pub(super) fn set_event_retention(&mut self, retention: Option<Retention>) -> Result<Answer, Error> {
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::EventRetention { retention, previous }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    /// As with events.
    pub(super) fn set_trace_retention(&mut self, retention: Option<Retention>) -> Result<Answer, Error> {
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::TraceRetention { retention, previous }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn delete_run(&mut self) -> Result<Answer, Error> {
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::RunDelete { previous }, self.limits)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn info(&mut self) -> Option<RunInfo> {
        self.draft.record(Place::Run { has_own: self.draft.has_staged() });
        self.draft.info(self.now)
    }

    pub(super) fn receipt(&mut self, id: &OperationId) -> Option<Receipt> {
        self.draft.record(Place::Receipt { id: *id });
        self.draft.view().receipt(id).cloned()
    }

    fn status(&self) -> RunStatus {
        self.draft.meta().expect("the run was admitted because it exists").status
    }

    fn stage_create(&mut self, spec: RunSpec) -> Result<(), Error> {
        let RunSpec { name, namespace, parent, tags, metadata, durability, .. } = spec;
        let RunSpec { retention, event_retention, trace_retention, .. } = spec;
        let meta = RunMeta {
            name,
            namespace,
            parent,
            tags: each_once(tags),
            metadata: encode_metadata(&metadata, self.draft.run_id(), self.limits)?,
            status: RunStatus::Active,
            created: self.now,
            begun_in_boot: self.boot,
            durability,
            retention: None,
            event_retention: None,
            trace_retention: None,
            forked_from: None,
            imported: None,
            since: Version::NEVER,
            gaps: Vec::new(),
        };
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::RunCreate { meta: Box::new(meta), previous }, self.limits)?;
        if retention.is_some() {
            self.set_retention(retention)?;
        }
        if event_retention.is_some() {
            self.set_event_retention(event_retention)?;
        }
        if trace_retention.is_some() {
            self.set_trace_retention(trace_retention)?;
        }
        Ok(())
    }

    fn stage_begin(&mut self) -> Result<(), Error> {
        let previous = self.draft.meta_version();
        self.draft.stage(Mutation::RunBegin { boot: self.boot, previous }, self.limits)
    }

    #[cold]
    fn about_run(&self, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, message).with_entity(EntityRef::run(self.draft.run_id()))
    }
}

/// Tags are a set that keeps the order it was given in.
fn each_once(tags: Vec<String>) -> Vec<String> {
    let mut kept = Vec::with_capacity(tags.len());
    for tag in tags {
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    kept
}
