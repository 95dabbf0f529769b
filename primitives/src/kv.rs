//! The keys of a run: a hash map for points, an ordered index for walks, a queue of deadlines.
use crate::encoded::Encoded;
use crate::operation::Direction;
use crate::version::{Timestamp, Version};
use rustc_hash::FxSeededState;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KvEntry {
    pub(crate) value: Encoded,
    pub(crate) version: Version,
    pub(crate) timestamp: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
}

/// Whether something with this deadline is gone at `now`.
pub(crate) fn is_expired(deadline: Option<Timestamp>, now: Timestamp) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

/// Keys and values. The order exists from the first walk on; runs that are never walked pay nothing for it.
#[derive(Debug)]
pub(crate) struct KvMap {
    entries: HashMap<Arc<str>, KvEntry, FxSeededState>,
    order: Option<BTreeSet<Arc<str>>>,
    deadlines: BTreeSet<(Timestamp, Arc<str>)>,
}

impl KvMap {
    pub(crate) fn new(hash_seed: usize) -> Self {
        let entries = HashMap::with_hasher(FxSeededState::with_seed(hash_seed));
        Self { entries, order: None, deadlines: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&KvEntry> {
        self.entries.get(key)
    }

    /// Sets a key and returns what it held.
    pub(crate) fn put(&mut self, key: &Arc<str>, entry: KvEntry) -> Option<KvEntry> {
        let deadline = entry.deadline;
        let replaced = match self.entries.entry(Arc::clone(key)) {
            Entry::Occupied(mut occupied) => Some(occupied.insert(entry)),
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
                if let Some(order) = &mut self.order {
                    order.insert(Arc::clone(key));
                }
                None
            }
        };
        let earlier = replaced.as_ref().and_then(|replaced| replaced.deadline);
        if earlier != deadline {
            self.move_deadline(key, earlier, deadline);
        }
        replaced
    }

    /// Removes a key and returns what it held.
    pub(crate) fn remove(&mut self, key: &Arc<str>) -> Option<KvEntry> {
        let removed = self.entries.remove(key)?;
        if let Some(order) = &mut self.order {
            order.remove(key);
        }
        if removed.deadline.is_some() {
            self.move_deadline(key, removed.deadline, None);
        }
        Some(removed)
    }

    /// Builds the ordered index if there is none.
    pub(crate) fn ensure_order(&mut self) {
        if self.order.is_none() {
            self.order = Some(self.entries.keys().cloned().collect());
        }
    }

    /// The first deadline of all.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The keys whose deadline is not after `now`, first deadline first.
    pub(crate) fn expired(&self, now: Timestamp) -> impl Iterator<Item = &Arc<str>> {
        self.deadlines.iter().take_while(move |(deadline, _)| *deadline <= now).map(|(_, key)| key)
    }

    /// The keys inside `range` in its direction; without the ordered index they are sorted for this walk alone.
    pub(crate) fn walk<'a>(&'a self, range: &KeyRange<'_>) -> Box<dyn Iterator<Item = &'a Arc<str>> + 'a> {
        let (lower, upper) = range.bounds();
        let upper = upper.as_deref();
        let bounds = (lower, upper.map_or(Bound::Unbounded, Bound::Excluded));
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let Some(order) = &self.order else {
            let mut keys: Vec<_> = self.entries.keys().filter(|key| range.contains(key)).collect();
            keys.sort_unstable();
            if range.direction == Direction::Reverse {
                keys.reverse();
            }
            return Box::new(keys.into_iter());
        };
        match range.direction {
            Direction::Forward => Box::new(order.range::<str, _>(bounds)),
            Direction::Reverse => Box::new(order.range::<str, _>(bounds).rev()),
        }
    }

    /// Whether two maps hold the same, and their indexes agree with what they hold.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_ordered = |map: &Self| {
            map.order.as_ref().is_none_or(|order| {
                order.len() == map.len() && order.iter().all(|key| map.entries.contains_key(key))
            })
        };
        self.entries == other.entries
            && self.deadlines == other.deadlines
            && is_ordered(self)
            && is_ordered(other)
    }

    fn move_deadline(&mut self, key: &Arc<str>, from: Option<Timestamp>, to: Option<Timestamp>) {
        if let Some(from) = from {
            self.deadlines.remove(&(from, Arc::clone(key)));
        }
        if let Some(to) = to {
            self.deadlines.insert((to, Arc::clone(key)));
        }
    }
}

/// The keys that begin with `prefix` and lie behind `start_after` in the direction of the walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRange<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) start_after: Option<&'a str>,
    pub(crate) direction: Direction,
}

impl KeyRange<'_> {
    pub(crate) fn contains(&self, key: &str) -> bool {
        key.starts_with(self.prefix)
            && self.start_after.is_none_or(|start| match self.direction {
                Direction::Forward => key > start,
                Direction::Reverse => key < start,
            })
    }

    /// Lower bound, and the text every key lies below. An ordered set refuses bounds that cross: see `is_empty`.
    fn bounds(&self) -> (Bound<&str>, Option<String>) {
        let end = prefix_end(self.prefix);
        match (self.start_after, self.direction) {
            (Some(start), Direction::Forward) if start >= self.prefix => (Bound::Excluded(start), end),
            (Some(start), Direction::Reverse) if end.as_deref().is_none_or(|end| start < end) => {
                (Bound::Included(self.prefix), Some(start.to_owned()))
            }
            _ => (Bound::Included(self.prefix), end),
        }
    }

    /// Whether the bounds leave no room for any key.
    fn is_empty(&self) -> bool {
        match (self.start_after, self.direction) {
            (None, _) => false,
            (Some(start), Direction::Forward) => prefix_end(self.prefix).is_some_and(|end| start >= &*end),
            (Some(start), Direction::Reverse) => start <= self.prefix,
        }
    }
}

/// The least text above every text that begins with `prefix`; none above the empty one or the last character.
fn prefix_end(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The surrogates between these two are no characters, and UTF-8 sorts as characters do.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, deadline: Option<u64>) -> KvEntry {
        KvEntry {
            value: Encoded::from_int(version as i64),
            version: Version(version),
            timestamp: Timestamp(version),
            deadline: deadline.map(Timestamp),
        }
    }

    fn map(keys: &[&str]) -> KvMap {
        let mut map = KvMap::new(7);
        for key in keys {
            map.put(&Arc::from(*key), entry(1, None));
        }
        map
    }

    fn walk(map: &KvMap, prefix: &str, start_after: Option<&str>, direction: Direction) -> Vec<String> {
        map.walk(&KeyRange { prefix, start_after, direction }).map(|key| key.to_string()).collect()
    }

    #[test]
    fn a_later_put_replaces_an_earlier_one() {
        let mut map = map(&[]);
        let key = Arc::from("plan");
        assert_eq!(map.put(&key, entry(1, None)), None);
        assert_eq!(map.put(&key, entry(2, None)), Some(entry(1, None)));
        assert_eq!((map.get("plan"), map.len()), (Some(&entry(2, None)), 1));
        assert_eq!(map.remove(&key), Some(entry(2, None)));
        assert_eq!((map.remove(&key), map.len()), (None, 0));
    }

    #[test]
    fn deadlines_follow_their_keys() {
        let mut map = map(&[]);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
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
        keys[4..].iter().for_each(|key| drop(ordered.put(&Arc::from(*key), entry(1, None))));
        ordered.put(&Arc::from("gone"), entry(1, None));
        ordered.remove(&Arc::from("gone"));
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
