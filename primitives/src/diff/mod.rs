//! What differs between two states: of one run at two versions, of a run and a fork of it, or of any two.
//!
//! Each state is judged at a time of its own, that of its newest commit unless another is [said](Seen): an entry whose deadline has
//! passed by then is not there. What two states share is not looked at, so the differences of a state and one that was
//! [shared](crate::RunState::share) with it before take as long as what has changed between them, however large the run is; those of
//! states that share nothing take as long as both.
//!
//! Differences have an order: that of [`DiffPlace`]. They are found page by page, and a page may be asked for behind any place.
//! Read in this order: `difference`, which says what is told; `page`; then how it is found in each primitive; and `operations`, which
//! makes the one state of the other.
mod common_commits;
mod difference;
mod documents;
mod events;
mod keys;
mod operations;
mod page;
mod run;
mod seen;
mod traces;

pub(crate) use common_commits::{CommonCommits, Written};
pub use difference::{
    DiffPlace, Difference, DocumentChange, DocumentDifference, ErasedEvent, KeyDifference, KeyState,
    LogDifference, Parting, RunDifference, RunField, TraceDifference,
};
pub use operations::operations;
pub(crate) use operations::{OperationPlan, end_of};
pub use page::DIFF_SIZE_MAX;
pub use seen::Seen;

use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::key_kind::KeyKind;
use page::Page;

/// A page of what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// The differences, in the order of their places.
    pub differences: Vec<Difference>,
    /// Where to go on: behind this place there may be more. `None` if there is nothing more.
    pub next: Option<DiffPlace>,
}

/// What differs between two states, each a [`Seen`] or a `&RunState`: the first `limit` differences behind a place, at least one if there is
/// any, and no more once the values that they tell come to [`DIFF_SIZE_MAX`]. A document is one difference, however many places of it
/// differ.
///
/// Values that are on disk are read where nothing else tells whether they are the same, one at a time; those that a difference
/// shows are not read for that. Two of which one or both are on disk differ where size, kind or a hash of 64 bits do; for that a value in
/// memory is hashed. Where all three are the same they are read, unless both were written by the commit of one number and time that
/// both states have in common as far as ids tell: then they are taken for the same.
///
/// # Errors
/// `InvalidArgument` for a limit of 0; those of reading a value: `Corrupt` with file and offset, `Io`.
///
/// ```
/// use strata_primitives::diff::{Difference, diff};
/// use strata_primitives::{Encoded, Mutation, RunId, RunState, Stamp, Timestamp, Version};
///
/// let mut run = RunState::new(RunId::from_bytes([7; 16]), 1);
/// let before = run.share();
/// let stamp = Stamp { version: Version(1), timestamp: Timestamp(1_000) };
/// let (value, previous) = (Encoded::from_int(5), Version::NEVER);
/// let _ = run.apply(Mutation::CellSet { name: "step".into(), value, deadline: None, previous }, stamp);
/// run.commit(stamp);
///
/// let page = diff(&before, &run, None, 100).unwrap();
/// assert!(matches!(&page.differences[..], [Difference::Cell(cell)] if &*cell.key == "step" && cell.before.is_none()));
/// assert!(page.next.is_none());
/// ```
pub fn diff<'a>(
    before: impl Into<Seen<'a>>,
    after: impl Into<Seen<'a>>,
    behind: Option<&'a DiffPlace>,
    limit: usize,
) -> Result<Diff, Error> {
    if limit == 0 {
        let message = "a page of 0 differences is asked for: ask for 1 at least";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    find(Page::new(before.into(), after.into(), behind, limit))
}

/// All that differs, however much that is.
pub(crate) fn find_all(before: Seen<'_>, after: Seen<'_>) -> Result<Vec<Difference>, Error> {
    Ok(find(Page::unbounded(before, after))?.differences)
}

/// What differs of one key, cell or document, or of what the run says of itself. Nothing else is looked at. Of an event or a trace nothing is told.
pub(crate) fn find_of(
    before: Seen<'_>,
    after: Seen<'_>,
    entity: &EntityRef,
) -> Result<Vec<Difference>, Error> {
    let mut page = Page::unbounded(before, after);
    match entity {
        EntityRef::Run { .. } => run::find(&mut page)?,
        EntityRef::Kv { key, .. } => keys::find_of(&mut page, KeyKind::Kv, key)?,
        EntityRef::Cell { name, .. } => keys::find_of(&mut page, KeyKind::Cell, name)?,
        EntityRef::Json { name, .. } => documents::find_of(&mut page, name),
        EntityRef::Event { .. } | EntityRef::Trace { .. } => {}
    }
    Ok(page.finish().differences)
}

fn find(mut page: Page<'_>) -> Result<Diff, Error> {
    run::find(&mut page)?;
    keys::find(&mut page, KeyKind::Kv)?;
    keys::find(&mut page, KeyKind::Cell)?;
    documents::find(&mut page);
    events::find(&mut page);
    traces::find(&mut page)?;
    Ok(page.finish())
}
