//! A walk over a snapshot of a run that writes its image in slices.
use super::entry::{ImageEntry, Removed};
use super::slice::ImageSlice;
use crate::encoded::Encoded;
use crate::entry::{Entry, Stored};
use crate::event::Seal;
use crate::event_log::Anchor;
use crate::fork::{ForkChanges, Names};
use crate::json::Document;
use crate::key::Key;
use crate::key_kind::KeyKind;
use crate::keys::Keys;
use crate::trace_log::RemovedTraces;
use crate::version::Version;
use crate::view::RunView;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// How far the writing of an image has come.
///
/// Every slice is written from the view of the same open snapshot; between them the run may change. When commits are taken
/// back, the walk is to be given up. Of a fork only what it has changed is written.
///
/// ```
/// use strata_primitives::{ImageLoad, ImageSlice, ImageWalk, RunId, RunState};
///
/// let mut run = RunState::new(RunId::from_bytes([7; 16]), 1);
/// let snapshot = run.open_snapshot();
/// let (mut walk, mut load) = (ImageWalk::new(), ImageLoad::new(run.id(), 1));
/// while !walk.is_done() {
///     let mut slice = ImageSlice::new();
///     walk.write(&run.view_at(&snapshot).unwrap(), 64 << 10, &mut slice);
///     load.take(&slice.into_bytes().unwrap()).unwrap();
/// }
/// run.close_snapshot(snapshot);
/// assert!(load.finish().unwrap().same_state(&run));
/// ```
#[derive(Debug, Default)]
pub struct ImageWalk {
    section: Section,
    /// What comes next in the section: the part of a map, the place in a list, the version of the last receipt.
    place: u64,
    /// Where the section ends, if that was fixed when it began.
    end: Option<u64>,
    /// The keys of one part of a map that are still to come, in its order: what is loaded has the order of its image, and makes the same one.
    keys: VecDeque<Key>,
    /// How many events were removed of some types, or traces of some kinds, that are still to come.
    removed: VecDeque<(Arc<str>, u64)>,
    count: u64,
    /// All of a fork is written too.
    is_flat: bool,
}

/// What is written, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Head,
    Kv(Keyed),
    Cells(Keyed),
    Documents(Keyed),
    EventsBegin,
    EventsRemoved,
    Events,
    TracesBegin,
    TracesRemoved,
    Traces,
    /// Traces that a fork began with and has ended.
    Ended,
    Receipts,
    Erasures,
    End,
    Done,
}

/// The two passes over a map: while it is walked part by part, keys may come, change and go, and what a commit behind the
/// snapshot has touched is found among what it has replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyed {
    Untouched,
    Touched,
}

impl Section {
    fn next(self) -> Self {
        use Keyed::{Touched, Untouched};
        match self {
            Self::Head => Self::Kv(Untouched),
            Self::Kv(Untouched) => Self::Kv(Touched),
            Self::Kv(Touched) => Self::Cells(Untouched),
            Self::Cells(Untouched) => Self::Cells(Touched),
            Self::Cells(Touched) => Self::Documents(Untouched),
            Self::Documents(Untouched) => Self::Documents(Touched),
            Self::Documents(Touched) => Self::EventsBegin,
            Self::EventsBegin => Self::EventsRemoved,
            Self::EventsRemoved => Self::Events,
            Self::Events => Self::TracesBegin,
            Self::TracesBegin => Self::TracesRemoved,
            Self::TracesRemoved => Self::Traces,
            Self::Traces => Self::Ended,
            Self::Ended => Self::Receipts,
            Self::Receipts => Self::Erasures,
            Self::Erasures => Self::End,
            Self::End | Self::Done => Self::Done,
        }
    }
}

/// What one step of a walk came to.
enum Stepped {
    Entry(ImageEntry),
    /// Nothing at this place, but there may be more.
    Nothing,
    SectionEnds,
}

impl ImageWalk {
    /// At the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// At the beginning, and all of the run is to be written, also what it began with.
    pub fn flat() -> Self {
        Self { is_flat: true, ..Self::default() }
    }

    /// Whether the whole image is written.
    pub fn is_done(&self) -> bool {
        self.section == Section::Done
    }

    /// Appends the next entries, until the slice has `size_max` bytes or more, or looked at as many things as would take
    /// them.
    pub fn write(&mut self, view: &RunView<'_>, size_max: usize, out: &mut ImageSlice) {
        let size_before = out.len();
        let mut looked = 0;
        while !self.is_done() && out.len() - size_before + looked * LOOK_SIZE < size_max {
            match self.step(view) {
                Stepped::Entry(entry) => {
                    out.put(&entry);
                    self.count += 1;
                }
                Stepped::Nothing => looked += 1,
                Stepped::SectionEnds => {
                    (self.section, self.place, self.end) = (self.section.next(), 0, None);
                }
            }
        }
    }

    fn step(&mut self, view: &RunView<'_>) -> Stepped {
        let changes = view.fork().filter(|_| !self.is_flat);
        match self.section {
            Section::Head => self.once(|_| {
                let meta = view.meta().cloned().map(Box::new);
                ImageEntry::Head { stamp: view.stamp(), meta_version: view.meta_version(), meta }
            }),
            Section::Kv(keyed) => {
                let names = changes.map(|fork| (fork, &fork.kv));
                self.step_keys(keyed, view.keys(KeyKind::Kv), names, Removed::Key, key_entry)
            }
            Section::Cells(keyed) => {
                let names = changes.map(|fork| (fork, &fork.cells));
                self.step_keys(keyed, view.keys(KeyKind::Cell), names, Removed::Cell, cell_entry)
            }
            Section::Documents(keyed) => {
                let names = changes.map(|fork| (fork, &fork.documents));
                self.step_keys(keyed, view.documents(), names, Removed::Document, document_entry)
            }
            // Events of others are told from their beginning.
            Section::EventsBegin if view.first_event() == 0 && view.fork().is_none() => Stepped::SectionEnds,
            Section::EventsBegin => self.once(|_| {
                let Anchor { hash, from, through } = *view.event_anchor();
                let (first, next) = (view.first_event(), first_own_event(view, changes));
                ImageEntry::EventsBegin { first, hash, from, through, next }
            }),
            Section::EventsRemoved => {
                let part_count = view.event_kind_part_count();
                let entry = |kind, count| ImageEntry::EventsRemoved { kind, count };
                self.step_removed(view.first_event() > 0, part_count, entry, |part, count| {
                    view.removed_of_kinds(part, count).map(|(kind, count)| (Arc::from(&**kind), count))
                })
            }
            Section::Events => self.step_list(first_own_event(view, changes)..view.event_count(), |place| {
                let event = view.event(place)?;
                let (kind, payload) = (event.kind.clone(), event.payload.clone());
                let (stamp, hash) = (event.stamp, event.hash);
                Some(match &event.seal {
                    Seal::Salt(salt) => ImageEntry::Event { stamp, salt: *salt, hash, kind, payload },
                    Seal::Digest(digest) => ImageEntry::EventErased { stamp, digest: **digest, hash, kind },
                })
            }),
            Section::TracesBegin if view.traces().first() == 0 => Stepped::SectionEnds,
            Section::TracesBegin => self.once(|_| {
                let RemovedTraces { from, through } = *view.traces().removed();
                let (first, next) = (view.traces().first(), first_own_trace(view, changes));
                ImageEntry::TracesBegin { first, from, through, next }
            }),
            Section::TracesRemoved => {
                let traces = view.traces();
                let entry = |kind, count| ImageEntry::TracesRemoved { kind, count };
                self.step_removed(traces.first() > 0, traces.kind_part_count(), entry, |part, count| {
                    traces.removed_of_kinds(part, count).map(|(kind, count)| (Arc::clone(kind), count))
                })
            }
            Section::Traces => {
                let traces = view.traces();
                self.step_list(first_own_trace(view, changes)..traces.count(), |place| {
                    Some(ImageEntry::Trace { trace: Box::new(traces.get(place)?.clone()) })
                })
            }
            Section::Ended => match changes {
                None => Stepped::SectionEnds,
                Some(fork) => {
                    let end = *self.end.get_or_insert(fork.ended.len() as u64);
                    self.step_list(0..end, |index| {
                        let trace = view.traces().get(*fork.ended.get(index as usize)?)?;
                        // What was ended behind the snapshot is not.
                        let ended = trace.ended.filter(|_| fork.is_own(trace.stamp.version))?;
                        let (stamp, recorded) = (trace.stamp, trace.recorded.version);
                        let (id, body) = (trace.id, trace.body.clone());
                        Some(ImageEntry::Ended { stamp, recorded, id, ended, body })
                    })
                }
            },
            Section::Receipts => match view.receipt_behind(Version(self.place)) {
                None => Stepped::SectionEnds,
                Some((id, receipt)) => {
                    self.place = receipt.commit.version.0;
                    Stepped::Entry(ImageEntry::Receipt { id, receipt: receipt.clone() })
                }
            },
            Section::Erasures => {
                let erasures = view.erasures();
                self.step_list(0..erasures.len() as u64, |place| {
                    Some(ImageEntry::Erasure { erasure: Box::new(erasures.get(place as usize)?.clone()) })
                })
            }
            Section::End => self.once(|walk| ImageEntry::End { count: walk.count }),
            Section::Done => Stepped::SectionEnds,
        }
    }

    fn once(&mut self, entry: impl FnOnce(&Self) -> ImageEntry) -> Stepped {
        if self.place > 0 {
            return Stepped::SectionEnds;
        }
        self.place = 1;
        Stepped::Entry(entry(self))
    }

    fn step_list(&mut self, places: Range<u64>, entry: impl FnOnce(u64) -> Option<ImageEntry>) -> Stepped {
        let place = places.start + self.place;
        if place >= places.end {
            return Stepped::SectionEnds;
        }
        self.place += 1;
        entry(place).map_or(Stepped::Nothing, Stepped::Entry)
    }

    /// While it goes on, more entries are removed from what another log shows, if the view is of an older commit.
    fn step_removed<I: Iterator<Item = (Arc<str>, u64)>>(
        &mut self,
        is_any: bool,
        part_count: usize,
        entry: fn(Arc<str>, u64) -> ImageEntry,
        part: impl FnOnce(usize, usize) -> I,
    ) -> Stepped {
        if let Some((kind, count)) = self.removed.pop_front() {
            return Stepped::Entry(entry(kind, count));
        }
        let end = *self.end.get_or_insert(part_count as u64);
        if self.place == end || !is_any {
            return Stepped::SectionEnds;
        }
        self.place += 1;
        let part = part(self.place as usize - 1, end as usize);
        self.removed.extend(part);
        Stepped::Nothing
    }

    fn step_keys<V: Stored>(
        &mut self,
        keyed: Keyed,
        keys: Keys<'_, V>,
        fork: Option<(&ForkChanges, &Names)>,
        what: Removed,
        entry: fn(&Key, &Entry<V>) -> ImageEntry,
    ) -> Stepped {
        // Of a fork what it put itself is written, and what it has no more; of others all there is.
        let step = |key: &Key, held: Option<&Entry<V>>| match (held, fork) {
            (Some(held), Some((fork, _))) if !fork.is_own(held.stamp.version) => Stepped::Nothing,
            // The value that it began with is not written again where only the deadline is its own.
            (Some(held), Some((fork, _))) if what == Removed::Key && !fork.is_own(held.written()) => {
                let (stamp, deadline) = (held.stamp, held.deadline());
                Stepped::Entry(ImageEntry::Deadline { stamp, deadline, key: key.clone() })
            }
            (Some(held), _) => Stepped::Entry(entry(key, held)),
            // What came and went in the fork alone leaves nothing.
            (None, Some((_, names))) if names.get(&**key) == Some(&true) => {
                Stepped::Entry(ImageEntry::Removed { what, name: key.clone() })
            }
            (None, _) => Stepped::Nothing,
        };
        // Fixed when the pass begins: no walk chases a run that grows faster.
        let end = *self.end.get_or_insert_with(|| match keyed {
            Keyed::Untouched => fork.map_or(keys.part_count(), |(_, names)| names.part_count() as u64),
            Keyed::Touched => keys.touched_count(),
        });
        if keyed == Keyed::Untouched
            && let Some(key) = self.keys.pop_front()
        {
            return keys.untouched(&key).map_or(Stepped::Nothing, |held| step(&key, held));
        }
        if self.place == end {
            return Stepped::SectionEnds;
        }
        self.place += 1;
        match keyed {
            Keyed::Untouched => {
                let part = self.place - 1;
                match fork {
                    None => self.keys.extend(keys.part(part, end).cloned()),
                    Some((_, names)) => {
                        let part = names.part(part as usize, end as usize);
                        self.keys.extend(part.map(|(name, _)| name.clone()));
                    }
                }
                Stepped::Nothing
            }
            // Those touched behind the end of the first pass were written by it.
            Keyed::Touched => {
                let touched = keys.touched(self.place - 1);
                touched.map_or(Stepped::Nothing, |(key, held)| step(key, held))
            }
        }
    }
}

/// The first event that is written: of a fork one that is its own.
fn first_own_event(view: &RunView<'_>, changes: Option<&ForkChanges>) -> u64 {
    view.first_event().max(changes.map_or(0, |fork| fork.event_count))
}

/// The place of the first trace that is written.
fn first_own_trace(view: &RunView<'_>, changes: Option<&ForkChanges>) -> u64 {
    view.traces().first().max(changes.map_or(0, |fork| fork.trace_count))
}

/// What looking at something that is not written counts for, in bytes of a slice.
const LOOK_SIZE: usize = 32;

fn key_entry(key: &Key, held: &Entry<Encoded>) -> ImageEntry {
    let (stamp, deadline, written) = (held.stamp, held.deadline(), held.written());
    let (key, value) = (key.clone(), held.value.clone());
    match written == stamp.version {
        true => ImageEntry::Key { stamp, deadline, key, value },
        false => ImageEntry::KeptKey { written, stamp, deadline, key, value },
    }
}

fn cell_entry(name: &Key, held: &Entry<Encoded>) -> ImageEntry {
    let (stamp, deadline, value) = (held.stamp, held.deadline(), held.value.clone());
    ImageEntry::Cell { stamp, deadline, name: name.clone(), value }
}

fn document_entry(name: &Key, held: &Entry<Document>) -> ImageEntry {
    ImageEntry::Document { stamp: held.stamp, name: name.clone(), document: held.value.clone() }
}
