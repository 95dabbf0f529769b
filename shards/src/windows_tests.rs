//! What is published of runs, and what is given back of it.

use strata_primitives::{Encoded, EntityRef, ErrorKind, KeyKind, OrderIndex, Stamp};
use strata_wal::Lsn;

use super::*;
use crate::picture::Pin;
use crate::run_table::RunTable;
use crate::window::{READERS_LOOKED_AT_MAX, STALE_SIZE_MAX};

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
    assert_eq!([reader.note_asked(), reader.note_asked()], [false, true]);
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
    let readers = [first, second].map(|run| {
        let reader = attended(&mut windows, run);
        publish(&mut windows, &state_of(run, &["name"]));
        reader
    });
    let pins = readers.each_ref().map(|reader| pin_of(reader).unwrap());
    let (durable, written) =
        (Need { durable: Lsn(10), written: Lsn(0) }, Need { written: Lsn(11), durable: Lsn(0) });
    windows.erase(durable, first, erasure_of(first, "name"), 100);
    windows.erase(written, second, erasure_of(second, "name"), 200);
    assert!(readers.iter().all(|reader| pin_of(reader).is_none()), "nothing is published from before");
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

#[test]
fn an_erasure_shows_in_pictures_of_what_inherited_it_and_in_no_others() {
    let (mut windows, ancestor) = (Windows::default(), run_id(1));
    let through = [Some(Version(1)), Some(Version(0)), None];
    let pins = [2, 3, 4].map(|number| {
        let reader = attended(&mut windows, run_id(number));
        publish(&mut windows, &state_of(run_id(number), &["name"]));
        pin_of(&reader).unwrap()
    });
    windows.erase(Need::default(), ancestor, erasure_of(ancestor, "name"), 100);
    let inherits = |run, of| through[(2..5).position(|number| run == run_id(number) && of == ancestor)?];
    windows.release(&Progress::EVERYTHING, inherits);
    assert_eq!(pins.each_ref().map(|pin| is_erased(pin, "name")), [true, false, false]);
}

#[test]
fn a_snapshot_or_a_handle_that_is_dropped_gives_back_what_it_held_without_another_commit() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let reader = attended(&mut windows, run);
    publish(&mut windows, &state_of(run, &["name"]));
    let pin = pin_of(&reader).unwrap();
    windows.note_taken(run, STALE_SIZE_MAX + 1, usize::MAX);
    assert!(windows.size() > STALE_SIZE_MAX);
    windows.tidy();
    assert!(pin_of(&reader).is_some(), "somebody keeps what is published");

    drop(pin);
    windows.tidy();
    assert_eq!(
        (windows.size(), pin_of(&reader).is_none()),
        (WINDOW_SIZE, true),
        "what nobody keeps is too much"
    );

    publish(&mut windows, &state_of(run, &["name"]));
    assert!(pin_of(&reader).is_some());
    drop(reader);
    windows.tidy();
    assert_eq!((windows.size(), windows.by_run.len()), (0, 0), "nor does anybody read it");
}

#[test]
fn windows_are_looked_at_in_turn_and_those_that_somebody_reads_in_stay() {
    let mut windows = Windows::default();
    let readers: Vec<_> = (0..100).map(|number| (number, attended(&mut windows, run_id(number)))).collect();
    let left: Vec<_> = readers.into_iter().filter(|(number, _)| number % 3 == 0).collect();
    // One that comes to the place of one that is over is looked at there.
    (0..100_usize.div_ceil(LOOKED_AT_MAX)).for_each(|_| windows.tidy());
    assert_eq!((windows.by_run.len(), windows.watched.len()), (left.len(), left.len()));
    assert!(left.iter().all(|(number, _)| windows.by_run.contains_key(&run_id(*number))));
    assert!(windows.watched.iter().enumerate().all(|(place, run)| windows.by_run[run].place == place));
}

#[test]
fn a_run_that_is_not_there_has_no_window() {
    let mut runs = RunTable::new(7);
    let reader = Arc::new(Reader::default());
    assert_eq!([reader.note_asked(), reader.note_asked(), reader.note_asked()], [false, true, false]);
    runs.attend(run_id(1), Arc::clone(&reader));
    assert_eq!(runs.windows.size(), 0);
    assert_eq!([reader.note_asked(), reader.note_asked()], [false, true], "it tells the shard again");
}

#[test]
fn a_run_that_leaves_takes_its_window_along_but_for_what_somebody_keeps() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let reader = attended(&mut windows, run);
    publish(&mut windows, &state_of(run, &["name"]));
    let pin = pin_of(&reader).unwrap();
    windows.leave(run);
    assert!(pin_of(&reader).is_none() && windows.is_kept(run));
    assert!(!is_erased(&pin, "name"), "who keeps it reads on");

    let reader = attended(&mut windows, run);
    drop(pin);
    windows.leave(run);
    assert_eq!(windows.size(), 0);
    assert_eq!([reader.note_asked(), reader.note_asked()], [false, true], "it tells the shard again");
}

#[test]
fn a_shard_that_ends_leaves_nothing_to_be_read() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let reader = attended(&mut windows, run);
    publish(&mut windows, &state_of(run, &["name"]));
    let pin = pin_of(&reader).unwrap();
    drop(windows);
    assert!(pin_of(&reader).is_none());
    assert_eq!(pin.share().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!([reader.note_asked(), reader.note_asked()], [false, true], "it tells the next one");
}

/// Every commit of a run walked all handles that had ever read it, and so did each that was new.
#[test]
fn a_commit_looks_at_a_few_readers_however_many_there_are() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let readers: Vec<_> = (0..100).map(|_| attended(&mut windows, run)).collect();
    publish(&mut windows, &state_of(run, &["name"]));
    drop(readers);
    drop(attended(&mut windows, run));
    assert_eq!(windows.by_run[&run].reader_count(), 101, "for one that is new none is looked at");
    windows.note_taken(run, 1, usize::MAX);
    assert_eq!(windows.by_run[&run].reader_count(), 101 - READERS_LOOKED_AT_MAX);
}

#[test]
fn readers_are_looked_at_in_turn() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let readers: Vec<_> = (0..64).map(|number| (number, attended(&mut windows, run))).collect();
    let left: Vec<_> = readers.into_iter().filter(|(number, _)| number % 3 == 0).collect();
    // One that comes to the place of one that goes is looked at there.
    (0..64 / READERS_LOOKED_AT_MAX).for_each(|_| windows.tidy());
    assert_eq!(windows.by_run[&run].reader_count(), left.len());
}

#[test]
fn readers_that_are_nobodys_any_more_do_not_pile_up() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let readers: Vec<_> = (0..20).map(|_| attended(&mut windows, run)).collect();
    for _ in 0..1_000 {
        drop(attended(&mut windows, run));
        assert!(windows.by_run[&run].reader_count() <= 2 * readers.len());
    }
    publish(&mut windows, &state_of(run, &["name"]));
    assert_eq!(windows.by_run[&run].reader_count(), readers.len());
    assert!(readers.iter().all(|reader| pin_of(reader).is_some()));
}

/// Pictures of many megabytes in small values were freed within a commit, which paused the shard.
#[test]
fn a_large_picture_that_nobody_keeps_any_more_is_let_go_elsewhere() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let reader = attended(&mut windows, run);
    let alone = |state: Arc<RunState>| Arc::into_inner(state).is_some();
    publish(&mut windows, &state_of(run, &["name"]));
    windows.note_taken(run, LET_GO_HERE_MAX + 1, usize::MAX);
    publish(&mut windows, &state_of(run, &["name"]));
    assert_eq!(windows.take_let_go().map(alone).collect::<Vec<_>>(), [true], "another one was published");

    let pin = pin_of(&reader).unwrap();
    windows.note_taken(run, LET_GO_HERE_MAX + 1, LET_GO_HERE_MAX);
    assert_eq!(windows.take_let_go().map(alone).collect::<Vec<_>>(), [true], "it was given up");
    assert!(pin.share().is_err());

    publish(&mut windows, &state_of(run, &["name"]));
    publish(&mut windows, &state_of(run, &["name"]));
    assert_eq!(windows.take_let_go().count(), 0, "a small one is not worth the way");
}

/// What is published was withdrawn for the size of an older picture, whose snapshot had just been dropped.
#[test]
fn what_is_published_stays_when_an_older_picture_was_too_large() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let reader = attended(&mut windows, run);
    publish(&mut windows, &state_of(run, &["name"]));
    let old = pin_of(&reader).unwrap();
    windows.note_taken(run, STALE_SIZE_MAX, usize::MAX);
    publish(&mut windows, &state_of(run, &["name"]));
    drop(old);
    windows.note_taken(run, 10, usize::MAX);
    let kept = pin_of(&reader).unwrap();
    assert_eq!(windows.size(), WINDOW_SIZE + 10);

    publish(&mut windows, &state_of(run, &["name"]));
    windows.note_taken(run, 5, usize::MAX);
    assert_eq!(windows.size(), WINDOW_SIZE + 15, "the older one holds what the newer one holds");
    drop(kept);
}

/// A build for tests publishes at the first read, and what a build for users does was tested nowhere: it published at the next read of
/// any handle that was new, however few there had been since the last time.
#[test]
fn a_run_is_published_after_so_many_reads_by_message_whoever_asks() {
    let (mut windows, run) = (Windows::new(8), run_id(1));
    let readers = [attended(&mut windows, run), attended(&mut windows, run)];
    for round in 0..3 {
        (0..7).for_each(|_| windows.note_read(run));
        let late = attended(&mut windows, run);
        assert!(!windows.is_any_due(), "round {round}");
        windows.note_read(run);
        windows.note_read(run);
        assert_eq!(windows.take_due(), [run], "round {round}: once, however many read on");
        publish(&mut windows, &state_of(run, &["name"]));
        assert!(readers.iter().chain([&late]).all(|reader| pin_of(reader).is_some()));
        let later = attended(&mut windows, run);
        assert!(pin_of(&later).is_some() && !windows.is_any_due(), "what is published is handed on");
        let erase = Mutation::EventTrim { before: 1 };
        windows.mark(run, &[erase], Timestamp(2));
        assert!(readers.iter().chain([&late, &later]).all(|reader| pin_of(reader).is_none()));
    }
    assert_eq!(windows.publication_count, 3);

    (0..8).for_each(|_| windows.note_read(run));
    assert_eq!(windows.take_due(), [run]);
    windows.pass_over(run);
    (0..7).for_each(|_| windows.note_read(run));
    assert!(!windows.is_any_due(), "it waits for as many again");
    windows.note_read(run);
    assert!(windows.is_any_due());
}

/// What is sorted in pictures was counted nowhere.
#[test]
fn what_pictures_were_sorted_into_is_counted_and_given_back() {
    let (mut windows, run) = (Windows::default(), run_id(1));
    let reader = attended(&mut windows, run);
    publish(&mut windows, &state_of(run, &["a", "b", "c"]));
    let pin = pin_of(&reader).unwrap();
    let sort = |state: &RunState| state.ensure_sorted(OrderIndex::Keys(KeyKind::Kv));
    (0..2).for_each(|_| pin.with_state(sort).unwrap());
    windows.tidy();
    assert_eq!(windows.size(), WINDOW_SIZE + 3 * 8);
    publish(&mut windows, &state_of(run, &["a"]));
    windows.tidy();
    assert_eq!(windows.size(), WINDOW_SIZE + 3 * 8, "somebody keeps it");
    drop(pin);
    windows.tidy();
    assert_eq!(windows.size(), WINDOW_SIZE);
}
