//! A block-aligned buffer: the only memory that direct I/O accepts.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

/// Size and alignment of everything that goes past the page cache, in bytes.
pub const BLOCK_SIZE: usize = 4096;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_SIZE]);

const ZERO: Block = Block([0; BLOCK_SIZE]);
const _: () = assert!(size_of::<Block>() == BLOCK_SIZE && align_of::<Block>() == BLOCK_SIZE);

/// Growable bytes that begin on a block boundary and may be handed to the device.
///
/// It extends like a `Vec<u8>` and derefs to its bytes. Before it is written past the page cache it
/// is padded with [`pad_to_block`](Self::pad_to_block).
///
/// ```
/// use strata_wal::buffer::{BLOCK_SIZE, Buffer};
///
/// let mut buffer = Buffer::with_capacity(100);
/// buffer.extend_from_slice(b"plan");
/// buffer.pad_to_block();
/// assert_eq!(buffer.len(), BLOCK_SIZE);
/// assert_eq!(&buffer[..6], b"plan\0\0");
/// ```
#[derive(Clone, Default)]
pub struct Buffer {
    blocks: Vec<Block>, // always initialized to the full, so that growth inside it copies nothing
    len: usize,         // bytes in use; what lies behind them is stale
}

impl Buffer {
    /// An empty buffer with room for `bytes`, rounded up to whole blocks.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { blocks: vec![ZERO; bytes.div_ceil(BLOCK_SIZE)], len: 0 }
    }

    /// Bytes in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is in use.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that fit before the buffer must grow; a multiple of [`BLOCK_SIZE`].
    pub fn capacity(&self) -> usize {
        self.blocks.len() * BLOCK_SIZE
    }

    /// Forgets the content and keeps the room.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.reserve(end);
        bytemuck::cast_slice_mut::<Block, u8>(&mut self.blocks)[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// Zero-fills up to the next multiple of [`BLOCK_SIZE`]; a whole number of blocks stays as it is.
    pub fn pad_to_block(&mut self) {
        self.resize(self.len.next_multiple_of(BLOCK_SIZE));
    }

    /// Cuts or extends to `len` bytes; new bytes are zero.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            self.reserve(len);
            bytemuck::cast_slice_mut::<Block, u8>(&mut self.blocks)[self.len..len].fill(0);
        }
        self.len = len;
    }

    /// The bytes in use.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }

    /// The bytes in use, writable.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.len]
    }

    fn reserve(&mut self, bytes: usize) {
        if bytes > self.capacity() {
            let blocks = bytes.div_ceil(BLOCK_SIZE).max(self.blocks.len() * 2);
            self.blocks.resize(blocks, ZERO);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Buffer").field("len", &self.len).field("capacity", &self.capacity()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_on_a_block_boundary_however_often_it_grows() {
        let mut buffer = Buffer::default();
        for round in 0..64 {
            buffer.extend_from_slice(&[round; 1000]);
            assert_eq!(buffer.as_slice().as_ptr() as usize % BLOCK_SIZE, 0);
        }
        assert_eq!(buffer.len(), 64_000);
        assert!((0..64).all(|round| buffer[round * 1000..][..1000].iter().all(|&byte| byte == round as u8)));
    }

    #[test]
    fn padding_is_zero_even_where_older_content_was() {
        let mut buffer = Buffer::with_capacity(BLOCK_SIZE);
        buffer.extend_from_slice(&[7; BLOCK_SIZE]);
        buffer.clear();
        buffer.extend_from_slice(b"short");
        buffer.pad_to_block();
        assert_eq!(buffer.len(), BLOCK_SIZE);
        assert!(buffer[5..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn padding_a_whole_number_of_blocks_adds_nothing() {
        let mut buffer = Buffer::default();
        buffer.pad_to_block();
        assert!(buffer.is_empty());
        buffer.resize(2 * BLOCK_SIZE);
        buffer.pad_to_block();
        assert_eq!(buffer.len(), 2 * BLOCK_SIZE);
    }

    #[test]
    fn resizing_down_and_up_again_gives_zeros() {
        let mut buffer = Buffer::default();
        buffer.extend_from_slice(&[9; 100]);
        buffer.resize(10);
        buffer.resize(100);
        assert_eq!(&buffer[..10], &[9; 10]);
        assert_eq!(&buffer[10..], &[0; 90]);
        buffer.as_mut_slice()[99] = 1;
        assert_eq!(buffer.as_slice()[99], 1);
    }
}
