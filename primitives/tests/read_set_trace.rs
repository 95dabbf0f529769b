//! Which commits change what a transaction has read of traces.
mod support;

use strata_primitives::*;
use support::transaction::*;
use support::{put, trace_id};

#[test]
fn a_trace_that_was_read_may_not_end_or_appear() {
    for read in [|number| get_trace(number), |number| stat(trace(number))] {
        changed(read(1), end(1), trace(1), 2, 3);
        unchanged(read(1), end(2));
        unchanged(read(1), begin("s", 9, Some(1)));
        changed(read(9), begin("s", 9, None), trace(9), 0, 3);
        unchanged(read(9), begin("s", 8, None));
    }
}

#[test]
fn a_query_of_traces_is_changed_by_those_it_wants() {
    let open = |is_open| TraceFilter { is_open: Some(is_open), ..any() };
    let below = |number| TraceFilter { parent: Some(trace_id(number)), ..any() };
    let tagged = |number: u64| TraceFilter { tag: Some(format!("tag{number}")), ..any() };
    let until = |micros| TraceFilter { to: Some(Timestamp(micros)), ..any() };
    let since = |micros| TraceFilter { from: Some(Timestamp(micros)), ..any() };
    let fresh = || begin("s", 9, Some(1));
    for filter in [any(), of_kind("s"), below(1), tagged(9), open(true), since(BEGAN), until(COMMITTED + 1)] {
        changed(traces_where(filter), fresh(), trace(9), 0, 3);
    }
    for filter in [of_kind("t"), below(2), tagged(1), open(false), until(COMMITTED), since(COMMITTED + 1)] {
        unchanged(traces_where(filter), fresh());
    }
    for filter in [any(), of_kind("s"), tagged(1), open(true), open(false), until(COMMITTED)] {
        changed(traces_where(filter), end(1), trace(1), 2, 3);
    }
    for filter in [of_kind("t"), below(1), tagged(2), since(COMMITTED)] {
        unchanged(traces_where(filter), end(1));
    }
    unchanged(traces_where(any()), put("a", 1, NONE));
}

#[test]
fn a_page_of_traces_depends_on_the_places_it_passed() {
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let fresh = || begin("s", 9, None);
    let first = || traces(any(), None, 1, forward);
    unchanged(first(), fresh());
    changed(first(), end(2), trace(2), 2, 3);
    unchanged(first(), end(3));
    changed(first(), end(1), trace(1), 2, 3);
    let all = || traces(any(), None, 3, forward);
    changed(all(), fresh(), trace(9), 0, 3);
    let last = || traces(any(), None, 1, reverse);
    changed(last(), fresh(), trace(9), 0, 3);
    changed(last(), end(3), trace(3), 2, 3);
    changed(last(), end(2), trace(2), 2, 3);
    unchanged(last(), end(1));
    let back = || traces(any(), Some(1), 100, reverse);
    unchanged(back(), fresh());
    unchanged(back(), end(3));
    changed(back(), end(2), trace(2), 2, 3);
    let behind = || traces(any(), Some(1), 100, forward);
    unchanged(behind(), end(1));
    changed(behind(), end(3), trace(3), 2, 3);
    let second_child = || traces(TraceFilter { parent: Some(trace_id(1)), ..any() }, Some(2), 9, forward);
    unchanged(second_child(), end(2));
    changed(second_child(), begin("s", 9, Some(1)), trace(9), 0, 3);
}

#[test]
fn a_tree_may_not_grow_and_nothing_in_it_may_end() {
    changed(tree(1, 100), begin("s", 9, Some(1)), trace(9), 0, 3);
    changed(tree(1, 100), begin("s", 9, Some(2)), trace(9), 0, 3);
    changed(tree(1, 2), begin("s", 9, Some(2)), trace(9), 0, 3);
    unchanged(tree(1, 100), begin("s", 9, Some(3)));
    unchanged(tree(1, 100), begin("s", 9, None));
    changed(tree(1, 100), end(2), trace(2), 2, 3);
    unchanged(tree(1, 100), end(3));
    unchanged(tree(2, 100), end(1));
    changed(tree(1, 1), end(1), trace(1), 2, 3);
    unchanged(tree(1, 1), end(2));
    unchanged(tree(1, 1), begin("s", 9, Some(1)));
    changed(tree(9, 100), begin("s", 9, None), trace(9), 0, 3);
    unchanged(tree(9, 100), begin("s", 8, None));
    let lineage = vec![begin("s", 8, Some(3)), begin("s", 9, Some(2)), begin("s", 10, Some(9))];
    let error = verdict(vec![tree(2, 100)], lineage).unwrap_err();
    assert_eq!(error.entity(), Some(&trace(9)));
}

#[test]
fn a_count_of_traces_is_changed_by_new_ones_only() {
    let count = |kind: Option<&str>| Operation::TraceCount { kind: kind.map(Into::into) };
    changed(count(None), begin("s", 9, None), trace(9), 0, 3);
    changed(count(Some("s")), begin("s", 9, None), trace(9), 0, 3);
    unchanged(count(Some("t")), begin("s", 9, None));
    unchanged(count(None), end(1));
}

#[test]
fn a_list_that_came_to_own_traces_depends_on_those_of_others() {
    let own = |read| vec![begin("s", 9, Some(1)), begin("s", 10, Some(1)), read];
    let theirs = || vec![begin("s", 20, Some(1))];
    for read in [
        traces(any(), None, 3, Direction::Forward),
        traces(any(), None, 4, Direction::Forward),
        traces(any(), Some(4), 1, Direction::Reverse),
        traces(any(), Some(4), 1, Direction::Forward),
        traces(any(), None, 3, Direction::Reverse),
        traces(TraceFilter { parent: Some(trace_id(1)), ..any() }, None, 2, Direction::Forward),
        tree(1, 3),
    ] {
        let error = verdict(own(read.clone()), theirs()).expect_err(&format!("{read:?}"));
        assert_eq!(error.entity(), Some(&trace(20)));
    }
    assert!(verdict(own(traces(any(), None, 2, Direction::Forward)), theirs()).is_ok());
    assert!(verdict(own(traces(any(), None, 1, Direction::Reverse)), theirs()).is_ok());
    assert!(verdict(own(tree(1, 2)), theirs()).is_ok());
}

fn keep_traces(retention: Retention) -> Operation {
    Operation::RunSetTraceRetention { retention: Some(retention) }
}

fn keep_last(count: u64) -> Vec<Operation> {
    vec![keep_traces(Retention::KeepLast(count))]
}

fn verdict_of(read: &Operation, between: Vec<Operation>) -> Result<(), (ErrorKind, Option<EntityRef>)> {
    verdict(vec![read.clone()], between).map_err(|error| (error.kind(), error.entity().cloned()))
}

/// There are traces 1, 2 and 3 at the places 0, 1 and 2; the second is below the first.
#[test]
fn a_trace_that_was_seen_may_not_be_removed() {
    let (forward, reverse) = (Direction::Forward, Direction::Reverse);
    let conflict = |number| Err((ErrorKind::Conflict, Some(trace(number))));
    for read in [
        get_trace(1),
        stat(trace(1)),
        tree(1, 9),
        tree(1, 1),
        traces(any(), None, 1, forward),
        traces(any(), None, 9, reverse),
        traces(any(), None, 2, reverse),
        Operation::TraceFirst,
    ] {
        assert_eq!(verdict_of(&read, keep_last(2)), conflict(1), "{read:?}");
    }
    let third = || TraceFilter { tag: Some("tag3".into()), ..any() };
    for read in [get_trace(2), tree(2, 9), traces(any(), None, 1, reverse), traces(third(), None, 9, forward)]
    {
        assert_eq!(verdict_of(&read, keep_last(2)), Ok(()), "{read:?}");
    }
    // What says where it begins, and what comes next.
    assert_eq!(verdict_of(&traces(third(), Some(1), 9, forward), keep_last(1)), conflict(2));
    assert_eq!(verdict_of(&traces(third(), Some(2), 9, forward), keep_last(1)), Ok(()));
    assert_eq!(verdict_of(&traces(any(), None, 1, reverse), keep_last(1)), conflict(2), "the next one");
}

/// Which ids were removed is not remembered: that one was never there is not known any more.
#[test]
fn that_a_trace_never_was_is_not_known_once_some_were_removed() {
    for read in [get_trace(9), stat(trace(9)), tree(9, 9), end(9)] {
        let error = verdict(vec![read.clone()], keep_last(2));
        let is_about = error.as_ref().err().and_then(Error::entity);
        assert_eq!(is_about, Some(&trace(9)), "{read:?}: {error:?}");
    }
    verdict(vec![begin("s", 8, Some(9))], keep_last(2)).unwrap_err();
    let trimmed = || {
        let mut driver = driver();
        driver.write(keep_traces(Retention::KeepLast(2)));
        driver
    };
    for read in [get_trace(9), tree(9, 9)] {
        verdict_in(trimmed(), vec![read.clone()], keep_last(1)).unwrap();
        verdict_in(trimmed(), vec![read], vec![begin("s", 9, None)]).unwrap_err();
    }
}

#[test]
fn traces_that_came_and_went_are_a_change_of_what_was_counted_and_of_nothing_else() {
    let last = || {
        let mut driver = driver();
        driver.write(keep_traces(Retention::KeepLast(1)));
        driver
    };
    let come_and_go = || vec![begin("s", 8, None), begin("t", 9, None)];
    let count = |kind: Option<&str>| Operation::TraceCount { kind: kind.map(Into::into) };
    for read in [count(None), count(Some("s")), count(Some("t"))] {
        verdict_in(last(), vec![read.clone()], come_and_go()).unwrap_err();
        verdict_in(last(), vec![read], vec![put("a", 1, NONE)]).unwrap();
    }
    verdict_in(last(), vec![count(Some("none"))], come_and_go()).unwrap();
    let none = TraceFilter { kind: Some("s".into()), tag: Some("none".into()), ..any() };
    verdict_in(last(), vec![traces_where(none)], come_and_go()).unwrap();
}

#[test]
fn that_no_trace_is_left_stays_true_until_one_comes() {
    let none = || {
        let mut driver = driver();
        driver.now += 1;
        driver.write(keep_traces(Retention::KeepFor(std::time::Duration::ZERO)));
        driver
    };
    for read in [Operation::TraceFirst, traces_where(any()), traces(any(), None, 9, Direction::Reverse)] {
        verdict_in(none(), vec![read.clone()], vec![put("a", 1, NONE)]).unwrap();
        verdict_in(none(), vec![read], vec![begin("s", 9, None)]).unwrap_err();
    }
}

/// A list looks at so many traces: without the first of them it comes further.
#[test]
fn a_list_that_stopped_before_its_end_rests_on_all_that_it_passed() {
    let many = || {
        let mut driver = driver();
        driver.batch((10..5_000).map(|number| begin("s", number, None)).collect()).unwrap();
        driver
    };
    for (direction, kept) in [(Direction::Forward, 4_992), (Direction::Reverse, 4_096)] {
        let read = || vec![traces(of_kind("none"), None, 9, direction)];
        verdict_in(many(), read(), keep_last(kept)).unwrap_err();
        verdict_in(many(), read(), keep_last(kept + 1)).unwrap();
        verdict_in(many(), read(), vec![put("a", 1, NONE)]).unwrap();
    }
}

/// The first of those that came was looked for to name it, also where it was gone again.
#[test]
fn a_list_that_does_not_come_to_its_end_any_more_has_changed_also_where_the_first_new_ones_are_gone() {
    let read = || vec![traces_where(of_kind("none"))];
    let come = |kept| {
        let come = (10..5_010).map(|number| begin("s", number, None));
        come.chain(keep_last(kept)).collect::<Vec<_>>()
    };
    for kept in [5_000, 4_097] {
        let mut driver = driver();
        let transaction = Transaction::begin(&mut driver, read());
        driver.batch(come(kept)).unwrap();
        assert_eq!(transaction.validate(&driver).unwrap_err().kind(), ErrorKind::Conflict, "{kept} are kept");
    }
    let mut driver = driver();
    let transaction = Transaction::begin(&mut driver, read());
    driver.batch(come(4_000)).unwrap();
    transaction.validate(&driver).unwrap();
}

#[test]
fn very_many_lists_count_as_one_look_at_all_traces_also_at_the_first() {
    let reads = || {
        Vec::from_iter((0..70).map(|number| traces(of_kind("none"), Some(number % 2), 1, Direction::Forward)))
    };
    verdict(reads(), keep_last(2)).unwrap_err();
    verdict(reads(), vec![put("a", 1, NONE)]).unwrap();
}
