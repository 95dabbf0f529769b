//! What a caller gives, as operations, checked on the caller's own thread where the run need not be looked at.

use rand::RngCore;
use strata_primitives::json::check_json;
use strata_primitives::{
    Condition, Deadline, Direction, Encoded, EntityRef, Error, ErrorKind, Limits, NewEvent, Operation,
    PatchOperation, Pointer, PutEntry, RunId, RunStatus, Value, Version,
};

use crate::Result;
use crate::kv::KvScan;

/// Makes operations on one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) run: RunId,
    pub(crate) limits: &'a Limits,
}

impl Request<'_> {
    /// Refuses to ask what may change something, or breaks a limit.
    pub(crate) fn check_read(self, operation: &Operation) -> Result<()> {
        self.expect_read(operation)?;
        operation.check(self.run, self.limits)
    }

    /// Refuses to write what changes nothing, is nobody's to write, or breaks a limit.
    pub(crate) fn check_write(self, operation: &Operation) -> Result<()> {
        self.expect_write(operation)?;
        operation.check(self.run, self.limits)
    }

    /// Refuses to ask what may change something.
    pub(crate) fn expect_read(self, operation: &Operation) -> Result<()> {
        if !operation.is_write() {
            return Ok(());
        }
        let message = format!("{} may change the run: write it, do not ask it", operation.name());
        Err(self.about_run(ErrorKind::InvalidArgument, message))
    }

    /// Refuses to write what changes nothing, and what no handle writes: the database makes a run, because it derives
    /// the id from the name, and the store itself deletes what has expired.
    pub(crate) fn expect_write(self, operation: &Operation) -> Result<()> {
        let name = operation.name();
        let (kind, message) = match operation {
            Operation::RunCreate { .. } | Operation::RunBegin { .. } => {
                (ErrorKind::Unsupported, format!("{name} is no write of a run: the database does it"))
            }
            Operation::Expire { .. } => (
                ErrorKind::Unsupported,
                format!("{name} is done by the store itself when a deadline has passed"),
            ),
            write if write.is_write() => return Ok(()),
            _ => (ErrorKind::InvalidArgument, format!("{name} changes nothing: ask it, do not write it")),
        };
        Err(self.about_run(kind, message))
    }

    /// Refuses what appends no events.
    pub(crate) fn expect_append(self, operation: &Operation) -> Result<()> {
        if matches!(operation, Operation::EventAppend { .. } | Operation::EventAppendMany { .. }) {
            return Ok(());
        }
        let message = format!("{} appends no events", operation.name());
        Err(self.about_run(ErrorKind::InvalidArgument, message))
    }

    #[cold]
    fn about_run(self, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, message).with_entity(EntityRef::run(self.run))
    }

    pub(crate) fn put(self, key: &str, value: &Value, deadline: Deadline) -> Result<Operation> {
        let value = self.value_of_key(key, value)?;
        Ok(Operation::KvPut { key: value.key().clone(), value, deadline })
    }

    pub(crate) fn put_many<K: AsRef<str>, V: Into<Value>>(
        self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Operation> {
        let entries = entries.into_iter().map(|(key, value)| {
            let value = self.value_of_key(key.as_ref(), &value.into())?;
            Ok(PutEntry { key: value.key().clone(), value, deadline: Deadline::None })
        });
        Ok(Operation::KvPutMany { entries: entries.collect::<Result<_>>()? })
    }

    pub(crate) fn put_if(self, key: &str, value: &Value, condition: Condition) -> Result<Operation> {
        let value = self.value_of_key(key, value)?;
        let (key, expected) = (value.key().clone(), condition.expected());
        Ok(Operation::KvPutIf { key, value, deadline: Deadline::None, expected })
    }

    pub(crate) fn list(self, scan: &KvScan, values: bool) -> Operation {
        let KvScan { prefix, start_after, limit, direction } = scan;
        let (prefix, start_after) = (prefix.as_str().into(), start_after.as_deref().map(Into::into));
        Operation::KvList { prefix, start_after, limit: *limit, direction: *direction, values }
    }

    pub(crate) fn append(self, kind: &str, payload: &Value) -> Result<Operation> {
        let NewEvent { kind, payload, salt } = self.event(kind, payload)?;
        Ok(Operation::EventAppend { kind, payload, salt })
    }

    pub(crate) fn append_many<K: AsRef<str>, V: Into<Value>>(
        self,
        events: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Operation> {
        let events = events.into_iter().map(|(kind, payload)| self.event(kind.as_ref(), &payload.into()));
        Ok(Operation::EventAppendMany { events: events.collect::<Result<_>>()? })
    }

    pub(crate) fn events(self, start: Option<u64>, limit: usize, direction: Direction) -> Operation {
        Operation::EventRange { start, limit, direction }
    }

    pub(crate) fn cell_init(self, name: &str, value: &Value, deadline: Deadline) -> Result<Operation> {
        let value = self.value_of_cell(name, value)?;
        Ok(Operation::CellInit { name: value.key().clone(), value, deadline })
    }

    pub(crate) fn cell_set(self, name: &str, value: &Value, deadline: Deadline) -> Result<Operation> {
        let value = self.value_of_cell(name, value)?;
        Ok(Operation::CellSet { name: value.key().clone(), value, deadline })
    }

    pub(crate) fn cell_cas(
        self,
        name: &str,
        expected: Version,
        value: &Value,
        deadline: Deadline,
    ) -> Result<Operation> {
        let value = self.value_of_cell(name, value)?;
        Ok(Operation::CellCas { name: value.key().clone(), value, deadline, expected })
    }

    pub(crate) fn cells(self, scan: &KvScan) -> Operation {
        let KvScan { prefix, start_after, limit, direction } = scan;
        let (prefix, start_after) = (prefix.as_str().into(), start_after.as_deref().map(Into::into));
        Operation::CellList { prefix, start_after, limit: *limit, direction: *direction }
    }

    pub(crate) fn documents(self, scan: &KvScan) -> Operation {
        let KvScan { prefix, start_after, limit, direction } = scan;
        let (prefix, start_after) = (prefix.as_str().into(), start_after.as_deref().map(Into::into));
        Operation::JsonList { prefix, start_after, limit: *limit, direction: *direction }
    }

    pub(crate) fn json_create(self, name: &str, value: &Value) -> Result<Operation> {
        Ok(Operation::JsonCreate { name: name.into(), value: self.json(name, value)? })
    }

    pub(crate) fn json_get(self, name: &str, path: &str) -> Result<Operation> {
        Ok(Operation::JsonGet { name: name.into(), path: self.path(name, path)? })
    }

    pub(crate) fn json_set(self, name: &str, path: &str, value: &Value) -> Result<Operation> {
        let (path, value) = (self.path(name, path)?, self.json(name, value)?);
        Ok(Operation::JsonSet { name: name.into(), path, value })
    }

    pub(crate) fn json_cas(
        self,
        name: &str,
        expected: Version,
        path: &str,
        value: &Value,
    ) -> Result<Operation> {
        let (path, value) = (self.path(name, path)?, self.json(name, value)?);
        Ok(Operation::JsonCas { name: name.into(), path, value, expected })
    }

    pub(crate) fn json_delete(self, name: &str, path: &str) -> Result<Operation> {
        Ok(Operation::JsonDelete { name: name.into(), path: self.path(name, path)? })
    }

    pub(crate) fn json_patch(self, name: &str, patch: &Value) -> Result<Operation> {
        let parsed = PatchOperation::parse_all(patch, self.limits.path_segments_max, self.limits);
        let patch = parsed.map_err(|error| self.of_document(name, error))?;
        Ok(Operation::JsonPatch { name: name.into(), patch })
    }

    pub(crate) fn json_merge(self, name: &str, path: &str, patch: Value) -> Result<Operation> {
        Ok(Operation::JsonMerge { name: name.into(), path: self.path(name, path)?, patch })
    }

    /// The end of a run.
    pub(crate) fn end(self, status: RunStatus) -> Result<Operation> {
        if matches!(status, RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled) {
            return Ok(Operation::RunUpdateStatus { status });
        }
        let message = format!("a run ends as completed, failed or cancelled, not as {status:?}");
        Err(self.about_run(ErrorKind::InvalidArgument, message))
    }

    pub(crate) fn json_append(self, name: &str, path: &str, value: &Value) -> Result<Operation> {
        let (path, value) = (self.path(name, path)?, self.json(name, value)?);
        Ok(Operation::JsonAppend { name: name.into(), path, value })
    }

    fn path(self, name: &str, path: &str) -> Result<Pointer> {
        let parsed = Pointer::parse(path, self.limits.path_segments_max);
        parsed.map_err(|error| self.of_document(name, error))
    }

    /// A value that a document can hold.
    fn json(self, name: &str, value: &Value) -> Result<Encoded> {
        check_json(value).map_err(|error| self.of_document(name, error))?;
        Encoded::from_value(value, self.limits, || EntityRef::json(self.run, name))
    }

    fn of_document(self, name: &str, error: Error) -> Error {
        // A name that is too long to be one is not repeated in the error.
        match self.limits.check_document_name(name) {
            Ok(()) => error.with_entity(EntityRef::json(self.run, name)),
            Err(_) => error.with_entity(EntityRef::run(self.run)),
        }
    }

    fn value_of_key(self, key: &str, value: &Value) -> Result<Encoded> {
        Encoded::from_value_under(key, value, self.limits, || EntityRef::kv(self.run, key))
    }

    fn value_of_cell(self, name: &str, value: &Value) -> Result<Encoded> {
        Encoded::from_value_under(name, value, self.limits, || EntityRef::cell(self.run, name))
    }

    fn event(self, kind: &str, payload: &Value) -> Result<NewEvent> {
        // The sequence is not known before the shard assigns it; the entity of a refusal is the run.
        let payload = Encoded::from_value_under(kind, payload, self.limits, || EntityRef::run(self.run))?;
        Ok(NewEvent { kind: payload.key().clone(), payload, salt: fresh_salt() })
    }
}

/// Random bytes that keep the hash of an erased payload from telling what it was.
fn fresh_salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    salt
}
