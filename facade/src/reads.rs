//! Everything that can be read of a run.

use std::time::Duration;

use strata_primitives::{
    ChainReport, Direction, Encoded, EntityRef, EventRef, FindKey, KeyKind, KeyRef, Limits, Operation,
    OperationId, Outcome, Receipt, RecordedEffect, RunId, RunInfo, TraceFilter, TraceId, Value, Versioned,
};

use crate::Result;
use crate::answers::{
    chain_of, count_of, decode_found, event_of, events_of, flag_of, info_of, keys_of, matches_in,
    page_of_values, receipt_of, share_found, stat_of, trace_of, traces_of, tree_of, ttl_of, unexpected,
    value_of, values_of, visit_events_of, visit_values_of,
};
use crate::effects::{EffectPage, effect_trace, page_of, recorded_in};
use crate::events::{Event, EventPage};
use crate::json_path::JsonMatch;
use crate::kv::{KeyPage, KvScan, ValuePage};
use crate::request::Request;
use crate::traces::{Trace, TracePage, TraceTree};

/// Reads of all primitives, the same of a [`RunHandle`](crate::RunHandle), a [`Transaction`](crate::Transaction), a
/// [`Snapshot`](crate::Snapshot) and inside [`execute`](crate::RunHandle::execute).
///
/// What is read of a handle is true at the moment of its answer. A transaction and a snapshot read one version; a
/// transaction and a closure see what they have written themselves, under the version `pending` or that of the commit
/// to come. No read ever writes.
///
/// The version that a list, a count or a description of the run carries says when it was true. In a transaction it is
/// no part of what must be unchanged at the commit: the list is, the version of the run is not.
///
/// # Errors
/// Beside what each call names, any may answer `InvalidArgument` (a limit), `NotFound` (the run was never created or
/// is deleted), `Busy` and `Closed`.
pub trait Reads {
    /// The run.
    fn run_id(&self) -> RunId;

    /// What is refused for its size.
    fn limits(&self) -> &Limits;

    /// Asks something of the run that changes nothing. The methods below do it in the words of their primitive.
    ///
    /// # Errors
    /// `InvalidArgument` for an operation that may change something.
    fn ask(&self, operation: Operation) -> Result<Outcome>;

    /// Hands `found` what is under a key or in a cell, if it is there.
    #[doc(hidden)]
    fn look_up(&self, kind: KeyKind, name: &str, found: &mut FindKey<'_>) -> Result<()> {
        look_up_by_asking(self, kind, name, found)
    }

    /// The value of a key, with the commit that wrote it; `None` if the key is not there or has expired.
    fn get(&self, key: &str) -> Result<Option<Versioned<Value>>> {
        value_of_key(self, KeyKind::Kv, key)
    }

    /// The same in its encoding, shared with the run: nothing is decoded, and nothing allocated where the run is read without a message.
    /// Of a [string](Encoded::as_str) and of [bytes](Encoded::as_binary) the content is in it as it is.
    fn get_encoded(&self, key: &str) -> Result<Option<Versioned<Encoded>>> {
        let mut value = None;
        self.look_up(KeyKind::Kv, key, &mut |found| {
            value = found.map(|(value, stamp)| share_found(value, stamp));
        })?;
        Ok(value)
    }

    /// The values of several keys, all true at one version, in the order asked.
    fn get_many(&self, keys: &[&str]) -> Result<Versioned<Vec<Option<Versioned<Value>>>>> {
        let keys = keys.iter().map(|key| (*key).into()).collect();
        values_of(self.ask(Operation::KvGetMany { keys })?)
    }

    /// Whether a key is there.
    fn exists(&self, key: &str) -> Result<Versioned<bool>> {
        flag_of(self.ask(Operation::KvExists { key: key.into() })?)
    }

    /// How long a key has left: `None` without the key, a value of `None` without a deadline.
    fn ttl(&self, key: &str) -> Result<Option<Versioned<Option<Duration>>>> {
        ttl_of(self.ask(Operation::KvTtl { key: key.into() })?)
    }

    /// One page of keys, in order.
    fn list(&self, scan: &KvScan) -> Result<KeyPage> {
        keys_of(self.ask(request(self).list(scan, false))?)
    }

    /// One page of keys with their values, in order of keys.
    fn list_values(&self, scan: &KvScan) -> Result<ValuePage> {
        page_of_values(self.ask(request(self).list(scan, true))?)
    }

    /// Hands the keys of one page to `visit`, in order, with their values, where they lie: nothing is copied, decoded or allocated for one
    /// where the run is read without a message. Tells how many, and the version at which these are the keys; where it is the limit,
    /// the next page [starts after](KvScan::start_after) the last of them. Values of
    /// [64 KiB and more](Encoded::to_value) that are on disk stay there.
    ///
    /// ```
    /// use strata::{Database, KvScan, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put_many([("cost/hotel", 340), ("cost/train", 120), ("days", 4)])?;
    /// let mut sum = 0;
    /// let costs = KvScan::prefix("cost/");
    /// let seen = run.visit_values(&costs, &mut |found| sum += found.value.as_int().unwrap_or(0))?;
    /// assert_eq!((seen.value, sum), (2, 460));
    /// # database.close()
    /// # }
    /// ```
    fn visit_values(&self, scan: &KvScan, visit: &mut dyn FnMut(KeyRef<'_>)) -> Result<Versioned<u64>> {
        visit_values_of(self.ask(request(self).list(scan, true))?, visit)
    }

    /// How many keys begin with `prefix`; an empty one counts all, in O(1) while none has a deadline.
    fn count(&self, prefix: &str) -> Result<Versioned<u64>> {
        count_of(self.ask(Operation::KvCount { prefix: prefix.into() })?)
    }

    /// The event at `sequence`; `None` if there are not that many.
    ///
    /// # Errors
    /// `HistoryTrimmed` for one that the run does not [keep](crate::Writes::set_event_retention) any more; it names the earliest.
    fn event(&self, sequence: u64) -> Result<Option<Event>> {
        event_of(self.ask(Operation::EventRead { sequence })?)
    }

    /// One page of events from `start` on, in either direction; `start` is included. Forward from 0 is from the beginning: from the
    /// first event that the run keeps.
    ///
    /// # Errors
    /// `HistoryTrimmed` for another `start` that the run does not [keep](crate::Writes::set_event_retention) any more; it names the
    /// earliest.
    fn events(&self, start: u64, limit: usize, direction: Direction) -> Result<EventPage> {
        events_of(self.ask(request(self).events(Some(start), limit, direction))?)
    }

    /// The newest events, newest first.
    fn last_events(&self, limit: usize) -> Result<EventPage> {
        events_of(self.ask(request(self).events(None, limit, Direction::Reverse))?)
    }

    /// Hands the newest events to `visit`, newest first, where they lie: nothing is copied, decoded or allocated where the run is read
    /// without a message. Tells how many, and at which version of the run these are the newest.
    ///
    /// ```
    /// use strata::{Database, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.append("said", "hello")?;
    /// run.append("said", "good-bye")?;
    /// let mut said = Vec::new();
    /// let seen = run.visit_last_events(10, &mut |event| said.extend(event.payload.as_str().map(str::to_owned)))?;
    /// assert_eq!((seen.value, said), (2, vec!["good-bye".to_owned(), "hello".to_owned()]));
    /// # database.close()
    /// # }
    /// ```
    fn visit_last_events(&self, limit: usize, visit: &mut dyn FnMut(EventRef<'_>)) -> Result<Versioned<u64>> {
        visit_events_of(self.ask(request(self).events(None, limit, Direction::Reverse))?, visit)
    }

    /// One page of the events of one type from sequence `start` on, which is included; forward from 0 is from the beginning.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    fn events_by_type(
        &self,
        kind: &str,
        start: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<EventPage> {
        let (kind, start) = (kind.into(), Some(start));
        events_of(self.ask(Operation::EventByType { kind, start, limit, direction })?)
    }

    /// The sequence of the first event that the run [keeps](crate::Writes::set_event_retention), in O(1): 0 as long as it keeps all,
    /// [`event_count`](Self::event_count) when it keeps none.
    fn first_event(&self) -> Result<Versioned<u64>> {
        count_of(self.ask(Operation::EventFirst)?)
    }

    /// How many events were ever appended to the run, in O(1); what is not kept any more counts.
    fn event_count(&self) -> Result<Versioned<u64>> {
        count_of(self.ask(Operation::EventLen { kind: None })?)
    }

    /// How many events of one type were ever appended to the run, in O(1).
    fn event_count_of(&self, kind: &str) -> Result<Versioned<u64>> {
        count_of(self.ask(Operation::EventLen { kind: Some(kind.into()) })?)
    }

    /// The newest event that the run keeps, in O(1).
    fn event_head(&self) -> Result<Option<Event>> {
        event_of(self.ask(Operation::EventHead { kind: None })?)
    }

    /// The newest event of one type that the run keeps, in O(1).
    fn event_head_of(&self, kind: &str) -> Result<Option<Event>> {
        event_of(self.ask(Operation::EventHead { kind: Some(kind.into()) })?)
    }

    /// Recomputes the hash of every event that the run keeps, from that of the one before the first on.
    fn verify_chain(&self) -> Result<ChainReport> {
        chain_of(self.ask(Operation::EventVerifyChain)?)
    }

    /// The value of a cell, with the commit that wrote it; `None` if the cell is not there or has expired.
    fn cell_read(&self, name: &str) -> Result<Option<Versioned<Value>>> {
        value_of_key(self, KeyKind::Cell, name)
    }

    /// How long a cell has left: `None` without the cell, a value of `None` without a deadline.
    fn cell_ttl(&self, name: &str) -> Result<Option<Versioned<Option<Duration>>>> {
        ttl_of(self.ask(Operation::CellTtl { name: name.into() })?)
    }

    /// One page of cells with their values, in order of names.
    fn cell_list(&self, scan: &KvScan) -> Result<ValuePage> {
        page_of_values(self.ask(request(self).cells(scan))?)
    }

    /// What is at a place of a document, which a JSON Pointer (RFC 6901) names; `""` is all of it. `None` without the
    /// document, or when nothing is there.
    ///
    /// The version is that of the newest commit that wrote the place, something inside it, or a container around it;
    /// writes to sibling places do not change it.
    ///
    /// # Errors
    /// `InvalidArgument` for a path that is no JSON Pointer.
    fn json_get(&self, name: &str, path: &str) -> Result<Option<Versioned<Value>>> {
        value_of(self.ask(request(self).json_get(name, path)?)?)
    }

    /// What a JSONPath (RFC 9535) matches in a document, in document order.
    /// `None` without the document. It reads the whole document, and is worked out by the caller.
    ///
    /// # Errors
    /// As [`query`](crate::query).
    fn json_query(&self, name: &str, path: &str) -> Result<Option<Versioned<Vec<JsonMatch>>>> {
        matches_in(self.json_get(name, "")?, path)
    }

    /// One page of the names of documents, in order.
    fn json_list(&self, scan: &KvScan) -> Result<KeyPage> {
        keys_of(self.ask(request(self).documents(scan))?)
    }

    /// One trace; `None` if the run has none with this id.
    ///
    /// # Errors
    /// `HistoryTrimmed` for an id that is not there in a run that has removed traces it does not
    /// [keep](crate::Writes::set_trace_retention): it may have been one of them. It names the place of the earliest that is there.
    fn trace_get(&self, id: TraceId) -> Result<Option<Trace>> {
        trace_of(self.ask(Operation::TraceGet { id })?)
    }

    /// One page of the traces that `filter` wants, in commit order or against it; `start` is where a page before it
    /// stopped. Without it, and forward from 0, a page is from the beginning: from the first trace that the run keeps.
    ///
    /// # Errors
    /// `HistoryTrimmed` for another `start` that the run does not [keep](crate::Writes::set_trace_retention) any more; it names the
    /// earliest.
    fn trace_list(
        &self,
        filter: &TraceFilter,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) -> Result<TracePage> {
        let filter = Box::new(filter.clone());
        traces_of(self.ask(Operation::TraceList { filter, start, limit, direction })?)
    }

    /// One page of the direct parts of a trace, in commit order; also of one that the run does not keep any more.
    ///
    /// # Errors
    /// As [`trace_list`](Self::trace_list).
    fn trace_children(&self, id: TraceId, start: Option<u64>, limit: usize) -> Result<TracePage> {
        let filter = TraceFilter { parent: Some(id), ..TraceFilter::default() };
        self.trace_list(&filter, start, limit, Direction::Forward)
    }

    /// A trace and everything below it, up to `limit` traces; empty if it is not there. Where the trace is kept, all below it is.
    ///
    /// # Errors
    /// `HistoryTrimmed` as [`trace_get`](Self::trace_get).
    fn trace_tree(&self, id: TraceId, limit: usize) -> Result<TraceTree> {
        tree_of(self.ask(Operation::TraceTree { id, limit })?)
    }

    /// The place of the first trace that the run [keeps](crate::Writes::set_trace_retention), in O(1): 0 as long as it keeps all, the
    /// [count](Self::trace_count) when it keeps none.
    fn first_trace(&self) -> Result<Versioned<u64>> {
        count_of(self.ask(Operation::TraceFirst)?)
    }

    /// How many traces were ever recorded in the run, or how many of one kind, in O(1); what is not kept any more counts.
    fn trace_count(&self, kind: Option<&str>) -> Result<Versioned<u64>> {
        count_of(self.ask(Operation::TraceCount { kind: kind.map(Into::into) })?)
    }

    /// What an [effect](crate::Execution::effect) of the run came to: the one of this name that has so many of its name before it; `None` if
    /// none is recorded.
    ///
    /// # Errors
    /// `HistoryTrimmed` when the run does not [keep](crate::Writes::set_trace_retention) its trace any more, `WrongType` when that was erased,
    /// or is somebody else's under its id.
    fn effect_get(&self, name: &str, ordinal: u64) -> Result<Option<Versioned<RecordedEffect>>> {
        effect_trace(self, name, ordinal)?.map(|trace| recorded_in(self, trace)).transpose()
    }

    /// One page of the effects that are recorded in the run, in commit order; `start` is where a page before it stopped. Those that were
    /// erased are not among them.
    ///
    /// # Errors
    /// As [`trace_list`](Self::trace_list).
    fn effects(&self, start: Option<u64>, limit: usize) -> Result<EffectPage> {
        page_of(self, start, limit)
    }

    /// What is known of the run.
    ///
    /// # Errors
    /// `NotFound` when the run was never created or is deleted.
    fn info(&self) -> Result<RunInfo> {
        info_of(self.ask(Operation::RunGet)?, self.run_id())
    }

    /// What the write with this operation id was first answered; `None` if the run does not remember one.
    fn receipt(&self, id: OperationId) -> Result<Option<Receipt>> {
        receipt_of(self.ask(Operation::RunReceipt { id })?)
    }

    /// The bytes that one thing takes, name and encoded value, with the commit that last wrote it; `None` if it is
    /// not there. Of the run itself it is the sum.
    ///
    /// # Errors
    /// `InvalidArgument` for an entity of another run.
    fn stat(&self, entity: &EntityRef) -> Result<Option<Versioned<u64>>> {
        stat_of(self.ask(Operation::EntityStat { entity: Box::new(entity.clone()) })?)
    }
}

/// The operations of whoever asks.
pub(crate) fn request<R: Reads + ?Sized>(reader: &R) -> Request<'_> {
    Request { run: reader.run_id(), limits: reader.limits() }
}

/// The value under a key or of a cell, decoded where it lies.
fn value_of_key<R: Reads + ?Sized>(
    reader: &R,
    kind: KeyKind,
    name: &str,
) -> Result<Option<Versioned<Value>>> {
    let mut value = Ok(None);
    reader.look_up(kind, name, &mut |found| {
        value = found.map(|(value, stamp)| decode_found(value, stamp)).transpose();
    })?;
    value
}

/// What [`look_up`](Reads::look_up) does where there is nothing to look at.
pub(crate) fn look_up_by_asking<R: Reads + ?Sized>(
    reader: &R,
    kind: KeyKind,
    name: &str,
    found: &mut FindKey<'_>,
) -> Result<()> {
    match reader.ask(Operation::read_of(kind, name))? {
        Outcome::Value(value) => found(value.as_ref().map(|value| (&value.value, value.stamp()))),
        other => unexpected(&other),
    }
    Ok(())
}
