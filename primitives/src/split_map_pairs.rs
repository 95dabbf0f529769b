//! What two maps hold under each key, but for the parts that they share.
use super::{GROUP_COUNT_MAX, Part, SplitMap, hash_of};
use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

impl<K: Eq + Hash, V> SplitMap<K, V> {
    /// Calls `visit` once for every key of either map that does not lie in a part which both share, with the entries of both.
    ///
    /// Of a map and its clone it takes as long as the parts that were changed since; else, as both.
    pub(crate) fn pairs<'a>(
        &'a self,
        other: &'a Self,
        mut visit: impl FnMut(Option<&'a (K, V)>, Option<&'a (K, V)>),
    ) {
        if self.hash_seed != other.hash_seed || self.part_count.min(other.part_count) == 0 {
            let all = |map: &'a Self| (0..map.part_count).map(|part| map.part_at(part)).collect::<Vec<_>>();
            return self.pairs_of(&all(self), other, &all(other), &mut visit);
        }
        let count = self.part_count.min(other.part_count);
        // Where one map has split a part since, its keys lie in several.
        let mut families = BTreeMap::<usize, Vec<usize>>::new();
        for part in count..self.part_count.max(other.part_count) {
            families.entry(ancestor(part, count)).or_default().push(part);
        }
        for (part, behind) in &families {
            let parts = |map: &'a Self| {
                let all = std::iter::once(*part).chain(behind.iter().copied());
                all.filter(|part| *part < map.part_count).map(|part| map.part_at(part)).collect::<Vec<_>>()
            };
            self.pairs_of(&parts(self), other, &parts(other), &mut visit);
        }
        for_each_unshared_part(self, other, count, |part, own, of_other| {
            if !families.contains_key(&part) {
                self.pairs_of_parts(own, other, of_other, &mut visit);
            }
        });
    }

    /// The same for the keys of these parts, which are the same keys' places in both maps.
    fn pairs_of<'a>(
        &'a self,
        own: &[&'a Part<K, V>],
        other: &'a Self,
        of_other: &[&'a Part<K, V>],
        visit: &mut impl FnMut(Option<&'a (K, V)>, Option<&'a (K, V)>),
    ) {
        let mut common = 0;
        for entry in own.iter().flat_map(|part| part.iter()) {
            let found = other.entry(&entry.0);
            common += usize::from(found.is_some());
            visit(Some(entry), found);
        }
        if common < of_other.iter().map(|part| part.len()).sum() {
            for entry in of_other.iter().flat_map(|part| part.iter()) {
                if self.entry(&entry.0).is_none() {
                    visit(None, Some(entry));
                }
            }
        }
    }

    /// The same for one part of each. A part that was copied to be changed has its entries where they were, so most of both are
    /// met side by side, and only the others are looked for.
    fn pairs_of_parts<'a>(
        &'a self,
        own: &'a Part<K, V>,
        other: &'a Self,
        of_other: &'a Part<K, V>,
        visit: &mut impl FnMut(Option<&'a (K, V)>, Option<&'a (K, V)>),
    ) {
        let mut ahead = of_other.iter().peekable();
        let (mut news, mut is_in_step) = (Vec::new(), true);
        for entry in own.iter() {
            if let Some(met) = ahead.next_if(|(met, _)| *met == entry.0) {
                visit(Some(entry), Some(met));
                continue;
            }
            let found = find(of_other, other.hash_seed, &entry.0);
            visit(Some(entry), found);
            if found.is_some() && is_in_step {
                // What only the other has stands in between.
                let is_new = |entry: &&(K, V)| find(own, self.hash_seed, &entry.0).is_none();
                news.extend(std::iter::from_fn(|| ahead.next_if(is_new)));
                is_in_step = ahead.next_if(|(met, _)| *met == entry.0).is_some();
            }
        }
        if is_in_step {
            // All that were met are behind, and all that were not are not there.
            news.into_iter().chain(ahead).for_each(|entry| visit(None, Some(entry)));
            return;
        }
        for entry in of_other.iter() {
            if find(own, self.hash_seed, &entry.0).is_none() {
                visit(None, Some(entry));
            }
        }
    }
}

/// The part from which another was split, in however many steps, when there were `count`.
fn ancestor(mut part: usize, count: usize) -> usize {
    while part >= count {
        part -= 1 << part.ilog2();
    }
    part
}

fn find<'a, K: Eq + Hash, V>(part: &'a Part<K, V>, hash_seed: usize, key: &K) -> Option<&'a (K, V)> {
    part.find(hash_of(hash_seed, key), |held| held == key)
}

/// Calls `visit` with each of the first `count` parts that two maps do not share, and its number.
fn for_each_unshared_part<'a, K, V>(
    own: &'a SplitMap<K, V>,
    other: &'a SplitMap<K, V>,
    count: usize,
    mut visit: impl FnMut(usize, &'a Part<K, V>, &'a Part<K, V>),
) {
    let branches = own.branches.iter().zip(&other.branches).enumerate();
    for (branch, (own, other)) in branches.filter(|(_, (own, other))| !Arc::ptr_eq(own, other)) {
        let groups = own.iter().zip(other.iter()).enumerate();
        for (group, (own, other)) in groups.filter(|(_, (own, other))| !Arc::ptr_eq(own, other)) {
            let first = (branch * GROUP_COUNT_MAX + group) * GROUP_COUNT_MAX;
            let parts = (first..count).zip(own.iter().zip(other.iter()));
            parts
                .filter(|(_, (own, other))| !Arc::ptr_eq(own, other))
                .for_each(|(part, (own, other))| visit(part, own, other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = BTreeMap<u64, (Option<u64>, Option<u64>)>;

    fn numbers(count: u64, seed: usize) -> SplitMap<u64, u64> {
        let mut map = SplitMap::new(seed);
        (0..count).for_each(|number| assert_eq!(map.insert(number, number * 2), None));
        map
    }

    /// All pairs that are visited, each once.
    fn visited(own: &SplitMap<u64, u64>, other: &SplitMap<u64, u64>) -> Pairs {
        let mut pairs = Pairs::new();
        own.pairs(other, |own, other| {
            let key = own.or(other).unwrap().0;
            let values = (own.map(|(_, value)| *value), other.map(|(_, value)| *value));
            assert!(pairs.insert(key, values).is_none(), "{key} is visited twice");
        });
        pairs
    }

    fn differing(pairs: &Pairs) -> Pairs {
        pairs.iter().filter(|(_, (own, other))| own != other).map(|(key, pair)| (*key, *pair)).collect()
    }

    /// The same, found by looking at everything.
    fn expected(own: &SplitMap<u64, u64>, other: &SplitMap<u64, u64>) -> Pairs {
        let keys = own.keys().chain(other.keys());
        let all = keys.map(|key| (*key, (own.get(key).copied(), other.get(key).copied())));
        all.filter(|(_, (own, other))| own != other).collect()
    }

    fn assert_found(own: &SplitMap<u64, u64>, other: &SplitMap<u64, u64>, what: &str) -> usize {
        let pairs = visited(own, other);
        assert_eq!(differing(&pairs), expected(own, other), "{what}");
        let reversed = visited(other, own);
        assert_eq!(differing(&reversed), expected(other, own), "{what}, reversed");
        pairs.len()
    }

    #[test]
    fn what_was_changed_in_a_clone_is_found_however_it_has_grown() {
        for count in [0, 1, 50, 300, 5_000, 20_000, 440_000] {
            let map = numbers(count, 7);
            for added in [0, 1, 7, 100, 2_000, 30_000] {
                let mut other = map.clone();
                (0..count).step_by(997).for_each(|number| *other.get_mut(&number).unwrap() = 1);
                (3..count).step_by(1_409).for_each(|number| _ = other.remove(&number));
                (count..count + added).for_each(|number| _ = other.insert(number, 1));
                assert_found(&map, &other, &format!("{added} more than {count}"));
            }
        }
    }

    #[test]
    fn both_may_have_grown_from_what_they_share() {
        let map = numbers(9_000, 7);
        let (mut own, mut other) = (map.clone(), map.clone());
        (20_000..24_000).for_each(|number| _ = own.insert(number, 1));
        (30_000..39_000).for_each(|number| _ = other.insert(number, 1));
        (0..9_000).step_by(50).for_each(|number| _ = own.remove(&number));
        assert_found(&own, &other, "two clones");
    }

    #[test]
    fn maps_that_share_nothing_are_compared_whatever_their_seeds() {
        let mut other = numbers(4_000, 8);
        (0..4_000).step_by(9).for_each(|number| _ = other.remove(&number));
        for seed in [7, 8] {
            for count in [0, 3, 500, 4_000, 9_000] {
                assert_found(&numbers(count, seed), &other, &format!("{count} with seed {seed}"));
            }
        }
    }

    #[test]
    fn a_change_costs_one_part_and_not_the_map() {
        let map = numbers(1_000_000, 7);
        let mut other = map.clone();
        assert_eq!(visited(&map, &other).len(), 0);
        (0..100).for_each(|number| *other.get_mut(&(number * 9_973)).unwrap() = 1);
        other.insert(2_000_000, 1);
        let looked_at = assert_found(&map, &other, "100 of a million");
        assert!(looked_at < 102 * 250, "{looked_at} keys were looked at");
    }

    #[test]
    fn a_part_is_the_child_of_the_one_it_was_split_from() {
        assert_eq!([5, 4, 1, 13].map(|part| ancestor(part, 5)), [1, 4, 1, 1]);
        assert_eq!((0..20).map(|part| ancestor(part, 1)).max(), Some(0));
    }
}
