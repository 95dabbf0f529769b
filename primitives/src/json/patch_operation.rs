//! One operation of a JSON Patch (RFC 6902), and its JSON form.
use super::pointer::{Pointer, shown};
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::value::Value;

/// One operation of a JSON Patch (RFC 6902, section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named as in the RFC; each variant says what it does")]
pub enum PatchOperation {
    /// Puts a value at a place; an item with the same index moves back, `-` appends.
    Add { path: Pointer, value: Encoded },
    /// Takes out what is at a place and must be there.
    Remove { path: Pointer },
    /// Puts a value in the place of one that must be there.
    Replace { path: Pointer, value: Encoded },
    /// Takes a value out of one place and adds it at another, which cannot lie inside the first.
    Move { from: Pointer, path: Pointer },
    /// Adds what is at one place at another.
    Copy { from: Pointer, path: Pointer },
    /// Goes on only if this is at a place, by the equality of JSON: numbers by value, members in any order.
    Test { path: Pointer, value: Encoded },
}

impl PatchOperation {
    /// Parses the JSON form of a patch: an array of objects.
    ///
    /// Members no operation knows are ignored (RFC 6902, section 4).
    ///
    /// # Errors
    /// `InvalidArgument` with the index of the operation, counted from 0.
    pub fn parse_all(patch: &Value, segments_max: usize, limits: &Limits) -> Result<Vec<Self>, Error> {
        let Value::Array(operations) = patch else {
            return Err(invalid(format!("a patch is an array of operations, not {}", patch.kind())));
        };
        limits.check_items(operations.len(), "patch")?;
        let parse = |(index, operation)| {
            let form = Form { operation, segments_max, limits };
            form.parse().map_err(|error| in_operation(index, error))
        };
        operations.iter().enumerate().map(parse).collect()
    }
}

/// The same error, saying which operation of a patch it is about.
#[cold]
pub(super) fn in_operation(index: usize, error: Error) -> Error {
    error.with_context(&format!("patch operation {index}"))
}

/// The JSON form of one operation.
struct Form<'a> {
    operation: &'a Value,
    segments_max: usize,
    limits: &'a Limits,
}

impl<'a> Form<'a> {
    fn parse(&self) -> Result<PatchOperation, Error> {
        if self.operation.as_object().is_none() {
            return Err(invalid(format!("an operation is an object, not {}", self.operation.kind())));
        }
        Ok(match self.text("op")? {
            "add" => PatchOperation::Add { path: self.pointer("path")?, value: self.value()? },
            "remove" => PatchOperation::Remove { path: self.pointer("path")? },
            "replace" => PatchOperation::Replace { path: self.pointer("path")?, value: self.value()? },
            "move" => PatchOperation::Move { from: self.pointer("from")?, path: self.pointer("path")? },
            "copy" => PatchOperation::Copy { from: self.pointer("from")?, path: self.pointer("path")? },
            "test" => PatchOperation::Test { path: self.pointer("path")?, value: self.value()? },
            unknown => {
                return Err(invalid(format!(
                    "the op is add, remove, replace, move, copy or test, not {:?}",
                    shown(unknown)
                )));
            }
        })
    }

    /// The member called `name`: there, and there once (RFC 6902, section 4 and appendix A.13).
    fn member(&self, name: &str) -> Result<&'a Value, Error> {
        let members = self.operation.as_object().unwrap_or_default();
        let mut found = members.iter().filter(|(own, _)| own == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(value),
            (None, _) => Err(invalid(format!("the member {name:?} is missing"))),
            (Some(_), Some(_)) => Err(invalid(format!("the operation names {name:?} twice"))),
        }
    }

    fn text(&self, name: &str) -> Result<&'a str, Error> {
        let member = self.member(name)?;
        member
            .as_str()
            .ok_or_else(|| invalid(format!("the member {name:?} is a string, not {}", member.kind())))
    }

    fn pointer(&self, name: &str) -> Result<Pointer, Error> {
        Pointer::parse(self.text(name)?, self.segments_max).map_err(|error| error.with_context(name))
    }

    fn value(&self) -> Result<Encoded, Error> {
        Encoded::within(self.member("value")?, self.limits)
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(patch: Value) -> Result<Vec<PatchOperation>, Error> {
        PatchOperation::parse_all(&patch, 256, &Limits::default())
    }

    fn operation(members: &[(&str, &str)]) -> Value {
        Value::Object(members.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect())
    }

    #[test]
    fn every_operation_has_its_json_form() {
        let place = |text| Pointer::parse(text, 256).unwrap();
        let (path, from, value) =
            (place("/p"), place("/f"), Encoded::within(&"v".into(), &Limits::default()).unwrap());
        let (with_value, with_from) = ([("path", "/p"), ("value", "v")], [("from", "/f"), ("path", "/p")]);
        let named =
            |op, members: &[(&'static str, &'static str)]| operation(&[&[("op", op)], members].concat());
        let patch = vec![
            named("add", &with_value),
            named("remove", &with_value),
            named("replace", &with_value),
            named("move", &with_from),
            named("copy", &with_from),
            named("test", &with_value),
        ];
        let expected = vec![
            PatchOperation::Add { path: path.clone(), value: value.clone() },
            PatchOperation::Remove { path: path.clone() },
            PatchOperation::Replace { path: path.clone(), value: value.clone() },
            PatchOperation::Move { from: from.clone(), path: path.clone() },
            PatchOperation::Copy { from, path: path.clone() },
            PatchOperation::Test { path, value },
        ];
        assert_eq!(parse(patch.into()).unwrap(), expected);
        assert_eq!(parse(Value::Array(vec![])).unwrap(), vec![]);
    }

    #[test]
    fn a_malformed_operation_is_refused_with_its_index() {
        let good = operation(&[("op", "remove"), ("path", "/a")]);
        let cases = [
            (operation(&[]), "the member \"op\" is missing"),
            (
                operation(&[("op", "spam")]),
                "the op is add, remove, replace, move, copy or test, not \"spam\"",
            ),
            (operation(&[("op", "add"), ("path", "/a")]), "the member \"value\" is missing"),
            (operation(&[("op", "move"), ("path", "/a")]), "the member \"from\" is missing"),
            (
                operation(&[("op", "add"), ("path", "/b"), ("value", ""), ("op", "remove")]),
                "the operation names \"op\" twice",
            ),
            (
                operation(&[("op", "remove"), ("path", "a")]),
                "path: the pointer \"a\" does not begin with '/'",
            ),
            (Value::from([("op", Value::Int(1))]), "the member \"op\" is a string, not int"),
            (Value::Null, "an operation is an object, not null"),
        ];
        for (bad, expected) in cases {
            let error = parse(vec![good.clone(), bad].into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert_eq!(error.message(), format!("patch operation 1: {expected}"));
        }
        assert_eq!(parse(good).unwrap_err().message(), "a patch is an array of operations, not object");
    }

    #[test]
    fn limits_hold_for_a_patch_and_for_its_values() {
        let limits = Limits { items_max: 1, value_size_max: 3, ..Limits::default() };
        let long = operation(&[("op", "add"), ("path", "/a"), ("value", "long")]);
        let message = |patch: Vec<Value>| {
            PatchOperation::parse_all(&patch.into(), 256, &limits).unwrap_err().message().to_owned()
        };
        assert_eq!(
            message(vec![long.clone()]),
            "patch operation 0: value_size_max is 3 bytes, the value has 4"
        );
        assert_eq!(message(vec![long; 2]), "items_max is 1 items, the patch has 2");
    }
}
