//! What a transaction reads of a document that it has written to itself.
use super::array::parse_index;
use super::document::Document;
use super::node::{Content, Node};
use super::pointer::Pointer;
use super::write::JsonWrite;

/// The place in `base` that decides what is at `path` behind the writes `own`; `None` when they alone decide it.
///
/// `own` are all writes since `base`, in order. What a copy or a move puts somewhere counts as its own: what it is
/// taken from was read when it was decided.
pub(crate) fn place_below<'a>(
    base: Option<&Document>,
    own: impl Iterator<Item = &'a JsonWrite> + Clone,
    path: &Pointer,
) -> Option<Pointer> {
    // An item put in or taken out gives those behind it other paths, so a read of any of them rests on the whole
    // array.
    let moved = own.clone().filter_map(|write| moved_array(base?, write));
    let around = moved.filter(|array| array != path && array.contains(path)).min_by_key(Pointer::token_count);
    let place = around.unwrap_or_else(|| path.clone());
    own.into_iter().all(|write| !settles(write, &place)).then_some(place)
}

/// The array of `base` whose items `write` moves. One that the writes have made themselves is settled by them.
fn moved_array(base: &Document, write: &JsonWrite) -> Option<Pointer> {
    let (JsonWrite::Insert { path, .. } | JsonWrite::Remove { path }) = write else { return None };
    let (parent, _) = path.split_last()?;
    let is_array = |node: &Node| matches!(node.content(), Content::Array(_));
    base.node(&parent).is_some_and(is_array).then_some(parent)
}

/// Whether what is at `place` is known behind `write`, whatever was there before.
///
/// A write is decided anew at the commit, and what is around its place may be an array then: there another item follows
/// one that is taken out, and `-` is a place behind the last.
fn settles(write: &JsonWrite, place: &Pointer) -> bool {
    let ends_with =
        |path: &Pointer, is: fn(&str) -> bool| path.split_last().is_some_and(|(_, last)| is(&last));
    match write {
        JsonWrite::Put { .. } => true,
        JsonWrite::Set { path, .. } => path.contains(place) && !ends_with(path, |last| last == "-"),
        JsonWrite::Remove { path } => {
            path.contains(place) && !ends_with(path, |last| parse_index(last).is_some())
        }
        JsonWrite::Insert { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{document, encoded, place};
    use super::*;

    const BASE: &str = r#"{"a": [[1, 2], [3]], "o": {"0": 1, "1": 2}}"#;

    fn set(path: &str) -> JsonWrite {
        JsonWrite::Set { path: place(path), value: encoded("[7, 8]") }
    }

    fn insert(path: &str) -> JsonWrite {
        JsonWrite::Insert { path: place(path), value: encoded("[7, 8]") }
    }

    fn remove(path: &str) -> JsonWrite {
        JsonWrite::Remove { path: place(path) }
    }

    #[test]
    fn a_read_rests_on_what_own_writes_leave_open() {
        let put = JsonWrite::Put { value: encoded("[]") };
        let cases: [(&[JsonWrite], &str, Option<&str>); 20] = [
            (&[], "/a/0", Some("/a/0")),
            (&[set("/a/0")], "/a/0/1", None),
            (&[set("/a/0")], "/a", Some("/a")),
            (&[set("/a/0")], "/a/1", Some("/a/1")),
            (&[put], "/a/1", None),
            (&[insert("/a/0")], "/a/0", Some("/a")),
            (&[insert("/a/2")], "/a/0/1", Some("/a")),
            (&[insert("/a/2")], "/a", Some("/a")),
            (&[remove("/a/0")], "/a/0", Some("/a")),
            (&[remove("/a/0/0")], "/a/0/0", Some("/a/0")),
            (&[remove("/a/0/0")], "/a/1/0", Some("/a/1/0")),
            (&[remove("/a/0/0"), insert("/a/0")], "/a/0/0", Some("/a")),
            (&[set("/a"), remove("/a/0")], "/a/0", None),
            (&[remove("/a/0"), set("/a")], "/a/0", None),
            (&[set("/a/0"), insert("/a/0")], "/a/0", Some("/a")),
            (&[remove("/o/0")], "/o/0", Some("/o/0")),
            (&[remove("/o/x")], "/o/x", None),
            (&[set("/o/-")], "/o/-", Some("/o/-")),
            (&[set("/o/-"), set("/o")], "/o/-", None),
            (&[remove("/o/0")], "/o/1", Some("/o/1")),
        ];
        let base = document(BASE);
        for (own, path, expected) in cases {
            let below = place_below(Some(&base), own.iter(), &place(path));
            assert_eq!(below, expected.map(place), "{path} behind {own:?}");
        }
    }

    #[test]
    fn a_document_that_was_not_there_is_settled_by_its_creation() {
        let create = JsonWrite::Put { value: encoded("[]") };
        assert_eq!(place_below(None, [&create, &insert("/0")].into_iter(), &place("/0")), None);
        assert_eq!(place_below(None, [].into_iter(), &place("/0")), Some(place("/0")));
    }
}
