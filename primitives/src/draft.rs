//! A run as it would be after the mutations staged so far.
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::event::{CHAIN_START, Event, StoredEvent};
use crate::id::RunId;
use crate::kv::{KeyRange, KvEntry, is_expired};
use crate::limits::Limits;
use crate::mutation::Mutation;
use crate::operation::Direction;
use crate::run_meta::{RunInfo, RunMeta};
use crate::run_state::{RunState, described};
use crate::version::{Stamp, Timestamp, Version};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A run's state with the mutations of one commit staged over it. Validation reads both and writes only the second.
///
/// An empty draft costs nothing. Several operations validated on one draft see each other's effects and become one
/// commit; all of them are given the same [`Context`](crate::Context).
#[derive(Debug)]
pub struct Draft<'a> {
    state: &'a RunState,
    mutations: Vec<Mutation>,
    size: usize,
    overlay: Overlay,
}

/// What the staged mutations hide of the state.
#[derive(Debug, Default)]
struct Overlay {
    /// The staged description; inside, nothing after a deletion.
    meta: Option<Option<Box<RunMeta>>>,
    /// Whether a staged deletion hides every key and event of the state.
    hides_content: bool,
    event_count: u64,
    head_hash: Option<[u8; 32]>,
    /// How many mutations the two indexes below know of: blind writes do not pay for them.
    indexed: usize,
    kv: FxHashMap<Arc<str>, Option<KvEntry>>,
    /// The places of staged events among the mutations.
    events: Vec<usize>,
}

impl<'a> Draft<'a> {
    /// A draft of `state` with nothing staged.
    pub fn new(state: &'a RunState) -> Self {
        Self::with_buffer(state, Vec::new())
    }

    /// The same, staging into an emptied `buffer` so that its memory is used again.
    pub fn with_buffer(state: &'a RunState, mut buffer: Vec<Mutation>) -> Self {
        buffer.clear();
        Self { state, mutations: buffer, size: 0, overlay: Overlay::default() }
    }

    /// What is staged so far, in order.
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }

    /// Ends the draft with what is to be logged and applied.
    pub fn into_mutations(self) -> Vec<Mutation> {
        self.mutations
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.state.id()
    }

    pub(crate) fn state_timestamp(&self) -> Timestamp {
        self.state.timestamp()
    }

    /// The version and time that reads of this draft are true at: those of its own commit once it has mutations.
    pub(crate) fn stamp(&self, now: Timestamp) -> Stamp {
        if self.mutations.is_empty() {
            Stamp { version: self.state.version(), timestamp: self.state.timestamp() }
        } else {
            Stamp { version: self.state.version().next(), timestamp: now }
        }
    }

    /// Stages one mutation, unless the commit would grow beyond its limits.
    pub(crate) fn stage(&mut self, mutation: Mutation, limits: &Limits) -> Result<(), Error> {
        let (count, size) = (self.mutations.len() + 1, self.size + mutation.encoded_size());
        if count > limits.transaction_mutations_max || size > limits.transaction_size_max {
            return Err(too_large(count, size, limits));
        }
        self.size = size;
        self.overlay.note(self.state, &mutation, count);
        self.mutations.push(mutation);
        Ok(())
    }

    /// Drops what was staged behind the first `count` mutations.
    pub(crate) fn truncate(&mut self, count: usize) {
        if self.mutations.len() == count {
            return;
        }
        self.mutations.truncate(count);
        self.overlay = Overlay::default();
        self.size = 0;
        for (index, mutation) in self.mutations.iter().enumerate() {
            self.size += mutation.encoded_size();
            self.overlay.note(self.state, mutation, index + 1);
        }
    }

    /// Makes staged keys and events readable. Must precede every read of them.
    pub(crate) fn catch_up(&mut self) {
        for index in self.overlay.indexed..self.mutations.len() {
            match &self.mutations[index] {
                Mutation::KvPut { key, value, deadline, .. } => {
                    let entry = self.staged_entry(value.clone(), *deadline);
                    self.overlay.kv.insert(Arc::clone(key), Some(entry));
                }
                Mutation::KvDelete { key, .. } => drop(self.overlay.kv.insert(Arc::clone(key), None)),
                Mutation::KvDeadline { key, deadline, .. } => {
                    let held = self.held(key).expect("a deadline is given to a key that is there");
                    let entry = self.staged_entry(held.value.clone(), *deadline);
                    self.overlay.kv.insert(Arc::clone(key), Some(entry));
                }
                Mutation::EventAppend { .. } => self.overlay.events.push(index),
                _ => {}
            }
        }
        self.overlay.indexed = self.mutations.len();
    }

    pub(crate) fn meta(&self) -> Option<&RunMeta> {
        self.overlay.meta_over(self.state)
    }

    /// The version of the stored description, for links to it.
    pub(crate) fn meta_version(&self) -> Version {
        self.state.meta_version()
    }

    pub(crate) fn info(&self, now: Timestamp) -> Option<RunInfo> {
        let stamp = self.stamp(now);
        let mut info = self.meta()?.info(self.run_id(), stamp.version, stamp.timestamp);
        let of_state = |key: &Arc<str>| self.base_entry(key).is_some();
        let added = self.overlay.kv.iter().filter(|(key, entry)| entry.is_some() && !of_state(key)).count();
        let removed = self.overlay.kv.iter().filter(|(key, entry)| entry.is_none() && of_state(key)).count();
        let base_count = if self.overlay.hides_content { 0 } else { self.state.kv().len() };
        info.kv_count = (base_count + added - removed) as u64;
        info.event_count = self.event_count();
        Some(info)
    }

    /// What `key` holds, unless it is expired at `now`.
    pub(crate) fn live_entry(&self, key: &str, now: Timestamp) -> Option<EntryView<'_>> {
        let entry = self.held(key).filter(|entry| !is_expired(entry.deadline, now))?;
        Some(EntryView::new(entry, self.stamp(now)))
    }

    /// The version of what the state holds under `key`, expired or not: what a mutation of it replaces.
    pub(crate) fn base_version(&self, key: &str) -> Version {
        self.base_entry(key).map_or(Version::NEVER, |entry| entry.version)
    }

    /// Shows `visit` every live key of `range` in order, until it says to stop.
    pub(crate) fn walk<'d>(
        &'d self,
        range: &KeyRange<'_>,
        now: Timestamp,
        mut visit: impl FnMut(&'d Arc<str>, EntryView<'d>) -> bool,
    ) {
        let mut staged: Vec<_> = self.overlay.kv.keys().filter(|key| range.contains(key)).collect();
        staged.sort_unstable();
        if range.direction == Direction::Reverse {
            staged.reverse();
        }
        let mut staged = staged.into_iter().peekable();
        let hides = self.overlay.hides_content;
        let mut base = (!hides).then(|| self.state.kv().walk(range)).into_iter().flatten().peekable();
        loop {
            let comes_first = match (base.peek(), staged.peek()) {
                (Some(base), Some(staged)) if range.direction == Direction::Forward => base.cmp(staged),
                (Some(base), Some(staged)) => staged.cmp(base),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return,
            };
            let base_key = if comes_first.is_le() { base.next() } else { None };
            let staged_key = if comes_first.is_ge() { staged.next() } else { None };
            let key = staged_key.or(base_key).expect("one of the two was just peeked at");
            if let Some(view) = self.live_entry(key, now)
                && !visit(key, view)
            {
                return;
            }
        }
    }

    /// How many live keys there are, without walking them.
    pub(crate) fn live_count(&self, now: Timestamp) -> u64 {
        let is_live = |entry: &KvEntry| !is_expired(entry.deadline, now);
        let mut count = 0;
        if !self.overlay.hides_content {
            count = self.state.kv().len() - self.state.kv().expired(now).count();
        }
        for (key, staged) in &self.overlay.kv {
            count += usize::from(staged.as_ref().is_some_and(is_live));
            count -= usize::from(self.base_entry(key).is_some_and(is_live));
        }
        count as u64
    }

    /// The keys that expired in the state and are not changed in this draft.
    pub(crate) fn expired(&self, now: Timestamp) -> impl Iterator<Item = &'a Arc<str>> {
        let keys = (!self.overlay.hides_content).then(|| self.state.kv().expired(now));
        keys.into_iter().flatten().filter(|key| !self.overlay.kv.contains_key(*key))
    }

    pub(crate) fn event_count(&self) -> u64 {
        self.base_event_count() + self.overlay.event_count
    }

    pub(crate) fn head_hash(&self) -> [u8; 32] {
        let of_base =
            || if self.overlay.hides_content { CHAIN_START } else { self.state.events().head_hash() };
        self.overlay.head_hash.unwrap_or_else(of_base)
    }

    pub(crate) fn event(&self, sequence: u64, now: Timestamp) -> Option<StoredEvent> {
        match sequence.checked_sub(self.base_event_count()) {
            None => self.state.events().get(sequence).map(|event| event.stored(sequence)),
            Some(index) => self.staged_event(index, now).map(|event| event.stored(sequence)),
        }
    }

    /// The sequences of all events of a type, ascending.
    pub(crate) fn events_of_kind(&self, kind: &str) -> (&[u64], Vec<u64>) {
        let base = if self.overlay.hides_content { &[] } else { self.state.events().of_kind(kind) };
        let staged = self.overlay.events.iter().filter_map(|index| match &self.mutations[*index] {
            Mutation::EventAppend { sequence, kind: staged, .. } if **staged == *kind => Some(*sequence),
            _ => None,
        });
        (base, staged.collect())
    }

    /// Whether every event is hashed onto the one before; else the first that is not.
    pub(crate) fn first_invalid_event(&self, now: Timestamp) -> Option<u64> {
        let base = (!self.overlay.hides_content).then(|| self.state.events().iter()).into_iter().flatten();
        let staged = (0..self.overlay.event_count).filter_map(|index| self.staged_event(index, now));
        let mut previous = CHAIN_START;
        for (sequence, event) in (0..).zip(base.cloned().chain(staged)) {
            if !event.is_hashed_onto(&previous, sequence) {
                return Some(sequence);
            }
            previous = event.hash;
        }
        None
    }

    fn base_event_count(&self) -> u64 {
        if self.overlay.hides_content { 0 } else { self.state.events().len() }
    }

    fn base_entry(&self, key: &str) -> Option<&KvEntry> {
        if self.overlay.hides_content { None } else { self.state.kv().get(key) }
    }

    fn held(&self, key: &str) -> Option<&KvEntry> {
        if self.overlay.kv.is_empty() {
            return self.base_entry(key);
        }
        self.overlay.kv.get(key).map_or_else(|| self.base_entry(key), Option::as_ref)
    }

    /// A staged entry has the version of the commit to come; its time is added when it is looked at.
    fn staged_entry(&self, value: Encoded, deadline: Option<Timestamp>) -> KvEntry {
        let (version, timestamp) = (self.state.version().next(), self.state.timestamp());
        KvEntry { value, version, timestamp, deadline }
    }

    fn staged_event(&self, index: u64, now: Timestamp) -> Option<Event> {
        let place = *self.overlay.events.get(usize::try_from(index).ok()?)?;
        let Mutation::EventAppend { kind, payload, salt, hash, .. } = &self.mutations[place] else {
            unreachable!("only places of events are noted");
        };
        let (kind, payload) = (Arc::clone(kind), payload.clone());
        Some(Event { kind, payload, salt: *salt, hash: *hash, stamp: self.stamp(now) })
    }
}

impl Overlay {
    /// Takes in the mutation staged as number `count`, except what `catch_up` adds when somebody reads.
    fn note(&mut self, state: &RunState, mutation: &Mutation, count: usize) {
        match mutation {
            Mutation::KvPut { .. } | Mutation::KvDelete { .. } | Mutation::KvDeadline { .. } => {}
            Mutation::EventAppend { hash, .. } => {
                self.event_count += 1;
                self.head_hash = Some(*hash);
            }
            Mutation::RunDelete { .. } => {
                // What was staged before is deleted with the rest, so the indexes begin behind it.
                *self = Self { meta: Some(None), hides_content: true, indexed: count, ..Self::default() };
            }
            of_meta => self.meta = Some(Some(Box::new(described(self.meta_over(state), of_meta.clone())))),
        }
    }

    fn meta_over<'s>(&'s self, state: &'s RunState) -> Option<&'s RunMeta> {
        match &self.meta {
            Some(staged) => staged.as_deref(),
            None => state.meta(),
        }
    }
}

/// What a key holds, as a reader of the draft sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryView<'a> {
    pub(crate) value: &'a Encoded,
    pub(crate) version: Version,
    pub(crate) timestamp: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
}

impl<'a> EntryView<'a> {
    fn new(entry: &'a KvEntry, stamp: Stamp) -> Self {
        let KvEntry { value, version, timestamp, deadline } = entry;
        let timestamp = if *version == stamp.version { stamp.timestamp } else { *timestamp };
        Self { value, version: *version, timestamp, deadline: *deadline }
    }
}

#[cold]
fn too_large(count: usize, size: usize, limits: &Limits) -> Error {
    let (count_max, size_max) = (limits.transaction_mutations_max, limits.transaction_size_max);
    let message = if count > count_max {
        format!("transaction_mutations_max is {count_max}, the commit has at least {count}")
    } else {
        format!("transaction_size_max is {size_max} bytes, the commit has at least {size}")
    };
    Error::new(ErrorKind::InvalidArgument, message)
}
