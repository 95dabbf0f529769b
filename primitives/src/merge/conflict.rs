//! What two states have both changed, each in its own way: plain data.
use crate::diff::{DiffPlace, KeyState};
use crate::encoded::Encoded;
use crate::json::Pointer;
use crate::key::Key;
use crate::trace::Trace;
use std::ops::Range;

/// Something that ours and theirs have both changed since the base, and not to the same.
#[derive(Debug, Clone, PartialEq)]
pub enum Conflict {
    /// A key.
    Key(KeyConflict),
    /// A cell.
    Cell(KeyConflict),
    /// A place of a document.
    Place(PlaceConflict),
    /// Both have appended events.
    Events(EntryConflict),
    /// A trace of one id that both have recorded or ended, each in its own way.
    Trace(Box<TraceConflict>),
    /// Both have recorded traces.
    Traces(EntryConflict),
}

/// A key or a cell. `None` where it is not there.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "base, ours and theirs are what the three states hold")]
pub struct KeyConflict {
    /// The key, or the name of the cell.
    pub key: Key,
    pub base: Option<KeyState>,
    pub ours: Option<KeyState>,
    pub theirs: Option<KeyState>,
}

/// The smallest place of a document around all that both have changed there and that overlaps: the whole document where one of
/// both has removed it, or both have created it; an array where one has changed how many items it has.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "base, ours and theirs are what the three states hold there")]
pub struct PlaceConflict {
    /// The document.
    pub name: Key,
    /// The place.
    pub path: Pointer,
    pub base: Option<Encoded>,
    pub ours: Option<Encoded>,
    pub theirs: Option<Encoded>,
}

/// A trace of one id that both have recorded or ended, each in its own way. Times are no difference.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConflict {
    /// Its place in commit order in theirs.
    pub place: u64,
    /// What it is in ours.
    pub ours: Trace,
    /// What it is in theirs.
    pub theirs: Trace,
}

/// Events or traces that each of both has and the other has not; or that ours may have had, and does not keep any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryConflict {
    /// The sequences, or places, in ours: from the first of them to behind the last. Empty where it only may have had some.
    pub ours: Range<u64>,
    /// The same in theirs.
    pub theirs: Range<u64>,
}

impl Conflict {
    /// Where it stands among all differences.
    pub fn place(&self) -> DiffPlace {
        match self {
            Self::Key(conflict) => DiffPlace::Key(conflict.key.alone()),
            Self::Cell(conflict) => DiffPlace::Cell(conflict.key.alone()),
            Self::Place(conflict) => DiffPlace::Document(conflict.name.clone()),
            Self::Events(_) => DiffPlace::Events,
            Self::Trace(conflict) => DiffPlace::Trace(conflict.place),
            Self::Traces(_) => DiffPlace::Traces,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_conflict_holds_no_value() {
        let value = Encoded::from_int(7).under(&Key::from("plan"));
        let conflict = KeyConflict { key: value.key().clone(), base: None, ours: None, theirs: None };
        for of_kind in [Conflict::Key, Conflict::Cell] {
            let place = of_kind(conflict.clone()).place();
            let (DiffPlace::Key(key) | DiffPlace::Cell(key)) = &place else { panic!("{place:?}") };
            assert_eq!((key.as_str(), key.value()), ("plan", &b""[..]));
        }
    }
}
