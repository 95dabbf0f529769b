//! What a transaction reads of its own writes, and what they are made of.
mod support;

use strata_primitives::*;
use support::transaction::{COMMITTED, Transaction};
use support::{Driver, encoded};

fn path(text: &str) -> Pointer {
    Pointer::parse(text, 256).unwrap()
}

fn set(text: &str, value: i64) -> Operation {
    Operation::JsonSet { name: "doc".into(), path: path(text), value: encoded(value) }
}

fn push(text: &str, value: i64) -> Operation {
    Operation::JsonAppend { name: "doc".into(), path: path(text), value: encoded(value) }
}

fn delete(text: &str) -> Operation {
    Operation::JsonDelete { name: "doc".into(), path: path(text) }
}

fn patch(operations: Vec<PatchOperation>) -> Operation {
    Operation::JsonPatch { name: "doc".into(), patch: operations }
}

/// A run with the document `{"a": 1, "b": 2, "list": [10, 20, 30]}`.
fn with_document() -> Driver {
    let mut driver = Driver::created();
    let list = Value::Array(vec![10.into(), 20.into(), 30.into()]);
    let value = encoded(Value::from([("a", 1.into()), ("b", 2.into()), ("list", list)]));
    driver.write(Operation::JsonCreate { name: "doc".into(), value });
    driver
}

/// What becomes of a transaction that `writes`, reads `looked_at`, and meets a rival that writes `rival`.
fn outcome(mut writes: Vec<Operation>, looked_at: &str, rival: Operation) -> Result<(), ErrorKind> {
    let mut driver = with_document();
    writes.push(Operation::JsonGet { name: "doc".into(), path: path(looked_at) });
    let transaction = Transaction::begin(&mut driver, writes);
    driver.now = COMMITTED;
    driver.write(rival);
    transaction.validate(&driver).map_err(|error| error.kind())
}

/// A transaction that had taken an item out of an array, or put one in, and then read the item that had moved into its
/// place was taken for one that reads its own write. A rival changed that item, both committed, and the transaction had
/// decided by a value that was gone. Now all of an array is read whose items the transaction has moved.
#[test]
fn a_read_in_an_array_that_the_transaction_has_moved_depends_on_all_of_it() {
    for rival in [set("/list/1", 21), push("/list", 40), delete("/list/0")] {
        assert_eq!(outcome(vec![delete("/list/0")], "/list/0", rival), Err(ErrorKind::Conflict));
    }
    let inserted = || vec![patch(vec![PatchOperation::Add { path: path("/list/0"), value: encoded(0) }])];
    assert_eq!(outcome(inserted(), "/list/1", set("/list/0", 11)), Err(ErrorKind::Conflict));
    assert_eq!(outcome(vec![push("/list", 40)], "/list/3", push("/list", 41)), Err(ErrorKind::Conflict));
}

#[test]
fn what_the_transaction_has_set_itself_conflicts_with_nobody() {
    assert_eq!(outcome(vec![set("/list/0", 11)], "/list/0", set("/list/0", 12)), Ok(()));
    assert_eq!(outcome(vec![delete("/a")], "/a", set("/b", 3)), Ok(()));
    assert_eq!(outcome(vec![push("/list", 40)], "/a", push("/list", 41)), Ok(()));
    let replaced = vec![push("/list", 40), set("", 1)];
    assert_eq!(outcome(replaced, "", set("/a", 3)), Ok(()), "a whole document covers what was done to it");
}

/// A patch that copied `/a` to `/b`, and a read of `/b`: the transaction saw its own write, and not that it was made of
/// `/a`. A rival changed `/a`, and the commit copied another value than the transaction had been shown.
#[test]
fn what_a_patch_copies_or_moves_was_read_by_the_transaction() {
    let copied = || vec![patch(vec![PatchOperation::Copy { from: path("/a"), path: path("/b") }])];
    assert_eq!(outcome(copied(), "/b", set("/a", 5)), Err(ErrorKind::Conflict));
    assert_eq!(outcome(copied(), "/b", set("/list/0", 5)), Ok(()));
    let moved = vec![patch(vec![
        PatchOperation::Remove { path: path("/list/0") },
        PatchOperation::Move { from: path("/list/0"), path: path("/b") },
    ])];
    assert_eq!(outcome(moved, "/b", set("/list/1", 21)), Err(ErrorKind::Conflict));
}

/// A merge of an object into a number replaces the number, and into an object it leaves the other members. A transaction
/// read what it had made of a number; a rival had put an object there, whose members stayed in the commit.
#[test]
fn what_a_merge_replaces_was_read_by_the_transaction() {
    let merged = |name: &str| {
        let patch = Value::from([(name, Value::from([("x", 1.into())]))]);
        vec![Operation::JsonMerge { name: "doc".into(), path: Pointer::root(), patch }]
    };
    let object = Operation::JsonSet {
        name: "doc".into(),
        path: path("/a"),
        value: encoded(Value::from([("y", 2.into())])),
    };
    assert_eq!(outcome(merged("a"), "/a", object.clone()), Err(ErrorKind::Conflict));
    assert_eq!(outcome(merged("b"), "/b", object), Ok(()), "another place is as it was");
}
