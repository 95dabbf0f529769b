//! Measured questions: how fast is it, next to the limit of the same machine at the same moment?
//!
//! Single questions are criterion benches in `benches/`. The rest are binaries that print one JSON
//! line per figure on stdout and a table for people on stderr:
//!
//! | binary | question |
//! |---|---|
//! | `speed` | what does one call cost, and one call of 64, in each durability mode? |
//! | `layers` | what does each layer of a put cost, and where does the time of a call go? |
//! | `transactions` | what does a transaction of four operations cost, through each of its doors? |
//! | `primitives` | what does one call on each primitive cost, and beside documents? |
//! | `recovery` | how many records a second does a shard replay? |
//! | `scaling` | what do more shards bring? |
//! | `mixes` | how long should who waits look before it sleeps, for which mix of clients and shards? |
//! | `instructions` | how many instructions does a call take, and has that changed? |
//! | `idle` | what does a store cost that is not used, and what does it leave behind? |
//!
//! Each takes `--quick` for a run of a few seconds and `--dir DIR` for where stores are made.
//! Every figure is a median over rounds, and the limit it is held against is measured between the
//! same rounds. Read in this order: `workload`, `placement`, the bare limits, `figure`.
#![forbid(unsafe_code)]

mod allocator;
pub mod arguments;
pub mod bare_channel;
pub mod bare_crossbeam;
pub mod bare_map;
pub mod clients;
pub mod copies;
pub mod figure;
pub mod group_commit;
pub mod large_run;
pub mod machine;
pub mod placement;
pub mod raw_log;
pub mod report;
pub mod timing;
pub mod workload;
