//! What the log holds of a document's change: absolute, resolved writes, and their bytes.
//!
//! One tag byte, then the fields; a path is a JSON Pointer, a value is in its canonical encoding, and each is a
//! little-endian `u32` size and its bytes:
//!
//! ```text
//! 1 put     value         the whole document
//! 2 set     path, value   a member of an object, or an item that is in its array
//! 3 insert  path, value   an item before the one with that index, or behind the last
//! 4 remove  path          a member or an item
//! ```
//! Tags are never changed or reused.
use super::pointer::Pointer;
use crate::codec::{self, DecodeError};
use crate::encoded::Encoded;

/// One unconditional change of one document. Nothing in it depends on what a caller meant: `-` is an index by now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named for what they are; each variant says what it does")]
pub enum JsonWrite {
    /// The whole document is this.
    Put { value: Encoded },
    /// The member of an object, or the item that is in its array, is this. A new member goes behind the others.
    Set { path: Pointer, value: Encoded },
    /// This stands before the item that has the index now, or behind the last one.
    Insert { path: Pointer, value: Encoded },
    /// The member or item is gone.
    Remove { path: Pointer },
}

const PUT: u8 = 1;
const SET: u8 = 2;
const INSERT: u8 = 3;
const REMOVE: u8 = 4;

impl JsonWrite {
    /// The place that is written; the root for a whole document.
    pub fn path(&self) -> Pointer {
        match self {
            Self::Put { .. } => Pointer::root(),
            Self::Set { path, .. } | Self::Insert { path, .. } | Self::Remove { path } => path.clone(),
        }
    }

    /// What is put there, if something is.
    pub fn value(&self) -> Option<&Encoded> {
        match self {
            Self::Put { value } | Self::Set { value, .. } | Self::Insert { value, .. } => Some(value),
            Self::Remove { .. } => None,
        }
    }

    /// The size of the encoding in bytes.
    pub fn encoded_size(&self) -> usize {
        let path_size = match self {
            Self::Put { .. } => 0,
            Self::Set { path, .. } | Self::Insert { path, .. } | Self::Remove { path } => {
                4 + path.as_str().len()
            }
        };
        1 + path_size + self.value().map_or(0, |value| 4 + value.len())
    }

    /// Appends the encoding, as drawn at the top of this file.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put { value } => {
                codec::put_u8(out, PUT);
                codec::put_bytes(out, value.as_bytes());
            }
            Self::Set { path, value } => {
                codec::put_u8(out, SET);
                codec::put_str(out, path.as_str());
                codec::put_bytes(out, value.as_bytes());
            }
            Self::Insert { path, value } => {
                codec::put_u8(out, INSERT);
                codec::put_str(out, path.as_str());
                codec::put_bytes(out, value.as_bytes());
            }
            Self::Remove { path } => {
                codec::put_u8(out, REMOVE);
                codec::put_str(out, path.as_str());
            }
        }
    }

    /// Takes one write from the front of `input`. Nothing in `input` can make this panic.
    ///
    /// Values are taken over as they are; [`Document::check`](super::Document::check) looks into them.
    pub fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(match codec::take_u8(input)? {
            PUT => Self::Put { value: take_encoded(input)? },
            SET => Self::Set { path: take_path(input)?, value: take_encoded(input)? },
            INSERT => Self::Insert { path: take_path(input)?, value: take_encoded(input)? },
            REMOVE => Self::Remove { path: take_path(input)? },
            tag => return Err(DecodeError::UnknownTag { what: "JSON write", tag }),
        })
    }
}

fn take_path(input: &mut &[u8]) -> Result<Pointer, DecodeError> {
    Pointer::from_record(codec::take_str(input)?).ok_or(DecodeError::NotPointer)
}

fn take_encoded(input: &mut &[u8]) -> Result<Encoded, DecodeError> {
    Ok(Encoded::from_canonical(codec::take_bytes(input)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes() -> [(JsonWrite, &'static [u8]); 4] {
        let (path, value) = (Pointer::parse("/a/0", 2).unwrap(), Encoded::from_canonical(&[0]));
        [
            (JsonWrite::Put { value: value.clone() }, &[1, 1, 0, 0, 0, 0]),
            (
                JsonWrite::Set { path: path.clone(), value: value.clone() },
                &[2, 4, 0, 0, 0, b'/', b'a', b'/', b'0', 1, 0, 0, 0, 0],
            ),
            (
                JsonWrite::Insert { path: path.clone(), value },
                &[3, 4, 0, 0, 0, b'/', b'a', b'/', b'0', 1, 0, 0, 0, 0],
            ),
            (JsonWrite::Remove { path }, &[4, 4, 0, 0, 0, b'/', b'a', b'/', b'0']),
        ]
    }

    #[test]
    fn the_bytes_of_every_write_never_change() {
        for (write, golden) in writes() {
            let mut out = Vec::new();
            write.encode(&mut out);
            assert_eq!(out, golden, "{write:?}");
            assert_eq!(write.encoded_size(), golden.len());
            let mut input = golden;
            assert_eq!(JsonWrite::decode(&mut input), Ok(write));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn a_write_cut_anywhere_is_refused() {
        for (write, golden) in writes() {
            for cut in 0..golden.len() {
                assert!(JsonWrite::decode(&mut &golden[..cut]).is_err(), "{write:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn damaged_bytes_are_told_apart() {
        let decode = |bytes: &[u8]| JsonWrite::decode(&mut &*bytes).unwrap_err();
        assert_eq!(decode(&[0]), DecodeError::UnknownTag { what: "JSON write", tag: 0 });
        assert_eq!(decode(&[5]), DecodeError::UnknownTag { what: "JSON write", tag: 5 });
        assert_eq!(decode(&[4, 1, 0, 0, 0, b'x']), DecodeError::NotPointer);
        assert_eq!(decode(&[4, 2, 0, 0, 0, b'/', b'~']), DecodeError::NotPointer);
        assert_eq!(decode(&[4, 1, 0, 0, 0, 0xff]), DecodeError::NotText);
    }
}
