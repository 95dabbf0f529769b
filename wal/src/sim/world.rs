//! Everything a simulated disk holds, behind one mutex.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::dice::Dice;
use super::faults::{FaultKind, Faults};
use super::inode::Inode;
use super::tree::Tree;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) in_flight: BTreeMap<u64, Operation>, // submitted to a queue, not yet applied
    pub(super) locks: BTreeMap<u64, Holders>,       // by inode
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) capacity: Option<u64>,
    pub(super) has_direct: bool,
    pub(super) points: u64,
    pub(super) writes: u64,
    pub(super) syncs: u64,
    pub(super) queues: u64,
    has_power: bool,
    is_over: bool, // the process or the machine that used this world has died
    ids: u64,
}

/// What a queue was asked to do.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) inode: u64,
    pub(super) kind: OperationKind,
}

#[derive(Clone, Debug)]
pub(super) enum OperationKind {
    Write { offset: usize, bytes: Vec<u8> },
    Sync { through: u64 }, // the clock of the inode at submission
}

/// Who holds the lock on a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    pub(super) is_exclusive: bool,
    pub(super) ids: BTreeSet<u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            tree: Tree::default(),
            inodes: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            locks: BTreeMap::new(),
            dice: Dice::new(seed),
            faults: Faults::none(),
            capacity: None,
            has_direct: true,
            points: 0,
            writes: 0,
            syncs: 0,
            queues: 0,
            has_power: true,
            is_over: false,
            ids: 0,
        }
    }

    /// Counts one call and says how it fails, if it does.
    pub(super) fn point(&mut self, needs_space: bool) -> Option<FaultKind> {
        if self.is_over || !self.has_power {
            return Some(FaultKind::PowerCut);
        }
        self.points += 1;
        let strike = self.faults.at(self.points, needs_space);
        if strike == Some(FaultKind::PowerCut) {
            self.has_power = false;
        }
        strike
    }

    /// Whether calls can do anything at all.
    pub(super) fn is_alive(&self) -> bool {
        self.has_power && !self.is_over
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Gives `path` a new, empty file.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        let inode = self.next_id();
        self.tree.link(path, inode)?;
        self.inodes.insert(inode, Inode::default());
        Ok(inode)
    }

    pub(super) fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("an open file keeps its content")
    }

    /// Whether the disk has room for a file to grow from `from` to `to` bytes.
    pub(super) fn expect_room(&self, from: usize, to: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity.filter(|_| to > from) else { return Ok(()) };
        let used: usize = self.tree.files().map(|(_, inode)| self.inodes[&inode].cache().len()).sum();
        if (used + to - from) as u64 > capacity { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }

    /// Does what a queue was asked to do.
    pub(super) fn apply(&mut self, operation: &Operation) -> io::Result<()> {
        match &operation.kind {
            OperationKind::Write { offset, bytes } => {
                let size = self.inode(operation.inode).cache().len();
                self.expect_room(size, offset + bytes.len())?;
                self.inode(operation.inode).write_durable(*offset, bytes);
            }
            OperationKind::Sync { through } => self.inode(operation.inode).sync(*through),
        }
        Ok(())
    }

    /// The world after the death of the process: the kernel keeps everything, finishes what it had
    /// begun or drops it, and lets go of the locks.
    pub(super) fn kill(&mut self) -> World {
        self.dice.roll(); // another kill at this moment may end differently
        let mut after = self.end();
        for operation in std::mem::take(&mut after.in_flight).into_values() {
            if after.has_power && after.dice.flip() {
                let _ = after.apply(&operation); // nobody is left to hear of a full disk
            }
        }
        after
    }

    /// The world after a loss of power.
    pub(super) fn power_cycle(&mut self, seed: u64) -> World {
        let mut after = self.end();
        after.has_power = true;
        after.dice = Dice::new(seed);
        for operation in std::mem::take(&mut after.in_flight).into_values() {
            match (&operation.kind, after.dice.below(3)) {
                (_, 0) => drop(after.apply(&operation)),
                (OperationKind::Write { offset, bytes }, 1) => {
                    let inode = after.inodes.get_mut(&operation.inode).expect("its content is kept");
                    inode.tear(*offset, bytes, &mut after.dice);
                }
                _ => {}
            }
        }
        for inode in after.inodes.values_mut() {
            inode.lose_power(&mut after.dice);
        }
        after.tree.lose_power(&mut after.dice);
        let named: BTreeSet<u64> = after.tree.files().map(|(_, inode)| inode).collect();
        after.inodes.retain(|inode, _| named.contains(inode));
        after
    }

    /// Freezes this world, so that the same moment can be crashed again, and begins the next.
    fn end(&mut self) -> World {
        self.is_over = true;
        World {
            is_over: false,
            faults: Faults::none(),
            locks: BTreeMap::new(),
            points: 0,
            writes: 0,
            syncs: 0,
            queues: 0,
            ..self.clone()
        }
    }
}
