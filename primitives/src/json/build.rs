//! From canonical bytes to a tree, in one walk.
use super::node::{Content, Node};
use crate::codec::{self, DecodeError};
use crate::encoded::{self, Encoded, HEAD_SIZE};
use crate::limits::VALUE_DEPTH_MAX;
use crate::value::canonical_bits;
use crate::version::Stamp;

/// A tree just built, and what limits ask about it.
pub(super) struct Built {
    pub(super) node: Node,
    /// Containers around the innermost item, empty ones included.
    pub(super) depth: usize,
    /// Items in the longest array or object.
    pub(super) item_count_max: usize,
}

/// Builds the tree of `value`, every node of it written by `stamp`.
///
/// # Errors
/// When the bytes are not a canonical encoding, or hold what a JSON document cannot.
pub(super) fn build(value: &Encoded, stamp: Stamp) -> Result<Built, DecodeError> {
    let mut builder = Builder { stamp, depth: 0, item_count_max: 0 };
    let mut input = value.as_bytes();
    let node = builder.take(&mut input, 0)?;
    codec::expect_end(input)?;
    Ok(Built { node, depth: builder.depth, item_count_max: builder.item_count_max })
}

struct Builder {
    stamp: Stamp,
    depth: usize,
    item_count_max: usize,
}

impl Builder {
    fn take(&mut self, input: &mut &[u8], around: usize) -> Result<Node, DecodeError> {
        let tag = codec::take_u8(input)?;
        if let Some(content) = take_scalar(tag, input)? {
            return Ok(Node::scalar(self.stamp, content));
        }
        match tag {
            encoded::ARRAY => self.take_array(input, around),
            encoded::OBJECT => self.take_object(input, around),
            encoded::ERASED if around == 0 => Ok(Node::scalar(self.stamp, Content::Erased)),
            encoded::BYTES => Err(DecodeError::NotJson { what: "bytes" }),
            tag => Err(DecodeError::UnknownTag { what: "value", tag }),
        }
    }

    fn take_array(&mut self, input: &mut &[u8], around: usize) -> Result<Node, DecodeError> {
        let size_before = input.len();
        let inside = self.enter(around)?;
        let items = encoded::take_items(input, |input| self.take(input, inside))?;
        self.item_count_max = self.item_count_max.max(items.len());
        Ok(Node::array(self.stamp, 1 + size_before - input.len(), items))
    }

    fn take_object(&mut self, input: &mut &[u8], around: usize) -> Result<Node, DecodeError> {
        let size_before = input.len();
        let inside = self.enter(around)?;
        let members = encoded::take_items(input, |input| {
            Ok((codec::take_str(input)?.into(), self.take(input, inside)?))
        })?;
        self.item_count_max = self.item_count_max.max(members.len());
        let object = Node::object(self.stamp, 1 + size_before - input.len(), members);
        object.ok_or(DecodeError::NotJson { what: "a member named twice" })
    }

    fn enter(&mut self, around: usize) -> Result<usize, DecodeError> {
        if around == VALUE_DEPTH_MAX {
            return Err(DecodeError::TooDeep { limit: VALUE_DEPTH_MAX });
        }
        self.depth = self.depth.max(around + 1);
        Ok(around + 1)
    }
}

const _: () = assert!(HEAD_SIZE == 1 + 4, "a container's size is its tag, its count and its items");

/// What a tag announces, if it is a scalar of JSON.
pub(super) fn take_scalar(tag: u8, input: &mut &[u8]) -> Result<Option<Content>, DecodeError> {
    Ok(Some(match tag {
        encoded::NULL => Content::Null,
        encoded::FALSE => Content::Bool(false),
        encoded::TRUE => Content::Bool(true),
        encoded::INT => Content::Int(codec::take_i64(input)?),
        encoded::FLOAT => Content::Float(take_float(input)?),
        encoded::STRING => Content::String(codec::take_str(input)?.into()),
        _ => return Ok(None),
    }))
}

fn take_float(input: &mut &[u8]) -> Result<f64, DecodeError> {
    let bits = codec::take_u64(input)?;
    let float = f64::from_bits(bits);
    if !float.is_finite() {
        return Err(DecodeError::NotJson { what: if float.is_nan() { "NaN" } else { "an infinity" } });
    }
    if canonical_bits(float) == bits { Ok(float) } else { Err(DecodeError::NotCanonical { bits }) }
}
