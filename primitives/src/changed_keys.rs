//! The keys that commits and deadlines have changed since a snapshot, in order.
//!
//! A transaction may have looked at very many ranges while very many keys changed. So the changed ones are sorted once,
//! and each range finds its first one by bisection.
use crate::key::Key;
use crate::key_range::KeyBounds;
use std::ops::Bound;

/// Changed keys of one kind.
#[derive(Debug)]
pub(crate) struct ChangedKeys<'a> {
    /// Those that hold something else, or came, or went.
    changed: Vec<&'a Key>,
    /// Those that came or went.
    moved: Vec<&'a Key>,
}

/// What has become of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// It holds something else.
    Changed,
    /// It is there and was not, or the other way round.
    Moved,
}

impl<'a> ChangedKeys<'a> {
    /// Sorts `touched` keys, which may repeat and be as they were: `change_of` tells.
    pub(crate) fn new(
        touched: impl Iterator<Item = &'a Key>,
        change_of: impl Fn(&Key) -> Option<KeyChange>,
    ) -> Self {
        let mut touched: Vec<_> = touched.collect();
        touched.sort_unstable();
        touched.dedup();
        let (mut changed, mut moved) = (Vec::new(), Vec::new());
        for key in touched {
            let Some(change) = change_of(key) else { continue };
            changed.push(key);
            if change == KeyChange::Moved {
                moved.push(key);
            }
        }
        Self { changed, moved }
    }

    /// The first within `bounds` that changed; with `presence_only`, the first that came or went.
    pub(crate) fn first_within(&self, bounds: &KeyBounds, presence_only: bool) -> Option<&'a Key> {
        let keys = if presence_only { &self.moved } else { &self.changed };
        let is_before = |key: &&Key| match &bounds.lower {
            Bound::Included(lower) => ***key < **lower,
            Bound::Excluded(lower) => ***key <= **lower,
            Bound::Unbounded => false,
        };
        let first = keys.get(keys.partition_point(is_before)).copied()?;
        bounds.contains(first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(lower: Bound<&str>, upper: Bound<&str>) -> KeyBounds {
        KeyBounds { lower: lower.map(str::to_owned), upper: upper.map(str::to_owned) }
    }

    #[test]
    fn a_range_finds_its_first_changed_key() {
        let touched: Vec<Key> = ["d", "b", "b", "same", "e"].map(Key::from).into();
        let change_of = |key: &Key| match &**key {
            "same" => None,
            "d" => Some(KeyChange::Moved),
            _ => Some(KeyChange::Changed),
        };
        let keys = ChangedKeys::new(touched.iter(), change_of);
        let first = |lower, upper, presence_only| {
            keys.first_within(&bounds(lower, upper), presence_only).map(|key| key.to_string())
        };
        let (unbounded, b, d) = (Bound::Unbounded, "b", "d");
        assert_eq!(first(unbounded, unbounded, false).as_deref(), Some("b"));
        assert_eq!(first(Bound::Included(b), unbounded, false).as_deref(), Some("b"));
        assert_eq!(first(Bound::Excluded(b), unbounded, false).as_deref(), Some("d"));
        assert_eq!(first(Bound::Excluded(b), Bound::Excluded(d), false), None);
        assert_eq!(first(Bound::Excluded(b), Bound::Included(d), false).as_deref(), Some("d"));
        assert_eq!(first(Bound::Excluded("e"), unbounded, false), None, "what is as it was is no change");
        assert_eq!(first(unbounded, unbounded, true).as_deref(), Some("d"));
        assert_eq!(
            first(Bound::Excluded(d), unbounded, true),
            None,
            "what holds something else is still there"
        );
    }
}
