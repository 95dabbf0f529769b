//! A page of differences in the making.
use super::Diff;
use super::difference::{DiffPlace, Difference};
use super::lineage::Lineage;
use crate::run_state::RunState;

/// A page ends with the difference with which the values that it tells come to this, bytes.
pub const DIFF_SIZE_MAX: usize = 16 << 20;

pub(super) struct Page<'a> {
    pub(super) before: &'a RunState,
    pub(super) after: &'a RunState,
    pub(super) lineage: Lineage,
    behind: Option<&'a DiffPlace>,
    limit: usize,
    size_max: usize,
    size: usize,
    differences: Vec<Difference>,
}

impl<'a> Page<'a> {
    pub(super) fn new(
        before: &'a RunState,
        after: &'a RunState,
        behind: Option<&'a DiffPlace>,
        limit: usize,
    ) -> Self {
        let lineage = Lineage::of(before, after);
        let (limit, size_max) = (limit.max(1), DIFF_SIZE_MAX);
        Self { before, after, lineage, behind, limit, size_max, size: 0, differences: Vec::new() }
    }

    /// All that differs, however much that is.
    pub(super) fn unbounded(before: &'a RunState, after: &'a RunState) -> Self {
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
