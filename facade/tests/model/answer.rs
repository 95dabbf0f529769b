//! What a run in its plainest form answers to a read.

use std::collections::BTreeMap;
use std::time::Duration;

use strata::{
    ChainReport, Direction, ErrorKind, Event, EventPage, KeyPage, KvScan, Namespace, RunInfo, RunStatus,
    Stamp, Timestamp, TraceFilter, Value, ValuePage, Versioned,
};

use crate::read::{Read, Seen};
use crate::state::{Entry, Named, Refusal, State};

/// Who looks: at what time, and which boots did not end in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eye {
    pub(crate) now: Timestamp,
    pub(crate) unclean_through: u64,
}

impl State {
    pub(crate) fn answer(&self, read: &Read, eye: Eye) -> Result<Seen, Refusal> {
        if self.meta.is_none() {
            return Err(self.of_run(ErrorKind::NotFound));
        }
        let now = eye.now;
        Ok(match read {
            Read::Get(key) => Seen::Value(self.value(Named::Key, key, now)),
            Read::GetMany(keys) => {
                let values = keys.iter().map(|key| self.value(Named::Key, key, now));
                Seen::Values(self.present(values.collect()))
            }
            Read::Exists(key) => {
                let live = self.live(Named::Key, key, now);
                Seen::Flag(live.map_or_else(|| self.present(false), |entry| stamped(true, entry.stamp)))
            }
            Read::Ttl(key) => Seen::Ttl(self.ttl(Named::Key, key, now)),
            Read::List(scan) => Seen::Keys(self.key_page(self.walk(Named::Key, scan, now), scan.limit)),
            Read::ListValues(scan) => Seen::Items(self.value_page(Named::Key, scan, now)),
            Read::Count(prefix) => {
                let scan = KvScan::prefix(prefix);
                Seen::Number(self.present(self.walk(Named::Key, &scan, now).len() as u64))
            }
            Read::Cell(name) => Seen::Value(self.value(Named::Cell, name, now)),
            Read::CellTtl(name) => Seen::Ttl(self.ttl(Named::Cell, name, now)),
            Read::CellList(scan) => Seen::Items(self.value_page(Named::Cell, scan, now)),
            Read::Json { name, path } => {
                let found = self.documents.get(name).and_then(|document| document.get(path));
                Seen::Value(found.map(|(value, stamp)| stamped(value, stamp)))
            }
            Read::JsonList(scan) => Seen::Keys(self.key_page(self.document_names(scan), scan.limit)),
            Read::Info => Seen::Info(Box::new(self.info(eye))),
            Read::Receipt(id) => Seen::Receipt(self.receipt(*id).cloned()),
            Read::Trace(id) => Seen::Trace(Box::new(self.trace(*id).cloned())),
            Read::TraceList { filter, start, limit, direction } => {
                Seen::Traces(self.list_traces(filter, *start, *limit, *direction))
            }
            Read::TraceChildren { id, start, limit } => {
                let filter = TraceFilter { parent: Some(*id), ..TraceFilter::default() };
                Seen::Traces(self.list_traces(&filter, *start, *limit, Direction::Forward))
            }
            Read::TraceTree { id, limit } => Seen::Tree(self.trace_tree(*id, *limit)),
            Read::TraceCount(kind) => {
                let is_counted = |of: &str| kind.as_ref().is_none_or(|kind| kind == of);
                let count = self.traces.iter().filter(|trace| is_counted(trace.content.kind())).count();
                Seen::Number(self.present(count as u64))
            }
            events => self.answer_events(events),
        })
    }

    fn answer_events(&self, read: &Read) -> Seen {
        let all = || self.events.iter();
        let of_kind = |kind: &Option<String>| {
            let kind = kind.clone();
            all().filter(move |event| kind.as_ref().is_none_or(|kind| *kind == event.kind))
        };
        match read {
            Read::Event(sequence) => Seen::Event(self.events.get(*sequence as usize).cloned()),
            Read::Events { start, limit, direction } => {
                Seen::Events(self.event_page(all(), *start, *limit, *direction))
            }
            Read::LastEvents(limit) => {
                Seen::Events(self.event_page(all(), u64::MAX, *limit, Direction::Reverse))
            }
            Read::EventsByType { kind, start, limit, direction } => {
                let events = of_kind(&Some(kind.clone()));
                Seen::Events(self.event_page(events, *start, *limit, *direction))
            }
            Read::EventCount(kind) => Seen::Number(self.present(of_kind(kind).count() as u64)),
            Read::EventHead(kind) => Seen::Event(of_kind(kind).next_back().cloned()),
            Read::VerifyChain => {
                let (length, Stamp { version, timestamp }) = (self.events.len() as u64, self.stamp);
                Seen::Chain(ChainReport {
                    valid: true,
                    first: 0,
                    length,
                    first_invalid: None,
                    erased: 0,
                    version,
                    timestamp,
                })
            }
            other => unreachable!("{other:?} is about no event"),
        }
    }

    fn event_page<'a>(
        &self,
        events: impl DoubleEndedIterator<Item = &'a Event>,
        start: u64,
        limit: usize,
        direction: Direction,
    ) -> EventPage {
        let mut wanted: Vec<Event> = match direction {
            Direction::Forward => events.filter(|event| event.sequence >= start).cloned().collect(),
            Direction::Reverse => events.rev().filter(|event| event.sequence <= start).cloned().collect(),
        };
        let next = wanted.get(limit).map(|event| event.sequence);
        wanted.truncate(limit);
        let Stamp { version, timestamp } = self.stamp;
        EventPage { events: wanted, next, version, timestamp }
    }

    fn value(&self, kind: Named, name: &str, now: Timestamp) -> Option<Versioned<Value>> {
        self.live(kind, name, now).map(|entry| stamped(entry.value.clone(), entry.stamp))
    }

    fn ttl(&self, kind: Named, name: &str, now: Timestamp) -> Option<Versioned<Option<Duration>>> {
        let left = |deadline: Timestamp| Duration::from_micros(deadline.0 - now.0);
        self.live(kind, name, now).map(|entry| stamped(entry.deadline.map(left), entry.stamp))
    }

    /// Every live key of a scan in its order, however long a page is.
    pub(crate) fn walk(&self, kind: Named, scan: &KvScan, now: Timestamp) -> Vec<String> {
        let live: BTreeMap<_, _> = self.named(kind).iter().filter(|(_, entry)| entry.is_live(now)).collect();
        walk(&live, scan).into_iter().collect()
    }

    /// The same for the names of documents.
    pub(crate) fn document_names(&self, scan: &KvScan) -> Vec<String> {
        walk(&self.documents, scan)
    }

    fn key_page(&self, mut keys: Vec<String>, limit: usize) -> KeyPage {
        let next = (keys.len() > limit).then(|| keys[limit - 1].clone());
        keys.truncate(limit);
        let Stamp { version, timestamp } = self.stamp;
        KeyPage { keys, next, version, timestamp }
    }

    fn value_page(&self, kind: Named, scan: &KvScan, now: Timestamp) -> ValuePage {
        let KeyPage { keys, next, version, timestamp } =
            self.key_page(self.walk(kind, scan, now), scan.limit);
        let entry_of = |key: String| {
            let Entry { value, stamp, .. } = &self.named(kind)[&key];
            (key, stamped(value.clone(), *stamp))
        };
        ValuePage { items: keys.into_iter().map(entry_of).collect(), next, version, timestamp }
    }

    pub(crate) fn info(&self, eye: Eye) -> RunInfo {
        let meta = self.meta.as_ref().expect("a run that is missing has no description");
        RunInfo {
            id: self.id,
            name: Some(meta.name.clone()),
            namespace: Namespace::default(),
            parent: None,
            tags: meta.tags.clone(),
            metadata: meta.metadata.clone(),
            status: meta.status,
            created: meta.created,
            begun_in_boot: meta.boot,
            durability: None,
            retention: None,
            event_retention: None,
            trace_retention: None,
            forked_from: None,
            version: self.stamp.version,
            timestamp: self.stamp.timestamp,
            kv_count: self.keys.len() as u64,
            event_count: self.events.len() as u64,
            cell_count: self.cells.len() as u64,
            document_count: self.documents.len() as u64,
            trace_count: self.traces.len() as u64,
            size: 0,
            orphaned: meta.status == RunStatus::Active && meta.boot <= eye.unclean_through,
        }
    }

    /// What keys, cells, events and documents take together, bytes.
    pub(crate) fn size(&self) -> u64 {
        let entries = self.keys.iter().chain(&self.cells);
        let entries: usize = entries.map(|(name, entry)| name.len() + size_of(&entry.value)).sum();
        let events: usize = self.events.iter().map(|event| event.kind.len() + size_of(&event.payload)).sum();
        let documents = self.documents.iter();
        let documents: usize =
            documents.map(|(name, document)| name.len() + size_of(&document.value())).sum();
        (entries + events + documents) as u64
    }

    fn present<T>(&self, value: T) -> Versioned<T> {
        stamped(value, self.stamp)
    }
}

fn stamped<T>(value: T, stamp: Stamp) -> Versioned<T> {
    Versioned { value, version: stamp.version, timestamp: stamp.timestamp }
}

fn walk<K: AsRef<str> + Ord, V>(entries: &BTreeMap<K, V>, scan: &KvScan) -> Vec<String> {
    let names = entries.keys().map(|name| name.as_ref().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(&scan.prefix)).collect();
    if scan.direction == Direction::Reverse {
        names.reverse();
    }
    let is_ahead = |name: &String| match (&scan.start_after, scan.direction) {
        (None, _) => true,
        (Some(seen), Direction::Forward) => name > seen,
        (Some(seen), Direction::Reverse) => name < seen,
    };
    names.retain(is_ahead);
    names
}

/// The bytes of a value's canonical encoding.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Erased => 1,
        Value::Int(_) | Value::Float(_) => 9,
        Value::String(text) => 5 + text.len(),
        Value::Bytes(bytes) => 5 + bytes.len(),
        Value::Array(items) => 5 + items.iter().map(size_of).sum::<usize>(),
        Value::Object(members) => {
            5 + members.iter().map(|(name, value)| 4 + name.len() + size_of(value)).sum::<usize>()
        }
    }
}
