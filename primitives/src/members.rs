//! The members of a stored object: put in by name, taken out by name, and nothing overlooked.
use crate::error::{Error, ErrorKind};
use crate::value::Value;

/// An object that is being put together or taken apart.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<(String, Value)>);

impl Members {
    /// The members of `value`, to be taken out.
    ///
    /// # Errors
    /// `Corrupt` when it is not an object.
    pub(crate) fn of(value: Value) -> Result<Self, Error> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            other => Err(corrupt(format!("an object was stored, {} is found", other.kind()))),
        }
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Puts nothing for what is missing: so `None` and null stay different.
    pub(crate) fn put_option(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Takes the member called `name`, as `convert` reads it.
    ///
    /// # Errors
    /// `Corrupt` when it is missing, or `convert` answers `None`.
    pub(crate) fn take<T>(
        &mut self,
        name: &str,
        convert: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, Error> {
        self.take_option(name, convert)?.ok_or_else(|| corrupt(format!("the member {name:?} is missing")))
    }

    /// The same for a member that may be missing.
    pub(crate) fn take_option<T>(
        &mut self,
        name: &str,
        convert: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(index) = self.0.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.0.remove(index);
        let kind = value.kind();
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(corrupt(format!("the member {name:?} does not fit: {kind} is found"))),
        }
    }

    /// Fails unless every member was taken.
    pub(crate) fn expect_end(&self) -> Result<(), Error> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(corrupt(format!("the member {name:?} is unknown"))),
        }
    }
}

/// The text that a member holds.
pub(crate) fn as_text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

/// The values that a member holds.
pub(crate) fn as_list(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

/// The count that a member holds.
pub(crate) fn as_count(value: Value) -> Option<u64> {
    value.as_int()?.try_into().ok()
}

/// The stored form of a count. One that [`check_count`] refuses becomes the greatest there is.
pub(crate) fn count_value(count: u64) -> Value {
    Value::Int(count.try_into().unwrap_or(i64::MAX))
}

/// Refuses a count that is greater than any stored one.
pub(crate) fn check_count(name: &str, count: Option<u64>) -> Result<(), Error> {
    match count.filter(|count| i64::try_from(*count).is_err()) {
        None => Ok(()),
        Some(count) => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{name} is at most {}, {count} was given", i64::MAX),
        )),
    }
}

#[cold]
fn corrupt(message: String) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.message().to_owned()
    }

    #[test]
    fn members_come_out_as_they_were_put_in() {
        let mut members = Members::default();
        members.put("text", "t");
        members.put("list", vec![Value::Null]);
        members.put_option("missing", None::<Value>);
        members.put_option("null", Some(Value::Null));
        members.put("count", count_value(7));
        let mut members = Members::of(members.into_value()).unwrap();
        assert_eq!(members.take_option("count", as_count).unwrap(), Some(7));
        assert_eq!(members.take("text", as_text).unwrap(), "t");
        assert_eq!(members.take("list", as_list).unwrap(), [Value::Null]);
        assert_eq!(members.take_option("missing", Some).unwrap(), None);
        assert_eq!(members.take_option("null", Some).unwrap(), Some(Value::Null));
        assert!(members.expect_end().is_ok());
    }

    #[test]
    fn what_is_missing_misshapen_or_left_over_is_corrupt() {
        let mut members = Members::of(Value::from([("a", Value::Int(-1)), ("b", Value::Null)])).unwrap();
        assert_eq!(message(members.take("a", as_count)), "the member \"a\" does not fit: int is found");
        assert_eq!(message(members.take("c", Some)), "the member \"c\" is missing");
        assert_eq!(message(members.expect_end()), "the member \"b\" is unknown");
        assert_eq!(message(Members::of(Value::Null)), "an object was stored, null is found");
    }

    #[test]
    fn a_count_that_no_int_holds_is_refused() {
        assert!(check_count("input_tokens", Some(i64::MAX as u64)).is_ok());
        let error = check_count("input_tokens", Some(u64::MAX)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            error.message(),
            "input_tokens is at most 9223372036854775807, 18446744073709551615 was given"
        );
        assert_eq!(count_value(u64::MAX), Value::Int(i64::MAX));
    }
}
