//! What is taken out of a run for good: erasure, and the retention of events and traces.

mod entry_retention;
mod entry_retention_model;
mod erasure;
mod erasure_forks;
mod erasure_races;
mod families;
mod trace_retention;

#[path = "../support/mod.rs"]
mod support;
