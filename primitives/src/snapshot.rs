//! Open snapshots of a run, and what the run keeps for them.
use crate::content::Content;
use crate::id::RunId;
use crate::receipt::Receipts;
use crate::version::{Stamp, Version};
use crate::view::RunView;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A version of a run that is kept readable until the snapshot is closed.
///
/// Opening one copies nothing: from then on commits keep what they replace.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a snapshot that is not closed keeps what later commits replace"]
pub struct Snapshot {
    pub(crate) stamp: Stamp,
}

impl Snapshot {
    /// The version and time it shows the run at.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// Which versions of a run somebody looks at.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// Each watched version, with how many open snapshots show it.
    watched: BTreeMap<Version, usize>,
    /// Earlier lives of the run, each with the commit that deleted it, oldest first.
    ended: VecDeque<(Version, Arc<Content>)>,
}

impl Snapshots {
    /// Whether commits have to keep what they replace.
    pub(crate) fn is_any_open(&self) -> bool {
        !self.watched.is_empty()
    }

    /// The commit `by`, if it has to keep what it replaces.
    pub(crate) fn needed_by(&self, by: Version) -> Option<Version> {
        self.is_any_open().then_some(by)
    }

    pub(crate) fn open(&mut self, stamp: Stamp) -> Snapshot {
        *self.watched.entry(stamp.version).or_default() += 1;
        Snapshot { stamp }
    }

    /// The view of `snapshot`, unless what it needs was given up to bound the past.
    pub(crate) fn view<'a>(
        &'a self,
        id: RunId,
        snapshot: &Snapshot,
        present: &'a Content,
        receipts: &'a Receipts,
    ) -> Option<RunView<'a>> {
        let version = snapshot.stamp.version;
        self.watched.get(&version)?;
        let ended = self.ended.iter().find(|(deleted_by, _)| *deleted_by > version);
        let content = ended.map_or(present, |(_, content)| &**content);
        Some(RunView::at(id, snapshot.stamp, content, receipts))
    }

    /// Keeps a life that the commit `by` ended.
    pub(crate) fn keep_ended(&mut self, by: Version, content: &Arc<Content>) {
        self.ended.push_back((by, Arc::clone(content)));
    }

    /// Takes back the end of a life; nobody but a snapshot looks at it meanwhile.
    pub(crate) fn take_back_ended(&mut self, content: &Arc<Content>) {
        self.ended.retain(|(_, ended)| !Arc::ptr_eq(ended, content));
    }

    pub(crate) fn close(&mut self, snapshot: &Snapshot, present: &mut Content) {
        let version = snapshot.stamp.version;
        let Some(count) = self.watched.get_mut(&version) else { return };
        *count -= 1;
        if *count == 0 {
            self.watched.remove(&version);
            self.trim(present);
        }
    }

    /// Gives up the oldest snapshots until what is kept fits into `size_max` bytes.
    pub(crate) fn bound(&mut self, present: &mut Content, size_max: usize) {
        while present.past.size() > size_max && self.watched.pop_first().is_some() {
            self.trim(present);
        }
    }

    /// About how many bytes are kept.
    pub(crate) fn kept_size(&self, present: &Content) -> usize {
        present.past.size()
    }

    fn trim(&mut self, present: &mut Content) {
        let floor = self.watched.keys().next().copied().unwrap_or(Version::PENDING);
        while self.ended.pop_front_if(|(by, _)| *by <= floor).is_some() {}
        present.past.trim(floor);
    }
}
