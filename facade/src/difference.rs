//! What differs between two views.

use strata_primitives::diff::{
    self, DiffPlace, ErasedEvent, LogDifference, RunDifference, TraceDifference as StoredTraceDifference,
    diff,
};
use strata_primitives::{Encoded, EntityRef, RunId, Stamp, Timestamp, Value};

use crate::Result;
use crate::traces::Trace;
use crate::view::View;

/// One thing that is not the same in two views.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Difference {
    /// What the run says of itself.
    Run(RunDifference),
    /// A key.
    Key(KeyDifference),
    /// A cell, and its transition.
    Cell(KeyDifference),
    /// A document.
    Document(DocumentDifference),
    /// An event that both have and whose payload is erased in one of them.
    EventErased(ErasedEvent),
    /// The events, from where they part. What follows there is to be read from the views.
    Events(LogDifference),
    /// A trace that both have: it has ended in one of them, or in another way, or it is erased.
    Trace(Box<TraceDifference>),
    /// The traces, from where they part.
    Traces(LogDifference),
}

/// A key or a cell whose value or deadline is not the same. Which commit wrote it is told, and is no difference by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyDifference {
    /// The key, or the name of the cell.
    pub key: String,
    /// What it held; `None` if it was not there.
    pub before: Option<KeyState>,
    /// What it holds now; `None` if it is not there.
    pub after: Option<KeyState>,
}

/// What a key or a cell holds.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyState {
    /// Its value.
    pub value: Value,
    /// When it goes, if it has a deadline.
    pub deadline: Option<Timestamp>,
    /// The commit that last wrote it.
    pub stamp: Stamp,
}

/// A document that is not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentDifference {
    /// Its name.
    pub name: String,
    /// The commit that had last written it; `None` if it was not there.
    pub before: Option<Stamp>,
    /// The commit that has last written it; `None` if it is not there.
    pub after: Option<Stamp>,
    /// What became of it.
    pub change: DocumentChange,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentChange {
    /// It is there now, and this is all of it.
    Added(Value),
    /// It is not there any more, and this was all of it.
    Removed(Value),
    /// It differs at these places, in the order of the document. Objects are compared by members, arrays item by item; what is of
    /// another kind, and an object whose members stand in another order than their changes lead to, has changed as a whole.
    Changed(Vec<PlaceDifference>),
}

/// One place at which two documents differ. Nothing around it does but for what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceDifference {
    /// The place, a JSON Pointer (RFC 6901), the same in both documents.
    pub path: String,
    /// What was there; `None` where nothing was.
    pub before: Option<Value>,
    /// What is there now; `None` where nothing is.
    pub after: Option<Value>,
}

/// A trace that is the same step in two views, and has not come to the same.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceDifference {
    /// Its place in commit order.
    pub place: u64,
    /// What it was.
    pub before: Trace,
    /// What it is.
    pub after: Trace,
}

/// One page of what differs.
#[derive(Clone, Debug, PartialEq)]
pub struct DifferencePage {
    /// The differences, in the order of their [places](DiffPlace): by primitive, then by name or number.
    pub differences: Vec<Difference>,
    /// Behind this place there may be more. `None` if there is nothing more.
    pub next: Option<DiffPlace>,
}

impl View {
    /// What is not the same in this view and in `after`, the first `limit` differences behind a place, at least one if there is any, and no
    /// more once the values that they tell come to [`DIFF_SIZE_MAX`](crate::DIFF_SIZE_MAX). A document is one difference, however many
    /// places of it differ.
    ///
    /// The views may be of one run at two versions, of a run and a fork of it, or of any two, also of two stores. What they share
    /// is not looked at: where one is of the other's past, or both of one family that is in memory, it takes as long as what has
    /// changed between them, else as long as both. Each view is judged at its own time, as its reads are: what has expired by then is not
    /// there. What is erased shows as [`Value::Erased`].
    ///
    /// Large values that lie in files are read where nothing else tells whether they are the same. Two of which one or both do differ where
    /// size, kind or a hash of 64 bits do; for that one in memory is hashed, and none is read. Where all three are the same both are
    /// read, unless a commit of one number and time wrote them which both views have in common as far as ids tell: then they are
    /// taken for the same.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit of 0, `Corrupt` when a value that lies in a file is damaged, `Io`; each names the thing.
    ///
    /// ```
    /// use strata::{Database, Difference, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let fork = run.fork()?;
    /// fork.put("city", "Bergen")?;
    /// let [run, fork] = [run.snapshot()?.detach()?, fork.snapshot()?.detach()?];
    /// let page = run.diff(&fork, None, 100)?;
    /// // In front of it stands what runs say of themselves.
    /// let Some(Difference::Key(city)) = page.differences.last() else { panic!("a key differs") };
    /// assert_eq!(city.after.as_ref().unwrap().value.as_str(), Some("Bergen"));
    /// # database.close()
    /// # }
    /// ```
    pub fn diff(&self, after: &View, behind: Option<&DiffPlace>, limit: usize) -> Result<DifferencePage> {
        let page = diff(self.seen(), after.seen(), behind, limit)?;
        let run = after.state().id();
        let decode = |difference| Difference::decode(run, difference);
        let differences = page.differences.into_iter().map(decode).collect::<Result<_>>()?;
        Ok(DifferencePage { differences, next: page.next })
    }
}

impl Difference {
    /// Where it stands among all.
    pub fn place(&self) -> DiffPlace {
        match self {
            Self::Run(difference) => DiffPlace::Run(difference.field()),
            Self::Key(difference) => DiffPlace::Key(difference.key.as_str().into()),
            Self::Cell(difference) => DiffPlace::Cell(difference.key.as_str().into()),
            Self::Document(difference) => DiffPlace::Document(difference.name.as_str().into()),
            Self::EventErased(event) => DiffPlace::EventErased(event.sequence),
            Self::Events(_) => DiffPlace::Events,
            Self::Trace(difference) => DiffPlace::Trace(difference.place),
            Self::Traces(_) => DiffPlace::Traces,
        }
    }

    pub(crate) fn decode(run: RunId, difference: diff::Difference) -> Result<Difference> {
        Ok(match difference {
            diff::Difference::Run(difference) => Self::Run(difference),
            diff::Difference::Key(difference) => {
                Self::Key(KeyDifference::decode(difference, |key| EntityRef::kv(run, key))?)
            }
            diff::Difference::Cell(difference) => {
                Self::Cell(KeyDifference::decode(difference, |name| EntityRef::cell(run, name))?)
            }
            diff::Difference::Document(difference) => {
                let entity = EntityRef::json(run, difference.name.clone());
                let decoded = DocumentDifference::decode(difference);
                Self::Document(decoded.map_err(|error| error.with_entity(entity))?)
            }
            diff::Difference::EventErased(event) => Self::EventErased(event),
            diff::Difference::Events(difference) => Self::Events(difference),
            diff::Difference::Trace(StoredTraceDifference { place, before, after }) => {
                let entity = EntityRef::trace(run, after.id);
                let decode = |trace| Trace::decode(trace).map_err(|error| error.with_entity(entity.clone()));
                let (before, after) = (decode(before)?, decode(after)?);
                Self::Trace(Box::new(TraceDifference { place, before, after }))
            }
            diff::Difference::Traces(difference) => Self::Traces(difference),
        })
    }
}

impl KeyDifference {
    fn decode(difference: diff::KeyDifference, entity: impl Fn(&str) -> EntityRef) -> Result<KeyDifference> {
        let diff::KeyDifference { key, before, after } = difference;
        let state = |state: Option<diff::KeyState>| {
            state.map(KeyState::decode).transpose().map_err(|error| error.with_entity(entity(&key)))
        };
        let (before, after) = (state(before)?, state(after)?);
        Ok(KeyDifference { key: key.to_string(), before, after })
    }
}

impl KeyState {
    pub(crate) fn decode(state: diff::KeyState) -> Result<KeyState> {
        let diff::KeyState { value, deadline, stamp, .. } = state;
        Ok(KeyState { value: value.to_value()?, deadline, stamp })
    }
}

impl DocumentDifference {
    fn decode(difference: diff::DocumentDifference) -> Result<DocumentDifference> {
        let diff::DocumentDifference { name, before, after, change } = difference;
        let change = match change {
            diff::DocumentChange::Added(value) => DocumentChange::Added(value.to_value()?),
            diff::DocumentChange::Removed(value) => DocumentChange::Removed(value.to_value()?),
            diff::DocumentChange::Changed(places) => DocumentChange::Changed(
                places.into_iter().map(PlaceDifference::decode).collect::<Result<_>>()?,
            ),
        };
        Ok(DocumentDifference { name: name.to_string(), before, after, change })
    }
}

impl PlaceDifference {
    fn decode(difference: strata_primitives::PlaceDifference) -> Result<PlaceDifference> {
        let strata_primitives::PlaceDifference { path, before, after } = difference;
        let value = |value: Option<Encoded>| value.map(|value| value.to_value()).transpose();
        Ok(PlaceDifference { path: path.to_string(), before: value(before)?, after: value(after)? })
    }
}
