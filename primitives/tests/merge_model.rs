//! What two random histories have done to a third, against plain maps and lists; and what is merged and reverted.
mod support;

use proptest::prelude::*;
use proptest::strategy::Strategy;
use std::collections::{BTreeMap, BTreeSet};
use strata_primitives::diff::*;
use strata_primitives::merge::*;
use strata_primitives::*;
use support::history::{Change, Step, history};
use support::world::{World, entries_of, loaded};

type Held = (Encoded, Option<Timestamp>);

/// What a state holds for a reader at a time, without versions.
#[derive(Debug, Default, Clone, PartialEq)]
struct Plain {
    keys: BTreeMap<Key, Held>,
    cells: BTreeMap<Key, Held>,
    documents: BTreeMap<Key, Value>,
    /// Of each event its salt, type and payload.
    events: Vec<([u8; 16], Key, Encoded)>,
    /// Of each trace its id, parent, whether it is open, and its content.
    traces: Vec<(TraceId, Option<TraceId>, bool, Encoded)>,
}

impl Plain {
    fn of(state: &RunState, now: Timestamp) -> Self {
        let mut plain = Self::default();
        let is_there = |deadline: Option<Timestamp>| deadline.is_none_or(|deadline| deadline > now);
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
                    let value = document.get(&Pointer::root()).unwrap().value.to_value().unwrap();
                    plain.documents.insert(name, sorted(value));
                }
                ImageEntry::Event { salt, kind, payload, .. } => plain.events.push((salt, kind, payload)),
                ImageEntry::Trace { trace } => {
                    plain.traces.push((trace.id, trace.parent, trace.is_open(), trace.body.clone()));
                }
                _ => {}
            }
        }
        plain
    }
}

/// The same value, with the members of objects in order of their names.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        value => value,
    }
}

/// A base, and two runs that go on from it.
struct Trio {
    base: RunState,
    ours: World,
    theirs: World,
    now: Timestamp,
}

const OURS: u8 = 1;
const THEIRS: u8 = 2;

impl Trio {
    /// Of these histories; events of each side have salts of their own. Theirs is a fork, or a second copy of the run.
    fn of(base: &[Step], ours: &[Step], theirs: &[Step], is_fork: bool) -> Self {
        let mut world = World::new();
        world.write(vec![Operation::RunCreate { spec: Box::default() }]).unwrap();
        take(&mut world, base, 0);
        let shared = world.state.share();
        let copy = World { state: world.state.share(), now: world.now, log: Vec::new() };
        let mut theirs_world = match is_fork {
            true => world.fork(RunId::from_bytes([8; 16])).unwrap_or(copy),
            false => copy,
        };
        take(&mut world, ours, OURS);
        take(&mut theirs_world, theirs, THEIRS);
        let now = Timestamp(world.now.max(theirs_world.now));
        Self { base: shared, ours: world, theirs: theirs_world, now }
    }

    fn plan(&self, strategies: Strategies) -> Result<MergePlan, Error> {
        plan(&self.base, self.seen(&self.ours.state), &self.theirs.state, strategies)
    }

    /// As it is seen when both have come to where they are.
    fn seen<'a>(&self, state: &'a RunState) -> Seen<'a> {
        Seen { state, now: self.now }
    }

    fn plains(&self) -> [Plain; 3] {
        [&self.base, &self.ours.state, &self.theirs.state].map(|state| Plain::of(state, self.now))
    }

    /// What ours holds after a merge.
    fn merged(&mut self, plan: &MergePlan) -> Plain {
        self.ours.now = self.now.0;
        self.ours.write(plan.operations.clone()).expect("what is planned can be done");
        Plain::of(&self.ours.state, self.now)
    }
}

/// Applies a history, whose runs neither end nor stop, with salts that no other side has.
fn take(world: &mut World, history: &[Step], side: u8) {
    for (number, step) in history.iter().enumerate() {
        let Step::Commit { pause, steps } = step else { continue };
        world.now += pause;
        for (place, change) in steps.iter().enumerate() {
            let is_left_out = matches!(
                change,
                Change::DeleteRun
                    | Change::Recreate
                    | Change::Pause
                    | Change::Begin
                    | Change::Expire
                    | Change::KeepEvents { .. }
                    | Change::KeepTraces { .. }
            );
            if is_left_out {
                continue;
            }
            for mut operation in change.operations(world.now) {
                if let Operation::EventAppend { salt, .. } = &mut operation {
                    (salt[0], salt[1], salt[2]) = (side, number as u8, place as u8);
                }
                // Both sides record traces of their own.
                if let (Operation::TraceRecord { trace } | Operation::TraceBegin { trace }, 1..) =
                    (&mut operation, side)
                {
                    let mut bytes = *trace.id.as_bytes();
                    bytes[0] = side;
                    trace.id = TraceId::from_bytes(bytes);
                }
                let _ = world.write(vec![operation]);
            }
        }
    }
}

/// What a key becomes, or that both sides want it to become something else.
fn merge_held<'a, T: PartialEq>(
    base: Option<&'a T>,
    ours: Option<&'a T>,
    theirs: Option<&'a T>,
) -> Result<Option<&'a T>, ()> {
    match () {
        () if theirs == base || ours == theirs => Ok(ours),
        () if ours == base => Ok(theirs),
        () => Err(()),
    }
}

/// What a value becomes; `Err` where both sides have changed one place of it.
fn merge_value(
    base: Option<&Value>,
    ours: Option<&Value>,
    theirs: Option<&Value>,
) -> Result<Option<Value>, ()> {
    if let Ok(merged) = merge_held(base, ours, theirs) {
        return Ok(merged.cloned());
    }
    match (base, ours, theirs) {
        (Some(Value::Object(base)), Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let names: BTreeSet<&String> = [base, ours, theirs]
                .into_iter()
                .flat_map(|members| members.iter().map(|(name, _)| name))
                .collect();
            let of = |members: &'_ [(String, Value)], name: &str| {
                members.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
            };
            let mut merged = Vec::new();
            for name in names {
                let [base, ours, theirs] = [base, ours, theirs].map(|members| of(members, name));
                let value = merge_value(base.as_ref(), ours.as_ref(), theirs.as_ref())?;
                merged.extend(value.map(|value| (name.clone(), value)));
            }
            Ok(Some(Value::Object(merged)))
        }
        (Some(Value::Array(base)), Some(Value::Array(ours)), Some(Value::Array(theirs)))
            if base.len() == ours.len() && base.len() == theirs.len() =>
        {
            let items = (0..base.len()).map(|index| {
                let merged = merge_value(base.get(index), ours.get(index), theirs.get(index))?;
                Ok(merged.expect("an item stays"))
            });
            Ok(Some(Value::Array(items.collect::<Result<_, ()>>()?)))
        }
        _ => Err(()),
    }
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategies> {
    let one = || {
        proptest::sample::select(vec![merge::Strategy::Fail, merge::Strategy::Ours, merge::Strategy::Theirs])
    };
    let entries =
        || proptest::sample::select(vec![EntryStrategy::Fail, EntryStrategy::Ours, EntryStrategy::Append]);
    (one(), one(), one(), entries(), entries()).prop_map(|(keys, cells, documents, events, traces)| {
        Strategies { keys, cells, documents, events, traces }
    })
}

const OF_OURS: Strategies = Strategies {
    keys: merge::Strategy::Ours,
    cells: merge::Strategy::Ours,
    documents: merge::Strategy::Ours,
    events: EntryStrategy::Append,
    traces: EntryStrategy::Ours,
};

fn assert_keys(
    [base, ours, theirs]: [&BTreeMap<Key, Held>; 3],
    merged: &BTreeMap<Key, Held>,
    contested: &BTreeSet<Key>,
    strategy: merge::Strategy,
) -> Result<(), TestCaseError> {
    let names: BTreeSet<_> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
    for name in names {
        let found = merge_held(base.get(name), ours.get(name), theirs.get(name));
        prop_assert_eq!(found.is_err(), contested.contains(name), "{}", name);
        let expected = found.unwrap_or_else(|()| match strategy {
            merge::Strategy::Theirs => theirs.get(name),
            _ => ours.get(name),
        });
        prop_assert_eq!(merged.get(name), expected, "{}", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_merged_is_what_plain_maps_and_lists_say(
        base in history(),
        ours in history(),
        theirs in history(),
        is_fork in any::<bool>(),
        strategies in strategies(),
    ) {
        let mut trio = Trio::of(&base, &ours, &theirs, is_fork);
        let [base, ours, theirs] = trio.plains();
        let found = trio.plan(strategies).unwrap();
        prop_assert!(found.changes.is_sorted());
        // Whatever is to become of conflicts, they are the same.
        let conflicts: Vec<_> = found.conflicts.iter().map(|conflict| conflict.conflict.clone()).collect();
        let other = trio.plan(OF_OURS).unwrap();
        let others: Vec<_> = other.conflicts.iter().map(|conflict| conflict.conflict.clone()).collect();
        prop_assert_eq!(&conflicts, &others);
        if found.is_open() {
            prop_assert!(found.operations.is_empty() && found.changes.is_empty());
            return Ok(());
        }
        let merged = trio.merged(&found);
        let of = |kind: fn(&Conflict) -> Option<&Key>| conflicts.iter().filter_map(kind).cloned().collect();
        let contested: BTreeSet<Key> = of(|conflict| match conflict {
            Conflict::Key(found) => Some(&found.key),
            _ => None,
        });
        assert_keys([&base.keys, &ours.keys, &theirs.keys], &merged.keys, &contested, strategies.keys)?;
        let contested: BTreeSet<Key> = of(|conflict| match conflict {
            Conflict::Cell(found) => Some(&found.key),
            _ => None,
        });
        assert_keys([&base.cells, &ours.cells, &theirs.cells], &merged.cells, &contested, strategies.cells)?;
        assert_documents([&base, &ours, &theirs], &merged, &conflicts, strategies.documents)?;
        let new = |side: u8| move |event: &&([u8; 16], Key, Encoded)| event.0[0] == side;
        let (own, other) = (ours.events.iter().filter(new(OURS)), theirs.events.iter().filter(new(THEIRS)));
        let has_conflict = own.clone().count() > 0 && other.clone().count() > 0;
        prop_assert_eq!(has_conflict, conflicts.iter().any(|conflict| matches!(conflict, Conflict::Events(_))));
        let appended = match has_conflict && strategies.events == EntryStrategy::Ours {
            true => 0,
            false => usize::MAX,
        };
        let expected: Vec<_> = ours.events.iter().chain(other.take(appended)).cloned().collect();
        prop_assert_eq!(&merged.events, &expected);
        let is_new = |side: u8| move |trace: &&(TraceId, Option<TraceId>, bool, Encoded)| trace.0.as_bytes()[0] == side;
        let (own, other) = (ours.traces.iter().filter(is_new(OURS)), theirs.traces.iter().filter(is_new(THEIRS)));
        let has_conflict = own.count() > 0 && other.clone().count() > 0;
        prop_assert_eq!(has_conflict, conflicts.iter().any(|conflict| matches!(conflict, Conflict::Traces(_))));
        let appended = match has_conflict && strategies.traces == EntryStrategy::Ours {
            true => 0,
            false => usize::MAX,
        };
        let mut expected: Vec<_> = ours.traces.iter().chain(other.take(appended)).cloned().collect();
        for trace in &mut expected {
            // What was open in the base has ended where one of both has ended it.
            let ended = theirs.traces.iter().find(|(id, .., is_open, _)| *id == trace.0 && !is_open);
            if let (true, Some(ended)) = (trace.2, ended) {
                *trace = ended.clone();
            }
        }
        prop_assert_eq!(&merged.traces, &expected);
    }

    #[test]
    fn what_was_merged_is_not_merged_twice(
        base in history(),
        ours in history(),
        theirs in history(),
        more in history(),
        is_fork in any::<bool>(),
    ) {
        let strategies = Strategies {
            keys: merge::Strategy::Theirs,
            cells: merge::Strategy::Theirs,
            documents: merge::Strategy::Theirs,
            events: EntryStrategy::Append,
            traces: EntryStrategy::Append,
        };
        let mut trio = Trio::of(&base, &ours, &theirs, is_fork);
        let found = trio.plan(strategies).unwrap();
        prop_assume!(!found.is_open());
        trio.merged(&found);
        let again = trio.plan(strategies).unwrap();
        prop_assert_eq!((&again.operations[..], &again.changes[..]), (&[][..], &[][..]));
        // What theirs does from there on is all that a merge from there takes over.
        let merged = trio.theirs.state.share();
        take(&mut trio.theirs, &more, THEIRS + 1);
        trio.base = merged;
        trio.now = Timestamp(trio.now.0.max(trio.theirs.now));
        let found = trio.plan(strategies).unwrap();
        prop_assume!(!found.is_open());
        let before = trio.plains();
        let after = trio.merged(&found);
        let has = |plain: &Plain, side: u8| plain.events.iter().any(|event| event.0[0] == side);
        let is_conflict = found.conflicts.iter().any(|found| matches!(found.conflict, Conflict::Events(_)));
        prop_assert_eq!(is_conflict, has(&before[1], OURS) && has(&before[2], THEIRS + 1));
        let mut salts: Vec<_> = after.events.iter().map(|event| event.0).collect();
        prop_assert_eq!(after.events.len(), before[1].events.len() + before[2].events.len() - before[0].events.len());
        salts.sort_unstable();
        salts.dedup();
        prop_assert_eq!(salts.len(), after.events.len());
        for (name, held) in &before[2].keys {
            prop_assert!(before[0].keys.get(name) == Some(held) || after.keys.get(name) == Some(held));
        }
    }

    #[test]
    fn a_run_that_nobody_changed_becomes_what_the_other_is(base in history(), theirs in history(), is_fork in any::<bool>()) {
        let mut trio = Trio::of(&base, &[], &theirs, is_fork);
        let found = trio.plan(Strategies::default()).unwrap();
        prop_assert_eq!(&found.conflicts, &[]);
        let [.., theirs] = trio.plains();
        let merged = trio.merged(&found);
        prop_assert_eq!(merged, theirs);
        let back = plan(&trio.base, &trio.theirs.state, &trio.base, Strategies::default()).unwrap();
        prop_assert_eq!(back.operations, []);
    }

    #[test]
    fn what_differs_on_both_sides_is_told_page_by_page(
        base in history(),
        ours in history(),
        theirs in history(),
        limit in 1..5_usize,
    ) {
        let trio = Trio::of(&base, &ours, &theirs, true);
        let (ours, theirs) = (&trio.ours.state, &trio.theirs.state);
        let all = three_way(trio.seen(&trio.base), trio.seen(ours), trio.seen(theirs), None, usize::MAX).unwrap();
        prop_assert_eq!(&all.next, &None);
        prop_assert!(all.differences.is_sorted_by(|one, next| one.place() < next.place()));
        let of = |state| diff(trio.seen(&trio.base), trio.seen(state), None, usize::MAX).unwrap().differences;
        let [own, other] = [ours, theirs].map(of);
        prop_assert_eq!(all.differences.iter().filter_map(|found| found.ours.clone()).collect::<Vec<_>>(), own);
        prop_assert_eq!(all.differences.iter().filter_map(|found| found.theirs.clone()).collect::<Vec<_>>(), other);
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let page = three_way(trio.seen(&trio.base), trio.seen(ours), trio.seen(theirs), next.as_ref(), limit).unwrap();
            prop_assert!(page.differences.len() <= limit);
            found.extend(page.differences);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        prop_assert_eq!(&found, &all.differences);
        // What nothing is shared with is told in the same way.
        let alone = [&trio.base, ours, theirs].map(|state| loaded(state, 9));
        let alone = three_way(trio.seen(&alone[0]), trio.seen(&alone[1]), trio.seen(&alone[2]), None, usize::MAX).unwrap();
        prop_assert_eq!(&alone.differences, &all.differences);
    }

    #[test]
    fn a_run_that_is_reverted_holds_again_what_it_held(before in history(), after in history(), only in any::<u8>()) {
        let mut trio = Trio::of(&before, &after, &[], false);
        let whole = trio.ours.state.share();
        let operations = revert(trio.seen(&whole), &trio.base, None).unwrap();
        trio.ours.now = trio.now.0;
        trio.ours.write(operations).unwrap();
        let [was, is, _] = trio.plains();
        let plain = Plain::of(&whole, trio.now);
        prop_assert_eq!((&is.keys, &is.cells, &is.documents), (&was.keys, &was.cells, &was.documents));
        prop_assert_eq!((&is.events, &is.traces), (&plain.events, &plain.traces));
        prop_assert_eq!(&trio.ours.state.meta().unwrap().tags, &trio.base.meta().unwrap().tags);
        // Of one thing alone.
        let key = Key::from(support::history::name(only % 6));
        let mut world = World { state: whole, now: trio.now.0, log: Vec::new() };
        let entity = EntityRef::kv(world.state.id(), key.clone());
        let operations = revert(trio.seen(&world.state), &trio.base, Some(&entity)).unwrap();
        world.write(operations).unwrap();
        let one = Plain::of(&world.state, trio.now);
        prop_assert_eq!(one.keys.get(&key), was.keys.get(&key));
        let mut expected = plain;
        match was.keys.get(&key) {
            Some(held) => drop(expected.keys.insert(key, held.clone())),
            None => drop(expected.keys.remove(&key)),
        }
        prop_assert_eq!(one, expected);
    }
}

fn assert_documents(
    [base, ours, theirs]: [&Plain; 3],
    merged: &Plain,
    conflicts: &[Conflict],
    strategy: merge::Strategy,
) -> Result<(), TestCaseError> {
    let mut names: BTreeSet<_> = base.documents.keys().chain(ours.documents.keys()).collect();
    names.extend(theirs.documents.keys());
    for name in names {
        let [base, ours, theirs] = [base, ours, theirs].map(|plain| plain.documents.get(name));
        let places = || {
            conflicts.iter().filter_map(|conflict| match conflict {
                Conflict::Place(found) if found.name == *name => Some(found),
                _ => None,
            })
        };
        let merged = merged.documents.get(name);
        match merge_value(base, ours, theirs) {
            Ok(value) if places().next().is_none() => prop_assert_eq!(merged, value.as_ref(), "{}", name),
            // A new object whose members stand in another order is another object, which plain maps do not know.
            Ok(_) => prop_assert!(places().all(differs_in_order), "{} is a conflict", name),
            Err(()) => prop_assert!(places().next().is_some(), "{} is no conflict", name),
        }
        for found in places() {
            let held = [&found.base, &found.ours, &found.theirs];
            prop_assert!(held[0] != held[1] && held[0] != held[2] && held[1] != held[2], "{:?}", found);
            let expected = if strategy == merge::Strategy::Theirs { &found.theirs } else { &found.ours };
            let expected = expected.as_ref().map(|value| sorted(value.to_value().unwrap()));
            let at = merged.and_then(|value| at(value, &found.path));
            prop_assert_eq!(at, expected.as_ref(), "{:?}", found);
        }
    }
    Ok(())
}

/// Whether two of the three differ in the order of members alone.
fn differs_in_order(conflict: &PlaceConflict) -> bool {
    let [base, ours, theirs] = [&conflict.base, &conflict.ours, &conflict.theirs]
        .map(|value| value.as_ref().map(|value| sorted(value.to_value().unwrap())));
    base == ours || base == theirs || ours == theirs
}

/// What is at a place of a value.
fn at<'a>(value: &'a Value, path: &Pointer) -> Option<&'a Value> {
    path.tokens().try_fold(value, |value, token| match value {
        Value::Object(members) => members.iter().find(|(name, _)| *name == token).map(|(_, value)| value),
        Value::Array(items) => items.get(token.parse::<usize>().ok()?),
        _ => None,
    })
}

#[test]
fn a_page_that_ends_early_on_one_side_ends_there_on_both() {
    let mut world = World::new();
    world.write(vec![Operation::RunCreate { spec: Box::default() }]).unwrap();
    let base = world.state.share();
    let mut other = World { state: world.state.share(), now: world.now, log: Vec::new() };
    for number in 0..40 {
        let large = Value::Bytes(vec![number; 1 << 20]);
        let put = |value| Operation::KvPut {
            key: format!("{number:02}").into(),
            value: support::encoded(value),
            deadline: Deadline::None,
        };
        world.write(vec![put(large)]).unwrap();
        other.write(vec![put(Value::Int(number.into()))]).unwrap();
    }
    let (mut places, mut next, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = three_way(&base, &world.state, &other.state, next.as_ref(), 1_000).unwrap();
        assert!(page.differences.iter().all(|found| found.ours.is_some() && found.theirs.is_some()));
        places.extend(page.differences.iter().map(|found| found.place()));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..40).map(|number| DiffPlace::Key(format!("{number:02}").into())).collect();
    assert_eq!((places, pages), (expected, 3));
}
