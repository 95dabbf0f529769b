//! The examples of RFC 6902, and what lies between its lines.
use super::*;
use crate::json::samples::{LIMITS, document, json, place, replayed, stamp, terms, value_of};
use crate::limits::Limits;

fn try_patch(before: &Document, patch_text: &str) -> Result<Change, Error> {
    let operations = PatchOperation::parse_all(&json(patch_text), 256, &LIMITS)?;
    patch(before, &operations, terms(2))
}

/// Section, document, patch and result, as in appendix A.
const ACCEPTED: [[&str; 4]; 14] = [
    [
        "A.1",
        r#"{"foo":"bar"}"#,
        r#"[{"op":"add","path":"/baz","value":"qux"}]"#,
        r#"{"foo":"bar","baz":"qux"}"#,
    ],
    [
        "A.2",
        r#"{"foo":["bar","baz"]}"#,
        r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
        r#"{"foo":["bar","qux","baz"]}"#,
    ],
    ["A.3", r#"{"baz":"qux","foo":"bar"}"#, r#"[{"op":"remove","path":"/baz"}]"#, r#"{"foo":"bar"}"#],
    [
        "A.4",
        r#"{"foo":["bar","qux","baz"]}"#,
        r#"[{"op":"remove","path":"/foo/1"}]"#,
        r#"{"foo":["bar","baz"]}"#,
    ],
    [
        "A.5",
        r#"{"baz":"qux","foo":"bar"}"#,
        r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
        r#"{"baz":"boo","foo":"bar"}"#,
    ],
    [
        "A.6",
        r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
        r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
        r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
    ],
    [
        "A.7",
        r#"{"foo":["all","grass","cows","eat"]}"#,
        r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
        r#"{"foo":["all","cows","eat","grass"]}"#,
    ],
    [
        "A.8",
        r#"{"baz":"qux","foo":["a",2,"c"]}"#,
        r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
        r#"{"baz":"qux","foo":["a",2,"c"]}"#,
    ],
    [
        "A.10",
        r#"{"foo":"bar"}"#,
        r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
        r#"{"foo":"bar","child":{"grandchild":{}}}"#,
    ],
    [
        "A.11",
        r#"{"foo":"bar"}"#,
        r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#,
        r#"{"foo":"bar","baz":"qux"}"#,
    ],
    ["A.14", r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":10}]"#, r#"{"/":9,"~1":10}"#],
    [
        "A.16",
        r#"{"foo":["bar"]}"#,
        r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
        r#"{"foo":["bar",["abc","def"]]}"#,
    ],
    ["4.1, root", r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"","value":[1]}]"#, "[1]"],
    ["4.5", r#"{"a":[1]}"#, r#"[{"op":"copy","from":"/a","path":"/a/0"}]"#, r#"{"a":[[1],1]}"#],
];

/// Section, document, patch, kind and message of the refusal, as in appendix A.
const REFUSED: [(&str, &str, &str, ErrorKind, &str); 3] = [
    (
        "A.9",
        r#"{"baz":"qux"}"#,
        r#"[{"op":"test","path":"/baz","value":"bar"}]"#,
        ErrorKind::Conflict,
        "patch operation 0: at \"/baz\": the test failed, another value is there",
    ),
    (
        "A.12",
        r#"{"foo":"bar"}"#,
        r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#,
        ErrorKind::NotFound,
        "patch operation 0: at \"/baz\": the object has no member \"baz\"",
    ),
    (
        "A.15",
        r#"{"/":9,"~1":10}"#,
        r#"[{"op":"test","path":"/~01","value":"10"}]"#,
        ErrorKind::Conflict,
        "patch operation 0: at \"/~01\": the test failed, another value is there",
    ),
];

#[test]
fn the_examples_of_rfc_6902_come_out() {
    for [section, original, patch, expected] in ACCEPTED {
        let before = document(original);
        let change = try_patch(&before, patch).unwrap_or_else(|error| panic!("{section}: {error}"));
        assert_eq!(value_of(&replayed(&before, change, 2)), json(expected), "{section}");
        assert_eq!(value_of(&before), json(original), "{section}");
    }
}

#[test]
fn the_errors_of_rfc_6902_are_refused() {
    for (section, original, patch, kind, message) in REFUSED {
        let error = try_patch(&document(original), patch).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, message), "{section}");
    }
    // A.13, "op" twice, is text that never becomes a value of a JSON parser; the parser of operations tests it.
}

#[test]
fn a_patch_is_done_whole_or_not_at_all() {
    let before = document(r#"{"a": 1}"#);
    let patch = r#"[{"op":"replace","path":"/a","value":2},{"op":"add","path":"/b","value":3},{"op":"remove","path":"/c"}]"#;
    let error = try_patch(&before, patch).unwrap_err();
    assert_eq!(error.message(), "patch operation 2: at \"/c\": the object has no member \"c\"");
    assert_eq!(value_of(&before), json(r#"{"a": 1}"#));
    assert_eq!(before.newest(), stamp(1));
}

#[test]
fn an_operation_sees_what_the_ones_before_did() {
    let before = document(r#"{"list": []}"#);
    let patch = r#"[
        {"op":"add","path":"/list/-","value":{"n":1}},
        {"op":"add","path":"/list/0","value":{"n":0}},
        {"op":"test","path":"/list/1","value":{"n":1.0}},
        {"op":"move","from":"/list/1/n","path":"/moved"},
        {"op":"copy","from":"/list/0","path":"/list/-"},
        {"op":"remove","path":"/list/0"},
        {"op":"replace","path":"/list/1/n","value":5}
    ]"#;
    let change = try_patch(&before, patch).unwrap();
    assert_eq!(change.writes.len(), 7, "a test writes nothing, a move writes twice");
    assert_eq!(value_of(&replayed(&before, change, 2)), json(r#"{"list": [{}, {"n": 5}], "moved": 1}"#));
}

#[test]
fn a_test_compares_as_json_does() {
    let before = document(r#"{"v": {"a": 1, "b": [1.5, null, "x"], "c": 9007199254740993}}"#);
    let is_same = |value: &str| {
        let patch = format!(r#"[{{"op":"test","path":"/v","value":{value}}}]"#);
        try_patch(&before, &patch).map(|change| change.writes.is_empty()).map_err(|error| error.kind())
    };
    assert_eq!(is_same(r#"{"c": 9007199254740993, "b": [1.5, null, "x"], "a": 1.0}"#), Ok(true));
    for other in [
        r#"{"a": 1, "b": [1.5, null, "x"]}"#,
        r#"{"a": 1, "b": [1.5, null, "x"], "c": 9007199254740992.0}"#,
        r#"{"a": 1, "b": [1.5, "x", null], "c": 9007199254740993}"#,
        r#"{"a": 1, "b": [1.5, null], "c": 9007199254740993}"#,
        r#"{"a": 1, "b": [1.5, null, "x"], "d": 9007199254740993}"#,
        r#"{"a": true, "b": [1.5, null, "x"], "c": 9007199254740993}"#,
        "[]",
    ] {
        assert_eq!(is_same(other), Err(ErrorKind::Conflict), "{other}");
    }
    let missing = try_patch(&before, r#"[{"op":"test","path":"/x","value":null}]"#);
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_value_moves_anywhere_but_into_itself() {
    let before = document(r#"{"a": {"b": {"c": 1}}, "ab": 2}"#);
    let moved = |from, path| {
        let change =
            patch(&before, &[PatchOperation::Move { from: place(from), path: place(path) }], terms(2))?;
        Ok::<_, Error>(value_of(&replayed(&before, change, 2)))
    };
    assert_eq!(moved("/a", "/ab").unwrap(), json(r#"{"ab": {"b": {"c": 1}}}"#));
    assert_eq!(moved("/a/b", "/a").unwrap(), json(r#"{"a": {"c": 1}, "ab": 2}"#));
    assert_eq!(moved("/a/b", "").unwrap(), json(r#"{"c": 1}"#));
    assert_eq!(moved("/a", "/a").unwrap(), value_of(&before), "nothing moves, the order stays");
    assert_eq!(moved("", "").unwrap(), value_of(&before));
    for (from, path) in [("/a", "/a/b"), ("/a", "/a/new"), ("", "/a")] {
        let error = moved(from, path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().ends_with("cannot be moved into itself"), "{error}");
    }
    assert_eq!(moved("/x", "/x").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_root_is_replaced_but_not_removed() {
    let before = document("[1]");
    let after = try_patch(&before, r#"[{"op":"replace","path":"","value":2}]"#).unwrap().document;
    assert_eq!(value_of(&after), json("2"));
    let error = try_patch(&before, r#"[{"op":"remove","path":""}]"#).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = try_patch(&before, r#"[{"op":"replace","path":"/1","value":2}]"#).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "a replace needs something to replace");
}

/// Each copy doubles the document: thirty of them would be gigabytes.
#[test]
fn copies_of_copies_stop_at_the_limit() {
    let before = document(r#"{"a": [0, 0, 0, 0, 0, 0, 0, 0]}"#);
    let double = |index| PatchOperation::Copy { from: place(""), path: place(&format!("/{index}")) };
    let operations: Vec<_> = (0..60).map(double).collect();
    let limits = Limits { value_size_max: 1 << 16, ..Limits::default() };
    let error = patch(&before, &operations, Terms { stamp: stamp(2), limits: &limits }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("value_size_max is 65536 bytes"), "{error}");
}
