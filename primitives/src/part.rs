//! A small hash map whose entries lie side by side: what a [`SplitMap`](crate::SplitMap) is made of.
//!
//! A table of slots has to leave a good part of them empty, so it holds only the places of entries here; the entries themselves are
//! in a list that is as long as they need. A copy is the copy of two lists, and a walk passes no empty slots.
use hashbrown::HashTable;

/// Room is made for so many entries at a time: more of it is left unused, less of it moves the list more often.
const ROOM: usize = 8;

/// A place as it is kept.
///
/// # Panics
/// If a part has 65,536 entries: some 300 times as many as its hashes should give it, and who chooses keys sees neither those nor their seeds.
fn place_of(place: usize) -> u16 {
    u16::try_from(place).expect("a part is small")
}

/// Entries in no order, each found by its hash.
#[derive(Debug)]
pub(crate) struct Part<K, V> {
    entries: Vec<(K, V)>,
    /// The place of each entry, under its hash.
    places: HashTable<u16>,
}

/// With as much room: it takes as many bytes, and what is added to it moves nothing.
impl<K: Clone, V: Clone> Clone for Part<K, V> {
    fn clone(&self) -> Self {
        let mut entries = Vec::with_capacity(self.entries.capacity());
        entries.extend_from_slice(&self.entries);
        Self { entries, places: self.places.clone() }
    }
}

impl<K, V> Part<K, V> {
    /// An empty one with room for so many entries. It has twice as many before their keys are looked at again to make room for more places.
    pub(crate) fn with_room(count: usize) -> Self {
        Self { entries: Vec::with_capacity(count), places: HashTable::with_capacity(2 * count) }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (K, V)> {
        self.entries.iter()
    }

    /// The entry at a place.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> &(K, V) {
        &self.entries[place]
    }

    /// Bytes that are allocated for entries and their places, used or not.
    pub(crate) fn allocation_size(&self) -> usize {
        self.entries.capacity() * size_of::<(K, V)>() + self.places.allocation_size()
    }

    /// The place of the entry with this hash whose key `is_it`.
    #[inline]
    pub(crate) fn place(&self, hash: u64, is_it: impl Fn(&K) -> bool) -> Option<usize> {
        let place = self.places.find(hash, |place| is_it(&self.entries[*place as usize].0))?;
        Some(*place as usize)
    }

    /// The entry with this hash whose key `is_it`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&K) -> bool) -> Option<&(K, V)> {
        Some(&self.entries[self.place(hash, is_it)?])
    }

    /// The same, to be changed: its key by an equal one.
    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, is_it: impl Fn(&K) -> bool) -> Option<&mut (K, V)> {
        let place = self.place(hash, is_it)?;
        Some(&mut self.entries[place])
    }

    /// The value at a place, to be changed.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn value_mut(&mut self, place: usize) -> &mut V {
        &mut self.entries[place].1
    }

    /// Adds an entry with this hash whose key is not there; `hash_of` tells the hash of each.
    pub(crate) fn insert_new(&mut self, hash: u64, entry: (K, V), hash_of: impl Fn(&K) -> u64) {
        let Self { entries, places } = self;
        let place = entries.len();
        if entries.capacity() == place {
            entries.reserve_exact(ROOM);
        }
        entries.push(entry);
        places.insert_unique(hash, place_of(place), |place| hash_of(&entries[*place as usize].0));
    }

    /// The value of the entry that was added last.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn last_mut(&mut self) -> &mut V {
        &mut self.entries.last_mut().expect("an entry was added").1
    }

    /// Takes out the entry with this hash whose key `is_it`; the last one takes its place.
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(&K) -> bool,
        hash_of: impl Fn(&K) -> u64,
    ) -> Option<(K, V)> {
        let Self { entries, places } = self;
        let found = places.find_entry(hash, |place| is_it(&entries[*place as usize].0)).ok()?;
        let (place, _) = found.remove();
        let removed = entries.swap_remove(place as usize);
        if let Some((moved, _)) = entries.get(place as usize) {
            let last = place_of(entries.len());
            let moved = places.find_mut(hash_of(moved), |place| *place == last);
            *moved.expect("every entry has its place") = place;
        }
        Some(removed)
    }

    /// Takes out all entries whose hash `moves` names; the others are packed. Each key is looked at once.
    pub(crate) fn split(&mut self, moves: impl Fn(u64) -> bool, hash_of: impl Fn(&K) -> u64) -> Self {
        let hashes: Vec<u64> = self.entries.iter().map(|(key, _)| hash_of(key)).collect();
        let moved_count = hashes.iter().filter(|hash| moves(**hash)).count();
        let (mut moved, mut kept) = (Self::with_room(moved_count), Self::with_room(self.len() - moved_count));
        for (hash, entry) in hashes.into_iter().zip(std::mem::take(&mut self.entries)) {
            let part = if moves(hash) { &mut moved } else { &mut kept };
            part.insert_new(hash, entry, &hash_of);
        }
        *self = kept;
        moved
    }
}
