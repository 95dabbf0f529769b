//! In how many bytes numbers are written: in records and images a fixed number of them, in directories as few as they need.
use crate::codec::{self, DecodeError};

/// How numbers are written, and how the lengths of what has none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// A number as `u64`, a length or count as `u32`.
    Fixed,
    /// Each as a varint.
    Varint,
}

impl Width {
    pub(crate) fn put_number(self, out: &mut Vec<u8>, number: u64) {
        match self {
            Width::Fixed => codec::put_u64(out, number),
            Width::Varint => codec::put_varint(out, number),
        }
    }

    pub(crate) fn put_count(self, out: &mut Vec<u8>, count: usize) {
        match self {
            Width::Fixed => codec::put_u32(out, codec::size_u32(count)),
            Width::Varint => codec::put_varint(out, count as u64),
        }
    }

    pub(crate) fn put_bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        self.put_count(out, bytes.len());
        out.extend_from_slice(bytes);
    }

    pub(crate) fn put_str(self, out: &mut Vec<u8>, text: &str) {
        self.put_bytes(out, text.as_bytes());
    }

    pub(crate) fn take_number(self, input: &mut &[u8]) -> Result<u64, DecodeError> {
        match self {
            Width::Fixed => codec::take_u64(input),
            Width::Varint => codec::take_varint(input),
        }
    }

    /// A length or count that the input claims: nothing may be reserved for it.
    pub(crate) fn take_count(self, input: &mut &[u8]) -> Result<u64, DecodeError> {
        match self {
            Width::Fixed => codec::take_u32(input).map(u64::from),
            Width::Varint => codec::take_varint(input),
        }
    }

    pub(crate) fn take_bytes<'a>(self, input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
        let needed = usize::try_from(self.take_count(input)?).unwrap_or(usize::MAX);
        codec::take_slice(input, needed)
    }

    pub(crate) fn take_string(self, input: &mut &[u8]) -> Result<String, DecodeError> {
        str::from_utf8(self.take_bytes(input)?).map(str::to_owned).map_err(|_| DecodeError::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_have_the_width_they_are_given() {
        let put = |width: Width| {
            let mut out = Vec::new();
            width.put_number(&mut out, 300);
            width.put_count(&mut out, 3);
            width.put_bytes(&mut out, &[9, 8]);
            width.put_str(&mut out, "é");
            out
        };
        let fixed =
            [&[0x2c, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 9, 8, 2, 0, 0, 0][..], "é".as_bytes()];
        let varint = [&[0xac, 2, 3, 2, 9, 8, 2][..], "é".as_bytes()];
        for (width, golden) in [(Width::Fixed, fixed.concat()), (Width::Varint, varint.concat())] {
            assert_eq!(put(width), golden);
            let mut input = &golden[..];
            assert_eq!(width.take_number(&mut input), Ok(300));
            assert_eq!(width.take_count(&mut input), Ok(3));
            assert_eq!(width.take_bytes(&mut input), Ok(&[9, 8][..]));
            assert_eq!(width.take_string(&mut input), Ok("é".to_owned()));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn a_length_is_not_believed_before_so_many_bytes_are_there() {
        let huge = [[0xff; 9].as_slice(), &[1, 7]].concat();
        let truncated = Err(DecodeError::Truncated { needed: usize::MAX, left: 1 });
        assert_eq!(Width::Varint.take_bytes(&mut &huge[..]), truncated);
        let truncated = Err(DecodeError::Truncated { needed: u32::MAX as usize, left: 0 });
        assert_eq!(Width::Fixed.take_bytes(&mut &huge[..4]), truncated);
        assert_eq!(Width::Varint.take_string(&mut &[1, 0xff][..]), Err(DecodeError::NotText));
    }
}
