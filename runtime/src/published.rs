//! One value that a thread replaces while others read it.
//!
//! A reader takes no lock and waits for nobody. The cell is arc-swap's: what a reader holds while the value is replaced stays
//! until he lets go (hazard pointers with a debt for each reader: docs.rs/arc-swap, "internal"). Loom cannot see inside it, so a
//! model has a mutex in its place.

use std::fmt;

use crate::sync::{Arc, SwapCell};

/// A shared value, or none, that may be replaced at any moment.
///
/// ```
/// use std::sync::Arc;
///
/// let published = strata_runtime::Published::new(Some(Arc::new(1)));
/// assert_eq!(published.read(|value| value.map(|value| **value)), Some(1));
/// published.set(Some(Arc::new(2)));
/// assert_eq!(published.read(|value| value.map(|value| **value)), Some(2));
/// published.set(None);
/// assert_eq!(published.read(|value| value.map(|value| **value)), None);
/// ```
pub struct Published<T> {
    cell: SwapCell<T>,
}

impl<T> Published<T> {
    /// A cell with this value.
    pub fn new(value: Option<Arc<T>>) -> Published<T> {
        Published { cell: SwapCell::new(value) }
    }

    /// Hands the value to `read`: the newest, or one that was replaced while this call ran. It is kept for as long.
    #[inline]
    pub fn read<R>(&self, read: impl FnOnce(Option<&Arc<T>>) -> R) -> R {
        self.cell.read(read)
    }

    /// Replaces the value. Whoever reads from now on, or is told of this call, finds this one or a later one. The old value
    /// is dropped by whoever holds it last; readers that have begun hold it for themselves when this returns.
    pub fn set(&self, value: Option<Arc<T>>) {
        self.cell.set(value);
    }
}

impl<T> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("is_empty", &self.read(|value| value.is_none()))
            .finish_non_exhaustive()
    }
}
