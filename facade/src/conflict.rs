//! What two views have both changed since a third.

use strata_primitives::diff::DiffPlace;
use strata_primitives::merge::{self, EntryConflict, three_way};
use strata_primitives::{Encoded, EntityRef, RunId, Value};

use crate::Result;
use crate::difference::{Difference, KeyState};
use crate::traces::Trace;
use crate::view::View;

/// Something that two views have changed since a third, and not to the same.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Conflict {
    /// A key.
    Key(KeyConflict),
    /// A cell.
    Cell(KeyConflict),
    /// A place of a document.
    Place(PlaceConflict),
    /// Both have events that the other has not.
    Events(EntryConflict),
    /// A trace of one id that both have recorded or ended, each in its own way: a span, or what was recorded as an
    /// [effect](crate::Execution::effect).
    Trace(Box<TraceConflict>),
    /// Both have traces that the other has not.
    Traces(EntryConflict),
}

/// A key or a cell. `None` where it is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyConflict {
    /// The key, or the name of the cell.
    pub key: String,
    /// What it held.
    pub base: Option<KeyState>,
    /// What it holds in the one.
    pub ours: Option<KeyState>,
    /// What it holds in the other.
    pub theirs: Option<KeyState>,
}

/// A place of a document: the smallest one around what both have changed. `None` where nothing is there.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceConflict {
    /// The document.
    pub document: String,
    /// The place, a JSON Pointer (RFC 6901); nothing for the document as a whole.
    pub path: String,
    /// What was there.
    pub base: Option<Value>,
    /// What is there in the one.
    pub ours: Option<Value>,
    /// What is there in the other.
    pub theirs: Option<Value>,
}

/// A trace of one id that both have recorded or ended, each in its own way. Times are no difference.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceConflict {
    /// What it is in the one.
    pub ours: Trace,
    /// What it is in the other.
    pub theirs: Trace,
}

/// What became of one thing in two views since a third.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreeWayDifference {
    /// What differs in ours from the base; `None` where nothing does.
    pub ours: Option<Difference>,
    /// What differs in theirs from the base; `None` where nothing does.
    pub theirs: Option<Difference>,
    /// What a [merge](crate::RunHandle::merge) takes over without asking: what theirs alone has changed, of a document the places of
    /// which that is so.
    pub taken: Option<Difference>,
    /// What both have changed, each in its own way: of a document there may be several places, of all else there is one.
    pub conflicts: Vec<Conflict>,
}

/// One page of what became of things in two views since a third.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreeWayPage {
    /// The differences, in the order of their [places](DiffPlace): by primitive, then by name or number.
    pub differences: Vec<ThreeWayDifference>,
    /// Behind this place there may be more. `None` if there is nothing more.
    pub next: Option<DiffPlace>,
}

impl View {
    /// What two views have done to this one, from which both come: the first `limit` things behind a place that are not the same in one
    /// of them, or fewer, once the values of one side come to [`DIFF_SIZE_MAX`](crate::DIFF_SIZE_MAX).
    ///
    /// All three are judged at the later of the times of the two. Otherwise as [`diff`](Self::diff) of this view and each.
    ///
    /// # Errors
    /// Those of `diff`.
    ///
    /// ```
    /// use strata::{Conflict, Database, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let base = run.snapshot()?.detach()?;
    /// let fork = run.fork()?;
    /// run.put("city", "Bergen")?;
    /// fork.put("city", "Trondheim")?;
    /// let [ours, theirs] = [run.snapshot()?.detach()?, fork.snapshot()?.detach()?];
    /// let page = base.three_way(&ours, &theirs, None, 100)?;
    /// let [Conflict::Key(city)] = &page.differences.last().unwrap().conflicts[..] else { panic!("both changed it") };
    /// assert_eq!(city.theirs.as_ref().unwrap().value.as_str(), Some("Trondheim"));
    /// # database.close()
    /// # }
    /// ```
    pub fn three_way(
        &self,
        ours: &View,
        theirs: &View,
        behind: Option<&DiffPlace>,
        limit: usize,
    ) -> Result<ThreeWayPage> {
        let page = three_way(self.seen(), ours.seen(), theirs.seen(), behind, limit)?;
        let run = ours.state().id();
        let decode = |difference| ThreeWayDifference::decode(run, difference);
        let differences = page.differences.into_iter().map(decode).collect::<Result<_>>()?;
        Ok(ThreeWayPage { differences, next: page.next })
    }
}

impl ThreeWayDifference {
    /// Where it stands among all.
    pub fn place(&self) -> DiffPlace {
        self.ours.as_ref().or(self.theirs.as_ref()).expect("it differs on one side").place()
    }

    fn decode(run: RunId, difference: merge::ThreeWayDifference) -> Result<ThreeWayDifference> {
        let merge::ThreeWayDifference { ours, theirs, taken, conflicts } = difference;
        let decode = |side: Option<_>| side.map(|difference| Difference::decode(run, difference)).transpose();
        let (ours, theirs, taken) = (decode(ours)?, decode(theirs)?, decode(taken)?);
        let conflicts = conflicts.into_iter().map(|conflict| Conflict::decode(run, conflict));
        Ok(ThreeWayDifference { ours, theirs, taken, conflicts: conflicts.collect::<Result<_>>()? })
    }
}

impl Conflict {
    pub(crate) fn decode(run: RunId, conflict: merge::Conflict) -> Result<Conflict> {
        Ok(match conflict {
            merge::Conflict::Key(conflict) => {
                Self::Key(KeyConflict::decode(conflict, |key| EntityRef::kv(run, key))?)
            }
            merge::Conflict::Cell(conflict) => {
                Self::Cell(KeyConflict::decode(conflict, |name| EntityRef::cell(run, name))?)
            }
            merge::Conflict::Place(conflict) => Self::Place(PlaceConflict::decode(conflict)?),
            merge::Conflict::Events(conflict) => Self::Events(conflict),
            merge::Conflict::Trace(conflict) => {
                let (ours, theirs) = (Trace::decode(conflict.ours)?, Trace::decode(conflict.theirs)?);
                Self::Trace(Box::new(TraceConflict { ours, theirs }))
            }
            merge::Conflict::Traces(conflict) => Self::Traces(conflict),
        })
    }
}

impl KeyConflict {
    fn decode(conflict: merge::KeyConflict, entity: impl Fn(&str) -> EntityRef) -> Result<KeyConflict> {
        let merge::KeyConflict { key, base, ours, theirs } = conflict;
        let state = |state: Option<_>| {
            let decoded = state.map(KeyState::decode).transpose();
            decoded.map_err(|error| error.with_entity(entity(&key)))
        };
        let (base, ours, theirs) = (state(base)?, state(ours)?, state(theirs)?);
        Ok(KeyConflict { key: key.to_string(), base, ours, theirs })
    }
}

impl PlaceConflict {
    fn decode(conflict: merge::PlaceConflict) -> Result<PlaceConflict> {
        let merge::PlaceConflict { name, path, base, ours, theirs } = conflict;
        let value = |value: Option<Encoded>| value.map(|value| value.to_value()).transpose();
        let (base, ours, theirs) = (value(base)?, value(ours)?, value(theirs)?);
        Ok(PlaceConflict { document: name.to_string(), path: path.to_string(), base, ours, theirs })
    }
}
