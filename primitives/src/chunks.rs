//! A list that grows at its end in chunks, so that growing never moves what is there, and copies share what neither has
//! changed.
use std::sync::Arc;

/// Items in one chunk: as many are copied at most when one is changed that a copy of the list shares.
pub(crate) const CHUNK_COUNT_MAX: usize = 64;
/// Full chunks in one group.
const GROUP_COUNT_MAX: usize = 256;

/// Items in order, found by their place: 0, 1, 2 ... without gaps.
///
/// A clone copies one pointer for every 16,384 items, and shares all items until either is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunks<T> {
    len: u64,
    /// Full chunks; all groups but the last are full, and none is empty.
    groups: Vec<Group<T>>,
    /// The newest items, at least one unless there are none.
    tail: Arc<Vec<T>>,
}

type Group<T> = Arc<Vec<Arc<Vec<T>>>>;

impl<T> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self { len: 0, groups: Vec::new(), tail: Arc::default() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn get(&self, place: u64) -> Option<&T> {
        if place >= self.tail_begins() {
            return self.tail.get((place - self.tail_begins()) as usize);
        }
        let (group, chunk, index) = split(place);
        self.groups[group][chunk].get(index)
    }

    /// The newest item.
    pub(crate) fn last(&self) -> Option<&T> {
        self.tail.last()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let full = self.groups.iter().flat_map(|group| group.iter());
        full.chain([&self.tail]).flat_map(|chunk| chunk.iter())
    }

    /// How many items come before the first that is not `early`, which all before some place are and none behind it is.
    pub(crate) fn partition_point(&self, early: impl Fn(&T) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_early = self.get(middle).is_some_and(&early);
            (low, high) = if is_early { (middle + 1, high) } else { (low, middle) };
        }
        low
    }

    /// The first place in the tail.
    fn tail_begins(&self) -> u64 {
        self.len.saturating_sub(1) / CHUNK_COUNT_MAX as u64 * CHUNK_COUNT_MAX as u64
    }
}

impl<T: Clone> Chunks<T> {
    pub(crate) fn get_mut(&mut self, place: u64) -> Option<&mut T> {
        let tail_begins = self.tail_begins();
        if place >= tail_begins {
            return Arc::make_mut(&mut self.tail).get_mut((place - tail_begins) as usize);
        }
        let (group, chunk, index) = split(place);
        let chunk = &mut Arc::make_mut(&mut self.groups[group])[chunk];
        Arc::make_mut(chunk).get_mut(index)
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.tail.len() == CHUNK_COUNT_MAX {
            // The first chunk grows up to its size, so that a short list stays small.
            let empty = Arc::new(Vec::with_capacity(CHUNK_COUNT_MAX));
            let full = std::mem::replace(&mut self.tail, empty);
            match self.groups.last_mut() {
                Some(group) if group.len() < GROUP_COUNT_MAX => Arc::make_mut(group).push(full),
                _ => self.groups.push(Arc::new(vec![full])),
            }
        }
        Arc::make_mut(&mut self.tail).push(item);
        self.len += 1;
    }

    /// Takes the newest item back.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = Arc::make_mut(&mut self.tail).pop()?;
        self.len -= 1;
        if self.tail.is_empty()
            && let Some(group) = self.groups.last_mut()
        {
            let group = Arc::make_mut(group);
            self.tail = group.pop().expect("no group is empty");
            if group.is_empty() {
                self.groups.pop();
            }
        }
        Some(item)
    }
}

/// The group of a place in front of the tail, the chunk in that and the index in that.
fn split(place: u64) -> (usize, usize, usize) {
    let (chunk, index) = (place as usize / CHUNK_COUNT_MAX, place as usize % CHUNK_COUNT_MAX);
    (chunk / GROUP_COUNT_MAX, chunk % GROUP_COUNT_MAX, index)
}

/// Ascending numbers: those of a list up to some length.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ascending<'a> {
    /// `None` is as good as an empty one.
    list: Option<&'a Chunks<u64>>,
    len: u64,
}

impl<'a> Ascending<'a> {
    /// All numbers of a list, if there is one.
    pub(crate) fn all(list: Option<&'a Chunks<u64>>) -> Self {
        Self { list, len: list.map_or(0, Chunks::len) }
    }

    /// Those below `bound`.
    #[must_use]
    pub(crate) fn below(self, bound: u64) -> Self {
        Self { len: self.count_below(bound), ..self }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        let list = self.list.filter(|_| index < self.len)?;
        list.get(index).copied()
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.get(self.len.checked_sub(1)?)
    }

    /// How many are below `bound`.
    pub(crate) fn count_below(&self, bound: u64) -> u64 {
        self.list.map_or(0, |list| list.partition_point(|number| *number < bound)).min(self.len)
    }

    #[cfg(test)]
    pub(crate) fn to_vec(self) -> Vec<u64> {
        (0..self.len).filter_map(|index| self.get(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_place_across_chunks_and_groups() {
        let mut list = Chunks::new();
        assert_eq!((list.len(), list.last(), list.get(0)), (0, None, None));
        let count = (CHUNK_COUNT_MAX * GROUP_COUNT_MAX * 2 + 3) as u64;
        for number in 0..count {
            list.push(number);
            assert_eq!((list.len(), list.last()), (number + 1, Some(&number)));
        }
        assert_eq!((list.get(20_000), list.get(count), list.get(u64::MAX)), (Some(&20_000), None, None));
        assert!((0..count).all(|number| list.get(number) == Some(&number)));
        assert!(list.iter().copied().eq(0..count));
        assert!(list.iter().rev().copied().eq((0..count).rev()));
    }

    #[test]
    fn an_item_is_changed_where_it_is() {
        let mut list = Chunks::new();
        (0..300).for_each(|number| list.push(number));
        *list.get_mut(63).unwrap() = 7;
        *list.get_mut(299).unwrap() = 8;
        assert_eq!((list.get(63), list.get(64), list.get(299)), (Some(&7), Some(&64), Some(&8)));
        assert_eq!(list.get_mut(300), None);
    }

    #[test]
    fn items_taken_back_leave_no_empty_chunk() {
        let mut list = Chunks::new();
        let count = (CHUNK_COUNT_MAX * GROUP_COUNT_MAX + 2 * CHUNK_COUNT_MAX + 1) as u64;
        (0..count).for_each(|number| list.push(number));
        for number in (0..count).rev() {
            assert_eq!(list.pop(), Some(number));
            assert_eq!((list.len(), list.last().copied()), (number, number.checked_sub(1)));
        }
        assert_eq!((list.pop(), list), (None, Chunks::new()));
    }

    #[test]
    fn neither_of_two_copies_sees_what_becomes_of_the_other() {
        for count in [0, 1, 63, 64, 65, 20_000] {
            let mut list = Chunks::new();
            (0..count).for_each(|number| list.push(number));
            let mut copy = list.clone();
            (0..100).for_each(|_| copy.push(7));
            (0..count.min(70)).for_each(|_| assert!(list.pop().is_some()));
            (0..count / 2).step_by(50).for_each(|place| *copy.get_mut(place).unwrap() = u64::MAX);
            assert!(list.iter().copied().eq(0..count - count.min(70)), "{count} items");
            assert_eq!(
                (copy.len(), copy.last(), copy.iter().count() as u64),
                (count + 100, Some(&7), count + 100)
            );
        }
    }

    #[test]
    fn numbers_below_a_bound_are_found() {
        let mut list = Chunks::new();
        (0..200).for_each(|number| list.push(number * 2));
        let all = Ascending::all(Some(&list));
        assert_eq!((all.len(), all.last(), all.get(200), all.count_below(9)), (200, Some(398), None, 5));
        let some = all.below(9);
        assert_eq!((some.to_vec(), some.get(5), some.count_below(100)), (vec![0, 2, 4, 6, 8], None, 5));
        let none = Ascending::all(None);
        assert_eq!((none.len(), none.last(), none.count_below(1)), (0, None, 0));
    }
}
