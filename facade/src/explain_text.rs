//! An explanation as lines of text.

use std::fmt::{self, Display, Formatter};

use strata_primitives::{Cause, CommitReads, EntityRef, Retention, Value};

use crate::change::{Change, ChangeEffect, PastCommit};
use crate::explain::{CauseLost, CauseStep, Explanation, Prior};

/// Most characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 120;
/// Most places that had been read that are shown.
const READS_MAX: usize = 16;
/// Most changes of one commit that are shown.
const CHANGES_MAX: usize = 8;

/// What the commit did, what was before, what happened around it and what led to it, a line each. Long values, and long lists of
/// changes, are cut.
impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Explanation { entity, commit, before, events, has_more_events, span, causes } = self;
        writeln!(f, "{entity}")?;
        writeln!(f, "  {}", Told { commit, explained: Some(entity) })?;
        if let Some(CommitReads { places, is_cut }) = &commit.reads {
            let mut separator = "  had read: ";
            for place in places.iter().take(READS_MAX) {
                write!(f, "{separator}{place}")?;
                separator = "; ";
            }
            let more = if *is_cut || places.len() > READS_MAX { "; and more" } else { "" };
            writeln!(f, "{}", if places.is_empty() { "  had read: nothing" } else { more })?;
        }
        match before {
            Prior::Absent => writeln!(f, "  before: not there")?,
            Prior::NotKept => writeln!(f, "  before: no longer kept")?,
            Prior::Changed(commit) => {
                writeln!(f, "  before: {}", Told { commit, explained: Some(entity) })?;
            }
        }
        for event in events {
            let (sequence, kind, version) = (event.sequence, &event.kind, event.version);
            writeln!(f, "  event {sequence}, commit {version}: {kind} {}", Cut(&event.payload))?;
        }
        if *has_more_events {
            writeln!(f, "  and more events of the commit")?;
        }
        if let Some(span) = span {
            let state = if span.ended.is_some() { "ended since" } else { "open" };
            writeln!(
                f,
                "  within: {} {}, recorded by commit {}, {state}",
                span.content.kind(),
                span.id,
                span.recorded.version
            )?;
        }
        causes.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

impl Display for CauseStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let explained = match &self.cause {
            Cause::Entity { entity, .. } => Some(entity),
            _ => None,
        };
        match &self.commit {
            Ok(commit) => {
                explained.into_iter().try_for_each(|entity| write!(f, "because of {entity}: "))?;
                if explained.is_none() {
                    write!(f, "because of ")?;
                }
                Display::fmt(&Told { commit, explained }, f)
            }
            Err(lost) => write!(f, "because of {}, {lost}", Named(&self.cause)),
        }
    }
}

impl Display for CauseLost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CauseLost::Missing => "which is not there",
            CauseLost::NotKept => "which is no longer kept",
            CauseLost::InMemory => "which was made in memory",
            CauseLost::Repeated => "which is one of those above",
        })
    }
}

/// A commit in one line. What it did to the thing that is explained does not name that again.
struct Told<'a> {
    commit: &'a PastCommit,
    explained: Option<&'a EntityRef>,
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let PastCommit { run, version, timestamp, durability, cause, operation_id, changes, .. } =
            self.commit;
        write!(f, "commit {version} of run {run} at {timestamp}, {durability}")?;
        operation_id.iter().try_for_each(|id| write!(f, ", operation {id}"))?;
        cause.iter().try_for_each(|cause| write!(f, ", caused by {}", Named(cause)))?;
        write!(f, ": ")?;
        for (index, Change { entity, effect, .. }) in changes.iter().take(CHANGES_MAX).enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            if self.explained.is_none_or(|explained| explained.in_run(*run) != *entity) {
                write!(f, "{entity} ")?;
            }
            Display::fmt(effect, f)?;
        }
        match changes.len().saturating_sub(CHANGES_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A cause in a few words.
struct Named<'a>(&'a Cause);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::Expired => f.write_str("an expiry"),
            Cause::Note(note) => write!(f, "{note:?}"),
            Cause::Commit { run, version } => write!(f, "commit {version} of run {run}"),
            Cause::Entity { entity, version } => write!(f, "{entity} at version {version}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// A value of which not too much is shown.
struct Cut<'a>(&'a Value);

impl Display for Cut<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.char_indices().nth(VALUE_CHARS_MAX) {
            Some((end, _)) => write!(f, "{}...", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

/// What happened, in a few words. Long values are cut.
impl Display for ChangeEffect {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { value, deadline } => {
                write!(f, "put {}", Cut(value))?;
                deadline.iter().try_for_each(|deadline| write!(f, " until {deadline}"))
            }
            Self::DeadlineMoved { deadline: Some(deadline) } => write!(f, "kept until {deadline}"),
            Self::DeadlineMoved { deadline: None } => f.write_str("kept without a deadline"),
            Self::Deleted => f.write_str("deleted"),
            Self::Appended { kind, payload } => write!(f, "appended {kind} {}", Cut(payload)),
            Self::DocumentPut { value } => write!(f, "put {}", Cut(value)),
            Self::PlaceSet { path, value } => write!(f, "{path:?} set to {}", Cut(value)),
            Self::PlaceInserted { path, value } => write!(f, "{} inserted at {path:?}", Cut(value)),
            Self::PlaceRemoved { path } => write!(f, "{path:?} removed"),
            Self::TraceRecorded(trace) => write!(f, "{} recorded", trace.content.kind()),
            Self::TraceEnded { ended, body } => write!(f, "ended at {ended} with {}", Cut(body)),
            Self::RunCreated { forked_from: Some(point), .. } => {
                write!(f, "forked from version {} of run {}", point.version, point.run)
            }
            Self::RunCreated { .. } => f.write_str("created"),
            Self::RunBegun { boot } => write!(f, "begun anew in boot {boot}"),
            Self::StatusSet(status) => write!(f, "status set to {status}"),
            Self::TagsSet(tags) => write!(f, "tags set to {tags:?}"),
            Self::MetadataSet(metadata) => write!(f, "metadata set to {}", Cut(metadata)),
            Self::RetentionSet(kept) => write_kept(f, "history", kept.as_ref()),
            Self::EventRetentionSet(kept) => write_kept(f, "events", kept.as_ref()),
            Self::TraceRetentionSet(kept) => write_kept(f, "traces", kept.as_ref()),
            Self::EventsRemoved { before } => write!(f, "events below {before} removed"),
            Self::TracesRemoved { before } => write!(f, "the first {before} traces removed"),
            Self::Erased { from, through, reason } => {
                write!(f, "what commits {from} to {through} had written erased, because: {reason}")
            }
        }
    }
}

fn write_kept(f: &mut Formatter<'_>, what: &str, kept: Option<&Retention>) -> fmt::Result {
    match kept {
        Some(kept) => write!(f, "retention of {what} set to: {kept}"),
        None => write!(f, "retention of {what} left to the store"),
    }
}
