//! The digest of a state: the same however it came about, another one after any change, and the bytes that are documented.
mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use strata_primitives::*;
use support::history::history;
use support::run_id;
use support::world::{World, apply, entries_of, image_of, loaded};

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a content as `digest.rs` draws them, of the entries of an image: a second writer of them.
fn content_bytes(state: &RunState) -> Vec<u8> {
    let number = |number: u64| number.to_le_bytes().to_vec();
    let text = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes(), bytes].concat();
    let stamp = |stamp: Stamp| [stamp.version.0, stamp.timestamp.0].map(u64::to_le_bytes).concat();
    let (mut keys, mut cells, mut documents, mut events, mut traces) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    let (mut removed, mut kinds) = ([0; 3], BTreeMap::new());
    let mut begin = (0, [[0; 32].to_vec(), number(0), number(0)].concat());
    let entry = |written: Version, at: Stamp, deadline: Option<Timestamp>, name: &Key, value: &Encoded| {
        let deadline = number(deadline.map_or(0, |deadline| deadline.0));
        [stamp(at), number(written.0), deadline, text(name.as_bytes()), text(value.as_bytes())].concat()
    };
    for found in entries_of(state) {
        match found {
            ImageEntry::Key { stamp, deadline, key, value } => {
                keys.push((key.clone(), entry(stamp.version, stamp, deadline, &key, &value)));
            }
            ImageEntry::KeptKey { written, stamp, deadline, key, value } => {
                keys.push((key.clone(), entry(written, stamp, deadline, &key, &value)));
            }
            ImageEntry::Cell { stamp, deadline, name, value } => {
                cells.push((name.clone(), entry(stamp.version, stamp, deadline, &name, &value)));
            }
            ImageEntry::Document { stamp: at, name, document } => {
                let mut bytes = [stamp(at), text(name.as_bytes())].concat();
                document.encode_tree(&mut bytes);
                documents.push((name, bytes));
            }
            ImageEntry::EventsBegin { first, hash, from, through, .. } => {
                begin = (first, [hash.to_vec(), number(from.0), number(through.0)].concat());
            }
            ImageEntry::Event { stamp: at, hash, .. } => {
                events.push([stamp(at), vec![0], hash.to_vec()].concat())
            }
            ImageEntry::EventErased { stamp: at, hash, .. } => {
                events.push([stamp(at), vec![1], hash.to_vec()].concat());
            }
            ImageEntry::TracesBegin { first, from, through, .. } => removed = [first, from.0, through.0],
            ImageEntry::TracesRemoved { kind, count } => drop(kinds.insert(kind, count)),
            ImageEntry::Trace { trace } => {
                let mut bytes = [stamp(trace.stamp), stamp(trace.recorded)].concat();
                trace.encode(&mut bytes);
                traces.push(bytes);
            }
            _ => {}
        }
    }
    let mut bytes = b"STRATADC\x01".to_vec();
    for mut named in [keys, cells, documents] {
        named.sort();
        bytes.extend(number(named.len() as u64));
        named.into_iter().for_each(|(_, entry)| bytes.extend(entry));
    }
    let (first, anchor) = begin;
    bytes.extend([number(first), number(first + events.len() as u64), anchor, events.concat()].concat());
    let [first, from, through] = removed;
    for found in [first, first + traces.len() as u64, from, through, kinds.len() as u64] {
        bytes.extend(number(found));
    }
    for (kind, count) in kinds {
        bytes.extend([number(count), text(kind.as_bytes())].concat());
    }
    bytes.extend(traces.concat());
    bytes
}

/// A run with something of everything.
fn filled() -> World {
    let mut world = World::new();
    let (at, value, name): (_, _, Key) =
        (Deadline::At(Timestamp(9_000)), Encoded::from_int(3), "cell".into());
    let thought = TraceContent::Thought { text: "hm".into(), confidence: Some(0.5) };
    let spec = RunSpec { name: None, tags: vec!["tag".into()], ..RunSpec::default() };
    let document =
        support::encoded(Value::from([("list", Value::Array(vec![Value::Int(1), Value::Float(0.5)]))]));
    let write = |world: &mut World, operations| world.write(operations).unwrap();
    write(&mut world, vec![Operation::RunCreate { spec: Box::new(spec) }]);
    write(&mut world, vec![support::put("b", 1, Deadline::None), support::put("a", 2, at)]);
    write(&mut world, vec![Operation::CellSet { name, value, deadline: Deadline::None }]);
    write(&mut world, vec![Operation::JsonCreate { name: "doc".into(), value: document }]);
    let (name, path) = ("doc".into(), Pointer::parse("/list/0", 8).unwrap());
    write(&mut world, vec![Operation::JsonSet { name, path, value: Encoded::from_int(7) }]);
    write(&mut world, vec![support::append("k", 1), support::append("l", 2), support::append("k", 3)]);
    let trace = Box::new(NewTrace::new(support::trace_id(1), thought));
    write(&mut world, vec![Operation::TraceBegin { trace }]);
    world.now += 5;
    write(&mut world, vec![Operation::KvSetDeadline { key: "b".into(), deadline: at }]);
    let retention = Some(Retention::KeepLast(2));
    write(&mut world, vec![Operation::RunSetEventRetention { retention }]);
    let thought = TraceContent::Thought { text: "and now".into(), confidence: None };
    let trace = Box::new(NewTrace::new(support::trace_id(2), thought));
    write(&mut world, vec![Operation::TraceBegin { trace }]);
    let retention = Some(Retention::KeepLast(1));
    write(&mut world, vec![Operation::RunSetTraceRetention { retention }]);
    let (entity, versions) = (Box::new(EntityRef::event(run_id(), 2)), ErasedVersions::All);
    write(&mut world, vec![Operation::RunErase { entity, versions, reason: "asked for".into() }]);
    world
}

#[test]
fn the_digest_of_a_state_never_changes() {
    let (filled, empty) = (filled().state.digest().unwrap(), RunState::new(run_id(), 1).digest().unwrap());
    let found = [filled.content, filled.state, empty.content, empty.state].map(|digest| hex(&digest));
    let golden = [
        "8b985d48df545c3a7e4a3313e4fa889cbac9208fc07bcb2507a80020c8dd3d95",
        "e62b367cf286eeb01bbda18be8fdc4f6d309c101b9fbbcfe254e3def7175579c",
        "ac453253cd74c5bad17067df3be0b516ab162b0187d4aba633db5900af027296",
        "c8ac8a25a1359fadc914555d50f15820517ba945f2527af937f0410c980effb9",
    ];
    assert_eq!(found, golden);
}

#[test]
fn the_bytes_of_a_state_are_those_that_are_documented() {
    let state = filled().state;
    let mut bytes = b"STRATADS\x01".to_vec();
    bytes.extend(run_id().as_bytes());
    let head = entries_of(&state).into_iter().find_map(|entry| match entry {
        ImageEntry::Head { stamp, meta_version, meta } => {
            let mut bytes = Vec::new();
            let meta = meta.map(|meta| Box::new(RunMeta { begun_in_boot: 0, ..*meta }));
            ImageEntry::Head { stamp, meta_version, meta }.encode(&mut bytes);
            Some(bytes)
        }
        _ => None,
    });
    // Behind its tag a head is what the digest has: both stamps, and the description.
    bytes.extend(&head.unwrap()[1..]);
    bytes.extend((state.erasures().len() as u64).to_le_bytes());
    state.erasures().iter().for_each(|erasure| erasure.encode(&mut bytes));
    bytes.extend(blake3::hash(&content_bytes(&state)).as_bytes());
    assert_eq!(hex(&state.digest().unwrap().state), blake3::hash(&bytes).to_hex().as_str());
}

#[test]
fn every_bit_of_a_state_is_in_its_digest_but_for_what_the_hash_of_an_event_covers() {
    let state = filled().state;
    let (image, digest) = (image_of(&state), state.digest().unwrap());
    // What the digest takes from the hash of an event, and the boot, which is none of it.
    let told = |state: &RunState| -> Vec<ImageEntry> {
        let told = |entry| match entry {
            ImageEntry::Event { stamp, hash, .. } => {
                let (salt, kind, payload) = ([0; 16], "".into(), Encoded::from_int(0));
                ImageEntry::Event { stamp, salt, hash, kind, payload }
            }
            ImageEntry::EventErased { stamp, hash, .. } => {
                ImageEntry::EventErased { stamp, digest: [0; 32], hash, kind: "".into() }
            }
            ImageEntry::EventsRemoved { .. } => ImageEntry::Gap { size: 0 },
            ImageEntry::Head { stamp, meta_version, meta } => {
                let meta = meta.map(|meta| Box::new(RunMeta { begun_in_boot: 0, ..*meta }));
                ImageEntry::Head { stamp, meta_version, meta }
            }
            entry => entry,
        };
        let mut told: Vec<ImageEntry> = entries_of(state).into_iter().map(told).collect();
        told.sort_by_key(|entry| format!("{entry:?}"));
        told
    };
    let expected = told(&state);
    let mut other_count = 0;
    for bit in 0..image.len() * 8 {
        let mut damaged = image.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut load = ImageLoad::flat(run_id(), 7);
        let Ok(other) = load.take(&damaged).and_then(|()| load.finish()) else { continue };
        let is_same = told(&other) == expected;
        other_count += usize::from(!is_same);
        assert_eq!(other.digest().unwrap() == digest, is_same, "bit {bit}");
    }
    assert!(other_count > 2_000, "{other_count} other states were loaded");
}

#[test]
fn a_fork_has_another_state_and_the_same_content_until_it_writes() {
    let world = filled();
    let mut fork = world.fork(RunId::from_bytes([8; 16])).unwrap();
    let (of_run, of_fork) = (world.state.digest().unwrap(), fork.state.digest().unwrap());
    assert_eq!(of_fork.content, of_run.content);
    assert_ne!(of_fork.state, of_run.state);
    assert_eq!(loaded(&fork.state, 3).digest().unwrap(), of_fork);
    fork.write(vec![support::put("c", 1, Deadline::None)]).unwrap();
    assert_ne!(fork.state.digest().unwrap().content, of_run.content);
    assert_eq!(world.state.digest().unwrap(), of_run);
}

#[test]
fn an_erasure_changes_the_digest_also_of_what_was_before_it() {
    let mut world = filled();
    let (snapshot, before) = (world.state.open_snapshot(), world.state.digest().unwrap());
    world.write(vec![support::put("c", 1, Deadline::None)]).unwrap();
    assert_eq!(world.state.share_at(&snapshot).unwrap().digest().unwrap(), before);
    let (entity, versions) = (Box::new(EntityRef::kv(run_id(), "a")), ErasedVersions::All);
    world.write(vec![Operation::RunErase { entity, versions, reason: "asked for".into() }]).unwrap();
    assert_ne!(world.state.share_at(&snapshot).unwrap().digest().unwrap(), before);
    world.state.close_snapshot(snapshot);
}

#[test]
fn the_boot_and_the_answers_that_are_remembered_are_no_part_of_it() {
    let mut world = filled();
    let before = world.state.digest().unwrap();
    let (version, timestamp) = (world.state.version(), world.state.timestamp());
    let commit = Commit { version, timestamp, durability: Durability::Buffered };
    let receipt = Receipt { commit, effects: Vec::new(), fingerprint: Fingerprint([3; 8]) };
    world.state.remember(OperationId([5; 16]), receipt);
    world.state.ensure_order(OrderIndex::Keys(KeyKind::Kv));
    assert_eq!(world.state.digest().unwrap(), before);
}

#[test]
fn large_values_on_disk_are_read_and_one_that_cannot_be_is_named() {
    let mut world = filled();
    let text = |text: &str| support::encoded(text.repeat(LARGE_VALUE_SIZE));
    let (key, value): (Key, _) = ("large".into(), text("v"));
    let content = TraceContent::Thought { text: "t".repeat(LARGE_VALUE_SIZE), confidence: None };
    let trace = Box::new(NewTrace::new(support::trace_id(9), content));
    let (deadline, payload) = (Deadline::None, text("e"));
    world
        .write(vec![
            Operation::KvPut { key, value, deadline },
            Operation::TraceRecord { trace },
            Operation::EventAppend { kind: "k".into(), payload, salt: [1; 16] },
        ])
        .unwrap();
    let image = Arc::new(image_of(&world.state));
    let left = |failing: Option<usize>| {
        let (mut load, mut place) = (ImageLoad::flat(run_id(), 3), 0);
        let leave = |range: std::ops::Range<usize>| {
            let (image, is_failing) = (Arc::clone(&image), failing == Some(place));
            place += 1;
            Some(ReadValue::new(move || match is_failing {
                true => Err(Error::new(ErrorKind::Io, "the device is gone")),
                false => Ok(Encoded::from_canonical(&image[range.clone()])),
            }))
        };
        load.take_leaving(&image, leave).unwrap();
        load.finish().unwrap()
    };
    assert!(left(None).elsewhere() > 2 * LARGE_VALUE_SIZE);
    assert_eq!(left(None).digest().unwrap(), world.state.digest().unwrap());
    // The second one is the payload of an event, whose hash is enough.
    assert_eq!(left(Some(1)).digest().unwrap(), world.state.digest().unwrap());
    let named = |failing| left(Some(failing)).digest().unwrap_err().entity().cloned();
    assert_eq!(named(0), Some(EntityRef::kv(run_id(), "large")));
    assert_eq!(named(2), Some(EntityRef::trace(run_id(), support::trace_id(9))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_state_has_one_digest_however_it_came_about(
        began in proptest::option::of(history()),
        history in history(),
        erasures in proptest::collection::vec(proptest::option::weighted(0.05, any::<u8>()), 60),
        seed in any::<usize>(),
    ) {
        let mut world = World::of(began.as_deref().unwrap_or_default());
        let base = world.state.share();
        if let Some(fork) = began.and_then(|_| world.fork(RunId::from_bytes([8; 16]))) {
            world = fork;
        }
        let mut snapshot = world.state.open_snapshot();
        for (step, erasure) in history.iter().zip(erasures) {
            let then = world.state.digest().unwrap();
            let erasures_then = world.state.erasures().len();
            prop_assert_eq!(then.content, *blake3::hash(&content_bytes(&world.state)).as_bytes());
            world.take_all(std::slice::from_ref(step));
            erasure.into_iter().for_each(|number| world.erase(number));

            let digest = world.state.digest().unwrap();
            prop_assert_eq!(world.state.share().digest().unwrap(), digest);
            prop_assert_eq!(loaded(&world.state, seed).digest().unwrap(), digest);
            if world.state.erasures().len() == erasures_then {
                prop_assert_eq!(world.state.share_at(&snapshot).unwrap().digest().unwrap(), then);
            }
            prop_assert_eq!(digest == then, world.state.version() == snapshot.stamp().version);
            let next = world.state.open_snapshot();
            world.state.close_snapshot(std::mem::replace(&mut snapshot, next));
        }
        world.state.close_snapshot(snapshot);

        // What the log holds, applied again.
        let mut replayed = match world.state.id() == run_id() {
            true => RunState::new(run_id(), seed),
            false => base.fork(world.state.id()),
        };
        for (stamp, mutations) in &world.log {
            let mut bytes = Vec::new();
            mutations.iter().for_each(|mutation| mutation.encode(&mut bytes));
            let mut input = &bytes[..];
            let decoded: Vec<Mutation> = mutations.iter().map(|_| Mutation::decode(&mut input).unwrap()).collect();
            apply(&mut replayed, *stamp, &decoded);
        }
        prop_assert_eq!(replayed.digest().unwrap(), world.state.digest().unwrap());
    }
}
