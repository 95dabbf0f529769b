//! What two states have done to a third that both began as, and how the one takes over what the other did.
//!
//! The three are the base, ours and theirs: a version of a run, and two runs that were forked from it or one of them and the run itself. What
//! only one of both has changed since the base is no conflict; nor is what both have changed to the same. Keys and cells are compared
//! whole, documents place by place, events and traces as lists that only grow. It is the three-way merge of `diff3` (Khanna, Kunal and
//! Pierce, "A Formal Investigation of Diff3", FSTTCS 2007) over names and places instead of lines, so that nothing has to be aligned.
//!
//! Read in this order: `conflict`, which says what is told; `three_way`, and how it is found in `sides` and `entries`; then
//! `plan`, which makes operations of it, and `revert`, which does the same for what a run was.
mod conflict;
mod entries;
mod plan;
mod revert;
mod sides;
mod three_way;

pub use conflict::{Conflict, EntryConflict, KeyConflict, PlaceConflict, TraceConflict};
pub use plan::{EntryStrategy, MergePlan, Resolution, ResolvedConflict, Strategies, Strategy, plan};
pub use revert::revert;
pub use three_way::{ThreeWayDifference, ThreeWayDifferences, three_way};
