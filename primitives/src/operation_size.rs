//! What operations take while they wait for a commit.
use crate::json::PatchOperation;
use crate::new_trace::NewTrace;
use crate::operation::Operation;
use crate::trace_content::TraceContent;
use crate::trace_end::TraceEnd;
use crate::value::Value;

impl Operation {
    /// About how many bytes it takes, with the keys and values it carries. Nothing for what only reads.
    pub fn size(&self) -> usize {
        let carried = match self {
            Self::KvPut { key, value, .. }
            | Self::KvPutIf { key, value, .. }
            | Self::CellInit { name: key, value, .. }
            | Self::CellSet { name: key, value, .. }
            | Self::CellCas { name: key, value, .. }
            | Self::JsonCreate { name: key, value } => key.len() + value.len(),
            Self::EventAppend { kind, payload, .. } => kind.len() + payload.len(),
            Self::KvPutMany { entries } => {
                entries.iter().map(|entry| size_of_val(entry) + entry.key.len() + entry.value.len()).sum()
            }
            Self::EventAppendMany { events } => {
                events.iter().map(|event| size_of_val(event) + event.kind.len() + event.payload.len()).sum()
            }
            Self::JsonSet { name, path, value }
            | Self::JsonCas { name, path, value, .. }
            | Self::JsonAppend { name, path, value } => name.len() + path.as_str().len() + value.len(),
            Self::JsonPatch { name, patch } => name.len() + patch.iter().map(of_patch).sum::<usize>(),
            Self::JsonMerge { name, path, patch } => name.len() + path.as_str().len() + of_value(patch),
            Self::TraceRecord { trace } | Self::TraceBegin { trace } => of_trace(trace),
            Self::TraceEnd { end, .. } => of_end(end),
            Self::RunSetTags { tags } => tags.iter().map(|tag| size_of_val(tag) + tag.len()).sum(),
            Self::RunSetMetadata { metadata } => of_value(metadata),
            Self::RunErase { entity, reason, .. } => size_of_val(&**entity) + reason.len(),
            Self::KvDelete { key: name }
            | Self::KvDeletePrefix { prefix: name }
            | Self::KvIncrement { key: name, .. }
            | Self::KvSetDeadline { key: name, .. }
            | Self::KvClearDeadline { key: name }
            | Self::CellDelete { name }
            | Self::JsonDestroy { name } => name.len(),
            Self::JsonDelete { name, path } => name.len() + path.as_str().len(),
            Self::RunCreate { spec } | Self::RunBegin { spec } => {
                size_of_val(&**spec) + of_value(&spec.metadata)
            }
            other if other.is_write() => 0,
            _ => return 0,
        };
        size_of::<Self>() + carried
    }
}

fn of_patch(operation: &PatchOperation) -> usize {
    let carried = match operation {
        PatchOperation::Add { path, value }
        | PatchOperation::Replace { path, value }
        | PatchOperation::Test { path, value } => path.as_str().len() + value.len(),
        PatchOperation::Move { from, path } | PatchOperation::Copy { from, path } => {
            from.as_str().len() + path.as_str().len()
        }
        PatchOperation::Remove { path } => path.as_str().len(),
    };
    size_of::<PatchOperation>() + carried
}

fn of_trace(trace: &NewTrace) -> usize {
    let option = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let content = match &trace.content {
        TraceContent::ToolCall { name, arguments, result, error } => {
            name.len() + of_value(arguments) + result.as_ref().map_or(0, of_value) + option(error)
        }
        TraceContent::Decision { question, options, chosen, reasoning } => {
            let options: usize = options.iter().map(of_value).sum();
            question.len() + options + of_value(chosen) + option(reasoning)
        }
        TraceContent::Query { kind, text, .. } => kind.len() + text.len(),
        TraceContent::Thought { text, .. } => text.len(),
        TraceContent::Error { kind, message, .. } => kind.len() + message.len(),
        TraceContent::Custom { kind, content } => kind.len() + of_value(content),
        TraceContent::Erased { kind } => kind.len(),
    };
    let tags: usize = trace.tags.iter().map(|tag| size_of_val(tag) + tag.len()).sum();
    size_of_val(trace) + content + tags + of_value(&trace.metadata)
}

fn of_end(end: &TraceEnd) -> usize {
    size_of_val(end) + end.result.as_ref().map_or(0, of_value) + end.error.as_ref().map_or(0, String::len)
}

/// No deeper than the value: those in checked operations are bounded.
fn of_value(value: &Value) -> usize {
    let held = match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Erased => 0,
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(of_value).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| size_of_val(name) + name.len() + of_value(member)).sum()
        }
    };
    size_of_val(value) + held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::encoded::Encoded;
    use crate::limits::Limits;
    use crate::trace_id::TraceId;

    /// Every write that carries something, with `text` in it.
    fn writes(text: &str) -> Vec<Operation> {
        let limits = Limits::default();
        let value = || Value::from(text);
        let encoded = || Encoded::within(&value(), &limits).unwrap();
        let trace = |content| Box::new(NewTrace::new(TraceId::from_bytes([1; 16]), content));
        let patch = Value::Array(vec![Value::from([
            ("op", "add".into()),
            ("path", "/a".into()),
            ("value", value()),
        ])]);
        let end = TraceEnd { result: Some(value()), ..TraceEnd::default() };
        vec![
            Operation::KvPut { key: "k".into(), value: encoded(), deadline: Deadline::None },
            Operation::EventAppend { kind: "k".into(), payload: encoded(), salt: [0; 16] },
            Operation::JsonCreate { name: "d".into(), value: encoded() },
            Operation::JsonPatch {
                name: "d".into(),
                patch: PatchOperation::parse_all(&patch, 8, &limits).unwrap(),
            },
            Operation::JsonMerge {
                name: "d".into(),
                path: crate::Pointer::root(),
                patch: Value::from([("a", Value::Array(vec![value()]))]),
            },
            Operation::TraceRecord {
                trace: trace(TraceContent::Thought { text: text.into(), confidence: None }),
            },
            Operation::TraceRecord {
                trace: trace(TraceContent::Custom { kind: "own".into(), content: value() }),
            },
            Operation::TraceEnd { id: TraceId::from_bytes([1; 16]), end: Box::new(end) },
            Operation::RunSetMetadata { metadata: value() },
            Operation::RunSetTags { tags: vec![text.into()] },
            Operation::KvDelete { key: text.into() },
        ]
    }

    #[test]
    fn an_operation_is_as_large_as_what_it_carries() {
        let (short, long) = ("x", "x".repeat(1_001));
        for (small, large) in writes(short).iter().zip(writes(&long)) {
            assert_eq!(large.size() - small.size(), 1_000, "{}", large.name());
            assert!(small.size() >= size_of::<Operation>());
        }
        assert_eq!(Operation::KvGet { key: long.into() }.size(), 0, "a read waits for no commit");
        assert!(Operation::RunDelete.size() > 0);
    }
}
