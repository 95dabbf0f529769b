//! Which runs of a shard are in memory, and what waits for one that is not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;
use rustc_hash::FxHashMap;
use strata_primitives::{Error, RunId};
use strata_wal::Lsn;

use crate::base::{Lineage, Origin};
use crate::batches::Batches;
use crate::calls::fresh_id;
use crate::checkpoint::Unnecessary;
use crate::held::Held;
use crate::image_directory::RunEntry;
use crate::loader::{Dropped, LoadRequest, Loaded};
use crate::message::{Control, Message};
use crate::record::Record;
use crate::shard::{Maintained, Shard};
use crate::value_places::Moved;

/// What waits for cold runs.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Where runs are asked for; `None` without a log.
    requests: Option<Sender<LoadRequest>>,
    /// By run, in the order in which it came.
    parked: FxHashMap<RunId, Vec<Parked>>,
    /// Queries: they wait until every run is known that recovery found to have changed.
    queries: Vec<Message>,
    /// What may be served now, before anything newer.
    ready: VecDeque<Parked>,
    /// The last run that was loaded ahead of need, and whether all have been.
    ahead: Option<RunId>,
    is_all_ahead: bool,
    /// Runs that are being loaded.
    loading_count: usize,
}

/// Something that waits for a run.
#[derive(Debug)]
pub(crate) enum Parked {
    Message(Message),
    Batches(Box<Batches>),
    /// Batches, the next of which is about a run that cannot be loaded.
    RefusedBatches(Box<Batches>, Error),
}

impl Waiting {
    pub(crate) fn new(requests: Option<Sender<LoadRequest>>) -> Waiting {
        Waiting { requests, ..Waiting::default() }
    }

    /// Nothing of this is asked for any more, and values that have moved are read from the image that made it unnecessary.
    pub(crate) fn forget_files(&self, moved: Moved, unnecessary: Unnecessary) {
        self.request(LoadRequest::Forget { moved, unnecessary });
    }

    /// A message that may be served before anything newer.
    pub(crate) fn serve_next(&mut self, message: Message) {
        self.ready.push_back(Parked::Message(message));
    }

    /// Drops something where nobody waits for that, if there is such a place. Where that is behind, it is dropped here: what waits
    /// to be dropped takes memory.
    pub(crate) fn drop_elsewhere(&self, dropped: Dropped) {
        // Without a log there is nobody else.
        if self.requests.as_ref().is_some_and(|requests| requests.len() < QUEUED_MAX) {
            self.request(LoadRequest::Drop(dropped));
        }
    }

    pub(crate) fn request(&self, request: LoadRequest) {
        let requests = self.requests.as_ref().expect("only a shard with a log has cold runs");
        // The loader ends after the shard.
        let _ = requests.send(request);
    }

    /// Batches that wait, some of them done.
    pub(crate) fn batches(&mut self) -> impl Iterator<Item = &mut Batches> {
        self.parked.values_mut().flatten().chain(&mut self.ready).filter_map(|parked| match parked {
            Parked::Batches(batches) | Parked::RefusedBatches(batches, _) => Some(&mut **batches),
            Parked::Message(_) => None,
        })
    }

    fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.queries.is_empty() && self.ready.is_empty()
    }
}

/// Requests that wait, when the loader is taken to be behind.
const QUEUED_MAX: usize = 64;
/// Runs that are loaded ahead of need at the same time.
const AHEAD_MAX: usize = 2;
/// How many runs are looked at for one that is cold in one turn.
const LOOKED_AT_MAX: usize = 256;

impl Shard {
    /// The message, if it can be served now. One that is about a cold run is parked until that is back.
    pub(crate) fn admit(&mut self, message: Message) -> Option<Message> {
        if self.runs.cold_count() == 0 {
            return Some(message);
        }
        if let Message::Query { .. } | Message::Lineage { .. } = message {
            if self.runs.is_any_behind() {
                self.waiting.queries.push(message);
                return None;
            }
            // What is known of such a run is not true any more: the query is told what the run is told.
            let Some(run) = self.runs.first_incomplete() else { return Some(message) };
            self.park(run, Parked::Message(message));
            return None;
        }
        match self.run_of(&message).filter(|run| self.is_cold(*run)) {
            None => Some(message),
            Some(run) => {
                self.park(run, Parked::Message(message));
                None
            }
        }
    }

    /// Whether a run is cold.
    pub(crate) fn is_cold(&mut self, run: RunId) -> bool {
        self.runs.cold_mut(run).is_some()
    }

    /// Keeps something until a cold run is back.
    pub(crate) fn park(&mut self, run: RunId, parked: Parked) {
        self.waiting.parked.entry(run).or_default().push(parked);
        self.load(run);
    }

    /// Asks for a cold run, unless it is on its way.
    pub(crate) fn load(&mut self, run: RunId) {
        let Some(cold) = self.runs.cold_mut(run).filter(|cold| cold.loading.is_none()) else { return };
        let request = fresh_id();
        cold.loading = Some(request);
        let (entry, tail) = (cold.entry.clone(), Arc::clone(&cold.tail));
        self.waiting.loading_count += 1;
        self.request_load(request, entry, tail);
    }

    /// Has a run loaded, with the commits behind its image.
    pub(crate) fn request_load(&mut self, request: u64, entry: RunEntry, tail: Arc<Vec<(Lsn, Record)>>) {
        let (asked_at, origin) = (Instant::now(), entry.origin.filter(|_| entry.is_over_origin()));
        let (entry, lineage) = (Box::new(entry), self.lineage(origin));
        self.waiting.request(LoadRequest::Load { request, asked_at, entry, tail, lineage });
    }

    /// How what a run began as is made.
    pub(crate) fn lineage(&mut self, origin: Option<Origin>) -> Result<Lineage, Error> {
        Lineage::of(origin, &mut self.bases, |run| self.runs.held(run).map(Held::known))
    }

    /// Takes in the runs that are back, and asks for more where that is wanted. Whether anything happened.
    pub(crate) fn take_loaded(&mut self, maintained: Option<&Maintained>) -> bool {
        let Some(maintained) = maintained else { return false };
        let is_any_on_its_way = self.runs.cold_count() > 0 || self.mending.is_under_way();
        let is_any_asked = self.pasts.is_any_wanted() || self.histories.is_any_wanted();
        if !is_any_on_its_way && self.waiting.queries.is_empty() && !is_any_asked {
            return false;
        }
        let mut has_progress = self.advance_pasts() | self.advance_histories();
        while let Ok(loaded) = maintained.loaded.try_recv() {
            self.take_in(loaded);
            has_progress = true;
        }
        if !self.runs.is_any_behind() {
            let queries = std::mem::take(&mut self.waiting.queries);
            self.waiting.ready.extend(queries.into_iter().map(Parked::Message));
        }
        has_progress
    }

    fn take_in(&mut self, loaded: Loaded) {
        let (request, asked_at, run, outcome) = match loaded {
            Loaded::Run { request, asked_at, run, outcome } => (request, asked_at, run, outcome),
            Loaded::Past { request, outcome } => return self.take_in_past(request, outcome),
            Loaded::History { request, outcome } => return self.take_in_history(request, outcome),
        };
        if self.mending.is_asked(request) {
            return self.take_in_mended(outcome);
        }
        // One that was asked for before a restart is nobody's any more.
        let Some(cold) = self.runs.cold_mut(run).filter(|cold| cold.loading == Some(request)) else { return };
        cold.loading = None;
        self.waiting.loading_count -= 1;
        let parked = self.waiting.parked.remove(&run).unwrap_or_default();
        match outcome {
            Ok(loaded) => {
                self.checkpoints.note_rebuilt(loaded.image.is_none());
                self.runs.make_resident(loaded, self.turn_number);
                self.stats.loads += 1;
                self.stats.load_times.record_between(asked_at, Instant::now());
                self.waiting.ready.extend(parked);
            }
            Err(error) => {
                tracing::error!(target: "strata", shard = self.index, %run, %error, "a run cannot be loaded; the others are served");
                self.stats.load_failures += 1;
                self.runs.note_failure(run);
                parked.into_iter().for_each(|parked| self.refuse_parked(parked, &error));
            }
        }
    }

    /// Answers what waited for a run that cannot be loaded.
    fn refuse_parked(&mut self, parked: Parked, error: &Error) {
        match parked {
            Parked::Message(message) => {
                // Its caller takes a refused commit for the end of the transaction.
                if let Message::Commit { id: Some(id), .. } = message {
                    self.release(id);
                }
                if let Message::Fork(request) = &message {
                    self.runs.abandon_fork(request.fork);
                }
                if let Some(reply) = message.into_reply() {
                    reply.send(Err(error.clone()));
                }
            }
            // It goes on in its turn: the log may be stalled over another write.
            Parked::Batches(batches) | Parked::RefusedBatches(batches, _) => {
                self.waiting.ready.push_back(Parked::RefusedBatches(batches, error.clone()));
            }
        }
    }

    /// Loads runs that nobody has asked for: at once those that recovery found to have changed, and all others in order when
    /// there is nothing else to do. Whether there was anything to look at.
    pub(crate) fn load_ahead(&mut self, is_idle: bool) -> bool {
        if self.runs.cold_count() == 0 || self.boot.number == 0 || self.waiting.loading_count >= AHEAD_MAX {
            return false;
        }
        if self.runs.is_any_behind() {
            let next = self.runs.next_behind();
            next.into_iter().for_each(|run| self.load(run));
            return next.is_some();
        }
        if !is_idle || self.waiting.is_all_ahead || !self.has_spare_memory() {
            return false;
        }
        let ids: Vec<RunId> =
            self.runs.iter_after(self.waiting.ahead).map(Held::id).take(LOOKED_AT_MAX).collect();
        let Some(last) = ids.last().copied() else {
            self.waiting.is_all_ahead = true;
            return false;
        };
        let cold = ids.into_iter().find(|id| self.is_cold(*id));
        self.waiting.ahead = Some(cold.unwrap_or(last));
        cold.into_iter().for_each(|run| self.load(run));
        true
    }

    /// Serves everything that is ready, as far as the log allows.
    pub(crate) fn serve_ready(&mut self) -> usize {
        let mut served = 0;
        while !self.is_stalled()
            && let Some(parked) = self.waiting.ready.pop_front()
        {
            self.now = self.setup.clock.now();
            match parked {
                // Its run may have left memory again.
                Parked::Message(message) => {
                    if let Some(message) = self.admit(message) {
                        self.handle(message);
                    }
                }
                Parked::Batches(batches) => self.advance(batches),
                Parked::RefusedBatches(batches, error) => self.refuse_batch(batches, error),
            }
            served += 1;
        }
        served
    }

    /// Serves what is parked, before the shard ends: it came before the close.
    pub(crate) fn serve_parked(&mut self, maintained: Option<&Maintained>) {
        let Some(channels) = maintained else { return };
        while !self.waiting.is_empty() || self.is_stalled() {
            self.take_loaded(maintained);
            self.resume_held();
            self.serve_ready();
            self.move_log(maintained);
            if self.is_stalled() {
                self.wait_for_log(maintained);
            } else if self.waiting.ready.is_empty() && !self.waiting.is_empty() {
                self.load_ahead(false);
                match channels.loaded.recv() {
                    Ok(loaded) => self.take_in(loaded),
                    Err(_) => return,
                }
            }
        }
    }

    /// The run whose content a message is about.
    fn run_of(&mut self, message: &Message) -> Option<RunId> {
        match message {
            Message::Operate { run, .. }
            | Message::Batch { run, .. }
            | Message::Commit { run, .. }
            | Message::Execute { run, .. }
            | Message::Subscribe { run, .. } => Some(*run),
            // An older version needs nothing of the run as it is.
            Message::Step { run, step, .. } => {
                let transaction = self.transactions.get_mut(step.id);
                transaction.is_none_or(|transaction| transaction.past.is_none()).then_some(*run)
            }
            Message::Freeze { run, id, .. } => {
                let transaction = self.transactions.get_mut(*id);
                transaction.is_some_and(|transaction| transaction.past.is_none()).then_some(*run)
            }
            Message::Fork(request) => Some(request.run),
            Message::History(request) => Some(request.run),
            Message::Import(request) => Some(request.run()),
            Message::Follow { id, .. } => self.followers.get_mut(*id).map(|follower| follower.run),
            Message::Control(Control::Sync(run), _) => *run,
            // Batches look after each of their runs when it is its turn.
            Message::Batches { .. }
            | Message::Attend { .. }
            | Message::Release(_)
            | Message::Unsubscribe(_)
            | Message::Query { .. }
            | Message::Lineage { .. }
            | Message::Control(..) => None,
        }
    }
}
