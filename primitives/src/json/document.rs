//! A JSON document: a tree that is shared between all who hold a picture of it.
use super::array::parse_index;
use super::build::build;
use super::node::{Content, Edit, Node, newer};
use super::pointer::Pointer;
use super::write::JsonWrite;
use crate::codec::DecodeError;
use crate::encoded::Encoded;
use crate::limits::VALUE_DEPTH_MAX;
use crate::version::Stamp;
use std::fmt;

/// A JSON document with a version in every node.
///
/// A clone costs O(1) and never changes: [`apply`](Self::apply) copies only the containers on the path of the write,
/// and those only while a clone shares them (path copying: Driscoll, Sarnak, Sleator and Tarjan 1989).
///
/// Which commit wrote what: all nodes of a value that is set or inserted; an array that items are put into or taken
/// from, since the items behind them move; nothing else. A member set or removed does not write its object.
#[derive(Clone, PartialEq)]
pub struct Document {
    root: Node,
}

/// Something read from a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is there.
    pub value: Encoded,
    /// The commit that last changed what is there: the newest among the place itself, everything inside it,
    /// and the containers written around it.
    pub stamp: Stamp,
}

impl Document {
    /// The document `value` is, all of it written by `stamp`.
    ///
    /// # Errors
    /// When the bytes are not a canonical encoding, or hold what a JSON document cannot.
    pub fn from_encoded(value: &Encoded, stamp: Stamp) -> Result<Self, DecodeError> {
        Ok(Self { root: build(value, stamp)?.node })
    }

    /// What is left of a document that was erased, as the commit that wrote it last left it.
    pub fn erased(stamp: Stamp) -> Self {
        Self { root: Node::scalar(stamp, Content::Erased) }
    }

    /// Whether this is what is left of one that was erased.
    pub fn is_erased(&self) -> bool {
        matches!(self.root.content(), Content::Erased)
    }

    /// Whether one of these commits has written something that is here, or taken something out.
    pub(crate) fn has_written(&self, is_one: &impl Fn(Stamp) -> bool) -> bool {
        self.root.has_written(is_one)
    }

    /// What is at `path`. An array's `-` names nothing.
    pub fn get(&self, path: &Pointer) -> Option<Found> {
        let (node, stamp) = self.look(path)?;
        Some(Found { value: node.to_encoded(), stamp })
    }

    /// When what is at `path` was last changed; `None` when nothing is there.
    pub fn region(&self, path: &Pointer) -> Option<Stamp> {
        self.look(path).map(|(_, stamp)| stamp)
    }

    /// What every write to an overlapping place changes, also where nothing is: how many segments of `path` lead
    /// somewhere, and the newest commit that wrote what is there or a container around it.
    pub fn footing(&self, path: &Pointer) -> (usize, Stamp) {
        let (mut node, mut around) = (&self.root, Stamp::default());
        for (depth, token) in path.tokens().enumerate() {
            around = newer(around, node.written());
            match node.child(&token) {
                Some(child) => node = child,
                None => return (depth, around),
            }
        }
        (path.token_count(), newer(around, node.newest()))
    }

    /// When the document was last changed.
    pub fn newest(&self) -> Stamp {
        self.root.newest()
    }

    /// Bytes of the document's encoding.
    pub fn size(&self) -> usize {
        self.root.size()
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn memory(&self) -> usize {
        self.root.memory()
    }

    /// Nodes: every value in it, containers and what is in them.
    pub fn node_count(&self) -> usize {
        self.root.extent().nodes
    }

    /// The kind of value the whole document is, as messages say it.
    pub fn kind(&self) -> &'static str {
        self.root.kind()
    }

    /// About how many bytes of memory of this document nothing shares any more once `write` is done to a clone of it: those of what the
    /// write replaces, without the containers on the path to it.
    pub fn detached_memory(&self, write: &JsonWrite) -> usize {
        match write {
            JsonWrite::Put { .. } => self.memory(),
            JsonWrite::Insert { .. } => 0,
            JsonWrite::Set { path, .. } | JsonWrite::Remove { path } => {
                self.node(path).map_or(0, Node::memory)
            }
        }
    }

    /// Says why `write` does not fit this document, as one read back from a record may not.
    pub fn check(&self, write: &JsonWrite) -> Result<(), String> {
        // What was written in a document before it was erased has nothing to fit.
        if self.is_erased() && !matches!(write, JsonWrite::Put { .. }) {
            return Ok(());
        }
        if let Some(value) = write.value() {
            if value.is_erased() && !matches!(write, JsonWrite::Put { .. }) {
                return Err("what is left of an erased value stands for a whole document only".to_string());
            }
            let built = build(value, Stamp::default()).map_err(|error| error.to_string())?;
            let depth = write.path().token_count() + built.depth;
            if depth > VALUE_DEPTH_MAX {
                return Err(format!(
                    "the document would be nested {depth} deep, {VALUE_DEPTH_MAX} is the most"
                ));
            }
        }
        let (what, is_fitting) = match write {
            JsonWrite::Put { .. } => ("put", true),
            JsonWrite::Set { path, .. } => {
                ("set", self.fits(path, |count, index| index < count, |_, _| true))
            }
            JsonWrite::Insert { path, .. } => {
                ("insert", self.fits(path, |count, index| index <= count, |_, _| false))
            }
            JsonWrite::Remove { path } => {
                let has_member = |object: &Node, name: &str| object.child(name).is_some();
                ("remove", self.fits(path, |count, index| index < count, has_member))
            }
        };
        if is_fitting {
            return Ok(());
        }
        Err(format!("the document has no place for a {what} at {:?}", write.path().as_str()))
    }

    /// Does `write`, which commit `stamp` holds. In one that is erased nothing is written but a whole document.
    ///
    /// # Panics
    /// If [`check`](Self::check) refuses the write.
    pub fn apply(&mut self, write: &JsonWrite, stamp: Stamp) {
        if self.is_erased() && !matches!(write, JsonWrite::Put { .. }) {
            *self = Self::erased(stamp);
            return;
        }
        let node = write.value().map(|value| {
            let built = build(value, stamp);
            built.unwrap_or_else(|error| panic!("a value was checked before it was applied: {error}")).node
        });
        self.edit(write, node, stamp);
    }

    /// Does `write`, whose value was built into `node` already.
    pub(super) fn edit(&mut self, write: &JsonWrite, node: Option<Node>, stamp: Stamp) {
        let node = || node.expect("a write that has a value has a node");
        let (path, edit) = match write {
            JsonWrite::Put { .. } => {
                self.root = node();
                return;
            }
            JsonWrite::Set { path, .. } => (path, Edit::Set(node())),
            JsonWrite::Insert { path, .. } => (path, Edit::Insert(node())),
            JsonWrite::Remove { path } => (path, Edit::Remove),
        };
        let tokens: Vec<_> = path.tokens().collect();
        self.root.edit(&tokens, edit, stamp);
    }

    pub(super) fn from_root(root: Node) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// The node at `path`.
    pub(super) fn node(&self, path: &Pointer) -> Option<&Node> {
        self.look(path).map(|(node, _)| node)
    }

    fn look(&self, path: &Pointer) -> Option<(&Node, Stamp)> {
        let (mut node, mut around) = (&self.root, Stamp::default());
        for token in path.tokens() {
            around = newer(around, node.written());
            node = node.child(&token)?;
        }
        Some((node, newer(around, node.newest())))
    }

    /// Whether the container around `path` is there and takes its last segment.
    fn fits(
        &self,
        path: &Pointer,
        takes_index: impl FnOnce(usize, usize) -> bool,
        takes_name: impl FnOnce(&Node, &str) -> bool,
    ) -> bool {
        let Some((parent, token)) = path.split_last() else { return false };
        let Some(node) = self.node(&parent) else { return false };
        match node.content() {
            Content::Array(array) => {
                parse_index(&token).is_some_and(|index| takes_index(array.children.len(), index))
            }
            Content::Object(_) => takes_name(node, &token),
            _ => false,
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Document({:?} at {})", self.root.to_encoded(), self.newest().version)
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
