//! A handle to one run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use strata_primitives::{
    Cause, Commit, Durability, Effect, EntityRef, ErasedVersions, Error, ErrorKind, EventRef, FindKey,
    KeyKind, KeyRef, Limits, Operation, OperationId, Outcome, Retention, RunId, Value, Version, Versioned,
};
use strata_shards::message::{CallOptions, SentOptions};
use strata_shards::{
    BatchReceipt, Caller, Ending, Engine, Purpose, Reader, RetentionPreview, Sight, repeated,
};

use crate::Result;
use crate::answers::{appended_of, written_of};
use crate::batch::Batch;
use crate::events::Appended;
use crate::kv::KvScan;
use crate::reads::{Reads, request};
use crate::retry::Backoff;
use crate::scope::{Scope, pack, unpacked};
use crate::seeing::{self, Sees};
use crate::snapshot::Snapshot;
use crate::subscription::{CommitSubscription, EventSubscription};
use crate::transaction::{Transacted, Transaction};
use crate::writes::Writes;

/// A handle to one run: cheap to clone, usable from any thread.
///
/// What it reads and writes are the methods of [`Reads`] and [`Writes`]. Every write is one message to the run's shard and waits
/// for the answer. A handle that reads again and again, or a clone of it, reads what the shard has published of the run, on its own
/// thread and without a message, as long as what it asks for has not changed since; the answer is the same. Calls of one thread take
/// effect in order.
#[derive(Clone)]
pub struct RunHandle {
    engine: Arc<Engine>,
    pub(crate) limits: Arc<Limits>,
    id: RunId,
    options: CallOptions,
    timeout: Option<Duration>,
    /// Where it reads without a message.
    reader: Arc<Reader>,
}

impl RunHandle {
    pub(crate) fn new(engine: Arc<Engine>, limits: Arc<Limits>, id: RunId) -> RunHandle {
        let (options, timeout, reader) = (CallOptions::default(), None, Arc::default());
        RunHandle { engine, limits, id, options, timeout, reader }
    }

    /// The run.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// A handle to another run, which says nothing about its writes.
    pub(crate) fn of_other(&self, id: RunId) -> RunHandle {
        RunHandle::new(Arc::clone(&self.engine), Arc::clone(&self.limits), id)
    }

    /// A handle whose writes are promised at least this much. It can only be raised: asking for less
    /// than the run has is refused at the write.
    pub fn with_durability(&self, durability: Durability) -> RunHandle {
        let mut handle = self.clone();
        handle.options.durability = Some(durability);
        handle
    }

    /// A handle whose writes carry this id: use it for one write, and again to send that write again.
    /// After an unknown outcome it then answers with its first receipt and does not happen twice.
    /// Another write with the same id is refused with `InvalidArgument`. A write that changed nothing
    /// made no commit and leaves no receipt; a run remembers its latest 65,536.
    ///
    /// ```
    /// # use strata::{Database, OperationId, Reads, RunSpec, Writes};
    /// # let database = Database::in_memory()?;
    /// # let run = database.begin_run(RunSpec::named("r"))?;
    /// let payment = run.with_operation_id(OperationId([7; 16]));
    /// let first = payment.append("pay", 120)?;
    /// assert_eq!(payment.append("pay", 120)?, first);
    /// assert_eq!(run.event_count()?.value, 1);
    /// # Ok::<(), strata::Error>(())
    /// ```
    pub fn with_operation_id(&self, id: OperationId) -> RunHandle {
        let mut handle = self.clone();
        handle.options.operation_id = Some(id);
        handle
    }

    /// A handle whose writes store why they are made.
    pub fn with_cause(&self, cause: Cause) -> RunHandle {
        let mut handle = self.clone();
        handle.options.cause = Some(cause);
        handle
    }

    /// A handle that waits so long for each answer, and tells `TimedOut` then. That the answer did not come says nothing of a
    /// write: it may still take effect, at any time until the shard has come to it. Who has to know sends it again with the
    /// [operation id](Self::with_operation_id) that it had. What has found no room in the shard's mailbox until then is
    /// `Busy` as ever: nothing happened.
    ///
    /// It bounds the wait for a shard, not what a call does on the caller's own thread; a call that asks several times, as
    /// a transaction does, waits so long each time. Subscriptions are given a timeout when they are asked, and what is
    /// [asynchronous](Self::to_async) is timed by who awaits it. What the handle makes has the timeout too: a transaction,
    /// a snapshot, what is sent through a [`Pipeline`](crate::Pipeline), but no handle to another run.
    ///
    /// ```
    /// use std::time::Duration;
    /// use strata::{Database, ErrorKind, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// let hasty = run.with_timeout(Duration::from_secs(1));
    /// match hasty.put("city", "Oslo") {
    ///     Ok(_) => assert_eq!(run.get("city")?.unwrap().value.as_str(), Some("Oslo")),
    ///     Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
    /// }
    /// # database.close()
    /// # }
    /// ```
    pub fn with_timeout(&self, timeout: Duration) -> RunHandle {
        let mut handle = self.clone();
        handle.timeout = Some(timeout);
        handle
    }

    /// The same with a cause that they have unless they have one already.
    pub(crate) fn caused_by(&self, cause: Cause) -> RunHandle {
        let mut handle = self.clone();
        handle.options.cause.get_or_insert(cause);
        handle
    }

    /// An empty batch for this run.
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.limits), self.id)
    }

    /// Commits a batch: all of its operations or none. An empty batch makes no commit.
    ///
    /// # Errors
    /// The first operation that fails, with its place in the batch and its entity;
    /// `InvalidArgument` for a batch of another run.
    pub fn commit(&self, batch: Batch) -> Result<BatchReceipt> {
        let (operations, options) = self.unpack(batch)?;
        self.caller().commit(self.id, operations, options)
    }

    /// What is sent of a batch.
    pub(crate) fn unpack(&self, batch: Batch) -> Result<(Vec<Operation>, SentOptions)> {
        if batch.run() != self.id {
            let message = format!("a batch of run {} cannot be committed to run {}", batch.run(), self.id);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok((batch.into_operations(), self.sent_options()?))
    }

    /// Makes every commit of this run durable that was acknowledged before the call.
    ///
    /// # Errors
    /// `LogFailed` when the log has failed, `Unsupported` for an in-memory database or run.
    pub fn sync(&self) -> Result<()> {
        self.caller().sync_run(self.id)
    }

    /// Deletes the run and all it holds, but not runs that name it as parent. A run created again
    /// under its name goes on with its version numbers.
    pub fn delete_run(&self) -> Result<Commit> {
        let (commit, _) = self.write(Operation::RunDelete)?;
        Ok(commit.expect("the deletion of a run that is there is a commit"))
    }

    /// Erases what the run has written of one thing: a marker, [`Value::Erased`](crate::Value::Erased), stands in its place from now
    /// on, in every version of the run that shows it, in open snapshots, and in every run that was forked from it and inherited it.
    /// On disk it is gone once [`compact(Compaction::Full)`](crate::Database::compact) has returned that was called afterwards.
    /// It is allowed in every status of a run, and it is a commit of its own; `None` when there was nothing to erase.
    ///
    /// Keys, cells and events are erased as `versions` says; a trace or a document only with all of its versions. Names, types,
    /// tags, versions, times and deadlines stay, and so does the place of a trace in its tree; of an event the hash stays, and with
    /// it the chain. `reason` stays with the run. What somebody was told already, the note of a cause and the receipt of an operation
    /// id are none of the thing's payload. What a fork wrote as its own is its own, whatever it had read; and a life in memory erases
    /// nothing that an earlier life of the run has logged.
    ///
    /// Whatever was erased can be written again. A transaction that has read something in the run before conflicts.
    ///
    /// # Errors
    /// `VersionNotFound` for a commit that has not written the thing, as far as that is still kept: for
    /// [`At`](ErasedVersions::At) that version is looked at, with the errors of [`at`](Self::at). `NotFound` for an event or a trace that is not there,
    /// `Unsupported` for single versions of a trace or a document, `InvalidArgument` for what the run has inherited (it names the
    /// run in which to erase it), for a run, and for a reason of more than 1,024 bytes.
    ///
    /// ```
    /// use strata::{Database, EntityRef, ErasedVersions, Reads, RunSpec, Value, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("traveller", "Ada Lovelace")?;
    /// run.erase(&EntityRef::kv(run.id(), "traveller"), ErasedVersions::All, "she asked for it")?;
    /// assert_eq!(run.get("traveller")?.unwrap().value, Value::Erased);
    /// # database.close()
    /// # }
    /// ```
    pub fn erase(
        &self,
        entity: &EntityRef,
        versions: ErasedVersions,
        reason: impl Into<Arc<str>>,
    ) -> Result<Option<Commit>> {
        let (entity, reason) = (Box::new(entity.clone()), reason.into());
        let operation = Operation::RunErase { entity, versions, reason };
        if let ErasedVersions::At(version) = versions {
            self.check_written(&operation, version)?;
        }
        Ok(self.write(operation)?.0)
    }

    /// Refuses to erase what a commit has not written. What is not kept any more is not asked: a fork may have inherited it.
    fn check_written(&self, operation: &Operation, version: Version) -> Result<()> {
        operation.check(self.id, self.limits())?;
        let entity = operation.entity(self.id);
        if matches!(entity, EntityRef::Run { .. } | EntityRef::Trace { .. } | EntityRef::Json { .. }) {
            return Ok(());
        }
        let view = match self.at(version) {
            Ok(view) => view,
            Err(error) if [ErrorKind::HistoryTrimmed, ErrorKind::Unsupported].contains(&error.kind()) => {
                return Ok(());
            }
            Err(error) => return Err(error.with_entity(entity)),
        };
        let written = match view.stat(&entity) {
            // It was removed by the commit that wrote it, or before: the shard knows by whom.
            Err(error) if error.kind() == ErrorKind::HistoryTrimmed => return Ok(()),
            found => found?.map(|found| found.version),
        };
        if written == Some(version) {
            return Ok(());
        }
        let message = match written {
            Some(written) => format!("commit {version} has not written it: commit {written} had"),
            None => format!("commit {version} has not written it: it was not there"),
        };
        Err(Error::new(ErrorKind::VersionNotFound, message).with_entity(entity))
    }

    /// A picture of the run as it is now, which commits that follow do not change.
    ///
    /// Opening one copies nothing; while it is open the run keeps what later commits replace, up to
    /// `snapshot_size_max`.
    ///
    /// # Errors
    /// `NotFound` when the run does not exist, `Busy` when 65,536 snapshots and transactions are open on its shard.
    ///
    /// ```
    /// use strata::{Database, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), strata::Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// run.put("city", "Oslo")?;
    /// let before = run.snapshot()?;
    /// run.put("city", "Bergen")?;
    /// assert_eq!(before.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// # drop(before);
    /// # database.close()
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::open(self, Purpose::Snapshot)
    }

    /// What the next checkpoint would give up of the run's history if [`set_retention`](crate::Writes::set_retention) had set
    /// this. Nothing is changed.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` for keeping nothing, `Unsupported` for what lives in memory and has no history.
    pub fn preview_retention(&self, retention: impl Into<Option<Retention>>) -> Result<RetentionPreview> {
        self.caller().preview_retention(self.id, retention.into())
    }

    /// The run as its commit `version` left it, with everything that can be read of it.
    ///
    /// The newest version is a [`snapshot`](Self::snapshot). An older one is made from the newest image of the run before it and
    /// the records behind that, beside the shard, which serves others meanwhile; it takes memory like the run itself until it is
    /// dropped. Deadlines are judged by the time of that commit, of the newest version too.
    ///
    /// # Errors
    /// `VersionNotFound` when the run has no such version, `HistoryTrimmed` when it is older than what is
    /// [kept](crate::Writes::set_retention), `NotFound` when there is no such run, or was none at this version, `Unsupported`
    /// for an older version of what lives in memory, `Busy` when 64 older versions are open on its shard, `Corrupt` when what
    /// it is made from is damaged, `Io`.
    ///
    /// ```
    /// use strata::{Database, Options, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("strata.db");
    /// let database = Database::open(&path, Options::default())?;
    /// let run = database.begin_run(RunSpec::named("trip"))?;
    /// let oslo = run.put("city", "Oslo")?;
    /// run.put("city", "Bergen")?;
    /// assert_eq!(run.at(oslo.version)?.get("city")?.unwrap().value.as_str(), Some("Oslo"));
    /// # database.close()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(&self, version: Version) -> Result<Snapshot> {
        Snapshot::open(self, Purpose::Past { version, judged_at: None })
    }

    /// Follows the events of the run from sequence `from` on: those that are there, and then those that come.
    ///
    /// # Errors
    /// `NotFound` when the run does not exist, `HistoryTrimmed` when it does not keep that event any more, also where that is
    /// 0: it names the [first](crate::Reads::first_event) that it keeps. `Busy` when 65,536 subscriptions are open on its shard.
    pub fn subscribe_events(&self, from: u64) -> Result<EventSubscription> {
        EventSubscription::begin(self, from)
    }

    /// Follows the commits of the run behind `after`, which has to be its newest: earlier ones are not kept for
    /// followers.
    ///
    /// # Errors
    /// `HistoryTrimmed` names the earliest commit that can be followed, `VersionNotFound` the newest there is;
    /// otherwise as [`subscribe_events`](Self::subscribe_events).
    pub fn subscribe_commits(&self, after: Version) -> Result<CommitSubscription> {
        CommitSubscription::begin(self, after)
    }

    /// Begins a transaction by hand; [`transaction`](Self::transaction) is nearly always better, because it tries
    /// again after a conflict.
    pub fn begin(&self) -> Transaction {
        Transaction::new(self.clone())
    }

    /// Runs `body` as one transaction: what it reads is one picture of the run with its own writes over it, and what
    /// it writes becomes one commit, or nothing does.
    ///
    /// When a commit of somebody else changed what `body` read, all of it is dropped and `body` runs again, on a new
    /// picture, after a short random wait; so it does nothing but read, compute and write. A write that nothing was
    /// read for conflicts with nothing: the last one stays. Runs are strictly serializable: every transaction takes
    /// effect at one moment between its begin and its return. One that only read makes no commit.
    ///
    /// An operation id of the handle makes it happen once: when the transaction has been committed before, it is
    /// refused with `AlreadyExists`, and [`receipt`](crate::Reads::receipt) tells its receipt.
    ///
    /// # Errors
    /// What `body` returns, which drops everything it wrote; `Conflict` when others were faster 100 times, naming the
    /// thing that changed and both of its versions; and whatever a write answers.
    ///
    /// ```
    /// use strata::{Database, Error, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("budget"))?;
    /// run.put_many([("left", 300), ("spent", 0)])?;
    /// let done = run.transaction(|tx| {
    ///     let left = tx.get("left")?.and_then(|left| left.value.as_int()).unwrap_or(0);
    ///     tx.put("left", left - 120)?;
    ///     tx.put("spent", 120)?;
    ///     tx.append("booked", "hotel")?;
    ///     Ok::<_, Error>(left - 120)
    /// })?;
    /// assert_eq!((done.value, done.receipt.effects.len()), (180, 3));
    /// # database.close()
    /// # }
    /// ```
    pub fn transaction<T, E: From<Error>>(
        &self,
        mut body: impl FnMut(&Transaction) -> std::result::Result<T, E>,
    ) -> std::result::Result<Transacted<T>, E> {
        let mut backoff = Backoff::default();
        loop {
            let transaction = self.begin();
            self.refuse_done(&transaction)?;
            let value = body(&transaction)?;
            match transaction.commit() {
                Ok(receipt) => return Ok(Transacted { value, receipt, attempts: backoff.attempts() }),
                Err(error) => backoff.after(error)?,
            }
        }
    }

    /// Sends `body` to the run's shard, where it runs alone: it sees the run as it is, and what it writes becomes one
    /// commit when it returns `Ok`, or nothing when it returns an error or panics. It runs once and never conflicts.
    ///
    /// The shard serves nobody else meanwhile, so it should be short and must not wait for anything; one that takes
    /// longer than [`execute_budget`](crate::Options::execute_budget) is reported. Calls to a database inside it are
    /// refused.
    ///
    /// # Errors
    /// What `body` returns; `Panicked` when it panics; whatever a write answers. `AlreadyExists` as for
    /// [`transaction`](Self::transaction).
    ///
    /// ```
    /// use strata::{Database, Error, Reads, RunSpec, Writes};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let database = Database::in_memory()?;
    /// let run = database.begin_run(RunSpec::named("queue"))?;
    /// run.put("job/1", "translate")?;
    /// let taken = run.execute(|run| {
    ///     let job = run.get("job/1")?;
    ///     run.delete("job/1")?;
    ///     Ok::<_, Error>(job.map(|job| job.value))
    /// })?;
    /// assert_eq!(taken.value.unwrap().as_str(), Some("translate"));
    /// # database.close()
    /// # }
    /// ```
    pub fn execute<T, E>(
        &self,
        body: impl FnOnce(&Scope<'_, '_, '_>) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<Transacted<T>, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.ship(body, Ending::Commit)
    }

    /// The same, with what becomes of its writes where it returns `Ok`.
    pub(crate) fn ship<T, E>(
        &self,
        body: impl FnOnce(&Scope<'_, '_, '_>) -> std::result::Result<T, E> + Send + 'static,
        ending: Ending,
    ) -> std::result::Result<Transacted<T>, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (shipped, result) = pack(body, ending);
        let receipt =
            self.sent_options().and_then(|options| self.caller().execute(self.id, shipped, options));
        unpacked(receipt, &result)
    }

    /// Refuses a transaction that has been committed under its operation id. Its closure would see its own effects.
    pub(crate) fn refuse_done(&self, reads: &impl Reads) -> Result<()> {
        let Some(id) = self.options.operation_id else { return Ok(()) };
        match reads.receipt(id)? {
            Some(receipt) => Err(repeated(self.id, id, &receipt)),
            None => Ok(()),
        }
    }

    /// Refuses, for a reason, what is not made once by an operation id.
    pub(crate) fn refuse_operation_id(&self, message: &str) -> Result<()> {
        match self.options.operation_id {
            None => Ok(()),
            Some(_) => {
                let error = Error::new(ErrorKind::InvalidArgument, message);
                Err(error.with_entity(EntityRef::run(self.id)))
            }
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Who waits for its answers.
    #[inline]
    pub(crate) fn caller(&self) -> Caller<'_> {
        self.engine.caller(self.timeout)
    }

    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    pub(crate) fn sent_options(&self) -> Result<SentOptions> {
        if self.options.is_empty() {
            return Ok(None);
        }
        if let Some(cause) = &self.options.cause {
            cause.check(&self.limits)?;
        }
        Ok(Some(Box::new(self.options.clone())))
    }
}

impl Reads for RunHandle {
    fn run_id(&self) -> RunId {
        self.id
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn ask(&self, operation: Operation) -> Result<Outcome> {
        request(self).check_read(&operation)?;
        self.caller().read(self.id, &self.reader, operation, &self.limits)
    }

    fn visit_last_events(&self, limit: usize, visit: &mut dyn FnMut(EventRef<'_>)) -> Result<Versioned<u64>> {
        seeing::visit_last_events(self, limit, visit)
    }

    fn visit_values(&self, scan: &KvScan, visit: &mut dyn FnMut(KeyRef<'_>)) -> Result<Versioned<u64>> {
        seeing::visit_values(self, scan, visit)
    }

    fn look_up(&self, kind: KeyKind, name: &str, found: &mut FindKey<'_>) -> Result<()> {
        seeing::look_up(self, kind, name, found)
    }
}

impl Sees for RunHandle {
    #[inline]
    fn sight(&self) -> Option<(&Engine, Sight<'_>)> {
        Some((&self.engine, Sight::Published(&self.reader)))
    }
}

impl Writes for RunHandle {
    type Receipt = Commit;
    type Appended = Appended;

    fn write(&self, operation: Operation) -> Result<(Option<Commit>, Effect)> {
        request(self).check_write(&operation)?;
        Ok(written_of(self.caller().operate(self.id, operation, self.sent_options()?)?))
    }

    /// A transaction, so that it happens once under an operation id: sent again it would step on from its own result.
    fn cell_transition(
        &self,
        name: &str,
        mut step: impl FnMut(&Value) -> Result<Value>,
    ) -> Result<(Value, Commit)> {
        let done = self.transaction(|tx| Ok::<_, Error>(tx.cell_transition(name, &mut step)?.0))?;
        Ok((done.value, done.receipt.commit.expect("a transition always sets its cell")))
    }

    fn write_events(&self, operation: Operation) -> Result<Option<Appended>> {
        request(self).expect_append(&operation)?;
        Ok(appended_of(self.write(operation)?))
    }
}

impl fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHandle")
            .field("id", &self.id)
            .field("options", &self.options)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
