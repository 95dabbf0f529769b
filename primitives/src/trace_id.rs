//! The identity of a trace.
use crate::error::Error;
use crate::id::{fresh_bytes, parse_hyphenated, write_hyphenated};
use std::fmt;
use std::str::FromStr;

/// The identity of a trace in its run: 16 bytes that the caller makes.
///
/// The caller and not the shard, so that one transaction can hold a trace and its children, and a trace that is sent
/// again is known to be the same.
///
/// ```
/// use strata_primitives::TraceId;
/// let id = TraceId::fresh(1_700_000_000_000_000, [7; 10]);
/// assert_eq!(id.to_string().parse::<TraceId>().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// A new id that sorts by time (UUIDv7): milliseconds from `now_micros`, the rest from `random`.
    pub fn fresh(now_micros: u64, random: [u8; 10]) -> Self {
        Self(fresh_bytes(now_micros, random))
    }

    /// The id with exactly these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of this id, as stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hyphenated(&self.0, formatter)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TraceId({self})")
    }
}

impl FromStr for TraceId {
    type Err = Error;

    /// Reads the hyphenated form that `Display` prints, and no other.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse_hyphenated(text, "a trace id").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::id::RunId;

    #[test]
    fn a_fresh_trace_id_is_made_like_that_of_a_run() {
        let (now, random) = (0x0001_0203_0405_0607, [0xab; 10]);
        assert_eq!(TraceId::fresh(now, random).as_bytes(), RunId::fresh(now, random).as_bytes());
        assert!(TraceId::fresh(1_000_000, [0xff; 10]) < TraceId::fresh(2_000_000, [0; 10]));
    }

    #[test]
    fn a_trace_id_prints_and_parses_as_hyphenated_text() {
        let id = TraceId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string(), "30313233-3435-3637-3839-616263646566");
        assert_eq!(id.to_string().parse::<TraceId>().unwrap(), id);
        assert_eq!(format!("{id:?}"), format!("TraceId({id})"));
        for text in ["", "x", "30313233343536373839616263646566", "3031323g-3435-3637-3839-616263646566"] {
            let error = text.parse::<TraceId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert_eq!(error.message(), format!("{text:?} is not a trace id: a hyphenated UUID is expected"));
        }
    }
}
