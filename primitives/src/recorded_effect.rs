//! What a program called in the world, and what came of it, recorded so that it is not called again.
//!
//! Each is a trace of its run, which is over when it is recorded:
//!
//! ```text
//! id       the first 16 bytes of BLAKE3 in its mode for deriving keys, with the context
//!          "strata 2026-11 id of a recorded effect", over u32 size of the name, the name, u64 ordinal
//! kind     "effect/" and the name
//! tags     "effect"
//! content  an object: "ordinal" int, "input" value, "input_hash" 32 bytes, "result" value
//! ```
//! Numbers are little-endian; the hash is BLAKE3 over the canonical encoding of the input. The kind says the name, because a run counts the
//! traces of each kind, also those that it does not keep any more: so it is known how many effects of a name were recorded.
use crate::codec::{put_str, put_u64};
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::members::{Members, as_count, count_value};
use crate::new_trace::NewTrace;
use crate::trace_content::TraceContent;
use crate::trace_id::TraceId;
use crate::value::Value;

/// Names and contexts are stored, or hashed into what is stored, so they never change.
const ID_CONTEXT: &str = "strata 2026-11 id of a recorded effect";
const KIND_PREFIX: &str = "effect/";
const ORDINAL: &str = "ordinal";
const INPUT: &str = "input";
const INPUT_HASH: &str = "input_hash";
const RESULT: &str = "result";

/// An effect of a program as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEffect {
    /// What was called.
    pub name: String,
    /// Which call of that name it was, counted from 0.
    pub ordinal: u64,
    /// What it was given.
    pub input: Value,
    /// BLAKE3 of the canonical encoding of the input.
    pub input_hash: [u8; 32],
    /// What came of it.
    pub result: Value,
}

impl RecordedEffect {
    /// The tag of every trace that is a recorded effect.
    pub const TAG: &str = "effect";

    /// The trace that one is recorded as.
    pub fn id_of(name: &str, ordinal: u64) -> TraceId {
        let mut key = Vec::with_capacity(4 + name.len() + 8);
        put_str(&mut key, name);
        put_u64(&mut key, ordinal);
        let hash = blake3::derive_key(ID_CONTEXT, &key);
        TraceId::from_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
    }

    /// The kind of trace that those of one name are.
    pub fn kind_of(name: &str) -> String {
        format!("{KIND_PREFIX}{name}")
    }

    /// Whether traces of this kind are recorded effects, unless somebody recorded others.
    pub(crate) fn is_kind(kind: &str) -> bool {
        kind.starts_with(KIND_PREFIX)
    }

    /// The hash of an input.
    ///
    /// # Panics
    /// If it is unread.
    pub fn hash_of(input: &Encoded) -> [u8; 32] {
        *blake3::hash(input.as_bytes()).as_bytes()
    }

    /// Refuses a name by the rules of kinds of traces, of which it is one behind 7 bytes.
    ///
    /// # Errors
    /// `InvalidArgument` naming the limit and the given size.
    pub fn check_name(name: &str, limits: &Limits) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "the name of an effect is empty"));
        }
        limits.check_trace_kind(&Self::kind_of(name)).map_err(|error| error.with_context("name of an effect"))
    }

    /// The trace of it.
    pub fn into_trace(self) -> NewTrace {
        let mut members = Members::default();
        members.put(ORDINAL, count_value(self.ordinal));
        members.put(INPUT, self.input);
        members.put(INPUT_HASH, Value::Bytes(self.input_hash.to_vec()));
        members.put(RESULT, self.result);
        let content = TraceContent::Custom { kind: Self::kind_of(&self.name), content: members.into_value() };
        NewTrace {
            tags: vec![Self::TAG.to_owned()],
            ..NewTrace::new(Self::id_of(&self.name, self.ordinal), content)
        }
    }

    /// Reads back what [`into_trace`](Self::into_trace) made.
    ///
    /// # Errors
    /// `WrongType` when it is erased, and when it is another trace: one that somebody recorded under such an id or kind.
    pub fn from_trace(id: TraceId, content: TraceContent) -> Result<Self, Error> {
        let (kind, content) = match content {
            TraceContent::Custom { kind, content } => (kind, content),
            TraceContent::Erased { .. } => {
                return Err(wrong("the effect is erased: what came of it is gone"));
            }
            other => return Err(wrong(&format!("a trace of kind {:?} is no effect", other.kind()))),
        };
        let Some(name) = kind.strip_prefix(KIND_PREFIX) else {
            return Err(wrong(&format!("a trace of kind {kind:?} is no effect")));
        };
        let effect =
            take(name, content).map_err(|error| wrong(&format!("it is no effect: {}", error.message())))?;
        match Self::id_of(name, effect.ordinal) == id {
            true => Ok(effect),
            false => {
                Err(wrong(&format!("it is no effect: its id is not that of {name:?} {}", effect.ordinal)))
            }
        }
    }
}

fn take(name: &str, content: Value) -> Result<RecordedEffect, Error> {
    let mut members = Members::of(content)?;
    let as_hash = |value: Value| if let Value::Bytes(bytes) = value { bytes.try_into().ok() } else { None };
    let effect = RecordedEffect {
        name: name.to_owned(),
        ordinal: members.take(ORDINAL, as_count)?,
        input: members.take(INPUT, Some)?,
        input_hash: members.take(INPUT_HASH, as_hash)?,
        result: members.take(RESULT, Some)?,
    };
    members.expect_end()?;
    Ok(effect)
}

#[cold]
fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::WrongType, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect() -> RecordedEffect {
        let input = Value::from([("city", "Oslo".into())]);
        let encoded = Encoded::within(&input, &Limits::default()).unwrap();
        RecordedEffect {
            name: "search".into(),
            ordinal: 3,
            input,
            input_hash: RecordedEffect::hash_of(&encoded),
            result: Value::Int(7),
        }
    }

    fn with(name: &str, value: Option<Value>) -> (TraceId, TraceContent) {
        let NewTrace { id, content, .. } = effect().into_trace();
        let TraceContent::Custom { kind, content: Value::Object(mut members) } = content else { panic!() };
        members.retain(|(member, _)| member != name);
        members.extend(value.map(|value| (name.to_owned(), value)));
        (id, TraceContent::Custom { kind, content: Value::Object(members) })
    }

    #[test]
    fn a_recorded_effect_is_a_trace_that_is_drawn_above() {
        let trace = effect().into_trace();
        assert_eq!(trace.id.to_string(), "471f6708-ad64-7e0c-0804-c414a62c1d65");
        assert_eq!((trace.content.kind(), &*trace.tags), ("effect/search", &["effect".to_owned()][..]));
        let TraceContent::Custom { content, .. } = &trace.content else { panic!() };
        let hash = "4547ebf3bbaf40f4a29fb6a89afcae465d2a1e8d0a08fcc2dfb212aab9c628a4";
        assert_eq!(
            content.to_string(),
            format!(r#"{{"ordinal": 3, "input": {{"city": "Oslo"}}, "input_hash": h'{hash}', "result": 7}}"#)
        );
        assert_eq!(RecordedEffect::from_trace(trace.id, trace.content).unwrap(), effect());
    }

    #[test]
    fn no_two_effects_have_one_id() {
        let mut ids: Vec<_> = ["a", "b", "ab", "a\u{1}"]
            .iter()
            .flat_map(|name| [0, 1, 256, u64::MAX].map(|ordinal| RecordedEffect::id_of(name, ordinal)))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 16);
    }

    #[test]
    fn a_trace_that_is_no_effect_is_said_to_be_none() {
        let hash = Value::Bytes(vec![0; 31]);
        let NewTrace { id, content, .. } = effect().into_trace();
        let custom = |kind: &str| TraceContent::Custom { kind: kind.into(), content: Value::Null };
        let others = [
            (TraceId::from_bytes([1; 16]), content),
            (id, custom("effect/search")),
            (id, custom("search")),
            (id, TraceContent::Thought { text: "t".into(), confidence: None }),
            (id, TraceContent::Erased { kind: "effect/search".into() }),
            with(ORDINAL, None),
            with(ORDINAL, Some(Value::Int(-1))),
            with(ORDINAL, Some(Value::Int(4))),
            with(INPUT, None),
            with(INPUT_HASH, Some(Value::Null)),
            with(INPUT_HASH, Some(hash)),
            with(RESULT, None),
            with("more", Some(Value::Null)),
        ];
        for (id, content) in others {
            let error = RecordedEffect::from_trace(id, content.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongType, "{content:?}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_a_kind_of_trace_has_room_for() {
        let limits = Limits::default();
        assert!(RecordedEffect::check_name(&"n".repeat(1017), &limits).is_ok());
        let refused =
            |name: &str| RecordedEffect::check_name(name, &limits).unwrap_err().message().to_owned();
        assert_eq!(
            refused(&"n".repeat(1018)),
            "name of an effect: key_size_max is 1024 bytes, the kind of trace has 1025"
        );
        assert_eq!(refused(""), "the name of an effect is empty");
        assert!(refused("a\0b").contains("NUL"));
    }
}
