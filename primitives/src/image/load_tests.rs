//! What images are taken, and what is refused of them.
use super::*;
use crate::encoded::Encoded;
use crate::version::Timestamp;
use std::sync::Arc;

fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(version) }
}

fn head(version: u64) -> ImageEntry {
    ImageEntry::Head { stamp: stamp(version), meta_version: Version(1), meta: None }
}

fn key(version: u64) -> ImageEntry {
    let (stamp, value) = (stamp(version), Encoded::from_int(1));
    ImageEntry::Key { stamp, deadline: None, key: "k".into(), value }
}

fn refusal(entries: &[ImageEntry]) -> String {
    let mut slice = Vec::new();
    entries.iter().for_each(|entry| entry.encode(&mut slice));
    let mut load = ImageLoad::new(RunId::from_bytes([1; 16]), 7);
    load.take(&slice).and_then(|()| load.finish().map(drop)).unwrap_err()
}

/// What is loaded of a run with these entries.
fn loaded(entries: &[ImageEntry]) -> Result<RunState, String> {
    let end = ImageEntry::End { count: entries.len() as u64 + 1 };
    let mut slice = Vec::new();
    let meta = Some(Box::new(RunMeta::plain()));
    let head = ImageEntry::Head { stamp: stamp(9), meta_version: Version(1), meta };
    [&[head], entries, &[end]].concat().iter().for_each(|entry| entry.encode(&mut slice));
    let mut load = ImageLoad::new(RunId::from_bytes([1; 16]), 7);
    load.take(&slice).and_then(|()| load.finish())
}

fn behind(begun: &[ImageEntry], last: ImageEntry) -> Vec<ImageEntry> {
    [begun, &[last]].concat()
}

#[test]
fn an_image_that_contradicts_itself_is_refused_with_the_place_of_the_entry() {
    let end = |count| ImageEntry::End { count };
    let cases = [
        (vec![key(1)], "entry 0 of the image: the head does not come first"),
        (vec![head(3), head(3)], "entry 1 of the image: a second head"),
        (vec![head(3)], "the image ends behind 1 entries, before its end"),
        (vec![head(3), end(2)], "entry 1 of the image: the end counts 2 entries"),
        (vec![head(3), end(1), end(1)], "entry 2 of the image: it stands behind the end"),
        (vec![head(3), key(2), end(2)], "entry 1 of the image: kv_put in a run that does not exist"),
        (vec![head(3), key(4), end(2)], "entry 1 of the image: it is of commit 4"),
    ];
    for (entries, expected) in cases {
        let reason = refusal(&entries);
        assert!(reason.starts_with(expected), "{reason}, not {expected}");
    }
}

/// Some were taken: a sequence as high as there is, behind which the next event had none, and events of a run that is not there.
#[test]
fn what_is_told_of_removed_events_has_to_fit_them() {
    let head = |meta| ImageEntry::Head { stamp: stamp(9), meta_version: Version(1), meta };
    let begin = |first, next| ImageEntry::EventsBegin {
        first,
        hash: [3; 32],
        from: Version(2),
        through: Version(4),
        next,
    };
    let removed = |kind: &str, count| ImageEntry::EventsRemoved { kind: kind.into(), count };
    let event = |version| ImageEntry::Event {
        stamp: stamp(version),
        salt: [0; 16],
        hash: [1; 32],
        kind: "k".into(),
        payload: Encoded::from_int(1),
    };
    let five = [begin(5, 5), removed("k", 3), removed("l", 2)];
    assert_eq!(loaded(&behind(&five, event(4))).unwrap().event_count(), 6);
    for refused in [
        vec![begin(u64::MAX, u64::MAX), removed("k", u64::MAX), event(5)],
        vec![begin(1 << 63, 1 << 63), removed("k", 1 << 63), event(5)],
        vec![begin(5, 6), removed("k", 5)],
        vec![begin(5, 5), removed("k", 4)],
        vec![begin(5, 5), removed("k", 4), event(5)],
        vec![begin(5, 5), removed("k", 5), removed("l", 1)],
        vec![begin(5, 5), removed("k", 0), removed("l", 5)],
        vec![begin(5, 5), removed("k", 2), removed("k", 3)],
        vec![removed("k", 5), begin(5, 5)],
        vec![removed("k", 5)],
        vec![begin(0, 0)],
        behind(&five, begin(5, 5)),
        behind(&five, begin(7, 7)),
        behind(&five, event(3)),
        vec![event(4), begin(5, 5), removed("k", 5)],
        vec![event(4), event(4), begin(1, 2), removed("k", 1)],
    ] {
        let refusal = loaded(&refused).map(|run| run.event_count());
        assert!(refusal.is_err(), "{refused:?} was loaded: {refusal:?}");
    }
    let missing = [&[head(None)], &five[..], &[ImageEntry::End { count: 4 }]].concat();
    assert!(refusal(&missing).contains("events begin in a run that does not exist"), "{}", refusal(&missing));
}

#[test]
fn what_is_told_of_removed_traces_has_to_fit_them() {
    let begin_with = |first, from, through, next| ImageEntry::TracesBegin {
        first,
        from: Version(from),
        through: Version(through),
        next,
    };
    let begin = |first, next| begin_with(first, 2, 4, next);
    let removed = |kind: &str, count| ImageEntry::TracesRemoved { kind: kind.into(), count };
    let trace = |version: u64, parent: Option<u8>| {
        let id = |number| crate::trace_id::TraceId::from_bytes([number; 16]);
        let trace = Trace {
            id: id(version as u8),
            parent: parent.map(id),
            kind: "k".into(),
            tags: Arc::default(),
            body: Encoded::from_int(1),
            began: Timestamp(1),
            ended: None,
            stamp: stamp(version),
            recorded: stamp(version),
        };
        ImageEntry::Trace { trace: Box::new(trace) }
    };
    let five = [begin(5, 5), removed("k", 3), removed("l", 2)];
    // Its parent may be one of those that were removed.
    assert_eq!(loaded(&behind(&five, trace(4, Some(1)))).unwrap().trace_count(), 6);
    assert!(loaded(&[trace(4, Some(1))]).is_err(), "here it is not");
    for refused in [
        vec![begin(u64::MAX, u64::MAX), removed("k", u64::MAX), trace(5, None)],
        vec![begin(1 << 63, 1 << 63), removed("k", 1 << 63), trace(5, None)],
        vec![begin(5, 6), removed("k", 5)],
        vec![begin(5, 5), removed("k", 4)],
        vec![begin(5, 5), removed("k", 4), trace(5, None)],
        vec![begin(5, 5), removed("k", 5), removed("l", 1)],
        vec![begin(5, 5), removed("k", 0), removed("l", 5)],
        vec![begin(5, 5), removed("k", 2), removed("k", 3)],
        vec![begin(5, 5), removed("k", 5), removed("l", u64::MAX)],
        vec![begin_with(5, 0, 4, 5), removed("k", 5)],
        vec![begin_with(5, 4, 2, 5), removed("k", 5)],
        vec![begin_with(5, 2, 10, 5), removed("k", 5)],
        vec![begin_with(5, 2, u64::MAX, 5), removed("k", 5)],
        vec![removed("k", 5), begin(5, 5)],
        vec![removed("k", 5)],
        vec![begin(0, 0)],
        behind(&five, begin(5, 5)),
        behind(&five, begin(7, 7)),
        vec![trace(4, None), begin(5, 5), removed("k", 5)],
        vec![trace(4, None), trace(5, None), begin(1, 2), removed("k", 1)],
    ] {
        let refusal = loaded(&refused).map(|run| run.trace_count());
        assert!(refusal.is_err(), "{refused:?} was loaded: {refusal:?}");
    }
    let missing =
        [&[super::ImageEntry::Head { stamp: stamp(9), meta_version: Version(1), meta: None }], &five[..]];
    assert!(refusal(&missing.concat()).contains("traces begin in a run that does not exist"));
}

#[test]
fn a_deleted_run_is_loaded_as_what_is_left_of_it() {
    let mut slice = Vec::new();
    [head(3), ImageEntry::End { count: 1 }].iter().for_each(|entry| entry.encode(&mut slice));
    let mut load = ImageLoad::new(RunId::from_bytes([1; 16]), 7);
    load.take(&slice).unwrap();
    let run = load.finish().unwrap();
    assert_eq!((run.exists(), run.version(), run.timestamp()), (false, Version(3), Timestamp(3)));
}
