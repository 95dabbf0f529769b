//! All shards of a store: how they are reached, and how they are stopped.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use strata_primitives::{Error, ErrorKind, Operation, RunFilter, RunId};
use strata_runtime::Timeline;
use strata_runtime::mailbox::{self, SendError};
use strata_runtime::pinned::{Placement, is_shard_thread};
use strata_runtime::process_number;
use strata_runtime::reply::{Pending, ReplyPool, Unanswered};
use strata_wal::LogEnd;
use strata_wal::storage::LockGuard;

use crate::checkpoint_kind::CheckpointKind;
use crate::clock::Clock;
use crate::held_checkpoint::Holds;
use crate::layers::Layers;
use crate::maintenance::Errand;
use crate::message::{Answer, BatchReceipt, Control, Message, Reply, RunOrigin, RunPage};
use crate::report::{RecoveryReport, ShardCheckpoint, ShardRecovery, ShardState, ShardStats};

/// The shards of one open store.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shards: Vec<mailbox::Sender<Message>>,
    pub(crate) running: Mutex<Option<Running>>,
    pub(crate) recovery: RecoveryReport,
    pub(crate) process: u64,
    pub(crate) clock: Clock,
    pub(crate) is_read_only: bool,
    /// Where the time of requests goes, where that is measured.
    pub(crate) layers: Option<Layers>,
    /// Who keeps files where they are.
    pub(crate) holds: Holds,
    /// Held by a compaction, and by who closes the store.
    pub(crate) compacting: Mutex<()>,
    /// Held by an import, and by who closes the store.
    pub(crate) importing: Mutex<()>,
}

/// What has to end when the store closes.
#[derive(Debug, Default)]
pub(crate) struct Running {
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) maintenance: Option<(Sender<Errand>, JoinHandle<()>)>,
    /// Keeps the CPUs of the shards from the next store until the threads have ended.
    pub(crate) placement: Option<Placement>,
    /// Keeps other processes out until the last thread that writes has ended.
    pub(crate) lock: Option<LockGuard>,
}

/// How long a caller waits for room in a shard's mailbox.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// This thread's reply slots; made at its first call.
    static REPLIES: OnceCell<ReplyPool<Result<Answer, Error>>> = const { OnceCell::new() };
}

impl Engine {
    /// The shard that owns a run.
    pub fn shard_of(&self, run: RunId) -> usize {
        usize::from(run.placement()) % self.shards.len()
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// What opening found.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// Does batches of many runs, each all or nothing; one message to each shard concerned.
    pub fn commit_all(
        &self,
        batches: Vec<(RunId, Vec<Operation>)>,
    ) -> Result<Vec<Result<BatchReceipt, Error>>, Error> {
        let count = batches.len();
        let mut parts: Vec<Part> = self.shards.iter().map(|_| Part::default()).collect();
        for (place, batch) in batches.into_iter().enumerate() {
            let part = &mut parts[self.shard_of(batch.0)];
            part.places.push(place);
            part.batches.push(batch);
        }
        self.refuse_on_shard_thread()?;
        with_replies(|replies| {
            let mut pending = Vec::new();
            for (shard, Part { places, batches }) in parts.into_iter().enumerate() {
                if !batches.is_empty() {
                    pending.push((
                        shard,
                        places,
                        self.send(replies, shard, PATIENCE, |reply| Message::Batches { batches, reply }),
                    ));
                }
            }
            let mut results: Vec<Option<Result<BatchReceipt, Error>>> = (0..count).map(|_| None).collect();
            for (shard, places, sent) in pending {
                let answer = sent.and_then(|pending| self.wait(replies, shard, pending));
                match answer {
                    Ok(Answer::Batches(answers)) => {
                        for (place, answer) in places.into_iter().zip(answers) {
                            results[place] = Some(answer);
                        }
                    }
                    Ok(other) => unreachable!("batches were answered with {other:?}"),
                    Err(error) => {
                        for place in places {
                            results[place] = Some(Err(error.clone()));
                        }
                    }
                }
            }
            Ok(results.into_iter().map(|result| result.expect("every batch went to one shard")).collect())
        })
    }

    /// One page of the runs of the whole store that match, ordered by id.
    pub fn query(&self, filter: &RunFilter, after: Option<RunId>, limit: usize) -> Result<RunPage, Error> {
        let mut page = RunPage::default();
        let mut shortest: Option<RunId> = None;
        for shard in 0..self.shards.len() {
            let part = self.query_shard(shard, filter, after, limit)?;
            // Beyond the place where some shard stopped looking, nothing is known to be complete.
            if let Some(next) = part.next {
                shortest = Some(shortest.map_or(next, |known| known.min(next)));
            }
            page.runs.extend(part.runs);
        }
        page.runs.sort_by_key(|info| info.id);
        if let Some(shortest) = shortest {
            page.runs.retain(|info| info.id <= shortest);
            page.next = Some(shortest);
        }
        if page.runs.len() > limit {
            page.runs.truncate(limit);
            page.next = page.runs.last().map(|info| info.id);
        }
        Ok(page)
    }

    /// What each run of the whole store began as, as each shard knows it at moments of its own.
    ///
    /// # Errors
    /// `Closed` when the store has stopped.
    pub fn origins(&self) -> Result<Vec<RunOrigin>, Error> {
        let mut origins = Vec::new();
        for shard in 0..self.shards.len() {
            let mut after = None;
            loop {
                let page = match self.ask(shard, |reply| Message::Lineage { after, reply })? {
                    Answer::Origins(page) => *page,
                    other => unreachable!("a question for origins was answered with {other:?}"),
                };
                origins.extend(page.origins);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(origins)
    }

    /// Makes everything acknowledged before the call durable.
    pub fn sync(&self) -> Result<(), Error> {
        self.ask_all(|| Control::Sync(None)).map(drop)
    }

    /// Has every shard write an image of everything that was acknowledged before the call.
    pub(crate) fn checkpoint_shards(&self) -> Result<Vec<ShardCheckpoint>, Error> {
        self.checkpoint_of(CheckpointKind::default())
    }

    /// A checkpoint of this kind.
    pub(crate) fn checkpoint_of(&self, kind: CheckpointKind) -> Result<Vec<ShardCheckpoint>, Error> {
        let answers = self.ask_all(|| Control::Checkpoint(kind))?;
        let of_shard = |answer| match answer {
            Answer::Checkpoint(checkpoint) => checkpoint,
            other => unreachable!("a checkpoint was answered with {other:?}"),
        };
        Ok(answers.into_iter().map(of_shard).collect())
    }

    /// Asks every shard the same at once. The first refusal is the answer, when all have answered.
    pub(crate) fn ask_all(&self, control: impl Fn() -> Control) -> Result<Vec<Answer>, Error> {
        self.refuse_on_shard_thread()?;
        with_replies(|replies| {
            let ask = |shard| self.send(replies, shard, PATIENCE, |reply| Message::Control(control(), reply));
            let pending: Vec<_> = (0..self.shards.len()).map(|shard| (shard, ask(shard))).collect();
            let answers: Vec<_> = pending
                .into_iter()
                .map(|(shard, sent)| sent.and_then(|pending| self.wait(replies, shard, pending)))
                .collect();
            answers.into_iter().collect()
        })
    }

    /// The counters of every shard.
    pub fn stats(&self) -> Result<Vec<ShardStats>, Error> {
        (0..self.shards.len())
            .map(|shard| match self.ask(shard, |reply| Message::Control(Control::Stats, reply)) {
                Ok(Answer::Stats(stats)) => {
                    let layers = self.layers.as_ref().map(|layers| layers.of_shard(shard));
                    Ok(ShardStats { layers, ..*stats })
                }
                Ok(other) => unreachable!("a question for counters was answered with {other:?}"),
                Err(error) if error.kind() == ErrorKind::Closed && self.is_open() => {
                    Ok(ShardStats { state: ShardState::Closed, ..ShardStats::new(shard as u32) })
                }
                Err(error) => Err(error),
            })
            .collect()
    }

    /// Recovers a shard that stopped after a panic or a failed log, from its log.
    pub fn restart_shard(&self, shard: usize) -> Result<ShardRecovery, Error> {
        if shard >= self.shards.len() {
            let message = format!("there is no shard {shard}: the store has {}", self.shards.len());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        match self.ask(shard, |reply| Message::Control(Control::Restart, reply))? {
            Answer::Recovery(recovery) => {
                if let Some(layers) = &self.layers {
                    layers.begin(shard);
                }
                Ok(*recovery)
            }
            other => unreachable!("a restart was answered with {other:?}"),
        }
    }

    /// Drains and syncs every shard, ends all threads, and marks the store as closed in order.
    ///
    /// A second close does nothing. In a process that was forked from the one that opened the store
    /// it does nothing either: the threads live in the parent.
    pub fn close(&self) -> Result<(), Error> {
        if !self.is_own_process() {
            return Ok(());
        }
        self.refuse_on_shard_thread()?;
        // A compaction that is under way writes files of the store: it ends first.
        let _no_compaction = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        let _no_import = self.importing.lock().unwrap_or_else(PoisonError::into_inner);
        // Held to the end, so that a second close returns when the first has closed.
        let mut guard = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(running) = guard.take() else { return Ok(()) };
        let mut ends = Vec::new();
        let mut outcome = Ok(());
        for shard in 0..self.shards.len() {
            match self.close_shard(shard) {
                Ok(end) => ends.extend(end),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        for thread in running.threads {
            let _ = thread.join();
        }
        if let Some((errands, maintenance)) = running.maintenance {
            // A store that is only read has no ends to note.
            if outcome.is_ok() && !ends.is_empty() {
                let (reply, closed) = bounded(1);
                if errands.send(Errand::Close { ends, reply }).is_ok() {
                    outcome = closed.recv().unwrap_or_else(|_| Err(closed_error()));
                }
            } else {
                let _ = errands.send(Errand::End);
            }
            let _ = maintenance.join();
        }
        outcome.inspect_err(|error| {
            tracing::error!(target: "strata", %error, "the store is not closed in order");
        })
    }

    /// Where the maintenance thread is sent errands, while the store is open.
    pub(crate) fn errands(&self) -> Option<Sender<Errand>> {
        let running = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        running.as_ref().and_then(|running| running.maintenance.as_ref()).map(|(errands, _)| errands.clone())
    }

    /// Closes the store from a thread of its own, for a caller that must not wait: a closure on the shard of another
    /// store.
    pub fn close_elsewhere(self: Arc<Self>) {
        let closing = std::thread::Builder::new().name("strata-close".to_string());
        // Without a thread nothing is closed: the store stays locked and served until the process ends.
        let _ = closing.spawn(move || drop(self.close()));
    }

    /// Ends one shard, however long its mailbox stays full; only then may its thread be waited for.
    fn close_shard(&self, shard: usize) -> Result<Option<LogEnd>, Error> {
        let close =
            || self.ask_patiently(shard, Duration::MAX, |reply| Message::Control(Control::Close, reply));
        match close() {
            Ok(Answer::Closed(end)) => Ok(end),
            Ok(other) => unreachable!("a close was answered with {other:?}"),
            Err(error) => {
                // A shard that panicked over the first close ends at the second; one that has ended refuses it.
                let _ = close();
                Err(error)
            }
        }
    }

    fn query_shard(
        &self,
        shard: usize,
        filter: &RunFilter,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<RunPage, Error> {
        let filter = Box::new(filter.clone());
        match self.ask(shard, |reply| Message::Query { filter, after, limit, reply })? {
            Answer::Runs(page) => Ok(*page),
            other => unreachable!("a query was answered with {other:?}"),
        }
    }

    /// Sends one message to one shard and waits for the answer.
    pub(crate) fn ask(&self, shard: usize, message: impl FnOnce(Reply) -> Message) -> Result<Answer, Error> {
        self.ask_patiently(shard, PATIENCE, message)
    }

    fn ask_patiently(
        &self,
        shard: usize,
        patience: Duration,
        message: impl FnOnce(Reply) -> Message,
    ) -> Result<Answer, Error> {
        self.refuse_on_shard_thread()?;
        with_replies(|replies| {
            let pending = self.send(replies, shard, patience, message)?;
            self.wait(replies, shard, pending)
        })
    }

    /// Sends one message to one shard and waits for the answer until `deadline`; one that comes later is dropped.
    pub(crate) fn ask_until(
        &self,
        shard: usize,
        deadline: Instant,
        message: impl FnOnce(Reply) -> Message,
    ) -> Result<Option<Answer>, Error> {
        self.refuse_on_shard_thread()?;
        with_replies(|replies| {
            let left = deadline.saturating_duration_since(Instant::now());
            let pending = match self.send(replies, shard, left.min(PATIENCE), message) {
                Err(error) if error.kind() == ErrorKind::Busy && left < PATIENCE => return Ok(None),
                sent => sent?,
            };
            self.wait_until(replies, shard, pending, deadline)
        })
    }

    /// The same for who has to know what came of it: no answer is an error.
    pub(crate) fn ask_within(
        &self,
        shard: usize,
        timeout: Duration,
        message: impl FnOnce(Reply) -> Message,
    ) -> Result<Answer, Error> {
        self.refuse_on_shard_thread()?;
        let deadline = deadline_in(timeout);
        with_replies(|replies| {
            let pending = self.send(replies, shard, timeout.min(PATIENCE), message)?;
            self.wait_until(replies, shard, pending, deadline)?.ok_or_else(|| timed_out_error(shard, timeout))
        })
    }

    pub(crate) fn send(
        &self,
        replies: &ReplyPool<Result<Answer, Error>>,
        shard: usize,
        patience: Duration,
        message: impl FnOnce(Reply) -> Message,
    ) -> Result<Pending<Result<Answer, Error>>, Error> {
        let (pending, mut reply) = replies.request();
        if self.layers.is_some() {
            reply.mark_sent();
        }
        let sent = match self.shards[shard].try_send(message(reply)) {
            Err(SendError::Full(_)) if !self.is_own_process() => return Err(forked_error()),
            Err(SendError::Full(message)) => self.shards[shard].send(message, patience),
            sent => sent,
        };
        match sent {
            Ok(()) => Ok(pending),
            Err(error) => Err(unsent_error(shard, patience, &error)),
        }
    }

    pub(crate) fn wait_until(
        &self,
        replies: &ReplyPool<Result<Answer, Error>>,
        shard: usize,
        pending: Pending<Result<Answer, Error>>,
        deadline: Instant,
    ) -> Result<Option<Answer>, Error> {
        let received = replies.wait_until(pending, deadline, || self.is_own_process());
        self.note_received(shard, || replies.take_timeline());
        match received {
            Ok(answer) => answer.map(Some),
            Err(Unanswered::GaveUp) if self.is_own_process() => Ok(None),
            Err(Unanswered::GaveUp) => Err(forked_error()),
            Err(Unanswered::Abandoned) => Err(abandoned_error(shard)),
        }
    }

    pub(crate) fn wait(
        &self,
        replies: &ReplyPool<Result<Answer, Error>>,
        shard: usize,
        pending: Pending<Result<Answer, Error>>,
    ) -> Result<Answer, Error> {
        let received = replies.wait_while(pending, || self.is_own_process());
        self.note_received(shard, || replies.take_timeline());
        match received {
            Ok(answer) => answer,
            Err(Unanswered::GaveUp) => Err(forked_error()),
            Err(Unanswered::Abandoned) => Err(abandoned_error(shard)),
        }
    }

    /// Notes where the time of a request went whose answer has just been received, if it has come all the way.
    #[inline]
    pub(crate) fn note_received(&self, shard: usize, timeline: impl FnOnce() -> Option<Timeline>) {
        if let Some(layers) = &self.layers {
            layers.record(shard, timeline);
        }
    }

    fn is_open(&self) -> bool {
        self.is_own_process()
            && self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).is_some()
    }

    /// The shards' threads are not copied by fork(2): in a child nobody would ever answer.
    #[inline]
    pub(crate) fn is_own_process(&self) -> bool {
        process_number() == self.process
    }

    #[inline]
    pub(crate) fn refuse_on_shard_thread(&self) -> Result<(), Error> {
        if is_shard_thread() {
            let message = "a shard's own thread cannot wait for a shard: it would wait for itself";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }
}

/// The batches of a call that go to one shard, and where in the call they stand.
#[derive(Default)]
struct Part {
    places: Vec<usize>,
    batches: Vec<(RunId, Vec<Operation>)>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !is_shard_thread() {
            // Whoever wants to know how closing went calls `close`.
            let _ = self.close();
            return;
        }
        // A closure on a shard of another store held the last handle. Its thread cannot wait for these threads, and
        // the lock must not go before them: without a close they run on, and keep it.
        let running = self.running.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        std::mem::forget(running.take());
    }
}

pub(crate) fn with_replies<T>(call: impl FnOnce(&ReplyPool<Result<Answer, Error>>) -> T) -> T {
    let mut call = Some(call);
    let mut once = |replies: &ReplyPool<_>| call.take().map(|call| call(replies));
    // A thread that is ending has lost its pool already: a store may be dropped by another of its locals.
    let pooled = REPLIES.try_with(|replies| once(replies.get_or_init(ReplyPool::new)));
    let done = pooled.unwrap_or_else(|_| once(&ReplyPool::new()));
    done.expect("the call is made once, by the pool or without it")
}

pub(crate) fn forked_error() -> Error {
    let message = "this process was forked from the one that opened the store: open another store here";
    Error::new(ErrorKind::Closed, message)
}

/// Why a message was not sent, although its sender has waited for room.
pub(crate) fn unsent_error(shard: usize, patience: Duration, error: &SendError<Message>) -> Error {
    if !error.is_full() {
        return closed_error();
    }
    let message = match patience.is_zero() {
        true => format!("the mailbox of shard {shard} is full: back off and retry"),
        false => format!("the mailbox of shard {shard} stayed full for {patience:?}: back off and retry"),
    };
    Error::new(ErrorKind::Busy, message)
}

/// When a wait of this length ends; one beyond the end of the clock goes on for years.
pub(crate) fn deadline_in(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + Duration::from_secs(1 << 31))
}

pub(crate) fn timed_out_error(shard: usize, timeout: Duration) -> Error {
    let message = format!(
        "shard {shard} did not answer within {timeout:?}: a write may still take effect; look, or send it again with \
         its operation id"
    );
    Error::new(ErrorKind::TimedOut, message)
}

pub(crate) fn abandoned_error(shard: usize) -> Error {
    let message = format!(
        "shard {shard} stopped before it answered, so whether a write took effect is unknown: if it panicked, \
         restart_shard({shard}) recovers a store on disk; if the store was closed, open it again"
    );
    Error::new(ErrorKind::Closed, message)
}

pub(crate) fn closed_error() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed: open it again")
}
