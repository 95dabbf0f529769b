//! Where a log's next segment comes from.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::error::AppendError;
use crate::lsn::Lsn;
use crate::prepare::{PreparedSegment, SegmentRequest};
use crate::segment::{
    SEGMENT_HEADER_SIZE, SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN, SegmentHeader, next_segment_size,
};
use crate::storage::Access;

/// The prepared segments a log has not begun yet, and what it has asked for.
#[derive(Debug)]
pub(crate) struct SegmentSupply {
    access: Access,
    unsynced_bytes_max: u64,
    spares: VecDeque<PreparedSegment>,
    /// Number, end and size of the newest segment, begun or not.
    newest: (u64, Lsn, u64),
    /// Segments are no larger than this unless a record needs it, or they are filled faster than they can be prepared.
    size_max: u64,
    /// When the last one was asked for.
    requested_at: Option<Instant>,
    state: State,
    /// Bytes of batches that the next segment must hold.
    needed: u64,
}

/// A segment that is filled faster than this is followed by one of twice its size: preparing one takes some 10 ms whatever
/// its size, and the log would wait for it.
const FAST: Duration = Duration::from_millis(25);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was asked for.
    Idle,
    /// An append waits for a segment.
    Wanted,
    /// The request is on its way.
    Requested,
    /// The last request was refused. It was for an append that needed this many bytes; 0 when it was made ahead.
    Refused { needed: u64 },
}

impl SegmentSupply {
    pub(crate) fn new(access: Access, unsynced_bytes_max: u64, active: &SegmentHeader) -> SegmentSupply {
        let newest = (active.number, active.end_lsn(), active.size);
        SegmentSupply {
            access,
            unsynced_bytes_max,
            spares: VecDeque::new(),
            newest,
            size_max: SEGMENT_SIZE_MAX,
            requested_at: None,
            state: State::Idle,
            needed: 0,
        }
    }

    /// Bounds the size of the segments that are asked for from now on, bytes.
    pub(crate) fn bound(&mut self, size_max: u64) {
        self.size_max = size_max;
    }

    /// Takes a segment that recovery found or that was just prepared.
    pub(crate) fn add(&mut self, spare: PreparedSegment) {
        assert_eq!(spare.header.number, self.newest.0 + 1, "segments are numbered without gaps");
        assert_eq!(spare.header.first_lsn, self.newest.1, "segments follow each other");
        self.newest = (spare.header.number, spare.header.end_lsn(), spare.header.size);
        self.spares.push_back(spare);
        self.state = State::Idle;
        self.needed = 0;
    }

    /// Whether a request is on its way.
    pub(crate) fn is_awaited(&self) -> bool {
        self.state == State::Requested
    }

    /// The request was refused.
    pub(crate) fn refuse(&mut self) {
        self.state = State::Refused { needed: self.needed };
        self.needed = 0;
    }

    /// The first spare that holds `needed` bytes of batches; smaller ones before it are passed over for good.
    ///
    /// Without one it remembers the need: `Stalled` while it may still be met, `Full` when a request for as much was
    /// refused. The next append asks anew: what was too much for one record is no reason to refuse a smaller one, and
    /// space may have returned.
    pub(crate) fn take(&mut self, needed: u64) -> Result<PreparedSegment, AppendError> {
        let fits = |spare: &PreparedSegment| needed <= spare.header.size - SEGMENT_HEADER_SIZE;
        if let Some(index) = self.spares.iter().position(fits) {
            self.spares.drain(..index);
            return Ok(self.spares.pop_front().expect("a spare was found there"));
        }
        match self.state {
            State::Refused { needed: refused } if (1..=needed).contains(&refused) => {
                self.state = State::Idle;
                return Err(AppendError::Full);
            }
            State::Refused { .. } | State::Idle => self.state = State::Wanted,
            State::Wanted | State::Requested => {}
        }
        self.needed = self.needed.max(needed);
        Err(AppendError::Stalled)
    }

    /// A segment of the smallest size, with which sizes begin to double again. Larger spares are passed over for good.
    ///
    /// # Errors
    /// Those of [`take`](Self::take).
    pub(crate) fn take_smallest(&mut self) -> Result<PreparedSegment, AppendError> {
        while self.spares.pop_front_if(|spare| spare.header.size > SEGMENT_SIZE_MIN).is_some() {}
        if self.spares.is_empty() {
            self.newest.2 = 0;
        }
        self.take(1)
    }

    /// What to prepare next: once per need, and one ahead of need when `is_half_full`.
    pub(crate) fn request(
        &mut self,
        log: u32,
        is_half_full: bool,
        durable_through: Lsn,
    ) -> Option<SegmentRequest> {
        let is_ahead = self.state == State::Idle && self.spares.is_empty() && is_half_full;
        if self.state != State::Wanted && !is_ahead {
            return None;
        }
        self.state = State::Requested;
        let (number, first_lsn, size) = self.newest;
        let now = Instant::now();
        let is_fast = self.requested_at.replace(now).is_some_and(|last| now - last < FAST);
        let size_max = if is_fast { SEGMENT_SIZE_MAX } else { self.size_max };
        Some(SegmentRequest {
            log,
            number: number + 1,
            first_lsn,
            size: next_segment_size(size, self.needed, size_max),
            access: self.access,
            unsynced_bytes_max: self.unsynced_bytes_max,
            durable_through,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store_id::StoreId;

    fn supply() -> SegmentSupply {
        let active = SegmentHeader {
            store: StoreId([7; 16]),
            log: 0,
            log_count: 1,
            number: 1,
            size: 256 << 10,
            first_lsn: Lsn::ZERO,
            chain_seed: 1,
            unsynced_bytes_max: 1,
            created_micros: 1,
        };
        SegmentSupply::new(Access::Write, 1, &active)
    }

    fn refuse_next(supply: &mut SegmentSupply) -> u64 {
        let request = supply.request(0, false, Lsn::ZERO).expect("somebody needs a segment");
        supply.refuse();
        request.size
    }

    /// One record of 32 MiB found no space, and after it every small write was refused as well, although a segment
    /// for those could have been had.
    #[test]
    fn a_refused_large_record_does_not_refuse_the_small_ones_behind_it() {
        let mut supply = supply();
        let large = 32 << 20;
        assert_eq!(supply.take(large).unwrap_err(), AppendError::Stalled);
        assert!(refuse_next(&mut supply) > large);
        assert_eq!(supply.take(large).unwrap_err(), AppendError::Full);
        assert_eq!(supply.take(1000).unwrap_err(), AppendError::Stalled, "a small one asks for itself");
        assert_eq!(refuse_next(&mut supply), 512 << 10);
        assert_eq!(supply.take(1000).unwrap_err(), AppendError::Full);
    }

    #[test]
    fn a_refusal_ahead_of_need_refuses_nobody() {
        let mut supply = supply();
        assert!(supply.request(0, true, Lsn::ZERO).is_some());
        supply.refuse();
        assert!(
            supply.request(0, true, Lsn::ZERO).is_none(),
            "it is not asked for again before it is needed"
        );
        assert_eq!(supply.take(1000).unwrap_err(), AppendError::Stalled);
        assert!(supply.request(0, true, Lsn::ZERO).is_some());
    }
}
