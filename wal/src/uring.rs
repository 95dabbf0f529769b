//! The only door to `io_uring`.
//!
//! Why it is sound: the kernel reads or fills a buffer and uses a descriptor from the moment an entry is
//! pushed until its completion is taken from the ring. An [`Operation`] owns both, its buffer's heap memory
//! does not move when the operation does, and no byte of it is touched in between. An operation leaves
//! its slot in [`UringQueue::take`] alone, after its completion. Dropping the queue waits for every
//! completion; should the kernel refuse even that, the operations are leaked, never freed under it.
#![expect(unsafe_code, reason = "submission entries carry raw pointers, and the ring lends its descriptor")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};
use rustix::io::{Errno, ReadWriteFlags};

use crate::storage::{BLOCK_SIZE, Buffer, Completion, File, Queue};

/// More operations than this are never in the kernel at once; a shard needs a handful.
const DEPTH_MAX: u32 = 1024;

/// A queue whose writes, syncs and reads run in the kernel while the shard goes on.
pub(crate) struct UringQueue {
    ring: IoUring,
    slots: Vec<Option<Operation>>, // an entry's user data is its slot
    free: Vec<usize>,
    waiting: VecDeque<usize>, // submitted to us, not yet to the kernel
    depth: usize,
    kernel_count: usize, // entries pushed whose completion was not taken; at most `depth`
}

struct Operation {
    token: u64,
    file: Arc<dyn File>, // keeps the descriptor open
    kind: OperationKind,
}

enum OperationKind {
    Write { buffer: Buffer, offset: u64, written: usize },
    Sync,
    Read { buffer: Buffer, offset: u64, filled: usize },
}

impl UringQueue {
    /// A ring with room for `depth` operations in the kernel; more wait their turn on our side.
    ///
    /// # Errors
    /// If the kernel has no ring for us, or one that cannot write, sync and read.
    pub(crate) fn new(depth: u32) -> io::Result<Self> {
        let depth = depth.clamp(1, DEPTH_MAX);
        let ring = IoUring::new(depth.next_power_of_two())?;
        let mut known = Probe::new();
        ring.submitter().register_probe(&mut known)?;
        let needed = [opcode::Write::CODE, opcode::Fsync::CODE, opcode::Read::CODE];
        if !needed.into_iter().all(|code| known.is_supported(code)) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel's ring cannot write, sync and read",
            ));
        }
        Ok(Self {
            ring,
            slots: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            depth: depth as usize,
            kernel_count: 0,
        })
    }

    /// Whether a ring can be had.
    pub(crate) fn probe() -> io::Result<()> {
        Self::new(1).map(drop)
    }

    fn submit(&mut self, operation: Operation) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(operation);
        self.waiting.push_back(slot);
        self.pump().unwrap_or_else(|error| broken(&error));
    }

    /// Hands waiting operations to the kernel, as many as it may hold.
    fn pump(&mut self) -> io::Result<()> {
        let before = self.kernel_count;
        while self.kernel_count < self.depth {
            let Some(slot) = self.waiting.pop_front() else { break };
            let entry = self.slots[slot].as_mut().expect("a waiting slot is filled").entry(slot);
            // SAFETY: the entry points into the operation in `slots[slot]`, which owns buffer and file
            // and stays there, untouched, until `take` has seen this entry's completion.
            unsafe { self.ring.submission().push(&entry) }.expect("the ring has room for its depth");
            self.kernel_count += 1;
        }
        if self.kernel_count > before { self.enter(0) } else { Ok(()) }
    }

    /// Submits what was pushed and waits for `completion_count` completions.
    ///
    /// EAGAIN is a shortage of kernel memory and EBUSY a full completion queue, io_uring_enter(2);
    /// neither says anything about an operation.
    fn enter(&mut self, completion_count: usize) -> io::Result<()> {
        loop {
            let Err(error) = self.ring.submit_and_wait(completion_count) else { return Ok(()) };
            match Errno::from_io_error(&error) {
                Some(Errno::INTR) => {}
                Some(Errno::AGAIN | Errno::BUSY) if !self.ring.completion().is_empty() => return Ok(()),
                Some(Errno::AGAIN | Errno::BUSY) => std::thread::yield_now(),
                _ => return Err(error),
            }
        }
    }

    /// Ends or continues the operation that a completion of the kernel speaks of.
    fn take(&mut self, entry: &cqueue::Entry) -> io::Result<Option<Completion>> {
        let slot = entry.user_data() as usize;
        self.kernel_count -= 1;
        let mut operation = self.slots[slot].take().expect("a completion belongs to an operation");
        let result = operation.advance(entry.result());
        let Some(result) = result else {
            self.slots[slot] = Some(operation);
            self.waiting.push_front(slot);
            return self.pump().map(|()| None);
        };
        self.free.push(slot);
        self.pump()?;
        let buffer = match operation.kind {
            OperationKind::Write { buffer, .. } => Some(buffer),
            OperationKind::Sync => None,
            OperationKind::Read { mut buffer, filled, .. } => {
                buffer.resize(filled);
                Some(buffer)
            }
        };
        Ok(Some(Completion { token: operation.token, buffer, result }))
    }

    fn try_reap(&mut self) -> io::Result<Option<Completion>> {
        loop {
            let entry = self.ring.completion().next();
            match entry {
                Some(entry) => {
                    if let Some(completion) = self.take(&entry)? {
                        return Ok(Some(completion));
                    }
                }
                None if self.ring.submission().is_empty() => return Ok(None),
                // The kernel was short of something when these entries were pushed.
                None => self.enter(0)?,
            }
        }
    }

    fn try_wait(&mut self) -> io::Result<Completion> {
        loop {
            if let Some(completion) = self.try_reap()? {
                return Ok(completion);
            }
            self.enter(1)?;
        }
    }
}

impl Queue for UringQueue {
    fn write_durable(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64) {
        assert!(!buffer.is_empty() && buffer.len().is_multiple_of(BLOCK_SIZE), "whole blocks are written");
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64), "a durable write begins on a block");
        let kind = OperationKind::Write { buffer, offset, written: 0 };
        self.submit(Operation { token, file: Arc::clone(file), kind });
    }

    fn sync(&mut self, token: u64, file: &Arc<dyn File>) {
        self.submit(Operation { token, file: Arc::clone(file), kind: OperationKind::Sync });
    }

    fn read(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64) {
        assert!(!buffer.is_empty() && buffer.len().is_multiple_of(BLOCK_SIZE), "whole blocks are read");
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64), "a read begins on a block");
        let kind = OperationKind::Read { buffer, offset, filled: 0 };
        self.submit(Operation { token, file: Arc::clone(file), kind });
    }

    fn reap(&mut self) -> Option<Completion> {
        self.try_reap().unwrap_or_else(|error| broken(&error))
    }

    fn wait(&mut self) -> Completion {
        assert!(self.in_flight() > 0, "nothing is in flight");
        self.try_wait().unwrap_or_else(|error| broken(&error))
    }

    fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor is the ring's own, and lives as long as the ring we are borrowed for.
        Some(unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) })
    }
}

impl Drop for UringQueue {
    fn drop(&mut self) {
        while self.in_flight() > 0 {
            if let Err(error) = self.try_wait() {
                tracing::error!(target: "strata", %error, "the ring cannot be waited for, its buffers are given up");
                std::mem::forget(std::mem::take(&mut self.slots));
                return;
            }
        }
    }
}

/// Anything but a passing shortage means that the ring itself is broken, and with it the shard.
fn broken(error: &io::Error) -> ! {
    panic!("the ring cannot be entered: {error}")
}

impl Operation {
    /// What the kernel is asked to do next. Its pointers live as long as the operation.
    fn entry(&mut self, slot: usize) -> squeue::Entry {
        let descriptor = self.file.descriptor().expect("the ring serves files of the real disk");
        let descriptor = types::Fd(descriptor.as_raw_fd());
        let bounded = |rest: usize| u32::try_from(rest).unwrap_or(1 << 30); // the remainder follows
        let entry = match &mut self.kind {
            OperationKind::Write { buffer, offset, written } => {
                let rest = &buffer[*written..];
                opcode::Write::new(descriptor, rest.as_ptr(), bounded(rest.len()))
                    .offset(*offset + *written as u64)
                    .rw_flags(ReadWriteFlags::DSYNC.bits() as _)
                    .build()
            }
            OperationKind::Sync => opcode::Fsync::new(descriptor).flags(types::FsyncFlags::DATASYNC).build(),
            OperationKind::Read { buffer, offset, filled } => {
                let rest = &mut buffer[*filled..];
                opcode::Read::new(descriptor, rest.as_mut_ptr(), bounded(rest.len()))
                    .offset(*offset + *filled as u64)
                    .build()
            }
        };
        entry.user_data(slot as u64)
    }

    /// Takes in what the kernel did; `None` when there is more for it to do.
    fn advance(&mut self, result: i32) -> Option<io::Result<()>> {
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            return match Errno::from_io_error(&error) {
                Some(Errno::INTR | Errno::AGAIN) => None,
                _ => Some(Err(error)),
            };
        }
        match &mut self.kind {
            OperationKind::Sync => Some(Ok(())),
            OperationKind::Write { .. } if result == 0 => Some(Err(io::ErrorKind::WriteZero.into())),
            OperationKind::Write { buffer, written, .. } => {
                *written += result as usize;
                assert!(*written <= buffer.len(), "the kernel writes what it was given");
                (*written == buffer.len()).then_some(Ok(()))
            }
            OperationKind::Read { buffer, filled, .. } => {
                *filled += result as usize;
                assert!(*filled <= buffer.len(), "the kernel fills what it was given");
                // A read past the page cache that ends inside a block has met the end of the file, and going on from there
                // would not be aligned.
                let is_at_end = result == 0 || !filled.is_multiple_of(BLOCK_SIZE);
                (is_at_end || *filled == buffer.len()).then_some(Ok(()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::storage::{Access, Storage};

    fn operation_of(
        kind: impl FnOnce(Buffer) -> OperationKind,
        bytes: usize,
    ) -> (tempfile::TempDir, Operation) {
        let dir = tempfile::tempdir().unwrap();
        let file = Disk::new().open(&dir.path().join("file"), Access::Create).unwrap();
        let mut buffer = Buffer::default();
        buffer.resize(bytes);
        (dir, Operation { token: 1, file, kind: kind(buffer) })
    }

    fn write_of(bytes: usize) -> (tempfile::TempDir, Operation) {
        operation_of(|buffer| OperationKind::Write { buffer, offset: 0, written: 0 }, bytes)
    }

    fn read_of(bytes: usize) -> (tempfile::TempDir, Operation) {
        operation_of(|buffer| OperationKind::Read { buffer, offset: 0, filled: 0 }, bytes)
    }

    #[test]
    fn a_short_write_is_continued_where_it_ended() {
        let (_dir, mut operation) = write_of(8192);
        assert!(operation.advance(4096).is_none());
        assert!(matches!(operation.kind, OperationKind::Write { written: 4096, .. }));
        assert!(operation.advance(4096).unwrap().is_ok());
    }

    #[test]
    fn a_short_read_is_continued_where_it_ended_unless_the_file_does() {
        let (_dir, mut operation) = read_of(8192);
        assert!(operation.advance(4096).is_none());
        assert!(matches!(operation.kind, OperationKind::Read { filled: 4096, .. }));
        assert!(operation.advance(4096).unwrap().is_ok());
        for end in [0, 100] {
            let (_dir, mut operation) = read_of(8192);
            assert!(operation.advance(4096).is_none());
            assert!(operation.advance(end).unwrap().is_ok());
        }
    }

    #[test]
    fn an_interrupted_operation_is_asked_for_again_and_another_error_is_final() {
        let (_dir, mut operation) = write_of(4096);
        assert!(operation.advance(-Errno::INTR.raw_os_error()).is_none());
        assert!(operation.advance(-Errno::AGAIN.raw_os_error()).is_none());
        let error = operation.advance(-Errno::IO.raw_os_error()).unwrap().unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::IO));
        assert_eq!(operation.advance(0).unwrap().unwrap_err().kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn more_operations_than_the_ring_is_deep_take_turns() {
        let Ok(mut queue) = UringQueue::new(2) else { return }; // a kernel without a ring
        let dir = tempfile::tempdir().unwrap();
        let file = Disk::new().open(&dir.path().join("file"), Access::Create).unwrap();
        for token in 0..50 {
            let mut buffer = Buffer::default();
            buffer.extend_from_slice(&[token as u8; BLOCK_SIZE]);
            queue.write_durable(token, &file, buffer, token * BLOCK_SIZE as u64);
            assert!(queue.kernel_count <= 2);
        }
        assert_eq!(queue.in_flight(), 50);
        let mut tokens: Vec<u64> = (0..50)
            .map(|_| {
                let completion = queue.wait();
                completion.result.unwrap();
                completion.token
            })
            .collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (0..50).collect::<Vec<u64>>());
        assert_eq!((queue.in_flight(), queue.kernel_count), (0, 0));
        assert_eq!(file.size().unwrap(), 50 * BLOCK_SIZE as u64);
    }
}
