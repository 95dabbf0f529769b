//! One shard: its runs, its log, and the turn in which it serves them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use strata_primitives::{
    Durability, Effect, Error, ErrorKind, Mutation, Operation, OrderIndex, Outcome, RunId, Timestamp,
};
use strata_runtime::mailbox::Mailbox;
use strata_wal::Log;

use crate::base::Bases;
use crate::batches::Batches;
use crate::boot::Boot;
use crate::calls::fresh_id;
use crate::checkpoint::{Checkpoints, KnownImages, LogBounds};
use crate::commit::{Staged, Step, Unseen};
use crate::eviction::Budget;
use crate::history_query::Histories;
use crate::image_thread::ImageNews;
use crate::loader::{Dropped, LoadRequest, Loaded};
use crate::maintenance::{Errand, Prepared};
use crate::mending::Mending;
use crate::message::{Answer, BatchReceipt, Control, Message, Reply};
use crate::pasts::Pasts;
use crate::picture::answer;
use crate::report::{ShardState, ShardStats};
use crate::residency::Waiting;
use crate::run::{Need, Progress};
use crate::run_table::RunTable;
use crate::setup::Setup;
use crate::stage::{Operations, Written};
use crate::subscription::Followers;
use crate::transaction::Transactions;
use crate::value_reads::{ReadCounts, ValueReads};
use crate::withheld::Withheld;

/// The channels between a shard and the maintenance thread of its store.
#[derive(Debug)]
pub(crate) struct Maintained {
    pub(crate) errands: Sender<Errand>,
    pub(crate) segments: Receiver<Prepared>,
    pub(crate) images: Receiver<ImageNews>,
    pub(crate) loads: Sender<LoadRequest>,
    pub(crate) loaded: Receiver<Loaded>,
}

/// One shard of a store. Owned by one thread; nothing in it is shared.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) setup: Arc<Setup>,
    pub(crate) runs: RunTable,
    pub(crate) log: Option<Log>,
    pub(crate) progress: Progress,
    /// The log failed, and what it had not taken was taken back: no answer waits for it any more.
    pub(crate) has_taken_back: bool,
    pub(crate) withheld: Withheld,
    pub(crate) unseen: Unseen,
    pub(crate) transactions: Transactions,
    pub(crate) followers: Followers,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) waiting: Waiting,
    pub(crate) pasts: Pasts,
    pub(crate) histories: Histories,
    pub(crate) bases: Bases,
    pub(crate) budget: Budget,
    pub(crate) mending: Mending,
    /// Turns so far.
    pub(crate) turn_number: u64,
    /// Runs that have more to forget of what was kept for a snapshot.
    pub(crate) untidy: Vec<RunId>,
    /// Keys that a closure walked in order without an index.
    pub(crate) walked: Vec<(RunId, OrderIndex)>,
    pub(crate) stats: ShardStats,
    /// Reads of large values that its runs have left in images.
    pub(crate) value_reads: Arc<ValueReads>,
    pub(crate) now: Timestamp,
    /// When windows were looked at last.
    tidied: Timestamp,
    pub(crate) boot: Boot,
    /// The cleaner does not run before this time: it was refused, or the shard has others to serve.
    pub(crate) cleaning_from: Timestamp,
    /// Why no segment could be prepared the last time.
    pub(crate) no_segment: Option<Error>,
    pub(crate) spare_body: Vec<u8>,
    pub(crate) spare_mutations: Vec<Mutation>,
    /// A write that the log could not take yet; nothing else is served before it.
    held: Option<Held>,
    /// Batches that wait for the log alone.
    pub(crate) done_batches: Vec<Batches>,
    /// Of the newest erasure, or of when the shard began: another one each time in this process.
    pub(crate) erasure_mark: u64,
    /// Set by a message that ends the serving.
    pub(crate) ending: Option<Ending>,
}

/// A staged write and what happens once it is done.
#[derive(Debug)]
struct Held {
    staged: Staged,
    then: Then,
}

/// Where the result of a write goes.
#[derive(Debug)]
pub(crate) enum Then {
    Operation(Reply),
    Batch(Reply),
    Batches(Box<Batches>),
    Cleaned,
}

/// Why a shard stops serving.
#[derive(Debug)]
pub(crate) enum Ending {
    Close(Reply),
    Restart(Reply),
}

/// A turn ends after this many messages, so that the log is not kept waiting.
const TURN_MESSAGES_MAX: usize = 256;
/// A turn takes no further message after this long.
const TURN_TIME_MAX: Duration = Duration::from_micros(200);
/// Messages between two readings of the clock; the first 16 of a turn are not timed.
const MESSAGES_PER_READING: usize = 16;
/// How many things that were kept for a snapshot are forgotten in one turn.
const FORGOTTEN_MAX: usize = 512;
/// Now and then a turn looks at some windows, for what nobody looks at any more.
const TURNS_BETWEEN_TIDYING: u64 = 16;
/// A shard with nothing else to do looks at so many times as many.
const TIDYINGS_AT_REST: usize = 16;
/// A sleeping shard looks at the clock at least this often while a key waits to expire, a checkpoint to be made, or much of what was
/// published to be given back.
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Shard {
    pub(crate) fn new(
        index: u32,
        setup: Arc<Setup>,
        runs: RunTable,
        log: Option<Log>,
        images: KnownImages,
        loads: Option<Sender<LoadRequest>>,
    ) -> Shard {
        let now = setup.clock.now();
        let budget = Budget::new(setup.is_on_disk.then_some(setup.memory_budget));
        let checkpoints =
            Checkpoints::new(images, LogBounds::new(setup.checkpoint_log_size, setup.memory_budget), now);
        let mut shard = Shard {
            index,
            setup,
            runs,
            log,
            progress: Progress::EVERYTHING,
            has_taken_back: false,
            withheld: Withheld::default(),
            unseen: Unseen::default(),
            transactions: Transactions::default(),
            followers: Followers::default(),
            checkpoints,
            waiting: Waiting::new(loads),
            pasts: Pasts::default(),
            histories: Histories::new(),
            bases: Bases::default(),
            budget,
            mending: Mending::default(),
            turn_number: 0,
            untidy: Vec::new(),
            walked: Vec::new(),
            stats: ShardStats::new(index),
            value_reads: Arc::default(),
            now,
            tidied: now,
            boot: Boot::default(),
            cleaning_from: Timestamp(0),
            no_segment: None,
            spare_body: Vec::new(),
            spare_mutations: Vec::new(),
            held: None,
            erasure_mark: fresh_id(),
            done_batches: Vec::new(),
            ending: None,
        };
        shard.refresh_progress();
        if let Some(log) = &mut shard.log {
            log.bound_segments(shard.checkpoints.segment_size_max());
        }
        shard
    }

    /// Serves what waits in the mailbox, then lets the log move. Returns whether anything happened.
    pub(crate) fn turn(&mut self, mailbox: &mut Mailbox<Message>, maintained: Option<&Maintained>) -> bool {
        let mut served = 0;
        let mut started = None;
        let mut began = self.now;
        self.turn_number += 1;
        self.resume_held();
        let loaded = self.take_loaded(maintained);
        let was_ready = if self.ending.is_none() { self.serve_ready() } else { 0 };
        while let Some((run, index)) = self.walked.pop() {
            self.order(run, index);
        }
        let is_short = self.is_short_of_memory();
        while !is_short && self.held.is_none() && self.ending.is_none() && served < TURN_MESSAGES_MAX {
            let mut received = mailbox.receive();
            if self.setup.measure_layers {
                received.iter_mut().for_each(Message::mark_taken);
            }
            let Some(message) = received else { break };
            // Read when the message is there, not once a turn: whoever was answered in this turn, saw a deadline pass
            // and asks again, is told so. It costs some 20 ns.
            self.now = self.setup.clock.now();
            if served == 0 {
                began = self.now;
            }
            if let Some(message) = self.admit(message) {
                self.handle(message);
            }
            served += 1;
            if served % MESSAGES_PER_READING == 0
                && started.get_or_insert_with(Instant::now).elapsed() > TURN_TIME_MAX
            {
                break;
            }
        }
        self.stats.messages += served as u64;
        if served == 0 {
            self.now = self.setup.clock.now();
            began = self.now;
        }
        let expired = self.held.is_none() && self.ending.is_none() && self.clean(served > 0);
        let imaged = self.ending.is_none() && self.advance_checkpoint(maintained);
        let forgot = self.forget_past() | self.load_ahead(served == 0);
        let moved = self.move_log(maintained) | self.evict(served + was_ready);
        self.runs.publish_due(&self.progress, self.boot, self.erasure_mark);
        if self.turn_number.is_multiple_of(TURNS_BETWEEN_TIDYING)
            || self.tidying_due_in().is_some_and(|due| due.is_zero())
        {
            let count = if served == 0 { TIDYINGS_AT_REST } else { 1 };
            (0..count).for_each(|_| self.runs.windows.tidy());
            self.tidied = self.now;
        }
        for picture in self.runs.windows.take_let_go() {
            self.waiting.drop_elsewhere(Dropped::Picture(picture));
        }
        let was_busy = loaded || was_ready > 0 || served > 0 || expired || imaged || forgot || moved;
        if was_busy {
            let micros = self.setup.clock.now().0.saturating_sub(began.0);
            self.stats.turns.record(micros.saturating_mul(1000));
        }
        was_busy
    }

    /// Forgets a part of what was kept for a snapshot that is closed. Whether there was any.
    fn forget_past(&mut self) -> bool {
        let Some(id) = self.untidy.last().copied() else { return false };
        if !self.runs.forget_past(id, FORGOTTEN_MAX) {
            self.untidy.pop();
        }
        true
    }

    /// Whether a write waits for the log; nothing is served before it.
    pub(crate) fn is_stalled(&self) -> bool {
        self.held.is_some()
    }

    /// How long the shard may sleep when no message arrives.
    pub(crate) fn sleep_max(&self) -> Option<Duration> {
        let sync = self.log.as_ref().and_then(|log| log.sync_due(Instant::now()));
        let now = self.setup.clock.now();
        let expiry = self
            .first_to_clean()
            .map(|(deadline, _)| Duration::from_micros(deadline.0.saturating_sub(now.0)));
        let watched =
            [expiry, self.checkpoint_due_in(now), self.tidying_due_in()].into_iter().flatten().min();
        let watched = watched.map(|due| due.clamp(Duration::from_millis(1), PAUSE_MAX));
        [sync, watched].into_iter().flatten().min()
    }

    /// When windows are to be looked at though nothing happens: who has dropped a snapshot sends no message.
    fn tidying_due_in(&self) -> Option<Duration> {
        let since = Duration::from_micros(self.now.0.saturating_sub(self.tidied.0));
        self.runs.windows.holds_much().then(|| PAUSE_MAX.saturating_sub(since))
    }

    pub(crate) fn handle(&mut self, message: Message) {
        match message {
            Message::Operate { run, operation, options, reply } => {
                if operation.is_write() {
                    let step = self.write(run, Operations::One(operation), options.as_deref());
                    self.carry(step, Then::Operation(reply));
                } else {
                    self.read(run, operation, reply);
                }
            }
            Message::Batch { run, operations, options, reply } => {
                let step = self.write(run, Operations::Many(operations), options.as_deref());
                self.carry(step, Then::Batch(reply));
            }
            Message::Batches { batches, reply } => {
                self.advance(Box::new(Batches::new(batches, reply)));
            }
            Message::Step { run, step, reply } => self.step(run, *step, reply),
            Message::Commit { run, id, writes, options, reply } => {
                let step = self.commit_transaction(run, id, writes, options.as_deref());
                self.carry(step, Then::Batch(reply));
            }
            Message::Attend { run, reader } => self.runs.attend(run, reader),
            Message::Freeze { run, id, reply } => self.freeze(run, id, reply),
            Message::Fork(request) => self.fork(request),
            Message::History(request) => self.query_history(*request),
            Message::Import(request) => self.import(request),
            Message::Release(id) => self.release(id),
            Message::Execute { run, shipped, options, reply } => {
                let step = self.write(run, Operations::Shipped(shipped), options.as_deref());
                self.carry(step, Then::Batch(reply));
            }
            Message::Subscribe { run, id, from, reply } => self.subscribe(run, id, from, reply),
            Message::Follow { id, from, reply } => self.follow(id, from, reply),
            Message::Unsubscribe(id) => self.unsubscribe(id),
            Message::Query { filter, after, limit, reply } => {
                let (page, need) = self.query(&filter, after, limit);
                self.withheld.answer(reply, Ok(Answer::Runs(Box::new(page))), need, &self.progress);
            }
            Message::Lineage { after, reply } => {
                let (page, need) = self.origins(after);
                self.withheld.answer(reply, Ok(Answer::Origins(Box::new(page))), need, &self.progress);
            }
            Message::Control(control, reply) => self.control(control, reply),
        }
    }

    /// Answers a read from the applied state, once that state may be seen.
    fn read(&mut self, run_id: RunId, operation: Operation, reply: Reply) {
        self.stats.reads += 1;
        self.runs.windows.note_read(run_id);
        if let Some(index) = operation.needs_order() {
            self.runs.keep_in_order(run_id, index);
        }
        let (boot, limits) = (self.boot, &self.setup.limits);
        let (outcome, need) = match self.runs.get_mut(run_id) {
            Some(run) => {
                run.used = self.turn_number;
                let now = self.now.max(run.state.timestamp());
                (answer(&run.state, boot, operation, now, limits), run.need)
            }
            None => {
                let blank = self.runs.blank(run_id);
                (answer(&blank, boot, operation, self.now, limits), Need::default())
            }
        };
        let answer = outcome.map(Answer::Outcome);
        self.withheld.answer(reply, answer, need, &self.progress);
    }

    /// Takes a write's result to whoever waits for it, or keeps the write until the log moves.
    pub(crate) fn carry(&mut self, step: Step, then: Then) {
        match step {
            Step::Stalled(staged) => self.held = Some(Held { staged, then }),
            Step::Done(result, need) => match then {
                Then::Operation(reply) => {
                    let answer = result.map(|written| Answer::Outcome(outcome_of(written)));
                    self.withheld.answer(reply, answer, need, &self.progress);
                }
                Then::Batch(reply) => {
                    let answer = result.map(|written| Answer::Batch(Box::new(receipt_of(written))));
                    self.withheld.answer(reply, answer, need, &self.progress);
                }
                Then::Batches(mut batches) => {
                    batches.record(result, need);
                    self.advance(batches);
                }
                Then::Cleaned => self.cleaned(result),
            },
        }
    }

    /// Batches that are not answered.
    pub(crate) fn unfinished_batches(&mut self) -> impl Iterator<Item = &mut Batches> {
        let held = self.held.as_mut().and_then(|held| match &mut held.then {
            Then::Batches(batches) => Some(&mut **batches),
            _ => None,
        });
        held.into_iter().chain(self.waiting.batches()).chain(&mut self.done_batches)
    }

    pub(crate) fn resume_held(&mut self) {
        if let Some(Held { staged, then }) = self.held.take() {
            let step = self.commit(staged);
            self.carry(step, then);
        }
    }

    fn control(&mut self, control: Control, reply: Reply) {
        match control {
            Control::Start(boot) => {
                self.boot = boot;
                reply.send(Ok(Answer::Done));
            }
            Control::Sync(run) => self.sync(run, reply),
            Control::Checkpoint(kind) => self.checkpoint(kind, reply),
            Control::Settle => self.settle(reply),
            Control::Stats => {
                let stats = self.statistics();
                reply.send(Ok(Answer::Stats(Box::new(stats))));
            }
            Control::Restart => {
                if self.log.as_ref().is_some_and(Log::has_failed) {
                    self.ending = Some(Ending::Restart(reply));
                } else {
                    let message = format!("shard {} is serving; there is nothing to restart", self.index);
                    reply.send(Err(Error::new(ErrorKind::InvalidArgument, message)));
                }
            }
            Control::Close => self.ending = Some(Ending::Close(reply)),
        }
    }

    /// Answers once everything appended so far is durable; for one run, once its own commits are.
    fn sync(&mut self, run: Option<RunId>, reply: Reply) {
        let refuse = |kind, message: &str| Err(Error::new(kind, message));
        // A run that is gone is gone for others once its deletion has reached its promise.
        let need = run.map_or(Need::default(), |run| self.need_of(run));
        let run = run.map(|id| self.runs.get(id).filter(|run| run.state.exists()));
        let refused = match (&self.log, run) {
            (None, _) => Err(self.setup.no_log("sync")),
            (Some(log), _) if log.has_failed() => Err(self.sync_refused()),
            (_, Some(None)) => {
                refuse(ErrorKind::NotFound, "the run does not exist: create or begin it first")
            }
            (_, Some(Some(run))) if run.durability == Some(Durability::InMemory) => {
                refuse(ErrorKind::Unsupported, "the run lives in memory and has nothing to sync to")
            }
            _ => Ok(()),
        };
        let (Ok(()), Some(log)) = (&refused, &mut self.log) else {
            let answer = refused.map(|()| Answer::Done);
            return self.withheld.answer(reply, answer, need, &self.progress);
        };
        log.request_sync();
        let need = Need { durable: log.appended_through(), ..Need::default() };
        self.withheld.answer(reply, Ok(Answer::Done), need, &self.progress);
    }

    fn statistics(&self) -> ShardStats {
        let mut stats = self.stats.clone();
        stats.runs = self.runs.count() as u64;
        stats.cold_runs = self.runs.cold_count() as u64;
        let (resident, memory) = self.runs.residents();
        (stats.resident_runs, stats.memory) = (resident as u64, memory as u64);
        stats.values_on_disk = self.runs.elsewhere() as u64;
        let ReadCounts { count, size, on_shard, failed } = self.value_reads.counts();
        (stats.value_reads, stats.value_bytes_read) = (count, size);
        (stats.value_reads_on_shard, stats.value_read_failures) = (on_shard, failed);
        stats.publications = self.runs.windows.publication_count;
        stats.pinned = self.runs.windows.kept_count() as u64;
        stats.transactions = self.transactions.count() as u64;
        stats.past_views = self.pasts.count() as u64;
        stats.followers = self.followers.count() as u64;
        stats.log = self.log.as_ref().map(|log| log.statistics().clone());
        if self.log.as_ref().is_some_and(Log::has_failed) {
            stats.state = ShardState::LogFailed;
        }
        stats
    }
}

fn outcome_of(written: Written) -> Outcome {
    let effect = written.effects.as_slice().first().copied().unwrap_or(Effect::None);
    Outcome::Written { commit: written.commit, effect }
}

pub(crate) fn receipt_of(written: Written) -> BatchReceipt {
    BatchReceipt { commit: written.commit, effects: written.effects.into_vec() }
}
