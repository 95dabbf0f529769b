//! A list that grows at its end in chunks, so that growing never moves what is there.

/// Items in one chunk. The first chunk grows up to it, so that a short list stays small.
pub(crate) const CHUNK_COUNT_MAX: usize = 256;

/// Items in order, found by their place: 0, 1, 2 ... without gaps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunks<T>(Vec<Vec<T>>); // all but the last are full, none is empty

impl<T> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> u64 {
        let full = self.0.len().saturating_sub(1) * CHUNK_COUNT_MAX;
        (full + self.0.last().map_or(0, Vec::len)) as u64
    }

    pub(crate) fn get(&self, place: u64) -> Option<&T> {
        let (chunk, index) = split(place)?;
        self.0.get(chunk)?.get(index)
    }

    pub(crate) fn get_mut(&mut self, place: u64) -> Option<&mut T> {
        let (chunk, index) = split(place)?;
        self.0.get_mut(chunk)?.get_mut(index)
    }

    /// The newest item.
    pub(crate) fn last(&self) -> Option<&T> {
        self.0.last()?.last()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_COUNT_MAX => chunk.push(item),
            last => {
                let capacity = if last.is_some() { CHUNK_COUNT_MAX } else { 1 };
                let mut chunk = Vec::with_capacity(capacity);
                chunk.push(item);
                self.0.push(chunk);
            }
        }
    }

    /// Takes the newest item back.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let chunk = self.0.last_mut()?;
        let item = chunk.pop();
        if chunk.is_empty() {
            self.0.pop();
        }
        item
    }
}

/// The chunk of a place and the index in it.
fn split(place: u64) -> Option<(usize, usize)> {
    let place = usize::try_from(place).ok()?;
    Some((place / CHUNK_COUNT_MAX, place % CHUNK_COUNT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_place_across_chunks() {
        let mut list = Chunks::new();
        assert_eq!((list.len(), list.last(), list.get(0)), (0, None, None));
        let count = CHUNK_COUNT_MAX as u64 * 2 + 3;
        for number in 0..count {
            list.push(number);
            assert_eq!((list.len(), list.last()), (number + 1, Some(&number)));
        }
        assert_eq!((list.get(300), list.get(count), list.get(u64::MAX)), (Some(&300), None, None));
        assert!(list.iter().copied().eq(0..count));
        assert!(list.iter().rev().copied().eq((0..count).rev()));
    }

    #[test]
    fn an_item_is_changed_where_it_is() {
        let mut list = Chunks::new();
        (0..300).for_each(|number| list.push(number));
        *list.get_mut(257).unwrap() = 7;
        assert_eq!(list.get(257), Some(&7));
        assert_eq!(list.get_mut(300), None);
    }

    #[test]
    fn items_taken_back_leave_no_empty_chunk() {
        let mut list = Chunks::new();
        let count = CHUNK_COUNT_MAX as u64 + 1;
        (0..count).for_each(|number| list.push(number));
        for number in (0..count).rev() {
            assert_eq!(list.pop(), Some(number));
            assert_eq!(list.len(), number);
        }
        assert_eq!((list.pop(), list), (None, Chunks::new()));
    }
}
