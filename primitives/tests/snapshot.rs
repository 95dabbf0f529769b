//! Snapshots: what an older version answers, and what is kept for it.
mod support;

use strata_primitives::*;
use support::{Driver, append};

/// Applies a commit the way the shard does when it may have to take it back.
fn apply(state: &mut RunState, mutations: Vec<Mutation>) -> Vec<Replaced> {
    let version = state.version().next();
    let stamp = Stamp { version, timestamp: Timestamp(1_000 + version.0) };
    let replaced = mutations.into_iter().map(|mutation| state.apply(mutation, stamp)).collect();
    state.commit(stamp);
    replaced
}

fn stamp_of(state: &RunState) -> Stamp {
    Stamp { version: state.version(), timestamp: state.timestamp() }
}

fn kv_put(key: &str, value: i64) -> Mutation {
    let value = Encoded::from_int(value);
    Mutation::KvPut { key: key.into(), value, deadline: None, previous: Version(1) }
}

/// What a view answers to one read.
fn answer(view: RunView<'_>, operation: Operation) -> Result<Outcome, ErrorKind> {
    let context = Context { now: view.stamp().timestamp, boot: 1 };
    match validate(operation, &mut Draft::new(view), &context, &Limits::default()) {
        Ok(Answer::Read(outcome)) => Ok(outcome),
        Ok(Answer::Write(effect)) => panic!("{effect:?} is not a read"),
        Err(error) => Err(error.kind()),
    }
}

fn int_at(state: &RunState, snapshot: &Snapshot, key: &str) -> Option<i64> {
    let view = state.view_at(snapshot).expect("the snapshot is open");
    match answer(view, Operation::KvGet { key: key.into() }) {
        Ok(Outcome::Value(value)) => value.and_then(|value| value.value.as_int()),
        other => panic!("{other:?} is not a value"),
    }
}

/// Two commits of one run wait for the log and are taken back together when it refuses them; the next one gets the
/// number of the first. What the first two had replaced stood in the past out of order since, so that a snapshot of
/// the next one was shown the value that the first of the two had written: one that nobody ever committed.
#[test]
fn a_snapshot_is_shown_nothing_of_commits_taken_back() {
    let mut state = Driver::created().state;
    let _ = apply(&mut state, vec![kv_put("a", 1)]);
    let early = state.open_snapshot();
    let before = stamp_of(&state);
    let mut replaced = apply(&mut state, vec![kv_put("a", 2), kv_put("a", 3), kv_put("b", 2)]);
    replaced.extend(apply(&mut state, vec![kv_put("a", 4)]));
    replaced.into_iter().rev().for_each(|replaced| state.revert(replaced));
    state.restore_stamp(before);
    assert_eq!(state.kept_size(), 0, "what was taken back replaced nothing");
    let _ = apply(&mut state, vec![kv_put("a", 9)]);
    let late = state.open_snapshot();
    let _ = apply(&mut state, vec![kv_put("b", 10)]);
    assert_eq!((int_at(&state, &early, "a"), int_at(&state, &late, "a")), (Some(1), Some(9)));
    state.close_snapshot(early);
    assert_eq!(int_at(&state, &late, "a"), Some(9));
    state.close_snapshot(late);
    assert_eq!(state.kept_size(), 0);
}

fn meta(state: &RunState) -> Mutation {
    Mutation::RunCreate { meta: Box::new(state.meta().unwrap().clone()), previous: Version(1) }
}

/// Deletes the run and creates it again with one key.
fn begin_anew(state: &mut RunState, value: i64) {
    let create = meta(state);
    let delete = Mutation::RunDelete { previous: Version(1) };
    let _ = apply(state, vec![delete, create, kv_put("a", value)]);
}

/// A snapshot of an early life kept every later life too, and none of them was counted.
#[test]
fn only_the_lives_that_somebody_looks_at_are_kept_and_counted() {
    let mut state = Driver::created().state;
    let _ = apply(&mut state, vec![kv_put("a", 1), kv_put("b", 1)]);
    let first = state.open_snapshot();
    begin_anew(&mut state, 2);
    let kept = state.kept_size();
    assert!(kept > 0, "a life that was ended is kept");
    begin_anew(&mut state, 3);
    let _ = apply(&mut state, vec![kv_put("a", 4)]);
    assert_eq!(state.kept_size(), kept, "nobody looks at the lives behind the first one");
    let third = state.open_snapshot();
    let _ = apply(&mut state, vec![kv_put("a", 5)]);
    begin_anew(&mut state, 6);
    assert!(state.kept_size() > kept);
    assert_eq!((int_at(&state, &first, "a"), int_at(&state, &third, "a")), (Some(1), Some(4)));
    state.close_snapshot(first);
    assert_eq!(int_at(&state, &third, "a"), Some(4));
    state.close_snapshot(third);
    assert_eq!(state.kept_size(), 0);
}

#[test]
fn beyond_their_size_the_oldest_snapshots_are_given_up() {
    let mut state = Driver::created().state;
    let of_life = state.open_snapshot();
    begin_anew(&mut state, 1);
    let older = state.open_snapshot();
    let _ = apply(&mut state, vec![kv_put("a", 2)]);
    let newer = state.open_snapshot();
    let _ = apply(&mut state, vec![kv_put("b", 3)]);
    let kept = state.kept_size();
    state.bound_past(kept);
    assert!(state.view_at(&of_life).is_some(), "it fits");
    state.bound_past(kept - 1);
    assert!(state.view_at(&of_life).is_none() && state.view_at(&older).is_some());
    state.bound_past(state.kept_size() - 1);
    assert!(state.view_at(&older).is_none());
    assert_eq!(int_at(&state, &newer, "a"), Some(2));
    state.bound_past(0);
    assert!(state.view_at(&newer).is_none());
    assert_eq!(state.kept_size(), 0);
    for snapshot in [of_life, older, newer] {
        state.close_snapshot(snapshot);
    }
    let _ = apply(&mut state, vec![kv_put("a", 4)]);
    assert_eq!(state.kept_size(), 0);
}

#[test]
fn a_snapshot_that_is_held_is_not_given_up_however_much_is_kept_for_it() {
    let mut state = Driver::created().state;
    let (held, other) = (state.hold_snapshot(), state.open_snapshot());
    let _ = apply(&mut state, vec![kv_put("a", 1)]);
    let newer = state.open_snapshot();
    let _ = apply(&mut state, vec![kv_put("a", 2)]);
    state.bound_past(0);
    assert!(state.view_at(&held).is_some() && state.view_at(&other).is_some(), "both show the held version");
    assert!(state.view_at(&newer).is_none());
    state.close_snapshot(held);
    state.bound_past(0);
    assert!(state.view_at(&other).is_none());
    for snapshot in [other, newer] {
        state.close_snapshot(snapshot);
    }
    assert_eq!(state.kept_size(), 0);
}

/// A key that was overwritten a million times under one snapshot was kept a million times.
#[test]
fn what_no_snapshot_shows_is_not_kept() {
    let mut state = Driver::created().state;
    let snapshot = state.open_snapshot();
    let _ = apply(&mut state, vec![kv_put("a", 1)]);
    let kept = state.kept_size();
    for value in 2..1_000 {
        let _ = apply(&mut state, vec![kv_put("a", value)]);
    }
    assert_eq!(state.kept_size(), kept);
    state.close_snapshot(snapshot);
}

/// A snapshot for which much was kept stopped everybody when it was closed.
#[test]
fn what_a_closed_snapshot_needed_is_forgotten_a_part_at_a_time() {
    let mut state = Driver::created().state;
    let keys: Vec<String> = (0..20_000).map(|number| format!("{number:05}")).collect();
    let _ = apply(&mut state, keys.iter().map(|key| kv_put(key, 1)).collect());
    let snapshot = state.open_snapshot();
    let _ = apply(&mut state, keys.iter().map(|key| kv_put(key, 2)).collect());
    let kept = state.kept_size();
    assert!(state.close_snapshot(snapshot));
    assert!(state.kept_size() > kept / 2, "most of it is left for later");
    let newer = state.open_snapshot();
    let _ = apply(&mut state, vec![kv_put("00007", 3)]);
    let mut steps = 0;
    while state.forget_past(1_000) {
        steps += 1;
    }
    assert!((15..25).contains(&steps), "{steps} steps");
    assert_eq!((int_at(&state, &newer, "00007"), int_at(&state, &newer, "00008")), (Some(2), Some(2)));
    assert!(!state.close_snapshot(newer));
    assert_eq!(state.kept_size(), 0);
}

/// What was kept was to be dropped up to the first event that is there now. Where that was none of it any more, this came to no end:
/// the log stayed, and whoever tidied the run went on for ever.
#[test]
fn events_that_are_kept_for_a_snapshot_go_with_it_however_many_have_come_and_gone_since() {
    for since in [1, 2, 50, 2_000] {
        let mut driver = Driver::created();
        (0..3).for_each(|number| assert!(driver.write(append("k", number)).0));
        let snapshot = driver.state.open_snapshot();
        driver.write(Operation::RunSetEventRetention { retention: Some(Retention::KeepLast(1)) });
        (0..since).for_each(|number| assert!(driver.write(append("k", number)).0));
        assert!(driver.state.kept_size() > 0);
        assert!(!driver.state.close_snapshot(snapshot), "nothing is left to be forgotten");
        assert_eq!(driver.state.kept_size(), 0, "{since} since");
        (0..3).for_each(|number| assert!(driver.write(begin(number)).0));
        let snapshot = driver.state.open_snapshot();
        driver.write(Operation::RunSetTraceRetention { retention: Some(Retention::KeepLast(1)) });
        (3..3 + since).for_each(|number| assert!(driver.write(begin(number)).0));
        assert!(driver.state.kept_size() > 0);
        assert!(!driver.state.close_snapshot(snapshot), "nothing is left to be forgotten");
        assert_eq!(driver.state.kept_size(), 0, "{since} traces since");
    }
}

fn begin(number: i64) -> Operation {
    let content = TraceContent::Custom { kind: "step".into(), content: Value::Null };
    Operation::TraceBegin { trace: Box::new(NewTrace::new(support::trace_id(number as u64), content)) }
}

/// Once a snapshot was given up, nobody came by any more to forget what had been kept for it: all but the first part stayed until another
/// one was opened and closed.
#[test]
fn what_was_kept_for_a_snapshot_that_was_given_up_is_forgotten_when_it_is_closed() {
    let put = |key: u64| support::put(&format!("key/{key}"), key as i64, Deadline::None);
    let keep_last = || Operation::RunSetEventRetention { retention: Some(Retention::KeepLast(1)) };
    let events = (0..3_000).map(|number| append("k", number)).collect::<Vec<_>>();
    let traces = (0..3_000).map(begin).collect::<Vec<_>>();
    let keep_last_traces = || Operation::RunSetTraceRetention { retention: Some(Retention::KeepLast(1)) };
    let keys = (0..3_000).map(put).collect::<Vec<_>>();
    for (filled, replaced) in
        [(events, vec![keep_last()]), (traces, vec![keep_last_traces()]), (keys.clone(), keys)]
    {
        let mut driver = Driver::created();
        driver.batch(filled).unwrap();
        let snapshot = driver.state.open_snapshot();
        driver.batch(replaced).unwrap();
        driver.state.bound_past(1_000);
        assert!(driver.state.view_at(&snapshot).is_none(), "it was given up");
        (0..20).for_each(|_| driver.state.bound_past(100_000));
        assert!(driver.state.kept_size() <= 100_000, "commits that come go on with it");
        let mut rounds = 0;
        let mut has_more = driver.state.close_snapshot(snapshot);
        while has_more && rounds < 100 {
            has_more = driver.state.forget_past(500);
            rounds += 1;
        }
        assert_eq!((driver.state.kept_size(), has_more), (0, false));
    }
}
