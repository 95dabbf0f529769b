//! A slice of an image on its way: its bytes, but for those of large values that are elsewhere.
use super::entry::ImageEntry;
use crate::encoded::Encoded;
use crate::error::Error;
use crate::unread::ReadValue;
use std::ops::Range;

/// Some entries of an image, one behind the other. How many bytes they take is known at once; those of values that are unread are
/// read by who writes them.
#[derive(Debug, Default)]
pub struct ImageSlice {
    bytes: Vec<u8>,
    /// Values that are to be put in, each at its place among the bytes.
    unread: Vec<(usize, Encoded)>,
    unread_size: usize,
}

/// Values that were read for a slice, and where among its bytes each of them lies.
pub type Filled = Vec<(ReadValue, Range<usize>)>;

impl ImageSlice {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of all of it in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.unread_size
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an entry.
    pub fn put(&mut self, entry: &ImageEntry) {
        entry.encode_head(&mut self.bytes);
        if let Some((value, behind)) = entry.value()
            && value.is_unread()
        {
            self.unread_size += value.len();
            self.unread.push((self.bytes.len() - behind, value.clone()));
        }
    }

    /// All bytes of it, those too that have to be read.
    ///
    /// # Errors
    /// Those of reading a value.
    pub fn into_bytes(self) -> Result<Vec<u8>, Error> {
        Ok(self.fill()?.0)
    }

    /// The same, and where among them each value lies that had to be read.
    ///
    /// # Errors
    /// Those of reading a value.
    pub fn fill(self) -> Result<(Vec<u8>, Filled), Error> {
        if self.unread.is_empty() {
            return Ok((self.bytes, Vec::new()));
        }
        let (mut all, mut filled, mut from) = (Vec::with_capacity(self.len()), Vec::new(), 0);
        for (place, value) in &self.unread {
            all.extend_from_slice(&self.bytes[from..*place]);
            let begin = all.len();
            all.extend_from_slice(value.read()?.as_bytes());
            filled.extend(value.read_value().map(|read| (read.clone(), begin..all.len())));
            from = *place;
        }
        all.extend_from_slice(&self.bytes[from..]);
        Ok((all, filled))
    }
}
