//! What the events of a run and its traces have in common: they are added at the end, and removed at the front.
use crate::chunks::CHUNK_COUNT_MAX;
use crate::fork::ForkChanges;
use crate::past::{Keeper, Replacements, kept_by};
use crate::version::Version;

/// A place that is never reached by adding entries: none is taken over behind it, so that what is added to one does not overflow.
pub(crate) const PLACE_MAX: u64 = 1 << 62;

/// Entries by their places: 0, 1, 2 ... without gaps, but for those that were removed at the front.
pub(crate) trait EntryLog: Clone {
    type Entry;
    /// What is left of the entries that were removed.
    type Anchor;

    /// The place of the first entry that is there: as many were removed.
    fn first(&self) -> u64;

    /// The place of the next one: as many were ever added.
    fn end(&self) -> u64;

    /// How much memory what was removed has taken, since this is in memory; what matters is by how much it grows.
    fn released(&self) -> usize;

    /// How much memory an entry takes, bytes.
    fn memory_of(entry: &Self::Entry) -> usize;

    /// The commit that wrote it last.
    fn version_of(entry: &Self::Entry) -> Version;

    /// Removes all entries below `before`.
    ///
    /// # Panics
    /// If none is, or not as many were added.
    fn trim(&mut self, before: u64) -> Trimmed<Self::Entry, Self::Anchor>;

    /// Takes back a [`trim`](Self::trim).
    fn untrim(&mut self, trimmed: Trimmed<Self::Entry, Self::Anchor>);

    /// Drops so many entries at the front of a log that nobody reads any more.
    fn drop_front(&mut self, count: u64);
}

/// Entries that were removed, and what was left of those before them.
#[derive(Debug)]
pub(crate) struct Trimmed<T, A> {
    pub(crate) entries: Vec<T>,
    pub(crate) before: A,
}

pub(crate) type TrimmedOf<L> = Trimmed<<L as EntryLog>::Entry, <L as EntryLog>::Anchor>;

/// Removes the entries below `before`, and keeps the log there was where a snapshot may look at it. Returns what was removed, and the
/// commit it is kept for.
pub(crate) fn trim<L: EntryLog>(
    log: &mut L,
    past: &mut Replacements<(), L>,
    fork: Option<&mut ForkChanges>,
    before: u64,
    keeper: Option<Keeper>,
) -> (TrimmedOf<L>, Option<Version>) {
    // What it takes beside what was removed since: the chunks that are copied to be changed.
    let size = 2 * CHUNK_COUNT_MAX * size_of::<L::Entry>();
    let kept = kept_by(keeper, |keeper| past.keep(&(), keeper, size, || ((), log.clone())));
    let trimmed = log.trim(before);
    if let Some(fork) = fork {
        trimmed.entries.iter().for_each(|entry| fork.unshare(L::version_of(entry), L::memory_of(entry)));
    }
    (trimmed, kept)
}

/// Takes back a [`trim`].
pub(crate) fn untrim<L: EntryLog>(
    log: &mut L,
    past: &mut Replacements<(), L>,
    fork: Option<&mut ForkChanges>,
    trimmed: TrimmedOf<L>,
    kept: Option<Version>,
) {
    kept.into_iter().for_each(|by| past.take_back(&(), by));
    if let Some(fork) = fork {
        trimmed.entries.iter().for_each(|entry| fork.share(L::version_of(entry), L::memory_of(entry)));
    }
    log.untrim(trimmed);
}
