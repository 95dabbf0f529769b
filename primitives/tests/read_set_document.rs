//! What a transaction reads of a document by merging into it.
mod support;

use strata_primitives::*;
use support::transaction::{COMMITTED, Transaction};
use support::{Driver, encoded};

fn path(text: &str) -> Pointer {
    Pointer::parse(text, 256).unwrap()
}

/// What becomes of a transaction that merges `{name: {"x": 1}}` into `{"a": 1, "b": 2}` and reads what is there then,
/// when somebody else puts the object `{"y": 2}` at `/a` meanwhile.
fn merged(name: &str) -> Result<(), ErrorKind> {
    let mut driver = Driver::created();
    let value = encoded(Value::from([("a", 1.into()), ("b", 2.into())]));
    driver.write(Operation::JsonCreate { name: "doc".into(), value });
    let patch = Value::from([(name, Value::from([("x", 1.into())]))]);
    let merge = Operation::JsonMerge { name: "doc".into(), path: Pointer::root(), patch };
    let read = Operation::JsonGet { name: "doc".into(), path: Pointer::root().join(name) };
    let transaction = Transaction::begin(&mut driver, vec![merge, read]);
    driver.now = COMMITTED;
    let value = encoded(Value::from([("y", 2.into())]));
    driver.write(Operation::JsonSet { name: "doc".into(), path: path("/a"), value });
    transaction.validate(&driver).map_err(|error| error.kind())
}

/// A merge of an object into a number replaces the number, and into an object it leaves the other members. A
/// transaction read what it had made of a number; somebody had put an object there by the commit, whose members
/// stayed in it.
#[test]
fn what_a_merge_replaces_was_read_by_the_transaction() {
    assert_eq!(merged("a"), Err(ErrorKind::Conflict));
    assert_eq!(merged("b"), Ok(()), "another place is as it was");
}
