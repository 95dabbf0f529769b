//! Open snapshots of a run, and what the run keeps for them.
use crate::content::Content;
use crate::erasure::Erasure;
use crate::id::RunId;
use crate::past::Keeper;
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
    is_held: bool,
    /// How often something had been erased in the run by then.
    pub(crate) redaction_count: u64,
}

impl Snapshot {
    /// The version and time it shows the run at.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// How many things that nobody looks at any more are forgotten in one go: some 100 us.
const TRIMMED_AT_ONCE: usize = 512;

/// Which versions of a run somebody looks at.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// Each watched version, with how many open snapshots show it.
    watched: BTreeMap<Version, usize>,
    /// The versions that are not given up, however much is kept for them.
    held: Vec<Version>,
    /// Earlier lives of the run that somebody looks at, each with the commit that deleted it, oldest first.
    ended: VecDeque<(Version, Arc<Content>)>,
}

impl Snapshots {
    /// Whether commits have to keep what they replace.
    pub(crate) fn is_any_open(&self) -> bool {
        !self.watched.is_empty()
    }

    /// The commit `by`, if it has to keep what it replaces: whether somebody looks at the present life of the run.
    pub(crate) fn keeper(&self, by: Version) -> Option<Keeper> {
        let (newest_watched, _) = self.watched.last_key_value()?;
        (*newest_watched >= self.present_began()).then_some(Keeper { by, newest_watched: *newest_watched })
    }

    pub(crate) fn open(&mut self, stamp: Stamp, redaction_count: u64) -> Snapshot {
        *self.watched.entry(stamp.version).or_default() += 1;
        Snapshot { stamp, is_held: false, redaction_count }
    }

    pub(crate) fn hold(&mut self, stamp: Stamp, redaction_count: u64) -> Snapshot {
        self.held.push(stamp.version);
        Snapshot { is_held: true, ..self.open(stamp, redaction_count) }
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

    /// Puts the marker in the place of what an erasure covers of all that is kept for snapshots. Whether there was any.
    ///
    /// Where a life that has ended cannot be changed, since its end may still be taken back, its snapshots are given up, but
    /// for one that an image is written from: that image is not the newest one.
    pub(crate) fn redact(&mut self, present: &mut Content, erasure: &Erasure) -> bool {
        let mut has_kept = present.past.redact(erasure);
        let (watched, held) = (&mut self.watched, &self.held);
        let mut began = Version::NEVER;
        for (by, content) in &mut self.ended {
            match Arc::get_mut(content) {
                Some(content) => {
                    has_kept |= !content.redact(erasure).is_empty();
                    has_kept |= content.past.redact(erasure);
                }
                None => {
                    has_kept = true;
                    watched.retain(|version, _| *version < began || version >= by || held.contains(version));
                }
            }
            began = *by;
        }
        has_kept
    }

    /// Keeps a life that the commit `by` ended, if somebody looks at it.
    pub(crate) fn keep_ended(&mut self, by: Version, content: &Arc<Content>) {
        if self.keeper(by).is_some() {
            self.ended.push_back((by, Arc::clone(content)));
        }
    }

    /// Takes back the end of a life; nobody but a snapshot looks at it meanwhile.
    pub(crate) fn take_back_ended(&mut self, content: &Arc<Content>) {
        self.ended.retain(|(_, ended)| !Arc::ptr_eq(ended, content));
    }

    /// Whether there is more to forget than was forgotten at once.
    pub(crate) fn close(&mut self, snapshot: &Snapshot, present: &mut Content) -> bool {
        let version = snapshot.stamp.version;
        if let Some(place) = self.held.iter().position(|held| snapshot.is_held && *held == version) {
            self.held.swap_remove(place);
        }
        // Of one that was given up most of what was kept for it may still be there.
        if let Some(count) = self.watched.get_mut(&version) {
            *count -= 1;
            if *count > 0 {
                return false;
            }
            self.watched.remove(&version);
        }
        self.trim(present, TRIMMED_AT_ONCE)
    }

    /// Gives up the oldest snapshots until what is kept fits into `size_max` bytes, or only those that are held are left.
    /// While there is more to forget than is forgotten at once, none is given up: the next call goes on.
    pub(crate) fn bound(&mut self, present: &mut Content, size_max: usize) {
        while self.kept_size(present) > size_max && !self.trim(present, TRIMMED_AT_ONCE) {
            if self.kept_size(present) <= size_max {
                break;
            }
            let oldest = self.watched.keys().find(|version| !self.held.contains(version)).copied();
            let Some(oldest) = oldest else { break };
            self.watched.remove(&oldest);
        }
    }

    /// About how many bytes are kept.
    pub(crate) fn kept_size(&self, present: &Content) -> usize {
        let ended = self.ended.iter().map(|(_, content)| size_of::<Content>() + content.size());
        present.kept_size() + ended.sum::<usize>()
    }

    /// A version that every snapshot of the present life has reached, and none of those before. Lives between the
    /// newest one kept and the present one had nobody looking at them, so they count as either.
    fn present_began(&self) -> Version {
        self.ended.back().map_or(Version::NEVER, |(by, _)| *by)
    }

    /// Forgets what nobody looks at, `count_max` things at most. Whether there may be more.
    pub(crate) fn trim(&mut self, present: &mut Content, count_max: usize) -> bool {
        let mut budget = count_max;
        let watched = &self.watched;
        let first_behind = |began: Version| watched.range(began..).next().map(|(version, _)| *version);
        present.trim_past(first_behind(self.present_began()).unwrap_or(Version::PENDING), &mut budget);
        let mut began = Version::NEVER;
        self.ended.retain_mut(|(by, content)| {
            let first = first_behind(began).filter(|version| version < by);
            began = *by;
            // Where the deletion may still be taken back, the life is shared, and stays as it was for that.
            if let (Some(floor), Some(content)) = (first, Arc::get_mut(content)) {
                content.trim_past(floor, &mut budget);
            }
            first.is_some()
        });
        budget == 0
    }
}
