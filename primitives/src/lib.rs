//! What a run remembers, and how one operation changes it.
//!
//! Everything here is a pure state machine: no threads, no files, no clock, no randomness; time and salts arrive
//! inside the operation. `validate` decides and may refuse, `RunState::apply` changes and cannot fail, and the
//! mutations between them are what the log holds. Read in this order: `operation` and its table,
//! `outcome`, `mutation`, `run_state` and `content`; `view`, `draft` and `validate`; `past`, `snapshot` and
//! `read_set` with `commit_reads`; then what a run holds: `key_map` on its `split_map`, `event_log` and `trace_log` on `entry_log` and `chunks`, `event`, `trace`, `json`, `run_meta` with `run_status`; what
//! it shares with others, `fork`; what is taken out of it, `erasure` and `redaction`; what differs between two of them, and what one of them comes to: `diff`, `digest`; and how all of it becomes bytes at once, and what is known without it: `image`, `run_summary`.
#![forbid(unsafe_code)]

pub mod cause;
pub mod check;
mod chunks;
pub mod codec;
pub mod commit_reads;
pub mod deadline;
pub mod diff;
pub mod digest;
pub mod draft;
pub mod effect;
pub mod encoded;
pub mod entity;
pub mod erasure;
mod erasures;
pub mod error;
pub mod event;
pub mod fingerprint;
pub mod id;
pub mod image;
pub mod json;
pub mod key_kind;
pub mod limits;
mod members;
pub mod mutation;
pub mod new_trace;
pub mod operation;
mod operation_size;
pub mod operation_table;
pub mod outcome;
pub mod read_set;
pub mod receipt;
pub mod redaction;
pub mod retention;
pub mod run_filter;
pub mod run_meta;
pub mod run_state;
pub mod run_status;
pub mod run_summary;
pub mod snapshot;
pub mod split_map;
pub mod trace;
pub mod trace_content;
pub mod trace_end;
pub mod trace_filter;
pub mod trace_id;
pub mod trace_log;
pub mod trace_tree;
pub mod unread;
pub mod usage;
pub mod validate;
pub mod value;
pub mod version;
pub mod view;

mod changed_keys;
mod content;
mod entry_log;
mod event_log;
mod fork;
mod key_map;
mod key_range;
mod keys;
mod memory;
mod overlay;
mod past;
mod place;
mod redacted;
mod trace_changes;
mod traces;

pub use cause::Cause;
pub use codec::DecodeError;
pub use commit_reads::{CommitReads, ReadPlace};
pub use deadline::Deadline;
pub use digest::Digest;
pub use draft::{Draft, Staged};
pub use effect::Effect;
pub use encoded::Encoded;
pub use entity::EntityRef;
pub use erasure::{ERASURE_REASON_SIZE_MAX, ErasedVersions, Erasure};
pub use error::{Error, ErrorKind};
pub use event::{ChainReport, StoredEvent};
pub use fingerprint::Fingerprint;
pub use fork::ForkPoint;
pub use id::{Namespace, OperationId, RunId};
pub use image::{Filled, GAP_HEAD_SIZE, ImageEntry, ImageLoad, ImageSlice, ImageWalk, Removed};
pub use json::{Document, JsonWrite, PatchOperation, PlaceDifference, Pointer};
pub use key_kind::{KeyKind, OrderIndex};
pub use limits::Limits;
pub use mutation::{Before, Mutation, MutationRow};
pub use new_trace::NewTrace;
pub use operation::{Condition, Direction, NewEvent, Operation, PutEntry};
pub use operation_table::{Access, OperationRow, mutations_of};
pub use outcome::{EventPage, KvItem, KvPage, Outcome, TracePage, Ttl};
pub use read_set::{Interval, ReadSet, conflict};
pub use receipt::Receipt;
pub use redaction::Redaction;
pub use retention::{EntryRetention, Retention};
pub use run_filter::RunFilter;
pub use run_meta::{RunInfo, RunMeta, RunSpec};
pub use run_state::{Redacted, Replaced, RunState};
pub use run_status::RunStatus;
pub use run_summary::{RunCounts, RunSummary};
pub use snapshot::Snapshot;
pub use split_map::SplitMap;
pub use trace::Trace;
pub use trace_content::TraceContent;
pub use trace_end::TraceEnd;
pub use trace_filter::TraceFilter;
pub use trace_id::TraceId;
pub use trace_log::TraceLog;
pub use trace_tree::{TraceNode, TraceTree};
pub use unread::{LARGE_VALUE_SIZE, ReadValue, WeakReadValue};
pub use usage::Usage;
pub use validate::{Answer, Context, trim_entries, validate};
pub use value::Value;
pub use version::{Commit, Durability, Stamp, Timestamp, Version, Versioned};
pub use view::RunView;
