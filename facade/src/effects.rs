//! Effects of a run that were recorded: how they are found, listed, forked before, and recorded by hand.

use strata_primitives::{
    Commit, Direction, Encoded, EntityRef, Error, ErrorKind, RecordedEffect, TraceFilter, Value, Version,
    Versioned,
};

use crate::Result;
use crate::handle::RunHandle;
use crate::reads::Reads;
use crate::traces::Trace;
use crate::writes::Writes;

/// One page of recorded effects, in commit order.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectPage {
    /// The effects, each with the commit that recorded it.
    pub effects: Vec<Versioned<RecordedEffect>>,
    /// The `start` of the next page; `None` when everything was looked at. One page looks at 4,096 traces at most, so it may hold
    /// fewer than asked for, or none, and still have a next one.
    pub next: Option<u64>,
}

impl RunHandle {
    /// A fork of the run as it was before it recorded an effect: a program that is [executed](Self::begin_execution) in it anew is
    /// given what came before, and calls that effect and everything behind it.
    ///
    /// ```
    /// use strata::{Database, Error, Options, Reads, RunHandle, RunSpec, Writes};
    ///
    /// fn plan(run: &RunHandle) -> Result<i64, Error> {
    ///     let execution = run.begin_execution();
    ///     let price = execution.effect("price", "hotel", || Ok::<_, Error>(310))?;
    ///     let nights = execution.effect("nights", price.value.clone(), || {
    ///         Ok::<_, Error>(600 / price.value.as_int().unwrap())
    ///     })?;
    ///     run.put("nights", nights.value.clone())?;
    ///     Ok(nights.value.as_int().unwrap())
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// assert_eq!(plan(&run)?, 1);
    /// // What if the hotel had been cheaper?
    /// let other = run.fork_before_effect("price", 0)?;
    /// other.record_effect("price", 0, "hotel", 200)?;
    /// assert_eq!(plan(&other)?, 3);
    /// let (was, is) = (run.snapshot()?.detach()?, other.snapshot()?.detach()?);
    /// let page = was.diff(&is, None, 10)?;
    /// assert!(page.differences.iter().any(|found| matches!(found, strata::Difference::Key(key) if key.key == "nights")));
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound` for an effect that is not recorded, `HistoryTrimmed` for one whose trace the run does not keep any more, and those
    /// of [`fork_at`](Self::fork_at): `Unsupported` for what lives in memory among them.
    pub fn fork_before_effect(&self, name: &str, ordinal: u64) -> Result<RunHandle> {
        let Some(trace) = effect_trace(self, name, ordinal)? else {
            let message =
                format!("effect {name:?} {ordinal} is not recorded: there is nothing to fork before");
            return Err(Error::new(ErrorKind::NotFound, message).with_entity(entity_of(self, name, ordinal)));
        };
        // The commit that created the run recorded no trace, so there is one before.
        self.fork_at(Version(trace.recorded.version.0 - 1))
    }

    /// Records what an effect comes to, and calls nothing: in a [fork before it](Self::fork_before_effect) that replaces what it came to, and
    /// an execution of the program is given this. Effects of one name are recorded in their order.
    ///
    /// # Errors
    /// `AlreadyExists` when it is recorded, in this run or before that was forked; `NotFound` when the effect of this name before it is
    /// not; and as [`Execution::effect`](crate::Execution::effect) for limits and operation ids.
    pub fn record_effect(
        &self,
        name: &str,
        ordinal: u64,
        input: impl Into<Value>,
        result: impl Into<Value>,
    ) -> Result<Commit> {
        let (input, result) = (input.into(), result.into());
        self.refuse_operation_id(TAKES_NO_OPERATION_ID)?;
        RecordedEffect::check_name(name, self.limits())?;
        let about =
            |kind, message| Err(Error::new(kind, message).with_entity(entity_of(self, name, ordinal)));
        if is_recorded(self, name, ordinal)? {
            let message = format!("effect {name:?} {ordinal} is recorded: fork the run before it");
            return about(ErrorKind::AlreadyExists, message);
        }
        if let Some(before) = ordinal.checked_sub(1)
            && !is_recorded(self, name, before)?
        {
            let message = format!("effect {name:?} {ordinal} cannot be recorded yet: {before} is not");
            return about(ErrorKind::NotFound, message);
        }
        let input_hash = hash_of_input(self, name, ordinal, &input)?;
        let effect = RecordedEffect { name: name.to_owned(), ordinal, input, input_hash, result };
        Ok(self.trace_record(effect.into_trace())?.1)
    }
}

pub(crate) const TAKES_NO_OPERATION_ID: &str =
    "an effect takes no operation id: its name, its ordinal and its input say which it is";

/// Whether an effect is recorded, or was and its trace is not kept any more.
fn is_recorded(run: &RunHandle, name: &str, ordinal: u64) -> Result<bool> {
    match effect_trace(run, name, ordinal) {
        Ok(found) => Ok(found.is_some()),
        Err(error) if error.kind() == ErrorKind::HistoryTrimmed => Ok(true),
        Err(error) => Err(error),
    }
}

/// The trace of an effect, if it is recorded; whatever somebody recorded under its id.
///
/// # Errors
/// `HistoryTrimmed` when it was recorded and the run does not keep it any more.
pub(crate) fn effect_trace<R: Reads + ?Sized>(reader: &R, name: &str, ordinal: u64) -> Result<Option<Trace>> {
    RecordedEffect::check_name(name, reader.limits())?;
    let id = RecordedEffect::id_of(name, ordinal);
    match reader.trace_get(id) {
        Err(error) if error.kind() == ErrorKind::HistoryTrimmed => {}
        found => return found,
    }
    // Which traces were removed is not known, but how many of each kind there were; and effects of one name come in their order, those
    // too that a merge takes over.
    if reader.trace_count(Some(&RecordedEffect::kind_of(name)))?.value <= ordinal {
        return Ok(None);
    }
    // It may have come between the two questions.
    reader.trace_get(id).map_err(|error| error.with_context(&format!("effect {name:?} {ordinal}")))
}

/// What a trace of an effect has recorded.
///
/// # Errors
/// `WrongType` when it is erased or no effect.
pub(crate) fn recorded_in<R: Reads + ?Sized>(reader: &R, trace: Trace) -> Result<Versioned<RecordedEffect>> {
    let (id, recorded) = (trace.id, trace.recorded);
    let effect = match trace.ended {
        Some(_) => RecordedEffect::from_trace(id, trace.content),
        None => Err(Error::new(ErrorKind::WrongType, "it is no effect but a span that is open")),
    };
    let value = effect.map_err(|error| error.with_entity(EntityRef::trace(reader.run_id(), id)))?;
    Ok(Versioned { value, version: recorded.version, timestamp: recorded.timestamp })
}

/// What else has the tag of effects is none of them.
pub(crate) fn page_of<R: Reads + ?Sized>(reader: &R, start: Option<u64>, limit: usize) -> Result<EffectPage> {
    let filter = TraceFilter { tag: Some(RecordedEffect::TAG.to_owned()), ..TraceFilter::default() };
    let page = reader.trace_list(&filter, start, limit, Direction::Forward)?;
    let effects = page.traces.into_iter().filter_map(|trace| recorded_in(reader, trace).ok()).collect();
    Ok(EffectPage { effects, next: page.next })
}

pub(crate) fn entity_of<R: Reads + ?Sized>(reader: &R, name: &str, ordinal: u64) -> EntityRef {
    EntityRef::trace(reader.run_id(), RecordedEffect::id_of(name, ordinal))
}

pub(crate) fn hash_of_input<R: Reads + ?Sized>(
    reader: &R,
    name: &str,
    ordinal: u64,
    input: &Value,
) -> Result<[u8; 32]> {
    let encoded = Encoded::from_value(input, reader.limits(), || entity_of(reader, name, ordinal))?;
    Ok(RecordedEffect::hash_of(&encoded))
}
