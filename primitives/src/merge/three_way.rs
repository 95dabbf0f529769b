//! What two states have done to a third, in order and page by page.
use super::conflict::Conflict;
use super::sides::{Sides, Verdict};
use crate::diff::{self, DiffPlace, Difference, Seen};
use crate::error::Error;
use std::collections::BTreeMap;

/// What became of one thing on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreeWayDifference {
    /// What differs in ours from the base; `None` where nothing does.
    pub ours: Option<Difference>,
    /// What differs in theirs from the base; `None` where nothing does.
    pub theirs: Option<Difference>,
    /// What ours takes over if theirs is merged into it and conflicts stay as they are: all that theirs alone has changed, of a document
    /// the places of which that is so. `None` where theirs has changed nothing, both have come to the same, or it is nothing that is
    /// taken over: what a run says of itself, and what was erased.
    pub taken: Option<Difference>,
    /// What both have changed, each in its own way. Of a document there may be several, of all else there is one.
    pub conflicts: Vec<Conflict>,
}

/// A page of what two states have done to a third.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreeWayDifferences {
    /// The differences, in the order of their places.
    pub differences: Vec<ThreeWayDifference>,
    /// Where to go on: behind this place there may be more. `None` if there is nothing more.
    pub next: Option<DiffPlace>,
}

/// What `ours` and `theirs` have done to `base`, each a [`Seen`] or a `&RunState`: the first `limit` things behind a place that differ in one
/// or both, or fewer, once the values of one side come to [`DIFF_SIZE_MAX`](diff::DIFF_SIZE_MAX).
///
/// All three are judged at the later of the times of both sides, so that what has expired on both has changed on none.
///
/// # Errors
/// Those of [`diff`](fn@diff::diff).
pub fn three_way<'a>(
    base: impl Into<Seen<'a>>,
    ours: impl Into<Seen<'a>>,
    theirs: impl Into<Seen<'a>>,
    behind: Option<&'a DiffPlace>,
    limit: usize,
) -> Result<ThreeWayDifferences, Error> {
    let sides = Sides::new(base.into(), ours.into(), theirs.into());
    let ours = diff::diff(sides.base, sides.ours, behind, limit)?;
    let theirs = diff::diff(sides.base, sides.theirs, behind, limit)?;
    // Behind the first of both ends not all is known.
    let end = [ours.next, theirs.next].into_iter().flatten().min();
    let mut pairs = pairs(ours.differences, theirs.differences);
    if let Some(end) = &end {
        pairs.retain(|place, _| place <= end);
    }
    let is_cut = pairs.len() > limit;
    let next = if is_cut { pairs.keys().nth(limit - 1).cloned() } else { end };
    let compared = pairs.into_values().take(limit).map(|(ours, theirs)| sides.compare(ours, theirs));
    Ok(ThreeWayDifferences { differences: compared.collect::<Result<_, _>>()?, next })
}

/// Of all that differs in theirs what became of it, in the order of the places, however much that is.
pub(super) fn verdicts(sides: &Sides<'_>) -> Result<Vec<Verdict>, Error> {
    let of = |side| diff::find_all(sides.base, side);
    let pairs = pairs(of(sides.ours)?, of(sides.theirs)?);
    let in_theirs = pairs.into_values().filter_map(|(ours, theirs)| Some((ours, theirs?)));
    in_theirs.map(|(ours, theirs)| sides.judge(ours.as_ref(), &theirs)).collect()
}

type Pair = (Option<Difference>, Option<Difference>);

/// Of each place what differs there on both sides.
fn pairs(ours: Vec<Difference>, theirs: Vec<Difference>) -> BTreeMap<DiffPlace, Pair> {
    let mut pairs: BTreeMap<DiffPlace, Pair> =
        ours.into_iter().map(|difference| (difference.place(), (Some(difference), None))).collect();
    for difference in theirs {
        let place = difference.place();
        pairs.entry(place).or_default().1 = Some(difference);
    }
    pairs
}

impl ThreeWayDifference {
    /// Where it stands among all.
    pub fn place(&self) -> DiffPlace {
        let difference = self.ours.as_ref().or(self.theirs.as_ref());
        difference.expect("it differs on one side").place()
    }
}
