//! The name under which a run finds something.
use crate::pair::Pair;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// The key of a value, or the name of a cell or document: text, shared and cheap to clone.
///
/// One that was put with its value lies in one allocation with that, and holds both for as long as any clone is there;
/// [`alone`](Self::alone) makes one that holds only itself.
///
/// ```
/// use strata_primitives::Key;
/// let key = Key::from("plan/1");
/// assert!(key.starts_with("plan/") && key == *"plan/1");
/// ```
#[derive(Clone)]
pub struct Key(pub(crate) Pair);

impl Key {
    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.key()
    }

    /// The same key, which holds no value.
    pub fn alone(&self) -> Self {
        if self.value().is_empty() { self.clone() } else { Self::from(self.as_str()) }
    }

    /// The value that it lies in one allocation with.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.0.value()
    }

    /// The text of that value, if it was made as one.
    #[inline]
    pub(crate) fn text(&self) -> Option<&str> {
        self.0.text()
    }

    /// Whether both are one allocation.
    #[inline]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }
}

impl Deref for Key {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Key {
    #[inline]
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(Pair::new(text, 0, |_| {}))
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl PartialEq<str> for Key {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoded::Encoded;

    #[test]
    fn a_key_alone_holds_no_value() {
        let value = Encoded::from_int(7).under(&Key::from("plan"));
        let key = value.key();
        assert_eq!((key.as_str(), key.value()), ("plan", value.as_bytes()));
        let alone = key.alone();
        assert_eq!((alone.as_str(), alone.value()), ("plan", &b""[..]));
        assert!(alone.is_same(&alone.alone()), "it is alone already");
        assert_eq!(*key, alone);
    }
}
