use super::*;

/// One place of each sort with its bytes.
fn places() -> Vec<(ReadPlace, Vec<u8>)> {
    let version = Version(3);
    let (id, operation) = (TraceId::from_bytes([8; 16]), OperationId([9; 16]));
    let (from, to) = (Bound::Included("a".to_owned()), Bound::Excluded("b".to_owned()));
    let three = [3, 0, 0, 0, 0, 0, 0, 0];
    let range = [1, 1, 0, 0, 0, b'a', 2, 1, 0, 0, 0, b'b'];
    let bytes = |parts: &[&[u8]]| parts.concat();
    vec![
        (ReadPlace::Key { key: "k".into(), version }, bytes(&[&[1, 1, 0, 0, 0, b'k'], &three])),
        (ReadPlace::Cell { name: "c".into(), version }, bytes(&[&[2, 1, 0, 0, 0, b'c'], &three])),
        (
            ReadPlace::Document { name: "d".into(), path: "/p".into(), version },
            bytes(&[&[3, 1, 0, 0, 0, b'd', 2, 0, 0, 0, b'/', b'p'], &three]),
        ),
        (ReadPlace::Trace { id, version }, bytes(&[&[4], &[8; 16], &three])),
        (ReadPlace::Run { version }, bytes(&[&[5], &three])),
        (ReadPlace::Receipt { id: operation }, bytes(&[&[6], &[9; 16]])),
        (ReadPlace::Keys { from: from.clone(), to: to.clone() }, bytes(&[&[7], &range])),
        (ReadPlace::Cells { from, to }, bytes(&[&[8], &range])),
        (ReadPlace::Documents { from: Bound::Unbounded, to: Bound::Unbounded }, vec![9, 0, 0]),
        (ReadPlace::EventsFrom { sequence: 3 }, bytes(&[&[10], &three])),
        (ReadPlace::NoEventsFrom { kind: None, sequence: 3 }, bytes(&[&[11, 0], &three])),
        (
            ReadPlace::NoEventsFrom { kind: Some("e".into()), sequence: 3 },
            bytes(&[&[11, 1, 1, 0, 0, 0, b'e'], &three]),
        ),
        (
            ReadPlace::Traces { kind: Some("k".into()), tag: Some("t".into()), parent: Some(id) },
            bytes(&[&[12, 1, 1, 0, 0, 0, b'k', 1, 1, 0, 0, 0, b't', 1], &[8; 16]]),
        ),
        (ReadPlace::Traces { kind: None, tag: None, parent: None }, vec![12, 0, 0, 0]),
        (ReadPlace::TraceTree { root: id }, bytes(&[&[13], &[8; 16]])),
        (ReadPlace::TracesFrom { place: 3 }, bytes(&[&[14], &three])),
    ]
}

#[test]
fn the_bytes_of_every_place_that_was_read_never_change() {
    for (place, golden) in places() {
        let mut bytes = Vec::new();
        place.encode(&mut bytes);
        assert_eq!(bytes, golden, "{place:?}");
        assert_eq!(ReadPlace::decode(&mut &bytes[..]).as_ref(), Ok(&place));
        for cut in 0..bytes.len() {
            assert!(ReadPlace::decode(&mut &bytes[..cut]).is_err(), "{place:?}");
        }
    }
    let all = CommitReads { places: places().into_iter().map(|(place, _)| place).collect(), is_cut: true };
    let mut bytes = Vec::new();
    all.encode(&mut bytes);
    assert_eq!(bytes[0], 1);
    assert_eq!(CommitReads::decode(&bytes), Ok(all));
}

#[test]
fn bytes_that_nobody_wrote_are_refused_and_no_length_is_believed() {
    assert_eq!(CommitReads::decode(&[0]), Ok(CommitReads::default()));
    assert!(CommitReads::decode(&[]).is_err());
    for (damaged, what) in [(&[2][..], "reads"), (&[0, 0], "place that was read"), (&[0, 9, 3], "bound")] {
        let error = CommitReads::decode(damaged).unwrap_err();
        assert!(matches!(error, DecodeError::UnknownTag { what: found, .. } if found == what), "{error}");
    }
    let huge = [0, 1, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(
        CommitReads::decode(&huge),
        Err(DecodeError::Truncated { needed: u32::MAX as usize, left: 1 })
    );
}

#[test]
fn paths_leave_with_what_they_are_words_of() {
    let document = |name: &str, path: &str| ReadPlace::Document {
        name: name.into(),
        path: path.into(),
        version: Version(2),
    };
    let reads = CommitReads { places: vec![document("a", "/x"), document("b", "/y")], is_cut: false };
    let without = reads.without_paths(|name| &**name == "a").unwrap();
    assert_eq!(without.places, [document("a", ""), document("b", "/y")]);
    assert_eq!(without.without_paths(|name| &**name == "a"), None, "it stays as it is");
}
