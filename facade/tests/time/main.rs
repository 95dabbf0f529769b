//! What a run was before: versions, forks, replays, and whoever follows it.

mod commit_reads;
mod deadlines;
mod differences;
mod effect_forks;
mod effects;
mod every_version;
mod explain;
mod forks;
mod history;
mod kept_for_forks;
mod lineage;
mod looking_back;
mod merge_entries;
mod merge_races;
mod merges;
mod page;
mod past_of_forks;
mod replay;
mod reverts;
mod subscriptions;

#[path = "../support/mod.rs"]
mod support;
