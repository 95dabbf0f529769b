//! Lists of keys and cells.

use strata_primitives::{Direction, KeyRange, KvItem, KvPage, Timestamp, Value, Version, Versioned};

use crate::Result;

/// Which keys or cells a list walks.
///
/// Pages of a [`RunHandle`](crate::RunHandle) are live: each is true at the version it carries, and a commit between
/// two pages shows in the second. Pages of a [`Snapshot`](crate::Snapshot) or a [`Transaction`](crate::Transaction)
/// are all true at one version.
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

    pub(crate) fn range(&self) -> KeyRange<'_> {
        let KvScan { prefix, start_after, direction, .. } = self;
        KeyRange { prefix, start_after: start_after.as_deref(), direction: *direction }
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

impl From<KvPage> for KeyPage {
    fn from(page: KvPage) -> KeyPage {
        let KvPage { items, next, version, timestamp } = page;
        let keys = items.into_iter().map(|item| item.key.to_string()).collect();
        KeyPage { keys, next: next.map(|key| key.to_string()), version, timestamp }
    }
}

impl ValuePage {
    pub(crate) fn decode(page: KvPage) -> Result<ValuePage> {
        let KvPage { items, next, version, timestamp } = page;
        let decode = |KvItem { key, value, version, timestamp }| {
            let value = value.expect("values were asked for").to_value()?;
            Ok((key.to_string(), Versioned { value, version, timestamp }))
        };
        let items = items.into_iter().map(decode).collect::<Result<_>>()?;
        Ok(ValuePage { items, next: next.map(|key| key.to_string()), version, timestamp })
    }
}
