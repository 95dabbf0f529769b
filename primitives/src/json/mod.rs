//! JSON documents. Read `pointer`: how a place in one is named.
mod pointer;

pub use pointer::Pointer;
