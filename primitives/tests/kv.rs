//! Keys, through the public face of the crate.
mod support;

use std::time::Duration;
use strata_primitives::*;
use support::{Driver, append, encoded, list, put, run_id};

fn page(driver: &mut Driver, operation: Operation) -> (Vec<String>, Option<String>) {
    match driver.read(operation) {
        Outcome::Page(page) => {
            let keys = page.items.iter().map(|item| item.key.to_string()).collect();
            (keys, page.next.map(|next| next.to_string()))
        }
        other => panic!("{other:?} is not a page"),
    }
}

#[test]
fn a_value_is_read_with_the_version_that_wrote_it() {
    let mut driver = Driver::created();
    driver.put("a", 1);
    driver.put("b", 2);
    let read = driver.read(Operation::KvGet { key: "a".into() });
    let expected = Versioned { value: encoded(1i64), version: Version(2), timestamp: Timestamp(1_000) };
    assert_eq!(read, Outcome::Value(Some(expected.clone())));
    assert_eq!(driver.read(Operation::KvGet { key: "c".into() }), Outcome::Value(None));
    let many = driver.read(Operation::KvGetMany { keys: vec!["c".into(), "a".into()] });
    let (version, timestamp) = (Version(3), Timestamp(1_000));
    assert_eq!(many, Outcome::Values { items: vec![None, Some(expected)], version, timestamp });
    let flag = |value, version| Outcome::Flag(Versioned { value, version: Version(version), timestamp });
    assert_eq!(driver.read(Operation::KvExists { key: "a".into() }), flag(true, 2));
    assert_eq!(driver.read(Operation::KvExists { key: "c".into() }), flag(false, 3));
}

#[test]
fn a_put_of_an_equal_value_makes_a_version_and_a_delete_of_nothing_does_not() {
    let mut driver = Driver::created();
    driver.put("a", 1);
    driver.put("a", 1);
    assert_eq!(driver.state.version(), Version(3));
    let delete = |key: &str| Operation::KvDelete { key: key.into() };
    assert_eq!(driver.write(delete("b")), (false, Effect::Existed(false)));
    assert_eq!(driver.write(delete("a")), (true, Effect::Existed(true)));
    assert_eq!(driver.write(Operation::KvDeletePrefix { prefix: "".into() }), (false, Effect::Count(0)));
    assert_eq!(driver.write(Operation::KvPutMany { entries: vec![] }), (false, Effect::None));
    assert_eq!(driver.state.version(), Version(4));
}

#[test]
fn a_mutation_names_the_version_it_replaces() {
    let mut driver = Driver::created();
    driver.put("a", 1);
    let mut draft = Draft::new(driver.state.view());
    for operation in [put("a", 2, Deadline::None), put("b", 2, Deadline::None), put("a", 3, Deadline::None)] {
        validate(operation, &mut draft, &driver.context(), &driver.limits).unwrap();
    }
    let previous = draft.mutations().iter().map(|mutation| match mutation {
        Mutation::KvPut { previous, .. } => previous.0,
        other => panic!("{other:?} is not a put"),
    });
    assert_eq!(previous.collect::<Vec<_>>(), [2, 0, 2], "links lead to earlier commits");
}

#[test]
fn a_conditional_put_succeeds_only_on_what_it_expects() {
    let mut driver = Driver::created();
    let put_if = |condition: Condition| Operation::KvPutIf {
        key: "a".into(),
        value: Encoded::from_int(1),
        deadline: Deadline::None,
        expected: condition.expected(),
    };
    let error = driver.refusal(put_if(Condition::Version(Version(7))));
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "expected version 7, found no value"));
    assert_eq!(error.entity(), Some(&EntityRef::kv(run_id(), "a")));
    assert_eq!(driver.write(put_if(Condition::Absent)), (true, Effect::None));
    let error = driver.refusal(put_if(Condition::Absent));
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "expected no value, found version 2"));
    assert_eq!(driver.write(put_if(Condition::Version(Version(2)))), (true, Effect::None));
    assert_eq!(driver.state.version(), Version(3), "refused puts make no version");
}

#[test]
fn an_increment_counts_from_nothing_and_refuses_what_it_cannot_count() {
    let mut driver = Driver::created();
    let increment = |by| Operation::KvIncrement { key: "n".into(), by };
    assert_eq!(driver.write(increment(5)), (true, Effect::Integer(5)));
    assert_eq!(driver.write(increment(-7)), (true, Effect::Integer(-2)));
    let error = driver.refusal(increment(i64::MIN));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "-2 + -9223372036854775808 does not fit a 64-bit int");
    driver.write(Operation::KvPut { key: "n".into(), value: encoded("text"), deadline: Deadline::None });
    let error = driver.refusal(increment(1));
    assert_eq!(error.kind(), ErrorKind::WrongType);
    assert_eq!(error.entity(), Some(&EntityRef::kv(run_id(), "n")));
}

#[test]
fn pages_walk_all_keys_once_in_both_directions() {
    let mut driver = Driver::created();
    for key in ["b/3", "a", "b/1", "c", "b/2"] {
        driver.put(key, 1);
    }
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let some = |key: &str| Some(key.to_owned());
    assert_eq!(
        page(&mut driver, list("b/", None, 2, forward)),
        (vec!["b/1".into(), "b/2".into()], some("b/2"))
    );
    assert_eq!(page(&mut driver, list("b/", Some("b/2"), 2, forward)), (vec!["b/3".into()], None));
    assert_eq!(
        page(&mut driver, list("b/", None, 2, reverse)),
        (vec!["b/3".into(), "b/2".into()], some("b/2"))
    );
    assert_eq!(page(&mut driver, list("b/", Some("b/2"), 2, reverse)), (vec!["b/1".into()], None));
    assert_eq!(page(&mut driver, list("x", None, 2, forward)), (vec![], None));
    assert_eq!((driver.count("b/"), driver.count("")), (3, 5));
    driver.limits.items_max = 1;
    assert_eq!(
        page(&mut driver, list("", None, 9, forward)),
        (vec!["a".into()], some("a")),
        "pages are bounded"
    );
    driver.limits.items_max = 10;
    assert_eq!(driver.write(Operation::KvDeletePrefix { prefix: "b/".into() }), (true, Effect::Count(3)));
    assert_eq!(page(&mut driver, list("", None, 9, forward)).0, ["a", "c"]);
}

#[test]
fn a_list_without_values_names_keys_only() {
    let mut driver = Driver::created();
    driver.put("a", 1);
    let operation = Operation::KvList {
        prefix: "".into(),
        start_after: None,
        limit: 5,
        direction: Direction::Forward,
        values: false,
    };
    let Outcome::Page(page) = driver.read(operation) else { panic!("a list answers with a page") };
    let (version, timestamp) = (Version::NEVER, Timestamp(0));
    assert_eq!(page.items, [KvItem { key: "a".into(), value: None, version, timestamp }]);
    assert_eq!(page.version, Version(2));
}

#[test]
fn an_expired_key_is_gone_for_every_read_before_it_is_cleaned() {
    let mut driver = Driver::created();
    driver.write(put("a", 1, Deadline::In(Duration::from_micros(50))));
    driver.write(put("b", 2, Deadline::At(Timestamp(1_080))));
    let ttl = |key: &str| Operation::KvTtl { key: key.into() };
    let (deadline, remaining) = (Timestamp(1_050), Duration::from_micros(50));
    let expected = Versioned {
        value: Some(Ttl { deadline, remaining }),
        version: Version(2),
        timestamp: Timestamp(1_000),
    };
    assert_eq!(driver.read(ttl("a")), Outcome::Ttl(Some(expected)));
    assert_eq!(driver.state.next_deadline(), Some(Timestamp(1_050)));
    driver.now = 1_049;
    assert_eq!((driver.get("a"), driver.count("")), (Some(1), 2));
    driver.now = 1_050;
    assert_eq!((driver.get("a"), driver.count(""), driver.count("a")), (None, 1, 0));
    assert_eq!(driver.read(ttl("a")), Outcome::Ttl(None));
    assert_eq!(page(&mut driver, list("", None, 9, Direction::Forward)).0, ["b"]);
    assert_eq!(driver.write(Operation::KvDelete { key: "a".into() }), (false, Effect::Existed(false)));
    assert_eq!(driver.info().unwrap().kv_count, 2, "until it is cleaned it takes space");
    assert_eq!(driver.write(Operation::Expire { limit: 10 }), (true, Effect::Count(1)));
    assert_eq!(driver.write(Operation::Expire { limit: 10 }), (false, Effect::Count(0)));
    assert_eq!((driver.info().unwrap().kv_count, driver.state.next_deadline()), (1, Some(Timestamp(1_080))));
}

#[test]
fn an_expired_key_counts_as_absent_for_conditions_and_increments() {
    let mut driver = Driver::created();
    for key in ["a", "b", "c"] {
        driver.write(put(key, 9, Deadline::In(Duration::from_micros(1))));
    }
    driver.now = 2_000;
    assert_eq!(driver.write(Operation::KvIncrement { key: "a".into(), by: 1 }), (true, Effect::Integer(1)));
    let (value, deadline) = (Encoded::from_int(4), Deadline::None);
    let expected = Condition::Absent.expected();
    driver.write(Operation::KvPutIf { key: "b".into(), value, deadline, expected });
    driver.put("c", 5);
    driver.now = 9_000;
    assert_eq!((driver.get("a"), driver.get("b"), driver.get("c")), (Some(1), Some(4), Some(5)));
    assert_eq!(driver.state.next_deadline(), None);
}

#[test]
fn time_that_runs_backwards_does_not_bring_an_expired_key_back() {
    let mut driver = Driver::created();
    driver.write(put("a", 1, Deadline::At(Timestamp(2_000))));
    driver.now = 3_000;
    driver.put("b", 1);
    driver.now = 1_500;
    assert_eq!(driver.get("a"), None, "reads judge at the run's own time at least");
    driver.put("c", 1);
    assert_eq!(driver.state.timestamp(), Timestamp(3_000));
}

#[test]
fn deadlines_are_set_kept_and_cleared() {
    let mut driver = Driver::created();
    let set = |deadline| Operation::KvSetDeadline { key: "n".into(), deadline };
    let clear = || Operation::KvClearDeadline { key: "n".into() };
    assert_eq!(driver.write(set(Deadline::At(Timestamp(9_000)))), (false, Effect::Existed(false)));
    assert_eq!(driver.write(clear()), (false, Effect::Existed(false)));
    driver.put("n", 1);
    assert_eq!(driver.write(clear()), (false, Effect::Existed(true)), "there is nothing to clear");
    assert_eq!(driver.write(set(Deadline::At(Timestamp(9_000)))), (true, Effect::Existed(true)));
    driver.write(Operation::KvIncrement { key: "n".into(), by: 1 });
    assert_eq!(driver.state.next_deadline(), Some(Timestamp(9_000)), "an increment keeps the deadline");
    assert_eq!(driver.write(set(Deadline::None)), (true, Effect::Existed(true)));
    assert_eq!((driver.state.next_deadline(), driver.get("n")), (None, Some(2)));
    let without = Versioned { value: None, version: Version(5), timestamp: Timestamp(1_000) };
    assert_eq!(driver.read(Operation::KvTtl { key: "n".into() }), Outcome::Ttl(Some(without)));
    driver.write(put("n", 3, Deadline::At(Timestamp(9_000))));
    driver.put("n", 4);
    assert_eq!(driver.state.next_deadline(), None, "a put without deadline clears it");
    let error = driver.refusal(set(Deadline::At(Timestamp(1_000))));
    assert_eq!(
        (error.kind(), error.entity()),
        (ErrorKind::InvalidArgument, Some(&EntityRef::kv(run_id(), "n")))
    );
}

#[test]
fn a_commit_beyond_its_limits_is_refused_and_stages_nothing() {
    let mut driver = Driver::created();
    driver.limits.transaction_mutations_max = 2;
    let entry =
        |key: &str| PutEntry { key: key.into(), value: Encoded::from_int(1), deadline: Deadline::None };
    let three = || Operation::KvPutMany { entries: vec![entry("a"), entry("b"), entry("c")] };
    let error = driver.refusal(three());
    assert_eq!(error.message(), "transaction_mutations_max is 2, the commit has at least 3");
    driver.put("a", 1);
    driver.put("b", 1);
    driver.put("c", 1);
    let error = driver.refusal(Operation::KvDeletePrefix { prefix: "".into() });
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    driver.limits.transaction_mutations_max = 10;
    driver.limits.transaction_size_max = 80;
    let error = driver.refusal(three());
    assert_eq!(error.message(), "transaction_size_max is 80 bytes, the commit has at least 105");

    let mut draft = Draft::new(driver.state.view());
    let context = driver.context();
    driver.limits.transaction_mutations_max = 3;
    driver.limits.transaction_size_max = 74;
    validate(append("k", 1), &mut draft, &context, &driver.limits).unwrap_err();
    driver.limits.transaction_size_max = 1000;
    validate(append("k", 1), &mut draft, &context, &driver.limits).unwrap();
    validate(three(), &mut draft, &context, &driver.limits).unwrap_err();
    assert_eq!(draft.mutations().len(), 1, "the draft is as it was before the refused operation");
    let again = validate(append("k", 2), &mut draft, &context, &driver.limits).unwrap();
    assert_eq!(again, Answer::Write(Effect::Sequence { first: 1, count: 1 }));
}
