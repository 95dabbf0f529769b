//! Older versions of runs that somebody looks at.

use rustc_hash::FxHashMap;
use strata_primitives::{
    Durability, EntityRef, Error, ErrorKind, Retention, RunId, RunState, Stamp, Version,
};
use strata_wal::ImagePlace;

use crate::calls::fresh_id;
use crate::history::PastVersion;
use crate::loader::LoadRequest;
use crate::message::{Answer, Reply};
use crate::record::RecordPlace;
use crate::report::RetentionPreview;
use crate::retained::{Keeping, RunImage};
use crate::run::{Need, Progress, Run};
use crate::run_table::Held;
use crate::shard::Shard;
use crate::transaction::{Purpose, Transaction, TransactionStep};

/// A version of a run.
type Of = (RunId, Version);

/// The older versions that are in memory, and who waits for one.
#[derive(Debug, Default)]
pub(crate) struct Pasts {
    open: FxHashMap<Of, PastRun>,
    waiting: Vec<WaitingForPast>,
}

/// A run as it was, for those that look at it.
#[derive(Debug)]
struct PastRun {
    state: Box<RunState>,
    viewers: usize,
}

#[derive(Debug)]
struct WaitingForPast {
    of: Of,
    /// What the log must reach before the records of the run can be read, and what they say may be told.
    need: Need,
    /// The newest record when it was asked for.
    newest: RecordPlace,
    /// Under what it was asked for.
    request: Option<u64>,
    step: TransactionStep,
    reply: Reply,
}

/// Most older versions that are in memory, or on their way, at a time.
const PASTS_MAX: usize = 64;

impl Pasts {
    /// The run as it was, for whoever began to look at it.
    ///
    /// # Panics
    /// If nobody did.
    pub(crate) fn state_mut(&mut self, of: Of) -> &mut RunState {
        &mut self.open.get_mut(&of).expect("a version stays while somebody looks at it").state
    }

    /// Whether somebody waits.
    pub(crate) fn is_any_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many are in memory.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// One viewer less. What nobody looks at any more.
    fn leave(&mut self, of: Of) -> Option<Box<RunState>> {
        let past = self.open.get_mut(&of).expect("a version stays while somebody looks at it");
        past.viewers -= 1;
        (past.viewers == 0).then(|| self.open.remove(&of).expect("it was just there").state)
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
    /// Begins to look at a version of a run, now or once that is made.
    pub(crate) fn begin_past(
        &mut self,
        run: RunId,
        version: Version,
        mut step: TransactionStep,
        reply: Reply,
    ) {
        let need = self.need_of(run);
        let is_newest = self.runs.get(run).is_some_and(|run| run.state.version() == version);
        if is_newest {
            step.begins = Some(Purpose::Snapshot);
            return self.step(run, step, reply);
        }
        let of = (run, version);
        if let Err(error) = self.check_past(of) {
            let error = error.with_entity(EntityRef::run(run));
            return self.withheld.answer(reply, Err(error), need, &self.progress);
        }
        if self.pasts.open.contains_key(&of) {
            return self.look_at_past(of, step, reply);
        }
        let newest = self.runs.get(run).expect("it has just been looked at").place;
        self.pasts.waiting.push(WaitingForPast { of, need, newest, request: None, step, reply });
    }

    /// Whether a version can be made.
    fn check_past(&self, of: Of) -> Result<(), Error> {
        let refuse = |kind, message: String| Err(Error::new(kind, message));
        self.transactions.admit()?;
        let count = self.pasts.open.len() + self.pasts.waiting.len();
        if !self.pasts.open.contains_key(&of) && count >= PASTS_MAX {
            let message = format!("{PASTS_MAX} older versions are looked at on the shard: close some first");
            return refuse(ErrorKind::Busy, message);
        }
        let (id, version) = of;
        let run = self.loggable(id)?;
        let (newest, earliest) = (run.state.version(), run.retained.floor);
        if version > newest || version == Version::NEVER {
            return refuse(
                ErrorKind::VersionNotFound,
                format!("the run has versions 1 to {newest}, not {version}"),
            );
        }
        if version < earliest {
            let message =
                format!("version {version} of the run is no longer kept: the earliest is {earliest}");
            return refuse(ErrorKind::HistoryTrimmed, message);
        }
        Ok(())
    }

    /// Tells what the next checkpoint would give up of a run if it kept this much.
    pub(crate) fn preview_retention(&mut self, id: RunId, retention: Option<Retention>, reply: Reply) {
        let need = self.need_of(id);
        let answer = retention.map_or(Ok(()), Retention::check).and_then(|()| {
            let run = self.loggable(id)?;
            let newest = RunImage {
                file: 0,
                place: ImagePlace::default(),
                stamp: Stamp { version: run.state.version(), timestamp: run.state.timestamp() },
                record: run.place,
                history_size: run.trail.size,
            };
            let keeping = Keeping::Policy(retention.unwrap_or(self.setup.retention));
            let then = run.retained.follow(&newest, run.image.as_ref(), keeping, self.now);
            let first = Version::NEVER.next();
            let (earliest, earliest_then) = (run.retained.floor.max(first), then.floor.max(first));
            Ok(Answer::Retention(RetentionPreview { earliest, earliest_then }))
        });
        let answer = answer.map_err(|error: Error| error.with_entity(EntityRef::run(id)));
        self.withheld.answer(reply, answer, need, &self.progress);
    }

    /// A run that has a history.
    fn loggable(&self, id: RunId) -> Result<&Run, Error> {
        let refuse = |kind, message: &str| Err(Error::new(kind, message));
        match self.runs.get(id) {
            None => refuse(ErrorKind::NotFound, "the run does not exist: create or begin it first"),
            Some(run) if !self.setup.is_on_disk || run.durability == Some(Durability::InMemory) => refuse(
                ErrorKind::Unsupported,
                "what lives in memory keeps no history: only its newest version can be looked at",
            ),
            Some(run) => Ok(run),
        }
    }

    /// Asks for the versions that are wanted and whose records can be read by now. Whether there was any.
    pub(crate) fn advance_pasts(&mut self) -> bool {
        let mut waiting = std::mem::take(&mut self.pasts.waiting);
        let mut has_progress = false;
        for place in 0..waiting.len() {
            let WaitingForPast { of, need, newest, request, .. } = &waiting[place];
            if request.is_some() || !need.is_met(&self.progress) {
                continue;
            }
            let (of, newest) = (*of, *newest);
            let asked = waiting.iter().find(|other| other.of == of && other.request.is_some());
            let request =
                asked.and_then(|other| other.request).unwrap_or_else(|| self.ask_for_past(of, newest));
            waiting[place].request = Some(request);
            has_progress = true;
        }
        self.pasts.waiting = waiting;
        has_progress
    }

    fn ask_for_past(&mut self, (id, version): Of, newest: RecordPlace) -> u64 {
        let held = self.runs.held_mut(id).expect("a run whose history is asked for stays in the table");
        let (image, retained) = match held {
            Held::Resident(run) => (run.image, &run.retained),
            // It has left memory since.
            Held::Cold(cold) => (Some(cold.entry.image), &cold.entry.retained),
        };
        let is_before = |image: &&RunImage| image.stamp.version <= version;
        let images = retained.anchors.iter().chain(&image).rev().filter(is_before).copied().collect();
        let floor = retained.floor;
        let request = fresh_id();
        let past = Box::new(PastVersion { run: id, version, newest, images, floor });
        self.waiting.request(LoadRequest::Past { request, past });
        request
    }

    /// Takes in a version that is made, for all who wait for it.
    pub(crate) fn take_in_past(&mut self, request: u64, outcome: Result<Box<RunState>, Error>) {
        let waiting = self.pasts.waiting.extract_if(.., |waiting| waiting.request == Some(request));
        let waiting: Vec<WaitingForPast> = waiting.collect();
        let state = match outcome {
            Ok(state) => state,
            Err(error) => {
                return waiting.into_iter().for_each(|waiting| waiting.reply.send(Err(error.clone())));
            }
        };
        let Some(first) = waiting.first() else { return self.waiting.drop_elsewhere(state) };
        self.pasts.open.entry(first.of).or_insert(PastRun { state, viewers: 0 });
        for WaitingForPast { of, step, reply, .. } in waiting {
            self.look_at_past(of, step, reply);
        }
    }

    /// Begins to look at a version that is there.
    fn look_at_past(&mut self, (run, version): Of, step: TransactionStep, reply: Reply) {
        let past = self.pasts.open.get_mut(&(run, version)).expect("the caller has seen it there");
        past.viewers += 1;
        let began = past.state.timestamp();
        let staged = self.transactions.context(Purpose::Snapshot);
        let transaction = Transaction {
            run,
            snapshot: None,
            past: Some(version),
            began,
            boot: self.boot.number,
            need: Need::default(),
            staged,
            writes: Vec::new(),
            failure: None,
        };
        self.transactions.insert(step.id, transaction);
        self.step(run, TransactionStep { begins: None, ..step }, reply);
    }

    /// Ends looking at a version.
    pub(crate) fn leave_past(&mut self, of: Of) {
        if let Some(state) = self.pasts.leave(of) {
            self.waiting.drop_elsewhere(state);
        }
    }
}
