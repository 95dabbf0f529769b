//! Reads on the thread of whoever asks, from what the shard of the run has published or from a picture that he keeps.

use std::sync::Arc;
use std::time::Duration;

use strata_primitives::{
    Error, EventRef, FindKey, KeyKind, KeyRange, KeyRef, Limits, Operation, OrderIndex, Outcome, RunId,
    Timestamp, Versioned,
};
use strata_runtime::Publication;

use crate::calls::Caller;
use crate::engine::{Engine, forked_error};
use crate::frozen::Frozen;
use crate::message::Message;
use crate::picture::{Picture, Pin, Reach};
use crate::reader::Reader;
use crate::sight::{Seen, Sight};

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
        let (reach, order) = (Reach::of(&operation), operation.needs_order());
        let mut unanswered = Some(operation);
        let answer = self.look(Sight::Published(reader), reach, order, |seen| {
            seen.answer(unanswered.take().expect("it is answered once"), limits)
        })?;
        match (answer, unanswered) {
            (Some(answer), _) => answer.map(Published::Answered),
            (None, operation) => {
                self.note_asked(run, reader);
                Ok(Published::NotKnown(operation.expect("what was not answered was not taken")))
            }
        }
    }

    /// Answers a read from a picture that somebody keeps.
    ///
    /// # Errors
    /// Whatever the read is refused with; `HistoryTrimmed` when the picture was given up, `Closed` when its shard has ended.
    ///
    /// # Panics
    /// If it is a write.
    pub fn read_pin(
        &self,
        pin: &Arc<Pin>,
        now: Timestamp,
        operation: Operation,
        limits: &Limits,
    ) -> Result<Outcome, Error> {
        let order = operation.needs_order();
        let answer =
            self.look(Sight::Kept(pin, now), Reach::Whole, order, |seen| seen.answer(operation, limits))?;
        answer.expect("all of a picture is known")
    }

    /// Hands `found` what is under a key, or nothing, without a message. Whether it could: else it has to be asked for.
    pub fn read_key(
        &self,
        sight: Sight<'_>,
        kind: KeyKind,
        name: &str,
        found: &mut FindKey<'_>,
    ) -> Result<bool, Error> {
        let answered = self.look(sight, Reach::key(kind, name), None, |seen| seen.find(kind, name, found));
        Ok(answered?.is_some())
    }

    /// Hands the newest events to `visit`, newest first, without a message; tells how many, and the version at which these are the
    /// newest. Nothing where they have to be asked for.
    pub fn visit_last_events(
        &self,
        sight: Sight<'_>,
        limit: usize,
        visit: &mut dyn FnMut(EventRef<'_>),
    ) -> Result<Option<Versioned<u64>>, Error> {
        self.look(sight, Reach::Whole, None, |seen| seen.visit_newest(limit, visit))
    }

    /// Hands the keys of a range with their values to `visit`, `limit` at most, without a message; tells how many, and the version at
    /// which these are the keys. Nothing where they have to be asked for, as where nobody has asked for their order yet.
    pub fn visit_keys(
        &self,
        sight: Sight<'_>,
        range: &KeyRange<'_>,
        limit: usize,
        visit: &mut dyn FnMut(KeyRef<'_>),
    ) -> Result<Option<Versioned<u64>>, Error> {
        let order = Some(OrderIndex::Keys(KeyKind::Kv));
        self.look(sight, Reach::Whole, order, |seen| seen.visit_range(range, limit, visit))
    }

    /// A picture of the run as it is now, with the time at which it judges deadlines; `None` where it has to be asked for by message.
    pub fn pin(&self, reader: &Reader) -> Result<Option<(Arc<Pin>, Timestamp)>, Error> {
        self.look(Sight::Published(reader), Reach::Whole, None, |seen| (Arc::clone(seen.pin), (seen.now)()))
    }

    /// The same picture in the hands of the caller.
    pub fn freeze_pin(&self, pin: &Pin, now: Timestamp) -> Result<Frozen, Error> {
        self.check_caller()?;
        Frozen::of_pin(pin, now)
    }

    /// Looks at a run where it is seen, if what the look reaches is known there, in this order.
    #[inline]
    fn look<R>(
        &self,
        sight: Sight<'_>,
        reach: Reach,
        order: Option<OrderIndex>,
        look: impl FnOnce(Seen<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        self.check_caller()?;
        let look = |seen: Seen<'_>| {
            order.into_iter().for_each(|order| seen.state.ensure_sorted(order));
            look(seen)
        };
        match sight {
            Sight::Published(reader) => Ok(reader
                .board
                .read(|publication| {
                    let (state, pin) = (publication.shown().state(), publication.shown().pin());
                    let has_order = order.is_none_or(|order| state.has_order(order));
                    let is_known = has_order && reach.is_as_published(publication);
                    is_known.then(|| look(Seen { state, pin, now: &|| self.now_for(publication) }))
                })
                .flatten()),
            Sight::Kept(pin, now) => {
                pin.with_state(|state| look(Seen { state, pin, now: &|| now })).map(Some)
            }
        }
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
