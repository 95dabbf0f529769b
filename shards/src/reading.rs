//! Reads on the thread of whoever asks, from what the shard of the run has published.

use std::sync::Arc;
use std::time::Duration;

use strata_primitives::{
    Error, EventRef, FindKey, KeyKind, KeyRange, KeyRef, Limits, Operation, OrderIndex, Outcome, RunId,
    RunState, Stamp, Timestamp, Versioned,
};
use strata_runtime::Publication;

use crate::calls::Caller;
use crate::engine::{Engine, forked_error};
use crate::frozen::Frozen;
use crate::message::Message;
use crate::picture::{Picture, Pin, Reach, answer};
use crate::reader::Reader;

impl Caller<'_> {
    /// Answers a read: without a message, where what it looks at is as published.
    ///
    /// # Panics
    /// If it is a write.
    pub fn read(
        &self,
        run: RunId,
        reader: &Arc<Reader>,
        operation: Operation,
        limits: &Limits,
    ) -> Result<Outcome, Error> {
        match self.engine.read_published(run, reader, operation, limits)? {
            Published::Answered(outcome) => Ok(outcome),
            Published::NotKnown(operation) => self.operate(run, operation, None),
        }
    }
}

/// What a look at what is published tells of a read.
pub(crate) enum Published {
    Answered(Outcome),
    /// It is to be asked by message.
    NotKnown(Operation),
}

impl Engine {
    /// Answers a read without a message, where what it looks at is as published; else it is noted that its reader asks.
    ///
    /// # Panics
    /// If it is a write.
    #[inline]
    pub(crate) fn read_published(
        &self,
        run: RunId,
        reader: &Arc<Reader>,
        operation: Operation,
        limits: &Limits,
    ) -> Result<Published, Error> {
        let mut unanswered = Some(operation);
        let answer = self.look(reader, |publication| {
            let picture = publication.shown();
            let operation = unanswered.take_if(|operation| {
                let has_order = operation.needs_order().is_none_or(|index| picture.state().has_order(index));
                has_order && Reach::of(operation).is_as_published(publication)
            })?;
            Some(answer(picture.state(), picture.boot(), operation, self.now_for(publication), limits))
        })?;
        match (answer, unanswered) {
            (Some(answer), _) => answer.map(Published::Answered),
            (None, operation) => {
                self.note_asked(run, reader);
                Ok(Published::NotKnown(operation.expect("what was not answered was not taken")))
            }
        }
    }

    /// Hands `found` what is under a key, or nothing, without a message. Whether it could: else it has to be asked for.
    pub fn read_key(
        &self,
        reader: &Reader,
        kind: KeyKind,
        name: &str,
        found: &mut FindKey<'_>,
    ) -> Result<bool, Error> {
        let answered = self.look(reader, |publication| {
            let is_known = Reach::key(kind, name).is_as_published(publication);
            is_known
                .then(|| find(publication.shown().state(), kind, name, || self.now_for(publication), found))
        });
        Ok(answered?.is_some())
    }

    /// Hands the newest events to `visit`, newest first, without a message; tells how many, and the version at which these are the
    /// newest. Nothing where they have to be asked for.
    pub fn visit_last_events(
        &self,
        reader: &Reader,
        limit: usize,
        visit: &mut dyn FnMut(EventRef<'_>),
    ) -> Result<Option<Versioned<u64>>, Error> {
        self.look(reader, |publication| {
            let picture = publication.shown();
            publication
                .is_newest()
                .then(|| visit_newest(picture.state(), picture.pin().stamp(), limit, visit))
        })
    }

    /// The same of such a picture that somebody keeps.
    pub fn visit_last_events_of_pin(
        &self,
        pin: &Pin,
        limit: usize,
        visit: &mut dyn FnMut(EventRef<'_>),
    ) -> Result<Versioned<u64>, Error> {
        self.check_caller()?;
        pin.with_state(|state| visit_newest(state, pin.stamp(), limit, visit))
    }

    /// Hands the keys of a range with their values to `visit`, `limit` at most, without a message; tells how many, and the version at
    /// which these are the keys. Nothing where they have to be asked for, as where nobody has asked for their order yet.
    pub fn visit_keys(
        &self,
        reader: &Reader,
        range: &KeyRange<'_>,
        limit: usize,
        visit: &mut dyn FnMut(KeyRef<'_>),
    ) -> Result<Option<Versioned<u64>>, Error> {
        self.look(reader, |publication| {
            let picture = publication.shown();
            let (state, stamp) = (picture.state(), picture.pin().stamp());
            let is_known = state.has_order(OrderIndex::Keys(KeyKind::Kv)) && publication.is_newest();
            is_known.then(|| visit_range(state, stamp, range, self.now_for(publication), limit, visit))
        })
    }

    /// The same of such a picture that somebody keeps; the first walk sorts the keys, where nobody has before.
    pub fn visit_keys_of_pin(
        &self,
        pin: &Pin,
        now: Timestamp,
        range: &KeyRange<'_>,
        limit: usize,
        visit: &mut dyn FnMut(KeyRef<'_>),
    ) -> Result<Versioned<u64>, Error> {
        self.check_caller()?;
        pin.with_state(|state| {
            state.ensure_order(OrderIndex::Keys(KeyKind::Kv));
            visit_range(state, pin.stamp(), range, now, limit, visit)
        })
    }

    /// A picture of the run as it is now, with the time at which it judges deadlines; `None` where it has to be asked for by message.
    pub fn pin(&self, reader: &Reader) -> Result<Option<(Arc<Pin>, Timestamp)>, Error> {
        self.look(reader, |publication| {
            publication
                .is_newest()
                .then(|| (Arc::clone(publication.shown().pin()), self.now_for(publication)))
        })
    }

    /// Answers a read from a picture that somebody keeps.
    ///
    /// # Errors
    /// Whatever the read is refused with; `HistoryTrimmed` when the picture was given up, `Closed` when its shard has ended.
    pub fn read_pin(
        &self,
        pin: &Pin,
        now: Timestamp,
        operation: Operation,
        limits: &Limits,
    ) -> Result<Outcome, Error> {
        self.check_caller()?;
        pin.answer(operation, now, limits)
    }

    /// Hands `found` what is under a key of such a picture.
    pub fn read_key_of_pin(
        &self,
        pin: &Pin,
        now: Timestamp,
        kind: KeyKind,
        name: &str,
        found: &mut FindKey<'_>,
    ) -> Result<(), Error> {
        self.check_caller()?;
        pin.with_state(|state| find(state, kind, name, || now, found))
    }

    /// The same picture in the hands of the caller.
    pub fn freeze_pin(&self, pin: &Pin, now: Timestamp) -> Result<Frozen, Error> {
        self.check_caller()?;
        Frozen::of_pin(pin, now)
    }

    /// Looks at what is published for a reader.
    #[inline]
    fn look<R>(
        &self,
        reader: &Reader,
        look: impl FnOnce(&Publication<Picture>) -> Option<R>,
    ) -> Result<Option<R>, Error> {
        self.check_caller()?;
        Ok(reader.board.read(look).flatten())
    }

    /// A read is refused to those whose messages would be.
    #[inline]
    fn check_caller(&self) -> Result<(), Error> {
        if !self.is_own_process() {
            return Err(forked_error());
        }
        self.refuse_on_shard_thread()
    }

    /// When deadlines are judged by who reads what is published: not in front of any commit that he may know of.
    fn now_for(&self, publication: &Publication<Picture>) -> Timestamp {
        self.clock.now().max(Timestamp(publication.time()))
    }

    /// Notes that a reader asks by message; one that asks again is told to the shard.
    pub fn note_asked(&self, run: RunId, reader: &Arc<Reader>) {
        if reader.note_asked() {
            // Without room for it, the next read tries again.
            let message = Message::Attend { run, reader: Arc::clone(reader) };
            if self.shards[self.shard_of(run)].send(message, Duration::ZERO).is_err() {
                reader.note_untold();
            }
        }
    }
}

fn visit_newest(
    state: &RunState,
    stamp: Stamp,
    limit: usize,
    visit: &mut dyn FnMut(EventRef<'_>),
) -> Versioned<u64> {
    visit_all(state.events_from_newest().take(limit), stamp, visit)
}

fn visit_range(
    state: &RunState,
    stamp: Stamp,
    range: &KeyRange<'_>,
    now: Timestamp,
    limit: usize,
    visit: &mut dyn FnMut(KeyRef<'_>),
) -> Versioned<u64> {
    visit_all(state.keys_in_order(KeyKind::Kv, range, now).take(limit), stamp, visit)
}

/// Hands all of them over, and tells how many.
fn visit_all<T>(all: impl Iterator<Item = T>, stamp: Stamp, visit: &mut dyn FnMut(T)) -> Versioned<u64> {
    let mut count = 0;
    all.for_each(|one| {
        visit(one);
        count += 1;
    });
    Versioned { value: count, version: stamp.version, timestamp: stamp.timestamp }
}

/// Hands `found` what is under a key of a run and has not expired.
#[inline]
fn find(
    state: &RunState,
    kind: KeyKind,
    name: &str,
    now: impl FnOnce() -> Timestamp,
    found: &mut FindKey<'_>,
) {
    let entry = state.key(kind, name);
    let is_live = entry.is_some_and(|(_, _, deadline)| deadline.is_none_or(|deadline| deadline > now()));
    found(entry.filter(|_| is_live).map(|(value, stamp, _)| (value, stamp)));
}
