//! A store and its process: beginnings, ends, what is left behind, what is refused, what is told of it.
//!
//! Many of these tests start this program again, for one test alone.

mod bad_input;
mod lifetimes;
mod observing;
mod orphans;

#[path = "../support/mod.rs"]
mod support;
