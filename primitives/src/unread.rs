//! A large value whose bytes are elsewhere: what is known of it without them, and how they are read.
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use std::fmt;

/// A value of at least this size, in bytes, need not be in memory with its run.
pub const LARGE_VALUE_SIZE: usize = 64 << 10;

/// About how many bytes of memory a value takes that is not there.
pub(crate) const UNREAD_SIZE: usize = 256;

/// Reads the bytes of a value. It may wait for a device, and fail as one does.
pub type ReadValue = Box<dyn Fn() -> Result<Encoded, Error> + Send + Sync>;

/// What is known of a value that is elsewhere.
pub(crate) struct Unread {
    /// The first byte of its encoding, which tells its kind.
    pub(crate) tag: u8,
    /// The size of its encoding in bytes.
    pub(crate) size: usize,
    /// What it was hashed to with the salt of its event, where it is the payload of one.
    pub(crate) digest: Option<[u8; 32]>,
    read: ReadValue,
}

impl Unread {
    pub(crate) fn new(value: &Encoded, digest: Option<[u8; 32]>, read: ReadValue) -> Self {
        let tag = value.as_bytes().first().copied().expect("a large value is not empty");
        Self { tag, size: value.len(), digest, read }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of reading it; `Corrupt` when another value lies there.
    pub(crate) fn read(&self) -> Result<Encoded, Error> {
        let value = (self.read)()?;
        if value.len() != self.size || value.tag() != Some(self.tag) {
            let message =
                format!("a value of {} bytes lies where one of {} was left", value.len(), self.size);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(value)
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unread").field("tag", &self.tag).field("size", &self.size).finish()
    }
}
