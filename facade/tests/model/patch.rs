//! JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396) on a plain document.

use strata::{ErrorKind, Stamp, Value};

use crate::document::{Document, escaped};

/// One operation of a patch.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

impl Patch {
    /// Its JSON form.
    pub(crate) fn to_value(&self) -> Value {
        let (op, path, rest) = match self {
            Patch::Add { path, value } => ("add", path, Some(("value", value.clone()))),
            Patch::Remove { path } => ("remove", path, None),
            Patch::Replace { path, value } => ("replace", path, Some(("value", value.clone()))),
            Patch::Move { from, path } => ("move", path, Some(("from", from.as_str().into()))),
            Patch::Copy { from, path } => ("copy", path, Some(("from", from.as_str().into()))),
            Patch::Test { path, value } => ("test", path, Some(("value", value.clone()))),
        };
        let head = [("op", Value::from(op)), ("path", path.as_str().into())];
        let members = head.into_iter().chain(rest);
        Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Does it, and says whether anything was written.
    pub(crate) fn take(&self, document: &mut Document, stamp: Stamp) -> Result<bool, ErrorKind> {
        match self {
            Patch::Add { path, value } => document.put(path, value, true, stamp)?,
            Patch::Remove { path } => remove(document, path, stamp)?,
            Patch::Replace { path, value } => {
                document.located(path)?;
                document.put(path, value, false, stamp)?;
            }
            Patch::Move { from, path } => {
                let value = document.located(from)?;
                if from == path {
                    return Ok(false);
                }
                if path.starts_with(&format!("{from}/")) {
                    return Err(ErrorKind::InvalidArgument);
                }
                if !path.is_empty() {
                    remove(document, from, stamp)?;
                }
                document.put(path, &value, true, stamp)?;
            }
            Patch::Copy { from, path } => {
                let value = document.located(from)?;
                document.put(path, &value, true, stamp)?;
            }
            Patch::Test { path, value } => {
                let is_same = is_same_json(&document.located(path)?, value);
                return if is_same { Ok(false) } else { Err(ErrorKind::Conflict) };
            }
        }
        Ok(true)
    }
}

impl Document {
    /// Merges a patch at a place, writing only what it changes; says whether anything was written.
    pub(crate) fn merge(&mut self, path: &str, patch: &Value, stamp: Stamp) -> Result<bool, ErrorKind> {
        let found = self.get(path).map(|(value, _)| value);
        if let (Value::Object(members), Some(Value::Object(_))) = (patch, &found) {
            let mut changed = false;
            for (name, value) in members {
                let place = format!("{path}/{}", escaped(name));
                changed |= match value {
                    Value::Null => self.remove(&place, stamp)?,
                    value => self.merge(&place, value, stamp)?,
                };
            }
            return Ok(changed);
        }
        let value = without_nulls(patch);
        if found.as_ref() == Some(&value) {
            return Ok(false);
        }
        self.put(path, &value, false, stamp)?;
        Ok(true)
    }
}

fn remove(document: &mut Document, path: &str, stamp: Stamp) -> Result<(), ErrorKind> {
    if path.is_empty() {
        return Err(ErrorKind::InvalidArgument);
    }
    document.located(path)?;
    document.remove(path, stamp).map(drop)
}

fn without_nulls(patch: &Value) -> Value {
    let Value::Object(members) = patch else { return patch.clone() };
    let kept = members.iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
}

/// Numbers by value, members in any order (RFC 6902, section 4.6).
fn is_same_json(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(whole), Value::Float(float)) | (Value::Float(float), Value::Int(whole)) => {
            *whole as f64 == *float
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same_json(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let is_in = |(name, value): &(String, Value)| {
                right.iter().any(|(other, found)| other == name && is_same_json(value, found))
            };
            left.len() == right.len() && left.iter().all(is_in)
        }
        _ => left == right,
    }
}
