//! What can be refused without looking at a run: sizes, names and shapes.
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::erasure::ERASURE_REASON_SIZE_MAX;
use crate::error::{Error, ErrorKind};
use crate::id::RunId;
use crate::json::{Pointer, check_json};
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::limits::Limits;
use crate::operation::Operation;
use crate::retention::Retention;
use crate::run_meta::RunSpec;
use crate::trace_id::TraceId;
use crate::value::Value;

impl Operation {
    /// Refuses what breaks a limit. Callers do so before anything is sent; validation does it again.
    ///
    /// # Errors
    /// `InvalidArgument` naming the limit, the given size and the entity.
    pub fn check(&self, run: RunId, limits: &Limits) -> Result<(), Error> {
        let check = Check { run, limits };
        match self {
            Self::KvGet { key }
            | Self::KvExists { key }
            | Self::KvTtl { key }
            | Self::KvDelete { key }
            | Self::KvIncrement { key, .. }
            | Self::KvSetDeadline { key, .. }
            | Self::KvClearDeadline { key } => check.key(key),
            Self::KvGetMany { keys } => {
                check.of_run(limits.check_items(keys.len(), "list of keys"))?;
                keys.iter().try_for_each(|key| check.key(key))
            }
            Self::KvList { prefix, start_after, limit, .. } => {
                check.of_run(limits.check_prefix(prefix))?;
                check.of_run(limits.check_prefix(start_after.as_deref().unwrap_or("")))?;
                check.page(*limit)
            }
            Self::KvCount { prefix } | Self::KvDeletePrefix { prefix } => {
                check.of_run(limits.check_prefix(prefix))
            }
            Self::KvPut { key, value, .. } | Self::KvPutIf { key, value, .. } => check.put(key, value),
            Self::KvPutMany { entries } => {
                check.of_run(limits.check_items(entries.len(), "list of entries"))?;
                entries.iter().try_for_each(|entry| check.put(&entry.key, &entry.value))
            }
            Self::Expire { limit } => check.page(*limit),
            Self::CellInit { name, value, .. }
            | Self::CellSet { name, value, .. }
            | Self::CellCas { name, value, .. } => check.cell(name, Some(value)),
            Self::CellRead { name } | Self::CellTtl { name } | Self::CellDelete { name } => {
                check.cell(name, None)
            }
            Self::CellList { prefix, start_after, limit, .. } => {
                check.of_run(limits.check_prefix(prefix))?;
                check.of_run(limits.check_prefix(start_after.as_deref().unwrap_or("")))?;
                check.page(*limit)
            }
            Self::EntityStat { entity } => check.entity(entity),
            Self::JsonCreate { name, value } => check.document(name, Some(value)),
            Self::JsonSet { name, path, value }
            | Self::JsonCas { name, path, value, .. }
            | Self::JsonAppend { name, path, value } => check.place(name, path, Some(value)),
            Self::JsonGet { name, path } | Self::JsonDelete { name, path } => check.place(name, path, None),
            Self::JsonMerge { name, path, patch } => {
                check.place(name, path, None)?;
                check_json(patch).map_err(|error| error.with_entity(EntityRef::json(run, name.clone())))
            }
            Self::JsonPatch { name, patch } => {
                check.document(name, None)?;
                check.of_run(limits.check_items(patch.len(), "patch"))
            }
            Self::JsonDestroy { name } => check.document(name, None),
            Self::JsonList { prefix, start_after, limit, .. } => {
                check.of_run(limits.check_prefix(prefix))?;
                check.of_run(limits.check_prefix(start_after.as_deref().unwrap_or("")))?;
                check.page(*limit)
            }
            Self::EventAppend { kind, payload, .. } => check.event(kind, payload),
            Self::EventAppendMany { events } => {
                check.of_run(limits.check_items(events.len(), "list of events"))?;
                events.iter().try_for_each(|event| check.event(&event.kind, &event.payload))
            }
            Self::EventRange { limit, .. } => check.page(*limit),
            Self::EventByType { kind, limit, .. } => {
                check.of_run(limits.check_event_kind(kind))?;
                check.page(*limit)
            }
            Self::EventLen { kind } | Self::EventHead { kind } => {
                kind.iter().try_for_each(|kind| check.of_run(limits.check_event_kind(kind)))
            }
            Self::RunCreate { spec } | Self::RunBegin { spec } => check.spec(spec),
            Self::RunSetTags { tags } => check.of_run(limits.check_tags(tags)),
            Self::RunSetMetadata { metadata } => encode_metadata(metadata, run, limits).map(drop),
            Self::RunSetRetention { retention }
            | Self::RunSetEventRetention { retention }
            | Self::RunSetTraceRetention { retention } => check.retention(*retention),
            Self::RunErase { entity, reason, .. } => {
                check.entity(entity)?;
                check.of_run(limits.check_size(
                    "the longest reason",
                    ERASURE_REASON_SIZE_MAX,
                    reason.len(),
                    "reason of an erasure",
                ))
            }
            Self::TraceRecord { trace } => check.of_trace(trace.id, trace.check(limits)),
            Self::TraceBegin { trace } => check.of_trace(trace.id, trace.check_span(limits)),
            Self::TraceEnd { id, end } => check.of_trace(*id, end.check(limits)),
            Self::TraceList { filter, limit, .. } => {
                check.of_run(filter.check(limits))?;
                check.page(*limit)
            }
            Self::TraceTree { limit, .. } => check.page(*limit),
            Self::TraceCount { kind } => {
                kind.iter().try_for_each(|kind| check.of_run(limits.check_trace_kind(kind)))
            }
            Self::EventRead { .. }
            | Self::EventVerifyChain
            | Self::EventFirst
            | Self::TraceFirst
            | Self::RunGet
            | Self::RunReceipt { .. }
            | Self::RunUpdateStatus { .. }
            | Self::RunDelete
            | Self::TraceGet { .. } => Ok(()),
        }
    }

    /// Refuses what breaks a limit of this store in an operation whose values were encoded in another. Of an encoded value
    /// [`check`](Self::check) looks at the size alone: how deep it is and how many items it has was refused where it was encoded.
    ///
    /// # Errors
    /// Those of `check` and of decoding a value.
    pub fn check_encoded_elsewhere(&self, run: RunId, limits: &Limits) -> Result<(), Error> {
        self.check(run, limits)?;
        let decoded = |value: &Encoded, entity: &dyn Fn() -> EntityRef| {
            Encoded::from_value(&value.to_value()?, limits, entity).map(drop)
        };
        match self {
            Self::KvPut { key, value, .. } | Self::KvPutIf { key, value, .. } => {
                decoded(value, &|| EntityRef::kv(run, key.clone()))
            }
            Self::KvPutMany { entries } => entries
                .iter()
                .try_for_each(|entry| decoded(&entry.value, &|| EntityRef::kv(run, entry.key.clone()))),
            Self::CellInit { name, value, .. }
            | Self::CellSet { name, value, .. }
            | Self::CellCas { name, value, .. } => decoded(value, &|| EntityRef::cell(run, name.clone())),
            Self::JsonCreate { name, value }
            | Self::JsonSet { name, value, .. }
            | Self::JsonCas { name, value, .. }
            | Self::JsonAppend { name, value, .. } => decoded(value, &|| EntityRef::json(run, name.clone())),
            Self::EventAppend { payload, .. } => decoded(payload, &|| EntityRef::run(run)),
            Self::EventAppendMany { events } => {
                events.iter().try_for_each(|event| decoded(&event.payload, &|| EntityRef::run(run)))
            }
            // What others write is no encoded value: that of a trace, of metadata, of a patch.
            _ => Ok(()),
        }
    }
}

/// The stored form of a run's metadata, refused beyond its own, lower limit.
pub(crate) fn encode_metadata(metadata: &Value, run: RunId, limits: &Limits) -> Result<Encoded, Error> {
    let encoded = Encoded::from_value(metadata, limits, || EntityRef::run(run))
        .map_err(|error| error.with_context("metadata"))?;
    limits
        .check_size("metadata_size_max", limits.metadata_size_max, encoded.content_size(), "metadata")
        .map_err(|error| error.with_entity(EntityRef::run(run)))?;
    Ok(encoded)
}

struct Check<'a> {
    run: RunId,
    limits: &'a Limits,
}

/// Refuses the name of a key or a cell that none can have, as [`Operation::check`] does.
///
/// # Errors
/// `InvalidArgument` naming the limit, the given size and the entity.
pub fn check_key(kind: KeyKind, name: &str, run: RunId, limits: &Limits) -> Result<(), Error> {
    let check = Check { run, limits };
    match kind {
        KeyKind::Kv => check.key(name),
        KeyKind::Cell => check.cell(name, None),
    }
}

impl Check<'_> {
    fn of_run(&self, result: Result<(), Error>) -> Result<(), Error> {
        result.map_err(|error| error.with_entity(EntityRef::run(self.run)))
    }

    fn of_trace(&self, id: TraceId, result: Result<(), Error>) -> Result<(), Error> {
        result.map_err(|error| error.with_entity(EntityRef::trace(self.run, id)))
    }

    /// A key that is too long to be one is not repeated in the error: the run stands for it.
    fn key(&self, key: &str) -> Result<(), Error> {
        self.limits.check_key(key).map_err(|error| {
            let is_printable = key.len() <= self.limits.key_size_max;
            error.with_entity(if is_printable {
                EntityRef::kv(self.run, key)
            } else {
                EntityRef::run(self.run)
            })
        })
    }

    fn put(&self, key: &str, value: &Encoded) -> Result<(), Error> {
        self.key(key)?;
        value.check(self.limits).map_err(|error| error.with_entity(EntityRef::kv(self.run, key)))
    }

    fn cell(&self, name: &str, value: Option<&Encoded>) -> Result<(), Error> {
        self.of_run(self.limits.check_cell_name(name))?;
        value
            .map_or(Ok(()), |value| value.check(self.limits))
            .map_err(|error| error.with_entity(EntityRef::cell(self.run, name)))
    }

    fn document(&self, name: &Key, value: Option<&Encoded>) -> Result<(), Error> {
        self.of_run(self.limits.check_document_name(name))?;
        let checked = value.map_or(Ok(()), |value| value.check(self.limits));
        checked.map_err(|error| error.with_entity(EntityRef::json(self.run, name.clone())))
    }

    fn place(&self, name: &Key, path: &Pointer, value: Option<&Encoded>) -> Result<(), Error> {
        self.document(name, value)?;
        let checked = self.limits.check_path(path.token_count());
        checked.map_err(|error| error.with_entity(EntityRef::json(self.run, name.clone())))
    }

    /// What is asked about has to be of this run, and has to have a name that something could have.
    fn entity(&self, entity: &EntityRef) -> Result<(), Error> {
        if entity.run_id() != self.run {
            let message = format!("{entity} is not of run {}: ask the run that it is of", self.run);
            return self.of_run(Err(invalid(message)));
        }
        match entity {
            EntityRef::Kv { key, .. } => self.key(key),
            EntityRef::Cell { name, .. } => self.cell(name, None),
            EntityRef::Json { name, .. } => self.document(name, None),
            EntityRef::Event { .. } | EntityRef::Trace { .. } | EntityRef::Run { .. } => Ok(()),
        }
    }

    fn event(&self, kind: &str, payload: &Encoded) -> Result<(), Error> {
        self.of_run(self.limits.check_event_kind(kind))?;
        self.of_run(payload.check(self.limits))
    }

    fn page(&self, limit: usize) -> Result<(), Error> {
        if limit > 0 {
            return Ok(());
        }
        self.of_run(Err(invalid("a page of 0 items was asked for, at least 1 is needed".to_owned())))
    }

    fn retention(&self, retention: Option<Retention>) -> Result<(), Error> {
        self.of_run(retention.map_or(Ok(()), Retention::check))
    }

    fn spec(&self, spec: &RunSpec) -> Result<(), Error> {
        let RunSpec { name, namespace, parent, tags, metadata, durability: _, .. } = spec;
        let RunSpec { retention, event_retention, trace_retention, .. } = spec;
        if let Some(name) = name {
            self.of_run(self.limits.check_run_name(name))?;
        }
        self.of_run(self.limits.check_namespace(namespace))?;
        self.of_run(self.limits.check_tags(tags))?;
        [retention, event_retention, trace_retention]
            .into_iter()
            .try_for_each(|kept| self.retention(*kept))?;
        if *parent == Some(self.run) {
            return self.of_run(Err(invalid("a run cannot be its own parent".to_owned())));
        }
        encode_metadata(metadata, self.run, self.limits).map(drop)
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
