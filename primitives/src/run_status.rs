//! Where a run is in its life.
use crate::codec::{self, DecodeError};
use std::fmt;

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunStatus {
    /// At work; the only status that takes writes.
    #[default]
    Active,
    /// Done.
    Completed,
    /// Given up after an error.
    Failed,
    /// Given up on request.
    Cancelled,
    /// Stopped for now.
    Paused,
    /// Put away for ever.
    Archived,
}

impl RunStatus {
    /// Every status, by ascending code.
    pub const ALL: [RunStatus; 6] =
        [Self::Active, Self::Completed, Self::Failed, Self::Cancelled, Self::Paused, Self::Archived];

    /// Whether a run of this status may move to `next`. Staying is not a move.
    pub fn can_become(self, next: RunStatus) -> bool {
        match self {
            Self::Active => next != Self::Active,
            Self::Paused => matches!(next, Self::Active | Self::Cancelled | Self::Archived),
            Self::Completed | Self::Failed | Self::Cancelled => next == Self::Archived,
            Self::Archived => false,
        }
    }

    /// Whether a run of this status can never take writes again.
    pub fn is_finished(self) -> bool {
        !matches!(self, Self::Active | Self::Paused)
    }

    /// The stable number of this status, as stored.
    pub fn code(self) -> u8 {
        match self {
            Self::Active => 1,
            Self::Completed => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
            Self::Paused => 5,
            Self::Archived => 6,
        }
    }

    /// The status with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// The name of this status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let tag = codec::take_u8(input)?;
        Self::from_code(tag).ok_or(DecodeError::UnknownTag { what: "status", tag })
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunStatus::*;

    #[test]
    fn a_run_moves_only_along_the_contracts_arrows() {
        let arrows = [
            (Active, vec![Completed, Failed, Cancelled, Paused, Archived]),
            (Completed, vec![Archived]),
            (Failed, vec![Archived]),
            (Cancelled, vec![Archived]),
            (Paused, vec![Active, Cancelled, Archived]),
            (Archived, vec![]),
        ];
        for (status, allowed) in arrows {
            for next in RunStatus::ALL {
                assert_eq!(status.can_become(next), allowed.contains(&next), "{status} to {next}");
            }
            assert_eq!(status.is_finished(), !matches!(status, Active | Paused));
        }
    }

    #[test]
    fn status_codes_are_stable() {
        let named: Vec<_> = RunStatus::ALL.iter().map(|status| (status.code(), status.name())).collect();
        let golden = [
            (1, "active"),
            (2, "completed"),
            (3, "failed"),
            (4, "cancelled"),
            (5, "paused"),
            (6, "archived"),
        ];
        assert_eq!(named, golden);
        for status in RunStatus::ALL {
            assert_eq!(RunStatus::from_code(status.code()), Some(status));
        }
        assert_eq!(RunStatus::from_code(7), None);
        assert!(matches!(RunStatus::decode(&mut &[9][..]), Err(DecodeError::UnknownTag { tag: 9, .. })));
    }
}
