//! What a store keeps on disk and in memory: its images, its log, its copies, its formats, and when they go.

mod backup;
mod checkpoints;
mod compaction;
mod compaction_races;
mod counters;
mod eviction;
mod format;
mod golden;
mod held_checkpoints;
mod intervals;
mod large_values;
mod layers;
mod lazy_open;
mod mending;
mod read_only;
mod regressions;
mod removed_files;
mod verify;

#[path = "../support/mod.rs"]
mod support;
