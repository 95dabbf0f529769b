//! The opening of a store that a shard serves.

/// One opening of a store, counted by MANIFEST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// Its number, counted from 1; 0 before the store has told its shards.
    pub number: u64,
    /// The last boot that did not close in order; 0 for none.
    pub unclean_through: u64,
}
