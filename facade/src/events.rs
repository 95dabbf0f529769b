//! The event log of a run.

use std::sync::Arc;

use rand::RngCore;
use strata_primitives::{
    ChainReport, Commit, Direction, Effect, Encoded, EntityRef, NewEvent, Operation, Outcome, StoredEvent,
    Timestamp, Value, Version, Versioned,
};

use crate::Result;
use crate::handle::RunHandle;
use crate::kv::committed;

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

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The event's place in the run.
    pub sequence: u64,
    /// The commit it belongs to.
    pub commit: Commit,
}

/// What an append of several events did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedMany {
    /// The first event's place in the run; the others follow it.
    pub first: u64,
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

/// Events.
impl RunHandle {
    /// Appends an event and returns its sequence.
    pub fn append(&self, kind: &str, payload: impl Into<Value>) -> Result<Appended> {
        let NewEvent { kind, payload, salt } = self.new_event(kind, &payload.into())?;
        match self.write(Operation::EventAppend { kind, payload, salt })? {
            (commit, Effect::Sequence { first, .. }) => {
                Ok(Appended { sequence: first, commit: committed(commit) })
            }
            (_, effect) => unreachable!("the write revealed {effect:?}"),
        }
    }

    /// Appends several events in one commit; no events make no commit.
    pub fn append_many<K: AsRef<str>, V: Into<Value>>(
        &self,
        events: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Option<AppendedMany>> {
        let events = events
            .into_iter()
            .map(|(kind, payload)| self.new_event(kind.as_ref(), &payload.into()))
            .collect::<Result<Vec<_>>>()?;
        match self.write(Operation::EventAppendMany { events })? {
            (Some(commit), Effect::Sequence { first, count }) => {
                Ok(Some(AppendedMany { first, count, commit }))
            }
            (None, _) => Ok(None),
            (_, effect) => unreachable!("the write revealed {effect:?}"),
        }
    }

    /// The event at `sequence`; `None` if there are not that many.
    pub fn event(&self, sequence: u64) -> Result<Option<Event>> {
        self.one_event(Operation::EventRead { sequence })
    }

    /// One page of events from `start` on, in either direction; `start` is included.
    pub fn events(&self, start: u64, limit: usize, direction: Direction) -> Result<EventPage> {
        self.page_of_events(Operation::EventRange { start: Some(start), limit, direction })
    }

    /// The newest events, newest first.
    pub fn last_events(&self, limit: usize) -> Result<EventPage> {
        self.page_of_events(Operation::EventRange { start: None, limit, direction: Direction::Reverse })
    }

    /// One page of the events of one type from sequence `start` on, which is included.
    pub fn events_by_type(
        &self,
        kind: &str,
        start: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<EventPage> {
        self.page_of_events(Operation::EventByType {
            kind: kind.into(),
            start: Some(start),
            limit,
            direction,
        })
    }

    /// How many events the run has, in O(1).
    pub fn event_count(&self) -> Result<Versioned<u64>> {
        self.count_events(None)
    }

    /// How many events of one type the run has, in O(1).
    pub fn event_count_of(&self, kind: &str) -> Result<Versioned<u64>> {
        self.count_events(Some(kind.into()))
    }

    /// The newest event, in O(1).
    pub fn event_head(&self) -> Result<Option<Event>> {
        self.one_event(Operation::EventHead { kind: None })
    }

    /// The newest event of one type, in O(1).
    pub fn event_head_of(&self, kind: &str) -> Result<Option<Event>> {
        self.one_event(Operation::EventHead { kind: Some(kind.into()) })
    }

    /// Recomputes the hash of every event of the run.
    pub fn verify_chain(&self) -> Result<ChainReport> {
        match self.ask(Operation::EventVerifyChain)? {
            Outcome::Chain(report) => Ok(report),
            other => unreachable!("a check of the chain was answered with {other:?}"),
        }
    }

    fn new_event(&self, kind: &str, payload: &Value) -> Result<NewEvent> {
        // The sequence is not known before the shard assigns it; the entity of a refusal is the run.
        let payload = Encoded::from_value(payload, &self.limits, || EntityRef::run(self.id()))?;
        Ok(NewEvent { kind: kind.into(), payload, salt: fresh_salt() })
    }

    fn one_event(&self, operation: Operation) -> Result<Option<Event>> {
        match self.ask(operation)? {
            Outcome::Event(found) => found.map(|event| decode(*event)).transpose(),
            other => unreachable!("a question for an event was answered with {other:?}"),
        }
    }

    fn page_of_events(&self, operation: Operation) -> Result<EventPage> {
        match self.ask(operation)? {
            Outcome::Events(page) => {
                let events = page.events.into_iter().map(decode).collect::<Result<_>>()?;
                Ok(EventPage { events, next: page.next, version: page.version, timestamp: page.timestamp })
            }
            other => unreachable!("a range of events was answered with {other:?}"),
        }
    }

    fn count_events(&self, kind: Option<Arc<str>>) -> Result<Versioned<u64>> {
        match self.ask(Operation::EventLen { kind })? {
            Outcome::Count(count) => Ok(count),
            other => unreachable!("a count of events was answered with {other:?}"),
        }
    }
}

/// Random bytes that keep the hash of an erased payload from telling what it was.
pub(crate) fn fresh_salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    salt
}

fn decode(event: StoredEvent) -> Result<Event> {
    Ok(Event {
        sequence: event.sequence,
        kind: event.kind.to_string(),
        payload: event.payload.to_value()?,
        version: event.version,
        timestamp: event.timestamp,
        hash: event.hash,
    })
}
