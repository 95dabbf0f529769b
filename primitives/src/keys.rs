//! One key map as a reader sees it: at present, at an older version, or with a commit's own writes staged over it.
use crate::entry::{Entry, Stored};
use crate::key::Key;
use crate::key_map::KeyMap;
use crate::key_range::KeyRange;
use crate::operation::Direction;
use crate::past::ReplacedKeys;
use crate::version::{Timestamp, Version};
use foldhash::HashMap;
use std::cmp::Ordering;
use std::iter::Peekable;

/// What a commit would leave under each key it touches; nothing where it deletes.
pub(crate) type StagedKeys<V> = HashMap<Key, Option<Entry<V>>>;

type KeyEntry<'a, V> = (&'a Key, &'a Entry<V>);

/// A key with what it holds for a reader who sees past others; nothing where it is not there.
type HidingEntry<'a, V> = (&'a Key, Option<&'a Entry<V>>);

/// A key map at one version.
#[derive(Debug)]
pub(crate) struct Keys<'a, V: Stored> {
    map: &'a KeyMap<V>,
    past: Option<(&'a ReplacedKeys<V>, Version)>,
}

// Not derived: that would ask the same of `V`.
impl<V: Stored> Clone for Keys<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Stored> Copy for Keys<'_, V> {}

impl<'a, V: Stored> Keys<'a, V> {
    /// The map as it is.
    pub(crate) fn present(map: &'a KeyMap<V>) -> Self {
        Self { map, past: None }
    }

    /// The map as the commit `version` left it; `past` holds what later commits replaced.
    pub(crate) fn at(map: &'a KeyMap<V>, past: &'a ReplacedKeys<V>, version: Version) -> Self {
        Self { map, past: Some((past, version)) }
    }

    /// What a key holds, expired or not.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Entry<V>> {
        if let Some((past, version)) = self.past
            && let Some(was) = past.at(key, version)
        {
            return was.as_ref();
        }
        self.map.get(key)
    }

    /// Every key of the range with what it holds, in order.
    pub(crate) fn walk(&self, range: &KeyRange<'_>) -> Box<dyn Iterator<Item = KeyEntry<'a, V>> + 'a> {
        let present = self.map.walk(range);
        match self.past {
            None => present,
            Some((past, version)) => {
                let was = past.since(version).filter(|(key, _)| range.contains(key));
                let was = in_order(was.map(|(key, was)| (key, was.as_ref())).collect(), range.direction);
                Box::new(Merged::new(present, was, range.direction))
            }
        }
    }

    /// How many parts the map has as it is.
    pub(crate) fn part_count(&self) -> u64 {
        self.map.part_count() as u64
    }

    /// The keys that one of `count` parts had and has, wherever they are in a map that has more parts by now.
    pub(crate) fn part(&self, part: u64, count: u64) -> impl Iterator<Item = &'a Key> + use<'a, V> {
        self.map.part(part as usize, count as usize)
    }

    /// What a key holds, if no commit behind the version has touched it.
    pub(crate) fn untouched(&self, key: &str) -> Option<Option<&'a Entry<V>>> {
        let is_touched = self.past.is_some_and(|(past, version)| past.at(key, version).is_some());
        if is_touched { None } else { Some(self.map.get(key)) }
    }

    /// How many times commits behind the version have touched a key.
    pub(crate) fn touched_count(&self) -> u64 {
        self.past.map_or(0, |(past, version)| past.count_since(version) as u64)
    }

    /// The key that one of these times touched, with what it held at the version; `None` where it was touched before.
    pub(crate) fn touched(&self, place: u64) -> Option<HidingEntry<'a, V>> {
        let (past, version) = self.past?;
        let (key, was) = past.nth_since(version, usize::try_from(place).ok()?)?;
        Some((key, was.as_ref()))
    }

    /// The sum of `measure` over all keys; `present` is that of the map as it is.
    fn sum(&self, present: usize, measure: impl Fn(&str, &Entry<V>) -> usize) -> usize {
        let mut sum = present;
        if let Some((past, version)) = self.past {
            for (key, was) in past.since(version) {
                sum += was.as_ref().map_or(0, |entry| measure(key, entry));
                sum -= self.map.get(key).map_or(0, |entry| measure(key, entry));
            }
        }
        sum
    }

    /// The keys that are expired at `now`, of the map as it is.
    pub(crate) fn expired(&self, now: Timestamp) -> impl Iterator<Item = &'a Key> + use<'a, V> {
        self.map.expired(now)
    }
}

/// A key map with staged writes over it.
#[derive(Debug)]
pub(crate) struct StagedOver<'d, V: Stored> {
    /// `None` once a staged deletion of the run hides everything.
    base: Option<Keys<'d, V>>,
    staged: &'d StagedKeys<V>,
}

impl<'d, V: Stored> StagedOver<'d, V> {
    pub(crate) fn new(base: Option<Keys<'d, V>>, staged: &'d StagedKeys<V>) -> Self {
        Self { base, staged }
    }

    /// What a key holds below the staged writes.
    pub(crate) fn base(&self, key: &str) -> Option<&'d Entry<V>> {
        self.base.and_then(|base| base.get(key))
    }

    /// Whether the key is written by a staged write.
    pub(crate) fn is_staged(&self, key: &str) -> bool {
        self.staged.contains_key(key)
    }

    /// What a key holds, expired or not.
    pub(crate) fn get(&self, key: &str) -> Option<&'d Entry<V>> {
        if self.staged.is_empty() {
            return self.base(key);
        }
        self.staged.get(key).map_or_else(|| self.base(key), Option::as_ref)
    }

    /// What a key holds for a reader at `now`.
    pub(crate) fn live(&self, key: &str, now: Timestamp) -> Option<&'d Entry<V>> {
        self.get(key).filter(|entry| entry.is_live(now))
    }

    /// Every live key of the range with what it holds, in order.
    pub(crate) fn walk(
        &self,
        range: &KeyRange<'_>,
        now: Timestamp,
    ) -> impl Iterator<Item = KeyEntry<'d, V>> + use<'d, V> {
        let staged = self.staged.iter().filter(|(key, _)| range.contains(key));
        let staged = in_order(staged.map(|(key, entry)| (key, entry.as_ref())).collect(), range.direction);
        let base = self.base.map(|base| base.walk(range)).into_iter().flatten();
        Merged::new(base, staged, range.direction).filter(move |(_, entry)| entry.is_live(now))
    }

    /// How many keys are there for a reader at `now`, without walking them.
    pub(crate) fn live_count(&self, now: Timestamp) -> u64 {
        self.sum(|map| map.live_count(now), |_, entry| usize::from(entry.is_live(now)))
    }

    /// How many keys there are, expired ones included.
    pub(crate) fn full_count(&self) -> u64 {
        self.sum(KeyMap::len, |_, _| 1)
    }

    /// What keys and values take together, bytes.
    pub(crate) fn size(&self) -> u64 {
        self.sum(KeyMap::size, |key, entry| key.len() + entry.value.size())
    }

    fn sum(
        &self,
        present: impl Fn(&KeyMap<V>) -> usize,
        measure: impl Fn(&str, &Entry<V>) -> usize + Copy,
    ) -> u64 {
        let mut sum = self.base.map_or(0, |base| base.sum(present(base.map), measure));
        for (key, staged) in self.staged {
            sum += staged.as_ref().map_or(0, |entry| measure(key, entry));
            sum -= self.base(key).map_or(0, |entry| measure(key, entry));
        }
        sum as u64
    }

    /// The keys that expired below the staged writes and are not among them.
    pub(crate) fn expired(&self, now: Timestamp) -> impl Iterator<Item = &'d Key> {
        let staged = self.staged;
        let keys = self.base.map(|base| base.expired(now)).into_iter().flatten();
        keys.filter(move |key| !staged.contains_key(*key))
    }
}

/// A walk over two sources in one order, of which the second hides keys of the first.
struct Merged<'a, V, I: Iterator<Item = KeyEntry<'a, V>>> {
    below: Peekable<I>,
    above: Peekable<std::vec::IntoIter<HidingEntry<'a, V>>>,
    direction: Direction,
}

impl<'a, V, I: Iterator<Item = KeyEntry<'a, V>>> Merged<'a, V, I> {
    fn new(below: I, above: Vec<HidingEntry<'a, V>>, direction: Direction) -> Self {
        Self { below: below.peekable(), above: above.into_iter().peekable(), direction }
    }
}

impl<'a, V, I: Iterator<Item = KeyEntry<'a, V>>> Iterator for Merged<'a, V, I> {
    type Item = KeyEntry<'a, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.below.peek(), self.above.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((below, _)), Some((above, _))) => match self.direction {
                    Direction::Forward => below.cmp(above),
                    Direction::Reverse => above.cmp(below),
                },
            };
            if order.is_lt() {
                return self.below.next();
            }
            if order.is_eq() {
                self.below.next();
            }
            if let Some((key, Some(entry))) = self.above.next() {
                return Some((key, entry));
            }
        }
    }
}

fn in_order<T>(mut keys: Vec<(&Key, T)>, direction: Direction) -> Vec<(&Key, T)> {
    keys.sort_unstable_by_key(|(key, _)| *key);
    if direction == Direction::Reverse {
        keys.reverse();
    }
    keys
}
