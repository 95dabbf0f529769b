//! Golden bytes, limits and damage of encoded values.
use super::*;
use crate::id::RunId;

fn encode_with(value: &Value, limits: &Limits) -> Result<Encoded, Error> {
    Encoded::from_value(value, limits, || EntityRef::kv(RunId::from_bytes([0; 16]), "k"))
}

fn encode(value: &Value) -> Encoded {
    encode_with(value, &Limits::default()).unwrap()
}

fn refusal(value: &Value, limits: &Limits) -> String {
    let error = encode_with(value, limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.entity().is_some(), "a refusal names the entity");
    error.message().to_owned()
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[test]
fn the_bytes_of_every_kind_of_value_never_change() {
    let nan = f64::from_bits(0xfff8_0000_0000_0001);
    let cases: Vec<(Value, Vec<u8>, &str)> = vec![
        (Value::Null, vec![0], "null"),
        (false.into(), vec![1], "bool"),
        (true.into(), vec![2], "bool"),
        ((-2i64).into(), vec![3, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "int"),
        (1.5.into(), vec![4, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "float"),
        ((-0.0).into(), vec![4, 0, 0, 0, 0, 0, 0, 0, 0], "float"),
        (nan.into(), vec![4, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f], "float"),
        ("é".into(), vec![5, 2, 0, 0, 0, 0xc3, 0xa9], "string"),
        (vec![7u8, 8].into(), vec![6, 2, 0, 0, 0, 7, 8], "bytes"),
        (vec![Value::Null, true.into()].into(), vec![7, 2, 0, 0, 0, 0, 2], "array"),
        (Value::from([("a", Value::Null)]), vec![8, 1, 0, 0, 0, 1, 0, 0, 0, b'a', 0], "object"),
    ];
    for (value, golden, kind) in cases {
        let encoded = encode(&value);
        assert_eq!(encoded.as_bytes(), golden, "{value}");
        assert_eq!((encoded.len(), encoded.is_empty(), encoded.kind()), (golden.len(), false, kind));
        assert_eq!(encoded.to_value().unwrap(), value);
        assert_eq!(Encoded::from_canonical(&golden), encoded);
        for cut in 0..golden.len() {
            assert!(Encoded::from_canonical(&golden[..cut]).to_value().is_err(), "{value} cut at {cut}");
        }
    }
}

/// A text is looked at without a proof that it is one, so nothing else may pass for it.
#[test]
fn only_a_whole_text_is_read_without_decoding() {
    for text in ["", "a", "gr\u{fc}n \u{10ffff}"] {
        let encoded = encode(&text.into());
        let stored = Encoded::from_canonical_under("key", encoded.as_bytes());
        assert_eq!((encoded.as_str(), stored.as_str()), (Some(text), Some(text)));
        assert_eq!((&stored, stored.to_value().unwrap()), (&encoded, text.into()));
        assert_eq!(stored.under(&"other".into()).as_str(), Some(text));
    }
    assert_eq!(encode(&vec![b'a'].into()).as_str(), None, "bytes are no text");
    let damaged: [&[u8]; 4] = [
        &[STRING, 1, 0, 0, 0, 0xff],
        &[STRING, 2, 0, 0, 0, b'a'],
        &[STRING, 0, 0, 0, 0, b'a'],
        &[STRING, 0, 0],
    ];
    for bytes in damaged {
        let encoded = Encoded::from_canonical(bytes);
        assert!(encoded.as_str().is_none() && encoded.to_value().is_err(), "{bytes:?}");
    }
}

#[test]
fn whole_numbers_are_read_without_decoding() {
    assert_eq!(Encoded::from_int(-7), encode(&Value::Int(-7)));
    assert_eq!(Encoded::from_int(-7).as_int(), Some(-7));
    assert_eq!(encode(&Value::Float(1.0)).as_int(), None);
    assert_eq!(Encoded::from_canonical(&[INT, 1]).as_int(), None);
    assert_eq!(Encoded::from_canonical(&[]).kind(), "damaged");
    assert!(Encoded::from_canonical(&[]).is_empty());
}

#[test]
fn a_string_may_be_as_large_as_the_limit_and_no_larger() {
    let limits = Limits { value_size_max: 10, ..Limits::default() };
    assert!(encode_with(&"0123456789".into(), &limits).is_ok());
    assert_eq!(refusal(&"0123456789a".into(), &limits), "value_size_max is 10 bytes, the value has 11");
    let long_items = Value::Array(vec!["0123".into(), "0123".into()]);
    assert_eq!(refusal(&long_items, &limits), "value_size_max is 10 bytes, the value has 18");
    let long_members = Value::from([("name", Value::from("012345"))]);
    assert_eq!(refusal(&long_members, &limits), "value_size_max is 10 bytes, the value has 19");
    assert!(encode(&"0123456789".into()).check(&limits).is_ok());
    assert!(encode(&"0123456789a".into()).check(&limits).unwrap_err().message().contains("11"));
}

#[test]
fn a_value_may_be_nested_to_the_limit_and_no_deeper() {
    let limits = Limits::default();
    assert_eq!(encode(&nested(128)).to_value().unwrap(), nested(128));
    assert!(refusal(&nested(129), &limits).contains("depth_max is 128"));
    let object = Value::from([("o", nested(128))]);
    assert!(refusal(&object, &limits).contains("depth_max"));
    let raised = Limits { depth_max: 1000, ..Limits::default() };
    assert!(refusal(&nested(129), &raised).contains("depth_max is 128"), "the depth is only ever lowered");
}

#[test]
fn arrays_and_objects_hold_at_most_the_limit() {
    let limits = Limits { items_max: 2, ..Limits::default() };
    assert!(encode_with(&vec![Value::Null; 2].into(), &limits).is_ok());
    assert!(refusal(&vec![Value::Null; 3].into(), &limits).contains("items_max is 2 items, the array has 3"));
    let members = [("a", Value::Null), ("b", Value::Null), ("c", Value::Null)];
    assert!(refusal(&Value::from(members), &limits).contains("the object has 3"));
}

#[test]
fn an_object_names_every_member_once() {
    let limits = Limits::default();
    let few = Value::from([("a", Value::Null), ("a", Value::Null)]);
    assert_eq!(refusal(&few, &limits), "the object names \"a\" twice");
    let many = (0..20).map(|index| (format!("m{}", index % 19), Value::Null)).collect::<Vec<_>>();
    assert_eq!(refusal(&many.clone().into(), &limits), "the object names \"m0\" twice");
    assert_eq!(encode(&many[..19].to_vec().into()).to_value().unwrap(), many[..19].to_vec().into());
}

#[test]
fn damaged_bytes_are_reported_and_never_believed() {
    let too_deep = [[ARRAY, 1, 0, 0, 0].repeat(200), vec![NULL]].concat();
    let cases: [(&[u8], &str); 7] = [
        (&[ARRAY, 1, 0, 0, 0, ERASED], "unknown value tag 9"),
        (&[10], "unknown value tag 10"),
        (&[NULL, NULL], "1 bytes left over"),
        (&[ARRAY, 0xff, 0xff, 0xff, 0xff], "truncated: 4294967295 bytes needed, 0 left"),
        (&[FLOAT, 0, 0, 0, 0, 0, 0, 0, 0x80], "float 0x8000000000000000 is not canonical"),
        (&[STRING, 1, 0, 0, 0, 0xff], "text is not UTF-8"),
        (&too_deep, "value nested deeper than 128"),
    ];
    for (bytes, message) in cases {
        let damaged = Encoded::from_canonical(bytes);
        let error = damaged.to_value().unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, message));
        assert!(format!("{damaged:?}").contains(message));
    }
    assert_eq!(format!("{:?}", encode(&Value::Int(1))), "Encoded(1)");
}
