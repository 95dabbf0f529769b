//! What is read of a run where it lies, without an operation that is decided.
use super::RunState;
use crate::encoded::Encoded;
use crate::entry_log::EntryLog;
use crate::event::{Event, EventRef};
use crate::key_kind::{KeyKind, OrderIndex};
use crate::key_range::KeyRange;
use crate::version::{Stamp, Timestamp};

/// A key of a run with what it holds, where both lie.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    /// The key.
    pub key: &'a str,
    /// Its value. Of a [string](Encoded::as_str) and of [bytes](Encoded::as_binary) the content is in it as it is.
    pub value: &'a Encoded,
    /// The commit that last wrote it.
    pub stamp: Stamp,
}

impl RunState {
    /// Its events where they lie, newest first.
    pub fn events_from_newest(&self) -> impl Iterator<Item = EventRef<'_>> {
        let events = &self.content.events;
        let sequences = (events.first()..events.end()).rev();
        sequences.zip(events.iter().rev()).map(|(sequence, event)| {
            let Event { kind, payload, stamp, hash, .. } = event;
            EventRef { sequence, kind, payload, stamp: *stamp, hash }
        })
    }

    /// Called before a walk by who may only look at it: sorts the names for all who do, once walks have passed as many as that takes.
    /// The others wait meanwhile.
    pub fn ensure_sorted(&self, index: OrderIndex) {
        match index {
            OrderIndex::Keys(kind) => self.content.keys(kind).ensure_sorted(),
            OrderIndex::Documents => self.content.documents.ensure_sorted(),
        }
    }

    /// Notes that such a walk over keys has passed so many.
    pub fn note_walked(&self, kind: KeyKind, count: usize) {
        self.content.keys(kind).note_walked(count);
    }

    /// About how many bytes of memory sorted names take.
    pub fn sorted_memory(&self) -> usize {
        let keys = [KeyKind::Kv, KeyKind::Cell].map(|kind| self.content.keys(kind).sorted_memory());
        keys.iter().sum::<usize>() + self.content.documents.sorted_memory()
    }

    /// Whether names are in order, as one of these leaves them.
    pub fn has_order(&self, index: OrderIndex) -> bool {
        match index {
            OrderIndex::Keys(kind) => self.content.keys(kind).has_order(),
            OrderIndex::Documents => self.content.documents.has_order(),
        }
    }

    /// What is under a key, whether its deadline has passed or not: the value, the commit that last wrote it, and the deadline.
    #[inline]
    pub fn key(&self, kind: KeyKind, key: &str) -> Option<(&Encoded, Stamp, Option<Timestamp>)> {
        self.content.keys(kind).get(key).map(|entry| (&entry.value, entry.stamp, entry.deadline()))
    }

    /// The keys of a range that have not expired at `now`, in its order, where they lie.
    pub fn keys_in_order(
        &self,
        kind: KeyKind,
        range: &KeyRange<'_>,
        now: Timestamp,
    ) -> impl Iterator<Item = KeyRef<'_>> {
        let live = self.view().keys(kind).walk(range).filter(move |(_, entry)| entry.is_live(now));
        live.map(|(key, entry)| KeyRef { key, value: &entry.value, stamp: entry.stamp })
    }
}
