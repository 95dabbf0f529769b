//! The items of a JSON array: a plain list while short, a balanced tree of chunks when long.
use super::node::Node;

/// The longest container that is a plain list: below this, copying it is cheaper than walking a tree.
pub(super) const SMALL_MAX: usize = 32;

/// A tree becomes a list again only well below the border, so that no sequence of changes converts at every step.
pub(super) const SMALL_AGAIN: usize = SMALL_MAX / 2;

/// Items in order. Cloning a long list shares it; changing one copies a path of it.
#[derive(Clone)]
pub(super) enum Items {
    Small(Vec<Node>),
    Large(imbl::Vector<Node>),
}

impl Items {
    pub(super) fn new(items: Vec<Node>) -> Self {
        if items.len() <= SMALL_MAX { Self::Small(items) } else { Self::Large(items.into()) }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(items) => items.len(),
            Self::Large(items) => items.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Node> {
        match self {
            Self::Small(items) => items.get(index),
            Self::Large(items) => items.get(index),
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Node> {
        match self {
            Self::Small(items) => items.get_mut(index),
            Self::Large(items) => items.get_mut(index),
        }
    }

    /// # Panics
    /// If `index` is beyond the end.
    pub(super) fn insert(&mut self, index: usize, item: Node) {
        match self {
            Self::Small(items) => items.insert(index, item),
            Self::Large(items) => items.insert(index, item),
        }
        if let Self::Small(items) = self
            && items.len() > SMALL_MAX
        {
            *self = Self::Large(std::mem::take(items).into());
        }
    }

    /// # Panics
    /// If nothing is at `index`.
    pub(super) fn remove(&mut self, index: usize) -> Node {
        let removed = match self {
            Self::Small(items) => items.remove(index),
            Self::Large(items) => items.remove(index),
        };
        if let Self::Large(items) = self
            && items.len() <= SMALL_AGAIN
        {
            *self = Self::Small(items.iter().cloned().collect());
        }
        removed
    }

    /// The items in order.
    pub(super) fn to_vec(&self) -> Vec<&Node> {
        let mut items = Vec::with_capacity(self.len());
        self.for_each(|item| items.push(item));
        items
    }

    /// Calls `visit` with each item in order.
    pub(super) fn for_each<'a>(&'a self, visit: impl FnMut(&'a Node)) {
        match self {
            Self::Small(items) => items.iter().for_each(visit),
            Self::Large(items) => items.iter().for_each(visit),
        }
    }
}

/// The index a segment names: decimal, without leading zeros (RFC 6901, section 4). `-` is none.
pub(super) fn parse_index(token: &str) -> Option<usize> {
    let is_number = token.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = token.len() > 1 && token.starts_with('0');
    if is_number && !is_padded { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_decimal_without_leading_zeros() {
        for (token, index) in [("0", 0), ("7", 7), ("10", 10), ("18446744073709551615", usize::MAX)] {
            assert_eq!(parse_index(token), Some(index));
        }
        for token in ["", "-", "-1", "+1", "00", "01", "1.0", "1e0", "a", " 1", "18446744073709551616", "１"]
        {
            assert_eq!(parse_index(token), None, "{token:?}");
        }
    }
}
