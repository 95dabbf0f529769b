//! Strata and its peers, in one run, and the limits of the same machine beside them.
//!
//! Everybody answers the same questions in rounds that take turns, with the settings their own documents recommend, and
//! only where they can: what an engine does not promise it is not asked for. Read in this order: `engine`, one of
//! `engines`, `bout`, one of `workloads`, `row`; `markdown` and `chart` tell the rows.
#![deny(unsafe_code)]

pub mod bout;
pub mod chart;
pub mod command;
pub mod engine;
pub mod engines;
pub mod markdown;
pub mod row;
pub mod workloads;
