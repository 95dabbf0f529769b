//! Things found by a key: a hash map for points, an ordered index for walks, a queue of deadlines.
//!
//! Keys and values, state cells and documents are each one such map.
use crate::encoded::Encoded;
use crate::json::Document;
use crate::key::Key;
use crate::key_range::KeyRange;
use crate::memory::{ALLOCATION_SIZE, DEADLINE_SIZE, NODE_SIZE, ORDER_SIZE};
use crate::operation::Direction;
use crate::split_map::SplitMap;
use crate::version::{Stamp, Timestamp, Version};
use imbl::OrdSet;
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
        Document::size(self) + self.node_count() * NODE_SIZE
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
    fn memory(&self) -> usize {
        let rare = self.rare.as_ref().map_or(0, |_| size_of::<Rare>() + ALLOCATION_SIZE);
        self.value.memory() + rare
    }
}

/// An entry where it stands in the map, found by its key.
#[derive(Debug, Clone)]
struct Slot<V: Stored> {
    beside: V::Key,
    entry: Entry<V>,
}

impl<V: Stored> Slot<V> {
    fn key(&self) -> &Key {
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

/// What a key takes that lies alone.
fn alone_size(key: &Key) -> usize {
    key.len() + ALLOCATION_SIZE
}

/// Whether something with this deadline is gone at `now`.
pub(crate) fn is_expired(deadline: Option<Timestamp>, now: Timestamp) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

/// Keys and what they hold. The order exists from the first walk on; runs that are never walked pay nothing for it. A clone
/// shares everything until either is changed.
#[derive(Debug, Clone)]
pub(crate) struct KeyMap<V: Stored> {
    entries: SplitMap<Slot<V>, ()>,
    order: Option<OrdSet<Key>>,
    deadlines: OrdSet<(Timestamp, Key)>,
    size: usize,
    /// What keys and values take beside their slots.
    memory: usize,
    /// What the keys take that stand alone in the order and with deadlines.
    alone: usize,
    /// What values do not take because it is elsewhere.
    elsewhere: usize,
}

impl<V: Stored> KeyMap<V> {
    pub(crate) fn new(hash_seed: usize) -> Self {
        let (entries, deadlines) = (SplitMap::new(hash_seed), OrdSet::new());
        Self { entries, order: None, deadlines, size: 0, memory: 0, alone: 0, elsewhere: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What keys and values take together, bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How many bytes of values are elsewhere.
    pub(crate) fn elsewhere(&self) -> usize {
        self.elsewhere
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn memory(&self) -> usize {
        self.slot_memory() + self.memory
    }

    /// The same without keys and values themselves.
    pub(crate) fn slot_memory(&self) -> usize {
        let order = self.order.as_ref().map_or(0, OrdSet::len);
        self.entries.allocated() + order * ORDER_SIZE + self.deadlines.len() * DEADLINE_SIZE + self.alone
    }

    /// About how many bytes of slots a clone has of its own, because it changed what it shared.
    pub(crate) fn copied(&self) -> usize {
        self.entries.copied()
    }

    /// The same with those that it has copied again, because they were shared again.
    pub(crate) fn copied_ever(&self) -> usize {
        self.entries.copied_ever()
    }

    /// How many keys are there for a reader at `now`.
    pub(crate) fn live_count(&self, now: Timestamp) -> usize {
        self.len() - self.expired(now).count()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry<V>> {
        self.entries.entry(key).map(|(slot, ())| &slot.entry)
    }

    /// Sets a key and returns what it held. A value that does not lie in one allocation with its key is copied there.
    pub(crate) fn put(&mut self, key: &Key, entry: Entry<V>) -> Option<Entry<V>> {
        let deadline = entry.deadline();
        let (beside, value) = entry.value.under(key);
        let entry = Entry { value, ..entry };
        self.size += entry.value.size();
        self.memory += entry.memory();
        self.elsewhere += entry.value.elsewhere();
        let replaced = self.entries.replace(Slot { beside, entry }, ()).map(|(slot, ())| slot.entry);
        match &replaced {
            Some(replaced) => {
                self.size -= replaced.value.size();
                self.memory -= replaced.memory();
                self.elsewhere -= replaced.value.elsewhere();
            }
            None => {
                self.size += key.len();
                self.memory += key.len() + ALLOCATION_SIZE;
                if let Some(order) = &mut self.order {
                    order.insert(key.alone());
                    self.alone += alone_size(key);
                }
            }
        }
        let earlier = replaced.as_ref().and_then(Entry::deadline);
        if earlier != deadline {
            self.move_deadline(key, earlier, deadline);
        }
        replaced
    }

    /// Removes a key and returns what it held.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Entry<V>> {
        let (Slot { entry: removed, .. }, ()) = self.entries.remove_entry(&**key)?;
        self.size -= key.len() + removed.value.size();
        self.memory -= key.len() + ALLOCATION_SIZE + removed.memory();
        self.elsewhere -= removed.value.elsewhere();
        if let Some(order) = &mut self.order {
            order.remove(key);
            self.alone -= alone_size(key);
        }
        if removed.deadline().is_some() {
            self.move_deadline(key, removed.deadline(), None);
        }
        Some(removed)
    }

    /// How many parts the map has.
    pub(crate) fn part_count(&self) -> usize {
        self.entries.part_count()
    }

    /// The keys of one part, as it was when there were `count` of them.
    pub(crate) fn part(&self, part: usize, count: usize) -> impl Iterator<Item = &Key> + use<'_, V> {
        self.entries.part(part, count).map(|(slot, ())| slot.key())
    }

    /// Builds the ordered index if there is none.
    pub(crate) fn ensure_order(&mut self) {
        if self.order.is_none() {
            self.alone += self.entries.keys().map(|slot| alone_size(slot.key())).sum::<usize>();
            self.order = Some(self.entries.keys().map(|slot| slot.key().alone()).collect());
        }
    }

    /// Whether the ordered index is there.
    pub(crate) fn has_order(&self) -> bool {
        self.order.is_some()
    }

    /// The first deadline of all.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.get_min().map(|(deadline, _)| *deadline)
    }

    /// The keys whose deadline is not after `now`, first deadline first.
    pub(crate) fn expired(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.deadlines.iter().take_while(move |(deadline, _)| *deadline <= now).map(|(_, key)| key)
    }

    /// The keys whose deadline lies behind `after` and not behind `now`.
    pub(crate) fn expired_between(&self, after: Timestamp, now: Timestamp) -> impl Iterator<Item = &Key> {
        // The empty text sorts before every key, so the whole of `after` is left out and the whole of `now` taken in.
        let first = (Timestamp(after.0.saturating_add(1)), Key::from(""));
        let behind = (Timestamp(now.0.saturating_add(1)), Key::from(""));
        let keys = (first < behind).then(|| self.deadlines.range(first..behind));
        keys.into_iter().flatten().map(|(_, key)| key)
    }

    /// The keys inside `range` in its direction; without the ordered index they are sorted for this walk alone.
    pub(crate) fn walk<'a>(&'a self, range: &KeyRange<'_>) -> Box<dyn Iterator<Item = &'a Key> + 'a> {
        let Some(bounds) = range.bounds() else { return Box::new(std::iter::empty()) };
        let Some(order) = &self.order else {
            let mut keys: Vec<_> =
                self.entries.keys().map(Slot::key).filter(|key| range.contains(key)).collect();
            keys.sort_unstable();
            if range.direction == Direction::Reverse {
                keys.reverse();
            }
            return Box::new(keys.into_iter());
        };
        match range.direction {
            Direction::Forward => Box::new(order.range::<_, str>(bounds.as_refs())),
            Direction::Reverse => Box::new(order.range::<_, str>(bounds.as_refs()).rev()),
        }
    }

    /// Calls `visit` with every key under which the two may hold something else, and with what they hold; what they share is not
    /// looked at.
    pub(crate) fn pairs<'a>(
        &'a self,
        other: &'a Self,
        mut visit: impl FnMut(&'a Key, Option<&'a Entry<V>>, Option<&'a Entry<V>>),
    ) {
        let slot = |entry: Option<&'a (Slot<V>, ())>| entry.map(|(slot, ())| slot);
        self.entries.pairs(&other.entries, |own, other| {
            let (own, other) = (slot(own), slot(other));
            let key = own.or(other).expect("a key of either is visited").key();
            visit(key, own.map(|slot| &slot.entry), other.map(|slot| &slot.entry));
        });
    }

    /// Whether two maps hold the same, and their indexes agree with what they hold.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_ordered = |map: &Self| {
            map.order.as_ref().is_none_or(|order| {
                order.len() == map.len() && order.iter().all(|key| map.get(key).is_some())
            })
        };
        self.len() == other.len()
            && self.entries.keys().all(|slot| other.get(slot.key()) == Some(&slot.entry))
            && self.size == other.size
            && self.deadlines == other.deadlines
            && is_ordered(self)
            && is_ordered(other)
    }

    fn move_deadline(&mut self, key: &Key, from: Option<Timestamp>, to: Option<Timestamp>) {
        if let Some(from) = from {
            self.deadlines.remove(&(from, key.clone()));
            self.alone -= alone_size(key);
        }
        if let Some(to) = to {
            self.deadlines.insert((to, key.alone()));
            self.alone += alone_size(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    impl Stored for u64 {
        fn size(&self) -> usize {
            8
        }

        fn memory(&self) -> usize {
            8
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

    fn entry(version: u64, deadline: Option<u64>) -> Entry<u64> {
        let stamp = Stamp { version: Version(version), timestamp: Timestamp(version) };
        Entry::new(version, stamp, deadline.map(Timestamp))
    }

    fn map(keys: &[&str]) -> KeyMap<u64> {
        let mut map = KeyMap::new(7);
        for key in keys {
            map.put(&Key::from(*key), entry(1, None));
        }
        map
    }

    fn walk(map: &KeyMap<u64>, prefix: &str, start_after: Option<&str>, direction: Direction) -> Vec<String> {
        map.walk(&KeyRange { prefix, start_after, direction }).map(|key| key.to_string()).collect()
    }

    #[test]
    fn a_later_put_replaces_an_earlier_one() {
        let mut map = map(&[]);
        let key = Key::from("plan");
        assert_eq!(map.put(&key, entry(1, None)), None);
        assert_eq!(map.put(&key, entry(2, None)), Some(entry(1, None)));
        assert_eq!((map.get("plan"), map.len(), map.size()), (Some(&entry(2, None)), 1, 12));
        assert_eq!(map.remove(&key), Some(entry(2, None)));
        assert_eq!((map.remove(&key), map.len(), map.size()), (None, 0, 0));
    }

    #[test]
    fn deadlines_follow_their_keys() {
        let mut map = map(&[]);
        let (a, b): (Key, Key) = ("a".into(), "b".into());
        map.put(&a, entry(1, Some(30)));
        map.put(&b, entry(1, Some(20)));
        assert_eq!(map.next_deadline(), Some(Timestamp(20)));
        let expired: Vec<_> = map.expired(Timestamp(30)).map(|key| &**key).collect();
        assert_eq!(expired, ["b", "a"]);
        map.put(&b, entry(2, None));
        assert_eq!(map.next_deadline(), Some(Timestamp(30)), "a put without deadline clears it");
        assert_eq!(map.expired(Timestamp(29)).count(), 0);
        map.remove(&a);
        assert_eq!(map.next_deadline(), None);
        assert!(is_expired(Some(Timestamp(5)), Timestamp(5)) && !is_expired(None, Timestamp(5)));
    }

    #[test]
    fn a_walk_is_the_same_with_and_without_the_ordered_index() {
        let keys = ["a", "a/1", "a/2", "a/3", "a0", "b", "\u{d7ff}", "\u{e000}", "\u{10ffff}", "\u{10ffff}x"];
        let plain = map(&keys);
        let mut ordered = map(&keys[..4]);
        ordered.ensure_order();
        for key in &keys[4..] {
            ordered.put(&Key::from(*key), entry(1, None));
        }
        ordered.put(&Key::from("gone"), entry(1, None));
        ordered.remove(&Key::from("gone"));
        assert!(plain.is_same(&ordered));
        for prefix in ["", "a", "a/", "c", "\u{d7ff}", "\u{10ffff}"] {
            for start in [None, Some(""), Some("a"), Some("a/2"), Some("a/9"), Some("b"), Some("\u{10ffff}z")]
            {
                for direction in [Direction::Forward, Direction::Reverse] {
                    let range = KeyRange { prefix, start_after: start, direction };
                    let mut expected: Vec<_> =
                        keys.iter().copied().filter(|key| range.contains(key)).collect();
                    expected.sort();
                    if direction == Direction::Reverse {
                        expected.reverse();
                    }
                    assert_eq!(walk(&plain, prefix, start, direction), *expected, "{range:?}");
                    assert_eq!(walk(&ordered, prefix, start, direction), *expected, "{range:?}");
                }
            }
        }
    }

    #[test]
    fn maps_that_hold_different_things_are_not_the_same() {
        assert!(!map(&["a"]).is_same(&map(&["b"])));
        assert!(map(&["a"]).is_same(&map(&["a"])));
    }
}
