//! The database: a directory, its runs, and the shards that serve them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strata_primitives::{
    Durability, EntryRetention, Error, ErrorKind, Limits, Operation, Outcome, RunFilter, RunId, RunInfo,
    RunSpec,
};
use strata_runtime::is_shard_thread;
use strata_shards::{
    BatchReceipt, Clock, CompactReport, Compaction, Engine, EngineOptions, HeldCheckpoint as Checkpoint,
    RecoveryReport, RunPage, ShardRecovery, ShardStats, VerifyProgress, VerifyReport,
};

use crate::Result;
use crate::batch::Batch;
use crate::handle::RunHandle;
use crate::open_options::Options;
use crate::runs;

/// An open database.
///
/// It may be used from any number of threads. One process at a time has a directory open.
///
/// # Lifetimes
/// [`close`](Self::close) drains, syncs and joins the shards; dropping does the same and ignores
/// errors. Handles that are still alive afterwards answer `Closed`. In a child made by fork(2) every
/// call answers `Closed`, and dropping there touches nothing. Dropped by a closure on a shard of another database,
/// it is closed soon after by a thread of its own. Calls block the calling thread until
/// the shard answers, so inside an async runtime they belong on a thread for blocking work, but for those of
/// [`to_async`](RunHandle::to_async).
#[derive(Debug)]
pub struct Database {
    engine: Arc<Engine>,
    limits: Arc<Limits>,
}

/// What the shards of a database have done since they began to serve.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Each shard's counters.
    pub shards: Vec<ShardStats>,
}

impl Database {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Opens the database in the directory `path`, or creates one there.
    ///
    /// # Errors
    /// `AlreadyOpen` names the process that has it; `InvalidArgument` for a file, a directory that
    /// holds something else, or an option out of range; `Unsupported` for a newer format; `Corrupt` names file and offset of damage below what was
    /// proven durable; `Io` and `Full` for what the disk refuses. A refused open creates nothing.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Database> {
        Database::start(Some(path.as_ref().to_path_buf()), options, Clock::System, None)
    }

    /// A database without a directory: all of it is gone when it is closed.
    ///
    /// # Errors
    /// `Io` when the process has no thread or descriptor left.
    pub fn in_memory() -> Result<Database> {
        Database::in_memory_with(Options::default())
    }

    /// Opens an existing database to read it: nothing is written or repaired, and others may read it at the same time, but
    /// nobody may write it. Every write is refused. What a crash left of an unfinished write is not shown, and stays.
    ///
    /// ```
    /// use strata::{Database, ErrorKind, Options, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?.id();
    /// database.run(run).put("city", "Oslo")?;
    /// database.close()?;
    /// let reader = Database::open_read_only(&path, Options::default())?;
    /// assert_eq!(reader.run(run).get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// assert_eq!(reader.run(run).put("city", "Bergen").unwrap_err().kind(), ErrorKind::Unsupported);
    /// # reader.close()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open), and `NotFound` when there is none.
    pub fn open_read_only(path: impl Into<PathBuf>, options: Options) -> Result<Database> {
        Database::start_to_read(path.into(), options, Clock::System, None)
    }

    /// The same on a clock and a storage of the caller's.
    #[doc(hidden)]
    pub fn start_to_read(
        path: PathBuf,
        options: Options,
        clock: Clock,
        storage: Option<Arc<dyn strata_wal::storage::Storage>>,
    ) -> Result<Database> {
        Database::start_as(Some(path), options, true, clock, storage)
    }

    /// A database without a directory, with options. `durability` is `InMemory` whatever it says,
    /// and a call that asks for more is refused.
    ///
    /// # Errors
    /// As [`in_memory`](Self::in_memory), and `InvalidArgument` for an option out of range.
    pub fn in_memory_with(options: Options) -> Result<Database> {
        let options = Options { durability: Durability::InMemory, ..options };
        Database::start(None, options, Clock::System, None)
    }

    /// Opens a database, or an in-memory one without a path, on a clock and a storage of the
    /// caller's, so that a test can bring its own.
    #[doc(hidden)]
    pub fn start(
        path: Option<PathBuf>,
        options: Options,
        clock: Clock,
        storage: Option<Arc<dyn strata_wal::storage::Storage>>,
    ) -> Result<Database> {
        Database::start_as(path, options, false, clock, storage)
    }

    fn start_as(
        path: Option<PathBuf>,
        options: Options,
        is_read_only: bool,
        clock: Clock,
        storage: Option<Arc<dyn strata_wal::storage::Storage>>,
    ) -> Result<Database> {
        let limits = Arc::new(options.limits.clone());
        let engine = Engine::open(EngineOptions {
            path,
            is_read_only,
            durability: options.durability,
            shards: options.shards,
            sync_interval: options.sync_interval,
            mailbox_capacity: options.mailbox_capacity,
            execute_budget: options.execute_budget,
            pin: options.pin,
            io_uring: options.io_uring,
            checkpoint_log_size: options.checkpoint_log_size,
            checkpoint_interval: options.checkpoint_interval,
            memory_budget: options.memory_budget,
            retention: options.retention,
            entry_retention: EntryRetention {
                events: options.event_retention,
                traces: options.trace_retention,
            },
            record_reads: options.record_reads,
            measure_layers: options.measure_layers,
            limits: options.limits,
            clock,
            storage,
        })?;
        Ok(Database { engine: Arc::new(engine), limits })
    }

    /// Writes images of everything that was acknowledged before the call, so that the next recovery begins there; what has
    /// not changed since the last image stays where it is. The store serves meanwhile. It makes checkpoints by itself too:
    /// see [`Options`].
    ///
    /// Until what it returns is dropped, no file of the store is removed or moved, so that the files of the checkpoint can be
    /// copied.
    ///
    /// # Errors
    /// `Unsupported` for an in-memory database, `Full` when there is no space for an image, `LogFailed` when the log has
    /// failed, `Closed`, `Io`. Nothing is lost by any of them.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        self.engine.checkpoint()
    }

    /// Copies the store, while it serves, to a directory that is missing or empty. Everything that was acknowledged before the
    /// call is in the copy, with its history. Opening it is all there is to restoring it. Returns how many bytes it has.
    ///
    /// ```
    /// use strata::{Database, Options, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let (path, copy) = (scratch.path().join("strata.db"), scratch.path().join("copy.db"));
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// database.backup(&copy)?;
    /// run.put("city", "Bergen")?;
    /// let copied = Database::open(&copy, Options::default())?;
    /// assert_eq!(copied.run(run.id()).get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// # copied.close()?;
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`checkpoint`](Self::checkpoint), and of [`Checkpoint::copy_to`].
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<u64> {
        self.checkpoint()?.copy_to(path.as_ref())
    }

    /// Gives back what nothing needs any more, while the store serves: [`Compaction::WalOnly`] puts away the logs as far as
    /// images stand for them; [`Compaction::Full`] also rewrites images and history, each run's records together and without
    /// those that retention has released. Nobody who reads notices: not views, forks or followers. It takes as much space as
    /// what is kept, until what was there before is removed.
    ///
    /// ```
    /// use strata::{Compaction, Database, Options, Retention, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.set_retention(Some(Retention::KeepLast(1)))?;
    /// for step in 0..100 {
    ///     run.put("step", step)?;
    /// }
    /// let report = database.compact(Compaction::Full)?;
    /// assert_eq!(report.versions, 101, "all but the last one");
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Busy` while another compaction is under way or files are held: by a [`Checkpoint`], or as long as a backup, a verification or
    /// an [export](RunHandle::export) takes; `Unsupported` for an in-memory database and one that is only read, `Full` when there is no space for what is written, `Corrupt` when something that is to be rewritten is
    /// damaged, `Closed` when the database is closed meanwhile, `LogFailed`, `Io`. Nothing is lost by any of them.
    pub fn compact(&self, compaction: Compaction) -> Result<CompactReport> {
        self.engine.compact(compaction)
    }

    /// Reads everything that the store has on disk, while it serves: every batch of every log and every image of every run, with
    /// all sums and chains; and it looks for all that versions which are kept are made of. Damage does not end it; each is in the report. `progress` is called now and then on this thread.
    ///
    /// # Errors
    /// Those of [`checkpoint`](Self::checkpoint), with which it begins, `Unsupported` for an in-memory database, `Io`.
    ///
    /// ```
    /// use strata::{Database, Options, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// database.begin_run(RunSpec::named("trip"))?.put("city", "Oslo")?;
    /// let report = database.verify(|progress| println!("{} records", progress.records))?;
    /// assert!(report.damage.is_empty() && report.records == 2 && report.images == 1);
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn verify(&self, mut progress: impl FnMut(VerifyProgress)) -> Result<VerifyReport> {
        self.engine.verify(&mut progress)
    }

    /// Serves what was asked before, brings everything to stable storage, and stops.
    ///
    /// # Errors
    /// `LogFailed` when some acknowledged `Buffered` commit could not be made durable, `Closed` when
    /// a shard had stopped; the next open then recovers. The database is closed either way.
    pub fn close(self) -> Result<()> {
        self.engine.close()
    }

    /// Creates a run. A name makes that safe to send again after an unknown outcome: `AlreadyExists` then says that
    /// it happened. A run without one gets a fresh id each time.
    ///
    /// # Errors
    /// `AlreadyExists` for a name that has a run, `InvalidArgument` for a name, tag or metadata
    /// beyond a limit.
    pub fn create_run(&self, spec: RunSpec) -> Result<RunHandle> {
        self.make_run(spec, |spec| Operation::RunCreate { spec })
    }

    /// Resumes the unfinished run of this name as it is, or creates it. A run without a name is always
    /// new; an unfinished one is taken up by its id, with [`resume`](crate::Writes::resume).
    ///
    /// # Errors
    /// `RunClosed` when the run of this name has finished; otherwise as [`create_run`](Self::create_run).
    pub fn begin_run(&self, spec: RunSpec) -> Result<RunHandle> {
        self.make_run(spec, |spec| Operation::RunBegin { spec })
    }

    /// A handle to a run, without a look whether it exists: operations on a run that was never
    /// created answer `NotFound`.
    pub fn run(&self, id: RunId) -> RunHandle {
        RunHandle::new(Arc::clone(&self.engine), Arc::clone(&self.limits), id)
    }

    /// What is known of a run; `None` if it does not exist.
    ///
    /// # Errors
    /// `Closed` when the database has stopped.
    pub fn get_run(&self, id: RunId) -> Result<Option<RunInfo>> {
        match self.engine.caller(None).operate(id, Operation::RunGet, None)? {
            Outcome::Run(info) => Ok(info.map(|info| *info)),
            other => unreachable!("a question for a run was answered with {other:?}"),
        }
    }

    /// One page of the runs that match, ordered by id, gathered from the shards one after another:
    /// each shard's part is true at a moment of its own. A page may hold fewer runs than `limit`, or
    /// none, and still name a `next`.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit of 0, `Closed` when the database has stopped.
    pub fn runs(&self, filter: &RunFilter, after: Option<RunId>, limit: usize) -> Result<RunPage> {
        if limit == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a page holds at least 1 run, the limit was 0",
            ));
        }
        self.engine.query(filter, after, limit)
    }

    /// Commits batches of many runs, each all or nothing on its own. One result for each, in order.
    /// They carry no options: durability is that of each run.
    ///
    /// # Errors
    /// The outer error only when nothing was sent.
    pub fn commit_all(&self, batches: Vec<Batch>) -> Result<Vec<Result<BatchReceipt>>> {
        let batches = batches.into_iter().map(|batch| (batch.run(), batch.into_operations())).collect();
        self.engine.commit_all(batches)
    }

    /// Makes everything acknowledged before the call durable.
    ///
    /// # Errors
    /// `LogFailed` when a shard's log has failed, `Unsupported` for an in-memory database.
    pub fn sync(&self) -> Result<()> {
        self.engine.sync()
    }

    /// What the shards have done since they began to serve. One that has stopped is told by its state.
    ///
    /// # Errors
    /// `Closed` when the database has stopped.
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats { shards: self.engine.stats()? })
    }

    /// What opening found, replayed and cut.
    pub fn recovery(&self) -> &RecoveryReport {
        self.engine.recovery()
    }

    /// Recovers, from its log, a shard that stopped after a panic or a failed log. The others go on
    /// serving meanwhile. Runs that live in memory only are gone afterwards. If recovery is refused, the
    /// shard answers `Closed` until a later attempt succeeds.
    ///
    /// # Errors
    /// `InvalidArgument` for a shard that does not exist or serves, `Unsupported` for an in-memory
    /// database, `LogFailed` when it was MANIFEST that could not be written, which only opening the store anew
    /// brings back, and whatever recovery refuses.
    pub fn restart_shard(&self, shard: usize) -> Result<ShardRecovery> {
        self.engine.restart_shard(shard)
    }

    /// How many shards the database has.
    pub fn shard_count(&self) -> usize {
        self.engine.shard_count()
    }

    /// The shard that owns a run.
    pub fn shard_of(&self, run: RunId) -> usize {
        self.engine.shard_of(run)
    }

    fn make_run(
        &self,
        spec: RunSpec,
        operation: impl FnOnce(Box<RunSpec>) -> Operation,
    ) -> Result<RunHandle> {
        let id = runs::id_of(&spec);
        let operation = operation(Box::new(spec));
        operation.check(id, &self.limits)?;
        self.engine.caller(None).operate(id, operation, None)?;
        Ok(self.run(id))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Handles keep the engine alive, so the store is closed here; who wants to know how that went calls `close`.
        if is_shard_thread() {
            Arc::clone(&self.engine).close_elsewhere();
        } else {
            let _ = self.engine.close();
        }
    }
}

impl Stats {
    /// Appends to all logs.
    pub fn appends(&self) -> u64 {
        self.shards.iter().filter_map(|shard| shard.log.as_ref()).map(|log| log.appends).sum()
    }

    /// Syncs of all logs, durable writes included.
    pub fn syncs(&self) -> u64 {
        self.shards.iter().filter_map(|shard| shard.log.as_ref()).map(|log| log.syncs).sum()
    }

    /// Commits of all shards.
    pub fn commits(&self) -> u64 {
        self.shards.iter().map(|shard| shard.commits).sum()
    }
}
