//! Random closures that run on the shard of their run, some of which fail or panic.

use std::panic::resume_unwind;

use strata::{BatchReceipt, Commit, Error, ErrorKind, Result, Stamp};

use crate::read::{Read, Seen};
use crate::transaction::{Step, anchor};
use crate::world::{World, expect_refusal};
use crate::write::shown_of;

/// How a closure that runs on the shard ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Fine,
    Error,
    Panic,
}

/// What a closure on the shard heard, step by step.
type Heard = (Result<Seen>, Vec<Result<Heed>>);

#[derive(Debug)]
enum Heed {
    Seen(Seen),
    Written(bool, Option<i64>),
}

impl World {
    /// Ships a body to the shard of the run.
    pub(crate) fn execute(&mut self, run: usize, steps: Vec<Step>) {
        let ending = match self.chance.below(8) {
            0 => Ending::Error,
            1 => Ending::Panic,
            _ => Ending::Fine,
        };
        let shipped = steps.clone();
        let outcome = self.handle(run).execute(move |scope| {
            let first = anchor().ask(scope);
            let heard = shipped.iter().map(|step| match step {
                Step::Read(read) => Ok(Heed::Seen(read.ask(scope)?)),
                Step::Write(write) => {
                    write.perform(scope).map(|told| Heed::Written(told.has_changed(), told.shown()))
                }
                Step::Rival => unreachable!("nobody comes between"),
            });
            let heard: Vec<_> = heard.collect();
            match ending {
                Ending::Fine => Ok((first, heard)),
                Ending::Error => Err(Error::new(ErrorKind::Unsupported, "on purpose")),
                // Unlike a panic it is not reported on the way.
                Ending::Panic => resume_unwind(Box::new("on purpose")),
            }
        });
        match (ending, outcome) {
            (Ending::Fine, Ok(done)) => self.conclude_execute(run, &steps, done.value, done.receipt),
            (Ending::Error, Err(error)) => assert_eq!(error.message(), "on purpose"),
            (Ending::Panic, Err(error)) => assert_eq!(error.kind(), ErrorKind::Panicked),
            (_, outcome) => panic!("a closure that ends with {ending:?}: {:?}", outcome.map(|_| ())),
        }
        self.look(run, &Read::Info);
    }

    fn conclude_execute(&mut self, run: usize, steps: &[Step], heard: Heard, receipt: BatchReceipt) {
        let (first, heard) = heard;
        if let Ok(Seen::Number(count)) = first {
            self.align(run, count.version.0);
        }
        let (at, mut view) = (self.next(run), self.state(run).clone());
        let (mut changed, mut effects) = (false, Vec::new());
        for (step, heard) in steps.iter().zip(heard) {
            match step {
                Step::Read(read) => {
                    match (heard, view.answer(read, self.eye(at.stamp.timestamp))) {
                        (Ok(Heed::Seen(found)), Ok(due)) => assert_eq!(found, due, "a closure asks {read:?}"),
                        (Err(error), Err(refusal)) => expect_refusal(&error, &refusal),
                        (found, due) => panic!("{read:?} in a closure: {found:?}, it should be {due:?}"),
                    };
                }
                Step::Write(write) => match (heard, view.apply(write, at)) {
                    (Ok(Heed::Written(has_changed, shown)), Ok(done)) => {
                        assert_eq!((has_changed, shown), (done.changed, shown_of(done.effect)), "{write:?}");
                        changed |= done.changed;
                        effects.push(done.effect);
                    }
                    (Err(error), Err(refusal)) => expect_refusal(&error, &refusal),
                    (found, due) => panic!("{write:?} in a closure: {found:?}, it should be {due:?}"),
                },
                Step::Rival => unreachable!("nobody comes between"),
            }
        }
        let Stamp { version, timestamp } = at.stamp;
        let commit = changed.then_some(Commit { version, timestamp, durability: self.durability });
        assert_eq!((receipt.commit, receipt.effects), (commit, effects), "{steps:?}");
        if let Some(commit) = commit {
            self.commit(run, view, commit, None, Vec::new());
        }
    }
}
