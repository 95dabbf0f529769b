//! Where large values lie that runs in memory have left in images, and where they go when these are written anew.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use strata_primitives::{Filled, LARGE_VALUE_SIZE, ReadValue, WeakReadValue};
use strata_wal::{ImagePlace, ImageReader};

use crate::value_reads::ValueReads;

/// A value as it lies in a slice.
#[derive(Debug)]
struct Left {
    /// Who reads it.
    read: WeakReadValue,
    /// The slice in its file.
    slice: ImagePlace,
    /// Its bytes in the slice.
    range: Range<usize>,
}

/// Values that are left in images, by the number of the file, the offset of the slice in it, and a number of their own. One that was
/// loaded several times is here as often.
#[derive(Debug, Default)]
pub(crate) struct ValuePlaces {
    left: BTreeMap<(u64, u64, u64), Left>,
    entered_count: u64,
    /// How many there were when those that nobody has any more were last taken out.
    swept_count: usize,
}

/// So few are not worth sweeping.
const FEW_VALUES: usize = 1 << 10;

impl ValuePlaces {
    /// How a value is read that is left in `range` of a slice, there or wherever it goes.
    pub(crate) fn leave(
        &mut self,
        reads: &Arc<ValueReads>,
        file: &Arc<ImageReader>,
        slice: ImagePlace,
        range: Range<usize>,
    ) -> ReadValue {
        let read = ReadValue::new(reads.reading(file, slice, range.clone()));
        self.enter(file.header().number, Left { read: read.downgrade(), slice, range });
        read
    }

    /// Values that an image has which was just written are read from there from now on.
    pub(crate) fn follow(&mut self, reads: &Arc<ValueReads>, image: &Arc<ImageReader>, moved: Moved) {
        for (read, slice, range) in self.take_moved(moved) {
            read.replace(reads.reading(image, slice, range.clone()));
            self.enter(image.header().number, Left { read: read.downgrade(), slice, range });
        }
    }

    fn enter(&mut self, file: u64, left: Left) {
        if self.left.len() >= FEW_VALUES.max(2 * self.swept_count) {
            self.left.retain(|_, left| left.read.is_wanted());
            self.swept_count = self.left.len();
        }
        self.left.insert((file, left.slice.offset, self.entered_count), left);
        self.entered_count += 1;
    }

    /// Nothing moves any more out of files that are gone.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(u64) -> bool) {
        self.left.retain(|(file, ..), _| !is_gone(*file));
        self.swept_count = self.swept_count.min(self.left.len());
    }

    /// Takes out those in slices of a file that begin at these offsets.
    fn take(&mut self, file: u64, offsets: Range<u64>) -> Vec<Left> {
        let places = (file, offsets.start, 0)..(file, offsets.end, 0);
        self.left.extract_if(places, |_, _| true).map(|(_, left)| left).collect()
    }

    /// Takes out what has moved. Who reads it, and the slice of the new file in which it is to be read, and where in that.
    fn take_moved(&mut self, moved: Moved) -> Vec<(ReadValue, ImagePlace, Range<usize>)> {
        let Moved { filled, copied, redacted } = moved;
        let mut found = filled;
        for Copied { file, from, to } in copied {
            for Left { read, slice, range } in self.take(file, from.offset..from.offset + from.size) {
                let slice = ImagePlace { offset: slice.offset - from.offset + to, ..slice };
                found.extend(read.upgrade().map(|read| (read, slice, range)));
            }
        }
        for (file, MovedValue { offset, begin, slice, range }) in redacted {
            for left in self.take(file, offset..offset + 1) {
                match left.read.upgrade() {
                    Some(read) if left.range.start == begin => found.push((read, slice, range.clone())),
                    Some(_) => self.enter(file, left),
                    None => {}
                }
            }
        }
        found
    }
}

/// Where an image has values that were in other files before it was written.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Those of runs that were written anew.
    filled: Vec<(ReadValue, ImagePlace, Range<usize>)>,
    copied: Vec<Copied>,
    /// Those in slices that have changed as they were copied, by the file in which they were.
    redacted: Vec<(u64, MovedValue)>,
}

/// Slices of another file, and the offset at which they begin in the new one.
#[derive(Debug)]
struct Copied {
    file: u64,
    from: ImagePlace,
    to: u64,
}

/// A value that lies somewhere else in its slice than before.
#[derive(Debug)]
pub(crate) struct MovedValue {
    /// Offset of the slice in which it was.
    pub(crate) offset: u64,
    /// Its first byte in that.
    pub(crate) begin: usize,
    /// The slice in which it is.
    pub(crate) slice: ImagePlace,
    /// Its bytes in that.
    pub(crate) range: Range<usize>,
}

impl Moved {
    pub(crate) fn is_empty(&self) -> bool {
        self.filled.is_empty() && self.copied.is_empty() && self.redacted.is_empty()
    }

    /// A slice was written for which these were read.
    pub(crate) fn fill(&mut self, slice: ImagePlace, values: Filled) {
        self.filled.extend(values.into_iter().map(|(read, range)| (read, slice, range)));
    }

    /// Slices of another file were copied.
    pub(crate) fn copy(&mut self, file: u64, from: ImagePlace, to: u64) {
        // In fewer bytes there is no large value.
        if from.size >= LARGE_VALUE_SIZE as u64 {
            self.copied.push(Copied { file, from, to });
        }
    }

    /// Slices of another file were copied without what was erased of them.
    pub(crate) fn redact(&mut self, file: u64, values: Vec<MovedValue>) {
        self.redacted.extend(values.into_iter().map(|value| (file, value)));
    }
}
