//! Looking back: which version a time belongs to, what the commits of a run did, and what they did to one thing.

use strata_primitives::{EntityRef, Error, ErrorKind, Timestamp, Version};
use strata_shards::{CommitPage, HistoryQuery, Purpose};

use crate::Result;
use crate::change::PastCommit;
use crate::handle::RunHandle;
use crate::snapshot::Snapshot;

/// One page of the commits of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitLog {
    /// The commits, oldest first.
    pub commits: Vec<PastCommit>,
    /// Behind which version the next page begins; `None` when there was nothing more. A page ends early, with 10,000 commits or 4 MiB
    /// of them.
    pub next: Option<Version>,
}

/// One page of what became of a thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The commits that changed it, newest first, with what they did to it and nothing else.
    pub commits: Vec<PastCommit>,
    /// Before which version the next page begins; `None` when there was nothing before. A page may hold fewer commits than asked for, or
    /// none, and still have a next one.
    pub next: Option<Version>,
    /// Set where commits that changed it before may no longer be kept: those up to this version.
    pub trimmed: Option<Version>,
}

impl RunHandle {
    /// The run as it was at a time: as its newest commit that is not later left it, without what had expired by then; a time to
    /// come is now. Otherwise as [`at`](Self::at).
    ///
    /// The commit is found among those of the run over a number of records that grows with the square of the logarithm of what lies
    /// behind it.
    ///
    /// # Errors
    /// `VersionNotFound` when the run had no commit yet, and those of `at`.
    pub fn at_time(&self, time: Timestamp) -> Result<Snapshot> {
        let stamp = self.caller().stamp_at(self.id(), time)?;
        Snapshot::open(self, Purpose::Past { version: stamp.version, judged_at: Some(time) })
    }

    /// One page of the commits behind a version, oldest first, with all that they changed; behind [`Version::NEVER`] they are all.
    /// Those that the run was forked or imported with are there too, as those of the run that they were made in.
    ///
    /// They are read beside the shard, which serves others meanwhile. What was [erased](crate::RunHandle::erase) since is not in them.
    ///
    /// # Errors
    /// `HistoryTrimmed` when older commits are no longer kept, `VersionNotFound` for a version that the run has not, `NotFound`,
    /// `InvalidArgument` for a limit of 0, `Unsupported` for what lives in memory, `Corrupt` when what is read is damaged, `Io`.
    ///
    /// ```
    /// use strata::{ChangeEffect, Database, Options, RunSpec, Value, Version, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let log = run.commits(Version(1), 100)?;
    /// let change = &log.commits[0].changes[0];
    /// assert_eq!(change.effect, ChangeEffect::Put { value: Value::from("Oslo"), deadline: None });
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn commits(&self, behind: Version, limit: usize) -> Result<CommitLog> {
        check_limit(limit)?;
        let page = self.caller().commits(self.id(), HistoryQuery::Behind { version: behind, limit })?;
        let CommitPage { commits, next, .. } = page;
        Ok(CommitLog { commits: decode(commits)?, next })
    }

    /// One page of the commits that changed a thing, newest first; without `before` from the newest on, else of those in front of that
    /// version.
    ///
    /// A commit leads to the one before that changed the same thing, so a page costs what it holds, however long the run is. Where the
    /// thing is not there any more, and before it was there, this is not known: there all commits between are read, 10,000 or 32 MiB of
    /// them a page. The deletion of a run ended everything in it, and is told of whatever is asked for behind it.
    ///
    /// # Errors
    /// As [`commits`](Self::commits), but for `HistoryTrimmed` and `VersionNotFound`: the page says what is no longer kept.
    /// `InvalidArgument` also for a thing of another run.
    ///
    /// ```
    /// use strata::{Database, EntityRef, Options, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// let oslo = run.put("city", "Oslo")?;
    /// let bergen = run.put("city", "Bergen")?;
    /// let history = run.history(&EntityRef::kv(run.id(), "city"), 10, None)?;
    /// let versions: Vec<_> = history.commits.iter().map(|commit| commit.version).collect();
    /// assert_eq!(versions, [bergen.version, oslo.version]);
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(
        &self,
        entity: &EntityRef,
        limit: usize,
        before: impl Into<Option<Version>>,
    ) -> Result<History> {
        check_limit(limit)?;
        let through = match before.into() {
            None => Version::PENDING,
            Some(Version::NEVER) => {
                self.check_own(entity)?;
                return Ok(History::default());
            }
            Some(before) => Version(before.0 - 1),
        };
        let CommitPage { commits, next, trimmed, .. } = self.changes(entity, through, limit)?;
        Ok(History { commits: decode(commits)?, next: next.map(Version::next), trimmed })
    }

    /// One page of the commits up to a version that changed a thing; it says with which the next one begins.
    pub(crate) fn changes(&self, entity: &EntityRef, through: Version, limit: usize) -> Result<CommitPage> {
        self.check_own(entity)?;
        self.caller().commits(self.id(), HistoryQuery::Of { entity: entity.clone(), through, limit })
    }

    /// Refuses a thing of another run.
    pub(crate) fn check_own(&self, entity: &EntityRef) -> Result<()> {
        if entity.run_id() == self.id() {
            return Ok(());
        }
        let message = format!("{entity} is of another run");
        Err(Error::new(ErrorKind::InvalidArgument, message).with_entity(entity.clone()))
    }

    /// One commit of the run, if it has that.
    pub(crate) fn commit_at(&self, version: Version) -> Result<CommitPage> {
        let Some(before) = version.0.checked_sub(1) else { return Ok(CommitPage::default()) };
        let query = HistoryQuery::Behind { version: Version(before), limit: 1 };
        let mut page = self.caller().commits(self.id(), query)?;
        page.commits.retain(|commit| commit.stamp.version == version);
        Ok(page)
    }

    /// Refuses a version of which the run, with this newest one, has no commit, so far as that is known: it may be no longer kept.
    pub(crate) fn check_committed(&self, version: Version, newest: Version) -> Result<()> {
        let run = EntityRef::run(self.id());
        if version == Version::NEVER || version > newest {
            return Err(Error::version_not_found(newest, version).with_entity(run));
        }
        match self.commit_at(version) {
            // There are numbers that no commit has, where a run was imported that had been deleted before.
            Ok(page) if page.commits.is_empty() => {
                let message = format!("the run has no commit {version}");
                Err(Error::new(ErrorKind::VersionNotFound, message).with_entity(run))
            }
            Err(error) if error.kind() != ErrorKind::HistoryTrimmed => Err(error),
            _ => Ok(()),
        }
    }
}

fn check_limit(limit: usize) -> Result<()> {
    match limit {
        0 => Err(Error::new(
            ErrorKind::InvalidArgument,
            "a page of 0 commits is asked for: ask for 1 at least",
        )),
        _ => Ok(()),
    }
}

fn decode(commits: Vec<strata_shards::LoggedCommit>) -> Result<Vec<PastCommit>> {
    commits.into_iter().map(PastCommit::decode).collect()
}
