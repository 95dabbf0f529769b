//! A run at one version, as bytes: all that is needed to go on from there without the commits that led to it.
//!
//! An image is a list of entries. [`ImageWalk`] writes it in slices, each of bounded size, while the run goes on: it
//! walks an open snapshot. [`ImageLoad`] makes a run of it again and believes nothing: entries may be damaged or come in
//! the wrong order. What is loaded is applied like what is replayed, by [`RunState::apply`](crate::RunState::apply).
mod entry;
mod load;
mod slice;
mod walk;

pub use entry::{GAP_HEAD_SIZE, ImageEntry, Removed};
pub use load::ImageLoad;
pub use slice::{Filled, ImageSlice};
pub use walk::ImageWalk;
