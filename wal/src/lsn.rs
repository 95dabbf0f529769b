//! A position in one shard's log.

use std::fmt;

/// Byte position in one shard's logical log: the first LSN of a segment plus the offset in its file.
///
/// Segments follow each other without gaps, so the next segment's first LSN is this one's plus its size.
/// The log begins with a segment header, which no record occupies: `Lsn(0)` means "nothing yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// "Nothing yet": no record lies here.
    pub const ZERO: Lsn = Lsn(0);

    /// The position `bytes` further on.
    #[must_use]
    pub fn after(self, bytes: u64) -> Lsn {
        Lsn(self.0 + bytes)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_positions_are_greater_and_nothing_yet_is_the_smallest() {
        assert!(Lsn::ZERO < Lsn(4096));
        assert_eq!(Lsn(4096).after(64), Lsn(4160));
        assert_eq!(Lsn(4096).to_string(), "4096");
    }
}
