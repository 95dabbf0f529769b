//! What the tests of this folder write documents with.
use super::{Change, Document, Pointer, Terms};
use crate::encoded::Encoded;
use crate::limits::Limits;
use crate::value::Value;
use crate::version::{Stamp, Timestamp, Version};

pub(super) static LIMITS: std::sync::LazyLock<Limits> = std::sync::LazyLock::new(Limits::default);

/// The value a JSON text is.
pub(super) fn json(text: &str) -> Value {
    from_serde(serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn from_serde(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => number.as_i64().map_or_else(
            || Value::Float(number.as_f64().expect("a number is whole or has a fraction")),
            Value::Int,
        ),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(items) => Value::Array(items.into_iter().map(from_serde).collect()),
        serde_json::Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, from_serde(value))).collect())
        }
    }
}

pub(super) fn encode(value: &Value) -> Encoded {
    Encoded::within(value, &LIMITS).unwrap()
}

pub(super) fn encoded(text: &str) -> Encoded {
    encode(&json(text))
}

pub(super) fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(version * 10) }
}

/// The document a JSON text is, written by commit 1.
pub(super) fn document(text: &str) -> Document {
    Document::from_encoded(&encoded(text), stamp(1)).unwrap()
}

pub(super) fn place(text: &str) -> Pointer {
    Pointer::parse(text, 256).unwrap()
}

/// Commit `version` under the usual limits.
pub(super) fn terms(version: u64) -> Terms<'static> {
    Terms { stamp: stamp(version), limits: &LIMITS }
}

pub(super) fn value_of(document: &Document) -> Value {
    document.get(&Pointer::root()).unwrap().value.to_value().unwrap()
}

/// The decided change, once replaying its writes is seen to give the same document.
#[track_caller]
pub(super) fn replayed(before: &Document, change: Change, version: u64) -> Document {
    let mut replayed = before.clone();
    for write in &change.writes {
        assert_eq!(replayed.check(write), Ok(()), "{write:?}");
        replayed.apply(write, stamp(version));
    }
    assert_eq!(value_of(&replayed), value_of(&change.document));
    assert_eq!(replayed.size(), encode(&value_of(&replayed)).len());
    change.document
}
