//! What two runs say of themselves.
use super::difference::{Difference, RunDifference};
use super::page::Page;
use crate::error::Error;
use crate::run_meta::RunMeta;

pub(super) fn find(page: &mut Page<'_>) -> Result<(), Error> {
    let (before, after) = (page.before.meta(), page.after.meta());
    let found = match (before, after) {
        (Some(before), Some(after)) => differences(before, after)?,
        (None, None) => Vec::new(),
        _ => vec![RunDifference::Existence { before: before.is_some(), after: after.is_some() }],
    };
    found.into_iter().for_each(|difference| page.put(Difference::Run(difference)));
    Ok(())
}

/// In the order of their fields.
fn differences(before: &RunMeta, after: &RunMeta) -> Result<Vec<RunDifference>, Error> {
    let mut found = Vec::new();
    macro_rules! compare {
        ($($field:ident as $variant:ident),*) => {$(
            if before.$field != after.$field {
                let (before, after) = (before.$field.clone(), after.$field.clone());
                found.push(RunDifference::$variant { before, after });
            }
        )*};
    }
    compare!(
        name as Name,
        namespace as Namespace,
        parent as Parent,
        durability as Durability,
        status as Status
    );
    compare!(tags as Tags);
    if before.metadata != after.metadata {
        let (before, after) = (before.metadata.to_value()?, after.metadata.to_value()?);
        found.push(RunDifference::Metadata { before, after });
    }
    compare!(retention as Retention, event_retention as EventRetention, trace_retention as TraceRetention);
    Ok(found)
}
