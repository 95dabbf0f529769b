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
