//! What is answered, in the words of each primitive: the same for whoever waits and whoever awaits.
//!
//! An operation is answered with an outcome of its own kind; anything else is our mistake.

use std::time::Duration;

use strata_primitives::{
    ChainReport, Commit, Effect, Encoded, EntityRef, Error, ErrorKind, EventPage as StoredPage, EventRef,
    KeyRef, KvItem, KvPage, Outcome, Receipt, RunId, RunInfo, Stamp, Value, Versioned,
};

use crate::Result;
use crate::events::{Appended, Event, EventPage};
use crate::json_path::{JsonMatch, query};
use crate::kv::{KeyPage, ValuePage};
use crate::traces::{Trace, TracePage, TraceTree};

/// An operation is answered with its own outcome; anything else is our mistake.
pub(crate) fn unexpected(outcome: &Outcome) -> ! {
    unreachable!("an operation was answered with {outcome:?}")
}

/// A write reveals what its kind of write reveals; anything else is our mistake.
pub(crate) fn unexpected_effect(effect: &Effect) -> ! {
    unreachable!("a write revealed {effect:?}")
}

pub(crate) fn value_of(outcome: Outcome) -> Result<Option<Versioned<Value>>> {
    match outcome {
        Outcome::Value(found) => found.map(decode).transpose(),
        other => unexpected(&other),
    }
}

pub(crate) fn ttl_of(outcome: Outcome) -> Result<Option<Versioned<Option<Duration>>>> {
    match outcome {
        Outcome::Ttl(found) => Ok(found.map(|found| found.map(|ttl| ttl.map(|ttl| ttl.remaining)))),
        other => unexpected(&other),
    }
}

pub(crate) fn count_of(outcome: Outcome) -> Result<Versioned<u64>> {
    match outcome {
        Outcome::Count(count) => Ok(count),
        other => unexpected(&other),
    }
}

pub(crate) fn event_of(outcome: Outcome) -> Result<Option<Event>> {
    match outcome {
        Outcome::Event(found) => found.map(|event| Event::decode(*event)).transpose(),
        other => unexpected(&other),
    }
}

pub(crate) fn events_of(outcome: Outcome) -> Result<EventPage> {
    match outcome {
        Outcome::Events(page) => EventPage::decode(page),
        other => unexpected(&other),
    }
}

fn decode(found: Versioned<Encoded>) -> Result<Versioned<Value>> {
    decode_found(&found.value, found.stamp())
}

pub(crate) fn decode_found(value: &Encoded, stamp: Stamp) -> Result<Versioned<Value>> {
    Ok(Versioned { value: value.to_value()?, version: stamp.version, timestamp: stamp.timestamp })
}

pub(crate) fn share_found(value: &Encoded, stamp: Stamp) -> Versioned<Encoded> {
    Versioned { value: value.clone(), version: stamp.version, timestamp: stamp.timestamp }
}

pub(crate) fn values_of(outcome: Outcome) -> Result<Versioned<Vec<Option<Versioned<Value>>>>> {
    match outcome {
        Outcome::Values { items, version, timestamp } => {
            let items = items.into_iter().map(|found| found.map(decode).transpose());
            Ok(Versioned { value: items.collect::<Result<_>>()?, version, timestamp })
        }
        other => unexpected(&other),
    }
}

pub(crate) fn encoded_of(outcome: Outcome) -> Result<Option<Versioned<Encoded>>> {
    match outcome {
        Outcome::Value(found) => Ok(found),
        other => unexpected(&other),
    }
}

pub(crate) fn flag_of(outcome: Outcome) -> Result<Versioned<bool>> {
    match outcome {
        Outcome::Flag(flag) => Ok(flag),
        other => unexpected(&other),
    }
}

pub(crate) fn keys_of(outcome: Outcome) -> Result<KeyPage> {
    match outcome {
        Outcome::Page(page) => Ok(KeyPage::from(page)),
        other => unexpected(&other),
    }
}

pub(crate) fn page_of_values(outcome: Outcome) -> Result<ValuePage> {
    match outcome {
        Outcome::Page(page) => ValuePage::decode(page),
        other => unexpected(&other),
    }
}

pub(crate) fn chain_of(outcome: Outcome) -> Result<ChainReport> {
    match outcome {
        Outcome::Chain(report) => Ok(report),
        other => unexpected(&other),
    }
}

/// What a path matches in a document.
pub(crate) fn matches_in(
    document: Option<Versioned<Value>>,
    path: &str,
) -> Result<Option<Versioned<Vec<JsonMatch>>>> {
    let Some(Versioned { value, version, timestamp }) = document else { return Ok(None) };
    Ok(Some(Versioned { value: query(&value, path)?, version, timestamp }))
}

pub(crate) fn trace_of(outcome: Outcome) -> Result<Option<Trace>> {
    match outcome {
        Outcome::Trace(found) => found.map(|trace| Trace::decode(*trace)).transpose(),
        other => unexpected(&other),
    }
}

pub(crate) fn traces_of(outcome: Outcome) -> Result<TracePage> {
    match outcome {
        Outcome::Traces(page) => TracePage::decode(page),
        other => unexpected(&other),
    }
}

pub(crate) fn tree_of(outcome: Outcome) -> Result<TraceTree> {
    match outcome {
        Outcome::Traces(page) => TraceTree::decode(page),
        other => unexpected(&other),
    }
}

pub(crate) fn info_of(outcome: Outcome, run: RunId) -> Result<RunInfo> {
    match outcome {
        Outcome::Run(Some(info)) => Ok(*info),
        Outcome::Run(None) => Err(not_found(run)),
        other => unexpected(&other),
    }
}

/// The refusal for a run that is not there.
pub(crate) fn not_found(run: RunId) -> Error {
    let message = format!("run {run} does not exist: create or begin it first");
    Error::new(ErrorKind::NotFound, message).with_entity(EntityRef::run(run))
}

/// Hands the events of a page to `visit`, and tells how many.
pub(crate) fn visit_events_of(
    outcome: Outcome,
    visit: &mut dyn FnMut(EventRef<'_>),
) -> Result<Versioned<u64>> {
    match outcome {
        Outcome::Events(StoredPage { events, version, timestamp, .. }) => {
            events.iter().for_each(|event| visit(event.as_event_ref()));
            Ok(Versioned { value: events.len() as u64, version, timestamp })
        }
        other => unexpected(&other),
    }
}

/// The same of the keys of a page that was asked for with their values.
pub(crate) fn visit_values_of(outcome: Outcome, visit: &mut dyn FnMut(KeyRef<'_>)) -> Result<Versioned<u64>> {
    match outcome {
        Outcome::Page(KvPage { items, version, timestamp, .. }) => {
            for KvItem { key, value, version, timestamp } in &items {
                let value = value.as_ref().expect("values were asked for");
                visit(KeyRef { key, value, stamp: Stamp { version: *version, timestamp: *timestamp } });
            }
            Ok(Versioned { value: items.len() as u64, version, timestamp })
        }
        other => unexpected(&other),
    }
}

pub(crate) fn receipt_of(outcome: Outcome) -> Result<Option<Receipt>> {
    match outcome {
        Outcome::Receipt(receipt) => Ok(receipt.map(|receipt| *receipt)),
        other => unexpected(&other),
    }
}

pub(crate) fn stat_of(outcome: Outcome) -> Result<Option<Versioned<u64>>> {
    match outcome {
        Outcome::Stat(stat) => Ok(stat),
        other => unexpected(&other),
    }
}

/// What a handle is answered to a write.
pub(crate) fn written_of(outcome: Outcome) -> (Option<Commit>, Effect) {
    match outcome {
        Outcome::Written { commit, effect } => (commit, effect),
        other => unexpected(&other),
    }
}

/// The same to an append of events.
pub(crate) fn appended_of(written: (Option<Commit>, Effect)) -> Option<Appended> {
    match written {
        (Some(commit), Effect::Sequence { first, count }) => {
            Some(Appended { sequence: first, count, commit })
        }
        (None, _) => None,
        (_, effect) => unexpected_effect(&effect),
    }
}

/// The receipt of a write that always changes something.
pub(crate) fn always<R>((receipt, _): (Option<R>, Effect)) -> R {
    receipt.expect("a write that always changes something has a receipt")
}

/// The answer to an append of one event.
pub(crate) fn appended_one<A>(appended: Option<A>) -> A {
    appended.expect("an append of one event appends")
}

/// How many there were, with the receipt if there were some.
pub(crate) fn counted<R>(written: (Option<R>, Effect)) -> (u64, Option<R>) {
    match written {
        (receipt, Effect::Count(count)) => (count, receipt),
        (_, effect) => unexpected_effect(&effect),
    }
}

/// What a number has become.
pub(crate) fn summed<R>(written: (Option<R>, Effect)) -> (i64, R) {
    match written {
        (Some(receipt), Effect::Integer(sum)) => (sum, receipt),
        (_, effect) => unexpected_effect(&effect),
    }
}
