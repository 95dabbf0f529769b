//! Following a run: what is visible, in order, without gaps that are not told.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strata::{
    Cause, CommitSubscription, Database, Durability, EntityRef, ErrorKind, EventSubscription, Notice, Reads,
    RunHandle, RunSpec, Version, Writes,
};
use strata_wal::sim::{FaultKind, Faults, SimDisk};

use crate::support::gate::{Gate, Opener, open_gated};
use crate::support::{eventually, open_on, options};

/// Longer than any test waits for what will come.
const LONG: Duration = Duration::from_secs(60);
/// Long enough to see that nothing has come.
const SHORT: Duration = Duration::from_millis(5);

fn in_memory() -> (Database, RunHandle) {
    let database = Database::in_memory().unwrap();
    let run = database.begin_run(RunSpec::named("watched")).unwrap();
    (database, run)
}

fn sequences(events: &mut EventSubscription) -> Vec<u64> {
    std::iter::from_fn(|| events.next(SHORT).unwrap()).map(|event| event.sequence).collect()
}

fn next_commit(commits: &mut CommitSubscription) -> (Version, Vec<EntityRef>, Option<Cause>) {
    match commits.next(LONG).unwrap() {
        Some(Notice::Commit(commit)) => (commit.stamp.version, commit.changes, commit.cause),
        other => panic!("{other:?} is not a commit"),
    }
}

#[test]
fn events_that_are_there_come_first_and_then_those_that_are_appended() {
    let (_database, run) = in_memory();
    run.append_many((0..600).map(|number| ("old", number))).unwrap();
    let mut events = run.subscribe_events(2).unwrap();
    assert_eq!(sequences(&mut events), Vec::from_iter(2..600));
    run.append("new", "x").unwrap();
    let event = events.next(LONG).unwrap().unwrap();
    assert_eq!((event.sequence, &*event.kind, event.payload.as_str()), (600, "new", Some("x")));
    assert_eq!(Some(event), run.event(600).unwrap());
}

#[test]
fn a_follower_sleeps_until_an_event_is_appended() {
    let (_database, run) = in_memory();
    let mut events = run.subscribe_events(0).unwrap();
    thread::scope(|scope| {
        let follower = scope.spawn(move || events.next(LONG).unwrap().map(|event| event.sequence));
        run.put("unrelated", 1).unwrap();
        run.append("step", 1).unwrap();
        assert_eq!(follower.join().unwrap(), Some(0));
    });
}

#[test]
fn a_follower_from_a_later_sequence_waits_for_that_one() {
    let (_database, run) = in_memory();
    let mut events = run.subscribe_events(3).unwrap();
    run.append_many((0..3).map(|number| ("early", number))).unwrap();
    assert_eq!(events.next(SHORT).unwrap(), None);
    run.append("awaited", 3).unwrap();
    assert_eq!(sequences(&mut events), [3]);
}

#[test]
fn a_wait_that_is_given_up_loses_no_event() {
    let (_database, run) = in_memory();
    let mut events = run.subscribe_events(0).unwrap();
    for round in 0..200 {
        assert_eq!(events.next(Duration::ZERO).unwrap(), None);
        run.append("step", round as i64).unwrap();
        assert_eq!(events.next(LONG).unwrap().map(|event| event.sequence), Some(round));
    }
}

#[test]
fn commits_are_told_with_what_they_changed_and_why() {
    let (_database, run) = in_memory();
    let mut commits = run.subscribe_commits(run.info().unwrap().version).unwrap();
    let cause = Cause::Note("the plan changed".into());
    run.with_cause(cause.clone()).put("plan", "b").unwrap();
    let mut batch = run.batch();
    batch.put("a", 1).unwrap().put("a", 2).unwrap().append("step", 1).unwrap().cell_set("c", 1).unwrap();
    run.commit(batch).unwrap();
    run.set_tags(["x"]).unwrap();
    let id = run.id();
    assert_eq!(next_commit(&mut commits), (Version(2), vec![EntityRef::kv(id, "plan")], Some(cause)));
    let changed = vec![EntityRef::kv(id, "a"), EntityRef::event(id, 0), EntityRef::cell(id, "c")];
    assert_eq!(next_commit(&mut commits), (Version(3), changed, None));
    assert_eq!(next_commit(&mut commits), (Version(4), vec![EntityRef::run(id)], None));
    assert_eq!(commits.next(SHORT).unwrap(), None);
}

#[test]
fn a_commit_that_changes_nothing_is_told_to_nobody() {
    let (_database, run) = in_memory();
    let mut commits = run.subscribe_commits(Version(1)).unwrap();
    run.delete("nothing").unwrap();
    run.transaction(|tx| tx.get("nothing").map(drop)).unwrap();
    assert_eq!(commits.next(SHORT).unwrap(), None);
}

#[test]
fn a_follower_that_lags_is_told_how_many_commits_it_missed() {
    let (_database, run) = in_memory();
    let mut commits = run.subscribe_commits(Version(1)).unwrap();
    for number in 0..1_100 {
        run.put("n", number).unwrap();
    }
    assert_eq!(commits.next(LONG).unwrap(), Some(Notice::Lagged { missed: 76 }));
    let versions: Vec<u64> = (0..1_024).map(|_| next_commit(&mut commits).0.0).collect();
    assert_eq!(versions, Vec::from_iter(78..=1_101));
    run.put("n", "last").unwrap();
    assert_eq!(next_commit(&mut commits).0, Version(1_102), "what was missed is told once");
}

#[test]
fn commits_are_followed_from_the_newest_on() {
    let (_database, run) = in_memory();
    run.put("a", 1).unwrap();
    let trimmed = run.subscribe_commits(Version(1)).unwrap_err();
    assert_eq!(trimmed.kind(), ErrorKind::HistoryTrimmed);
    assert!(trimmed.message().contains("the earliest that can be followed is 3"), "{trimmed}");
    assert_eq!(run.subscribe_commits(Version(3)).unwrap_err().kind(), ErrorKind::VersionNotFound);
    assert!(run.subscribe_commits(Version(2)).is_ok());
}

#[test]
fn a_run_that_is_missing_or_deleted_cannot_be_followed() {
    let (database, run) = in_memory();
    let missing = database.run(strata::RunId::from_bytes([9; 16]));
    assert_eq!(missing.subscribe_events(0).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(missing.subscribe_commits(Version(0)).unwrap_err().kind(), ErrorKind::NotFound);
    let mut events = run.subscribe_events(0).unwrap();
    let mut commits = run.subscribe_commits(Version(1)).unwrap();
    run.delete_run().unwrap();
    assert_eq!(events.next(LONG).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(next_commit(&mut commits), (Version(2), vec![EntityRef::run(run.id())], None));
}

/// A follower that was not waiting while the run was deleted went on in the run created after it, at the sequence it
/// had come to: the first events of that run were never told.
#[test]
fn a_follower_of_events_does_not_go_on_in_the_next_life_of_its_run() {
    let (database, run) = in_memory();
    run.append_many((0..5).map(|number| ("old", number))).unwrap();
    let mut events = run.subscribe_events(0).unwrap();
    assert_eq!(sequences(&mut events), Vec::from_iter(0..5));
    run.delete_run().unwrap();
    database.begin_run(RunSpec::named("watched")).unwrap();
    run.append_many((0..6).map(|number| ("new", number))).unwrap();
    assert_eq!(events.next(LONG).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(sequences(&mut run.subscribe_events(0).unwrap()), Vec::from_iter(0..6));
}

/// Whoever subscribed was told of a deletion that a crash could still take back.
#[test]
fn a_deletion_that_is_not_durable_is_told_to_nobody_who_subscribes() {
    let (disk, gate) = (SimDisk::new(73), Arc::new(Gate::new()));
    let database = open_gated(&disk, &gate, Durability::Strict);
    let run = database.begin_run(RunSpec::named("watched")).unwrap();
    thread::scope(|scope| {
        gate.close();
        let _opener = Opener(&gate);
        let deleting = run.clone();
        scope.spawn(move || deleting.delete_run().unwrap());
        eventually("the deletion is applied", || database.stats().unwrap().commits() == 2);
        let (following, (sender, answer)) = (run.clone(), std::sync::mpsc::channel());
        scope.spawn(move || sender.send(following.subscribe_events(0).unwrap_err().kind()));
        assert!(answer.recv_timeout(SHORT).is_err());
        gate.open();
        assert_eq!(answer.recv_timeout(LONG).unwrap(), ErrorKind::NotFound);
    });
}

#[test]
fn a_strict_commit_is_told_to_nobody_before_it_is_durable() {
    let (disk, gate) = (SimDisk::new(71), Arc::new(Gate::new()));
    let database = open_gated(&disk, &gate, Durability::Strict);
    let run = database.begin_run(RunSpec::named("watched")).unwrap();
    let mut events = run.subscribe_events(0).unwrap();
    let mut commits = run.subscribe_commits(Version(1)).unwrap();
    thread::scope(|scope| {
        gate.close();
        let _opener = Opener(&gate);
        let writer = run.clone();
        scope.spawn(move || writer.append("step", 1).unwrap());
        eventually("the append is applied", || database.stats().unwrap().commits() == 2);
        assert_eq!(events.next(SHORT).unwrap(), None);
        assert_eq!(commits.next(SHORT).unwrap(), None);
        gate.open();
        assert_eq!(events.next(LONG).unwrap().map(|event| event.sequence), Some(0));
        assert_eq!(next_commit(&mut commits).0, Version(2));
    });
}

#[test]
fn a_commit_that_a_failed_log_took_back_is_told_to_nobody() {
    let disk = SimDisk::new(72);
    let database = open_on(&disk, options(Durability::Strict, 1)).unwrap();
    let run = database.begin_run(RunSpec::named("watched")).unwrap();
    run.append("kept", 0).unwrap();
    let mut events = run.subscribe_events(0).unwrap();
    let mut commits = run.subscribe_commits(Version(2)).unwrap();
    disk.set_faults(Faults::forever(disk.points() + 1, FaultKind::Error));
    assert_eq!(run.append("lost", 1).unwrap_err().kind(), ErrorKind::LogFailed);
    assert_eq!(sequences(&mut events), [0]);
    assert_eq!(commits.next(SHORT).unwrap(), None);
}

#[test]
fn subscriptions_end_with_their_handles_and_with_the_database() {
    let (database, run) = in_memory();
    let followers = || database.stats().unwrap().shards.iter().map(|shard| shard.followers).sum::<u64>();
    let mut events = run.subscribe_events(0).unwrap();
    let commits = run.subscribe_commits(Version(1)).unwrap();
    assert_eq!(followers(), 2);
    drop(commits);
    eventually("the shard has heard of it", || followers() == 1);
    thread::scope(|scope| {
        let follower = scope.spawn(move || events.next(LONG).unwrap_err().kind());
        database.close().unwrap();
        assert_eq!(follower.join().unwrap(), ErrorKind::Closed);
    });
}

#[test]
fn every_follower_of_a_busy_run_sees_every_event_once() {
    let (_database, run) = in_memory();
    thread::scope(|scope| {
        let followers: Vec<_> = (0..3)
            .map(|_| {
                let mut events = run.subscribe_events(0).unwrap();
                scope.spawn(move || {
                    (0..400).map(|_| events.next(LONG).unwrap().unwrap().sequence).collect::<Vec<_>>()
                })
            })
            .collect();
        for writer in 0..4 {
            let run = run.clone();
            scope.spawn(move || (0..100).for_each(|step| drop(run.append("step", writer * 100 + step))));
        }
        for follower in followers {
            assert_eq!(follower.join().unwrap(), Vec::from_iter(0..400));
        }
    });
}
