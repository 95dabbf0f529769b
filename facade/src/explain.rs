//! Why a thing is as it is: the commit that made it so, what it was before, what happened around it, and what led to it.

use std::collections::BTreeSet;

use strata_primitives::{Cause, EntityRef, Error, ErrorKind, Timestamp, Version};
use strata_shards::{CommitPage, LoggedCommit};

use crate::Result;
use crate::change::PastCommit;
use crate::events::Event;
use crate::handle::RunHandle;
use crate::surroundings::Surroundings;
use crate::traces::Trace;

/// Why a thing was as one commit left it. It prints as some lines of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The thing, in the run that was asked.
    pub entity: EntityRef,
    /// The commit that made it so: when, by which operation and why, and what it did to the thing. One that was inherited is that of the
    /// run it was made in.
    pub commit: PastCommit,
    /// What it was before.
    pub before: Prior,
    /// What happened around it: the last event in front of the commit, then the first 32 of those that it appended. What the run does
    /// not keep any more is not among them.
    pub events: Vec<Event>,
    /// Whether the commit appended more events than these.
    pub has_more_events: bool,
    /// The innermost trace that was open at the commit or was recorded with it, as it is now; never the thing itself. It is looked for
    /// among the 64 traces that were recorded last, and then among 64 above the last one. `None` where there was none, or
    /// the run does not keep it any more.
    pub span: Option<Trace>,
    /// What led to the commit, step by step back: what its cause names, what the cause of that names, and so on.
    pub causes: Vec<CauseStep>,
}

/// What a thing was before a commit changed it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Prior {
    /// It was not there; whether it ever had been is told by its [history](RunHandle::history).
    Absent,
    /// What this commit, the one that had changed it before, had made of it.
    Changed(Box<PastCommit>),
    /// It was there, and the commit that had made it so is no longer kept.
    NotKept,
}

/// One step back from a commit to what led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct CauseStep {
    /// What the commit in front of it in the list names: a commit, or a thing at a version.
    pub cause: Cause,
    /// That commit, of a thing with what it did to that; or why it is not told.
    pub commit: std::result::Result<PastCommit, CauseLost>,
}

/// Why the way back through causes ends with something that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CauseLost {
    /// There is no such run, or it has no such commit.
    Missing,
    /// It is no longer kept: it was given up, or its run was deleted, and its history with it.
    NotKept,
    /// It was made in a run that lives in memory, which keeps no history.
    InMemory,
    /// It is one of those in front of it: they go round in a circle.
    Repeated,
}

/// A point in the history of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Behind this commit.
    Version(Version),
    /// Behind the newest commit that is not later.
    Time(Timestamp),
}

impl From<Version> for Moment {
    fn from(version: Version) -> Moment {
        Moment::Version(version)
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Moment {
        Moment::Time(time)
    }
}

impl RunHandle {
    /// Why a thing is as it is: the newest commit that changed it, what it was before, the events and the trace around that commit, and
    /// back through its causes, `depth` steps at most. A thing that was deleted is explained by its deletion. `None` when all of the run's history is kept
    /// and no commit in it changed the thing. An erasure is no change.
    ///
    /// It costs what it tells, as [`history`](Self::history) does, however many commits the run has: those of a thing that is there are found by
    /// their links, those of one that is not there are searched for. Causes may be of other runs; one that is not there any more ends
    /// the list and says so, and so does one that was passed before. A note and an expiry name no commit: they are in [`PastCommit::cause`].
    ///
    /// # Errors
    /// `HistoryTrimmed` when the commit that changed it may no longer be kept; otherwise those of [`history`](Self::history) and
    /// [`snapshot`](Self::snapshot).
    ///
    /// ```
    /// use strata::{Cause, Database, EntityRef, Options, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// let found = run.append("search", "hotels near the harbour")?.commit;
    /// let cause = Cause::Commit { run: run.id(), version: found.version };
    /// run.with_cause(cause).put("hotel", "Havnekontoret")?;
    /// let why = run.explain(&EntityRef::kv(run.id(), "hotel"), 3)?.unwrap();
    /// assert_eq!(why.causes[0].commit.as_ref().unwrap().version, found.version);
    /// assert_eq!(why.events[0].kind, "search");
    /// println!("{why}");
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn explain(&self, entity: &EntityRef, depth: usize) -> Result<Option<Explanation>> {
        self.explain_through(entity, Version::PENDING, depth)
    }

    /// The same of the newest commit that changed the thing and is not later than a version or a time: why it was as it was then.
    ///
    /// # Errors
    /// As [`explain`](Self::explain), and `VersionNotFound` for a version that the run has not, or a time at which it was not there.
    pub fn explain_change(
        &self,
        entity: &EntityRef,
        at: impl Into<Moment>,
        depth: usize,
    ) -> Result<Option<Explanation>> {
        let through = match at.into() {
            Moment::Time(time) => self.caller().stamp_at(self.id(), time)?.version,
            Moment::Version(version) => {
                self.check_committed(version, self.snapshot()?.version())?;
                version
            }
        };
        self.explain_through(entity, through, depth)
    }

    fn explain_through(
        &self,
        entity: &EntityRef,
        through: Version,
        depth: usize,
    ) -> Result<Option<Explanation>> {
        let mut page = self.newest_changes(entity, through, 2)?;
        let mut older = std::mem::take(&mut page.commits).into_iter();
        let Some(commit) = older.next() else {
            return page.trimmed.map_or(Ok(None), |earliest| Err(not_kept(entity, earliest)));
        };
        let commit = PastCommit::decode(commit)?;
        let before = self.prior(entity, &commit, older.next(), &page)?;
        let view = self.snapshot()?.detach()?;
        let Surroundings { events, has_more_events, span } = Surroundings::of(&view, entity, commit.version)?;
        let causes = self.causes_of(&commit, depth)?;
        let entity = entity.clone();
        Ok(Some(Explanation { entity, commit, before, events, has_more_events, span, causes }))
    }

    /// The newest commits up to a version that changed a thing, one at least if there is one.
    fn newest_changes(&self, entity: &EntityRef, through: Version, limit: usize) -> Result<CommitPage> {
        let mut page = self.changes(entity, through, limit)?;
        while let Some(next) = page.next.filter(|_| page.commits.is_empty()) {
            page = self.changes(entity, next, limit)?;
        }
        Ok(page)
    }

    /// What a thing was before a commit changed it; `older` is the change in front of that, if the same page has it.
    fn prior(
        &self,
        entity: &EntityRef,
        commit: &PastCommit,
        older: Option<LoggedCommit>,
        page: &CommitPage,
    ) -> Result<Prior> {
        let change =
            commit.changes.first().expect("what is told of a commit is what it changed of the thing");
        let is_of_run = |entity: &EntityRef| matches!(entity, EntityRef::Run { .. });
        let older = match (older, change.previous, page.next) {
            // With the run everything in it went, and the history of all that.
            (_, None, _) if is_of_run(&change.entity) && !is_of_run(entity) => return Ok(Prior::NotKept),
            // An archive tells the one before also of what was not there meanwhile.
            (_, None, _) => return Ok(Prior::Absent),
            (Some(older), ..) => Some(older),
            (None, _, Some(next)) => self.newest_changes(entity, next, 1)?.commits.into_iter().next(),
            (None, _, None) => None,
        };
        let older = older.map(PastCommit::decode).transpose()?;
        Ok(older.map_or(Prior::NotKept, |older| Prior::Changed(Box::new(older))))
    }

    /// Goes back through what led to a commit.
    fn causes_of(&self, commit: &PastCommit, depth: usize) -> Result<Vec<CauseStep>> {
        let (mut steps, mut passed) = (Vec::new(), BTreeSet::from([(commit.run, commit.version)]));
        let mut next = commit.cause.clone();
        while steps.len() < depth
            && let Some(cause) = next.take()
            && let Some(named) = self.named_by(&cause)?
        {
            let commit = named.and_then(|commit| match passed.insert((commit.run, commit.version)) {
                true => Ok(commit),
                false => Err(CauseLost::Repeated),
            });
            next = commit.as_ref().ok().and_then(|commit| commit.cause.clone());
            steps.push(CauseStep { cause, commit });
        }
        Ok(steps)
    }

    /// The commit that a cause names, if it names one.
    fn named_by(&self, cause: &Cause) -> Result<Option<std::result::Result<PastCommit, CauseLost>>> {
        let found = match cause {
            Cause::Commit { run, version } => self.of_other(*run).commit_at(*version),
            Cause::Entity { entity, version } => {
                self.of_other(entity.run_id()).newest_changes(entity, *version, 1)
            }
            _ => return Ok(None),
        };
        let lost = |why| Ok(Some(Err(why)));
        match found {
            Ok(CommitPage { commits, trimmed, .. }) => match (commits.into_iter().next(), trimmed) {
                (Some(commit), _) => Ok(Some(Ok(PastCommit::decode(commit)?))),
                (None, Some(_)) => lost(CauseLost::NotKept),
                (None, None) => lost(CauseLost::Missing),
            },
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::VersionNotFound => lost(CauseLost::Missing),
                ErrorKind::HistoryTrimmed => lost(CauseLost::NotKept),
                ErrorKind::Unsupported => lost(CauseLost::InMemory),
                _ => Err(error),
            },
        }
    }
}

fn not_kept(entity: &EntityRef, earliest: Version) -> Error {
    let message = format!(
        "the commit that changed it is no longer kept: the history of the run is kept from version {earliest} on"
    );
    Error::new(ErrorKind::HistoryTrimmed, message).with_entity(entity.clone())
}
