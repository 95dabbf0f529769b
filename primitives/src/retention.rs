//! How much of its history a run keeps.
use crate::codec::{self, DecodeError};
use crate::error::{Error, ErrorKind};
use crate::width::Width;
use std::fmt;
use std::time::Duration;

/// Which older versions of a run can be looked at, or which of its events or of its traces are kept.
///
/// Of versions it bounds what is kept from below: more may be there for a while, because history is given up by checkpoints. What
/// keys, cells, documents and the run itself hold now is never given up. Of events and of traces exactly these are there behind each
/// commit that adds some or sets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Retention {
    /// All of them, from the first commit on.
    #[default]
    KeepAll,
    /// Those of the last so many commits of the run, of 1 only what it is now; the last so many events, or traces.
    KeepLast(u64),
    /// What the run was at any time since so long ago; events, or traces, that are not older than that.
    KeepFor(Duration),
}

/// Which events and which traces a run keeps that does not say so itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntryRetention {
    /// Of its events.
    pub events: Retention,
    /// Of its traces.
    pub traces: Retention,
}

const KEEP_ALL: u8 = 1;
const KEEP_LAST: u8 = 2;
const KEEP_FOR: u8 = 3;

impl Retention {
    /// Refuses to keep nothing at all.
    ///
    /// # Errors
    /// `InvalidArgument` for the last 0, and for a duration of more than 2^64 microseconds.
    pub fn check(self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        match self {
            Self::KeepLast(0) => refuse("retention keeps the last 1 or more, not 0".to_owned()),
            Self::KeepFor(duration) if u64::try_from(duration.as_micros()).is_err() => {
                refuse(format!("retention keeps at most 2^64 microseconds, not {duration:?}: keep all"))
            }
            _ => Ok(()),
        }
    }

    /// Appends a tag and perhaps a number: `1` all, `2` last and commits, `3` for and microseconds.
    pub(crate) fn encode(self, width: Width, out: &mut Vec<u8>) {
        match self {
            Self::KeepAll => codec::put_u8(out, KEEP_ALL),
            Self::KeepLast(count) => {
                codec::put_u8(out, KEEP_LAST);
                width.put_number(out, count);
            }
            Self::KeepFor(duration) => {
                codec::put_u8(out, KEEP_FOR);
                width.put_number(out, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
            }
        }
    }

    pub(crate) fn decode(width: Width, input: &mut &[u8]) -> Result<Self, DecodeError> {
        match codec::take_u8(input)? {
            KEEP_ALL => Ok(Self::KeepAll),
            KEEP_LAST => Ok(Self::KeepLast(width.take_number(input)?)),
            KEEP_FOR => Ok(Self::KeepFor(Duration::from_micros(width.take_number(input)?))),
            tag => Err(DecodeError::UnknownTag { what: "retention", tag }),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAll => formatter.write_str("keep all"),
            Self::KeepLast(count) => write!(formatter, "keep the last {count}"),
            Self::KeepFor(duration) => write!(formatter, "keep what is younger than {duration:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_retention_never_change() {
        let cases = [
            (Retention::KeepAll, vec![1]),
            (Retention::KeepLast(7), vec![2, 7, 0, 0, 0, 0, 0, 0, 0]),
            (Retention::KeepFor(Duration::from_micros(9)), vec![3, 9, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (retention, golden) in cases {
            let short: Vec<u8> = golden.iter().copied().take(2).collect();
            for (width, golden) in [(Width::Fixed, golden), (Width::Varint, short)] {
                let mut bytes = Vec::new();
                retention.encode(width, &mut bytes);
                assert_eq!(bytes, golden);
                assert_eq!(Retention::decode(width, &mut &bytes[..]), Ok(retention));
                for cut in 0..bytes.len() {
                    assert!(Retention::decode(width, &mut &bytes[..cut]).is_err());
                }
            }
        }
        let unknown = Err(DecodeError::UnknownTag { what: "retention", tag: 4 });
        assert_eq!(Retention::decode(Width::Fixed, &mut &[4][..]), unknown);
    }

    #[test]
    fn keeping_nothing_is_refused() {
        let error = Retention::KeepLast(0).check().unwrap_err();
        assert_eq!(error.message(), "retention keeps the last 1 or more, not 0");
        let error = Retention::KeepFor(Duration::MAX).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        for kept in [Retention::KeepAll, Retention::KeepLast(1), Retention::KeepFor(Duration::ZERO)] {
            assert!(kept.check().is_ok(), "{kept}");
        }
    }
}
