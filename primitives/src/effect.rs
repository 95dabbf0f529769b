//! What a write revealed to its caller, kept beside an operation id so that a resent write answers the same.
use crate::codec::{self, DecodeError};

const TAG_NONE: u8 = 0;
const TAG_SEQUENCE: u8 = 1;
const TAG_INTEGER: u8 = 2;
const TAG_COUNT: u8 = 3;
const TAG_EXISTED: u8 = 4;

/// What a write revealed beyond its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing: the write was blind.
    None,
    /// Events were appended.
    Sequence {
        /// The sequence of the first one.
        first: u64,
        /// How many there were.
        count: u64,
    },
    /// The new number after an increment.
    Integer(i64),
    /// How many things were changed.
    Count(u64),
    /// Whether the thing was there before.
    Existed(bool),
}

impl Effect {
    /// Appends the encoding: tag, then the fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::None => codec::put_u8(out, TAG_NONE),
            Self::Sequence { first, count } => {
                codec::put_u8(out, TAG_SEQUENCE);
                codec::put_u64(out, first);
                codec::put_u64(out, count);
            }
            Self::Integer(value) => {
                codec::put_u8(out, TAG_INTEGER);
                codec::put_i64(out, value);
            }
            Self::Count(count) => {
                codec::put_u8(out, TAG_COUNT);
                codec::put_u64(out, count);
            }
            Self::Existed(existed) => {
                codec::put_u8(out, TAG_EXISTED);
                codec::put_u8(out, existed.into());
            }
        }
    }

    /// Takes one effect from the front of `input`.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(match codec::take_u8(input)? {
            TAG_NONE => Self::None,
            TAG_SEQUENCE => Self::Sequence { first: codec::take_u64(input)?, count: codec::take_u64(input)? },
            TAG_INTEGER => Self::Integer(codec::take_i64(input)?),
            TAG_COUNT => Self::Count(codec::take_u64(input)?),
            TAG_EXISTED => match codec::take_u8(input)? {
                0 => Self::Existed(false),
                1 => Self::Existed(true),
                tag => return Err(DecodeError::UnknownTag { what: "bool", tag }),
            },
            tag => return Err(DecodeError::UnknownTag { what: "effect", tag }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_every_effect_never_change() {
        let cases: Vec<(Effect, Vec<u8>)> = vec![
            (Effect::None, vec![0]),
            (
                Effect::Sequence { first: 5, count: 2 },
                vec![1, 5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            ),
            (Effect::Integer(-1), vec![2, 255, 255, 255, 255, 255, 255, 255, 255]),
            (Effect::Count(3), vec![3, 3, 0, 0, 0, 0, 0, 0, 0]),
            (Effect::Existed(false), vec![4, 0]),
            (Effect::Existed(true), vec![4, 1]),
        ];
        for (effect, golden) in cases {
            let mut bytes = Vec::new();
            effect.encode(&mut bytes);
            assert_eq!(bytes, golden, "{effect:?}");
            assert_eq!(Effect::decode(&mut &bytes[..]), Ok(effect));
            for cut in 0..bytes.len() {
                assert!(Effect::decode(&mut &bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn unknown_effects_are_refused() {
        assert_eq!(Effect::decode(&mut &[9][..]), Err(DecodeError::UnknownTag { what: "effect", tag: 9 }));
        assert_eq!(Effect::decode(&mut &[4, 2][..]), Err(DecodeError::UnknownTag { what: "bool", tag: 2 }));
    }
}
