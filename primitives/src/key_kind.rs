//! What a run finds by a name, and in the order of names.
use crate::entity::EntityRef;
use crate::id::RunId;
use crate::key::Key;

/// The two kinds of things that a run finds by a key and replaces as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Keys and values.
    Kv,
    /// State cells.
    Cell,
}

/// An index of names in order: built at the first walk that needs it, and kept from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderIndex {
    /// Of keys or cells.
    Keys(KeyKind),
    /// Of documents.
    Documents,
}

impl KeyKind {
    /// The address of one of them.
    pub fn entity(self, run: RunId, key: &Key) -> EntityRef {
        match self {
            Self::Kv => EntityRef::kv(run, key.clone()),
            Self::Cell => EntityRef::cell(run, key.clone()),
        }
    }
}
