//! What is read of a run where it lies, without an operation that is decided.
use super::RunState;
use crate::encoded::Encoded;
use crate::entry_log::EntryLog;
use crate::event::{Event, EventRef};
use crate::key_kind::{KeyKind, OrderIndex};
use crate::version::{Stamp, Timestamp};

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

    /// Whether that index is there.
    pub fn has_order(&self, index: OrderIndex) -> bool {
        match index {
            OrderIndex::Keys(kind) => self.content.keys(kind).has_order(),
            OrderIndex::Documents => self.content.documents.has_order(),
        }
    }

    /// What is under a key, whether its deadline has passed or not: the value, the commit that last wrote it, and the deadline.
    #[inline]
    pub fn key(&self, kind: KeyKind, key: &str) -> Option<(&Encoded, Stamp, Option<Timestamp>)> {
        self.content.keys(kind).get(key).map(|entry| (&entry.value, entry.stamp, entry.deadline))
    }
}
