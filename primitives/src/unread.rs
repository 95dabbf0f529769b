//! A large value whose bytes are elsewhere: what is known of it without them, and how they are read.
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use rustc_hash::FxHasher;
use std::fmt;
use std::hash::Hasher;
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// A value of at least this size, in bytes, need not be in memory with its run.
pub const LARGE_VALUE_SIZE: usize = 64 << 10;

/// About how many bytes of memory a value takes that is not there, with what is known of its place.
pub(crate) const UNREAD_SIZE: usize = 288;

/// Reads the bytes of a value. It may wait for a device, and fail as one does.
type Read = dyn Fn() -> Result<Encoded, Error> + Send + Sync;

/// How the bytes of a value are read. All clones of the value share it, whoever has them: when the bytes are
/// [somewhere else](Self::replace) all of them read there.
#[derive(Clone)]
pub struct ReadValue(Arc<RwLock<Arc<Read>>>);

/// The same for who does not keep it.
#[derive(Debug, Clone)]
pub struct WeakReadValue(Weak<RwLock<Arc<Read>>>);

impl ReadValue {
    /// Reads with `read`, which may wait for a device, and fail as one does.
    pub fn new(read: impl Fn() -> Result<Encoded, Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(read))))
    }

    /// From now on the same bytes are read with `read`.
    pub fn replace(&self, read: impl Fn() -> Result<Encoded, Error> + Send + Sync + 'static) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
    }

    /// The same, not kept.
    pub fn downgrade(&self) -> WeakReadValue {
        WeakReadValue(Arc::downgrade(&self.0))
    }

    fn read(&self) -> Result<Encoded, Error> {
        // Nobody waits for a device with the lock.
        let read = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        read()
    }
}

impl WeakReadValue {
    /// It, if a value still has it.
    pub fn upgrade(&self) -> Option<ReadValue> {
        self.0.upgrade().map(ReadValue)
    }

    /// Whether a value still has it.
    pub fn is_wanted(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl fmt::Debug for ReadValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ReadValue")
    }
}

/// What is known of a value that is elsewhere.
#[derive(Clone)]
pub(crate) struct Unread {
    /// What it stands under.
    pub(crate) key: Key,
    /// The first byte of its encoding, which tells its kind.
    pub(crate) tag: u8,
    /// The size of its encoding in bytes.
    pub(crate) size: usize,
    /// A hash of these: sums prove what lies in a place, and this that the place is the right one.
    pub(crate) hash: u64,
    /// What it was hashed to with the salt of its event, where it is the payload of one.
    pub(crate) digest: Option<[u8; 32]>,
    pub(crate) read: ReadValue,
}

impl Unread {
    pub(crate) fn new(value: &Encoded, digest: Option<[u8; 32]>, read: ReadValue) -> Self {
        let tag = value.as_bytes().first().copied().expect("a large value is not empty");
        Self { key: value.key().alone(), tag, size: value.len(), hash: hash_of(value), digest, read }
    }

    /// The same under another key.
    pub(crate) fn under(&self, key: &Key) -> Self {
        Self { key: key.alone(), ..self.clone() }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of reading it; `Corrupt` when another value lies there.
    pub(crate) fn read(&self) -> Result<Encoded, Error> {
        let value = self.read.read()?;
        if value.len() != self.size || hash_of(&value) != self.hash {
            let (found, size) = (value.len(), self.size);
            let message = format!("another value, of {found} bytes, lies where one of {size} was left");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(value)
    }
}

pub(crate) fn hash_of(value: &Encoded) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(value.as_bytes());
    hasher.finish()
}

impl fmt::Debug for Unread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unread").field("tag", &self.tag).field("size", &self.size).finish()
    }
}
