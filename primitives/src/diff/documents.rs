//! Documents that differ.
use super::difference::{DiffPlace, Difference, DocumentChange, DocumentDifference};
use super::page::Page;
use crate::encoded::Encoded;
use crate::entry::Entry;
use crate::json::{Document, Pointer};
use crate::key::Key;

pub(super) fn find(page: &mut Page<'_>) {
    // The first place behind all documents.
    if !page.wants(&DiffPlace::EventErased(0)) {
        return;
    }
    let (before, after) = (&page.before.content().documents, &page.after.content().documents);
    let mut found = Vec::new();
    before.pairs(after, |name, was, is| {
        let is_shared = was.zip(is).is_some_and(|(was, is)| was.value.is_shared_with(&is.value));
        if !is_shared && page.wants(&DiffPlace::Document(name.clone())) {
            found.push((name, was, is));
        }
    });
    found.sort_unstable_by_key(|(name, ..)| *name);
    for (name, was, is) in found {
        if page.is_full() {
            break;
        }
        compare(page, name, was, is);
    }
}

/// The same for one document.
pub(super) fn find_of(page: &mut Page<'_>, name: &Key) {
    let (was, is) = (page.before.content().documents.get(name), page.after.content().documents.get(name));
    compare(page, name, was, is);
}

fn compare(page: &mut Page<'_>, name: &Key, was: Option<&Entry<Document>>, is: Option<&Entry<Document>>) {
    if let Some(change) = change(was, is) {
        let (name, before, after) = (name.clone(), was.map(|entry| entry.stamp), is.map(|entry| entry.stamp));
        page.put(Difference::Document(DocumentDifference { name, before, after, change }));
    }
}

fn change(was: Option<&Entry<Document>>, is: Option<&Entry<Document>>) -> Option<DocumentChange> {
    match (was, is) {
        (Some(was), Some(is)) => {
            let places = was.value.differences(&is.value);
            (!places.is_empty()).then_some(DocumentChange::Changed(places))
        }
        (None, Some(is)) => Some(DocumentChange::Added(whole(&is.value))),
        (Some(was), None) => Some(DocumentChange::Removed(whole(&was.value))),
        (None, None) => None,
    }
}

fn whole(document: &Document) -> Encoded {
    document.get(&Pointer::root()).expect("a document has a root").value
}
