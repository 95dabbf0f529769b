//! How a write becomes a commit: staged, logged, applied, in that order.
//!
//! Nothing touches a run's state before its record is in the log, so a refusal, a full disk or a
//! panic on the way leaves the run as it was.

use std::collections::VecDeque;

use strata_primitives::{
    Cause, Commit, Durability, Error, Fingerprint, Mutation, OperationId, Receipt, Replaced, RunId, Stamp,
    Version,
};
use strata_wal::AppendError;

use crate::calls::fresh_id;
use crate::loader::Dropped;
use crate::message::CallOptions;
use crate::record::RecordPlace;
use crate::run::{Need, Progress, Run};
use crate::run_table::Taken;
use crate::shard::Shard;
use crate::stage::{Decision, Effects, Operations, Written};

/// A commit that has been decided and encoded, and is not in the log yet.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) run: RunId,
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) mutations: Vec<Mutation>,
    pub(crate) effects: Effects,
    pub(crate) stamp: Stamp,
    pub(crate) durability: Durability,
    pub(crate) identity: Option<(OperationId, Fingerprint)>,
    pub(crate) cause: Option<Cause>,
    /// The run, where the commit makes a fork of another one: it is there from then on.
    pub(crate) forked: Option<Box<Run>>,
}

impl Staged {
    fn commit(&self) -> Commit {
        Commit { version: self.stamp.version, timestamp: self.stamp.timestamp, durability: self.durability }
    }
}

/// How far one attempt at a write came.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is decided; the answer may be given once the need is met.
    Done(Result<Written, Error>, Need),
    /// The log cannot take it at the moment; nothing has happened yet.
    Stalled(Staged),
}

/// A commit whose promise has not been reached: what it takes to take it back.
#[derive(Debug)]
struct Unconfirmed {
    run: RunId,
    need: Need,
    before: Stamp,
    place_before: RecordPlace,
    logged_before: Stamp,
    floor_before: Version,
    replaced_count: usize,
    operation_id: Option<OperationId>,
    /// What the commit erased in runs that had inherited it.
    taken: Vec<Taken>,
    /// The run was not there before.
    is_first: bool,
}

/// The commits that nobody may see yet, oldest first, each with what it replaced.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    commits: VecDeque<Unconfirmed>,
    replaced: VecDeque<Replaced>,
}

impl Unseen {
    /// Forgets how to take back what has reached its promise.
    pub(crate) fn release(&mut self, progress: &Progress) {
        while self.commits.front().is_some_and(|commit| commit.need.is_met(progress)) {
            let commit = self.commits.pop_front().expect("the front was just looked at");
            self.replaced.drain(..commit.replaced_count);
        }
    }
}

impl Shard {
    /// Decides one atomic write and carries it as far as the log allows.
    pub(crate) fn write(
        &mut self,
        run: RunId,
        operations: Operations,
        options: Option<&CallOptions>,
    ) -> Step {
        let decision = self.stage(run, operations, options);
        self.carry_out(run, decision)
    }

    /// Carries a decision as far as the log allows.
    pub(crate) fn carry_out(&mut self, run: RunId, decision: Result<Decision, Error>) -> Step {
        match decision {
            Ok(Decision::Commit(staged)) => self.commit(staged),
            Ok(Decision::Answered(written)) => Step::Done(Ok(written), self.need_of(run)),
            // A refusal tells of the state that caused it, so it waits like a read.
            Err(error) => Step::Done(Err(error), self.need_of(run)),
        }
    }

    /// Puts a staged commit into the log and applies it; or hands it back when the log is stalled.
    pub(crate) fn commit(&mut self, mut staged: Staged) -> Step {
        let mut need = Need::default();
        let mut place = RecordPlace::default();
        if staged.durability > Durability::InMemory {
            let log = self.log.as_mut().expect("a store without a log keeps every run in memory");
            match log.append(staged.kind, &staged.body) {
                Ok(appended) => {
                    place = RecordPlace { log: log.number(), lsn: appended.lsn };
                    if staged.durability == Durability::Strict {
                        log.request_sync();
                        need.durable = appended.end;
                    } else {
                        need.written = appended.end;
                    }
                }
                Err(AppendError::Stalled) => return Step::Stalled(staged),
                Err(AppendError::Full) => {
                    self.runs.abandon_fork(staged.run);
                    return Step::Done(Err(self.no_room()), self.need_of(staged.run));
                }
                Err(AppendError::Failed) => return Step::Done(Err(self.outcome_unknown()), Need::default()),
            }
        }
        let need = self.apply(&mut staged, place, need);
        let commit = staged.commit();
        let Staged { body, mutations, effects, .. } = staged;
        self.recycle(body, mutations);
        Step::Done(Ok(Written { commit: Some(commit), effects }), need)
    }

    /// Applies what the log holds, and remembers how to take it back until it may be seen.
    fn apply(&mut self, staged: &mut Staged, place: RecordPlace, need: Need) -> Need {
        let notice = self.notice_of(staged);
        let is_watched = self.runs.windows.mark(staged.run, &staged.mutations, staged.stamp.timestamp);
        let mut taken = 0;
        let is_fork = staged.forked.is_some();
        if let Some(run) = staged.forked.take() {
            self.runs.insert_fork(run, place != RecordPlace::default());
        }
        let replaced_count = staged.mutations.len();
        let is_erasure = |mutation: &&Mutation| matches!(mutation, Mutation::Erase { .. });
        let erased_count = staged.mutations.iter().filter(is_erasure).count();
        let (need, keeps_undo, is_gone) = self.runs.change(staged.run, |run| {
            let before = Stamp { version: run.state.version(), timestamp: run.state.timestamp() };
            let need = run.need.max(need);
            let keeps_undo = !need.is_met(&self.progress);
            let copied_before = run.state.copied_ever();
            for mutation in staged.mutations.drain(..) {
                let replaced = run.state.apply(mutation, staged.stamp);
                if is_watched {
                    taken += replaced.size();
                }
                if keeps_undo {
                    self.unseen.replaced.push_back(replaced);
                }
            }
            // A deletion takes away what was counted with the rest.
            taken += run.state.copied_ever().saturating_sub(copied_before);
            run.state.commit(staged.stamp);
            if let Some((id, fingerprint)) = staged.identity {
                let (commit, effects) = (staged.commit(), staged.effects.clone().into_vec());
                run.state.remember(id, Receipt { commit, effects, fingerprint });
            }
            if keeps_undo {
                self.unseen.commits.push_back(Unconfirmed {
                    run: staged.run,
                    need,
                    before,
                    place_before: run.place,
                    logged_before: run.logged,
                    floor_before: run.retained.floor,
                    replaced_count,
                    operation_id: staged.identity.map(|(id, _)| id),
                    taken: Vec::new(),
                    is_first: is_fork || before.version == Version::NEVER,
                });
            }
            if place != RecordPlace::default() {
                run.pass(place, staged.kind, staged.stamp, staged.body.len());
            }
            (run.need, run.used) = (need, self.turn_number);
            run.state.bound_past(self.setup.limits.snapshot_size_max);
            if let Some(meta) = run.state.meta() {
                run.durability = meta.durability;
            }
            (need, keeps_undo, !run.state.exists())
        });
        if is_watched {
            self.runs.windows.note_taken(staged.run, taken, self.setup.limits.snapshot_size_max);
        }
        self.stats.commits += 1;
        self.stats.mutations += replaced_count as u64;
        if is_gone && let Some(base) = self.runs.release_base(staged.run) {
            self.waiting.drop_elsewhere(Dropped::Base(base));
        }
        if erased_count > 0 {
            self.erasure_mark = fresh_id();
            let taken = self.spread_erasures(staged.run, erased_count, need);
            if let Some(unseen) = self.unseen.commits.back_mut().filter(|_| keeps_undo) {
                unseen.taken = taken;
            }
        }
        if let Some(notice) = notice {
            self.notify(staged.run, &notice, need);
        }
        need
    }

    /// Takes back, newest first, every commit that has not reached its promise.
    pub(crate) fn take_back_unseen(&mut self) {
        while let Some(commit) = self.unseen.commits.pop_back() {
            let first = self.unseen.replaced.len() - commit.replaced_count;
            if commit.need.is_met(&self.progress) {
                self.unseen.replaced.truncate(first);
                continue;
            }
            self.runs.restore_descendants(commit.taken);
            let run = self.runs.get_mut(commit.run).expect("a run with an unseen commit is in the table");
            for replaced in self.unseen.replaced.drain(first..).rev() {
                run.state.revert(replaced);
            }
            run.state.restore_stamp(commit.before);
            if let Some(id) = commit.operation_id {
                run.state.forget(&id);
            }
            // Its trail stays: nothing is logged any more that would follow it.
            (run.place, run.logged) = (commit.place_before, commit.logged_before);
            if run.retained.floor > commit.before.version {
                run.retained.floor = commit.floor_before;
            }
            if commit.is_first {
                self.runs.remove(commit.run);
            } else {
                self.runs.note_change(commit.run);
            }
        }
    }

    /// Keeps the buffers of a finished commit for the next one.
    fn recycle(&mut self, body: Vec<u8>, mutations: Vec<Mutation>) {
        if body.capacity() <= SPARE_BODY_SIZE_MAX {
            self.spare_body = body;
        }
        if mutations.capacity() <= SPARE_MUTATIONS_MAX {
            self.spare_mutations = mutations;
        }
    }

    pub(crate) fn need_of(&self, run: RunId) -> Need {
        self.runs.get(run).map_or_else(Need::default, |run| run.need)
    }
}

/// A larger encoding buffer is given back instead of kept; bytes.
const SPARE_BODY_SIZE_MAX: usize = 1 << 20;
/// A longer mutation list is given back instead of kept.
const SPARE_MUTATIONS_MAX: usize = 4096;
