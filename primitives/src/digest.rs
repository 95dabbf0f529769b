//! A number for all that a run remembers: two states with the same one are the same.
//!
//! The digest of a state is BLAKE3 (32 bytes, no key) over bytes that are drawn here. All numbers are little-endian; *stamp* is u64
//! version, u64 time; a text or a value is u32 size and its bytes. What is named in italics has the bytes that it has elsewhere: a
//! *value* is its canonical encoding, a *tree* is drawn at the top of `json/tree.rs`, a *trace* at `Trace::encode`, a *meta* is the
//! whole description of an image, an *erasure* what `Erasure::encode` appends.
//!
//! ```text
//! content  "STRATADC", u8 1
//!          u64 count of keys, each:       stamp, u64 written, u64 deadline (0 none), text key, value
//!          u64 count of cells, each:      the same
//!          u64 count of documents, each:  stamp, text name, tree
//!          u64 first event, u64 count of all events ever, [32] hash in front of the first, u64 from, u64 through;
//!                                         of each that is there: stamp, u8 erased, [32] hash
//!          u64 first trace, u64 count of all traces ever, u64 from, u64 through,
//!                                         u64 count of kinds of which some were removed, each: u64 how many, text kind;
//!                                         of each that is there: stamp, stamp of its creation, trace
//! state    "STRATADS", u8 1, [16] run, stamp of the run, u64 version of the description,
//!          u8 0, or u8 1 and meta with a boot of 0
//!          u64 count of erasures, each:   erasure
//!          [32] digest of the content
//! ```
//! Keys, cells and documents stand in the order of their names, byte by byte. `written` is the commit that wrote the value, and the
//! stamp is that of the last one, which may have moved the deadline alone. Those that have expired and are not cleaned away are part of
//! the state. `from` and `through` are the commits that appended the first and the last of the events that were removed, and of traces that wrote them. The payload
//! of an event is not read: its hash, which goes on from the one before, covers it, the type and the time, and whether that is so is
//! another question (`EventVerifyChain`). Traces are numbered from 0, and the first that is there is the one after those that were removed.
//!
//! It is the same however the state came about and wherever it is: live, recovered, loaded from an image, replayed, shared, at a
//! snapshot or as it is, and whatever the hash seed and the order of maps. What does not enter is what a state has beside what it
//! remembers: the boot in which the run was last begun, answers that are kept for operation ids, what is kept for snapshots, indexes, and where values are.
//!
//! An erasure takes a payload away, so the digest of a state that showed it is another one since, also of an old version: no
//! digest from before an erasure is met again. A fork has another state than the run it was forked from, since it is another run at a
//! commit of its own; its content is the same until either writes. So it is with a run that was imported, whose description says so.
use crate::codec::{self, put_option, size_u32};
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::entry::{Entry, Stored};
use crate::entry_log::EntryLog;
use crate::error::Error;
use crate::event_log::{Anchor, EventLog};
use crate::json::Document;
use crate::key_map::KeyMap;
use crate::key_range::KeyRange;
use crate::run_meta::RunMeta;
use crate::run_state::RunState;
use crate::trace::Trace;
use crate::trace_log::{RemovedTraces, TraceLog};
use crate::unread::LARGE_VALUE_SIZE;
use crate::width::Width;
use std::fmt;

const CONTENT: &[u8; 8] = b"STRATADC";
const STATE: &[u8; 8] = b"STRATADS";
const FORM: u8 = 1;

/// What a state comes to, as two numbers of 32 bytes.
///
/// ```
/// use strata_primitives::{Encoded, Mutation, RunId, RunState, Stamp, Timestamp, Version};
///
/// let mut run = RunState::new(RunId::from_bytes([7; 16]), 1);
/// let (before, shared) = (run.digest().unwrap(), run.share());
/// let stamp = Stamp { version: Version(1), timestamp: Timestamp(1_000) };
/// let (value, previous) = (Encoded::from_int(5), Version::NEVER);
/// let _ = run.apply(Mutation::CellSet { name: "step".into(), value, deadline: None, previous }, stamp);
/// run.commit(stamp);
/// assert_ne!(run.digest().unwrap(), before);
/// assert_eq!(shared.digest().unwrap(), before);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    /// All that the run remembers, and which run it is: its id, its newest commit, its description, and what was erased in it.
    pub state: [u8; 32],
    /// Keys, cells, documents, events and traces alone, with the commits that wrote them.
    pub content: [u8; 32],
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        write!(formatter, "Digest {{ state: {}, content: {} }}", hex(&self.state), hex(&self.content))
    }
}

impl RunState {
    /// What the state comes to. It takes as long as reading all of it; of values that are on disk one is in memory at a time.
    ///
    /// # Errors
    /// Those of reading a value, which is named: `Corrupt` with file and offset, `Io`.
    pub fn digest(&self) -> Result<Digest, Error> {
        let content = self.content_digest()?;
        let mut out = Hashed::new(STATE);
        out.put(self.id().as_bytes());
        out.put_with(|bytes| {
            self.view().stamp().encode(bytes);
            codec::put_u64(bytes, self.content().meta_version.0);
            let meta = self.meta().map(|meta| RunMeta { begun_in_boot: 0, ..meta.clone() });
            put_option(bytes, meta, |bytes, meta| meta.encode_whole(Width::Fixed, bytes));
        });
        out.put_count(self.erasures().len());
        self.erasures().iter().for_each(|erasure| out.put_with(|bytes| erasure.encode(bytes)));
        out.put(&content);
        Ok(Digest { state: out.finish(), content })
    }

    fn content_digest(&self) -> Result<[u8; 32], Error> {
        let (content, run) = (self.content(), self.id());
        let mut out = Hashed::new(CONTENT);
        out.put_keys(&content.kv, |key| EntityRef::kv(run, key))?;
        out.put_keys(&content.cells, |name| EntityRef::cell(run, name))?;
        out.put_documents(&content.documents);
        out.put_events(&content.events);
        out.put_traces(&content.traces, self)?;
        Ok(out.finish())
    }
}

/// Bytes on their way into a hash.
struct Hashed {
    hasher: blake3::Hasher,
    /// Small pieces are gathered, since a hash of many bytes at once is faster.
    bytes: Vec<u8>,
}

const GATHERED_SIZE: usize = 64 << 10;

impl Hashed {
    fn new(what: &[u8; 8]) -> Self {
        let mut hashed = Self { hasher: blake3::Hasher::new(), bytes: Vec::new() };
        hashed.put(what);
        hashed.put(&[FORM]);
        hashed
    }

    fn put(&mut self, bytes: &[u8]) {
        self.put_with(|gathered| gathered.extend_from_slice(bytes));
    }

    fn put_with(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        put(&mut self.bytes);
        if self.bytes.len() >= GATHERED_SIZE {
            self.hasher.update(&self.bytes);
            self.bytes.clear();
        }
    }

    fn put_count(&mut self, count: usize) {
        self.put(&(count as u64).to_le_bytes());
    }

    /// A value, which is read if it is on disk.
    fn put_value(&mut self, value: &Encoded) -> Result<(), Error> {
        let value = value.read()?;
        self.put(&size_u32(value.len()).to_le_bytes());
        if value.len() < LARGE_VALUE_SIZE {
            self.put(value.as_bytes());
        } else {
            self.hasher.update(&self.bytes).update(value.as_bytes());
            self.bytes.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> [u8; 32] {
        *self.hasher.update(&self.bytes).finalize().as_bytes()
    }

    fn put_keys(&mut self, keys: &KeyMap<Encoded>, entity: impl Fn(&str) -> EntityRef) -> Result<(), Error> {
        self.put_sorted(keys, |out, key, entry| {
            out.put_with(|bytes| {
                entry.stamp.encode(bytes);
                codec::put_u64(bytes, entry.written().0);
                codec::put_u64(bytes, entry.deadline().map_or(0, |deadline| deadline.0));
                codec::put_str(bytes, key);
            });
            out.put_value(&entry.value).map_err(|error| error.with_entity(entity(key)))
        })
    }

    fn put_documents(&mut self, documents: &KeyMap<Document>) {
        let put = self.put_sorted(documents, |out, name, entry| {
            out.put_with(|bytes| {
                entry.stamp.encode(bytes);
                codec::put_str(bytes, name);
                entry.value.encode_tree(bytes);
            });
            Ok(())
        });
        put.expect("documents are in memory");
    }

    /// What stands under each name, in their order.
    fn put_sorted<V: Stored>(
        &mut self,
        map: &KeyMap<V>,
        mut put: impl FnMut(&mut Self, &str, &Entry<V>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.put_count(map.len());
        for (key, entry) in map.walk(&KeyRange::prefix("")) {
            put(self, key, entry)?;
        }
        Ok(())
    }

    fn put_events(&mut self, events: &EventLog) {
        let Anchor { hash, from, through } = events.anchor();
        self.put_with(|bytes| {
            codec::put_u64(bytes, events.first());
            codec::put_u64(bytes, events.end());
            bytes.extend_from_slice(hash);
            codec::put_u64(bytes, from.0);
            codec::put_u64(bytes, through.0);
        });
        for event in events.iter() {
            self.put_with(|bytes| {
                event.stamp.encode(bytes);
                codec::put_u8(bytes, event.is_erased().into());
                bytes.extend_from_slice(&event.hash);
            });
        }
    }

    fn put_traces(&mut self, traces: &TraceLog, run: &RunState) -> Result<(), Error> {
        let places = traces.places();
        self.put_with(|bytes| {
            let RemovedTraces { from, through } = *traces.removed();
            let mut kinds: Vec<_> = traces.removed_kinds().collect();
            kinds.sort_unstable();
            for number in [places.start, places.end, from.0, through.0, kinds.len() as u64] {
                codec::put_u64(bytes, number);
            }
            for (kind, count) in kinds {
                codec::put_u64(bytes, count);
                codec::put_str(bytes, kind);
            }
        });
        for place in places {
            let trace = traces.get(place).expect("there is a trace at each of its places");
            let body = trace.body.read();
            let body = body.map_err(|error| error.with_entity(EntityRef::trace(run.id(), trace.id)))?;
            self.put_with(|bytes| {
                trace.stamp.encode(bytes);
                trace.recorded.encode(bytes);
                Trace { body, ..trace.clone() }.encode(bytes);
            });
        }
        Ok(())
    }
}
