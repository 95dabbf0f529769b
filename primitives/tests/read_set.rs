//! What a transaction has read, and which commits change it: a matrix of reads and commits.
mod support;

use strata_primitives::*;
use support::transaction::*;
use support::{append, list, put, run_id};

#[test]
fn a_key_that_was_read_may_not_change() {
    let ttl = |key: &str| Operation::KvTtl { key: key.into() };
    let exists = |key: &str| Operation::KvExists { key: key.into() };
    let set_deadline =
        |key: &str| Operation::KvSetDeadline { key: key.into(), deadline: Deadline::At(Timestamp(9_000)) };
    for read in [get("a"), ttl("a"), exists("a"), stat(kv("a"))] {
        changed(read.clone(), put("a", 1, NONE), kv("a"), 2, 3);
        changed(read.clone(), delete("a"), kv("a"), 2, 0);
        changed(read.clone(), set_deadline("a"), kv("a"), 2, 3);
        unchanged(read.clone(), put("z", 1, NONE));
        unchanged(read.clone(), set_cell("a", 1));
        unchanged(read, append("k", 1));
    }
    for read in [get("z"), ttl("z"), exists("z"), stat(kv("z"))] {
        changed(read.clone(), put("z", 1, NONE), kv("z"), 0, 3);
        unchanged(read, put("a", 1, NONE));
    }
    let both = Operation::KvGetMany { keys: vec!["a".into(), "z".into()] };
    changed(both.clone(), put("z", 1, NONE), kv("z"), 0, 3);
    changed(both.clone(), delete("a"), kv("a"), 2, 0);
    unchanged(both, put("brief", 1, NONE));
}

#[test]
fn a_cell_that_was_read_may_not_change() {
    let list = |limit| Operation::CellList {
        prefix: "".into(),
        start_after: None,
        limit,
        direction: Direction::Forward,
    };
    for read in [read_cell("x"), Operation::CellTtl { name: "x".into() }, stat(cell("x")), list(9)] {
        changed(read.clone(), set_cell("x", 1), cell("x"), 2, 3);
        changed(read.clone(), Operation::CellDelete { name: "x".into() }, cell("x"), 2, 0);
        unchanged(read, put("x", 1, NONE));
    }
    changed(read_cell("z"), set_cell("z", 1), cell("z"), 0, 3);
    changed(list(9), set_cell("z", 1), cell("z"), 0, 3);
    unchanged(read_cell("x"), set_cell("z", 1));
}

#[test]
fn a_range_that_was_read_may_not_change() {
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let whole = || list("p/", None, 100, forward);
    changed(whole(), put("p/2", 1, NONE), kv("p/2"), 2, 3);
    changed(whole(), put("p/9", 1, NONE), kv("p/9"), 0, 3);
    changed(whole(), delete("p/1"), kv("p/1"), 2, 0);
    unchanged(whole(), put("p", 1, NONE));
    unchanged(whole(), put("q", 1, NONE));
    changed(list("", None, 100, reverse), put("zz", 1, NONE), kv("zz"), 0, 3);
    changed(list("none/", None, 1, forward), put("none/1", 1, NONE), kv("none/1"), 0, 3);
}

#[test]
fn a_page_depends_on_nothing_behind_it() {
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let first_two = || list("p/", None, 2, forward);
    changed(first_two(), put("p/15", 1, NONE), kv("p/15"), 0, 3);
    unchanged(first_two(), put("p/4", 1, NONE));
    let last = || list("p/", None, 1, reverse);
    changed(last(), put("p/9", 1, NONE), kv("p/9"), 0, 3);
    unchanged(last(), put("p/1", 1, NONE));
    let behind = || list("p/", Some("p/2"), 100, forward);
    changed(behind(), put("p/25", 1, NONE), kv("p/25"), 0, 3);
    unchanged(behind(), put("p/2", 1, NONE));
}

#[test]
fn of_keys_without_values_only_the_presence_was_read() {
    for (prefix, key, fresh) in [("p/", "p/2", "p/9"), ("", "a", "z")] {
        for read in [keys_only(prefix), count(prefix)] {
            unchanged(read.clone(), put(key, 2, NONE));
            changed(read.clone(), put(fresh, 1, NONE), kv(fresh), 0, 3);
            changed(read, delete(key), kv(key), 2, 0);
        }
    }
    unchanged(count("p/"), put("q", 1, NONE));
}

#[test]
fn a_tail_of_events_that_was_seen_may_not_grow() {
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    for read in [
        len(None),
        Operation::EventHead { kind: None },
        Operation::EventVerifyChain,
        Operation::EventRead { sequence: 2 },
        range(None, 100, forward),
        range(None, 2, forward),
        range(Some(2), 1, forward),
        range(None, 1, reverse),
        stat(event(7)),
    ] {
        changed(read.clone(), append("k", 1), event(2), 0, 3);
        unchanged(read, put("a", 1, NONE));
    }
    for read in [
        Operation::EventRead { sequence: 1 },
        range(None, 1, forward),
        range(Some(1), 100, reverse),
        stat(event(0)),
    ] {
        unchanged(read, append("k", 1));
    }
}

#[test]
fn a_tail_of_one_type_may_grow_by_others() {
    for read in [
        len(Some("k")),
        Operation::EventHead { kind: Some("k".into()) },
        by_type("k", 100, Direction::Forward),
        by_type("k", 1, Direction::Reverse),
    ] {
        changed(read.clone(), append("k", 1), event(2), 0, 3);
        unchanged(read, append("l", 1));
    }
    changed(len(Some("none")), append("none", 1), event(2), 0, 3);
}

fn keep_events(retention: Retention) -> Operation {
    Operation::RunSetEventRetention { retention: Some(retention) }
}

/// A read that was looked at by its length alone, as if events began with 0, missed what came behind a tail that is near.
#[test]
fn a_tail_that_was_seen_may_not_grow_where_events_in_front_of_it_were_removed() {
    let forward = Direction::Forward;
    let trimmed = || {
        let mut driver = driver();
        driver.batch((0..8).map(|number| append("k", number)).collect()).unwrap();
        driver.write(keep_events(Retention::KeepLast(3)));
        driver.write(keep_events(Retention::KeepAll));
        driver
    };
    for start in [None, Some(0), Some(7)] {
        let read = |limit| vec![range(start, limit, forward)];
        let error = verdict_in(trimmed(), read(4), vec![append("k", 1)]).unwrap_err();
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&event(10))), "{start:?}");
        verdict_in(trimmed(), read(2), vec![append("k", 1)]).unwrap();
    }
}

/// An event that came and went was not among those that are there, so that a count of its type was thought to be what it had been.
#[test]
fn events_of_a_type_that_came_and_went_are_a_change() {
    let last = || {
        let mut driver = driver();
        driver.write(keep_events(Retention::KeepLast(1)));
        driver
    };
    for read in
        [len(Some("k")), Operation::EventHead { kind: Some("k".into()) }, by_type("k", 9, Direction::Reverse)]
    {
        let error = verdict_in(last(), vec![read.clone()], vec![append("k", 1), append("l", 1)]).unwrap_err();
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&event(2))), "{read:?}");
        assert_eq!(error.message(), "expected no value, found version 4", "{read:?}");
        verdict_in(last(), vec![read], vec![append("l", 1), append("l", 1)]).unwrap();
    }
}

/// Only what a page showed was remembered, so that it was told what comes next after that had been removed.
#[test]
fn what_a_page_of_events_says_comes_next_stays_there() {
    let reverse = Direction::Reverse;
    for read in [range(None, 1, reverse), by_type("l", 1, reverse)] {
        let more = || {
            let mut driver = driver();
            driver.write(append("l", 3));
            driver
        };
        let keep = |count| vec![keep_events(Retention::KeepLast(count))];
        let error = verdict_in(more(), vec![read.clone()], keep(1)).unwrap_err();
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&event(1))), "{read:?}");
        verdict_in(more(), vec![read], keep(2)).unwrap();
    }
}

/// Where a page was asked to begin was not remembered, so that one was accepted that would have been refused at the commit.
#[test]
fn where_a_page_of_events_begins_stays_there() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let more = || {
            let mut driver = driver();
            driver.batch(vec![append("l", 3), append("k", 4)]).unwrap();
            driver
        };
        let (kind, start) = ("l".into(), Some(1));
        let read = vec![Operation::EventByType { kind, start, limit: 9, direction }];
        let keep = |count| vec![keep_events(Retention::KeepLast(count))];
        let error = verdict_in(more(), read.clone(), keep(2)).unwrap_err();
        assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&event(1))), "{direction:?}");
        verdict_in(more(), read, keep(3)).unwrap();
    }
}

/// The place of the newest event was remembered though that had been removed before: such a transaction could never commit.
#[test]
fn that_there_is_no_event_left_stays_true_until_one_comes() {
    let none = || {
        let mut driver = driver();
        driver.now += 1;
        driver.write(keep_events(Retention::KeepFor(std::time::Duration::ZERO)));
        driver
    };
    for read in
        [Operation::EventHead { kind: None }, Operation::EventFirst, range(None, 9, Direction::Reverse)]
    {
        verdict_in(none(), vec![read.clone()], vec![put("a", 1, NONE)]).unwrap();
        verdict_in(none(), vec![read], vec![append("k", 1)]).unwrap_err();
    }
}

#[test]
fn what_is_known_of_the_run_is_changed_by_what_it_tells() {
    let run = || EntityRef::run(run_id());
    let tags = |tag: &str| Operation::RunSetTags { tags: vec![tag.into()] };
    for read in [Operation::RunGet, stat(run())] {
        for between in [put("z", 1, NONE), append("k", 1), begin("s", 9, None), tags("t")] {
            changed(read.clone(), between, run(), 2, 3);
        }
        unchanged(read.clone(), put("a", 2, NONE));
    }
    let paused = Operation::RunUpdateStatus { status: RunStatus::Paused };
    changed(Operation::RunGet, paused, run(), 2, 3);
}

#[test]
fn what_own_writes_add_to_a_run_depends_on_what_others_put_under_the_same_keys() {
    // One key goes and another comes, so the run holds as much as before, and the own put adds nothing any more.
    let between = || vec![delete("a"), put("b", 1, NONE)];
    verdict(vec![put("b", 1, NONE), Operation::RunGet], between()).unwrap_err();
    verdict(vec![Operation::RunGet, put("b", 1, NONE)], between()).unwrap();
}

#[test]
fn a_receipt_that_was_missing_may_not_appear() {
    let (id, other) = (OperationId([5; 16]), OperationId([6; 16]));
    let mut driver = driver();
    let transaction = Transaction::begin(&mut driver, vec![Operation::RunReceipt { id }]);
    driver.put("z", 1);
    let commit =
        Commit { version: Version(3), timestamp: Timestamp(BEGAN), durability: Durability::Buffered };
    let receipt = || Receipt { commit, effects: vec![Effect::None], fingerprint: Fingerprint([1; 8]) };
    driver.state.remember(other, receipt());
    assert!(transaction.validate(&driver).is_ok());
    driver.state.remember(id, receipt());
    let error = transaction.validate(&driver).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "expected no value, found version 3"));
}

#[test]
fn a_run_begun_anew_changes_everything_that_was_read() {
    let anew = || vec![Operation::RunDelete, Operation::RunCreate { spec: Box::default() }];
    let first_event = || Operation::EventRead { sequence: 0 };
    for read in [get("a"), get("z"), read_cell("x"), len(None), first_event(), tree(1, 9), count("")] {
        for between in [anew(), vec![Operation::RunDelete]] {
            let error = verdict(vec![read.clone()], between).unwrap_err();
            assert_eq!(error.entity(), Some(&EntityRef::run(run_id())), "{read:?}");
            assert_eq!(error.message(), "expected version 1, found version 3");
        }
    }
    assert!(verdict(vec![put("a", 1, NONE)], anew()).is_ok(), "nothing was read");
}

#[test]
fn an_expiry_since_the_read_is_a_change() {
    let at = |now: u64, read: &Operation| {
        let mut driver = driver();
        let transaction = Transaction::begin(&mut driver, vec![read.clone()]);
        driver.now = now;
        transaction.validate(&driver).map_err(|error| (error.entity().cloned(), error.message().to_owned()))
    };
    let expired = (Some(kv("brief")), "expected version 2, found no value".to_owned());
    for read in [get("brief"), count(""), count("b"), keys_only("b"), list("", None, 9, Direction::Forward)] {
        assert_eq!(at(1_999, &read), Ok(()), "{read:?}");
        assert_eq!(at(2_000, &read), Err(expired.clone()), "{read:?}");
    }
    for read in [get("a"), count("p/"), list("p/", None, 9, Direction::Forward)] {
        assert_eq!(at(9_000, &read), Ok(()), "{read:?}");
    }
}

#[test]
fn an_expired_key_that_is_cleaned_away_stays_a_change() {
    let mut driver = driver();
    let of_brief = Transaction::begin(&mut driver, vec![get("brief")]);
    driver.now = 3_000;
    driver.write(Operation::Expire { limit: 9 });
    assert_eq!(of_brief.validate(&driver).unwrap_err().entity(), Some(&kv("brief")));
    let later = Transaction { snapshot: driver.state.open_snapshot(), staged: of_brief.staged };
    assert!(later.validate(&driver).is_ok(), "the same place, seen behind the expiry");
}

#[test]
fn a_snapshot_that_was_given_up_refuses_every_read() {
    let mut driver = driver();
    let reader = Transaction::begin(&mut driver, vec![get("a")]);
    let writer = Transaction::begin(&mut driver, vec![put("a", 1, NONE)]);
    driver.put("z", 1);
    driver.state.bound_past(0);
    let error = reader.validate(&driver).unwrap_err();
    assert_eq!((error.kind(), error.entity()), (ErrorKind::Conflict, Some(&EntityRef::run(run_id()))));
    assert!(writer.validate(&driver).is_ok(), "it has read nothing");
}
