//! What a commit removes because the run does not keep it.
use super::Context;
use crate::draft::{Draft, EntryCounts};
use crate::mutation::Mutation;
use crate::retention::{EntryRetention, Retention};
use crate::version::Timestamp;

/// Events or traces beyond those that it adds that one commit removes at most: some hundred microseconds.
const TRIMMED_AT_ONCE: u64 = 4_096;

/// Stages what the run does not keep any more once these mutations are committed: to be called when all of a commit is staged, and
/// nothing reads the draft any more. What the run does not say itself is as the store says.
///
/// A commit that appends events, or says which of them the run keeps, removes those that are not kept, the oldest first, and as many as it
/// appends and 4,096 more at most; so it is with traces. It may be larger by this than the limits of a commit.
pub fn trim_entries(draft: &mut Draft<'_>, context: &Context, of_store: &EntryRetention) {
    let (event_counts, trace_counts) = (draft.event_counts(), draft.trace_counts());
    if !event_counts.may_go() && !trace_counts.may_go() {
        return;
    }
    let Some(meta) = draft.meta() else { return };
    let of_events = meta.event_retention.unwrap_or(of_store.events);
    let of_traces = meta.trace_retention.unwrap_or(of_store.traces);
    let first_event = |time| draft.first_event_at_or_after(time);
    let events = superfluous(of_events, &event_counts, context, first_event);
    let first_trace = |time| draft.first_trace_at_or_after(time);
    let traces = superfluous(of_traces, &trace_counts, context, first_trace);
    events.into_iter().for_each(|before| draft.stage_trim(Mutation::EventTrim { before }));
    traces.into_iter().for_each(|before| draft.stage_trim(Mutation::TraceTrim { before }));
}

/// The place below which entries go, if any do.
fn superfluous(
    retention: Retention,
    counts: &EntryCounts,
    context: &Context,
    first_at_or_after: impl FnOnce(Timestamp) -> u64,
) -> Option<u64> {
    let &EntryCounts { first, end, staged, .. } = counts;
    if !counts.may_go() {
        return None;
    }
    let wanted = match retention {
        Retention::KeepAll => first,
        Retention::KeepLast(count) => end.saturating_sub(count),
        Retention::KeepFor(duration) => {
            let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            first_at_or_after(Timestamp(context.now.0.saturating_sub(micros)))
        }
    };
    Some(wanted.min(first + staged + TRIMMED_AT_ONCE)).filter(|before| *before > first)
}
