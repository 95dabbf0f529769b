//! A key and the value under it in one allocation, shared by who holds either.
//!
//! ```text
//! u64 twice the size of the key, and 1 if the value is a text (little-endian) | key, UTF-8 | value
//! ```
//! Either may be empty: a key that is only looked for has no value, a value that stands under none has no key.
//!
//! # Why it is sound
//! Keys are looked at at every read and most values are texts, so neither is proved again each time to be UTF-8: a key, and a value that is
//! marked as a text, were copied from a `str` by the only functions that make a pair, and no pair is changed once it is made.
#![expect(unsafe_code, reason = "bytes beside a value cannot be of the type of text")]

use std::sync::Arc;

/// What stands in front of the key. It leaves the key where a word begins: who searches it goes word by word.
const HEAD_SIZE: usize = size_of::<u64>();

/// What stands in the value in front of its text, where it is one.
const TEXT_HEAD_SIZE: usize = 5;

/// A key and a value.
#[derive(Clone)]
pub(crate) struct Pair(Arc<[u8]>);

impl Pair {
    /// One allocation with this key, and a value of `value_size` bytes, all of them put by `fill`.
    ///
    /// # Panics
    /// If `fill` puts fewer bytes.
    pub(crate) fn new(key: &str, value_size: usize, fill: impl FnOnce(&mut &mut [u8])) -> Self {
        Self::filled(key, false, value_size, |mut value| {
            fill(&mut value);
            assert!(value.is_empty(), "a value is as large as it was measured");
        })
    }

    /// The same with a value that is a text behind its head.
    pub(crate) fn of_text(key: &str, text_head: [u8; TEXT_HEAD_SIZE], text: &str) -> Self {
        Self::filled(key, true, TEXT_HEAD_SIZE + text.len(), |value| {
            let (head, content) = value.split_at_mut(TEXT_HEAD_SIZE);
            head.copy_from_slice(&text_head);
            content.copy_from_slice(text.as_bytes());
        })
    }

    fn filled(key: &str, is_text: bool, value_size: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let bytes = Arc::<[u8]>::new_zeroed_slice(HEAD_SIZE + key.len() + value_size);
        // SAFETY: all of it is zero, which is a value of a byte.
        let mut bytes = unsafe { bytes.assume_init() };
        let rest = Arc::get_mut(&mut bytes).expect("nobody else has seen the new slice");
        let (head, rest) = rest.split_at_mut(HEAD_SIZE);
        let (name, value) = rest.split_at_mut(key.len());
        // No text is as large as half of what an address tells apart.
        head.copy_from_slice(&((key.len() as u64) << 1 | u64::from(is_text)).to_le_bytes());
        name.copy_from_slice(key.as_bytes());
        fill(value);
        Self(bytes)
    }

    /// Whether the value is a text, the key, and the value.
    #[inline]
    fn split(&self) -> (bool, &[u8], &[u8]) {
        let (head, rest) = self.0.split_first_chunk().expect("every pair has a head");
        let head = u64::from_le_bytes(*head);
        let (key, value) = rest.split_at((head >> 1) as usize);
        (head & 1 == 1, key, value)
    }

    #[inline]
    pub(crate) fn key(&self) -> &str {
        let (_, key, _) = self.split();
        // SAFETY: `filled` alone makes a pair and copied a `str` there, whose size stands in front of it; nobody changes a pair once it
        // is made, as the slice is shared and never borrowed mutably again.
        unsafe { std::str::from_utf8_unchecked(key) }
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.split().2
    }

    /// The text, if the value was made as one.
    #[inline]
    pub(crate) fn text(&self) -> Option<&str> {
        let (is_text, _, value) = self.split();
        // SAFETY: only `of_text` marks a value as a text, and copied a `str` behind so many bytes of it; nobody changes a pair once it is
        // made.
        is_text.then(|| unsafe { std::str::from_utf8_unchecked(&value[TEXT_HEAD_SIZE..]) })
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
                assert_eq!((pair.key(), pair.value(), pair.text()), (key, value, None));
                assert!(pair.is_same(&pair.clone()));
            }
            for text in ["", "gr\u{fc}n", "\u{10ffff}"] {
                let pair = Pair::of_text(key, *b"\xff1234", text);
                let value = [b"\xff1234", text.as_bytes()].concat();
                assert_eq!((pair.key(), pair.value(), pair.text()), (key, &value[..], Some(text)));
            }
        }
    }

    #[test]
    #[should_panic(expected = "as large as it was measured")]
    fn a_value_that_is_not_filled_is_our_mistake() {
        drop(Pair::new("key", 1, |_| {}));
    }
}
