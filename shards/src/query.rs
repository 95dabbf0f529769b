//! Queries over the runs of one shard.

use strata_primitives::{RunFilter, RunId};

use crate::message::RunPage;
use crate::run::Need;
use crate::shard::Shard;

/// A query looks at no more runs than this in one turn; the page it answers says where it stopped.
const EXAMINED_MAX: usize = 2048;

impl Shard {
    /// One page of the runs that match, and what the log must reach before it may be told.
    pub(crate) fn query(
        &mut self,
        filter: &RunFilter,
        after: Option<RunId>,
        limit: usize,
    ) -> (RunPage, Need) {
        let mut page = RunPage::default();
        let mut need = Need::default();
        let mut last_seen = after;
        for (examined, held) in self.runs.iter_after(after).enumerate() {
            if page.runs.len() == limit || examined == EXAMINED_MAX {
                page.next = last_seen;
                break;
            }
            last_seen = Some(held.id());
            // A run that is left out tells something too: that it is no longer active, or is deleted.
            need = need.max(held.need());
            let Some(mut info) = held.info() else { continue };
            info.orphaned = self.boot.is_orphaned(&info);
            if filter.matches(&info) {
                page.runs.push(info);
            }
        }
        (page, need)
    }
}
