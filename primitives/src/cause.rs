//! Why a write was made, as the caller or the engine says it.
use crate::codec::{self, DecodeError};
use crate::entity::EntityRef;
use crate::error::Error;
use crate::id::RunId;
use crate::limits::Limits;
use crate::version::Version;

const TAG_EXPIRED: u8 = 1;
const TAG_NOTE: u8 = 2;
const TAG_COMMIT: u8 = 3;
const TAG_ENTITY: u8 = 4;

/// The cause attached to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The deadline of what was deleted had passed.
    Expired,
    /// The caller's own words.
    Note(String),
    /// An earlier commit, of this run or another.
    Commit {
        /// The run of that commit.
        run: RunId,
        /// Its number.
        version: Version,
    },
    /// A thing at a version, of this run or another.
    Entity {
        /// The thing.
        entity: EntityRef,
        /// The version it had.
        version: Version,
    },
}

impl Cause {
    /// Refuses a note or a key that is longer than `limits` allow.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        match self {
            Self::Note(note) => {
                limits.check_size("cause_size_max", limits.cause_size_max, note.len(), "cause")
            }
            Self::Entity { entity: EntityRef::Kv { key, .. }, .. } => limits.check_key(key),
            Self::Entity { entity: EntityRef::Cell { name, .. }, .. } => limits.check_cell_name(name),
            Self::Entity { entity: EntityRef::Json { name, .. }, .. } => limits.check_document_name(name),
            _ => Ok(()),
        }
    }

    /// Appends the encoding: tag, then the fields in order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Expired => codec::put_u8(out, TAG_EXPIRED),
            Self::Note(note) => {
                codec::put_u8(out, TAG_NOTE);
                codec::put_str(out, note);
            }
            Self::Commit { run, version } => {
                codec::put_u8(out, TAG_COMMIT);
                out.extend_from_slice(run.as_bytes());
                codec::put_u64(out, version.0);
            }
            Self::Entity { entity, version } => {
                codec::put_u8(out, TAG_ENTITY);
                entity.encode(out);
                codec::put_u64(out, version.0);
            }
        }
    }

    /// Takes one cause from the front of `input`.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        match codec::take_u8(input)? {
            TAG_EXPIRED => Ok(Self::Expired),
            TAG_NOTE => Ok(Self::Note(codec::take_str(input)?.to_owned())),
            TAG_COMMIT => Ok(Self::Commit {
                run: RunId::from_bytes(codec::take_array(input)?),
                version: Version(codec::take_u64(input)?),
            }),
            TAG_ENTITY => Ok(Self::Entity {
                entity: EntityRef::decode(input)?,
                version: Version(codec::take_u64(input)?),
            }),
            tag => Err(DecodeError::UnknownTag { what: "cause", tag }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace_id::TraceId;

    #[test]
    fn the_bytes_of_every_cause_never_change() {
        let run = RunId::from_bytes([7; 16]);
        let cases: Vec<(Cause, Vec<u8>)> = vec![
            (Cause::Expired, vec![1]),
            (Cause::Note("hi".into()), vec![2, 2, 0, 0, 0, b'h', b'i']),
            (
                Cause::Commit { run, version: Version(3) },
                [&[3], &[7; 16][..], &[3, 0, 0, 0, 0, 0, 0, 0]].concat(),
            ),
            (
                Cause::Entity { entity: EntityRef::run(run), version: Version(4) },
                [&[4, 1], &[7; 16][..], &[4, 0, 0, 0, 0, 0, 0, 0]].concat(),
            ),
            (
                Cause::Entity {
                    entity: EntityRef::trace(run, TraceId::from_bytes([8; 16])),
                    version: Version(4),
                },
                [&[4, 5], &[7; 16][..], &[8; 16], &[4, 0, 0, 0, 0, 0, 0, 0]].concat(),
            ),
        ];
        for (cause, golden) in cases {
            let mut bytes = Vec::new();
            cause.encode(&mut bytes);
            assert_eq!(bytes, golden, "{cause:?}");
            assert_eq!(Cause::decode(&mut &bytes[..]).unwrap(), cause);
            for cut in 0..bytes.len() {
                assert!(Cause::decode(&mut &bytes[..cut]).is_err());
            }
        }
        assert!(matches!(Cause::decode(&mut &[0][..]), Err(DecodeError::UnknownTag { tag: 0, .. })));
    }

    #[test]
    fn a_note_is_short() {
        let limits = Limits::default();
        assert!(Cause::Note("n".repeat(1024)).check(&limits).is_ok());
        let error = Cause::Note("n".repeat(1025)).check(&limits).unwrap_err();
        assert_eq!(error.message(), "cause_size_max is 1024 bytes, the cause has 1025");
        assert!(Cause::Expired.check(&limits).is_ok());
    }
}
