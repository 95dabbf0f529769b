//! A run as it is, or as it was at the version of an open snapshot.
use crate::chunks::Ascending;
use crate::content::Content;
use crate::encoded::Encoded;
use crate::entity::EntityRef;
use crate::entry_log::EntryLog;
use crate::erasure::Erasure;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::event_log::{Anchor, EventLog};
use crate::fork::ForkChanges;
use crate::id::{OperationId, RunId};
use crate::json::Document;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::keys::Keys;
use crate::receipt::{Receipt, Receipts};
use crate::run_meta::RunMeta;
use crate::traces::Traces;
use crate::version::{Stamp, Timestamp, Version};

/// A read-only picture of a whole run at one version.
#[derive(Debug, Clone, Copy)]
pub struct RunView<'a> {
    id: RunId,
    stamp: Stamp,
    content: &'a Content,
    receipts: &'a Receipts,
    /// Whether commits behind `stamp` are in the content and have to be looked past.
    is_old: bool,
}

impl<'a> RunView<'a> {
    /// The run as its newest commit left it.
    pub(crate) fn present(id: RunId, stamp: Stamp, content: &'a Content, receipts: &'a Receipts) -> Self {
        Self { id, stamp, content, receipts, is_old: false }
    }

    /// The run as the commit `stamp` left it; a snapshot has kept what later ones replaced.
    pub(crate) fn at(id: RunId, stamp: Stamp, content: &'a Content, receipts: &'a Receipts) -> Self {
        Self { id, stamp, content, receipts, is_old: true }
    }

    /// The run.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The version and time that everything in this picture is true at.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether the run was not deleted between the two pictures.
    pub(crate) fn is_same_life(&self, other: &RunView<'_>) -> bool {
        std::ptr::eq(self.content, other.content)
    }

    pub(crate) fn meta(&self) -> Option<&'a RunMeta> {
        match self.replaced_meta() {
            Some((meta, _)) => meta.as_deref(),
            None => self.content.meta.as_deref(),
        }
    }

    /// The commit that last changed the description, also of a deleted run.
    pub(crate) fn meta_version(&self) -> Version {
        self.replaced_meta().map_or(self.content.meta_version, |(_, version)| *version)
    }

    /// What it has changed of what it began with, where that was another run.
    pub(crate) fn fork(&self) -> Option<&'a ForkChanges> {
        self.content.fork.as_deref()
    }

    /// Keys and values, or cells.
    pub(crate) fn keys(&self, kind: KeyKind) -> Keys<'a, Encoded> {
        let map = self.content.keys(kind);
        if self.is_old {
            Keys::at(map, self.content.replaced(kind), self.stamp.version)
        } else {
            Keys::present(map)
        }
    }

    /// The commit that last wrote a thing which is there for a reader at `now`; of an aggregate, the newest of the
    /// run.
    pub fn version_of(&self, entity: &EntityRef, now: Timestamp) -> Version {
        let of_key = |kind, key: &str| {
            let entry = self.keys(kind).get(key).filter(|entry| entry.is_live(now));
            entry.map_or(Version::NEVER, |entry| entry.stamp.version)
        };
        match entity {
            EntityRef::Kv { key, .. } => of_key(KeyKind::Kv, key),
            EntityRef::Cell { name, .. } => of_key(KeyKind::Cell, name),
            EntityRef::Json { name, .. } => {
                self.documents().get(name).map_or(Version::NEVER, |entry| entry.stamp.version)
            }
            EntityRef::Event { sequence, .. } => {
                self.event(*sequence).map_or(Version::NEVER, |event| event.stamp.version)
            }
            EntityRef::Trace { id, .. } => {
                self.traces().find(id).map_or(Version::NEVER, |trace| trace.stamp.version)
            }
            EntityRef::Run { .. } => self.stamp.version,
        }
    }

    /// The commit that last changed a thing, its deadline included, whether that has passed or not; of the run itself its description.
    pub fn changed_by(&self, entity: &EntityRef) -> Version {
        match entity {
            EntityRef::Run { .. } => self.meta_version(),
            _ => self.version_of(entity, Timestamp(0)),
        }
    }

    /// The events, with those of commits behind this one.
    fn event_log(&self) -> &'a EventLog {
        let Content { events, past, .. } = self.content;
        let replaced = if self.is_old { past.events.at(&(), self.stamp.version) } else { None };
        replaced.unwrap_or(events)
    }

    /// How many events were ever appended.
    pub(crate) fn event_count(&self) -> u64 {
        let events = self.event_log();
        if self.is_old { events.count_at(self.stamp.version) } else { events.end() }
    }

    /// The first event that is there; their number if there is none.
    pub(crate) fn first_event(&self) -> u64 {
        self.event_log().first()
    }

    /// Refuses the sequence of an event that was removed.
    ///
    /// # Errors
    /// `HistoryTrimmed` names the event and the earliest that is there.
    pub fn check_event_kept(&self, sequence: u64) -> Result<(), Error> {
        let first = self.first_event();
        if sequence >= first {
            return Ok(());
        }
        let message = format!("the run does not keep event {sequence} any more: the earliest is {first}");
        let entity = EntityRef::event(self.id, sequence);
        Err(Error::new(ErrorKind::HistoryTrimmed, message).with_entity(entity))
    }

    /// The first event of that time or behind it; their number if there is none.
    pub(crate) fn first_event_at_or_after(&self, time: Timestamp) -> u64 {
        self.event_log().first_at_or_after(time).min(self.event_count())
    }

    /// What is left of the events in front of the first.
    pub(crate) fn event_anchor(&self) -> &'a Anchor {
        self.event_log().anchor()
    }

    pub(crate) fn event(&self, sequence: u64) -> Option<&'a Event> {
        self.event_log().get(sequence).filter(|event| event.stamp.version <= self.stamp.version)
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &'a Event> + use<'a> {
        let version = self.stamp.version;
        self.event_log().iter().take_while(move |event| event.stamp.version <= version)
    }

    /// How many events of types were removed, of those in one of `count` parts of all types; more types of them come with
    /// commits alone that remove events.
    pub(crate) fn removed_of_kinds(
        &self,
        part: usize,
        count: usize,
    ) -> impl Iterator<Item = (&'a Key, u64)> + use<'a> {
        self.event_log().removed_of_kinds(part, count)
    }

    /// In how many parts types of events lie.
    pub(crate) fn event_kind_part_count(&self) -> usize {
        self.event_log().kind_part_count()
    }

    /// The sequences of all events of a type, ascending.
    pub(crate) fn events_of_kind(&self, kind: &str) -> Ascending<'a> {
        let sequences = self.event_log().of_kind(kind);
        if self.is_old { sequences.below(self.event_count()) } else { sequences }
    }

    /// The hash that the next event is hashed onto.
    pub(crate) fn head_hash(&self) -> [u8; 32] {
        let newest = self.event_count().checked_sub(1).and_then(|newest| self.event(newest));
        newest.map_or(self.event_anchor().hash, |event| event.hash)
    }

    /// What events take together, bytes.
    pub(crate) fn event_size(&self) -> u64 {
        let events = self.event_log();
        let newer = (self.event_count()..events.end()).filter_map(|sequence| events.get(sequence));
        events.size() - newer.map(Event::size).sum::<u64>()
    }

    pub(crate) fn documents(&self) -> Keys<'a, Document> {
        let Content { documents, past, .. } = self.content;
        if self.is_old {
            Keys::at(documents, &past.documents, self.stamp.version)
        } else {
            Keys::present(documents)
        }
    }

    pub(crate) fn traces(&self) -> Traces<'a> {
        let Content { traces, past, .. } = self.content;
        if self.is_old {
            let log = past.trace_logs.at(&(), self.stamp.version).unwrap_or(traces);
            Traces::at(log, &past.traces, self.stamp.version)
        } else {
            Traces::present(traces)
        }
    }

    /// What the write with this id was answered, if it is remembered.
    pub(crate) fn receipt(&self, id: &OperationId) -> Option<&'a Receipt> {
        self.receipts.get(id).filter(|receipt| receipt.commit.version <= self.stamp.version)
    }

    /// What was erased by commits up to this one, oldest first.
    pub(crate) fn erasures(&self) -> &'a [Erasure] {
        let erasures = &self.content.erasures;
        &erasures[..erasures.partition_point(|erasure| erasure.by <= self.stamp.version)]
    }

    /// The first receipt of a commit behind `version`, with its id.
    pub(crate) fn receipt_behind(&self, version: Version) -> Option<(OperationId, &'a Receipt)> {
        let (id, receipt) = self.receipts.behind(version)?;
        (receipt.commit.version <= self.stamp.version).then_some((id, receipt))
    }

    fn replaced_meta(&self) -> Option<&'a (Option<Box<RunMeta>>, Version)> {
        if self.is_old { self.content.past.meta.at(&(), self.stamp.version) } else { None }
    }
}

#[path = "view_share.rs"]
mod share;
