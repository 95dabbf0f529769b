//! Everything that can be read of a run, for tasks.

use std::time::Duration;

use strata_primitives::{
    ChainReport, Direction, Encoded, EntityRef, FindKey, KeyKind, Limits, Operation, OperationId, Outcome,
    Receipt, RunId, RunInfo, TraceFilter, TraceId, Value, Versioned,
};

use crate::Result;
use crate::answers::{
    chain_of, count_of, decode_found, encoded_of, event_of, events_of, flag_of, info_of, keys_of, matches_in,
    page_of_values, receipt_of, share_found, stat_of, trace_of, traces_of, tree_of, ttl_of, value_of,
    values_of,
};
use crate::events::{Event, EventPage};
use crate::json_path::JsonMatch;
use crate::kv::{KeyPage, KvScan, ValuePage};
use crate::request::Request;
use crate::traces::{Trace, TracePage, TraceTree};

/// The reads of [`Reads`](crate::Reads), each as a future: the same questions with the same answers and errors.
///
/// Nothing is asked before the first poll. What has been published of the run is answered at once; otherwise one message goes to
/// its shard, and the answer wakes the task once. A full mailbox answers `Busy` at once, so that no poll ever
/// waits. Dropping a future gives its answer up. Any executor will do; nothing is allocated for a future.
///
/// A value that lies on disk because it is large is read there by the poll that has its answer.
///
/// What goes through several answers of a shard is not here, but for documents that are queried: effects are asked for
/// through [`Reads`](crate::Reads), on a thread for blocking work. Nor is what hands over a thing where it lies, `visit_values` and
/// `visit_last_events`.
pub trait AsyncReads: Sync {
    /// The run.
    fn run_id(&self) -> RunId;

    /// What is refused for its size.
    fn limits(&self) -> &Limits;

    /// As [`Reads::ask`](crate::Reads::ask). The methods below do it in the words of their primitive.
    fn ask(&self, operation: Operation) -> impl Future<Output = Result<Outcome>> + Send;

    /// Hands `found` what is under a key or in a cell, where that is known without asking; whether it is.
    #[doc(hidden)]
    fn look_up_now(&self, _kind: KeyKind, _name: &str, _found: &mut FindKey<'_>) -> Result<bool> {
        Ok(false)
    }

    /// As [`Reads::get`](crate::Reads::get).
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Versioned<Value>>>> + Send {
        value_of_key(self, KeyKind::Kv, key)
    }

    /// As [`Reads::get_encoded`](crate::Reads::get_encoded).
    fn get_encoded(&self, key: &str) -> impl Future<Output = Result<Option<Versioned<Encoded>>>> + Send {
        async move {
            let mut value = None;
            let is_known = self.look_up_now(KeyKind::Kv, key, &mut |found| {
                value = found.map(|(value, stamp)| share_found(value, stamp));
            })?;
            if is_known {
                return Ok(value);
            }
            encoded_of(self.ask(Operation::read_of(KeyKind::Kv, key)).await?)
        }
    }

    /// As [`Reads::cell_read`](crate::Reads::cell_read).
    fn cell_read(&self, name: &str) -> impl Future<Output = Result<Option<Versioned<Value>>>> + Send {
        value_of_key(self, KeyKind::Cell, name)
    }

    /// As [`Reads::trace_children`](crate::Reads::trace_children).
    fn trace_children(
        &self,
        id: TraceId,
        start: Option<u64>,
        limit: usize,
    ) -> impl Future<Output = Result<TracePage>> + Send {
        let filter = TraceFilter { parent: Some(id), ..TraceFilter::default() };
        let (filter, direction) = (Box::new(filter), Direction::Forward);
        asked(self, Ok(Operation::TraceList { filter, start, limit, direction }), traces_of)
    }

    /// As [`Reads::get_many`](crate::Reads::get_many).
    fn get_many(
        &self,
        keys: &[&str],
    ) -> impl Future<Output = Result<Versioned<Vec<Option<Versioned<Value>>>>>> + Send {
        asked(
            self,
            Ok(Operation::KvGetMany { keys: keys.iter().map(|key| (*key).into()).collect() }),
            values_of,
        )
    }

    /// As [`Reads::exists`](crate::Reads::exists).
    fn exists(&self, key: &str) -> impl Future<Output = Result<Versioned<bool>>> + Send {
        asked(self, Ok(Operation::KvExists { key: key.into() }), flag_of)
    }

    /// As [`Reads::ttl`](crate::Reads::ttl).
    fn ttl(&self, key: &str) -> impl Future<Output = Result<Option<Versioned<Option<Duration>>>>> + Send {
        asked(self, Ok(Operation::KvTtl { key: key.into() }), ttl_of)
    }

    /// As [`Reads::list`](crate::Reads::list).
    fn list(&self, scan: &KvScan) -> impl Future<Output = Result<KeyPage>> + Send {
        asked(self, Ok(request(self).list(scan, false)), keys_of)
    }

    /// As [`Reads::list_values`](crate::Reads::list_values).
    fn list_values(&self, scan: &KvScan) -> impl Future<Output = Result<ValuePage>> + Send {
        asked(self, Ok(request(self).list(scan, true)), page_of_values)
    }

    /// As [`Reads::count`](crate::Reads::count).
    fn count(&self, prefix: &str) -> impl Future<Output = Result<Versioned<u64>>> + Send {
        asked(self, Ok(Operation::KvCount { prefix: prefix.into() }), count_of)
    }

    /// As [`Reads::event`](crate::Reads::event).
    fn event(&self, sequence: u64) -> impl Future<Output = Result<Option<Event>>> + Send {
        asked(self, Ok(Operation::EventRead { sequence }), event_of)
    }

    /// As [`Reads::events`](crate::Reads::events).
    fn events(
        &self,
        start: u64,
        limit: usize,
        direction: Direction,
    ) -> impl Future<Output = Result<EventPage>> + Send {
        asked(self, Ok(request(self).events(Some(start), limit, direction)), events_of)
    }

    /// As [`Reads::last_events`](crate::Reads::last_events).
    fn last_events(&self, limit: usize) -> impl Future<Output = Result<EventPage>> + Send {
        asked(self, Ok(request(self).events(None, limit, Direction::Reverse)), events_of)
    }

    /// As [`Reads::events_by_type`](crate::Reads::events_by_type).
    fn events_by_type(
        &self,
        kind: &str,
        start: u64,
        limit: usize,
        direction: Direction,
    ) -> impl Future<Output = Result<EventPage>> + Send {
        asked(
            self,
            Ok(Operation::EventByType { kind: kind.into(), start: Some(start), limit, direction }),
            events_of,
        )
    }

    /// As [`Reads::first_event`](crate::Reads::first_event).
    fn first_event(&self) -> impl Future<Output = Result<Versioned<u64>>> + Send {
        asked(self, Ok(Operation::EventFirst), count_of)
    }

    /// As [`Reads::event_count`](crate::Reads::event_count).
    fn event_count(&self) -> impl Future<Output = Result<Versioned<u64>>> + Send {
        asked(self, Ok(Operation::EventLen { kind: None }), count_of)
    }

    /// As [`Reads::event_count_of`](crate::Reads::event_count_of).
    fn event_count_of(&self, kind: &str) -> impl Future<Output = Result<Versioned<u64>>> + Send {
        asked(self, Ok(Operation::EventLen { kind: Some(kind.into()) }), count_of)
    }

    /// As [`Reads::event_head`](crate::Reads::event_head).
    fn event_head(&self) -> impl Future<Output = Result<Option<Event>>> + Send {
        asked(self, Ok(Operation::EventHead { kind: None }), event_of)
    }

    /// As [`Reads::event_head_of`](crate::Reads::event_head_of).
    fn event_head_of(&self, kind: &str) -> impl Future<Output = Result<Option<Event>>> + Send {
        asked(self, Ok(Operation::EventHead { kind: Some(kind.into()) }), event_of)
    }

    /// As [`Reads::verify_chain`](crate::Reads::verify_chain).
    fn verify_chain(&self) -> impl Future<Output = Result<ChainReport>> + Send {
        asked(self, Ok(Operation::EventVerifyChain), chain_of)
    }

    /// As [`Reads::cell_ttl`](crate::Reads::cell_ttl).
    fn cell_ttl(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Versioned<Option<Duration>>>>> + Send {
        asked(self, Ok(Operation::CellTtl { name: name.into() }), ttl_of)
    }

    /// As [`Reads::cell_list`](crate::Reads::cell_list).
    fn cell_list(&self, scan: &KvScan) -> impl Future<Output = Result<ValuePage>> + Send {
        asked(self, Ok(request(self).cells(scan)), page_of_values)
    }

    /// As [`Reads::json_get`](crate::Reads::json_get).
    fn json_get(
        &self,
        name: &str,
        path: &str,
    ) -> impl Future<Output = Result<Option<Versioned<Value>>>> + Send {
        asked(self, request(self).json_get(name, path), value_of)
    }

    /// As [`Reads::json_query`](crate::Reads::json_query).
    fn json_query(
        &self,
        name: &str,
        path: &str,
    ) -> impl Future<Output = Result<Option<Versioned<Vec<JsonMatch>>>>> + Send {
        asked(self, request(self).json_get(name, ""), move |outcome| matches_in(value_of(outcome)?, path))
    }

    /// As [`Reads::json_list`](crate::Reads::json_list).
    fn json_list(&self, scan: &KvScan) -> impl Future<Output = Result<KeyPage>> + Send {
        asked(self, Ok(request(self).documents(scan)), keys_of)
    }

    /// As [`Reads::trace_get`](crate::Reads::trace_get).
    fn trace_get(&self, id: TraceId) -> impl Future<Output = Result<Option<Trace>>> + Send {
        asked(self, Ok(Operation::TraceGet { id }), trace_of)
    }

    /// As [`Reads::trace_list`](crate::Reads::trace_list).
    fn trace_list(
        &self,
        filter: &TraceFilter,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) -> impl Future<Output = Result<TracePage>> + Send {
        asked(
            self,
            Ok(Operation::TraceList { filter: Box::new(filter.clone()), start, limit, direction }),
            traces_of,
        )
    }

    /// As [`Reads::trace_tree`](crate::Reads::trace_tree).
    fn trace_tree(&self, id: TraceId, limit: usize) -> impl Future<Output = Result<TraceTree>> + Send {
        asked(self, Ok(Operation::TraceTree { id, limit }), tree_of)
    }

    /// As [`Reads::first_trace`](crate::Reads::first_trace).
    fn first_trace(&self) -> impl Future<Output = Result<Versioned<u64>>> + Send {
        asked(self, Ok(Operation::TraceFirst), count_of)
    }

    /// As [`Reads::trace_count`](crate::Reads::trace_count).
    fn trace_count(&self, kind: Option<&str>) -> impl Future<Output = Result<Versioned<u64>>> + Send {
        asked(self, Ok(Operation::TraceCount { kind: kind.map(Into::into) }), count_of)
    }

    /// As [`Reads::info`](crate::Reads::info).
    fn info(&self) -> impl Future<Output = Result<RunInfo>> + Send {
        asked(self, Ok(Operation::RunGet), |outcome| info_of(outcome, self.run_id()))
    }

    /// As [`Reads::receipt`](crate::Reads::receipt).
    fn receipt(&self, id: OperationId) -> impl Future<Output = Result<Option<Receipt>>> + Send {
        asked(self, Ok(Operation::RunReceipt { id }), receipt_of)
    }

    /// As [`Reads::stat`](crate::Reads::stat).
    fn stat(&self, entity: &EntityRef) -> impl Future<Output = Result<Option<Versioned<u64>>>> + Send {
        asked(self, Ok(Operation::EntityStat { entity: Box::new(entity.clone()) }), stat_of)
    }
}

/// The operations of whoever asks.
pub(crate) fn request<R: AsyncReads + ?Sized>(reader: &R) -> Request<'_> {
    Request { run: reader.run_id(), limits: reader.limits() }
}

/// Asks, unless the question was refused already, and reads the answer.
async fn asked<R: AsyncReads + ?Sized, T>(
    reader: &R,
    operation: Result<Operation>,
    read: impl FnOnce(Outcome) -> Result<T>,
) -> Result<T> {
    read(reader.ask(operation?).await?)
}

/// The value under a key or of a cell, decoded where it lies.
async fn value_of_key<R: AsyncReads + ?Sized>(
    reader: &R,
    kind: KeyKind,
    name: &str,
) -> Result<Option<Versioned<Value>>> {
    let mut value = Ok(None);
    let is_known = reader.look_up_now(kind, name, &mut |found| {
        value = found.map(|(value, stamp)| decode_found(value, stamp)).transpose();
    })?;
    if is_known {
        return value;
    }
    value_of(reader.ask(Operation::read_of(kind, name)).await?)
}
