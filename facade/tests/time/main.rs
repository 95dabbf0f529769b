//! What a run was before: versions, forks, replays, and whoever follows it.

mod commit_reads;
mod deadlines;
mod differences;
mod explain;
mod forks;
mod history;
mod kept_for_forks;
mod lineage;
mod looking_back;
mod past_of_forks;
mod replay;
mod subscriptions;

#[path = "../support/mod.rs"]
mod support;
