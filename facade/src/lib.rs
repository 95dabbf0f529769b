//! Strata: the embedded database under an AI agent.
//!
//! An application opens a directory and gives every piece of agent work a *run*: keys and values,
//! events and the run's own state, all versioned, all atomic inside the run.
//!
//! ```
//! use strata::{Database, Reads, RunSpec, Writes};
//!
//! # fn main() -> Result<(), strata::Error> {
//! let database = Database::in_memory()?;
//! let run = database.begin_run(RunSpec::named("trip-to-oslo"))?;
//! run.put("goal", "two nights under 300 euros")?;
//! let step = run.append("search", "hotels near the harbour")?;
//! assert_eq!(step.sequence, 0);
//! assert_eq!(run.get("goal")?.unwrap().value.as_str(), Some("two nights under 300 euros"));
//! database.close()
//! # }
//! ```
//!
//! Read in this order: [`Database`], [`Options`], [`RunHandle`], [`Reads`], [`Writes`], [`Transaction`], [`Batch`], [`Pipeline`],
//! [`AsyncRunHandle`].
#![forbid(unsafe_code)]

mod answers;
mod archives;
mod async_handle;
mod async_reads;
mod async_snapshot;
mod async_writes;
mod batch;
mod change;
mod conflict;
mod database;
mod difference;
mod effects;
mod events;
mod execution;
mod explain;
mod explain_text;
mod fork;
mod handle;
mod history;
mod json_path;
mod json_text;
mod kv;
mod lineage;
mod merge;
mod open_options;
mod pipeline;
mod planned;
mod reads;
mod replay;
mod request;
mod retry;
mod revert;
mod runs;
mod salvage;
mod salvage_lines;
mod scope;
mod seeing;
mod snapshot;
mod subscription;
mod surroundings;
mod tagged;
mod traces;
mod transaction;
mod view;
mod writes;

pub use async_handle::AsyncRunHandle;
pub use async_reads::AsyncReads;
pub use async_snapshot::AsyncSnapshot;
pub use async_writes::AsyncWrites;
pub use batch::Batch;
pub use change::{Change, ChangeEffect, PastCommit};
pub use conflict::{Conflict, KeyConflict, PlaceConflict, ThreeWayDifference, ThreeWayPage, TraceConflict};
pub use database::{Database, Stats};
pub use difference::{
    Difference, DifferencePage, DocumentChange, DocumentDifference, KeyDifference, KeyState, PlaceDifference,
    TraceDifference,
};
pub use effects::EffectPage;
pub use events::{Appended, Event, EventPage};
pub use execution::{Execution, Performed};
pub use explain::{CauseLost, CauseStep, Explanation, Moment, Prior};
pub use handle::RunHandle;
pub use history::{CommitLog, History};
pub use json_path::{JsonMatch, query};
pub use json_text::{parse_json, to_json};
pub use kv::{KeyPage, KvScan, ValuePage};
pub use lineage::{ForkNode, Lineage};
pub use merge::{Merge, MergeConflict, MergeReport};
pub use open_options::Options;
pub use pipeline::Pipeline;
pub use reads::Reads;
pub use replay::{Replay, ReplayReport};
pub use salvage::{SalvageOutcome, SalvageReport, SalvagedRun, salvage, salvage_from};
pub use scope::Scope;
pub use snapshot::Snapshot;
pub use subscription::{CommitSubscription, EventSubscription, Notice};
pub use traces::{Trace, TracePage, TraceTree, new_trace};
pub use transaction::{StagedWrite, Transacted, Transaction};
pub use view::View;
pub use writes::Writes;

pub use strata_primitives::diff::{
    DIFF_SIZE_MAX, DiffPlace, ErasedEvent, LogDifference, Parting, RunDifference, RunField,
};
pub use strata_primitives::merge::{EntryConflict, EntryStrategy, Resolution, Strategies, Strategy};
pub use strata_primitives::{
    Cause, ChainReport, Commit, CommitReads, Condition, Deadline, Digest, Direction, Durability, Effect,
    Encoded, EntityRef, ErasedVersions, Error, ErrorKind, EventRef, ForkPoint, Key, KeyRef, Limits,
    Namespace, NewTrace, Operation, OperationId, Outcome, ReadPlace, Receipt, RecordedEffect, Retention,
    RunFilter, RunId, RunInfo, RunSpec, RunStatus, Stamp, Timestamp, TraceContent, TraceEnd, TraceFilter,
    TraceId, Usage, Value, Version, Versioned,
};
pub use strata_shards::{
    BatchReceipt, Clock, CommitNotice, CompactReport, Compaction, Damage, ExportReport,
    HeldCheckpoint as Checkpoint, ImportReport, LayerTimes, RecoveryReport, RetentionPreview, RunPage,
    ShardCheckpoint, ShardRecovery, ShardState, ShardStats, VerifyProgress, VerifyReport,
};
pub use strata_wal::{Cut, Durations, LogRecovery, LogStatistics, Lsn, Sizes};

/// What a call on a store gives, or why it could not.
pub type Result<T> = std::result::Result<T, Error>;

/// The example of the README, run with the documentation's own.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The same of the page on observing a store.
#[cfg(doctest)]
#[doc = include_str!("../../docs/observing.md")]
struct Observing;
