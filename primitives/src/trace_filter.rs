//! Which traces a query wants.
use crate::error::Error;
use crate::limits::Limits;
use crate::trace::Trace;
use crate::trace_id::TraceId;
use crate::version::Timestamp;

/// Conditions on traces. Each one that is set must hold; the default holds for every trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// Its content is of this kind.
    pub kind: Option<String>,
    /// One of its tags is this.
    pub tag: Option<String>,
    /// It is a direct child of this trace.
    pub parent: Option<TraceId>,
    /// It was recorded at this time or later.
    pub from: Option<Timestamp>,
    /// It was recorded before this time.
    pub to: Option<Timestamp>,
    /// It is a span that has not ended, or it is not.
    pub is_open: Option<bool>,
}

impl TraceFilter {
    /// Whether `trace` meets every condition.
    pub fn matches(&self, trace: &Trace) -> bool {
        let TraceFilter { kind, tag, parent, from, to, is_open } = self;
        let recorded = trace.recorded.timestamp;
        kind.as_ref().is_none_or(|kind| *trace.kind == **kind)
            && tag.as_ref().is_none_or(|tag| trace.tags.iter().any(|held| **held == **tag))
            && parent.is_none_or(|parent| trace.parent == Some(parent))
            && from.is_none_or(|from| recorded >= from)
            && to.is_none_or(|to| recorded < to)
            && is_open.is_none_or(|is_open| trace.is_open() == is_open)
    }

    /// Refuses a kind or a tag that no trace can have.
    ///
    /// # Errors
    /// `InvalidArgument` naming the limit and the given size.
    pub fn check(&self, limits: &Limits) -> Result<(), Error> {
        self.kind.iter().try_for_each(|kind| limits.check_trace_kind(kind))?;
        limits.check_tags(self.tag.as_slice())
    }

    /// Bytes of its kind and its tag.
    pub(crate) fn text_size(&self) -> usize {
        [&self.kind, &self.tag].into_iter().flatten().map(String::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_trace::NewTrace;
    use crate::trace_content::TraceContent;
    use crate::version::{Stamp, Version};

    fn span() -> Trace {
        let content = TraceContent::Thought { text: "t".into(), confidence: None };
        let new = NewTrace {
            parent: Some(TraceId::from_bytes([2; 16])),
            tags: vec!["red".into(), "blue".into()],
            ..NewTrace::new(TraceId::from_bytes([1; 16]), content)
        };
        let span = new.into_span(Timestamp(3), &Limits::default()).unwrap();
        Trace { recorded: Stamp { version: Version(1), timestamp: Timestamp(100) }, ..span }
    }

    #[test]
    fn every_condition_accepts_its_own_and_refuses_others() {
        let any = TraceFilter::default;
        let parent = |number| TraceFilter { parent: Some(TraceId::from_bytes([number; 16])), ..any() };
        let kind = |kind: &str| TraceFilter { kind: Some(kind.into()), ..any() };
        let tag = |tag: &str| TraceFilter { tag: Some(tag.into()), ..any() };
        assert!(any().matches(&span()));
        let accepted_and_refused = [
            (kind("thought"), kind("query")),
            (tag("blue"), tag("green")),
            (parent(2), parent(1)),
            (
                TraceFilter { from: Some(Timestamp(100)), ..any() },
                TraceFilter { from: Some(Timestamp(101)), ..any() },
            ),
            (
                TraceFilter { to: Some(Timestamp(101)), ..any() },
                TraceFilter { to: Some(Timestamp(100)), ..any() },
            ),
            (TraceFilter { is_open: Some(true), ..any() }, TraceFilter { is_open: Some(false), ..any() }),
        ];
        for (accepted, refused) in accepted_and_refused {
            assert!(accepted.matches(&span()), "{accepted:?}");
            assert!(!refused.matches(&span()), "{refused:?}");
        }
    }

    #[test]
    fn a_condition_no_trace_can_meet_is_refused() {
        let limits = Limits::default();
        assert!(TraceFilter::default().check(&limits).is_ok());
        let filter = TraceFilter { kind: Some("k".repeat(1025)), ..TraceFilter::default() };
        assert_eq!(
            filter.check(&limits).unwrap_err().message(),
            "key_size_max is 1024 bytes, the kind of trace has 1025"
        );
        let filter = TraceFilter { tag: Some("".into()), ..TraceFilter::default() };
        assert_eq!(filter.check(&limits).unwrap_err().message(), "the tag is empty");
    }
}
