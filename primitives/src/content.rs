//! What a run holds from its creation to its deletion.
use crate::encoded::Encoded;
use crate::entry::Entry;
use crate::entry_log::{self, EntryLog, TrimmedOf};
use crate::erasure::Erasure;
use crate::event_log::{Anchor, EventLog};
use crate::fork::{ForkChanges, ForkPoint, Names, Shared};
use crate::json::Document;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::key_map::KeyMap;
use crate::memory::ALLOCATION_SIZE;
use crate::past::{Keeper, Past, ReplacedKeys, kept_by};
use crate::run_meta::RunMeta;
use crate::trace_log::{RemovedTraces, TraceLog};
use crate::version::{Timestamp, Version};
use std::sync::Arc;

/// About what the path to one write of a document takes, bytes.
pub(crate) const DOCUMENT_PATH_SIZE: usize = 2048;

/// Everything that a deletion takes away.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) meta: Option<Box<RunMeta>>,
    /// The commit that last changed the description: that of the deletion before, until the run is created again.
    pub(crate) meta_version: Version,
    pub(crate) kv: KeyMap<Encoded>,
    pub(crate) cells: KeyMap<Encoded>,
    pub(crate) documents: KeyMap<Document>,
    pub(crate) events: EventLog,
    pub(crate) traces: TraceLog,
    pub(crate) past: Past,
    /// What was erased, oldest first; a deletion leaves it.
    pub(crate) erasures: Arc<Vec<Erasure>>,
    /// What it has changed of what it began with, where that was another run.
    pub(crate) fork: Option<Box<ForkChanges>>,
}

impl Content {
    /// What a run holds behind the commit that ended the life before, or in front of its first one.
    pub(crate) fn new(hash_seed: usize, ended: Version) -> Self {
        Self {
            meta: None,
            meta_version: ended,
            kv: KeyMap::new(hash_seed),
            cells: KeyMap::new(hash_seed),
            documents: KeyMap::new(hash_seed),
            events: EventLog::new(hash_seed),
            traces: TraceLog::new(hash_seed),
            past: Past::new(hash_seed),
            erasures: Arc::default(),
            fork: None,
        }
    }

    /// The same, shared until either is changed, without what is kept for snapshots.
    pub(crate) fn share(&self, hash_seed: usize) -> Self {
        let Self { meta, meta_version, kv, cells, documents, events, traces, erasures, .. } = self;
        Self {
            meta: meta.clone(),
            meta_version: *meta_version,
            kv: kv.clone(),
            cells: cells.clone(),
            documents: documents.clone(),
            events: events.clone(),
            traces: traces.clone(),
            past: Past::new(hash_seed),
            erasures: Arc::clone(erasures),
            fork: None,
        }
    }

    /// What a fork begins with: all of it but the description.
    pub(crate) fn fork(&self, point: ForkPoint, hash_seed: usize) -> Self {
        let changes = ForkChanges {
            point,
            gaps: self.meta.iter().flat_map(|meta| meta.all_gaps()).collect(),
            kv: Names::new(hash_seed),
            cells: Names::new(hash_seed),
            documents: Names::new(hash_seed),
            event_count: self.events.end(),
            trace_count: self.traces.end(),
            ended: Vec::new(),
            shared_memory: self.shared_memory(),
            own_memory: 0,
            document_memory: 0,
        };
        let (fork, erasures) = (Some(Box::new(changes)), Arc::default());
        Self { meta: None, fork, erasures, ..self.share(hash_seed) }
    }

    /// How much memory a fork of it shares.
    pub(crate) fn shared_memory(&self) -> Shared {
        let Self { kv, cells, documents, events, traces, .. } = self;
        Shared {
            slots: kv.slot_memory() + cells.slot_memory(),
            documents: documents.memory(),
            logs: events.memory() + traces.memory(),
        }
    }

    /// Keys and values, or cells.
    pub(crate) fn keys(&self, kind: KeyKind) -> &KeyMap<Encoded> {
        match kind {
            KeyKind::Kv => &self.kv,
            KeyKind::Cell => &self.cells,
        }
    }

    /// What commits replaced of the same.
    pub(crate) fn replaced(&self, kind: KeyKind) -> &ReplacedKeys<Encoded> {
        match kind {
            KeyKind::Kv => &self.past.kv,
            KeyKind::Cell => &self.past.cells,
        }
    }

    /// The keys that commits behind `version` have touched.
    pub(crate) fn replaced_since(&self, kind: KeyKind, version: Version) -> impl Iterator<Item = &Key> {
        self.replaced(kind).since(version).map(|(key, _)| key)
    }

    /// Changes what a key holds, and keeps what it held where a snapshot may look at it. Returns what it held, and
    /// the commit it is kept for.
    pub(crate) fn put_key(
        &mut self,
        kind: KeyKind,
        key: &Key,
        entry: Option<Entry<Encoded>>,
        keeper: Option<Keeper>,
    ) -> (Option<Entry<Encoded>>, Option<Version>) {
        let (map, past) = match kind {
            KeyKind::Kv => (&mut self.kv, &mut self.past.kv),
            KeyKind::Cell => (&mut self.cells, &mut self.past.cells),
        };
        let was = match entry {
            Some(entry) => map.put(key, entry),
            None => map.remove(key),
        };
        if let Some(fork) = &mut self.fork {
            fork.note_key(kind, key, map.get(key), was.as_ref());
        }
        let size = 2 * key.len()
            + ALLOCATION_SIZE
            + was.as_ref().map_or(0, |entry| entry.value.len() - entry.value.elsewhere());
        let kept = kept_by(keeper, |keeper| past.keep(&**key, keeper, size, || (key.alone(), was.clone())));
        (was, kept)
    }

    /// Takes back a [`put_key`](Self::put_key).
    pub(crate) fn restore_key(
        &mut self,
        kind: KeyKind,
        key: &Key,
        was: Option<Entry<Encoded>>,
        kept: Option<Version>,
    ) {
        self.put_key(kind, key, was, None);
        let past = match kind {
            KeyKind::Kv => &mut self.past.kv,
            KeyKind::Cell => &mut self.past.cells,
        };
        kept.into_iter().for_each(|by| past.take_back(key, by));
    }

    /// Puts a document into the place of another, or takes it out, as [`put_key`](Self::put_key) does with a key. It also tells the bytes that
    /// are not in the document any more.
    pub(crate) fn put_document(
        &mut self,
        name: &Key,
        entry: Option<Entry<Document>>,
        keeper: Option<Keeper>,
        detached_memory: impl FnOnce(&Document) -> usize,
    ) -> (Option<Entry<Document>>, usize, Option<Version>) {
        let was = match entry {
            Some(entry) => self.documents.put(name, entry),
            None => self.documents.remove(name),
        };
        if let Some(fork) = &mut self.fork {
            fork.note_document(name, self.documents.get(name).is_some(), was.as_ref());
        }
        // What a write replaces is kept, and the path to it, which it copies; the rest is shared with what follows.
        let detached_memory = was.as_ref().map_or(0, |was| detached_memory(&was.value));
        let kept = kept_by(keeper, |keeper| {
            let size = name.len() + DOCUMENT_PATH_SIZE + detached_memory;
            self.past.documents.keep(&**name, keeper, size, || (name.alone(), was.clone()))
        });
        (was, detached_memory, kept)
    }

    /// Takes back a [`put_document`](Self::put_document).
    pub(crate) fn restore_document(
        &mut self,
        name: &Key,
        was: Option<Entry<Document>>,
        kept: Option<Version>,
    ) {
        self.put_document(name, was, None, |_| 0);
        kept.into_iter().for_each(|by| self.past.documents.take_back(name, by));
    }

    /// About how many bytes it takes, with what it keeps for snapshots.
    pub(crate) fn size(&self) -> usize {
        let logs = self.events.size() + self.traces.size();
        let keys = self.kv.size() + self.cells.size() + self.documents.size();
        keys + logs as usize + self.kept_size()
    }

    /// About how many bytes are kept for snapshots.
    pub(crate) fn kept_size(&self) -> usize {
        self.past.size() + self.past.kept_of_logs(&self.events, &self.traces)
    }

    /// Forgets what no snapshot at `floor` or behind it needs, as many things as `budget` allows, and takes them from it.
    pub(crate) fn trim_past(&mut self, floor: Version, budget: &mut usize) {
        self.past.trim(floor, self.events.first(), self.traces.first(), budget);
    }

    /// Removes the events below `before`, and keeps those there were where a snapshot may look at them. Returns what was removed, and
    /// the commit it is kept for.
    pub(crate) fn trim_events(
        &mut self,
        before: u64,
        keeper: Option<Keeper>,
    ) -> (TrimmedOf<EventLog>, Option<Version>) {
        let Self { events, past, fork, .. } = self;
        entry_log::trim(events, &mut past.events, fork.as_deref_mut(), before, keeper)
    }

    /// The same of traces.
    pub(crate) fn trim_traces(
        &mut self,
        before: u64,
        keeper: Option<Keeper>,
    ) -> (TrimmedOf<TraceLog>, Option<Version>) {
        let Self { traces, past, fork, .. } = self;
        entry_log::trim(traces, &mut past.trace_logs, fork.as_deref_mut(), before, keeper)
    }

    /// Takes back a [`trim_events`](Self::trim_events).
    pub(crate) fn restore_events(&mut self, trimmed: TrimmedOf<EventLog>, kept: Option<Version>) {
        let Self { events, past, fork, .. } = self;
        entry_log::untrim(events, &mut past.events, fork.as_deref_mut(), trimmed, kept);
    }

    /// Takes back a [`trim_traces`](Self::trim_traces).
    pub(crate) fn restore_traces(&mut self, trimmed: TrimmedOf<TraceLog>, kept: Option<Version>) {
        let Self { traces, past, fork, .. } = self;
        entry_log::untrim(traces, &mut past.trace_logs, fork.as_deref_mut(), trimmed, kept);
    }

    /// Takes over from an image that the events below `first` were removed.
    pub(crate) fn load_removed_events(&mut self, first: u64, anchor: Anchor) -> Result<(), String> {
        let there = first.min(self.events.end());
        if there > self.events.first() {
            drop(self.trim_events(there, None));
        }
        self.events.load_removed(first, anchor)
    }

    /// Takes over from an image that the traces below `first` were removed.
    pub(crate) fn load_removed_traces(&mut self, first: u64, removed: RemovedTraces) -> Result<(), String> {
        let there = first.min(self.traces.end());
        if there > self.traces.first() {
            drop(self.trim_traces(there, None));
        }
        self.traces.load_removed(first, removed)
    }

    /// When the first key or cell expires.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        [self.kv.next_deadline(), self.cells.next_deadline()].into_iter().flatten().min()
    }

    /// Whether two runs hold the same; what they keep for snapshots is left out, and what they share with others.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let Self { meta, meta_version, kv, cells, documents, events, traces, erasures, past: _, fork: _ } =
            self;
        *meta == other.meta
            && *erasures == other.erasures
            && *meta_version == other.meta_version
            && kv.is_same(&other.kv)
            && cells.is_same(&other.cells)
            && documents.is_same(&other.documents)
            && events.is_same(&other.events)
            && traces.is_same(&other.traces)
    }
}
