//! Decisions about events.
use super::{Answer, Decision};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::error::Error;
use crate::event::{ChainReport, StoredEvent, event_hash};
use crate::mutation::Mutation;
use crate::operation::{Direction, NewEvent};
use crate::outcome::{EventPage, Outcome};
use crate::place::Place;
use crate::version::Versioned;
use std::sync::Arc;

impl Decision<'_, '_> {
    pub(super) fn append(
        &mut self,
        kind: Arc<str>,
        payload: Encoded,
        salt: [u8; 16],
    ) -> Result<Answer, Error> {
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

    pub(super) fn one_event(&mut self, sequence: u64) -> Option<StoredEvent> {
        // An event that is there never changes; that one is not there may, and one of the transaction's own has its
        // place only while nobody else appends.
        if sequence >= self.draft.view().event_count() {
            self.look_at_tail(None);
        }
        self.draft.event(sequence, self.now)
    }

    pub(super) fn range(&mut self, start: Option<u64>, limit: usize, direction: Direction) -> Outcome {
        let count = self.draft.event_count();
        self.look_at_tail_of_page(None, start, limit, direction);
        let first = match direction {
            Direction::Forward => start.unwrap_or(0),
            Direction::Reverse => start.unwrap_or(u64::MAX).min(count.saturating_sub(1)),
        };
        self.page(first, count, limit, direction, |sequence| sequence)
    }

    pub(super) fn by_type(
        &mut self,
        kind: &str,
        start: Option<u64>,
        limit: usize,
        direction: Direction,
    ) -> Outcome {
        self.look_at_tail_of_page(Some(kind), start, limit, direction);
        let (base, staged) = self.draft.events_of_kind(kind);
        let at = |index: u64| match base.get(index) {
            Some(sequence) => sequence,
            None => staged[(index - base.len()) as usize],
        };
        let count = base.len() + staged.len() as u64;
        let below = |bound: u64| {
            base.count_below(bound) + staged.partition_point(|sequence| *sequence < bound) as u64
        };
        // Events before the first of the page: those below `start`, or all that are not above it.
        let first = match (direction, start) {
            (Direction::Forward, start) => below(start.unwrap_or(0)),
            (Direction::Reverse, start) => {
                let not_above = start.and_then(|start| start.checked_add(1)).map_or(count, below);
                match not_above.checked_sub(1) {
                    Some(first) => first,
                    None => return self.page(0, 0, limit, direction, at),
                }
            }
        };
        self.page(first, count, limit, direction, at)
    }

    pub(super) fn event_len(&mut self, kind: Option<&str>) -> Versioned<u64> {
        self.look_at_tail(kind);
        self.at_present(match kind {
            None => self.draft.event_count(),
            Some(kind) => {
                let (base, staged) = self.draft.events_of_kind(kind);
                base.len() + staged.len() as u64
            }
        })
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
        self.draft.event(sequence, self.now)
    }

    pub(super) fn verify_chain(&mut self) -> ChainReport {
        self.look_at_tail(None);
        let first_invalid = self.draft.first_invalid_event(self.now);
        let length = self.draft.event_count();
        let Versioned { version, timestamp, .. } = self.at_present(());
        let erased = self.draft.erased_event_count();
        ChainReport { valid: first_invalid.is_none(), length, first_invalid, erased, version, timestamp }
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
        let count = self.draft.view().event_count();
        let reaches_end = match (direction, start) {
            (Direction::Reverse, start) => start.is_none_or(|start| start >= count),
            // Events of one type may lie anywhere, so only a page of all types is known to end before the tail.
            (Direction::Forward, start) => {
                kind.is_some() || start.unwrap_or(0).saturating_add(limit as u64) >= count
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

    /// The page that begins at `first` of `count` events, whose sequences `at` knows.
    fn page(
        &self,
        first: u64,
        count: u64,
        limit: usize,
        direction: Direction,
        at: impl Fn(u64) -> u64,
    ) -> Outcome {
        let available = match direction {
            Direction::Forward => count.saturating_sub(first),
            Direction::Reverse => (first + 1).min(count),
        };
        let length = available.min(limit.min(self.limits.items_max) as u64);
        let place = |step: u64| match direction {
            Direction::Forward => at(first + step),
            Direction::Reverse => at(first - step),
        };
        let events = (0..length).filter_map(|step| self.draft.event(place(step), self.now)).collect();
        let next = (length < available).then(|| place(length));
        let Versioned { version, timestamp, .. } = self.at_present(());
        Outcome::Events(EventPage { events, next, version, timestamp })
    }

    fn stage_event(&mut self, kind: Arc<str>, payload: Encoded, salt: [u8; 16]) -> Result<(), Error> {
        let sequence = self.draft.event_count();
        let hash = event_hash(&self.draft.head_hash(), sequence, &kind, self.now, &payload, &salt);
        self.draft.stage(Mutation::EventAppend { sequence, kind, payload, salt, hash }, self.limits)
    }
}
