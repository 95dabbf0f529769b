//! Following what happens in a run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strata_primitives::{StoredEvent, Version};
use strata_shards::{CommitNotice, News, NewsFrom, SubscriptionId};

use crate::Result;
use crate::events::Event;
use crate::handle::RunHandle;

/// The events of a run, one after the other, as they become visible.
///
/// None is ever skipped: whoever is behind what the run [keeps](crate::Writes::set_event_retention) is told `HistoryTrimmed`. The subscription
/// pins nothing; dropping it ends it. Events arrive in pages: one that
/// is erased after its page has arrived is told as it was.
///
/// ```
/// use std::time::Duration;
/// use strata::{Database, RunSpec, Writes};
///
/// # fn main() -> Result<(), strata::Error> {
/// let database = Database::in_memory()?;
/// let run = database.begin_run(RunSpec::named("watched"))?;
/// let mut events = run.subscribe_events(0)?;
/// run.append("step", 1)?;
/// assert_eq!(events.next(Duration::from_secs(1))?.unwrap().sequence, 0);
/// assert_eq!(events.next(Duration::from_millis(1))?, None);
/// # drop(events);
/// # database.close()
/// # }
/// ```
#[derive(Debug)]
pub struct EventSubscription {
    followed: Followed,
    next: u64,
    /// Decoded one by one: payloads are shared with the run until then.
    arrived: VecDeque<StoredEvent>,
}

/// The commits of a run, one after the other, as they become visible.
///
/// The shard keeps up to 1,024 commits for a follower that is slow, with up to 65,536 changed things in all of them;
/// one that falls further behind is told how many it has missed, and goes on with the oldest that is kept. The newest
/// is kept whatever its size. The subscription pins nothing; dropping it ends it.
#[derive(Debug)]
pub struct CommitSubscription {
    followed: Followed,
    /// The newest commit that has arrived.
    after: Version,
    arrived: VecDeque<Notice>,
}

/// What a follower of commits is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The next commit.
    Commit(CommitNotice),
    /// So many commits came before the next notice and are lost to this follower.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// A run that is followed, until this is dropped.
#[derive(Debug)]
struct Followed {
    handle: RunHandle,
    id: SubscriptionId,
}

impl EventSubscription {
    pub(crate) fn begin(handle: &RunHandle, from: u64) -> Result<EventSubscription> {
        let followed = Followed::begin(handle, NewsFrom::Event(from))?;
        Ok(EventSubscription { followed, next: from, arrived: VecDeque::new() })
    }

    /// The next event, waiting up to `timeout` for it; `None` when there was none.
    ///
    /// # Errors
    /// `HistoryTrimmed` when the next event was removed before it arrived: it names the earliest that is there, from which another
    /// subscription can begin. `NotFound` when the run was deleted, `Closed` when its shard or the database has stopped, `LogFailed` when the
    /// log failed before the next event was visible. The subscription has ended after each of the first three.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Event>> {
        if self.arrived.is_empty() {
            match self.followed.news(NewsFrom::Event(self.next), timeout)? {
                Some(News::Events(page)) => {
                    self.next = page.events.last().map_or(self.next, |event| event.sequence + 1);
                    self.arrived.extend(page.events);
                }
                Some(other) => unreachable!("a follower of events was told {other:?}"),
                None => {}
            }
        }
        self.arrived.pop_front().map(Event::decode).transpose()
    }
}

impl CommitSubscription {
    pub(crate) fn begin(handle: &RunHandle, after: Version) -> Result<CommitSubscription> {
        let followed = Followed::begin(handle, NewsFrom::Commit(after))?;
        Ok(CommitSubscription { followed, after, arrived: VecDeque::new() })
    }

    /// The next commit, waiting up to `timeout` for it; `None` when there was none.
    ///
    /// # Errors
    /// `Closed` when the shard or the database has stopped, which ends the subscription; `LogFailed` when the log
    /// failed before the next commit was visible.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Notice>> {
        if self.arrived.is_empty() {
            match self.followed.news(NewsFrom::Commit(self.after), timeout)? {
                Some(News::Commits { commits, missed }) => {
                    self.arrived.extend((missed > 0).then_some(Notice::Lagged { missed }));
                    self.after = commits.last().map_or(self.after, |commit| commit.stamp.version);
                    self.arrived.extend(commits.into_iter().map(Arc::unwrap_or_clone).map(Notice::Commit));
                }
                Some(other) => unreachable!("a follower of commits was told {other:?}"),
                None => {}
            }
        }
        Ok(self.arrived.pop_front())
    }
}

impl Followed {
    fn begin(handle: &RunHandle, from: NewsFrom) -> Result<Followed> {
        let followed = Followed { handle: handle.clone(), id: SubscriptionId::fresh() };
        handle.caller().subscribe(handle.id(), followed.id, from)?;
        Ok(followed)
    }

    fn news(&self, from: NewsFrom, timeout: Duration) -> Result<Option<News>> {
        let now = Instant::now();
        // A timeout beyond the end of the clock is as good as a day at a time: the caller asks again.
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400));
        self.handle.engine().follow(self.handle.id(), self.id, from, deadline)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.handle.engine().unsubscribe(self.handle.id(), self.id);
    }
}
