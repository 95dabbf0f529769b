//! What was taken out of a run in memory, so that it can be put back while the commit that erased it may fail.
use crate::content::Content;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::entry::Entry;
use crate::erasure::Erasure;
use crate::event::Event;
use crate::json::Document;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::trace::Trace;
use crate::version::Version;

/// What an erasure took out of a run.
#[derive(Debug, Default)]
#[must_use = "dropping it drops what was erased; keep it for as long as the commit may fail"]
pub struct Redacted(Option<Was>);

#[derive(Debug)]
enum Was {
    Key { kind: KeyKind, key: Key, entry: Entry<Encoded> },
    Event { sequence: u64, event: Box<Event> },
    Trace { place: u64, trace: Box<Trace> },
    Document { name: Key, entry: Entry<Document> },
}

impl Redacted {
    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Content {
    /// Puts the marker in the place of what an erasure covers. Stamps, names and structure stay.
    pub(crate) fn redact(&mut self, erasure: &Erasure) -> Redacted {
        Redacted(match &erasure.entity {
            EntityRef::Kv { key, .. } => self.redact_key(KeyKind::Kv, key, erasure),
            EntityRef::Cell { name, .. } => self.redact_key(KeyKind::Cell, name, erasure),
            EntityRef::Json { name, .. } => self.redact_document(name, erasure),
            EntityRef::Event { sequence, .. } => {
                let event = self.events.redact(*sequence, erasure);
                event.map(|event| {
                    self.note_shared_event(*sequence, &event);
                    Was::Event { sequence: *sequence, event: Box::new(event) }
                })
            }
            EntityRef::Trace { id, .. } => {
                let trace = self.traces.redact(id, erasure);
                trace.map(|(place, trace)| {
                    self.note_shared_trace(place, &trace);
                    Was::Trace { place, trace: Box::new(trace) }
                })
            }
            EntityRef::Run { .. } => None,
        })
    }

    /// Takes note of an event in whose place another one stands, which a fork shares as it did that.
    fn note_shared_event(&mut self, sequence: u64, was: &Event) {
        let now = self.events.get(sequence).map_or(0, Event::memory);
        self.note_shared(was.stamp.version, was.memory(), now);
    }

    /// The same of a trace.
    fn note_shared_trace(&mut self, place: u64, was: &Trace) {
        let now = self.traces.get(place).map_or(0, Trace::memory);
        self.note_shared(was.stamp.version, was.memory(), now);
    }

    fn note_shared(&mut self, version: Version, was: usize, now: usize) {
        if let Some(fork) = &mut self.fork {
            fork.unshare(version, was);
            fork.share(version, now);
        }
    }

    /// Takes back a [`redact`](Self::redact). A fork in memory goes on meanwhile, and what it has written or removed since stays so.
    pub(crate) fn restore(&mut self, redacted: Redacted) {
        match redacted.0 {
            None => {}
            Some(Was::Key { kind, key, entry }) => {
                let held = self.keys(kind).get(&key).filter(|held| held.value.is_erased());
                // Its deadline may have been moved.
                let held = held.filter(|held| held.written() == entry.written());
                let whole = held.map(|held| held.with_value(entry.value));
                whole.into_iter().for_each(|whole| drop(self.put_key(kind, &key, Some(whole), None)));
            }
            Some(Was::Event { sequence, event }) => {
                let held = self.events.get(sequence);
                if held.is_some_and(|held| held.hash == event.hash) {
                    let erased = self.events.replace(sequence, *event);
                    self.note_shared_event(sequence, &erased);
                }
            }
            Some(Was::Trace { place, trace }) => {
                let held = self.traces.get(place).filter(|held| held.id == trace.id);
                if held.is_some_and(|held| held.stamp == trace.stamp) {
                    let erased = self.traces.replace(place, *trace);
                    self.note_shared_trace(place, &erased);
                }
            }
            Some(Was::Document { name, entry }) => {
                let held = self.documents.get(&name).filter(|held| held.value.is_erased());
                if held.is_some_and(|held| held.stamp == entry.stamp) {
                    drop(self.put_document(&name, Some(entry), None, |_| 0));
                }
            }
        }
    }

    /// The hash of an event, if this is one that is there.
    pub(crate) fn event_hash(&self, entity: &EntityRef) -> Option<[u8; 32]> {
        match entity {
            EntityRef::Event { sequence, .. } => self.events.get(*sequence).map(|event| event.hash),
            _ => None,
        }
    }

    fn redact_key(&mut self, kind: KeyKind, key: &Key, erasure: &Erasure) -> Option<Was> {
        let held = self.keys(kind).get(key)?;
        if !erasure.covers(held.written()) || held.value.is_erased() {
            return None;
        }
        let erased = held.with_value(Encoded::erased());
        let (entry, _) = self.put_key(kind, key, Some(erased), None);
        Some(Was::Key { kind, key: key.clone(), entry: entry? })
    }

    fn redact_document(&mut self, name: &Key, erasure: &Erasure) -> Option<Was> {
        let held = self.documents.get(name)?;
        if !erasure.covers_document(name, &held.value) {
            return None;
        }
        let erased = held.with_value(Document::erased(held.stamp));
        let (entry, ..) = self.put_document(name, Some(erased), None, |_| 0);
        Some(Was::Document { name: name.clone(), entry: entry? })
    }
}
