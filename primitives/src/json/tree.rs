//! The bytes of a document together with the commits that wrote its parts: what an image holds of it.
//!
//! A tree is a table of stamps, then the root node. Numbers are little-endian:
//!
//! ```text
//! tree   u32 count, that many stamps: u64 version, u64 time; no version twice
//! node   u8 tag of its value, u32 place of the stamp that wrote it, then
//!        int, float, string    its content as in a value
//!        array                 u32 place of its newest stamp, u32 count, nodes
//!        object                u32 place of its newest stamp, u32 count, (name, node)
//! ```
use super::build::take_scalar;
use super::document::Document;
use super::node::{Content, Node};
use crate::codec::{self, DecodeError, size_u32};
use crate::encoded;
use crate::limits::VALUE_DEPTH_MAX;
use crate::version::{Stamp, Version};
use rustc_hash::FxHashMap;

impl Document {
    /// Appends the encoding, as drawn at the top of `json/tree.rs`.
    pub fn encode_tree(&self, out: &mut Vec<u8>) {
        let mut nodes = Vec::with_capacity(self.size() * 2);
        let mut stamps = Stamps::default();
        put_node(self.root(), &mut stamps, &mut nodes);
        codec::put_u32(out, size_u32(stamps.table.len()));
        stamps.table.iter().for_each(|stamp| stamp.encode(out));
        out.extend_from_slice(&nodes);
    }

    /// Takes one document from the front of `input`. Nothing in `input` can make this panic.
    ///
    /// # Errors
    /// When the bytes are no tree, hold what a JSON document cannot, or contradict themselves.
    pub fn decode_tree(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let stamps = encoded::take_items(input, Stamp::decode)?;
        Ok(Self::from_root(take_node(input, &stamps, 0)?))
    }
}

/// The stamps of a tree, in the order in which they are met.
#[derive(Default)]
struct Stamps {
    table: Vec<Stamp>,
    places: FxHashMap<Version, u32>,
}

impl Stamps {
    fn place_of(&mut self, stamp: Stamp) -> u32 {
        *self.places.entry(stamp.version).or_insert_with(|| {
            self.table.push(stamp);
            size_u32(self.table.len() - 1)
        })
    }
}

fn put_node(node: &Node, stamps: &mut Stamps, out: &mut Vec<u8>) {
    let tag = match node.content() {
        Content::Null => encoded::NULL,
        Content::Erased => encoded::ERASED,
        Content::Bool(false) => encoded::FALSE,
        Content::Bool(true) => encoded::TRUE,
        Content::Int(_) => encoded::INT,
        Content::Float(_) => encoded::FLOAT,
        Content::String(_) => encoded::STRING,
        Content::Array(_) => encoded::ARRAY,
        Content::Object(_) => encoded::OBJECT,
    };
    codec::put_u8(out, tag);
    codec::put_u32(out, stamps.place_of(node.written()));
    match node.content() {
        Content::Null | Content::Bool(_) | Content::Erased => {}
        Content::Int(number) => codec::put_i64(out, *number),
        Content::Float(number) => codec::put_u64(out, number.to_bits()),
        Content::String(text) => codec::put_str(out, text),
        Content::Array(array) => {
            codec::put_u32(out, stamps.place_of(node.newest()));
            codec::put_u32(out, size_u32(array.children.len()));
            array.children.for_each(|item| put_node(item, stamps, out));
        }
        Content::Object(object) => {
            codec::put_u32(out, stamps.place_of(node.newest()));
            codec::put_u32(out, size_u32(object.children.len()));
            object.children.for_each(|name, member| {
                codec::put_str(out, name);
                put_node(member, stamps, out);
            });
        }
    }
}

fn take_node(input: &mut &[u8], stamps: &[Stamp], around: usize) -> Result<Node, DecodeError> {
    let tag = codec::take_u8(input)?;
    let written = take_stamp(input, stamps)?;
    if let Some(content) = take_scalar(tag, input)? {
        return Ok(Node::scalar(written, content));
    }
    match tag {
        encoded::ERASED if around == 0 => Ok(Node::scalar(written, Content::Erased)),
        encoded::ARRAY | encoded::OBJECT if around == VALUE_DEPTH_MAX => {
            Err(DecodeError::TooDeep { limit: VALUE_DEPTH_MAX })
        }
        encoded::ARRAY => {
            let newest = take_stamp(input, stamps)?;
            let items = encoded::take_items(input, |input| take_node(input, stamps, around + 1))?;
            check_newest(newest, written, items.iter())?;
            let size = encoded::HEAD_SIZE + items.iter().map(Node::size).sum::<usize>();
            Ok(Node::array(written, size, items).with_newest(newest))
        }
        encoded::OBJECT => {
            let newest = take_stamp(input, stamps)?;
            let members = encoded::take_items(input, |input| {
                Ok((codec::take_str(input)?.into(), take_node(input, stamps, around + 1)?))
            })?;
            check_newest(newest, written, members.iter().map(|(_, node)| node))?;
            let sizes = members
                .iter()
                .map(|(name, node): &(std::sync::Arc<str>, _)| 4 + name.len() + Node::size(node));
            let size = encoded::HEAD_SIZE + sizes.sum::<usize>();
            let object = Node::object(written, size, members).map(|object| object.with_newest(newest));
            object.ok_or(DecodeError::NotJson { what: "a member named twice" })
        }
        tag => Err(DecodeError::UnknownTag { what: "node", tag }),
    }
}

fn take_stamp(input: &mut &[u8], stamps: &[Stamp]) -> Result<Stamp, DecodeError> {
    let place = codec::take_u32(input)? as usize;
    stamps.get(place).copied().ok_or(DecodeError::Contradiction { what: "a stamp that is not in the table" })
}

/// A container is as new as the newest thing that was ever written in it.
fn check_newest<'a>(
    newest: Stamp,
    written: Stamp,
    mut inside: impl Iterator<Item = &'a Node>,
) -> Result<(), DecodeError> {
    let is_newer = |stamp: Stamp| stamp.version > newest.version;
    if is_newer(written) || inside.any(|node| is_newer(node.newest())) {
        return Err(DecodeError::Contradiction { what: "a container older than what is in it" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{document, encoded, place};
    use super::super::write::JsonWrite;
    use super::*;
    use crate::version::Timestamp;

    fn stamp(version: u64) -> Stamp {
        Stamp { version: Version(version), timestamp: Timestamp(version * 10) }
    }

    /// A document whose parts were written by several commits, and from which something was taken out.
    fn written() -> Document {
        let mut written = document(r#"{"a": [1, 2.5, null], "b": {"x": true, "gone": 1}, "s": "text"}"#);
        written.apply(&JsonWrite::Set { path: place("/a/0"), value: encoded("false") }, stamp(5));
        written.apply(&JsonWrite::Insert { path: place("/a/1"), value: encoded("[[]]") }, stamp(6));
        written.apply(&JsonWrite::Remove { path: place("/b/gone") }, stamp(7));
        written
    }

    fn bytes(document: &Document) -> Vec<u8> {
        let mut bytes = Vec::new();
        document.encode_tree(&mut bytes);
        bytes
    }

    #[test]
    fn a_tree_comes_back_with_every_version_it_had() {
        let mut long = document("[]");
        for number in 0..200 {
            let (path, value) = (place(&format!("/{number}")), encoded(&number.to_string()));
            long.apply(&JsonWrite::Insert { path, value }, stamp(number + 2));
        }
        for before in [written(), long, document("7"), document("{}")] {
            let bytes = bytes(&before);
            let mut input = &bytes[..];
            let after = Document::decode_tree(&mut input).unwrap();
            assert!(input.is_empty() && after == before, "{before:?}");
            assert_eq!((after.size(), after.newest()), (before.size(), before.newest()));
            for path in ["", "/a", "/a/0", "/a/1/0", "/b", "/b/x", "/b/gone", "/s", "/7"].map(place) {
                assert_eq!(
                    (after.get(&path), after.footing(&path)),
                    (before.get(&path), before.footing(&path))
                );
            }
        }
    }

    #[test]
    fn the_bytes_of_a_tree_never_change() {
        let mut small = document(r#"{"n": 1}"#);
        small.apply(&JsonWrite::Set { path: place("/n"), value: encoded("\"a\"") }, stamp(5));
        let stamps = [small.root().written(), stamp(5)];
        let mut golden = vec![2, 0, 0, 0];
        for stamp in stamps {
            golden.extend_from_slice(&stamp.version.0.to_le_bytes());
            golden.extend_from_slice(&stamp.timestamp.0.to_le_bytes());
        }
        golden.extend_from_slice(&[8, 0, 0, 0, 0, 1, 0, 0, 0]); // an object, its stamp, its newest
        golden.extend_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0, b'n']); // one member and its name
        golden.extend_from_slice(&[5, 1, 0, 0, 0, 1, 0, 0, 0, b'a']); // a string
        assert_eq!(bytes(&small), golden);
    }

    #[test]
    fn damaged_trees_are_refused_or_read_as_others_and_never_panic() {
        let whole = bytes(&written());
        for cut in 0..whole.len() {
            assert!(Document::decode_tree(&mut &whole[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = Document::decode_tree(&mut &damaged[..]) {
                assert_eq!(read.get(&place("")).unwrap().value.len(), read.size());
            }
        }
    }

    #[test]
    fn a_tree_that_contradicts_itself_is_refused() {
        let mut deep = vec![1, 0, 0, 0];
        deep.extend_from_slice(&[0; 16]);
        for _ in 0..=VALUE_DEPTH_MAX {
            deep.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        }
        deep.extend_from_slice(&[0, 0, 0, 0, 0]);
        let limit = VALUE_DEPTH_MAX;
        assert_eq!(Document::decode_tree(&mut &deep[..]), Err(DecodeError::TooDeep { limit }));
        let no_stamp = [0, 0, 0, 0, 0, 9, 0, 0, 0];
        let error = Document::decode_tree(&mut &no_stamp[..]).unwrap_err();
        assert_eq!(error.to_string(), "a stamp that is not in the table");
        let mut old = vec![2, 0, 0, 0];
        old.extend_from_slice(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        old.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        old.extend_from_slice(&[7, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let error = Document::decode_tree(&mut &old[..]).unwrap_err();
        assert_eq!(error.to_string(), "a container older than what is in it");
    }
}
