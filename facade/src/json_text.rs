//! JSON text, in and out of values.
use serde::de::{self, MapAccess, SeqAccess};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use strata_primitives::json::check_json;
use strata_primitives::limits::VALUE_DEPTH_MAX;
use strata_primitives::{Error, ErrorKind, Value};

/// Parses one JSON text. Members keep their order, floats come out exact, whole numbers are `Int`; only `-0`, which
/// no integer is, is the float -0.0.
///
/// # Errors
/// `InvalidArgument` for text that is not JSON, a member named twice, a whole number outside 64 signed bits, a float
/// that is too large to be one, and nesting deeper than 128.
///
/// ```
/// let plan = strata::parse_json(r#"{"nights": 2, "limit": 299.5}"#).unwrap();
/// assert_eq!(plan.get("nights").unwrap().as_int(), Some(2));
/// assert_eq!(strata::to_json(&plan).unwrap(), r#"{"nights":2,"limit":299.5}"#);
/// ```
pub fn parse_json(text: &str) -> Result<Value, Error> {
    check_shape(text)?;
    let mut parser = serde_json::Deserializer::from_str(text);
    // The depth was checked, by our limit; the parser's own is one lower.
    parser.disable_recursion_limit();
    let parsed = Parsed::deserialize(&mut parser).and_then(|parsed| parser.end().map(|()| parsed.0));
    parsed.map_err(|error| invalid(format!("the text is not JSON: {error}")).with_source(error))
}

/// The JSON text of a value, without spaces; [`parse_json`] gives an equal value back.
///
/// # Errors
/// `InvalidArgument` for what JSON cannot hold: bytes, NaN, infinities, and nesting deeper than 128.
pub fn to_json(value: &Value) -> Result<String, Error> {
    check_json(value)?;
    serde_json::to_string(&Written(value))
        .map_err(|error| invalid(format!("the value has no JSON text: {error}")).with_source(error))
}

/// The JSON text of a value that holds only what JSON can, however deep.
///
/// # Panics
/// If it holds bytes.
pub(crate) fn json_line(value: &Value) -> String {
    serde_json::to_string(&Written(value)).expect("a value that JSON has has a text")
}

/// Refuses nesting that would overflow the stack, and whole numbers the parser would round to floats.
///
/// Right for text that is JSON, and for other text as far as the parser will come.
fn check_shape(text: &str) -> Result<(), Error> {
    let (bytes, mut index, mut depth) = (text.as_bytes(), 0, 0usize);
    while let Some(byte) = bytes.get(index) {
        let rest = &text.as_bytes()[index..];
        index += match byte {
            b'"' => string_size(rest),
            b'-' | b'0'..=b'9' => {
                let size = number_size(rest);
                check_number(&text[index..index + size])?;
                size
            }
            _ => 1,
        };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > VALUE_DEPTH_MAX {
            return Err(invalid(format!("depth_max is {VALUE_DEPTH_MAX}, the JSON text is nested deeper")));
        }
    }
    Ok(())
}

/// Bytes of the string `rest` begins with, its quotes included; all of them if it does not end.
fn string_size(rest: &[u8]) -> usize {
    let mut index = 1;
    while let Some(byte) = rest.get(index) {
        match byte {
            b'"' => return index + 1,
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
    rest.len()
}

fn number_size(rest: &[u8]) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len())
}

fn check_number(number: &str) -> Result<(), Error> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_whole || number.parse::<i64>().is_ok() {
        return Ok(());
    }
    let shown = &number[..number.len().min(40)];
    Err(invalid(format!("the whole number {shown} ({} digits) does not fit 64 signed bits", digits.len())))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// A value while it is parsed.
struct Parsed(Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor).map(Self)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(E::custom)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Parsed(item)) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((name, Parsed(member))) = map.next_entry()? {
            members.push((name, member));
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(de::Error::custom(format_args!("the object names {:?} twice", pair[0]))),
            None => Ok(Value::Object(members)),
        }
    }
}

/// A value while it is written; holds only what JSON can.
struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bytes(_) => Err(serde::ser::Error::custom("bytes")),
            Value::Erased => Err(serde::ser::Error::custom("what is left of an erased value")),
            Value::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| sequence.serialize_element(&Written(item)))?;
                sequence.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, member)| map.serialize_entry(name, &Written(member)))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> String {
        let error = parse_json(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn text_becomes_the_value_it_says() {
        let text = r#" {"b": [1, -2.5, 1e3, true, null], "a": {"": "\u00e9\n\"[{"}, "max": 9223372036854775807, "min": -9223372036854775808} "#;
        let value = Value::from([
            ("b", vec![Value::Int(1), (-2.5).into(), 1000.0.into(), true.into(), Value::Null].into()),
            ("a", Value::from([("", "é\n\"[{".into())])),
            ("max", i64::MAX.into()),
            ("min", i64::MIN.into()),
        ]);
        assert_eq!(parse_json(text).unwrap(), value);
        let written = to_json(&value).unwrap();
        assert_eq!(
            written,
            r#"{"b":[1,-2.5,1000.0,true,null],"a":{"":"é\n\"[{"},"max":9223372036854775807,"min":-9223372036854775808}"#
        );
        assert_eq!(parse_json(&written).unwrap(), value);
    }

    #[test]
    fn text_that_is_not_a_json_document_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "nul",
            "1 2",
            "'a'",
            "{\"a\" 1}",
            "\"\\",
            "\"\\ud800\"",
            "01",
            "+1",
            ".5",
            "1e999",
            "NaN",
        ] {
            assert!(refusal(text).starts_with("the text is not JSON: "), "{text}");
        }
        assert!(refusal(r#"{"a": {"b": 1, "c": 2, "b": 3}}"#).contains("the object names \"b\" twice"));
        for (number, digits) in
            [("9223372036854775808", 19), ("-9223372036854775809", 19), ("18446744073709551616", 20)]
        {
            assert_eq!(
                refusal(&format!("[{number}]")),
                format!("the whole number {number} ({digits} digits) does not fit 64 signed bits")
            );
        }
        assert_eq!(parse_json("18446744073709551616.0").unwrap(), Value::Float(18446744073709551616.0));
    }

    #[test]
    fn text_may_be_nested_to_the_limit_and_no_deeper() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let deepest = parse_json(&nested(128)).unwrap();
        assert_eq!(to_json(&deepest).unwrap(), nested(128));
        assert_eq!(refusal(&nested(129)), "depth_max is 128, the JSON text is nested deeper");
        assert!(refusal(&"[{\"\":".repeat(100_000)).contains("depth_max is 128"));
        assert!(to_json(&Value::Array(vec![deepest])).unwrap_err().message().contains("depth_max is 128"));
    }

    #[test]
    fn what_json_cannot_hold_has_no_text() {
        for value in [Value::Bytes(vec![1]), f64::NAN.into(), f64::INFINITY.into()] {
            let error = to_json(&Value::from([("a", value)])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().ends_with("(at \"/a\")"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_float_comes_back_exactly(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let text = to_json(&Value::Float(float)).unwrap();
            let Value::Float(read) = parse_json(&text).unwrap() else { panic!("{text} is no float") };
            prop_assert_eq!(read.to_bits(), bits);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[\\[\\]{}\",:0-9eE+.\\\\atrufnls\u{e9} -]{0,60}") {
            if let Ok(value) = parse_json(&text) {
                prop_assert_eq!(parse_json(&to_json(&value).unwrap()).unwrap(), value);
            }
        }
    }
}
