//! A program whose calls to the world are recorded, so that it can be run again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use strata_primitives::{
    Encoded, EntityRef, Error, ErrorKind, RecordedEffect, Timestamp, Value, Version, Versioned,
};
use strata_shards::Ending;

use crate::Result;
use crate::effects::{TAKES_NO_OPERATION_ID, effect_trace, entity_of, hash_of_input, recorded_in};
use crate::handle::RunHandle;
use crate::reads::Reads;
use crate::tagged::hex;
use crate::writes::Writes;

/// One execution of a program over a run, from its beginning on: what it calls in the world is called once and recorded, and returned when
/// the program is executed again, in the run or in a fork of it.
///
/// A program is executed again after a crash, or in a fork. It begins a new execution then, and makes the same calls: an effect is known by
/// its name, by how many of that name this execution has had before, which is its *ordinal*, and by its input. Effects of one name come one
/// after the other; those of different names do not disturb one another, and may be called in any order and by any thread. An effect
/// may use the store, and call effects of other names.
///
/// What the program writes to the run itself is written again when it is executed again; a put comes to the same, an append does not, and
/// belongs into an effect.
///
/// ```
/// use strata::{Database, Error, RunHandle, RunSpec};
///
/// fn program(run: &RunHandle, called: &mut u32) -> Result<String, Error> {
///     let execution = run.begin_execution();
///     let hotel = execution.effect("search", "hotels near the harbour", || {
///         *called += 1; // A tool, a model, a payment.
///         Ok::<_, Error>("Grand")
///     })?;
///     Ok(hotel.value.as_str().unwrap().to_owned())
/// }
///
/// # fn main() -> Result<(), Error> {
/// let database = Database::in_memory()?;
/// let run = database.begin_run(RunSpec::named("trip"))?;
/// let mut called = 0;
/// assert_eq!(program(&run, &mut called)?, "Grand");
/// assert_eq!(program(&run, &mut called)?, "Grand");
/// assert_eq!(program(&run.fork()?, &mut called)?, "Grand");
/// assert_eq!(called, 1);
/// # database.close()
/// # }
/// ```
#[derive(Debug)]
pub struct Execution {
    run: RunHandle,
    /// How far it is with the effects of each name.
    calls: Mutex<HashMap<String, Calls>>,
}

/// The effects of one name.
#[derive(Debug, Default)]
struct Calls {
    /// The ordinal of the next one.
    next: u64,
    is_under_way: bool,
}

/// What an effect came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Performed {
    /// Its result, as it is recorded.
    pub value: Value,
    /// How many effects of its name the execution had before.
    pub ordinal: u64,
    /// The commit that recorded it.
    pub version: Version,
    /// The time of that commit.
    pub timestamp: Timestamp,
    /// Whether it had been recorded before, so that what somebody else called is returned.
    pub is_recalled: bool,
}

impl RunHandle {
    /// Begins an execution of a program over the run. It sends nothing; effects are recorded with what the handle says of
    /// durability and cause.
    pub fn begin_execution(&self) -> Execution {
        Execution { run: self.clone(), calls: Mutex::default() }
    }
}

impl Execution {
    /// The run.
    pub fn run(&self) -> &RunHandle {
        &self.run
    }

    /// Returns what this effect came to, if it is recorded; otherwise calls it, records what it returns in a commit of its own, and
    /// returns that.
    ///
    /// It is called at least once: a crash between the call and the record has it called again. It is never called again once it was
    /// recorded, which is when the commit has reached its promise: what a crash takes back was not recorded. Two executions at once may both
    /// call it; what was recorded first is what both return.
    ///
    /// Name, input and result are stored in a [trace](crate::Trace) of the run, with the tag `effect` and the kind `effect/` and the name. It
    /// can be read and erased, and where the run does not keep all of its traces it is removed like others. Input and result stand two
    /// levels deep in it, and all of it is one value.
    ///
    /// # Errors
    /// What `call` returns; nothing is recorded then, nor when it panics, and the next effect of this name is this one again.
    /// Before anything is called:
    /// `Diverged` when another input is recorded for it, with both hashes; the order of the members of an object is part of it. The program does not do what it did, and can be executed in a
    /// [fork before it](RunHandle::fork_before_effect). `HistoryTrimmed` when it was recorded, and the run does not
    /// [keep](crate::Writes::set_trace_retention) its trace any more. `WrongType` when its trace was erased, or somebody recorded another under
    /// its id. `InvalidArgument` for a limit, for a handle with an operation id, and while another effect of this
    /// name is under way. Whatever a write answers before it reaches the log: `RunClosed`, or that the run
    /// is as large as it may be.
    /// Behind the call: `InvalidArgument` when the result breaks a limit, and whatever the commit answers, on a full disk too; what was called is not recorded
    /// then, or, with `LogFailed`, may not be.
    pub fn effect<V: Into<Value>, E: From<Error>>(
        &self,
        name: &str,
        input: impl Into<Value>,
        call: impl FnOnce() -> std::result::Result<V, E>,
    ) -> std::result::Result<Performed, E> {
        self.run.refuse_operation_id(TAKES_NO_OPERATION_ID)?;
        RecordedEffect::check_name(name, self.run.limits())?;
        let step = self.begin(name)?;
        let asked = Asked::new(&self.run, name, step.ordinal, input.into())?;
        let performed = match asked.recall()? {
            Some(performed) => performed,
            None => match asked.check()? {
                Some(performed) => performed,
                None => asked.record(call()?.into())?,
            },
        };
        step.end();
        Ok(performed)
    }

    /// Takes the next ordinal of a name, until the step is dropped.
    fn begin<'a>(&'a self, name: &'a str) -> Result<Step<'a>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.entry(name.to_owned()).or_default();
        let ordinal = calls.next;
        if std::mem::replace(&mut calls.is_under_way, true) {
            let message = format!(
                "effect {name:?} {ordinal} is under way: effects of one name are called one after the other"
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message)
                .with_entity(entity_of(&self.run, name, ordinal)));
        }
        Ok(Step { execution: self, name, ordinal, has_ended: false })
    }
}

/// An effect under way. However it comes to its end, the next of its name may follow.
struct Step<'a> {
    execution: &'a Execution,
    name: &'a str,
    ordinal: u64,
    has_ended: bool,
}

impl Step<'_> {
    fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let mut calls = self.execution.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = calls.get_mut(self.name) {
            calls.is_under_way = false;
            calls.next += u64::from(self.has_ended);
        }
    }
}

/// An effect that a program wants, its result not known yet.
struct Asked<'a> {
    run: &'a RunHandle,
    effect: RecordedEffect,
}

impl<'a> Asked<'a> {
    fn new(run: &'a RunHandle, name: &str, ordinal: u64, input: Value) -> Result<Asked<'a>> {
        let input_hash = hash_of_input(run, name, ordinal, &input)?;
        let (name, result) = (name.to_owned(), Value::Null);
        Ok(Asked { run, effect: RecordedEffect { name, ordinal, input, input_hash, result } })
    }

    /// What is recorded for it.
    fn recall(&self) -> Result<Option<Performed>> {
        let RecordedEffect { name, ordinal, input_hash, .. } = &self.effect;
        let Some(trace) = effect_trace(self.run, name, *ordinal)? else { return Ok(None) };
        let Versioned { value: recorded, version, timestamp } = recorded_in(self.run, trace)?;
        if recorded.input_hash != *input_hash {
            return Err(self.diverged(&recorded, version));
        }
        let (value, ordinal) = (recorded.result, recorded.ordinal);
        Ok(Some(Performed { value, ordinal, version, timestamp, is_recalled: true }))
    }

    /// Refuses what could not be recorded whatever came of it; or returns what another execution has recorded by now.
    fn check(&self) -> Result<Option<Performed>> {
        let trace = self.effect.clone().into_trace();
        trace.check(self.run.limits()).map_err(|error| error.with_entity(self.entity()))?;
        match self.run.ship(move |scope| scope.trace_record(trace).map(drop), Ending::Check) {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.recall()?.map(Some).ok_or(error),
            Err(error) => {
                let RecordedEffect { name, ordinal, .. } = &self.effect;
                Err(error.with_context(&format!("effect {name:?} {ordinal} is not called")))
            }
        }
    }

    fn record(self, result: Value) -> Result<Performed> {
        // As it will be recalled: there is one zero, and one number that is none.
        let result = Encoded::from_value(&result, self.run.limits(), || self.entity())?.to_value()?;
        let effect = RecordedEffect { result: result.clone(), ..self.effect.clone() };
        match self.run.trace_record(effect.into_trace()) {
            Ok((_, commit)) => Ok(Performed {
                value: result,
                ordinal: self.effect.ordinal,
                version: commit.version,
                timestamp: commit.timestamp,
                is_recalled: false,
            }),
            // Another execution was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.recall()?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    fn entity(&self) -> EntityRef {
        entity_of(self.run, &self.effect.name, self.effect.ordinal)
    }

    #[cold]
    fn diverged(&self, recorded: &RecordedEffect, version: Version) -> Error {
        let RecordedEffect { name, ordinal, input_hash, .. } = &self.effect;
        let message = format!(
            "effect {name:?} {ordinal} was recorded by commit {version} for another input: \
             its hash is {}, that of the given one {}; recorded is {}",
            hex(&recorded.input_hash),
            hex(input_hash),
            shown(&recorded.input),
        );
        Error::new(ErrorKind::Diverged, message).with_entity(self.entity())
    }
}

/// Characters of an input that an error shows.
const SHOWN_CHARS: usize = 200;

fn shown(input: &Value) -> String {
    let text = input.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}
