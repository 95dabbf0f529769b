//! Background I/O of the simulated disk.

use std::any::Any;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::faults::FaultKind;
use super::file::SimFile;
use super::inode::torn_prefix;
use super::world::{Operation, OperationKind, World};
use super::{SimDisk, failure};
use crate::storage::{BLOCK_SIZE, Buffer, Completion, File, Queue};

/// Completes an operation at its submission or when it is asked for, in any order, by the disk's seed.
pub(super) struct SimQueue {
    disk: SimDisk,
    submitted: Vec<Submitted>,
}

struct Submitted {
    token: u64,
    buffer: Option<Buffer>,
    state: State,
}

enum State {
    InFlight(u64), // named so in the world, where a crash finds it
    Completed(io::Result<()>),
}

impl SimQueue {
    pub(super) fn new(disk: SimDisk) -> Self {
        Self { disk, submitted: Vec::new() }
    }

    fn submit(&mut self, token: u64, buffer: Option<Buffer>, operation: Operation) {
        let (mut world, strike) = self.disk.enter(|world| world.extends(&operation));
        match operation.kind {
            OperationKind::Write { .. } => world.writes += 1,
            OperationKind::Sync { .. } => world.syncs += 1,
        }
        let state = match strike {
            Some(kind) => State::Completed(Err(world.fail(&operation, kind))),
            None if world.dice.flip() => State::Completed(world.apply(&operation)),
            None => {
                let id = world.next_id();
                world.in_flight.insert(id, operation);
                State::InFlight(id)
            }
        };
        drop(world);
        self.submitted.push(Submitted { token, buffer, state });
    }

    /// Chooses the one to complete next.
    fn choose(&self) -> usize {
        self.disk.world().dice.below(self.submitted.len())
    }

    fn complete(&mut self, index: usize, strike: Option<FaultKind>) -> Completion {
        let Submitted { token, buffer, state } = self.submitted.swap_remove(index);
        let mut world = self.disk.world();
        let result = match (state, strike) {
            // What is done is not undone, but nobody hears of it: the outcome is unknown.
            (State::Completed(_), Some(kind)) => Err(failure(kind)),
            (State::Completed(_), None) if !world.is_alive() => Err(failure(FaultKind::PowerCut)),
            (State::Completed(result), None) => result,
            (State::InFlight(id), strike) => world.finish(id, strike),
        };
        Completion { token, buffer, result }
    }
}

impl Queue for SimQueue {
    fn write_durable(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64) {
        assert!(!buffer.is_empty() && buffer.len().is_multiple_of(BLOCK_SIZE), "whole blocks are written");
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64), "a durable write begins on a block");
        let file = sim_file(file);
        if let Err(error) = file.expect_writable() {
            let state = State::Completed(Err(error));
            return self.submitted.push(Submitted { token, buffer: Some(buffer), state });
        }
        let inode = file.inode();
        let kind = OperationKind::Write { offset: offset as usize, bytes: buffer.to_vec() };
        self.submit(token, Some(buffer), Operation { inode, kind });
    }

    fn sync(&mut self, token: u64, file: &Arc<dyn File>) {
        let inode = sim_file(file).inode();
        let through = self.disk.world().inode(inode).clock();
        self.submit(token, None, Operation { inode, kind: OperationKind::Sync { through } });
    }

    /// Reads at once: who reads so has nobody write there meanwhile.
    fn read(&mut self, token: u64, file: &Arc<dyn File>, mut buffer: Buffer, offset: u64) {
        assert!(!buffer.is_empty() && buffer.len().is_multiple_of(BLOCK_SIZE), "whole blocks are read");
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64), "a read begins on a block");
        let result = file.read_at(&mut buffer, offset).map(|filled| buffer.resize(filled));
        self.submitted.push(Submitted { token, buffer: Some(buffer), state: State::Completed(result) });
    }

    fn reap(&mut self) -> Option<Completion> {
        if self.submitted.is_empty() {
            return None;
        }
        let index = self.choose();
        Some(self.complete(index, None))
    }

    fn wait(&mut self) -> Completion {
        assert!(!self.submitted.is_empty(), "nothing is in flight");
        let index = self.choose();
        let extends = |world: &World| match self.submitted[index].state {
            State::InFlight(id) => world.in_flight.get(&id).is_some_and(|operation| world.extends(operation)),
            State::Completed(_) => false,
        };
        let (world, strike) = self.disk.enter(extends);
        drop(world);
        self.complete(index, strike)
    }

    fn in_flight(&self) -> usize {
        self.submitted.len()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Drop for SimQueue {
    fn drop(&mut self) {
        while !self.submitted.is_empty() {
            self.complete(0, None);
        }
    }
}

impl World {
    /// Whether the operation makes its file longer.
    fn extends(&self, operation: &Operation) -> bool {
        match &operation.kind {
            OperationKind::Write { offset, bytes } => {
                offset + bytes.len() > self.inodes[&operation.inode].cache().len()
            }
            OperationKind::Sync { .. } => false,
        }
    }

    /// Leaves behind what a failed operation leaves behind.
    fn fail(&mut self, operation: &Operation, kind: FaultKind) -> io::Error {
        let inode = self.inodes.get_mut(&operation.inode).expect("an open file keeps its content");
        match (&operation.kind, kind) {
            (OperationKind::Write { offset, bytes }, FaultKind::Torn) => {
                let prefix = torn_prefix(*offset, bytes, &mut self.dice);
                inode.write_durable(*offset, prefix);
            }
            (OperationKind::Sync { through }, FaultKind::Error | FaultKind::Torn) => {
                inode.fail_sync(*through, &mut self.dice);
            }
            _ => {}
        }
        failure(kind)
    }

    /// Ends an operation in flight. Without power it stays there: the crash decides about it.
    fn finish(&mut self, id: u64, strike: Option<FaultKind>) -> io::Result<()> {
        if !self.is_alive() {
            return Err(failure(FaultKind::PowerCut));
        }
        let operation = self.in_flight.remove(&id).expect("what is in flight is known to the disk");
        match strike {
            None => self.apply(&operation),
            Some(kind) => Err(self.fail(&operation, kind)),
        }
    }
}

fn sim_file(file: &Arc<dyn File>) -> &SimFile {
    let file: &dyn Any = &**file;
    file.downcast_ref().expect("a queue serves the files of its own disk")
}
