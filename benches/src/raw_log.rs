//! The limit of a durable write: blocks appended to a plain file, and nothing around them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use strata_wal::disk::Disk;
use strata_wal::storage::{Access, BLOCK_SIZE, Buffer, File, Queue, Storage};

/// Bytes of zeros written at once while the file is made.
const FILL_SIZE: usize = 1 << 20;

/// A file that was filled with zeros and synced, and is now overwritten block by block.
///
/// Where the file system has direct I/O a durable append is one write with `O_DIRECT` and
/// `RWF_DSYNC` through a ring; elsewhere it is `pwrite` and `fdatasync`. At its end it starts again.
pub struct RawLog {
    file: Arc<dyn File>,
    queue: Option<Box<dyn Queue>>, // none without direct I/O
    buffer: Option<Buffer>,        // with the queue while a write is in flight
    size: u64,
    end: u64,
}

impl RawLog {
    /// Makes the file `name` of `size` bytes in `dir`.
    pub fn create(dir: &Path, name: &str, size: u64) -> io::Result<RawLog> {
        let disk = Disk::new();
        let path = dir.join(name);
        let file = disk.open(&path, Access::Create)?;
        let zeros = vec![0; FILL_SIZE];
        for offset in (0..size).step_by(FILL_SIZE) {
            file.write_at(&zeros, offset)?;
        }
        file.sync()?;
        disk.sync_dir(dir)?;
        let size = size.next_multiple_of(FILL_SIZE as u64);
        match disk.open(&path, Access::Direct) {
            Ok(file) => {
                let queue = Some(disk.queue(1)?);
                Ok(RawLog { file, queue, buffer: Some(Buffer::default()), size, end: 0 })
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(RawLog { file, queue: None, buffer: Some(Buffer::default()), size, end: 0 })
            }
            Err(error) => Err(error),
        }
    }

    /// How an append becomes durable here.
    pub fn way(&self) -> &'static str {
        if self.queue.is_some() { "O_DIRECT + RWF_DSYNC" } else { "pwrite + fdatasync" }
    }

    /// Writes `bytes`, padded to whole blocks, and waits until they are durable.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut buffer = self.buffer.take().expect("a write gives its buffer back");
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer.pad_to_block();
        let offset = self.advance(buffer.len());
        match &mut self.queue {
            Some(queue) => {
                queue.write_durable(0, &self.file, buffer, offset);
                let completion = queue.wait();
                self.buffer = completion.buffer;
                completion.result
            }
            None => {
                let written = self.file.write_at(&buffer, offset).and_then(|()| self.file.sync());
                self.buffer = Some(buffer);
                written
            }
        }
    }

    /// Appends one block of 4 KiB.
    pub fn append_block(&mut self) -> io::Result<()> {
        self.append(&[0x5a; BLOCK_SIZE])
    }

    fn advance(&mut self, size: usize) -> u64 {
        assert!(size as u64 <= self.size, "an append fits the file");
        let offset = if self.end + size as u64 > self.size { 0 } else { self.end };
        self.end = offset + size as u64;
        offset
    }
}

/// A file that bytes are handed to the kernel for, and that is never synced.
pub struct KernelLog {
    file: Arc<dyn File>,
    size: u64,
    end: u64,
}

impl KernelLog {
    /// Makes the file `name` of `size` bytes in `dir`.
    pub fn create(dir: &Path, name: &str, size: u64) -> io::Result<KernelLog> {
        let file = Disk::new().open(&dir.join(name), Access::Create)?;
        let zeros = vec![0; FILL_SIZE];
        for offset in (0..size).step_by(FILL_SIZE) {
            file.write_at(&zeros, offset)?;
        }
        file.sync()?;
        Ok(KernelLog { file, size, end: 0 })
    }

    /// Hands `bytes` to the kernel; at the end of the file it starts again.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let offset = if self.end + bytes.len() as u64 > self.size { 0 } else { self.end };
        self.end = offset + bytes.len() as u64;
        self.file.write_at(bytes, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_is_padded_to_blocks_and_starts_again_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RawLog::create(dir.path(), "raw", FILL_SIZE as u64).unwrap();
        assert!(["O_DIRECT + RWF_DSYNC", "pwrite + fdatasync"].contains(&log.way()));
        log.append(b"plan").unwrap();
        assert_eq!(log.end, BLOCK_SIZE as u64);
        for _ in 1..FILL_SIZE / BLOCK_SIZE {
            log.append_block().unwrap();
        }
        assert_eq!(log.end, FILL_SIZE as u64);
        log.append_block().unwrap();
        assert_eq!(log.end, BLOCK_SIZE as u64);
        assert_eq!(std::fs::metadata(dir.path().join("raw")).unwrap().len(), FILL_SIZE as u64);
    }

    #[test]
    fn what_the_kernel_was_handed_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = KernelLog::create(dir.path(), "kernel", 4096).unwrap();
        log.append(b"plan").unwrap();
        log.append(b"goal").unwrap();
        assert_eq!(&std::fs::read(dir.path().join("kernel")).unwrap()[..8], b"plangoal");
    }
}
