//! Keys and values of a run.

use std::sync::Arc;
use std::time::Duration;

use strata_primitives::{
    Commit, Condition, Deadline, Direction, Effect, Encoded, EntityRef, KvPage, Limits, Operation, Outcome,
    PutEntry, RunId, Timestamp, Value, Version, Versioned,
};

use crate::Result;
use crate::handle::RunHandle;

/// Which keys a list walks.
///
/// Pages are live: each is true at the version it carries, and a commit between two pages shows in
/// the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvScan {
    /// Only keys that begin with this; empty means all.
    pub prefix: String,
    /// Keys up to this one, in the direction of the walk, were seen already.
    pub start_after: Option<String>,
    /// The most keys of one page; 1,000 by default.
    pub limit: usize,
    /// Which way to walk.
    pub direction: Direction,
}

impl Default for KvScan {
    fn default() -> Self {
        KvScan { prefix: String::new(), start_after: None, limit: 1000, direction: Direction::Forward }
    }
}

impl KvScan {
    /// All keys that begin with `prefix`, ascending.
    pub fn prefix(prefix: impl Into<String>) -> KvScan {
        KvScan { prefix: prefix.into(), ..KvScan::default() }
    }
}

/// One page of keys, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<String>,
    /// The `start_after` of the next page; `None` at the end.
    pub next: Option<String>,
    /// The version this page is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

/// One page of keys with their values, in order of keys.
#[derive(Clone, Debug, PartialEq)]
pub struct ValuePage {
    /// The keys, each with its value and the commit that wrote it.
    pub items: Vec<(String, Versioned<Value>)>,
    /// The `start_after` of the next page; `None` at the end.
    pub next: Option<String>,
    /// The version this page is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

/// Keys and values.
impl RunHandle {
    /// The value of a key, with the commit that wrote it; `None` if the key is not there or has expired.
    pub fn get(&self, key: &str) -> Result<Option<Versioned<Value>>> {
        match self.ask(Operation::KvGet { key: key.into() })? {
            Outcome::Value(found) => found.map(decode).transpose(),
            other => unreachable!("a get was answered with {other:?}"),
        }
    }

    /// The values of several keys, all true at one version, in the order asked.
    pub fn get_many(&self, keys: &[&str]) -> Result<Versioned<Vec<Option<Versioned<Value>>>>> {
        let keys = keys.iter().map(|key| Arc::from(*key)).collect();
        match self.ask(Operation::KvGetMany { keys })? {
            Outcome::Values { items, version, timestamp } => {
                let value =
                    items.into_iter().map(|found| found.map(decode).transpose()).collect::<Result<_>>()?;
                Ok(Versioned { value, version, timestamp })
            }
            other => unreachable!("a get of many keys was answered with {other:?}"),
        }
    }

    /// Whether a key is there.
    pub fn exists(&self, key: &str) -> Result<Versioned<bool>> {
        match self.ask(Operation::KvExists { key: key.into() })? {
            Outcome::Flag(flag) => Ok(flag),
            other => unreachable!("a question for a key was answered with {other:?}"),
        }
    }

    /// Sets a key. An earlier deadline of the key is cleared.
    pub fn put(&self, key: &str, value: impl Into<Value>) -> Result<Commit> {
        self.put_with_deadline(key, &value.into(), Deadline::None)
    }

    /// Sets a key that expires `ttl` after the commit; at least a microsecond.
    pub fn put_with_ttl(&self, key: &str, value: impl Into<Value>, ttl: Duration) -> Result<Commit> {
        self.put_with_deadline(key, &value.into(), Deadline::In(ttl))
    }

    /// Sets a key that expires at `deadline`, which must lie ahead.
    pub fn put_until(&self, key: &str, value: impl Into<Value>, deadline: Timestamp) -> Result<Commit> {
        self.put_with_deadline(key, &value.into(), Deadline::At(deadline))
    }

    /// Sets several keys in one commit; no keys make no commit.
    pub fn put_many<K: AsRef<str>, V: Into<Value>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Option<Commit>> {
        let entries = entries
            .into_iter()
            .map(|(key, value)| {
                let value = encode(&value.into(), &self.limits, self.id(), key.as_ref())?;
                Ok(PutEntry { key: key.as_ref().into(), value, deadline: Deadline::None })
            })
            .collect::<Result<_>>()?;
        Ok(self.write(Operation::KvPutMany { entries })?.0)
    }

    /// Sets a key if it is absent, or if it was last written by the commit named.
    ///
    /// # Errors
    /// `Conflict` names the key and both versions when the condition does not hold; nothing is written.
    pub fn put_if(&self, key: &str, value: impl Into<Value>, condition: Condition) -> Result<Commit> {
        let value = encode(&value.into(), &self.limits, self.id(), key)?;
        let operation = Operation::KvPutIf { key: key.into(), value, deadline: Deadline::None, condition };
        Ok(committed(self.write(operation)?.0))
    }

    /// Deletes a key; `None` if there was nothing to delete.
    pub fn delete(&self, key: &str) -> Result<Option<Commit>> {
        Ok(self.write(Operation::KvDelete { key: key.into() })?.0)
    }

    /// Deletes every key that begins with `prefix`, in one commit. Returns how many there were.
    ///
    /// # Errors
    /// `InvalidArgument` when there are more keys than one commit may hold.
    pub fn delete_prefix(&self, prefix: &str) -> Result<(u64, Option<Commit>)> {
        match self.write(Operation::KvDeletePrefix { prefix: prefix.into() })? {
            (commit, Effect::Count(count)) => Ok((count, commit)),
            (_, effect) => unreachable!("the write revealed {effect:?}"),
        }
    }

    /// Adds to a whole number and returns the sum. A missing key counts from 0; a deadline stays.
    ///
    /// # Errors
    /// `WrongType` when the key holds something else, `InvalidArgument` when the sum leaves i64.
    pub fn increment(&self, key: &str, by: i64) -> Result<(i64, Commit)> {
        match self.write(Operation::KvIncrement { key: key.into(), by })? {
            (commit, Effect::Integer(sum)) => Ok((sum, committed(commit))),
            (_, effect) => unreachable!("the write revealed {effect:?}"),
        }
    }

    /// How long a key has left: `None` without the key, a value of `None` without a deadline.
    pub fn ttl(&self, key: &str) -> Result<Option<Versioned<Option<Duration>>>> {
        match self.ask(Operation::KvTtl { key: key.into() })? {
            Outcome::Ttl(found) => Ok(found.map(|found| found.map(|ttl| ttl.map(|ttl| ttl.remaining)))),
            other => unreachable!("a question for a deadline was answered with {other:?}"),
        }
    }

    /// Gives a key a deadline, which must lie ahead; `None` if the key is not there.
    pub fn set_deadline(&self, key: &str, deadline: Timestamp) -> Result<Option<Commit>> {
        let deadline = Deadline::At(deadline);
        Ok(self.write(Operation::KvSetDeadline { key: key.into(), deadline })?.0)
    }

    /// Takes a key's deadline away; `None` if there was none.
    pub fn clear_deadline(&self, key: &str) -> Result<Option<Commit>> {
        Ok(self.write(Operation::KvClearDeadline { key: key.into() })?.0)
    }

    /// One page of keys, in order.
    pub fn list(&self, scan: &KvScan) -> Result<KeyPage> {
        let KvPage { items, next, version, timestamp } = self.scan(scan, false)?;
        let keys = items.into_iter().map(|item| item.key.to_string()).collect();
        Ok(KeyPage { keys, next: next.map(|key| key.to_string()), version, timestamp })
    }

    /// One page of keys with their values, in order of keys.
    pub fn list_values(&self, scan: &KvScan) -> Result<ValuePage> {
        let KvPage { items, next, version, timestamp } = self.scan(scan, true)?;
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let encoded = item.value.expect("values were asked for");
            let value =
                Versioned { value: encoded.to_value()?, version: item.version, timestamp: item.timestamp };
            values.push((item.key.to_string(), value));
        }
        Ok(ValuePage { items: values, next: next.map(|key| key.to_string()), version, timestamp })
    }

    /// How many keys begin with `prefix`; an empty one counts all, in O(1) while none has a deadline.
    pub fn count(&self, prefix: &str) -> Result<Versioned<u64>> {
        match self.ask(Operation::KvCount { prefix: prefix.into() })? {
            Outcome::Count(count) => Ok(count),
            other => unreachable!("a count was answered with {other:?}"),
        }
    }

    fn put_with_deadline(&self, key: &str, value: &Value, deadline: Deadline) -> Result<Commit> {
        let value = encode(value, &self.limits, self.id(), key)?;
        let (commit, _) = self.write(Operation::KvPut { key: key.into(), value, deadline })?;
        Ok(committed(commit))
    }

    fn scan(&self, scan: &KvScan, values: bool) -> Result<KvPage> {
        let operation = Operation::KvList {
            prefix: scan.prefix.as_str().into(),
            start_after: scan.start_after.as_deref().map(Into::into),
            limit: scan.limit,
            direction: scan.direction,
            values,
        };
        match self.ask(operation)? {
            Outcome::Page(page) => Ok(page),
            other => unreachable!("a list was answered with {other:?}"),
        }
    }
}

/// A value in its canonical encoding, checked against the limits.
pub(crate) fn encode(value: &Value, limits: &Limits, run: RunId, key: &str) -> Result<Encoded> {
    Encoded::from_value(value, limits, || EntityRef::kv(run, key))
}

/// The commit of a write that always makes one.
pub(crate) fn committed(commit: Option<Commit>) -> Commit {
    commit.expect("a write that always changes something has a commit")
}

fn decode(found: Versioned<Encoded>) -> Result<Versioned<Value>> {
    let value = found.value.to_value()?;
    Ok(Versioned { value, version: found.version, timestamp: found.timestamp })
}
