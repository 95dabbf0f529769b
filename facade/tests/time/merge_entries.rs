//! Events and traces that are merged: none comes twice, whatever became of it since, and each strategy does what it says.

use crate::support::versions::{call, disk, keep_all, open_at, thought};
use crate::support::{Dice, seed};
use strata::{
    Database, Direction, EntityRef, EntryStrategy, ErasedVersions, ErrorKind, Merge, NewTrace, Reads,
    Resolution, Retention, RunHandle, RunSpec, Strategies, Strategy, TraceContent, TraceEnd, TraceId, Writes,
    new_trace,
};
use strata_wal::sim::SimDisk;

fn story(disk: &SimDisk) -> (Database, RunHandle) {
    let database = open_at(disk, "store", keep_all(1));
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put("city", "Oslo").unwrap();
    (database, run)
}

fn kinds(run: &impl Reads) -> Vec<String> {
    let events = run.events(run.first_event().unwrap().value, 1_000, Direction::Forward).unwrap().events;
    events.into_iter().map(|event| event.kind).collect()
}

fn all(strategy: Strategy, entries: EntryStrategy) -> Strategies {
    let (keys, cells, documents, events, traces) = (strategy, strategy, strategy, entries, entries);
    Strategies { keys, cells, documents, events, traces }
}

/// A span merged while open, then ended in theirs; both have further traces.
fn span_and_tails() -> (SimDisk, Database, RunHandle, RunHandle, TraceId) {
    let disk = disk(seed());
    let (database, run) = story(&disk);
    let fork = run.fork().unwrap();
    let span = fork.trace_begin(new_trace(call("book"))).unwrap().0;
    run.merge(&Merge::of(&fork)).unwrap();
    fork.trace_end(span, TraceEnd { result: Some(1.into()), ..TraceEnd::default() }).unwrap();
    fork.trace_record(new_trace(thought("theirs"))).unwrap();
    run.trace_record(new_trace(thought("ours"))).unwrap();
    (disk, database, run, fork, span)
}

#[test]
fn append_of_traces_works_where_a_merged_span_has_ended() {
    let (_disk, _database, run, fork, span) = span_and_tails();
    let strategies = all(Strategy::Fail, EntryStrategy::Append);
    let report = run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    assert!(report.commit.is_some());
    assert!(run.trace_get(span).unwrap().unwrap().ended.is_some());
    assert_eq!(run.trace_count(None).unwrap().value, 3);
}

#[test]
fn ours_of_traces_takes_none_of_theirs_where_a_merged_span_has_ended() {
    let (_disk, _database, run, fork, _span) = span_and_tails();
    let strategies = all(Strategy::Fail, EntryStrategy::Ours);
    let report = run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    assert_eq!(report.conflicts[0].resolution, Resolution::Ours);
    assert_eq!(run.trace_count(None).unwrap().value, 2, "span and ours: {report:?}");
}

#[test]
fn a_span_of_one_id_begun_by_both_with_other_arguments_is_a_conflict() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    let begin = |side: &RunHandle, arguments: &str| {
        let content = TraceContent::ToolCall {
            name: "t".into(),
            arguments: arguments.into(),
            result: None,
            error: None,
        };
        let new = NewTrace { id: TraceId::from_bytes([9; 16]), ..new_trace(content) };
        side.trace_begin(new).unwrap().0
    };
    begin(&run, "ours");
    let span = begin(&fork, "theirs");
    fork.trace_end(span, TraceEnd::default()).unwrap();
    let strategies = all(Strategy::Ours, EntryStrategy::Ours);
    let preview = run.preview_merge(&Merge::of(&fork));
    let report = run.merge(&Merge { strategies, ..Merge::of(&fork) });
    assert!(preview.unwrap().is_open());
    assert_eq!(report.unwrap().conflicts.len(), 1);
}

#[test]
fn an_event_that_was_merged_and_erased_in_ours_does_not_come_again() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    fork.append("secret", "x").unwrap();
    run.merge(&Merge::of(&fork)).unwrap();
    run.erase(&EntityRef::event(run.id(), 0), ErasedVersions::All, "asked for").unwrap();
    let strategies = all(Strategy::Fail, EntryStrategy::Append);
    run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    assert_eq!(kinds(&run), ["secret"]);
    assert_eq!(run.preview_merge(&Merge::of(&fork)).unwrap().conflicts, []);
}

#[test]
fn an_event_that_was_merged_and_not_kept_does_not_come_again() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    fork.append_many([("a", 0), ("b", 1), ("c", 2)]).unwrap();
    run.merge(&Merge::of(&fork)).unwrap();
    run.set_event_retention(Retention::KeepLast(1)).unwrap();
    run.put("k", 1).unwrap();
    let before = run.event_count().unwrap().value;
    assert!(run.merge(&Merge::of(&fork)).unwrap().is_open(), "what was there is not known");
    assert_eq!(run.event_count().unwrap().value, before, "an event twice");
}

#[test]
fn a_trace_that_was_merged_and_not_kept_does_not_come_again() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    for name in ["a", "b", "c"] {
        fork.trace_record(new_trace(thought(name))).unwrap();
    }
    run.merge(&Merge::of(&fork)).unwrap();
    run.set_trace_retention(Retention::KeepLast(1)).unwrap();
    run.put("k", 1).unwrap();
    let before = run.trace_count(None).unwrap().value;
    assert!(run.merge(&Merge::of(&fork)).unwrap().is_open(), "what was there is not known");
    assert_eq!(run.trace_count(None).unwrap().value, before, "a trace twice");
}

#[test]
fn two_merges_in_a_row_into_a_run_that_keeps_its_last_events_add_nothing() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    run.set_event_retention(Retention::KeepLast(1)).unwrap();
    let fork = run.fork().unwrap();
    fork.set_event_retention(Retention::KeepAll).unwrap();
    fork.append_many([("pay", 0), ("pay", 1), ("pay", 2)]).unwrap();
    for _ in 0..3 {
        run.merge(&Merge::of(&fork)).unwrap();
    }
    assert_eq!(run.event_count().unwrap().value, 3);
}

#[test]
fn a_merge_of_what_a_merge_brought_back_and_forth() {
    let disk = disk(seed());
    let mut dice = Dice::new(seed());
    let database = open_at(&disk, "store", keep_all(1));
    for round in 0..100 {
        let run = database.create_run(RunSpec::default()).unwrap();
        run.append("base", -1).unwrap();
        let mut sides = vec![run.clone(), run.fork().unwrap(), run.fork().unwrap()];
        let mut made = 1_u64;
        for _ in 0..30 {
            let side = dice.below(sides.len() as u64) as usize;
            let other = dice.below(sides.len() as u64) as usize;
            match dice.below(6) {
                0..=2 => {
                    sides[side].append("e", made as i64).unwrap();
                    made += 1;
                }
                3 if sides.len() < 6 => sides.push(sides[side].fork().unwrap()),
                _ => {
                    let strategies = all(Strategy::Theirs, EntryStrategy::Append);
                    sides[side].merge(&Merge { strategies, ..Merge::of(&sides[other]) }).unwrap();
                }
            }
            for side in &sides {
                let events = side.events(0, 1_000, Direction::Forward).unwrap().events;
                let mut payloads: Vec<_> = events.iter().map(|e| e.payload.as_int().unwrap()).collect();
                let count = payloads.len();
                payloads.sort_unstable();
                payloads.dedup();
                assert_eq!(payloads.len(), count, "round {round}: an event twice");
            }
        }
        let strategies = all(Strategy::Theirs, EntryStrategy::Append);
        for side in &sides[1..] {
            sides[0].merge(&Merge { strategies, ..Merge::of(side) }).unwrap();
        }
        assert_eq!(sides[0].event_count().unwrap().value, made, "round {round}");
    }
}

#[test]
fn a_trace_below_one_that_ours_did_not_take_is_refused_by_preview_and_merge() {
    let disk = disk(seed());
    let (_database, run) = story(&disk);
    let fork = run.fork().unwrap();
    let parent = fork.trace_record(new_trace(thought("above"))).unwrap().0;
    run.trace_record(new_trace(thought("ours"))).unwrap();
    let ours = all(Strategy::Fail, EntryStrategy::Ours);
    let first = run.merge(&Merge { strategies: ours, ..Merge::of(&fork) }).unwrap();
    let below = NewTrace { parent: Some(parent), ..new_trace(thought("below")) };
    let (below, _) = fork.trace_record(below).unwrap();
    let base = fork.at(first.theirs).unwrap().detach().unwrap();
    let strategies = all(Strategy::Fail, EntryStrategy::Append);
    let merge = Merge { base: Some(&base), strategies, ..Merge::of(&fork) };
    for refused in [run.preview_merge(&merge), run.merge(&merge)] {
        let error = refused.unwrap_err();
        assert_eq!(
            (error.kind(), error.entity()),
            (ErrorKind::Unsupported, Some(&EntityRef::trace(fork.id(), below)))
        );
    }
    // From where both began the parent is taken over too.
    run.merge(&Merge { strategies, ..Merge::of(&fork) }).unwrap();
    assert_eq!(run.trace_get(below).unwrap().unwrap().parent, Some(parent));
}
