//! A read as this test speaks of it, how it is asked of a store, and what comes back.

use std::time::Duration;

use strata::{
    ChainReport, Commit, Direction, Effect, Event, EventPage, KeyPage, KvScan, OperationId, Reads, Result,
    RunInfo, Trace, TraceFilter, TraceId, TracePage, TraceTree, Value, ValuePage, Versioned,
};

/// One read of a run.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Get(String),
    GetMany(Vec<String>),
    Exists(String),
    Ttl(String),
    List(KvScan),
    ListValues(KvScan),
    Count(String),
    Event(u64),
    Events { start: u64, limit: usize, direction: Direction },
    LastEvents(usize),
    EventsByType { kind: String, start: u64, limit: usize, direction: Direction },
    EventCount(Option<String>),
    EventHead(Option<String>),
    VerifyChain,
    Cell(String),
    CellTtl(String),
    CellList(KvScan),
    Json { name: String, path: String },
    JsonList(KvScan),
    Trace(TraceId),
    TraceList { filter: TraceFilter, start: Option<u64>, limit: usize, direction: Direction },
    TraceChildren { id: TraceId, start: Option<u64>, limit: usize },
    TraceTree { id: TraceId, limit: usize },
    TraceCount(Option<String>),
    Info,
    Receipt(OperationId),
}

/// What a read gives. Hashes of events and sizes are left zero: they are looked at elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Value(Option<Versioned<Value>>),
    Values(Versioned<Vec<Option<Versioned<Value>>>>),
    Flag(Versioned<bool>),
    Ttl(Option<Versioned<Option<Duration>>>),
    Keys(KeyPage),
    Items(ValuePage),
    Number(Versioned<u64>),
    Event(Option<Event>),
    Events(EventPage),
    Chain(ChainReport),
    Trace(Box<Option<Trace>>),
    Traces(TracePage),
    Tree(TraceTree),
    Info(Box<RunInfo>),
    Receipt(Option<(Commit, Vec<Effect>)>),
}

impl Read {
    /// Asks it of a run, a transaction, a snapshot or a closure's scope.
    pub(crate) fn ask<R: Reads>(&self, run: &R) -> Result<Seen> {
        Ok(match self {
            Read::Get(key) => Seen::Value(run.get(key)?),
            Read::GetMany(keys) => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                Seen::Values(run.get_many(&keys)?)
            }
            Read::Exists(key) => Seen::Flag(run.exists(key)?),
            Read::Ttl(key) => Seen::Ttl(run.ttl(key)?),
            Read::List(scan) => Seen::Keys(run.list(scan)?),
            Read::ListValues(scan) => Seen::Items(run.list_values(scan)?),
            Read::Count(prefix) => Seen::Number(run.count(prefix)?),
            Read::Event(sequence) => Seen::Event(run.event(*sequence)?.map(without_hash)),
            Read::Events { start, limit, direction } => {
                Seen::Events(without_hashes(run.events(*start, *limit, *direction)?))
            }
            Read::LastEvents(limit) => Seen::Events(without_hashes(run.last_events(*limit)?)),
            Read::EventsByType { kind, start, limit, direction } => {
                Seen::Events(without_hashes(run.events_by_type(kind, *start, *limit, *direction)?))
            }
            Read::EventCount(None) => Seen::Number(run.event_count()?),
            Read::EventCount(Some(kind)) => Seen::Number(run.event_count_of(kind)?),
            Read::EventHead(None) => Seen::Event(run.event_head()?.map(without_hash)),
            Read::EventHead(Some(kind)) => Seen::Event(run.event_head_of(kind)?.map(without_hash)),
            Read::VerifyChain => Seen::Chain(run.verify_chain()?),
            Read::Cell(name) => Seen::Value(run.cell_read(name)?),
            Read::CellTtl(name) => Seen::Ttl(run.cell_ttl(name)?),
            Read::CellList(scan) => Seen::Items(run.cell_list(scan)?),
            Read::Json { name, path } => Seen::Value(run.json_get(name, path)?),
            Read::JsonList(scan) => Seen::Keys(run.json_list(scan)?),
            Read::Trace(id) => Seen::Trace(Box::new(run.trace_get(*id)?)),
            Read::TraceList { filter, start, limit, direction } => {
                Seen::Traces(run.trace_list(filter, *start, *limit, *direction)?)
            }
            Read::TraceChildren { id, start, limit } => {
                Seen::Traces(run.trace_children(*id, *start, *limit)?)
            }
            Read::TraceTree { id, limit } => Seen::Tree(run.trace_tree(*id, *limit)?),
            Read::TraceCount(kind) => Seen::Number(run.trace_count(kind.as_deref())?),
            Read::Info => Seen::Info(Box::new(RunInfo { size: 0, ..run.info()? })),
            Read::Receipt(id) => {
                Seen::Receipt(run.receipt(*id)?.map(|receipt| (receipt.commit, receipt.effects)))
            }
        })
    }
}

impl Seen {
    /// What is left when everything is taken away that other commits may change without changing what was read: the
    /// version a page is true at, and times.
    pub(crate) fn essence(&self) -> String {
        let of = |found: &Option<Versioned<Value>>| {
            found.as_ref().map(|found| (found.value.clone(), found.version))
        };
        match self {
            Seen::Value(found) => format!("{:?}", of(found)),
            Seen::Values(found) => format!("{:?}", found.value.iter().map(of).collect::<Vec<_>>()),
            Seen::Flag(flag) => format!("{:?}", flag.value),
            Seen::Ttl(found) => {
                let facts = found.as_ref().map(|found| (found.version, found.value.is_some()));
                format!("{facts:?}")
            }
            Seen::Keys(page) => format!("{:?} {:?}", page.keys, page.next),
            Seen::Items(page) => {
                let items = page.items.iter().map(|(key, found)| (key, &found.value, found.version));
                format!("{:?} {:?}", items.collect::<Vec<_>>(), page.next)
            }
            Seen::Number(number) => format!("{:?}", number.value),
            Seen::Event(event) => format!("{:?}", event.iter().map(essence_of_event).collect::<Vec<_>>()),
            Seen::Events(page) => {
                let events = page.events.iter().map(essence_of_event);
                format!("{:?} {:?}", events.collect::<Vec<_>>(), page.next.is_some())
            }
            Seen::Chain(report) => format!("{} {}", report.valid, report.length),
            Seen::Trace(found) => format!("{:?}", found.iter().map(essence_of_trace).collect::<Vec<_>>()),
            Seen::Traces(page) => {
                format!(
                    "{:?} {:?}",
                    page.traces.iter().map(essence_of_trace).collect::<Vec<_>>(),
                    page.next.is_some()
                )
            }
            Seen::Tree(tree) => {
                let nodes = tree.nodes.iter().map(|(depth, trace)| (depth, essence_of_trace(trace)));
                format!("{:?} {}", nodes.collect::<Vec<_>>(), tree.is_cut)
            }
            Seen::Info(info) => {
                format!("{:?} {:?} {:?} {:?}", info.status, info.tags, info.metadata, info.event_count)
            }
            Seen::Receipt(receipt) => format!("{receipt:?}"),
        }
    }
}

// The place of an own event or trace is provisional, and so is everything about when.
fn essence_of_event(event: &Event) -> String {
    format!("{} {:?} {}", event.kind, event.payload, event.version)
}

fn essence_of_trace(trace: &Trace) -> String {
    let Trace { id, parent, content, tags, metadata, usage, ended, version, .. } = trace;
    format!("{id} {parent:?} {content:?} {tags:?} {metadata:?} {usage:?} {} {version}", ended.is_some())
}

fn without_hash(event: Event) -> Event {
    Event { hash: [0; 32], ..event }
}

fn without_hashes(page: EventPage) -> EventPage {
    EventPage { events: page.events.into_iter().map(without_hash).collect(), ..page }
}
