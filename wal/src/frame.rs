//! A record as it lies in a batch: a sixteen-byte frame, the body, zeros up to the next multiple of eight.
//!
//! ```text
//! offset  size  field
//!      0     4  length of the body in bytes
//!      4     4  CRC-32 of kind (1 byte), length (4 bytes), body
//!      8     1  kind
//!      9     1  flags, 0
//!     10     6  reserved, 0
//!     16     n  body
//!   16+n   0-7  zeros, up to the next multiple of 8
//! ```

use crate::little_endian::u32_at;
use crate::storage::Buffer;

/// Bytes in front of a record's body.
pub(crate) const FRAME_HEADER_SIZE: usize = 16;

/// Bytes a frame is aligned to and padded to.
pub(crate) const FRAME_ALIGNMENT: usize = 8;

/// Longest body of one record, in bytes. Callers refuse larger values long before.
pub const RECORD_BODY_SIZE_MAX: usize = 1 << 30;

/// One record found in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
    /// Bytes from the start of the frame to the start of the next one.
    pub(crate) size: usize,
}

/// Bytes a record with a body of `body_size` bytes takes in a batch.
pub(crate) const fn frame_size(body_size: usize) -> usize {
    (FRAME_HEADER_SIZE + body_size).next_multiple_of(FRAME_ALIGNMENT)
}

/// Appends one record, framed as drawn above.
pub(crate) fn encode_frame(buffer: &mut Buffer, kind: u8, body: &[u8]) {
    debug_assert!(buffer.len().is_multiple_of(FRAME_ALIGNMENT), "frames are aligned");
    let length = u32::try_from(body.len()).expect("bodies are bounded by RECORD_BODY_SIZE_MAX");
    let mut header = [0; FRAME_HEADER_SIZE];
    header[0..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&frame_crc32(kind, length, body).to_le_bytes());
    header[8] = kind;
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(body);
    let padding = frame_size(body.len()) - FRAME_HEADER_SIZE - body.len();
    buffer.extend_from_slice(&[0; FRAME_ALIGNMENT][..padding]);
}

/// Reads the frame at the start of `bytes`; the reason says why there is none.
pub(crate) fn decode_frame(bytes: &[u8]) -> Result<Frame<'_>, String> {
    if bytes.len() < FRAME_HEADER_SIZE {
        return Err(format!("{} bytes are too few for a record's frame", bytes.len()));
    }
    let length = u32_at(bytes, 0);
    let stored = u32_at(bytes, 4);
    let kind = bytes[8];
    if bytes[9..FRAME_HEADER_SIZE].iter().any(|&byte| byte != 0) {
        return Err("flags or reserved bytes of a record's frame are not zero".into());
    }
    // Compared before it is used: the sum below cannot overflow, and nothing is allocated from it.
    if length as usize > bytes.len() - FRAME_HEADER_SIZE {
        return Err(format!("a record of {length} bytes does not fit its batch"));
    }
    let size = frame_size(length as usize);
    if size > bytes.len() {
        return Err(format!("a record of {length} bytes lacks its padding"));
    }
    let body = &bytes[FRAME_HEADER_SIZE..FRAME_HEADER_SIZE + length as usize];
    let computed = frame_crc32(kind, length, body);
    if stored != computed {
        return Err(format!("record checksum: stored {stored:#010x}, computed {computed:#010x}"));
    }
    // The checksum says nothing of these.
    if bytes[FRAME_HEADER_SIZE + length as usize..size].iter().any(|&byte| byte != 0) {
        return Err("the padding of a record is not zero".into());
    }
    Ok(Frame { kind, body, size })
}

/// The head of a frame whose body has not been looked at: nothing in it is to be believed before the checksum is.
#[derive(Clone, Debug)]
pub(crate) struct FrameHead {
    pub(crate) body_size: usize,
    stored: u32,
    sum: crc32fast::Hasher,
}

impl FrameHead {
    /// Reads the first sixteen bytes of a frame.
    pub(crate) fn decode(bytes: &[u8]) -> Result<FrameHead, String> {
        if bytes.len() < FRAME_HEADER_SIZE {
            return Err(format!("{} bytes are too few for a record's frame", bytes.len()));
        }
        let length = u32_at(bytes, 0);
        Ok(FrameHead {
            body_size: length as usize,
            stored: u32_at(bytes, 4),
            sum: frame_sum(bytes[8], length),
        })
    }

    /// Takes the next piece of the body into the sum.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.sum.update(piece);
    }

    /// Whether what was taken is the body; the reason says what was found.
    pub(crate) fn check(self) -> Result<(), String> {
        let computed = self.sum.finalize();
        match computed == self.stored {
            true => Ok(()),
            false => Err(format!("record checksum: stored {:#010x}, computed {computed:#010x}", self.stored)),
        }
    }
}

fn frame_crc32(kind: u8, length: u32, body: &[u8]) -> u32 {
    let mut sum = frame_sum(kind, length);
    sum.update(body);
    sum.finalize()
}

fn frame_sum(kind: u8, length: u32) -> crc32fast::Hasher {
    let [a, b, c, d] = length.to_le_bytes();
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[kind, a, b, c, d]);
    sum
}

const _: () = assert!(FRAME_HEADER_SIZE == 4 + 4 + 1 + 1 + 6);
const _: () = assert!(FRAME_HEADER_SIZE.is_multiple_of(FRAME_ALIGNMENT));

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut buffer = Buffer::with_capacity(4096);
        encode_frame(&mut buffer, kind, body);
        buffer.as_slice().to_vec()
    }

    #[test]
    fn a_frame_has_exactly_these_bytes() {
        let golden = [
            5, 0, 0, 0, // length
            0, 0, 0, 0, // checksum, compared below
            7, 0, 0, 0, 0, 0, 0, 0, // kind, flags, reserved
            b'h', b'e', b'l', b'l', b'o', 0, 0, 0, // body and padding
        ];
        let mut bytes = encoded(7, b"hello");
        let checksum = u32_at(&bytes, 4);
        assert_eq!(checksum, crc32fast::hash(b"\x07\x05\x00\x00\x00hello"));
        bytes[4..8].fill(0);
        assert_eq!(bytes, golden);
    }

    #[test]
    fn a_frame_comes_back_whatever_its_length() {
        for length in 0..64 {
            let body: Vec<u8> = (0..length).collect();
            let bytes = encoded(length, &body);
            let frame = decode_frame(&bytes).unwrap();
            assert_eq!((frame.kind, frame.body, frame.size), (length, &body[..], bytes.len()));
        }
    }

    #[test]
    fn every_flipped_bit_of_header_body_and_padding_is_noticed() {
        for bytes in [encoded(1, b"sixteen bytes .."), encoded(1, b"nine byte")] {
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(decode_frame(&damaged).is_err(), "bit {bit} was flipped unnoticed");
            }
        }
    }

    #[test]
    fn a_length_that_points_outside_is_refused_before_it_is_used() {
        let mut bytes = encoded(1, b"x");
        bytes[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decode_frame(&bytes).unwrap_err().contains("does not fit"));
        assert!(decode_frame(&bytes[..15]).unwrap_err().contains("too few"));
        assert!(decode_frame(&[]).is_err());
    }
}
