//! Everything that can be written to a run.

use std::time::Duration;

use strata_primitives::{
    Condition, Deadline, Effect, EntityRef, Error, ErrorKind, NewTrace, Operation, Retention, RunStatus,
    Timestamp, TraceEnd, TraceId, Value, Version,
};

use crate::Result;
use crate::answers::{always, appended_one, counted, summed};
use crate::reads::{Reads, request};
use crate::retry::Backoff;

/// Writes of all primitives, the same of a [`RunHandle`](crate::RunHandle), of a [`Transaction`](crate::Transaction)
/// and inside [`execute`](crate::RunHandle::execute).
///
/// A handle commits each write at once and answers with its commit. A transaction and a closure only stage it, and
/// answer with its place among their writes: everything becomes one commit at their end, or nothing does.
///
/// # Errors
/// Beside what each call names, any may answer `InvalidArgument` (a limit), `NotFound` (the run was never created or
/// is deleted), `RunClosed` (the run is not active), `Busy`, `Closed`, `Full` (no space; nothing happened) and
/// `LogFailed` (outcome unknown until reopened).
pub trait Writes: Reads {
    /// What a write is answered with.
    type Receipt;
    /// What an append is answered with.
    type Appended;

    /// Writes, and tells what was written and revealed; without a receipt nothing had to be changed. The methods
    /// below do it in the words of their primitive.
    ///
    /// # Errors
    /// `InvalidArgument` for an operation that only reads; `Unsupported` for one that makes a run or is the store's
    /// own, and in a transaction or a closure for every one that is a commit of its own.
    fn write(&self, operation: Operation) -> Result<(Option<Self::Receipt>, Effect)>;

    /// Appends events; without an answer there were none.
    ///
    /// # Errors
    /// `InvalidArgument` for an operation that appends none.
    fn write_events(&self, operation: Operation) -> Result<Option<Self::Appended>>;

    /// Sets a key. An earlier deadline of the key is cleared.
    fn put(&self, key: &str, value: impl Into<Value>) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).put(key, &value.into(), Deadline::None)?)?))
    }

    /// Sets a key that expires `ttl` after the commit; at least a microsecond.
    fn put_with_ttl(&self, key: &str, value: impl Into<Value>, ttl: Duration) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).put(key, &value.into(), Deadline::In(ttl))?)?))
    }

    /// Sets a key that expires at `deadline`, which must lie ahead.
    fn put_until(&self, key: &str, value: impl Into<Value>, deadline: Timestamp) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).put(key, &value.into(), Deadline::At(deadline))?)?))
    }

    /// Sets several keys in one commit; no keys make no commit.
    fn put_many<K: AsRef<str>, V: Into<Value>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Option<Self::Receipt>> {
        Ok(self.write(request(self).put_many(entries)?)?.0)
    }

    /// Sets a key if it is absent, or if it was last written by the commit named.
    ///
    /// # Errors
    /// `Conflict` names the key and both versions when the condition does not hold; nothing is written.
    fn put_if(&self, key: &str, value: impl Into<Value>, condition: Condition) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).put_if(key, &value.into(), condition)?)?))
    }

    /// Deletes a key; `None` if there was nothing to delete.
    fn delete(&self, key: &str) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::KvDelete { key: key.into() })?.0)
    }

    /// Deletes every key that begins with `prefix`, in one commit. Returns how many there were.
    ///
    /// # Errors
    /// `InvalidArgument` when there are more keys than one commit may hold.
    fn delete_prefix(&self, prefix: &str) -> Result<(u64, Option<Self::Receipt>)> {
        Ok(counted(self.write(Operation::KvDeletePrefix { prefix: prefix.into() })?))
    }

    /// Adds to a whole number and returns the sum. A missing key counts from 0; a deadline stays.
    ///
    /// # Errors
    /// `WrongType` when the key holds something else, `InvalidArgument` when the sum leaves i64.
    fn increment(&self, key: &str, by: i64) -> Result<(i64, Self::Receipt)> {
        Ok(summed(self.write(Operation::KvIncrement { key: key.into(), by })?))
    }

    /// Gives a key a deadline, which must lie ahead; `None` if the key is not there.
    fn set_deadline(&self, key: &str, deadline: Timestamp) -> Result<Option<Self::Receipt>> {
        let deadline = Deadline::At(deadline);
        Ok(self.write(Operation::KvSetDeadline { key: key.into(), deadline })?.0)
    }

    /// Takes a key's deadline away; `None` if there was none.
    fn clear_deadline(&self, key: &str) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::KvClearDeadline { key: key.into() })?.0)
    }

    /// Appends an event. A handle answers with its sequence; a staged one gets its sequence at the commit. Nothing
    /// changes or deletes an event afterwards; it goes with its run, or when the run does not
    /// [keep](Self::set_event_retention) it any more.
    fn append(&self, kind: &str, payload: impl Into<Value>) -> Result<Self::Appended> {
        Ok(appended_one(self.write_events(request(self).append(kind, &payload.into())?)?))
    }

    /// Appends several events in one commit; no events make no commit.
    fn append_many<K: AsRef<str>, V: Into<Value>>(
        &self,
        events: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Option<Self::Appended>> {
        self.write_events(request(self).append_many(events)?)
    }

    /// Creates a cell.
    ///
    /// # Errors
    /// `AlreadyExists` if it is there.
    fn cell_init(&self, name: &str, value: impl Into<Value>) -> Result<Self::Receipt> {
        self.cell_init_expiring(name, value, Deadline::None)
    }

    /// Creates a cell that expires: a lease that others may take when it has run out.
    ///
    /// # Errors
    /// `AlreadyExists` if it is there.
    fn cell_init_expiring(
        &self,
        name: &str,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).cell_init(name, &value.into(), deadline)?)?))
    }

    /// Sets a cell, whatever it holds. An earlier deadline is cleared.
    fn cell_set(&self, name: &str, value: impl Into<Value>) -> Result<Self::Receipt> {
        self.cell_set_expiring(name, value, Deadline::None)
    }

    /// Sets a cell that expires.
    fn cell_set_expiring(
        &self,
        name: &str,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).cell_set(name, &value.into(), deadline)?)?))
    }

    /// Sets a cell if it was last written by the commit `expected`. An earlier deadline is cleared.
    ///
    /// # Errors
    /// `Conflict` names the cell and both versions; nothing is written.
    fn cell_cas(&self, name: &str, expected: Version, value: impl Into<Value>) -> Result<Self::Receipt> {
        self.cell_cas_expiring(name, expected, value, Deadline::None)
    }

    /// The same, with a deadline: how the holder of a lease renews it.
    ///
    /// # Errors
    /// As [`cell_cas`](Self::cell_cas).
    fn cell_cas_expiring(
        &self,
        name: &str,
        expected: Version,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).cell_cas(name, expected, &value.into(), deadline)?)?))
    }

    /// Sets a cell to what `step` makes of it, and returns that. The closure may run again when another commit came
    /// between, so it does nothing but compute. The cell's deadline is cleared.
    ///
    /// An operation id of a handle makes it happen once, as it does a [`transaction`](crate::RunHandle::transaction).
    ///
    /// # Errors
    /// `NotFound` without the cell, what `step` returns, `Conflict` when others were faster each of many times, and
    /// `AlreadyExists` when it has been committed before under its operation id.
    fn cell_transition(
        &self,
        name: &str,
        mut step: impl FnMut(&Value) -> Result<Value>,
    ) -> Result<(Value, Self::Receipt)> {
        let mut backoff = Backoff::default();
        loop {
            let Some(found) = self.cell_read(name)? else {
                let error = Error::new(ErrorKind::NotFound, "the cell is not there: create it first");
                return Err(error.with_entity(EntityRef::cell(self.run_id(), name)));
            };
            let next = step(&found.value)?;
            match self.cell_cas(name, found.version, next.clone()) {
                Ok(receipt) => return Ok((next, receipt)),
                Err(error) => backoff.after(error)?,
            }
        }
    }

    /// Deletes a cell; `None` if there was nothing to delete.
    fn cell_delete(&self, name: &str) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::CellDelete { name: name.into() })?.0)
    }

    /// Creates a document.
    ///
    /// # Errors
    /// `AlreadyExists` if it is there; `InvalidArgument` for what JSON cannot hold: bytes, NaN and infinities.
    fn json_create(&self, name: &str, value: impl Into<Value>) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).json_create(name, &value.into())?)?))
    }

    /// Puts a value at a place of a document, which a JSON Pointer (RFC 6901) names: the whole document, a member, or
    /// an item. What is around it must be there; the index behind the last item, or `-`, appends.
    ///
    /// # Errors
    /// `NotFound` without the document or what is around the place, `WrongType` inside what holds nothing.
    fn json_set(&self, name: &str, path: &str, value: impl Into<Value>) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).json_set(name, path, &value.into())?)?))
    }

    /// The same, if the document was last written by the commit `expected`.
    ///
    /// # Errors
    /// `Conflict` names the document and both versions; otherwise as [`json_set`](Self::json_set).
    fn json_cas(
        &self,
        name: &str,
        expected: Version,
        path: &str,
        value: impl Into<Value>,
    ) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).json_cas(name, expected, path, &value.into())?)?))
    }

    /// Takes out what is at a place of a document; `None` if nothing is there.
    ///
    /// # Errors
    /// `NotFound` without the document, `InvalidArgument` for the whole of it: [`json_destroy`](Self::json_destroy)
    /// does that.
    fn json_delete(&self, name: &str, path: &str) -> Result<Option<Self::Receipt>> {
        Ok(self.write(request(self).json_delete(name, path)?)?.0)
    }

    /// Applies a JSON Patch (RFC 6902) to a document, all of it or nothing. An empty one makes no commit.
    ///
    /// # Errors
    /// `Conflict` for a `test` that fails, `NotFound`, `WrongType` and `InvalidArgument` for an operation that cannot
    /// be done; each names the operation by its index.
    fn json_patch(&self, name: &str, patch: &Value) -> Result<Option<Self::Receipt>> {
        Ok(self.write(request(self).json_patch(name, patch)?)?.0)
    }

    /// Applies a JSON Merge Patch (RFC 7396) at a place of a document. One that changes nothing makes no commit.
    ///
    /// # Errors
    /// As [`json_set`](Self::json_set).
    fn json_merge(&self, name: &str, path: &str, patch: impl Into<Value>) -> Result<Option<Self::Receipt>> {
        Ok(self.write(request(self).json_merge(name, path, patch.into())?)?.0)
    }

    /// Puts a value behind the last item of an array.
    ///
    /// # Errors
    /// `WrongType` when something else is there; otherwise as [`json_set`](Self::json_set).
    fn json_append(&self, name: &str, path: &str, value: impl Into<Value>) -> Result<Self::Receipt> {
        Ok(always(self.write(request(self).json_append(name, path, &value.into())?)?))
    }

    /// Deletes a document; `None` if it was not there.
    fn json_destroy(&self, name: &str) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::JsonDestroy { name: name.into() })?.0)
    }

    /// Records a step that is over. [`new_trace`](crate::new_trace) makes one with an id. Nothing deletes a trace
    /// afterwards; it goes with its run, or when the run does not [keep](Self::set_trace_retention) it any more.
    ///
    /// # Errors
    /// `AlreadyExists` if its id is taken, `NotFound` if its parent is not in the run, unless the run has removed traces that it does
    /// not keep: that may have been one of them, and the trace is recorded below it.
    fn trace_record(&self, trace: NewTrace) -> Result<(TraceId, Self::Receipt)> {
        let (id, trace) = (trace.id, Box::new(trace));
        Ok((id, always(self.write(Operation::TraceRecord { trace })?)))
    }

    /// Records a step that begins: a span, open until [`trace_end`](Self::trace_end). A crash in between leaves it
    /// open.
    ///
    /// # Errors
    /// As [`trace_record`](Self::trace_record), and `InvalidArgument` for one that says how long it took.
    fn trace_begin(&self, trace: NewTrace) -> Result<(TraceId, Self::Receipt)> {
        let (id, trace) = (trace.id, Box::new(trace));
        Ok((id, always(self.write(Operation::TraceBegin { trace })?)))
    }

    /// Ends a span with what came of it.
    ///
    /// # Errors
    /// `NotFound` if it is not in the run, `HistoryTrimmed` if it may have been removed because the run does not
    /// [keep](Self::set_trace_retention) it, `InvalidArgument` if it has ended, or if its content has no place for a
    /// result or an error: those of a tool call, a query and a custom content have.
    fn trace_end(&self, id: TraceId, end: TraceEnd) -> Result<Self::Receipt> {
        Ok(always(self.write(Operation::TraceEnd { id, end: Box::new(end) })?))
    }

    /// Ends the run as `Completed`, `Failed` or `Cancelled`.
    ///
    /// # Errors
    /// `InvalidArgument` for a status that is no end, or that the run cannot go to from its own.
    fn end(&self, status: RunStatus) -> Result<Option<Self::Receipt>> {
        Ok(self.write(request(self).end(status)?)?.0)
    }

    /// Moves the run to another status; `None` if it has that status already.
    ///
    /// # Errors
    /// `InvalidArgument` for a status that cannot follow the present one.
    fn update_status(&self, status: RunStatus) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::RunUpdateStatus { status })?.0)
    }

    /// Takes up a paused or orphaned run: it is active, and begun in this opening of the database.
    /// `None` if it is so already.
    ///
    /// # Errors
    /// `RunClosed` for a run that has finished.
    fn resume(&self) -> Result<Option<Self::Receipt>> {
        self.update_status(RunStatus::Active)
    }

    /// Archives the run: nothing can be written to it any more.
    ///
    /// # Errors
    /// As [`update_status`](Self::update_status).
    fn archive(&self) -> Result<Option<Self::Receipt>> {
        self.update_status(RunStatus::Archived)
    }

    /// Replaces the run's tags, whatever its status.
    fn set_tags<T: Into<String>>(&self, tags: impl IntoIterator<Item = T>) -> Result<Option<Self::Receipt>> {
        let tags = tags.into_iter().map(Into::into).collect();
        Ok(self.write(Operation::RunSetTags { tags })?.0)
    }

    /// Replaces the run's metadata, whatever its status.
    fn set_metadata(&self, metadata: impl Into<Value>) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::RunSetMetadata { metadata: metadata.into() })?.0)
    }

    /// Replaces what the run says of the history that is kept of it, whatever its status; `None` is what the store was opened
    /// with. What is not to be kept is given up by the checkpoints that follow, and does not come back.
    ///
    /// # Errors
    /// `InvalidArgument` for keeping nothing.
    fn set_retention(&self, retention: impl Into<Option<Retention>>) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::RunSetRetention { retention: retention.into() })?.0)
    }

    /// Replaces what the run says of the events that it keeps, whatever its status: the last so many, those that are not older than a
    /// duration, or all; `None` is what the store was opened with. Forks begin with it.
    ///
    /// What is not kept is removed by this commit, and from then on by each one that appends events: behind it there are exactly
    /// the events that are to be kept, judged by the time of the commit. Between two appends events grow older and stay. One commit
    /// removes, the oldest first, as many as it appends and 4,096 more at most; where more are to go the next ones go on, and
    /// setting the same again does too.
    ///
    /// Sequences and counts go on as if nothing had been removed, and the hashes of what is left still prove that nothing else was.
    /// Whoever asks for an event that was removed is told `HistoryTrimmed`, with the [first](crate::Reads::first_event) that is there.
    /// Snapshots and older versions show what they showed, as long as they are [kept](Self::set_retention); what the
    /// disk has of removed events goes with them.
    ///
    /// # Errors
    /// `InvalidArgument` for keeping nothing.
    ///
    /// ```
    /// use strata::{Database, ErrorKind, Reads, Retention, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("service"))?;
    /// run.set_event_retention(Retention::KeepLast(2))?;
    /// for number in 0..5 {
    ///     run.append("request", number)?;
    /// }
    /// assert_eq!((run.first_event()?.value, run.event_count()?.value), (3, 5));
    /// assert_eq!(run.event(0).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    /// # database.close()
    /// # }
    /// ```
    fn set_event_retention(&self, retention: impl Into<Option<Retention>>) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::RunSetEventRetention { retention: retention.into() })?.0)
    }

    /// Replaces what the run says of the traces that it keeps, whatever its status: the last so many that were recorded, those that were
    /// recorded not longer ago than a duration, or all; `None` is what the store was opened with. Forks begin with it.
    ///
    /// They go as events [do](Self::set_event_retention): with this commit, and from then on with each one that records or begins traces, the
    /// oldest first, as many as it records and 4,096 more at most; places and counts go on.
    ///
    /// A span is as old as its beginning, whether it has ended or not: one that is removed while it is open cannot be
    /// [ended](Self::trace_end) any more. So keep more than a span that matters has behind it. Steps below a trace that was removed name
    /// it as their parent all the same, and more can be recorded below it. Which ids were removed is not remembered: every id
    /// that is not there is refused with `HistoryTrimmed` from then on, and can be given again.
    ///
    /// # Errors
    /// `InvalidArgument` for keeping nothing.
    ///
    /// ```
    /// use strata::{Database, ErrorKind, Reads, Retention, RunSpec, TraceContent, Writes, new_trace};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("service"))?;
    /// run.set_trace_retention(Retention::KeepLast(2))?;
    /// let thought = || new_trace(TraceContent::Thought { text: "hm".into(), confidence: None });
    /// let (first, _) = run.trace_record(thought())?;
    /// for _ in 0..4 {
    ///     run.trace_record(thought())?;
    /// }
    /// assert_eq!((run.first_trace()?.value, run.trace_count(None)?.value), (3, 5));
    /// assert_eq!(run.trace_get(first).unwrap_err().kind(), ErrorKind::HistoryTrimmed);
    /// # database.close()
    /// # }
    /// ```
    fn set_trace_retention(&self, retention: impl Into<Option<Retention>>) -> Result<Option<Self::Receipt>> {
        Ok(self.write(Operation::RunSetTraceRetention { retention: retention.into() })?.0)
    }
}
