//! What stands under a key, and how it stands in the map.
use crate::encoded::Encoded;
use crate::json::Document;
use crate::key::Key;
use crate::memory::ALLOCATION_SIZE;
use crate::version::{Stamp, Timestamp, Version};
use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    /// The commit that last wrote it.
    pub(crate) stamp: Stamp,
    /// What few entries have is not in the slots of all.
    rare: Option<Box<Rare>>,
}

// A byte more in it is a byte more of memory for every key there is.
const _: () = assert!(size_of::<Slot<Encoded>>() == 40);

/// What is there for an entry with a deadline, or whose deadline was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rare {
    deadline: Option<Timestamp>,
    written: Version,
}

impl<V> Entry<V> {
    /// A value that is written by this commit.
    pub(crate) fn new(value: V, stamp: Stamp, deadline: Option<Timestamp>) -> Self {
        Self::kept(value, stamp, deadline, stamp.version)
    }

    /// A value that an earlier commit wrote, of which this one has only moved the deadline.
    pub(crate) fn kept(value: V, stamp: Stamp, deadline: Option<Timestamp>, written: Version) -> Self {
        let is_plain = deadline.is_none() && written == stamp.version;
        let rare = if is_plain { None } else { Some(Box::new(Rare { deadline, written })) };
        Self { value, stamp, rare }
    }

    /// The same with another value in its place.
    pub(crate) fn with_value(&self, value: V) -> Self {
        Self { value, stamp: self.stamp, rare: self.rare.clone() }
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.rare.as_ref()?.deadline
    }

    /// The commit that wrote the value: an earlier one where the last has only moved the deadline.
    pub(crate) fn written(&self) -> Version {
        self.rare.as_ref().map_or(self.stamp.version, |rare| rare.written)
    }

    /// Whether it is there for a reader at `now`.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        !is_expired(self.deadline(), now)
    }
}

/// What can stand under a key.
pub(crate) trait Stored: PartialEq + Clone + fmt::Debug {
    /// What it takes, bytes.
    fn size(&self) -> usize;

    /// About how many bytes of memory it takes beside the place it stands in, and its key.
    fn memory(&self) -> usize;

    /// The key that is beside it, where it has none in itself.
    type Key: Clone + fmt::Debug;

    /// It under a key.
    fn under(self, key: &Key) -> (Self::Key, Self);

    /// The key that it stands under, and that is beside it.
    fn key<'a>(&'a self, beside: &'a Self::Key) -> &'a Key;

    /// How many bytes it does not take because they are elsewhere.
    fn elsewhere(&self) -> usize;
}

impl Stored for Encoded {
    fn size(&self) -> usize {
        self.len()
    }

    fn memory(&self) -> usize {
        self.len() - self.elsewhere()
    }

    type Key = ();

    fn under(self, key: &Key) -> ((), Self) {
        ((), Encoded::under(self, key))
    }

    fn key<'a>(&'a self, (): &'a ()) -> &'a Key {
        Encoded::key(self)
    }

    fn elsewhere(&self) -> usize {
        Encoded::elsewhere(self)
    }
}

impl Stored for Document {
    fn size(&self) -> usize {
        Document::size(self)
    }

    fn memory(&self) -> usize {
        Document::memory(self)
    }

    type Key = Key;

    fn under(self, key: &Key) -> (Key, Self) {
        (key.alone(), self)
    }

    fn key<'a>(&'a self, beside: &'a Key) -> &'a Key {
        beside
    }

    fn elsewhere(&self) -> usize {
        0
    }
}

impl<V: Stored> Entry<V> {
    /// About how many bytes of memory it takes beside its slot.
    pub(crate) fn memory(&self) -> usize {
        let rare = self.rare.as_ref().map_or(0, |_| size_of::<Rare>() + ALLOCATION_SIZE);
        self.value.memory() + rare
    }
}

/// An entry where it stands in the map, found by its key.
#[derive(Debug, Clone)]
pub(crate) struct Slot<V: Stored> {
    pub(crate) beside: V::Key,
    pub(crate) entry: Entry<V>,
}

impl<V: Stored> Slot<V> {
    /// An entry under a key. A value that does not lie in one allocation with it is copied there.
    pub(crate) fn new(key: &Key, entry: Entry<V>) -> Self {
        let (beside, value) = entry.value.under(key);
        Self { beside, entry: Entry { value, ..entry } }
    }

    pub(crate) fn key(&self) -> &Key {
        self.entry.value.key(&self.beside)
    }
}

impl<V: Stored> Borrow<str> for Slot<V> {
    fn borrow(&self) -> &str {
        self.key()
    }
}

/// Two of one key are equal, whatever stands under it.
impl<V: Stored> PartialEq for Slot<V> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<V: Stored> Eq for Slot<V> {}

impl<V: Stored> Hash for Slot<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Whether something with this deadline is gone at `now`.
pub(crate) fn is_expired(deadline: Option<Timestamp>, now: Timestamp) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}
