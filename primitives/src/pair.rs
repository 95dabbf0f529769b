//! A key and the value under it in one allocation, shared by who holds either.
//!
//! ```text
//! u64 size of the key (little-endian) | key, UTF-8 | value
//! ```
//! Either may be empty: a key that is only looked for has no value, a value that stands under none has no key.
//!
//! # Why it is sound
//! The text of the key is looked at at every read, so it is not proved again each time that it is UTF-8: it was copied from a `str`
//! by the only function that makes a pair, and no pair is changed once it is made.
#![expect(unsafe_code, reason = "bytes beside a value cannot be of the type of text")]

use std::sync::Arc;

/// What stands in front of the key. It leaves the key where a word begins: who searches it goes word by word.
const HEAD_SIZE: usize = size_of::<u64>();

/// A key and a value.
#[derive(Clone)]
pub(crate) struct Pair(Arc<[u8]>);

impl Pair {
    /// One allocation with this key, and a value of `value_size` bytes, all of them put by `fill`.
    ///
    /// # Panics
    /// If `fill` puts fewer bytes.
    pub(crate) fn new(key: &str, value_size: usize, fill: impl FnOnce(&mut &mut [u8])) -> Self {
        let bytes = Arc::<[u8]>::new_zeroed_slice(HEAD_SIZE + key.len() + value_size);
        // SAFETY: all of it is zero, which is a value of a byte.
        let mut bytes = unsafe { bytes.assume_init() };
        let rest = Arc::get_mut(&mut bytes).expect("nobody else has seen the new slice");
        let (head, rest) = rest.split_at_mut(HEAD_SIZE);
        let (text, mut value) = rest.split_at_mut(key.len());
        head.copy_from_slice(&(key.len() as u64).to_le_bytes());
        text.copy_from_slice(key.as_bytes());
        fill(&mut value);
        assert!(value.is_empty(), "a value is as large as it was measured");
        Self(bytes)
    }

    /// The key and the value.
    #[inline]
    fn split(&self) -> (&[u8], &[u8]) {
        let (head, rest) = self.0.split_first_chunk().expect("every pair has a head");
        rest.split_at(u64::from_le_bytes(*head) as usize)
    }

    #[inline]
    pub(crate) fn key(&self) -> &str {
        let (key, _) = self.split();
        // SAFETY: `new` is the only way to make a pair and copied a `str` there, whose size stands in front of it; nobody changes a
        // pair once it is made, as the slice is shared and never borrowed mutably again.
        unsafe { std::str::from_utf8_unchecked(key) }
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.split().1
    }

    /// Whether both are one allocation.
    #[inline]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_holds_both_and_either_may_be_empty() {
        for key in ["", "a", "plan/\u{10ffff}"] {
            for value in [&b""[..], b"\xff", b"value"] {
                let pair = Pair::new(key, value.len(), |out| {
                    out.copy_from_slice(value);
                    *out = &mut [];
                });
                assert_eq!((pair.key(), pair.value()), (key, value));
                assert!(pair.is_same(&pair.clone()));
            }
        }
    }

    #[test]
    #[should_panic(expected = "as large as it was measured")]
    fn a_value_that_is_not_filled_is_our_mistake() {
        drop(Pair::new("key", 1, |_| {}));
    }
}
