//! An archive: the whole history of one thing in one file, which proves by itself that it is whole.
//!
//! It needs nothing of the store that it came from, and becomes part of another one as it is:
//!
//! ```text
//! header  one block, as that of an image; log, number and through are 0
//! frames  as in a batch, the states and the records in the order of their numbers:
//!         kind 1  the first slice of a state
//!         kind 2  the next slice of the same
//!         kind 3  a record that leads from the state before it, or from the record before it, to the next number
//! index   one frame of kind 4, 40 bytes for each state: [16] group, u64 number, u64 the number to which the records behind it
//!         lead, u64 offset of its first frame
//! end     one frame of kind 5: u64 count of states, u64 count of records, u64 offset and u64 size of the frame of the index,
//!         [32] BLAKE3 of everything before the end
//! ```
//! A record may stand in front of the state that it leads to, where nothing before it does: it leads nowhere then.

use crate::frame::frame_size;
use crate::history_file::GroupId;
use crate::image_file::ImagePlace;
use crate::little_endian::{put_u64, u64_at};

/// Kinds of the frames in an archive.
pub(crate) const STATE: u8 = 1;
pub(crate) const STATE_SLICE: u8 = 2;
pub(crate) const RECORD: u8 = 3;
pub(crate) const INDEX: u8 = 4;
pub(crate) const END: u8 = 5;

/// Bytes of an entry of the index.
const ENTRY_SIZE: usize = 40;
const END_BODY_SIZE: usize = 64;
/// Bytes of the last frame.
pub(crate) const END_SIZE: u64 = frame_size(END_BODY_SIZE) as u64;

/// A state in an archive, and how far the records behind it lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedState {
    /// Whose it is.
    pub group: GroupId,
    /// Its number.
    pub number: u64,
    /// The number of the last one that the records behind it lead to; its own where there are none.
    pub through: u64,
    /// Where its first frame begins, bytes.
    pub offset: u64,
}

/// What an archive says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// States in it.
    pub states: u64,
    /// Records in it.
    pub records: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of all of it but its end.
    pub digest: [u8; 32],
}

/// What the last frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveEnd {
    pub(crate) states: u64,
    pub(crate) records: u64,
    pub(crate) index: ImagePlace,
    pub(crate) digest: [u8; 32],
}

impl ArchiveEnd {
    pub(crate) fn encode(&self) -> [u8; END_BODY_SIZE] {
        let mut body = [0; END_BODY_SIZE];
        put_u64(&mut body, 0, self.states);
        put_u64(&mut body, 8, self.records);
        put_u64(&mut body, 16, self.index.offset);
        put_u64(&mut body, 24, self.index.size);
        body[32..].copy_from_slice(&self.digest);
        body
    }

    pub(crate) fn decode(body: &[u8]) -> Result<ArchiveEnd, String> {
        if body.len() != END_BODY_SIZE {
            return Err(format!("{} bytes are no end of an archive", body.len()));
        }
        Ok(ArchiveEnd {
            states: u64_at(body, 0),
            records: u64_at(body, 8),
            index: ImagePlace { offset: u64_at(body, 16), size: u64_at(body, 24) },
            digest: body[32..].try_into().expect("thirty-two bytes"),
        })
    }
}

/// The body of the index.
pub(crate) fn encode_index(states: &[ArchivedState]) -> Vec<u8> {
    let mut body = Vec::with_capacity(states.len() * ENTRY_SIZE);
    for ArchivedState { group, number, through, offset } in states {
        body.extend_from_slice(&group.0);
        [number, through, offset].into_iter().for_each(|field| body.extend_from_slice(&field.to_le_bytes()));
    }
    body
}

/// The states of an index, which lies at `end` of the file. Nothing of them is believed but what fits together.
pub(crate) fn decode_index(body: &[u8], begin: u64, end: u64) -> Result<Vec<ArchivedState>, String> {
    if !body.len().is_multiple_of(ENTRY_SIZE) {
        return Err(format!("{} bytes are no index of an archive", body.len()));
    }
    let mut states: Vec<ArchivedState> = Vec::with_capacity(body.len() / ENTRY_SIZE);
    for entry in body.chunks_exact(ENTRY_SIZE) {
        let group = GroupId(entry[..16].try_into().expect("sixteen bytes"));
        let (number, through, offset) = (u64_at(entry, 16), u64_at(entry, 24), u64_at(entry, 32));
        let follows = states.last().is_none_or(|before| {
            before.number < number && before.through <= number && before.offset < offset
        });
        if !follows || through < number || !(begin..end).contains(&offset) {
            return Err(format!("the state {number} at offset {offset} does not follow the one before it"));
        }
        states.push(ArchivedState { group, number, through, offset });
    }
    match states.first() {
        Some(first) if first.number > 0 => Ok(states),
        _ => Err("the index names no state to begin with".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(number: u64, through: u64, offset: u64) -> ArchivedState {
        ArchivedState { group: GroupId([7; 16]), number, through, offset }
    }

    #[test]
    fn index_and_end_of_an_archive_have_exactly_these_bytes() {
        let index = encode_index(&[state(2, 5, 4096)]);
        let golden = [
            7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
            0, 16, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(index, golden);
        assert_eq!(decode_index(&index, 4096, 8192), Ok(vec![state(2, 5, 4096)]));
        let place = ImagePlace { offset: 3, size: 4 };
        let end = ArchiveEnd { states: 1, records: 2, index: place, digest: [9; 32] };
        let mut golden = Vec::new();
        [1_u64, 2, 3, 4].into_iter().for_each(|field| golden.extend_from_slice(&field.to_le_bytes()));
        golden.extend_from_slice(&[9; 32]);
        assert_eq!(end.encode()[..], golden[..]);
        assert_eq!(ArchiveEnd::decode(&golden), Ok(end));
        assert!(ArchiveEnd::decode(&golden[1..]).is_err());
    }

    #[test]
    fn an_index_that_does_not_fit_together_is_refused() {
        let refused = |states: &[ArchivedState]| decode_index(&encode_index(states), 4096, 8192).is_err();
        assert!(!refused(&[state(1, 3, 4096), state(3, 9, 5000), state(20, 20, 6000)]));
        assert!(refused(&[]), "it begins with a state");
        assert!(refused(&[state(0, 3, 4096)]), "number 0 is none");
        assert!(refused(&[state(2, 1, 4096)]), "it leads back");
        assert!(refused(&[state(1, 1, 4088)]) && refused(&[state(1, 1, 8192)]), "it lies elsewhere");
        assert!(refused(&[state(1, 3, 4096), state(2, 9, 5000)]), "the one before leads further");
        assert!(refused(&[state(1, 3, 5000), state(4, 9, 5000)]), "two lie at one place");
        assert!(decode_index(&encode_index(&[state(1, 1, 4096)])[1..], 4096, 8192).is_err());
    }
}
