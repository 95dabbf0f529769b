//! Older versions of runs that somebody looks at.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use strata_primitives::{EntityRef, Erasure, Error, ErrorKind, ForkPoint, RunId, RunState, Version};

use crate::base::{Base, Known, Lineage, Origin};
use crate::calls::fresh_id;
use crate::erasing::erasures_of;
use crate::fork::ForkRequest;
use crate::history::{MadePast, PastVersion};
use crate::loader::{Dropped, LoadRequest};
use crate::message::{Message, Reply};
use crate::reaches::{Floors, Reach, earliest};
use crate::record::RecordPlace;
use crate::run::{Need, Progress};
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
    made: Box<MadePast>,
    viewers: usize,
    /// What the log must reach before it may be told what is not there any more.
    need: Need,
}

/// Where a version is to be found: of a fork it may be one of a run that it descends from.
#[derive(Debug, Clone)]
struct Found {
    of: Of,
    floors: Floors,
    /// A record of that run at the version or behind it, once the need is met.
    newest: RecordPlace,
    need: Need,
}

/// What somebody wants of a version.
#[derive(Debug)]
enum Wanted {
    /// To look at it.
    Look { purpose: Purpose, step: TransactionStep, reply: Reply },
    /// To fork it.
    Fork(Box<ForkRequest>),
}

impl Wanted {
    fn refuse(self, why: Error) {
        match self {
            Wanted::Look { reply, .. } => reply.send(Err(why)),
            Wanted::Fork(request) => request.reply.send(Err(why)),
        }
    }
}

#[derive(Debug)]
struct WaitingForPast {
    of: Of,
    /// What the log must reach before the records of the run can be read, and what they say may be told.
    need: Need,
    found: Found,
    /// Under what it was asked for.
    request: Option<u64>,
    wanted: Wanted,
}

/// Most older versions that are in memory, or on their way, at a time.
const PASTS_MAX: usize = 64;

impl Pasts {
    /// The run as it was, for whoever began to look at it.
    ///
    /// # Panics
    /// If nobody did.
    pub(crate) fn state_mut(&mut self, of: Of) -> &mut RunState {
        &mut self.open.get_mut(&of).expect("a version stays while somebody looks at it").made.state
    }

    /// What was erased in a run is gone from its older versions, and from those of runs that inherited it, up to the version that
    /// `inherits` tells of a run.
    pub(crate) fn redact(
        &mut self,
        erasures: &[Erasure],
        need: Need,
        inherits: impl Fn(RunId) -> Option<Version>,
    ) {
        for ((run, _), past) in &mut self.open {
            for erasure in erasures {
                let within = match erasure.entity.run_id() == *run {
                    true => Some(erasure.clone()),
                    false => inherits(*run).and_then(|through| erasure.within(through)),
                };
                // Whoever looks at it is ended where the erasure is taken back.
                if let Some(erasure) = within {
                    drop(past.made.state.redact(&erasure));
                    past.need = past.need.max(need);
                }
            }
        }
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
    fn leave(&mut self, of: Of) -> Option<Box<MadePast>> {
        let past = self.open.get_mut(&of).expect("a version stays while somebody looks at it");
        past.viewers -= 1;
        (past.viewers == 0).then(|| self.open.remove(&of).expect("it was just there").made)
    }

    /// The log has failed: whoever waits for what it had not taken is told so.
    pub(crate) fn fail_unseen(&mut self, progress: &Progress, failure: &Error) {
        for waiting in self.waiting.extract_if(.., |waiting| !waiting.need.is_met(progress)) {
            waiting.wanted.refuse(failure.clone());
        }
    }

    /// Answers all that wait.
    pub(crate) fn refuse(&mut self, why: &Error) {
        self.waiting.drain(..).for_each(|waiting| waiting.wanted.refuse(why.clone()));
    }
}

impl Shard {
    /// Begins to look at an older version of a run, now or once that is made.
    pub(crate) fn begin_past(
        &mut self,
        run: RunId,
        version: Version,
        purpose: Purpose,
        step: TransactionStep,
        reply: Reply,
    ) {
        let need = self.need_of(run);
        let of = (run, version);
        let found = match self.check_past(of) {
            Ok(found) => found,
            Err(error) => {
                let error = error.with_entity(EntityRef::run(run));
                return self.withheld.answer(reply, Err(error), need, &self.progress);
            }
        };
        if self.pasts.open.contains_key(&of) {
            return self.look_at_past(of, purpose, step, reply);
        }
        let wanted = Wanted::Look { purpose, step, reply };
        self.pasts.waiting.push(WaitingForPast { of, need, found, request: None, wanted });
    }

    /// Forks an older version, once that is made.
    pub(crate) fn await_past_for(&mut self, request: Box<ForkRequest>) {
        let (run, need) = (request.run, self.need_of(request.run));
        let of = (run, request.version.expect("the newest version is there"));
        match self.check_past(of) {
            Ok(found) => {
                // What the fork needs is kept from now on, however long it takes to be made.
                let point = ForkPoint { run: found.of.0, version: found.of.1 };
                self.runs.forks.enter_origin(request.fork, Origin { point, record: found.newest });
                if let Some(base) = self.base_in_memory(of, point, found.newest.archive()) {
                    return self.fork(Box::new(ForkRequest { base: Some(base), ..*request }));
                }
                let wanted = Wanted::Fork(request);
                self.pasts.waiting.push(WaitingForPast { of, need, found, request: None, wanted });
            }
            Err(error) => {
                let error = error.with_entity(EntityRef::run(run));
                self.withheld.answer(request.reply, Err(error), need, &self.progress);
            }
        }
    }

    /// What forks of a version begin as, if another one does or somebody looks at it.
    fn base_in_memory(&mut self, of: Of, point: ForkPoint, archive: Option<u64>) -> Option<Arc<Base>> {
        if let Some(base) = self.bases.made(point, archive) {
            return Some(base);
        }
        let made = &self.pasts.open.get(&of)?.made;
        let base = self.bases.at(Origin { point, record: made.record });
        base.fill(made.state.share());
        Some(base)
    }

    /// Where a version is found, if it can be made.
    fn check_past(&self, of: Of) -> Result<Found, Error> {
        let refuse = |kind, message: String| Err(Error::new(kind, message));
        self.transactions.admit()?;
        let count = self.pasts.open.len() + self.pasts.waiting.len();
        if !self.pasts.open.contains_key(&of) && count >= PASTS_MAX {
            let message = format!("{PASTS_MAX} older versions are looked at on the shard: close some first");
            return refuse(ErrorKind::Busy, message);
        }
        let (id, version) = of;
        let newest = self.loggable(id)?.state.version();
        if version > newest || version == Version::NEVER {
            return Err(Error::version_not_found(newest, version));
        }
        let (reaches, need) = self.reaches(id, version)?;
        let Reach { run, newest, through, .. } = *reaches.last().expect("one has the newest version");
        // What a fork began as is kept for it, whatever it has given up since.
        let is_fork_point =
            version == through && reaches.iter().rev().nth(1).is_some_and(|fork| fork.run != run);
        let earliest = earliest(&reaches);
        if version < earliest && !is_fork_point {
            let message =
                format!("version {version} of the run is no longer kept: the earliest is {earliest}");
            return refuse(ErrorKind::HistoryTrimmed, message);
        }
        Ok(Found { of: (run, version), floors: self.floors(&reaches), newest, need })
    }

    /// Asks for the versions that are wanted and whose records can be read by now. Whether there was any.
    pub(crate) fn advance_pasts(&mut self) -> bool {
        let mut waiting = std::mem::take(&mut self.pasts.waiting);
        let (mut has_progress, mut refused) = (false, Vec::new());
        for place in 0..waiting.len() {
            let WaitingForPast { of, found, request, .. } = &waiting[place];
            if request.is_some() || !found.need.is_met(&self.progress) {
                continue;
            }
            let (of, found) = (*of, found.clone());
            let asked = waiting.iter().find(|other| other.of == of && other.request.is_some());
            let asked = asked.and_then(|other| other.request).map_or_else(|| self.ask_for_past(found), Ok);
            match asked {
                Ok(request) => waiting[place].request = Some(request),
                Err(error) => refused.push((place, error)),
            }
            has_progress = true;
        }
        for (place, error) in refused.into_iter().rev() {
            let wanted = waiting.remove(place).wanted;
            self.refuse_past(wanted, error);
        }
        self.pasts.waiting = waiting;
        has_progress
    }

    fn refuse_past(&mut self, wanted: Wanted, why: Error) {
        if let Wanted::Fork(request) = &wanted {
            self.runs.abandon_fork(request.fork);
        }
        wanted.refuse(why);
    }

    fn ask_for_past(&mut self, found: Found) -> Result<u64, Error> {
        let Found { of: (run, version), newest, .. } = found;
        if newest.archive().is_some() {
            let (request, images, floor) = (fresh_id(), Vec::new(), Version::NEVER);
            let past = Box::new(PastVersion { run, version, newest, images, floor });
            self.waiting.request(LoadRequest::Past { request, past, lineage: Lineage::default() });
            return Ok(request);
        }
        let held = self.runs.held(run).expect("a run whose history is asked for stays in the table");
        let Known { mut images, floor, origin, .. } = held.known();
        images.retain(|image| image.stamp.version <= version);
        let request = fresh_id();
        let past = Box::new(PastVersion { run, version, newest, images, floor });
        let lineage = self.lineage(origin)?;
        self.waiting.request(LoadRequest::Past { request, past, lineage });
        Ok(request)
    }

    /// Takes in a version that is made, for all who wait for it.
    pub(crate) fn take_in_past(&mut self, request: u64, outcome: Result<Box<MadePast>, Error>) {
        let waiting = self.pasts.waiting.extract_if(.., |waiting| waiting.request == Some(request));
        let waiting: Vec<WaitingForPast> = waiting.collect();
        let mut made = match outcome {
            Ok(made) => made,
            Err(error) => {
                return waiting.into_iter().for_each(|WaitingForPast { found, wanted, .. }| {
                    self.refuse_past(wanted, self.judge(error.clone(), &found.floors));
                });
            }
        };
        let Some(of) = waiting.first().map(|first| first.of) else {
            return self.waiting.drop_elsewhere(Dropped::Past(made));
        };
        // What was erased since that version, and while it was being made, is not there.
        let mut need = Need::default();
        for erasure in erasures_of(&self.runs, of.0) {
            drop(made.state.redact(&erasure));
            need = self.runs.need_of_line(of.0);
        }
        let point = ForkPoint { run: made.state.id(), version: made.state.version() };
        let archive = made.record.archive();
        match self.pasts.open.entry(of) {
            Entry::Vacant(vacant) => drop(vacant.insert(PastRun { made, viewers: 1, need })),
            Entry::Occupied(mut there) => {
                there.get_mut().viewers += 1;
                self.waiting.drop_elsewhere(Dropped::Past(made));
            }
        }
        for WaitingForPast { wanted, .. } in waiting {
            match wanted {
                Wanted::Look { purpose, step, reply } => self.look_at_past(of, purpose, step, reply),
                Wanted::Fork(mut request) => {
                    request.base = self.base_in_memory(of, point, archive);
                    // The log may be stalled over another write.
                    self.waiting.serve_next(Message::Fork(request));
                }
            }
        }
        self.leave_past(of);
    }

    /// Begins to look at a version that is there.
    fn look_at_past(&mut self, (run, version): Of, purpose: Purpose, step: TransactionStep, reply: Reply) {
        let past = self.pasts.open.get_mut(&(run, version)).expect("the caller has seen it there");
        past.viewers += 1;
        let began = purpose.judges_at(past.made.state.timestamp(), self.now);
        let staged = self.transactions.context(purpose);
        let transaction = Transaction {
            run,
            snapshot: None,
            past: Some(version),
            began,
            boot: self.boot.number,
            need: past.need,
            staged,
            writes: Vec::new(),
            failure: None,
        };
        self.transactions.insert(step.id, transaction);
        self.step(run, step, reply);
    }

    /// Ends looking at a version.
    pub(crate) fn leave_past(&mut self, of: Of) {
        if let Some(made) = self.pasts.leave(of) {
            self.waiting.drop_elsewhere(Dropped::Past(made));
        }
    }
}
