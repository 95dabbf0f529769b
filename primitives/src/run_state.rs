//! A run: the fold of its commits.
use crate::content::{Content, DOCUMENT_PATH_SIZE};
use crate::draft::Draft;
use crate::encoded::Encoded;
use crate::entry::{Entry, Stored};
use crate::entry_log::{EntryLog, TrimmedOf};
use crate::erasure::Erasure;
use crate::event::{Event, Seal};
use crate::event_log::{Anchor, EventLog};
use crate::fork::ForkPoint;
use crate::id::{OperationId, RunId};
use crate::json::{Document, JsonWrite};
use crate::key::Key;
use crate::key_kind::{KeyKind, OrderIndex};
use crate::memory::NODE_SIZE;
use crate::mutation::Mutation;
use crate::past::kept_by;
pub use crate::receipt::Receipt;
use crate::receipt::Receipts;
pub use crate::redacted::Redacted;
use crate::run_meta::{RunInfo, RunMeta};
use crate::run_status::RunStatus;
use crate::snapshot::{Snapshot, Snapshots};
use crate::trace::Trace;
use crate::trace_id::TraceId;
use crate::trace_log::{RemovedTraces, TraceLog};
pub use crate::version::Stamp;
use crate::version::{Timestamp, Version};
use crate::view::RunView;
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
    content: Content,
    snapshots: Snapshots,
    /// How often something was erased in it since it is in memory: whoever looked at it before knows what is not there.
    redaction_count: u64,
}

/// What one mutation replaced: enough to take it back.
#[derive(Debug)]
#[must_use = "dropping it drops what was replaced; keep it for as long as the commit may fail"]
pub struct Replaced(Undo);

#[derive(Debug)]
enum Undo {
    // `kept` is the commit that what was replaced is kept for, where it is; `size` what a document lost below the path to it, bytes.
    Key { kind: KeyKind, key: Key, entry: Option<Entry<Encoded>>, kept: Option<Version> },
    Document { name: Key, was: Option<Entry<Document>>, size: usize, kept: Option<Version> },
    Event,
    EventTrim { trimmed: TrimmedOf<EventLog>, kept: Option<Version> },
    TraceTrim { trimmed: TrimmedOf<TraceLog>, kept: Option<Version> },
    Trace,
    TraceEnd { place: u64, was: Box<Trace>, kept: Option<Version> },
    Meta { meta: Option<Box<RunMeta>>, version: Version, kept: Option<Version> },
    Content { content: Arc<Content> },
    Erasure { redacted: Redacted },
}

impl Replaced {
    /// About how many bytes it has: what a picture made before goes on holding.
    pub fn size(&self) -> usize {
        match &self.0 {
            Undo::Key { key, entry, .. } => {
                key.len() + entry.as_ref().map_or(0, |entry| entry.value.memory())
            }
            Undo::Document { name, size, .. } => name.len() + DOCUMENT_PATH_SIZE + size,
            Undo::EventTrim { trimmed, .. } => trimmed.entries.iter().map(Event::memory).sum(),
            Undo::TraceTrim { trimmed, .. } => trimmed.entries.iter().map(Trace::memory).sum(),
            Undo::TraceEnd { was, .. } => was.memory(),
            Undo::Meta { .. } => META_SIZE,
            Undo::Content { content } => content.memory(),
            Undo::Event | Undo::Trace | Undo::Erasure { .. } => 0,
        }
    }
}

impl RunState {
    /// A run that is not created yet. The seed keeps callers from choosing keys that collide.
    pub fn new(id: RunId, hash_seed: usize) -> Self {
        Self {
            id,
            hash_seed,
            stamp: Stamp::default(),
            receipts: Receipts::default(),
            content: Content::new(hash_seed, Version::NEVER),
            snapshots: Snapshots::default(),
            redaction_count: 0,
        }
    }

    /// The run as it is, sharing everything with it until either is changed. It has no receipts, and nothing is kept for the
    /// snapshots of the other.
    pub fn share(&self) -> Self {
        let content = self.content.share(self.hash_seed);
        self.with_content(self.id, content)
    }

    /// The run as an open snapshot shows it, as [`share`](Self::share) makes it of the run as it is; `None` if that snapshot was given
    /// up. It takes as long as what has changed since takes to be put back.
    pub fn share_at(&self, snapshot: &Snapshot) -> Option<Self> {
        let view = self.view_at(snapshot)?;
        Some(Self { stamp: view.stamp(), ..self.with_content(self.id, view.share(self.hash_seed)) })
    }

    /// Another run that begins as this one is, and is not there before the mutation [`RunFork`](Mutation::RunFork) says so: that
    /// is its next commit. It shares everything with this one until either is changed.
    pub fn fork(&self, id: RunId) -> Self {
        let point = ForkPoint { run: self.id, version: self.stamp.version };
        self.with_content(id, self.content.fork(point, self.hash_seed))
    }

    fn with_content(&self, id: RunId, content: Content) -> Self {
        let Self { hash_seed, stamp, .. } = *self;
        let (receipts, snapshots) = (Receipts::default(), Snapshots::default());
        Self { id, hash_seed, stamp, receipts, content, snapshots, redaction_count: 0 }
    }

    /// Applies one mutation of the commit `stamp` and returns what it replaced. The only thing that changes a run.
    ///
    /// # Panics
    /// If the mutation contradicts the state, as one that [`check`](Self::check) refuses does: validated mutations
    /// never do, and those read from a file are checked first.
    pub fn apply(&mut self, mutation: Mutation, stamp: Stamp) -> Replaced {
        Replaced(match mutation {
            Mutation::KvPut { key, value, deadline, .. } => {
                self.put_key(KeyKind::Kv, key, Some(Entry::new(value, stamp, deadline)), stamp)
            }
            Mutation::KvDelete { key, .. } => self.put_key(KeyKind::Kv, key, None, stamp),
            Mutation::KvDeadline { key, deadline, .. } => {
                let held = self.content.kv.get(&key).expect("a deadline is given to a key that is there");
                let (value, written) = (held.value.clone(), held.written());
                self.put_key(KeyKind::Kv, key, Some(Entry::kept(value, stamp, deadline, written)), stamp)
            }
            Mutation::CellSet { name, value, deadline, .. } => {
                self.put_key(KeyKind::Cell, name, Some(Entry::new(value, stamp, deadline)), stamp)
            }
            Mutation::CellDelete { name, .. } => self.put_key(KeyKind::Cell, name, None, stamp),
            Mutation::JsonWrite { name, write, .. } => {
                let held = self.content.documents.get(&name).map(|entry| &entry.value);
                let value = written(held, &write, stamp);
                if let Some(fork) = &mut self.content.fork {
                    fork.document_memory += written_memory(&write, &value);
                }
                let entry = Entry::new(value, stamp, None);
                self.put_document(name, Some(entry), stamp, |was| was.detached_memory(&write))
            }
            Mutation::JsonDestroy { name, .. } => self.put_document(name, None, stamp, Document::memory),
            Mutation::EventAppend { sequence, kind, payload, salt, hash } => {
                assert!(sequence == self.content.events.end(), "events are appended in order, without gaps");
                let seal = Seal::Salt(salt);
                self.content.events.append(Event { kind, payload, seal, hash, stamp });
                Undo::Event
            }
            Mutation::EventErased { sequence, kind, digest, hash } => {
                assert!(sequence == self.content.events.end(), "events are appended in order, without gaps");
                let (payload, seal) = (Encoded::erased(), Seal::Digest(Box::new(digest)));
                self.content.events.append(Event { kind, payload, seal, hash, stamp });
                Undo::Event
            }
            Mutation::EventTrim { before } => {
                let keeper = self.snapshots.keeper(stamp.version);
                let (trimmed, kept) = self.content.trim_events(before, keeper);
                Undo::EventTrim { trimmed, kept }
            }
            Mutation::TraceTrim { before } => {
                let keeper = self.snapshots.keeper(stamp.version);
                let (trimmed, kept) = self.content.trim_traces(before, keeper);
                Undo::TraceTrim { trimmed, kept }
            }
            Mutation::Erase { entity, from, through, reason } => {
                let event_hash = self.content.event_hash(&entity);
                let erasure =
                    Erasure { entity: *entity, from, through, by: stamp.version, event_hash, reason };
                let redacted = self.redact(&erasure);
                Arc::make_mut(&mut self.content.erasures).push(erasure);
                Undo::Erasure { redacted }
            }
            Mutation::TraceRecord { trace } => {
                self.content.traces.append(Trace { stamp, recorded: stamp, ..*trace });
                Undo::Trace
            }
            Mutation::TraceEnd { id, ended, body, .. } => self.end_trace(&id, ended, body, stamp),
            Mutation::RunDelete { .. } => {
                let erasures = Arc::clone(&self.content.erasures);
                let content = Content { erasures, ..Content::new(self.hash_seed, stamp.version) };
                let content = Arc::new(std::mem::replace(&mut self.content, content));
                self.snapshots.keep_ended(stamp.version, &content);
                Undo::Content { content }
            }
            of_meta => {
                let mut meta = Box::new(described(self.meta(), of_meta, stamp.version));
                let Content { meta: held, meta_version, past, fork, .. } = &mut self.content;
                if let (None, Some(fork)) = (&held, fork) {
                    meta.gaps.clone_from(&fork.gaps);
                }
                let (meta, version) = (held.replace(meta), std::mem::replace(meta_version, stamp.version));
                let keeper = self.snapshots.keeper(stamp.version);
                let kept = kept_by(keeper, |keeper| {
                    past.meta.keep(&(), keeper, META_SIZE, || ((), (meta.clone(), version)))
                });
                Undo::Meta { meta, version, kept }
            }
        })
    }

    fn put_key(&mut self, kind: KeyKind, key: Key, entry: Option<Entry<Encoded>>, stamp: Stamp) -> Undo {
        let keeper = self.snapshots.keeper(stamp.version);
        let (entry, kept) = self.content.put_key(kind, &key, entry, keeper);
        Undo::Key { kind, key, entry, kept }
    }

    fn end_trace(&mut self, id: &TraceId, ended: Timestamp, body: Encoded, stamp: Stamp) -> Undo {
        let Content { traces, past, fork, .. } = &mut self.content;
        let place = traces.place_of(id).expect("only a trace that is there is ended");
        let held = traces.get(place).expect("a place leads to its trace");
        if let Some(fork) = fork.as_mut().filter(|fork| place < fork.trace_count) {
            fork.ended.push(place);
            fork.unshare(held.stamp.version, held.memory());
        }
        let trace = held.with_end(ended, body, stamp);
        let was = Box::new(traces.replace(place, trace));
        let keeper = self.snapshots.keeper(stamp.version);
        let kept = kept_by(keeper, |keeper| {
            past.traces.keep(&place, keeper, was.size() as usize, || (place, (*was).clone()))
        });
        Undo::TraceEnd { place, was, kept }
    }

    fn put_document(
        &mut self,
        name: Key,
        entry: Option<Entry<Document>>,
        stamp: Stamp,
        detached_memory: impl FnOnce(&Document) -> usize,
    ) -> Undo {
        let keeper = self.snapshots.keeper(stamp.version);
        let (was, size, kept) = self.content.put_document(&name, entry, keeper, detached_memory);
        Undo::Document { name, was, size, kept }
    }

    /// Puts a document of an image, with the commits that wrote its parts, which no mutation can tell.
    pub(crate) fn load_document(&mut self, name: Key, document: Document, stamp: Stamp) {
        if let Some(fork) = &mut self.content.fork {
            fork.document_memory += document.memory();
        }
        let entry = Entry::new(document, stamp, None);
        let _ = self.put_document(name, Some(entry), stamp, |_| 0);
    }

    /// Takes over from an image that the events below `first` were removed.
    pub(crate) fn load_removed_events(&mut self, first: u64, anchor: Anchor) -> Result<(), String> {
        self.content.load_removed_events(first, anchor)
    }

    /// Takes over from an image how many of them were of a type.
    pub(crate) fn load_removed_of_kind(&mut self, kind: Key, removed: u64) -> Result<(), String> {
        self.content.events.load_removed_of_kind(kind, removed)
    }

    /// Takes over from an image that the traces below `first` were removed.
    pub(crate) fn load_removed_traces(&mut self, first: u64, removed: RemovedTraces) -> Result<(), String> {
        self.content.load_removed_traces(first, removed)
    }

    /// Takes over from an image how many of them were of a kind.
    pub(crate) fn load_removed_traces_of_kind(&mut self, kind: Arc<str>, removed: u64) -> Result<(), String> {
        self.content.traces.load_removed_of_kind(kind, removed)
    }

    /// Takes over an erasure of an image, in which nothing stands any more that it covers.
    pub(crate) fn load_erasure(&mut self, erasure: Erasure) {
        Arc::make_mut(&mut self.content.erasures).push(erasure);
    }

    /// Takes back one [`apply`](Self::apply). Several are taken back newest first.
    pub fn revert(&mut self, replaced: Replaced) {
        let past = &mut self.content.past;
        match replaced.0 {
            Undo::Key { kind, key, entry, kept } => self.content.restore_key(kind, &key, entry, kept),
            Undo::Document { name, was, kept, .. } => self.content.restore_document(&name, was, kept),
            Undo::Event => self.content.events.take_back(),
            Undo::EventTrim { trimmed, kept } => self.content.restore_events(trimmed, kept),
            Undo::TraceTrim { trimmed, kept } => self.content.restore_traces(trimmed, kept),
            Undo::Trace => self.content.traces.take_back(),
            Undo::TraceEnd { place, was, kept } => {
                kept.into_iter().for_each(|by| past.traces.take_back(&place, by));
                if let Some(fork) = self.content.fork.as_mut().filter(|fork| place < fork.trace_count) {
                    fork.ended.pop();
                    fork.share(was.stamp.version, was.memory());
                }
                self.content.traces.replace(place, *was);
            }
            Undo::Meta { meta, version, kept } => {
                kept.into_iter().for_each(|by| past.meta.take_back(&(), by));
                self.content.meta = meta;
                self.content.meta_version = version;
            }
            Undo::Erasure { redacted } => {
                Arc::make_mut(&mut self.content.erasures).pop();
                self.content.restore(redacted);
            }
            Undo::Content { content } => {
                self.snapshots.take_back_ended(&content);
                self.content = Arc::into_inner(content).expect("only snapshots share an ended life");
            }
        }
    }

    /// Puts the marker in the place of what an erasure covers, also where open snapshots look; what a transaction has read
    /// before is not there any more. Of erasures of a run that it was forked from, those that reach [what it began
    /// as](Erasure::within) are its own.
    ///
    /// What it gives back takes the change back, but for snapshots.
    pub fn redact(&mut self, erasure: &Erasure) -> Redacted {
        let redacted = self.content.redact(erasure);
        let has_kept = self.snapshots.redact(&mut self.content, erasure);
        self.redaction_count += u64::from(has_kept || !redacted.is_empty());
        redacted
    }

    /// Takes back a [`redact`](Self::redact).
    pub fn restore(&mut self, redacted: Redacted) {
        self.content.restore(redacted);
    }

    /// Whether a document is erased, or would be by this.
    pub(crate) fn is_document_erased(&self, name: &str, erasure: &Erasure) -> bool {
        let held = self.content.documents.get(name);
        held.is_some_and(|held| held.value.is_erased() || erasure.covers_document(name, &held.value))
    }

    /// What was erased in it by its own commits, oldest first.
    pub fn erasures(&self) -> &Arc<Vec<Erasure>> {
        &self.content.erasures
    }

    /// Takes over what is known of its erasures where its image is lost.
    pub fn set_erasures(&mut self, erasures: Arc<Vec<Erasure>>) {
        self.content.erasures = erasures;
    }

    /// Whether something was erased in it since a snapshot was opened.
    pub(crate) fn is_redacted_since(&self, snapshot: &Snapshot) -> bool {
        self.redaction_count != snapshot.redaction_count
    }

    /// Opens a snapshot of the run as it is.
    pub fn open_snapshot(&mut self) -> Snapshot {
        self.snapshots.open(self.stamp, self.redaction_count)
    }

    /// Opens a snapshot that [`bound_past`](Self::bound_past) does not give up. Whoever opens it closes it soon: what is
    /// kept for it grows up to the size of the run.
    pub fn hold_snapshot(&mut self) -> Snapshot {
        self.snapshots.hold(self.stamp, self.redaction_count)
    }

    /// Closes a snapshot; what only it needed is forgotten. Whether there is more of that than is forgotten at once: then
    /// [`forget_past`](Self::forget_past) is to be called until there is not.
    pub fn close_snapshot(&mut self, snapshot: Snapshot) -> bool {
        self.snapshots.close(&snapshot, &mut self.content)
    }

    /// Forgets what no snapshot shows any more, `count_max` things at most. Whether there may be more.
    pub fn forget_past(&mut self, count_max: usize) -> bool {
        self.snapshots.trim(&mut self.content, count_max)
    }

    /// Gives up the oldest open snapshots until what is kept for them fits into `size_max` bytes.
    pub fn bound_past(&mut self, size_max: usize) {
        self.snapshots.bound(&mut self.content, size_max);
    }

    /// Whether a snapshot is open.
    pub fn is_looked_at(&self) -> bool {
        self.snapshots.is_any_open()
    }

    /// About how many bytes are kept for open snapshots.
    pub fn kept_size(&self) -> usize {
        self.snapshots.kept_size(&self.content)
    }

    /// The run as it is.
    pub fn view(&self) -> RunView<'_> {
        RunView::present(self.id, self.stamp, &self.content, &self.receipts)
    }

    /// The run as an open snapshot shows it; `None` if that one was given up.
    pub fn view_at(&self, snapshot: &Snapshot) -> Option<RunView<'_>> {
        if snapshot.stamp == self.stamp {
            return Some(self.view());
        }
        self.snapshots.view(self.id, snapshot, &self.content, &self.receipts)
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

    /// Builds an index of names in order, if there is none; from then on every change keeps it.
    ///
    /// Called before an operation that [`needs_order`](crate::Operation::needs_order). Without it the operation sorts
    /// the keys of the run each time.
    pub fn ensure_order(&mut self, index: OrderIndex) {
        match index {
            OrderIndex::Keys(KeyKind::Kv) => self.content.kv.ensure_order(),
            OrderIndex::Keys(KeyKind::Cell) => self.content.cells.ensure_order(),
            OrderIndex::Documents => self.content.documents.ensure_order(),
        }
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

    /// It began its life then: an image has no creation, and says so.
    pub(crate) fn begun_by(&mut self, commit: Version) {
        self.content.meta.as_mut().expect("a run that was begun is there").since = commit;
    }

    /// Its description, if the run exists.
    pub fn meta(&self) -> Option<&RunMeta> {
        self.content.meta.as_deref()
    }

    /// What the run began as, if its present life is that of a fork.
    pub fn fork_point(&self) -> Option<ForkPoint> {
        self.content.fork.as_ref().map(|fork| fork.point)
    }

    /// Whether the run was created and not deleted.
    pub fn exists(&self) -> bool {
        self.content.meta.is_some()
    }

    /// What a caller is told about the run, if it exists; `orphaned` is left to the shard.
    pub fn info(&self) -> Option<RunInfo> {
        Draft::new(self.view()).info(self.stamp.timestamp)
    }

    /// When the first of its keys and cells expires.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.content.next_deadline()
    }

    /// How many keys it holds, expired ones included until they are cleaned away.
    pub fn kv_count(&self) -> u64 {
        self.content.kv.len() as u64
    }

    /// How many events were ever appended to it.
    pub fn event_count(&self) -> u64 {
        self.content.events.end()
    }

    /// How many traces were ever recorded in it.
    pub fn trace_count(&self) -> u64 {
        self.content.traces.end()
    }

    /// Whether two runs remember the same. For tests: it reads everything.
    pub fn same_state(&self, other: &Self) -> bool {
        self.id == other.id
            && self.stamp == other.stamp
            && self.receipts == other.receipts
            && self.content.is_same(&other.content)
    }

    /// How many writes with an operation id it remembers.
    pub(crate) fn receipt_count(&self) -> usize {
        self.receipts.len()
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }
}

/// What a description takes when it is kept for a snapshot, about, bytes.
const META_SIZE: usize = 256;

/// About how many bytes of memory a write to a document takes that shares what it leaves alone.
fn written_memory(write: &JsonWrite, document: &Document) -> usize {
    match write {
        JsonWrite::Put { .. } => document.memory(),
        other => document.memory().min(DOCUMENT_PATH_SIZE + NODE_SIZE + 2 * other.encoded_size()),
    }
}

/// The document that a write leads to.
///
/// # Panics
/// If the write does not fit what is there.
pub(crate) fn written(held: Option<&Document>, write: &JsonWrite, stamp: Stamp) -> Document {
    match (held, write) {
        (Some(held), write) => {
            let mut document = held.clone();
            document.apply(write, stamp);
            document
        }
        (None, JsonWrite::Put { value }) => {
            Document::from_encoded(value, stamp).expect("a document was checked before it was put")
        }
        (None, write) => panic!("{write:?} goes into a document that is there"),
    }
}

/// The description that a mutation of it in this commit leads to.
///
/// # Panics
/// If the mutation is of something else, or the run is missing and not created.
pub(crate) fn described(current: Option<&RunMeta>, mutation: Mutation, commit: Version) -> RunMeta {
    match mutation {
        Mutation::RunCreate { meta, .. } | Mutation::RunImport { meta, .. } => {
            return RunMeta { since: commit, ..*meta };
        }
        Mutation::RunFork { point, meta } => {
            return RunMeta { forked_from: Some(point), since: commit, ..*meta };
        }
        _ => {}
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
        Mutation::RunRetention { retention, .. } => meta.retention = retention,
        Mutation::EventRetention { retention, .. } => meta.event_retention = retention,
        Mutation::TraceRetention { retention, .. } => meta.trace_retention = retention,
        other => panic!("{} does not describe a run", other.name()),
    }
    meta
}

#[path = "adopted.rs"]
mod adopted;
#[path = "fitting.rs"]
mod fitting;
#[path = "in_place.rs"]
mod in_place;
pub use in_place::KeyRef;

#[cfg(test)]
#[path = "run_state_tests.rs"]
mod tests;
