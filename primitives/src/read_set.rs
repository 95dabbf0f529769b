//! What a transaction has read, and whether commits behind its snapshot have changed it.
//!
//! A read is remembered as the place it looked at, not as what it found: what commits replaced since is in the run's
//! past, so a place is looked up there. Scanned ranges, absences and tails are places too, which is what keeps
//! phantoms out (precision locking; Jordan, Banerjee, Batman, SIGMOD 1981).
use crate::changed_keys::{ChangedKeys, KeyChange};
use crate::draft::{Draft, KEPT_COUNT_MAX};
use crate::entity::EntityRef;
use crate::entry::Entry;
use crate::error::{Error, ErrorKind};
use crate::id::OperationId;
use crate::json::{Document, Pointer};
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::key_range::KeyBounds;
use crate::limits::Limits;
use crate::place::Place;
use crate::run_meta::RunInfo;
use crate::run_state::RunState;
use crate::snapshot::Snapshot;
use crate::trace::Trace;
use crate::trace_changes::{ChangedTrace, TraceChanges};
use crate::trace_id::TraceId;
use crate::version::{Stamp, Timestamp, Version};
use crate::view::RunView;
use std::cell::OnceCell;
use std::cmp::Ordering;

/// The places that a transaction has looked at.
#[derive(Debug, Default)]
pub struct ReadSet {
    places: Vec<Place>,
    size: usize,
    trace_walk_count: usize,
    /// Without writes of the transaction's own, and with them.
    has_run: [bool; 2],
    has_status: bool,
    /// Which of the places is that of the events that have to be kept, and which that of the traces, if there is one.
    events_kept: Option<usize>,
    traces_kept: Option<usize>,
}

/// Lists and trees of traces that are remembered one by one. Each is checked against every trace that has been recorded or
/// ended since, so more of them count as one look at all traces.
const TRACE_WALKS_MAX: usize = 64;

/// A place that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Changed {
    entity: EntityRef,
    seen: Version,
    found: Version,
}

/// When a transaction began and when it commits: deadlines between the two change what it has read.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    /// When its snapshot was taken.
    pub began: Timestamp,
    /// The time of its commit.
    pub now: Timestamp,
}

impl ReadSet {
    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The places, in the order in which they were looked at.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    pub(crate) fn clear(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        places.shrink_to(KEPT_COUNT_MAX);
        *self = Self { places, ..Self::default() };
    }

    /// Refuses more places than a transaction may remember.
    ///
    /// # Errors
    /// `InvalidArgument` naming the limit.
    pub fn check_size(&self, limits: &Limits) -> Result<(), Error> {
        let size_max = limits.transaction_reads_size_max;
        if self.size <= size_max {
            return Ok(());
        }
        let (size, count) = (self.size, self.places.len());
        let message = format!(
            "transaction_reads_size_max is {size_max} bytes, the {count} places that the transaction has read \
             take {size}: read less in one transaction, or from a snapshot"
        );
        Err(Error::new(ErrorKind::InvalidArgument, message))
    }

    /// Adds that something was read of this life of the run; every other place says so too.
    pub(crate) fn add_life(&mut self) {
        if self.is_empty() {
            self.add(Place::Life);
        }
    }

    pub(crate) fn add(&mut self, mut place: Place) {
        match place {
            Place::Run { has_own } if std::mem::replace(&mut self.has_run[usize::from(has_own)], true) => {
                return;
            }
            Place::EventsKept { from } | Place::TracesKept { from } => {
                let is_of_events = matches!(place, Place::EventsKept { .. });
                let kept = if is_of_events { &mut self.events_kept } else { &mut self.traces_kept };
                if let Some(place) = kept {
                    if let Place::EventsKept { from: known } | Place::TracesKept { from: known } =
                        &mut self.places[*place]
                    {
                        *known = from.min(*known);
                    }
                    return;
                }
                *kept = Some(self.places.len());
            }
            Place::Status if std::mem::replace(&mut self.has_status, true) => return,
            Place::Traces { .. } | Place::Tree { .. } => {
                self.trace_walk_count += 1;
                match self.trace_walk_count.cmp(&(TRACE_WALKS_MAX + 1)) {
                    Ordering::Less => {}
                    Ordering::Equal => place = Place::all_traces(),
                    Ordering::Greater => return,
                }
            }
            _ => {}
        }
        if self.places.last() != Some(&place) {
            self.size += place.size();
            self.places.push(place);
        }
    }

    /// Refuses if a commit or a deadline behind the snapshot has changed what was read.
    ///
    /// # Errors
    /// `Conflict` names the first thing that changed and both of its versions.
    pub fn validate(&self, state: &RunState, snapshot: &Snapshot, interval: Interval) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let run = state.id();
        if state.is_redacted_since(snapshot) {
            let message = "something was erased in the run since the transaction began, and it may have read that: \
                           read again and retry";
            return Err(Error::new(ErrorKind::Conflict, message).with_entity(EntityRef::run(run)));
        }
        let Some(view) = state.view_at(snapshot) else {
            let message = "what the transaction saw is no longer kept: too much was replaced since it began";
            return Err(Error::new(ErrorKind::Conflict, message).with_entity(EntityRef::run(run)));
        };
        let check = Check {
            state,
            view,
            interval,
            changed_keys: Default::default(),
            moved_documents: OnceCell::new(),
        };
        match self.places.iter().find_map(|place| check.changed(place)) {
            None => Ok(()),
            Some(changed) => Err(changed.into_error()),
        }
    }
}

impl Changed {
    fn into_error(self) -> Error {
        conflict(self.entity, self.seen, self.found)
    }
}

/// The refusal of a commit because of one thing, with the version that was seen and the one that is there.
pub fn conflict(entity: EntityRef, seen: Version, found: Version) -> Error {
    let say = |version: Version| match version {
        Version::NEVER => "no value".to_owned(),
        version => format!("version {version}"),
    };
    let message = format!("expected {}, found {}", say(seen), say(found));
    Error::new(ErrorKind::Conflict, message).with_entity(entity)
}

/// What has become of something that had the first version and has the second.
fn change_of((seen, found): (Version, Version)) -> Option<KeyChange> {
    match (seen == Version::NEVER, found == Version::NEVER) {
        _ if seen == found => None,
        (false, false) => Some(KeyChange::Changed),
        _ => Some(KeyChange::Moved),
    }
}

struct Check<'a> {
    state: &'a RunState,
    view: RunView<'a>,
    interval: Interval,
    /// Keys and cells that have changed, once a range of them is checked.
    changed_keys: [OnceCell<ChangedKeys<'a>>; 2],
    moved_documents: OnceCell<ChangedKeys<'a>>,
}

impl<'a> Check<'a> {
    fn changed(&self, place: &Place) -> Option<Changed> {
        let now = self.state.view();
        if !now.is_same_life(&self.view) {
            let (seen, found) = (self.view.meta_version(), now.meta_version());
            return Some(Changed { entity: EntityRef::run(self.state.id()), seen, found });
        }
        match place {
            Place::Key { kind, key, presence_only } => self.changed_key(*kind, key, *presence_only),
            Place::Range { kind, bounds, presence_only } => self.changed_range(*kind, bounds, *presence_only),
            Place::EventsFrom { kind, from } => self.new_event(kind.as_deref(), *from),
            Place::EventsKept { from } => self.removed_event(*from),
            Place::Region { name, path } => self.changed_region(name, path),
            Place::Documents { bounds } => self.changed_documents(bounds),
            Place::Trace { id } => self.changed_trace(self.traces().of(id)),
            Place::Traces { filter, places, looked } => {
                let changed = self.traces().wanted(filter, places);
                let changed = changed.or_else(|| self.traces().beyond_one_list(places, (*looked)?));
                let is_all = looked.is_none();
                self.changed_trace(changed).or_else(|| {
                    self.recounted_traces(filter.kind.as_deref(), places.start).filter(|_| is_all)
                })
            }
            Place::TracesKept { from } => self.removed_trace(*from),
            Place::OwnTraces { first, from, to } => self.moved_in_time(first, *from, *to),
            Place::Tree { root, end } => self.changed_trace(self.traces().below(root, *end)),
            // A run that was begun anew has changed in every place, which was found out above.
            Place::Life => None,
            Place::Run { has_own } => self.changed_run(*has_own),
            Place::Status => self.changed_status(),
            Place::Receipt { id } => self.new_receipt(id),
        }
    }

    /// The versions of a key when the transaction began and now; `NEVER` where it is not there.
    fn key_versions(&self, kind: KeyKind, key: &Key) -> (Version, Version) {
        let Interval { began, now } = self.interval;
        let version_of = |entry: Option<&Entry<_>>, at| {
            entry.filter(|entry| entry.is_live(at)).map_or(Version::NEVER, |entry| entry.stamp.version)
        };
        let seen = version_of(self.view.keys(kind).get(key), began);
        (seen, version_of(self.state.view().keys(kind).get(key), now))
    }

    fn changed_key(&self, kind: KeyKind, key: &Key, presence_only: bool) -> Option<Changed> {
        let (seen, found) = self.key_versions(kind, key);
        let is_changed =
            change_of((seen, found)).is_some_and(|change| change == KeyChange::Moved || !presence_only);
        is_changed.then(|| Changed { entity: kind.entity(self.state.id(), key), seen, found })
    }

    fn changed_range(&self, kind: KeyKind, bounds: &KeyBounds, presence_only: bool) -> Option<Changed> {
        let changed = self.changed_keys[kind as usize].get_or_init(|| {
            let Interval { began, now } = self.interval;
            let replaced = self.state.content().replaced_since(kind, self.view.stamp().version);
            let expired = self.state.content().keys(kind).expired_between(began, now);
            ChangedKeys::new(replaced.chain(expired), |key| change_of(self.key_versions(kind, key)))
        });
        self.changed_key(kind, changed.first_within(bounds, presence_only)?, presence_only)
    }

    fn changed_region(&self, name: &Key, path: &Pointer) -> Option<Changed> {
        let (then, now) = (self.view.documents().get(name), self.state.view().documents().get(name));
        let footing = |entry: Option<&Entry<Document>>| Some(entry?.value.footing(path));
        if footing(then) == footing(now) {
            return None;
        }
        let version = |stamp: Option<Stamp>| stamp.map_or(Version::NEVER, |stamp| stamp.version);
        let of_place =
            |entry: Option<&Entry<Document>>| version(entry.and_then(|entry| entry.value.region(path)));
        let of_document = |entry: Option<&Entry<Document>>| version(entry.map(|entry| entry.stamp));
        let (mut seen, mut found) = (of_place(then), of_place(now));
        if seen == found {
            // Nothing was there both times: what changed lies around it.
            (seen, found) = (of_document(then), of_document(now));
        }
        Some(Changed { entity: EntityRef::json(self.state.id(), name.clone()), seen, found })
    }

    fn document_versions(&self, name: &Key) -> (Version, Version) {
        let version_of = |view: &RunView<'_>| {
            view.documents().get(name).map_or(Version::NEVER, |entry| entry.stamp.version)
        };
        (version_of(&self.view), version_of(&self.state.view()))
    }

    fn changed_documents(&self, bounds: &KeyBounds) -> Option<Changed> {
        let moved = self.moved_documents.get_or_init(|| {
            let replaced = self.state.content().past.documents.since(self.view.stamp().version);
            ChangedKeys::new(replaced.map(|(name, _)| name), |name| change_of(self.document_versions(name)))
        });
        let name = moved.first_within(bounds, true)?;
        let (seen, found) = self.document_versions(name);
        Some(Changed { entity: EntityRef::json(self.state.id(), name.clone()), seen, found })
    }

    fn new_event(&self, kind: Option<&str>, from: u64) -> Option<Changed> {
        let events = self.state.view();
        let first = match kind {
            None => (events.event_count() > from).then_some(from),
            Some(kind) => {
                let (then, now) = (self.view.events_of_kind(kind), events.events_of_kind(kind));
                // What came may have been removed since.
                let has_come = now.removed() + now.len() > then.removed() + then.len();
                has_come.then(|| now.get(now.count_below(from)).unwrap_or(from))
            }
        }?;
        let removed = || events.event_anchor().through;
        let found = events.event(first).map_or_else(removed, |event| event.stamp.version);
        let entity = EntityRef::event(self.state.id(), first);
        Some(Changed { entity, seen: Version::NEVER, found })
    }

    fn removed_event(&self, from: u64) -> Option<Changed> {
        let (seen, found) = (self.view.event(from), Version::NEVER);
        let seen = seen.map_or(Version::NEVER, |event| event.stamp.version);
        let entity = EntityRef::event(self.state.id(), from);
        (self.state.view().first_event() > from).then_some(Changed { entity, seen, found })
    }

    fn removed_trace(&self, from: u64) -> Option<Changed> {
        if !self.traces().is_removed(from) {
            return None;
        }
        let seen = self.view.traces().get(from);
        let entity = |trace: &Trace| EntityRef::trace(self.state.id(), trace.id);
        Some(Changed {
            entity: seen.map_or_else(|| EntityRef::run(self.state.id()), entity),
            seen: seen.map_or(Version::NEVER, |trace| trace.stamp.version),
            found: Version::NEVER,
        })
    }

    /// Traces that came and are removed again count all the same; and who looked at all of them from the first place on has seen which
    /// the first is.
    fn recounted_traces(&self, kind: Option<&str>, start: u64) -> Option<Changed> {
        let is_changed = self.traces().is_recounted(kind) || (start == 0 && self.traces().is_any_removed());
        let (seen, found) = (self.view.stamp().version, self.state.version());
        is_changed.then(|| Changed { entity: EntityRef::run(self.state.id()), seen, found })
    }

    fn traces(&self) -> TraceChanges<'_> {
        TraceChanges::new(self.view.traces(), self.state.view().traces())
    }

    fn changed_trace(&self, changed: Option<ChangedTrace>) -> Option<Changed> {
        let ChangedTrace { id, seen, found } = changed?;
        Some(Changed { entity: EntityRef::trace(self.state.id(), id), seen, found })
    }

    fn moved_in_time(&self, id: &TraceId, from: Option<Timestamp>, to: Option<Timestamp>) -> Option<Changed> {
        let version_at = |time| {
            let is_within = from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to);
            if is_within { Version::PENDING } else { Version::NEVER }
        };
        let (seen, found) = (version_at(self.interval.began), version_at(self.interval.now));
        (seen != found).then(|| Changed { entity: EntityRef::trace(self.state.id(), *id), seen, found })
    }

    fn new_receipt(&self, id: &OperationId) -> Option<Changed> {
        let version_of =
            |view: &RunView<'_>| view.receipt(id).map_or(Version::NEVER, |receipt| receipt.commit.version);
        let (seen, found) = (version_of(&self.view), version_of(&self.state.view()));
        (seen != found).then(|| Changed { entity: EntityRef::run(self.state.id()), seen, found })
    }

    fn changed_status(&self) -> Option<Changed> {
        let (then, now) = (&self.view, self.state.view());
        let status = |view: &RunView<'_>| view.meta().map(|meta| meta.status);
        let (seen, found) = (then.meta_version(), now.meta_version());
        let entity = EntityRef::run(self.state.id());
        (status(then) != status(&now)).then_some(Changed { entity, seen, found })
    }

    fn changed_run(&self, has_own: bool) -> Option<Changed> {
        let now = self.state.view();
        let facts = |view: RunView<'_>| {
            let info = Draft::new(view).info(view.stamp().timestamp)?;
            Some(RunInfo { version: Version::NEVER, timestamp: Timestamp(0), ..info })
        };
        let entity = EntityRef::run(self.state.id());
        let (seen, found) = (self.view.stamp().version, now.stamp().version);
        let is_changed = if has_own { seen != found } else { facts(self.view) != facts(now) };
        is_changed.then_some(Changed { entity, seen, found })
    }
}
