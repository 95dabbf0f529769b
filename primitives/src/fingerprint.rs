//! What a write was, in eight bytes: so that an operation id cannot answer for another write.
use crate::deadline::Deadline;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::erasure::ErasedVersions;
use crate::id::RunId;
use crate::json::{PatchOperation, Pointer};
use crate::limits::Limits;
use crate::new_trace::NewTrace;
use crate::operation::Operation;
use crate::retention::Retention;
use crate::trace_end::TraceEnd;
use crate::usage::Usage;
use crate::value::Value;
use crate::width::Width;
use std::time::Duration;

/// The first eight bytes of a BLAKE3 hash over one write's operations.
///
/// Equal writes have equal fingerprints, whenever and wherever they are sent; the salt of an event, drawn anew each
/// time, is left out. The bytes are part of the format: they lie in the log beside the operation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 8]);

impl Fingerprint {
    /// The fingerprint of one write.
    pub fn of(operations: &[Operation]) -> Self {
        let mut digest = Digest(blake3::Hasher::new());
        digest.number(operations.len() as u64);
        for operation in operations {
            digest.operation(operation);
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest.0.finalize().as_bytes()[..8]);
        Self(bytes)
    }
}

/// A hash that is fed with parts whose ends are told.
struct Digest(blake3::Hasher);

impl Digest {
    fn operation(&mut self, operation: &Operation) {
        self.number(operation.tag().into());
        match operation {
            Operation::KvPut { key, value, deadline } => self.put(key, value, *deadline),
            Operation::KvPutMany { entries } => {
                self.number(entries.len() as u64);
                entries.iter().for_each(|entry| self.put(&entry.key, &entry.value, entry.deadline));
            }
            Operation::KvPutIf { key, value, deadline, expected } => {
                self.put(key, value, *deadline);
                self.number(expected.0);
            }
            Operation::CellInit { name, value, deadline } | Operation::CellSet { name, value, deadline } => {
                self.put(name, value, *deadline);
            }
            Operation::CellCas { name, value, deadline, expected } => {
                self.put(name, value, *deadline);
                self.number(expected.0);
            }
            Operation::KvDelete { key: name }
            | Operation::KvClearDeadline { key: name }
            | Operation::CellDelete { name } => self.bytes(name.as_bytes()),
            Operation::KvDeletePrefix { prefix } => self.bytes(prefix.as_bytes()),
            Operation::KvIncrement { key, by } => {
                self.bytes(key.as_bytes());
                self.number(*by as u64);
            }
            Operation::KvSetDeadline { key, deadline } => {
                self.bytes(key.as_bytes());
                self.deadline(*deadline);
            }
            Operation::EventAppend { kind, payload, .. } => self.event(kind, payload),
            Operation::EventAppendMany { events } => {
                self.number(events.len() as u64);
                events.iter().for_each(|event| self.event(&event.kind, &event.payload));
            }
            // The name and the namespace are in the id of the run.
            Operation::RunCreate { spec } | Operation::RunBegin { spec } => self.value(&spec.metadata),
            Operation::RunUpdateStatus { status } => self.number(status.code().into()),
            Operation::RunSetTags { tags } => {
                self.number(tags.len() as u64);
                tags.iter().for_each(|tag| self.bytes(tag.as_bytes()));
            }
            Operation::RunSetMetadata { metadata } => self.value(metadata),
            Operation::RunSetRetention { retention }
            | Operation::RunSetEventRetention { retention }
            | Operation::RunSetTraceRetention { retention } => {
                self.retention(*retention);
            }
            Operation::RunErase { entity, versions, reason } => {
                let mut bytes = Vec::new();
                entity.encode(&mut bytes);
                self.bytes(&bytes);
                let (which, version) = match versions {
                    ErasedVersions::All => (0, 0),
                    ErasedVersions::At(version) => (1, version.0),
                    ErasedVersions::Through(version) => (2, version.0),
                };
                self.number(which);
                self.number(version);
                self.bytes(reason.as_bytes());
            }
            Operation::TraceRecord { trace } | Operation::TraceBegin { trace } => self.trace(trace),
            Operation::TraceEnd { id, end } => {
                self.bytes(id.as_bytes());
                self.trace_end(end);
            }
            Operation::JsonCreate { name, value } => self.event(name, value),
            Operation::JsonSet { name, path, value } | Operation::JsonAppend { name, path, value } => {
                self.place(name, path);
                self.bytes(value.as_bytes());
            }
            Operation::JsonCas { name, path, value, expected } => {
                self.place(name, path);
                self.bytes(value.as_bytes());
                self.number(expected.0);
            }
            Operation::JsonDelete { name, path } => self.place(name, path),
            Operation::JsonMerge { name, path, patch } => {
                self.place(name, path);
                self.value(patch);
            }
            Operation::JsonPatch { name, patch } => {
                self.bytes(name.as_bytes());
                self.number(patch.len() as u64);
                patch.iter().for_each(|operation| self.patch_operation(operation));
            }
            Operation::JsonDestroy { name } => self.bytes(name.as_bytes()),
            // Told apart by their tag alone: a deletion has no fields, and reads and the cleaner carry no id.
            _ => {}
        }
    }

    fn put(&mut self, key: &str, value: &Encoded, deadline: Deadline) {
        self.bytes(key.as_bytes());
        self.bytes(value.as_bytes());
        self.deadline(deadline);
    }

    fn place(&mut self, name: &str, path: &Pointer) {
        self.bytes(name.as_bytes());
        self.bytes(path.as_str().as_bytes());
    }

    fn patch_operation(&mut self, operation: &PatchOperation) {
        let (number, first, second) = match operation {
            PatchOperation::Add { path, value } => (1, path.as_str(), value.as_bytes()),
            PatchOperation::Remove { path } => (2, path.as_str(), &[][..]),
            PatchOperation::Replace { path, value } => (3, path.as_str(), value.as_bytes()),
            PatchOperation::Move { from, path } => (4, path.as_str(), from.as_str().as_bytes()),
            PatchOperation::Copy { from, path } => (5, path.as_str(), from.as_str().as_bytes()),
            PatchOperation::Test { path, value } => (6, path.as_str(), value.as_bytes()),
        };
        self.number(number);
        self.bytes(first.as_bytes());
        self.bytes(second);
    }

    fn event(&mut self, kind: &str, payload: &Encoded) {
        self.bytes(kind.as_bytes());
        self.bytes(payload.as_bytes());
    }

    fn trace(&mut self, trace: &NewTrace) {
        let NewTrace { id, parent, content, tags, metadata, usage, began, duration } = trace;
        let Usage { model, input_tokens, output_tokens } = usage;
        self.bytes(id.as_bytes());
        self.option(parent.as_ref(), |digest, parent| digest.bytes(parent.as_bytes()));
        self.bytes(content.kind().as_bytes());
        self.value(&content.to_value());
        self.number(tags.len() as u64);
        tags.iter().for_each(|tag| self.bytes(tag.as_bytes()));
        self.value(metadata);
        self.option(model.as_ref(), |digest, model| digest.bytes(model.as_bytes()));
        self.option(*input_tokens, Self::number);
        self.option(*output_tokens, Self::number);
        self.option(*began, |digest, began| digest.number(began.0));
        self.option(*duration, |digest, duration| digest.number(micros(duration)));
    }

    fn trace_end(&mut self, end: &TraceEnd) {
        let TraceEnd { result, error, input_tokens, output_tokens } = end;
        self.option(result.as_ref(), Self::value);
        self.option(error.as_ref(), |digest, error| digest.bytes(error.as_bytes()));
        self.option(*input_tokens, Self::number);
        self.option(*output_tokens, Self::number);
    }

    fn option<T>(&mut self, value: Option<T>, feed: impl FnOnce(&mut Self, T)) {
        self.number(value.is_some().into());
        if let Some(value) = value {
            feed(self, value);
        }
    }

    fn deadline(&mut self, deadline: Deadline) {
        let (tag, micros) = match deadline {
            Deadline::None => (0, 0),
            Deadline::In(ttl) => (1, micros(ttl)),
            Deadline::At(time) => (2, time.0),
        };
        self.number(tag);
        self.number(micros);
    }

    /// Checked against the limits before; one that breaks even the widest is refused anyway.
    fn value(&mut self, value: &Value) {
        let run = || EntityRef::run(RunId::from_bytes([0; 16]));
        if let Ok(encoded) = Encoded::from_value(value, &Limits::default(), run) {
            self.bytes(encoded.as_bytes());
        }
    }

    fn retention(&mut self, retention: Option<Retention>) {
        let mut bytes = Vec::new();
        retention.into_iter().for_each(|retention| retention.encode(Width::Fixed, &mut bytes));
        self.bytes(&bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }
}

/// Microseconds, of which no deadline and no trace has more.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{NewEvent, PutEntry};
    use crate::run_meta::RunSpec;
    use crate::run_status::RunStatus;
    use crate::trace_content::TraceContent;
    use crate::trace_id::TraceId;
    use crate::version::{Timestamp, Version};
    use std::time::Duration;

    fn put(key: &str, value: i64, deadline: Deadline) -> Operation {
        Operation::KvPut { key: key.into(), value: Encoded::from_int(value), deadline }
    }

    fn append(payload: i64, salt: u8) -> Operation {
        Operation::EventAppend { kind: "k".into(), payload: Encoded::from_int(payload), salt: [salt; 16] }
    }

    #[test]
    fn the_same_write_has_the_same_fingerprint_whatever_its_salt() {
        assert_eq!(Fingerprint::of(&[append(1, 1)]), Fingerprint::of(&[append(1, 2)]));
        let golden = Fingerprint([218, 79, 44, 223, 251, 114, 82, 197]);
        assert_eq!(Fingerprint::of(&[put("a", 1, Deadline::None)]), golden);
    }

    /// Traces and ends of them, of which no two are the same in every field.
    fn traces() -> Vec<Operation> {
        let id = |number| TraceId::from_bytes([number; 16]);
        let thought = |text: &str| TraceContent::Thought { text: text.into(), confidence: None };
        let new = || NewTrace::new(id(1), thought("a"));
        let with_usage = |usage| NewTrace { usage, ..new() };
        let step = TraceContent::Custom { kind: "step".into(), content: Value::Null };
        let records = [
            new(),
            NewTrace { id: id(2), ..new() },
            NewTrace { parent: Some(id(2)), ..new() },
            NewTrace { content: thought("b"), ..new() },
            NewTrace { content: step, ..new() },
            NewTrace { tags: vec!["t".into()], ..new() },
            NewTrace { metadata: 1.into(), ..new() },
            with_usage(Usage { model: Some("m".into()), ..Usage::default() }),
            with_usage(Usage { input_tokens: Some(1), ..Usage::default() }),
            with_usage(Usage { output_tokens: Some(1), ..Usage::default() }),
            NewTrace { began: Some(Timestamp(1)), ..new() },
            NewTrace { duration: Some(Duration::from_micros(1)), ..new() },
        ];
        let any = TraceEnd::default;
        let ends = [
            any(),
            TraceEnd { result: Some(Value::Null), ..any() },
            TraceEnd { result: Some(1.into()), ..any() },
            TraceEnd { error: Some("e".into()), ..any() },
            TraceEnd { input_tokens: Some(1), ..any() },
            TraceEnd { output_tokens: Some(1), ..any() },
        ];
        let mut operations: Vec<_> =
            records.map(|trace| Operation::TraceRecord { trace: Box::new(trace) }).into();
        operations.extend(ends.map(|end| Operation::TraceEnd { id: id(1), end: Box::new(end) }));
        operations.push(Operation::TraceBegin { trace: Box::new(new()) });
        operations.push(Operation::TraceEnd { id: id(2), end: Box::default() });
        operations
    }

    /// Writes that differ only in one field from those of the test below.
    fn others() -> Vec<Operation> {
        let key = || "b".into();
        let value = || Encoded::from_int(2);
        let path = |text: &str| Pointer::parse(text, 8).unwrap();
        vec![
            Operation::KvDelete { key: key() },
            Operation::KvClearDeadline { key: key() },
            Operation::KvDeletePrefix { prefix: key() },
            Operation::KvSetDeadline { key: "a".into(), deadline: Deadline::At(Timestamp(2)) },
            Operation::RunCreate { spec: Box::new(RunSpec { metadata: 2.into(), ..RunSpec::default() }) },
            Operation::CellInit { name: "a".into(), value: value(), deadline: Deadline::None },
            Operation::CellSet { name: "a".into(), value: value(), deadline: Deadline::None },
            Operation::CellDelete { name: key() },
            Operation::JsonCreate { name: "a".into(), value: value() },
            Operation::JsonAppend { name: "a".into(), path: path("/a"), value: value() },
            Operation::JsonDelete { name: "a".into(), path: path("/b") },
            Operation::JsonDestroy { name: key() },
            Operation::TraceBegin {
                trace: Box::new(NewTrace::new(
                    TraceId::from_bytes([9; 16]),
                    TraceContent::Thought { text: "a".into(), confidence: None },
                )),
            },
        ]
    }

    #[test]
    fn no_two_different_writes_share_a_fingerprint() {
        let key = || "a".into();
        let value = || Encoded::from_int(1);
        let entry = || PutEntry { key: key(), value: value(), deadline: Deadline::None };
        let event =
            |payload| NewEvent { kind: "k".into(), payload: Encoded::from_int(payload), salt: [0; 16] };
        let put_if = |expected| Operation::KvPutIf {
            key: key(),
            value: value(),
            deadline: Deadline::None,
            expected: Version(expected),
        };
        let cas = |expected| Operation::CellCas {
            name: key(),
            value: value(),
            deadline: Deadline::None,
            expected: Version(expected),
        };
        let path = |text: &str| Pointer::parse(text, 8).unwrap();
        let patch = |operation| Operation::JsonPatch { name: key(), patch: vec![operation] };
        let json_cas = |expected| Operation::JsonCas {
            name: key(),
            path: path("/a"),
            value: value(),
            expected: Version(expected),
        };
        let erase = |versions, reason: &str| Operation::RunErase {
            entity: Box::new(EntityRef::kv(RunId::from_bytes([1; 16]), "a")),
            versions,
            reason: reason.into(),
        };
        let spec = |metadata: i64| Box::new(RunSpec { metadata: metadata.into(), ..RunSpec::default() });
        let writes: Vec<Vec<Operation>> = vec![
            vec![],
            vec![put("a", 1, Deadline::None)],
            vec![put("a", 1, Deadline::In(Duration::from_secs(1)))],
            vec![put("a", 1, Deadline::At(Timestamp(1_000_000)))],
            vec![put("a", 2, Deadline::None)],
            vec![put("b", 1, Deadline::None)],
            vec![put("a", 1, Deadline::None), put("a", 1, Deadline::None)],
            vec![Operation::KvPutMany { entries: vec![entry()] }],
            vec![Operation::KvPutMany { entries: vec![entry(), entry()] }],
            vec![put_if(0)],
            vec![put_if(1)],
            vec![Operation::KvDelete { key: key() }],
            vec![Operation::KvClearDeadline { key: key() }],
            vec![Operation::KvDeletePrefix { prefix: key() }],
            vec![Operation::KvIncrement { key: key(), by: 1 }],
            vec![Operation::KvIncrement { key: key(), by: -1 }],
            vec![Operation::KvSetDeadline { key: key(), deadline: Deadline::At(Timestamp(1)) }],
            vec![append(1, 1)],
            vec![append(2, 1)],
            vec![Operation::EventAppendMany { events: vec![event(1)] }],
            vec![Operation::EventAppendMany { events: vec![event(2)] }],
            vec![Operation::RunCreate { spec: spec(1) }],
            vec![Operation::RunBegin { spec: spec(1) }],
            vec![Operation::RunBegin { spec: spec(2) }],
            vec![Operation::RunUpdateStatus { status: RunStatus::Completed }],
            vec![Operation::RunUpdateStatus { status: RunStatus::Failed }],
            vec![Operation::RunSetTags { tags: vec!["a".into()] }],
            vec![Operation::RunSetTags { tags: vec![] }],
            vec![Operation::RunSetMetadata { metadata: 1.into() }],
            vec![Operation::RunSetMetadata { metadata: 2.into() }],
            vec![Operation::RunSetRetention { retention: None }],
            vec![Operation::RunSetEventRetention { retention: None }],
            vec![Operation::RunSetTraceRetention { retention: None }],
            vec![Operation::RunSetTraceRetention { retention: Some(Retention::KeepLast(1)) }],
            vec![Operation::RunSetEventRetention { retention: Some(Retention::KeepLast(1)) }],
            vec![Operation::RunSetRetention { retention: Some(Retention::KeepAll) }],
            vec![Operation::RunSetRetention { retention: Some(Retention::KeepLast(1)) }],
            vec![Operation::RunSetRetention { retention: Some(Retention::KeepLast(2)) }],
            vec![erase(ErasedVersions::All, "a")],
            vec![erase(ErasedVersions::All, "b")],
            vec![erase(ErasedVersions::At(Version(1)), "a")],
            vec![erase(ErasedVersions::Through(Version(1)), "a")],
            vec![Operation::RunDelete],
            vec![Operation::CellInit { name: key(), value: value(), deadline: Deadline::None }],
            vec![Operation::CellSet { name: key(), value: value(), deadline: Deadline::None }],
            vec![cas(1)],
            vec![cas(2)],
            vec![Operation::CellDelete { name: key() }],
            vec![Operation::JsonCreate { name: key(), value: value() }],
            vec![Operation::JsonSet { name: key(), path: path("/a"), value: value() }],
            vec![Operation::JsonSet { name: key(), path: path("/b"), value: value() }],
            vec![Operation::JsonAppend { name: key(), path: path("/a"), value: value() }],
            vec![json_cas(1)],
            vec![json_cas(2)],
            vec![Operation::JsonDelete { name: key(), path: path("/a") }],
            vec![Operation::JsonMerge { name: key(), path: path("/a"), patch: 1.into() }],
            vec![Operation::JsonMerge { name: key(), path: path("/a"), patch: 2.into() }],
            vec![patch(PatchOperation::Add { path: path("/a"), value: value() })],
            vec![patch(PatchOperation::Replace { path: path("/a"), value: value() })],
            vec![patch(PatchOperation::Test { path: path("/a"), value: value() })],
            vec![patch(PatchOperation::Remove { path: path("/a") })],
            vec![patch(PatchOperation::Move { from: path("/a"), path: path("/b") })],
            vec![patch(PatchOperation::Copy { from: path("/a"), path: path("/b") })],
            vec![patch(PatchOperation::Copy { from: path("/c"), path: path("/b") })],
            vec![Operation::JsonDestroy { name: key() }],
        ];
        let singles = traces().into_iter().chain(others()).map(|operation| vec![operation]);
        let writes: Vec<_> = writes.into_iter().chain(singles).collect();
        for row in
            Operation::table().iter().filter(|row| row.write && !["expire", "run_delete"].contains(&row.name))
        {
            let count =
                writes.iter().filter(|write| write.first().is_some_and(|of| of.tag() == row.tag)).count();
            assert!(count > 1, "two writes that differ in a field of {} are among them", row.name);
        }
        let mut fingerprints: Vec<_> = writes.iter().map(|write| Fingerprint::of(write).0).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), writes.len());
    }
}
