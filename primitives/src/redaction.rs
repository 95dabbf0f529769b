//! Takes what is erased out of what a run was written to: its records, and its images.
use crate::commit_reads::CommitReads;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::erasure::{Erasure, marker_for};
use crate::erasures::Erasures;
use crate::event::payload_digest;
use crate::id::RunId;
use crate::image::ImageEntry;
use crate::json::{Document, JsonWrite};
use crate::key::Key;
use crate::mutation::Mutation;
use crate::run_state::RunState;
use crate::version::Version;
use foldhash::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

/// What is to be taken out of a run, and what is known of the run by what was seen of it so far.
///
/// Those of its erasures that are of another run are inherited from that, as far back as the run began.
#[derive(Debug, Clone)]
pub struct Redaction {
    erasures: Arc<Erasures>,
    /// Versions at which it is known which documents are erased, the oldest first.
    known: VecDeque<(Version, HashSet<Key>)>,
    /// Documents that were erased at the last of these, and not put whole since: what is written in them may be a copy of their parts.
    derived_documents: HashSet<Key>,
    /// Which event the next one of an image is, where that is known.
    next_event: Option<u64>,
    /// Images have all of the run, whatever it began as.
    is_flat: bool,
}

impl Redaction {
    /// These erasures, for this run.
    pub fn new(run: RunId, erasures: Vec<Erasure>) -> Self {
        Self {
            erasures: Arc::new(Erasures::new(run, erasures)),
            known: VecDeque::new(),
            derived_documents: HashSet::default(),
            next_event: None,
            is_flat: false,
        }
    }

    /// The same for images that have all of the run, [whatever it began as](crate::ImageWalk::flat).
    pub fn flat(run: RunId, erasures: Vec<Erasure>) -> Self {
        Self { is_flat: true, ..Self::new(run, erasures) }
    }

    /// Whether it has to [know](Self::know) what the run was where its mutations begin.
    pub fn needs_to_know(&self) -> bool {
        self.erasures.inherited_documents().next().is_some()
    }

    /// The run was this at a version, or at its beginning as a fork: what it wrote from there on in documents that are erased goes
    /// as well. Versions come in their order, and before mutations.
    pub fn know(&mut self, version: Version, was: &RunState) {
        let inherited = self.erasures.inherited_documents();
        let erased = inherited.filter(|(name, erasure)| was.is_document_erased(name, erasure));
        let erased = erased.map(|(name, _)| name.clone()).collect();
        self.known.push_back((version, erased));
    }

    /// What the run was where its mutations begin is not known: every document of which it inherited something that is erased is taken
    /// for one.
    pub fn know_nothing(&mut self) {
        let inherited = self.erasures.inherited_documents();
        self.derived_documents = inherited.map(|(name, _)| name.clone()).collect();
    }

    /// A document was put whole, or was not there, where its mutations begin.
    pub fn know_whole(&mut self, name: &str) {
        self.derived_documents.remove(name);
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.erasures.run()
    }

    /// The same mutation without what is erased of it; nothing where it stays as it is. Those of the run come in their order.
    pub fn mutation(&mut self, mutation: &Mutation, version: Version) -> Option<Mutation> {
        while let Some((_, documents)) = self.known.pop_front_if(|(known, _)| *known < version) {
            self.derived_documents = documents;
        }
        let entity = mutation.entity(self.run());
        let is_erased = self.erasures.covers(&entity, version);
        match mutation {
            Mutation::KvPut { key, value, deadline, previous } => {
                let value = marker_for(value, is_erased)?;
                let (key, deadline, previous) = (key.clone(), *deadline, *previous);
                Some(Mutation::KvPut { key, value, deadline, previous })
            }
            Mutation::CellSet { name, value, deadline, previous } => {
                let value = marker_for(value, is_erased)?;
                let (name, deadline, previous) = (name.clone(), *deadline, *previous);
                Some(Mutation::CellSet { name, value, deadline, previous })
            }
            Mutation::EventAppend { sequence, kind, payload, salt, hash } => {
                is_erased.then(|| Mutation::EventErased {
                    sequence: *sequence,
                    kind: kind.alone(),
                    digest: payload_digest(payload, salt),
                    hash: *hash,
                })
            }
            Mutation::TraceRecord { trace } => {
                let body = marker_for(&trace.body, is_erased)?;
                let mut trace = trace.clone();
                trace.body = body;
                Some(Mutation::TraceRecord { trace })
            }
            Mutation::TraceEnd { id, ended, body, previous } => {
                // It holds what the trace began with, which another commit wrote.
                let is_erased = is_erased || self.erasures.covers(&entity, *previous);
                let (id, ended, previous) = (*id, *ended, *previous);
                Some(Mutation::TraceEnd { id, ended, body: marker_for(body, is_erased)?, previous })
            }
            Mutation::JsonWrite { name, write, previous } => {
                if matches!(write, JsonWrite::Put { .. }) {
                    self.derived_documents.remove(name);
                }
                let is_derived = self.derived_documents.contains(name);
                let is_whole_marker = matches!(write, JsonWrite::Put { value } if value.is_erased());
                let write = JsonWrite::Put { value: Encoded::erased() };
                ((is_erased || is_derived) && !is_whole_marker).then(|| Mutation::JsonWrite {
                    name: name.clone(),
                    write,
                    previous: *previous,
                })
            }
            Mutation::JsonDestroy { name, .. } => {
                self.derived_documents.remove(name);
                None
            }
            _ => None,
        }
    }

    /// What a commit had read without the paths in documents of which something is erased: they are words of these. Nothing where it
    /// stays as it is.
    pub fn reads(&self, reads: &CommitReads) -> Option<CommitReads> {
        reads.without_paths(|name| !self.erasures.of(&EntityRef::json(self.run(), name.clone())).is_empty())
    }

    /// The same entry of an image without what is erased of it; nothing where it stays as it is. Those of an image come in their
    /// order.
    pub fn entry(&mut self, entry: &ImageEntry) -> Option<ImageEntry> {
        let sequence = self.pass_event(entry);
        let (run, erasures) = (self.run(), &self.erasures);
        match entry {
            ImageEntry::Key { stamp, deadline, key, value } => {
                let is_erased = erasures.covers(&EntityRef::Kv { run, key: key.clone() }, stamp.version);
                let value = marker_for(value, is_erased)?;
                Some(ImageEntry::Key { stamp: *stamp, deadline: *deadline, key: key.clone(), value })
            }
            ImageEntry::KeptKey { written, stamp, deadline, key, value } => {
                let is_erased = erasures.covers(&EntityRef::Kv { run, key: key.clone() }, *written);
                let value = marker_for(value, is_erased)?;
                let (written, stamp, deadline, key) = (*written, *stamp, *deadline, key.clone());
                Some(ImageEntry::KeptKey { written, stamp, deadline, key, value })
            }
            ImageEntry::Cell { stamp, deadline, name, value } => {
                let is_erased = erasures.covers(&EntityRef::Cell { run, name: name.clone() }, stamp.version);
                let value = marker_for(value, is_erased)?;
                Some(ImageEntry::Cell { stamp: *stamp, deadline: *deadline, name: name.clone(), value })
            }
            ImageEntry::Document { stamp, name, document } => {
                let is_erased = |erasure: &Erasure| erasure.covers_document(name, document);
                let of_it = erasures.of(&EntityRef::Json { run, name: name.clone() });
                of_it.iter().any(is_erased).then(|| ImageEntry::Document {
                    stamp: *stamp,
                    name: name.clone(),
                    document: Document::erased(*stamp),
                })
            }
            ImageEntry::Event { stamp, salt, hash, kind, payload } => {
                // Of one that had been removed when it was erased the hash is not known.
                let of_it =
                    sequence.map_or(&[][..], |sequence| erasures.of(&EntityRef::event(run, sequence)));
                let is_removed = |erasure: &Erasure| erasure.event_hash.is_none();
                let is_erased = |erasure| is_removed(erasure) && erasure.covers(stamp.version);
                (erasures.has_event(hash) || of_it.iter().any(is_erased)).then(|| ImageEntry::EventErased {
                    stamp: *stamp,
                    digest: payload_digest(payload, salt),
                    hash: *hash,
                    kind: kind.alone(),
                })
            }
            ImageEntry::Trace { trace } => {
                let of_it = erasures.of(&EntityRef::trace(run, trace.id));
                let is_erased = of_it.iter().any(|erasure| erasure.covers_trace(trace));
                let body = marker_for(&trace.body, is_erased)?;
                let mut trace = trace.clone();
                trace.body = body;
                Some(ImageEntry::Trace { trace })
            }
            ImageEntry::Ended { stamp, recorded, id, ended, body } => {
                // Another trace may have had the id, in the run that it was forked from as well.
                let is_of_what_began = |erasure: &Erasure| match *recorded {
                    Version::NEVER => erasures.is_inherited(erasure),
                    recorded => erasure.covers(recorded),
                };
                let is_erased =
                    |erasure: &Erasure| erasure.covers(stamp.version) || is_of_what_began(erasure);
                let of_it = erasures.of(&EntityRef::trace(run, *id));
                let body = marker_for(body, of_it.iter().any(is_erased))?;
                let (stamp, recorded, id, ended) = (*stamp, *recorded, *id, *ended);
                Some(ImageEntry::Ended { stamp, recorded, id, ended, body })
            }
            _ => None,
        }
    }

    /// The sequence of an event as it is passed. An older image of a fork does not tell where its events begin.
    fn pass_event(&mut self, entry: &ImageEntry) -> Option<u64> {
        match entry {
            ImageEntry::Head { meta, .. } => {
                let began =
                    meta.as_ref().is_some_and(|meta| meta.forked_from.is_some() || meta.imported.is_some());
                self.next_event = (self.is_flat || !began).then_some(0);
                None
            }
            ImageEntry::EventsBegin { next, .. } => {
                self.next_event = Some(*next);
                None
            }
            ImageEntry::Event { .. } | ImageEntry::EventErased { .. } => {
                let sequence = self.next_event?;
                self.next_event = sequence.checked_add(1);
                Some(sequence)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::ForkPoint;
    use crate::run_meta::RunMeta;
    use crate::trace_id::TraceId;
    use crate::version::Stamp;

    /// Of an event that had been removed only the sequence is known: in an archive of a fork that does not tell where events begin, as
    /// older versions wrote it, it was not found, and stayed there.
    #[test]
    fn an_event_is_found_by_its_sequence_in_an_image_that_is_whole() {
        let run = RunId::from_bytes([1; 16]);
        let (from, through, by) = (Version(1), Version(9), Version(12));
        let entity = EntityRef::event(run, 1);
        let erasures = [Erasure { entity, from, through, by, event_hash: None, reason: "asked for".into() }];
        let point = ForkPoint { run: RunId::from_bytes([2; 16]), version: Version(1) };
        let meta = Some(Box::new(RunMeta { forked_from: Some(point), ..RunMeta::plain() }));
        let stamp = Stamp { version: Version(9), ..Stamp::default() };
        let head = ImageEntry::Head { stamp, meta_version: Version(2), meta };
        let (salt, hash) = ([0; 16], [7; 32]);
        let event = ImageEntry::Event { stamp, salt, hash, kind: "k".into(), payload: Encoded::from_int(1) };
        let erased = |mut redaction: Redaction| {
            [&head, &event, &event, &event].map(|entry| redaction.entry(entry).is_some())
        };
        assert_eq!(erased(Redaction::flat(run, erasures.to_vec())), [false, false, true, false]);
        assert_eq!(erased(Redaction::new(run, erasures.to_vec())), [false; 4], "these may be any");
    }

    /// A run that has removed a trace may give its id again. What is erased of the second one was taken out of the ends that forks had given
    /// to the first.
    #[test]
    fn the_end_that_a_fork_gave_a_trace_is_erased_with_that_and_with_no_other_of_its_id() {
        let (parent, fork) = (RunId::from_bytes([1; 16]), RunId::from_bytes([2; 16]));
        let id = TraceId::from_bytes([3; 16]);
        let (ended, body) = (crate::version::Timestamp(9), Encoded::from_int(1));
        let erased = |run: RunId, from, through| {
            let (entity, by) = (EntityRef::trace(run, id), Version(20));
            let (from, through) = (Version(from), Version(through));
            let erasure = Erasure { entity, from, through, by, event_hash: None, reason: "asked for".into() };
            let mut redaction = Redaction::new(fork, vec![erasure]);
            let end = Mutation::TraceEnd { id, ended, body: body.clone(), previous: Version(2) };
            let of_record = redaction.mutation(&end, Version(7)).is_some();
            let stamp = Stamp { version: Version(7), ..Stamp::default() };
            let [of_image, of_older] = [Version(2), Version::NEVER].map(|recorded| {
                let end = ImageEntry::Ended { stamp, recorded, id, ended, body: body.clone() };
                redaction.entry(&end).is_some()
            });
            [of_record, of_image, of_older]
        };
        // It was recorded by commit 2 of the parent, the fork began behind 4 and ended it with its commit 7.
        assert_eq!(erased(parent, 1, 4), [true; 3]);
        assert_eq!(erased(parent, 3, 4), [false, false, true], "an older image does not tell which it was");
        assert_eq!(erased(fork, 5, 9), [true; 3], "the fork's own commits");
        assert_eq!(erased(fork, 8, 9), [false; 3]);
    }
}
