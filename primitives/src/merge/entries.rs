//! Events and traces that two states have, and a third has not.
use super::conflict::EntryConflict;
use crate::content::Content;
use crate::diff::{LogDifference, Parting};
use crate::error::Error;
use crate::event::{Event, Seal, payload_digest};
use foldhash::{HashMap, HashSet};
use std::ops::Range;

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
    /// Whether ours has removed some of its own since the base: which those were is not known.
    pub(super) is_cut: bool,
    /// Behind what ours has.
    end: u64,
}

/// What tells an event or a trace from all others.
type Identity = [u8; 32];

impl Entries {
    /// What ours and theirs have and the base has not. A difference is that of the base and a state, none where both have the same.
    ///
    /// # Errors
    /// Those of reading a payload.
    pub(super) fn apart(
        self,
        [base, ours, theirs]: [&Content; 3],
        ours_differ: Option<&LogDifference>,
        theirs_differ: Option<&LogDifference>,
    ) -> Result<Apart, Error> {
        // What both states share with the base stands in front of where each parts from it.
        let behind = |difference: Option<&LogDifference>| match difference {
            Some(LogDifference { parting, before, after }) => {
                [before, after].map(|list| tail(*parting, list))
            }
            None => [0..0, 0..0],
        };
        let ([base_ours, own], [base_theirs, other]) = (behind(ours_differ), behind(theirs_differ));
        let lists = [(base, base_ours), (base, base_theirs), (ours, own), (theirs, other)];
        let by_digest = lists.iter().any(|(content, places)| self.has_erased(content, places.clone()));
        let identify = |(content, places): &(&Content, Range<u64>)| {
            let identified =
                |place| self.identity(content, place, by_digest).map(|found| Ok((place, found?)));
            places.clone().filter_map(identified).collect::<Result<Vec<_>, Error>>()
        };
        let [base_ours, base_theirs, ours, theirs] = &lists;
        let mut known = identify(base_ours)?;
        known.extend(identify(base_theirs)?);
        let known: HashSet<Identity> = known.into_iter().map(|(_, identity)| identity).collect();
        let new = |mut list: Vec<(u64, Identity)>| {
            list.retain(|(_, identity)| !known.contains(identity));
            list
        };
        let (mut own, other) = (new(identify(ours)?), new(identify(theirs)?));
        let places: HashMap<Identity, u64> =
            own.iter().map(|(place, identity)| (*identity, *place)).collect();
        let mut apart =
            Apart { is_cut: ours_differ.is_some_and(has_removed), end: ours.1.end, ..Apart::default() };
        let mut met = HashSet::default();
        for (place, identity) in other {
            match places.get(&identity) {
                Some(in_ours) => {
                    met.insert(*in_ours);
                    apart.both.push((*in_ours, place));
                }
                None => apart.theirs.push(place),
            }
        }
        own.retain(|(place, _)| !met.contains(place));
        apart.ours = own.into_iter().map(|(place, _)| place).collect();
        Ok(apart)
    }

    fn has_erased(self, content: &Content, mut places: Range<u64>) -> bool {
        self == Self::Events && places.any(|place| content.events.get(place).is_some_and(Event::is_erased))
    }

    /// Of what is there. Of an erased event the digest of salt and payload is left, so that stands for all where there is one.
    fn identity(self, content: &Content, place: u64, by_digest: bool) -> Option<Result<Identity, Error>> {
        let padded = |bytes: &[u8; 16]| {
            let mut identity = [0; 32];
            identity[..16].copy_from_slice(bytes);
            Ok(identity)
        };
        match self {
            Self::Events => content.events.get(place).map(|event| match &event.seal {
                Seal::Salt(salt) if by_digest => Ok(payload_digest(&event.payload.read()?, salt)),
                Seal::Salt(salt) => padded(salt),
                Seal::Digest(digest) => Ok(**digest),
            }),
            Self::Traces => content.traces.get(place).map(|trace| padded(trace.id.as_bytes())),
        }
    }
}

/// Whether a state has removed something of its own.
fn has_removed(difference: &LogDifference) -> bool {
    match difference.parting {
        Parting::At(place) => difference.after.start > place,
        Parting::Removed => true,
    }
}

/// What a list has behind where it parts from another, from the first that is kept.
fn tail(parting: Parting, list: &Range<u64>) -> Range<u64> {
    match parting {
        Parting::At(place) => place.max(list.start)..list.end,
        Parting::Removed => list.clone(),
    }
}

impl EntryConflict {
    /// Of the sequences, or places, that ours alone and theirs alone have; none where one of both has nothing alone, and that is known.
    pub(super) fn of(Apart { ours, theirs, is_cut, end, .. }: &Apart) -> Option<Self> {
        let range = |places: &[u64]| Some(*places.first()?..*places.last()? + 1);
        let own = range(ours).or(is_cut.then_some(*end..*end));
        Some(Self { ours: own?, theirs: range(theirs)? })
    }
}
