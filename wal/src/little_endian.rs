//! Fixed-width numbers at fixed places, little-endian: how every file of a store writes them.
//!
//! Callers read from blocks whose size they have checked; a place outside the block is our own mistake and
//! panics.

/// Reads the `u32` at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

/// Reads the `u64` at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

/// Writes `value` at `at`.
pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Writes `value` at `at`.
pub(crate) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian_and_come_back() {
        let mut bytes = [0; 12];
        put_u32(&mut bytes, 0, 0x0403_0201);
        put_u64(&mut bytes, 4, 0x0c0b_0a09_0807_0605);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!((u32_at(&bytes, 0), u64_at(&bytes, 4)), (0x0403_0201, 0x0c0b_0a09_0807_0605));
    }
}
