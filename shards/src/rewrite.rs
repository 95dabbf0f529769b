//! A write of a transaction: decided once on its picture, and once more on the run as it is at the commit.

use strata_primitives::{Context, Draft, Effect, Error, Limits, Operation, Version, conflict};

use crate::stage::decide;

/// A write of a transaction, to be decided anew when it commits.
#[derive(Debug)]
pub(crate) struct Rewrite {
    pub(crate) operation: Operation,
    /// What the transaction was told; `None` if it has heard nothing of this write yet.
    pub(crate) revealed: Option<Revealed>,
}

/// What a write in a transaction told of the run.
#[derive(Debug)]
pub(crate) struct Revealed {
    pub(crate) told: Told,
    /// The version that the thing had which was written.
    pub(crate) seen: Version,
}

/// What the caller of a write learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) effect: Effect,
    /// Whether there was something to change.
    pub(crate) has_changed: bool,
}

impl Told {
    /// Decides a write, stages it, and tells what its caller learns.
    pub(crate) fn of(
        write: Operation,
        draft: &mut Draft<'_>,
        context: &Context,
        limits: &Limits,
    ) -> Result<Told, Error> {
        let staged_before = draft.mutations().len();
        let effect = decide(write, draft, context, limits)?;
        Ok(Told { effect, has_changed: draft.mutations().len() > staged_before })
    }

    /// Whether a write that was told this may be told `other` instead: where its events lie is told at the commit
    /// only.
    fn is_kept_by(&self, other: &Told) -> bool {
        self == other || matches!(other.effect, Effect::Sequence { .. })
    }
}

/// Decides what a transaction wrote once more, on the run as it is. What its closure was told must still be true.
pub(crate) fn decide_again(
    writes: Vec<Rewrite>,
    draft: &mut Draft<'_>,
    context: &Context,
    limits: &Limits,
) -> Result<Vec<Effect>, Error> {
    let mut effects = Vec::with_capacity(writes.len());
    for (index, Rewrite { operation, revealed }) in writes.into_iter().enumerate() {
        operation.check_joins(draft.run_id())?;
        let entity = operation.entity(draft.run_id());
        let decided = Told::of(operation, draft, context, limits);
        let Some(Revealed { told, seen }) = revealed else {
            let named = |error: Error| error.with_context(&format!("write {index} of the transaction"));
            effects.push(decided.map_err(named)?.effect);
            continue;
        };
        let found = draft.view().version_of(&entity, context.now);
        match decided {
            Ok(now) if told.is_kept_by(&now) => effects.push(now.effect),
            Err(error) if found == seen => return Err(error),
            _ => return Err(conflict(entity, seen, found)),
        }
    }
    Ok(effects)
}
