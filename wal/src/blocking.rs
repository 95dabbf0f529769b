//! The queue of machines without a ring: everything happens at submission, and only its result waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::storage::{BLOCK_SIZE, Buffer, Completion, File, Queue};

/// A queue that writes, syncs and reads on the caller's own thread.
#[derive(Default)]
pub(crate) struct BlockingQueue {
    completed: VecDeque<Completion>,
}

impl Queue for BlockingQueue {
    fn write_durable(&mut self, token: u64, file: &Arc<dyn File>, buffer: Buffer, offset: u64) {
        assert!(!buffer.is_empty() && buffer.len().is_multiple_of(BLOCK_SIZE), "whole blocks are written");
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64), "a durable write begins on a block");
        let result = file.write_at(&buffer, offset).and_then(|()| sync(file));
        self.completed.push_back(Completion { token, buffer: Some(buffer), result });
    }

    fn sync(&mut self, token: u64, file: &Arc<dyn File>) {
        let result = sync(file);
        self.completed.push_back(Completion { token, buffer: None, result });
    }

    fn read(&mut self, token: u64, file: &Arc<dyn File>, mut buffer: Buffer, offset: u64) {
        assert!(!buffer.is_empty() && buffer.len().is_multiple_of(BLOCK_SIZE), "whole blocks are read");
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64), "a read begins on a block");
        let result = file.read_at(&mut buffer, offset).map(|filled| buffer.resize(filled));
        self.completed.push_back(Completion { token, buffer: Some(buffer), result });
    }

    fn reap(&mut self) -> Option<Completion> {
        self.completed.pop_front()
    }

    fn wait(&mut self) -> Completion {
        self.completed.pop_front().expect("nothing is in flight")
    }

    fn in_flight(&self) -> usize {
        self.completed.len()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A sync that was interrupted has not failed; any other error is final.
fn sync(file: &Arc<dyn File>) -> io::Result<()> {
    loop {
        match file.sync() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
