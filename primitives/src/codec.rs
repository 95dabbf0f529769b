//! The bytes of integers, byte strings and text: little-endian, fixed width, lengths as `u32`; and integers of variable length.
//!
//! Those of fixed width go through bincode's fixed-width little-endian configuration. The bytes are the contract, not the
//! crate: golden tests here and beside every format pin them down. Nothing here panics on any input, and no
//! length is believed before that many bytes are seen to be there.
use crate::error::{Error, ErrorKind};
use bincode::config::{Configuration, Fixint, LittleEndian};
use bincode::enc::write::Writer;

const CONFIG: Configuration<LittleEndian, Fixint> =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding();

/// Why bytes could not be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a field.
    #[error("truncated: {needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A tag nobody has ever written.
    #[error("unknown {what} tag {tag}")]
    UnknownTag {
        /// What the tag should have said.
        what: &'static str,
        /// The tag found.
        tag: u8,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotText,
    /// A value nested deeper than any value may be.
    #[error("value nested deeper than {limit}")]
    TooDeep {
        /// The greatest depth there is.
        limit: usize,
    },
    /// A float that is not in its canonical form.
    #[error("float {bits:#018x} is not canonical")]
    NotCanonical {
        /// The bits found.
        bits: u64,
    },
    /// A variable-length integer that is not in its shortest form, or has more than 64 bits.
    #[error("number is not in its shortest form, or beyond 64 bits")]
    NotVarint,
    /// Something no JSON document can hold.
    #[error("a JSON document cannot hold {what}")]
    NotJson {
        /// What it is.
        what: &'static str,
    },
    /// A path that is not a JSON Pointer.
    #[error("path is not a JSON Pointer")]
    NotPointer,
    /// Parts that cannot stand beside each other.
    #[error("{what}")]
    Contradiction {
        /// What is wrong.
        what: &'static str,
    },
    /// Bytes behind the end of what was to be read.
    #[error("{count} bytes left over")]
    LeftOver {
        /// How many.
        count: usize,
    },
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Error::new(ErrorKind::Corrupt, error.to_string()).with_source(error)
    }
}

/// Appends one byte.
#[inline]
pub fn put_u8(out: &mut Vec<u8>, value: u8) {
    out.push(value);
}

/// Appends a `u32`.
#[inline]
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    put(out, value);
}

/// Appends a `u64`.
#[inline]
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    put(out, value);
}

/// Appends an `i64`.
#[inline]
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put(out, value);
}

/// Appends `value` in as few bytes as it needs, 1 to 10: groups of 7 bits, the lowest first, and in each byte but the last the high
/// bit set (LEB128, unsigned, as in DWARF).
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        put_u8(out, (value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    put_u8(out, value as u8);
}

/// Appends the length of `bytes`, then the bytes.
///
/// # Panics
/// If `bytes` is 4 GiB or longer; limits refuse such values long before.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, size_u32(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Appends the length of `text` in bytes, then its UTF-8.
#[inline]
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Takes one byte from the front of `input`.
#[inline]
pub fn take_u8(input: &mut &[u8]) -> Result<u8, DecodeError> {
    take(input)
}

/// Takes a `u32` from the front of `input`.
#[inline]
pub fn take_u32(input: &mut &[u8]) -> Result<u32, DecodeError> {
    take(input)
}

/// Takes a `u64` from the front of `input`.
#[inline]
pub fn take_u64(input: &mut &[u8]) -> Result<u64, DecodeError> {
    take(input)
}

/// Takes an `i64` from the front of `input`.
#[inline]
pub fn take_i64(input: &mut &[u8]) -> Result<i64, DecodeError> {
    take(input)
}

/// Takes what [`put_varint`] appends from the front of `input`, and nothing else: a number has one form.
#[inline]
pub fn take_varint(input: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take_u8(input)?;
        let group = u64::from(byte & 0x7f);
        value |= group << shift;
        if byte == group as u8 {
            // The tenth byte has one bit of the number, and a last byte of zero would say nothing.
            let is_whole = value >> shift == group && (group > 0 || shift == 0);
            return if is_whole { Ok(value) } else { Err(DecodeError::NotVarint) };
        }
    }
    Err(DecodeError::NotVarint)
}

/// Takes `N` bytes from the front of `input`.
#[inline]
pub fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, rest) =
        input.split_first_chunk().ok_or(DecodeError::Truncated { needed: N, left: input.len() })?;
    *input = rest;
    Ok(*head)
}

/// Takes a length and that many bytes from the front of `input`.
#[inline]
pub fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let needed = take_u32(input)? as usize;
    take_slice(input, needed)
}

/// Takes so many bytes from the front of `input`.
#[inline]
pub(crate) fn take_slice<'a>(input: &mut &'a [u8], needed: usize) -> Result<&'a [u8], DecodeError> {
    let (head, rest) =
        input.split_at_checked(needed).ok_or(DecodeError::Truncated { needed, left: input.len() })?;
    *input = rest;
    Ok(head)
}

/// Takes a length and that many bytes of UTF-8 from the front of `input`.
#[inline]
pub fn take_str<'a>(input: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    str::from_utf8(take_bytes(input)?).map_err(|_| DecodeError::NotText)
}

/// Appends 0 for nothing, or 1 and what `put` appends for the value.
pub(crate) fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    put_u8(out, value.is_some().into());
    if let Some(value) = value {
        put(out, value);
    }
}

/// Takes what [`put_option`] appended from the front of `input`.
pub(crate) fn take_option<'a, T>(
    input: &mut &'a [u8],
    take: impl FnOnce(&mut &'a [u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    match take_u8(input)? {
        0 => Ok(None),
        1 => take(input).map(Some),
        tag => Err(DecodeError::UnknownTag { what: "option", tag }),
    }
}

/// Fails unless everything was taken.
pub fn expect_end(input: &[u8]) -> Result<(), DecodeError> {
    if input.is_empty() { Ok(()) } else { Err(DecodeError::LeftOver { count: input.len() }) }
}

/// The stored form of a length or count.
///
/// # Panics
/// If it does not fit: limits refuse such sizes long before.
pub(crate) fn size_u32(size: usize) -> u32 {
    u32::try_from(size).expect("limits keep lengths and counts below 4 Gi")
}

struct Sink<'a>(&'a mut Vec<u8>);

impl Writer for Sink<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[inline]
fn put<T: bincode::Encode>(out: &mut Vec<u8>, value: T) {
    bincode::encode_into_writer(value, Sink(out), CONFIG).expect("memory takes every integer");
}

#[inline]
fn take<T: bincode::Decode<()>>(input: &mut &[u8]) -> Result<T, DecodeError> {
    // A fixed-width integer can only fail by running out of bytes.
    let (value, size) = bincode::decode_from_slice(input, CONFIG)
        .map_err(|_| DecodeError::Truncated { needed: size_of::<T>(), left: input.len() })?;
    *input = &input[size..];
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_every_field_kind_never_change() {
        let mut out = Vec::new();
        put_u8(&mut out, 0x01);
        put_u32(&mut out, 0x0302_0100);
        put_u64(&mut out, 0x0706_0504_0302_0100);
        put_i64(&mut out, -2);
        put_bytes(&mut out, &[9, 8]);
        put_str(&mut out, "é");
        let golden: &[u8] = &[
            1, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0,
            0, 9, 8, 2, 0, 0, 0, 0xc3, 0xa9,
        ];
        assert_eq!(out, golden);
        let mut input = &out[..];
        assert_eq!(take_u8(&mut input), Ok(1));
        assert_eq!(take_u32(&mut input), Ok(0x0302_0100));
        assert_eq!(take_u64(&mut input), Ok(0x0706_0504_0302_0100));
        assert_eq!(take_i64(&mut input), Ok(-2));
        assert_eq!(take_bytes(&mut input), Ok(&[9, 8][..]));
        assert_eq!(take_str(&mut input), Ok("é"));
        assert_eq!(expect_end(input), Ok(()));
    }

    #[test]
    fn a_field_cut_short_says_how_much_is_missing() {
        assert_eq!(take_u8(&mut &[][..]), Err(DecodeError::Truncated { needed: 1, left: 0 }));
        assert_eq!(take_u64(&mut &[0; 7][..]), Err(DecodeError::Truncated { needed: 8, left: 7 }));
        assert_eq!(take_array::<4>(&mut &[0; 3][..]), Err(DecodeError::Truncated { needed: 4, left: 3 }));
        let huge = [0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(
            take_bytes(&mut &huge[..]),
            Err(DecodeError::Truncated { needed: u32::MAX as usize, left: 1 }),
            "a damaged length is refused before anything is allocated"
        );
    }

    #[test]
    fn a_varint_takes_as_many_bytes_as_it_needs() {
        let golden: [(u64, &[u8]); 6] = [
            (0, &[0]),
            (0x7f, &[0x7f]),
            (0x80, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::from(u32::MAX), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (value, golden) in golden {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, golden);
        }
        for bits in 0..u64::BITS {
            let power = 1_u64 << bits;
            for value in [power - 1, power, power + 1, u64::MAX - power, u64::MAX - (power - 1)] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                let needed = (u64::BITS - value.leading_zeros()).div_ceil(7).max(1);
                assert_eq!(out.len(), needed as usize, "{value}");
                for cut in 0..out.len() {
                    let cut_short = Err(DecodeError::Truncated { needed: 1, left: 0 });
                    assert_eq!(take_varint(&mut &out[..cut]), cut_short, "{value} cut at {cut}");
                }
                out.push(9);
                let mut input = &out[..];
                assert_eq!((take_varint(&mut input), input), (Ok(value), &[9][..]));
            }
        }
    }

    #[test]
    fn a_varint_has_one_form_and_64_bits() {
        let ten = |last| [&[0x80; 9][..], &[last]].concat();
        let eleven = [&[0xff; 10][..], &[0]].concat();
        for refused in [vec![0x80, 0], vec![0xff, 0x80, 0], ten(0), ten(2), ten(0x7f), ten(0x81), eleven] {
            assert_eq!(take_varint(&mut &refused[..]), Err(DecodeError::NotVarint), "{refused:?}");
        }
        assert_eq!(take_varint(&mut &ten(1)[..]), Ok(1 << 63));
        // Whatever two bytes say: they are refused, or they are the form of what they say.
        for (first, second) in
            (0..=u8::MAX).flat_map(|first| (0..=u8::MAX).map(move |second| (first, second)))
        {
            let mut input = &[first, second][..];
            if let Ok(value) = take_varint(&mut input) {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!([&out, input].concat(), [first, second]);
            }
        }
    }

    #[test]
    fn an_option_is_a_byte_and_perhaps_a_value() {
        for (value, golden) in [(None, &[0][..]), (Some(7), &[1, 7, 0, 0, 0][..])] {
            let mut out = Vec::new();
            put_option(&mut out, value, put_u32);
            assert_eq!(out, golden);
            assert_eq!(take_option(&mut &out[..], take_u32), Ok(value));
        }
        let unknown = DecodeError::UnknownTag { what: "option", tag: 2 };
        assert_eq!(take_option(&mut &[2][..], take_u8), Err(unknown));
    }

    #[test]
    fn damage_is_reported_as_corrupt() {
        assert_eq!(take_str(&mut &[1, 0, 0, 0, 0xff][..]), Err(DecodeError::NotText));
        assert_eq!(expect_end(&[1, 2]), Err(DecodeError::LeftOver { count: 2 }));
        let error = Error::from(DecodeError::UnknownTag { what: "value", tag: 7 });
        assert_eq!(error.to_string(), "corrupt: unknown value tag 7");
    }
}
