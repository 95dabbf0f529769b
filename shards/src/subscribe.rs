//! How a shard tells followers what happens in their runs.

use std::sync::Arc;

use strata_primitives::{
    Answer as Validated, Context, Direction, Draft, EntityRef, Error, ErrorKind, Mutation, Operation,
    Outcome, RunId, Version, validate,
};

use crate::commit::Staged;
use crate::message::{Answer, Reply};
use crate::run::Need;
use crate::shard::Shard;
use crate::subscription::{CommitNotice, Follower, News, NewsFrom, SubscriptionId};

/// Events that are told at once.
const EVENTS_OF_NEWS_MAX: usize = 256;

impl Shard {
    /// Begins to follow a run from a place on.
    pub(crate) fn subscribe(&mut self, run_id: RunId, id: SubscriptionId, from: NewsFrom, reply: Reply) {
        let Some(run) = self.runs.get(run_id).filter(|run| run.state.exists()) else {
            // That it is not there may be something a crash takes back.
            let need = self.need_of(run_id);
            return self.withheld.answer(reply, Err(missing(run_id)), need, &self.progress);
        };
        let (newest, need) = (run.state.version(), run.need);
        let follower = match from {
            NewsFrom::Event(sequence) => {
                run.state.view().check_event_kept(sequence).map(|()| Follower::of_events(run_id))
            }
            NewsFrom::Commit(after) if after == newest => Ok(Follower::of_commits(run_id)),
            NewsFrom::Commit(after) => Err(not_the_newest(run_id, after, newest)),
        };
        let begun = follower.and_then(|follower| self.followers.insert(id, follower));
        self.withheld.answer(reply, begun.map(|()| Answer::Done), need, &self.progress);
    }

    /// Answers a follower with what is there, or keeps its question until there is something.
    pub(crate) fn follow(&mut self, id: SubscriptionId, from: NewsFrom, reply: Reply) {
        let Some(follower) = self.followers.get_mut(id) else { return reply.send(Err(ended())) };
        // One question at a time: an earlier one was given up by who asked it.
        follower.waiting = Some((from, reply));
        self.tell(id);
    }

    /// Ends a subscription.
    pub(crate) fn unsubscribe(&mut self, id: SubscriptionId) {
        self.followers.remove(id);
    }

    /// What those who follow the run will be told of a commit that is about to be applied.
    pub(crate) fn notice_of(&self, staged: &Staged) -> Option<Arc<CommitNotice>> {
        if !self.followers.is_followed(staged.run) {
            return None;
        }
        // What the run does not keep any more is told to who reads it.
        let is_trim =
            |mutation: &Mutation| matches!(mutation, Mutation::EventTrim { .. } | Mutation::TraceTrim { .. });
        let told = staged.mutations.iter().filter(|mutation| !is_trim(mutation));
        let mut changes: Vec<EntityRef> = told.map(|mutation| mutation.entity(staged.run)).collect();
        changes.dedup();
        Some(Arc::new(CommitNotice { stamp: staged.stamp, changes, cause: staged.cause.clone() }))
    }

    /// Tells followers of a commit that was applied.
    pub(crate) fn notify(&mut self, run: RunId, notice: &Arc<CommitNotice>, need: Need) {
        self.followers.queue(run, notice, need);
        if self.runs.get(run).is_none_or(|run| !run.state.exists()) {
            self.followers.end_of_events(run);
        }
        for id in self.followers.waiting(run) {
            self.tell(id);
        }
    }

    /// Answers the question of a follower, if there is something to tell.
    fn tell(&mut self, id: SubscriptionId) {
        let Some(follower) = self.followers.get_mut(id) else { return };
        let run = follower.run;
        let Some((from, reply)) = follower.waiting.take() else { return };
        let news = match from {
            NewsFrom::Event(_) if follower.is_over => Some(Err(missing(run))),
            NewsFrom::Event(sequence) => self.events_from(run, sequence).transpose(),
            NewsFrom::Commit(after) => follower.commits_behind(after).map(Ok),
        };
        match news {
            Some(Ok((news, need))) => {
                self.withheld.answer(reply, Ok(Answer::News(Box::new(news))), need, &self.progress);
            }
            Some(Err(error)) => {
                let need = self.need_of(run);
                self.withheld.answer(reply, Err(error), need, &self.progress);
            }
            None => {
                if let Some(follower) = self.followers.get_mut(id) {
                    follower.waiting = Some((from, reply));
                }
            }
        }
    }

    /// The events from `sequence` on, if there are any, and what the log must reach before they may be told.
    fn events_from(&self, run_id: RunId, sequence: u64) -> Result<Option<(News, Need)>, Error> {
        let Some(run) = self.runs.get(run_id).filter(|run| run.state.exists()) else {
            return Err(missing(run_id));
        };
        // A page from 0 on would begin with what is there; a follower is told that something was removed.
        run.state.view().check_event_kept(sequence)?;
        let (start, limit, direction) = (Some(sequence), EVENTS_OF_NEWS_MAX, Direction::Forward);
        let read = Operation::EventRange { start, limit, direction };
        let context = Context { now: self.now.max(run.state.timestamp()), boot: self.boot.number };
        match validate(read, &mut Draft::new(run.state.view()), &context, &self.setup.limits)? {
            Validated::Read(Outcome::Events(page)) if page.events.is_empty() => Ok(None),
            Validated::Read(Outcome::Events(page)) => Ok(Some((News::Events(page), run.need))),
            other => unreachable!("a range of events was answered with {other:?}"),
        }
    }
}

fn missing(run: RunId) -> Error {
    let message = "the run does not exist: create or begin it before it is followed";
    Error::new(ErrorKind::NotFound, message).with_entity(EntityRef::run(run))
}

fn not_the_newest(run: RunId, after: Version, newest: Version) -> Error {
    let (kind, message) = if after > newest {
        (ErrorKind::VersionNotFound, format!("version {after} is not there yet: the newest is {newest}"))
    } else {
        let earliest = newest.next();
        let message = format!(
            "commits behind version {after} are asked for, and the earliest that can be followed is {earliest}"
        );
        (ErrorKind::HistoryTrimmed, message)
    };
    Error::new(kind, message).with_entity(EntityRef::run(run))
}

fn ended() -> Error {
    let message =
        "the subscription is not known: it has ended, or its shard has been restarted since it began";
    Error::new(ErrorKind::Closed, message)
}
