//! Events and traces that two states have, and a third has not.
use super::conflict::EntryConflict;
use crate::content::Content;
use crate::diff::{LogDifference, Parting};
use crate::event::Seal;
use rustc_hash::{FxHashMap, FxHashSet};

/// Which of two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// Events. Two are one and the same where they have one salt: it is random, and what is merged keeps it.
    Events,
    /// Traces. Their ids tell.
    Traces,
}

/// What two lists have behind where each parts from a base.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// The sequences, or places, of what ours has, and neither the base nor theirs.
    pub(super) ours: Vec<u64>,
    /// Of what theirs has, and neither the base nor ours.
    pub(super) theirs: Vec<u64>,
    /// Of what both have and the base has not: in ours and in theirs.
    pub(super) both: Vec<(u64, u64)>,
}

/// What tells an event or a trace from all others. Of an erased event nothing is left that does.
type Identity = Option<[u8; 16]>;

impl Entries {
    /// What ours and theirs have and the base has not. A difference is that of the base and a state, none where both have the same.
    pub(super) fn apart(
        self,
        [base, ours, theirs]: [&Content; 3],
        ours_differ: Option<&LogDifference>,
        theirs_differ: Option<&LogDifference>,
    ) -> Apart {
        // What both states share with the base stands in front of where each parts from it.
        let known = self.behind_base(base, ours_differ).chain(self.behind_base(base, theirs_differ));
        let known: FxHashSet<_> = known.filter_map(|(_, identity)| identity).collect();
        let is_new =
            |(_, identity): &(u64, Identity)| identity.is_none_or(|identity| !known.contains(&identity));
        let own = self.behind(ours, ours_differ).filter(is_new);
        let mut own: Vec<(u64, Identity)> = own.collect();
        let places: FxHashMap<[u8; 16], u64> =
            own.iter().filter_map(|(place, identity)| Some(((*identity)?, *place))).collect();
        let mut apart = Apart::default();
        let mut met = FxHashSet::default();
        for (place, identity) in self.behind(theirs, theirs_differ).filter(is_new) {
            match identity.and_then(|identity| places.get(&identity)) {
                Some(in_ours) => {
                    met.insert(*in_ours);
                    apart.both.push((*in_ours, place));
                }
                None => apart.theirs.push(place),
            }
        }
        own.retain(|(place, _)| !met.contains(place));
        apart.ours = own.into_iter().map(|(place, _)| place).collect();
        apart
    }

    fn behind(
        self,
        content: &Content,
        difference: Option<&LogDifference>,
    ) -> impl Iterator<Item = (u64, Identity)> {
        let places = difference
            .map_or(0..0, |LogDifference { parting, after, .. }| parted_at(*parting, after.start)..after.end);
        places.map(move |place| (place, self.identity(content, place)))
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
    pub(super) fn of(Apart { ours, theirs, .. }: &Apart) -> Option<Self> {
        let range = |places: &[u64]| Some(*places.first()?..*places.last()? + 1);
        Some(Self { ours: range(ours)?, theirs: range(theirs)? })
    }
}
