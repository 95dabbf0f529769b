//! What a transaction has looked at: if it is not as it was when the transaction commits, that is a conflict.

use std::collections::BTreeSet;

use strata::{Direction, EntityRef, KvScan, Timestamp, TraceId};

use crate::read::Read;
use crate::state::{Named, State};
use crate::write::Write;

/// One place that was looked at.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Named(Named, String),
    /// Whether something of this name is there.
    Presence(Named, String),
    DocumentPresence(String),
    /// The names of a scan up to the first one that was left out, and with `values` what they hold.
    Range {
        kind: Named,
        scan: KvScan,
        last: Option<String>,
        values: bool,
    },
    Documents {
        scan: KvScan,
        last: Option<String>,
    },
    /// The events behind so many.
    Tail {
        kind: Option<String>,
        from: u64,
    },
    Region {
        name: String,
        path: String,
    },
    Trace(TraceId),
    /// Depends on more than this test foresees: a change of this may be a conflict.
    Traces,
    Document(String),
    Run,
    /// Whether the run takes writes: whatever else a refusal tells, it tells this too.
    Status,
}

/// What a rival's commit means for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Unharmed,
    Unsure,
    Conflict,
}

/// What a transaction has written itself: nobody else decides about that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    keys: BTreeSet<String>,
    cells: BTreeSet<String>,
    documents: BTreeSet<String>,
    traces: BTreeSet<TraceId>,
}

impl Own {
    /// Takes note of what one write has changed.
    pub(crate) fn note(&mut self, before: &State, after: &State) {
        for (kind, own) in [(Named::Key, &mut self.keys), (Named::Cell, &mut self.cells)] {
            let (before, after) = (before.named(kind), after.named(kind));
            let stamp = |name: &String, of: &std::collections::BTreeMap<String, crate::state::Entry>| {
                of.get(name).map(|entry| (entry.stamp, entry.deadline))
            };
            let names = before.keys().chain(after.keys());
            own.extend(names.filter(|name| stamp(name, before) != stamp(name, after)).cloned());
        }
        let newest =
            |state: &State, name: &String| state.documents.get(name).map(|document| document.newest());
        let names = before.documents.keys().chain(after.documents.keys());
        self.documents.extend(names.filter(|name| newest(before, name) != newest(after, name)).cloned());
        let version = |state: &State, id| state.trace(id).map(|trace| trace.version);
        let ids = after.traces.iter().map(|trace| trace.id);
        self.traces.extend(ids.filter(|id| version(before, *id) != version(after, *id)));
    }

    /// The place that a refusal tells of by naming an entity.
    pub(crate) fn place_of(&self, entity: &EntityRef) -> Option<Place> {
        match entity {
            EntityRef::Kv { key, .. } => {
                (!self.keys.contains(&**key)).then(|| Place::Named(Named::Key, key.to_string()))
            }
            EntityRef::Cell { name, .. } => {
                (!self.cells.contains(&**name)).then(|| Place::Named(Named::Cell, name.to_string()))
            }
            EntityRef::Json { name, .. } if self.documents.contains(&**name) => {
                Some(Place::Document(name.to_string()))
            }
            EntityRef::Json { name, .. } => {
                Some(Place::Region { name: name.to_string(), path: String::new() })
            }
            EntityRef::Trace { id, .. } => (!self.traces.contains(id)).then_some(Place::Trace(*id)),
            _ => None,
        }
    }

    fn has(&self, kind: Named, name: &str) -> bool {
        match kind {
            Named::Key => self.keys.contains(name),
            Named::Cell => self.cells.contains(name),
        }
    }
}

impl Read {
    /// The places it looks at in a transaction over `base` that now sees `view`.
    pub(crate) fn places(&self, base: &State, view: &State, own: &Own, now: Timestamp) -> Vec<Place> {
        if view.meta.is_none() {
            return Vec::new();
        }
        let named = |kind, name: &String| {
            (!own.has(kind, name)).then(|| Place::Named(kind, name.clone())).into_iter().collect()
        };
        let range = |kind, scan: &KvScan, values| {
            let last = view.walk(kind, scan, now).get(scan.limit).cloned();
            vec![Place::Range { kind, scan: scan.clone(), last, values }]
        };
        let count = base.events.len() as u64;
        let tail = |kind: Option<&String>, reaches: bool| {
            let place = || Place::Tail { kind: kind.cloned(), from: count };
            reaches.then(place).into_iter().collect::<Vec<_>>()
        };
        match self {
            Read::Get(key) | Read::Exists(key) | Read::Ttl(key) => named(Named::Key, key),
            Read::GetMany(keys) => keys.iter().flat_map(|key| named(Named::Key, key)).collect::<Vec<_>>(),
            Read::Cell(name) | Read::CellTtl(name) => named(Named::Cell, name),
            Read::List(scan) => range(Named::Key, scan, false),
            Read::ListValues(scan) => range(Named::Key, scan, true),
            Read::CellList(scan) => range(Named::Cell, scan, true),
            Read::Count(prefix) => {
                let scan = KvScan { limit: usize::MAX, ..KvScan::prefix(prefix) };
                range(Named::Key, &scan, false)
            }
            Read::Event(sequence) => tail(None, *sequence >= count),
            Read::Events { start, limit, direction: Direction::Forward } => {
                tail(None, start + *limit as u64 >= count)
            }
            Read::Events { start, .. } => tail(None, *start >= count),
            // The transaction's own events move back when others append, of whatever type, and then lie elsewhere of
            // it; but a page forward from 0 is from the beginning, wherever they lie.
            Read::EventsByType { start, direction, .. }
                if *start >= count
                    && view.events.len() as u64 > count
                    && (*start > 0 || *direction == Direction::Reverse) =>
            {
                tail(None, true)
            }
            Read::EventsByType { kind, direction: Direction::Forward, .. } => tail(Some(kind), true),
            Read::EventsByType { kind, start, .. } => tail(Some(kind), *start >= count),
            Read::LastEvents(_) | Read::VerifyChain => tail(None, true),
            Read::EventCount(kind) | Read::EventHead(kind) => tail(kind.as_ref(), true),
            Read::Json { name, .. } if own.documents.contains(name) => vec![Place::Document(name.clone())],
            Read::Json { name, path } => vec![Place::Region { name: name.clone(), path: path.clone() }],
            Read::JsonList(scan) => {
                let last = view.document_names(scan).get(scan.limit).cloned();
                vec![Place::Documents { scan: scan.clone(), last }]
            }
            Read::Trace(id) if own.traces.contains(id) => Vec::new(),
            Read::Trace(id) => vec![Place::Trace(*id)],
            Read::TraceList { .. }
            | Read::TraceChildren { .. }
            | Read::TraceTree { .. }
            | Read::TraceCount(_) => vec![Place::Traces],
            Read::Info | Read::Receipt(_) => vec![Place::Run],
        }
    }
}

impl Write {
    /// The places that it looks at beside writing them.
    pub(crate) fn places(&self, own: &Own) -> Vec<Place> {
        let unless_own = |kind, name: &str, place: fn(Named, String) -> Place| {
            (!own.has(kind, name)).then(|| place(kind, name.to_owned())).into_iter().collect()
        };
        match self {
            Write::Increment { key, .. } | Write::SetDeadline { key, .. } | Write::ClearDeadline(key) => {
                unless_own(Named::Key, key, Place::Named)
            }
            Write::Delete(key) => unless_own(Named::Key, key, Place::Presence),
            Write::CellDelete(name) => unless_own(Named::Cell, name, Place::Presence),
            Write::DeletePrefix(prefix) => {
                let scan = KvScan { limit: usize::MAX, ..KvScan::prefix(prefix) };
                vec![Place::Range { kind: Named::Key, scan, last: None, values: false }]
            }
            // What is copied, moved or merged into depends on more than this test foresees.
            Write::JsonPatch { name, .. } | Write::JsonMerge { name, .. } => {
                vec![Place::Document(name.clone())]
            }
            Write::JsonDelete { name, .. } if own.documents.contains(name) => {
                vec![Place::Document(name.clone())]
            }
            Write::JsonDelete { name, path } => {
                vec![Place::Region { name: name.clone(), path: path.clone() }]
            }
            Write::JsonDestroy(name) if !own.documents.contains(name) => {
                vec![Place::DocumentPresence(name.clone())]
            }
            _ => Vec::new(),
        }
    }
}

impl Place {
    /// Whether what was seen in `was` at `began` is still so in `is` at `now`.
    pub(crate) fn verdict(&self, was: (&State, Timestamp), is: (&State, Timestamp)) -> Verdict {
        if self.facts(was.0, was.1) == self.facts(is.0, is.1) {
            return Verdict::Unharmed;
        }
        match self {
            Place::Traces | Place::Document(_) | Place::Run => Verdict::Unsure,
            _ => Verdict::Conflict,
        }
    }

    fn facts(&self, state: &State, now: Timestamp) -> String {
        match self {
            Place::Named(kind, name) => {
                format!("{:?}", state.live(*kind, name, now).map(|entry| entry.stamp.version))
            }
            Place::Presence(kind, name) => state.live(*kind, name, now).is_some().to_string(),
            Place::DocumentPresence(name) => state.documents.contains_key(name).to_string(),
            Place::Range { kind, scan, last, values } => {
                let names = bounded(state.walk(*kind, scan, now), last.as_ref(), scan.direction);
                let version = |name: &String| state.named(*kind)[name].stamp.version;
                let versions = names.iter().filter(|_| *values).map(version);
                format!("{names:?} {:?}", versions.collect::<Vec<_>>())
            }
            Place::Documents { scan, last } => {
                format!("{:?}", bounded(state.document_names(scan), last.as_ref(), scan.direction))
            }
            Place::Tail { kind, from } => {
                let newer = state.events.iter().filter(|event| event.sequence >= *from);
                newer.filter(|event| kind.as_ref().is_none_or(|kind| *kind == event.kind)).count().to_string()
            }
            Place::Region { name, path } => {
                format!("{:?}", state.documents.get(name).map(|document| document.footing(path)))
            }
            Place::Document(name) => {
                format!("{:?}", state.documents.get(name).map(|document| document.newest().version))
            }
            Place::Trace(id) => format!("{:?}", state.trace(*id).map(|trace| trace.version)),
            Place::Traces => format!("{:?}", state.traces),
            // The version says more than a conflict depends on; what expires changes counts once it is cleaned away.
            Place::Run => format!("{:?}", state.stamp),
            Place::Status => format!("{:?}", state.meta.as_ref().map(|meta| meta.status)),
        }
    }
}

/// The names up to and with the last one that a page has looked at.
fn bounded(names: Vec<String>, last: Option<&String>, direction: Direction) -> Vec<String> {
    let is_within = |name: &String| match (last, direction) {
        (None, _) => true,
        (Some(last), Direction::Forward) => name <= last,
        (Some(last), Direction::Reverse) => name >= last,
    };
    names.into_iter().filter(is_within).collect()
}
