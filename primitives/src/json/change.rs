//! From what a caller asks of a document to resolved writes: all of them, or a refusal.
//!
//! Messages name the place; the caller adds the entity. Kinds: `NotFound` for a place that is not there, `WrongType`
//! for a place inside something that is no container, `InvalidArgument` for what breaks a rule or a limit.
use super::array::parse_index;
use super::build::build;
use super::document::Document;
use super::node::{Content, Node};
use super::pointer::{Pointer, shown};
use super::refusal::refusal;
use super::write::JsonWrite;
use crate::encoded::{Encoded, HEAD_SIZE};
use crate::error::{Error, ErrorKind};
use crate::limits::{Limits, VALUE_DEPTH_MAX};
use crate::version::Stamp;

/// What a change is decided under: the commit it belongs to, and how large things may be.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Stamps everything that is written.
    pub stamp: Stamp,
    /// Bound the document that results, and the writes.
    pub limits: &'a Limits,
}

/// A decided change. Applying `writes` in order to the document it was decided against gives `document`.
#[derive(Debug, Clone)]
pub struct Change {
    /// What the log holds; empty when nothing changes.
    pub writes: Vec<JsonWrite>,
    /// The document after the writes.
    pub document: Document,
    /// What it rests on beside its own values: places, each with how many of the writes were done before.
    pub looks: Vec<(usize, Pointer)>,
}

/// Puts `value` at `path`: the whole document, a member, or an item. What is around it must be there.
///
/// In an array an index that is taken is replaced; the one behind the last, or `-`, appends.
pub fn set(document: &Document, path: &Pointer, value: Encoded, terms: Terms<'_>) -> Result<Change, Error> {
    let mut editor = Editor::new(document, terms);
    editor.set(path, value)?;
    Ok(editor.finish())
}

/// Takes out what is at `path`; `None` when nothing is there.
pub fn remove(document: &Document, path: &Pointer, terms: Terms<'_>) -> Result<Option<Change>, Error> {
    let mut editor = Editor::new(document, terms);
    if !path.is_root() && document.node(path).is_none() {
        return Ok(None);
    }
    editor.remove(path)?;
    Ok(Some(editor.finish()))
}

/// Puts `value` behind the last item of the array at `path`.
pub fn append(
    document: &Document,
    path: &Pointer,
    value: Encoded,
    terms: Terms<'_>,
) -> Result<Change, Error> {
    let mut editor = Editor::new(document, terms);
    let node = editor.locate(path)?;
    let Content::Array(array) = node.content() else {
        return Err(wrong_type(path, &format!("only an array can be appended to, this is {}", node.kind())));
    };
    let end = path.join(&array.children.len().to_string());
    editor.write(JsonWrite::Insert { path: end, value })?;
    Ok(editor.finish())
}

/// A document while it is being changed, and the writes so far. Dropped, it leaves nothing behind.
pub(super) struct Editor<'a> {
    document: Document,
    writes: Vec<JsonWrite>,
    looks: Vec<(usize, Pointer)>,
    writes_size: usize,
    terms: Terms<'a>,
}

impl<'a> Editor<'a> {
    pub(super) fn new(document: &Document, terms: Terms<'a>) -> Self {
        let (writes, looks) = (Vec::new(), Vec::new());
        Self { document: document.clone(), writes, looks, writes_size: 0, terms }
    }

    pub(super) fn finish(self) -> Change {
        Change { writes: self.writes, document: self.document, looks: self.looks }
    }

    pub(super) fn document(&self) -> &Document {
        &self.document
    }

    pub(super) fn limits(&self) -> &'a Limits {
        self.terms.limits
    }

    /// The node at `path`, which becomes known outside, or why there is none.
    pub(super) fn look(&mut self, path: &Pointer) -> Result<&Node, Error> {
        self.note_look(path);
        self.locate(path)
    }

    /// Takes note that what is at `path`, or that nothing is, decides what becomes of the change.
    pub(super) fn note_look(&mut self, path: &Pointer) {
        self.looks.push((self.writes.len(), path.clone()));
    }

    /// The node at `path`, or why there is none.
    pub(super) fn locate(&self, path: &Pointer) -> Result<&Node, Error> {
        let mut node = self.document.root();
        for token in path.tokens() {
            node = match node.child(&token) {
                Some(child) => child,
                None => return Err(missing(node, &token, path)),
            };
        }
        Ok(node)
    }

    /// Puts `value` at `path`; an item with the same index is replaced.
    pub(super) fn set(&mut self, path: &Pointer, value: Encoded) -> Result<(), Error> {
        let write = match self.place(path)? {
            Place::Root => JsonWrite::Put { value },
            Place::Member | Place::Item => JsonWrite::Set { path: path.clone(), value },
            Place::End(path) => JsonWrite::Insert { path, value },
        };
        self.write(write)
    }

    /// Puts `value` at `path`; an item with the same index moves back (RFC 6902, section 4.1).
    pub(super) fn add(&mut self, path: &Pointer, value: Encoded) -> Result<(), Error> {
        let write = match self.place(path)? {
            Place::Root => JsonWrite::Put { value },
            Place::Member => JsonWrite::Set { path: path.clone(), value },
            Place::Item => JsonWrite::Insert { path: path.clone(), value },
            Place::End(path) => JsonWrite::Insert { path, value },
        };
        self.write(write)
    }

    /// Takes out what is at `path` and must be there.
    pub(super) fn remove(&mut self, path: &Pointer) -> Result<(), Error> {
        if path.is_root() {
            return Err(invalid(path, "the whole document cannot be removed: destroy it instead"));
        }
        self.locate(path)?;
        self.write(JsonWrite::Remove { path: path.clone() })
    }

    /// Does a write that has its place, unless it breaks a limit.
    pub(super) fn write(&mut self, write: JsonWrite) -> Result<(), Error> {
        let Terms { stamp, limits } = self.terms;
        let path = write.path();
        let place = |error: Error| at(&path, error);
        let node = match write.value() {
            None => None,
            Some(value) => {
                value.check(limits).map_err(place)?;
                let built = build(value, stamp).map_err(|error| place(refusal(value, &error)))?;
                self.check_depth(&path, built.depth)?;
                limits.check_items(built.item_count_max, "value").map_err(place)?;
                self.check_item_count(&write).map_err(place)?;
                Some(built.node)
            }
        };
        self.writes_size = self.writes_size.saturating_add(write.encoded_size());
        limits
            .check_size("transaction_size_max", limits.transaction_size_max, self.writes_size, "change")
            .map_err(place)?;
        limits
            .check_count(
                "transaction_mutations_max",
                limits.transaction_mutations_max,
                self.writes.len() + 1,
                "change",
            )
            .map_err(place)?;
        self.document.edit(&write, node, stamp);
        // After each write and not at the end: copies of copies would fill the memory long before.
        let size = self.document.size().saturating_sub(HEAD_SIZE);
        limits.check_size("value_size_max", limits.value_size_max, size, "document").map_err(place)?;
        self.writes.push(write);
        Ok(())
    }

    fn check_depth(&self, path: &Pointer, value_depth: usize) -> Result<(), Error> {
        let limit = self.terms.limits.depth_max.min(VALUE_DEPTH_MAX);
        let depth = path.token_count() + value_depth;
        if depth <= limit {
            return Ok(());
        }
        Err(invalid(path, &format!("depth_max is {limit}, the document would be nested {depth} deep")))
    }

    /// Refuses a write that makes the container around it too long.
    fn check_item_count(&self, write: &JsonWrite) -> Result<(), Error> {
        let path = write.path();
        let Some((parent, token)) = path.split_last() else { return Ok(()) };
        let (count, what) = match self.document.node(&parent).map(Node::content) {
            Some(Content::Array(array)) if matches!(write, JsonWrite::Insert { .. }) => {
                (array.children.len() + 1, "array")
            }
            Some(Content::Object(object)) if object.children.get(&token).is_none() => {
                (object.children.len() + 1, "object")
            }
            _ => return Ok(()),
        };
        self.terms.limits.check_items(count, what)
    }

    fn place(&self, path: &Pointer) -> Result<Place, Error> {
        let Some((parent, token)) = path.split_last() else { return Ok(Place::Root) };
        let node = self.locate(&parent)?;
        let Content::Array(array) = node.content() else {
            return match node.content() {
                Content::Object(_) => Ok(Place::Member),
                _ => Err(wrong_type(path, &format!("{} holds nothing", a_kind(node)))),
            };
        };
        let count = array.children.len();
        match parse_index(&token) {
            Some(index) if index < count => Ok(Place::Item),
            Some(index) if index == count => Ok(Place::End(path.clone())),
            None if token == "-" => Ok(Place::End(parent.join(&count.to_string()))),
            Some(index) => {
                Err(invalid(path, &format!("index {index} is beyond the {count} items of the array")))
            }
            None => Err(invalid(path, &format!("{:?} is not an index of an array", shown(&token)))),
        }
    }
}

/// Where a path leads, when something is to be put there.
enum Place {
    Root,
    /// A member, there or not.
    Member,
    /// An item that is there.
    Item,
    /// Behind the last item, at this path.
    End(Pointer),
}

/// Why `node` has no child called `token`.
#[cold]
fn missing(node: &Node, token: &str, path: &Pointer) -> Error {
    let name = shown(token);
    match node.content() {
        Content::Array(_) if token != "-" && parse_index(token).is_none() => {
            invalid(path, &format!("{name:?} is not an index of an array"))
        }
        Content::Array(array) => {
            not_found(path, &format!("the array of {} items has no item {name:?}", array.children.len()))
        }
        Content::Object(_) => not_found(path, &format!("the object has no member {name:?}")),
        _ => wrong_type(path, &format!("{} has no {name:?}", a_kind(node))),
    }
}

fn a_kind(node: &Node) -> String {
    format!("a value of kind {}", node.kind())
}

fn at(path: &Pointer, error: Error) -> Error {
    error.with_context(&format!("at {:?}", shown(path.as_str())))
}

fn not_found(path: &Pointer, message: &str) -> Error {
    at(path, Error::new(ErrorKind::NotFound, message))
}

fn wrong_type(path: &Pointer, message: &str) -> Error {
    at(path, Error::new(ErrorKind::WrongType, message))
}

pub(super) fn invalid(path: &Pointer, message: &str) -> Error {
    at(path, Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
