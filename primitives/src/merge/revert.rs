//! The operations by which a run becomes again what it was.
use crate::diff::{self, DiffPlace, OperationPlan, RunField, Seen};
use crate::entity::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::operation::Operation;

/// What makes of a run what it held before, as one commit: keys, cells and documents, and what it says of itself by tags and metadata; or one
/// of these things alone. Of keys and cells those that have expired meanwhile are not there. Events and traces stay, as they tell what
/// happened; so do status and retention.
///
/// # Errors
/// `Unsupported`, naming the thing, for an event or a trace, and for a value that was erased; where what is there now is erased too both are
/// taken for the same. Those of reading a value.
pub fn revert<'a>(
    is: impl Into<Seen<'a>>,
    was: impl Into<Seen<'a>>,
    only: Option<&EntityRef>,
) -> Result<Vec<Operation>, Error> {
    let (is, was) = (is.into(), was.into());
    let was = Seen { now: is.now, ..was };
    if let Some(entity @ (EntityRef::Event { .. } | EntityRef::Trace { .. })) = only {
        let message = "an event or a trace tells what happened, and is not taken back";
        return Err(Error::new(ErrorKind::Unsupported, message).with_entity(entity.clone()));
    }
    let mut plan = OperationPlan::new(is.state, was.state, is.now);
    let found = match only {
        Some(entity) => diff::find_of(is, was, entity)?,
        None => diff::find_all(is, was)?,
    };
    let mut reverted = found.into_iter().filter(|difference| is_reverted(&difference.place()));
    reverted.try_for_each(|difference| plan.take(difference))?;
    Ok(plan.into_operations())
}

fn is_reverted(place: &DiffPlace) -> bool {
    match place {
        DiffPlace::Run(field) => matches!(field, RunField::Tags | RunField::Metadata),
        DiffPlace::Key(_) | DiffPlace::Cell(_) | DiffPlace::Document(_) => true,
        _ => false,
    }
}
