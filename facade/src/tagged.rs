//! Values as JSON text from which each comes back exactly, also those that JSON does not have.
//!
//! | value | JSON |
//! |---|---|
//! | null, bool, string, array | themselves |
//! | int from -(2^53 - 1) to 2^53 - 1 | a number without `.` and exponent |
//! | any other int | `{"$int": "9223372036854775807"}` |
//! | float | a number with `.` or an exponent, the shortest that is read as the same one |
//! | NaN, the infinities | `{"$float": "NaN"}`, `{"$float": "Infinity"}`, `{"$float": "-Infinity"}` |
//! | bytes | `{"$bytes": "00ff"}`, two hexadecimal digits each |
//! | what is left of an erased value | `{"$erased": null}` |
//! | object | itself, members in their order; one with a single member whose name begins with `$` is `{"$object": {...}}` |
//!
//! So an object with a single member whose name begins with `$` is always one of these tags, and never somebody's own.

use std::fmt::Write as _;

use strata_primitives::Value;

/// Beyond this many readers begin to round, as they take every number for a double (RFC 8259, section 6).
const EXACT_MAX: i64 = (1 << 53) - 1;

/// A value that JSON has, and that says what the given one is.
pub(crate) fn tagged(value: Value) -> Value {
    match value {
        Value::Int(number) if !(-EXACT_MAX..=EXACT_MAX).contains(&number) => tag("$int", number.to_string()),
        Value::Float(number) if number.is_nan() => tag("$float", "NaN".into()),
        Value::Float(f64::INFINITY) => tag("$float", "Infinity".into()),
        Value::Float(f64::NEG_INFINITY) => tag("$float", "-Infinity".into()),
        Value::Bytes(bytes) => tag("$bytes", hex(&bytes)),
        Value::Erased => Value::Object(vec![("$erased".into(), Value::Null)]),
        Value::Array(items) => Value::Array(items.into_iter().map(tagged).collect()),
        Value::Object(members) => {
            let is_like_a_tag = matches!(&members[..], [(name, _)] if name.starts_with('$'));
            let members = members.into_iter().map(|(name, member)| (name, tagged(member))).collect();
            match is_like_a_tag {
                true => Value::Object(vec![("$object".into(), Value::Object(members))]),
                false => Value::Object(members),
            }
        }
        plain => plain,
    }
}

/// The same of a number that is never negative.
pub(crate) fn tagged_number(number: u64) -> Value {
    match i64::try_from(number) {
        Ok(number) => tagged(Value::Int(number)),
        Err(_) => tag("$int", number.to_string()),
    }
}

/// Two hexadecimal digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    bytes.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes whatever is written"));
    text
}

fn tag(name: &str, text: String) -> Value {
    Value::Object(vec![(name.into(), Value::String(text))])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json_text::json_line;
    use crate::parse_json;

    /// Reads what the table above says.
    fn untagged(value: Value) -> Value {
        let is_tag = matches!(&value, Value::Object(members) if matches!(&members[..], [(name, _)] if name.starts_with('$')));
        match value {
            Value::Object(mut members) if is_tag => match members.pop().unwrap() {
                (name, Value::String(text)) if name == "$int" => Value::Int(text.parse().unwrap()),
                (name, Value::String(text)) if name == "$float" => Value::Float(text.parse().unwrap()),
                (name, Value::String(text)) if name == "$bytes" => {
                    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
                    Value::Bytes((0..text.len()).step_by(2).map(byte).collect())
                }
                (name, Value::Null) if name == "$erased" => Value::Erased,
                (name, Value::Object(members)) if name == "$object" => each(members),
                other => panic!("{other:?} is no tag"),
            },
            Value::Object(members) => each(members),
            Value::Array(items) => Value::Array(items.into_iter().map(untagged).collect()),
            plain => plain,
        }
    }

    fn each(members: Vec<(String, Value)>) -> Value {
        Value::Object(members.into_iter().map(|(name, member)| (name, untagged(member))).collect())
    }

    #[test]
    fn every_kind_of_value_has_the_json_that_is_documented() {
        for (value, text) in [
            (Value::Null, "null"),
            (true.into(), "true"),
            (Value::Int(EXACT_MAX), "9007199254740991"),
            (Value::Int(-EXACT_MAX), "-9007199254740991"),
            (Value::Int(EXACT_MAX + 1), r#"{"$int":"9007199254740992"}"#),
            (Value::Int(i64::MIN), r#"{"$int":"-9223372036854775808"}"#),
            (1.0.into(), "1.0"),
            (1e300.into(), "1e+300"),
            (f64::NAN.into(), r#"{"$float":"NaN"}"#),
            (f64::INFINITY.into(), r#"{"$float":"Infinity"}"#),
            (f64::NEG_INFINITY.into(), r#"{"$float":"-Infinity"}"#),
            ("a\n".into(), r#""a\n""#),
            (Value::Bytes(vec![0, 255]), r#"{"$bytes":"00ff"}"#),
            (vec![Value::Bytes(vec![])].into(), r#"[{"$bytes":""}]"#),
            (Value::Erased, r#"{"$erased":null}"#),
            (Value::from([("b", Value::Int(1)), ("a", Value::Int(2))]), r#"{"b":1,"a":2}"#),
            (Value::from([("$bytes", Value::from("00"))]), r#"{"$object":{"$bytes":"00"}}"#),
            (Value::from([("$", Value::Null)]), r#"{"$object":{"$":null}}"#),
            (Value::from([("$int", Value::from("1")), ("b", "2".into())]), r#"{"$int":"1","b":"2"}"#),
            (Value::Object(vec![]), "{}"),
        ] {
            assert_eq!(json_line(&tagged(value)), text);
        }
        assert_eq!(json_line(&tagged_number(u64::MAX)), r#"{"$int":"18446744073709551615"}"#);
    }

    #[test]
    fn the_deepest_value_has_a_text() {
        let deepest = (0..128).fold(Value::Bytes(vec![1]), |inner, _| Value::from([("$object", inner)]));
        assert_eq!(json_line(&tagged(deepest)).matches("$object").count(), 256);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            any::<String>().prop_map(Value::String),
            any::<Vec<u8>>().prop_map(Value::Bytes),
            Just(Value::Erased),
        ];
        let name = prop_oneof!["[a-c]", Just("$int".to_string()), Just("$object".to_string()), "\\$[a-b]?"];
        leaf.prop_recursive(4, 30, 4, move |inner| {
            let members = proptest::collection::btree_map(name.clone(), inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_comes_back_from_its_tagged_text(value in any_value()) {
            let text = json_line(&tagged(value.clone()));
            prop_assert_eq!(untagged(parse_json(&text).unwrap()), value);
        }
    }
}
