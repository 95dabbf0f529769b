//! Decisions about events.
use super::{Answer, Decision};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::error::Error;
use crate::event::{ChainReport, StoredEvent, event_hash};
use crate::key::Key;
use crate::mutation::Mutation;
use crate::operation::{Direction, NewEvent};
use crate::outcome::{EventPage, Outcome};
use crate::place::Place;
use crate::version::Versioned;
use std::sync::Arc;

impl Decision<'_, '_> {
    pub(super) fn append(&mut self, kind: Key, payload: Encoded, salt: [u8; 16]) -> Result<Answer, Error> {
        let first = self.draft.event_count();
        self.stage_event(kind, payload, salt)?;
        Ok(Answer::Write(Effect::Sequence { first, count: 1 }))
    }

    pub(super) fn append_many(&mut self, events: Vec<NewEvent>) -> Result<Answer, Error> {
        let (first, count) = (self.draft.event_count(), events.len() as u64);
        for NewEvent { kind, payload, salt } in events {
            self.stage_event(kind, payload, salt)?;
        }
        Ok(Answer::Write(Effect::Sequence { first, count }))
    }

    pub(super) fn one_event(&mut self, sequence: u64) -> Result<Option<StoredEvent>, Error> {
        self.check_kept(sequence)?;
        // An event that is there never changes, but it may be removed; that one is not there may change, and one of the
        // transaction's own has its place only while nobody else appends.
        if sequence >= self.draft.view().event_count() {
            self.look_at_tail(None);
        } else {
            self.draft.record(Place::EventsKept { from: sequence });
        }
        Ok(self.draft.event(sequence, self.now))
    }

    pub(super) fn range(
        &mut self,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) -> Result<Outcome, Error> {
        let start = self.begin_of_page(start, direction)?;
        let (begin, end) = (self.draft.first_event(), self.draft.event_count());
        self.look_at_tail_of_page(None, start, limit, direction);
        let first = match direction {
            Direction::Forward => start.map_or(0, |start| start - begin),
            Direction::Reverse => start.unwrap_or(u64::MAX).min(end.saturating_sub(1)).saturating_sub(begin),
        };
        let indexes = page_of(first, end - begin, self.length_of(limit), direction);
        let sequences = indexes.map(|index| begin + index).collect();
        Ok(self.page_of_sequences(sequences, limit))
    }

    pub(super) fn by_type(
        &mut self,
        kind: &str,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) -> Result<Outcome, Error> {
        let start = self.begin_of_page(start, direction)?;
        self.look_at_tail_of_page(Some(kind), start, limit, direction);
        let (base, staged) = self.draft.events_of_kind(kind);
        let count = base.len() + staged.len() as u64;
        let below = |bound: u64| {
            base.count_below(bound) + staged.partition_point(|sequence| *sequence < bound) as u64
        };
        // Events before the first of the page: those below `start`, or all that are not above it.
        let (first, count) = match (direction, start) {
            (Direction::Forward, start) => (below(start.unwrap_or(0)), count),
            (Direction::Reverse, start) => {
                let not_above = start.and_then(|start| start.checked_add(1)).map_or(count, below);
                not_above.checked_sub(1).map_or((0, 0), |first| (first, count))
            }
        };
        let sequences = page_of(first, count, self.length_of(limit), direction);
        let sequences = Vec::from_iter(sequences.map(|index| match base.get(index) {
            Some(sequence) => sequence,
            None => staged[(index - base.len()) as usize],
        }));
        Ok(self.page_of_sequences(sequences, limit))
    }

    pub(super) fn event_len(&mut self, kind: Option<&str>) -> Versioned<u64> {
        self.look_at_tail(kind);
        self.at_present(match kind {
            None => self.draft.event_count(),
            Some(kind) => {
                let (base, staged) = self.draft.events_of_kind(kind);
                base.removed() + base.len() + staged.len() as u64
            }
        })
    }

    /// The first event that is there.
    pub(super) fn first_event(&mut self) -> Versioned<u64> {
        let first = self.draft.first_event();
        self.draft.record(Place::EventsKept { from: first });
        if first == self.draft.view().event_count() {
            self.look_at_tail(None);
        }
        self.at_present(first)
    }

    pub(super) fn head(&mut self, kind: Option<&str>) -> Option<StoredEvent> {
        self.look_at_tail(kind);
        let sequence = match kind {
            None => self.draft.event_count().checked_sub(1)?,
            Some(kind) => {
                let (base, staged) = self.draft.events_of_kind(kind);
                staged.last().copied().or(base.last())?
            }
        };
        let event = self.draft.event(sequence, self.now);
        self.look_at_kept(event.iter().map(|event| event.sequence));
        event
    }

    pub(super) fn verify_chain(&mut self) -> ChainReport {
        self.look_at_tail(None);
        let first = self.draft.first_event();
        self.draft.record(Place::EventsKept { from: first });
        let first_invalid = self.draft.first_invalid_event(self.now);
        let length = self.draft.event_count();
        let Versioned { version, timestamp, .. } = self.at_present(());
        let erased = self.draft.erased_event_count();
        ChainReport {
            valid: first_invalid.is_none(),
            first,
            length,
            first_invalid,
            erased,
            version,
            timestamp,
        }
    }

    /// Refuses what asks for an event that was removed; events of an earlier life were none of this one.
    fn check_kept(&self, sequence: u64) -> Result<(), Error> {
        match self.draft.first_event() {
            0 => Ok(()),
            _ => self.draft.view().check_event_kept(sequence),
        }
    }

    /// Where a page begins that is asked for from `start` on: an ascending one from 0 on with the first event that is there.
    fn begin_of_page(&mut self, start: Option<u64>, direction: Direction) -> Result<Option<u64>, Error> {
        match (start, direction) {
            (None, _) | (Some(0), Direction::Forward) => Ok(None),
            (Some(start), _) => {
                self.check_kept(start)?;
                self.look_at_kept([start]);
                Ok(Some(start))
            }
        }
    }

    /// Records that these events of the run are still there, and all between them; of those to come, that none was removed.
    fn look_at_kept(&mut self, sequences: impl IntoIterator<Item = u64>) {
        let own = self.draft.view().event_count()..self.draft.event_count();
        if let Some(from) = sequences.into_iter().filter(|sequence| !own.contains(sequence)).min() {
            self.draft.record(Place::EventsKept { from });
        }
    }

    /// Records that no event, or none of a type, stands behind those that are there.
    fn look_at_tail(&mut self, kind: Option<&str>) {
        if self.draft.is_recording() {
            let from = self.draft.view().event_count();
            self.draft.record(Place::EventsFrom { kind: kind.map(Arc::from), from });
        }
    }

    /// A page depends on the tail when it begins at the newest event, or when it could have gone on behind it.
    fn look_at_tail_of_page(
        &mut self,
        kind: Option<&str>,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) {
        let (first, count) = (self.draft.first_event(), self.draft.view().event_count());
        let reaches_end = match (direction, start) {
            (Direction::Reverse, start) => start.is_none_or(|start| start >= count),
            // Events of one type may lie anywhere, so only a page of all types is known to end before the tail.
            (Direction::Forward, start) => {
                kind.is_some() || start.unwrap_or(first).saturating_add(limit as u64) >= count
            }
        };
        if reaches_end {
            self.look_at_tail(kind);
        }
        // The transaction's own events move back when others append, of whatever type, and then lie elsewhere of
        // `start`.
        let has_own = self.draft.event_count() > count;
        if kind.is_some() && has_own && start.is_some_and(|start| start >= count) {
            self.look_at_tail(None);
        }
    }

    /// How many events a page has at most, and one behind it.
    fn length_of(&self, limit: usize) -> u64 {
        limit.min(self.limits.items_max) as u64 + 1
    }

    /// The page of these events, but for the last one if they are more than that.
    fn page_of_sequences(&mut self, mut sequences: Vec<u64>, limit: usize) -> Outcome {
        self.look_at_kept(sequences.iter().copied());
        let is_more = sequences.len() as u64 == self.length_of(limit);
        let next = if is_more { sequences.pop() } else { None };
        let events =
            sequences.into_iter().filter_map(|sequence| self.draft.event(sequence, self.now)).collect();
        let Versioned { version, timestamp, .. } = self.at_present(());
        Outcome::Events(EventPage { events, next, version, timestamp })
    }

    fn stage_event(&mut self, kind: Key, payload: Encoded, salt: [u8; 16]) -> Result<(), Error> {
        let sequence = self.draft.event_count();
        let hash = event_hash(&self.draft.head_hash(), sequence, &kind, self.now, &payload, &salt);
        self.draft.stage(Mutation::EventAppend { sequence, kind, payload, salt, hash }, self.limits)
    }
}

/// The indexes from `first` on of `count` things, `length_max` at most.
fn page_of(first: u64, count: u64, length_max: u64, direction: Direction) -> impl Iterator<Item = u64> {
    let available = match direction {
        Direction::Forward => count.saturating_sub(first),
        Direction::Reverse => (first + 1).min(count),
    };
    (0..available.min(length_max)).map(move |step| match direction {
        Direction::Forward => first + step,
        Direction::Reverse => first - step,
    })
}
