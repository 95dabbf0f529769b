//! Documents through the facade.

use strata::{
    Database, Durability, EntityRef, ErrorKind, JsonMatch, KvScan, Reads, RunHandle, RunSpec, Value, Version,
    Writes, parse_json,
};

use crate::support::options;

fn json(text: &str) -> Value {
    parse_json(text).unwrap()
}

fn trip() -> (Database, RunHandle) {
    let database = Database::in_memory().unwrap();
    let run = database.begin_run(RunSpec::named("trip")).unwrap();
    run.json_create("trip", json(r#"{"city": "Oslo", "stays": [{"nights": 2}, {"nights": 1}]}"#)).unwrap();
    (database, run)
}

fn text(run: &RunHandle, path: &str) -> Option<String> {
    run.json_get("trip", path).unwrap().map(|found| found.value.to_string())
}

#[test]
fn a_document_is_created_changed_in_places_and_destroyed() {
    let (_database, run) = trip();
    run.json_set("trip", "/city", "Bergen").unwrap();
    run.json_append("trip", "/stays", json(r#"{"nights": 3}"#)).unwrap();
    assert!(run.json_delete("trip", "/stays/0").unwrap().is_some());
    assert!(run.json_delete("trip", "/nothing").unwrap().is_none());
    run.json_merge("trip", "", json(r#"{"paid": true, "city": null}"#)).unwrap();
    let patch = json(
        r#"[{"op": "test", "path": "/paid", "value": true}, {"op": "add", "path": "/stays/0", "value": 7}]"#,
    );
    run.json_patch("trip", &patch).unwrap();
    assert_eq!(text(&run, "").unwrap(), r#"{"stays": [7, {"nights": 1}, {"nights": 3}], "paid": true}"#);
    assert_eq!(run.json_list(&KvScan::default()).unwrap().keys, ["trip"]);
    assert!(run.json_destroy("trip").unwrap().is_some());
    assert!(run.json_destroy("trip").unwrap().is_none());
    assert_eq!(run.json_get("trip", "").unwrap(), None);
    assert_eq!(run.json_set("trip", "", 1).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_place_has_the_version_of_what_was_written_there_and_not_beside_it() {
    let (_database, run) = trip();
    run.json_set("trip", "/city", "Bergen").unwrap();
    let version = |path| run.json_get("trip", path).unwrap().unwrap().version;
    assert_eq!(
        (version("/city"), version(""), version("/stays/0/nights")),
        (Version(3), Version(3), Version(2))
    );
    run.json_append("trip", "/stays", 9).unwrap();
    assert_eq!(
        (version("/stays/0"), version("/city")),
        (Version(4), Version(3)),
        "items shift with their array"
    );
}

#[test]
fn a_patch_is_applied_as_a_whole_or_not_at_all() {
    let (_database, run) = trip();
    let before = text(&run, "");
    let patch =
        json(r#"[{"op": "remove", "path": "/city"}, {"op": "test", "path": "/stays/0/nights", "value": 3}]"#);
    let error = run.json_patch("trip", &patch).unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::Conflict, Some(&EntityRef::json(run.id(), "trip")))
    );
    assert!(error.message().contains("patch operation 1"), "{error}");
    assert_eq!((text(&run, ""), run.info().unwrap().version), (before, Version(2)));
    assert_eq!(run.json_patch("trip", &json("[]")).unwrap(), None, "an empty patch makes no commit");
}

#[test]
fn a_compare_and_set_of_a_document_names_both_versions() {
    let (_database, run) = trip();
    run.json_cas("trip", Version(2), "/city", "Bergen").unwrap();
    let error = run.json_cas("trip", Version(2), "/city", "Oslo").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "expected version 2, found version 3"));
}

#[test]
fn a_path_query_tells_values_and_their_places() {
    let (_database, run) = trip();
    let found = run.json_query("trip", "$.stays[?@.nights > 1].nights").unwrap().unwrap();
    let place = JsonMatch { path: "/stays/0/nights".into(), value: Value::Int(2) };
    assert_eq!((found.value, found.version), (vec![place], Version(2)));
    assert_eq!(run.json_query("missing", "$").unwrap(), None);
    assert_eq!(run.json_query("trip", "no path").unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn sibling_places_of_one_document_do_not_conflict_and_overlapping_ones_do() {
    let (_database, run) = trip();
    let tx = run.begin();
    assert!(tx.json_get("trip", "/city").unwrap().is_some());
    tx.json_set("trip", "/city", "Bergen").unwrap();
    run.json_set("trip", "/stays/0/nights", 5).unwrap();
    tx.commit().unwrap();
    assert_eq!(text(&run, "/city").unwrap(), r#""Bergen""#);

    let tx = run.begin();
    assert!(tx.json_get("trip", "/stays").unwrap().is_some());
    tx.put("seen", true).unwrap();
    run.json_set("trip", "/stays/0/nights", 6).unwrap();
    let error = tx.commit().unwrap_err();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::Conflict, Some(&EntityRef::json(run.id(), "trip")))
    );
}

#[test]
fn a_snapshot_of_a_document_stays_while_the_document_changes() {
    let (_database, run) = trip();
    let before = run.snapshot().unwrap();
    run.json_set("trip", "/city", "Bergen").unwrap();
    run.json_destroy("trip").unwrap();
    run.json_create("trip", 1).unwrap();
    assert_eq!(before.json_get("trip", "/city").unwrap().unwrap().value.as_str(), Some("Oslo"));
    assert_eq!(before.info().unwrap().document_count, 1);
}

#[test]
fn documents_survive_a_reopening_with_the_versions_of_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Database::open(directory.path(), options(Durability::Buffered, 1)).unwrap();
    let database = open();
    let run = database.begin_run(RunSpec::named("trip")).unwrap();
    run.json_create("trip", json(r#"{"a": [1, 2], "b": {"c": 1}}"#)).unwrap();
    run.json_set("trip", "/b/c", 2).unwrap();
    run.json_append("trip", "/a", 3).unwrap();
    run.json_delete("trip", "/a/0").unwrap();
    let places = ["", "/a", "/a/0", "/b", "/b/c"];
    let read = |run: &RunHandle| places.map(|path| run.json_get("trip", path).unwrap());
    let before = read(&run);
    database.close().unwrap();
    let database = open();
    assert_eq!(read(&database.run(run.id())), before);
}

#[test]
fn what_a_document_cannot_hold_is_refused_before_it_is_sent() {
    let (_database, run) = trip();
    let nested = (0..200).fold(Value::Null, |value, _| Value::Array(vec![value]));
    for refused in [Value::Bytes(vec![1]), Value::Float(f64::NAN), Value::Float(f64::INFINITY), nested] {
        let error = run.json_set("trip", "/x", refused).unwrap_err();
        assert_eq!(
            (error.kind(), error.entity()),
            (ErrorKind::InvalidArgument, Some(&EntityRef::json(run.id(), "trip")))
        );
    }
    for path in ["city", "/~2", &"/a".repeat(257)] {
        assert_eq!(run.json_get("trip", path).unwrap_err().kind(), ErrorKind::InvalidArgument, "{path}");
    }
    assert_eq!(run.json_create("", 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
}
