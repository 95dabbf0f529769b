//! Random transactions, by hand and in closures, with rivals that commit in their middle.

use strata::{
    BatchReceipt, Commit, Effect, Error, ErrorKind, Result, Stamp, Timestamp, Transaction, Version,
};

use crate::place::{Own, Place, Verdict};
use crate::read::{Read, Seen};
use crate::state::{At, Done, Refusal, State};
use crate::world::{World, expect_refusal};
use crate::write::{Write, shown_of};

/// One step of a body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Read(Read),
    Write(Write),
    /// Another handle commits something, or a deadline passes.
    Rival,
}

/// A transaction that has done its body and wants to commit.
struct Attempt {
    base: State,
    began: Timestamp,
    /// What the transaction sees now.
    view: State,
    places: Vec<Place>,
    /// Each step with what it told, as far as that must not depend on when it was told.
    told: Vec<(Step, String)>,
    written: Vec<Write>,
    own: Own,
    /// A refusal that the shard will find.
    unheard: Option<Refusal>,
    /// The refusal that has ended it.
    poison: Option<ErrorKind>,
}

/// What is to become of an attempt, and the run after it.
struct Prediction {
    verdict: Verdict,
    /// A refusal that one of its writes may meet at the commit.
    refused: Option<ErrorKind>,
    next: State,
    changed: bool,
    effects: Vec<Effect>,
}

/// Reads of it tell the version that a transaction sees, and nobody's commit ever conflicts with them.
pub(crate) fn anchor() -> Read {
    Read::EventCount(Some("nobody".to_owned()))
}

impl World {
    /// A body for a run: one to eight steps, and perhaps rivals.
    pub(crate) fn body(&mut self, run: usize, with_rivals: bool) -> Vec<Step> {
        let (state, now) = (self.state(run).clone(), self.now(run));
        let mut steps = Vec::new();
        for _ in 0..1 + self.chance.below(8) {
            steps.push(match self.chance.below(5) {
                0 | 1 => Step::Read(self.chance.read(&state)),
                _ => Step::Write(self.chance.write(&state, now)),
            });
            if with_rivals && self.chance.one_in(5) {
                steps.push(Step::Rival);
            }
        }
        // Nobody comes between this one and the commit, not even the cleaner.
        if with_rivals && self.chance.one_in(2) {
            steps.push(Step::Rival);
        }
        steps
    }

    /// Begins by hand; commits, or rolls back, or is dropped.
    pub(crate) fn by_hand(&mut self, run: usize, steps: &[Step]) {
        let transaction = self.handle(run).begin();
        let attempt = self.attempt(run, &transaction, steps);
        match self.chance.below(5) {
            0 => transaction.rollback(),
            1 => drop(transaction),
            _ => {
                let outcome = transaction.commit();
                self.conclude(run, attempt, outcome);
            }
        }
        self.look(run, &Read::Info);
    }

    /// Runs as a closure, which is run again after a conflict; now and then it ends with an error of its own.
    pub(crate) fn closure(&mut self, run: usize, steps: &[Step]) {
        let (handle, fails) = (self.handle(run), self.chance.one_in(6));
        let mut last: Option<Attempt> = None;
        let outcome = handle.transaction(|transaction| {
            let again = last.is_some();
            if let Some(attempt) = last.take() {
                // The cleaner's commit counts too, and nobody has been told of it.
                self.settle(run);
                let verdict = self.predict(run, &attempt).verdict;
                assert_ne!(verdict, Verdict::Unharmed, "the closure runs again without a conflict");
            }
            let steps: Vec<Step> =
                steps.iter().filter(|step| !again || !matches!(step, Step::Rival)).cloned().collect();
            last = Some(self.attempt(run, transaction, &steps));
            if fails { Err(Error::new(ErrorKind::Unsupported, "on purpose")) } else { Ok(()) }
        });
        let attempt = last.expect("a closure runs at least once");
        match outcome {
            Err(error) if fails => assert_eq!(error.message(), "on purpose"),
            outcome => self.conclude(run, attempt, outcome.map(|done| done.receipt)),
        }
        self.look(run, &Read::Info);
    }

    fn attempt(&mut self, run: usize, transaction: &Transaction, steps: &[Step]) -> Attempt {
        match anchor().ask(transaction) {
            Ok(Seen::Number(count)) => self.align(run, count.version.0),
            other => {
                assert!(self.state(run).meta.is_none(), "a run that is there is read: {other:?}");
            }
        }
        let (base, began) = (self.state(run).clone(), self.now(run));
        let mut attempt = Attempt {
            view: base.clone(),
            base,
            began,
            places: Vec::new(),
            told: Vec::new(),
            written: Vec::new(),
            own: Own::default(),
            unheard: None,
            poison: None,
        };
        for step in steps {
            self.journal.detail(step);
            match step {
                Step::Rival => self.rival(run),
                Step::Read(read) => self.read_in(&mut attempt, transaction, read),
                Step::Write(write) => attempt.write(transaction, write, self.boot),
            }
            if let Some(refusal) = attempt.unheard.take() {
                self.hear_refusal(&mut attempt, transaction, &refusal);
                break;
            }
        }
        attempt
    }

    /// A write that waits in the transaction is to be refused: by its next step, which ends it, or at its commit.
    fn hear_refusal(&mut self, attempt: &mut Attempt, transaction: &Transaction, refusal: &Refusal) {
        if self.chance.one_in(2) {
            let error = anchor().ask(transaction).expect_err("the step brings a write that is refused");
            expect_refusal(&error, refusal);
            attempt.poison = Some(refusal.kind);
        }
    }

    fn rival(&mut self, run: usize) {
        match self.chance.below(6) {
            0 | 1 => drop(self.pass_time(Some(run))),
            2 if self.chance.one_in(8) => self.destroy(run),
            _ => self.write_something(run),
        }
    }

    fn read_in(&mut self, attempt: &mut Attempt, transaction: &Transaction, read: &Read) {
        let (found, due) = (read.ask(transaction), attempt.view.answer(read, self.eye(attempt.began)));
        match (found, due) {
            (Ok(found), Ok(due)) => {
                assert_eq!(found, due, "a transaction asks for {read:?}");
                let Attempt { base, view, own, began, .. } = &*attempt;
                let places = read.places(base, view, own, *began);
                attempt.places.extend(places);
                attempt.told.push((Step::Read(read.clone()), found.essence()));
            }
            (Err(error), Err(refusal)) => {
                expect_refusal(&error, &refusal);
            }
            (found, due) => panic!("{read:?} in a transaction: {found:?}, it should be {due:?}"),
        }
    }

    /// What the run would be if the attempt committed now, and whether it may.
    fn predict(&self, run: usize, attempt: &Attempt) -> Prediction {
        let (state, at) = (self.state(run), self.next(run));
        let (was, is) = ((&attempt.base, attempt.began), (state, at.stamp.timestamp));
        let mut verdict = Verdict::Unharmed;
        if !attempt.places.is_empty() && !is_same_life(&attempt.base, state) {
            verdict = Verdict::Conflict;
        }
        for place in &attempt.places {
            verdict = verdict.max(place.verdict(was, is));
        }
        let (mut next, mut changed, mut effects, mut refused) = (state.clone(), false, Vec::new(), None);
        let mut view = attempt.base.clone();
        for write in &attempt.written {
            let pending = At { stamp: pending(attempt.began), boot: self.boot };
            // The last one may be refused there, and nobody told of it.
            let told = view.apply(write, pending).ok();
            match next.apply(write, at) {
                Ok(done) => {
                    let is_as_told = |told: Done| {
                        let is_sequence = matches!(done.effect, Effect::Sequence { .. });
                        told.changed == done.changed && (is_sequence || told.effect == done.effect)
                    };
                    if !told.is_none_or(is_as_told) {
                        verdict = Verdict::Conflict;
                    }
                    changed |= done.changed;
                    effects.push(done.effect);
                }
                Err(refusal) => {
                    refused = Some(refusal.kind);
                    verdict = verdict.max(Verdict::Unsure);
                    break;
                }
            }
        }
        Prediction { verdict, refused, next, changed, effects }
    }

    /// Compares how a transaction ended with how it had to.
    fn conclude(&mut self, run: usize, attempt: Attempt, outcome: Result<BatchReceipt>) {
        if let Ok(BatchReceipt { commit: Some(commit), .. }) = &outcome {
            self.align(run, commit.version.0 - 1);
        } else {
            self.settle(run);
        }
        if attempt.poison.is_some() {
            let error = outcome.expect_err("a transaction that was refused cannot commit");
            assert_eq!(Some(error.kind()), attempt.poison, "{error}");
            return;
        }
        if attempt.written.is_empty() {
            let receipt = outcome.expect("a transaction without writes commits");
            assert_eq!((receipt.commit, receipt.effects), (None, Vec::new()));
            return;
        }
        let at = self.next(run);
        let Prediction { verdict, refused, next, changed, effects } = self.predict(run, &attempt);
        match outcome {
            Ok(receipt) => {
                assert!(verdict < Verdict::Conflict, "{:?} had to conflict", attempt.places);
                assert_eq!(refused, None, "a write that is refused cannot commit");
                self.expect_serial(run, &attempt);
                let Stamp { version, timestamp } = at.stamp;
                let commit = Commit { version, timestamp, durability: self.durability };
                let commit = changed.then_some(commit);
                assert_eq!((receipt.commit, &receipt.effects), (commit, &effects), "{:?}", attempt.written);
                if let Some(commit) = commit {
                    self.commit(run, next, commit, None, Vec::new());
                }
            }
            Err(error) => {
                let is_conflict = error.kind() == ErrorKind::Conflict;
                let is_refusal = Some(error.kind()) == refused;
                assert!(is_conflict || is_refusal, "{error}");
                assert_ne!(verdict, Verdict::Unharmed, "nothing has changed, and yet: {error}");
            }
        }
    }

    /// A transaction that commits has seen what it would have seen alone at the moment of its commit.
    fn expect_serial(&self, run: usize, attempt: &Attempt) {
        let (mut view, now) = (self.state(run).clone(), self.now(run));
        for (step, told) in &attempt.told {
            let found = match step {
                Step::Read(read) => view.answer(read, self.eye(now)).map(|seen| seen.essence()),
                Step::Write(write) => {
                    Ok(essence_of(view.apply(write, At { stamp: pending(now), boot: self.boot })))
                }
                Step::Rival => unreachable!("a rival is no part of a transaction"),
            };
            assert_eq!(found.as_ref(), Ok(told), "{step:?} at the commit, and what it was told");
        }
    }
}

impl Attempt {
    fn write(&mut self, transaction: &Transaction, write: &Write, boot: u64) {
        let before = self.view.clone();
        if self.view.is_active() {
            self.places.extend(write.places(&self.own));
        }
        let decided = self.view.apply(write, At { stamp: pending(self.began), boot });
        let told = write.perform(transaction);
        if !write.is_blind() || told.is_err() {
            self.compare(write, &decided, told.map(|told| (told.has_changed(), told.shown())));
        }
        match &decided {
            Ok(_) => {
                self.own.note(&before, &self.view);
                self.written.push(write.clone());
            }
            // Nobody has been told yet: the shard hears of it with the next step, or with the commit.
            Err(refusal) if write.is_blind() => {
                self.unheard = Some(refusal.clone());
                return self.written.push(write.clone());
            }
            // It has told something of what it names.
            Err(refusal) => {
                self.places.extend(self.own.place_of(&refusal.entity));
                self.places.push(Place::Status);
            }
        }
        self.told.push((Step::Write(write.clone()), essence_of(decided)));
    }

    fn compare(&self, write: &Write, decided: &crate::state::Decided, told: Result<(bool, Option<i64>)>) {
        match (told, decided) {
            (Ok(told), Ok(done)) => {
                assert_eq!(told, (done.changed, shown_of(done.effect)), "{write:?} in a transaction")
            }
            (Err(error), Err(refusal)) => expect_refusal(&error, refusal),
            (told, decided) => panic!("{write:?} in a transaction: {told:?}, it should be {decided:?}"),
        }
    }
}

fn pending(now: Timestamp) -> Stamp {
    Stamp { version: Version::PENDING, timestamp: now }
}

/// What a write told that must still be so at the commit.
fn essence_of(decided: crate::state::Decided) -> String {
    match decided {
        Ok(done) if matches!(done.effect, Effect::Sequence { .. }) => "appended".to_owned(),
        Ok(done) => format!("{:?}", done.effect),
        Err(refusal) => format!("refused: {:?}", refusal.kind),
    }
}

/// Whether the run was not deleted between the two.
fn is_same_life(was: &State, is: &State) -> bool {
    let created = |state: &State| state.meta.as_ref().map(|meta| meta.created);
    created(was) == created(is)
}
