//! Decisions about keys.
use super::{Answer, Decision};
use crate::deadline::Deadline;
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::key_range::KeyRange;
use crate::mutation::Mutation;
use crate::operation::PutEntry;
use crate::outcome::Outcome;
use crate::version::{Timestamp, Version, Versioned};

impl Decision<'_, '_> {
    pub(super) fn put(&mut self, key: Key, value: Encoded, deadline: Deadline) -> Result<Answer, Error> {
        let deadline = self.resolve(KeyKind::Kv, &key, deadline)?;
        self.stage_put(KeyKind::Kv, key, value, deadline)?;
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
        key: Key,
        value: Encoded,
        deadline: Deadline,
        expected: Version,
    ) -> Result<Answer, Error> {
        self.expect_version(KeyKind::Kv, &key, expected)?;
        self.put(key, value, deadline)
    }

    pub(super) fn delete_prefix(&mut self, prefix: &str) -> Result<Answer, Error> {
        self.look_at_range(KeyKind::Kv, &KeyRange::prefix(prefix), None, true);
        // One more than may be staged is enough for the refusal to come from there.
        let count_max = self.limits.transaction_mutations_max.saturating_add(1);
        let walk = self.draft.keys(KeyKind::Kv).walk(&KeyRange::prefix(prefix), self.now);
        let keys: Vec<_> = walk.take(count_max).map(|(key, _)| key.clone()).collect();
        let count = keys.len() as u64;
        keys.into_iter().try_for_each(|key| self.stage_delete(KeyKind::Kv, key))?;
        Ok(Answer::Write(Effect::Count(count)))
    }

    pub(super) fn increment(&mut self, key: Key, by: i64) -> Result<Answer, Error> {
        self.look_at(KeyKind::Kv, &key);
        let (current, deadline) = match self.entry(KeyKind::Kv, &key) {
            None => (0, None),
            Some(entry) => match entry.value.as_int() {
                Some(number) => (number, entry.deadline()),
                None => {
                    let kind = entry.value.kind();
                    let message = format!("an increment needs an int, the value is of kind {kind}");
                    return Err(self.about(KeyKind::Kv, &key, ErrorKind::WrongType, message));
                }
            },
        };
        let Some(sum) = current.checked_add(by) else {
            let message = format!("{current} + {by} does not fit a 64-bit int");
            return Err(self.about(KeyKind::Kv, &key, ErrorKind::InvalidArgument, message));
        };
        self.stage_put(KeyKind::Kv, key, Encoded::from_int(sum), deadline)?;
        Ok(Answer::Write(Effect::Integer(sum)))
    }

    pub(super) fn set_deadline(&mut self, key: Key, deadline: Deadline) -> Result<Answer, Error> {
        let deadline = self.resolve(KeyKind::Kv, &key, deadline)?;
        if deadline.is_none() {
            return self.clear_deadline(key);
        }
        // The value stays, so whoever reads it back has read what was there before.
        self.look_at(KeyKind::Kv, &key);
        let existed = self.entry(KeyKind::Kv, &key).is_some();
        if existed {
            self.stage_deadline(key, deadline)?;
        }
        Ok(Answer::Write(Effect::Existed(existed)))
    }

    pub(super) fn clear_deadline(&mut self, key: Key) -> Result<Answer, Error> {
        self.look_at(KeyKind::Kv, &key);
        let entry = self.entry(KeyKind::Kv, &key);
        let existed = entry.is_some();
        if entry.is_some_and(|entry| entry.deadline().is_some()) {
            self.stage_deadline(key, None)?;
        }
        Ok(Answer::Write(Effect::Existed(existed)))
    }

    pub(super) fn get_many(&mut self, keys: &[Key]) -> Outcome {
        let items = keys.iter().map(|key| self.get(KeyKind::Kv, key)).collect();
        let Versioned { value: items, version, timestamp } = self.at_present(items);
        Outcome::Values { items, version, timestamp }
    }

    pub(super) fn count(&mut self, prefix: &str) -> Versioned<u64> {
        let range = KeyRange::prefix(prefix);
        self.look_at_range(KeyKind::Kv, &range, None, true);
        let keys = self.draft.keys(KeyKind::Kv);
        let count = if prefix.is_empty() {
            keys.live_count(self.now)
        } else {
            keys.walk(&range, self.now).count() as u64
        };
        self.at_present(count)
    }

    fn stage_deadline(&mut self, key: Key, deadline: Option<Timestamp>) -> Result<(), Error> {
        let previous = self.replaced_version(KeyKind::Kv, &key);
        self.draft.stage(Mutation::KvDeadline { key, deadline, previous }, self.limits)
    }
}
