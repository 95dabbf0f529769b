//! Which writes to a document conflict with which reads of it: a matrix of places, through transactions.

use strata::{
    Database, Durability, EntityRef, Error, ErrorKind, KvScan, Reads, RunHandle, RunSpec, Value, Writes,
    parse_json,
};

use crate::support::options;

/// What every row of the matrix begins with.
const DOCUMENT: &str = r#"{
    "o": {"x": {"deep": 1}, "y": 2, "xy": 3},
    "a": [{"k": 1, "l": [0]}, {"k": 2}, {"k": 3}],
    "e": {"": {"": 0, "z": 0}, "0": 0, "1": 1},
    "q": {"a/b": {"m~n": 1, "é": 2}, "a": {"b": 3}},
    "n": [],
    "s": 0
}"#;

/// Transaction A reads a place; B writes, and commits first; A writes a key and commits.
const MATRIX: &str = r#"
/s        | set /s 1                     | conflict | the same place
/s        | set /s 0                     | conflict | an equal value is a write like any other
/o/x      | set /o/x/deep 9              | conflict | what is inside was written
/o        | set /o/x/deep 9              | conflict | what is far inside was written
/o/x/deep | set /o/x {"deep": 1}         | conflict | what is around it was written
/o/x/deep | set /o {"x": {"deep": 1}}    | conflict | what is far around it was written
/o/x      | set /o/y 9                   | -        | a sibling
/o/x/deep | set /o/y 9                   | -        | a sibling of what is around it
/o/y      | set /o/x/deep 9              | -        | what is inside a sibling
/o/x      | set /o/xy 9                  | -        | a name that begins with the other name is another name
/o        | set /s 9                     | -        | another member of the root
/o        | set /o/new 1                 | conflict | its new member is inside it
/o/x      | set /o/new 1                 | -        | a new member beside it
/o/x/deep | set /o/x/new 1               | -        | a new member beside it
/s        | set /new 1                   | -        | a new member of the root beside it
/o        | delete /o/y                  | conflict | its member was removed
/o/x      | delete /o/y                  | -        | a sibling was removed
/o/x      | delete /o/x                  | conflict | it was removed
/o/x/deep | delete /o/x                  | conflict | it was removed with what is around it
/o/x      | delete /o/nothing            | -        | nothing was removed, and nothing committed
/o        | delete /o/nothing            | -        | nothing was removed, and nothing committed
""        | set /s 1                     | conflict | the root is around everything
""        | set /o/x/deep 9              | conflict | the root is around everything, however deep
""        | append /n 1                  | conflict | the root is around everything
""        | set /new 1                   | conflict | the root has one member more
/o/x/deep | set "" {"o": {"x": {"deep": 1}}} | conflict | the whole document was put
/s        | merge "" {"s": 1}            | conflict | the merge wrote this member
/o        | merge "" {"s": 1}            | -        | the merge wrote another member
/o/x      | merge /o {"y": 9}            | -        | the merge went through its parent without writing it
/o/x      | merge /o {"x": {"deep": 9}}  | conflict | the merge wrote inside it
/o/y      | merge /o {"x": {"deep": 9}, "y": 2} | - | a merge does not write what is equal
/o/y      | merge /o {"y": null}         | conflict | the merge removed it
/o/y      | merge /o 5                   | conflict | the merge replaced what is around it
/a/0      | set /a/0 9                   | conflict | the same item
/a/0/k    | set /a/0 {"k": 1}            | conflict | its item was replaced
/a/0      | set /a/1 9                   | -        | another item was replaced
/a/0/k    | set /a/1/k 9                 | -        | inside another item
/a/0/k    | set /a/0/l/0 9               | -        | a sibling inside the item
/a        | set /a/1 9                   | conflict | its item was replaced
/a        | set /a/1/k 9                 | conflict | inside its item
/a/0      | append /a 9                  | conflict | an append writes the array, this item with it
/a/2/k    | append /a 9                  | conflict | an append writes the array and all that is in it
/a        | append /a 9                  | conflict | an append writes the array
/o        | append /a 9                  | -        | an array beside it
/a/0      | append /a/0/l 9              | conflict | an array inside it
/a/0/k    | append /a/0/l 9              | -        | an array beside it, in the same item
/a/1      | append /a/0/l 9              | -        | an array in another item
/a/0      | set /a/3 9                   | conflict | to set the index behind the last appends
/a/0      | set /a/- 9                   | conflict | to set the end appends
/a/0      | patch [{"op": "add", "path": "/a/2", "value": 9}]     | conflict | items before an insert are written too
/a/2      | patch [{"op": "add", "path": "/a/1", "value": 9}]     | conflict | items behind an insert move
/a/0      | patch [{"op": "remove", "path": "/a/2"}]              | conflict | items before a removed one are written too
/a/2      | patch [{"op": "remove", "path": "/a/0"}]              | conflict | items behind a removed one move
/a/1      | delete /a/1                                           | conflict | it was removed
/a/0      | patch [{"op": "replace", "path": "/a/2", "value": 9}] | -        | the replace of one item leaves the others
/a/0      | patch [{"op": "copy", "from": "/a/0", "path": "/new"}] | -       | a copy only reads what it copies
/a/0      | patch [{"op": "move", "from": "/a/0", "path": "/new"}] | conflict | a move takes it away
/a/1      | patch [{"op": "move", "from": "/a/0", "path": "/new"}] | conflict | a move takes an item out of the array
/s        | patch [{"op": "move", "from": "/o/y", "path": "/s"}]  | conflict | a move puts something there
/s        | patch [{"op": "test", "path": "/s", "value": 0}]      | -        | a test writes nothing
/o/y      | patch [{"op": "add", "path": "/s", "value": 1}, {"op": "remove", "path": "/o/x"}] | - | beside all of a patch
/o        | patch [{"op": "add", "path": "/s", "value": 1}, {"op": "remove", "path": "/o/x"}] | conflict | inside one part of a patch
/new      | set /new 1                   | conflict | what was not there is
/new      | set /newer 1                 | -        | something else is there now
/o/new    | set /o/new 1                 | conflict | what was not there is
/o/new    | set /o/y 9                   | -        | beside what is not there
/new/x    | set /new {"x": 1}            | conflict | it came with its parent
/new/x    | set /new {}                  | conflict | its parent is there now, though it is not
/new/x/y  | set /new {"x": {}}           | conflict | what is around it is there now
/o/new    | set /o {"x": 1}              | conflict | what is around it was written
/o/new/x  | delete /o                    | conflict | what is around it was removed
/o/new    | set "" {"s": 0}              | conflict | the whole document was put
/s/x      | set /s 1                     | conflict | what cannot hold it was written
/s/x      | set /s {"x": 1}              | conflict | it is there now
/s/x      | set /o/y 9                   | -        | beside what is not there
/a/3      | append /a 9                  | conflict | the item is there now
/a/7      | append /a 9                  | conflict | the array was written, though the item is not there
/a/-      | append /a 9                  | conflict | the end of the array has moved
/a/7      | set /a/0 9                   | -        | another item was replaced
/n/0      | append /n 1                  | conflict | the first item
/n        | append /n 1                  | conflict | it is no longer empty
/e/       | set /e//z 9                  | conflict | inside the member with the empty name
/e//      | set /e//z 9                  | -        | an empty name beside another
/e//      | set /e// 9                   | conflict | the same empty names
/e        | set /e/ 9                    | conflict | its member with the empty name
/e/1      | delete /e/0                  | -        | members named by numbers do not move
/e/1      | set /e/2 2                   | -        | nor does a new one write its object
/q/a~1b   | set /q/a/b 9                 | -        | a slash in a name is no step
/q/a/b    | set /q/a~1b 9                | -        | nor the other way round
/q/a~1b   | set /q/a~1b/m~0n 9           | conflict | inside, by its escaped name
/q/a~1b/m~0n | set /q/a~1b/é 9           | -        | beside, by names beyond ASCII
/q/a~1b/é | set /q/a~1b/é 9              | conflict | the same name beyond ASCII
/s        | recreate {"s": 0}            | conflict | another document of this name
/new      | recreate {"s": 0}            | conflict | nothing there either, in another document
""        | recreate {"s": 0}            | conflict | another document of this name
/s        | destroy                      | conflict | the document is gone
/new      | destroy                      | conflict | the document is gone around what is not there
"#;

/// The same where the document is not there at first.
const WITHOUT_DOCUMENT: &str = r#"
""        | create {"s": 0}              | conflict | the document is there now
/s        | create {"s": 0}              | conflict | the place is there now
/s        | create {}                    | conflict | what is around the place is there now
"#;

struct Row {
    read: &'static str,
    write: &'static str,
    is_conflict: bool,
    reason: &'static str,
}

fn rows(table: &'static str) -> Vec<Row> {
    let row = |line: &'static str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [read, write, expected, reason] = cells[..] else { panic!("{line} has no four cells") };
        assert!(["conflict", "-"].contains(&expected), "{line}");
        Row { read: read.trim_matches('"'), write, is_conflict: expected == "conflict", reason }
    };
    table.trim().lines().map(row).collect()
}

/// Does what the second cell of a row says.
fn carry_out(run: &impl Writes, document: &str, write: &str) {
    let (verb, rest) = write.split_once(' ').unwrap_or((write, ""));
    let (path, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let path = path.trim_matches('"');
    let done = match verb {
        "set" => run.json_set(document, path, json(value)).map(drop),
        "append" => run.json_append(document, path, json(value)).map(drop),
        "merge" => run.json_merge(document, path, json(value)).map(drop),
        "delete" => run.json_delete(document, path).map(drop),
        "patch" => run.json_patch(document, &json(rest)).map(drop),
        "create" => run.json_create(document, json(rest)).map(drop),
        "destroy" => run.json_destroy(document).map(drop),
        "recreate" => {
            run.json_destroy(document).unwrap();
            run.json_create(document, json(rest)).map(drop)
        }
        other => panic!("{other} is no write"),
    };
    done.unwrap_or_else(|error| panic!("{write}: {error}"));
}

fn json(text: &str) -> Value {
    parse_json(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn store() -> (Database, RunHandle) {
    let database = Database::in_memory_with(options(Durability::InMemory, 1)).unwrap();
    let run = database.begin_run(RunSpec::named("documents")).unwrap();
    (database, run)
}

/// Refuses anything but a conflict that names the document and two versions, which differ.
#[track_caller]
fn assert_conflict(error: &Error, entity: &EntityRef, about: &str) {
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(entity)), "{about}: {error}");
    let (expected, found) = error
        .message()
        .strip_prefix("expected ")
        .and_then(|message| message.split_once(", found "))
        .unwrap_or_else(|| panic!("{about}: {error} does not name two versions"));
    assert_ne!(expected, found, "{about}");
}

#[test]
fn the_matrix_is_large_enough_to_mean_something() {
    let all: Vec<_> = [MATRIX, WITHOUT_DOCUMENT].into_iter().flat_map(rows).collect();
    let conflicts = all.iter().filter(|row| row.is_conflict).count();
    assert!(conflicts >= 50 && all.len() - conflicts >= 30, "{conflicts} of {}", all.len());
}

#[test]
fn a_read_conflicts_with_a_write_that_overlaps_it_and_with_no_other() {
    let (_database, run) = store();
    for (table, begin) in [(MATRIX, Some(DOCUMENT)), (WITHOUT_DOCUMENT, None)] {
        for (number, row) in rows(table).iter().enumerate() {
            let document = format!("{number}-{}", begin.is_some());
            if let Some(text) = begin {
                run.json_create(&document, json(text)).unwrap();
            }
            let tx = run.begin();
            tx.json_get(&document, row.read).unwrap();
            tx.put("wrote", document.as_str()).unwrap();
            carry_out(&run, &document, row.write);
            let committed = tx.commit();
            let about = format!("{} and {}: {}", row.read, row.write, row.reason);
            let entity = EntityRef::json(run.id(), document.as_str());
            match committed {
                Ok(receipt) => assert!(!row.is_conflict && receipt.commit.is_some(), "no conflict: {about}"),
                Err(error) if row.is_conflict => assert_conflict(&error, &entity, &about),
                Err(error) => panic!("{error}: {about}"),
            }
            let wrote =
                run.get("wrote").unwrap().is_some_and(|found| found.value.as_str() == Some(&document));
            assert_eq!(wrote, !row.is_conflict, "{about}");
        }
    }
}

#[test]
fn writes_to_another_document_never_conflict() {
    let (_database, run) = store();
    run.json_create("read", json(DOCUMENT)).unwrap();
    for (number, row) in rows(MATRIX).iter().enumerate() {
        let other = format!("other-{number}");
        run.json_create(&other, json(DOCUMENT)).unwrap();
        let tx = run.begin();
        tx.json_get("read", row.read).unwrap();
        tx.put("wrote", number as i64).unwrap();
        carry_out(&run, &other, row.write);
        assert!(tx.commit().unwrap().commit.is_some(), "{}", row.write);
    }
}

#[test]
fn a_query_reads_the_whole_document() {
    let (_database, run) = store();
    run.json_create("doc", json(DOCUMENT)).unwrap();
    for (write, is_conflict) in [("set /e/0 9", true), ("set /new 1", true), ("delete /o/nothing", false)] {
        let tx = run.begin();
        tx.json_query("doc", "$.s").unwrap();
        tx.put("wrote", write).unwrap();
        carry_out(&run, "doc", write);
        match tx.commit() {
            Ok(_) => assert!(!is_conflict, "{write}"),
            Err(error) => assert_conflict(&error, &EntityRef::json(run.id(), "doc"), write),
        }
    }
}

#[test]
fn a_list_of_documents_sees_no_phantoms() {
    // A lists with these bounds; B does this; whether A conflicts.
    let cases = [
        ("", "create", "b", true),
        ("a/", "create", "a/2", true),
        ("a/", "create", "b", false),
        ("a/", "destroy", "a/1", true),
        ("a/", "destroy", "c", false),
        ("a/", "set", "a/1", false), // a list tells names, and these are the same
        ("a/", "recreate", "a/1", false),
        ("", "nothing", "", false),
    ];
    for (prefix, verb, name, is_conflict) in cases {
        let (_database, run) = store();
        run.json_create("a/1", json("{}")).unwrap();
        run.json_create("c", json("{}")).unwrap();
        let tx = run.begin();
        tx.json_list(&KvScan { prefix: prefix.to_owned(), ..KvScan::default() }).unwrap();
        tx.put("listed", true).unwrap();
        match verb {
            "create" => carry_out(&run, name, "create {}"),
            "set" => carry_out(&run, name, "set /x 1"),
            "nothing" => {}
            verb => carry_out(&run, name, &format!("{verb} {{}}")),
        }
        let about = format!("{prefix:?} and {verb} {name:?}");
        match tx.commit() {
            Ok(_) => assert!(!is_conflict, "no conflict: {about}"),
            Err(error) if is_conflict => assert_conflict(&error, &EntityRef::json(run.id(), name), &about),
            Err(error) => panic!("{error}: {about}"),
        }
    }
}

#[test]
fn a_page_of_documents_reads_as_far_as_it_went() {
    let (_database, run) = store();
    for name in ["a", "c", "e"] {
        run.json_create(name, 1).unwrap();
    }
    for (created, is_conflict) in [("b", true), ("f", false)] {
        let tx = run.begin();
        let page = tx.json_list(&KvScan { limit: 2, ..KvScan::default() }).unwrap();
        assert!(page.next.is_some());
        tx.put("listed", true).unwrap();
        run.json_create(created, 1).unwrap();
        assert_eq!(tx.commit().is_err(), is_conflict, "{created}");
        run.json_destroy(created).unwrap();
    }
}
