//! What keys and cells have in common: things found by a name, replaced as a whole, with a version and a deadline.
use super::{Answer, Decision};
use crate::deadline::Deadline;
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::key_range::KeyRange;
use crate::mutation::Mutation;
use crate::outcome::{KvItem, KvPage, Outcome, Ttl};
use crate::place::Place;
use crate::read_set::conflict;
use crate::version::{Stamp, Timestamp, Version, Versioned};
use std::time::Duration;

/// A page of a list as it is asked for.
pub(super) struct Page<'a> {
    pub(super) range: KeyRange<'a>,
    pub(super) limit: usize,
    pub(super) values: bool,
}

impl Decision<'_, '_> {
    pub(super) fn get(&mut self, kind: KeyKind, key: &Key) -> Option<Versioned<Encoded>> {
        self.look_at(kind, key);
        self.entry(kind, key).map(|entry| of_entry(entry, entry.value.clone()))
    }

    /// A key that is there answers with its own version, one that is not with the run's.
    pub(super) fn exists(&mut self, kind: KeyKind, key: &Key) -> Versioned<bool> {
        self.look_at(kind, key);
        self.entry(kind, key).map_or_else(|| self.at_present(false), |entry| of_entry(entry, true))
    }

    pub(super) fn ttl(&mut self, kind: KeyKind, key: &Key) -> Option<Versioned<Option<Ttl>>> {
        self.look_at(kind, key);
        let entry = self.entry(kind, key)?;
        let ttl = entry.deadline().map(|deadline: Timestamp| {
            let remaining = Duration::from_micros(deadline.0.saturating_sub(self.now.0));
            Ttl { deadline, remaining }
        });
        Some(of_entry(entry, ttl))
    }

    pub(super) fn list(&mut self, kind: KeyKind, page: &Page<'_>) -> Outcome {
        let limit = page.limit.min(self.limits.items_max);
        let mut items: Vec<KvItem> = Vec::new();
        let mut first_left_out = None;
        for (key, entry) in self.draft.keys(kind).walk(&page.range, self.now) {
            if items.len() == limit {
                first_left_out = Some(key.clone());
                break;
            }
            let value = page.values.then(|| entry.value.clone());
            let Stamp { version, timestamp } = if page.values { entry.stamp } else { Stamp::default() };
            items.push(KvItem { key: key.clone(), value, version, timestamp });
        }
        self.look_at_range(kind, &page.range, first_left_out.as_deref(), !page.values);
        let next = first_left_out.and_then(|_| items.last().map(|item| item.key.clone()));
        let Versioned { version, timestamp, .. } = self.at_present(());
        Outcome::Page(KvPage { items, next, version, timestamp })
    }

    pub(super) fn delete_key(&mut self, kind: KeyKind, key: Key) -> Result<Answer, Error> {
        self.look_at_presence(kind, &key);
        let existed = self.entry(kind, &key).is_some();
        if existed {
            self.stage_delete(kind, key)?;
        }
        Ok(Answer::Write(Effect::Existed(existed)))
    }

    /// Deletes what has expired of one kind; returns how much fitted into the commit.
    pub(super) fn expire_keys(&mut self, kind: KeyKind, limit: usize) -> u64 {
        let keys: Vec<_> = self.draft.keys(kind).expired(self.now).take(limit).cloned().collect();
        // What does not fit into one commit is left to the next: cleaning is never refused for its size.
        keys.into_iter().take_while(|key| self.stage_delete(kind, key.clone()).is_ok()).count() as u64
    }

    /// Refuses unless the key was last written by the commit expected; 0 expects that it is not there.
    pub(super) fn expect_version(&self, kind: KeyKind, key: &Key, expected: Version) -> Result<(), Error> {
        let found = self.entry(kind, key).map_or(Version::NEVER, |entry| entry.stamp.version);
        // Inside a transaction its own writes are read as pending; when it commits they have a number.
        let expected = if expected == Version::PENDING { self.draft.own_version(self.now) } else { expected };
        if found == expected {
            return Ok(());
        }
        Err(conflict(kind.entity(self.draft.run_id(), key), expected, found))
    }

    pub(super) fn entry(&self, kind: KeyKind, key: &str) -> Option<&Entry<Encoded>> {
        self.draft.keys(kind).live(key, self.now)
    }

    pub(super) fn resolve(
        &self,
        kind: KeyKind,
        key: &Key,
        deadline: Deadline,
    ) -> Result<Option<Timestamp>, Error> {
        deadline.resolve(self.now).map_err(|error| error.with_entity(kind.entity(self.draft.run_id(), key)))
    }

    pub(super) fn stage_put(
        &mut self,
        kind: KeyKind,
        key: Key,
        value: Encoded,
        deadline: Option<Timestamp>,
    ) -> Result<(), Error> {
        let previous = self.replaced_version(kind, &key);
        let mutation = match kind {
            KeyKind::Kv => Mutation::KvPut { key, value, deadline, previous },
            KeyKind::Cell => Mutation::CellSet { name: key, value, deadline, previous },
        };
        self.draft.stage(mutation, self.limits)
    }

    pub(super) fn stage_delete(&mut self, kind: KeyKind, key: Key) -> Result<(), Error> {
        let previous = self.replaced_version(kind, &key);
        let mutation = match kind {
            KeyKind::Kv => Mutation::KvDelete { key, previous },
            KeyKind::Cell => Mutation::CellDelete { name: key, previous },
        };
        self.draft.stage(mutation, self.limits)
    }

    /// The version of what the run holds, expired or not: what a mutation of it replaces.
    pub(super) fn replaced_version(&self, kind: KeyKind, key: &str) -> Version {
        self.draft.keys(kind).base(key).map_or(Version::NEVER, |entry| entry.stamp.version)
    }

    /// Records that a key was read, unless what was read is the transaction's own.
    pub(super) fn look_at(&mut self, kind: KeyKind, key: &Key) {
        self.look_at_key(kind, key, false);
    }

    /// The same where no more was learnt than whether the key is there.
    fn look_at_presence(&mut self, kind: KeyKind, key: &Key) {
        self.look_at_key(kind, key, true);
    }

    fn look_at_key(&mut self, kind: KeyKind, key: &Key, presence_only: bool) {
        if self.draft.is_recording() && !self.draft.keys(kind).is_staged(key) {
            self.draft.record(Place::Key { kind, key: key.alone(), presence_only });
        }
    }

    /// Records a walk that ended before or at `last`, or at the end of its range.
    pub(super) fn look_at_range(
        &mut self,
        kind: KeyKind,
        range: &KeyRange<'_>,
        last: Option<&str>,
        presence_only: bool,
    ) {
        if !self.draft.is_recording() {
            return;
        }
        if let Some(bounds) = range.bounds_to(last) {
            self.draft.record(Place::Range { kind, bounds, presence_only });
        }
    }

    #[cold]
    pub(super) fn about(&self, kind: KeyKind, key: &Key, error: ErrorKind, message: String) -> Error {
        Error::new(error, message).with_entity(kind.entity(self.draft.run_id(), key))
    }
}

fn of_entry<T>(entry: &Entry<Encoded>, value: T) -> Versioned<T> {
    Versioned { value, version: entry.stamp.version, timestamp: entry.stamp.timestamp }
}
