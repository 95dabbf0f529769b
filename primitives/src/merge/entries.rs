//! Events and traces that two states have, and a third has not.
use super::conflict::EntryConflict;
use crate::content::Content;
use crate::diff::{LogDifference, Parting};
use crate::event::Seal;
use rustc_hash::FxHashSet;

/// Which of two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// Events. Two are one and the same where they have one salt: it is random, and what is merged keeps it.
    Events,
    /// Traces. Their ids tell.
    Traces,
}

/// What tells an event or a trace from all others. Of an erased event nothing is left that does.
type Identity = Option<[u8; 16]>;

impl Entries {
    /// The sequences, or places, of what `theirs` has and neither the base nor `ours` has; and the same the other way round. A difference is
    /// that of the base and a state, none where both have the same.
    pub(super) fn apart(
        self,
        [base, ours, theirs]: [&Content; 3],
        ours_differ: Option<&LogDifference>,
        theirs_differ: Option<&LogDifference>,
    ) -> [Vec<u64>; 2] {
        let own = self.behind(ours, ours_differ);
        let other = self.behind(theirs, theirs_differ);
        // What both states share with the base stands in front of where each parts from it.
        let known = self.behind_base(base, ours_differ).chain(self.behind_base(base, theirs_differ));
        let known: FxHashSet<Identity> =
            known.map(|(_, identity)| identity).filter(Option::is_some).collect();
        let alone = |these: &[(u64, Identity)], those: &[(u64, Identity)]| {
            let those: FxHashSet<Identity> = those.iter().map(|(_, identity)| *identity).collect();
            let is_alone = |identity: &Identity| {
                identity.is_none() || !(those.contains(identity) || known.contains(identity))
            };
            let alone = these.iter().filter(|(_, identity)| is_alone(identity));
            alone.map(|(place, _)| *place).collect()
        };
        [alone(&own, &other), alone(&other, &own)]
    }

    fn behind(self, content: &Content, difference: Option<&LogDifference>) -> Vec<(u64, Identity)> {
        let Some(LogDifference { parting, after, .. }) = difference else { return Vec::new() };
        let first = parted_at(*parting, after.start);
        (first..after.end).map(|place| (place, self.identity(content, place))).collect()
    }

    fn behind_base(
        self,
        base: &Content,
        difference: Option<&LogDifference>,
    ) -> impl Iterator<Item = (u64, Identity)> {
        let places = difference.map_or(0..0, |LogDifference { parting, before, .. }| {
            parted_at(*parting, before.start)..before.end
        });
        places.map(move |place| (place, self.identity(base, place)))
    }

    fn identity(self, content: &Content, place: u64) -> Identity {
        match self {
            Self::Events => match content.events.get(place)?.seal {
                Seal::Salt(salt) => Some(salt),
                Seal::Digest(_) => None,
            },
            Self::Traces => Some(*content.traces.get(place)?.id.as_bytes()),
        }
    }
}

/// What is there behind where two lists part, from the first that is kept.
fn parted_at(parting: Parting, first: u64) -> u64 {
    match parting {
        Parting::At(place) => place.max(first),
        Parting::Removed => first,
    }
}

impl EntryConflict {
    /// Of the sequences, or places, that ours alone and theirs alone have; none where one of both has nothing alone.
    pub(super) fn of([ours, theirs]: &[Vec<u64>; 2]) -> Option<Self> {
        let range = |places: &[u64]| Some(*places.first()?..*places.last()? + 1);
        Some(Self { ours: range(ours)?, theirs: range(theirs)? })
    }
}
