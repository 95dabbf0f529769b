//! Places, versions, and what does not fit a document.
use super::*;
use crate::json::samples::{document, encoded, json, place, stamp, value_of};
use crate::version::Version;

fn set(path: &str, value: &str) -> JsonWrite {
    JsonWrite::Set { path: place(path), value: encoded(value) }
}

fn insert(path: &str, value: &str) -> JsonWrite {
    JsonWrite::Insert { path: place(path), value: encoded(value) }
}

fn remove(path: &str) -> JsonWrite {
    JsonWrite::Remove { path: place(path) }
}

#[test]
fn the_examples_of_rfc_6901_name_what_they_should() {
    let text = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}"#;
    let document = document(text);
    let cases = [
        ("", text),
        ("/foo", r#"["bar", "baz"]"#),
        ("/foo/0", r#""bar""#),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ];
    for (path, value) in cases {
        let found = document.get(&place(path)).unwrap();
        assert_eq!((found.value, found.stamp), (encoded(value), stamp(1)), "{path:?}");
    }
    for path in ["/foo/-", "/foo/2", "/foo/00", "/foo/bar", "/foo/0/x", "/nowhere", "/nowhere/x"] {
        assert_eq!(document.get(&place(path)), None, "{path:?}");
        assert_eq!(document.region(&place(path)), None, "{path:?}");
    }
}

/// The tree all cases of the matrix change.
const TREE: &str = r#"{"o": {"x": {"deep": 1}, "y": 2}, "a": [{"k": 1}, {"k": 2}, {"k": 3}], "s": 0}"#;

#[test]
fn a_write_moves_the_versions_of_what_it_overlaps_and_no_others() {
    let all = ["", "/o", "/o/x", "/o/x/deep", "/o/y", "/a", "/a/0", "/a/0/k", "/a/1", "/a/1/k", "/s"];
    // Each write, and those of the places that it changes.
    let cases: [(JsonWrite, &[&str]); 11] = [
        (JsonWrite::Put { value: encoded(TREE) }, &all),
        (set("/o/x/deep", "9"), &["", "/o", "/o/x", "/o/x/deep"]),
        (set("/o/x", r#"{"deep": 1}"#), &["", "/o", "/o/x", "/o/x/deep"]),
        (set("/o", r#"{"x": {"deep": 1}, "y": 2}"#), &["", "/o", "/o/x", "/o/x/deep", "/o/y"]),
        (set("/o/new", "9"), &["", "/o"]),
        (remove("/o/y"), &["", "/o"]),
        (set("/a/1", r#"{"k": 9}"#), &["", "/a", "/a/1", "/a/1/k"]),
        (set("/a/1/k", "9"), &["", "/a", "/a/1", "/a/1/k"]),
        (insert("/a/1", r#"{"k": 9}"#), &["", "/a", "/a/0", "/a/0/k", "/a/1", "/a/1/k"]),
        (insert("/a/3", "9"), &["", "/a", "/a/0", "/a/0/k", "/a/1", "/a/1/k"]),
        (remove("/a/0"), &["", "/a", "/a/0", "/a/0/k", "/a/1", "/a/1/k"]),
    ];
    for (write, changed) in cases {
        let before = document(TREE);
        let mut after = before.clone();
        after.apply(&write, stamp(2));
        for path in all {
            let Some(region) = after.region(&place(path)) else { continue };
            let expected = if changed.contains(&path) { stamp(2) } else { stamp(1) };
            assert_eq!(region, expected, "{write:?} and {path:?}");
            assert_eq!(after.get(&place(path)).unwrap().stamp, expected, "a read says the same");
            assert_eq!(before.region(&place(path)), Some(stamp(1)), "the clone is as it was");
        }
        assert_eq!((after.newest(), before.newest()), (stamp(2), stamp(1)));
    }
}

#[test]
fn what_was_removed_stays_visible_in_what_is_around_it() {
    let mut document = document(TREE);
    document.apply(&set("/s", "1"), stamp(2));
    document.apply(&remove("/o/x/deep"), stamp(3));
    let version = |path| document.region(&place(path)).map(|stamp| stamp.version.0);
    assert_eq!((version("/o/x"), version("/o"), version("")), (Some(3), Some(3), Some(3)));
    assert_eq!((version("/o/y"), version("/s"), version("/a")), (Some(1), Some(2), Some(1)));
    assert_eq!(version("/o/x/deep"), None);
}

#[test]
fn a_place_where_nothing_is_stands_on_what_is_around_it() {
    let before = document(TREE);
    // Where nothing is; a write that changes what it stands on; one that does not.
    let cases = [
        ("/new", set("/new", "1"), set("/s", "1")),
        ("/o/new/deep", set("/o/new", "{}"), set("/o/x", "1")),
        ("/o/new/deep", remove("/o"), set("/o/newer", "1")),
        ("/s/x", set("/s", "1"), set("/o", "1")),
        ("/a/7", insert("/a/0", "1"), set("/a/0", "1")),
        ("/a/-", remove("/a/0"), set("/a/0/k", "1")),
        ("/new", JsonWrite::Put { value: encoded("{}") }, remove("/s")),
    ];
    for (path, around, beside) in cases {
        let footing = |write: &JsonWrite| {
            let mut after = before.clone();
            after.apply(write, stamp(2));
            after.footing(&place(path))
        };
        assert_ne!(footing(&around), before.footing(&place(path)), "{path} and {around:?}");
        assert_eq!(footing(&beside), before.footing(&place(path)), "{path} and {beside:?}");
    }
    assert_eq!(before.footing(&place("/o/x/deep")), (3, stamp(1)));
    assert_eq!(before.footing(&place("/o/y/deep")), (2, stamp(1)));
}

#[test]
fn a_member_keeps_its_place_when_replaced_and_goes_last_when_new() {
    let mut document = document(r#"{"a": 1, "b": 2, "c": 3}"#);
    for write in [set("/a", "4"), set("/d", "5"), remove("/b"), set("/b", "6")] {
        document.apply(&write, stamp(2));
    }
    assert_eq!(value_of(&document), json(r#"{"a": 4, "c": 3, "d": 5, "b": 6}"#));
}

#[test]
fn a_write_that_does_not_fit_is_told_before_it_is_applied() {
    let document = document(TREE);
    let fitting = [
        set("/new", "1"),
        set("/a/2", "1"),
        insert("/a/0", "1"),
        insert("/a/3", "1"),
        remove("/a/2"),
        remove("/o"),
    ];
    for write in fitting {
        assert_eq!(document.check(&write), Ok(()), "{write:?}");
    }
    let unfit = [
        set("", "1"),
        set("/a/3", "1"),
        set("/a/-", "1"),
        set("/a/x", "1"),
        set("/s/x", "1"),
        set("/nowhere/x", "1"),
        insert("", "1"),
        insert("/a/4", "1"),
        insert("/a/-", "1"),
        insert("/o/z", "1"),
        insert("/a/18446744073709551615", "1"),
        remove(""),
        remove("/a/3"),
        remove("/o/z"),
        remove("/s/x"),
    ];
    for write in unfit {
        let refused = document.check(&write).unwrap_err();
        assert!(refused.starts_with("the document has no place for a "), "{refused}");
    }
    assert_eq!(
        document.check(&remove("/a/3")).unwrap_err(),
        "the document has no place for a remove at \"/a/3\""
    );
}

#[test]
fn a_value_that_is_damaged_or_too_deep_for_its_place_is_told() {
    let document = document(TREE);
    let with = |value| JsonWrite::Set { path: place("/o/x"), value };
    let nested = |depth: usize| Encoded::from_canonical(&[[7, 1, 0, 0, 0].repeat(depth), vec![0]].concat());
    assert_eq!(document.check(&with(nested(126))), Ok(()));
    let cases = [
        (nested(127), "the document would be nested 129 deep, 128 is the most"),
        (nested(129), "value nested deeper than 128"),
        (nested(50_000), "value nested deeper than 128"),
        (Encoded::from_canonical(&[6, 0, 0, 0, 0]), "a JSON document cannot hold bytes"),
        (
            Encoded::from_canonical(&[4, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f]),
            "a JSON document cannot hold an infinity",
        ),
        (Encoded::from_canonical(&[4, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]), "a JSON document cannot hold NaN"),
        (
            Encoded::from_canonical(&[4, 0, 0, 0, 0, 0, 0, 0, 0x80]),
            "float 0x8000000000000000 is not canonical",
        ),
        (Encoded::from_canonical(&[10]), "unknown value tag 10"),
        (Encoded::erased(), "what is left of an erased value stands for a whole document only"),
        (Encoded::from_canonical(&[0, 0]), "1 bytes left over"),
        (Encoded::from_canonical(&[7, 255, 255, 255, 255]), "truncated: 4294967295 bytes needed, 0 left"),
    ];
    for (value, message) in cases {
        assert_eq!(document.check(&with(value)).unwrap_err(), message);
    }
}

#[test]
#[should_panic(expected = "a write was checked against the document it is applied to")]
fn applying_what_does_not_fit_stops_at_an_assertion() {
    document(TREE).apply(&remove("/a/3"), stamp(2));
}

#[test]
fn a_member_named_twice_is_no_document() {
    for count in [2, 100] {
        let names = (0..count).map(|index| format!("m{}", index % (count - 1)));
        let members: Vec<u8> = names
            .flat_map(|name| [&(name.len() as u32).to_le_bytes()[..], name.as_bytes(), &[0]].concat())
            .collect();
        let bytes = [&[8][..], &(count as u32).to_le_bytes(), &members].concat();
        let refused = Document::from_encoded(&Encoded::from_canonical(&bytes), stamp(1)).unwrap_err();
        assert_eq!(refused, DecodeError::NotJson { what: "a member named twice" });
    }
}

#[test]
fn a_document_says_what_it_is() {
    let document = document(TREE);
    assert_eq!((document.kind(), document.size()), ("object", encoded(TREE).len()));
    assert_eq!(document.newest().version, Version(1));
    assert!(format!("{document:?}").starts_with("Document(Encoded({\"o\""));
}
