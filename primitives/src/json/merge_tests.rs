//! The table of RFC 7396, and which versions a merge leaves alone.
use super::*;
use crate::error::ErrorKind;
use crate::json::samples::{document, json, place, replayed, stamp, terms, value_of};

/// Original, patch and result, as in appendix A.
const APPENDIX: [[&str; 3]; 15] = [
    [r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
    [r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#],
    [r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#],
    [r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#],
    [r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#],
    [r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#],
    [r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#],
    [r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#],
    [r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#],
    [r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#],
    [r#"{"a":"foo"}"#, "null", "null"],
    [r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#],
    [r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#],
    ["[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#],
    ["{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#],
];

#[test]
fn the_table_of_rfc_7396_comes_out() {
    for [original, patch, expected] in APPENDIX {
        let before = document(original);
        let change = merge(&before, &Pointer::root(), &json(patch), terms(2)).unwrap();
        assert_eq!(value_of(&replayed(&before, change, 2)), json(expected), "{original} with {patch}");
        assert_eq!(value_of(&before), json(original));
    }
}

#[test]
fn the_table_holds_below_the_root_as_well() {
    for [original, patch, expected] in APPENDIX {
        let before = document(&format!(r#"{{"in": [{original}], "beside": 1}}"#));
        let change = merge(&before, &place("/in/0"), &json(patch), terms(2)).unwrap();
        let after = replayed(&before, change, 2);
        assert_eq!(value_of(&after), json(&format!(r#"{{"in": [{expected}], "beside": 1}}"#)));
        assert_eq!(after.region(&place("/beside")), Some(stamp(1)));
    }
}

#[test]
fn only_what_changes_is_written() {
    let before = document(r#"{"a": {"b": 1, "c": [1], "d": 2}, "e": 3}"#);
    let patch = json(r#"{"a": {"b": 1, "c": [1], "d": 9, "gone": null}, "e": null}"#);
    let change = merge(&before, &Pointer::root(), &patch, terms(2)).unwrap();
    let paths: Vec<_> = change.writes.iter().map(|write| write.path().to_string()).collect();
    assert_eq!(paths, ["/a/d", "/e"]);
    let after = replayed(&before, change, 2);
    for (path, version) in [("/a/b", 1), ("/a/c", 1), ("/a/d", 2), ("/a", 2)] {
        assert_eq!(after.region(&place(path)), Some(stamp(version)), "{path}");
    }
    let again = merge(&after, &Pointer::root(), &patch, terms(3)).unwrap();
    assert!(again.writes.is_empty(), "what changes nothing writes nothing");
}

#[test]
fn a_merge_needs_a_place_and_a_patch_that_is_json() {
    let before = document(r#"{"a": 1}"#);
    let kind = |path, patch: &Value| merge(&before, &place(path), patch, terms(2)).unwrap_err().kind();
    assert_eq!(kind("/x/y", &Value::Null), ErrorKind::NotFound);
    assert_eq!(kind("/a/y", &Value::Null), ErrorKind::WrongType);
    assert_eq!(kind("", &f64::NAN.into()), ErrorKind::InvalidArgument);
    let twice = vec![("m".to_owned(), Value::Null), ("m".to_owned(), Value::Int(1))];
    assert_eq!(kind("", &twice.into()), ErrorKind::InvalidArgument);
    let deep = (0..1000).fold(Value::Null, |inner, _| Value::from([("a", inner)]));
    assert_eq!(kind("", &deep), ErrorKind::InvalidArgument);
    assert!(merge(&before, &place("/new"), &json(r#"{"b": {"c": null}}"#), terms(2)).is_ok());
}
