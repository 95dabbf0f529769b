//! Snapshots: what an older version answers, and what is kept for it.
mod support;

use strata_primitives::*;
use support::Driver;

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
