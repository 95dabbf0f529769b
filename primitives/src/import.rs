//! How a run came into a store that was imported: in what its description says of it.
use crate::codec::{self, DecodeError};
use crate::retention::Retention;
use crate::version::Version;

/// The commits that a run was imported with, and the one that did it.
///
/// No commit has a number in between. There are such numbers where a run of the same id was deleted before, and had come further
/// than the archive: that of the importing commit is greater than any that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// The newest of the commits that came with it.
    pub through: Version,
    /// The commit that imported it, the first of the run since.
    pub by: Version,
}

/// In front of the importing commit, where that is not the next one.
const BY: u8 = 5;
const NOT_BEHIND: DecodeError =
    DecodeError::Contradiction { what: "a run is imported by a commit behind those that it came with" };

impl Import {
    /// So much of the history of a run whose newest commit is `newest`, where numbers are counted that no commit has.
    #[must_use]
    pub fn across_gap(self, retention: Retention, newest: Version) -> Retention {
        let since = newest.next().0.saturating_sub(self.by.0);
        match retention {
            Retention::KeepLast(count) if count > since => {
                let gap = self.by.0 - self.through.next().0;
                Retention::KeepLast(count.saturating_add(gap))
            }
            _ => retention,
        }
    }

    /// Appends `u64` the newest commit that came with it, and a byte 5 and `u64` the importing one unless that comes next.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        codec::put_u64(out, self.through.0);
        if self.by != self.through.next() {
            codec::put_u8(out, BY);
            codec::put_u64(out, self.by.0);
        }
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let through = Version(codec::take_u64(input)?);
        let next = through.0.checked_add(1).ok_or(NOT_BEHIND)?;
        if input.first() != Some(&BY) {
            return Ok(Self { through, by: Version(next) });
        }
        codec::take_u8(input)?;
        let by = Version(codec::take_u64(input)?);
        // The next one is not written.
        if by.0 > next { Ok(Self { through, by }) } else { Err(NOT_BEHIND) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_an_import_never_change() {
        let cases = [
            (Import { through: Version(4), by: Version(5) }, vec![4, 0, 0, 0, 0, 0, 0, 0]),
            (
                Import { through: Version(4), by: Version(11) },
                vec![4, 0, 0, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0, 0, 0, 0, 0],
            ),
        ];
        for (import, golden) in cases {
            let mut bytes = Vec::new();
            import.encode(&mut bytes);
            assert_eq!(bytes, golden);
            assert_eq!(Import::decode(&mut &bytes[..]), Ok(import));
        }
        for refused in [5, 4, 0] {
            let bytes = [4, 0, 0, 0, 0, 0, 0, 0, 5, refused, 0, 0, 0, 0, 0, 0, 0];
            assert!(
                Import::decode(&mut &bytes[..]).is_err(),
                "the importing commit comes behind, and {refused} does not"
            );
        }
        assert!(Import::decode(&mut &[0xff; 8][..]).is_err(), "nothing comes behind the last number");
    }

    #[test]
    fn as_many_commits_are_kept_as_are_asked_for_whatever_lies_between() {
        let import = Import { through: Version(4), by: Version(11) };
        // 1 to 4 and 11 to 13 are there.
        let first_kept = |count| match import.across_gap(Retention::KeepLast(count), Version(13)) {
            Retention::KeepLast(count) => 14_u64.saturating_sub(count),
            other => panic!("{other}"),
        };
        assert_eq!([1, 2, 3].map(first_kept), [13, 12, 11]);
        assert_eq!([4, 5, 7].map(first_kept), [4, 3, 1]);
        assert_eq!(first_kept(u64::MAX), 0);
        for other in [Retention::KeepAll, Retention::KeepFor(std::time::Duration::ZERO)] {
            assert_eq!(import.across_gap(other, Version(13)), other);
        }
        let next = Import { through: Version(4), by: Version(5) };
        assert_eq!(next.across_gap(Retention::KeepLast(9), Version(6)), Retention::KeepLast(9));
    }
}
