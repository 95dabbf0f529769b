//! A write as this test speaks of it, and how it is asked of a store.

use strata::{
    Batch, Condition, Deadline, Effect, NewTrace, Result, RunStatus, Timestamp, TraceEnd, TraceId, Value,
    Version, Writes,
};

use crate::patch::Patch;

/// One write to a run.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put { key: String, value: Value, deadline: Deadline },
    PutMany(Vec<(String, Value)>),
    PutIf { key: String, value: Value, condition: Condition },
    Delete(String),
    DeletePrefix(String),
    Increment { key: String, by: i64 },
    SetDeadline { key: String, deadline: Timestamp },
    ClearDeadline(String),
    Append { kind: String, payload: Value },
    AppendMany(Vec<(String, Value)>),
    CellInit { name: String, value: Value, deadline: Deadline },
    CellSet { name: String, value: Value, deadline: Deadline },
    CellCas { name: String, expected: Version, value: Value, deadline: Deadline },
    CellDelete(String),
    JsonCreate { name: String, value: Value },
    JsonSet { name: String, path: String, value: Value },
    JsonCas { name: String, expected: Version, path: String, value: Value },
    JsonDelete { name: String, path: String },
    JsonPatch { name: String, patch: Vec<Patch> },
    JsonMerge { name: String, path: String, patch: Value },
    JsonAppend { name: String, path: String, value: Value },
    JsonDestroy(String),
    Record(NewTrace),
    Begin(NewTrace),
    End { id: TraceId, end: TraceEnd },
    Status(RunStatus),
    Tags(Vec<String>),
    Metadata(Value),
}

/// What a write was answered: its receipt, where it changed something, and what it showed.
#[derive(Debug)]
pub(crate) enum Told<R, A> {
    Nothing(Option<i64>),
    Done(R, Option<i64>),
    Appended(A),
}

impl<R, A> Told<R, A> {
    fn of(receipt: Option<R>) -> Told<R, A> {
        receipt.map_or(Told::Nothing(None), |receipt| Told::Done(receipt, None))
    }

    pub(crate) fn has_changed(&self) -> bool {
        !matches!(self, Told::Nothing(_))
    }

    pub(crate) fn shown(&self) -> Option<i64> {
        match self {
            Told::Nothing(shown) | Told::Done(_, shown) => *shown,
            Told::Appended(_) => None,
        }
    }
}

/// What a write with this effect shows its caller beside its receipt.
pub(crate) fn shown_of(effect: Effect) -> Option<i64> {
    match effect {
        Effect::Integer(sum) => Some(sum),
        Effect::Count(count) => Some(count as i64),
        _ => None,
    }
}

impl Write {
    /// Whether it is about the run itself, which takes it in any status.
    pub(crate) fn is_about_run(&self) -> bool {
        matches!(self, Write::Status(_) | Write::Tags(_) | Write::Metadata(_))
    }

    /// Whether a transaction keeps it until its next step.
    pub(crate) fn is_blind(&self) -> bool {
        match self {
            Write::PutMany(entries) | Write::AppendMany(entries) => !entries.is_empty(),
            Write::Put { .. }
            | Write::CellSet { .. }
            | Write::Append { .. }
            | Write::Tags(_)
            | Write::Metadata(_) => true,
            _ => false,
        }
    }

    /// The document it is about.
    pub(crate) fn document(&self) -> Option<&str> {
        match self {
            Write::JsonCreate { name, .. }
            | Write::JsonSet { name, .. }
            | Write::JsonCas { name, .. }
            | Write::JsonDelete { name, .. }
            | Write::JsonPatch { name, .. }
            | Write::JsonMerge { name, .. }
            | Write::JsonAppend { name, .. }
            | Write::JsonDestroy(name) => Some(name),
            _ => None,
        }
    }

    /// Asks it of a run, a transaction or a closure's scope.
    pub(crate) fn perform<W: Writes>(&self, run: &W) -> Result<Told<W::Receipt, W::Appended>> {
        let none = Deadline::None;
        Ok(match self {
            Write::Put { key, value, deadline } => Told::of(Some(match deadline {
                Deadline::None => run.put(key, value.clone())?,
                Deadline::In(ttl) => run.put_with_ttl(key, value.clone(), *ttl)?,
                Deadline::At(deadline) => run.put_until(key, value.clone(), *deadline)?,
            })),
            Write::PutMany(entries) => Told::of(run.put_many(entries.clone())?),
            Write::PutIf { key, value, condition } => {
                Told::of(Some(run.put_if(key, value.clone(), *condition)?))
            }
            Write::Delete(key) => Told::of(run.delete(key)?),
            Write::DeletePrefix(prefix) => match run.delete_prefix(prefix)? {
                (count, None) => Told::Nothing(Some(count as i64)),
                (count, Some(receipt)) => Told::Done(receipt, Some(count as i64)),
            },
            Write::Increment { key, by } => {
                let (sum, receipt) = run.increment(key, *by)?;
                Told::Done(receipt, Some(sum))
            }
            Write::SetDeadline { key, deadline } => Told::of(run.set_deadline(key, *deadline)?),
            Write::ClearDeadline(key) => Told::of(run.clear_deadline(key)?),
            Write::Append { kind, payload } => Told::Appended(run.append(kind, payload.clone())?),
            Write::AppendMany(events) => {
                run.append_many(events.clone())?.map_or(Told::Nothing(None), Told::Appended)
            }
            Write::CellInit { name, value, deadline } if *deadline == none => {
                Told::of(Some(run.cell_init(name, value.clone())?))
            }
            Write::CellInit { name, value, deadline } => {
                Told::of(Some(run.cell_init_expiring(name, value.clone(), *deadline)?))
            }
            Write::CellSet { name, value, deadline } if *deadline == none => {
                Told::of(Some(run.cell_set(name, value.clone())?))
            }
            Write::CellSet { name, value, deadline } => {
                Told::of(Some(run.cell_set_expiring(name, value.clone(), *deadline)?))
            }
            Write::CellCas { name, expected, value, deadline } if *deadline == none => {
                Told::of(Some(run.cell_cas(name, *expected, value.clone())?))
            }
            Write::CellCas { name, expected, value, deadline } => {
                Told::of(Some(run.cell_cas_expiring(name, *expected, value.clone(), *deadline)?))
            }
            Write::CellDelete(name) => Told::of(run.cell_delete(name)?),
            Write::Record(trace) => Told::of(Some(run.trace_record(trace.clone())?.1)),
            Write::Begin(trace) => Told::of(Some(run.trace_begin(trace.clone())?.1)),
            Write::End { id, end } => Told::of(Some(run.trace_end(*id, end.clone())?)),
            Write::Status(status) => Told::of(match status {
                RunStatus::Active => run.resume()?,
                RunStatus::Archived => run.archive()?,
                RunStatus::Paused => run.update_status(*status)?,
                end => run.end(*end)?,
            }),
            Write::Tags(tags) => Told::of(run.set_tags(tags.clone())?),
            Write::Metadata(metadata) => Told::of(run.set_metadata(metadata.clone())?),
            document => document.perform_json(run)?,
        })
    }

    fn perform_json<W: Writes>(&self, run: &W) -> Result<Told<W::Receipt, W::Appended>> {
        Ok(Told::of(match self {
            Write::JsonCreate { name, value } => Some(run.json_create(name, value.clone())?),
            Write::JsonSet { name, path, value } => Some(run.json_set(name, path, value.clone())?),
            Write::JsonCas { name, expected, path, value } => {
                Some(run.json_cas(name, *expected, path, value.clone())?)
            }
            Write::JsonDelete { name, path } => run.json_delete(name, path)?,
            Write::JsonPatch { name, patch } => run.json_patch(name, &patch_value(patch))?,
            Write::JsonMerge { name, path, patch } => run.json_merge(name, path, patch.clone())?,
            Write::JsonAppend { name, path, value } => Some(run.json_append(name, path, value.clone())?),
            Write::JsonDestroy(name) => run.json_destroy(name)?,
            other => unreachable!("{other:?} is about no document"),
        }))
    }

    /// Adds it to a batch.
    pub(crate) fn add_to(&self, batch: &mut Batch) -> Result<()> {
        match self {
            Write::Put { key, value, deadline } => match deadline {
                Deadline::None => batch.put(key, value.clone())?,
                Deadline::In(ttl) => batch.put_with_ttl(key, value.clone(), *ttl)?,
                Deadline::At(deadline) => batch.put_until(key, value.clone(), *deadline)?,
            },
            Write::PutMany(entries) => batch.put_many(entries.clone())?,
            Write::PutIf { key, value, condition } => batch.put_if(key, value.clone(), *condition)?,
            Write::Delete(key) => batch.delete(key)?,
            Write::DeletePrefix(prefix) => batch.delete_prefix(prefix)?,
            Write::Increment { key, by } => batch.increment(key, *by)?,
            Write::SetDeadline { key, deadline } => batch.set_deadline(key, *deadline)?,
            Write::ClearDeadline(key) => batch.clear_deadline(key)?,
            Write::Append { kind, payload } => batch.append(kind, payload.clone())?,
            Write::AppendMany(events) => batch.append_many(events.clone())?,
            Write::CellInit { name, value, deadline } => {
                batch.cell_init_expiring(name, value.clone(), *deadline)?
            }
            Write::CellSet { name, value, deadline } => {
                batch.cell_set_expiring(name, value.clone(), *deadline)?
            }
            Write::CellCas { name, expected, value, deadline } => {
                batch.cell_cas_expiring(name, *expected, value.clone(), *deadline)?
            }
            Write::CellDelete(name) => batch.cell_delete(name)?,
            Write::JsonCreate { name, value } => batch.json_create(name, value.clone())?,
            Write::JsonSet { name, path, value } => batch.json_set(name, path, value.clone())?,
            Write::JsonCas { name, expected, path, value } => {
                batch.json_cas(name, *expected, path, value.clone())?
            }
            Write::JsonDelete { name, path } => batch.json_delete(name, path)?,
            Write::JsonPatch { name, patch } => batch.json_patch(name, &patch_value(patch))?,
            Write::JsonMerge { name, path, patch } => batch.json_merge(name, path, patch.clone())?,
            Write::JsonAppend { name, path, value } => batch.json_append(name, path, value.clone())?,
            Write::JsonDestroy(name) => batch.json_destroy(name)?,
            Write::Record(trace) => batch.trace_record(trace.clone())?,
            Write::Begin(trace) => batch.trace_begin(trace.clone())?,
            Write::End { id, end } => batch.trace_end(*id, end.clone())?,
            Write::Status(status) => batch.update_status(*status)?,
            Write::Tags(tags) => batch.set_tags(tags.clone())?,
            Write::Metadata(metadata) => batch.set_metadata(metadata.clone())?,
        };
        Ok(())
    }
}

fn patch_value(patch: &[Patch]) -> Value {
    Value::Array(patch.iter().map(Patch::to_value).collect())
}
