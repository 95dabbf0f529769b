//! Decisions about documents.
use super::{Answer, Decision};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::json::{self, Change, Document, Found, JsonWrite, PatchOperation, Pointer, Terms};
use crate::key::Key;
use crate::key_range::{KeyBounds, KeyRange};
use crate::mutation::Mutation;
use crate::outcome::{KvItem, KvPage, Outcome};
use crate::place::Place;
use crate::read_set::conflict;
use crate::value::Value;
use crate::version::{Stamp, Version, Versioned};
use std::ops::Bound;

/// A place in a document.
pub(super) struct At<'a> {
    pub(super) name: &'a Key,
    pub(super) path: &'a Pointer,
}

impl Decision<'_, '_> {
    pub(super) fn json_create(&mut self, name: Key, value: Encoded) -> Result<Answer, Error> {
        if let Some(entry) = self.document(&name) {
            let version = entry.stamp.version;
            let message =
                format!("the document is there at version {version}: change it, or destroy it first");
            return Err(self.of_document(&name, Error::new(ErrorKind::AlreadyExists, message)));
        }
        json::check_json_encoded(&value).map_err(|error| self.of_document(&name, error))?;
        self.stage_writes(&name, vec![JsonWrite::Put { value }])
    }

    pub(super) fn json_set(&mut self, at: At<'_>, value: Encoded) -> Result<Answer, Error> {
        self.change(at.name, |document, terms| json::set(document, at.path, value, terms))
    }

    pub(super) fn json_cas(
        &mut self,
        at: At<'_>,
        value: Encoded,
        expected: Version,
    ) -> Result<Answer, Error> {
        let found = self.document(at.name).map_or(Version::NEVER, |entry| entry.stamp.version);
        // Inside a transaction its own writes are read as pending; when it commits they have a number.
        let expected = if expected == Version::PENDING { self.draft.own_version(self.now) } else { expected };
        if found != expected {
            return Err(conflict(EntityRef::json(self.draft.run_id(), at.name.clone()), expected, found));
        }
        self.json_set(at, value)
    }

    pub(super) fn json_delete(&mut self, at: At<'_>) -> Result<Answer, Error> {
        self.look_at_region(&at);
        let removed = json::remove(self.document_to_change(at.name)?, at.path, self.terms());
        match removed.map_err(|error| self.of_document(at.name, error))? {
            None => Ok(Answer::Write(Effect::Existed(false))),
            Some(Change { writes, .. }) => {
                self.stage_writes(at.name, writes)?;
                Ok(Answer::Write(Effect::Existed(true)))
            }
        }
    }

    pub(super) fn json_patch(&mut self, name: &Key, patch: &[PatchOperation]) -> Result<Answer, Error> {
        self.change(name, |document, terms| json::patch(document, patch, terms))
    }

    pub(super) fn json_merge(&mut self, at: At<'_>, patch: &Value) -> Result<Answer, Error> {
        self.change(at.name, |document, terms| json::merge(document, at.path, patch, terms))
    }

    pub(super) fn json_append(&mut self, at: At<'_>, value: Encoded) -> Result<Answer, Error> {
        self.change(at.name, |document, terms| json::append(document, at.path, value, terms))
    }

    pub(super) fn json_destroy(&mut self, name: Key) -> Result<Answer, Error> {
        self.look_at_document(&name);
        let existed = self.document(&name).is_some();
        if existed {
            let previous = self.replaced_document(&name);
            self.draft.stage(Mutation::JsonDestroy { name, previous }, self.limits)?;
        }
        Ok(Answer::Write(Effect::Existed(existed)))
    }

    pub(super) fn json_get(&mut self, at: &At<'_>) -> Option<Versioned<Encoded>> {
        self.look_at_region(at);
        let Found { value, stamp } = self.document(at.name)?.value.get(at.path)?;
        Some(Versioned { value, version: stamp.version, timestamp: stamp.timestamp })
    }

    /// The size of a document with the commit that last wrote it.
    pub(super) fn stat_document(&mut self, name: &Key) -> Option<Versioned<u64>> {
        self.look_at_region(&At { name, path: &Pointer::root() });
        let entry = self.document(name)?;
        let (value, Stamp { version, timestamp }) = ((name.len() + entry.value.size()) as u64, entry.stamp);
        Some(Versioned { value, version, timestamp })
    }

    pub(super) fn json_list(&mut self, range: &KeyRange<'_>, limit: usize) -> Outcome {
        let limit = limit.min(self.limits.items_max);
        let (mut items, mut first_left_out) = (Vec::new(), None);
        for (name, _) in self.draft.documents().walk(range, self.now) {
            if items.len() == limit {
                first_left_out = Some(name.clone());
                break;
            }
            let Stamp { version, timestamp } = Stamp::default();
            items.push(KvItem { key: name.clone(), value: None, version, timestamp });
        }
        if self.draft.is_recording()
            && let Some(bounds) = range.bounds_to(first_left_out.as_deref())
        {
            self.draft.record(Place::Documents { bounds });
        }
        let next = first_left_out.and_then(|_| items.last().map(|item: &KvItem| item.key.clone()));
        let Versioned { version, timestamp, .. } = self.at_present(());
        Outcome::Page(KvPage { items, next, version, timestamp })
    }

    /// Decides a change of a document that is there, and stages its writes.
    fn change(
        &mut self,
        name: &Key,
        decide: impl FnOnce(&Document, Terms<'_>) -> Result<Change, Error>,
    ) -> Result<Answer, Error> {
        let decided = decide(self.document_to_change(name)?, self.terms());
        let Change { writes, looks, .. } = decided.map_err(|error| self.of_document(name, error))?;
        for (done, path) in &looks {
            self.look_behind(&At { name, path }, &writes[..*done]);
        }
        self.stage_writes(name, writes)
    }

    fn stage_writes(&mut self, name: &Key, writes: Vec<JsonWrite>) -> Result<Answer, Error> {
        let previous = self.replaced_document(name);
        for write in writes {
            self.draft.stage(Mutation::JsonWrite { name: name.clone(), write, previous }, self.limits)?;
        }
        Ok(Answer::Write(Effect::None))
    }

    /// What a change is decided under. Its stamp is for the eyes of this decision only.
    fn terms(&self) -> Terms<'_> {
        let stamp = Stamp { version: self.draft.own_version(self.now), timestamp: self.now };
        Terms { stamp, limits: self.limits }
    }

    fn document(&self, name: &str) -> Option<&Entry<Document>> {
        self.draft.documents().get(name)
    }

    fn document_to_change(&self, name: &Key) -> Result<&Document, Error> {
        self.document(name).map(|entry| &entry.value).ok_or_else(|| {
            let message = "the document does not exist: create it first";
            self.of_document(name, Error::new(ErrorKind::NotFound, message))
        })
    }

    /// The version of the document that the run holds: what a mutation of it replaces.
    fn replaced_document(&self, name: &str) -> Version {
        self.draft.documents().base(name).map_or(Version::NEVER, |entry| entry.stamp.version)
    }

    /// Records that a place was read, as far as the transaction has not written it itself.
    pub(super) fn look_at_region(&mut self, at: &At<'_>) {
        self.look_behind(at, &[]);
    }

    /// The same behind `writes` that are not staged yet.
    fn look_behind(&mut self, at: &At<'_>, writes: &[JsonWrite]) {
        if self.draft.is_recording()
            && let Some(path) = self.draft.place_below(at.name, at.path, writes)
        {
            self.draft.record(Place::Region { name: at.name.alone(), path });
        }
    }

    /// Records that no more was learnt than whether a document is there, unless that is the transaction's own doing.
    fn look_at_document(&mut self, name: &Key) {
        if self.draft.is_recording() && !self.draft.documents().is_staged(name) {
            let only = || Bound::Included(name.to_string());
            self.draft.record(Place::Documents { bounds: KeyBounds { lower: only(), upper: only() } });
        }
    }

    #[cold]
    fn of_document(&self, name: &Key, error: Error) -> Error {
        error.with_entity(EntityRef::json(self.draft.run_id(), name.clone()))
    }
}
