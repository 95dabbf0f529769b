//! What differs between random states, against plain maps and lists; and what is done about it makes one of the other.
mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strata_primitives::diff::*;
use strata_primitives::*;
use support::history::{Change, Step, history};
use support::run_id;
use support::world::{World, entries_of, loaded};

/// What a state holds for a reader at its time.
#[derive(Debug, Default)]
struct Plain {
    keys: BTreeMap<Key, (Encoded, Option<Timestamp>)>,
    cells: BTreeMap<Key, (Encoded, Option<Timestamp>)>,
    documents: BTreeMap<Key, Encoded>,
    /// Of each event its sequence, hash, type, and payload.
    events: Vec<(u64, [u8; 32], Key, Encoded)>,
    traces: Vec<Trace>,
    /// How many were removed in front of them.
    removed_traces: u64,
}

impl Plain {
    fn of(state: &RunState) -> Self {
        let mut plain = Self::default();
        let is_there =
            |deadline: Option<Timestamp>| deadline.is_none_or(|deadline| deadline > state.timestamp());
        let mut sequence = 0;
        for entry in entries_of(state) {
            match entry {
                ImageEntry::Key { deadline, key, value, .. }
                | ImageEntry::KeptKey { deadline, key, value, .. }
                    if is_there(deadline) =>
                {
                    plain.keys.insert(key, (value, deadline));
                }
                ImageEntry::Cell { deadline, name, value, .. } if is_there(deadline) => {
                    plain.cells.insert(name, (value, deadline));
                }
                ImageEntry::Document { name, document, .. } => {
                    plain.documents.insert(name, document.get(&Pointer::root()).unwrap().value);
                }
                ImageEntry::EventsBegin { first, .. } => sequence = first,
                ImageEntry::Event { hash, kind, payload, .. } => {
                    plain.events.push((sequence, hash, kind, payload));
                    sequence += 1;
                }
                ImageEntry::EventErased { hash, kind, .. } => {
                    plain.events.push((sequence, hash, kind, Encoded::erased()));
                    sequence += 1;
                }
                ImageEntry::TracesBegin { first, .. } => plain.removed_traces = first,
                ImageEntry::Trace { trace } => plain.traces.push(*trace),
                _ => {}
            }
        }
        plain
    }

    /// Everything but the commits that wrote it.
    fn events(&self) -> Vec<(u64, &str, &Encoded)> {
        self.events.iter().map(|(sequence, _, kind, payload)| (*sequence, &**kind, payload)).collect()
    }

    /// Everything but when spans ended.
    fn traces(&self) -> Vec<Trace> {
        let timeless = |trace: &Trace| {
            let ended = trace.ended.map(|_| Timestamp(0));
            Trace { ended, stamp: Stamp::default(), recorded: Stamp::default(), ..trace.clone() }
        };
        self.traces.iter().map(timeless).collect()
    }
}

fn all(before: &RunState, after: &RunState) -> Vec<Difference> {
    let page = diff(before, after, None, usize::MAX).unwrap();
    assert_eq!(page.next, None);
    page.differences
}

/// The keys of two maps that differ, with what both hold.
fn differing<'a, V: PartialEq>(
    before: &'a BTreeMap<Key, V>,
    after: &'a BTreeMap<Key, V>,
) -> BTreeMap<&'a str, (Option<&'a V>, Option<&'a V>)> {
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    let pairs = keys.into_iter().map(|key| (&**key, (before.get(key), after.get(key))));
    pairs.filter(|(_, (before, after))| before != after).collect()
}

fn held(state: &Option<KeyState>) -> Option<(Encoded, Option<Timestamp>)> {
    state.as_ref().map(|state| (state.value.clone(), state.deadline))
}

/// That what differs is what plain maps and lists say.
fn assert_model(before: &RunState, after: &RunState) -> Result<(), TestCaseError> {
    let (was, is) = (Plain::of(before), Plain::of(after));
    let found = all(before, after);
    let places: Vec<DiffPlace> = found.iter().map(Difference::place).collect();
    prop_assert!(places.is_sorted_by(|one, next| one < next), "{:?}", places);
    let (mut keys, mut cells, mut documents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for difference in &found {
        match difference {
            Difference::Key(found) => {
                drop(keys.insert(&*found.key, (held(&found.before), held(&found.after))))
            }
            Difference::Cell(found) => {
                drop(cells.insert(&*found.key, (held(&found.before), held(&found.after))))
            }
            Difference::Document(found) => drop(documents.insert(&*found.name, &found.change)),
            _ => {}
        }
    }
    let owned = |(before, after): &(Option<&_>, Option<&_>)| (before.cloned(), after.cloned());
    for (found, was, is) in [(&keys, &was.keys, &is.keys), (&cells, &was.cells, &is.cells)] {
        let expected: BTreeMap<_, _> =
            differing(was, is).iter().map(|(key, pair)| (*key, owned(pair))).collect();
        prop_assert_eq!(found, &expected);
    }
    let expected = differing(&was.documents, &is.documents);
    prop_assert_eq!(documents.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, change) in documents {
        match (expected[name], change) {
            ((Some(was), None), DocumentChange::Removed(found)) => prop_assert_eq!(was, found),
            ((None, Some(is)), DocumentChange::Added(found)) => prop_assert_eq!(is, found),
            ((Some(_), Some(_)), DocumentChange::Changed(places)) => prop_assert!(!places.is_empty()),
            (pair, change) => prop_assert!(false, "{:?} is not {:?}", change, pair),
        }
    }
    assert_events(&found, &was, &is, [before.event_count(), after.event_count()])?;
    assert_traces(&found, &was, &is)
}

fn assert_events(found: &[Difference], was: &Plain, is: &Plain, ends: [u64; 2]) -> Result<(), TestCaseError> {
    let hashes =
        |plain: &Plain| plain.events.iter().map(|event| (event.0, event.1)).collect::<BTreeMap<_, _>>();
    let (was_hashes, is_hashes) = (hashes(was), hashes(is));
    let [was_first, is_first] =
        [(was, ends[0]), (is, ends[1])].map(|(plain, end)| end - plain.events.len() as u64);
    let told = found.iter().find_map(|difference| match difference {
        Difference::Events(difference) => Some(difference),
        _ => None,
    });
    let common = was_hashes.keys().filter(|sequence| is_hashes.contains_key(sequence));
    let mut differing = common.filter(|sequence| was_hashes[sequence] != is_hashes[sequence]);
    let parting = differing.next().copied().unwrap_or(ends[0].min(ends[1]));
    match told {
        None => prop_assert!(was_first == is_first && was_hashes == is_hashes),
        Some(LogDifference { parting: found, before, after }) => {
            prop_assert_eq!((before, after), (&(was_first..ends[0]), &(is_first..ends[1])));
            match found {
                Parting::At(found) => prop_assert_eq!(*found, parting),
                // Only where something was removed is it not known.
                Parting::Removed => prop_assert!(was_first.max(is_first) > 0),
            }
            prop_assert!(was_first != is_first || was_hashes != is_hashes || ends[0] != ends[1]);
        }
    }
    let erased: Vec<u64> = found
        .iter()
        .filter_map(|found| match found {
            Difference::EventErased(event) => Some(event.sequence),
            _ => None,
        })
        .collect();
    let is_erased = |plain: &Plain, sequence: u64| {
        plain.events.iter().any(|event| event.0 == sequence && event.3.is_erased())
    };
    let both = was_hashes.iter().filter(|(sequence, hash)| is_hashes.get(sequence) == Some(hash));
    let both = both.map(|(sequence, _)| *sequence);
    let expected: Vec<u64> =
        both.filter(|sequence| is_erased(was, *sequence) != is_erased(is, *sequence)).collect();
    prop_assert_eq!(erased, expected);
    Ok(())
}

fn assert_traces(found: &[Difference], was: &Plain, is: &Plain) -> Result<(), TestCaseError> {
    let step = |trace: &Trace| (trace.id, trace.parent, trace.kind.clone(), trace.tags.clone(), trace.began);
    let by_place =
        |plain: &Plain| (plain.removed_traces..).zip(plain.traces.clone()).collect::<BTreeMap<_, _>>();
    let range = |plain: &Plain| plain.removed_traces..plain.removed_traces + plain.traces.len() as u64;
    let (was_traces, is_traces, before, after) = (by_place(was), by_place(is), range(was), range(is));
    let both = || was_traces.iter().filter_map(|(place, was)| Some((*place, was, is_traces.get(place)?)));
    let (first, end) = (before.start.max(after.start), before.end.min(after.end));
    let differing = both().find(|(_, was, is)| step(was) != step(is)).map(|(place, ..)| place);
    let place = differing.unwrap_or(end);
    // Of traces that are not kept nothing is known.
    let is_told = first == 0 || place > first || (before == after && before.is_empty());
    let parting = if is_told { Parting::At(place) } else { Parting::Removed };
    let told = found.iter().find_map(|difference| match difference {
        Difference::Traces(difference) => Some(difference.clone()),
        _ => None,
    });
    let is_same = before == after && parting == Parting::At(before.end);
    let expected = (!is_same).then_some(LogDifference { parting, before, after });
    prop_assert_eq!(told, expected);
    let ended: Vec<_> = found
        .iter()
        .filter_map(|found| match found {
            Difference::Trace(found) => Some((found.place, found.before.clone(), found.after.clone())),
            _ => None,
        })
        .collect();
    let same = both().take_while(|(at, ..)| is_told && *at < place);
    let differing = same.filter(|(_, was, is)| (was.ended, &was.body) != (is.ended, &is.body));
    let expected: Vec<_> = differing.map(|(place, was, is)| (place, was.clone(), is.clone())).collect();
    prop_assert_eq!(ended, expected);
    Ok(())
}

/// A run that began as both did, and the two.
fn apart(before: &[Step], after: &[Step], erasures: &[Option<u8>], is_fork: bool) -> (RunState, RunState) {
    let mut world = World::of(before);
    let shared = world.state.share();
    if is_fork {
        world = world.fork(RunId::from_bytes([8; 16])).unwrap_or(world);
    }
    for (step, erasure) in after.iter().zip(erasures) {
        world.take_all(std::slice::from_ref(step));
        erasure.iter().for_each(|number| world.erase(*number));
    }
    (shared, world.state)
}

fn erasures() -> impl Strategy<Value = Vec<Option<u8>>> {
    proptest::collection::vec(proptest::option::weighted(0.2, any::<u8>()), 60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_differs_is_what_plain_maps_say_whether_or_not_states_share(
        before in history(),
        after in history(),
        erasures in erasures(),
        is_fork in any::<bool>(),
        seeds in (0..2_usize, 0..2_usize),
    ) {
        let (was, is) = apart(&before, &after, &erasures, is_fork);
        assert_model(&was, &is)?;
        assert_model(&is, &was)?;
        let expected = all(&was, &is);
        let (was_alone, is_alone) = (loaded(&was, 7 + seeds.0), loaded(&is, 7 + seeds.1));
        for (one, other) in [(&was, &is_alone), (&was_alone, &is), (&was_alone, &is_alone)] {
            prop_assert_eq!(&all(one, other), &expected);
        }
        prop_assert_eq!(all(&is, &is_alone), []);
        prop_assert_eq!(all(&is, &is.share()), []);
    }

    #[test]
    fn what_differs_between_runs_that_have_nothing_in_common_is_what_plain_maps_say(
        one in history(),
        other in history(),
    ) {
        let (one, mut world) = (World::of(&one), World::under(RunId::from_bytes([8; 16])));
        world.take_all(&other);
        assert_model(&one.state, &world.state)?;
    }

    #[test]
    fn pages_one_behind_the_other_are_all_that_differs(
        before in history(),
        after in history(),
        limit in 1..4_usize,
    ) {
        let (was, is) = apart(&before, &after, &vec![None; after.len()], false);
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let page = diff(&was, &is, next.as_ref(), limit).unwrap();
            prop_assert!(page.differences.len() <= limit);
            found.extend(page.differences);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        prop_assert_eq!(found, all(&was, &is));
    }

    #[test]
    fn what_is_done_about_differences_makes_one_state_of_the_other(
        before in history(),
        after in history(),
        erasures in erasures(),
        is_fork in any::<bool>(),
    ) {
        let (was, is) = apart(&before, &after, &erasures, is_fork);
        assert_applied(is.share(), &was)?;
        assert_applied(was, &is)?;
    }

    #[test]
    fn what_is_done_about_differences_makes_any_state_of_any_other_that_has_no_list_to_take_back(
        one in history(),
        other in history(),
    ) {
        let without_lists = |history: &[Step]| {
            let is_list = |change: &Change| {
                matches!(change, Change::Append { .. } | Change::Record { .. } | Change::DeleteRun | Change::Pause)
            };
            let mut world = World::new();
            world.write(vec![Operation::RunCreate { spec: Box::default() }]).unwrap();
            for step in history {
                if let Step::Commit { pause, steps } = step {
                    let steps = steps.iter().filter(|change| !is_list(change)).cloned().collect();
                    world.take_all(&[Step::Commit { pause: *pause, steps }]);
                }
            }
            world
        };
        let (one, other) = (without_lists(&one), without_lists(&other));
        prop_assert!(assert_applied(one.state, &other.state)?, "nothing is refused");
    }
}

/// Whether what differs can be applied; then it leads there.
fn assert_applied(was: RunState, is: &RunState) -> Result<bool, TestCaseError> {
    let now = was.timestamp().max(is.timestamp());
    let operations = match operations(&was, is, now) {
        Ok(operations) => operations,
        Err(refusal) => {
            prop_assert_eq!(refusal.kind(), ErrorKind::Unsupported);
            assert_refusable(&refusal, &was, is)?;
            return Ok(false);
        }
    };
    let mut world = World { state: was, now: now.0, log: Vec::new() };
    if let Err(error) = world.write(operations) {
        prop_assert!(false, "{}", error);
    }
    let (result, wanted) = (Plain::of(&world.state), Plain::of(is));
    for difference in all(&world.state, is) {
        match difference {
            // Their times are those of the commit, which keeps fewer where what is kept is a matter of time.
            Difference::Events(_) => match is.meta().and_then(|meta| meta.event_retention) {
                Some(Retention::KeepFor(_)) => prop_assert!(wanted.events().ends_with(&result.events())),
                _ => prop_assert_eq!(result.events(), wanted.events()),
            },
            Difference::Trace(_) | Difference::Traces(_) => {
                match is.meta().and_then(|meta| meta.trace_retention) {
                    Some(Retention::KeepFor(_)) => prop_assert!(wanted.traces().ends_with(&result.traces())),
                    _ => prop_assert_eq!(result.traces(), wanted.traces()),
                }
            }
            // What has expired by now is not there for anybody who looks now; no commit has to say so.
            Difference::Key(KeyDifference { before, after, .. })
            | Difference::Cell(KeyDifference { before, after, .. }) => {
                let is_over = |state: KeyState| state.deadline.is_some_and(|deadline| deadline <= now);
                prop_assert!(before.is_none_or(is_over) && after.is_none_or(is_over));
            }
            Difference::Run(RunDifference::Name { .. } | RunDifference::Namespace { .. }) => {}
            other => prop_assert!(false, "{:?} is left", other),
        }
    }
    Ok(true)
}

/// That there is a reason for a refusal.
fn assert_refusable(refusal: &Error, was: &RunState, is: &RunState) -> Result<(), TestCaseError> {
    let found = all(was, is);
    let is_erased = |value: &Option<KeyState>| value.as_ref().is_some_and(|state| state.value.is_erased());
    let is_reason = |difference: &Difference| match difference {
        Difference::Run(RunDifference::Existence { .. }) => true,
        Difference::Run(RunDifference::Status { before, after }) => !before.can_become(*after),
        Difference::Key(found) | Difference::Cell(found) => is_erased(&found.after),
        Difference::Document(found) => match &found.change {
            DocumentChange::Added(value) => value.is_erased(),
            DocumentChange::Removed(_) => false,
            DocumentChange::Changed(places) => {
                places.iter().any(|place| place.after.as_ref().is_some_and(Encoded::is_erased))
            }
        },
        Difference::EventErased(_) => true,
        Difference::Events(found) | Difference::Traces(found) => {
            found.parting != Parting::At(found.before.end) || found.before.start != found.after.start
        }
        Difference::Trace(found) => {
            found.before.ended.is_some() || found.before.body.is_erased() || found.after.body.is_erased()
        }
        Difference::Run(_) => false,
    };
    let is_closed = was.meta().is_some_and(|meta| meta.status != RunStatus::Active);
    let plain = Plain::of(is);
    let is_tail_erased = plain.events.iter().any(|event| event.3.is_erased())
        || plain.traces.iter().any(|trace| trace.body.is_erased());
    prop_assert!(
        is_closed || is_tail_erased || found.iter().any(is_reason),
        "{} without a reason in {:?}",
        refusal,
        found
    );
    Ok(())
}

#[test]
fn a_run_that_exists_differs_from_one_that_does_not_in_that_and_in_what_it_holds() {
    let mut world = World::new();
    let missing = world.state.share();
    world
        .write(vec![Operation::RunCreate { spec: Box::default() }, support::put("a", 1, Deadline::None)])
        .unwrap();
    let found = all(&missing, &world.state);
    assert_eq!(found[0], Difference::Run(RunDifference::Existence { before: false, after: true }));
    assert!(matches!(&found[1..], [Difference::Key(_)]), "{found:?}");
    assert_eq!(
        operations(&missing, &world.state, Timestamp(2_000)).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn an_entry_that_expired_between_two_states_was_removed_though_nothing_wrote_it() {
    let mut world = World::new();
    let deadline = Deadline::At(Timestamp(1_500));
    world.write(vec![Operation::RunCreate { spec: Box::default() }, support::put("a", 1, deadline)]).unwrap();
    let before = world.state.share();
    world.now = 1_500;
    world.write(vec![Operation::RunSetTags { tags: vec!["late".into()] }]).unwrap();
    let found = all(&before, &world.state);
    assert!(
        matches!(&found[..], [Difference::Run(RunDifference::Tags { .. }), Difference::Key(key)]
            if key.before.is_some() && key.after.is_none()),
        "{found:?}"
    );
    assert!(matches!(&all(&world.state, &before)[1..], [Difference::Key(key)] if key.before.is_none()));
}

#[test]
fn a_span_that_was_ended_is_told_and_ended_the_same_way() {
    let mut world = World::new();
    let call =
        TraceContent::ToolCall { name: "search".into(), arguments: Value::Null, result: None, error: None };
    let id = support::trace_id(1);
    let begin = Operation::TraceBegin { trace: Box::new(NewTrace::new(id, call)) };
    world.write(vec![Operation::RunCreate { spec: Box::default() }, begin]).unwrap();
    let before = world.state.share();
    let end = TraceEnd { result: Some(Value::Int(7)), output_tokens: Some(3), ..TraceEnd::default() };
    world.write(vec![Operation::TraceEnd { id, end: Box::new(end.clone()) }]).unwrap();
    let found = all(&before, &world.state);
    assert!(
        matches!(&found[..], [Difference::Trace(trace)] if trace.before.is_open() && !trace.after.is_open())
    );
    let operations = operations(&before, &world.state, Timestamp(1_000)).unwrap();
    assert_eq!(operations, [Operation::TraceEnd { id, end: Box::new(end) }]);
    assert_eq!(before.id(), run_id());
}

#[test]
fn events_and_traces_that_only_go_on_are_appended_and_others_are_refused() {
    let mut world = World::new();
    let record = |number: u64, is_open: bool| {
        let content = TraceContent::Thought { text: number.to_string(), confidence: Some(0.5) };
        let (parent, tags) = ((number > 1).then(|| support::trace_id(1)), vec!["tag".to_owned()]);
        let trace = Box::new(NewTrace { parent, tags, ..NewTrace::new(support::trace_id(number), content) });
        if is_open { Operation::TraceBegin { trace } } else { Operation::TraceRecord { trace } }
    };
    world
        .write(vec![Operation::RunCreate { spec: Box::default() }, support::append("a", 1), record(1, true)])
        .unwrap();
    let before = world.state.share();
    world.now += 50;
    world.write(vec![support::append("b", 2), record(2, false), record(3, true)]).unwrap();
    let after = world.state.share();
    assert!(assert_applied(before.share(), &after).unwrap());

    let mut other = World { state: before, now: world.now, log: Vec::new() };
    other.write(vec![support::append("c", 3)]).unwrap();
    let error = operations(&other.state, &after, Timestamp(2_000)).unwrap_err();
    assert_eq!(error.message(), "events part at 1, and those up to 2 cannot be taken back");
    world.write(vec![Operation::RunSetEventRetention { retention: Some(Retention::KeepLast(1)) }]).unwrap();
    let error = operations(&after, &world.state, Timestamp(2_000)).unwrap_err();
    assert_eq!(error.message(), "one state keeps its events from 0 on, the other from 1 on");
}

#[test]
fn a_span_that_ended_without_a_word_and_an_event_that_was_erased_are_told() {
    let mut world = World::new();
    let thought = TraceContent::Thought { text: "hm".into(), confidence: None };
    let id = support::trace_id(1);
    let begin = Operation::TraceBegin { trace: Box::new(NewTrace::new(id, thought)) };
    world.write(vec![Operation::RunCreate { spec: Box::default() }, begin, support::append("k", 1)]).unwrap();
    let before = world.state.share();
    world.write(vec![Operation::TraceEnd { id, end: Box::default() }]).unwrap();
    let (entity, versions) = (Box::new(EntityRef::event(run_id(), 0)), ErasedVersions::All);
    world.write(vec![Operation::RunErase { entity, versions, reason: "asked for".into() }]).unwrap();
    for after in [&world.state, &loaded(&world.state, 9)] {
        let found = all(&before, after);
        let [Difference::EventErased(event), Difference::Trace(trace)] = &found[..] else {
            panic!("{found:?} is something else")
        };
        assert_eq!(*event, ErasedEvent { sequence: 0, before: false, after: true });
        assert_eq!((trace.before.ended, &trace.before.body), (None, &trace.after.body));
    }
}

#[test]
fn documents_are_made_the_same_place_by_place() {
    let list = |items: std::ops::Range<i64>| Value::Array(items.map(Value::Int).collect());
    let members =
        |names: &[&str]| Value::Object(names.iter().map(|name| (name.to_string(), Value::Int(1))).collect());
    let values = [
        Value::from([("l", list(0..5)), ("o", members(&["a", "b", "c"]))]),
        Value::from([("l", list(0..1)), ("o", members(&["b", "new"]))]),
        Value::from([("l", list(3..90)), ("o", members(&["c", "b", "a"])), ("more", Value::Null)]),
        Value::from([("o", list(0..2)), ("l", members(&[]))]),
        Value::Float(0.5),
        Value::Array(vec![list(0..3), list(0..3)]),
    ];
    let state = |value: &Value| {
        let mut world = World::new();
        let create = Operation::JsonCreate { name: "doc".into(), value: support::encoded(value.clone()) };
        world.write(vec![Operation::RunCreate { spec: Box::default() }, create]).unwrap();
        world.state
    };
    for before in &values {
        for after in &values {
            let (before, after) = (state(before), state(after));
            assert!(assert_applied(before, &after).unwrap(), "nothing is refused");
        }
    }
}
