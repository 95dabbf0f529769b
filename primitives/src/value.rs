//! What can be stored: a value, its equality, and its printed form.
use std::fmt;

/// A value as the application sees it. Objects keep the order their members were given in.
///
/// Equality is structural: `Int(1)` is not `Float(1.0)`, NaN equals NaN, `-0.0` equals `0.0`, and two objects are
/// equal when they hold equal members in the same order.
///
/// A store refuses values nested deeper than its `depth_max`. Dropping a value recurses as the value does: one nested
/// tens of thousands deep, which no store takes, needs the stack of whoever built it.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    Array(Vec<Value>),
    /// Named values in insertion order. A name may occur once.
    Object(Vec<(String, Value)>),
    /// Something stood here and was erased. It is read and never written: no call takes it.
    Erased,
}

impl Value {
    /// The kind of value this is, as messages say it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Erased => "erased",
        }
    }

    /// Whether this is `Null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is what is left of something that was erased.
    pub fn is_erased(&self) -> bool {
        matches!(self, Self::Erased)
    }

    /// The bool, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The whole number, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// The floating-point number, if this is one.
    pub fn as_float(&self) -> Option<f64> {
        if let Self::Float(value) = self { Some(*value) } else { None }
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(value) = self { Some(value) } else { None }
    }

    /// The bytes, if these are bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(value) = self { Some(value) } else { None }
    }

    /// The items, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&[(String, Value)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The member called `name`, if this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_object()?.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// The one bit pattern that stands for each equal float: one NaN, and no negative zero.
pub(crate) fn canonical_bits(float: f64) -> u64 {
    match float {
        _ if float.is_nan() => f64::NAN.to_bits() & !(1 << 63),
        0.0 => 0,
        _ => float.to_bits(),
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) | (Self::Erased, Self::Erased) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Int(left), Self::Int(right)) => left == right,
            (Self::Float(left), Self::Float(right)) => canonical_bits(*left) == canonical_bits(*right),
            (Self::String(left), Self::String(right)) => left == right,
            (Self::Bytes(left), Self::Bytes(right)) => left == right,
            (Self::Array(left), Self::Array(right)) => left == right,
            (Self::Object(left), Self::Object(right)) => left == right,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// JSON-like text: bytes print as `h'0aff'`, floats always with a point or exponent, what was erased as `erased`.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Erased => formatter.write_str("erased"),
            Self::Bool(value) => value.fmt(formatter),
            Self::Int(value) => value.fmt(formatter),
            Self::Float(value) => fmt::Debug::fmt(value, formatter),
            Self::String(value) => write_text(formatter, value),
            Self::Bytes(bytes) => {
                formatter.write_str("h'")?;
                bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
                formatter.write_str("'")
            }
            Self::Array(items) => {
                formatter.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    formatter.write_str(if index == 0 { "" } else { ", " })?;
                    item.fmt(formatter)?;
                }
                formatter.write_str("]")
            }
            Self::Object(members) => {
                formatter.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    formatter.write_str(if index == 0 { "" } else { ", " })?;
                    write_text(formatter, name)?;
                    write!(formatter, ": {value}")?;
                }
                formatter.write_str("}")
            }
        }
    }
}

fn write_text(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write;
    formatter.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(formatter, "\\{char}")?,
            '\n' => formatter.write_str("\\n")?,
            '\t' => formatter.write_str("\\t")?,
            '\r' => formatter.write_str("\\r")?,
            control if (control as u32) < 0x20 => write!(formatter, "\\u{:04x}", control as u32)?,
            char => formatter.write_char(char)?,
        }
    }
    formatter.write_char('"')
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! {
    bool => Bool, i64 => Int, i32 => Int, u32 => Int, i16 => Int, u16 => Int, i8 => Int, u8 => Int,
    f64 => Float, f32 => Float, String => String, &str => String, Vec<u8> => Bytes, &[u8] => Bytes,
    Vec<Value> => Array, Vec<(String, Value)> => Object,
}

impl<const N: usize> From<[(&str, Value); N]> for Value {
    fn from(members: [(&str, Value); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Value> {
        vec![
            Value::Null,
            true.into(),
            1i64.into(),
            1.0.into(),
            "1".into(),
            b"1".as_slice().into(),
            vec![Value::Int(1)].into(),
            Value::from([("1", 1i64.into())]),
            Value::Erased,
        ]
    }

    #[test]
    fn equality_is_structural() {
        for (left_index, left) in samples().iter().enumerate() {
            for (right_index, right) in samples().iter().enumerate() {
                assert_eq!(left == right, left_index == right_index, "{left} and {right}");
            }
        }
        assert_eq!(Value::Float(f64::NAN), Value::Float(-f64::NAN));
        assert_eq!(Value::Float(-0.0), Value::Float(0.0));
        let (a, b) = (("a", Value::Null), ("b", Value::Null));
        assert_ne!(Value::from([a.clone(), b.clone()]), Value::from([b, a]), "members keep their order");
    }

    #[test]
    fn accessors_answer_for_their_own_kind_only() {
        let answers: Vec<_> = samples()
            .iter()
            .map(|value| {
                [
                    value.is_null(),
                    value.as_bool().is_some(),
                    value.as_int().is_some(),
                    value.as_float().is_some(),
                    value.as_str().is_some(),
                    value.as_bytes().is_some(),
                    value.as_array().is_some(),
                    value.as_object().is_some(),
                    value.is_erased(),
                ]
                .map(usize::from)
            })
            .collect();
        for (index, answer) in answers.iter().enumerate() {
            assert_eq!((answer[index], answer.iter().sum::<usize>()), (1, 1));
        }
        assert_eq!(samples()[7].get("1"), Some(&Value::Int(1)));
        assert_eq!(samples()[7].get("2"), None);
        assert_eq!(Value::Null.get("1"), None);
        let kinds: Vec<_> = samples().iter().map(Value::kind).collect();
        assert_eq!(kinds, ["null", "bool", "int", "float", "string", "bytes", "array", "object", "erased"]);
        assert_eq!(Value::Erased.to_string(), "erased");
    }

    #[test]
    fn values_print_like_json() {
        let value = Value::from([
            ("a\"b", vec![Value::Null, true.into(), (-3i64).into()].into()),
            ("c", Value::Float(1.0)),
            ("d", vec![10u8, 255].into()),
            ("e", "\\ \n\t\r\u{1}é".into()),
        ]);
        assert_eq!(
            value.to_string(),
            r#"{"a\"b": [null, true, -3], "c": 1.0, "d": h'0aff', "e": "\\ \n\t\r\u0001é"}"#
        );
    }

    #[test]
    fn absent_things_become_null() {
        assert_eq!(Value::from(None::<i64>), Value::Null);
        assert_eq!(Value::from(Some("x")), Value::String("x".into()));
        assert_eq!(Value::default(), Value::Null);
    }
}
