//! A run: the fold of its commits.
use crate::event::{Event, EventLog};
use crate::id::{OperationId, RunId};
use crate::kv::{KvEntry, KvMap};
use crate::mutation::Mutation;
pub use crate::receipt::Receipt;
use crate::receipt::Receipts;
use crate::run_meta::{RunInfo, RunMeta, RunStatus};
pub use crate::version::Stamp;
use crate::version::{Timestamp, Version};
use std::sync::Arc;

/// Everything one run remembers.
///
/// The run may be missing: never created, or deleted. A deleted run keeps its version and time, so that a run
/// created again under the same name continues its version numbers.
#[derive(Debug)]
pub struct RunState {
    id: RunId,
    hash_seed: usize,
    stamp: Stamp,
    receipts: Receipts,
    /// The commit that last changed the description, also of a deleted run.
    meta_version: Version,
    content: Content,
}

/// What a deletion takes away.
#[derive(Debug)]
struct Content {
    meta: Option<Box<RunMeta>>,
    kv: KvMap,
    events: EventLog,
}

impl Content {
    fn new(hash_seed: usize) -> Self {
        Self { meta: None, kv: KvMap::new(hash_seed), events: EventLog::new(hash_seed) }
    }
}

/// What one mutation replaced: enough to take it back.
#[derive(Debug)]
#[must_use = "dropping it drops what was replaced; keep it for as long as the commit may fail"]
pub struct Replaced(Undo);

#[derive(Debug)]
enum Undo {
    Kv { key: Arc<str>, entry: Option<KvEntry> },
    Event,
    Meta { meta: Option<Box<RunMeta>>, version: Version },
    Content { content: Box<Content>, version: Version },
}

impl RunState {
    /// A run that is not created yet. The seed keeps callers from choosing keys that collide.
    pub fn new(id: RunId, hash_seed: usize) -> Self {
        Self {
            id,
            hash_seed,
            stamp: Stamp::default(),
            receipts: Receipts::default(),
            meta_version: Version::NEVER,
            content: Content::new(hash_seed),
        }
    }

    /// Applies one mutation of the commit `stamp` and returns what it replaced. The only thing that changes a run.
    ///
    /// # Panics
    /// If the mutation contradicts the state, as one that [`check`](Self::check) refuses does: validated mutations
    /// never do, and those read from a file are checked first.
    pub fn apply(&mut self, mutation: Mutation, stamp: Stamp) -> Replaced {
        match mutation {
            Mutation::KvPut { key, value, deadline, .. } => {
                let entry = KvEntry { value, version: stamp.version, timestamp: stamp.timestamp, deadline };
                let entry = self.content.kv.put(&key, entry);
                Replaced(Undo::Kv { key, entry })
            }
            Mutation::KvDelete { key, .. } => {
                let entry = self.content.kv.remove(&key);
                Replaced(Undo::Kv { key, entry })
            }
            Mutation::KvDeadline { key, deadline, .. } => {
                let held = self.content.kv.get(&key).expect("a deadline is given to a key that is there");
                let value = held.value.clone();
                let entry = KvEntry { value, version: stamp.version, timestamp: stamp.timestamp, deadline };
                let entry = self.content.kv.put(&key, entry);
                Replaced(Undo::Kv { key, entry })
            }
            Mutation::EventAppend { sequence, kind, payload, salt, hash } => {
                assert!(sequence == self.content.events.len(), "events are appended in order, without gaps");
                self.content.events.append(Event { kind, payload, salt, hash, stamp });
                Replaced(Undo::Event)
            }
            Mutation::RunDelete { .. } => {
                let content = std::mem::replace(&mut self.content, Content::new(self.hash_seed));
                let version = std::mem::replace(&mut self.meta_version, stamp.version);
                Replaced(Undo::Content { content: Box::new(content), version })
            }
            of_meta => {
                let meta = Box::new(described(self.meta(), of_meta));
                let version = std::mem::replace(&mut self.meta_version, stamp.version);
                Replaced(Undo::Meta { meta: self.content.meta.replace(meta), version })
            }
        }
    }

    /// Takes back one [`apply`](Self::apply). Several are taken back newest first.
    pub fn revert(&mut self, replaced: Replaced) {
        match replaced.0 {
            Undo::Kv { key, entry: Some(entry) } => drop(self.content.kv.put(&key, entry)),
            Undo::Kv { key, entry: None } => drop(self.content.kv.remove(&key)),
            Undo::Event => self.content.events.take_back(),
            Undo::Meta { meta, version } => {
                self.content.meta = meta;
                self.meta_version = version;
            }
            Undo::Content { content, version } => {
                self.content = *content;
                self.meta_version = version;
            }
        }
    }

    /// Whether a mutation read from a file fits this state; the reason says what contradicts what.
    pub fn check(&self, mutation: &Mutation) -> Result<(), String> {
        let exists = self.exists();
        match mutation {
            Mutation::RunCreate { .. } if exists => Err("it creates a run that exists".to_owned()),
            Mutation::RunCreate { .. } => Ok(()),
            other if !exists => Err(format!("{} in a run that does not exist", other.name())),
            Mutation::EventAppend { sequence, .. } if *sequence != self.content.events.len() => {
                Err(format!("event {sequence} follows {} events", self.content.events.len()))
            }
            Mutation::KvDeadline { key, .. } if self.content.kv.get(key).is_none() => {
                Err(format!("it gives a deadline to the missing key {key:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Ends a commit whose mutations are all applied: the run is now at `stamp`.
    ///
    /// # Panics
    /// If the version does not grow, or the time runs backwards.
    pub fn commit(&mut self, stamp: Stamp) {
        assert!(stamp.version > self.stamp.version, "versions of a run grow");
        assert!(stamp.timestamp >= self.stamp.timestamp, "the time of a run never decreases");
        self.stamp = stamp;
    }

    /// Takes back a [`commit`](Self::commit): the run is at `before` again.
    pub fn restore_stamp(&mut self, before: Stamp) {
        assert!(before.version <= self.stamp.version, "only what was committed is taken back");
        self.stamp = before;
    }

    /// Remembers what the write with this id was answered; the oldest of many is forgotten.
    pub fn remember(&mut self, id: OperationId, receipt: Receipt) {
        self.receipts.insert(id, receipt);
    }

    /// Takes back a [`remember`](Self::remember).
    pub fn forget(&mut self, id: &OperationId) {
        self.receipts.remove(id);
    }

    /// What the write with this id was answered, if it is remembered.
    pub fn receipt(&self, id: &OperationId) -> Option<&Receipt> {
        self.receipts.get(id)
    }

    /// Builds the index of keys in order, if there is none; from then on every change keeps it.
    ///
    /// Called before an operation that [`needs_order`](crate::Operation::needs_order). Without it the operation sorts
    /// the keys of the run each time.
    pub fn ensure_order(&mut self) {
        self.content.kv.ensure_order();
    }

    /// The run.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The number of its newest commit.
    pub fn version(&self) -> Version {
        self.stamp.version
    }

    /// The time of its newest commit.
    pub fn timestamp(&self) -> Timestamp {
        self.stamp.timestamp
    }

    /// Its description, if the run exists.
    pub fn meta(&self) -> Option<&RunMeta> {
        self.content.meta.as_deref()
    }

    /// Whether the run was created and not deleted.
    pub fn exists(&self) -> bool {
        self.content.meta.is_some()
    }

    /// Whether the run exists and takes writes.
    pub fn is_writable(&self) -> bool {
        self.meta().is_some_and(|meta| meta.status == RunStatus::Active)
    }

    /// What a caller is told about the run, if it exists; `orphaned` is left to the shard.
    pub fn info(&self) -> Option<RunInfo> {
        let mut info = self.meta()?.info(self.id, self.stamp.version, self.stamp.timestamp);
        info.kv_count = self.content.kv.len() as u64;
        info.event_count = self.content.events.len();
        Some(info)
    }

    /// When the first of its keys expires.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.content.kv.next_deadline()
    }

    /// How many keys it holds, expired ones included until they are cleaned away.
    pub fn kv_count(&self) -> u64 {
        self.content.kv.len() as u64
    }

    /// How many events it holds.
    pub fn event_count(&self) -> u64 {
        self.content.events.len()
    }

    /// Whether two runs remember the same. For tests: it reads everything.
    pub fn same_state(&self, other: &Self) -> bool {
        self.id == other.id
            && self.stamp == other.stamp
            && self.receipts == other.receipts
            && self.meta_version == other.meta_version
            && self.content.meta == other.content.meta
            && self.content.kv.is_same(&other.content.kv)
            && self.content.events.is_same(&other.content.events)
    }

    pub(crate) fn kv(&self) -> &KvMap {
        &self.content.kv
    }

    pub(crate) fn events(&self) -> &EventLog {
        &self.content.events
    }

    pub(crate) fn meta_version(&self) -> Version {
        self.meta_version
    }
}

/// The description that a mutation of it leads to.
///
/// # Panics
/// If the mutation is of something else, or the run is missing and not created.
pub(crate) fn described(current: Option<&RunMeta>, mutation: Mutation) -> RunMeta {
    if let Mutation::RunCreate { meta, .. } = mutation {
        return *meta;
    }
    let mut meta = current.expect("a run that changes is there").clone();
    match mutation {
        Mutation::RunBegin { boot, .. } => {
            meta.status = RunStatus::Active;
            meta.begun_in_boot = boot;
        }
        Mutation::RunStatus { status, .. } => meta.status = status,
        Mutation::RunTags { tags, .. } => meta.tags = tags,
        Mutation::RunMetadata { metadata, .. } => meta.metadata = metadata,
        other => panic!("{} does not describe a run", other.name()),
    }
    meta
}

#[cfg(test)]
#[path = "run_state_tests.rs"]
mod tests;
