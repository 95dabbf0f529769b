//! Several operations that happen together or not at all.

use std::sync::Arc;
use std::time::Duration;

use strata_primitives::{
    Condition, Deadline, Limits, NewTrace, Operation, Retention, RunId, RunStatus, Timestamp, TraceEnd,
    TraceId, Value, Version,
};

use crate::Result;
use crate::request::Request;

/// Several operations on one run that are committed together, as one message and one commit.
///
/// A later operation sees what an earlier one did. The first that fails aborts all of them.
///
/// ```
/// use strata::{Database, Effect, RunSpec, Writes};
///
/// # fn main() -> Result<(), strata::Error> {
/// let database = Database::in_memory()?;
/// let run = database.begin_run(RunSpec::named("order-7"))?;
/// let mut batch = run.batch();
/// batch.put("status", "paid")?.increment("attempts", 1)?.append("paid", 120)?;
/// let receipt = run.commit(batch)?;
/// assert_eq!(receipt.effects[1], Effect::Integer(1));
/// # database.close()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    limits: Arc<Limits>,
    run: RunId,
    operations: Vec<Operation>,
    /// Bytes, about.
    size: usize,
}

/// Each call adds one operation, or refuses it for its size without adding it.
impl Batch {
    pub(crate) fn new(limits: Arc<Limits>, run: RunId) -> Batch {
        Batch { limits, run, operations: Vec::new(), size: 0 }
    }

    /// Sets a key.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) -> Result<&mut Batch> {
        self.add(self.request().put(key, &value.into(), Deadline::None)?)
    }

    /// Sets a key that expires `ttl` after the commit.
    pub fn put_with_ttl(&mut self, key: &str, value: impl Into<Value>, ttl: Duration) -> Result<&mut Batch> {
        self.add(self.request().put(key, &value.into(), Deadline::In(ttl))?)
    }

    /// Sets several keys.
    pub fn put_many<K: AsRef<str>, V: Into<Value>>(
        &mut self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<&mut Batch> {
        self.add(self.request().put_many(entries)?)
    }

    /// Sets a key if the condition holds; otherwise the whole batch is a `Conflict`.
    pub fn put_if(&mut self, key: &str, value: impl Into<Value>, condition: Condition) -> Result<&mut Batch> {
        self.add(self.request().put_if(key, &value.into(), condition)?)
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: &str) -> Result<&mut Batch> {
        self.add(Operation::KvDelete { key: key.into() })
    }

    /// Deletes every key that begins with `prefix`.
    pub fn delete_prefix(&mut self, prefix: &str) -> Result<&mut Batch> {
        self.add(Operation::KvDeletePrefix { prefix: prefix.into() })
    }

    /// Adds to a whole number.
    pub fn increment(&mut self, key: &str, by: i64) -> Result<&mut Batch> {
        self.add(Operation::KvIncrement { key: key.into(), by })
    }

    /// Sets a key that expires at `deadline`.
    pub fn put_until(
        &mut self,
        key: &str,
        value: impl Into<Value>,
        deadline: Timestamp,
    ) -> Result<&mut Batch> {
        self.add(self.request().put(key, &value.into(), Deadline::At(deadline))?)
    }

    /// Gives a key a deadline, if it is there.
    pub fn set_deadline(&mut self, key: &str, deadline: Timestamp) -> Result<&mut Batch> {
        self.add(Operation::KvSetDeadline { key: key.into(), deadline: Deadline::At(deadline) })
    }

    /// Takes a key's deadline away.
    pub fn clear_deadline(&mut self, key: &str) -> Result<&mut Batch> {
        self.add(Operation::KvClearDeadline { key: key.into() })
    }

    /// Creates a cell; if it is there, the whole batch is refused with `AlreadyExists`.
    pub fn cell_init(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Batch> {
        self.cell_init_expiring(name, value, Deadline::None)
    }

    /// Creates a cell that expires, as the holder of a lease does; if it is there, the whole batch is refused with
    /// `AlreadyExists`.
    pub fn cell_init_expiring(
        &mut self,
        name: &str,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> Result<&mut Batch> {
        self.add(self.request().cell_init(name, &value.into(), deadline)?)
    }

    /// Sets a cell.
    pub fn cell_set(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Batch> {
        self.cell_set_expiring(name, value, Deadline::None)
    }

    /// Sets a cell that expires.
    pub fn cell_set_expiring(
        &mut self,
        name: &str,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> Result<&mut Batch> {
        self.add(self.request().cell_set(name, &value.into(), deadline)?)
    }

    /// Sets a cell if it was last written by the commit `expected`; otherwise the whole batch is a `Conflict`.
    pub fn cell_cas(&mut self, name: &str, expected: Version, value: impl Into<Value>) -> Result<&mut Batch> {
        self.cell_cas_expiring(name, expected, value, Deadline::None)
    }

    /// The same for a cell that expires: how a lease is renewed together with other writes.
    pub fn cell_cas_expiring(
        &mut self,
        name: &str,
        expected: Version,
        value: impl Into<Value>,
        deadline: Deadline,
    ) -> Result<&mut Batch> {
        self.add(self.request().cell_cas(name, expected, &value.into(), deadline)?)
    }

    /// Deletes a cell.
    pub fn cell_delete(&mut self, name: &str) -> Result<&mut Batch> {
        self.add(Operation::CellDelete { name: name.into() })
    }

    /// Creates a document; if it is there, the whole batch is refused with `AlreadyExists`.
    pub fn json_create(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Batch> {
        self.add(self.request().json_create(name, &value.into())?)
    }

    /// Puts a value at a place of a document.
    pub fn json_set(&mut self, name: &str, path: &str, value: impl Into<Value>) -> Result<&mut Batch> {
        self.add(self.request().json_set(name, path, &value.into())?)
    }

    /// The same, if the document was last written by the commit `expected`; otherwise the whole batch is a
    /// `Conflict`.
    pub fn json_cas(
        &mut self,
        name: &str,
        expected: Version,
        path: &str,
        value: impl Into<Value>,
    ) -> Result<&mut Batch> {
        self.add(self.request().json_cas(name, expected, path, &value.into())?)
    }

    /// Takes out what is at a place of a document.
    pub fn json_delete(&mut self, name: &str, path: &str) -> Result<&mut Batch> {
        self.add(self.request().json_delete(name, path)?)
    }

    /// Applies a JSON Patch (RFC 6902) to a document.
    pub fn json_patch(&mut self, name: &str, patch: &Value) -> Result<&mut Batch> {
        self.add(self.request().json_patch(name, patch)?)
    }

    /// Applies a JSON Merge Patch (RFC 7396) at a place of a document.
    pub fn json_merge(&mut self, name: &str, path: &str, patch: impl Into<Value>) -> Result<&mut Batch> {
        self.add(self.request().json_merge(name, path, patch.into())?)
    }

    /// Puts a value behind the last item of an array.
    pub fn json_append(&mut self, name: &str, path: &str, value: impl Into<Value>) -> Result<&mut Batch> {
        self.add(self.request().json_append(name, path, &value.into())?)
    }

    /// Deletes a document.
    pub fn json_destroy(&mut self, name: &str) -> Result<&mut Batch> {
        self.add(Operation::JsonDestroy { name: name.into() })
    }

    /// Records a step that is over.
    pub fn trace_record(&mut self, trace: NewTrace) -> Result<&mut Batch> {
        self.add(Operation::TraceRecord { trace: Box::new(trace) })
    }

    /// Records a step that begins.
    pub fn trace_begin(&mut self, trace: NewTrace) -> Result<&mut Batch> {
        self.add(Operation::TraceBegin { trace: Box::new(trace) })
    }

    /// Ends a span.
    pub fn trace_end(&mut self, id: TraceId, end: TraceEnd) -> Result<&mut Batch> {
        self.add(Operation::TraceEnd { id, end: Box::new(end) })
    }

    /// Moves the run to another status; operations behind this one see it.
    pub fn update_status(&mut self, status: RunStatus) -> Result<&mut Batch> {
        self.add(Operation::RunUpdateStatus { status })
    }

    /// Replaces the run's tags.
    pub fn set_tags<T: Into<String>>(&mut self, tags: impl IntoIterator<Item = T>) -> Result<&mut Batch> {
        self.add(Operation::RunSetTags { tags: tags.into_iter().map(Into::into).collect() })
    }

    /// Replaces the run's metadata.
    pub fn set_metadata(&mut self, metadata: impl Into<Value>) -> Result<&mut Batch> {
        self.add(Operation::RunSetMetadata { metadata: metadata.into() })
    }

    /// Replaces what the run says of the history that is kept of it.
    pub fn set_retention(&mut self, retention: impl Into<Option<Retention>>) -> Result<&mut Batch> {
        self.add(Operation::RunSetRetention { retention: retention.into() })
    }

    /// Adds: replaces what the run says of the events that it keeps; as
    /// [`set_event_retention`](crate::Writes::set_event_retention).
    ///
    /// # Errors
    /// `InvalidArgument` for keeping nothing.
    pub fn set_event_retention(&mut self, retention: impl Into<Option<Retention>>) -> Result<&mut Batch> {
        self.add(Operation::RunSetEventRetention { retention: retention.into() })
    }

    /// Adds: replaces what the run says of the traces that it keeps; as
    /// [`set_trace_retention`](crate::Writes::set_trace_retention).
    ///
    /// # Errors
    /// `InvalidArgument` for keeping nothing.
    pub fn set_trace_retention(&mut self, retention: impl Into<Option<Retention>>) -> Result<&mut Batch> {
        self.add(Operation::RunSetTraceRetention { retention: retention.into() })
    }

    /// Appends an event.
    pub fn append(&mut self, kind: &str, payload: impl Into<Value>) -> Result<&mut Batch> {
        self.add(self.request().append(kind, &payload.into())?)
    }

    /// Appends several events.
    pub fn append_many<K: AsRef<str>, V: Into<Value>>(
        &mut self,
        events: impl IntoIterator<Item = (K, V)>,
    ) -> Result<&mut Batch> {
        self.add(self.request().append_many(events)?)
    }

    /// The run it is for.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// What it holds, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub(crate) fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    fn request(&self) -> Request<'_> {
        Request { run: self.run, limits: &self.limits }
    }

    fn add(&mut self, operation: Operation) -> Result<&mut Batch> {
        operation.check(self.run, &self.limits)?;
        self.limits.check_operations(self.run, self.operations.len() + 1, "batch")?;
        let size = self.size + operation.size();
        self.limits.check_operations_size(self.run, size, "batch")?;
        self.operations.push(operation);
        self.size = size;
        Ok(self)
    }
}
