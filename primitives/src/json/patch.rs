//! JSON Patch (RFC 6902) against a document.
use super::build::build;
use super::change::{Change, Editor, Terms, invalid};
use super::document::Document;
use super::patch_operation::{PatchOperation, in_operation};
use super::pointer::{Pointer, shown};
use super::refusal::refusal;
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};

/// Does `operations` in order, each seeing what the ones before did; all of them, or none.
///
/// # Errors
/// With the index of the operation that was refused: `Conflict` for a `test` that fails, else as for any change.
pub fn patch(document: &Document, operations: &[PatchOperation], terms: Terms<'_>) -> Result<Change, Error> {
    let mut editor = Editor::new(document, terms);
    for (index, operation) in operations.iter().enumerate() {
        step(&mut editor, operation, terms).map_err(|error| in_operation(index, error))?;
    }
    Ok(editor.finish())
}

fn step(editor: &mut Editor<'_>, operation: &PatchOperation, terms: Terms<'_>) -> Result<(), Error> {
    match operation {
        PatchOperation::Add { path, value } => editor.add(path, value.clone()),
        PatchOperation::Remove { path } => editor.remove(path),
        PatchOperation::Replace { path, value } => {
            editor.locate(path)?;
            editor.set(path, value.clone())
        }
        PatchOperation::Move { from, path } => relocate(editor, from, path),
        PatchOperation::Copy { from, path } => {
            let value = editor.look(from)?.to_encoded();
            editor.add(path, value)
        }
        PatchOperation::Test { path, value } => test(editor, path, value, terms),
    }
}

fn relocate(editor: &mut Editor<'_>, from: &Pointer, path: &Pointer) -> Result<(), Error> {
    let node = editor.look(from)?;
    if from == path {
        return Ok(());
    }
    if from.contains(path) {
        return Err(invalid(path, &format!("{:?} cannot be moved into itself", shown(from.as_str()))));
    }
    let value = node.to_encoded();
    // A value that becomes the whole document takes its old place with it.
    if !path.is_root() {
        editor.remove(from)?;
    }
    editor.add(path, value)
}

fn test(editor: &mut Editor<'_>, path: &Pointer, expected: &Encoded, terms: Terms<'_>) -> Result<(), Error> {
    let found = editor.look(path)?;
    let expected = build(expected, terms.stamp).map_err(|error| refusal(expected, &error))?;
    if found.is_same_json(&expected.node) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("at {:?}: the test failed, another value is there", shown(path.as_str())),
    ))
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
