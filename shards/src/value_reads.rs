//! Large values of runs in memory that stay in an image, and how often they are read.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strata_primitives::{Encoded, Error};
use strata_runtime::pinned::is_shard_thread;
use strata_wal::{ImagePlace, ImageReader, WalError};

use crate::store_error::store_error;

/// How often values of one shard were read from their images.
///
/// Who decodes such a value reads it: the caller's thread, and neither the shard nor anybody else waits. Only a closure that
/// runs on the shard reads there. The file stays open as long as a value in it may be read, so an image that has been removed is
/// there for who still knows it; and a value whose image moves [follows](crate::value_places::ValuePlaces::follow) it, whoever
/// has the value, so that such files are closed.
#[derive(Debug, Default)]
pub(crate) struct ValueReads {
    count: AtomicU64,
    size: AtomicU64,
    on_shard: AtomicU64,
    failed: AtomicU64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadCounts {
    pub(crate) count: u64,
    /// Bytes of these values.
    pub(crate) size: u64,
    /// How many of them by a thread of a shard.
    pub(crate) on_shard: u64,
    pub(crate) failed: u64,
}

/// Where a value lies.
struct Place {
    file: Arc<ImageReader>,
    slice: ImagePlace,
    /// Its bytes in the slice.
    range: Range<usize>,
}

impl ValueReads {
    /// How the value in `range` of a slice is read.
    pub(crate) fn reading(
        self: &Arc<ValueReads>,
        file: &Arc<ImageReader>,
        slice: ImagePlace,
        range: Range<usize>,
    ) -> impl Fn() -> Result<Encoded, Error> + Send + Sync + 'static {
        let (reads, place) = (Arc::clone(self), Place { file: Arc::clone(file), slice, range });
        move || reads.count(place.read().map_err(store_error))
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> ReadCounts {
        // Relaxed: each number is all that is communicated.
        let [count, size, on_shard, failed] = [&self.count, &self.size, &self.on_shard, &self.failed]
            .map(|number| number.load(Ordering::Relaxed));
        ReadCounts { count, size, on_shard, failed }
    }

    fn count(&self, read: Result<Encoded, Error>) -> Result<Encoded, Error> {
        let size = read.as_ref().map_or(0, Encoded::len) as u64;
        let (on_shard, failed) = (u64::from(is_shard_thread()), u64::from(read.is_err()));
        let added =
            [(&self.count, 1), (&self.size, size), (&self.on_shard, on_shard), (&self.failed, failed)];
        for (number, added) in added {
            number.fetch_add(added, Ordering::Relaxed);
        }
        read
    }
}

impl Place {
    /// Reads the slice, whose sum proves the value.
    fn read(&self) -> Result<Encoded, WalError> {
        let mut found = None;
        self.file.slices(self.slice, |slice| {
            found = slice.get(self.range.clone()).map(Encoded::from_canonical);
            false
        })?;
        found.ok_or_else(|| self.file.corrupt(self.slice.offset, "a value is not where it was"))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Place").field("slice", &self.slice).field("range", &self.range).finish()
    }
}
