//! A value's canonical bytes: what is stored, logged and sent.
//!
//! One tag byte, then the content, little-endian:
//!
//! ```text
//! 0 null    -                      4 float   u64 bits, canonical
//! 1 false   -                      5 string  u32 size, UTF-8
//! 2 true    -                      6 bytes   u32 size, bytes
//! 3 int     i64                    7 array   u32 count, values
//! 9 erased  -                      8 object  u32 count, (u32 size, UTF-8 name, value)
//! ```
//! What is left of an erased value stands alone, never inside another.
use crate::codec::{self, DecodeError, size_u32};
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::limits::{Limits, VALUE_DEPTH_MAX};
use crate::pair::Pair;
use crate::unread::{LARGE_VALUE_SIZE, ReadValue, UNREAD_SIZE, Unread, hash_of};
use crate::value::{Value, canonical_bits};
use crate::version::Stamp;
use foldhash::{HashSet, HashSetExt};
use std::fmt;
use std::sync::{Arc, OnceLock};

pub(crate) const NULL: u8 = 0;
pub(crate) const FALSE: u8 = 1;
pub(crate) const TRUE: u8 = 2;
pub(crate) const INT: u8 = 3;
pub(crate) const FLOAT: u8 = 4;
pub(crate) const STRING: u8 = 5;
pub(crate) const BYTES: u8 = 6;
pub(crate) const ARRAY: u8 = 7;
pub(crate) const OBJECT: u8 = 8;
pub(crate) const ERASED: u8 = 9;

/// Tag and length before the content of a string, bytes, array or object.
pub(crate) const HEAD_SIZE: usize = 1 + 4;

/// A value in its canonical encoding, shared and cheap to clone. Equal values have equal bytes.
///
/// One that stands [under a key](Self::from_value_under) lies in one allocation with that.
///
/// A large value of a run that came from an image may be *unread*: its bytes are read when it is [decoded](Self::to_value), by
/// whoever does that, each time.
#[derive(Clone)]
pub struct Encoded(Bytes);

#[derive(Clone)]
enum Bytes {
    Here(Key),
    Unread(Arc<Unread>),
}

/// Who is handed what is under a key, where it lies: the value, and the commit that last wrote it.
pub type FindKey<'a> = dyn FnMut(Option<(&Encoded, Stamp)>) + 'a;

// What a key holds is as large as if all values were here.
const _: () = assert!(size_of::<Encoded>() == size_of::<Key>());

impl Encoded {
    /// Encodes `value` with one allocation of exactly its size.
    ///
    /// # Errors
    /// `InvalidArgument` about `entity` when a limit is exceeded or an object names a member twice; found out
    /// before anything is allocated.
    pub fn from_value(
        value: &Value,
        limits: &Limits,
        entity: impl FnOnce() -> EntityRef,
    ) -> Result<Self, Error> {
        Self::within(value, limits).map_err(|error| error.with_entity(entity()))
    }

    /// Encodes `value`, which is to stand under `key`, in one allocation with that.
    ///
    /// # Errors
    /// As [`from_value`](Self::from_value).
    pub fn from_value_under(
        key: &str,
        value: &Value,
        limits: &Limits,
        entity: impl FnOnce() -> EntityRef,
    ) -> Result<Self, Error> {
        Self::within_under(key, value, limits).map_err(|error| error.with_entity(entity()))
    }

    /// The same without a key, for a caller that names the entity itself.
    pub(crate) fn within(value: &Value, limits: &Limits) -> Result<Self, Error> {
        Self::within_under("", value, limits)
    }

    fn within_under(key: &str, value: &Value, limits: &Limits) -> Result<Self, Error> {
        let size = measure(value, limits, limits.depth_max.min(VALUE_DEPTH_MAX))?;
        if size > limits.value_size_max.saturating_add(HEAD_SIZE) {
            return Err(too_large(limits, size - HEAD_SIZE));
        }
        Ok(match value {
            Value::String(text) => Self::from_text_under(key, text),
            value => Self::fill_under(key, size, |out| put_value(out, value)),
        })
    }

    /// The encoding of a whole number.
    pub fn from_int(value: i64) -> Self {
        let mut bytes = [INT; 9];
        bytes[1..].copy_from_slice(&value.to_le_bytes());
        Self::from_canonical(&bytes)
    }

    /// What is left of a value that was erased; all of them share it.
    pub fn erased() -> Self {
        static ERASED_VALUE: OnceLock<Encoded> = OnceLock::new();
        ERASED_VALUE.get_or_init(|| Self::from_canonical(&[ERASED])).clone()
    }

    /// Whether this is what is left of a value that was erased.
    pub fn is_erased(&self) -> bool {
        self.tag() == Some(ERASED)
    }

    /// Takes over bytes that are trusted to be a canonical encoding, as read back from a checked record.
    ///
    /// [`to_value`](Self::to_value) reports bytes that are not.
    pub fn from_canonical(bytes: &[u8]) -> Self {
        Self::from_canonical_under("", bytes)
    }

    /// The same of a value that is to stand under `key`, in one allocation with that.
    pub fn from_canonical_under(key: &str, bytes: &[u8]) -> Self {
        match text_of(bytes) {
            Some(text) => Self::from_text_under(key, text),
            None => Self::fill_under(key, bytes.len(), |out| put(out, bytes)),
        }
    }

    /// The encoding of a text, which is known to be one from now on.
    pub(crate) fn from_text_under(key: &str, text: &str) -> Self {
        let mut head = [STRING; HEAD_SIZE];
        head[1..].copy_from_slice(&size_u32(text.len()).to_le_bytes());
        Self(Bytes::Here(Key(Pair::of_text(key, head, text))))
    }

    /// The key that it stands under, in one allocation with that where its bytes are here; an empty one where it stands under none.
    #[inline]
    pub fn key(&self) -> &Key {
        match &self.0 {
            Bytes::Here(key) => key,
            Bytes::Unread(unread) => &unread.key,
        }
    }

    /// The same value under a key: as it is, if it stands there already.
    #[inline]
    pub(crate) fn under(self, key: &Key) -> Self {
        if self.key() == key {
            return self;
        }
        match &self.0 {
            Bytes::Here(held) => Self::from_canonical_under(key, held.value()),
            Bytes::Unread(unread) => Self(Bytes::Unread(Arc::new(unread.under(key)))),
        }
    }

    /// This value, read by `read` whenever it is decoded. `digest` is what it was hashed to, where it is the payload of an event.
    ///
    /// # Panics
    /// If it is not large.
    pub(crate) fn left_unread(&self, digest: Option<[u8; 32]>, read: ReadValue) -> Self {
        assert!(self.len() >= LARGE_VALUE_SIZE, "only a large value is left unread");
        Self(Bytes::Unread(Arc::new(Unread::new(self, digest, read))))
    }

    /// Whether its bytes are elsewhere.
    #[inline]
    pub fn is_unread(&self) -> bool {
        matches!(self.0, Bytes::Unread(_))
    }

    /// The same value with its bytes, which are read if they are elsewhere.
    ///
    /// # Errors
    /// Those of reading it: `Corrupt` with file and offset, `Io`.
    pub fn read(&self) -> Result<Self, Error> {
        match &self.0 {
            Bytes::Here(_) => Ok(self.clone()),
            Bytes::Unread(unread) => unread.read(),
        }
    }

    /// Whether it is the same value, if that is known without reading one. That two differ is told by the hash of one that is elsewhere,
    /// too; of the other, where it is here, that is computed.
    pub(crate) fn is_known_same(&self, other: &Self) -> Option<bool> {
        match (&self.0, &other.0) {
            (Bytes::Here(one), Bytes::Here(other)) => {
                Some(one.is_same(other) || one.value() == other.value())
            }
            (Bytes::Unread(one), Bytes::Unread(other)) if Arc::ptr_eq(one, other) => Some(true),
            (Bytes::Unread(one), Bytes::Unread(other)) if one.hash != other.hash => Some(false),
            _ if (self.len(), self.tag()) != (other.len(), other.tag()) => Some(false),
            (Bytes::Here(_), Bytes::Unread(unread)) if hash_of(self) != unread.hash => Some(false),
            (Bytes::Unread(unread), Bytes::Here(_)) if hash_of(other) != unread.hash => Some(false),
            _ => None,
        }
    }

    /// How its bytes are read, if they are elsewhere.
    pub(crate) fn read_value(&self) -> Option<&ReadValue> {
        match &self.0 {
            Bytes::Here(_) => None,
            Bytes::Unread(unread) => Some(&unread.read),
        }
    }

    /// What it was hashed to as the payload of an event, if that is known without its bytes.
    pub(crate) fn known_digest(&self) -> Option<[u8; 32]> {
        match &self.0 {
            Bytes::Here(_) => None,
            Bytes::Unread(unread) => unread.digest,
        }
    }

    /// How many bytes of memory it does not take because they are elsewhere.
    pub(crate) fn elsewhere(&self) -> usize {
        match &self.0 {
            Bytes::Here(_) => 0,
            Bytes::Unread(unread) => unread.size - UNREAD_SIZE,
        }
    }

    /// The first byte of the encoding.
    #[inline]
    pub(crate) fn tag(&self) -> Option<u8> {
        match &self.0 {
            Bytes::Here(key) => key.value().first().copied(),
            Bytes::Unread(unread) => Some(unread.tag),
        }
    }

    /// Decodes the value; one that is unread is read first.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not an encoding; they cannot make this panic or allocate without bound. Those of
    /// [reading](Self::read) it.
    pub fn to_value(&self) -> Result<Value, Error> {
        match self.here() {
            Some(_) => Ok(self.decode()?),
            None => Ok(self.read()?.decode()?),
        }
    }

    pub(crate) fn decode(&self) -> Result<Value, DecodeError> {
        if let Some(text) = self.as_str() {
            return Ok(text.into());
        }
        let mut input = self.as_bytes();
        let value = take_value(&mut input, 0)?;
        codec::expect_end(input)?;
        Ok(value)
    }

    /// The whole number, if this encodes one.
    pub fn as_int(&self) -> Option<i64> {
        match self.here()? {
            [INT, number @ ..] => number.try_into().ok().map(i64::from_le_bytes),
            _ => None,
        }
    }

    /// The text, if this encodes a string and its bytes are here.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Bytes::Here(key) => key.text(),
            Bytes::Unread(_) => None,
        }
    }

    /// The bytes, if this encodes bytes and they are here.
    pub fn as_binary(&self) -> Option<&[u8]> {
        let (head, content) = self.here()?.split_at_checked(HEAD_SIZE)?;
        (head[0] == BYTES).then_some(content)
    }

    /// The kind of value this encodes, as messages say it.
    pub fn kind(&self) -> &'static str {
        match self.tag() {
            Some(NULL) => "null",
            Some(FALSE | TRUE) => "bool",
            Some(INT) => "int",
            Some(FLOAT) => "float",
            Some(STRING) => "string",
            Some(BYTES) => "bytes",
            Some(ARRAY) => "array",
            Some(OBJECT) => "object",
            Some(ERASED) => "erased",
            _ => "damaged",
        }
    }

    /// The size of the encoding in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Bytes::Here(key) => key.value().len(),
            Bytes::Unread(unread) => unread.size,
        }
    }

    /// Whether there are no bytes at all, which no value encodes to.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the value's content, which is what limits speak of: without the outermost tag and length.
    pub(crate) fn content_size(&self) -> usize {
        self.len().saturating_sub(HEAD_SIZE)
    }

    /// The encoding.
    ///
    /// # Panics
    /// If it is unread: then it is to be [read](Self::read) first.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.here().expect("a value is read before its bytes are looked at")
    }

    /// The encoding, unless it is elsewhere.
    #[inline]
    pub(crate) fn here(&self) -> Option<&[u8]> {
        match &self.0 {
            Bytes::Here(key) => Some(key.value()),
            Bytes::Unread(_) => None,
        }
    }

    /// Appends its size, and its bytes unless they are elsewhere.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        codec::put_u32(out, size_u32(self.len()));
        out.extend_from_slice(self.here().unwrap_or_default());
    }

    /// Refuses an encoding that is larger than `limits` allow, without decoding it, and what only an erasure leaves.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        if self.is_erased() {
            return Err(erased_is_not_stored());
        }
        if self.len() <= limits.value_size_max.saturating_add(HEAD_SIZE) {
            return Ok(());
        }
        Err(too_large(limits, self.len() - HEAD_SIZE))
    }

    /// An encoding of `size` bytes, all of them put by `fill`.
    pub(crate) fn fill(size: usize, fill: impl FnOnce(&mut &mut [u8])) -> Self {
        Self::fill_under("", size, fill)
    }

    fn fill_under(key: &str, size: usize, fill: impl FnOnce(&mut &mut [u8])) -> Self {
        Self(Bytes::Here(Key(Pair::new(key, size, fill))))
    }
}

/// Two values that are not the same place are read to be compared; one that cannot be read is no other's equal.
impl PartialEq for Encoded {
    fn eq(&self, other: &Self) -> bool {
        self.is_known_same(other).unwrap_or_else(|| match (self.read(), other.read()) {
            (Ok(one), Ok(other)) => one.as_bytes() == other.as_bytes(),
            _ => false,
        })
    }
}

impl Eq for Encoded {}

impl fmt::Debug for Encoded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unread() {
            return write!(formatter, "Encoded({}, {} bytes, unread)", self.kind(), self.len());
        }
        match self.to_value() {
            Ok(value) => write!(formatter, "Encoded({value})"),
            Err(error) => write!(formatter, "Encoded({} bytes, {error})", self.len()),
        }
    }
}

#[cold]
fn too_large(limits: &Limits, size: usize) -> Error {
    let limit = limits.value_size_max;
    invalid(format!("value_size_max is {limit} bytes, the value has {size}"))
}

#[cold]
fn erased_is_not_stored() -> Error {
    invalid("what is left of an erased value is read only: it cannot be stored".to_owned())
}

#[cold]
fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// The text that these bytes encode, if they encode one.
fn text_of(bytes: &[u8]) -> Option<&str> {
    let ([tag, size @ ..], content) = bytes.split_first_chunk::<HEAD_SIZE>()?;
    let is_whole = *tag == STRING && u32::from_le_bytes(*size) as usize == content.len();
    if is_whole { std::str::from_utf8(content).ok() } else { None }
}

/// The size of the encoding of `value`. `depth_left` bounds the recursion, so that no value overflows the stack.
fn measure(value: &Value, limits: &Limits, depth_left: usize) -> Result<usize, Error> {
    let below = || {
        depth_left.checked_sub(1).ok_or_else(|| {
            invalid(format!(
                "depth_max is {}, the value is nested deeper",
                limits.depth_max.min(VALUE_DEPTH_MAX)
            ))
        })
    };
    let content = match value {
        Value::Erased => return Err(erased_is_not_stored()),
        Value::Null | Value::Bool(_) => return Ok(1),
        Value::Int(_) | Value::Float(_) => return Ok(1 + 8),
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => {
            let below = below()?;
            limits.check_items(items.len(), "array")?;
            items.iter().try_fold(0, |size: usize, item| {
                let size = size + measure(item, limits, below)?;
                if size <= limits.value_size_max { Ok(size) } else { Err(too_large(limits, size)) }
            })?
        }
        Value::Object(members) => {
            let below = below()?;
            limits.check_items(members.len(), "object")?;
            refuse_repeated_names(members)?;
            members.iter().try_fold(0, |size: usize, (name, item)| {
                let size = size + 4 + name.len() + measure(item, limits, below)?;
                if size <= limits.value_size_max { Ok(size) } else { Err(too_large(limits, size)) }
            })?
        }
    };
    Ok(HEAD_SIZE + content)
}

fn refuse_repeated_names(members: &[(String, Value)]) -> Result<(), Error> {
    let repeated = if members.len() <= 8 {
        let is_repeated =
            |index: &usize| members[..*index].iter().any(|(name, _)| *name == members[*index].0);
        (0..members.len()).find(is_repeated).map(|index| &members[index].0)
    } else {
        let mut seen = HashSet::with_capacity(members.len());
        members.iter().map(|(name, _)| name).find(|name| !seen.insert(*name))
    };
    match repeated {
        None => Ok(()),
        Some(name) => Err(invalid(format!("the object names {name:?} twice"))),
    }
}

fn put_value(out: &mut &mut [u8], value: &Value) {
    match value {
        Value::Null => put(out, &[NULL]),
        Value::Erased => put(out, &[ERASED]),
        Value::Bool(false) => put(out, &[FALSE]),
        Value::Bool(true) => put(out, &[TRUE]),
        Value::Int(number) => put_number(out, INT, number.to_le_bytes()),
        Value::Float(number) => put_number(out, FLOAT, canonical_bits(*number).to_le_bytes()),
        Value::String(text) => {
            put(out, &[STRING]);
            put_sized(out, text.as_bytes());
        }
        Value::Bytes(bytes) => {
            put(out, &[BYTES]);
            put_sized(out, bytes);
        }
        Value::Array(items) => {
            put_count(out, ARRAY, items.len());
            items.iter().for_each(|item| put_value(out, item));
        }
        Value::Object(members) => {
            put_count(out, OBJECT, members.len());
            for (name, item) in members {
                put_sized(out, name.as_bytes());
                put_value(out, item);
            }
        }
    }
}

pub(crate) fn put_number(out: &mut &mut [u8], tag: u8, number: [u8; 8]) {
    put(out, &[tag]);
    put(out, &number);
}

pub(crate) fn put_count(out: &mut &mut [u8], tag: u8, count: usize) {
    put(out, &[tag]);
    put(out, &size_u32(count).to_le_bytes());
}

pub(crate) fn put_sized(out: &mut &mut [u8], bytes: &[u8]) {
    put(out, &size_u32(bytes.len()).to_le_bytes());
    put(out, bytes);
}

pub(crate) fn put(out: &mut &mut [u8], bytes: &[u8]) {
    let space = out.split_off_mut(..bytes.len()).expect("a value is as large as it was measured");
    space.copy_from_slice(bytes);
}

fn take_value(input: &mut &[u8], depth: usize) -> Result<Value, DecodeError> {
    if depth > VALUE_DEPTH_MAX {
        return Err(DecodeError::TooDeep { limit: VALUE_DEPTH_MAX });
    }
    Ok(match codec::take_u8(input)? {
        NULL => Value::Null,
        ERASED if depth == 0 => Value::Erased,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(codec::take_i64(input)?),
        FLOAT => {
            let bits = codec::take_u64(input)?;
            let float = f64::from_bits(bits);
            if canonical_bits(float) != bits {
                return Err(DecodeError::NotCanonical { bits });
            }
            Value::Float(float)
        }
        STRING => Value::String(codec::take_str(input)?.to_owned()),
        BYTES => Value::Bytes(codec::take_bytes(input)?.to_owned()),
        ARRAY => Value::Array(take_items(input, |input| take_value(input, depth + 1))?),
        OBJECT => Value::Object(take_items(input, |input| {
            Ok((codec::take_str(input)?.to_owned(), take_value(input, depth + 1)?))
        })?),
        tag => return Err(DecodeError::UnknownTag { what: "value", tag }),
    })
}

/// Takes a count and that many items, reserving only what the remaining bytes could hold.
pub(crate) fn take_items<'a, T>(
    input: &mut &'a [u8],
    mut take: impl FnMut(&mut &'a [u8]) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = codec::take_u32(input)? as usize;
    if count > input.len() {
        return Err(DecodeError::Truncated { needed: count, left: input.len() });
    }
    let mut items = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        items.push(take(input)?);
    }
    Ok(items)
}

#[cfg(test)]
#[path = "encoded_tests.rs"]
mod tests;
