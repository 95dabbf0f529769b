//! What commits of the past did.

use strata_primitives::{
    Before, Cause, CommitReads, Durability, EntityRef, ForkPoint, JsonWrite, Mutation, OperationId,
    Retention, RunId, RunMeta, RunSpec, RunStatus, Stamp, Timestamp, Trace as StoredTrace, Value, Version,
};
use strata_shards::LoggedCommit;

use crate::Result;
use crate::traces::Trace;

/// A commit of a run's history.
#[derive(Clone, Debug, PartialEq)]
pub struct PastCommit {
    /// The run that it is a commit of: one that the run descends from where it was inherited.
    pub run: RunId,
    /// Its number in the run.
    pub version: Version,
    /// Its time.
    pub timestamp: Timestamp,
    /// What its writer was promised.
    pub durability: Durability,
    /// Why it was made, when its writer said so.
    pub cause: Option<Cause>,
    /// The writer's own id of it, when it gave one.
    pub operation_id: Option<OperationId>,
    /// What its transaction had read, where that was [recorded](crate::Options::record_reads).
    pub reads: Option<CommitReads>,
    /// What it did, in order; asked for one thing, what it did to that.
    pub changes: Vec<Change>,
}

/// What a commit did to one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The thing, in the run of the commit.
    pub entity: EntityRef,
    /// The commit that had changed it before; `None` where it was not there, and where the log does not tell.
    pub previous: Option<Version>,
    /// What happened to it.
    pub effect: ChangeEffect,
}

/// What happened to a thing. What was [erased](crate::RunHandle::erase) since shows as [`Value::Erased`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeEffect {
    /// A key or a cell has this value and deadline since.
    Put {
        /// The value.
        value: Value,
        /// When it goes, if it has a deadline.
        deadline: Option<Timestamp>,
    },
    /// A key has this deadline since, or none, and the value it had.
    DeadlineMoved {
        /// When it goes, if it has a deadline.
        deadline: Option<Timestamp>,
    },
    /// A key, a cell or a document is gone since; or the run, with everything in it.
    Deleted,
    /// An event happened.
    Appended {
        /// Its type.
        kind: String,
        /// What was appended.
        payload: Value,
    },
    /// A document is this as a whole since.
    DocumentPut {
        /// The document.
        value: Value,
    },
    /// A place of a document, which a JSON Pointer (RFC 6901) names, is this since.
    PlaceSet {
        /// The place.
        path: String,
        /// What is there.
        value: Value,
    },
    /// An item stands in an array of a document since, before the one that had its place.
    PlaceInserted {
        /// The place.
        path: String,
        /// What is there.
        value: Value,
    },
    /// A place of a document is gone since.
    PlaceRemoved {
        /// The place.
        path: String,
    },
    /// A trace was recorded, or begun.
    TraceRecorded(Box<Trace>),
    /// A trace ended.
    TraceEnded {
        /// When.
        ended: Timestamp,
        /// Its content, usage and metadata as one object.
        body: Value,
    },
    /// The run was created, forked or imported.
    RunCreated {
        /// With this description.
        spec: Box<RunSpec>,
        /// What it began as, if it was forked.
        forked_from: Option<ForkPoint>,
    },
    /// The run was begun anew in this boot of the store.
    RunBegun {
        /// The boot.
        boot: u64,
    },
    /// The run has this status since.
    StatusSet(RunStatus),
    /// The run has these tags since.
    TagsSet(Vec<String>),
    /// The run has this metadata since.
    MetadataSet(Value),
    /// The run keeps this much of its history since, or as much as the store says.
    RetentionSet(Option<Retention>),
    /// The run keeps these of its events since, or as the store says.
    EventRetentionSet(Option<Retention>),
    /// The run keeps these of its traces since, or as the store says.
    TraceRetentionSet(Option<Retention>),
    /// The events below this sequence are removed since.
    EventsRemoved {
        /// The first that is kept.
        before: u64,
    },
    /// The first traces are removed since, in commit order.
    TracesRemoved {
        /// How many were, of all that the run ever had.
        before: u64,
    },
    /// What these commits had written of the thing was erased.
    Erased {
        /// The first of them.
        from: Version,
        /// The last one.
        through: Version,
        /// Why.
        reason: String,
    },
}

impl PastCommit {
    pub(crate) fn decode(commit: LoggedCommit) -> Result<PastCommit> {
        let LoggedCommit { run, stamp, durability, cause, operation_id, reads, mutations, .. } = commit;
        let changes = mutations.into_iter().map(|mutation| Change::decode(run, stamp, mutation));
        let changes = changes.collect::<Result<_>>()?;
        let Stamp { version, timestamp } = stamp;
        Ok(PastCommit { run, version, timestamp, durability, cause, operation_id, reads, changes })
    }
}

impl Change {
    fn decode(run: RunId, stamp: Stamp, mutation: Mutation) -> Result<Change> {
        let entity = mutation.entity(run);
        let previous = match mutation.before() {
            Before::At(version) => Some(version),
            Before::Absent | Before::Nothing | Before::Unknown => None,
        };
        Ok(Change { entity, previous, effect: ChangeEffect::decode(stamp, mutation)? })
    }
}

impl ChangeEffect {
    fn decode(stamp: Stamp, mutation: Mutation) -> Result<ChangeEffect> {
        Ok(match mutation {
            Mutation::KvPut { value, deadline, .. } | Mutation::CellSet { value, deadline, .. } => {
                Self::Put { value: value.to_value()?, deadline }
            }
            Mutation::KvDeadline { deadline, .. } => Self::DeadlineMoved { deadline },
            Mutation::KvDelete { .. }
            | Mutation::CellDelete { .. }
            | Mutation::JsonDestroy { .. }
            | Mutation::RunDelete { .. } => Self::Deleted,
            Mutation::EventAppend { kind, payload, .. } => {
                Self::Appended { kind: kind.to_string(), payload: payload.to_value()? }
            }
            Mutation::EventErased { kind, .. } => {
                Self::Appended { kind: kind.to_string(), payload: Value::Erased }
            }
            Mutation::JsonWrite { write, .. } => Self::of_place(write)?,
            Mutation::TraceRecord { trace } => {
                let trace = StoredTrace { stamp, recorded: stamp, ..*trace };
                Self::TraceRecorded(Box::new(Trace::decode(trace)?))
            }
            Mutation::TraceEnd { ended, body, .. } => Self::TraceEnded { ended, body: body.to_value()? },
            Mutation::RunCreate { meta, .. }
            | Mutation::RunFork { meta, .. }
            | Mutation::RunImport { meta, .. } => Self::of_creation(*meta)?,
            Mutation::RunBegin { boot, .. } => Self::RunBegun { boot },
            Mutation::RunStatus { status, .. } => Self::StatusSet(status),
            Mutation::RunTags { tags, .. } => Self::TagsSet(tags),
            Mutation::RunMetadata { metadata, .. } => Self::MetadataSet(metadata.to_value()?),
            Mutation::RunRetention { retention, .. } => Self::RetentionSet(retention),
            Mutation::EventRetention { retention, .. } => Self::EventRetentionSet(retention),
            Mutation::TraceRetention { retention, .. } => Self::TraceRetentionSet(retention),
            Mutation::TraceTrim { before } => Self::TracesRemoved { before },
            Mutation::EventTrim { before } => Self::EventsRemoved { before },
            Mutation::Erase { from, through, reason, .. } => {
                Self::Erased { from, through, reason: reason.to_string() }
            }
        })
    }

    fn of_creation(meta: RunMeta) -> Result<ChangeEffect> {
        let RunMeta { name, namespace, parent, tags, metadata, forked_from, .. } = meta;
        let RunMeta { durability, retention, event_retention, trace_retention, .. } = meta;
        let metadata = metadata.to_value()?;
        let spec = RunSpec {
            name,
            namespace,
            parent,
            tags,
            metadata,
            durability,
            retention,
            event_retention,
            trace_retention,
        };
        Ok(Self::RunCreated { spec: Box::new(spec), forked_from })
    }

    fn of_place(write: JsonWrite) -> Result<ChangeEffect> {
        let path = write.path().to_string();
        Ok(match write {
            JsonWrite::Put { value } => Self::DocumentPut { value: value.to_value()? },
            JsonWrite::Set { value, .. } => Self::PlaceSet { path, value: value.to_value()? },
            JsonWrite::Insert { value, .. } => Self::PlaceInserted { path, value: value.to_value()? },
            JsonWrite::Remove { .. } => Self::PlaceRemoved { path },
        })
    }
}
