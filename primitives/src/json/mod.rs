//! JSON documents: a shared tree with a version in every node, and the writes that change it.
//!
//! Read in this order: `pointer`, `document`, `write`; below them lie `node`, `array`, `object` and `build`.
mod array;
mod build;
mod document;
mod node;
mod object;
mod pointer;
mod refusal;
mod write;

#[cfg(test)]
mod samples;

pub use document::{Document, Found};
pub use pointer::Pointer;
pub use refusal::{check_json, check_json_encoded};
pub use write::JsonWrite;
