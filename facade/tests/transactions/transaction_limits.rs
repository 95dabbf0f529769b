//! How much one transaction may write and read.

use std::time::Instant;

use strata::{
    Condition, Durability, Error, ErrorKind, KvScan, Limits, Options, Reads, Transaction, Value, Writes,
};

use crate::support::{one_run, one_run_with, open_count, options};

const OK: std::result::Result<(), Error> = Ok(());

#[test]
fn limits_hold_inside_a_transaction() {
    let limits = Limits { transaction_mutations_max: 3, transaction_size_max: 1_000, ..Limits::default() };
    let (database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
    let write = |count: usize, size: usize| {
        run.transaction(|tx| {
            for number in 0..count {
                tx.put(&number.to_string(), "x".repeat(size))?;
            }
            OK
        })
    };
    let error = write(4, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("transaction_mutations_max is 3, the transaction has 4"), "{error}");
    let error = run
        .transaction(|tx| {
            (0..4).try_for_each(|_| tx.delete("missing").map(drop))?;
            OK
        })
        .unwrap_err();
    assert!(error.message().contains("the transaction has 4 operations"), "what changes nothing: {error}");
    let error = write(2, 600).unwrap_err();
    assert!(error.message().contains("transaction_size_max is 1000 bytes"), "{error}");
    let error = run.transaction(|tx| tx.increment(&"k".repeat(2_000), 1)).unwrap_err();
    assert!(error.message().contains("key_size_max"), "{error}");
    assert_eq!((run.info().unwrap().kv_count, open_count(&database)), (0, 0));
    write(3, 1).unwrap();
}

/// How full a commit is depends on everything in it, so who was refused for that has learnt of everything.
#[test]
fn a_commit_that_has_grown_too_large_ends_its_transaction() {
    type Refused = fn(&Transaction) -> Error;
    let refused: [Refused; 4] = [
        |tx| tx.cell_init("lock", 1).unwrap_err(),
        |tx| tx.put_if("k", 1, Condition::Absent).unwrap_err(),
        |tx| tx.delete_prefix("p/").unwrap_err(),
        |tx| tx.json_merge("doc", "", Value::from([("a", 1.into()), ("b", 2.into())])).unwrap_err(),
    ];
    for refused in refused {
        let limits = Limits { transaction_mutations_max: 2, ..Limits::default() };
        let (database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
        run.put("p/1", 1).unwrap();
        run.json_create("doc", Value::from([("c", 3.into())])).unwrap();
        let version = run.info().unwrap().version;
        let tx = run.begin();
        tx.put_many([("a", 1), ("b", 2)]).unwrap();
        let error = refused(&tx);
        assert!(error.message().contains("transaction_mutations_max is 2"), "{error}");
        assert_eq!(tx.get("a").unwrap_err().message(), error.message());
        assert_eq!(tx.commit().unwrap_err().message(), error.message());
        assert_eq!((run.info().unwrap().version, open_count(&database)), (version, 0));
    }
}

#[test]
fn what_waits_for_a_commit_is_bounded_even_where_it_changes_nothing() {
    let limits = Limits { transaction_size_max: 10_000, ..Limits::default() };
    let (_database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
    let text = "x".repeat(4_000);
    run.json_create("doc", text.as_str()).unwrap();
    let tx = run.begin();
    for _ in 0..2 {
        assert_eq!(tx.json_merge("doc", "", text.as_str()).unwrap(), None, "it is so already");
    }
    let error = tx.json_merge("doc", "", text.as_str()).unwrap_err();
    assert!(error.message().contains("transaction_size_max is 10000 bytes, the transaction has"), "{error}");
    tx.commit().unwrap();
    let tx = run.begin();
    for key in ["0", "1"] {
        tx.put(key, text.as_str()).unwrap();
    }
    assert!(tx.put("2", text.as_str()).is_err());
    tx.commit().unwrap();
    assert_eq!(run.count("").unwrap().value, 2, "what fitted is written");
    let mut batch = run.batch();
    batch.put("a", text.as_str()).unwrap().put("b", text.as_str()).unwrap();
    let error = batch.put("c", text.as_str()).unwrap_err();
    assert!(error.message().contains("the batch has"), "{error}");
    assert_eq!(batch.len(), 2);
    run.commit(batch).unwrap();
}

#[test]
fn a_transaction_that_has_read_too_much_ends_and_says_what_to_do() {
    let limits = Limits { transaction_reads_size_max: 10_000, ..Limits::default() };
    let (database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
    let keys: Vec<String> = (0..1_000).map(|number| format!("key-{number:04}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    run.put_many(keys.iter().map(|key| (*key, 1))).unwrap();
    let tx = run.begin();
    tx.put("own", 1).unwrap();
    let error = tx.get_many(&keys).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("transaction_reads_size_max is 10000 bytes"), "{error}");
    assert_eq!(tx.get("key-0001").unwrap_err().message(), error.message(), "it has ended");
    assert_eq!(tx.commit().unwrap_err().message(), error.message());
    assert_eq!((run.get("own").unwrap(), open_count(&database)), (None, 0));
    run.transaction(|tx| {
        assert_eq!(tx.list(&KvScan::prefix("key-"))?.keys.len(), 1_000, "a range is one place");
        tx.put("own", 2)
    })
    .unwrap();
    assert_eq!(run.snapshot().unwrap().get_many(&keys).unwrap().value.len(), 1_000);
}

#[test]
fn a_place_that_is_read_again_and_again_is_remembered_once() {
    let limits = Limits { transaction_reads_size_max: 10_000, ..Limits::default() };
    let (_database, run) = one_run_with(Options { limits, ..options(Durability::InMemory, 1) });
    let tx = run.begin();
    for _ in 0..1_000 {
        tx.get("key").unwrap();
    }
    tx.put("key", 1).unwrap();
    tx.commit().unwrap();
}

#[test]
fn behind_very_many_own_writes_a_read_of_a_document_is_one_of_all_of_it() {
    for (own_count, is_conflict) in [(1_024, false), (1_025, true)] {
        let (_database, run) = one_run();
        run.json_create("doc", Value::from([("mine", 1.into()), ("theirs", 1.into())])).unwrap();
        let tx = run.begin();
        for number in 0..own_count {
            tx.put("own", number).unwrap();
        }
        tx.json_get("doc", "/mine").unwrap();
        run.json_set("doc", "/theirs", 2).unwrap();
        let outcome = tx.commit().map_err(|error| error.kind());
        assert_eq!(outcome.err(), is_conflict.then_some(ErrorKind::Conflict), "{own_count} own writes");
    }
}

#[test]
fn a_patch_takes_a_transaction_time_that_grows_with_its_length() {
    let (_database, run) = one_run();
    run.json_create("doc", Value::from([("n", Value::from(0))])).unwrap();
    let operation = |op: &str, path: String, value: i64| {
        Value::from([("op", op.into()), ("path", path.into()), ("value", value.into())])
    };
    let took = |count: i64| {
        let add = |number: i64| operation("add", format!("/k{}", number % 100), number);
        let pairs = (0..count).flat_map(|number| [add(number), operation("test", "/n".to_owned(), 0)]);
        let patch = Value::Array(pairs.collect());
        let tx = run.begin();
        let started = Instant::now();
        tx.json_patch("doc", &patch).unwrap();
        started.elapsed()
    };
    let (few, many) = (took(1_000), took(60_000));
    assert!(many < few * 800, "sixty times the operations took {few:?} and {many:?}");
}
