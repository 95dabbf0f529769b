//! What a store keeps when its disk fails, at every point and in every way, and what can be dumped of what is left.
//!
//! `disk_faults` counts the panics of every store's thread in this process: no test here may cause one on purpose.

mod archive_faults;
mod disk_faults;
mod effect_faults;
mod entry_retention_faults;
mod fork_faults;
mod full_disk;
mod missing_files;
mod missing_history;
mod recovery_props;
mod resharding_faults;
mod salvage;

#[path = "../support/mod.rs"]
mod support;
