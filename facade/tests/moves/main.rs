//! Runs and stores that move: into archives and out of them, and to another number of shards.

mod archive_erasure;
mod archive_files;
mod archive_races;
mod archives;
mod forged_archives;
mod imported_history;
mod lives;
mod resharding;
mod salvage_imports;

#[path = "../support/mod.rs"]
mod support;
