//! A run led once more through its commits.

use std::collections::VecDeque;

use strata_primitives::{Error, ErrorKind, Version};
use strata_shards::{HistoryQuery, LoggedCommit, Purpose};

use crate::Result;
use crate::change::PastCommit;
use crate::handle::RunHandle;
use crate::reads::Reads;
use crate::snapshot::Snapshot;
use crate::view::View;

/// Commits that are asked for at once, as long as they come to no more than 4 MiB: each question looks into the index of the history.
const PAGE_COUNT: usize = 4_096;

/// A run that is led from commit to commit, each applied as it was when it was made and when the store recovers. What stands in it between two
/// of them is its [`view`](Self::view).
///
/// Replaying writes nothing, calls nobody, and comes to the same each time. It costs what the commits changed, and the records of no
/// other run are read.
///
/// ```
/// use strata::{Database, Options, Reads, RunSpec, Writes};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("strata.db");
/// let database = Database::open(&path, Options::default())?;
/// let run = database.begin_run(RunSpec::named("trip"))?;
/// run.put("city", "Oslo")?;
/// run.put("city", "Bergen")?;
/// let mut replay = run.replay()?;
/// let mut cities = Vec::new();
/// while let Some(commit) = replay.step()? {
///     cities.push((commit.version.0, replay.view().get("city")?.unwrap().value));
/// }
/// assert_eq!(cities, [(2, "Oslo".into()), (3, "Bergen".into())]);
/// # database.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Replay {
    handle: RunHandle,
    view: View,
    /// Where it ends.
    through: Version,
    arrived: VecDeque<LoggedCommit>,
    /// Behind which version there is more to ask for.
    next: Option<Version>,
}

/// What came of a replay that was compared with what the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    /// The version that it began with.
    pub from: Version,
    /// The newest version there was.
    pub through: Version,
    /// How many commits were applied.
    pub commits: u64,
    /// Where the two part, if they do: this version is not what its commit makes of the one before.
    pub parting: Option<Version>,
}

impl RunHandle {
    /// The run led through all commits that are kept, from the first version that can be looked at to the newest one there is now.
    ///
    /// # Errors
    /// Those of [`at`](Self::at) and [`commits`](Self::commits).
    pub fn replay(&self) -> Result<Replay> {
        let (earliest, newest) = (self.preview_retention(None)?.earliest, self.info()?.version);
        self.replay_between(earliest, newest)
    }

    /// The run as its commit `version` left it, made of the first version that can be looked at and all commits behind that: what
    /// [`at`](Self::at) makes of the nearest image.
    ///
    /// # Errors
    /// As [`replay`](Self::replay); `VersionNotFound` and `HistoryTrimmed` as [`at`](Self::at).
    pub fn replay_until(&self, version: Version) -> Result<View> {
        let earliest = self.preview_retention(None)?.earliest;
        // Of a version that is not kept, or was never there, it is told as by `at`.
        if version < earliest {
            return self.view_at(version);
        }
        let mut replay = self.replay_range(earliest, version)?;
        while replay.step()?.is_some() {}
        Ok(replay.view)
    }

    /// The run led from what its commit `from` left to what `through` left.
    ///
    /// # Errors
    /// As [`replay`](Self::replay); `VersionNotFound`, `InvalidArgument` when it would go back.
    pub fn replay_range(&self, from: Version, through: Version) -> Result<Replay> {
        if through < from {
            let message = format!("a replay from version {from} does not end at {through}, before that");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        // What it begins with may be the end of an earlier life, and is looked at anyway.
        if through > from {
            self.check_committed(through, self.info()?.version)?;
        }
        self.replay_between(from, through)
    }

    /// Leads the run through all commits that are kept, and compares what comes of it with the run as it is, by their
    /// [digests](View::digest). Where they are not the same it says at which version they part.
    ///
    /// What the run is comes from the commits that were applied to it, or from its newest image and those behind, what is replayed
    /// from the oldest version and all of them; so this tells of an image that does not hold what the commits led to. Where they part is found
    /// by bisecting, each probe being a replay: it is one such version, and the first if what differs once stays so. When something is erased
    /// on the shard meanwhile it begins anew.
    ///
    /// # Errors
    /// Those of [`replay`](Self::replay), of [`Replay::step`] and of [`View::digest`].
    ///
    /// ```
    /// use strata::{Database, Options, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let report = run.verify_replay()?;
    /// assert_eq!((report.commits, report.parting), (1, None));
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn verify_replay(&self) -> Result<ReplayReport> {
        loop {
            let mut replay = self.replay()?;
            let (from, mut commits) = (replay.view().version(), 0);
            while replay.step()?.is_some() {
                commits += 1;
            }
            let through = replay.view().version();
            let is = self.view_at(through)?;
            // Something was erased between the two: what is replayed may still hold it.
            if replay.view().erasure_mark() != is.erasure_mark() {
                continue;
            }
            let parting = match is_same(replay.view(), &is)? {
                true => None,
                false => Some(self.parting(from, through)?),
            };
            return Ok(ReplayReport { from, through, commits, parting });
        }
    }

    /// A version at which what is replayed is not what is looked at, and was at the one before.
    fn parting(&self, from: Version, through: Version) -> Result<Version> {
        let (mut same, mut other) = (from, through);
        while same.next() < other {
            let middle = Version(same.0 + (other.0 - same.0) / 2);
            match is_same(&self.replay_until(middle)?, &self.view_at(middle)?)? {
                true => same = middle,
                false => other = middle,
            }
        }
        Ok(other)
    }

    fn replay_between(&self, from: Version, through: Version) -> Result<Replay> {
        // What it begins with may be the end of an earlier life of the run.
        let past = Purpose::Past { version: from, judged_at: None };
        let view = Snapshot::open_by_asking(self, past)?.0.detach()?;
        Ok(Replay { handle: self.clone(), view, through, arrived: VecDeque::new(), next: Some(from) })
    }
}

/// Of versions that were inherited, each may be shown as that of another run of the line.
fn is_same(one: &View, other: &View) -> Result<bool> {
    let is_one_run = one.run_id() == other.run_id();
    let (one, other) = (one.digest()?, other.digest()?);
    Ok(if is_one_run { one == other } else { one.content == other.content })
}

impl Replay {
    /// Applies the next commit, and tells what it did; `None` at the end.
    ///
    /// # Errors
    /// `HistoryTrimmed` when it is no longer kept, `Corrupt` when it does not follow from what came before, `Io`, `Closed`.
    pub fn step(&mut self) -> Result<Option<PastCommit>> {
        while self.arrived.is_empty() {
            let Some(version) = self.next.filter(|behind| *behind < self.through) else { return Ok(None) };
            let query = HistoryQuery::Behind { version, limit: PAGE_COUNT };
            let page = self.handle.caller().commits(self.handle.id(), query)?;
            self.arrived.extend(page.commits);
            self.next = page.next;
        }
        let is_wanted = |commit: &mut LoggedCommit| commit.stamp.version <= self.through;
        let Some(commit) = self.arrived.pop_front_if(is_wanted) else { return Ok(None) };
        self.view.replay(commit.clone())?;
        PastCommit::decode(commit).map(Some)
    }

    /// The run as the commits up to here have left it.
    pub fn view(&self) -> &View {
        &self.view
    }
}
