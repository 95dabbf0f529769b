//! How far a walk over the traces of a transaction came, and which places its answer rests on.
use crate::operation::Direction;
use std::ops::Range;

/// A walk over traces by their places. The transaction's own come behind all of the run's.
pub(super) struct TraceWalk {
    /// Where it was asked to begin.
    pub(super) start: Option<u64>,
    pub(super) direction: Direction,
    /// How many it looked at.
    pub(super) looked: u64,
    /// The last one it looked at.
    pub(super) last: Option<u64>,
    /// The first one it left out.
    pub(super) next: Option<u64>,
    /// How many traces the run has below the transaction's own.
    pub(super) base_count: u64,
}

impl TraceWalk {
    /// Whether it was asked to begin at one of the transaction's own.
    pub(super) fn begins_among_own(&self) -> bool {
        self.start.is_some_and(|start| start >= self.base_count)
    }

    /// The places of the run that it depends on.
    pub(super) fn places(&self) -> Range<u64> {
        let &Self { start, direction, base_count, .. } = self;
        let places = match direction {
            Direction::Forward => start.unwrap_or(0)..self.end(),
            Direction::Reverse => {
                let end = start.filter(|start| *start < base_count).map_or(u64::MAX, |start| start + 1);
                self.first()..end
            }
        };
        let first = start.map_or(places.start, |_| places.start.min(base_count));
        first..places.end
    }

    /// Where an ascending walk ends. One that left something out saw nothing behind the last trace it looked at. One
    /// that did not, or that came to the transaction's own traces, would have seen traces that are recorded
    /// meanwhile: they come before those.
    fn end(&self) -> u64 {
        match (self.last, self.next) {
            (Some(last), Some(_)) if last < self.base_count => last + 1,
            _ => u64::MAX,
        }
    }

    /// The lowest place of a descending walk. What others record meanwhile comes below the transaction's own traces,
    /// so one that ended among those saw nothing of others.
    fn first(&self) -> u64 {
        match (self.last, self.next) {
            (Some(last), Some(_)) if last < self.base_count => last,
            (Some(_), Some(_)) => u64::MAX,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with ten traces, and the transaction's own behind them.
    fn walk(direction: Direction, start: Option<u64>, last: Option<u64>, next: Option<u64>) -> Range<u64> {
        TraceWalk { start, direction, looked: 0, last, next, base_count: 10 }.places()
    }

    #[test]
    fn an_ascending_walk_rests_on_all_it_passed_and_on_the_end_if_it_came_there() {
        let forward = |start, last, next| walk(Direction::Forward, start, last, next);
        assert_eq!(forward(None, Some(4), Some(5)), 0..5);
        assert_eq!(forward(Some(2), Some(4), Some(5)), 2..5);
        assert_eq!(forward(Some(2), Some(9), None), 2..u64::MAX);
        assert_eq!(forward(None, Some(11), Some(12)), 0..u64::MAX, "it passed the place of new ones");
        assert_eq!(forward(Some(11), Some(11), None), 10..u64::MAX, "it began behind the place of new ones");
        assert_eq!(forward(None, None, None), 0..u64::MAX, "nothing is there");
    }

    #[test]
    fn a_descending_walk_rests_on_all_it_passed_and_on_new_ones_unless_it_began_below() {
        let reverse = |start, last, next| walk(Direction::Reverse, start, last, next);
        assert_eq!(reverse(None, Some(7), Some(6)), 7..u64::MAX);
        assert_eq!(reverse(Some(8), Some(7), Some(6)), 7..9);
        assert_eq!(reverse(Some(8), Some(0), None), 0..9);
        let own_only = reverse(None, Some(12), Some(11));
        assert!(own_only.is_empty(), "what it left out lies above everything of others");
    }
}
