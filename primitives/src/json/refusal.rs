//! What a JSON document cannot hold, and where it stands.
use super::pointer::{Pointer, shown};
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::limits::VALUE_DEPTH_MAX;
use crate::value::Value;

/// Refuses a value that no JSON document can hold: bytes, NaN, infinities, or one nested too deep.
///
/// # Errors
/// `InvalidArgument` with the JSON Pointer of the offending place.
pub fn check_json(value: &Value) -> Result<(), Error> {
    check(value, &Pointer::root())
}

/// [`check_json`] for an encoded value; also refuses bytes that are no encoding, and members named twice.
pub fn check_json_encoded(value: &Encoded) -> Result<(), Error> {
    match super::build::build(value, Default::default()) {
        Ok(_) => Ok(()),
        Err(error) => Err(refusal(value, &error)),
    }
}

/// Why `value` could not be built, with the place if that can be found.
#[cold]
pub(super) fn refusal(value: &Encoded, error: &crate::codec::DecodeError) -> Error {
    let located = value.decode().ok().and_then(|value| check_json(&value).err());
    located.unwrap_or_else(|| invalid(format!("the value is not JSON: {error}")))
}

fn check(value: &Value, place: &Pointer) -> Result<(), Error> {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::String(_) => Ok(()),
        Value::Float(number) if number.is_finite() => Ok(()),
        Value::Float(number) => Err(unfit(&number.to_string(), place)),
        Value::Bytes(_) => Err(unfit("bytes", place)),
        Value::Erased => Err(unfit("what is left of an erased value", place)),
        Value::Array(_) | Value::Object(_) if place.token_count() == VALUE_DEPTH_MAX => {
            Err(invalid(format!("depth_max is {VALUE_DEPTH_MAX}, the value is nested deeper")))
        }
        Value::Array(items) => {
            let is_holder = |(_, item): &(usize, &Value)| needs_look(item);
            let mut holders = items.iter().enumerate().filter(is_holder);
            holders.try_for_each(|(index, item)| check(item, &place.join(&index.to_string())))
        }
        Value::Object(members) => {
            let mut holders = members.iter().filter(|(_, member)| needs_look(member));
            holders.try_for_each(|(name, member)| check(member, &place.join(name)))
        }
    }
}

/// Whether a pointer is worth making: most values can be passed over.
fn needs_look(value: &Value) -> bool {
    matches!(value, Value::Float(_) | Value::Bytes(_) | Value::Array(_) | Value::Object(_) | Value::Erased)
}

fn unfit(what: &str, place: &Pointer) -> Error {
    invalid(format!("a JSON document cannot hold {what} (at {:?})", shown(place.as_str())))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn message(value: &Value) -> String {
        let error = check_json(value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn what_json_cannot_hold_is_refused_with_its_place() {
        let cases = [
            (Value::from(b"x".as_slice()), "a JSON document cannot hold bytes (at \"\")"),
            (
                Value::from([("a", vec![Value::Null, f64::NAN.into()].into())]),
                "a JSON document cannot hold NaN (at \"/a/1\")",
            ),
            (
                Value::from([("a/b", f64::NEG_INFINITY.into())]),
                "a JSON document cannot hold -inf (at \"/a~1b\")",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(message(&value), expected);
            let encoded = Encoded::within(&value, &Limits::default()).unwrap();
            assert_eq!(check_json_encoded(&encoded).unwrap_err().message(), expected);
        }
        let fine = Value::from([("a", vec![Value::Null, 1.5.into(), "x".into(), i64::MIN.into()].into())]);
        assert!(check_json(&fine).is_ok());
        assert!(check_json_encoded(&Encoded::within(&fine, &Limits::default()).unwrap()).is_ok());
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_without_following_it() {
        let nested = |depth| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert!(check_json(&nested(128)).is_ok());
        assert_eq!(message(&nested(129)), "depth_max is 128, the value is nested deeper");
        let deep = [[7, 1, 0, 0, 0].repeat(5000), vec![0]].concat();
        let error = check_json_encoded(&Encoded::from_canonical(&deep)).unwrap_err();
        assert_eq!(error.message(), "the value is not JSON: value nested deeper than 128");
    }

    #[test]
    fn bytes_that_are_no_value_are_refused() {
        let twice = [8, 2, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 1, 0, 0, 0, b'a', 0];
        let error = check_json_encoded(&Encoded::from_canonical(&twice)).unwrap_err();
        assert_eq!(
            error.message(),
            "the value is not JSON: a JSON document cannot hold a member named twice"
        );
        assert!(check_json_encoded(&Encoded::from_canonical(&[99])).is_err());
        assert!(check_json_encoded(&Encoded::from_canonical(&[])).is_err());
    }
}
