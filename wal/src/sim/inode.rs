//! One file of the simulated disk: what the kernel has of it, and what the medium has.

use super::dice::Dice;

/// The largest piece that a power cut leaves whole, in bytes.
pub(super) const SECTOR_SIZE: usize = 512;

/// Larger files are a mistake of the test, not a need.
const FILE_SIZE_MAX: usize = 1 << 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    cache: Vec<u8>,
    medium: Vec<u8>,
    pending: Vec<Change>, // in the order they were made; what a sync would move to the medium
    clock: u64,           // number of the newest change
    has_lost: bool,       // a failed sync has dropped a write
}

#[derive(Clone, Debug)]
struct Change {
    number: u64,
    kind: ChangeKind,
}

#[derive(Clone, Debug)]
enum ChangeKind {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Inode {
    /// What a reader sees through the page cache.
    pub(super) fn cache(&self) -> &[u8] {
        &self.cache
    }

    /// What would be left if every unsynced change were lost.
    pub(super) fn medium(&self) -> &[u8] {
        &self.medium
    }

    /// What a reader sees past the page cache: dirty pages are written back first, but pages that a
    /// failed sync has marked clean are not.
    pub(super) fn read_direct(&self, offset: usize, buffer: &mut [u8]) {
        buffer.fill(0);
        overlay(buffer, offset, 0, &self.medium);
        for change in &self.pending {
            match &change.kind {
                ChangeKind::Write { offset: start, bytes } => overlay(buffer, offset, *start, bytes),
                ChangeKind::Resize(size) => {
                    let kept = size.saturating_sub(offset).min(buffer.len());
                    buffer[kept..].fill(0);
                }
            }
        }
    }

    /// Whether a failed sync has dropped a write.
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Names the changes made so far.
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    /// Replaces everything, durably.
    pub(super) fn set(&mut self, bytes: &[u8]) {
        self.cache = bytes.to_vec();
        self.medium = bytes.to_vec();
        self.pending.clear();
        self.has_lost = false;
    }

    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        for bytes in [&mut self.cache, &mut self.medium] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Writes into the cache.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(ChangeKind::Write { offset, bytes: bytes.to_vec() });
        }
    }

    /// Writes, and makes this range durable, and no other.
    ///
    /// A change of size goes with it: both travel in the file system's journal.
    pub(super) fn write_durable(&mut self, offset: usize, bytes: &[u8]) {
        for change in self.pending.extract_if(.., |change| matches!(change.kind, ChangeKind::Resize(_))) {
            change.kind.apply(&mut self.medium);
        }
        self.forget(offset, offset + bytes.len());
        put(&mut self.cache, offset, bytes);
        put(&mut self.medium, offset, bytes);
    }

    pub(super) fn resize(&mut self, size: usize) {
        assert!(size <= FILE_SIZE_MAX, "the simulated disk holds files below 4 GiB");
        self.forget(size, usize::MAX);
        self.change(ChangeKind::Resize(size));
    }

    /// Makes the changes up to the one numbered `through` durable.
    pub(super) fn sync(&mut self, through: u64) {
        for change in self.pending.extract_if(.., |change| change.number <= through) {
            change.kind.apply(&mut self.medium);
        }
    }

    /// A sync that fails: the kernel marks every page clean, whether or not it reached the medium.
    pub(super) fn fail_sync(&mut self, through: u64, dice: &mut Dice) {
        for change in self.pending.extract_if(.., |change| change.number <= through) {
            if matches!(change.kind, ChangeKind::Resize(_)) || dice.flip() {
                change.kind.apply(&mut self.medium);
            } else {
                self.has_lost = true;
            }
        }
    }

    /// Power is lost: every unsynced change survives, is lost, or is torn, each on its own.
    ///
    /// Later changes may survive earlier ones, which is all that reordering can do to a medium.
    pub(super) fn lose_power(&mut self, dice: &mut Dice) {
        for change in std::mem::take(&mut self.pending) {
            match (&change.kind, dice.below(4)) {
                (ChangeKind::Resize(_), 0 | 1) | (ChangeKind::Write { .. }, 0) => {
                    change.kind.apply(&mut self.medium);
                }
                (ChangeKind::Write { offset, bytes }, 1) => self.tear(*offset, bytes, dice),
                // The size was journaled, the content was not: the range reads as zeros.
                (ChangeKind::Write { offset, bytes }, 2) => {
                    let end = offset + bytes.len();
                    self.medium.resize(self.medium.len().max(end), 0);
                }
                _ => {}
            }
        }
        self.cache.clone_from(&self.medium);
    }

    /// Puts some sectors of a write on the medium, chosen by chance.
    pub(super) fn tear(&mut self, offset: usize, bytes: &[u8], dice: &mut Dice) {
        for (start, sector) in sectors(offset, bytes) {
            if dice.flip() {
                put(&mut self.medium, start, sector);
            }
        }
    }

    fn change(&mut self, kind: ChangeKind) {
        kind.apply(&mut self.cache);
        self.clock += 1;
        self.pending.push(Change { number: self.clock, kind });
    }

    /// Drops what pending writes hold of `start..end`: something newer is there.
    fn forget(&mut self, start: usize, end: usize) {
        let mut kept = Vec::with_capacity(self.pending.len());
        for change in std::mem::take(&mut self.pending) {
            match change.kind {
                ChangeKind::Write { offset, bytes } if offset < end && offset + bytes.len() > start => {
                    let before = start.saturating_sub(offset);
                    let after = end.saturating_sub(offset).min(bytes.len());
                    for (from, to) in [(0, before), (after, bytes.len())] {
                        if from < to {
                            let kind =
                                ChangeKind::Write { offset: offset + from, bytes: bytes[from..to].to_vec() };
                            kept.push(Change { number: change.number, kind });
                        }
                    }
                }
                kind => kept.push(Change { number: change.number, kind }),
            }
        }
        self.pending = kept;
    }
}

impl ChangeKind {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            ChangeKind::Write { offset, bytes } => put(content, *offset, bytes),
            ChangeKind::Resize(size) => content.resize(*size, 0),
        }
    }
}

/// The first sectors of a write, as many as chance says, but never all of them.
pub(super) fn torn_prefix<'a>(offset: usize, bytes: &'a [u8], dice: &mut Dice) -> &'a [u8] {
    let ends: Vec<usize> = sectors(offset, bytes).map(|(start, _)| start - offset).collect();
    if ends.is_empty() { bytes } else { &bytes[..ends[dice.below(ends.len())]] }
}

/// The pieces of a write that lie in one sector each, with their places in the file.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let place = offset + start;
        let size = (SECTOR_SIZE - place % SECTOR_SIZE).min(bytes.len() - start);
        let sector = &bytes[start..start + size];
        start += size;
        (size > 0).then_some((place, sector))
    })
}

/// Copies into `buffer`, which shows a file from `offset` on, what `bytes` at `start` have for it.
fn overlay(buffer: &mut [u8], offset: usize, start: usize, bytes: &[u8]) {
    let from = offset.max(start);
    let to = (offset + buffer.len()).min(start + bytes.len());
    if from < to {
        buffer[from - offset..to - offset].copy_from_slice(&bytes[from - start..to - start]);
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    assert!(end <= FILE_SIZE_MAX, "the simulated disk holds files below 4 GiB");
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_covers_only_what_was_written_before_it_began() {
        let mut inode = Inode::default();
        inode.write(0, b"early");
        let through = inode.clock();
        inode.write(5, b"late");
        inode.sync(through);
        assert_eq!(inode.medium(), b"early");
        assert_eq!(inode.cache(), b"earlylate");
    }

    #[test]
    fn an_older_pending_write_never_overtakes_a_durable_one() {
        let mut inode = Inode::default();
        inode.write(0, &[1; 1024]);
        inode.write_durable(512, &[2; 256]);
        inode.sync(inode.clock());
        assert_eq!(inode.medium(), inode.cache());
        assert_eq!(&inode.medium()[512..768], &[2; 256]);
        assert_eq!(&inode.medium()[768..], &[1; 256]);
    }

    #[test]
    fn a_durable_write_keeps_an_earlier_cut_from_reaching_it_later() {
        let mut inode = Inode::default();
        inode.set(&[1; 2048]);
        inode.resize(512);
        inode.write_durable(1024, &[2; 512]);
        for seed in 0..32 {
            let mut crashed = inode.clone();
            crashed.lose_power(&mut Dice::new(seed));
            assert_eq!(&crashed.cache()[1024..], &[2; 512], "seed {seed}");
            assert_eq!(&crashed.cache()[512..1024], &[0; 512], "seed {seed}");
        }
    }

    #[test]
    fn a_direct_read_shows_pending_changes_over_the_medium() {
        let mut inode = Inode::default();
        inode.set(&[1; 20]);
        inode.write(15, &[2; 10]);
        inode.resize(18);
        inode.write(22, &[3; 2]);
        for start in 0..24 {
            for size in 0..=24 - start {
                let mut buffer = vec![9; size];
                inode.read_direct(start, &mut buffer);
                assert_eq!(buffer, inode.cache()[start..start + size], "{size} bytes at {start}");
            }
        }
    }

    #[test]
    fn a_torn_prefix_is_shorter_than_the_write_and_ends_on_a_sector() {
        let mut dice = Dice::new(1);
        for _ in 0..100 {
            let prefix = torn_prefix(100, &[0; 2000], &mut dice).len();
            assert!(prefix < 2000 && (prefix == 0 || (100 + prefix).is_multiple_of(SECTOR_SIZE)));
        }
    }
}
