//! Documents at their limits, hostile patches, odd names and numbers.

use std::time::{Duration, Instant};

use strata::{
    Database, Durability, Error, ErrorKind, JsonMatch, Limits, Options, Reads, RunHandle, RunSpec, Value,
    Version, Writes, parse_json, to_json,
};

use crate::support::{Dice, options, seed};

fn json(text: &str) -> Value {
    parse_json(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn in_memory(limits: Limits) -> (Database, RunHandle) {
    let options = Options { limits, ..options(Durability::InMemory, 1) };
    let database = Database::in_memory_with(options).unwrap();
    let run = database.begin_run(RunSpec::named("documents")).unwrap();
    (database, run)
}

fn object(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(members.into_iter().collect())
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(refused: Result<T, Error>, kind: ErrorKind) -> String {
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    error.message().to_owned()
}

#[test]
fn a_patch_of_copies_is_refused_at_the_size_limit_and_leaves_the_document() {
    let (_database, run) = in_memory(Limits { value_size_max: 1 << 20, ..Limits::default() });
    run.json_create("doc", json(r#"{"a": "0123456789abcdef"}"#)).unwrap();
    // Each copy of the whole into itself doubles it: forty would be 16 TiB.
    let copies: Vec<_> = (0..40)
        .map(|number| json(&format!(r#"{{"op": "copy", "from": "", "path": "/{number}"}}"#)))
        .collect();
    let message = refusal(run.json_patch("doc", &copies.into()), ErrorKind::InvalidArgument);
    assert!(message.contains("value_size_max is 1048576 bytes"), "{message}");
    assert!(message.starts_with("patch operation 1"), "{message}");
    assert_eq!(run.json_get("doc", "").unwrap().unwrap().value, json(r#"{"a": "0123456789abcdef"}"#));
}

#[test]
fn a_patch_of_moves_nests_to_the_depth_limit_and_no_deeper() {
    let (_database, run) = in_memory(Limits::default());
    run.json_create("doc", json(r#"{"a": {}, "b": {}}"#)).unwrap();
    // Moving the whole of one side into a fresh object of the other nests one deeper with each round.
    let nest = |rounds: usize| {
        let round = [
            json(r#"{"op": "move", "from": "/a", "path": "/b/x"}"#),
            json(r#"{"op": "move", "from": "/b", "path": "/a"}"#),
            json(r#"{"op": "add", "path": "/b", "value": {}}"#),
        ];
        Value::Array(round.iter().cycle().take(3 * rounds).cloned().collect())
    };
    let message = refusal(run.json_patch("doc", &nest(127)), ErrorKind::InvalidArgument);
    assert!(message.contains("depth_max is 128, the document would be nested 129 deep"), "{message}");
    run.json_patch("doc", &nest(126)).unwrap().unwrap();
    let deepest = format!("/a{}", "/x".repeat(126));
    assert_eq!(run.json_get("doc", &deepest).unwrap().unwrap().value, json("{}"));
    let deeper = format!("{deepest}/x");
    assert!(
        refusal(run.json_set("doc", &deeper, json("[]")), ErrorKind::InvalidArgument).contains("depth_max")
    );
    run.json_set("doc", &deeper, 1).unwrap();
    let into_itself = json(r#"[{"op": "move", "from": "/a", "path": "/a/x/y"}]"#);
    assert!(refusal(run.json_patch("doc", &into_itself), ErrorKind::InvalidArgument).contains("into itself"));
}

/// Story: to move a place onto itself, which does nothing, the place was written out each time, and a `test` that
/// fails went through all members of an object. A patch of many such operations on a large document held up its
/// shard.
#[test]
fn a_patch_that_changes_nothing_costs_nothing_of_the_document() {
    let (_database, run) = in_memory(Limits::default());
    let large = object((0..30_000).map(|number| (format!("{number}"), Value::Int(number))));
    run.json_create("doc", Value::from([("large", large)])).unwrap();
    let idle = json(r#"{"op": "move", "from": "/large", "path": "/large"}"#);
    let started = Instant::now();
    assert_eq!(run.json_patch("doc", &Value::Array(vec![idle; 20_000])).unwrap(), None);
    // Writing it out 20,000 times would be 10 GB.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_document_may_have_sixteen_mebibytes_and_not_a_byte_more() {
    let (_database, run) = in_memory(Limits::default());
    let half = "x".repeat(8 << 20);
    // What counts beside the two texts: of each member its name with its size, and the head of its text.
    let rest = 2 * (4 + 1 + 5);
    run.json_create("doc", Value::from([("a", half.as_str().into()), ("b", half[rest..].into())])).unwrap();
    assert_eq!(run.json_get("doc", "/b").unwrap().unwrap().value.as_str().unwrap().len(), half.len() - rest);
    let message = refusal(run.json_set("doc", "/c", Value::Null), ErrorKind::InvalidArgument);
    assert!(message.contains("value_size_max is 16777216 bytes, the document has 16777222"), "{message}");
    let snapshot = run.snapshot().unwrap();
    for number in 0..20 {
        run.json_set("doc", "/a", number).unwrap();
    }
    assert_eq!(snapshot.json_get("doc", "/a").unwrap().unwrap().value.as_str().unwrap().len(), half.len());
    assert_eq!(run.json_get("doc", "/a").unwrap().unwrap().value, Value::Int(19));
}

#[test]
fn a_container_may_have_a_million_items_and_not_one_more() {
    let (_database, run) = in_memory(Limits::default());
    let items = vec![Value::Null; 1_000_000];
    run.json_create("doc", Value::from([("a", Value::Array(items))])).unwrap();
    let message = refusal(run.json_append("doc", "/a", 1), ErrorKind::InvalidArgument);
    assert!(message.contains("items_max is 1000000 items, the array has 1000001"), "{message}");
    run.json_delete("doc", "/a/0").unwrap().unwrap();
    run.json_append("doc", "/a", "last").unwrap();
    assert_eq!(run.json_get("doc", "/a/999999").unwrap().unwrap().value.as_str(), Some("last"));
    let tests = json(r#"[{"op": "test", "path": "/a/999999", "value": "last"}]"#);
    assert_eq!(run.json_patch("doc", &tests).unwrap(), None);
}

#[test]
fn names_of_members_are_any_text_and_paths_escape_them() {
    let (_database, run) = in_memory(Limits::default());
    run.json_create("doc", json("{}")).unwrap();
    let names = [
        ("", ""),
        ("~", "~0"),
        ("/", "~1"),
        ("~1", "~01"),
        ("~0", "~00"),
        ("/~", "~1~0"),
        ("a/b~c", "a~1b~0c"),
        ("é", "é"),
        ("e\u{301}", "e\u{301}"),
        ("名前", "名前"),
        ("👩‍🚀", "👩‍🚀"),
        ("\0", "\0"),
        ("\n\"\\", "\n\"\\"),
        ("-", "-"),
        ("0", "0"),
        ("01", "01"),
        (" ", " "),
        ("_strata/x", "_strata~1x"),
        ("\u{202e}", "\u{202e}"),
    ];
    for (number, (name, escaped)) in names.into_iter().enumerate() {
        run.json_set("doc", &format!("/{escaped}"), number as i64).unwrap();
        let found =
            run.json_query("doc", &format!("$[{}]", to_json(&name.into()).unwrap())).unwrap().unwrap();
        let place = JsonMatch { path: format!("/{escaped}"), value: Value::Int(number as i64) };
        assert_eq!(found.value, [place], "{name:?}");
    }
    let whole = run.json_get("doc", "").unwrap().unwrap().value;
    let expected =
        names.into_iter().zip(0..).map(|((name, _), number)| (name.to_owned(), Value::Int(number)));
    assert_eq!(whole, object(expected), "each name is a member of its own, in order");
    assert_eq!(parse_json(&to_json(&whole).unwrap()).unwrap(), whole);
    for (_, escaped) in names {
        run.json_delete("doc", &format!("/{escaped}")).unwrap().unwrap();
    }
    assert_eq!(run.json_get("doc", "").unwrap().unwrap().value, json("{}"));
}

#[test]
fn a_name_as_long_as_a_document_is_cut_in_messages() {
    let (_database, run) = in_memory(Limits::default());
    run.json_create("doc", json("{}")).unwrap();
    let long = "名".repeat(1 << 17);
    run.json_set("doc", &format!("/{long}"), json("[]")).unwrap();
    let patch = json(r#"[{"op": "test", "path": "/x", "value": 1}]"#);
    for refused in [
        run.json_set("doc", &format!("/{long}/{long}"), 1).map(drop),
        run.json_append("doc", &format!("/{long}/0/{long}"), 1).map(drop),
        run.json_append("doc", &format!("/x{long}"), 1).map(drop),
        run.json_set("doc", &long, 1).map(drop),
        run.json_set("doc", "/x", Value::from([(long.as_str(), f64::NAN.into())])).map(drop),
        run.json_patch("doc", &patch).map(drop),
    ] {
        assert!(refused.unwrap_err().message().len() < 1_000);
    }
}

#[test]
fn a_member_named_twice_is_refused_by_every_door() {
    let (_database, run) = in_memory(Limits::default());
    let twice = || {
        Value::Object(vec![
            ("a".to_owned(), 1.into()),
            ("b".to_owned(), 2.into()),
            ("a".to_owned(), 3.into()),
        ])
    };
    run.json_create("doc", json(r#"{"o": {}}"#)).unwrap();
    let patch = Value::Array(vec![object([
        ("op".to_owned(), "add".into()),
        ("path".to_owned(), "/o".into()),
        ("value".to_owned(), twice()),
    ])]);
    let inside = || Value::from([("in", Value::Array(vec![twice()]))]);
    for refused in [
        run.json_create("new", twice()).map(drop),
        run.json_set("doc", "/o", inside()).map(drop),
        run.json_cas("doc", Version(2), "/o", twice()).map(drop),
        run.json_patch("doc", &patch).map(drop),
        run.json_merge("doc", "", twice()).map(drop),
        run.json_merge("doc", "/new", inside()).map(drop),
        run.json_append("doc", "/o", twice()).map(drop),
    ] {
        let message = refusal(refused, ErrorKind::InvalidArgument);
        assert!(message.contains("named twice") || message.contains("names \"a\" twice"), "{message}");
    }
    assert_eq!(run.json_get("doc", "").unwrap().unwrap().value, json(r#"{"o": {}}"#));
}

#[test]
fn numbers_keep_their_kind_and_are_tested_by_value() {
    let (_database, run) = in_memory(Limits::default());
    let text = r#"[0, -0, 0.0, -0.0, 1.0, 1e2, 9007199254740993, 9007199254740992.0, -9223372036854775808, 5e-324, 1.7976931348623157e308]"#;
    run.json_create("doc", json(text)).unwrap();
    let read = run.json_get("doc", "").unwrap().unwrap().value;
    assert_eq!(read, json(text));
    let kinds: Vec<_> = read.as_array().unwrap().iter().map(Value::kind).collect();
    let (int, float) = ("int", "float");
    assert_eq!(kinds, [int, float, float, float, float, float, int, float, int, float, float]);
    // A place, what it is tested for, and whether it passes.
    let cases = [
        ("/0", "0.0", true),
        ("/2", "0", true),
        ("/3", "0", true),
        ("/4", "1", true),
        ("/5", "100", true),
        ("/6", "9007199254740992.0", false),
        ("/7", "9007199254740992", true),
        ("/7", "9007199254740993", false),
        ("/8", "-9223372036854775808.0", true),
        ("/9", "0", false),
        ("/10", "1.7976931348623157e308", true),
    ];
    for (path, value, passes) in cases {
        let test = json(&format!(r#"[{{"op": "test", "path": "{path}", "value": {value}}}]"#));
        assert_eq!(run.json_patch("doc", &test).is_ok(), passes, "{path} and {value}");
    }
    for number in ["9223372036854775808", "-9223372036854775809", "1e309", "-1e400", &"9".repeat(10_000)] {
        assert_eq!(parse_json(number).unwrap_err().kind(), ErrorKind::InvalidArgument, "{number}");
    }
}

#[test]
fn a_reopened_document_has_the_versions_it_had_whatever_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Database::open(directory.path(), options(Durability::Buffered, 1)).unwrap();
    let mut dice = Dice::new(seed());
    let database = open();
    let run = database.begin_run(RunSpec::named("documents")).unwrap();
    for document in DOCUMENTS {
        run.json_create(document, json(r#"{"a": {"b": []}, "b": [[], {}], "": {}, "0": 1}"#)).unwrap();
    }
    for step in 0..1_200 {
        let document = DOCUMENTS[dice.below(DOCUMENTS.len() as u64) as usize];
        write_at_random(&run, document, &mut dice, step);
    }
    let before = places(&run);
    let versions = before.iter().map(|place| place.2).collect::<std::collections::BTreeSet<_>>();
    assert!(versions.len() > 12, "the places were written by many commits: {versions:?}");
    database.close().unwrap();
    let database = open();
    assert_eq!(places(&database.run(run.id())), before);
}

const DOCUMENTS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// One of many writes at a place that may be there. Refusals are part of it.
fn write_at_random(run: &RunHandle, document: &str, dice: &mut Dice, step: i64) {
    const NAMES: [&str; 8] = ["a", "b", "", "~0~1", "é", "0", "1", "-"];
    let mut path = || {
        let depth = 1 + dice.below(4);
        (0..depth).map(|_| format!("/{}", NAMES[dice.below(8) as usize])).collect::<String>()
    };
    let (at, from) = (path(), path());
    let value = match dice.below(5) {
        0 => json("{}"),
        1 => json("[]"),
        2 => json(r#"{"a": [1, 2, {"b": null}], "0": {"1": 0.5}}"#),
        3 => Value::Array((0..40).map(Value::Int).collect()),
        _ => Value::Int(step),
    };
    let operation = |op: &str| {
        let members = [("op", op.into()), ("path", at.as_str().into()), ("from", from.as_str().into())];
        let members = members.into_iter().chain([("value", value.clone())]);
        object(members.map(|(name, member)| (name.to_owned(), member)))
    };
    let done = match dice.below(9) {
        0 | 1 => run.json_set(document, &at, value.clone()).map(drop),
        2 => run.json_delete(document, &at).map(drop),
        3 => run.json_append(document, &at, value.clone()).map(drop),
        4 => run.json_merge(document, &at, value.clone()).map(drop),
        5 => run.json_patch(document, &Value::Array(vec![operation("add"), operation("copy")])).map(drop),
        6 => run.json_patch(document, &Value::Array(vec![operation("move")])).map(drop),
        7 => {
            run.json_patch(document, &Value::Array(vec![operation("replace"), operation("remove")])).map(drop)
        }
        _ => run.json_patch(document, &Value::Array(vec![operation("copy"), operation("test")])).map(drop),
    };
    let refusals =
        [ErrorKind::NotFound, ErrorKind::WrongType, ErrorKind::InvalidArgument, ErrorKind::Conflict];
    if let Err(error) = done {
        assert!(refusals.contains(&error.kind()), "{error}");
    }
}

/// Every place of every document with its text and its version.
fn places(run: &RunHandle) -> Vec<(String, String, Version)> {
    let of_document = |document: &'static str| {
        let found = run.json_query(document, "$..*").unwrap().unwrap().value;
        let paths = std::iter::once(String::new()).chain(found.into_iter().map(|found| found.path));
        paths.map(move |path| {
            let found = run.json_get(document, &path).unwrap().unwrap();
            (format!("{document} {path}"), found.value.to_string(), found.version)
        })
    };
    DOCUMENTS.into_iter().flat_map(of_document).collect()
}
