//! Golden bytes of every entry, and what damage does to them.
use super::*;
use crate::width::Width;

fn stamp(version: u64, timestamp: u64) -> Stamp {
    Stamp { version: Version(version), timestamp: Timestamp(timestamp) }
}

fn number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

/// Tag and stamp (2, 7).
fn begun(tag: u8) -> Vec<u8> {
    let mut bytes = vec![tag];
    number(&mut bytes, 2);
    number(&mut bytes, 7);
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn int(bytes: &mut Vec<u8>, value: i64) {
    bytes.extend_from_slice(&[9, 0, 0, 0, 3]);
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn trace() -> Trace {
    Trace {
        id: TraceId::from_bytes([4; 16]),
        parent: None,
        kind: "step".into(),
        tags: Arc::default(),
        body: Encoded::from_int(2),
        began: Timestamp(5),
        ended: Some(Timestamp(6)),
        stamp: stamp(2, 7),
        recorded: stamp(1, 5),
    }
}

/// Every kind of entry with its bytes.
fn golden() -> Vec<(ImageEntry, Vec<u8>)> {
    let mut head = begun(1);
    number(&mut head, 1);
    let missing = [head.clone(), vec![0]].concat();
    head.push(1);
    RunMeta::plain().encode_whole(Width::Fixed, &mut head);
    let keyed = |tag, deadline| {
        let mut bytes = begun(tag);
        number(&mut bytes, deadline);
        text(&mut bytes, "a");
        int(&mut bytes, 5);
        bytes
    };
    let tree = Document::from_encoded(&Encoded::from_int(5), stamp(2, 7)).unwrap();
    let mut document = begun(4);
    text(&mut document, "d");
    tree.encode_tree(&mut document);
    let mut event = begun(5);
    event.extend_from_slice(&[8; 16]);
    event.extend_from_slice(&[9; 32]);
    text(&mut event, "k");
    int(&mut event, 5);
    let mut begins = vec![16];
    number(&mut begins, 3);
    begins.extend_from_slice(&[9; 32]);
    [1, 2, 4].into_iter().for_each(|field| number(&mut begins, field));
    let mut removed_events = vec![17];
    number(&mut removed_events, 2);
    text(&mut removed_events, "k");
    let mut traced = begun(6);
    number(&mut traced, 1);
    number(&mut traced, 5);
    trace().encode(&mut traced);
    let mut receipt = vec![7];
    receipt.extend_from_slice(&[3; 16]);
    receipt.extend_from_slice(&begun(0)[1..]);
    receipt.push(3);
    receipt.extend_from_slice(&[6; 8]);
    receipt.extend_from_slice(&[1, 0, 0, 0, 0]);
    let commit = Commit { version: Version(2), timestamp: Timestamp(7), durability: Durability::Strict };
    let answered = Receipt { commit, effects: vec![Effect::None], fingerprint: Fingerprint([6; 8]) };
    let mut end = vec![8];
    number(&mut end, 9);
    let removed = |code| {
        let mut bytes = vec![9, code];
        text(&mut bytes, "a");
        bytes
    };
    let mut ended = begun(10);
    ended.extend_from_slice(&[4; 16]);
    number(&mut ended, 6);
    int(&mut ended, 5);
    let mut erased = vec![11];
    [1, 4, 6].into_iter().for_each(|version| number(&mut erased, version));
    erased.push(3);
    erased.extend_from_slice(&[1; 16]);
    number(&mut erased, 9);
    erased.push(1);
    erased.extend_from_slice(&[9; 32]);
    text(&mut erased, "why");
    let erasure = Erasure {
        entity: crate::entity::EntityRef::event(crate::id::RunId::from_bytes([1; 16]), 9),
        from: Version(1),
        through: Version(4),
        by: Version(6),
        event_hash: Some([9; 32]),
        reason: "why".into(),
    };
    let mut event_erased = begun(12);
    event_erased.extend_from_slice(&[8; 32]);
    event_erased.extend_from_slice(&[9; 32]);
    text(&mut event_erased, "k");
    let mut kept = vec![13];
    number(&mut kept, 1);
    kept.extend_from_slice(&keyed(2, 9)[1..]);
    let mut moved = begun(14);
    number(&mut moved, 9);
    text(&mut moved, "a");
    let mut ended_trace = vec![20];
    number(&mut ended_trace, 1);
    ended_trace.extend_from_slice(&ended[1..]);
    let (mut traces_begin, mut removed_traces) = (vec![18], vec![19]);
    [3, 1, 2, 4].into_iter().for_each(|value| number(&mut traces_begin, value));
    number(&mut removed_traces, 2);
    text(&mut removed_traces, "k");
    let (stamp, value) = (stamp(2, 7), Encoded::from_int(5));
    let deadline = Some(Timestamp(9));
    let (salt, hash, meta_version) = ([8; 16], [9; 32], Version(1));
    vec![
        (ImageEntry::Head { stamp, meta_version, meta: Some(Box::new(RunMeta::plain())) }, head),
        (ImageEntry::Head { stamp, meta_version, meta: None }, missing),
        (ImageEntry::Key { stamp, deadline: None, key: "a".into(), value: value.clone() }, keyed(2, 0)),
        (
            ImageEntry::Cell { stamp, deadline: Some(Timestamp(9)), name: "a".into(), value: value.clone() },
            keyed(3, 9),
        ),
        (ImageEntry::Document { stamp, name: "d".into(), document: tree }, document),
        (ImageEntry::Event { stamp, salt, hash, kind: "k".into(), payload: value.clone() }, event),
        (ImageEntry::Removed { what: Removed::Key, name: "a".into() }, removed(1)),
        (ImageEntry::Removed { what: Removed::Cell, name: "a".into() }, removed(2)),
        (ImageEntry::Removed { what: Removed::Document, name: "a".into() }, removed(3)),
        (
            ImageEntry::Ended {
                stamp,
                recorded: Version::NEVER,
                id: trace().id,
                ended: Timestamp(6),
                body: value.clone(),
            },
            ended,
        ),
        (
            ImageEntry::Ended {
                stamp,
                recorded: Version(1),
                id: trace().id,
                ended: Timestamp(6),
                body: value,
            },
            ended_trace,
        ),
        (ImageEntry::Trace { trace: Box::new(trace()) }, traced),
        (ImageEntry::Receipt { id: OperationId([3; 16]), receipt: answered }, receipt),
        (ImageEntry::Erasure { erasure: Box::new(erasure) }, erased),
        (ImageEntry::EventErased { stamp, digest: [8; 32], hash: [9; 32], kind: "k".into() }, event_erased),
        (
            ImageEntry::KeptKey {
                written: Version(1),
                stamp,
                deadline,
                key: "a".into(),
                value: Encoded::from_int(5),
            },
            kept,
        ),
        (ImageEntry::Deadline { stamp, deadline, key: "a".into() }, moved),
        (
            ImageEntry::EventsBegin {
                first: 3,
                hash: [9; 32],
                from: Version(1),
                through: Version(2),
                next: 4,
            },
            begins,
        ),
        (ImageEntry::EventsRemoved { kind: "k".into(), count: 2 }, removed_events),
        (ImageEntry::TracesBegin { first: 3, from: Version(1), through: Version(2), next: 4 }, traces_begin),
        (ImageEntry::TracesRemoved { kind: "k".into(), count: 2 }, removed_traces),
        (ImageEntry::Gap { size: 3 }, vec![15, 3, 0, 0, 0, 0, 0, 0]),
        (ImageEntry::End { count: 9 }, end),
    ]
}

#[test]
fn the_bytes_of_every_entry_never_change() {
    for (entry, golden) in golden() {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes, golden, "{entry:?}");
        let mut input = &bytes[..];
        assert_eq!(ImageEntry::decode(&mut input), Ok(entry));
        assert!(input.is_empty());
        for cut in 0..bytes.len() {
            assert!(ImageEntry::decode(&mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
    let unknown = Err(DecodeError::UnknownTag { what: "image entry", tag: 21 });
    assert_eq!(ImageEntry::decode(&mut &[21][..]), unknown);
    let unknown = Err(DecodeError::UnknownTag { what: "removed thing", tag: 4 });
    assert_eq!(ImageEntry::decode(&mut &[9, 4][..]), unknown);
}
