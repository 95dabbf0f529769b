//! Who follows a run, and what each one has still to be told.
//!
//! Events are kept by the run itself, so a follower of events names the sequence it wants next and can never miss
//! one. Commits are not kept: each follower has a bounded queue of those it has not acknowledged, and when that
//! overflows it is told how many it has missed. A follower pins nothing of the run.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use strata_primitives::{Cause, EntityRef, Error, ErrorKind, EventPage, RunId, Stamp, Version};

use crate::message::Reply;
use crate::run::{Need, Progress};

/// The name of a subscription in its store, given by the caller that begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId(pub u64);

/// What somebody wants to be told next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewsFrom {
    /// Events of this sequence and behind it.
    Event(u64),
    /// Commits behind this one; those up to it have arrived.
    Commit(Version),
}

/// A commit, as those who follow the run are told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitNotice {
    /// Its number and time.
    pub stamp: Stamp,
    /// What it changed, in order, each thing once in a row.
    pub changes: Vec<EntityRef>,
    /// Why it was made, when its writer said so.
    pub cause: Option<Cause>,
}

/// What a follower is told.
#[derive(Debug)]
pub enum News {
    /// Events, from the one that was asked for.
    Events(EventPage),
    /// Commits, oldest first, behind `missed` others that the queue had no room for.
    Commits {
        /// The commits, shared with the others who follow the run.
        commits: Vec<Arc<CommitNotice>>,
        /// How many came before them and are lost to this follower.
        missed: u64,
    },
}

/// Commits that wait for one follower.
const COMMITS_MAX: usize = 1024;
/// Changed things that wait for one follower, in all of those commits together.
const CHANGES_MAX: usize = 65_536;
/// Followers of one shard.
const FOLLOWERS_MAX: usize = 65_536;

/// One follower.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) run: RunId,
    /// Its question, while there is nothing to answer.
    pub(crate) waiting: Option<(NewsFrom, Reply)>,
    /// The run was deleted: the events that were followed are gone, whatever is appended under its name later.
    pub(crate) is_over: bool,
    /// Commits it has not acknowledged; a follower of events has none.
    queue: Option<CommitQueue>,
}

/// The commits that a follower has not acknowledged, oldest first.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    commits: VecDeque<(Arc<CommitNotice>, Need)>,
    change_count: usize,
}

/// The followers of one shard.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    by_id: FxHashMap<SubscriptionId, Follower>,
    by_run: FxHashMap<RunId, Vec<SubscriptionId>>,
}

impl Follower {
    pub(crate) fn of_events(run: RunId) -> Follower {
        Follower { run, waiting: None, is_over: false, queue: None }
    }

    pub(crate) fn of_commits(run: RunId) -> Follower {
        Follower { run, waiting: None, is_over: false, queue: Some(CommitQueue::default()) }
    }

    /// The commits behind `after`, if there are any, and what the log must reach before they may be told.
    pub(crate) fn commits_behind(&mut self, after: Version) -> Option<(News, Need)> {
        let queue = self.queue.as_mut()?;
        queue.acknowledge(after);
        let (oldest, _) = queue.commits.front()?;
        // The commits of a run are numbered without gaps, so what lies between was pushed out of the queue.
        let missed = oldest.stamp.version.0.saturating_sub(after.next().0);
        let need = queue.commits.iter().fold(Need::default(), |need, (_, commit)| need.max(*commit));
        let commits = queue.commits.iter().map(|(notice, _)| Arc::clone(notice)).collect();
        Some((News::Commits { commits, missed }, need))
    }
}

impl CommitQueue {
    fn push(&mut self, notice: Arc<CommitNotice>, need: Need) {
        self.change_count += notice.changes.len();
        self.commits.push_back((notice, need));
        // The newest stays, however large: it would be told to nobody before the commit behind it.
        while self.commits.len() > COMMITS_MAX || self.change_count > CHANGES_MAX && self.commits.len() > 1 {
            let Some((lost, _)) = self.commits.pop_front() else { break };
            self.change_count -= lost.changes.len();
        }
    }

    /// Forgets what has arrived: everything up to `after`.
    fn acknowledge(&mut self, after: Version) {
        while let Some((arrived, _)) = self.commits.pop_front_if(|(notice, _)| notice.stamp.version <= after)
        {
            self.change_count -= arrived.changes.len();
        }
    }
}

impl Followers {
    /// Whether anybody follows the run.
    pub(crate) fn is_followed(&self, run: RunId) -> bool {
        !self.by_run.is_empty() && self.by_run.contains_key(&run)
    }

    /// Enters a follower.
    ///
    /// # Errors
    /// `Busy` when the shard has too many.
    pub(crate) fn insert(&mut self, id: SubscriptionId, follower: Follower) -> Result<(), Error> {
        if self.by_id.len() >= FOLLOWERS_MAX {
            let message = format!("{FOLLOWERS_MAX} subscriptions are open on the shard: close some first");
            return Err(Error::new(ErrorKind::Busy, message));
        }
        self.by_run.entry(follower.run).or_default().push(id);
        self.by_id.insert(id, follower);
        Ok(())
    }

    pub(crate) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Follower> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Follower> {
        let follower = self.by_id.remove(&id)?;
        if let Some(ids) = self.by_run.get_mut(&follower.run) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_run.remove(&follower.run);
            }
        }
        Some(follower)
    }

    /// Queues a commit for everybody who follows commits of its run.
    pub(crate) fn queue(&mut self, run: RunId, notice: &Arc<CommitNotice>, need: Need) {
        for id in self.by_run.get(&run).into_iter().flatten() {
            if let Some(queue) = self.by_id.get_mut(id).and_then(|follower| follower.queue.as_mut()) {
                queue.push(Arc::clone(notice), need);
            }
        }
    }

    /// The run was deleted: those who follow its events are told so with their next question.
    pub(crate) fn end_of_events(&mut self, run: RunId) {
        for id in self.by_run.get(&run).into_iter().flatten() {
            if let Some(follower) = self.by_id.get_mut(id) {
                follower.is_over |= follower.queue.is_none();
            }
        }
    }

    /// Those who follow the run and wait for news.
    pub(crate) fn waiting(&self, run: RunId) -> Vec<SubscriptionId> {
        let ids = self.by_run.get(&run).into_iter().flatten();
        ids.filter(|id| self.by_id.get(id).is_some_and(|follower| follower.waiting.is_some()))
            .copied()
            .collect()
    }

    /// The log has failed: commits that were taken back are told to nobody.
    pub(crate) fn forget_unseen(&mut self, progress: &Progress) {
        for queue in self.by_id.values_mut().filter_map(|follower| follower.queue.as_mut()) {
            queue.commits.retain(|(_, need)| need.is_met(progress));
            queue.change_count = queue.commits.iter().map(|(notice, _)| notice.changes.len()).sum();
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use strata_primitives::Timestamp;

    use super::*;

    fn notice(version: u64, changes: usize) -> Arc<CommitNotice> {
        let run = RunId::from_bytes([1; 16]);
        let stamp = Stamp { version: Version(version), timestamp: Timestamp(version) };
        Arc::new(CommitNotice { stamp, changes: vec![EntityRef::run(run); changes], cause: None })
    }

    fn told(follower: &mut Follower, after: u64) -> Option<(Vec<u64>, u64)> {
        match follower.commits_behind(Version(after))?.0 {
            News::Commits { commits, missed } => {
                Some((commits.iter().map(|commit| commit.stamp.version.0).collect(), missed))
            }
            News::Events(_) => None,
        }
    }

    fn followed() -> (Followers, SubscriptionId, RunId) {
        let (run, id) = (RunId::from_bytes([1; 16]), SubscriptionId(7));
        let mut followers = Followers::default();
        followers.insert(id, Follower::of_commits(run)).unwrap();
        (followers, id, run)
    }

    #[test]
    fn commits_are_told_again_until_they_are_acknowledged() {
        let (mut followers, id, run) = followed();
        assert_eq!(told(followers.get_mut(id).unwrap(), 0), None);
        for version in 1..=3 {
            followers.queue(run, &notice(version, 1), Need::default());
        }
        let follower = followers.get_mut(id).unwrap();
        assert_eq!(told(follower, 0), Some((vec![1, 2, 3], 0)));
        assert_eq!(told(follower, 2), Some((vec![3], 0)));
        assert_eq!(told(follower, 3), None);
    }

    #[test]
    fn a_follower_that_lags_is_told_how_much_it_missed() {
        let (mut followers, id, run) = followed();
        for version in 1..=COMMITS_MAX as u64 + 5 {
            followers.queue(run, &notice(version, 1), Need::default());
        }
        let follower = followers.get_mut(id).unwrap();
        let (versions, missed) = told(follower, 0).unwrap();
        assert_eq!((versions[0], versions.len(), missed), (6, COMMITS_MAX, 5));
        assert_eq!(told(follower, 6).unwrap(), (versions[1..].to_vec(), 0), "what was missed is told once");
        followers.queue(run, &notice(2_000, CHANGES_MAX), Need::default());
        assert_eq!(told(followers.get_mut(id).unwrap(), 6).unwrap(), (vec![2_000], 1_993));
    }

    #[test]
    fn a_run_that_nobody_follows_any_more_is_not_followed() {
        let (mut followers, id, run) = followed();
        assert!(followers.is_followed(run));
        assert!(!followers.is_followed(RunId::from_bytes([2; 16])));
        followers.remove(id);
        assert_eq!((followers.is_followed(run), followers.count()), (false, 0));
        assert!(followers.remove(id).is_none());
    }
}
