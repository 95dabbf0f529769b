//! Where a run is seen without a message, and what can be looked at there.

use std::sync::Arc;

use strata_primitives::{
    Error, EventRef, FindKey, KeyKind, KeyRange, KeyRef, Limits, Operation, Outcome, RunState, Timestamp,
    Versioned,
};

use crate::picture::{Pin, answer};
use crate::reader::Reader;

/// Where a run is seen without a message.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// In what its shard has published for this reader, as far as that is still so.
    Published(&'a Reader),
    /// In a picture that somebody keeps, who judges deadlines at this time: all of that is known.
    Kept(&'a Arc<Pin>, Timestamp),
}

/// A run as it is seen.
pub(crate) struct Seen<'a> {
    pub(crate) state: &'a RunState,
    pub(crate) pin: &'a Arc<Pin>,
    /// When deadlines are judged. Who judges none does not look at the clock.
    pub(crate) now: &'a dyn Fn() -> Timestamp,
}

impl Seen<'_> {
    /// Answers a read.
    ///
    /// # Panics
    /// If it is a write.
    pub(crate) fn answer(&self, operation: Operation, limits: &Limits) -> Result<Outcome, Error> {
        answer(self.state, self.pin.boot(), operation, (self.now)(), limits)
    }

    /// Hands `found` what is under a key and has not expired.
    #[inline]
    pub(crate) fn find(&self, kind: KeyKind, name: &str, found: &mut FindKey<'_>) {
        let entry = self.state.key(kind, name);
        let is_live =
            entry.is_some_and(|(_, _, deadline)| deadline.is_none_or(|deadline| deadline > (self.now)()));
        found(entry.filter(|_| is_live).map(|(value, stamp, _)| (value, stamp)));
    }

    /// Hands the newest events to `visit`, newest first.
    pub(crate) fn visit_newest(&self, limit: usize, visit: &mut dyn FnMut(EventRef<'_>)) -> Versioned<u64> {
        self.visit_all(self.state.events_from_newest().take(limit), visit)
    }

    /// Hands the keys of a range with their values to `visit`, in order.
    pub(crate) fn visit_range(
        &self,
        range: &KeyRange<'_>,
        limit: usize,
        visit: &mut dyn FnMut(KeyRef<'_>),
    ) -> Versioned<u64> {
        let keys = self.state.keys_in_order(KeyKind::Kv, range, (self.now)()).take(limit);
        let visited = self.visit_all(keys, visit);
        self.state.note_walked(KeyKind::Kv, visited.value as usize);
        visited
    }

    /// Hands all of them over, and tells how many.
    fn visit_all<T>(&self, all: impl Iterator<Item = T>, visit: &mut dyn FnMut(T)) -> Versioned<u64> {
        let (mut count, stamp) = (0, self.pin.stamp());
        all.for_each(|one| {
            visit(one);
            count += 1;
        });
        Versioned { value: count, version: stamp.version, timestamp: stamp.timestamp }
    }
}
