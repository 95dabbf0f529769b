//! Between the store's values and JSON text, both ways, without loss.
#![allow(dead_code, reason = "each example uses its part of this file")]

use serde_json::{Map, Number, Value as Json};
use strata::Value;

/// The integer member of an object with this name.
pub(crate) fn integer(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(Value::as_int)
}

/// The text member of an object with this name; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The store's form of `json`. Fails on an integer beyond 64 bits with sign, which the store cannot hold.
pub(crate) fn from_json(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => from_number(number)?,
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect::<Result<_, _>>()?),
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| Ok::<_, String>((name.clone(), from_json(value)?));
            Value::Object(members.iter().map(member).collect::<Result<_, _>>()?)
        }
    })
}

fn from_number(number: &Number) -> Result<Value, String> {
    if let Some(integer) = number.as_i64() {
        return Ok(Value::Int(integer));
    }
    match number.as_f64() {
        Some(float) if number.is_f64() => Ok(Value::Float(float)),
        _ => Err(format!("{number} does not fit into 64 bits with sign; write it as text")),
    }
}

/// JSON of a stored value. Bytes become text in base 16; a float that JSON cannot write, and what was erased, becomes null.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Erased => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(integer) => Json::from(*integer),
        Value::Float(float) => Number::from_f64(*float).map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Object(members) => Json::Object(
            members.iter().map(|(name, value)| (name.clone(), to_json(value))).collect::<Map<_, _>>(),
        ),
    }
}
