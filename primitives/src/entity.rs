//! The address of one thing in a store, the same in errors, causes and on the wire.
use crate::codec::{self, DecodeError};
use crate::error::{Error, ErrorKind};
use crate::id::RunId;
use crate::key::Key;
use crate::trace_id::TraceId;
use std::fmt;
use std::str::FromStr;

const TAG_RUN: u8 = 1;
const TAG_KV: u8 = 2;
const TAG_EVENT: u8 = 3;
const TAG_CELL: u8 = 4;
const TAG_JSON: u8 = 6;
const TAG_TRACE: u8 = 5;

/// One addressable thing. Prints and parses as stable text.
///
/// Errors and histories keep addresses for long, so [`kv`](Self::kv), [`cell`](Self::cell) and [`json`](Self::json) take names
/// [alone](Key::alone), without the value beside which they may lie.
///
/// ```
/// use strata_primitives::{EntityRef, RunId};
/// let entity = EntityRef::kv(RunId::from_bytes([0; 16]), "plan/step 1");
/// assert_eq!(entity.to_string(), "kv:00000000-0000-0000-0000-000000000000/plan/step 1");
/// assert_eq!(entity.to_string().parse::<EntityRef>().unwrap(), entity);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EntityRef {
    /// A key of a run.
    Kv {
        /// The run.
        run: RunId,
        /// The key.
        key: Key,
    },
    /// An event of a run.
    Event {
        /// The run.
        run: RunId,
        /// The event's number, from 0.
        sequence: u64,
    },
    /// A state cell of a run.
    Cell {
        /// The run.
        run: RunId,
        /// The cell's name.
        name: Key,
    },
    /// A trace of a run.
    Trace {
        /// The run.
        run: RunId,
        /// The trace's identity.
        id: TraceId,
    },
    /// A JSON document of a run.
    Json {
        /// The run.
        run: RunId,
        /// The document's name.
        name: Key,
    },
    /// A run itself.
    Run {
        /// The run.
        run: RunId,
    },
}

impl EntityRef {
    /// The address of a key.
    pub fn kv(run: RunId, key: impl Into<Key>) -> Self {
        Self::Kv { run, key: key.into().alone() }
    }

    /// The address of a state cell.
    pub fn cell(run: RunId, name: impl Into<Key>) -> Self {
        Self::Cell { run, name: name.into().alone() }
    }

    /// The address of a document.
    pub fn json(run: RunId, name: impl Into<Key>) -> Self {
        Self::Json { run, name: name.into().alone() }
    }

    /// The address of an event.
    pub fn event(run: RunId, sequence: u64) -> Self {
        Self::Event { run, sequence }
    }

    /// The address of a trace.
    pub fn trace(run: RunId, id: TraceId) -> Self {
        Self::Trace { run, id }
    }

    /// The address of a run.
    pub fn run(run: RunId) -> Self {
        Self::Run { run }
    }

    /// The run this thing lives in.
    pub fn run_id(&self) -> RunId {
        match self {
            Self::Kv { run, .. }
            | Self::Event { run, .. }
            | Self::Cell { run, .. }
            | Self::Json { run, .. }
            | Self::Trace { run, .. }
            | Self::Run { run } => *run,
        }
    }

    /// The same thing by a name that [holds no value](Key::alone), whoever put it together: for who keeps it for long.
    pub fn alone(&self) -> Self {
        match self {
            Self::Kv { run, key } => Self::kv(*run, key.clone()),
            Self::Cell { run, name } => Self::cell(*run, name.clone()),
            Self::Json { run, name } => Self::json(*run, name.clone()),
            Self::Event { .. } | Self::Trace { .. } | Self::Run { .. } => self.clone(),
        }
    }

    /// The same thing of another run, as one that inherited it has it.
    pub fn in_run(&self, run: RunId) -> Self {
        let mut entity = self.clone();
        match &mut entity {
            Self::Kv { run: held, .. }
            | Self::Event { run: held, .. }
            | Self::Cell { run: held, .. }
            | Self::Json { run: held, .. }
            | Self::Trace { run: held, .. }
            | Self::Run { run: held } => *held = run,
        }
        entity
    }

    /// Appends the encoding: tag, run id, then the key (length, bytes), the sequence or the trace id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let tag = match self {
            Self::Run { .. } => TAG_RUN,
            Self::Kv { .. } => TAG_KV,
            Self::Event { .. } => TAG_EVENT,
            Self::Cell { .. } => TAG_CELL,
            Self::Json { .. } => TAG_JSON,
            Self::Trace { .. } => TAG_TRACE,
        };
        codec::put_u8(out, tag);
        out.extend_from_slice(self.run_id().as_bytes());
        match self {
            Self::Run { .. } => {}
            Self::Kv { key: name, .. } | Self::Cell { name, .. } | Self::Json { name, .. } => {
                codec::put_str(out, name)
            }
            Self::Event { sequence, .. } => codec::put_u64(out, *sequence),
            Self::Trace { id, .. } => out.extend_from_slice(id.as_bytes()),
        }
    }

    /// Takes one entity from the front of `input`.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let tag = codec::take_u8(input)?;
        let run = RunId::from_bytes(codec::take_array(input)?);
        match tag {
            TAG_RUN => Ok(Self::Run { run }),
            TAG_KV => Ok(Self::Kv { run, key: codec::take_str(input)?.into() }),
            TAG_EVENT => Ok(Self::Event { run, sequence: codec::take_u64(input)? }),
            TAG_JSON => Ok(Self::Json { run, name: codec::take_str(input)?.into() }),
            TAG_CELL => Ok(Self::Cell { run, name: codec::take_str(input)?.into() }),
            TAG_TRACE => Ok(Self::Trace { run, id: TraceId::from_bytes(codec::take_array(input)?) }),
            tag => Err(DecodeError::UnknownTag { what: "entity", tag }),
        }
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kv { run, key } => write!(formatter, "kv:{run}/{key}"),
            Self::Event { run, sequence } => write!(formatter, "event:{run}/{sequence}"),
            Self::Cell { run, name } => write!(formatter, "cell:{run}/{name}"),
            Self::Json { run, name } => write!(formatter, "json:{run}/{name}"),
            Self::Trace { run, id } => write!(formatter, "trace:{run}/{id}"),
            Self::Run { run } => write!(formatter, "run:{run}"),
        }
    }
}

impl FromStr for EntityRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| {
            let expected =
                "kv:<run>/<key>, event:<run>/<sequence>, cell:<run>/<name>, json:<run>/<name>, trace:<run>/<id> or run:<run>";
            Error::new(
                ErrorKind::InvalidArgument,
                format!("{text:?} is not an entity: {expected} is expected"),
            )
        })
    }
}

/// The key is everything behind the first slash, so every key survives the round trip.
fn parse(text: &str) -> Option<EntityRef> {
    let (kind, rest) = text.split_once(':')?;
    if kind == "run" {
        return Some(EntityRef::run(rest.parse().ok()?));
    }
    let (run, name) = rest.split_once('/')?;
    let run = run.parse().ok()?;
    match kind {
        "kv" => Some(EntityRef::kv(run, name)),
        "cell" => Some(EntityRef::cell(run, name)),
        "json" => Some(EntityRef::json(run, name)),
        "trace" => Some(EntityRef::trace(run, name.parse().ok()?)),
        "event" => {
            let sequence: u64 = name.parse().ok()?;
            (sequence.to_string() == name).then_some(EntityRef::event(run, sequence))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        RunId::from_bytes(*b"0123456789abcdef")
    }

    #[test]
    fn every_entity_survives_its_text() {
        let keys = ["a", "a/b", "/", "kv:x", " ", "line\nbreak", "ключ", "run:"];
        let mut entities: Vec<_> = keys.iter().map(|key| EntityRef::kv(run(), *key)).collect();
        entities.extend(keys.iter().map(|key| EntityRef::cell(run(), *key)));
        entities.extend(keys.iter().map(|key| EntityRef::json(run(), *key)));
        entities.extend([
            EntityRef::event(run(), 0),
            EntityRef::event(run(), u64::MAX),
            EntityRef::trace(run(), TraceId::from_bytes([0xa5; 16])),
            EntityRef::run(run()),
        ]);
        for entity in entities {
            assert_eq!(entity.to_string().parse::<EntityRef>().unwrap(), entity);
            assert_eq!(entity.run_id(), run());
        }
    }

    #[test]
    fn text_that_names_nothing_is_refused() {
        let id = run();
        for text in [
            String::new(),
            "kv".into(),
            "kv:x/y".into(),
            "run:x".into(),
            format!("kv:{id}"),
            format!("event:{id}/x"),
            format!("event:{id}/01"),
            format!("event:{id}/+1"),
            format!("cells:{id}/x"),
            format!("trace:{id}"),
            format!("trace:{id}/x"),
            format!("trace:{id}/{id}/x"),
        ] {
            assert_eq!(text.parse::<EntityRef>().unwrap_err().kind(), ErrorKind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn the_bytes_of_an_entity_never_change() {
        let cases: [(EntityRef, Vec<u8>); 6] = [
            (EntityRef::run(run()), [&[1], &b"0123456789abcdef"[..]].concat()),
            (EntityRef::kv(run(), "k"), [&[2], &b"0123456789abcdef"[..], &[1, 0, 0, 0, b'k']].concat()),
            (EntityRef::json(run(), "k"), [&[6], &b"0123456789abcdef"[..], &[1, 0, 0, 0, b'k']].concat()),
            (EntityRef::cell(run(), "k"), [&[4], &b"0123456789abcdef"[..], &[1, 0, 0, 0, b'k']].concat()),
            (
                EntityRef::event(run(), 5),
                [&[3], &b"0123456789abcdef"[..], &[5, 0, 0, 0, 0, 0, 0, 0]].concat(),
            ),
            (
                EntityRef::trace(run(), TraceId::from_bytes(*b"fedcba9876543210")),
                [&[5], &b"0123456789abcdef"[..], &b"fedcba9876543210"[..]].concat(),
            ),
        ];
        for (entity, golden) in cases {
            let mut bytes = Vec::new();
            entity.encode(&mut bytes);
            assert_eq!(bytes, golden);
            let mut input = &bytes[..];
            assert_eq!(EntityRef::decode(&mut input).unwrap(), entity);
            assert!(input.is_empty());
            for cut in 0..bytes.len() {
                assert!(EntityRef::decode(&mut &bytes[..cut]).is_err());
            }
        }
        let unknown = [[9].as_slice(), &[0; 16]].concat();
        assert!(matches!(EntityRef::decode(&mut &unknown[..]), Err(DecodeError::UnknownTag { tag: 9, .. })));
    }
}
