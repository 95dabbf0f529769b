//! Golden bytes of every mutation, and what damage does to them.
use super::*;
use crate::id::{Namespace, RunId};
use crate::json::Pointer;
use crate::version::Durability;
use crate::version::Stamp;

fn meta() -> RunMeta {
    RunMeta {
        name: Some("n".into()),
        namespace: Namespace::new("t", "", "g"),
        parent: Some(RunId::from_bytes([6; 16])),
        tags: vec!["x".into()],
        metadata: Encoded::from_canonical(&[0]),
        status: RunStatus::Active,
        created: Timestamp(9),
        begun_in_boot: 3,
        durability: Some(Durability::Strict),
        retention: None,
        event_retention: None,
        trace_retention: None,
        forked_from: None,
        imported: None,
        since: Version::NEVER,
        gaps: Vec::new(),
    }
}

fn trace() -> Trace {
    Trace {
        id: TraceId::from_bytes([7; 16]),
        parent: Some(TraceId::from_bytes([6; 16])),
        kind: "s".into(),
        tags: Arc::from(["x".into()]),
        body: Encoded::from_canonical(&[2]),
        began: Timestamp(5),
        ended: Some(Timestamp(9)),
        stamp: Stamp::default(),
        recorded: Stamp::default(),
    }
}

fn golden() -> Vec<(Mutation, &'static str)> {
    let value = || Encoded::from_canonical(&[2]);
    let previous = Version(4);
    let bare = RunMeta { name: None, parent: None, tags: vec![], durability: None, ..meta() };
    vec![
        (
            Mutation::Erase {
                entity: Box::new(EntityRef::kv(RunId::from_bytes([1; 16]), "k")),
                from: Version(1),
                through: Version(4),
                reason: "why".into(),
            },
            "13 0100000000000000 0400000000000000 02 01010101010101010101010101010101 010000006b 03000000776879",
        ),
        (
            Mutation::EventErased { sequence: 5, kind: "e".into(), digest: [8; 32], hash: [9; 32] },
            "14 0500000000000000 0808080808080808080808080808080808080808080808080808080808080808 \
             0909090909090909090909090909090909090909090909090909090909090909 0100000065",
        ),
        (
            Mutation::KvPut { key: "k".into(), value: value(), deadline: None, previous },
            "01 0400000000000000 0000000000000000 010000006b 0100000002",
        ),
        (
            Mutation::KvPut { key: "k".into(), value: value(), deadline: Some(Timestamp(7)), previous },
            "01 0400000000000000 0700000000000000 010000006b 0100000002",
        ),
        (Mutation::KvDelete { key: "k".into(), previous }, "02 0400000000000000 010000006b"),
        (
            Mutation::KvDeadline { key: "k".into(), deadline: Some(Timestamp(7)), previous },
            "03 0400000000000000 0700000000000000 010000006b",
        ),
        (
            Mutation::EventAppend {
                sequence: 5,
                kind: "e".into(),
                payload: value(),
                salt: [0xaa; 16],
                hash: [0xbb; 32],
            },
            "04 0500000000000000 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
             bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 0100000065 0100000002",
        ),
        (
            Mutation::RunCreate { meta: Box::new(meta()), previous },
            "05 0400000000000000 01 010000006e 0100000074 00000000 0100000067 \
             01 06060606060606060606060606060606 01000000 0100000078 0100000000 \
             01 0900000000000000 0300000000000000 03",
        ),
        (
            Mutation::RunCreate { meta: Box::new(bare), previous },
            "05 0400000000000000 00 0100000074 00000000 0100000067 \
             00 00000000 0100000000 01 0900000000000000 0300000000000000 00",
        ),
        (Mutation::RunBegin { boot: 8, previous }, "06 0400000000000000 0800000000000000"),
        (Mutation::RunStatus { status: RunStatus::Failed, previous }, "07 0400000000000000 03"),
        (
            Mutation::RunTags { tags: vec!["x".into(), "yz".into()], previous },
            "08 0400000000000000 02000000 0100000078 02000000797a",
        ),
        (Mutation::RunMetadata { metadata: value(), previous }, "09 0400000000000000 0100000002"),
        (Mutation::RunDelete { previous }, "0a 0400000000000000"),
        (
            Mutation::CellSet { name: "c".into(), value: value(), deadline: Some(Timestamp(7)), previous },
            "0b 0400000000000000 0700000000000000 0100000063 0100000002",
        ),
        (Mutation::CellDelete { name: "c".into(), previous }, "0c 0400000000000000 0100000063"),
        (
            Mutation::JsonWrite {
                name: "d".into(),
                write: JsonWrite::Set { path: Pointer::parse("/a", 8).unwrap(), value: value() },
                previous,
            },
            "0f 0400000000000000 0100000064 02 020000002f61 0100000002",
        ),
        (Mutation::JsonDestroy { name: "d".into(), previous }, "10 0400000000000000 0100000064"),
        (
            Mutation::RunRetention { retention: Some(Retention::KeepLast(7)), previous },
            "11 0400000000000000 01 02 0700000000000000",
        ),
        (Mutation::RunRetention { retention: None, previous }, "11 0400000000000000 00"),
        (
            Mutation::RunFork {
                point: ForkPoint { run: RunId::from_bytes([5; 16]), version: previous },
                meta: Box::new(RunMeta {
                    name: None,
                    parent: None,
                    tags: vec![],
                    durability: None,
                    namespace: Namespace::default(),
                    ..meta()
                }),
            },
            "12 0400000000000000 05050505050505050505050505050505 00 00000000 00000000 00000000 00 00000000 \
             0100000000 01 0900000000000000 0300000000000000 00",
        ),
        (
            Mutation::RunImport {
                version: previous,
                floor: Version(2),
                meta: Box::new(RunMeta {
                    name: None,
                    parent: None,
                    tags: vec![],
                    durability: None,
                    namespace: Namespace::default(),
                    retention: Some(Retention::KeepLast(7)),
                    forked_from: Some(ForkPoint { run: RunId::from_bytes([5; 16]), version: Version(3) }),
                    imported: Some(previous),
                    since: previous.next(),
                    ..meta()
                }),
            },
            "15 0400000000000000 0200000000000000 00 00000000 00000000 00000000 00 00000000 0100000000 01 \
             0900000000000000 0300000000000000 00 01 02 0700000000000000 02 0400000000000000 \
             01 05050505050505050505050505050505 0300000000000000",
        ),
        (
            Mutation::EventRetention { retention: Some(Retention::KeepLast(7)), previous },
            "16 0400000000000000 01 02 0700000000000000",
        ),
        (Mutation::EventRetention { retention: None, previous }, "16 0400000000000000 00"),
        (Mutation::EventTrim { before: 3 }, "17 0300000000000000"),
        (
            Mutation::TraceRetention { retention: Some(Retention::KeepLast(7)), previous },
            "18 0400000000000000 01 02 0700000000000000",
        ),
        (Mutation::TraceRetention { retention: None, previous }, "18 0400000000000000 00"),
        (Mutation::TraceTrim { before: 3 }, "19 0300000000000000"),
        (
            Mutation::TraceRecord { trace: Box::new(trace()) },
            "0d 07070707070707070707070707070707 01 06060606060606060606060606060606 \
             0100000073 01000000 0100000078 0100000002 0500000000000000 01 0900000000000000",
        ),
        (
            Mutation::TraceRecord {
                trace: Box::new(Trace { parent: None, tags: Arc::default(), ended: None, ..trace() }),
            },
            "0d 07070707070707070707070707070707 00 0100000073 00000000 0100000002 0500000000000000 00",
        ),
        (
            Mutation::TraceEnd {
                id: TraceId::from_bytes([7; 16]),
                ended: Timestamp(9),
                body: value(),
                previous,
            },
            "0e 0400000000000000 07070707070707070707070707070707 0900000000000000 0100000002",
        ),
    ]
}

fn encoded(mutation: &Mutation) -> Vec<u8> {
    let mut bytes = Vec::new();
    mutation.encode(&mut bytes);
    bytes
}

#[test]
fn the_bytes_of_every_mutation_never_change() {
    for (mutation, golden) in golden() {
        let bytes = encoded(&mutation);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.replace(' ', ""), "{}", mutation.name());
        assert_eq!(bytes.len(), mutation.encoded_size());
        let mut input = &bytes[..];
        assert_eq!(Mutation::decode(&mut input).unwrap(), mutation);
        assert!(input.is_empty());
    }
}

#[test]
fn the_golden_bytes_cover_the_whole_table() {
    for (index, row) in Mutation::table().iter().enumerate() {
        assert_eq!(usize::from(row.tag), index + 1, "{}", row.name);
        assert!(
            golden().iter().any(|(mutation, _)| mutation.tag() == row.tag && mutation.name() == row.name)
        );
    }
}

#[test]
fn a_mutation_cut_anywhere_is_refused() {
    for (mutation, _) in golden() {
        let bytes = encoded(&mutation);
        for cut in 0..bytes.len() {
            assert!(Mutation::decode(&mut &bytes[..cut]).is_err(), "{} cut at {cut}", mutation.name());
        }
    }
}

#[test]
fn a_mutation_with_any_bit_flipped_is_decoded_or_refused_but_never_panics() {
    for (mutation, _) in golden() {
        let bytes = encoded(&mutation);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = Mutation::decode(&mut &damaged[..]) {
                assert_ne!(decoded, mutation, "bit {bit} of {} is not looked at", mutation.name());
            }
        }
    }
}

#[test]
fn unknown_tags_and_undecodable_metadata_are_refused() {
    let unknown = [[99].as_slice(), &[0; 8]].concat();
    assert_eq!(
        Mutation::decode(&mut &unknown[..]),
        Err(DecodeError::UnknownTag { what: "mutation", tag: 99 })
    );
    let damaged = Mutation::RunMetadata { metadata: Encoded::from_canonical(&[99]), previous: Version(0) };
    assert_eq!(
        Mutation::decode(&mut &encoded(&damaged)[..]),
        Err(DecodeError::UnknownTag { what: "value", tag: 99 })
    );
}
