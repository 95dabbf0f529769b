//! The records of one run, from one of them back.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use strata_primitives::{EntityRef, Error, ErrorKind, RunId, Version};
use strata_wal::LogHistory;

use crate::history::group_of;
use crate::record::{self, Record, RecordHead, RecordPlace};
use crate::store_error::store_error;

/// A run whose records are read in the log, as far as they are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordWalk {
    pub(crate) run: RunId,
    /// Where it begins.
    pub(crate) newest: RecordPlace,
    /// The record in front of all that it meets: of another run, or not needed.
    pub(crate) base: RecordPlace,
}

/// What milestones say that were met before. A walk meets few that lie far apart, and each is a read of its own; the next walk meets
/// most of them again.
///
/// A record stays what it is until its shard is recovered anew. One that is gone since lies in front of what can be asked for, so a walk that meets it
/// here goes past it no further than it would.
#[derive(Debug, Default)]
pub(crate) struct KnownMilestones {
    recovery: u64,
    known: BTreeMap<(RunId, RecordPlace), RecordHead>,
}

/// Most milestones that are known; more begin anew.
const KNOWN_MAX: usize = 4_096;

impl KnownMilestones {
    /// What is asked from here on is asked by a shard of this recovery.
    pub(crate) fn begin(&mut self, recovery: u64) {
        if self.recovery != recovery {
            *self = KnownMilestones { recovery, ..KnownMilestones::default() };
        }
    }

    fn note(&mut self, place: RecordPlace, head: &RecordHead) {
        if head.milestone.is_none() {
            return;
        }
        if self.known.len() == KNOWN_MAX {
            self.known.clear();
        }
        // What it says beside its place and its time is read where it is wanted.
        let head = RecordHead { cause: None, operation: None, ..head.clone() };
        self.known.insert((head.run, place), head);
    }
}

impl RecordWalk {
    /// The newest record that does not come behind what is wanted: one of which `order` says so is passed over, by milestones where
    /// they come behind it too. `None` when there is no such record.
    ///
    /// # Errors
    /// `HistoryTrimmed` when it is gone, `Corrupt`, `Io`.
    pub(crate) fn find(
        &self,
        log: &mut LogHistory,
        known: &mut KnownMilestones,
        order: impl Fn(&RecordHead) -> Ordering,
    ) -> Result<Option<(RecordPlace, RecordHead)>, Error> {
        let mut at = self.newest;
        while at != self.base && at != RecordPlace::default() {
            let head = self.known_head(at, log, known)?.ok_or_else(|| self.trimmed())?;
            if order(&head) != Ordering::Greater {
                return Ok(Some((at, head)));
            }
            at = self.further_back(&head, log, known, &order)?;
        }
        Ok(None)
    }

    /// Of the records that one behind what is wanted names, the one furthest back that is not in front of it.
    fn further_back(
        &self,
        head: &RecordHead,
        log: &mut LogHistory,
        known: &mut KnownMilestones,
        order: impl Fn(&RecordHead) -> Ordering,
    ) -> Result<RecordPlace, Error> {
        for place in head.milestone.into_iter().flat_map(|milestone| [milestone.far, milestone.near]) {
            // One that is gone lies in front of what is wanted.
            if self.known_head(place, log, known)?.is_some_and(|named| order(&named) != Ordering::Less) {
                return Ok(place);
            }
        }
        Ok(head.previous)
    }

    /// Where the records behind `from` stand, up to the version `through`, oldest first.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub(crate) fn places_behind(
        &self,
        from: Version,
        through: Version,
        log: &mut LogHistory,
        known: &mut KnownMilestones,
    ) -> Result<Vec<RecordPlace>, Error> {
        let mut places = Vec::new();
        let mut at = self.newest;
        while at != self.base && at != RecordPlace::default() {
            let head = self.known_head(at, log, known)?.ok_or_else(|| self.trimmed())?;
            if head.version <= from {
                break;
            }
            if head.version <= through {
                places.push(at);
                at = head.previous;
            } else {
                at = self.further_back(&head, log, known, |head| head.version.cmp(&through))?;
            }
        }
        places.reverse();
        Ok(places)
    }

    /// The record at a place.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub(crate) fn record(&self, place: RecordPlace, log: &mut LogHistory) -> Result<Record, Error> {
        let record = log.record(group_of(self.run), place.log, place.lsn).map_err(store_error)?;
        let decoded = record::decode(record.ok_or_else(|| self.trimmed())?.body);
        decoded.map_err(|reason| self.damaged(place, reason, log))
    }

    /// What the record at a place says, of a milestone that was met before as it said then; `None` when it is gone.
    fn known_head(
        &self,
        place: RecordPlace,
        log: &mut LogHistory,
        known: &mut KnownMilestones,
    ) -> Result<Option<RecordHead>, Error> {
        if let Some(head) = known.known.get(&(self.run, place)) {
            return Ok(Some(head.clone()));
        }
        let head = self.head(place, log)?;
        head.iter().for_each(|head| known.note(place, head));
        Ok(head)
    }

    /// What the record at a place says; `None` when it is gone.
    pub(crate) fn head(&self, place: RecordPlace, log: &mut LogHistory) -> Result<Option<RecordHead>, Error> {
        let record = log.record(group_of(self.run), place.log, place.lsn).map_err(store_error)?;
        let Some(record) = record else { return Ok(None) };
        let head = record::decode_head(record.body).and_then(|head| {
            let named =
                [Some(head.previous), head.milestone.map(|of| of.near), head.milestone.map(|of| of.far)];
            if head.run != self.run {
                return Err(format!("a record of run {} stands where run {} has one", head.run, self.run));
            }
            match named.into_iter().flatten().any(|named| named >= place) {
                true => Err("a record names one that does not come before it".to_string()),
                false => Ok(head),
            }
        });
        head.map(Some).map_err(|reason| self.damaged(place, reason, log))
    }

    /// The record at a place is not what it should be.
    pub(crate) fn damaged(&self, place: RecordPlace, reason: String, log: &mut LogHistory) -> Error {
        store_error(log.corrupt(group_of(self.run), place.log, place.lsn, reason))
    }

    fn trimmed(&self) -> Error {
        let message = "a record of the run is no longer kept";
        let error = Error::new(ErrorKind::HistoryTrimmed, message).with_entity(EntityRef::run(self.run));
        error.with_source(RecordGone)
    }
}

/// Why an answer is not there: a record was not found. Where it had not been given up, it is lost.
#[derive(Debug, thiserror::Error)]
#[error("a record is neither in the log nor in its history")]
struct RecordGone;

/// Whether what failed has missed a record.
pub(crate) fn is_record_gone(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<RecordGone>())
}

/// What is said where a record that is needed was missed; any other error stays as it is.
pub(crate) fn lost(error: Error, message: impl Into<String>) -> Error {
    if !is_record_gone(&error) {
        return error;
    }
    let entity = error.entity().cloned();
    let lost = Error::new(ErrorKind::Corrupt, message.into()).with_source(error);
    entity.into_iter().fold(lost, Error::with_entity)
}

#[cfg(test)]
mod tests {
    use strata_primitives::{Durability, Timestamp};
    use strata_wal::Lsn;

    use super::*;
    use crate::record::Milestone;

    fn head(number: u64, milestone: Option<Milestone>) -> RecordHead {
        RecordHead {
            run: RunId::from_bytes([1; 16]),
            version: Version(number),
            timestamp: Timestamp(number),
            durability: Durability::Buffered,
            previous: RecordPlace::default(),
            milestone,
            cause: None,
            operation: None,
            reads: None,
        }
    }

    #[test]
    fn milestones_are_known_up_to_a_bound_and_until_the_shard_is_recovered() {
        let place = |number: u64| RecordPlace { log: 0, lsn: Lsn(number) };
        let milestone = Some(Milestone { near: place(1), far: place(1) });
        let mut known = KnownMilestones::default();
        known.begin(1);
        known.note(place(8), &head(1, None));
        assert!(known.known.is_empty(), "only milestones are");
        for number in 0..KNOWN_MAX as u64 {
            known.note(place(number), &head(number, milestone));
        }
        known.begin(1);
        assert_eq!(known.known.len(), KNOWN_MAX);
        known.note(place(KNOWN_MAX as u64), &head(1, milestone));
        assert_eq!(known.known.len(), 1);
        known.begin(2);
        assert!(known.known.is_empty());
    }
}
