//! A run that began as another one was at some version, and what it has changed of that since.
use crate::entry::{Entry, Stored};
use crate::id::RunId;
use crate::json::Document;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::memory::ALLOCATION_SIZE;
use crate::split_map::SplitMap;
use crate::version::Version;

/// The version of a run that another one began as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForkPoint {
    /// The run that was forked.
    pub run: RunId,
    /// Which of its commits the fork began behind.
    pub version: Version,
}

/// Names under which a fork has put something, or taken away what it began with; each with whether it began with something
/// under it.
pub(crate) type Names = SplitMap<Key, bool>;

/// What a fork has changed of what it began with, so that its image is as small as that.
///
/// A name under which it began with something stays here when the change is taken back: what stands under it says whether it is
/// the fork's own.
#[derive(Debug)]
pub(crate) struct ForkChanges {
    pub(crate) point: ForkPoint,
    /// The numbers that no commit has among those of what it began with.
    pub(crate) gaps: Vec<(Version, Version)>,
    pub(crate) kv: Names,
    pub(crate) cells: Names,
    pub(crate) documents: Names,
    /// How many events and traces it began with.
    pub(crate) event_count: u64,
    pub(crate) trace_count: u64,
    /// The places of those of these traces that it has ended.
    pub(crate) ended: Vec<u64>,
    /// About how many bytes of memory took what it shares with the run that it began as.
    pub(crate) shared_memory: Shared,
    /// What its own keys, cells and their values take, beside their slots.
    pub(crate) own_memory: usize,
    /// What its writes to documents took at most: those it put whole, and of others the paths to what was written.
    pub(crate) document_memory: usize,
}

/// How much memory a run took when it was forked, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared {
    pub(crate) slots: usize,
    pub(crate) documents: usize,
    pub(crate) logs: usize,
}

impl ForkChanges {
    /// Whether a commit is the fork's own.
    pub(crate) fn is_own(&self, version: Version) -> bool {
        version > self.point.version
    }

    /// Its logs hold an event or a trace that this commit was the last to write, and that takes so much: they share it with what it
    /// began as unless it is its own.
    pub(crate) fn share(&mut self, written: Version, memory: usize) {
        if !self.is_own(written) {
            self.shared_memory.logs += memory;
        }
    }

    /// They hold it no more.
    pub(crate) fn unshare(&mut self, written: Version, memory: usize) {
        if !self.is_own(written) {
            // What was measured when it began is more exact by a little.
            self.shared_memory.logs = self.shared_memory.logs.saturating_sub(memory);
        }
    }

    /// Takes note of a key that holds `entry` and held `was`.
    pub(crate) fn note_key<V: Stored>(
        &mut self,
        kind: KeyKind,
        key: &Key,
        entry: Option<&Entry<V>>,
        was: Option<&Entry<V>>,
    ) {
        let point = self.point.version;
        let own = |entry: Option<&Entry<V>>| {
            let own = entry.filter(|entry| entry.stamp.version > point);
            own.map_or(0, |own| own.value.memory() + key.len() + ALLOCATION_SIZE)
        };
        self.own_memory = self.own_memory + own(entry) - own(was);
        let began_with = was.is_some_and(|was| was.stamp.version <= point);
        let names = match kind {
            KeyKind::Kv => &mut self.kv,
            KeyKind::Cell => &mut self.cells,
        };
        note(names, key, entry.is_some(), began_with);
    }

    /// Takes note of a document that `is_there` and was `was`.
    pub(crate) fn note_document(&mut self, name: &Key, is_there: bool, was: Option<&Entry<Document>>) {
        let began_with = was.is_some_and(|was| !self.is_own(was.stamp.version));
        note(&mut self.documents, name, is_there, began_with);
    }

    /// What keeping all this takes, about, bytes.
    pub(crate) fn memory(&self) -> usize {
        let names = [&self.kv, &self.cells, &self.documents];
        let names: usize = names.map(|names| names.allocated() + names.len() * ALLOCATION_SIZE).iter().sum();
        names + self.ended.capacity() * size_of::<u64>()
    }
}

fn note(names: &mut Names, name: &Key, is_there: bool, began_with: bool) {
    match names.get(&**name) {
        // It came and went in the fork alone.
        Some(false) if !is_there => drop(names.remove(&**name)),
        Some(_) => {}
        None if !is_there && !began_with => {}
        None => drop(names.insert(name.alone(), began_with)),
    }
}
