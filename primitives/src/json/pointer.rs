//! The place of something inside a JSON document: a JSON Pointer (RFC 6901).
use crate::error::{Error, ErrorKind};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A parsed JSON Pointer, cheap to clone.
///
/// Its text is canonical: two pointers name the same place exactly when their texts are equal. Ordered by text.
///
/// ```
/// use strata_primitives::Pointer;
///
/// let place = Pointer::parse("/stays/0/a~1b", 256).unwrap();
/// assert_eq!(place.tokens().collect::<Vec<_>>(), ["stays", "0", "a/b"]);
/// assert!(Pointer::parse("/stays", 256).unwrap().contains(&place));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(Arc<str>);

impl Pointer {
    /// The pointer to the whole document.
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// Parses `text`: nothing for the root, else `/` before each segment, `~0` for `~` and `~1` for `/`.
    ///
    /// # Errors
    /// `InvalidArgument` for text that is not a pointer or has more than `segments_max` segments.
    pub fn parse(text: &str, segments_max: usize) -> Result<Self, Error> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(invalid(format!("the pointer {:?} does not begin with '/'", shown(text))));
        }
        if let Some(index) = find_bad_escape(text) {
            return Err(invalid(format!(
                "the pointer {:?} has a '~' at byte {index} that neither 0 nor 1 follows",
                shown(text)
            )));
        }
        let pointer = Self(Arc::from(text));
        let count = pointer.token_count();
        if count > segments_max {
            return Err(invalid(format!(
                "a path has at most {segments_max} segments, the given one has {count}"
            )));
        }
        Ok(pointer)
    }

    /// The pointer as read back from a record; `None` for text that is not one.
    pub(crate) fn from_record(text: &str) -> Option<Self> {
        let is_pointer = (text.is_empty() || text.starts_with('/')) && find_bad_escape(text).is_none();
        is_pointer.then(|| Self(Arc::from(text)))
    }

    /// Whether this is the whole document.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, as parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments from the root down, unescaped.
    pub fn tokens(&self) -> impl Iterator<Item = Cow<'_, str>> {
        // The piece before the first '/' is empty: every segment has its own '/'.
        self.0.split('/').skip(1).map(unescape)
    }

    /// How many segments there are; none at the root.
    pub fn token_count(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'/').count()
    }

    /// The place around this one and the segment that leads here; `None` at the root.
    pub fn split_last(&self) -> Option<(Pointer, Cow<'_, str>)> {
        let (parent, token) = self.0.rsplit_once('/')?;
        Some((Self(Arc::from(parent)), unescape(token)))
    }

    /// The place `token` leads to from here; `token` is not yet escaped.
    pub fn join(&self, token: &str) -> Pointer {
        let mut text = String::with_capacity(self.0.len() + 1 + token.len());
        text.push_str(&self.0);
        text.push('/');
        for char in token.chars() {
            match char {
                '~' => text.push_str("~0"),
                '/' => text.push_str("~1"),
                char => text.push(char),
            }
        }
        Self(text.into())
    }

    /// Whether `other` is this place or lies inside it.
    pub fn contains(&self, other: &Pointer) -> bool {
        other.0.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// As much of a path or a name as a message can carry: it may be as long as a document.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    const SHOWN_SIZE_MAX: usize = 200;
    match text.len() <= SHOWN_SIZE_MAX {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("{}...", &text[..text.floor_char_boundary(SHOWN_SIZE_MAX)])),
    }
}

fn find_bad_escape(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_bad = |index: &usize| bytes[*index] == b'~' && !matches!(bytes.get(index + 1), Some(b'0' | b'1'));
    (0..bytes.len()).find(is_bad)
}

fn unescape(token: &str) -> Cow<'_, str> {
    if !token.contains('~') {
        return Cow::Borrowed(token);
    }
    // This order, so that "~01" becomes "~1" and not "/" (RFC 6901, section 4).
    Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text, 256).unwrap()
    }

    #[test]
    fn segments_come_back_unescaped() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("/", &[""]),
            ("/a/b", &["a", "b"]),
            ("//", &["", ""]),
            ("/a~1b", &["a/b"]),
            ("/m~0n", &["m~n"]),
            ("/~01", &["~1"]),
            ("/é/ /-", &["é", " ", "-"]),
        ];
        for (text, tokens) in cases {
            assert_eq!(pointer(text).tokens().collect::<Vec<_>>(), tokens, "{text:?}");
            assert_eq!(pointer(text).token_count(), tokens.len());
            let joined = tokens.iter().fold(Pointer::root(), |place, token| place.join(token));
            assert_eq!(joined, pointer(text), "joining the segments gives the pointer back");
            assert_eq!(joined.to_string(), text);
        }
    }

    #[test]
    fn text_that_is_no_pointer_is_refused_with_its_values() {
        let message = |text: &str| Pointer::parse(text, 2).unwrap_err().message().to_owned();
        assert_eq!(message("a/b"), "the pointer \"a/b\" does not begin with '/'");
        assert_eq!(message("/a~"), "the pointer \"/a~\" has a '~' at byte 2 that neither 0 nor 1 follows");
        assert_eq!(message("/~2"), "the pointer \"/~2\" has a '~' at byte 1 that neither 0 nor 1 follows");
        assert_eq!(message("/a/b/c"), "a path has at most 2 segments, the given one has 3");
        assert_eq!(Pointer::parse("x", 2).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            message(&"é".repeat(5_000)).len(),
            "the pointer \"...\" does not begin with '/'".len() + 200
        );
        assert_eq!((Pointer::from_record("x"), Pointer::from_record("/~")), (None, None));
        assert_eq!(Pointer::from_record("/a/b/c"), Some(pointer("/a/b/c")));
    }

    #[test]
    fn a_pointer_splits_into_its_parent_and_last_segment() {
        assert!(pointer("").split_last().is_none());
        assert_eq!(pointer("/").split_last(), Some((Pointer::root(), "".into())));
        assert_eq!(pointer("/a/b~1").split_last(), Some((pointer("/a"), "b/".into())));
        assert!(pointer("").is_root() && !pointer("/").is_root());
    }

    #[test]
    fn a_place_contains_itself_and_what_lies_inside() {
        let cases = [
            ("", "/a", true),
            ("/a", "/a", true),
            ("/a", "/a/b", true),
            ("/a", "/ab", false),
            ("/a/b", "/a/c", false),
        ];
        for (outer, inner, expected) in cases {
            let (outer, inner) = (pointer(outer), pointer(inner));
            assert_eq!(outer.contains(&inner), expected, "{outer:?} {inner:?}");
            assert_eq!(inner.contains(&outer), outer == inner);
        }
    }
}
