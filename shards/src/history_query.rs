//! What is asked about the commits of a run: which one a time belongs to, what they did, and what they did to one thing.
//!
//! The shard says where the commits are logged, and its loader reads them, so that nobody else waits.

use strata_primitives::{
    Cause, CommitReads, Durability, EntityRef, Erasure, Error, Key, Mutation, OperationId, Redaction,
    Retention, RunId, Stamp, Timestamp, Version,
};

use crate::calls::fresh_id;
use crate::erasing::erasures_of;
use crate::history_read::Reading;
use crate::loader::LoadRequest;
use crate::message::{Answer, Reply};
use crate::reaches::{Floors, untold_archive};
use crate::report::RetentionPreview;
use crate::run::{Need, Progress};
use crate::shard::Shard;

/// A question about the commits of a run.
#[derive(Clone, Debug)]
pub enum HistoryQuery {
    /// The newest commit that is not later than this.
    At(Timestamp),
    /// The commits behind a version, oldest first.
    Behind {
        /// The version.
        version: Version,
        /// The most commits to answer.
        limit: usize,
    },
    /// The commits that changed one thing, newest first.
    Of {
        /// The thing.
        entity: EntityRef,
        /// The version up to which they are wanted, which is included.
        through: Version,
        /// The most commits to answer.
        limit: usize,
    },
    /// What the next checkpoint would give up if it kept this much.
    Kept(Option<Retention>),
}

/// A commit as it is logged.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedCommit {
    /// The run that it is a commit of: one of those that the run descends from where it was inherited.
    pub run: RunId,
    /// The run whose history keeps it: that one, unless it was imported with another.
    pub(crate) kept_by: RunId,
    /// Its number and its time.
    pub stamp: Stamp,
    /// What its writer was promised.
    pub durability: Durability,
    /// Why it was written, when the writer said so.
    pub cause: Option<Cause>,
    /// The writer's own id of this write, when it gave one.
    pub operation_id: Option<OperationId>,
    /// What its transaction had read, where that is kept.
    pub reads: Option<CommitReads>,
    /// What it changed, in order; of those of one thing, what it changed of that.
    pub mutations: Vec<Mutation>,
}

/// One page of commits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitPage {
    /// The commits.
    pub commits: Vec<LoggedCommit>,
    /// Where the next page begins: behind this version where they are listed forwards, at it where backwards. `None` at the end.
    pub next: Option<Version>,
    /// Set where older commits are no longer kept: the version of which they are behind.
    pub trimmed: Option<Version>,
    /// Documents that runs had put whole, or taken away, before what is told of them here.
    pub(crate) whole: Vec<(RunId, Key)>,
}

impl CommitPage {
    /// Takes what is erased of a run out of those of the commits that its history keeps. That it was done before does no harm.
    pub(crate) fn redact(&mut self, run: RunId, erasures: Vec<Erasure>) {
        if erasures.is_empty() {
            return;
        }
        let mut redaction = Redaction::new(run, erasures);
        redaction.know_nothing();
        let whole = self.whole.iter().filter(|(held, _)| *held == run);
        whole.for_each(|(_, name)| redaction.know_whole(name));
        // What was derived from what is erased is known in the order in which it was written.
        let mut of_run: Vec<_> = self.commits.iter_mut().filter(|commit| commit.kept_by == run).collect();
        of_run.sort_by_key(|commit| commit.stamp.version);
        for LoggedCommit { stamp, mutations, reads, .. } in of_run {
            if let Some(redacted) = reads.as_ref().and_then(|reads| redaction.reads(reads)) {
                *reads = Some(redacted);
            }
            for mutation in mutations {
                if let Some(redacted) = redaction.mutation(mutation, stamp.version) {
                    *mutation = redacted;
                }
            }
        }
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) enum HistoryFound {
    At(Stamp),
    Commits(CommitPage),
    Kept(RetentionPreview),
}

/// A question on its way to a shard.
#[derive(Debug)]
pub struct HistoryRequest {
    pub(crate) run: RunId,
    pub(crate) query: HistoryQuery,
    pub(crate) reply: Reply,
}

/// The questions that wait, for the log to reach what they are about or to be answered by the loader.
#[derive(Debug)]
pub(crate) struct Histories {
    /// Of the shard as it was recovered: what follows a recovery may stand where something else stood before.
    recovery: u64,
    waiting: Vec<WaitingQuery>,
}

#[derive(Debug)]
struct WaitingQuery {
    run: RunId,
    need: Need,
    /// Until it is handed over.
    reading: Option<Box<Reading>>,
    request: u64,
    /// How many erasures show in the commits of each run that it is about; they are taken out of what is read.
    erased: Vec<(RunId, usize)>,
    floors: Floors,
    reply: Reply,
}

impl Histories {
    pub(crate) fn new() -> Histories {
        Histories { recovery: fresh_id(), waiting: Vec::new() }
    }

    /// Whether somebody waits.
    pub(crate) fn is_any_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The log has failed: whoever waits for what it had not taken is told so.
    pub(crate) fn fail_unseen(&mut self, progress: &Progress, failure: &Error) {
        for waiting in self.waiting.extract_if(.., |waiting| !waiting.need.is_met(progress)) {
            waiting.reply.send(Err(failure.clone()));
        }
    }

    /// Answers all that wait.
    pub(crate) fn refuse(&mut self, why: &Error) {
        self.waiting.drain(..).for_each(|waiting| waiting.reply.send(Err(why.clone())));
    }
}

impl Shard {
    /// Has the history of a run looked into.
    pub(crate) fn query_history(&mut self, request: HistoryRequest) {
        let HistoryRequest { run, query, reply } = request;
        let need = self.need_of(run);
        match self.begin_reading(run, query) {
            Ok(Begun::Known(answer)) => self.withheld.answer(reply, Ok(answer), need, &self.progress),
            Ok(Begun::Reading(reading, need)) => {
                let counts = reading.erasures.iter().map(|(run, erasures)| (*run, erasures.len()));
                let (request, erased) = (fresh_id(), counts.collect());
                let floors = self.floors(&reading.reaches);
                let reading = Some(reading);
                self.histories.waiting.push(WaitingQuery {
                    run,
                    need,
                    reading,
                    request,
                    erased,
                    floors,
                    reply,
                });
            }
            Err(error) => {
                let error = error.with_entity(EntityRef::run(run));
                self.withheld.answer(reply, Err(error), need, &self.progress);
            }
        }
    }

    fn begin_reading(&self, id: RunId, query: HistoryQuery) -> Result<Begun, Error> {
        if let HistoryQuery::At(time) = query
            && let Some(run) = self.runs.get(id)
            && run.state.timestamp() <= time
        {
            let stamp = Stamp { version: run.state.version(), timestamp: run.state.timestamp() };
            return Ok(Begun::Known(Answer::Stamp(stamp)));
        }
        if let HistoryQuery::Kept(retention) = query {
            let (mut reaches, need, floor_then) = self.reaches_then(id, retention)?;
            if untold_archive(&mut reaches).is_none() {
                let preview = RetentionPreview::of(reaches, floor_then);
                return Ok(Begun::Known(Answer::Retention(preview)));
            }
            let (changed, erasures) = (Version::NEVER, Vec::new());
            let reading = Reading { reaches, query, changed, erasures, floor_then };
            return Ok(Begun::Reading(Box::new(reading), need));
        }
        let state = &self.loggable(id)?.state;
        let newest = state.version();
        let from = match &query {
            HistoryQuery::At(_) | HistoryQuery::Of { .. } | HistoryQuery::Kept(_) => Version::NEVER.next(),
            HistoryQuery::Behind { version, .. } if *version > newest => {
                return Err(Error::version_not_found(newest, *version));
            }
            HistoryQuery::Behind { version, .. } => version.next(),
        };
        let changed = match &query {
            HistoryQuery::Of { entity, .. } => state.view().changed_by(entity),
            _ => Version::NEVER,
        };
        let (reaches, need) = self.reaches(id, from)?;
        let erasures = match query {
            HistoryQuery::At(_) | HistoryQuery::Kept(_) => Vec::new(),
            HistoryQuery::Behind { .. } | HistoryQuery::Of { .. } => {
                reaches.iter().map(|reach| (reach.run, erasures_of(&self.runs, reach.run))).collect()
            }
        };
        let reading = Reading { reaches, query, changed, erasures, floor_then: Version::NEVER };
        Ok(Begun::Reading(Box::new(reading), need))
    }

    /// Hands over the questions that can be answered by now. Whether there was any.
    pub(crate) fn advance_histories(&mut self) -> bool {
        let mut has_progress = false;
        for waiting in &mut self.histories.waiting {
            if waiting.need.is_met(&self.progress)
                && let Some(reading) = waiting.reading.take()
            {
                let (request, recovery) = (waiting.request, self.histories.recovery);
                self.waiting.request(LoadRequest::History { request, recovery, reading });
                has_progress = true;
            }
        }
        has_progress
    }

    /// Takes in an answer, for who asked.
    pub(crate) fn take_in_history(&mut self, request: u64, outcome: Result<HistoryFound, Error>) {
        let mut asked = self.histories.waiting.extract_if(.., |waiting| waiting.request == request);
        let Some(WaitingQuery { run, reply, erased, floors, .. }) = asked.next() else { return };
        drop(asked);
        let mut need = Need::default();
        let answer = outcome.map(|found| match found {
            HistoryFound::At(stamp) => Answer::Stamp(stamp),
            HistoryFound::Kept(preview) => Answer::Retention(preview),
            HistoryFound::Commits(mut page) => {
                need = self.runs.need_of_line(run);
                // What was erased while they were being read is not there either.
                for (run, known) in erased {
                    let erasures = erasures_of(&self.runs, run);
                    if erasures.len() != known {
                        page.redact(run, erasures);
                    }
                }
                Answer::Commits(Box::new(page))
            }
        });
        let answer = answer.map_err(|error| self.judge(error, &floors).with_entity(EntityRef::run(run)));
        self.withheld.answer(reply, answer, need, &self.progress);
    }
}

/// What a question needs.
enum Begun {
    /// Nothing: the shard knows.
    Known(Answer),
    Reading(Box<Reading>, Need),
}
