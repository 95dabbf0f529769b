//! Things found by a key: a hash map for points, an order for walks, a queue of deadlines.
//!
//! Keys and values, state cells and documents are each one such map.
use crate::entry::{Entry, Slot, Stored};
use crate::key::Key;
use crate::key_order::{Order, Sorted, Walked, alone_size};
use crate::key_range::KeyRange;
use crate::memory::{ALLOCATION_SIZE, DEADLINE_SIZE};
use crate::operation::Direction;
use crate::split_map::SplitMap;
use crate::version::Timestamp;
use imbl::OrdSet;
use std::sync::OnceLock;

/// Keys and what they hold. An order exists once it is asked for; runs that are never walked pay nothing for it. A clone
/// shares everything until either is changed.
#[derive(Debug, Clone)]
pub(crate) struct KeyMap<V: Stored> {
    entries: SplitMap<Slot<V>, ()>,
    order: Option<Order>,
    /// The keys as they lie now, sorted by those who may not change the map and walk it much.
    sorted: OnceLock<Sorted>,
    walked: Walked,
    deadlines: OrdSet<(Timestamp, Key)>,
    size: usize,
    /// What keys and values take beside their slots.
    memory: usize,
    /// What the keys take that stand alone with deadlines.
    alone: usize,
    /// What values do not take because it is elsewhere.
    elsewhere: usize,
}

impl<V: Stored> KeyMap<V> {
    pub(crate) fn new(hash_seed: usize) -> Self {
        let (entries, deadlines) = (SplitMap::new(hash_seed), OrdSet::new());
        let (order, sorted, walked) = (None, OnceLock::new(), Walked::default());
        let (size, memory, alone, elsewhere) = (0, 0, 0, 0);
        Self { entries, order, sorted, walked, deadlines, size, memory, alone, elsewhere }
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
        let order = self.order.as_ref().map_or(0, Order::memory);
        self.entries.allocated()
            + order
            + self.sorted_memory()
            + self.deadlines.len() * DEADLINE_SIZE
            + self.alone
    }

    /// What of that its keys take as they were sorted by those who may not change it.
    pub(crate) fn sorted_memory(&self) -> usize {
        self.sorted.get().map_or(0, Sorted::memory)
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
        let slot = Slot::new(key, entry);
        self.size += slot.entry.value.size();
        self.memory += slot.entry.memory();
        self.elsewhere += slot.entry.value.elsewhere();
        let replaced = self.entries.replace(slot, ()).map(|(slot, ())| slot.entry);
        match &replaced {
            Some(replaced) => {
                self.size -= replaced.value.size();
                self.memory -= replaced.memory();
                self.elsewhere -= replaced.value.elsewhere();
            }
            None => {
                self.size += key.len();
                self.memory += key.len() + ALLOCATION_SIZE;
                self.sorted.take();
                if let Some(order) = &mut self.order {
                    order.insert(key);
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
        self.sorted.take();
        if let Some(order) = &mut self.order {
            order.remove(key);
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

    /// Builds the order that follows every change, if there is none.
    pub(crate) fn ensure_order(&mut self) {
        let entries = &self.entries;
        self.order.get_or_insert_with(|| {
            let mut order = Order::default();
            entries.keys().for_each(|slot| order.insert(slot.key()));
            order
        });
    }

    /// Called before a walk by who may not change the map: sorts the keys once walks have passed as many as that takes. A walk without
    /// an order passes all, one in the [order](Self::ensure_order) those that it [notes](Self::note_walked).
    pub(crate) fn ensure_sorted(&self) {
        if self.sorted.get().is_some() {
            return;
        }
        let patience = if self.order.is_some() { 2 * self.len() } else { self.len() };
        if self.walked.count() >= patience {
            self.sorted.get_or_init(|| Sorted::of(&self.entries));
        } else if self.order.is_none() {
            self.walked.note(self.len());
        }
    }

    /// Notes that such a walk has passed so many keys.
    pub(crate) fn note_walked(&self, count: usize) {
        if self.sorted.get().is_none() {
            self.walked.note(count);
        }
    }

    /// Whether the keys are in order.
    pub(crate) fn has_order(&self) -> bool {
        self.order.is_some() || self.sorted.get().is_some()
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

    /// The keys inside `range` with what they hold, in its direction; those of a map without an order are sorted for this walk alone.
    pub(crate) fn walk<'a>(
        &'a self,
        range: &KeyRange<'_>,
    ) -> Box<dyn Iterator<Item = (&'a Key, &'a Entry<V>)> + 'a> {
        let Some(bounds) = range.bounds() else { return Box::new(std::iter::empty()) };
        let is_forward = range.direction == Direction::Forward;
        if let Some(sorted) = self.sorted.get() {
            let entries = sorted.range(&self.entries, &bounds);
            return if is_forward { Box::new(entries) } else { Box::new(entries.rev()) };
        }
        if let Some(order) = &self.order {
            let keys = order.range(&bounds);
            let held = |key: &'a Key| Some((key, self.get(key)?));
            return match is_forward {
                true => Box::new(keys.filter_map(held)),
                false => Box::new(keys.rev().filter_map(held)),
            };
        }
        let slots = self.entries.keys().filter(|slot| range.contains(slot.key()));
        let mut entries: Vec<_> = slots.map(|slot| (slot.key(), &slot.entry)).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        if !is_forward {
            entries.reverse();
        }
        Box::new(entries.into_iter())
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
    use crate::entry::is_expired;
    use crate::version::{Stamp, Version};

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
        map.walk(&KeyRange { prefix, start_after, direction }).map(|(key, _)| key.to_string()).collect()
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
        let sorted = map(&keys);
        sorted.ensure_sorted();
        assert!(!sorted.has_order(), "one walk is not worth it");
        sorted.ensure_sorted();
        assert!(sorted.has_order());
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
                    assert_eq!(walk(&sorted, prefix, start, direction), *expected, "{range:?}");
                }
            }
        }
    }

    #[test]
    fn sorted_keys_hold_until_another_one_comes_or_one_goes() {
        let mut map = map(&[]);
        let key = |number: u64| Key::from(format!("{number:05}"));
        (0..2_000).rev().for_each(|number| drop(map.put(&key(number), entry(1, None))));
        let walked = |map: &KeyMap<u64>| {
            let range = KeyRange { prefix: "", start_after: None, direction: Direction::Forward };
            map.walk(&range).map(|(key, entry)| (key.to_string(), entry.value)).collect::<Vec<_>>()
        };
        (0..2).for_each(|_| map.ensure_sorted());
        assert_eq!(map.sorted_memory(), 2_000 * 8);
        let copy = map.clone();
        map.put(&key(7), entry(2, None));
        assert!(map.has_order(), "what is replaced lies where it lay");
        assert_eq!((walked(&map)[7].1, walked(&copy)[7].1), (2, 1));

        map.put(&key(2_000), entry(3, None));
        assert!(!map.has_order() && copy.has_order());
        (0..2).for_each(|_| map.ensure_sorted());
        map.remove(&key(0));
        assert!(!map.has_order());
        assert_eq!(
            (walked(&map).len(), walked(&map)[0].0.as_str(), walked(&copy).len()),
            (2_000, "00001", 2_000)
        );
    }

    #[test]
    fn an_ordered_map_is_sorted_when_walks_have_passed_twice_as_many_keys_as_it_has() {
        let mut map = map(&["a", "b", "c"]);
        map.ensure_order();
        for count in [0, 5, 1] {
            map.ensure_sorted();
            assert_eq!(map.sorted_memory(), 0);
            map.note_walked(count);
        }
        map.ensure_sorted();
        assert_eq!(map.sorted_memory(), 3 * 8);
    }

    #[test]
    fn maps_that_hold_different_things_are_not_the_same() {
        assert!(!map(&["a"]).is_same(&map(&["b"])));
        assert!(map(&["a"]).is_same(&map(&["a"])));
    }
}
