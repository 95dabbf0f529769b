use super::*;
use crate::encoded::Encoded;
use crate::version::{Stamp, Version};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn id(number: u64) -> TraceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    TraceId::from_bytes(bytes)
}

fn stamp(version: u64, micros: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(micros) }
}

/// An open span recorded at `micros`.
fn span(number: u64, parent: Option<u64>, micros: u64) -> Trace {
    Trace {
        id: id(number),
        parent: parent.map(id),
        kind: if number.is_multiple_of(2) { "even".into() } else { "odd".into() },
        tags: Arc::default(),
        body: Encoded::from_int(number as i64),
        began: Timestamp(micros),
        ended: None,
        stamp: stamp(number + 1, micros),
        recorded: stamp(number + 1, micros),
    }
}

fn log(traces: impl IntoIterator<Item = Trace>) -> TraceLog {
    let mut log = TraceLog::new(1);
    for (place, trace) in traces.into_iter().enumerate() {
        assert_eq!(log.append(trace), place as u64);
    }
    log
}

#[test]
fn traces_are_found_by_place_and_by_id_across_chunks() {
    let log = log((0..600).map(|number| span(number, None, number)));
    assert_eq!((log.len(), log.is_empty()), (600, false));
    assert_eq!((log.place_of(&id(300)), log.get(300)), (Some(300), Some(&span(300, None, 300))));
    assert_eq!((log.place_of(&id(600)), log.get(600), log.get(u64::MAX)), (None, None, None));
    assert_eq!((log.kind_count("even"), log.kind_count("other")), (300, 0));
    assert!(Arc::ptr_eq(&log.get(0).unwrap().kind, &log.get(2).unwrap().kind), "kinds are shared");
}

#[test]
fn a_range_goes_both_ways_and_ends_with_the_log() {
    let log = log((0..5).map(|number| span(number, None, number)));
    let places = |range: Range<u64>| log.range(range).map(|(place, _)| place).collect::<Vec<_>>();
    assert_eq!(places(1..3), [1, 2]);
    assert_eq!(places(3..u64::MAX), [3, 4]);
    assert_eq!((places(9..u64::MAX), places(u64::MAX..u64::MAX)), (vec![], vec![]));
    let descending: Vec<_> = log.range(0..4).rev().map(|(_, trace)| trace.id).collect();
    assert_eq!(descending, [3, 2, 1, 0].map(id));
}

#[test]
fn a_time_leads_to_the_first_trace_of_it() {
    let log =
        log([3, 5, 5, 5, 8].iter().enumerate().map(|(index, micros)| span(index as u64, None, *micros)));
    for (micros, place) in [(0, 0), (3, 0), (4, 1), (5, 1), (6, 4), (8, 4), (9, 5), (u64::MAX, 5)] {
        assert_eq!(log.first_at_or_after(Timestamp(micros)), place, "{micros}");
    }
    assert_eq!(TraceLog::new(1).first_at_or_after(Timestamp(0)), 0);
}

#[test]
fn a_replaced_trace_comes_back_and_undoes_itself() {
    let before = || log([span(0, None, 3), span(1, Some(0), 4)]);
    let mut log = before();
    let ended = span(1, Some(0), 4).with_end(Timestamp(9), Encoded::from_int(7), stamp(3, 9));
    let held = log.replace(1, ended.clone());
    assert_eq!((log.get(1), &held), (Some(&ended), &span(1, Some(0), 4)));
    assert!(!log.is_same(&before()));
    assert_eq!(log.first_at_or_after(Timestamp(5)), 2, "the end of a span does not move it in time");
    assert_eq!(log.replace(1, held), ended);
    assert!(log.is_same(&before()));
}

#[test]
#[should_panic(expected = "an id is given to one trace of a run")]
fn a_taken_id_is_our_own_mistake() {
    log([span(0, None, 0), span(0, None, 0)]);
}

#[test]
#[should_panic(expected = "a trace keeps its id, parent, kind and creation")]
fn a_trace_replaced_by_another_is_our_own_mistake() {
    log([span(0, None, 0)]).replace(0, span(2, None, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Append { number: u64, parent: usize, later: u64 },
    TakeBack,
    Trim { count: usize },
    End { place: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..400u64, any::<usize>(), 0..3u64)
            .prop_map(|(number, parent, later)| Step::Append { number, parent, later }),
        1 => Just(Step::TakeBack),
        1 => (1..150usize).prop_map(|count| Step::Trim { count }),
        2 => any::<usize>().prop_map(|place| Step::End { place }),
    ];
    prop::collection::vec(step, 0..600)
}

/// Everything a log can be asked, answered by a plain list of all that were ever recorded, of which so many are removed.
fn assert_like(log: &TraceLog, model: &[Trace], removed: usize) {
    let kept = &model[removed..];
    assert_eq!((log.first(), log.end()), (removed as u64, model.len() as u64));
    assert_eq!(log.len(), kept.len() as u64);
    assert!(log.range(0..u64::MAX).map(|(_, trace)| trace).eq(kept));
    let mut children: BTreeMap<TraceId, Vec<u64>> = BTreeMap::new();
    for (place, trace) in model.iter().enumerate().skip(removed) {
        assert_eq!(log.place_of(&trace.id), Some(place as u64));
        if let Some(parent) = trace.parent {
            children.entry(parent).or_default().push(place as u64);
        }
    }
    for number in 0..400 {
        assert_eq!(log.children(&id(number)).to_vec(), children.remove(&id(number)).unwrap_or_default());
        assert_eq!(log.place_of(&id(number)).is_some(), kept.iter().any(|trace| trace.id == id(number)));
    }
    for micros in 0..=model.last().map_or(0, |last| last.recorded.timestamp.0 + 1) {
        let first = model.iter().position(|trace| trace.recorded.timestamp.0 >= micros);
        let expected = first.unwrap_or(model.len()).max(removed);
        assert_eq!(log.first_at_or_after(Timestamp(micros)), expected as u64);
    }
    let even = |traces: &[Trace]| traces.iter().filter(|trace| &*trace.kind == "even").count() as u64;
    assert_eq!(log.kind_count("even"), even(model), "all that ever were");
    let of_kinds = |part| log.removed_of_kinds(part, log.kind_part_count()).collect::<Vec<_>>();
    let of_kinds = Vec::from_iter((0..log.kind_part_count()).flat_map(of_kinds));
    let removed_even = of_kinds.iter().find(|(kind, _)| &***kind == "even").map_or(0, |(_, count)| *count);
    assert_eq!(removed_even, even(&model[..removed]));
    assert_eq!(log.size(), kept.iter().map(Trace::size).sum::<u64>());
    assert_eq!(log.released(), model[..removed].iter().map(Trace::memory).sum::<usize>());
    let written = model[..removed].iter().map(|trace| trace.stamp.version).max();
    let from = model.first().filter(|_| removed > 0).map(|first| first.recorded.version);
    let expected = RemovedTraces { from: from.unwrap_or_default(), through: written.unwrap_or_default() };
    assert_eq!(log.removed(), &expected);
}

enum Undo {
    Append,
    End { place: usize, held: Box<Trace> },
    Trim { trimmed: Trimmed<Trace, RemovedTraces>, removed: usize },
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_behaves_like_a_plain_list_and_can_be_unwound(steps in steps()) {
        let mut log = TraceLog::new(7);
        let mut model: Vec<Trace> = Vec::new();
        let (mut undo, mut removed, mut micros) = (Vec::new(), 0, 0);
        for step in steps {
            match step {
                Step::Append { number, .. } if model[removed..].iter().any(|trace| trace.id == id(number)) => {}
                Step::Append { number, parent, later } => {
                    micros += later;
                    let mut trace = span(number, None, micros);
                    trace.parent = (!model.is_empty()).then(|| model[parent % model.len()].id);
                    model.push(trace.clone());
                    log.append(trace);
                    undo.push(Undo::Append);
                }
                Step::Trim { count } if removed + count <= model.len() => {
                    let trimmed = log.trim((removed + count) as u64);
                    prop_assert_eq!(&trimmed.entries, &model[removed..removed + count]);
                    undo.push(Undo::Trim { trimmed, removed });
                    removed += count;
                }
                Step::Trim { .. } => {}
                Step::End { place } if removed < model.len() => {
                    let place = removed + place % (model.len() - removed);
                    let ended = model[place].with_end(Timestamp(micros), Encoded::from_int(-1), stamp(1000, micros));
                    let held = std::mem::replace(&mut model[place], ended.clone());
                    prop_assert_eq!(&log.replace(place as u64, ended), &held);
                    undo.push(Undo::End { place, held: Box::new(held) });
                }
                Step::End { .. } => {}
                Step::TakeBack => unwind(&mut log, &mut model, &mut removed, undo.pop()),
            }
        }
        assert_like(&log, &model, removed);
        let mut loaded = TraceLog::new(9);
        loaded.load_removed(removed as u64, *log.removed()).unwrap();
        for part in 0..log.kind_part_count() {
            let of_kinds = log.removed_of_kinds(part, log.kind_part_count());
            of_kinds.for_each(|(kind, count)| loaded.load_removed_of_kind(Arc::clone(kind), count).unwrap());
        }
        prop_assert_eq!(loaded.check_removed_of_kinds(), Ok(()));
        model[removed..].iter().for_each(|trace| _ = loaded.append(trace.clone()));
        prop_assert!(log.is_same(&loaded));
        while let Some(step) = undo.pop() {
            unwind(&mut log, &mut model, &mut removed, Some(step));
        }
        assert_like(&log, &model, 0);
        prop_assert!(log.is_same(&TraceLog::new(7)), "nothing is left behind");
    }
}

fn unwind(log: &mut TraceLog, model: &mut Vec<Trace>, removed: &mut usize, step: Option<Undo>) {
    match step {
        None => {}
        Some(Undo::Append) => {
            log.take_back();
            model.pop();
        }
        Some(Undo::End { place, held }) => {
            model[place] = (*held).clone();
            log.replace(place as u64, *held);
        }
        Some(Undo::Trim { trimmed, removed: before }) => {
            log.untrim(trimmed);
            *removed = before;
        }
    }
}
