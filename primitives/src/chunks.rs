//! A list that grows at its end in chunks and is cut at its front, so that neither moves what is there, and copies share what
//! neither has changed.
use std::sync::Arc;

/// Items in one chunk: as many are copied at most when one is changed that a copy of the list shares.
pub(crate) const CHUNK_COUNT_MAX: usize = 64;
/// Full chunks in one group.
const GROUP_COUNT_MAX: usize = 256;

/// Items in order, found by their place: 0, 1, 2 ... without gaps. An item keeps its place when those in front of it are removed.
///
/// A clone copies one pointer for every 16,384 items, and shares all items until either is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunks<T> {
    /// The place of the first item, and the place behind the last.
    first: u64,
    end: u64,
    /// Full chunks, but for what was removed at the front; all groups but the first and the last are full, and none is empty.
    groups: Vec<Group<T>>,
    /// The newest items, at least one unless there are none.
    tail: Arc<Vec<T>>,
}

type Chunk<T> = Arc<Vec<T>>;
type Group<T> = Arc<Vec<Chunk<T>>>;

impl<T> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self::behind(0)
    }

    /// No items, and as many removed.
    pub(crate) fn behind(removed: u64) -> Self {
        Self { first: removed, end: removed, groups: Vec::new(), tail: Arc::default() }
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.first
    }

    /// The place of the first item: as many were removed.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The place behind the last item: as many were ever put in.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn get(&self, place: u64) -> Option<&T> {
        if place < self.first {
            return None;
        }
        match self.find(place) {
            Found::InTail { index } => self.tail.get(index),
            Found::InGroup { group, chunk, index } => self.groups[group][chunk].get(index),
        }
    }

    /// The newest item.
    pub(crate) fn last(&self) -> Option<&T> {
        self.tail.last()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let full = self.groups.iter().flat_map(|group| group.iter());
        full.chain([&self.tail]).flat_map(|chunk| chunk.iter())
    }

    /// The place of the first item that is not `early`, which all before some place are and none behind it is; the end if all are.
    pub(crate) fn partition_point(&self, early: impl Fn(&T) -> bool) -> u64 {
        let (mut low, mut high) = (self.first, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_early = self.get(middle).is_some_and(&early);
            (low, high) = if is_early { (middle + 1, high) } else { (low, middle) };
        }
        low
    }

    /// Where a place is that is not in front of the first.
    fn find(&self, place: u64) -> Found {
        let tail_begins = begin_of_chunk(self.end.saturating_sub(1)).max(self.first);
        if place >= tail_begins {
            return Found::InTail { index: (place - tail_begins) as usize };
        }
        let (of_first, of_place) = (chunk_of(self.first), chunk_of(place));
        let group = of_place / GROUP_COUNT_MAX - of_first / GROUP_COUNT_MAX;
        let chunk = match group {
            0 => of_place - of_first,
            _ => of_place % GROUP_COUNT_MAX,
        };
        Found::InGroup { group, chunk, index: (place - begin_of_chunk(place).max(self.first)) as usize }
    }
}

enum Found {
    InTail { index: usize },
    InGroup { group: usize, chunk: usize, index: usize },
}

/// The number of the chunk in which a place is.
fn chunk_of(place: u64) -> usize {
    place as usize / CHUNK_COUNT_MAX
}

/// The first place of that chunk.
fn begin_of_chunk(place: u64) -> u64 {
    place / CHUNK_COUNT_MAX as u64 * CHUNK_COUNT_MAX as u64
}

impl<T: Clone> Chunks<T> {
    pub(crate) fn get_mut(&mut self, place: u64) -> Option<&mut T> {
        if place < self.first {
            return None;
        }
        match self.find(place) {
            Found::InTail { index } => Arc::make_mut(&mut self.tail).get_mut(index),
            Found::InGroup { group, chunk, index } => {
                let chunk = &mut Arc::make_mut(&mut self.groups[group])[chunk];
                Arc::make_mut(chunk).get_mut(index)
            }
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        let is_chunk_full = self.end == begin_of_chunk(self.end);
        if is_chunk_full && !self.tail.is_empty() {
            // The first chunk grows up to its size, so that a short list stays small.
            let empty = Arc::new(Vec::with_capacity(CHUNK_COUNT_MAX));
            let full = std::mem::replace(&mut self.tail, empty);
            let begins_group = (chunk_of(self.end) - 1).is_multiple_of(GROUP_COUNT_MAX);
            match self.groups.last_mut() {
                Some(group) if !begins_group => Arc::make_mut(group).push(full),
                _ => self.groups.push(Arc::new(vec![full])),
            }
        }
        Arc::make_mut(&mut self.tail).push(item);
        self.end += 1;
    }

    /// Takes the newest item back.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = Arc::make_mut(&mut self.tail).pop()?;
        self.end -= 1;
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

    /// Removes so many items at the front, or all there are.
    pub(crate) fn take_front(&mut self, count: u64) -> Vec<T> {
        let mut taken = Vec::with_capacity(count.min(self.len()) as usize);
        self.remove_front(count, |items| taken.extend(Arc::unwrap_or_clone(items)));
        taken
    }

    /// The same, and what a copy shares is not looked at.
    pub(crate) fn drop_front(&mut self, count: u64) {
        self.remove_front(count, drop);
    }

    fn remove_front(&mut self, count: u64, mut each: impl FnMut(Chunk<T>)) {
        let mut left = count.min(self.len()) as usize;
        while left > 0 {
            let removed = match self.groups.first_mut() {
                None => cut(&mut self.tail, left),
                Some(group) => {
                    let group = Arc::make_mut(group);
                    match group[0].len() <= left {
                        true => group.remove(0),
                        false => cut(&mut group[0], left),
                    }
                }
            };
            if self.groups.first().is_some_and(|group| group.is_empty()) {
                self.groups.remove(0);
            }
            self.first += removed.len() as u64;
            left -= removed.len();
            each(removed);
        }
    }

    /// Puts back the items that were taken last from the front.
    pub(crate) fn put_back_front(&mut self, taken: Vec<T>) {
        taken.into_iter().rev().for_each(|item| self.push_front(item));
    }

    fn push_front(&mut self, item: T) {
        let is_own_chunk = self.first == begin_of_chunk(self.first) && self.len() > 0;
        self.first -= 1;
        if !is_own_chunk {
            let front = match self.groups.first_mut() {
                Some(group) => &mut Arc::make_mut(group)[0],
                None => &mut self.tail,
            };
            Arc::make_mut(front).insert(0, item);
            return;
        }
        let chunk = Arc::new(vec![item]);
        let ends_group = (chunk_of(self.first) + 1).is_multiple_of(GROUP_COUNT_MAX);
        match self.groups.first_mut() {
            Some(group) if !ends_group => Arc::make_mut(group).insert(0, chunk),
            _ => self.groups.insert(0, Arc::new(vec![chunk])),
        }
    }
}

/// Takes so many items from the front of a chunk, which may be all of them.
fn cut<T: Clone>(chunk: &mut Chunk<T>, count: usize) -> Chunk<T> {
    if count >= chunk.len() {
        return std::mem::take(chunk);
    }
    Arc::new(Arc::make_mut(chunk).drain(..count).collect())
}

/// Ascending numbers: those of a list, but for what was removed at its front, up to some length.
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
        list.get(list.first() + index).copied()
    }

    /// How many were removed in front of these.
    pub(crate) fn removed(&self) -> u64 {
        self.list.map_or(0, Chunks::first)
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.get(self.len.checked_sub(1)?)
    }

    /// How many are below `bound`.
    pub(crate) fn count_below(&self, bound: u64) -> u64 {
        let below = |list: &Chunks<u64>| list.partition_point(|number| *number < bound) - list.first();
        self.list.map_or(0, below).min(self.len)
    }

    #[cfg(test)]
    pub(crate) fn to_vec(self) -> Vec<u64> {
        (0..self.len).filter_map(|index| self.get(index)).collect()
    }
}

#[path = "chunks_apart.rs"]
mod apart;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

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
    fn items_keep_their_places_when_those_in_front_are_removed() {
        let group = (CHUNK_COUNT_MAX * GROUP_COUNT_MAX) as u64;
        for (count, removed) in [(1, 1), (64, 64), (65, 64), (200, 63), (200, 130), (group + 70, group + 1)] {
            let mut list = Chunks::new();
            (0..count).for_each(|number| list.push(number));
            let before = list.clone();
            assert_eq!(list.take_front(removed), Vec::from_iter(0..removed));
            assert_eq!((list.first(), list.end(), list.len()), (removed, count, count - removed));
            assert!((0..count + 2).all(|place| {
                list.get(place).copied() == Some(place).filter(|place| (removed..count).contains(place))
            }));
            assert_eq!(list.get_mut(removed - 1), None);
            assert_eq!(list.iter().count() as u64, count - removed);
            assert_eq!(list.partition_point(|number| *number < removed + 1), (removed + 1).min(count));
            let mut anew = Chunks::behind(removed);
            (removed..count).for_each(|number| anew.push(number));
            assert_eq!(anew, list, "{removed} of {count}");
            list.put_back_front(Vec::from_iter(0..removed));
            assert_eq!(list, before, "{removed} of {count}");
        }
    }

    #[test]
    fn a_list_that_is_cut_while_it_grows_is_a_plain_one() {
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let (mut list, mut plain, mut first) = (Chunks::new(), VecDeque::new(), 0);
        for round in 0..4_000 {
            let end = first + plain.len() as u64;
            match random(6) {
                0..3 => (end..end + random(2_000)).for_each(|number| {
                    list.push(number);
                    plain.push_back(number);
                }),
                3 => {
                    let (count, shared) = (random(4_000), (random(2) == 0).then(|| list.clone()));
                    let is = Vec::from_iter(plain.drain(..plain.len().min(count as usize)));
                    let taken = match random(2) {
                        0 => list.take_front(count),
                        _ => {
                            list.drop_front(count);
                            is.clone()
                        }
                    };
                    assert_eq!(taken, is);
                    first += is.len() as u64;
                    if random(2) == 0 {
                        first -= is.len() as u64;
                        list.put_back_front(taken.clone());
                        taken.into_iter().rev().for_each(|number| plain.push_front(number));
                    }
                    assert!(shared.is_none_or(|shared| shared.iter().next() == is.first().or(plain.front())));
                }
                4 => (0..random(500)).for_each(|_| assert_eq!(list.pop(), plain.pop_back())),
                _ => {
                    let place = first + random(plain.len() as u64 + 1);
                    if let Some(item) = list.get_mut(place) {
                        assert_eq!(*item, place, "round {round}");
                    }
                }
            }
            assert_eq!((list.first(), list.len()), (first, plain.len() as u64), "round {round}");
            assert_eq!(list.last(), plain.back());
            let place = first + random(plain.len() as u64 + 1);
            assert_eq!(list.get(place), plain.get((place - first) as usize), "round {round}");
        }
        assert!(list.iter().eq(plain.iter()));
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
        let removed = {
            let mut list = list.clone();
            list.drop_front(70);
            list
        };
        let left = Ascending::all(Some(&removed));
        assert_eq!((left.removed(), left.len(), left.get(0), left.last()), (70, 130, Some(140), Some(398)));
        assert_eq!(
            (left.count_below(9), left.count_below(141), left.below(143).to_vec()),
            (0, 1, vec![140, 142])
        );
        let all = Ascending::all(Some(&list));
        assert_eq!((all.len(), all.last(), all.get(200), all.count_below(9)), (200, Some(398), None, 5));
        let some = all.below(9);
        assert_eq!((some.to_vec(), some.get(5), some.count_below(100)), (vec![0, 2, 4, 6, 8], None, 5));
        let none = Ascending::all(None);
        assert_eq!((none.len(), none.last(), none.count_below(1)), (0, None, 0));
    }
}
