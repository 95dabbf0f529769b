//! A run made of the entries of its image.
use super::entry::{ImageEntry, Removed};
use crate::erasure::Erasure;
use crate::event::payload_digest;
use crate::event_log::Anchor;
use crate::id::RunId;
use crate::key::Key;
use crate::mutation::Mutation;
use crate::run_meta::RunMeta;
use crate::run_state::RunState;
use crate::trace::Trace;
use crate::trace_log::RemovedTraces;
use crate::unread::ReadValue;
use crate::version::{Stamp, Version};
use std::ops::Range;

/// A run under way from its image.
///
/// Entries come in slices that are cut anywhere between two of them, and nothing of them is believed.
#[derive(Debug)]
pub struct ImageLoad {
    run: RunState,
    /// The commit the run is at, once its head has come.
    stamp: Option<Stamp>,
    /// That of the newest event and of the newest trace so far.
    event_stamp: Stamp,
    trace_stamp: Stamp,
    events: Told,
    traces: Told,
    receipt_version: Version,
    count: u64,
    is_whole: bool,
    /// All of the run is here, whatever it began as.
    is_flat: bool,
}

/// What has come of events, or of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// Which one is the first, and of what types those in front of it were.
    Begin,
    Some,
}

impl ImageLoad {
    /// Nothing of a run yet.
    pub fn new(id: RunId, hash_seed: usize) -> Self {
        Self {
            run: RunState::new(id, hash_seed),
            stamp: None,
            event_stamp: Stamp::default(),
            trace_stamp: Stamp::default(),
            events: Told::Nothing,
            traces: Told::Nothing,
            receipt_version: Version::NEVER,
            count: 0,
            is_whole: false,
            is_flat: false,
        }
    }

    /// Nothing of a fork yet, or of a run that was imported, but what it began with.
    pub fn over(base: &RunState, id: RunId) -> Self {
        let began = Stamp { version: base.version(), timestamp: base.timestamp() };
        Self { run: base.fork(id), event_stamp: began, trace_stamp: began, ..Self::new(id, 0) }
    }

    /// Nothing yet of a run all of which was [written](super::ImageWalk::flat), whatever it began as.
    pub fn flat(id: RunId, hash_seed: usize) -> Self {
        Self { is_flat: true, ..Self::new(id, hash_seed) }
    }

    /// Takes the entries of one slice.
    ///
    /// # Errors
    /// Why they cannot be what was written, with the number of the entry.
    pub fn take(&mut self, slice: &[u8]) -> Result<(), String> {
        self.take_leaving(slice, |_| None)
    }

    /// The same, and large values are left unread where `leave`, which is told where in the slice one lies, says how it is read.
    ///
    /// # Errors
    /// Those of [`take`](Self::take).
    pub fn take_leaving(
        &mut self,
        slice: &[u8],
        mut leave: impl FnMut(Range<usize>) -> Option<ReadValue>,
    ) -> Result<(), String> {
        let mut input = slice;
        while !input.is_empty() {
            let entry = ImageEntry::decode(&mut input).map_err(|error| error.to_string());
            let taken = entry.and_then(|mut entry| {
                if let Some((value, behind, salt)) = entry.large_value() {
                    let end = slice.len() - input.len() - behind;
                    if let Some(read) = leave(end - value.len()..end) {
                        let digest = salt.map(|salt| payload_digest(value, salt));
                        *value = value.left_unread(digest, read);
                    }
                }
                self.take_entry(entry)
            });
            taken.map_err(|reason| format!("entry {} of the image: {reason}", self.count))?;
        }
        Ok(())
    }

    /// The run, once all of it has come.
    ///
    /// # Errors
    /// When the end of the image is missing.
    pub fn finish(self) -> Result<RunState, String> {
        match self.is_whole {
            true => Ok(self.run),
            false => Err(format!("the image ends behind {} entries, before its end", self.count)),
        }
    }

    fn take_entry(&mut self, entry: ImageEntry) -> Result<(), String> {
        if matches!(entry, ImageEntry::Gap { .. }) {
            return Ok(());
        }
        if self.is_whole {
            return Err("it stands behind the end".to_owned());
        }
        match (entry, self.stamp) {
            (ImageEntry::Head { stamp, meta_version, meta }, None) => {
                let meta_stamp = Stamp { version: meta_version, ..stamp };
                check_age(meta_stamp, stamp)?;
                check_age(self.event_stamp, stamp)?;
                match meta {
                    Some(meta) => {
                        let since = meta.since;
                        let creation = self.creation(meta, meta_stamp);
                        self.apply(creation, meta_stamp)?;
                        self.run.begun_by(since);
                    }
                    // What is left of a run that was deleted is the commit that did so.
                    None => {
                        drop(self.run.apply(Mutation::RunDelete { previous: Version::NEVER }, meta_stamp))
                    }
                }
                self.stamp = Some(stamp);
            }
            (ImageEntry::Head { .. }, Some(_)) => return Err("a second head".to_owned()),
            (_, None) => return Err("the head does not come first".to_owned()),
            (entry, Some(head)) => self.take_content(entry, head)?,
        }
        self.count += 1;
        Ok(())
    }

    /// How the life of the run began that is shown.
    fn creation(&mut self, meta: Box<RunMeta>, stamp: Stamp) -> Mutation {
        let previous = Version::NEVER;
        match (meta.imported, meta.forked_from) {
            _ if self.is_flat => Mutation::RunCreate { meta, previous },
            (Some(imported), _) => Mutation::RunImport { version: imported, floor: Version::NEVER, meta },
            (None, Some(point)) => Mutation::RunFork { point, meta },
            (None, None) => {
                if self.run.fork_point().is_some() {
                    // It began anew, with nothing of what an earlier life began with.
                    drop(self.run.apply(Mutation::RunDelete { previous }, stamp));
                    (self.event_stamp, self.trace_stamp) = Default::default();
                }
                Mutation::RunCreate { meta, previous }
            }
        }
    }

    fn take_content(&mut self, entry: ImageEntry, head: Stamp) -> Result<(), String> {
        let previous = Version::NEVER;
        self.check_own(&entry)?;
        match entry {
            ImageEntry::Key { stamp, deadline, key, value } => {
                check_age(stamp, head)?;
                self.apply(Mutation::KvPut { key, value, deadline, previous }, stamp)
            }
            ImageEntry::KeptKey { written, stamp, deadline, key, value } => {
                check_age(stamp, head)?;
                if written >= stamp.version {
                    return Err(format!(
                        "the value of {key:?} is of commit {written}, its deadline of {}",
                        stamp.version
                    ));
                }
                let put = Stamp { version: written, ..stamp };
                self.apply(Mutation::KvPut { key: key.clone(), value, deadline: None, previous }, put)?;
                self.apply(Mutation::KvDeadline { key, deadline, previous }, stamp)
            }
            ImageEntry::Deadline { stamp, deadline, key } => {
                check_age(stamp, head)?;
                self.apply(Mutation::KvDeadline { key, deadline, previous }, stamp)
            }
            ImageEntry::Erasure { erasure } => {
                let Erasure { entity, from, through, by, .. } = &*erasure;
                let newest = self.run.erasures().last().map_or(Version::NEVER, |before| before.by);
                let is_fitting = *by <= head.version && *by >= newest && from <= through && through < by;
                if !is_fitting || entity.run_id() != self.run.id() {
                    return Err(format!("an erasure of {entity} by commit {by} does not fit its run"));
                }
                self.run.load_erasure(*erasure);
                Ok(())
            }
            ImageEntry::EventsBegin { first, hash, from, through, next } => {
                check_age(Stamp { version: through, ..Stamp::default() }, head)?;
                self.begin_events(first, Anchor { hash, from, through }, next)
            }
            ImageEntry::EventsRemoved { kind, .. } if self.events != Told::Begin => {
                Err(format!("removed events of type {kind:?} do not stand where events begin"))
            }
            ImageEntry::EventsRemoved { kind, count } => {
                self.run.load_removed_of_kind(Key::from(&*kind), count)
            }
            ImageEntry::TracesBegin { first, from, through, next } => {
                check_age(Stamp { version: through, ..Stamp::default() }, head)?;
                self.begin_traces(first, RemovedTraces { from, through }, next)
            }
            ImageEntry::TracesRemoved { kind, .. } if self.traces != Told::Begin => {
                Err(format!("removed traces of kind {kind:?} do not stand where traces begin"))
            }
            ImageEntry::TracesRemoved { kind, count } => self.run.load_removed_traces_of_kind(kind, count),
            ImageEntry::EventErased { stamp, digest, hash, kind } => {
                let sequence = self.next_event(stamp, head)?;
                self.apply(Mutation::EventErased { sequence, kind, digest, hash }, stamp)
            }
            ImageEntry::Cell { stamp, deadline, name, value } => {
                check_age(stamp, head)?;
                self.apply(Mutation::CellSet { name, value, deadline, previous }, stamp)
            }
            ImageEntry::Document { stamp, name, document } => {
                check_age(stamp, head)?;
                if document.newest().version > stamp.version || !self.run.exists() {
                    return Err(format!("document {name:?} does not fit its run"));
                }
                self.run.load_document(name, document, stamp);
                Ok(())
            }
            ImageEntry::Event { stamp, salt, hash, kind, payload } => {
                let sequence = self.next_event(stamp, head)?;
                self.apply(Mutation::EventAppend { sequence, kind, payload, salt, hash }, stamp)
            }
            ImageEntry::Trace { trace } => self.take_trace(*trace, head),
            ImageEntry::Removed { what, name } => self.take_removed(what, name, head),
            ImageEntry::Ended { stamp, recorded, id, ended, body } => {
                check_age(stamp, head)?;
                let traces = &self.run.content().traces;
                let held = traces.place_of(&id).and_then(|place| traces.get(place));
                if recorded != Version::NEVER && held.is_none_or(|held| held.recorded.version != recorded) {
                    return Err(format!("it ends the trace {id} of commit {recorded}, which is not there"));
                }
                self.apply(Mutation::TraceEnd { id, ended, body, previous }, stamp)
            }
            ImageEntry::Receipt { id, receipt } => {
                let version = receipt.commit.version;
                if version <= self.receipt_version || version > head.version {
                    return Err(format!(
                        "a receipt of commit {version} behind one of {}",
                        self.receipt_version
                    ));
                }
                self.receipt_version = version;
                self.run.remember(id, receipt);
                Ok(())
            }
            ImageEntry::End { .. } if head.version == Version::NEVER && self.count > 1 => {
                Err("a run that was never written to holds something".to_owned())
            }
            ImageEntry::End { count } if count == self.count => {
                self.end_of_removed_events()?;
                self.end_of_removed_traces()?;
                // A run that was never written to is at no commit.
                if head.version > self.run.version() {
                    self.run.commit(head);
                }
                self.is_whole = true;
                Ok(())
            }
            ImageEntry::End { count } => Err(format!("the end counts {count} entries")),
            ImageEntry::Head { .. } | ImageEntry::Gap { .. } => unreachable!("it is taken before"),
        }
    }

    /// Refuses for a fork what is none of its own commits, and for another run what only forks have.
    fn check_own(&self, entry: &ImageEntry) -> Result<(), String> {
        let point = self.run.fork_point();
        let stamp = match entry {
            ImageEntry::Key { stamp, .. }
            | ImageEntry::Cell { stamp, .. }
            | ImageEntry::Document { stamp, .. }
            | ImageEntry::Event { stamp, .. }
            | ImageEntry::EventErased { stamp, .. }
            | ImageEntry::Deadline { stamp, .. }
            | ImageEntry::Ended { stamp, .. } => *stamp,
            ImageEntry::KeptKey { written, stamp, .. } => Stamp { version: *written, ..*stamp },
            ImageEntry::Trace { trace } => trace.recorded,
            _ => return Ok(()),
        };
        match point {
            Some(point) if stamp.version <= point.version => {
                Err(format!("it is of commit {}, and the fork began behind {}", stamp.version, point.version))
            }
            None if matches!(entry, ImageEntry::Ended { .. }) => {
                Err("it ends a trace of a run that is no fork".to_owned())
            }
            None if matches!(entry, ImageEntry::Deadline { .. }) => {
                Err("it is the deadline of a key that a run began with that is no fork".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Takes over which event is the first, and that the next entry of one is `next`.
    fn begin_events(&mut self, first: u64, anchor: Anchor, next: u64) -> Result<(), String> {
        if self.events != Told::Nothing {
            return Err("events begin a second time, or behind some of them".to_owned());
        }
        if !self.run.exists() {
            return Err("events begin in a run that does not exist".to_owned());
        }
        self.run.load_removed_events(first, anchor)?;
        self.events = Told::Begin;
        self.event_stamp.version = self.event_stamp.version.max(anchor.through);
        match next == self.run.event_count() {
            true => Ok(()),
            false => Err(format!("event {next} follows {} events", self.run.event_count())),
        }
    }

    /// The same of traces.
    fn begin_traces(&mut self, first: u64, removed: RemovedTraces, next: u64) -> Result<(), String> {
        if self.traces != Told::Nothing {
            return Err("traces begin a second time, or behind some of them".to_owned());
        }
        if !self.run.exists() {
            return Err("traces begin in a run that does not exist".to_owned());
        }
        self.run.load_removed_traces(first, removed)?;
        self.traces = Told::Begin;
        match next == self.run.trace_count() {
            true => Ok(()),
            false => Err(format!("trace {next} follows {} traces", self.run.trace_count())),
        }
    }

    /// The sequence of the next event, which is of the commit `stamp`.
    fn next_event(&mut self, stamp: Stamp, head: Stamp) -> Result<u64, String> {
        self.end_of_removed_events()?;
        self.events = Told::Some;
        check_age(stamp, head)?;
        check_order(&mut self.event_stamp, stamp)?;
        Ok(self.run.event_count())
    }

    /// Refuses types of removed events that are not together as many as were removed.
    fn end_of_removed_events(&self) -> Result<(), String> {
        match self.events {
            Told::Begin => self.run.content().events.check_removed_of_kinds(),
            Told::Nothing | Told::Some => Ok(()),
        }
    }

    /// The same of kinds of traces.
    fn end_of_removed_traces(&self) -> Result<(), String> {
        match self.traces {
            Told::Begin => self.run.content().traces.check_removed_of_kinds(),
            Told::Nothing | Told::Some => Ok(()),
        }
    }

    fn take_removed(&mut self, what: Removed, name: Key, head: Stamp) -> Result<(), String> {
        if self.run.fork_point().is_none() {
            return Err(format!("{name:?} is removed from a run that is no fork"));
        }
        let (content, previous) = (self.run.content(), Version::NEVER);
        let removal = match what {
            Removed::Key => Mutation::KvDelete { key: name, previous },
            Removed::Cell => Mutation::CellDelete { name, previous },
            // It may stand there twice.
            Removed::Document if content.documents.get(&name).is_none() => return Ok(()),
            Removed::Document => Mutation::JsonDestroy { name, previous },
        };
        self.apply(removal, head)
    }

    fn take_trace(&mut self, trace: Trace, head: Stamp) -> Result<(), String> {
        let Trace { stamp, recorded, id, .. } = trace;
        check_age(stamp, head)?;
        check_age(recorded, stamp)?;
        self.end_of_removed_traces()?;
        self.traces = Told::Some;
        check_order(&mut self.trace_stamp, recorded)?;
        if stamp == recorded {
            return self.apply(Mutation::TraceRecord { trace: Box::new(trace) }, recorded);
        }
        // Another commit wrote it last, so that one ended it.
        let (Some(ended), body) = (trace.ended, trace.body.clone()) else {
            return Err(format!("the trace {id} was changed and has not ended"));
        };
        let begun = Trace { ended: None, ..trace };
        self.apply(Mutation::TraceRecord { trace: Box::new(begun) }, recorded)?;
        self.apply(Mutation::TraceEnd { id, ended, body, previous: recorded.version }, stamp)
    }

    fn apply(&mut self, mutation: Mutation, stamp: Stamp) -> Result<(), String> {
        self.run.check(&mutation)?;
        drop(self.run.apply(mutation, stamp));
        Ok(())
    }
}

/// Refuses what was written behind the commit that it belongs to.
fn check_age(stamp: Stamp, newest: Stamp) -> Result<(), String> {
    if stamp.version <= newest.version && stamp.timestamp <= newest.timestamp {
        return Ok(());
    }
    Err(format!("it is of commit {} at {}, behind {}", stamp.version, stamp.timestamp, newest.version))
}

/// Events and traces come in the order of their commits.
fn check_order(newest: &mut Stamp, stamp: Stamp) -> Result<(), String> {
    if stamp.version < newest.version || stamp.timestamp < newest.timestamp {
        return Err(format!("it is of commit {}, behind one of commit {}", stamp.version, newest.version));
    }
    *newest = stamp;
    Ok(())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
