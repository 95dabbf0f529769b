//! What the staged mutations of one commit hide of the run below them.
use crate::encoded::Encoded;
use crate::entry::Entry;
use crate::json::Document;
use crate::key_kind::KeyKind;
use crate::keys::{StagedKeys, StagedOver};
use crate::mutation::Mutation;
use crate::run_meta::RunMeta;
use crate::run_state::{described, written};
use crate::traces::{StagedTraces, TracesOver};
use crate::version::Stamp;
use crate::view::RunView;

/// Indexes over staged mutations, so that reads of a draft see them.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// The staged description; inside, nothing after a deletion.
    meta: Option<Option<Box<RunMeta>>>,
    /// Whether a staged deletion hides everything the run holds.
    pub(crate) hides_content: bool,
    pub(crate) event_count: u64,
    pub(crate) trace_count: u64,
    pub(crate) head_hash: Option<[u8; 32]>,
    /// How many mutations the indexes below know of: blind writes do not pay for them.
    indexed: usize,
    kv: StagedKeys<Encoded>,
    cells: StagedKeys<Encoded>,
    documents: StagedKeys<Document>,
    /// Nothing until a trace is staged, so that other commits do not pay for its indexes.
    traces: Option<Box<StagedTraces>>,
    /// The places of staged events among the mutations.
    pub(crate) events: Vec<usize>,
}

impl Overlay {
    /// Takes in the mutation staged as number `count`, except what [`catch_up`](Self::catch_up) adds when somebody
    /// reads.
    pub(crate) fn note(&mut self, view: &RunView<'_>, mutation: &Mutation, count: usize) {
        match mutation {
            Mutation::KvPut { .. }
            | Mutation::KvDelete { .. }
            | Mutation::KvDeadline { .. }
            | Mutation::CellSet { .. }
            | Mutation::CellDelete { .. }
            | Mutation::JsonWrite { .. }
            | Mutation::JsonDestroy { .. }
            | Mutation::TraceEnd { .. }
            | Mutation::Erase { .. }
            | Mutation::EventErased { .. }
            | Mutation::EventTrim { .. }
            | Mutation::TraceTrim { .. } => {}
            Mutation::TraceRecord { .. } => self.trace_count += 1,
            Mutation::EventAppend { hash, .. } => {
                self.event_count += 1;
                self.head_hash = Some(*hash);
            }
            Mutation::RunDelete { .. } => {
                // What was staged before is deleted with the rest, so the indexes begin behind it.
                *self = Self { meta: Some(None), hides_content: true, indexed: count, ..Self::default() };
            }
            of_meta => {
                let commit = view.stamp().version.next();
                let meta = described(self.meta_over(view), of_meta.clone(), commit);
                self.meta = Some(Some(Box::new(meta)));
            }
        }
    }

    /// Makes staged keys, cells, documents, events and traces readable; `stamp` is that of the commit to come.
    pub(crate) fn catch_up(&mut self, view: &RunView<'_>, mutations: &[Mutation], stamp: Stamp) {
        for (index, mutation) in mutations.iter().enumerate().skip(self.indexed) {
            match mutation {
                Mutation::KvPut { key, value, deadline, .. } => {
                    let entry = Entry::new(value.clone(), stamp, *deadline);
                    self.kv.insert(key.clone(), Some(entry));
                }
                Mutation::KvDelete { key, .. } => drop(self.kv.insert(key.clone(), None)),
                Mutation::KvDeadline { key, deadline, .. } => {
                    let held = self.keys_over(KeyKind::Kv, view).get(key);
                    let held = held.expect("a deadline is given to a key that is there");
                    let entry = Entry::kept(held.value.clone(), stamp, *deadline, held.written());
                    self.kv.insert(key.clone(), Some(entry));
                }
                Mutation::CellSet { name, value, deadline, .. } => {
                    let entry = Entry::new(value.clone(), stamp, *deadline);
                    self.cells.insert(name.clone(), Some(entry));
                }
                Mutation::CellDelete { name, .. } => drop(self.cells.insert(name.clone(), None)),
                Mutation::JsonWrite { name, write, .. } => {
                    let held = self.documents_over(view).get(name);
                    let value = written(held.map(|entry| &entry.value), write, stamp);
                    self.documents.insert(name.clone(), Some(Entry::new(value, stamp, None)));
                }
                Mutation::JsonDestroy { name, .. } => drop(self.documents.insert(name.clone(), None)),
                Mutation::EventAppend { .. } => self.events.push(index),
                Mutation::TraceRecord { trace } => {
                    self.traces.get_or_insert_default().record(trace, stamp);
                }
                Mutation::TraceEnd { id, ended, body, .. } => {
                    let base = (!self.hides_content).then(|| view.traces());
                    self.traces.get_or_insert_default().end(base, id, *ended, body, stamp);
                }
                _ => {}
            }
        }
        self.indexed = mutations.len();
    }

    pub(crate) fn meta_over<'d>(&'d self, view: &RunView<'d>) -> Option<&'d RunMeta> {
        match &self.meta {
            Some(staged) => staged.as_deref(),
            None => view.meta(),
        }
    }

    pub(crate) fn documents_over<'d>(&'d self, view: &RunView<'d>) -> StagedOver<'d, Document> {
        let base = if self.hides_content { None } else { Some(view.documents()) };
        StagedOver::new(base, &self.documents)
    }

    pub(crate) fn traces_over<'d>(&'d self, view: &RunView<'d>) -> TracesOver<'d> {
        let base = (!self.hides_content).then(|| view.traces());
        TracesOver::new(base, self.traces.as_deref())
    }

    /// Keys and values, or cells, with what is staged over them.
    pub(crate) fn keys_over<'d>(&'d self, kind: KeyKind, view: &RunView<'d>) -> StagedOver<'d, Encoded> {
        let base = if self.hides_content { None } else { Some(view.keys(kind)) };
        let staged = match kind {
            KeyKind::Kv => &self.kv,
            KeyKind::Cell => &self.cells,
        };
        StagedOver::new(base, staged)
    }
}
