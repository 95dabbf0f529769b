//! What a commit removes because the run does not keep it.
use super::Context;
use crate::draft::Draft;
use crate::mutation::Mutation;
use crate::retention::Retention;
use crate::version::Timestamp;

/// Events beyond those that it appends that one commit removes at most: some hundred microseconds.
const TRIMMED_AT_ONCE: u64 = 4_096;

/// Stages what the run does not keep any more once these mutations are committed: to be called when all of a commit is staged, and
/// nothing reads the draft any more.
///
/// A commit that appends events, or says which of them the run keeps, removes those that are not kept, the oldest first, and as many as it
/// appends and 4,096 more at most. It may be larger by this than the limits of a commit.
pub fn trim_entries(draft: &mut Draft<'_>, context: &Context) {
    let Some(retention) = draft.meta().and_then(|meta| meta.event_retention) else { return };
    if !draft.touches_events() {
        return;
    }
    let (first, end) = (draft.first_event(), draft.event_count());
    let wanted = match retention {
        Retention::KeepAll => first,
        Retention::KeepLast(count) => end.saturating_sub(count),
        Retention::KeepFor(duration) => {
            let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            draft.first_event_at_or_after(Timestamp(context.now.0.saturating_sub(micros)))
        }
    };
    let before = wanted.min(first + draft.staged_event_count() + TRIMMED_AT_ONCE);
    if before > first {
        draft.stage_trim(Mutation::EventTrim { before });
    }
}
