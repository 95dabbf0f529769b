//! Documents, on any surface.

use strata::{EntityRef, ErrorKind, KvScan, Reads, Value, Version, Writes, parse_json};

fn json(text: &str) -> Value {
    parse_json(text).unwrap()
}

fn text(run: &impl Reads, path: &str) -> Option<String> {
    run.json_get("trip", path).unwrap().map(|found| found.value.to_string())
}

pub(crate) fn suite<W: Writes>(run: &W) {
    let entity = EntityRef::json(run.run_id(), "trip");
    let missing = run.json_set("trip", "/a", 1).err().unwrap();
    assert_eq!((missing.kind(), missing.entity()), (ErrorKind::NotFound, Some(&entity)));
    run.json_create("trip", json(r#"{"city": "Oslo", "stays": [2]}"#)).unwrap();
    let error = run.json_create("trip", 1).err().unwrap();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::AlreadyExists, Some(&entity)));

    run.json_set("trip", "/city", "Bergen").unwrap();
    run.json_append("trip", "/stays", 3).unwrap();
    let held = run.json_get("trip", "").unwrap().unwrap().version;
    run.json_cas("trip", held, "/paid", false).unwrap();
    let error = run.json_cas("trip", Version::NEVER, "/paid", true).err().unwrap();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&entity)));
    assert!(run.json_delete("trip", "/stays/0").unwrap().is_some());
    assert!(run.json_delete("trip", "/nothing").unwrap().is_none());
    assert!(run.json_merge("trip", "", json(r#"{"paid": true, "city": null}"#)).unwrap().is_some());
    assert!(run.json_merge("trip", "", json(r#"{"paid": true}"#)).unwrap().is_none());
    let patch = json(
        r#"[{"op": "test", "path": "/paid", "value": true}, {"op": "add", "path": "/stays/-", "value": 7}]"#,
    );
    assert!(run.json_patch("trip", &patch).unwrap().is_some());
    assert!(run.json_patch("trip", &json("[]")).unwrap().is_none());
    let fails =
        json(r#"[{"op": "remove", "path": "/paid"}, {"op": "test", "path": "/stays/0", "value": 9}]"#);
    assert_eq!(run.json_patch("trip", &fails).err().unwrap().kind(), ErrorKind::Conflict);
    let wrong = run.json_append("trip", "/paid", 1).err().unwrap();
    assert_eq!((wrong.kind(), wrong.entity()), (ErrorKind::WrongType, Some(&entity)));
    assert_eq!(run.json_set("trip", "no pointer", 1).err().unwrap().kind(), ErrorKind::InvalidArgument);

    assert_eq!(text(run, "").unwrap(), r#"{"stays": [3, 7], "paid": true}"#);
    assert_eq!((text(run, "/stays/1"), text(run, "/city")), (Some("7".into()), None));
    let found = run.json_query("trip", "$.stays[?@ > 5]").unwrap().unwrap();
    let found: Vec<_> = found.value.into_iter().map(|found| (found.path, found.value)).collect();
    assert_eq!(found, [("/stays/1".to_owned(), Value::Int(7))]);
    assert_eq!(run.json_query("missing", "$").unwrap(), None);
    run.json_create("other", 1).unwrap();
    assert_eq!(run.json_list(&KvScan::default()).unwrap().keys, ["other", "trip"]);
    assert!(run.stat(&entity).unwrap().unwrap().value > 0);
    assert!(run.json_destroy("trip").unwrap().is_some());
    assert!(run.json_destroy("trip").unwrap().is_none());
    assert_eq!(run.json_list(&KvScan::default()).unwrap().keys, ["other"]);
    assert_eq!((text(run, ""), run.stat(&entity).unwrap()), (None, None));
}
