//! Keys in their order: as a set that follows a map which changes, or sorted once for one that does not.
use crate::entry::{Entry, Slot, Stored};
use crate::key::Key;
use crate::key_range::KeyBounds;
use crate::memory::{ALLOCATION_SIZE, ORDER_SIZE};
use crate::split_map::{Place, SplitMap};
use imbl::OrdSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a key takes that lies alone.
pub(crate) fn alone_size(key: &Key) -> usize {
    key.len() + ALLOCATION_SIZE
}

/// Every key of a map, added to it and removed with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    keys: OrdSet<Key>,
    /// What they take, each standing alone.
    alone: usize,
}

impl Order {
    pub(crate) fn insert(&mut self, key: &Key) {
        self.keys.insert(key.alone());
        self.alone += alone_size(key);
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        self.keys.remove(key);
        self.alone -= alone_size(key);
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn memory(&self) -> usize {
        self.keys.len() * ORDER_SIZE + self.alone
    }

    /// The keys between two bounds, ascending.
    pub(crate) fn range<'a>(
        &'a self,
        bounds: &KeyBounds,
    ) -> impl DoubleEndedIterator<Item = &'a Key> + use<'a> {
        self.keys.range::<_, str>(bounds.as_refs())
    }

    /// Every key, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

/// Where every key of a map lies, in their order. It holds as long as the map has the same keys: what is under them may change.
///
/// One list instead of a set: it is dropped at once, takes 8 bytes a key, and leads to what is under a key without looking for that.
#[derive(Debug, Clone)]
pub(crate) struct Sorted(Arc<[Place]>);

impl Sorted {
    /// Sorts the keys of a map.
    pub(crate) fn of<V: Stored>(map: &SplitMap<Slot<V>, ()>) -> Self {
        let mut slots: Vec<_> = map.places().map(|(place, (slot, ()))| (slot.key(), place)).collect();
        slots.sort_unstable_by_key(|(key, _)| *key);
        Self(slots.into_iter().map(|(_, place)| place).collect())
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// The keys between two bounds with what is under them, ascending, of the map that it was made of.
    pub(crate) fn range<'a, V: Stored>(
        &'a self,
        map: &'a SplitMap<Slot<V>, ()>,
        bounds: &KeyBounds,
    ) -> impl DoubleEndedIterator<Item = (&'a Key, &'a Entry<V>)> + use<'a, V> {
        let key = |place: &Place| &**map.at(*place).0.key();
        let (lower, upper) = bounds.as_refs();
        let first = match lower {
            Bound::Included(lower) => self.0.partition_point(|place| key(place) < lower),
            Bound::Excluded(lower) => self.0.partition_point(|place| key(place) <= lower),
            Bound::Unbounded => 0,
        };
        let end = match upper {
            Bound::Included(upper) => self.0.partition_point(|place| key(place) <= upper),
            Bound::Excluded(upper) => self.0.partition_point(|place| key(place) < upper),
            Bound::Unbounded => self.0.len(),
        };
        let places = self.0.get(first..end).unwrap_or_default();
        places.iter().map(|place| {
            let (slot, ()) = map.at(*place);
            (slot.key(), &slot.entry)
        })
    }
}

/// How many keys were passed by walks that would have been shorter with the keys [`Sorted`]. A clone has been walked by nobody.
#[derive(Debug, Default)]
pub(crate) struct Walked(AtomicUsize);

impl Walked {
    pub(crate) fn note(&self, count: usize) {
        // Relaxed: a hint.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clone for Walked {
    fn clone(&self) -> Self {
        Self::default()
    }
}
