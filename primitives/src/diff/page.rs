//! A page of differences in the making.
use super::Diff;
use super::difference::{DiffPlace, Difference};
use super::lineage::Lineage;
use crate::run_state::RunState;

pub(super) struct Page<'a> {
    pub(super) before: &'a RunState,
    pub(super) after: &'a RunState,
    pub(super) lineage: Lineage,
    behind: Option<&'a DiffPlace>,
    limit: usize,
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
        Self { before, after, lineage, behind, limit: limit.max(1), differences: Vec::new() }
    }

    /// Whether it has all that it may have.
    pub(super) fn is_full(&self) -> bool {
        self.differences.len() >= self.limit
    }

    /// Whether a difference at this place would belong to it: it is not full, and goes on behind a place in front of this one.
    pub(super) fn wants(&self, place: &DiffPlace) -> bool {
        !self.is_full() && self.behind.is_none_or(|behind| behind < place)
    }

    /// Takes the next difference, if it belongs to the page.
    pub(super) fn put(&mut self, difference: Difference) {
        if self.wants(&difference.place()) {
            self.differences.push(difference);
        }
    }

    pub(super) fn finish(self) -> Diff {
        let next = self.differences.last().filter(|_| self.is_full()).map(Difference::place);
        Diff { differences: self.differences, next }
    }
}
