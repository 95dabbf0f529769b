//! What may be asked of a document, and what is refused.
use super::*;
use crate::json::samples::{document, encode, encoded, json, place, replayed, stamp, terms, value_of};
use crate::value::Value;

const TREE: &str = r#"{"o": {"x": 1}, "a": [1, 2], "s": "text"}"#;

fn refusal_of<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[test]
fn a_set_puts_a_member_an_item_or_the_whole_document() {
    let cases = [
        ("", "[1]", "[1]"),
        ("/o/x", "2", r#"{"o": {"x": 2}, "a": [1, 2], "s": "text"}"#),
        ("/o/y", "[]", r#"{"o": {"x": 1, "y": []}, "a": [1, 2], "s": "text"}"#),
        ("/a/0", "9", r#"{"o": {"x": 1}, "a": [9, 2], "s": "text"}"#),
        ("/a/2", "9", r#"{"o": {"x": 1}, "a": [1, 2, 9], "s": "text"}"#),
        ("/a/-", "9", r#"{"o": {"x": 1}, "a": [1, 2, 9], "s": "text"}"#),
    ];
    for (path, value, expected) in cases {
        let before = document(TREE);
        let change = set(&before, &place(path), encoded(value), terms(2)).unwrap();
        assert_eq!(change.writes.len(), 1);
        assert_eq!(value_of(&replayed(&before, change, 2)), json(expected), "{path:?}");
        assert_eq!(value_of(&before), json(TREE));
    }
}

#[test]
fn writes_are_resolved_before_they_are_logged() {
    let before = document(TREE);
    let change = set(&before, &place("/a/-"), encoded("9"), terms(2)).unwrap();
    assert_eq!(change.writes, [JsonWrite::Insert { path: place("/a/2"), value: encoded("9") }]);
    let change = append(&before, &place("/a"), encoded("9"), terms(2)).unwrap();
    assert_eq!(change.writes, [JsonWrite::Insert { path: place("/a/2"), value: encoded("9") }]);
    assert_eq!(change.document.region(&place("/a/0")), Some(stamp(2)), "an append writes the array");
}

#[test]
fn a_set_without_a_place_is_refused_with_the_reason() {
    use ErrorKind::*;
    let cases = [
        ("/nowhere/x", NotFound, "at \"/nowhere\": the object has no member \"nowhere\""),
        ("/a/2/x", NotFound, "at \"/a/2\": the array of 2 items has no item \"2\""),
        ("/a/-/x", NotFound, "at \"/a/-\": the array of 2 items has no item \"-\""),
        ("/a/x/y", InvalidArgument, "at \"/a/x\": \"x\" is not an index of an array"),
        ("/a/01", InvalidArgument, "at \"/a/01\": \"01\" is not an index of an array"),
        ("/a/3", InvalidArgument, "at \"/a/3\": index 3 is beyond the 2 items of the array"),
        ("/s/x", WrongType, "at \"/s/x\": a value of kind string holds nothing"),
        ("/s/x/y", WrongType, "at \"/s/x\": a value of kind string has no \"x\""),
    ];
    for (path, kind, message) in cases {
        let refused = refusal_of(set(&document(TREE), &place(path), encoded("1"), terms(2)));
        assert_eq!(refused, (kind, message.to_owned()));
    }
}

#[test]
fn removing_nothing_is_no_change_and_the_root_stays() {
    let before = document(TREE);
    for path in ["/x", "/x/y", "/a/2", "/a/-", "/a/x", "/s/x"] {
        assert!(remove(&before, &place(path), terms(2)).unwrap().is_none(), "{path}");
    }
    let change = remove(&before, &place("/a/0"), terms(2)).unwrap().unwrap();
    assert_eq!(value_of(&replayed(&before, change, 2)), json(r#"{"o": {"x": 1}, "a": [2], "s": "text"}"#));
    assert_eq!(
        refusal_of(remove(&before, &Pointer::root(), terms(2))),
        (
            ErrorKind::InvalidArgument,
            "at \"\": the whole document cannot be removed: destroy it instead".to_owned()
        )
    );
}

#[test]
fn only_arrays_are_appended_to() {
    let before = document(TREE);
    assert_eq!(
        refusal_of(append(&before, &place("/o"), encoded("1"), terms(2))),
        (ErrorKind::WrongType, "at \"/o\": only an array can be appended to, this is object".to_owned())
    );
    assert_eq!(refusal_of(append(&before, &place("/x"), encoded("1"), terms(2))).0, ErrorKind::NotFound);
}

#[test]
fn limits_hold_for_the_document_that_would_result() {
    let before = document(TREE);
    let (size, nested) =
        (before.size() - 5, |depth| (0..depth).fold(Value::Null, |value, _| vec![value].into()));
    let refused = |limits: Limits, path: &str, value: Encoded| {
        let (kind, message) =
            refusal_of(set(&before, &place(path), value, Terms { stamp: stamp(2), limits: &limits }));
        assert_eq!(kind, ErrorKind::InvalidArgument);
        message
    };
    let usual = Limits::default;
    assert_eq!(
        refused(Limits { value_size_max: size + 8, ..usual() }, "/a/-", encoded("1")),
        format!("at \"/a/2\": value_size_max is {} bytes, the document has {}", size + 8, size + 9)
    );
    assert_eq!(
        refused(Limits { items_max: 2, ..usual() }, "/a/-", encoded("1")),
        "at \"/a/2\": items_max is 2 items, the array has 3"
    );
    assert_eq!(
        refused(Limits { items_max: 3, ..usual() }, "/new", encoded("1")),
        "at \"/new\": items_max is 3 items, the object has 4"
    );
    assert_eq!(
        refused(Limits { items_max: 3, ..usual() }, "/o", encoded("[1,2,3,4]")),
        "at \"/o\": items_max is 3 items, the value has 4"
    );
    assert_eq!(
        refused(Limits { depth_max: 3, ..usual() }, "/o/x", encode(&nested(2))),
        "at \"/o/x\": depth_max is 3, the document would be nested 4 deep"
    );
    assert_eq!(
        refused(Limits { depth_max: 1000, ..usual() }, "/o/x", encode(&nested(127))),
        "at \"/o/x\": depth_max is 128, the document would be nested 129 deep"
    );
    assert_eq!(
        refused(Limits { transaction_size_max: 10, ..usual() }, "/o/x", encoded("1")),
        "at \"/o/x\": transaction_size_max is 10 bytes, the change has 22"
    );
    assert!(set(&before, &place("/o/x"), encode(&nested(126)), terms(2)).is_ok());
    let three = Limits { items_max: 3, ..usual() };
    assert!(set(&before, &place("/s"), encoded("1"), Terms { stamp: stamp(2), limits: &three }).is_ok());
}

#[test]
fn a_value_json_cannot_hold_is_refused_with_its_place() {
    let value = encode(&Value::from([("k", vec![0u8].into())]));
    assert_eq!(
        refusal_of(set(&document(TREE), &place("/o/x"), value, terms(2))),
        (ErrorKind::InvalidArgument, "at \"/o/x\": a JSON document cannot hold bytes (at \"/k\")".to_owned())
    );
    let damaged = Encoded::from_canonical(&[7, 9, 0, 0, 0]);
    assert_eq!(
        refusal_of(set(&document(TREE), &place("/o/x"), damaged, terms(2))).0,
        ErrorKind::InvalidArgument
    );
}
