//! A run as it would be after the mutations staged so far.
use crate::chunks::Ascending;
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::event::{CHAIN_START, Event, Seal, StoredEvent};
use crate::id::RunId;
use crate::json::{self, Document, JsonWrite, Pointer};
use crate::key_kind::KeyKind;
use crate::keys::StagedOver;
use crate::limits::Limits;
use crate::mutation::Mutation;
use crate::overlay::Overlay;
use crate::place::Place;
use crate::read_set::ReadSet;
use crate::run_meta::{RunInfo, RunMeta};
use crate::run_summary::RunCounts;
use crate::traces::TracesOver;
use crate::version::{Stamp, Timestamp, Version};
use crate::view::RunView;

/// A picture of a run with the mutations of one commit staged over it. Validation reads both and writes only the
/// second.
///
/// An empty draft costs nothing. Several operations validated on one draft see each other's effects and become one
/// commit; all of them are given the same [`Context`](crate::Context).
#[derive(Debug)]
pub struct Draft<'a> {
    view: RunView<'a>,
    staged: Staged,
}

/// What a draft has staged, apart from the run: a transaction keeps it from one message to the next.
#[derive(Debug, Default)]
pub struct Staged {
    mutations: Vec<Mutation>,
    size: usize,
    overlay: Overlay,
    /// What was read, where the commit has to find it unchanged.
    reads: Option<ReadSet>,
    /// Whether a mutation was refused because the commit had grown too large.
    is_full: bool,
}

/// How many events, or traces, a draft shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryCounts {
    /// The place of the first that is there, and the place behind the last.
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// How many of them are staged.
    pub(crate) staged: u64,
    /// Whether it is staged which of them the run keeps.
    pub(crate) is_said: bool,
}

impl EntryCounts {
    /// Whether the commit removes any that are not kept: it adds some, or says which are.
    pub(crate) fn may_go(&self) -> bool {
        self.staged > 0 || self.is_said
    }
}

/// Mutations, or places that were read, for which a finished transaction leaves room to the next.
pub(crate) const KEPT_COUNT_MAX: usize = 1024;

/// Own writes among which a read of a document looks for what it rests on.
pub(crate) const OWN_WRITES_MAX: usize = 1024;

impl Staged {
    /// Nothing staged, for a transaction: what it reads is recorded.
    pub fn recording() -> Self {
        Self { reads: Some(ReadSet::default()), ..Self::default() }
    }

    /// Whether this is for a transaction.
    pub fn is_recording(&self) -> bool {
        self.reads.is_some()
    }

    /// What was read.
    pub fn reads(&self) -> Option<&ReadSet> {
        self.reads.as_ref()
    }

    /// Empties it for the next transaction; its memory is kept, unless it is much.
    pub fn clear(&mut self) {
        let Self { mutations, size, overlay, reads, is_full } = self;
        *is_full = false;
        mutations.clear();
        mutations.shrink_to(KEPT_COUNT_MAX);
        *size = 0;
        *overlay = Overlay::default();
        if let Some(reads) = reads {
            reads.clear();
        }
    }
}

impl<'a> Draft<'a> {
    /// A draft over `view` with nothing staged.
    pub fn new(view: RunView<'a>) -> Self {
        Self::resume(view, Staged::default())
    }

    /// The same, staging into an emptied `buffer` so that its memory is used again.
    pub fn with_buffer(view: RunView<'a>, mut buffer: Vec<Mutation>) -> Self {
        buffer.clear();
        Self::resume(view, Staged { mutations: buffer, ..Staged::default() })
    }

    /// A draft that goes on with what was staged before, over a view of the same version.
    pub fn resume(view: RunView<'a>, staged: Staged) -> Self {
        Self { view, staged }
    }

    /// Ends the draft, keeping what is staged apart from the run.
    pub fn into_staged(self) -> Staged {
        self.staged
    }

    /// What is staged so far, in order.
    pub fn mutations(&self) -> &[Mutation] {
        &self.staged.mutations
    }

    /// Ends the draft with what is to be logged and applied.
    pub fn into_mutations(self) -> Vec<Mutation> {
        self.staged.mutations
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.view.id()
    }

    /// The picture below what is staged.
    pub fn view(&self) -> &RunView<'a> {
        &self.view
    }

    /// The version and time that reads of this draft are true at: those of its own commit once it has mutations.
    pub(crate) fn stamp(&self, now: Timestamp) -> Stamp {
        if self.staged.mutations.is_empty() { self.view.stamp() } else { self.stamp_of_staged(now) }
    }

    /// A transaction does not know the number of its commit before it commits.
    fn stamp_of_staged(&self, now: Timestamp) -> Stamp {
        let is_transaction = self.staged.reads.is_some();
        let version = if is_transaction { Version::PENDING } else { self.view.stamp().version.next() };
        Stamp { version, timestamp: now }
    }

    /// Stages one mutation, unless the commit would grow beyond its limits.
    pub(crate) fn stage(&mut self, mutation: Mutation, limits: &Limits) -> Result<(), Error> {
        let Staged { mutations, size, overlay, .. } = &mut self.staged;
        let (count, size_with_it) = (mutations.len() + 1, *size + mutation.encoded_size());
        if count > limits.transaction_mutations_max || size_with_it > limits.transaction_size_max {
            self.staged.is_full = true;
            return Err(too_large(count, size_with_it, limits));
        }
        *size = size_with_it;
        overlay.note(&self.view, &mutation, count);
        mutations.push(mutation);
        Ok(())
    }

    /// Stages the removal of what the run does not keep, whatever the limits of a commit.
    pub(crate) fn stage_trim(&mut self, trim: Mutation) {
        self.staged.size += trim.encoded_size();
        self.staged.mutations.push(trim);
    }

    /// How many events there are, and whether what is staged says which are kept.
    pub(crate) fn event_counts(&self) -> EntryCounts {
        let is_said = |mutation: &Mutation| matches!(mutation, Mutation::EventRetention { .. });
        EntryCounts {
            first: self.first_event(),
            end: self.event_count(),
            staged: self.staged.overlay.event_count,
            is_said: self.staged.mutations.iter().any(is_said),
        }
    }

    /// The same of traces.
    pub(crate) fn trace_counts(&self) -> EntryCounts {
        let is_said = |mutation: &Mutation| matches!(mutation, Mutation::TraceRetention { .. });
        let (traces, staged) = (self.traces(), self.staged.overlay.trace_count);
        EntryCounts {
            first: traces.first(),
            end: traces.base_count() + staged,
            staged,
            is_said: self.staged.mutations.iter().any(is_said),
        }
    }

    /// Whether a mutation was refused because the commit had grown too large.
    pub fn is_full(&self) -> bool {
        self.staged.is_full
    }

    /// Drops what was staged behind the first `count` mutations; what is left is readable at `now`.
    pub(crate) fn truncate(&mut self, count: usize, now: Timestamp) {
        let Staged { mutations, size, overlay, .. } = &mut self.staged;
        if mutations.len() == count {
            return;
        }
        mutations.truncate(count);
        *overlay = Overlay::default();
        *size = 0;
        for (index, mutation) in mutations.iter().enumerate() {
            *size += mutation.encoded_size();
            overlay.note(&self.view, mutation, index + 1);
        }
        self.catch_up(now);
    }

    /// Makes what is staged readable. Must precede every read of it.
    pub(crate) fn catch_up(&mut self, now: Timestamp) {
        let stamp = self.stamp_of_staged(now);
        let Staged { mutations, overlay, .. } = &mut self.staged;
        overlay.catch_up(&self.view, mutations, stamp);
    }

    /// Whether what is read is remembered, so that the commit finds it unchanged.
    pub(crate) fn is_recording(&self) -> bool {
        self.staged.reads.is_some()
    }

    /// Whether anything is staged.
    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.mutations.is_empty()
    }

    /// Remembers a place that was looked at, where that is asked for.
    pub(crate) fn record(&mut self, place: Place) {
        if let Some(reads) = &mut self.staged.reads {
            reads.add(place);
        }
    }

    /// Remembers that something was read, wherever it stands, where that is asked for.
    pub(crate) fn record_life(&mut self) {
        if let Some(reads) = &mut self.staged.reads {
            reads.add_life();
        }
    }

    /// The version that reads of what is staged carry.
    pub(crate) fn own_version(&self, now: Timestamp) -> Version {
        self.stamp_of_staged(now).version
    }

    pub(crate) fn meta(&self) -> Option<&RunMeta> {
        self.staged.overlay.meta_over(&self.view)
    }

    /// The version of the stored description, for links to it.
    pub(crate) fn meta_version(&self) -> Version {
        self.view.meta_version()
    }

    pub(crate) fn info(&self, now: Timestamp) -> Option<RunInfo> {
        Some(self.meta()?.info(self.run_id(), self.stamp(now), &self.counts()))
    }

    /// How much the run holds with what is staged.
    pub(crate) fn counts(&self) -> RunCounts {
        let (keys, cells) = (self.keys(KeyKind::Kv), self.keys(KeyKind::Cell));
        let (documents, traces) = (self.documents(), self.traces());
        RunCounts {
            keys: keys.full_count(),
            cells: cells.full_count(),
            documents: documents.full_count(),
            events: self.event_count(),
            traces: traces.count(),
            size: documents.size() + keys.size() + cells.size() + self.event_size() + traces.size(),
        }
    }

    pub(crate) fn documents(&self) -> StagedOver<'_, Document> {
        self.staged.overlay.documents_over(&self.view)
    }

    /// The place in the run's own document that decides what the draft shows at `path` behind its staged writes and
    /// `writes`; `None` when they alone decide it. Behind very many writes it is the whole document, whatever they
    /// decide, so that one look costs no more than [`OWN_WRITES_MAX`] of them.
    pub(crate) fn place_below(&self, name: &str, path: &Pointer, writes: &[JsonWrite]) -> Option<Pointer> {
        let mutations = &self.staged.mutations;
        if mutations.len() + writes.len() > OWN_WRITES_MAX {
            return Some(Pointer::root());
        }
        let is_destroyed = |mutation: &Mutation| match mutation {
            Mutation::JsonDestroy { name: destroyed, .. } => **destroyed == *name,
            _ => false,
        };
        if mutations.iter().any(is_destroyed) {
            return None;
        }
        let staged = mutations.iter().filter_map(|mutation| match mutation {
            Mutation::JsonWrite { name: written, write, .. } if **written == *name => Some(write),
            _ => None,
        });
        let base = self.documents().base(name).map(|entry| &entry.value);
        json::place_below(base, staged.chain(writes), path)
    }

    /// Keys and values, or cells.
    pub(crate) fn keys(&self, kind: KeyKind) -> StagedOver<'_, Encoded> {
        self.staged.overlay.keys_over(kind, &self.view)
    }

    pub(crate) fn traces(&self) -> TracesOver<'_> {
        self.staged.overlay.traces_over(&self.view)
    }

    pub(crate) fn event_count(&self) -> u64 {
        self.base_event_count() + self.staged.overlay.event_count
    }

    /// The first event that is there; their number if there is none.
    pub(crate) fn first_event(&self) -> u64 {
        if self.staged.overlay.hides_content { 0 } else { self.view.first_event() }
    }

    /// The first event of that time or behind it, staged ones not looked at; the first staged one if there is none.
    pub(crate) fn first_event_at_or_after(&self, time: Timestamp) -> u64 {
        if self.staged.overlay.hides_content { 0 } else { self.view.first_event_at_or_after(time) }
    }

    /// The same of traces.
    pub(crate) fn first_trace_at_or_after(&self, time: Timestamp) -> u64 {
        if self.staged.overlay.hides_content { 0 } else { self.view.traces().first_at_or_after(time) }
    }

    pub(crate) fn head_hash(&self) -> [u8; 32] {
        let hides_content = self.staged.overlay.hides_content;
        let of_base = || if hides_content { CHAIN_START } else { self.view.head_hash() };
        self.staged.overlay.head_hash.unwrap_or_else(of_base)
    }

    pub(crate) fn event(&self, sequence: u64, now: Timestamp) -> Option<StoredEvent> {
        match sequence.checked_sub(self.base_event_count()) {
            None => self.view.event(sequence).map(|event| event.stored(sequence)),
            Some(index) => self.staged_event(index, now).map(|event| event.stored(sequence)),
        }
    }

    /// The sequences of all events of a type, ascending.
    pub(crate) fn events_of_kind(&self, kind: &str) -> (Ascending<'_>, Vec<u64>) {
        let Staged { mutations, overlay, .. } = &self.staged;
        let of_view = || self.view.events_of_kind(kind);
        let base = if overlay.hides_content { Ascending::default() } else { of_view() };
        let staged = overlay.events.iter().filter_map(|index| match &mutations[*index] {
            Mutation::EventAppend { sequence, kind: staged, .. } if **staged == *kind => Some(*sequence),
            _ => None,
        });
        (base, staged.collect())
    }

    /// Whether every event that is there is hashed onto the one before; else the first that is not.
    pub(crate) fn first_invalid_event(&self, now: Timestamp) -> Option<u64> {
        let overlay = &self.staged.overlay;
        let base = (!overlay.hides_content).then(|| self.view.events()).into_iter().flatten();
        let staged = (0..overlay.event_count).filter_map(|index| self.staged_event(index, now));
        let mut previous = if overlay.hides_content { CHAIN_START } else { self.view.event_anchor().hash };
        for (sequence, event) in (self.first_event()..).zip(base.cloned().chain(staged)) {
            if !event.is_hashed_onto(&previous, sequence) {
                return Some(sequence);
            }
            previous = event.hash;
        }
        None
    }

    /// How many payloads of events are erased.
    pub(crate) fn erased_event_count(&self) -> u64 {
        let base = (!self.staged.overlay.hides_content).then(|| self.view.events());
        base.into_iter().flatten().filter(|event| event.is_erased()).count() as u64
    }

    /// What events take together, staged ones included, bytes.
    fn event_size(&self) -> u64 {
        let Staged { mutations, overlay, .. } = &self.staged;
        let staged = overlay.events.iter().map(|place| match &mutations[*place] {
            Mutation::EventAppend { kind, payload, .. } => (kind.len() + payload.len()) as u64,
            _ => 0,
        });
        let base = if overlay.hides_content { 0 } else { self.view.event_size() };
        base + staged.sum::<u64>()
    }

    fn base_event_count(&self) -> u64 {
        if self.staged.overlay.hides_content { 0 } else { self.view.event_count() }
    }

    fn staged_event(&self, index: u64, now: Timestamp) -> Option<Event> {
        let Staged { mutations, overlay, .. } = &self.staged;
        let place = *overlay.events.get(usize::try_from(index).ok()?)?;
        let Mutation::EventAppend { kind, payload, salt, hash, .. } = &mutations[place] else {
            unreachable!("only places of events are noted");
        };
        let (kind, payload) = (kind.clone(), payload.clone());
        Some(Event { kind, payload, seal: Seal::Salt(*salt), hash: *hash, stamp: self.stamp(now) })
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
