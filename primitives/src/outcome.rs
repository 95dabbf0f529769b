//! What is answered.
pub use crate::effect::Effect;
use crate::encoded::Encoded;
pub use crate::event::{ChainReport, StoredEvent};
use crate::key::Key;
use crate::receipt::Receipt;
use crate::run_meta::RunInfo;
use crate::trace::Trace;
use crate::version::{Commit, Timestamp, Version, Versioned};
use std::time::Duration;

/// The answer to one operation. At most 64 bytes, so that a reply slot is small.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A write was done. Without a commit nothing had to be changed.
    Written {
        /// The receipt.
        commit: Option<Commit>,
        /// What the write revealed.
        effect: Effect,
    },
    /// A write was staged in a transaction.
    Staged {
        /// Whether the commit will have something to change for it.
        has_changed: bool,
        /// What it revealed.
        effect: Effect,
    },
    /// A value, if the key is there.
    Value(Option<Versioned<Encoded>>),
    /// Several values at one version, in the order of the keys asked for.
    Values {
        /// Each value, if its key is there.
        items: Vec<Option<Versioned<Encoded>>>,
        /// The version all of this is true at.
        version: Version,
        /// The time of that version.
        timestamp: Timestamp,
    },
    /// Yes or no.
    Flag(Versioned<bool>),
    /// A number of things.
    Count(Versioned<u64>),
    /// A key's deadline: nothing without the key, `None` inside without a deadline.
    Ttl(Option<Versioned<Option<Ttl>>>),
    /// A page of keys.
    Page(KvPage),
    /// An event, if it is there.
    Event(Option<Box<StoredEvent>>),
    /// A page of events.
    Events(EventPage),
    /// What a check of the hash chain found.
    Chain(ChainReport),
    /// The run, if it is there.
    Run(Option<Box<RunInfo>>),
    /// What the write with an operation id was answered, if it is remembered.
    Receipt(Option<Box<Receipt>>),
    /// One thing, if it is there.
    Stat(Option<Versioned<u64>>),
    /// A trace, if it is there.
    Trace(Option<Box<Trace>>),
    /// A page of traces, or a tree of them.
    Traces(TracePage),
}

/// When a key expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl {
    /// The stored deadline.
    pub deadline: Timestamp,
    /// How long that was away when the answer was given.
    pub remaining: Duration,
}

/// Keys in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvPage {
    /// The keys of this page.
    pub items: Vec<KvItem>,
    /// The `start_after` of the next page, if more keys follow.
    pub next: Option<Key>,
    /// The version the page is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

/// One key of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvItem {
    /// The key.
    pub key: Key,
    /// Its value, if values were asked for.
    pub value: Option<Encoded>,
    /// The commit that last wrote the key; `NEVER` where only names were asked for, which a rewritten key does not change.
    pub version: Version,
    /// The time of that commit; 0 where only names were asked for.
    pub timestamp: Timestamp,
}

/// Events in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The events of this page.
    pub events: Vec<StoredEvent>,
    /// The `start` of the next page, if more events follow.
    pub next: Option<u64>,
    /// The version the page is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

/// Traces in commit order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePage {
    /// The traces of this page. [`TraceTree`](crate::TraceTree) arranges those of a tree.
    pub traces: Vec<Trace>,
    /// The `start` of the next page, if more traces follow: the first that had no room in this one, or the place
    /// behind the last of [`TRACE_SCAN_MAX`](crate::operation::TRACE_SCAN_MAX) traces that were looked at, whatever
    /// this page holds. Of a tree, the place of the first trace that was left out.
    pub next: Option<u64>,
    /// The version the page is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_fits_a_cache_line() {
        assert!(size_of::<Outcome>() <= 64, "{} bytes", size_of::<Outcome>());
    }
}
