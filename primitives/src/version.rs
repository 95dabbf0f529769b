//! When something was written: versions, timestamps, receipts.
use crate::codec::{self, DecodeError};
use std::fmt;

/// The number of a run's commit, counted from 1 without gaps; 0 means "never".
///
/// Versions of two runs say nothing about each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version of what was never written.
    pub const NEVER: Version = Version(0);

    /// The version of what a transaction has written and not committed: behind every commit there is.
    pub const PENDING: Version = Version(u64::MAX);

    /// The version after this one.
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Microseconds since the epoch. Inside one run timestamps never decrease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a reply promises: how much of the world may fail before the write is lost. Ordered by strength.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Applied in memory; lost with the process.
    InMemory,
    /// Handed to the kernel; survives the process.
    #[default]
    Buffered,
    /// On stable storage; survives power loss.
    Strict,
}

impl Durability {
    /// The stable number of this mode, as stored.
    pub fn code(self) -> u8 {
        match self {
            Self::InMemory => 1,
            Self::Buffered => 2,
            Self::Strict => 3,
        }
    }

    /// The mode with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::InMemory, Self::Buffered, Self::Strict].into_iter().find(|mode| mode.code() == code)
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::InMemory => "in memory",
            Self::Buffered => "buffered",
            Self::Strict => "strict",
        })
    }
}

/// The number and the time of a commit: what every mutation of that commit is stamped with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The commit's number.
    pub version: Version,
    /// The commit's time.
    pub timestamp: Timestamp,
}

impl Stamp {
    /// Appends the number and the time, a `u64` each.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        codec::put_u64(out, self.version.0);
        codec::put_u64(out, self.timestamp.0);
    }

    /// Takes what [`encode`](Self::encode) appended from the front of `input`.
    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let version = Version(codec::take_u64(input)?);
        Ok(Self { version, timestamp: Timestamp(codec::take_u64(input)?) })
    }
}

/// The receipt of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The commit's number in its run.
    pub version: Version,
    /// The commit's time.
    pub timestamp: Timestamp,
    /// What the reply promised.
    pub durability: Durability,
}

/// A thing that was read, with the commit that last wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versioned<T> {
    /// What was read.
    pub value: T,
    /// The commit that last wrote it; for lists, counts and other aggregates, the one they are true at.
    pub version: Version,
    /// The time of that commit.
    pub timestamp: Timestamp,
}

impl<T> Versioned<T> {
    /// The version with its time.
    pub fn stamp(&self) -> Stamp {
        Stamp { version: self.version, timestamp: self.timestamp }
    }

    /// The same version of something derived from the value.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Versioned<U> {
        Versioned { value: convert(self.value), version: self.version, timestamp: self.timestamp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_ordered_by_strength_and_buffered_by_default() {
        assert!(Durability::InMemory < Durability::Buffered && Durability::Buffered < Durability::Strict);
        assert_eq!(Durability::default(), Durability::Buffered);
    }

    #[test]
    fn durability_codes_are_stable() {
        for (mode, code, name) in [
            (Durability::InMemory, 1, "in memory"),
            (Durability::Buffered, 2, "buffered"),
            (Durability::Strict, 3, "strict"),
        ] {
            assert_eq!((mode.code(), Durability::from_code(code)), (code, Some(mode)));
            assert_eq!(mode.to_string(), name);
        }
        assert_eq!(Durability::from_code(0), None);
        assert_eq!(Durability::from_code(4), None);
    }

    #[test]
    fn a_commit_fits_three_words_even_when_it_may_be_absent() {
        assert_eq!(size_of::<Option<Commit>>(), 24);
    }

    #[test]
    fn mapping_a_versioned_value_keeps_its_version() {
        let read = Versioned { value: 3, version: Version(7), timestamp: Timestamp(9) };
        assert_eq!(
            read.map(|value| value * 2),
            Versioned { value: 6, version: Version(7), timestamp: Timestamp(9) }
        );
        assert_eq!(format!("{} at {}", Version::NEVER.next(), Timestamp(5)), "1 at 5");
    }
}
