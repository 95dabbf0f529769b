//! A page of differences in the making.
use super::Diff;
use super::common_commits::CommonCommits;
use super::difference::{DiffPlace, Difference};
use super::seen::Seen;
use crate::run_state::RunState;
use crate::version::Timestamp;

/// A page ends with the difference with which the values that it tells come to this, bytes.
pub const DIFF_SIZE_MAX: usize = 16 << 20;

pub(super) struct Page<'a> {
    pub(super) before: &'a RunState,
    pub(super) after: &'a RunState,
    /// When deadlines of both are judged.
    pub(super) then: Timestamp,
    pub(super) now: Timestamp,
    pub(super) commits: CommonCommits,
    behind: Option<&'a DiffPlace>,
    limit: usize,
    size_max: usize,
    size: usize,
    differences: Vec<Difference>,
}

impl<'a> Page<'a> {
    pub(super) fn new(
        before: Seen<'a>,
        after: Seen<'a>,
        behind: Option<&'a DiffPlace>,
        limit: usize,
    ) -> Self {
        let commits = CommonCommits::of(before, after);
        let (Seen { state: before, now: then }, Seen { state: after, now }) = (before, after);
        let (size_max, size, differences) = (DIFF_SIZE_MAX, 0, Vec::new());
        Self { before, after, then, now, commits, behind, limit, size_max, size, differences }
    }

    /// All that differs, however much that is.
    pub(super) fn unbounded(before: Seen<'a>, after: Seen<'a>) -> Self {
        Self { size_max: usize::MAX, ..Self::new(before, after, None, usize::MAX) }
    }

    /// Whether it has all that it may have.
    pub(super) fn is_full(&self) -> bool {
        self.differences.len() >= self.limit || self.size >= self.size_max
    }

    /// Whether a difference at this place would belong to it: it is not full, and goes on behind a place in front of this one.
    pub(super) fn wants(&self, place: &DiffPlace) -> bool {
        !self.is_full() && self.behind.is_none_or(|behind| behind < place)
    }

    /// Takes the next difference, if it belongs to the page.
    pub(super) fn put(&mut self, difference: Difference) {
        if self.wants(&difference.place()) {
            self.size += difference.size();
            self.differences.push(difference);
        }
    }

    pub(super) fn finish(self) -> Diff {
        let next = self.differences.last().filter(|_| self.is_full()).map(Difference::place);
        Diff { differences: self.differences, next }
    }
}
