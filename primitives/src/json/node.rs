//! One node of a document: what is there, which commit wrote it, and what a container knows of its inside.
use super::array::{Items, parse_index};
use super::object::Members;
use crate::encoded::{self, Encoded, HEAD_SIZE};
use crate::memory::NODE_SIZE;
use crate::version::Stamp;
use std::borrow::Cow;
use std::sync::Arc;

/// A value and the commit that wrote it. A clone shares everything below.
#[derive(Clone)]
pub(super) struct Node {
    written: Stamp,
    content: Content,
}

#[derive(Clone)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Arc<str>),
    Array(Arc<Container<Items>>),
    Object(Arc<Container<Members>>),
    /// The whole document was erased; this stands at its root only.
    Erased,
}

/// Children, and what is known of them without looking.
#[derive(Clone)]
pub(super) struct Container<T> {
    /// The newest of the container itself, of everything in it, and of what was taken out of it.
    newest: Stamp,
    extent: Extent,
    pub(super) children: T,
}

/// How much there is from a node down.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    /// Bytes of the encoding.
    pub(super) size: usize,
    /// Nodes, this one among them.
    pub(super) nodes: usize,
}

/// By how much something grew; less than nothing where it shrank.
#[derive(Clone, Copy)]
struct Growth {
    size: isize,
    nodes: isize,
}

/// What a write does at the end of its path.
pub(super) enum Edit {
    /// Gives a member, or an item that is there, this node.
    Set(Node),
    /// Puts this node before the item with the path's index, or behind the last.
    Insert(Node),
    /// Takes the member or item out.
    Remove,
}

/// What holds for every write that reaches a tree.
const CHECKED: &str = "a write was checked against the document it is applied to";

/// The later of two stamps of one run.
pub(super) fn newer(left: Stamp, right: Stamp) -> Stamp {
    if right.version > left.version { right } else { left }
}

/// Whether two trees hold the same, written by the same commits.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        if self.written != other.written || self.newest() != other.newest() {
            return false;
        }
        match (&self.content, &other.content) {
            (Content::Array(left), Content::Array(right)) => {
                Arc::ptr_eq(left, right) || left.children.to_vec() == right.children.to_vec()
            }
            (Content::Object(left), Content::Object(right)) => {
                Arc::ptr_eq(left, right) || left.children.to_vec() == right.children.to_vec()
            }
            (Content::Array(_) | Content::Object(_), _) | (_, Content::Array(_) | Content::Object(_)) => {
                false
            }
            _ => self.to_encoded() == other.to_encoded(),
        }
    }
}

impl Node {
    pub(super) fn scalar(written: Stamp, content: Content) -> Self {
        Self { written, content }
    }

    /// An array just written; `size` is that of its encoding.
    pub(super) fn array(written: Stamp, size: usize, items: Vec<Node>) -> Self {
        let extent = Extent { size, nodes: 1 + node_count(items.iter()) };
        let array = Container { newest: written, extent, children: Items::new(items) };
        Self { written, content: Content::Array(Arc::new(array)) }
    }

    /// An object just written; `size` is that of its encoding. `None` if a name occurs twice.
    pub(super) fn object(written: Stamp, size: usize, members: Vec<(Arc<str>, Node)>) -> Option<Self> {
        let extent = Extent { size, nodes: 1 + node_count(members.iter().map(|(_, node)| node)) };
        let object = Container { newest: written, extent, children: Members::new(members)? };
        Some(Self { written, content: Content::Object(Arc::new(object)) })
    }

    /// The same container with another commit as the newest that wrote in it; a scalar stays as it is.
    pub(super) fn with_newest(mut self, newest: Stamp) -> Self {
        match &mut self.content {
            Content::Array(array) => Arc::make_mut(array).newest = newest,
            Content::Object(object) => Arc::make_mut(object).newest = newest,
            _ => {}
        }
        self
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// The commit that wrote this node itself.
    pub(super) fn written(&self) -> Stamp {
        self.written
    }

    /// The newest commit that wrote or removed something here or below.
    pub(super) fn newest(&self) -> Stamp {
        match &self.content {
            Content::Array(array) => array.newest,
            Content::Object(object) => object.newest,
            _ => self.written,
        }
    }

    /// Whether one of these commits has written something from here down, or taken something out.
    pub(super) fn has_written(&self, is_one: &impl Fn(Stamp) -> bool) -> bool {
        let mut is_any = is_one(self.written) || is_one(self.newest());
        match &self.content {
            Content::Array(array) => {
                array.children.for_each(|item| is_any = is_any || item.has_written(is_one));
            }
            Content::Object(object) => {
                object.children.for_each(|_, member| is_any = is_any || member.has_written(is_one));
            }
            _ => {}
        }
        is_any
    }

    /// Bytes of the encoding.
    pub(super) fn size(&self) -> usize {
        self.extent().size
    }

    /// About how many bytes of memory it takes, with what is below it.
    pub(super) fn memory(&self) -> usize {
        let Extent { size, nodes } = self.extent();
        size + nodes * NODE_SIZE
    }

    /// How much there is from here down.
    pub(super) fn extent(&self) -> Extent {
        let scalar = |size| Extent { size, nodes: 1 };
        match &self.content {
            Content::Null | Content::Bool(_) | Content::Erased => scalar(1),
            Content::Int(_) | Content::Float(_) => scalar(1 + 8),
            Content::String(text) => scalar(HEAD_SIZE + text.len()),
            Content::Array(array) => array.extent,
            Content::Object(object) => object.extent,
        }
    }

    /// The kind of value this is, as messages say it.
    pub(super) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "null",
            Content::Erased => "erased",
            Content::Bool(_) => "bool",
            Content::Int(_) => "int",
            Content::Float(_) => "float",
            Content::String(_) => "string",
            Content::Array(_) => "array",
            Content::Object(_) => "object",
        }
    }

    /// The member or item `token` names.
    pub(super) fn child(&self, token: &str) -> Option<&Node> {
        match &self.content {
            Content::Array(array) => array.children.get(parse_index(token)?),
            Content::Object(object) => object.children.get(token),
            _ => None,
        }
    }

    /// The encoding, in one allocation.
    pub(super) fn to_encoded(&self) -> Encoded {
        match &self.content {
            Content::String(text) => Encoded::from_text_under("", text),
            _ => Encoded::fill(self.size(), |out| self.put(out)),
        }
    }

    fn put(&self, out: &mut &mut [u8]) {
        match &self.content {
            Content::Null => encoded::put(out, &[encoded::NULL]),
            Content::Erased => encoded::put(out, &[encoded::ERASED]),
            Content::Bool(false) => encoded::put(out, &[encoded::FALSE]),
            Content::Bool(true) => encoded::put(out, &[encoded::TRUE]),
            Content::Int(number) => encoded::put_number(out, encoded::INT, number.to_le_bytes()),
            Content::Float(number) => {
                encoded::put_number(out, encoded::FLOAT, number.to_bits().to_le_bytes())
            }
            Content::String(text) => {
                encoded::put(out, &[encoded::STRING]);
                encoded::put_sized(out, text.as_bytes());
            }
            Content::Array(array) => {
                encoded::put_count(out, encoded::ARRAY, array.children.len());
                array.children.for_each(|item| item.put(out));
            }
            Content::Object(object) => {
                encoded::put_count(out, encoded::OBJECT, object.children.len());
                object.children.for_each(|name, member| {
                    encoded::put_sized(out, name.as_bytes());
                    member.put(out);
                });
            }
        }
    }

    /// Does `edit` at the end of `tokens`, copying what is shared on the way.
    ///
    /// # Panics
    /// If the edit does not fit this tree, or if there are no tokens.
    pub(super) fn edit(&mut self, tokens: &[Cow<'_, str>], edit: Edit, stamp: Stamp) {
        self.edit_below(tokens, edit, stamp);
    }

    fn edit_below(&mut self, tokens: &[Cow<'_, str>], edit: Edit, stamp: Stamp) -> Growth {
        let (token, rest) = tokens.split_first().expect("an edit is below the root");
        match &mut self.content {
            Content::Array(array) => {
                // An item put in or taken out moves those behind it: the array itself is written.
                if rest.is_empty() && !matches!(edit, Edit::Set(_)) {
                    self.written = newer(self.written, stamp);
                }
                let array = Arc::make_mut(array);
                let grown =
                    edit_item(&mut array.children, parse_index(token).expect(CHECKED), rest, edit, stamp);
                array.note(grown, stamp)
            }
            Content::Object(object) => {
                let object = Arc::make_mut(object);
                let grown = edit_member(&mut object.children, token, rest, edit, stamp);
                object.note(grown, stamp)
            }
            _ => panic!("{CHECKED}: a {} has no {token:?}", self.kind()),
        }
    }

    /// Whether both are the same JSON value: numbers by value, members in any order (RFC 6902, section 4.6).
    pub(super) fn is_same_json(&self, other: &Node) -> bool {
        match (&self.content, &other.content) {
            (Content::Null, Content::Null) => true,
            (Content::Bool(left), Content::Bool(right)) => left == right,
            (Content::Int(left), Content::Int(right)) => left == right,
            (Content::Float(left), Content::Float(right)) => left == right,
            (Content::Int(whole), Content::Float(float)) | (Content::Float(float), Content::Int(whole)) => {
                is_same_number(*whole, *float)
            }
            (Content::String(left), Content::String(right)) => left == right,
            (Content::Array(left), Content::Array(right)) => {
                let (left, right) = (&left.children, &right.children);
                let is_same = |index| Some(left.get(index)?.is_same_json(right.get(index)?));
                left.len() == right.len() && (0..left.len()).all(|index| is_same(index) == Some(true))
            }
            (Content::Object(left), Content::Object(right)) => {
                let (left, right) = (&left.children, &right.children);
                let is_same = |name: &str, member: &Node| {
                    right.get(name).is_some_and(|other| member.is_same_json(other))
                };
                left.len() == right.len() && left.all(is_same)
            }
            _ => false,
        }
    }
}

impl<T> Container<T> {
    fn note(&mut self, grown: Growth, stamp: Stamp) -> Growth {
        const LARGER: &str = "a container is larger than what is taken out";
        self.newest = newer(self.newest, stamp);
        let Extent { size, nodes } = self.extent;
        self.extent = Extent {
            size: size.checked_add_signed(grown.size).expect(LARGER),
            nodes: nodes.checked_add_signed(grown.nodes).expect(LARGER),
        };
        grown
    }
}

fn edit_item(items: &mut Items, index: usize, rest: &[Cow<'_, str>], edit: Edit, stamp: Stamp) -> Growth {
    if !rest.is_empty() {
        return items.get_mut(index).expect(CHECKED).edit_below(rest, edit, stamp);
    }
    match edit {
        Edit::Set(node) => replace(items.get_mut(index).expect(CHECKED), node),
        Edit::Insert(node) => {
            assert!(index <= items.len(), "{CHECKED}: index {index} is beyond {} items", items.len());
            let grown = Growth::by(0, &node);
            items.insert(index, node);
            grown
        }
        Edit::Remove => {
            assert!(index < items.len(), "{CHECKED}: index {index} is beyond {} items", items.len());
            Growth::less(0, &items.remove(index))
        }
    }
}

fn edit_member(members: &mut Members, name: &str, rest: &[Cow<'_, str>], edit: Edit, stamp: Stamp) -> Growth {
    if !rest.is_empty() {
        return members.get_mut(name).expect(CHECKED).edit_below(rest, edit, stamp);
    }
    let head_size = 4 + name.len();
    match edit {
        Edit::Set(node) => match members.get_mut(name) {
            Some(old) => replace(old, node),
            None => {
                let grown = Growth::by(head_size, &node);
                members.push(name, node);
                grown
            }
        },
        Edit::Insert(_) => panic!("{CHECKED}: an object takes no insert at {name:?}"),
        Edit::Remove => Growth::less(head_size, &members.remove(name).expect(CHECKED)),
    }
}

fn replace(old: &mut Node, node: Node) -> Growth {
    let (more, less) = (Growth::by(0, &node), Growth::less(0, old));
    *old = node;
    Growth { size: more.size + less.size, nodes: more.nodes + less.nodes }
}

impl Growth {
    /// By a node, and `head_size` bytes for its name.
    fn by(head_size: usize, node: &Node) -> Growth {
        let Extent { size, nodes } = node.extent();
        Growth { size: signed(head_size + size), nodes: signed(nodes) }
    }

    /// The same taken out.
    fn less(head_size: usize, node: &Node) -> Growth {
        let Growth { size, nodes } = Growth::by(head_size, node);
        Growth { size: -size, nodes: -nodes }
    }
}

/// How many nodes these are with everything below them.
fn node_count<'a>(nodes: impl Iterator<Item = &'a Node>) -> usize {
    nodes.map(|node| node.extent().nodes).sum()
}

fn signed(size: usize) -> isize {
    isize::try_from(size).expect("limits keep sizes below 4 Gi")
}

/// Exact, also where a float cannot hold the whole number.
fn is_same_number(whole: i64, float: f64) -> bool {
    // 2^63 is the first float beyond every i64; -2^63 is one itself.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    float.fract() == 0.0 && (-BEYOND..BEYOND).contains(&float) && float as i64 == whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_and_a_float_are_compared_exactly() {
        for (whole, float, expected) in [
            (1, 1.0, true),
            (0, -0.0, true),
            (1, 1.5, false),
            (i64::MIN, -9_223_372_036_854_775_808.0, true),
            (i64::MAX, 9_223_372_036_854_775_808.0, false),
            ((1 << 53) + 1, 9_007_199_254_740_992.0, false),
            (0, f64::NAN, false),
            (i64::MAX, f64::INFINITY, false),
        ] {
            assert_eq!(is_same_number(whole, float), expected, "{whole} and {float}");
        }
    }

    #[test]
    fn the_later_of_two_stamps_is_that_of_the_later_commit() {
        use crate::version::{Timestamp, Version};
        let stamp = |version| Stamp { version: Version(version), timestamp: Timestamp(version * 10) };
        assert_eq!(newer(stamp(1), stamp(2)), stamp(2));
        assert_eq!(newer(stamp(2), stamp(1)), stamp(2));
    }
}
