//! Where message, state and log meet: one thread, its runs, its log.
//!
//! A shard is a plain state machine driven by one pinned thread. It takes a message, lets
//! `primitives` decide what would change, encodes that as one record, hands the record to `wal`,
//! applies it, and answers once the record has reached the place its writer asked for.
//!
//! Read in this order: `message`, `record`, `run`, `run_table`, `shard`, `batches`, `stage`, `commit`, `transaction`,
//! `transact`, `picture`, `reader`, `unseen_erasure`, `window`, `publishing`, `sight`, `reading`, `execute`, `subscription`, `subscribe`, `withheld`, `log_progress`, `shard_thread`; `checkpoint`, `checkpoint_kind`,
//! `image_walk`, `retained`, `trail`, `image_directory`, `image_thread` and `restore`; `cold_run`, `loader`, `residency` and `eviction`;
//! `history`, `pasts`, `reaches`, `retention_preview`, `record_walk`, `history_query`, `history_read`, `frozen`, `fork`, `base`, `forks`, `shared_memory` and `kin`; `archive`, `export` and `import`; then `maintenance`, `held_checkpoint`, `compaction`,
//! `verify`, `open`, `resharding`, `engine`, `calls`, `awaiting`, `sending` and `layers`, which start, reach and stop all of them; and `salvage` with its `salvage_index`, for
//! stores that do not open any more.
#![forbid(unsafe_code)]

pub mod checkpoint_kind;
pub mod clock;
pub mod compaction;
pub mod engine;
pub mod execute;
pub mod held_checkpoint;
pub mod message;
pub mod record;
pub mod report;
pub mod restore;
pub mod salvage;
pub mod subscription;
pub mod transaction;
pub mod verify;

mod archive;
mod awaiting;
mod base;
mod batches;
mod boot;
mod calls;
mod checkpoint;
mod cleaner;
mod cold_run;
mod commit;
mod erasing;
mod eviction;
mod export;
mod fork;
mod forks;
pub mod frozen;
mod held;
mod history;
pub mod history_query;
mod history_read;
mod image_directory;
mod image_thread;
mod image_walk;
mod import;
mod kin;
mod layers;
mod lines;
mod loader;
mod log_progress;
mod maintenance;
mod mending;
mod open;
mod pasts;
mod picture;
mod publishing;
mod query;
mod reaches;
mod reader;
mod reading;
mod record_walk;
mod replay;
mod resharding;
mod residency;
mod retained;
mod retention_preview;
mod rewrite;
mod run;
mod run_table;
mod salvage_index;
mod sending;
mod setup;
mod shard;
mod shard_thread;
mod shared_memory;
mod sight;
mod stage;
mod store_error;
mod subscribe;
mod trail;
mod transact;
mod unseen_erasure;
mod value_places;
mod value_reads;
mod window;
mod windows;
mod withheld;

pub use calls::Caller;
pub use checkpoint_kind::CheckpointKind;
pub use clock::Clock;
pub use compaction::Compaction;
pub use engine::Engine;
pub use execute::{Ending, Shipped, Turn};
pub use frozen::Frozen;
pub use held_checkpoint::HeldCheckpoint;
pub use history_query::{CommitPage, HistoryQuery, LoggedCommit};
pub use layers::LayerTimes;
pub use message::{BatchReceipt, CallOptions, ParentLife, RunOrigin, RunPage};
pub use open::EngineOptions;
pub use picture::Pin;
pub use reader::Reader;
pub use report::{
    CompactReport, ExportReport, ImportReport, RecoveryReport, RetentionPreview, ShardCheckpoint,
    ShardRecovery, ShardState, ShardStats,
};
pub use salvage::{Damage, Salvaged, SalvagedStore, salvage};
pub use sending::Sent;
pub use sight::Sight;
pub use stage::repeated;
pub use subscription::{CommitNotice, News, NewsFrom, SubscriptionId};
pub use transaction::{Purpose, TransactionId, TransactionStep};
pub use verify::{VerifyProgress, VerifyReport};
