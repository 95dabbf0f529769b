//! Everything that can be written to a run, for tasks.

use std::time::Duration;

use strata_primitives::{
    Condition, Deadline, Effect, NewTrace, Operation, Retention, RunStatus, Timestamp, TraceEnd, TraceId,
    Value, Version,
};

use crate::Result;
use crate::answers::{always, appended_one, counted, summed};
use crate::async_reads::{AsyncReads, request};

/// The writes of [`Writes`](crate::Writes), each as a future: the same writes with the same receipts and errors.
///
/// What is written is encoded and checked by the call, and sent at the first poll; the answer wakes the task once. A full
/// mailbox answers `Busy` at once, and nothing happened. A future that is dropped before its answer has come is as a
/// call whose answer was lost: once polled, its write takes effect or not, and with an [operation
/// id](crate::RunHandle::with_operation_id) it can be sent again. Writes of one task that are polled for the first time one
/// after the other take effect in that order.
///
/// A loop of reading and writing, as [`cell_transition`](crate::Writes::cell_transition) is, would wait between two
/// tries: [`execute`](crate::AsyncRunHandle::execute) does the same without one.
pub trait AsyncWrites: AsyncReads {
    /// What a write is answered with.
    type Receipt: Send;
    /// What an append is answered with.
    type Appended: Send;

    /// As [`Writes::write`](crate::Writes::write). The methods below do it in the words of their primitive.
    fn write(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<(Option<Self::Receipt>, Effect)>> + Send;

    /// As [`Writes::write_events`](crate::Writes::write_events).
    fn write_events(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<Option<Self::Appended>>> + Send;

    /// As [`Writes::put_many`](crate::Writes::put_many).
    fn put_many<K: AsRef<str>, V: Into<Value>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, request(self).put_many(entries), |written| written.0)
    }

    /// As [`Writes::append`](crate::Writes::append).
    fn append(
        &self,
        kind: &str,
        payload: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Appended>> + Send {
        let operation = request(self).append(kind, &payload.into());
        async move { Ok(appended_one(self.write_events(operation?).await?)) }
    }

    /// As [`Writes::append_many`](crate::Writes::append_many).
    fn append_many<K: AsRef<str>, V: Into<Value>>(
        &self,
        events: impl IntoIterator<Item = (K, V)>,
    ) -> impl Future<Output = Result<Option<Self::Appended>>> + Send {
        let operation = request(self).append_many(events);
        async move { self.write_events(operation?).await }
    }

    /// As [`Writes::set_tags`](crate::Writes::set_tags).
    fn set_tags<T: Into<String>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        let tags = tags.into_iter().map(Into::into).collect();
        written(self, Ok(Operation::RunSetTags { tags }), |written| written.0)
    }

    /// As [`Writes::put`](crate::Writes::put).
    fn put(&self, key: &str, value: impl Into<Value>) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).put(key, &value.into(), Deadline::None), always)
    }

    /// As [`Writes::put_with_ttl`](crate::Writes::put_with_ttl).
    fn put_with_ttl(
        &self,
        key: &str,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).put(key, &value.into(), Deadline::In(ttl)), always)
    }

    /// As [`Writes::put_until`](crate::Writes::put_until).
    fn put_until(
        &self,
        key: &str,
        value: impl Into<Value>,
        deadline: Timestamp,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).put(key, &value.into(), Deadline::At(deadline)), always)
    }

    /// As [`Writes::put_if`](crate::Writes::put_if).
    fn put_if(
        &self,
        key: &str,
        value: impl Into<Value>,
        condition: Condition,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).put_if(key, &value.into(), condition), always)
    }

    /// As [`Writes::delete`](crate::Writes::delete).
    fn delete(&self, key: &str) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::KvDelete { key: key.into() }), |written| written.0)
    }

    /// As [`Writes::delete_prefix`](crate::Writes::delete_prefix).
    fn delete_prefix(
        &self,
        prefix: &str,
    ) -> impl Future<Output = Result<(u64, Option<Self::Receipt>)>> + Send {
        written(self, Ok(Operation::KvDeletePrefix { prefix: prefix.into() }), counted)
    }

    /// As [`Writes::increment`](crate::Writes::increment).
    fn increment(&self, key: &str, by: i64) -> impl Future<Output = Result<(i64, Self::Receipt)>> + Send {
        written(self, Ok(Operation::KvIncrement { key: key.into(), by }), summed)
    }

    /// As [`Writes::set_deadline`](crate::Writes::set_deadline).
    fn set_deadline(
        &self,
        key: &str,
        deadline: Timestamp,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(
            self,
            Ok(Operation::KvSetDeadline { key: key.into(), deadline: Deadline::At(deadline) }),
            |written| written.0,
        )
    }

    /// As [`Writes::clear_deadline`](crate::Writes::clear_deadline).
    fn clear_deadline(&self, key: &str) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::KvClearDeadline { key: key.into() }), |written| written.0)
    }

    /// As [`Writes::cell_init`](crate::Writes::cell_init).
    fn cell_init(
        &self,
        name: &str,
        value: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).cell_init(name, &value.into(), Deadline::None), always)
    }

    /// As [`Writes::cell_init_expiring`](crate::Writes::cell_init_expiring).
    fn cell_init_expiring(
        &self,
        name: &str,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).cell_init(name, &value.into(), deadline), always)
    }

    /// As [`Writes::cell_set`](crate::Writes::cell_set).
    fn cell_set(
        &self,
        name: &str,
        value: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).cell_set(name, &value.into(), Deadline::None), always)
    }

    /// As [`Writes::cell_set_expiring`](crate::Writes::cell_set_expiring).
    fn cell_set_expiring(
        &self,
        name: &str,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).cell_set(name, &value.into(), deadline), always)
    }

    /// As [`Writes::cell_cas`](crate::Writes::cell_cas).
    fn cell_cas(
        &self,
        name: &str,
        expected: Version,
        value: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).cell_cas(name, expected, &value.into(), Deadline::None), always)
    }

    /// As [`Writes::cell_cas_expiring`](crate::Writes::cell_cas_expiring).
    fn cell_cas_expiring(
        &self,
        name: &str,
        expected: Version,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).cell_cas(name, expected, &value.into(), deadline), always)
    }

    /// As [`Writes::cell_delete`](crate::Writes::cell_delete).
    fn cell_delete(&self, name: &str) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::CellDelete { name: name.into() }), |written| written.0)
    }

    /// As [`Writes::json_create`](crate::Writes::json_create).
    fn json_create(
        &self,
        name: &str,
        value: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).json_create(name, &value.into()), always)
    }

    /// As [`Writes::json_set`](crate::Writes::json_set).
    fn json_set(
        &self,
        name: &str,
        path: &str,
        value: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).json_set(name, path, &value.into()), always)
    }

    /// As [`Writes::json_cas`](crate::Writes::json_cas).
    fn json_cas(
        &self,
        name: &str,
        expected: Version,
        path: &str,
        value: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).json_cas(name, expected, path, &value.into()), always)
    }

    /// As [`Writes::json_delete`](crate::Writes::json_delete).
    fn json_delete(
        &self,
        name: &str,
        path: &str,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, request(self).json_delete(name, path), |written| written.0)
    }

    /// As [`Writes::json_patch`](crate::Writes::json_patch).
    fn json_patch(
        &self,
        name: &str,
        patch: &Value,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, request(self).json_patch(name, patch), |written| written.0)
    }

    /// As [`Writes::json_merge`](crate::Writes::json_merge).
    fn json_merge(
        &self,
        name: &str,
        path: &str,
        patch: impl Into<Value>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, request(self).json_merge(name, path, patch.into()), |written| written.0)
    }

    /// As [`Writes::json_append`](crate::Writes::json_append).
    fn json_append(
        &self,
        name: &str,
        path: &str,
        value: impl Into<Value>,
    ) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, request(self).json_append(name, path, &value.into()), always)
    }

    /// As [`Writes::json_destroy`](crate::Writes::json_destroy).
    fn json_destroy(&self, name: &str) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::JsonDestroy { name: name.into() }), |written| written.0)
    }

    /// As [`Writes::trace_record`](crate::Writes::trace_record).
    fn trace_record(&self, trace: NewTrace) -> impl Future<Output = Result<(TraceId, Self::Receipt)>> + Send {
        let id = trace.id;
        let operation = Operation::TraceRecord { trace: Box::new(trace) };
        written(self, Ok(operation), move |written| (id, always(written)))
    }

    /// As [`Writes::trace_begin`](crate::Writes::trace_begin).
    fn trace_begin(&self, trace: NewTrace) -> impl Future<Output = Result<(TraceId, Self::Receipt)>> + Send {
        let id = trace.id;
        let operation = Operation::TraceBegin { trace: Box::new(trace) };
        written(self, Ok(operation), move |written| (id, always(written)))
    }

    /// As [`Writes::trace_end`](crate::Writes::trace_end).
    fn trace_end(&self, id: TraceId, end: TraceEnd) -> impl Future<Output = Result<Self::Receipt>> + Send {
        written(self, Ok(Operation::TraceEnd { id, end: Box::new(end) }), always)
    }

    /// As [`Writes::end`](crate::Writes::end).
    fn end(&self, status: RunStatus) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, request(self).end(status), |written| written.0)
    }

    /// As [`Writes::update_status`](crate::Writes::update_status).
    fn update_status(&self, status: RunStatus) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::RunUpdateStatus { status }), |written| written.0)
    }

    /// As [`Writes::resume`](crate::Writes::resume).
    fn resume(&self) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::RunUpdateStatus { status: RunStatus::Active }), |written| written.0)
    }

    /// As [`Writes::archive`](crate::Writes::archive).
    fn archive(&self) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::RunUpdateStatus { status: RunStatus::Archived }), |written| written.0)
    }

    /// As [`Writes::set_metadata`](crate::Writes::set_metadata).
    fn set_metadata(
        &self,
        metadata: impl Into<Value>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::RunSetMetadata { metadata: metadata.into() }), |written| written.0)
    }

    /// As [`Writes::set_retention`](crate::Writes::set_retention).
    fn set_retention(
        &self,
        retention: impl Into<Option<Retention>>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::RunSetRetention { retention: retention.into() }), |written| written.0)
    }

    /// As [`Writes::set_event_retention`](crate::Writes::set_event_retention).
    fn set_event_retention(
        &self,
        retention: impl Into<Option<Retention>>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::RunSetEventRetention { retention: retention.into() }), |written| {
            written.0
        })
    }

    /// As [`Writes::set_trace_retention`](crate::Writes::set_trace_retention).
    fn set_trace_retention(
        &self,
        retention: impl Into<Option<Retention>>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>>> + Send {
        written(self, Ok(Operation::RunSetTraceRetention { retention: retention.into() }), |written| {
            written.0
        })
    }
}

/// Writes, unless that was refused already, and reads the answer.
async fn written<W: AsyncWrites + ?Sized, T>(
    writer: &W,
    operation: Result<Operation>,
    read: impl FnOnce((Option<W::Receipt>, Effect)) -> T,
) -> Result<T> {
    Ok(read(writer.write(operation?).await?))
}
