//! JSON Merge Patch (RFC 7396) against a place in a document.
use super::change::{Change, Editor, Terms};
use super::document::Document;
use super::node::{Content, Node};
use super::pointer::Pointer;
use super::write::JsonWrite;
use crate::encoded::Encoded;
use crate::error::Error;
use crate::value::Value;

/// Merges `patch` into what is at `path`; what is around that place must be there.
///
/// Only members that change are written: what a patch does not name, or names with the value it has, keeps its
/// version. A change without writes is what a patch that changes nothing gives.
pub fn merge(document: &Document, path: &Pointer, patch: &Value, terms: Terms<'_>) -> Result<Change, Error> {
    // Encoded once as a whole, so that every rule about values holds before anything recurses into it.
    Encoded::within(patch, terms.limits)?;
    super::refusal::check_json(patch)?;
    let mut editor = Editor::new(document, terms);
    merge_at(&mut editor, path, patch)?;
    Ok(editor.finish())
}

fn merge_at(editor: &mut Editor<'_>, path: &Pointer, patch: &Value) -> Result<(), Error> {
    let is_object = |node: &Node| matches!(node.content(), Content::Object(_));
    let node = editor.document().node(path);
    if let Value::Object(members) = patch
        && node.is_some_and(is_object)
    {
        return members.iter().try_for_each(|(name, value)| merge_member(editor, &path.join(name), value));
    }
    let value = Encoded::within(&without_nulls(patch), editor.limits())?;
    let is_there = node.is_some_and(|node| node.size() == value.len() && node.to_encoded() == value);
    if let Value::Object(_) = patch {
        // If an object were here by the commit, its other members would stay.
        editor.note_look(path);
    }
    if is_there { Ok(()) } else { editor.set(path, value) }
}

fn merge_member(editor: &mut Editor<'_>, path: &Pointer, value: &Value) -> Result<(), Error> {
    if !value.is_null() {
        return merge_at(editor, path, value);
    }
    match editor.document().node(path) {
        Some(_) => editor.write(JsonWrite::Remove { path: path.clone() }),
        None => Ok(()),
    }
}

/// What a patch becomes where no object is: itself, its objects without the members that are null.
fn without_nulls(patch: &Value) -> Value {
    let Value::Object(members) = patch else { return patch.clone() };
    let kept = members.iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
