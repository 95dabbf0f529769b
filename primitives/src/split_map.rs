//! A hash map that grows without a pause: a few entries move at a time, however many there are.
//!
//! A plain hash map moves all of its entries when it is full, a million of them in some 50 ms. This one is a list of
//! small ones, its parts. When they are full on average, one part is split in two, in turn: linear hashing (Litwin,
//! "Linear hashing: a new tool for file and table addressing", VLDB 1980). So the part of a key follows from its hash
//! and the number of parts, and a part can be walked while the rest of the map changes.
//!
//! Copies of a map share the parts that neither has changed since (path copying: Driscoll, Sarnak, Sleator and Tarjan, "Making
//! data structures persistent", 1989): a change copies one part of a hundred entries and the two lists of 64 around it.
use crate::part::Part;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Entries of a part on average when the next one is split. Parts that wait for their turn hold up to twice as many,
/// and few of those more than the 224 whose places 256 slots take.
const PART_MEAN: usize = 104;

/// Bits of a hash below those that choose the part: they choose the slot in it.
const SLOT_BITS: u32 = 8;

/// Parts in one group, and groups in one branch.
const GROUP_COUNT_MAX: usize = 64;
const BRANCH_PART_COUNT: usize = GROUP_COUNT_MAX * GROUP_COUNT_MAX;

/// What a part takes beside its entries and their places: counts, itself, a pointer to it, what the allocator adds.
const PART_SIZE: usize = 16 + size_of::<Part<(), ()>>() + 8 + 3 * 8;

/// Keys and values in no order.
///
/// The seed keeps chosen keys from colliding: together with one of the process it takes part in every step of the hash. Removing entries gives no memory back. A clone copies one pointer for some
/// 400,000 entries.
#[derive(Debug)]
pub struct SplitMap<K, V> {
    /// All but the last are full, and none is empty.
    branches: Vec<Branch<K, V>>,
    part_count: usize,
    /// Bytes that the parts have allocated.
    allocated: usize,
    /// Bytes of parts that were copied to be changed.
    copied: usize,
    len: usize,
    hash_seed: usize,
    /// How a part is copied; only where entries can be is any part ever shared.
    copy: Option<CopyPart<K, V>>,
}

/// Where an entry lies: in which part, and where there. It lies there until an entry is added or removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    part: u32,
    place: u16,
}

type CopyPart<K, V> = fn(&Part<K, V>) -> Part<K, V>;
type Group<K, V> = Arc<Vec<Arc<Part<K, V>>>>;
type Branch<K, V> = Arc<Vec<Group<K, V>>>;

impl<K: Eq + Hash + Clone, V: Clone> SplitMap<K, V> {
    /// A map without entries; it has taken no memory yet.
    pub fn new(hash_seed: usize) -> Self {
        Self { copy: Some(Part::clone), ..Self::unshared(hash_seed) }
    }
}

impl<K: Clone, V: Clone> Clone for SplitMap<K, V> {
    /// # Panics
    /// If it was made [`unshared`](Self::unshared).
    fn clone(&self) -> Self {
        assert!(self.copy.is_some(), "a map that was made unshared is not cloned");
        let Self { part_count, allocated, len, hash_seed, copy, .. } = *self;
        Self { branches: self.branches.clone(), part_count, allocated, copied: 0, len, hash_seed, copy }
    }
}

impl<K: Eq + Hash, V> SplitMap<K, V> {
    /// The same for entries that cannot be cloned.
    pub fn unshared(hash_seed: usize) -> Self {
        Self { branches: Vec::new(), part_count: 0, allocated: 0, copied: 0, len: 0, hash_seed, copy: None }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that are allocated for keys and values themselves, those it shares among them, not counting what they point to.
    pub fn allocated(&self) -> usize {
        self.allocated
    }

    /// About how many bytes of slots were shared when it was cloned and are its own since: they were copied to be changed.
    pub fn copied(&self) -> usize {
        // What was shared again has been copied again, and is there once.
        self.copied.min(self.allocated)
    }

    /// The same with those that it has copied again, because they were shared again.
    pub fn copied_ever(&self) -> usize {
        self.copied
    }

    /// A key as it is there, with what is under it.
    #[inline]
    pub(crate) fn entry<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        let hash = hash_of(self.hash_seed, key);
        let part = self.part_at(part_of(hash, self.part_count));
        part.find(hash, |held| held.borrow() == key)
    }

    /// What is under a key.
    #[inline]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entry_mut(hash_of(self.hash_seed, key), key).map(|(_, value)| value)
    }

    fn entry_mut<Q: Eq + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<&mut (K, V)>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        let part =
            part_to_change(&mut self.branches, self.copy, &mut self.copied, part_of(hash, self.part_count));
        part.find_mut(hash, |held| held.borrow() == key)
    }

    /// Whether something is under a key.
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Puts a value under a key and returns what was there. A key that is there is replaced too.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.replace(key, value).map(|(_, value)| value)
    }

    /// The same, with the key that was there.
    pub(crate) fn replace(&mut self, key: K, value: V) -> Option<(K, V)> {
        let hash = hash_of(self.hash_seed, &key);
        if let Some(held) = self.entry_mut(hash, &key) {
            return Some(std::mem::replace(held, (key, value)));
        }
        self.insert_new(hash, (key, value));
        None
    }

    /// What is under a key, put there by `make` if nothing was.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let hash = hash_of(self.hash_seed, &key);
        match self.place_of(hash, &key) {
            Some((part, place)) => {
                let part = part_to_change(&mut self.branches, self.copy, &mut self.copied, part);
                part.value_mut(place)
            }
            None => self.insert_new(hash, (key, make())),
        }
    }

    /// The part that has a key, and the place in it.
    fn place_of<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<(usize, usize)>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        let part = part_of(hash, self.part_count);
        let place = self.part_at(part).place(hash, |held| held.borrow() == key)?;
        Some((part, place))
    }

    fn insert_new(&mut self, hash: u64, entry: (K, V)) -> &mut V {
        self.make_room();
        let Self { branches, part_count, allocated, copied, len, hash_seed, copy } = self;
        let part = part_to_change(branches, *copy, copied, part_of(hash, *part_count));
        let before = part.allocation_size();
        part.insert_new(hash, entry, |held| hash_of(*hash_seed, held));
        *allocated += part.allocation_size() - before;
        *len += 1;
        part.last_mut()
    }

    /// Takes out what is under a key.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// The same, with the key that was there.
    pub(crate) fn remove_entry<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        // A map that shares its parts copies none for a key that is not there.
        self.get(key)?;
        let hash = hash_of(self.hash_seed, key);
        let part =
            part_to_change(&mut self.branches, self.copy, &mut self.copied, part_of(hash, self.part_count));
        let entry = part.remove(hash, |held| held.borrow() == key, |held| hash_of(self.hash_seed, held))?;
        self.len -= 1;
        Some(entry)
    }

    /// Every entry.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let parts = self.branches.iter().flat_map(|branch| branch.iter()).flat_map(|group| group.iter());
        parts.flat_map(|part| part.iter()).map(|(key, value)| (key, value))
    }

    /// Every entry with its place.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, &(K, V))> {
        let parts = self.branches.iter().flat_map(|branch| branch.iter()).flat_map(|group| group.iter());
        parts.zip(0..).flat_map(|(entries, part)| {
            entries.iter().zip(0..).map(move |(entry, place)| (Place { part, place }, entry))
        })
    }

    /// The entry at a place.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub(crate) fn at(&self, Place { part, place }: Place) -> &(K, V) {
        self.part_at(part as usize).at(place as usize)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Every value.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// How many parts there are.
    pub fn part_count(&self) -> usize {
        self.part_count
    }

    /// The entries of one part, as it was when there were `count` parts: those that splits have given to others since are
    /// among them. So all parts of a count are all entries, however the map grows while they are walked.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn part(&self, part: usize, count: usize) -> impl Iterator<Item = (&K, &V)> + use<'_, K, V> {
        assert!(part < count && count <= self.part_count, "there is a part {part} of {count}");
        let mut family = vec![part];
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            // A part is split into itself and the one that its number and one more bit name.
            let bits = (0..usize::BITS).map(|bit| 1 << bit).skip_while(|step| *step <= parent);
            let children = bits.map(|step| parent + step).take_while(|child| *child < self.part_count);
            family.extend(children.filter(|child| *child >= count));
            next += 1;
        }
        family.into_iter().flat_map(|part| self.part_at(part).iter()).map(|(key, value)| (key, value))
    }

    fn part_at(&self, part: usize) -> &Part<K, V> {
        &self.branches[part / BRANCH_PART_COUNT][part / GROUP_COUNT_MAX % GROUP_COUNT_MAX]
            [part % GROUP_COUNT_MAX]
    }

    /// Splits one part if the parts are full on average: its entries go where they belong with one part more.
    fn make_room(&mut self) {
        let Self { branches, part_count, allocated, copied, len, hash_seed, copy } = self;
        let count = *part_count;
        if *len < count * PART_MEAN {
            return;
        }
        let hash_of = |key: &K| hash_of(*hash_seed, key);
        let part = if count > 0 {
            let source = part_to_change(branches, *copy, copied, count - (1 << count.ilog2()));
            *allocated -= source.allocation_size();
            let part = source.split(|hash| part_of(hash, count + 1) == count, hash_of);
            *allocated += source.allocation_size();
            part
        } else {
            Part::with_room(0)
        };
        *allocated += PART_SIZE + part.allocation_size();
        *part_count += 1;
        if count.is_multiple_of(BRANCH_PART_COUNT) {
            branches.push(Arc::default());
        }
        let branch = Arc::make_mut(branches.last_mut().expect("one was just made, or is not full"));
        match branch.last_mut() {
            Some(group) if group.len() < GROUP_COUNT_MAX => Arc::make_mut(group).push(Arc::new(part)),
            _ => branch.push(Arc::new(vec![Arc::new(part)])),
        }
    }
}

/// A part, which is no longer shared.
fn part_to_change<'a, K, V>(
    branches: &'a mut [Branch<K, V>],
    copy: Option<CopyPart<K, V>>,
    copied: &mut usize,
    part: usize,
) -> &'a mut Part<K, V> {
    let branch = Arc::make_mut(&mut branches[part / BRANCH_PART_COUNT]);
    let group = Arc::make_mut(&mut branch[part / GROUP_COUNT_MAX % GROUP_COUNT_MAX]);
    let part = &mut group[part % GROUP_COUNT_MAX];
    // Nobody holds a weak pointer, and a count of one is this map's own.
    if Arc::strong_count(part) > 1 {
        let copy = copy.expect("only a map that can be cloned shares its parts");
        *part = Arc::new(copy(part));
        *copied += PART_SIZE + part.allocation_size();
    }
    Arc::get_mut(part).expect("it was just seen to be this map's own, or made so")
}

/// Whether two maps hold the same, in however many parts.
impl<K: Eq + Hash, V: PartialEq> PartialEq for SplitMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

#[inline]
fn hash_of<Q: Hash + ?Sized>(seed: usize, key: &Q) -> u64 {
    SeedableRandomState::with_seed(seed as u64, SharedSeed::global_random()).hash_one(key)
}

/// The part that a hash belongs to: by as many of its bits as name a part, or by one less where that one is still to come.
#[inline]
fn part_of(hash: u64, part_count: usize) -> usize {
    let mask = part_count.next_power_of_two() - 1;
    let index = (hash >> SLOT_BITS) as usize & mask;
    if index < part_count { index } else { index & (mask >> 1) }
}

#[path = "split_map_pairs.rs"]
mod pairs;

#[cfg(test)]
mod tests {
    use super::*;
    use rustc_hash::FxSeededState;
    use std::collections::HashMap;

    fn numbers(count: u64) -> SplitMap<u64, u64> {
        let mut map = SplitMap::new(7);
        (0..count).for_each(|number| assert_eq!(map.insert(number, number * 2), None));
        map
    }

    #[test]
    fn every_entry_is_found_while_parts_are_split() {
        let mut map = SplitMap::new(3);
        for number in 0..20_000_u64 {
            map.insert(number, number);
            assert_eq!(map.get(&(number / 2)), Some(&(number / 2)), "among {number}");
        }
        assert_eq!((map.len(), map.iter().count(), map.is_empty()), (20_000, 20_000, false));
        assert!(map.iter().all(|(key, value)| key == value));
        assert_eq!(map.get(&20_000), None);
        assert_eq!(map.part_count(), 20_000_usize.div_ceil(PART_MEAN), "a part more for so many entries");
    }

    /// Keys that have one hash with rustc-hash 2.1, whatever its seed: it mixes the first 16 bytes to the eight that stand before the number,
    /// and multiplies their difference, which is zero, with what the number says.
    #[test]
    fn keys_that_somebody_chose_to_collide_lie_apart() {
        let key =
            |number: u64| format!("0000000000031284bbbbbbbbbbbbbbbbv`t9Z>T:{number:08}zzzzzzzzzzzzzzzz");
        let count = u64::from(u16::MAX) + 2;
        let hash = |number| FxSeededState::with_seed(9).hash_one(key(number));
        assert!((1..100).all(|number| hash(number) == hash(0)), "they do collide there");
        let mut map = SplitMap::new(9);
        (0..count).for_each(|number| assert_eq!(map.insert(key(number), number), None));
        assert!((0..count).all(|number| map.get(&key(number)) == Some(&number)));
    }

    #[test]
    fn a_map_does_what_the_plain_one_does() {
        let (mut map, mut plain) = (SplitMap::new(11), HashMap::new());
        let mut state = 1_u64;
        for step in 0..60_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = format!("key-{}", (state >> 33) % 7_000);
            match (state >> 20) % 4 {
                0 => assert_eq!(map.remove(key.as_str()), plain.remove(&key)),
                1 => {
                    *map.get_or_insert_with(key.clone(), || 0) += 1;
                    *plain.entry(key).or_insert(0) += 1;
                }
                2 => {
                    assert_eq!(map.get_mut(key.as_str()), plain.get_mut(&key));
                    assert_eq!(map.contains_key(key.as_str()), plain.contains_key(&key));
                }
                _ => assert_eq!(map.insert(key.clone(), step), plain.insert(key, step)),
            }
            assert_eq!(map.len(), plain.len());
        }
        let found: HashMap<_, _> = map.iter().map(|(key, value)| (key.clone(), *value)).collect();
        assert_eq!(found, plain);
    }

    /// With keys as stores have them. A number alone is hashed by one multiplication, which spreads consecutive ones less evenly for
    /// some seeds of a process: up to 350 in a part.
    #[test]
    fn one_more_entry_moves_no_more_than_one_part() {
        let mut map = SplitMap::new(5);
        for number in 0..400_000_u64 {
            let parts_before = map.part_count();
            map.insert(number.to_string(), 0);
            let added = map.part_count() - parts_before;
            if added > 0 {
                let largest = (0..map.part_count()).map(|part| map.part_at(part).len()).max().unwrap();
                assert!(
                    added == 1 && largest < 3 * PART_MEAN,
                    "{added} parts more, the largest had {largest}"
                );
            }
        }
    }

    #[test]
    fn the_parts_of_a_count_are_all_entries_however_the_map_has_grown_since() {
        for count_then in [1, 3, 5, 8, 21] {
            let mut map = SplitMap::new(9);
            let mut number = 0_u64;
            while map.part_count() < count_then {
                map.insert(number, 0);
                number += 1;
            }
            for more in 0..40_000 {
                map.insert(number + more, 1);
            }
            assert!(map.part_count() > count_then);
            let mut keys: Vec<u64> =
                (0..count_then).flat_map(|part| map.part(part, count_then).map(|(key, _)| *key)).collect();
            keys.sort_unstable();
            assert_eq!(keys, (0..number + 40_000).collect::<Vec<_>>(), "{count_then} parts");
        }
    }

    #[test]
    fn maps_are_equal_when_they_hold_the_same() {
        let mut removed = numbers(3_000);
        assert_eq!(removed, numbers(3_000));
        assert_ne!(removed, numbers(3_001));
        (1_000..3_000).for_each(|number| assert!(removed.remove(&number).is_some()));
        assert_eq!(removed, numbers(1_000));
        *removed.get_mut(&7).unwrap() = 0;
        assert_ne!(removed, numbers(1_000));
    }

    #[test]
    fn neither_of_two_copies_sees_what_becomes_of_the_other() {
        for count in [0, 1, 300, 20_000] {
            let mut map = numbers(count);
            let mut copy = map.clone();
            (0..count).step_by(3).for_each(|number| assert_eq!(copy.remove(&number), Some(number * 2)));
            (count..count + 9_000).for_each(|number| assert_eq!(copy.insert(number, 1), None));
            assert_eq!(map, numbers(count));
            (0..count).step_by(2).for_each(|number| *map.get_mut(&number).unwrap() = 7);
            for number in 0..count + 9_000 {
                let of_copy =
                    if number >= count { Some(1) } else { Some(number * 2).filter(|_| number % 3 > 0) };
                assert_eq!(copy.get(&number).copied(), of_copy, "{number} of {count}");
            }
        }
    }

    #[test]
    fn a_change_copies_one_part_and_the_list_around_it() {
        let map = numbers(100_000);
        let mut copy = map.clone();
        *copy.get_mut(&7).unwrap() = 0;
        assert!(copy.remove(&100_000).is_none());
        let parts = |map: &SplitMap<u64, u64>| {
            map.branches[0].iter().flat_map(|group| group.to_vec()).collect::<Vec<_>>()
        };
        let shared =
            parts(&map).iter().zip(parts(&copy)).filter(|(own, other)| Arc::ptr_eq(own, other)).count();
        assert_eq!(shared, map.part_count() - 1);
        let groups = |map: &SplitMap<u64, u64>| map.branches[0].to_vec();
        let shared =
            groups(&map).iter().zip(groups(&copy)).filter(|(own, other)| Arc::ptr_eq(own, other)).count();
        assert_eq!(shared, map.part_count().div_ceil(GROUP_COUNT_MAX) - 1);
    }

    #[test]
    fn what_was_shared_and_copied_many_times_is_counted_once() {
        let mut map = numbers(100);
        let mut shared = map.clone();
        for number in 0..1_000 {
            *shared.get_mut(&5).unwrap() = number;
            map = shared.clone();
            std::mem::swap(&mut map, &mut shared);
        }
        assert!(shared.copied() <= shared.allocated() && map.copied() <= map.allocated());
    }

    #[test]
    fn an_entry_takes_little_more_room_than_it_has_bytes() {
        let mut map = SplitMap::new(3);
        for number in 0..100_000_u64 {
            map.insert(number, [number; 6]);
            let (size, count) = (map.allocated(), map.len());
            assert!(count < 1_000 || size < 72 * count, "{size} bytes for {count} entries of 56");
        }
    }

    #[test]
    fn what_cannot_be_cloned_is_held_all_the_same() {
        struct Single(u64);
        let mut map = SplitMap::unshared(3);
        (0..1_000_u64).for_each(|number| assert!(map.insert(number, Single(number)).is_none()));
        map.get_mut(&5).unwrap().0 = 9;
        assert_eq!((map.get(&5).unwrap().0, map.remove(&6).unwrap().0, map.len()), (9, 6, 999));
    }

    #[test]
    fn a_part_is_split_in_its_turn() {
        let of = |hash: u64, count| part_of(hash << SLOT_BITS, count);
        for count in 1..100 {
            for hash in 0..1_000 {
                let (before, after) = (of(hash, count), of(hash, count + 1));
                let source = count - (1 << count.ilog2());
                assert!(before < count && (after == before || (before == source && after == count)));
            }
        }
    }
}
