//! What is told of a difference: plain data.
use crate::encoded::Encoded;
use crate::id::{Namespace, RunId};
use crate::json::PlaceDifference;
use crate::key::Key;
use crate::retention::Retention;
use crate::run_status::RunStatus;
use crate::trace::Trace;
use crate::value::Value;
use crate::version::{Durability, Stamp, Timestamp, Version};
use std::ops::Range;

/// One thing that is not the same in two states.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// What the run says of itself.
    Run(RunDifference),
    /// A key.
    Key(KeyDifference),
    /// A cell.
    Cell(KeyDifference),
    /// A document.
    Document(DocumentDifference),
    /// An event that both have and whose payload is erased in one of them.
    EventErased(ErasedEvent),
    /// The events, from where they part.
    Events(LogDifference),
    /// A trace that both have: it has ended in one of them, or otherwise, or it is erased.
    Trace(TraceDifference),
    /// The traces, from where they part.
    Traces(LogDifference),
}

/// Where a difference stands among all: by primitive, then by name or number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiffPlace {
    /// Something the run says of itself.
    Run(RunField),
    /// A key.
    Key(Key),
    /// A cell.
    Cell(Key),
    /// A document.
    Document(Key),
    /// An event that both have, by its sequence.
    EventErased(u64),
    /// Where events part.
    Events,
    /// A trace that both have, by its place in commit order.
    Trace(u64),
    /// Where traces part.
    Traces,
}

/// What a run says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the field of this name")]
pub enum RunField {
    Existence,
    Name,
    Namespace,
    Parent,
    Durability,
    Status,
    Tags,
    Metadata,
    Retention,
    EventRetention,
    TraceRetention,
}

/// What two runs, or one at two times, say of themselves that is not the same.
///
/// Name, namespace, parent and durability never change in the life of a run, so they differ between two runs only, or two lives
/// of one. How a run came to be is no difference: its id, when it was created, in which boot it was begun, what it was forked from or
/// imported as.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "before and after are what both states say")]
pub enum RunDifference {
    /// Only one of them exists; of a run that does not exist nothing more is told.
    Existence { before: bool, after: bool },
    /// The name its id was derived from.
    Name { before: Option<String>, after: Option<String> },
    /// Whose run it is.
    Namespace { before: Namespace, after: Namespace },
    /// The run that started it.
    Parent { before: Option<RunId>, after: Option<RunId> },
    /// The least its writes are promised.
    Durability { before: Option<Durability>, after: Option<Durability> },
    /// Where it is in its life.
    Status { before: RunStatus, after: RunStatus },
    /// Words to find it by.
    Tags { before: Vec<String>, after: Vec<String> },
    /// Anything else worth knowing.
    Metadata { before: Value, after: Value },
    /// How much of its history is kept.
    Retention { before: Option<Retention>, after: Option<Retention> },
    /// Which of its events are kept.
    EventRetention { before: Option<Retention>, after: Option<Retention> },
    /// Which of its traces are kept.
    TraceRetention { before: Option<Retention>, after: Option<Retention> },
}

/// A key or a cell whose value or deadline is not the same. Which commit wrote it is told, and is no difference by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyDifference {
    /// The key, or the name of the cell.
    pub key: Key,
    /// What it held; `None` if it was not there.
    pub before: Option<KeyState>,
    /// What it holds now; `None` if it is not there.
    pub after: Option<KeyState>,
}

/// What a key or a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyState {
    /// Its value, which may be on disk; that of an erased one is [erased](Encoded::is_erased).
    pub value: Encoded,
    /// When it expires.
    pub deadline: Option<Timestamp>,
    /// The commit that last wrote it.
    pub stamp: Stamp,
    /// The commit that wrote its value: an earlier one where the last has only moved the deadline.
    pub written: Version,
}

/// A document that is not the same.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentDifference {
    /// Its name.
    pub name: Key,
    /// The commit that had last written it; `None` if it was not there.
    pub before: Option<Stamp>,
    /// The commit that has last written it; `None` if it is not there.
    pub after: Option<Stamp>,
    /// What became of it.
    pub change: DocumentChange,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentChange {
    /// It is there now, and this is all of it.
    Added(Encoded),
    /// It is not there any more, and this was all of it.
    Removed(Encoded),
    /// It differs at these places, as [`Document::differences`](crate::Document::differences) finds them. Erased is a value of its own
    /// that the whole document has.
    Changed(Vec<PlaceDifference>),
}

/// An event whose payload is erased in one of two states. Its hash is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedEvent {
    /// Its sequence.
    pub sequence: u64,
    /// Whether it is erased in the state before.
    pub before: bool,
    /// Whether it is erased in the state after.
    pub after: bool,
}

/// A trace that is the same step in two states, and in another state of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceDifference {
    /// Its place in commit order.
    pub place: u64,
    /// What it was.
    pub before: Trace,
    /// What it is.
    pub after: Trace,
}

/// Two lists of events or of traces that part, or of which one does not keep what the other does.
///
/// What follows where they part is the tail of each: the events or traces from there to the end of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDifference {
    /// Where they part.
    pub parting: Parting,
    /// The sequences, or places, that are there before: from the first that is kept to behind the last.
    pub before: Range<u64>,
    /// The same after.
    pub after: Range<u64>,
}

/// Where two lists part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// All in front of this sequence, or place, are the same. What stands here differs, or only one has it; at the end of both
    /// only what they keep at their fronts differs.
    At(u64),
    /// They part among what one of them does not keep any more, or there is nothing left by which that could be told.
    Removed,
}

impl Difference {
    /// Where it stands among all.
    pub fn place(&self) -> DiffPlace {
        match self {
            Self::Run(difference) => DiffPlace::Run(difference.field()),
            Self::Key(difference) => DiffPlace::Key(difference.key.alone()),
            Self::Cell(difference) => DiffPlace::Cell(difference.key.alone()),
            Self::Document(difference) => DiffPlace::Document(difference.name.clone()),
            Self::EventErased(event) => DiffPlace::EventErased(event.sequence),
            Self::Events(_) => DiffPlace::Events,
            Self::Trace(difference) => DiffPlace::Trace(difference.place),
            Self::Traces(_) => DiffPlace::Traces,
        }
    }

    /// What it tells of a key or a cell.
    pub(crate) fn as_key(&self) -> Option<&KeyDifference> {
        match self {
            Self::Key(difference) | Self::Cell(difference) => Some(difference),
            _ => None,
        }
    }

    /// What it tells of events or traces as a whole.
    pub(crate) fn as_log(&self) -> Option<&LogDifference> {
        match self {
            Self::Events(difference) | Self::Traces(difference) => Some(difference),
            _ => None,
        }
    }

    /// About how many bytes the values take that it tells.
    pub(super) fn size(&self) -> usize {
        let of = |value: &Option<Encoded>| value.as_ref().map_or(0, Encoded::len);
        let of_key = |difference: &KeyDifference| {
            let states = [&difference.before, &difference.after].into_iter().flatten();
            states.map(|state| state.value.len()).sum::<usize>() + difference.key.len()
        };
        match self {
            Self::Key(difference) | Self::Cell(difference) => of_key(difference),
            Self::Document(DocumentDifference { change, .. }) => match change {
                DocumentChange::Added(value) | DocumentChange::Removed(value) => value.len(),
                DocumentChange::Changed(places) => {
                    places.iter().map(|place| of(&place.before) + of(&place.after)).sum()
                }
            },
            Self::Trace(difference) => difference.before.body.len() + difference.after.body.len(),
            Self::Run(_) | Self::EventErased(_) | Self::Events(_) | Self::Traces(_) => 0,
        }
    }
}

impl RunDifference {
    /// What differs.
    pub fn field(&self) -> RunField {
        match self {
            Self::Existence { .. } => RunField::Existence,
            Self::Name { .. } => RunField::Name,
            Self::Namespace { .. } => RunField::Namespace,
            Self::Parent { .. } => RunField::Parent,
            Self::Durability { .. } => RunField::Durability,
            Self::Status { .. } => RunField::Status,
            Self::Tags { .. } => RunField::Tags,
            Self::Metadata { .. } => RunField::Metadata,
            Self::Retention { .. } => RunField::Retention,
            Self::EventRetention { .. } => RunField::EventRetention,
            Self::TraceRetention { .. } => RunField::TraceRetention,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_difference_holds_no_value() {
        let value = Encoded::from_int(7).under(&Key::from("plan"));
        let difference = KeyDifference { key: value.key().clone(), before: None, after: None };
        for of_kind in [Difference::Key, Difference::Cell] {
            let place = of_kind(difference.clone()).place();
            let (DiffPlace::Key(key) | DiffPlace::Cell(key)) = &place else { panic!("{place:?}") };
            assert_eq!((key.as_str(), key.value()), ("plan", &b""[..]));
        }
    }
}
