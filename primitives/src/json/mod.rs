//! JSON documents: a shared tree with a version in every node, and the writes that change it.
//!
//! What a caller asks for is decided by `change`, `patch` and `merge` into [`JsonWrite`]s, which the log holds and
//! [`Document::apply`] does. Read in this order: `pointer`, `document`, `write`, `change`, then `patch` and `merge`, `difference` and `three_way`;
//! below them lie `node`, `array`, `object`, `build` and `tree`. What a transaction reads behind its own writes:
//! `own_writes`.
mod array;
mod build;
mod change;
mod difference;
mod document;
mod merge;
mod node;
mod object;
mod own_writes;
mod patch;
mod patch_operation;
mod pointer;
mod refusal;
mod three_way;
mod tree;
mod write;

#[cfg(test)]
mod samples;

pub use change::{Change, Terms, append, remove, set};
pub use difference::PlaceDifference;
pub use document::{Document, Found};
pub use merge::merge;
pub(crate) use own_writes::place_below;
pub use patch::patch;
pub use patch_operation::PatchOperation;
pub use pointer::Pointer;
pub use refusal::{check_json, check_json_encoded};
pub(crate) use three_way::{ContestedPlace, ThreeWayPlaces};
pub use write::JsonWrite;
