//! What is published of runs, and what is given back of it.

use strata_primitives::{Encoded, EntityRef, KeyKind, Stamp};
use strata_wal::Lsn;

use super::*;

fn run_id(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(version) }
}

fn put(key: &str) -> Mutation {
    Mutation::KvPut { key: key.into(), value: Encoded::from_int(1), deadline: None, previous: Version(0) }
}

/// A run with these keys, at version 1.
fn state_of(run: RunId, keys: &[&str]) -> RunState {
    let mut state = RunState::new(run, 7);
    keys.iter().for_each(|key| drop(state.apply(put(key), stamp(1))));
    state.commit(stamp(1));
    state
}

fn publish(windows: &mut Windows, state: &RunState) {
    windows.publish(state, Boot::default(), 0);
}

/// A reader that the shard knows, and what it would read.
fn attended(windows: &mut Windows, run: RunId) -> Arc<Reader> {
    let reader = Arc::new(Reader::default());
    windows.attend(run, Arc::clone(&reader));
    reader
}

fn pin_of(reader: &Reader) -> Option<Arc<Pin>> {
    reader.board.read(|publication| Arc::clone(publication.shown().pin()))
}

fn erasure_of(run: RunId, key: &str) -> Vec<Erasure> {
    let (entity, reason) = (EntityRef::kv(run, key), "asked for".into());
    vec![Erasure { entity, from: Version(1), through: Version(1), by: Version(2), event_hash: None, reason }]
}

fn is_erased(pin: &Pin, key: &str) -> bool {
    pin.with_state(|state| state.key(KeyKind::Kv, key).unwrap().0.is_erased()).unwrap()
}

/// An erasure that waits for the disk stood in front of one that waits for the kernel alone. Whoever asked for the second was
/// answered, and read in his snapshot what he had erased; and when the first was taken back, so was what was to be shown of the
/// second.
#[test]
fn an_erasure_shows_once_it_is_safe_itself_whatever_waits_in_front_of_it() {
    let mut windows = Windows::default();
    let (first, second) = (run_id(1), run_id(2));
    let pins = [first, second].map(|run| {
        let reader = attended(&mut windows, run);
        publish(&mut windows, &state_of(run, &["name"]));
        pin_of(&reader).unwrap()
    });
    let (durable, written) =
        (Need { durable: Lsn(10), written: Lsn(0) }, Need { written: Lsn(11), durable: Lsn(0) });
    windows.erase(durable, first, erasure_of(first, "name"), 100);
    windows.erase(written, second, erasure_of(second, "name"), 200);
    let marks = |pins: &[Arc<Pin>; 2]| pins.each_ref().map(|pin| pin.share().unwrap().2);

    windows.release(&Progress { written: Lsn(11), durable: Lsn(0) }, |_, _| None);
    assert_eq!(pins.each_ref().map(|pin| is_erased(pin, "name")), [false, true]);
    assert_eq!(marks(&pins), [0, 0], "they do not have all that was erased up to the newest");

    windows.release(&Progress { written: Lsn(11), durable: Lsn(11) }, |_, _| None);
    assert_eq!(pins.each_ref().map(|pin| is_erased(pin, "name")), [true, true]);
    assert_eq!((marks(&pins), windows.has_unseen_erasures()), ([200, 200], false));
}

#[test]
fn a_picture_made_behind_an_erasure_keeps_its_newer_mark() {
    let mut windows = Windows::default();
    let (first, second) = (run_id(1), run_id(2));
    let before = attended(&mut windows, first);
    publish(&mut windows, &state_of(first, &["name"]));
    let old = pin_of(&before).unwrap();
    let need = |lsn| Need { durable: Lsn(lsn), written: Lsn(0) };
    windows.erase(need(10), first, erasure_of(first, "name"), 100);
    windows.erase(need(20), first, erasure_of(first, "name"), 200);
    let after = attended(&mut windows, second);
    windows.publish(&state_of(second, &["name"]), Boot::default(), 200);
    let new = pin_of(&after).unwrap();

    windows.release(&Progress { written: Lsn(10), durable: Lsn(10) }, |_, _| None);
    assert_eq!((old.share().unwrap().2, new.share().unwrap().2), (100, 200));
}
