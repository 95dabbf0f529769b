//! Which keys a walk passes.
use crate::operation::Direction;
use std::ops::{Bound, RangeBounds};

/// The keys that begin with `prefix` and lie behind `start_after` in the direction of the walk.
#[derive(Debug, Clone, Copy)]
pub struct KeyRange<'a> {
    /// What they begin with; empty means all.
    pub prefix: &'a str,
    /// What they lie behind, in that direction.
    pub start_after: Option<&'a str>,
    /// Which way to walk.
    pub direction: Direction,
}

/// The bounds of a walk: two texts between which every key of it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyBounds {
    pub(crate) lower: Bound<String>,
    pub(crate) upper: Bound<String>,
}

impl<'a> KeyRange<'a> {
    /// Every key that begins with `prefix`, ascending.
    pub(crate) fn prefix(prefix: &'a str) -> Self {
        Self { prefix, start_after: None, direction: Direction::Forward }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        key.starts_with(self.prefix)
            && self.start_after.is_none_or(|start| match self.direction {
                Direction::Forward => key > start,
                Direction::Reverse => key < start,
            })
    }

    /// Where the walk begins and ends; `None` when no key can lie there, as an ordered set refuses bounds that cross.
    pub(crate) fn bounds(&self) -> Option<KeyBounds> {
        let owned = |text: &str| text.to_owned();
        let end = prefix_end(self.prefix);
        let mut lower = Bound::Included(owned(self.prefix));
        let is_below_end = |text: &str| end.as_deref().is_none_or(|end| text < end);
        let mut upper = end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        match (self.start_after, self.direction) {
            (None, _) => {}
            (Some(start), Direction::Forward) if !is_below_end(start) => return None,
            (Some(start), Direction::Forward) if start >= self.prefix => {
                lower = Bound::Excluded(owned(start))
            }
            (Some(_), Direction::Forward) => {}
            (Some(start), Direction::Reverse) if start <= self.prefix => return None,
            (Some(start), Direction::Reverse) if is_below_end(start) => upper = Bound::Excluded(owned(start)),
            (Some(_), Direction::Reverse) => {}
        }
        Some(KeyBounds { lower, upper })
    }
}

impl KeyRange<'_> {
    /// The bounds of a walk that came to the key `last` and no further; without one it came to its end.
    pub(crate) fn bounds_to(&self, last: Option<&str>) -> Option<KeyBounds> {
        let mut bounds = self.bounds()?;
        let last = last.map(|last| Bound::Included(last.to_owned()));
        match (self.direction, last) {
            (_, None) => {}
            (Direction::Forward, Some(last)) => bounds.upper = last,
            (Direction::Reverse, Some(last)) => bounds.lower = last,
        }
        Some(bounds)
    }
}

impl KeyBounds {
    pub(crate) fn as_refs(&self) -> (Bound<&str>, Bound<&str>) {
        (self.lower.as_ref().map(String::as_str), self.upper.as_ref().map(String::as_str))
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        RangeBounds::<str>::contains(&self.as_refs(), key)
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
