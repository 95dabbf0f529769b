//! The event log of a run.

use strata_primitives::{Commit, EventPage as StoredPage, StoredEvent, Timestamp, Value, Version};

use crate::Result;

/// One event of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the run: 0, 1, 2 and so on, without gaps.
    pub sequence: u64,
    /// Its type.
    pub kind: String,
    /// What happened.
    pub payload: Value,
    /// The commit that appended it.
    pub version: Version,
    /// The time of that commit.
    pub timestamp: Timestamp,
    /// BLAKE3 over the previous event's hash and this event.
    pub hash: [u8; 32],
}

/// What an append of one or several events did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first event's place in the run; the others follow it.
    pub sequence: u64,
    /// How many events were appended.
    pub count: u64,
    /// The commit they belong to.
    pub commit: Commit,
}

/// One page of events, in the order asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// The `start` of the next page; `None` at the end.
    pub next: Option<u64>,
    /// The version this page is true at.
    pub version: Version,
    /// The time of that version.
    pub timestamp: Timestamp,
}

impl Event {
    pub(crate) fn decode(event: StoredEvent) -> Result<Event> {
        Ok(Event {
            sequence: event.sequence,
            kind: event.kind.to_string(),
            payload: event.payload.to_value()?,
            version: event.version,
            timestamp: event.timestamp,
            hash: event.hash,
        })
    }
}

impl EventPage {
    pub(crate) fn decode(page: StoredPage) -> Result<EventPage> {
        let StoredPage { events, next, version, timestamp } = page;
        let events = events.into_iter().map(Event::decode).collect::<Result<_>>()?;
        Ok(EventPage { events, next, version, timestamp })
    }
}
