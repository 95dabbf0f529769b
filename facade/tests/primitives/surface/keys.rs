//! Keys and cells, on any surface.

use std::time::Duration;

use strata::{
    Condition, Deadline, Direction, EntityRef, ErrorKind, KvScan, Reads, Timestamp, Value, Version, Writes,
};

use super::NOW;

fn value_of(run: &impl Reads, key: &str) -> Option<Value> {
    run.get(key).unwrap().map(|read| read.value)
}

pub(crate) fn suite<W: Writes>(run: &W) {
    assert_eq!(run.get("a").unwrap(), None);
    run.put("a", 1).unwrap();
    run.put("a", "one").unwrap();
    assert_eq!(value_of(run, "a"), Some("one".into()));
    assert!(run.put_many([("b", 2), ("c/1", 3), ("c/2", 4)]).unwrap().is_some());
    assert!(run.put_many(Vec::<(&str, i64)>::new()).unwrap().is_none());

    let held = run.get("a").unwrap().unwrap().version;
    run.put_if("a", "two", Condition::Version(held)).unwrap();
    run.put_if("new", 1, Condition::Absent).unwrap();
    let error = run.put_if("a", 0, Condition::Absent).err().unwrap();
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::Conflict, Some(&EntityRef::kv(run.run_id(), "a")))
    );
    let error = run.put_if("missing", 0, Condition::Version(Version(1))).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);

    assert_eq!(run.increment("b", 40).unwrap().0, 42);
    assert_eq!(run.increment("count", -1).unwrap().0, -1);
    assert_eq!(run.increment("a", 1).err().unwrap().kind(), ErrorKind::WrongType);
    assert_eq!(run.increment("b", i64::MAX).err().unwrap().kind(), ErrorKind::InvalidArgument);

    let many = run.get_many(&["a", "missing", "b"]).unwrap().value;
    let many: Vec<_> = many.into_iter().map(|found| found.map(|read| read.value)).collect();
    assert_eq!(many, [Some("two".into()), None, Some(42.into())]);
    assert!(run.exists("a").unwrap().value && !run.exists("missing").unwrap().value);
    expect_pages(run);

    assert!(run.delete("a").unwrap().is_some());
    assert!(run.delete("a").unwrap().is_none());
    let (count, receipt) = run.delete_prefix("c/").unwrap();
    assert_eq!((count, receipt.is_some()), (2, true));
    let (count, receipt) = run.delete_prefix("c/").unwrap();
    assert_eq!((count, receipt.is_some()), (0, false));
    assert_eq!(run.list(&KvScan::default()).unwrap().keys, ["b", "count", "new"]);
    refuses_what_breaks_a_rule(run);
}

fn expect_pages(run: &impl Reads) {
    let scan = |prefix: &str, start_after: Option<&str>, direction| KvScan {
        prefix: prefix.into(),
        start_after: start_after.map(Into::into),
        limit: 2,
        direction,
    };
    let page = run.list(&scan("", None, Direction::Forward)).unwrap();
    assert_eq!((page.keys, page.next), (vec!["a".into(), "b".into()], Some("b".into())));
    let page = run.list(&scan("", Some("count"), Direction::Reverse)).unwrap();
    assert_eq!((page.keys, page.next), (vec!["c/2".into(), "c/1".into()], Some("c/1".into())));
    let page = run.list_values(&scan("c/", None, Direction::Forward)).unwrap();
    let values: Vec<_> = page.items.into_iter().map(|(key, read)| (key, read.value)).collect();
    assert_eq!(values, [("c/1".to_owned(), 3.into()), ("c/2".to_owned(), 4.into())]);
    assert_eq!((run.count("").unwrap().value, run.count("c/").unwrap().value), (6, 2));
}

/// What breaks a rule is refused at once on every surface, and spoils nothing.
fn refuses_what_breaks_a_rule<W: Writes>(run: &W) {
    let refused = [
        run.put("", 1).err(),
        run.put("_strata/x", 1).err(),
        run.put(&"k".repeat(1025), 1).err(),
        run.delete("a\0b").err(),
        run.get("").err(),
        run.list(&KvScan { limit: 0, ..KvScan::default() }).err(),
        run.append("", 1).err(),
        run.cell_set("", 1).err(),
        run.json_create("", 1).err(),
        run.json_create("d", Value::Bytes(vec![1])).err(),
        run.set_tags(vec!["t"; 65]).err(),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.unwrap().kind(), ErrorKind::InvalidArgument, "call {number}");
    }
}

pub(crate) fn deadlines<W: Writes>(run: &W) {
    let left = |key| run.ttl(key).unwrap().map(|ttl| ttl.value);
    run.put_with_ttl("short", 1, Duration::from_secs(2)).unwrap();
    run.put_until("long", 1, Timestamp(NOW + 5_000_000)).unwrap();
    run.put("plain", 1).unwrap();
    assert_eq!(left("short"), Some(Some(Duration::from_secs(2))));
    assert_eq!(left("long"), Some(Some(Duration::from_secs(5))));
    assert_eq!((left("plain"), left("missing")), (Some(None), None));
    assert!(run.set_deadline("plain", Timestamp(NOW + 1)).unwrap().is_some());
    assert!(run.set_deadline("missing", Timestamp(NOW + 1)).unwrap().is_none());
    assert_eq!(left("plain"), Some(Some(Duration::from_micros(1))));
    assert!(run.clear_deadline("plain").unwrap().is_some());
    assert!(run.clear_deadline("plain").unwrap().is_none());
    assert_eq!(left("plain"), Some(None));
    let late = run.set_deadline("plain", Timestamp(NOW)).err().unwrap();
    assert_eq!(late.kind(), ErrorKind::InvalidArgument);
    run.put("short", 2).unwrap();
    assert_eq!(left("short"), Some(None), "a put clears a deadline");
}

pub(crate) fn cells<W: Writes>(run: &W) {
    let of = |name: &str| EntityRef::cell(run.run_id(), name);
    assert_eq!(run.cell_read("a").unwrap(), None);
    run.cell_init("a", 1).unwrap();
    let error = run.cell_init("a", 2).err().unwrap();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::AlreadyExists, Some(&of("a"))));
    run.cell_set("b", 1).unwrap();
    let held = run.cell_read("a").unwrap().unwrap().version;
    run.cell_cas("a", held, 3).unwrap();
    let error = run.cell_cas("a", Version::NEVER, 4).err().unwrap();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&of("a"))));
    let step = |value: &Value| Ok(Value::Int(value.as_int().unwrap_or(0) * 2));
    assert_eq!(run.cell_transition("a", step).unwrap().0, 6.into());
    let error = run.cell_transition("missing", step).err().unwrap();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::NotFound, Some(&of("missing"))));

    let lease = Deadline::In(Duration::from_secs(3));
    run.cell_init_expiring("c", 1, lease).unwrap();
    run.cell_set_expiring("b", 2, lease).unwrap();
    let held = run.cell_read("c").unwrap().unwrap().version;
    run.cell_cas_expiring("c", held, 2, Deadline::None).unwrap();
    let left = |name| run.cell_ttl(name).unwrap().map(|ttl| ttl.value);
    assert_eq!(
        [left("a"), left("b"), left("c")],
        [Some(None), Some(Some(Duration::from_secs(3))), Some(None)]
    );
    assert_eq!(left("missing"), None);

    assert!(run.cell_delete("b").unwrap().is_some());
    assert!(run.cell_delete("b").unwrap().is_none());
    let page = run.cell_list(&KvScan::default()).unwrap();
    let cells: Vec<_> = page.items.into_iter().map(|(name, read)| (name, read.value)).collect();
    assert_eq!(cells, [("a".to_owned(), 6.into()), ("c".to_owned(), 2.into())]);
}
