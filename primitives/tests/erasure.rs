//! Erasures among other commits, against a plain model with versions: live, in every older version, through images and records.
mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use strata_primitives::json::Pointer;
use strata_primitives::*;
use support::{encoded, run_id};

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    MoveDeadline(u8, bool),
    Delete(u8),
    Cell(u8),
    Append,
    KeepEvents(u64),
    Document(u8),
    Member(u8, u8),
    Destroy(u8),
    Erase(Thing, Which),
    Recreate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Key(u8),
    Cell(u8),
    Event(u8),
    Document(u8),
}

#[derive(Debug, Clone, Copy)]
enum Which {
    All,
    At(u8),
    Through(u8),
}

/// What stands there: its payload unless that is erased, the commits that wrote it, and the last of all.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    payload: Option<String>,
    written: BTreeSet<u64>,
    stamp: u64,
}

type Plain = BTreeMap<Thing, Held>;

fn step() -> impl Strategy<Value = Step> {
    let thing = prop_oneof![
        (0..2u8).prop_map(Thing::Key),
        (0..2u8).prop_map(Thing::Cell),
        (0..6u8).prop_map(Thing::Event),
        (0..2u8).prop_map(Thing::Document),
    ];
    let which = prop_oneof![
        2 => Just(Which::All),
        2 => any::<u8>().prop_map(Which::At),
        1 => any::<u8>().prop_map(Which::Through),
    ];
    prop_oneof![
        4 => (0..2u8).prop_map(Step::Put),
        3 => (0..2u8, any::<bool>()).prop_map(|(key, clears)| Step::MoveDeadline(key, clears)),
        1 => (0..2u8).prop_map(Step::Delete),
        2 => (0..2u8).prop_map(Step::Cell),
        3 => Just(Step::Append),
        1 => (1..4u64).prop_map(Step::KeepEvents),
        2 => (0..2u8).prop_map(Step::Document),
        2 => (0..2u8, 0..3u8).prop_map(|(name, member)| Step::Member(name, member)),
        1 => (0..2u8).prop_map(Step::Destroy),
        4 => (thing, which).prop_map(|(thing, which)| Step::Erase(thing, which)),
        1 => Just(Step::Recreate),
    ]
}

struct World {
    state: RunState,
    /// Every commit with its mutations, and the plain run behind it.
    commits: Vec<(Stamp, Vec<Mutation>, Plain)>,
    plain: Plain,
    payloads: u32,
    /// The commit that created the run.
    created: u64,
}

fn name(number: u8) -> Key {
    format!("n{number}").into()
}

fn entity(thing: Thing) -> EntityRef {
    match thing {
        Thing::Key(number) => EntityRef::kv(run_id(), name(number)),
        Thing::Cell(number) => EntityRef::cell(run_id(), name(number)),
        Thing::Event(sequence) => EntityRef::event(run_id(), sequence.into()),
        Thing::Document(number) => EntityRef::json(run_id(), name(number)),
    }
}

impl World {
    fn new() -> World {
        let (state, commits) = (RunState::new(run_id(), 7), Vec::new());
        let mut world = World { state, commits, plain: Plain::new(), payloads: 0, created: 1 };
        world.commit(Operation::RunCreate { spec: Box::default() }).unwrap().unwrap();
        world
    }

    /// The number of the commit, if there was one; the plain run behind it is still the one before.
    fn commit(&mut self, operation: Operation) -> Result<Option<u64>, Error> {
        let version = self.state.version().next();
        let stamp = Stamp { version, timestamp: Timestamp(1_000 + version.0) };
        let mut draft = Draft::new(self.state.view());
        let context = Context { now: stamp.timestamp, boot: 1 };
        validate(operation, &mut draft, &context, &Limits::default())?;
        trim_entries(&mut draft, &context, &EntryRetention::default());
        let mutations = draft.into_mutations();
        if mutations.is_empty() {
            return Ok(None);
        }
        for mutation in &mutations {
            let mut bytes = Vec::new();
            mutation.encode(&mut bytes);
            assert_eq!(Mutation::decode(&mut &bytes[..]).as_ref(), Ok(mutation));
            assert_eq!(mutation.encoded_size(), bytes.len());
            assert_eq!(self.state.check(mutation), Ok(()));
            drop(self.state.apply(mutation.clone(), stamp));
        }
        self.state.commit(stamp);
        for mutation in &mutations {
            if let Mutation::EventTrim { before } = mutation {
                let is_kept = |thing: &Thing| !matches!(thing, Thing::Event(sequence) if u64::from(*sequence) < *before);
                self.plain.retain(|thing, _| is_kept(thing));
            }
        }
        self.commits.push((stamp, mutations, Plain::new()));
        Ok(Some(version.0))
    }

    fn payload(&mut self) -> String {
        self.payloads += 1;
        format!("payload-{:06}", self.payloads)
    }

    fn take(&mut self, step: &Step) {
        let payload = self.payload();
        let value = || encoded(payload.as_str());
        let write = |plain: &mut Plain, thing, version: u64| {
            let (payload, written) = (Some(payload.clone()), BTreeSet::from([version]));
            plain.insert(thing, Held { payload, written, stamp: version });
        };
        match *step {
            Step::Put(key) => {
                let operation = Operation::KvPut { key: name(key), value: value(), deadline: Deadline::None };
                let version = self.commit(operation).unwrap().unwrap();
                write(&mut self.plain, Thing::Key(key), version);
            }
            Step::MoveDeadline(key, clears) => {
                let deadline = Deadline::At(Timestamp(1 << 40));
                let operation = match clears {
                    true => Operation::KvClearDeadline { key: name(key) },
                    false => Operation::KvSetDeadline { key: name(key), deadline },
                };
                if let (Some(version), Some(held)) =
                    (self.commit(operation).unwrap(), self.plain.get_mut(&Thing::Key(key)))
                {
                    held.stamp = version;
                }
            }
            Step::Delete(key) => {
                self.commit(Operation::KvDelete { key: name(key) }).unwrap();
                self.plain.remove(&Thing::Key(key));
            }
            Step::Cell(cell) => {
                let operation =
                    Operation::CellSet { name: name(cell), value: value(), deadline: Deadline::None };
                let version = self.commit(operation).unwrap().unwrap();
                write(&mut self.plain, Thing::Cell(cell), version);
            }
            Step::Append => {
                let sequence = self.state.event_count() as u8;
                let operation =
                    Operation::EventAppend { kind: "k".into(), payload: value(), salt: [sequence; 16] };
                let version = self.commit(operation).unwrap().unwrap();
                write(&mut self.plain, Thing::Event(sequence), version);
            }
            Step::KeepEvents(count) => {
                let retention = Some(Retention::KeepLast(count));
                self.commit(Operation::RunSetEventRetention { retention }).unwrap().unwrap();
            }
            Step::Document(number) => {
                let value = encoded(Value::from([("m0", Value::from(payload.as_str()))]));
                let operation = Operation::JsonSet { name: name(number), path: Pointer::root(), value };
                if let Ok(version) = self.commit(operation) {
                    write(&mut self.plain, Thing::Document(number), version.unwrap());
                    return self.note();
                }
                let value = encoded(Value::from([("m0", Value::from(payload.as_str()))]));
                let version =
                    self.commit(Operation::JsonCreate { name: name(number), value }).unwrap().unwrap();
                write(&mut self.plain, Thing::Document(number), version);
            }
            Step::Member(number, member) => {
                let path = Pointer::parse(&format!("/m{member}"), 9).unwrap();
                let operation = Operation::JsonSet { name: name(number), path, value: value() };
                let held = self.plain.get_mut(&Thing::Document(number));
                let is_there = held.as_ref().is_some_and(|held| held.payload.is_some());
                let found = self.commit(operation);
                assert_eq!(found.is_ok(), is_there, "{found:?}");
                if let (Ok(Some(version)), Some(held)) = (found, self.plain.get_mut(&Thing::Document(number)))
                {
                    // What stood there before may be gone, and the document is one of all who wrote in it all the same.
                    held.stamp = version;
                    held.written.insert(version);
                    held.payload.as_mut().unwrap().push_str(&format!(" {member}:{payload}"));
                }
            }
            Step::Destroy(number) => {
                self.commit(Operation::JsonDestroy { name: name(number) }).unwrap();
                self.plain.remove(&Thing::Document(number));
            }
            Step::Erase(thing, which) => self.erase(thing, which),
            Step::Recreate => {
                self.commit(Operation::RunDelete).unwrap().unwrap();
                self.plain.clear();
                self.note();
                self.created = self.commit(Operation::RunCreate { spec: Box::default() }).unwrap().unwrap();
            }
        }
        self.note();
    }

    fn erase(&mut self, thing: Thing, which: Which) {
        let newest = self.state.version().0;
        let of = |number: u8| 1 + u64::from(number) % newest;
        let (versions, from, through) = match which {
            Which::All => (ErasedVersions::All, 1, newest),
            Which::At(number) => (ErasedVersions::At(Version(of(number))), of(number), of(number)),
            Which::Through(number) => (ErasedVersions::Through(Version(of(number))), 1, of(number)),
        };
        let operation =
            Operation::RunErase { entity: Box::new(entity(thing)), versions, reason: "why".into() };
        let again = operation.clone();
        let of_now = self.plain.get(&thing).map_or(0, |held| held.stamp);
        let Ok(erased) = self.commit(operation) else { return };
        // An earlier life may have had another event of this sequence.
        let from = if matches!(thing, Thing::Event(_)) { from.max(of_now).max(self.created) } else { from };
        let plains = self.commits.iter_mut().map(|(_, _, plain)| plain).chain([&mut self.plain]);
        let mut has_changed = false;
        for held in plains.filter_map(|plain| plain.get_mut(&thing)) {
            if held.written.iter().any(|written| (from..=through).contains(written)) {
                has_changed |= held.payload.take().is_some();
            }
        }
        assert!(erased.is_some() || !has_changed, "what is to be erased makes a commit");
        self.note();
        if let Which::All = which {
            assert_eq!(self.commit(again).unwrap(), None, "what is erased makes none");
        }
    }

    /// The newest commit led to the plain run as it is.
    fn note(&mut self) {
        self.commits.last_mut().unwrap().2 = self.plain.clone();
    }
}

/// What a run shows, as the plain run has it but for who wrote it.
fn shown(state: &RunState) -> BTreeMap<Thing, (Option<String>, u64)> {
    let mut shown = BTreeMap::new();
    if !state.exists() {
        return shown;
    }
    let mut draft = Draft::new(state.view());
    let context = Context { now: state.timestamp(), boot: 1 };
    let mut ask = |operation| match validate(operation, &mut draft, &context, &Limits::default()).unwrap() {
        Answer::Read(outcome) => outcome,
        other => panic!("{other:?}"),
    };
    let payload = |value: &Encoded| match value.to_value().unwrap() {
        Value::Erased => None,
        Value::String(text) => Some(text),
        Value::Object(members) => Some(format!("{members:?}")),
        other => panic!("{other}"),
    };
    for number in 0..2 {
        let (key, name) = (name(number), name(number));
        let found = [
            (Thing::Key(number), ask(Operation::KvGet { key })),
            (Thing::Cell(number), ask(Operation::CellRead { name: name.clone() })),
            (Thing::Document(number), ask(Operation::JsonGet { name, path: Pointer::root() })),
        ];
        for (thing, outcome) in found {
            if let Outcome::Value(Some(found)) = outcome {
                shown.insert(thing, (payload(&found.value), found.version.0));
            }
        }
    }
    let (start, limit, direction) = (None, 1_000, Direction::Forward);
    let Outcome::Events(page) = ask(Operation::EventRange { start, limit, direction }) else { panic!() };
    let erased = page.events.iter().filter(|event| event.payload.is_erased()).count() as u64;
    for event in page.events {
        shown.insert(Thing::Event(event.sequence as u8), (payload(&event.payload), event.version.0));
    }
    let Outcome::Chain(report) = ask(Operation::EventVerifyChain) else { panic!() };
    assert_eq!((report.valid, report.erased), (true, erased));
    shown
}

fn expect(state: &RunState, plain: &Plain, story: &str) {
    let shown = shown(state);
    let is_told = |(thing, held): (&Thing, &Held)| (*thing, held.payload.is_some(), held.stamp);
    let told: Vec<_> = plain.iter().map(is_told).collect();
    let found: Vec<_> =
        shown.iter().map(|(thing, (payload, stamp))| (*thing, payload.is_some(), *stamp)).collect();
    assert_eq!(found, told, "{story}");
    for (thing, (payload, _)) in shown {
        if !matches!(thing, Thing::Document(_)) {
            assert_eq!(payload, plain[&thing].payload, "{story}");
        }
    }
}

fn replay<'a>(commits: impl Iterator<Item = (Stamp, &'a [Mutation])>) -> RunState {
    let mut state = RunState::new(run_id(), 9);
    for (stamp, mutations) in commits {
        for mutation in mutations {
            assert_eq!(state.check(mutation), Ok(()));
            drop(state.apply(mutation.clone(), stamp));
        }
        state.commit(stamp);
    }
    state
}

fn relieve(mut state: RunState, erasures: &[Erasure]) -> RunState {
    erasures.iter().for_each(|erasure| drop(state.redact(erasure)));
    state
}

/// The entries of the image of a run, without what is erased.
fn image_of(state: &mut RunState, redaction: &mut Redaction) -> Vec<u8> {
    let (snapshot, mut walk, mut slice) = (state.open_snapshot(), ImageWalk::new(), ImageSlice::new());
    while !walk.is_done() {
        walk.write(&state.view_at(&snapshot).unwrap(), 1 << 10, &mut slice);
    }
    state.close_snapshot(snapshot);
    let slice = slice.into_bytes().unwrap();
    let (mut out, mut rest) = (Vec::new(), &slice[..]);
    while !rest.is_empty() {
        let entry = ImageEntry::decode(&mut rest).unwrap();
        redaction.entry(&entry).unwrap_or(entry).encode(&mut out);
        ImageEntry::Gap { size: 3 }.encode(&mut out);
    }
    out
}

fn expect_none_of(bytes: &[u8], gone: &BTreeSet<String>) {
    for payload in gone {
        assert!(!bytes.windows(payload.len()).any(|part| part == payload.as_bytes()), "{payload} is there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn erasures_are_those_of_a_plain_model_in_state_image_and_records(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new();
        let mut written = BTreeSet::new();
        for step in &steps {
            world.take(step);
            written.insert(format!("payload-{:06}", world.payloads));
            expect(&world.state, &world.plain, "live");
        }
        let World { state, commits, .. } = world;
        let erasures = state.erasures().to_vec();
        // What some version still shows stays.
        let left: String = commits.iter().flat_map(|(_, _, plain)| plain.values()).filter_map(|held| held.payload.clone()).collect();
        let gone: BTreeSet<String> = written.into_iter().filter(|payload| !left.contains(payload)).collect();
        let mut redaction = Redaction::new(run_id(), erasures.clone());
        let mut redacted: Vec<(Stamp, Vec<Mutation>)> = Vec::new();
        for (stamp, mutations, _) in &commits {
            let without = |mutation: &Mutation| redaction.mutation(mutation, stamp.version).unwrap_or(mutation.clone());
            redacted.push((*stamp, mutations.iter().map(without).collect()));
        }
        let mut bytes = Vec::new();
        redacted.iter().flat_map(|(_, mutations)| mutations).for_each(|mutation| mutation.encode(&mut bytes));
        let of_erased: BTreeSet<String> = gone.iter().filter(|payload| is_covered(payload, &commits, &erasures)).cloned().collect();
        expect_none_of(&bytes, &of_erased);
        let whole = replay(redacted.iter().map(|(stamp, mutations)| (*stamp, &mutations[..])));
        prop_assert!(whole.same_state(&state), "records without what is erased lead to the run");
        for count in 1..=commits.len() {
            let (stamp, _, plain) = &commits[count - 1];
            let story = format!("version {}", stamp.version);
            let mut then = replay(commits[..count].iter().map(|(stamp, mutations, _)| (*stamp, &mutations[..])));
            let image = image_of(&mut then, &mut redaction);
            expect_none_of(&image, &of_erased);
            let mut load = ImageLoad::new(run_id(), 3);
            load.take(&image).unwrap();
            expect(&relieve(load.finish().unwrap(), &erasures), plain, &format!("{story} of an image"));
            expect(&relieve(then, &erasures), plain, &story);
            let then = replay(redacted[..count].iter().map(|(stamp, mutations)| (*stamp, &mutations[..])));
            expect(&relieve(then, &erasures), plain, &format!("{story} of records without what is erased"));
        }
    }
}

/// Whether the commit that wrote a payload is one whose payload of the thing is erased.
fn is_covered(payload: &str, commits: &[(Stamp, Vec<Mutation>, Plain)], erasures: &[Erasure]) -> bool {
    commits.iter().any(|(stamp, mutations, _)| {
        mutations.iter().any(|mutation| {
            let mut bytes = Vec::new();
            mutation.encode(&mut bytes);
            let has_it = bytes.windows(payload.len()).any(|part| part == payload.as_bytes());
            let of = mutation.entity(run_id());
            has_it && erasures.iter().any(|erasure| erasure.entity == of && erasure.covers(stamp.version))
        })
    })
}
