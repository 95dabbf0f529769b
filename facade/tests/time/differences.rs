//! What differs between views, against plain maps and lists: done to what was, it makes what is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::versions::{change_inherited, disk, file, keep_all, now, open_at};
use crate::support::{Dice, TestClock, number, one_run, options, seed};
use strata::{
    DIFF_SIZE_MAX, Database, DiffPlace, Difference, Direction, DocumentChange, Durability, EntityRef,
    ErasedVersions, ErrorKind, KvScan, Options, Parting, PlaceDifference, Reads, Retention, RunDifference,
    RunHandle, RunSpec, Trace, TraceFilter, Value, Version, View, Writes,
};
use strata_wal::sim::SimDisk;

/// What a view holds, in plain maps and lists.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    keys: BTreeMap<String, Value>,
    cells: BTreeMap<String, Value>,
    documents: BTreeMap<String, Value>,
    /// By sequence.
    events: BTreeMap<u64, (String, Value, [u8; 32])>,
    /// By place; when they were written is no difference.
    traces: BTreeMap<u64, Trace>,
    about: Vec<Value>,
}

impl Plain {
    fn of(view: &View) -> Plain {
        let (scan, filter) = (KvScan::default(), TraceFilter::default());
        let pairs = |page: strata::ValuePage| {
            page.items.into_iter().map(|(key, found)| (key, found.value)).collect::<BTreeMap<_, _>>()
        };
        let documents = view.json_list(&scan).unwrap().keys.into_iter();
        let documents =
            documents.map(|name| (name.clone(), view.json_get(&name, "").unwrap().unwrap().value)).collect();
        let events = view.events(0, 1_000, Direction::Forward).unwrap().events.into_iter();
        let events = events.map(|event| (event.sequence, (event.kind, event.payload, event.hash))).collect();
        let traces = view.trace_list(&filter, None, 1_000, Direction::Forward).unwrap().traces;
        let traces = (view.first_trace().unwrap().value..).zip(traces.into_iter().map(timeless)).collect();
        let info = view.info().unwrap();
        let tags = Value::Array(info.tags.into_iter().map(Value::from).collect());
        let kept = [info.event_retention, info.trace_retention].map(|kept| Value::from(format!("{kept:?}")));
        let parent = Value::from(format!("{:?}", info.parent));
        let about = [tags, info.metadata].into_iter().chain(kept).chain([parent]).collect();
        let (keys, cells) = (pairs(view.list_values(&scan).unwrap()), pairs(view.cell_list(&scan).unwrap()));
        Plain { keys, cells, documents, events, traces, about }
    }

    /// Does one difference, where the rest of lists is that of `after`.
    fn take(&mut self, difference: &Difference, after: &Plain) {
        match difference {
            Difference::Run(RunDifference::Tags { after: tags, .. }) => {
                self.about[0] = Value::Array(tags.iter().map(|tag| tag.as_str().into()).collect());
            }
            Difference::Run(RunDifference::Metadata { after: metadata, .. }) => {
                self.about[1] = metadata.clone();
            }
            Difference::Run(RunDifference::EventRetention { after: kept, .. }) => {
                self.about[2] = format!("{kept:?}").into();
            }
            Difference::Run(RunDifference::TraceRetention { after: kept, .. }) => {
                self.about[3] = format!("{kept:?}").into();
            }
            Difference::Run(RunDifference::Parent { after: parent, .. }) => {
                self.about[4] = format!("{parent:?}").into();
            }
            Difference::Run(other) => panic!("runs of one kind differ in {other:?}"),
            Difference::Key(found) => {
                let state = found.before.as_ref().map(|state| state.value.clone());
                assert_eq!(replace(&mut self.keys, &found.key, found.after.as_ref()), state);
            }
            Difference::Cell(found) => {
                let state = found.before.as_ref().map(|state| state.value.clone());
                assert_eq!(replace(&mut self.cells, &found.key, found.after.as_ref()), state);
            }
            Difference::Document(found) => match &found.change {
                DocumentChange::Added(value) => {
                    assert_eq!(self.documents.insert(found.name.clone(), value.clone()), None);
                }
                DocumentChange::Removed(value) => {
                    assert_eq!(self.documents.remove(&found.name).as_ref(), Some(value));
                }
                DocumentChange::Changed(places) => {
                    let document = self.documents.get_mut(&found.name).unwrap();
                    let (gone, there): (Vec<_>, Vec<_>) =
                        places.iter().partition(|place| place.after.is_none());
                    // Last items first, so that those before them keep their places.
                    there.into_iter().chain(gone.into_iter().rev()).for_each(|place| put(document, place));
                }
            },
            Difference::EventErased(event) => {
                let (held, is) =
                    (self.events.get_mut(&event.sequence).unwrap(), &after.events[&event.sequence]);
                assert_eq!((held.1 == Value::Erased, is.1 == Value::Erased), (event.before, event.after));
                *held = is.clone();
            }
            Difference::Events(found) => {
                assert_eq!(found.before, range(&self.events, found.before.end));
                assert_eq!(found.after, range(&after.events, found.after.end));
                tail(&mut self.events, &after.events, found.parting, |was, is| was.2 == is.2);
            }
            Difference::Trace(found) => {
                let held = self.traces.insert(found.place, timeless(found.after.clone()));
                assert_eq!(held, Some(timeless(found.before.clone())));
            }
            Difference::Traces(found) => {
                tail(&mut self.traces, &after.traces, found.parting, |was, is| was.id == is.id);
            }
            other => panic!("{other:?} is not known here"),
        }
    }
}

fn timeless(trace: Trace) -> Trace {
    let (recorded, version, timestamp) = Default::default();
    Trace { recorded, version, timestamp, ..trace }
}

fn replace(map: &mut BTreeMap<String, Value>, key: &str, after: Option<&strata::KeyState>) -> Option<Value> {
    match after {
        Some(state) => map.insert(key.to_string(), state.value.clone()),
        None => map.remove(key),
    }
}

fn range<T>(list: &BTreeMap<u64, T>, end: u64) -> std::ops::Range<u64> {
    list.first_key_value().map_or(end, |(first, _)| *first)..end
}

/// What follows where two lists part is that of `after`, and so is what it keeps. There they do part.
fn tail<T: Clone + PartialEq>(
    list: &mut BTreeMap<u64, T>,
    after: &BTreeMap<u64, T>,
    parting: Parting,
    is_same: impl Fn(&T, &T) -> bool,
) {
    if let Parting::At(place) = parting {
        let pair = list.get(&place).zip(after.get(&place));
        assert!(pair.is_none_or(|(was, is)| !is_same(was, is) || was != is), "they do not part at {place}");
        let front = list.range(..place).filter_map(|(place, was)| Some((was, after.get(place)?)));
        front.for_each(|(was, is)| assert!(is_same(was, is), "they part in front of {place}"));
    }
    *list = after.clone();
}

/// Sets or removes one place of a document.
fn put(document: &mut Value, place: &PlaceDifference) {
    let unescape = |token: &str| token.replace("~1", "/").replace("~0", "~");
    let mut tokens: Vec<String> = place.path.split('/').skip(1).map(unescape).collect();
    let last = tokens.pop();
    let mut held = document;
    for token in tokens {
        held = match held {
            Value::Array(items) => &mut items[token.parse::<usize>().unwrap()],
            Value::Object(members) => &mut members.iter_mut().find(|(name, _)| *name == token).unwrap().1,
            other => panic!("nothing is in {other:?}"),
        };
    }
    match (held, last, place.after.clone()) {
        (held, None, Some(value)) => *held = value,
        (Value::Array(items), Some(token), after) => {
            let index = token.parse::<usize>().unwrap();
            assert_eq!(items.get(index), place.before.as_ref());
            match after {
                Some(value) if index == items.len() => items.push(value),
                Some(value) => items[index] = value,
                None => drop(items.remove(index)),
            }
        }
        (Value::Object(members), Some(token), after) => {
            let at = members.iter().position(|(name, _)| *name == token);
            assert_eq!(at.map(|at| &members[at].1), place.before.as_ref());
            match (at, after) {
                (Some(at), Some(value)) => members[at].1 = value,
                (None, Some(value)) => members.push((token, value)),
                (Some(at), None) => drop(members.remove(at)),
                (None, None) => panic!("nothing becomes of nothing"),
            }
        }
        (held, last, after) => panic!("{last:?} of {held:?} becomes {after:?}"),
    }
}

/// All that differs, which pages of some other size come to as well.
fn all(before: &View, after: &View, dice: &mut Dice) -> Vec<Difference> {
    let page = before.diff(after, None, usize::MAX).unwrap();
    assert_eq!(page.next, None);
    assert!(page.differences.is_sorted_by(|one, next| one.place() < next.place()));
    let (limit, mut paged, mut next) = (1 + dice.below(4) as usize, Vec::new(), None);
    loop {
        let page = before.diff(after, next.as_ref(), limit).unwrap();
        assert!(page.differences.len() <= limit);
        paged.extend(page.differences);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(paged, page.differences);
    paged
}

fn assert_model(before: &View, after: &View, dice: &mut Dice) {
    let (was, is) = (Plain::of(before), Plain::of(after));
    let mut plain = was.clone();
    let differences = all(before, after, dice);
    differences.iter().for_each(|difference| plain.take(difference, &is));
    assert_eq!(plain, is, "{differences:#?}");
    let same = |found: &Difference| match found {
        Difference::Key(found) => is.keys.get(&found.key) == was.keys.get(&found.key),
        Difference::Cell(found) => is.cells.get(&found.key) == was.cells.get(&found.key),
        Difference::Document(found) => is.documents.get(&found.name) == was.documents.get(&found.name),
        _ => false,
    };
    assert!(!differences.iter().any(same), "only what differs is told: {differences:#?}");
}

fn views(run: &RunHandle, dice: &mut Dice) -> [View; 2] {
    [(); 2].map(|()| {
        let version = 1 + dice.below(run.info().unwrap().version.0);
        run.at(Version(version)).unwrap().detach().unwrap()
    })
}

/// Between versions of one run, a run and its forks, and runs of two stores; while they are in memory, and after reopening.
#[test]
fn what_differs_done_to_what_was_makes_what_is() {
    let first = seed();
    for round in 0..number("STRATA_ROUNDS", 4) {
        let mut dice = Dice::new(first + round);
        println!("round {round}: STRATA_SEED={} STRATA_ROUNDS=1", first + round);
        let disk = disk(dice.roll());
        let options = Options { memory_budget: 1 << 30, ..keep_all(1) };
        let mut database = open_at(&disk, "store", options.clone());
        let spec = RunSpec { event_retention: Some(Retention::KeepAll), ..RunSpec::default() };
        let run = database.create_run(spec).unwrap();
        let mut runs = vec![run.id()];
        for step in 0..120 {
            let run = database.run(runs[dice.below(runs.len() as u64) as usize]);
            change_inherited(&run, &mut dice);
            if step % 30 == 29 {
                runs.push(run.fork().unwrap().id());
            }
            if step % 9 == 0 {
                let [one, other] = [(); 2].map(|()| {
                    let run = database.run(runs[dice.below(runs.len() as u64) as usize]);
                    run.snapshot().unwrap().detach().unwrap()
                });
                assert_model(&one, &other, &mut dice);
                let [one, other] = views(&run, &mut dice);
                assert_model(&one, &other, &mut dice);
            }
            if step == 80 {
                database.close().unwrap();
                database = open_at(&disk, "store", options.clone());
            }
        }
        let run = database.run(runs[0]);
        run.export(file("run.arc")).unwrap();
        let elsewhere = open_at(&disk, "elsewhere", options);
        let imported = elsewhere.import(file("run.arc")).unwrap();
        let here = run.snapshot().unwrap().detach().unwrap();
        let there = imported.snapshot().unwrap().detach().unwrap();
        assert_eq!(all(&here, &there, &mut dice), [], "nothing differs in what was imported");
        let [_, past] = views(&imported, &mut dice);
        assert_model(&here, &past, &mut dice);
    }
}

#[test]
fn what_expired_between_two_views_was_removed_though_nothing_wrote_it() {
    let clock = TestClock::at(1_000_000);
    let options = options(Durability::InMemory, 1);
    let database = Database::start(None, options, clock.clock(), None).unwrap();
    let run = database.create_run(RunSpec::named("run")).unwrap();
    run.put_with_ttl("key", 1, Duration::from_secs(1)).unwrap();
    let before = run.snapshot().unwrap().detach().unwrap();
    clock.advance(Duration::from_secs(2));
    run.put("other", 1).unwrap();
    let after = run.snapshot().unwrap().detach().unwrap();
    let page = before.diff(&after, None, 10).unwrap();
    let [Difference::Key(key), Difference::Key(other)] = &page.differences[..] else {
        panic!("two keys differ: {page:?}");
    };
    assert_eq!((key.key.as_str(), key.after.is_none(), other.before.is_none()), ("key", true, true));
    assert_eq!(key.before.as_ref().unwrap().deadline, Some(strata::Timestamp(2_000_000)));
}

#[test]
fn what_is_erased_differs_from_what_it_was_and_shows_nothing_of_it() {
    let (_database, run) = one_run();
    run.put("key", "secret").unwrap();
    run.append("kind", "secret").unwrap();
    run.json_create("document", Value::from([("a", "secret".into())])).unwrap();
    let before = run.snapshot().unwrap().detach().unwrap();
    let id = run.id();
    for entity in [EntityRef::kv(id, "key"), EntityRef::event(id, 0), EntityRef::json(id, "document")] {
        run.erase(&entity, ErasedVersions::All, "asked to").unwrap().unwrap();
    }
    let after = run.snapshot().unwrap().detach().unwrap();
    let page = before.diff(&after, None, 10).unwrap();
    let [Difference::Key(key), Difference::Document(document), Difference::EventErased(event)] =
        &page.differences[..]
    else {
        panic!("three things differ: {page:?}");
    };
    assert_eq!(key.after.as_ref().unwrap().value, Value::Erased);
    let DocumentChange::Changed(places) = &document.change else { panic!("it is still there") };
    assert_eq!((places[0].path.as_str(), places[0].after.as_ref()), ("", Some(&Value::Erased)));
    assert!(event.after && !event.before);
    assert_eq!(after.diff(&after, None, 10).unwrap().differences, []);
}

#[test]
fn a_page_ends_where_its_values_come_to_what_a_page_may_tell() {
    let (_database, run) = one_run();
    let before = run.snapshot().unwrap().detach().unwrap();
    let value: Arc<str> = "x".repeat(DIFF_SIZE_MAX / 3).into();
    for number in 0..7 {
        run.put(&format!("key/{number}"), &*value).unwrap();
    }
    let after = run.snapshot().unwrap().detach().unwrap();
    let (mut counts, mut next) = (Vec::new(), None);
    loop {
        let page = before.diff(&after, next.as_ref(), 100).unwrap();
        counts.push(page.differences.len());
        let Some(place) = page.next else { break };
        assert_eq!(Some(&place), page.differences.last().map(Difference::place).as_ref());
        next = Some(place);
    }
    assert_eq!(counts, [3, 3, 1]);
    let behind = DiffPlace::Key("key/6".into());
    assert_eq!(before.diff(&after, Some(&behind), 100).unwrap().differences, []);
}

/// A store with one run, and a copy of it as it stands then.
fn with_copy(disk: &SimDisk) -> (Database, RunHandle) {
    let database = open_at(disk, "store", options(Durability::Buffered, 1));
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    run.put("base", 1).unwrap();
    database.backup(file("copy")).unwrap();
    (database, run)
}

#[track_caller]
fn assert_key_differs(before: &View, after: &View) {
    assert_ne!(before.get("key").unwrap().unwrap().value, after.get("key").unwrap().unwrap().value);
    for (before, after) in [(before, after), (after, before)] {
        let found = before.diff(after, None, 100).unwrap().differences;
        let is_key = |found: &Difference| matches!(found, Difference::Key(found) if found.key == "key");
        assert!(found.iter().any(is_key), "{} found", found.len());
    }
}

const LARGE: usize = 100 << 10;

/// Their commits have the same numbers; one value is in memory, the other on disk.
#[test]
fn what_was_written_differently_in_a_store_and_in_its_copy_differs() {
    let disk = disk(1);
    let (_database, run) = with_copy(&disk);
    let open_copy = || open_at(&disk, "copy", options(Durability::Buffered, 1));
    let copy = open_copy();
    run.put("key", "a".repeat(LARGE)).unwrap();
    copy.run(run.id()).put("key", "b".repeat(LARGE)).unwrap();
    copy.close().unwrap();
    let copy = open_copy();
    copy.checkpoint().unwrap();
    copy.close().unwrap();
    let copy = open_copy();
    assert_key_differs(&now(&run), &now(&copy.run(run.id())));
}

/// A life ends, and one of the same run that went on elsewhere is imported in its place.
#[test]
fn what_was_written_differently_before_an_import_differs() {
    let disk = disk(1);
    let (database, run) = with_copy(&disk);
    let copy = open_at(&disk, "copy", options(Durability::Buffered, 1));
    let copied = copy.run(run.id());
    copied.put("key", "b".repeat(LARGE)).unwrap();
    copied.export(file("run.arc")).unwrap();
    run.put("key", "a".repeat(LARGE)).unwrap();
    let before = now(&run);
    run.delete_run().unwrap();
    database.import(file("run.arc")).unwrap();
    database.close().unwrap();
    let database = open_at(&disk, "store", options(Durability::Buffered, 1));
    assert_key_differs(&before, &now(&database.run(run.id())));
}

#[test]
fn what_a_namesake_of_its_parent_wrote_differs_from_what_an_imported_fork_has() {
    let disk = disk(1);
    let store = open_at(&disk, "store", options(Durability::Buffered, 1));
    let run = store.begin_run(RunSpec::named("run")).unwrap();
    run.put("key", "a".repeat(LARGE)).unwrap();
    let fork = run.fork().unwrap();
    fork.export(file("fork.arc")).unwrap();
    let open_other = || open_at(&disk, "other", options(Durability::Buffered, 1));
    let other = open_other();
    let namesake = other.begin_run(RunSpec::named("run")).unwrap();
    namesake.put("key", "b".repeat(LARGE)).unwrap();
    other.import(file("fork.arc")).unwrap();
    let in_memory = now(&namesake);
    other.checkpoint().unwrap();
    other.close().unwrap();
    let other = open_other();
    let on_disk = now(&other.run(namesake.id()));
    let imported = now(&other.run(fork.id()));
    assert_key_differs(&in_memory, &imported);
    assert_key_differs(&on_disk, &imported);
}

/// In a store that is only read nothing is deleted: a key has expired behind the last commit.
#[test]
fn a_difference_tells_of_keys_what_both_views_tell_of_them() {
    let disk = disk(1);
    let clock = TestClock::at(1_000_000_000);
    let storage = || Some(Arc::new(disk.clone()) as _);
    let options = || options(Durability::Buffered, 1);
    let database = Database::start(Some(file("store")), options(), clock.clock(), storage()).unwrap();
    let run = database.begin_run(RunSpec::named("run")).unwrap();
    let version = run.put_with_ttl("key", 1, Duration::from_secs(10)).unwrap().version;
    database.close().unwrap();
    clock.advance(Duration::from_secs(100));
    let reader = Database::start_to_read(file("store"), options(), clock.clock(), storage()).unwrap();
    let run = reader.run(run.id());
    let before = run.at(Version(version.0 - 1)).unwrap().detach().unwrap();
    let after = now(&run);
    assert_eq!([&before, &after].map(|view| view.get("key").unwrap()), [None, None], "it is in neither");
    assert_eq!(before.diff(&after, None, 100).unwrap().differences, []);
    assert_eq!(after.diff(&before, None, 100).unwrap().differences, []);
}

#[test]
fn a_page_of_no_differences_is_refused() {
    let (_database, run) = one_run();
    let view = now(&run);
    let error = view.diff(&view, None, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
