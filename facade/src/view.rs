//! A picture of a run that its holder reads without the store.

use std::sync::Arc;

use strata_primitives::diff::Seen;
use strata_primitives::{Digest, Limits, Operation, Outcome, RunId, RunState, Stamp, Version};
use strata_shards::{Frozen, LoggedCommit};

use crate::Result;
use crate::reads::{Reads, request};

/// A run as it was at one version, in the hands of the caller: [`detach`](crate::Snapshot::detach) makes one of a snapshot, and a
/// [`Replay`](crate::Replay) leads one from commit to commit. Reading sends no message; large values that lie in files of the store are read
/// from there, for as long as these are there. A walk over keys in order sorts them each time.
/// [Receipts](crate::Reads::receipt) are not in it: asked for one it answers `Unsupported`.
#[derive(Debug)]
pub struct View {
    frozen: Frozen,
    limits: Arc<Limits>,
}

impl View {
    pub(crate) fn new(frozen: Frozen, limits: Arc<Limits>) -> View {
        View { frozen, limits }
    }

    /// The newest commit that it shows.
    pub fn version(&self) -> Version {
        self.stamp().version
    }

    /// The version and the time it shows the run at.
    pub fn stamp(&self) -> Stamp {
        self.frozen.stamp()
    }

    /// What all of it comes to, as 32 bytes: the same of a run that is live, recovered, replayed or looked at, wherever its store lies and
    /// however it was opened. [`content`](Digest::content) is that of keys, cells, documents, events and traces alone: a fork and an imported
    /// run have that of what they began as until they are written to.
    ///
    /// It reads everything, large values that lie in files among it. The bytes are drawn in the documentation of the format.
    ///
    /// # Errors
    /// `Corrupt` when a value that lies in a file is damaged, `Io`; each names the thing.
    ///
    /// ```
    /// use strata::{Database, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let fork = run.fork()?;
    /// let digests = [&run, &fork].map(|run| run.snapshot()?.detach()?.digest());
    /// let [run, fork] = digests;
    /// assert_eq!(run?.content, fork?.content);
    /// # database.close()
    /// # }
    /// ```
    pub fn digest(&self) -> Result<Digest> {
        self.state().digest()
    }

    pub(crate) fn erasure_mark(&self) -> u64 {
        self.frozen.erasure_mark()
    }

    pub(crate) fn state(&self) -> &RunState {
        self.frozen.state()
    }

    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen { state: self.state(), now: self.frozen.now() }
    }

    pub(crate) fn replay(&mut self, commit: LoggedCommit) -> Result<()> {
        self.frozen.replay(commit)
    }
}

impl Reads for View {
    fn run_id(&self) -> RunId {
        self.frozen.run_id()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn ask(&self, operation: Operation) -> Result<Outcome> {
        request(self).check_read(&operation)?;
        self.frozen.read(operation, &self.limits)
    }
}
