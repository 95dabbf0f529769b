//! Decisions about keys.
use super::{Answer, Decision};
use crate::draft::EntryView;
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::kv::KeyRange;
use crate::mutation::Mutation;
use crate::operation::{Condition, Deadline, Direction, PutEntry};
use crate::outcome::{KvItem, KvPage, Outcome, Ttl};
use crate::version::{Timestamp, Version, Versioned};
use std::sync::Arc;
use std::time::Duration;

impl Decision<'_, '_> {
    pub(super) fn put(&mut self, key: Arc<str>, value: Encoded, deadline: Deadline) -> Result<Answer, Error> {
        let deadline = self.resolve(&key, deadline)?;
        self.stage_put(key, value, deadline)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn put_many(&mut self, entries: Vec<PutEntry>) -> Result<Answer, Error> {
        for PutEntry { key, value, deadline } in entries {
            self.put(key, value, deadline)?;
        }
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn put_if(
        &mut self,
        key: Arc<str>,
        value: Encoded,
        deadline: Deadline,
        condition: Condition,
    ) -> Result<Answer, Error> {
        let deadline = self.resolve(&key, deadline)?;
        let actual = self.entry(&key).map_or(Version::NEVER, |entry| entry.version);
        let expected = match condition {
            Condition::Absent => Version::NEVER,
            Condition::Version(version) => version,
        };
        // A version of 0 names no commit: it asks for absence, as `Absent` does.
        if actual != expected {
            let say = |version: Version| match version {
                Version::NEVER => "no value".to_owned(),
                version => format!("version {version}"),
            };
            let message = format!("expected {}, found {}", say(expected), say(actual));
            return Err(self.about(&key, ErrorKind::Conflict, message));
        }
        self.stage_put(key, value, deadline)?;
        Ok(Answer::Write(Effect::None))
    }

    pub(super) fn delete(&mut self, key: Arc<str>) -> Result<Answer, Error> {
        let existed = self.entry(&key).is_some();
        if existed {
            self.stage_delete(key)?;
        }
        Ok(Answer::Write(Effect::Existed(existed)))
    }

    pub(super) fn delete_prefix(&mut self, prefix: &str) -> Result<Answer, Error> {
        let range = KeyRange { prefix, start_after: None, direction: Direction::Forward };
        // One more than may be staged is enough for the refusal to come from there.
        let count_max = self.limits.transaction_mutations_max.saturating_add(1);
        let mut keys = Vec::new();
        self.draft.walk(&range, self.now, |key, _| {
            keys.push(Arc::clone(key));
            keys.len() < count_max
        });
        let count = keys.len() as u64;
        keys.into_iter().try_for_each(|key| self.stage_delete(key))?;
        Ok(Answer::Write(Effect::Count(count)))
    }

    pub(super) fn increment(&mut self, key: Arc<str>, by: i64) -> Result<Answer, Error> {
        let (current, deadline) = match self.entry(&key) {
            None => (0, None),
            Some(EntryView { value, deadline, .. }) => match value.as_int() {
                Some(number) => (number, deadline),
                None => {
                    let message = format!("an increment needs an int, the value is of kind {}", value.kind());
                    return Err(self.about(&key, ErrorKind::WrongType, message));
                }
            },
        };
        let Some(sum) = current.checked_add(by) else {
            let message = format!("{current} + {by} does not fit a 64-bit int");
            return Err(self.about(&key, ErrorKind::InvalidArgument, message));
        };
        self.stage_put(key, Encoded::from_int(sum), deadline)?;
        Ok(Answer::Write(Effect::Integer(sum)))
    }

    pub(super) fn set_deadline(&mut self, key: Arc<str>, deadline: Deadline) -> Result<Answer, Error> {
        let deadline = self.resolve(&key, deadline)?;
        if deadline.is_none() {
            return self.clear_deadline(key);
        }
        let existed = self.entry(&key).is_some();
        if existed {
            self.stage_deadline(key, deadline)?;
        }
        Ok(Answer::Write(Effect::Existed(existed)))
    }

    pub(super) fn clear_deadline(&mut self, key: Arc<str>) -> Result<Answer, Error> {
        let entry = self.entry(&key);
        let existed = entry.is_some();
        if entry.is_some_and(|entry| entry.deadline.is_some()) {
            self.stage_deadline(key, None)?;
        }
        Ok(Answer::Write(Effect::Existed(existed)))
    }

    pub(super) fn expire(&mut self, limit: usize) -> Result<Answer, Error> {
        let keys: Vec<_> = self.draft.expired(self.now).take(limit).cloned().collect();
        // What does not fit into one commit is left to the next: cleaning is never refused for its size.
        let deleted = keys.into_iter().take_while(|key| self.stage_delete(Arc::clone(key)).is_ok()).count();
        Ok(Answer::Write(Effect::Count(deleted as u64)))
    }

    pub(super) fn get(&self, key: &str) -> Option<Versioned<Encoded>> {
        self.entry(key).map(|entry| of_entry(entry, entry.value.clone()))
    }

    pub(super) fn get_many(&self, keys: &[Arc<str>]) -> Outcome {
        let Versioned { value: items, version, timestamp } =
            self.at_present(keys.iter().map(|key| self.get(key)).collect());
        Outcome::Values { items, version, timestamp }
    }

    /// A key that is there answers with its own version, one that is not with the run's.
    pub(super) fn exists(&self, key: &str) -> Versioned<bool> {
        self.entry(key).map_or_else(|| self.at_present(false), |entry| of_entry(entry, true))
    }

    pub(super) fn ttl(&self, key: &str) -> Option<Versioned<Option<Ttl>>> {
        let entry = self.entry(key)?;
        let ttl = entry.deadline.map(|deadline: Timestamp| {
            let remaining = Duration::from_micros(deadline.0.saturating_sub(self.now.0));
            Ttl { deadline, remaining }
        });
        Some(of_entry(entry, ttl))
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
        direction: Direction,
        values: bool,
    ) -> Outcome {
        let limit = limit.min(self.limits.items_max);
        let mut items: Vec<KvItem> = Vec::new();
        let mut next = None;
        self.draft.walk(&KeyRange { prefix, start_after, direction }, self.now, |key, entry| {
            if items.len() == limit {
                next = items.last().map(|item| Arc::clone(&item.key));
                return false;
            }
            let value = values.then(|| entry.value.clone());
            let EntryView { version, timestamp, .. } = entry;
            items.push(KvItem { key: Arc::clone(key), value, version, timestamp });
            true
        });
        let Versioned { version, timestamp, .. } = self.at_present(());
        Outcome::Page(KvPage { items, next, version, timestamp })
    }

    pub(super) fn count(&self, prefix: &str) -> Versioned<u64> {
        if prefix.is_empty() {
            return self.at_present(self.draft.live_count(self.now));
        }
        let mut count = 0;
        let range = KeyRange { prefix, start_after: None, direction: Direction::Forward };
        self.draft.walk(&range, self.now, |_, _| {
            count += 1;
            true
        });
        self.at_present(count)
    }

    fn entry(&self, key: &str) -> Option<EntryView<'_>> {
        self.draft.live_entry(key, self.now)
    }

    fn resolve(&self, key: &str, deadline: Deadline) -> Result<Option<Timestamp>, Error> {
        deadline.resolve(self.now).map_err(|error| error.with_entity(EntityRef::kv(self.draft.run_id(), key)))
    }

    fn stage_put(&mut self, key: Arc<str>, value: Encoded, deadline: Option<Timestamp>) -> Result<(), Error> {
        let previous = self.draft.base_version(&key);
        self.draft.stage(Mutation::KvPut { key, value, deadline, previous }, self.limits)
    }

    fn stage_delete(&mut self, key: Arc<str>) -> Result<(), Error> {
        let previous = self.draft.base_version(&key);
        self.draft.stage(Mutation::KvDelete { key, previous }, self.limits)
    }

    fn stage_deadline(&mut self, key: Arc<str>, deadline: Option<Timestamp>) -> Result<(), Error> {
        let previous = self.draft.base_version(&key);
        self.draft.stage(Mutation::KvDeadline { key, deadline, previous }, self.limits)
    }

    #[cold]
    fn about(&self, key: &str, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, message).with_entity(EntityRef::kv(self.draft.run_id(), key))
    }
}

fn of_entry<T>(entry: EntryView<'_>, value: T) -> Versioned<T> {
    Versioned { value, version: entry.version, timestamp: entry.timestamp }
}
