//! What is asked for in one commit, and what it was answered.

use strata::{Batch, BatchReceipt, Commit, Effect, Result, RunHandle};

use crate::write::{Told, Write, shown_of};

/// What is asked for in one commit.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    One(Box<Write>),
    Batch(Vec<Write>),
}

/// What it was answered, in the form of a batch.
pub(crate) struct Answered {
    pub(crate) commit: Option<Commit>,
    effects: Option<Vec<Effect>>,
    shown: Option<i64>,
}

impl From<BatchReceipt> for Answered {
    fn from(receipt: BatchReceipt) -> Answered {
        Answered { commit: receipt.commit, effects: Some(receipt.effects), shown: None }
    }
}

impl Request {
    pub(crate) fn writes(&self) -> &[Write] {
        match self {
            Request::One(write) => std::slice::from_ref(&**write),
            Request::Batch(writes) => writes,
        }
    }

    pub(crate) fn send(&self, run: &RunHandle) -> Result<Answered> {
        match self {
            Request::One(write) => {
                let told = write.perform(run)?;
                let shown = told.shown();
                let (commit, effects) = match told {
                    Told::Nothing(_) => (None, None),
                    Told::Done(commit, _) => (Some(commit), None),
                    Told::Appended(appended) => {
                        let effect = Effect::Sequence { first: appended.sequence, count: appended.count };
                        (Some(appended.commit), Some(vec![effect]))
                    }
                };
                Ok(Answered { commit, effects, shown })
            }
            Request::Batch(_) => run.commit(self.batch(run)).map(Into::into),
        }
    }

    pub(crate) fn batch(&self, run: &RunHandle) -> Batch {
        let mut batch = run.batch();
        let added = self.writes().iter().try_for_each(|write| write.add_to(&mut batch));
        added.expect("nothing is beyond a limit");
        batch
    }

    pub(crate) fn expect(&self, answered: &Answered, commit: Option<Commit>, effects: &[Effect]) {
        assert_eq!(answered.commit, commit, "the receipt of {self:?}");
        if let Some(found) = &answered.effects {
            assert_eq!(found, effects, "the effects of {self:?}");
        }
        if let Request::One(_) = self {
            assert_eq!(answered.shown, effects.first().copied().and_then(shown_of), "what {self:?} showed");
        }
    }
}
