//! How much memory a run takes, from what it counts anyway.
use crate::chunks::CHUNK_COUNT_MAX;
use crate::content::Content;
use crate::entry_log::EntryLog;
use crate::event::Event;
use crate::event_log::EventLog;
use crate::mutation::Mutation;
use crate::run_state::RunState;
use crate::trace::Trace;
use crate::trace_log::TraceLog;

/// What an allocation takes beside what is in it: the counts of an `Arc`, the allocator's header, what is rounded up.
pub(crate) const ALLOCATION_SIZE: usize = 16 + 8 + 8;
/// What a place in an ordered set takes: the key, in leaves that are two thirds full.
pub(crate) const ORDER_SIZE: usize = 26;
/// The same with a deadline.
pub(crate) const DEADLINE_SIZE: usize = 42;
/// What a node of a document takes: its stamp, its kind, where it is an allocation that, and the name it has.
pub(crate) const NODE_SIZE: usize = 120;

/// What a run takes that holds nothing, bytes.
const RUN_SIZE: usize = 1 << 10;
/// What an event takes beside its type and its payload. The place among those of its type stands in a chunk that may be half full.
pub(crate) const EVENT_SIZE: usize = size_of::<Event>() + ALLOCATION_SIZE + 2 * size_of::<u64>();
/// What a trace takes beside itself, its texts and its body: its places by id and below its parent, and allocations.
const TRACE_PLACES_SIZE: usize = 160;
/// What a trace takes beside its texts and its body.
const TRACE_SIZE: usize = size_of::<Trace>() + ALLOCATION_SIZE + TRACE_PLACES_SIZE;
/// What an erasure takes, with a name and a reason of the usual length.
const ERASURE_SIZE: usize = 256;
/// What a remembered write takes.
const RECEIPT_SIZE: usize = 190;

impl RunState {
    /// About how many bytes of memory the run takes, with what it keeps for snapshots; a fork without what it shares. It counts
    /// in constant time.
    pub fn memory(&self) -> usize {
        let erasures = self.erasures().len() * ERASURE_SIZE;
        RUN_SIZE + self.content().memory() + self.kept_size() + self.receipt_count() * RECEIPT_SIZE + erasures
    }

    /// The same without the events and traces that these mutations remove, but for those that a fork shares.
    pub fn memory_without_removed(&self, mutations: &[Mutation]) -> usize {
        let Content { events, traces, fork, .. } = self.content();
        let is_own = |version| fork.as_ref().is_none_or(|fork| fork.is_own(version));
        // They stand at the end. Entries that are not there are added by the same commit.
        let removed = mutations.iter().rev().map_while(|mutation| match mutation {
            Mutation::EventTrim { before } => {
                let removed = (events.first()..*before).map_while(|sequence| events.get(sequence));
                let own = removed.filter(|event| is_own(event.stamp.version));
                Some(own.map(Event::memory).sum::<usize>())
            }
            Mutation::TraceTrim { before } => {
                let removed = (traces.first()..*before).map_while(|place| traces.get(place));
                let own = removed.filter(|trace| is_own(trace.stamp.version));
                Some(own.map(Trace::memory).sum::<usize>())
            }
            _ => None,
        });
        self.memory().saturating_sub(removed.sum())
    }

    /// About how many bytes of slots it has copied to change them, of what it shared with forks and pictures; what matters is by
    /// how much it grows.
    pub fn copied_ever(&self) -> usize {
        let Content { kv, cells, documents, .. } = self.content();
        kv.copied_ever() + cells.copied_ever() + documents.copied_ever()
    }

    /// How many bytes of large values it does not have in memory; a fork with those it shares. It counts in constant time.
    pub fn elsewhere(&self) -> usize {
        let Content { kv, cells, events, traces, .. } = self.content();
        kv.elsewhere() + cells.elsewhere() + events.elsewhere() + traces.elsewhere()
    }
}

impl Content {
    pub(crate) fn memory(&self) -> usize {
        let Self { kv, cells, documents, events, traces, fork, .. } = self;
        let Some(fork) = fork else {
            return kv.memory() + cells.memory() + documents.memory() + events.memory() + traces.memory();
        };
        // What it shares is counted where that is. The chunks of traces that it has ended are copied, at most all of them.
        let (now, then) = (self.shared_memory(), fork.shared_memory);
        let copied = kv.copied() + cells.copied() + documents.copied() + events.copied() + traces.copied();
        let shared_traces = fork.trace_count.saturating_sub(traces.first()) as usize;
        let ended = (fork.ended.len() * CHUNK_COUNT_MAX).min(shared_traces) * size_of::<Trace>();
        let keys = now.slots.saturating_sub(then.slots) + fork.own_memory;
        let documents = fork.document_memory.min(now.documents);
        let logs = now.logs.saturating_sub(then.logs) + ended;
        keys + documents + logs + copied + fork.memory()
    }
}

impl EventLog {
    pub(crate) fn memory(&self) -> usize {
        self.len() as usize * EVENT_SIZE + self.size() as usize - self.elsewhere()
    }
}

impl Event {
    /// How much memory it takes, bytes.
    pub(crate) fn memory(&self) -> usize {
        EVENT_SIZE + self.size() as usize - self.payload.elsewhere()
    }
}

impl TraceLog {
    pub(crate) fn memory(&self) -> usize {
        self.len() as usize * TRACE_SIZE + self.size() as usize - self.elsewhere()
    }
}

impl Trace {
    /// How much memory it takes, bytes.
    pub(crate) fn memory(&self) -> usize {
        TRACE_SIZE + self.size() as usize - self.body.elsewhere()
    }
}
