//! Where two lists may differ: what they share is passed by whole chunks and groups.
use super::{CHUNK_COUNT_MAX, Chunk, Chunks, Found, begin_of_chunk};
use std::sync::Arc;

impl<T> Chunks<T> {
    /// The places that both lists have and that are in no chunk which they share, ascending.
    pub(crate) fn places_apart<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + use<'a, T> {
        let mut next = self.first.max(other.first);
        let end = self.end.min(other.end);
        std::iter::from_fn(move || {
            while next < end {
                match self.shared_until(other, next) {
                    Some(behind) => next = behind,
                    None => {
                        next += 1;
                        return Some(next - 1);
                    }
                }
            }
            None
        })
    }

    /// The place behind the chunk, or the group, in which a place of both is, if they share that.
    fn shared_until(&self, other: &Self, place: u64) -> Option<u64> {
        let (own, of_other) = (self.find(place), other.find(place));
        if let (Found::InGroup { group, chunk, .. }, Found::InGroup { group: of_other, .. }) =
            (&own, &of_other)
            && Arc::ptr_eq(&self.groups[*group], &other.groups[*of_other])
        {
            // The newest group may not be full, and the chunk behind it is the tail.
            let chunk_count = self.groups[*group].len() - chunk;
            return Some(begin_of_chunk(place) + (chunk_count * CHUNK_COUNT_MAX) as u64);
        }
        let is_shared = Arc::ptr_eq(self.chunk_at(own), other.chunk_at(of_other));
        is_shared.then(|| begin_of_chunk(place) + CHUNK_COUNT_MAX as u64)
    }

    fn chunk_at(&self, found: Found) -> &Chunk<T> {
        match found {
            Found::InTail { .. } => &self.tail,
            Found::InGroup { group, chunk, .. } => &self.groups[group][chunk],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u64) -> Chunks<u64> {
        let mut list = Chunks::new();
        (0..count).for_each(|number| list.push(number));
        list
    }

    #[test]
    fn only_chunks_that_are_not_shared_are_apart() {
        let list = numbers(100_000);
        let mut other = list.clone();
        assert_eq!(list.places_apart(&other).count(), 0);
        *other.get_mut(70).unwrap() = 0;
        *other.get_mut(40_000).unwrap() = 0;
        (0..500).for_each(|number| other.push(number));
        let expected: Vec<u64> = (64..128).chain(40_000..40_064).chain(99_968..100_000).collect();
        assert_eq!(list.places_apart(&other).collect::<Vec<_>>(), expected);
        assert_eq!(other.places_apart(&list).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_place_that_differs_is_apart_whatever_was_removed_in_front() {
        for removed in [0, 1, 63, 64, 65, 200, 16_384, 16_400, 20_000] {
            let mut list = numbers(40_000);
            let mut other = list.clone();
            other.drop_front(removed);
            for place in [20_000, 20_500, 39_999] {
                *other.get_mut(place).unwrap() = 0;
            }
            list.drop_front(100);
            let differ = |place: &u64| list.get(*place) != other.get(*place);
            let apart: Vec<u64> = list.places_apart(&other).collect();
            let found: Vec<u64> = apart.iter().copied().filter(differ).collect();
            assert_eq!(found, [20_000, 20_500, 39_999], "{removed} removed");
            assert!(apart.len() < 400, "{} places with {removed} removed", apart.len());
        }
    }

    #[test]
    fn lists_that_share_nothing_are_apart_wherever_both_have_something() {
        let (mut list, other) = (numbers(300), numbers(200));
        list.drop_front(10);
        assert!(list.places_apart(&other).eq(10..200));
        list.drop_front(250);
        assert_eq!(list.places_apart(&other).count(), 0);
    }
}
