//! Where traces part, and what became of those that both states have.
use super::common_commits::{CommonCommits, Written};
use super::difference::{DiffPlace, Difference, LogDifference, Parting, TraceDifference};
use super::page::Page;
use crate::entity::EntityRef;
use crate::error::Error;
use crate::trace::Trace;
use crate::trace_log::TraceLog;

pub(super) fn find(page: &mut Page<'_>) -> Result<(), Error> {
    if !page.wants(&DiffPlace::Traces) {
        return Ok(());
    }
    let (before, after) = (&page.before.content().traces, &page.after.content().traces);
    let parting = parting(before, after);
    if let Parting::At(end) = parting {
        for place in before.places_apart(after).take_while(|place| *place < end) {
            let (Some(before), Some(after)) = (before.get(place), after.get(place)) else { continue };
            if page.wants(&DiffPlace::Trace(place))
                && !is_same(page.commits, before, after)
                    .map_err(|error| error.with_entity(EntityRef::trace(page.after.id(), after.id)))?
            {
                let (before, after) = (before.clone(), after.clone());
                page.put(Difference::Trace(TraceDifference { place, before, after }));
            }
        }
    }
    let (before, after) = (before.places(), after.places());
    if parting != Parting::At(before.end) || before != after {
        page.put(Difference::Traces(LogDifference { parting, before, after }));
    }
    Ok(())
}

/// Nothing tells of traces that are not kept, so those are taken for the same if the first that both keep is.
fn parting(before: &TraceLog, after: &TraceLog) -> Parting {
    let (was, is) = (before.places(), after.places());
    let (first, end) = (was.start.max(is.start), was.end.min(is.end));
    let differs = |place: &u64| match (before.get(*place), after.get(*place)) {
        (Some(before), Some(after)) => !is_same_step(before, after),
        _ => true,
    };
    let place = before.places_apart(after).find(differs).unwrap_or(end);
    // Two that keep nothing, and had as many, are as good as the same.
    let is_told = first == 0 || place > first || (was == is && was.is_empty());
    if is_told { Parting::At(place) } else { Parting::Removed }
}

/// Whether both are the same step, whatever came out of it.
fn is_same_step(before: &Trace, after: &Trace) -> bool {
    (before.id, before.parent, before.began) == (after.id, after.parent, after.began)
        && before.kind == after.kind
        && before.tags == after.tags
}

/// Whether the same came out of a step.
fn is_same(commits: CommonCommits, before: &Trace, after: &Trace) -> Result<bool, Error> {
    if before.ended != after.ended {
        return Ok(false);
    }
    let [before, after] =
        [before, after].map(|trace| Written::new(&trace.body, trace.stamp.version, trace.stamp));
    commits.is_same(before, after)
}
